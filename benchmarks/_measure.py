"""What every benchmark shares: paired timing, and the machine for the record."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path


def machine() -> str:
    """One line on machine and versions."""
    import numpy
    import torch

    cpu = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open(encoding="ascii") as file:
            cpu = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return (
        f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads; Python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {numpy.__version__}"
    )


def paired(ours: Callable[[], object], peer: Callable[[], object], *, runs: int = 7, warmup: int = 1) -> str:
    """Time two functions in turn and print the ratio pair by pair, so that a drifting machine cancels."""
    for _ in range(warmup):
        ours()
        peer()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for function, seconds in zip((ours, peer), times, strict=True):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    ratios = sorted(a / b for a, b in zip(*times, strict=True))
    median = statistics.median
    return (
        f"ours {median(times[0]):.3f} s, peer {median(times[1]):.3f} s, ratio {median(ratios):.3f} "
        f"({ratios[0]:.3f} to {ratios[-1]:.3f}, {runs} pairs)"
    )
