"""Pixels in the order of their saliency, and the masks that follow it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


def salient_first(maps: Float[Tensor, "n h w"], seed: int) -> Int[Tensor, "n p"]:
    """Pixels from the most salient to the least; ties in a random order that all images share."""
    flat = maps.flatten(1)
    shuffled = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(seed)).to(maps.device)
    order = flat[:, shuffled].argsort(dim=1, descending=True, stable=True)
    return shuffled[order]


def ranks(maps: Float[Tensor, "n h w"], seed: int) -> Int[Tensor, "n h w"]:
    """Place of each pixel in `salient_first`, from 0."""
    order = salient_first(maps, seed)
    places = torch.arange(order.shape[1], device=maps.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view(maps.shape)


def mass_ahead(maps: Float[Tensor, "n h w"], seed: int) -> Float[Tensor, "n h w"]:
    """Share of a map's positive mass on the pixels ahead of each; of a map without any, the share of pixels."""
    order = salient_first(maps, seed)
    mass = maps.flatten(1).double().clamp(min=0)
    mass = torch.where(mass.sum(dim=1, keepdim=True) > 0, mass, torch.ones_like(mass))
    sorted_ = mass.gather(1, order)
    ahead = (sorted_.cumsum(dim=1) - sorted_) / sorted_.sum(dim=1, keepdim=True)
    return torch.empty_like(ahead).scatter_(1, order, ahead).view(maps.shape)


@dataclass(frozen=True)
class CutMasks:
    """Keep-masks by thresholds of a value a pixel: those at or above each cut are kept, or those below."""

    values: Tensor
    cuts: Tensor
    below: bool = False

    def __len__(self) -> int:
        return len(self.cuts)

    def part(self, start: int, stop: int) -> Tensor:
        """Return masks `start` to `stop`."""
        kept = self.values[:, None] >= self.cuts[start:stop, None, None]
        return ~kept if self.below else kept
