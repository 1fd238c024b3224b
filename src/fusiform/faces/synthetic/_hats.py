"""Hats: a knitted beanie, a cap with a peak, a hat with a brim; a crown and, of two of them, what shades the face."""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from fusiform.faces.synthetic._buffer import Shell, length
from fusiform.faces.synthetic._colour import Paint, hue_colour
from fusiform.faces.synthetic._hair_field import outward, support
from fusiform.faces.synthetic._math import bump, lerp, positive, ramp, smooth_noise, span
from fusiform.faces.synthetic._measures import Measures
from fusiform.faces.synthetic._parts import BITS

__all__ = ["hat_line", "hat_shells", "paint_brim", "paint_hat"]

_CROWN = 1.1
_RIM = 0.94  # of the way to its edge at which a brim turns down
_PEAK = math.radians(78)  # half the angle over which a cap's peak is sewn on


def hat_line(theta: Tensor, m: Measures) -> Tensor:
    """Chart height of a hat's lower edge."""
    front = theta.cos()
    beanie = 0.2 + 0.22 * front + 0.012 * (theta * 5).sin()
    cap = 0.22 + 0.23 * front
    brimmed = 0.25 + 0.17 * front
    return m.hat_beanie * beanie + m.hat_cap * cap + m.hat_brimmed * brimmed


@lru_cache(maxsize=4)
def _crown_grid(device: torch.device) -> tuple[Tensor, Tensor]:
    """Azimuths (1, columns) and the way from the edge to the top (rows, 1)."""
    return span(-math.pi, math.pi, 121, device)[None], span(0, 1, 64, device)[:, None]


def _beanie(theta: Tensor, way: Tensor, line: Tensor, m: Measures) -> Tensor:
    y = line + (_CROWN - line) * (way * (math.pi / 2 - 0.02)).sin()
    above = way * 1.25
    cuff = ramp(above, 0.0, 0.025) * ramp(above, 0.33, 0.29)
    slack = 0.1 * bump(theta, way, 2.6, 0.8, 1.6, 0.3) + 0.025 * smooth_noise(
        theta * 2.2, way * 5, 91
    ) * ramp(way, 0.25, 0.5)
    thick = 0.05 + 0.055 * cuff + 0.13 * ramp(way, 0.3, 1.0) + slack
    base, out = support(theta, y, m), outward(theta, y)
    return torch.stack([b + thick * o for b, o in zip(base, out, strict=True)])


def _cap(theta: Tensor, way: Tensor, line: Tensor, m: Measures) -> Tensor:
    y = line + (_CROWN - line) * (way * (math.pi / 2 - 0.02)).sin()
    panel = 0.07 * bump(theta, way, 0.0, 0.45, 0.9, 0.4)
    seam = (theta * 3).sin().abs()
    thick = (
        0.05 + 0.075 * ramp(way, 0.0, 0.6) + panel - 0.008 * (1 - ramp(seam, 0.0, 0.15)) * ramp(way, 1.0, 0.8)
    )
    button = ramp(way, 0.965, 0.98)
    base, out = support(theta, y, m), outward(theta, y)
    return torch.stack([b + (thick + 0.025 * button) * o for b, o in zip(base, out, strict=True)])


def _brimmed(theta: Tensor, way: Tensor, line: Tensor, m: Measures) -> Tensor:
    """Steep walls, an edge, and a top with a dent from front to back, pinched in front."""
    base = support(theta, line + 0.0 * way, m)
    wall = ramp(way, 0.0, 0.62)
    close = ramp(way, 0.5, 1.0)
    inward = (1 - 0.11 * wall) * (1 - close)
    middle = -0.1
    x = base[0] * 1.09 * inward
    z = middle + (base[2] - middle) * 1.08 * inward
    front = ramp(z, 0.0, 0.6)
    x = x * (1 - 0.3 * front * wall)
    top = _CROWN * m.scale_high + 0.15 + 0.06 * ramp(z, -0.5, 0.5)
    height = base[1] + (top - base[1]) * (way * (1 / 0.62)).clamp(0, 1)
    dent = (x * (1 / 0.2)).square()
    height = height - 0.11 * (-dent).exp() * ramp(way, 0.5, 0.75) * ramp(z, -0.95, -0.5)
    return torch.stack((x, height, z))


def _crowns(m: Measures) -> list[Shell]:
    theta, way = _crown_grid(m.yaw.device)
    found = []
    shapes: dict[str, Callable[[Tensor, Tensor, Tensor, Measures], Tensor]] = {
        "hat_beanie": _beanie, "hat_cap": _cap, "hat_brimmed": _brimmed,
    }  # fmt: skip
    for kind, shape in shapes.items():
        faces = (getattr(m, kind)[:, 0] > 0).nonzero()[:, 0]
        if len(faces):
            deep = _deep(m, faces)
            position = shape(theta[None], way[None], hat_line(theta[None], deep), deep)
            uv = torch.stack(torch.broadcast_tensors(theta, way)).expand(len(faces), -1, -1, -1).movedim(0, 1)
            found.append((position, uv, faces))
    return _together("hat", found)


