"""One call for every method and every target."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor

from fusiform.attribution._registry import Call, Family, checked_scores, find_method
from fusiform.errors import AttributionError, SpecError, TargetError, nearest
from fusiform.networks import FaceNetwork
from fusiform.runs import Progress
from fusiform.targets import Logit, Probability, Target


def attribute(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target | int,
    method: str = "occlusion",
    *,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    seed: int = 0,
    autocast: torch.dtype | None = None,
    progress: Progress | None = None,
    **options: object,
) -> Float[Tensor, "n h w"]:
    """Say what every pixel contributes to a network's score of each image.

    Parameters
    ----------
    net : FaceNetwork
        The network; it leaves the call as it entered it.
    x : tensor, shape (n, channels, height, width)
        Inputs from ``net.prepare``.
    target : Target or int
        What is explained; the number of a class stands for its probability in perturbation methods, whose
        definitions use confidence, and for its logit in all others.
    method : str, default "occlusion"
        One of `METHODS`.
    batch_size : int, optional
        Images, or perturbed images, in a forward pass; by default found by itself.
    memory_gb : float, default 4
        Budget for activations and perturbed images.
    seed : int, default 0
        Of all that is drawn.
    autocast : torch.dtype, optional
        Type in which the network computes, such as ``torch.bfloat16``; by default its own.
    progress : callable, optional
        Told how much is done.
    **options
        Of the method; `options_of` lists them.

    Returns
    -------
    tensor, shape (n, height, width)
        Signed, never rescaled, channels summed, detached: what speaks for the score is positive.

    Raises
    ------
    SpecError
        If there is no such method or option.
    NotApplicableError
        If the network or target does not allow the method; the message says why.
    TargetError
        If the network's output does not hold the target.
    AttributionError
        If inputs, scores or maps are not finite.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    >>> net = FaceNetwork(module, NetworkCard(name="tiny", input_size=(2, 2), head="logits"))
    >>> attribute(net, torch.rand(3, 3, 2, 2), 1, method="gradient").shape
    torch.Size([3, 2, 2])
    """
    found = find_method(method)
    unknown = [name for name in options if name not in found.options]
    if unknown:
        raise SpecError(f"'{method}' has no option '{unknown[0]}'; {nearest(unknown[0], found.options)}")
    call = checked_call(
        net,
        x,
        target,
        found.family,
        seed=seed,
        batch_size=batch_size,
        memory_gb=memory_gb,
        progress=progress,
    )
    if not len(call.x):
        return call.x.new_zeros(0, *call.size)
    precision = nullcontext() if autocast is None else torch.autocast(net.device.type, dtype=autocast)
    with _left_as_it_was(net), precision:
        maps = found.run(call, **options).detach()
    if tuple(maps.shape) != (len(call.x), *call.size):
        raise RuntimeError(f"'{method}' made maps of shape {tuple(maps.shape)}.")
    return checked_scores(maps.to(call.x.dtype).flatten(1), f"behind maps of '{method}'").view_as(maps)


def checked_call(
    net: FaceNetwork,
    x: Tensor,
    target: Target | int,
    family: Family,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    progress: Progress | None = None,
) -> Call:
    """Return what a method is given, or refuse it; arguments and errors are those of `attribute`."""
    if not isinstance(net, FaceNetwork):
        raise AttributionError(f"attribute takes a FaceNetwork; got {type(net).__name__}.")
    if isinstance(target, int):
        target = Probability(target) if family == "perturbation" else Logit(target)
    if not isinstance(target, Target):
        raise TargetError(f"attribute takes a target, or the number of a class; got {type(target).__name__}.")
    net.check(x)
    x = x.detach().to(net.device, net.dtype)
    if not x.isfinite().all():
        raise AttributionError("Inputs hold values that are not finite.")
    target.check(len(x))
    return Call(net, x, target, seed=seed, batch_size=batch_size, memory_gb=memory_gb, progress=progress)


def options_of(method: str) -> dict[str, object]:
    """Return the options of a method with their defaults.

    Raises
    ------
    SpecError
        If there is no such method.

    Examples
    --------
    >>> options_of("gradient")
    {}
    """
    return find_method(method).options


@contextmanager
def _left_as_it_was(net: FaceNetwork) -> Iterator[None]:
    """Make no gradients of parameters, with gradients on."""
    learned = [p for p in net.module.parameters() if p.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
