import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from fusiform.plotting import style
from fusiform.plotting._expressivity import FEW, key, lines
from fusiform.plotting._expressivity_rows import (
    HELD_OUT,
    NATS,
    ZERO,
    chosen,
    look,
    of_estimator,
    selected,
)
from fusiform.plotting._traces import LEGEND_ON_TOP, bars, in_hover, shown
from fusiform.plotting.tables import CONTROL_ENDING, check_columns

_COLUMNS = (
    *("network", "layer", "step", "start", "attribute", "encoding", "estimator", "split"),
    *("value", "lower", "upper"),
)
_STARTS = ("random", "pretrained")
_START_NAMES = {"random": "random<br>start", "pretrained": "trained<br>on objects"}
_MOST_TICKS = 7


def expressivity_over_training(
    course: pd.DataFrame,
    decay: pd.DataFrame | None = None,
    *,
    network: str | None = None,
    layer: str | None = None,
    estimator: str | None = None,
    attributes: Sequence[str] | None = None,
    step_unit: str = "step",
) -> go.Figure:
    """Draw the mutual information of every attribute with one layer over training, as figure 4 of the paper.

    Steps are on a logarithmic axis. What training began from stands left of it, beyond a dotted line.

    Parameters
    ----------
    course : DataFrame
        ``network, layer, step, start, attribute, encoding, estimator, split, value, lower, upper``; `start` is
        ``"random"``, ``"pretrained"`` or ``"training"``.
    decay : DataFrame, optional
        ``network, layer, attribute, encoding, peak_step, peak``: peaks are marked by rings.
    network : str, optional
        Which network; needed where the table holds several.
    layer : str, optional
        Which layer; needed where the network has several. A pretrained network has layers of its own names: what it
        gives is drawn beside every layer.
    estimator : str, optional
        Which estimator; by default the first of the table.
    attributes : sequence of str, optional
        Which attributes, in all their encodings; all by default.
    step_unit : str, default "step"
        What is counted, for the axis.

    Returns
    -------
    plotly.graph_objects.Figure
        Traces and ``meta`` as in `expressivity_over_layers`; further roles are ``"random"`` and ``"pretrained"``
        (markers left of the axis), ``"leap"`` (from the random start to the first step) and ``"peak"``.

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    References
    ----------
    Dhar et al. (2020), figure 4.

    Examples
    --------
    >>> row = {"network": "n", "layer": "fc", "attribute": "yaw", "encoding": "ranks", "estimator": "mine",
    ...        "lower": 0.0, "upper": 2.0, "split": "held out"}
    >>> table = pd.DataFrame([row | {"step": 0, "start": "random", "value": 0.25},
    ...                       row | {"step": 10, "start": "training", "value": 1.0},
    ...                       row | {"step": 100, "start": "training", "value": 0.5}])
    >>> [(t.meta["role"], t.y) for t in expressivity_over_training(table).data if t.meta["role"] in ("line", "random")]
    [('line', (1.0, 0.5)), ('random', (0.25,))]
    """
    rows = course_rows(course, network=network, layer=layer, estimator=estimator, attributes=attributes)
    rows = rows.sort_values("step", kind="stable")
    axis = _Steps(rows, step_unit)
    names = list(dict.fromkeys(rows.sort_values("slot")["series"]))
    full = len(names) <= FEW
    peaks = None if decay is None else _peaks(decay, rows)
    figure = go.Figure()
    for name in names:
        own = rows[rows["series"] == name]
        trained = own[own["start"] == "training"]
        at = [axis.place(step) for step in trained["step"]]
        figure.add_traces(lines(trained, x=at, places=[axis.name(s) for s in trained["step"]], full=full))
        for start in _STARTS:
            part = own[(own["start"] == start) & (own["split"] == HELD_OUT)]
            if len(part):
                figure.add_traces(_start(part, start, axis, trained, full=full))
        if peaks is not None:
            figure.add_traces(_ring(peaks[peaks["series"] == name], axis))
    if full:
        figure.add_traces(key(figure))
    if axis.starts and axis.steps:
        figure.add_vline(x=axis.border, line={"color": style.CHANCE, "width": 1, "dash": "dot"})
    figure.update_layout(
        template=style.TEMPLATE,
        height=420,
        xaxis=axis.layout(),
        yaxis={"title": {"text": NATS}, "rangemode": "tozero"} | ZERO,
        legend=LEGEND_ON_TOP,
        margin={"t": 54},
        hovermode="closest",
    )
    return figure


