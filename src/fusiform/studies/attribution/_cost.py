"""What making maps costs."""

import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from fusiform.networks import FaceNetwork


class Meter:
    """Time, images passed through the network, and memory taken within a ``with``.

    Attributes
    ----------
    seconds : float
        Wall time.
    images : int
        Images in forward passes of the network's module as a whole.
    peak_mb : float
        Peak memory above that before, in MB: of the device, or resident on the CPU where the system tells; else NaN.
    """

    def __init__(self, net: FaceNetwork) -> None:
        self._net = net
        self.seconds, self.images, self.peak_mb = 0.0, 0, float("nan")

    def __enter__(self) -> Self:
        self._hook = self._net.module.register_forward_pre_hook(self._count)
        self._before = self._start_memory()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._net.device.type == "cuda":
            torch.cuda.synchronize(self._net.device)
        self.seconds = time.perf_counter() - self._start
        self._hook.remove()
        self.peak_mb = max(0.0, self._peak() - self._before) / 1e6 if self._before >= 0 else float("nan")

    def _count(self, module: Any, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], torch.Tensor):
            self.images += len(inputs[0])

    def _start_memory(self) -> float:
        if self._net.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._net.device)
            return float(torch.cuda.memory_allocated(self._net.device))
        with suppress(OSError):
            # Sets the peak back to what is resident now.
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            return _resident("VmRSS")
        return -1.0

    def _peak(self) -> float:
        if self._net.device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self._net.device))
        return _resident("VmHWM")


def _resident(name: str) -> float:
    """Bytes of a line of the process's status, on Linux."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return 1024.0 * float(line.split()[1])
    raise OSError(name)
