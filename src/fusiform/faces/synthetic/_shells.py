"""What is worn on the head: hair, hat, ears and glasses, each a surface over a grid of its own coordinates."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from fusiform.faces.synthetic._anatomy import Face, bump, ramp
from fusiform.faces.synthetic._gbuffer import length
from fusiform.faces.synthetic._surface import section, theta_grid

__all__ = ["brim_grid", "ear_grid", "glasses_grids", "hair_grid", "hanging_rows", "hat_grid", "hat_line"]

# Lower edge of hair over |theta| in degrees, in chart heights.
_ANGLES = (0, 20, 40, 52, 62, 70, 76, 82, 90, 100, 112, 128, 150, 180)
_SHORT = (.64, .63, .60, .53, .44, .34, .18, -.02, .06, .08, -.38, -.52, -.56, -.58)  # fmt: skip
_LONG = (.64, .63, .59, .50, .34, .02, -1.2, -3.0, -3.0, -3.0, -3.0, -3.0, -3.0, -3.0)  # fmt: skip
_FRINGE = (9.0, 9.0, 9.0, 9.0, 9.0, 1.6, .42, .0, .06, .08, -.38, -.52, -.56, -.58)  # fmt: skip
_BANGS = (.27, .27, .26, .25, .27, .28, .18, -.02, .06, .08, -.38, -.52, -.56, -.58)  # fmt: skip
HANGING = {"bob": -1.0, "long": -2.1, "long_wavy": -2.1}
_THICKNESS = {
    "horseshoe": 0.045, "buzz": 0.025, "short": 0.11, "side_part": 0.15, "curly": 0.27, "bob": 0.19,
    "long": 0.16, "long_wavy": 0.2,
}  # fmt: skip


@lru_cache(maxsize=16)
def _edge(knots: tuple[float, ...]) -> Tensor:
    """A hair edge on the grid's columns, rounded between its knots."""
    degrees = torch.rad2deg(theta_grid()).abs()
    xs = torch.tensor(_ANGLES, dtype=torch.float32)
    ys = torch.tensor(knots)
    i = torch.bucketize(degrees.contiguous(), xs[1:-1].contiguous(), right=True)
    f = ((degrees - xs[i]) / (xs[i + 1] - xs[i])).clamp(0, 1)
    f = f * f * (3 - 2 * f)
    return ys[i] * (1 - f) + ys[i + 1] * f


def _hairline(m: Face) -> Tensor:
    """Lower edge of the hair on the grid's columns, strands' jags included."""
    theta = theta_grid()
    style = m.hair_style
    if style == "horseshoe":
        edge = _edge(_FRINGE)
    else:
        edge = _edge(_LONG if style in HANGING else _SHORT)
        front = ramp(theta.abs(), 1.25, 0.9)
        lift = 0.07 * m.hairline + 0.05 * m.male - 0.02
        back = 0.14 * m.male * min(m.old, 1.0) * torch.exp(-(((theta.abs() - 0.62) / 0.3) ** 2))
        peak = -0.05 * max(m.hairline_peak, 0.0) * torch.exp(-((theta / 0.16) ** 2))
        recess = (0.05 + 0.04 * m.male) * torch.exp(-(((theta.abs() - 0.66) / 0.2) ** 2))
        edge = edge + front * lift + back + peak + recess
        if style == "side_part":
            side = math.copysign(1.0, m.hair_part)
            edge = edge - 0.1 * torch.exp(-(((theta * side + 0.45) / 0.4) ** 2))
        if m.bangs:
            low = _edge(_BANGS) - 0.05 * torch.exp(
                -(((theta * math.copysign(1.0, m.hair_part) - 0.5) / 0.5) ** 2)
            )
            edge = torch.minimum(edge, torch.where(theta.abs() < 1.2, low, edge))
    jag = torch.sin(theta * 61 + 2) * torch.sin(theta * 37 + 5 * m.hair_part) + 0.8 * torch.sin(theta * 127)
    return edge + (0.026 + 0.02 * m.bangs) * jag * ramp(theta.abs(), 1.5, 1.2)


