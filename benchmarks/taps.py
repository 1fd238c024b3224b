"""What watching layers costs: the bare forward pass against the same pass with every layer tapped.

Run ``python benchmarks/taps.py [--rounds 15] [--threads 2] [--clock wall|cpu] [--json OUT]``. A round runs bare,
tapped, bare (every other round in reverse), so that a machine that slows down slows all; the ratio is tapped over
the mean of its two neighbours, given as median and quartiles over the rounds, and "bare/bare" shows what the same
ratio of two bare passes scatters by. "tapped" hands every layer's live tensor to a function that does nothing.
The last column is a pass that copies every layer, with the seconds spent in the copies alone. The CPU clock sums
over threads and is the one to use on a machine that others use too.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch

from fusiform.networks import FaceNetwork, load_network

BATCH = 32


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def _nothing(name, tensor):
    pass


def measure(net: FaceNetwork, rounds: int, clock) -> dict:
    """Time one network."""
    images = torch.randint(0, 256, (BATCH, 3, *net.card.input_size), dtype=torch.uint8)
    x = net.prepare(images)
    names = [layer.name for layer in net.layers]
    copying = 0.0

    def copied(name, tensor):
        nonlocal copying
        start = clock()
        tensor.clone()
        copying += clock() - start

    def seconds(receive):
        start = clock()
        if receive is None:
            net(x)
        else:
            with net.tapped(names, receive):
                net(x)
        return clock() - start

    times = {"bare": [], "tapped": [], "bare again": []}
    with torch.no_grad():
        seconds(None)
        seconds(_nothing)
        for i in range(rounds):
            order = [("bare", None), ("tapped", _nothing), ("bare again", None)]
            for name, receive in order if i % 2 else reversed(order):
                times[name].append(seconds(receive))
        few = max(3, rounds // 5)
        with_copies = statistics.median(seconds(copied) for _ in range(few))
    triples = list(zip(times["bare"], times["tapped"], times["bare again"], strict=True))
    low, middle, high = statistics.quantiles([2 * t / (a + b) for a, t, b in triples], n=4)
    scatter = statistics.quantiles([b / a for a, _, b in triples], n=4)
    return {
        "network": net.card.name,
        "parameters": net.n_parameters,
        "layers": len(names),
        "bare_s": statistics.median(times["bare"] + times["bare again"]),
        "ratio": middle,
        "ratio_quartiles": (low, high),
        "bare_to_bare_quartiles": (scatter[0], scatter[2]),
        "with_copies_s": with_copies,
        "copies_alone_s": copying / few,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--networks", nargs="+", default=["demo", "mobilefacenet_relu6", "timm:resnet50"])
    parser.add_argument("--json", help="write the figures here too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    machine = f"{platform.processor() or platform.machine()}, {arguments.threads} threads, torch {torch.__version__}"
    print(f"batch {BATCH}, {arguments.rounds} rounds, {arguments.clock} clock, {machine}")
    print(
        f"{'network':36} {'layers':>6} {'bare':>9} {'tapped/bare (quartiles)':>26} {'bare/bare':>15} {'copies':>17}"
    )
    figures = []
    for spec in arguments.networks:
        row = measure(load_network(spec), arguments.rounds, CLOCKS[arguments.clock])
        figures.append(row)
        (low, high), (a, b) = row["ratio_quartiles"], row["bare_to_bare_quartiles"]
        print(
            f"{row['network'][:36]:36} {row['layers']:6} {row['bare_s']:8.3f}s {row['ratio']:9.3f} ({low:.3f} to {high:.3f})"
            f" {a:6.3f} to {b:.3f} {row['with_copies_s']:7.3f}s ({row['copies_alone_s']:.3f}s)"
        )
    if arguments.json:
        record = {"machine": machine, "batch": BATCH, "clock": arguments.clock, "rounds": arguments.rounds}
        Path(arguments.json).write_text(json.dumps(record | {"figures": figures}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
