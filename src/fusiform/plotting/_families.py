import pandas as pd
import plotly.graph_objects as go

from fusiform.errors import DataError, nearest
from fusiform.plotting import style
from fusiform.plotting._traces import LEGEND_ON_TOP, in_hover, interval_hover, layer_axis, room_below, shown
from fusiform.plotting.tables import (
    METRIC_TITLES,
    PRIMARY,
    R2_AXIS,
    check_columns,
    curves,
    layer_order,
    of_setup,
)


def families_over_depth(
    probes: pd.DataFrame,
    families: pd.DataFrame,
    *,
    setup: str | None = None,
    family: str | None = None,
    split: str = "valid",
) -> go.Figure:
    """Draw attributes over the layers, coloured by family, with the mean of every family.

    As figures 5.5 to 5.7 of Diniz' thesis. Where a family holds attributes judged by accuracy and others judged by
    R², those of the more common kind are drawn, so that one axis serves.

    Parameters
    ----------
    probes : DataFrame
        The table of probes of a study of layers.
    families : DataFrame
        Columns ``family`` and ``attribute``.
    setup : str, optional
        Which setup; needed where the table holds several.
    family : str, optional
        One family only, each attribute in a colour and symbol of its own.
    split : str, default "valid"
        Which images the values were measured on.

    Returns
    -------
    plotly.graph_objects.Figure
        Every trace's ``meta`` holds ``family``, ``attribute`` (empty for a mean) and ``role`` (``"line"`` or
        ``"mean"``).

    Raises
    ------
    DataError
        If columns are missing, the family is not known, or none of its attributes was measured.

    Examples
    --------
    >>> row = {"network": "n", "setup": "n", "control": False, "kind": "binary", "unit_kind": "layer", "layer": "fc",
    ...        "depth": 1, "split": "valid", "metric": "balanced_accuracy", "lower": 0.8, "upper": 0.95,
    ...        "chance": 0.5}
    >>> probes = pd.DataFrame([row | {"attribute": "Bald", "value": 0.75},
    ...                        row | {"attribute": "Bangs", "value": 0.5}])
    >>> families = pd.DataFrame({"family": "hair", "attribute": ["Bald", "Bangs"]})
    >>> families_over_depth(probes, families).data[-1].y
    (0.625,)
    """
    check_columns(families, ["family", "attribute"], what="families")
    known = list(dict.fromkeys(families["family"]))
    if family is not None and family not in known:
        raise DataError(f"The table 'families' has no family '{family}': {nearest(family, known)}")
    chosen = families if family is None else families[families["family"] == family]
    rows = of_setup(curves(probes, split=split, setup=setup), setup, what="probes")
    rows = rows[rows["attribute"].isin(chosen["attribute"])]
    if not len(rows):
        raise DataError(f"None of the families' attributes {list(chosen['attribute'])} was measured.")
    kind = rows.drop_duplicates("attribute")["metric"].value_counts().index[0]
    rows = rows[rows["metric"] == kind]
    layers = layer_order(rows)
    figure = go.Figure()
    named = [name for name in known if name in set(chosen["family"])]
    means = []
    for index, name in enumerate(named):
        members = [
            a for a in chosen.loc[chosen["family"] == name, "attribute"] if a in set(rows["attribute"])
        ]
        for slot, attribute in enumerate(members):
            one = rows[rows["attribute"] == attribute]
            figure.add_trace(_line(one, attribute, name, slot if family else index, alone=bool(family)))
        if members and not family:
            means.append(_mean(rows[rows["attribute"].isin(members)], name, index, len(members)))
    figure.add_traces(means)
    figure.update_layout(
        template=style.TEMPLATE,
        height=340 + room_below(layers),
        xaxis=layer_axis(layers),
        yaxis=R2_AXIS | {"title": {"text": METRIC_TITLES[kind]}},
        legend=LEGEND_ON_TOP,
        margin={"t": 54},
        hovermode="closest",
    )
    return figure


def drawn_families(probes: pd.DataFrame, families: pd.DataFrame) -> list[str]:
    """List the families of which at least two attributes judged by accuracy or R² were measured.

    Examples
    --------
    >>> families = pd.DataFrame({"family": ["a", "a", "b"], "attribute": ["x", "y", "z"]})
    >>> drawn_families(pd.DataFrame({"attribute": ["x", "y", "z"], "kind": "binary"}), families)
    ['a']
    """
    metric = probes.drop_duplicates("attribute").set_index("attribute")["kind"].map(PRIMARY)
    there = families.assign(metric=families["attribute"].map(metric)).dropna(subset=["metric"])
    most = there.groupby(["family", "metric"])["attribute"].nunique().groupby("family").max()
    return [name for name in dict.fromkeys(families["family"]) if most.get(name, 0) > 1]


def _line(rows: pd.DataFrame, attribute: str, family: str, slot: int, *, alone: bool) -> go.Scatter:
    colour = style.COLOURS[slot % len(style.COLOURS)]
    return go.Scatter(
        x=shown(rows["layer"]),
        y=rows["value"].tolist(),
        mode="lines+markers" if alone or len(rows) == 1 else "lines",
        line={"color": colour, "width": 2.2 if alone else 1},
        marker={"size": 6, "symbol": style.SYMBOLS[slot % len(style.SYMBOLS)]},
        opacity=1 if alone else 0.55,
        name=style.plain(attribute if alone else family),
        legendgroup=style.plain(attribute if alone else family),
        showlegend=alone,
        customdata=rows[["lower", "upper"]].to_numpy().tolist(),
        hovertemplate=interval_hover(attribute, "" if alone else family),
        meta={"family": str(family), "attribute": str(attribute), "role": "line"},
    )


def _mean(rows: pd.DataFrame, family: str, slot: int, n: int) -> go.Scatter:
    colour = style.COLOURS[slot % len(style.COLOURS)]
    mean = rows.groupby("layer", sort=False)["value"].mean()
    return go.Scatter(
        x=shown(mean.index),
        y=mean.tolist(),
        mode="lines+markers",
        line={"color": colour, "width": 3},
        marker={"size": 7, "symbol": style.SYMBOLS[slot % len(style.SYMBOLS)]},
        name=style.plain(f"{family} ({n})"),
        legendgroup=style.plain(family),
        hovertemplate=f"<b>{in_hover(family)}</b>, mean of {n}<br>%{{x}}: %{{y:.3f}}<extra></extra>",
        meta={"family": str(family), "attribute": "", "role": "mean"},
    )
