"""The same function in other weights: what a network computes stays, how it does so changes."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fusiform.networks import FaceNetwork

# Layers of a copy keep their names: classes are exchanged for subclasses, nothing is wrapped or inserted.


def with_forward(module: nn.Module, forward: Callable[[Callable[..., Tensor], Tensor], Tensor]) -> None:
    """Exchange what a module computes: ``forward(what it computed, its input)``."""
    old = type(module)

    def changed(self: nn.Module, x: Tensor) -> Tensor:
        return forward(lambda value: old.forward(self, value), x)

    module.__class__ = type(old.__name__, (old,), {"forward": changed, "__module__": old.__module__})


def _identity(module: nn.Module, seed: int) -> bool:
    def forward(inner: Callable[..., Tensor], x: Tensor) -> Tensor:
        return inner(F.conv2d(x, _eye(x)))

    with_forward(module, forward)
    return True


def _rectified(module: nn.Module, seed: int) -> bool:
    def forward(inner: Callable[..., Tensor], x: Tensor) -> Tensor:
        eye = _eye(x)
        return inner(F.conv2d(F.relu(F.conv2d(x, torch.cat([eye, -eye]))), torch.cat([eye, -eye], dim=1)))

    with_forward(module, forward)
    return True


def _eye(x: Tensor) -> Tensor:
    return torch.eye(x.shape[1], dtype=x.dtype, device=x.device)[:, :, None, None]


def _split(module: nn.Module, seed: int) -> bool:
    generator = torch.Generator().manual_seed(seed)
    linear = [
        m
        for m in module.modules()
        if isinstance(m, nn.Conv2d | nn.Linear)
        and type(m).forward in (nn.Conv2d.forward, nn.Linear.forward)
        and not parametrize.is_parametrized(m)
    ]
    for m in linear:
        part = (2 * torch.rand(m.weight.shape, generator=generator) - 0.5).to(m.weight)
        other = copy.deepcopy(m).requires_grad_(False)
        other.bias = None
        with torch.no_grad():
            other.weight.mul_(1 - part)
            m.weight.sub_(other.weight)

        def forward(inner: Callable[..., Tensor], x: Tensor, other: nn.Module = other) -> Tensor:
            return inner(x) + other(x)

        with_forward(m, forward)
    return bool(linear)


def _scaled(module: nn.Module, seed: int) -> bool:
    # PReLU and leaky ReLU are, like ReLU, the same function at every positive scale.
    rectifiers = [m for m in module.modules() if type(m) in (nn.ReLU, nn.PReLU, nn.LeakyReLU)]
    for m in rectifiers:

        def forward(inner: Callable[..., Tensor], x: Tensor) -> Tensor:
            generator = torch.Generator().manual_seed(seed)
            # Powers of two: not a digit is lost.
            powers = torch.randint(-2, 3, (x.shape[1],), generator=generator)
            scale = (2.0**powers).to(x).view(-1, *[1] * (x.dim() - 2))
            return inner(x * scale) / scale

        with_forward(m, forward)
    return bool(rectifiers)


VARIANTS: dict[str, Callable[[nn.Module, int], bool]] = {
    "identity": _identity,
    "rectified": _rectified,
    "scaled": _scaled,
    "split": _split,
}


def reparameterised(net: FaceNetwork, variant: str, seed: int) -> FaceNetwork | None:
    """A copy that computes the same function another way; None where the variant has nothing to change."""
    module = copy.deepcopy(net.module)
    changed = VARIANTS[variant](module, seed)
    return FaceNetwork(module, net.card) if changed else None


def mirrored(net: FaceNetwork) -> FaceNetwork:
    """A copy whose output is the mean over an image and its mirror image."""
    module = copy.deepcopy(net.module)

    def forward(inner: Callable[..., Tensor], x: Tensor) -> Tensor:
        return (inner(x) + inner(x.flip(3))) / 2

    with_forward(module, forward)
    return FaceNetwork(module, net.card)
