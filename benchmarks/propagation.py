"""What propagation costs: LRP and Excitation Backprop on a ResNet-50 against one forward plus backward pass.

Run ``python benchmarks/propagation.py [--batch 4] [--runs 5] [--threads 2] [--size 224] [--clock wall|cpu]``. In each
round a pass comes before and after each method, and the ratio is the method over the mean of the two, given as
median and range. The pass is the gradient of a logit with respect to the input alone; beside it stands the pass with
all gradients of parameters. zennit's composites run in the same rounds, with its canonizer for ResNets.
"""

import argparse
import statistics
import time

import torch
from _measure import machine

from fusiform.attribution import attribute
from fusiform.networks import load_network
from fusiform.optional import require

OURS = {
    "lrp epsilon": ("lrp", {"rule": "epsilon"}),
    "lrp epsilon_plus": ("lrp", {"rule": "epsilon_plus"}),
    "lrp epsilon_plus_flat": ("lrp", {"rule": "epsilon_plus_flat"}),
    "lrp epsilon_gamma_box": ("lrp", {"rule": "epsilon_gamma_box"}),
    "lrp epsilon_alpha2_beta1": ("lrp", {"rule": "epsilon_alpha2_beta1"}),
    "excitation_backprop": ("excitation_backprop", {}),
    "contrastive_excitation_backprop": ("contrastive_excitation_backprop", {}),
}
PEERS = ("EpsilonPlus", "EpsilonPlusFlat", "EpsilonAlpha2Beta1")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def peers(module, x):
    """zennit's composites, and what they return."""
    require("zennit", extra="bench")
    from zennit import composites
    from zennit.attribution import Gradient
    from zennit.torchvision import ResNetCanonizer

    column = torch.eye(1000)[1]

    def run(name):
        composite = getattr(composites, name)(canonizers=[ResNetCanonizer()])
        with Gradient(module, composite) as attributor:
            attributor(x.clone(), lambda out: out * column)

    return {f"zennit {name}": lambda name=name: run(name) for name in PEERS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = CLOCKS[arguments.clock]
    net = load_network(f"timm:resnet50?input={arguments.size}x{arguments.size}")
    x = torch.randn(
        arguments.batch, 3, arguments.size, arguments.size, generator=torch.Generator().manual_seed(0)
    )
    torchvision = require("torchvision.models", extra="zoo")
    theirs = torchvision.resnet50(weights=None).eval()

    def gradient():
        leaf = x.clone().requires_grad_()
        for p in net.module.parameters():
            p.requires_grad_(False)
        torch.autograd.grad(net(leaf)[:, 1].sum(), leaf)
        for p in net.module.parameters():
            p.requires_grad_(True)

    def with_parameters():
        net(x.clone().requires_grad_())[:, 1].sum().backward()
        net.module.zero_grad(set_to_none=True)

    runs = {"pass with gradients of parameters": with_parameters}
    for name, (method, options) in OURS.items():
        runs[name] = lambda method=method, options=options: attribute(net, x, 1, method, **options)
    runs |= peers(theirs, x)

    def seconds(function):
        start = clock()
        function()
        return clock() - start

    print(f"ResNet-50 at {arguments.size} px, batch {arguments.batch}, {arguments.clock} clock; {machine()}")
    seconds(gradient)
    for name, function in runs.items():
        seconds(function)
        ratios, times = [], []
        for _ in range(arguments.runs):
            before, took, after = seconds(gradient), seconds(function), seconds(gradient)
            ratios.append(2 * took / (before + after))
            times.append(took)
        print(
            f"{name:36} {statistics.median(times):7.3f} s, {statistics.median(ratios):5.2f} times a pass "
            f"({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
