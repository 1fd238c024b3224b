import math
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._attribution_study_rows import (
    BASELINE_FAMILY,
    FAMILY_COLOURS,
    FAMILY_SYMBOLS,
    family_of,
    labels,
    method_name,
    ordered,
)
from fusiform.plotting._traces import LEGEND_ON_TOP, bars, in_hover, name_axis
from fusiform.plotting.tables import check_columns

_ROW_PX = 19


def attribution_dots(
    rows: pd.DataFrame,
    *,
    panels: Mapping[str, str] | None = None,
    order: Sequence[str] | None = None,
    families: Mapping[str, str] | None = None,
    title: str = "",
    columns: int = 4,
    log: bool = False,
    share: bool = False,
    better: str = "higher",
) -> go.Figure:
    """Draw a value with its interval for every method, a panel a part or measure.

    Parameters
    ----------
    rows : DataFrame
        ``method, baseline_map, panel, value, lower, upper``, and ``chance`` where there is a level to compare with.
    panels : mapping of str to str, optional
        Panels in order, and what stands above each; by default those of the rows.
    order : sequence of str, optional
        Methods from the top; by default in the order of the rows.
    families : mapping of str to str, optional
        ``"perturbation"``, ``"gradient"`` or ``"propagation"`` by method, for the colours.
    title : str, default ""
        Title of the level axes.
    columns : int, default 4
        Panels in a row.
    log : bool, default False
        Logarithmic axes.
    share : bool, default False
        Values are shares from 0 to 1.
    better : {"higher", "lower"}, default "higher"
        On which side of chance a value is good.

    Returns
    -------
    plotly.graph_objects.Figure
        Markers are open where the interval does not lie beyond chance. ``meta`` of a trace holds ``panel`` and ``family``, or
        ``role`` ``"chance"`` or ``"legend"``.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"method": "lrp", "baseline_map": False, "panel": "nose", "value": 0.5, "lower": 0.4, "upper": 0.6}
    >>> attribution_dots(pd.DataFrame([row]), families={"lrp": "propagation"}).data[0].x
    (0.5,)
    """
    check_columns(rows, ["method", "baseline_map", "panel", "value", "lower", "upper"], what="rows")
    rows = rows[rows["value"].notna()]
    if log:
        rows = rows[rows["value"] > 0]
    names = panels or {str(p): str(p) for p in dict.fromkeys(rows["panel"])}
    names = {p: t for p, t in names.items() if (rows["panel"] == p).any()}
    if not names:
        raise DataError("There are no values to draw.")
    methods = ordered(rows, order)
    base = rows["baseline_map"].fillna(False).astype(bool)
    written = dict(zip(methods, labels(methods, rows.loc[base, "method"]), strict=True))
    rows = rows.assign(
        family=[family_of(families, m, baseline_map=b) for m, b in zip(rows["method"], base, strict=True)]
    )
    across = min(columns, len(names))
    down = math.ceil(len(names) / across)
    lines = max(text.count("\n") for text in names.values())
    top = 58 + 16 * lines
    height = down * (_ROW_PX * len(methods) + 70) + top
    figure = make_subplots(
        rows=down, cols=across, shared_yaxes=True, horizontal_spacing=0.03 if across > 1 else 0,
        vertical_spacing=min(96 / height, 0.9 / down) if down > 1 else 0, subplot_titles=style.titles(names.values()),
    )  # fmt: skip
    for index, panel in enumerate(names):
        place = {"row": index // across + 1, "col": index % across + 1}
        own = rows[rows["panel"] == panel]
        chance = own["chance"].dropna() if "chance" in own else pd.Series(dtype=float)
        if len(chance):
            level = float(chance.iloc[0])
            figure.add_trace(
                go.Scatter(
                    x=[level, level], y=[written[methods[0]], written[methods[-1]]], mode="lines", showlegend=False,
                    line={"color": style.CHANCE, "width": 1.4, "dash": style.DASHES["chance"]},
                    hovertemplate=f"chance {level:.3g}<extra></extra>", meta={"role": "chance", "panel": panel},
                ),
                **place,
            )  # fmt: skip
        for family, found in own.groupby("family", sort=False):
            figure.add_trace(_dots(found, str(family), panel, written, better), **place)
        if share:
            figure.update_xaxes(range=_room(own), **place)
        figure.update_yaxes(name_axis(methods) | {"categoryarray": list(written.values())}, **place)
    there = set(rows["family"])
    for family in [*(f for f in FAMILY_COLOURS if f in there), *sorted(there - set(FAMILY_COLOURS))]:
        figure.add_trace(_legend(family), row=1, col=1)
    figure.update_xaxes(title_text=title, row=down)
    if log:
        figure.update_xaxes(type="log", dtick=1)
    elif share:
        figure.update_xaxes(tickformat=".0%")
    figure.update_layout(
        template=style.TEMPLATE,
        height=height,
        legend=LEGEND_ON_TOP | {"y": 1 + (24 + 16 * lines) / (height - top - 50)},
        margin={"t": top},
        hovermode="closest",
    )
    return figure


def _room(rows: pd.DataFrame) -> list[float]:
    """From 0 to the highest end, with room for a marker at 0."""
    columns = [c for c in ("value", "lower", "upper", "chance") if c in rows]
    low, high = min(0.0, float(rows[columns].min().min())), float(rows[columns].max().max())
    room = 0.03 * (high - low or 1.0)
    return [low - room, high + room]


def _look(family: str) -> tuple[str, str]:
    colour = FAMILY_COLOURS.get(family, style.TRAINED)
    return colour, "diamond" if family == BASELINE_FAMILY else FAMILY_SYMBOLS.get(family, "circle")


def _legend(family: str) -> go.Scatter:
    colour, symbol = _look(family)
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        marker={"size": 8, "color": colour, "symbol": symbol},
        name=style.plain(family),
        legendgroup=family,
        meta={"role": "legend", "family": family},
    )


def _dots(rows: pd.DataFrame, family: str, panel: str, written: Mapping[str, str], better: str) -> go.Scatter:
    colour, symbol = _look(family)
    beyond = pd.Series(True, index=rows.index)
    if "chance" in rows:
        known = rows["chance"].notna() & rows["lower"].notna()
        side = rows["lower"] > rows["chance"] if better == "higher" else rows["upper"] < rows["chance"]
        beyond = side.where(known, True).astype(bool)
    told = zip(rows["method"], rows["lower"], rows["upper"], strict=True)
    return go.Scatter(
        x=rows["value"].astype(float).tolist(),
        y=[written[m] for m in rows["method"]],
        mode="markers",
        marker={"size": 8, "color": colour, "symbol": [symbol if b else f"{symbol}-open" for b in beyond]},
        error_x=bars(rows["value"], rows["lower"], rows["upper"], color=colour, width=2),
        customdata=[
            [in_hover(method_name(m)), "" if pd.isna(low) else f" ({low:.3g} to {up:.3g})"]
            for m, low, up in told
        ],
        hovertemplate=f"<b>%{{customdata[0]}}</b>, {in_hover(panel)}<br>%{{x:.3g}}%{{customdata[1]}}<extra></extra>",
        showlegend=False,
        legendgroup=family,
        meta={"panel": panel, "family": family},
    )
