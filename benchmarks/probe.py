"""Probing one wide layer for many attributes, beside scikit-learn's PLSRegression fitted once an attribute.

Ours gives weights, importance (VIP), rotations and scores of all attributes. The peer is timed on one attribute and
its time multiplied. ``cheapest`` are the fewest matrix products that do the job, timed on the same machine at the same
time, features scaled already: for pooled scaling the cheaper of blocked Krylov steps (X'V and XW, once a component)
and half a Gram matrix with one thin product; for an own scale of each attribute, Krylov steps.

Targets: pooled at least 80 times, subset at least 25 times faster than the peer; at most 1.5 times the cheapest
products; at most 2.5 GB above the input.
"""

import argparse
import resource
import statistics
import time
from itertools import pairwise

import numpy as np
import torch
from _measure import machine
from sklearn.cross_decomposition import PLSRegression

from fusiform.activations import ActivationStore
from fusiform.networks import Layer
from fusiform.probing._products import System
from fusiform.probing._scales import Scales
from fusiform.probing._solve import solve

COMPONENTS = 8
BLOCK = 4096


def ours(activations, n: int, targets: list[np.ndarray], scale: str, method: str = "krylov"):
    rows = [np.arange(n)] * len(targets)
    scales = Scales(scale, rows, n, len(activations.level), torch.device("cpu"))
    systems = [System(np.arange(n), y[:, None], number, COMPONENTS) for number, y in enumerate(targets)]
    return solve(activations, systems, scales, n, first=n, method=method, rotations=True)


def krylov_products(X: torch.Tensor, attributes: int) -> None:
    V = torch.randn(len(X), -(-attributes // 16) * 16)
    for _ in range(COMPONENTS):
        for block in X.split(BLOCK, dim=1):
            block @ (block.T @ V)


def gram_products(X: torch.Tensor, attributes: int) -> None:
    V = torch.randn(len(X), attributes * COMPONENTS)
    edges = torch.linspace(0, len(X), 17).long().tolist()
    for block in X.split(BLOCK, dim=1):
        for a, b in pairwise(edges):
            block[a:b] @ block[:b].T
        block.T @ V


def timed(function, *args) -> float:
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--features", type=int, default=200_000)
    parser.add_argument("--attributes", type=int, default=40)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print(machine())
    n, m = args.images, args.features
    layer = Layer("layer", 0, "Conv2d", (m,), None, "conv")
    rng = np.random.default_rng(0)
    targets = [(rng.random(n) < 0.5).astype(float) for _ in range(args.attributes)]
    print(f"{n} images, {m} features, {args.attributes} attributes, {COMPONENTS} components")
    with ActivationStore([layer], n, block_columns=BLOCK, scratch=None) as store:
        generator = torch.Generator().manual_seed(0)
        for start in range(0, n, 64):
            rows = slice(start, min(n, start + 64))
            store.update(layer, rows, torch.randn(rows.stop - start, m, generator=generator))
        activations = store.of("layer")
        X = torch.cat([block for _, block in activations.blocks()], dim=1)
        peer = PLSRegression(n_components=COMPONENTS)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        ours(activations, n, targets, "pooled")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"memory above the input: {peak - before:.2f} GB")
        found = {name: [] for name in ("pooled", "subset", "peer", "krylov products", "gram products")}
        matrix = X.numpy()
        for _ in range(args.runs):
            found["pooled"].append(timed(ours, activations, n, targets, "pooled"))
            found["subset"].append(timed(ours, activations, n, targets, "subset"))
            found["peer"].append(timed(peer.fit, matrix, targets[0]))
            found["krylov products"].append(timed(krylov_products, X, args.attributes))
            found["gram products"].append(timed(gram_products, X, args.attributes))
    median = {name: statistics.median(seconds) for name, seconds in found.items()}
    for name, seconds in found.items():
        print(f"{name}: {median[name]:.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
    cheapest = {
        "pooled": min(median["krylov products"], median["gram products"]),
        "subset": median["krylov products"],
    }
    for scale in ("pooled", "subset"):
        faster = sorted(args.attributes * p / o for p, o in zip(found["peer"], found[scale], strict=True))
        print(
            f"{scale}: {statistics.median(faster):.0f} times faster than {args.attributes} fits of the peer "
            f"({faster[0]:.0f} to {faster[-1]:.0f}); {median[scale] / cheapest[scale]:.2f} times the cheapest products"
        )


if __name__ == "__main__":
    main()
