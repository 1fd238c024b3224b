from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._attribution_study_rows import method_name, of_network, ordered
from fusiform.plotting._traces import band, in_hover, layer_axis, room_below, shown

JUDGED_BY = "spearman_absolute"
SIMILARITY_NAMES = {
    "spearman_absolute": "rank correlation of absolute values",
    "spearman": "rank correlation",
    "ssim": "structural similarity",
    "hog_pearson": "correlation of gradient histograms",
}
PASSES, FAILS, UNCLEAR, NOT_JUDGED = "passes", "fails", "unclear", "not judged"
_LIMIT = 0.5
_KINDS = {"deletion": "deletion: the best first out", "insertion": "insertion: the best first in"}
_DASHES = {"random": "dash", "edges": "dot", "gaussian": "dashdot"}


def attribution_curves(
    curves: pd.DataFrame,
    *,
    network: str | None = None,
    target: str | None = None,
    order: Sequence[str] | None = None,
    visible: Sequence[str] | None = None,
) -> go.Figure:
    """Draw the score while pixels are taken out or put in, the most salient first.

    Parameters
    ----------
    curves : DataFrame
        ``network, target, method, baseline_map, kind, fraction, score, lower, upper``; kind ``"deletion"`` or ``"insertion"``.
    network, target : str, optional
        Which; a network must be named where the table holds several, of targets the first is drawn.
    order : sequence of str, optional
        Methods in the order of the legend.
    visible : sequence of str, optional
        Methods that are drawn to begin with; the reader adds others by the legend. By default the first three.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel a kind. Baseline maps are grey and always drawn. ``meta`` of a trace holds ``method``, ``kind`` and ``role``
        (``"line"`` or ``"band"``).

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "target": "class", "method": "lrp", "baseline_map": False, "kind": "deletion"}
    >>> table = pd.DataFrame([row | {"fraction": f, "score": 1 - f, "lower": 1 - f, "upper": 1 - f} for f in (0.0, 0.5)])
    >>> attribution_curves(table).data[-1].y
    (1.0, 0.5)
    """
    columns = ("kind", "fraction", "score", "lower", "upper")
    rows = of_network(curves, columns, what="curves", network=network, target=target)
    rows = rows[rows["score"].notna() & rows["kind"].isin(_KINDS)].sort_values("fraction", kind="stable")
    kinds = [kind for kind in _KINDS if (rows["kind"] == kind).any()]
    if not kinds:
        raise DataError("The table 'curves' holds no rows to draw.")
    base = set(rows.loc[rows["baseline_map"], "method"])
    there = ordered(rows, order)
    listed = [m for m in there if m not in base]
    seen = set(listed[:3] if visible is None else visible)
    figure = make_subplots(
        rows=1, cols=len(kinds), shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=style.titles(_KINDS[k] for k in kinds)
    )  # fmt: skip
    for slot, method in enumerate([*listed, *(m for m in there if m in base)]):
        for index, kind in enumerate(kinds):
            own = rows[(rows["method"] == method) & (rows["kind"] == kind)]
            if not len(own):
                continue
            look = _base(method) if method in base else _look(slot)
            for trace in _curve(own, method, kind, look, band_too=method not in base):
                on = method in base or method in seen
                trace.update(visible=True if on else "legendonly")
                trace.update(showlegend=index == 0 and trace.meta["role"] == "line")
                figure.add_trace(trace, row=1, col=index + 1)
    figure.update_xaxes(title_text="share of the pixels", tickformat=".0%", range=[-0.01, 1.01])
    figure.update_yaxes(title_text="score", col=1)
    figure.update_layout(
        template=style.TEMPLATE,
        height=max(380, 19 * len(there) + 100),
        legend={"x": 1.01, "y": 1, "tracegroupgap": 0, "font": {"size": 10.5, "color": style.MUTED}},
        margin={"t": 34},
        hovermode="closest",
    )
    return figure


