"""The head as a stack of horizontal sections, displaced by features.

A surface point is named by ``(theta, y)``: the azimuth (0 is the front, positive to the right of the image) and the
height on the chart. The *chart* of the face is ``(cx, cy)``: the section's half width times sin(theta), and y. All
features are drawn and displaced in chart coordinates, and ``theta = asin(cx / width(cy))`` leads back, which makes
landmarks exact. Coordinates are ``(n, k)``, or ``(k,)`` where all faces share them.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from fusiform.faces.synthetic._math import bell, bump, positive, power, ramp, span
from fusiform.faces.synthetic._measures import Measures, brow_curve, lid_curves, lip_curves

__all__ = ["face_theta", "head_grid", "head_points", "section", "theta_grid"]

# Knots every 0.15 dm from the chin's underside (-1.2) to the crown (1.2).
_Y0, _DY = -1.2, 0.15
_WIDTH = (.27, .35, .445, .53, .595, .642, .678, .702, .712, .716, .716, .716, .72, .725, .73, .73, .73)  # fmt: skip
_FRONT = (.80, .855, .865, .88, .90, .905, .905, .89, .882, .895, .92, .93, .925, .92, .92, .92, .92)  # fmt: skip
_MIDDLE = (.50, .45, .38, .29, .20, .12, .06, .03, .0, .0, .0, -.03, -.05, -.07, -.1, -.1, -.1)  # fmt: skip
_BACK = (.36, .28, .15, -.05, -.3, -.5, -.65, -.78, -.88, -.95, -1., -1.02, -1.03, -1.03, -1.03, -1.03, -1.03)  # fmt: skip
_CROWN_FROM, _CROWN, _CHIN, _CHIN_CLOSE = 0.2, 1.1, -1.2, 0.22
FACE_ANGLE = 1.6  # features stand out of the face up to this azimuth


def _knots(device: torch.device) -> Tensor:
    return torch.tensor([_WIDTH, _FRONT, _MIDDLE, _BACK], device=device)


def _catmull_rom(y: Tensor, knots: Tensor) -> Tensor:
    """Smooth curves through evenly spaced knots: (k, n) at y of any shape -> (k, *shape)."""
    last = knots.shape[1] - 1
    position = ((y - _Y0) * (1 / _DY)).clamp(0, last - 1e-4)
    i = position.long()
    f = position - i
    a, b = knots[:, (i - 1).clamp_min(0)], knots[:, i]
    c, d = knots[:, i + 1], knots[:, (i + 2).clamp_max(last)]
    return b + 0.5 * f * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a)))


def section(y: Tensor, m: Measures) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Half width, front, middle and back of the head's section at chart height y, closed at chin and crown."""
    width, front, middle, back = _catmull_rom(y, _knots(y.device))
    s = m.sex
    low = ramp(y, -0.3, -0.75)
    width = width + low * (0.05 * m.jaw_width + 0.03 * s + 0.012 * m.old + 0.035 * m.full)
    angle = bump(y, y, -0.74, -0.74, 0.34, 0.34)
    width = width + angle * (0.022 * m.jaw_angle + 0.015 * s + 0.03 * positive(m.weight) + 0.015 * m.old)
    width = width + 0.035 * m.cheekbone_width * bump(y, y, -0.2, -0.2, 0.31, 0.31)
    width = width + (0.04 * m.full + 0.01) * bump(y, y, -0.5, -0.5, 0.3, 0.3)
    width = width + 0.03 * m.temple_width * bump(y, y, 0.25, 0.25, 0.3, 0.3)
    width = width + ramp(y, -0.85, -1.1) * (0.055 * m.chin_width + 0.026 * s + 0.02 * m.full)
    width = width * m.scale_x
    front = front - 0.07 * (m.forehead_slope + 0.4 * s) * ramp(y, 0.3, 0.95)
    front = front + 0.055 * (m.chin_protrusion + 0.25 * s - 0.4 * m.child) * ramp(y, -0.8, -1.05)
    front = front + 0.05 * m.child * bump(y, y, 0.45, 0.45, 0.4, 0.4)
    top = ((y - _CROWN_FROM) * (1 / (_CROWN - _CROWN_FROM))).clamp(0, 1)
    bottom = ((y - _CHIN) * (1 / _CHIN_CLOSE)).clamp(0, 1)
    close = (
        power((1 - power(top, 2.2)).clamp_min(1e-6), 1 / 2.2) * (bottom * (2 - bottom)).clamp_min(1e-6).sqrt()
    )
    return width * close, middle + (front - middle) * close, middle, middle + (back - middle) * close


