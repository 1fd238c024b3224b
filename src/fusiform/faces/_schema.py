"""What the columns of a table of attributes hold: kinds, inferred from names and values or given."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fusiform.errors import DataError, nearest
from fusiform.faces._attribute import KINDS, Attribute, Kind
from fusiform.faces._images import SUFFIXES

_MOST_CLASSES = 50
_IDENTITY = re.compile(
    r"^(identity|identities|person|subject|individual|celebrity|celeb|actor|people|name)(_?(id|no|nr|number|name))?$"
)
_BESIDE = re.compile(
    r"^(unnamed: \d+|index|(face_?)?(b|bounding_?)?box(_.*)?|(det(ection)?_?)?(score|confidence)"
    r"|(seg(mentation)?_?)?masks?(_?(file|path|name))?)$"
)
_MEASURED = re.compile(
    r"(^|_)(yaw|pitch|roll|angle|deg|degrees?|age|years?|score|rating|intensity|brightness|beauty|au_?\d+)(_|$)",
    re.I,
)
_DEGREES = re.compile(r"(^|_)(yaw|pitch|roll|deg|degrees?|angle)(_|$)", re.I)
_YEARS = re.compile(r"(^|_)(age|years?)(_|$)", re.I)
# A whole number as it is written beside missing values.
_WHOLE = re.compile(r"-?\d+\.0+")
_WORDS = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True)
class ReadAttributes:
    """A table with the types its schema says, and the columns left aside with the reason."""

    table: pd.DataFrame
    schema: dict[str, Attribute]
    ignored: dict[str, str]


def _numbers(column: pd.Series) -> pd.Series | None:
    """The column as floats with NaN, None when it holds something that is no number."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.astype("Float64").astype("float64") if column.isna().any() else column.astype("float64")
    try:
        numbers = pd.to_numeric(column).astype("Float64").astype("float64")
    except (ValueError, TypeError):
        return None
    return numbers.where(np.isfinite(numbers))


def _text(column: pd.Series) -> pd.Series:
    """The column as strings with NA; 3.0 beside a missing value was 3."""
    numbers = (
        None if column.dtype == object or pd.api.types.is_string_dtype(column.dtype) else _numbers(column)
    )
    if numbers is not None and not pd.api.types.is_bool_dtype(column.dtype):
        known = numbers.dropna()
        if (known == known.round()).all():
            return numbers.astype("Int64").astype("string")
    text = column.astype("string").str.strip()
    text = text.mask(text == "")
    known = text.dropna()
    if len(known) and known.str.fullmatch(_WHOLE).all():
        return text.str.replace(r"\.0+$", "", regex=True)
    return text


def infer_kind(column: pd.Series, name: str) -> Kind | str:
    """The kind of a column, or, starting with "-", why it is left aside."""
    plain = name.strip().lower().replace(" ", "_").replace("-", "_")
    known = column.dropna()
    n = len(known)
    if n == 0:
        return "-no values"
    if _BESIDE.match(name.strip().lower()) or _BESIDE.match(plain):
        return "-by its name it describes the file or the detection, not the face"
    if _IDENTITY.match(plain):
        return "identity"
    if pd.api.types.is_datetime64_any_dtype(column.dtype) or pd.api.types.is_timedelta64_dtype(column.dtype):
        return "-dates and times"
    numbers = _numbers(known)
    if numbers is not None:
        values = set(numbers.dropna().unique())
        if not values:
            return "-no finite values"
        if values <= {0.0, 1.0} or values <= {-1.0, 1.0}:
            return "binary"
        whole = all(value == round(value) for value in values)
        few = len(values) <= 10 and 2 * len(values) <= n
        return "categorical" if whole and few and not _MEASURED.search(plain) else "continuous"
    text = _text(known).dropna()
    lowered = text.str.lower()
    if set(lowered.unique()) <= set(_WORDS):
        return "binary"
    if (
        lowered.str.endswith((*SUFFIXES, ".npy", ".npz", ".mat", ".pts", ".xml", ".json", ".txt")).mean()
        > 0.9
    ):
        return "-it holds file names"
    classes = text.nunique()
    if classes <= _MOST_CLASSES and (2 * classes <= n or (classes <= 10 and (classes < n or n <= 2))):
        return "categorical"
    return f"-text with {classes:,} different values; open with identity={name} if it says who is shown"


