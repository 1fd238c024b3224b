"""Dissection of a ResNet-50 with random weights at 112 px: time against two bare forward passes, and memory.

Block outputs of the last two stages (9 layers, 12,288 units), 38 local and 12 global concepts, both methods, with
significance. Targets: at most twice the two bare passes that a dissection makes; memory constant in the number of
images but for the maxima (4 bytes a unit and image). Images and masks lie in memory, so that neither decoding nor
rendering counts. Each number of images runs in a process of its own. "above" is the peak of resident memory over what was
there before, "less" is that less images' own results (the maxima).

Run ``python benchmarks/dissection.py [--images 500 1000 2000] [--threads 2]``.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

SIZE, BATCH = 112, 32


def made_up_dictionary(n: int):
    """Smooth images with rectangles for masks where the concepts of a face would be."""
    import numpy as np
    import pandas as pd
    import torch

    from fusiform.faces import ConceptTable, FaceSet, build_dictionary

    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.uniform(0, 255, (n, 3, 14, 14))).float()
    images = torch.nn.functional.interpolate(small, size=SIZE, mode="bilinear").to(torch.uint8)
    concepts = ConceptTable.published()
    places = {"Eye": (35, 50), "Cheek": (60, 50), "Nose": (55, 50), "Mouth": (80, 50), "Chin": (95, 50)}
    masks, columns = {}, {}
    for concept in concepts.local:
        present = rng.random(n) < 0.5
        mask = np.zeros((n, SIZE, SIZE), dtype=bool)
        y, x = places[concept.region]
        for i in np.flatnonzero(present):
            top, left = y + rng.integers(-8, 8), x + rng.integers(-20, 20)
            mask[i, top : top + rng.integers(8, 17), left : left + rng.integers(12, 40)] = True
        masks[concept.name] = mask
        columns[concept.name] = pd.array(present, dtype="boolean")
    columns["Male"] = pd.array(rng.random(n) < 0.5, dtype="boolean")
    columns["age"] = rng.uniform(1, 90, n)
    columns["race"] = pd.Series(rng.choice(["White", "Black", "Asian", "Indian"], n), dtype="string")
    columns["skin_tone"] = rng.uniform(0, 1, n)
    faces = FaceSet.from_arrays(images, pd.DataFrame(columns), masks=masks, name="made up")
    return build_dictionary(faces, balance=False)


def child(n: int, threads: int) -> None:
    import torch

    from fusiform.dissection import dissect
    from fusiform.networks import FaceNetwork, find_roles, load_network

    torch.set_num_threads(threads)
    plain = load_network("timm:resnet50")
    net = FaceNetwork(plain.module, plain.card.replace(input_size=(SIZE, SIZE), alignment=None))
    layers = [layer.name for layer in find_roles(net, "blocks:last_two_stages")]
    dictionary = made_up_dictionary(n)
    faces = dictionary.faces

    def bare() -> float:
        start = time.perf_counter()
        with torch.no_grad():
            for first in range(0, n, BATCH):
                net(net.prepare(faces.images(range(first, min(first + BATCH, n)))))
        return time.perf_counter() - start

    with torch.no_grad():
        net(net.prepare(faces.images(range(BATCH))))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    one = bare()
    start = time.perf_counter()
    found = dissect(net, dictionary, layers, ["hierarchical", "network"], align="none", batch_size=BATCH)
    seconds = time.perf_counter() - start
    two = one + bare()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    units = len(found.units)
    maxima = 4e-6 * units * n
    concepts = dictionary.concepts
    groups = sum(len(category.groups) for category in concepts.categories)
    parts = ", ".join(f"{name} {spent:.1f} s" for name, spent in found.seconds.items())
    print(
        f"{n} images, {len(layers)} layers, {units} units, {len(concepts.local)} + {groups} concepts: {seconds:.1f} s, two bare "
        f"passes {two:.1f} s, ratio {seconds / two:.2f} ({parts}); {peak - before:.0f} MB above {before:.0f} MB, less the "
        f"maxima's {maxima:.0f} MB: {peak - before - maxima:.0f} MB; {len(found.table)} pairs",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", type=int)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.threads)
        return
    from _measure import machine

    print(machine())
    for n in arguments.images:
        subprocess.run(
            [sys.executable, str(Path(__file__)), "--child", str(n), "--threads", str(arguments.threads)],
            check=True,
        )


if __name__ == "__main__":
    main()
