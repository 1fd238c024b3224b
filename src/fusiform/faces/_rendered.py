"""A source of images that are drawn when asked for."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from fusiform import __version__
from fusiform.faces import synthetic
from fusiform.faces._sources import Progress, chunks

__all__ = ["RenderedFaces"]

_KEPT_BYTES = 256 * 2**20


class RenderedFaces:
    """A source that renders its rows, and keeps the first 256 MB of images, for a set is often walked through again.

    Parameters
    ----------
    parameters : DataFrame
        One row a face, as `fusiform.faces.synthetic.render` takes it.
    size : int
        Side of the images in pixels.
    device : str, default "cpu"
        Where to draw.

    Examples
    --------
    >>> RenderedFaces(synthetic.sample_parameters(2, seed=0), 48).read([1])[0].shape
    (48, 48, 3)
    """

    n_points: int | None = 68

    def __init__(self, parameters: pd.DataFrame, size: int, device: str = "cpu") -> None:
        self.parts = synthetic.MASKS
        self._parameters = parameters
        self._size = size
        self._device = device
        self._points = np.full((len(parameters), 68, 2), np.nan)
        # Not the latest but the first: walking in order through more than fits would push each out before its turn.
        self._kept: dict[int, UInt8[ndarray, "h w 3"]] = {}
        self._room = _KEPT_BYTES // (3 * size * size)
        # The last rendering: images, then the masks of several parts, are asked for row by row alike.
        self._last: tuple[tuple[int, ...], synthetic.Rendering] | None = None

    def _render(self, rows: Sequence[int]) -> synthetic.Rendering:
        key = tuple(rows)
        if self._last is None or self._last[0] != key:
            parameters = self._parameters.iloc[list(rows)]
            self._last = key, synthetic.render(parameters, size=self._size, device=self._device)
        return self._last[1]

    def read(self, rows: Sequence[int]) -> list[UInt8[ndarray, "h w 3"]]:
        """RGB pixels."""
        new: dict[int, UInt8[ndarray, "h w 3"]] = {}
        for chunk in chunks([row for row in dict.fromkeys(rows) if row not in self._kept]):
            for row, image in zip(chunk, self._render(chunk).images, strict=True):
                new[row] = np.ascontiguousarray(image.numpy().transpose(1, 2, 0))
                if len(self._kept) < self._room:
                    self._kept[row] = new[row]
        # Copies, so that nobody can write into what is kept.
        return [self._kept[row].copy() if row in self._kept else new[row] for row in rows]

    def size(self, row: int) -> tuple[int, int] | None:
        """Height and width."""
        return self._size, self._size

    def points(self, rows: Sequence[int]) -> Float[ndarray, "k 68 2"]:
        """Landmarks, which need no drawing."""
        unknown = [row for row in dict.fromkeys(rows) if np.isnan(self._points[row, 0, 0])]
        if unknown:
            # The renderer counts from the picture's edge, face sets from the centre of the first pixel.
            drawn = synthetic.landmarks(self._parameters.iloc[unknown], size=self._size)
            self._points[unknown] = drawn - 0.5
        return self._points[list(rows)]

    def points_known(self, rows: Sequence[int]) -> Bool[ndarray, " k"]:
        """Every rendered face has its landmarks."""
        return np.ones(len(rows), dtype=bool)

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a part is."""
        return [mask.numpy() for chunk in chunks(rows) for mask in self._render(chunk).mask(part)]

    def unreadable(self, rows: Sequence[int], progress: Progress | None) -> dict[int, str]:
        """Nothing that is rendered is unreadable."""
        if progress is not None:
            progress(len(rows), len(rows))
        return {}

    def fingerprints(self, rows: Sequence[int]) -> Iterator[str]:
        """Parameters, size and the renderer's version."""
        yield f"{__version__}:{self._size}"
        yield (
            pd.util.hash_pandas_object(self._parameters.iloc[list(rows)], index=False)
            .to_numpy()
            .tobytes()
            .hex()
        )
