"""Pictures that a run keeps, as data URIs, so that a page needs no other file."""

import base64
from io import BytesIO
from typing import Any

from PIL import Image, UnidentifiedImageError

from fusiform.runs import Run

_EMBEDDED_AS_IT_IS = 80_000
_THUMBNAIL_PX = 224


def embedded(run: Run, file: Any, *, most_px: int = _THUMBNAIL_PX) -> str | None:
    """Give a picture in a run's folder of images as a data URI, large ones made smaller; None where there is none."""
    folder = (run.path / "images").resolve()
    try:
        path = (folder / str(file).replace("\\", "/").removeprefix("images/")).resolve()
        if not path.is_relative_to(folder):
            return None
        return _data_uri(path.read_bytes(), most_px)
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


def png(image: Image.Image) -> str:
    """Give a drawing as a data URI."""
    buffer = BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return encoded("PNG", buffer.getvalue())


def _data_uri(content: bytes, most_px: int) -> str:
    with Image.open(BytesIO(content)) as image:
        kind = image.format or ""
        if kind not in ("PNG", "JPEG") or len(content) > _EMBEDDED_AS_IT_IS:
            small = image.convert("RGB")
            small.thumbnail((most_px, most_px))
            buffer = BytesIO()
            small.save(buffer, format="JPEG", quality=88)
            kind, content = "JPEG", buffer.getvalue()
        else:
            image.load()
    return encoded(kind, content)


def encoded(kind: str, content: bytes) -> str:
    """Give a file's content as a data URI of an image kind such as ``"JPEG"``."""
    return f"data:image/{kind.lower()};base64," + base64.b64encode(content).decode("ascii")
