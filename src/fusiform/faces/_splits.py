from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from fusiform.errors import DataError


def identity_codes(identities: Sequence[object] | pd.Series | ndarray) -> Int[ndarray, " n"]:
    """Number identities from 0 in order of appearance; an unknown one (None, NaN, NA) is a person seen once.

    Parameters
    ----------
    identities : sequence, length n
        Who each image shows.

    Returns
    -------
    int array, shape (n,)
        Numbers without gaps.

    Examples
    --------
    >>> identity_codes(["b", None, "b", "a"]).tolist()
    [0, 2, 0, 1]
    """
    codes, people = pd.factorize(pd.Series(identities))
    codes = np.asarray(codes, dtype=np.int64).copy()
    unknown = codes < 0
    codes[unknown] = len(people) + np.arange(int(unknown.sum()))
    return codes


def split_identities(
    identities: Sequence[object] | pd.Series | ndarray,
    *,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    labels: Float[ndarray, "n l"] | None = None,
    seed: int = 0,
) -> tuple[Int[ndarray, " k"], ...]:
    """Split images so that nobody is in two parts, and every label is split as nearly alike as may be.

    The people richest in rare labels are dealt first, each to the part that still lacks most of what they
    bring: iterative stratification (Sechidis et al. 2011), for people instead of images.

    Parameters
    ----------
    identities : sequence, length n
        Who each image shows; an unknown one (None, NaN, NA) counts as a person seen once.
    fractions : sequence of float, default (0.6, 0.2, 0.2)
        Share of the images for each part; must sum to 1.
    labels : array, shape (n, l), optional
        Indicators (0 or 1) to be split in these shares too; the number of images always is.
    seed : int, default 0
        Seed of the order among equals.

    Returns
    -------
    tuple of int arrays
        Indices of each part, ascending.

    Raises
    ------
    DataError
        If fractions do not sum to 1 or there are fewer identities than parts.

    Examples
    --------
    >>> train, test = split_identities(["a", "a", "b", "c"], fractions=(0.5, 0.5))
    >>> sorted([*train, *test]) == [0, 1, 2, 3]
    True
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise DataError(f"Fractions of a split must be positive and sum to 1; got {tuple(fractions)}.")
    codes = identity_codes(identities)
    people = int(codes.max(initial=-1)) + 1
    if people < len(shares):
        raise DataError(
            f"A split into {len(shares)} parts needs at least as many identities; got {people}. Add people, or ask "
            "for fewer parts."
        )
    indicators = np.ones((len(codes), 1)) if labels is None else np.insert(labels, 0, 1.0, axis=1)
    brought = np.zeros((people, indicators.shape[1]))
    np.add.at(brought, codes, indicators)
    total = brought.sum(axis=0)
    brought = brought[:, total > 0] / total[total > 0]
    order = np.lexsort([np.random.default_rng(seed).random(people), -brought.max(axis=1)])
    lacking = np.repeat(shares[:, None], brought.shape[1], axis=1)
    part_of = np.empty(people, dtype=np.int64)
    for person in order:
        part = int(np.argmax((lacking / shares[:, None]) @ brought[person]))
        part_of[person] = part
        lacking[part] -= brought[person]
    parts = part_of[codes]
    return tuple(np.flatnonzero(parts == k) for k in range(len(shares)))
