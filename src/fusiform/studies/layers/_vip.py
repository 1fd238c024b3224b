import numpy as np
import pandas as pd

from fusiform.studies.layers._rows import correlations, in_order, labelled, require, resampled

PUBLISHED = {"vip": 0.93, "mean_activation": 0.38}
_GROUP = ["network", "setup", "layer", "depth", "attribute"]


def vip_correlation(vip_neurons: pd.DataFrame) -> pd.DataFrame:
    """Correlation of what single neurons know with their VIP and with their mean activation (figure 5.9).

    Parameters
    ----------
    vip_neurons : DataFrame
        ``network, layer, depth, attribute, vip, mean_activation, value`` of the neurons nearest to uniformly drawn
        VIP values; `mean_activation` is on positive training samples.

    Returns
    -------
    DataFrame
        ``network, setup, layer, depth, attribute, r_vip, r_mean_activation, n_neurons``: Pearson's r, NaN
        where a column does not vary, is not known, or has fewer than three neurons.

    Raises
    ------
    DataError
        If the table lacks columns.

    References
    ----------
    Diniz (2020), section 5.3.

    Examples
    --------
    >>> neurons = pd.DataFrame({"network": "n", "layer": "a", "depth": 0, "attribute": "Male",
    ...                         "vip": [0.0, 1.0, 2.0], "mean_activation": [0.0, 1.0, 0.0], "value": [0.5, 0.6, 0.7]})
    >>> vip_correlation(neurons)[["r_vip", "r_mean_activation"]].abs().round(2).values.tolist()
    [[1.0, 0.0]]
    """
    require(vip_neurons, ["network", "layer", "depth", "attribute", "vip", "value"], "vip_neurons")
    rows = labelled(vip_neurons)
    if "mean_activation" not in rows:
        rows["mean_activation"] = np.nan
    group = rows.groupby(_GROUP, sort=False).ngroup()
    table = rows.loc[~group.duplicated(), _GROUP].reset_index(drop=True)
    vip, activation, value = (
        rows[column].to_numpy(dtype=np.float64) for column in ("vip", "mean_activation", "value")
    )
    table["r_vip"] = correlations(vip, value, group.to_numpy())
    table["r_mean_activation"] = correlations(activation, value, group.to_numpy())
    table["n_neurons"] = rows["value"].notna().groupby(group).sum().to_numpy(dtype=np.int64)
    return table


def vip_summary(correlation: pd.DataFrame) -> pd.DataFrame:
    """Average correlation over all layers and attributes, of each setup.

    Parameters
    ----------
    correlation : DataFrame
        From `vip_correlation`.

    Returns
    -------
    DataFrame
        ``setup, measure, value, lower, upper, n_layers, n_attributes, n_networks, published``. `measure` is
        ``"vip"``, ``"mean_activation"``, or ``"difference"`` (the first less the second, where both are
        known). The 95% interval draws attributes with replacement; `published` is the thesis' figure.

    Examples
    --------
    >>> correlation = pd.DataFrame({"network": "n", "layer": "a", "depth": 0, "attribute": ["Male", "Young"],
    ...                             "r_vip": [0.9, 0.8], "r_mean_activation": [0.4, 0.2]})
    >>> vip_summary(correlation)[["measure", "value", "published"]].round(2).values.tolist()
    [['vip', 0.85, 0.93], ['mean_activation', 0.3, 0.38], ['difference', 0.55, 0.55]]
    """
    require(correlation, ["network", "layer", "attribute", "r_vip", "r_mean_activation"], "vip_correlation")
    rows = labelled(correlation)
    rows["difference"] = rows["r_vip"] - rows["r_mean_activation"]
    published = PUBLISHED | {"difference": PUBLISHED["vip"] - PUBLISHED["mean_activation"]}
    columns = {"vip": "r_vip", "mean_activation": "r_mean_activation", "difference": "difference"}
    records = []
    for _, group in rows.groupby(in_order(rows, "setup"), sort=False):
        for measure, column in columns.items():
            known = group.dropna(subset=[column])
            sums = known.groupby("attribute")[column].agg(["sum", "count"]).to_numpy(dtype=np.float64)
            value, lower, upper = resampled(sums, lambda s: s[:, 0] / s[:, 1])
            records.append(
                {
                    "setup": group["setup"].iloc[0],
                    "measure": measure,
                    "value": value,
                    "lower": lower,
                    "upper": upper,
                    "n_layers": known["layer"].nunique(),
                    "n_attributes": len(sums),
                    "n_networks": known["network"].nunique(),
                    "published": published[measure],
                }
            )
    order = "setup measure value lower upper n_layers n_attributes n_networks published".split()  # noqa: SIM905
    return pd.DataFrame(records, columns=order)
