"""Colours as functions of the surface coordinate and the factors; linear light is sRGB squared."""

import colorsys
import math
from dataclasses import dataclass

import numpy as np

from fusiform.faces.synthetic._anatomy import Face, bump, flat, positive, ramp, span

__all__ = ["Paint", "background", "hair_colour", "hue_colour", "mix", "noise", "paint_ear",
           "paint_frame", "paint_hair", "paint_hat", "paint_neck", "shade", "skin_colour"]  # fmt: skip

_SKIN = ((240, 208, 190), (232, 192, 167), (224, 176, 145), (194, 142, 106), (147, 100, 71), (92, 60, 45))
_HAIR = {"black": (26, 22, 22), "brown": (92, 58, 36), "blond": (214, 176, 108), "red": (158, 74, 36),
         "gray": (172, 170, 168)}  # fmt: skip


@dataclass
class Paint:
    """Colour of some sample pixels of one shell.

    Attributes
    ----------
    albedo : np.ndarray
        Linear RGB ``(3, m)``, or ``(3, 1)`` where all are the same.
    parts : np.ndarray
        Bit planes of the parts seen, int32 ``(m,)``.
    gloss : np.ndarray
        Strength of the highlight ``(m,)``.
    dim : np.ndarray
        Occlusion, 1 in the open ``(m,)``.
    """

    albedo: np.ndarray
    parts: np.ndarray
    gloss: np.ndarray
    dim: np.ndarray


def linear(rgb: tuple[float, float, float]) -> np.ndarray:
    """SRGB 0..255 to linear (3, 1)."""
    return (flat(rgb)[:, None] / 255) ** 2


def hue_colour(hue: float, lightness: float, saturation: float) -> np.ndarray:
    """Linear colour (3, 1) of a hue, lightness and saturation in [0, 1]."""
    r, g, b = colorsys.hls_to_rgb(hue % 1, 0.06 + 0.86 * lightness, saturation)
    return linear((255 * r, 255 * g, 255 * b))


