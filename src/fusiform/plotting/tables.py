"""Which rows of a table are drawn, in which order, and how far each is above chance."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from fusiform.errors import DataError, nearest

__all__ = [
    "CONTROL_ENDING",
    "KINDS",
    "METRIC_TITLES",
    "PRIMARY",
    "R2_AXIS",
    "R2_DIFFERENCE_AXIS",
    "Order",
    "attribute_order",
    "check_columns",
    "curves",
    "layer_order",
    "of_setup",
    "primary",
    "setups",
    "skill",
    "value_range",
]

Order = Literal["best", "gained", "name"]

KINDS = ("binary", "categorical", "continuous")
PRIMARY = {"binary": "balanced_accuracy", "categorical": "balanced_accuracy", "continuous": "r2"}
METRIC_TITLES = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "auc": "area under the ROC curve",
    "r2": "R²",
    "mae": "mean absolute error",
}

CONTROL_ENDING = " (random weights)"

_PROBE_COLUMNS = (
    "network control layer depth attribute kind split metric value lower upper chance".split()  # noqa: SIM905
)
_GAINED = 0.9
_FLOORS = {"balanced_accuracy": 0.0, "r2": -0.3}
# R² and what is made of it have no ends; an axis that holds the worst of them shows nothing else.
R2_AXIS = {"autorangeoptions": {"clipmin": -1.0, "clipmax": 1.05}}
R2_DIFFERENCE_AXIS = {"autorangeoptions": {"clipmin": -0.5, "clipmax": 0.5}}


def check_columns(table: pd.DataFrame, columns: Iterable[str], *, what: str) -> None:
    """Complain about columns that a table lacks.

    Parameters
    ----------
    table : DataFrame
        The table.
    columns : iterable of str
        The columns it must have.
    what : str
        What the table is called in the message.

    Raises
    ------
    DataError
        If a column is missing; the message names those missing and those there are.

    Examples
    --------
    >>> check_columns(pd.DataFrame({"layer": []}), ["layer", "value"], what="best")
    Traceback (most recent call last):
    ...
    fusiform.errors.DataError: The table 'best' lacks the columns ['value']; it has ['layer'].
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise DataError(f"The table '{what}' lacks the columns {missing}; it has {list(table.columns)}.")


def primary(
    probes: pd.DataFrame,
    *,
    split: str = "test",
    network: str | None = None,
    attributes: Sequence[str] | None = None,
    kind: str | None = None,
) -> pd.DataFrame:
    """Select the rows of the metric that each kind of attribute is judged by, of whole layers.

    Binary and categorical attributes are judged by balanced accuracy, continuous ones by R².

    Parameters
    ----------
    probes : DataFrame
        One row a (network, control, layer, unit, attribute, split, metric).
    split : str, default "test"
        Which images the values were measured on: ``"valid"`` or ``"test"``.
    network : str, optional
        Which network; needed where the table holds several.
    attributes : sequence of str, optional
        Which attributes; all by default.
    kind : str, optional
        One of `KINDS`; all by default.

    Returns
    -------
    DataFrame
        The rows in order of depth, `control` as bool, with the column ``skill`` added (see `skill`).

    Raises
    ------
    DataError
        If columns are missing, an attribute is not in the table, or the network is not clear.

    Examples
    --------
    >>> row = {"network": "n", "control": False, "layer": "a", "depth": 0, "attribute": "Male", "kind": "binary",
    ...        "split": "test", "metric": "balanced_accuracy", "value": 0.9, "lower": 0.85, "upper": 0.94,
    ...        "chance": 0.5}
    >>> primary(pd.DataFrame([row, row | {"metric": "auc"}]))[["layer", "metric", "skill"]]
      layer             metric  skill
    0     a  balanced_accuracy    0.8
    """
    check_columns(probes, _PROBE_COLUMNS, what="probes")
    rows = probes
    if "unit_kind" in rows.columns:
        rows = rows[rows["unit_kind"] == "layer"]
    rows = _one_network(rows, network)
    rows = rows[(rows["split"] == split) & (rows["metric"] == rows["kind"].map(PRIMARY))]
    if kind is not None:
        if kind not in KINDS:
            raise DataError(f"kind must be one of {list(KINDS)}; got '{kind}': {nearest(kind, KINDS)}")
        rows = rows[rows["kind"] == kind]
    if attributes is not None:
        known = list(dict.fromkeys(rows["attribute"]))
        for name in attributes:
            if name not in known:
                raise DataError(f"The table has no attribute '{name}': {nearest(name, known)}")
        rows = rows[rows["attribute"].isin(list(attributes))]
    rows = rows.assign(control=rows["control"].astype(bool))
    for column in ("value", "lower", "upper", "chance"):
        rows[column] = pd.to_numeric(rows[column]).astype(float)
    rows["skill"] = skill(rows["value"], rows["chance"])
    return rows.sort_values(["depth", "attribute"], kind="stable").reset_index(drop=True)


