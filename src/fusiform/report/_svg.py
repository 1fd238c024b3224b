"""Small drawings that are part of the page's text: they scale, print and follow its colours."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

_PANEL = (220.0, 92.0)
_PANEL_LEFT = 24.0
_SPARK = (132.0, 30.0)
_FOREST = (190.0, 22.0)


class Frame:
    """Turns (layer index, value) into coordinates of a drawing."""

    def __init__(self, n: int, low: float, high: float, box: tuple[float, float, float, float]) -> None:
        self.n, self.low, self.high = n, low, high
        self.left, self.top, self.right, self.bottom = box

    def x(self, index: float) -> float:
        """Give the horizontal coordinate of a layer."""
        if self.n == 1:
            return (self.left + self.right) / 2
        return self.left + (self.right - self.left) * index / (self.n - 1)

    def y(self, value: float) -> float:
        """Give the vertical coordinate of a value; what lies beyond the axis is cut off by the drawing's edge."""
        share = (value - self.low) / (self.high - self.low)
        return self.bottom - (self.bottom - self.top) * share

    def points(self, values: Sequence[float | None]) -> list[list[str]]:
        """Give runs of coordinates without gaps."""
        runs: list[list[str]] = [[]]
        for index, value in enumerate(values):
            if value is None:
                runs.append([])
            else:
                runs[-1].append(f"{self.x(index):.1f},{self.y(value):.1f}")
        return [run for run in runs if run]

    def line(self, values: Sequence[float | None], css: str) -> str:
        """Draw values as a line; a value with no neighbours becomes a dot."""
        drawn = ""
        for run in self.points(values):
            if len(run) == 1:
                x, y = run[0].split(",")
                drawn += f'<circle class="{css} dot" cx="{x}" cy="{y}" r="2"/>'
            else:
                drawn += f'<polyline class="{css}" points="{" ".join(run)}"/>'
        return drawn

    def band(self, lower: Sequence[float | None], upper: Sequence[float | None], css: str = "") -> str:
        """Draw an interval as a band; of one layer as an upright line."""
        known = [
            (i, lo, up) for i, (lo, up) in enumerate(zip(lower, upper, strict=True)) if None not in (lo, up)
        ]
        if not known:
            return ""
        if len(known) == 1:
            index, lo, up = known[0]
            x = self.x(index)
            return f'<line class="whisker{css}" x1="{x:.1f}" x2="{x:.1f}" y1="{self.y(lo or 0):.1f}" y2="{self.y(up or 0):.1f}"/>'
        there = [f"{self.x(i):.1f},{self.y(up or 0):.1f}" for i, _, up in known]
        back = [f"{self.x(i):.1f},{self.y(lo or 0):.1f}" for i, lo, _ in reversed(known)]
        return f'<polygon class="band{css}" points="{" ".join(there + back)}"/>'

    def level(self, value: float, css: str) -> str:
        """Draw a level line."""
        y = self.y(value)
        return f'<line class="{css}" x1="{self.left:.1f}" x2="{self.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def panel(
    values: Sequence[float | None],
    lower: Sequence[float | None],
    upper: Sequence[float | None],
    control: Sequence[float | None],
    chance: float,
    limits: tuple[float, float],
    best: int | None,
    label: str,
) -> Markup:
    """Draw one attribute over the layers, with its own axis.

    Parameters
    ----------
    values, lower, upper, control : sequence of float or None
        A number a layer; None where it was not measured.
    chance : float
        Chance level.
    limits : tuple of float
        Lowest and highest value of the axis.
    best : int, optional
        Index of the best layer, which gets a dot.
    label : str
        What the drawing shows, for those who do not see it.

    Returns
    -------
    Markup
        An ``<svg>`` element.
    """
    frame, ticks = _panel_frame(len(values), limits)
    return _svg(_PANEL, label, "panel", ticks + _curves(frame, values, lower, upper, control, chance, best))


Curve = tuple[Sequence[float | None], Sequence[float | None], Sequence[float | None]]


