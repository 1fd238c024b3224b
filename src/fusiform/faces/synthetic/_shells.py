"""What is worn on the head: hair, hat, ears and glasses, each a surface over a grid of its own coordinates."""

import math
from functools import lru_cache

import numpy as np

from fusiform.faces.synthetic._anatomy import Face, bump, flat, positive, ramp, span
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
def _edge(knots: tuple[float, ...]) -> np.ndarray:
    """A hair edge on the grid's columns, rounded between its knots."""
    degrees = abs(np.rad2deg(theta_grid()))
    xs = flat(_ANGLES)
    ys = flat(knots)
    i = np.searchsorted(xs[1:-1], degrees, side="right")
    f = ((degrees - xs[i]) / (xs[i + 1] - xs[i])).clip(0, 1)
    f = f * f * (3 - 2 * f)
    return ys[i] * (1 - f) + ys[i + 1] * f


def _hairline(m: Face) -> np.ndarray:
    """Lower edge of the hair on the grid's columns, strands' jags included."""
    theta = theta_grid()
    style = m.hair_style
    if style == "horseshoe":
        edge = _edge(_FRINGE)
    else:
        edge = _edge(_LONG if style in HANGING else _SHORT)
        front = ramp(abs(theta), 1.25, 0.9)
        lift = 0.07 * m.hairline + 0.05 * m.male - 0.02
        back = 0.14 * m.male * min(m.old, 1.0) * np.exp(-(((abs(theta) - 0.62) / 0.3) ** 2))
        peak = -0.05 * max(m.hairline_peak, 0.0) * np.exp(-((theta / 0.16) ** 2))
        recess = (0.05 + 0.04 * m.male) * np.exp(-(((abs(theta) - 0.66) / 0.2) ** 2))
        edge = edge + front * lift + back + peak + recess
        if style == "side_part":
            side = math.copysign(1.0, m.hair_part)
            edge = edge - 0.1 * np.exp(-(((theta * side + 0.45) / 0.4) ** 2))
        if m.bangs:
            low = _edge(_BANGS) - 0.05 * np.exp(
                -(((theta * math.copysign(1.0, m.hair_part) - 0.5) / 0.5) ** 2)
            )
            edge = np.minimum(edge, np.where(abs(theta) < 1.2, low, edge))
    jag = np.sin(theta * 61 + 2) * np.sin(theta * 37 + 5 * m.hair_part) + 0.8 * np.sin(theta * 127)
    return edge + (0.026 + 0.02 * m.bangs) * jag * ramp(abs(theta), 1.5, 1.2)


def hat_line(theta: np.ndarray) -> np.ndarray:
    """Chart height of a hat's lower edge."""
    return 0.33 + 0.13 * np.cos(theta)


@lru_cache(maxsize=4)
def _hair_rows(bottom: float) -> np.ndarray:
    low = span(bottom, -0.62, max(2, round((-0.62 - bottom) / 0.025)))[:-1]
    middle = span(-0.62, 0.25, 62)
    top = 0.25 + 0.83 * np.sin(span(0, math.pi / 2 - 0.01, 40))[1:]
    return np.concatenate((low, middle, top)) if bottom < -0.62 else np.concatenate((middle, top))


def hanging_rows(m: Face) -> int:
    """How many of the hair's rows, from the lowest, can be seen from within."""
    return int((_hair_rows(HANGING[m.hair_style]) < -0.15).sum()) if m.hair_style in HANGING else 0


