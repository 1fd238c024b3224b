"""Sources made of other sources."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from fusiform.errors import ImageError
from fusiform.faces._geometry import five_points
from fusiform.faces._sources import Progress, Source
from fusiform.faces._view import View


class SeenImages:
    """A view as a source, for sets that were aligned or resized each in its own way before they were joined."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.n_points = view.source.n_points
        self.parts = view.source.parts

    def _of(self, rows: Sequence[int]) -> View:
        return self._view.subset(np.asarray(rows, dtype=np.int64))

    def read(self, rows: Sequence[int]) -> list[UInt8[ndarray, "h w 3"]]:
        """RGB pixels."""
        images = self._of(rows).images(np.arange(len(rows)))
        return list(np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy()))

    def size(self, row: int) -> tuple[int, int] | None:
        """Height and width, the same for all."""
        return self._view.size

    def points(self, rows: Sequence[int]) -> Float[ndarray, "k p 2"]:
        """Points as the view moves them."""
        points = self._of(rows).points(self.n_points or 5)
        if points is None:
            raise RuntimeError("this source has no points")
        return points.astype(np.float64)

    def points_known(self, rows: Sequence[int]) -> Bool[ndarray, " k"]:
        """Whether all points of each image are known."""
        return self._view.source.points_known(self._of(rows).rows)

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a part is."""
        return list(self._of(rows).mask(part, np.arange(len(rows))).numpy())

    def unreadable(self, rows: Sequence[int], progress: Progress | None) -> dict[int, str]:
        """Decode every image once."""
        own = dict(zip(self._of(rows).rows, rows, strict=True))
        return {own[row]: why for row, why in self._view.source.unreadable(list(own), progress).items()}

    def fingerprints(self, rows: Sequence[int]) -> Iterator[str]:
        """What tells the originals from others, and the steps."""
        yield from self._view.source.fingerprints(self._of(rows).rows)
        yield str([step.as_dict() for step in self._view.steps])


class JoinedImages:
    """The rows of several sources, one after the other.

    Parameters
    ----------
    parts : sequence of (Source, sequence of int)
        Sources, and which of their rows.
    prefixes : sequence of str
        What precedes each source's image ids in the joined set, for errors.
    """

    def __init__(self, parts: Sequence[tuple[Source, Sequence[int]]], prefixes: Sequence[str]) -> None:
        self._sources = [source for source, _ in parts]
        self._prefixes = list(prefixes)
        self._rows = [list(rows) for _, rows in parts]
        self._starts = np.cumsum([0, *(len(rows) for rows in self._rows)])
        counts = [source.n_points for source in self._sources if source.n_points is not None]
        self.n_points = min(counts) if counts else None
        shared = set.intersection(*(set(source.parts) for source in self._sources))
        self.parts: tuple[str, ...] = tuple(part for part in self._sources[0].parts if part in shared)

    def _split(self, rows: Sequence[int]) -> Iterator[tuple[int, list[int], ndarray]]:
        """Of each source that is concerned: its number, its rows, and where they stand in `rows`."""
        asked = np.asarray(rows, dtype=np.int64)
        which = np.searchsorted(self._starts, asked, side="right") - 1
        for k in np.unique(which):
            places = np.flatnonzero(which == k)
            own = [self._rows[k][i] for i in asked[places] - self._starts[k]]
            yield int(k), own, places

    def _gathered(self, rows: Sequence[int], ask: Callable[[Source, list[int]], Sequence[Any]]) -> list[Any]:
        found: list[Any] = [None] * len(rows)
        for k, own, places in self._split(rows):
            try:
                values = ask(self._sources[k], own)
            except ImageError as error:
                raise ImageError(self._prefixes[k] + error.image_id, error.reason) from error
            for place, value in zip(places, values, strict=True):
                found[place] = value
        return found

    def read(self, rows: Sequence[int]) -> list[UInt8[ndarray, "h w 3"]]:
        """RGB pixels."""
        return self._gathered(rows, lambda source, own: source.read(own))

    def size(self, row: int) -> tuple[int, int] | None:
        """Height and width."""
        k, own, _ = next(self._split([row]))
        return self._sources[k].size(own[0])

    def points(self, rows: Sequence[int]) -> Float[ndarray, "k p 2"]:
        """Points; NaN in sets without, five of 68 where another set has no more."""
        count = self.n_points
        if count is None:
            raise RuntimeError("this source has no points")
        points = np.full((len(rows), count, 2), np.nan)
        for k, own, places in self._split(rows):
            if self._sources[k].n_points is not None:
                found = self._sources[k].points(own)
                points[places] = five_points(found) if count == 5 else found
        return points

    def points_known(self, rows: Sequence[int]) -> Bool[ndarray, " k"]:
        """Whether all points of each image are known."""
        known = np.zeros(len(rows), dtype=bool)
        for k, own, places in self._split(rows):
            if self._sources[k].n_points is not None:
                known[places] = self._sources[k].points_known(own)
        return known

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a part is."""
        return self._gathered(rows, lambda source, own: source.masks(part, own))

    def unreadable(self, rows: Sequence[int], progress: Progress | None) -> dict[int, str]:
        """Decode every image once."""
        bad: dict[int, str] = {}
        before = 0
        for k, own, places in self._split(rows):
            here = dict(zip(own, places, strict=True))
            step = None if progress is None else _shifted(progress, before, len(rows))
            bad.update({rows[here[row]]: why for row, why in self._sources[k].unreadable(own, step).items()})
            before += len(own)
        return bad

    def fingerprints(self, rows: Sequence[int]) -> Iterator[str]:
        """Those of each source."""
        for k, own, _ in self._split(rows):
            yield from self._sources[k].fingerprints(own)


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)
