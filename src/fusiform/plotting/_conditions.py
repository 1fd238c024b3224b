from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.plotting import style
from fusiform.plotting._traces import (
    LEGEND_ON_TOP,
    bars,
    in_hover,
    layer_axis,
    name_axis,
    room_below,
    shown,
)
from fusiform.plotting.tables import METRIC_TITLES, R2_AXIS, check_columns, layer_order, of_setup

_ROW_PX = 24
_GAP_PX = 84
_PANEL_PX = 320


def selectivity_over_depth(selectivity: pd.DataFrame, *, setup: str | None = None) -> go.Figure:
    """Draw what probes read from true labels and what the same probes read from shuffled ones, over depth.

    Parameters
    ----------
    selectivity : DataFrame
        ``network, setup, layer, depth, attribute, metric, value, shuffled``.
    setup : str, optional
        Which setup; needed where the table holds several. Several initialisations are averaged.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel for each metric: a thin line an attribute and condition, and the mean over attributes. ``meta``
        holds ``condition`` (``"value"`` or ``"shuffled"``), ``attribute`` (empty for the mean) and ``metric``.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "setup": "n", "layer": "fc", "depth": 1, "metric": "balanced_accuracy",
    ...        "shuffled": 0.5}
    >>> table = pd.DataFrame([row | {"attribute": "a", "value": 0.75}, row | {"attribute": "b", "value": 1.0}])
    >>> selectivity_over_depth(table).data[-1].y
    (0.875,)
    """
    names = {"shuffled": "shuffled labels", "value": "true labels"}
    return _two_conditions(selectivity, "selectivity", names, setup)


def geometry_over_depth(geometry: pd.DataFrame, *, setup: str | None = None) -> go.Figure:
    """Draw what probes read from aligned faces and from faces moved at random, over depth.

    Parameters
    ----------
    geometry : DataFrame
        ``network, setup, layer, depth, attribute, metric, aligned, transformed``.
    setup : str, optional
        Which setup; needed where the table holds several. Several initialisations are averaged.

    Returns
    -------
    plotly.graph_objects.Figure
        As `selectivity_over_depth`, with the conditions ``"aligned"`` and ``"transformed"``.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> table = pd.DataFrame([{"network": "n", "setup": "n", "layer": "fc", "depth": 1, "attribute": "a",
    ...                        "metric": "balanced_accuracy", "aligned": 0.9, "transformed": 0.8}])
    >>> [trace.y for trace in geometry_over_depth(table).data if trace.meta["attribute"] == "a"]
    [(0.8,), (0.9,)]
    """
    names = {"transformed": "transformed at random", "aligned": "aligned"}
    return _two_conditions(geometry, "geometry", names, setup)


