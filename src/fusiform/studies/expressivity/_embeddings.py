"""Features that somebody has, and what is known of their images: files in, arrays out."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from fusiform.errors import DataError, nearest
from fusiform.faces._schema import read_attributes
from fusiform.faces._tables import read_table
from fusiform.studies.expressivity._asked import Known

_TABLES = (".parquet", ".csv", ".tsv")
_IDS = ("image_id", "index")
_NAMES = ("features", "embeddings")


@dataclass(frozen=True)
class Embeddings:
    """Features and what is known of their images, row by row.

    Attributes
    ----------
    values : array, shape (n, m)
        The features, float32.
    known : Known
        The attributes.
    said : tuple of str
        What was left aside while reading.
    """

    values: Float[ndarray, "n m"]
    known: Known
    said: tuple[str, ...]


def read_embeddings(
    features: str | Path, attributes: str | Path, *, identity: str | None = None
) -> Embeddings:
    """Read features and attributes, and bring their rows together.

    Rows belong together by ``image_id`` (or a column or index called ``index``) where both files have it, otherwise by
    their order.

    Parameters
    ----------
    features : str or Path
        .npy or .npz with an array (n, features), or .parquet, .csv, .tsv with a column a feature, or one column of lists
        (of several the one called ``features`` or ``embeddings``, else the first). Columns whose names are among the attributes
        are left aside. Nothing is ever unpickled.
    attributes : str or Path
        .csv, .tsv or .parquet: a row an image, a column an attribute. Kinds are inferred as for ``table:FILE``.
    identity : str, optional
        The column that says who is shown.

    Returns
    -------
    Embeddings
        What was read.

    Raises
    ------
    DataError
        If a file is missing or unreadable, features are no finite numbers, or the rows do not fit each other.
    """
    features, attributes = Path(features).expanduser(), Path(attributes).expanduser()
    for path, what in ((features, "features"), (attributes, "attributes")):
        if not path.is_file():
            raise DataError(f"There is no file of {what} '{path}'.")
    table = read_table(attributes)
    values, ids, said = _read_features(features, {str(name) for name in table})
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise DataError(
            f"The features '{features}' hold NaN or infinite values in {len(bad)} of {len(values)} rows, the first of them row "
            f"{bad[0]} (from 0). Leave these rows out, here and in the attributes."
        )
    own = next((name for name in _IDS if name in table), None)
    if ids is not None and own is not None:
        table, more = _merged(ids, table, own, features, attributes)
        said += more
    elif len(table) != len(values):
        raise DataError(
            f"The features '{features}' have {len(values)} rows and the attributes '{attributes}' {len(table)}; they must be as "
            "many, in the same order, or both have a column 'image_id'."
        )
    if identity is not None and identity not in table:
        raise DataError(
            f"'{attributes}' has no column '{identity}'; {nearest(identity, map(str, table.columns))}"
        )
    kinds = {} if identity is None else {identity: "identity"}
    read = read_attributes(table.drop(columns=[name for name in _IDS if name in table]), kinds)
    said += tuple(
        f"Column '{name}' of '{attributes}' is left aside: {why}" for name, why in read.ignored.items()
    )
    found = next((name for name, a in read.schema.items() if a.kind == "identity"), None)
    return Embeddings(values, Known(read.table, read.schema, identity or found, attributes.stem), said)


def _read_features(path: Path, known: set[str]) -> tuple[ndarray, pd.Series | None, tuple[str, ...]]:
    """Features, their rows' ids where the file has some, and what was left aside: `known` are columns of attributes."""
    if path.suffix in (".npy", ".npz"):
        return _matrix(_read_array(path), path), None, ()
    if path.suffix not in _TABLES:
        raise DataError(
            f"Features are read from .npy, .npz, .parquet, .csv and .tsv files; got '{path.name}'."
        )
    table = read_table(path)
    own = next((name for name in _IDS if name in table), None)
    ids = None if own is None else table[own].astype("string")
    # An index that was saved beside the columns is no feature.
    table = table.drop(columns=[name for name in table if name in _IDS or str(name).startswith("Unnamed: ")])
    lists = [name for name in table if isinstance(table[name].iloc[0], list | tuple | ndarray)]
    if lists:
        one = next((name for name in _NAMES if name in lists), lists[0])
        left = dict.fromkeys((name for name in table if name != one), f"the features are those of '{one}'")
        return _matrix(_stacked(table[one], path), path), ids, _said(left, path)
    # What is asked of the features must not stand among them.
    left = dict.fromkeys((name for name in table if str(name) in known), "it is an attribute")
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in table if name not in left}
    # A column that holds words somewhere is no feature; one with empty cells is, and is complained about.
    left |= {
        name: "it holds no numbers"
        for name, own in numbers.items()
        if (own.isna() & table[name].notna()).any()
    }
    kept = [name for name in table if name not in left]
    if not kept:
        raise DataError(
            f"'{path}' has no columns of features. Features are columns of numbers that are not among the attributes, or one column "
            f"of lists; give attributes a file of their own. Left aside: {'; '.join(f'{name}: {why}' for name, why in [*left.items()][:8])}."
        )
    values = np.stack([numbers[name].to_numpy(dtype=np.float32, na_value=np.nan) for name in kept], axis=1)
    return values, ids, _said(left, path)


