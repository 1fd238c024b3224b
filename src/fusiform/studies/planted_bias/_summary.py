"""Values over the seeds: means with t intervals, and whether the end points differ by more than the seeds do."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from fusiform.studies._findings import Estimate

# What the paper says of a quantity between P = 50 and P = 100.
_PAPER = {
    "eyeglasses units": "more than three times as many",
    "Eye region units": "more",
    "Cheek region units": "fewer",
    "biased units": "more, at every stage",
    "grey among top men": "not shown",
    "grey among top women": "not shown",
    "eyeglasses among top men": "more",
    "eyeglasses among top women": "fewer",
}


def over_seeds(values: Float[ndarray, " n"], level: float = 0.95) -> Estimate:
    """The mean with its t interval; without one for a single seed.

    Examples
    --------
    >>> over_seeds(np.array([1.0, 2.0, 3.0])).plain()
    '2.00 (−0.48 to 4.48)'
    """
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean()) if len(values) else np.nan
    if len(values) < 2:
        return Estimate(mean, np.nan, np.nan)
    from scipy.stats import t

    half = float(t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Estimate(mean, mean - half, mean + half)


def summary(values: pd.DataFrame) -> pd.DataFrame:
    """``cue, percent, quantity, layer, value, lower, upper, std, n_seeds`` of ``cue, percent, seed, quantity, layer, value``."""
    rows = []
    for key, each in values.groupby(["cue", "percent", "quantity", "layer"], sort=False):
        found = each["value"].to_numpy(dtype=np.float64)
        estimate = over_seeds(found)
        std = float(found.std(ddof=1)) if len(found) > 1 else np.nan
        rows.append((*key, estimate.value, estimate.lower, estimate.upper, std, len(found)))
    columns = ["cue", "percent", "quantity", "layer", "value", "lower", "upper", "std", "n_seeds"]
    return pd.DataFrame(rows, columns=columns)


def ratios(values: pd.DataFrame) -> pd.DataFrame:
    """Highest against lowest percentage, paired by seed.

    Returns
    -------
    DataFrame
        ``cue, layer, quantity, percent_high, percent_low, ratio`` (of the means; NaN where the lower is 0), ``difference``
        with its t interval ``lower, upper``, ``spread`` (the larger of the ranges over the seeds at the two percentages),
        ``exceeds`` (whether the difference's size is greater than the spread; missing with fewer than two seeds), ``agrees``
        (whether it has the paper's sign; missing where the paper shows none) and ``paper``.
    """
    rows = []
    for (cue, layer, quantity), each in values.groupby(["cue", "layer", "quantity"], sort=False):
        table = each.pivot_table(index="seed", columns="percent", values="value").dropna()
        if table.shape[1] < 2 or not len(table):
            continue
        low, high = table[table.columns.min()], table[table.columns.max()]
        change = over_seeds((high - low).to_numpy())
        spread, exceeds = np.nan, None
        if len(table) > 1:
            spread = max(float(np.ptp(low)), float(np.ptp(high)))
            exceeds = bool(abs(change.value) > spread)
        rows.append(
            {
                "cue": cue,
                "layer": layer,
                "quantity": quantity,
                "percent_high": int(table.columns.max()),
                "percent_low": int(table.columns.min()),
                "ratio": float(high.mean() / low.mean()) if low.mean() else np.nan,
                "difference": change.value,
                "lower": change.lower,
                "upper": change.upper,
                "spread": spread,
                "exceeds": exceeds,
                "agrees": _agrees(change.value, _PAPER.get(str(quantity), "")),
                "paper": _PAPER.get(str(quantity), ""),
            }
        )
    columns = [
        "cue", "layer", "quantity", "percent_high", "percent_low", "ratio", "difference", "lower", "upper", "spread",
        "exceeds", "agrees", "paper",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).astype({"exceeds": "boolean", "agrees": "boolean"})


def _agrees(change: float, paper: str) -> bool | None:
    return change > 0 if paper.startswith("more") else change < 0 if paper.startswith("fewer") else None
