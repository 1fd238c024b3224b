from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from fusiform.errors import DataError, ImageError
from fusiform.faces._images import UnreadableImageError, decode, header_size
from fusiform.faces._stores import ImageStore

T = TypeVar("T")
R = TypeVar("R")

Progress = Callable[[int, int], Any]

_THREADS = 2
_CHUNK = 64


class Source(Protocol):
    """Where a face set's pixels, points and masks come from; rows are the source's own numbering.

    `n_points` is 68, 5 or None. A reader that cannot use `StoredImages` or `ArrayImages` writes one.
    """

    n_points: int | None
    parts: tuple[str, ...]

    def read(self, rows: Sequence[int]) -> list[UInt8[ndarray, "h w 3"]]:
        """RGB pixels; raises ImageError."""

    def size(self, row: int) -> tuple[int, int] | None:
        """Height and width, None when the image cannot be read."""

    def points(self, rows: Sequence[int]) -> Float[ndarray, "k p 2"]:
        """Points in pixels, NaN where unknown."""

    def points_known(self, rows: Sequence[int]) -> Bool[ndarray, " k"]:
        """Whether all points of each image are known; costs nothing."""

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a part is."""

    def unreadable(self, rows: Sequence[int], progress: Progress | None) -> dict[int, str]:
        """Decode every image once: rows that fail, with reasons."""

    def fingerprints(self, rows: Sequence[int]) -> Iterator[str]:
        """What tells these pixels from others, cheaply: sizes, checksums, parameters."""


def in_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Map in order; image codecs release the interpreter's lock, so two threads are nearly twice as fast."""
    if len(items) < 4:
        return [function(item) for item in items]
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(function, items))


