"""The head and neck as stacks of horizontal sections, displaced by features.

A surface point is named by ``(theta, y)``: the azimuth (0 is the front, positive to the right of the image) and the
height on the chart. The *chart* of the face is ``(cx, cy)``: the section's half width times sin(theta), and y. All
features are drawn and displaced in chart coordinates, and ``theta = asin(cx / width(cy))`` leads back, which makes
landmarks exact.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from fusiform.faces.synthetic._anatomy import Face, bump, flat, lid_curves, lip_curves, positive, ramp, span

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
def _knots() -> np.ndarray:
    return flat([_WIDTH, _FRONT, _MIDDLE, _BACK])


def _catmull_rom(y: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Smooth curves through evenly spaced knots: (k, n) at y of any shape -> (k, *shape)."""
    last = knots.shape[1] - 1
    position = ((y - _Y0) / _DY).clip(0, last - 1e-4)
    i = position.astype(np.intp)
    f = position - i.astype(np.float32)
    a, b = knots.take((i - 1).clip(min=0), 1), knots.take(i, 1)
    c, d = knots.take(i + 1, 1), knots.take((i + 2).clip(max=last), 1)
    return b + 0.5 * f * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a)))


def section(y: np.ndarray, m: Face) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Half width, front, middle and back of the head's section at chart height y, closed at chin and crown."""
    width, front, middle, back = _catmull_rom(y, _knots())
    s = 2 * m.male - 1
    low = ramp(y, -0.3, -0.75)
    width = width + low * (0.055 * m.jaw_width + 0.032 * s + 0.015 * m.old + 0.02 * m.cheek_fullness)
    width = width + 0.035 * m.cheekbone_width * np.exp(-(((y + 0.2) / 0.22) ** 2))
    width = width + 0.03 * m.cheek_fullness * np.exp(-(((y + 0.5) / 0.2) ** 2))
    width = width + ramp(y, -0.85, -1.1) * (0.07 * m.chin_width + 0.03 * s)
    width = width * m.scale_x
    front = front - 0.07 * (m.forehead_slope + 0.35 * s) * ramp(y, 0.3, 0.95)
    front = front + 0.055 * (m.chin_protrusion + 0.25 * s) * ramp(y, -0.8, -1.05)
    top = ((y - _CROWN_FROM) / (_CROWN - _CROWN_FROM)).clip(0, 1)
    bottom = ((y - _CHIN) / _CHIN_CLOSE).clip(0, 1)
    close = (1 - top**2.25).clip(1e-6) ** (1 / 2.25) * np.sqrt((bottom * (2 - bottom)).clip(1e-6))
    return width * close, middle + (front - middle) * close, middle, middle + (back - middle) * close


def face_theta(cx: np.ndarray, cy: np.ndarray, m: Face) -> np.ndarray:
    """Azimuth of the chart point (cx, cy) on the front of the head."""
    return np.arcsin((cx / section(cy, m)[0]).clip(-1, 1))


