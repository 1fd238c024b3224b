"""Sections on bias, on the dictionary and on the rules."""

from typing import Any

import pandas as pd

from fusiform.plotting import dictionary_histogram, dissection_bias
from fusiform.plotting._dissection_bias import bias_rows
from fusiform.plotting._dissection_rows import NETWORK_DISSECTION, pixels_a_mask
from fusiform.report._build import Figures, absent, plotted, value_cell
from fusiform.report._format import count, missing, number, scalar, words
from fusiform.report._parts import Block, Section, Table, table
from fusiform.report.dissection._material import Material

_MOST_PROBLEMS = 200


def bias(material: Material, figures: Figures) -> Section:
    """Which local concepts share units with which global groups."""
    blocks = []
    for name in material.networks_of("bias"):
        rows = material.tables["bias"]
        own = rows[rows["network"] == name]
        for layer in material.layers("bias", name):
            found = bias_rows(own[own["layer"] == layer])
            # One layer is enough; the first that has something to show.
            if not len(found):
                continue
            figure = dissection_bias(own, network=name, layer=layer)
            label = f"Local concepts and global groups that share units at {layer} of {name}. The numbers are in the table below."
            blocks.append(
                plotted(
                    figures, "bias", figure, label, setup=name, title=name, detail=layer, wide=True,
                    note="Dots: p < 0.05 for that one cell, not corrected for the number of cells. Blank: no unit, and less than one expected.",
                )
            )  # fmt: skip
            blocks.append(Block(setup=name, table=_bias_table(found, name, layer)))
            break
    return Section(
        "bias",
        "Units that join a local concept and a global group",
        [
            "Of the units paired with a local concept, how many are also paired with a global group, against what would be "
            "expected were the two independent (blue more, orange fewer). Such units do not show by themselves that the "
            "network is biased: where concept and group go together in the dictionary, on the right, units that follow either "
            "are paired with both. Where a task was named, the outermost column says how each concept goes with it in the training "
            "faces, and the strip on top how each group does.",
        ],
        absent(
            material,
            "bias",
            "there is no table of units that share a local concept and a global group; it needs both.",
        ),
        blocks,
    )


def _bias_table(rows: pd.DataFrame, name: str, layer: str) -> Table:
    lines = [
        [
            str(row["concept"]),
            str(row["group"]),
            (row["units"], count(row["units"])),
            value_cell(row["expected"], 1),
            value_cell(row["ratio"]),
            value_cell(row["p_value"], 3),
            value_cell(row["association"]),
            value_cell(row["task_association"]),
            value_cell(row.get("group_task_association")),
        ]
        for row in rows.to_dict("records")
    ]
    columns = [
        "Concept",
        "Group",
        "Units",
        "Expected",
        "Ratio",
        "p",
        "Phi in the dictionary",
        "Concept with the task",
        "Group with the task",
    ]
    folded = f"The {len(lines)} numbers behind this figure"
    return table(
        f"Units of a local concept and a global group at {layer} of {name}", columns, lines, folded=folded
    )


def dictionary(material: Material, figures: Figures) -> Section:
    """Figure 3, and what is wrong with the dictionary."""
    blocks = []
    listed = material.tables.get("dictionary")
    if listed is not None:
        figure = dictionary_histogram(listed)
        label = "Number of images of every concept of the dictionary. The numbers are in the table below."
        blocks.append(plotted(figures, "dictionary", figure, label, title="Images per concept"))
        blocks.append(Block(table=_dictionary_table(listed)))
        blocks.append(_problems_block(material.tables.get("problems")))
    overlap = material.tables.get("overlap")
    if overlap is not None:
        blocks.append(Block(table=_overlap_table(overlap)))
    return Section(
        "dictionary",
        "The dictionary",
        [
            "The images on which units were paired with concepts (figure 3). A concept with few images has a noisy IoU and few "
            "chances to be found."
        ],
        absent(material, "dictionary", "the run has no table of the dictionary."),
        blocks,
    )


def _dictionary_table(listed: pd.DataFrame) -> Table:
    lines = [
        [
            str(row["concept"]),
            str(row["kind"]),
            str(row["region"]),
            (row["images"], count(row["images"])),
            _pixels(row),
            "" if missing(row["note"]) else str(row["note"]),
        ]
        for row in listed.to_dict("records")
    ]
    columns = ["Concept", "Kind", "Region or category", "Images", "Pixels a mask", "Note"]
    return table("Concepts of the dictionary", columns, lines, folded=f"All {len(lines)} concepts")


