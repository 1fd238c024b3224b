import io
import zlib
from struct import error as struct_error

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

MAX_PIXELS = 50_000_000
MAX_BYTES = 200_000_000
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".pnm", ".pbm", ".tif", ".tiff", ".gif")

# Formats with a decoder of their own; PIL would otherwise also start Ghostscript for an EPS file.
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF", "GIF")

# Loads the decoders now: PIL loads them at the first image, which two threads may open at once.
Image.init()

_BAD_FILE = (
    OSError,  # truncated, unidentified, no such file
    SyntaxError,  # PIL's word for a broken PNG
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    struct_error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class UnreadableImageError(Exception):
    """Why the bytes of one image cannot be read; the source adds which image it is."""


def _open(data: bytes) -> Image.Image:
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        # Another package's setting would fill half a face with grey and say nothing.
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImageError(f"it would decode to more than {MAX_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:
        what = "the file is empty" if not data else "not an image in a known format"
        raise UnreadableImageError(what) from error
    except _BAD_FILE as error:
        raise UnreadableImageError(f"broken header: {error}") from error
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImageError(
            f"it would decode to {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}"
        )
    return image


def header_size(data: bytes) -> tuple[int, int]:
    """Height and width of an image in upright position, from its header alone."""
    image = _open(data)
    try:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except _BAD_FILE as error:
        raise UnreadableImageError(f"broken EXIF data: {error}") from error
    return (image.width, image.height) if turned else (image.height, image.width)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        # PIL's own conversion clips sixteen bits to eight.
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise UnreadableImageError("32-bit pixels; save it with 8 or 16 bits a channel")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise UnreadableImageError("floating-point pixels; save it with 8 or 16 bits a channel")
    if image.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def decode(data: bytes) -> UInt8[ndarray, "h w 3"]:
    """Decode an image to RGB, 8 bits.

    Grey, palette, CMYK and 16-bit images are converted; transparent parts become black, as everything
    outside a picture does; the EXIF orientation is applied, so that points are those of the upright image.
    Raises UnreadableImageError with the reason.
    """
    image = _open(data)
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
        # A copy: the array must outlive PIL's buffer and be writeable for torch.
        return np.array(_to_rgb(image))
    except _BAD_FILE as error:
        raise UnreadableImageError(f"broken or truncated: {error}") from error


def decode_labels(data: bytes) -> UInt8[ndarray, "h w"]:
    """Decode a picture whose pixels are class numbers: grey, or numbers of a palette whatever its colours.

    Raises UnreadableImageError with the reason.
    """
    image = _open(data)
    try:
        image.load()
        labels = np.array(image)
    except _BAD_FILE as error:
        raise UnreadableImageError(f"broken or truncated: {error}") from error
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if labels.ndim == 3 and (labels[..., :3] == labels[..., :1]).all():
        labels = labels[..., 0]
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise UnreadableImageError("it holds colours, expected class numbers of one byte")
    return np.ascontiguousarray(labels)
