import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import gettempdir
from typing import get_args

import numpy as np
import pandas as pd

from fusiform.activations import Group, Plan, open_group, plan, stream
from fusiform.errors import SpecError, nearest
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, Layer
from fusiform.probing._cost import Cost, cheapest, synchronise
from fusiform.probing._layer import Probing, probe_layer, probing_of
from fusiform.probing._measures import PRIMARY
from fusiform.probing._sampling import Draw, Sampling, sample
from fusiform.probing._scales import Scale
from fusiform.probing._solve import METHODS
from fusiform.runs import Progress, Run

UNITS = ("layer", "channels", "neurons")


@dataclass(frozen=True)
class Probes:
    """What `probe_network` measured.

    Attributes
    ----------
    table : DataFrame
        As from `probe_layers`.
    neurons : DataFrame
        Neurons spread evenly over importance, each probed alone on validation: ``network, layer, depth, attribute,
        kind, unit, vip, mean_activation`` (on positive training images) ``, value, n``.
    histogram : DataFrame
        Importance of all neurons: ``network, layer, depth, attribute, kind, low, high, count``.
    also : dict of str to DataFrame
        Tables like `table` of further draws, by their name.
    """

    table: pd.DataFrame
    neurons: pd.DataFrame
    histogram: pd.DataFrame
    also: dict[str, pd.DataFrame]


def probe_layers(
    net: FaceNetwork,
    faces: FaceSet,
    attributes: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    *,
    n_train: int = 2048,
    n_valid: int = 6144,
    units: Sequence[str] = UNITS,
    top: int = 8,
    n_components: int = 8,
    scale: Scale = "subset",
    seed: int = 0,
    memory_gb: float = 4.0,
    batch_size: int = 32,
    sampling: Sampling | None = None,
    progress: Progress | None = None,
    run: Run | None = None,
    scratch: Path | None = None,
) -> pd.DataFrame:
    """Measure how well each attribute can be read out of each layer, its best channels and its best neurons.

    Every attribute has its own balanced draw of images. A layer's activations on it are projected by partial least
    squares onto 8 dimensions; QDA on them tells the classes apart, and the PLS regression itself predicts
    continuous attributes. The importance of every neuron in the projection (VIP) names the best neurons, and
    averaged over positions the best channels; those are probed one by one and together, channels by PLS and QDA,
    neurons by QDA alone. Read-outs take scores beyond those of any training image for the nearest of those.

    The faces pass through the network once, as long as activations fit in memory or on disk. No layer's matrix has to
    exist whole in memory: partial least squares needs its columns block by block, for all attributes together.

    Parameters
    ----------
    net : FaceNetwork
        The network.
    faces : FaceSet
        The faces with their attributes.
    attributes : sequence of str, optional
        Which attributes; all but identity when not given.
    layers : sequence of str, optional
        Which layers; block outputs, pools and fully connected layers when not given.
    n_train, n_valid : int, default 2048 and 6144
        Images an attribute at the most; see `sample`.
    units : sequence of str, default ("layer", "channels", "neurons")
        Granularities. Fully connected layers have no channels.
    top : int, default 8
        Channels and neurons probed an attribute.
    n_components : int, default 8
        Dimensions of the projection.
    scale : {"subset", "pooled"}, default "subset"
        Whether features are scaled to unit variance over each attribute's own training images, as scikit-learn
        would, or over those of all attributes together, which is cheaper.
    seed : int, default 0
        Of the split, the draws and the intervals.
    memory_gb : float, default 4
        Budget for activations and matrices in GB; what does not fit is spilled to scratch files, or computed anew.
    batch_size : int, default 32
        Faces a forward pass.
    sampling : Sampling, optional
        A split and draws made before, so that several networks see the same; made here when not given.
    progress : Progress, optional
        Where to show the plan and progress; silent when not given.
    run : Run, optional
        A run folder in which finished layers are kept, so that a second start continues.
    scratch : Path, optional
        Folder for scratch files; in the run folder, or else the system's temporary folder.

    Returns
    -------
    DataFrame
        A row a layer, unit, attribute, split and metric: ``network, layer, depth, role, block, features,
        unit_kind, unit, vip, regularisation, attribute, kind, split, metric, value, lower, upper, chance, n,
        n_identities``. `unit_kind` is ``"layer"``; ``"channels"`` and ``"neurons"``, the best ones together;
        ``"channel"`` and ``"neuron"``, one alone, `unit` being ``"17"`` or ``"17[3,4]"`` (channel 17, row 3, column 4).
        `regularisation` is what QDA's covariances needed. Intervals are 95% and resample identities.

    Raises
    ------
    LayerError
        If the network has no layer of a name.
    DataError
        If nothing can be probed; says why.
    NetworkError
        If a layer gives NaN or infinite activations.
    RunError
        If neither memory nor disk suffices, or a scratch file was lost; finished layers are kept.

    References
    ----------
    Diniz (2020), chapters 4 and 5.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> faces = open_faces("synthetic?n=600&seed=1&size=32")
    >>> table = probe_layers(load_network("demo"), faces, ["Male"], ["pool"])
    >>> sorted(table.unit_kind.unique())
    ['layer', 'neuron', 'neurons']
    """
    return probe_network(
        net,
        faces,
        attributes,
        layers,
        n_train=n_train,
        n_valid=n_valid,
        units=units,
        top=top,
        n_components=n_components,
        scale=scale,
        vip_neurons=0,
        seed=seed,
        memory_gb=memory_gb,
        batch_size=batch_size,
        sampling=sampling,
        progress=progress,
        run=run,
        scratch=scratch,
    ).table


