import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from fusiform.studies.layers._families import NON_BIOMETRIC
from fusiform.studies.layers._rows import RANDOM_WEIGHTS, difference, means_over, require, validation_rows

# A layer on the path around the branch; the table of layers does not tell what a sum adds up.
_SHORTCUT = re.compile(r"(?:^|[._])(?:shortcut|downsample|skip|identity|res|rbn)(?:[._@\d]|$)", re.IGNORECASE)
_AFTER = ("residual_sum", "activation", "norm", "block", "stage")
_LAYERS = ["network", "layer", "depth", "role", "block", "features"]
_ENDS = ["network", "block", "branch_layer", "branch_depth", "sum_layer", "sum_depth", "previous_layer"]


def residual_ends(layers: pd.DataFrame, probed: pd.DataFrame | Iterable[str] | None = None) -> pd.DataFrame:
    """Find in each residual block the last layer of the branch and the sum, from the layers' roles.

    The branch ends in the deepest layer before the sum that belongs to the block, is not on its shortcut, and
    has as many features as the sum (any number, where none has). The sum is the layer of that role or, where
    that one was not probed, the block's activation or output after it. What comes before is the deepest layer
    before the block that is not within a branch itself. A block with two sums (such as attention and a
    multilayer perceptron) gives two rows, the second named ``"BLOCK@2"``.

    Parameters
    ----------
    layers : DataFrame
        ``network, layer, depth, role, block, features``: every layer of each network.
    probed : DataFrame or iterable of str, optional
        The layers there are values of: names, or a table with ``network, layer``. All layers when not given,
        which tells what must be probed for the sawtooth to show.

    Returns
    -------
    DataFrame
        ``network, block, branch_layer, branch_depth, sum_layer, sum_depth, previous_layer``; the last is
        missing where nothing comes before. Blocks of which branch or sum were not probed are not there.

    Raises
    ------
    DataError
        If the table of layers lacks columns.

    Examples
    --------
    >>> layers = pd.DataFrame({"network": "n", "layer": ["stem", "b.conv", "b.norm", "b.add", "b"], "depth": range(5),
    ...                        "role": ["conv", "conv", "norm", "residual_sum", "block"],
    ...                        "block": [None, "b", "b", "b", "b"], "features": 8})
    >>> residual_ends(layers)[["branch_layer", "sum_layer", "previous_layer"]].values.tolist()
    [['b.norm', 'b.add', 'stem']]
    >>> residual_ends(layers, ["b.conv", "b"])[["branch_layer", "sum_layer"]].values.tolist()
    [['b.conv', 'b']]
    """
    require(layers, _LAYERS, "layers")
    records = []
    for network, own in layers.sort_values("depth", kind="stable").groupby("network", sort=False):
        if probed is None:
            there = own
        elif isinstance(probed, pd.DataFrame):
            there = own[own["layer"].isin(probed.loc[probed["network"] == network, "layer"])]
        else:
            there = own[own["layer"].isin(list(probed))]
        records += [{"network": network, **end} for end in _ends(own, there)]
    return pd.DataFrame(records, columns=_ENDS)


def within_branches(layers: pd.DataFrame) -> pd.DataFrame:
    """Which layers lie within residual blocks before their sum, on the branch or its shortcut.

    Parameters
    ----------
    layers : DataFrame
        ``network, layer, depth, role, block, features``: every layer of each network.

    Returns
    -------
    DataFrame
        ``network, layer``.

    Raises
    ------
    DataError
        If the table of layers lacks columns.

    Examples
    --------
    >>> layers = pd.DataFrame({"network": "n", "layer": ["stem", "b.conv", "b.norm", "b.add", "b"], "depth": range(5),
    ...                        "role": ["conv", "conv", "norm", "residual_sum", "block"],
    ...                        "block": [None, "b", "b", "b", "b"], "features": 8})
    >>> within_branches(layers).layer.tolist()
    ['b.conv', 'b.norm']
    """
    require(layers, _LAYERS, "layers")
    inside = np.zeros(len(layers), dtype=bool)
    for network, own in layers.groupby("network", sort=False):
        for _, _, start, stop, *_ in _sums(own.sort_values("depth", kind="stable")):
            between = layers["depth"].between(start, stop, inclusive="left")
            inside |= (between & (layers["network"] == network)).to_numpy()
    return layers.loc[inside, ["network", "layer"]].reset_index(drop=True)


