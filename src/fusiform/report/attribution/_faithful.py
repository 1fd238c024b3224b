"""Sections on faithfulness: deletion and insertion, the inpainting game, sanity checks."""

from typing import Any

import pandas as pd

from fusiform.plotting import (
    attribution_curves,
    attribution_dots,
    attribution_grid,
    attribution_sanity,
)
from fusiform.plotting._attribution_study_lines import (
    FAILS,
    NOT_JUDGED,
    PASSES,
    SIMILARITY_NAMES,
    UNCLEAR,
    sanity_verdicts,
)
from fusiform.plotting._attribution_study_rows import method_name
from fusiform.report._build import Figures, absent, interval_cell, one_of, plotted, value_cell
from fusiform.report._format import count, interval, listing, number, percent
from fusiform.report._parts import Block, Section, Table, table
from fusiform.report.attribution._material import Material, missing_said
from fusiform.report.attribution._wide import wide_table

_KINDS = {
    "cascading": "cascading: all weights down to a layer",
    "independent": "independent: one layer alone",
}


def curves(material: Material, figures: Figures) -> Section:
    """Deletion and insertion."""
    blocks = []
    for name in material.networks_of("curves"):
        for target in material.targets("curves", name):
            rows = material.rows("curves", name, target)
            if not rows["score"].notna().any():
                continue
            order = [str(m) for m in material.standing(name, target)["method"]]
            figure = attribution_curves(rows, order=order)
            label = f"Deletion and insertion curves of {name}, {target}. The areas below them are in the table of measures."
            blocks.append(
                plotted(figures, "curves", figure, label, setup=name, title=name, detail=f"target: {target}", wide=True,
                        note="The three methods with the best mean rank are drawn; choose others in the legend, two clicks show one alone. Grey: baseline maps.")
            )  # fmt: skip
    return Section(
        "curves",
        "Deletion and insertion",
        [
            "The score while pixels are taken out, the most salient first, and while they are put back in. A faithful map makes the score "
            "fall, or rise, sooner than the grey lines of maps that know nothing of the network. Bands: 95% intervals over people."
        ],
        absent(material, "curves", "the run has no table of curves."),
        blocks,
    )


def inpainting(material: Material, figures: Figures) -> Section:
    """The inpainting game."""
    blocks = []
    for name in material.networks_of("inpainting"):
        rows = material.rows("inpainting", name)
        rows = rows[rows["probability"].notna()].assign(value=lambda r: r["probability"])
        whole = rows[rows["part"] == "all"]
        if len(whole):
            rates = sorted(whole["false_alarm_rate"].unique())
            panels = {_rate(rate): f"false alarm rate {_rate(rate)}" for rate in rates}
            figure = attribution_dots(
                whole.assign(panel=whole["false_alarm_rate"].map(_rate)), panels=panels, order=material.order(name),
                families=material.families, share=True, title="probability of being taken for the other person",
            )  # fmt: skip
            played, dropped = (int(whole[c].max()) for c in ("played", "dropped"))
            label = f"Inpainting game of {name}: probability of being taken for the other person. The numbers are in the table below."
            blocks.append(
                plotted(figures, "inpainting", figure, label, setup=name, title=name,
                        detail=f"{count(played)} triplets played, {count(dropped)} dropped", wide=True)
            )  # fmt: skip
        parts = rows[rows["part"] != "all"]
        if len(parts):
            views = {
                f"false alarm rate {_rate(rate)}": _parts_figure(own, material.order(name))
                for rate, own in parts.groupby("false_alarm_rate")
            }
            label = f"Inpainting game of {name} by part of the face. The numbers are in the table below."
            blocks.append(
                plotted(figures, "inpainting-parts", one_of(views), label, setup=name, title="By part", pick=list(views), wide=True)
            )  # fmt: skip
        if len(rows):
            blocks.append(Block(setup=name, table=_inpainting_table(material, rows, name)))
    return Section(
        "inpainting",
        "Inpainting game",
        [
            "One part of a face was replaced by that of another person, so that the network takes it for that person. The pixels that a map "
            "calls most discriminative are replaced first; a good map finds the part, and the identity changes, before more than 1% or "
            "5% of the pixels beside it are replaced (false alarms). Only triplets that the network tells apart are played; the others are "
            "counted as dropped."
        ],
        missing_said(material, ["inpainting game"], "the run has no table of the inpainting game."),
        blocks,
    )


def _rate(rate: Any) -> str:
    return f"{100 * float(rate):g}%"


def _parts_figure(rows: pd.DataFrame, order: list[str]) -> Any:
    heads = {
        str(
            r["part"]
        ): f"{str(r['part']).replace('_', ' ')}\n{count(r['played'])} of {count(r['played'] + r['dropped'])}"
        for r in rows.drop_duplicates("part").to_dict("records")
    }
    told = [
        f"{percent(r['value'])} ({interval(100 * r['lower'], 100 * r['upper'], 0)}%), {count(r['played'])} played, {count(r['dropped'])} dropped"
        for r in rows.to_dict("records")
    ]
    return attribution_grid(
        rows.assign(told=told),
        "part",
        order=order,
        heads=heads,
        written=percent,
        ticks={0.0: "0%", 1.0: "100%"},
    )


