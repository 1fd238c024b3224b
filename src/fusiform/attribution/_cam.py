"""Class activation maps: CAM, Grad-CAM, Grad-CAM++, Score-CAM."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from fusiform.attribution._gradients import differentiated, images_at_once
from fusiform.attribution._grids import Grid, map_layers, require_grid
from fusiform.attribution._perturbed import checked_count, perturbed_scores
from fusiform.attribution._registry import Call, method
from fusiform.errors import NotApplicableError
from fusiform.perturbation import Baseline, baseline
from fusiform.targets import Activation

_PROBES = 3
_SAME = 1e-3  # relative difference of gradients that counts as none


@method("grad_cam", "gradient")
def grad_cam(call: Call, layer: str | None = None, relu: bool = False) -> Tensor:
    """Maps of a layer, each weighted by its mean gradient (Selvaraju and others, 2017; eqs. 5 and 6 of the survey).

    By default the last layer with positions that the output depends on: of convolutional networks the end of the last
    block, of transformers the tokens that the last attention is given (class tokens are left out). The map is signed and enlarged bilinearly; ``relu=True`` keeps its positive part, as eq. 5 does.
    """

    def weighted(maps: Tensor, slopes: Tensor) -> Tensor:
        return (slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)

    return _enlarged(call, _each_batch(call, layer, weighted, "Grad-CAM"), relu)


@method("grad_cam_plus_plus", "gradient")
def grad_cam_plus_plus(call: Call, layer: str | None = None, relu: bool = False) -> Tensor:
    """Grad-CAM with weights from higher derivatives (Chattopadhay and others, 2018), of positive gradients alone.

    Derivatives are those of the score's exponential; their common factor, positive for each image, is left out. Maps
    that are not rectified count with their positive part in the weights, which have poles otherwise.
    Layer and `relu` are as of Grad-CAM.
    """

    def weighted(maps: Tensor, slopes: Tensor) -> Tensor:
        # Each positive g times g^2 / (2 g^2 + sum(A) g^3).
        positive = slopes.clamp(min=0)
        sums = maps.clamp(min=0).sum(dim=(2, 3), keepdim=True)
        weights = (positive / (2 + sums * positive)).sum(dim=(2, 3), keepdim=True)
        return (weights * maps).sum(dim=1)

    return _enlarged(call, _each_batch(call, layer, weighted, "Grad-CAM++"), relu)


@method("cam", "gradient")
def cam(call: Call, layer: str | None = None, relu: bool = False) -> Tensor:
    """Maps weighted by the linear head behind their global mean (Zhou and others, 2016).

    The map's mean is the score less the head's bias. Of a probability the logit is explained, of a similarity the
    embedding's share in it at the image's own length. Whether the head is a global mean and a linear map is measured.
    """
    name, grid = _chosen(call, layer, "CAM")
    _require_linear_head(call, name, grid)

    def weighted(maps: Tensor, slopes: Tensor) -> Tensor:
        # The gradient of the mean over positions.
        return (slopes.sum(dim=(2, 3), keepdim=True) * maps).sum(dim=1)

    return _enlarged(call, _each_batch(call, name, weighted, "CAM", _linear_score), relu)


@method("score_cam", "perturbation")
def score_cam(
    call: Call,
    layer: str | None = None,
    channels: int | None = None,
    baseline: Baseline = "black",
    relu: bool = False,
) -> Tensor:
    """Maps weighted by the score of the image seen through each of them (Wang and others, 2020).

    Each channel's map, enlarged and scaled from 0 to 1, masks the image; the weights are the softmax over channels of
    the scores less the baseline's. Constant maps mask nothing and have no weight. `channels` limits the masks to the
    image's channels of the largest range. Layer and `relu` are as of Grad-CAM.
    """
    if channels is not None:
        checked_count("channels", channels, 1)
    name, grid = _chosen(call, layer, "Score-CAM")
    base = _base(call, baseline)
    with torch.no_grad():
        maps = grid.maps(
            torch.cat([part.net.activations(part.x, [name])[name] for _, part in call.batches()])
        )
        spread = maps.amax(dim=(2, 3)) - maps.amin(dim=(2, 3))
        if channels is not None and channels < maps.shape[1]:
            largest = spread.topk(channels, dim=1).indices.sort(dim=1).values
            maps = maps.take_along_dim(largest[:, :, None, None], dim=1)
            spread = spread.take_along_dim(largest, dim=1)
        scores = perturbed_scores(call, _ChannelMasks(maps, call.size), base)
        # The baseline's score is the same for all channels and drops out of the softmax.
        weights = scores.masked_fill(spread <= 0, float("-inf")).softmax(dim=1).nan_to_num(nan=0.0)
    return _enlarged(call, (weights[:, :, None, None] * maps).sum(dim=1), relu)


class _ChannelMasks:
    """Maps as masks, enlarged only when they are asked for."""

    def __init__(self, maps: Float[Tensor, "n k h w"], size: tuple[int, int]) -> None:
        self._maps, self._size = maps, size

    def __len__(self) -> int:
        return self._maps.shape[1]

    def part(self, start: int, stop: int) -> Tensor:
        """Return masks `start` to `stop`, each from 0 to 1."""
        large = _resized(self._maps[:, start:stop], self._size)
        low, high = large.amin(dim=(2, 3), keepdim=True), large.amax(dim=(2, 3), keepdim=True)
        spread = high - low
        return torch.where(spread > 0, (large - low) / torch.where(spread > 0, spread, 1), 0)


def _base(call: Call, kind: Baseline) -> Tensor:
    return baseline(call.net, call.x, kind, seed=call.seed)


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _enlarged(call: Call, maps: Float[Tensor, "n h w"], relu: bool) -> Tensor:
    return _resized((maps.clamp(min=0) if relu else maps)[:, None], call.size)[:, 0]


# what layers hold, and the gradient there -------------------------------------------------------------


class _At(NamedTuple):
    values: Tensor
    edge: GradientEdge | None
    slopes: Tensor | None


def _score(call: Call) -> Tensor:
    return call.target(call.net, call.x)


def _at_layers(call: Call, names: Sequence[str], score: Callable[[Call], Tensor] = _score) -> dict[str, _At]:
    """What layers hold, and the scores' gradient there: None where the scores do not depend on the layer."""

    def run() -> dict[str, _At]:
        values: dict[str, Tensor] = {}
        edges: dict[str, GradientEdge] = {}

        def receive(name: str, tensor: Tensor) -> None:
            # Now: what follows may overwrite the tensor, and its place in the graph with it.
            values[name] = tensor.detach().clone()
            if tensor.requires_grad:
                edges[name] = get_gradient_edge(tensor)

        x = call.x.detach().requires_grad_()
        with call.net.tapped(names, receive):
            found = score(replace(call, x=x.clone()))
        slopes: dict[str, Tensor | None] = {}
        if edges and found.requires_grad:
            grads = torch.autograd.grad(found.sum(), list(edges.values()), allow_unused=True)
            slopes = dict(zip(edges, grads, strict=True))
        return {name: _At(values[name], edges.get(name), slopes.get(name)) for name in values}

    return differentiated(run)