def beard_density(cx: np.ndarray, cy: np.ndarray, theta: np.ndarray, m: Face) -> np.ndarray:
    """How densely the asked kind of beard grows at a chart point, 0 to 1."""
    ax = abs(cx)
    top, _, _, bottom = lip_curves((cx / m.mouth_w).clip(-1, 1), m)
    off_lips = (ramp(cy, top - 0.005, top + 0.02) + ramp(cy, bottom + 0.005, bottom - 0.025)).clip(max=1)
    off_lips = np.maximum(off_lips, ramp(ax, m.mouth_w * 0.97, m.mouth_w + 0.03))
    out = np.zeros_like(off_lips)
    if m.beard in ("stubble", "full"):
        line = m.mouth_y + 0.12 + (m.nose_y + 0.42 - m.mouth_y) * ramp(ax, 0.3, 0.66)
        jaw = ramp(cy, line + 0.05, line - 0.07) * ramp(abs(theta), 1.75, 1.5)
        jaw = jaw * (1 - 0.75 * bump(ax, cy, 0.13, m.mouth_y - 0.15, 0.07, 0.06))
        out = jaw
    if m.beard in ("stubble", "full", "mustache", "circle"):
        droop = m.mouth_w * 1.12
        upper = m.nose_y - 0.035 - 0.13 * (ax / droop) ** 2
        lip = ramp(cy, upper + 0.02, upper - 0.03) * ramp(ax, droop, droop - 0.08)
        lip = lip * ramp(cy, m.mouth_y + m.corner - 0.09, m.mouth_y + m.corner - 0.03)
        out = np.maximum(out, lip)
    if m.beard in ("goatee", "circle"):
        half = 0.215 + (0.03 if m.beard == "circle" else 0.0)
        chin = ramp(ax, half + 0.03, half - 0.04) * ramp(cy, bottom - 0.03, bottom - 0.08)
        chin = np.maximum(chin, 0.9 * ramp(ax, 0.07, 0.03) * ramp(cy, bottom - 0.01, bottom - 0.03))
        out = np.maximum(out, chin * ramp(cy, m.mouth_y, m.mouth_y - 0.06))
    if m.beard == "circle":
        side = np.exp(-(((ax - m.mouth_w - 0.035) / 0.035) ** 2))
        out = np.maximum(out, side * ramp(cy, m.mouth_y + 0.1, m.mouth_y) * ramp(cy, -1.1, -1.0))
    return out * off_lips


def _nose(cx: np.ndarray, cy: np.ndarray, m: Face) -> np.ndarray:
    ax = abs(cx)
    down = ((0.1 - cy) / (0.1 - m.tip_y)).clip(0, 1)  # 0 at the root, 1 at the tip
    ridge = m.nose_z * (0.1 + 0.9 * down**1.25) + 0.05 * m.nose_bridge * np.sin(math.pi * down)
    ridge = ridge * ramp(cy, 0.2, 0.02)
    under = ramp(cy, m.nose_y - 0.05, m.tip_y + 0.03)
    half = m.bridge_w + (m.tip_w * 1.25 - m.bridge_w) * ramp(down, 0.35, 1.0)
    body = ridge * np.exp(-((ax / half) ** 2)) * under
    ala_x, ala_y = m.nose_w * 0.78, m.nose_y + 0.065
    ala = 0.085 * (1 + 0.3 * m.nose_width) * bump(ax, cy, ala_x, ala_y, m.nose_w * 0.42, 0.062)
    ball = 0.035 * (1 + 0.8 * m.nose_tip) * bump(cx, cy, 0, m.tip_y, 0.09, 0.08)
    flank = 0.05 * np.exp(-((ax / (m.nose_w * 1.15)) ** 2)) * ramp(cy, m.nose_y - 0.05, m.nose_y + 0.1) * down
    return body + ala + ball + flank


def _mouth(cx: np.ndarray, cy: np.ndarray, m: Face) -> np.ndarray:
    s = (cx / m.mouth_w).clip(-1.15, 1.15)
    window = positive(1 - (s / 1.15) ** 2)
    top, rim_up, rim_low, bottom = lip_curves(s.clip(-1, 1), m)
    upper, lower = (top + rim_up) / 2, (rim_low + bottom) / 2
    full_up, full_low = m.upper_lip * 0.6 + 0.012, m.lower_lip * 0.55 + 0.012
    out = 0.058 * (0.7 + 0.3 * m.upper_lip / 0.066) * np.exp(-(((cy - upper) / full_up) ** 2))
    out = out + 0.06 * (0.7 + 0.3 * m.lower_lip / 0.086) * np.exp(-(((cy - lower) / full_low) ** 2))
    line = np.exp(-(((cy - (rim_up + rim_low) / 2) / (0.014 + 0.5 * (rim_up - rim_low))) ** 2))
    out = out * window - (0.02 + 0.25 * m.gap) * line * window
    mound = 0.035 * bump(cx, cy, 0, m.mouth_y, m.mouth_w * 1.3, 0.2)  # the teeth behind
    fold = -0.035 * bump(cx, cy, 0, m.mouth_y - m.gap * 0.8 - 0.175, 0.2, 0.055)
    philtrum = -0.012 * bump(cx, cy, 0, m.mouth_y + 0.14, 0.03, 0.07)
    return out + mound + fold + philtrum


