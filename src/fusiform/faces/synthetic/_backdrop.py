"""What is behind the head, always out of focus."""

import torch
from torch import Tensor

from fusiform.faces.synthetic._colour import hue_colour
from fusiform.faces.synthetic._math import lerp, positive, ramp, smooth_noise, span
from fusiform.faces.synthetic._measures import Measures

__all__ = ["backdrop"]


def _mottle(x: Tensor, y: Tensor, m: Measures) -> Tensor:
    """Soft blotches about 0: octaves on lattices that are turned and bent, so that none of their squares shows."""
    k, shift = 3 + 4 * _fraction(m, 5), 40 * m.background_hue + 50 * m.background_lightness
    x, y = x + (0.5 / k) * (1.7 * k * y + shift).sin(), y + (0.5 / k) * (1.4 * k * x + 2 * shift).sin()
    u, v = (0.82 * x + 0.57 * y) * k + shift, (0.82 * y - 0.57 * x) * k
    wide = smooth_noise(u, v, 71)
    return 0.75 * wide + 0.4 * smooth_noise(1.5 * u - 1.2 * v + 7, 1.2 * u + 1.5 * v, 72)


def _fraction(m: Measures, k: float) -> Tensor:
    """A number in [0, 1) of which nothing else depends, (n, 1)."""
    return (m.background_hue * k + m.background_lightness * (k + 11)) % 1


def backdrop(m: Measures, size: int) -> Tensor:
    """Linear RGB (3, n, size * size) of the backgrounds of n faces."""
    c = span(0.5 / size - 0.5, 0.5 - 0.5 / size, size, m.yaw.device)
    x, y = c.repeat(size), c.repeat_interleave(size)
    base = hue_colour(m.background_hue, m.background_lightness, m.background_saturation)
    gradient = 1.05 - 0.5 * y - 0.7 * (x * x + y * y)
    out = base * lerp(torch.ones_like(x), gradient, m.background_gradient)
    scenes = (
        (m.background_blobs, _canvas),
        (m.background_indoors, _room),
        (m.background_outdoors, _outdoors),
    )
    for column, scene in scenes:
        faces = (column[:, 0] > 0).nonzero()[:, 0]
        if len(faces):
            out[:, faces] = scene(x, y, base[:, faces], m.of(faces))
    return out


def _canvas(x: Tensor, y: Tensor, base: Tensor, m: Measures) -> Tensor:
    """A photographer's painted canvas."""
    return base * (1 + 0.32 * _mottle(x, y, m)) * (1.06 - 0.5 * (x * x + y * y))


def _box(x: Tensor, half: Tensor | float, soft: float) -> Tensor:
    """About 1 within half a width of 0."""
    return ramp(x.abs() - half, soft, -soft)


def _room(x: Tensor, y: Tensor, base: Tensor, m: Measures) -> Tensor:
    """A wall, lit from one side, with a window or a picture, shelves or a door, and a lamp's glow."""
    one, two, three = (_fraction(m, k) for k in (7.0, 13.0, 23.0))
    side = (two > 0.5) * 2.0 - 1
    left = side * (0.3 + 0.12 * one)
    wall = lerp(base, (base * 0.5 + 0.2), 0.4) * (1.02 - 0.35 * y - 0.3 * side * x)
    other = hue_colour(m.background_hue + 0.35 + 0.3 * one, 0.35 + 0.4 * three, 0.3)
    # A window, or a framed picture.
    across, down = x + left, y + 0.24 - 0.1 * three
    half = 0.12 + 0.06 * two
    pane = lerp(other, other * 0 + 0.9, (one > 0.4).float())
    cross = 1 - 0.45 * (one > 0.4) * (_box(across, 0.012, 0.02) + _box(down, 0.01, 0.02))
    room = lerp(wall, wall * 0.6, _box(across, half + 0.025, 0.025) * _box(down, 0.23, 0.025))
    room = lerp(room, pane * cross * (1.05 - 0.4 * y), _box(across, half, 0.03) * _box(down, 0.205, 0.03))
    # On the other side shelves with books, or a door.
    apart = x - side * 0.42
    shelf = _box(apart, 0.15, 0.03) * (three > 0.35) * ramp(y, -0.42, -0.36)
    row = (y * 27 + 6 * one).sin()
    books = smooth_noise(apart * 26 + 9 * one, (y * (27 / 6.2832)).floor() * 3 + 5 * two, 73)
    warm = hue_colour(0.07 + 0.03 * one, 0.24, 0.4)
    stock = (
        lerp(warm, lerp(other, base, 0.4), 0.5 + 0.35 * books)
        * (0.85 + 0.2 * books)
        * (0.65 + 0.35 * ramp(row, -0.9, 0.0))
    )
    room = lerp(room, stock, shelf)
    glow = positive(1 - 5 * ((x - side * 0.3) * (x - side * 0.3) + (y + 0.1) * (y + 0.1)))
    room = room + (three <= 0.35) * 0.25 * glow * glow * hue_colour(m.background_hue * 0 + 0.1, 0.7, 0.8)
    # Below, the top of a table or a sofa's back.
    height = 0.2 + 0.16 * one
    return lerp(
        room, lerp(warm, other * 0.6, (two > 0.3).float()), 0.9 * ramp(y, height - 0.025, height + 0.025)
    )


