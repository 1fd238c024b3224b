"""Look of hair: locks and strands, roots, sheen; and the roots on the scalp."""

import torch
from torch import Tensor

from fusiform.faces.synthetic._buffer import Camera, length
from fusiform.faces.synthetic._canvas import TRACE, Canvas
from fusiform.faces.synthetic._colour import Paint, hair_colour, skin_colour
from fusiform.faces.synthetic._hair_field import curly, flow, rooted, styled
from fusiform.faces.synthetic._math import lerp, ramp, smooth_noise
from fusiform.faces.synthetic._measures import Measures
from fusiform.faces.synthetic._parts import BITS

__all__ = ["paint_hair", "paint_locks", "paint_roots"]


def _density(inside: Tensor, strand: Tensor, side: Tensor, m: Measures) -> Tensor:
    """How densely hair hides the scalp near its line, from the distance inside and the strands' noise.

    ``side`` is 1 at the temples, where it thins out more slowly.
    """
    thin = 0.35 * ramp(m.hair_recession, 0.35, 0.9) + 0.18 * m.old.clamp_max(1)
    cropped = ramp(m.hair_length, 0.16, 0.08)
    grown = ramp(inside + 0.025 * strand, -0.035, 0.05 + 0.16 * thin + 0.07 * side)
    return grown * (0.97 - 0.12 * cropped - 0.22 * thin * ramp(strand, 0.5, -0.5))


def paint_roots(c: Canvas, m: Measures) -> None:
    """Hair's roots on the scalp along the hairline."""
    if not bool(m.has_hair.any()):
        return
    inside = rooted(c.theta, c.cy, m)
    patch = c.near((inside > -0.09) & m.has_hair)
    if patch is None:
        return
    here = c.read(inside, patch)
    lane = patch.theta * 46 + patch.cy * 6
    strand = 0.6 * smooth_noise(lane, patch.cy * 9 + patch.theta * 5, 81) + 0.4 * smooth_noise(
        lane * 1.9 + 20, patch.cy * 16, 82
    )
    density = _density(here, strand, ramp(patch.theta.abs(), 0.6, 0.95) * ramp(m.hair_recession, 0.5, 0.3), m)
    tone = hair_colour(m) * (0.8 + (0.12 + 0.2 * ramp(m.hair_length, 0.1, 0.3)) * strand).clamp(0.35, 1.3)
    c.over(patch, tone, density)
    c.scale(c.gloss, patch, 1 - 0.8 * density)
    c.put(c.slope_x, patch, 0.5 * strand, 0.7 * density)
    c.mark(patch, density > TRACE, "hair")


