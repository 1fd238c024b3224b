from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError, LayerError, SpecError, nearest
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, Layer
from fusiform.probing._measures import PRIMARY, measure_answers
from fusiform.probing._sampling import Draw
from fusiform.runs import Progress

if TYPE_CHECKING:
    from fusiform.probing._frozen import ProbeSet

_RELATIVE_DEPTHS = (0.2, 0.5, 0.8)
_WHOLE_ROLES = ("block", "residual_sum")
_FEWEST = 8
_CONTROLS = ("random", "lowest")
_SUMMARY_KEYS = (
    "network",
    "setup",
    "masked_layer",
    "masked_depth",
    "selection",
    "share",
    "unit_kind",
    "metric",
)


@dataclass(frozen=True)
class _Mask:
    """A layer of which a share of the neurons is zeroed."""

    layer: Layer
    selection: str
    share: float

    def neurons(self, vip: Float[ndarray, " m"], rng: np.random.Generator) -> Bool[ndarray, " m"]:
        count = min(len(vip), max(_FEWEST, ceil(self.share * len(vip) - 1e-9)))
        if self.selection == "top":
            order = np.argsort(-vip, kind="stable")
        else:
            # Neurons that never vary (VIP 0) come last: to zero them would be no control.
            key = vip if self.selection == "lowest" else rng.random(len(vip))
            order = np.lexsort((key, vip == 0))
        zeroed = np.zeros(len(vip), dtype=bool)
        zeroed[order[:count]] = True
        return zeroed


