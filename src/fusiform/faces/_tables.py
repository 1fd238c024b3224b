"""Read tables as people keep them: CSV, TSV, parquet."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from fusiform.errors import DataError, nearest
from fusiform.faces._images import SUFFIXES, UnreadableImageError
from fusiform.faces._landmark_columns import landmark_columns, read_points
from fusiform.faces._stores import ImageStore

T = TypeVar("T")

_IMAGE_COLUMN = re.compile(
    r"^(image|img|file|photo|picture|face)?_?(file)?_?(name|path|file|id)?$|^(image|img|file|photo|picture)s?$"
)
_NOT_ALONE = {"", "id", "name", "face"}


def _each_once(names: pd.Series, path: Path) -> None:
    twice = names[names.duplicated()].tolist()
    if twice:
        raise DataError(
            f"The table '{path}' has the column '{twice[0]}' more than once; give each its own name."
        )


def _read_parquet(path: Path) -> pd.DataFrame:
    table = pd.read_parquet(path)
    # pandas keeps an index beside the columns; file names often are one.
    return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()


def _read_text(path: Path, separator: str) -> pd.DataFrame:
    common: dict[str, Any] = {"dtype": str, "sep": separator, "encoding": "utf-8-sig"}
    # pandas would rename a repeated column and take surplus values in the first row for an index.
    _each_once(pd.read_csv(path, header=None, nrows=1, **common).iloc[0].dropna().str.strip(), path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, index_col=False, **common)


def read_table(path: Path) -> pd.DataFrame:
    """A table from .csv, .tsv or .parquet; text columns stay text, so that '007' keeps its zeros."""
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind not in ("csv", "tsv", "parquet"):
        raise DataError(f"Tables are read from .csv, .tsv and .parquet files; got '{path.name}'.")
    try:
        table = _read_parquet(path) if kind == "parquet" else _read_text(path, "\t" if kind == "tsv" else ",")
    except DataError:
        raise
    except (
        ValueError,
        OSError,
        pd.errors.ParserWarning,
    ) as error:  # pandas' and pyarrow's parsing errors too
        raise DataError(f"The table '{path}' cannot be read: {str(error).strip()}.") from error
    table.columns = [str(column).strip() for column in table.columns]
    _each_once(pd.Series(table.columns), path)
    if not len(table):
        raise DataError(f"The table '{path}' has no rows.")
    return table.reset_index(drop=True)


def _share_of_files(column: pd.Series) -> float:
    text = column.dropna().astype(str).str.lower()
    return float(text.str.endswith(SUFFIXES).mean()) if len(text) else 0.0


def image_column(table: pd.DataFrame, wanted: str | None, path: Path) -> str:
    """The column that names the image files: as asked, or by name, or because it holds file names."""
    columns = list(table.columns)
    if wanted is not None:
        if wanted not in columns:
            raise DataError(f"The table '{path}' has no column '{wanted}'; {nearest(wanted, columns)}")
        return wanted
    named = [c for c in columns if _IMAGE_COLUMN.match(c.lower()) and c.lower() not in _NOT_ALONE]
    files = [c for c in columns if _share_of_files(table[c]) > 0.5]
    for candidates in (
        [c for c in named if c in files],
        [c for c in files if "mask" not in c.lower()],
        named,
    ):
        if candidates:
            return candidates[0]
    raise DataError(
        f"No column of '{path}' names image files. Looked for one called file, image, image_id, path, ... or holding names "
        f"that end in {', '.join(SUFFIXES[:4])}, ...; the columns are {', '.join(columns[:12])}. Give image_column=NAME."
    )


def present(
    ids: Sequence[str], store: ImageStore, stored: Sequence[str]
) -> tuple[Bool[ndarray, " n"], pd.DataFrame]:
    """Which of the listed images are there, and the others with the reason, for a face set's `skipped`."""
    there = np.array([store.has(name) for name in stored], dtype=bool)
    missing = [i for i, is_there in enumerate(there) if not is_there]
    return there, left_out({ids[i]: _why_missing(store, stored[i]) for i in missing})


def _why_missing(store: ImageStore, name: str) -> str:
    try:
        store.read(name)
    except UnreadableImageError as error:
        return str(error)
    return f"no such file in {store.root}"


def left_out(reasons: Mapping[str, str]) -> pd.DataFrame:
    """Images left out and why, as a face set's `skipped` wants them."""
    return pd.DataFrame({"image_id": list(reasons), "reason": list(reasons.values())})


def need_columns(table: pd.DataFrame, wanted: Sequence[str], path: Path, what: str) -> None:
    """Raise DataError unless a published table has its columns."""
    lacking = [name for name in wanted if name not in table.columns]
    if lacking:
        raise DataError(
            f"'{path}' is not {what}: it must have the columns {', '.join(wanted)}, and lacks {', '.join(lacking)}; "
            f"its columns are {', '.join(map(str, table.columns[:12]))}."
        )


def coded(column: pd.Series, codes: Mapping[str, T], path: Path, *, first_line: int = 2) -> list[T | None]:
    """What the codes of a column stand for, None for empty cells; a code that is not known raises, with its line."""
    text = column.astype("string").str.strip()
    values: list[T | None] = []
    for line, (value, unknown) in enumerate(zip(text, text.isna() | (text == ""), strict=True), first_line):
        if not unknown and value not in codes:
            raise DataError(
                f"Line {line} of '{path}': '{column.name}' must be one of {', '.join(codes)}; got '{value}'."
            )
        values.append(None if unknown else codes[value])
    return values


def points_beside(folder: Path, names: Sequence[str]) -> Float[ndarray, "n p 2"] | None:
    """Points of images from a labels.csv or landmarks.csv in their folder, NaN for those it does not list."""
    for table_path in (folder / "labels.csv", folder / "landmarks.csv"):
        if not table_path.is_file():
            continue
        table = read_table(table_path)
        columns = landmark_columns(list(table.columns))
        if columns is None:
            continue
        points, _ = read_points(table, columns[1])
        row_of = {str(name): i for i, name in enumerate(table[image_column(table, None, table_path)])}
        rows = np.array([row_of.get(name, row_of.get(name.rpartition("/")[2], -1)) for name in names])
        joined = points[rows]
        joined[rows < 0] = np.nan
        if np.isfinite(joined).any():
            return joined
    return None
