"""Sections on tasks whose answer is known, and on pointing games."""

import pandas as pd

from fusiform.plotting import attribution_dots
from fusiform.plotting._attribution_study_rows import methods_by
from fusiform.report._build import Figures, absent, plotted
from fusiform.report._format import count, percent
from fusiform.report._parts import Block, Section, Table
from fusiform.report.attribution._material import Material, missing_said
from fusiform.report.attribution._wide import wide_table

_POINTING = {
    "energy_pointing_game": ("energy pointing game", "share of the saliency on the part"),
    "pointing_game": ("pointing game", "images whose highest point is there"),
}


def truth(material: Material, figures: Figures) -> Section:
    """Share of the saliency on the one part that tells the class."""
    blocks = []
    rows = material.rows("ground_truth")
    rows = rows[rows["energy"].notna()] if len(rows) else rows
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
            title="maps that choose the part",
        )  # fmt: skip
        label = "Share of maps that choose the part that shows the class, by method. The numbers are in the table below."
        blocks.append(
            plotted(figures, "conflict", figure, label, title="Conflict faces", detail="eyes of one expression, mouth of another", wide=True,
                    note=f"The network that tells expressions is right in {right} of faces that it was not trained on. Dashed: chance, 50%. A map "
                    "that is the same for both classes is right for one of them at the most, 50% of both.")
        )  # fmt: skip
        blocks.append(
            Block(
                table=wide_table(
                    rows,
                    "part",
                    "Hit rates on conflict faces, with 95% intervals (%)",
                    order=order,
                    heads=panels,
                    share=True,
                )
            )
        )
    return Section(
        "truth",
        "Where the answer is known",
        [
            "Networks that were trained for this study on drawn faces whose class can be seen in one part alone, and how much of each map "
            "lies there: a method that puts no more on the part than its area does not show what the network uses. And faces with the "
            "eyes of one expression and the mouth of another (figure 1 of the survey), where the map of each class must choose its part."
        ],
        absent(material, "ground_truth", "the run has no table of tasks with a known answer."),
        blocks,
    )


def _truth_table(rows: pd.DataFrame, order: list[str]) -> Table:
    hits = rows.assign(value=rows["hit_rate"], lower=rows["hit_lower"], upper=rows["hit_upper"])
    both = pd.concat(
        [rows.assign(what="saliency|" + rows["part"]), hits.assign(what="highest point|" + rows["part"])]
    )
    heads = {}
    for row in rows.drop_duplicates("part").to_dict("records"):
        part = str(row["part"])
        said = part.replace("_", " ")
        heads[f"saliency|{part}"] = f"Saliency on {said} (area {percent(row['area'])})"
        heads[f"highest point|{part}"] = f"Highest point on {said} ({count(row['n'])} images)"
    caption = "Saliency on the only part that tells the class, and how often its highest point is there, with 95% intervals (%)"
    return wide_table(both, "what", caption, order=order, heads=heads, share=True)


def pointing(material: Material, figures: Figures) -> Section:
    """Pointing games by part."""
    blocks = []
    for name in material.networks_of("parts"):
        rows = material.rows("parts", name)
        rows = rows[rows["value"].notna()]
        for metric, (title, words) in _POINTING.items():
            own = rows[rows["metric"] == metric].assign(panel=lambda r: r["part"])
            if not len(own):
                continue
            figure = attribution_dots(
                own, panels={str(p): str(p).replace("_", " ") for p in dict.fromkeys(own["part"])},
                order=material.order(name), families=material.families, share=True, title=words,
            )  # fmt: skip
            label = f"The {title} of {name} by part of the face. The numbers are in the table below."
            blocks.append(
                plotted(figures, "pointing", figure, label, setup=name, title=f"{name}, {title}", wide=True,
                        note="Dashed: the part's share of the image's area. Open: the interval does not lie above it.")
            )  # fmt: skip
        if len(rows):
            titles = rows["metric"].map({metric: title for metric, (title, _) in _POINTING.items()})
            games = rows.assign(what=titles + ", " + rows["part"].str.replace("_", " "))
            caption = f"Pointing games of {name}, with 95% intervals (%)"
            made = wide_table(games, "what", caption, order=material.order(name), share=True)
            blocks.append(Block(setup=name, table=made))
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
