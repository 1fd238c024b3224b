from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._dissection_rows import (
    HIERARCHICAL,
    KIND_COLOURS,
    KIND_NAMES,
    METHOD_NAMES,
    NETWORK_DISSECTION,
    UNPAIRED,
    by_region,
    of_network,
    pixels_a_mask,
    region_marks,
)
from fusiform.plotting._traces import LEGEND_ON_TOP, name_axis, shown
from fusiform.plotting.tables import check_columns

_ROW_PX = 20
_NAMES_PX = 86


def dissection_concepts(
    counts: pd.DataFrame,
    overlay: pd.DataFrame | None = None,
    *,
    network: str | None = None,
    layer: str | None = None,
) -> go.Figure:
    """Draw how many units are paired with every concept, as figure 10 of the paper.

    On the left by hierarchical dissection, each bar of a local concept parted by the groups of a global category that the
    same units are paired with; on the right by Network Dissection.

    Parameters
    ----------
    counts : DataFrame
        ``network, control, layer, depth, method, concept, concept_kind, region, units``; the region of a global concept is
        its category.
    overlay : DataFrame, optional
        ``network, control, layer, depth, concept, category, group, units``; units paired with no group have the group
        ``"none"``. Without it bars are whole.
    network : str, optional
        Which network; needed where the table holds several. Diamonds are the counts of its random-weights twin,
        where there are any.
    layer : str, optional
        Which layer; by default the deepest.

    Returns
    -------
    plotly.graph_objects.Figure
        The traces of the first category are visible. ``meta`` of a trace holds ``method``, ``role`` (``"bar"``, ``"part"``
        or ``"control"``) and, of parts, ``pick`` (the category) and ``group``.

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    References
    ----------
    Teotia et al. (2022), figure 10.

    Examples
    --------
    >>> row = {"network": "n", "control": False, "layer": "a", "depth": 2, "method": "hierarchical"}
    >>> table = pd.DataFrame([
    ...     row | {"concept": "nose", "concept_kind": "part", "region": "Nose", "units": 5},
    ...     row | {"concept": "Male", "concept_kind": "global", "region": "Gender", "units": 3}])
    >>> [trace.x for trace in dissection_concepts(table).data]
    [(5,), (3,)]
    """
    columns = ("method", "concept", "concept_kind", "region", "units")
    rows = of_network(counts, columns, what="counts", network=network, layer=layer, one_layer=True)
    listed = by_region(rows)
    methods = [m for m in (HIERARCHICAL, NETWORK_DISSECTION) if (rows["method"] == m).any()]
    if not methods:
        raise DataError(f"The table 'counts' holds no rows of the methods {list(METHOD_NAMES)}.")
    is_global = listed["concept_kind"] == "global"
    # Local concepts above, global ones below with an axis of their own: they have many more units.
    panels = [part for part in (listed[~is_global], listed[is_global]) if len(part)]
    height = _ROW_PX * len(listed) + 64 * len(panels) + 84
    figure = make_subplots(
        rows=len(panels),
        cols=len(methods),
        row_heights=[len(part) for part in panels],
        vertical_spacing=44 / (height - 100) if len(panels) > 1 else 0,
        horizontal_spacing=0.03 if len(methods) > 1 else 0,
        column_widths=[0.6, 0.4] if len(methods) > 1 else None,
        subplot_titles=style.titles(METHOD_NAMES[m] for m in methods),
    )
    parted = None
    if overlay is not None and HIERARCHICAL in methods:
        of = ("concept", "category", "group", "units")
        parted = of_network(overlay, of, what="overlay", network=network, layer=layer, one_layer=True)
        parted = parted[~parted["control"]]
    marks: tuple[list[Any], list[Any]] = [], []
    for row, part in enumerate(panels, start=1):
        names = [str(name) for name in part["concept"]]
        of_part = rows[(rows["concept_kind"] == "global") == is_global[part.index[0]]]
        for column, method in enumerate(methods, start=1):
            own = of_part[of_part["method"] == method]
            here: dict[str, Any] = {"row": row, "col": column}
            traces = _traces(own, method, names, parted if method == HIERARCHICAL else None)
            named = any(t.meta["role"] == "control" for t in figure.data)
            for trace in traces:
                figure.add_trace(trace.update(showlegend=trace.showlegend and not named), **here)
            figure.update_yaxes(name_axis(names) | {"range": [len(names) - 0.5, -0.5]}, **here)
            figure.update_yaxes(showticklabels=column == 1, visible=bool(traces), **here)
            ticks = {"dtick": 1} if len(own) and own["units"].max() <= 5 else {"nticks": 5}
            figure.update_xaxes(rangemode="tozero", visible=bool(traces), **ticks, **here)
        axis = "y" if row == 1 else f"y{len(methods) + 1}"
        for known, more in zip(marks, region_marks([str(r) for r in part["region"]], axis=axis), strict=True):
            known.extend(more)
    if len(methods) > 1:
        # Both methods are drawn to one scale.
        figure.update_xaxes(matches="x", row=1, col=2)
    figure.update_xaxes(title_text="units", row=len(panels), col=1)
    figure.update_layout(
        template=style.TEMPLATE,
        height=height,
        barmode="stack",
        bargap=0.25,
        shapes=marks[0],
        annotations=[*figure.layout.annotations, *marks[1]],
        legend=LEGEND_ON_TOP | {"y": 1 + 26 / (height - 100), "traceorder": "normal"},
        margin={"t": 84, "r": _NAMES_PX},
    )
    return figure


