"""Methods that follow the plain gradient."""

import torch
from torch import Tensor

from fusiform.attribution._registry import Call, method


def gradients(call: Call, x: Tensor | None = None) -> Tensor:
    """Gradient of the score with respect to inputs, (n, c, h, w)."""
    x = (call.x if x is None else x).detach().requires_grad_()
    return torch.autograd.grad(call.target(call.net, x).sum(), x)[0]


@method("gradient", "gradient")
def gradient(call: Call) -> Tensor:
    """How the score changes with each pixel (Simonyan and others, 2014)."""
    return torch.cat([gradients(part).sum(dim=1) for _, part in call.batches()])
