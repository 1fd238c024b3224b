"""The head and neck as stacks of horizontal sections, displaced by features.

A surface point is named by ``(theta, y)``: the azimuth (0 is the front, positive to the right of the image) and the
height on the chart. The *chart* of the face is ``(cx, cy)``: the section's half width times sin(theta), and y. All
features are drawn and displaced in chart coordinates, and ``theta = asin(cx / width(cy))`` leads back, which makes
landmarks exact.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from fusiform.faces.synthetic._anatomy import Face, bump, lid_curves, lip_curves, ramp

__all__ = ["beard_density", "face_theta", "head_grid", "head_points", "neck_points", "section", "theta_grid"]

# Knots every 0.15 dm from the chin's underside (-1.2) to the crown (1.2).
_Y0, _DY = -1.2, 0.15
_WIDTH = (.31, .39, .485, .565, .622, .66, .688, .706, .716, .726, .74, .752, .76, .765, .765, .765, .765)  # fmt: skip
_FRONT = (.80, .865, .865, .88, .90, .905, .905, .89, .885, .90, .925, .93, .93, .93, .93, .93, .93)  # fmt: skip
_MIDDLE = (.50, .45, .38, .29, .20, .12, .06, .03, .0, .0, .0, -.03, -.05, -.07, -.1, -.1, -.1)  # fmt: skip
_BACK = (.36, .28, .15, -.05, -.3, -.5, -.65, -.78, -.88, -.95, -1., -1.02, -1.03, -1.03, -1.03, -1.03, -1.03)  # fmt: skip
_SIDE, _BROW_TOP = 1.55, 0.5  # features stand out of the face up to this azimuth and height
_CROWN_FROM, _CROWN, _CHIN, _CHIN_CLOSE = 0.25, 1.08, -1.2, 0.19


@lru_cache(maxsize=4)
def _knots() -> Tensor:
    return torch.tensor([_WIDTH, _FRONT, _MIDDLE, _BACK], dtype=torch.float32)


def _catmull_rom(y: Tensor, knots: Tensor) -> Tensor:
    """Smooth curves through evenly spaced knots: (k, n) at y of any shape -> (k, *shape)."""
    last = knots.shape[1] - 1
    position = ((y - _Y0) / _DY).clamp(0, last - 1e-4)
    i = position.floor()
    f = position - i
    i = i.long()
    a, b = knots[:, (i - 1).clamp(min=0)], knots[:, i]
    c, d = knots[:, i + 1], knots[:, (i + 2).clamp(max=last)]
    return b + 0.5 * f * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a)))


def section(y: Tensor, m: Face) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Half width, front, middle and back of the head's section at chart height y, closed at chin and crown."""
    width, front, middle, back = _catmull_rom(y, _knots())
    s = 2 * m.male - 1
    low = ramp(y, -0.3, -0.75)
    width = width + low * (0.055 * m.jaw_width + 0.032 * s + 0.015 * m.old + 0.02 * m.cheek_fullness)
    width = width + 0.035 * m.cheekbone_width * torch.exp(-(((y + 0.2) / 0.22) ** 2))
    width = width + 0.03 * m.cheek_fullness * torch.exp(-(((y + 0.5) / 0.2) ** 2))
    width = width + ramp(y, -0.85, -1.1) * (0.07 * m.chin_width + 0.03 * s)
    width = width * m.scale_x
    front = front - 0.07 * (m.forehead_slope + 0.35 * s) * ramp(y, 0.3, 0.95)
    front = front + 0.055 * (m.chin_protrusion + 0.25 * s) * ramp(y, -0.8, -1.05)
    top = ((y - _CROWN_FROM) / (_CROWN - _CROWN_FROM)).clamp(0, 1)
    bottom = ((y - _CHIN) / _CHIN_CLOSE).clamp(0, 1)
    close = (1 - top.pow(2.25)).clamp(min=1e-6).pow(1 / 2.25) * (bottom * (2 - bottom)).clamp(min=1e-6).sqrt()
    return width * close, middle + (front - middle) * close, middle, middle + (back - middle) * close


def face_theta(cx: Tensor, cy: Tensor, m: Face) -> Tensor:
    """Azimuth of the chart point (cx, cy) on the front of the head."""
    return torch.asin((cx / section(cy, m)[0]).clamp(-1, 1))


