"""The two passes over the images: thresholds and maxima, then overlaps and what pictures need."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.activations import TailSketch
from fusiform.dissection._overlap import MaskBatch, Overlap
from fusiform.dissection._tiles import Tiles
from fusiform.errors import LayerError
from fusiform.faces import FaceDictionary
from fusiform.networks import Layer

_WAITING = 2**24  # floats of maps gathered before they are worked through


def grid_of(layer: Layer) -> tuple[int, int]:
    """Height and width of a layer's maps; a layer of features has maps of one position."""
    if len(layer.shape) == 3:
        return layer.shape[1], layer.shape[2]
    if len(layer.shape) == 1:
        return 1, 1
    raise LayerError(
        f"Layer '{layer.name}' has shape {tuple(layer.shape)} an image, neither maps (channels, height, width) nor "
        "features; it cannot be dissected. Choose another layer."
    )


class FirstPass:
    """Activation thresholds and the maximum of every map; the maxima stay in memory, 4 bytes a unit and image."""

    def __init__(self, layers: Sequence[Layer], n: int, quantile: float, seed: int) -> None:
        self._tails: dict[str, TailSketch] = {}
        self.maxima: dict[str, Float[ndarray, "n u"]] = {}
        for layer in layers:
            height, width = grid_of(layer)
            units = layer.shape[0]
            self._tails[layer.name] = TailSketch(units, quantile, n * height * width, seed=seed)
            self.maxima[layer.name] = np.zeros((n, units), dtype=np.float32)

    def update(self, layer: Layer, rows: slice, activations: Tensor) -> None:
        """Take in the activations of some images."""
        flat = _maps(layer, activations).flatten(2)
        self.maxima[layer.name][rows] = flat.amax(dim=2).numpy()
        self._tails[layer.name].update(flat.transpose(0, 1).flatten(1))

    def thresholds(self) -> dict[str, Float[Tensor, " u"]]:
        """Threshold of every unit of every layer; the sketches are given up."""
        tails, self._tails = self._tails, {}
        return {name: tail.compute() for name, tail in tails.items()}


class SecondPass:
    """Overlaps of all layers with all concepts, and the maps of the units' top images.

    Maps whose maximum does not exceed the unit's threshold are left out at once: no interpolation of them does. The rest
    wait until the batch is complete, so that layers of one size are worked through together.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        thresholds: Mapping[str, Float[Tensor, " u"]],
        top_images: Mapping[str, Int[ndarray, "u t"]],
        dictionary: FaceDictionary,
        *,
        union: str,
        pictures: int,
        factor: int | None,
    ) -> None:
        names = [concept.name for concept in dictionary.concepts.local]
        self._dictionary, self._thresholds = dictionary, thresholds
        self._present = dictionary.present[names].to_numpy(dtype=bool)
        self._known = dictionary.known[names].to_numpy(dtype=bool)
        size = dictionary.faces.size
        assert size is not None  # framed
        self._size = size
        self.seconds = 0.0
        self._batch: MaskBatch | None = None
        self._rows = slice(0, 0)
        self.offsets: dict[str, tuple[tuple[int, int], slice]] = {}
        units: dict[tuple[int, int], int] = {}
        for layer in layers:
            grid, start = grid_of(layer), units.get(grid_of(layer), 0)
            units[grid] = start + layer.shape[0]
            self.offsets[layer.name] = (grid, slice(start, units[grid]))
        self.overlaps = {
            grid: Overlap(
                Tiles(grid, size),
                count,
                self._known,
                union=union,
                top=pictures,
                factor=factor if names else None,
            )
            for grid, count in units.items()
        }
        self._waiting: dict[tuple[int, int], list[tuple[Tensor, Tensor, Tensor]]] = {
            grid: [] for grid in units
        }
        self._top = {name: torch.from_numpy(rows.copy()) for name, rows in top_images.items()}
        self.top_maps = {
            layer.name: np.zeros((*top_images[layer.name].shape, *grid_of(layer)), dtype=np.float16)
            for layer in layers
        }

    def update(self, layer: Layer, rows: slice, activations: Tensor) -> None:
        """Take in the activations of some images."""
        if self._batch is None or rows != self._rows:
            self.finish()
            self._begin(rows)
        maps = _maps(layer, activations)
        self._keep_top(layer.name, rows, maps)
        threshold = self._thresholds[layer.name]
        image, unit = (maps.flatten(2).amax(dim=2) > threshold).nonzero(as_tuple=True)
        if not len(image):
            return
        grid, units = self.offsets[layer.name]
        lit = maps[image, unit] - threshold[unit, None, None]
        waiting = self._waiting[grid]
        waiting.append((lit, image, unit + units.start))
        if sum(len(held) for held, _, _ in waiting) * grid[0] * grid[1] > _WAITING:
            self._work(grid)

    def finish(self) -> None:
        """Work through what waits; to be called after the last batch."""
        if self._batch is None:
            return
        for grid, overlap in self.overlaps.items():
            self._work(grid)
            started = time.perf_counter()
            overlap.finish_batch(self._batch)
            self.seconds += time.perf_counter() - started
        self._batch = None

    def _begin(self, rows: slice) -> None:
        started = time.perf_counter()
        of = np.arange(rows.start, rows.stop)
        known, shape = self._known[of], (len(of), self._known.shape[1], *self._size)
        labelled = torch.from_numpy(known & self._present[of])
        masks = (
            self._dictionary.masks(of) & labelled[:, :, None, None]
            if shape[1]
            else torch.zeros(shape, dtype=torch.bool)
        )
        self._batch = MaskBatch(masks, torch.from_numpy(known).double(), rows.start)
        self._rows = rows
        self.seconds += time.perf_counter() - started

    def _work(self, grid: tuple[int, int]) -> None:
        waiting = self._waiting[grid]
        if not waiting:
            return
        started = time.perf_counter()
        assert self._batch is not None
        maps, image, unit = (torch.cat(parts) for parts in zip(*waiting, strict=True))
        waiting.clear()
        self.overlaps[grid].update(maps, image, unit, self._batch)
        self.seconds += time.perf_counter() - started

    def _keep_top(self, name: str, rows: slice, maps: Tensor) -> None:
        top = self._top[name]
        unit, rank = ((top >= rows.start) & (top < rows.stop)).nonzero(as_tuple=True)
        held = maps[top[unit, rank] - rows.start, unit]
        limit = torch.finfo(torch.float16).max
        self.top_maps[name][unit.numpy(), rank.numpy()] = held.clamp(-limit, limit).half().numpy()


def memory_of(layer: Layer, n: int, concepts: int, quantile: float, top: int) -> int:
    """Bytes that a layer's dissection holds but for second moments: maxima, sketch, counts, best images."""
    units, (height, width) = layer.shape[0], grid_of(layer)
    counts = units * concepts * (6 * 8 + 8 * top)
    return units * n * 4 + counts + TailSketch.bytes_of(units, quantile, n * height * width)


def _maps(layer: Layer, activations: Tensor) -> Float[Tensor, "k u h w"]:
    values = activations.detach().to("cpu", torch.float32)
    return values.reshape(len(values), layer.shape[0], *grid_of(layer))
