"""The second pass: overlaps of activated areas with masks, for all layers whose maps have one size."""

from math import ceil

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform._threads import each_on_one_thread
from fusiform.dissection._best import BestImages
from fusiform.dissection._significance import least_p_value, overlap_p_values
from fusiform.dissection._tiles import Tiles

_CHUNK = 2**22  # pixels of tiles evaluated at once
_OUTER = 2**22  # products of tile areas formed at once
_MOST_WHERE = 14  # cells a side of the picture of where units fire


class MaskBatch:
    """The masks of a batch of images, laid out for products with tiles.

    Parameters
    ----------
    masks : bool tensor, shape (b, concepts, H, W)
        Empty where a concept is absent.
    known : float64 tensor, shape (b, concepts)
        1 where it is known whether the image has the concept.
    first_row : int
        Row of the first image.
    """

    def __init__(self, masks: Bool[Tensor, "b c h w"], known: Float[Tensor, "b c"], first_row: int) -> None:
        flat = masks.flatten(2)
        self.first_row, self.count, self.known = first_row, len(masks), known
        self.pixels = flat.sum(dim=2).double()
        self.present = (self.pixels > 0).double()
        self.concepts: list[Tensor] = [row.nonzero()[:, 0] for row in self.present]
        # Of every image one row a pixel, a column for each concept that it has, then 1: its product with lit pixels is
        # their number. The last row stands for pixels outside the image.
        self._rows = [torch.zeros(flat.shape[2] + 1, len(held) + 1) for held in self.concepts]
        for rows, mask, held in zip(self._rows, flat, self.concepts, strict=True):
            rows[:-1, :-1] = mask[held].T
            rows[:-1, -1] = 1
        self._latest: tuple[Tiles, list[Tensor]] | None = None

    @staticmethod
    def n_bytes(tiles: Tiles, images: int, concepts: int) -> int:
        """Memory of the masks of a batch, as they come, flat, and by tile, if all concepts occur."""
        pixels = tiles.size[0] * tiles.size[1]
        return images * (pixels * concepts + 4 * (concepts + 1) * (pixels + 1 + tiles.pixels.numel()))

    def by_tile(self, tiles: Tiles) -> list[Float[Tensor, "t p c"]]:
        """Of every image, masks of the concepts that it has, and a column of ones, in every tile."""
        if self._latest is None or self._latest[0] is not tiles:
            at, shape = tiles.pixels.flatten(), (*tiles.pixels.shape, -1)
            self._latest = (tiles, [rows.index_select(0, at).view(shape) for rows in self._rows])
        return self._latest[1]


