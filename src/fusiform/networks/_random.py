"""Fresh random weights for an architecture, without touching the global random state."""

import copy

import torch
from torch import Tensor, nn


def randomized_copy(module: nn.Module, seed: int) -> nn.Module:
    """Copy a module and draw all its weights anew.

    Parameters
    ----------
    module : nn.Module
        What to copy; it is left as it is.
    seed : int
        Seed of the draw.
    """
    fresh = copy.deepcopy(module)
    devices = sorted({p.device.index or 0 for p in fresh.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed)
        for path, part in fresh.named_modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
                continue
            for parameter in part.parameters(recurse=False):
                _redraw(parameter)
            # A graph converted from ONNX keeps some of its weights (of PReLU, of MatMul) as buffers there.
            if path.rpartition(".")[2] == "initializers":
                for buffer in part.buffers(recurse=False):
                    _redraw(buffer)
    return fresh


def _redraw(tensor: Tensor) -> None:
    """Draw a tensor from a normal distribution with its own mean and deviation; constants stay."""
    if tensor.is_floating_point() and tensor.numel() > 1:
        values = tensor.double()
        tensor.copy_(torch.randn(tensor.shape, dtype=torch.float64).to(tensor.device) * values.std() + values.mean())
