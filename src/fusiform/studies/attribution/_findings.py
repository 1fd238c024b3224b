"""What the survey says of saliency maps, held against what was measured."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from fusiform.statistics import cluster_intervals
from fusiform.studies._findings import (
    FAILS,
    HOLDS,
    UNCLEAR,
    Estimate,
    Finding,
    NotMeasured,
    every,
    finding,
    findings_table,
)

FINDINGS: list[Finding["Evidence"]] = []
FINE = ("integrated_gradients", "guided_backpropagation", "deep_lift")
COARSE = ("cam", "grad_cam", "grad_cam_plus_plus", "score_cam")
PERTURBATION = ("occlusion", "part_occlusion", "rise", "dise", "shapley_sampling", "kernel_shap", "lime")
_ADDED = "beside the survey"


class Evidence:
    """The tables, of one network."""

    def __init__(self, network: str, tables: Mapping[str, pd.DataFrame]) -> None:
        self.network, self.tables = network, tables

    def rows(self, name: str, *, everywhere: bool = False) -> pd.DataFrame:
        """Rows of a table, of this network unless everywhere."""
        table = self.tables.get(name)
        if table is None or not len(table):
            raise NotMeasured(f"there is no table '{name}'")
        rows = table if everywhere else table[table["network"] == self.network]
        if not len(rows):
            raise NotMeasured(f"the table '{name}' has nothing of this network")
        return rows

    def measures(self, metric: str) -> pd.DataFrame:
        """Rows of a measure, of the first target that has it."""
        rows = self.rows("measures")
        rows = rows[(rows["metric"] == metric) & rows["value"].notna()]
        if not len(rows):
            raise NotMeasured(f"'{metric}' was not measured")
        return rows[rows["target"] == rows["target"].iloc[0]].set_index("method")

    def described(self, metric: str, methods: Sequence[str]) -> tuple[float, int]:
        """Mean of a descriptor over methods, and over how many."""
        rows = self.rows("descriptors")
        rows = rows[(rows["metric"] == metric) & rows["method"].isin(methods) & rows["value"].notna()]
        if not len(rows):
            raise NotMeasured(f"none of {', '.join(methods)} was measured")
        return float(rows["value"].mean()), len(rows)


def findings(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Hold what the survey says of saliency maps against what was measured.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        The tables of a run by name; whatever is missing leaves its findings not measured.

    Returns
    -------
    DataFrame
        A row a network and finding: ``finding, source, network, setup, measured, verdict, criterion``.

    References
    ----------
    John, Balasubramanian and Jawahar, Visual explainability of deep face models: a survey, sections 2.1 to 2.5, figure 1.

    Examples
    --------
    >>> findings({}).verdict.unique().tolist()
    ['not measured']
    """
    measures = tables.get("measures")
    networks = (
        [""]
        if measures is None or not len(measures)
        else list(dict.fromkeys(measures["network"].astype(str)))
    )
    rows = []
    for network in networks:
        evidence = Evidence(network, tables)
        rows += [each.row(network, network, *each.judged(evidence)) for each in FINDINGS]
    return findings_table(rows)


def _share(flags: Iterable[bool]) -> Estimate:
    """Share of methods, with an interval for which methods are drawn."""
    found = np.asarray(list(flags), dtype=float)
    if not len(found):
        raise NotMeasured("no method was measured")
    terms = np.stack([found, np.ones_like(found)], axis=1)
    return Estimate(*cluster_intervals(terms, np.arange(len(found)), lambda s: s[:, 0] / s[:, 1]))


def _estimates(rows: pd.DataFrame) -> list[Estimate]:
    return [Estimate(*row) for row in rows[["value", "lower", "upper"]].to_numpy(dtype=float).tolist()]


def _apart(rows: pd.DataFrame, larger: str, smaller: str) -> tuple[Estimate, Estimate, str]:
    """Two methods' estimates, and whether the first lies above the second, interval beyond interval."""
    rows = rows[rows["value"].notna()]
    if larger not in rows.index or smaller not in rows.index:
        raise NotMeasured("one of the two was not measured")
    first, second = _estimates(rows.loc[[larger, smaller]])
    verdict = HOLDS if first.lower > second.upper else FAILS if first.upper <= second.lower else UNCLEAR
    return first, second, verdict


def _listed(names: Iterable[str], none: str = "none") -> str:
    return ", ".join(names) or none


# faithfulness -----------------------------------------------------------------------------------------