def _inpainting_table(material: Material, rows: pd.DataFrame, name: str) -> Table:
    heads = {
        f"{r['part']}|{_rate(r['false_alarm_rate'])}": f"{str(r['part']).replace('_', ' ')}, {_rate(r['false_alarm_rate'])} "
        f"({count(r['played'])} played, {count(r['dropped'])} dropped)"
        for r in rows.drop_duplicates(["part", "false_alarm_rate"]).to_dict("records")
    }  # fmt: skip
    rows = rows.assign(what=rows["part"] + "|" + rows["false_alarm_rate"].map(_rate))
    caption = (
        f"Inpainting game of {name}: probability of being taken for the other person, with 95% intervals (%)"
    )
    return wide_table(rows, "what", caption, order=material.order(name), heads=heads, share=True)


def sanity(material: Material, figures: Figures) -> Section:
    """Weights drawn anew, and labels shuffled."""
    blocks = []
    for name in material.networks_of("sanity"):
        for target in material.targets("sanity", name):
            rows = material.rows("sanity", name, target)
            blocks += _randomised(material, figures, rows, name, target)
            blocks += _shuffled(material, figures, rows[rows["kind"] == "data"], name)
    blocks += _criterion(material)
    return Section(
        "sanity",
        "Sanity checks",
        [
            "A map that stays as it was when the network's weights are drawn at random, from the top layer down, shows the image and not "
            "what the network learned. The same holds against a network that was trained on shuffled labels. Edges, noise and the "
            "Gaussian, which never look at the network, stay at 1."
        ],
        absent(material, "sanity", "the run has no table of sanity checks."),
        blocks,
    )


def _randomised(
    material: Material, figures: Figures, rows: pd.DataFrame, name: str, target: str
) -> list[Block]:
    blocks = []
    for kind, words in _KINDS.items():
        own = rows[(rows["kind"] == kind) & rows["value"].notna()]
        metrics = [m for m in SIMILARITY_NAMES if (own["metric"] == m).any()]
        views = {
            SIMILARITY_NAMES[metric]: attribution_sanity(own, kind=kind, metric=metric) for metric in metrics
        }
        if not views:
            continue
        label = f"How alike maps of {name} stay while weights are drawn anew, {kind}."
        note = _said(own[~own["baseline_map"]]) if kind == "cascading" else ""
        blocks.append(
            plotted(figures, f"sanity-{kind}", one_of(views), label, setup=name, title=f"{name}, {words}",
                    detail=f"target: {target}", pick=list(views), wide=True, note=note)
        )  # fmt: skip
    own = rows[rows["kind"] == "cascading"]
    verdicts = sanity_verdicts(own)
    last = own[(own["metric"] == "spearman_absolute") & own["value"].notna()].sort_values(
        "depth", kind="stable"
    )
    lines = [
        [
            method_name(row["method"]),
            verdicts[str(row["method"])],
            value_cell(row["value"], 3),
            interval_cell(row["lower"], row["upper"], 3),
            str(row["layer"]),
            (row["n"], count(row["n"])),
        ]
        for row in last.drop_duplicates("method", keep="last").sort_values("value").to_dict("records")
    ]
    if lines:
        columns = ["Method", "Verdict", "Rank correlation", "95% interval", "Last layer drawn anew", "Images"]
        caption = f"Maps of {name} once all weights are drawn anew"
        blocks.append(
            Block(
                setup=name, table=table(caption, columns, lines, folded=f"{caption}: {len(lines)} verdicts")
            )
        )
    return blocks


def _said(rows: pd.DataFrame) -> str:
    verdicts = sanity_verdicts(rows)
    words = {
        FAILS: "Stay as they were, and fail",
        UNCLEAR: "Not settled by the interval",
        NOT_JUDGED: "Not judged",
    }
    parts = []
    for verdict, word in words.items():
        names = [method_name(m) for m, v in verdicts.items() if v == verdict]
        parts += [f"{word}: {listing(names, most=30)}."] if names else []
    passing = sum(v == PASSES for v in verdicts.values())
    return " ".join([*parts, f"{passing} of {len(verdicts)} methods pass (thin grey lines)."])


def _shuffled(material: Material, figures: Figures, rows: pd.DataFrame, name: str) -> list[Block]:
    rows = rows[rows["value"].notna() & (rows["metric"] == "spearman_absolute")]
    if not len(rows):
        return []
    figure = attribution_dots(
        rows.assign(panel="data", chance=0.5), panels={"data": "labels shuffled"}, better="lower",
        order=rows.sort_values("value")["method"].tolist(), families=material.families,
        title="rank correlation of absolute values with maps of the network trained on shuffled labels",
    )  # fmt: skip
    said = _said(rows[~rows["baseline_map"]]).removesuffix(" (thin grey lines).")
    label = f"How alike maps are to those of a network trained on shuffled labels, {name}. " + ", ".join(
        f"{method_name(r['method'])} {number(r['value'])}" for r in rows.head(6).to_dict("records")
    )
    return [
        plotted(figures, "sanity-data", figure, label, setup=name, title=f"{name}, labels shuffled",
                note=f"{said}. Open: the interval does not lie below 0.5.")
    ]  # fmt: skip


def _criterion(material: Material) -> list[Block]:
    rows = material.rows("sanity")
    rows = rows[rows["criterion"].fillna("") != ""] if len(rows) else rows
    told = []
    for criterion, own in rows.groupby("criterion", sort=False) if len(rows) else []:
        judged = own["passes"].notna().any()
        names = listing([method_name(m) for m in dict.fromkeys(own["method"])], most=8)
        told.append(f"A method passes by: {criterion}." if judged else f"{names}: {criterion}.")
    return [Block(note=" ".join(told))] if told else []
