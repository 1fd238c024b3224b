"""Pictures of maps of attribution: strips over faces, and maps on the outline of the canonical face."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw

from fusiform.errors import DataError
from fusiform.faces import canonical_landmarks

_FOR, _AGAINST = (203, 32, 38), (22, 96, 190)
_OUTLINE = (138, 148, 161, 210)
# Jaw, brows, nose, eyes, mouth among 68 landmarks; those that close.
_OPEN = (range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36))
_CLOSED = (range(36, 42), range(42, 48), range(48, 60))
_FINE = 3


def common_scale(maps: Sequence[Float[ndarray, "h w"]], quantile: float = 0.995) -> float:
    """Give the absolute value at which the colours of maps that share a scale end.

    Parameters
    ----------
    maps : sequence of array, shape (height, width)
        Maps; what is not finite is left out.
    quantile : float, default 0.995
        Share of the absolute values that lie below it, so that a single pixel does not make all others pale.

    Returns
    -------
    float
        1 for maps of zeros.

    Examples
    --------
    >>> common_scale([np.array([[0.0, -2.0]]), np.array([[1.0, 1.0]])], quantile=1.0)
    2.0
    """
    values = np.concatenate([np.abs(m).ravel() for m in maps]) if len(maps) else np.zeros(1)
    values = values[np.isfinite(values)]
    top = float(np.quantile(values, quantile)) if values.size else 0.0
    return top or (float(values.max()) if values.size else 0.0) or 1.0


def draw_map(values, image, scale):
    share = np.clip(np.nan_to_num(values) / scale, -1, 1)[..., None]
    grey = np.repeat((image @ np.array([0.299, 0.587, 0.114]))[..., None], 3, axis=2) * 0.6 + 0.4 * 235
    colour = np.where(share > 0, _FOR, _AGAINST)
    return np.rint(grey * (1 - 0.9 * abs(share)) + colour * 0.9 * abs(share)).clip(0, 255).astype(np.uint8)


def draw_canonical(values: Float[ndarray, "s s"], scale: float, size: int = 96) -> UInt8[ndarray, "h w 4"]:
    """Draw a map on the outline of the canonical face: red for, blue against, transparent at 0.

    Parameters
    ----------
    values : array, shape (s, s)
        A map on the canonical face; missing values are left blank.
    scale : float
        The absolute value of the full colour.
    size : int, default 96
        Side of the picture in pixels.

    Returns
    -------
    uint8 array, shape (size, size, 4)
        RGBA, see-through where nothing is drawn, for a light or a dark page.

    Raises
    ------
    DataError
        If the map is not square, or the scale not above 0.

    Examples
    --------
    >>> draw_canonical(np.zeros((64, 64)), 1.0).shape
    (96, 96, 4)
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise DataError(f"A map on the canonical face is square, (s, s); got an array {values.shape}.")
    if not scale > 0:
        raise DataError(f"The scale of a map must be above 0; got {scale}.")
    share = np.clip(np.nan_to_num(values) / scale, -1, 1)
    image = np.empty((*values.shape, 4), np.uint8)
    image[..., :3] = np.where((share > 0)[..., None], _FOR, _AGAINST)
    image[..., 3] = np.rint(235 * np.abs(share))
    picture = Image.fromarray(image, "RGBA").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(Image.alpha_composite(picture, _outline(size)))


def _outline(size: int) -> Image.Image:
    fine = Image.new("RGBA", (_FINE * size, _FINE * size), (*_OUTLINE[:3], 0))
    draw = ImageDraw.Draw(fine)
    points = canonical_landmarks(max(32, _FINE * size)).numpy()
    for lines, closed in ((_OPEN, False), (_CLOSED, True)):
        for line in lines:
            place = [tuple(points[i]) for i in line]
            draw.line(place + place[:1] * closed, fill=_OUTLINE, width=_FINE, joint="curve")
    return fine.resize((size, size), Image.Resampling.LANCZOS)


def joined_pictures(pictures: Sequence[UInt8[ndarray, "h w c"]], gap: int = 3) -> UInt8[ndarray, "h w c"]:
    """Put pictures of one size side by side.

    Parameters
    ----------
    pictures : sequence of uint8 array, shape (height, width, channels)
        The pictures.
    gap : int, default 3
        Pixels between them; see-through where there are four channels, else grey.

    Returns
    -------
    uint8 array, shape (height, width, channels)
        One picture.

    Raises
    ------
    DataError
        If there are none, or their shapes differ.

    Examples
    --------
    >>> joined_pictures([np.zeros((4, 4, 3), np.uint8)] * 2, gap=1).shape
    (4, 9, 3)
    """
    if not pictures or len({p.shape for p in pictures}) > 1:
        raise DataError(f"Pictures side by side need one shape; got {sorted({p.shape for p in pictures})}.")
    height, _, channels = pictures[0].shape
    space = np.full((height, gap, channels), 138 if channels == 3 else 0, np.uint8)
    parts = [part for picture in pictures for part in (space, picture)]
    return np.concatenate(parts[1:], axis=1)
