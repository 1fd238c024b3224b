import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from fusiform.faces._images import UnreadableImageError
from fusiform.faces._locate import Inside
from fusiform.faces._sources import Progress, Source, StoredImages, chunks, in_threads
from fusiform.faces._stores import FolderStore, ZipStore

if TYPE_CHECKING:
    from fusiform.faces._face_set import FaceSet

# Stores whose fingerprints are sizes and checksums of files, so that files that differ there differ.
_SIZED = (FolderStore, ZipStore, Inside)


def _alike(keys: Iterable[str], rows: Iterable[int]) -> list[list[int]]:
    """Groups of rows with one key."""
    groups: dict[str, list[int]] = defaultdict(list)
    for key, row in zip(keys, rows, strict=True):
        groups[key].append(row)
    return [group for group in groups.values() if len(group) > 1]


def _of_files(
    source: StoredImages, rows: Sequence[int]
) -> tuple[list[int], Callable[[Sequence[int]], list[str]]]:
    """The rows that may have a twin, and what gives the digests of their files' bytes."""
    store, names = source._store, source._names
    if isinstance(store, _SIZED):
        rows = [row for group in _alike((store.fingerprint(names[r]) for r in rows), rows) for row in group]

    def digest(row: int) -> str:
        try:
            return hashlib.sha256(store.read(names[row])).hexdigest()
        except UnreadableImageError:
            return f"unreadable {row}"

    return list(rows), lambda some: in_threads(digest, some)


def _of_pixels(source: Source, rows: Sequence[int]) -> tuple[list[int], Callable[[Sequence[int]], list[str]]]:
    """All rows, and what gives the digests of their pixels."""

    def digests(some: Sequence[int]) -> list[str]:
        return [f"{image.shape}{hashlib.sha256(image.tobytes()).hexdigest()}" for image in source.read(some)]

    return list(rows), digests


def duplicates(faces: "FaceSet", progress: Progress | None = None) -> pd.DataFrame:
    """Images that are in the set more than once: identical files, or identical pixels where there are no files.

    Parameters
    ----------
    faces : FaceSet
        The set. Its original images are compared, whatever it was aligned or resized to.
    progress : callable, optional
        Called with the number done and the number to be read. Of files, only those of equal size (in a zip also of
        equal checksum) are read.

    Returns
    -------
    DataFrame
        One row an image that has a twin: ``group`` (0, 1, ...), ``image_id``, and ``differs``, the names of the attributes
        in which the images of the group differ, separated by commas. A group that differs in its identity is labelled
        wrongly; one that differs in its split leaks from training into test.

    Raises
    ------
    ImageError
        If pixels must be compared and an image cannot be read. Files are compared unread.

    Examples
    --------
    >>> import numpy as np
    >>> from fusiform.faces import FaceSet
    >>> images = np.stack([np.full((3, 8, 8), value, dtype=np.uint8) for value in (1, 2, 1)])
    >>> table = pd.DataFrame({"identity": ["ann", "bo", "cy"], "age": [31, 40, 31]})
    >>> duplicates(FaceSet.from_arrays(images, table)).values.tolist()
    [[0, '0', 'identity'], [0, '2', 'identity']]
    """
    view = faces._view
    position = {row: i for i, row in enumerate(view.rows)}
    # A source of another type may show several crops of one file.
    if type(view.source) is StoredImages:
        rows, digests = _of_files(view.source, view.rows)
    else:
        rows, digests = _of_pixels(view.source, view.rows)
    keys: list[str] = []
    for chunk in chunks(rows):
        keys.extend(digests(chunk))
        if progress is not None:
            progress(len(keys), len(rows))
    groups = sorted(sorted(position[row] for row in group) for group in _alike(keys, rows))
    table = faces.table
    found: list[tuple[int, str, str]] = []
    for number, group in enumerate(groups):
        members = table.iloc[group]
        differs = ", ".join(name for name in faces.schema if members[name].nunique() > 1)
        found.extend((number, str(image_id), differs) for image_id in members["image_id"])
    types = {"group": "int64", "image_id": "string", "differs": "string"}
    return pd.DataFrame(found, columns=list(types)).astype(types)
