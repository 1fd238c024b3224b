"""A table with an image column and attribute columns, images in a folder or zip near it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fusiform.errors import DataError
from fusiform.faces._export import open_export
from fusiform.faces._face_set import FaceSet
from fusiform.faces._landmark_columns import landmark_columns, named_point, read_points
from fusiform.faces._locate import given_images, locate
from fusiform.faces._schema import given_kinds, read_attributes
from fusiform.faces._sources import StoredImages
from fusiform.faces._tables import image_column as find_image_column
from fusiform.faces._tables import present, read_table
from fusiform.faces.readers import reader

# Stems that say nothing; the folder's name then names the set.
_PLAIN_STEMS = {"annotations", "attributes", "data", "index", "labels", "list", "metadata", "table"}


@reader("table", example="PATH.csv")
def open_table(
    path: Path,
    *,
    images: str | None = None,
    image_column: str | None = None,
    identity: tuple[str, ...] = (),
    binary: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    continuous: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
) -> FaceSet:
    r"""Open a CSV, TSV or parquet table of faces.

    Kinds are inferred column by column: names like identity, person, subject or name are identities; values -1/1,
    0/1, true/false, yes/no are binary; numbers are continuous, but whole numbers with at most ten different values are
    categorical unless the name speaks of an angle, an age, a score or an intensity; text with few values is
    categorical. Left aside, with the reason in ``provenance["ignored"]``: boxes (``box_*``, ``bbox``), detection scores,
    masks and other file names, free text. Any of this is overridden by the options.

    Columns with five points become key points (``lm_left_eye_x``, ``lm_left_eye_y``, ..., ``lm_right_eye_*``,
    ``lm_nose_*``, ``lm_mouth_left_*``, ``lm_mouth_right_*``, or CelebA's ``lefteye_x`` ... ``rightmouth_y``), columns with
    68 points landmarks (``x_0``, ``y_0`` ... ``x_67``, ``y_67``, also from 1, also ``lm_0_x``), in pixels of the upright image.
    Left and right are as seen in the image; where the names mean the person's own, they are exchanged. Images that the
    table lists but that are not there are left out and listed in `skipped`.

    Parameters
    ----------
    path : Path
        .csv, .tsv or .parquet.
    images : str, optional
        Folder or zip of the images, relative to the table; otherwise looked for beside it.
    image_column : str, optional
        Column with the image files' names; otherwise found by name or content.
    identity, binary, categorical, continuous, ignore : tuple of str
        Columns whose kind is given.

    Returns
    -------
    FaceSet
        The set.

    Raises
    ------
    DataError
        If the table, a column or all images are missing, or values do not fit their kind.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/a.png")
    ...     _ = Path(folder, "t.csv").write_text("file,age,smiling\na.png,31,yes\n")
    ...     {name: a.kind for name, a in open_table(Path(folder, "t.csv")).schema.items()}
    {'age': 'continuous', 'smiling': 'binary'}
    """
    if path.is_dir():
        raise DataError(f"'{path}' is a folder, not a table; for a folder of images write 'folder:{path}'.")
    kinds = given_kinds(
        identity=identity, binary=binary, categorical=categorical, continuous=continuous, ignore=ignore
    )
    if not kinds and images is None and image_column is None:
        exported = open_export(path)
        if exported is not None:
            return exported
    return faces_of_table(read_table(path), path, images=images, image_column=image_column, kinds=kinds)


def faces_of_table(
    table: pd.DataFrame,
    path: Path,
    *,
    images: str | None = None,
    image_column: str | None = None,
    kinds: Mapping[str, str] | None = None,
) -> FaceSet:
    """The faces of a table that was read from `path`, as `open_table` describes them.

    Parameters
    ----------
    table : DataFrame
        One row an image.
    path : Path
        Where it comes from; images are looked for beside it.
    images, image_column : str, optional
        As for `open_table`.
    kinds : mapping of str to str, optional
        Kinds of columns, or "ignore".

    Returns
    -------
    FaceSet
        The set.

    Raises
    ------
    DataError
        If a column or all images are missing, or values do not fit their kind.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/a.png")
    ...     faces = faces_of_table(pd.DataFrame({"file": ["a.png", "b.png"]}), Path(folder, "t.csv"))
    ...     faces.table["image_id"].tolist(), faces.skipped["image_id"].tolist()
    (['a.png'], ['b.png'])
    """
    kinds = dict(kinds or {})
    table = table.reset_index(drop=True)
    column = find_image_column(table, image_column, path)
    files = table.pop(column)
    if files.isna().any():
        raise DataError(f"{int(files.isna().sum())} rows of '{path}' name no image in column '{column}'.")
    names = files.astype(str).str.strip().tolist()
    store, stored = locate(names, path.parent, None if images is None else given_images(images, path.parent))
    ids = (
        table.pop("image_id").astype(str).tolist()
        if "image_id" in table and "image_id" not in kinds
        else names
    )

    points, exchanged = None, False
    found = landmark_columns([c for c in table.columns if c not in kinds])
    if found is not None:
        points, exchanged = read_points(table, found[1])
        table = table.drop(columns=found[1])
    spare = [c for c in table.columns if named_point(c) and c not in kinds]
    read = read_attributes(table.drop(columns=spare), kinds)

    read.table.insert(0, "image_id", ids)
    there, skipped = present(ids, store, stored)
    ignored = {**read.ignored, **dict.fromkeys(spare, "a landmark's coordinate")}
    return FaceSet(
        name=path.parent.resolve().name if path.stem.lower() in _PLAIN_STEMS else path.stem,
        table=read.table[there],
        schema=read.schema,
        source=StoredImages(
            store,
            [stored[i] for i in np.flatnonzero(there)],
            [ids[i] for i in np.flatnonzero(there)],
            None if points is None else points[there],
        ),
        skipped=skipped,
        provenance={
            "reader": "table",
            "source": str(path),
            "images": str(store.root),
            "image_column": column,
            "landmarks": None if points is None else f"{points.shape[1]} points, from the table",
            "left_and_right_exchanged": exchanged,
            "ignored": ignored,
        },
    )
