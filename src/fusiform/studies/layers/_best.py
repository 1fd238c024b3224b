from typing import Any

import numpy as np
import pandas as pd

from fusiform.faces.synthetic import ACTION_UNITS, ATTRIBUTES
from fusiform.studies.layers._rows import in_order, labelled, require, validation_rows

UNIT_KINDS = ("layer", "channel", "neuron")
CELEBA = frozenset(
    {n for n, a in ATTRIBUTES.items() if a.kind == "binary" and n not in ACTION_UNITS} | {"Attractive"}
)

# Table 5.3: methods supervised for attributes, and the thesis' own measurements.
PUBLISHED = {
    "LNets+ANets (Liu et al. 2015)": 0.870,
    "MOON (Rudd et al. 2016)": 0.909,
    "AttCNN (Hand et al. 2018)": 0.910,
    "Multitask ResNet-50 (Diniz 2020)": 0.902,
    "ResNet-50, layer (Diniz 2020)": 0.831,
    "MobileNetV2, layer (Diniz 2020)": 0.839,
    "VGG16, layer (Diniz 2020)": 0.839,
    "ResNet-50, channel (Diniz 2020)": 0.795,
    "MobileNetV2, channel (Diniz 2020)": 0.804,
    "VGG16, channel (Diniz 2020)": 0.786,
    "ResNet-50, neuron (Diniz 2020)": 0.774,
    "MobileNetV2, neuron (Diniz 2020)": 0.776,
    "VGG16, neuron (Diniz 2020)": 0.772,
}
_WHO = ["network", "setup", "control", "attribute", "unit_kind"]
_BEST = [
    "network",
    "setup",
    "control",
    "attribute",
    "kind",
    "unit_kind",
    "layer",
    "depth",
    "unit",
    "metric",
    "value",
    "lower",
    "upper",
    "balanced",
    "chance",
    "n",
    "baseline",
    "relative",
    "majority",
]


def best_units(probes: pd.DataFrame, baseline: pd.DataFrame | None = None) -> pd.DataFrame:
    """The best single layer, channel and neuron for each attribute (table 5.2).

    The unit is chosen on validation by balanced accuracy (R² for continuous attributes), the shallower of two
    equals, and scored on test by plain accuracy (R²).

    Parameters
    ----------
    probes : DataFrame
        The table of probes.
    baseline : DataFrame, optional
        The table of the supervised multitask baseline, on the same test images.

    Returns
    -------
    DataFrame
        ``network, setup, control, attribute, kind, unit_kind, layer, depth, unit, metric, value, lower,
        upper, balanced, chance, n, baseline, relative, majority``. `unit_kind` is ``"layer"``, ``"channel"``
        or ``"neuron"``; `relative` is the value as a share of the baseline's, `majority` the share of the
        largest class in test. Sorted within network and unit kind by `relative`, or by value where there is
        no baseline.

    Raises
    ------
    DataError
        If a table lacks columns.

    References
    ----------
    Diniz (2020), table 5.2.

    Examples
    --------
    >>> row = dict(network="n", attribute="Male", kind="binary", unit_kind="layer", unit="all", chance=0.5, n=9)
    >>> valid, test = {"split": "valid", "metric": "balanced_accuracy"}, {"split": "test", "metric": "accuracy"}
    >>> probes = pd.DataFrame([row | split | {"layer": layer, "depth": d, "value": v}
    ...                        for d, layer, split, v in [(0, "a", valid, 0.9), (0, "a", test, 0.7),
    ...                                                   (1, "b", valid, 0.8), (1, "b", test, 0.8)]])
    >>> best_units(probes)[["layer", "value"]].values.tolist()
    [['a', 0.7]]
    """
    valid = validation_rows(probes, UNIT_KINDS)
    valid["unit"] = valid["unit"].astype(str) if "unit" in valid else "all"
    chosen = valid.loc[valid.groupby(_WHO, sort=False)["value"].idxmax(), [*_WHO, "layer", "unit"]]
    test = labelled(probes[probes["split"] == "test"])
    absences: dict[str, Any] = {"unit": "all", "unit_kind": "layer", "lower": np.nan, "upper": np.nan}
    for column, absent in absences.items():
        if column not in test:
            test[column] = absent
    test = chosen.merge(test.astype({"unit": str}), on=[*_WHO, "layer", "unit"])
    require(test, ["kind", "chance", "n"], "probes")
    judged = test["metric"] == np.where(test["kind"] == "continuous", "r2", "accuracy")
    best = test[judged].reset_index(drop=True)
    balanced = test[test["metric"] == "balanced_accuracy"].set_index(_WHO)["value"]
    best["balanced"] = balanced.reindex(pd.MultiIndex.from_frame(best[_WHO])).to_numpy(dtype=float)
    best["majority"] = best["chance"].where(best["kind"] != "continuous")
    best["baseline"] = _of_baseline(best, baseline)
    # A share of a value that is not above zero says nothing.
    best["relative"] = best["value"] / best["baseline"].where(best["baseline"] > 0)
    rank = best["relative"].fillna(-np.inf) if best["baseline"].notna().any() else best["value"]
    best = best.assign(
        _network=in_order(best),
        _kind=best["unit_kind"].map(UNIT_KINDS.index),
        _rank=-rank,
        _value=-best["value"],
    )
    best = best.sort_values(["_network", "_kind", "_rank", "_value"], kind="stable")
    return best[_BEST].reset_index(drop=True)


