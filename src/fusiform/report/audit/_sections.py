import re
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from fusiform.plotting import accuracy_over_depth, layer_attribute_heatmap
from fusiform.plotting.tables import METRIC_TITLES, attribute_order, layer_order, skill, value_range
from fusiform.report import _svg
from fusiform.report._cards import network_card
from fusiform.report._format import interval, missing, number
from fusiform.report._shared import records
from fusiform.report.audit._cards import cautions
from fusiform.report.audit._material import Material
from fusiform.report.audit._summary import attribute_unit, mean_absolute_error

_FEW_CHIPS = 12
_MOST_LINES = 8
_SHOWN_OF_MANY = 5
CONTENTS = [
    ("summary", "Summary"),
    ("cautions", "Read with care"),
    ("reading", "How to read this page"),
    ("faces", "Example faces"),
    ("depth", "Accuracy over depth"),
    ("heatmap", "Layers and attributes"),
    ("best", "Best layers"),
    ("verification", "Verification"),
    ("attributes", "Attributes and samples"),
    ("skipped", "Skipped images"),
    ("network", "Network card"),
    ("layers", "Layers"),
    ("data", "Data card"),
    ("asked", "What was asked"),
]
_KIND_TITLES = {
    "binary": "Yes/no attributes",
    "categorical": "Attributes of several classes",
    "continuous": "Measured quantities",
}


def context(material: Material) -> tuple[dict[str, Any], dict[str, go.Figure]]:
    """Gather what the page's template shows, and the figures."""
    run = material.run
    figures: dict[str, go.Figure] = {}
    kinds = [_kind(material, kind, figures) for kind in material.kinds]
    values = {
        "cautions": cautions(material),
        "has_control": material.has_control,
        "kinds": kinds,
        "best": [_best_table(material, kind) for kind in material.kinds if len(material.of_best(kind))],
        "verification": _verification(material),
        "network": network_card(run.network),
        "layers": _layers(material),
        "n_components": run.request.get("n_components", 8),
    }
    return values, figures


def _kind(material: Material, kind: str, figures: dict[str, go.Figure]) -> dict[str, Any]:
    rows = material.rows
    if rows is None:
        return {}
    of_kind = rows[rows["kind"] == kind]
    names = _in_order(material, of_kind, kind)
    shown = names if len(names) <= _MOST_LINES else names[:_SHOWN_OF_MANY]
    depth = accuracy_over_depth(of_kind, kind=kind, highlight=shown, selector=False)
    depth.update_layout(showlegend=False, height=430 if len(names) > 3 else 340, margin={"t": 12})
    figures[f"depth-{kind}"] = depth
    heat = layer_attribute_heatmap(of_kind, kind=kind, best=material.best)
    if of_kind["control"].any():
        control = layer_attribute_heatmap(of_kind, kind=kind, control=True)
        heat.add_trace(control.data[0].update(visible=False, xaxis="x", yaxis="y"))
    figures[f"heat-{kind}"] = heat
    slots = {
        trace.meta["attribute"]: trace.meta.get("slot")
        for trace in depth.data
        if trace.meta["role"] == "line"
    }
    limits = value_range(of_kind)
    layers = layer_order(of_kind)
    panels = [_panel(material, of_kind[of_kind["attribute"] == name], layers, limits) for name in names]
    return {
        "kind": kind,
        "title": _KIND_TITLES[kind],
        "metric": METRIC_TITLES[str(of_kind["metric"].iloc[0])],
        "layers": layers,
        "panels": panels,
        "chips": [{"name": p["name"], "value": p["top"], "slot": slots.get(p["name"])} for p in panels],
        "search": len(names) > _FEW_CHIPS,
        "control": bool(of_kind["control"].any()),
        "wide": _wide(of_kind, names, layers),
    }


def _in_order(material: Material, rows: pd.DataFrame, kind: str) -> list[str]:
    # By the number that stands beside the name: that of the best layer, where it is known.
    names = attribute_order(rows)
    best = material.of_best(kind)
    if not len(best):
        return names
    known = dict(zip(best["attribute"], skill(best["value"], best["chance"]), strict=True))
    return sorted(names, key=lambda name: -known.get(name, float("-inf")))


def _by_layer(
    rows: pd.DataFrame, layers: list[str], column: str, *, control: bool = False
) -> list[float | None]:
    found = rows[rows["control"] == control].drop_duplicates("layer").set_index("layer")[column]
    return [None if missing(found.get(layer)) else float(found[layer]) for layer in layers]