def _relief(cx: np.ndarray, cy: np.ndarray, theta: np.ndarray, m: Face) -> np.ndarray:
    """Displacement of the face towards the viewer, in dm."""
    ax = abs(cx)
    s = 2 * m.male - 1
    deep = 0.065 + 0.022 * m.eye_depth + 0.01 * s
    z = -deep * bump(ax, cy, m.eye_x - 0.03, m.eye_y + 0.02, 0.19, 0.125)
    eye_s = ((ax - m.eye_x) / m.eye_w).clip(-1, 1)
    upper, lower = lid_curves(eye_s, m)
    z = z + 0.05 * bump(ax, cy, m.eye_x, m.eye_y, 0.13, 0.095)
    middle = m.eye_y + m.eye_tilt * eye_s * m.eye_w + (upper + lower) / 2
    z = (
        z
        + 0.012 * bump(ax, cy, m.eye_x, m.eye_y + 0.1, 0.15, 0.03)
        - 0.008 * bump(ax, cy - middle, m.eye_x, 0.0, 0.13, 0.05)
    )
    ridge = 0.022 + 0.02 * m.brow_ridge + 0.014 * s
    z = z + ridge * np.exp(-(((cy - m.eye_y - 0.17) / 0.075) ** 2)) * ramp(ax, 0.62, 0.3)
    smile = max(m.smile, 0.0)
    z = z + (0.04 + 0.025 * m.cheekbone_depth) * bump(ax, cy, 0.42, -0.24, 0.16, 0.13)
    z = z + 0.035 * m.cheek_fullness * bump(ax, cy, 0.4, -0.5, 0.17, 0.18)
    z = z - 0.02 * (1 - m.cheek_fullness) * bump(ax, cy, 0.47, -0.62, 0.14, 0.2)
    z = z + 0.05 * smile * bump(ax, cy, 0.37, -0.36, 0.13, 0.11)
    z = z - 0.03 * (smile + 0.4 * m.old) * bump(ax, cy, m.mouth_w + 0.06, m.mouth_y + 0.07, 0.04, 0.13)
    z = z + (0.04 + 0.02 * s) * bump(cx, cy, 0, -1.04, 0.17 + 0.05 * m.chin_width, 0.1)
    return z + _nose(cx, cy, m) + _mouth(cx, cy, m)


def _height(y: np.ndarray, front: np.ndarray | float, m: Face) -> np.ndarray:
    """Height in space of chart height y: proportions, and the jaw that drops as the mouth opens."""
    stretched = np.where(y < 0, y * m.scale_low, y * m.scale_high)
    chin = 0.06 * m.chin_length * ramp(y, m.mouth_y - 0.1, -1.1)
    return stretched - chin - m.jaw_drop * ramp(y, m.mouth_y + 0.02, -0.98) * front


