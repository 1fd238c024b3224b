from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from fusiform.errors import DataError, nearest
from fusiform.plotting import style
from fusiform.plotting._traces import (
    LEGEND_ON_TOP,
    interval_hover,
    layer_axis,
    name_axis,
    room_below,
    shown,
)
from fusiform.plotting.tables import (
    METRIC_TITLES,
    R2_AXIS,
    R2_DIFFERENCE_AXIS,
    check_columns,
    curves,
    layer_order,
    of_setup,
)

_PARTS = {
    "sum": ("after the skip connection", "square", style.COLOURS[0]),
    "branch": ("residual branch, before the sum", "triangle-down", style.COLOURS[1]),
    "other": ("other layers", "circle", style.CHANCE),
}
_ROW_PX = 20


def sawtooth_over_depth(
    probes: pd.DataFrame,
    sawtooth: pd.DataFrame,
    *,
    setup: str | None = None,
    attributes: Sequence[str] | None = None,
    split: str = "valid",
) -> go.Figure:
    """Draw one attribute over all layers, the ends of residual branches and the sums after them marked.

    As figure 5.8 of Diniz' thesis; shaded strips are the residual blocks.

    Parameters
    ----------
    probes : DataFrame
        The table of probes of a study of layers.
    sawtooth : DataFrame
        The table of dips: ``block``, ``attribute``, ``branch_layer``, ``sum_layer``, ``dip``.
    setup : str, optional
        Which setup; needed where the table holds several. Several initialisations are averaged.
    attributes : sequence of str, optional
        Which attributes, the first of them visible; by default all, the one with the largest mean dip first.
    split : str, default "valid"
        Which images the values were measured on.

    Returns
    -------
    plotly.graph_objects.Figure
        A line an attribute, whose ``meta`` holds ``attribute`` and ``parts``, the part of every layer
        (``"sum"``, ``"branch"`` or ``"other"``).

    Raises
    ------
    DataError
        If columns are missing, or an attribute was not measured.

    Examples
    --------
    >>> row = {"network": "n", "setup": "n", "control": False, "attribute": "Male", "kind": "binary",
    ...        "unit_kind": "layer", "split": "valid", "metric": "balanced_accuracy", "lower": 0.8, "upper": 0.95,
    ...        "chance": 0.5}
    >>> probes = pd.DataFrame([row | {"layer": "b.conv", "depth": 0, "value": 0.8},
    ...                        row | {"layer": "b.add", "depth": 1, "value": 0.9}])
    >>> dips = pd.DataFrame([{"setup": "n", "block": "b", "attribute": "Male", "branch_layer": "b.conv",
    ...                       "sum_layer": "b.add", "dip": 0.1}])
    >>> sawtooth_over_depth(probes, dips).data[0].meta["parts"]
    ['branch', 'sum']
    """
    dips = _of_setup(sawtooth, setup, ("block", "branch_layer", "sum_layer"))
    rows = of_setup(curves(probes, split=split, setup=setup), setup, what="probes")
    probed = set(rows["attribute"])
    names = [name for name in mean_dips(sawtooth, setup)["attribute"] if name in probed]
    if not names:
        raise DataError("The tables 'sawtooth' and 'probes' have no attribute in common.")
    if attributes is not None:
        for name in attributes:
            if name not in names:
                raise DataError(f"No dip was measured for '{name}': {nearest(name, names)}")
        names = list(dict.fromkeys(attributes))
    layers = layer_order(rows)
    parts = dict.fromkeys(dips["branch_layer"], "branch") | dict.fromkeys(dips["sum_layer"], "sum")
    figure = go.Figure()
    for name in names:
        figure.add_trace(_line(rows[rows["attribute"] == name], name, parts, visible=name == names[0]))
    for title, symbol, colour in _PARTS.values():
        look = {"symbol": symbol, "color": colour, "size": 9}
        figure.add_scatter(
            x=[None], y=[None], mode="markers", marker=look, name=title, meta={"attribute": "", "role": "key"}
        )
    figure.update_layout(
        template=style.TEMPLATE,
        height=340 + room_below(layers),
        xaxis=layer_axis(layers),
        yaxis=R2_AXIS
        | {"title": {"text": " or ".join(METRIC_TITLES[m] for m in dict.fromkeys(rows["metric"]))}},
        legend=LEGEND_ON_TOP,
        margin={"t": 44},
        shapes=_strips(rows, dips, layers),
        hovermode="closest",
    )
    return figure


