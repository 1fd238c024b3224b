"""The head's sample pixels as a canvas, on which features paint over their own patch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fusiform.faces.synthetic._buffer import pick
from fusiform.faces.synthetic._colour import skin_colour
from fusiform.faces.synthetic._math import lerp, take
from fusiform.faces.synthetic._measures import Measures
from fusiform.faces.synthetic._parts import BITS

__all__ = ["TRACE", "Canvas", "Patch"]

TRACE = 0.003  # paint thinner than that changes no byte, and is not part of a mask


@dataclass(frozen=True)
class Patch:
    """Some places of a canvas: flat index (b, k), whether it is one (padding is not), and their coordinates (b, k)."""

    index: Tensor
    real: Tensor
    cx: Tensor
    cy: Tensor
    theta: Tensor

    @property
    def ax(self) -> Tensor:
        """Distance from the face's middle."""
        return self.cx.abs()

    def of(self, rows: Tensor) -> "Patch":
        """Return the patch on some of its faces."""
        return Patch(
            *(v.index_select(0, rows) for v in (self.index, self.real, self.cx, self.cy, self.theta))
        )


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
        self.albedo = skin_colour(m).expand(3, n, k + 1).contiguous()
        self.parts = torch.zeros((n, k + 1), dtype=torch.int64, device=uv.device)
        self.gloss, self.dim, self.slope_x, self.slope_y = torch.zeros((4, n, k + 1), device=uv.device)
        self.dim.fill_(1.0)
        self.front = self.theta.abs() < 1.5

    def near(self, mask: Tensor, faces: Tensor | None = None) -> Patch | None:
        """Return the places where a mask (n, k) holds, of all faces or of some (b,); None where there are none."""
        coordinates = (self.cx, self.cy, self.theta)
        if faces is None:
            faces = torch.arange(len(mask), device=mask.device)
        else:
            mask, *rest = (v.index_select(0, faces) for v in (mask, *coordinates))
            coordinates = (rest[0], rest[1], rest[2])
        picked = pick(mask)
        if picked is None:
            return None
        inside = picked.index.clamp_max(mask.shape[1] - 1)
        flat = inside + torch.arange(len(mask), device=mask.device)[:, None] * mask.shape[1]
        cx, cy, theta = (take(c.reshape(-1), flat) for c in coordinates)
        return Patch(picked.index + (faces * (mask.shape[1] + 1))[:, None], picked.real, cx, cy, theta)

    def over(self, patch: Patch, colour: Tensor, alpha: Tensor) -> None:
        """Blend a colour (3, b, 1 or k) over a patch by alpha (b, k)."""
        for channel, values in zip(self.albedo, colour, strict=True):
            self.put(channel, patch, values, alpha)

    def scale(self, field: Tensor, patch: Patch, factor: Tensor) -> None:
        """Multiply one of the canvas' fields (n, k + 1) on a patch."""
        self._write(field, patch, take(field.view(-1), patch.index) * factor)

    def put(self, field: Tensor, patch: Patch, value: Tensor, alpha: Tensor) -> None:
        """Blend a value into one of the canvas' fields (n, k + 1) on a patch."""
        self._write(field, patch, lerp(take(field.view(-1), patch.index), value, alpha))

    def read(self, values: Tensor, patch: Patch) -> Tensor:
        """Values of the whole canvas (n, k) on a patch."""
        k = values.shape[1]
        row = torch.div(patch.index, k + 1, rounding_mode="floor")
        return take(values.reshape(-1), row * k + (patch.index - row * (k + 1)).clamp_max(k - 1))

    def parts_of(self, patch: Patch) -> Tensor:
        """Return the bits of the parts that a patch shows so far (b, k)."""
        return take(self.parts.view(-1), patch.index)

    def mark(self, patch: Patch, where: Tensor, part: str, right: str | None = None) -> None:
        """Set a part's bit where a patch is True; of two parts the one on whose side of the face a place lies."""
        bits: Tensor | int = BITS[part]
        if right is not None:
            bits = torch.where(patch.cx < 0, BITS[part], BITS[right])
        self._write(self.parts, patch, self.parts_of(patch) | where * bits)

    def _write(self, field: Tensor, patch: Patch, values: Tensor) -> None:
        field.view(-1).scatter_(0, patch.index.view(-1), values.reshape(-1))

    def mark_all(self, where: Tensor, part: str) -> None:
        """Set a part's bit where a mask (n, k) holds."""
        self.parts[:, :-1] |= where * BITS[part]