def _look(slot: int) -> dict[str, Any]:
    n = len(style.COLOURS)
    symbol = style.SYMBOLS[(slot + slot // n) % len(style.SYMBOLS)]
    return {"color": style.COLOURS[slot % n], "width": 2.2, "symbol": symbol, "dash": "solid"}


def _base(method: str) -> dict[str, Any]:
    return {"color": style.CHANCE, "width": 1.8, "symbol": "circle", "dash": _DASHES.get(method, "dash")}


def _curve(
    rows: pd.DataFrame, method: str, kind: str, look: dict[str, Any], *, band_too: bool
) -> list[go.Scatter]:
    name = method_name(method)
    meta = {"method": str(method), "kind": kind}
    x = rows["fraction"].astype(float).tolist()
    traces = []
    if band_too and rows["lower"].notna().all() and len(rows) > 1:
        fill = style.translucent(look["color"], 0.11)
        traces.append(
            band(x, rows["lower"], rows["upper"], fill, legendgroup=str(method), meta=meta | {"role": "band"})
        )
    hover = "%{x:.0%}: %{y:.3f} (%{customdata[0]:.3f} to %{customdata[1]:.3f})"
    traces.append(
        go.Scatter(
            x=x,
            y=rows["score"].astype(float).tolist(),
            mode="lines+markers" if band_too else "lines",
            line={key: look[key] for key in ("color", "width", "dash")},
            marker={"size": 6, "symbol": look["symbol"]},
            customdata=rows[["lower", "upper"]].to_numpy().tolist(),
            hovertemplate=f"<b>{in_hover(name)}</b>, {kind}<br>{hover}<extra></extra>",
            name=style.plain(name),
            legendgroup=str(method),
            meta=meta | {"role": "line"},
        )
    )
    return traces


def sanity_verdicts(sanity: pd.DataFrame) -> dict[str, str]:
    """Say of each method whether its maps change once all weights are drawn anew, by the whole interval.

    Parameters
    ----------
    sanity : DataFrame
        Rows of one network, target and kind of the check.

    Returns
    -------
    dict of str to str
        ``"passes"`` with the interval of the last step below 0.5, ``"fails"`` with it at 0.5 or above, else ``"unclear"``; ``"not
        judged"`` where the table says so: a criterion, but neither that it passes nor that it does not. Methods without a
        value are not in it.
    """
    rows = sanity[(sanity["metric"] == JUDGED_BY) & sanity["value"].notna()]
    last = rows.sort_values("depth", kind="stable").drop_duplicates("method", keep="last")
    return {str(row["method"]): _verdict(row) for row in last.to_dict("records")}


def _verdict(row: dict[Any, Any]) -> str:
    if "passes" in row and pd.isna(row["passes"]) and pd.notna(row["criterion"]) and row["criterion"]:
        return NOT_JUDGED
    return PASSES if row["upper"] < _LIMIT else FAILS if row["lower"] >= _LIMIT else UNCLEAR


def attribution_sanity(
    sanity: pd.DataFrame,
    *,
    kind: str = "cascading",
    metric: str = JUDGED_BY,
    network: str | None = None,
    target: str | None = None,
) -> go.Figure:
    """Draw how alike maps stay while weights are drawn anew, layer by layer from the top.

    Parameters
    ----------
    sanity : DataFrame
        ``network, target, method, baseline_map, kind, layer, depth, metric, value, lower, upper``; depth 0 is the top layer.
    kind : {"cascading", "independent"}, default "cascading"
        All layers down to one anew, or each alone.
    metric : str, default "spearman_absolute"
        How maps are compared.
    network, target : str, optional
        Which; a network must be named where the table holds several, of targets the first is drawn.

    Returns
    -------
    plotly.graph_objects.Figure
        Methods that stay at 0.5 or above by the rank correlation of absolute values, once all is random, are coloured and in the legend;
        of the independent check, all are grey. ``meta`` of a trace holds ``method`` and ``verdict``.

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "target": "class", "method": "lrp", "baseline_map": False, "kind": "cascading", "layer": "fc",
    ...        "depth": 0, "metric": "spearman_absolute", "value": 0.9, "lower": 0.8, "upper": 0.95}
    >>> attribution_sanity(pd.DataFrame([row])).data[0].meta["verdict"]
    'fails'
    """
    columns = ("kind", "layer", "depth", "metric", "value", "lower", "upper")
    rows = of_network(sanity, columns, what="sanity", network=network, target=target)
    rows = rows[rows["kind"] == kind]
    verdicts = sanity_verdicts(rows) if kind == "cascading" else {}
    # The same axis for every metric, so that the reader can go from one to the other.
    low = min(0.0, float(rows["value"].min())) - 0.03 if rows["value"].notna().any() else 0.0
    rows = rows[(rows["metric"] == metric) & rows["value"].notna()].sort_values("depth", kind="stable")
    if not len(rows):
        raise DataError(f"The table 'sanity' holds no rows of kind '{kind}' and metric '{metric}' to draw.")
    layers = [str(layer) for layer in dict.fromkeys(rows["layer"])]
    base = set(rows.loc[rows["baseline_map"], "method"])
    by = [PASSES, NOT_JUDGED, UNCLEAR, FAILS]
    order = sorted(dict.fromkeys(rows["method"]), key=lambda m: by.index(verdicts.get(m, PASSES)))
    slots = {
        m: i
        for i, m in enumerate(m for m in order[::-1] if m not in base and verdicts.get(m) in (FAILS, UNCLEAR))
    }
    figure = go.Figure()
    for method in order:
        own = rows[rows["method"] == method]
        verdict = verdicts.get(method, "")
        look = _base(method) if method in base else _look(slots[method]) if method in slots else _quiet()
        figure.add_trace(
            go.Scatter(
                x=shown(own["layer"]), y=own["value"].astype(float).tolist(), mode="lines+markers",
                line={key: look[key] for key in ("color", "width", "dash")},
                marker={"size": 7 if method in slots else 4, "symbol": look["symbol"]},
                opacity=1 if method in slots or method in base else 0.75,
                customdata=own[["lower", "upper"]].to_numpy().tolist(),
                hovertemplate=f"<b>{in_hover(method_name(method))}</b>{f', {verdict}' if verdict else ''}<br>%{{x}}: %{{y:.3f}} "
                "(%{customdata[0]:.3f} to %{customdata[1]:.3f})<extra></extra>",
                name=style.plain(method_name(method) + (f" ({verdict})" if method in slots else "")),
                showlegend=method in slots or method in base,
                legendrank=1000 + slots.get(method, 500),
                meta={"method": str(method), "verdict": verdict},
            )
        )  # fmt: skip
    figure.add_shape(
        type="line", xref="paper", x0=0, x1=1, y0=_LIMIT, y1=_LIMIT,
        line={"color": style.CHANCE, "width": 1, "dash": style.DASHES["chance"]},
    )  # fmt: skip
    figure.update_layout(
        template=style.TEMPLATE,
        height=max(360 + room_below(layers), 19 * len(slots) + 130),
        xaxis=layer_axis(layers) | {"title": {"text": "drawn anew, from the top"}},
        yaxis={"title": {"text": SIMILARITY_NAMES.get(metric, metric)}, "range": [low, 1.04]},
        legend={"x": 1.01, "y": 1, "tracegroupgap": 0, "font": {"size": 10.5, "color": style.MUTED}},
        margin={"t": 16},
        hovermode="closest",
    )
    return figure


def _quiet() -> dict[str, Any]:
    return {"color": style.CHANCE, "width": 1.1, "symbol": "circle", "dash": "solid"}