def as_kind(column: pd.Series, kind: str, name: str) -> pd.Series:
    """A column converted to the type of its kind; raises DataError naming the first value that does not fit."""
    column = column.reset_index(drop=True)
    if kind in ("categorical", "identity"):
        return _text(column).rename(name)
    if kind == "continuous":
        numbers = _numbers(column)
        if numbers is None:
            row = int(column.index[pd.to_numeric(column, errors="coerce").isna() & column.notna()][0])
            raise DataError(
                f"The continuous attribute '{name}' holds {column[row]!r} in row {row + 1}, which is no number. Correct it, "
                f"leave the cell empty if it is unknown, or open with categorical={name} or ignore={name}."
            )
        return numbers.rename(name)
    numbers = _numbers(column)
    if numbers is None:
        text = _text(column).str.lower()
        odd = text[text.notna() & ~text.isin(list(_WORDS))]
        if len(odd) == 0:
            return text.map(_WORDS).astype("boolean").rename(name)
        raise _not_binary(name, column[odd.index[0]], int(odd.index[0]))
    values = set(numbers.dropna().unique())
    if not (values <= {0.0, 1.0} or values <= {-1.0, 1.0}):
        odd = numbers[numbers.notna() & ~numbers.isin([-1.0, 0.0, 1.0])]
        if len(odd):
            raise _not_binary(name, float(odd.iloc[0]), int(odd.index[0]))
        raise _not_binary(name, "-1, 0 and 1")
    flags = (numbers > 0).astype("boolean")
    return flags.mask(numbers.isna()).rename(name)


def _not_binary(name: str, value: object, row: int | None = None) -> DataError:
    where = "" if row is None else f" in row {row + 1}"
    return DataError(
        f"The binary attribute '{name}' must hold -1 and 1, 0 and 1, true and false or yes and no; got {value!r}{where}. "
        f"Correct it, leave the cell empty if it is unknown, or open with categorical={name}."
    )


def unit_of(name: str, kind: str) -> str | None:
    """The unit that a column's name tells."""
    if kind != "continuous":
        return None
    return "deg" if _DEGREES.search(name) else "years" if _YEARS.search(name) else None


def given_kinds(**columns: Sequence[str]) -> dict[str, str]:
    """Columns by the kind, or "ignore", that a person gave them, as kinds by column."""
    return {name: kind for kind, names in columns.items() for name in names}


def read_attributes(table: pd.DataFrame, kinds: Mapping[str, str] | None = None) -> ReadAttributes:
    """Give every column of a table its kind and type.

    `kinds` maps column names to a kind or "ignore" and wins over inference. Inference, in this order: columns
    named like boxes, scores, masks or an index are left aside; columns named identity, person, subject, name,
    ... are identities; values -1/1, 0/1, true/false, yes/no are binary; numbers are continuous, but whole
    numbers with at most ten values, each twice on average, are categorical unless the name speaks of an angle,
    an age, a score or an intensity; text with few values is categorical; file names and free text are left aside.
    """
    kinds = dict(kinds or {})
    for name, kind in kinds.items():
        if name not in table.columns:
            raise DataError(f"The table has no column '{name}'; {nearest(name, map(str, table.columns))}")
        if kind not in (*KINDS, "ignore"):
            raise DataError(
                f"Column '{name}': a kind must be one of {', '.join(KINDS)} or ignore; got '{kind}'."
            )
    columns: dict[str, pd.Series] = {}
    schema: dict[str, Attribute] = {}
    ignored: dict[str, str] = {}
    for name in map(str, table.columns):
        kind = kinds.get(name) or infer_kind(table[name], name)
        if kind == "ignore":
            ignored[name] = "as asked"
        elif kind.startswith("-"):
            ignored[name] = kind[1:]
        else:
            columns[name] = as_kind(table[name], kind, name)
            schema[name] = Attribute(kind, unit=unit_of(name, kind))  # type: ignore[arg-type]
    return ReadAttributes(pd.DataFrame(columns, index=range(len(table))), schema, ignored)
