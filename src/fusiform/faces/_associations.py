from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.faces._splits import identity_codes
from fusiform.statistics import cluster_intervals

if TYPE_CHECKING:
    from fusiform.faces._face_set import FaceSet

STRONG = 0.3
"""From which absolute value an association is flagged; "medium" in Cohen (1988)."""

_FEWEST = 10
_COLUMNS = ("attribute", "other", "measure", "value", "lower", "upper", "n", "strong")


def associations(faces: "FaceSet", *, most: int | None = None, intervals: int = 50) -> pd.DataFrame:
    """How strongly attributes of a set go together, pair by pair: what may confound a finding about one of them.

    Two binary attributes: phi; a binary and a continuous one, or two continuous: Pearson's r (point-biserial where one is
    binary); a categorical with a binary or categorical one: Cramér's V, corrected for its bias (Bergsma 2013, J. Korean
    Stat. Soc. 42); a categorical with a continuous one: the correlation ratio eta, corrected likewise (Kelley 1935,
    PNAS 21). All are 0 without association and at most 1. Images on which either is missing are left out. Presence and
    intensity of one thing (``AU_12``, ``AU_12_intensity``) are not compared.

    Parameters
    ----------
    faces : FaceSet
        The set; identities are no attributes here.
    most : int, optional
        Only that many pairs, the strongest; all when not given.
    intervals : int, default 50
        For how many of the strongest pairs, of those with phi or r, a 95% interval is computed, people resampled whole.

    Returns
    -------
    DataFrame
        ``attribute, other, measure, value, lower, upper, n, strong``, the strongest first; `strong` where the absolute
        value is at least 0.3; `lower` and `upper` NaN where none was computed. Pairs of which one does not vary, or with
        fewer than ten images, are not there.

    Examples
    --------
    >>> from fusiform.faces import FaceSet
    >>> table = pd.DataFrame({"Male": [1, 1, 1, 1, 0, 0] * 4, "Bald": [1, 1, 1, 0, 0, 0] * 4})
    >>> faces = FaceSet.from_arrays(np.zeros((24, 3, 8, 8), np.uint8), table)
    >>> associations(faces)[["attribute", "other", "measure", "value"]].round(2).values.tolist()
    [['Male', 'Bald', 'phi', 0.71]]
    """
    if most is not None and most < 1:
        raise DataError(f"'most' must be at least 1 pair; got {most}.")
    kinds = {name: a.kind for name, a in faces.schema.items() if a.kind != "identity"}
    table = faces.table
    numbers = {
        name: table[name].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        for name, kind in kinds.items()
        if kind in ("binary", "continuous")
    }
    codes = {name: _codes(table[name]) for name, kind in kinds.items() if kind in ("binary", "categorical")}
    rows = _of_numbers(numbers, kinds)
    for name, kind in kinds.items():
        if kind != "categorical":
            continue
        for other, other_kind in kinds.items():
            if other_kind == "continuous":
                rows.append((name, other, "eta", *_eta(codes[name], numbers[other])))
            elif other_kind == "binary" or list(kinds).index(other) > list(kinds).index(name):
                rows.append((name, other, "Cramér's V", *_cramers_v(codes[name], codes[other])))
    rows = [row for row in rows if np.isfinite(row[3]) and not _one_thing(row[0], row[1])]
    rows.sort(key=lambda row: -abs(row[3]))
    rows = rows[:most]
    people = None if faces.identity is None else table[faces.identity]
    found = []
    left = intervals
    for name, other, measure, value, n in rows:
        lower = upper = np.nan
        if left > 0 and measure in ("phi", "Pearson r"):
            lower, upper = _interval(numbers[name], numbers[other], people)
            left -= 1
        found.append((name, other, measure, value, lower, upper, n, abs(value) >= STRONG))
    return pd.DataFrame(found, columns=list(_COLUMNS)).astype(
        {"value": float, "lower": float, "upper": float, "n": int, "strong": bool}
    )


def _one_thing(name: str, other: str) -> bool:
    """Whether two names tell presence and intensity of the same thing."""
    return name == f"{other}_intensity" or other == f"{name}_intensity"


