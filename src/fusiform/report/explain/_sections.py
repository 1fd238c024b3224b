"""Sections of the page of an explanation."""

from typing import Any

import numpy as np
import pandas as pd

from fusiform.plotting import draw_map, explained_parts, explained_scores, map_scale
from fusiform.report._build import Figures, absent, interval_cell, plotted, value_cell
from fusiform.report._format import count, missing, number, seconds
from fusiform.report._parts import Block, Cell, Picture, Section, table
from fusiform.report.explain._maps import _picture, method_name
from fusiform.report.explain._material import Material

SHAPLEY, REST = "shapley", "rest"
_VARIANTS = (
    "Exact Shapley values: each part's mean gain of the score over all orders in which the parts can be added to a face of "
    "which none is shown; they sum to the score less that of the face with all parts hidden. The bars are no confidence "
    "intervals: they go from the least to the most over eight ways to hide parts, which are four fills (mean colour, blur, "
    "noise, grey) in place, and the mean colour with face and parts moved by 3% of the side up, down, left and right."
)


def decision(material: Material, figures: Figures) -> Section:
    """The score, and what it is held against."""
    scores = material.rows("scores")
    blocks = []
    compared = scores[scores["target"] == "similarity"]
    if len(compared):
        label = "Cosine similarity of each pair beside the network's threshold. The numbers are in the table below."
        blocks.append(plotted(figures, "scores", explained_scores(compared), label))
    if len(scores):
        blocks.append(Block(table=_score_table(scores, compared=len(compared) > 0)))
    text = {
        "images": "What the network says about each image. A map explains the score of the class or unit named here.",
        "identities": "Pairs of both people's images, one of each, by which paired occlusion looks for differences.",
    }.get(
        material.question,
        "Two images match where the cosine similarity of their embeddings is at least the threshold.",
    )
    return Section(
        "decision",
        "Scores",
        [text, *_threshold_said(material)],
        absent(material, "scores", "the run has no table of scores."),
        blocks,
    )


def _threshold_said(material: Material) -> list[str]:
    found = material.calibration
    if found:
        return [
            f"The threshold was found on {found.get('faces')}: {count(found.get('n_nonmate_pairs'))} pairs of two people, of "
            f"which a share of {found.get('false_match_rate'):g} may match, and {count(found.get('n_mate_pairs'))} pairs of one "
            f"person, of which {number(found.get('false_non_match_rate'), 3)} do not match at it. Its 95% interval resamples "
            f"{count(found.get('n_identities'))} people."
        ]
    if material.question == "images":
        return []
    if material.run.request.get("threshold") is not None:
        return ["The threshold was given with the question; it has no interval."]
    if material.run.network.get("threshold") is not None:
        return [
            "The threshold is that of the network's card; it has no interval. --calibrate finds one on faces of your own."
        ]
    return ["No threshold is known of this network. Give --threshold, or find one by --calibrate."]


def _score_table(scores: pd.DataFrame, *, compared: bool) -> Any:
    lines = []
    for row in scores.to_dict("records"):
        line: list[Any] = [str(row["image"])]
        if compared:
            line += [str(row["other"]), str(row["target"])]
        else:
            line.append(str(row["target"]))
        line.append(value_cell(row["score"], 3))
        if compared:
            line += [value_cell(row["threshold"], 3), interval_cell(row["lower"], row["upper"], 3)]
        line.append("" if missing(row["decision"]) else str(row["decision"]))
        if compared:
            line.append(value_cell(row["match_probability"], 3))
        lines.append(line)
    columns = (
        [
            "Image",
            "Compared with",
            "Score of",
            "Score",
            "Threshold",
            "95% interval",
            "Decision",
            "Match probability",
        ]
        if compared
        else ["Image", "Explained", "Score", "Predicted"]
    )
    return table("Scores", columns, lines)


