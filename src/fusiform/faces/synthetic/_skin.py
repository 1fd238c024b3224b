"""The painted head: skin with its redness, pores, freckles, folds and wrinkles, and the places of concepts on it."""

import torch
from torch import Tensor

from fusiform.faces.synthetic._beard import paint_beard
from fusiform.faces.synthetic._buffer import length
from fusiform.faces.synthetic._canvas import Canvas
from fusiform.faces.synthetic._colour import Paint, skin_colour
from fusiform.faces.synthetic._features import paint_brows, paint_eyes, paint_lips, paint_nose
from fusiform.faces.synthetic._hair import paint_roots
from fusiform.faces.synthetic._math import bell, bump, positive, ramp, smooth_noise, true_places
from fusiform.faces.synthetic._measures import Measures
from fusiform.faces.synthetic._parts import BITS

__all__ = ["paint_head"]


def _line(distance: Tensor, width: float) -> Tensor:
    d = distance * (1 / width)
    return bell(d * d)


def _those(m: Measures, condition: Tensor) -> tuple[Tensor, Measures]:
    """The faces (b,) for which a condition (n, 1) holds, and their measures."""
    faces = true_places(condition[:, 0])
    return faces, m.of(faces)


def _tint(c: Canvas, m: Measures) -> None:
    """Redness of cheeks, nose and ears' neighbourhood, bluish lids, mottling and pores."""
    ax, cx, cy = c.ax, c.cx, c.cy
    rough = 0.5 + 0.5 * m.skin_roughness
    mottle = smooth_noise(cx * 9 + 31, cy * 9 + 5, 1) * 0.6 + smooth_noise(cx * 26, cy * 26, 2) * 0.4
    pores = smooth_noise(c.theta * 62, cy * 62, 3)
    red = 0.13 * bump(ax, cy, 0.4, -0.36, 0.2, 0.17) + 0.16 * bump(cx, cy, 0.0, m.tip_y, 0.13, 0.1)
    red = red + 0.05 * bump(cx, cy, 0.0, -1.02, 0.16, 0.1) + (0.02 + 0.035 * rough) * mottle
    dark = 0.05 * bump(ax, cy, m.eye_x, m.eye_y - 0.13, 0.15, 0.06) + 0.03 * bump(
        ax, cy, m.eye_x, m.eye_y + 0.1, 0.15, 0.06
    )
    dark = dark + (0.012 + 0.03 * rough + 0.02 * m.old) * positive(pores) + 0.025 * m.old * positive(mottle)
    shaven = m.male * (1 - m.child) * ramp(m.age, 13.0, 20.0)
    jaw = ramp(cy, m.nose_y + 0.02, m.mouth_y) * ramp(c.theta.abs(), 1.5, 1.2)
    dark = dark + 0.05 * shaven * jaw
    k = c.albedo[..., :-1]
    k[0] *= 1 + 0.16 * red - 0.9 * dark
    k[1] *= 1 - red - dark
    k[2] *= 1 - 0.8 * red - 0.75 * dark
    c.slope_x[:, :-1] += (0.02 + 0.05 * rough) * pores
    c.slope_y[:, :-1] += (0.02 + 0.05 * rough) * smooth_noise(c.theta * 62 + 9, cy * 62 + 50, 4)
    shine = 0.045 * (1 + 0.6 * m.skin_shine)
    zone = 0.6 + 0.9 * bump(cx, cy, 0.0, 0.42, 0.3, 0.2) + 0.9 * bump(cx, cy, 0.0, m.tip_y, 0.1, 0.2)
    zone = zone + 0.7 * bump(ax, cy, 0.42, -0.2, 0.15, 0.1)
    c.gloss[:, :-1] = shine * zone * (1 + 0.35 * pores) * (1 - 0.35 * m.child) * (1 - 0.5 * m.makeup * 0.3)


