"""What the paper found, held against what was measured."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fusiform.studies._findings import Estimate, Finding, NotMeasured, every, finding, findings_table
from fusiform.studies.dissection._evidence import LEVEL, Evidence
from fusiform.studies.dissection._shares import apart, paired, share
from fusiform.studies.dissection._tables import GLOBAL, KINDS, local_units
from fusiform.studies.layers._evidence import over
from fusiform.studies.layers._rows import resampled

FINDINGS: list[Finding[Evidence]] = []
_ADDED = "beside the paper"


def findings(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Hold the paper's findings against what was measured.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        The tables of a run by name; whatever is missing leaves its findings not measured. Figures are of the main layer
        (the second-to-last convolution, where it was dissected; the deepest otherwise), coverage is over all layers that
        were dissected. Intervals of shares are Wilson's, of their differences Newcombe's; others draw units, or concepts,
        with replacement.

    Returns
    -------
    DataFrame
        A row a network and finding: ``finding, source, network, setup, measured, verdict, criterion``. `verdict` is
        ``"holds"`` or ``"does not hold"`` where the whole 95% interval meets or fails the criterion, ``"unclear"``
        where it does neither, ``"not measured"`` where something is missing.

    References
    ----------
    Teotia, Lapedriza and Ostadabbas (2022), Interpreting Face Inference Models using Hierarchical Network Dissection,
    sections 5.2, 5.3.

    Examples
    --------
    >>> findings({}).verdict.unique().tolist()
    ['not measured']
    """
    units = tables.get("units")
    networks = [""] if units is None or not len(units) else list(dict.fromkeys(units["network"].astype(str)))
    rows = []
    for network in networks:
        evidence = Evidence(network, tables)
        rows += [each.row(network, network, *each.judged(evidence)) for each in FINDINGS]
    return findings_table(rows)


# section 5.2: what is found -------------------------------------------------------------------------


@finding(
    "Hierarchical dissection pairs more units with a concept than Network Dissection does.",
    "section 5.2, figure 10",
    "Over local concepts, the difference in units averages above zero.",
    into=FINDINGS,
)
def _more_units(evidence: Evidence) -> tuple[str, str]:
    units = evidence.local_counts
    gap = over(units["hierarchical"] - units["network"])
    a, b = units["hierarchical"].mean(), units["network"].mean()
    return (
        f"Units a local concept: {a:.1f} by hierarchical dissection, {b:.1f} by Network Dissection; difference {gap.plain()}.",
        gap.above(0.0),
    )


@finding(
    "Hierarchical dissection finds concepts that Network Dissection does not.",
    "section 5.2, figure 10",
    "More local concepts are found by the first alone than by the second alone; interval over concepts.",
    into=FINDINGS,
)
def _more_concepts(evidence: Evidence) -> tuple[str, str]:
    found = evidence.local_counts > 0
    first = found["hierarchical"] & ~found["network"]
    second = found["network"] & ~found["hierarchical"]
    gap = paired(first, second)
    return (
        f"Of {len(found)} local concepts {found['hierarchical'].sum()} and {found['network'].sum()} are found, {first.sum()} by "
        f"hierarchical dissection alone, {second.sum()} by Network Dissection alone; difference {gap.points()}.",
        gap.above(0.0),
    )


@finding(
    "Units are paired with global concepts too.",
    "section 5.2, figure 10",
    "More than 5% of the units are paired with a global group at a false discovery rate of 5%.",
    into=FINDINGS,
)
def _global_pairs(evidence: Evidence) -> tuple[str, str]:
    evidence.needs("hierarchical")
    pairs = evidence.pairs[evidence.pairs["scope"] == GLOBAL]
    if len(pairs) and pairs["q_value"].isna().all():
        raise NotMeasured("no p-values were computed")
    units = evidence.of_main(evidence.units)
    surely = share(units["unit"].isin(pairs.loc[pairs["q_value"] < LEVEL, "unit"]))
    return (
        f"{100 * units['global'].mean():.0f}% of the units are paired with a global group; with q < 0.05 {surely.percent()}.",
        surely.above(LEVEL),
    )


@finding(
    "The Cheek region gets most units.",
    "section 5.2, figure 9a",
    "More units are paired with a local concept of the Cheek region than with one of any other; interval over units.",
    into=FINDINGS,
)
def _cheek(evidence: Evidence) -> tuple[str, str]:
    return _region(evidence, "Cheek", most=True)


@finding(
    "The Nose region gets very few units.",
    "section 5.2",
    "Fewer units are paired with a local concept of the Nose region than with one of any other; interval over units.",
    into=FINDINGS,
)
def _nose(evidence: Evidence) -> tuple[str, str]:
    return _region(evidence, "Nose", most=False)