def parts(material: Material, figures: Figures) -> Section:
    """What the parts of the face contribute, and what each map holds in them."""
    found, groups = material.rows("parts"), material.rows("part_groups")
    shapley = found[found["method"] == SHAPLEY]
    blocks = []
    for image, own in groups.groupby(groups["image"].fillna(""), sort=False):
        title = str(image) if image else "Both images together"
        figure = explained_parts(own.assign(image=""))
        label = f"Shapley value of each part of the face, {title}, with the range over all variants."
        if groups["image"].nunique() > 4:
            continue
        blocks.append(
            plotted(figures, "groups", figure, label, title=title, detail="both sides of the face as one")
        )
    if len(shapley) and shapley["image"].nunique() <= 2:
        label = "Shapley value of each part of each image, with the range over all variants. The table below has the numbers."
        blocks.append(
            plotted(figures, "parts", explained_parts(shapley), label, title="Each image, each part")
        )
    if len(shapley):
        blocks.append(Block(table=_shapley_table(shapley)))
    held = found[found["method"] != SHAPLEY]
    if len(held):
        blocks.append(Block(table=_mass_table(held)))
    text = [
        _VARIANTS,
        "A share is a value over the sum of the absolute values of all parts, so that shares keep their sign. Beside them "
        "stands what each method's map holds within a part, as a share of the map's absolute sum; large parts hold more.",
    ]
    return Section(
        "parts", "Parts of the face", text, absent(material, SHAPLEY, "no part could be seen."), blocks
    )


def _shapley_table(shapley: pd.DataFrame) -> Any:
    lines = [
        [
            str(row["part"]).replace("_", " "),
            str(row["image"]),
            value_cell(row["share"]),
            interval_cell(row["share_lower"], row["share_upper"]),
            value_cell(row["value"], 3),
            interval_cell(row["lower"], row["upper"], 3),
        ]
        for row in shapley.to_dict("records")
    ]
    columns = ["Part", "Image", "Share", "Range of the share", "Shapley value", "Range of the value"]
    return table(
        "Shapley values of the parts", columns, lines, folded=f"The {len(lines)} values of the parts"
    )


def _mass_table(held: pd.DataFrame) -> Any:
    methods = list(dict.fromkeys(held["method"]))
    lines = []
    for (image, part), own in held.groupby(["image", "part"], sort=False):
        share = own.set_index("method")["share"].to_dict()
        name = "outside the parts" if part == REST else str(part).replace("_", " ")
        lines.append([name, str(image), *(value_cell(share.get(m)) for m in methods)])
    columns = ["Part", "Image", *(method_name(str(m)) for m in methods)]
    return table("Share of each map's absolute sum within the parts", columns, lines)


def apart(material: Material, figures: Figures) -> Section:
    """Where two people differ, on the canonical face and in order."""
    found, maps = material.rows("look_alikes"), material.rows("canonical_maps")
    blocks = []
    known = [
        (row, values)
        for row in maps.to_dict("records")
        if (values := material.values(row["file"])) is not None
    ]
    if known:
        scale = map_scale([values for _, values in known])
        pictures = [
            _canonical(draw_map(values, material.face(row["face"]), scale), str(row["group"]), int(row["n"]))
            for row, values in known
        ]
        note = f"One scale: full colour is \N{PLUS-MINUS SIGN}{number(scale, 3)} of the contrast. Red places tell the two apart."
        blocks.append(Block(title="On the canonical face", pictures=pictures, note=note))
    if len(found):
        rows = found.rename(columns={"value": "density"})
        drawn = rows.assign(value=rows["density"] - 1, lower=rows["lower"] - 1, upper=rows["upper"] - 1)
        figure = explained_parts(
            drawn, title="evidence a pixel, over the face's mean, less 1", names=found["part"].tolist()
        )
        blocks.append(
            plotted(figures, "apart", figure, "Density of the evidence in each part.", title="Parts in order")
        )
        blocks.append(Block(table=_rank_table(found)))
    learned = material.rows("pair_threshold")
    for row in learned.to_dict("records"):
        said = (
            f"Threshold of paired occlusion: {number(row['value'], 4)}, learned from {count(row['n_matches'])} pairs of one "
            f"person and {count(row['n_nonmatches'])} of two, none of them shown here. It lights up in {number(100 * row['hits'], 0)}% of "
            f"the pairs of two and {number(100 * row['false_alarms'], 0)}% of those of one; and in {number(100 * row['lit'], 0)}% of the "
            f"{count(row['n'])} pairs of these two people."
        )
        blocks.append(Block(note=said))
    if not len(learned) and "pair_threshold" in material.reasons:
        blocks.append(Block(note=f"Paired occlusion has no threshold: {material.reasons['pair_threshold']}"))
    text = [
        "Every image is explained by its contrast: similarity with the mean of its person's other images, less that with the mean "
        "of the other person's. A window slides over the canonical face, and in every image hides the same place; what it costs is "
        "averaged over images. A part's density is its share of the evidence over its share of the face: above 1, it tells more "
        "than a part of its size would. Intervals resample images, 95%."
    ]
    return Section(
        "apart",
        "What tells them apart",
        text,
        absent(material, "canonical saliency", "no canonical map was made."),
        blocks,
    )


