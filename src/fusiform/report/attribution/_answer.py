"""Sections on what the study asks first: which methods are to be trusted, and which findings hold."""

import pandas as pd
from markupsafe import Markup

from fusiform.plotting import attribution_matrix
from fusiform.plotting._attribution_study_rows import BASELINE_NAMES, method_name, metric_name
from fusiform.report._build import Figures, interval_cell, plotted, value_cell
from fusiform.report._format import count, missing
from fusiform.report._parts import Block, Cell, Section, Table, table
from fusiform.report._verdicts import findings_blocks
from fusiform.report.attribution._material import Material


def answer(material: Material, figures: Figures) -> Section:
    """Methods by measures, with what each method is surely better than."""
    blocks = []
    for name in material.names:
        for target in material.targets("ranks", name):
            rows, ranks = (material.rows(t, name, target) for t in ("measures", "ranks"))
            if not rows["value"].notna().any():
                continue
            blocks.append(
                plotted(
                    figures, "matrix", attribution_matrix(rows, ranks), f"Methods by measures, {name}, {target}. The numbers are in the table below.",
                    setup=name, title=name, detail=f"target: {target}", wide=True,
                )
            )  # fmt: skip
            blocks.append(Block(setup=name, table=_standing_table(material, name, target)))
            blocks.append(Block(setup=name, table=_measures_table(rows, name, target)))
    return Section(
        "answer",
        "Which methods are to be trusted",
        [
            "Every method and three maps that know nothing of the network (in italics: noise, the edges of the image, a Gaussian in its "
            "centre), best on top. Colour: rank in the column. The mean rank is over the measures up to the gap, which only a map of what "
            "the network does can win; those beyond it can be won by a map that ignores the network, by its scale, or presume "
            "where the network looks. Arrows say which side is better. Grey: a method whose mean rank is not better than that of "
            "every such map, with the best of those at its right. Values and intervals are shown where you point.",
        ],
        "no measure was taken of any network.",
        blocks,
    )


def _standing_table(material: Material, name: str, target: str) -> Table:
    lines = []
    for row in material.standing(name, target).to_dict("records"):
        beaten = []
        for kind in BASELINE_NAMES:
            won, of = row["wins"].get(kind, (None, 0))
            beaten.append((won, "\N{EN DASH}" if won is None else f"{won} of {of}"))
        behind = str(row["behind"])
        said = (
            "baseline map"
            if row["baseline_map"]
            else f"not better than the {method_name(behind)}"
            if behind
            else "better than all three"
            if not missing(row["mean_rank"])
            else "not ranked"
        )
        lines.append([_named(row), value_cell(row["mean_rank"], 1), *beaten, said])
    columns = ["Method", "Mean rank", *(f"Beats the {label}" for label in BASELINE_NAMES.values()), "By mean rank"]
    caption = f"In how many measures of the mean rank a method is surely better, {name}, {target}"
    return table(caption, columns, lines, folded=f"{caption}: the whole interval of the difference on the better side")


def _named(row: dict) -> Cell:
    name = method_name(row["method"])
    return Cell(Markup("<i>{}</i>").format(name) if row["baseline_map"] else name)


def _measures_table(rows: pd.DataFrame, name: str, target: str) -> Table:
    lines = [
        [
            _named(row),
            metric_name(row["metric"]),
            str(row["better"]),
            value_cell(row["value"], 3),
            interval_cell(row["lower"], row["upper"], 3),
            value_cell(row["chance"], 3),
            (row["n"], count(row["n"])),
            (row["n_identities"], count(row["n_identities"])),
            "" if missing(row["note"]) else str(row["note"]),
        ]
        for row in rows.to_dict("records")
    ]
    columns = ["Method", "Measure", "Better", "Value", "95% interval", "Random map", "Images", "People", "Note"]
    return table(f"Measures of {name}, {target}", columns, lines, folded=f"The {len(lines)} numbers behind this figure")


def findings(material: Material) -> Section:
    """Say which statements of the survey hold here."""
    return Section(
        "findings",
        "What the survey says, and what was measured",
        [
            "Statements of John, Balasubramanian and Jawahar's survey of saliency on face models, put so that they can fail. A verdict is "
            "“unclear” where the interval does not settle it."
        ],
        "the run has no table of findings.",
        findings_blocks(material.tables.get("findings"), by="network", source="survey"),
    )


