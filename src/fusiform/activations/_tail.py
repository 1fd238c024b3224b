from math import ceil, floor
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from fusiform.errors import DataError

_LEAST_CAPACITY = 4096
_VALUES = 2**22  # floats kept a layer however few its units are: 17 MB
_LEAST_ROOM = 512
_NONE = float("-inf")


class TailSketch:
    """The upper quantile of many units' values, all units together, without keeping the values.

    The threshold T of a unit is that for which P(value > T) = fraction: of N values the K-th largest, with
    K = floor(fraction N) + 1. As N is known beforehand only the K largest matter. A value at or below the K-th
    largest so far is dropped by one comparison; the others wait in a buffer that is merged into the largest when full.

    Exact while K is at most `capacity`. Beyond, sorted survivors are thinned to every w-th, w = ceil(K / capacity), from
    a random start; a rank is then off by at most w for each merge around it, with mean zero. With the default capacity that is
    below 1e-4 of N up to a billion values a unit.

    Parameters
    ----------
    n_units : int
        Units.
    fraction : float
        Share of values above the threshold, in (0, 1).
    total : int
        Values of a unit over all updates (and all sketches to be merged).
    capacity : int, optional
        Values kept of a unit; at least 4,096, and more where there are few units, when not given.
    seed : int, default 0
        Of the random starts.

    Raises
    ------
    DataError
        If an argument is out of range.

    Examples
    --------
    >>> sketch = TailSketch(2, fraction=0.25, total=8)
    >>> sketch.update(torch.tensor([[1.0, 5, 3, 2], [0, 0, 0, 0]]))
    >>> sketch.update(torch.tensor([[8.0, 4, 7, 6], [0, 0, 0, 0]]))
    >>> sketch.compute()
    tensor([6., 0.])
    """

    def __init__(
        self, n_units: int, fraction: float, total: int, *, capacity: int | None = None, seed: int = 0
    ) -> None:
        if not 0 < fraction < 1:
            raise DataError(f"The 'fraction' of a tail must lie between 0 and 1; got {fraction}.")
        if n_units < 1 or total < 1 or (capacity is not None and capacity < 1):
            raise DataError(
                f"A tail needs at least one unit, one value and room for one; got n_units={n_units}, "
                f"total={total}, capacity={capacity}."
            )
        self._fraction, self._total, self.seen = fraction, total, 0
        self._weight, self._keep, room = _sizes(n_units, fraction, total, capacity)
        self._kept = torch.full((n_units, self._keep), _NONE)
        self._buffer = torch.full((n_units, room), _NONE)
        self._fill = torch.zeros(n_units, dtype=torch.long)
        self._floor = torch.full((n_units,), _NONE)
        self._random = torch.Generator().manual_seed(seed)

    @property
    def n_bytes(self) -> int:
        """Memory held."""
        return 4 * (self._kept.numel() + self._buffer.numel())

    @staticmethod
    def bytes_of(n_units: int, fraction: float, total: int, *, capacity: int | None = None) -> int:
        """Memory that a sketch would hold, in bytes.

        Parameters
        ----------
        n_units, fraction, total, capacity
            As of the sketch.

        Returns
        -------
        int
            Its `n_bytes`.

        Examples
        --------
        >>> TailSketch.bytes_of(2, 0.25, 8) == TailSketch(2, 0.25, 8).n_bytes
        True
        """
        _, keep, room = _sizes(n_units, fraction, total, capacity)
        return 4 * n_units * (keep + room)

    def update(self, values: Float[Tensor, "u m"]) -> None:
        """Take in some values of every unit.

        Parameters
        ----------
        values : float tensor, shape (units, m)
            As many of each unit.

        Raises
        ------
        DataError
            If the number of units differs, or more values come than `total`.
        """
        if values.dim() != 2 or len(values) != len(self._fill):
            raise DataError(
                f"A tail of {len(self._fill)} units takes values of shape ({len(self._fill)}, m); "
                f"got {tuple(values.shape)}."
            )
        self._count(values.shape[1])
        self._take(values.detach().float())

    def _take(self, values: Tensor) -> None:
        # What fits after a merge: fewer than `weight` values stay behind in the buffer.
        for chunk in values.split(self._buffer.shape[1] - self._weight, dim=1):
            above = chunk > self._floor[:, None]
            counts = above.sum(dim=1)
            if int((self._fill + counts).max()) > self._buffer.shape[1]:
                self._merge_buffer()
                above = chunk > self._floor[:, None]
                counts = above.sum(dim=1)
            unit, column = above.nonzero(as_tuple=True)
            first = counts.cumsum(0) - counts
            place = self._fill[unit] + torch.arange(len(unit)) - first[unit]
            self._buffer[unit, place] = chunk[unit, column]
            self._fill += counts

    def _count(self, values: int) -> None:
        self.seen += values
        if self.seen > self._total:
            raise DataError(
                f"A tail set up for {self._total} values a unit was given {self.seen}; give the number of all "
                "values as 'total'."
            )

    def _merge_buffer(self) -> None:
        weight, fill = self._weight, self._fill
        if weight == 1:
            picked, left = self._buffer, self._buffer[:, :0]
            rest = torch.zeros_like(fill)
        else:
            ordered = self._buffer.sort(dim=1, descending=True).values
            groups = fill // weight
            start = torch.randint(weight, (len(fill), 1), generator=self._random)
            number = torch.arange(int(groups.max()))
            picked = ordered.gather(1, number * weight + start)
            picked = picked.masked_fill(number >= groups[:, None], _NONE)
            rest = fill - groups * weight
            among = torch.arange(weight)
            last = (groups[:, None] * weight + among).clamp(max=ordered.shape[1] - 1)
            left = ordered.gather(1, last).masked_fill(among >= rest[:, None], _NONE)
        self._keep_largest(picked)
        self._buffer.fill_(_NONE)
        self._buffer[:, : left.shape[1]] = left
        self._fill = rest

    def _keep_largest(self, values: Tensor) -> None:
        # Kept in descending order; the last of them is the K-th largest or below it.
        self._kept = torch.cat([self._kept, values], dim=1).topk(self._keep, dim=1).values
        self._floor = self._kept[:, -1].clone()

    def merge(self, other: Self) -> Self:
        """Take in what another sketch has seen.

        Parameters
        ----------
        other : TailSketch
            Set up with the same units, fraction, total and capacity; not changed.

        Returns
        -------
        TailSketch
            This one.

        Raises
        ------
        DataError
            If it was set up otherwise.
        """
        mine = (len(self._fill), self._fraction, self._total, self._keep)
        if mine != (theirs := (len(other._fill), other._fraction, other._total, other._keep)):
            raise DataError(
                f"Tails can be merged when set up alike (units, fraction, total, kept); got {mine} and {theirs}."
            )
        self._count(other.seen)
        self._take(other._buffer)
        self._keep_largest(other._kept)
        return self

    def compute(self) -> Float[Tensor, " u"]:
        """Thresholds: of the values seen, the share `fraction` lies above.

        Returns
        -------
        float tensor, shape (units,)
            Float32. A unit whose values are all the same has that value for its threshold, and nothing lies above it.

        Raises
        ------
        DataError
            If nothing was seen.
        """
        if not self.seen:
            raise DataError("A tail that has seen no values has no quantile; update it first.")
        values, order = torch.cat([self._kept, self._buffer], dim=1).sort(dim=1, descending=True)
        weights = torch.where(order < self._keep, self._weight, 1).cumsum(dim=1)
        reached = (weights >= _rank(self._fraction, self.seen)).to(torch.uint8).argmax(dim=1)
        return values.gather(1, reached[:, None])[:, 0]


def _sizes(n_units: int, fraction: float, total: int, capacity: int | None) -> tuple[int, int, int]:
    """Values that one kept value stands for, values kept of a unit, and room in its buffer."""
    capacity = capacity or max(_LEAST_CAPACITY, _VALUES // n_units)
    rank = _rank(fraction, total)
    weight = ceil(rank / capacity)
    keep = ceil(rank / weight)
    return weight, keep, max(_LEAST_ROOM, keep) + weight


def _rank(fraction: float, total: int) -> int:
    # The margin undoes rounding: 0.005 * 98,000 is 490, not 489.99...
    return floor(fraction * total * (1 + 1e-12)) + 1
