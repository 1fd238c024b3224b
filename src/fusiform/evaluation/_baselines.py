"""Maps that know nothing of the network, and always compete."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fusiform.errors import EvaluationError, nearest

BASELINE_MAPS = ("random", "edges", "gaussian")


def baseline_maps(
    x: Float[Tensor, "n c h w"], kind: Literal["random", "edges", "gaussian"] = "random", *, seed: int = 0
) -> Float[Tensor, "n h w"]:
    """Make maps without a network: a method that does not beat them explains nothing.

    Parameters
    ----------
    x : tensor, shape (n, channels, height, width)
        Inputs.
    kind : {"random", "edges", "gaussian"}, default "random"
        Normal noise, the same for all images; length of the image's gradient (Sobel, channels averaged); or a Gaussian in the
        centre, whose standard deviations are a quarter of the sides: faces are in the middle.
    seed : int, default 0
        Of the noise.

    Returns
    -------
    tensor, shape (n, height, width)
        Maps, on the device and of the type of `x`.

    Raises
    ------
    EvaluationError
        If there is no such kind, or `x` holds no images.

    References
    ----------
    Adebayo and others (2018) for edges; the centred face is fig. 3 of the survey of saliency on faces.

    Examples
    --------
    >>> maps = baseline_maps(torch.zeros(2, 3, 5, 5), "gaussian")
    >>> maps.shape, int(maps[0].argmax())
    (torch.Size([2, 5, 5]), 12)
    """
    if not isinstance(x, Tensor) or x.dim() != 4 or not x.is_floating_point():
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise EvaluationError(f"Baseline maps are made for inputs (n, channels, height, width); got {got}.")
    if kind not in BASELINE_MAPS:
        raise EvaluationError(f"There is no baseline map '{kind}'; {nearest(str(kind), BASELINE_MAPS)}")
    if kind == "edges":
        return _edges(x.detach())
    if kind == "random":
        one = torch.randn(x.shape[2:], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    else:
        rows, columns = (
            torch.exp(-0.5 * ((torch.arange(s, dtype=torch.float64) - (s - 1) / 2) / (s / 4)) ** 2)
            for s in x.shape[2:]
        )
        one = rows[:, None] * columns
    return one.to(x).expand(len(x), -1, -1).clone()


def _edges(x: Tensor) -> Tensor:
    grey = F.pad(x.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = grey.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    slopes = F.conv2d(grey, torch.stack([across, across.T])[:, None])
    return slopes.square().sum(dim=1).sqrt()
