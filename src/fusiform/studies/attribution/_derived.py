"""What follows from the measures of all methods together: chance, what a method beats, ranks."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from fusiform.evaluation import BASELINE_MAPS, summarise
from fusiform.studies.attribution._schema import typed

FAITHFUL = (
    "deletion",
    "insertion",
    "mask_and_evaluate",
    "sensitivity_n",
    "inpainting_far_1e-2",
    "inpainting_far_5e-2",
    "parameter_randomization",
)
"""Measures whose ranks are averaged: those that only a map of what the network does can win. Stability, invariance and symmetry
are won by maps that ignore the network, completeness by scale, and pointing games presume where the network looks."""

_KEY = ["network", "target", "metric"]


def compared(measures: pd.DataFrame, values: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Put beside each measure that of random maps, and which baseline maps the method beats.

    A method beats a baseline map if the whole 95% interval of the difference, of the same images where there are values of
    each, is on the better side; without values, if its interval lies beyond that of the baseline map.

    Parameters
    ----------
    measures, values : DataFrame
        The tables of these names; a method's row may lack `chance` and `beats`.
    seed : int, default 0
        Of the intervals.

    Returns
    -------
    DataFrame
        The measures with `chance` and `beats`.

    Examples
    --------
    >>> rows = [{"network": "a", "target": "t", "metric": "insertion", "better": "higher", "method": m, "value": v, "lower": v,
    ...          "upper": v, "n": 1, "n_identities": 1, "baseline_map": m == "random"} for m, v in (("random", 0.2), ("lrp", 0.7))]
    >>> compared(typed("measures", rows), typed("values", []))[["method", "chance", "beats"]].values.tolist()
    [['random', 0.2, ''], ['lrp', 0.2, 'random']]
    """
    out = measures.copy()
    each = dict(iter(values.groupby(_KEY, sort=False)))
    for key, rows in out.groupby(_KEY, sort=False):
        own = each.get(key, values.iloc[:0])
        wide = own.pivot_table(index=["image_id", "identity"], columns="method", values="value", dropna=False)
        bases = rows[rows["baseline_map"].fillna(False)].set_index("method")
        chance = bases["value"].get("random", np.nan)
        out.loc[rows.index, "chance"] = chance
        for at, row in rows.iterrows():
            out.loc[at, "beats"] = ", ".join(_beaten(row, bases, wide, seed))
    return typed("measures", out)


def _beaten(row: pd.Series, bases: pd.DataFrame, wide: pd.DataFrame, seed: int) -> Iterable[str]:
    sign = 1.0 if row["better"] == "higher" else -1.0
    for kind in BASELINE_MAPS:
        if kind == row["method"] or kind not in bases.index:
            continue
        if row["method"] in wide and kind in wide:
            gap = sign * (wide[row["method"]] - wide[kind])
            people = wide.index.get_level_values("identity").to_numpy()
            won = summarise(gap.to_numpy(dtype=float), people, seed=seed).lower > 0
        else:
            base = bases.loc[kind]
            won = row["lower"] > base["upper"] if sign > 0 else row["upper"] < base["lower"]
        if won:
            yield kind


def ranks(measures: pd.DataFrame) -> pd.DataFrame:
    """Rank methods and baseline maps by each measure, 1 for the best, and by the mean of ranks.

    Parameters
    ----------
    measures : DataFrame
        The table of this name.

    Returns
    -------
    DataFrame
        The table `ranks`: a row a method and metric; ``"mean"`` is the mean rank over those of `FAITHFUL` that the method has.
    """
    known = measures[measures["value"].notna()].copy()
    if not len(known):
        return typed("ranks", [])
    known["badness"] = known["value"].where(known["better"] == "lower", -known["value"])
    by = known.groupby(_KEY, sort=False)["badness"]
    known["rank"], known["of"] = by.rank(method="average"), by.transform("size")
    known["in_mean"] = known["metric"].isin(FAITHFUL)
    counted = known[known["in_mean"]]
    mean = (
        counted.groupby(["network", "target", "method", "baseline_map"], sort=False)["rank"]
        .mean()
        .reset_index()
    )
    mean["metric"], mean["in_mean"] = "mean", False
    mean["of"] = mean.groupby(["network", "target"])["method"].transform("size")
    return typed("ranks", pd.concat([known, mean], ignore_index=True))
