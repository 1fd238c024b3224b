"""Pixels and the samples of which they are made: three samples along two pixels, the middle one shared."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["PER_PIXEL", "any_of", "average", "nearest", "samples_along", "spread"]

PER_PIXEL = 1.5  # samples along a pixel


def samples_along(size: int) -> int:
    """How many samples a picture of a size has along each side."""
    return 3 * ((size + 1) // 2)


def _joined(samples: Tensor, size: int, dim: int, join: Callable[[Tensor, Tensor, bool], Tensor]) -> Tensor:
    """Samples joined to pixels over an axis; ``join`` gets the two samples of a pixel, and whether the first counts more."""
    blocks = samples.unflatten(dim, (-1, 3))
    axis = dim + 1 if dim >= 0 else dim
    first, middle, last = blocks.unbind(axis)
    pairs = torch.stack((join(first, middle, True), join(middle, last, False)), axis)
    return pairs.flatten(axis - 1, axis).narrow(dim, 0, size)


def average(samples: Tensor, size: int) -> Tensor:
    """Mean of samples (..., side, side) over each pixel's area: (..., size, size)."""

    def join(one: Tensor, two: Tensor, first: bool) -> Tensor:
        return torch.lerp(one, two, 1 / 3 if first else 2 / 3)

    return _joined(_joined(samples, size, -2, join), size, -1, join)


def any_of(planes: Tensor, size: int) -> Tensor:
    """Bits that any sample of a pixel has: (..., side, side) -> (..., size, size)."""

    def join(one: Tensor, two: Tensor, first: bool) -> Tensor:
        return one | two

    return _joined(_joined(planes, size, -2, join), size, -1, join)


def nearest(depth: Tensor, size: int) -> Tensor:
    """Flat place of the nearest of each pixel's samples, the first of equals: (n, side, side) -> (n, size, size)."""
    side = depth.shape[-1]
    place = torch.arange(side * side, device=depth.device).view(side, side).expand(depth.shape)
    # A depth is positive, so that its bits order as it does; the place breaks ties.
    key = (depth.view(torch.int32).long() << 32) | place

    def join(one: Tensor, two: Tensor, first: bool) -> Tensor:
        return torch.minimum(one, two)

    return _joined(_joined(key, size, -2, join), size, -1, join) & 0xFFFFFFFF


def spread(pixels: Tensor) -> Tensor:
    """Each sample's pixel: (..., size, size) -> (..., side, side); the shared sample takes the first of its two."""
    size = pixels.shape[-1]
    at = (2 * torch.arange(samples_along(size), device=pixels.device) // 3).clamp_max(size - 1)
    return pixels.index_select(-2, at).index_select(-1, at)
