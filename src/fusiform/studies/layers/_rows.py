"""What the analyses share: rows of the table of probes, thirds of depth, intervals over attributes."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.statistics import batched_cluster_intervals, cluster_intervals

RANDOM_WEIGHTS = " (random weights)"
PLACE = ["network", "setup", "control", "layer", "depth", "relative_depth"]
# Balanced accuracy judges binary and categorical attributes, R² continuous ones.
_PRIMARY = ("balanced_accuracy", "r2")


def require(table: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise DataError(f"The table '{what}' lacks the columns {missing}; it has {list(table.columns)}.")


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `setup` and `control`, which a table of one network may lack."""
    named = table["network"].astype(str)
    setup = table.get("setup", named)
    control = table["control"] if "control" in table else named.str.endswith(RANDOM_WEIGHTS)
    return table.assign(network=named, setup=setup.astype(str), control=control.astype(bool))


def validation_rows(probes: pd.DataFrame, unit_kinds: Sequence[str] = ("layer",)) -> pd.DataFrame:
    """Values on validation images by the metric each kind of attribute is judged by, in order of depth."""
    require(probes, ["network", "layer", "depth", "attribute", "split", "metric", "value"], "probes")
    rows = probes[(probes["split"] == "valid") & probes["metric"].isin(_PRIMARY)]
    if "unit_kind" in rows:
        rows = rows[rows["unit_kind"].isin(list(unit_kinds))]
    rows = labelled(rows).dropna(subset=["value"])
    rows["unit_kind"] = rows["unit_kind"].astype(str) if "unit_kind" in rows else "layer"
    if "kind" not in rows:
        rows["kind"] = np.where(rows["metric"] == "r2", "continuous", "binary")
    if "relative_depth" not in rows:
        deepest = rows.groupby("network")["depth"].transform("max")
        rows["relative_depth"] = rows["depth"] / deepest.where(deepest > 0, 1)
    if "chance" not in rows:
        rows["chance"] = np.where(rows["metric"] == "r2", 0.0, 0.5)
    return rows.sort_values("depth", kind="stable").reset_index(drop=True)


def skill(value: pd.Series, chance: pd.Series) -> pd.Series:
    """Share of the way from chance to perfect."""
    return (value - chance) / (1 - chance).where(chance < 1)


def in_order(table: pd.DataFrame, column: str = "network") -> pd.Series:
    """Numbers that keep the order in which names first come."""
    return pd.Series(pd.factorize(table[column])[0], index=table.index)


def means_over(values: Float[ndarray, "p n"], seed: int = 0) -> Float[ndarray, "p 3"]:
    """Mean of each row's known values and its 95% interval, the n columns (attributes, blocks) drawn with replacement.

    The ends are NaN where a row has fewer than two values.
    """
    known = np.isfinite(values)
    if not values.size:
        return np.full((len(values), 3), np.nan)
    terms = np.stack([np.where(known, values, 0.0), known], axis=2).astype(np.float64)
    columns = np.arange(values.shape[1])
    found = batched_cluster_intervals(terms, columns, lambda s: s[:, 0] / s[:, 1], seed=seed)
    found[known.sum(axis=1) < 2, 1:] = np.nan
    return found


def interval(values: Iterable[float]) -> tuple[float, float, float]:
    """Mean of the known values and its 95% bootstrap interval."""
    finite = np.asarray([v for v in values if np.isfinite(v)], dtype=np.float64)
    value, lower, upper = means_over(finite[None])[0].tolist()
    return value, lower, upper


def resampled(
    terms: Float[ndarray, "n s"], statistic: Callable[[ndarray], ndarray], *, seed: int = 0
) -> tuple[float, float, float]:
    """A statistic of sums over rows and its interval, rows (attributes, blocks) drawn with replacement."""
    if not len(terms):
        return np.nan, np.nan, np.nan
    value, lower, upper = cluster_intervals(terms, np.arange(len(terms)), statistic, seed=seed)
    return (value, np.nan, np.nan) if len(terms) < 2 else (value, lower, upper)


def difference(values: Float[ndarray, " n"], inside: Bool[ndarray, " n"]) -> tuple[float, float, float]:
    """Mean inside less mean outside, with its interval; both must have members."""
    terms = np.stack([inside * values, inside, ~inside * values, ~inside], axis=1).astype(np.float64)
    return resampled(terms, lambda s: s[:, 0] / s[:, 1] - s[:, 2] / s[:, 3])


def correlations(
    x: Float[ndarray, " n"],
    y: Float[ndarray, " n"],
    group: Int[ndarray, " n"],
    weight: Float[ndarray, " n"] | None = None,
) -> Float[ndarray, " g"]:
    """Pearson's r in each group; NaN with fewer than three known pairs or where one of the two does not vary."""
    n_groups = int(group.max()) + 1 if len(group) else 0
    known = np.isfinite(x) & np.isfinite(y)
    x, y, group = x[known], y[known], group[known]
    weight = np.ones(len(x)) if weight is None else weight[known]

    def total(values: ndarray) -> ndarray:
        return np.bincount(group, weights=weight * values, minlength=n_groups)

    mass = total(np.ones(len(x)))[group]
    dx, dy = x - total(x)[group] / mass, y - total(y)[group] / mass
    r = np.full(n_groups, np.nan)
    # What is left of a constant after its mean is taken off is rounding.
    varies = (total(dx**2) > 1e-24 * total(x**2)) & (total(dy**2) > 1e-24 * total(y**2))
    enough = varies & (np.bincount(group, minlength=n_groups) >= 3)
    r[enough] = total(dx * dy)[enough] / np.sqrt(total(dx**2) * total(dy**2))[enough]
    return r.clip(-1, 1)
