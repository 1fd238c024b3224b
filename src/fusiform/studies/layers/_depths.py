import numpy as np
import pandas as pd

from fusiform.studies.layers._rows import in_order, require, skill, validation_rows
from fusiform.studies.layers._sawtooth import within_branches

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


def branching(probes: pd.DataFrame, layers: pd.DataFrame | None = None) -> pd.DataFrame:
    """At which depth each attribute is best branched off in multitask learning.

    The thesis' conclusion proposes to learn each task at the depth that is best for it. That is the first
    entire layer whose value on validation is within half the width of its 95% interval of the best layer's,
    so that of layers that cannot be told apart the cheapest is chosen. Layers within residual blocks before
    their sum are left out: what they lack is in the skip connection.

    Parameters
    ----------
    probes : DataFrame
        The table of probes; controls are left out. Where a row has no interval, the binomial standard
        error of an accuracy serves, and for R² the best layer itself is taken.
    layers : DataFrame, optional
        Every layer of each network: ``network, layer, depth, role, block, features, parameters_share``, the
        last the share of the network's parameters up to it. Without it, no layer is known to be within a
        residual block.

    Returns
    -------
    DataFrame
        ``network, setup, attribute, kind, layer, depth, relative_depth, value, best, last, gain,
        parameters_share``; `last` is the value at the deepest layer and `gain` what the best layer is above
        it. Where even the best is not above chance by half the width of its interval, layer, depths, value
        and share are missing; such attributes come last. There is no row where all layers probed are within
        residual blocks.

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
    last = rows.groupby(_PER, sort=False)["value"].last().rename("last").reset_index()
    place = ["network", "layer"]
    if layers is None:
        rows["parameters_share"] = np.nan
    else:
        require(layers, ["parameters_share"], "layers")
        inside = pd.MultiIndex.from_frame(within_branches(layers))
        rows = rows[~pd.MultiIndex.from_frame(rows[place]).isin(inside)]
        shares = layers.drop_duplicates(place)[[*place, "parameters_share"]]
        rows = rows.merge(shares, on=place, how="left")
    rows["half"] = _half_width(rows)
    best = rows.loc[rows.groupby(_PER, sort=False)["value"].idxmax(), [*_PER, "value", "half"]]
    best = best.rename(columns={"value": "best"})
    joined = rows.drop(columns="half").merge(best, on=_PER)
    enough = joined["value"] >= joined["best"] - joined["half"]
    known = joined["best"] - joined["half"] > joined["chance"]
    first = joined[enough & known].drop_duplicates(_PER)
    first = first[[*_PER, "layer", "depth", "relative_depth", "value", "parameters_share"]]
    table = best.merge(last, on=_PER).merge(first, on=_PER, how="left")
    table["gain"] = table["best"] - table["last"]
    table = table.assign(_network=in_order(table))
    table = table.sort_values(["_network", "depth"], kind="stable", na_position="last")
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
