"""Findings about the hierarchical course of the feedforward pass: figure 3, section V.A, table III."""

from itertools import pairwise
from typing import Any

from fusiform.studies._findings import Estimate, Finding, NotMeasured, every, finding
from fusiform.studies.expressivity._asked import IRRELEVANT
from fusiform.studies.expressivity._evidence import Evidence, nats
from fusiform.studies.expressivity._traces import difference, widened

FINDINGS: list[Finding[Evidence]] = []
_CONFOUNDED = 0.3


@finding(
    "In the last layer the order of expressivity is age > sex > yaw.",
    "introduction, 3; section V.A",
    "Age is above sex and sex above yaw in the deepest layer, each by an interval above zero.",
    into=FINDINGS,
)
def _order(evidence: Evidence) -> tuple[str, str]:
    last = evidence.places[-1]
    age, sex, yaw = (evidence.at(evidence.role(role), layer=last) for role in IRRELEVANT)
    first, second = evidence.gap(age, sex), evidence.gap(sex, yaw)
    named = ", ".join(f"{role} ({evidence.role(role)})" for role in IRRELEVANT)
    return (
        f"In '{last}', for {named}: age less sex is {nats(first)}, sex less yaw {nats(second)}.",
        every([first.above(0.0), second.above(0.0)]),
    )


@finding(
    "From the last pool to the final fully connected layer the expressivity of identity rises.",
    "introduction, 5; section V.A",
    "Identity in the last layer that is a vector is above that in the vector before it, by an interval above zero.",
    into=FINDINGS,
)
def _identity_rises(evidence: Evidence) -> tuple[str, str]:
    vectors = evidence.vectors()
    if len(vectors) < 2:
        raise NotMeasured("a pool and a layer after it were not both measured")
    name = evidence.identity()
    pool, last = vectors[-2:]
    rise = evidence.gap(evidence.at(name, layer=last), evidence.at(name, layer=pool))
    return f"From '{pool}' to '{last}' identity rises by {nats(rise)}.", rise.above(0.0)