def hat_line(theta: Tensor) -> Tensor:
    """Chart height of a hat's lower edge."""
    return 0.33 + 0.13 * torch.cos(theta)


@lru_cache(maxsize=4)
def _hair_rows(bottom: float) -> Tensor:
    low = torch.linspace(bottom, -0.62, max(2, round((-0.62 - bottom) / 0.025)))[:-1]
    middle = torch.linspace(-0.62, 0.25, 62)
    top = 0.25 + 0.83 * torch.sin(torch.linspace(0, math.pi / 2 - 0.01, 40))[1:]
    return torch.cat((low, middle, top)) if bottom < -0.62 else torch.cat((middle, top))


def hanging_rows(m: Face) -> int:
    """How many of the hair's rows, from the lowest, can be seen from within."""
    return int((_hair_rows(HANGING[m.hair_style]) < -0.15).sum()) if m.hair_style in HANGING else 0


def _scalp(theta: Tensor, y: Tensor, m: Face, hanging: bool = False) -> tuple[Tensor, Tensor]:
    """The smooth support of hair and hats (hanging: straight down where the head narrows); and its outward direction."""
    held = y.clamp(min=-0.1) if hanging else y
    width, front, middle, back = section(held, m)
    sin, cos = torch.sin(theta), torch.cos(theta)
    forward = cos.clamp(min=0) * (1 + 0.13 * sin * sin)
    z = middle + (front - middle) * forward - (middle - back) * (-cos).clamp(min=0)
    if hanging:
        z = z + 0.22 * ramp(held - y, 0.0, 0.5) * ramp(-cos, 0.1, 0.8)
    height = torch.where(y < 0, y * m.scale_low, y * m.scale_high)
    rise = ((y - 0.15) / 0.95).clamp(0, 1) * (math.pi / 2)
    flat = torch.cos(rise)
    x = width * sin
    out = torch.stack(torch.broadcast_tensors(sin * flat, torch.sin(rise), cos * flat))
    return torch.stack(torch.broadcast_tensors(x, height, z)), out


def hair_grid(m: Face) -> tuple[Tensor, Tensor, Tensor] | None:
    """Hair: position, (theta, y, distance from its edge), and that distance (kept where positive); None if bald."""
    if m.hair_style == "bald":
        return None
    bottom = HANGING.get(m.hair_style, -0.62)
    theta, y = theta_grid()[None, :], _hair_rows(bottom)[:, None]
    edge = _hairline(m)[None, :]
    inside = y - edge
    if bottom < -0.62:
        tip = 0.08 * torch.sin(theta * 23) * torch.sin(theta * 9 + 1) + 0.06
        inside = torch.minimum(inside, y - bottom - tip)
    inside = inside.expand(y.shape[0], theta.shape[1])
    thick = _THICKNESS[m.hair_style] * (1 + 0.45 * m.hair_volume)
    base, out = _scalp(theta, y, m, hanging=bottom < -0.62)
    wave = torch.zeros_like(inside)
    if m.hair_style == "curly":
        wave = 0.16 * torch.sin(7 * base[0] + 3 * base[1]) * torch.sin(8 * base[1] - 2 * base[2])
        wave = wave + 0.14 * torch.sin(9 * base[2] + 5 * base[0]) * torch.sin(10 * base[1] + 4 * base[0])
    elif m.hair_style == "long_wavy":
        wave = 0.3 * torch.sin(9 * y + 2 * torch.sin(3 * theta)) * ramp(y, 0.4, -0.3)
    grow = ramp(inside, -0.05, 0.38) if not m.bangs else ramp(inside, -0.02, 0.2)
    if m.hair_style == "side_part":
        side = math.copysign(1.0, m.hair_part)
        grow = grow * (1 - 0.55 * torch.exp(-(((theta * side - 0.42) / 0.1) ** 2)) * ramp(y, 0.4, 0.6))
    thickness = thick * (0.16 + 0.84 * grow) * (1 + wave)
    # The edge beside the face hugs the temple instead of standing off it.
    beside = ramp(theta.abs(), 1.75, 1.25) * ramp(theta.abs(), 0.9, 1.15)
    thickness = thickness * (1 - 0.3 * beside * ramp(y, 0.4, 0.0))
    if m.hat != "none":
        under = ramp(y - hat_line(theta), -0.12, 0.02)
        thickness = thickness * (1 - under) + thickness.clamp(max=0.03) * under
    if m.bangs:
        thickness = thickness + 0.05 * ramp(y, 0.75, 0.4) * ramp(theta.abs(), 1.2, 0.9)
    position = base + out * thickness
    return position, torch.stack(torch.broadcast_tensors(theta, y, inside)), inside


