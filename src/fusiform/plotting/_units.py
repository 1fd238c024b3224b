import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError, nearest
from fusiform.plotting import style
from fusiform.plotting._traces import (
    LEGEND_ON_TOP,
    band,
    chance_line,
    interval_hover,
    layer_axis,
    room_below,
    shown,
)
from fusiform.plotting.tables import (
    CONTROL_ENDING,
    KINDS,
    METRIC_TITLES,
    attribute_order,
    curves,
    layer_order,
    of_setup,
    setups,
    skill,
    value_range,
)

_UNITS = ("neurons", "channels", "layer")
_PANEL_PX = 150


def units_over_depth(
    probes: pd.DataFrame,
    *,
    setup: str | None = None,
    kind: str | None = None,
    split: str = "valid",
    attributes: Sequence[str] | None = None,
    selector: bool = True,
) -> go.Figure:
    """Draw one attribute over the layers, read from the entire layer, its best channels, its best neurons.

    As figures 5.1 to 5.3 of Diniz' thesis. With several initialisations of a setup, the line is their mean and the
    band reaches from the lowest to the highest; otherwise the band is the interval.

    Parameters
    ----------
    probes : DataFrame
        The table of probes of a study of layers.
    setup : str, optional
        Which setup; needed where the table holds several.
    kind : {"binary", "categorical", "continuous"}, optional
        Which kind of attributes; by default the first that there is.
    split : str, default "valid"
        Which images the values were measured on.
    attributes : sequence of str, optional
        Which attributes, in this order; by default all, the best known first.
    selector : bool, default True
        Add a menu that chooses the attribute, where there are several.

    Returns
    -------
    plotly.graph_objects.Figure
        The traces of the first attribute are visible. Every trace's ``meta`` holds ``attribute``, ``role``
        (``"line"``, ``"band"``, ``"control"``, ``"chance"``) and ``unit_kind``.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "setup": "n", "control": False, "attribute": "Male", "kind": "binary",
    ...        "unit_kind": "layer", "split": "valid", "metric": "balanced_accuracy", "lower": 0.8, "upper": 0.95,
    ...        "chance": 0.5}
    >>> probes = pd.DataFrame([row | {"layer": "stem", "depth": 0, "value": 0.82},
    ...                        row | {"layer": "fc", "depth": 1, "value": 0.91}])
    >>> [trace.meta["role"] for trace in units_over_depth(probes).data]
    ['chance', 'band', 'line']
    """
    rows, names = _chosen(probes, setup, kind, split, attributes)
    layers = layer_order(rows)
    figure = go.Figure()
    for name in names:
        for trace in _traces(rows[rows["attribute"] == name], name, layers):
            figure.add_trace(trace.update(visible=name == names[0]))
    low, high = value_range(rows)
    figure.update_layout(
        template=style.TEMPLATE,
        height=330 + room_below(layers),
        xaxis=layer_axis(layers),
        yaxis={"title": {"text": METRIC_TITLES[rows["metric"].iloc[0]]}, "range": [low, high]},
        legend=LEGEND_ON_TOP,
        margin={"t": 44},
    )
    if selector and len(names) > 1:
        figure.update_layout(updatemenus=[_menu(figure, names)], margin={"t": 80})
    return figure


