"""The inpainting game: one part of a face is another person's, and a map must find it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from fusiform.errors import EvaluationError
from fusiform.evaluation._given import (
    Explain,
    as_groups,
    checked_inputs,
    checked_maps,
    checked_masks,
    checked_scores,
    plain_scores,
    refuse_rows,
)
from fusiform.evaluation._order import CutMasks, mass_ahead
from fusiform.networks import FaceNetwork
from fusiform.perturbation import masked_scores
from fusiform.runs import Progress
from fusiform.statistics import cluster_intervals
from fusiform.targets import Contrast


@dataclass(frozen=True, eq=False)
class InpaintingResult:
    """Outcome of the inpainting game.

    Attributes
    ----------
    table : DataFrame
        One row a part (and ``"all"``, the mean of the parts) and false alarm rate: ``network, part, false_alarm_rate, metric,
        value, lower, upper, n``. ``classified_nonmate``: probability that the blend is classified as the inpainted non-mate.
    curves : DataFrame
        One row a part and threshold: ``part, mass`` (share of saliency above the threshold), ``false_alarm_rate,
        true_positive_rate`` of the classifier of pixels, ``classified_nonmate``.
    played : bool tensor, shape (n,)
        Triplets that this network tells apart.
    kept, dropped : int
        How many do and do not.
    """

    table: pd.DataFrame
    curves: pd.DataFrame
    played: Bool[Tensor, " n"]
    kept: int
    dropped: int


def inpainting_game(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Contrast,
    maps: Float[Tensor, "n h w"] | Explain,
    inpainted: Float[Tensor, "n c h w"],
    masks: Bool[Tensor, "n h w"] | None = None,
    *,
    parts: Sequence[str] | None = None,
    groups: Sequence[Any] | ndarray | Tensor | None = None,
    threshold: float | None = None,
    false_alarm_rates: Sequence[float] = (0.01, 0.05),
    levels: int = 100,
    draws: int = 500,
    seed: int = 0,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    progress: Progress | None = None,
) -> InpaintingResult:
    """Replace what a map calls discriminative by the inpainted probe, until the face is taken for the other one.

    A threshold on the map goes from above all of its saliency to below; pixels above it come from the inpainted probe, and the
    network classifies the blend as mate or as inpainted non-mate. A good map finds the inpainted part, so that the
    identity changes before pixels outside of it (false alarms) are replaced. Thresholds are set at equal steps of the
    map's positive mass, as in the authors' code.

    Parameters
    ----------
    net : FaceNetwork
        A verifier.
    x : tensor, shape (n, channels, height, width)
        Probes.
    target : Contrast
        Mates and inpainted non-mates: a blend is classified as the non-mate where the contrast is below 0.
    maps : tensor, shape (n, height, width), or callable
        What is discriminative for the mate, or ``explain(net, x, target)`` that makes it of the triplets played.
    inpainted : tensor, shape (n, channels, height, width)
        Inpainted probes: one part is that of the non-mate.
    masks : bool tensor, shape (n, height, width), optional
        The inpainted part; by default the pixels in which the probes differ.
    parts : sequence of n str, optional
        Name of the part of each triplet, over which probabilities are balanced.
    groups : sequence of n, optional
        Identity of each probe, for the intervals.
    threshold : float, optional
        Cosine from which the network says match. With it, triplets are played only if the probe also matches its mate and
        the inpainted probe no longer does.
    false_alarm_rates : sequence of float, default (0.01, 0.05)
        Shares of pixels outside the part at which the probability is read, by linear interpolation.
    levels : int, default 100
        Steps of the threshold.
    draws : int, default 500
        Bootstrap samples of identities.
    seed : int, default 0
        Of the order of equal values and of the bootstrap.
    batch_size, memory_gb, progress
        As in `fusiform.perturbation.masked_scores`.

    Returns
    -------
    InpaintingResult
        Probabilities with intervals, curves, and which triplets were played: those whose probe is nearer to the mate and whose
        inpainted probe is nearer to the non-mate. If none, the table is empty.

    Raises
    ------
    EvaluationError
        If shapes do not fit, maps or scores are not finite, a mask is empty or covers the image, or an option is out of range.

    References
    ----------
    Williford, May and Byrne (2020), the inpainting game.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> net = FaceNetwork(nn.Flatten(), NetworkCard(name="t", input_size=(2, 2), channels="grey"))
    >>> probe = torch.tensor([[[[1.0, 0.2], [0.2, 0.2]]]])
    >>> twin = torch.tensor([[[[0.1, 0.2], [0.2, 0.2]]]])
    >>> perfect = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    >>> result = inpainting_game(net, probe, Contrast(probe.flatten(), twin.flatten()), perfect, twin)
    >>> result.kept, result.table["value"].tolist()
    (1, [1.0, 1.0])
    """
    _check_options(target, levels, false_alarm_rates)
    x, target_ = checked_inputs(net, x, target)
    inpainted, _ = checked_inputs(net, inpainted, target)
    n = len(x)
    if inpainted.shape != x.shape:
        raise EvaluationError(
            f"There is an inpainted probe for each of the {n} probes; got {len(inpainted)}."
        )
    regions = _regions(x, inpainted, masks)
    names = np.asarray(["all parts"] * n if parts is None else [str(p) for p in parts])
    if names.shape != (n,):
        raise EvaluationError(f"There is a part for each of the {n} triplets; got {len(names)}.")
    cluster = as_groups(groups, n)
    how: dict[str, Any] = {"batch_size": batch_size, "memory_gb": memory_gb}
    played = plain_scores(net, target, x, **how) > 0
    played &= plain_scores(net, target, inpainted, **how) < 0
    if threshold is not None:
        played &= plain_scores(net, target.mate, x, **how) >= threshold
        played &= plain_scores(net, target.mate, inpainted, **how) < threshold
    if isinstance(maps, Tensor):
        maps = checked_maps(maps, x)
    rows = played.nonzero()[:, 0]
    kept = len(rows)
    counts: dict[str, Any] = {"played": played, "kept": kept, "dropped": n - kept}
    if not kept:
        return InpaintingResult(pd.DataFrame(columns=_COLUMNS), pd.DataFrame(columns=_CURVE), **counts)
    x, inpainted, regions = x[rows], inpainted[rows], regions[rows]
    of = target_.rows(rows)
    maps = maps[rows] if isinstance(maps, Tensor) else checked_maps(maps(net, x, of), x)
    sweep = _sweep(net, x, of, maps, inpainted, regions, levels, seed, {**how, "progress": progress})
    at = rows.cpu().numpy()
    table, curves = _tables(sweep, names[at], cluster[at], tuple(false_alarm_rates), draws, seed)
    table.insert(0, "network", net.card.name)
    curves.insert(1, "mass", np.tile(np.linspace(0, 1, levels + 1), curves["part"].nunique()))
    return InpaintingResult(table, curves, **counts)


_COLUMNS = ["network", "part", "false_alarm_rate", "metric", "value", "lower", "upper", "n"]
_CURVE = ["part", "mass", "false_alarm_rate", "true_positive_rate", "classified_nonmate"]


def _check_options(target: object, levels: int, rates: Sequence[float]) -> None:
    if not isinstance(target, Contrast):
        raise EvaluationError(
            f"The inpainting game is played for a Contrast of mates and inpainted non-mates; got {type(target).__name__}."
        )
    if levels < 1:
        raise EvaluationError(f"The threshold takes 1 or more steps; got {levels}.")
    if not len(rates) or not all(0 <= rate <= 1 for rate in rates):
        raise EvaluationError(f"False alarm rates are shares from 0 to 1; got {tuple(rates)}.")


def _regions(x: Tensor, inpainted: Tensor, masks: Tensor | None) -> Tensor:
    regions = (x != inpainted).any(dim=1) if masks is None else checked_masks(masks, x[:, 0])
    inside = regions.flatten(1).sum(dim=1)
    refuse_rows(inside == 0, "Nothing was inpainted: the mask is empty")
    refuse_rows(
        inside == regions[0].numel(), "No pixel is outside of the mask, so that there is no false alarm"
    )
    return regions


@dataclass(frozen=True)
class _Sweep:
    """Per triplet and threshold: classified as non-mate, pixels above it outside of and within the part; and how many there are."""

    nonmate: Float[ndarray, "n k"]
    false: Float[ndarray, "n k"]
    true: Float[ndarray, "n k"]
    outside: Float[ndarray, " n"]
    inside: Float[ndarray, " n"]


def _sweep(
    net: FaceNetwork, x: Tensor, target: Any, maps: Tensor, inpainted: Tensor, regions: Tensor,
    levels: int, seed: int, how: dict[str, Any],
) -> _Sweep:  # fmt: skip
    ahead = mass_ahead(maps, seed)
    cuts = torch.linspace(0, 1, levels + 1, dtype=ahead.dtype, device=ahead.device)
    cuts[-1] = torch.inf  # at last everything is replaced, also what has no saliency
    counts: dict[str, list[Tensor]] = {"false": [], "true": []}

    def count(start: int, stop: int, keep: Tensor, scores: Tensor) -> None:
        replaced = keep == 0
        counts["false"].append((replaced & ~regions[:, None]).flatten(2).sum(dim=2))
        counts["true"].append((replaced & regions[:, None]).flatten(2).sum(dim=2))

    scores = checked_scores(
        masked_scores(net, target, x, CutMasks(ahead, cuts), inpainted, each=count, **how)
    )
    inside = regions.flatten(1).sum(dim=1)
    found = [scores < 0, *(torch.cat(counts[k], dim=1) for k in ("false", "true"))]
    found += [regions[0].numel() - inside, inside]
    return _Sweep(*(t.cpu().numpy().astype(np.float64) for t in found))


def _tables(
    sweep: _Sweep, names: ndarray, cluster: ndarray, rates: tuple[float, ...], draws: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    every = np.unique(names)
    scopes = {"all": every} | ({name: np.array([name]) for name in every} if len(every) > 1 else {})
    rows, curves = [], []
    for scope, members in scopes.items():
        taken = np.isin(names, members)
        own = (names[taken, None] == members).astype(np.float64)
        nonmate = sweep.nonmate[taken]
        # Sums over triplets: each part's classifications and count, and the pooled pixels of all parts.
        terms = np.concatenate(
            [
                (own[:, :, None] * nonmate[:, None]).reshape(len(own), -1),
                own,
                sweep.false[taken],
                sweep.outside[taken, None],
            ],
            axis=1,
        )
        people = np.unique(cluster[taken], return_inverse=True)[1]
        k = nonmate.shape[1]
        for rate in rates:
            value, lower, upper = cluster_intervals(
                terms,
                people,
                partial(_read, parts=len(members), k=k, rate=rate),
                draws=draws,
                seed=seed,
            )
            rows.append((scope, rate, "classified_nonmate", value, lower, upper, int(taken.sum())))
        probability, false = _curve(terms.sum(axis=0, keepdims=True), len(members), k)
        true = sweep.true[taken].sum(axis=0) / sweep.inside[taken].sum()
        curves += list(zip([scope] * k, false[0], true, probability[0], strict=True))
    return (
        pd.DataFrame(rows, columns=_COLUMNS[1:]),
        pd.DataFrame(curves, columns=[c for c in _CURVE if c != "mass"]),
    )


def _curve(sums: ndarray, parts: int, k: int) -> tuple[ndarray, ndarray]:
    """Probability balanced over the parts, and pooled false alarm rate, at each threshold."""
    nonmate = sums[:, : parts * k].reshape(-1, parts, k)
    count = sums[:, parts * k : parts * k + parts, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.where(count > 0, nonmate / count, np.nan)
        # A part that a bootstrap sample happens to miss has no say in it.
        probability = np.nansum(each, axis=1) / np.maximum((count > 0).sum(axis=1), 1)
        return probability, sums[:, -1 - k : -1] / sums[:, -1:]


def _read(sums: ndarray, parts: int, k: int, rate: float) -> ndarray:
    """The probability at a false alarm rate; of thresholds with the same rate, the lowest counts."""
    probability, false = _curve(sums, parts, k)
    found = np.empty(len(sums))
    for i, (f, p) in enumerate(zip(false, probability, strict=True)):
        last = int(np.searchsorted(f, rate, side="right")) - 1
        found[i] = p[last]
        if last < k - 1:
            found[i] += (p[last + 1] - p[last]) * (rate - f[last]) / (f[last + 1] - f[last])
    return found
