"""What the figures of a study of attribution select from its tables, and how they name methods and measures."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from fusiform.plotting import style
from fusiform.plotting._expressivity_rows import chosen
from fusiform.plotting.tables import check_columns

BASELINE_NAMES = {"random": "random map", "edges": "edge map", "gaussian": "centred Gaussian"}
METHOD_NAMES = BASELINE_NAMES | {
    "rise": "RISE",
    "dise": "DISE",
    "shapley_sampling": "Shapley value sampling",
    "kernel_shap": "KernelSHAP",
    "lime": "LIME",
    "score_cam": "Score-CAM",
    "input_x_gradient": "input × gradient",
    "smoothgrad": "SmoothGrad",
    "integrated_gradients": "Integrated Gradients",
    "cam": "CAM",
    "grad_cam": "Grad-CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "guided_grad_cam": "guided Grad-CAM",
    "lrp": "LRP",
    "deep_lift": "DeepLIFT",
    "excitation_backprop": "Excitation Backprop",
    "contrastive_excitation_backprop": "contrastive EBP",
    "truncated_contrastive_excitation_backprop": "truncated contrastive EBP",
}
METRIC_NAMES = {
    "deletion": "deletion",
    "insertion": "insertion",
    "mask_and_evaluate": "mask and evaluate",
    "sensitivity_n": "sensitivity-n",
    "inpainting_far_1e-2": "inpainting game, FAR 1%",
    "inpainting_far_5e-2": "inpainting game, FAR 5%",
    "parameter_randomization": "weights drawn anew",
    "completeness_error": "completeness error",
    "max_sensitivity": "max sensitivity",
    "implementation_invariance": "implementation invariance",
    "symmetry": "symmetry",
    "pointing_game": "pointing game",
    "energy_pointing_game": "energy pointing game",
}
MEAN = "mean"
BASELINE_FAMILY = "baseline map"
FAMILY_COLOURS = {
    "perturbation": style.COLOURS[0],
    "gradient": style.COLOURS[1],
    "propagation": style.COLOURS[2],
    BASELINE_FAMILY: style.CHANCE,
}
FAMILY_SYMBOLS = {"perturbation": "circle", "gradient": "square", "propagation": "triangle-up"}
WHAT = ("network", "target", "method", "baseline_map")


def method_name(method: object) -> str:
    """Name a method as publications do."""
    return METHOD_NAMES.get(str(method), str(method).replace("_", " "))


def metric_name(metric: object) -> str:
    """Name a measure."""
    return METRIC_NAMES.get(str(metric), str(metric).replace("_", " "))


def short(value: Any) -> str:
    """Write a number in the few characters of a cell."""
    if pd.isna(value):
        return ""
    size = abs(float(value))
    text = (
        f"{value:.2f}" if size < 10 else f"{value:.0f}" if size < 1000 else f"{value:.0e}".replace("e+0", "e")
    )
    return text.replace("-", "\N{MINUS SIGN}")


def of_network(
    table: pd.DataFrame,
    columns: Iterable[str],
    *,
    what: str,
    network: str | None = None,
    target: str | None = None,
    one_target: bool = True,
) -> pd.DataFrame:
    """Select the rows of one network and, with `one_target`, of one target, by default the first."""
    check_columns(table, [*WHAT, *columns], what=what)
    names = [str(name) for name in dict.fromkeys(table["network"])]
    rows = table[table["network"] == chosen(names, network, "network", what)]
    if one_target:
        targets = [str(name) for name in dict.fromkeys(rows["target"])]
        rows = rows[rows["target"] == chosen(targets, target or targets[0], "target", what)]
    return rows.assign(baseline_map=rows["baseline_map"].fillna(False).astype(bool)).reset_index(drop=True)


def standing(ranks: pd.DataFrame, measures: pd.DataFrame) -> pd.DataFrame:
    """Sort methods and baseline maps of one network and target by their mean rank.

    Parameters
    ----------
    ranks, measures : DataFrame
        The rows of one network and target in the tables of these names.

    Returns
    -------
    DataFrame
        ``method, baseline_map, mean_rank, behind`` and ``wins``: the best of the baseline maps whose mean rank is no worse than the
        method's, empty where there is none; and in how many measures of the mean rank the method beats each baseline map,
        as a dict of pairs (how many, of how many). Methods without a mean rank come last.
    """
    counted = set(ranks.loc[ranks["in_mean"].fillna(False).astype(bool), "metric"])
    mean = ranks[ranks["metric"] == MEAN].drop_duplicates("method").set_index("method")["rank"].astype(float)
    listed = pd.concat([ranks, measures])[["method", "baseline_map"]].drop_duplicates("method")
    listed = listed.assign(baseline_map=listed["baseline_map"].fillna(False).astype(bool))
    listed["mean_rank"] = listed["method"].map(mean)
    listed = listed.sort_values("mean_rank", kind="stable", na_position="last").reset_index(drop=True)
    bases = listed[listed["baseline_map"] & listed["mean_rank"].notna()]
    behind = []
    for row in listed.to_dict("records"):
        ahead = bases[bases["mean_rank"] <= row["mean_rank"]]
        behind.append("" if row["baseline_map"] or not len(ahead) else str(ahead["method"].iloc[0]))
    own = measures[measures["metric"].isin(counted) & measures["value"].notna()]
    wins = _wins(own)
    beaten: Any = [wins.get(method, {}) for method in listed["method"]]
    return listed.assign(behind=behind, wins=beaten)


def _wins(measures: pd.DataFrame) -> dict[str, dict[str, tuple[int, int]]]:
    against = {kind: set(measures.loc[measures["method"] == kind, "metric"]) for kind in BASELINE_NAMES}
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for row in measures[["method", "metric", "beats"]].fillna("").to_dict("records"):
        own = found.setdefault(str(row["method"]), {})
        for kind, metrics in against.items():
            if kind != row["method"] and row["metric"] in metrics:
                won, of = own.get(kind, (0, 0))
                own[kind] = (won + (kind in str(row["beats"]).split(", ")), of + 1)
    return found


def methods_by(rows: pd.DataFrame, column: str = "value", *, ascending: bool = False) -> list[str]:
    """List methods by the mean of a column, the highest first; those without come last."""
    mean = rows.groupby("method", sort=False)[column].mean()
    return [str(m) for m in mean.sort_values(ascending=ascending, kind="stable", na_position="last").index]


def ordered(rows: pd.DataFrame, order: Sequence[str] | None) -> list[str]:
    """List the methods of rows in an order; those that it does not name come last."""
    there = [str(m) for m in dict.fromkeys(rows["method"])]
    first = [m for m in order or () if m in there]
    return first + [m for m in there if m not in first]


def family_of(families: Mapping[str, str] | None, method: str, *, baseline_map: bool) -> str:
    """Say to which family a method belongs, as its colours do."""
    return BASELINE_FAMILY if baseline_map else (families or {}).get(method, "method")


def labels(methods: Iterable[str], baselines: Iterable[str]) -> list[str]:
    """Write names of methods along an axis, those of baseline maps in italics."""
    known = set(baselines)
    return [
        f"<i>{style.plain(method_name(m))}</i>" if m in known else style.plain(method_name(m))
        for m in methods
    ]
