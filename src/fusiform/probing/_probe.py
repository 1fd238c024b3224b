from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from math import prod
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.activations import ActivationStore, plan, stream
from fusiform.errors import SpecError
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, Layer
from fusiform.probing._gram import pooled_gram, project
from fusiform.probing._measures import PRIMARY, measure
from fusiform.probing._sampling import Draw, Sampling, sample
from fusiform.runs import Progress, Run
from fusiform.statistics import dual_pls


def probe_layers(
    net: FaceNetwork,
    faces: FaceSet,
    attributes: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    *,
    n_train: int = 2048,
    n_valid: int = 6144,
    units: Sequence[str] = ("layer",),
    n_components: int = 8,
    seed: int = 0,
    memory_gb: float = 4.0,
    batch_size: int = 32,
    sampling: Sampling | None = None,
    progress: Progress | None = None,
    run: Run | None = None,
    scratch: Path | None = None,
) -> pd.DataFrame:
    """Measure how well each attribute can be read out of each layer.

    Every layer's activations, each feature scaled to unit variance over all training images, are projected
    by partial least squares onto 8 dimensions, for each attribute on its own balanced draw; QDA on them
    tells the classes apart, and the PLS regression itself predicts continuous attributes. All
    attributes share one Gram matrix a layer, and the faces pass through the network once.

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
    units : sequence of str, default ("layer",)
        Granularity; only entire layers are measured.
    n_components : int, default 8
        Dimensions of the projection.
    seed : int, default 0
        Of the split, the draws and the intervals.
    memory_gb : float, default 4
        Budget for activations and matrices in GB; what does not fit is spilled to scratch files.
    batch_size : int, default 32
        Faces a forward pass.
    sampling : Sampling, optional
        A split and draws made before, so that several networks see the same; made here when not given.
    progress : Progress, optional
        Where to show progress; silent when not given.
    run : Run, optional
        A run folder in which finished layers are kept, so that a second start continues.
    scratch : Path, optional
        Folder for scratch files; in the run folder, or else the system's temporary folder.

    Returns
    -------
    DataFrame
        A row a layer, attribute, split and metric: ``network, layer, depth, role, block, unit_kind, unit,
        attribute, kind, split, metric, value, lower, upper, chance, n, n_identities``. Intervals are 95%
        and resample identities.

    Raises
    ------
    LayerError
        If the network has no layer of a name.
    DataError
        If nothing can be probed; says why.
    NetworkError
        If a layer gives NaN or infinite activations.

    References
    ----------
    Diniz (2020), chapters 4 and 5.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> faces = open_faces("synthetic?n=600&seed=1&size=32")
    >>> table = probe_layers(load_network("demo"), faces, ["Male"], ["pool"])
    >>> sorted(table.metric.unique())
    ['accuracy', 'auc', 'balanced_accuracy']
    """
    if tuple(units) != ("layer",):
        raise SpecError(
            f"The 'units' of probe_layers must be ('layer',): only entire layers are measured; got {units!r}."
        )
    if n_components < 1 or n_train < 4 or n_valid < 2:
        raise SpecError(
            "probe_layers needs n_components >= 1, n_train >= 4 and n_valid >= 2; got "
            f"{n_components}, {n_train} and {n_valid}."
        )
    chosen = [net.layer(name) for name in layers] if layers is not None else net.default_layers()
    sampling = sampling or sample(faces, attributes, n_train=n_train, n_valid=n_valid, seed=seed)
    progress = progress or Progress(quiet=True)
    done = {layer.name: run.part(_part(net, layer)) if run is not None else None for layer in chosen}
    missing = [layer for layer in chosen if done[layer.name] is None]
    if len(missing) < len(chosen):
        progress.say(
            f"{net.card.name}: {len(chosen) - len(missing)} of {len(chosen)} layers were finished before"
        )
    probe = partial(_probe_layer, net, sampling, n_components=n_components, seed=seed)
    order = np.concatenate([sampling.pool, np.setdiff1d(sampling.others, sampling.pool)])
    n_pool = len(sampling.pool)
    scratch = scratch or (run.path / "parts" if run is not None else Path(gettempdir()))
    # The Gram matrix in float32 and float64, its copy for the solves, and the scores of all attributes.
    reserved = n_pool**2 * 20 + len(order) * len(sampling.draws) * n_components * 12
    work = plan(missing, len(order), memory_gb=memory_gb, reserved_bytes=reserved, scratch=scratch)
    if missing:
        progress.say(f"{net.card.name}: {work}")
    by_name = {layer.name: layer for layer in missing}
    for number, group in enumerate(work.groups if missing else (), start=1):
        members = [by_name[name] for name in group]
        label = f" (pass {number} of {len(work.groups)})" if len(work.groups) > 1 else ""
        with ActivationStore(
            members, len(order), block_columns=work.block_columns, scratch=scratch if work.on_disk else None
        ) as store:
            step = progress.task(f"{net.card.name}: faces through the network{label}")
            stream(net, faces, group, [store], indices=order, batch_size=batch_size, progress=step)
            step = progress.task(f"{net.card.name}: probing layers{label}")
            for count, layer in enumerate(members, start=1):
                table = probe(layer, partial(store.blocks, layer.name), order)
                store.drop(layer.name)
                done[layer.name] = table
                if run is not None:
                    run.write_part(_part(net, layer), table)
                step(count, len(members))
    return pd.concat([done[layer.name] for layer in chosen], ignore_index=True)


