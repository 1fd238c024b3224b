"""Where hair grows on the scalp, how far it reaches, and which way its strands run."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from fusiform.faces.synthetic._math import bump, lerp, positive, ramp, smooth_noise
from fusiform.faces.synthetic._measures import Measures
from fusiform.faces.synthetic._surface import head_points

__all__ = [
    "Flow",
    "close",
    "clumped",
    "curly",
    "flow",
    "fringe",
    "hanging",
    "kept",
    "outward",
    "ragged",
    "rooted",
    "styled",
    "support",
]

_AROUND = 0.7  # dm from the parting at which strands are told apart


class Flow(NamedTuple):
    """Strands at some points, each ``(n, ...)``.

    Attributes
    ----------
    lane_x, lane_z : Tensor
        What is the same along a strand, dm.
    along : Tensor
        Way from the root, dm.
    right, front : Tensor
        Unit direction in which a strand leaves the parting, seen from above.
    apart : Tensor
        Distance from the parting, seen from above, dm.
    """

    lane_x: Tensor
    lane_z: Tensor
    along: Tensor
    right: Tensor
    front: Tensor
    apart: Tensor


def curly(m: Measures) -> Tensor:
    """How much hair stands in curls instead of lying in strands, 0 to 1."""
    return ramp(m.hair_wave, 0.55, 0.95)


def styled(m: Measures) -> Tensor:
    """How plainly hair is parted, 0 to 1."""
    short = ramp(m.hair_part.abs(), 0.1, 0.4) * ramp(m.hair_length, 0.14, 0.26)
    long = ramp(m.hair_length, 0.4, 0.6)
    straight = (1 - curly(m)) * ramp(m.hair_recession, 0.55, 0.3)
    return torch.maximum(short, long) * straight * (1 - 0.85 * ramp(m.bangs, 0.15, 0.5))


def clumped(lane_x: Tensor, lane_z: Tensor) -> Tensor:
    """Phase of waves, which differs from lock to lock."""
    return 2.6 * (lane_x * 4.3 + 1).sin() + 2.6 * (lane_z * 4.7).sin()


def support(theta: Tensor, y: Tensor, deep: Measures, hang: Tensor | float = 0.0) -> Tensor:
    """The smooth head (3, n, rows, columns) on which hair and hats sit; hanging, straight down where it narrows.

    ``deep`` are measures as columns ``(n, 1, 1)``.
    """
    held = y + hang * positive(-0.12 - y)
    x, height, z = head_points(theta, held, deep, relief=False)[0]
    lower = (y - held) * deep.scale_low
    behind = ramp(theta.cos(), 0.1, -0.8)
    z = z + 0.2 * behind * ramp(-lower, 0.0, 0.5)
    return torch.stack((x, height + lower, z))


def outward(theta: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Direction off the support."""
    rise = ((y - 0.12) * (1 / 0.98)).clamp(0, 1) * (math.pi / 2)
    level = rise.cos()
    return theta.sin() * level, rise.sin(), theta.cos() * level


def flow(x: Tensor, y: Tensor, z: Tensor, m: Measures) -> Flow:
    """Strands at points of the head's frame: rays from the parting, seen from above, that then fall."""
    parted = styled(m)
    from_x = 0.06 + (0.3 * m.hair_part - 0.06) * parted
    to_x = 0.1 * m.hair_part + 0.2 * m.hair_part * parted
    to_z = -0.05 + (0.6 + 0.45 * ramp(m.hair_length, 0.3, 0.6)) * parted
    way_x, way_z = to_x - from_x, to_z + 0.42
    dx, dz = x - from_x, z + 0.42
    share = ((dx * way_x + dz * way_z) / (way_x * way_x + way_z * way_z)).clamp(0, 1)
    dx, dz = dx - share * way_x, dz - share * way_z
    apart = (dx * dx + dz * dz + 1e-6).sqrt()
    right, front = dx / apart, dz / apart
    lane_x = from_x + share * way_x + _AROUND * right
    lane_z = share * way_z + _AROUND * front
    along = 0.8 * apart - y
    # Waves carry strands to and fro across their fall; neighbours go together.
    together = clumped(lane_x, lane_z)
    wave = ramp(m.hair_wave, 0.08, 0.6)
    swing = (
        (0.08 - 0.03 * m.hair_wave)
        * wave
        * (along * (8 + 6 * m.hair_wave) + together).sin()
        * ramp(along, -0.9, -0.2)
    )
    swing = swing + 0.03 * (along * 2.6 + 0.7 * together).sin()
    return Flow(lane_x - front * swing, lane_z + right * swing, along, right, front, apart)


