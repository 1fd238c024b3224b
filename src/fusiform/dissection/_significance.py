"""Is it more than chance: permutations of group labels, of masks among images, and false discoveries."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import gammaincc, gammaln
from scipy.stats import false_discovery_control, pearson3

_VALUES = 2**23  # floats of one chunk of permutations
_TIE = 1e-6  # probabilities closer than this are the same, rounded differently
_FEW = 10  # permutations that reach a value, below which their share is too coarse
_MANY = 20  # permutations that reach a value, from which more would tell little


def group_p_values(
    weights: Float[ndarray, "n u"], groups: Int[ndarray, " n"], *, permutations: int, seed: int
) -> Float[ndarray, "u g"]:
    """Permutation p-values of stage I's probabilities, one-sided.

    Units each of whose probabilities 20 permutations have reached take part in no more of them (sequential Monte Carlo p-values,
    Besag, Clifford 1991): 1,000 permutations show what is rare, 125 show what is not.

    Where fewer than 10 permutations reach a probability their share is coarse, and never below 1 / (1 + permutations), which is
    too much among many tests. There the tail comes from the permutations' exact mean, variance and skewness: a
    probability is reached where a sum over the images of weight times a number of their group reaches 0, and a Pearson
    type III distribution with its three moments is near that of such sums (Mielke, Berry 2007). A negative skewness
    counts as none, which makes p larger.

    Parameters
    ----------
    weights : float array, shape (n, units)
        Rank times strength.
    groups : int array, shape (n,)
        Group of each image, 0 to G - 1.
    permutations : int
        How often labels are dealt out anew among the images, at the most; the same for all units.
    seed : int
        Of the permutations.

    Returns
    -------
    float array, shape (units, G)
        (1 + permutations that reach the probability) / (1 + permutations made), or the tail where fewer than 10 do; NaN for
        units that never vary.

    Examples
    --------
    >>> weights = np.arange(12.0)[:, None]
    >>> group_p_values(weights, np.repeat([0, 1], 6), permutations=999, seed=0).round(3)
    array([[1.   , 0.002]])
    """
    n, units = weights.shape
    sizes = np.bincount(groups)
    shares = torch.from_numpy((np.eye(len(sizes)) / sizes)[groups].T.copy()).float()  # (G, n)
    values = torch.from_numpy(weights).float()
    random = torch.Generator().manual_seed(seed)

    def probabilities(scores: torch.Tensor) -> torch.Tensor:
        return scores / scores.sum(dim=-2, keepdim=True).clamp(min=1e-30)

    observed = probabilities(shares @ values)
    least, reached = observed - _TIE, torch.zeros_like(observed)
    made, unclear = torch.zeros(units), torch.arange(units)
    chunk = max(1, min(permutations, _VALUES // (len(sizes) * (n + units))))
    done = 0
    while done < permutations and len(unclear):
        # Up to the next point at which units may have shown enough: an eighth, a quarter, half of all.
        until = max(ceil(permutations / 8), min(permutations, 2 * done))
        while done < until:
            count = min(chunk, until - done)
            dealt = torch.stack([torch.randperm(n, generator=random) for _ in range(count)])
            scores = (shares[:, dealt].transpose(0, 1).reshape(-1, n) @ values).view(count, len(sizes), -1)
            # 0 and 1 as floats: counting booleans takes longer than the products.
            reached[:, unclear] += probabilities(scores).ge_(least[:, unclear]).sum(dim=0)
            done += count
        made[unclear] = done
        rare = (reached[:, unclear] < _MANY).any(dim=0)
        unclear, values = unclear[rare], values[:, rare]
    p = ((1 + reached.double()) / (1 + made)).T.numpy()
    few = reached.T.numpy() < _FEW
    some = few.any(axis=1)
    tails = _group_tails(weights[:, some], groups, sizes)
    p[some] = np.where(few[some], tails, p[some])
    varies = np.asarray((weights > 0).any(axis=0))
    return np.where(varies[:, None], p, np.nan)


def _group_tails(
    weights: Float[ndarray, "n u"], groups: Int[ndarray, " n"], sizes: Int[ndarray, " g"]
) -> Float[ndarray, "u g"]:
    n = len(weights)
    scores = weights.T @ np.eye(len(sizes))[groups] / sizes
    total = scores.sum(axis=1, keepdims=True)
    observed = scores / np.where(total > 0, total, 1)
    # What an image of group h adds to the sum that must reach 0 for group g, by its weight: (units, g, h).
    added = (np.eye(len(sizes)) - observed[:, :, None]) / sizes
    mean_added = added @ sizes / n
    added = added - mean_added[:, :, None]
    mean = weights.mean(axis=0)
    centred = weights - mean
    squares = (centred**2).sum(axis=0)[:, None] * (added**2 @ sizes)
    cubes = (centred**3).sum(axis=0)[:, None] * (added**3 @ sizes)
    deviation = np.sqrt(squares / max(1, n - 1))
    cubed = np.where(deviation > 0, deviation, 1) ** 3
    skewness = n * cubes / max(1, (n - 1) * (n - 2)) / cubed
    away = -n * mean[:, None] * mean_added / np.where(deviation > 0, deviation, 1)
    tail = pearson3.sf(away, skewness.clip(min=0))
    # Nothing is rarer than all firing images in the group, or the group's images on the highest.
    firing = (weights > 0).sum(axis=0)[:, None]
    few = np.minimum(firing, sizes)
    least = _log_choices(np.where(firing <= sizes, sizes, few), few) - _log_choices(n, few)
    return np.maximum(tail, np.exp(least))


def least_p_value(
    n: int | Int[ndarray, "..."], firing: Int[ndarray, "..."], carrying: Int[ndarray, "..."]
) -> Float[ndarray, "..."]:
    """Bound below the p-values of a test by permutations: no distribution's tail counts for less.

    Where a unit fires in few images, or few carry a concept, one choice of so few out of all is the rarest event.

    Parameters
    ----------
    n : int or int array
        Images.
    firing, carrying : int array
        In how many the unit fires, and how many carry the concept.

    Returns
    -------
    float array
        1 / C(n, min(firing, carrying, n / 2)).

    Examples
    --------
    >>> least_p_value(10, np.array([1, 2, 9]), np.array([8, 8, 8])).round(4)
    array([0.1   , 0.0222, 0.004 ])
    """
    few = np.minimum(np.minimum(firing, carrying), np.asarray(n) // 2)
    return np.exp(-_log_choices(n, few))


def _log_choices(n: int | Float[ndarray, "..."], k: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    n = np.asarray(n, dtype=np.float64)
    return gammaln(n + 1) - gammaln(k + 1.0) - gammaln(n - k + 1)


def overlap_p_values(
    overlap: Float[ndarray, "u c"],
    mean: Float[ndarray, "u c"],
    variance: Float[ndarray, "u c"],
    least: Float[ndarray, "u c"] | float = 0.0,
) -> Float[ndarray, "u c"]:
    """One-sided p-values of overlaps against masks dealt out anew among the images.

    A gamma distribution has the permutations' exact mean and variance (Hoeffding 1951) and, unlike a normal one, the long
    upper tail of a sum of a few overlaps that cannot be negative.

    Parameters
    ----------
    overlap, mean, variance : float array, shape (units, concepts)
        What was found, and its moments under permutation.
    least : float array, shape (units, concepts), default 0
        What no p-value can be below, from `least_p_value`.

    Returns
    -------
    float array, shape (units, concepts)
        NaN where nothing varies, so that nothing can be said.

    Examples
    --------
    >>> overlap_p_values(np.array([[3.0, 1.0]]), np.array([[1.0, 1.0]]), np.array([[1.0, 0.0]])).round(3)
    array([[0.05,  nan]])
    """
    said = (mean > 0) & (variance > 1e-12 * mean**2)
    scale = np.divide(variance, mean, where=said, out=np.ones_like(mean))
    shape = np.divide(mean, scale, where=said, out=np.ones_like(mean))
    return np.where(said, np.maximum(gammaincc(shape, overlap / scale), least), np.nan)


def false_discovery_rates(p_values: Sequence[Float[ndarray, "u k"]]) -> list[Float[ndarray, "u k"]]:
    """Benjamini and Hochberg's (1995) adjusted p-values over all tests of several arrays together.

    Parameters
    ----------
    p_values : sequence of float arrays
        NaN is no test.

    Returns
    -------
    list of float arrays
        Of the same shapes; NaN where there was no test.

    Examples
    --------
    >>> false_discovery_rates([np.array([0.01, np.nan]), np.array([0.04])])
    [array([0.02,  nan]), array([0.04])]
    """
    flat = np.concatenate([p.ravel() for p in p_values]) if p_values else np.empty(0)
    tested = ~np.isnan(flat)
    adjusted = np.full(flat.shape, np.nan)
    if tested.any():
        adjusted[tested] = false_discovery_control(flat[tested])
    parts = np.split(adjusted, np.cumsum([p.size for p in p_values])[:-1])
    return [part.reshape(p.shape) for part, p in zip(parts, p_values, strict=True)] if p_values else []