def best_layers(probes: pd.DataFrame) -> pd.DataFrame:
    """The layer in which each attribute is read out best: chosen on validation, scored on test.

    Parameters
    ----------
    probes : DataFrame
        From `probe_layers`, with a column ``control`` that marks the random-weights control; the control
        is compared at the layer that is best for it.

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
    primary = probes[probes.metric == probes.kind.map(PRIMARY)].reset_index(drop=True)
    keys = ["network", "control", "attribute", "layer"]
    valid = primary[primary.split == "valid"]
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


def _part(net: FaceNetwork, layer: Layer) -> str:
    return f"{net.card.name}@{layer.depth}@{layer.name}"


def _probe_layer(
    net: FaceNetwork,
    sampling: Sampling,
    layer: Layer,
    blocks: Callable,
    order: Int[ndarray, " n"],
    *,
    n_components: int,
    seed: int,
) -> pd.DataFrame:
    n_pool = len(sampling.pool)
    position = np.empty(len(sampling.groups), dtype=np.int64)
    position[order] = np.arange(len(order))
    rows = [position[draw.train] for draw in sampling.draws]
    fits = dual_pls(pooled_gram(blocks, n_pool), rows, [d.targets() for d in sampling.draws], n_components)
    widths = [fit.n_components for fit in fits]
    coefficients = torch.zeros(n_pool, max(1, sum(widths)))
    ends = np.cumsum(widths)
    for fit, end, width in zip(fits, ends, widths, strict=True):
        coefficients[fit.rows, end - width : end] = torch.from_numpy(fit.coefficients).float()
    products = project(blocks, n_pool, coefficients)
    records = []
    for draw, fit, end, width in zip(sampling.draws, fits, ends, widths, strict=True):
        scores = _on_faces(products[:, end - width : end], fit.offset, order, len(sampling.groups))
        for result in measure(draw, fit, scores, sampling.groups, seed=seed):
            records.append(_record(net, layer, draw) | asdict(result))
    return pd.DataFrame(records)


def _on_faces(products: Tensor, offset: ndarray, order: ndarray, n_faces: int) -> Float[ndarray, "n c"]:
    scores = np.zeros((n_faces, products.shape[1]))
    scores[order] = products.double().numpy() - offset
    return scores


def _record(net: FaceNetwork, layer: Layer, draw: Draw) -> dict[str, object]:
    return {
        "network": net.card.name,
        "layer": layer.name,
        "depth": layer.depth,
        "role": layer.role,
        "block": layer.block,
        "features": prod(layer.shape),
        "unit_kind": "layer",
        "unit": "all",
        "attribute": draw.attribute,
        "kind": draw.kind,
    }
