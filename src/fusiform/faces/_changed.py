from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from fusiform.faces._attach import WrappedSource
from fusiform.faces._face_set import FaceSet
from fusiform.faces._sources import Source, chunks
from fusiform.faces._view import View

Read = Callable[[Sequence[int]], list[UInt8[ndarray, "h w 3"]]]

# Grey levels of 255 up to which two pixels count as equal: a soft shadow's last trace is no evidence.
FAINT = 2


def changed(
    one: UInt8[ndarray, "h w 3"], other: UInt8[ndarray, "h w 3"], faint: int = FAINT
) -> Bool[ndarray, "h w"]:
    """Where two pictures differ by more than some grey levels in a channel."""
    apart = one.astype(np.int16) - other.astype(np.int16)
    return np.asarray((np.abs(apart) > faint).any(axis=2))


class ChangedImages(WrappedSource):
    """A source with further masks: where its images differ from other pictures of the same rows.

    Parameters
    ----------
    source : Source
        The images, with their own points and masks.
    others : mapping of str to sequence of callable
        Of each mask its other pictures, row by row as `Source.read` gives them; the mask is where any of them differs.
    faint : int, default 2
        Grey levels up to which pixels count as equal.
    """

    def __init__(self, source: Source, others: Mapping[str, Sequence[Read]], faint: int = FAINT) -> None:
        super().__init__(source)
        self._others = {name: tuple(reads) for name, reads in others.items()}
        self._faint = faint
        self.parts = (*(part for part in source.parts if part not in self._others), *self._others)

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a part is, or where the images differ."""
        if part not in self._others:
            return self._source.masks(part, rows)
        found = []
        for chunk in chunks(rows):
            own = self._source.read(chunk)
            seen = [np.zeros(image.shape[:2], dtype=bool) for image in own]
            for read in self._others[part]:
                for mask, image, other in zip(seen, own, read(chunk), strict=True):
                    mask |= changed(image, other, self._faint)
            found += seen
        return found


class Elsewhere:
    """Pictures of other rows of a source, row by row; picklable, as a closure is not.

    Parameters
    ----------
    source : Source
        The images.
    rows : int array, shape (n,)
        The row to read for each.
    """

    def __init__(self, source: Source, rows: Sequence[int]) -> None:
        self._source, self._rows = source, list(rows)

    def __call__(self, rows: Sequence[int]) -> list[UInt8[ndarray, "h w 3"]]:
        """Read the other rows."""
        return self._source.read([self._rows[row] for row in rows])


def with_changes(faces: FaceSet, others: Mapping[str, Sequence[Read]], faint: int = FAINT) -> FaceSet:
    """Give an untouched set masks of where its images differ from other pictures."""
    view = faces._view
    return faces._derived(_view=View(ChangedImages(view.source, others, faint), view.rows, view.steps))
