from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._attribution_study_rows import (
    MEAN,
    METRIC_NAMES,
    labels,
    method_name,
    metric_name,
    of_network,
    ordered,
    short,
    standing,
)
from fusiform.plotting.tables import check_columns

_ROW_PX = 21
_GAP = " "
# Text that is read on the grey of a light and of a dark page.
_PALE_TEXT = "#737e8a"
_PALE = [[0.0, "rgba(138,148,161,0.04)"], [1.0, "rgba(138,148,161,0.26)"]]


def attribution_matrix(
    measures: pd.DataFrame, ranks: pd.DataFrame, *, network: str | None = None, target: str | None = None
) -> go.Figure:
    """Draw methods by measures, coloured by rank, sorted by the mean of ranks.

    Parameters
    ----------
    measures : DataFrame
        ``network, target, method, baseline_map, metric, better, value, lower, upper, chance, beats, n``.
    ranks : DataFrame
        ``network, target, method, baseline_map, metric, rank, of, in_mean``; metric ``"mean"`` is the mean of the ranks `in_mean`.
    network : str, optional
        Which network; needed where the tables hold several.
    target : str, optional
        Which target; by default the first.

    Returns
    -------
    plotly.graph_objects.Figure
        Heat maps: methods whose mean rank is better than that of every baseline map (``meta["role"]`` ``"rank"``), and in
        grey all others (``"behind"``), at whose right stands the baseline map that does as well.

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the tables is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "target": "class", "metric": "deletion", "better": "lower", "lower": 0.1, "upper": 0.9,
    ...        "chance": 0.5, "beats": "", "n": 8, "of": 2, "in_mean": True}
    >>> a, b = row | {"method": "lrp", "baseline_map": False}, row | {"method": "random", "baseline_map": True}
    >>> measures = pd.DataFrame([a | {"value": 0.2}, b | {"value": 0.5}])
    >>> ranks = pd.DataFrame([a | {"rank": 1}, a | {"rank": 1, "metric": "mean"}, b | {"rank": 2}, b | {"rank": 2, "metric": "mean"}])
    >>> attribution_matrix(measures, ranks).data[0].y
    ('LRP', '<i>random map</i>')
    """
    columns = ("metric", "better", "value", "lower", "upper", "chance", "beats", "n")
    own = of_network(measures, columns, what="measures", network=network, target=target)
    rank = of_network(
        ranks, ("metric", "rank", "of", "in_mean"), what="ranks", network=network,
        target=str(own["target"].iloc[0]),
    )  # fmt: skip
    listed = standing(rank, own)
    names = dict(
        zip(
            listed["method"],
            labels(listed["method"], listed.loc[listed["baseline_map"], "method"]),
            strict=True,
        )
    )
    counted, beside = _metrics(own, rank)
    better = dict(zip(own["metric"], own["better"], strict=True))
    heads = {MEAN: "<b>mean rank</b>"} | {m: _head(m, better[m]) for m in [*counted, *beside]}
    order = [MEAN, *counted, *([_GAP] if beside else []), *beside]
    ranked = {(r["method"], r["metric"]): r for r in rank.to_dict("records")}
    measured = {(r["method"], r["metric"]): r for r in own.to_dict("records")}
    figure = go.Figure()
    ahead = ~listed["baseline_map"] & (listed["behind"] == "")
    cells = [[_cell(m, c, ranked.get((m, c)), measured.get((m, c))) for c in order] for m in listed["method"]]
    for role, which in (("rank", ahead), ("behind", ~ahead)):
        if not which.any():
            continue
        # Both hold all rows: plotly writes the texts of a heat map that lacks some into the wrong ones.
        own_cells = [
            line if w else [(None, "", "")] * len(order) for line, w in zip(cells, which, strict=True)
        ]
        figure.add_trace(
            go.Heatmap(
                x=[heads.get(c, c) for c in order], y=list(names.values()),
                z=[[z for z, _, _ in line] for line in own_cells], text=[[t for _, t, _ in line] for line in own_cells],
                hovertext=[[h for _, _, h in line] for line in own_cells], hoverinfo="text", texttemplate="%{text}",
                hoverongaps=False,
                textfont={"size": 10.5} | ({"color": _PALE_TEXT} if role == "behind" else {}),
                coloraxis="coloraxis" if role == "rank" else "coloraxis2", xgap=1, ygap=1, meta={"role": role},
            )
        )  # fmt: skip
    said = listed[listed["behind"] != ""].to_dict("records")
    figure.update_layout(
        template=style.TEMPLATE,
        height=_ROW_PX * len(listed) + 190,
        coloraxis=_scale("last", "first"),
        coloraxis2={"cmin": 0, "cmax": 1, "colorscale": _PALE, "showscale": False},
        xaxis={
            "type": "category", "categoryorder": "array", "categoryarray": [heads.get(c, c) for c in order],
            "range": [-0.5, len(order) - 0.5], "side": "top", "tickangle": -55, "showgrid": False, "tickfont": {"size": 10.5},
        },
        yaxis=_names(list(names.values())),
        annotations=[
            {"text": f"not better than {style.plain(method_name(row['behind']))}", "x": 1, "xref": "paper", "xanchor": "left",
             "xshift": 6, "y": names[row["method"]], "showarrow": False, "font": {"size": 10, "color": style.MUTED}}
            for row in said
        ],
        margin={"t": 148, "r": 168 if said else 8},
    )  # fmt: skip
    return figure


