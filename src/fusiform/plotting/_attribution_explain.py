"""A score beside its threshold, and what the parts of a face contribute to it."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._attribution_maps import AGAINST, FOR
from fusiform.plotting._traces import LEGEND_ON_TOP, bars, name_axis, shown
from fusiform.plotting.tables import check_columns

_ROW_PX = 30
_FOR, _AGAINST = (f"#{r:02x}{g:02x}{b:02x}" for r, g, b in (FOR, AGAINST))
_SYMBOLS = ("circle", "diamond", "square", "cross")


def explained_scores(scores: pd.DataFrame) -> go.Figure:
    """Draw similarities beside the threshold with its interval.

    Parameters
    ----------
    scores : DataFrame
        Columns ``image, other, score, threshold, lower, upper``; one threshold for all.

    Returns
    -------
    plotly.graph_objects.Figure
        A point a pair; the threshold as a line, its interval as a band.

    Raises
    ------
    DataError
        If columns are missing, or there are no rows.

    Examples
    --------
    >>> row = {"image": "a", "other": "b", "score": 0.6, "threshold": 0.35, "lower": 0.31, "upper": 0.38}
    >>> explained_scores(pd.DataFrame([row])).data[0].x
    (0.6,)
    """
    check_columns(scores, ("image", "other", "score", "threshold", "lower", "upper"), what="scores")
    if not len(scores):
        raise DataError("The table 'scores' holds no rows to draw.")
    names = [f"{row.image} and {row.other}" for row in scores.itertuples()]
    figure = go.Figure()
    figure.add_scatter(
        x=scores["score"].tolist(),
        y=shown(names),
        mode="markers",
        marker={"size": 13, "color": style.TRAINED},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        showlegend=False,
    )
    first = scores.iloc[0]
    if pd.notna(first["threshold"]):
        if pd.notna(first["lower"]):
            figure.add_vrect(
                x0=first["lower"], x1=first["upper"], fillcolor=style.CHANCE, opacity=0.22, line_width=0
            )
        figure.add_vline(
            x=first["threshold"],
            line={"color": style.CHANCE, "width": 2},
            annotation={"text": f"threshold {first['threshold']:.2f}", "yanchor": "bottom", "y": 1},
        )
    known = scores[["score", "threshold", "lower", "upper"]].to_numpy(dtype=float)
    low = min(0.0, float(pd.Series(known.ravel()).min()) - 0.05)
    figure.update_layout(
        template=style.TEMPLATE,
        height=_ROW_PX * len(names) + 110,
        xaxis={"title": {"text": "cosine similarity"}, "range": [low, 1.03]},
        yaxis=name_axis(names),
        margin={"t": 44, "r": 16},
    )
    return figure


def explained_parts(
    parts: pd.DataFrame,
    *,
    title: str = "Shapley value, in units of the score",
    names: Sequence[str] | None = None,
) -> go.Figure:
    """Draw what each part of the face contributes, with the least and the most of all variants.

    Parameters
    ----------
    parts : DataFrame
        Columns ``part, value, lower, upper``, and ``image`` where there are several.
    title : str
        Of the axis.
    names : sequence of str, optional
        The parts in order; by the size of their value when not given.

    Returns
    -------
    plotly.graph_objects.Figure
        A trace an image, red for and blue against.

    Raises
    ------
    DataError
        If columns are missing, or there are no rows.

    Examples
    --------
    >>> rows = [{"image": "a", "part": p, "value": v, "lower": v - 0.1, "upper": v + 0.1} for p, v in (("nose", .3), ("mouth", -.2))]
    >>> [trace.name for trace in explained_parts(pd.DataFrame(rows)).data]
    ['a']
    """
    check_columns(parts, ("part", "value", "lower", "upper"), what="parts")
    if not len(parts):
        raise DataError("The table 'parts' holds no rows to draw.")
    if names is None:
        mean = parts.groupby("part", sort=False)["value"].mean()
        names = mean.sort_values(ascending=False, kind="stable").index.tolist()
    images = parts["image"].fillna("").astype(str) if "image" in parts else pd.Series("", index=parts.index)
    several = images.nunique() > 1
    figure = go.Figure()
    for number, (image, own) in enumerate(parts.groupby(images, sort=False)):
        own = own.set_index("part").reindex(list(names)).dropna(subset=["value"])
        colours = [_FOR if value >= 0 else _AGAINST for value in own["value"]]
        figure.add_scatter(
            x=own["value"].tolist(),
            y=shown(own.index.str.replace("_", " ")),
            mode="markers",
            orientation="h",
            offsetgroup=str(number),
            name=style.plain(image),
            marker={"size": 10, "color": colours, "symbol": _SYMBOLS[number % len(_SYMBOLS)]},
            error_x=bars(own["value"], own["lower"], own["upper"], color=style.CHANCE, width=4),
            hovertemplate="%{y}: %{x:.3g}<extra>" + style.plain(image) + "</extra>",
            showlegend=several,
        )
    figure.add_vline(x=0, line={"color": style.CHANCE, "width": 1})
    figure.update_layout(
        template=style.TEMPLATE,
        height=_ROW_PX * len(names) + 120,
        xaxis={"title": {"text": title}},
        yaxis=name_axis([str(name).replace("_", " ") for name in names]),
        legend=LEGEND_ON_TOP,
        scattermode="group",
        margin={"t": 50 if several else 24, "r": 16},
    )
    return figure
