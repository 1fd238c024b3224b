"""Axioms a map should obey: completeness, sensitivity."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fusiform.errors import EvaluationError
from fusiform.evaluation._given import Explain, checked_inputs, checked_scores, made_maps, plain_scores
from fusiform.evaluation._similarity import as_array, pearson
from fusiform.networks import FaceNetwork
from fusiform.perturbation import Baseline, CoalitionMasks, masked_scores
from fusiform.perturbation import baseline as made_baseline
from fusiform.runs import Progress
from fusiform.targets import Target


@dataclass(frozen=True, eq=False)
class Completeness:
    """How far maps are from sharing out the whole difference of scores; all tensors (n,).

    Attributes
    ----------
    total : tensor
        Sum of each map.
    difference : tensor
        Score of the image less that of the baseline.
    error : tensor
        `total` less `difference`.
    relative_error : tensor
        Absolute `error` over absolute `difference`; NaN where the difference is 0.
    """

    total: Float[Tensor, " n"]
    difference: Float[Tensor, " n"]
    error: Float[Tensor, " n"]
    relative_error: Float[Tensor, " n"]

    def holds(self, tolerance: float = 0.01) -> Bool[Tensor, " n"]:
        """Whether the error is at most this share of the difference."""
        return self.error.abs() <= tolerance * self.difference.abs()


def completeness(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target | int,
    maps: Float[Tensor, "n h w"] | Explain,
    *,
    baseline: Baseline | None = "black",
    seed: int = 0,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
) -> Completeness:
    """Compare the sum of each map with the difference of scores between the image and the baseline.

    Parameters
    ----------
    net : FaceNetwork
        The network.
    x : tensor, shape (n, channels, height, width)
        Inputs from ``net.prepare``.
    target : Target or int
        What was explained; the number of a class stands for its logit.
    maps : tensor, shape (n, height, width), or callable
        Maps, or ``explain(net, x, target)`` that makes them.
    baseline : str, float, tensor or None, default "black"
        The baseline of the maps, see `fusiform.perturbation.baseline`; None where the whole score is shared out, as by
        layer-wise relevance propagation.
    seed : int, default 0
        Of a baseline of noise.
    batch_size, memory_gb
        As in `fusiform.perturbation.masked_scores`.

    Returns
    -------
    Completeness
        Sums, differences and errors.

    Raises
    ------
    EvaluationError
        If maps do not fit the images or are not finite, or scores are not finite.

    References
    ----------
    Sundararajan, Taly and Yan (2017), axiom of completeness.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    >>> net = FaceNetwork(module, NetworkCard(name="t", input_size=(2, 2), channels="grey", head="logits"))
    >>> x = torch.rand(3, 1, 2, 2)
    >>> maps = (x * module[1].weight.view(1, 2, 2))[:, 0]
    >>> completeness(net, x, 0, maps, baseline=0.0).holds(1e-3).tolist()
    [True, True, True]
    """
    x, target = checked_inputs(net, x, target)
    total = made_maps(maps, net, x, target).double().sum(dim=(1, 2))
    how: dict[str, Any] = {"batch_size": batch_size, "memory_gb": memory_gb}
    difference = plain_scores(net, target, x, **how).double()
    if baseline is not None:
        base = made_baseline(net, x, baseline, seed=seed).contiguous()
        difference = difference - plain_scores(net, target, base, **how).double()
    error = total - difference
    relative = error.abs() / difference.abs().masked_fill(difference == 0, torch.nan)
    return Completeness(*(t.to(x.dtype) for t in (total, difference, error, relative)))


def sensitivity(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target | int,
    explain: Explain | Float[Tensor, "n h w"],
    *,
    cells: int = 8,
    fraction: float = 0.1,
    subsets: int = 100,
    baseline: Baseline = "black",
    seed: int = 0,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    progress: Progress | None = None,
) -> Float[Tensor, " n"]:
    """Say whether attributions reflect how the score changes when features are left out.

    The axiom of sensitivity for sets of features (sensitivity-n): random sets of cells of a grid are replaced by the
    baseline; the drop of the score is correlated with the sum of the map over the set.

    Parameters
    ----------
    net, x, target
        As in `completeness`.
    explain : callable or tensor, shape (n, height, width)
        ``explain(net, x, target)``, or the maps it makes.
    cells : int, default 8
        Cells along each side of the image.
    fraction : float, default 0.1
        Share of the cells in a set.
    subsets : int, default 100
        Sets; drawn once and shared by all images.
    baseline : str, float or tensor, default "black"
        What cells are replaced by.
    seed : int, default 0
        Of the sets.
    batch_size, memory_gb, progress
        As in `fusiform.perturbation.masked_scores`.

    Returns
    -------
    tensor, shape (n,)
        Pearson correlations over the sets, 1 at best; NaN where the map or the score is constant over them.

    Raises
    ------
    EvaluationError
        As `completeness`, or if an option is out of range.

    References
    ----------
    Sundararajan, Taly and Yan (2017); Ancona and others (2018), sensitivity-n.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    >>> net = FaceNetwork(module, NetworkCard(name="t", input_size=(4, 4), channels="grey", head="logits"))
    >>> truth = lambda net, x, target: (x * net.module[1].weight.view(1, 4, 4))[:, 0]
    >>> sensitivity(net, torch.rand(2, 1, 4, 4), 0, truth, cells=4, baseline=0.0).round(decimals=4).tolist()
    [1.0, 1.0]
    """
    x, target = checked_inputs(net, x, target)
    if not 1 <= cells <= min(x.shape[2:]) or cells < 2:
        raise EvaluationError(
            f"Cells along a side are from 2 to the image's shorter side, {min(x.shape[2:])}; got {cells}."
        )
    if not 0 < fraction < 1 or subsets < 3:
        raise EvaluationError(
            f"Sets hold a share above 0 and below 1 of the cells, and there are 3 or more; got {fraction} and {subsets}."
        )
    maps = made_maps(explain, net, x, target)
    features = _grid(cells, (x.shape[2], x.shape[3])).to(x)
    drawn = torch.rand(subsets, cells**2, generator=torch.Generator().manual_seed(seed))
    taken = drawn.argsort(dim=1).argsort(dim=1) < max(1, round(fraction * cells**2))
    base = made_baseline(net, x, baseline, seed=seed)
    masks = CoalitionMasks(features, (~taken).float())
    how: dict[str, Any] = {"batch_size": batch_size, "memory_gb": memory_gb, "progress": progress}
    hidden = checked_scores(masked_scores(net, target, x, masks, base, **how))
    sums = maps.double().flatten(1) @ features.double().flatten(1).T @ taken.double().to(x.device).T
    # The score itself is a constant of each image and drops out of the correlation.
    return torch.from_numpy(pearson(as_array(sums), -as_array(hidden))).to(x)


def _grid(cells: int, size: tuple[int, int]) -> Tensor:
    """Cells of a grid over the image, as nearly alike as pixels allow, (cells * cells, height, width)."""
    rows, columns = (torch.arange(s) * cells // s for s in size)
    number = rows[:, None] * cells + columns
    return number == torch.arange(cells**2)[:, None, None]
