from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

# Bootstrap samples whose running sums fit the processor's cache.
_TOGETHER = 32


def cluster_weights(
    n_clusters: int, *, draws: int = 500, seed: int = 0
) -> Float[ndarray, "draws n_clusters"]:
    """How often each cluster is drawn in each bootstrap sample.

    Parameters
    ----------
    n_clusters : int
        Clusters (identities) in the data; each sample draws as many with replacement.
    draws : int, default 500
        Bootstrap samples.
    seed : int, default 0
        Seed.

    Returns
    -------
    array, shape (draws, n_clusters)
        Counts; every row sums to `n_clusters`.

    Examples
    --------
    >>> cluster_weights(5, draws=3).sum(axis=1)
    array([5., 5., 5.])
    """
    return _drawn(n_clusters, draws, seed).astype(np.float64)


@lru_cache(maxsize=256)
def _drawn(n_clusters: int, draws: int, seed: int) -> Int[ndarray, "draws n_clusters"]:
    """Counts in a byte each: every layer resamples the same people for each of its attributes."""
    drawn = np.random.default_rng(seed).integers(n_clusters, size=(draws, n_clusters))
    drawn += n_clusters * np.arange(draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=draws * n_clusters).astype(np.uint8)
    return counts.reshape(draws, n_clusters)


def cluster_intervals(
    terms: Float[ndarray, "n s"],
    cluster: Int[ndarray, " n"],
    statistic: Callable[[Float[ndarray, "b s"]], Float[ndarray, " b"]],
    *,
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Percentile interval of a statistic of sums, clusters resampled whole.

    Images of one person are not independent, so it is people that are drawn with replacement
    (Field and Welsh 2007, J. R. Statist. Soc. B 69).

    Parameters
    ----------
    terms : array, shape (n, s)
        Per image, the terms whose sums the statistic takes.
    cluster : int array, shape (n,)
        The cluster (identity) of each image, 0-based.
    statistic : callable
        From sums, shape (b, s), to values, shape (b,). NaN values (a sample without one of the classes)
        are left out.
    draws : int, default 500
        Bootstrap samples.
    level : float, default 0.95
        Coverage.
    seed : int, default 0
        Seed.

    Returns
    -------
    value, lower, upper : float
        The statistic of all images and its interval.

    Examples
    --------
    >>> correct = np.array([1.0, 1.0, 0.0, 1.0])
    >>> terms = np.stack([correct, np.ones(4)], axis=1)
    >>> value, lower, upper = cluster_intervals(terms, np.array([0, 0, 1, 1]), lambda s: s[:, 0] / s[:, 1])
    >>> value, lower, upper
    (0.75, 0.5, 1.0)
    """
    found = batched_cluster_intervals(terms[None], cluster, statistic, draws=draws, level=level, seed=seed)
    value, lower, upper = found[0].tolist()
    return value, lower, upper


def batched_cluster_intervals(
    terms: Float[ndarray, "p n s"],
    cluster: Int[ndarray, " n"],
    statistic: Callable[[Float[ndarray, "b s"]], Float[ndarray, " b"]],
    *,
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> Float[ndarray, "p 3"]:
    """`cluster_intervals` for p sets of terms of the same images, all resampled alike.

    Parameters
    ----------
    terms : array, shape (p, n, s)
        Per set and image, the terms whose sums the statistic takes.
    cluster, statistic, level, seed
        As in `cluster_intervals`.
    draws : int, default 500
        Bootstrap samples; with 0 the bounds are NaN.

    Returns
    -------
    array, shape (p, 3)
        Value, lower and upper bound of each set.

    Examples
    --------
    >>> terms = np.array([[[1.0, 1.0], [0.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]])
    >>> batched_cluster_intervals(terms, np.array([0, 1]), lambda s: s[:, 0] / s[:, 1])
    array([[0.5, 0. , 1. ],
           [1. , 1. , 1. ]])
    """
    from scipy.sparse import csr_array

    p, n, s = terms.shape
    result = np.full((p, 3), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        result[:, 0] = statistic(terms.sum(axis=1))
        if draws:
            members = csr_array((np.ones(n), (cluster, np.arange(n))))
            sums = members @ terms.transpose(1, 0, 2).reshape(n, p * s)
            resampled = cluster_weights(len(sums), draws=draws, seed=seed) @ sums
            values = statistic(resampled.reshape(draws * p, s)).reshape(draws, p)
            result[:, 1:] = [_percentiles(column, level) for column in values.T]
    return result


def weighted_auc_interval(
    scores: Float[ndarray, " n"],
    positive: Bool[ndarray, " n"],
    cluster: Int[ndarray, " n"],
    *,
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the area under the ROC curve, clusters resampled whole.

    Parameters
    ----------
    scores : array, shape (n,)
        Higher means more likely positive.
    positive : bool array, shape (n,)
        The truth.
    cluster : int array, shape (n,)
        The cluster (identity) of each image, 0-based.
    draws, level, seed
        As in `cluster_intervals`.

    Returns
    -------
    lower, upper : float
        The interval; NaN where no sample holds both classes.

    Examples
    --------
    >>> scores, positive = np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, False, True, True])
    >>> weighted_auc_interval(scores, positive, np.arange(4))
    (1.0, 1.0)
    """
    order = np.argsort(scores[~positive], kind="stable")
    negative, people = scores[~positive][order], cluster[~positive][order]
    # Ties count half: the mean of what lies below a positive's first and up to its last equal.
    first, last = (np.searchsorted(negative, scores[positive], side) for side in ("left", "right"))
    weights = cluster_weights(int(cluster.max()) + 1, draws=draws, seed=seed)
    areas = np.empty(draws)
    for start in range(0, draws, _TOGETHER):
        counts = np.ascontiguousarray(weights[start : start + _TOGETHER].T)
        mates = counts[cluster[positive]]
        below = np.zeros((len(people) + 1, counts.shape[1]))
        np.cumsum(counts[people], axis=0, out=below[1:])
        won = sum(np.einsum("ib,ib->b", mates, below[edge]) for edge in (first, last)) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            areas[start : start + _TOGETHER] = won / (mates.sum(axis=0) * below[-1])
    return _percentiles(areas, level)


def _percentiles(resampled: ndarray, level: float) -> tuple[float, float]:
    resampled = resampled[np.isfinite(resampled)]
    if not resampled.size:
        return np.nan, np.nan
    lower, upper = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper)