def _outdoors(x: Tensor, y: Tensor, base: Tensor, m: Measures) -> Tensor:
    """Sky, far hills, and trees or houses over the ground."""
    one, two, three = (_fraction(m, k) for k in (7.0, 13.0, 23.0))
    mottle = _mottle(x, y, m)
    bright = 0.75 + 0.35 * m.background_lightness
    hue = m.background_hue * 0
    clear = lerp(hue_colour(hue + 0.58, 0.55, 0.6), hue_colour(hue + 0.08, 0.75, 0.55), (one > 0.75).float())
    clear = lerp(clear, hue_colour(hue + 0.6, 0.72, 0.08), (one < 0.3).float())
    pale = hue_colour(hue + 0.1, 0.88, 0.2)
    sky = lerp(clear, pale, ramp(y, -0.55, 0.15)) * (1 + 0.05 * mottle)
    horizon = 0.02 + 0.16 * two
    # Hills, blue with distance.
    ridge = horizon - 0.1 - 0.07 * (x * (4 + 3 * three) + 9 * one).sin() - 0.03 * (x * 11 + 20 * two).sin()
    far = lerp(hue_colour(0.4 + 0.2 * three, 0.45, 0.18), pale, 0.25)
    scene = lerp(sky, far, ramp(y, ridge - 0.02, ridge + 0.02))
    # Trees, with light through their leaves; their height differs from a hedge's to that of a wood.
    tall = 0.06 + 0.4 * three * three
    crown = horizon - tall * (1 + 0.3 * (x * (5 + 4 * two) + 30 * one).sin()) - 0.09 * mottle
    green = hue_colour(0.17 + 0.15 * two, 0.14 + 0.2 * one, 0.38)
    leaves = green * (1 + 0.5 * mottle) + 0.1 * pale * positive(mottle) * (1 + mottle)
    # Or houses: blocks of different heights with soft edges.
    place = x * 2.3 + 7 * one
    block = smooth_noise(
        place.floor() + 0.5 * ramp(place - place.floor(), 0.94, 1.0), place * 0 + 3 * two, 74
    )
    roof = horizon - 0.24 - 0.2 * block
    front = hue_colour(0.05 + 0.08 * two, 0.5, 0.18) * (0.8 + 0.35 * block)
    windows = ramp((place * 24).sin(), 0.1, 0.9) * ramp(((y - horizon) * (50 + 20 * one)).sin(), -0.3, 0.7)
    city = (two > 0.62).float()
    top, what = lerp(crown, roof, city), lerp(leaves, front * (1 - 0.13 * windows), city)
    scene = lerp(scene, what, ramp(y, top - 0.025, top + 0.025))
    grass = hue_colour(0.12 + 0.14 * one, 0.42, 0.3)
    ground = lerp(grass, hue_colour(hue + 0.09, 0.5, 0.06), city) * (0.95 + 0.1 * mottle + 0.3 * y)
    scene = lerp(scene, ground, ramp(y, horizon + 0.02, horizon + 0.09))
    return lerp(scene, base, 0.06) * bright