def probe_network(
    net: FaceNetwork,
    faces: FaceSet,
    attributes: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    *,
    n_train: int = 2048,
    n_valid: int = 6144,
    units: Sequence[str] = UNITS,
    top: int = 8,
    n_components: int = 8,
    scale: Scale = "subset",
    vip_neurons: int = 50,
    also: Mapping[str, Sequence[Draw]] | None = None,
    seed: int = 0,
    memory_gb: float = 4.0,
    batch_size: int = 32,
    sampling: Sampling | None = None,
    progress: Progress | None = None,
    run: Run | None = None,
    scratch: Path | None = None,
) -> Probes:
    """Probe as `probe_layers` does, with all that a study wants to know beside.

    Parameters
    ----------
    net, faces, attributes, layers, n_train, n_valid, units, top, n_components, scale, seed, memory_gb, batch_size
        As for `probe_layers`.
    vip_neurons : int, default 50
        Neurons probed alone whose importance is spread evenly (Diniz 2020, section 5.3).
    also : mapping of str to sequence of Draw, optional
        Further draws, probed on entire layers in the same passes: shuffled labels, balanced confounders.
    sampling, progress, run, scratch
        As for `probe_layers`.

    Returns
    -------
    Probes
        The tables.

    Raises
    ------
    FusiformError
        As `probe_layers` does.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> faces = open_faces("synthetic?n=600&seed=1&size=32")
    >>> probes = probe_network(load_network("demo"), faces, ["Male"], ["pool"], vip_neurons=5)
    >>> len(probes.neurons)
    5
    """
    units = checked_units(units)
    check_numbers(n_components, top, scale, vip_neurons=vip_neurons, n_train=n_train, n_valid=n_valid)
    chosen = chosen_layers(net, layers)
    sampling = sampling or sample(faces, attributes, n_train=n_train, n_valid=n_valid, seed=seed)
    progress = progress or Progress(quiet=True)
    name = net.card.name
    asked = probing_of(
        net,
        sampling,
        also=also,
        units=units,
        top=top,
        n_components=n_components,
        vip_neurons=vip_neurons,
        scale=scale,
        seed=seed,
        memory_gb=memory_gb,
    )
    parts = _Parts(run, net, asked)
    done = {layer.name: parts.read(layer) for layer in chosen}
    missing = [layer for layer in chosen if done[layer.name] is None]
    if len(missing) < len(chosen):
        progress.say(f"{name}: {len(chosen) - len(missing)} of {len(chosen)} layers were finished before")
    scratch = scratch or (run.path / "parts" if run is not None else Path(gettempdir()))
    if missing:
        second = pass_seconds(net, faces, asked.order, batch_size)
        work = planned(asked, missing, second, memory_gb, scratch)
        costs = costs_of(asked, missing, work, second)
        progress.say(f"{name}: {_described(work, costs, second)}")
        by_name = {layer.name: layer for layer in missing}
        for number, group in enumerate(work.groups, start=1):
            label = f" (group {number} of {len(work.groups)})" if len(work.groups) > 1 else ""
            passing = progress.task(f"{name}: faces through the network{label}")
            opened = open_group(
                net, faces, group, work, asked.order, batch_size=batch_size, scratch=scratch, progress=passing
            )
            with opened as (of, drop):
                step = progress.task(f"{name}: probing layers{label}")
                for count, layer_name in enumerate(group.layers):
                    layer = by_name[layer_name]
                    tables = probe_layer(
                        asked,
                        layer,
                        of(layer_name),
                        costs[layer_name].method,
                        _share(step, count, len(group.layers)),
                    )
                    drop(layer_name)
                    done[layer_name] = tables
                    parts.write(layer, tables)
    return _joined([done[layer.name] or {} for layer in chosen], list(also or {}))


