"""Tables of methods: a row a method, a column a measure or part, each value with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from fusiform.plotting._attribution_study_rows import method_name, ordered
from fusiform.report._format import interval, missing, number, percent
from fusiform.report._parts import Cell, Table, table


def wide_table(
    rows: pd.DataFrame,
    column: str,
    caption: str,
    *,
    order: Sequence[str],
    heads: Mapping[str, str] | None = None,
    share: bool = False,
    folded: str = "The numbers behind this figure",
) -> Table:
    """Give values of methods as a table.

    Parameters
    ----------
    rows : DataFrame
        ``method, baseline_map, value, lower, upper`` and `column`.
    column : str
        What its columns are of.
    caption : str
        Its caption.
    order : sequence of str
        Methods in order.
    heads : mapping of str to str, optional
        Columns in order, and what stands above each; by default those of the rows.
    share : bool, default False
        Values are shares from 0 to 1.
    folded : str
        What is pressed to see it.

    Returns
    -------
    Table
        Cells without a value hold a dash.
    """
    names = heads or {str(c): str(c).replace("_", " ") for c in dict.fromkeys(rows[column])}
    known = {(str(r["method"]), str(r[column])): r for r in rows.to_dict("records")}
    base = set(rows.loc[rows["baseline_map"], "method"])
    lines = [
        [named(m, baseline_map=m in base), *(_cell(known.get((m, c)), share=share) for c in names)]
        for m in ordered(rows, order)
    ]
    return table(caption, ["Method", *names.values()], lines, folded=folded)


def named(method: str, *, baseline_map: bool) -> Cell:
    """Name a method in a table; baseline maps are in italics, as in figures."""
    name = method_name(method)
    return Cell(Markup("<i>{}</i>").format(name) if baseline_map else name)


def _cell(row: Mapping[Any, Any] | None, *, share: bool) -> tuple[Any, Any]:
    if row is None or missing(row["value"]):
        return None, "\N{EN DASH}"
    value, lower, upper = row["value"], row["lower"], row["upper"]
    digits = 0 if share or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = percent(value) if share else number(value, digits)
    if missing(lower) or missing(upper):
        return value, text
    ends = interval(100 * lower, 100 * upper, 0) if share else interval(lower, upper, digits)
    return value, Markup("{}<small>{}</small>").format(text, ends)