def _brims(m: Measures) -> list[Shell]:
    device = m.yaw.device
    across = span(-1, 1, 121, device)[None, None]
    way = torch.cat((span(0, _RIM, 20, device), span(_RIM, 1, 5, device)[1:]))[None, :, None]
    out = way.clamp_max(_RIM) + 0.4 * positive(way - _RIM)
    turned = 0.045 * ramp(way, _RIM, 1.0)
    found = []
    for kind, reach in (("hat_cap", _PEAK), ("hat_brimmed", math.pi)):
        faces = (getattr(m, kind)[:, 0] > 0).nonzero()[:, 0]
        if not len(faces):
            continue
        deep = _deep(m, faces)
        theta = across * reach
        y = hat_line(theta, deep) + 0.02 + 0.02 * deep.hat_cap
        x, height, z = support(theta, y, deep)
        if kind == "hat_cap":
            round_ = positive((across * (math.pi / 2)).cos()).sqrt()
            ease = 0.4 * round_ + 0.6 * round_.sqrt()
            x, z = x * (1 + 0.06 * out * ease) + 0.05 * theta.sin(), z + 0.01 + 0.6 * ease * out
            height = height - 0.13 * way * ease * way - 0.05 * way * ease - 0.16 * x * x * way
            height = height - 0.6 * turned * ease
        else:
            out = 0.05 + 0.43 * out
            side = theta.sin() * theta.sin()
            x, z = x * 1.02 + out * theta.sin() * (1 - 0.1 * side), z + out * theta.cos()
            height = height + 0.12 * side * way * way - 0.1 * (1 - side) * way - turned
        position = torch.stack(torch.broadcast_tensors(x, height, z))
        uv = torch.stack([c.expand(position.shape[1:]) for c in (theta, way)])
        found.append((position, uv, faces))
    return _together("brim", found)


def _deep(m: Measures, faces: Tensor) -> Measures:
    return m.over_grids(faces)


def _together(name: str, found: list[tuple[Tensor, Tensor, Tensor]]) -> list[Shell]:
    """One shell of several kinds of hat, their faces in ascending order."""
    if not found:
        return []
    faces, order = torch.cat([f for _, _, f in found]).sort()
    position, uv = (torch.cat([one[i] for one in found], 1)[:, order] for i in (0, 1))
    return [Shell(name, position, uv, faces)]


def hat_shells(m: Measures) -> list[Shell]:
    """Crown ("hat") and brim or peak ("brim") of the faces that wear a hat."""
    return _crowns(m) + _brims(m)


def _cloth(m: Measures) -> Tensor:
    """Linear colour (3, n, 1) of a hat."""
    return hue_colour(m.hat_hue, 0.3 + 0.06 * m.hat_cap - 0.06 * m.hat_brimmed, 0.42 - 0.14 * m.hat_brimmed)


def paint_hat(uv: Tensor, n: Tensor, m: Measures) -> Paint:
    """Look of a crown: ribs and a cuff of knit, panels, seams and a button, felt with a band.

    Parameters
    ----------
    uv : Tensor
        Azimuth and the way from the edge to the top, ``(2, n, k)``.
    n : Tensor
        Unit normals in the camera's frame, ``(3, n, k)``; ribs and seams are added in place.
    m : Measures
        Of n faces.

    Returns
    -------
    Paint
    """
    theta, way = uv
    cuff = ramp(way, 0.265, 0.235)
    rib_phase = theta * lerp(54.0, 40.0, cuff)
    rib, slope = rib_phase.cos(), rib_phase.sin()
    stitch = (way * 190 + 1.5 * (rib_phase * 2).sin()).sin()
    weave = smooth_noise(theta * 60, way * 90, 92)
    fold = bump(way, way, 0.25, 0.25, 0.02, 0.02)
    knit = (0.86 + 0.2 * rib + 0.07 * stitch) * (1 - 0.5 * fold) * (1 + 0.05 * weave)
    seams = (theta * 3).sin().abs()
    u, v = (seams - 0.1) * (1 / 0.03), way * (1 / 0.05)
    panels = (
        (1 - 0.3 * ramp(seams, 0.05, 0.0))
        * (1 - 0.1 * (-(u * u)).exp())
        * (1 - 0.2 * (-(v * v)).exp())
        * (1 + 0.05 * weave)
    )
    band = ramp(way, 0.2, 0.19)
    felt = (1 + 0.06 * weave) * (1 - 0.68 * band)
    tone = m.hat_beanie * knit + m.hat_cap * panels + m.hat_brimmed * felt
    n[0] += (
        m.hat_beanie * 0.35 * slope
        + m.hat_cap * 0.35 * ramp(seams, 0.06, 0.0) * (theta * 3).sin().sign() * (theta * 3).cos()
    )
    n[1] += 0.12 * m.hat_beanie * stitch
    n /= length(n).clamp_min(1e-6)
    dim = 1 - m.hat_beanie * (0.25 * (0.5 - 0.5 * rib) + 0.3 * fold) - 0.15 * ramp(way, 0.06, 0.0)
    parts = torch.full_like(theta, BITS["hat"], dtype=torch.int64)
    return Paint(_cloth(m) * tone, parts, 0.02 * m.hat_brimmed * band + torch.zeros_like(theta), dim)


def paint_brim(uv: Tensor, n: Tensor, m: Measures) -> Paint:
    """Look of a peak or a brim, above and beneath; rows of stitches along the peak's edge."""
    theta, way = uv
    weave = smooth_noise(theta * 60, way * 30, 93)
    rows = ramp((way * 44).cos(), 0.7, 1.0) * m.hat_cap
    u = (way - 0.97) * (1 / 0.03)
    rim = (-(u * u)).exp()
    tone = (1 + 0.05 * weave) * (0.95 - 0.14 * rows) * (1 - 0.2 * rim)
    beneath = ramp(n[1], 0.05, -0.1)
    parts = torch.full_like(theta, BITS["hat"], dtype=torch.int64)
    return Paint(_cloth(m) * tone, parts, torch.zeros_like(theta), 1 - 0.5 * beneath)
