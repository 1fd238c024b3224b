"""Neck, shoulders and clothes; collar, tie and necklace lie on them (`_neckwear`)."""

from functools import lru_cache

import torch
from torch import Tensor

from fusiform.faces.synthetic._buffer import Shell
from fusiform.faces.synthetic._colour import Paint, hue_colour, skin_colour
from fusiform.faces.synthetic._math import bell, lerp, positive, ramp, smooth_noise, span
from fusiform.faces.synthetic._measures import Measures
from fusiform.faces.synthetic._neckwear import neckwear_shells
from fusiform.faces.synthetic._parts import BITS
from fusiform.faces.synthetic._torso import (
    body_points,
    collar_levels,
    cut_of,
    jacket_of,
    neckline,
    shirt_colour,
)

__all__ = ["body_shells", "paint_neck"]

_REACH = 135.0  # degrees: beyond, the body is never seen
_LOWEST = -4.3  # a level below every picture


def _folds(x: Tensor, level: Tensor) -> Tensor:
    """Folds of cloth that hangs from the shoulders, about 0."""
    fan = x / (1.1 - 0.35 * level)
    return smooth_noise(fan * 9 + 3 + 0.6 * level, level * 1.1 + fan, 31) + 0.5 * smooth_noise(
        fan * 19, level * 2, 32
    )


@lru_cache(maxsize=4)
def _grid(device: torch.device) -> tuple[Tensor, Tensor]:
    """Azimuths of the columns and levels of the rows."""
    theta = span(-_REACH, _REACH, 79, device).double().deg2rad().float()
    levels = (
        span(_LOWEST, -1.95, 30, device)[:-1],
        span(-1.95, -1.0, 34, device),
        span(-1.0, -0.3, 12, device)[1:],
    )
    return theta, torch.cat(levels)


def body_shells(m: Measures) -> list[Shell]:
    """Neck, shoulders and chest, and what lies on them."""
    theta, rows = _grid(m.yaw.device)
    shape = (len(rows), len(theta))
    theta = theta.expand(shape).reshape(-1)
    level = rows[:, None].expand(shape).reshape(-1)
    position = body_points(theta, level, m)
    cos = theta.cos()
    covered = ramp(neckline(theta, m) - level, -0.02, 0.03)
    lift = covered * (0.022 + 0.016 * _folds(position[0], level) * ramp(level, -1.4, -1.7))
    x, y, z = position
    placed = torch.stack((x + lift * theta.sin(), y + 0.4 * lift, z + lift * cos))
    uv = torch.stack(torch.broadcast_tensors(theta, level, x))
    everyone = torch.arange(len(m), device=m.yaw.device)
    body = Shell(
        "neck", placed.unflatten(2, shape), uv.unflatten(2, shape), everyone, torso=True, closed=True
    )
    return [body, *neckwear_shells(m)]


def _skin(theta: Tensor, level: Tensor, m: Measures) -> tuple[Tensor, Tensor]:
    """Colour (3, n, k) and tone of the neck's skin."""
    mottle = smooth_noise(theta * 5 + 11, level * 8, 33)
    fine = smooth_noise(theta * 34, level * 60, 34)
    cos = theta.cos()
    line = level + 0.05 * cos + 0.012 * (theta * 3).sin() + 0.006 * mottle
    crease = torch.zeros_like(theta)
    for at, share in ((-1.2, 0.5), (-1.33, 1.0), (-1.47, 0.6)):
        d = (line - at) * (1 / 0.016)
        crease = crease + share * bell(d * d)
    crease = crease * (0.55 + 0.45 * mottle)
    wrinkled = 0.03 + 0.13 * m.old + 0.06 * positive(m.weight)
    loose = positive(m.old - 0.5) * positive(smooth_noise(theta * 12 + 1.6 * line, line * 4, 35)) * 0.08
    tone = 0.97 + 0.02 * mottle + 0.015 * fine - (crease * wrinkled + loose) * positive(cos)
    red = torch.stack(
        (1 - 0.01 * mottle, 0.965 - 0.025 * mottle - 0.03 * m.old, 0.95 - 0.025 * mottle - 0.03 * m.old)
    )
    return skin_colour(m) * red, tone


def _cloth(theta: Tensor, level: Tensor, x: Tensor, below: Tensor, m: Measures) -> tuple[Tensor, Tensor]:
    """Colour (3, n, k) and tone of the clothes, below their edge."""
    crew, vee, shirt = cut_of(m)
    away = x.abs()
    knit = 1 - shirt
    weave = smooth_noise(x * 48, level * 48, 36) * 0.045 + 0.05 * smooth_noise(x * 7, level * 5, 37)
    tone = 1 + weave + 0.07 * _folds(x, level) * ramp(below, 0.02, 0.25)
    band = 0.085 * crew + 0.06 * vee
    ribs = (theta * 95).cos() * (crew + 0.3 * vee)
    inside = ramp(below, band + 0.004, band - 0.004) * knit
    seam, second = (below - band) * (1 / 0.009), (below - band - 0.03) * (1 / 0.008)
    tone = (
        tone + inside * (0.06 * ribs + 0.02) - knit * (0.32 * bell(seam * seam) + 0.1 * bell(second * second))
    )
    shoulder = (theta.abs() - 1.62) * (1 / 0.016)
    tone = tone - 0.12 * bell(shoulder * shoulder)
    jacket = jacket_of(m)
    placket = (x - 0.075) * (1 / 0.01)
    tone = tone - 0.2 * shirt * (1 - jacket) * bell(placket * placket) * (level < -1.5)
    _, fold = collar_levels(theta, m)
    under = positive(fold - level)
    tone = tone * (1 - 0.45 * shirt * bell(under * under * 420) * ramp(level - fold, 0.1, 0.0))
    opening = 0.47 + 0.5 * (level + 1.5)  # the lapels' inner edge, and beyond them the jacket's front
    worn = jacket * ramp(away - opening, -0.004, 0.004)
    notch = 0.34 - 0.12 * ramp((level + 1.72).abs(), 0.03, 0.0)
    rim, edge = (away - opening - notch) * (1 / 0.012), (away - opening) * (1 / 0.03)
    tone = tone - worn * 0.4 * bell(rim * rim) - jacket * (1 - worn) * 0.45 * bell(edge * edge)
    tone = tone + worn * 0.1 * ramp(away - opening - notch, 0.0, -0.02)
    dark = hue_colour(m.clothes_hue, m.clothes_lightness * 0.7, 0.25)
    return lerp(shirt_colour(m), dark, worn), tone


def paint_neck(uv: Tensor, n: Tensor, m: Measures) -> Paint:
    """Neck, and the clothes below their edge."""
    theta, level, x = uv
    below = neckline(theta, m) - level
    clothed = below > 0
    parts = torch.where(clothed, BITS["clothes"], BITS["neck"])
    skin, skin_tone = _skin(theta, level, m)
    cloth, cloth_tone = _cloth(theta, level, x, below, m)
    over = clothed.float()
    near = below * (1 / 0.03)
    dim = 1 - 0.14 * ramp(level, -1.35, -1.0) - 0.35 * (1 - over) * bell(near * near)
    gloss = 0.03 * (1 + 0.6 * m.skin_shine) * (1 - over)
    return Paint(lerp(skin * skin_tone, cloth * cloth_tone, over), parts, gloss, dim, flesh=0.6)
