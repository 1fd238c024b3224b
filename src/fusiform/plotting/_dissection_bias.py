from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._dissection_rows import of_network
from fusiform.plotting._traces import name_axis, shown

_ROW_PX = 20
_ALPHA = 0.05
_COLUMNS = (
    *("concept", "category", "group", "units", "expected", "ratio", "association", "task_association"),
    "p_value",
)
# The middle lets the page through, so that "nothing" is its colour, light or dark.
_DIVERGING = [
    [0.0, "rgba(213,94,0,1)"],
    [0.5, "rgba(138,148,161,0.10)"],
    [1.0, "rgba(15,122,192,1)"],
]
_MOST_RATIO = 2.0
_STRIP = "group with the task"


def dissection_bias(bias: pd.DataFrame, *, network: str | None = None, layer: str | None = None) -> go.Figure:
    """Draw which local concepts share units with which global groups, more or less often than expected.

    Parameters
    ----------
    bias : DataFrame
        ``network, control, layer, depth, concept, category, group, units, expected, ratio, association,
        task_association, p_value``: units paired with both, the number expected were the two independent, their ratio; phi of
        concept and group in the dictionary; association of the concept with the task's label, if known. With
        ``group_task_association``, that of the group.
    network : str, optional
        Which network; needed where the table holds several. Its random-weights twin is not drawn.
    layer : str, optional
        Which layer; by default the deepest.

    Returns
    -------
    plotly.graph_objects.Figure
        Heat maps: the ratio on a scale of powers of 2 cut at a quarter and 4, dots where p < 0.05, blank where
        there is no unit and less than one was expected; phi in the dictionary; and the association with the task where there is
        one: of concepts as a column, of groups as a strip above. Concepts and groups that share no unit, here or anywhere, are
        left out. ``meta["role"]`` is ``"ratio"``, ``"significant"``, ``"association"``, ``"task"`` or ``"group task"``.

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    Examples
    --------
    >>> row = {"network": "n", "control": False, "layer": "a", "depth": 2, "category": "Gender", "association": 0.3,
    ...        "task_association": None, "p_value": 0.01, "expected": 2.0}
    >>> table = pd.DataFrame([row | {"concept": "Smiling", "group": "Female", "units": 4, "ratio": 2.0},
    ...                       row | {"concept": "Smiling", "group": "Male", "units": 1, "ratio": 0.5}])
    >>> dissection_bias(table).data[0].z
    ([1.0, -1.0],)
    """
    found = of_network(bias, _COLUMNS, what="bias", network=network, layer=layer, one_layer=True)
    rows = bias_rows(found)
    if not len(rows):
        raise DataError("The table 'bias' holds no local concept that shares a unit with a global group.")
    concepts = list(dict.fromkeys(rows["concept"]))
    groups = list(dict.fromkeys(zip(rows["category"], rows["group"], strict=True)))
    names = _group_names(groups)
    x = shown(names.values())
    y = shown(concepts)
    has_task = bool(rows["task_association"].notna().any())
    of_groups = _of_groups(rows, groups)
    has_strip = any(value is not None for value in of_groups)
    has_phi = bool(rows["association"].notna().any())
    panels = ["units, against expected"]
    panels += ["association in the dictionary"] if has_phi else []
    widths = [len(groups)] * len(panels) + ([1] if has_task else [])
    panels += ["task"] if has_task else []
    height = _ROW_PX * (len(concepts) + has_strip) + 240
    main = 2 if has_strip else 1
    figure = make_subplots(
        rows=main,
        cols=len(panels),
        shared_xaxes=has_strip,
        shared_yaxes=True,
        horizontal_spacing=0.025 if len(panels) > 1 else 0,
        vertical_spacing=6 / (height - 200) if has_strip else 0,
        row_heights=[1, len(concepts)] if has_strip else None,
        column_widths=widths,
        subplot_titles=style.titles(panels),
    )
    cells = rows.set_index(["concept", "category", "group"])
    known = {(row["concept"], row["category"], row["group"]): row for row in rows.to_dict("records")}

    def grid(values: pd.Series) -> list[list[float | None]]:
        there = {key: value for key, value in values.items() if pd.notna(value)}
        return [[there.get((concept, *group)) for group in groups] for concept in concepts]

    ratio = cells["ratio"].astype(float)
    # None of less than one says nothing.
    ratio = ratio.where((cells["units"] > 0) | (cells["expected"].astype(float) >= 1))
    power = ratio.clip(lower=2**-_MOST_RATIO, upper=2**_MOST_RATIO).map(np.log2)
    figure.add_trace(
        go.Heatmap(
            x=x, y=y, z=grid(power), coloraxis="coloraxis2", xgap=1, ygap=1,
            hovertext=[[_told(known.get((concept, *group)), concept, group[1]) for group in groups] for concept in concepts],
            hoverinfo="text", meta={"role": "ratio"},
        ),
        row=main, col=1,
    )  # fmt: skip
    sure = rows[rows["p_value"].astype(float) < _ALPHA]
    if len(sure):
        figure.add_trace(
            go.Scatter(
                x=shown(names[key] for key in zip(sure["category"], sure["group"], strict=True)),
                y=shown(sure["concept"]),
                mode="markers", marker={"size": 5, "color": "#ffffff", "line": {"color": style.INK, "width": 1}},
                hoverinfo="skip", showlegend=False, meta={"role": "significant"},
            ),
            row=main, col=1,
        )  # fmt: skip
    told: dict[str, Any] = {"coloraxis": "coloraxis3", "xgap": 1, "ygap": 1}
    if has_phi:
        figure.add_trace(
            go.Heatmap(
                x=x, y=y, z=grid(cells["association"].astype(float)),
                hovertemplate="%{y} with %{x}: phi %{z:.2f} in the dictionary<extra></extra>",
                meta={"role": "association"}, **told,
            ),
            row=main, col=2,
        )  # fmt: skip
    if has_task:
        task = rows.dropna(subset=["task_association"]).drop_duplicates("concept")
        of = dict(zip(task["concept"], task["task_association"].astype(float), strict=True))
        figure.add_trace(
            go.Heatmap(
                x=["label"], y=y, z=[[of.get(concept)] for concept in concepts],
                hovertemplate="%{y} with the task: %{z:.2f} in the training faces<extra></extra>",
                meta={"role": "task"}, **told,
            ),
            row=main, col=len(panels),
        )  # fmt: skip
    figure.update_xaxes(type="category", showgrid=False, tickangle=-90)
    axis = name_axis(concepts) | {"range": [len(concepts) - 0.5, -0.5], "showgrid": False}
    figure.update_yaxes(axis, row=main)
    if has_strip:
        figure.add_trace(
            go.Heatmap(
                x=x, y=[_STRIP], z=[of_groups],
                hovertemplate="%{x} with the task: %{z:.2f} in the training faces<extra></extra>",
                meta={"role": "group task"}, **told,
            ),
            row=1, col=1,
        )  # fmt: skip
        figure.update_yaxes(name_axis([_STRIP]) | {"range": [0.5, -0.5], "showgrid": False}, row=1)
        for column in range(2, len(panels) + 1):
            figure.update_xaxes(visible=False, row=1, col=column)
            figure.update_yaxes(visible=False, row=1, col=column)
    figure.update_layout(
        template=style.TEMPLATE,
        height=height,
        coloraxis2=_scale(_MOST_RATIO, [-2, -1, 0, 1, 2], ["¼", "½", "1", "2", "4"], 0.0),
        coloraxis3=_scale(1.0, [-1, 0, 1], ["\N{MINUS SIGN}1", "0", "1"], 0.55),
        margin={"t": 96},
    )
    if not has_phi and not has_task and not has_strip:
        figure.update_layout(coloraxis3=None)
    return figure


