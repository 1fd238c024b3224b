"""One layer, all attributes, at every granularity."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from fusiform.activations import Activations
from fusiform.networks import FaceNetwork, Layer
from fusiform.probing._measures import Measure, measure_answers
from fusiform.probing._products import System
from fusiform.probing._readout import fit_readout
from fusiform.probing._sampling import Draw, Sampling
from fusiform.probing._scales import Scale, Scales
from fusiform.probing._solve import Method, Solved, solve
from fusiform.probing._units import (
    best_channels,
    best_neurons,
    channel_parts,
    gather,
    neuron_name,
    positions_of,
    spread_neurons,
)

_KEPT_SHARE = 0.3  # of the budget, for what is kept of a layer while it is solved
_HISTOGRAM_BINS = 30

Step = Callable[[int, int], None]


@dataclass(frozen=True)
class Probing:
    """What every layer of a network is asked, in terms of the images streamed.

    Attributes
    ----------
    network : str
        Name of the network.
    draws : tuple of Draw
        The attributes.
    also : mapping of str to tuple of Draw
        Further draws by the name of their table; of entire layers only.
    order : int array, shape (n,)
        Faces in the order streamed, those of any training draw first.
    groups : int array, shape (n_faces,)
        Identities.
    n_pool : int
        Faces in any training draw.
    units : tuple of str
        ``"layer"``, ``"channels"``, ``"neurons"``.
    top, n_components, vip_neurons : int
        Units probed, components, neurons spread over VIP.
    scale : {"subset", "pooled"}
        How features are scaled.
    seed : int
        Of intervals and of the neurons drawn.
    kept_bytes : float
        What may be kept of a layer's weights at once.
    device : torch.device
        Where activations are multiplied.
    """

    network: str
    draws: tuple[Draw, ...]
    also: Mapping[str, tuple[Draw, ...]]
    order: Int[ndarray, " n"]
    groups: Int[ndarray, " f"]
    n_pool: int
    units: tuple[str, ...]
    top: int
    n_components: int
    vip_neurons: int
    scale: Scale
    seed: int
    kept_bytes: float
    device: torch.device

    def positions(self, faces: Int[ndarray, " k"]) -> Int[ndarray, " k"]:
        """Where faces stand in the order streamed."""
        place = np.full(len(self.groups), -1, dtype=np.int64)
        place[self.order] = np.arange(len(self.order))
        return place[faces]

    @property
    def all_draws(self) -> list[Draw]:
        """All draws, of attributes and further ones."""
        return [*self.draws, *(d for draws in self.also.values() for d in draws)]

    @property
    def first(self) -> int:
        """The first image that is projected: only where pools and tests overlap are pools too."""
        tested = np.unique(np.concatenate([rows for d in self.all_draws for rows in (d.valid, d.test)]))
        return int(self.positions(tested).min(initial=len(self.order)))

    def digest(self, network: str) -> str:
        """What is asked of which weights, in 12 hexadecimal digits."""
        digest = hashlib.sha256(network.encode())
        options = (self.units, self.top, self.n_components, self.vip_neurons, self.scale, self.seed)
        digest.update(repr((options, list(self.also))).encode())
        for draw in self.all_draws:
            digest.update(repr((draw.attribute, draw.kind, draw.classes)).encode())
            for array in (draw.values, draw.train, draw.valid, draw.test):
                digest.update(array.tobytes())
        return digest.hexdigest()[:12]

    def systems(self, draws: Sequence[Draw], features: int) -> tuple[list[System], list[Int[ndarray, " k"]]]:
        """One system an attribute, on entire layers, and the subsets of the pool over which features are scaled."""
        numbers: dict[bytes, int] = {}
        subsets: list[Int[ndarray, " k"]] = []
        systems = []
        for draw in draws:
            rows = self.positions(draw.train)
            number = numbers.setdefault(rows.tobytes(), len(subsets))
            if number == len(subsets):
                subsets.append(rows)
            c = min(self.n_components, features, len(rows) - 1)
            systems.append(System(rows, draw.targets(), number, c))
        return systems, subsets

    def chunks(self, features: int, method: Method) -> list[list[tuple[str, Draw]]]:
        """Draws that are solved together, so that what is kept of them fits, with the table each belongs to."""
        # Importance, and with scales of their own means and deviations; Krylov steps keep products besides.
        each = 1 if self.scale == "pooled" else 3
        draws = [("probes", d) for d in self.draws]
        draws += [(name, d) for name, further in self.also.items() for d in further]
        chunks: list[list[tuple[str, Draw]]] = [[]]
        size = 0.0
        for name, draw in draws:
            steps = draw.targets().shape[1] * self.n_components if method == "krylov" else 0
            own = 4.0 * features * (each + steps)
            if method == "gram" and self.scale == "subset":
                own += 12.0 * len(draw.train) ** 2
            if chunks[-1] and size + own > self.kept_bytes:
                chunks.append([])
                size = 0.0
            chunks[-1].append((name, draw))
            size += own
        return chunks


def probing_of(
    net: FaceNetwork,
    sampling: Sampling,
    *,
    also: Mapping[str, Sequence[Draw]] | None = None,
    units: tuple[str, ...],
    top: int,
    n_components: int,
    vip_neurons: int = 0,
    scale: Scale,
    seed: int,
    memory_gb: float,
) -> Probing:
    """What is asked, with the faces in order: those of any training draw first, then all others that are needed."""
    further = {name: tuple(draws) for name, draws in (also or {}).items()}
    everything = [*sampling.draws, *(d for draws in further.values() for d in draws)]
    pool = np.unique(np.concatenate([d.train for d in everything]))
    tested = np.unique(np.concatenate([rows for d in everything for rows in (d.valid, d.test)]))
    return Probing(
        network=net.card.name,
        draws=sampling.draws,
        also=further,
        order=np.concatenate([pool, np.setdiff1d(tested, pool)]),
        groups=sampling.groups,
        n_pool=len(pool),
        units=units,
        top=top,
        n_components=n_components,
        vip_neurons=vip_neurons,
        scale=scale,
        seed=seed,
        kept_bytes=_KEPT_SHARE * memory_gb * 1e9,
        device=net.device,
    )


def probe_layer(
    asked: Probing, layer: Layer, activations: Activations, method: Method, step: Step
) -> dict[str, pd.DataFrame]:
    """Probe one layer; tables ``probes``, ``vip_neurons``, ``vip_histogram`` and those of `also`, by name."""
    tables: dict[str, list[dict[str, object]]] = {
        "probes": [],
        "vip_neurons": [],
        "vip_histogram": [],
    }
    chunks = asked.chunks(prod(layer.shape), method)
    for done, chunk in enumerate(chunks, start=1):
        own = [draw for name, draw in chunk if name == "probes"]
        # VIP chooses units; further draws are of entire layers only.
        important = len(own) if asked.units != ("layer",) else 0
        solved, scales = solve_draws(
            asked, layer, activations, [draw for _, draw in chunk], method, important=important
        )
        for number, (name, draw) in enumerate(chunk):
            tables.setdefault(name, []).extend(_entire(asked, layer, draw, solved, number))
        if own and "channels" in asked.units and positions_of(layer.shape) > 1:
            tables["probes"] += _channels(asked, layer, activations, own, solved, scales)
        if own and "neurons" in asked.units:
            probes, spread = _neurons(asked, layer, activations, own, solved)
            tables["probes"] += probes
            tables["vip_neurons"] += spread
            tables["vip_histogram"] += _histograms(asked, layer, own, solved)
        step(done, len(chunks))
    return {name: pd.DataFrame(records) for name, records in tables.items()}


def solve_draws(
    asked: Probing,
    layer: Layer,
    activations: Activations,
    draws: Sequence[Draw],
    method: Method,
    *,
    important: int,
    rotations: bool = False,
) -> tuple[Solved, Scales]:
    """Solve entire-layer systems of some draws; importance is wanted for the first of them."""
    systems, subsets = asked.systems(draws, prod(layer.shape))
    scales = Scales(asked.scale, subsets, asked.n_pool, prod(layer.shape), asked.device)
    solved = solve(
        activations,
        systems,
        scales,
        len(asked.order),
        first=asked.first,
        method=method,
        important=important,
        rotations=rotations,
    )
    return solved, scales


def _entire(
    asked: Probing, layer: Layer, draw: Draw, solved: Solved, number: int
) -> Iterator[dict[str, object]]:
    return _records(asked, layer, draw, *_read_scores(asked, draw, solved, [number]), "layer", ["all"])


def _channels(
    asked: Probing,
    layer: Layer,
    activations: Activations,
    draws: Sequence[Draw],
    solved: Solved,
    scales: Scales,
) -> Iterator[dict[str, object]]:
    size = positions_of(layer.shape)
    entire, _ = asked.systems(draws, prod(layer.shape))
    systems: list[System] = []
    seen: list[ndarray] = []
    chosen = []
    for number, draw in enumerate(draws):
        channels, means = best_channels(solved.vip[:, number], layer.shape, asked.top)
        chosen.append((draw, channels, means, len(systems)))
        for own in [*channels[:, None], channels]:
            c = min(entire[number].n_components, len(own) * size)
            systems.append(replace(entire[number], n_components=c))
            seen.append(own)
    inner = solve(
        activations,
        systems,
        scales,
        len(asked.order),
        first=asked.first,
        parts=channel_parts(seen, layer.shape),
    )
    for draw, channels, means, start in chosen:
        single = _read_scores(asked, draw, inner, range(start, start + len(channels)), auc=False)
        yield from _records(asked, layer, draw, *single, "channel", list(map(str, channels)), means)
        together = _read_scores(asked, draw, inner, [start + len(channels)])
        yield from _records(asked, layer, draw, *together, "channels", [f"top{len(channels)}"])


def _neurons(
    asked: Probing, layer: Layer, activations: Activations, draws: Sequence[Draw], solved: Solved
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    # Which neurons are drawn must not depend on which attributes were solved together.
    numbers = [next(n for n, known in enumerate(asked.draws) if known is draw) for draw in draws]
    rngs = [np.random.default_rng([asked.seed, 5, layer.depth, number]) for number in numbers]
    best = [best_neurons(solved.vip[:, n], asked.top) for n in range(len(draws))]
    spread = [spread_neurons(solved.vip[:, n], asked.vip_neurons, rng) for n, rng in enumerate(rngs)]
    features = np.unique(np.concatenate([*best, *spread]))
    values = gather(activations, features)
    probes: list[dict[str, object]] = []
    sample: list[dict[str, object]] = []
    for number, draw in enumerate(draws):
        vip = solved.vip[:, number].numpy()
        own = values[:, np.searchsorted(features, best[number])].astype(np.float64)
        names = [neuron_name(j, layer.shape) for j in best[number]]
        alone = _read(asked, draw, own.T[:, :, None], auc=False)
        probes += _records(asked, layer, draw, *alone, "neuron", names, vip[best[number]])
        together = _read(asked, draw, own[None])
        probes += _records(asked, layer, draw, *together, "neurons", [f"top{len(names)}"])
        own = values[:, np.searchsorted(features, spread[number])].astype(np.float64)
        measures, _ = _read(asked, draw, own.T[:, :, None], splits=("valid",), intervals=False)
        train = asked.positions(draw.train)
        positive = train[draw.values[draw.train] == 1] if draw.kind == "binary" else train[:0]
        for place, j in enumerate(spread[number]):
            (measure,) = measures[place]
            sample.append(
                _lead(asked, layer, draw)
                | {
                    "unit": neuron_name(j, layer.shape),
                    "vip": float(vip[j]),
                    "mean_activation": float(own[positive, place].mean()) if len(positive) else np.nan,
                    "value": measure.value,
                    "n": measure.n,
                }
            )
    return probes, sample


def _histograms(
    asked: Probing, layer: Layer, draws: Sequence[Draw], solved: Solved
) -> Iterator[dict[str, object]]:
    for number, draw in enumerate(draws):
        vip = solved.vip[:, number].numpy().astype(np.float64)
        counts, edges = np.histogram(vip, bins=_HISTOGRAM_BINS)
        for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
            yield _lead(asked, layer, draw) | {"low": float(low), "high": float(high), "count": int(count)}


def _read_scores(
    asked: Probing, draw: Draw, solved: Solved, systems: Iterable[int], *, auc: bool = True
) -> tuple[list[list[Measure]], ndarray]:
    """Measures of probes on PLS scores, one a system; those of fewer components are filled up with nothing."""
    systems = list(systems)
    width = max(solved.fits[s].n_components for s in systems)

    def filled(scores: list[ndarray]) -> Float[ndarray, "p k c"]:
        return np.stack([np.pad(s, ((0, 0), (0, width - s.shape[1]))) for s in scores])

    train = filled([solved.fits[s].scores for s in systems])
    others = {
        split: filled([solved.scores(s, asked.positions(rows)).clip(*solved.bounds(s)) for s in systems])
        for split, rows in (("valid", draw.valid), ("test", draw.test))
    }
    return _measured(asked, draw, train, others, auc=auc)


def _read(
    asked: Probing,
    draw: Draw,
    values: Float[ndarray, "p n c"],
    *,
    splits: Sequence[str] = ("valid", "test"),
    **options: bool,
) -> tuple[list[list[Measure]], ndarray]:
    """Measures of probes on features as they are, given for all images streamed."""
    rows = {"valid": draw.valid, "test": draw.test}
    others = {split: values[:, asked.positions(rows[split])] for split in splits}
    return _measured(asked, draw, values[:, asked.positions(draw.train)], others, **options)


def _measured(
    asked: Probing, draw: Draw, train: ndarray, others: dict[str, ndarray], **options: bool
) -> tuple[list[list[Measure]], ndarray]:
    readout = fit_readout(draw, train)
    answers = {split: readout.answers(features) for split, features in others.items()}
    measures = measure_answers(draw, answers, asked.groups, seed=asked.seed, **options)
    return measures, readout.regularisation


def _records(
    asked: Probing,
    layer: Layer,
    draw: Draw,
    measures: list[list[Measure]],
    regularisation: ndarray,
    unit_kind: str,
    units: Sequence[str],
    vip: Sequence[float] | ndarray | None = None,
) -> Iterator[dict[str, object]]:
    for place, (unit, own) in enumerate(zip(units, measures, strict=True)):
        lead = {
            "network": asked.network,
            "layer": layer.name,
            "depth": layer.depth,
            "role": layer.role,
            "block": layer.block,
            "features": prod(layer.shape),
            "unit_kind": unit_kind,
            "unit": unit,
            "vip": float(vip[place]) if vip is not None else np.nan,
            "regularisation": float(regularisation[place]),
            "attribute": draw.attribute,
            "kind": draw.kind,
        }
        for measure in own:
            yield lead | asdict(measure)


def _lead(asked: Probing, layer: Layer, draw: Draw) -> dict[str, object]:
    return {
        "network": asked.network,
        "layer": layer.name,
        "depth": layer.depth,
        "attribute": draw.attribute,
        "kind": draw.kind,
    }
