import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting.tables import KINDS, Order, attribute_order, layer_order, primary

_ROW_PX = 21
_ANNOTATED_COLUMNS = 14
_ANNOTATED_CELLS = 300


def layer_attribute_heatmap(
    probes: pd.DataFrame,
    *,
    kind: str | None = None,
    order: Order = "best",
    split: str = "test",
    control: bool = False,
    best: pd.DataFrame | None = None,
    network: str | None = None,
    annotate: bool | None = None,
) -> go.Figure:
    """Draw every attribute at every layer, coloured by the share of the way from chance to perfect.

    Parameters
    ----------
    probes : DataFrame
        The table of probes of an audit.
    kind : {"binary", "categorical", "continuous"}, optional
        One kind only; all that there are by default, a panel each.
    order : {"best", "gained", "name"}, default "best"
        Order of the attributes, see `fusiform.plotting.tables.attribute_order`.
    split : str, default "test"
        Which images the values were measured on.
    control : bool, default False
        Draw the random-weights control instead of the trained network.
    best : DataFrame, optional
        The table of best layers; each attribute's is ringed, or has a dot beside the value where it is written.
    network : str, optional
        Which network; needed where the table holds several.
    annotate : bool, optional
        Write the values into the cells; by default where there is room for them.

    Returns
    -------
    plotly.graph_objects.Figure
        One heat map a kind, with ``meta["orders"]`` holding the three orders of its attributes.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "control": False, "attribute": "Male", "kind": "binary", "split": "test",
    ...        "metric": "balanced_accuracy", "lower": 0.8, "upper": 0.95, "chance": 0.5}
    >>> probes = pd.DataFrame([row | {"layer": "stem", "depth": 0, "value": 0.75},
    ...                        row | {"layer": "fc", "depth": 1, "value": 1.0}])
    >>> layer_attribute_heatmap(probes).data[0].z
    ([0.5, 1.0],)
    """
    rows = primary(probes, split=split, network=network, kind=kind)
    drawn = rows[rows["control"] == control]
    kinds = [k for k in KINDS if (drawn["kind"] == k).any()]
    if not kinds:
        who = "of the random-weights control " if control else ""
        raise DataError(
            f"The table 'probes' holds no rows {who}of whole layers on the split '{split}' to draw."
        )
    counts = [drawn.loc[drawn["kind"] == k, "attribute"].nunique() for k in kinds]
    figure = make_subplots(
        rows=len(kinds),
        cols=1,
        shared_xaxes=True,
        row_heights=counts,
        vertical_spacing=min(0.04, 0.3 / len(kinds)),
    )
    longest = 0
    for index, panel_kind in enumerate(kinds, start=1):
        of_kind = rows[rows["kind"] == panel_kind]
        layers = layer_order(of_kind)
        longest = max(longest, *map(len, layers))
        names = attribute_order(of_kind, order)
        small = len(layers) <= _ANNOTATED_COLUMNS and len(layers) * len(names) <= _ANNOTATED_CELLS
        written = small if annotate is None else annotate
        chosen = {} if best is None or control else dict(zip(best["attribute"], best["layer"], strict=True))
        figure.add_trace(_heat(of_kind, control, names, layers, chosen, annotate=written), row=index, col=1)
        if best is not None and not control and not written:
            figure.add_trace(_rings(best, names, layers), row=index, col=1)
        figure.update_xaxes(
            type="category",
            categoryorder="array",
            categoryarray=[style.plain(layer) for layer in layers],
            tickangle=-90 if len(layers) > 8 or max(map(len, layers)) > 10 else 0,
            range=[-0.5, len(layers) - 0.5],
            showgrid=False,
            row=index,
            col=1,
        )
        figure.update_yaxes(
            type="category",
            categoryorder="array",
            categoryarray=[style.plain(name) for name in names],
            range=[len(names) - 0.5, -0.5],
            showgrid=False,
            dtick=1,
            row=index,
            col=1,
        )
    figure.update_layout(
        template=style.TEMPLATE,
        height=max(170, _ROW_PX * sum(counts) + 24 * len(kinds) + 90 + min(longest, 24) * 6),
        coloraxis={
            "cmin": 0,
            "cmax": 1,
            "colorscale": [list(stop) for stop in style.SCALE_LIGHT],
            "colorbar": {
                "orientation": "h",
                "y": 1,
                "yanchor": "bottom",
                "x": 0,
                "xanchor": "left",
                "len": 0.5,
                "thickness": 10,
                "outlinewidth": 0,
                "tickvals": [0, 0.5, 1],
                "ticktext": ["chance", "half way", "perfect"],
                "tickfont": {"color": style.MUTED, "size": 11},
                "ypad": 8,
            },
        },
        margin={"t": 54},
    )
    return figure


