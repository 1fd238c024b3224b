from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError, nearest
from fusiform.plotting import style
from fusiform.plotting._traces import LEGEND_ON_TOP
from fusiform.plotting.tables import check_columns, layer_order, of_setup

_BINS = 30
_NAMES = {"r_vip": "VIP", "r_mean_activation": "mean activation on positive images"}


def vip_examples(
    vip_histogram: pd.DataFrame,
    vip_neurons: pd.DataFrame,
    *,
    network: str | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> go.Figure:
    """Draw how VIP is distributed over a layer's neurons, and how single neurons do by their VIP.

    As figure 5.9 of Diniz' thesis: on top log-scaled histograms, below the accuracy of single neurons.

    Parameters
    ----------
    vip_histogram : DataFrame
        Counts of neurons by VIP: ``network, layer, depth, attribute, low, high, count``.
    vip_neurons : DataFrame
        Single neurons: ``network, layer, depth, attribute, unit, vip, value``.
    network : str, optional
        Which network; by default the first. VIP of different networks cannot be compared.
    pairs : sequence of (layer, attribute), optional
        Which layers and attributes, a column each; by default three spread evenly over layers and, by name, over
        attributes, whatever their values.

    Returns
    -------
    plotly.graph_objects.Figure
        For each pair a histogram and dots, with ``meta["pair"]``.

    Raises
    ------
    DataError
        If columns are missing, or a network or pair is not in the tables.

    Examples
    --------
    >>> at = {"network": "n", "layer": "fc", "depth": 1, "attribute": "Male"}
    >>> figure = vip_examples(pd.DataFrame([at | {"low": 0.5, "high": 1.0, "count": 9}]),
    ...                       pd.DataFrame([at | {"unit": "3", "vip": 0.75, "value": 0.6}]))
    >>> figure.data[0].y, figure.data[1].x
    ((9,), (0.75,))
    """
    check_columns(
        vip_histogram, ("network", "layer", "attribute", "low", "high", "count"), what="vip_histogram"
    )
    check_columns(
        vip_neurons, ("network", "layer", "depth", "attribute", "unit", "vip", "value"), what="vip_neurons"
    )
    names = list(dict.fromkeys(vip_neurons["network"]))
    if not names:
        raise DataError("The table 'vip_neurons' holds no neurons to draw.")
    if network is not None and network not in names:
        raise DataError(f"The table 'vip_neurons' has no network '{network}': {nearest(network, names)}")
    neurons = vip_neurons[vip_neurons["network"] == (network or names[0])]
    histogram = vip_histogram[vip_histogram["network"] == (network or names[0])]
    chosen = list(pairs) if pairs is not None else spread_pairs(neurons)
    figure = make_subplots(
        rows=2,
        cols=len(chosen),
        subplot_titles=style.titles(f"{attribute}\n{layer}" for layer, attribute in chosen),
        shared_xaxes=True,
        vertical_spacing=0.08,
        horizontal_spacing=0.07,
    )
    for column, (layer, attribute) in enumerate(chosen, start=1):
        counts = _of_pair(histogram, layer, attribute, "vip_histogram")
        dots = _of_pair(neurons, layer, attribute, "vip_neurons")
        meta = {"pair": [str(layer), str(attribute)]}
        figure.add_bar(
            x=((counts["low"] + counts["high"]) / 2).tolist(),
            width=(counts["high"] - counts["low"]).tolist(),
            y=counts["count"].tolist(),
            customdata=counts[["low", "high"]].to_numpy().tolist(),
            hovertemplate="VIP %{customdata[0]:.2f} to %{customdata[1]:.2f}: %{y} neurons<extra></extra>",
            marker={"color": style.COLOURS[0], "line": {"width": 0}},
            meta=meta | {"role": "histogram"},
            row=1,
            col=column,
        )
        figure.add_scatter(
            x=dots["vip"].tolist(),
            y=dots["value"].tolist(),
            mode="markers",
            marker={"size": 6, "color": style.UNIT_COLOURS["neuron"], "opacity": 0.75},
            customdata=[style.plain(unit) for unit in dots["unit"]],
            hovertemplate="neuron %{customdata}<br>VIP %{x:.2f}: %{y:.3f}<extra></extra>",
            meta=meta | {"role": "neurons"},
            row=2,
            col=column,
        )
        r = _pearson(dots["vip"], dots["value"])
        if not np.isnan(r):
            figure.add_annotation(
                text=f"r = {r:.2f}".replace("-", "\N{MINUS SIGN}"),
                showarrow=False,
                x=0.98,
                y=0.02,
                xref="x domain",
                yref="y domain",
                xanchor="right",
                yanchor="bottom",
                row=2,
                col=column,
            )
        figure.update_xaxes(title_text="VIP", row=2, col=column)
    figure.update_yaxes(type="log", dtick=1, row=1)
    figure.update_yaxes(title_text="neurons (log)", row=1, col=1)
    figure.update_yaxes(title_text="one neuron alone", row=2, col=1)
    figure.update_layout(
        template=style.TEMPLATE, height=500, showlegend=False, margin={"t": 56}, hovermode="closest"
    )
    return figure


def vip_correlations(vip_correlation: pd.DataFrame, *, setup: str | None = None) -> go.Figure:
    """Draw how well VIP, and how well mean activation, goes along with what single neurons know.

    Parameters
    ----------
    vip_correlation : DataFrame
        Pearson's r over the neurons of a layer: ``setup, layer, attribute, r_vip, r_mean_activation``.
    setup : str, optional
        Which setup; needed where the table holds several.

    Returns
    -------
    plotly.graph_objects.Figure
        Two histograms over all layers and attributes, their means as upright lines and in ``meta["mean"]``.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> table = pd.DataFrame({"setup": "n", "layer": "fc", "attribute": ["a", "b"], "r_vip": [0.5, 1.0],
    ...                       "r_mean_activation": [0.0, 0.5]})
    >>> [trace.meta["mean"] for trace in vip_correlations(table).data]
    [0.75, 0.25]
    """
    check_columns(vip_correlation, ("setup", "layer", "attribute", *_NAMES), what="vip_correlation")
    rows = of_setup(vip_correlation, setup, what="vip_correlation")
    figure = go.Figure()
    for column, colour in zip(_NAMES, (style.COLOURS[1], style.CHANCE), strict=True):
        values = rows[column].dropna()
        if not len(values):
            continue
        mean = float(values.mean())
        written = f"{mean:.2f}".replace("-", "\N{MINUS SIGN}")
        figure.add_histogram(
            x=values.tolist(),
            xbins={"start": -1, "end": 1.0001, "size": 2 / _BINS},
            marker={"color": style.translucent(colour, 0.55), "line": {"width": 0}},
            name=f"{_NAMES[column]}: mean r {written}",
            hovertemplate="r %{x}: %{y} pairs of layer and attribute<extra></extra>",
            meta={"column": column, "mean": mean},
        )
        figure.add_vline(x=mean, line={"color": colour, "width": 2})
    if not figure.data:
        raise DataError("The table 'vip_correlation' holds no correlations to draw.")
    figure.update_layout(
        template=style.TEMPLATE,
        height=300,
        barmode="overlay",
        xaxis={"title": {"text": "r with the accuracy of single neurons"}, "range": [-1.02, 1.02]},
        yaxis={"title": {"text": "pairs of layer and attribute"}},
        legend=LEGEND_ON_TOP,
        margin={"t": 44},
    )
    return figure


def spread_pairs(neurons: pd.DataFrame, n: int = 3) -> list[tuple[str, str]]:
    """Choose layers and attributes spread evenly over depth and over names, whatever their values.

    Examples
    --------
    >>> table = pd.DataFrame([{"layer": l, "depth": i, "attribute": a} for i, l in enumerate("pqr") for a in "abc"])
    >>> spread_pairs(table)
    [('p', 'a'), ('q', 'b'), ('r', 'c')]
    """
    layers, names = layer_order(neurons), sorted(dict.fromkeys(neurons["attribute"]), key=str)
    places = [(2 * i + 1) / (2 * n) for i in range(n)]
    pairs = [(layers[int(p * len(layers))], names[int(p * len(names))]) for p in places]
    there = set(zip(neurons["layer"], neurons["attribute"], strict=True))
    return [pair for pair in dict.fromkeys(pairs) if pair in there] or [next(iter(there))]


def _of_pair(table: pd.DataFrame, layer: str, attribute: str, what: str) -> pd.DataFrame:
    rows = table[(table["layer"] == layer) & (table["attribute"] == attribute)]
    if not len(rows):
        raise DataError(
            f"The table '{what}' has no rows of the layer '{layer}' and the attribute '{attribute}'."
        )
    return rows


def _pearson(x: pd.Series, y: pd.Series) -> float:
    there = x.notna() & y.notna()
    if there.sum() < 3 or x[there].nunique() < 2 or y[there].nunique() < 2:
        return float("nan")
    return float(np.corrcoef(x[there], y[there])[0, 1])
