import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fusiform.faces._images import MAX_PIXELS, UnreadableImageError, decode, header_size

RNG = np.random.default_rng(0)
PIXELS = np.kron(RNG.integers(0, 256, (4, 5, 3), dtype=np.uint8), np.ones((8, 8, 1), dtype=np.uint8))


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_rgb_comes_back_as_it_was():
    data = saved(Image.fromarray(PIXELS))
    assert np.array_equal(decode(data), PIXELS)
    assert header_size(data) == (32, 40)


def test_grey_has_three_equal_channels():
    got = decode(saved(Image.fromarray(PIXELS[..., 0]), "PPM"))
    assert np.array_equal(got, np.repeat(PIXELS[..., :1], 3, axis=2))


@pytest.mark.parametrize("mode", ["P", "1", "LA", "CMYK", "RGBA", "YCbCr"])
def test_every_mode_becomes_rgb(mode):
    kind = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "PNG")
    image = Image.fromarray(PIXELS).convert(mode)
    got = decode(saved(image, kind, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {})))
    wanted = np.asarray(image.convert("RGB")).astype(int)
    assert got.shape == (32, 40, 3)
    assert np.abs(got.astype(int) - wanted).mean() < 3


def test_transparent_parts_are_black():
    rgba = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    rgba[:, :20, 3] = 0
    got = decode(saved(Image.fromarray(rgba)))
    assert not got[:, :20].any()
    assert np.array_equal(got[:, 20:], PIXELS[:, 20:])


def test_sixteen_bits_are_scaled_not_clipped():
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    got = decode(saved(Image.fromarray(values)))[..., 0]
    assert np.abs(got.astype(float) - values / 257).max() <= 0.5


def test_floating_point_pixels_are_refused():
    data = saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")
    with pytest.raises(UnreadableImageError, match="floating-point pixels"):
        decode(data)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation_turns_pixels_and_size(orientation):
    upright = PIXELS
    turns = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(upright, turns)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(stored, exif=exif)
    assert np.array_equal(decode(data), upright)
    assert header_size(data) == upright.shape[:2]


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises more than anybody wants."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_000, 10_000, 40_000])
def test_a_bomb_is_refused_by_its_header(side):
    assert side * side > MAX_PIXELS
    with pytest.raises(UnreadableImageError, match=r"would decode to .*50,000,000"):
        header_size(bomb(side, side))
    with pytest.raises(UnreadableImageError, match="would decode to"):
        decode(bomb(side, side))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_a_truncated_file_is_told(kind):
    noise = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = saved(noise, kind)
    with pytest.raises(UnreadableImageError, match="broken or truncated"):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file is empty"),
        (b"not an image", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image"),
    ],
)
def test_what_is_no_image_is_told(data, says):
    with pytest.raises(UnreadableImageError, match=says):
        decode(data)
