"""What is behind the head."""

import torch
from torch import Tensor

from fusiform.faces.synthetic._colour import hue_colour
from fusiform.faces.synthetic._math import lerp, ramp, smooth_noise, span
from fusiform.faces.synthetic._measures import Measures

__all__ = ["backdrop"]


def backdrop(m: Measures, size: int) -> Tensor:
    """Linear RGB (3, n, size * size) of the backgrounds of n faces."""
    c = span(0.5 / size - 0.5, 0.5 - 0.5 / size, size, m.yaw.device)
    x, y = c.repeat(size), c.repeat_interleave(size)
    base = hue_colour(m.background_hue, m.background_lightness, m.background_saturation)
    k = 5 + 5 * m.background_hue
    wide = smooth_noise(x * k + 40 * m.background_hue, y * k + 50 * m.background_lightness, 71)
    fine = smooth_noise(x * 3.1 * k + 7, y * 3.1 * k + 90 * m.background_hue, 72)
    gradient = 1.05 - 0.5 * y - 0.7 * (x * x + y * y)
    tone = (
        m.background_plain
        + m.background_gradient * gradient
        + m.background_blobs * (1 + 0.3 * wide + 0.1 * fine)
    )
    out = base * (tone + m.background_indoors + m.background_outdoors)
    # Indoors: a wall with a lighter window or picture and a darker piece of furniture, out of focus.
    left = 0.9 * (m.background_hue - 0.5)
    window = ramp((x - left).abs(), 0.2, 0.15) * ramp((y + 0.28).abs(), 0.3, 0.24)
    desk = ramp(y, 0.16, 0.22) * ramp((x + 0.8 * left).abs(), 0.42, 0.34)
    other = hue_colour(m.background_hue + 0.45, 1 - 0.7 * m.background_lightness, m.background_saturation)
    room = lerp(out * (1.05 - 0.35 * (y + 0.5)), other * 1.1, 0.75 * window)
    room = lerp(room, base * 0.45, 0.8 * desk)
    out = lerp(out, room, m.background_indoors)
    # Outdoors: sky over trees or hills over ground.
    horizon = 0.06 + 0.14 * m.background_lightness + 0.07 * wide
    sky = lerp(base * 0.5 + 0.4, torch.ones_like(base) * 0.8, ramp(y, -0.5, 0.2))
    leaves = hue_colour(0.2 + 0.16 * m.background_hue, 0.18 + 0.2 * m.background_lightness, 0.3) * (
        1 + 0.4 * fine
    )
    ground = hue_colour(0.1 + 0.15 * m.background_hue, 0.4, 0.16) * (1 + 0.12 * fine)
    scene = lerp(sky * (1 + 0.06 * fine), leaves, ramp(y, horizon - 0.16, horizon - 0.1))
    scene = lerp(scene, ground, ramp(y, horizon + 0.1, horizon + 0.14))
    return lerp(out, scene, m.background_outdoors)