def beard_density(cx: Tensor, cy: Tensor, theta: Tensor, m: Face) -> Tensor:
    """How densely the asked kind of beard grows at a chart point, 0 to 1."""
    ax = cx.abs()
    top, _, _, bottom = lip_curves((cx / m.mouth_w).clamp(-1, 1), m)
    off_lips = (ramp(cy, top - 0.005, top + 0.02) + ramp(cy, bottom + 0.005, bottom - 0.025)).clamp(max=1)
    off_lips = torch.maximum(off_lips, ramp(ax, m.mouth_w * 0.97, m.mouth_w + 0.03))
    zero = torch.zeros_like(cx)
    out = zero
    if m.beard in ("stubble", "full"):
        line = m.mouth_y + 0.12 + (m.nose_y + 0.42 - m.mouth_y) * ramp(ax, 0.3, 0.66)
        jaw = ramp(cy, line + 0.05, line - 0.07) * ramp(theta.abs(), 1.75, 1.5)
        jaw = jaw * (1 - 0.75 * bump(ax, cy, 0.13, m.mouth_y - 0.15, 0.07, 0.06))
        out = jaw
    if m.beard in ("stubble", "full", "mustache", "circle"):
        droop = m.mouth_w * 1.12
        upper = m.nose_y - 0.035 - 0.13 * (ax / droop) ** 2
        lip = ramp(cy, upper + 0.02, upper - 0.03) * ramp(ax, droop, droop - 0.08)
        lip = lip * ramp(cy, m.mouth_y + m.corner - 0.09, m.mouth_y + m.corner - 0.03)
        out = torch.maximum(out, lip)
    if m.beard in ("goatee", "circle"):
        half = 0.215 + (0.03 if m.beard == "circle" else 0.0)
        chin = ramp(ax, half + 0.03, half - 0.04) * ramp(cy, bottom - 0.03, bottom - 0.08)
        chin = torch.maximum(chin, 0.9 * ramp(ax, 0.07, 0.03) * ramp(cy, bottom - 0.01, bottom - 0.03))
        out = torch.maximum(out, chin * ramp(cy, m.mouth_y, m.mouth_y - 0.06))
    if m.beard == "circle":
        side = torch.exp(-(((ax - m.mouth_w - 0.035) / 0.035) ** 2))
        out = torch.maximum(out, side * ramp(cy, m.mouth_y + 0.1, m.mouth_y) * ramp(cy, -1.1, -1.0))
    return out * off_lips


def _nose(cx: Tensor, cy: Tensor, m: Face) -> Tensor:
    ax = cx.abs()
    down = ((0.1 - cy) / (0.1 - m.tip_y)).clamp(0, 1)  # 0 at the root, 1 at the tip
    ridge = m.nose_z * (0.1 + 0.9 * down.pow(1.25)) + 0.05 * m.nose_bridge * torch.sin(math.pi * down)
    ridge = ridge * ramp(cy, 0.2, 0.02)
    under = ramp(cy, m.nose_y - 0.05, m.tip_y + 0.03)
    half = m.bridge_w + (m.tip_w * 1.25 - m.bridge_w) * ramp(down, 0.35, 1.0)
    body = ridge * torch.exp(-((ax / half) ** 2)) * under
    ala_x, ala_y = m.nose_w * 0.78, m.nose_y + 0.065
    ala = 0.085 * (1 + 0.3 * m.nose_width) * bump(ax, cy, ala_x, ala_y, m.nose_w * 0.42, 0.062)
    ball = 0.035 * (1 + 0.8 * m.nose_tip) * bump(cx, cy, 0, m.tip_y, 0.09, 0.08)
    flank = (
        0.05 * torch.exp(-((ax / (m.nose_w * 1.15)) ** 2)) * ramp(cy, m.nose_y - 0.05, m.nose_y + 0.1) * down
    )
    return body + ala + ball + flank


