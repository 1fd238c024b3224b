import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from fusiform.errors import DataError


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
        raise DataError(f"An ROC curve needs both classes; got {positive.size} positives and {negative.size} negatives.")
    scores = np.concatenate([positive, negative])
    if not np.isfinite(scores).all():
        raise DataError("An ROC curve needs finite scores; some are NaN or infinite.")
    rank_sum = rankdata(scores)[: positive.size].sum()
    return float((rank_sum - positive.size * (positive.size + 1) / 2) / (positive.size * negative.size))


def verification_auc(
    embeddings: Float[ndarray, "n d"], identity: Int[ndarray, " n"], *, max_impostors: int = 2_000_000, seed: int = 0
) -> tuple[float, int, int]:
    """Verification AUC over all pairs: are two images of one person more alike than of two?

    Parameters
    ----------
    embeddings : array, shape (n, d)
        One row an image; compared by cosine.
    identity : int array, shape (n,)
        Who each image shows.
    max_impostors : int, default 2,000,000
        Impostor pairs are sampled down to this many; genuine pairs are all used.
    seed : int, default 0
        Of that sample.

    Returns
    -------
    auc : float
        Area under the ROC curve.
    n_genuine, n_impostor : int
        Pairs used.

    Raises
    ------
    DataError
        If there is no genuine or no impostor pair.

    Examples
    --------
    >>> e = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> verification_auc(e, np.array([0, 0, 1, 1]))
    (1.0, 2, 4)
    """
    embeddings = np.asarray(embeddings, dtype=np.float64)
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    embeddings = embeddings / np.maximum(norms, np.finfo(np.float64).tiny)
    rng = np.random.default_rng(seed)
    n = len(embeddings)
    # Row blocks keep the n x n similarities out of memory; every block keeps its share of the impostors.
    keep = min(1.0, max_impostors / max(1, n * (n - 1) // 2))
    genuine, impostor = [], []
    for start in range(0, n, 1024):
        rows = np.arange(start, min(n, start + 1024))
        similarity = embeddings[rows] @ embeddings.T
        above = np.arange(n)[None, :] > rows[:, None]
        same = identity[rows][:, None] == identity[None, :]
        genuine.append(similarity[above & same])
        others = similarity[above & ~same]
        impostor.append(others if keep == 1.0 else others[rng.random(others.size) < keep])
    positives, negatives = np.concatenate(genuine), np.concatenate(impostor)
    if not positives.size or not negatives.size:
        raise DataError(
            f"Verification needs people with two images and at least two people; got {positives.size} genuine and "
            f"{negatives.size} impostor pairs."
        )
    return roc_auc(positives, negatives), positives.size, negatives.size