def sawtooth_dips(
    sawtooth: pd.DataFrame, *, setup: str | None = None, families: pd.DataFrame | None = None
) -> go.Figure:
    """Draw the mean dip of every attribute over the residual blocks, with the dip of every block.

    Parameters
    ----------
    sawtooth : DataFrame
        The table of dips.
    setup : str, optional
        Which setup; needed where the table holds several.
    families : DataFrame, optional
        Columns ``family`` and ``attribute``; bars are then coloured by the first family of an attribute.

    Returns
    -------
    plotly.graph_objects.Figure
        Bars with the largest dip on top, and a dot a block.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> dips = pd.DataFrame([{"setup": "n", "block": b, "attribute": "Male", "branch_layer": "c", "sum_layer": "s",
    ...                       "dip": d} for b, d in (("b1", 0.25), ("b2", 0.75))])
    >>> sawtooth_dips(dips).data[0].x
    (0.5,)
    """
    rows = _of_setup(sawtooth, setup, ("block",))
    means = mean_dips(sawtooth, setup)
    family_of: dict[str, str] = {}
    if families is not None:
        check_columns(families, ["family", "attribute"], what="families")
        for family, attribute in zip(families["family"], families["attribute"], strict=True):
            family_of.setdefault(str(attribute), str(family))
    means = means.assign(family=[family_of.get(str(name), "") for name in means["attribute"]])
    figure = go.Figure()
    order = [*dict.fromkeys(f for f in family_of.values()), ""]
    for slot, family in enumerate(order):
        part = means[means["family"] == family]
        if not len(part):
            continue
        colour = style.COLOURS[slot % len(style.COLOURS)] if family else style.CHANCE
        figure.add_bar(
            x=part["dip"].tolist(),
            y=shown(part["attribute"]),
            orientation="h",
            marker={"color": style.translucent(colour, 0.6)},
            name=style.plain(family or ("in no family" if family_of else "mean over blocks")),
            hovertemplate="%{y}: %{x:.3f}<extra>mean over blocks</extra>",
            meta={"role": "mean"},
        )
    figure.add_scatter(
        x=rows["dip"].tolist(),
        y=shown(rows["attribute"]),
        mode="markers",
        marker={"size": 5, "color": style.MUTED, "opacity": 0.7},
        customdata=shown(rows["block"]),
        hovertemplate="%{y}, block %{customdata}: %{x:.3f}<extra></extra>",
        name="one block",
        meta={"role": "block"},
    )
    figure.update_layout(
        template=style.TEMPLATE,
        height=_ROW_PX * len(means) + 130,
        xaxis=R2_DIFFERENCE_AXIS
        | {"title": {"text": "dip: sums around minus the branch between"}, "zeroline": True},
        yaxis=name_axis(means["attribute"].tolist()),
        barmode="overlay",
        legend=LEGEND_ON_TOP,
        margin={"t": 54},
    )
    figure.update_xaxes(zerolinecolor=style.CHANCE)
    return figure


def mean_dips(sawtooth: pd.DataFrame, setup: str | None = None) -> pd.DataFrame:
    """Average dips over blocks and initialisations, the largest first.

    Examples
    --------
    >>> dips = pd.DataFrame({"setup": "n", "attribute": ["a", "b", "b"], "dip": [0.1, 0.25, 0.75]})
    >>> mean_dips(dips)["attribute"].tolist()
    ['b', 'a']
    """
    rows = _of_setup(sawtooth, setup, ())
    means = rows.groupby("attribute", sort=False)["dip"].mean().reset_index()
    return means.sort_values("dip", ascending=False, kind="stable").reset_index(drop=True)


def _of_setup(sawtooth: pd.DataFrame, setup: str | None, columns: Sequence[str]) -> pd.DataFrame:
    check_columns(sawtooth, ("attribute", "dip", *columns), what="sawtooth")
    return of_setup(sawtooth, setup, what="sawtooth").dropna(subset=["dip"])


def _line(rows: pd.DataFrame, name: str, parts: dict[str, str], *, visible: bool) -> go.Scatter:
    own = [parts.get(layer, "other") for layer in rows["layer"]]
    return go.Scatter(
        x=shown(rows["layer"]),
        y=rows["value"].tolist(),
        mode="lines+markers",
        line={"color": style.CHANCE, "width": 1.4},
        marker={
            "symbol": [_PARTS[part][1] for part in own],
            "color": [_PARTS[part][2] for part in own],
            "size": [5 if part == "other" else 9 for part in own],
            "opacity": 1,
        },
        customdata=rows[["lower", "upper"]].to_numpy().tolist(),
        hovertemplate=interval_hover(name),
        name=style.plain(name),
        showlegend=False,
        visible=visible,
        meta={"attribute": str(name), "role": "line", "parts": own},
    )


def _strips(rows: pd.DataFrame, dips: pd.DataFrame, layers: Sequence[str]) -> list[dict[str, Any]]:
    """A strip a residual block, from the first of its layers that was probed to its sum."""
    block_of = rows.drop_duplicates("layer").set_index("layer")["block"]
    strips = []
    for block, part in dips.groupby("block", sort=False):
        own = {layer for layer in layers if block_of.get(layer) == block}
        own |= {layer for layer in (*part["branch_layer"], *part["sum_layer"]) if layer in layers}
        places = [layers.index(layer) for layer in own]
        if places:
            strips.append(
                {
                    "type": "rect",
                    "xref": "x",
                    "yref": "paper",
                    "x0": min(places) - 0.45,
                    "x1": max(places) + 0.45,
                    "y0": 0,
                    "y1": 1,
                    "fillcolor": style.translucent(style.CHANCE, 0.11),
                    "line": {"width": 0},
                    "layer": "below",
                }
            )
    return strips
