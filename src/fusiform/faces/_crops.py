from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from fusiform.errors import DataError, ImageError
from fusiform.faces._sources import Progress, Source

_WIDEST_PERCENT = 200
_FAR = 1e9


def as_margin(percent: int) -> float:
    """A margin as a fraction, from per cent."""
    if not 0 <= percent <= _WIDEST_PERCENT:
        raise DataError(
            f"The margin around a face box must lie in [0, {_WIDEST_PERCENT}] per cent; got {percent}."
        )
    return percent / 100


class Crops:
    """A source's images, points and masks cut to a box an image.

    Parameters
    ----------
    source : Source
        Whole images.
    boxes : array, shape (n, 4)
        Left, top, width and height in pixels, one row a row of the source.
    ids : sequence of str
        Image id of each row, for errors.
    margin : float, default 0
        What is kept on every side of the box, as a fraction of its width and height; no further than the image.
    """

    def __init__(
        self, source: Source, boxes: Float[ndarray, "n 4"], ids: Sequence[str], margin: float = 0.0
    ) -> None:
        self.n_points: int | None = source.n_points
        self.parts = source.parts
        self._source = source
        self._ids = list(ids)
        boxes = np.clip(boxes, -_FAR, _FAR)  # so that whole numbers hold it
        widening = margin * boxes[:, 2:]
        self._corners = np.concatenate(
            [np.floor(boxes[:, :2] - widening), np.ceil(boxes[:, :2] + boxes[:, 2:] + widening)], axis=1
        ).astype(np.int64)

    def _window(self, row: int, size: tuple[int, int]) -> tuple[slice, slice]:
        height, width = size
        left, top, right, bottom = (int(value) for value in self._corners[row])
        rows, columns = slice(max(0, top), min(height, bottom)), slice(max(0, left), min(width, right))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            raise ImageError(
                self._ids[row],
                f"its face box (x {left} to {right}, y {top} to {bottom}) lies outside the {width} x {height} picture",
            )
        return rows, columns

    def read(self, rows: Sequence[int]) -> list[UInt8[ndarray, "h w 3"]]:
        """RGB pixels."""
        whole = self._source.read(rows)
        return [
            np.ascontiguousarray(image[self._window(row, image.shape[:2])])
            for row, image in zip(rows, whole, strict=True)
        ]

    def size(self, row: int) -> tuple[int, int] | None:
        """Height and width of the crop, None when the image cannot be read or the box lies outside it."""
        whole = self._source.size(row)
        if whole is None:
            return None
        try:
            rows, columns = self._window(row, whole)
        except ImageError:
            return None
        return rows.stop - rows.start, columns.stop - columns.start

    def points(self, rows: Sequence[int]) -> Float[ndarray, "k p 2"]:
        """Points in pixels of the crop."""
        # What lies left of and above the whole picture is cut away too, so the corner is never negative.
        corners = np.maximum(self._corners[np.asarray(rows, dtype=np.int64), :2], 0)
        return np.asarray(self._source.points(rows) - corners[:, None, :], dtype=np.float64)

    def points_known(self, rows: Sequence[int]) -> Bool[ndarray, " k"]:
        """Whether all points of each image are known."""
        return self._source.points_known(rows)

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a part is."""
        whole = self._source.masks(part, rows)
        return [
            np.ascontiguousarray(mask[self._window(row, (mask.shape[0], mask.shape[1]))])
            for row, mask in zip(rows, whole, strict=True)
        ]

    def unreadable(self, rows: Sequence[int], progress: Progress | None) -> dict[int, str]:
        """Images that cannot be decoded, and those with their box outside."""
        bad = self._source.unreadable(rows, progress)
        for row in rows:
            size = None if row in bad else self._source.size(row)
            if size is not None:
                try:
                    self._window(row, size)
                except ImageError as error:
                    bad[row] = error.reason
        return bad

    def fingerprints(self, rows: Sequence[int]) -> Iterator[str]:
        """The whole images' fingerprints and the windows."""
        yield from self._source.fingerprints(rows)
        yield self._corners[np.asarray(rows, dtype=np.int64)].tobytes().hex()