def _pixels(row: dict[Any, Any]) -> tuple[Any, str]:
    """Mean area of a mask; the table holds the sum over the images."""
    each = pixels_a_mask(row["pixels"], row["images"], row["kind"])
    return each, "\N{EN DASH}" if each is None else f"{each:,.0f}"


def _problems_block(problems: pd.DataFrame | None) -> Block:
    if problems is None:
        return Block(title="Problems", note="No problems were recorded.")
    found = problems.fillna({"concept": "", "image_id": "", "reason": ""})
    counts = found.groupby(["reason", "concept"], sort=False).size().sort_values(ascending=False)
    kinds = counts.rename("n").reset_index().head(_MOST_PROBLEMS)
    lines = [
        [
            str(row["reason"]),
            str(row["concept"]),
            (row["n"], count(row["n"])),
            _named(found, row["reason"], row["concept"]),
        ]
        for row in kinds.to_dict("records")
    ]
    columns = ["Problem", "Concept", "Images", "Such as"]
    more = len(counts) - len(lines)
    return Block(
        title="Problems",
        detail=f"{count(len(problems))} in all",
        table=table("What is wrong with images and masks", columns, lines,
                    folded=f"{len(lines)} kinds" if len(lines) > 12 else ""),
        note=f"{count(more)} more kinds are in tables/problems.parquet." if more > 0 else "",
    )  # fmt: skip


def _named(found: pd.DataFrame, reason: Any, concept: Any) -> str:
    rows = found[(found["reason"] == reason) & (found["concept"] == concept)]
    return ", ".join(str(i) for i in rows["image_id"].head(3) if i)


def _overlap_table(overlap: pd.DataFrame) -> Table:
    columns = [str(c) for c in overlap.columns]
    lines = [
        ["" if missing(row[c]) else str(row[c]) for c in columns]
        for row in overlap.head(_MOST_PROBLEMS).to_dict("records")
    ]
    said = f"{count(len(overlap))} images of the dictionary are in the training set too"
    return table(said, [words(c) for c in columns], lines, folded=said)


def rules(material: Material) -> Section:
    """How units are paired: the thresholds that were used."""
    pairs = material.tables.get("pairs")
    lines: list[list[Any]] = []
    asked = material.run.request

    def told(key: str) -> str:
        return scalar(asked[key]) if key in asked and not missing(asked[key]) else "not recorded"

    if pairs is not None or "counts" in material.tables:
        lines += [
            ["Activated", f"activation above the unit's quantile of the top {told('quantile')} of all images and positions"],
            ["Area", "maps enlarged bilinearly to the mask's size; IoU over images that are labelled for the concept; union: " + told("union")],
            ["Network Dissection", f"the concept with the highest IoU, where that reaches {told('iou')}"],
            ["Hierarchical, stage II", f"the concept with the highest IoU, where that reaches {told('iou')}, names the unit's region of the face"],
            ["Units of a region", "those paired with a local concept of it: by stages II and III, or by Network Dissection where that alone was asked for"],
        ]  # fmt: skip
    if pairs is not None:
        own = pairs[pairs["method"] != NETWORK_DISSECTION]
        known = own.drop_duplicates(["scope", "region", "threshold"])
        for row in known.sort_values(["scope", "region"], kind="stable").to_dict("records"):
            stage = "I" if row["scope"] == "global" else "III"
            of = "of the category" if stage == "I" else "of the region"
            lines.append(
                [
                    f"Hierarchical, stage {stage}",
                    f"{row['region']}: probability among the concepts {of} above {number(row['threshold'], 3)}",
                ]
            )
    made = table("Rules by which units were paired", ["Step", "Rule"], lines)
    text = (
        "Thresholds of probabilities are strict: what equals one does not pass. Probabilities of a category or of a region add up to 1. Beside the "
        "thresholds, each pair has a p-value: of a global group, how often as high a probability came up when the groups of images "
        "were permuted, or, where hardly any permutation reached it, how often by the mean, variance and skewness of all permutations; of a local concept, how probable as large an overlap is when the masks are dealt out among the images anew. q "
        "is the p-value with the false discovery rate controlled. Pairs are those of the thresholds, as published; a q above 0.05 "
        "says that chance would do."
    )
    return Section(
        "rules",
        "How units are paired",
        [text],
        "nothing was dissected.",
        [Block(table=made)] if lines else [],
    )
