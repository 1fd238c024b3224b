"""Findings about what is known at which depth: figures 5.1 to 5.8."""

import numpy as np
import pandas as pd

from fusiform.studies._findings import Estimate, Finding, NotMeasured, every, finding
from fusiform.studies.layers._evidence import THIRDS, Evidence, by_third, over, thirds_of
from fusiform.studies.layers._families import NON_BIOMETRIC, PRIMARY, SOFT
from fusiform.studies.layers._rows import difference
from fusiform.studies.layers._sawtooth import sawtooth_summary

FINDINGS: list[Finding[Evidence]] = []
_AT_FIRST = 0.2
_HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Gray_Hair")


@finding(
    "Most attributes can be read out with more than 90% accuracy.",
    "figures 5.1-5.3",
    "More than half of the attributes exceed 90% balanced accuracy at their best entire layer.",
    into=FINDINGS,
)
def _over_ninety(evidence: Evidence) -> tuple[str, str]:
    curves = evidence.curves()
    best = curves.groupby("attribute")["value"].max()
    share = over((best > 0.9).astype(float))
    pairs = (curves["value"] > 0.9).mean()
    return (
        f"{(best > 0.9).sum()} of {len(best)} attributes exceed 90% at their best layer, {share.percent()}; of all "
        f"pairs of layer and attribute {100 * pairs:.0f}% do.",
        share.above(0.5),
    )


@finding(
    "A few channels know nearly as much as the entire layer, at every depth.",
    "figures 5.1-5.3",
    "In every third of the depth the eight best channels are less than 5 points below the entire layer.",
    into=FINDINGS,
)
def _channels(evidence: Evidence) -> tuple[str, str]:
    thirds = thirds_of(by_third(_gap(evidence, "channels")), *THIRDS)
    gaps = {name: over(third) for name, third in zip(THIRDS, thirds, strict=True)}
    shown = ", ".join(f"{gap.points()} in the {name} third" for name, gap in gaps.items())
    return f"Entire layer above channels: {shown}.", every([gap.below(0.05) for gap in gaps.values()])


@finding(
    "A few neurons know nearly as much as the entire layer in deep layers only.",
    "figures 5.1-5.3",
    "In the last third of the depth the eight best neurons are less than 5 points below the entire layer, and "
    "further below it in the first third.",
    into=FINDINGS,
)
def _neurons(evidence: Evidence) -> tuple[str, str]:
    first, last = thirds_of(by_third(_gap(evidence, "neurons")), "first", "last")
    shallow, deep, more = over(first), over(last), over(first - last)
    return (
        f"Entire layer above neurons: {shallow.points()} in the first third, {deep.points()} in the last; the "
        f"difference is {more.points()}.",
        every([deep.below(0.05), more.above(0.0)]),
    )


@finding(
    "After the first layers, entire layers hardly know more.",
    "figures 5.1-5.3",
    "The best layer at any depth is less than 3 points above the best in the first third of the depth.",
    into=FINDINGS,
)
def _plateau(evidence: Evidence) -> tuple[str, str]:
    curves = evidence.curves()
    best = curves.groupby("attribute")["value"].max()
    early = curves[curves["third"] == "first"].groupby("attribute")["value"].max()
    if not len(early):
        raise NotMeasured("no layer was probed in the first third of the depth")
    rise = over((best - early).dropna())
    return f"The best layer is {rise.points()} above the best of the first third.", rise.below(0.03)


@finding(
    "Male is among the attributes best known at the first layer.",
    "section 5.2",
    "At the first probed layer, within the first fifth of the depth, Male is among the best quarter of the attributes: above the "
    "best of those that would otherwise be, by more than the intervals of the two.",
    into=FINDINGS,
)
def _male_early(evidence: Evidence) -> tuple[str, str]:
    first, layer, place = _first(evidence.curves())
    if "Male" not in first:
        raise NotMeasured("Male was not probed")
    if len(first) < 4:
        raise NotMeasured("fewer than four attributes were probed")
    rank = 1 + int((first > first["Male"]).sum())
    quarter = max(1, round(len(first) / 4))
    # Male is among the best so many just where it is above that many-th of the others.
    rival = first.drop("Male").nlargest(quarter).index[-1]
    gap = float(first["Male"] - first[rival])
    half = np.hypot(_half_width(evidence, "Male", layer), _half_width(evidence, rival, layer))
    above = Estimate(gap, gap - half, gap + half)
    return (
        f"At the first probed layer ({place}) Male is known to {100 * first['Male']:.1f}%, number {rank} of {len(first)} "
        f"attributes, whose mean is {100 * first.mean():.1f}%. To be among the best {quarter} it must be above {rival}: it is "
        f"by {above.points()}.",
        above.above(0.0),
    )