def _scalp(theta: np.ndarray, y: np.ndarray, m: Face, hanging: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The smooth support of hair and hats (hanging: straight down where the head narrows); and its outward direction."""
    held = y.clip(-0.1) if hanging else y
    width, front, middle, back = section(held, m)
    sin, cos = np.sin(theta), np.cos(theta)
    forward = positive(cos) * (1 + 0.13 * sin * sin)
    z = middle + (front - middle) * forward - (middle - back) * positive(-cos)
    if hanging:
        z = z + 0.22 * ramp(held - y, 0.0, 0.5) * ramp(-cos, 0.1, 0.8)
    height = np.where(y < 0, y * m.scale_low, y * m.scale_high)
    rise = ((y - 0.15) / 0.95).clip(0, 1) * (math.pi / 2)
    level = np.cos(rise)
    x = width * sin
    out = np.stack(np.broadcast_arrays(sin * level, np.sin(rise), cos * level))
    return np.stack(np.broadcast_arrays(x, height, z)), out


def hair_grid(m: Face) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Hair: position, (theta, y, distance from its edge), and that distance (kept where positive); None if bald."""
    if m.hair_style == "bald":
        return None
    bottom = HANGING.get(m.hair_style, -0.62)
    theta, y = theta_grid()[None, :], _hair_rows(bottom)[:, None]
    edge = _hairline(m)[None, :]
    inside = y - edge
    if bottom < -0.62:
        tip = 0.08 * np.sin(theta * 23) * np.sin(theta * 9 + 1) + 0.06
        inside = np.minimum(inside, y - bottom - tip)
    thick = _THICKNESS[m.hair_style] * (1 + 0.45 * m.hair_volume)
    base, out = _scalp(theta, y, m, hanging=bottom < -0.62)
    wave = np.zeros_like(inside)
    if m.hair_style == "curly":
        wave = 0.16 * np.sin(7 * base[0] + 3 * base[1]) * np.sin(8 * base[1] - 2 * base[2])
        wave = wave + 0.14 * np.sin(9 * base[2] + 5 * base[0]) * np.sin(10 * base[1] + 4 * base[0])
    elif m.hair_style == "long_wavy":
        wave = 0.3 * np.sin(9 * y + 2 * np.sin(3 * theta)) * ramp(y, 0.4, -0.3)
    grow = ramp(inside, -0.05, 0.38) if not m.bangs else ramp(inside, -0.02, 0.2)
    if m.hair_style == "side_part":
        side = math.copysign(1.0, m.hair_part)
        grow = grow * (1 - 0.55 * np.exp(-(((theta * side - 0.42) / 0.1) ** 2)) * ramp(y, 0.4, 0.6))
    thickness = thick * (0.16 + 0.84 * grow) * (1 + wave)
    # The edge beside the face hugs the temple instead of standing off it.
    beside = ramp(abs(theta), 1.75, 1.25) * ramp(abs(theta), 0.9, 1.15)
    thickness = thickness * (1 - 0.3 * beside * ramp(y, 0.4, 0.0))
    if m.hat != "none":
        under = ramp(y - hat_line(theta), -0.12, 0.02)
        thickness = thickness * (1 - under) + thickness.clip(max=0.03) * under
    if m.bangs:
        thickness = thickness + 0.05 * ramp(y, 0.75, 0.4) * ramp(abs(theta), 1.2, 0.9)
    position = base + out * thickness
    return position, np.stack(np.broadcast_arrays(theta, y, inside)), inside


def hat_grid(m: Face) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
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
        position = np.stack((position[0] * (1 - 0.06 * ramp(inside, 0, 0.5)), lifted, position[2]))
    return position, np.stack(np.broadcast_arrays(theta, y, inside)), inside


def brim_grid(m: Face) -> tuple[np.ndarray, np.ndarray] | None:
    """Hat's brim or peak: position and (theta, share of its breadth)."""
    if m.hat not in ("cap", "brimmed"):
        return None
    reach = math.radians(78) if m.hat == "cap" else math.pi
    theta = span(-reach, reach, 121)[None, :]
    rho = span(0, 1, 20)[:, None]
    y = hat_line(theta) + 0.012
    base, out = _scalp(theta, y, m)
    start = base + out * 0.07
    if m.hat == "cap":
        ease = np.sqrt(positive(np.cos(theta * (math.pi / 2 / reach))))
        reach_out = 0.62 * ease * rho
        x = start[0] * (1 + 0.04 * rho)
        z = start[2] + reach_out
        height = start[1] - 0.24 * rho * ease - 0.1 * (start[0] / 0.75) ** 2 * rho
    else:
        reach_out = 0.42 * rho
        x = start[0] + reach_out * np.sin(theta)
        z = start[2] + reach_out * np.cos(theta)
        height = start[1] - 0.1 * np.sin(rho * 2.2) * (0.6 - 0.6 * np.cos(2 * theta)) * -0.6 - 0.04 * rho
    position = np.stack(np.broadcast_arrays(x, height, z))
    return position, np.stack(np.broadcast_arrays(theta, rho))


def ear_grid(m: Face, side: float) -> tuple[np.ndarray, np.ndarray]:
    """One ear (side -1 at the image's left): position and (angle, share of its radius)."""
    angle = span(0, 2 * math.pi, 61)[None, :]
    rho = span(0, 1, 26)[:, None]
    size = 1 + 0.2 * m.ear_size + 0.05 * (2 * m.male - 1) + 0.06 * m.old - 0.05 * m.child
    y0 = -0.14
    width, _, _, _ = section(flat([y0]), m)
    cos, sin = np.cos(angle), np.sin(angle)
    back = rho * cos * 0.165 * size * (1 + 0.25 * sin)  # egg: broad above, narrow lobe
    up = rho * sin * 0.29 * size
    stand = 0.14 + 0.11 * m.ear_protrusion
    behind = positive((back / (0.165 * size)) + 0.75)
    rim = 0.035 * np.exp(-(((rho - 0.9) / 0.12) ** 2)) * ramp(cos, -0.95, -0.3)
    bowl = -0.04 * bump(back, up, -0.02, -0.05, 0.07, 0.1) + 0.02 * bump(back, up, 0.02, 0.08, 0.03, 0.09)
    x = side * (width * 0.985 + 0.0 + stand * behind * 0.6 + rim + bowl)
    z = -0.08 - back + 0.12 * up
    height = (y0 + 0.02) * m.scale_low + up
    position = np.stack(np.broadcast_arrays(x, height, z))
    return position, np.stack(np.broadcast_arrays(angle, rho))


def glasses_grids(m: Face) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frame of the glasses as tubes (two rims, two temples, a bridge): position and (part of the way, angle) each."""
    if m.glasses == "none":
        return []
    horn = m.glasses == "horn"
    tube = 0.03 if horn else 0.016
    half_x, half_y, power = (0.255, 0.18, 3.2) if horn else (0.235, 0.185, 2.2)
    ring = span(0, 2 * math.pi, 73)
    cx = m.eye_x + 0.012
    cos, sin = np.cos(ring), np.sin(ring)
    rx = cx + half_x * np.sign(cos) * abs(cos).clip(1e-6) ** (2 / power)
    ry = m.eye_y - 0.025 + half_y * np.sign(sin) * abs(sin).clip(1e-6) ** (2 / power)
    lens_z = section(flat([m.eye_y]), m)[1] + 0.05 * m.nose_bridge + 0.14

    def plane(x: np.ndarray) -> np.ndarray:
        return lens_z - 0.16 * (x / 0.6) ** 2

    hinge = cx + half_x
    beside = section(flat([0.04]), m)[0] + 0.03
    t = span(0, 1, 30)
    temple_x = hinge + (beside - hinge) * t**0.5
    temple_z = plane(flat([hinge])) * (1 - t) - 0.12 * t
    temple_y = np.full_like(t, m.eye_y + 0.03)
    across = span(-1, 1, 16)
    bridge = np.stack(
        (
            across * (cx - half_x),
            m.eye_y + 0.03 + 0.035 * (1 - across**2),
            plane(across * (cx - half_x)) + 0.018,
        )
    )
    curves = [(bridge, tube)]
    for side in (-1.0, 1.0):
        curves.append((np.stack((side * rx, ry, plane(rx))), tube))
        curves.append((np.stack((side * temple_x, temple_y, temple_z)), tube * 0.9))
    return [_tube(curve, radius) for curve, radius in curves]


def _tube(curve: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Tube of a radius around a curve (3, k): position (3, 9, k) and (part of the way, angle) (2, 9, k)."""
    around = span(0, -2 * math.pi, 9)[:, None]
    along = np.gradient(curve, axis=1)
    along = along / length(along).clip(1e-6)
    level = np.stack((along[1], -along[0], np.zeros_like(along[0])))
    upright = np.stack((np.zeros_like(along[0]), along[2], -along[1]))
    one = np.where(length(level) < 0.3, upright, level)
    one = one / length(one).clip(1e-6)
    two = np.cross(along, one, axis=0)
    position = curve[:, None] + radius * (np.cos(around) * one[:, None] + np.sin(around) * two[:, None])
    way = span(0, 1, curve.shape[1])[None]
    return position, np.stack(np.broadcast_arrays(way, around))
