import math

import torch
from jaxtyping import Float
from torch import Tensor


class RandomGrids:
    """Smooth random masks: coarse random grids, enlarged bilinearly and shifted by a part of a cell (RISE).

    Only the grids are held, a few numbers a mask. Over all masks a pixel is kept with the given probability, also
    at the border.

    Parameters
    ----------
    size : (int, int)
        Height and width of the images.
    n : int
        Number of masks.
    cells : int
        Cells along the shorter side.
    probability : float
        Of a cell to be kept.
    generator : torch.Generator
        Source of all that is drawn.

    Examples
    --------
    >>> masks = RandomGrids((8, 8), 5, 2, 0.5, torch.Generator().manual_seed(0))
    >>> len(masks), masks.part(2, 4).shape
    (5, torch.Size([2, 8, 8]))
    """

    def __init__(
        self, size: tuple[int, int], n: int, cells: int, probability: float, generator: torch.Generator
    ) -> None:
        self._size, self._cell = size, min(size) / cells
        # Points between which pixels lie: one more than cells, and one for the shift.
        points = [math.ceil(s / self._cell) + 2 for s in size]
        self._grids = torch.rand(n, *points, generator=generator) < probability
        self._shifts = torch.rand(n, 2, generator=generator)

    def __len__(self) -> int:
        return len(self._grids)

    def part(self, start: int, stop: int) -> Float[Tensor, "k h w"]:
        """Return masks `start` to `stop`."""
        grids = self._grids[start:stop].float()
        rows, columns = (self._weights(axis, start, stop) for axis in (0, 1))
        with torch.autocast("cpu", enabled=False):
            return rows @ grids @ columns.mT

    def _weights(self, axis: int, start: int, stop: int) -> Tensor:
        """Weights of a grid's points for each row, or column, of pixels, (k, pixels, points)."""
        at = torch.arange(self._size[axis]) / self._cell + self._shifts[start:stop, axis, None]
        return (1 - (at[:, :, None] - torch.arange(self._grids.shape[1 + axis])).abs()).clamp_(min=0)


class Occluders:
    """Masks of a few small Gaussian occluders, drawn where a prior is dense (DISE).

    Parameters
    ----------
    prior : tensor, shape (h, w) or (n, h, w)
        Density of centres, for all images or for each its own; not negative, and not 0 everywhere.
    n_masks : int
        Number of masks.
    count : int
        Occluders a mask.
    sigma : float
        Their standard deviation in pixels.
    generator : torch.Generator
        Source of all that is drawn; images with priors of their own share the draws.

    Examples
    --------
    >>> masks = Occluders(torch.eye(8), 5, 2, 1.0, torch.Generator().manual_seed(0))
    >>> masks.part(0, 5).amin().item()
    0.0
    """

    def __init__(
        self,
        prior: Float[Tensor, "*n h w"],
        n_masks: int,
        count: int,
        sigma: float,
        generator: torch.Generator,
    ) -> None:
        self._size, self._sigma = (prior.shape[-2], prior.shape[-1]), sigma
        cumulative = prior.detach().cpu().double().flatten(-2).cumsum(-1)
        drawn = torch.rand(n_masks * count, generator=generator, dtype=torch.float64)
        # Right of the mass below it: a pixel without density is never drawn.
        level = drawn * cumulative[..., -1:]
        places = torch.searchsorted(cumulative, level.contiguous(), right=True)
        self._places = places.clamp_(max=cumulative.shape[-1] - 1).unflatten(-1, (n_masks, count))

    def __len__(self) -> int:
        return self._places.shape[-2]

    def part(self, start: int, stop: int) -> Float[Tensor, "*n k h w"]:
        """Return masks `start` to `stop`."""
        places = self._places[..., start:stop, :]
        height, width = self._size
        keep = torch.ones(*places.shape[:-1], height, width)
        for place in places.unbind(dim=-1):
            down = self._bell(torch.arange(height) - (place // width)[..., None])
            across = self._bell(torch.arange(width) - (place % width)[..., None])
            keep *= 1 - down[..., :, None] * across[..., None, :]
        return keep

    def _bell(self, distance: Tensor) -> Tensor:
        return torch.exp(-0.5 * (distance / self._sigma) ** 2)
