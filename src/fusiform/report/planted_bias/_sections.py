"""Sections of the page of a study of planted bias: figures 4 to 8 of the paper."""

from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from fusiform.plotting import planted_biased, planted_counts, planted_probabilities
from fusiform.plotting._dissection_rows import region_said
from fusiform.report._build import Figures, absent, interval_cell, one_of, plotted, value_cell
from fusiform.report._format import count, listing, missing, percent, seconds, signed
from fusiform.report._parts import Block, Cell, Picture, Section, Table, table
from fusiform.report._pictures import embedded
from fusiform.report._verdicts import findings_blocks
from fusiform.report.planted_bias._material import EYEGLASSES, GREY, Material
from fusiform.report.planted_bias._summary import other_way

_SPRITE_PX = 900
# The study dissects with the threshold of the paper.
_IOU = 0.04
_MOST = 200
_ACCURACIES = ("accuracy", "accuracy congruent", "accuracy incongruent")
_CARRIES = {EYEGLASSES: "wear eyeglasses", GREY: "are shown in grey"}


def findings(material: Material) -> Section:
    """Say which of the paper's findings hold here."""
    found = material.tables.get("findings")
    blocks = []
    if found is not None:
        of = found["setup"] if "setup" in found.columns else found["network"]
        for cue, own in found.groupby(of.fillna("").astype(str), sort=False):
            made = findings_blocks(own.assign(network=""), by="network", source="paper")
            blocks += [replace(block, title=f"Cue: {cue}" if cue else "") for block in made]
    return Section(
        "findings",
        "Findings of the paper",
        [
            "What Teotia et al. (2022) found in section 4, put as statements that can fail, and what was measured here. Intervals "
            "are over seeds; with three seeds they are wide, and a verdict is “unclear” where they do not settle it."
        ],
        absent(material, "findings", "the run has no table of findings."),
        blocks,
    )


def design(material: Material) -> Section:
    """Figure 4 in words, and the networks."""
    text = [
        "A cue is planted in the training of a network that tells men from women: P percent of the men carry it, and 100 "
        "\N{MINUS SIGN} P percent of the women (figure 4). At P = 50 the cue says nothing about sex; at P = 100 it is all that "
        "is needed. The test faces carry it independently of sex, so what a network does with the cue shows in the gap between "
        "congruent faces (men with the cue, women without it) and incongruent ones.",
    ]
    blocks: list[Block] = []
    for cue in material.cues:
        rows = material.rows("trained", cue)
        if not len(rows):
            continue
        seeds = rows["seed"].nunique()
        text.append(
            f"Cue {cue}: men of whom P percent {_CARRIES.get(cue, 'carry the cue')}; P = "
            f"{listing([str(int(p)) for p in sorted(rows['percent'].unique())], most=12)}, "
            f"{seeds} {'network' if seeds == 1 else 'networks'} each, from other random weights."
        )
        lines: list[list[Any]] = [
            [
                (row["percent"], count(row["percent"])),
                (row["seed"], count(row["seed"])),
                *((row[c], percent(row[c])) for c in ("accuracy", "accuracy_congruent", "accuracy_incongruent")),
                (row["n_train"], count(row["n_train"])),
                (row["n_test"], count(row["n_test"])),
                (row["steps"], count(row["steps"])),
                (row["seconds"], seconds(row["seconds"])),
            ]
            for row in rows.to_dict("records")
        ]  # fmt: skip
        columns = ["P", "Seed", "Accuracy", "Congruent", "Incongruent", "Trained on", "Tested on", "Steps"]
        blocks += _sheets(material, cue)
        blocks.append(
            Block(table=table(f"Networks of the cue {cue}", [*columns, "Time"], lines, folded=f"{len(lines)} networks of the cue {cue}"))
        )  # fmt: skip
    return Section(
        "design",
        "What was planted",
        text,
        absent(material, "trained", "no network was trained."),
        blocks,
    )


def _sheets(material: Material, cue: str) -> list[Block]:
    """Figure 4: pictures that the networks were trained with."""
    rows = material.rows("training", cue)
    blocks = []
    for strength, own in rows.groupby("percent") if len(rows) else []:
        pictures = []
        for group, part in own.groupby("group", sort=False):
            source = embedded(material.run, part["file"].iloc[0], most_px=_SPRITE_PX)
            if source is not None:
                share = percent(part["cue_present"].astype(float).mean())
                said = f"{group}: {share} of these {len(part)} carry the cue"
                pictures.append(Picture(source, f"{len(part)} training pictures, {said}", said))
        if pictures:
            title = f"Training pictures at P = {count(strength)}"
            blocks.append(Block(title=title, detail=f"cue: {cue}; at random", pictures=pictures))
    return blocks


