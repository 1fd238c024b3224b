import math

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._expressivity_rows import (
    NATS,
    by_value,
    chosen,
    dot_layout,
    dots,
    grid,
    selected,
)
from fusiform.plotting._traces import shown
from fusiform.plotting.tables import CONTROL_ENDING, check_columns, layer_order

LAST_LAYER = "last layer"
_PLACE = ("network", "layer", "attribute", "encoding", "estimator")


def expressivity_order(
    order: pd.DataFrame,
    *,
    network: str | None = None,
    over: str | None = None,
    estimator: str | None = None,
) -> go.Figure:
    """Draw the order of the attributes in one layer with intervals, the highest on top.

    Parameters
    ----------
    order : DataFrame
        ``network, over, layer, attribute, encoding, estimator, rank, value, lower, upper, above_next``.
    network : str, optional
        Which network; needed where the table holds several.
    over : str, optional
        Which order; by default that of the last layer.
    estimator : str, optional
        Which estimator; by default the first of the table.

    Returns
    -------
    plotly.graph_objects.Figure
        One trace of dots with intervals; at the right how probable it is that an attribute is above the next.

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "over": "last layer", "layer": "fc", "encoding": "ranks", "estimator": "mine",
    ...        "lower": 0.0, "upper": 2.0}
    >>> table = pd.DataFrame([row | {"attribute": "yaw", "rank": 2, "value": 0.5, "above_next": None},
    ...                       row | {"attribute": "age", "rank": 1, "value": 1.0, "above_next": 0.98}])
    >>> expressivity_order(table).data[0].y
    ('age', 'yaw')
    """
    rows = order_rows(order, network=network, over=over, estimator=estimator)
    figure = go.Figure(dots(rows, ("value", "lower", "upper"), what="held out", showlegend=False))
    figure.update_layout(dot_layout(rows["series"].tolist(), NATS) | {"margin": {"t": 34, "r": 96}})
    for place, above in enumerate(rows["above_next"].iloc[:-1]):
        if not math.isnan(above):
            figure.add_annotation(
                text=f"{100 * above:.0f}%",
                x=1.01,
                xref="paper",
                y=place + 0.5,
                yref="y",
                xanchor="left",
                showarrow=False,
            )
    if rows["above_next"].notna().any():
        figure.add_annotation(
            text="above the next",
            x=1.01,
            xref="paper",
            y=1,
            yref="paper",
            yshift=16,
            xanchor="left",
            showarrow=False,
        )
    return figure


def order_rows(
    order: pd.DataFrame, *, network: str | None = None, over: str | None = None, estimator: str | None = None
) -> pd.DataFrame:
    """Select one order, the first rank first.

    Examples
    --------
    >>> row = {"network": "n", "over": "last layer", "layer": "fc", "encoding": "ranks", "estimator": "mine",
    ...        "value": 1.0, "lower": 0.0, "upper": 2.0, "above_next": 0.9}
    >>> table = pd.DataFrame([row | {"attribute": "yaw", "rank": 2}, row | {"attribute": "age", "rank": 1}])
    >>> order_rows(table)["attribute"].tolist()
    ['age', 'yaw']
    """
    columns = (*_PLACE, "over", "rank", "value", "lower", "upper", "above_next")
    rows = selected(order, columns, what="order", network=network, estimator=estimator)
    names = list(dict.fromkeys(rows["over"]))
    usual = LAST_LAYER if LAST_LAYER in names else names[0]
    rows = rows[rows["over"] == chosen(names, over or usual, "order", "order")]
    rows = rows.assign(above_next=pd.to_numeric(rows["above_next"]).astype(float))
    return rows.sort_values("rank", kind="stable").reset_index(drop=True)


