from collections.abc import Sequence

import numpy as np
import pandas as pd

from fusiform.studies.layers._rows import labelled, require


def over_initialisations(table: pd.DataFrame, keys: Sequence[str], value: str = "value") -> pd.DataFrame:
    """Mean and spread of a value over the initialisations of each setup.

    Parameters
    ----------
    table : DataFrame
        Any table with `network` and `setup`; without `setup` every network is a setup of its own.
    keys : sequence of str
        What a row of the result is, besides its setup, such as ``["layer", "depth", "attribute"]``.
    value : str, default "value"
        The column to average. Several rows of one network are averaged first, so that each network counts once.

    Returns
    -------
    DataFrame
        ``setup``, the keys, ``mean, sd, minimum, maximum, n_networks``, in the table's order; `sd` is NaN for one
        network. Missing values are left out.

    Raises
    ------
    DataError
        If the table lacks columns.

    Examples
    --------
    >>> table = pd.DataFrame({"network": ["a0", "a1", "b"], "setup": ["a", "a", "b"], "layer": "fc",
    ...                       "value": [0.8, 0.9, 0.5]})
    >>> over_initialisations(table, ["layer"])[["setup", "mean", "n_networks"]].round(2).values.tolist()
    [['a', 0.85, 2], ['b', 0.5, 1]]
    """
    keys = ["setup", *(k for k in keys if k != "setup")]
    require(table, ["network", value, *keys[1:]], "to be averaged")
    rows = labelled(table).dropna(subset=[value])
    once = rows.groupby([*keys, "network"], sort=False, dropna=False)[value].mean().reset_index()
    grouped = once.groupby(keys, sort=False, dropna=False)[value]
    spread = grouped.agg(mean="mean", sd="std", minimum="min", maximum="max", n_networks="count")
    return spread.reset_index().astype({"n_networks": np.int64})
