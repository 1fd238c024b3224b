"""Findings about the temporal course of training: figure 4, sections V.B and V.D, table IV."""

from itertools import pairwise
from typing import Any

from jaxtyping import Float
from numpy import ndarray

from fusiform.studies._findings import FAILS, HOLDS, Estimate, Finding, NotMeasured, every, finding
from fusiform.studies.expressivity._asked import IRRELEVANT
from fusiform.studies.expressivity._decay import NEVER, WHILE, losses
from fusiform.studies.expressivity._evidence import Evidence, nats
from fusiform.studies.expressivity._findings_layers import _correlated
from fusiform.studies.expressivity._traces import difference, records, widened

FINDINGS: list[Finding[Evidence]] = []
_EARLY = 0.2


@finding(
    "As training goes on, the expressivity of yaw, sex and age decreases.",
    "introduction, 4; section V.B",
    "Each of the three that was ever expressed (the interval of its peak is above zero) is lower at the last checkpoint than at its "
    "peak, by an interval above zero after Bonferroni's correction for the choice of the peak.",
    into=FINDINGS,
)
def _decreases(evidence: Evidence) -> tuple[str, str]:
    falls = _expressed(evidence)
    said = ", ".join(f"{role} by {nats(_fall(row))}" for role, row in falls.items())
    return f"From the peak to the last checkpoint: {said}.", every(
        # Where the last checkpoint is the peak, nothing falls.
        [_fall(row).above(0.0) if row["fall"] > 0 else FAILS for row in falls.values()]
    )


@finding(
    "The rate of decrease is age < sex < yaw.",
    "introduction, 4; section V.B",
    "Nats lost for a tenfold of steps after the peak: sex loses more than age and yaw more than sex, by intervals of the "
    "difference above zero after Bonferroni's correction for the choice of both peaks. One that peaks at the last step has no rate.",
    into=FINDINGS,
)
def _rates(evidence: Evidence) -> tuple[str, str]:
    rates: dict[str, tuple[int, float, Float[ndarray, " d"]]] = {}
    without = []
    for role in IRRELEVANT:
        row = _decayed(evidence, evidence.role(role))
        if row["peak_lower"] <= 0:
            raise NotMeasured(f"{role} was never expressed")
        course = evidence.course[evidence.course["attribute"] == row["attribute"]]
        after = course[course["step"] >= row["peak_step"]]
        lost = losses(evidence.traces, after)
        if lost is None:
            without.append(role)
        else:
            rates[role] = (len(course) - 1, *lost)
    left = f"{' and '.join(without)} peaked too late to have a rate"
    if len(rates) < 2:
        raise NotMeasured(left)
    verdicts = []
    for (n, a, a_draws), (m, b, b_draws) in pairwise(rates.values()):
        verdicts.append(widened(b - a, difference(b_draws, a_draws), n * m).above(0.0))
    said = ", ".join(f"{role} {nats(widened(rate, draws, n))}" for role, (n, rate, draws) in rates.items())
    more = f"; {left}" if without else ""
    return f"A tenfold of steps after the peak costs: {said}{more}.", every(verdicts)


@finding(
    "Yaw, age and sex reach their peak early in training.",
    "section V.B",
    "The peak of each of the three that was ever expressed lies in the first fifth of the steps.",
    into=FINDINGS,
)
def _early(evidence: Evidence) -> tuple[str, str]:
    last = evidence.steps[-1]
    peaks = {role: int(row["peak_step"]) for role, row in _expressed(evidence).items()}
    said = ", ".join(f"{role} at {step}" for role, step in peaks.items())
    return (
        f"Peaks, of {last} steps: {said}.",
        HOLDS if all(step <= _EARLY * last for step in peaks.values()) else FAILS,
    )


@finding(
    "The expressivity of identity generally increases during training.",
    "section V.B",
    "Identity at the last checkpoint is above that at the first step, by an interval above zero.",
    into=FINDINGS,
)
def _identity(evidence: Evidence) -> tuple[str, str]:
    name = evidence.identity()
    first, last = evidence.steps[0], evidence.steps[-1]
    if first == last:
        raise NotMeasured("there are fewer than two checkpoints")
    rise = evidence.gap(evidence.at(name, step=last), evidence.at(name, step=first))
    return f"From step {first} to step {last} identity rises by {nats(rise)}.", rise.above(0.0)


