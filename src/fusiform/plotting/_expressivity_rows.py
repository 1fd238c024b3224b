"""What the figures of a study of expressivity select from its tables."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from fusiform.errors import DataError, nearest
from fusiform.plotting import style
from fusiform.plotting._traces import bars, in_hover, name_axis, shown
from fusiform.plotting.tables import CONTROL_ENDING, check_columns

NATS = "mutual information (nats)"
HELD_OUT, TRAIN = "held out", "train"
ROW_PX = 24
MOST_PANELS = 12
_NUMBERS = ("value", "lower", "upper")


def selected(
    table: pd.DataFrame,
    columns: Iterable[str],
    *,
    what: str,
    network: str | None = None,
    layer: str | None = None,
    estimator: str | None = None,
    attributes: Sequence[str] | None = None,
    control: bool = False,
) -> pd.DataFrame:
    """Select rows of one network, one layer and one estimator, with the column ``series`` that names each line.

    Of networks and layers one must be named where there are several, unless the table has no such column in
    `columns`; of estimators the first is the main one. `control` keeps the network's random-weights control.
    """
    check_columns(table, columns, what=what)
    rows = table
    if "network" in columns:
        names = list(dict.fromkeys(str(n) for n in rows["network"]))
        name = chosen([n for n in names if not n.endswith(CONTROL_ENDING)] or names, network, "network", what)
        rows = rows[rows["network"].isin([name, name + CONTROL_ENDING] if control else [name])]
    if layer is not None:
        layer = chosen(list(dict.fromkeys(rows["layer"])), layer, "layer", what)
        rows = rows[rows["layer"] == layer]
    if "estimator" in columns:
        rows = rows[rows["estimator"] == main_estimator(rows, estimator, what)]
    # Names and colours are those of all attributes, whichever are drawn.
    rows = with_series(rows)
    if attributes is not None:
        known = list(dict.fromkeys(rows["attribute"]))
        for asked in attributes:
            if asked not in known:
                raise DataError(f"The table '{what}' has no attribute '{asked}': {nearest(asked, known)}")
        rows = rows[rows["attribute"].isin(list(attributes))]
    rows = rows.assign(**{c: pd.to_numeric(rows[c]).astype(float) for c in _NUMBERS if c in rows.columns})
    if not len(rows):
        raise DataError(f"The table '{what}' holds no rows to draw.")
    return rows.reset_index(drop=True)


def chosen(names: Sequence[Any], asked: str | None, column: str, what: str) -> str:
    """Give the name asked for, or the only one that there is."""
    if not names:
        raise DataError(f"The table '{what}' holds no rows to draw.")
    if asked is None and len(names) > 1:
        raise DataError(f"The table '{what}' holds several {column}s, {names}; say which by {column}=.")
    if asked is not None and asked not in names:
        raise DataError(f"The table '{what}' has no {column} '{asked}': {nearest(asked, names)}")
    return str(names[0] if asked is None else asked)


def main_estimator(rows: pd.DataFrame, asked: str | None, what: str) -> str:
    """Give the estimator asked for, by default the first of the table."""
    names = list(dict.fromkeys(rows["estimator"]))
    return chosen(names if asked is not None else names[:1], asked, "estimator", what)


def with_series(rows: pd.DataFrame) -> pd.DataFrame:
    """Name every line: the attribute, with its encoding where it has several, and a slot for its colour."""
    several = rows.groupby("attribute")["encoding"].transform("nunique") > 1
    name = rows["attribute"].astype(str)
    series = name.where(~several, name + " (" + rows["encoding"].astype(str) + ")")
    slots = {each: slot for slot, each in enumerate(dict.fromkeys(series))}
    return rows.assign(series=series, slot=series.map(slots))


def look(slot: int) -> tuple[str, str]:
    """Give the colour and the symbol of a line."""
    return style.COLOURS[slot % len(style.COLOURS)], style.SYMBOLS[slot % len(style.SYMBOLS)]


def of_estimator(table: pd.DataFrame, asked: str | None) -> pd.DataFrame:
    """Select the rows of an estimator, by default the first, of a table that may say by which its values are."""
    if "estimator" not in table.columns or not len(table):
        return table
    there = list(dict.fromkeys(table["estimator"]))
    return table[table["estimator"] == (asked if asked in there else there[0])]


def grid(n: int) -> tuple[int, int]:
    """Give rows and columns for so many panels, at most four in a row and the rows about as full as each other."""
    rows = math.ceil(n / 4)
    return rows, math.ceil(n / rows)


def by_value(rows: pd.DataFrame, column: str = "value") -> pd.DataFrame:
    """Sort rows, the highest first and what is missing last."""
    return rows.sort_values(column, ascending=False, kind="stable", na_position="last").reset_index(drop=True)


def dots(
    rows: pd.DataFrame,
    columns: tuple[str, str, str],
    *,
    what: str,
    colour: str = style.TRAINED,
    meta: dict[str, Any] | None = None,
    **more: Any,
) -> go.Scatter:
    """Draw a value with its interval for every series of `rows`."""
    value, lower, upper = columns
    return go.Scatter(
        x=rows[value].tolist(),
        y=shown(rows["series"]),
        mode="markers",
        marker={"size": 9, "color": colour},
        error_x=bars(rows[value], rows[lower], rows[upper], color=colour, width=3),
        customdata=rows[[lower, upper]].to_numpy().tolist(),
        hovertemplate=f"{in_hover(what)}: %{{x:.3f}} (%{{customdata[0]:.3f}} to %{{customdata[1]:.3f}})"
        "<extra>%{y}</extra>",
        meta=meta or {},
        **more,
    )


def dot_layout(names: Sequence[str], title: str) -> dict[str, Any]:
    """Give the layout of a figure of dots, a row a name."""
    return {
        "template": style.TEMPLATE,
        "height": ROW_PX * len(names) + 110,
        "xaxis": {"title": {"text": title}, "rangemode": "tozero"} | ZERO,
        "yaxis": name_axis(names),
        "margin": {"t": 44},
    }


ZERO = {"zeroline": True, "zerolinecolor": style.CHANCE, "zerolinewidth": 1}
