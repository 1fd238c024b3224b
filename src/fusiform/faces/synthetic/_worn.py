"""Ears and earrings."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from fusiform.faces.synthetic._buffer import Shell
from fusiform.faces.synthetic._colour import Paint, colour, skin_colour
from fusiform.faces.synthetic._math import bump, lerp, positive, ramp, smooth_noise, span
from fusiform.faces.synthetic._measures import Measures
from fusiform.faces.synthetic._parts import BITS
from fusiform.faces.synthetic._surface import section
from fusiform.faces.synthetic._tubes import joined, metal, tube

__all__ = ["ear_shells", "paint_earrings", "paint_left_ear", "paint_right_ear"]

# An ear's outline: distance from its middle in dm, every 30 degrees from the back over the top to the front.
_OUTLINE = (.185, .215, .26, .285, .235, .15, .115, .125, .19, .265, .25, .2)  # fmt: skip
_ROWS, _COLUMNS = 30, 61
_LOBE = (0.055, -0.235)  # where the lobe is pierced: back and up from the middle
_FRONT = -0.115  # where the ear grows from the head, in front of its middle


@lru_cache(maxsize=4)
def _relief(device: torch.device) -> dict[str, Tensor]:
    """The average ear on its grid, (rows * columns,) each: back, up, out, share of the lobe, occlusion, redness."""
    degrees = span(0, 360, _COLUMNS, device)
    knots = torch.tensor(_OUTLINE, device=device)
    place = degrees / 30
    i = place.long() % 12
    f = place - place.floor()
    a, b, c, d = (knots[(i + k) % 12] for k in (-1, 0, 1, 2))
    outline = b + 0.5 * f * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a)))
    angle = degrees.double().deg2rad().float()
    # From the middle to the rim, and behind the rim back to the head.
    rho = torch.cat((span(0.02, 0.8, 13, device), span(0.83, 1.0, 8, device), span(1.0, 1.0, 9, device)))[
        :, None
    ]
    behind = torch.cat((torch.zeros(21, device=device), span(0.12, 1.0, 9, device)))[:, None]
    reach = rho * (1 + 0.05 * (math.pi * positive(behind * 1.6).clamp_max(1)).sin() - 0.3 * behind * behind)
    back, up = reach * outline * angle.cos(), reach * outline * angle.sin()
    helix = ramp(angle.sin() + 0.7 * angle.cos(), -0.75, -0.2) * ramp(
        back, -0.14, -0.06
    )  # not at lobe and tragus
    u = (rho - 0.93) * (1 / 0.085)
    out = 0.042 * (-(u * u)).exp() * helix
    groove = (rho - 0.78) * (1 / 0.075)
    scapha = (-(groove * groove)).exp() * helix * ramp(up, -0.2, -0.08)
    out = out - 0.022 * scapha
    ridge = (back - 0.07 + 0.55 * (up - 0.02) * (up - 0.02) - 0.1 * positive(up)) * (1 / 0.042)
    fold = (-(ridge * ridge)).exp() * ramp(up, -0.19, -0.1) * ramp(up, 0.25, 0.13)  # antihelix
    out = out + 0.036 * fold
    concha = bump(back, up, -0.01, -0.035, 0.078, 0.105)
    out = out - 0.06 * concha
    cymba = bump(back, up, -0.03, 0.085, 0.06, 0.045)
    out = out - 0.024 * cymba
    crus = bump(back, up, -0.06, 0.035, 0.06, 0.02)
    out = out + 0.025 * crus
    tragus = bump(back, up, -0.085, -0.055, 0.03, 0.05)
    out = out + 0.05 * tragus
    anti = bump(back, up, 0.02, -0.15, 0.045, 0.03)
    out = out + 0.03 * anti
    lobe = ramp(up, -0.12, -0.26)
    pad = bump(back, up, 0.03, -0.23, 0.08, 0.06)
    out = out + 0.02 * pad
    out = out * (1 - behind.clamp_max(0.15) * 4) - 0.015 * ramp(rho, 0.94, 1.0) - 0.15 * behind
    out = out - 0.045 * ramp(back, -0.08, -0.125)
    dark = 0.62 * concha * (1 - 0.8 * tragus) + 0.3 * cymba + 0.36 * scapha
    canal = bump(back, up, -0.045, -0.06, 0.035, 0.045)
    dark = dark + 0.55 * canal * (1 - tragus) + 0.14 * ramp(behind, 0.1, 0.6)
    red = 0.35 + 0.65 * (-(u * u)).exp() * helix + 0.5 * lobe + 0.4 * concha
    fields = {"back": back, "up": up, "out": out, "lobe": lobe, "dim": (1 - dark).clamp(0.12, 1), "red": red}
    return {
        name: torch.broadcast_to(v, (_ROWS, _COLUMNS)).reshape(-1).contiguous() for name, v in fields.items()
    }


def _place(back: Tensor, up: Tensor, out: Tensor, lobe: Tensor | float, side: float, m: Measures) -> Tensor:
    """Points (3, n, k) of an ear from coordinates on it; side -1 at the image's left."""
    size = 0.92 + 0.15 * m.ear_size + 0.03 * m.sex + 0.1 * m.old - 0.02 * m.child
    longer = 1 + (0.2 * m.ear_lobe + 0.1 * m.old) * lobe
    from_front = (back - _FRONT) * size
    # An attached lobe runs into the cheek.
    from_front = from_front - 0.35 * positive(-m.ear_lobe) * lobe * positive(from_front - 0.03)
    up = up * size * longer
    pressed = ramp(m.hair_length, 0.42, 0.62) * ramp(m.hair_recession, 0.9, 0.6)  # by hair that hangs over it
    angle = (0.29 + 0.18 * m.ear_protrusion) * (1 - 0.75 * pressed)
    sin, cos = angle.sin(), angle.cos()
    middle_y = torch.full_like(m.yaw, -0.15)
    width, _, middle, _ = section(middle_y, m)
    out = out * size
    x = (
        width * 0.985
        + 0.026
        - 0.035 * pressed
        + from_front * sin
        + out * cos
        - 0.05 * ramp(up, 0.0, 0.33)
        - 0.045 * ramp(up, -0.1, -0.3)
    )
    z = middle - 0.09 - from_front * cos + out * sin - 0.28 * up
    y = middle_y * m.scale_low + up
    return torch.stack(torch.broadcast_tensors(side * x, y, z))