def _blemishes(c: Canvas, m: Measures) -> None:
    """Freckles, the mole, spots of age."""
    cx, cy = c.cx, c.cy
    freckled, some = _those(m, positive(m.freckles) * (1 - m.skin_tone) > 0)
    patch = c.near(c.front & (c.ax < 0.75) & (cy < 0.2) & (cy > -0.75), freckled)
    if patch is not None:
        spots = smooth_noise(patch.cx * 24 + 5, patch.cy * 24, 11) * 0.7
        spots = ramp(spots + smooth_noise(patch.cx * 47, patch.cy * 47, 12) * 0.5, 0.32, 0.62)
        spots = spots * bump(patch.ax, patch.cy, 0.25, -0.26, 0.36, 0.24)
        freckle = skin_colour(some) * torch.tensor([0.62, 0.42, 0.33], device=cx.device)[:, None, None]
        c.over(patch, freckle, 0.85 * some.freckles * (1 - some.skin_tone) * spots)
    aged, some = _those(m, m.old > 0.6)
    patch = c.near((cy > -1.1) & (c.ax > 0.1), aged)
    if patch is not None:
        spots = ramp(smooth_noise(patch.theta * 9 + 3, patch.cy * 9, 13), 0.62, 0.8) * ramp(
            patch.ax, 0.2, 0.5
        )
        brown = skin_colour(some) * torch.tensor([0.72, 0.6, 0.52], device=cx.device)[:, None, None]
        c.over(patch, brown, 0.3 * ramp(some.old, 0.6, 1.1) * spots)
    x, y = 0.45 * m.mole_x, -0.45 + 0.35 * m.mole_y
    patch = c.near(((cx - x).abs() < 0.06) & ((cy - y).abs() < 0.06) & (m.mole_size > 0.15) & c.front)
    if patch is not None:
        distance = ((patch.cx - x) ** 2 + (patch.cy - y) ** 2).sqrt()
        mole = ramp(distance, 0.012 + 0.02 * m.mole_size, 0.004 + 0.012 * m.mole_size)
        c.over(patch, skin_colour(m) * 0.28, 0.9 * mole)


def _folds(c: Canvas, m: Measures) -> None:
    """Where light does not reach: sockets, beside and below the nose, under the lip, along the folds of age and face."""
    ax, cx, cy = c.ax, c.cx, c.cy
    old, smile = m.old.clamp_max(1), m.AU_12
    dark = 0.2 * bump(ax, cy, m.eye_x - 0.13, m.eye_y + 0.05, 0.09, 0.09)
    dark = dark + 0.1 * bump(ax, cy, m.eye_x, m.eye_y + 0.085, 0.17, 0.05)
    bags = 0.05 + 0.1 * old + 0.28 * m.eye_bags
    trough = cy - m.eye_y + 0.125 + 0.012 * m.eye_bags - 0.55 * (ax - m.eye_x + 0.02) ** 2
    dark = dark + bags * _line(trough, 0.028) * ramp((ax - m.eye_x + 0.03).abs(), 0.15, 0.06)
    dark = dark + 0.2 * bump(cx, cy, 0.0, m.nose_y - 0.045, m.nose_w * 0.9, 0.05)
    dark = dark + 0.13 * bump(ax, cy, m.nose_w * 1.2, m.nose_y + 0.05, 0.035, 0.08)
    below = m.mouth_y - m.lower_lip_h - 0.8 * m.gap - 0.06
    dark = dark + 0.13 * bump(cx, cy, 0.0, below, 0.16, 0.035)
    # From the wing of the nose past the corner of the mouth.
    fold_x = m.nose_w * 1.3 + (m.mouth_w + 0.06 - m.nose_w * 1.3) * ramp(cy, m.nose_y + 0.08, m.mouth_y)
    fold = (
        _line(ax - fold_x, 0.026)
        * ramp(cy, m.nose_y + 0.11, m.nose_y)
        * ramp(cy, m.mouth_y - 0.12, m.mouth_y + 0.12)
    )
    strength = 0.2 * smile + 0.2 * old + 0.2 * m.AU_9 + 0.08 * m.AU_20 + 0.04
    dark = dark + strength * fold
    c.slope_x[:, :-1] += (0.25 * smile + 0.22 * old) * fold * (ax - fold_x) * 30 * cx.sign()
    pit = bump(ax, cy, m.mouth_w + 0.125, m.mouth_y + 0.04, 0.018, 0.04)
    dark = dark + 0.4 * positive(m.dimples) * (0.2 + 0.8 * smile) * pit
    dark = dark + 0.35 * positive(m.chin_cleft) * bump(cx, cy, 0.0, -1.045, 0.012, 0.06)
    dark = dark + 0.3 * m.AU_15 * bump(ax, cy, m.mouth_w + 0.03, m.mouth_y - 0.07, 0.025, 0.05)
    dark = dark + 0.25 * m.AU_20 * bump(ax, cy, m.mouth_w + 0.05, m.mouth_y, 0.02, 0.08)
    dark = dark + 0.22 * m.AU_17 * bump(cx, cy, 0.0, below - 0.02, 0.13, 0.03)
    c.dim[:, :-1] *= (1 - dark * c.front).clamp_min(0.25)
    c.dim[:, :-1] *= 1 - 0.3 * ramp(cy, -1.12, -1.2)