def _codes(column: pd.Series) -> Int[ndarray, " n"]:
    """Numbers of the classes, -1 where unknown."""
    return np.asarray(pd.factorize(column)[0], dtype=np.int64)


def _of_numbers(
    numbers: dict[str, ndarray], kinds: Mapping[str, str]
) -> list[tuple[str, str, str, float, int]]:
    """Phi and Pearson's r of all pairs at once."""
    names = list(numbers)
    if len(names) < 2:
        return []
    values = np.stack([numbers[name] for name in names], axis=1)
    known = np.isfinite(values).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Centred and scaled first: sums of squares of raw values would lose their digits.
        total = known.sum(axis=0)
        centred = np.where(known > 0, values - np.nansum(values, axis=0) / total, 0.0)
        centred = np.nan_to_num(centred / np.sqrt((centred**2).sum(axis=0) / total))
        n = known.T @ known
        sums, squares = centred.T @ known, (centred**2).T @ known
        covariance = n * (centred.T @ centred) - sums * sums.T
        variance = n * squares - sums**2
        r = covariance / np.sqrt(variance * variance.T)
    varies = variance > 1e-9 * n**2
    enough = (n >= _FEWEST) & varies & varies.T
    r = np.where(enough, np.clip(r, -1, 1), np.nan)
    rows = []
    for i, j in zip(*np.triu_indices(len(names), 1), strict=True):
        both = kinds[names[i]] == kinds[names[j]] == "binary"
        rows.append((names[i], names[j], "phi" if both else "Pearson r", float(r[i, j]), int(n[i, j])))
    return rows


def _cramers_v(a: Int[ndarray, " n"], b: Int[ndarray, " n"]) -> tuple[float, int]:
    """Cramér's V, corrected for bias, and the number of images."""
    known = (a >= 0) & (b >= 0)
    n = int(known.sum())
    if n < _FEWEST:
        return np.nan, n
    width = int(b.max()) + 1
    counts = np.bincount(a[known] * width + b[known], minlength=(int(a.max()) + 1) * width).reshape(-1, width)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0].astype(np.float64)
    r, k = counts.shape
    if min(r, k) < 2:
        return np.nan, n
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / n
    phi2 = max(0.0, ((counts - expected) ** 2 / expected).sum() / n - (r - 1) * (k - 1) / (n - 1))
    least = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    return (float(np.sqrt(min(1.0, phi2 / least))) if least > 0 else np.nan), n


def _eta(classes: Int[ndarray, " n"], values: Float[ndarray, " n"]) -> tuple[float, int]:
    """The correlation ratio, corrected for bias, and the number of images."""
    known = (classes >= 0) & np.isfinite(values)
    n = int(known.sum())
    classes, values = classes[known], values[known]
    k = len(np.unique(classes))
    if n < _FEWEST or k < 2 or n <= k:
        return np.nan, n
    values = values - values.mean()
    total = float((values**2).sum())
    if total <= 1e-12 * n:
        return np.nan, n
    count = np.bincount(classes)
    means = np.bincount(classes, weights=values) / np.maximum(count, 1)
    within = float(((values - means[classes]) ** 2).sum())
    return float(np.sqrt(max(0.0, 1 - (within / (n - k)) / (total / (n - 1))))), n


def _correlation_of_sums(sums: Float[ndarray, "b 6"]) -> Float[ndarray, " b"]:
    n, x, y, xx, yy, xy = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (n * xy - x * y) / np.sqrt((n * xx - x**2) * (n * yy - y**2))
    return np.asarray(r)


def _interval(
    x: Float[ndarray, " n"], y: Float[ndarray, " n"], people: pd.Series | None
) -> tuple[float, float]:
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known] - x[known].mean(), y[known] - y[known].mean()
    who = np.arange(len(x)) if people is None else identity_codes(people[known].reset_index(drop=True))
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    statistic: Callable[[Any], Any] = _correlation_of_sums
    _, lower, upper = cluster_intervals(terms, who, statistic)
    return lower, upper
