"""How many images to pass through a network at once."""

import time
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from fusiform.errors import SpecError
from fusiform.networks import FaceNetwork

_USUAL = 32
_FEW = 512  # evaluations below which trying costs more than it gains
_TRIED = (4, 16, 64, 256, 1024)
_GAIN = 0.97  # a larger batch must take less than this share of the time an image
_SHARE = 0.5  # of the memory for one batch

_found: dict[tuple[object, ...], int] = {}


def best_batch_size(
    net: FaceNetwork, x: Float[Tensor, "n c h w"], *, evaluations: int | None = None, memory_gb: float = 4.0
) -> int:
    """Return the number of images a forward pass at which a network is fastest.

    Sizes from 4 upwards are timed until a larger one gains nothing or does not fit, once for an architecture, input size,
    type, device and number of threads; later calls remember.

    Parameters
    ----------
    net : FaceNetwork
        The network.
    x : tensor, shape (n, channels, height, width)
        Inputs of the kind to come; the first serves.
    evaluations : int, optional
        How many images are to come; for fewer than 512 nothing is tried and the answer is 32, or what fits.
    memory_gb : float, default 4
        Budget in GB (1e9 bytes).

    Raises
    ------
    SpecError
        If the budget is not above 0.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> net = FaceNetwork(nn.Flatten(), NetworkCard(name="tiny", input_size=(2, 2)))
    >>> best_batch_size(net, torch.zeros(1, 3, 2, 2), evaluations=100)
    32
    """
    if not memory_gb > 0:
        raise SpecError(f"memory_gb must be above 0; got {memory_gb}.")
    most = _fitting(net, x, memory_gb)
    if evaluations is not None and evaluations < _FEW:
        return min(_USUAL, most)
    autocast = torch.is_autocast_enabled(x.device.type)
    key = (
        type(net.module), net.n_parameters, tuple(x.shape[1:]), x.dtype, x.device, torch.get_num_threads(),
        autocast and torch.get_autocast_dtype(x.device.type), most,
    )  # fmt: skip
    if key not in _found:
        _found[key] = _fastest(net, x[:1], most)
    return _found[key]


def _fitting(net: FaceNetwork, x: Tensor, memory_gb: float) -> int:
    # A layer's input, output and working space; the input, mask and baseline.
    values = 4 * max((prod(layer.shape) for layer in net.layers), default=0) + 4 * prod(x.shape[1:])
    return max(1, int(_SHARE * memory_gb * 1e9 / (values * x.element_size())))


def _fastest(net: FaceNetwork, x: Tensor, most: int) -> int:
    best, least = min(_TRIED[0], most), float("inf")
    with torch.no_grad():
        net(x)
        for size in (best, *(s for s in _TRIED[1:] if s <= most)):
            batch = x.repeat(size, 1, 1, 1)
            taken = min(_seconds(net, batch) for _ in range(2 if size <= _TRIED[0] else 1)) / size
            if taken > _GAIN * least:
                break
            best, least = size, taken
    return best


def _seconds(net: FaceNetwork, batch: Tensor) -> float:
    _wait(batch.device)
    start = time.perf_counter()
    net(batch)
    _wait(batch.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
