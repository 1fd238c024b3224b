"""Light: a key light with soft shadows, light from the sky with what the head itself keeps off, highlights."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fusiform.faces.synthetic._buffer import Samples
from fusiform.faces.synthetic._colour import Paint
from fusiform.faces.synthetic._math import lerp, positive
from fusiform.faces.synthetic._measures import Measures

__all__ = ["Light", "light_of", "shade"]

_REACH = 1.9  # dm around the head's middle that a shadow map covers
_MIDDLE = (0.0, -0.15, -0.1)


@dataclass(frozen=True)
class _Map:
    """Mean and mean square of how far surfaces reach towards a light (Donnelly and Lauritzen 2006), and its axes."""

    moments: Tensor  # (2, n, side, side)
    right: tuple[Tensor, Tensor, Tensor]
    up: tuple[Tensor, Tensor, Tensor]
    towards: tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Light:
    """Key light and sky of n faces, with the shadows that their shells cast."""

    towards: tuple[Tensor, Tensor, Tensor]
    key: _Map
    sky: _Map

    def of(self, faces: Tensor) -> "Light":
        """Return the light of some of the faces."""

        def part(one: _Map) -> _Map:
            axes = [tuple(c[faces] for c in axis) for axis in (one.right, one.up, one.towards)]
            return _Map(one.moments[:, faces], *axes)  # type: ignore[arg-type]

        return Light(tuple(c[faces] for c in self.towards), part(self.key), part(self.sky))  # type: ignore[arg-type]


def _axes(towards: tuple[Tensor, Tensor, Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Right, up and forward axes of a light, columns (n, 1) each."""
    x, y, z = towards
    flat = (x * x + z * z).sqrt().clamp_min(1e-4)
    right = (z / flat, torch.zeros_like(x), -x / flat)
    up = (y * right[2] - z * right[1], z * right[0] - x * right[2], x * right[1] - y * right[0])
    return [right, up, towards]


