"""Glasses: frames of flattened tubes, and the lenses in them."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from fusiform.faces.synthetic._buffer import Shell
from fusiform.faces.synthetic._canvas import TRACE
from fusiform.faces.synthetic._colour import Paint, colour
from fusiform.faces.synthetic._hair_field import curly
from fusiform.faces.synthetic._math import bell, lerp, positive, ramp, smooth_noise, span
from fusiform.faces.synthetic._measures import Measures
from fusiform.faces.synthetic._parts import BITS
from fusiform.faces.synthetic._surface import section
from fusiform.faces.synthetic._tubes import joined, metal, tube

__all__ = ["glasses_shells", "lens_shells", "paint_glasses", "paint_lens"]

_KINDS = ("wire", "horn", "half_rim", "sunglasses")
_RIM = 73  # points round a lens
# Of each kind: half width and half height of a lens, how square it is (2 an ellipse), its drop below the eye's middle,
# how much lower its outer side is cut, half breadth and half depth of the rim.
_SHAPE = {
    "wire": (0.225, 0.2, 2.1, 0.03, 0.0, 0.0125, 0.008),
    "horn": (0.262, 0.185, 3.4, 0.02, 0.05, 0.024, 0.026),
    "half_rim": (0.248, 0.158, 3.4, 0.025, 0.0, 0.019, 0.012),
    "sunglasses": (0.285, 0.21, 2.9, 0.035, 0.07, 0.02, 0.024),
}


@lru_cache(maxsize=4)
def _rims(device: torch.device) -> Tensor:
    """Curves of the rims of the four kinds, (4, 4, points): outward, up, and the outward normal of the curve."""
    angle = torch.linspace(0, 2 * math.pi, _RIM, dtype=torch.float64)
    cos, sin = angle.cos(), angle.sin()
    out = []
    for kind in _KINDS:
        wide, high, power, drop, cut, _, _ = _SHAPE[kind]
        x = wide * cos.sign() * cos.abs().clamp_min(1e-9) ** (2 / power)
        y = high * sin.sign() * sin.abs().clamp_min(1e-9) ** (2 / power)
        # narrower below, most beside the nose
        x = x * (1 - cut * (y < 0) * (y / high) ** 2 * (1 + (x < 0) * 2.2))
        y = y * (1 + 0.14 * x / wide * (y > 0) * (power > 2.5)) - drop
        dx, dy = torch.gradient(x, edge_order=1)[0], torch.gradient(y, edge_order=1)[0]
        dx[[0, -1]], dy[[0, -1]] = (x[1] - x[-2]) / 2, (y[1] - y[-2]) / 2
        long = (dx * dx + dy * dy).sqrt().clamp_min(1e-9)
        out.append(torch.stack((x, y, dy / long, -dx / long)))
    return torch.stack(out).float().to(device)


def _blend(m: Measures, values: Tensor) -> Tensor:
    """Of values (4, ...) of the four kinds the one that a face wears, (n, ...)."""
    share = torch.stack([getattr(m, f"glasses_{kind}") for kind in _KINDS])  # (4, n, 1)
    return (share.view(4, -1, *[1] * (values.ndim - 1)) * values[:, None]).sum(0)


def _number(m: Measures, k: int) -> Tensor:
    """One of the numbers of the frame's shape, (n, 1)."""
    values = torch.tensor([_SHAPE[kind][k] for kind in _KINDS], device=m.yaw.device)
    return _blend(m, values[:, None])


class _Frame:
    """Where the parts of glasses lie on n faces."""

    def __init__(self, m: Measures) -> None:
        self.m = m
        grown = self.grown = (1 - 0.1 * m.child) * m.scale_x
        self.x, self.y, self.normal_x, self.normal_y = _blend(m, _rims(m.yaw.device)).unbind(1)
        self.x, self.y = self.x * grown, self.y * grown
        self.half_x = _number(m, 0) * grown
        self.centre = torch.maximum(m.eye_x * 0.75 + 0.085, self.half_x + 0.055)
        self.height = m.eye_y - 0.005
        front = section(m.eye_y, m)[1]
        self.front = (
            front + 0.03 * positive(m.nose_bridge) + 0.105 + 0.02 * positive(m.nose_protrusion) + 0.01 * m.sex
        )

    def sheet(self, x: Tensor, y: Tensor) -> Tensor:
        """Depth of the sheet in which rims and lenses lie, at distances from the middle and heights."""
        return self.front - 0.42 * x * x - 0.05 * (self.height - y) * 0.6

    def rim(self, side: float) -> tuple[Tensor, Tensor, Tensor]:
        x, y = self.centre + self.x, self.height + self.y
        return side * x, y, self.sheet(x, y)


