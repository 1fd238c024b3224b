"""Sections over training: figure 4 and section V.D of the paper."""

from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from fusiform.plotting import expressivity_compression, expressivity_decay, expressivity_over_training
from fusiform.plotting._expressivity_rows import of_estimator, with_series
from fusiform.report._build import Figures, absent, interval_cell, one_of, plotted, value_cell
from fusiform.report._format import count, percent
from fusiform.report._parts import Block, Section, Table, table
from fusiform.report.expressivity._curves import ALL, main_of, too_many, views_of
from fusiform.report.expressivity._material import Material


def over_training(material: Material, figures: Figures) -> Section:
    """Figure 4: expressivity over training, peaks and decay."""
    blocks = []
    decay = material.tables.get("decay")
    for name in material.networks_of("course"):
        for layer in reversed(material.layers_of("course", name)):
            draw = partial(
                expressivity_over_training,
                material.tables["course"],
                decay,
                network=name,
                layer=layer,
                estimator=main_of(material, material.tables["course"]),
                step_unit=material.step_unit,
            )
            views = views_of(draw, material.attributes("course", name))
            blocks.append(
                plotted(
                    figures,
                    "training",
                    one_of(views),
                    f"Expressivity of every attribute at {layer} of {name} over training.",
                    setup=name or None,
                    title=f"{name}: {layer}",
                    detail="rings mark peaks" if decay is not None else "",
                    pick=list(views),
                    note=too_many(views[ALL]),
                )
            )
            if decay is not None:
                blocks += _decayed(material, figures, name, layer)
    first = f" What stands at the start: {material.initial}." if material.initial else ""
    return Section(
        "training",
        "Over training",
        [
            "The same over the course of training (figure 4 of the paper), on a logarithmic axis of steps. Left of the dotted "
            f"line is what training began from: open marks.{first}",
            "Decay is measured from the peak on: the fall in nats up to the last checkpoint, and the rate in nats a tenfold "
            "of steps. The peak is the highest of several estimates and therefore tends to be a little too high.",
        ],
        absent(material, "course", "no checkpoints of a training were given."),
        blocks,
    )


def _decayed(material: Material, figures: Figures, name: str, layer: str) -> list[Block]:
    rows = material.tables["decay"]
    estimator = main_of(material, material.tables["course"])
    own = of_estimator(rows[(rows["network"] == name) & (rows["layer"] == layer)], estimator)
    if not len(own):
        return []
    blocks = []
    if own[["fall", "rate"]].notna().any(axis=None):
        figure = expressivity_decay(own, network=name, layer=layer, step_unit=material.step_unit)
        label = f"Fall and rate of decay of every attribute at {layer} of {name}. The numbers are in the table below."
        blocks = [
            plotted(
                figures, "decay", figure, label, setup=name or None, title=f"Decay after the peak: {layer}"
            )
        ]
    lines = [
        [
            str(row["series"]),
            (row["peak_step"], count(row["peak_step"])),
            value_cell(row["peak"]),
            value_cell(row["last"]),
            value_cell(row["fall"]),
            interval_cell(row["fall_lower"], row["fall_upper"]),
            (row["share"], percent(row["share"])),
            value_cell(row["rate"]),
            interval_cell(row["rate_lower"], row["rate_upper"]),
        ]
        for row in with_series(own).sort_values("rank", kind="stable").to_dict("records")
    ]
    unit = material.step_unit
    columns = ["Attribute", f"Peak at {unit}", "Peak", "Last", "Fall", "95% interval", "Of the peak", "Rate"]
    return [
        *blocks,
        Block(
            setup=name or None,
            table=table(
                f"Peak and decay at {layer}, nats; the slowest first",
                [*columns, "95% interval of the rate"],
                lines,
            ),
        ),
    ]


def compression(material: Material, figures: Figures) -> Section:
    """Section V.D: whether what the task does not need is lost while the task is learnt, or afterwards."""
    blocks = []
    found = material.tables.get("compression")
    for name in material.networks_of("compression") if found is not None else []:
        for layer in reversed(material.layers_of("compression", name)):
            rows = of_estimator(found[(found["network"] == name) & (found["layer"] == layer)], None)  # type: ignore[index]
            task = str(rows["task_attribute"].iloc[0])
            figure = _paths(material, name, layer, task)
            if figure is not None:
                label = f"Every attribute against {task} at {layer} of {name}, a path through training."
                more: dict[str, Any] = {"title": f"{name}: {layer}", "detail": "large marks: the last step"}
                blocks.append(plotted(figures, "compression", figure, label, setup=name or None, **more))
            blocks.append(Block(setup=name or None, table=_readings(rows, task, layer)))
    return Section(
        "compression",
        "Compression",
        [
            "What the network is not trained for may be thrown away while it learns its task, or in a phase of its own "
            "afterwards (section V.D of the paper). Paths that go right and down at once compress while fitting; paths that first "
            "go right and then down compress after it."
        ],
        absent(
            material, "compression", "it needs the course over training, with the task among the attributes."
        ),
        blocks,
    )


def _paths(material: Material, name: str, layer: str, task: str) -> go.Figure | None:
    course = material.tables.get("course")
    if course is None:
        return None
    own = course[(course["network"] == name) & (course["layer"] == layer)]
    if not (own["attribute"] == task).any() or own["attribute"].nunique() < 2:
        return None
    return expressivity_compression(
        course,
        task=task,
        network=name,
        layer=layer,
        estimator=main_of(material, course),
        step_unit=material.step_unit,
    )


def _readings(rows: pd.DataFrame, task: str, layer: str) -> Table:
    lines = [
        [
            str(row["attribute"]),
            str(row["reading"]),
            value_cell(row["correlation"]),
            (row["share_concurrent"], percent(row["share_concurrent"])),
        ]
        for row in rows.to_dict("records")
    ]
    columns = ["Attribute", "Reading", f"Correlation of changes with {task}", f"Falls while {task} rises"]
    return table(f"Compression at {layer}", columns, lines)