def _heat(
    rows: pd.DataFrame,
    control: bool,
    names: list[str],
    layers: list[str],
    chosen: dict[str, str],
    *,
    annotate: bool,
) -> go.Heatmap:
    def grid(column: str, of_control: bool) -> list[list[float | None]]:
        of_one = rows[rows["control"] == of_control]
        keys = zip(of_one["attribute"], of_one["layer"], strict=True)
        known = dict(zip(keys, of_one[column], strict=True))
        cells = [[known.get((name, layer)) for layer in layers] for name in names]
        return [[None if v is None or pd.isna(v) else float(v) for v in line] for line in cells]

    values, lower, upper = (grid(column, control) for column in ("value", "lower", "upper"))
    chance, other = grid("chance", control), grid("value", not control)
    hover = [
        [
            _cell_text(name, layer, control, (v[j], lo[j], up[j], ch[j], ot[j]))
            for j, layer in enumerate(layers)
        ]
        for name, v, lo, up, ch, ot in zip(names, values, lower, upper, chance, other, strict=True)
    ]
    return go.Heatmap(
        x=[style.plain(layer) for layer in layers],
        y=[style.plain(name) for name in names],
        z=grid("skill", control),
        text=[
            [_written(v, best=chosen.get(name) == layer) for layer, v in zip(layers, line, strict=True)]
            for name, line in zip(names, values, strict=True)
        ],
        texttemplate="%{text}" if annotate else None,
        textfont={"size": 11} if annotate else None,
        customdata=values,
        hovertext=hover,
        hoverinfo="text",
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        meta={
            "role": "heat",
            "control": control,
            "orders": {
                order: [style.plain(name) for name in attribute_order(rows, order)]
                for order in ("best", "gained", "name")
            },
        },
    )


def _written(value: float | None, *, best: bool) -> str:
    if value is None:
        return ""
    text = f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
    return f"<b>{text}</b> •" if best else text


def _cell_text(name: str, layer: str, control: bool, numbers: tuple[float | None, ...]) -> str:
    value, lower, upper, chance, other = numbers
    title = f"<b>{style.plain(name)}</b> at {style.plain(layer)}"
    if value is None:
        return f"{title}<br>not measured"
    interval = "" if lower is None or upper is None else f" ({lower:.3f} to {upper:.3f})"
    compared = "" if other is None else f"<br>{'trained' if control else 'random weights'}: {other:.3f}"
    at_chance = "" if chance is None else f"<br>chance: {chance:.2f}"
    return f"{title}<br>{value:.3f}{interval}{compared}{at_chance}"


def _rings(best: pd.DataFrame, names: list[str], layers: list[str]) -> go.Scatter:
    ringed = best[best["attribute"].isin(names) & best["layer"].isin(layers)]
    return go.Scatter(
        x=[style.plain(layer) for layer in ringed["layer"]],
        y=[style.plain(name) for name in ringed["attribute"]],
        mode="markers",
        marker={
            "symbol": "circle",
            "size": 7,
            "color": "#ffffff",
            "line": {"color": "#d55e00", "width": 2},
        },
        hoverinfo="skip",
        showlegend=False,
        meta={"role": "best"},
    )
