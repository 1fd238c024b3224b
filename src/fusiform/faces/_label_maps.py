from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from fusiform.errors import ImageError
from fusiform.faces._images import UnreadableImageError
from fusiform.faces._sources import Progress, Source, in_threads


class LabelledImages:
    """A source's images together with pictures of class numbers, whose classes make up the parts.

    Parameters
    ----------
    source : Source
        The images.
    parts : mapping of str to sequence of int
        Class numbers of each part.
    read_labels : callable
        Row to its picture of class numbers, of any size; raises UnreadableImageError. It is brought to the image's
        size by nearest neighbours.
    ids : sequence of str
        Image id of each row, for errors.
    """

    def __init__(
        self,
        source: Source,
        parts: Mapping[str, Sequence[int]],
        read_labels: Callable[[int], UInt8[ndarray, "h w"]],
        ids: Sequence[str],
    ) -> None:
        self.n_points: int | None = source.n_points
        self.parts = tuple(parts)
        self._source = source
        self._classes = {part: tuple(numbers) for part, numbers in parts.items()}
        self._read_labels = read_labels
        self._ids = list(ids)
        # Several parts are asked for, one after another, of the same rows.
        self._last: tuple[tuple[int, ...], list[UInt8[ndarray, "h w"]]] | None = None

    def _labels(self, row: int) -> UInt8[ndarray, "h w"]:
        try:
            labels = self._read_labels(row)
        except UnreadableImageError as error:
            raise ImageError(self._ids[row], f"its mask: {error}") from error
        known = max(max(numbers) for numbers in self._classes.values())
        if labels.max(initial=0) > known:
            raise ImageError(
                self._ids[row], f"its mask holds the class {labels.max()}, expected 0 to {known}"
            )
        return labels

    def read(self, rows: Sequence[int]) -> list[UInt8[ndarray, "h w 3"]]:
        """RGB pixels."""
        return self._source.read(rows)

    def size(self, row: int) -> tuple[int, int] | None:
        """Height and width of the image."""
        return self._source.size(row)

    def points(self, rows: Sequence[int]) -> Float[ndarray, "k p 2"]:
        """Points in pixels."""
        return self._source.points(rows)

    def points_known(self, rows: Sequence[int]) -> Bool[ndarray, " k"]:
        """Whether all points of each image are known."""
        return self._source.points_known(rows)

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a part is, at the image's size."""
        key = tuple(rows)
        last = self._last
        if last is None or last[0] != key:
            last = key, in_threads(self._labels, rows)
            self._last = last
        chosen = np.zeros(256, dtype=bool)
        chosen[list(self._classes[part])] = True
        return [
            nearest_mask(chosen[labels], self._source.size(row) or labels.shape)
            for row, labels in zip(rows, last[1], strict=True)
        ]

    def unreadable(self, rows: Sequence[int], progress: Progress | None) -> dict[int, str]:
        """Images that cannot be decoded."""
        return self._source.unreadable(rows, progress)

    def fingerprints(self, rows: Sequence[int]) -> Iterator[str]:
        """The images' fingerprints."""
        return self._source.fingerprints(rows)


def nearest_mask(mask: Bool[ndarray, "h w"], size: tuple[int, ...]) -> Bool[ndarray, "h2 w2"]:
    """A mask at another size, each pixel from the one that its centre falls into."""
    if mask.shape == tuple(size):
        return mask
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns]
