import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._dissection_rows import (
    HIERARCHICAL,
    KIND_NAMES,
    METHOD_NAMES,
    NETWORK_DISSECTION,
    layers_of,
    of_network,
)
from fusiform.plotting._traces import (
    LEGEND_ON_TOP,
    band,
    bars,
    in_hover,
    layer_axis,
    name_axis,
    room_below,
    shown,
)

_SCOPES = ("either", "local", "global")
_SCOPE_NAMES = {
    "either": "local or global concept",
    "local": "local concept",
    "global": "global concept",
}
_SCOPE_LOOKS = {
    "either": (style.COLOURS[0], "circle"),
    "local": (style.COLOURS[2], "square"),
    "global": (style.COLOURS[5], "triangle-up"),
}
_PANEL_PX = 250
_BAR_PX = 34


def dissection_coverage(coverage: pd.DataFrame, *, network: str | None = None) -> go.Figure:
    """Draw the share of interpretable units over the layers, a panel a method, as figures 12 and 13 of the paper.

    Parameters
    ----------
    coverage : DataFrame
        ``network, control, layer, depth, method, scope, interpretable, units, share, lower, upper``; shares from 0 to 1.
    network : str, optional
        Which network; needed where the table holds several. Its random-weights twin is dotted.

    Returns
    -------
    plotly.graph_objects.Figure
        ``meta`` of a trace holds ``method``, ``scope`` (``"local"``, ``"global"`` or ``"either"``) and ``role``
        (``"line"``, ``"band"`` or ``"control"``).

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    References
    ----------
    Teotia et al. (2022), figures 12 and 13.

    Examples
    --------
    >>> row = {"network": "n", "control": False, "method": "hierarchical", "scope": "local", "units": 64}
    >>> table = pd.DataFrame([
    ...     row | {"layer": "b", "depth": 4, "interpretable": 48, "share": 0.75, "lower": 0.63, "upper": 0.84},
    ...     row | {"layer": "a", "depth": 2, "interpretable": 16, "share": 0.25, "lower": 0.16, "upper": 0.37}])
    >>> dissection_coverage(table).data[-1].y
    (0.25, 0.75)
    """
    columns = ("method", "scope", "interpretable", "units", "share", "lower", "upper")
    rows = of_network(coverage, columns, what="coverage", network=network)
    layers = layers_of(rows)
    rows = rows[rows["layer"].isin(layers) & rows["scope"].isin(_SCOPES)].sort_values("depth", kind="stable")
    methods = [m for m in (HIERARCHICAL, NETWORK_DISSECTION) if (rows["method"] == m).any()]
    if not methods:
        raise DataError(f"The table 'coverage' holds no rows of the methods {list(METHOD_NAMES)}.")
    room = room_below(layers)
    height = _PANEL_PX * len(methods) + 84 + room
    figure = make_subplots(
        rows=len(methods),
        cols=1,
        shared_xaxes=True,
        subplot_titles=style.titles(METHOD_NAMES[m] for m in methods),
        vertical_spacing=44 / height if len(methods) > 1 else 0,
    )
    named: set[str] = set()
    for index, method in enumerate(methods, start=1):
        for control in (True, False):
            for scope in reversed(_SCOPES):
                own = rows[
                    (rows["method"] == method) & (rows["scope"] == scope) & (rows["control"] == control)
                ]
                if not len(own):
                    continue
                # Of Network Dissection a local concept is all that there is.
                if method == NETWORK_DISSECTION and scope != "local":
                    continue
                for trace in _scope_traces(own, method, scope, control=control, single=len(layers) == 1):
                    key = f"{scope}{control}"
                    first = trace.meta["role"] != "band" and key not in named
                    named |= {key} if first else set()
                    figure.add_trace(trace.update(showlegend=first), row=index, col=1)
    figure.update_xaxes(layer_axis(layers))
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%", title_text="interpretable units")
    figure.update_layout(
        template=style.TEMPLATE,
        height=height,
        legend=LEGEND_ON_TOP | {"y": 1 + 26 / height},
        margin={"t": 84},
        hovermode="closest",
    )
    return figure