def _one_network(rows: pd.DataFrame, network: str | None) -> pd.DataFrame:
    # The control of a network may carry the same name or one of its own; it is kept either way.
    control = rows["control"].astype(bool)
    names = list(dict.fromkeys(rows.loc[~control, "network"]))
    if network is None:
        if len(names) > 1:
            raise DataError(f"The table holds several networks, {names}; say which by network=.")
        return rows
    if network not in names:
        raise DataError(f"The table has no network '{network}': {nearest(network, names)}")
    others = [name for name in names if name != network]
    foreign = rows["network"].isin(others) | rows["network"].isin([name + CONTROL_ENDING for name in others])
    return rows[~foreign]


def skill(value: pd.Series, chance: pd.Series) -> pd.Series:
    """Give the share of the way from chance to perfect: 0 at chance, 1 when perfect, below 0 if worse.

    Parameters
    ----------
    value, chance : Series of float
        Values of balanced accuracy, or of R² (whose chance level is 0); 1 is perfect.

    Returns
    -------
    Series of float
        ``(value - chance) / (1 - chance)``.

    Examples
    --------
    >>> skill(pd.Series([0.5, 0.75, 1.0]), pd.Series([0.5, 0.5, 0.2])).tolist()
    [0.0, 0.5, 1.0]
    """
    return (value - chance) / (1 - chance).where(chance < 1, np.nan)


def layer_order(rows: pd.DataFrame) -> list[str]:
    """List the layers of a table in order of depth.

    Examples
    --------
    >>> layer_order(pd.DataFrame({"layer": ["fc", "stem", "fc"], "depth": [9, 0, 9]}))
    ['stem', 'fc']
    """
    return list(rows.sort_values("depth", kind="stable")["layer"].unique())


def attribute_order(rows: pd.DataFrame, order: Order = "best") -> list[str]:
    """List the attributes of rows selected by `primary`, of the trained network.

    Parameters
    ----------
    rows : DataFrame
        What `primary` returned.
    order : {"best", "gained", "name"}, default "best"
        ``"best"``: highest skill at any layer first. ``"gained"``: that known at the lowest depth first, where an
        attribute counts as known from the layer on that first reaches nine tenths of its highest skill; attributes
        never above chance come last. ``"name"``: by name, small letters equal to capitals.

    Returns
    -------
    list of str

    Raises
    ------
    DataError
        If `order` is none of the three.

    Examples
    --------
    >>> rows = pd.DataFrame({"attribute": list("ABAB"), "layer": list("ssff"), "depth": [0, 0, 9, 9],
    ...                      "control": False, "skill": [0.1, 0.6, 0.8, 0.6]})
    >>> attribute_order(rows), attribute_order(rows, "gained")
    (['A', 'B'], ['B', 'A'])
    """
    trained = rows[~rows["control"]].dropna(subset=["skill"])
    names = list(dict.fromkeys(rows["attribute"]))
    if order == "name":
        return sorted(names, key=lambda name: (str(name).lower(), str(name)))
    best = trained.groupby("attribute", sort=False)["skill"].max().to_dict()
    if order == "best":
        return sorted(names, key=lambda name: -best.get(name, -np.inf))
    if order != "gained":
        raise DataError(f"order must be 'best', 'gained' or 'name'; got '{order}'.")
    gained = {}
    for name, group in trained.groupby("attribute", sort=False):
        if best[name] > 0:
            gained[name] = group.loc[group["skill"] >= _GAINED * best[name], "depth"].min()
    return sorted(names, key=lambda name: (gained.get(name, np.inf), -best.get(name, -np.inf)))


def value_range(rows: pd.DataFrame) -> tuple[float, float]:
    """Give the ends of an axis that shows rows of one kind with their intervals and chance.

    R² has no lower end, and a control far below zero would press all that matters to the top, so its axis
    begins at -0.3 at the lowest.

    Examples
    --------
    >>> rows = pd.DataFrame({"metric": "r2", "value": [0.9, -7.0], "lower": [0.8, -9.0], "upper": [0.94, -5.0],
    ...                      "chance": 0.0})
    >>> value_range(rows)
    (-0.3, 1.0)
    """
    floor = _FLOORS.get(str(rows["metric"].iloc[0]), -np.inf)
    lowest = float(rows[["value", "lower", "chance"]].min().min())
    highest = float(rows[["value", "upper", "chance"]].max().max())
    return max(floor, round(lowest - 0.04, 2)), min(1.02, round(highest + 0.06, 2))


def setups(table: pd.DataFrame) -> list[str]:
    """List the setups of a table, without random-weights controls; where it has no such column, its networks.

    Examples
    --------
    >>> setups(pd.DataFrame({"setup": ["a", "a (random weights)"], "control": [False, True]}))
    ['a']
    """
    names = table["setup" if "setup" in table.columns else "network"].unique()
    return [str(name) for name in names if not str(name).endswith(CONTROL_ENDING)]


