"""Frozen probes simple enough to know their answers: linear readouts, with the interface of fitted ones."""

from dataclasses import dataclass, field

import numpy as np
import torch

from fusiform.networks import Layer
from fusiform.probing import Draw


@dataclass
class FakeProbes:
    """Each probe of a class draw is a logistic function of one direction, of a continuous draw a line."""

    network: str
    layers: tuple[Layer, ...]
    draws: tuple[Draw, ...]
    directions: dict[tuple[str, str], torch.Tensor]  # layer and attribute: (features,)
    offsets: dict[tuple[str, str], float]
    vips: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    kinds: tuple[str, ...] = ("layer",)
    zeros: list[tuple[str, list[int]]] = field(default_factory=list)  # what the probes saw zeroed

    def unit_kinds(self, layer_name):
        return self.kinds

    def vip(self, layer_name, attribute):
        key = layer_name, attribute
        return self.vips.get(key, self.directions[key].abs().numpy())

    def answers(self, layer_name, activations, attributes=None):
        flat = activations.flatten(1).double()
        self.zeros.append((layer_name, (flat == 0).sum(dim=1).tolist()))
        found = {}
        for draw in self.draws:
            value = flat @ self.directions[layer_name, draw.attribute].double()
            value = (value - self.offsets[layer_name, draw.attribute]).numpy()
            if draw.classes:
                positive = 1 / (1 + np.exp(-np.clip(value, -30, 30)))
                value = np.stack([1 - positive, positive], axis=1)
            for kind in self.kinds:
                found[kind, draw.attribute] = value
        return found


def fit_fakes(net, faces, names, draws, *, penalty=10.0, **options):
    """Ridge regression of labels on activations, the whole training draw at once."""
    directions, offsets = {}, {}
    with torch.no_grad():
        taken = net.activations(net.prepare(faces.images()), names)
    for name in names:
        X = taken[name].flatten(1).double().numpy()
        for draw in draws:
            A, y = X[draw.train], draw.values[draw.train]
            K = (A - A.mean(0)) @ (A - A.mean(0)).T
            w = (A - A.mean(0)).T @ np.linalg.solve(K + penalty * np.eye(len(K)), y - y.mean())
            scale = 20.0 if draw.classes else 1.0
            directions[name, draw.attribute] = torch.from_numpy(scale * w)
            offsets[name, draw.attribute] = scale * (A.mean(0) @ w - y.mean() + (0.5 if draw.classes else 0))
    layers = tuple(net.layer(name) for name in names)
    return FakeProbes(net.card.name, layers, tuple(draws), directions, offsets, **options)
