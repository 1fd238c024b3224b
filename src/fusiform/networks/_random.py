"""Fresh random weights for an architecture, without touching the global random state."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


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
    trained = dict(module.named_parameters())
    devices = sorted({p.device.index or 0 for p in fresh.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed)
        for path, part in fresh.named_modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
            if isinstance(part, nn.modules.conv._ConvNd | nn.Linear) and not parametrize.is_parametrized(
                part
            ):
                # PyTorch's own draw counts on batch norm in training mode: without it each layer shrinks its
                # signal by about 2.4, and after some twenty layers float32 holds nothing of the image.
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
            # A graph converted from ONNX keeps some of its weights (of PReLU, of MatMul) as buffers there.
            if path.rpartition(".")[2] == "initializers":
                for buffer in part.buffers(recurse=False):
                    _redraw(buffer)
        for name, parameter in fresh.named_parameters():
            # Nobody drew it: a class token, a position embedding, the parts of a normalised weight.
            if torch.equal(parameter, trained[name]):
                _redraw(parameter)
    return fresh


def _redraw(tensor: Tensor) -> None:
    """Draw a tensor from a normal distribution with its own mean and deviation; constants stay."""
    if tensor.is_floating_point() and tensor.numel() > 1:
        values = tensor.double()
        drawn = torch.randn(tensor.shape, dtype=torch.float64).to(tensor.device)
        tensor.copy_(drawn * values.std() + values.mean())
