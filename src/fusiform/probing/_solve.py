"""Partial least squares of many systems on one layer: weights, importance and scores, in as few walks as may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.activations import Activations
from fusiform.probing._products import GramProducts, KrylovProducts, Part, Parts, System
from fusiform.probing._scales import Scales
from fusiform.statistics import DualPLS, dual_pls

Method = Literal["krylov", "gram"]
METHODS: tuple[Method, ...] = get_args(Method)

# Gains below this are rounding of products in single precision.
_RANK = 1e-6


@dataclass(frozen=True)
class Solved:
    """Solutions of some systems, and what they make of all images.

    Attributes
    ----------
    fits : list of DualPLS
        One a system.
    vip : tensor, shape (m, s)
        Importance of every feature for the first systems; no columns where it was not asked for.
    products : tensor, shape (n - first, s, c)
        Features less their level, times rotations; zero beyond a system's components.
    first : int
        The first image that was projected.
    centre : tensor, shape (s, c)
        What to take off products beside the fits' offsets.
    rotations : list of tensors of shape (b, s, c)
        Rotations part by part, of features in their own units; empty where they were not asked for.
    """

    fits: list[DualPLS]
    vip: Float[Tensor, "m s"]
    products: Float[Tensor, "k s c"]
    first: int
    centre: Float[Tensor, "s c"]
    rotations: list[Tensor]

    def offset(self, system: int) -> Float[ndarray, " c"]:
        """What to take off products of features less their level with a system's rotations, to give scores."""
        fit = self.fits[system]
        return np.asarray(fit.offset + self.centre[system, : fit.n_components].double().numpy())

    def bounds(self, system: int) -> tuple[Float[ndarray, " c"], Float[ndarray, " c"]]:
        """Least and largest scores of the training images.

        A unit that all but slept on them was scaled up; where it wakes it throws scores as far out as you like. Read-outs
        take scores beyond those of any training image for the nearest of those.
        """
        scores = self.fits[system].scores
        return scores.min(axis=0), scores.max(axis=0)

    def scores(self, system: int, positions: Int[ndarray, " k"]) -> Float[ndarray, "k c"]:
        """Scores of images that were projected, as positions in the order streamed."""
        fit = self.fits[system]
        own = self.products[torch.from_numpy(positions - self.first), system, : fit.n_components]
        return np.asarray(own.double().numpy() - self.offset(system))


def solve(
    activations: Activations,
    systems: Sequence[System],
    scales: Scales,
    n_images: int,
    *,
    first: int,
    parts: Parts | None = None,
    method: Method = "krylov",
    important: int | None = None,
    rotations: bool = False,
) -> Solved:
    """Solve systems and project images.

    Parameters
    ----------
    activations : Activations
        The layer, images of the pool first.
    systems : sequence of System
        What is solved.
    scales : Scales
        Deviations of the features; measured here where they are not yet.
    n_images : int
        Images held.
    first : int
        Project images from this one on.
    parts : Parts, optional
        What each system sees; all see all when not given.
    method : {"krylov", "gram"}
        How K is come by; parts need ``"krylov"``.
    important : int, optional
        VIP is wanted for this many systems, the first ones; for all when not given. Systems that see parts have none.
    rotations : bool, default False
        Whether rotations are to be kept.

    Returns
    -------
    Solved
        The solutions.
    """
    m = len(activations.level)
    whole = parts is None
    parts = parts or Parts([Part(slice(0, m), np.arange(len(systems)))])
    important = len(systems) if important is None else important
    subsets = [s.subset for s in systems]
    # Where no weights are wanted, products with the pool's images are all that others need.
    direct = method == "gram" and scales.kind == "pooled" and not important and not rotations
    source: GramProducts | KrylovProducts
    if method == "gram":
        source = GramProducts(activations, scales, subsets, slice(first, n_images) if direct else slice(0, 0))
    else:
        source = KrylovProducts(activations, systems, scales, parts)
    fits = dual_pls(
        source,
        [s.rows for s in systems],
        [s.targets for s in systems],
        [s.n_components for s in systems],
        rank_tolerance=_RANK,
    )
    width = max(1, max(fit.n_components for fit in fits))
    total = torch.zeros(n_images - first, len(systems), width)
    centre = torch.zeros(len(systems), width)
    if isinstance(source, GramProducts) and direct:
        for number, fit in enumerate(fits):
            own = source.across[:, torch.from_numpy(fit.rows)]
            total[:, number, : fit.n_components] = own @ torch.from_numpy(fit.coefficients).float()
        return Solved(fits, torch.zeros(m, 0), total, first, centre, [])
    device = scales.deviation.device
    inverse = torch.zeros(len(fits), width, width, device=device)
    shares = torch.zeros(len(fits), width, device=device)
    for number, fit in enumerate(fits):
        c = fit.n_components
        inverse[number, :c, :c] = torch.from_numpy(fit.inverse).float()
        if c:
            shares[number, :c] = torch.from_numpy(fit.explained / fit.explained.sum()).float()
    total, centre = total.to(device), centre.to(device)
    vip = torch.zeros(m, important if whole else 0, device=device)
    kept = [torch.empty(len(p), len(p.systems), width) for p in parts if rotations]
    scale_of = torch.from_numpy(scales.of(subsets))
    rows = n_images if first < n_images else scales.n_pool
    for columns, X in activations.blocks(rows, None if whole else parts.features()):
        X = X.to(device)
        for number, inside, local in parts.inside(columns):
            sub = X[:, inside.start - columns.start : inside.stop - columns.start]
            W = source.weights(number, local, sub[: scales.n_pool], fits, width)
            seen = torch.from_numpy(parts[number].systems)
            if vip.shape[1]:
                own = (W[:, :important] * scales.deviation[inside][:, scale_of[:important], None]).square_()
                vip[inside] = torch.einsum("bsc,sc->bs", own, shares[:important])
            R = torch.einsum("bsi,sij->bsj", W, inverse[seen])
            if rotations:
                kept[number][local] = R.cpu()
            if first < n_images:
                total[:, seen] += (sub[first:] @ R.flatten(1)).reshape(-1, len(seen), width)
            if method == "gram":
                # K was of features less their mean.
                centre[seen] += torch.einsum("bs,bsj->sj", scales.mean[inside][:, scale_of[seen]], R)
    total, centre, vip = total.cpu(), centre.cpu(), vip.cpu()
    # Weights have length one but for rounding, so the mean square is m times one m-th.
    vip = vip.mul_(m / vip.sum(dim=0).clamp(min=torch.finfo(vip.dtype).tiny)).sqrt_()
    return Solved(fits, vip, total, first, centre, kept)
