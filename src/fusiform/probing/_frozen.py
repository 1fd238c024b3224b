from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.activations import Activations, open_group
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, Layer
from fusiform.probing._layer import Probing, probing_of, solve_draws
from fusiform.probing._probe import (
    UNITS,
    check_numbers,
    checked_units,
    chosen_layers,
    costs_of,
    pass_seconds,
    planned,
)
from fusiform.probing._readout import Readout, fit_readout
from fusiform.probing._sampling import Draw, Sampling
from fusiform.probing._scales import Scale, Scales
from fusiform.probing._solve import Method, Solved, solve
from fusiform.probing._units import best_channels, best_neurons, channel_parts, gather, positions_of
from fusiform.runs import Progress


@dataclass(frozen=True, eq=False)
class _Frozen:
    """One probe: some features (all where None), less their level, times rotations, less an offset, within bounds."""

    features: Int[ndarray, " k"] | None
    rotations: Float[Tensor, "k c"] | None
    offset: Float[ndarray, " c"] | float
    bounds: tuple[Float[ndarray, " c"], Float[ndarray, " c"]] | None
    readout: Readout


@dataclass(frozen=True, eq=False)
class _FrozenLayer:
    level: Float[Tensor, " m"]
    vip: Float[ndarray, "m s"]
    rotations: Float[Tensor, "m s c"]
    probes: dict[tuple[str, str], _Frozen]


@dataclass(frozen=True, eq=False)
class ProbeSet:
    """Probes that were fitted once and answer for any activations: what `fit_probes` returns.

    Attributes
    ----------
    network : str
        Name of the network.
    layers : tuple of Layer
        Probed layers, in forward order.
    draws : tuple of Draw
        The attributes, with the images they were fitted on.
    """

    network: str
    layers: tuple[Layer, ...]
    draws: tuple[Draw, ...]
    _fitted: dict[str, _FrozenLayer]

    def unit_kinds(self, layer: str) -> tuple[str, ...]:
        """Granularities there are probes of: ``"layer"``, ``"channels"``, ``"neurons"``."""
        return tuple(dict.fromkeys(kind for kind, _ in self._fitted[layer].probes))

    def vip(self, layer: str, attribute: str) -> Float[ndarray, " m"]:
        """Importance of every neuron of a layer for an attribute."""
        names = [draw.attribute for draw in self.draws]
        own: ndarray = self._fitted[layer].vip[:, names.index(attribute)]
        return own

    def answers(
        self,
        layer: str,
        activations: Float[Tensor, "k ..."],
        attributes: Sequence[str] | None = None,
    ) -> dict[tuple[str, str], Float[ndarray, "k ..."]]:
        """What the probes of a layer say about some images.

        Parameters
        ----------
        layer : str
            The layer.
        activations : tensor, shape (k, ...)
            Its activations.
        attributes : sequence of str, optional
            Only of these; of all when not given.

        Returns
        -------
        dict of (unit kind, attribute) to array
            Probabilities of the classes, shape (k, n_classes), or predicted values, shape (k,).
        """
        fitted = self._fitted[layer]
        flat = activations.detach().reshape(len(activations), -1).to("cpu", torch.float32) - fitted.level
        names = [draw.attribute for draw in self.draws]
        wanted = names if attributes is None else list(attributes)
        rotations = fitted.rotations
        if attributes is not None:
            rotations = rotations[:, [names.index(name) for name in wanted]]
        whole = (flat @ rotations.flatten(1)).reshape(len(flat), *rotations.shape[1:])
        found = {}
        for (kind, attribute), probe in fitted.probes.items():
            if attribute not in wanted:
                continue
            if kind == "layer":
                width = len(np.atleast_1d(probe.offset))
                values = whole[:, wanted.index(attribute), :width]
            else:
                values = flat[:, torch.from_numpy(probe.features)]
                if probe.rotations is not None:
                    values = values @ probe.rotations
            scores = values.double().numpy() - probe.offset
            if probe.bounds is not None:
                scores = scores.clip(*probe.bounds)
            found[kind, attribute] = probe.readout.answers(scores[None])[0]
        return found