def hat_grid(m: Face) -> tuple[Tensor, Tensor, Tensor] | None:
    """Hat's crown: position, (theta, y, height above its edge), and that height (kept where positive)."""
    if m.hat == "none":
        return None
    theta, y = theta_grid()[None, :], _hair_rows(-0.62)[60:, None]
    line = hat_line(theta)
    inside = y - line
    base, out = _scalp(theta, y, m)
    if m.hat == "beanie":
        thickness = (
            0.09 + 0.05 * ramp(inside, 0.0, 0.03) * ramp(inside, 0.27, 0.22) + 0.06 * ramp(y, 0.6, 1.1)
        )
    elif m.hat == "cap":
        thickness = 0.08 + 0.06 * ramp(inside, 0.0, 0.4)
    else:
        thickness = 0.09 + 0.05 * ramp(inside, 0.1, 0.5)
    position = base + out * thickness
    if m.hat == "brimmed":  # a flat crown with a dent
        height = position[1]
        lifted = height + 0.16 * ramp(inside, 0.1, 0.6)
        position = torch.stack((position[0] * (1 - 0.06 * ramp(inside, 0, 0.5)), lifted, position[2]))
    return position, torch.stack(torch.broadcast_tensors(theta, y, inside)), inside


def brim_grid(m: Face) -> tuple[Tensor, Tensor] | None:
    """Hat's brim or peak: position and (theta, share of its breadth)."""
    if m.hat not in ("cap", "brimmed"):
        return None
    reach = math.radians(78) if m.hat == "cap" else math.pi
    theta = torch.linspace(-reach, reach, 121)[None, :]
    rho = torch.linspace(0, 1, 20)[:, None]
    y = hat_line(theta) + 0.012
    base, out = _scalp(theta, y, m)
    start = base + out * 0.07
    if m.hat == "cap":
        ease = (torch.cos(theta * (math.pi / 2 / reach))).clamp(min=0).sqrt()
        reach_out = 0.62 * ease * rho
        x = start[0] * (1 + 0.04 * rho)
        z = start[2] + reach_out
        height = start[1] - 0.24 * rho * ease - 0.1 * (start[0] / 0.75) ** 2 * rho
    else:
        reach_out = 0.42 * rho
        x = start[0] + reach_out * torch.sin(theta)
        z = start[2] + reach_out * torch.cos(theta)
        height = (
            start[1] - 0.1 * torch.sin(rho * 2.2) * (0.6 - 0.6 * torch.cos(2 * theta)) * -0.6 - 0.04 * rho
        )
    position = torch.stack(torch.broadcast_tensors(x, height, z))
    return position, torch.stack(torch.broadcast_tensors(theta, rho))


