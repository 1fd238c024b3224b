"""The head's sample pixels as a canvas, on which features paint over their own patch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fusiform.faces.synthetic._buffer import pick
from fusiform.faces.synthetic._colour import skin_colour
from fusiform.faces.synthetic._math import lerp
from fusiform.faces.synthetic._measures import Measures
from fusiform.faces.synthetic._parts import BITS

__all__ = ["TRACE", "Canvas", "Patch"]

TRACE = 0.003  # paint thinner than that changes no byte, and is not part of a mask


@dataclass(frozen=True)
class Patch:
    """Some places of a canvas: index (n, k), whether it is one (padding is not), and their coordinates (n, k)."""

    index: Tensor
    real: Tensor
    cx: Tensor
    cy: Tensor
    theta: Tensor

    @property
    def ax(self) -> Tensor:
        """Distance from the face's middle."""
        return self.cx.abs()


class Canvas:
    """Looks of the head's sample pixels; a last place takes what padding writes.

    Parameters
    ----------
    uv : Tensor
        Theta and chart coordinates, ``(3, n, k)``.
    m : Measures
        Of n faces.
    """

    def __init__(self, uv: Tensor, m: Measures) -> None:
        self.theta, self.cx, self.cy = uv
        self.ax = self.cx.abs()
        n, k = self.cx.shape
        self.albedo = skin_colour(m).expand(3, n, k + 1).clone()
        self.parts = torch.zeros((n, k + 1), dtype=torch.int64, device=uv.device)
        self.gloss, self.dim, self.slope_x, self.slope_y = torch.zeros((4, n, k + 1), device=uv.device)
        self.dim.fill_(1.0)
        self.front = self.theta.abs() < 1.5

    def near(self, mask: Tensor) -> Patch | None:
        """Return the places where a mask (n, k) holds; None where there are none."""
        picked = pick(mask)
        if picked is None:
            return None
        inside = picked.index.clamp_max(mask.shape[1] - 1)
        coordinates = [c.gather(1, inside) for c in (self.cx, self.cy, self.theta)]
        return Patch(picked.index, picked.real, *coordinates)

    def over(self, patch: Patch, colour: Tensor, alpha: Tensor) -> None:
        """Blend a colour (3, n, 1 or k) over a patch by alpha (n, k)."""
        for channel, values in zip(self.albedo, colour, strict=True):
            channel.scatter_(1, patch.index, lerp(channel.gather(1, patch.index), values, alpha))

    def scale(self, field: Tensor, patch: Patch, factor: Tensor) -> None:
        """Multiply one of the canvas' fields (n, k + 1) on a patch."""
        field.scatter_(1, patch.index, field.gather(1, patch.index) * factor)

    def put(self, field: Tensor, patch: Patch, value: Tensor, alpha: Tensor) -> None:
        """Blend a value into one of the canvas' fields (n, k + 1) on a patch."""
        field.scatter_(1, patch.index, lerp(field.gather(1, patch.index), value, alpha))

    def mark(self, patch: Patch, where: Tensor, part: str, right: str | None = None) -> None:
        """Set a part's bit where a patch is True; of two parts the one on whose side of the face a place lies."""
        bits: Tensor | int = BITS[part]
        if right is not None:
            bits = torch.where(patch.cx < 0, BITS[part], BITS[right])
        old = self.parts.gather(1, patch.index)
        self.parts.scatter_(1, patch.index, torch.where(where, old | bits, old))

    def mark_all(self, where: Tensor, part: str) -> None:
        """Set a part's bit where a mask (n, k) holds."""
        self.parts[:, :-1] |= where * BITS[part]