def accuracy(material: Material, figures: Figures) -> Section:
    """Whether the networks use the cue."""
    blocks = []
    for cue in material.cues:
        wanted = [q for q in _ACCURACIES if q in material.quantities(cue)]
        if not wanted:
            continue
        figure = planted_counts(
            material.tables["summary"], wanted, cue=cue, title="accuracy on test faces", share=True
        )
        label = f"Accuracy on test faces over the strength of the cue {cue}."
        blocks.append(plotted(figures, "accuracy", figure, label, title=f"Cue: {cue}"))
    return Section(
        "accuracy",
        "Do the networks use the cue?",
        [
            "Accuracy on all test faces, on those that agree with the planted bias, and on those that contradict it; means and "
            "95% t intervals over seeds. Where the last two part, the network relies on the cue, and dissection has something to find."
        ],
        absent(material, "summary", "the run has no table of accuracies."),
        blocks,
    )


def regions(material: Material, figures: Figures) -> Section:
    """Figure 6: units of every region of the face, and units paired with eyeglasses."""
    blocks = []
    if EYEGLASSES in material.cues:
        known = material.quantities(EYEGLASSES)
        of_layers = material.rows("units_regions", EYEGLASSES)
        detail = str(of_layers["layer"].iloc[0]) if len(of_layers) else ""
        # The other way of measuring IoU names itself in brackets.
        asked = f"union {material.run.request.get('union', 'all')}"
        ways: dict[str, list[str]] = {}
        for quantity in known:
            name, _, way = quantity.partition(" (")
            if name.endswith(" region units"):
                ways.setdefault(way.rstrip(")") or asked, []).append(quantity)
        draw = partial(
            planted_counts,
            material.rows("summary"),
            control=material.tables.get("control"),
            cue=EYEGLASSES,
        )
        label = "{} over the strength of the bias."
        if ways:
            title = "Units of every region of the face"
            views = {way: draw(quantities=quantities) for way, quantities in ways.items()}
            blocks.append(
                plotted(figures, "regions", one_of(views), label.format(title), title=title, detail=detail, pick=list(views))
            )  # fmt: skip
        for title, axis, wanted in (
            ("Units paired with eyeglasses", "units", [q for q in known if q.startswith("eyeglasses units")]),
            ("IoU of units with eyeglasses", "IoU", [q for q in known if "IoU with eyeglasses" in q]),
        ):
            if wanted:
                figure = draw(quantities=wanted, title=axis)
                blocks.append(
                    plotted(figures, "eyeglasses", figure, label.format(title), title=title, detail=detail)
                )
        shared = material.tables.get("overlap")
        if shared is not None:
            lines = [
                [str(row["image_id"]), str(row["other_id"]), str(row["kind"])]
                for row in shared.head(_MOST).to_dict("records")
            ]
            said = f"{count(len(shared))} images of the dictionary were training pictures too, and were left out of it"
            blocks.append(
                Block(
                    table=table(
                        said, ["Image of the dictionary", "Training picture", "Alike"], lines, folded=said
                    )
                )
            )
        compared = _ratios(material, EYEGLASSES)
        blocks += [Block(table=compared)] if compared is not None and blocks else []
    return Section(
        "regions",
        "Eyeglasses: units per region",
        [
            f"Units of the second-to-last convolution by region (figure 6). {region_said(_IOU)} Beside them, units paired with the "
            "concept Eyeglasses itself. Means and 95% t intervals over seeds; dotted: networks with "
            "random weights. The paper found more than three times as many eyeglasses units at P = 100 as at P = 50, more units "
            "of the eye region, and fewer of the cheeks."
        ],
        absent(material, "units_regions", "no network was trained with eyeglasses as a cue."),
        blocks,
    )


def _ratios(material: Material, cue: str) -> Table | None:
    rows = material.rows("ratios", cue)
    if not len(rows):
        return None
    lines = [
        [
            str(row["quantity"]),
            str(row["layer"]),
            value_cell(row["ratio"]),
            (row["difference"], signed(row["difference"])),
            interval_cell(row["lower"], row["upper"]),
            value_cell(row["spread"]),
            _exceeds(row),
            "" if missing(row["paper"]) else str(row["paper"]),
        ]
        for row in rows.to_dict("records")
    ]
    high, low = (count(rows[f"percent_{end}"].iloc[0]) for end in ("high", "low"))
    columns = [
        *(
            "Quantity",
            "Layer",
            f"P = {high} over P = {low}",
            "Difference",
            "95% interval",
            "Range over seeds",
        ),
        *("Exceeds it", "In the paper"),
    ]
    return table(f"P = {high} against P = {low}, cue {cue}", columns, lines)


def _exceeds(row: dict[Any, Any]) -> Cell:
    if missing(row["exceeds"]):
        return Cell("\N{EN DASH}")
    return Cell("yes, the other way" if other_way(row) else "yes" if row["exceeds"] else "no")


