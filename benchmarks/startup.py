"""How long `fusiform --help` takes, beside `python -c pass`. Target: under 0.5 s."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from _measure import machine


def seconds(command: list[str], runs: int = 9) -> list[float]:
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return sorted(times[1:])


if __name__ == "__main__":
    print(machine())
    for name, command in {
        "fusiform --help": [str(Path(sys.executable).with_name("fusiform")), "--help"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }.items():
        times = seconds(command)
        print(f"{name}: {statistics.median(times):.3f} s ({times[0]:.3f} to {times[-1]:.3f})")
