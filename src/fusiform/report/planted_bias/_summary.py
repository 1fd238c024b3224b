from typing import Any

import pandas as pd

from fusiform.report._cards import cautions_on_faces
from fusiform.report._format import count, listing, missing, number, percent, signed
from fusiform.report._verdicts import verdicts_figure, verdicts_said
from fusiform.report.planted_bias._material import EYEGLASSES, GREY, Material


def sentences(material: Material) -> list[str]:
    """Say in plain words what was found; every number comes from a table."""
    if not material.cues:
        return [
            "This run asks whether dissection shows a bias that was planted in the training of a network.",
            "No network was trained, so there is little to say yet.",
        ]
    trained = material.rows("trained")
    n = len(trained)
    many = (
        f"{count(n)} networks that tell men from women were"
        if n
        else "Networks that tell men from women were"
    )
    said = [
        f"Does dissection show a bias that was planted? {many} trained on sets in which a cue ({listing(material.cues)}) goes "
        "with sex, from not at all (P = 50) to wholly (P = 100)."
    ]
    for cue in material.cues:
        said += [*_used(material, cue), *_changes(material, cue)]
    return [*said, *verdicts_said(material.tables.get("findings")), *_problems(material)]


def _ends(material: Material, cue: str, quantity: str) -> tuple[pd.Series, pd.Series] | None:
    rows = material.rows("summary", cue)
    rows = rows[rows["quantity"] == quantity].sort_values("percent", kind="stable") if len(rows) else rows
    return (rows.iloc[0], rows.iloc[-1]) if len(rows) > 1 else None


def _used(material: Material, cue: str) -> list[str]:
    parts = []
    for quantity, name in (
        ("accuracy congruent", "faces that agree with the bias"),
        ("accuracy incongruent", "faces that contradict it"),
    ):
        ends = _ends(material, cue, quantity)
        if ends is not None:
            low, high = ends
            parts.append(
                f"{percent(low['value'])} at P = {count(low['percent'])} and {percent(high['value'])} at P = "
                f"{count(high['percent'])} on {name}"
            )
    return [f"Cue {cue}: accuracy {'; '.join(parts)}."] if parts else []


def _changes(material: Material, cue: str) -> list[str]:
    rows = material.rows("ratios", cue)
    if not len(rows):
        return []
    wanted = (
        ["eyeglasses units", "Eye region units", "Cheek region units"]
        if cue == EYEGLASSES
        else ["biased units"]
    )
    said = []
    stages = {layer: int(stage) if stage.isdigit() else 0 for stage, layer in material.stages.items()}
    own = sorted(
        rows[rows["quantity"].isin(wanted)].to_dict("records"),
        key=lambda row: (wanted.index(row["quantity"]), stages.get(str(row["layer"]), 0)),
    )
    for row in own:
        where = f" at {row['layer']}" if cue == GREY else ""
        ratio = "" if missing(row["ratio"]) else f", {number(row['ratio'])} times as many"
        beyond = (
            "one seed, so it cannot be said whether that is chance"
            if missing(row["exceeds"])
            else f"{'more' if row['exceeds'] else 'not more'} than the range over seeds"
        )
        beyond += ", but the other way than in the paper" if other_way(row) else ""
        said.append(
            f"{row['quantity']}{where}: {signed(row['difference'], 1)} from P = {count(row['percent_low'])} to P = "
            f"{count(row['percent_high'])}{ratio} ({beyond})."
        )
    return [text[:1].upper() + text[1:] for text in said]


def other_way(row: dict[Any, Any]) -> bool:
    """Say whether a change is greater than the seeds differ, and not of the paper's sign."""
    agrees = row.get("agrees")
    return not missing(row["exceeds"]) and bool(row["exceeds"]) and not missing(agrees) and not agrees


def _problems(material: Material) -> list[str]:
    if not material.problems:
        return []
    names = [str(p.get("experiment", "")) for p in material.problems]
    return [f"Failed, and therefore missing here: {listing(names, most=12)}."]


def key_figures(material: Material) -> list[dict[str, str]]:
    """Give the numbers at the top of the page: label, value, note."""
    figures = []

    def add(label: str, value: str, note: str = "") -> None:
        figures.append({"label": label, "value": value, "note": note})

    trained = material.rows("trained")
    if len(trained):
        seeds = trained["seed"].nunique()
        add("Networks", count(len(trained)), f"{seeds} seed{'s' if seeds != 1 else ''}")
    for cue in material.cues:
        ends = _ends(material, cue, "accuracy")
        if ends is not None:
            add(f"Accuracy, {cue}", percent(ends[0]["value"]), f"at P = {count(ends[0]['percent'])}")
    rows = material.rows("ratios")
    for quantity, label in (("eyeglasses units", "Eyeglasses units"), ("Cheek region units", "Cheek units")):
        own = rows[rows["quantity"] == quantity] if len(rows) else rows
        if len(own) and not missing(own["ratio"].iloc[0]):
            first = own.iloc[0]
            note = f"P = {count(first['percent_high'])} against {count(first['percent_low'])}"
            if quantity == "eyeglasses units":
                note += "; paper: over 3"
            add(label, f"\N{MULTIPLICATION SIGN} {number(first['ratio'])}", note)
    return [*figures, *verdicts_figure(material.tables.get("findings"))]


def cautions(material: Material) -> list[str]:
    """Say what the numbers of this page do not show."""
    notes = cautions_on_faces(material.run, probed=False)
    if material.run.request.get("quick"):
        notes.append(
            "This was a quick look, at little of everything: numbers are rougher than those of a whole study."
        )
    notes += material.cautions
    trained = material.rows("trained")
    if len(trained) and trained["seed"].nunique() < 3:
        notes.append(
            "With fewer than three seeds there is no telling a change by the bias from a change by chance."
        )
    notes += [
        "Intervals are t intervals over a few seeds: they are wide, and assume that values over seeds are near to normal.",
        "That a network has the chance to use the cue does not mean that it does. Only where accuracy on faces that contradict the "
        "bias falls is there a bias for dissection to show.",
        "Labels of sex are those of the data set, and two groups are all that it knows; the study is about a planted shortcut, not "
        "about men and women.",
    ]
    return notes
