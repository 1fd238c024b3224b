"""What several figures are made of: bands, error bars, hover texts, axes."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from fusiform.plotting import style

_UPRIGHT_FROM = 8
_LONG_NAME = 10


def shown(names: Iterable[object]) -> list[str]:
    """Write names so that plotly shows them as they are."""
    return [style.plain(name) for name in names]


def in_hover(name: object, what: str = "") -> str:
    """Write a name into a hover template."""
    # A percent sign followed by a brace would be a template of its own.
    return style.plain(f"{name}, {what}" if what else name).replace("%{", "%&#123;")


def interval_hover(name: object, what: str = "") -> str:
    """Give the hover template of a value whose customdata are the ends of its interval."""
    interval = "%{customdata[0]:.3f} to %{customdata[1]:.3f}"
    return f"<b>{in_hover(name, what)}</b><br>%{{x}}: %{{y:.3f}} ({interval})<extra></extra>"


def band(
    x: Sequence[Any], lower: Iterable[float], upper: Iterable[float], fill: str, **more: Any
) -> go.Scatter:
    """Draw an interval as a filled band."""
    return go.Scatter(
        x=[*x, *list(x)[::-1]],
        y=[*upper, *list(lower)[::-1]],
        mode="lines",
        fill="toself",
        fillcolor=fill,
        line={"width": 0, "shape": "linear"},
        hoverinfo="skip",
        **more,
    )


def bars(value: pd.Series, lower: pd.Series, upper: pd.Series, **look: Any) -> dict[str, Any]:
    """Give the ends of intervals as plotly's asymmetric error bars; no bar where an end is missing."""
    known = lower.notna() & upper.notna()
    return {
        "type": "data",
        "symmetric": False,
        "array": (upper - value).where(known).tolist(),
        "arrayminus": (value - lower).where(known).tolist(),
        "thickness": 1.5,
        **look,
    }


def layer_axis(layers: Sequence[str]) -> dict[str, Any]:
    """Give the look of an axis of layers in order of depth."""
    long = max(map(len, layers), default=0) > _LONG_NAME
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": shown(layers),
        "tickangle": -90 if len(layers) > _UPRIGHT_FROM or long else 0,
        "range": [-0.5, len(layers) - 0.5],
    }


def name_axis(names: Sequence[str]) -> dict[str, Any]:
    """Give the look of an upright axis of names, the first on top."""
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": shown(names),
        "range": [len(names) - 0.4, -0.6],
        "dtick": 1,
    }


def room_below(layers: Sequence[str]) -> int:
    """Give the pixels that the names of layers take below an axis."""
    upright = layer_axis(layers)["tickangle"] != 0
    return 24 + 6 * min(max(map(len, layers), default=0), 24) if upright else 40


# Above the plot; the room for a second line is the figure's margin.
LEGEND_ON_TOP = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"}


def chance_line(x: Sequence[Any], chance: float, **more: Any) -> go.Scatter:
    """Draw the level of chance from the first to the last place."""
    return go.Scatter(
        x=[x[0], x[-1]],
        y=[chance, chance],
        mode="lines",
        line={"color": style.CHANCE, "width": 1.2, "dash": style.DASHES["chance"]},
        hovertemplate=f"chance {chance:.2f}<extra></extra>",
        **({"name": "chance"} | more),
    )