def _metrics(measures: pd.DataFrame, ranks: pd.DataFrame) -> tuple[list[str], list[str]]:
    there = list(dict.fromkeys(measures.loc[measures["value"].notna(), "metric"].astype(str)))
    if not there:
        raise DataError("The table 'measures' holds no values to draw.")
    place = {name: i for i, name in enumerate(METRIC_NAMES)}
    there.sort(key=lambda name: place.get(name, len(place)))
    in_mean = set(ranks.loc[ranks["in_mean"].fillna(False).astype(bool), "metric"])
    return [m for m in there if m in in_mean], [m for m in there if m not in in_mean]


def _head(metric: str, better: str) -> str:
    return f"{style.plain(metric_name(metric))} {'↑' if better == 'higher' else '↓'}"


def _cell(
    method: str, metric: str, rank: Mapping[Any, Any] | None, row: Mapping[Any, Any] | None
) -> tuple[float | None, str, str]:
    title = f"<b>{style.plain(method_name(method))}</b>"
    if metric == _GAP:
        return None, "", ""
    z = None if rank is None else 1 - (float(rank["rank"]) - 1) / max(float(rank["of"]) - 1, 1)
    if metric == MEAN:
        if rank is None:
            return None, "", f"{title}<br>no mean rank: none of its measures"
        return z, f"<b>{rank['rank']:.1f}</b>", f"{title}<br>mean rank {rank['rank']:.2f} of {rank['of']:.0f}"
    title += f", {style.plain(metric_name(metric))}"
    if row is None or pd.isna(row["value"]):
        return None, "", f"{title}<br>not measured"
    told = f"{title}<br>{row['value']:.3g}"
    if pd.notna(row["lower"]) and pd.notna(row["upper"]):
        told += f" ({row['lower']:.3g} to {row['upper']:.3g})"
    told += f", {row['better']} is better, n = {row['n']:.0f}"
    if rank is not None:
        told += f"<br>rank {rank['rank']:g} of {rank['of']:.0f}"
    if pd.notna(row["chance"]):
        told += f"<br>random map: {row['chance']:.3g}"
    beaten = [method_name(b) for b in str(row["beats"]).split(", ") if b] if pd.notna(row["beats"]) else []
    told += f"<br>surely better than: {style.plain(', '.join(beaten) or 'no baseline map')}"
    return z, short(row["value"]), told


