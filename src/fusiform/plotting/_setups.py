from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.plotting import style
from fusiform.plotting._traces import LEGEND_ON_TOP, band, in_hover, shown
from fusiform.plotting.tables import CONTROL_ENDING, METRIC_TITLES, R2_AXIS, curves, setups

_PANEL_PX = 330


def setups_over_depth(
    probes: pd.DataFrame,
    *,
    split: str = "valid",
    unit_kind: str = "layer",
    attributes: Sequence[str] | None = None,
) -> go.Figure:
    """Draw the mean over attributes over depth, one line a setup, controls with random weights dotted.

    As figure 5.4 of Diniz' thesis. Only attributes that were measured in every setup count, so that all lines are
    means of the same. The band is the mean over attributes of what `fusiform.plotting.tables.curves` gives: from the
    lowest to the highest initialisation where there are several, the interval otherwise.

    Parameters
    ----------
    probes : DataFrame
        The table of probes of a study of layers.
    split : str, default "valid"
        Which images the values were measured on.
    unit_kind : str, default "layer"
        ``"layer"``, ``"channels"`` or ``"neurons"``.
    attributes : sequence of str, optional
        Which attributes to average; all by default.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel for each metric. Every trace's ``meta`` holds ``setup``, ``metric``, ``role`` (``"line"``,
        ``"control"`` or ``"band"``) and ``attributes``, how many were averaged.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "setup": "n", "control": False, "attribute": "Male", "kind": "binary",
    ...        "unit_kind": "layer", "split": "valid", "metric": "balanced_accuracy", "lower": 0.8, "upper": 0.95,
    ...        "chance": 0.5}
    >>> probes = pd.DataFrame([row | {"layer": "fc", "depth": 1, "value": 0.75},
    ...                        row | {"layer": "fc", "depth": 1, "value": 0.25, "attribute": "Young"}])
    >>> setups_over_depth(probes).data[-1].y
    (0.5,)
    """
    rows = curves(probes, split=split, unit_kinds=[unit_kind], attributes=attributes)
    shared = rows.groupby("attribute")["setup"].nunique()
    common = set(shared[shared == rows["setup"].nunique()].index)
    # Setups without an attribute in common still have lines of their own.
    rows = rows[rows["attribute"].isin(common)] if common else rows
    colours = {name: style.COLOURS[i % len(style.COLOURS)] for i, name in enumerate(setups(probes))}
    metrics = list(dict.fromkeys(rows["metric"]))
    figure = make_subplots(rows=len(metrics), cols=1, vertical_spacing=0.16 if len(metrics) > 1 else 0)
    drawn: set[str] = set()
    for index, metric in enumerate(metrics, start=1):
        of_metric = rows[rows["metric"] == metric]
        for setup in sorted(of_metric["setup"].unique(), key=lambda name: str(name).endswith(CONTROL_ENDING)):
            for trace in _traces(of_metric[of_metric["setup"] == setup], str(setup), metric, colours):
                first = trace.meta["role"] != "band" and str(setup) not in drawn
                figure.add_trace(trace.update(showlegend=first), row=index, col=1)
                drawn |= {str(setup)} if first else set()
        figure.update_yaxes(title_text=f"mean {METRIC_TITLES[metric]}", row=index, col=1)
        if metric == "r2":
            figure.update_yaxes(R2_AXIS, row=index, col=1)
        figure.update_xaxes(range=[-0.02, 1.02], row=index, col=1)
    figure.update_xaxes(title_text="depth (0 first layer, 1 last)", row=len(metrics), col=1)
    figure.update_layout(
        template=style.TEMPLATE,
        height=_PANEL_PX * len(metrics) + 60,
        legend=LEGEND_ON_TOP,
        margin={"t": 54},
        hovermode="closest",
    )
    return figure


def _traces(rows: pd.DataFrame, setup: str, metric: str, colours: dict[str, str]) -> list[go.Scatter]:
    control = setup.endswith(CONTROL_ENDING)
    colour = colours.get(setup.removesuffix(CONTROL_ENDING), style.CONTROL)
    by_layer = rows.groupby("layer", sort=False)
    mean = by_layer[["relative_depth", "value", "lower", "upper"]].mean().sort_values("relative_depth")
    n = int(rows["attribute"].nunique())
    x = mean["relative_depth"].tolist()
    meta = {"setup": setup, "metric": metric, "attributes": n}
    group = {"name": style.plain(setup), "legendgroup": style.plain(setup)}
    traces = []
    if mean[["lower", "upper"]].notna().all(axis=None) and len(mean) > 1:
        fill = style.translucent(colour, 0.1)
        traces.append(
            band(
                x, mean["lower"], mean["upper"], fill, showlegend=False, meta=meta | {"role": "band"}, **group
            )
        )
    n_networks = rows["n_networks"].max()
    what = f"mean of {n} attribute{'s' if n > 1 else ''}" + (
        f", {n_networks} initialisations" if n_networks > 1 else ""
    )
    traces.append(
        go.Scatter(
            x=x,
            y=mean["value"].tolist(),
            mode="lines+markers",
            line={
                "color": colour,
                "width": 1.5 if control else 2.4,
                "dash": style.DASHES["control" if control else "trained"],
            },
            marker={"size": 4 if control else 6, "symbol": "circle-open" if control else "circle"},
            customdata=np.column_stack([shown(mean.index), mean["lower"], mean["upper"]]).tolist(),
            hovertemplate=f"<b>{in_hover(setup)}</b><br>%{{customdata[0]}}: %{{y:.3f}}<br>{what}<extra></extra>",
            meta=meta | {"role": "control" if control else "line"},
            **group,
        )
    )
    return traces
