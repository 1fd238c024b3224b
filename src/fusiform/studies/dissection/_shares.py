"""Shares of units and their differences, with intervals that keep a width where a share is 0 or 1."""

import numpy as np
from jaxtyping import Bool
from numpy import ndarray
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from fusiform.studies._findings import Estimate


def wilson(count: int, n: int) -> Estimate:
    """A share with Wilson's 95% interval; not a number where there is nothing to count.

    Examples
    --------
    >>> wilson(0, 14).percent()
    '0% (0% to 22%)'
    """
    if not n:
        return Estimate(np.nan, np.nan, np.nan)
    return Estimate(count / n, *binomtest(count, n).proportion_ci(method="wilson"))


def share(members: ArrayLike) -> Estimate:
    """The share of members, with its interval."""
    found = np.asarray(members, dtype=bool)
    return wilson(int(found.sum()), len(found))


def apart(first: ArrayLike, second: ArrayLike) -> Estimate:
    """A share less that among other units (Newcombe 1998a, method 10).

    Examples
    --------
    >>> apart([True] * 9 + [False], [True] * 3 + [False] * 7).plain()
    '0.60 (0.17 to 0.81)'
    """
    return _newcombe(share(first), share(second), 0.0)


def paired(first: ArrayLike, second: ArrayLike) -> Estimate:
    """A share less another one among the same units (Newcombe 1998b, method 10).

    Examples
    --------
    >>> paired([True] * 48 + [False] * 2, [True] * 36 + [False] * 12 + [True] * 2).plain()
    '0.20 (0.06 to 0.34)'
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    return _newcombe(share(a), share(b), _phi(a, b))


def _newcombe(one: Estimate, other: Estimate, phi: float) -> Estimate:
    def reach(up: float, down: float) -> float:
        return float(np.sqrt(max(0.0, up**2 - 2 * phi * up * down + down**2)))

    gap = one.value - other.value
    lower = gap - reach(one.value - one.lower, other.upper - other.value)
    return Estimate(gap, lower, gap + reach(one.upper - one.value, other.value - other.lower))


def _phi(a: Bool[ndarray, " n"], b: Bool[ndarray, " n"]) -> float:
    """Phi of two memberships, a positive one with Newcombe's correction for continuity."""
    both, one, other, none = (int(m.sum()) for m in (a & b, a & ~b, ~a & b, ~a & ~b))
    root = float(np.sqrt(float(both + one) * (other + none) * (both + other) * (one + none)))
    excess = float(both * none - one * other)
    if excess > 0:
        excess = max(0.0, excess - len(a) / 2)
    return excess / root if root else 0.0
