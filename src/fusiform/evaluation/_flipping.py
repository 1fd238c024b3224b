"""Measures that replace what a map calls important, and watch the score."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fusiform.errors import EvaluationError
from fusiform.evaluation._given import Explain, checked_inputs, checked_scores, made_maps, plain_scores
from fusiform.evaluation._order import CutMasks, ranks
from fusiform.networks import FaceNetwork
from fusiform.perturbation import Baseline, masked_scores
from fusiform.perturbation import baseline as made_baseline
from fusiform.runs import Progress
from fusiform.targets import Probability, Target


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores while pixels are flipped in the order of their saliency.

    Attributes
    ----------
    fractions : tensor, shape (steps + 1,)
        Share of the pixels flipped so far, 0 to 1.
    scores : tensor, shape (n, steps + 1)
        Scores of the images with as many pixels flipped.
    auc : tensor, shape (n,)
        Area under each image's curve (trapezoids), in units of the score.
    """

    fractions: Float[Tensor, " k"]
    scores: Float[Tensor, "n k"]
    auc: Float[Tensor, " n"]


def deletion(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target | int,
    maps: Float[Tensor, "n h w"] | Explain,
    steps: int = 50,
    *,
    baseline: Baseline = "mean",
    seed: int = 0,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    progress: Progress | None = None,
) -> Curve:
    """Replace the most salient pixels first: the sooner the score falls, the better the map.

    Also known as the hiding game or pixel flipping. A score between 0 and 1 (`Probability`, `MatchProbability`)
    makes areas comparable between images.

    Parameters
    ----------
    net : FaceNetwork
        The network.
    x : tensor, shape (n, channels, height, width)
        Inputs from ``net.prepare``.
    target : Target or int
        What was explained; the number of a class stands for its probability.
    maps : tensor, shape (n, height, width), or callable
        Maps, or ``explain(net, x, target)`` that makes them. Signed: the most negative pixel goes last. Equal
        values go in a random order, so that a constant map fares like chance.
    steps : int, default 50
        Steps from the image to the baseline, of equally many pixels (up to rounding).
    baseline : str, float or tensor, default "mean"
        What pixels are replaced by, see `fusiform.perturbation.baseline`; another face as a tensor.
    seed : int, default 0
        Of the order of equal values, shared by all images, and of a baseline of noise.
    batch_size, memory_gb, progress
        As in `fusiform.perturbation.masked_scores`.

    Returns
    -------
    Curve
        From the scores of the images to those of the baseline.

    Raises
    ------
    EvaluationError
        If maps do not fit the images or are not finite, steps are not between 1 and the number of pixels, or
        scores are not finite.

    References
    ----------
    Samek and others (2017), pixel flipping; Petsiuk, Das and Saenko (2018), deletion; Castanon and Byrne (2018),
    hiding game.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> from fusiform.targets import Logit
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False))
    >>> _ = module[1].weight.data.copy_(torch.tensor([[4.0, 3.0, 2.0, 1.0]]))
    >>> net = FaceNetwork(module, NetworkCard(name="t", input_size=(2, 2), channels="grey", head="logits"))
    >>> truth = torch.tensor([[[4.0, 3.0], [2.0, 1.0]]])
    >>> deletion(net, torch.ones(1, 1, 2, 2), Logit(0), truth, steps=4, baseline=0.0).scores.tolist()
    [[10.0, 6.0, 3.0, 1.0, 0.0]]
    """
    how: dict[str, Any] = {"batch_size": batch_size, "memory_gb": memory_gb, "progress": progress}
    return _flipped(net, x, target, maps, steps, baseline, seed, how, insert=False)


def insertion(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target | int,
    maps: Float[Tensor, "n h w"] | Explain,
    steps: int = 50,
    *,
    baseline: Baseline = "blur",
    seed: int = 0,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    progress: Progress | None = None,
) -> Curve:
    """Start from the baseline and put the most salient pixels in first: the sooner the score rises, the better.

    Parameters
    ----------
    net, x, target, maps, steps, seed, batch_size, memory_gb, progress
        As in `deletion`.
    baseline : str, float or tensor, default "blur"
        Where it starts; the blurred image, as Petsiuk and others have it.

    Returns
    -------
    Curve
        From the scores of the baseline to those of the images.

    Raises
    ------
    EvaluationError
        As `deletion`.

    References
    ----------
    Petsiuk, Das and Saenko (2018), insertion.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> from fusiform.targets import Logit
    >>> net = FaceNetwork(nn.Flatten(), NetworkCard(name="t", input_size=(2, 2), channels="grey", head="logits"))
    >>> first = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    >>> insertion(net, torch.ones(1, 1, 2, 2), Logit(0), first, steps=4, baseline=0.0).auc.tolist()
    [0.875]
    """
    how: dict[str, Any] = {"batch_size": batch_size, "memory_gb": memory_gb, "progress": progress}
    return _flipped(net, x, target, maps, steps, baseline, seed, how, insert=True)


