from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from fusiform.errors import DataError


def split_identities(
    identities: Sequence[object] | pd.Series,
    *,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
) -> tuple[Int[ndarray, " k"], ...]:
    """Split images so that nobody is in two parts.

    Identities are taken in random order, and each goes where most images are still missing in proportion.

    Parameters
    ----------
    identities : sequence, length n
        Who each image shows; an unknown one (None, NaN, NA) counts as a person seen once.
    fractions : sequence of float, default (0.6, 0.2, 0.2)
        Share of the images for each part; must sum to 1.
    seed : int, default 0
        Seed of the order.

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
    codes, people = pd.factorize(pd.Series(identities))
    codes = np.asarray(codes).copy()
    unknown = codes < 0
    codes[unknown] = len(people) + np.arange(int(unknown.sum()))
    counts = np.bincount(codes) if len(codes) else np.zeros(0, dtype=np.int64)
    if len(counts) < len(shares):
        raise DataError(
            f"A split into {len(shares)} parts needs at least as many identities; got {len(counts)}. Add people, or ask "
            "for fewer parts."
        )
    wanted = shares * len(codes)
    have = np.zeros(len(shares))
    part_of = np.empty(len(counts), dtype=np.int64)
    for person in np.random.default_rng(seed).permutation(len(counts)):
        part = int(np.argmax((wanted - have) / wanted))
        part_of[person] = part
        have[part] += counts[person]
    parts = part_of[codes]
    return tuple(np.flatnonzero(parts == k) for k in range(len(shares)))
