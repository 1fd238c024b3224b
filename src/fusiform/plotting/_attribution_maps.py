"""Signed maps as pictures: over the image, all of a row on one scale."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._contact_sheet import _font, _shortened, _wrapped

# Red and blue are told apart by those who see fewer colours, too.
FOR, AGAINST = (201, 16, 36), (18, 84, 204)
_MOST_OPAQUE = 0.9
_EMPTY = 236
_PALEST, _CONTRAST = 70, 0.62
_GAP, _LINE, _MARGIN, _LABEL = 10, 15, 18, 150


def map_scale(
    maps: Sequence[Float[ndarray, "h w"]] | Float[ndarray, "n h w"], *, share: float = 0.995
) -> float:
    """The magnitude at which maps are drawn in full colour, the same for all of them.

    Parameters
    ----------
    maps : sequence of array, shape (height, width)
        Maps of one method; NaN where there is nothing.
    share : float, default 0.995
        Of the pixels whose magnitude is not beyond it, so that a few single pixels do not pale all others.

    Returns
    -------
    float
        0 where all maps are 0.

    Examples
    --------
    >>> map_scale([np.array([[0.0, -2.0]]), np.array([[1.0, np.nan]])], share=1.0)
    2.0
    """
    values = np.concatenate([np.abs(np.asarray(each, dtype=np.float64)).reshape(-1) for each in maps])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0
    scale = float(np.quantile(values, share))
    # A map of few pixels that are not 0 would have the scale 0.
    return scale if scale > 0 else float(values.max())


def draw_map(
    values: Float[ndarray, "h w"],
    image: UInt8[ndarray, "a b 3"] | UInt8[ndarray, "a b"] | None = None,
    scale: float | None = None,
) -> UInt8[ndarray, "a b 3"]:
    """Draw a signed map over its image in grey: red speaks for, blue against, and nothing is drawn where it is 0.

    Parameters
    ----------
    values : array, shape (height, width)
        The map, in its own units; NaN where there is nothing.
    image : uint8 array, shape (a, b, 3) or (a, b), optional
        What it explains; the map is enlarged to its size. A plain page when not given.
    scale : float, optional
        Magnitude that is drawn in full colour, above 0; `map_scale` of this map when not given. Give one scale to all
        maps that are compared.

    Returns
    -------
    uint8 array, shape (a, b, 3)
        The picture.

    Raises
    ------
    DataError
        If the map is not of two dimensions, the image is none, or the scale is negative or not finite.

    Examples
    --------
    >>> draw_map(np.array([[1.0, 0.0, -1.0]]), scale=1.0)[0, :, 0].tolist()
    [204, 236, 40]
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not values.size:
        raise DataError(f"A map to be drawn has shape (height, width); got {values.shape}.")
    scale = map_scale([values]) if scale is None else float(scale)
    if not 0 <= scale < np.inf:
        raise DataError(f"The scale of a map is a magnitude, at least 0 and finite; got {scale}.")
    if image is None:
        base = np.full((*values.shape, 3), _EMPTY, dtype=np.float64)
    else:
        base = _grey(np.asarray(image))
        values = _enlarged(values, base.shape[:2])
    strength = np.zeros_like(values) if scale == 0 else np.clip(np.nan_to_num(values) / scale, -1, 1)
    opacity = _MOST_OPAQUE * np.abs(strength)[..., None]
    colour = np.where(strength[..., None] >= 0, FOR, AGAINST)
    return np.round(base * (1 - opacity) + colour * opacity).astype(np.uint8)


def draw_map_scale(width: int = 160, height: int = 10) -> UInt8[ndarray, "h w 3"]:
    """Draw the colours from minus to plus the scale, as they lie on a plain page.

    Parameters
    ----------
    width, height : int
        In pixels.

    Returns
    -------
    uint8 array, shape (height, width, 3)
        The bar.

    Examples
    --------
    >>> draw_map_scale(5, 2).shape
    (2, 5, 3)
    """
    return draw_map(np.tile(np.linspace(-1, 1, width), (height, 1)), scale=1.0)


