import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._expressivity_rows import (
    HELD_OUT,
    MOST_PANELS,
    NATS,
    TRAIN,
    ZERO,
    by_value,
    chosen,
    grid,
    look,
    selected,
    with_series,
)
from fusiform.plotting._traces import LEGEND_ON_TOP, bars, in_hover, shown
from fusiform.plotting.tables import check_columns, layer_order

_ROW_PX = 12


def expressivity_by_estimator(
    expressivity: pd.DataFrame, *, network: str | None = None, layer: str | None = None
) -> go.Figure:
    """Draw what every estimator finds for every attribute in one layer, in the order of the first estimator.

    Parameters
    ----------
    expressivity : DataFrame
        ``network, layer, depth, attribute, encoding, estimator, split, value, lower, upper``.
    network : str, optional
        Which network; needed where the table holds several.
    layer : str, optional
        Which layer; by default the deepest.

    Returns
    -------
    plotly.graph_objects.Figure
        A trace an estimator, its dots beside those of the others; ``meta["estimator"]``.

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "layer": "fc", "depth": 1, "attribute": "yaw", "encoding": "ranks", "lower": 0.0,
    ...        "upper": 2.0, "split": "held out"}
    >>> table = pd.DataFrame([row | {"estimator": "mine", "value": 0.5}, row | {"estimator": "gaussian", "value": 0.4}])
    >>> [(trace.name, trace.x) for trace in expressivity_by_estimator(table).data]
    [('mine', (0.5,)), ('gaussian', (0.4,))]
    """
    columns = ("network", "layer", "depth", "attribute", "encoding", "split", "value", "lower", "upper")
    check_columns(expressivity, ("estimator",), what="expressivity")
    rows = selected(expressivity, columns, what="expressivity", network=network)
    which = (
        layer_order(rows)[-1]
        if layer is None
        else chosen(list(dict.fromkeys(rows["layer"])), layer, "layer", "expressivity")
    )
    rows = rows[(rows["layer"] == which) & (rows["split"] == HELD_OUT)]
    if not len(rows):
        raise DataError(f"The table 'expressivity' holds no held-out values of the layer '{which}' to draw.")
    estimators = list(dict.fromkeys(rows["estimator"]))
    first = by_value(rows[rows["estimator"] == estimators[0]])["series"]
    names = list(dict.fromkeys([*first, *rows["series"]]))
    figure = go.Figure()
    for index, estimator in enumerate(estimators):
        own = rows[rows["estimator"] == estimator]
        colour, symbol = look(index)
        offset = 0.64 * ((index + 0.5) / len(estimators) - 0.5)
        figure.add_scatter(
            x=own["value"].tolist(),
            y=[names.index(name) + offset for name in own["series"]],
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 8},
            error_x=bars(own["value"], own["lower"], own["upper"], color=colour, width=0),
            name=style.plain(estimator),
            text=shown(own["series"]),
            customdata=own[["lower", "upper"]].to_numpy().tolist(),
            hovertemplate=f"<b>%{{text}}</b>, {in_hover(estimator)}: %{{x:.3f}} "
            "(%{customdata[0]:.3f} to %{customdata[1]:.3f})<extra></extra>",
            meta={"estimator": str(estimator)},
        )
    rows_px = max(2 * _ROW_PX, _ROW_PX * len(estimators) + 8)
    figure.update_layout(
        template=style.TEMPLATE,
        height=rows_px * len(names) + 110,
        xaxis={"title": {"text": NATS}, "rangemode": "tozero"} | ZERO,
        yaxis={
            "tickvals": list(range(len(names))),
            "ticktext": shown(names),
            "range": [len(names) - 0.4, -0.6],
        },
        legend=LEGEND_ON_TOP,
        margin={"t": 44},
    )
    return figure