def _traces(
    rows: pd.DataFrame, method: str, names: list[str], parted: pd.DataFrame | None
) -> list[go.Bar | go.Scatter]:
    units = rows[~rows["control"]].drop_duplicates(["region", "concept"])
    # At zero they would lie on the names.
    twin = rows[rows["control"] & (rows["units"] > 0)]
    parts = [] if parted is None else _parts(parted[parted["concept"].isin(names)], names)
    bars = parts or ([_bars(units, method)] if len(units) else [])
    return [*bars, *([_diamonds(twin, method)] if len(twin) else [])]


def _bars(rows: pd.DataFrame, method: str) -> go.Bar:
    return go.Bar(
        x=rows["units"].tolist(),
        y=shown(rows["concept"]),
        orientation="h",
        marker={
            "color": [
                KIND_COLOURS["global"] if kind == "global" else style.TRAINED for kind in rows["concept_kind"]
            ]
        },
        showlegend=False,
        hovertemplate="%{y}: %{x} units<extra></extra>",
        meta={"method": method, "role": "bar"},
    )


def _parts(overlay: pd.DataFrame, names: list[str]) -> list[go.Bar]:
    traces = []
    categories = list(dict.fromkeys(overlay["category"]))
    for category in categories:
        of_category = overlay[overlay["category"] == category]
        groups = [g for g in dict.fromkeys(of_category["group"]) if g != UNPAIRED]
        for slot, group in enumerate([*groups, UNPAIRED]):
            own = of_category[of_category["group"] == group].drop_duplicates("concept").set_index("concept")
            own = own.reindex([name for name in names if name in own.index])
            if not len(own):
                continue
            alone = group == UNPAIRED
            name = f"no group of {category}" if alone else str(group)
            traces.append(
                go.Bar(
                    x=own["units"].tolist(),
                    y=shown(own.index),
                    orientation="h",
                    marker={
                        "color": style.translucent(style.CHANCE, 0.45)
                        if alone
                        else style.COLOURS[(slot + 1) % len(style.COLOURS)]
                    },
                    name=style.plain(name.replace("_", " ")),
                    legendrank=1000 + slot,
                    visible=category == categories[0],
                    hovertemplate="%{y}: %{x} units, %{fullData.name}<extra></extra>",
                    meta={
                        "method": HIERARCHICAL,
                        "role": "part",
                        "pick": str(category),
                        "group": str(group),
                    },
                )
            )
    return traces


def _diamonds(rows: pd.DataFrame, method: str) -> go.Scatter:
    return go.Scatter(
        x=rows["units"].tolist(),
        y=shown(rows["concept"]),
        mode="markers",
        marker={"symbol": "diamond-open", "size": 6, "color": style.CONTROL, "line": {"width": 1.4}},
        name="random weights",
        legendrank=1100,
        showlegend=True,
        hovertemplate="%{y}, random weights: %{x} units<extra></extra>",
        meta={"method": method, "role": "control"},
    )


def dictionary_histogram(dictionary: pd.DataFrame) -> go.Figure:
    """Draw the number of images of every concept of a Face Dictionary, as figure 3 of the paper.

    Parameters
    ----------
    dictionary : DataFrame
        ``concept, kind, region, images, pixels``; pixels is the area of all masks together.

    Returns
    -------
    plotly.graph_objects.Figure
        A trace for every kind of concept, which ``meta["kind"]`` names.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    References
    ----------
    Teotia et al. (2022), figure 3.

    Examples
    --------
    >>> table = pd.DataFrame({"concept": ["nose"], "kind": ["part"], "region": ["Nose"], "images": [799],
    ...                       "pixels": [310.0]})
    >>> dictionary_histogram(table).data[0].x
    (799,)
    """
    check_columns(dictionary, ["concept", "kind", "region", "images", "pixels"], what="dictionary")
    listed = by_region(dictionary.rename(columns={"kind": "concept_kind"}))
    if not len(listed):
        raise DataError("The table 'dictionary' holds no rows to draw.")
    names = [str(name) for name in listed["concept"]]
    figure = go.Figure()
    for kind in dict.fromkeys(listed["concept_kind"]):
        own = listed[listed["concept_kind"] == kind]
        figure.add_trace(
            go.Bar(
                x=own["images"].tolist(),
                y=shown(own["concept"]),
                orientation="h",
                marker={"color": KIND_COLOURS.get(kind, style.CHANCE)},
                name=style.plain(KIND_NAMES.get(kind, kind)),
                customdata=[[_area(row)] for row in own.to_dict("records")],
                hovertemplate="%{y}: %{x:,} images%{customdata[0]}<extra></extra>",
                meta={"kind": str(kind)},
            )
        )
    shapes, regions = region_marks([str(region) for region in listed["region"]])
    height = _ROW_PX * len(names) + 110
    figure.update_layout(
        template=style.TEMPLATE,
        height=height,
        barmode="stack",
        bargap=0.25,
        xaxis={"title": {"text": "images"}, "rangemode": "tozero"},
        yaxis=name_axis(names) | {"range": [len(names) - 0.5, -0.5]},
        shapes=shapes,
        annotations=regions,
        legend=LEGEND_ON_TOP | {"traceorder": "normal"},
        margin={"t": 54, "r": _NAMES_PX},
    )
    return figure


def _area(row: dict[Any, Any]) -> str:
    each = pixels_a_mask(row["pixels"], row["images"], row["concept_kind"])
    return "" if each is None else f", {each:,.0f} pixels a mask"
