"""Sections over layers and over training: figures 3 and 4, tables III and IV, and section V.D of the paper."""

from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from fusiform.plotting import (
    expressivity_and_error,
    expressivity_by_attribute,
    expressivity_over_layers,
)
from fusiform.plotting._expressivity import FEW
from fusiform.plotting._expressivity_errors import with_errors
from fusiform.plotting._expressivity_rows import TRAIN, by_value, with_series
from fusiform.plotting.tables import layer_order
from fusiform.report._build import Figures, absent, interval_cell, one_of, plotted, value_cell
from fusiform.report._format import count, missing, number, signed
from fusiform.report._parts import Block, Section, Table, table
from fusiform.report.expressivity._material import Material

PROCESSING = (
    "What one layer has lost no later layer can have: by the data-processing inequality the true mutual information cannot "
    "rise with depth. These are lower bounds, each found by a small network that was trained on the "
    "features. A rise here is therefore a gain in what such a network can read, not in information (section V.A of the paper)."
)
ALL = "all attributes"


def over_layers(material: Material, figures: Figures) -> Section:
    """Figure 3: expressivity from the image to the last layer, or of the features where there are no layers."""
    blocks = []
    for name in material.names:
        alone = len(material.values(name)["layer"].unique()) < 2
        blocks += _of_one_layer(material, figures, name) if alone else _of_layers(material, figures, name)
    several = not material.features_only
    text = [
        "How much each layer says about each attribute, in nats (figure 3 of the paper). Solid lines and bands: the mean "
        "over restarts on images that the estimating networks were not trained on, and its 95% interval. Dotted lines: the "
        "same on their training images, which is what the paper reports."
        + (" Grey: the same network with random weights." if material.has_control else ""),
        PROCESSING,
    ]
    alone_text = [
        "How much the features say about each attribute, in nats. Dots: the mean over restarts on images that the "
        "estimating networks were not trained on, with its 95% interval. Rings: the same on their training images, which is "
        "what the paper reports.",
    ]
    return Section(
        "layers" if several else "features",
        "Over the layers" if several else "Attributes in the features",
        text if several else alone_text,
        absent(material, "expressivity", "the run has no table of expressivity."),
        blocks,
    )


def _of_layers(material: Material, figures: Figures, name: str) -> list[Block]:
    rows = material.tables["expressivity"]
    draw = partial(expressivity_over_layers, rows, network=name, estimator=material.estimator)
    views = views_of(draw, material.attributes("expressivity", name))
    return [
        plotted(
            figures,
            "layers",
            one_of(views),
            f"Expressivity of every attribute over the layers of {name}. The numbers are in the table below.",
            setup=name or None,
            title=name,
            detail=f"estimated by {material.estimator}",
            pick=list(views),
            note=too_many(views[ALL]),
        ),
        Block(setup=name or None, table=_ends(material, name)),
    ]


def _of_one_layer(material: Material, figures: Figures, name: str) -> list[Block]:
    figure = expressivity_by_attribute(
        material.tables["expressivity"], network=name, estimator=material.estimator
    )
    label = "Expressivity of every attribute. The numbers are in the table below."
    more: dict[str, Any] = {
        "setup": name or None,
        "title": name,
        "detail": f"estimated by {material.estimator}",
    }
    lines = []
    layer = material.last(name)
    train = _by_series(material.values(name, layer=layer, split=TRAIN))
    for row in by_value(material.values(name, layer=layer)).to_dict("records"):
        lines.append(
            [
                str(row["series"]),
                value_cell(row["value"]),
                interval_cell(row["lower"], row["upper"]),
                value_cell(row["std"], 3),
                value_cell(train.get(row["series"])),
                value_cell(row["entropy"]),
                (row["n"], count(row["n"])),
                "" if missing(row["note"]) else str(row["note"]),
            ]
        )
    columns = [
        "Attribute",
        "Held out",
        "95% interval",
        "Std over restarts",
        "Training images",
        "Entropy",
        "Images",
        "Note",
    ]
    return [
        plotted(figures, "attributes", figure, label, **more),
        Block(setup=name or None, table=table("Mutual information, nats", *without_empty(columns, lines))),
    ]


def _ends(material: Material, name: str) -> Table:
    held, train = material.values(name), material.values(name, split=TRAIN)
    twin = material.values(name, control=True)
    last = material.last(name)
    of_train, of_twin = (_by_series(rows[rows["layer"] == last]) for rows in (train, twin))
    lines = []
    for series, own in held.groupby("series", sort=False):
        own = own.sort_values("depth", kind="stable")
        top = own.loc[[own["value"].idxmax()]].iloc[0] if own["value"].notna().any() else own.iloc[0]
        end = own.iloc[-1]
        notes = [str(note) for note in dict.fromkeys(own["note"]) if not missing(note) and note]
        lines.append(
            [
                str(series),
                value_cell(own["value"].iloc[0]),
                value_cell(top["value"]),
                str(top["layer"]),
                value_cell(end["value"]),
                interval_cell(end["lower"], end["upper"]),
                (end["value"] - own["value"].iloc[0], signed(end["value"] - own["value"].iloc[0])),
                value_cell(of_train.get(str(series))),
                value_cell(of_twin.get(str(series))),
                "; ".join(notes),
            ]
        )
    first = layer_order(held)[0]
    columns = [
        "Attribute",
        f"First ({first})",
        "Highest",
        "Where",
        f"Last ({last})",
        "95% interval",
        "Change",
    ]
    columns += ["Last, training images", "Last, random weights", "Note"]
    return table(f"Mutual information over the layers of {name}, nats", *without_empty(columns, lines))


