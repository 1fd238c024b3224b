"""Features painted on the head: nose, brows, eyes, mouth."""

import torch
from torch import Tensor

from fusiform.faces.synthetic._canvas import TRACE, Canvas, Patch
from fusiform.faces.synthetic._colour import colour, hair_colour, hue_colour, palette, skin_colour
from fusiform.faces.synthetic._math import bell, bump, lerp, positive, ramp, smooth_noise
from fusiform.faces.synthetic._measures import Measures, brow_curve, lid_curves, lip_curves

__all__ = ["paint_brows", "paint_eyes", "paint_lips", "paint_nose"]

_IRIS = ((44, 26, 18), (92, 56, 30), (118, 96, 52), (88, 112, 78), (80, 114, 144), (138, 166, 184))


def paint_nose(c: Canvas, m: Measures) -> None:
    """Nostrils, wings and the nose's place."""
    half = m.bridge_w + 0.02 + (m.nose_w * 1.22 - m.bridge_w) * ramp(c.cy, -0.12, m.nose_y + 0.1)
    base = ((m.nose_y + 0.03 - c.cy) * (1 / 0.065)).clamp(0, 1)  # its corners are round
    half = half * (1 - base * base).sqrt()
    patch = c.near((c.ax < half) & (c.cy < m.eye_y + 0.04) & c.front)
    if patch is None:
        return
    c.mark(patch, patch.real, "nose")
    ax, cy = patch.ax, patch.cy
    wide = m.nose_w * (0.25 + 0.06 * m.nostril_flare)
    hole = bump(ax, cy + 0.3 * (ax - m.nose_w * 0.48), m.nose_w * 0.48, m.nose_y + 0.008, wide, 0.021)
    alpha = ramp(hole, 0.2, 0.8)
    c.over(patch, colour((46, 20, 16), cy) * (0.5 + 0.5 * skin_colour(m) * 1.2), 0.86 * alpha)
    d = (ax - m.nose_w * 1.08) * (1 / 0.02)
    wing = bell(d * d) * bump(ax, cy, m.nose_w, m.nose_y + 0.06, 0.1, 0.06)
    c.scale(c.dim, patch, (1 - 0.22 * wing) * (1 - 0.5 * alpha))
    c.scale(c.gloss, patch, 1 - alpha)


def paint_brows(c: Canvas, m: Measures) -> None:
    """Brows of single hairs that lean outwards."""
    patch = c.near((c.ax > 0.03) & (c.ax < 0.68) & ((c.cy - m.brow_y - 0.02).abs() < 0.21) & c.front)
    if patch is None:
        return
    ax, cy = patch.ax, patch.cy
    t = (ax - m.brow_in) / (m.brow_out - m.brow_in)
    centre, half = brow_curve(t.clamp(0, 1), m, patch.cx.sign())
    across = (cy - centre) / half
    body = ramp(across.abs(), 1.15, 0.55) * ramp(t, -0.08, 0.06) * ramp(t, 1.06, 0.9)
    # Hairs: stripes that run up and outwards at the inner end, along the brow at the outer.
    lean = 0.9 - 0.75 * ramp(t, 0.0, 0.6)
    lane = (cy - centre) * 34 * (1 - 0.5 * lean) - ax * 78 * lean
    hair = smooth_noise(lane + 40, ax * 16 + 9, 31)
    fine = ramp(body + 0.42 * hair, 0.25, 0.75)
    dense = 0.55 + 0.3 * m.brow_thickness + 0.1 * m.sex - 0.15 * m.child
    alpha = ((0.5 + 0.5 * fine) * body * (0.62 + 0.38 * dense) * 0.92).clamp(0, 0.93)
    alpha = (alpha + 0.25 * m.makeup * body).clamp_max(0.95)
    tone = hair_colour(m) * (0.72 - 0.12 * m.makeup) * (1 - 0.3 * m.hair_colour_blond)
    c.over(patch, tone * (0.85 + 0.25 * hair), alpha)
    c.scale(c.gloss, patch, 1 - alpha)
    c.mark(patch, alpha > TRACE, "left_brow", "right_brow")


