import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray
from PIL import Image

from fusiform._files import atomic_write, explain_full_disk
from fusiform.errors import DataError, ImageError, RunError, nearest
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._images import UnreadableImageError, decode
from fusiform.faces._schema import as_kind, read_attributes
from fusiform.faces._sources import Progress, StoredImages, chunks, in_threads
from fusiform.faces._stores import FolderStore
from fusiform.faces._tables import present

TABLE = "table.csv"
SCHEMA = "schema.json"
_FORMAT = "fusiform faces"
_VERSION = 1
_FIVE = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
# Half the time of the default for a few per cent more bytes.
_COMPRESS_LEVEL = 3


def export_faces(
    faces: FaceSet,
    folder: str | Path,
    *,
    masks: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write a set as PNG images and a table that ``open_faces("table:FOLDER/table.csv")`` reads back as it was.

    ``FOLDER/images/*.png`` are the pixels as the set shows them, aligned or resized where it is; ``table.csv`` holds
    image ids, attributes and landmarks; ``schema.json`` kinds, units, who predicted what, provenance and what was left
    out; ``masks/PART/*.png`` the masks asked for. Every file is written whole or not at all, and the table last. An
    export that was broken off is continued: images that are there are kept.

    Parameters
    ----------
    faces : FaceSet
        The set; `FaceSet.readable` leaves out what cannot be read.
    folder : str or Path
        Made when missing; must be empty, or hold an export of the same set.
    masks : sequence of str, optional
        Parts whose masks are written too.
    overwrite : bool, default False
        Replace an export of another set.
    progress : callable, optional
        Called with ``(done, total)`` images.

    Returns
    -------
    Path
        The table.

    Raises
    ------
    DataError
        If the set has no masks of a part.
    ImageError
        If an image cannot be read.
    RunError
        If the folder holds something else, may not be written, or the disk is full.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from fusiform.faces import open_faces
    >>> faces = open_faces("synthetic?n=2&size=48")
    >>> with TemporaryDirectory() as folder:
    ...     again = open_faces(f"table:{export_faces(faces, folder, masks=['mouth'])}")
    ...     again.table.equals(faces.table), bool((again.images() == faces.images()).all()), again.parts
    (True, True, ('mouth',))
    """
    folder = Path(folder)
    parts = list(dict.fromkeys(masks))
    for part in parts:
        if part not in faces.parts:
            has = nearest(part, faces.parts) if faces.parts else "this set has no masks"
            raise DataError(f"The faces '{faces.name}' have no mask of '{part}' to export; {has}")
    what = {"format": _FORMAT, "version": _VERSION, "digest": faces.digest(), "parts": parts}
    _prepare(folder, what, faces.name, overwrite)
    files = [f"{number:0{max(6, len(str(len(faces))))}d}.png" for number in range(len(faces))]
    _write_json(folder / SCHEMA, what)
    done = 0
    for index in chunks(range(len(faces))):
        _write_images(faces, folder, files, list(index), parts)
        done += len(index)
        if progress is not None:
            progress(done, len(faces))
    table, columns = _table(faces, files)
    with atomic_write(folder / TABLE) as unfinished:
        table.to_csv(unfinished, index=False)
    _write_json(folder / SCHEMA, what | columns | _description(faces))
    return folder / TABLE


def _prepare(folder: Path, what: Mapping[str, Any], name: str, overwrite: bool) -> None:
    """Make the folder, or see that it may be continued, or empty it of an earlier export."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"'{folder}' is a file; faces are exported into a folder.")
    with explain_full_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            return
        there = _read_json(folder / SCHEMA)
        if there is None:
            raise RunError(
                f"'{folder}' holds files that are no export of faces; choose an empty folder or a new one."
            )
        if all(there.get(key) == value for key, value in what.items()):
            return
        if not overwrite:
            raise RunError(
                f"'{folder}' holds an export of '{there.get('name', 'another set')}' that is not the one asked for: the "
                f"set '{name}', its geometry or its masks differ. Choose another folder, or overwrite it."
            )
        # The table first: without it nothing half removed can be opened.
        (folder / TABLE).unlink(missing_ok=True)
        for own in ("images", "masks"):
            if (folder / own).is_dir() and not (folder / own).is_symlink():
                shutil.rmtree(folder / own)
        (folder / SCHEMA).unlink()


def _write_images(
    faces: FaceSet, folder: Path, files: Sequence[str], index: list[int], parts: Sequence[str]
) -> None:
    """Write those of some images and masks that are not there."""
    todo = [i for i in index if not (folder / "images" / files[i]).exists()]
    if todo:
        pixels = faces.images(todo) if faces.size is not None else [faces.image(i) for i in todo]
        arrays = {i: image.permute(1, 2, 0).numpy() for i, image in zip(todo, pixels, strict=True)}
        in_threads(lambda i: _save(arrays[i], folder / "images" / files[i]), todo)
    for part in parts:
        todo = [i for i in index if not (folder / "masks" / part / files[i]).exists()]
        if todo:
            found = (
                faces.mask(part, todo)
                if faces.size is not None
                else [faces.subset([i]).mask(part)[0] for i in todo]
            )
            arrays = {i: mask.numpy().astype(np.uint8) * 255 for i, mask in zip(todo, found, strict=True)}
            for i in todo:
                _save(arrays[i], folder / "masks" / part / files[i])


def _save(pixels: ndarray, path: Path) -> None:
    with atomic_write(path) as part:
        Image.fromarray(np.ascontiguousarray(pixels)).save(part, format="PNG", compress_level=_COMPRESS_LEVEL)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _table(faces: FaceSet, files: Sequence[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table to write, and which of its columns hold files and points."""
    table = faces.table
    taken = set(table.columns)
    file = _free("file", taken)
    table.insert(0, file, [f"images/{name}" for name in files])
    points = faces.landmarks if faces.n_landmarks == 68 else faces.keypoints
    columns: list[str] = []
    if points is not None:
        names = _FIVE if points.shape[1] == 5 else range(68)
        columns = [_free(f"lm_{name}_{axis}", taken) for name in names for axis in "xy"]
        located = pd.DataFrame(points.reshape(len(points), -1), columns=columns)
        table = pd.concat([table, located], axis=1)
    return table, {"file": file, "landmarks": columns}


def _description(faces: FaceSet) -> dict[str, Any]:
    provenance = faces.provenance
    geometry = provenance.pop("geometry")
    return {
        "status": "complete",
        "name": faces.name,
        "n": len(faces),
        "attributes": {name: attribute.as_dict() for name, attribute in faces.schema.items()},
        "provenance": provenance | {"exported": {"spec": faces.spec, "geometry": geometry}},
        "skipped": faces.skipped.to_dict("records"),
    }


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    with atomic_write(path) as part:
        part.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any] | None:
    """What a description holds; None where there is none of an export."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and values.get("format") == _FORMAT else None


class ExportedImages(StoredImages):
    """Images of an export, with the masks that were written beside them.

    Parameters
    ----------
    store, names, ids, points
        As for `StoredImages`; names begin with ``images/``.
    parts : sequence of str
        Parts that have masks.
    """

    def __init__(
        self,
        store: FolderStore,
        names: Sequence[str],
        ids: Sequence[str],
        points: Float[ndarray, "n p 2"] | None,
        parts: Sequence[str],
    ) -> None:
        super().__init__(store, names, ids, points)
        self.parts = tuple(parts)

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a part is."""
        return [self._mask(part, row) for row in rows]

    def _mask(self, part: str, row: int) -> Bool[ndarray, "h w"]:
        name = f"masks/{part}/{self._names[row].removeprefix('images/')}"
        try:
            mask: Bool[ndarray, "h w"] = decode(self._store.read(name))[..., 0] >= 128
        except UnreadableImageError as error:
            raise ImageError(self._ids[row], f"its mask of '{part}', '{name}': {error}") from error
        if mask.shape != self.size(row):
            raise ImageError(self._ids[row], f"its mask of '{part}' has another size than the image")
        return mask


def open_export(path: Path) -> FaceSet | None:
    """The set that `export_faces` wrote a table of; None where the table is not such a one.

    Columns that the description does not know were added since; their kinds are inferred.
    """
    described = _read_json(path.parent / SCHEMA) if path.name == TABLE else None
    if described is None:
        return None
    if described.get("status") != "complete" or described.get("version") != _VERSION:
        raise DataError(
            f"'{path.parent}' holds an export of faces that is not complete, or was made by another version of fusiform. "
            f"Export the faces again; or remove '{SCHEMA}', and the table is read as any other."
        )
    try:
        file, columns = str(described["file"]), [str(c) for c in described["landmarks"]]
        schema = {str(name): Attribute(**entry) for name, entry in described["attributes"].items()}
        skipped = pd.DataFrame(described["skipped"], columns=["image_id", "reason"])
        parts, provenance = list(map(str, described["parts"])), dict(described["provenance"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"'{path.parent / SCHEMA}' does not describe an export of faces ({type(error).__name__}: {error}). Export the "
            "faces again; or remove it, and the table is read as any other."
        ) from error
    table = _read(path)
    lacking = [name for name in ("image_id", file, *columns) if name not in table.columns]
    if lacking:
        raise DataError(f"The table '{path}' lacks the columns {', '.join(lacking)}, which its export had.")
    files = table.pop(file).astype(str).tolist()
    points = _points(table, columns, path) if columns else None
    table = table.drop(columns=columns)
    ids = table.pop("image_id")
    known = {name: attribute for name, attribute in schema.items() if name in table.columns}
    added = read_attributes(table.drop(columns=list(known)))
    values = {name: _exact(table[name], attribute.kind, name) for name, attribute in known.items()}
    store = FolderStore(path.parent)
    faces = FaceSet(
        name=str(described.get("name", path.parent.name)),
        table=pd.concat([ids, pd.DataFrame(values, index=table.index), added.table], axis=1),
        schema=known | added.schema,
        source=ExportedImages(store, files, ids.astype(str).tolist(), points, parts),
        provenance=provenance | {"images": str(store.root)},
        skipped=skipped,
    )
    there, missing = present(ids.astype(str).tolist(), store, files)
    return faces._kept(np.flatnonzero(there), missing)


def _read(path: Path) -> pd.DataFrame:
    try:
        # A person called "NA" is known; only an empty cell is not.
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"The table '{path}' cannot be read: {str(error).strip()}.") from error


def _points(table: pd.DataFrame, columns: Sequence[str], path: Path) -> Float[ndarray, "n p 2"]:
    """The points as they were written: left is left, whatever the order of the eyes."""
    try:
        values = table[list(columns)].astype(np.float64).to_numpy()
    except ValueError as error:
        raise DataError(
            f"A landmark column of '{path}' holds something else than numbers: {error}."
        ) from error
    return values.reshape(len(table), -1, 2)


def _exact(column: pd.Series, kind: str, name: str) -> pd.Series:
    """A column in its type; numbers to the last digit, which pandas' own reading may miss."""
    typed = as_kind(column, kind, name)
    if kind == "continuous":
        return column.map(float, na_action="ignore").astype("float64").where(typed.notna())
    return typed
