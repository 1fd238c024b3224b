"""AgeDB: person, age and sex in the file name."""

import re
from pathlib import Path

import pandas as pd

from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._named import IMAGE_SUFFIX, named_images
from fusiform.faces._sources import StoredImages
from fusiform.faces._tables import points_beside
from fusiform.faces.readers import reader

_NAME = re.compile(r"(?:^|/)((\d+)_([^/]+)_(\d{1,3})_([fm]))" + IMAGE_SUFFIX, re.IGNORECASE)
_OLDEST = 120


def _fault(match: re.Match[str]) -> str | None:
    age = int(match[4])
    return None if age <= _OLDEST else f"the age {age} in its name is above {_OLDEST} years"


@reader("agedb", example="PATH")
def open_agedb(path: Path) -> FaceSet:
    """Open AgeDB: a folder or zip of files named ``index_Name_age_sex.jpg``, as in ``0_MariaCallas_35_f.jpg``.

    ``identity`` is the name, ``age`` continuous in years, ``Male`` binary. Image ids are the file names without suffix.
    Files with other names, ages above 120 and a file's copies in further folders are left out and listed in `skipped`.
    Points are taken from a ``labels.csv`` in the folder where there is one.

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
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/0_MariaCallas_35_f.jpg")
    ...     open_agedb(Path(folder)).table.values.tolist()
    [['0_MariaCallas_35_f', 'MariaCallas', 35.0, False]]
    """
    named = named_images(
        path,
        _NAME,
        whose="AgeDB's",
        form="index_Name_age_sex.jpg",
        image_id=lambda match: match[1],
        fault=_fault,
    )
    table = pd.DataFrame(
        {
            "image_id": named.ids,
            "identity": pd.array([match[3] for match in named.matches], dtype="string"),
            "age": [float(match[4]) for match in named.matches],
            "Male": pd.array([match[5].lower() == "m" for match in named.matches], dtype="boolean"),
        }
    )
    points = points_beside(path if path.is_dir() else path.parent, named.stored)
    return FaceSet(
        name="agedb",
        table=table,
        schema={
            "identity": Attribute("identity"),
            "age": Attribute("continuous", unit="years"),
            "Male": Attribute("binary"),
        },
        source=StoredImages(named.store, named.stored, named.ids, points),
        skipped=named.skipped,
        provenance={
            "reader": "agedb",
            "source": str(path),
            "images": str(named.store.root),
            "paper": "Moschoglou et al. 2017, AgeDB: The First Manually Collected, In-the-Wild Age Database, CVPR Workshops",
            "licence": "non-commercial research only; given on request",
        },
    )