def _temple(f: _Frame, side: float, m: Measures) -> tuple[Tensor, Tensor, Tensor]:
    """A temple's curve from the hinge over the ear and down behind it, with its upward normal."""
    t = span(0, 1, 34, m.yaw.device)
    straight = ramp(t, 0.0, 0.02) * (t * (1 / 0.8)).clamp(0, 1)
    hook = positive(t - 0.8) * 5
    hinge_x, hinge_y = f.centre + f.half_x + 0.012, f.height + 0.085 * f.grown
    ear_y = torch.full_like(m.yaw, 0.1)
    width, front, middle, _ = section(ear_y, m)
    start, end = f.sheet(hinge_x, hinge_y) - 0.01, middle - 0.16
    z = start + (end - start) * straight - 0.16 * hook
    ear_x = width * 0.99 + 0.045
    y = hinge_y + (ear_y * 1.0 - hinge_y) * straight - 0.34 * hook * hook
    x = (
        lerp(hinge_x, torch.maximum(ear_x, hinge_x), ramp(straight, 0.0, 1.0) * 0.55 + 0.45 * straight)
        - 0.05 * hook
    )
    # Never within the head: its outline at that depth, and a little more.
    inward = ((z - middle) * (1 / (front - middle))).clamp(0, 1)
    x = torch.maximum(x, width * (1 - 0.82 * inward * inward).clamp_min(0).sqrt() + 0.03 * (1 - 0.5 * inward))
    # Hair over the ear hides it.
    covered = ramp(m.hair_length, 0.22, 0.34) + curly(m) * ramp(m.hair_length, 0.08, 0.2)
    covered = covered.clamp_max(1) * ramp(m.hair_recession, 0.8, 0.5)
    x = x - 0.16 * covered * ramp(inward, 0.5, 0.2)
    bent = (hook * 1.4).clamp_max(1)
    normal = torch.stack(torch.broadcast_tensors(torch.zeros_like(x), 1 - 0.5 * bent, -0.85 * bent))
    return torch.stack(torch.broadcast_tensors(side * x, y, z)), normal, hook


def glasses_shells(m: Measures) -> list[Shell]:
    """Frames of the faces that wear glasses."""
    faces = (m.glasses_none[:, 0] < 1).nonzero()[:, 0]
    return [_frame(m.of(faces), faces)] if len(faces) else []


def _frame(m: Measures, faces: Tensor) -> Shell:
    device, rows = m.yaw.device, 9
    f = _Frame(m)
    breadth, depth = _number(m, 5), _number(m, 6)
    zero = torch.zeros_like(m.yaw)
    pieces, keeps = [], []

    def piece(
        centre: Tensor, one: Tensor, two: Tensor, wide: Tensor, high: Tensor, what: float, keep: Tensor | None
    ) -> None:
        position = tube(centre, one, two, wide, high, rows)
        way = span(0, 1, position.shape[3], device).expand_as(position[0])
        pieces.append(torch.cat((position, torch.stack((way, torch.full_like(way, what))))))
        keeps.append(keep)

    # Half a rim: the lower half is but a thread.
    upper = 1 - m.glasses_half_rim * ramp(f.y, 0.01, -0.015)
    heavy = 1 + m.glasses_horn * 0.35 * ramp(f.y, -0.05, 0.16)
    for side in (-1.0, 1.0):
        x, y, z = f.rim(side)
        none = torch.zeros_like(x)
        piece(torch.stack((x, y, z)), torch.stack((side * f.normal_x, f.normal_y, none)), torch.stack((none, none, none + 1)),
              breadth * heavy * upper, depth * upper.expand_as(x), 0.0, (upper - 0.06)[:, None])  # fmt: skip
        centre, normal, hook = _temple(f, side, m)
        thick = 0.008 + 0.45 * breadth
        tall = lerp(0.02, 0.045, m.glasses_horn) + 0.012 * m.glasses_sunglasses - 0.004 * m.glasses_wire
        tall = tall * (1 - 0.35 * hook.clamp(0, 1))
        sideways = torch.stack(torch.broadcast_tensors(zero + 1, zero, zero))
        piece(centre, normal, sideways, tall, thick.expand_as(tall), 1.0, None)
    across = span(-1, 1, 17, device)
    inner = f.centre - f.half_x * 0.97
    low = 1 - across * across
    x = across * (inner + 0.01)
    y = f.height + f.grown * (0.045 + 0.03 * low - 0.02 * m.glasses_wire * low)
    z = f.sheet(x, y) + 0.012 * low + 0.02 * m.glasses_wire * low
    up = torch.stack(torch.broadcast_tensors(zero, zero + 1, zero))
    forward = torch.stack(torch.broadcast_tensors(zero, zero, zero + 1))
    size = (breadth * (1 - 0.15 * low), depth.expand_as(x))
    piece(torch.stack(torch.broadcast_tensors(x, y, z)), up, forward, *size, 2.0, None)
    grid, keep = joined(pieces, keeps)
    return Shell("glasses", grid[:3], grid[3:], faces, keep)


