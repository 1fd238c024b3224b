import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusiform.errors import DataError
from fusiform.plotting import style
from fusiform.plotting._expressivity_rows import HELD_OUT, MOST_PANELS, grid, look, selected
from fusiform.plotting._traces import bars, in_hover, shown
from fusiform.plotting.tables import check_columns

_PLACE = ("network", "layer", "attribute", "encoding", "estimator")
_PANEL_PX = 210


def with_errors(
    linear: pd.DataFrame,
    values: pd.DataFrame,
    *,
    network: str | None = None,
    over: str = "layers",
    layer: str | None = None,
    estimator: str | None = None,
) -> pd.DataFrame:
    """Put the errors of linear probes beside the expressivity of the same features.

    Examples
    --------
    >>> at = {"network": "n", "layer": "fc", "depth": 2, "attribute": "yaw", "lower": 0.0, "upper": 2.0}
    >>> linear = pd.DataFrame([at | {"step": None, "metric": "mean absolute error", "value": 11.5}])
    >>> values = pd.DataFrame([at | {"encoding": "ranks", "estimator": "mine", "split": "held out", "value": 0.5}])
    >>> with_errors(linear, values)[["attribute", "error", "value"]]
      attribute  error  value
    0       yaw   11.5    0.5
    """
    training = over == "training"
    keys = ["network", "layer", "attribute", *(["step"] if training else [])]
    check_columns(linear, (*keys, "step", "metric", "value", "lower", "upper"), what="linear")
    what = "course" if training else "expressivity"
    if training and "start" in values.columns:
        # What was trained on objects has the name of another network.
        values = values[values["start"] != "pretrained"]
    rows = selected(
        values,
        (*_PLACE, "split", "value", "lower", "upper"),
        what=what,
        network=network,
        layer=layer,
        estimator=estimator,
    )
    rows = rows[rows["split"] == HELD_OUT]
    errors = linear[linear["step"].notna() == training]
    wanted = [*keys, "metric", "value", "lower", "upper", *(c for c in ("chance", "unit") if c in errors)]
    errors = errors[wanted].rename(columns={"value": "error", "lower": "error_lower", "upper": "error_upper"})
    numbers = ["error", "error_lower", "error_upper", *(["step"] if training else [])]
    errors = errors.assign(**{c: pd.to_numeric(errors[c]).astype(float) for c in numbers})
    if training:
        rows = rows.assign(step=pd.to_numeric(rows["step"]).astype(float))
    merged = rows.drop(columns=["metric", "chance", "unit"], errors="ignore").merge(errors, on=keys)
    merged = merged.dropna(subset=["value", "error"])
    order = ["slot", "step"] if training else ["slot", *(["depth"] if "depth" in merged else [])]
    return merged.sort_values(order, kind="stable").reset_index(drop=True)


def expressivity_and_error(
    linear: pd.DataFrame,
    values: pd.DataFrame,
    correlation: pd.DataFrame | None = None,
    *,
    network: str | None = None,
    over: str = "layers",
    layer: str | None = None,
    estimator: str | None = None,
) -> go.Figure:
    """Draw expressivity against the error of linear probes on the same features, as tables III and IV of the paper.

    Parameters
    ----------
    linear : DataFrame
        ``network, step, layer, attribute, metric, value, lower, upper``; `step` is missing over the layers.
    values : DataFrame
        The table of expressivity, or of its course over training.
    correlation : DataFrame, optional
        ``network, over, attribute, encoding, estimator, pearson``, written into the panels.
    network : str, optional
        Which network; needed where the table holds several.
    over : {"layers", "training"}, default "layers"
        What the points are.
    layer : str, optional
        One layer only; all by default.
    estimator : str, optional
        Which estimator; by default the first of `values`.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel an attribute and encoding, at most 12, those with most points first; ``meta["series"]``.

    Raises
    ------
    DataError
        If columns are missing, or no features have both.

    References
    ----------
    Dhar et al. (2020), tables III and IV.

    Examples
    --------
    >>> at = {"network": "n", "layer": "fc", "depth": 2, "attribute": "yaw", "lower": 0.0, "upper": 2.0}
    >>> linear = pd.DataFrame([at | {"step": None, "metric": "mean absolute error", "value": 11.5}])
    >>> values = pd.DataFrame([at | {"encoding": "ranks", "estimator": "mine", "split": "held out", "value": 0.5}])
    >>> expressivity_and_error(linear, values).data[0].x
    (11.5,)
    """
    rows = with_errors(linear, values, network=network, over=over, layer=layer, estimator=estimator)
    if not len(rows):
        raise DataError(f"No features over {over} have both a linear probe and an expressivity to draw.")
    names = list(rows["series"].value_counts(sort=True).index[:MOST_PANELS])
    names = [name for name in dict.fromkeys(rows["series"]) if name in names]
    deep, columns = grid(len(names))
    figure = make_subplots(
        rows=deep,
        cols=columns,
        subplot_titles=style.titles(_with_r(name, rows, correlation, over) for name in names),
        horizontal_spacing=0.07,
        vertical_spacing=0.34 / deep if deep > 1 else 0,
    )
    for index, name in enumerate(names):
        own = rows[rows["series"] == name]
        colour, symbol = look(int(own["slot"].iloc[0]))
        ends = {"color": style.translucent(colour, 0.5), "width": 0, "thickness": 1}
        place = {"row": index // columns + 1, "col": index % columns + 1}
        points = (
            own["layer"] if over == "layers" else [f"{own['layer'].iloc[0]}, {s:,.0f}" for s in own["step"]]
        )
        figure.add_scatter(
            x=own["error"].tolist(),
            y=own["value"].tolist(),
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 8},
            error_x=bars(own["error"], own["error_lower"], own["error_upper"], **ends),
            error_y=bars(own["value"], own["lower"], own["upper"], **ends),
            text=shown(points),
            hovertemplate=f"<b>{in_hover(name)}</b>, %{{text}}<br>error %{{x:.3f}}, %{{y:.3f}} nats<extra></extra>",
            meta={"series": str(name)},
            showlegend=False,
            **place,
        )
        figure.update_xaxes(title_text=_measure(own), **place)
    for row in range(1, deep + 1):
        figure.update_yaxes(title_text="nats", row=row, col=1)
    figure.update_layout(
        template=style.TEMPLATE, height=_PANEL_PX * deep + 70, margin={"t": 44}, hovermode="closest"
    )
    return figure


def _measure(rows: pd.DataFrame) -> str:
    unit = rows["unit"].iloc[0] if "unit" in rows.columns else None
    written = f" ({unit})" if isinstance(unit, str) and unit else ""
    return style.plain(f"{rows['metric'].iloc[0]}{written}")


def _with_r(name: str, rows: pd.DataFrame, correlation: pd.DataFrame | None, over: str) -> str:
    if correlation is None:
        return name
    check_columns(
        correlation, ("network", "over", "attribute", "encoding", "estimator", "pearson"), what="correlation"
    )
    one = rows[rows["series"] == name].iloc[0]
    found = correlation[
        (correlation["over"] == over)
        & (correlation["network"] == one["network"])
        & (correlation["attribute"] == one["attribute"])
        & (correlation["encoding"] == one["encoding"])
        & (correlation["estimator"] == one["estimator"])
    ]["pearson"].dropna()
    r = f"{found.iloc[0]:.2f}".replace("-", "\N{MINUS SIGN}") if len(found) else ""
    return f"{name}: r = {r}" if r else name