def _scope_traces(
    rows: pd.DataFrame, method: str, scope: str, *, control: bool, single: bool
) -> list[go.Scatter]:
    colour, symbol = _SCOPE_LOOKS[scope]
    meta = {"method": method, "scope": scope}
    name = _SCOPE_NAMES[scope] + (", random weights" if control else "")
    traces = []
    bounded = rows.dropna(subset=["lower", "upper"])
    if len(bounded) > 1 and not control:
        traces.append(
            band(
                shown(bounded["layer"]),
                bounded["lower"],
                bounded["upper"],
                style.translucent(colour, 0.13),
                showlegend=False,
                legendgroup=name,
                meta=meta | {"role": "band"},
            )
        )
    hover = "%{x}: %{y:.1%} (%{customdata[2]} of %{customdata[3]} units; %{customdata[0]:.1%} to %{customdata[1]:.1%})"
    traces.append(
        go.Scatter(
            x=shown(rows["layer"]),
            y=rows["share"].astype(float).tolist(),
            mode="lines+markers",
            line={
                "color": colour,
                "width": 1.4 if control else 2.4,
                "dash": style.DASHES["control" if control else "trained"],
            },
            marker={"size": 5 if control else 7, "symbol": f"{symbol}-open" if control else symbol},
            error_y=bars(rows["share"], rows["lower"], rows["upper"], color=colour) if single else None,
            customdata=rows[["lower", "upper", "interpretable", "units"]].to_numpy().tolist(),
            hovertemplate=f"<b>{in_hover(name)}</b><br>{hover}<extra></extra>",
            name=name,
            legendgroup=name,
            legendrank=1000 + 10 * control + _SCOPES.index(scope),
            meta=meta | {"role": "control" if control else "line"},
        )
    )
    return traces


def dissection_regions(
    regions: pd.DataFrame,
    kinds: pd.DataFrame | None = None,
    *,
    network: str | None = None,
    layer: str | None = None,
) -> go.Figure:
    """Draw how many units a region of the face and a kind of concept have, as figure 9 of the paper.

    Parameters
    ----------
    regions : DataFrame
        ``network, control, layer, depth, region, units``: units paired with a local concept of the region.
    kinds : DataFrame, optional
        ``network, control, layer, depth, concept_kind, units, pairs``: units paired with a concept of the kind, and pairs of
        a unit and a concept.
    network : str, optional
        Which network; needed where the table holds several. Its random-weights twin is grey.
    layer : str, optional
        Which layer; by default the deepest.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel for regions and one for kinds. ``meta`` of a trace holds ``panel`` (``"region"`` or ``"kind"``) and
        ``control``.

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    References
    ----------
    Teotia et al. (2022), figure 9.

    Examples
    --------
    >>> row = {"network": "n", "control": False, "layer": "a", "depth": 2}
    >>> table = pd.DataFrame([row | {"region": "Eye", "units": 9}, row | {"region": "Nose", "units": 2}])
    >>> dissection_regions(table).data[0].x
    (9, 2)
    """
    panels = [
        ("region", "units a region", of_network(regions, ("region", "units"), what="regions", network=network,
                                                layer=layer, one_layer=True)),
    ]  # fmt: skip
    if kinds is not None:
        rows = of_network(
            kinds,
            ("concept_kind", "units", "pairs"),
            what="kinds",
            network=network,
            layer=layer,
            one_layer=True,
        )
        place = {kind: i for i, kind in enumerate(KIND_NAMES)}
        order = rows["concept_kind"].map(lambda kind: place.get(kind, len(place)))
        rows = rows.assign(_place=order).sort_values("_place", kind="stable")
        rows = rows.assign(concept_kind=rows["concept_kind"].map(lambda kind: KIND_NAMES.get(kind, kind)))
        panels.append(("concept_kind", "pairs of a unit and a concept, by kind", rows))
    names = [[str(n) for n in dict.fromkeys(rows[column])] for column, _, rows in panels]
    height = sum(_BAR_PX * len(n) + 84 for n in names) + 30
    figure = make_subplots(
        rows=len(panels),
        cols=1,
        row_heights=[len(n) for n in names],
        vertical_spacing=78 / height if len(panels) > 1 else 0,
        subplot_titles=style.titles(title for _, title, _ in panels),
    )
    for index, ((column, _, rows), listed) in enumerate(zip(panels, names, strict=True), start=1):
        value = "pairs" if column == "concept_kind" else "units"
        for control in (False, True):
            own = rows[rows["control"] == control].drop_duplicates(column).set_index(column)
            own = own.reindex([n for n in listed if n in own.index])
            if not len(own):
                continue
            figure.add_trace(
                go.Bar(
                    x=own[value].tolist(),
                    y=shown(own.index),
                    orientation="h",
                    marker={"color": style.CONTROL if control else style.TRAINED, "line": {"width": 0}},
                    name="random weights" if control else "trained",
                    legendgroup=str(control),
                    legendrank=1000 + control,
                    showlegend=index == 1,
                    hovertemplate=f"%{{y}}, {'random weights' if control else 'trained'}: %{{x}} {value}<extra></extra>",
                    meta={"panel": column.removeprefix("concept_"), "control": control},
                ),
                row=index,
                col=1,
            )
        figure.update_yaxes(name_axis(listed) | {"range": [len(listed) - 0.5, -0.5]}, row=index, col=1)
        figure.update_xaxes(rangemode="tozero", row=index, col=1)
    figure.update_layout(
        template=style.TEMPLATE,
        height=height,
        barmode="group",
        bargap=0.28,
        bargroupgap=0.06,
        legend=LEGEND_ON_TOP | {"y": 1 + 26 / height, "traceorder": "normal"},
        margin={"t": 84},
    )
    return figure
