"""Methods that perturb images against the network's bare throughput. Target: at least 95% of it at its best batch size.

``python benchmarks/perturbation.py [--side 224] [--runs 5] [--masks 4000] [--rise-side 112]`` passes the same number of images
through a ResNet-18 three ways in turn, so that a drifting machine cancels: bare, in the batch size found best; our
occlusion, every window recomputed in full; and captum's, with its default of one window a pass and with ours. Then RISE runs
in a process of its own and its peak of resident memory is compared with the size of its masks.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

import torch
from _measure import machine

from fusiform.attribution import attribute
from fusiform.networks import FaceNetwork, NetworkCard, load_network
from fusiform.perturbation import Windows, baseline, best_batch_size, masked_scores
from fusiform.targets import Logit

WINDOW, STRIDE = 16, 8


def resnet(side: int) -> FaceNetwork:
    net = load_network("timm:resnet18")
    return FaceNetwork(net.module, NetworkCard(name="resnet18", input_size=(side, side), head="logits"))


def seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def occlusion(side: int, runs: int) -> None:
    from captum.attr import Occlusion

    net = resnet(side)
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    windows = Windows((side, side), (WINDOW, WINDOW), (STRIDE, STRIDE))
    base, k = baseline(net, x, "mean"), len(windows)
    best = best_batch_size(net, x)

    def bare():
        with torch.no_grad():
            for size in torch.ones(k).split(best):
                net(x.expand(len(size), -1, -1, -1))

    def ours():
        return masked_scores(net, Logit(0), x, windows, base, batch_size=best)

    def captum(at_once):
        def run():
            with torch.no_grad():
                Occlusion(lambda images: net(images)[:, 0]).attribute(
                    x,
                    sliding_window_shapes=(3, WINDOW, WINDOW),
                    strides=(3, STRIDE, STRIDE),
                    baselines=base,
                    perturbations_per_eval=at_once,
                )

        return run

    ways = {
        "bare": bare,
        "ours": ours,
        "captum, one a pass": captum(1),
        f"captum, {best} a pass": captum(best),
    }
    bare()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(runs):
        for name in ways if i % 2 == 0 else reversed(ways):
            times[name].append(seconds(ways[name]))
    print(f"occlusion of a ResNet-18 at {side} px, {k} windows of {WINDOW} px, {best} a pass, {runs} rounds")
    for name, taken in times.items():
        shares = sorted(b / t for b, t in zip(times["bare"], taken, strict=True))
        print(
            f"  {name:20} {statistics.median(taken):7.2f} s, {statistics.median(shares):6.1%} of the bare throughput "
            f"({shares[0]:.1%} to {shares[-1]:.1%})"
        )


def rise(side: int, n_masks: int) -> None:
    net = load_network("demo")
    net = FaceNetwork(net.module, net.card.replace(input_size=(side, side)))
    x = torch.randn(1, net.card.n_channels, side, side, generator=torch.Generator().manual_seed(0))
    best = best_batch_size(net, x)
    with torch.no_grad():
        net(x.expand(best, -1, -1, -1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    taken = seconds(lambda: attribute(net, x, Logit(0), "rise", n_masks=n_masks))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    with torch.no_grad():
        bare = seconds(
            lambda: [net(x.expand(len(part), -1, -1, -1)) for part in torch.ones(n_masks).split(best)]
        )
    print(
        f"RISE of the demo network at {side} px, {n_masks} masks, {best} a pass: {taken:.2f} s, bare {bare:.2f} s "
        f"({bare / taken:.1%}); peak {peak - before:.0f} MB above one bare pass, all masks would take "
        f"{n_masks * side * side * 4 / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rise-side", type=int, default=112)
    parser.add_argument("--masks", type=int, default=4000)
    parser.add_argument(
        "--rise-only", action="store_true", help="in a process of its own, for its peak of memory"
    )
    asked = parser.parse_args()
    if asked.rise_only:
        rise(asked.rise_side, asked.masks)
    else:
        print(machine())
        occlusion(asked.side, asked.runs)
        options = ["--rise-only", "--rise-side", str(asked.rise_side), "--masks", str(asked.masks)]
        subprocess.run([sys.executable, __file__, *options], check=True)
