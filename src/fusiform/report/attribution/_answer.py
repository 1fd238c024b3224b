"""Sections on what the study asks first: which methods are to be trusted, and which findings hold."""

import pandas as pd

from fusiform.plotting import attribution_matrix
from fusiform.plotting._attribution_study_rows import BASELINE_NAMES, METRIC_NAMES, method_name, metric_name
from fusiform.report._build import Figures, plotted, value_cell
from fusiform.report._format import count, listing, missing
from fusiform.report._parts import Block, Section, Table, table
from fusiform.report._verdicts import findings_blocks
from fusiform.report.attribution._material import Material
from fusiform.report.attribution._wide import named, wide_table


def answer(material: Material, figures: Figures) -> Section:
    """Methods by measures, with what each method is surely better than."""
    blocks = []
    for name in material.names:
        for target in material.targets("ranks", name):
            rows, ranks = (material.rows(t, name, target) for t in ("measures", "ranks"))
            if not len(rows) or not rows["value"].notna().any():
                continue
            blocks.append(
                plotted(
                    figures, "matrix", attribution_matrix(rows, ranks), f"Methods by measures, {name}, {target}. The numbers are in the table below.",
                    setup=name, title=name, detail=f"target: {target}", wide=True,
                )
            )  # fmt: skip
            blocks.append(Block(setup=name, table=_standing_table(material, name, target)))
            order = [str(m) for m in material.standing(name, target)["method"]]
            heads = {m: metric_name(m) for m in METRIC_NAMES if (rows["metric"] == m).any()}
            heads |= {m: metric_name(m) for m in dict.fromkeys(rows["metric"]) if m not in heads}
            caption = f"Values and 95% intervals of {name}, {target}"
            blocks.append(
                Block(setup=name, table=wide_table(rows, "metric", caption, order=order, heads=heads))
            )
            blocks.append(Block(setup=name, table=_notes_table(rows, name, target)))
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
        lines.append(
            [
                named(row["method"], baseline_map=row["baseline_map"]),
                value_cell(row["mean_rank"], 1),
                *beaten,
                said,
            ]
        )
    columns = [
        "Method",
        "Mean rank",
        *(f"Beats the {label}" for label in BASELINE_NAMES.values()),
        "By mean rank",
    ]
    caption = f"In how many measures of the mean rank a method is surely better, {name}, {target}"
    return table(
        caption, columns, lines, folded=f"{caption}: the whole interval of the difference on the better side"
    )


def _notes_table(rows: pd.DataFrame, name: str, target: str) -> Table:
    known = rows[rows["value"].notna()]
    lines = []
    for metric, own in known.groupby("metric", sort=False):
        first = own.iloc[0]
        notes = own[own["note"].fillna("") != ""].groupby("note", sort=False)["method"].agg(list)
        told = [
            f"{note} ({listing([method_name(m) for m in methods], most=4)})"
            for note, methods in notes.items()
        ]
        if len(notes) == 1 and len(notes.iloc[0]) == len(own):
            told = [str(notes.index[0])]
        lines.append(
            [
                metric_name(metric),
                str(first["better"]),
                value_cell(first["chance"], 3),
                (own["n"].max(), count(own["n"].max())),
                (own["n_identities"].max(), count(own["n_identities"].max())),
                "; ".join(told),
            ]
        )
    columns = ["Measure", "Better", "Random map", "Images", "People", "Note"]
    return table(
        f"Measures of {name}, {target}", columns, lines, folded="What was measured on how many images"
    )


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
