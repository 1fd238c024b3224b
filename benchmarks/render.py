"""Speed of the synthetic faces' renderer.

    python benchmarks/render.py --threads 1 2 --sizes 64 112 224

Prints faces per second by wall clock (median and best of several rounds after a warm-up), milliseconds of processor
time a face (median; a busy machine disturbs it less than the wall clock, but a shared core still slows it), and the
peak memory of the process. ``load`` is the machine's load average at the time: where it is more than the number of
threads, others had part of the processors and the wall clock says little.
"""

import argparse
import os
import resource
import statistics
import time

import torch
from _measure import machine

from fusiform.faces.synthetic import render, sample_parameters


def rounds(size: int, threads: int, faces: int, repeats: int) -> tuple[list[float], list[float]]:
    """Faces per second of wall clock, and milliseconds of processor time a face; a value a round."""
    torch.set_num_threads(threads)
    table = sample_parameters(faces, seed=1, identities=faces)
    render(table[:4], size=size)
    wall, busy = [], []
    for _ in range(repeats):
        start, start_busy = time.perf_counter(), time.process_time()
        render(table, size=size)
        wall.append(faces / (time.perf_counter() - start))
        busy.append(1e3 * (time.process_time() - start_busy) / faces)
    return wall, busy


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="(default 1 2)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 112, 224], help="(default 64 112 224)")
    parser.add_argument("--faces", type=int, default=128, help="faces a round (default 128)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default 5)")
    args = parser.parse_args()
    print(machine())
    print("size  threads  faces/s: median    best   CPU ms/face  load")
    for size in args.sizes:
        for threads in args.threads:
            wall, busy = rounds(size, threads, args.faces, args.repeats)
            print(f"{size:4d} {threads:8d} {statistics.median(wall):16.1f} {max(wall):7.1f} "
                  f"{statistics.median(busy):13.1f} {os.getloadavg()[0]:5.1f}")  # fmt: skip
    print(f"peak resident memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
