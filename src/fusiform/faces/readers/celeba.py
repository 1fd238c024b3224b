"""CelebA in its published layout."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._landmark_columns import landmark_columns, read_points
from fusiform.faces._lists import contents, find_file, read_list
from fusiform.faces._locate import locate
from fusiform.faces._schema import as_kind
from fusiform.faces._sources import StoredImages
from fusiform.faces.readers import reader

_PLACES = ("", "Anno", "Eval", "Img", "img_align_celeba")
_ROOTS = ("", "CelebA", "celeba")
_ADVICE = "Put img_align_celeba, or its zip, beside the lists."
_PARTITIONS = {"0": "train", "1": "valid", "2": "test"}


def _find(path: Path, stem: str) -> Path | None:
    return find_file(path, stem, _PLACES)


def _points(file: Path, ids: Sequence[str]) -> Float[ndarray, "n 5 2"]:
    table = read_list(file).reindex(pd.Index(ids))
    columns = landmark_columns(list(table.columns))
    if columns is None:
        raise DataError(
            f"'{file}' must have the columns lefteye_x ... rightmouth_y; got {', '.join(table.columns)}."
        )
    return read_points(table.reset_index(drop=True), columns[1])[0]


@reader("celeba", example="PATH")
def open_celeba(path: Path) -> FaceSet:
    r"""Open CelebA: lists in `path`, ``Anno`` or ``Eval``, aligned images in ``img_align_celeba`` or its zip.

    Read where they are there, as .txt or .csv: ``list_attr_celeba`` (40 binary attributes), ``identity_CelebA``
    (identity), ``list_eval_partition`` (categorical ``partition``: train, valid, test) and
    ``list_landmarks_align_celeba`` (key points). At least the first or the second must be. Images that are listed
    but not there (in a part of the set) are left out and listed in `skipped`.

    Parameters
    ----------
    path : Path
        The folder that holds the lists, or ``Anno``, ``Eval`` and ``Img``.

    Returns
    -------
    FaceSet
        The set.

    Raises
    ------
    DataError
        If the lists or all images are missing, or a list is cut short.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "img_align_celeba").mkdir()
    ...     Image.new("RGB", (178, 218)).save(f"{folder}/img_align_celeba/000001.jpg")
    ...     _ = Path(folder, "list_attr_celeba.txt").write_text("1\nMale Young\n000001.jpg -1 1\n")
    ...     open_celeba(Path(folder)).table.values.tolist()
    [['000001.jpg', False, True]]
    """
    if not path.is_dir():
        raise DataError(
            f"CelebA is a folder with list_attr_celeba.txt and img_align_celeba; '{path}' is a file."
        )
    main = ("list_attr_celeba", "identity_CelebA")
    root = next((path / r for r in _ROOTS if any(_find(path / r, stem) for stem in main)), path)
    attributes_file, identity_file = (_find(root, stem) for stem in main)
    if attributes_file is None and identity_file is None:
        raise DataError(
            f"'{path}' is not laid out like CelebA: looked for list_attr_celeba and identity_CelebA (.txt or .csv) in it and "
            f"in {', '.join((*_PLACES[1:], *_ROOTS[1:]))}; found {contents(path)}. For a table of one's own use table:."
        )
    columns: dict[str, pd.Series] = {}
    schema: dict[str, Attribute] = {}
    lists = [file for file in (attributes_file, identity_file) if file is not None]
    ids: list[str] = []
    if attributes_file is not None:
        listed = read_list(attributes_file)
        ids = [str(name) for name in listed.index]
        for name in listed.columns:
            columns[name] = as_kind(listed[name], "binary", name)
            schema[name] = Attribute("binary")
    if identity_file is not None:
        people = read_list(identity_file, ["identity"]).iloc[:, 0]
        ids = ids or [str(name) for name in people.index]
        columns["identity"] = as_kind(people.reindex(ids), "identity", "identity")
        schema["identity"] = Attribute("identity")
    partition_file = _find(root, "list_eval_partition")
    if partition_file is not None:
        codes = read_list(partition_file, ["partition"]).iloc[:, 0].astype("string")
        odd = codes.index[~codes.isin(list(_PARTITIONS))]
        if len(odd):
            raise DataError(
                f"'{partition_file}': the line of '{odd[0]}' holds '{codes[odd[0]]}', expected 0, 1 or 2 for train, valid "
                "or test."
            )
        partition = codes.map(_PARTITIONS)
        lists.append(partition_file)
        columns["partition"] = as_kind(partition.reindex(ids), "categorical", "partition")
        schema["partition"] = Attribute("categorical", description="the published split")
    points_file = _find(root, "list_landmarks_align_celeba")
    points = None
    if points_file is not None:
        lists.append(points_file)
        points = _points(points_file, ids)

    images = root / "Img"
    # The lists say .jpg for the .png version too.
    store, stored = locate(ids, images if images.is_dir() else root, any_suffix=True, advice=_ADVICE)
    there = np.array([store.has(name) for name in stored], dtype=bool)
    missing = [ids[i] for i in np.flatnonzero(~there)]
    stored = [stored[i] for i in np.flatnonzero(there)]
    table = pd.DataFrame({"image_id": ids, **columns}).loc[there]
    return FaceSet(
        name="celeba",
        table=table,
        schema=schema,
        source=StoredImages(
            store, stored, table["image_id"].tolist(), None if points is None else points[there]
        ),
        skipped=pd.DataFrame(
            {"image_id": missing, "reason": f"listed, but not among the images in {store.root}"}
        ),
        provenance={
            "reader": "celeba",
            "source": str(path),
            "images": str(store.root),
            "lists": [file.name for file in lists],
            "paper": "Liu, Luo, Wang and Tang 2015, Deep Learning Face Attributes in the Wild, ICCV",
            "licence": "non-commercial research only; copies must not be passed on",
        },
    )