def paint_eyes(c: Canvas, m: Measures) -> None:
    """Eyeballs with iris and catch-light, lids, lashes and eye make-up."""
    patch = c.near(((c.ax - m.eye_x).abs() < 1.55 * m.eye_w) & ((c.cy - m.eye_y).abs() < 0.25) & c.front)
    if patch is None:
        return
    cx, ax, cy = patch.cx, patch.ax, patch.cy
    s = (ax - m.eye_x) / m.eye_w
    y = cy - m.eye_y - m.tilt * s * m.eye_w
    upper, lower = lid_curves(s.clamp(-1, 1), m)
    _lids(c, patch, m, s, y, upper)
    soft = 0.006
    inside = torch.minimum(ramp(y, upper + soft, upper - soft), ramp(y, lower - soft, lower + soft)) * (
        s.abs() < 1
    )
    eye, gloss = _eyeball(patch, m, s, y, upper, lower)
    c.over(patch, eye, inside)
    c.put(c.gloss, patch, gloss, inside)
    shade = 1 - 0.5 * ramp(upper - y, 0.06, 0.0) - 0.12 * ramp(y - lower, 0.02, 0.0)
    c.put(c.dim, patch, shade, inside)
    for slope in (c.slope_x, c.slope_y):
        c.scale(slope, patch, 1 - inside)
    side = cx.sign()
    c.put(
        c.slope_x, patch, -1.1 * s * side * m.eye_w * 2.6, inside
    )  # the ball is rounder than the head behind it
    line = _lashes(c, patch, m, s, y, upper, lower)
    c.mark(patch, torch.maximum(inside, line) > TRACE, "left_eye", "right_eye")


def _lids(c: Canvas, patch: Patch, m: Measures, s: Tensor, y: Tensor, upper: Tensor) -> None:
    """Eye shadow and the crease of the upper lid."""
    painted = (
        ramp(y, upper - 0.005, upper + 0.02) * ramp(y, upper + 0.13, upper + 0.04) * ramp(s.abs(), 1.3, 0.75)
    )
    hue = hue_colour(0.78 + 0.1 * m.eye_colour + 0.1 * m.lipstick_hue, 0.34, 0.3)
    c.over(patch, hue * 0.9, 0.6 * m.makeup * painted)
    height = 0.05 + 0.018 * m.lid_fold - 0.028 * m.eye_closure - 0.03 * positive(m.lid_hood)
    fold = (y - upper.clamp_min(0.015) - height) * (1 / 0.011)
    crease = bell(fold * fold) * ramp(s.abs(), 1.15, 0.8)
    c.scale(c.dim, patch, 1 - (0.26 + 0.1 * m.old.clamp_max(1)) * crease)