def _mouth(cx: Tensor, cy: Tensor, m: Face) -> Tensor:
    s = (cx / m.mouth_w).clamp(-1.15, 1.15)
    window = (1 - (s / 1.15) ** 2).clamp(min=0)
    top, rim_up, rim_low, bottom = lip_curves(s.clamp(-1, 1), m)
    upper, lower = (top + rim_up) / 2, (rim_low + bottom) / 2
    full_up, full_low = m.upper_lip * 0.6 + 0.012, m.lower_lip * 0.55 + 0.012
    out = 0.058 * (0.7 + 0.3 * m.upper_lip / 0.066) * torch.exp(-(((cy - upper) / full_up) ** 2))
    out = out + 0.06 * (0.7 + 0.3 * m.lower_lip / 0.086) * torch.exp(-(((cy - lower) / full_low) ** 2))
    line = torch.exp(-(((cy - (rim_up + rim_low) / 2) / (0.014 + 0.5 * (rim_up - rim_low))) ** 2))
    out = out * window - (0.02 + 0.25 * m.gap) * line * window
    mound = 0.035 * bump(cx, cy, 0, m.mouth_y, m.mouth_w * 1.3, 0.2)  # the teeth behind
    fold = -0.035 * bump(cx, cy, 0, m.mouth_y - m.gap * 0.8 - 0.175, 0.2, 0.055)
    philtrum = -0.012 * bump(cx, cy, 0, m.mouth_y + 0.14, 0.03, 0.07)
    return out + mound + fold + philtrum


def _relief(cx: Tensor, cy: Tensor, m: Face) -> Tensor:
    """Displacement of the face towards the viewer, in dm."""
    ax = cx.abs()
    s = 2 * m.male - 1
    deep = 0.065 + 0.022 * m.eye_depth + 0.01 * s
    z = -deep * bump(ax, cy, m.eye_x - 0.03, m.eye_y + 0.02, 0.19, 0.125)
    eye_s = ((ax - m.eye_x) / m.eye_w).clamp(-1, 1)
    upper, lower = lid_curves(eye_s, m)
    z = z + 0.05 * bump(ax, cy, m.eye_x, m.eye_y, 0.13, 0.095)
    middle = m.eye_y + m.eye_tilt * eye_s * m.eye_w + (upper + lower) / 2
    z = (
        z
        + 0.012 * bump(ax, cy, m.eye_x, m.eye_y + 0.1, 0.15, 0.03)
        - 0.008 * bump(ax, cy - middle, m.eye_x, 0.0, 0.13, 0.05)
    )
    ridge = 0.022 + 0.02 * m.brow_ridge + 0.014 * s
    z = z + ridge * torch.exp(-(((cy - m.eye_y - 0.17) / 0.075) ** 2)) * ramp(ax, 0.62, 0.3)
    smile = max(m.smile, 0.0)
    z = z + (0.04 + 0.025 * m.cheekbone_depth) * bump(ax, cy, 0.42, -0.24, 0.16, 0.13)
    z = z + 0.035 * m.cheek_fullness * bump(ax, cy, 0.4, -0.5, 0.17, 0.18)
    z = z - 0.02 * (1 - m.cheek_fullness) * bump(ax, cy, 0.47, -0.62, 0.14, 0.2)
    z = z + 0.05 * smile * bump(ax, cy, 0.37, -0.36, 0.13, 0.11)
    z = z - 0.03 * (smile + 0.4 * m.old) * bump(ax, cy, m.mouth_w + 0.06, m.mouth_y + 0.07, 0.04, 0.13)
    z = z + (0.04 + 0.02 * s) * bump(cx, cy, 0, -1.04, 0.17 + 0.05 * m.chin_width, 0.1)
    return z + _nose(cx, cy, m) + _mouth(cx, cy, m)


def _height(y: Tensor, front: Tensor | float, m: Face) -> Tensor:
    """Height in space of chart height y: proportions, and the jaw that drops as the mouth opens."""
    stretched = torch.where(y < 0, y * m.scale_low, y * m.scale_high)
    chin = 0.06 * m.chin_length * ramp(y, m.mouth_y - 0.1, -1.1)
    return stretched - chin - m.jaw_drop * ramp(y, m.mouth_y + 0.02, -0.98) * front


