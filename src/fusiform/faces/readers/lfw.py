"""Labeled Faces in the Wild, and the pairs of its verification protocol."""

import re
from pathlib import Path
from typing import Literal

import pandas as pd

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._locate import images_under
from fusiform.faces._sources import StoredImages
from fusiform.faces._tables import points_beside
from fusiform.faces.readers import reader

_NAME = re.compile(r"^(.+)_(\d{4})\.(jpg|jpeg|png|ppm)$", re.IGNORECASE)
_FOLDERS = ("lfw", "lfw_funneled", "lfw-funneled", "lfw-deepfunneled", "lfw_deepfunneled")


@reader("lfw", example="PATH")
def open_lfw(path: Path) -> FaceSet:
    """Open LFW: ``Name/Name_0001.jpg`` under `path` or under ``lfw``, ``lfw_funneled`` or ``lfw-deepfunneled`` in it.

    Image ids are the file names without suffix, as in ``George_W_Bush_0001``. Files with other names are listed in
    `skipped`. Points are taken from a ``labels.csv`` in the folder where there is one.

    Parameters
    ----------
    path : Path
        Folder or zip.

    Returns
    -------
    FaceSet
        The set.

    Raises
    ------
    DataError
        If no file has such a name.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "Ann_Lee").mkdir()
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/Ann_Lee/Ann_Lee_0001.jpg")
    ...     open_lfw(Path(folder)).table.values.tolist()
    [['Ann_Lee_0001', 'Ann_Lee']]
    """
    inner = next((path / folder for folder in _FOLDERS if (path / folder).is_dir()), path)
    store, names = images_under(inner, "LFW's folders Name with files Name_0001.jpg")
    matches = {name: _NAME.match(name.rpartition("/")[2]) for name in names}
    good = {name: match for name, match in matches.items() if match}
    bad = [name for name in names if not matches[name]]
    if not good:
        raise DataError(
            f"No file in '{inner}' is named like LFW's, Name/Name_0001.jpg; the first of {len(names)} images is "
            f"'{names[0]}'. For other collections with one folder an identity use folder:."
        )
    ids = [f"{match[1]}_{match[2]}" for match in good.values()]
    stored = list(good)
    return FaceSet(
        name="lfw",
        table=pd.DataFrame({"image_id": ids, "identity": [match[1] for match in good.values()]}).astype(
            "string"
        ),
        schema={"identity": Attribute("identity")},
        source=StoredImages(
            store, stored, ids, points_beside(inner if inner.is_dir() else inner.parent, stored)
        ),
        skipped=pd.DataFrame({"image_id": bad, "reason": "its name is not Name_0001.jpg"}),
        provenance={
            "reader": "lfw",
            "source": str(path),
            "images": str(store.root),
            "paper": "Huang, Ramesh, Berg and Learned-Miller 2007, Labeled Faces in the Wild, UMass Amherst TR 07-49",
        },
    )


def lfw_pairs(
    faces: FaceSet, path: str | Path, *, missing: Literal["raise", "drop"] = "raise"
) -> pd.DataFrame:
    r"""Read the pairs of LFW's verification protocol.

    Parameters
    ----------
    faces : FaceSet
        Opened by ``lfw:``.
    path : str or Path
        ``pairs.txt`` (ten folds), ``pairsDevTrain.txt`` or ``pairsDevTest.txt``.
    missing : {"raise", "drop"}, default "raise"
        What to do with pairs of which an image is not in the set.

    Returns
    -------
    DataFrame
        Columns ``first`` and ``second`` (indices into the set), ``same`` (bool) and ``fold`` (0-based).

    Raises
    ------
    DataError
        If a line cannot be read, or images are missing under ``missing="raise"``.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> table = pd.DataFrame({"image_id": ["Ann_0001", "Ann_0002"]})
    >>> faces = FaceSet.from_arrays(np.zeros((2, 3, 8, 8), dtype=np.uint8), table)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "pairs.txt").write_text("1\nAnn\t1\t2\n")
    ...     lfw_pairs(faces, Path(folder, "pairs.txt")).values.tolist()
    [[0, 1, True, 0]]
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DataError(f"There is no file of pairs '{path}'.")
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' cannot be read: {error}.") from error
    if not lines or not all(word.isdigit() for word in lines[0]):
        raise DataError(
            f"'{path}' must begin with the number of folds and of pairs, as LFW's pairs.txt does."
        )
    per_fold = 2 * int(lines[0][-1])
    row_of = {image_id: i for i, image_id in enumerate(faces.table["image_id"])}
    rows: list[tuple[int, int, bool, int]] = []
    lost: list[str] = []
    for number, words in enumerate(lines[1:]):
        same = len(words) == 3
        if len(words) not in (3, 4) or not words[-1].isdigit() or not words[1].isdigit():
            raise DataError(
                f"Line {number + 2} of '{path}' is not 'name i j' or 'name i name j': '{' '.join(words)}'."
            )
        ids = (
            f"{words[0]}_{int(words[1]):04d}",
            f"{words[0] if same else words[2]}_{int(words[-1]):04d}",
        )
        absent = [image_id for image_id in ids if image_id not in row_of]
        if absent:
            lost.extend(absent)
        else:
            rows.append((row_of[ids[0]], row_of[ids[1]], same, number // per_fold))
    if lost and missing == "raise":
        raise DataError(
            f"{len(set(lost))} images of '{path.name}' are not among the {len(faces)} faces, the first '{lost[0]}'; "
            "missing='drop' leaves their pairs out."
        )
    return pd.DataFrame(rows, columns=["first", "second", "same", "fold"])
