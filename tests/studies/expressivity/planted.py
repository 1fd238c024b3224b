"""Tables of a study with planted values, and draws that spread around them in a known way."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

DRAWS = 200
RANDOM = " (random weights)"
MAIN = {"identity": "categorical", "Male": "categorical", "age": "ranks", "yaw": "ranks"}
VECTORS = ("pool", "fc")


def tables(
    over_layers: Mapping[str, Mapping[str, float]],
    over_training: Mapping[str, Mapping[int, float]] | None = None,
    *,
    spread: float = 0.01,
    objects: Mapping[str, float] | None = None,
    linear: Mapping[str, Mapping[str, float]] | None = None,
    estimators: Sequence[str] = ("mine", "gaussian"),
) -> dict[str, pd.DataFrame]:
    """Tables of a network "net".

    `over_layers`: attribute to layer to value; `over_training`: attribute to step to value, in the layer "fc". Every draw
    is its value plus a deviation of its own.
    """
    values, course, draws = [], [], []
    rng = np.random.default_rng(0)
    names = list(dict.fromkeys(layer for own in over_layers.values() for layer in own))

    def add(into, attribute, value, network, layer, depth, **more):
        for estimator in estimators:
            key = {
                "attribute": attribute,
                "encoding": MAIN.get(attribute, "categorical"),
                "estimator": estimator,
            }
            place = {"network": network, "layer": layer, "depth": depth, **more}
            for split, extra in (("held out", 0.0), ("train", 0.2)):
                numbers = {"split": split, "value": value + extra, "lower": value - 0.1, "upper": value + 0.1}
                channels = None if layer in VECTORS or depth < 0 else 4
                into.append(place | key | numbers | {"entropy": None, "channels": channels})
            drawn = value + spread * rng.normal(size=DRAWS)
            step = {"step": more.get("step"), "start": more.get("start")}
            draws.append(
                pd.DataFrame({"draw": np.arange(DRAWS), "value": drawn}).assign(
                    network=network, layer=layer, **key, **step
                )
            )

    for attribute, own in over_layers.items():
        for layer, value in own.items():
            add(values, attribute, value, "net", layer, names.index(layer) - (names[0] == "image"))
            if layer != "image":
                add(values, attribute, 0.05, "net" + RANDOM, layer, names.index(layer))
    for attribute, by_step in (over_training or {}).items():
        for step, value in by_step.items():
            add(
                course,
                attribute,
                value,
                "net",
                "fc",
                9,
                step=step,
                start="random" if step == 0 else "training",
            )
    for attribute, value in (objects or {}).items():
        add(course, attribute, value, "objects", "global_pool", 80, step=0, start="pretrained")
    found = {
        "expressivity": pd.DataFrame(values).astype({"channels": "Int64", "entropy": "Float64"}),
        "draws": pd.concat(draws, ignore_index=True).astype({"step": "Int64"}),
        "described": pd.DataFrame(
            {
                "attribute": list(over_layers),
                "kind": ["identity" if name == "identity" else "continuous" for name in over_layers],
                "entropy": [2.0 if name == "age" else 0.7 for name in over_layers],
                "association": [np.nan if name == "identity" else 0.5 for name in over_layers],
                "predicted": [name != "identity" for name in over_layers],
            }
        ),
    }
    if course:
        found["course"] = pd.DataFrame(course).astype({"channels": "Int64", "entropy": "Float64"})
    if linear:
        rows = [
            {
                "network": "net",
                "step": step,
                "layer": "fc" if step is not None else place,
                "attribute": name,
                "value": error,
            }
            for name, own in linear.items()
            for place, error in own.items()
            for step in [place if isinstance(place, int) else None]
        ]
        found["linear"] = pd.DataFrame(rows).astype({"step": "Int64"})
    return found


# What the paper reports, in its own words made numbers.
PAPER_LAYERS = {
    "identity": {"image": 0.2, "conv4": 0.3, "conv5": 0.5, "pool": 1.0, "fc": 2.6},
    "age": {"image": 1.0, "conv4": 1.2, "conv5": 1.3, "pool": 1.3, "fc": 1.2},
    "Male": {"image": 0.9, "conv4": 0.95, "conv5": 1.0, "pool": 0.95, "fc": 0.8},
    "yaw": {"image": 1.3, "conv4": 1.36, "conv5": 1.48, "pool": 1.23, "fc": 0.59},
}
PAPER_TRAINING = {
    "identity": {0: 0.9, 25: 1.5, 50: 1.9, 100: 2.2, 200: 2.6},
    "age": {0: 0.5, 25: 1.35, 50: 1.33, 100: 1.3, 200: 1.2},
    "Male": {0: 0.5, 25: 1.1, 50: 1.0, 100: 0.9, 200: 0.8},
    "yaw": {0: 0.5, 25: 1.4, 50: 1.1, 100: 0.8, 200: 0.59},
}