def mix(a: np.ndarray, b: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """From a to b by a share, one number or (m,)."""
    return a + (b - a) * share


def noise(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cheap smooth noise about 0, within [-1, 1]: three crossed waves of unrelated frequencies."""
    return (np.sin(x + 1.7 * np.sin(y * 0.71)) + np.sin(y * 1.13 + 2.1 * np.sin(x * 0.53 + 1))
            + np.sin((x + y) * 0.83 + 1.3 * np.sin((x - y) * 0.97))) / 3  # fmt: skip


def skin_colour(m: Face) -> np.ndarray:
    """Linear skin colour (3, 1)."""
    at = m.skin_tone * (len(_SKIN) - 1)
    i = min(int(at), len(_SKIN) - 2)
    colour = mix(linear(_SKIN[i]), linear(_SKIN[i + 1]), at - i)
    red = 0.11 * m.skin_redness - 0.03 * (1 - 2 * m.male)
    return (colour * flat([[1 + 0.4 * red], [1 - red], [1 - 1.3 * red]])).clip(0, 1)


def hair_colour(m: Face) -> np.ndarray:
    """Linear hair colour (3, 1)."""
    base = linear(_HAIR[m.hair_colour])
    spread = 0.25 if m.hair_colour in ("black", "gray") else 0.38
    return (base * (1 + spread * m.hair_lightness)).clip(0, 1)


def shade(n: np.ndarray, paint: Paint, m: Face) -> np.ndarray:
    """Light a surface: normals in the camera's frame (3, m) -> linear RGB (3, m)."""
    azimuth, height = math.radians(m.light), math.radians(m.light_elevation)
    key = (math.sin(azimuth) * math.cos(height), math.sin(height), math.cos(azimuth) * math.cos(height))
    facing = n[0] * key[0] + n[1] * key[1] + n[2] * key[2]
    soft = positive((facing + 0.25) / 1.25)  # light creeps round soft skin
    diffuse = 0.72 * m.light_strength * (0.35 * soft + 0.65 * positive(facing))
    sky = m.ambient * (0.78 + 0.22 * n[1]) * (0.75 + 0.25 * n[2])
    half = (key[0], key[1], key[2] + 1)
    length = math.sqrt(sum(c * c for c in half))
    glint = positive((n[0] * half[0] + n[1] * half[1] + n[2] * half[2]) / length)
    glint = glint * glint
    glint = glint * glint
    glint = (glint * glint) ** 2
    light = (diffuse + sky) * paint.dim
    return paint.albedo * light + paint.gloss * m.light_strength * glint * paint.dim


def _blank(like: np.ndarray, part: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    m = like.shape[-1]
    return np.full(m, part, np.int32), np.zeros(m, np.float32), np.ones(m, np.float32)


def paint_hair(uv: np.ndarray, n: np.ndarray, m: Face, part: int) -> Paint:
    """Hair: strands along the fall of the hair, darker roots and depths, a band of sheen."""
    theta, y, inside = uv
    parts, gloss, dim = _blank(theta, part)
    curl = 0.35 if m.hair_style in ("long_wavy",) else 0.08
    lane = theta * 38 + curl * 8 * np.sin(y * 6 + theta * 3)
    if m.hair_style == "curly":
        strand = noise(theta * 22 + 3 * np.sin(y * 19), y * 26 + 2 * np.sin(theta * 17))
    else:
        strand = 0.6 * noise(lane, y * 3 + 4) + 0.4 * noise(lane * 2.7, y * 4)
    colour = hair_colour(m)
    deep = ramp(inside, 0.12, 0.0) * 0.1
    tone = (0.86 + 0.34 * strand - deep).clip(0.3, 1.4)
    sheen = np.exp(-(((n[1] - 0.55) / 0.16) ** 2)) * positive(0.5 + 0.5 * strand)
    strength = 0.12 if m.hair_style != "curly" else 0.05
    if m.hair_style == "buzz":
        stubble = ramp(inside, 0.0, 0.12) * 0.75
        colour = mix(skin_colour(m), colour, stubble)
        tone, strength = 0.9 + 0.15 * noise(theta * 90, y * 80), 0.02
    albedo = colour * tone + strength * sheen * (0.3 + 0.7 * colour)
    if not m.bangs:  # fine hairs let the skin through along the hairline
        albedo = mix(albedo, skin_colour(m) * 0.65, 0.4 * ramp(inside, 0.08, 0.0) * ramp(y, 0.1, 0.3))
    return Paint(albedo, parts, gloss, dim)


def paint_hat(uv: np.ndarray, m: Face, part: int, brim: bool = False) -> Paint:
    """Hat: knit for the beanie, a band for the brimmed hat, seams for the cap."""
    theta, y = uv[0], uv[1]
    parts, gloss, dim = _blank(theta, part)
    base = hue_colour(m.hat_hue, 0.34, 0.5)
    if m.hat == "beanie":
        inside = uv[2]
        rib = 0.5 + 0.5 * np.cos(theta * 44)
        tone = 0.8 + 0.3 * rib - 0.35 * np.exp(-(((inside - 0.25) / 0.02) ** 2))
    elif m.hat == "cap":
        tone = np.ones_like(theta) - (0.0 if brim else 0.35) * np.exp(-((np.sin(theta * 3) / 0.06) ** 2))
        tone = tone * (0.8 if brim else 1.0)
    else:
        tone = np.ones_like(theta) * 0.95
        if not brim:
            tone = tone - 0.65 * ramp(uv[2], 0.16, 0.13)
    if brim:
        tone = tone * (0.94 + 0.06 * ramp(y, 0.0, 0.15))
    return Paint(base * tone, parts, gloss, dim)


def paint_ear(uv: np.ndarray, m: Face, part: int) -> Paint:
    """Ear: skin, redder, dark in the bowl and under the rim."""
    angle, rho = uv
    parts, gloss, dim = _blank(angle, part)
    cos, sin = rho * np.cos(angle), rho * np.sin(angle)
    colour = skin_colour(m) * flat([[1.0], [0.88], [0.85]])
    dark = 0.38 * bump(cos, sin, -0.2, -0.1, 0.26, 0.26) + 0.2 * np.exp(-(((rho - 0.72) / 0.09) ** 2)) * ramp(
        np.sin(angle), -0.6, 0.2
    )
    return Paint(colour, parts, gloss + 0.02, dim - dark)


def paint_frame(uv: np.ndarray, m: Face, part: int) -> Paint:
    """Frame of the glasses: dark horn or metal."""
    parts, gloss, dim = _blank(uv[0], part)
    rgb = (34, 26, 26) if m.glasses == "horn" else (112, 108, 112)
    return Paint(linear(rgb), parts, gloss + (0.15 if m.glasses == "horn" else 0.4), dim)


def paint_neck(uv: np.ndarray, m: Face, skin: int, cloth: int) -> Paint:
    """Neck in the head's shadow, and the clothes below the collar."""
    theta, y = uv
    collar = -1.42 - 0.16 * np.cos(theta) - 0.03 * m.male
    clothed = y < collar
    parts = np.where(clothed, np.int32(cloth), np.int32(skin))
    dim = 0.66 + 0.34 * ramp(y, -1.05, -1.5)
    dim[clothed] = 1.0
    tone = 0.92 + 0.08 * np.sin(theta * 9 + y * 4)
    hem = 1 - 0.3 * np.exp(-(((y - collar + 0.05) / 0.012) ** 2))
    colour = mix(skin_colour(m) * 0.93, hue_colour(m.clothes_hue, m.clothes_lightness, 0.35) * tone * hem,
                 clothed.astype(np.float32))  # fmt: skip
    gloss = np.full(len(y), 0.02, np.float32)
    gloss[clothed] = 0.0
    return Paint(colour, parts, gloss, dim)


def background(side: int, p: Face) -> np.ndarray:
    """What is behind the head: linear RGB (3, side, side)."""
    c = span(0.5, side - 0.5, side) / side - 0.5
    x, y = c[None, :], c[:, None]
    base = hue_colour(p.background_hue, p.background_lightness, p.background_saturation)[:, :, None]
    tone: np.ndarray
    if p.background == "plain":
        tone = np.ones((side, side), np.float32)
    elif p.background == "gradient":
        tone = 1.05 - 0.5 * y - 0.7 * (x * x + y * y)
    else:
        k = 9 + 6 * p.background_hue
        tone = 1 + 0.32 * noise(x * k * 1.3 + 7 * p.background_hue, y * k + 11 * p.background_lightness)
    return base * tone
