"""Pages grow here: figures get ids, blocks point at them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from fusiform.report._format import breakable, interval, missing, number
from fusiform.report._parts import Block, Cell
from fusiform.report.layers._material import Material

Figures = dict[str, go.Figure]


def plotted(
    figures: Figures,
    name: str,
    figure: go.Figure,
    label: str,
    *,
    setup: str | None = None,
    **block: Any,
) -> Block:
    """Put a figure on the page and give the block that shows it.

    The id is `name`, numbered where there are several of a name.
    """
    plot = name
    while plot in figures:
        plot = f"{name}-{int(plot.removeprefix(name).lstrip('-') or 1) + 1}"
    figures[plot] = figure
    return Block(setup=setup, plot=plot, label=label, **block)


def one_of(views: Mapping[str, go.Figure]) -> go.Figure:
    """Join figures into one of which the reader sees one at a time, the first to begin with.

    Their axes must be alike, those of the first are kept; ``meta["pick"]`` of a trace names its view.
    """
    first = next(iter(views))
    joined = go.Figure(layout=views[first].layout)
    for name, figure in views.items():
        for trace in figure.data:
            meta = dict(trace.meta or {}) | {"pick": str(name)}
            joined.add_trace(type(trace)(trace).update(meta=meta, visible=name == first))
    return joined


def value_cell(value: Any, digits: int = 2) -> tuple[Any, str]:
    """Give a number as a cell that sorts."""
    return (value, number(value, digits))


def interval_cell(lower: Any, upper: Any, digits: int = 2) -> Cell:
    """Give an interval as a cell."""
    return Cell(Markup('<span class="nowrap">{}</span>').format(interval(lower, upper, digits)))


def with_place(value: Any, place: Sequence[Any], digits: int = 3) -> Cell:
    """Give a number as a cell, with where it was found below."""
    where = ", ".join(str(part) for part in place if not missing(part) and part not in ("", "all"))
    text = Markup("{}<small>{}</small>").format(number(value, digits), breakable(where))
    return Cell(text, None if missing(value) else float(value))


def absent(material: Material, experiment: str, otherwise: str) -> str:
    """Say why something was not measured, as the run recorded it."""
    reason = material.reasons.get(experiment)
    failed = [p for p in material.problems if p.get("experiment") == experiment]
    if failed:
        return f"it failed: {failed[0].get('error', 'no reason recorded')}"
    return f"{reason}." if reason else otherwise


def per_setup(
    material: Material,
    figures: Figures,
    name: str,
    draw: Callable[..., go.Figure],
    label: str,
    *,
    plot: str | None = None,
    needs: str | None = None,
    **block: Any,
) -> list[Block]:
    """Draw a table once for each of its setups, of those where the column `needs` is known somewhere."""
    return [
        plotted(
            figures,
            plot or name,
            draw(material.tables[name], setup=setup),
            label.format(setup=setup),
            setup=setup,
            **({"title": setup} | block),
        )
        for setup in material.setups_of(name)
        if needs is None
        or material.tables[name].loc[material.tables[name]["setup"] == setup, needs].notna().any()
    ]
