"""Products with K = ZZ' of a layer's scaled features Z, and with Z' itself, from blocks of columns of X.

K comes as products only (blocked Krylov steps: X'V and X(X'V) for all targets together), or formed once (Gram matrices).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.activations import Activations
from fusiform.probing._scales import Scales
from fusiform.statistics import DualPLS

_ROW_CHUNKS = 6
_LANES = 16  # columns that a processor multiplies as fast as one


@dataclass(frozen=True)
class System:
    """One partial least squares to solve.

    Attributes
    ----------
    rows : int array, shape (k,)
        Training images, as positions in the pool.
    targets : array, shape (k, q)
        Targets on them.
    subset : int
        Number of the subset over which its features are scaled.
    n_components : int
        Components at the most.
    """

    rows: Int[ndarray, " k"]
    targets: Float[ndarray, "k q"]
    subset: int
    n_components: int


@dataclass(frozen=True)
class Part:
    """A run of features, and the systems that see them."""

    features: slice
    systems: Int[ndarray, " s"]

    def __len__(self) -> int:
        return self.features.stop - self.features.start


class Parts(list[Part]):
    """Parts of a layer, in order of features and not overlapping."""

    def features(self) -> Int[ndarray, " k"]:
        """All their features, ascending."""
        return np.concatenate([np.arange(p.features.start, p.features.stop) for p in self])

    def inside(self, columns: slice) -> list[tuple[int, slice, slice]]:
        """Parts that overlap with a block: their number, the overlap, and where it lies in the part."""
        found = []
        first = bisect_right(self, columns.start, key=lambda part: part.features.start)
        for number in range(max(0, first - 1), len(self)):
            features = self[number].features
            if features.start >= columns.stop:
                break
            inside = slice(max(features.start, columns.start), min(features.stop, columns.stop))
            if inside.start < inside.stop:
                local = slice(inside.start - features.start, inside.stop - features.start)
                found.append((number, inside, local))
        return found


class KrylovProducts:
    """K of each system times vectors, one walk through the features for all; remembers Z'V as it goes.

    Parameters
    ----------
    activations : Activations
        The layer.
    systems : sequence of System
        What is solved.
    scales : Scales
        Deviations of the features.
    parts : Parts
        What each system sees.
    """

    dtype = torch.float32

    def __init__(
        self, activations: Activations, systems: Sequence[System], scales: Scales, parts: Parts
    ) -> None:
        self._activations, self._scales, self._parts = activations, scales, parts
        self._device = scales.deviation.device
        self._scale_of = torch.from_numpy(scales.of([s.subset for s in systems]))
        self._among = parts.features()
        self._owners: list[ndarray] = []
        self._kept: list[list[Tensor]] = []

    def __len__(self) -> int:
        return self._scales.n_pool

    def products(self, vectors: Float[Tensor, "n k"], owners: Int[ndarray, " k"]) -> Float[Tensor, "n k"]:
        """K times vectors; see `GramProduct`."""
        seen = [np.flatnonzero(np.isin(owners, part.systems)) for part in self._parts]
        given = [_padded(vectors[:, s].to(self._device)) for s in seen]
        kept = [
            torch.empty(len(p), len(s), device=self._device) for p, s in zip(self._parts, seen, strict=True)
        ]
        places = [torch.from_numpy(s).to(self._device) for s in seen]
        total = torch.zeros(vectors.shape, device=self._device)
        for columns, X in self._activations.blocks(len(self), self._among):
            X = X.to(self._device)
            self._scales.measure(columns, X, self._activations.level[columns].to(self._device))
            for number, inside, local in self._parts.inside(columns):
                if not len(seen[number]):
                    continue
                factor = self._scales.factor(inside).square_()
                sub = X[:, inside.start - columns.start : inside.stop - columns.start]
                H = sub.T @ given[number]
                width = len(seen[number])
                H[:, :width] *= factor[:, self._scale_of[owners[seen[number]]]]
                kept[number][local] = H[:, :width]
                total.index_add_(1, places[number], (sub @ H)[:, :width])
        self._owners.append(owners)
        self._kept.append(kept)
        return total.cpu()

    def weights(
        self, number: int, local: slice, X: Float[Tensor, "p b"], fits: Sequence[DualPLS], width: int
    ) -> Float[Tensor, "b s c"]:
        """Weights over deviations, of features of a part, for the systems that see it; zero beyond their components.

        Parameters
        ----------
        number : int
            Which part.
        local : slice
            Which of its features.
        X : tensor, shape (n_pool, b)
            Those features of the pool.
        fits : sequence of DualPLS
            Solutions of all systems.
        width : int
            Components, c.
        """
        systems = self._parts[number].systems
        result = torch.zeros(local.stop - local.start, len(systems), width, device=self._device)
        for component, (owners, kept) in enumerate(zip(self._owners, self._kept, strict=True)):
            own = owners[np.isin(owners, systems)]
            mixing = np.zeros((len(own), len(systems)))
            for place, system in enumerate(systems):
                if component < fits[system].n_components:
                    mixing[own == system, place] = fits[system].mixing[:, component]
            if mixing.any():
                result[:, :, component] = kept[number][local] @ torch.from_numpy(mixing).float().to(
                    self._device
                )
        return result


class GramProducts:
    """K of each subset, formed in one walk and multiplied at leisure.

    Parameters
    ----------
    activations : Activations
        The layer.
    scales : Scales
        Deviations of the features.
    subsets : sequence of int
        For each system that is solved, the subset over which its features are scaled; all see all features.
    others : slice, optional
        Images whose products with those of the pool are wanted too; only where features are scaled over the pool.

    Attributes
    ----------
    grams : dict of int to tensor, shape (k, k)
        K of each scale's rows, of features less their mean over those rows; float64, products accumulated in float32.
    across : tensor, shape (n_others, n_pool)
        Products of `others` with the pool, features scaled alike; no rows where they were not asked for.
    """

    dtype = torch.float64

    def __init__(
        self,
        activations: Activations,
        scales: Scales,
        subsets: Sequence[int],
        others: slice = slice(0, 0),
    ) -> None:
        self._scales, self._rows = scales, scales.subsets
        self._scale_of = scales.of(subsets)
        device = scales.deviation.device
        needed = sorted(set(self._scale_of.tolist()))
        grams = {k: torch.zeros(len(self._rows[k]), len(self._rows[k]), device=device) for k in needed}
        index = {k: torch.from_numpy(self._rows[k]).to(device) for k in needed}
        across = torch.zeros(others.stop - others.start, len(self), device=device)
        for columns, whole in activations.blocks(max(len(self), others.stop)):
            whole = whole.to(device)
            X = whole[: len(self)]
            scales.measure(columns, X, activations.level[columns].to(device))
            factor, mean = scales.factor(columns), scales.mean[columns]
            for k, gram in grams.items():
                own = X if scales.kind == "pooled" else X[index[k]]
                Z = (own - mean[:, k]) * factor[:, k]
                _add_lower(gram, Z)
            if len(across):
                across.addmm_((whole[others] - mean[:, 0]) * factor[:, 0], Z.T)
        self.grams = {k: _whole(grams.pop(k)).cpu() for k in needed}
        self.across = across.cpu()

    def __len__(self) -> int:
        return self._scales.n_pool

    def products(self, vectors: Float[Tensor, "n k"], owners: Int[ndarray, " k"]) -> Float[Tensor, "n k"]:
        """K times vectors; see `GramProduct`."""
        result = torch.zeros(vectors.shape, dtype=torch.float64)
        scale = self._scale_of[owners]
        for k, gram in self.grams.items():
            here = np.flatnonzero(scale == k)
            if len(here):
                rows = torch.from_numpy(self._rows[k])
                result[rows[:, None], torch.from_numpy(here)] = gram @ vectors[rows][:, here]
        return result

    def weights(
        self, number: int, local: slice, X: Float[Tensor, "p b"], fits: Sequence[DualPLS], width: int
    ) -> Float[Tensor, "b s c"]:
        """Weights over deviations of a block of features; see `KrylovProducts.weights`."""
        directions = torch.zeros(len(self), len(fits), width)
        for system, fit in enumerate(fits):
            directions[torch.from_numpy(fit.rows), system, : fit.n_components] = torch.from_numpy(
                fit.directions
            ).float()
        H = (X.T @ directions.flatten(1).to(X.device)).reshape(-1, len(fits), width)
        return H * self._scales.factor(local).square_()[:, self._scale_of, None]


def _padded(vectors: Float[Tensor, "n k"]) -> Float[Tensor, "n l"]:
    lanes = -(-vectors.shape[1] // _LANES) * _LANES
    return torch.nn.functional.pad(vectors, (0, lanes - vectors.shape[1]))


def _add_lower(gram: Float[Tensor, "n n"], Z: Float[Tensor, "n b"]) -> None:
    """Add ZZ' to the lower triangle, in row chunks: 7/12 of the full product."""
    edges = torch.linspace(0, len(Z), _ROW_CHUNKS + 1).long().tolist()
    for a, b in pairwise(edges):
        if b > a:
            gram[a:b, :b].addmm_(Z[a:b], Z[:b].T)


def _whole(lower: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    result = lower.double().tril()
    return result.add_(result.tril(-1).T)