def _region(evidence: Evidence, name: str, *, most: bool) -> tuple[str, str]:
    rows = evidence.rows("regions")
    units = rows[rows["layer"] == evidence.main].set_index("region")["units"]
    if name not in units:
        raise NotMeasured(f"the dictionary has no region '{name}'")
    if len(units) < 2 or not units.sum():
        raise NotMeasured("no unit is paired with a local concept")
    others = units.drop(name)
    other = others.idxmax() if most else others.idxmin()
    pairs = local_units(evidence.rows("pairs"))
    pairs = pairs[pairs["layer"] == evidence.main]
    unit = evidence.of_main(evidence.units)["unit"]
    own, rest = (unit.isin(pairs.loc[pairs["region"] == region, "unit"]) for region in (name, other))
    gap = paired(own, rest) if most else paired(rest, own)
    told = ", ".join(f"{region} {n}" for region, n in units.sort_values(ascending=False).items())
    first, second = (name, other) if most else (other, name)
    return f"Units: {told}; of all units {first} has {gap.change()} against {second}.", gap.above(0.0)


@finding(
    "Attributes are the most common kind of local concept.",
    "section 5.2, figure 9b",
    "A unit has more pairs with attributes than with any other kind; interval over units.",
    into=FINDINGS,
)
def _attributes(evidence: Evidence) -> tuple[str, str]:
    evidence.needs("hierarchical")
    rows = evidence.pairs[evidence.pairs["scope"] != GLOBAL]
    if not len(rows):
        raise NotMeasured("no unit is paired with a local concept")
    of_unit = pd.crosstab(rows["unit"], rows["concept_kind"])
    units = evidence.of_main(evidence.units)["unit"]
    of_unit = of_unit.reindex(index=units, columns=[k for k in KINDS if k != GLOBAL], fill_value=0)
    total = of_unit.sum()
    other = total.drop("attribute").idxmax()
    gap = over(of_unit["attribute"] - of_unit[other])
    told = ", ".join(f"{kind} {n}" for kind, n in total.items())
    return f"Pairs: {told}; a unit has {gap.plain()} more with attributes than with {other}s.", gap.above(0.0)


@finding(
    "Units have a most probable concept that is not the one of the highest IoU.",
    "section 5.2, figure 11",
    "So do more than 5% of the units that are paired with a local concept.",
    into=FINDINGS,
)
def _disagreement(evidence: Evidence) -> tuple[str, str]:
    evidence.needs("hierarchical")
    local = evidence.pairs[evidence.pairs["scope"] != GLOBAL]
    if not len(local):
        raise NotMeasured("no unit is paired with a local concept")
    most = local.sort_values("probability", ascending=False, kind="stable").drop_duplicates("unit")
    best = evidence.of_main(evidence.units).set_index("unit")["best_concept"]
    other = most["concept"].to_numpy() != best.reindex(most["unit"]).to_numpy()
    found = share(other)
    return f"Of {len(other)} units so do {int(other.sum())}: {found.percent()}.", found.above(0.05)


@finding(
    "Units of a local concept are paired with the global groups that go with it in the data.",
    "section 5.2, smile classifier",
    "Over concepts and groups, the excess of units that have both correlates with the association in the dictionary more "
    "than with random weights; interval over concepts.",
    into=FINDINGS,
)
def _skewed(evidence: Evidence) -> tuple[str, str]:
    own, random = (_excess(evidence.rows("bias", control=control)) for control in (False, True))
    own, random = (rows[rows["layer"] == evidence.main] for rows in (own, random))
    for rows, whose in ((own, ""), (random, " with random weights")):
        if len(rows) < 3:
            raise NotMeasured(f"too few concepts and groups{whose} have units and images of both")
    both = pd.concat([own.groupby("concept")[_TERMS].sum(), random.groupby("concept")[_TERMS].sum()], axis=1)
    terms = both.fillna(0.0).to_numpy(dtype=np.float64)
    first, second = (Estimate(*resampled(part, _pearson)) for part in (terms[:, :6], terms[:, 6:]))
    gap = Estimate(*resampled(terms, lambda s: _pearson(s[:, :6]) - _pearson(s[:, 6:])))
    return (
        f"r = {first.plain()} over {len(own)} pairs of concept and group, with random weights {second.plain()}; difference "
        f"{gap.plain()}.",
        gap.above(0.0),
    )


_TERMS = ["n", "x", "y", "xx", "yy", "xy"]


def _excess(rows: pd.DataFrame) -> pd.DataFrame:
    """What a correlation of association and excess needs, a row a concept and group."""
    rows = rows[rows["expected"] > 0].dropna(subset=["association"])
    x = rows["association"].to_numpy(dtype=np.float64)
    y = ((rows["units"] - rows["expected"]) / np.sqrt(rows["expected"])).to_numpy(dtype=np.float64)
    columns = (np.ones(len(x)), x, y, x * x, y * y, x * y)
    return rows[["layer", "concept"]].assign(**dict(zip(_TERMS, columns, strict=True)))


def _pearson(s: np.ndarray) -> np.ndarray:
    n, x, y, xx, yy, xy = s.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return (n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y))


# section 5.3: coverage ------------------------------------------------------------------------------