@finding(
    "The first layers of a trained network know no more than those of random weights.",
    "figure 5.4",
    "At the first probed layer, within the first fifth of the depth, the two differ by less than 3 points, averaged over attributes.",
    into=FINDINGS,
)
def _alike_at_first(evidence: Evidence) -> tuple[str, str]:
    curves, control = evidence.curves(), evidence.control()
    gap, place = _at_first(curves, control)
    return f"At the {place} the trained network is {gap.points()} above random weights.", gap.within(0.03)


@finding(
    "With depth a trained network knows more, and one with random weights less.",
    "figure 5.4",
    "From the first to the last third of the depth, the mean over attributes rises in the trained network and falls in the random one.",
    into=FINDINGS,
)
def _parts_with_depth(evidence: Evidence) -> tuple[str, str]:
    trained, control = _change(evidence.curves()), _change(evidence.control())
    return (
        f"From the first to the last third: {trained.change()} trained, {control.change()} with random weights.",
        every([trained.above(0.0), control.below(0.0)]),
    )


@finding(
    "Networks trained differently are alike at first and part with depth.",
    "figure 5.4",
    "Averaged over attributes, they differ by less than 3 points at the first probed layers, within the first fifth of the depth, "
    "and by more than 3 points, in either direction, in the last third.",
    into=FINDINGS,
)
def other_training(evidence: Evidence) -> tuple[str, str]:
    if evidence.reference in (None, evidence.setup):
        raise NotMeasured("there is one setup only")
    mine, other = evidence.curves(), evidence.curves(setup=evidence.reference)
    at_first, place = _at_first(other, mine)
    (last,) = thirds_of(by_third(other) - by_third(mine), "last")
    at_last = over(last)
    return (
        f"'{evidence.reference}' is {at_first.points()} above '{evidence.setup}' at the {place}, and {at_last.points()} in the "
        "last third.",
        every([at_first.within(0.03), at_last.beyond(0.03)]),
    )


@finding(
    "Brown hair is known much less than other hair colours.",
    "figure 5.5",
    "Brown_Hair is at least 10 points below the mean of the other hair colours, averaged over layers, by more than the interval of its "
    "own accuracy.",
    into=FINDINGS,
)
def _brown_hair(evidence: Evidence) -> tuple[str, str]:
    table = evidence.curves().pivot_table(index="layer", columns="attribute", values="value", sort=False)
    others = [name for name in _HAIR_COLOURS if name in table]
    if "Brown_Hair" not in table or not others:
        raise NotMeasured("brown hair and another hair colour were not both probed")
    gap = table[others].mean(axis=1) - table["Brown_Hair"]
    mean, half = float(gap.mean()), _half_width(evidence, "Brown_Hair")
    estimate = Estimate(mean, mean - half, mean + half)
    return (
        f"Brown_Hair is {estimate.points()} below {', '.join(others)}, at single layers {100 * gap.min():.1f} to "
        f"{100 * gap.max():.1f} points.",
        estimate.above(0.10),
    )


@finding(
    "Soft biometrics are known better than primary biometrics.",
    "figure 5.6",
    "At their best layers, soft biometrics are known better than primary ones on average.",
    into=FINDINGS,
)
def _soft_above_primary(evidence: Evidence) -> tuple[str, str]:
    soft, primary = evidence.members(SOFT), evidence.members(PRIMARY)
    best = evidence.curves().groupby("attribute")["value"].max()
    best = best[best.index.isin(soft ^ primary)]
    inside = best.index.isin(soft)
    if inside.all() or not inside.any():
        raise NotMeasured("the two families are not both there")
    gap = Estimate(*difference(best.to_numpy(), inside))
    return (
        f"Soft biometrics reach {100 * best[inside].mean():.1f}% ({inside.sum()} attributes), primary ones "
        f"{100 * best[~inside].mean():.1f}% ({(~inside).sum()}), a difference of {gap.points()}; the best primary one is "
        f"{best[~inside].idxmax()} with {100 * best[~inside].max():.1f}%.",
        gap.above(0.0),
    )


