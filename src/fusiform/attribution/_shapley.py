"""How parts share a score: Shapley values, exact, sampled, and by weighted regression."""

from math import comb
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fusiform.attribution._attribute import checked_call
from fusiform.attribution._parts import Parts, in_groups, parts_of, spread_over
from fusiform.attribution._perturbed import checked_count, perturbed_scores
from fusiform.attribution._registry import Call, method
from fusiform.errors import AttributionError, SpecError
from fusiform.networks import FaceNetwork
from fusiform.perturbation import Baseline, CoalitionMasks
from fusiform.runs import Progress
from fusiform.targets import Target

_MOST = 16  # parts for exact values: 65,536 coalitions


class ShapleyValues(NamedTuple):
    """What each part contributes to the score of each image.

    Attributes
    ----------
    values : tensor, shape (n, p)
        They sum to ``whole - empty``.
    errors : tensor, shape (n, p)
        Standard errors; 0 where the values are exact.
    whole, empty : tensor, shape (n,)
        Scores with all parts, and with all parts hidden.
    """

    values: Float[Tensor, "n p"]
    errors: Float[Tensor, "n p"]
    whole: Float[Tensor, " n"]
    empty: Float[Tensor, " n"]


def shapley_values(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target | int,
    parts: Parts = "face",
    *,
    baseline: Baseline = "mean",
    samples: int | Literal["exact"] = "exact",
    seed: int = 0,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    progress: Progress | None = None,
) -> ShapleyValues:
    """Share the score of each image among its parts (Shapley, 1953; survey, eq. 2).

    Parameters
    ----------
    net, x, target, seed, batch_size, memory_gb, progress
        As of `attribute`; the number of a class stands for its probability.
    parts : tensor, shape (p, height, width) or (n, p, height, width), or str, default "face"
        Bool, or from 0 to 1, in pixels of the network's input; ``"face"``: see `frontal_parts`; ``"grid"`` or
        ``"superpixels"``: up to 32. What belongs to no part is never hidden; an empty part has the value 0.
    baseline : str, float or tensor, default "mean"
        What hidden pixels are replaced by, see `fusiform.perturbation.baseline`.
    samples : int or "exact", default "exact"
        ``"exact"``: all coalitions, 256 of 8 parts, for up to 16 parts; or a number of random orders of the parts,
        an even one of at least 4, as each is also walked backwards.

    Returns
    -------
    ShapleyValues
        Values with standard errors, and the two scores whose difference they share.

    Raises
    ------
    SpecError
        If parts do not fit, or are too many for exact values.
    TargetError, AttributionError
        As of `attribute`.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> from fusiform.targets import Logit
    >>> net = FaceNetwork(nn.Flatten(), NetworkCard(name="tiny", input_size=(2, 2)))
    >>> found = shapley_values(net, torch.ones(1, 3, 2, 2), Logit(0), torch.eye(4).view(4, 2, 2), baseline=0)
    >>> [round(value) for value in found.values[0].tolist()]
    [1, 0, 0, 0]
    """
    call = checked_call(
        net,
        x,
        target,
        "perturbation",
        seed=seed,
        batch_size=batch_size,
        memory_gb=memory_gb,
        progress=progress,
    )
    if not len(call.x):
        raise AttributionError("No images were given whose score is to be shared.")
    if samples != "exact":
        _even(samples)
    regions = parts_of(call, parts, n_parts=32)
    values, errors = call.x.new_zeros(2, len(call.x), regions.shape[-3])
    whole, empty = call.scores.clone(), call.scores.clone()
    for rows, few, own, base, present in in_groups(call, regions, 0, baseline):
        if not present.any():
            continue
        found = _exact(few, own, base) if samples == "exact" else _sampled(few, own, base, samples)
        values[rows[:, None], present.nonzero()[:, 0]] = found.values
        errors[rows[:, None], present.nonzero()[:, 0]] = found.errors
        whole[rows], empty[rows] = found.whole, found.empty
    return ShapleyValues(values, errors, whole, empty)


@method("shapley_sampling", "perturbation")
def shapley_sampling(
    call: Call,
    samples: int = 32,
    parts: Parts = "superpixels",
    n_parts: int = 32,
    exact: int = 8,
    baseline: Baseline = "mean",
) -> Tensor:
    """Shapley values of superpixels or parts from random orders, shared evenly by their pixels (survey, eq. 2).

    Each order is also walked backwards. Up to `exact` parts, the values are exact.
    """
    checked_count("n_parts", n_parts, 2)
    few_enough = min(checked_count("exact", exact, 0), _MOST)
    _even(samples)
    maps = call.x.new_zeros(len(call.x), *call.size)
    for rows, few, regions, base, _ in in_groups(call, parts, n_parts, baseline):
        if not regions.shape[-3]:
            continue
        small = regions.shape[-3] <= few_enough
        found = _exact(few, regions, base) if small else _sampled(few, regions, base, samples)
        maps[rows] = spread_over(found.values, regions)
    return maps


