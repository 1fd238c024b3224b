import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._expressivity_course import course_rows
from fusiform.plotting._expressivity_rows import (
    HELD_OUT,
    ROW_PX,
    ZERO,
    chosen,
    dots,
    look,
    of_estimator,
    selected,
)
from fusiform.plotting._traces import LEGEND_ON_TOP, in_hover, name_axis
from fusiform.plotting.tables import check_columns


def expressivity_decay(
    decay: pd.DataFrame,
    *,
    network: str | None = None,
    layer: str | None = None,
    estimator: str | None = None,
    step_unit: str = "step",
) -> go.Figure:
    """Draw how much of every attribute is lost after its peak, and how fast; the slowest decay on top.

    Parameters
    ----------
    decay : DataFrame
        ``network, layer, attribute, encoding, fall, fall_lower, fall_upper, rate, rate_lower, rate_upper, rank``.
    network, layer : str, optional
        Which network and layer; needed where there are several.
    estimator : str, optional
        Which estimator, where the table says; by default the first.
    step_unit : str, default "step"
        What is counted.

    Returns
    -------
    plotly.graph_objects.Figure
        Two panels of dots with intervals: the fall in nats and the rate in nats a tenfold of steps;
        ``meta["column"]`` is ``"fall"`` or ``"rate"``.

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or nothing in the table is to be drawn.

    Examples
    --------
    >>> table = pd.DataFrame([{"network": "n", "layer": "fc", "attribute": a, "encoding": "ranks", "fall": f,
    ...                        "fall_lower": 0.0, "fall_upper": 1.0, "rate": f, "rate_lower": 0.0, "rate_upper": 1.0,
    ...                        "rank": r} for a, f, r in (("yaw", 0.5, 2), ("age", 0.25, 1))])
    >>> expressivity_decay(table).data[0].y, expressivity_decay(table).data[0].x
    (('age', 'yaw'), (0.25, 0.5))
    """
    columns = ["network", "layer", "attribute", "encoding", "rank"]
    numbers = [f"{c}{end}" for c in ("fall", "rate") for end in ("", "_lower", "_upper")]
    check_columns(decay, [*columns, *numbers], what="decay")
    rows = selected(of_estimator(decay, estimator), columns, what="decay", network=network)
    which = chosen(list(dict.fromkeys(rows["layer"])), layer, "layer", "decay")
    rows = rows[rows["layer"] == which].sort_values("rank", kind="stable", na_position="last")
    rows = rows.assign(**{c: pd.to_numeric(rows[c]).astype(float) for c in numbers})
    rows = rows[rows["fall"].notna() | rows["rate"].notna()]
    if not len(rows):
        raise DataError(f"The table 'decay' holds no decay of the layer '{which}' to draw.")
    titles = {
        "fall": "fall from the peak to the end (nats)",
        "rate": f"rate (nats a tenfold of {step_unit}s)",
    }
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04)
    for column, (name, colour) in enumerate(zip(titles, style.COLOURS, strict=False), start=1):
        ends = (name, f"{name}_lower", f"{name}_upper")
        trace = dots(rows, ends, what=name, colour=colour, meta={"column": name}, showlegend=False)
        figure.add_trace(trace, row=1, col=column)
        figure.update_xaxes(
            ZERO | {"rangemode": "tozero", "title": {"text": titles[name]}}, row=1, col=column
        )
    names = rows["series"].tolist()
    figure.update_yaxes(name_axis(names))
    figure.update_layout(template=style.TEMPLATE, height=ROW_PX * len(names) + 90, margin={"t": 16})
    return figure


def expressivity_compression(
    course: pd.DataFrame,
    *,
    task: str = "identity",
    network: str | None = None,
    layer: str | None = None,
    estimator: str | None = None,
    step_unit: str = "step",
) -> go.Figure:
    """Draw every attribute against what the network is trained for, as a path through training.

    A path that goes right and down gains the task while it loses the attribute: both at once is compression
    during fitting (section V.D of the paper), first right and then down is compression after it.

    Parameters
    ----------
    course : DataFrame
        As for `expressivity_over_training`.
    task : str, default "identity"
        The attribute on the horizontal axis; of several encodings the categorical one.
    network, layer, estimator, step_unit
        As for `expressivity_over_training`.

    Returns
    -------
    plotly.graph_objects.Figure
        A line an attribute through the steps of training, its last step marked by a large dot; ``meta["series"]``.

    Raises
    ------
    DataError
        If columns are missing, a name is not known, or the task or the others were not measured.

    Examples
    --------
    >>> row = {"network": "n", "layer": "fc", "start": "training", "estimator": "mine", "lower": 0.0, "upper": 2.0,
    ...        "split": "held out"}
    >>> table = pd.DataFrame([row | {"step": s, "attribute": a, "encoding": e, "value": v} for s, a, e, v in (
    ...     (1, "identity", "categorical", 0.5), (9, "identity", "categorical", 1.0),
    ...     (1, "yaw", "ranks", 0.75), (9, "yaw", "ranks", 0.25))])
    >>> path = expressivity_compression(table).data[0]
    >>> path.x, path.y
    ((0.5, 1.0), (0.75, 0.25))
    """
    rows = course_rows(course, network=network, layer=layer, estimator=estimator)
    rows = rows[(rows["split"] == HELD_OUT) & (rows["start"] != "pretrained")]
    mine = rows[rows["attribute"] == task]
    encodings = list(dict.fromkeys(mine["encoding"]))
    if not encodings:
        known = list(dict.fromkeys(rows["attribute"]))
        raise DataError(f"The table 'course' does not have the task '{task}'; its attributes are {known}.")
    encoding = "categorical" if "categorical" in encodings else encodings[0]
    fitted = mine[mine["encoding"] == encoding].set_index("step")["value"].to_dict()
    others = rows[rows["attribute"] != task]
    if not len(others):
        raise DataError(f"The table 'course' holds no attribute beside the task '{task}'.")
    figure = go.Figure()
    for name, own in others.groupby("series", sort=False):
        own = own[own["step"].isin(fitted)].sort_values("step", kind="stable")
        if not len(own):
            continue
        colour, symbol = look(int(own["slot"].iloc[0]))
        figure.add_scatter(
            x=[fitted[step] for step in own["step"]],
            y=own["value"].tolist(),
            mode="lines+markers",
            line={"color": colour, "width": 1.6},
            marker={"symbol": symbol, "color": colour, "size": [6] * (len(own) - 1) + [13], "opacity": 1},
            name=style.plain(name),
            customdata=[f"{int(step):,}" for step in own["step"]],
            hovertemplate=f"<b>{in_hover(name)}</b><br>{in_hover(step_unit)} %{{customdata}}: %{{y:.3f}}, "
            f"{in_hover(task)} %{{x:.3f}}<extra></extra>",
            meta={"attribute": str(own["attribute"].iloc[0]), "series": str(name)},
        )
    figure.update_layout(
        template=style.TEMPLATE,
        height=420,
        xaxis={"title": {"text": f"{style.plain(task)} ({style.plain(encoding)}), nats"}},
        yaxis={"title": {"text": "attribute, nats"}, "rangemode": "tozero"} | ZERO,
        legend=LEGEND_ON_TOP,
        margin={"t": 54},
        hovermode="closest",
    )
    return figure
