from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._traces import band, bars, interval_hover, layer_axis
from fusiform.plotting.tables import (
    KINDS,
    METRIC_TITLES,
    PRIMARY,
    attribute_order,
    layer_order,
    primary,
    value_range,
)

_FEW = 8
_SHOWN_OF_MANY = 5
_PANEL_PX = 300
_PANEL_TITLES = {
    "binary": "Yes/no attributes",
    "categorical": "Attributes of several classes",
    "continuous": "Measured quantities",
}


def accuracy_over_depth(
    probes: pd.DataFrame,
    *,
    kind: str | None = None,
    split: str = "test",
    attributes: Sequence[str] | None = None,
    highlight: Sequence[str] | None = None,
    network: str | None = None,
    selector: bool = True,
) -> go.Figure:
    """Draw how well each attribute is read out over the layers.

    One line an attribute. A highlighted attribute has its colour and symbol, its interval as a band and its
    random-weights control as a dotted line; the others are thin and grey, and named under the pointer. Kinds of
    attributes that are judged by different measures have panels of their own.

    Parameters
    ----------
    probes : DataFrame
        The table of probes of an audit.
    kind : {"binary", "categorical", "continuous"}, optional
        One kind only; all that there are by default, a panel each.
    split : str, default "test"
        Which images the values were measured on.
    attributes : sequence of str, optional
        Which attributes to draw; all by default.
    highlight : sequence of str, optional
        Which to highlight; by default all where a panel has at most 8, otherwise its 5 best.
    network : str, optional
        Which network; needed where the table holds several.
    selector : bool, default True
        Where a panel has more than 8 attributes, add a menu that chooses which is highlighted.

    Returns
    -------
    plotly.graph_objects.Figure
        Every trace's ``meta`` holds ``attribute`` and ``role`` (``"line"``, ``"band"``, ``"control"`` or
        ``"chance"``), and of highlighted lines ``slot``, the index of their colour.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "control": False, "attribute": "Male", "kind": "binary", "split": "test",
    ...        "metric": "balanced_accuracy", "lower": 0.8, "upper": 0.95, "chance": 0.5}
    >>> probes = pd.DataFrame([row | {"layer": "stem", "depth": 0, "value": 0.82},
    ...                        row | {"layer": "fc", "depth": 1, "value": 0.91}])
    >>> figure = accuracy_over_depth(probes)
    >>> [trace.meta["role"] for trace in figure.data]
    ['band', 'line', 'chance']
    """
    rows = primary(probes, split=split, network=network, attributes=attributes, kind=kind)
    kinds = [k for k in KINDS if (rows["kind"] == k).any()]
    if not kinds:
        raise DataError(f"The table 'probes' holds no rows of whole layers on the split '{split}' to draw.")
    # Between panels: the upper one's layer names, the lower one's menu and legend.
    longest = max(map(len, rows["layer"]))
    gap = 100 + 6 * min(longest, 24)
    height = _PANEL_PX * len(kinds) + gap * (len(kinds) - 1) + 130
    figure = make_subplots(rows=len(kinds), cols=1, vertical_spacing=gap / height if len(kinds) > 1 else 0)
    menus = []
    for index, panel_kind in enumerate(kinds, start=1):
        panel = rows[rows["kind"] == panel_kind]
        names = attribute_order(panel)
        chosen = [n for n in names if n in highlight] if highlight is not None else _default_highlight(names)
        first = len(figure.data)
        for trace in _traces(panel, names, chosen):
            figure.add_trace(trace.update(legend=_numbered("legend", index)), row=index, col=1)
        if selector and len(names) > _FEW:
            menus.append((index, first, len(figure.data), names, chosen))
        figure.update_xaxes(layer_axis(layer_order(panel)), row=index, col=1)
        low, high = value_range(panel)
        figure.update_yaxes(
            title_text=METRIC_TITLES[PRIMARY[panel_kind]],
            range=[low, high],
            tickformat=".1f" if high - low > 0.4 else ".2f",
            row=index,
            col=1,
        )
    figure.update_layout(
        template=style.TEMPLATE,
        height=height,
        hovermode="closest",
        updatemenus=[_menu(figure, *menu) for menu in menus],
        margin={"t": 98 if menus else 40},
    )
    for index, panel_kind in enumerate(kinds, start=1):
        figure.update_layout({_numbered("legend", index): _legend(figure, index, panel_kind)})
    return figure