def chunks(rows: Sequence[int], size: int = _CHUNK) -> Iterator[Sequence[int]]:
    """Rows in chunks."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


class _KnownPoints:
    """Points held in memory: (n, 68, 2) or (n, 5, 2), NaN where unknown, or None."""

    def __init__(self, points: Float[ndarray, "n p 2"] | None) -> None:
        self._points = None if points is None else np.asarray(points, dtype=np.float64)
        self.n_points = None if self._points is None else self._points.shape[1]

    def points(self, rows: Sequence[int]) -> Float[ndarray, "k p 2"]:
        """Points in pixels."""
        if self._points is None:
            raise RuntimeError("this source has no points")
        return self._points[np.asarray(rows, dtype=np.int64)]

    def points_known(self, rows: Sequence[int]) -> Bool[ndarray, " k"]:
        """Whether all points are finite and not all in one place."""
        points = self.points(rows)
        return np.isfinite(points).all(axis=(1, 2)) & (np.ptp(points, axis=1).max(axis=1, initial=0.0) > 1e-3)


class StoredImages(_KnownPoints):
    """Image files in a folder or zip, decoded when asked for.

    Parameters
    ----------
    store : ImageStore
        Folder or zip.
    names : sequence of str
        File name of each row, as the store knows it.
    ids : sequence of str
        Image id of each row, for errors.
    points : array, shape (n, 68, 2) or (n, 5, 2), or None
        Points in pixels of the upright image.
    """

    parts: tuple[str, ...] = ()

    def __init__(
        self,
        store: ImageStore,
        names: Sequence[str],
        ids: Sequence[str],
        points: Float[ndarray, "n p 2"] | None = None,
    ) -> None:
        super().__init__(points)
        self._store = store
        self._names = list(names)
        self._ids = list(ids)
        self._sizes: dict[int, tuple[int, int] | None] = {}

    def _decode(self, row: int) -> UInt8[ndarray, "h w 3"]:
        try:
            pixels = decode(self._store.read(self._names[row]))
        except UnreadableImageError as error:
            raise ImageError(self._ids[row], str(error)) from error
        self._sizes[row] = pixels.shape[:2]
        return pixels

    def read(self, rows: Sequence[int]) -> list[UInt8[ndarray, "h w 3"]]:
        """RGB pixels."""
        return in_threads(self._decode, rows)

    def size(self, row: int) -> tuple[int, int] | None:
        """Height and width from the header."""
        if row not in self._sizes:
            try:
                self._sizes[row] = header_size(self._store.read(self._names[row]))
            except UnreadableImageError:
                self._sizes[row] = None
        return self._sizes[row]

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """No file of this kind comes with masks."""
        raise RuntimeError("this source has no masks")

    def unreadable(self, rows: Sequence[int], progress: Progress | None) -> dict[int, str]:
        """Decode every image once."""

        def reason(row: int) -> str | None:
            try:
                self._decode(row)
            except ImageError as error:
                return error.reason
            return None

        bad: dict[int, str] = {}
        done = 0
        for chunk in chunks(rows):
            bad.update({row: why for row, why in zip(chunk, in_threads(reason, chunk), strict=True) if why})
            done += len(chunk)
            if progress is not None:
                progress(done, len(rows))
        return bad

    def fingerprints(self, rows: Sequence[int]) -> Iterator[str]:
        """Name, size and, in a zip, checksum of each file; the points too."""
        for row in rows:
            yield f"{self._names[row]}:{self._store.fingerprint(self._names[row])}"
        if self.n_points is not None:
            yield self.points(rows).tobytes().hex()


class ArrayImages(_KnownPoints):
    """Images held in memory.

    Parameters
    ----------
    images : sequence of uint8 arrays, shape (h, w, 3)
        RGB pixels.
    points : array, shape (n, 68, 2) or (n, 5, 2), or None
        Points in pixels.
    masks : mapping of str to sequence of bool arrays (h, w)
        Parts.
    """

    def __init__(
        self,
        images: Sequence[UInt8[ndarray, "h w 3"]],
        points: Float[ndarray, "n p 2"] | None = None,
        masks: Mapping[str, Sequence[Bool[ndarray, "h w"]]] | None = None,
    ) -> None:
        super().__init__(points)
        self._images = images
        self._masks = dict(masks or {})
        self.parts: tuple[str, ...] = tuple(self._masks)

    def read(self, rows: Sequence[int]) -> list[UInt8[ndarray, "h w 3"]]:
        """RGB pixels."""
        return [self._images[row] for row in rows]

    def size(self, row: int) -> tuple[int, int] | None:
        """Height and width."""
        height, width = self._images[row].shape[:2]
        return height, width

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a part is."""
        return [self._masks[part][row] for row in rows]

    def unreadable(self, rows: Sequence[int], progress: Progress | None) -> dict[int, str]:
        """Nothing in memory is unreadable."""
        if progress is not None:
            progress(len(rows), len(rows))
        return {}

    def fingerprints(self, rows: Sequence[int]) -> Iterator[str]:
        """The pixels and points themselves."""
        for row in rows:
            yield f"{self._images[row].shape}{self._images[row].tobytes().hex()}"
        if self.n_points is not None:
            yield self.points(rows).tobytes().hex()


def array_images(
    images: Iterable[Any],
    points: Float[ndarray, "n p 2"] | None,
    masks: Mapping[str, Iterable[Any]],
) -> ArrayImages:
    """A source from uint8 images (3, h, w), points and masks of any array type, checked."""
    pixels = []
    for image in images:
        array = np.asarray(image)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[0] != 3:
            raise DataError(
                f"Images must be uint8 with shape (3, height, width); got {array.dtype} with shape {array.shape}."
            )
        pixels.append(np.ascontiguousarray(array.transpose(1, 2, 0)))
    if points is not None and np.shape(points) not in ((len(pixels), 68, 2), (len(pixels), 5, 2)):
        raise DataError(f"Points must have shape ({len(pixels)}, 68 or 5, 2); got {np.shape(points)}.")
    held = {part: [np.asarray(mask).astype(bool) for mask in each] for part, each in masks.items()}
    for part, each in held.items():
        if [mask.shape for mask in each] != [image.shape[:2] for image in pixels]:
            raise DataError(f"The masks of '{part}' must be as many and as large as the images.")
    return ArrayImages(pixels, None if points is None else np.array(points, dtype=np.float64), held)