def _said(left: Mapping[Hashable, str], path: Path) -> tuple[str, ...]:
    return tuple(f"Column '{name}' of '{path}' is left aside: {why}" for name, why in left.items())


def _read_array(path: Path) -> ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        if "pickle" in str(error).lower():
            raise DataError(
                f"'{path}' holds pickled Python objects or is no array file, and is not opened. Save the features as an array of "
                "numbers: np.save(file, features.astype('float32'))."
            ) from error
        raise DataError(f"The features '{path}' cannot be read: {error}") from error
    if isinstance(loaded, ndarray):
        return loaded
    with loaded:
        names = loaded.files
        name = names[0] if len(names) == 1 else next((n for n in _NAMES if n in names), None)
        if name is None:
            raise DataError(
                f"'{path}' holds {len(names)} arrays ({', '.join(names[:8])}); call the one that is meant 'features'."
            )
        try:
            found: ndarray = loaded[name]
        except ValueError as error:
            raise DataError(
                f"The array '{name}' of '{path}' holds Python objects; save it as numbers."
            ) from error
        return found


def _matrix(values: ndarray, path: Path) -> Float[ndarray, "n m"]:
    if values.dtype.kind not in "fiub" or values.ndim < 2 or values.size == 0:
        raise DataError(
            f"The features '{path}' must be numbers in an array (n, features); got type {values.dtype} and shape {values.shape}."
        )
    return np.ascontiguousarray(values.reshape(len(values), -1), dtype=np.float32)


def _stacked(column: pd.Series, path: Path) -> ndarray:
    lengths = column.map(lambda row: len(row) if isinstance(row, list | tuple | ndarray) else -1)
    if lengths.nunique() != 1:
        odd = int(np.flatnonzero(lengths != lengths.iloc[0])[0])
        raise DataError(
            f"The column '{column.name}' of '{path}' holds features of different lengths: {lengths.iloc[0]} in row 0, "
            f"{max(0, lengths.iloc[odd])} in row {odd}."
        )
    return np.stack([np.asarray(row) for row in column])


def _merged(
    ids: pd.Series, table: pd.DataFrame, own: str, features: Path, attributes: Path
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    known = table[own].astype("string")
    for names, path in ((ids, features), (known, attributes)):
        twice = names[names.duplicated()]
        if len(twice):
            raise DataError(
                f"'{path}' has {len(twice)} rows of an image that it has already, such as '{twice.iloc[0]}'."
            )
    lacking = ids[~ids.isin(known)]
    if len(lacking):
        raise DataError(
            f"{len(lacking)} of the {len(ids)} images of '{features}' are not in '{attributes}', the first of them "
            f"'{lacking.iloc[0]}'. Add them, with empty cells where nothing is known."
        )
    rows = table.set_index(known).loc[ids].reset_index(drop=True)
    more = len(known) - len(ids)
    said = (f"{more} images of '{attributes}' have no features and are left aside",) if more else ()
    return rows, said