def ear_shells(m: Measures) -> list[Shell]:
    """Ears of all faces, earrings of those that wear some."""
    everyone = torch.arange(len(m), device=m.yaw.device)
    e = _relief(m.yaw.device)
    shape = (_ROWS, _COLUMNS)
    uv = (
        torch.stack([e[k] for k in ("back", "up", "dim", "red")])[:, None]
        .expand(-1, len(m), -1)
        .unflatten(2, shape)
    )
    shells = []
    for name, side in (("left_ear", -1.0), ("right_ear", 1.0)):
        position = _place(e["back"], e["up"], e["out"], e["lobe"], side, m)
        shells.append(Shell(name, position.unflatten(2, shape), uv, everyone))
    faces = (m.earrings_none[:, 0] < 1).nonzero()[:, 0]
    if len(faces):
        shells.append(_earrings(m.of(faces), faces))
    return shells


def _paint_ear(part: str, uv: Tensor, m: Measures) -> Paint:
    back, up, dim, red = uv
    parts = torch.full_like(back, BITS[part], dtype=torch.int64)
    mottle = 0.02 * smooth_noise(back * 30, up * 30, 51)
    light = 1 - 0.6 * m.skin_tone
    tint = torch.stack(
        (1 + 0.02 * red * light + mottle, 1 - 0.16 * red * light + mottle, 1 - 0.17 * red * light + mottle)
    )
    gloss = 0.05 * (1 + 0.5 * m.skin_shine) * dim
    return Paint(skin_colour(m) * tint, parts, gloss, dim, flesh=1.0)


