import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

HIDDEN = (256, 128)
"""Units of the two hidden layers (Dhar and others 2020, figure 2)."""

# An attribute as critics take it: rows of numbers, or the number of the class, which stands for a row of a one-hot.
Shown = Float[Tensor, "n k"] | Int[Tensor, " n"]


class Critics:
    """Many critics T(f, a), each [feature | attribute] - 256 ELU - 128 ELU - 1, as one batched network.

    Everything has a leading axis of critics, and images lie along the last axis. The first layer's part that sees the
    features is multiplied once for the joint and all marginal samples of a batch.

    Parameters
    ----------
    attributes : sequence of tensor
        Each attribute, one row or class number an image.
    widths : sequence of int
        Columns of each attribute, or its number of classes.
    n_features : int
        Length of a feature vector.
    seeds : sequence of int
        Seeds of the critics of each attribute: as many critics as seeds, of every attribute.
    device : torch.device
        Where they live.
    """

    def __init__(
        self,
        attributes: Sequence[Shown],
        widths: Sequence[int],
        n_features: int,
        seeds: Sequence[int],
        device: torch.device,
    ) -> None:
        self.attributes = list(attributes)
        self.counts = [len(seeds)] * len(self.attributes)
        weights = [[_initial(n_features, width, seed) for seed in seeds] for width in widths]
        self.own = [torch.stack([each.pop("attribute") for each in some]).to(device) for some in weights]
        flat = [each for some in weights for each in some]
        self.shared = {name: torch.stack([each[name] for each in flat]).to(device) for name in flat[0]}

    def __len__(self) -> int:
        return sum(self.counts)

    @property
    def parameters(self) -> list[Tensor]:
        """All weights; the first are those that see the features."""
        return [*self.shared.values(), *self.own]

    def of_features(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "g h b"]:
        """The first layer's part that sees the features."""
        weights = self.shared["features"]
        return (weights.flatten(0, 1) @ features.T).view(*weights.shape[:2], -1)

    def first(
        self, of_features: Float[Tensor, "g h b"], rows: Int[Tensor, "m b"]
    ) -> Float[Tensor, "g h m b"]:
        """The first layer for each image with the attributes of ``m`` images."""
        inner = torch.empty(*of_features.shape[:2], *rows.shape, device=of_features.device)
        for span, weights, attribute in zip(self._slices(), self.own, self.attributes, strict=True):
            shown = attribute[rows.flatten()]
            part = weights[:, :, shown] if attribute.dtype == torch.int64 else weights @ shown.T
            inner[span] = part.view(*part.shape[:2], *rows.shape)
        return inner.add_(of_features[:, :, None]).add_(self.shared["bias_1"][:, :, None])

    def scores(self, inner: Float[Tensor, "g h m b"]) -> tuple[Float[Tensor, "g m b"], tuple[Tensor, Tensor]]:
        """T of what the first layer gives (overwritten), and what `gradients` needs."""
        one = functional.elu_(inner).flatten(2)
        two = functional.elu_(torch.baddbmm(self.shared["bias_2"], self.shared["hidden"], one))
        return torch.bmm(self.shared["output"], two).view(len(inner), *inner.shape[2:]), (one, two)

    def gradients(
        self,
        of_scores: Float[Tensor, "g m b"],
        kept: tuple[Tensor, Tensor],
        features: Float[Tensor, "b d"],
        rows: Int[Tensor, "m b"],
    ) -> list[Tensor]:
        """Gradients of all `parameters`, from those of the scores."""
        one, two = kept
        outer = of_scores.flatten(1)[:, None]
        output = torch.bmm(outer, two.transpose(1, 2))
        # ELU's slope is 1 above 0, and its value + 1 below.
        second = self.shared["output"].transpose(1, 2) * outer
        second *= two.add_(1).clamp_(max=1)
        hidden = torch.bmm(second, one.transpose(1, 2))
        bias_2 = second.sum(2, keepdim=True)
        first = torch.bmm(self.shared["hidden"].transpose(1, 2), second)
        first *= one.add_(1).clamp_(max=1)
        joined = first.view(*first.shape[:2], *rows.shape).sum(2)
        weights = (joined.flatten(0, 1) @ features).view_as(self.shared["features"])
        own = []
        for span, weight, attribute in zip(self._slices(), self.own, self.attributes, strict=True):
            shown = attribute[rows.flatten()]
            if attribute.dtype == torch.int64:
                own.append(torch.zeros_like(weight).index_add_(2, shown, first[span]))
            else:
                own.append(first[span] @ shown)
        return [weights, joined.sum(2, keepdim=True), hidden, bias_2, output, *own]

    def chosen(self, mask: Bool[Tensor, " g"]) -> "Critics":
        """Some of the critics, with weights of their own."""
        other = object.__new__(Critics)
        masks = self.masks(mask)
        other.attributes = self.attributes
        other.shared = {name: weight[mask] for name, weight in self.shared.items()}
        other.own = [weight[each] for weight, each in zip(self.own, masks[len(self.shared) :], strict=True)]
        other.counts = [len(weight) for weight in other.own]
        return other

    def masks(self, mask: Bool[Tensor, " g"]) -> list[Bool[Tensor, " k"]]:
        """For each of `parameters`, which of its rows belong to these critics."""
        return [mask] * len(self.shared) + [mask[span] for span in self._slices()]

    def take(self, mine: Bool[Tensor, " g"], source: "Critics", theirs: Bool[Tensor, " k"]) -> None:
        """Put in place of some critics as many others, attribute by attribute in the same order."""
        places, sources = self.masks(mine), source.masks(theirs)
        for weight, place, given, chosen in zip(
            self.parameters, places, source.parameters, sources, strict=True
        ):
            weight[place] = given[chosen]

    def of(self, number: int, choices: Shown | None = None) -> "Critics":
        """The critics of one attribute, its values perhaps replaced by others; weights are shared."""
        span = self._slices()[number]
        other = object.__new__(Critics)
        other.attributes = [self.attributes[number] if choices is None else choices]
        other.counts = [self.counts[number]]
        other.shared = {name: weight[span] for name, weight in self.shared.items()}
        other.own = [self.own[number]]
        return other

    def _slices(self) -> list[slice]:
        ends = torch.tensor([0, *self.counts]).cumsum(0).tolist()
        return [slice(start, end) for start, end in pairwise(ends)]


def _initial(n_features: int, width: int, seed: int) -> dict[str, Tensor]:
    """Weights of one critic, uniform within 1/sqrt(fan in); what sees the attribute has a fan in of its own.

    A single number among thousands of features would start at almost no weight.
    """
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int, fan: int) -> Tensor:
        return (2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(fan)

    return {
        "features": drawn(HIDDEN[0], n_features, fan=n_features),
        "bias_1": drawn(HIDDEN[0], 1, fan=n_features),
        "hidden": drawn(HIDDEN[1], HIDDEN[0], fan=HIDDEN[0]),
        "bias_2": drawn(HIDDEN[1], 1, fan=HIDDEN[0]),
        "output": drawn(1, HIDDEN[1], fan=HIDDEN[1]),
        "attribute": drawn(HIDDEN[0], width, fan=1),
    }