def face_theta(cx: Tensor, cy: Tensor, m: Measures) -> Tensor:
    """Azimuth of the chart point (cx, cy) on the front of the head."""
    return (cx / section(cy, m)[0]).clamp(-1, 1).asin()


def _nose(cx: Tensor, cy: Tensor, m: Measures) -> Tensor:
    down = ((0.1 - cy) / (0.1 - m.tip_y)).clamp(0, 1)  # 0 at the root, 1 at the tip
    bent = cx - m.bend * (math.pi * down).sin()
    ax = bent.abs()
    ridge = (
        m.nose_z * (0.2 + 0.8 * down * (0.75 + 0.25 * down)) + 0.05 * m.nose_bridge * (math.pi * down).sin()
    )
    ridge = ridge * ramp(cy, 0.22, -0.02)
    under = ramp(cy, m.nose_y - 0.065, m.tip_y + 0.045)
    half = 1.12 * m.bridge_w + (m.tip_w * 1.45 - 1.12 * m.bridge_w) * ramp(down, 0.3, 1.0)
    u = ax / half
    body = ridge * bell(u * u) * under
    ala = 0.09 * (1 + 0.3 * m.nose_width + 0.3 * m.nostril_flare)
    ala = ala * bump(ax, cy, m.nose_w * 0.78, m.nose_y + 0.062, m.nose_w * 0.44, 0.07)
    ball = 0.036 * (1 + 0.8 * m.nose_tip) * bump(bent, cy, 0.0, m.tip_y, 0.09, 0.08)
    v = ax / (m.nose_w * 1.15)
    flank = 0.055 * bell(v * v) * ramp(cy, m.nose_y - 0.05, m.nose_y + 0.1) * down
    groove = -0.014 * bump(ax, cy, m.nose_w * 1.1, m.nose_y + 0.07, 0.025, 0.06)
    wrinkle = 0.01 * m.AU_9 * ((cy - 0.02) * 95).cos() * bump(cx, cy, 0.0, 0.0, 0.1, 0.07)
    return body + ala + ball + flank + groove + wrinkle


def _mouth(cx: Tensor, cy: Tensor, m: Measures) -> Tensor:
    s = (cx / m.mouth_w).clamp(-1.15, 1.15)
    window = positive(1 - s * s * (1 / 1.3225))
    top, rim_up, rim_low, bottom = lip_curves(s.clamp(-1, 1), m)
    full_up, full_low = m.upper_lip_h * 0.62 + 0.012, m.lower_lip_h * 0.56 + 0.012
    pout = 1 + 0.35 * m.lip_protrusion
    u = (cy - (top + rim_up) * 0.5) / full_up
    v = (cy - (rim_low + bottom) * 0.5) / full_low
    out = 0.042 * pout * (0.7 + 4.8 * m.upper_lip_h) * bell(u * u)
    out = out + 0.046 * pout * (0.7 + 0.3 * m.lower_lip_h / 0.086) * bell(v * v)
    w = (cy - (rim_up + rim_low) * 0.5) / (0.014 + 0.5 * (rim_up - rim_low))
    out = out * window - (0.022 + 0.25 * m.gap) * bell(w * w) * window
    mound = (0.035 + 0.012 * m.lip_protrusion) * bump(cx, cy, 0.0, m.mouth_y, m.mouth_w * 1.3, 0.2)
    fold = -0.032 * bump(cx, cy, 0.0, m.mouth_y - m.gap * 0.8 - m.lower_lip_h - 0.075, 0.17, 0.05)
    philtrum = -(0.012 + 0.009 * m.philtrum) * bump(cx, cy, 0.0, m.mouth_y + 0.145, 0.03, 0.07)
    pillars = (0.006 + 0.004 * m.philtrum) * bump(cx.abs(), cy, 0.055, m.mouth_y + 0.14, 0.022, 0.07)
    return out + mound + fold + philtrum + pillars


