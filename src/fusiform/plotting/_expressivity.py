from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from fusiform.plotting import style
from fusiform.plotting._expressivity_rows import (
    HELD_OUT,
    NATS,
    TRAIN,
    ZERO,
    by_value,
    dot_layout,
    dots,
    look,
    selected,
)
from fusiform.plotting._traces import (
    LEGEND_ON_TOP,
    band,
    in_hover,
    interval_hover,
    layer_axis,
    room_below,
    shown,
)
from fusiform.plotting.tables import CONTROL_ENDING, layer_order

_COLUMNS = (
    *("network", "layer", "depth", "attribute", "encoding", "estimator", "split"),
    *("value", "lower", "upper"),
)
# With more lines than colours, neither bands nor a legend can be read.
FEW = len(style.COLOURS)


def expressivity_over_layers(
    expressivity: pd.DataFrame,
    *,
    network: str | None = None,
    estimator: str | None = None,
    attributes: Sequence[str] | None = None,
) -> go.Figure:
    """Draw the mutual information of every attribute with the features of each layer, as figure 3 of the paper.

    Parameters
    ----------
    expressivity : DataFrame
        ``network, layer, depth, attribute, encoding, estimator, split, value, lower, upper``, in nats.
    network : str, optional
        Which network; needed where the table holds several. Its random-weights control is drawn grey.
    estimator : str, optional
        Which estimator; by default the first of the table.
    attributes : sequence of str, optional
        Which attributes, in all their encodings; all by default.

    Returns
    -------
    plotly.graph_objects.Figure
        For every attribute and encoding a line of the estimate on images not trained on, its interval, and dotted
        the estimate on the training images, which is what the paper reports. With more lines than there are colours
        the first of these only. ``meta`` holds ``attribute``, ``series`` (with the encoding where there are
        several) and ``role`` (``"line"``, ``"band"``, ``"train"``, ``"control"`` or ``"key"``).

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    References
    ----------
    Dhar et al. (2020), figure 3.

    Examples
    --------
    >>> row = {"network": "n", "attribute": "yaw", "encoding": "ranks", "estimator": "mine", "lower": 0.9,
    ...        "upper": 1.1, "split": "held out"}
    >>> table = pd.DataFrame([row | {"layer": "fc", "depth": 2, "value": 0.5},
    ...                       row | {"layer": "image", "depth": -1, "value": 1.0}])
    >>> [trace.y for trace in expressivity_over_layers(table).data if trace.meta["role"] == "line"]
    [(1.0, 0.5)]
    """
    rows = selected(
        expressivity,
        _COLUMNS,
        what="expressivity",
        network=network,
        estimator=estimator,
        attributes=attributes,
        control=True,
    ).sort_values("depth", kind="stable")
    is_control = rows["network"].astype(str).str.endswith(CONTROL_ENDING)
    layers = layer_order(rows)
    names = list(dict.fromkeys(rows.sort_values("slot")["series"]))
    full = len(names) <= FEW
    figure = go.Figure()
    for name in names:
        own = rows[(rows["series"] == name) & ~is_control]
        figure.add_traces(lines(own, x=shown(own["layer"]), places=shown(own["layer"]), full=full))
        twin = rows[(rows["series"] == name) & is_control & (rows["split"] == HELD_OUT)]
        if full and len(twin):
            figure.add_trace(_control(twin))
    if full:
        figure.add_traces(key(figure))
    figure.update_layout(
        template=style.TEMPLATE,
        height=360 + room_below(layers),
        xaxis=layer_axis(layers),
        yaxis={"title": {"text": NATS}, "rangemode": "tozero"} | ZERO,
        legend=LEGEND_ON_TOP,
        margin={"t": 54},
        hovermode="closest",
    )
    return figure


def expressivity_by_attribute(
    expressivity: pd.DataFrame,
    *,
    network: str | None = None,
    layer: str | None = None,
    estimator: str | None = None,
) -> go.Figure:
    """Draw the mutual information of every attribute with the features of one layer, the highest on top.

    Parameters
    ----------
    expressivity : DataFrame
        As for `expressivity_over_layers`.
    network, estimator
        As for `expressivity_over_layers`.
    layer : str, optional
        Which layer; by default the deepest.

    Returns
    -------
    plotly.graph_objects.Figure
        Dots with intervals for images not trained on, rings for the training images, and grey diamonds for the
        random-weights control; ``meta["role"]`` is ``"value"``, ``"train"`` or ``"control"``.

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "", "layer": "features", "depth": 0, "encoding": "ranks", "estimator": "mine",
    ...        "lower": 0.0, "upper": 2.0, "split": "held out"}
    >>> table = pd.DataFrame([row | {"attribute": "yaw", "value": 0.5}, row | {"attribute": "age", "value": 1.0}])
    >>> expressivity_by_attribute(table).data[0].y
    ('age', 'yaw')
    """
    rows = selected(
        expressivity, _COLUMNS, what="expressivity", network=network, estimator=estimator, control=True
    )
    is_control = rows["network"].astype(str).str.endswith(CONTROL_ENDING)
    if layer is None:
        layer = layer_order(rows[~is_control] if (~is_control).any() else rows)[-1]
    rows = selected(
        expressivity,
        _COLUMNS,
        what="expressivity",
        network=network,
        layer=layer,
        estimator=estimator,
        control=True,
    )
    is_control = rows["network"].astype(str).str.endswith(CONTROL_ENDING)
    held = by_value(rows[~is_control & (rows["split"] == HELD_OUT)])
    figure = go.Figure(
        dots(
            held,
            ("value", "lower", "upper"),
            what="held out",
            meta={"role": "value"},
            name="on images not trained on",
        )
    )
    others = (
        ("train", rows[~is_control & (rows["split"] == TRAIN)], "on the training images", "circle-open"),
        ("control", rows[is_control & (rows["split"] == HELD_OUT)], "random weights", "diamond-open"),
    )
    for role, part, name, symbol in others:
        if len(part):
            figure.add_scatter(
                x=part["value"].tolist(),
                y=shown(part["series"]),
                mode="markers",
                marker={"symbol": symbol, "size": 8, "color": style.CHANCE, "line": {"width": 1.5}},
                name=name,
                hovertemplate=f"{name}: %{{x:.3f}}<extra>%{{y}}</extra>",
                meta={"role": role},
            )
    figure.update_layout(dot_layout(held["series"].tolist(), NATS) | {"legend": LEGEND_ON_TOP})
    return figure