def _of_groups(rows: pd.DataFrame, groups: list[tuple[Any, Any]]) -> list[float | None]:
    """How each group goes with the task; None where that is not known."""
    if "group_task_association" not in rows:
        return [None] * len(groups)
    told = rows.dropna(subset=["group_task_association"]).drop_duplicates(["category", "group"])
    of = told.set_index(["category", "group"])["group_task_association"].astype(float).to_dict()
    return [of.get(key) for key in groups]


def bias_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Give the trained network's rows of concepts and of groups that share a unit with some other."""
    own = rows[~rows["control"].astype(bool)]
    shared = own[own["units"] > 0]
    groups = set(zip(shared["category"], shared["group"], strict=True))
    kept = [key in groups for key in zip(own["category"], own["group"], strict=True)]
    return own[np.array(kept, bool) & own["concept"].isin(shared["concept"])].reset_index(drop=True)


def _group_names(groups: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    # Two categories may have groups of one name.
    often = Counter(group for _, group in groups)
    written = {(c, g): str(g) if often[g] == 1 else f"{c}: {g}" for c, g in groups}
    return {key: name.replace("_", " ") for key, name in written.items()}


def _told(row: dict[Any, Any] | None, concept: str, group: str) -> str:
    title = f"<b>{style.plain(concept)}</b> and {style.plain(group)}"
    if row is None:
        return title
    text = f"{title}<br>{row['units']:.0f} units, {row['expected']:.1f} expected"
    if pd.notna(row["ratio"]):
        text += f"<br>ratio {row['ratio']:.2f}"
    return text + (f", p {row['p_value']:.3f}" if pd.notna(row["p_value"]) else "")


def _scale(end: float, ticks: list[float], texts: list[str], x: float) -> dict[str, Any]:
    return {
        "cmin": -end,
        "cmax": end,
        "colorscale": _DIVERGING,
        "colorbar": {
            "orientation": "h",
            "y": 1,
            "yanchor": "bottom",
            "x": x,
            "xanchor": "left",
            "len": 0.38,
            "thickness": 10,
            "outlinewidth": 0,
            "tickvals": ticks,
            "ticktext": texts,
            "tickfont": {"color": style.MUTED, "size": 11},
            "ypad": 30,
        },
    }
