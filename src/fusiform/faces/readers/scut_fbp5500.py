"""SCUT-FBP5500: mean ratings of beauty, sex and race in the file name."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._lists import contents, numbered_lines
from fusiform.faces._locate import locate
from fusiform.faces._sources import StoredImages
from fusiform.faces._tables import present
from fusiform.faces.readers import reader

_LISTS = "train_test_files"
_ALL = "All_labels.txt"
_HALVES = "split_of_60%training and 40%testing"
_FOLDS = "5_folders_cross_validations_files"
# Copies of the first release call the Caucasian (white) and Asian (yellow) files ftw1.jpg, mty2.jpg.
_NAME = re.compile(r"^(?:(?P<race>[AC])(?P<sex>[FM])|(?P<sex1>[fm])t(?P<race1>[wy]))\d+\.(?:jpe?g|png)$")
_RACES = {"A": "asian", "C": "caucasian", "y": "asian", "w": "caucasian"}


def _find(path: Path) -> tuple[Path, Path]:
    """The set's own folder and the one with its lists."""
    roots = [path, *(entry for entry in sorted(path.iterdir()) if entry.is_dir())]
    for root in roots:
        for lists in (root / _LISTS, root):
            if (lists / _ALL).is_file():
                return (root.parent if root.name == _LISTS else root), lists
    raise DataError(
        f"'{path}' is not laid out like SCUT-FBP5500: looked for {_LISTS}/{_ALL} in it and in its folders; found "
        f"{contents(path)}. For a table of one's own use table:."
    )


def _read(file: Path) -> dict[str, float]:
    """Ratings by file name."""
    ratings: dict[str, float] = {}
    for number, line in numbered_lines(file):
        name, _, text = line.replace("\t", " ").rpartition(" ")
        try:
            rating = float(text)
        except ValueError:
            rating = np.nan
        if not name or not 1 <= rating <= 5:
            raise DataError(
                f"Line {number} of '{file}' must be a file name and a rating from 1 to 5, as 'AF1.jpg 2.66'; got '{line}'."
            )
        if name.strip() in ratings:
            raise DataError(f"Line {number} of '{file}' lists '{name.strip()}' a second time.")
        ratings[name.strip()] = rating
    if not ratings:
        raise DataError(f"'{file}' lists no images.")
    return ratings


def _splits(lists: Path, fold: int | None) -> dict[str, str]:
    """Which part each image is in, by file name; empty where the lists of the split are not there."""
    if fold is None:
        files = {part: lists / _HALVES / f"{part}.txt" for part in ("train", "test")}
    else:
        folder = lists / _FOLDS / f"cross_validation_{fold}"
        files = {part: folder / f"{part}_{fold}.txt" for part in ("train", "test")}
    absent = [file for file in files.values() if not file.is_file()]
    if absent and (fold is not None or len(absent) == 1):
        raise DataError(f"There is no '{absent[0]}', which lists a part of SCUT-FBP5500's published split.")
    if absent:
        return {}
    parts: dict[str, str] = {}
    for part, file in files.items():
        for name in _read(file):
            if parts.setdefault(name, part) != part:
                raise DataError(f"'{name}' is in both parts of the split, '{files['train']}' and '{file}'.")
    return parts


@reader("scut", example="PATH")
def open_scut(path: Path, *, fold: int | None = None) -> FaceSet:
    r"""Open SCUT-FBP5500: ``train_test_files/All_labels.txt`` and ``Images/AF1.jpg``.

    ``beauty`` is continuous, the mean rating of 60 people from 1 to 5. ``Male`` (binary) and ``race`` (asian or caucasian)
    are read from the file name: AF1.jpg is an Asian female, CM2.jpg a Caucasian male. ``split`` (train or test) is the
    published split of 60% and 40%, or one of the five folds. The 86 landmarks (``facial landmark/*.pts``) are not used:
    which point is which is published as a picture only. Listed images that are not there are left out and listed in
    `skipped`.

    Parameters
    ----------
    path : Path
        The folder that holds ``train_test_files`` and ``Images``.
    fold : int, optional
        Take ``split`` from this fold, 1 to 5, of the published cross-validation.

    Returns
    -------
    FaceSet
        The set.

    Raises
    ------
    DataError
        If the list or all images are missing, a line cannot be read, or a name says neither sex nor race.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "Images").mkdir()
    ...     Path(folder, "train_test_files").mkdir()
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/Images/CM2.jpg")
    ...     _ = Path(folder, "train_test_files", "All_labels.txt").write_text("CM2.jpg 2.75\n")
    ...     open_scut(Path(folder)).table.values.tolist()
    [['CM2.jpg', 2.75, True, 'caucasian']]
    """
    if not path.is_dir():
        raise DataError(f"SCUT-FBP5500 is a folder with {_LISTS}/{_ALL} and Images; '{path}' is a file.")
    if fold is not None and not 1 <= fold <= 5:
        raise DataError(f"'fold' of SCUT-FBP5500 must be 1 to 5; got {fold}.")
    root, lists = _find(path)
    ratings = _read(lists / _ALL)
    ids = list(ratings)
    names = {name: _NAME.match(name) for name in ids}
    odd = next((name for name, match in names.items() if match is None), None)
    if odd is not None:
        raise DataError(
            f"'{lists / _ALL}' lists '{odd}'; SCUT-FBP5500's files are named AF1.jpg, AM1.jpg, CF1.jpg, CM1.jpg, ..."
        )
    matches = [match for match in names.values() if match is not None]
    images = root / "Images"
    store, stored = locate(
        ids, images if images.is_dir() else root, advice=f"Put the folder Images beside {_LISTS}."
    )
    there, skipped = present(ids, store, stored)
    table = pd.DataFrame(
        {
            "image_id": ids,
            "beauty": [ratings[name] for name in ids],
            "Male": pd.array([(m["sex"] or m["sex1"]).upper() == "M" for m in matches], dtype="boolean"),
            "race": pd.array([_RACES[m["race"] or m["race1"]] for m in matches], dtype="string"),
        }
    )
    schema = {
        "beauty": Attribute("continuous", description="mean rating of 60 people, 1 to 5"),
        "Male": Attribute("binary"),
        "race": Attribute("categorical", description="as labelled by SCUT-FBP5500's authors"),
    }
    parts = _splits(lists, fold)
    if parts:
        table["split"] = pd.array([parts.get(name) for name in ids], dtype="string")
        what = "60% and 40%" if fold is None else f"fold {fold} of 5"
        schema["split"] = Attribute("categorical", description=f"the published split, {what}")
    table = table[there]
    return FaceSet(
        name="scut_fbp5500",
        table=table,
        schema=schema,
        source=StoredImages(store, [stored[i] for i in np.flatnonzero(there)], table["image_id"].tolist()),
        skipped=skipped,
        provenance={
            "reader": "scut",
            "source": str(path),
            "images": str(store.root),
            "fold": fold,
            "paper": "Liang, Lin, Jin, Xie and Li 2018, SCUT-FBP5500: A Diverse Benchmark Dataset for Multi-Paradigm Facial "
            "Beauty Prediction, ICPR",
            "licence": "non-commercial research only",
        },
    )
