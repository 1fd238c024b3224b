"""What lies on neck and clothes: a shirt's collar, a tie, a necklace."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from fusiform.faces.synthetic._buffer import Shell
from fusiform.faces.synthetic._colour import Paint, colour, hue_colour
from fusiform.faces.synthetic._math import bell, lerp, positive, ramp, smooth_noise, span
from fusiform.faces.synthetic._measures import Measures
from fusiform.faces.synthetic._parts import BITS
from fusiform.faces.synthetic._torso import body_points, collar_levels, cut_of, shirt_colour
from fusiform.faces.synthetic._tubes import joined, metal, tube

__all__ = ["neckwear_shells", "paint_collar", "paint_necklace", "paint_necktie"]

_BEADS = 25
_KNOT, _KNOT_END = -1.315, -1.495  # heights of a tie's knot


def _wearers(column: Tensor) -> Tensor:
    return (column[:, 0] > 0).nonzero()[:, 0]


def _collar(m: Measures, faces: Tensor) -> Shell:
    """Two flaps that fall outward from their upper fold, open in front."""
    device = m.yaw.device
    along, down = span(0, 1, 33, device), span(0, 1, 9, device)[:, None]
    along = (along * (0.55 + 0.45 * along)).expand(9, 33).reshape(-1)
    down = down.expand(9, 33).reshape(-1)
    front = lerp(0.4 - 0.36 * m.necktie, 0.66 - 0.26 * m.necktie, down * (1.15 - 0.15 * down))
    away = lerp(front, 2.3, along)
    top, low = collar_levels(away, m)
    level = lerp(top, low, down)
    bend = (math.pi * down).sin()
    stand = 0.03 + 0.04 * ramp(down, 0.0, 0.12) + 0.025 * bend
    base = body_points(away, level, m)
    y = base[1] + 0.3 * stand
    pieces = []
    for side in (-1.0, 1.0):
        x, z = side * (base[0] + stand * away.sin()), base[2] + stand * away.cos()
        rows = torch.stack(torch.broadcast_tensors(x, y, z, side * away, down, along)).unflatten(2, (9, 33))
        pieces.append(rows if side > 0 else rows.flip(3))
    grid, keep = joined(pieces, [None, None])
    return Shell("collar", grid[:3], grid[3:], faces, keep, torso=True)


def paint_collar(uv: Tensor, n: Tensor, m: Measures) -> Paint:
    """A shirt's collar: a stitched line along its edge."""
    theta, down, along = uv
    parts = torch.full_like(theta, BITS["clothes"], dtype=torch.int64)
    hem, front = (down - 0.88) * (1 / 0.025), (along - 0.025) * (1 / 0.007)
    weave = smooth_noise(theta * 40, down * 14, 41)
    tone = 1.04 + 0.03 * weave - 0.09 * bell(hem * hem) - 0.07 * bell(front * front)
    dim = 1 - 0.25 * ramp(down, 0.12, 0.0)
    return Paint(shirt_colour(m) * tone, parts, torch.zeros_like(theta), dim, flesh=0.1)


def _longer(m: Measures) -> Tensor:
    """How far the body's front lies below its place in the average face, (n, 1)."""
    return body_points(torch.zeros_like(m.yaw), torch.full_like(m.yaw, -1.4), m)[1] + 1.4


def _necktie(m: Measures, faces: Tensor) -> Shell:
    """Knot and blade of a tie."""
    device = m.yaw.device
    rows, columns = 44, 15
    knot = span(0, 1, 15, device)
    heights = torch.cat(
        (_KNOT + (_KNOT_END - _KNOT) * knot, span(_KNOT_END - 0.012, -4.2, rows - 15, device))
    )
    y = heights[:, None].expand(rows, columns).reshape(-1)
    u = span(-1, 1, columns, device).expand(rows, columns).reshape(-1)
    tied = (y >= _KNOT_END).float()
    t = ((y - _KNOT) * (1 / (_KNOT_END - _KNOT))).clamp(0, 1)
    shoulder = ramp(t, -0.08, 0.16)
    wide_knot = (0.128 - 0.052 * t) * (0.72 + 0.28 * shoulder)
    wide_blade = 0.066 + 0.13 * ramp(y, _KNOT_END, -2.7)
    wide = lerp(wide_blade, wide_knot, tied) * (1 - 0.2 * m.child)
    round_ = (1 - u * u).clamp_min(0)
    bulge = tied * (0.02 + 0.07 * shoulder * ramp(t, 1.12, 0.8)) * round_.sqrt()
    crease = 0.03 * (1 - tied) * ramp(y, -2.0, _KNOT_END) * bell(u * u * 12)
    bulge = bulge + (1 - tied) * (0.012 + 0.018 * round_) - crease
    shift = _longer(m)
    x = u * wide
    level = y + 0.07
    base = body_points(torch.zeros_like(u), level, m)
    z = base[2] - 0.5 * x * x + 0.045 + bulge + 0.05 * ramp(y, _KNOT_END, -1.75)
    grid = torch.stack(torch.broadcast_tensors(x, y + shift, z, x, y, tied)).unflatten(2, (rows, columns))
    return Shell("necktie", grid[:3], grid[3:], faces, torso=True)