def _mirrored(
    function: Callable[[np.ndarray, np.ndarray, np.ndarray, Face], np.ndarray],
    chart: tuple[np.ndarray, np.ndarray, np.ndarray],
    m: Face,
    below: float,
    columns: slice,
) -> np.ndarray:
    """Values of a function even in theta on the head's grid: half of it is computed; zero from a height upwards."""
    cx, cy, theta = chart
    rows, width = int((cy < below).sum()), cx.shape[1]
    out = np.zeros_like(cx)
    half = slice(columns.start, width // 2 + 1)
    left = function(cx[:rows, half], cy[:rows], theta[:, half], m)
    out[:rows, half] = left
    out[:rows, width // 2 + 1 : columns.stop] = left[:, -2::-1]
    return out


def head_points(
    theta: np.ndarray, y: np.ndarray, m: Face, *, grid: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Points of the head.

    Parameters
    ----------
    theta, y : np.ndarray
        Surface coordinates, broadcastable.
    m : Face
        Measures.
    grid : bool, default False
        Whether these are the rows and columns of the head's own grid, which allows shortcuts: features stand out
        of its front only, and alike on both sides.

    Returns
    -------
    tuple of np.ndarray
        Position ``(3, *shape)`` and chart ``(2, *shape)``.
    """
    width, front, middle, back = section(y, m)
    sin, cos = np.sin(theta), np.cos(theta)
    cx = width * sin
    forward = positive(cos) * (1 + 0.13 * sin * sin)
    z = middle + (front - middle) * forward - (middle - back) * positive(-cos)
    facing = ramp(cos, 0.02, 0.35)
    chart = (cx, y, theta)
    relief = _mirrored(_relief, chart, m, _BROW_TOP, _face_columns()) if grid else _relief(*chart, m)
    relief = relief * facing
    temple = np.exp(-(((abs(theta) - 1.2) / 0.3) ** 2)) * np.exp(-(((y - 0.22) / 0.2) ** 2))
    x = cx * (1 - 0.03 * temple)
    height = _height(y, ramp(cos, -0.3, 0.3), m)
    if m.beard == "full":  # the only kind thick enough to change the outline
        every = slice(0, cx.shape[-1])
        density = _mirrored(beard_density, chart, m, m.nose_y, every) if grid else beard_density(*chart, m)
        thick = 0.075 * density * ramp(y, m.nose_y - 0.05, -1.0)
        x, relief = x + thick * sin * 0.9, relief + thick * positive(cos)
        height = height - thick * ramp(y, -0.9, -1.15)
    return np.stack((x, height, z + relief)), np.stack(np.broadcast_arrays(cx, y))


@lru_cache(maxsize=1)
def theta_grid() -> np.ndarray:
    """Azimuths of a grid's columns: dense over the face, sparse behind; from -pi to pi."""
    front = span(-66, 66, 133)
    side = span(66, 180, 31)[1:]
    return np.deg2rad(np.concatenate((-side[::-1], front, side)))


@lru_cache(maxsize=1)
def _face_columns() -> slice:
    columns = (abs(theta_grid()) < _SIDE).nonzero()[0]
    return slice(int(columns[0]), int(columns[-1]) + 1)


@lru_cache(maxsize=1)
def _head_rows() -> np.ndarray:
    angle = span(0.02, math.pi / 2, 13)[:-1]
    bottom = _CHIN + _CHIN_CLOSE * (1 - np.cos(angle))
    middle = span(_CHIN + _CHIN_CLOSE, _CROWN_FROM, 116)
    top = _CROWN_FROM + (_CROWN - _CROWN_FROM) * np.sin(span(0, math.pi / 2 - 0.01, 36))[1:]
    return np.concatenate((bottom, middle, top))


def head_grid(m: Face) -> tuple[np.ndarray, np.ndarray]:
    """The head on its grid: position (3, rows, columns); theta and chart (3, rows, columns)."""
    theta, y = theta_grid()[None, :], _head_rows()[:, None]
    position, chart = head_points(theta, y, m, grid=True)
    return position, np.concatenate((np.broadcast_to(theta, (1, *chart.shape[1:])), chart))


def neck_points(m: Face) -> tuple[np.ndarray, np.ndarray]:
    """Neck and shoulders: position (3, rows, columns); theta and y (2, rows, columns)."""
    theta = np.deg2rad(span(-180, 180, 97))[None, :]
    y = span(-2.5, -0.6, 77)[:, None]
    s = 2 * m.male - 1
    radius = (0.47 + 0.05 * s + 0.035 * m.neck_width) * (1 - 0.25 * m.child)
    radius = radius * (0.5 + 0.5 * ramp(y, -0.55, -1.0))  # its top hides within the head
    flare = ramp(y, -1.38, -2.3)
    slope = ramp(y, -0.9, -1.6)
    width = radius + 0.1 * slope + (1.35 + 0.2 * s - 0.3 * m.child) * flare
    depth = radius * 0.95 + 0.06 * slope + 0.3 * flare
    x = width * np.sin(theta)
    z = -0.14 + depth * np.cos(theta)
    y = y - 0.06 * np.cos(theta) * ramp(y, -1.2, -1.5)
    return np.stack((x, y, z)), np.stack(np.broadcast_arrays(theta, y))