def of_setup(table: pd.DataFrame, setup: str | None, *, what: str) -> pd.DataFrame:
    """Select the rows of one setup, without its random-weights control.

    Parameters
    ----------
    table : DataFrame
        A table with the column ``setup``.
    setup : str or None
        Which setup; None where the table holds one only.
    what : str
        What the table is called in messages.

    Returns
    -------
    DataFrame

    Raises
    ------
    DataError
        If the table has no rows, no such setup, or several and none is named.

    Examples
    --------
    >>> of_setup(pd.DataFrame({"setup": ["a", "b"], "value": [1, 2]}), "b", what="best")["value"].tolist()
    [2]
    """
    check_columns(table, ["setup"], what=what)
    names = setups(table)
    if setup is None and len(names) > 1:
        raise DataError(f"The table '{what}' holds several setups, {names}; say which by setup=.")
    if not names:
        raise DataError(f"The table '{what}' holds no rows to draw.")
    if setup is not None and setup not in names:
        raise DataError(f"The table '{what}' has no setup '{setup}': {nearest(setup, names)}")
    return table[table["setup"] == (setup or names[0])]


def curves(
    probes: pd.DataFrame,
    *,
    split: str = "valid",
    unit_kinds: Sequence[str] = ("layer",),
    kind: str | None = None,
    attributes: Sequence[str] | None = None,
    setup: str | None = None,
) -> pd.DataFrame:
    """Average the primary metric over the initialisations of every setup.

    Parameters
    ----------
    probes : DataFrame
        The table of probes of a study of layers.
    split : str, default "valid"
        Which images the values were measured on.
    unit_kinds : sequence of str, default ("layer",)
        Which of ``"layer"``, ``"channels"`` and ``"neurons"``.
    kind : str, optional
        One of `KINDS`; all by default.
    attributes : sequence of str, optional
        Which attributes; all by default.
    setup : str, optional
        One setup with its random-weights control; all by default.

    Returns
    -------
    DataFrame
        A row a (setup, unit_kind, attribute, layer) in order of depth, with ``value``, ``lower``, ``upper``,
        ``chance``, ``relative_depth`` (0 the first layer, 1 the last), ``role``, ``block`` and ``n_networks``. With
        several initialisations ``lower`` and ``upper`` are the lowest and the highest of their values, otherwise the
        interval of the table.

    Raises
    ------
    DataError
        If columns are missing, or no rows are left.

    Examples
    --------
    >>> row = {"network": "n0", "setup": "n", "control": False, "layer": "fc", "depth": 3, "attribute": "Male",
    ...        "kind": "binary", "unit_kind": "layer", "split": "valid", "metric": "balanced_accuracy",
    ...        "value": 0.9, "lower": 0.85, "upper": 0.94, "chance": 0.5}
    >>> curves(pd.DataFrame([row, row | {"network": "n1", "value": 0.8}]))[["value", "lower", "upper"]]
       value  lower  upper
    0   0.85    0.8    0.9
    """
    check_columns(probes, [*_PROBE_COLUMNS, "unit_kind"], what="probes")
    rows = probes[
        (probes["split"] == split)
        & probes["unit_kind"].isin(list(unit_kinds))
        & (probes["metric"] == probes["kind"].map(PRIMARY))
    ]
    if kind is not None:
        rows = rows[rows["kind"] == kind]
    if attributes is not None:
        rows = rows[rows["attribute"].isin(list(attributes))]
    rows = rows.assign(setup=rows["setup"] if "setup" in rows.columns else rows["network"])
    if setup is not None:
        names = setups(rows)
        if setup not in names:
            raise DataError(f"The table 'probes' has no setup '{setup}': {nearest(setup, names)}")
        rows = rows[rows["setup"].isin([setup, setup + CONTROL_ENDING])]
    if not len(rows):
        asked = f"the split '{split}'" + (f" and {kind} attributes" if kind else "")
        raise DataError(f"The table 'probes' holds no rows of {', '.join(unit_kinds)} for {asked}.")
    if "relative_depth" not in rows.columns:
        last = rows.groupby("setup")["depth"].transform("max")
        rows["relative_depth"] = (rows["depth"] / last.where(last > 0)).fillna(0.0)
    for column in ("role", "block"):
        if column not in rows.columns:
            rows[column] = None
    keys = ["setup", "unit_kind", "attribute", "layer"]
    groups = rows.groupby(keys, sort=False)["value"]
    spread = groups.agg(["mean", "min", "max", "size"])
    kept = [
        "control",
        "kind",
        "metric",
        "depth",
        "relative_depth",
        "role",
        "block",
        "chance",
        "lower",
        "upper",
    ]
    made = rows.drop_duplicates(keys).set_index(keys)[kept].join(spread).reset_index()
    made = made.rename(columns={"mean": "value", "size": "n_networks"})
    several = made["n_networks"] > 1
    made["lower"] = made["lower"].where(~several, made["min"]).astype(float)
    made["upper"] = made["upper"].where(~several, made["max"]).astype(float)
    made["control"] = made["control"].astype(bool)
    return (
        made.drop(columns=["min", "max"])
        .sort_values(["depth", "attribute"], kind="stable")
        .reset_index(drop=True)
    )
