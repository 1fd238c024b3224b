from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from fusiform.errors import NetworkError, SpecError
from fusiform.networks._network import FaceNetwork


def pgd(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    objective: Callable[[Tensor], Tensor],
    *,
    epsilon: float = 4 / 255,
    steps: int = 10,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "n c h w"]:
    """Change inputs a little so that an objective rises: projected gradient ascent on the sign of the gradient.

    Starts at random within the bound, and stays within `epsilon` of every value of `x` and within the card's
    value range (Madry et al. 2018, section 2.1). Steps shrink linearly to nothing and sum to ``2.5 * epsilon``,
    and of all the points visited each image keeps the one where its objective is highest. The module's flags,
    parameters and gradients are left as they were.

    Parameters
    ----------
    net : FaceNetwork
        Its card says what `epsilon` and the value range are in the units of `x`.
    x : tensor, shape (n, c, h, w)
        Inputs from ``net.prepare``.
    objective : callable
        From inputs to one number an image, (n,), by way of the network.
    epsilon : float, default 4/255
        Largest change of a value (L-infinity), as a share of the value range.
    steps : int, default 10
        Number of steps.
    generator : torch.Generator, optional
        Of the start, on the CPU; seeded with 0 when not given.

    Returns
    -------
    tensor, shape (n, c, h, w)
        Changed inputs, detached.

    Raises
    ------
    SpecError
        If `epsilon` or `steps` is out of range.
    NetworkError
        If the objective has no gradient with respect to the inputs.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> net = FaceNetwork(nn.Flatten(), NetworkCard(name="sum", input_size=(2, 2), mean=(0,), std=(1,)))
    >>> x = torch.full((1, 3, 2, 2), 0.5)
    >>> (pgd(net, x, lambda x: net(x).sum(1), epsilon=0.25) - x).unique()
    tensor([0.2500])
    """
    check_attack(epsilon, steps)
    card = net.card
    mean, std = (x.new_tensor(values)[:, None, None] for values in (card.mean, card.std))
    ends = torch.stack([(end - mean) / std for end in card.value_range])
    radius = epsilon * (ends[1] - ends[0]).abs()
    lower = torch.maximum(x - radius, ends.amin(dim=0))
    upper = torch.minimum(x + radius, ends.amax(dim=0))
    generator = generator or torch.Generator().manual_seed(0)
    noise = torch.rand(x.shape, generator=generator).to(x)
    changed = (x + (2 * noise - 1) * radius).clamp(lower, upper)
    best, highest = changed, changed.new_full((len(x),), -torch.inf)
    for number in range(steps + 1):
        changed = changed.detach().requires_grad_()
        with torch.enable_grad():
            values = objective(changed)
            gradient = _gradient(card.name, values, changed) if number < steps else None
        better = values.detach() > highest
        highest = torch.where(better, values.detach(), highest)
        best = torch.where(better[:, None, None, None], changed.detach(), best)
        if gradient is not None:
            length = 5.0 * radius * (steps - number) / (steps * (steps + 1))
            changed = (changed + length * gradient.sign()).clamp(lower, upper)
    return best


def _gradient(name: str, values: Tensor, x: Tensor) -> Tensor:
    gradient = torch.autograd.grad(values.sum(), x, allow_unused=True)[0] if values.requires_grad else None
    if gradient is None:
        raise NetworkError(
            f"'{name}' gives no gradient of the objective with respect to its inputs, so it cannot be attacked by "
            "gradient; its forward detaches tensors or leaves torch."
        )
    return gradient


def check_attack(epsilon: float, steps: int) -> None:
    """Refuse a bound or a number of steps that cannot be."""
    if not 0 < epsilon <= 1 or steps < 1:
        raise SpecError(
            f"An attack needs epsilon above 0 and up to 1 (a share of the value range) and steps >= 1; got epsilon "
            f"{epsilon} and {steps} steps."
        )
