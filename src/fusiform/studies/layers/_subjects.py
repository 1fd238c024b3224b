"""The networks of a study: names, setups, twins with random weights, and the layers to look at in each."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fusiform.errors import LayerError, SpecError, nearest
from fusiform.networks import FaceNetwork, Layer, load_network
from fusiform.studies._shared import layer_table, named_layers
from fusiform.studies.layers._rows import RANDOM_WEIGHTS
from fusiform.studies.layers._sawtooth import residual_ends

# A setup's label comes before an "=" that no part of a specification precedes.
_LABELLED = re.compile(r"([^?:=/\\]+)=(.+)", re.DOTALL)

Asked = str | FaceNetwork
Networks = Asked | Sequence[Asked] | Mapping[str, Asked | Sequence[Asked]]


@dataclass(frozen=True)
class Subject:
    """One network of the study; `first` marks the first of all, `leads` the first of its setup."""

    net: FaceNetwork
    setup: str
    first: bool = False
    leads: bool = False
    control: bool = False

    @property
    def name(self) -> str:
        """The name of the network, unique in the study."""
        return self.net.card.name

    def stamped(self, table: pd.DataFrame, *, control: bool = False) -> pd.DataFrame:
        """Put the setup (and whether this is a control) beside the network's name."""
        if not len(table):
            return table
        table = table.drop(columns=["setup", "control"], errors="ignore")
        table.insert(1, "setup", self.setup)
        if control:
            table.insert(2, "control", self.control)
        return table


def asked_networks(networks: Networks) -> list[tuple[str | None, Asked]]:
    """Read what was given as networks into pairs of setup (None where not named) and network."""
    if isinstance(networks, Mapping):
        return [(str(setup), each) for setup, some in networks.items() for each in _several(some)]
    return [_labelled(each) if isinstance(each, str) else (None, each) for each in _several(networks)]


def load_subjects(asked: list[tuple[str | None, Asked]]) -> list[Subject]:
    """Load networks and give each a name of its own.

    Raises
    ------
    SpecError
        If one network is given twice, or one setup twice under another name.
    """
    loaded = [(setup, net if isinstance(net, FaceNetwork) else load_network(net)) for setup, net in asked]
    digests = [(net.digest(), net.card.name) for _, net in loaded]
    for number, digest in enumerate(digests):
        if digest in digests[:number]:
            raise SpecError(
                f"The network '{digest[1]}' is given twice, with the same weights. Name each network once; "
                "initialisations of one setup have weights of their own."
            )
    names = Counter(net.card.name for _, net in loaded)
    seen: Counter[str] = Counter()
    leading: set[str] = set()
    subjects: list[Subject] = []
    for setup, net in loaded:
        name = net.card.name
        if names[name] > 1:
            seen[name] += 1
            net = FaceNetwork(net.module, net.card.replace(name=f"{name} #{seen[name]}"))
        setup = net.card.name if setup is None else setup
        subjects.append(Subject(net, setup, first=not subjects, leads=setup not in leading))
        leading.add(setup)
    return subjects


def random_twin(subject: Subject, seed: int) -> Subject:
    """Give the same architecture with random weights."""
    return Subject(subject.net.randomized(seed=seed), subject.setup + RANDOM_WEIGHTS, control=True)


def chosen_layers(net: FaceNetwork, names: tuple[str, ...] | None, *, most: int | None = None) -> list[str]:
    """Give the names of the layers to probe, in forward order.

    By default those that a network's own default names, before them the output of the stem, and in residual blocks the
    branch's last layer before the sum, so that both ends of the sawtooth (Diniz 2020, figure 5.8) are there; at most
    `most` of them, evenly spread.
    Of named layers those that this network has: several networks need not share them.
    """
    if names not in (None, ("default",)):
        known = {layer.name for layer in net.layers}
        own = names if names == ("all",) else tuple(name for name in names or () if name in known)
        return _in_order(named_layers(net, own))
    branches = residual_ends(layer_table(net)).branch_layer
    chosen = _in_order([*_stem(net.layers), *net.default_layers(), *map(net.layer, branches)])
    return chosen if most is None else evenly(chosen, most)


def _stem(layers: Sequence[Layer]) -> list[Layer]:
    """The first activation after the first convolution; that convolution, where a block comes before one."""
    convs = [layer for layer in layers if layer.role == "conv"]
    if not convs:
        return []
    for layer in layers[layers.index(convs[0]) + 1 :]:
        if layer.block != convs[0].block:
            break
        if layer.role in ("activation", "max_feature_map"):
            return [layer]
    return convs[:1]


def evenly(names: Sequence[str], most: int) -> list[str]:
    """Take at most so many names, evenly spread, the first and the last among them.

    Examples
    --------
    >>> evenly("abcdefg", 3)
    ['a', 'd', 'g']
    """
    if len(names) <= most:
        return list(names)
    return [names[k] for k in np.linspace(0, len(names) - 1, most).round().astype(int)]


def _in_order(layers: Iterable[Layer]) -> list[str]:
    return list(dict.fromkeys(layer.name for layer in sorted(layers, key=lambda layer: layer.depth)))


def check_layers(subjects: list[Subject], names: tuple[str, ...] | None) -> None:
    """Raise where a named layer is in no network, or a network has none of those named."""
    if names in (None, ("default",), ("all",)):
        return
    of = {subject.name: [layer.name for layer in subject.net.layers] for subject in subjects}
    for name in names or ():
        if not any(name in known for known in of.values()):
            who = " and ".join(f"'{network}'" for network in of)
            every = dict.fromkeys(layer for known in of.values() for layer in known)
            raise LayerError(f"{who} has no layer '{name}'; {nearest(name, every)}")
    for network, known in of.items():
        if not set(known) & set(names or ()):
            raise LayerError(
                f"'{network}' has none of the layers that were named; name some of its own too: "
                f"{nearest((names or ('',))[0], known)}"
            )


def subject_layers(subject: Subject, probed: Sequence[str]) -> pd.DataFrame:
    """List the layers of a network, with those probed and the share of parameters up to each."""
    table = layer_table(subject.net)
    table["probed"] = table.layer.isin(set(probed))
    depth_of = dict(zip(table.layer, table.depth, strict=True))
    counts = np.zeros(len(table))
    for name, parameter in subject.net.module.named_parameters():
        path = name.rpartition(".")[0]
        while path and path not in depth_of:
            path = path.rpartition(".")[0]
        counts[depth_of.get(path, 0)] += parameter.numel()
    table["parameters_share"] = counts.cumsum() / max(1.0, counts.sum())
    return subject.stamped(table)


def _several(given: Asked | Sequence[Asked] | Mapping) -> list[Asked]:
    many = [given] if isinstance(given, str | FaceNetwork) else list(given)
    if not many:
        raise SpecError("No network was given; name one or more.")
    for each in many:
        if not isinstance(each, str | FaceNetwork):
            raise SpecError(
                f"A network is given by its specification or as a FaceNetwork; got {type(each).__name__}."
            )
    return many


def _labelled(text: str) -> tuple[str | None, str]:
    match = _LABELLED.fullmatch(text.strip())
    return (match[1].strip(), match[2].strip()) if match else (None, text)