def best_layers(probes: pd.DataFrame) -> pd.DataFrame:
    """The layer in which each attribute is read out best: chosen on validation, scored on test.

    Parameters
    ----------
    probes : DataFrame
        From `probe_layers`, with a column ``control`` that marks the random-weights control; the control
        is compared at the layer that is best for it. Only entire layers are looked at.

    Returns
    -------
    DataFrame
        ``network, attribute, kind, metric, layer, depth, value, lower, upper, chance, n, control_value,
        control_layer``, best first.

    Examples
    --------
    >>> row = dict(network="n", control=False, attribute="Male", kind="binary", metric="balanced_accuracy",
    ...            lower=0.0, upper=1.0, chance=0.5, n=9)
    >>> probes = pd.DataFrame([
    ...     {**row, "layer": layer, "depth": d, "split": split, "value": v}
    ...     for d, (layer, values) in enumerate({"a": (0.6, 0.9), "b": (0.8, 0.7)}.items())
    ...     for split, v in zip(("valid", "test"), values)])
    >>> best_layers(probes)[["layer", "value"]].values.tolist()
    [['b', 0.7]]
    """
    if "unit_kind" in probes:
        probes = probes[probes.unit_kind == "layer"]
    primary = probes[probes.metric == probes.kind.map(PRIMARY)].reset_index(drop=True)
    keys = ["network", "control", "attribute", "layer"]
    valid = primary[(primary.split == "valid") & primary.value.notna()]
    chosen = valid.loc[valid.groupby(["control", "attribute"], sort=False).value.idxmax(), keys]
    best = chosen.merge(primary[primary.split == "test"], on=keys)
    control = best[best.control].set_index("attribute")
    best = best[~best.control].copy()
    best["control_value"] = best.attribute.map(control.value).astype(float)
    best["control_layer"] = best.attribute.map(control.layer).astype(object)
    # Accuracies and R² are both "how much of the way from chance to perfect".
    best["gain"] = (best.value - best.chance) / (1 - best.chance)
    columns = [
        "network",
        "attribute",
        "kind",
        "metric",
        "layer",
        "depth",
        "value",
        "lower",
        "upper",
        "chance",
        "n",
    ]
    best = best.sort_values("gain", ascending=False)
    return best[[*columns, "control_value", "control_layer"]].reset_index(drop=True)


def planned(asked: Probing, layers: list[Layer], second: float, memory_gb: float, scratch: Path) -> Plan:
    """Where activations lie, beside what solving takes."""
    draws = asked.all_draws
    largest = max(prod(layer.shape) for layer in layers)
    most = max(d.targets().shape[1] for d in draws) * asked.n_components + 3
    kept = min(asked.kept_bytes, 4.0 * largest * len(draws) * most)
    n = len(asked.order)
    scores = 12.0 * n * len(draws) * asked.n_components
    if "channels" in asked.units:
        scores += 4.0 * n * len(asked.draws) * (asked.top + 1) * asked.n_components
    if "neurons" in asked.units:
        scores += 8.0 * n * len(asked.draws) * (asked.top + asked.vip_neurons)
    # K in float32 and float64 and its copy for the solves, and the products of the other images with the pool.
    n_others = n - asked.n_pool
    gram = (20.0 * asked.n_pool + 8.0 * n_others) * asked.n_pool if asked.scale == "pooled" else 0.0
    return plan(
        layers,
        n,
        memory_gb=memory_gb,
        reserved_bytes=int(kept + scores + gram),
        scratch=scratch,
        walks=_walks(asked),
        pass_seconds=second,
    )


def costs_of(asked: Probing, layers: list[Layer], work: Plan, second: float) -> dict[str, Cost]:
    """How each layer is solved."""
    groups: dict[str, Group] = {name: group for group in work.groups for name in group.layers}
    return {
        layer.name: cheapest(
            asked.systems(asked.all_draws, prod(layer.shape))[0],
            asked.scale,
            groups[layer.name],
            n_pool=asked.n_pool,
            n_images=len(asked.order),
            first=asked.first,
            features=prod(layer.shape),
            pass_seconds=second,
            weights=asked.units != ("layer",),
            device=asked.device,
            chunks={method: len(asked.chunks(prod(layer.shape), method)) for method in METHODS},
        )
        for layer in layers
    }


