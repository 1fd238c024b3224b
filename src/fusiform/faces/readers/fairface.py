"""FairFace: age bands, sex and race, balanced over seven races."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._lists import contents
from fusiform.faces._locate import given_images, images_under
from fusiform.faces._sources import StoredImages
from fusiform.faces._stores import ImageStore
from fusiform.faces._tables import coded, need_columns, present, read_table
from fusiform.faces.readers import reader

_LABELS = {split: f"fairface_label_{split}.csv" for split in ("train", "val")}
_AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")
_RACES = ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern")
_SEXES = {"Male": True, "Female": False}
_FLAGS = {"True": True, "False": False, "TRUE": True, "FALSE": False}


def _find(path: Path) -> dict[str, Path]:
    folders = [path, *sorted(entry for entry in path.iterdir() if entry.is_dir())]
    for folder in folders:
        found = {split: folder / name for split, name in _LABELS.items() if (folder / name).is_file()}
        if found:
            return found
    raise DataError(
        f"'{path}' is not laid out like FairFace: looked for {' and '.join(_LABELS.values())} in it and in its folders; "
        f"found {contents(path)}. For a table of one's own use table:."
    )


def _read(file: Path, split: str) -> pd.DataFrame:
    table = read_table(file)
    need_columns(table, ("file", "age", "gender", "race"), file, "FairFace's list of labels")
    if table["file"].isna().any():
        raise DataError(f"Line {int(table['file'].isna().argmax()) + 2} of '{file}' names no image.")
    try:
        ages = coded(table["age"], {age: age for age in _AGES}, file)
    except DataError as error:
        raise DataError(
            f"{error} Spreadsheet programs turn 3-9 and 10-19 into dates; take the list as it was published."
        ) from error
    columns = {
        "file": table["file"].astype("string").str.strip(),
        "age_group": pd.array(ages, dtype="string"),
        "Male": pd.array(coded(table["gender"], _SEXES, file), dtype="boolean"),
        "race": pd.array(coded(table["race"], {race: race for race in _RACES}, file), dtype="string"),
        "split": pd.array([split] * len(table), dtype="string"),
    }
    if "service_test" in table:
        columns["service_test"] = pd.array(coded(table["service_test"], _FLAGS, file), dtype="boolean")
    return pd.DataFrame(columns)


def _images(ids: list[str], place: Path) -> tuple[ImageStore, list[str]]:
    """The store, and the images' names in it, under the folder with most of them.

    Both parts number their images from 1, so an image is known by its folder and file name together.
    """
    store, names = images_under(place, "FairFace's images train/1.jpg and val/1.jpg")
    wanted = set(ids)
    hits: Counter[str] = Counter()
    for name in names:
        inner = "/".join(name.split("/")[-2:])
        if inner in wanted:
            hits[name.removesuffix(inner)] += 1
    if not hits:
        raise DataError(
            f"None of FairFace's images is in {store!r}: the lists name {len(ids)}, the first '{ids[0]}'; the first of "
            f"{len(names)} there is '{names[0]}'. Give images=FOLDER_OR_ZIP."
        )
    folder = max(hits, key=lambda one: hits[one])
    return store, [folder + name for name in ids]


@reader("fairface", example="PATH")
def open_fairface(path: Path, *, split: str | None = None, images: str | None = None) -> FaceSet:
    r"""Open FairFace: ``fairface_label_train.csv``, ``fairface_label_val.csv`` and the images ``train/1.jpg``, ``val/1.jpg``.

    ``age_group`` is categorical and holds the nine published bands (``0-2``, ``3-9``, ``10-19``, ... ``60-69``, ``more than
    70``) as they are: the labels say no more, so there is no continuous age. ``Male`` is binary, ``race`` categorical,
    ``split`` is train or val, ``service_test`` (binary) marks the published test of services. Listed images that are not
    there are left out and listed in `skipped`.

    Parameters
    ----------
    path : Path
        The folder with one or both lists; the images lie in it, in a folder of it, or in a zip of it.
    split : {"train", "val"}, optional
        Only this part; both, where both lists are there, when not given.
    images : str, optional
        Folder or zip of the images, relative to the lists. Where the set lies in both croppings (margin 0.25 and 1.25),
        the first by name is taken unless this says which.

    Returns
    -------
    FaceSet
        The set.

    Raises
    ------
    DataError
        If the lists or all images are missing, or a label is not one of the published ones.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "val").mkdir()
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/val/1.jpg")
    ...     rows = "file,age,gender,race,service_test\nval/1.jpg,3-9,Male,East Asian,False\n"
    ...     _ = Path(folder, "fairface_label_val.csv").write_text(rows)
    ...     open_fairface(Path(folder)).table.values.tolist()
    [['val/1.jpg', '3-9', True, 'East Asian', 'val', False]]
    """
    if not path.is_dir():
        raise DataError(f"FairFace is a folder with {_LABELS['train']} and images; '{path}' is a file.")
    if split is not None and split not in _LABELS:
        raise DataError(f"'split' of FairFace must be one of {', '.join(_LABELS)}; got '{split}'.")
    lists = _find(path)
    if split is not None and split not in lists:
        raise DataError(f"'{path}' has no {_LABELS[split]}; found {contents(path)}.")
    wanted = lists if split is None else {split: lists[split]}
    table = pd.concat([_read(file, part) for part, file in wanted.items()], ignore_index=True)
    ids = table.pop("file").tolist()
    root = next(iter(lists.values())).parent
    store, stored = _images(ids, root if images is None else given_images(images, root))
    there, skipped = present(ids, store, stored)
    table.insert(0, "image_id", ids)
    schema = {
        "age_group": Attribute("categorical", description="band of the apparent age in years"),
        "Male": Attribute("binary"),
        "race": Attribute("categorical", description="as labelled by FairFace's authors"),
        "split": Attribute("categorical", description="the published split"),
        "service_test": Attribute("binary", description="used in the published test of services"),
    }
    table = table[there]
    return FaceSet(
        name="fairface",
        table=table,
        schema={name: attribute for name, attribute in schema.items() if name in table},
        source=StoredImages(store, [stored[i] for i in np.flatnonzero(there)], table["image_id"].tolist()),
        skipped=skipped,
        provenance={
            "reader": "fairface",
            "source": str(path),
            "images": str(store.root),
            "lists": [file.name for file in wanted.values()],
            "paper": "Karkkainen and Joo 2021, FairFace: Face Attribute Dataset for Balanced Race, Gender, and Age for Bias "
            "Measurement and Mitigation, WACV",
            "licence": "CC BY 4.0",
        },
    )
