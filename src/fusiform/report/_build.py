"""Pages grow here: figures get ids, blocks point at them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import plotly.graph_objects as go
from markupsafe import Markup

from fusiform.report._format import breakable, interval, missing, number
from fusiform.report._parts import Block, Cell

Figures = dict[str, go.Figure]


class Recorded(Protocol):
    """What a run recorded of that which is not there."""

    @property
    def reasons(self) -> Mapping[str, str]: ...

    @property
    def problems(self) -> Sequence[Mapping[str, Any]]: ...


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


def absent(recorded: Recorded, name: str, otherwise: str) -> str:
    """Say why an experiment or a table is not there, as the run recorded it."""
    reason = recorded.reasons.get(name)
    for problem in recorded.problems:
        experiment = problem.get("experiment")
        if experiment == name or (experiment == "the table" and problem.get("network") == name):
            return f"it failed: {problem.get('error', 'no reason recorded')}"
    return f"{reason}." if reason else otherwise