def paint_necktie(uv: Tensor, n: Tensor, m: Measures) -> Paint:
    """A tie of silk: stripes, dots or plain; the knot's fold."""
    x, y, tied = uv
    parts = torch.full_like(x, BITS["necktie"], dtype=torch.int64)
    number = (m.necktie_hue * 3 + 0.2) % 1
    striped, dotted = (number < 0.55).float(), (number > 0.8).float()
    slant = lerp(y + 0.75 * x, y - 0.45 * x, tied)
    wave = (slant * 44).sin()
    stripe = ramp(wave, 0.25, 0.6)
    dots = ramp((x * 66).sin() * ((y + 0.3 * x) * 60).sin(), 0.55, 0.8)
    pattern = (striped * stripe + dotted * dots) * 0.85
    silk = hue_colour(m.necktie_hue, 0.25, 0.52)
    light = hue_colour(m.necktie_hue + 0.08, 0.66, 0.3)
    weave = 0.05 * smooth_noise(x * 70, y * 70, 42)
    gap = (y - _KNOT_END) * (1 / 0.018)
    edge = ramp(x.abs(), 0.0, 0.15)
    tone = 1 + weave - 0.55 * bell(gap * gap) - 0.12 * edge * tied
    return Paint(lerp(silk, light, pattern) * tone, parts, 0.14 + 0.1 * weave, torch.ones_like(x), flesh=0.0)


@lru_cache(maxsize=4)
def _string(device: torch.device) -> tuple[Tensor, Tensor]:
    """Azimuths of a necklace's points, and how thick a round bead is at each, 0 to 1."""
    bead = span(-1, 1, 9, device)[:-1]
    half = (1 - bead * bead).clamp_min(0).sqrt()
    at = (torch.arange(_BEADS, device=device)[:, None] + 0.5 + 0.5 * bead).reshape(-1)
    theta = (at / _BEADS * 2 - 1) * math.radians(112)
    return theta, half.repeat(_BEADS)


def _necklace(m: Measures, faces: Tensor) -> Shell:
    """A string of pearls, or a chain with a pendant."""
    theta, half = _string(m.yaw.device)
    chain = m.necklace_chain
    cos = theta.cos()
    front = positive(cos) * positive(cos)
    level = -1.29 - 0.05 * positive(cos) - (0.1 + 0.03 * chain) * front
    pendant = 0.042 * ramp(theta.abs(), 0.085, 0.02)
    radius = lerp(0.006 + 0.045 * half, 0.017 + pendant, chain)
    base = body_points(theta, level, m)
    # Within a shirt's opening it lies close to the skin, and ends beneath the collar.
    open_ = 0.547 - theta.abs() + 9 * (1 - cut_of(m)[2])
    out = radius * (0.75 - 0.7 * ramp(open_, 0.14, 0.03)) + 0.008
    sin = theta.sin()
    centre = torch.stack((base[0] + out * sin, base[1] - 0.9 * pendant * chain, base[2] + out * cos))
    zero = torch.zeros_like(theta)
    outward = torch.stack((sin, zero, cos))[:, None]
    up = torch.stack((zero, zero + 1, zero))[:, None]
    position = tube(centre, up, outward, radius, radius, 11)
    shape = position.shape[2:]
    uv = torch.stack((theta.expand(shape), half.expand(shape)))[:, None].expand(-1, len(faces), -1, -1)
    keep = open_[:, None].expand(-1, *shape)
    return Shell("necklace", position, uv, faces, keep, torso=True)


def paint_necklace(uv: Tensor, n: Tensor, m: Measures) -> Paint:
    """Pearls with their lustre, or metal."""
    theta, half = uv
    parts = torch.full_like(theta, BITS["necklace"], dtype=torch.int64)
    chain = m.necklace_chain
    links = 0.75 + 0.35 * (theta * 95).cos()
    pearl = colour((244, 234, 224), theta) * (0.8 + 0.25 * positive(n[1]) + 0.12 * n[2])
    pearl = pearl * lerp(0.55, 1.0, ramp(half, 0.1, 0.6))
    return Paint(lerp(pearl, metal(n, m) * links, chain), parts, lerp(0.5, 0.8, chain) * torch.ones_like(theta),
                 torch.ones_like(theta), flesh=0.0)  # fmt: skip


def neckwear_shells(m: Measures) -> list[Shell]:
    """Collars, ties and necklaces of the faces that wear them."""
    shells = []
    for column, make in ((cut_of(m)[2], _collar), (m.necktie, _necktie), (1 - m.necklace_none, _necklace)):
        faces = _wearers(column)
        if len(faces):
            shells.append(make(m.of(faces), faces))
    return shells
