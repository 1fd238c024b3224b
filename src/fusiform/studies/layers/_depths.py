import numpy as np
import pandas as pd

from fusiform.studies.layers._rows import in_order, require, skill, validation_rows

GAINED = 0.9
_PER = ["network", "setup", "attribute", "kind"]
_GAINED_COLUMNS = (
    "network setup attribute kind layer depth relative_depth best best_layer best_depth rank".split()  # noqa: SIM905
)
_BRANCHING_COLUMNS = (
    "network setup attribute kind layer depth relative_depth value best last gain parameters_share".split()  # noqa: SIM905
)


def gained(probes: pd.DataFrame) -> pd.DataFrame:
    """Rank attributes by the depth at which the network gains them.

    An attribute is gained at the first layer at which it has come nine tenths of the way from chance to its
    best entire layer, on validation.

    Parameters
    ----------
    probes : DataFrame
        The table of probes; controls are left out.

    Returns
    -------
    DataFrame
        ``network, setup, attribute, kind, layer, depth, relative_depth, best, best_layer, best_depth, rank``,
        the first gained first within each network, of equals the better known; an attribute never above
        chance has no layer and comes last.

    Raises
    ------
    DataError
        If the table lacks columns.

    Examples
    --------
    >>> row = dict(network="n", attribute="Male", kind="binary", split="valid", metric="balanced_accuracy", chance=0.5)
    >>> probes = pd.DataFrame([row | {"layer": layer, "depth": d, "value": v}
    ...                        for d, (layer, v) in enumerate({"a": 0.6, "b": 0.88, "c": 0.9}.items())])
    >>> gained(probes)[["layer", "best_layer", "rank"]].values.tolist()
    [['b', 'c', 1]]
    """
    rows = _trained(probes)
    rows["skill"] = skill(rows["value"], rows["chance"])
    rows = rows.dropna(subset=["skill"])
    groups = rows.groupby(_PER, sort=False)
    best = rows.loc[groups["skill"].idxmax(), [*_PER, "value", "layer", "depth", "skill"]]
    best = best.rename(columns={"value": "best", "layer": "best_layer", "depth": "best_depth"})
    enough = rows[(rows["skill"] >= GAINED * groups["skill"].transform("max")) & (rows["skill"] > 0)]
    first = enough.drop_duplicates(_PER)[[*_PER, "layer", "depth", "relative_depth"]]
    table = best.merge(first, on=_PER, how="left")
    table = table.assign(_network=in_order(table), _worse=-table["skill"])
    table = table.sort_values(["_network", "depth", "_worse"], kind="stable", na_position="last")
    table["rank"] = table.groupby("network", sort=False).cumcount() + 1
    return table[_GAINED_COLUMNS].reset_index(drop=True)


def branching(probes: pd.DataFrame, parameters: pd.DataFrame | None = None) -> pd.DataFrame:
    """At which depth each attribute is best branched off in multitask learning.

    The thesis' conclusion proposes to learn each task at the depth that is best for it. That is the first
    entire layer whose value on validation is within half the width of its 95% interval of the best layer's,
    so that of layers that cannot be told apart the cheapest is chosen.

    Parameters
    ----------
    probes : DataFrame
        The table of probes; controls are left out. Where a row has no interval, the binomial standard
        error of an accuracy serves, and for R² the best layer itself is taken.
    parameters : DataFrame, optional
        ``network, layer, parameters_share``: the share of the network's parameters up to each layer.

    Returns
    -------
    DataFrame
        ``network, setup, attribute, kind, layer, depth, relative_depth, value, best, last, gain,
        parameters_share``; `last` is the value at the deepest layer and `gain` what the best layer is above
        it.

    Raises
    ------
    DataError
        If a table lacks columns.

    References
    ----------
    Diniz (2020), chapter 6.

    Examples
    --------
    >>> row = dict(network="n", attribute="Smiling", kind="binary", split="valid", metric="balanced_accuracy")
    >>> probes = pd.DataFrame([row | {"layer": layer, "depth": d, "value": v, "lower": v - 0.02, "upper": v + 0.02}
    ...                        for d, (layer, v) in enumerate({"a": 0.7, "b": 0.89, "c": 0.9, "d": 0.8}.items())])
    >>> branching(probes)[["layer", "value", "best", "gain"]].round(2).values.tolist()
    [['b', 0.89, 0.9, 0.1]]
    """
    rows = _trained(probes)
    rows["half"] = _half_width(rows)
    groups = rows.groupby(_PER, sort=False)
    best = rows.loc[groups["value"].idxmax(), [*_PER, "value", "half"]]
    best = best.rename(columns={"value": "best"})
    last = groups["value"].last().rename("last").reset_index()
    joined = rows.drop(columns="half").merge(best, on=_PER)
    table = joined[joined["value"] >= joined["best"] - joined["half"]].drop_duplicates(_PER)
    table = table.merge(last, on=_PER)
    table["gain"] = table["best"] - table["last"]
    if parameters is None:
        table["parameters_share"] = np.nan
    else:
        require(parameters, ["network", "layer", "parameters_share"], "parameters")
        shares = parameters.drop_duplicates(["network", "layer"])[["network", "layer", "parameters_share"]]
        table = table.merge(shares, on=["network", "layer"], how="left")
    table = table.assign(_network=in_order(table)).sort_values(["_network", "depth"], kind="stable")
    return table[_BRANCHING_COLUMNS].reset_index(drop=True)


def _trained(probes: pd.DataFrame) -> pd.DataFrame:
    rows = validation_rows(probes)
    return rows[~rows["control"]].reset_index(drop=True)


def _half_width(rows: pd.DataFrame) -> pd.Series:
    known = {"lower", "upper"} <= set(rows.columns)
    half = (rows["upper"] - rows["lower"]) / 2 if known else pd.Series(np.nan, index=rows.index)
    accuracy = rows["value"].clip(0, 1).where(rows["kind"] != "continuous")
    n = rows["n"].where(rows["n"] > 0) if "n" in rows else pd.Series(np.nan, index=rows.index)
    return half.fillna(1.96 * np.sqrt(accuracy * (1 - accuracy) / n)).fillna(0.0)
