"""UTKFace: age, sex and race in the file name."""

import re
from pathlib import Path

import pandas as pd

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._locate import images_under
from fusiform.faces._sources import StoredImages
from fusiform.faces._tables import points_beside
from fusiform.faces.readers import reader

# The published set has a blank before a suffix, and a suffix without its dot.
_NAME = re.compile(r"^(\d{1,3})_([01])_([0-4])_(\d+)\s*\.?(jpe?g|png)(\.chip\.(jpe?g|png))?$", re.IGNORECASE)
_RACES = ("white", "black", "asian", "indian", "others")
_OLDEST = 120


@reader("utkface", example="PATH")
def open_utkface(path: Path) -> FaceSet:
    """Open UTKFace: a folder or zip of files named ``age_sex_race_date.jpg`` or ``....jpg.chip.jpg``.

    Files with other names (the published set has a few without a race), and a file's copies in further folders, are
    left out and listed in `skipped`.
    ``age`` is continuous in years, ``Male`` binary (0 in the name is male), ``race`` categorical. Points are taken from a
    ``labels.csv`` in the folder where there is one.

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
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/31_1_2_20170104.jpg")
    ...     open_utkface(Path(folder)).table[["age", "Male", "race"]].values.tolist()
    [[31.0, False, 'asian']]
    """
    store, names = images_under(path, "UTKFace's files age_sex_race_date.jpg")
    matches = {name: _NAME.match(name.rpartition("/")[2]) for name in names}
    good: dict[str, re.Match[str]] = {}
    reasons: dict[str, str] = {}
    first: dict[str, str] = {}
    for name, match in matches.items():
        file = name.rpartition("/")[2]
        if match is None or int(match[1]) > _OLDEST:
            reasons[name] = "its name is not age_sex_race_date.jpg with age up to 120"
        elif first.setdefault(file, name) != name:
            # Some copies hold every file twice; a face would be in both training and test.
            reasons[name] = f"the same file as '{first[file]}' by its name"
        else:
            good[name] = match
    if not good:
        raise DataError(
            f"No file in '{path}' is named like UTKFace's, age_sex_race_date.jpg; the first of {len(names)} images is "
            f"'{names[0]}'. For other collections use folder: or table:."
        )
    table = pd.DataFrame(
        {
            "image_id": list(good),
            "age": [float(match[1]) for match in good.values()],
            "Male": pd.array([match[2] == "0" for match in good.values()], dtype="boolean"),
            "race": pd.array([_RACES[int(match[3])] for match in good.values()], dtype="string"),
        }
    )
    folder = path if path.is_dir() else path.parent
    ids = list(good)
    return FaceSet(
        name="utkface",
        table=table,
        schema={
            "age": Attribute("continuous", unit="years"),
            "Male": Attribute("binary"),
            "race": Attribute("categorical", description="as labelled by UTKFace's authors"),
        },
        source=StoredImages(store, ids, ids, points_beside(folder, ids)),
        skipped=pd.DataFrame({"image_id": list(reasons), "reason": list(reasons.values())}),
        provenance={
            "reader": "utkface",
            "source": str(path),
            "images": str(store.root),
            "paper": "Zhang, Song and Qi 2017, Age Progression/Regression by Conditional Adversarial Autoencoder, CVPR",
            "licence": "non-commercial research only",
        },
    )