def _flipped(
    net: FaceNetwork,
    x: Tensor,
    target: Target | int,
    maps: Tensor | Explain,
    steps: int,
    kind: Baseline,
    seed: int,
    how: dict[str, Any],
    *,
    insert: bool,
) -> Curve:
    x, target = checked_inputs(net, x, target, Probability)
    pixels = x.shape[2] * x.shape[3]
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= pixels:
        raise EvaluationError(
            f"Steps are a whole number from 1 to the number of pixels, {pixels}; got {steps}."
        )
    order = ranks(made_maps(maps, net, x, target), seed)
    fractions = torch.linspace(0, 1, steps + 1, dtype=torch.float64, device=x.device)
    cuts = (fractions * pixels).round().long()
    masks = CutMasks(order, cuts, below=insert)
    scores = masked_scores(net, target, x, masks, made_baseline(net, x, kind, seed=seed), **how)
    checked_scores(scores)
    return Curve(fractions.to(scores.dtype), scores, torch.trapezoid(scores, dx=1 / steps, dim=1))


@dataclass(frozen=True, eq=False)
class Masked:
    """What is left of a score once what a map calls important is masked; all tensors (n,).

    Attributes
    ----------
    score, masked : tensor
        Before and after.
    drop : tensor
        `score` less `masked`; NaN for a map without positive values.
    relative_drop : tensor
        `drop` as a share of `score`, at least 0; NaN where the score is not above 0.
    mass : tensor
        Pixels that were masked, parts of pixels summed: alike for all maps, but less where a map has fewer
        positive pixels than were to be masked.
    """

    score: Float[Tensor, " n"]
    masked: Float[Tensor, " n"]
    drop: Float[Tensor, " n"]
    relative_drop: Float[Tensor, " n"]
    mass: Float[Tensor, " n"]


def mask_and_evaluate(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target | int,
    maps: Float[Tensor, "n h w"] | Explain,
    *,
    area: float = 0.1,
    baseline: Baseline = "mean",
    seed: int = 0,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    progress: Progress | None = None,
) -> Masked:
    """Mask what a map calls important, the same amount for every map, and measure the drop of the score.

    Each pixel is masked in proportion to its positive saliency, from 0 to 1, such that all maps mask the same sum:
    a map gains nothing by covering much.

    Parameters
    ----------
    net, x, target, maps, seed, batch_size, memory_gb, progress
        As in `deletion`.
    area : float, default 0.1
        The sum, as a share of the image's pixels; above 0 and below 1.
    baseline : str, float or tensor, default "mean"
        What is seen through the mask.

    Returns
    -------
    Masked
        Scores, drops and masses; a large drop is good.

    Raises
    ------
    EvaluationError
        As `deletion`, or if `area` is out of range.

    References
    ----------
    Chattopadhyay and others (2018), with important instead of unimportant parts masked and the sum normalised as
    John and others (2021).

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> from fusiform.targets import Logit
    >>> net = FaceNetwork(nn.Flatten(), NetworkCard(name="t", input_size=(2, 2), channels="grey", head="logits"))
    >>> maps = torch.tensor([[[5.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    >>> mask_and_evaluate(net, torch.ones(2, 1, 2, 2), Logit(0), maps, area=0.25, baseline=0.0).drop.tolist()
    [1.0, 0.25]
    """
    how: dict[str, Any] = {"batch_size": batch_size, "memory_gb": memory_gb, "progress": progress}
    if not 0 < area < 1:
        raise EvaluationError(f"The area masked is a share above 0 and below 1; got {area}.")
    x, target = checked_inputs(net, x, target, Probability)
    hidden = _normalised(made_maps(maps, net, x, target), area).to(x.dtype)
    base = made_baseline(net, x, baseline, seed=seed)
    score = plain_scores(net, target, x, **how)
    masked = checked_scores(masked_scores(net, target, x, 1 - hidden[:, None], base, **how)[:, 0])
    mass = hidden.sum(dim=(1, 2))
    nan = torch.full_like(score, torch.nan)
    drop = torch.where(mass > 0, score - masked, nan)
    return Masked(score, masked, drop, torch.where(score > 0, drop.clamp(min=0) / score, nan), mass)


def _normalised(maps: Tensor, area: float) -> Tensor:
    """Masks ``min(1, c * map)`` with c such that they sum to this share of the pixels; c found by sorting."""
    values = maps.flatten(1).double().clamp(min=0)
    wanted = area * values.shape[1]
    falling, _ = values.sort(dim=1, descending=True)
    rest = falling.sum(dim=1, keepdim=True) - falling.cumsum(dim=1) + falling
    # With the first k pixels masked whole, the others share what is left of the sum.
    left = wanted - torch.arange(values.shape[1], device=maps.device, dtype=torch.float64)
    scale = torch.where(rest > 0, left / rest, torch.inf)
    fits = (scale * falling <= 1) & (left > 0) & (falling > 0)
    first = fits.int().argmax(dim=1, keepdim=True)
    factor = torch.where(fits.any(dim=1, keepdim=True), scale.gather(1, first), torch.inf)
    hidden = torch.where(values > 0, values * factor, 0.0).clamp(max=1)
    return hidden.view(maps.shape)
