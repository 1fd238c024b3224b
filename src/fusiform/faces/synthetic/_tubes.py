"""Tubes around curves, pieces side by side on one grid, and metal: of these jewellery and frames of glasses are made."""

import math

import torch
from torch import Tensor

from fusiform.faces.synthetic._colour import colour
from fusiform.faces.synthetic._math import ramp, span
from fusiform.faces.synthetic._measures import Measures

__all__ = ["joined", "metal", "tube"]


def tube(centre: Tensor, one: Tensor, two: Tensor, wide: Tensor, high: Tensor, rows: int) -> Tensor:
    """Tube ``(3, n, rows, k)`` around a curve ``(3, n, k)``: half sizes (n or 1, k) along two of its normals."""
    around = span(0, 2 * math.pi, rows, centre.device)[:, None]
    a, b = around.cos() * wide[:, None], around.sin() * high[:, None]
    return centre[:, :, None] + a * one[:, :, None] + b * two[:, :, None]


def joined(pieces: list[Tensor], keeps: list[Tensor | None]) -> tuple[Tensor, Tensor]:
    """Grids ``(c, n, rows, k)`` side by side and where they exist ``(n, rows, k)``; between them there is nothing."""
    grids, alive = [], []
    for grid, keep in zip(pieces, keeps, strict=True):
        live = torch.ones_like(grid[0]) if keep is None else keep.expand_as(grid[0])
        nothing = torch.full_like(live[..., :1], -1e6)
        grids += [grid[..., :1], grid, grid[..., -1:]]
        alive += [nothing, live, nothing]
    return torch.cat(grids, 3), torch.cat(alive, 2)


def metal(n: Tensor, m: Measures, contrast: float = 1.0) -> Tensor:
    """Colour (3, n, k) of polished gold or silver, whichever a person wears: it mirrors sky, horizon and ground."""
    gold, silver = colour((222, 176, 92), n), colour((196, 198, 204), n)
    base = torch.where(m.mole_x < 0.1, gold, silver)
    mirrored = n[1] * (2 * n[2])  # height of the mirrored direction
    bright = 0.75 * ramp(mirrored, -0.1, 0.35) + 0.35 * ramp(mirrored, -0.35, -0.8) - 0.4
    return base * (0.8 + contrast * bright)