def attribution_grid(
    rows: pd.DataFrame,
    column: str,
    *,
    order: Sequence[str] | None = None,
    heads: Mapping[str, str] | None = None,
    written: Callable[[float], str] = short,
    most: float = 1.0,
    ticks: Mapping[float, str] | None = None,
) -> go.Figure:
    """Draw methods by parts of the face.

    Parameters
    ----------
    rows : DataFrame
        ``method, baseline_map, value`` and `column`; ``told`` is shown where the reader points, ``colour`` is coloured
        instead of the value.
    column : str
        The column whose values stand side by side, such as ``"part"``.
    order : sequence of str, optional
        Methods from the top; by default in the order of the rows.
    heads : mapping of str to str, optional
        What stands above each of the columns.
    written : callable, optional
        How a value is written into its cell.
    most : float, default 1
        Where the colours end.
    ticks : mapping of float to str, optional
        What is written along the scale.

    Returns
    -------
    plotly.graph_objects.Figure
        One heat map.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> rows = pd.DataFrame({"method": "lrp", "baseline_map": False, "part": ["nose", "mouth"], "value": [0.5, 0.25]})
    >>> attribution_grid(rows, "part").data[0].z
    ([0.5, 0.25],)
    """
    check_columns(rows, ["method", "baseline_map", "value", column], what="rows")
    if not len(rows):
        raise DataError("There are no rows to draw.")
    columns = [str(c) for c in dict.fromkeys(rows[column])]
    methods = ordered(rows, order)
    names = labels(methods, rows.loc[rows["baseline_map"].fillna(False).astype(bool), "method"])
    known = {(r["method"], str(r[column])): r for r in rows.to_dict("records")}
    shown = {c: style.plain((heads or {}).get(c, c.replace("_", " "))).replace("\n", "<br>") for c in columns}

    def grid(one: Callable[[Mapping[Any, Any] | None], Any]) -> list[list[Any]]:
        return [[one(known.get((m, c))) for c in columns] for m in methods]

    colour = "colour" if "colour" in rows.columns else "value"
    figure = go.Figure(
        go.Heatmap(
            x=list(shown.values()), y=names,
            z=grid(lambda r: None if r is None or pd.isna(r[colour]) else float(r[colour])),
            text=grid(lambda r: "" if r is None or pd.isna(r["value"]) else written(r["value"])),
            texttemplate="%{text}", textfont={"size": 10.5}, hoverinfo="text",
            hovertext=[
                [_hover(m, shown[c], known.get((m, c))) for c in columns] for m in methods
            ],
            coloraxis="coloraxis", xgap=1, ygap=1, meta={"role": "grid"},
        )
    )  # fmt: skip
    scale = _scale("", "")
    ticked = ticks or {0.0: "0", most: f"{most:g}"}
    scale["cmax"] = most
    scale["colorbar"] |= {"tickvals": list(ticked), "ticktext": list(ticked.values())}
    figure.update_layout(
        template=style.TEMPLATE,
        height=_ROW_PX * len(methods) + 84,
        coloraxis=scale,
        xaxis={
            "type": "category", "categoryorder": "array", "categoryarray": list(shown.values()), "side": "top",
            "range": [-0.5, len(columns) - 0.5], "showgrid": False, "tickangle": 0 if len(columns) < 9 else -40,
        },
        yaxis=_names(names),
        margin={"t": 56},
    )  # fmt: skip
    return figure


def _hover(method: str, column: str, row: Mapping[Any, Any] | None) -> str:
    title = f"<b>{style.plain(method_name(method))}</b>, {column}"
    if row is None or pd.isna(row["value"]):
        return f"{title}<br>not measured"
    return f"{title}<br>{style.plain(row['told']) if 'told' in row else format(row['value'], '.3g')}"


def _names(names: list[str]) -> dict[str, Any]:
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": names,
        "range": [len(names) - 0.5, -0.5],
        "showgrid": False,
        "dtick": 1,
    }


def _scale(low: str, high: str) -> dict[str, Any]:
    bar = {
        "orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "xanchor": "right", "lenmode": "pixels", "len": 104, "thickness": 9,
        "outlinewidth": 0, "tickvals": [0, 1], "ticktext": [low, high], "tickfont": {"color": style.MUTED, "size": 11},
        "ypad": 10,
    }  # fmt: skip
    return {
        "cmin": 0,
        "cmax": 1,
        "colorscale": [list(stop) for stop in style.SCALE_LIGHT],
        "colorbar": bar,
    }
