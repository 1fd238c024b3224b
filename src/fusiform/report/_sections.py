import re
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from fusiform.plotting import accuracy_over_depth, layer_attribute_heatmap
from fusiform.plotting.tables import METRIC_TITLES, attribute_order, layer_order, skill, value_range
from fusiform.report import _svg
from fusiform.report._cards import asked_card, attribute_cards, cautions, data_card, key_figures, network_card
from fusiform.report._format import count, interval, missing, number, scalar
from fusiform.report._material import Example, Material
from fusiform.report._summary import attribute_unit, mean_absolute_error, sentences

_FEW_CHIPS = 12
_MOST_LINES = 8
_SHOWN_OF_MANY = 5
_FACTS_OF_EXAMPLE = 5
_NAMES_OF_SKIPPED = 1000
_MOST_CONFOUNDS = 20
_KIND_TITLES = {
    "binary": "Yes/no attributes",
    "categorical": "Attributes of several classes",
    "continuous": "Measured quantities",
}


def context(material: Material) -> dict[str, Any]:
    """Gather all that the page's template shows."""
    run = material.run
    figures: dict[str, go.Figure] = {}
    kinds = [_kind(material, kind, figures) for kind in material.kinds]
    return {
        "run": run,
        "name": run.network.get("name", "the network"),
        "faces_name": run.faces.get("name", ""),
        "summary": sentences(material),
        "key_figures": key_figures(material),
        "cautions": cautions(material),
        "examples": [_example(example) for example in material.examples],
        "synthetic": material.synthetic,
        "has_control": material.has_control,
        "kinds": kinds,
        "best": [_best_table(material, kind) for kind in material.kinds if len(material.of_best(kind))],
        "verification": _verification(material),
        "attributes": _attributes(material),
        "skipped": _skipped(material),
        "network": network_card(run),
        "layers": _layers(material),
        "data": data_card(run),
        "asked": asked_card(run),
        "frequencies": [_frequency(entry) for entry in attribute_cards(run)],
        "people_known": material.people_known,
        "n_components": run.request.get("n_components", 8),
        "confounds": _confounds(material),
        "metrics": METRIC_TITLES,
        "figures": figures,
    }


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
    rows = _records(material.verification)
    return [{"layer": "embedding"} | row for row in rows]


def _records(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    if table is None:
        return []
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _attributes(material: Material) -> dict[str, Any] | None:
    table = material.attributes
    if table is None:
        return None
    total = material.run.faces.get("n")
    probed: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []
    for row in _records(table):
        row["missing"] = (
            None if total is None or missing(row["n_known"]) else int(total) - int(row["n_known"])
        )
        for key in ("unit", "note", "status"):
            row[key] = "" if missing(row.get(key)) else str(row[key])
        (probed if row["status"] == "probed" else left_out).append(row)
    return {"probed": probed, "left_out": left_out}


def _skipped(material: Material) -> dict[str, Any] | None:
    if "skipped" not in material.run.tables:
        return None
    if material.skipped is None:
        return {"n": 0, "reasons": [], "rows": [], "more": 0}
    table = material.skipped
    reasons = table["reason"].astype(str).value_counts()
    return {
        "n": len(table),
        "reasons": list(reasons.head(8).items()),
        "rows": table.head(_NAMES_OF_SKIPPED).to_dict("records"),
        "more": max(0, len(table) - _NAMES_OF_SKIPPED),
    }


def _layers(material: Material) -> list[dict[str, Any]]:
    probed = set(material.probed_layers)
    rows = _records(material.layers)
    for row in rows:
        row["probed"] = row["layer"] in probed
        row["shape"] = " × ".join(re.findall(r"\d+", str(row["shape"])))
        for key in ("block", "role"):
            row[key] = "" if missing(row.get(key)) else str(row[key])
    return rows


def _example(example: Example) -> dict[str, Any]:
    facts = []
    for name, value in example.attributes.items():
        if value is True:
            facts.append(name)
        elif value is not False and not missing(value):
            facts.append(f"{name} {scalar(float(f'{value:.3g}') if isinstance(value, float) else value)}")
    return {
        "source": example.source,
        "image_id": example.image_id,
        "shown": facts[:_FACTS_OF_EXAMPLE],
        "more": max(0, len(facts) - _FACTS_OF_EXAMPLE),
        "all": ", ".join(facts),
    }


def _frequency(entry: dict[str, Any]) -> dict[str, Any]:
    """One attribute of the data card: how often each value occurs."""
    classes = entry.get("classes")
    values = ""
    if isinstance(classes, dict):
        values = ", ".join(f"{name} {count(n)}" for name, n in classes.items())
        more = int(entry.get("n_classes") or 0) - len(classes)
        values += f" and {more} more" if more > 0 else ""
    elif entry.get("kind") == "identity" and entry.get("n_classes"):
        values = f"{count(entry['n_classes'])} people"
    elif not missing(entry.get("minimum")):
        unit = f" {entry['unit']}" if entry.get("unit") else ""
        low, middle, high = (scalar(float(entry[key])) for key in ("minimum", "median", "maximum"))
        values = f"{low} to {high}{unit}, median {middle}"
    wanted = ("name", "kind", "share", "n_known", "n_missing", "predicted_by", "description")
    return {key: entry.get(key) for key in wanted} | {"values": values}


def _confounds(material: Material) -> list[dict[str, Any]]:
    """Pairs of attributes that go together, the strongest first."""
    table = material.confounds
    rows = material.run.faces.get("confounds") if table is None else _records(table)
    if not isinstance(rows, list):
        return []
    known = [row for row in rows if isinstance(row, dict) and not missing(row.get("value"))]
    return [{str(key): value for key, value in row.items()} for row in known[:_MOST_CONFOUNDS]]