@finding(
    "Non-biometric attributes are lost with depth.",
    "figure 5.7",
    "Their mean falls from the first to the last third of the depth.",
    into=FINDINGS,
)
def _non_biometric_fall(evidence: Evidence) -> tuple[str, str]:
    members = evidence.members(NON_BIOMETRIC)
    curves = evidence.curves()
    inside = curves["attribute"].isin(members)
    change = _change(curves[inside])
    others = f"; all other attributes {_change(curves[~inside]).change()}" if (~inside).any() else ""
    return (
        f"From the first to the last third: {change.change()} ({len(members)} attributes){others}.",
        change.below(0.0),
    )


@finding(
    "Residual branches know less than the sums around them.",
    "figure 5.8",
    "The dip at the branch, averaged over blocks and attributes, is above zero, and more than half of the pairs of block and "
    "attribute dip.",
    into=FINDINGS,
)
def _sawtooth(evidence: Evidence) -> tuple[str, str]:
    table = evidence.table("sawtooth", ["network", "block", "attribute", "dip"])
    by_attribute = table.assign(dips=table["dip"] > 0).groupby("attribute")[["dip", "dips"]].mean()
    dip, share = over(by_attribute["dip"]), over(by_attribute["dips"])
    return (
        f"The mean dip is {dip.points()} over {table['block'].nunique()} blocks; {share.percent()} of all pairs of block and "
        "attribute dip.",
        every([dip.above(0.0), share.above(0.5)]),
    )


@finding(
    "Residual branches lose non-biometric attributes most.",
    "figure 5.8",
    "Non-biometric attributes dip more than the others on average.",
    into=FINDINGS,
)
def _sawtooth_family(evidence: Evidence) -> tuple[str, str]:
    table = evidence.table("sawtooth", ["network", "block", "attribute", "dip"])
    dips = sawtooth_summary(table).groupby("attribute")["dip"].mean()
    inside = dips.index.isin(evidence.members(NON_BIOMETRIC))
    if inside.all() or not inside.any():
        raise NotMeasured("there are not both non-biometric and other attributes in residual blocks")
    gap = Estimate(*difference(dips.to_numpy(), inside))
    return (
        f"Mean dip {100 * dips[inside].mean():.1f} points in non-biometric attributes, {100 * dips[~inside].mean():.1f} in the "
        f"others, a difference of {gap.points()}.",
        gap.above(0.0),
    )


def _gap(evidence: Evidence, unit_kind: str) -> pd.DataFrame:
    """How far a unit kind lies below the entire layer, at the layers that have both."""
    keys = ["attribute", "layer"]
    units = evidence.curves(unit_kind)[[*keys, "value"]].rename(columns={"value": "units"})
    both = evidence.curves().merge(units, on=keys)
    if not len(both):
        raise NotMeasured(f"no layer was probed both entire and by its {unit_kind}")
    return both.assign(value=both["value"] - both["units"])


def _first(curves: pd.DataFrame) -> tuple[pd.Series, str, str]:
    """Values of the attributes at the shallowest layer, its name, and its name and depth in words."""
    rows = curves[curves["depth"] == curves["depth"].min()]
    layer, depth = str(rows["layer"].iloc[0]), float(rows["relative_depth"].iloc[0])
    place = f"{layer}, {100 * depth:.0f}% of the depth"
    if depth > _AT_FIRST:
        raise NotMeasured(f"the first probed layer ({place}) lies beyond the first fifth")
    return rows.set_index("attribute")["value"], layer, place


def _at_first(curves: pd.DataFrame, other: pd.DataFrame) -> tuple[Estimate, str]:
    """How far the first is above the other at the shallowest layer of each, and which layers those are."""
    (mine, _, place), (theirs, _, at) = _first(curves), _first(other)
    gap = (mine - theirs).dropna()
    if not len(gap):
        raise NotMeasured("the two have no attribute in common")
    where = f"first probed layer ({place})" if place == at else f"first probed layers ({place}; {at})"
    return over(gap), where


def _change(curves: pd.DataFrame) -> Estimate:
    first, last = thirds_of(by_third(curves), "first", "last")
    return over((last - first).dropna())


def _half_width(evidence: Evidence, attribute: str, layer: str | None = None) -> float:
    """Half the width of the interval of one attribute's accuracy, at a layer or averaged over all."""
    rows = evidence.probes
    rows = rows[
        (rows["attribute"] == attribute) & (rows["setup"] == evidence.setup) & (rows["unit_kind"] == "layer")
    ]
    if not {"lower", "upper"} <= set(rows.columns):
        return np.nan
    if layer is not None:
        rows = rows[rows["layer"] == layer]
    return float((rows["upper"] - rows["lower"]).mean() / 2)
