from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray


@lru_cache(maxsize=8)
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
        Counts; every row sums to `n_clusters`. Read-only, for callers share it.

    Examples
    --------
    >>> cluster_weights(5, draws=3).sum(axis=1)
    array([5., 5., 5.])
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(n_clusters, size=(draws, n_clusters))
    drawn += n_clusters * np.arange(draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=draws * n_clusters).astype(np.float64)
    counts = counts.reshape(draws, n_clusters)
    counts.flags.writeable = False
    return counts


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
    sums = np.zeros((int(cluster.max()) + 1, terms.shape[1]))
    np.add.at(sums, cluster, terms)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(statistic(sums.sum(axis=0, keepdims=True))[0])
        resampled = statistic(cluster_weights(len(sums), draws=draws, seed=seed) @ sums)
    return value, *_percentiles(resampled, level)


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
    rank = np.unique(scores, return_inverse=True)[1]
    weights = cluster_weights(int(cluster.max()) + 1, draws=draws, seed=seed)[:, cluster]
    order = np.argsort(rank, kind="stable")
    rank, positive, weights = rank[order], positive[order], weights[:, order]
    negative_weight = np.where(positive, 0.0, weights)
    below = np.cumsum(negative_weight, axis=1)
    # Ties count half: the mean of what lies below a tie's first and up to its last member.
    first = np.searchsorted(rank, rank, side="left")
    last = np.searchsorted(rank, rank, side="right") - 1
    mean_below = (np.where(first > 0, below[:, first - 1], 0.0) + below[:, last]) / 2
    positive_weight = weights - negative_weight
    with np.errstate(invalid="ignore", divide="ignore"):
        areas = (positive_weight * mean_below).sum(axis=1) / (positive_weight.sum(axis=1) * below[:, -1])
    return _percentiles(areas, level)


def _percentiles(resampled: ndarray, level: float) -> tuple[float, float]:
    resampled = resampled[np.isfinite(resampled)]
    if not resampled.size:
        return np.nan, np.nan
    lower, upper = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper)