def _eyeball(
    patch: Patch, m: Measures, s: Tensor, y: Tensor, upper: Tensor, lower: Tensor
) -> tuple[Tensor, Tensor]:
    """Colour (3, n, k) and gloss (n, k) of white, iris, pupil, tear and catch-light."""
    side = patch.cx.sign()
    ix = patch.cx - side * m.eye_x - 0.052 * m.gaze_x
    iy = y - (m.lid_high - m.lid_low) * 0.25 - 0.03 * m.gaze_y
    radius = (ix * ix + iy * iy).sqrt()
    veins = smooth_noise(patch.cx * 60, y * 90, 41)
    white = colour((226, 220, 215), y) * (1 - 0.3 * s.abs() ** 3)
    white = torch.stack(
        (white[0], white[1] * (1 - 0.03 * positive(veins)), white[2] * (1 - 0.04 * positive(veins)))
    )
    white = white * (1 - 0.07 * m.old.clamp_max(1)) * (1 - 0.2 * m.skin_tone)
    iris = palette(_IRIS, (m.eye_colour + 1) / 2)
    turn = (ix / radius.clamp_min(1e-4)).clamp(-1, 1)
    spokes = 1 + 0.3 * smooth_noise(turn * 7 + 20, iy.sign() * 3 + radius * 25, 42) * ramp(
        radius, 0.0, m.iris
    )
    ring = 1 - 0.72 * ramp(radius, m.iris * 0.68, m.iris * 1.02)
    glow = 1 + 0.55 * ramp(-iy, 0.0, m.iris)  # light gathers opposite the window
    eye = lerp(white, iris * (spokes * ring * glow), ramp(radius, m.iris + 0.006, m.iris - 0.006))
    eye = lerp(eye, colour((10, 9, 9), y), ramp(radius, m.iris * 0.42 + 0.006, m.iris * 0.42 - 0.006))
    tear = bump(s, y, -0.96, -0.004, 0.12, 0.018)
    eye = lerp(eye, colour((200, 130, 122), y), 0.75 * tear)
    azimuth = (m.light / 90).clamp(-1, 1)
    gx, gy = 0.034 * azimuth + 0.006, 0.014 + 0.02 * (m.light_elevation / 70)
    spot = ((ix - gx) ** 2 + (iy - gy) ** 2).sqrt()
    glint = ramp(spot, 0.019, 0.011) * ramp(radius, 1.6 * m.iris, m.iris)
    eye = lerp(eye, torch.ones_like(eye) * 1.25 * m.light_strength, 0.92 * glint)
    return eye, 0.05 + 0.0 * s


def _lashes(
    c: Canvas, patch: Patch, m: Measures, s: Tensor, y: Tensor, upper: Tensor, lower: Tensor
) -> Tensor:
    """Rim of the lids and lashes; returns how densely they are painted (n, k)."""
    thick = 0.007 + 0.006 * (1 - m.male) + 0.012 * m.makeup
    beyond = positive(s - 0.95)
    curve = upper + 0.1 * beyond * (0.4 + m.makeup)
    hairs = 0.75 + 0.45 * smooth_noise(s * 26 + 4, s * 0 + 1, 43)
    long = thick * (1 + 0.9 * hairs * ramp(s, -0.6, 0.7))
    rim = ramp(y, curve - 0.012, curve - 0.003) * ramp(y, curve + long * 1.6, curve + long * 0.5)
    rim = rim * ramp(s, 1.12 + 0.14 * m.makeup, 0.98) * ramp(s, -1.04, -0.88)
    low = ramp((y - lower + 0.004).abs(), 0.011, 0.003) * ramp(s.abs(), 1.02, 0.9)
    low = low * (0.25 + 0.4 * m.makeup)
    line = torch.maximum(rim * (0.72 + 0.2 * m.makeup + 0.08 * (1 - m.male)), low)
    c.over(patch, colour((30, 20, 18), y) * (1 - 0.4 * m.makeup), line)
    c.scale(c.gloss, patch, 1 - line)
    return line


