"""Sections on tasks whose answer is known, and on pointing games."""

import pandas as pd

from fusiform.plotting import attribution_dots
from fusiform.plotting._attribution_study_rows import method_name, methods_by
from fusiform.report._build import Figures, absent, interval_cell, one_of, plotted
from fusiform.report._format import count, percent
from fusiform.report._parts import Block, Section, Table, table
from fusiform.report.attribution._material import Material, missing_said

_PARTS_OF_CONFLICT = ("both", "eyes", "mouth")
_POINTING = {"energy_pointing_game": "energy pointing game", "pointing_game": "pointing game"}


def truth(material: Material, figures: Figures) -> Section:
    """Share of the saliency on the one part that tells the class."""
    blocks = []
    rows = material.rows("ground_truth")
    if len(rows):
        rows = rows.assign(panel=rows["part"], value=rows["energy"], chance=rows["area"])
        panels = {
            str(r["part"]): f"{str(r['part']).replace('_', ' ')}\n(network right in {percent(r['accuracy'])})"
            for r in rows.drop_duplicates("part").to_dict("records")
        }
        order = methods_by(rows.assign(gain=rows["value"] / rows["chance"]), "gain")
        figure = attribution_dots(
            rows, panels=panels, order=order, families=material.families, share=True,
            title="share of the saliency on the part",
        )  # fmt: skip
        label = "Share of the saliency on the only part that tells the class, by method. The numbers are in the table below."
        blocks.append(
            plotted(figures, "truth", figure, label, title="One part tells the class", wide=True,
                    note="Dashed: the part's share of the image's area, which a map without structure reaches. Open: the interval does not lie above it.")
        )  # fmt: skip
        blocks.append(Block(table=_truth_table(rows, order)))
    rows = material.rows("conflict")
    if len(rows) and rows["value"].notna().any():
        rows = rows.assign(panel=rows["part"], chance=0.5)
        right = percent(rows["accuracy"].dropna().iloc[0]) if rows["accuracy"].notna().any() else "unknown"
        order = methods_by(rows[rows["part"] == "both"])
        panels = {"both": "both classes", "eyes": "class of the eyes", "mouth": "class of the mouth"}
        figure = attribution_dots(
            rows, panels=panels, order=order, families=material.families, share=True,
            title="maps that put more on the part that shows the class",
        )  # fmt: skip
        label = "Share of maps that choose the part that shows the class, by method. The numbers are in the table below."
        blocks.append(
            plotted(figures, "conflict", figure, label, title="Conflict faces", detail="eyes of one expression, mouth of another", wide=True,
                    note=f"The network that tells expressions is right in {right} of faces that it was not trained on. Dashed: chance, 50%. A map "
                    "that is the same for both classes is right for one of them at the most, 50% of both.")
        )  # fmt: skip
        blocks.append(Block(table=_shares_table(rows, "Hit rates on conflict faces", "Class of", order)))
    return Section(
        "truth",
        "Where the answer is known",
        [
            "Networks that were trained for this study on drawn faces whose class can be seen in one part alone, and of how much of each map "
            "lies there: a method that puts no more on the part than its area does not show what the network uses. And faces with the "
            "eyes of one expression and the mouth of another (figure 1 of the survey), where the map of each class must choose its part."
        ],
        absent(material, "ground_truth", "the run has no table of tasks with a known answer."),
        blocks,
    )


def _truth_table(rows: pd.DataFrame, order: list[str]) -> Table:
    place = {m: i for i, m in enumerate(order)}
    rows = rows.assign(_place=rows["method"].map(place)).sort_values(["part", "_place"], kind="stable")
    lines = [
        [
            method_name(row["method"]),
            str(row["part"]).replace("_", " "),
            (row["energy"], percent(row["energy"])),
            interval_cell(100 * row["lower"], 100 * row["upper"], 0),
            (row["area"], percent(row["area"])),
            (row["energy"] / row["area"] if row["area"] else None, f"{row['energy'] / row['area']:.1f}×" if row["area"] else ""),
            (row["hit_rate"], percent(row["hit_rate"])),
            interval_cell(100 * row["hit_lower"], 100 * row["hit_upper"], 0),
            (row["n"], count(row["n"])),
        ]
        for row in rows.to_dict("records")
    ]  # fmt: skip
    columns = ["Method", "Part", "Saliency there", "95% interval (%)", "Area", "Ratio", "Highest point there", "95% interval (%)", "Images"]
    return table("Saliency on the only part that tells the class", columns, lines, folded=f"The {len(lines)} numbers behind this figure")


def _shares_table(rows: pd.DataFrame, caption: str, what: str, order: list[str]) -> Table:
    place = {m: i for i, m in enumerate(order)}
    rows = rows.assign(_place=rows["method"].map(place)).sort_values(["part", "_place"], kind="stable")
    lines = [
        [
            method_name(row["method"]),
            str(row["part"]).replace("_", " "),
            (row["value"], percent(row["value"])),
            interval_cell(100 * row["lower"], 100 * row["upper"], 0),
            (row["chance"], percent(row["chance"])),
            (row["n"], count(row["n"])),
        ]
        for row in rows.to_dict("records")
    ]
    columns = ["Method", what, "Value", "95% interval (%)", "Chance", "Images"]
    return table(caption, columns, lines, folded=f"The {len(lines)} numbers behind this figure")


def pointing(material: Material, figures: Figures) -> Section:
    """Pointing games by part."""
    blocks = []
    for name in material.networks_of("parts"):
        rows = material.rows("parts", name)
        views = {}
        for metric, label in _POINTING.items():
            own = rows[(rows["metric"] == metric) & rows["value"].notna()]
            if len(own):
                own = own.assign(panel=own["part"])
                panels = {str(p): str(p).replace("_", " ") for p in dict.fromkeys(own["part"])}
                views[label] = attribution_dots(
                    own, panels=panels, order=material.order(name), families=material.families, share=True,
                    title="share of the saliency, or of images, on the part",
                )  # fmt: skip
        if views:
            label = f"Pointing games of {name} by part of the face. The numbers are in the table below."
            blocks.append(
                plotted(figures, "pointing", one_of(views), label, setup=name, title=name, pick=list(views), wide=True,
                        note="Dashed: the part's share of the image's area. Open: the interval does not lie above it.")
            )  # fmt: skip
            blocks.append(
                Block(setup=name, table=_shares_table(rows.assign(part=rows["metric"].map(_POINTING) + ", " + rows["part"]),
                                                      f"Pointing games of {name}", "Game and part", material.order(name)))
            )  # fmt: skip
    return Section(
        "pointing",
        "Pointing games",
        [
            "How much of the saliency lies in a part of the face, or how often its highest point does. These games presume that the network "
            "looks where people would: a method that shows truly that a network looks elsewhere loses them."
        ],
        missing_said(material, ["pointing games"], "the run has no table of parts."),
        blocks,
    )