def fit_probes(
    net: FaceNetwork,
    faces: FaceSet,
    layers: Sequence[str] | None = None,
    *,
    sampling: Sampling,
    units: Sequence[str] = UNITS,
    top: int = 8,
    n_components: int = 8,
    scale: Scale = "subset",
    memory_gb: float = 4.0,
    batch_size: int = 32,
    seed: int = 0,
    progress: Progress | None = None,
    scratch: Path | None = None,
) -> ProbeSet:
    """Fit the probes of `probe_layers` and keep them, to put them to other inputs or altered activations.

    Their weights are held in memory: 4 bytes a feature, attribute and component.

    Parameters
    ----------
    net, faces, layers, units, top, n_components, scale, memory_gb, batch_size, seed, progress, scratch
        As for `probe_layers`; of channels and neurons only the best ones together are kept.
    sampling : Sampling
        Which images train which probe.

    Returns
    -------
    ProbeSet
        The probes.

    Raises
    ------
    FusiformError
        As `probe_layers` does.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> from fusiform.probing import sample
    >>> net, faces = load_network("demo"), open_faces("synthetic?n=600&seed=1&size=32")
    >>> probes = fit_probes(net, faces, ["pool"], sampling=sample(faces, ["Male"]))
    >>> x = net.prepare(faces.images([0, 1]))
    >>> probes.answers("pool", net.activations(x, ["pool"])["pool"])["layer", "Male"].shape
    (2, 2)
    """
    progress = progress or Progress(quiet=True)
    check_numbers(n_components, top, scale)
    chosen = chosen_layers(net, layers)
    asked = probing_of(
        net,
        sampling,
        units=checked_units(units),
        top=top,
        n_components=n_components,
        scale=scale,
        seed=seed,
        memory_gb=memory_gb,
    )
    # Only training images are needed.
    asked = replace(asked, order=asked.order[: asked.n_pool])
    scratch = scratch or Path(gettempdir())
    second = pass_seconds(net, faces, asked.order, batch_size)
    work = planned(asked, chosen, second, memory_gb, scratch)
    costs = costs_of(asked, chosen, work, second)
    fitted = {}
    for group in work.groups:
        opened = open_group(
            net,
            faces,
            group,
            work,
            asked.order,
            batch_size=batch_size,
            scratch=scratch,
            progress=progress.task(f"{net.card.name}: faces through the network"),
        )
        step = progress.task(f"{net.card.name}: fitting probes")
        with opened as (of, drop):
            for count, name in enumerate(group.layers, start=1):
                fitted[name] = _fit_layer(asked, net.layer(name), of(name), costs[name].method)
                drop(name)
                step(count, len(group.layers))
    ordered = tuple(sorted(chosen, key=lambda layer: layer.depth))
    return ProbeSet(net.card.name, ordered, sampling.draws, fitted)


def _fit_layer(asked: Probing, layer: Layer, activations: Activations, method: Method) -> _FrozenLayer:
    probes: dict[tuple[str, str], _Frozen] = {}
    rotations, vips = [], []
    for chunk in asked.chunks(prod(layer.shape), method):
        draws = [draw for _, draw in chunk]
        solved, scales = solve_draws(
            asked, layer, activations, draws, method, important=len(draws), rotations=True
        )
        vips.append(solved.vip.numpy())
        (own,) = solved.rotations
        rotations.append(torch.nn.functional.pad(own, (0, asked.n_components - own.shape[2])))
        for number, draw in enumerate(draws):
            fit = solved.fits[number]
            readout = fit_readout(draw, fit.scores[None])
            probes["layer", draw.attribute] = _Frozen(
                None, None, solved.offset(number), solved.bounds(number), readout
            )
        if "channels" in asked.units and positions_of(layer.shape) > 1:
            probes |= _channel_probes(asked, layer, activations, draws, solved, scales)
        if "neurons" in asked.units:
            probes |= _neuron_probes(asked, activations, draws, solved)
    order = {"layer": 0, "channels": 1, "neurons": 2}
    return _FrozenLayer(
        activations.level.clone(),
        np.concatenate(vips, axis=1),
        torch.cat(rotations, dim=1),
        dict(sorted(probes.items(), key=lambda item: order[item[0][0]])),
    )


def _channel_probes(
    asked: Probing,
    layer: Layer,
    activations: Activations,
    draws: Sequence[Draw],
    solved: Solved,
    scales: Scales,
) -> dict[tuple[str, str], _Frozen]:
    size = positions_of(layer.shape)
    seen = [np.sort(best_channels(solved.vip[:, n], layer.shape, asked.top)[0]) for n in range(len(draws))]
    entire, _ = asked.systems(draws, prod(layer.shape))
    systems = [
        replace(system, n_components=min(system.n_components, len(own) * size))
        for system, own in zip(entire, seen, strict=True)
    ]
    parts = channel_parts(seen, layer.shape)
    inner = solve(
        activations,
        systems,
        scales,
        len(asked.order),
        first=len(asked.order),
        parts=parts,
        rotations=True,
    )
    probes = {}
    for n, draw in enumerate(draws):
        own = [
            (part.features, kept[:, list(part.systems).index(n)])
            for part, kept in zip(parts, inner.rotations, strict=True)
            if n in part.systems
        ]
        features = np.concatenate([np.arange(f.start, f.stop) for f, _ in own])
        width = inner.fits[n].n_components
        probes["channels", draw.attribute] = _Frozen(
            features,
            torch.cat([kept for _, kept in own])[:, :width],
            inner.offset(n),
            inner.bounds(n),
            fit_readout(draw, inner.fits[n].scores[None]),
        )
    return probes


def _neuron_probes(
    asked: Probing, activations: Activations, draws: Sequence[Draw], solved: Solved
) -> dict[tuple[str, str], _Frozen]:
    best = [np.sort(best_neurons(solved.vip[:, n], asked.top)) for n in range(len(draws))]
    features = np.unique(np.concatenate(best))
    values = gather(activations, features).astype(np.float64)
    values -= activations.level[torch.from_numpy(features)].double().numpy()
    probes = {}
    for n, draw in enumerate(draws):
        own = values[asked.positions(draw.train)][:, np.searchsorted(features, best[n])]
        probes["neurons", draw.attribute] = _Frozen(best[n], None, 0.0, None, fit_readout(draw, own[None]))
    return probes
