import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.plotting import style
from fusiform.plotting._planted_bias import of_cue, room
from fusiform.plotting._traces import LEGEND_ON_TOP, bars, in_hover

_PANEL_PX = 250
_GREY, _COLOUR = style.CHANCE, style.COLOURS[1]
# From weak to strong; both ends are seen on white and on a dark page.
_WEAK, _STRONG = (74, 168, 222), (213, 94, 0)
_THRESHOLD = 0.55


def planted_probabilities(probabilities: pd.DataFrame, *, cue: str | None = None) -> go.Figure:
    """Draw the sorted probabilities of all units of every stage for colour, a line a strength, as figure 7 of the paper.

    Parameters
    ----------
    probabilities : DataFrame
        ``cue, percent, seed, stage, layer, unit, p_grey, p_colour, rank``.
    cue : str, optional
        Which cue; needed where the table holds several.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel a stage; units are sorted from the highest probability of colour, and lines are means over seeds at the same
        rank. ``meta`` holds ``stage`` and ``percent``. Dashed: the thresholds above which a unit counts as biased.

    Raises
    ------
    DataError
        If columns are missing or the cue is not known.

    References
    ----------
    Teotia et al. (2022), figure 7.

    Examples
    --------
    >>> row = {"cue": "grey", "percent": 50, "seed": 0, "stage": 1, "layer": "a", "rank": 0}
    >>> table = pd.DataFrame([row | {"unit": 0, "p_grey": 0.6, "p_colour": 0.4},
    ...                       row | {"unit": 1, "p_grey": 0.3, "p_colour": 0.7}])
    >>> planted_probabilities(table).data[0].y
    (0.7, 0.4)
    """
    columns = ("seed", "stage", "layer", "unit", "p_grey", "p_colour", "rank")
    rows = of_cue(probabilities, columns, what="probabilities", cue=cue)
    stages = sorted(dict.fromkeys(rows["stage"]), key=str)
    figure, at = _panels(rows, stages)
    percents = sorted({int(p) for p in rows["percent"]})
    for stage, place in zip(stages, at, strict=True):
        for percent in percents:
            own = rows[(rows["stage"] == stage) & (rows["percent"] == percent)]
            if not len(own):
                continue
            # The table's rank may count from either end.
            own = own.sort_values(["seed", "p_colour"], ascending=[True, False], kind="stable")
            mean = own.groupby(own.groupby("seed").cumcount())["p_colour"].mean()
            last = max(len(mean) - 1, 1)
            figure.add_trace(
                go.Scatter(
                    x=[rank / last for rank in range(len(mean))],
                    y=mean.astype(float).tolist(),
                    mode="lines" if len(mean) > 1 else "markers",
                    line={"color": ramp(percent, percents), "width": 2},
                    name=f"P = {percent}",
                    legendgroup=str(percent),
                    showlegend=stage == stages[0],
                    hovertemplate=f"P = {percent}: %{{y:.3f}} after %{{x:.0%}} of the units<extra>{in_hover(stage)}</extra>",
                    meta={"stage": str(stage), "percent": percent},
                ),
                **place,
            )
    for level in (_THRESHOLD, 1 - _THRESHOLD):
        figure.add_hline(y=level, line={"color": style.CHANCE, "width": 1, "dash": style.DASHES["chance"]})
    figure.update_xaxes(tickformat=".0%", range=[-0.02, 1.02], nticks=5)
    figure.update_xaxes(title_text="units, sorted", row=_down(stages))
    figure.update_yaxes(matches="y")
    figure.update_yaxes(title_text="probability of colour", col=1)
    return figure