class Overlap:
    """Everything the second pass counts, for units whose maps have one size.

    Parameters
    ----------
    tiles : Tiles
        Geometry of their maps.
    n_units : int
        Units of all layers together.
    known : bool array, shape (n, concepts)
        For which images it is known whether they have a concept; overlaps are counted over these.
    union : {"all", "labelled"}
        What the union counts.
    top : int
        Images kept for each unit and concept; 0 keeps none.
    factor : int or None
        Tiles a side of a cell of the permutation test; None makes no test.
    """

    def __init__(
        self,
        tiles: Tiles,
        n_units: int,
        known: Bool[ndarray, "n c"],
        *,
        union: str,
        top: int,
        factor: int | None,
    ) -> None:
        self.tiles, self._labelled = tiles, union == "labelled"
        concepts = known.shape[1]
        self.intersection = torch.zeros(n_units, concepts, dtype=torch.float64)
        self.activated, self.label = torch.zeros_like(self.intersection), torch.zeros_like(self.intersection)
        self._where_size = tuple(min(side, _MOST_WHERE) for side in tiles.grid)
        self._where = torch.zeros(n_units * self._where_size[0] * self._where_size[1], dtype=torch.float64)
        self.best = BestImages(n_units * concepts, top) if top else None
        self._images = 0
        self.moments = None if factor is None else Moments(tiles, n_units, known, factor)

    def update(self, maps: Float[Tensor, "m h w"], image: Tensor, unit: Tensor, batch: MaskBatch) -> None:
        """Take in maps less their unit's threshold, each of them above 0 somewhere."""
        order = image.sort(stable=True).indices
        maps, image, unit = maps[order], image[order], unit[order]
        pair, tile, found = self._products(maps, image, batch)
        per_pair = torch.zeros(len(maps), found.shape[1]).index_add_(0, pair, found).double()
        intersection, areas = per_pair[:, :-1], per_pair[:, -1]
        self.intersection.index_add_(0, unit, intersection)
        by_image = torch.zeros(batch.count, len(self.intersection), dtype=torch.float64)
        by_image[image, unit] = areas
        if self._labelled:
            self.activated += by_image.T @ batch.present
            self.label += (by_image > 0).double().T @ batch.pixels
        else:
            self.activated += by_image.T @ batch.known
        self._fires_at(maps, unit)
        if self.best is not None:
            at, concept = intersection.nonzero(as_tuple=True)
            both = intersection[at, concept]
            each = both / (areas[at] + batch.pixels[image[at], concept] - both)
            key = unit[at] * self.intersection.shape[1] + concept
            self.best.update(key, each.float(), batch.first_row + image[at])
        if self.moments is not None:
            self.moments.update_units(pair, tile, found[:, -1], image, unit, batch)

    def finish_batch(self, batch: MaskBatch) -> None:
        """Count what depends on the images alone."""
        self._images += batch.count
        if not self._labelled:
            self.label += (batch.pixels * batch.known).sum(dim=0)
        if self.moments is not None:
            self.moments.update_masks(batch)

    def _products(self, maps: Tensor, image: Tensor, batch: MaskBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Lit tiles (which map, which tile) with their lit pixels in each mask, and all of them, in the last column."""
        tiles = self.tiles
        padded, masks = tiles.padded(maps), batch.by_tile(tiles)
        pair, tile = tiles.lit(padded).nonzero(as_tuple=True)
        padded = padded.flatten(1)
        group = tile * batch.count + image[pair]
        order = group.sort(stable=True).indices
        pair, tile = pair[order], tile[order]
        ends = [0, *torch.bincount(group, minlength=tiles.count * batch.count).cumsum(0).tolist()]
        found = torch.zeros(len(pair), batch.pixels.shape[1] + 1)
        columns = [torch.cat([held, torch.tensor([found.shape[1] - 1])]) for held in batch.concepts]
        step = max(1, _CHUNK // tiles.basis.shape[2])

        def of_tile(t: int) -> None:
            start, stop = ends[t * batch.count], ends[(t + 1) * batch.count]
            for first in range(start, stop, step):
                last = min(first + step, stop)
                corners = padded[pair[first:last, None], tiles.cells[t]]
                lit = (corners @ tiles.basis[t]).gt_(0)
                begin = first
                for b in range(batch.count):
                    end = min(ends[t * batch.count + b + 1], last)
                    if end > begin:
                        inside = lit[begin - first : end - first] @ masks[b][t]
                        found[begin:end].index_copy_(1, columns[b], inside)
                        begin = end

        each_on_one_thread(of_tile, range(tiles.count))
        return pair, tile, found

    def _fires_at(self, maps: Tensor, unit: Tensor) -> None:
        cells = F.adaptive_max_pool2d(maps[:, None], self._where_size).flatten(1)
        pair, cell = (cells > 0).nonzero(as_tuple=True)
        ones = torch.ones(len(pair), dtype=torch.float64)
        self._where.index_add_(0, unit[pair] * cells.shape[1] + cell, ones)

    def iou(self) -> Float[ndarray, "u c"]:
        """Intersection over union; NaN where the union is empty."""
        union = self.activated + self.label - self.intersection
        return torch.where(union > 0, self.intersection / union, torch.nan).numpy()

    def where(self) -> Float[ndarray, "u gh gw"]:
        """Share of the images in which each unit exceeds its threshold at each place."""
        return (self._where / max(1, self._images)).view(-1, *self._where_size).float().numpy()


class Moments:
    """Overlap of areas and masks on a coarse grid, with its mean and variance when masks are dealt out anew.

    With areas a_i and masks m_j on the grid, the overlap is the sum of <a_i, m_i>; over all n! ways to pair them its
    mean is n <mean a, mean m> and its variance <C_a, C_m> / (n - 1), C the matrices of centred second moments (Hoeffding
    1951 for the matrix <a_i, m_j>). Only images for which a concept is known take part in its test. Units' moments are
    summed over all images and, for every different set of known images, over those that are known or those that are
    not, whichever are fewer; in the end the latter are subtracted.
    """

    def __init__(self, tiles: Tiles, n_units: int, known: Bool[ndarray, "n c"], factor: int) -> None:
        self._tiles, self._into = tiles, tiles.coarse(factor)
        # Square roots of the cells' pixels, so that products are pixels as they would be were masks spread evenly.
        self._scale = (tiles.n_pixels @ self._into).clamp(min=1).rsqrt()
        cells, concepts = len(self._scale), known.shape[1]
        sets, signs, self._pattern = sums_of(known)
        self._sets, self._signs = torch.from_numpy(sets), torch.from_numpy(signs)
        self._n = torch.from_numpy(known.sum(axis=0))
        self._firing = torch.zeros(len(sets), n_units, dtype=torch.float64)
        self._carrying = torch.zeros(concepts, dtype=torch.float64)
        self.overlap = torch.zeros(n_units, concepts, dtype=torch.float64)
        self._sum = torch.zeros(len(sets), n_units, cells, dtype=torch.float64)
        self._square = torch.zeros(len(sets), n_units * cells * cells)
        self._mask_sum = torch.zeros(concepts, cells, dtype=torch.float64)
        self._mask_square = torch.zeros(concepts, cells, cells, dtype=torch.float64)
        self._masks: tuple[MaskBatch, Tensor] | None = None

    def _mask_cells(self, batch: MaskBatch) -> Tensor:
        """Masks on the grid, (b, concepts, cells)."""
        if self._masks is None or self._masks[0] is not batch:
            cells = torch.zeros(batch.count, len(self.overlap[0]), len(self._scale), dtype=torch.float64)
            for of, masks, held in zip(cells, batch.by_tile(self._tiles), batch.concepts, strict=True):
                of[held] = masks.sum(dim=1)[:, :-1].double().T @ self._into * self._scale
            self._masks = (batch, cells)
        return self._masks[1]

    def update_units(
        self, pair: Tensor, tile: Tensor, area: Tensor, image: Tensor, unit: Tensor, batch: MaskBatch
    ) -> None:
        """Take in the lit tiles of some maps, with their areas."""
        areas = torch.zeros(len(image), self._tiles.count)
        areas[pair, tile] = area
        if len(self._scale) < self._tiles.count:
            areas = areas @ self._into.float()
        areas *= self._scale.float()
        masks = self._mask_cells(batch).float()
        overlap = torch.empty(len(image), masks.shape[1])
        ends = torch.bincount(image, minlength=batch.count).cumsum(0).tolist()
        for b, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
            torch.mm(areas[begin:end], masks[b].T, out=overlap[begin:end])
        self.overlap.index_add_(0, unit, overlap.double())
        row, cell = areas.nonzero(as_tuple=True)
        fires = areas.any(dim=1)
        for number, images in enumerate(self._sets[:, batch.first_row : batch.first_row + batch.count]):
            if not images.any():
                continue
            self._firing[number].index_add_(0, unit, (fires & images[image]).double())
            inside = images[image[row]]
            self._add_moments(number, areas, unit, row[inside], cell[inside])

    def _add_moments(self, number: int, areas: Tensor, unit: Tensor, row: Tensor, cell: Tensor) -> None:
        value, cells = areas[row, cell], areas.shape[1]
        place = unit[row] * cells + cell
        self._sum[number].view(-1).index_add_(0, place, value.double())
        # Few cells of a map are lit: only products of these are formed.
        lit = torch.bincount(row, minlength=len(areas))
        first, partners = (lit.cumsum(0) - lit)[row], lit[row]
        for part in _parts(partners, _OUTER):
            left = torch.repeat_interleave(torch.arange(part.start, part.stop), partners[part])
            begin = partners[part].cumsum(0) - partners[part]
            right = first[left] + torch.arange(len(left)) - begin[left - part.start]
            self._square[number].index_add_(0, place[left] * cells + cell[right], value[left] * value[right])

    def update_masks(self, batch: MaskBatch) -> None:
        """Take in the masks of a batch."""
        masks = self._mask_cells(batch).transpose(0, 1)
        self._carrying += batch.present.sum(dim=0)
        self._mask_sum += masks.sum(dim=1)
        self._mask_square += masks.transpose(1, 2) @ masks

    def of_permutations(self) -> tuple[Float[ndarray, "u c"], Float[ndarray, "u c"]]:
        """Mean and variance of the overlap when masks are dealt out anew."""
        n = self._n.double().clamp(min=1)
        units, cells = self._sum.shape[1:]
        mean, variance = torch.zeros_like(self.overlap), torch.zeros_like(self.overlap)
        for pattern, signs in enumerate(self._signs):
            of = torch.from_numpy(np.flatnonzero(self._pattern == pattern))
            used = signs.nonzero()[:, 0].tolist()
            if not used:
                continue
            first = sum(signs[s] * self._sum[s] for s in used)
            assert isinstance(first, Tensor)
            count, sums = n[of], self._mask_sum[of]
            spread = self._mask_square[of] - sums[:, :, None] * sums[:, None, :] / count[:, None, None]
            mean[:, of] = first @ sums.T / count
            for part in _parts(torch.full((units,), cells * cells), _OUTER):
                total = first[part]
                square = torch.zeros(len(total), cells * cells, dtype=torch.float64)
                for s in used:
                    square += signs[s] * self._square[s].view(units, -1)[part]
                centred = square - (total[:, :, None] * total[:, None, :] / count[0]).flatten(1)
                variance[part][:, of] = centred @ spread.flatten(1).T / (count - 1).clamp(min=1)
        return mean.numpy(), variance.clamp(min=0).numpy()

    def p_values(self) -> Float[ndarray, "u c"]:
        """One-sided p-value of every unit and concept."""
        mean, variance = self.of_permutations()
        firing = (self._signs @ self._firing)[self._pattern].T.numpy()
        # What is left of images that were subtracted may differ from 0 by rounding.
        mean = np.where(firing > 0, mean, 0)
        least = least_p_value(self._n.numpy(), firing, self._carrying.numpy())
        return overlap_p_values(self.overlap.numpy(), mean, variance, least)

    @staticmethod
    def n_bytes(tiles: Tiles, n_units: int, sums: int, factor: int) -> int:
        """Memory of the second moments, summed over so many sets of images."""
        cells = ceil(tiles.shape[0] / factor) * ceil(tiles.shape[1] / factor)
        return 4 * n_units * sums * cells**2


def sums_of(
    known: Bool[ndarray, "n c"],
) -> tuple[Bool[ndarray, "s n"], Float[ndarray, "p s"], Int[ndarray, " c"]]:
    """Sets of images to sum over, and how the known images of every concept follow from them.

    Concepts known for the same images share a pattern. The known images of pattern p are ``signs[p] @ sets``: those
    themselves, or all less those that are not known, whichever are fewer.
    """
    if not known.shape[1]:
        return np.zeros((0, len(known)), dtype=bool), np.zeros((0, 0)), np.empty(0, dtype=int)
    _, columns, pattern = np.unique(
        np.packbits(known, axis=0), axis=1, return_index=True, return_inverse=True
    )
    kept = known[:, columns].T
    most = 2 * kept.sum(axis=1) > len(known)
    sets, number = np.unique(kept ^ most[:, None], axis=0, return_inverse=True)
    signs = np.where(most, -1.0, 1.0)[:, None] * np.eye(len(sets))[number.reshape(-1)]
    filled = sets.any(axis=1)
    sets, signs = sets[filled], signs[:, filled]
    if most.any():
        sets = np.concatenate([np.ones((1, len(known)), dtype=bool), sets])
        signs = np.concatenate([most[:, None].astype(float), signs], axis=1)
    return sets, signs, pattern.reshape(-1)


def _parts(sizes: Tensor, most: int) -> list[slice]:
    """Consecutive runs whose sizes sum to about `most`."""
    if not len(sizes):
        return []
    run = (sizes.cumsum(0) - sizes) // most
    lengths = torch.bincount(run)
    ends = lengths[lengths > 0].cumsum(0).tolist()
    return [slice(start, stop) for start, stop in zip([0, *ends], ends, strict=False)]