def map_sheet(
    rows: Sequence[tuple[str, str, Sequence[UInt8[ndarray, "a b 3"] | None]]],
    headings: Sequence[str],
    *,
    title: str = "",
    note: str = "",
    cell_px: int = 168,
) -> Image.Image:
    """Draw pictures of maps side by side: a row a method, a column an image.

    Parameters
    ----------
    rows : sequence of (str, str, sequence of uint8 array or None)
        A label, a line below it, and a picture a column; None is left empty.
    headings : sequence of str
        A line above each column.
    title, note : str
        A line, and a paragraph below it, over the whole page.
    cell_px : int, default 168
        Side of the square into which each picture is fitted.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    DataError
        If there is nothing to draw, or a row has not a picture a column.

    Examples
    --------
    >>> map_sheet([("occlusion", "", [np.zeros((8, 8, 3), np.uint8)] * 2)], ["a", "b"], cell_px=32).size
    (270, 100)
    """
    if not rows or not headings:
        raise DataError("There are no maps to draw.")
    for label, _, pictures in rows:
        if len(pictures) != len(headings):
            raise DataError(f"The row '{label}' has {len(pictures)} pictures for {len(headings)} columns.")
    width = 2 * _MARGIN + _LABEL + len(headings) * (cell_px + _GAP)
    text = _wrapped(note, 12, width - 2 * _MARGIN) if note else []
    top = _MARGIN + (30 if title else 0) + _LINE * len(text) + (8 if text else 0)
    height = top + 24 + len(rows) * (cell_px + _GAP) + _MARGIN - _GAP + (0 if title or text else 8)
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    if title:
        draw.text((_MARGIN, _MARGIN - 4), _shortened(title, 18, width - 2 * _MARGIN), style.INK, _font(18))
    for k, line in enumerate(text):
        draw.text((_MARGIN, _MARGIN + (30 if title else 0) + k * _LINE), line, style.MUTED, _font(12))
    left = _MARGIN + _LABEL
    for k, heading in enumerate(headings):
        draw.text((left + k * (cell_px + _GAP), top), _shortened(heading, 12, cell_px), style.INK, _font(12))
    for number, (label, below, pictures) in enumerate(rows):
        y = top + 24 + number * (cell_px + _GAP)
        lines = [(part, style.INK) for part in _wrapped(label, 12, _LABEL - 12)]
        lines += [(part, style.MUTED) for part in _wrapped(below, 12, _LABEL - 12)] if below else []
        for k, (line, colour) in enumerate(lines[: max(1, cell_px // _LINE)]):
            draw.text((_MARGIN, y + k * _LINE), line, colour, _font(12))
        for k, picture in enumerate(pictures):
            if picture is not None:
                fitted = _fitted(picture, cell_px)
                page.paste(fitted, (left + k * (cell_px + _GAP), y))
    return page


def _fitted(picture: UInt8[ndarray, "a b 3"], side: int) -> Image.Image:
    scale = side / max(picture.shape[:2])
    size = (max(1, round(scale * picture.shape[1])), max(1, round(scale * picture.shape[0])))
    return Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)


def _grey(image: ndarray) -> Float[ndarray, "a b 3"]:
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise DataError(
            f"An image must be a uint8 array (height, width, 3) or (height, width); got {image.dtype} {image.shape}."
        )
    grey = np.asarray(Image.fromarray(image).convert("L"), dtype=np.float64)
    # Paler and flatter, so that the colours are what is seen.
    return np.repeat((_PALEST + _CONTRAST * grey)[..., None], 3, axis=2)


def _enlarged(values: Float[ndarray, "h w"], shape: tuple[int, ...]) -> Float[ndarray, "a b"]:
    if values.shape == shape:
        return values
    size = (shape[1], shape[0])
    # What is not known stays unknown, and does not darken its neighbours.
    known = np.isfinite(values)
    held = Image.fromarray(np.where(known, values, 0).astype(np.float32)).resize(
        size, Image.Resampling.BILINEAR
    )
    weight = Image.fromarray(known.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    share = np.asarray(weight, dtype=np.float64)
    return np.divide(
        np.asarray(held, dtype=np.float64), share, out=np.full(shape, np.nan), where=share >= 0.5
    )