def paint_hair(uv: Tensor, n: Tensor, m: Measures) -> Paint:
    """Look of the hair's sample pixels.

    Parameters
    ----------
    uv : Tensor
        Distance from the hairline, how much farther within what hangs or falls over the forehead, relief, chart height and place in the head's frame,
        ``(7, n, k)``.
    n : Tensor
        Unit normals in the camera's frame, ``(3, n, k)``; strands are added in place.
    m : Measures
        Of n faces.

    Returns
    -------
    Paint
    """
    root, loose, relief, chart, x, y, z = uv
    f = flow(x, y, z, m)
    curl = curly(m)
    strands = smooth_noise(f.lane_x * 19 + 0.9 * f.along, f.lane_z * 19, 84)
    fine = smooth_noise(f.lane_x * 44, f.lane_z * 44 + 1.8 * f.along, 85)
    strand = 0.55 * strands + 0.45 * fine
    if float(curl.max()) > 0:
        # The level lines of a noise are loops.
        cells = smooth_noise(x * 8 + z * 6 + 0.4 * strands, y * 8 + z * 5 + 0.4 * fine, 86)
        more = smooth_noise(x * 13 - z * 9 + 0.5 * strands, y * 12 - z * 10 + 30, 87)
        rings = 0.24 * (cells * 6 + more * 3).sin() + 0.3 * cells + 0.35 * more + 0.3 * fine
        strand = lerp(strand, rings, curl)
    # Along the strand on the surface, and across it, in the camera's frame.
    camera = Camera(m, 1, 1.0)
    steep = ramp(f.apart, 0.0, 0.9)
    down = camera.turn(
        torch.stack((f.right * (1 - 0.7 * steep), -0.25 - 0.75 * steep, f.front * (1 - 0.7 * steep)))
    )
    dot = down[0] * n[0] + down[1] * n[1] + down[2] * n[2]
    tangent = down - dot * n
    tangent = tangent / length(tangent).clamp_min(1e-4)
    across = torch.stack((n[1] * tangent[2] - n[2] * tangent[1], n[2] * tangent[0] - n[0] * tangent[2],
                          n[0] * tangent[1] - n[1] * tangent[0]))  # fmt: skip
    shine = _sheen(tangent, strand, m)
    n += across * (0.36 * strand)
    n /= length(n).clamp_min(1e-6)
    base = hair_colour(m)
    deep = ((relief - 0.72) * (1 / 0.5)).clamp(0, 1)
    grown = 0.4 + 0.6 * ramp(m.hair_length, 0.1, 0.3)
    tone = (0.44 + 0.46 * deep + 0.46 * strand * grown).clamp(0.2, 1.35)
    tone = tone * (1 - 0.25 * ramp(f.apart, 0.16, 0.0) * styled(m))
    albedo = base * tone + (0.05 + 0.42 * base) * (shine * (1 - 0.6 * curl))
    albedo = _thin(albedo, root, loose, strand, f.apart, chart, m)
    dim = (0.55 + 0.45 * deep) * lerp(1.0, ramp(chart, -1.6, 0.1), 0.25)
    parts = torch.full_like(x, BITS["hair"], dtype=torch.int64)
    return Paint(albedo, parts, torch.zeros_like(x), dim)


def paint_locks(uv: Tensor, n: Tensor, m: Measures) -> Paint:
    """Look of hair that hangs, as `paint_hair`: darker where it is seen from within."""
    out = Camera(m, 1, 1.0).turn(torch.stack((uv[4], torch.zeros_like(uv[4]), uv[6] + 0.1)))
    within = ramp(out[0] * n[0] + out[1] * n[1] + out[2] * n[2], 0.0, -0.15)
    paint = paint_hair(uv, n, m)
    paint.dim *= 1 - 0.5 * within
    return paint


def _sheen(tangent: Tensor, strand: Tensor, m: Measures) -> Tensor:
    """Two highlights across the strands (Kajiya and Kay 1989, Marschner and others 2003), shifted apart."""
    azimuth, height = m.light.deg2rad(), m.light_elevation.deg2rad()
    hx, hy, hz = azimuth.sin() * height.cos(), height.sin(), azimuth.cos() * height.cos() + 1
    half = (hx * hx + hy * hy + hz * hz).sqrt()
    t = (tangent[0] * hx + tangent[1] * hy + tangent[2] * hz) / half
    a, b = (t + 0.1 + 0.14 * strand) * (1 / 0.2), (t - 0.14 + 0.2 * strand) * (1 / 0.34)
    return 0.7 * (-(a * a)).exp() + (0.5 + 0.5 * strand) * (-(b * b)).exp()


def _thin(
    albedo: Tensor, root: Tensor, loose: Tensor, strand: Tensor, apart: Tensor, chart: Tensor, m: Measures
) -> Tensor:
    """Let the scalp through where hair is cropped or sparse, and along the parting."""
    standing = ramp(m.hair_length, 0.1, 0.2) * (1 - 0.4 * ramp(m.hair_recession, 0.4, 0.6))
    scalp = (
        (1 - _density(root, strand, ramp(chart, 0.6, 0.4) * ramp(m.hair_recession, 0.5, 0.3), m))
        * ramp(loose, 0.03, 0.0)
        * (1 - 0.75 * standing)
        * (1 - curly(m) * ramp(m.hair_length, 0.2, 0.4))
    )
    line = ramp(apart, 0.02, 0.004) * styled(m) * ramp(chart, 0.62, 0.8) * ramp(m.hair_length, 0.15, 0.3)
    return lerp(albedo, skin_colour(m) * 0.92, torch.maximum(scalp, 0.5 * line))