def paint_left_ear(uv: Tensor, n: Tensor, m: Measures) -> Paint:
    """Skin of the ear at the image's left: redder at rim and lobe, dark in its bowl."""
    return _paint_ear("left_ear", uv, m)


def paint_right_ear(uv: Tensor, n: Tensor, m: Measures) -> Paint:
    """Skin of the ear at the image's right."""
    return _paint_ear("right_ear", uv, m)


def _earrings(m: Measures, faces: Tensor) -> Shell:
    """A stud, a hoop or a drop on each lobe: a tube along a curve, as thick as what it shows."""
    device = m.yaw.device
    t = span(0, 1, 33, device)
    turn = 2 * math.pi * t
    ball = (1 - (2 * t - 1) * (2 * t - 1)).clamp_min(0).sqrt()
    zero = torch.zeros_like(t)
    hook = (1 - (t * 8 - 1) * (t * 8 - 1)).clamp_min(0).sqrt() * 0.02
    gem_at = ((t - 0.5) * 2).clamp(0, 1)
    gem = (gem_at * (1 - gem_at) * 4).clamp_min(0).sqrt() * (0.35 + 0.65 * gem_at) * 0.062
    curves = (  # outward and down from the piercing, and the tube's half size
        (m.earrings_stud, 0.034 * (2 * t - 1), zero, 0.038 * ball),
        (m.earrings_hoop, 0.03 + 0 * t, 0.15 - 0.15 * turn.cos(), 0.017 + zero),
        (m.earrings_drop, 0.028 + zero, 0.3 * t, torch.maximum(hook, torch.maximum(gem, 0.009 + zero))),
    )
    out, down, radius = (sum((c[0] * c[k] for c in curves), torch.zeros_like(m.yaw)) for k in (1, 2, 3))
    along = m.earrings_hoop * 0.15 * turn.sin()
    e = _LOBE
    one = torch.ones_like(t)
    pieces = []
    for side in (-1.0, 1.0):
        at = _place(e[0] * one, e[1] * one, 0.02 * one, one, side, m)
        hang = 0.02 * (1 - m.earrings_stud)
        centre = torch.stack((at[0] + side * out, at[1] - down - hang, at[2] + along + 0.01))
        hoop, stud = m.earrings_hoop, m.earrings_stud
        upright = lerp(one, turn.cos(), hoop) * (1 - stud) + stud
        forward = hoop * -turn.sin()
        outward = (1 - stud) * one
        first = torch.stack(
            torch.broadcast_tensors(
                zero,
                upright * lerp(zero, one, torch.maximum(hoop, stud)),
                forward + (1 - torch.maximum(hoop, stud)),
            )
        )
        second = torch.stack(torch.broadcast_tensors(outward, zero, stud * one))
        rows = tube(centre, first, second, radius, radius, 13)
        flat = torch.stack(torch.broadcast_tensors(rows[0], rows[1], rows[2], t.expand_as(rows[0])))
        pieces.append(flat)
    grid, keep = joined(pieces, [None, None])
    return Shell("earrings", grid[:3], grid[3:], faces, keep)


def paint_earrings(uv: Tensor, n: Tensor, m: Measures) -> Paint:
    """Metal; a drop ends in a coloured stone."""
    (t,) = uv
    parts = torch.full_like(t, BITS["earrings"], dtype=torch.int64)
    stone = m.earrings_drop * ramp(t, 0.5, 0.54)
    glass = colour((52, 92, 128), t) * (0.6 + 0.8 * positive(n[1]) + 0.5 * n[2] * n[2])
    return Paint(
        lerp(metal(n, m), glass, stone), parts, 0.8 * torch.ones_like(t), torch.ones_like(t), flesh=0.0
    )