def grey(material: Material, figures: Figures) -> Section:
    """Figures 7 and 8: what units of every stage prefer."""
    blocks = []
    probabilities = material.rows("probabilities", GREY)
    if len(probabilities):
        figure = planted_probabilities(probabilities, cue=GREY)
        label = "Probability of colour of all units of every stage, sorted, a line a strength of the bias."
        blocks.append(
            plotted(figures, "probabilities", figure, label, title="Sorted probabilities of units",
                    detail="dashed: thresholds 0.45 and 0.55; means over seeds at the same rank")
        )  # fmt: skip
    biased = material.rows("biased", GREY)
    if len(biased):
        summary = material.rows("summary", GREY)
        figure = planted_biased(biased, summary if len(summary) else None, cue=GREY)
        label = "Number of biased units of every stage over the strength of the bias. The numbers are in the table below."
        blocks.append(
            plotted(figures, "biased", figure, label, title="Biased units", detail="95% t intervals over seeds")
        )  # fmt: skip
        blocks.append(Block(table=_biased_table(biased)))
        compared = _ratios(material, GREY)
        blocks += [Block(table=compared)] if compared is not None else []
    return Section(
        "grey",
        "Grey: units that prefer grey or colour",
        [
            "Stage I on a test set of which half is grey: the two probabilities of a unit, for grey and for colour, add up to 1 "
            "(figure 7). A gentle slope through a half means units that do not care. A unit whose probability of either is above "
            "0.55 counts as biased (figure 8). The paper found steeper slopes and more biased units with rising P, at every stage."
        ],
        absent(material, "probabilities", "no network was trained with grey pictures as a cue."),
        blocks,
    )


def _biased_table(biased: pd.DataFrame) -> Table:
    keys = ["stage", "layer", "percent"]
    lines: list[list[Any]] = []
    for _, own in biased.groupby(keys, sort=False):
        first = own.iloc[0]
        total = own.groupby("seed")["units"].sum()
        towards = [own.loc[own["towards"] == name, "units"] for name in ("grey", "colour")]
        lines.append(
            [
                str(first["stage"]),
                str(first["layer"]),
                (first["percent"], count(first["percent"])),
                *(value_cell(units.mean() if len(units) else 0, 1) for units in towards),
                value_cell(total.mean(), 1),
                Cell(f"{count(total.min())} to {count(total.max())}"),
                (first["of"], count(first["of"])),
            ]
        )
    columns = ["Stage", "Layer", "P", "Towards grey", "Towards colour", "Biased", "Over seeds", "Of"]
    folded = f"The {len(lines)} numbers behind this figure"
    return table("Biased units, means over seeds", columns, lines, folded=folded)


def top(material: Material, figures: Figures) -> Section:
    """Figure 5: the images with the highest activation."""
    blocks = []
    for cue in material.cues:
        rows = material.rows("top", cue)
        if not len(rows):
            continue
        wanted = [q for q in material.quantities(cue) if " among top " in q]
        if wanted:
            control = material.tables.get("control")
            figure = planted_counts(
                material.tables["summary"], wanted, control=control, cue=cue, title="images with the cue", share=True
            )  # fmt: skip
            label = f"Share of the top images that carry the cue {cue}."
            blocks.append(plotted(figures, "top", figure, label, title=f"Top images with the cue: {cue}"))
        for strength, own in rows.groupby("percent"):
            pictures = [_sprite(material, part) for _, part in own.groupby("group", sort=False)]
            kept = [p for p in pictures if p is not None]
            if kept:
                blocks.append(Block(title=f"P = {strength}", detail=f"cue: {cue}", pictures=kept))
    return Section(
        "top",
        "The most activating images",
        [
            "The test images of men and of women in which the dissected layer is most active, the most activating first (figure "
            "5): 50 of a group, or a quarter of its pictures where these are fewer than 200. The test faces carry the cue independently of sex: half of these images would, were the cue nothing to the network."
        ],
        absent(material, "top", "the run keeps no most activating images."),
        blocks,
    )


def _sprite(material: Material, rows: pd.DataFrame) -> Picture | None:
    shown = rows[rows["file"].fillna("") != ""]
    if not len(shown):
        return None
    file = shown["file"].iloc[0]
    own = shown[shown["file"] == file]
    source = embedded(material.run, file, most_px=_SPRITE_PX)
    if source is None:
        return None
    group = str(own["group"].iloc[0])
    share = percent(own["cue_present"].astype(float).mean())
    said = f"{group}: {share} of the top {len(own)} carry the cue (seed {own['seed'].iloc[0]})"
    return Picture(source, f"The {len(own)} most activating images, {said}", said)