def _described(work: Plan, costs: dict[str, Cost], second: float) -> str:
    operations = sum(cost.operations for cost in costs.values())
    # Walks through a layer that is computed anew are passes, and counted with it.
    passes = sum(group.where != "recompute" for group in work.groups)
    seconds = sum(cost.seconds for cost in costs.values()) + passes * second
    ways = {"krylov": "blocked Krylov steps", "gram": "Gram matrices"}
    used = " and ".join(
        title for method, title in ways.items() if any(c.method == method for c in costs.values())
    )
    walks = max(cost.walks for cost in costs.values())
    return (
        f"{work}; {used}, up to {walks} walks a layer, {operations:.1e} operations; "
        f"entire layers take about {max(1, round(seconds / 60))} min"
    )


def pass_seconds(net: FaceNetwork, faces: FaceSet, order: np.ndarray, batch_size: int) -> float:
    """What a pass of all faces takes, from one batch."""
    some = order[:batch_size]
    synchronise(net.device)
    start = time.perf_counter()
    stream(net, faces, [], [], indices=some, batch_size=batch_size)
    synchronise(net.device)
    return (time.perf_counter() - start) * len(order) / len(some)


def _share(step: Callable[[int, int], None], before: int, layers: int) -> Callable[[int, int], None]:
    """Progress within a layer as progress over layers."""
    return lambda done, total: step(before + 1, layers) if done == total else None


def _walks(asked: Probing) -> int:
    """How often a layer is walked through at the most: for Krylov steps, for channels, for neurons."""
    steps = asked.n_components + 1 if asked.scale == "subset" else 1 + (asked.units != ("layer",))
    channels = asked.n_components + 1 if "channels" in asked.units else 0
    return steps + channels + ("neurons" in asked.units)


class _Parts:
    """Finished layers in a run folder, kept under what was asked."""

    def __init__(self, run: Run | None, net: FaceNetwork, asked: Probing) -> None:
        self._run = run
        self._lead = f"{net.card.name}@{asked.digest(net.digest())}" if run is not None else ""

    def _name(self, layer: Layer, table: str) -> str:
        return f"{self._lead}@{layer.depth}@{layer.name}@{table}"

    def read(self, layer: Layer) -> dict[str, pd.DataFrame] | None:
        """The tables of a finished layer; None where it is not finished."""
        listed = self._run.part(self._name(layer, "done")) if self._run is not None else None
        if self._run is None or listed is None:
            return None
        tables = {name: self._run.part(self._name(layer, name)) for name in listed.table}
        whole = {name: table for name, table in tables.items() if table is not None}
        return whole if len(whole) == len(tables) else None

    def write(self, layer: Layer, tables: dict[str, pd.DataFrame]) -> None:
        """Keep the tables of a layer; the list of them comes last, so that it is whole or not there."""
        if self._run is not None:
            for name, table in tables.items():
                self._run.write_part(self._name(layer, name), table)
            self._run.write_part(self._name(layer, "done"), pd.DataFrame({"table": list(tables)}))


def _joined(layers: list[dict[str, pd.DataFrame]], also: list[str]) -> Probes:
    def joined(name: str) -> pd.DataFrame:
        found = [tables[name] for tables in layers if name in tables and len(tables[name])]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame()

    return Probes(
        joined("probes"),
        joined("vip_neurons"),
        joined("vip_histogram"),
        {name: joined(name) for name in also},
    )


def checked_units(units: Sequence[str]) -> tuple[str, ...]:
    """Granularities in order, entire layers always among them."""
    given = (units,) if isinstance(units, str) else tuple(units)
    for unit in given:
        if unit not in UNITS:
            raise SpecError(f"There are no units '{unit}' to probe; {nearest(str(unit), UNITS)}")
    # Channels and neurons are chosen by the importance that the entire layer gives them.
    return tuple(unit for unit in UNITS if unit in given or unit == "layer")


def chosen_layers(net: FaceNetwork, layers: Sequence[str] | None) -> list[Layer]:
    """The layers asked for, each once."""
    if layers is None:
        return net.default_layers()
    names = [layers] if isinstance(layers, str) else list(dict.fromkeys(layers))
    if not names:
        raise SpecError("No layer was asked for; name one, or leave 'layers' out for the default ones.")
    return [net.layer(name) for name in names]


def check_numbers(
    n_components: int, top: int, scale: str, *, vip_neurons: int = 0, n_train: int = 4, n_valid: int = 2
) -> None:
    """Refuse numbers that no probe can be made of."""
    if n_components < 1 or n_train < 4 or n_valid < 2 or top < 1 or vip_neurons < 0:
        raise SpecError(
            "Probing needs n_components >= 1, n_train >= 4, n_valid >= 2, top >= 1 and vip_neurons >= 0; got "
            f"{n_components}, {n_train}, {n_valid}, {top} and {vip_neurons}."
        )
    if scale not in get_args(Scale):
        raise SpecError(f"The 'scale' of probes must be 'subset' or 'pooled'; got {scale!r}.")