def planted_biased(
    biased: pd.DataFrame, summary: pd.DataFrame | None = None, *, cue: str | None = None
) -> go.Figure:
    """Draw the number of biased units of every stage over the strength of a planted bias, as figure 8 of the paper.

    Parameters
    ----------
    biased : DataFrame
        ``cue, percent, seed, stage, layer, towards, units, of, share``; towards is ``"grey"`` or ``"colour"``.
    summary : DataFrame, optional
        ``cue, percent, quantity, layer, value, lower, upper``; the intervals of ``"biased units"`` are drawn.
    cue : str, optional
        Which cue; needed where the table holds several.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel a stage, bars stacked of means over seeds. ``meta`` holds ``stage`` and ``towards``.

    Raises
    ------
    DataError
        If columns are missing or the cue is not known.

    References
    ----------
    Teotia et al. (2022), figure 8.

    Examples
    --------
    >>> row = {"cue": "grey", "percent": 50, "stage": 1, "layer": "a", "towards": "grey", "of": 64, "share": 0.1}
    >>> planted_biased(pd.DataFrame([row | {"seed": 0, "units": 6}, row | {"seed": 1, "units": 8}])).data[0].y
    (7.0,)
    """
    columns = ("seed", "stage", "layer", "towards", "units", "of", "share")
    rows = of_cue(biased, columns, what="biased", cue=cue)
    stages = sorted(dict.fromkeys(rows["stage"]), key=str)
    figure, at = _panels(rows, stages)
    whiskers = None
    if summary is not None:
        found = of_cue(summary, ("quantity", "layer", "value", "lower", "upper"), what="summary", cue=cue)
        whiskers = found[found["quantity"] == "biased units"]
    for stage, place in zip(stages, at, strict=True):
        of_stage = rows[rows["stage"] == stage]
        for towards, colour in (("grey", _GREY), ("colour", _COLOUR)):
            own = of_stage[of_stage["towards"] == towards]
            if not len(own):
                continue
            mean = own.groupby("percent")["units"].mean()
            units = own["of"].iloc[0]
            figure.add_trace(
                go.Bar(
                    x=[str(int(p)) for p in mean.index],
                    y=mean.astype(float).tolist(),
                    marker={"color": colour},
                    name=f"towards {towards}",
                    legendgroup=towards,
                    showlegend=stage == stages[0],
                    hovertemplate=f"P = %{{x}}: %{{y:.1f}} of {units} units towards {towards}<extra>{in_hover(stage)}</extra>",
                    meta={"stage": str(stage), "towards": towards},
                ),
                **place,
            )
        per_network = of_stage.groupby(["percent", "seed"])["units"].sum()
        figure.update_yaxes(autorangeoptions=room(float(per_network.max())), **place)
        if whiskers is not None:
            own = whiskers[whiskers["layer"].isin(set(of_stage["layer"]))].drop_duplicates("percent")
            if len(own):
                figure.add_trace(
                    go.Scatter(
                        x=[str(int(p)) for p in own["percent"]],
                        y=own["value"].astype(float).tolist(),
                        error_y=bars(own["value"], own["lower"], own["upper"], color=style.MUTED, width=3),
                        mode="markers",
                        marker={"size": 4, "color": style.MUTED},
                        hoverinfo="skip",
                        showlegend=False,
                        meta={"stage": str(stage), "towards": "either"},
                    ),
                    **place,
                )
    figure.update_layout(barmode="stack", bargap=0.3)
    figure.update_xaxes(type="category")
    figure.update_xaxes(title_text="P (%)", row=_down(stages))
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text="biased units", col=1)
    return figure


def ramp(percent: int, percents: Sequence[int]) -> str:
    """Give the colour of a strength among others.

    Examples
    --------
    >>> ramp(50, [50, 100]), ramp(100, [50, 100])
    ('#4aa8de', '#d55e00')
    """
    low, high = min(percents), max(percents)
    along = (percent - low) / (high - low) if high > low else 1.0
    return "#" + "".join(f"{round(a + (b - a) * along):02x}" for a, b in zip(_WEAK, _STRONG, strict=True))


def _down(stages: list[Any]) -> int:
    return math.ceil(len(stages) / 2)


def _panels(rows: pd.DataFrame, stages: list[Any]) -> tuple[go.Figure, list[dict[str, int]]]:
    across = min(2, len(stages))
    down = _down(stages)
    first = rows.drop_duplicates("stage")
    layer = dict(zip(first["stage"], first["layer"], strict=True))
    names = [f"stage {s}: {layer[s]}" if str(s) != str(layer[s]) else str(s) for s in stages]
    height = _PANEL_PX * down + 110
    figure = make_subplots(
        rows=down,
        cols=across,
        subplot_titles=style.titles(names),
        horizontal_spacing=0.1,
        vertical_spacing=64 / height if down > 1 else 0,
    )
    figure.update_layout(
        template=style.TEMPLATE,
        height=height,
        legend=LEGEND_ON_TOP | {"y": 1 + 26 / height, "traceorder": "normal"},
        margin={"t": 84},
        hovermode="closest",
    )
    return figure, [{"row": i // across + 1, "col": i % across + 1} for i in range(len(stages))]
