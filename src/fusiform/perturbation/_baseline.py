import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fusiform.errors import SpecError, nearest
from fusiform.networks import FaceNetwork

Baseline = Literal["black", "white", "grey", "mean", "blur", "noise"] | float | Tensor
KINDS = ("black", "white", "grey", "mean", "blur", "noise")

_BLUR = 0.1  # standard deviation of the blur, in shorter sides


def baseline(
    net: FaceNetwork, x: Float[Tensor, "n c h w"], kind: Baseline = "mean", *, seed: int = 0
) -> Float[Tensor, "n c h w"]:
    """Return what pixels are replaced by, as network inputs.

    Parameters
    ----------
    net : FaceNetwork
        Its card says which input a black or white pixel is.
    x : tensor, shape (n, channels, height, width)
        Inputs from ``net.prepare``.
    kind : str, float or tensor, default "mean"
        ``"black"``, ``"white"``, ``"grey"`` (midway between them); ``"mean"``: each image's own mean of each
        channel; ``"blur"``: the image blurred until no part of a face can be told (standard deviation a tenth of
        the shorter side); ``"noise"``: uniform random pixels, the same for all images; a number, in input units;
        or inputs, (c, h, w) or (n, c, h, w), such as another face.
    seed : int, default 0
        Of the noise.

    Returns
    -------
    tensor, shape (n, channels, height, width)
        Of the type and on the device of `x`; entries may share memory.

    Raises
    ------
    SpecError
        If there is no such baseline, or a tensor does not fit `x`.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> card = NetworkCard(name="tiny", input_size=(2, 2), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    >>> net = FaceNetwork(nn.Flatten(), card)
    >>> baseline(net, torch.zeros(1, 3, 2, 2), "black")[0, 0].tolist()
    [[-1.0, -1.0], [-1.0, -1.0]]
    """
    if isinstance(kind, Tensor):
        return _given(x, kind)
    if isinstance(kind, bool) or not isinstance(kind, str | int | float):
        raise SpecError(f"A baseline is a name, a number or a tensor of inputs; got {type(kind).__name__}.")
    if not isinstance(kind, str):
        if not math.isfinite(kind):
            raise SpecError(f"A baseline that is a number must be finite; got {kind}.")
        return torch.full_like(x, kind)
    if kind not in KINDS:
        raise SpecError(
            f"There is no baseline '{kind}'; {nearest(kind, KINDS)} A number or a tensor serves too."
        )
    if kind == "mean":
        return x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    if kind == "blur":
        return _blurred(x)
    height, width = net.card.input_size
    ends = torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None].expand(2, 3, height, width)
    black, white = net.prepare(ends).to(x).split(1)
    if kind == "noise":
        drawn = torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(seed)).to(x)
        return torch.lerp(black, white, drawn).expand_as(x)
    share = {"black": 0.0, "grey": 0.5, "white": 1.0}[kind]
    return torch.lerp(black, white, share).expand_as(x)


def _given(x: Tensor, base: Tensor) -> Tensor:
    if tuple(base.shape) not in (tuple(x.shape), tuple(x.shape[1:])) or not base.is_floating_point():
        raise SpecError(
            f"A baseline that is a tensor holds inputs of shape {tuple(x.shape[1:])} or {tuple(x.shape)}; got "
            f"{tuple(base.shape)} of {base.dtype}. Use net.prepare on the image."
        )
    if not base.isfinite().all():
        raise SpecError("A baseline that is a tensor must be finite.")
    return base.detach().to(x).expand_as(x)


def _blurred(x: Tensor) -> Tensor:
    sigma = _BLUR * min(x.shape[2:])
    # A matrix for each side whose rows sum to 1 also at the border.
    rows, columns = (
        torch.softmax(-0.5 * ((at[:, None] - at) / sigma) ** 2, dim=1)
        for at in (torch.arange(s, dtype=x.dtype, device=x.device) for s in x.shape[2:])
    )
    with torch.autocast(x.device.type, enabled=False):
        return rows @ x @ columns.T
