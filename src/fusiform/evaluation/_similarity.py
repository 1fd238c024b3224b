"""How alike two maps are."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from fusiform.errors import EvaluationError
from fusiform.evaluation._given import checked_masks, lone_maps

Metric = Callable[[ndarray, ndarray], ndarray]


def compare_maps(
    maps: Float[Tensor, "n h w"],
    others: Float[Tensor, "*n h w"],
    *,
    fixations: Tensor | None = None,
) -> pd.DataFrame:
    """Compare maps with others image by image, such as with where people looked.

    Parameters
    ----------
    maps : tensor, shape (n, height, width)
        Maps.
    others : tensor, shape (n, height, width) or (height, width)
        Maps of the same size: of another method or network, or densities of fixations (`fixation_map`).
    fixations : bool tensor, shape (n, height, width) or (height, width), optional
        Pixels that were looked at.

    Returns
    -------
    DataFrame
        One row an image: ``pearson``, ``spearman`` (correlations of pixels), ``spearman_absolute`` (of absolute
        values), ``ssim`` (both maps scaled to -1 to 1), ``hog_pearson`` (correlation of histograms of oriented
        gradients), ``similarity`` (shared mass of the positive parts, 0 to 1); with fixations ``nss``
        (mean of the standardised map at them) and ``auc_judd`` (chance that a pixel looked at has a higher value than
        one that was not). NaN where a measure is not defined, as for a constant map.

    Raises
    ------
    EvaluationError
        If shapes differ or maps are not finite.

    References
    ----------
    Bylinskii and others (2019) for similarity, NSS and AUC-Judd; Adebayo and others (2018) for the others.

    Examples
    --------
    >>> maps = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> compare_maps(maps, -maps)[["pearson", "spearman_absolute", "similarity"]].round(6).values.tolist()
    [[-1.0, 1.0, nan], [-1.0, 1.0, nan]]
    """
    maps = lone_maps(maps)
    if isinstance(others, Tensor) and others.shape == maps.shape[1:]:
        others = others.expand_as(maps)
    others = lone_maps(others)
    if others.shape != maps.shape:
        raise EvaluationError(
            f"Maps to compare have one shape; got {tuple(maps.shape)} and {tuple(others.shape)}."
        )
    a, b = as_array(maps), as_array(others)
    table = pd.DataFrame({name: metric(a, b) for name, metric in (SIMILARITIES | _MORE).items()})
    if fixations is not None:
        points = checked_masks(fixations, maps).cpu().numpy()
        table["nss"] = [_nss(m, p) for m, p in zip(a, points, strict=True)]
        table["auc_judd"] = [_auc(m, p) for m, p in zip(a, points, strict=True)]
    return table.rename_axis("image")


def as_array(maps: Tensor) -> Float[ndarray, "n h w"]:
    """Maps for numpy, in double precision."""
    return maps.detach().cpu().double().numpy()


def pearson(a: Float[ndarray, "n ..."], b: Float[ndarray, "n ..."]) -> Float[ndarray, " n"]:
    """Correlation of each pair of rows; NaN where one is constant."""
    a, b = (m.reshape(len(m), -1) for m in (a, b))
    a, b = (m - m.mean(axis=1, keepdims=True) for m in (a, b))
    # A constant's mean may differ from it in the last digit.
    a, b = (np.where(np.ptp(m, axis=1, keepdims=True) > 0, m, 0.0) for m in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        # Each over its own length: the product of two lengths may underflow.
        a, b = (m / np.sqrt((m**2).sum(axis=1, keepdims=True)) for m in (a, b))
        return np.asarray((a * b).sum(axis=1))


def _spearman(a: ndarray, b: ndarray) -> ndarray:
    from scipy.stats import rankdata

    return pearson(*(rankdata(m.reshape(len(m), -1), axis=1) for m in (a, b)))


def _spearman_absolute(a: ndarray, b: ndarray) -> ndarray:
    return _spearman(np.abs(a), np.abs(b))


def _scaled(maps: ndarray) -> ndarray:
    """Each map over its largest absolute value: signs stay, ranges agree."""
    largest = np.abs(maps).max(axis=(1, 2), keepdims=True)
    return np.asarray(maps / np.where(largest > 0, largest, 1.0))


def _ssim(a: ndarray, b: ndarray) -> ndarray:
    from skimage.metrics import structural_similarity

    side = min(a.shape[1:])
    window = min(7, side - (side + 1) % 2)
    if window < 3:
        return np.full(len(a), np.nan)
    return np.array(
        [
            structural_similarity(p, q, data_range=2.0, win_size=window)
            for p, q in zip(_scaled(a), _scaled(b), strict=True)
        ]
    )


def _hog_pearson(a: ndarray, b: ndarray) -> ndarray:
    from skimage.feature import hog

    cell = max(2, min(16, min(a.shape[1:]) // 6))
    if min(a.shape[1:]) < 3 * cell:
        return np.full(len(a), np.nan)
    described = (
        np.array([hog(m, pixels_per_cell=(cell, cell), cells_per_block=(3, 3)) for m in _scaled(maps)])
        for maps in (a, b)
    )
    return pearson(*described)


def _shared_mass(a: ndarray, b: ndarray) -> ndarray:
    a, b = (np.clip(m, 0, None) for m in (a, b))
    with np.errstate(invalid="ignore"):
        a, b = (m / m.sum(axis=(1, 2), keepdims=True) for m in (a, b))
    return np.asarray(np.minimum(a, b).sum(axis=(1, 2)))


def _nss(m: ndarray, points: ndarray) -> float:
    if not points.any() or np.ptp(m) == 0:
        return np.nan
    return float(((m - m.mean()) / m.std())[points].mean())


def _auc(m: ndarray, points: ndarray) -> float:
    from fusiform.statistics import roc_auc

    return roc_auc(m[points], m[~points]) if points.any() and not points.all() else np.nan


SIMILARITIES: dict[str, Metric] = {
    "spearman": _spearman,
    "spearman_absolute": _spearman_absolute,
    "ssim": _ssim,
    "hog_pearson": _hog_pearson,
}
_MORE: dict[str, Metric] = {"pearson": pearson, "similarity": _shared_mass}


def similarities(a: Float[Tensor, "n h w"], b: Float[Tensor, "n h w"]) -> dict[str, Float[ndarray, " n"]]:
    """The measures of Adebayo and others between two maps of each image."""
    with torch.no_grad():
        first, second = as_array(a), as_array(b)
    return {name: metric(first, second) for name, metric in SIMILARITIES.items()}