def expressivity_calibration(calibration: pd.DataFrame) -> go.Figure:
    """Draw what every estimator finds where the true mutual information is known, beside the diagonal.

    Parameters
    ----------
    calibration : DataFrame
        ``source, kind, truth, estimator, split, value, lower, upper``.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel a source and kind; a trace an estimator with what it gives on images not trained on, and thinner
        where it was trained. ``meta`` holds ``panel``, ``estimator`` and ``role`` (``"value"``, ``"train"`` or
        ``"truth"``).

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> table = pd.DataFrame([{"source": "gaussian", "kind": "continuous", "truth": 1.0, "estimator": "mine",
    ...                        "split": "held out", "value": 0.95, "lower": 0.9, "upper": 1.0}])
    >>> [(trace.meta["role"], trace.y) for trace in expressivity_calibration(table).data]
    [('truth', (0.0, 1.0)), ('value', (0.95,))]
    """
    columns = ("source", "kind", "truth", "estimator", "split", "value", "lower", "upper")
    check_columns(calibration, columns, what="calibration")
    rows = calibration.dropna(subset=["truth", "value"])
    if not len(rows):
        raise DataError("The table 'calibration' holds no rows to draw.")
    rows = rows.assign(panel=_panel_names(rows)).sort_values("truth", kind="stable")
    panels = list(dict.fromkeys(rows.sort_index()["panel"]))
    estimators = list(dict.fromkeys(rows.sort_index()["estimator"]))
    figure = make_subplots(
        rows=1, cols=len(panels), subplot_titles=style.titles(panels), horizontal_spacing=0.06
    )
    for column, panel in enumerate(panels, start=1):
        part = rows[rows["panel"] == panel]
        place = {"row": 1, "col": column}
        # A constant variable alone has no diagonal to speak of.
        top = float(part["truth"].max()) or 0.1
        figure.add_scatter(
            x=[0.0, top],
            y=[0.0, top],
            mode="lines",
            line={"color": style.CHANCE, "width": 1.2, "dash": "dash"},
            name="truth",
            legendgroup="truth",
            showlegend=column == 1,
            hoverinfo="skip",
            meta={"panel": panel, "estimator": "", "role": "truth"},
            **place,
        )
        for index, estimator in enumerate(estimators):
            for split in (TRAIN, HELD_OUT):
                own = part[(part["estimator"] == estimator) & (part["split"] == split)]
                if len(own):
                    figure.add_trace(_estimates(own, index, split, legend=column == 1), **place)
        figure.update_xaxes(title_text="true (nats)", **place)
    figure.update_yaxes(title_text="estimate (nats)", row=1, col=1)
    figure.update_layout(
        template=style.TEMPLATE, height=400, legend=LEGEND_ON_TOP | {"y": 1.15}, margin={"t": 90}
    )
    return figure


def _panel_names(rows: pd.DataFrame) -> pd.Series:
    words = {"planted": "planted in the features", "gaussian": "correlated Gaussians"}
    source = rows["source"].map(lambda name: words.get(str(name), str(name)))
    return source + "\n" + rows["kind"].astype(str)


def _estimates(rows: pd.DataFrame, index: int, split: str, *, legend: bool) -> go.Scatter:
    estimator, (colour, symbol) = str(rows["estimator"].iloc[0]), look(index)
    held = split == HELD_OUT
    return go.Scatter(
        x=rows["truth"].tolist(),
        y=rows["value"].tolist(),
        mode="lines+markers" if held else "lines",
        line={"color": colour, "width": 2 if held else 1, "dash": "solid" if held else "dot"},
        marker={"symbol": symbol, "size": 7},
        error_y=bars(rows["value"], rows["lower"], rows["upper"], color=colour, width=0) if held else None,
        name=style.plain(estimator),
        legendgroup=style.plain(estimator),
        showlegend=legend and held,
        hovertemplate=f"<b>{in_hover(estimator)}</b>, {split}<br>true %{{x:.2f}}, found %{{y:.3f}}<extra></extra>",
        meta={
            "panel": str(rows["panel"].iloc[0]),
            "estimator": estimator,
            "role": "value" if held else "train",
        },
    )


