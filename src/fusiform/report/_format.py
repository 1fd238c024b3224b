import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

_MINUS = "\N{MINUS SIGN}"
_DASH = "\N{EN DASH}"
_LABELS = {
    "n": "Number",
    "n_train": "Training images at most",
    "n_valid": "Validation images at most",
    "n_components": "PLS components",
    "n_landmarks": "Landmarks a face",
    "n_with_one_image": "Identities with one image",
    "spec": "Specification",
    "std": "Standard deviation",
    "align": "Alignment asked",
}


def missing(value: Any) -> bool:
    """Whether a value of a table or a card is not there."""
    if value is None:
        return True
    if isinstance(value, list | tuple | dict | str):
        return False
    return bool(pd.isna(value))


def number(value: Any, digits: int = 2) -> str:
    """Write a number with a fixed count of decimals and a true minus sign; a dash where it is missing.

    Examples
    --------
    >>> number(0.9666), number(-0.004), number(None)
    ('0.97', '0.00', '–')
    """
    if missing(value):
        return _DASH
    text = f"{float(value):.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", _MINUS)


def signed(value: Any, digits: int = 2) -> str:
    """Write a difference with its sign.

    Examples
    --------
    >>> signed(0.256), signed(-0.1), signed(float("nan"))
    ('+0.26', '−0.10', '–')
    """
    text = number(value, digits)
    return f"+{text}" if text[0].isdigit() and float(text) > 0 else text


def interval(lower: Any, upper: Any, digits: int = 2) -> str:
    """Write an interval.

    Examples
    --------
    >>> interval(0.951, 0.98), interval(None, 1)
    ('0.95 to 0.98', '–')
    """
    if missing(lower) or missing(upper):
        return _DASH
    return f"{number(lower, digits)} to {number(upper, digits)}"


def count(value: Any) -> str:
    """Write a count with commas.

    Examples
    --------
    >>> count(10000), count(float("nan"))
    ('10,000', '–')
    """
    return _DASH if missing(value) else f"{int(value):,}"


def percent(value: Any) -> str:
    """Write a share as a percentage, with a decimal where it is small.

    Examples
    --------
    >>> percent(0.231), percent(0.021), percent(None)
    ('23%', '2.1%', '–')
    """
    if missing(value):
        return _DASH
    share = 100 * float(value)
    return f"{share:.1f}%" if 0 < share < 10 else f"{share:.0f}%"


def large(value: Any) -> str:
    """Write a large count in words.

    Examples
    --------
    >>> large(998), large(271_000), large(1_240_000)
    ('998', '271,000', '1.24 million')
    """
    if missing(value):
        return _DASH
    if value < 1_000_000:
        return count(value)
    return f"{value / 1e6:.3g} million"


def seconds(value: Any) -> str:
    """Write a duration.

    Examples
    --------
    >>> seconds(0.034), seconds(12.3), seconds(754)
    ('0.03 s', '12.3 s', '12 min 34 s')
    """
    if missing(value):
        return _DASH
    value = float(value)
    if value < 1:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def scalar(value: Any) -> str:
    """Write a plain value of a card.

    Examples
    --------
    >>> scalar(True), scalar(0.5), scalar(12000), scalar(None), scalar("x")
    ('yes', '0.5', '12,000', 'not given', 'x')
    """
    if missing(value) or value == "":
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return (f"{value:,}" if abs(value) >= 10_000 else str(value)).replace("-", _MINUS)
    if isinstance(value, float):
        if value.is_integer() and math.isfinite(value) and abs(value) < 1e15:
            return scalar(int(value))
        return f"{value:.4g}".replace("-", _MINUS)
    return str(value)


def words(key: Any) -> str:
    """Write a key of a card as a label.

    Examples
    --------
    >>> words("n_parameters"), words("weights_digest"), words("memory_gb"), words("n")
    ('Parameters', 'Weights digest', 'Memory (GB)', 'Number')
    """
    if key in _LABELS:
        return _LABELS[key]
    text = str(key).removeprefix("n_").replace("_", " ").strip()
    if text.endswith(" gb"):
        text = text[:-3] + " (GB)"
    return text[:1].upper() + text[1:]


def listing(names: Sequence[str], most: int = 6) -> str:
    """Join names as in a sentence, the rest counted.

    Examples
    --------
    >>> listing(["a"]), listing(["a", "b", "c"]), listing(list("abcd"), most=2)
    ('a', 'a, b and c', 'a, b and 2 more')
    """
    shown = list(names[:most])
    if len(names) > most:
        return ", ".join(shown) + f" and {len(names) - most} more"
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" and {shown[-1]}" if shown else ""


def breakable(text: Any) -> Markup:
    """Let a long name be broken after a dot, an underscore, a slash or a hyphen; markup stays as it is.

    Examples
    --------
    >>> breakable("layer1.0"), breakable(Markup("<b>a.b</b>"))
    (Markup('layer1.<wbr>0'), Markup('<b>a.b</b>'))
    """
    if isinstance(text, Markup):
        return text
    return Markup(re.sub(r"([._/\-])(?=\w)", r"\1<wbr>", str(Markup.escape(text))))