def confounded_values(confounded: pd.DataFrame, *, setup: str | None = None) -> go.Figure:
    """Draw every attribute before and after its strongest associate was taken out.

    Where several layers were measured, an attribute is shown at the layer where it is read out best beforehand.

    Parameters
    ----------
    confounded : DataFrame
        ``network, setup, layer, attribute, confounder, treatment, metric, raw, value, lower, upper, chance``.
    setup : str, optional
        Which setup; needed where the table holds several. Of several initialisations the first is shown.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel for each treatment: a line from the raw value to the controlled one with its interval, and chance.
        ``meta`` holds ``treatment`` and ``role`` (``"raw"``, ``"value"``, ``"chance"`` or ``"between"``).

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "setup": "n", "layer": "fc", "attribute": "Lipstick", "confounder": "Male",
    ...        "treatment": "balanced", "metric": "balanced_accuracy", "raw": 0.9, "value": 0.6, "lower": 0.5,
    ...        "upper": 0.7, "chance": 0.5}
    >>> {t.meta["role"]: t.x for t in confounded_values(pd.DataFrame([row])).data}["value"]
    (0.6,)
    """
    rows = best_confounded(confounded, setup)
    treatments = list(dict.fromkeys(rows["treatment"]))
    counts = [int((rows["treatment"] == t).sum()) for t in treatments]
    # Between panels: the upper one's axis and the lower one's title.
    height = _ROW_PX * (sum(counts) + len(counts)) + _GAP_PX * (len(counts) - 1) + 130
    figure = make_subplots(
        rows=len(treatments),
        cols=1,
        row_heights=[n + 1 for n in counts],
        vertical_spacing=_GAP_PX / (height - 130) if len(treatments) > 1 else 0,
        subplot_titles=style.titles(treatments),
    )
    for index, treatment in enumerate(treatments, start=1):
        part = rows[rows["treatment"] == treatment]
        names = [f"{a} (without {c})" for a, c in zip(part["attribute"], part["confounder"], strict=True)]
        for trace in _dumbbell(part, shown(names), str(treatment), legend=index == 1):
            figure.add_trace(trace, row=index, col=1)
        figure.update_yaxes(name_axis(names), row=index, col=1)
        titles = [METRIC_TITLES.get(str(m), str(m)) for m in dict.fromkeys(part["metric"])]
        figure.update_xaxes(title_text=" or ".join(titles), row=index, col=1)
        figure.update_xaxes(R2_AXIS, row=index, col=1)
    figure.update_layout(
        template=style.TEMPLATE,
        height=height,
        legend=LEGEND_ON_TOP | {"y": 1 + 28 / height},
        margin={"t": 70},
    )
    return figure


def best_confounded(confounded: pd.DataFrame, setup: str | None = None) -> pd.DataFrame:
    """Select, of the first network of a setup, every attribute's layer with the highest raw value.

    Examples
    --------
    >>> row = {"network": "n", "setup": "n", "attribute": "a", "confounder": "b", "treatment": "balanced",
    ...        "metric": "r2", "value": 0.0, "lower": 0.0, "upper": 0.0, "chance": 0.0}
    >>> best_confounded(pd.DataFrame([row | {"layer": "x", "raw": 0.2}, row | {"layer": "y", "raw": 0.4}]))["layer"]
    0    y
    Name: layer, ...
    """
    columns = ("network", "layer", "attribute", "confounder", "treatment", "metric", "raw", "value", "lower")
    check_columns(confounded, (*columns, "upper", "chance"), what="confounded")
    rows = of_setup(confounded, setup, what="confounded")
    rows = rows[rows["network"] == rows["network"].iloc[0]].reset_index(drop=True)
    groups = rows.groupby(["treatment", "attribute", "confounder"], sort=False)
    place = groups["raw"].transform(lambda raw: raw == raw.max()) | groups["raw"].transform("max").isna()
    chosen = rows[place].drop_duplicates(["treatment", "attribute", "confounder"])
    return chosen.sort_values(["treatment", "value"], ascending=[True, False], kind="stable").reset_index(
        drop=True
    )


def _two_conditions(table: pd.DataFrame, what: str, names: dict[str, str], setup: str | None) -> go.Figure:
    check_columns(table, ("setup", "layer", "depth", "attribute", "metric", *names), what=what)
    rows = of_setup(table, setup, what=what)
    keys = ["metric", "attribute", "layer"]
    rows = rows.groupby(keys, sort=False).agg(depth=("depth", "first"), **{n: (n, "mean") for n in names})
    rows = rows.reset_index().sort_values("depth", kind="stable")
    metrics = list(dict.fromkeys(rows["metric"]))
    layers = layer_order(rows)
    below = room_below(layers)
    height = _PANEL_PX * len(metrics) + below + 40
    figure = make_subplots(
        rows=len(metrics),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=30 / height if len(metrics) > 1 else 0,
    )
    for index, metric in enumerate(metrics, start=1):
        part = rows[rows["metric"] == metric]
        for (condition, title), colour in zip(names.items(), (style.CONTROL, style.TRAINED), strict=True):
            for trace in _condition(part, condition, title, colour, legend=index == 1):
                figure.add_trace(trace, row=index, col=1)
        figure.update_yaxes(title_text=METRIC_TITLES[metric], row=index, col=1)
        if metric == "r2":
            figure.update_yaxes(R2_AXIS, row=index, col=1)
        figure.update_xaxes(layer_axis(layers), row=index, col=1)
    figure.update_layout(
        template=style.TEMPLATE, height=height, legend=LEGEND_ON_TOP, margin={"t": 44}, hovermode="closest"
    )
    return figure


