"""Pictures of maps of attribution on the outline of the canonical face, and strips of pictures."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw

from fusiform.errors import DataError
from fusiform.faces import canonical_landmarks
from fusiform.plotting import style
from fusiform.plotting._attribution_maps import draw_map

# Jaw, brows, nose, eyes, mouth among 68 landmarks; those that close.
_OPEN = (range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36))
_CLOSED = (range(36, 42), range(42, 48), range(48, 60))
_FINE = 3
_PAGE, _BETWEEN = 236, 255
_LEAST_PX = 32


def draw_canonical(
    values: Float[ndarray, "s s"] | None, scale: float | None = None, size: int = 96
) -> UInt8[ndarray, "size size 3"]:
    """Draw a map on the outline of the canonical face: red speaks for, blue against, and nothing is drawn where it is 0.

    Parameters
    ----------
    values : array, shape (s, s), optional
        A map on the canonical face, as `fusiform.faces.to_canonical` makes; NaN where there is nothing. The bare outline when
        not given.
    scale : float, optional
        Magnitude that is drawn in full colour, as for `draw_map`.
    size : int, default 96
        Side of the picture in pixels, at least 32.

    Returns
    -------
    uint8 array, shape (size, size, 3)
        The picture.

    Raises
    ------
    DataError
        If the map is not square, the scale is negative or not finite, or the picture too small.

    Examples
    --------
    >>> draw_canonical(np.zeros((64, 64)), 1.0).shape
    (96, 96, 3)
    """
    if values is not None and (np.ndim(values) != 2 or len(set(np.shape(values))) != 1):
        raise DataError(f"A map on the canonical face is square, (s, s); got an array {np.shape(values)}.")
    if size < _LEAST_PX:
        raise DataError(
            f"A picture of the canonical face has a side of at least {_LEAST_PX} pixels; got {size}."
        )
    plain = np.full((size, size, 3), _PAGE, np.uint8)
    picture = plain
    if values is not None:
        # The page shows through as it is, so that the map alone is coloured.
        enlarged = Image.fromarray(np.nan_to_num(values).astype(np.float32)).resize(
            (size, size), Image.Resampling.BILINEAR
        )
        picture = draw_map(np.asarray(enlarged), None, scale)
    drawn = Image.fromarray(picture)
    drawn.paste(style.MUTED, mask=_outline(size))
    return np.asarray(drawn)


@lru_cache(maxsize=8)
def _outline(size: int) -> Image.Image:
    fine = Image.new("L", (_FINE * size, _FINE * size), 0)
    draw = ImageDraw.Draw(fine)
    points = canonical_landmarks(_FINE * size).numpy()
    for lines, closed in ((_OPEN, False), (_CLOSED, True)):
        for line in lines:
            place = [tuple(points[i]) for i in line]
            draw.line(place + place[:1] * closed, fill=200, width=_FINE, joint="curve")
    return fine.resize((size, size), Image.Resampling.LANCZOS)


def joined_pictures(pictures: Sequence[UInt8[ndarray, "h w 3"]], gap: int = 3) -> UInt8[ndarray, "h w 3"]:
    """Put pictures of one size side by side.

    Parameters
    ----------
    pictures : sequence of uint8 array, shape (height, width, 3)
        The pictures.
    gap : int, default 3
        White pixels between them.

    Returns
    -------
    uint8 array, shape (height, width, 3)
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
    shapes = sorted({p.shape for p in pictures})
    if len(shapes) != 1:
        raise DataError(f"Pictures side by side need one shape; got {shapes or 'no picture'}.")
    space = np.full((shapes[0][0], gap, 3), _BETWEEN, np.uint8)
    parts = [part for picture in pictures for part in (space, picture)]
    return np.concatenate(parts[1:], axis=1)