def ablate(
    net: FaceNetwork,
    faces: FaceSet,
    probes: "ProbeSet",
    *,
    attributes: Sequence[str] | None = None,
    masked: Sequence[str] | None = None,
    later: Sequence[str] | None = None,
    shares: Sequence[float] = (0.01, 0.05, 0.1),
    controls: Sequence[str] = _CONTROLS,
    n_images: int = 256,
    seed: int = 0,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Zero the neurons of a layer that matter most to an attribute, and read the attribute from later layers.

    The probes are frozen. A probe fitted anew would tell whether the attribute can still be read from the
    later layer; a frozen one tells whether the later layer still represents it in the same way, which is the
    accuracy of "the classifiers of subsequent layers" in Diniz (2020), section 5.3. The thesis does not say
    which of the two it did.

    A later layer is one that comes later in forward order. One that does not depend on the masked layer (a
    parallel branch) keeps its answers exactly.

    Parameters
    ----------
    net : FaceNetwork
        The network on which the probes were fitted.
    faces : FaceSet
        The faces on which they were fitted.
    probes : ProbeSet
        From `fit_probes`.
    attributes : sequence of str, optional
        Which attributes; all that the probes know when not given.
    masked : sequence of str, optional
        Layers to mask, one at a time; the probed ones nearest to 0.2, 0.5 and 0.8 of the network's depth
        when not given (the thesis has depths 10, 25 and 40 of 50), none of them inside a residual block, for what
        it would lose the shortcut still carries.
    later : sequence of str, optional
        Layers to read; all probed layers after the masked one when not given.
    shares : sequence of float, default (0.01, 0.05, 0.1)
        Shares of a layer's neurons to zero, rounded up to whole neurons, eight at the least.
    controls : sequence of str, default ("random", "lowest")
        Besides the neurons of highest VIP, zero as many drawn at random, or as many of lowest VIP; neurons
        that never vary in training (VIP 0) are taken last.
    n_images : int, default 256
        Validation images an attribute, at the most, as many of each class.
    seed : int, default 0
        Of the images and the random neurons.
    batch_size : int, default 32
        Faces a forward pass. A batch holds copies of few images, each under another mask, so that all masks
        of all masked layers and the intact network share one pass. It costs
        ``attributes * n_images * (1 + masked * shares * selections)`` faces.
    progress : Progress, optional
        Told the number of faces, and the steps.

    Returns
    -------
    DataFrame
        A row a mask, later layer, attribute and unit kind: ``network, masked_layer, masked_depth,
        selection, share, layer, depth, attribute, kind, unit_kind, metric, intact, masked, drop, n, refitted``.
        Metric: balanced accuracy, or R² of continuous attributes, on the same images intact and masked.

    Raises
    ------
    LayerError
        If a layer was not probed; offers the nearest.
    DataError
        If the probes belong to another network or do not know an attribute, or if no probed layer comes after
        a masked one.
    SpecError
        If an option is out of range.

    See Also
    --------
    ablation_summary : table 5.4 of the thesis.

    Examples
    --------
    >>> import pandas as pd
    >>> from torch import nn
    >>> from fusiform.faces import Attribute
    >>> from fusiform.networks import NetworkCard
    >>> from fusiform.probing import fit_probes, sample
    >>> bright = np.arange(300) % 2 == 0
    >>> noise = torch.arange(300 * 192).reshape(300, 3, 8, 8) ** 2 % 51
    >>> faces = FaceSet.from_arrays(
    ...     (noise + 60 * torch.from_numpy(bright)[:, None, None, None]).to(torch.uint8),
    ...     pd.DataFrame({"bright": pd.array(bright, dtype="boolean")}), {"bright": Attribute(kind="binary")})
    >>> net = FaceNetwork(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), NetworkCard("two", (8, 8)))
    >>> probes = fit_probes(net, faces, ["0", "1"], sampling=sample(faces))
    >>> table = ablate(net, faces, probes, shares=[0.1], controls=["lowest"], n_images=8)
    >>> table[["masked_layer", "selection", "layer", "intact"]].drop_duplicates().values.tolist()
    [['0', 'top', '1', 1.0], ['0', 'lowest', '1', 1.0]]
    """
    check_network(net, probes)
    draws = _draws(probes, attributes)
    _check_options(shares, controls, n_images, batch_size)
    targets = _masked_layers(net, probes, masked)
    readers = [
        layer
        for layer in (probed_layers(probes, later) if later is not None else probes.layers)
        if layer.depth > min(target.depth for target in targets)
    ]
    for target in targets:
        if not any(layer.depth > target.depth for layer in readers):
            raise DataError(
                f"No layer that is read comes after the masked layer '{target.name}' (depth {target.depth}) of "
                f"'{net.card.name}'; mask an earlier layer, or probe later ones."
            )
    selections = ("top", *dict.fromkeys(controls))
    masks = [_Mask(layer, s, float(share)) for layer in targets for s in selections for share in shares]
    images = {
        draw.attribute: _images(draw, n_images, np.random.default_rng([seed, 4, number]))
        for number, draw in enumerate(draws)
    }
    total = sum(map(len, images.values())) * (1 + len(masks))
    progress = progress or Progress(quiet=True)
    progress.say(
        f"{net.card.name}: ablation of {len(draws)} attributes, {len(targets)} masked layers with "
        f"{len(masks) // len(targets)} masks each and once intact: {total} faces through the network."
    )
    step = progress.task(f"{net.card.name}: ablation")
    records: list[dict[str, object]] = []
    done = 0
    for number, draw in enumerate(draws):
        rng = np.random.default_rng([seed, 5, number])
        zeroed = [
            torch.from_numpy(mask.neurons(np.asarray(probes.vip(mask.layer.name, draw.attribute)), rng))
            for mask in masks
        ]
        reading = _Reading(net, faces, probes, draw, images[draw.attribute], masks, zeroed, readers)
        for passed in reading.run(batch_size):
            done += passed
            step(done, total)
        records.extend(reading.records())
    return pd.DataFrame(records)


def ablation_summary(ablation: pd.DataFrame) -> pd.DataFrame:
    """Mean drop by share of zeroed neurons, representation and masked layer: table 5.4 of Diniz (2020).

    Drops are averaged over later layers first, then over attributes.

    Parameters
    ----------
    ablation : DataFrame
        From `ablate`; a column ``setup`` is kept.

    Returns
    -------
    DataFrame
        ``network, masked_layer, masked_depth, selection, share, unit_kind, metric, drop, deviation``
        (standard deviation over attributes; NaN for one attribute), ``n_attributes, n_layers``.

    Examples
    --------
    >>> row = dict(network="n", masked_layer="a", masked_depth=1, selection="top", share=0.1, unit_kind="layer",
    ...            metric="balanced_accuracy")
    >>> ablation = pd.DataFrame([
    ...     {**row, "attribute": attribute, "layer": layer, "drop": drop}
    ...     for attribute, layer, drop in [("x", "b", 0.1), ("x", "c", 0.3), ("y", "b", 0.0), ("y", "c", 0.0)]])
    >>> ablation_summary(ablation)[["drop", "n_attributes", "n_layers"]].values.tolist()
    [[0.1, 2.0, 2.0]]
    """
    keys = [key for key in _SUMMARY_KEYS if key in ablation]
    by_attribute = ablation.groupby([*keys, "attribute"], sort=False).agg(
        drop=("drop", "mean"), n_layers=("layer", "nunique")
    )
    return (
        by_attribute.groupby(keys, sort=False)
        .agg(
            drop=("drop", "mean"),
            deviation=("drop", "std"),
            n_attributes=("drop", "size"),
            n_layers=("n_layers", "max"),
        )
        .reset_index()
    )


def check_network(net: FaceNetwork, probes: "ProbeSet") -> None:
    """Refuse probes that were fitted on another network."""
    if probes.network != net.card.name:
        raise DataError(
            f"The probes were fitted on '{probes.network}' and cannot read '{net.card.name}'; fit them on it first."
        )


def probed_layers(probes: "ProbeSet", names: Sequence[str]) -> list[Layer]:
    """The probed layers of these names, in forward order."""
    known = {layer.name: layer for layer in probes.layers}
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in known:
            raise LayerError(f"Layer '{name}' of '{probes.network}' was not probed; {nearest(name, known)}")
    if not wanted:
        raise LayerError(f"No layer of '{probes.network}' was asked for; {nearest('', known)}")
    return [layer for layer in probes.layers if layer.name in wanted]


class _Reading:
    """What later layers answer about one attribute, intact and under every mask."""

    def __init__(
        self,
        net: FaceNetwork,
        faces: FaceSet,
        probes: "ProbeSet",
        draw: Draw,
        images: Int[ndarray, " n"],
        masks: Sequence[_Mask],
        zeroed: Sequence[Tensor],
        readers: Sequence[Layer],
    ) -> None:
        self.net, self.faces, self.probes = net, faces, probes
        self.draw, self.images, self.masks = draw, images, masks
        self.readers = {layer.name: layer for layer in readers}
        # Variant 0 is the intact network, variant i the i-th mask.
        self.masked_depth = np.array([-1, *(mask.layer.depth for mask in masks)])
        self.zeroed = [
            z.reshape(mask.layer.shape).to(net.device) for z, mask in zip(zeroed, masks, strict=True)
        ]
        self.targets = dict.fromkeys(mask.layer.name for mask in masks)
        self.answers: dict[tuple[str, str], Float[ndarray, "v n ..."]] = {}
        self.image = self.variant = np.zeros(0, dtype=np.int64)

    def run(self, batch_size: int) -> Iterator[int]:
        """Pass all images under all masks; yields the number of faces after each pass."""
        variants = len(self.masked_depth)
        total = len(self.images) * variants
        for start in range(0, total, batch_size):
            self.image, self.variant = np.divmod(np.arange(start, min(total, start + batch_size)), variants)
            first, last = self.image[0], self.image[-1]
            x = self.net.prepare(self.faces.images(self.images[first : last + 1]))
            names = [*self.targets, *(name for name in self.readers if name not in self.targets)]
            with torch.no_grad(), self.net.tapped(names, self._receive):
                self.net(x[torch.from_numpy(self.image - first).to(x.device)])
            yield len(self.image)

    def _receive(self, name: str, tensor: Tensor) -> None:
        if name in self.readers:
            self._read(self.readers[name], tensor)
        if name in self.targets:
            for row, variant in enumerate(self.variant.tolist()):
                if variant and self.masks[variant - 1].layer.name == name:
                    tensor[row].masked_fill_(self.zeroed[variant - 1], 0)

    def _read(self, layer: Layer, tensor: Tensor) -> None:
        rows = np.flatnonzero(self.masked_depth[self.variant] < layer.depth)
        if not len(rows):
            return
        attribute = self.draw.attribute
        found = self.probes.answers(layer.name, tensor[torch.from_numpy(rows).to(tensor.device)], [attribute])
        for kind in self.probes.unit_kinds(layer.name):
            answer = np.asarray(found[kind, attribute])
            if (layer.name, kind) not in self.answers:
                shape = (len(self.masked_depth), len(self.images), *answer.shape[1:])
                self.answers[layer.name, kind] = np.zeros(shape)
            self.answers[layer.name, kind][self.variant[rows], self.image[rows]] = answer

    def records(self) -> Iterator[dict[str, object]]:
        """Rows of the table, once everything has been passed."""
        draw, everybody = replace(self.draw, valid=self.images), np.arange(len(self.draw.values))
        for (name, kind), answers in self.answers.items():
            layer = self.readers[name]
            read = np.flatnonzero(self.masked_depth < layer.depth)
            measured = measure_answers(draw, {"valid": answers[read]}, everybody, intervals=False)
            intact, *values = (measures[0].value for measures in measured)
            for number, value in zip(read[1:], values, strict=True):
                mask = self.masks[number - 1]
                yield {
                    "network": self.probes.network,
                    "masked_layer": mask.layer.name,
                    "masked_depth": mask.layer.depth,
                    "selection": mask.selection,
                    "share": mask.share,
                    "layer": layer.name,
                    "depth": layer.depth,
                    "attribute": self.draw.attribute,
                    "kind": self.draw.kind,
                    "unit_kind": kind,
                    "metric": PRIMARY[self.draw.kind],
                    "intact": intact,
                    "masked": value,
                    "drop": intact - value,
                    "n": len(self.images),
                    "refitted": False,
                }


def _images(draw: Draw, n_images: int, rng: np.random.Generator) -> Int[ndarray, " n"]:
    """Validation images drawn at random, as many of each class."""
    valid = rng.permutation(draw.valid)
    if not draw.classes:
        return np.sort(valid[:n_images])
    k = len(draw.classes)
    rows = [valid[draw.values[valid] == number] for number in range(k)]
    each = min(max(1, n_images // k), *map(len, rows))
    return np.sort(np.concatenate([r[:each] for r in rows]))


def _draws(probes: "ProbeSet", attributes: Sequence[str] | None) -> list[Draw]:
    known = {draw.attribute: draw for draw in probes.draws}
    names = list(known) if attributes is None else list(dict.fromkeys(attributes))
    for name in names:
        if name not in known:
            raise DataError(f"No probe knows the attribute '{name}'; {nearest(name, known)}")
    if not names:
        raise DataError("No attribute was asked for; name one, or leave 'attributes' out for all.")
    return [known[name] for name in names]


def _masked_layers(net: FaceNetwork, probes: "ProbeSet", masked: Sequence[str] | None) -> list[Layer]:
    if masked is not None:
        return probed_layers(probes, masked)
    # The last layer has none after it; what the inside of a block loses, its shortcut still carries.
    candidates = probes.layers[:-1]
    if not candidates:
        raise DataError(
            f"An ablation needs two probed layers or more, one to mask and one to read; got {len(probes.layers)}."
        )
    candidates = tuple(c for c in candidates if c.block is None or c.role in _WHOLE_ROLES) or candidates
    last = max(1, len(net.layers) - 1)
    nearest_to = (
        min(candidates, key=lambda c: abs(c.depth / last - relative)) for relative in _RELATIVE_DEPTHS
    )
    return list(dict.fromkeys(nearest_to))


def _check_options(shares: Sequence[float], controls: Sequence[str], n_images: int, batch_size: int) -> None:
    if not len(shares) or not all(0 < share <= 1 for share in shares):
        raise SpecError(
            f"The 'shares' of an ablation must be numbers above 0 and up to 1; got {list(shares)}."
        )
    for control in controls:
        if control not in _CONTROLS:
            raise SpecError(f"An ablation has no control '{control}'; {nearest(control, _CONTROLS)}")
    if n_images < 2 or batch_size < 1:
        raise SpecError(
            f"An ablation needs n_images >= 2 and batch_size >= 1; got {n_images} and {batch_size}."
        )