def _wrinkles(c: Canvas, m: Measures) -> None:
    """Lines of the forehead, between the brows, at the eyes' corners, over the nose, from mouth to chin."""
    old = m.old.clamp_max(1)
    lifted = torch.maximum(m.AU_1, m.AU_2)
    patch = c.near((c.cy > m.brow_y + 0.04) & (c.cy < 0.72) & (c.ax < 0.62) & (old + lifted > 0.05))
    if patch is not None:
        cx, cy, ax = patch.cx, patch.cy, patch.ax
        wave = cy + 0.03 * (cx * 5).cos() + 0.012 * (cx * 11 + 9 * m.mole_x).sin()
        lines = (wave * 58).cos()
        line = ramp(lines, 0.75, 1.0)
        inner, outer = m.AU_1 * ramp(ax, 0.36, 0.16), m.AU_2 * ramp(ax, 0.1, 0.3)
        strength = (0.2 * positive(old - 0.1) + 0.28 * torch.maximum(inner, outer)) * ramp(
            cy, m.brow_y + 0.05, m.brow_y + 0.14
        )
        strength = strength * ramp(cy, 0.68, 0.55) * ramp(ax, 0.56, 0.32)
        strength = strength * (0.65 + 0.6 * smooth_noise(cx * 4 + 11 * m.mole_y, cy * 9, 14)).clamp(0, 1)
        c.scale(c.dim, patch, 1 - strength * line)
        slope = -(wave * 58).sin() * ramp(lines, 0.2, 0.9) * strength
        c.put(c.slope_y, patch, slope, (strength * 3).clamp(0, 1))
    patch = c.near((c.ax < 0.16) & ((c.cy - m.brow_y).abs() < 0.14) & (m.AU_4 + old > 0.2))
    if patch is not None:
        crease = _line(patch.ax - 0.05 - 0.1 * (patch.cy - m.brow_y), 0.012) * bump(
            patch.ax, patch.cy, 0.0, m.brow_y, 0.2, 0.08
        )
        c.scale(c.dim, patch, 1 - (0.4 * m.AU_4 + 0.14 * positive(old - 0.2)) * crease)
    patch = c.near((c.ax < 0.13) & (c.cy.abs() < 0.16) & (m.AU_9 + m.AU_4 > 0.1))
    if patch is not None:
        lines = ramp(((patch.cy - 0.02 - 0.5 * patch.ax) * 85).cos(), 0.55, 1.0) * bump(
            patch.cx, patch.cy, 0.0, 0.0, 0.075, 0.08
        )
        c.scale(c.dim, patch, 1 - 0.42 * m.AU_9 * lines)
    feet_x = m.eye_x + m.eye_w
    patch = c.near(
        (c.ax > feet_x - 0.05)
        & (c.ax < feet_x + 0.22)
        & ((c.cy - m.eye_y).abs() < 0.17)
        & (m.AU_6 + old > 0.15)
    )
    if patch is not None:
        dx, dy = patch.ax - feet_x + 0.09, patch.cy - m.eye_y - 0.01
        angle = dy / dx.clamp_min(0.02)
        lines = ramp((angle * 13).cos(), 0.6, 1.0) * ramp(angle.abs(), 1.25, 0.7)
        reach = ramp(dx, 0.09, 0.13) * ramp(dx, 0.28, 0.16)
        c.scale(
            c.dim, patch, 1 - (0.3 * positive(old - 0.1) + 0.26 * m.AU_6 * (0.4 + 0.6 * old)) * lines * reach
        )
    patch = c.near((c.ax < 0.5) & (c.cy < m.mouth_y) & (c.cy > -1.12) & (old > 0.3))
    if patch is not None:
        marionette = _line(patch.ax - m.mouth_w - 0.02 - 0.2 * (m.mouth_y - patch.cy), 0.02)
        marionette = marionette * ramp(patch.cy, m.mouth_y, m.mouth_y - 0.06) * ramp(patch.cy, -1.1, -0.97)
        c.scale(c.dim, patch, 1 - 0.2 * positive(old - 0.3) * marionette)
    patch = c.near((c.ax < 0.26) & ((c.cy - m.mouth_y - 0.09).abs() < 0.07) & (old > 0.6))
    if patch is not None:
        lines = ramp((patch.cx * 70).cos(), 0.6, 1.0) * bump(
            patch.ax, patch.cy, 0.0, m.mouth_y + 0.085, 0.2, 0.035
        )
        c.scale(c.dim, patch, 1 - 0.3 * positive(old - 0.6) * lines)