@finding(
    "Methods find what the score depends on better than random flipping of pixels does.",
    "section 2.5, hiding game",
    "More than half of the methods beat random maps by deletion, each by the interval of the paired difference; interval over "
    "methods.",
    into=FINDINGS,
)
def _deletion(evidence: Evidence) -> tuple[str, str]:
    return _beating(evidence, "deletion", "random")


@finding(
    "Maps that know nothing of the network do not do as well as methods.",
    _ADDED,
    "More than half of the methods beat a Gaussian in the centre by deletion; interval over methods.",
    into=FINDINGS,
)
def _gaussian(evidence: Evidence) -> tuple[str, str]:
    return _beating(evidence, "deletion", "gaussian")


def _beating(evidence: Evidence, metric: str, kind: str) -> tuple[str, str]:
    rows = evidence.measures(metric)
    rows = rows[~rows["baseline_map"].astype(bool)]
    beats = rows["beats"].fillna("").str.contains(kind)
    share = _share(beats)
    rest = _listed(rows.index[~beats], "no method")
    said = f"{int(beats.sum())} of {len(rows)} methods beat the {kind} map; not {rest}."
    return said, share.above(0.5)


@finding(
    "In the inpainting game, methods find the part that tells two identities apart.",
    "section 2.5, inpainting game for faces",
    "At a false alarm rate of 5% more than half of the methods lie beyond the random map, interval beyond interval; interval "
    "over methods.",
    into=FINDINGS,
)
def _inpainting(evidence: Evidence) -> tuple[str, str]:
    return _beating(evidence, "inpainting_far_5e-2", "random")


# sanity -----------------------------------------------------------------------------------------------


@finding(
    "Many saliency maps do not depend on what the network learned.",
    "section 2.5, randomised sanity checks",
    "At least one method, baseline maps aside, keeps a rank correlation of absolute values of 0.5 with all weights drawn anew, "
    "its whole interval above.",
    into=FINDINGS,
)
def _sanity(evidence: Evidence) -> tuple[str, str]:
    rows = evidence.measures("parameter_randomization")
    rows = rows[~rows["baseline_map"].astype(bool)]
    failing = rows[rows["lower"] > 0.5]
    open_ = rows[(rows["upper"] >= 0.5) & (rows["lower"] <= 0.5)]
    said = f"Of {len(rows)} methods these stay as they were: {_listed(failing.index)}; unclear: {_listed(open_.index)}."
    return said, HOLDS if len(failing) else UNCLEAR if len(open_) else FAILS


@finding(
    "Perturbation methods do not depend on how a function is implemented.",
    "section 2.1",
    "The relative difference of maps of equal functions is below 1% for every perturbation method.",
    into=FINDINGS,
)
def _invariance(evidence: Evidence) -> tuple[str, str]:
    rows = evidence.measures("implementation_invariance")
    rows = rows[rows.index.isin(PERTURBATION)]
    if not len(rows):
        raise NotMeasured("no perturbation method was measured")
    verdicts = [each.below(0.01) for each in _estimates(rows)]
    worst = rows["value"].idxmax()
    return f"Largest difference {100 * rows['value'].max():.2g}%, by {worst}.", every(verdicts)


@finding(
    "Shapley values and Integrated Gradients share out the whole difference of scores.",
    "sections 2.1, 2.3",
    "The error is below 5% of the difference for each of them that was measured.",
    into=FINDINGS,
)
def _complete(evidence: Evidence) -> tuple[str, str]:
    rows = evidence.measures("completeness_error")
    rows = rows[rows.index.isin(("shapley_sampling", "kernel_shap", "integrated_gradients"))]
    if not len(rows):
        raise NotMeasured("none of them was measured")
    verdicts = [each.below(0.05) for each in _estimates(rows)]
    said = "; ".join(f"{name} {100 * row.value:.2g}%" for name, row in rows.iterrows())
    return f"Errors: {said}.", every(verdicts)


# level of detail --------------------------------------------------------------------------------------


@finding(
    "Integrated Gradients, guided backpropagation and DeepLIFT resemble edge detectors more than class activation maps do.",
    "section 2.4, level of detail",
    "Of each pair of one of the first and one of the second the first correlates more with the edges, in more than half of the "
    "pairs; interval over methods of the first kind.",
    into=FINDINGS,
)
def _edges(evidence: Evidence) -> tuple[str, str]:
    return _more(evidence, "edge_correlation", FINE, COARSE, "correlation with edges")


