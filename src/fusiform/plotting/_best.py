import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError, nearest
from fusiform.plotting import style
from fusiform.plotting._traces import bars
from fusiform.plotting.tables import KINDS, METRIC_TITLES, PRIMARY, check_columns, skill

_COLUMNS = ("attribute", "kind", "layer", "value", "lower", "upper", "chance", "control_value")
_ROW_PX = 24


def best_layers(best: pd.DataFrame, *, kind: str | None = None) -> go.Figure:
    """Draw the best layer of every attribute: its value and interval, the control and chance.

    Parameters
    ----------
    best : DataFrame
        The table of best layers of an audit: the layer chosen on the validation images, the value measured on the
        test images.
    kind : {"binary", "categorical", "continuous"}, optional
        One kind only; all that there are by default, a panel each.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel a kind with the traces ``chance``, ``random weights``, ``trained`` and ``layer`` (its name); best
        attribute on top.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> best = pd.DataFrame([{"attribute": "Male", "kind": "binary", "layer": "fc", "value": 0.9, "lower": 0.85,
    ...                       "upper": 0.94, "chance": 0.5, "control_value": 0.6}])
    >>> [trace.name for trace in best_layers(best).data]
    ['chance', 'random weights', 'trained', 'layer']
    """
    check_columns(best, _COLUMNS, what="best")
    if kind is not None and kind not in KINDS:
        raise DataError(f"kind must be one of {list(KINDS)}; got '{kind}': {nearest(kind, KINDS)}")
    kinds = [k for k in KINDS if (best["kind"] == k).any() and kind in (None, k)]
    if not kinds:
        raise DataError("The table 'best' holds no attributes to draw.")
    counts = [int((best["kind"] == k).sum()) for k in kinds]
    figure = make_subplots(
        rows=len(kinds),
        cols=1,
        row_heights=[n + 1 for n in counts],
        vertical_spacing=0.2 / sum(counts) + 0.05,
    )
    for index, panel_kind in enumerate(kinds, start=1):
        rows = best[best["kind"] == panel_kind]
        rows = rows.assign(skill=skill(rows["value"], rows["chance"])).sort_values("skill", kind="stable")
        for trace in _traces(rows, legend=index == 1):
            figure.add_trace(trace, row=index, col=1)
        lowest = float(rows[["lower", "value", "chance", "control_value"]].min().min())
        figure.update_xaxes(
            title_text=METRIC_TITLES[PRIMARY[panel_kind]],
            # Room on the right for the layers' names.
            range=[max(lowest, -0.5) - 0.03, 1.02 + 0.011 * max(len(str(name)) for name in rows["layer"])],
            tickvals=[tick / 10 for tick in range(-5, 11)],
            tickformat=".1f",
            row=index,
            col=1,
        )
        figure.update_yaxes(
            type="category",
            categoryorder="array",
            categoryarray=[style.plain(name) for name in rows["attribute"]],
            range=[-0.6, len(rows) - 0.4],
            dtick=1,
            row=index,
            col=1,
        )
    figure.update_layout(
        template=style.TEMPLATE,
        height=_ROW_PX * sum(counts) + 90 * len(kinds) + 40,
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "xanchor": "left"},
    )
    return figure


def _traces(rows: pd.DataFrame, *, legend: bool) -> list[go.Scatter]:
    names = [style.plain(name) for name in rows["attribute"]]
    dots = {"y": names, "showlegend": legend}
    return [
        go.Scatter(
            x=rows["chance"].tolist(),
            mode="markers",
            name="chance",
            marker={"symbol": "line-ns", "size": 12, "line": {"color": style.CHANCE, "width": 1.5}},
            hovertemplate="chance %{x:.2f}<extra>%{y}</extra>",
            **dots,
        ),
        go.Scatter(
            x=rows["control_value"].tolist(),
            mode="markers",
            name="random weights",
            marker={"symbol": "diamond-open", "size": 8, "color": style.CONTROL, "line": {"width": 1.5}},
            hovertemplate="random weights %{x:.3f}<extra>%{y}</extra>",
            **dots,
        ),
        go.Scatter(
            x=rows["value"].tolist(),
            mode="markers",
            name="trained",
            customdata=[style.plain(layer) for layer in rows["layer"]],
            marker={"size": 9, "color": style.TRAINED},
            error_x=bars(rows["value"], rows["lower"], rows["upper"], color=style.TRAINED, width=3),
            hovertemplate="%{customdata}: %{x:.3f}<extra>%{y}</extra>",
            **dots,
        ),
        # Beyond the interval's end, so that name and bar do not meet.
        go.Scatter(
            x=rows["upper"].fillna(rows["value"]).tolist(),
            y=names,
            mode="text",
            name="layer",
            text=[f" {style.plain(layer)}" for layer in rows["layer"]],
            textposition="middle right",
            textfont={"size": 10, "color": style.MUTED},
            hoverinfo="skip",
            showlegend=False,
        ),
    ]