@finding(
    "In the image and in shallow layers identity has the lowest expressivity.",
    "section V.A",
    "In the image and in every layer of the first half of those measured, identity is below each of age, sex and yaw that is "
    "there, by intervals above zero.",
    into=FINDINGS,
)
def _identity_lowest(evidence: Evidence) -> tuple[str, str]:
    name = evidence.identity()
    if len(evidence.places) < 2:
        raise NotMeasured("one layer only was measured")
    shallow = evidence.places[: max(1, len(evidence.places) // 2)]
    gaps = {
        (layer, role): evidence.gap(evidence.at(other, layer=layer), evidence.at(name, layer=layer))
        for layer in shallow
        for role, other in evidence.roles().items()
    }
    (layer, role), least = min(gaps.items(), key=lambda item: item[1].value)
    n = f"in {len(shallow)} layers" if len(shallow) > 1 else f"in '{layer}'"
    where = f" in '{layer}'" if len(shallow) > 1 else ""
    return (
        f"The smallest lead over identity {n} is that of {role}{where}: {nats(least)}.",
        every([gap.above(0.0) for gap in gaps.values()]),
    )


@finding(
    "In the last layer yaw and sex have their lowest expressivity.",
    "section V.A",
    "Every other layer that was measured has more of yaw and of sex than the deepest one, by intervals above zero.",
    into=FINDINGS,
)
def _lowest_at_last(evidence: Evidence) -> tuple[str, str]:
    *others, last = evidence.places
    if not others:
        raise NotMeasured("one layer only was measured")
    said, verdicts = [], []
    for role in ("yaw", "sex"):
        name = evidence.role(role)
        end = evidence.at(name, layer=last)
        gaps = {layer: evidence.gap(evidence.at(name, layer=layer), end) for layer in others}
        layer, least = min(gaps.items(), key=lambda item: item[1].value)
        said.append(f"of {role} the lowest other is '{layer}', which less '{last}' is {nats(least)}")
        verdicts.append(least.above(0.0))
    return f"{'; '.join(said).capitalize()}.", every(verdicts)


@finding(
    "In the last layer identity and age are expressed more than yaw and sex.",
    "section V.A",
    "In the deepest layer the lower of identity and age is above the higher of yaw and sex, by an interval above zero.",
    into=FINDINGS,
)
def _fine_grained(evidence: Evidence) -> tuple[str, str]:
    last = evidence.places[-1]
    fine = [evidence.identity(), evidence.role("age")]
    coarse = [evidence.role("yaw"), evidence.role("sex")]
    low = min(fine, key=lambda name: evidence.at(name, layer=last)[0])
    high = max(coarse, key=lambda name: evidence.at(name, layer=last)[0])
    gap = evidence.gap(evidence.at(low, layer=last), evidence.at(high, layer=last))
    return f"In '{last}' {low} less {high} is {nats(gap)}.", gap.above(0.0)


@finding(
    "Expressivity does not fall monotonically with depth, though true information cannot rise.",
    "section V.A, data processing inequality",
    "Some attribute rises from one measured layer to the next, by an interval above zero after Bonferroni's correction of its width.",
    into=FINDINGS,
)
def _rises(evidence: Evidence) -> tuple[str, str]:
    if len(evidence.places) < 2:
        raise NotMeasured("one layer only was measured")
    rises: dict[tuple[str, str, str], Estimate] = {}
    for name in dict.fromkeys(evidence.layers["attribute"]):
        places = list(evidence.layers.loc[evidence.layers["attribute"] == name, "layer"])
        for a, b in pairwise(places):
            rises[name, a, b] = evidence.gap(evidence.at(name, layer=b), evidence.at(name, layer=a))
    (name, a, b), most = max(rises.items(), key=lambda item: item[1].value)
    drawn = difference(evidence.at(name, layer=b)[1], evidence.at(name, layer=a)[1])
    return (
        f"The largest of {len(rises)} steps between layers is that of {name} from '{a}' to '{b}', {nats(most)}.",
        widened(most.value, drawn, len(rises)).above(0.0),
    )


@finding(
    "Identity, on which the network was trained, rises monotonically with depth.",
    "section V.A, linear separability",
    "Identity ends above where it begins, and falls from no measured layer to the next by an interval below zero.",
    into=FINDINGS,
)
def _identity_monotone(evidence: Evidence) -> tuple[str, str]:
    name = evidence.identity()
    places = list(evidence.layers.loc[evidence.layers["attribute"] == name, "layer"])
    if len(places) < 2:
        raise NotMeasured("one layer only was measured")
    whole = evidence.gap(evidence.at(name, layer=places[-1]), evidence.at(name, layer=places[0]))
    steps = [
        evidence.gap(evidence.at(name, layer=b), evidence.at(name, layer=a)) for a, b in pairwise(places)
    ]
    falls = sum(step.upper < 0 for step in steps)
    verdict = whole.above(0.0) if not falls else "does not hold"
    return (
        f"From '{places[0]}' to '{places[-1]}' identity rises by {nats(whole)}; {falls} of {len(steps)} steps between layers fall.",
        verdict,
    )


@finding(
    "Where a layer expresses yaw more, a linear probe reads it with a smaller error.",
    "table III",
    "Over layers, Pearson's correlation of yaw's expressivity with the error of the linear probe is negative, with an interval below zero.",
    into=FINDINGS,
)
def _linear(evidence: Evidence) -> tuple[str, str]:
    return _correlated(evidence, evidence.role("yaw"), "layers")


def _correlated(evidence: Evidence, name: str, over: str) -> tuple[str, str]:
    table = evidence.traces.tables.get("correlation")
    if table is None or not len(table):
        raise NotMeasured("no linear probes stand beside three layers or steps")
    rows = table[
        (table["network"] == evidence.network)
        & (table["attribute"] == name)
        & (table["over"] == over)
        & (table["estimator"] == evidence.traces.estimator)
    ]
    if not len(rows):
        raise NotMeasured(f"'{name}' has fewer than three points over {over}")
    row = rows.iloc[0]
    r = Estimate(float(row["pearson"]), float(row["lower"]), float(row["upper"]))
    return f"Over {row['n']} points, r = {r.plain()} for {name}.", r.below(0.0)


@finding(
    "Age is expressed more than other attributes for three reasons: it goes together with identity, it was predicted from the "
    "same pixels, and its entropy is higher.",
    "section V.A",
    "All three are the case: an association with identity of at least 0.3, predicted by a network, and an entropy above that of "
    "sex and of yaw.",
    into=FINDINGS,
)
def _three_reasons(evidence: Evidence) -> tuple[str, str]:
    table = evidence.traces.tables.get("described")
    if table is None:
        raise NotMeasured("there is no table 'described'")
    rows: Any = table.drop_duplicates("attribute").set_index("attribute")
    age = rows.loc[evidence.role("age")]
    others = [float(rows.loc[evidence.role(role), "entropy"]) for role in ("sex", "yaw")]
    tie = age["association"]
    if tie is None or tie != tie:  # NaN or NA
        raise NotMeasured("who is shown is not known")
    higher = float(age["entropy"]) > max(others)
    yes = [float(tie) >= _CONFOUNDED, bool(age["predicted"]), higher]
    return (
        f"Association of {age.name} with identity {float(tie):.2f}; {'predicted by a network' if yes[1] else 'not predicted'}; "
        f"entropy {float(age['entropy']):.2f} nats against {max(others):.2f}.",
        "holds" if all(yes) else "does not hold",
    )