def _step(x: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Smooth step from 0 at low to 1 at high, and its slope."""
    t = ((x - low) * (1 / (high - low))).clamp(0, 1)
    return t * t * (3 - 2 * t), t * (1 - t) * (6 / (high - low))


def rooted(theta: Tensor, y: Tensor, m: Measures) -> Tensor:
    """Distance from the hairline in dm, positive where hair grows; theta and chart height as on the head."""
    a = theta.abs()
    grown = 1 - 0.5 * m.child
    front = 0.655 + 0.06 * m.hairline + 0.03 * m.male * grown - 0.02 * (1 - m.male)
    peak = 0.06 * m.hairline_peak.clamp_min(-0.2)
    corner = (0.025 + 0.045 * m.male * grown) * ramp(a, 0.18, 0.62)
    u = theta * (1 / 0.17)
    front = front + corner - peak * (-(u * u)).exp()
    sideburn = 0.06 + (0.1 + 0.14 * m.male * (1 - m.child)) * ramp(m.hair_length, 0.0, 0.2)
    fall, fall_slope = _step(a, 0.58, 1.2)
    burn, burn_slope = _step(a, 1.08, 1.5)
    over, over_slope = _step(a, 1.48, 1.62)
    nape, nape_slope = _step(a, 1.95, 2.5)
    edge = front + (0.13 - front) * fall - sideburn * burn + (sideburn + 0.02) * over - 0.76 * nape
    # A distance across the edge rather than along the height.
    slope = (
        (0.13 - front) * fall_slope
        - sideburn * burn_slope
        + (sideburn + 0.02) * over_slope
        - 0.76 * nape_slope
    )
    slope = slope * (1 / 0.75)
    grows, stays = (y - edge) / (1 + slope * slope).sqrt(), kept(theta, y, m)
    blunt = 0.08 * ramp(m.hair_recession, 0.3, 0.6)
    return torch.minimum(grows, stays) - blunt * close(grows - stays)


def kept(theta: Tensor, y: Tensor, m: Measures) -> Tensor:
    """Distance from where hair is lost: from the temples, then from the front and the crown down to a horseshoe."""
    r = m.hair_recession
    rise = ((y - 0.2) * (1 / 0.9)).clamp(0, 1)
    level = (1 - rise * rise).clamp_min(0).sqrt()
    across, front = theta.sin().abs() * level, theta.cos() * level
    line = (
        1.34
        - 1.1 * r
        - 1.6 * ramp(r, 0.46, 0.76)
        - 0.6 * ramp(r, 0.05, 0.5) * ramp(r, 0.66, 0.5) * bump(across, across, 0.5, 0.5, 0.24, 0.24)
    )
    side = (0.62 - 0.75 * theta.cos()).clamp_max(0.74) - 0.08 * ramp(r, 0.5, 1.0)
    return torch.maximum((line - front) * 0.75, (side - y) * 0.9)


def hanging(theta: Tensor, y: Tensor, m: Measures) -> Tensor:
    """Distance from the edge of hair that falls from the parting over the temples, beside the face, down the neck."""
    a = theta.abs()
    length = m.hair_length
    heavy = 0.12 * (1 - curly(m)) * m.hair_part * theta.sign()  # one side falls farther into the face
    strand = 0.03 * (y * 4.4 + 3 * theta.sign() + 4 * m.hair_part).sin()
    strand = strand * ramp(y, 0.2, -0.4) + 0.015 * (y * 13 + 5 * m.hair_part).sin()
    begin = 1.1 + heavy - 0.1 * ramp(length, 0.45, 0.7) + strand + 0.12 * m.male
    begin = (
        begin
        - (0.72 - 0.42 * curly(m) + 0.6 * heavy) * ramp(y, -0.05 - 0.35 * curly(m), 0.78)
        - 0.05 * ramp(y, -0.2, -0.8)
    )
    bottom = 0.2 - 3.4 * positive(length - 0.32) - 5.2 * positive(length - 0.62)
    bottom = bottom - 0.12 * ramp(a, 1.3, 3.0) + 0.4 * ramp(length, 0.58, 0.4) * ramp(a, 1.75, 1.1)
    inwards, up = (a - begin) * 0.72, (y - bottom) * 0.8
    hung = torch.minimum(inwards, up) - 0.06 * close(inwards - up)
    return torch.minimum(hung, kept(theta, y, m)) - 0.3 * ramp(length, 0.36, 0.26)


def fringe(theta: Tensor, y: Tensor, m: Measures) -> Tensor:
    """Distance from the lower edge of hair that falls over the forehead, positive within."""
    a = theta.abs()
    sweep = theta * m.hair_part.clamp(-0.8, 0.8)
    top = 0.72 + 0.05 * m.hairline
    low = m.brow_y + 0.085 + 0.1 * sweep + 0.05 * theta * theta
    share = ramp(m.bangs, 0.03, 0.95) * ramp(m.hair_length, 0.08, 0.3)
    edge = lerp(top, low, share) - 0.42 * share * ramp(a, 0.72, 1.12) + 1.4 * ramp(a, 1.25, 1.6)
    none = ramp(m.bangs, 0.12, 0.02) + ramp(m.hair_length, 0.22, 0.14) + ramp(m.hair_recession, 0.42, 0.6)
    return (y - edge) * 0.9 - 0.5 * none


def close(difference: Tensor) -> Tensor:
    """How nearly two distances agree, 0 to 1: rounds the corner where the edges of two regions meet."""
    near = positive(1 - difference.abs() * (1 / 0.2))
    return near * near


def ragged(lane_x: Tensor, lane_z: Tensor, y: Tensor) -> Tensor:
    """Irregular ends of locks and strands about 0, within [-1, 1]."""
    locks = smooth_noise(lane_x * 8.5 + 0.7 * y, lane_z * 8.5 + 40, 71)
    strands = smooth_noise(lane_x * 22 + y, lane_z * 22 + 90, 72)
    return 0.6 * locks + 0.4 * strands