def unit_panels(
    probes: pd.DataFrame,
    *,
    setup: str | None = None,
    kind: str | None = None,
    split: str = "valid",
    attributes: Sequence[str] | None = None,
    columns: int = 4,
) -> go.Figure:
    """Draw `units_over_depth` as small panels, one an attribute, all with the same axes.

    Parameters
    ----------
    probes, setup, kind, split, attributes
        As for `units_over_depth`.
    columns : int, default 4
        Panels in a row.

    Returns
    -------
    plotly.graph_objects.Figure
        Traces and their ``meta`` as in `units_over_depth`, all visible.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "setup": "n", "control": False, "kind": "binary", "unit_kind": "layer",
    ...        "split": "valid", "metric": "balanced_accuracy", "lower": 0.8, "upper": 0.95, "chance": 0.5,
    ...        "layer": "fc", "depth": 1, "value": 0.91}
    >>> figure = unit_panels(pd.DataFrame([row | {"attribute": "Male"}, row | {"attribute": "Young"}]))
    >>> len(figure.layout.annotations)
    2
    """
    if columns < 1:
        raise DataError(f"columns must be at least 1; got {columns}.")
    rows, names = _chosen(probes, setup, kind, split, attributes)
    layers = layer_order(rows)
    across = min(columns, len(names))
    down = math.ceil(len(names) / across)
    height = _PANEL_PX * down + 70
    figure = make_subplots(
        rows=down,
        cols=across,
        subplot_titles=style.titles(names),
        shared_xaxes="all",
        shared_yaxes="all",
        vertical_spacing=34 / height if down > 1 else 0,
        horizontal_spacing=0.03,
    )
    for index, name in enumerate(names):
        for trace in _traces(rows[rows["attribute"] == name], name, layers, legend=index == 0):
            figure.add_trace(trace, row=index // across + 1, col=index % across + 1)
    figure.update_xaxes(layer_axis(layers) | {"showticklabels": False})
    figure.update_yaxes(range=value_range(rows))
    figure.update_layout(
        template=style.TEMPLATE, height=height, legend=LEGEND_ON_TOP | {"y": 1 + 30 / height}
    )
    figure.update_layout(margin={"t": 60})
    return figure


def _chosen(
    probes: pd.DataFrame,
    setup: str | None,
    kind: str | None,
    split: str,
    attributes: Sequence[str] | None,
) -> tuple[pd.DataFrame, list[str]]:
    """Rows of a setup and of its control, of one kind of attributes, and their names in order."""
    if kind is not None and kind not in KINDS:
        raise DataError(f"kind must be one of {list(KINDS)}; got '{kind}': {nearest(kind, KINDS)}")
    found = curves(probes, split=split, unit_kinds=_UNITS, kind=kind, setup=setup)
    own = of_setup(found, setup, what="probes")
    control = found[found["setup"] == f"{setup or setups(own)[0]}{CONTROL_ENDING}"]
    first = next(k for k in KINDS if (own["kind"] == k).any())
    rows = pd.concat([own, control[control["unit_kind"] == "layer"]])
    rows = rows[rows["kind"] == first]
    # By what the entire layer knows; without it, by the channels or the neurons.
    main = rows[rows["unit_kind"] == max(own["unit_kind"].unique(), key=_UNITS.index)]
    names = attribute_order(main.assign(skill=skill(main["value"], main["chance"])))
    if attributes is not None:
        for name in attributes:
            if name not in names:
                raise DataError(f"The table has no {first} attribute '{name}': {nearest(name, names)}")
        names = list(dict.fromkeys(attributes))
    return rows[rows["attribute"].isin(names)], names


def _traces(rows: pd.DataFrame, name: str, layers: Sequence[str], *, legend: bool = True) -> list[go.Scatter]:
    def meta(role: str, unit: str = "layer") -> dict[str, Any]:
        return {"attribute": str(name), "role": role, "unit_kind": unit}

    chance = float(rows["chance"].iloc[0])
    traces = [
        chance_line(
            shown(layers),
            chance,
            legendgroup="chance",
            legendrank=1005,
            showlegend=legend,
            meta=meta("chance"),
        )
    ]
    for control in (True, False):
        for unit in _UNITS:
            part = rows[(rows["control"] == control) & (rows["unit_kind"] == unit)]
            if not len(part):
                continue
            what = "random weights" if control else style.UNIT_NAMES[unit]
            group = {"legendgroup": what, "name": what}
            colour = style.CONTROL if control else style.UNIT_COLOURS[unit]
            bounded = part.dropna(subset=["lower", "upper"])
            if len(bounded) > 1 and not control:
                x, fill = shown(bounded["layer"]), style.translucent(colour, 0.13)
                traces.append(
                    band(
                        x, bounded["lower"], bounded["upper"], fill,
                        showlegend=False, meta=meta("band", unit), **group,
                    )
                )  # fmt: skip
            traces.append(
                go.Scatter(
                    x=shown(part["layer"]),
                    y=part["value"].tolist(),
                    mode="lines+markers" if not control or len(part) == 1 else "lines",
                    line={
                        "color": colour,
                        "width": 1.4 if control else 2,
                        "dash": style.DASHES["control" if control else "trained"],
                    },
                    marker={"size": 5, "symbol": style.UNIT_SYMBOLS[unit]},
                    customdata=part[["lower", "upper"]].to_numpy().tolist(),
                    hovertemplate=interval_hover(name, what),
                    showlegend=legend,
                    legendrank=1004 if control else 1003 - _UNITS.index(unit),
                    meta=meta("control" if control else "line", unit),
                    **group,
                )
            )
    return traces


def _menu(figure: go.Figure, names: Sequence[str]) -> dict[str, Any]:
    return {
        "buttons": [
            {
                "label": style.plain(name),
                "method": "restyle",
                "args": [{"visible": [trace.meta["attribute"] == str(name) for trace in figure.data]}],
            }
            for name in names
        ],
        "x": 1,
        "xanchor": "right",
        "y": 1,
        "yanchor": "bottom",
        "pad": {"b": 30},
        "bgcolor": "white",
        "bordercolor": style.GRID,
        "font": {"size": 11},
    }
