"""What ways of solving a layer cost, from speeds measured here and now."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from fusiform.activations import Group
from fusiform.probing._products import System
from fusiform.probing._scales import Scale
from fusiform.probing._solve import Method

_MEMORY_RATE, _DISK_RATE = 8e9, 1.5e9  # bytes a second
_LOWER = 7 / 12  # of a Gram matrix is multiplied
_LANES = 16
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Cost:
    """How a layer is solved, and what that costs.

    Attributes
    ----------
    method : {"krylov", "gram"}
        The cheaper one.
    seconds : float
        Estimated.
    operations : float
        Floating-point operations.
    walks : int
        Walks through the layer's activations.
    """

    method: Method
    seconds: float
    operations: float
    walks: int


def cheapest(
    systems: Sequence[System],
    scale: Scale,
    group: Group,
    *,
    n_pool: int,
    n_images: int,
    first: int,
    features: int,
    pass_seconds: float,
    weights: bool,
    device: torch.device = _CPU,
    chunks: Mapping[Method, int],
) -> Cost:
    """Choose between blocked Krylov steps and Gram matrices.

    Krylov steps multiply X'V and X(X'V) once a component, for all targets together, and walk through the layer each
    time. Gram matrices need two walks: one of the pool or, where every attribute has its own scale, one an
    attribute; then one for the weights. Where no weights are wanted and all share a scale, one walk is enough.

    Parameters
    ----------
    systems : sequence of System
        What is solved.
    scale : {"subset", "pooled"}
        How features are scaled.
    group : Group
        Where the layer's activations lie.
    n_pool, n_images : int
        Images of the pool, and all images held.
    first : int
        The first image that is projected.
    features : int
        Features of the layer.
    pass_seconds : float
        What one pass of the images through the network takes.
    weights : bool
        Whether weights are wanted, of which importance is made.
    device : torch.device, default the processor
        Where products are made.
    chunks : mapping of method to int
        In how many parts the systems are solved for want of memory.

    Returns
    -------
    Cost
        The cheaper way.
    """
    thin, wide = speeds(device)
    size = 4.0 * features * n_images
    once = {
        "memory": size / _MEMORY_RATE,
        "disk": size / _DISK_RATE,
        "recompute": pass_seconds * group.passes(1, features),
    }[group.where]
    width = max(s.n_components for s in systems)
    targets = sum(s.targets.shape[1] for s in systems)
    lanes = -(-targets // _LANES) * _LANES
    projected = 2.0 * (n_images - first) * len(systems) * width * features
    sizes = {s.subset: float(len(s.rows)) for s in systems}
    moments = 4.0 * n_pool * (len(sizes) if scale == "subset" else 1) * features
    steps = 4.0 * n_pool * lanes * width * features
    squares = float(n_pool) ** 2 if scale == "pooled" else sum(size**2 for size in sizes.values())
    grams = 2.0 * _LOWER * squares * features
    walks = (width + 1) * chunks["krylov"]
    krylov = Cost(
        "krylov",
        (steps + moments) / thin + projected / wide + walks * once,
        steps + moments + projected,
        walks,
    )
    if weights or scale == "subset":
        rest, walks = 2.0 * n_pool * len(systems) * width * features + projected, 2 * chunks["gram"]
    else:
        rest, walks = 2.0 * (n_images - first) * n_pool * features, chunks["gram"]
    # Of a scale that all share, every part forms K anew.
    grams *= chunks["gram"] if scale == "pooled" else 1
    gram = Cost(
        "gram",
        moments / thin + (grams + rest) / wide + walks * once,
        moments + grams + rest,
        walks,
    )
    # Of few features K has fewer dimensions than images, and rounding would pass for the others.
    return krylov if features < 2 * n_pool else min(krylov, gram, key=lambda cost: cost.seconds)


@cache
def speeds(device: torch.device = _CPU) -> tuple[float, float]:
    """Operations a second of thin products (48 columns) and wide ones (512), single precision, on a device."""
    X = torch.randn(1024, 2048, generator=torch.Generator().manual_seed(0)).to(device)
    rates = []
    for columns in (48, 512):
        V = torch.randn(1024, columns, generator=torch.Generator().manual_seed(1)).to(device)
        best = float("inf")
        for _ in range(4):
            synchronise(device)
            start = time.perf_counter()
            _ = X.T @ V
            synchronise(device)
            best = min(best, time.perf_counter() - start)
        rates.append(2.0 * X.numel() * columns / best)
    return rates[0], rates[1]


def synchronise(device: torch.device) -> None:
    """Wait until a device has done what it was given, so that a clock tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