def head_points(theta: Tensor, y: Tensor, m: Face, face: tuple[slice, ...] = ()) -> tuple[Tensor, Tensor]:
    """Points of the head.

    Parameters
    ----------
    theta, y : Tensor
        Surface coordinates, broadcastable.
    m : Face
        Measures.
    face : tuple of slice, default ()
        The part of the grid on which features stand out; the whole by default.

    Returns
    -------
    tuple of Tensor
        Position ``(3, *shape)`` and chart ``(2, *shape)``.
    """
    width, front, middle, back = section(y, m)
    sin, cos = torch.sin(theta), torch.cos(theta)
    cx = width * sin
    cy = y.expand_as(cx)
    forward = cos.clamp(min=0) * (1 + 0.13 * sin * sin)
    z = middle + (front - middle) * forward - (middle - back) * (-cos).clamp(min=0)
    facing = ramp(cos, 0.02, 0.35)
    relief = torch.zeros_like(cx)
    relief[face] = _relief(cx[face], cy[face], m)
    relief = relief * facing
    temple = torch.exp(-(((theta.abs() - 1.2) / 0.3) ** 2)) * torch.exp(-(((cy - 0.22) / 0.2) ** 2))
    x = cx * (1 - 0.03 * temple)
    height = _height(cy, ramp(cos, -0.3, 0.3), m)
    if m.beard == "full":  # the only kind thick enough to change the outline
        thick = 0.075 * beard_density(cx, cy, theta, m) * ramp(cy, m.nose_y - 0.05, -1.0)
        x, relief = x + thick * sin * 0.9, relief + thick * cos.clamp(min=0)
        height = height - thick * ramp(cy, -0.9, -1.15)
    return torch.stack((x, height, z + relief)), torch.stack((cx, cy))


@lru_cache(maxsize=1)
def theta_grid() -> Tensor:
    """Azimuths of a grid's columns: dense over the face, sparse behind; from -pi to pi."""
    front = torch.linspace(-66, 66, 133)
    side = torch.linspace(66, 180, 31)[1:]
    return torch.deg2rad(torch.cat((-side.flip(0), front, side)))


@lru_cache(maxsize=1)
def _head_rows() -> Tensor:
    angle = torch.linspace(0.02, math.pi / 2, 13)[:-1]
    bottom = _CHIN + _CHIN_CLOSE * (1 - torch.cos(angle))
    middle = torch.linspace(_CHIN + _CHIN_CLOSE, _CROWN_FROM, 116)
    top = _CROWN_FROM + (_CROWN - _CROWN_FROM) * torch.sin(torch.linspace(0, math.pi / 2 - 0.01, 36))[1:]
    return torch.cat((bottom, middle, top))


def head_grid(m: Face) -> tuple[Tensor, Tensor]:
    """The head on its grid: position (3, rows, columns); theta and chart (3, rows, columns)."""
    theta, y = theta_grid()[None, :], _head_rows()[:, None]
    columns = (theta[0].abs() < _SIDE).nonzero()[:, 0]
    face = (slice(0, int((_head_rows() < _BROW_TOP).sum())), slice(int(columns[0]), int(columns[-1]) + 1))
    position, chart = head_points(theta, y, m, face)
    return position, torch.cat((theta.expand_as(chart[0])[None], chart))


def neck_points(m: Face) -> tuple[Tensor, Tensor]:
    """Neck and shoulders: position (3, rows, columns); theta and y (2, rows, columns)."""
    theta = torch.deg2rad(torch.linspace(-180, 180, 97))[None, :]
    y = torch.linspace(-2.5, -0.6, 77)[:, None]
    s = 2 * m.male - 1
    radius = (0.47 + 0.05 * s + 0.035 * m.neck_width) * (1 - 0.25 * m.child)
    radius = radius * (0.5 + 0.5 * ramp(y, -0.55, -1.0))  # its top hides within the head
    flare = ramp(y, -1.38, -2.3)
    slope = ramp(y, -0.9, -1.6)
    width = radius + 0.1 * slope + (1.35 + 0.2 * s - 0.3 * m.child) * flare
    depth = radius * 0.95 + 0.06 * slope + 0.3 * flare
    x = width * torch.sin(theta)
    z = -0.14 + depth * torch.cos(theta)
    y = y.expand_as(x) - 0.06 * torch.cos(theta) * ramp(y, -1.2, -1.5)
    return torch.stack((x, y, z)), torch.stack((theta.expand_as(x), y))
