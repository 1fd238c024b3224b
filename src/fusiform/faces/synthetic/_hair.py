"""Hair of the head: a cap over the scalp that also falls over the forehead, and what hangs below it."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from fusiform.faces.synthetic._buffer import Camera, Shell
from fusiform.faces.synthetic._hair_field import (
    Flow,
    close,
    clumped,
    curly,
    flow,
    fringe,
    hanging,
    outward,
    ragged,
    rooted,
    styled,
    support,
)
from fusiform.faces.synthetic._hair_paint import paint_hair, paint_locks, paint_roots
from fusiform.faces.synthetic._hats import hat_line
from fusiform.faces.synthetic._math import bump, lerp, ramp, smooth_noise, span
from fusiform.faces.synthetic._measures import Measures

__all__ = ["hair_shells", "paint_hair", "paint_locks", "paint_roots"]

_CROWN = 1.1
_JOINT = -0.2  # below it, what hangs is a shell of its own, as it can be seen from within
_HANGS = 0.34  # length from which on hair hangs


@lru_cache(maxsize=4)
def _cap(device: torch.device) -> tuple[Tensor, Tensor]:
    """Azimuths (1, 1, columns) and chart heights (1, rows, 1) of the cap."""
    front = span(-1.3, 1.3, 75)
    side = span(1.3, math.pi, 23)[1:]
    low = span(-0.78, 0.2, 20)
    high = 0.2 + (_CROWN - 0.2) * span(0, math.pi / 2 - 0.01, 42).sin()[1:]
    theta = torch.cat((-side.flip(0), front, side))
    return theta.to(device)[None, None], torch.cat((low, high)).to(device)[None, :, None]


@lru_cache(maxsize=4)
def _curtain(device: torch.device) -> tuple[Tensor, Tensor]:
    """Azimuths and chart heights of what hangs, from one side of the face round the back to the other."""
    y = torch.cat((span(-2.4, -1.3, 14), span(-1.3, _JOINT + 0.03, 28)[1:]))
    return span(0.75, 2 * math.pi - 0.75, 81, device)[None, None], y.to(device)[None, :, None]


def _thickness(theta: Tensor, y: Tensor, inside: Tensor, f: Flow, m: Measures) -> tuple[Tensor, Tensor]:
    """How far hair stands off the head; and its relief about 1."""
    length, curl = m.hair_length, curly(m)
    body = (1 + 0.4 * m.hair_volume) * (1 - 0.25 * m.old.clamp_max(1)) * (1 - 0.2 * m.child)
    top = 0.01 + (0.15 - 0.02 * m.male) * ramp(length, 0.06, 0.34) + 0.03 * ramp(length, 0.3, 0.7)
    side = 0.008 + (0.055 - 0.022 * m.male) * ramp(length, 0.07, 0.3) + 0.075 * ramp(length, 0.32, 0.65)
    afro = curl * ramp(length, 0.08, 0.6) * (0.26 - 0.06 * ramp(length, 0.6, 1.0))
    full = (
        lerp(side, top, ramp(y, 0.15, 0.72))
        + afro
        + 0.04 * ramp(m.hair_wave, 0.2, 0.6) * ramp(length, 0.2, 0.5)
    )
    # Hair of men rises from the forehead.
    full = full + 0.05 * ramp(length, 0.15, 0.3) * (1 - ramp(m.bangs, 0.05, 0.3)) * bump(
        theta, y, 0.25 * m.hair_part, 0.82, 0.6, 0.2
    )
    full = full * body * (1 - 0.4 * ramp(m.hair_recession, 0.3, 0.7))
    parted = styled(m) * ramp(y, 0.45, 0.7)
    full = full * (1 - 0.28 * parted * ramp(f.apart, 0.16, 0.0))
    heavy = outward(theta, y)[0] * m.hair_part * styled(m)
    full = full * (1 - 0.12 * heavy)
    # Below the ears locks widen, then taper to their ends.
    full = full + 0.05 * ramp(y, 0.1, -0.9) * ramp(length, 0.4, 0.7) * (1 + 0.6 * m.hair_volume)
    off_parting = ramp(f.apart, 0.0, 0.25)
    full = full + 0.035 * off_parting * ramp(length, 0.4, 0.7) * smooth_noise(
        f.lane_x * 2.2 + 1.3 * f.along, f.lane_z * 2.2, 75
    )
    # Short hair lies close at the nape.
    full = full * (1 - 0.7 * ramp(y, 0.0, -0.45) * ramp(length, 0.55, 0.42))
    # It covers the ears.
    full = full + 0.1 * ramp(length, 0.38, 0.5) * bump(theta.abs(), y, 1.72, -0.05, 0.4, 0.36)
    reach = (
        0.2
        + 0.1 * styled(m) * ramp(y, 0.3, 0.6)
        - 0.1 * torch.maximum(0.2 * curl * ramp(y, -0.2, 0.2), ramp(m.bangs, 0.1, 0.4))
    )
    reach = reach + 0.2 * ramp(m.hair_recession, 0.3, 0.7)
    t = (inside / reach).clamp(0, 1)
    rounded = (t * (2 - t)).clamp_min(0)
    locks = smooth_noise(f.lane_x * 4.2, f.lane_z * 4.2 + 0.35 * f.along, 73)
    strands = smooth_noise(f.lane_x * 11 + 0.4 * f.along, f.lane_z * 11, 74)
    tousled = ramp(f.apart, 0.0, 0.2) * (1 + ramp(length, 0.12, 0.22) * ramp(length, 0.55, 0.4))
    straight = (0.13 * locks + 0.12 * strands) * tousled
    wavy = ramp(m.hair_wave, 0.12, 0.55)
    together = clumped(f.lane_x, f.lane_z)
    straight = (
        straight * (1 + 0.5 * wavy)
        + 0.1 * wavy * off_parting * (f.along * (8 + 6 * m.hair_wave) + together + 1.2).sin()
    )
    if float(curl.max()) > 0:
        cells = smooth_noise(theta * 7 + 3 + 0.5 * strands, y * 7 + 0.5 * locks, 76)
        cells = cells + 0.55 * smooth_noise(theta * 14 + locks, y * 13 + 9 + strands, 77)
        straight = lerp(straight, 0.19 * cells, curl)
    relief = 1 + straight * (0.35 + 0.65 * t) * ramp(length, -0.1, 0.25)
    return 0.004 + full * rounded * relief, relief


def _shape(theta: Tensor, y: Tensor, m: Measures) -> tuple[Tensor, Tensor, Tensor]:
    """Position, surface coordinates and where hair exists, on a grid; measures (n, 1, 1)."""
    round_ = torch.where(theta > math.pi, theta - 2 * math.pi, theta)
    base = support(theta, y, m, ramp(m.hair_length, 0.34, 0.52))
    f = flow(base[0], base[1], base[2], m)
    root = rooted(round_, y, m)
    hung = hanging(round_, y, m)
    over = fringe(round_, y, m)
    rough = ragged(f.lane_x, f.lane_z, y)
    curl = curly(m)
    if float(curl.max()) > 0:
        rings = 0.65 * smooth_noise(round_ * 4.5, y * 4.5, 78) + 0.35 * smooth_noise(round_ * 9, y * 9, 79)
        rough = lerp(rough, 1.2 * rings, curl)
    grown = ramp(m.hair_length, 0.1, 0.25) * ramp(m.hair_recession, 0.3, 0.1)
    fuzz = root + 0.06 * curl * grown * (0.9 + rough) - 0.3 * (1 - grown)
    loose = torch.maximum(
        hung + (0.05 + 0.03 * curl) * rough, over + (0.035 + 0.075 * ramp(m.bangs, 0.0, 0.5)) * rough
    )
    corner = (0.06 + 0.06 * curl) * close(root - loose)
    loose = torch.maximum(loose, fuzz)
    inside = torch.maximum(root, loose) + corner
    keep = torch.maximum(
        root - 0.012 - 0.05 * ramp(m.hair_recession, 0.4, 0.9) + 0.02 * rough, loose + 0.01 + 0.02 * curl
    )
    keep = keep + corner
    if float(m.hat_none.min()) < 1:
        above = y - hat_line(round_, m)
        pressed = (1 - m.hat_none) * ramp(above, -0.32, -0.02)
        keep = torch.minimum(keep, 0.12 - above + 9 * m.hat_none)
    else:
        pressed = torch.zeros_like(m.yaw)
    thick, relief = _thickness(round_, y, inside, f, m)
    lying = ramp(over, -0.02, 0.06) * ramp(root, 0.06, -0.06) * ramp(round_.abs(), 1.2, 0.9)
    thick = thick + lying * (0.035 + 0.03 * ramp(y, 0.7, 0.35))
    thick = lerp(thick, thick.clamp_max(0.025), pressed)
    out = outward(round_, y)
    position = torch.stack([b + thick * o for b, o in zip(base, out, strict=True)])
    shape = position.shape[1:]
    channels = (root, loose - root, relief, y, position[0], position[1], position[2])
    return position, torch.stack([c.expand(shape) for c in channels]), keep.expand(shape)


def hair_shells(m: Measures) -> list[Shell]:
    """Cap ("hair") of the faces that have hair, and what hangs ("locks") where it is long enough."""
    shells = []
    long = m.hair_length > _HANGS
    for name, grid, has in (("hair", _cap, m.has_hair), ("locks", _curtain, m.has_hair & long)):
        faces = has[:, 0].nonzero()[:, 0]
        if len(faces):
            theta, y = grid(m.yaw.device)
            deep = m.over_grids(faces)
            position, uv, keep = _shape(theta, y, deep)
            if name == "hair":
                keep = torch.where(long[faces][..., None] & (y < _JOINT), -1.0, keep)
                # The far side of the head is behind the head.
                out, view = outward(theta, y), Camera(deep, 1, 1.0).head[2]
                seen = out[0] * view[0] + out[1] * view[1] + out[2] * view[2]
                keep = torch.minimum(keep, seen + 0.4)
            shells.append(Shell(name, position, uv, faces, keep))
    return shells
