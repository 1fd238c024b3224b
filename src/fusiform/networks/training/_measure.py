import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.stats import kendalltau
from torch import Tensor, nn

from fusiform.errors import DataError
from fusiform.networks.training._classes import Labels
from fusiform.networks.training._pixels import Pixels, plain_batch
from fusiform.networks.training._recipe import Recipe
from fusiform.statistics import roc_auc, verification_auc

_BATCH = 128


@torch.no_grad()
def embed_all(
    trunk: nn.Module, pixels: Pixels, rows: np.ndarray, recipe: Recipe, *, device: str = "cpu"
) -> Float[Tensor, "n d"]:
    """Run a network over images without augmentation.

    Parameters
    ----------
    trunk : nn.Module
        The network; its training mode is put back.
    pixels : Pixels
        The images.
    rows : int array, shape (n,)
        Which of them.
    recipe : Recipe
        Says the input.
    device : str, default "cpu"
        Where the network is.

    Returns
    -------
    float tensor, shape (n, d)
        On the CPU.
    """
    mode = trunk.training
    trunk.eval()
    try:
        parts = [
            trunk(plain_batch(pixels.take(rows[start : start + _BATCH]), recipe).to(device)).float().cpu()
            for start in range(0, len(rows), _BATCH)
        ]
    finally:
        trunk.train(mode)
    return torch.cat(parts)


def validation_auc(
    trunk: nn.Module,
    head: nn.Module,
    pixels: Pixels,
    labels: Labels,
    recipe: Recipe,
    *,
    device: str = "cpu",
) -> float:
    """Measure a network on a validation set.

    Parameters
    ----------
    trunk, head : nn.Module
        The network and its classifier.
    pixels : Pixels
        The validation images.
    labels : Labels
        Their classes.
    recipe : Recipe
        Says the input.
    device : str, default "cpu"
        Where the network is.

    Returns
    -------
    float
        For identities, the verification AUC over all pairs by cosine. For other classes, the area under
        the ROC curve of each class against the rest, averaged over the classes that occur. For a continuous
        attribute, the chance that of two images the one of higher value is given the higher value, which is
        the same area where there are two values.
    """
    embeddings = embed_all(trunk, pixels, labels.rows, recipe, device=device)
    if labels.kind == "identity":
        return verification_auc(embeddings.numpy(), labels.codes, draws=0).auc
    if labels.kind == "continuous":
        with torch.no_grad():
            return concordance(labels.codes, head(embeddings.to(device))[:, 0].cpu().numpy())
    with torch.no_grad():
        chance = head(embeddings.to(device)).softmax(dim=1).cpu().numpy()
    present = np.unique(labels.codes)
    areas = [roc_auc(chance[labels.codes == k, k], chance[labels.codes != k, k]) for k in present]
    return float(np.mean(areas))


def concordance(truth: Float[ndarray, " n"], said: Float[ndarray, " n"]) -> float:
    """Give the share of pairs of different true values that are put in the right order; ties count half.

    Parameters
    ----------
    truth, said : float array, shape (n,)
        True and predicted values.

    Returns
    -------
    float
        In [0, 1], 0.5 by chance; NaN where all true values are one.

    References
    ----------
    Harrell et al. (1982), Evaluating the yield of medical tests.

    Examples
    --------
    >>> concordance(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 7.0])).round(3)
    np.float64(0.833)
    """
    pairs, tied_truth, tied_said = len(truth) * (len(truth) - 1) // 2, _ties(truth), _ties(said)
    if pairs == tied_truth:
        return float("nan")
    if pairs == tied_said:
        return 0.5
    tau = kendalltau(truth, said).statistic
    # Kendall's tau-b is the right pairs less the wrong ones, over a root of the pairs not tied.
    difference = tau * np.sqrt((pairs - tied_truth) * (pairs - tied_said))
    return 0.5 + 0.5 * difference / (pairs - tied_truth)


def _ties(values: Float[ndarray, " n"]) -> int:
    counts = np.unique(values, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def verification_accuracy(
    embeddings: Float[ndarray, "n d"],
    codes: Int[ndarray, " n"],
    *,
    pairs: int = 6000,
    folds: int = 10,
    seed: int = 0,
) -> tuple[float, int]:
    """Give how often pairs are told rightly to be of one class or of two, by cosine and a threshold.

    As many pairs of each kind are drawn; the threshold of a tenth of them is the best one of the other nine, as
    is usual on LFW.

    Parameters
    ----------
    embeddings : float array, shape (n, d)
        Of the images.
    codes : int array, shape (n,)
        Class (identity) of each.
    pairs : int, default 6000
        How many are drawn; fewer where there are not as many different ones of one class.
    folds, seed : int, default 10 and 0
        Parts; of the draw.

    Returns
    -------
    accuracy : float
        0.5 by chance.
    n : int
        How many pairs were drawn.

    Raises
    ------
    DataError
        If there are fewer pairs of one kind than folds.

    Examples
    --------
    >>> e = np.repeat(np.eye(6), 4, axis=0)
    >>> verification_accuracy(e, np.repeat(np.arange(6), 4))
    (1.0, 72)
    """
    rng = np.random.default_rng(seed)
    by_class = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    genuine = np.array([pair for rows in by_class for pair in _few_pairs(rows, pairs, rng)]).reshape(-1, 2)
    impostor = rng.integers(len(codes), size=(8 * pairs, 2))
    impostor = np.unique(np.sort(impostor[codes[impostor[:, 0]] != codes[impostor[:, 1]]], axis=1), axis=0)
    each = min(pairs // 2, len(genuine), len(impostor))
    if each < folds:
        raise DataError(
            f"Verification needs at least {folds} pairs of images of one class and as many of two; got {len(genuine)} "
            f"and {len(impostor)} over {len(codes)} images. Give more images to test."
        )
    chosen = np.concatenate([rng.permutation(kind)[:each] for kind in (genuine, impostor)])
    same = np.arange(2 * each) < each
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True).clip(1e-12)
    score = (unit[chosen[:, 0]] * unit[chosen[:, 1]]).sum(axis=1)
    part = np.arange(2 * each) % folds
    right = 0
    for fold in range(folds):
        limit = _best_threshold(score[part != fold], same[part != fold])
        right += int(((score[part == fold] >= limit) == same[part == fold]).sum())
    return right / (2 * each), 2 * each


def _few_pairs(rows: Int[ndarray, " n"], most: int, rng: np.random.Generator) -> Int[ndarray, "k 2"]:
    first, second = np.triu_indices(len(rows), 1)
    chosen = rng.permutation(len(first))[:most]
    return np.stack([rows[first[chosen]], rows[second[chosen]]], axis=1)


def _best_threshold(score: Float[ndarray, " n"], same: Bool[ndarray, " n"]) -> float:
    order = np.argsort(score, kind="stable")
    score, same = score[order], same[order]
    # Accuracy when everything from position k on is called the same.
    right = np.concatenate([[0], np.cumsum(~same)]) + same.sum() - np.concatenate([[0], np.cumsum(same)])
    # A threshold cannot part scores that are equal.
    right[1:-1][np.diff(score) == 0] = -1
    best = int(right.argmax())
    return math.inf if best == len(score) else float(score[best])
