"""A made-up run of the layers study, with every table and with the truths that its analyses must find.

Two setups: "faces" with three initialisations, and "objects" (another pretraining) with one; each has a control with
random weights. Of each network 12 layers are probed, among them the branch and the sum of four residual blocks.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from fusiform.studies.layers._best import averages, best_units
from fusiform.studies.layers._depths import branching, gained
from fusiform.studies.layers._families import families
from fusiform.studies.layers._findings import findings
from fusiform.studies.layers._sawtooth import sawtooth
from fusiform.studies.layers._vip import vip_correlation

NETWORKS = {"faces-seed0": "faces", "faces-seed1": "faces", "faces-seed2": "faces", "objects": "objects"}
RANDOM = " (random weights)"
CONTROLS = {name + RANDOM: NETWORKS[name] + RANDOM for name in ("faces-seed0", "objects")}
BLOCKS = ("b1", "b2", "b3", "b4")
# Of the blocks' ends, two are probed at the sum itself and two at the block's output after it.
PROBED = (
    "stem.relu b1.norm2 b1.add b2.norm2 b2.add b3.norm2 b3 b4.norm2 b4 pool fc embedding".split()  # noqa: SIM905
)
BRANCHES = ("b1.norm2", "b2.norm2", "b3.norm2", "b4.norm2")
# First and plateau value of an entire layer, share of positives in the test images, how far the baseline is above.
ATTRIBUTES: dict[str, tuple[float, float, float, float]] = {
    "Male": (0.90, 0.97, 0.39, 0.005),
    "Eyeglasses": (0.86, 0.98, 0.06, 0.01),
    "Wearing_Hat": (0.88, 0.97, 0.04, 0.01),
    "Black_Hair": (0.84, 0.92, 0.27, 0.04),
    "Blond_Hair": (0.86, 0.94, 0.13, 0.03),
    "Brown_Hair": (0.70, 0.78, 0.18, 0.08),
    "Big_Nose": (0.64, 0.72, 0.21, 0.11),
    "Oval_Face": (0.60, 0.66, 0.30, 0.12),
    "Smiling": (0.92, 0.82, 0.50, 0.01),
    "Narrow_Eyes": (0.84, 0.70, 0.15, 0.10),
    "yaw": (0.90, 0.60, np.nan, 0.05),
}
NON_BIOMETRIC = ("Smiling", "Narrow_Eyes", "yaw")
DIP, DEEP_DIP = 0.012, 0.06
CHANNELS_BELOW, CHANNEL_BELOW, NEURON_BELOW = 0.02, 0.035, 0.055
R_VIP, R_MEAN_ACTIVATION = 0.93, 0.38
N_TEST, N_VALID = 2000, 1200


def kind_of(attribute: str) -> str:
    return "continuous" if attribute == "yaw" else "binary"


def truth(attribute: str, layer: str, setup: str) -> float:
    """What the entire layer knows of the attribute, without noise."""
    first, last, _, _ = ATTRIBUTES[attribute]
    index = PROBED.index(layer)
    along = index / (len(PROBED) - 1)
    if setup.endswith(RANDOM):
        value = first - 0.2 * along
    elif setup == "objects":
        value = first - 0.1 * along
    elif attribute in NON_BIOMETRIC:
        value = first + (last - first) * along
    else:
        value = first + (last - first) * (1 - np.exp(-index))
    if layer in BRANCHES and not setup.endswith(RANDOM):
        value -= DEEP_DIP if attribute in NON_BIOMETRIC else DIP
    return float(value)


def neurons_below(layer: str) -> float:
    """How far the eight best neurons lie below their layer: much in shallow layers, little in deep ones."""
    return 0.16 - 0.14 * min(1.0, PROBED.index(layer) / 7)


def layer_table(network: str) -> pd.DataFrame:
    """Every layer of the network, probed or not."""
    rows: list[tuple[str, str, str, str | None, int]] = [
        ("stem.conv", "Conv2d", "conv", None, 4096),
        ("stem.relu", "ReLU", "activation", None, 4096),
    ]
    for number, block in enumerate(BLOCKS):
        wide = 4096 >> number
        rows += [
            (f"{block}.conv1", "Conv2d", "conv", block, wide),
            (f"{block}.norm1", "BatchNorm2d", "norm", block, wide),
            (f"{block}.conv2", "Conv2d", "conv", block, wide),
            (f"{block}.norm2", "BatchNorm2d", "norm", block, wide),
            (f"{block}.add", "add", "residual_sum", block, wide),
            (f"{block}.relu", "ReLU", "activation", block, wide),
            (block, "Block", "block", block, wide),
        ]
    rows += [
        ("pool", "AdaptiveAvgPool2d", "pool", None, 64),
        ("fc", "Linear", "fc", None, 64),
        ("embedding", "BatchNorm1d", "embedding", None, 64),
    ]
    table = pd.DataFrame(rows, columns=["layer", "kind", "role", "block", "features"])
    table.insert(0, "network", network)
    table.insert(2, "depth", range(len(table)))
    table["shape"] = [f"64 x {n // 64} x 1" if n > 64 else "64" for n in table["features"]]
    table["probed"] = table["layer"].isin(PROBED)
    table["parameters_share"] = np.linspace(0.02, 1.0, len(table))
    order = "network layer depth kind role block shape features probed parameters_share".split()  # noqa: SIM905
    return table[order]


def _networks() -> dict[str, str]:
    return {**NETWORKS, **CONTROLS}


def _units(layer: str) -> Iterator[tuple[str, str, float, float]]:
    """Kind, name, VIP and distance below the entire layer of each unit."""
    yield "layer", "all", np.nan, 0.0
    yield "neurons", "top8", np.nan, neurons_below(layer)
    convolutional = layer not in ("fc", "embedding")
    if convolutional:
        yield "channels", "top8", np.nan, CHANNELS_BELOW
    for rank in range(8):
        if convolutional:
            yield "channel", str(3 + 5 * rank), 2.5 - 0.2 * rank, CHANNEL_BELOW + 0.01 * rank
        name = f"{3 + 5 * rank}[0,0]" if convolutional else str(3 + 5 * rank)
        below = neurons_below(layer) - 0.02 + NEURON_BELOW + 0.01 * rank
        yield "neuron", name, 3.5 - 0.2 * rank, below


def _probes(rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for network, setup in _networks().items():
        listed = layer_table(network).set_index("layer")
        last = len(listed) - 1
        for layer in PROBED:
            place = listed.loc[layer]
            for attribute, (_, _, share, _) in ATTRIBUTES.items():
                kind = kind_of(attribute)
                base = {
                    "network": network,
                    "setup": setup,
                    "control": setup.endswith(RANDOM),
                    "layer": layer,
                    "depth": int(place["depth"]),
                    "relative_depth": int(place["depth"]) / last,
                    "role": place["role"],
                    "block": place["block"],
                    "features": int(place["features"]),
                    "attribute": attribute,
                    "kind": kind,
                    "n_identities": 300,
                }
                for unit_kind, unit, vip, below in _units(layer):
                    value = truth(attribute, layer, setup) - below
                    rows += [
                        base | {"unit_kind": unit_kind, "unit": unit, "vip": vip} | measured
                        for measured in _measured(rng, kind, value, share)
                    ]
    order = [
        "network",
        "setup",
        "control",
        "layer",
        "depth",
        "relative_depth",
        "role",
        "block",
        "features",
        "unit_kind",
        "unit",
        "vip",
        "attribute",
        "kind",
        "split",
        "metric",
        "value",
        "lower",
        "upper",
        "chance",
        "n",
        "n_identities",
    ]
    return pd.DataFrame(rows)[order]


def _measured(rng: np.random.Generator, kind: str, value: float, share: float) -> list[dict[str, Any]]:
    valid, test = value + rng.normal(0, 0.002, 2)
    primary = "r2" if kind == "continuous" else "balanced_accuracy"
    chance = 0.0 if kind == "continuous" else 0.5
    half = 0.015

    def row(split: str, metric: str, value: float, chance: float, n: int) -> dict[str, Any]:
        value = float(min(value, 1.0)) if metric != "mae" else float(value)
        upper = value + half if metric == "mae" else float(np.minimum(1.0, value + half))
        return {
            "split": split,
            "metric": metric,
            "value": value,
            "lower": value - half,
            "upper": upper,
            "chance": chance,
            "n": n,
        }

    rows = [row("valid", primary, valid, chance, N_VALID), row("test", primary, test, chance, N_TEST)]
    if kind == "continuous":
        return [*rows, row("test", "mae", 20 * (1 - test), 12.0, N_TEST)]
    return [
        *rows,
        row("test", "accuracy", test - 0.01, max(share, 1 - share), N_TEST),
        row("test", "auc", min(1.0, test + 0.01), 0.5, N_TEST),
    ]


def _places(networks: dict[str, str]) -> Iterator[dict[str, Any]]:
    for network, setup in networks.items():
        listed = layer_table(network).set_index("layer")["depth"]
        for layer in PROBED:
            depth = int(listed[layer])
            yield {
                "network": network,
                "setup": setup,
                "layer": layer,
                "depth": depth,
                "relative_depth": depth / (len(listed) - 1),
            }


def _selectivity(rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for place in _places(NETWORKS):
        for attribute in ATTRIBUTES:
            chance = 0.0 if kind_of(attribute) == "continuous" else 0.5
            value = truth(attribute, place["layer"], place["setup"]) + rng.normal(0, 0.002)
            shuffled = chance + rng.normal(0, 0.01)
            rows.append(
                place
                | {
                    "attribute": attribute,
                    "kind": kind_of(attribute),
                    "metric": "r2" if chance == 0 else "balanced_accuracy",
                    "value": value,
                    "shuffled": shuffled,
                    "shuffled_lower": shuffled - 0.03,
                    "shuffled_upper": shuffled + 0.03,
                    "chance": chance,
                    "selectivity": value - shuffled,
                    "n": N_TEST,
                }
            )
    return pd.DataFrame(rows)


def _vip_histogram() -> pd.DataFrame:
    edges = np.geomspace(0.05, 6.4, 29)
    # Neurons above 1 halve in number with every 0.35 of VIP.
    density = np.where(edges > 1, np.exp2(-(edges - 1) / 0.35), 1.0)
    rows = []
    for place in _places(NETWORKS):
        del place["relative_depth"]
        for attribute in ATTRIBUTES:
            for low, high, d in zip(edges[:-1], edges[1:], density, strict=False):
                count = round(4000 * d * (high - low))
                rows.append(place | {"attribute": attribute, "low": low, "high": high, "count": count})
    return pd.DataFrame(rows)


def _vip_neurons(rng: np.random.Generator) -> pd.DataFrame:
    parts = []
    for place in _places(NETWORKS):
        del place["relative_depth"]
        for attribute in ATTRIBUTES:
            vip = rng.uniform(0, 4, 50)
            standard = (vip - 2) / vip.std()
            value = R_VIP * standard + np.sqrt(1 - R_VIP**2) * rng.normal(size=50)
            act = R_MEAN_ACTIVATION * value + np.sqrt(1 - R_MEAN_ACTIVATION**2) * rng.normal(size=50)
            binary = kind_of(attribute) == "binary"
            parts.append(
                pd.DataFrame(
                    {
                        **place,
                        "attribute": attribute,
                        "unit": [f"{i}[0,0]" for i in range(50)],
                        "vip": vip,
                        "mean_activation": act if binary else np.nan,
                        "value": 0.6 + 0.05 * value,
                        "n": N_VALID,
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def _baseline() -> pd.DataFrame:
    rows = []
    for attribute, (first, last, share, above) in ATTRIBUTES.items():
        metrics = ("r2", "mae") if kind_of(attribute) == "continuous" else ("balanced_accuracy", "accuracy")
        for metric in metrics:
            value = max(first, last) + above - (0.01 if metric == "accuracy" else 0.0)
            chance = {"r2": 0.0, "mae": 12.0, "balanced_accuracy": 0.5}.get(metric, max(share, 1 - share))
            rows.append(
                {
                    "attribute": attribute,
                    "kind": kind_of(attribute),
                    "metric": metric,
                    "value": value if metric != "mae" else 20 * (1 - value),
                    "lower": value - 0.01,
                    "upper": value + 0.01,
                    "chance": chance,
                    "n": N_TEST,
                    "network": "faces-seed0 (multitask)",
                }
            )
    return pd.DataFrame(rows)


def _ablation(rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    places = [p for p in _places(NETWORKS) if p["network"] in ("faces-seed0", "objects")]
    cost = {"layer": 0.35, "channels": 0.6, "neurons": 0.8}
    for masked in ("b1.add", "b3", "b4"):
        masked_place = next(p for p in places if p["layer"] == masked)
        for place in places:
            if place["depth"] <= masked_place["depth"]:
                continue
            for attribute in ATTRIBUTES:
                for share in (0.01, 0.05, 0.1):
                    for selection, factor in {"top": 1.0, "random": 0.3, "lowest": 0.02}.items():
                        for unit_kind in ("layer", "channels", "neurons"):
                            if unit_kind == "channels" and place["layer"] in ("fc", "embedding"):
                                continue
                            intact = truth(attribute, place["layer"], place["setup"])
                            drop = factor * cost[unit_kind] * share + rng.normal(0, 0.002)
                            rows.append(
                                {
                                    "network": place["network"],
                                    "setup": place["setup"],
                                    "masked_layer": masked,
                                    "masked_depth": masked_place["depth"],
                                    "selection": selection,
                                    "share": share,
                                    "layer": place["layer"],
                                    "depth": place["depth"],
                                    "attribute": attribute,
                                    "unit_kind": unit_kind,
                                    "intact": intact,
                                    "masked": intact - drop,
                                    "drop": drop,
                                    "n": 256,
                                    "refitted": False,
                                }
                            )
    return pd.DataFrame(rows)


def _confounded(rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for place in _places(NETWORKS):
        del place["relative_depth"]
        for attribute, confounder, treatment, strength in (
            ("Wearing_Hat", "Male", "balanced", 0.31),
            ("Big_Nose", "Male", "residualised", 0.37),
        ):
            raw = truth(attribute, place["layer"], place["setup"])
            balanced = treatment == "balanced"
            value = (raw - 0.04 if balanced else 0.1) + rng.normal(0, 0.004)
            rows.append(
                place
                | {
                    "attribute": attribute,
                    "kind": "binary" if balanced else "continuous",
                    "confounder": confounder,
                    "association": strength,
                    "treatment": treatment,
                    "metric": "balanced_accuracy" if balanced else "r2",
                    "raw": raw,
                    "value": value,
                    "lower": value - 0.03,
                    "upper": value + 0.03,
                    "chance": 0.5 if balanced else 0.0,
                    "n": 400,
                    "note": "" if balanced else "a cell has fewer than 20 images",
                }
            )
    return pd.DataFrame(rows)


def _consistency(rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    layers = [p for p in _places(NETWORKS) if p["network"] == "faces-seed0"]
    everywhere = {"network": "faces-seed0", "setup": "faces", "layer": "all", "depth": -1}
    for attack, best, success in (("pgd", 0.9, 0.97), ("none", 0.8, 0.01)):
        for place in [*layers, everywhere]:
            along = place.get("relative_depth", 0.4)
            auc = best - 0.5 * along * (attack == "pgd") + rng.normal(0, 0.005)
            rows.append(
                {k: place[k] for k in ("network", "setup", "layer", "depth")}
                | {
                    "attack": attack,
                    "auc": auc,
                    "lower": auc - 0.04,
                    "upper": auc + 0.04,
                    "n_genuine": 100,
                    "n_manipulated": 100,
                    "success": success,
                }
            )
    order = "network setup attack layer depth auc lower upper n_genuine n_manipulated success".split()  # noqa: SIM905
    return pd.DataFrame(rows)[order]


def _identification() -> pd.DataFrame:
    values = {"faces-seed0": 0.924, "faces-seed1": 0.926, "faces-seed2": 0.923, "objects": 0.41}
    rows = []
    for network, setup in _networks().items():
        value = values.get(network, 0.05) if network in NETWORKS else 0.05
        rows.append(
            {
                "network": network,
                "setup": setup,
                "control": network not in NETWORKS,
                "metric": "rank1",
                "value": value,
                "lower": value - 0.02,
                "upper": value + 0.02,
                "n": 1500,
                "n_identities": 300,
            }
        )
    return pd.DataFrame(rows)


def _geometry(rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for place in _places(NETWORKS):
        if place["network"] not in ("faces-seed0", "objects"):
            continue
        for attribute in ATTRIBUTES:
            aligned = truth(attribute, place["layer"], place["setup"])
            drop = 0.12 * (1 - place["relative_depth"]) + rng.normal(0, 0.004)
            rows.append(
                place
                | {
                    "attribute": attribute,
                    "kind": kind_of(attribute),
                    "metric": "r2" if kind_of(attribute) == "continuous" else "balanced_accuracy",
                    "aligned": aligned,
                    "transformed": aligned - drop,
                    "drop": drop,
                    "n": N_TEST,
                }
            )
    return pd.DataFrame(rows)


@lru_cache(maxsize=2)
def _measured_tables(seed: int) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    return {
        "layers": pd.concat([layer_table(name) for name in NETWORKS], ignore_index=True),
        "probes": _probes(rng),
        "selectivity": _selectivity(rng),
        "vip_histogram": _vip_histogram(),
        "vip_neurons": _vip_neurons(rng),
        "baseline": _baseline(),
        "ablation": _ablation(rng),
        "confounded": _confounded(rng),
        "consistency": _consistency(rng),
        "identification": _identification(),
        "geometry": _geometry(rng),
    }


def measured_tables(seed: int = 0) -> dict[str, pd.DataFrame]:
    """The tables that come from networks and faces; copies, so that a test may spoil them."""
    return {name: table.copy() for name, table in _measured_tables(seed).items()}


@lru_cache(maxsize=2)
def _planted_tables(seed: int) -> dict[str, pd.DataFrame]:
    tables = measured_tables(seed)
    probes = tables["probes"]
    tables["families"] = families()
    tables["best"] = best_units(probes, tables["baseline"])
    tables["averages"] = averages(tables["best"][~tables["best"]["control"]], tables["baseline"])
    tables["sawtooth"] = sawtooth(probes[~probes["control"]], tables["layers"])
    tables["gained"] = gained(probes)
    tables["branching"] = branching(probes, tables["layers"])
    tables["vip_correlation"] = vip_correlation(tables["vip_neurons"])
    tables["findings"] = findings(tables)
    return tables


def planted_tables(seed: int = 0) -> dict[str, pd.DataFrame]:
    """Every table of a run: those measured, and those that the analyses derive from them; copies."""
    return {name: table.copy() for name, table in _planted_tables(seed).items()}
