from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray


def cluster_weights(n_clusters: int, *, draws: int = 500, seed: int = 0) -> Float[ndarray, "draws n_clusters"]:
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
    rng = np.random.default_rng(seed)
    drawn = rng.integers(n_clusters, size=(draws, n_clusters))
    drawn += n_clusters * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * n_clusters).reshape(draws, n_clusters).astype(np.float64)


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
    resampled = resampled[np.isfinite(resampled)]
    if not resampled.size:
        return value, np.nan, np.nan
    lower, upper = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return value, float(lower), float(upper)
