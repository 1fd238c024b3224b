"""The body's shape and what is chosen of its clothes.

A place on the body is named by its azimuth and a *level*, which is its height where the body faces sideways.
"""

import torch
from torch import Tensor

from fusiform.faces.synthetic._colour import hue_colour
from fusiform.faces.synthetic._math import bell, bump, lerp, positive, ramp
from fusiform.faces.synthetic._measures import Measures

__all__ = ["body_points", "collar_levels", "cut_of", "jacket_of", "neckline", "shirt_colour"]


def cut_of(m: Measures) -> tuple[Tensor, Tensor, Tensor]:
    """Whether the clothes have a round neck, a V-neck or a shirt's collar, columns of 0 or 1.

    A tie asks for a collar; without one the number that would colour it chooses the cut.
    """
    number = (m.necktie_hue * 5 + 0.1) % 1
    shirt = torch.maximum(m.necktie, (number > 0.72).float())
    vee = (1 - shirt) * (number > 0.46)
    return 1 - shirt - vee, vee, shirt


def collar_levels(theta: Tensor, m: Measures) -> tuple[Tensor, Tensor]:
    """Levels of the upper fold and of the lower edge of a shirt's collar."""
    cos = theta.cos()
    top = -1.19 - 0.13 * positive(cos) * cos
    beyond = positive(theta.abs() - (0.66 - 0.26 * m.necktie))
    return top, top - 0.13 - 0.17 * positive(1 - beyond * (1 / 0.6))


def neckline(theta: Tensor, m: Measures) -> Tensor:
    """Level at which the clothes end; a shirt's edge lies under its collar, and leaves it where the collar opens."""
    away, cos = theta.abs(), theta.cos()
    crew, vee, shirt = cut_of(m)
    knit = -1.33 - (0.16 * crew + 0.07) * cos - 0.62 * vee * positive(1 - away * (1 / 1.1))
    opening = 0.36 * (1 - m.necktie) * positive(1 - away * (1 / 0.42))
    return lerp(knit, collar_levels(theta, m)[0] - 0.005 - opening, shirt)


def body_points(theta: Tensor, level: Tensor, m: Measures) -> Tensor:
    """Points (3, n, k) of the skin at azimuths and levels, (n, k) or (k,)."""
    s, child = m.sex, m.child
    sin, cos, away = theta.sin(), theta.cos(), theta.abs()
    radius = (0.475 + 0.05 * s + 0.035 * m.neck_width + 0.045 * m.weight - 0.01 * m.old) * (1 - 0.2 * child)
    within = 0.62 + 0.38 * ramp(level, -0.3, -0.85)  # the top hides in the head
    base = ramp(level, -1.0, -1.5)
    slope = ramp(level, -1.16, -2.12)
    chest = ramp(level, -1.45, -2.5)
    broad = 1.36 + 0.16 * s - 0.42 * child + 0.1 * m.weight
    width = radius * within + 0.05 * base + broad * slope
    depth = radius * (1.12 * within) + 0.03 * base + (0.36 - 0.1 * child) * chest
    middle = -0.35 + 0.1 * ramp(level, -1.7, -0.8)
    muscle = lerp(0.16, 1.2, ramp(level, -1.62, -0.8))  # from the breastbone to behind the ear
    grown = 1 - 0.7 * child
    lean = grown * (1 - 0.5 * m.weight)
    u = (away - muscle) * (1 / 0.17)
    out = (0.026 + 0.012 * s) * lean * bell(u * u) * ramp(level, -1.66, -1.5) * ramp(level, -0.8, -1.0)
    out = out + 0.04 * m.male * grown * bump(theta, level, 0.0, -1.27, 0.15, 0.075)
    out = out - 0.04 * bump(theta, level, 0.0, -1.6, 0.16, 0.06)
    v = (level + 1.63 - 0.05 * away) * (1 / 0.035)
    out = out + 0.026 * lean * bell(v * v) * ramp(away, 0.1, 0.3) * ramp(away, 1.3, 0.9)
    band = (away - 0.24) * (1 / 0.07)
    out = out + 0.02 * positive(m.old - 0.45) * bell(band * band) * ramp(level, -1.6, -1.3)
    ring = (level + 1.22 + 0.04 * cos) * (1 / 0.05)
    out = out - 0.012 * positive(m.weight) * bell(ring * ring) * positive(cos)
    x, z = (width + out) * sin, middle + (depth + out) * cos
    drop = (0.04 * base + 0.13 * ramp(level, -1.3, -2.2)) * cos
    longer = -0.6 * (1.2 * (m.scale_low - 1) + 0.06 * m.chin_length)
    y = (level - drop) + longer
    return torch.stack(torch.broadcast_tensors(x, y, z))


def shirt_colour(m: Measures) -> Tensor:
    """Colour (3, n, 1) of a shirt and its collar: pale beneath a dark jacket."""
    cloth = hue_colour(m.clothes_hue, m.clothes_lightness, 0.35)
    pale = hue_colour(m.clothes_hue, 0.92, 0.3)
    return lerp(cloth, pale, jacket_of(m))


def jacket_of(m: Measures) -> Tensor:
    """Whether a jacket in the clothes' colour is worn over a pale shirt: with a tie, where that colour is dark."""
    return m.necktie * (m.clothes_lightness < 0.55)
