"""What findings are and what they are judged on: the tables of one setup, and verdicts by intervals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fusiform.studies.layers._rows import RANDOM_WEIGHTS, interval, labelled

HOLDS, FAILS, UNCLEAR, ABSENT = "holds", "does not hold", "unclear", "not measured"
THIRDS = ("first", "middle", "last")


class NotMeasured(Exception):  # noqa: N818 - not an error: it says why there is no verdict
    """What is missing for a finding to be judged."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval."""

    value: float
    lower: float
    upper: float

    @classmethod
    def over(cls, values: Iterable[float]) -> "Estimate":
        return cls(*interval(values))

    def above(self, threshold: float) -> str:
        """Whether the whole interval lies above a threshold, or below it."""
        if not np.isfinite([self.lower, self.upper]).all():
            return UNCLEAR
        return HOLDS if self.lower > threshold else FAILS if self.upper < threshold else UNCLEAR

    def below(self, threshold: float) -> str:
        return Estimate(-self.value, -self.upper, -self.lower).above(-threshold)

    def within(self, threshold: float) -> str:
        """Whether the whole interval lies between minus and plus a threshold, or outside."""
        return every([self.above(-threshold), self.below(threshold)])

    def beyond(self, threshold: float) -> str:
        """Whether the whole interval lies outside minus and plus a threshold, or between."""
        return {HOLDS: FAILS, FAILS: HOLDS, UNCLEAR: UNCLEAR}[self.within(threshold)]

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
class Evidence:
    """The tables of a run as seen from one setup; what is not there raises `NotMeasured`."""

    setup: str
    networks: tuple[str, ...]
    reference: str | None
    tables: Mapping[str, pd.DataFrame]
    measured: pd.DataFrame | None
    """Validation rows of all setups and unit kinds, of attributes with classes; None without a table of probes."""

    @property
    def probes(self) -> pd.DataFrame:
        if self.measured is None:
            raise NotMeasured("there is no table 'probes'")
        if not len(self.measured):
            raise NotMeasured("no attribute with classes was probed")
        return self.measured

    def _there(self, name: str) -> pd.DataFrame:
        table = self.tables.get(name)
        if table is None or not len(table):
            raise NotMeasured(f"there is no table '{name}'")
        return table

    def table(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        """The rows of a table that belong to this setup, of attributes with classes where it has attributes."""
        table = self._there(name)
        missing = [c for c in ("network", *columns) if c not in table]
        if missing:
            raise NotMeasured(f"the table '{name}' lacks {', '.join(missing)}")
        rows = labelled(table)
        rows = rows[rows["network"].isin(self.networks) & ~rows["control"]]
        if "attribute" in rows:
            rows = rows[rows["attribute"].isin(set(self.probes["attribute"]))]
        if not len(rows):
            raise NotMeasured(f"the table '{name}' has no rows of it")
        return rows

    def curves(self, unit_kind: str = "layer", setup: str | None = None) -> pd.DataFrame:
        """Values averaged over initialisations: ``attribute, layer, depth, relative_depth, third, value``."""
        setup = self.setup if setup is None else setup
        rows = self.probes
        rows = rows[(rows["setup"] == setup) & (rows["unit_kind"] == unit_kind)]
        if not len(rows):
            raise NotMeasured(f"'{setup}' has no values of unit kind '{unit_kind}'")
        keys = ["attribute", "layer"]
        means = rows.groupby(keys, sort=False)[["depth", "relative_depth", "value"]].mean().reset_index()
        third = (means["relative_depth"] * 3).astype(int).clip(upper=2)
        means["third"] = np.array(THIRDS)[third.to_numpy()]
        return means.sort_values("depth", kind="stable").reset_index(drop=True)

    def control(self) -> pd.DataFrame:
        name = self.setup + RANDOM_WEIGHTS
        if name not in set(self.probes["setup"]):
            raise NotMeasured("there is no control with random weights")
        return self.curves(setup=name)

    def members(self, family: str) -> set[str]:
        table = self._there("families")
        if not {"family", "attribute"} <= set(table.columns):
            raise NotMeasured("the table 'families' lacks family or attribute")
        found = set(table.loc[table["family"] == family, "attribute"]) & set(self.probes["attribute"])
        if not found:
            raise NotMeasured(f"no attribute with classes of the family '{family}' was probed")
        return found


def by_third(curves: pd.DataFrame, column: str = "value") -> pd.DataFrame:
    """Mean of each attribute over the layers of each third of the depth; a third without layers is absent."""
    return curves.pivot_table(index="attribute", columns="third", values=column, aggfunc="mean")


def thirds_of(table: pd.DataFrame, *names: str) -> list[pd.Series]:
    """Those thirds, which must have layers."""
    for name in names:
        if name not in table:
            raise NotMeasured(f"no layer was probed in the {name} third of the depth")
    return [table[name] for name in names]


Judge = Callable[[Evidence], tuple[str, str]]


@dataclass(frozen=True)
class Finding:
    """A sentence of the thesis, where it stands, when it counts as true, and who says what was measured."""

    sentence: str
    source: str
    criterion: str
    judge: Judge


def finding(sentence: str, source: str, criterion: str, *, into: list[Finding]) -> Callable[[Judge], Judge]:
    """Add the decorated judge to a list."""

    def add(judge: Judge) -> Judge:
        into.append(Finding(sentence, source, criterion, judge))
        return judge

    return add