def course_rows(
    course: pd.DataFrame,
    *,
    network: str | None = None,
    layer: str | None = None,
    estimator: str | None = None,
    attributes: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Select one network's course at one layer, and beside it what pretrained starts give.

    Examples
    --------
    >>> row = {"layer": "fc", "attribute": "yaw", "encoding": "ranks", "estimator": "mine", "lower": 0.0,
    ...        "upper": 2.0, "split": "held out", "value": 1.0}
    >>> table = pd.DataFrame([row | {"network": "n", "step": 10, "start": "training"},
    ...                       row | {"network": "objects", "step": 0, "start": "pretrained"}])
    >>> course_rows(table)["network"].tolist()
    ['n', 'objects']
    """
    check_columns(course, _COLUMNS, what="course")
    before = course["start"] == "pretrained"
    control = course["network"].astype(str).str.endswith(CONTROL_ENDING)
    # Where only a pretrained start was measured, it is all there is.
    trained = course[~before & ~control] if (~before & ~control).any() else course
    name = chosen(list(dict.fromkeys(trained["network"])), network, "network", "course")
    rows = trained[trained["network"] == name]
    which = chosen(list(dict.fromkeys(rows["layer"])), layer, "layer", "course")
    both = course[
        ((course["network"] == name) & (course["layer"] == which) & ~before)
        | (before & (course["attribute"].isin(rows["attribute"])))
    ]
    columns = tuple(c for c in _COLUMNS if c != "network")
    return selected(both, columns, what="course", estimator=estimator, attributes=attributes)


class _Steps:
    """A logarithmic axis of steps with places for what training began from left of it."""

    def __init__(self, rows: pd.DataFrame, unit: str) -> None:
        self.unit = unit
        self.steps = sorted({float(s) for s in rows.loc[rows["start"] == "training", "step"] if s > 0})
        self.starts = [start for start in _STARTS if (rows["start"] == start).any()]
        self.first = math.log10(self.steps[0]) if self.steps else 0.0
        self.last = math.log10(self.steps[-1]) if self.steps else 0.0
        self.random = {float(s) for s in rows.loc[rows["start"] == "random", "step"]}
        self.gap = max(0.12 * (self.last - self.first), 0.15)
        # A checkpoint labelled 0 that is none of the two starts has a place of its own.
        if (rows.loc[rows["start"] == "training", "step"] <= 0).any():
            self.starts.insert(0, "0")

    @property
    def border(self) -> float:
        return self.first - 0.5 * self.gap

    def place(self, step: float) -> float:
        return math.log10(step) if step > 0 else self.place_of("0")

    def place_of(self, start: str) -> float:
        return self.first - self.gap * (self.starts.index(start) + 1)

    def name(self, step: float) -> str:
        return style.plain(f"{self.unit} {int(step):,}")

    def layout(self) -> dict[str, Any]:
        ticks = self._ticks()
        left = self.first - self.gap * (len(self.starts) + 0.5)
        return {
            "tickvals": [*map(self.place_of, self.starts), *(math.log10(tick) for tick in ticks)],
            "ticktext": [*(_START_NAMES.get(s, s) for s in self.starts), *(f"{tick:,.0f}" for tick in ticks)],
            "range": [left, self.last + 0.35 * self.gap],
            "title": {"text": f"{style.plain(self.unit)} (logarithmic)"},
        }

    def _ticks(self) -> list[float]:
        if len(self.steps) <= 2:
            return self.steps
        decades = range(math.floor(self.first), math.ceil(self.last) + 1)
        for digits in ((1, 2, 5), (1, 3), (1,)):
            ticks = [d * 10.0**k for k in decades for d in digits]
            ticks = [t for t in ticks if self.steps[0] * 0.999 <= t <= self.steps[-1] * 1.001]
            if len(ticks) <= _MOST_TICKS:
                break
        return ticks if len(ticks) > 1 else [self.steps[0], self.steps[-1]]


def _start(
    rows: pd.DataFrame, start: str, axis: _Steps, trained: pd.DataFrame, *, full: bool
) -> list[go.Scatter]:
    series, (colour, symbol) = str(rows["series"].iloc[0]), look(int(rows["slot"].iloc[0]))
    meta = {"attribute": str(rows["attribute"].iloc[0]), "series": series}
    group = {"legendgroup": style.plain(series), "showlegend": False}
    at, what = axis.place_of(start), "random weights" if start == "random" else "pretrained"
    traces = []
    held = trained[trained["split"] == HELD_OUT]
    if full and start == "random" and len(held):
        traces.append(
            go.Scatter(
                x=[at, axis.place(held["step"].iloc[0])],
                y=[rows["value"].iloc[0], held["value"].iloc[0]],
                mode="lines",
                line={"color": colour, "width": 1, "dash": "dash"},
                opacity=0.6,
                hoverinfo="skip",
                meta=meta | {"role": "leap"},
                **group,
            )
        )
    networks = rows["network"] if "network" in rows.columns else pd.Series("", index=rows.index)
    traces.append(
        go.Scatter(
            x=[at] * len(rows),
            y=rows["value"].tolist(),
            mode="markers",
            marker={
                "color": colour,
                "size": 9 if full else 5,
                "symbol": f"{symbol if full else 'circle'}-open",
                "line": {"width": 2 if full else 1},
            },
            error_y=bars(rows["value"], rows["lower"], rows["upper"], color=colour, width=0)
            if full
            else None,
            text=shown(f"{what}: {n}, {layer}" for n, layer in zip(networks, rows["layer"], strict=True)),
            customdata=rows[["lower", "upper"]].to_numpy().tolist(),
            hovertemplate=f"<b>{in_hover(series)}</b><br>%{{text}}: %{{y:.3f}} "
            "(%{customdata[0]:.3f} to %{customdata[1]:.3f})<extra></extra>",
            meta=meta | {"role": start},
            **group,
        )
    )
    return traces


def _peaks(decay: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    decay = of_estimator(decay, str(rows["estimator"].iloc[0]))
    check_columns(decay, ("network", "layer", "attribute", "encoding", "peak_step", "peak"), what="decay")
    trained = rows[rows["start"] != "pretrained"]
    of = decay[
        decay["network"].isin(trained["network"].unique()) & decay["layer"].isin(trained["layer"].unique())
    ]
    names = rows.drop_duplicates(["attribute", "encoding"])[["attribute", "encoding", "series", "slot"]]
    return of.drop(columns=["series", "slot"], errors="ignore").merge(names, on=["attribute", "encoding"])


def _ring(peaks: pd.DataFrame, axis: _Steps) -> list[go.Scatter]:
    known = peaks.dropna(subset=["peak_step", "peak"])
    if not len(known):
        return []
    row = known.iloc[0]
    colour, step = look(int(row["slot"]))[0], float(row["peak_step"])
    at = axis.place_of("random") if step in axis.random else axis.place(step)
    return [
        go.Scatter(
            x=[at],
            y=[float(row["peak"])],
            mode="markers",
            marker={"symbol": "circle-open", "size": 17, "color": colour, "line": {"width": 1.8}},
            legendgroup=style.plain(row["series"]),
            showlegend=False,
            hovertemplate=f"<b>{in_hover(row['series'])}</b>: peak at {axis.name(step)}<extra></extra>",
            meta={"attribute": str(row["attribute"]), "series": str(row["series"]), "role": "peak"},
        )
    ]
