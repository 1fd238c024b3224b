"""Findings of a published study: sentences, criteria, and verdicts by intervals."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import pandas as pd

HOLDS, FAILS, UNCLEAR, ABSENT = "holds", "does not hold", "unclear", "not measured"
COLUMNS = ["finding", "source", "network", "setup", "measured", "verdict", "criterion"]

EvidenceT = TypeVar("EvidenceT")


class NotMeasured(Exception):  # noqa: N818 - not an error: it says why there is no verdict
    """What is missing for a finding to be judged."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval."""

    value: float
    lower: float
    upper: float

    def above(self, threshold: float) -> str:
        """Whether the whole interval lies above a threshold, or nothing of it does."""
        if not np.isfinite([self.lower, self.upper]).all():
            return UNCLEAR
        return HOLDS if self.lower > threshold else FAILS if self.upper <= threshold else UNCLEAR

    def below(self, threshold: float) -> str:
        return Estimate(-self.value, -self.upper, -self.lower).above(-threshold)

    def within(self, threshold: float) -> str:
        """Whether the whole interval lies between minus and plus a threshold, or nothing of it does."""
        return every([self.above(-threshold), self.below(threshold)])

    def beyond(self, threshold: float) -> str:
        """Whether the whole interval lies on one side of minus and plus a threshold, or nothing of it lies outside."""
        sides = [self.above(threshold), self.below(-threshold)]
        return HOLDS if HOLDS in sides else FAILS if sides == [FAILS, FAILS] else UNCLEAR

    def points(self) -> str:
        return self._written("{:z.1f}", unit=" points")

    def change(self) -> str:
        return self._written("{:+z.1f}", unit=" points")

    def percent(self) -> str:
        return self._written("{:z.0f}%")

    def plain(self) -> str:
        return self._written("{:z.2f}", scale=1)

    def alone(self) -> str:
        """The value in points, without unit and interval."""
        return _signed("{:z.1f}", 100 * self.value)

    def _written(self, form: str, *, scale: float = 100, unit: str = "") -> str:
        value, lower, upper = (_signed(form, scale * each) for each in (self.value, self.lower, self.upper))
        known = np.isfinite([self.lower, self.upper]).all()
        return f"{value}{unit} ({f'{lower} to {upper}' if known else 'no interval'})"


def _signed(form: str, value: float) -> str:
    return form.format(value).replace("-", "\N{MINUS SIGN}")


def every(verdicts: Sequence[str]) -> str:
    """The verdict on a finding of several parts: it holds if all hold, and fails if one fails."""
    return FAILS if FAILS in verdicts else UNCLEAR if UNCLEAR in verdicts else HOLDS


@dataclass(frozen=True)
class Finding(Generic[EvidenceT]):
    """A sentence of a publication, where it stands, when it counts as true, and who says what was measured."""

    sentence: str
    source: str
    criterion: str
    judge: Callable[[EvidenceT], tuple[str, str]]

    def judged(self, evidence: EvidenceT) -> tuple[str, str]:
        """What was measured, as a sentence with the numbers, and the verdict."""
        try:
            return self.judge(evidence)
        except NotMeasured as missing:
            return f"Not measured: {missing}.", ABSENT

    def row(self, network: str, setup: str, said: str, verdict: str) -> tuple[str, ...]:
        """A row of the table of findings."""
        return self.sentence, self.source, network, setup, said, verdict, self.criterion


def finding(
    sentence: str, source: str, criterion: str, *, into: list[Finding[EvidenceT]]
) -> Callable[[Callable[[EvidenceT], tuple[str, str]]], Callable[[EvidenceT], tuple[str, str]]]:
    """Add the decorated judge to a list."""

    def add(judge: Callable[[EvidenceT], tuple[str, str]]) -> Callable[[EvidenceT], tuple[str, str]]:
        into.append(Finding(sentence, source, criterion, judge))
        return judge

    return add


def findings_table(rows: Iterable[tuple[str, ...]]) -> pd.DataFrame:
    """The table of findings of rows that `Finding.row` gave."""
    return pd.DataFrame(list(rows), columns=COLUMNS)