def _lids(cx: Tensor, cy: Tensor, ax: Tensor, m: Measures) -> Tensor:
    """Eyeball behind the lids, the fold above and the pouch below."""
    deep = 0.07 + 0.022 * m.eye_depth + 0.012 * m.sex - 0.025 * m.child
    z = -deep * bump(ax, cy, m.eye_x - 0.035, m.eye_y + 0.03, 0.18, 0.12)
    z = z + (0.058 + 0.016 * m.eye_bulge) * bump(ax, cy, m.eye_x, m.eye_y + 0.004, 0.125, 0.09)
    eye_s = ((ax - m.eye_x) / m.eye_w).clamp(-1, 1)
    upper, lower = lid_curves(eye_s, m)
    line = m.eye_y + m.tilt * eye_s * m.eye_w
    near = bump(ax, cy, m.eye_x, m.eye_y, 0.16, 0.13)
    edge_up, edge_low = (cy - line - upper - 0.012) * (1 / 0.02), (cy - line - lower + 0.012) * (1 / 0.02)
    z = z + 0.013 * near * (bell(edge_up * edge_up) + 0.7 * bell(edge_low * edge_low))
    fold = (cy - line - upper - 0.055 - 0.02 * m.lid_fold + 0.03 * m.eye_closure) * (1 / 0.018)
    z = z - 0.012 * near * bell(fold * fold)
    hood = bump(ax, cy - line, m.eye_x + 0.05, 0.12, 0.14, 0.04)
    z = z + 0.02 * (positive(m.lid_hood) + 0.5 * m.old) * hood
    pouch = bump(ax, cy - line, m.eye_x - 0.01, -0.115, 0.11, 0.035)
    trough = bump(ax, cy - line, m.eye_x - 0.05, -0.165, 0.11, 0.025)
    return z + (0.014 * m.eye_bags + 0.012 * m.AU_6) * pouch - (0.012 * m.eye_bags + 0.006) * trough


def _relief(cx: Tensor, cy: Tensor, m: Measures) -> Tensor:
    """Displacement of the face towards the viewer, in dm."""
    ax = cx.abs()
    s = m.sex
    z = _lids(cx, cy, ax, m)
    along = ((ax - m.brow_in) / (m.brow_out - m.brow_in)).clamp(0, 1)
    centre, _ = brow_curve(along, m)
    ridge = 0.034 + 0.022 * m.brow_ridge + 0.016 * s - 0.012 * m.child + 0.01 * m.AU_4
    u = (cy - centre + 0.02) * (1 / 0.07)
    z = z + ridge * bell(u * u) * ramp(ax, 0.62, 0.3)
    z = z - 0.012 * bump(cx, cy, 0.0, m.eye_y + 0.2, 0.07, 0.08)
    smile = m.AU_12
    cheek_y = -0.25 + 0.035 * m.AU_6 + 0.02 * smile
    z = z + (0.042 + 0.026 * m.cheekbone_depth - 0.015 * positive(m.weight)) * bump(
        ax, cy, 0.42, cheek_y, 0.16, 0.12
    )
    z = z + 0.04 * m.full * bump(ax, cy, 0.4, -0.5, 0.18, 0.19)
    z = z - 0.022 * (1 - m.full) * bump(ax, cy, 0.47, -0.6, 0.14, 0.2)
    z = z + (0.065 * smile + 0.04 * m.AU_6) * bump(ax, cy, 0.36, -0.35, 0.13, 0.1)
    fold_x = m.mouth_w + 0.055
    z = z - (0.034 * smile + 0.014 * m.old + 0.014 * m.AU_9) * bump(
        ax, cy, fold_x, m.mouth_y + 0.08, 0.035, 0.14
    )
    z = z - 0.012 * m.dimples.clamp_min(0) * (0.3 + smile) * bump(
        ax, cy, fold_x + 0.07, m.mouth_y + 0.03, 0.028, 0.045
    )
    jowl = bump(ax, cy, 0.36, -0.97, 0.12, 0.1) * positive(m.old - 0.25)
    z = z + 0.04 * jowl - 0.03 * positive(m.old - 0.25) * bump(ax, cy, 0.24, -1.0, 0.05, 0.1)
    chin_y = -1.035 + 0.02 * m.AU_17
    z = z + (0.04 + 0.018 * s + 0.018 * m.AU_17) * bump(cx, cy, 0.0, chin_y, 0.16 + 0.05 * m.chin_width, 0.1)
    z = z - 0.016 * positive(m.chin_cleft) * bump(cx, cy, 0.0, chin_y - 0.01, 0.018, 0.07)
    z = z + 0.004 * m.AU_17 * (cx * 80).cos() * (cy * 75).cos() * bump(cx, cy, 0.0, chin_y, 0.12, 0.07)
    return z + _nose(cx, cy, m) + _mouth(cx, cy, m)


def _height(y: Tensor, front: Tensor | float, m: Measures) -> Tensor:
    """Height in space of chart height y: proportions, and the jaw that drops as the mouth opens."""
    stretched = torch.where(y < 0, y * m.scale_low, y * m.scale_high)
    chin = 0.06 * m.chin_length * ramp(y, m.mouth_y - 0.1, -1.1)
    return stretched - chin - m.jaw_drop * ramp(y, m.mouth_y + 0.02, -0.98) * front


