"""Hair of the face: stubble, beard, goatee, mustache and sideburns, each grown by its own factor."""

import torch
from torch import Tensor

from fusiform.faces.synthetic._canvas import TRACE, Canvas, Patch
from fusiform.faces.synthetic._colour import hair_colour, skin_colour
from fusiform.faces.synthetic._math import bump, ramp, smooth_noise, true_places
from fusiform.faces.synthetic._measures import Measures, lip_curves
from fusiform.faces.synthetic._parts import BITS

__all__ = ["paint_beard"]


def _places(patch: Patch, m: Measures) -> dict[str, Tensor]:
    """How densely each kind can grow at a place, 0 to 1."""
    ax, cy, theta = patch.ax, patch.cy, patch.theta.abs()
    top, _, _, bottom = lip_curves((patch.cx / m.mouth_w).clamp(-1, 1), m)
    off_lips = (ramp(cy, top - 0.002, top + 0.02) + ramp(cy, bottom + 0.004, bottom - 0.025)).clamp_max(1)
    off_lips = torch.maximum(off_lips, ramp(ax, m.mouth_w * 0.98, m.mouth_w + 0.03))
    ragged = 0.05 * smooth_noise(patch.theta * 9 + 3, cy * 9, 61) + 0.025 * smooth_noise(
        patch.theta * 25, cy * 25, 62
    )
    line = m.mouth_y + 0.1 + (m.nose_y + 0.36 - m.mouth_y) * ramp(ax, 0.28, 0.68) + ragged
    jaw = ramp(cy, line + 0.13, line - 0.13) * ramp(theta, 1.72, 1.45)
    jaw = jaw * (1 - 0.25 * bump(ax, cy, 0.13, m.mouth_y - 0.15, 0.07, 0.06))
    droop = m.mouth_w * 1.12
    upper = m.nose_y - 0.035 - 0.13 * (ax / droop) ** 2 + 0.4 * ragged
    lip = ramp(cy, upper + 0.02, upper - 0.04) * ramp(ax, droop + 0.02, droop - 0.1)
    lip = lip * ramp(cy, m.mouth_y + m.corner - 0.1, m.mouth_y + m.corner - 0.03)
    lip = lip * (1 - 0.35 * ramp(ax, 0.02, 0.0))
    edge = 0.5 * ragged
    chin = ramp(ax + 1.4 * edge, 0.31, 0.12) * ramp(cy, bottom - 0.02, bottom - 0.08)
    chin = torch.maximum(chin, 0.9 * ramp(ax, 0.07, 0.03) * ramp(cy, bottom - 0.005, bottom - 0.03))
    chin = chin * ramp(cy, m.mouth_y, m.mouth_y - 0.06)
    front = 1.17 + 0.2 * ramp(cy, -0.15, -0.6) + 0.18 * ramp(cy, 0.0, 0.3) * m.hairless + 0.6 * ragged
    side = ramp(theta, front - 0.1, front + 0.12) * ramp(theta, 1.62, 1.46)
    side = side * ramp(cy + 1.5 * ragged, -0.62, -0.3) * ramp(cy + ragged, 0.34, 0.06 - 0.1 * m.hairless)
    return {"beard": jaw * off_lips, "mustache": lip * off_lips, "goatee": chin * off_lips, "sideburns": side}


def _anywhere(places: dict[str, Tensor]) -> Tensor:
    """How densely stubble can grow: everywhere but at the temples."""
    return torch.stack([places[name] for name in ("beard", "mustache", "goatee")]).amax(0)


def paint_beard(c: Canvas, m: Measures) -> None:
    """Paint the hair of the face over skin, and mark what grows and where it could."""
    side = c.theta.abs()
    low = (c.cy < 0.25 - 0.9 * (0.68 - c.ax).clamp_min(0)) | (side > 0.95)  # the middle of the face has none
    patch = c.near(low & (c.cy < 0.32) & (side < 1.8))
    if patch is None:
        return
    places, free = _places(patch, m), (c.parts_of(patch) & BITS["mouth"]) == 0
    anywhere = _anywhere(places) * free
    c.mark(patch, anywhere > 0.3, "beard_area")
    hairy = true_places(torch.stack([getattr(m, kind) for kind in (*places, "stubble")]).amax(0)[:, 0] > 0)
    if not len(hairy):
        return
    patch, m = patch.of(hairy), m.of(hairy)
    anywhere, free = anywhere.index_select(0, hairy), free.index_select(0, hairy)
    places = {name: place.index_select(0, hairy) for name, place in places.items()}
    grown = {name: getattr(m, name) * place * free for name, place in places.items()}
    theta, cy = patch.theta, patch.cy
    # Strands fall down and outwards.
    lane = theta * 46 + 5 * cy * patch.cx.sign()
    fine = 0.55 * smooth_noise(lane, cy * 11 + 7, 63) + 0.45 * smooth_noise(lane * 2.3 + 50, cy * 19, 64)
    dots = smooth_noise(theta * 70, cy * 70 + 9, 65)
    tone = hair_colour(m) * 0.82
    shade = torch.minimum(tone * 0.8, skin_colour(m) * 0.42) + 0.008
    stubble = m.stubble * anywhere * (0.42 + 0.26 * dots)
    stubble = stubble * (stubble > TRACE)
    c.over(patch, shade, stubble)
    total = stubble
    for name, density in grown.items():
        strength = ramp(getattr(m, name), 0.0, 0.35)
        alpha = (
            ramp(density + 0.3 * fine * density.clamp_max(0.6), 0.12, 0.55)
            * 0.96
            * strength
            * (density > 0.02)
        )
        alpha = alpha * (alpha > TRACE)
        c.over(patch, tone * (0.88 + 0.42 * fine).clamp(0.3, 1.5), alpha)
        if name != "beard":
            c.mark(patch, alpha > 0, name)
        total = torch.maximum(total, alpha)
    c.scale(c.gloss, patch, 1 - total)
    c.put(c.slope_x, patch, 0.8 * fine, total)
    c.mark(patch, total > 0, "beard")
