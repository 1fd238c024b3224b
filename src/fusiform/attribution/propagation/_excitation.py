"""Excitation Backprop, contrastive and truncated: winners, from the output down to the pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from fusiform.attribution._registry import Call, method
from fusiform.attribution.propagation._flow import Flow, Function, Linear
from fusiform.attribution.propagation._lrp import few, interceptor, started
from fusiform.attribution.propagation._weighted import Contributions, Map, Weighted
from fusiform.errors import NotApplicableError, SpecError
from fusiform.targets import Contrast, Start


class Excitation(Flow):
    """Probabilities of winning (Zhang and others, 2018; eq. 3 of the survey).

    The paper's units are not negative, and what excites one are its positive weights. Here a unit may be negative
    (behind PReLU, in an embedding, a normalised pixel): what excites it are the products of weight and input of its
    own sign. Relevance is a probability with the sign of its unit, so that a unit can also be asked what speaks
    against it. Biases have no part.
    """

    def rule_of(self, map: Map, path: str, first: bool) -> str:
        """Name the one rule."""
        return "excitation"

    def weighted(self, layer: Weighted, relevance: Tensor) -> Tensor:
        """Share among inputs by products that agree in sign with the relevance."""
        parts = Contributions(layer)
        if bool(relevance.amin() < 0):
            towards = _ratio(relevance.clamp(min=0), parts.positive)
            against = _ratio(relevance.clamp(max=0), parts.negative)
            found = parts.back(towards, against)
        else:
            found = parts.back(_ratio(relevance, parts.positive))
        return found.copysign_(layer.x) if parts.signed else found

    def shared(
        self, function: Function, inputs: Sequence[Tensor], value: Tensor, relevance: Tensor
    ) -> Sequence[Tensor]:
        """Share among inputs that agree in sign with the relevance; among all alike where none does."""
        found = self._towards(function, [x.clamp(min=0) for x in inputs], inputs, relevance.clamp(min=0))
        if bool(relevance.amin() < 0):
            against = self._towards(
                function, [-x.clamp(max=0) for x in inputs], inputs, relevance.clamp(max=0)
            )
            found = [f + a for f, a in zip(found, against, strict=True)]
        return found

    def _towards(
        self, function: Function, side: Sequence[Tensor], inputs: Sequence[Tensor], relevance: Tensor
    ) -> list[Tensor]:
        linear = Linear(function, side)
        share = relevance / linear.total
        none = share.isinf()
        found = [s * b for s, b in zip(side, linear.back(share.nan_to_num_(0.0, 0.0, 0.0)), strict=True)]
        if bool(none.any()):
            linear = Linear(function, [torch.ones_like(x) for x in inputs])
            alike = linear.back(relevance * none / linear.total)
            found = [f + b for f, b in zip(found, alike, strict=True)]
        return found

    def affine(
        self, function: Function, x: Tensor, value: Tensor, relevance: Tensor, sign: Function
    ) -> Tensor:
        """Pass on: the input is the only one that is no constant."""
        return self.passed(relevance, sign).sum_to_size(x.shape)

    def passed(self, relevance: Tensor, sign: Function) -> Tensor:
        """Pass on, turned round where the slope is negative."""
        turn = sign()
        return relevance if isinstance(turn, float) and turn == 1 else relevance * turn


def _ratio(part: Tensor, total: Tensor) -> Tensor:
    """`part` over `total`, 0 where there is nothing to share among."""
    return (part / total).nan_to_num_(0.0, 0.0, 0.0)


@dataclass
class _Pass:
    """One forward pass, from which winners of any relevance are found."""

    start: Start
    goal: Tensor | GradientEdge
    size: tuple[int, int]

    def winners(self, relevance: Tensor) -> Tensor:
        """Probabilities that sum to 1, of pixels, at a layer brought to their number.

        Winning starts at what is positive: entries that add to the score. Where an image has none, its entries are
        asked what would raise the score, by turning the sign of their excitation.
        """
        value = self.start.tensor.detach()
        kept = relevance.clamp(min=0)
        none = ~(kept > 0).flatten(1).any(dim=1).view(-1, *[1] * (kept.dim() - 1))
        kept = torch.where(none, relevance.abs(), kept)
        kept = kept / kept.flatten(1).sum(dim=1).view_as(none).clamp(min=torch.finfo(kept.dtype).tiny)
        signed = torch.where(none, -1, 1) * torch.copysign(kept, value)
        (found,) = torch.autograd.grad(
            self.start.tensor, self.goal, signed, retain_graph=True, allow_unused=True
        )
        if found is None:
            raise NotApplicableError(
                "No relevance reaches the layer: it is not on the way, or its batch norm is folded into it; take the "
                "layer behind it."
            )
        found = found.abs().sum(dim=1)
        if found.shape[1:] != self.size:
            found = F.interpolate(found[:, None], size=self.size, mode="bilinear", align_corners=False)[:, 0]
        return found / found.flatten(1).sum(dim=1).view(-1, 1, 1).clamp(min=torch.finfo(found.dtype).tiny)


def _maps(call: Call, layer: str | None, make: Callable[[Call, _Pass], Tensor]) -> Tensor:
    if layer is not None and len(call.net.layer(layer).shape) != 3:
        raise NotApplicableError(
            f"A map at a layer needs one of shape (channels, height, width); '{layer}' has "
            f"{call.net.layer(layer).shape}."
        )
    mode = interceptor(call.net, Excitation())
    maps = []
    taps = [] if layer is None else [layer]
    edges: dict[str, GradientEdge] = {}
    for _, part in call.batches(call.batch_size or few(call)):
        x = part.x.detach().requires_grad_()
        with mode.watching(), call.net.tapped(taps, lambda n, t: edges.update({n: get_gradient_edge(t)})):
            start = started(mode, part, x)
        maps.append(make(part, _Pass(start, x if layer is None else edges[layer], call.size)))
    return torch.cat(maps)


def _rivals(part: Call, one: _Pass) -> tuple[Tensor, Tensor]:
    """Winner maps of the target, and of what it is contrasted with."""
    relevance = one.start.relevance
    if isinstance(part.target, Contrast):
        raw = one.start.tensor.detach()
        raw = raw / raw.norm(dim=1, keepdim=True)
        mate, nonmate = (side.reference.to(raw) for side in (part.target.mate, part.target.nonmate))
        return one.winners(raw * mate), one.winners(raw * nonmate)
    return one.winners(relevance), one.winners(-relevance)


@method("excitation_backprop", "propagation")
def excitation_backprop(call: Call, layer: str | None = None) -> Tensor:
    """Excitation Backprop: the probability that a pixel wins (Zhang and others, 2018).

    Maps are not negative and sum to 1. An image in which nothing excites the unit (only biases do) has a map of
    zeros.

    Parameters
    ----------
    layer : str, optional
        Stop at this layer, as published, and bring its map to the size of the input (bilinear); by default on to the
        pixels.
    """
    return _maps(call, layer, lambda part, one: one.winners(one.start.relevance))


@method("contrastive_excitation_backprop", "propagation")
def contrastive_excitation_backprop(call: Call, layer: str | None = None) -> Tensor:
    """Excitation Backprop of the target less that of its dual, or of the mate less the non-mate.

    The dual unit of a logit has its weights negated (Zhang and others, 2018), that of a similarity the reference
    negated; of a contrast, the non-mate stands against the mate (Williford and others, 2020). Maps sum to 0; the
    papers show their positive part.

    Parameters
    ----------
    layer : str, optional
        As of ``"excitation_backprop"``.
    """

    def make(part: Call, one: _Pass) -> Tensor:
        target, other = _rivals(part, one)
        return target - other

    return _maps(call, layer, make)


@method("truncated_contrastive_excitation_backprop", "propagation")
def truncated_contrastive_excitation_backprop(
    call: Call, percentile: float = 20.0, layer: str | None = None
) -> Tensor:
    """Contrastive Excitation Backprop without the pixels where the target itself hardly wins.

    Castanon and Byrne (2018), as Williford and others (2020) compute it: the weakest pixels of the target's own map
    that together hold less than `percentile` per cent of it are 0.

    Parameters
    ----------
    percentile : float, default 20
        From 0 to below 100.
    layer : str, optional
        As of ``"excitation_backprop"``.
    """
    if isinstance(percentile, bool) or not isinstance(percentile, int | float) or not 0 <= percentile < 100:
        raise SpecError(f"Option 'percentile' is a number from 0 to below 100; got {percentile!r}.")

    def make(part: Call, one: _Pass) -> Tensor:
        target, other = _rivals(part, one)
        ordered, order = target.flatten(1).sort(dim=1)
        sums = ordered.cumsum(dim=1)
        kept = sums >= percentile / 100 * sums[:, -1:]
        mask = torch.zeros_like(kept).scatter(1, order, kept)
        return (target - other) * mask.view_as(target)

    return _maps(call, layer, make)
