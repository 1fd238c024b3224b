"""What follows from the tables of expressivity: order, correlation with linear probes, expressivity over entropy."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from fusiform.studies.expressivity._measure import HELD_OUT
from fusiform.studies.expressivity._traces import Traces, main_rows, records
from fusiform.studies.layers._rows import RANDOM_WEIGHTS

LAST = "last layer"
_FEWEST = 3  # points of a correlation
ORDER = [
    "network",
    "over",
    "layer",
    "attribute",
    "encoding",
    "estimator",
    "rank",
    "value",
    "lower",
    "upper",
    "p_first",
    "rank_lower",
    "rank_upper",
    "above_next",
]
CORRELATION = [
    "network",
    "over",
    "attribute",
    "estimator",
    "encoding",
    "pearson",
    "spearman",
    "lower",
    "upper",
    "n",
    "p_value",
]
RELATIVE = [
    "network",
    "layer",
    "attribute",
    "encoding",
    "estimator",
    "value",
    "entropy",
    "share",
    "lower",
    "upper",
]


def order(traces: Traces) -> pd.DataFrame:
    """Rank the attributes in every layer by what the features say about them, as each estimator has it.

    Returns
    -------
    DataFrame
        A row a network, layer and attribute: ``network, over, layer, attribute, encoding, estimator, rank, value, lower,
        upper, p_first, rank_lower, rank_upper, above_next``. `p_first` is the share of draws in which the attribute is
        first, `above_next` that in which it is above the next of the order, `rank_lower` and `rank_upper` hold 95% of
        its ranks. Rows of the deepest layer are there twice, `over` ``"last layer"`` too.

    Examples
    --------
    >>> order(Traces({})).columns[:3].tolist()
    ['network', 'over', 'layer']
    """
    found = []
    table = traces.tables.get("expressivity")
    if table is None or not len(table):
        return pd.DataFrame(columns=ORDER)
    main = main_rows(table).sort_values("depth", kind="stable")
    for (network, estimator), rows in main.groupby(["network", "estimator"], sort=False):
        deepest = rows["layer"].iloc[-1]
        for layer, own in rows.groupby("layer", sort=False):
            ranked = own.sort_values("value", ascending=False, kind="stable")
            draws = [
                traces.draws(str(network), str(layer), row.attribute, row.encoding, estimator=str(estimator))
                for row in records(ranked)
            ]
            together = np.stack([each[: min(map(len, draws))] for each in draws])
            known = together[:, np.isfinite(together).all(axis=0)]
            places = stats.rankdata(-known, axis=0, method="min")
            for number, row in enumerate(records(ranked)):
                said = [np.nan] * 4
                if known.size:
                    low, high = np.quantile(places[number], [0.025, 0.975])
                    last = number == len(ranked) - 1
                    above = np.nan if last else float((known[number] > known[number + 1]).mean())
                    said = [float((places[number] == 1).mean()), float(low), float(high), above]
                values = (
                    row.attribute,
                    row.encoding,
                    row.estimator,
                    number + 1,
                    row.value,
                    row.lower,
                    row.upper,
                )
                for over in [layer] + [LAST] * (layer == deepest):
                    found.append((network, over, layer, *values, *said))
    return pd.DataFrame(found, columns=ORDER)


def correlation(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Correlate held-out expressivity with the error of linear probes on the same features.

    Over layers (table III of Dhar and others 2020) and over the steps of a training, layer by layer (table IV).

    Parameters
    ----------
    tables : mapping of str to DataFrame
        ``expressivity``, ``course`` and ``linear``, as far as they are there.

    Returns
    -------
    DataFrame
        ``network, over, attribute, estimator, encoding, pearson, spearman, lower, upper, n, p_value``; the interval and
        the p-value are Pearson's. `over` is ``"layers"``, ``"training"`` in the deepest layer watched, or ``"training of
        LAYER"`` in another. Fewer than three points give no row; fewer than four no interval.

    Examples
    --------
    >>> correlation({}).empty
    True
    """
    linear = tables.get("linear")
    if linear is None or not len(linear):
        return pd.DataFrame(columns=CORRELATION)
    found = []
    errors = linear.rename(columns={"value": "error"})
    for name, over in (("expressivity", "layers"), ("course", "training")):
        table = tables.get(name)
        if table is None or not len(table):
            continue
        values = table[(table["split"] == HELD_OUT) & ~table["network"].str.endswith(RANDOM_WEIGHTS)]
        on = ["network", "layer", "attribute"] + ["step"] * (over == "training")
        own = errors[errors["step"].isna() == (over == "layers")][[*on, "error"]]
        both = values.merge(own.astype({"step": "int64"}) if over == "training" else own, on=on)
        keys = ["network", "attribute", "estimator", "encoding"] + ["layer"] * (over == "training")
        deepest = {} if over == "layers" else _deepest(both)
        for place, rows in both.groupby(keys, sort=False):
            where = (
                over
                if over == "layers" or place[-1] == deepest[str(place[0])]
                else f"training of {place[-1]}"
            )
            numbers = _correlated(rows["value"].to_numpy(), rows["error"].to_numpy())
            if numbers is not None:
                found.append((place[0], where, *place[1:4], *numbers))
    return pd.DataFrame(found, columns=CORRELATION)


def _deepest(rows: pd.DataFrame) -> dict[str, str]:
    """The deepest layer of each network."""
    last = rows.sort_values("depth", kind="stable").drop_duplicates("network", keep="last")
    return dict(zip(last["network"], last["layer"], strict=True))


def _correlated(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float, int, float] | None:
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < _FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    pearson = stats.pearsonr(x, y)
    lower, upper = pearson.confidence_interval() if len(x) > _FEWEST else (np.nan, np.nan)
    spearman = stats.spearmanr(x, y).statistic
    return (
        float(pearson.statistic),
        float(spearman),
        float(lower),
        float(upper),
        len(x),
        float(pearson.pvalue),
    )


def relative(table: pd.DataFrame, described: pd.DataFrame) -> pd.DataFrame:
    """Held-out expressivity as a share of the attribute's entropy.

    The entropy is that of the classes on the very images, and for a continuous attribute that of its histogram of 20
    bins, which is a yardstick and no bound.

    Returns
    -------
    DataFrame
        ``network, layer, attribute, encoding, estimator, value, entropy, share, lower, upper``.
    """
    rows = table[(table["split"] == HELD_OUT) & table["value"].notna()]
    of = described.drop_duplicates("attribute").set_index("attribute")["entropy"].astype("float64")
    entropy = rows["entropy"].astype("float64").fillna(rows["attribute"].map(of))
    entropy = entropy.where(entropy > 0)
    shares = {
        name: rows[column] / entropy
        for name, column in (("share", "value"), ("lower", "lower"), ("upper", "upper"))
    }
    return rows.assign(entropy=entropy, **shares)[RELATIVE].reset_index(drop=True)
