"""Sections on layers, regions and concepts: figures 9, 10, 12 and 13 of the paper."""

from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from fusiform.plotting import dissection_concepts, dissection_coverage, dissection_regions
from fusiform.plotting._dissection_rows import (
    HIERARCHICAL,
    METHOD_NAMES,
    NETWORK_DISSECTION,
    by_region,
    region_said,
)
from fusiform.report._build import Figures, absent, interval_cell, one_of, plotted, value_cell
from fusiform.report._format import count, percent
from fusiform.report._parts import Block, Section, Table, table
from fusiform.report._verdicts import findings_blocks
from fusiform.report.dissection._material import Material

# With more, a menu of layers is no help and the figure is heavy.
_MOST_LAYERS = 12
_KEYS = ["layer", "method", "scope"]


def findings(material: Material) -> Section:
    """Say which of the paper's findings hold here."""
    return Section(
        "findings",
        "Findings of the paper",
        [
            "What Teotia et al. (2022) found in their networks, put as statements that can fail, and what was measured here. A "
            "verdict is “unclear” where the interval does not settle it."
        ],
        absent(material, "findings", "the run has no table of findings."),
        findings_blocks(material.tables.get("findings"), by="network", source="paper"),
    )


def coverage(material: Material, figures: Figures) -> Section:
    """Figures 12 and 13: how many units are interpretable."""
    blocks = []
    for name in material.networks_of("coverage"):
        figure = dissection_coverage(material.tables["coverage"], network=name)
        label = f"Share of interpretable units over the layers of {name}. The numbers are in the table below."
        blocks.append(plotted(figures, "coverage", figure, label, setup=name, title=name))
        blocks.append(Block(setup=name, table=_coverage_table(material, name)))
    return Section(
        "coverage",
        "Interpretable units over the layers",
        [
            "The share of a layer's units that are paired with at least one concept: a local one, a global one, or either "
            "(figure 12), and by Network Dissection, which knows local concepts only and one a unit (figure 13). Bands: 95% "
            "intervals. Dotted: the same network with random weights; what it reaches, training is not needed for."
        ],
        absent(material, "coverage", "the run has no table of coverage."),
        blocks,
    )


def _coverage_table(material: Material, name: str) -> Table:
    rows = material.rows("coverage", name).sort_values("depth", kind="stable")
    twin = material.rows("coverage", name, control=True)
    of_twin = {tuple(row[k] for k in _KEYS): row["share"] for row in twin.to_dict("records")}
    lines = []
    for row in rows.to_dict("records"):
        if row["method"] == NETWORK_DISSECTION and row["scope"] != "local":
            continue
        other = of_twin.get(tuple(row[k] for k in _KEYS))
        lines.append(
            [
                str(row["layer"]),
                METHOD_NAMES.get(row["method"], str(row["method"])),
                str(row["scope"]),
                (row["interpretable"], count(row["interpretable"])),
                (row["units"], count(row["units"])),
                (row["share"], percent(row["share"])),
                interval_cell(100 * row["lower"], 100 * row["upper"], 0),
                (other, percent(other)),
            ]
        )
    columns = [
        *("Layer", "Method", "Concepts", "Interpretable", "Units", "Share", "95% interval (%)"),
        "Random weights",
    ]
    folded = f"The {len(lines)} numbers behind this figure" if len(lines) > 8 else ""
    return table(f"Interpretable units of {name}", columns, lines, folded=folded)


def regions(material: Material, figures: Figures) -> Section:
    """Figure 9: regions of the face and kinds of concepts."""
    blocks = []
    kinds = material.tables.get("kinds")
    for name in material.networks_of("regions"):
        layers = material.layers("regions", name)[:_MOST_LAYERS]
        known = kinds if name in material.networks_of("kinds") else None
        draw = partial(dissection_regions, material.tables["regions"], known, network=name)
        views = {layer: draw(layer=layer) for layer in layers}
        label = f"Units a region of the face and pairs a kind of concept, {name}."
        blocks.append(
            plotted(
                figures,
                "regions",
                one_of(views),
                label,
                setup=name,
                title=name,
                detail=layers[0] if len(layers) == 1 else "",
                pick=layers,
            )
        )
    return Section(
        "regions",
        "Regions and kinds of concepts",
        [
            f"{region_said(material.run.request.get('iou'))} Above, the units of each region (figure 9a); below, the pairs of a unit "
            "and a concept by kind of concept (figure 9b). Where Network Dissection alone was asked for, its pairs are counted. "
            "A large region, or one with many concepts, has more units by that alone: compare with random weights."
        ],
        absent(material, "regions", "the run has no table of regions."),
        blocks,
    )


