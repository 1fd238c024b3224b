import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._traces import (
    LEGEND_ON_TOP,
    band,
    bars,
    chance_line,
    in_hover,
    interval_hover,
    layer_axis,
    name_axis,
    room_below,
    shown,
)
from fusiform.plotting.tables import R2_DIFFERENCE_AXIS, check_columns, layer_order, of_setup

_UNITS = ("layer", "channels", "neurons")
_SELECTIONS = {"top": style.COLOURS[1], "random": style.COLOURS[0], "lowest": style.COLOURS[2]}
_SELECTION_NAMES = {"top": "highest VIP", "random": "as many at random", "lowest": "lowest VIP"}
_ROW_PX = 21


def ablation_drops(ablation: pd.DataFrame, *, setup: str | None = None) -> go.Figure:
    """Draw how much later layers lose when a share of a layer's neurons is set to zero.

    As table 5.4 of Diniz' thesis, beside as many random neurons and those of the lowest VIP. A mark is the mean over
    attributes and later layers, its bar the standard deviation over attributes.

    Parameters
    ----------
    ablation : DataFrame
        ``setup, masked_layer, masked_depth, selection, share, attribute, unit_kind, drop``.
    setup : str, optional
        Which setup; needed where the table holds several.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel for each unit kind; ``meta`` holds ``unit_kind``, ``selection`` and ``masked_layer``.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"setup": "n", "masked_layer": "a", "masked_depth": 1, "selection": "top", "share": 0.1,
    ...        "unit_kind": "layer"}
    >>> table = pd.DataFrame([row | {"attribute": "x", "drop": 0.25}, row | {"attribute": "y", "drop": 0.75}])
    >>> ablation_drops(table).data[0].y
    (0.5,)
    """
    rows = mean_drops(ablation, setup)
    units = [unit for unit in _UNITS if (rows["unit_kind"] == unit).any()]
    if not units:
        raise DataError("The table 'ablation' holds no layers, channels or neurons to draw.")
    shares = sorted(rows["share"].unique())
    figure = make_subplots(
        rows=1,
        cols=len(units),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=style.titles(style.UNIT_NAMES[unit] for unit in units),
    )
    masked = rows.drop_duplicates("masked_layer").sort_values("masked_depth")["masked_layer"].tolist()
    selections = [s for s in _SELECTIONS if (rows["selection"] == s).any()]
    series = [(s, layer) for s in selections for layer in masked]
    for column, unit in enumerate(units, start=1):
        for place, (selection, layer) in enumerate(series):
            part = rows[
                (rows["unit_kind"] == unit)
                & (rows["selection"] == selection)
                & (rows["masked_layer"] == layer)
            ].sort_values("share")
            if not len(part):
                continue
            colour = _SELECTIONS[selection]
            # Beside each other, so that bars do not hide one another.
            offset = (place - (len(series) - 1) / 2) * 0.7 / len(series)
            figure.add_scatter(
                x=[shares.index(share) + offset for share in part["share"]],
                y=part["drop"].tolist(),
                mode="markers",
                marker={"size": 8, "color": colour, "symbol": style.SYMBOLS[masked.index(layer) % 8]},
                error_y={"type": "data", "array": part["sd"].tolist(), "width": 0, "thickness": 1.2},
                name=style.plain(f"{_SELECTION_NAMES[selection]}, {layer}"),
                legendgroup=style.plain(f"{selection} {layer}"),
                showlegend=column == 1,
                customdata=[
                    [f"{100 * share:g}%", int(n)] for share, n in zip(part["share"], part["n"], strict=True)
                ],
                hovertemplate=(
                    f"{in_hover(_SELECTION_NAMES[selection], layer)}<br>%{{customdata[0]}} of neurons: "
                    "%{y:.3f} (mean of %{customdata[1]})<extra></extra>"
                ),
                meta={"unit_kind": unit, "selection": selection, "masked_layer": str(layer)},
                row=1,
                col=column,
            )
        figure.update_xaxes(
            tickvals=list(range(len(shares))),
            ticktext=[f"{100 * share:g}%" for share in shares],
            range=[-0.5, len(shares) - 0.5],
            row=1,
            col=column,
        )
    figure.update_yaxes(R2_DIFFERENCE_AXIS | {"zeroline": True, "zerolinecolor": style.CHANCE})
    figure.update_yaxes(title_text="drop", row=1, col=1)
    figure.update_layout(
        template=style.TEMPLATE,
        height=400 + 20 * -(-len(series) // 3),
        legend={"orientation": "h", "x": 0, "y": -0.12, "yanchor": "top"},
        margin={"t": 40},
    )
    return figure


def mean_drops(ablation: pd.DataFrame, setup: str | None = None) -> pd.DataFrame:
    """Average drops over attributes, later layers and initialisations: table 5.4 of Diniz' thesis.

    Returns
    -------
    DataFrame
        A row a (masked layer, selection, share, unit kind): ``drop``, ``sd`` over attributes, ``n`` attributes.

    Examples
    --------
    >>> row = {"setup": "n", "masked_layer": "a", "masked_depth": 1, "selection": "top", "share": 0.1,
    ...        "unit_kind": "layer"}
    >>> table = pd.DataFrame([row | {"attribute": "x", "drop": 0.25}, row | {"attribute": "y", "drop": 0.75}])
    >>> mean_drops(table)[["drop", "n"]]
       drop  n
    0   0.5  2
    """
    keys = ["masked_layer", "masked_depth", "selection", "share", "unit_kind"]
    check_columns(ablation, [*keys, "attribute", "drop"], what="ablation")
    rows = of_setup(ablation, setup, what="ablation")
    by_attribute = rows.groupby([*keys, "attribute"], sort=False)["drop"].mean().dropna()
    means = by_attribute.groupby(keys, sort=False).agg(["mean", "std", "count"]).reset_index()
    return means.rename(columns={"mean": "drop", "std": "sd", "count": "n"})


def consistency_over_depth(consistency: pd.DataFrame, *, setup: str | None = None) -> go.Figure:
    """Draw how well the attributes read at a layer tell manipulated inputs from genuine ones.

    Parameters
    ----------
    consistency : DataFrame
        ``network, setup, attack, layer, depth, auc, lower, upper``; the layer ``"all"`` combines all.
    setup : str, optional
        Which setup; needed where the table holds several. Of several networks the first is shown.

    Returns
    -------
    plotly.graph_objects.Figure
        A line an attack with its interval; the combined score is the last mark. ``meta`` holds ``attack`` and
        ``role`` (``"line"``, ``"band"``, ``"all"`` or ``"chance"``).

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "setup": "n", "attack": "pgd", "auc": 0.75, "lower": 0.7, "upper": 0.8}
    >>> table = pd.DataFrame([row | {"layer": "fc", "depth": 2}, row | {"layer": "all", "depth": -1, "auc": 0.875}])
    >>> [(t.meta["role"], t.y) for t in consistency_over_depth(table).data][-1]
    ('all', (0.875,))
    """
    columns = ("network", "attack", "layer", "depth", "auc", "lower", "upper")
    check_columns(consistency, columns, what="consistency")
    rows = of_setup(consistency, setup, what="consistency")
    rows = rows[rows["network"] == rows["network"].iloc[0]]
    layers = layer_order(rows[rows["layer"] != "all"])
    combined = "all layers" if (rows["layer"] == "all").any() else None
    axis = [*layers, *([combined] if combined else [])]
    # Attacks first, and beside them what no attack gives.
    attacks = sorted(rows["attack"].unique(), key=lambda attack: str(attack) == "none")
    figure = go.Figure(chance_line(shown(axis), 0.5, meta={"attack": "", "role": "chance"}))
    for slot, attack in enumerate(attacks):
        part = rows[rows["attack"] == attack]
        colour = style.COLOURS[(1, 0, 2, 3)[slot % 4]]
        what = "unaltered impostors" if attack == "none" else f"manipulated ({attack})"
        group = {"legendgroup": style.plain(what), "name": style.plain(what)}
        look = {"size": 7, "symbol": style.SYMBOLS[slot % len(style.SYMBOLS)]}
        own = part[part["layer"] != "all"].sort_values("depth", kind="stable")
        if len(own) > 1 and own[["lower", "upper"]].notna().all(axis=None):
            fill = style.translucent(colour, 0.13)
            x, meta = shown(own["layer"]), {"attack": str(attack), "role": "band"}
            figure.add_trace(band(x, own["lower"], own["upper"], fill, showlegend=False, meta=meta, **group))
        for role, chosen in (("line", own), ("all", part[part["layer"] == "all"])):
            if not len(chosen):
                continue
            figure.add_scatter(
                x=shown(chosen["layer"]) if role == "line" else [combined] * len(chosen),
                y=chosen["auc"].tolist(),
                mode="lines+markers" if role == "line" else "markers",
                line={"color": colour, "width": 2.2},
                marker=look | {"color": colour, "size": 7 if role == "line" else 10},
                error_y=None if role == "line" else bars(chosen["auc"], chosen["lower"], chosen["upper"]),
                customdata=chosen[["lower", "upper"]].to_numpy().tolist(),
                hovertemplate=interval_hover(what),
                showlegend=role == "line" or not len(own),
                meta={"attack": str(attack), "role": role},
                **group,
            )
    figure.update_layout(
        template=style.TEMPLATE,
        height=320 + room_below(axis),
        xaxis=layer_axis(axis),
        yaxis={"title": {"text": "area under the ROC curve"}},
        legend=LEGEND_ON_TOP,
        margin={"t": 44},
    )
    return figure


def gained_depths(gained: pd.DataFrame, *, setup: str | None = None) -> go.Figure:
    """Draw the depth at which every attribute is gained, the earliest on top, and where it is best.

    Parameters
    ----------
    gained : DataFrame
        ``setup, attribute, layer, relative_depth, best_layer, best_depth, depth, rank``.
    setup : str, optional
        Which setup; needed where the table holds several. Several initialisations are averaged.

    Returns
    -------
    plotly.graph_objects.Figure
        The trace ``gained``; attributes never above chance, whose depth is missing, are left out.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> table = pd.DataFrame({"setup": "n", "attribute": ["a", "b"], "layer": ["y", "x"],
    ...                       "relative_depth": [0.75, 0.25]})
    >>> gained_depths(table).data[0].y
    ('b', 'a')
    """
    return _depths(gained, "gained", "gained", style.COLOURS[0], setup)


def branching_depths(branching: pd.DataFrame, *, setup: str | None = None) -> go.Figure:
    """Draw the best depth to branch every attribute off, the earliest on top.

    Parameters
    ----------
    branching : DataFrame
        ``setup, attribute, layer, relative_depth`` and, where known, ``gain``.
    setup : str, optional
        Which setup; needed where the table holds several. Several initialisations are averaged.

    Returns
    -------
    plotly.graph_objects.Figure
        The trace ``branch off here``; the size of a dot grows with what the last layer would lose.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> table = pd.DataFrame({"setup": "n", "attribute": ["a"], "layer": ["y"], "relative_depth": [0.75],
    ...                       "gain": [0.1]})
    >>> branching_depths(table).data[0].x
    (0.75,)
    """
    return _depths(branching, "branching", "branch off here", style.COLOURS[2], setup)


def _depths(table: pd.DataFrame, what: str, title: str, colour: str, setup: str | None) -> go.Figure:
    check_columns(table, ("attribute", "layer", "relative_depth"), what=what)
    rows = of_setup(table, setup, what=what).dropna(subset=["relative_depth"])
    if not len(rows):
        raise DataError(f"The table '{what}' holds no depths to draw.")
    if "gain" not in rows.columns:
        rows = rows.assign(gain=np.nan)
    groups = rows.groupby("attribute", sort=False)
    mean = groups.agg(
        relative_depth=("relative_depth", "mean"),
        low=("relative_depth", "min"),
        high=("relative_depth", "max"),
        gain=("gain", "mean"),
        layer=("layer", lambda layers: ", ".join(dict.fromkeys(map(str, layers)))),
    )
    mean = mean.sort_values("relative_depth", kind="stable").reset_index()
    gain = mean["gain"].clip(lower=0)
    size = 8 + 14 * (gain / gain.max() if gain.max() > 0 else gain).fillna(0)
    lost = [f"<br>the last layer loses {g:.3f}" if g > 0 else "" for g in mean["gain"].fillna(0)]
    spread = bars(mean["relative_depth"], mean["low"], mean["high"], width=0)
    figure = go.Figure(
        go.Scatter(
            x=mean["relative_depth"].tolist(),
            y=shown(mean["attribute"]),
            mode="markers",
            name=title,
            marker={"size": size.tolist(), "color": colour, "opacity": 0.85},
            error_x=spread if (mean["high"] > mean["low"]).any() else None,
            customdata=[[layer, text] for layer, text in zip(shown(mean["layer"]), lost, strict=True)],
            hovertemplate="%{y}: %{customdata[0]}%{customdata[1]}<extra></extra>",
        )
    )
    figure.update_layout(
        template=style.TEMPLATE,
        height=_ROW_PX * len(mean) + 80,
        xaxis={"title": {"text": "depth (0 first layer, 1 last)"}, "range": [-0.04, 1.04]},
        yaxis=name_axis(mean["attribute"].tolist()),
        margin={"t": 16},
    )
    return figure
