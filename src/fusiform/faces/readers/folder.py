"""One folder an identity: LFW, VGGFace2, ORL and most collections of one's own; or a flat folder."""

from pathlib import Path

import pandas as pd

from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._locate import images_under
from fusiform.faces._sources import StoredImages
from fusiform.faces._tables import points_beside
from fusiform.faces.readers import reader

_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval"}


def _people(folders: list[tuple[str, ...]]) -> tuple[list[str | None] | None, list[str | None] | None]:
    """Who is shown and which split it is, from the folders above each image."""
    tops = {folder[0] if folder else None for folder in folders}
    while len(tops) == 1 and None not in tops:
        # One folder around everything says nothing about who is shown.
        folders = [folder[1:] for folder in folders]
        tops = {folder[0] if folder else None for folder in folders}
    splits: list[str | None] | None = None
    if all(top is not None and top.lower() in _SPLITS for top in tops) and all(len(f) > 1 for f in folders):
        splits = [folder[0] for folder in folders]
        folders = [folder[1:] for folder in folders]
    people: list[str | None] = [folder[0] if folder else None for folder in folders]
    return (people if any(people) else None), splits


@reader("folder", example="PATH")
def open_folder(path: Path) -> FaceSet:
    """Open a folder (or zip) with one subfolder an identity, or a flat folder of images.

    The folder name is the identity; further levels below it are allowed. Folders named train, val, test, ... around
    the identities become the attribute ``split``. Files directly in `path` have no identity. Points are taken from a
    ``labels.csv`` in `path` where it has landmark columns; its other columns are read by ``table:``.

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
        If there are no images.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for who in "ab":
    ...         Path(folder, who).mkdir()
    ...         Image.new("RGB", (8, 8)).save(f"{folder}/{who}/1.png")
    ...     open_folder(Path(folder)).table["identity"].tolist()
    ['a', 'b']
    """
    store, names = images_under(path, "one folder an identity with images in it, or images alone")
    people, splits = _people([tuple(name.split("/")[:-1]) for name in names])
    table = pd.DataFrame({"image_id": names})
    schema = {}
    if people is not None:
        table["identity"] = pd.array(people, dtype="string")
        schema["identity"] = Attribute("identity", description="name of the folder")
    if splits is not None:
        table["split"] = pd.array(splits, dtype="string")
        schema["split"] = Attribute("categorical", description="name of the folder around the identities")
    folder = path if path.is_dir() else path.parent
    return FaceSet(
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        table=table,
        schema=schema,
        source=StoredImages(store, names, names, points_beside(folder, names)),
        provenance={"reader": "folder", "source": str(path), "images": str(store.root)},
    )