def unit_panel(
    units: Mapping[str, Curve],
    control: Sequence[float | None],
    chance: float,
    limits: tuple[float, float],
    label: str,
) -> Markup:
    """Draw one attribute over the layers, read from several kinds of units.

    Parameters
    ----------
    units : mapping of str to (values, lower, upper)
        ``"layer"``, ``"channels"`` or ``"neurons"`` to a number a layer; None where it was not measured.
    control : sequence of float or None
        Values of the random-weights control.
    chance, limits, label
        As for `panel`.

    Returns
    -------
    Markup
        An ``<svg>`` element.
    """
    frame, drawn = _panel_frame(len(control), limits)
    drawn += frame.level(chance, "chance")
    # The entire layer lies on top.
    for unit, (_, lower, upper) in reversed(list(units.items())):
        drawn += frame.band(lower, upper, f" unit-{unit}")
    drawn += frame.line(control, "control")
    for unit, (values, _, _) in reversed(list(units.items())):
        drawn += frame.line(values, f"trained unit-{unit}")
    return _svg(_PANEL, label, "panel", drawn)


def sparkline(
    values: Sequence[float | None],
    control: Sequence[float | None],
    chance: float,
    limits: tuple[float, float],
    best: int | None,
    label: str,
) -> Markup:
    """Draw one attribute over the layers in the height of a line of text; arguments as for `panel`."""
    width, height = _SPARK
    frame = Frame(len(values), *limits, (3, 3, width - 3, height - 3))
    nothing: list[float | None] = [None] * len(values)
    return _svg(_SPARK, label, "spark", _curves(frame, values, nothing, nothing, control, chance, best))


def forest(
    value: float,
    lower: float | None,
    upper: float | None,
    control: float | None,
    chance: float,
    limits: tuple[float, float],
    label: str,
) -> Markup:
    """Draw a value with its interval on a line, the control as a diamond, chance as a stroke."""
    width, height = _FOREST
    low, high = limits
    middle = height / 2

    def x(number: float) -> float:
        return 6 + (width - 12) * (min(max(number, low), high) - low) / (high - low)

    drawn = f'<line class="rule" x1="6" x2="{width - 6:.0f}" y1="{middle}" y2="{middle}"/>'
    drawn += f'<line class="chance" x1="{x(chance):.1f}" x2="{x(chance):.1f}" y1="2" y2="{height - 2:.0f}"/>'
    if control is not None:
        c = x(control)
        drawn += f'<path class="diamond" d="M{c:.1f} {middle - 5}l5 5l-5 5l-5 -5z"/>'
    if lower is not None and upper is not None:
        drawn += (
            f'<line class="whisker" x1="{x(lower):.1f}" x2="{x(upper):.1f}" y1="{middle}" y2="{middle}"/>'
        )
    drawn += f'<circle class="dot trained" cx="{x(value):.1f}" cy="{middle}" r="3.2"/>'
    return _svg(_FOREST, label, "forest", drawn)


def _panel_frame(n: int, limits: tuple[float, float]) -> tuple[Frame, str]:
    width, height = _PANEL
    frame = Frame(n, *limits, (_PANEL_LEFT + 4, 7, width - 6, height - 7))
    ticks = "".join(
        frame.level(tick, "rule")
        + f'<text x="{_PANEL_LEFT - 2:.0f}" y="{frame.y(tick) + 3:.1f}">{tick:g}</text>'
        for tick in _ticks(*limits)
    )
    return frame, ticks


def _curves(
    frame: Frame,
    values: Sequence[float | None],
    lower: Sequence[float | None],
    upper: Sequence[float | None],
    control: Sequence[float | None],
    chance: float,
    best: int | None,
) -> str:
    drawn = frame.level(chance, "chance") + frame.band(lower, upper)
    drawn += frame.line(control, "control") + frame.line(values, "trained")
    if best is not None and (top := values[best]) is not None:
        drawn += f'<circle class="best" cx="{frame.x(best):.1f}" cy="{frame.y(top):.1f}" r="3"/>'
    return drawn


def _ticks(low: float, high: float) -> list[float]:
    steps = [tick / 4 for tick in range(-4, 5)] if high - low < 1.1 else [tick / 2 for tick in range(-2, 3)]
    return [tick for tick in steps if low <= tick <= high]


def _svg(size: tuple[float, float], label: str, css: str, content: str) -> Markup:
    width, height = size
    # The label is the only text from outside; all else are numbers of our own.
    return Markup(
        f'<svg class="{css}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">{content}</svg>'
    )
