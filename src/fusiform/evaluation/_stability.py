"""Whether maps hold still under noise that nobody sees."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fusiform.errors import EvaluationError
from fusiform.evaluation._given import Explain, checked_inputs, made_maps, plain_scores
from fusiform.networks import FaceNetwork
from fusiform.targets import Target


@dataclass(frozen=True, eq=False)
class Stability:
    """How maps change under small noise; all tensors (n,).

    Attributes
    ----------
    maximum, mean : tensor
        Length of the change of the map over the length of the map, largest and mean over the draws; 0 at best, NaN for a map
        of zeros.
    score_change : tensor
        Largest absolute change of the score: a map may follow a score that itself changes.
    """

    maximum: Float[Tensor, " n"]
    mean: Float[Tensor, " n"]
    score_change: Float[Tensor, " n"]


def stability(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target | int,
    explain: Explain,
    *,
    radius: float = 0.02,
    draws: int = 10,
    seed: int = 0,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
) -> Stability:
    """Measure how much maps change when small uniform noise is added to the images (max-sensitivity).

    Parameters
    ----------
    net : FaceNetwork
        The network.
    x : tensor, shape (n, channels, height, width)
        Inputs from ``net.prepare``.
    target : Target or int
        What is explained; the number of a class stands for its logit.
    explain : callable
        ``explain(net, x, target)`` makes maps (n, height, width).
    radius : float, default 0.02
        Largest change of a pixel, as a share of the range from black to white.
    draws : int, default 10
        Noises, each shared by all images.
    seed : int, default 0
        Of the noise.
    batch_size, memory_gb
        As in `fusiform.perturbation.masked_scores`, for the scores.

    Returns
    -------
    Stability
        Relative changes of the maps, and changes of the scores.

    Raises
    ------
    EvaluationError
        If `explain` makes no finite maps of the inputs' size, or an option is out of range.

    References
    ----------
    Yeh and others (2019), max-sensitivity.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    >>> net = FaceNetwork(module, NetworkCard(name="t", input_size=(2, 2), channels="grey", head="logits"))
    >>> weights = lambda net, x, target: net.module[1].weight.view(1, 2, 2).expand(len(x), -1, -1)
    >>> stability(net, torch.rand(2, 1, 2, 2), 0, weights).maximum.tolist()
    [0.0, 0.0]
    """
    if not radius > 0 or draws < 1:
        raise EvaluationError(
            f"Noise has a radius above 0 and is drawn 1 or more times; got {radius} and {draws}."
        )
    x, target = checked_inputs(net, x, target)
    how: dict[str, Any] = {"batch_size": batch_size, "memory_gb": memory_gb}
    maps, scores = made_maps(explain, net, x, target), plain_scores(net, target, x, **how)
    low, high = net.card.value_range
    reach = radius * (high - low) / torch.tensor(net.card.std).expand(x.shape[1]).to(x)[:, None, None]
    generator = torch.Generator().manual_seed(seed)
    lengths = maps.flatten(1).norm(dim=1)
    lengths = lengths.masked_fill(lengths == 0, torch.nan)
    changes, moved = [], []
    for _ in range(draws):
        noise = 2 * torch.rand(x.shape[1:], generator=generator).to(x) - 1
        shaken = x + reach * noise
        changes.append((made_maps(explain, net, shaken, target) - maps).flatten(1).norm(dim=1) / lengths)
        moved.append((plain_scores(net, target, shaken, **how) - scores).abs())
    found = torch.stack(changes)
    return Stability(found.amax(dim=0), found.mean(dim=0), torch.stack(moved).amax(dim=0))