def _default_highlight(names: list[str]) -> list[str]:
    return names if len(names) <= _FEW else names[:_SHOWN_OF_MANY]


def _traces(panel: pd.DataFrame, names: list[str], chosen: list[str]) -> list[go.Scatter]:
    by_name = dict(list(panel.groupby("attribute", sort=False)))
    traces: list[go.Scatter] = []
    many = len(names) > _FEW
    # Later traces lie on top: the grey ones first.
    for name in [n for n in names if n not in chosen] + chosen[::-1]:
        slot = chosen.index(name) if name in chosen else None
        traces += _attribute_traces(by_name[name], name, slot, drawn_over=many)
    layers = [style.plain(layer) for layer in layer_order(panel)]
    for chance, group in panel.groupby("chance", sort=True):
        several = panel["chance"].nunique() > 1
        who = ", ".join(dict.fromkeys(group["attribute"])) if several else "all"
        traces.append(
            go.Scatter(
                x=layers,
                y=[chance] * len(layers),
                mode="lines" if len(layers) > 1 else "markers",
                marker={"symbol": "line-ew", "size": 40, "line": {"color": style.CHANCE, "width": 1.2}},
                name="chance" if not several else f"chance {chance:.2f}",
                line={"color": style.CHANCE, "width": 1.2, "dash": style.DASHES["chance"]},
                hovertemplate=f"chance {chance:.2f} ({style.plain(who)})<extra></extra>",
                meta={"attribute": "", "role": "chance"},
            )
        )
    return traces


def _attribute_traces(
    group: pd.DataFrame, name: str, slot: int | None, *, drawn_over: bool
) -> list[go.Scatter]:
    trained, control = group[~group["control"]], group[group["control"]]
    look = line_look(slot)
    meta: dict[str, Any] = {"attribute": str(name)}
    if slot is not None:
        meta["slot"] = slot
    shown = slot is not None
    common = {"name": style.plain(name), "legendgroup": style.plain(name), "showlegend": False}
    traces = []
    bounded = trained.dropna(subset=["lower", "upper"])
    if len(bounded) > 1:
        traces.append(
            band(
                [style.plain(layer) for layer in bounded["layer"]],
                bounded["lower"],
                bounded["upper"],
                look["fill"],
                visible=shown,
                meta=meta | {"role": "band"},
                **common,
            )
        )
    if len(control):
        traces.append(
            go.Scatter(
                x=[style.plain(layer) for layer in control["layer"]],
                y=control["value"].tolist(),
                mode="lines" if len(control) > 1 else "markers",
                marker={"symbol": "diamond-open", "size": 9, "color": look["colour"]},
                line={"color": look["colour"], "width": 1.4, "dash": style.DASHES["control"]},
                customdata=control[["lower", "upper"]].to_numpy().tolist(),
                hovertemplate=interval_hover(name, "random weights"),
                visible=shown,
                meta=meta | {"role": "control"},
                **common,
            )
        )
    line_common = common | {"showlegend": shown, "legendrank": 100 + (slot or 0)}
    traces.append(
        go.Scatter(
            x=[style.plain(layer) for layer in trained["layer"]],
            y=trained["value"].tolist(),
            # A single layer has no line: its dots must be seen, and its interval is a bar instead of a band.
            mode="lines+markers" if shown or len(trained) == 1 else "lines",
            line={"color": look["colour"], "width": look["width"]},
            marker={"size": look["size"], "symbol": look["symbol"], "color": look["colour"]},
            error_y=bars(trained["value"], trained["lower"], trained["upper"], width=4)
            if shown and len(trained) == 1
            else None,
            opacity=look["opacity"] if drawn_over else 1.0,
            customdata=trained[["lower", "upper"]].to_numpy().tolist(),
            hovertemplate=interval_hover(name),
            meta=meta | {"role": "line"},
            **line_common,
        )
    )
    return traces