def expressivity_share(
    relative: pd.DataFrame,
    *,
    network: str | None = None,
    layer: str | None = None,
    estimator: str | None = None,
) -> go.Figure:
    """Draw which share of every attribute's entropy the features of one layer give away.

    Parameters
    ----------
    relative : DataFrame
        ``network, layer, attribute, encoding, estimator, share, lower, upper``.
    network, layer : str, optional
        Which network and layer; needed where there are several.
    estimator : str, optional
        Which estimator; by default the first of the table.

    Returns
    -------
    plotly.graph_objects.Figure
        One trace of dots with intervals, the highest share on top.

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    Examples
    --------
    >>> table = pd.DataFrame([{"network": "n", "layer": "fc", "attribute": "sex", "encoding": "categorical",
    ...                        "estimator": "mine", "share": 0.75, "lower": 0.7, "upper": 0.8}])
    >>> expressivity_share(table).data[0].x
    (0.75,)
    """
    columns = (*_PLACE, "share", "lower", "upper")
    rows = selected(relative, columns, what="relative", network=network, estimator=estimator)
    which = chosen(list(dict.fromkeys(rows["layer"])), layer, "layer", "relative")
    rows = rows.assign(share=pd.to_numeric(rows["share"]).astype(float))
    rows = by_value(rows[(rows["layer"] == which) & rows["share"].notna()], "share")
    if not len(rows):
        raise DataError(f"The table 'relative' holds no shares of the layer '{which}' to draw.")
    figure = go.Figure(dots(rows, ("share", "lower", "upper"), what="share of the entropy", showlegend=False))
    figure.update_layout(dot_layout(rows["series"].tolist(), "share of the entropy") | {"margin": {"t": 16}})
    figure.update_xaxes(tickformat=".0%")
    return figure


def attribute_histograms(histograms: pd.DataFrame) -> go.Figure:
    """Draw how the values of every attribute are spread, a small panel an attribute.

    Parameters
    ----------
    histograms : DataFrame
        ``attribute, bin, left, right, label, count``; classes have a label and no ends.

    Returns
    -------
    plotly.graph_objects.Figure
        Bars of a panel each; ``meta["attribute"]``.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> table = pd.DataFrame({"attribute": "yaw", "bin": [0, 1], "left": [-10.0, 0.0], "right": [0.0, 10.0],
    ...                       "label": ["", ""], "count": [4, 6]})
    >>> attribute_histograms(table).data[0].x, attribute_histograms(table).data[0].y
    ((-5.0, 5.0), (4, 6))
    """
    check_columns(histograms, ("attribute", "bin", "left", "right", "label", "count"), what="histograms")
    names = list(dict.fromkeys(histograms["attribute"]))
    if not names:
        raise DataError("The table 'histograms' holds no rows to draw.")
    deep, columns = grid(len(names))
    figure = make_subplots(
        rows=deep,
        cols=columns,
        subplot_titles=style.titles(names),
        horizontal_spacing=0.06,
        vertical_spacing=0.4 / deep if deep > 1 else 0,
    )
    for index, name in enumerate(names):
        own = histograms[histograms["attribute"] == name].sort_values("bin", kind="stable")
        measured = own[["left", "right"]].notna().all(axis=None)
        middle = ((own["left"] + own["right"]) / 2).tolist() if measured else own["bin"].tolist()
        labels = (
            [f"{a:.4g} to {b:.4g}" for a, b in zip(own["left"], own["right"], strict=True)]
            if measured
            else [str(label) for label in own["label"]]
        )
        place = {"row": index // columns + 1, "col": index % columns + 1}
        figure.add_bar(
            x=middle,
            y=own["count"].tolist(),
            width=(own["right"] - own["left"]).tolist() if measured else None,
            customdata=shown(labels),
            hovertemplate="%{customdata}: %{y:,}<extra></extra>",
            marker={"color": style.translucent(style.COLOURS[0], 0.8), "line": {"width": 0}},
            meta={"attribute": str(name)},
            showlegend=False,
            **place,
        )
        if not measured:
            figure.update_xaxes(_class_ticks(labels, middle), **place)
    figure.update_yaxes(nticks=4)
    figure.update_layout(template=style.TEMPLATE, height=130 * deep + 60, bargap=0.15, margin={"t": 40})
    return figure


def _class_ticks(labels: list[str], places: list[int]) -> dict[str, object]:
    # Of many classes, such as people, the names would be a smear.
    if len(labels) > 4 or max(map(len, labels)) > 10:
        return {"showticklabels": False, "title": {"text": f"{len(labels)} classes"}}
    return {"tickvals": places, "ticktext": shown(labels)}


def last_layer(expressivity: pd.DataFrame, network: str) -> str | None:
    """Give the deepest layer of a network; none where it has no rows.

    Examples
    --------
    >>> last_layer(pd.DataFrame({"network": "n", "layer": ["fc", "image"], "depth": [9, -1]}), "n")
    'fc'
    """
    rows = expressivity[expressivity["network"] == network]
    return layer_order(rows)[-1] if len(rows) else None


def networks(table: pd.DataFrame) -> list[str]:
    """List the networks of a table without their random-weights controls.

    Examples
    --------
    >>> networks(pd.DataFrame({"network": ["a", "a (random weights)"]}))
    ['a']
    """
    names = dict.fromkeys(str(name) for name in table["network"])
    return [name for name in names if not name.endswith(CONTROL_ENDING)]
