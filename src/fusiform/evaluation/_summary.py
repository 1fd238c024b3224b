"""One number with an interval, of many images."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from fusiform.errors import EvaluationError
from fusiform.evaluation._given import as_groups
from fusiform.statistics import cluster_intervals


class Summary(NamedTuple):
    """A mean over images, its 95% interval over identities, and how many images it is of."""

    value: float
    lower: float
    upper: float
    n: int


def summarise(
    values: Tensor | np.ndarray | Sequence[float],
    groups: Sequence[Any] | np.ndarray | Tensor | None = None,
    *,
    draws: int = 500,
    seed: int = 0,
) -> Summary:
    """Average a measure over images, with an interval for which identities are resampled.

    Parameters
    ----------
    values : tensor, array or list, shape (n,)
        One value an image; where it is NaN the measure is not defined, and the image is left out.
    groups : sequence of n, optional
        Identity of each image; by default each image is one of its own.
    draws : int, default 500
        Bootstrap samples.
    seed : int, default 0
        Of the samples.

    Returns
    -------
    Summary
        ``value, lower, upper, n``; NaN if no image has a value.

    Raises
    ------
    EvaluationError
        If values are infinite or groups do not fit them.

    Examples
    --------
    >>> summarise([1.0, 0.0, float("nan"), 1.0], ["ann", "ann", "bob", "bob"])
    Summary(value=0.666..., lower=0.5, upper=1.0, n=3)
    """
    found = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    if found.ndim != 1:
        raise EvaluationError(f"A summary is of one value an image; got shape {found.shape}.")
    if np.isinf(found).any():
        raise EvaluationError("A summary is of finite values, NaN where not defined; some are infinite.")
    known = ~np.isnan(found)
    if not known.any():
        return Summary(np.nan, np.nan, np.nan, 0)
    # Numbered anew: an identity without a value is not drawn.
    cluster = np.unique(as_groups(groups, len(found))[known], return_inverse=True)[1]
    terms = np.stack([found[known], np.ones(int(known.sum()))], axis=1)
    value, lower, upper = cluster_intervals(
        terms, cluster, lambda s: s[:, 0] / s[:, 1], draws=draws, seed=seed
    )
    return Summary(value, lower, upper, int(known.sum()))
