"""Sections on level of detail, cost, what does not apply or was skipped, and how methods were used."""

import pandas as pd

from fusiform.plotting import attribution_dots
from fusiform.plotting._attribution_study_rows import method_name, methods_by
from fusiform.report._build import Figures, absent, plotted
from fusiform.report._format import count, missing, number, percent
from fusiform.report._parts import Block, Section, Table, table
from fusiform.report.attribution._material import Material
from fusiform.report.attribution._wide import wide_table

DESCRIPTOR_NAMES = {
    "centroid_frequency": "mean frequency\n(cycles an image)",
    "covered_area": "area that holds half",
    "chunks": "salient chunks",
    "chunk_size": "size of a chunk (px)",
    "edge_correlation": "correlation with edges",
}
_MOST_SKIPPED = 300


def detail(material: Material, figures: Figures) -> Section:
    """Simplicity factors of the survey: chunks, area, frequency, edges."""
    blocks = []
    for name in material.networks_of("descriptors"):
        rows = material.rows("descriptors", name)
        rows = rows[rows["value"].notna()].assign(panel=lambda r: r["metric"])
        if not len(rows):
            continue
        order = methods_by(rows[rows["metric"] == "centroid_frequency"], ascending=True)
        extra = {str(m): str(m).replace("_", " ") for m in dict.fromkeys(rows["metric"])}
        panels = {m: DESCRIPTOR_NAMES.get(m, extra.get(m, m)) for m in [*DESCRIPTOR_NAMES, *extra]}
        figure = attribution_dots(rows, panels=panels, order=order, families=material.families, columns=5)
        label = f"Level of detail of the maps of {name}, the coarsest method on top. The numbers are in the table below."
        blocks.append(plotted(figures, "detail", figure, label, setup=name, title=name, wide=True))
        heads = {m: text.replace("\n", " ") for m, text in panels.items() if (rows["metric"] == m).any()}
        caption = f"Level of detail of the maps of {name}, with 95% intervals"
        blocks.append(Block(setup=name, table=wide_table(rows, "metric", caption, order=order, heads=heads)))
    return Section(
        "detail",
        "Level of detail",
        [
            "How simple the maps are (section 2.4 of the survey): few or many salient chunks, their size, how much of the image holds half of the "
            "map, how fine its structure is, and whether it is but an edge detector. Nothing of this says that a map is right."
        ],
        absent(material, "descriptors", "the run has no table of descriptors."),
        blocks,
    )


def cost(material: Material, figures: Figures) -> Section:
    """Time, passes and memory."""
    blocks = []
    for name in material.networks_of("cost"):
        rows = material.rows("cost", name)
        rows = rows[rows["seconds_per_image"].notna()]
        if not len(rows):
            continue
        own = rows.assign(
            panel="cost", value=rows["seconds_per_image"], lower=float("nan"), upper=float("nan")
        )
        own = own.sort_values("value", kind="stable")
        if (own["value"] > 0).any():
            figure = attribution_dots(
                own, panels={"cost": "seconds an image"}, order=own["method"].tolist(), families=material.families,
                title="seconds an image (log)", log=True,
            )  # fmt: skip
            label = f"Seconds an image of every method on {name}. The numbers are in the table below."
            blocks.append(plotted(figures, "cost", figure, label, setup=name, title=name))
        blocks.append(Block(setup=name, table=_cost_table(own, name)))
    return Section(
        "cost",
        "What maps cost",
        [
            "Wall time on the machine of this run, with the options listed below, and images passed through the whole network a map."
        ],
        absent(material, "cost", "the run has no table of costs."),
        blocks,
    )


def _cost_table(rows: pd.DataFrame, name: str) -> Table:
    lines = [
        [
            method_name(row["method"]),
            (row["seconds_per_image"], f"{row['seconds_per_image']:.3g}"),
            (row["forward_passes"], number(row["forward_passes"], 0)),
            (row["peak_mb"], number(row["peak_mb"], 0)),
            (row["batch"], count(row["batch"])),
        ]
        for row in rows.to_dict("records")
    ]
    columns = ["Method", "Seconds an image", "Forward passes an image", "Peak memory (MB)", "Images together"]
    return table(f"Cost on {name}", columns, lines, folded=f"Time, passes and memory of {len(lines)} methods")