def critic_curves(
    curves: pd.DataFrame,
    *,
    network: str | None = None,
    layer: str | None = None,
    estimator: str | None = None,
) -> go.Figure:
    """Draw how the estimate of every restart grew while its critic was trained.

    Parameters
    ----------
    curves : DataFrame
        ``network, layer, attribute, encoding, estimator, restart, epoch, train, valid``, and where there is one
        ``step``, which must be the same for all rows.
    network, layer : str, optional
        Which network and layer; needed where there are several.
    estimator : str, optional
        Which estimator; by default the first of the table.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel an attribute and encoding, at most 12, those whose restarts end farthest apart first. All restarts
        of a panel are one trace; ``meta`` holds ``series`` and ``role`` (``"train"`` or ``"valid"``).

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    Examples
    --------
    >>> table = pd.DataFrame([{"network": "n", "layer": "fc", "attribute": "yaw", "encoding": "ranks",
    ...                        "estimator": "mine", "restart": 0, "epoch": e, "train": e / 2, "valid": e / 4}
    ...                       for e in (0, 1, 2)])
    >>> critic_curves(table).data[1].y
    (0.0, 0.25, 0.5, None)
    """
    columns = ("network", "layer", "attribute", "encoding", "estimator", "restart", "epoch", "train", "valid")
    check_columns(curves, columns, what="curves")
    rows = curves
    names = list(dict.fromkeys(str(n) for n in rows["network"]))
    rows = rows[rows["network"] == chosen(names, network, "network", "curves")]
    rows = rows[rows["layer"] == chosen(list(dict.fromkeys(rows["layer"])), layer, "layer", "curves")]
    estimators = list(dict.fromkeys(rows["estimator"]))
    one = chosen(estimators if estimator is not None else estimators[:1], estimator, "estimator", "curves")
    rows = with_series(rows[rows["estimator"] == one]).sort_values(["restart", "epoch"], kind="stable")
    if "step" in rows.columns and rows["step"].nunique(dropna=False) > 1:
        raise DataError("The table 'curves' holds several steps of training; select the rows of one.")
    ends = rows.groupby(["series", "restart"], sort=False)["valid"].last().groupby("series")
    spread = (ends.max() - ends.min()).sort_values(ascending=False, kind="stable", na_position="last")
    panels = list(spread.index[:MOST_PANELS])
    deep, wide = grid(len(panels))
    figure = make_subplots(
        rows=deep,
        cols=wide,
        subplot_titles=style.titles(panels),
        horizontal_spacing=0.06,
        vertical_spacing=0.3 / deep if deep > 1 else 0,
    )
    looks = {
        "train": ("on the training images", style.CHANCE),
        "valid": ("on images not trained on", style.TRAINED),
    }
    for index, panel in enumerate(panels):
        own = rows[rows["series"] == panel]
        for role, (name, colour) in looks.items():
            x: list[float | None] = []
            y: list[float | None] = []
            for _, run in own.groupby("restart", sort=False):
                x += [*run["epoch"].tolist(), None]
                y += [*run[role].astype(float).tolist(), None]
            figure.add_scatter(
                x=x,
                y=y,
                mode="lines",
                line={"color": colour, "width": 1},
                opacity=0.6,
                name=name,
                legendgroup=role,
                showlegend=index == 0,
                hovertemplate="epoch %{x}: %{y:.3f}<extra></extra>",
                meta={"series": str(panel), "role": role},
                row=index // wide + 1,
                col=index % wide + 1,
            )
    for row in range(1, deep + 1):
        figure.update_yaxes(title_text="nats", row=row, col=1)
    for column in range(1, wide + 1):
        # The lowest panel of a column, which the last row need not have.
        figure.update_xaxes(
            title_text="epoch", row=deep - (column > len(panels) - wide * (deep - 1)), col=column
        )
    figure.update_layout(
        template=style.TEMPLATE,
        height=170 * deep + 110,
        legend=LEGEND_ON_TOP | {"y": 1 + 30 / (170 * deep + 20)},
        margin={"t": 70},
    )
    return figure
