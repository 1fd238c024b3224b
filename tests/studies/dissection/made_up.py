"""A dissection that finds what was planted: tables and arrays as `fusiform.dissection.dissect` gives them."""

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
import pandas as pd

GLOBAL = "global"


def table_of_concepts() -> SimpleNamespace:
    """Four local concepts in two regions, and two global categories."""

    def concept(name, kind, region):
        return SimpleNamespace(name=name, kind=kind, region=region)

    local = (
        concept("left_eye", "part", "Eye"),
        concept("Eyeglasses", "attribute", "Eye"),
        concept("nose", "part", "Nose"),
        concept("AU_9", "action unit", "Nose"),
    )
    categories = (
        SimpleNamespace(name="Gender", groups=("Male", "Female"), threshold=0.55),
        SimpleNamespace(name="Age", groups=("young", "old"), threshold=0.55),
    )
    regions = {"Eye": ("left_eye", "Eyeglasses"), "Nose": ("nose", "AU_9")}
    return SimpleNamespace(local=local, categories=categories, regions=regions)


def pairs_of(
    planted: Mapping[int, Mapping[str, float]],
    concepts,
    *,
    network="net",
    layer="conv",
    depth=3,
    control=False,
) -> pd.DataFrame:
    """Pairs of units with concepts: unit to concept to IoU (of a global group: probability)."""
    local = {c.name: (c.kind, c.region, "local") for c in concepts.local}
    local |= {g: (GLOBAL, c.name, GLOBAL) for c in concepts.categories for g in c.groups}
    rows = []
    for unit, found in planted.items():
        best = max((c for c in found if local[c][2] == "local"), key=found.get, default=None)
        for concept, value in found.items():
            kind, region, scope = local[concept]
            iou, probability = (np.nan, value) if scope == GLOBAL else (value, 0.9 - value)
            about = [
                unit,
                "hierarchical",
                scope,
                concept,
                kind,
                region,
                iou,
                probability,
                0.5,
                0.001,
                0.001,
                10,
            ]
            rows.append([network, control, layer, depth, "unit", *about])
            if concept == best:
                about[1] = "network"
                rows.append([network, control, layer, depth, "unit", *about])
    columns = ["network", "control", "layer", "depth", "unit_kind", "unit", "method", "scope", "concept"]
    columns += ["concept_kind", "region", "iou", "probability", "threshold", "p_value", "q_value", "n"]
    return pd.DataFrame(rows, columns=columns)


def units_of(
    pairs: pd.DataFrame, n: int, *, network="net", layer="conv", depth=3, control=False
) -> pd.DataFrame:
    """The table of units that belongs to pairs."""
    columns = {
        "threshold": 0.5, "fires": True, "region": "", "best_concept": "", "best_iou": 0.0, "local": 0, "global_": 0,
        "concepts": "",
    }  # fmt: skip
    place = {"network": network, "control": control, "layer": layer, "depth": depth}
    units = pd.DataFrame(place | {"unit": np.arange(n)} | columns)
    own = pairs[pairs["method"] == "hierarchical"]
    for unit, rows in (own if len(own) else pairs).groupby("unit"):
        local = rows[rows["scope"] == "local"].sort_values("iou", ascending=False)
        units.loc[unit, ["local", "global_", "concepts"]] = [
            len(local),
            len(rows) - len(local),
            "; ".join(rows["concept"]),
        ]
        if len(local):
            units.loc[unit, ["region", "best_concept", "best_iou"]] = local.iloc[0][
                ["region", "concept", "iou"]
            ].tolist()
    return units


def coverage_of(pairs: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """The coverage that belongs to pairs."""
    place = units[["network", "control", "layer", "depth"]].iloc[0].to_dict()
    rows = []
    for method in ("hierarchical", "network"):
        for scope in ("local", GLOBAL, "either"):
            own = pairs[(pairs["method"] == method) & ((pairs["scope"] == scope) | (scope == "either"))]
            found = own["unit"].nunique()
            about = {"method": method, "scope": scope, "interpretable": found, "units": len(units)}
            rows.append(place | about | {"share": found / len(units)})
    return pd.DataFrame(rows)


def arrays_of(dictionary, pairs: pd.DataFrame, n_units: int, *, top=3, seed=0) -> SimpleNamespace:
    """Arrays of a layer, random but for the probabilities of the pairs."""
    rng = np.random.default_rng(seed)
    n, concepts = len(dictionary.faces), [c.name for c in dictionary.concepts.local]
    probabilities = np.full((n_units, len(concepts)), 0.1)
    for row in pairs[(pairs["method"] == "hierarchical") & (pairs["scope"] == "local")].itertuples():
        probabilities[row.unit, concepts.index(row.concept)] = row.probability
    maxima = rng.random((n, n_units)).astype(np.float32)
    by_iou = rng.integers(0, n, (n_units, len(concepts), top))
    return SimpleNamespace(
        maxima=maxima,
        probabilities_local=probabilities,
        top_images=np.argsort(-maxima, axis=0)[:top].T,
        best_by_iou=by_iou,
        best_iou_of_image=np.sort(rng.random(by_iou.shape), axis=2)[..., ::-1],
        where=rng.random((n_units, 2, 3)),
    )


def dissect(net, dictionary, layers, method="hierarchical", *, top=5, seed=0, progress=None, **options):
    """A stand-in: unit 0 detects the first local concept, 1 another of its region too and a group; random weights nothing."""
    first = dictionary.concepts.local[0]
    other = next(c for c in dictionary.concepts.local[1:] if c.region == first.region)
    group = dictionary.concepts.categories[0].groups[0]
    planted = {0: {first.name: 0.3}, 1: {first.name: 0.2, other.name: 0.1, group: 0.7}}
    tables, found = {"table": [], "units": [], "coverage": []}, {}
    for name in layers:
        layer = net.layer(name)
        place = {"network": net.card.name, "layer": name, "depth": layer.depth}
        pairs = pairs_of({} if "random" in net.card.name else planted, dictionary.concepts, **place)
        pairs = pairs[pairs["method"].isin(method)]
        units = units_of(pairs, layer.shape[0], **place)
        found[name] = arrays_of(dictionary, pairs, layer.shape[0], top=top, seed=seed)
        tables["coverage"].append(coverage_of(pairs, units))
        tables["table"].append(pairs)
        tables["units"].append(units)
    joined = {key: pd.concat(each, ignore_index=True).drop(columns="control") for key, each in tables.items()}
    return SimpleNamespace(**joined, layers=found, images=len(dictionary.faces), quantile=0.005, seconds={})
