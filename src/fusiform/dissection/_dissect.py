import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from fusiform.activations import stream
from fusiform.dissection._overlap import MaskBatch, Moments, sums_of
from fusiform.dissection._passes import FirstPass, SecondPass, grid_of, memory_of
from fusiform.dissection._probabilities import unit_blocks
from fusiform.dissection._result import Dissection, LayerDissection
from fusiform.dissection._significance import false_discovery_rates
from fusiform.dissection._stages import Category, Rows, categories_of, regions_of, stage_one, stage_three
from fusiform.dissection._tiles import Tiles
from fusiform.errors import DataError, SpecError, nearest
from fusiform.faces import FaceDictionary, FaceSet, build_dictionary, open_dictionary
from fusiform.networks import FaceNetwork, Layer, find_role, frame_faces

METHODS = ("hierarchical", "network")
UNIONS = ("all", "labelled")
_PARTS = ("first pass", "second pass", "of it overlaps", "stages and significance")


@dataclass(frozen=True)
class _Asked:
    """What does not depend on the layer."""

    methods: tuple[str, ...]
    quantile: float
    iou_threshold: float
    union: str
    significance: bool
    permutations: int
    top: int
    pictures: bool
    batch_size: int
    seed: int
    memory_gb: float

    def __post_init__(self) -> None:
        if not self.methods:
            raise SpecError(f"Dissection needs a method; there are: {', '.join(METHODS)}.")
        for method in self.methods:
            if method not in METHODS:
                raise SpecError(f"There is no method '{method}'; {nearest(method, METHODS)}")
        if self.union not in UNIONS:
            raise SpecError(f"There is no union '{self.union}'; {nearest(self.union, UNIONS)}")
        if not 0 < self.quantile < 1:
            raise SpecError(
                f"'quantile' is the share of activations above a threshold, between 0 and 1; got {self.quantile}."
            )
        if not 0 <= self.iou_threshold <= 1:
            raise SpecError(f"'iou_threshold' must lie between 0 and 1; got {self.iou_threshold}.")
        for name in ("permutations", "top", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
                raise SpecError(f"'{name}' must be a whole number of at least 1; got {value!r}.")
        if not 0 < self.memory_gb < np.inf:
            raise SpecError(f"'memory_gb' must be a finite number above 0; got {self.memory_gb}.")


def dissect(
    net: FaceNetwork,
    dictionary: FaceDictionary | FaceSet | str,
    layers: str | Sequence[str] | None = None,
    method: str | Sequence[str] = "hierarchical",
    *,
    quantile: float = 0.005,
    iou_threshold: float = 0.04,
    union: str = "all",
    significance: bool = True,
    permutations: int = 1000,
    top: int = 5,
    pictures: bool = True,
    align: str | None = None,
    batch_size: int = 32,
    seed: int = 0,
    memory_gb: float = 4.0,
    progress: Callable[[int, int], None] | None = None,
) -> Dissection:
    """Pair the units of layers with the concepts of a Face Dictionary.

    Two passes over the images: one for the thresholds and maxima, one for everything else, for as many layers together as
    memory holds. A unit's activation map is upsampled bilinearly to the masks' size, and what lies strictly above its
    threshold is compared with the masks. No activation is written to disk; what is kept grows with the number of
    images only by the maxima, 4 bytes a unit and image.

    Network Dissection pairs a unit with its best concept where IoU >= `iou_threshold`. Hierarchical dissection pairs it
    with global concepts whose relative probability exceeds the category's threshold (stage I); the best concept names
    its region (stage II, IoU >= `iou_threshold`); and with those K concepts of the region whose relative
    probability exceeds 1.5 / K (stage III; a region of one concept can have no pair).

    Parameters
    ----------
    net : FaceNetwork
        The network.
    dictionary : FaceDictionary, FaceSet or str
        Images with concepts; faces are turned into a dictionary by `build_dictionary`, text is opened by
        `open_dictionary`.
    layers : str or sequence of str, optional
        Layers, by name; the second-to-last convolution when not given. A layer of features, without positions,
        counts as maps of one position: its IoU is that of whole images.
    method : {"hierarchical", "network"} or several, default "hierarchical"
        What to pair by; measured once for both.
    quantile : float, default 0.005
        Share of a unit's activations, over all images and positions, above its threshold.
    iou_threshold : float, default 0.04
        Least IoU; one of 0 pairs with nothing, whatever is given.
    union : {"all", "labelled"}, default "all"
        What IoU divides by. ``"all"``: activated and labelled pixels of all images for which the concept is known.
        ``"labelled"``: of those images only that carry the concept and in which the unit exceeds its threshold, as in the
        code of hierarchical dissection's authors; that gives higher values.
    significance : bool, default True
        Test every unit and concept: group labels are permuted `permutations` times; masks are dealt out anew among the
        images, by their exact moments on a grid of at most 8 x 8 cells. Adjusted for false discoveries over each
        layer and scope.
    permutations : int, default 1000
        Permutations of the group labels. Where fewer than 10 of them reach a probability, its p-value comes from the exact
        mean, variance and skewness of all permutations.
    top : int, default 5
        Images kept of each unit, and of each unit and concept.
    pictures : bool, default True
        Keep the images with the highest IoU of each unit and concept.
    align : str, optional
        How faces are framed, as for `frame_faces`; ``"auto"`` when not given.
    batch_size : int, default 32
        Faces a forward pass.
    seed : int, default 0
        Of permutations and of the thinning in sketches.
    memory_gb : float, default 4.0
        Layers that need more than this (1e9 bytes) together are done in groups, each with passes of its own; where a
        layer alone needs more, the grid of the permutation test is made coarser.
    progress : callable, optional
        Called with ``(done, total)`` images over all passes.

    Returns
    -------
    Dissection
        Tables, and the arrays behind them.

    Raises
    ------
    SpecError
        If an option is not known or out of range.
    LayerError
        If the network has no layer of a name (offers the nearest), or a layer is neither maps nor features.
    DataError
        If the dictionary has no images.
    NetworkError
        If an activation is NaN or infinite.

    References
    ----------
    Bau, Zhou, Khosla, Oliva, Torralba (2017), Network Dissection. Teotia, Lapedriza, Ostadabbas (2022), Interpreting Face
    Inference Models using Hierarchical Network Dissection, section 3.2. Benjamini, Hochberg (1995). Hoeffding (1951),
    A combinatorial central limit theorem.

    Examples
    --------
    >>> from fusiform.networks import load_network
    >>> found = dissect(load_network("demo"), "synthetic?n=8&size=48", "stage3", permutations=20)
    >>> found
    <Dissection of 1 layer, 56 units, ... pairs>
    >>> found.layers["stage3"].iou.shape == (56, len(found.dictionary.concepts.local))
    True
    """
    methods = (method,) if isinstance(method, str) else tuple(dict.fromkeys(method))
    asked = _Asked(
        methods,
        quantile,
        iou_threshold,
        union,
        significance,
        permutations,
        top,
        pictures,
        batch_size,
        seed,
        memory_gb,
    )
    wanted = _layers(net, layers)
    if isinstance(dictionary, str):
        dictionary = open_dictionary(dictionary, seed=seed)
    elif isinstance(dictionary, FaceSet):
        dictionary = build_dictionary(dictionary, seed=seed)
    framed, done = frame_faces(net, dictionary.faces, align or "auto")
    if framed is not dictionary.faces:
        dictionary = dictionary.on(framed)
    n = len(dictionary.faces)
    if not n:
        raise DataError(
            f"The dictionary '{dictionary.name}' has no images to dissect '{net.card.name}' with."
        )

    categories, left_out = categories_of(dictionary)
    seconds = dict.fromkeys(_PARTS, 0.0)
    groups = list(_groups(wanted, dictionary, asked))
    found: dict[str, LayerDissection] = {}
    for number, (group, factor) in enumerate(groups):

        def shown(images: int, _: int, passes: int = 2 * number) -> None:
            if progress is not None:
                progress(passes * n + images, 2 * n * len(groups))

        found |= _dissect_group(net, dictionary, group, categories, factor, asked, seconds, shown)
    settings: dict[str, Any] = {
        "methods": list(methods),
        "iou_threshold": iou_threshold,
        "union": union,
        "significance": significance,
        "permutations": permutations if significance else 0,
        "seed": seed,
        "framing": done,
        "left_out": left_out,
        "passes": 2 * len(groups),
        "without_positions": [layer.name for layer in wanted if grid_of(layer) == (1, 1)],
    }
    return _tables(net, dictionary, wanted, found, categories, asked, seconds, settings)


def _layers(net: FaceNetwork, names: str | Sequence[str] | None) -> list[Layer]:
    if names is None:
        return [find_role(net, "second_to_last_conv")]
    chosen = [net.layer(name) for name in dict.fromkeys([names] if isinstance(names, str) else names)]
    if not chosen:
        raise SpecError("Name at least one layer to dissect, or none for the second-to-last convolution.")
    for layer in chosen:
        grid_of(layer)
    return sorted(chosen, key=lambda layer: layer.depth)


def _groups(
    layers: list[Layer], dictionary: FaceDictionary, asked: _Asked
) -> Iterator[tuple[list[Layer], int | None]]:
    """Layers that fit in memory together, and how many tiles a side make a cell of the permutation test."""
    known = dictionary.known[[concept.name for concept in dictionary.concepts.local]].to_numpy(dtype=bool)
    size = dictionary.faces.size
    assert size is not None  # framed
    sums = len(sums_of(known)[0]) if asked.significance else 0
    n, concepts = known.shape
    tiles = {grid: Tiles(grid, size) for grid in map(grid_of, layers)}
    # The masks of a batch are there once, by the tiles of one size of maps at a time.
    masks = max(MaskBatch.n_bytes(each, min(n, asked.batch_size), concepts) for each in tiles.values())
    budget = asked.memory_gb * 1e9 - masks

    def needs(layer: Layer, factor: int) -> int:
        rest = memory_of(layer, n, concepts, asked.quantile, asked.top * asked.pictures)
        return rest + Moments.n_bytes(tiles[grid_of(layer)], layer.shape[0], sums, factor)

    group: list[Layer] = []
    coarsest = 1
    for layer in layers:
        factor = next((f for f in (1, 2, 4) if needs(layer, f) <= budget), 8)
        together = max(coarsest, factor)
        if group and sum(needs(each, together) for each in (*group, layer)) > budget:
            yield group, coarsest if asked.significance else None
            group, together = [], factor
        group, coarsest = [*group, layer], together
    yield group, coarsest if asked.significance else None


def _dissect_group(
    net: FaceNetwork,
    dictionary: FaceDictionary,
    layers: list[Layer],
    categories: list[Category],
    factor: int | None,
    asked: _Asked,
    seconds: dict[str, float],
    progress: Callable[[int, int], None],
) -> dict[str, LayerDissection]:
    faces, names = dictionary.faces, [layer.name for layer in layers]
    n, size = len(faces), asked.batch_size
    with _timed(seconds, "first pass"):
        first = FirstPass(layers, n, asked.quantile, asked.seed)
        stream(net, faces, names, [first], batch_size=size, progress=progress)
        thresholds = first.thresholds()
        top = {name: _top(first.maxima[name], asked.top) for name in names}
    with _timed(seconds, "second pass"):
        second = SecondPass(
            layers,
            thresholds,
            top,
            dictionary,
            union=asked.union,
            pictures=asked.top if asked.pictures else 0,
            factor=factor,
        )
        stream(
            net,
            faces,
            names,
            [second],
            batch_size=size,
            progress=lambda images, total: progress(n + images, total),
        )
        second.finish()
    seconds["of it overlaps"] += second.seconds
    with _timed(seconds, "stages and significance"):
        local = list(dictionary.concepts.local)
        present = dictionary.present[[concept.name for concept in local]].to_numpy(dtype=bool)
        counted: dict[tuple[int, int], tuple[ndarray, ndarray, ndarray]] = {}
        for grid, overlap in second.overlaps.items():
            iou = overlap.iou()
            iou[:, ~present.any(axis=0)] = np.nan
            p = np.full(iou.shape, np.nan) if overlap.moments is None else overlap.moments.p_values()
            counted[grid] = iou, p, overlap.where()
        found = {}
        for name in names:
            grid, units = second.offsets[name]
            iou, p_local, where = (array[units] for array in counted[grid])
            best, best_iou = _best(second.overlaps[grid].best, units, len(local))
            maxima = first.maxima[name]
            layer = LayerDissection(
                thresholds=thresholds[name].numpy(),
                iou=iou,
                maxima=maxima,
                probabilities_local=np.full(iou.shape, np.nan),
                probabilities_global={},
                p_local=p_local,
                q_local=false_discovery_rates([p_local])[0],
                p_global={},
                q_global={},
                top_images=top[name],
                top_maps=second.top_maps[name],
                where=where,
                best_by_iou=best,
                best_iou_of_image=best_iou,
            )
            if "hierarchical" in asked.methods:
                layer = _hierarchical(layer, categories, present, [c.region for c in local], asked)
            found[name] = layer
    return found


def _hierarchical(
    layer: LayerDissection,
    categories: list[Category],
    present: ndarray,
    regions: list[str],
    asked: _Asked,
) -> LayerDissection:
    permutations = asked.permutations if asked.significance else 0
    probabilities, p = stage_one(layer.maxima, categories, permutations=permutations, seed=asked.seed)
    _, of_unit = regions_of(layer.iou, regions, asked.iou_threshold)
    return replace(
        layer,
        probabilities_local=stage_three(layer.maxima, layer.iou, present, regions, of_unit),
        probabilities_global=probabilities,
        p_global=p,
        q_global=dict(zip(p, false_discovery_rates(list(p.values())), strict=True)),
    )


def _tables(
    net: FaceNetwork,
    dictionary: FaceDictionary,
    layers: list[Layer],
    found: dict[str, LayerDissection],
    categories: list[Category],
    asked: _Asked,
    seconds: dict[str, float],
    settings: dict[str, Any],
) -> Dissection:
    pairs, coverage, units = [], [], []
    for layer in layers:
        rows = Rows(net.card.name, layer, found[layer.name], dictionary, categories, asked.iou_threshold)
        for method in asked.methods:
            pairs.append(rows.pairs(method))
            coverage.append(rows.coverage(pairs[-1], method))
            if method == "hierarchical" or asked.methods == ("network",):
                units.append(rows.units(pairs[-1]))
    return Dissection(
        table=pd.concat(pairs, ignore_index=True),
        coverage=pd.concat(coverage, ignore_index=True),
        units=pd.concat(units, ignore_index=True),
        layers=found,
        dictionary=dictionary,
        images=len(dictionary.faces),
        quantile=asked.quantile,
        seconds=seconds,
        settings=settings,
    )


def _top(maxima: ndarray, top: int) -> Int[ndarray, "u t"]:
    """Rows of the highest, highest first; of equal ones the earlier."""
    n, units = maxima.shape
    top = min(top, n)
    found = np.empty((units, top), dtype=np.int64)
    for block in unit_blocks(n, units):
        values = np.ascontiguousarray(maxima[:, block].T)
        last = np.partition(values, n - top, axis=1)[:, n - top, None]
        equal, room = values == last, top - (values > last).sum(axis=1, keepdims=True)
        kept = (values > last) | (equal & (equal.cumsum(axis=1) <= room))
        rows = kept.nonzero()[1].reshape(-1, top)
        order = np.argsort(-np.take_along_axis(values, rows, axis=1), axis=1, kind="stable")
        found[block] = np.take_along_axis(rows, order, axis=1)
    return found


def _best(best: Any, units: slice, concepts: int) -> tuple[ndarray, ndarray]:
    count = units.stop - units.start
    if best is None:
        return np.empty((count, concepts, 0), dtype=np.int32), np.empty((count, concepts, 0), np.float32)
    keys = slice(units.start * concepts, units.stop * concepts)
    shape = (count, concepts, best.rows.shape[1])
    return best.rows[keys].numpy().reshape(shape), best.values[keys].numpy().reshape(shape)


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[part] += time.perf_counter() - started
