"""A whole ResNet-50 at 224 px probed for 40 attributes: every convolution, residual sum, pool and fully connected layer.

Target: 1,024 images run to the end in 4 GB of resident memory, in at most 8 times one bare forward pass over them.
Weights and labels are random, and images too: what is measured does not depend on them.
"""

import argparse
import resource
import time

import numpy as np
import pandas as pd
import torch
from _measure import machine

from fusiform.faces import FaceSet
from fusiform.networks import load_network
from fusiform.probing import probe_layers, sample
from fusiform.runs import Progress

ROLES = ("conv", "residual_sum", "pool", "fc", "embedding")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="timm:resnet50")
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--attributes", type=int, default=40)
    parser.add_argument("--memory-gb", type=float, default=2.2)
    parser.add_argument("--scale", choices=("pooled", "subset"), default="pooled")
    parser.add_argument("--units", default="layer", help="layer,channels,neurons")
    args = parser.parse_args()
    print(machine())
    net = load_network(args.network)
    layers = [layer for layer in net.layers if layer.role in ROLES]
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (args.images, 3, *net.card.input_size), dtype=np.uint8))
    labels = {
        f"a{k}": pd.array(rng.random(args.images) < 0.5, dtype="boolean") for k in range(args.attributes)
    }
    faces = FaceSet.from_arrays(images, pd.DataFrame(labels), name="random")
    sampling = sample(faces)
    features = sum(np.prod(layer.shape) for layer in layers)
    print(
        f"{net.card.name}: {len(layers)} layers, {features / 1e6:.1f} million features, "
        f"{len(sampling.pool)} images in the pool and {len(sampling.others)} others"
    )
    batch = net.prepare(images[:32])
    with torch.no_grad():
        net(batch)
        start = time.perf_counter()
        for first in range(0, args.images, 32):
            net(net.prepare(images[first : first + 32]))
    bare = time.perf_counter() - start
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    start = time.perf_counter()
    with Progress() as progress:
        table = probe_layers(
            net,
            faces,
            layers=[layer.name for layer in layers],
            units=args.units.split(","),
            scale=args.scale,
            sampling=sampling,
            memory_gb=args.memory_gb,
            progress=progress,
        )
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{seconds:.0f} s, {seconds / bare:.1f} times a bare pass of {bare:.0f} s; peak {peak:.2f} GB resident "
        f"({before:.2f} GB before probing); {len(table)} rows"
    )


if __name__ == "__main__":
    main()