@method("kernel_shap", "perturbation")
def kernel_shap(
    call: Call,
    samples: int = 1024,
    parts: Parts = "superpixels",
    n_parts: int = 32,
    baseline: Baseline = "mean",
) -> Tensor:
    """Shapley values by weighted linear regression on coalitions (KernelSHAP; Lundberg and Lee, 2017).

    They sum exactly to the score less that of the image with all parts hidden. Where all coalitions are no more than
    `samples`, all are taken and the values are exact.
    """
    checked_count("n_parts", n_parts, 2)
    maps = call.x.new_zeros(len(call.x), *call.size)
    for rows, few, regions, base, present in in_groups(call, parts, n_parts, baseline):
        p = regions.shape[-3]
        if not p:
            continue
        checked_count("samples", samples, len(present))
        coalitions, weights = _kernel_coalitions(p, samples, call.generator())
        ends = torch.tensor([[1.0], [0.0]]).expand(2, p)
        scores = _scores(few, regions, torch.cat([ends, coalitions]), base).double().cpu()
        whole, empty = scores[:, 0], scores[:, 1]
        gains, total = scores[:, 2:] - empty[:, None], whole - empty
        values = _constrained(coalitions.double(), weights, gains, total).to(call.x)
        maps[rows] = spread_over(values, regions)
    return maps


def _scores(call: Call, regions: Tensor, coalitions: Tensor, base: Tensor) -> Tensor:
    """Scores of all images with the parts of each coalition kept and all others hidden, (n, k)."""
    return perturbed_scores(call, CoalitionMasks(regions, coalitions), base)


def _even(samples: object) -> int:
    count = checked_count("samples", samples, 4)
    if count % 2:
        raise SpecError(
            f"The option 'samples' must be even, as each order is also walked backwards; got {count}."
        )
    return count


def _exact(call: Call, regions: Tensor, base: Tensor) -> ShapleyValues:
    p = regions.shape[-3]
    if p > _MOST:
        raise SpecError(
            f"Exact Shapley values of {p} parts take 2^{p} coalitions; the most is {_MOST} parts. Give fewer, or "
            "a number of samples."
        )
    coalitions = _all_coalitions(p)
    scores = _scores(call, regions, coalitions, base)
    size = coalitions.sum(dim=1).long()
    share = torch.tensor([1 / (p * comb(p - 1, s)) for s in range(p)], dtype=torch.float64)
    # Score with the part, from the coalition without it; minus the score without it, from the coalition itself.
    present, absent = share[(size - 1).clamp(min=0)], share[size.clamp(max=p - 1)]
    weights = torch.where(coalitions.bool(), present[:, None], -absent[:, None])
    values = (scores.double() @ weights.to(scores.device)).to(scores)
    return ShapleyValues(values, torch.zeros_like(values), scores[:, -1], scores[:, 0])


def _sampled(call: Call, regions: Tensor, base: Tensor, samples: int) -> ShapleyValues:
    p = regions.shape[-3]
    generator = call.generator()
    orders = torch.stack([torch.randperm(p, generator=generator) for _ in range(samples // 2)])
    orders = torch.stack([orders, orders.flip(1)], dim=1).flatten(0, 1)
    # Row j of an order: the parts before its j-th are present; the first row is the empty coalition, the one after the
    # last the whole, and both are scored once for all orders.
    rank = orders.argsort(dim=1)
    walked = rank[:, None] < torch.arange(1, p)[:, None]
    ends = torch.tensor([[False], [True]]).expand(2, p)
    coalitions = torch.cat([ends, walked.flatten(0, 1)]).float()
    scores = _scores(call, regions, coalitions, base)
    empty, whole = scores[:, 0], scores[:, 1]
    inner = scores[:, 2:].unflatten(1, (samples, p - 1))
    path = torch.cat(
        [empty[:, None, None].expand(-1, samples, 1), inner, whole[:, None, None].expand(-1, samples, 1)], 2
    )
    gains = path.double().diff(dim=2).gather(2, rank.to(path.device).expand(len(path), -1, -1))
    pairs = gains.unflatten(1, (-1, 2)).mean(dim=2)  # an order and its reverse count as one draw
    errors = pairs.std(dim=1) / pairs.shape[1] ** 0.5
    return ShapleyValues(pairs.mean(dim=1).to(scores), errors.to(scores), whole, empty)


def _all_coalitions(p: int) -> Float[Tensor, "k p"]:
    return (torch.arange(2**p)[:, None] >> torch.arange(p) & 1).float()


def _kernel_coalitions(p: int, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Coalitions that are neither empty nor whole, and their weights."""
    if p == 1:
        return torch.zeros(0, 1), torch.zeros(0)
    if 2**p - 2 <= samples:
        coalitions = _all_coalitions(p)[1:-1]
        kernel = [(p - 1) / (comb(p, s) * s * (p - s)) for s in coalitions.sum(dim=1).int().tolist()]
        return coalitions, torch.tensor(kernel, dtype=torch.float64)
    # Drawn with the kernel's probability, so that all weigh the same; each with its complement.
    sizes = torch.arange(1, p)
    drawn = torch.multinomial(
        1.0 / (sizes * (p - sizes)), (samples + 1) // 2, replacement=True, generator=generator
    )
    rank = torch.rand(len(drawn), p, generator=generator).argsort(dim=1).argsort(dim=1)
    half = (rank < sizes[drawn][:, None]).float()
    coalitions = torch.stack([half, 1 - half], dim=1).flatten(0, 1)[:samples]
    return coalitions, torch.ones(samples, dtype=torch.float64)


def _constrained(z: Tensor, weights: Tensor, y: Float[Tensor, "n k"], total: Float[Tensor, " n"]) -> Tensor:
    """Coefficients of weighted least squares that sum to the total, (n, p)."""
    p = z.shape[1]
    if p == 1:
        return total[:, None]
    # The last part takes what the others leave.
    rest = z[:, :-1] - z[:, -1:]
    root = weights.sqrt()[:, None]
    of_last = y - total[:, None] * z[:, -1]
    found = torch.linalg.lstsq(root * rest, root * of_last.T, driver="gelsd").solution.T
    return torch.cat([found, (total - found.sum(dim=1))[:, None]], dim=1)
