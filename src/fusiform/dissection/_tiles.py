"""Bilinear upsampling by tiles: pixels between corners of a coarse grid, and which tiles can hold anything."""

from functools import reduce
from math import ceil

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

_MOST = 8  # tiles a side; tile areas double as the coarse grid of the permutation test


class Tiles:
    """How maps of h x w positions are upsampled to H x W pixels, a tile at a time.

    Pixel y lies at (y + 1/2) h / H - 1/2 on the grid of positions (``align_corners=False``) and is the bilinear mean of
    the four positions around it, replicated beyond the edge. A tile holds the pixels between a few neighbouring
    positions, its corners: where no corner exceeds a threshold no pixel does.

    Parameters
    ----------
    grid : (int, int)
        Height and width of the maps.
    size : (int, int)
        Height and width in pixels.

    Examples
    --------
    >>> tiles = Tiles((2, 2), (4, 4))
    >>> tiles.count, tiles.pixels.shape, tiles.basis.shape
    (9, torch.Size([9, 4]), torch.Size([9, 4, 4]))
    """

    def __init__(self, grid: tuple[int, int], size: tuple[int, int]) -> None:
        self.grid, self.size = grid, size
        rows, columns = _Axis(grid[0], size[0]), _Axis(grid[1], size[1])
        self.shape = (rows.tiles, columns.tiles)
        self.count = rows.tiles * columns.tiles
        self._step = (rows.step, columns.step)
        self._pad = (1, columns.padded - grid[1] - 1, 1, rows.padded - grid[0] - 1)
        # (tiles, corners, pixels), (tiles, corners) into the padded map, (tiles, pixels) into the flat image.
        self.basis: Float[Tensor, "t k p"] = torch.einsum("apc,bqd->abcdpq", rows.weights, columns.weights)
        self.basis = self.basis.reshape(self.count, -1, self.basis.shape[4] * self.basis.shape[5])
        cells = rows.cells[:, None, :, None] * columns.padded + columns.cells[None, :, None, :]
        self.cells: Int[Tensor, "t k"] = cells.reshape(self.count, -1)
        y, x = rows.pixels[:, None, :, None], columns.pixels[None, :, None, :]
        inside = (y >= 0) & (x >= 0)
        self.pixels: Int[Tensor, "t p"] = torch.where(inside, y * size[1] + x, size[0] * size[1]).reshape(
            self.count, -1
        )
        self.n_pixels: Float[Tensor, " t"] = inside.reshape(self.count, -1).sum(dim=1).double()

    def padded(self, maps: Float[Tensor, "n h w"]) -> Float[Tensor, "n a b"]:
        """Maps with their edges replicated; `cells` points into them once they are flat."""
        return F.pad(maps[:, None], self._pad, mode="replicate")[:, 0]

    def lit(self, padded: Float[Tensor, "n a b"]) -> Bool[Tensor, "n t"]:
        """Tell which tiles have a corner above 0."""
        lit = padded > 0
        for side, (step, tiles) in enumerate(zip(self._step, self.shape, strict=True), start=1):
            # Corner k of every tile; the last corner of one is the first of the next.
            corners = (
                lit.narrow(side, k, step * (tiles - 1) + 1)[
                    (slice(None),) * side + (slice(None, None, step),)
                ]
                for k in range(step + 1)
            )
            lit = reduce(torch.logical_or, corners)
        return lit.flatten(1)

    def coarse(self, factor: int) -> Float[Tensor, "t c"]:
        """Sum of tiles into cells of factor x factor tiles, as a matrix of 0 and 1."""
        down, across = (torch.arange(side) // factor for side in self.shape)
        cell = (down[:, None] * ceil(self.shape[1] / factor) + across).flatten()
        return F.one_hot(cell).double()


class _Axis:
    """One direction: tiles, the weights of their corners at their pixels, and both their places."""

    def __init__(self, positions: int, pixels: int) -> None:
        self.step = max(1, ceil((positions + 1) / _MOST))
        self.tiles = ceil((positions + 1) / self.step)
        self.padded = self.step * self.tiles + 1
        source = (torch.arange(pixels, dtype=torch.float64) + 0.5) * positions / pixels - 0.5
        lower = source.floor()
        beyond = (source - lower).float()
        corner = lower.long() + 1  # in the padded map
        tile = corner // self.step
        number = torch.bincount(tile, minlength=self.tiles)
        place = torch.arange(pixels) - (number.cumsum(0) - number)[tile]
        within = corner - tile * self.step
        self.weights = torch.zeros(self.tiles, int(number.max()), self.step + 1)
        self.weights[tile, place, within] = 1 - beyond
        self.weights[tile, place, within + 1] = beyond
        self.pixels = torch.full(self.weights.shape[:2], -1)
        self.pixels[tile, place] = torch.arange(pixels)
        self.cells = torch.arange(self.tiles)[:, None] * self.step + torch.arange(self.step + 1)