def _each_batch(
    call: Call,
    layer: str | None,
    weighted: Callable[[Tensor, Tensor], Tensor],
    method: str,
    score: Callable[[Call], Tensor] = _score,
) -> Float[Tensor, "n h w"]:
    """One small map an image from a layer's maps and their gradients, (n, c, h, w) each."""
    name, grid = _chosen(call, layer, method)
    aim = call.target.layer if isinstance(call.target, Activation) else name
    maps = []
    for _, part in call.batches(images_at_once(call)):
        found = _at_layers(part, list(dict.fromkeys((name, aim))), score)
        slopes = found[name].slopes
        if slopes is None or (aim != name and _is_same(found[name].edge, found[aim].edge)):
            raise _not_passed(call, name, method)
        maps.append(weighted(grid.maps(found[name].values), grid.maps(slopes)))
    return torch.cat(maps)


def _is_same(first: GradientEdge | None, second: GradientEdge | None) -> bool:
    return first is not None and second is not None and first[:2] == second[:2]


def _not_passed(call: Call, name: str, method: str) -> NotApplicableError:
    aim = f"'{call.target.layer}'" if isinstance(call.target, Activation) else "its output"
    return NotApplicableError(
        f"{method} at layer '{name}' of '{call.net.card.name}' needs a target behind that layer; {call.target!r} looks "
        f"at {aim}, to which no gradient passes through '{name}'. Choose an earlier layer with layer=."
    )


