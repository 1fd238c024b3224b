"""Sections on single units: tables 5.2 and 5.3, and figure 5.9 of the thesis."""

from typing import Any

import pandas as pd

from fusiform.plotting import average_accuracies, best_units, vip_correlations, vip_examples
from fusiform.plotting._best_units import best_order, mean_best
from fusiform.plotting.style import UNIT_NAMES
from fusiform.report._build import Figures, interval_cell, plotted, value_cell, with_place
from fusiform.report._format import count, missing, number
from fusiform.report._parts import Block, Section, Table, table
from fusiform.report.layers._build import per_setup
from fusiform.report.layers._material import Material

_KINDS = ("layer", "channel", "neuron")


def best(material: Material, figures: Figures) -> Section:
    """Tables 5.2 and 5.3: best layer, channel and neuron."""
    blocks = per_setup(
        material,
        figures,
        "best",
        best_units,
        "Best layer, channel and neuron of {setup} for every attribute. The numbers are in the table below.",
        detail="accuracy on test faces; R² for measured quantities",
    )
    blocks += [_best_table(material.tables["best"], setup) for setup in material.setups_of("best")]
    averages = material.tables.get("averages")
    if averages is not None:
        label = "Mean accuracy over attributes of every representation, and of published methods."
        note = "".join(f"Published: {text}. " for text in dict.fromkeys(averages["note"]) if text)
        blocks.append(
            plotted(figures, "averages", average_accuracies(averages), label, title="Mean over attributes")
        )
        blocks.append(Block(table=_averages_table(averages), note=note))
    return Section(
        "best",
        "Best layer, channel and neuron",
        [
            "One layer, one channel, one neuron an attribute, chosen on validation faces and measured on test faces "
            "(table 5.2); the nearer to the diamond of a network that was supervised for all attributes, the less is lost by "
            "reading instead of training. Attributes are in the order of accuracy relative to that baseline, where there is one.",
            "Test faces are as they come, so a rare attribute is right most of the time for who always says no: the stroke "
            "marks that share.",
        ],
        "the run has no table of best units.",
        blocks,
    )


def _best_table(found: pd.DataFrame, setup: str) -> Block:
    rows = mean_best(found[found["setup"] == setup])
    of = {(row["attribute"], row["unit_kind"]): row for row in rows.to_dict("records")}
    kinds = [kind for kind in _KINDS if (rows["unit_kind"] == kind).any()]
    has_baseline = bool(rows["baseline"].notna().any())
    lines = []
    for name in best_order(rows):
        line: list[Any] = [str(name)]
        any_row = next(of[name, kind] for kind in kinds if (name, kind) in of)
        for kind in kinds:
            row = of.get((name, kind))
            line.append(
                with_place(None, []) if row is None else with_place(row["value"], [row["layer"], row["unit"]])
            )
            if kind == kinds[0]:
                line.append(interval_cell(any_row["lower"], any_row["upper"], 3))
        if has_baseline:
            line += [value_cell(any_row["baseline"], 3), value_cell(any_row["relative"], 3)]
        line += [
            value_cell(any_row["majority"], 3),
            "R²" if any_row["metric"] == "r2" else str(any_row["metric"]),
        ]
        lines.append(line)
    several = found.loc[found["setup"] == setup, "network"].nunique() > 1
    ends = "Lowest to highest" if several else "95% interval"
    columns = ["Attribute", UNIT_NAMES[kinds[0]].capitalize(), ends]
    columns += [UNIT_NAMES[kind].capitalize() for kind in kinds[1:]]
    columns += ["Baseline", "Relative to it"] if has_baseline else []
    note = "Means over initialisations; the range is from the lowest to the highest, places are those of the first."
    caption = f"Best units of {setup}, test faces"
    return Block(
        setup=setup,
        table=_numeric(
            table(caption, [*columns, "Larger class", "Measure"], lines), {1, *range(3, 2 + len(kinds))}
        ),
        note=note if several else "",
    )


def _numeric(made: Table, columns: set[int]) -> Table:
    return Table(made.caption, made.columns, made.rows, made.numeric | columns, made.folded)


def _averages_table(averages: pd.DataFrame) -> Table:
    rows = [
        [
            str(row["method"]),
            value_cell(row["value"], 3),
            ""
            if missing(row["sd"])
            else f"{number(row['sd'], 3)} over {count(row['n_networks'])} initialisations",
            (row["n_attributes"], count(row["n_attributes"])),
            str(row["source"]),
        ]
        for row in averages.to_dict("records")
    ]
    columns = ["Method", "Accuracy", "Standard deviation", "Attributes", "Source"]
    return table("Mean accuracy over attributes (table 5.3)", columns, rows)


def vip(material: Material, figures: Figures) -> Section:
    """Figure 5.9: VIP and what single neurons know."""
    blocks = []
    spread = "single neurons"
    histogram, neurons = material.tables.get("vip_histogram"), material.tables.get("vip_neurons")
    if histogram is not None and neurons is not None:
        n = neurons.groupby(["network", "layer", "attribute"], sort=False).size()
        spread = f"{'up to ' if n.min() < n.max() else ''}{count(n.max())} neurons"
        for setup in material.setups_of("vip_neurons"):
            network = neurons.loc[neurons["setup"] == setup, "network"].iloc[0]
            blocks.append(
                plotted(
                    figures,
                    "vip",
                    vip_examples(histogram, neurons, network=network),
                    f"VIP of the neurons of three layers of {network}, and what single neurons know by their VIP.",
                    setup=setup,
                    title=f"Three examples: {network}",
                    detail="spread over layers and names, not chosen by result",
                )
            )
    blocks += per_setup(
        material,
        figures,
        "vip_correlation",
        vip_correlations,
        "Correlation of single neurons' accuracy with VIP and with mean activation, {setup}.",
        title="All layers and attributes",
    )
    return Section(
        "vip",
        "VIP of single neurons",
        [
            "Variable importance in projection (VIP) says how much a neuron counts in a probe; its mean square over a layer is "
            f"1. On top, how many neurons have which VIP, on a logarithmic scale; below, how well {spread} spread evenly "
            "over VIP tell the attribute alone (figure 5.9). A steep line means that VIP finds the units that know."
        ],
        "the run has no tables of VIP.",
        blocks,
    )