def sawtooth(probes: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """How much less the branch of each residual block knows than the sums around it (figure 5.8).

    Parameters
    ----------
    probes : DataFrame
        The table of probes; values of entire layers on validation are taken.
    layers : DataFrame
        Every layer of each network; a control with random weights has those of its network.

    Returns
    -------
    DataFrame
        A row a network, residual block and attribute: ``network, setup`` (where probes have it) ``, block, attribute, branch_layer,
        branch_depth, sum_layer, sum_depth, previous_layer, branch, sum, previous, dip``; `dip` is the mean of
        `sum` and `previous`, of those that are known, less `branch`. See `residual_ends` for what they are.

    References
    ----------
    Diniz (2020), figure 5.8.

    Examples
    --------
    >>> layers = pd.DataFrame({"network": "n", "layer": ["stem", "b.norm", "b.add"], "depth": range(3),
    ...                        "role": ["conv", "norm", "residual_sum"], "block": [None, "b", "b"], "features": 8})
    >>> probes = pd.DataFrame({"network": "n", "layer": layers.layer, "depth": range(3), "attribute": "Smiling",
    ...                        "split": "valid", "metric": "balanced_accuracy", "value": [0.9, 0.7, 0.8]})
    >>> sawtooth(probes, layers)[["block", "attribute", "dip"]].round(2).values.tolist()
    [['b', 'Smiling', 0.15]]
    """
    rows = validation_rows(probes)
    known = set(layers["network"]) if "network" in layers else set()
    names = list(dict.fromkeys(rows["network"]))
    listed = [
        layers[layers["network"] == (n if n in known else n.removesuffix(RANDOM_WEIGHTS))].assign(network=n)
        for n in names
        if "network" in layers
    ]
    ends = residual_ends(pd.concat(listed) if listed else layers, rows)
    values = rows.drop_duplicates(["network", "layer", "attribute"])
    table = ends
    for part in ("branch", "sum", "previous"):
        own = values[["network", "attribute", "layer", "value"]]
        own = own.rename(columns={"layer": f"{part}_layer", "value": part})
        on = ["network", f"{part}_layer"] + ([] if part == "branch" else ["attribute"])
        # Never match a missing previous layer with anything.
        own = own.dropna(subset=[f"{part}_layer"])
        table = table.merge(own, on=on, how="inner" if part == "branch" else "left")
    table["dip"] = table[["sum", "previous"]].mean(axis=1) - table["branch"]
    order = [*_ENDS[:2], "attribute", *_ENDS[2:], "branch", "sum", "previous", "dip"]
    if "setup" in rows:
        table.insert(
            1, "setup", table["network"].map(rows.drop_duplicates("network").set_index("network")["setup"])
        )
        order.insert(1, "setup")
    return table.dropna(subset=["dip"])[order].reset_index(drop=True)


def sawtooth_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Average dip of each network and attribute over its residual blocks.

    Parameters
    ----------
    table : DataFrame
        From `sawtooth`.

    Returns
    -------
    DataFrame
        ``network, attribute, dip, lower, upper, share, p_value, n_blocks``: the mean dip and its 95%
        interval, blocks drawn with replacement; the share of blocks that dip; and the p-value of the
        two-sided sign test against dips and rises being equally likely, blocks without change left out.

    Examples
    --------
    >>> table = pd.DataFrame({"network": "n", "attribute": "Smiling", "dip": [0.02, 0.04, 0.03, 0.05, 0.01, 0.03]})
    >>> sawtooth_summary(table)[["dip", "share", "p_value"]].round(3).values.tolist()
    [[0.03, 1.0, 0.031]]
    """
    require(table, ["network", "attribute", "dip"], "sawtooth")
    order = "network attribute dip lower upper share p_value n_blocks".split()  # noqa: SIM905
    parts = []
    for network, own in table.dropna(subset=["dip"]).groupby("network", sort=False):
        number = own.groupby("attribute", sort=False).cumcount()
        dips = own.assign(number=number).pivot_table(
            index="attribute", columns="number", values="dip", sort=False
        )
        down, up, n = (dips > 0).sum(axis=1), (dips < 0).sum(axis=1), dips.count(axis=1)
        means = pd.DataFrame(
            means_over(dips.to_numpy(dtype=np.float64)), dips.index, ["dip", "lower", "upper"]
        )
        p_value = [float(binomtest(d, d + u).pvalue) if d + u else 1.0 for d, u in zip(down, up, strict=True)]
        part = means.assign(network=network, share=down / n, p_value=p_value, n_blocks=n)
        parts.append(part.reset_index())
    return pd.concat(parts, ignore_index=True)[order] if parts else pd.DataFrame(columns=order)


def sawtooth_by_family(summary: pd.DataFrame, families: pd.DataFrame) -> pd.DataFrame:
    """Whether non-biometric attributes dip more than the others.

    Parameters
    ----------
    summary : DataFrame
        From `sawtooth_summary`.
    families : DataFrame
        From `families`; the family ``"non-biometric"`` is held against all other attributes.

    Returns
    -------
    DataFrame
        A row a network that has both: ``network, non_biometric, others, difference, lower, upper, r,
        n_non_biometric, n_others``: mean dips, their difference with its 95% interval (attributes drawn with
        replacement), and the correlation of dip with being non-biometric.

    Examples
    --------
    >>> from fusiform.studies.layers._families import families
    >>> summary = pd.DataFrame({"network": "n", "attribute": ["Smiling", "Blurry", "Male", "Bald"],
    ...                         "dip": [0.06, 0.04, 0.01, 0.01]})
    >>> sawtooth_by_family(summary, families())[["difference", "r"]].round(2).values.tolist()
    [[0.04, 0.94]]
    """
    require(summary, ["network", "attribute", "dip"], "sawtooth summary")
    members = set(families.loc[families["family"] == NON_BIOMETRIC, "attribute"])
    records = []
    for network, group in summary.dropna(subset=["dip"]).groupby("network", sort=False):
        inside = group["attribute"].isin(members).to_numpy()
        dip = group["dip"].to_numpy(dtype=np.float64)
        if inside.all() or not inside.any():
            continue
        value, lower, upper = difference(dip, inside)
        varies = dip.std() > 0
        records.append(
            {
                "network": network,
                "non_biometric": dip[inside].mean(),
                "others": dip[~inside].mean(),
                "difference": value,
                "lower": lower,
                "upper": upper,
                "r": np.corrcoef(dip, inside)[0, 1] if varies else np.nan,
                "n_non_biometric": int(inside.sum()),
                "n_others": int((~inside).sum()),
            }
        )
    order = "network non_biometric others difference lower upper r n_non_biometric n_others".split()  # noqa: SIM905
    return pd.DataFrame(records, columns=order)


def _sums(own: pd.DataFrame) -> list[tuple[str, str, int, int, float, int]]:
    """Of one network's layers in order of depth: name, block, where the branch starts, the sum, what ends it, features."""
    sums = own[(own["role"] == "residual_sum") & own["block"].notna()]
    found = []
    for block, at in sums.groupby("block", sort=False):
        inside = own[own["block"] == block]
        start = int(inside["depth"].min())
        for number, (depth, features) in enumerate(zip(at["depth"], at["features"], strict=True), start=1):
            later = at.loc[at["depth"] > depth, "depth"]
            end = int(later.min()) if len(later) else np.inf
            name = f"{block}@{number}" if number > 1 else str(block)
            found.append((name, str(block), start, int(depth), end, features))
            start = int(depth) + 1
    return found


def _ends(own: pd.DataFrame, there: pd.DataFrame) -> list[dict[str, object]]:
    """Of one network, from its layers and those of them that were probed, both in order of depth."""
    found = _sums(own)
    within_branch = np.zeros(len(there), dtype=bool)
    depths = there["depth"].to_numpy()
    for _, _, start, stop, *_ in found:
        within_branch |= (depths >= start) & (depths < stop)
    rows = []
    for name, block, start, depth, end, features in found:
        mine = there[there["block"] == block]
        tail = mine["layer"].str.removeprefix(f"{block}.")
        branch = mine[
            mine["depth"].between(start, depth, inclusive="left")
            & ~tail.str.contains(_SHORTCUT)
            & (mine["role"] != "block")
        ]
        alike = branch[branch["features"] == features]
        branch = alike if len(alike) else branch
        after = mine[
            (mine["depth"] >= depth)
            & (mine["depth"] < end)
            & (mine["features"] == features)
            & mine["role"].isin(_AFTER)
        ]
        if not len(branch) or not len(after):
            continue
        before = there[(depths < start) & ~within_branch]
        rows.append(
            {
                "block": name,
                "branch_layer": branch["layer"].iloc[-1],
                "branch_depth": int(branch["depth"].iloc[-1]),
                "sum_layer": after["layer"].iloc[0],
                "sum_depth": int(after["depth"].iloc[0]),
                "previous_layer": before["layer"].iloc[-1] if len(before) else None,
            }
        )
    return rows