@finding(
    "Class activation maps are coarser than Integrated Gradients, guided backpropagation and DeepLIFT.",
    "section 2.4, level of detail",
    "The mean spatial frequency of every class activation map lies below that of every one of the others, interval beyond "
    "interval.",
    into=FINDINGS,
)
def _coarse(evidence: Evidence) -> tuple[str, str]:
    rows = evidence.rows("descriptors")
    rows = rows[(rows["metric"] == "centroid_frequency") & rows["value"].notna()].set_index("method")
    fine, coarse = (rows[rows.index.isin(names)] for names in (FINE, COARSE))
    if not len(fine) or not len(coarse):
        raise NotMeasured("methods of one kind are missing")
    said = (
        f"{coarse['value'].mean():.1f} cycles an image side for {_listed(coarse.index)}, {fine['value'].mean():.1f} for "
        f"{_listed(fine.index)}."
    )
    if coarse["upper"].max() < fine["lower"].min():
        return said, HOLDS
    return said, FAILS if coarse["lower"].min() > fine["upper"].max() else UNCLEAR


def _more(
    evidence: Evidence, metric: str, first: Sequence[str], second: Sequence[str], words: str
) -> tuple[str, str]:
    (a, _), (b, _) = evidence.described(metric, first), evidence.described(metric, second)
    rows = evidence.rows("descriptors")
    of = rows[(rows["metric"] == metric) & rows["value"].notna()].set_index("method")["value"]
    those = of[of.index.isin(second)]
    share = _share((value > those).mean() > 0.5 for value in of[of.index.isin(first)])
    return f"Mean {words} {a:.2f} and {b:.2f}.", share.above(0.5)


@finding(
    "Excitation Backprop as it is highlights almost the entire face, its contrastive form does not.",
    "section 2.2",
    "The area that holds half of a map is larger without contrast, interval beyond interval.",
    into=FINDINGS,
)
def _excitation(evidence: Evidence) -> tuple[str, str]:
    rows = evidence.rows("descriptors")
    rows = rows[rows["metric"] == "covered_area"].set_index("method")
    plain, contrastive, verdict = _apart(rows, "excitation_backprop", "contrastive_excitation_backprop")
    return f"Half of the map lies on {plain.percent()} and {contrastive.percent()} of the image.", verdict


# where decisions look ---------------------------------------------------------------------------------


@finding(
    "Recognition focuses on the triangle of eyes and nose.",
    "section 2.4, figure 6",
    "For more than half of the methods eyes and nose together hold more of the saliency on the canonical face than their area; "
    "interval over methods.",
    into=FINDINGS,
)
def _triangle(evidence: Evidence) -> tuple[str, str]:
    rows = evidence.rows("canonical")
    if not (rows["target"] == "similarity").any():
        raise NotMeasured("the network is no verifier")
    rows = rows[
        (rows["group"] == "all")
        & rows["part"].isin(("left_eye", "right_eye", "nose"))
        & ~rows["baseline_map"].astype(bool)
    ]
    sums = rows.groupby("method")[["share", "area"]].sum()
    share = _share(sums["share"] > sums["area"])
    said = (
        f"Eyes and nose are {100 * sums['area'].iloc[0]:.0f}% of the face and hold {100 * sums['share'].median():.0f}% of the "
        "saliency by the median method."
    )
    return said, share.above(0.5)


@finding(
    "Grad-CAM does not find the part that speaks for each class in faces of two expressions; Occlusion does.",
    "section 1, figure 1",
    "Occlusion's hit rate lies above that of Grad-CAM, interval beyond interval.",
    into=FINDINGS,
)
def _conflict(evidence: Evidence) -> tuple[str, str]:
    rows = evidence.rows("conflict", everywhere=True)
    rows = rows[rows["part"] == "both"].set_index("method")
    good, poor, verdict = _apart(rows, "occlusion", "grad_cam")
    return f"Hit rates {good.percent()} by Occlusion, {poor.percent()} by Grad-CAM.", verdict


@finding(
    "Where only one part tells the class, methods find that part.",
    _ADDED,
    "Over all such tasks, more than half of the methods put a share of their saliency on the evidence that lies above its area, "
    "the whole interval above, in every task; interval over methods.",
    into=FINDINGS,
)
def _known(evidence: Evidence) -> tuple[str, str]:
    rows = evidence.rows("ground_truth", everywhere=True)
    rows = rows[~rows["baseline_map"].astype(bool) & rows["energy"].notna()]
    if not len(rows):
        raise NotMeasured("no method was measured")
    found = (rows["lower"] > rows["area"]).groupby(rows["method"]).all()
    said = f"{int(found.sum())} of {len(found)} methods find it in every task; not {_listed(found.index[~found], 'no method')}."
    return said, _share(found).above(0.5)
