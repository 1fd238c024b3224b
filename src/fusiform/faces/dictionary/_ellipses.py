"""Gaussian confidence ellipses of groups of landmarks: where a concept is when nobody drew it."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from fusiform.faces.dictionary._points import Group

CONFIDENCE = 0.8
"""Share of the Gaussian that an ellipse holds; of 55 to 95%, nearest to hand-drawn eyes, noses and mouths."""

# Points on a line, as those of a brow, have no width: no ellipse is thinner than this times its length, and none has a
# half axis below this share of the distance between the eyes.
_THINNEST, _LEAST = 0.35, 0.08


def confidence_ellipses(
    points: Float[ndarray, "k p 2"],
    eye_distance: Float[ndarray, " k"] | float = 0.0,
    confidence: float = CONFIDENCE,
) -> tuple[Float[ndarray, "k 2"], Float[ndarray, "k 2 2"]]:
    """The centre of each set of points, and the matrix A of its ellipse (x - centre)' A (x - centre) <= 1.

    The ellipse holds the given share of the Gaussian with the points' mean and covariance.
    """
    centre = points.mean(axis=1)
    away = points - centre[:, None]
    variances, axes = np.linalg.eigh(np.einsum("kpi,kpj->kij", away, away) / points.shape[1])
    # Of a Gaussian in the plane, 1 - exp(-r^2 / 2) lies within r standard deviations.
    half = np.sqrt(variances.clip(0) * -2 * math.log1p(-confidence))
    least = np.maximum(_THINNEST * half[:, 1], np.maximum(_LEAST * np.asarray(eye_distance), 0.5))
    half = np.maximum(half, least[:, None])
    return centre, np.einsum("kia,ka,kja->kij", axes, 1 / half**2, axes)


def draw_ellipses(
    points: Float[ndarray, "k 68 2"], groups: tuple[Group, ...], sizes: Sequence[tuple[int, int]]
) -> list[Bool[ndarray, "h w"]]:
    """The union of the groups' ellipses on each canvas; empty where points are not known or all is outside."""
    masks = [np.zeros(size, dtype=bool) for size in sizes]
    known = np.flatnonzero(np.isfinite(points).all(axis=(1, 2)))
    points = points[known]
    apart = np.linalg.norm(points[:, 36:42].mean(axis=1) - points[:, 42:48].mean(axis=1), axis=1)
    for weights in groups:
        centres, matrices = confidence_ellipses(weights @ points, apart)
        reaches = np.sqrt(np.diagonal(np.linalg.inv(matrices), axis1=1, axis2=2))
        corners = np.stack([np.floor(centres - reaches), np.ceil(centres + reaches) + 1], axis=1)
        for i, centre, matrix, corner in zip(known.tolist(), centres, matrices, corners, strict=True):
            (left, top), (right, bottom) = corner.clip(0, sizes[i][::-1]).astype(int)
            x = np.arange(left, right) - centre[0]
            y = (np.arange(top, bottom) - centre[1])[:, None]
            inside = matrix[0, 0] * x**2 + 2 * matrix[0, 1] * x * y + matrix[1, 1] * y**2 <= 1
            masks[i][top:bottom, left:right] |= inside
    return masks