def paint_glasses(uv: Tensor, n: Tensor, m: Measures) -> Paint:
    """Frame: polished metal, or dark horn with lighter flecks."""
    way, what = uv
    parts = torch.full_like(way, BITS["glasses"], dtype=torch.int64)
    fleck = smooth_noise(way * 21 + 7 * what, n[1] + what, 61)
    horn = colour((38, 26, 22), way) * (1 + 0.25 * fleck) + colour((150, 84, 40), way) * 0.13 * positive(
        fleck
    )
    black = colour((30, 29, 31), way)
    dark = lerp(black, horn, m.glasses_horn)
    steel = lerp(
        0.85 * metal(n, m, 0.35), colour((98, 96, 100), way) * (0.85 + 0.3 * n[1]), m.glasses_half_rim
    )
    shiny = torch.maximum(m.glasses_wire, m.glasses_half_rim)
    gloss = lerp(0.1, 0.25, shiny) * torch.ones_like(way)
    return Paint(lerp(dark, steel, shiny), parts, gloss, torch.ones_like(way), flesh=0.0)


def lens_shells(m: Measures) -> list[Shell]:
    """Lenses, laid over the picture."""
    faces = (m.glasses_none[:, 0] < 1).nonzero()[:, 0]
    if not len(faces):
        return []
    m = m.of(faces)
    f = _Frame(m)
    rho = span(0.01, 0.99, 9, m.yaw.device)[:, None]
    middle = 0.03
    px, py = f.x[:, None] * rho, (f.y[:, None] + middle) * rho - middle
    x, y = f.centre[:, None] + px, f.height[:, None] + py
    bulge = 0.03 * (1 - rho * rho)
    z = f.front[:, None] - 0.42 * x * x - 0.03 * (f.height[:, None] - y) + bulge - 0.008
    pieces = []
    for side in (-1.0, 1.0):
        flat = torch.stack(torch.broadcast_tensors(side * x, y, z, side * px, py, x * 0 + side))
        pieces.append(flat if side < 0 else flat.flip(3))
    grid, keep = joined(pieces, [None, None])
    return [Shell("lens", grid[:3], grid[3:], faces, keep)]


def paint_lens(uv: Tensor, n: Tensor, m: Measures) -> Paint:
    """A lens: faint streaks of light that wander with the light; dark in sunglasses."""
    x, y, _ = uv
    shaded = m.glasses_sunglasses
    # Where a window is mirrored: it moves against the light and with the head's turn.
    away = (m.light * 0.0025 + n[0] * 0.45).clamp(-0.5, 0.5)
    slant = x * 0.8 - y * 0.6 - 0.35 * away + 0.06
    one, two = slant * (1 / 0.055), (slant - 0.13) * (1 / 0.02)
    streak = bell(one * one) + 0.6 * bell(two * two)
    streak = streak * ramp(y, -0.17, 0.02) * (0.35 + 0.65 * m.light_strength * 0.8)
    glare = 0.08 * streak + 0.012 * ramp(y, 0.06, 0.17)
    clear = torch.where(glare > 0.012, glare, torch.zeros_like(glare))
    density = 0.95 - 0.17 * ramp(y, 0.05, -0.22)
    alpha = lerp(clear, density, shaded)
    tint = colour((46, 36, 32), x) * lerp(0.6, 1.5, ramp(y, 0.15, -0.2))
    tint = tint + 0.25 * glare
    white = colour((226, 236, 246), x)
    parts = torch.where(alpha > TRACE, BITS["glasses"], 0)
    return Paint(
        lerp(white, tint, shaded), parts, 0.07 * shaded * torch.ones_like(x), torch.ones_like(x), 0.0, alpha
    )
