from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.statistics._bootstrap import cluster_weights


def roc_auc(positive: Float[ndarray, " p"], negative: Float[ndarray, " q"]) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    Parameters
    ----------
    positive, negative : array, shapes (p,) and (q,)
        Scores of the two classes.

    Returns
    -------
    float
        In [0, 1]; 0.5 is chance.

    Raises
    ------
    DataError
        If a class is empty or a score is not finite.

    References
    ----------
    Mann and Whitney (1947); Hanley and McNeil (1982).

    Examples
    --------
    >>> roc_auc(np.array([3.0, 2.0]), np.array([1.0, 2.0]))
    0.875
    """
    from scipy.stats import rankdata

    positive = np.asarray(positive, dtype=np.float64)
    negative = np.asarray(negative, dtype=np.float64)
    if not positive.size or not negative.size:
        raise DataError(
            f"An ROC curve needs both classes; got {positive.size} positives and {negative.size} negatives."
        )
    scores = np.concatenate([positive, negative])
    if not np.isfinite(scores).all():
        raise DataError("An ROC curve needs finite scores; some are NaN or infinite.")
    rank_sum = rankdata(scores)[: positive.size].sum()
    return float((rank_sum - positive.size * (positive.size + 1) / 2) / (positive.size * negative.size))


@dataclass(frozen=True)
class Verification:
    """Verification over pairs of images.

    Attributes
    ----------
    auc : float
        Area under the ROC curve.
    lower, upper : float
        Its 95% interval; people are resampled, not pairs.
    n_genuine, n_impostor : int
        Pairs used.
    """

    auc: float
    lower: float
    upper: float
    n_genuine: int
    n_impostor: int


def verification_auc(
    embeddings: Float[ndarray, "n d"],
    identity: Int[ndarray, " n"],
    *,
    max_impostors: int = 200_000,
    draws: int = 200,
    seed: int = 0,
) -> Verification:
    """Verification AUC: how often two images of one person are more alike than images of two.

    Parameters
    ----------
    embeddings : array, shape (n, d)
        One row an image; compared by cosine.
    identity : int array, shape (n,)
        Who each image shows.
    max_impostors : int, default 200,000
        Impostor pairs are sampled down to about this many; genuine pairs are all used.
    draws : int, default 200
        Bootstrap samples for the interval.
    seed : int, default 0
        Of the samples.

    Returns
    -------
    Verification
        The AUC with its interval.

    Raises
    ------
    DataError
        If there is no genuine or no impostor pair.

    Examples
    --------
    >>> e = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> verification_auc(e, np.array([0, 0, 1, 1])).auc
    1.0
    """
    embeddings = np.asarray(embeddings, dtype=np.float64)
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    embeddings = embeddings / np.maximum(norms, np.finfo(np.float64).tiny)
    people, who = np.unique(identity, return_inverse=True)
    rng = np.random.default_rng(seed)
    n = len(embeddings)
    keep = min(1.0, max_impostors / max(1, n * (n - 1) // 2))
    pairs = []
    # Row blocks keep the n x n similarities out of memory; every block keeps its share of the impostors.
    for start in range(0, n, 1024):
        rows = np.arange(start, min(n, start + 1024))
        wanted = np.arange(n)[None, :] > rows[:, None]
        if keep < 1.0:
            wanted &= (who[rows][:, None] == who[None, :]) | (rng.random(wanted.shape) < keep)
        a, b = wanted.nonzero()
        pairs.append(np.stack([rows[a], b, (embeddings[rows] @ embeddings.T)[a, b]]))
    left, right, similarity = np.concatenate(pairs, axis=1)
    left, right = who[left.astype(np.int64)], who[right.astype(np.int64)]
    genuine = left == right
    if genuine.all() or not genuine.any():
        raise DataError(
            f"Verification needs people with two images and at least two people; got {genuine.sum()} genuine and "
            f"{(~genuine).sum()} impostor pairs."
        )
    areas = []
    order = np.argsort(similarity, kind="stable")
    left, right, sorted_genuine = left[order], right[order], genuine[order]
    for counts in cluster_weights(len(people), draws=draws, seed=seed):
        weight = np.where(sorted_genuine, counts[left], counts[left] * counts[right])
        impostors_below = np.cumsum(np.where(sorted_genuine, 0.0, weight))
        mates = np.where(sorted_genuine, weight, 0.0)
        if mates.any() and impostors_below[-1]:
            areas.append(mates @ impostors_below / (mates.sum() * impostors_below[-1]))
    lower, upper = np.quantile(areas, [0.025, 0.975]) if areas else (np.nan, np.nan)
    value = roc_auc(similarity[genuine], similarity[~genuine])
    return Verification(value, float(lower), float(upper), int(genuine.sum()), int((~genuine).sum()))