def _panel(
    material: Material, rows: pd.DataFrame, layers: list[str], limits: tuple[float, float]
) -> dict[str, Any]:
    name = str(rows["attribute"].iloc[0])
    values = _by_layer(rows, layers, "value")
    control = _by_layer(rows, layers, "value", control=True)
    best = _best_index(material, name, layers)
    known = [value for value in values if value is not None]
    top = values[best] if best is not None else max(known, default=None)
    chance = float(rows["chance"].iloc[0])
    label = f"{name} over {len(layers)} layers: "
    label += f"from {number(known[0])} to {number(known[-1])}, " if known else ""
    label += f"{number(top)} at the best layer; chance {number(chance)}"
    if any(value is not None for value in control):
        label += f"; random weights at most {number(max(v for v in control if v is not None))}"
    drawing = _svg.panel(
        values,
        _by_layer(rows, layers, "lower"),
        _by_layer(rows, layers, "upper"),
        control,
        chance,
        limits,
        best,
        label,
    )
    return {"name": name, "top": top, "svg": drawing}


def _best_index(material: Material, name: str, layers: list[str]) -> int | None:
    if material.best is None:
        return None
    found = material.best.loc[material.best["attribute"] == name, "layer"]
    return layers.index(found.iloc[0]) if len(found) and found.iloc[0] in layers else None


def _wide(rows: pd.DataFrame, names: list[str], layers: list[str]) -> list[dict[str, Any]]:
    trained = rows[~rows["control"]]
    by_name = dict(list(trained.groupby("attribute", sort=False)))
    return [
        {"name": name, "values": _by_layer(by_name[name], layers, "value")}
        for name in names
        if name in by_name
    ]


def _best_table(material: Material, kind: str) -> dict[str, Any]:
    rows = material.of_best(kind)
    rows = rows.assign(skill=skill(rows["value"], rows["chance"])).sort_values(
        "skill", ascending=False, kind="stable"
    )
    low = min(0.0, float(rows[["value", "lower", "chance", "control_value"]].min().min()))
    floor = float(rows["chance"].min()) - 0.1 if kind == "binary" else low
    limits = (max(-0.3, min(floor, float(rows["value"].min()) - 0.02)), 1.0)
    probed = material.rows
    lines = []
    for row in rows.to_dict("records"):
        name = str(row["attribute"])
        control = None if missing(row["control_value"]) else float(row["control_value"])
        label = f"{name}: {number(row['value'])}, interval {interval(row['lower'], row['upper'])}"
        label += f", chance {number(row['chance'])}"
        label += "" if control is None else f", random weights {number(control)}"
        spark = None
        if probed is not None:
            own = probed[probed["attribute"] == name]
            layers = layer_order(probed[probed["kind"] == kind])
            if len(own) and len(layers) > 1:
                spark = _svg.sparkline(
                    _by_layer(own, layers, "value"),
                    _by_layer(own, layers, "value", control=True),
                    float(row["chance"]),
                    value_range(probed[probed["kind"] == kind]),
                    _best_index(material, name, layers),
                    f"{name} over depth",
                )
        ends = [None if missing(row[key]) else float(row[key]) for key in ("lower", "upper")]
        lines.append(
            row
            | {
                "name": name,
                "unit": attribute_unit(material, name),
                "mae": mean_absolute_error(material, name, row["layer"]) if kind == "continuous" else None,
                "gain": None if control is None else float(row["value"]) - control,
                "above": None if control is None else bool(row["lower"] > control),
                "spark": spark,
                "forest": _svg.forest(
                    float(row["value"]), ends[0], ends[1], control, float(row["chance"]), limits, label
                ),
            }
        )
    return {
        "kind": kind,
        "title": _KIND_TITLES[kind],
        "metric": METRIC_TITLES[str(rows["metric"].iloc[0])],
        "rows": lines,
        "limits": limits,
        "control": bool(rows["control_value"].notna().any()),
        "spark": any(line["spark"] is not None for line in lines),
        "mae": any(line["mae"] is not None for line in lines),
    }


def _verification(material: Material) -> list[dict[str, Any]]:
    # Where no layer is named, the embedding was compared.
    rows = records(material.verification)
    return [{"layer": "embedding"} | row for row in rows]


def _layers(material: Material) -> list[dict[str, Any]]:
    probed = set(material.probed_layers)
    rows = records(material.layers)
    for row in rows:
        row["probed"] = row["layer"] in probed
        row["shape"] = " × ".join(re.findall(r"\d+", str(row["shape"])))
        for key in ("block", "role"):
            row[key] = "" if missing(row.get(key)) else str(row[key])
    return rows
