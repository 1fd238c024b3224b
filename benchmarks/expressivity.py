"""Accuracy and speed of expressivity, the estimates of mutual information by critics trained together.

    python expressivity.py accuracy --estimators mine gaussian
    python expressivity.py speed --batches 128 512

``accuracy``: correlated Gaussians of known mutual information, 5,000 samples. Targets: mean absolute relative error of
the held-out estimate under 12% at up to 32 dimensions (20% at 3 nats), and independent variables 0 within 0.03. With
``--target all`` the attribute has as many dimensions as the features, correlated pairwise, instead of one.

``speed``: 4 attributes x 16 restarts on 5,000 x 512 features, a step of all 64 critics trained together (by eights, as many eights at a
time as there are threads) against one step
of each of 64 plain networks, one after another. The plain side is a few of the 64 (``--plain``) for a few steps, its
time multiplied: one network is like another. ``--fused`` gives them PyTorch's fastest Adam, as ours has. Targets on 2
cores: 2 times faster at batch 128, 1.5 times at 512; under 2 GB of resident memory. With ``--device cuda`` both sides run
there; target 20 times.
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _measure import machine

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.reference.mine import PlainMine

from fusiform._threads import each_on_one_thread
from fusiform.probing import expressivities
from fusiform.probing.information import encode_attribute
from fusiform.probing.information._calibration import gaussian_pair
from fusiform.probing.information._train import Schooling, _School, as_task

SAMPLES, RESTARTS = 5000, 16
TRUTHS, DIMENSIONS = (0.0, 0.2, 0.5, 1.0, 2.0, 3.0), (2, 8, 32, 128)


def accuracy(args: argparse.Namespace) -> None:
    rows = []
    for dimension in args.dimensions:
        width = dimension if args.target == "all" else 1
        for seed in range(args.seeds):
            # Features do not depend on the truth, so all truths are trained together.
            pairs = {
                truth: gaussian_pair(SAMPLES, dimension, truth, target_dimension=width, seed=seed)
                for truth in args.truths
            }
            features = pairs[args.truths[0]][0].astype(np.float32)
            for estimator in args.estimators:
                start = time.perf_counter()
                found = expressivities(
                    features,
                    {str(truth): attributes for truth, (_, attributes) in pairs.items()},
                    restarts=args.restarts,
                    seed=seed,
                    estimator=estimator,
                )
                seconds = time.perf_counter() - start
                for truth in args.truths:
                    result = found[str(truth)]
                    rows.append(
                        {
                            "estimator": estimator,
                            "dimension": dimension,
                            "truth": truth,
                            "seed": seed,
                            "held out": result.mean,
                            "std": result.std,
                            "train": result.train_mean,
                        }
                    )
                    print(
                        f"  {estimator:8} {dimension:4} dimensions, {truth:.1f} nats, seed {seed}: "
                        f"{result.mean:6.3f} (std of restarts {result.std:.3f}) held out, "
                        f"{result.train_mean:6.3f} in training",
                        flush=True,
                    )
                print(f"  {estimator}: {seconds:.0f} s for {len(args.truths)} truths together", flush=True)
    table = pd.DataFrame(rows)
    table["error"] = (table["held out"] - table["truth"]).abs()
    told = table[table["truth"] > 0].assign(error=lambda t: 100 * t["error"] / t["truth"])
    for estimator, part in told.groupby("estimator", sort=False):
        print(f"{estimator}: mean absolute relative error in %, by truth and dimension, and over all truths")
        errors = part.pivot_table(index="truth", columns="dimension", values="error")
        errors.loc["all"] = part.groupby("dimension")["error"].mean()
        print(errors.round(1).to_string())
    for estimator, part in table[table["truth"] == 0].groupby("estimator", sort=False):
        print(f"{estimator}: independent variables, largest absolute value {part['error'].max():.3f} nats")


def attributes_and_features() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((SAMPLES, 512), dtype=np.float32)
    scores = features[:, :4] + rng.normal(size=(SAMPLES, 4))
    return features, {
        "binary": scores[:, 0] > 0,
        "categorical": np.digitize(scores[:, 1], [-1.5, -0.5, 0.5, 1.5]),
        "one number": scores[:, 2],
        "another": scores[:, 3],
    }


def plain(args: argparse.Namespace, batch: int) -> Callable[[], None]:
    """A few of the 64 networks, one after another."""
    features, attributes = attributes_and_features()
    f = torch.from_numpy(features).to(args.device)
    encoded = [torch.from_numpy(encode_attribute(a).values).to(args.device) for a in attributes.values()]
    networks = [
        PlainMine(f.shape[1], encoded[k % 4].shape[1], seed=k, fused=args.fused) for k in range(args.plain)
    ]
    for network in networks:
        network.critic.to(args.device)
    rng = np.random.default_rng(0)

    def run() -> None:
        for k, network in enumerate(networks):
            a = encoded[k % 4]
            for _ in range(args.steps):
                rows = torch.from_numpy(rng.integers(SAMPLES, size=(2, batch))).to(args.device)
                network.step(f[rows[0]], a[rows[0]], a[rows[1]])
        if args.device == "cuda":
            torch.cuda.synchronize()

    return run


def together(args: argparse.Namespace, batch: int) -> Callable[[], None]:
    """All 64 critics, as many steps each, as they are trained: by eights, which leave out the same fold.

    Without the looks at validation images, which a plain loop has not either.
    """
    features, attributes = attributes_and_features()
    f = torch.from_numpy(features).to(args.device)
    tasks = []
    for values in attributes.values():
        encoded = encode_attribute(values)
        shown = encoded.values if encoded.classes is None else encoded.classes
        tasks.append(
            as_task(torch.from_numpy(shown).to(args.device), encoded.values.shape[1], encoded.classes)
        )
    images = torch.arange(SAMPLES)
    schooling = Schooling(batch_size=batch, steps=10**6)
    schools = [
        _School(f, tasks, range(first, first + 2), images, images[:64], schooling, first)
        for first in range(0, RESTARTS, 2)
    ]

    def steps(school: _School) -> None:
        rng = np.random.default_rng(0)
        for step in range(1, args.steps + 1):
            school._step(torch.from_numpy(rng.integers(SAMPLES, size=batch)), step)

    def run() -> None:
        each_on_one_thread(steps, schools)
        if args.device == "cuda":
            torch.cuda.synchronize()

    return run


def speed(args: argparse.Namespace) -> None:
    attributes = len(attributes_and_features()[1])
    critics = attributes * RESTARTS
    for batch in args.batches:
        ours, peer = together(args, batch), plain(args, batch)
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(args.runs + 1):
            for run, seconds in zip((ours, peer), times, strict=True):
                start = time.perf_counter()
                run()
                if turn:
                    seconds.append(time.perf_counter() - start)
        # Milliseconds a step of all critics.
        mine = [1e3 * s / args.steps for s in times[0]]
        theirs = [1e3 * s / args.steps * critics / args.plain for s in times[1]]
        ratios = sorted(b / a for a, b in zip(mine, theirs, strict=True))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"batch {batch}, {critics} critics: together {statistics.median(mine):.1f} ms a step, one after another "
            f"{statistics.median(theirs):.1f} ms (from {args.plain} networks, {args.steps} steps each), "
            f"{statistics.median(ratios):.2f} times faster ({ratios[0]:.2f} to {ratios[-1]:.2f}, {args.runs} pairs); "
            f"peak {peak:.2f} GB resident",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("accuracy", "speed", "both"), default="both")
    parser.add_argument("--estimators", nargs="+", default=["mine"])
    parser.add_argument("--truths", nargs="+", type=float, default=list(TRUTHS))
    parser.add_argument("--dimensions", nargs="+", type=int, default=list(DIMENSIONS))
    parser.add_argument("--target", choices=("one", "all"), default="one")
    parser.add_argument("--restarts", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--batches", nargs="+", type=int, default=[128, 512])
    parser.add_argument("--steps", type=int, default=40, help="steps of each critic in one timing")
    parser.add_argument("--plain", type=int, default=8, help="plain networks that are timed")
    parser.add_argument(
        "--fused", action="store_true", help="the plain networks' Adam in one kernel, as ours is"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(machine())
    if args.what != "speed":
        accuracy(args)
    if args.what != "accuracy":
        speed(args)


if __name__ == "__main__":
    main()
