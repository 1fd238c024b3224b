"""One `PLS` fit beside one of scikit-learn's PLSRegression, on the same features and targets.

The peer runs with its default tolerance and with the one that makes several targets come out exactly; for one target
the two do the same. Ours takes the way that its cost model chooses; ``both ways`` shows what the other one costs.
"""

import argparse
import time

import numpy as np
from _measure import machine, paired
from sklearn.cross_decomposition import PLSRegression

from fusiform.probing import PLS, _pls

COMPONENTS = 8


def seconds(function, runs: int) -> float:
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


def both_ways(X: np.ndarray, Y: np.ndarray, runs: int) -> str:
    chosen = _pls._gram_is_cheaper
    try:
        times = []
        for gram in (True, False):
            _pls._gram_is_cheaper = lambda *_, gram=gram: gram
            times.append(seconds(lambda: PLS(COMPONENTS).fit(X, Y), runs))
    finally:
        _pls._gram_is_cheaper = chosen
    way = "Gram matrix" if chosen(*X.shape, Y.shape[1] if Y.ndim == 2 else 1, COMPONENTS) else "products"
    return f"both ways: Gram matrix {times[0]:.3f} s, products {times[1]:.3f} s; chosen: {way}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--features", type=int, default=20_000)
    parser.add_argument("--targets", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    print(machine())
    rng = np.random.default_rng(0)
    X = rng.standard_normal((args.images, args.features), dtype=np.float32).astype(args.dtype)
    for count in args.targets:
        Y = X[:, :count] + rng.normal(size=(args.images, count))
        Y = Y[:, 0] if count == 1 else Y
        print(f"{args.images} images, {args.features} features ({args.dtype}), {count} targets")
        for name, options in (("default", {}), ("exact", {"tol": 1e-15, "max_iter": 20_000})):
            peer = PLSRegression(n_components=COMPONENTS, **options)
            result = paired(
                lambda Y=Y: PLS(COMPONENTS).fit(X, Y), lambda peer=peer, Y=Y: peer.fit(X, Y), runs=args.runs
            )
            print(f"  peer {name}: {result}")
        print(f"  {both_ways(X, Y, args.runs)}")
