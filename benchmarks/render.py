"""Speed of the synthetic faces' renderer.

    python benchmarks/render.py --threads 2 --sizes 64 112 224

Prints faces per second: the median and the best of several rounds after a warm-up, by wall clock and per second of
processor time (which a busy machine disturbs less), and the peak memory of the process.
"""

import argparse
import platform
import resource
import statistics
import time

import torch

from fusiform.faces.synthetic import render, sample_parameters


def rounds(size: int, threads: int, faces: int, repeats: int) -> tuple[list[float], list[float]]:
    """Faces per second of wall clock and of processor time, a value a round."""
    torch.set_num_threads(threads)
    table = sample_parameters(faces, seed=1, identities=faces)
    render(table[:4], size=size)
    wall, busy = [], []
    for _ in range(repeats):
        start, start_busy = time.perf_counter(), time.process_time()
        render(table, size=size)
        wall.append(faces / (time.perf_counter() - start))
        busy.append(faces / (time.process_time() - start_busy))
    return wall, busy


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 112, 224])
    parser.add_argument("--faces", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
    )
    print("size threads  median    best  per cpu-second (best)   faces/s")
    for size in args.sizes:
        for threads in args.threads:
            wall, busy = rounds(size, threads, args.faces, args.repeats)
            print(f"{size:4d} {threads:7d} {statistics.median(wall):7.1f} {max(wall):7.1f} {max(busy):10.1f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
