"""The look of all figures: colours, fonts, scales, and text that plotly may show as it is."""

import html
from collections.abc import Iterable

import plotly.graph_objects as go

__all__ = [
    "CHANCE",
    "COLOURS",
    "CONTROL",
    "DASHES",
    "FONT",
    "GRID",
    "INK",
    "MUTED",
    "SCALE_DARK",
    "SCALE_LIGHT",
    "SYMBOLS",
    "TEMPLATE",
    "TRAINED",
    "UNIT_COLOURS",
    "UNIT_NAMES",
    "UNIT_SYMBOLS",
    "plain",
    "titles",
    "translucent",
]

INK = "#1c2733"
MUTED = "#5b6775"
GRID = "#e3e7ec"
CHANCE = "#8a94a1"
CONTROL = "#8a94a1"
TRAINED = "#0f6ea8"

# After Okabe and Ito, without the yellow that vanishes on white and with two colours of the same family added;
# each is mid-light, so that lines keep their contrast on white and on a dark page. Symbols repeat the message for
# those who see no colours.
COLOURS = ("#0f7ac0", "#d55e00", "#009e73", "#c4619a", "#d99000", "#8566c2", "#4aa8de", "#9a7b4f")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "hexagon", "star")
DASHES = {"trained": "solid", "control": "dot", "chance": "dash"}

# What an attribute is read from: the entire layer, channels or neurons, in the colours of Diniz' figures 5.1 to 5.3.
UNIT_COLOURS = {
    "layer": COLOURS[0],
    "channels": COLOURS[2],
    "channel": COLOURS[2],
    "neurons": COLOURS[1],
    "neuron": COLOURS[1],
}
UNIT_SYMBOLS = {
    "layer": "circle",
    "channels": "square",
    "channel": "square",
    "neurons": "triangle-up",
    "neuron": "triangle-up",
}
UNIT_NAMES = {
    "layer": "entire layer",
    "channels": "best channels together",
    "neurons": "best neurons together",
    "channel": "best single channel",
    "neuron": "best single neuron",
}

# One hue, lightness monotone: readable in grey and for the colour-blind; quick through the middle, where neither dark
# nor white text reads well. The dark scale runs the other way, so that "nothing" is always the colour of the page.
SCALE_LIGHT = (
    (0.0, "#f1f4f7"),
    (0.25, "#c6dcea"),
    (0.5, "#86bbdc"),
    (0.62, "#3f86b9"),
    (0.8, "#22689c"),
    (1.0, "#0a3a66"),
)
SCALE_DARK = (
    (0.0, "#1d2630"),
    (0.25, "#1f4764"),
    (0.5, "#2b76a3"),
    (0.62, "#74b9de"),
    (0.8, "#a9d6ee"),
    (1.0, "#e9f5fc"),
)

FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

_AXIS = {
    "gridcolor": GRID,
    "linecolor": GRID,
    "zeroline": False,
    "ticks": "",
    "automargin": True,
    "title": {"standoff": 10, "font": {"color": MUTED, "size": 12}},
    "tickfont": {"color": MUTED, "size": 11},
}

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 12, "color": INK},
        "colorway": list(COLOURS),
        "paper_bgcolor": "white",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 8, "t": 28, "b": 8},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "hoverlabel": {
            "bgcolor": "#ffffff",
            "bordercolor": "#c8d0d9",
            "font": {"color": INK, "size": 12, "family": FONT},
            "align": "left",
        },
        "legend": {"font": {"size": 11, "color": MUTED}, "bgcolor": "rgba(0,0,0,0)"},
        "annotationdefaults": {"font": {"color": MUTED, "size": 12}},
    }
)


def plain(text: object) -> str:
    """Write text so that plotly shows it as it is, markup and entities included.

    Examples
    --------
    >>> plain("<b>5 & 6</b>")
    '&lt;b&gt;5 &amp; 6&lt;/b&gt;'
    """
    return html.escape(str(text), quote=False)


def titles(names: Iterable[object]) -> list[str]:
    """Write titles of panels as they are, in the size of the other text, with their line breaks.

    Examples
    --------
    >>> titles(["a & b"])
    ['<span style="font-size:12px">a &amp; b</span>']
    """
    lines = [plain(name).replace("\n", "<br>") for name in names]
    return [f'<span style="font-size:12px">{text}</span>' for text in lines]


def translucent(colour: str, alpha: float) -> str:
    """Turn ``"#rrggbb"`` into ``rgba(...)`` with an opacity from 0 to 1.

    Examples
    --------
    >>> translucent("#ff8000", 0.25)
    'rgba(255,128,0,0.25)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"
