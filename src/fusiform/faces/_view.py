from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError
from fusiform.faces._geometry import Align, Resize, Step, five_points, moved, outside, plan, warp
from fusiform.faces._sources import Source, chunks, in_threads

Indices = Sequence[int] | Sequence[bool] | ndarray | Tensor | slice


class View:
    """Some rows of a source, seen through steps of geometry: pixels, points and masks move together."""

    def __init__(self, source: Source, rows: Sequence[int], steps: tuple[Step, ...] = ()) -> None:
        self.source = source
        self.rows = list(rows)
        self.steps = steps
        self._plans: dict[int, tuple[ndarray, tuple[int, int]]] = {}

    def subset(self, index: ndarray) -> "View":
        """The same with some of the rows."""
        view = View(self.source, [self.rows[i] for i in index], self.steps)
        view._plans = self._plans  # by row of the source, so they hold for any subset
        return view

    def then(self, step: Step) -> "View":
        """The same with one more step."""
        return View(self.source, self.rows, (*self.steps, step))

    def index(self, indices: Indices | None) -> ndarray:
        """Positions 0..n-1 from whatever may index."""
        n = len(self.rows)
        if indices is None:
            return np.arange(n)
        if isinstance(indices, slice):
            return np.arange(n)[indices]
        index = np.atleast_1d(np.asarray(indices))
        if index.dtype == bool:
            if index.shape != (n,):
                raise DataError(f"A mask of images must have {n} entries; got shape {index.shape}.")
            return np.flatnonzero(index)
        if index.size == 0:
            return np.zeros(0, dtype=np.int64)
        if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
            raise DataError(
                f"Indices must be whole numbers in one dimension; got {index.dtype}, shape {index.shape}."
            )
        if index.min() < -n or index.max() >= n:
            worst = index.max() if index.max() >= n else index.min()
            raise DataError(f"Index {worst} is outside a set of {n} images.")
        return np.where(index < 0, index + n, index)

    @cached_property
    def own_sizes(self) -> set[tuple[int, int]]:
        """The sizes of the original images, from their headers."""
        return {size for size in map(self.source.size, self.rows) if size is not None}

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width, None when they differ or are not known."""
        if self.steps:
            last = self.steps[-1]
            return last.template.size if isinstance(last, Align) else last.size
        return next(iter(self.own_sizes)) if len(self.own_sizes) == 1 else None

    def _common_size(self) -> tuple[int, int]:
        if self.size is not None:
            return self.size
        if not self.own_sizes:
            self.source.read(self.rows[:1])  # raises, with the reason
            return 0, 0
        shown = ", ".join(f"{h} x {w}" for h, w in sorted(self.own_sizes)[:3])
        raise DataError(
            f"These images have {len(self.own_sizes)} different sizes (height x width: {shown}, ...), so they do not "
            "fit into one tensor. Use .aligned(template) where landmarks are known, .resized(size), or .image(i) for "
            "one of them."
        )

    def _plan(self, row: int) -> tuple[Float[ndarray, "3 3"], tuple[int, int]]:
        if row not in self._plans:
            size = (0, 0)
            if isinstance(self.steps[0], Resize):
                size = self.source.size(row) or self.source.read([row])[0].shape[:2]
            align = any(isinstance(step, Align) for step in self.steps)
            points = five_points(self.source.points([row]))[0] if align else None
            self._plans[row] = plan(self.steps, size, points)
        return self._plans[row]

    def _draw(self, rows: Sequence[int]) -> list[UInt8[ndarray, "h w 3"]]:
        pixels = self.source.read(rows)
        if not self.steps:
            return pixels
        plans = [self._plan(row) for row in rows]
        beyond = outside(self.steps)
        return in_threads(lambda k: warp(pixels[k], *plans[k], beyond), range(len(rows)))

    def image(self, position: int) -> UInt8[Tensor, "3 h w"]:
        """One image of any size."""
        pixels = self._draw([self.rows[position]])[0]
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())

    def images(self, index: ndarray) -> UInt8[Tensor, "k 3 h w"]:
        """Images of one size."""
        rows = [self.rows[i] for i in index]
        out = torch.empty((len(rows), 3, *self._common_size()), dtype=torch.uint8)
        start = 0
        for chunk in chunks(rows):
            for image in self._draw(chunk):
                out[start] = torch.from_numpy(image).permute(2, 0, 1)
                start += 1
        return out

    def mask(self, part: str, index: ndarray) -> Bool[Tensor, "k h w"]:
        """Where a part is."""
        rows = [self.rows[i] for i in index]
        out = torch.empty((len(rows), *self._common_size()), dtype=torch.bool)
        start = 0
        for chunk in chunks(rows):
            for row, mask in zip(chunk, self.source.masks(part, chunk), strict=True):
                if self.steps:
                    mask = warp(mask.astype(np.uint8) * 255, *self._plan(row)) >= 128
                out[start] = torch.from_numpy(mask)
                start += 1
        return out

    def points(self, count: int) -> Float32[ndarray, "n p 2"] | None:
        """All points, 68 or 5 of them; None when the source has not that many."""
        if self.source.n_points is None or self.source.n_points < count:
            return None
        points = self.source.points(self.rows).astype(np.float64)
        if count == 5:
            points = five_points(points)
        if self.steps:
            for i in np.flatnonzero(np.isfinite(points).all(axis=(1, 2))):
                points[i] = moved(points[i], self._plan(self.rows[i])[0])
        return points.astype(np.float32)