# which layer ------------------------------------------------------------------------------------------


def _chosen(call: Call, layer: str | None, method: str) -> tuple[str, Grid]:
    net, target = call.net, call.target
    if layer is None:
        layer, grid = _default_layer(call, method)
    else:
        grid = require_grid(net, net.layer(layer), method)
    if isinstance(target, Activation) and net.layer(target.layer).depth <= net.layer(layer).depth:
        raise _not_passed(call, layer, method)
    return layer, grid


def _default_layer(call: Call, method: str) -> tuple[str, Grid]:
    grids = {found.name: grid for found, grid in map_layers(call.net)}
    if any(grid.prefix is not None for grid in grids.values()):
        # The last tokens may be ones that the output does not see, beside that of the class.
        found = _at_layers(replace(call, x=_noise(call, 1)), list(grids), _some_output)
        grids = {
            name: grid
            for name, grid in grids.items()
            if (slopes := found[name].slopes) is not None and bool(grid.maps(slopes).any())
        }
    if not grids:
        raise NotApplicableError(
            f"{method} needs a layer with positions on the way to the output; '{call.net.card.name}' has none."
        )
    return list(grids.items())[-1]


def _some_output(call: Call) -> Tensor:
    return _along_one_direction(call.net(call.x))


def _along_one_direction(tensor: Tensor) -> Tensor:
    """What holds for one direction drawn among all holds, but by chance, for every one."""
    drawn = torch.randn(tensor.shape[1:], generator=torch.Generator().manual_seed(1))
    return (tensor * drawn.to(tensor)).flatten(1).sum(dim=1)


def _noise(call: Call, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, *call.x.shape[1:], generator=generator).to(call.x)


# CAM --------------------------------------------------------------------------------------------------


def _linear_score(call: Call) -> Tensor:
    """The score as a linear function of the tensor that propagation starts at, with the image's coefficients."""
    tensor, relevance = call.target.start(call.net, call.x)
    held = tensor.detach()
    coefficients = torch.where(held == 0, 0, relevance / torch.where(held == 0, 1, held))
    return (tensor * coefficients).flatten(1).sum(dim=1)


def _require_linear_head(call: Call, name: str, grid: Grid) -> None:
    """Refuse a head that is no linear function of the mean over positions: its gradient varies."""
    rows = torch.zeros(_PROBES, dtype=torch.long)
    probe = replace(call, x=_noise(call, _PROBES), target=call.target.rows(rows))
    at = _at_layers(
        probe, [name], lambda part: _along_one_direction(part.target.start(part.net, part.x).tensor)
    )
    found = at[name].slopes
    if found is None:
        raise _not_passed(call, name, "CAM")
    slopes = grid.maps(found)
    largest = slopes.abs().max()
    mean = slopes.mean(dim=(2, 3), keepdim=True)
    if (slopes - mean).abs().max() > _SAME * largest:
        raise NotApplicableError(
            f"CAM needs a global average over positions straight behind '{name}'; '{call.net.card.name}' weighs its "
            "positions differently. Use method='grad_cam'."
        )
    if (mean - mean[:1]).abs().max() > _SAME * largest:
        raise NotApplicableError(
            f"CAM needs a single linear layer behind the average of '{name}'; the head of '{call.net.card.name}' is not "
            "linear, as its gradient changes from image to image. Use method='grad_cam'."
        )
