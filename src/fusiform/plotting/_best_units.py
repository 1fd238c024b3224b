import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._traces import LEGEND_ON_TOP, bars, name_axis, shown
from fusiform.plotting.tables import check_columns, of_setup

_KINDS = ("layer", "channel", "neuron")
_COLUMNS = (
    "attribute",
    "kind",
    "unit_kind",
    "layer",
    "unit",
    "metric",
    "value",
    "lower",
    "upper",
    "baseline",
)
_ROW_PX = 22
_KIND_OF_SOURCE = {"published": style.CHANCE, "measured": style.TRAINED}


def best_units(best: pd.DataFrame, *, setup: str | None = None) -> go.Figure:
    """Draw the best layer, channel and neuron of every attribute beside the supervised baseline.

    As table 5.2 of Diniz' thesis: units were chosen on validation images and are scored on test images. Attributes
    are in the order of how near the best layer is to the baseline, or of its value where there is no baseline.

    Parameters
    ----------
    best : DataFrame
        The table of best units of a study of layers.
    setup : str, optional
        Which setup; needed where the table holds several. Several initialisations are averaged.

    Returns
    -------
    plotly.graph_objects.Figure
        The traces ``entire layer``, ``best single channel``, ``best single neuron``, and where they are known
        ``multitask baseline`` and ``always the larger class``; ``meta["unit_kind"]`` says which.

    Raises
    ------
    DataError
        If columns are missing, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"setup": "n", "network": "n", "attribute": "Male", "kind": "binary", "layer": "fc", "unit": "all",
    ...        "metric": "accuracy", "lower": 0.9, "upper": 0.99, "baseline": 0.98}
    >>> best = pd.DataFrame([row | {"unit_kind": "layer", "value": 0.97}, row | {"unit_kind": "neuron", "value": 0.8}])
    >>> [trace.meta["unit_kind"] for trace in best_units(best).data]
    ['baseline', 'neuron', 'layer']
    """
    check_columns(best, _COLUMNS, what="best")
    rows = mean_best(of_setup(best, setup, what="best"))
    rows = rows[rows["unit_kind"].isin(_KINDS)]
    if not len(rows):
        raise DataError("The table 'best' holds no layers, channels or neurons to draw.")
    names = best_order(rows)
    figure = go.Figure()
    for column, title, symbol in (
        ("majority", "always the larger class", "line-ns"),
        ("baseline", "multitask baseline", "diamond-open"),
    ):
        known = rows.drop_duplicates("attribute").dropna(subset=[column])
        if len(known):
            colour = style.CHANCE if column == "majority" else style.COLOURS[5]
            figure.add_scatter(
                x=known[column].tolist(),
                y=shown(known["attribute"]),
                mode="markers",
                name=title,
                marker={
                    "symbol": symbol,
                    "size": 11,
                    "color": colour,
                    "line": {"color": colour, "width": 1.6},
                },
                hovertemplate=f"{title}: %{{x:.3f}}<extra>%{{y}}</extra>",
                meta={"unit_kind": column},
            )
    for kind in reversed(_KINDS):
        part = rows[rows["unit_kind"] == kind]
        if not len(part):
            continue
        colour = style.UNIT_COLOURS[kind]
        figure.add_scatter(
            x=part["value"].tolist(),
            y=shown(part["attribute"]),
            mode="markers",
            name=style.UNIT_NAMES[kind],
            marker={"symbol": style.UNIT_SYMBOLS[kind], "size": 8, "color": colour},
            error_x=bars(part["value"], part["lower"], part["upper"], color=colour, width=0),
            customdata=[
                style.plain(layer if unit == "all" else f"{layer}, {unit}")
                for layer, unit in zip(part["layer"], part["unit"], strict=True)
            ],
            hovertemplate="%{customdata}: %{x:.3f}<extra>%{y}</extra>",
            meta={"unit_kind": kind},
        )
    metrics = list(dict.fromkeys(rows["metric"]))
    figure.update_layout(
        template=style.TEMPLATE,
        height=_ROW_PX * len(names) + 130,
        xaxis={
            "title": {"text": " or ".join("R²" if m == "r2" else str(m) for m in metrics) + ", test images"}
        },
        yaxis=name_axis(names),
        legend=LEGEND_ON_TOP,
        margin={"t": 70},
    )
    return figure