def paint_lips(c: Canvas, m: Measures) -> Tensor:
    """Lips, the opening with teeth and tongue; returns the lower lip's edge over the whole canvas (n, k)."""
    s_all = c.cx / m.mouth_w
    bottom_all = lip_curves(s_all.clamp(-1, 1), m)[3]
    y = c.cy - m.mouth_y
    patch = c.near((s_all.abs() < 1.12) & (y < 0.24 + 0.3 * m.gap) & (y > -0.24 - m.gap) & c.front)
    if patch is None:
        return bottom_all
    s, cy = patch.cx / m.mouth_w, patch.cy
    top, rim_up, rim_low, bottom = lip_curves(s.clamp(-1, 1), m)
    in_s = (s.abs() < 1).float()
    soft = 0.011
    lips = torch.minimum(ramp(cy, top + soft, top - soft), ramp(cy, bottom - soft, bottom + soft)) * in_s
    skin = skin_colour(m)
    red = 0.5 + 0.28 * m.lip_redness - 0.16 * m.male - 0.12 * m.old.clamp_max(1)
    tint = torch.tensor([0.83, 0.42, 0.43], device=cy.device)[:, None, None]
    natural = lerp(skin * 0.82, skin * tint, (0.5 + 0.6 * red).clamp_max(1))
    stick = hue_colour(0.985 - 0.045 * m.lipstick_hue, 0.3, 0.72)
    paint = lerp(natural, stick, 0.86 * m.lipstick)
    upper = ramp(cy, (rim_up + rim_low) * 0.5 - 0.004, (rim_up + rim_low) * 0.5 + 0.004)
    ridges = smooth_noise(s * 30 + 5, cy * 14, 51)
    edge = ramp(torch.minimum(top - cy, cy - bottom), 0.0, 0.03)
    c.over(
        patch, paint * (0.96 + 0.1 * ridges - 0.16 * upper + 0.04 * edge), lips * (0.88 + 0.1 * m.lipstick)
    )
    c.put(c.gloss, patch, (0.05 + 0.1 * m.lipstick + 0.03 * ridges) * (1 - 0.8 * upper), lips)
    c.put(c.slope_x, patch, 0.2 * ridges, lips)
    gap = rim_up - rim_low
    hole = torch.minimum(ramp(cy, rim_up + 0.004, rim_up - 0.006), ramp(cy, rim_low - 0.004, rim_low + 0.006))
    hole = hole * ramp(gap, 0.004, 0.014) * in_s
    inner = colour((52, 16, 18), cy) * (0.6 + 0.4 * ramp(gap, 0.0, 0.1))
    tongue = bump(s, cy, 0.0, m.mouth_y - 0.85 * m.gap, 0.5, 0.05 + 0.1 * m.gap)
    inner = lerp(inner, colour((158, 76, 76), cy), 0.75 * tongue * ramp(m.gap, 0.05, 0.14))
    drop = (0.045 + 0.2 * gap).clamp_max(0.075) * (1 - 0.7 * s * s)
    teeth = (
        ramp(gap, 0.012, 0.035)
        * ramp(cy, rim_up - drop - 0.012, rim_up - drop + 0.004)
        * ramp(s.abs(), 0.93, 0.72)
    )
    joints = 1 - 0.09 * ramp((s * 15.5).cos(), 0.86, 1.0)
    ivory = colour((238, 230, 216), cy) * (0.95 - 0.4 * s * s) * joints * (1 - 0.12 * m.old.clamp_max(1))
    inner = lerp(inner, ivory, teeth)
    low_teeth = (
        ramp(gap, 0.012, 0.035)
        * ramp(cy, rim_low + 0.03, rim_low + 0.02)
        * ramp(m.gap, 0.12, 0.2)
        * ramp(s.abs(), 0.6, 0.45)
    )
    inner = lerp(inner, ivory * 0.55, 0.6 * low_teeth)
    inner = inner * (1 - 0.45 * ramp(rim_up - cy, 0.02, 0.0))
    c.over(patch, inner, hole)
    c.put(c.gloss, patch, torch.full_like(s, 0.02), hole)
    c.put(c.dim, patch, 1 - 0.25 * s * s, torch.maximum(hole, 0.7 * lips))
    d = (cy - (rim_up + rim_low) * 0.5) * (1 / 0.009)
    slit = bell(d * d) * ramp(s.abs(), 1.06, 0.95) * ramp(gap, 0.03, 0.012)
    corner = bump(s.abs(), cy - m.mouth_y - 0.7 * m.corner, 1.0, 0.0, 0.06, 0.022)
    c.over(patch, colour((74, 30, 28), cy) * (0.35 + 0.65 * skin), torch.maximum(0.66 * slit, 0.45 * corner))
    shown = torch.maximum(lips, hole) > TRACE
    c.mark(patch, lips > TRACE, "lips")
    c.mark(patch, shown | ((slit > TRACE) & (s.abs() < 1)), "mouth")
    return bottom_all
