"""Measures against masks of where the evidence is."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from fusiform.errors import EvaluationError
from fusiform.evaluation._given import checked_masks, lone_maps


def pointing_game(
    maps: Float[Tensor, "n h w"], masks: Bool[Tensor, "*n h w"], *, tolerance: float = 0.0
) -> Float[Tensor, " n"]:
    """Say whether the highest point of each map falls on its mask.

    Parameters
    ----------
    maps : tensor, shape (n, height, width)
        Maps.
    masks : bool tensor, shape (n, height, width) or (height, width)
        Where the evidence is.
    tolerance : float, default 0
        Distance in pixels from the mask up to which a point still hits; Zhang and others allow 15.

    Returns
    -------
    tensor, shape (n,)
        1 for a hit, 0 for a miss; the share of hits among equally high points, so that a constant map fares like
        chance; NaN where the mask is empty: there is nothing to hit.

    Raises
    ------
    EvaluationError
        If masks do not fit the maps, maps are not finite, or the tolerance is negative.

    References
    ----------
    Zhang and others (2018).

    Examples
    --------
    >>> maps = torch.tensor([[[0.0, 9.0], [1.0, 2.0]], [[5.0, 5.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]])
    >>> masks = torch.zeros(3, 2, 2, dtype=torch.bool)
    >>> masks[:2, 0, 1] = True
    >>> pointing_game(maps, masks).tolist()
    [1.0, 0.5, nan]
    """
    maps = lone_maps(maps)
    masks = checked_masks(masks, maps)
    if not 0 <= tolerance < math.inf:
        raise EvaluationError(f"The tolerance is a distance in pixels, at least 0; got {tolerance}.")
    if not len(maps):
        return maps.new_zeros(0)
    highest = (maps == maps.amax(dim=(1, 2), keepdim=True)).to(maps.dtype)
    hits = (highest * _widened(masks, tolerance)).sum(dim=(1, 2)) / highest.sum(dim=(1, 2))
    return hits.masked_fill(~masks.any(dim=2).any(dim=1), torch.nan)


def _widened(masks: Tensor, distance: float) -> Tensor:
    """Pixels at most this far from a pixel of the mask."""
    radius = int(min(distance, max(masks.shape[1:])))
    if radius == 0:
        return masks
    at = torch.arange(-radius, radius + 1, device=masks.device)
    disk = (at[:, None] ** 2 + at**2 <= distance**2).float()
    return F.conv2d(masks[:, None].float(), disk[None, None], padding=radius)[:, 0] > 0.5


def energy_pointing_game(maps: Float[Tensor, "n h w"], masks: Bool[Tensor, "*n h w"]) -> Float[Tensor, " n"]:
    """Share of each map's positive values that lies on its mask.

    Parameters
    ----------
    maps : tensor, shape (n, height, width)
        Maps; what is negative counts as zero.
    masks : bool tensor, shape (n, height, width) or (height, width)
        Where the evidence is. A constant map gets the mask's share of the image: the chance level.

    Returns
    -------
    tensor, shape (n,)
        0 to 1; NaN where the mask is empty or the map has no positive value.

    Raises
    ------
    EvaluationError
        If masks do not fit the maps, or maps are not finite.

    References
    ----------
    Wang and others (2020), Score-CAM.

    Examples
    --------
    >>> energy_pointing_game(torch.tensor([[[3.0, 1.0], [-5.0, 0.0]]]), torch.tensor([[True, False], [True, False]]))
    tensor([0.7500])
    """
    maps = lone_maps(maps)
    masks = checked_masks(masks, maps)
    energy = maps.clamp(min=0)
    # Scaled by the highest value first: the sum of large maps overflows.
    energy = energy / energy.amax(dim=(1, 2), keepdim=True) if len(maps) else energy
    share = (energy * masks).sum(dim=(1, 2)) / energy.sum(dim=(1, 2))
    return share.masked_fill(~masks.any(dim=2).any(dim=1), torch.nan)
