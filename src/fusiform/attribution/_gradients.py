"""Methods that follow the plain gradient."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.graph import allow_mutation_on_saved_tensors

from fusiform.attribution._perturbed import checked_count
from fusiform.attribution._registry import Call, method
from fusiform.errors import NotApplicableError, SpecError

T = TypeVar("T")

_MOST = 32  # images whose gradients are formed at once
_COPIES = 3  # values that a backward pass holds for each value of a layer


def gradients(call: Call, x: Tensor | None = None) -> Float[Tensor, "n c h w"]:
    """Gradient of the score with respect to inputs."""
    return input_gradients(call, lambda inputs: call.target(call.net, inputs), call.x if x is None else x)


def input_gradients(
    call: Call, scores: Callable[[Tensor], Tensor], x: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n c h w"]:
    """Gradient of any scores, one an image, with respect to inputs."""
    x = x.detach().requires_grad_()

    def run() -> Tensor:
        # A copy, as a network may overwrite its input.
        found = scores(x.clone())
        if not found.requires_grad:
            raise NotApplicableError(
                f"{call.target!r} gives '{call.net.card.name}' a score that no gradient leads from to the image: "
                "something on the way cannot be differentiated. Perturbation methods need no gradient."
            )
        return torch.autograd.grad(found.sum(), x)[0]

    return differentiated(run)


def differentiated(run: Callable[[], T]) -> T:
    """Run a forward and backward pass, again with copies if the network overwrites what the way back needs."""
    try:
        return run()
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
    with allow_mutation_on_saved_tensors():
        return run()


def images_at_once(call: Call) -> int:
    """Images in a forward and backward pass: as asked, or as many as fit the memory, at most 32."""
    if call.batch_size is not None:
        return call.batch_size
    values = _COPIES * sum(prod(layer.shape) for layer in call.net.layers) + prod(call.x.shape[1:])
    return max(1, min(_MOST, int(call.memory_gb * 1e9 / (values * call.x.element_size()))))


def summed_gradients(
    call: Call,
    weights: Float[Tensor, " k"],
    points: Callable[[Int[Tensor, " m"], Int[Tensor, " m"]], Float[Tensor, "m c h w"]],
) -> Float[Tensor, "n c h w"]:
    """Weighted sum of the gradients at `k` points for each image.

    Images and points fill each pass together. ``points(rows, steps)`` makes inputs: of image ``rows[i]`` the
    ``steps[i]``-th.
    """
    total, k = torch.zeros_like(call.x), len(weights)
    step = None if call.progress is None else call.progress.task(f"{call.net.card.name}: gradients")
    weights = weights.to(call.x)
    pairs = torch.arange(len(call.x) * k, device=call.x.device)
    for part in pairs.split(images_at_once(call)):
        rows, steps = part // k, part % k
        found = gradients(replace(call, target=call.target.rows(rows)), points(rows, steps))
        total.index_add_(0, rows, found.to(total) * weights[steps, None, None, None])
        if step is not None:
            step(int(part[-1]) + 1, len(pairs))
    return total


@method("gradient", "gradient")
def gradient(call: Call) -> Tensor:
    """How the score changes with each pixel (Simonyan and others, 2014)."""
    return torch.cat([gradients(part).sum(dim=1) for _, part in call.batches(images_at_once(call))])


@method("input_x_gradient", "gradient")
def input_x_gradient(call: Call) -> Tensor:
    """Gradient times input (Shrikumar and others, 2016): what input 0, the mean pixel of many networks, would change."""
    return torch.cat(
        [(gradients(part) * part.x).sum(dim=1) for _, part in call.batches(images_at_once(call))]
    )


@method("smoothgrad", "gradient")
def smoothgrad(call: Call, samples: int = 32, noise: float = 0.15) -> Tensor:
    """Mean gradient at noisy copies of the image (Smilkov and others, 2017).

    `noise` is the standard deviation as a share of the image's range (largest less smallest input); all images share
    the same draws.
    """
    checked_count("samples", samples, 1)
    if not 0 <= noise < float("inf"):
        raise SpecError(f"'noise' of smoothgrad is a share of the image's range, at least 0; got {noise}.")
    drawn = torch.randn(samples, *call.x.shape[1:], generator=call.generator()).to(call.x)
    sigma = noise * (call.x.amax(dim=(1, 2, 3)) - call.x.amin(dim=(1, 2, 3)))[:, None, None, None]

    def noisy(rows: Tensor, steps: Tensor) -> Tensor:
        return call.x[rows] + sigma[rows] * drawn[steps]

    return summed_gradients(call, torch.full((samples,), 1 / samples), noisy).sum(dim=1)