def left_out(material: Material) -> Section:
    """What does not apply, and what failed."""
    blocks = []
    rows = material.rows("not_applicable")
    if len(rows):
        together = (
            rows.groupby(["network", "method", "why"], sort=False)["target"].agg(_targets).reset_index()
        )
        lines = [
            [method_name(r["method"]), str(r["network"]), r["target"], str(r["why"])]
            for r in together.to_dict("records")
        ]
        made = table("Methods that do not apply, and why", ["Method", "Network", "Target", "Why"], lines)
        blocks.append(Block(title="Does not apply", table=made))
    rows = material.rows("skipped")
    failed = rows[rows["method"].fillna("") != ""] if len(rows) else rows
    if len(failed):
        lines = [
            [method_name(r["method"]), str(r["network"]), _text(r["target"]), str(r["reason"])]
            for r in failed.head(_MOST_SKIPPED).to_dict("records")
        ]
        made = table("What failed", ["Method", "Network", "Target", "Reason"], lines)
        blocks.append(Block(title="Failed", table=made))
    for what, why in material.reasons.items():
        blocks.append(Block(note=f"Not measured: {what}. {why}"))
    if not blocks:
        blocks.append(Block(note="Nothing: every method applied to every network."))
    return Section(
        "left-out",
        "What does not apply or failed",
        ["No method gives another method's map in its place: what does not apply to a network says why."],
        "",
        blocks,
    )


def _targets(values: pd.Series) -> str:
    return ", ".join(dict.fromkeys(_text(v) for v in values if _text(v)))


def _text(value: object) -> str:
    return "" if missing(value) else str(value)


def skipped(material: Material) -> Section:
    """Images that were left out."""
    rows = material.rows("skipped")
    images = rows[rows["image_id"].fillna("") != ""] if len(rows) else rows
    blocks = []
    if len(images):
        lines = [
            [str(r["image_id"]), str(r["reason"])] for r in images.head(_MOST_SKIPPED).to_dict("records")
        ]
        said = f"{count(len(images))} {'image was' if len(images) == 1 else 'images were'} left out"
        blocks.append(Block(table=table("Images left out, and why", ["Image", "Reason"], lines, folded=said)))
    elif "skipped" in material.run.tables:
        blocks.append(Block(note="None: every image could be read."))
    return Section("skipped", "Skipped images", [], "the run has no table of skipped images.", blocks)


def settings(material: Material) -> Section:
    """Options with which each method was used."""
    rows = material.rows("settings")
    lines = [
        [
            method_name(r["method"]),
            str(r["method"]),
            str(r["family"]),
            {"full": "maps", "light": "measures that make maps again and again"}.get(r["use"], str(r["use"])),
            str(r["options"]),
            str(r["explains"]),
        ]
        for r in (rows.to_dict("records") if len(rows) else [])
    ]
    columns = ["Method", "Name as an option", "Family", "Used for", "Options", "Explains"]
    blocks = [Block(table=table("Options of every method", columns, lines))] if lines else []
    return Section(
        "settings",
        "How methods were used",
        ["Methods that need many passes are used moderately, at about equal cost, not at their best; for measures that make maps again and again, lighter still."],
        "the run does not record its options.",
        blocks,
    )  # fmt: skip


def networks(material: Material) -> Section:
    """Networks that were given, and those trained for a known answer."""
    rows = material.rows("networks")
    lines = [
        [
            str(r["network"]),
            str(r["kind"]),
            _text(r["targets"]),
            _text(r["score"]),
            _text(r["input_size"]),
            (r["n_parameters"], count(r["n_parameters"])),
            (r["n_images"], count(r["n_images"])),
            (r["n_identities"], count(r["n_identities"])),
            (r["accuracy"], percent(r["accuracy"])),
            _text(r["note"]),
        ]
        for r in (rows.to_dict("records") if len(rows) else [])
    ]
    columns = [
        "Network",
        "Kind",
        "Targets",
        "Curves are of",
        "Input",
        "Parameters",
        "Images",
        "People",
        "Right in",
        "Note",
    ]
    blocks = [Block(table=table("Networks of this study", columns, lines))] if lines else []
    return Section("subjects", "Networks", [], "the run has no table of networks.", blocks)