def linear(material: Material, figures: Figures) -> Section:
    """Tables III and IV: errors of linear probes beside expressivity."""
    blocks = []
    errors = material.tables.get("linear")
    for over, source, title in (
        ("layers", "expressivity", "Over the layers (table III)"),
        ("training", "course", "Over training (table IV)"),
    ):
        for name in material.networks_of(source) if errors is not None else []:
            for layer in reversed(material.layers_of(source, name)) if over == "training" else [None]:
                blocks += _beside_errors(material, figures, name, over=over, layer=layer, title=title)
    return Section(
        "linear",
        "Beside linear probes",
        [
            "Linear probes on the same features: the mean absolute error in the attribute's unit, or the error rate, on test "
            "images. If expressivity measures what can be read, high values go with low errors, so that r is negative. With few "
            "points r says little; its interval says how little."
        ],
        absent(material, "linear", "no linear probes were fitted."),
        blocks,
    )


def _beside_errors(
    material: Material, figures: Figures, name: str, *, over: str, layer: str | None, title: str
) -> list[Block]:
    values = material.tables["course" if over == "training" else "expressivity"]
    more: dict[str, Any] = {
        "network": name,
        "over": over,
        "layer": layer,
        "estimator": main_of(material, values),
    }
    errors, found = material.tables["linear"], material.tables.get("correlation")
    if not len(rows := with_errors(errors, values, **more)):
        return []
    where = f"{title}: {name}" + (f", {layer}" if layer else "")
    several = bool((rows.groupby("series").size() > 1).any())
    if not several:
        where = "Linear probes" + (f": {name}" if name else "")
    lines = [
        [
            (row["step"], count(row["step"])) if over == "training" else str(row["layer"]),
            str(row["series"]),
            f"{row['metric']}{', ' + row['unit'] if isinstance(row.get('unit'), str) and row['unit'] else ''}",
            value_cell(row["error"]),
            interval_cell(row["error_lower"], row["error_upper"]),
            value_cell(row.get("chance")),
            value_cell(row["value"]),
            interval_cell(row["lower"], row["upper"]),
        ]
        for row in rows.to_dict("records")
    ]
    first = material.step_unit.capitalize() if over == "training" else "Layer"
    columns = [
        first,
        "Attribute",
        "Measure",
        "Error",
        "95% interval",
        "By guessing",
        "Expressivity",
        "95% interval",
    ]
    folded = f"The {len(lines)} numbers behind this figure" if several else ""
    blocks = [Block(setup=name or None, table=table(where, columns, lines, folded=folded))]
    if several:
        figure = expressivity_and_error(errors, values, found, **more)
        label = f"Expressivity against the error of linear probes of {name}, over {over}. The numbers are in the table below."
        blocks.insert(0, plotted(figures, f"linear-{over}", figure, label, setup=name or None, title=where))
    return blocks + (
        [_correlations(found, name, over)]
        if found is not None and layer in (None, *_deepest(material, name))
        else []
    )


def _deepest(material: Material, name: str) -> list[str]:
    return material.layers_of("course", name)[-1:] if "course" in material.tables else []


def _correlations(found: pd.DataFrame, name: str, over: str) -> Block:
    rows = with_series(found)
    rows = rows[(rows["network"] == name) & (rows["over"] == over)]
    lines = [
        [
            str(row["series"]),
            str(row["estimator"]),
            value_cell(row["pearson"]),
            interval_cell(row["lower"], row["upper"]),
            value_cell(row["spearman"]),
            (row["n"], count(row["n"])),
            (row["p_value"], "<0.001" if row["p_value"] < 0.001 else number(row["p_value"], 3)),
        ]
        for row in rows.to_dict("records")
    ]
    columns = ["Attribute", "Estimator", "Pearson's r", "95% interval", "Spearman's rho", "Points", "p"]
    caption = f"Correlation of expressivity with the linear error over {over}, {name}"
    return Block(setup=name or None, table=table(caption, columns, lines)) if lines else Block()


def main_of(material: Material, values: pd.DataFrame) -> str:
    there = list(dict.fromkeys(values["estimator"]))
    if "expressivity" in material.tables and material.estimator in there:
        return material.estimator
    return str(there[0])


def views_of(draw: Any, attributes: list[str]) -> dict[str, go.Figure]:
    """All attributes at once and each alone, of which the reader sees one."""
    views = {ALL: draw()}
    if len(attributes) > 1:
        views |= {name: draw(attributes=[name]) for name in attributes}
    return views


def too_many(figure: go.Figure) -> str:
    lines = {trace.meta["series"] for trace in figure.data if trace.meta["role"] == "line"}
    if len(lines) <= FEW:
        return ""
    return f"Of {len(lines)} lines, intervals and training images are shown for one attribute at a time."


def _by_series(rows: pd.DataFrame) -> dict[str, float]:
    return (
        dict(zip(rows["series"].astype(str), rows["value"].astype(float), strict=True)) if len(rows) else {}
    )


def without_empty(columns: list[str], lines: list[list[Any]]) -> tuple[list[str], list[list[Any]]]:
    """Leave out columns in which no row says anything."""
    kept = [i for i in range(len(columns)) if any(not _says_nothing(line[i]) for line in lines)]
    return [columns[i] for i in kept], [[line[i] for i in kept] for line in lines]


def _says_nothing(cell: Any) -> bool:
    return cell == "" or (isinstance(cell, tuple) and missing(cell[0]))