def averages(best: pd.DataFrame, baseline: pd.DataFrame | None = None) -> pd.DataFrame:
    """Average accuracy of each representation, next to published ones (table 5.3).

    Parameters
    ----------
    best : DataFrame
        From `best_units`.
    baseline : DataFrame, optional
        The table of the supervised multitask baseline.

    Returns
    -------
    DataFrame
        ``method, setup, unit_kind, value, sd, n_networks, n_attributes, source, comparable, note``. Values
        are plain accuracies, averaged over attributes with classes; `sd` is over the networks of a setup.
        `source` is ``"measured"`` or ``"published"``; published rows are comparable only where CelebA's 40
        attributes were measured, and `note` says so.

    References
    ----------
    Diniz (2020), table 5.3.

    Examples
    --------
    >>> best = pd.DataFrame({"network": "n", "attribute": ["Male", "Young"], "unit_kind": "layer",
    ...                      "metric": "accuracy", "value": [0.9, 0.8]})
    >>> averages(best)[["method", "value", "comparable"]].head(2).round(2).values.tolist()
    [['n, layer', 0.85, True], ['LNets+ANets (Liu et al. 2015)', 0.87, False]]
    """
    require(best, ["network", "attribute", "unit_kind", "metric", "value"], "best")
    rows = labelled(best[best["metric"] == "accuracy"])
    measured = set(rows["attribute"])
    records = []
    if baseline is not None and len(baseline):
        trained = baseline[(baseline["metric"] == "accuracy") & baseline["attribute"].isin(measured)]
        if len(trained):
            records.append(
                _average("Multitask baseline", "", "baseline", [trained["value"].mean()], len(trained))
            )
    for (setup, unit_kind), group in rows.groupby(["setup", "unit_kind"], sort=False):
        means = group.groupby("network")["value"].mean()
        n = group["attribute"].nunique()
        records.append(_average(f"{setup}, {unit_kind}", str(setup), str(unit_kind), means.tolist(), n))
    comparable = measured == CELEBA
    note = (
        "the same 40 attributes; other draws of CelebA's images"
        if comparable
        else f"not comparable: {len(measured & CELEBA)} of CelebA's 40 attributes"
        + (f" and {len(measured - CELEBA)} others" if measured - CELEBA else "")
        + " were measured"
    )
    records += [
        _average(method, "", _unit_kind(method), [value], 40)
        | {"source": "published", "comparable": comparable, "note": note}
        for method, value in PUBLISHED.items()
    ]
    return pd.DataFrame(records)


def _of_baseline(best: pd.DataFrame, baseline: pd.DataFrame | None) -> np.ndarray:
    if baseline is None or not len(baseline):
        return np.full(len(best), np.nan)
    require(baseline, ["attribute", "metric", "value"], "baseline")
    values = baseline.drop_duplicates(["attribute", "metric"]).set_index(["attribute", "metric"])["value"]
    return values.reindex(pd.MultiIndex.from_frame(best[["attribute", "metric"]])).to_numpy(dtype=float)


def _average(method: str, setup: str, unit_kind: str, means: list[float], n: int) -> dict[str, object]:
    return {
        "method": method,
        "setup": setup,
        "unit_kind": unit_kind,
        "value": float(np.mean(means)),
        "sd": float(np.std(means, ddof=1)) if len(means) > 1 else np.nan,
        "n_networks": len(means),
        "n_attributes": n,
        "source": "measured",
        "comparable": True,
        "note": "",
    }


def _unit_kind(method: str) -> str:
    return next((kind for kind in UNIT_KINDS if f", {kind} " in method), "baseline")
