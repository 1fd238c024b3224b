"""Labeled Faces in the Wild, and the pairs of its verification protocol."""

import re
from pathlib import Path

import pandas as pd

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._lists import numbered_lines
from fusiform.faces._named import IMAGE_SUFFIX, named_images
from fusiform.faces._pairs import Missing, index_pairs
from fusiform.faces._sources import StoredImages
from fusiform.faces._tables import points_beside
from fusiform.faces.readers import reader

_NAME = re.compile(r"(?:^|/)([^/]+)_(\d{4})" + IMAGE_SUFFIX, re.IGNORECASE)
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
    named = named_images(
        inner,
        _NAME,
        whose="LFW's",
        form="Name_0001.jpg",
        image_id=lambda match: f"{match[1]}_{match[2]}",
        otherwise="collections with one folder an identity use folder:",
    )
    points = points_beside(inner if inner.is_dir() else inner.parent, named.stored)
    people = [match[1] for match in named.matches]
    return FaceSet(
        name="lfw",
        table=pd.DataFrame({"image_id": named.ids, "identity": people}).astype("string"),
        schema={"identity": Attribute("identity")},
        source=StoredImages(named.store, named.stored, named.ids, points),
        skipped=named.skipped,
        provenance={
            "reader": "lfw",
            "source": str(path),
            "images": str(named.store.root),
            "paper": "Huang, Ramesh, Berg and Learned-Miller 2007, Labeled Faces in the Wild, UMass Amherst TR 07-49",
            "licence": "none stated; for research, not to judge products by (the authors' disclaimer)",
        },
    )


def lfw_pairs(faces: FaceSet, path: str | Path, *, missing: Missing = "raise") -> pd.DataFrame:
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
    lines = [(number, line.split()) for number, line in numbered_lines(path, "file of pairs")]
    if not lines or not all(word.isdigit() for word in lines[0][1]):
        raise DataError(
            f"'{path}' must begin with the number of folds and of pairs, as LFW's pairs.txt does."
        )
    per_fold = 2 * int(lines[0][1][-1])
    named = []
    for position, (number, words) in enumerate(lines[1:]):
        same = len(words) == 3
        if len(words) not in (3, 4) or not words[-1].isdigit() or not words[1].isdigit():
            raise DataError(
                f"Line {number} of '{path}' is not 'name i j' or 'name i name j': '{' '.join(words)}'."
            )
        other = words[0] if same else words[2]
        named.append(
            (
                f"{words[0]}_{int(words[1]):04d}",
                f"{other}_{int(words[-1]):04d}",
                same,
                position // max(1, per_fold),
            )
        )
    return index_pairs(faces, named, path, missing)
