"""Gradient methods beside their peers, and beside the forward and backward passes that they are made of.

Run ``python benchmarks/gradients.py [--networks demo timm:resnet18] [--images 8] [--steps 32] [--runs 7]``. Each row
times two functions in turn, pair by pair, and gives the median ratio: first ours over as many bare passes as the
method needs (1.1 is the limit), then ours over the peer's.
"""

import argparse
import warnings

import torch
from _measure import machine, paired

from fusiform.attribution import attribute
from fusiform.networks import load_network
from fusiform.optional import require
from fusiform.perturbation import baseline
from fusiform.targets import Logit

LIMIT = 32  # images in a pass, ours and theirs


def passes(net, x, count: int):
    """As many forward and backward passes as `count` evaluations of each image need."""
    total = x.repeat(count, 1, 1, 1)

    def run():
        for part in total.split(LIMIT):
            part = part.detach().requires_grad_()
            torch.autograd.grad(net(part)[:, 0].sum(), part)

    return run


def rows(net, x, steps: int):
    """Name, evaluations, ours, peer's name and peer."""
    from captum.attr import DeepLift, IntegratedGradients, LayerGradCam, NoiseTunnel, Saliency

    require("timm", extra="zoo")  # mends torchvision, which the next import needs, where it is broken
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    base = baseline(net, x, "black").clone()
    score = net.module.eval()
    tunnel = NoiseTunnel(Saliency(score))
    plain = [m for m in score.modules() if isinstance(m, torch.nn.Conv2d)][-1]
    name = next(n for n, m in score.named_modules() if m is plain)

    def ours(method, **options):
        return lambda: attribute(net, x, Logit(0), method, batch_size=LIMIT, **options)

    def grad_cam_peer():
        with GradCAM(model=score, target_layers=[plain]) as cam:
            cam(input_tensor=x, targets=[ClassifierOutputTarget(0)] * len(x))

    yield (
        "gradient",
        1,
        ours("gradient"),
        "captum",
        lambda: Saliency(score).attribute(x.clone(), 0, abs=False),
    )
    yield (
        "integrated_gradients", steps, ours("integrated_gradients", steps=steps), "captum",
        lambda: IntegratedGradients(score).attribute(x, base, 0, n_steps=steps, internal_batch_size=LIMIT),
    )  # fmt: skip
    yield (
        "smoothgrad", steps, ours("smoothgrad", samples=steps), "captum",
        lambda: tunnel.attribute(
            x.clone(), nt_type="smoothgrad", nt_samples=steps, nt_samples_batch_size=max(1, LIMIT // len(x)), target=0,
            abs=False,
        ),
    )  # fmt: skip
    yield (
        "grad_cam",
        1,
        ours("grad_cam", layer=name),
        "captum",
        lambda: LayerGradCam(score, plain).attribute(x, 0),
    )
    yield "grad_cam", 1, ours("grad_cam", layer=name), "pytorch_grad_cam", grad_cam_peer
    yield "guided_backpropagation", 1, ours("guided_backpropagation"), None, None
    yield "deep_lift", 2, ours("deep_lift"), "captum", lambda: DeepLift(score).attribute(x.clone(), base, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["demo", "timm:resnet18"])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")  # of peers
    print(machine())
    for spec in arguments.networks:
        net = load_network(spec)
        x = torch.randn(arguments.images, net.card.n_channels, *net.card.input_size)
        print(f"{spec}: {arguments.images} images of {net.card.input_size}, {arguments.steps} steps")
        for name, count, ours, peer_name, peer in rows(net, x, arguments.steps):
            print(
                f"  {name:24} over {count} bare passes: {paired(ours, passes(net, x, count), runs=arguments.runs)}"
            )
            if peer is None:
                continue
            try:
                print(f"  {'':24} over {peer_name}: {paired(ours, peer, runs=arguments.runs)}")
            except Exception as error:  # a peer that fails is a result
                print(f"  {'':24} {peer_name} fails: {type(error).__name__}: {str(error)[:100]}")


if __name__ == "__main__":
    main()