def line_look(slot: int | None) -> dict[str, Any]:
    """Give the look of an attribute's line: highlighted in the colour of a slot, or grey.

    Parameters
    ----------
    slot : int or None
        Index of a colour; None for a line that is not highlighted.

    Returns
    -------
    dict
        ``colour``, ``fill``, ``width``, ``size``, ``symbol``, ``opacity``.

    Examples
    --------
    >>> line_look(None)["width"] < line_look(0)["width"]
    True
    """
    if slot is None:
        grey = "#8a94a1"
        return {
            "colour": grey,
            "fill": style.translucent(grey, 0.15),
            "width": 1,
            "size": 5,
            "symbol": "circle",
            "opacity": 0.4,
        }
    colour = style.COLOURS[slot % len(style.COLOURS)]
    return {
        "colour": colour,
        "fill": style.translucent(colour, 0.14),
        "width": 2.4,
        "size": 7,
        "symbol": style.SYMBOLS[slot % len(style.SYMBOLS)],
        "opacity": 1.0,
    }


def _menu(
    figure: go.Figure, row: int, first: int, last: int, names: list[str], chosen: list[str]
) -> dict[str, Any]:
    indices = list(range(first, last))
    buttons = [_button(figure, indices, f"the {len(chosen)} chosen", chosen)]
    buttons += [_button(figure, indices, style.plain(name), [name]) for name in names]
    return {
        "buttons": buttons,
        "type": "dropdown",
        "direction": "down",
        "x": 1,
        "xanchor": "right",
        "y": _top(figure, row),
        "yanchor": "bottom",
        "pad": {"b": 36},
        "bgcolor": "white",
        "bordercolor": style.GRID,
        "font": {"size": 11},
        "showactive": True,
    }


def _legend(figure: go.Figure, row: int, kind: str) -> dict[str, Any]:
    return {
        "title": {"text": f"<b>{_PANEL_TITLES[kind]}</b>  ", "side": "left", "font": {"color": style.INK}},
        "orientation": "h",
        "x": 0,
        "xanchor": "left",
        "y": _top(figure, row),
        "yanchor": "bottom",
    }


def _top(figure: go.Figure, row: int) -> float:
    domain = figure.layout[_numbered("yaxis", row)].domain
    return float(domain[1]) if domain else 1.0


def _numbered(name: str, row: int) -> str:
    return name if row == 1 else f"{name}{row}"


def _button(figure: go.Figure, indices: list[int], label: str, chosen: list[str]) -> dict[str, Any]:
    looks, visible, legend, opacity = [], [], [], []
    for index in indices:
        meta = figure.data[index].meta
        name, role = meta["attribute"], meta["role"]
        slot = chosen.index(name) if name in chosen else None
        look = line_look(slot)
        looks.append((look, role))
        visible.append(role in ("line", "chance") or slot is not None)
        legend.append(role == "chance" or (role == "line" and slot is not None))
        opacity.append(look["opacity"] if role == "line" else 1.0)
    colours = [style.CHANCE if role == "chance" else look["colour"] for look, role in looks]
    widths = [{"line": look["width"], "band": 0, "control": 1.4, "chance": 1.2}[role] for look, role in looks]
    single = any(len(figure.data[index].x) == 1 for index in indices)
    modes = [
        figure.data[index].mode
        if role != "line"
        else "lines+markers"
        if look["width"] > 1 or single
        else "lines"
        for index, (look, role) in zip(indices, looks, strict=True)
    ]
    changes = {
        "visible": visible,
        "mode": modes,
        "showlegend": legend,
        "opacity": opacity,
        "line.color": colours,
        "line.width": widths,
        "marker.color": colours,
        "marker.size": [look["size"] for look, _ in looks],
        "marker.symbol": [look["symbol"] for look, _ in looks],
        "fillcolor": [look["fill"] for look, _ in looks],
    }
    return {"label": label, "method": "restyle", "args": [changes, indices]}