def mean_best(rows: pd.DataFrame) -> pd.DataFrame:
    """Average the best units of a setup over its initialisations.

    With several, ``lower`` and ``upper`` are the lowest and highest value, and ``layer`` and ``unit`` are those of
    the first.

    Examples
    --------
    >>> row = {"setup": "n", "attribute": "Male", "unit_kind": "layer", "lower": 0.7, "upper": 0.9, "baseline": 1.0}
    >>> mean_best(pd.DataFrame([row | {"network": "a", "value": 0.75}, row | {"network": "b", "value": 0.25}]))[
    ...     ["value", "lower", "upper", "relative"]]
       value  lower  upper  relative
    0    0.5   0.25   0.75       0.5
    """
    if "majority" not in rows.columns:
        rows = rows.assign(majority=np.nan)
    groups = rows.groupby(["setup", "attribute", "unit_kind"], sort=False)
    first = groups.first(skipna=False).reset_index()
    spread = groups["value"].agg(["mean", "min", "max"]).reset_index()
    several = groups["network"].nunique().to_numpy() > 1
    first["value"] = spread["mean"]
    first["lower"] = np.where(several, spread["min"], first["lower"].astype(float))
    first["upper"] = np.where(several, spread["max"], first["upper"].astype(float))
    first["relative"] = first["value"] / first["baseline"].where(first["baseline"] > 0)
    return first


def best_order(rows: pd.DataFrame) -> list[str]:
    """List attributes by how near the best layer is to the baseline, or by its value without one.

    Examples
    --------
    >>> best_order(pd.DataFrame({"unit_kind": "layer", "attribute": ["a", "b"], "value": [0.9, 0.8],
    ...                          "relative": [0.9, 0.99]}))
    ['b', 'a']
    """
    kinds = [kind for kind in _KINDS if (rows["unit_kind"] == kind).any()]
    layer = rows[rows["unit_kind"] == kinds[0]]
    column = "relative" if layer["relative"].notna().any() else "value"
    ordered = layer.sort_values(column, ascending=False, kind="stable", na_position="last")["attribute"]
    return list(dict.fromkeys([*ordered, *rows["attribute"]]))


def average_accuracies(averages: pd.DataFrame) -> go.Figure:
    """Draw the mean accuracy over attributes of every method, published ones paler.

    As table 5.3 of Diniz' thesis.

    Parameters
    ----------
    averages : DataFrame
        Columns ``method``, ``value`` (accuracy from 0 to 1) and ``source`` (``"measured"`` or ``"published"``).

    Returns
    -------
    plotly.graph_objects.Figure
        A bar a method, in the order of the table.

    Raises
    ------
    DataError
        If columns are missing, or there are no rows.

    Examples
    --------
    >>> table = pd.DataFrame({"method": ["MOON", "demo (layer)"], "value": [0.909, 0.83],
    ...                       "source": ["published", "measured"]})
    >>> average_accuracies(table).data[0].x
    (0.909,)
    """
    check_columns(averages, ("method", "value", "source"), what="averages")
    if not len(averages):
        raise DataError("The table 'averages' holds no rows to draw.")
    figure = go.Figure()
    for source in dict.fromkeys(averages["source"]):
        part = averages[averages["source"] == source]
        colour = _KIND_OF_SOURCE.get(str(source), style.CHANCE)
        figure.add_bar(
            x=part["value"].tolist(),
            y=shown(part["method"]),
            orientation="h",
            name=style.plain(source),
            marker={"color": style.translucent(colour, 0.75)},
            text=[f"{value:.3f}" for value in part["value"]],
            textposition="outside",
            cliponaxis=False,
            textfont={"color": style.MUTED},
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    low = float(averages["value"].min())
    figure.update_layout(
        template=style.TEMPLATE,
        height=26 * len(averages) + 110,
        xaxis={"title": {"text": "mean accuracy over attributes"}, "range": [max(0.0, low - 0.1), 1.0]},
        yaxis=name_axis(averages["method"].tolist()),
        legend=LEGEND_ON_TOP,
        margin={"t": 44, "r": 40},
    )
    return figure