def _canonical(pixels: Any, group: str, n: int) -> Picture:
    made = _picture(np.asarray(pixels), f"Canonical saliency map of {group}")
    return Picture(made.source, made.alt, f"{group}, {n} {'image' if n == 1 else 'images'}")


def _rank_table(found: pd.DataFrame) -> Any:
    lines = [
        [
            str(row["part"]),
            (row["rank"], count(row["rank"])),
            value_cell(row["value"]),
            interval_cell(row["lower"], row["upper"]),
            value_cell(row["share"]),
            value_cell(row["area"]),
        ]
        for row in found.to_dict("records")
    ]
    columns = [
        "Part",
        "Rank",
        "Density of the evidence",
        "95% interval",
        "Share of the evidence",
        "Share of the face",
    ]
    return table("Parts, the most telling first", columns, lines)


def methods(material: Material) -> Section:
    """What each method was asked, and which do not apply."""
    maps, refused = material.rows("maps"), material.rows("not_applicable")
    blocks = []
    if len(maps):
        lines = []
        for method, own in maps.groupby("method", sort=False):
            first = own.iloc[0]
            told = "" if missing(first["options"]) else str(first["options"])
            spent = own["seconds"].mean()
            lines.append(
                [
                    method_name(str(method)),
                    str(first["family"]),
                    Cell(told),
                    (spent, seconds(spent)),
                    value_cell(own["total"].mean(), 3),
                ]
            )
        columns = ["Method", "Family", "Options", "Time an image", "Mean sum of a map"]
        blocks.append(Block(table=table("Methods shown", columns, lines)))
    if len(refused):
        lines = [[str(row["method"]), Cell(str(row["why"]))] for row in refused.to_dict("records")]
        blocks.append(Block(table=table("Methods that do not apply here", ["Method", "Why"], lines)))
    text = [
        "Maps are in each method's own units and are not rescaled. Methods differ in what they ask: perturbation methods say what "
        "is lost when a place is hidden, gradients what a small change would do, propagation how the score is shared among pixels. "
        "Where they disagree, none is right by itself; the command fusiform study attribution measures which are to be trusted on a network."
    ]
    return Section("methods", "Methods", text, absent(material, "maps", "no method made a map."), blocks)


def left_out(material: Material) -> Section:
    """Images, parts and methods that are not shown, and what failed."""
    rows = [
        [
            Cell("" if missing(row["image_id"]) else str(row["image_id"])),
            str(row["method"] or ""),
            Cell(str(row["reason"])),
        ]
        for row in material.rows("skipped").to_dict("records")
    ]
    made = table("What is left out, and why", ["Image", "Method", "Reason"], rows)
    return Section("left-out", "Left out", [], "nothing was left out.", [Block(table=made)] if rows else [])
