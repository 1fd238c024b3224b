"""What is lost when something is hidden: a window, a part of the face, the same place in both images of a pair."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fusiform.attribution._parts import Parts, in_groups, spread_over
from fusiform.attribution._perturbed import perturbed_scores
from fusiform.attribution._registry import Call, checked_scores, method
from fusiform.errors import AttributionError, NotApplicableError, SpecError
from fusiform.perturbation import (
    Baseline,
    CoalitionMasks,
    Windows,
    baseline,
    incremental_outputs,
    incremental_scores,
)
from fusiform.targets import MatchProbability, Similarity

_WINDOWS_A_SIDE = 7
_SAME = 0.99  # cosine between the target's reference and the embedding of the pair's second image


@method("occlusion", "perturbation")
def occlusion(
    call: Call,
    window: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    baseline: Baseline = "mean",
    incremental: bool = True,
) -> Tensor:
    """Mean drop of the score over the windows that hide a pixel (Zeiler and Fergus, 2014; survey, eq. 1)."""
    windows = windows_of(call.size, window, stride)
    hidden = _window_scores(call, windows, _base(call, baseline), incremental)
    return windows.spread(call.scores[:, None] - hidden)


def _window_scores(call: Call, windows: Windows, base: Tensor, incremental: bool) -> Tensor:
    if not incremental:
        return perturbed_scores(call, windows, base)
    scores = incremental_scores(
        call.net,
        call.target,
        call.x,
        windows,
        base,
        batch_size=call.batch_size,
        memory_gb=call.memory_gb,
        progress=call.progress,
    )
    return checked_scores(scores, f"of '{call.net.card.name}' for perturbed inputs")


@method("part_occlusion", "perturbation")
def part_occlusion(call: Call, parts: Parts = "face", baseline: Baseline = "mean") -> Tensor:
    """Drop of the score when a part of the face is hidden, shared evenly by its pixels."""
    maps = call.x.new_zeros(len(call.x), *call.size)
    for rows, few, regions, base, _ in in_groups(call, parts, 32, baseline):
        hidden = CoalitionMasks(regions, 1 - torch.eye(regions.shape[-3]))
        maps[rows] = spread_over(few.scores[:, None] - perturbed_scores(few, hidden, base), regions)
    return maps


@method("paired_occlusion", "perturbation")
def paired_occlusion(
    call: Call,
    pair: Tensor | None = None,
    window: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    baseline: Baseline = "mean",
    threshold: float | None = None,
) -> Tensor:
    """Drop of the similarity when the same place is hidden in both images (Zhong and Deng; survey, section 2.4)."""
    windows = windows_of(call.size, window, stride)
    second = _checked_pair(call, pair)
    if threshold is not None and not threshold > 0:
        raise SpecError(
            f"The option 'threshold' must be above 0; got {threshold!r}. Use learn_pair_threshold."
        )
    bases = [_base(call, baseline, images) for images in (call.x, second)]
    maps = []
    for rows, part in call.batches():
        pairs = torch.cat([part.x, second[rows]])
        base = torch.cat([b[rows] for b in bases])
        whole = part.net(pairs).detach().flatten(1)[:, None]
        hidden = incremental_outputs(
            part.net,
            pairs,
            windows,
            base,
            batch_size=call.batch_size,
            memory_gb=call.memory_gb,
            progress=call.progress,
        )
        scores = [_pair_scores(part, outputs) for outputs in (whole.to(hidden), hidden)]
        maps.append(windows.spread(scores[0] - scores[1]))
    found = torch.cat(maps)
    return found if threshold is None else found / threshold


def windows_of(
    size: tuple[int, int], window: int | Sequence[int] | None, stride: int | Sequence[int] | None
) -> Windows:
    """Windows that cover an image; by default a seventh of the shorter side, in steps of half a window."""
    window = max(1, round(min(size) / _WINDOWS_A_SIDE)) if window is None else window
    sides = _two("window", window, size, "the image's sides")
    stride = tuple(max(1, s // 2) for s in sides) if stride is None else stride
    return Windows(
        size, sides, _two("stride", stride, sides, "the window's sides, so that every pixel is covered")
    )


def _two(name: str, value: int | Sequence[int], most: tuple[int, int], what: str) -> tuple[int, int]:
    both = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, Sequence) else ()
    if len(both) != 2 or not all(type(v) is int and 1 <= v <= m for v, m in zip(both, most, strict=True)):
        raise SpecError(
            f"The option '{name}' is a number of pixels, or (height, width), from 1 to {most[0]} and {most[1]}, {what}; "
            f"got {value!r}."
        )
    return both


def _base(call: Call, kind: Baseline, x: Tensor | None = None) -> Tensor:
    return baseline(call.net, call.x if x is None else x, kind, seed=call.seed)


def _checked_pair(call: Call, pair: Tensor | None) -> Tensor:
    if not isinstance(call.target, Similarity):
        raise NotApplicableError(
            f"Paired occlusion explains the similarity of two images; the target is {call.target.name}. "
            "Use Similarity(net.embed(pair)) and the option pair=."
        )
    if pair is None:
        raise NotApplicableError(
            "Paired occlusion hides the same place in both images: give the second ones, prepared, as the option pair=, "
            f"of shape {tuple(call.x.shape)}."
        )
    call.net.check(pair)
    if len(pair) != len(call.x):
        raise AttributionError(
            f"Paired occlusion was given {len(call.x)} images and {len(pair)} second ones."
        )
    pair = pair.detach().to(call.x)
    with torch.no_grad():
        own = torch.nn.functional.normalize(call.net(pair).flatten(1), dim=1).to(call.x.dtype)
    checked_scores(own, "of second images")
    reference = call.target.reference.to(own)
    if reference.shape[-1] != own.shape[1] or not ((own * reference).sum(dim=1) >= _SAME).all():
        raise AttributionError(
            "The images in pair= are not those the target compares with: their embeddings differ from the target's "
            "reference. Use Similarity(net.embed(pair))."
        )
    return pair


def _pair_scores(call: Call, outputs: Float[Tensor, "two_n k d"]) -> Float[Tensor, "n k"]:
    """Scores of pairs of embeddings, the second images after all first ones."""
    first, second = (outputs / outputs.norm(dim=-1, keepdim=True)).chunk(2)
    cosines = checked_scores((first * second).sum(dim=-1), f"of '{call.net.card.name}' for perturbed pairs")
    if isinstance(call.target, MatchProbability):
        return (call.target.slope * cosines + call.target.intercept).sigmoid()
    return cosines


@dataclass(frozen=True)
class PairThreshold:
    """By how much hiding a place must raise the similarity for the place to be called a difference.

    Attributes
    ----------
    value : float
        The threshold, above 0, in units of the maps; `paired_occlusion` divides its maps by it, so that what is
        below -1 is a difference.
    hits, false_alarms : float
        Shares of non-matching and of matching pairs with a place beyond it, among those that it was learned on.
    n_matches, n_nonmatches : int
        Pairs that it was learned on.
    """

    value: float
    hits: float
    false_alarms: float
    n_matches: int
    n_nonmatches: int


def learn_pair_threshold(
    matches: Float[Tensor, "m h w"], nonmatches: Float[Tensor, "k h w"]
) -> PairThreshold:
    """Learn what is a difference between two faces from held-out pairs (Zhong and Deng; survey, section 2.4).

    A place that differs keeps two images apart: hidden in both, the similarity rises, and the map of paired occlusion is
    negative. The threshold is the rise at which non-matching pairs light up and matching pairs do not: it maximises the
    share of non-matching pairs with a place beyond it less that of matching pairs, and lies midway between the two
    pairs' largest rises next to it.

    Parameters
    ----------
    matches, nonmatches : tensor, shape (pairs, height, width)
        Maps of paired occlusion for pairs of one person, and of two people; neither used for anything else.

    Returns
    -------
    PairThreshold
        With the shares that it reaches.

    Raises
    ------
    AttributionError
        If there are no maps of one kind, they are not finite, or no threshold above 0 tells them apart.

    Examples
    --------
    >>> found = learn_pair_threshold(-torch.full((3, 4, 4), 0.1), -torch.full((5, 4, 4), 0.3))
    >>> round(found.value, 3), found.hits, found.false_alarms
    (0.2, 1.0, 0.0)
    """
    for name, maps in (("matching", matches), ("non-matching", nonmatches)):
        if maps.dim() != 3 or not maps.numel() or not maps.isfinite().all():
            raise AttributionError(
                f"Maps of {name} pairs have shape (pairs, height, width), at least one pair and finite values; got "
                f"{tuple(maps.shape)}."
            )
    same, different = ((-maps).double().flatten(1).amax(dim=1) for maps in (matches, nonmatches))
    levels = torch.cat([same.new_zeros(1), same, different]).clamp(min=0).unique()
    between = (levels[:-1] + levels[1:]) / 2
    hits, alarms = ((peaks > between[:, None]).double().mean(dim=1) for peaks in (different, same))
    if not len(between) or not (hits > alarms).any():
        raise AttributionError(
            "No threshold makes more of the non-matching pairs light up than of the matching pairs: the maps do not tell "
            "them apart."
        )
    best = int((hits - alarms).argmax())
    return PairThreshold(
        float(between[best]), float(hits[best]), float(alarms[best]), len(matches), len(nonmatches)
    )
