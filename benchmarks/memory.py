"""Resident memory of an audit against its budget. Target: never more than 500 MB above `memory_gb`.

Each case runs in a process of its own; what Python, torch and the loaded network take before the audit
begins is printed beside the peak. The activations of the larger case do not fit and are spilled.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time

from _measure import machine

CASES = {
    # name: network, faces, memory_gb
    "demo, fits": ("demo", "synthetic?n=1024&seed=7", 2.0),
    "demo, spilled": ("demo", "synthetic?n=1024&seed=7", 1.0),
    "resnet50, spilled": ("timm:resnet50", "synthetic?n=1024&seed=7", 1.0),
}


def child(name: str) -> None:
    from fusiform.networks import load_network
    from fusiform.runs import Progress
    from fusiform.studies import audit

    network, faces, memory_gb = CASES[name]
    net = load_network(network)
    _ = net.layers
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        audit(
            net,
            faces,
            f"{folder}/run",
            memory_gb=memory_gb,
            n_train=512,
            n_valid=256,
            control=False,
            progress=progress,
        )
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{name}: budget {memory_gb:.1f} GB, peak {peak:.2f} GB resident ({before:.2f} GB before the audit), "
        f"{peak - memory_gb:+.2f} GB against the budget, {seconds:.0f} s"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES)
    asked = parser.parse_args().case
    if asked:
        child(asked)
    else:
        print(machine())
        for case in CASES:
            subprocess.run([sys.executable, __file__, "--case", case], check=True)
