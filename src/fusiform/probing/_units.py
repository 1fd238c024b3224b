"""Channels and neurons of a layer: which matter most, what they are called, and their values."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.activations import Activations
from fusiform.probing._products import Part, Parts


def positions_of(shape: Sequence[int]) -> int:
    """Positions of a channel; 1 where a layer has no channels but only features."""
    return int(np.prod(shape[1:])) if len(shape) == 3 else 1


def best_channels(vip: Float[Tensor, " m"], shape: Sequence[int], top: int) -> tuple[ndarray, ndarray]:
    """Channels with the highest mean importance over positions, and that mean (Diniz 2020, section 4.2)."""
    means = vip.reshape(shape[0], -1).mean(dim=1).numpy()
    best = np.argsort(-means, kind="stable")[:top]
    return best, means[best]


def best_neurons(vip: Float[Tensor, " m"], top: int) -> ndarray:
    """Features with the highest importance, highest first."""
    return np.argsort(-vip.numpy(), kind="stable")[:top]


def spread_neurons(vip: Float[Tensor, " m"], count: int, rng: np.random.Generator) -> ndarray:
    """Features nearest to values drawn uniformly over the range of importance, none twice (section 5.3)."""
    order = np.argsort(vip.numpy(), kind="stable")
    ascending = vip.numpy()[order]
    if len(order) <= count:
        return order
    taken: dict[int, None] = {}
    for drawn in np.sort(rng.uniform(ascending[0], ascending[-1], count)):
        right = int(np.searchsorted(ascending, drawn))
        left = right - 1
        while right in taken:
            right += 1
        while left in taken:
            left -= 1
        nearer_left = left >= 0 and (
            right >= len(order) or drawn - ascending[left] <= ascending[right] - drawn
        )
        taken[left if nearer_left else right] = None
    return order[list(taken)]


def neuron_name(feature: int, shape: Sequence[int]) -> str:
    """``"17[3,4]"`` for row 3 and column 4 of channel 17; the number alone where there are no positions."""
    if positions_of(shape) == 1:
        return str(feature)
    channel, row, column = np.unravel_index(feature, tuple(shape))
    return f"{channel}[{row},{column}]"


def channel_parts(seen: Sequence[Iterable[int]], shape: Sequence[int]) -> Parts:
    """Parts for systems of which each sees some channels."""
    size = positions_of(shape)
    members: dict[int, list[int]] = {}
    for system, channels in enumerate(seen):
        for channel in channels:
            members.setdefault(int(channel), []).append(system)
    return Parts(
        Part(slice(channel * size, (channel + 1) * size), np.array(systems))
        for channel, systems in sorted(members.items())
    )


def gather(activations: Activations, features: Int[ndarray, " k"]) -> Float[ndarray, "n k"]:
    """Values of some features for all images, in their own units; features ascending."""
    found = []
    for columns, X in activations.blocks(among=features):
        inside = features[(features >= columns.start) & (features < columns.stop)]
        found.append(X[:, torch.from_numpy(inside - columns.start)])
    values = torch.cat(found, dim=1) + activations.level[torch.from_numpy(features)]
    return values.numpy()
