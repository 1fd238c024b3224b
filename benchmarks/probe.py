"""Probing one layer for many attributes, beside scikit-learn's PLSRegression fitted once an attribute.

Ours is one Gram matrix, 40 dual solves and the scores of all images; the peer is timed on one attribute and its time
multiplied. ``ideal`` is the cheapest set of matrix products that does our job, timed on the same machine: half a
Gram product and two thin products.
"""

import argparse
import time
from functools import partial

import numpy as np
import torch
from _measure import machine, paired
from sklearn.cross_decomposition import PLSRegression

from fusiform.probing._gram import pooled_gram, project
from fusiform.statistics import dual_pls

ATTRIBUTES = 40
COMPONENTS = 8
BLOCK = 4096


def blocks(X: torch.Tensor):
    return iter(X.split(BLOCK, dim=1))


def ours(X: torch.Tensor, targets: list[np.ndarray]) -> torch.Tensor:
    n = len(X)
    fits = dual_pls(pooled_gram(partial(blocks, X), n), [np.arange(n)] * len(targets), targets, COMPONENTS)
    coefficients = np.concatenate([fit.coefficients for fit in fits], axis=1)
    return project(partial(blocks, X), n, torch.from_numpy(coefficients).float())


def ideal(X: torch.Tensor) -> float:
    V = torch.randn(len(X), ATTRIBUTES * COMPONENTS)
    start = time.perf_counter()
    for block in blocks(X):
        block @ block.T
    gram = (time.perf_counter() - start) / 2
    start = time.perf_counter()
    for block in blocks(X):
        block @ (block.T @ V)
    return gram + time.perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--features", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print(machine())
    X = torch.randn(args.images, args.features, generator=torch.Generator().manual_seed(0))
    rng = np.random.default_rng(0)
    targets = [(rng.random(args.images) < 0.5).astype(float) for _ in range(ATTRIBUTES)]
    peer = PLSRegression(n_components=COMPONENTS)
    matrix = X.numpy()
    print(f"{args.images} images, {args.features} features; ours {ATTRIBUTES} attributes, peer one attribute")
    print(paired(lambda: ours(X, targets), lambda: peer.fit(matrix, targets[0]), runs=args.runs))
    print(f"a ratio of r means {ATTRIBUTES} / r times faster for {ATTRIBUTES} attributes")
    print(f"cheapest matrix products: {min(ideal(X) for _ in range(args.runs)):.3f} s")