def _rouge(c: Canvas, m: Measures) -> None:
    ax, cy = c.ax, c.cy
    rosy_ones, some = _those(m, m.rosy_cheeks > 0)
    patch = c.near(((ax - 0.43).abs() < 0.36) & ((cy + 0.34).abs() < 0.32) & c.front, rosy_ones)
    if patch is not None:
        rosy = bump(patch.ax, patch.cy, 0.43, -0.32 + 0.1 * (patch.ax - 0.43), 0.22, 0.15)
        skin = skin_colour(some)
        tint = torch.stack((skin[0] * 1.06 + 0.03, skin[1] * 0.42, skin[2] * 0.5 + 0.005))
        c.over(patch, tint, 0.4 * some.rosy_cheeks * rosy)
    cheek = (((ax - 0.42) * (1 / 0.23)) ** 2 + ((cy + 0.34) * (1 / 0.24)) ** 2 < 1) & c.front
    c.parts[:, :-1] |= torch.where(cheek, torch.where(c.cx < 0, BITS["left_cheek"], BITS["right_cheek"]), 0)


def _places(c: Canvas, m: Measures, bottom: Tensor) -> None:
    """Mark where concepts live."""
    ax, cy, theta = c.ax, c.cy, c.theta.abs()

    def oval(x: float | Tensor, y: float | Tensor, rx: float, ry: float) -> Tensor:
        return ((ax - x) * (1 / rx)) ** 2 + ((cy - y) * (1 / ry)) ** 2 < 1

    places = {
        "under_eyes": oval(m.eye_x - 0.01, m.eye_y - 0.115, 0.17, 0.07),
        "cheekbones": oval(0.46, -0.22, 0.2, 0.13),
        "double_chin": (theta < 0.95) & (cy < -1.09),
        "AU_1": (ax < 0.32) & (cy > m.brow_y - 0.06) & (cy < m.brow_y + 0.32),
        "AU_2": (ax > 0.24) & (ax < 0.6) & (cy > m.brow_y - 0.06) & (cy < m.brow_y + 0.32),
        "AU_4": (ax < 0.45) & (cy > m.eye_y + 0.08) & (cy < m.brow_y + 0.14),
        "AU_5": oval(m.eye_x, m.eye_y + 0.06, 0.2, 0.1),
        "AU_6": oval(m.eye_x + 0.06, -0.24, 0.28, 0.2),
        "AU_9": (ax < 0.34) & (cy < m.brow_y + 0.08) & (cy > m.mouth_y + 0.05),
        "AU_12": oval(m.mouth_w + 0.05, m.mouth_y + 0.06, 0.17, 0.2),
        "AU_15": oval(m.mouth_w, m.mouth_y - 0.05, 0.13, 0.13),
        "AU_17": (ax < 0.24) & (cy < bottom + 0.06) & (cy > -1.18),
        "AU_20": oval(m.mouth_w + 0.02, m.mouth_y, 0.15, 0.12),
    }
    for name, where in places.items():
        c.mark_all(where & c.front, name)
    mouth = (c.parts[:, :-1] & BITS["mouth"]) != 0
    c.mark_all(mouth, "AU_25")
    c.mark_all(mouth | ((cy < m.mouth_y + 0.08) & c.front), "AU_26")
    chin = (ax * (1 / 0.34)) ** 2 + ((cy + 1.04) * (1 / 0.2)) ** 2 < 1
    c.mark_all(chin & c.front & (cy < bottom - 0.05), "chin")


def paint_head(uv: Tensor, n: Tensor, m: Measures, axes: tuple[Tensor, Tensor]) -> Paint:
    """Look of the head's sample pixels.

    Parameters
    ----------
    uv : Tensor
        Theta and chart coordinates, ``(3, n, k)``.
    n : Tensor
        Unit normals in the camera's frame, ``(3, n, k)``; fine relief is added in place.
    m : Measures
        Of n faces.
    axes : tuple of Tensor
        The head's right and up in the camera's frame, ``(3, n, 1)`` each.

    Returns
    -------
    Paint
    """
    c = Canvas(uv, m)
    _tint(c, m)
    _blemishes(c, m)
    _folds(c, m)
    _wrinkles(c, m)
    _rouge(c, m)
    paint_roots(c, m)
    paint_nose(c, m)
    paint_brows(c, m)
    paint_eyes(c, m)
    bottom = paint_lips(c, m)
    paint_beard(c, m)
    _places(c, m, bottom)
    covered = BITS["left_eye"] | BITS["right_eye"] | BITS["left_brow"] | BITS["right_brow"] | BITS["mouth"]
    c.mark_all((c.parts[:, :-1] & covered) == 0, "skin")
    right, up = axes
    n -= c.slope_x[:, :-1] * right
    n -= c.slope_y[:, :-1] * up
    n /= length(n).clamp_min(1e-6)
    return Paint(c.albedo[..., :-1], c.parts[:, :-1], c.gloss[:, :-1], c.dim[:, :-1], flesh=1.0)