def _condition(
    rows: pd.DataFrame, condition: str, title: str, colour: str, *, legend: bool
) -> list[go.Scatter]:
    meta: dict[str, Any] = {"condition": condition, "metric": str(rows["metric"].iloc[0])}
    traces = [
        go.Scatter(
            x=shown(one["layer"]),
            y=one[condition].tolist(),
            mode="lines" if len(one) > 1 else "markers",
            line={"color": colour, "width": 1},
            opacity=0.35,
            legendgroup=title,
            name=title,
            showlegend=False,
            hovertemplate=f"<b>{in_hover(name, title)}</b><br>%{{x}}: %{{y:.3f}}<extra></extra>",
            meta=meta | {"attribute": str(name)},
        )
        for name, one in rows.groupby("attribute", sort=False)
    ]
    mean = rows.groupby("layer", sort=False)[condition].mean()
    traces.append(
        go.Scatter(
            x=shown(mean.index),
            y=mean.tolist(),
            mode="lines+markers",
            line={"color": colour, "width": 3},
            marker={"size": 6},
            legendgroup=title,
            name=title,
            showlegend=legend,
            hovertemplate=f"<b>{title}</b>, mean<br>%{{x}}: %{{y:.3f}}<extra></extra>",
            meta=meta | {"attribute": ""},
        )
    )
    return traces


def _dumbbell(rows: pd.DataFrame, names: list[str], treatment: str, *, legend: bool) -> list[go.Scatter]:
    meta = {"treatment": treatment}
    between_x: list[float | None] = []
    between_y: list[str | None] = []
    for name, raw, value in zip(names, rows["raw"], rows["value"], strict=True):
        between_x += [raw, value, None]
        between_y += [name, name, None]
    places = shown(rows["layer"])
    return [
        go.Scatter(
            x=between_x,
            y=between_y,
            mode="lines",
            line={"color": style.CHANCE, "width": 1.5},
            hoverinfo="skip",
            showlegend=False,
            meta=meta | {"role": "between"},
        ),
        go.Scatter(
            x=rows["chance"].tolist(),
            y=names,
            mode="markers",
            marker={"symbol": "line-ns", "size": 12, "line": {"color": style.CHANCE, "width": 1.5}},
            name="chance",
            showlegend=legend,
            hovertemplate="chance %{x:.2f}<extra></extra>",
            meta=meta | {"role": "chance"},
        ),
        go.Scatter(
            x=rows["raw"].tolist(),
            y=names,
            mode="markers",
            marker={"symbol": "circle-open", "size": 9, "color": style.COLOURS[0], "line": {"width": 2}},
            name="as it comes",
            showlegend=legend,
            customdata=places,
            hovertemplate="%{customdata}, as it comes: %{x:.3f}<extra>%{y}</extra>",
            meta=meta | {"role": "raw"},
        ),
        go.Scatter(
            x=rows["value"].tolist(),
            y=names,
            mode="markers",
            marker={"size": 9, "color": style.COLOURS[1]},
            error_x=bars(rows["value"], rows["lower"], rows["upper"], color=style.COLOURS[1], width=3),
            name="confounder taken out",
            showlegend=legend,
            customdata=places,
            hovertemplate="%{customdata}, confounder taken out: %{x:.3f}<extra>%{y}</extra>",
            meta=meta | {"role": "value"},
        ),
    ]