def _outline(theta: Tensor, y: Tensor, m: Measures) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The smooth head: x, z, and cx with the cosine of the azimuth."""
    width, front, middle, back = section(y, m)
    sin, cos = theta.sin(), theta.cos()
    cx = width * sin
    forward = positive(cos) * (1 + 0.13 * sin * sin)
    z = middle + (front - middle) * forward - (middle - back) * positive(-cos)
    return cx, z, cos, sin


def head_points(theta: Tensor, y: Tensor, m: Measures, relief: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Points of the head.

    Parameters
    ----------
    theta, y : Tensor
        Surface coordinates ``(k,)`` or ``(n, k)``.
    m : Measures
        Of n faces.
    relief : bool, default True
        Whether the face's features stand out.

    Returns
    -------
    tuple of Tensor
        Position ``(3, n, k)``; chart x and y, each ``(n, k)``.
    """
    cx, z, cos, sin = _outline(theta, y, m)
    y = y.expand_as(cx)
    temple = bump(theta.abs(), y, 1.2, 0.22, 0.42, 0.28)
    x = cx * (1 - 0.03 * temple * (1 - 0.6 * m.temple_width))
    if relief:
        facing = ramp(cos, -0.05, 0.35)
        z = z + facing * _relief(cx, y, m)
    beard = (
        0.05 * m.beard * ramp(y, m.nose_y - 0.1, -0.95) * ramp(theta.abs(), 1.75, 1.35) * ramp(y, -1.25, -1.1)
    )
    x, z = x + beard * sin, z + beard * positive(cos)
    height = _height(y, ramp(cos, -0.3, 0.3), m)
    fat = bump(theta, y, 0.0, -1.16, 1.0, 0.07) * (0.06 * m.double_chin + 0.02 * positive(m.weight))
    return torch.stack((x, height - fat, z)), cx, y


@lru_cache(maxsize=8)
def theta_grid(device: torch.device, detail: int = 3) -> Tensor:
    """Azimuths of a grid's columns: dense over the face, sparse behind; from -pi to pi."""
    front = span(-66, 66, 44 * detail + 1)
    side = span(66, 180, 10 * detail + 1)[1:]
    return torch.cat((-side.flip(0), front, side)).double().deg2rad().float().to(device)


@lru_cache(maxsize=8)
def head_rows(device: torch.device, detail: int = 3) -> Tensor:
    """Chart heights of the head's rows, from below the chin to the crown."""
    angle = span(0.02, math.pi / 2, 4 * detail + 1)[:-1]
    bottom = _CHIN + _CHIN_CLOSE * (1 - angle.cos())
    middle = span(_CHIN + _CHIN_CLOSE, _CROWN_FROM, 38 * detail)
    top = _CROWN_FROM + (_CROWN - _CROWN_FROM) * span(0, math.pi / 2 - 0.01, 12 * detail + 2).sin()[1:]
    return torch.cat((bottom, middle, top)).to(device)


def head_grid(m: Measures, detail: int = 3) -> tuple[Tensor, Tensor]:
    """The head on its grid: position (3, n, rows, columns); theta and chart (3, n, rows, columns).

    A grid of detail 3 has a row and a column every 0.013 dm of the face, one of detail 2 every 0.02 dm.
    """
    device = m.yaw.device
    theta, y = theta_grid(device, detail), head_rows(device, detail)
    rows, columns, n = len(y), len(theta), len(m)
    flat_theta = theta.expand(rows, columns).reshape(-1)
    flat_y = y[:, None].expand(rows, columns).reshape(-1)
    position, cx, cy = head_points(flat_theta, flat_y, m, relief=False)
    # Features stand out of a window of the grid only.
    first = int((theta.abs() < FACE_ANGLE).nonzero()[0])
    inside = slice(first, columns - first)
    top = int((y < 0.62).sum())
    window = (slice(None), slice(0, top), inside)
    near_x, near_y = (g.reshape(n, rows, columns)[window].reshape(n, -1) for g in (cx, cy))
    facing = ramp(theta[inside].cos(), -0.05, 0.35)
    z = position[2].view(n, rows, columns)
    z[window] += _relief(near_x, near_y, m).view(n, top, -1) * facing
    chart = torch.stack((flat_theta.expand(n, -1), cx, cy))
    return position.view(3, n, rows, columns), chart.view(3, n, rows, columns)
