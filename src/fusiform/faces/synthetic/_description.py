"""Descriptions of sets of synthetic faces as text: TOML files, and the short forms of a specification."""

import tomllib
from pathlib import Path
from typing import Any

from fusiform.errors import SpecError, nearest
from fusiform.faces.synthetic._factors import FACTORS

__all__ = ["correlations_of", "fixed_of", "marginals_of", "read_description"]

# The options of a description, and which of the TOML's types each is.
_OPTIONS: dict[str, tuple[type, str]] = {
    "n": (int, "a whole number"),
    "seed": (int, "a whole number"),
    "size": (int, "a whole number"),
    "identities": (int, "a whole number"),
    "per_identity": (int, "a whole number"),
    "covariation": (bool, "true or false"),
    "fixed": (dict, "a table, [fixed]"),
    "marginals": (dict, "a table, [marginals]"),
    "correlations": (list, "an array of tables, [[correlations]]"),
}


def read_description(path: Path) -> dict[str, Any]:
    """The options that a description file gives."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SpecError(
            f"The description '{path}' of synthetic faces cannot be read as TOML: {reason}."
        ) from error
    for name, value in found.items():
        if name not in _OPTIONS:
            raise SpecError(
                f"The description '{path}' has '{name}', which is no option; {nearest(name, _OPTIONS)}"
            )
        kind, text = _OPTIONS[name]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise SpecError(f"In the description '{path}', '{name}' must be {text}; got {value!r}.")
    pairs: dict[tuple[str, str], float] = {}
    for entry in found.get("correlations", []):
        between = entry.get("between") if isinstance(entry, dict) else None
        if not isinstance(between, list) or len(between) != 2 or set(entry) != {"between", "value"}:
            raise SpecError(
                f"In the description '{path}', each of [[correlations]] must have between = [NAME, NAME] and value = "
                f"NUMBER; got {entry!r}."
            )
        pairs = _add_pair(pairs, str(between[0]), str(between[1]), entry["value"])
    if "correlations" in found:
        found["correlations"] = pairs
    return found


def _add_pair(
    pairs: dict[tuple[str, str], float], a: str, b: str, value: float
) -> dict[tuple[str, str], float]:
    if (a, b) in pairs or (b, a) in pairs:
        raise SpecError(f"The correlation of '{a}' and '{b}' is given twice.")
    return {**pairs, (a, b): value}


def _number(text: str, item: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SpecError(f"'{text}' in '{item}' is no number.") from None


def _split(items: tuple[str, ...], option: str, example: str) -> dict[str, str]:
    out: dict[str, str] = {}
    for item in items:
        name, colon, value = item.rpartition(":")
        if not colon or not name or not value:
            raise SpecError(f"'{option}' is written as in '{option}={example}'; got '{item}'.")
        if name in out:
            raise SpecError(f"'{name}' stands twice in '{option}'.")
        out[name] = value
    return out


def fixed_of(items: tuple[str, ...]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in _split(items, "fixed", "yaw:0,hat:none").items():
        factor = FACTORS.get(name)
        if factor is not None and factor.kind == "binary":
            if value.lower() not in ("true", "false"):
                raise SpecError(f"'{name}' is fixed to true or false; got '{value}'.")
            out[name] = value.lower() == "true"
        else:
            out[name] = (
                value if factor is not None and factor.levels else _number(value, f"fixed={name}:{value}")
            )
    return out


def marginals_of(items: tuple[str, ...]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in _split(items, "marginals", "Eyeglasses:0.5,yaw:-45..45").items():
        low, dots, high = value.partition("..")
        item = f"marginals={name}:{value}"
        out[name] = (_number(low, item), _number(high, item)) if dots else _number(value, item)
    return out


def correlations_of(items: tuple[str, ...]) -> dict[tuple[str, str], float]:
    out: dict[tuple[str, str], float] = {}
    for pair, value in _split(items, "correlations", "Male*Eyeglasses:0.6").items():
        a, star, b = pair.partition("*")
        if not star or not a or not b:
            raise SpecError(
                f"'correlations' is written as in 'correlations=Male*Eyeglasses:0.6'; got '{pair}:{value}'."
            )
        out = _add_pair(out, a, b, _number(value, f"correlations={pair}:{value}"))
    return out