@finding(
    "Hierarchical dissection covers 70 to 80% of the units.",
    "section 5.3, figure 12",
    "The share of units of all layers dissected (of the paper: convolutions of the last two stages) that are paired with a local or global concept lies between 70 and 80%.",
    into=FINDINGS,
)
def _covered(evidence: Evidence) -> tuple[str, str]:
    evidence.needs("hierarchical")
    found = share(evidence.units["either"])
    local, groups = (f"{100 * evidence.units[name].mean():.0f}%" for name in ("local", "global"))
    return (
        f"{found.percent()} of {len(evidence.units)} units of {evidence.over}; local {local}, global {groups}.",
        _between(found, 0.7, 0.8),
    )


@finding(
    "Network Dissection covers 50 to 60% of the units.",
    "section 5.3, figure 13",
    "The share of units of all layers dissected (of the paper: convolutions of the last two stages) whose highest IoU reaches the threshold lies between 50 and 60%.",
    into=FINDINGS,
)
def _covered_by_network(evidence: Evidence) -> tuple[str, str]:
    evidence.needs("network")
    found = share(evidence.units["network_pair"])
    return f"{found.percent()} of {len(evidence.units)} units of {evidence.over}.", _between(found, 0.5, 0.6)


def _between(found: Estimate, low: float, high: float) -> str:
    return every([found.above(low), found.below(high)])


@finding(
    "Hierarchical dissection covers more units than Network Dissection.",
    "section 5.3, figures 12, 13",
    "The difference in the share of units, over all layers dissected, is above zero.",
    into=FINDINGS,
)
def _covers_more(evidence: Evidence) -> tuple[str, str]:
    evidence.needs("hierarchical")
    evidence.needs("network")
    gap = paired(evidence.units["either"], evidence.units["network_pair"])
    return f"{gap.change()}, over {evidence.over}.", gap.above(0.0)


@finding(
    "Coverage hardly differs between the layers of the last stages.",
    "section 5.3, figure 12",
    "Between the first and the last layer dissected the share of interpretable units differs by less than 10 points.",
    into=FINDINGS,
)
def _over_layers(evidence: Evidence) -> tuple[str, str]:
    evidence.needs("hierarchical")
    units = evidence.units.sort_values("depth", kind="stable")
    names = list(dict.fromkeys(units["layer"]))
    if len(names) < 2:
        raise NotMeasured("a single layer was dissected")
    first, last = (units.loc[units["layer"] == name, "either"] for name in (names[0], names[-1]))
    gap = apart(last, first)
    shares = units.groupby("layer")["either"].mean()
    return (
        f"From '{names[0]}' to '{names[-1]}' {gap.change()}; over {evidence.over} {100 * shares.min():.0f}% to "
        f"{100 * shares.max():.0f}%.",
        gap.within(0.1),
    )


# random weights -------------------------------------------------------------------------------------


@finding(
    "More units are interpretable than with random weights, by hierarchical dissection.",
    _ADDED,
    "In the main layer the difference in the share of units is above zero.",
    into=FINDINGS,
)
def _above_random(evidence: Evidence) -> tuple[str, str]:
    evidence.needs("hierarchical")
    return _against_random(evidence, "either")


@finding(
    "More units are interpretable than with random weights, by Network Dissection.",
    _ADDED,
    "In the main layer the difference in the share of units is above zero.",
    into=FINDINGS,
)
def _network_above_random(evidence: Evidence) -> tuple[str, str]:
    evidence.needs("network")
    return _against_random(evidence, "network_pair")


def _against_random(evidence: Evidence, column: str) -> tuple[str, str]:
    own, random = (evidence.of_main(units)[column] for units in (evidence.units, evidence.random_units))
    gap = apart(own, random)
    return (
        f"{100 * own.mean():.0f}%, with random weights {100 * random.mean():.0f}%; difference {gap.change()}.",
        gap.above(0.0),
    )


@finding(
    "More units follow a local concept from image to image than with random weights.",
    _ADDED,
    "In the main layer the share of units with a local pair of q < 0.05 is above that with random weights.",
    into=FINDINGS,
)
def _significant(evidence: Evidence) -> tuple[str, str]:
    evidence.needs("hierarchical")
    shares = []
    for control, units in ((False, evidence.units), (True, evidence.random_units)):
        pairs = evidence.rows("pairs", control=control)
        pairs = pairs[(pairs["scope"] != GLOBAL) & (pairs["method"] == "hierarchical")]
        pairs = pairs[pairs["layer"] == evidence.main]
        if len(pairs) and pairs["q_value"].isna().all():
            raise NotMeasured("no p-values were computed")
        shares.append(evidence.of_main(units)["unit"].isin(pairs.loc[pairs["q_value"] < LEVEL, "unit"]))
    own, random = shares
    gap = apart(own, random)
    return (
        f"{100 * own.mean():.0f}%, with random weights {100 * random.mean():.0f}%; difference {gap.change()}.",
        gap.above(0.0),
    )