def concepts(material: Material, figures: Figures) -> Section:
    """Figure 10: units per concept by both methods, with the global groups they share."""
    blocks = []
    together = _unique_table(material)
    if together is not None:
        blocks.append(Block(table=together))
    for name in material.networks_of("counts"):
        layers = material.layers("counts", name)[:_MOST_LAYERS]
        views = {layer: _of_layer(material, name, layer) for layer in layers}
        first = next(iter(views.values()))
        categories = list(dict.fromkeys(t.meta["pick"] for t in first.data if "pick" in t.meta))
        label = (
            f"Units paired with every concept, {name}, by both methods. The numbers are in the table below."
        )
        blocks.append(
            plotted(
                figures,
                "concepts",
                _by_layer(views),
                label,
                setup=name,
                title=name,
                detail=layers[0] if len(layers) == 1 else "",
                pick=categories,
                layers=layers,
                wide=True,
            )
        )
        blocks.append(Block(setup=name, table=_counts_table(material, name, layers[0])))
    return Section(
        "concepts",
        "Units per concept",
        [
            "How many units are paired with every concept (figure 10): on the left by hierarchical dissection, which may pair a "
            "unit with several concepts, on the right by Network Dissection, which gives it one. The colours part each bar by "
            "the groups of a global category that the same units are paired with; a unit paired with two groups counts in both. "
            "Diamonds: the same network with random weights; where there is none, it has no such unit."
        ],
        absent(material, "counts", "the run has no table of counts."),
        blocks,
    )


def _of_layer(material: Material, name: str, layer: str) -> go.Figure:
    overlay = material.rows("overlay", name)
    there = len(overlay) and (overlay["layer"] == layer).any()
    return dissection_concepts(
        material.tables["counts"],
        material.tables["overlay"] if there else None,
        network=name,
        layer=layer,
    )


def _by_layer(views: dict[str, go.Figure]) -> go.Figure:
    # As `one_of`, beside a choice that the figures have already.
    first = next(iter(views))
    joined = go.Figure(layout=views[first].layout)
    for layer, figure in views.items():
        for trace in figure.data:
            shown = layer == first and trace.visible is not False
            joined.add_trace(type(trace)(trace).update(meta=trace.meta | {"layer": layer}, visible=shown))
    return joined


def _unique_table(material: Material) -> Table | None:
    if "unique" not in material.tables:
        return None
    lines = []
    rows = material.rows("unique")
    twin = material.rows("unique", control=True)
    of_twin = {
        (r["network"], r["layer"], r["method"]): r["concepts"] for r in twin.to_dict("records")
    }  # fmt: skip
    for row in rows.to_dict("records"):
        if row["layer"] != material.main(row["network"]):
            continue
        other = of_twin.get((row["network"], row["layer"], row["method"]))
        lines.append(
            [
                str(row["network"]),
                str(row["layer"]),
                METHOD_NAMES.get(row["method"], str(row["method"])),
                (row["concepts"], count(row["concepts"])),
                value_cell(row["per_unit"]),
                (other, count(other)),
            ]
        )
    columns = ["Network", "Layer", "Method", "Different concepts", "Concepts a unit", "Random weights"]
    return table("Different concepts that are found", columns, lines)


def _counts_table(material: Material, name: str, layer: str) -> Table:
    def of(rows: pd.DataFrame, method: str) -> dict[tuple[str, str], Any]:
        own = rows[(rows["layer"] == layer) & (rows["method"] == method)] if len(rows) else rows
        return {(r["region"], r["concept"]): r["units"] for r in own.to_dict("records")}

    trained, twin = (material.rows("counts", name, control=control) for control in (False, True))
    values = [of(rows, m) for m in (HIERARCHICAL, NETWORK_DISSECTION) for rows in (trained, twin)]
    lines = []
    for row in by_region(trained[trained["layer"] == layer]).to_dict("records"):
        numbers = [found.get((row["region"], row["concept"])) for found in values]
        lines.append(
            [
                str(row["concept"]),
                str(row["concept_kind"]),
                str(row["region"]),
                *((n, count(n)) for n in numbers),
            ]
        )
    columns = [
        *("Concept", "Kind", "Region or category", "Hierarchical", "Random weights"),
        *("Network Dissection", "Random weights"),
    ]
    folded = f"The {len(lines)} concepts behind this figure"
    return table(f"Units per concept at {layer} of {name}", columns, lines, folded=folded)
