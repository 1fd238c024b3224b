"""Stages I and III: relative probabilities of concepts from ranked and scaled maxima."""

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.stats import rankdata

from fusiform.errors import DataError

_VALUES = 2**22  # maxima worked on at once: ranking takes 16 times their memory


def unit_blocks(n: int, units: int) -> list[slice]:
    """Units a few at a time, so that their maxima over n images are about 4 million values.

    Parameters
    ----------
    n : int
        Images.
    units : int
        Units.

    Returns
    -------
    list of slice
        All units, in order.

    Examples
    --------
    >>> unit_blocks(2**20, 10)
    [slice(0, 4, None), slice(4, 8, None), slice(8, 10, None)]
    """
    step = max(1, _VALUES // max(1, n))
    return [slice(start, min(start + step, units)) for start in range(0, units, step)]


def weighted_ranks(max_activations: Float[ndarray, "n u"]) -> Float[ndarray, "n u"]:
    """Rank times strength of every image, a unit (Teotia and others 2022, the increment of eq. 1).

    Parameters
    ----------
    max_activations : float array, shape (n, units)
        Maximum of each image's activation map.

    Returns
    -------
    float array, shape (n, units)
        Rank 1 to n (average ranks for ties) over n, times the maximum scaled to [0, 1] over the images; 0 throughout for
        a unit that never varies.

    Examples
    --------
    >>> weighted_ranks(np.array([[0.0], [2.0], [1.0], [4.0]])).ravel()
    array([0.   , 0.375, 0.125, 1.   ])
    """
    values = np.asarray(max_activations, dtype=np.float64)
    least = values.min(axis=0)
    span = values.max(axis=0) - least
    strength = (values - least) / np.where(span > 0, span, 1.0)
    return rankdata(values, axis=0) / len(values) * strength


def global_probabilities(
    max_activations: Float[ndarray, "n u"], groups: Int[ndarray, " n"]
) -> Float[ndarray, "u g"]:
    """Affinity of units to the groups of one global category: stage I.

    Each image adds rank times strength to its group's score (eq. 1), scores are divided by the groups' sizes
    (eq. 2) and by their sum. Strength is the maximum of the activation map, scaled to [0, 1] over the images.

    Parameters
    ----------
    max_activations : float array, shape (n, units)
        Maximum of each image's activation map.
    groups : int array, shape (n,)
        Group of each image, 0 to G - 1; -1 leaves an image out.

    Returns
    -------
    float array, shape (units, G)
        Rows sum to 1; 1 / G throughout for a unit that never varies. A unit is biased towards a group where this exceeds the
        category's threshold.

    Raises
    ------
    DataError
        If shapes differ, a maximum is not finite, or a group has no image.

    References
    ----------
    Teotia, Lapedriza, Ostadabbas (2022), section 3.2, equations 1 and 2.

    Examples
    --------
    >>> global_probabilities(np.array([[0.0], [1.0], [2.0], [4.0]]), np.array([0, 0, 1, 1])).round(3)
    array([[0.083, 0.917]])
    """
    maxima, groups = _matrix(max_activations), np.asarray(groups)
    if groups.shape != (len(maxima),) or not np.issubdtype(groups.dtype, np.integer):
        raise DataError(
            f"'groups' must be whole numbers, one for each of the {len(maxima)} images; got shape {groups.shape} "
            f"of {groups.dtype}."
        )
    kept = groups >= 0
    sizes = np.bincount(groups[kept])
    if not len(sizes) or not sizes.all():
        missing = np.flatnonzero(sizes == 0).tolist() or "all"
        raise DataError(
            f"Every group needs at least one image; these have none: {missing}. Number the groups from 0 without gaps."
        )
    blocks = unit_blocks(int(kept.sum()), maxima.shape[1])
    parts = [group_probabilities(weighted_ranks(maxima[kept, block]), groups[kept]) for block in blocks]
    return np.concatenate([np.empty((0, len(sizes))), *parts])


def local_probabilities(
    max_activations: Float[ndarray, "n u"], present: Bool[ndarray, "n k"], iou: Float[ndarray, "u k"]
) -> Float[ndarray, "u k"]:
    """Affinity of units to the concepts of one region: stage III.

    As in stage I, over the images that carry at least one of the concepts; an image adds to the score of every concept it
    carries, and each score is multiplied by the unit's IoU with the concept (eq. 3).

    Parameters
    ----------
    max_activations : float array, shape (n, units)
        Maximum of each image's activation map.
    present : bool array, shape (n, K)
        Which concepts of the region each image carries.
    iou : float array, shape (units, K)
        Intersection over union of units and concepts, from stage II; NaN counts as 0.

    Returns
    -------
    float array, shape (units, K)
        Rows sum to 1; 1 / K throughout where nothing can be said. A unit is paired with concepts above 1.5 / K.

    Raises
    ------
    DataError
        If shapes differ or a maximum is not finite.

    References
    ----------
    Teotia, Lapedriza, Ostadabbas (2022), section 3.2, equation 3.

    Examples
    --------
    >>> maxima = np.array([[0.0], [1.0], [2.0], [9.0]])
    >>> present = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], dtype=bool)
    >>> local_probabilities(maxima, present, np.array([[0.1, 0.1]])).round(3)
    array([[0.2, 0.8]])
    """
    maxima, present, iou = _matrix(max_activations), np.asarray(present, dtype=bool), np.asarray(iou)
    if present.ndim != 2 or len(present) != len(maxima) or iou.shape != (maxima.shape[1], present.shape[1]):
        raise DataError(
            f"Maxima {maxima.shape}, presence {present.shape} and IoU {iou.shape} do not fit; expected "
            "(images, units), (images, concepts), (units, concepts)."
        )
    carrying = present.any(axis=1)
    if not carrying.any():
        return np.full(iou.shape, 1 / max(1, iou.shape[1]))
    carried = present[carrying].astype(np.float64)
    scores = np.empty(iou.shape)
    for block in unit_blocks(len(carried), len(scores)):
        scores[block] = weighted_ranks(maxima[carrying, block]).T @ carried
    scores /= np.maximum(carried.sum(axis=0), 1)
    return _relative(scores * np.nan_to_num(iou))


def group_probabilities(weights: Float[ndarray, "n u"], groups: Int[ndarray, " n"]) -> Float[ndarray, "u g"]:
    """Relative probabilities of groups, all of which have images, from rank times strength (eq. 2)."""
    sizes = np.bincount(groups)
    return _relative(weights.T @ np.eye(len(sizes))[groups] / sizes)


def _relative(scores: ndarray) -> ndarray:
    total = scores.sum(axis=1, keepdims=True)
    return np.where(total > 0, scores / np.where(total > 0, total, 1.0), 1 / scores.shape[1])


def _matrix(max_activations: ndarray) -> ndarray:
    maxima = np.asarray(max_activations)
    if maxima.ndim != 2 or not len(maxima):
        raise DataError(f"Maxima must have shape (images, units), at least one image; got {maxima.shape}.")
    if not np.isfinite(maxima).all():
        image, unit = np.argwhere(~np.isfinite(maxima))[0]
        raise DataError(
            f"The maximum of unit {unit} in image {image} is not finite; check the network's weights and inputs."
        )
    return maxima