def _along(points: Tensor, axis: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Coordinates (n, k) of points (3, n, k) on an axis through the head's middle."""
    a, b, c = axis
    x, y, z = (points[i] - _MIDDLE[i] for i in range(3))
    return a * x + b * y + c * z


def _map(
    towards: tuple[Tensor, Tensor, Tensor],
    points: list[tuple[Tensor, Tensor, Tensor | None]],
    side: int,
    blur: int,
) -> _Map:
    n, device = len(towards[0]), towards[0].device
    right, up, forward = _axes(towards)
    top = torch.full((n * side * side + 1,), -_REACH, device=device)
    for placed, faces, keep in points:
        one = [tuple(c[faces] for c in axis) for axis in (right, up, forward)]
        u, v, w = (_along(placed, axis) for axis in one)  # type: ignore[arg-type]
        column = ((u * (1 / _REACH) + 1) * (side / 2)).long()
        row = ((v * (1 / _REACH) + 1) * (side / 2)).long()
        inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
        if keep is not None:
            inside &= keep > 0
        place = torch.where(inside, (faces * side * side)[:, None] + row * side + column, n * side * side)
        top.scatter_reduce_(0, place.view(-1), w.reshape(-1), "amax")
    grid = top[:-1].view(n, 1, side, side)
    grid = torch.nn.functional.max_pool2d(grid, 3, 1, 1)  # closes gaps between points
    moments = _box(_box(torch.cat((grid, grid * grid), 1), blur), blur)
    return _Map(moments.transpose(0, 1).contiguous(), right, up, forward)


def _box(values: Tensor, reach: int) -> Tensor:
    """Mean over a square, summed in one order whatever the batch."""
    side = values.shape[-1]
    for dim in (2, 3):
        pad = (reach, reach, 0, 0) if dim == 3 else (0, 0, reach, reach)
        wide = torch.nn.functional.pad(values, pad, mode="replicate")
        values = wide.narrow(dim, 0, side).clone()
        for i in range(1, 2 * reach + 1):
            values += wide.narrow(dim, i, side)
    return values * (1 / (2 * reach + 1) ** 2)


def light_of(m: Measures, points: list[tuple[Tensor, Tensor, Tensor | None]]) -> Light:
    """Light of faces.

    Parameters
    ----------
    m : Measures
        Of n faces: light, light_elevation.
    points : list of (Tensor, Tensor, Tensor or None)
        Points in the camera's frame that cast shadows ``(3, b, k)``, the faces ``(b,)`` that they belong to, and,
        positive, which of them exist ``(b, k)``.

    Returns
    -------
    Light
    """
    azimuth, height = m.light.double().deg2rad(), m.light_elevation.double().deg2rad()
    key = (azimuth.sin() * height.cos(), height.sin(), azimuth.cos() * height.cos())
    towards = tuple(c.float() for c in key)
    above = tuple(torch.full_like(m.yaw, c) for c in (0.0, 0.8, 0.6))
    return Light(
        towards,
        _map(towards, points, 96, 1),
        _map(above, points, 48, 3),  # type: ignore[arg-type]
    )


def _lit(one: _Map, points: Tensor, bias: Tensor | float, spread: float) -> Tensor:
    """How much of a light reaches points (3, n, k): 0 to 1, (n, k)."""
    side = one.moments.shape[-1]
    u, v, w = (_along(points, axis) for axis in (one.right, one.up, one.towards))
    x = ((u * (1 / _REACH) + 1) * (side / 2) - 0.5).clamp(0, side - 1.001)
    y = ((v * (1 / _REACH) + 1) * (side / 2) - 0.5).clamp(0, side - 1.001)
    i, j = y.int(), x.int()
    down, right = y - i, x - j
    start = torch.arange(len(u), device=u.device)[:, None] * (side * side)
    read = [Samples((start + i * side + j).int(), right, down, side).read(grid) for grid in one.moments]
    mean, square = read
    behind = positive(mean - w - bias)
    variance = (square - mean * mean).clamp_min(spread * spread)
    share = variance / (variance + behind * behind)
    within = (torch.maximum(u.abs(), v.abs()) < _REACH).float()  # beyond the map nothing casts shadows
    lit = ((share - 0.12) * (1 / 0.8)).clamp(0, 1)  # a thin thing far off leaves no trace
    return 1 - (1 - lit) * within


def shade(n: Tensor, points: Tensor, paint: Paint, m: Measures, light: Light) -> Tensor:
    """Light a surface.

    Parameters
    ----------
    n, points : Tensor
        Unit normals and places in the camera's frame, ``(3, b, k)``.
    paint : Paint
        What it looks like.
    m : Measures
        Of the b faces.
    light : Light
        Of the b faces.

    Returns
    -------
    Tensor
        Linear RGB ``(3, b, k)``.
    """
    kx, ky, kz = light.towards
    facing = n[0] * kx + n[1] * ky + n[2] * kz
    # What light only grazes would shade itself in a map of finite grain.
    shadow = _lit(light.key, points, 0.05 + 0.1 * positive(1 - facing), 0.06)
    open_ = lerp(_lit(light.sky, points, 0.1, 0.25), 1.0, 0.5)
    # Beneath skin red light travels farthest: the edge of its shadows is red.
    wraps = [0.08 + 0.24 * paint.flesh, 0.08 + 0.1 * paint.flesh, 0.08 + 0.04 * paint.flesh]
    warm = m.light_warmth
    tints = [1 + 0.12 * warm, 1 - 0.03 * warm, 1 - 0.24 * warm]
    sky = 1.3 * m.ambient * (0.84 + 0.16 * n[1]) * (0.75 + 0.25 * n[2]) * paint.dim * open_
    strength = 0.9 * m.light_strength
    hx, hy, hz = kx, ky, kz + 1
    long = (hx * hx + hy * hy + hz * hz).sqrt()
    glint = positive((n[0] * hx + n[1] * hy + n[2] * hz) / long)
    glint = glint * glint
    glint = glint * glint
    wide = glint * glint  # to the power 8
    sharp = wide * wide
    sharp = sharp * sharp  # to the power 32
    edge = positive(1 - n[2])
    fresnel = 0.7 + 1.5 * edge * edge * edge
    seen = shadow * paint.dim
    shadow = 0.1 + 0.9 * shadow  # what light the room throws back
    gloss = paint.gloss * m.light_strength * (0.45 * wide + 1.1 * sharp) * fresnel * seen
    soft = 0.5 + 0.5 * paint.dim
    out = []
    for c, (wrap, tint) in enumerate(zip(wraps, tints, strict=True)):
        diffuse = positive((facing + wrap) * (1 / (1 + wrap)))
        key = diffuse * lerp(shadow, shadow.sqrt(), wrap) * soft
        out.append(paint.albedo[c] * (strength * tint * key + sky) + tint * gloss)
    return torch.stack(out)
