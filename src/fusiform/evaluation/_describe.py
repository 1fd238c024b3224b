"""What a map looks like, whether it is right or not."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from fusiform.errors import EvaluationError
from fusiform.evaluation._baselines import baseline_maps
from fusiform.evaluation._given import checked_maps, lone_maps
from fusiform.evaluation._similarity import as_array, pearson


def describe_maps(
    maps: Float[Tensor, "n h w"], x: Float[Tensor, "n c h w"] | None = None, *, mass: float = 0.5
) -> pd.DataFrame:
    """Describe how simple maps are: their chunks, covered area, level of detail, likeness to edges.

    Parameters
    ----------
    maps : tensor, shape (n, height, width)
        Maps; the sign is put aside.
    x : tensor, shape (n, channels, height, width), optional
        Inputs, for the correlation with their edges.
    mass : float, default 0.5
        Salient pixels are the fewest that hold this share of the sum of absolute values.

    Returns
    -------
    DataFrame
        One row an image: ``chunks`` (connected groups of salient pixels, diagonals connect), ``chunk_px`` (their mean size in
        pixels), ``largest_share`` (of salient pixels in the largest), ``area`` (salient pixels as a share of all),
        ``frequency`` (mean spatial frequency of the map's power, in cycles an image side), and with `x` ``edge_correlation``
        (of absolute values with `baseline_maps` of edges). NaN where not defined, as for a map of zeros.

    Raises
    ------
    EvaluationError
        If maps are not finite or do not fit the inputs, or `mass` is out of range.

    Examples
    --------
    >>> import torch
    >>> maps = torch.zeros(1, 8, 8)
    >>> maps[0, 1, 1] = maps[0, 6, 6] = 1.0
    >>> describe_maps(maps, mass=0.9)[["chunks", "chunk_px", "area"]].values.tolist()
    [[2.0, 1.0, 0.03125]]
    """
    if not 0 < mass < 1:
        raise EvaluationError(f"The mass of salient pixels is a share above 0 and below 1; got {mass}.")
    maps = lone_maps(maps)
    values = np.abs(as_array(maps))
    rows = [_shape(m, mass) for m in values]
    table = pd.DataFrame(rows, columns=["chunks", "chunk_px", "largest_share", "area"], dtype=float)
    table["frequency"] = _frequency(as_array(maps))
    if x is not None:
        table["edge_correlation"] = pearson(
            np.abs(as_array(checked_maps(maps, x))), as_array(baseline_maps(x, "edges"))
        )
    return table.rename_axis("image")


def _shape(values: ndarray, mass: float) -> tuple[float, float, float, float]:
    from scipy.ndimage import label

    if not values.any():
        return (np.nan,) * 4
    falling = np.sort(values, axis=None)[::-1]
    held = (falling / falling[0]).cumsum()
    # Pixels equal to the last that is needed are salient too: none is better than its equal.
    least = falling[np.searchsorted(held, mass * held[-1])]
    salient = values >= least
    chunks, count = label(salient, structure=np.ones((3, 3)))
    sizes = np.bincount(chunks.ravel())[1:]
    return float(count), float(sizes.mean()), float(sizes.max() / sizes.sum()), float(salient.mean())


def _frequency(maps: ndarray) -> ndarray:
    """Power-weighted mean of the radial frequency."""
    height, width = maps.shape[1:]
    scale = np.abs(maps).max(axis=(1, 2), keepdims=True, initial=0.0)
    centred = maps / np.where(scale > 0, scale, 1.0)
    centred = centred - centred.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(centred)) ** 2
    radius = np.hypot(np.fft.fftfreq(height, 1 / height)[:, None], np.fft.fftfreq(width, 1 / width))
    total = power.sum(axis=(1, 2))
    # What rounding leaves of a constant is no detail.
    total = np.where(total > 1e-20 * height * width, total, np.nan)
    return np.asarray((power * radius).sum(axis=(1, 2)) / total)