def ear_grid(m: Face, side: float) -> tuple[Tensor, Tensor]:
    """One ear (side -1 at the image's left): position and (angle, share of its radius)."""
    angle = torch.linspace(0, 2 * math.pi, 61)[None, :]
    rho = torch.linspace(0, 1, 26)[:, None]
    size = 1 + 0.2 * m.ear_size + 0.05 * (2 * m.male - 1) + 0.06 * m.old - 0.05 * m.child
    y0 = torch.tensor(-0.14)
    width, _, _, _ = section(y0, m)
    cos, sin = torch.cos(angle), torch.sin(angle)
    back = rho * cos * 0.165 * size * (1 + 0.25 * sin)  # egg: broad above, narrow lobe
    up = rho * sin * 0.29 * size
    stand = 0.14 + 0.11 * m.ear_protrusion
    behind = ((back / (0.165 * size)) + 0.75).clamp(min=0)
    rim = 0.035 * torch.exp(-(((rho - 0.9) / 0.12) ** 2)) * ramp(cos, -0.95, -0.3)
    bowl = -0.04 * bump(back, up, -0.02, -0.05, 0.07, 0.1) + 0.02 * bump(back, up, 0.02, 0.08, 0.03, 0.09)
    x = side * (width * 0.985 + 0.0 + stand * behind * 0.6 + rim + bowl)
    z = -0.08 - back + 0.12 * up
    height = (y0 + 0.02) * m.scale_low + up
    position = torch.stack(torch.broadcast_tensors(x, height, z))
    return position, torch.stack(torch.broadcast_tensors(angle, rho))


def glasses_grids(m: Face) -> list[tuple[Tensor, Tensor]]:
    """Frame of the glasses as tubes (two rims, two temples, a bridge): position and (part of the way, angle) each."""
    if m.glasses == "none":
        return []
    horn = m.glasses == "horn"
    tube = 0.03 if horn else 0.016
    half_x, half_y, power = (0.255, 0.18, 3.2) if horn else (0.235, 0.185, 2.2)
    ring = torch.linspace(0, 2 * math.pi, 73)
    cx = m.eye_x + 0.012
    cos, sin = torch.cos(ring), torch.sin(ring)
    rx = cx + half_x * cos.sign() * cos.abs().clamp(min=1e-6).pow(2 / power)
    ry = m.eye_y - 0.025 + half_y * sin.sign() * sin.abs().clamp(min=1e-6).pow(2 / power)
    lens_z = section(torch.tensor(m.eye_y), m)[1] + 0.05 * m.nose_bridge + 0.14

    def plane(x: Tensor) -> Tensor:
        return lens_z - 0.16 * (x / 0.6) ** 2

    hinge = cx + half_x
    beside = section(torch.tensor(0.04), m)[0] + 0.03
    t = torch.linspace(0, 1, 30)
    temple_x = hinge + (beside - hinge) * t.pow(0.5)
    temple_z = plane(torch.tensor(hinge)) * (1 - t) - 0.12 * t
    temple_y = torch.full_like(t, m.eye_y + 0.03)
    across = torch.linspace(-1, 1, 16)
    bridge = torch.stack(
        (
            across * (cx - half_x),
            m.eye_y + 0.03 + 0.035 * (1 - across**2),
            plane(across * (cx - half_x)) + 0.018,
        )
    )
    curves = [(bridge, tube)]
    for side in (-1.0, 1.0):
        curves.append((torch.stack((side * rx, ry, plane(rx))), tube))
        curves.append((torch.stack((side * temple_x, temple_y, temple_z)), tube * 0.9))
    return [_tube(curve, radius) for curve, radius in curves]


def _tube(curve: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Tube of a radius around a curve (3, k): position (3, 9, k) and (part of the way, angle) (2, 9, k)."""
    around = torch.linspace(0, -2 * math.pi, 9)[:, None]
    along = torch.gradient(curve, dim=1)[0]
    along = along / length(along).clamp(min=1e-6)
    level = torch.stack((along[1], -along[0], torch.zeros_like(along[0])))
    upright = torch.stack((torch.zeros_like(along[0]), along[2], -along[1]))
    one = torch.where(length(level) < 0.3, upright, level)
    one = one / length(one).clamp(min=1e-6)
    two = torch.linalg.cross(along, one, dim=0)
    position = curve[:, None] + radius * (torch.cos(around) * one[:, None] + torch.sin(around) * two[:, None])
    way = torch.linspace(0, 1, curve.shape[1])[None]
    return position, torch.stack(torch.broadcast_tensors(way, around))