@finding(
    "Features of a network trained on objects express identity better than other attributes.",
    "section V.B",
    "At the object-pretrained step 0 identity is above each of age, sex and yaw that was studied, by intervals above zero.",
    into=FINDINGS,
)
def _objects(evidence: Evidence) -> tuple[str, str]:
    rows = evidence.traces.over_training
    rows = rows[(rows["start"] == "pretrained") & rows["main"].astype(bool)]
    if not len(rows):
        raise NotMeasured("no network trained on objects was given")
    _ = evidence.course  # the finding belongs to the network that was trained
    objects = Evidence(str(rows["network"].iloc[0]), evidence.traces)
    values = {
        row.attribute: (
            row.value,
            evidence.traces.draws(row.network, row.layer, row.attribute, row.encoding, row.step),
        )
        for row in records(rows)
    }
    name = evidence.identity()
    if name not in values:
        raise NotMeasured("identity was not studied there")
    gaps = {
        role: objects.gap(values[name], values[other])
        for role, other in evidence.roles().items()
        if other in values
    }
    if not gaps:
        raise NotMeasured("none of age, sex and yaw was studied there")
    said = ", ".join(f"{role} {nats(gap)}" for role, gap in gaps.items())
    return f"In '{objects.network}' identity less {said}.", every([gap.above(0.0) for gap in gaps.values()])


@finding(
    "In training, too, more expressivity of yaw and age goes with a smaller error of linear probes.",
    "table IV",
    "Over at least three steps, Pearson's correlation of expressivity with the error is negative for yaw and for age, with intervals "
    "below zero.",
    into=FINDINGS,
)
def _linear(evidence: Evidence) -> tuple[str, str]:
    _ = evidence.course
    found = [_correlated(evidence, evidence.role(role), "training") for role in ("yaw", "age")]
    return " ".join(said for said, _ in found), every([verdict for _, verdict in found])


@finding(
    "What is irrelevant to the task is compressed while the task is learnt, not in a phase after it.",
    "section V.D, after Saxe and others (2018)",
    "Yaw, sex and age, those that were ever expressed, fall after their peak while the task's expressivity rises, both by intervals "
    "above zero, that of the fall after Bonferroni's correction for the choice of the peak.",
    into=FINDINGS,
)
def _compressed(evidence: Evidence) -> tuple[str, str]:
    _ = evidence.course
    table = evidence.traces.tables.get("compression")
    names = evidence.roles()
    if table is None or not len(table):
        raise NotMeasured("what the network is trained to tell was not studied")
    rows = table[(table["network"] == evidence.network) & table["attribute"].isin(names.values())]
    if not len(rows):
        raise NotMeasured("none of age, sex and yaw was read")
    rows = rows[rows["layer"] == rows["layer"].iloc[-1]]
    rows = rows[rows["reading"] != NEVER]
    if not len(rows):
        raise NotMeasured("none of age, sex and yaw was ever expressed")
    said = ", ".join(f"{row.attribute} {row.reading}" for row in records(rows))
    return (
        f"Against {rows['task_attribute'].iloc[0]}: {said}.",
        HOLDS if (rows["reading"] == WHILE).all() else FAILS,
    )


def _decayed(evidence: Evidence, name: str) -> Any:
    """The row of the table of decay, in the deepest watched layer."""
    _ = evidence.course
    table = evidence.traces.tables.get("decay")
    if table is None or not len(table):
        raise NotMeasured("there are fewer than two checkpoints")
    layer = evidence.course["layer"].iloc[0]
    rows = table[
        (table["network"] == evidence.network) & (table["layer"] == layer) & (table["attribute"] == name)
    ]
    if not len(rows):
        raise NotMeasured(f"'{name}' was not measured over training")
    return rows.iloc[0]


def _expressed(evidence: Evidence) -> dict[str, Any]:
    """Rows of the table of decay of those of age, sex and yaw whose peak is above chance."""
    rows = {role: _decayed(evidence, name) for role, name in evidence.roles().items()}
    found = {role: row for role, row in rows.items() if not row["peak_lower"] <= 0}
    if not found:
        raise NotMeasured("none of age, sex and yaw was ever expressed")
    return found


def _fall(row: Any) -> Estimate:
    return Estimate(float(row["fall"]), float(row["fall_lower"]), float(row["fall_upper"]))