def lines(rows: pd.DataFrame, *, x: Sequence[Any], full: bool, places: Sequence[str]) -> list[go.Scatter]:
    """Draw one attribute in one encoding; `x` are the places of the rows, `places` their names."""
    if not len(rows):
        return []
    place, named = dict(zip(rows.index, x, strict=True)), dict(zip(rows.index, places, strict=True))
    held, train = rows[rows["split"] == HELD_OUT], rows[rows["split"] == TRAIN]
    series, (colour, symbol) = str(rows["series"].iloc[0]), look(int(rows["slot"].iloc[0]))
    at = [place[i] for i in held.index]
    meta = {"attribute": str(rows["attribute"].iloc[0]), "series": series}
    group = {"name": style.plain(series), "legendgroup": style.plain(series)}
    traces = []
    known = held[["lower", "upper"]].notna().all(axis=1)
    if full and known.sum() > 1:
        fill = style.translucent(colour, 0.14)
        sure = held[known]
        there = [place[i] for i in sure.index]
        more = {"showlegend": False, "meta": meta | {"role": "band"}}
        traces.append(band(there, sure["lower"], sure["upper"], fill, **group, **more))
    traces.append(
        go.Scatter(
            x=at,
            y=held["value"].tolist(),
            mode="lines+markers" if full or len(held) == 1 else "lines",
            line={"color": colour, "width": 2.3 if full else 1.3},
            marker={"size": 7, "symbol": symbol},
            opacity=1 if full else 0.75,
            showlegend=full,
            text=[named[i] for i in held.index],
            customdata=held[["lower", "upper"]].to_numpy().tolist(),
            hovertemplate=interval_hover(series).replace("%{x}", "%{text}"),
            meta=meta | {"role": "line"},
            **group,
        )
    )
    if full and len(train):
        traces.append(
            go.Scatter(
                x=[place[i] for i in train.index],
                y=train["value"].tolist(),
                mode="lines" if len(train) > 1 else "markers",
                line={"color": colour, "width": 1.2, "dash": "dot"},
                marker={"size": 6, "symbol": symbol + "-open"},
                showlegend=False,
                text=[named[i] for i in train.index],
                hovertemplate=f"<b>{in_hover(series)}</b>, training images<br>%{{text}}: %{{y:.3f}}<extra></extra>",
                meta=meta | {"role": "train"},
                **group,
            )
        )
    return traces


def _control(rows: pd.DataFrame) -> go.Scatter:
    series, (_, symbol) = str(rows["series"].iloc[0]), look(int(rows["slot"].iloc[0]))
    return go.Scatter(
        x=shown(rows["layer"]),
        y=rows["value"].tolist(),
        mode="lines+markers",
        line={"color": style.CONTROL, "width": 1.1, "dash": "dash"},
        marker={"size": 5, "symbol": symbol + "-open", "color": style.CONTROL},
        opacity=0.7,
        name=style.plain(series),
        legendgroup=style.plain(series),
        showlegend=False,
        hovertemplate=f"<b>{in_hover(series)}</b>, random weights<br>%{{x}}: %{{y:.3f}}<extra></extra>",
        meta={
            "attribute": str(rows["attribute"].iloc[0]),
            "series": series,
            "role": "control",
        },
    )


def key(figure: go.Figure) -> list[go.Scatter]:
    """Say in the legend what dotted and grey lines are; none of them has an attribute's colour."""
    there = {trace.meta["role"] for trace in figure.data}
    lines = {
        "train": ("on the training images", {"dash": "dot", "width": 1.2}),
        "control": ("random weights", {"dash": "dash", "width": 1.1}),
    }
    return [
        go.Scatter(
            x=[None],
            y=[None],
            mode="lines",
            line=line | {"color": style.CONTROL},
            name=name,
            hoverinfo="skip",
            meta={"attribute": "", "series": "", "role": "key"},
        )
        for role, (name, line) in lines.items()
        if role in there
    ]
