from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._expressivity_rows import chosen
from fusiform.plotting._traces import LEGEND_ON_TOP, bars, in_hover
from fusiform.plotting.tables import check_columns

_ASIDE = 0.7
SHARE_AXIS = {"range": [-0.02, 1.02], "tickformat": ".0%"}
_PERCENT = "P: men with the cue, of whom women have 100 \N{MINUS SIGN} P (%)"


def of_cue(table: pd.DataFrame, columns: Sequence[str], *, what: str, cue: str | None = None) -> pd.DataFrame:
    """Select the rows of one cue; it must be named where the table holds several."""
    check_columns(table, ["cue", "percent", *columns], what=what)
    name = chosen([str(c) for c in dict.fromkeys(table["cue"])], cue, "cue", what)
    return table[table["cue"] == name].sort_values("percent", kind="stable").reset_index(drop=True)


def planted_counts(
    summary: pd.DataFrame,
    quantities: Sequence[str],
    *,
    control: pd.DataFrame | None = None,
    cue: str | None = None,
    layer: str | None = None,
    title: str = "units",
    share: bool = False,
) -> go.Figure:
    """Draw quantities of a planted bias over its strength, mean and interval over seeds, as figure 6 of the paper.

    Parameters
    ----------
    summary : DataFrame
        ``cue, percent, quantity, layer, value, lower, upper, std, n_seeds``.
    quantities : sequence of str
        Which quantities, a line each, such as ``"eyeglasses units"``; those that the table lacks are left out.
    control : DataFrame, optional
        ``cue, seed, quantity, layer, value`` of networks with random weights, whose means are dotted.
    cue : str, optional
        Which cue; needed where the table holds several.
    layer : str, optional
        Which layer; by default the first of each quantity.
    title : str, default "units"
        Title of the upright axis.
    share : bool, default False
        The values are shares from 0 to 1.

    Returns
    -------
    plotly.graph_objects.Figure
        ``meta`` of a trace holds ``quantity`` and ``role`` (``"line"`` or ``"control"``).

    Raises
    ------
    DataError
        If columns are missing, the cue is not known, or none of the quantities is in the table.

    References
    ----------
    Teotia et al. (2022), section 4, figures 5 and 6.

    Examples
    --------
    >>> row = {"cue": "eyeglasses", "quantity": "Eye region units", "layer": "a", "std": 1.0, "n_seeds": 3}
    >>> table = pd.DataFrame([row | {"percent": 100, "value": 9.0, "lower": 7.0, "upper": 11.0},
    ...                       row | {"percent": 50, "value": 3.0, "lower": 1.0, "upper": 5.0}])
    >>> planted_counts(table, ["Eye region units"]).data[0].y
    (3.0, 9.0)
    """
    rows = of_cue(
        summary, ("quantity", "layer", "value", "lower", "upper", "n_seeds"), what="summary", cue=cue
    )
    if layer is not None:
        rows = rows[rows["layer"] == layer]
    figure = go.Figure()
    there = [q for q in quantities if (rows["quantity"] == q).any()]
    for slot, quantity in enumerate(there):
        own = rows[rows["quantity"] == quantity]
        own = own[own["layer"] == own["layer"].iloc[0]]
        # Side by side, so that intervals do not hide each other.
        aside = _ASIDE * (slot - (len(there) - 1) / 2)
        colour = style.COLOURS[slot % len(style.COLOURS)]
        form = ".1%" if share else ".1f"
        figure.add_trace(
            go.Scatter(
                x=(own["percent"] + aside).tolist(),
                y=own["value"].astype(float).tolist(),
                error_y=bars(own["value"], own["lower"], own["upper"], color=colour, width=4),
                mode="lines+markers",
                line={"color": colour, "width": 2.2},
                marker={"size": 8, "symbol": style.SYMBOLS[slot % len(style.SYMBOLS)]},
                name=style.plain(quantity),
                customdata=own[["lower", "upper", "n_seeds", "percent"]].to_numpy().tolist(),
                hovertemplate=f"<b>{in_hover(quantity)}</b><br>P = %{{customdata[3]}}: %{{y:{form}}} (%{{customdata[0]:{form}}} to "
                f"%{{customdata[1]:{form}}}, %{{customdata[2]}} seeds)<extra></extra>",
                meta={"quantity": str(quantity), "role": "line"},
                legendgroup=style.plain(quantity),
            )
        )
        twin = _control(control, quantity, str(rows["cue"].iloc[0]), str(own["layer"].iloc[0]))
        if twin is not None:
            ends = [own["percent"].min(), own["percent"].max()]
            figure.add_trace(
                go.Scatter(
                    x=ends,
                    y=[twin, twin],
                    mode="lines",
                    line={"color": colour, "width": 1.4, "dash": style.DASHES["control"]},
                    hovertemplate=f"<b>{in_hover(quantity)}</b><br>random weights: %{{y:{form}}}<extra></extra>",
                    showlegend=False,
                    legendgroup=style.plain(quantity),
                    meta={"quantity": str(quantity), "role": "control"},
                )
            )
    if not figure.data:
        raise DataError(
            f"The table 'summary' holds none of the quantities {list(quantities)}; it has "
            f"{list(dict.fromkeys(rows['quantity']))}."
        )
    look(figure, rows["percent"], title)
    figure.update_yaxes(autorangeoptions=room(max(max(t.y) for t in figure.data)))
    if share:
        figure.update_yaxes(SHARE_AXIS)
    return figure


def _control(control: pd.DataFrame | None, quantity: str, cue: str, layer: str) -> float | None:
    if control is None:
        return None
    check_columns(control, ["cue", "quantity", "layer", "value"], what="control")
    own = control[
        (control["cue"] == cue) & (control["quantity"] == quantity) & (control["layer"].astype(str) == layer)
    ]
    return None if own["value"].isna().all() else float(own["value"].mean())


def room(highest: float) -> dict[str, float]:
    """Give an axis of counts room above the highest; t intervals of two or three seeds may go far beyond."""
    return {"clipmin": 0.0, "clipmax": 1.6 * highest} if highest > 0 else {"clipmin": 0.0}


def look(figure: go.Figure, percents: pd.Series, title: str) -> None:
    """Give a figure over the strength of a bias its axes."""
    values = sorted({int(p) for p in percents})
    figure.update_layout(
        template=style.TEMPLATE,
        height=380,
        xaxis={
            "title": {"text": _PERCENT},
            "tickvals": values,
            "range": [values[0] - 3, values[-1] + 3] if values else None,
        },
        yaxis={"title": {"text": title}, "rangemode": "tozero"},
        legend=LEGEND_ON_TOP,
        margin={"t": 54},
        hovermode="closest",
    )
