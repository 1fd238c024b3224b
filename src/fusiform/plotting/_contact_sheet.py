import math
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fusiform.errors import DataError
from fusiform.plotting import style

_GAP = 12
_LINE = 15
_MARGIN = 20
_CAPTION_PT, _HEADING_PT, _TITLE_PT = 12, 15, 22
_UNREADABLE = "#eceff3"
_ELLIPSIS = "…"
_MINUS = "\N{MINUS SIGN}"


def contact_sheet(
    images: Sequence[np.ndarray | None],
    captions: Sequence[Sequence[str]] | None = None,
    *,
    groups: Sequence[tuple[str, int]] | None = None,
    title: str = "",
    note: str = "",
    columns: int = 8,
    cell_px: int = 132,
) -> Image.Image:
    """Draw many images on one page, each with a few lines below.

    Images keep their proportions; small ones are enlarged. Lines that are too long lose their middle.

    Parameters
    ----------
    images : sequence of uint8 array, shape (height, width, 3) or (height, width), or None
        RGB or grey; None is drawn as an image that cannot be read.
    captions : sequence of sequence of str, optional
        Lines below each image.
    groups : sequence of (str, int), optional
        Headings, and how many of the images, in their order, each stands over; every group begins a new row.
    title, note : str, default ""
        A large line, and a paragraph below it.
    columns : int, default 8
        Images in a row.
    cell_px : int, default 132
        Side of the square into which each image is fitted.

    Returns
    -------
    PIL.Image.Image
        The page, RGB.

    Raises
    ------
    DataError
        If there are no images, an array has another shape or type, or captions or groups do not count as many.

    Examples
    --------
    >>> page = contact_sheet([np.zeros((8, 6, 3), np.uint8)] * 3, [["a"], ["b"], ["c"]], columns=2)
    >>> page.size
    (316, 354)
    """
    if not len(images):
        raise DataError("There are no images to draw.")
    if columns < 1 or cell_px < 16:
        raise DataError(
            f"A page needs at least 1 column and cells of 16 pixels; got {columns} and {cell_px}."
        )
    lines = [[] for _ in images] if captions is None else [list(map(str, each)) for each in captions]
    if len(lines) != len(images):
        raise DataError(f"There must be captions for each image: {len(images)} images, got {len(lines)}.")
    parts = [("", len(images))] if groups is None else list(groups)
    if sum(count for _, count in parts) != len(images):
        raise DataError(
            f"The groups must count {len(images)} images together; got {sum(count for _, count in parts)}."
        )
    pictures = [None if image is None else _fitted(image, cell_px) for image in images]
    n_columns = min(columns, max(count for _, count in parts))
    width = 2 * _MARGIN + n_columns * (cell_px + _GAP) - _GAP
    text_height = _LINE * max(map(len, lines)) + (4 if any(lines) else 0)
    header = _header(title, note, width - 2 * _MARGIN)
    heading_height = 2 * _LINE if any(name for name, _ in parts) else 0
    n_rows = sum(math.ceil(count / n_columns) for _, count in parts)
    row_height = cell_px + text_height + _GAP
    height = 2 * _MARGIN - _GAP + sum(step for _, _, step in header) + len(parts) * heading_height
    page = Image.new("RGB", (width, height + n_rows * row_height), "white")
    draw = ImageDraw.Draw(page)
    y = _MARGIN
    for text, points, step in header:
        draw.text((_MARGIN, y), text, style.INK if points == _TITLE_PT else style.MUTED, _font(points))
        y += step
    index = 0
    for name, count in parts:
        if name:
            heading = _shortened(name, _HEADING_PT, width - 2 * _MARGIN)
            draw.text((_MARGIN, y + 4), heading, style.INK, _font(_HEADING_PT))
        y += heading_height
        for place in range(count):
            row, column = divmod(place, n_columns)
            corner = _MARGIN + column * (cell_px + _GAP), y + row * row_height
            _draw_cell(page, draw, corner, cell_px, pictures[index], lines[index])
            index += 1
        y += math.ceil(count / n_columns) * row_height
    return page


def _font(points: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(points)


def _fitted(image: np.ndarray, side: int) -> Image.Image:
    array = np.asarray(image)
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise DataError(
            "An image must be a uint8 array (height, width, 3) or (height, width); "
            f"got {array.dtype} {array.shape}."
        )
    picture = Image.fromarray(np.ascontiguousarray(array)).convert("RGB")
    scale = side / max(picture.size)
    size = tuple(max(1, round(scale * length)) for length in picture.size)
    return picture.resize(
        (size[0], size[1]), Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    )


def _draw_cell(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    side: int,
    picture: Image.Image | None,
    lines: Sequence[str],
) -> None:
    x, y = corner
    if picture is None:
        draw.rectangle((x, y, x + side - 1, y + side - 1), fill=_UNREADABLE)
        text = _shortened("cannot be read", _CAPTION_PT, side)
        left = x + (side - draw.textlength(text, _font(_CAPTION_PT))) / 2
        draw.text((left, y + side / 2 - 8), text, style.MUTED, _font(_CAPTION_PT))
    else:
        # Where its caption begins, so that the two are read together.
        page.paste(picture, (x, y + side - picture.height))
    for number, line in enumerate(lines):
        text = _shortened(line, _CAPTION_PT, side)
        draw.text(
            (x, y + side + 3 + number * _LINE), text, style.MUTED if number else style.INK, _font(_CAPTION_PT)
        )


def _header(title: str, note: str, width: int) -> list[tuple[str, int, int]]:
    """Lines of the header with their size and the step to the next."""
    lines = [(_shortened(title, _TITLE_PT, width), _TITLE_PT, 34)] if title else []
    wrapped = _wrapped(note, _CAPTION_PT, width)
    lines += [(line, _CAPTION_PT, _LINE + 2) for line in wrapped]
    if lines:
        text, points, step = lines[-1]
        lines[-1] = text, points, step + 8
    return lines


def _one_line(text: str) -> str:
    """Text as the font that comes with PIL can write it: without accents, on one line."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(plain.split()).replace(_MINUS, "-")


def _shortened(text: str, points: int, width: float) -> str:
    """The text, without as much of its middle as does not fit."""
    text, font = _one_line(text), _font(points)
    if font.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        kept = (low + high + 1) // 2
        low, high = (kept, high) if font.getlength(_without_middle(text, kept)) <= width else (low, kept - 1)
    return _without_middle(text, low)


def _without_middle(text: str, kept: int) -> str:
    head = kept // 2
    return text[:head] + _ELLIPSIS + text[len(text) - (kept - head) :]


def _wrapped(text: str, points: int, width: float) -> list[str]:
    font = _font(points)
    lines: list[str] = []
    for word in _one_line(text).split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(_shortened(word, points, width))
    return lines
