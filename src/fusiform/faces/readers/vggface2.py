"""VGGFace2 in its published layout."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from fusiform.errors import DataError, SpecError
from fusiform.faces._attribute import Attribute
from fusiform.faces._crops import Crops, as_margin
from fusiform.faces._face_set import FaceSet
from fusiform.faces._landmark_columns import read_points
from fusiform.faces._lists import each_once, find_file, numbered_lines
from fusiform.faces._named import IMAGE_SUFFIX, named_images
from fusiform.faces._sources import Source, StoredImages
from fusiform.faces.readers import reader

_NAME = re.compile(
    r"(?:^|/)(?:(train|test|val)/(?:[^/]+/)?)?((n\d{6})/\d{4,}_\d{2,})" + IMAGE_SUFFIX, re.IGNORECASE
)
_SPLITS = ("train", "test", "val")
_ROOTS = ("", "VGGFace2", "vggface2", "vgg_face2", "VGG-Face2")
_PLACES = ("", "meta", "data", "bb_landmark", "meta/bb_landmark", "data/bb_landmark")
_POINTS = [f"P{number}{axis}" for number in range(1, 6) for axis in "XY"]
_BOX = ["X", "Y", "W", "H"]
_CLASS = re.compile(r"^n\d{6}$")


def _split_folder(root: Path, split: str) -> Path | None:
    return next((root / p / split for p in ("", "data") if (root / p / split).is_dir()), None)


def _people(file: Path) -> pd.DataFrame:
    """Name and sex by class, from identity_meta.csv.

    The published file has blanks after its commas, some lines have a comma at the end, and some names hold one.
    """
    rows: dict[str, tuple[str, bool]] = {}
    for number, line in numbered_lines(file):
        try:
            words = [word.strip() for word in next(csv.reader([line], skipinitialspace=True))]
        except csv.Error:
            words = []
        while words and not words[-1]:
            words.pop()
        if number == 1 and words[:1] == ["Class_ID"]:
            continue
        if len(words) < 5 or not _CLASS.match(words[0]):
            raise DataError(
                f"Line {number} of '{file}' is not 'Class_ID, Name, Sample_Num, Flag, Gender': '{line[:80]}'."
            )
        if words[-1] not in ("m", "f"):
            raise DataError(f"Line {number} of '{file}': a gender must be m or f; got '{words[-1]}'.")
        if words[0] in rows:
            raise DataError(f"Line {number} of '{file}' lists {words[0]} a second time.")
        rows[words[0]] = ",".join(words[1:-3]).strip('" '), words[-1] == "m"
    return pd.DataFrame.from_dict(rows, orient="index", columns=["name", "male"])


def _numbers(files: list[Path], ids: list[str], columns: list[str]) -> Float[ndarray, "n c"]:
    """Numbers by image, from lists with a column NAME_ID; NaN for images that are in none."""
    tables = []
    for file in files:
        try:
            table = pd.read_csv(file, dtype={"NAME_ID": str}, skipinitialspace=True, encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise DataError(f"'{file}' cannot be read: {str(error).strip()}.") from error
        absent = [name for name in ("NAME_ID", *columns) if name not in table.columns]
        if absent:
            raise DataError(
                f"'{file}' must have the columns NAME_ID,{','.join(columns)}; {', '.join(absent)} not among "
                f"{', '.join(map(str, table.columns[:12]))}."
            )
        table = each_once(table.set_index("NAME_ID")[columns], file)
        for name in columns:
            numbers = pd.to_numeric(table[name], errors="coerce")
            odd = np.flatnonzero(numbers.isna())
            if len(odd):
                raise DataError(
                    f"Line {odd[0] + 2} of '{file}', image '{table.index[odd[0]]}': {name} must be a number; got "
                    f"'{table[name].iloc[odd[0]]}'."
                )
        tables.append(table)
    return pd.concat(tables).reindex(ids).to_numpy(dtype=np.float64)


def _find(roots: Sequence[Path], stems: Iterable[str], suffix: str = ".csv") -> list[Path]:
    """The lists of these names that are there, each at the first of its usual places."""
    found = (
        next((file for root in roots if (file := find_file(root, stem, _PLACES, (suffix,)))), None)
        for stem in stems
    )
    return [file for file in found if file is not None]


def _unlisted(files: Sequence[Path], ids: set[str]) -> dict[str, str]:
    """Images that lists name and that are not there, with the reason for skipping them."""
    lost: dict[str, str] = {}
    for file in files:
        for _, line in numbered_lines(file):
            image_id = line.replace("\\", "/").rpartition(".")[0] or line
            if image_id not in ids:
                lost[image_id] = f"listed in {file.name}, but not among the images"
    return lost


def _images_folder(root: Path, split: str | None) -> Path:
    if split is None:
        nested = not any((root / name).is_dir() for name in _SPLITS) and (root / "data").is_dir()
        return root / "data" if nested else root
    there = [name for name in _SPLITS if _split_folder(root, name)]
    folder = _split_folder(root, split) if split in there else None
    if folder is None:
        raise SpecError(f"There is no split '{split}' in '{root}'; there are: {', '.join(there) or 'none'}.")
    return folder


@reader("vggface2", example="PATH")
def open_vggface2(path: Path, *, split: str | None = None, margin: int | None = None) -> FaceSet:
    r"""Open VGGFace2: ``train/n000002/0001_01.jpg`` and ``test/...`` in `path` or in ``data``, lists in ``meta``.

    Image ids are ``n000002/0001_01``. ``identity`` is the class, ``split`` categorical where there are folders train and
    test. Read where they are there, in `path`, ``meta``, ``data`` or ``bb_landmark``: ``identity_meta.csv`` (``name`` and
    the binary ``Male``), ``loose_landmark_train.csv`` and ``..._test.csv`` (five points), ``loose_bb_*.csv`` (face boxes,
    for `margin`), and ``train_list.txt`` and ``test_list.txt`` (images that they name and that are not there are listed in
    `skipped`, for splits of which there are any).

    Parameters
    ----------
    path : Path
        The folder that holds all that, one with folders ``n000001``, or a zip of images.
    split : str, optional
        Only this folder: train, test or val.
    margin : int, optional
        Cut faces out by their boxes, with so many per cent of the box on every side; images without a box are left out.
        The loosely cropped images as they are when not given.

    Returns
    -------
    FaceSet
        The set.

    Raises
    ------
    SpecError
        If there is no such split.
    DataError
        If no file lies in such folders, a list cannot be read, or there are no boxes although `margin` is given.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "test/n000001").mkdir(parents=True)
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/test/n000001/0001_01.jpg")
    ...     _ = Path(folder, "identity_meta.csv").write_text(
    ...         "Class_ID, Name, Sample_Num, Flag, Gender\nn000001, \"Ann_Lee\", 1, 0, f\n"
    ...     )
    ...     open_vggface2(Path(folder)).table.values.tolist()
    [['n000001/0001_01', 'n000001', 'test', 'Ann_Lee', False]]
    """
    root = next((path / r for r in _ROOTS if any(_split_folder(path / r, s) for s in _SPLITS)), path)
    named = named_images(
        _images_folder(root, split),
        _NAME,
        whose="VGGFace2's",
        form="n000001/0001_01.jpg",
        image_id=lambda match: match[2].lower(),
    )
    # A folder of one split, or of classes alone, has its lists beside it.
    alone = not any((root / name).is_dir() for name in ("data", *_SPLITS))
    roots = [root, root.parent] if alone else [root]
    if alone and split is None and root.name in _SPLITS:
        split = root.name
    opened = sorted({split} if split else {match[1].lower() for match in named.matches if match[1]})
    lists: list[Path] = []
    boxes = pd.DataFrame()
    lost = _unlisted(_find(roots, [f"{name}_list" for name in opened], ".txt"), set(named.ids))
    if margin is not None:
        lists = _find(roots, [f"loose_bb_{name}" for name in opened or _SPLITS])
        if not lists:
            raise DataError(
                f"margin needs the face boxes in loose_bb_train.csv or loose_bb_test.csv; neither is in '{root}', meta or "
                "bb_landmark. Leave out margin to take the images as they are."
            )
        boxes = pd.DataFrame(_numbers(lists, named.ids, _BOX), columns=_BOX, index=named.ids)
        numbers = boxes.to_numpy()
        boxed = np.isfinite(numbers).all(axis=1) & (numbers[:, 2:] > 0).all(axis=1)
        if not boxed.any():
            raise DataError(f"None of the {len(boxes)} images has a face box in '{lists[0]}'.")
        lost |= dict.fromkeys(boxes.index[~boxed], "it has no face box")
    named = named.without(lost)
    ids, people = named.ids, [match[3].lower() for match in named.matches]
    table = pd.DataFrame({"image_id": ids, "identity": pd.array(people, dtype="string")})
    schema = {"identity": Attribute("identity", description="the class")}
    if opened:
        splits = [split or (match[1] and match[1].lower()) for match in named.matches]
        table["split"] = pd.array(splits, dtype="string")
        schema["split"] = Attribute("categorical", description="the published split")
    people_files = _find(roots, ["identity_meta"])
    if people_files:
        lists += people_files
        told = _people(people_files[0]).reindex(people)
        table["name"] = pd.array(told["name"].tolist(), dtype="string")
        table["Male"] = pd.array(told["male"].tolist(), dtype="boolean")
        schema |= {
            "name": Attribute("identity", description="the person's name"),
            "Male": Attribute("binary"),
        }
    points = None
    points_files = _find(roots, [f"loose_landmark_{name}" for name in opened or _SPLITS])
    if points_files:
        lists += points_files
        points = read_points(pd.DataFrame(_numbers(points_files, ids, _POINTS), columns=_POINTS), _POINTS)[0]
    source: Source = StoredImages(named.store, named.stored, ids, points)
    if margin is not None:
        source = Crops(source, boxes.loc[ids].to_numpy(), ids, as_margin(margin))
    return FaceSet(
        name="vggface2",
        table=table,
        schema=schema,
        source=source,
        skipped=named.skipped,
        provenance={
            "reader": "vggface2",
            "source": str(path),
            "images": str(named.store.root),
            "lists": [file.name for file in lists],
            "margin_percent": margin,
            "paper": "Cao, Shen, Xie, Parkhi and Zisserman 2018, VGGFace2: A dataset for recognising faces across pose and "
            "age, FG",
            "licence": "for research, on the terms that came with the copy; the pictures belong to their owners",
        },
    )
