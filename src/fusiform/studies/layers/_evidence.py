"""What findings about layers are judged on: the tables of one setup."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fusiform.studies._findings import Estimate, NotMeasured
from fusiform.studies.layers._rows import RANDOM_WEIGHTS, interval, labelled

THIRDS = ("first", "middle", "last")


def over(values: Iterable[float]) -> Estimate:
    """The mean, with the interval of its bootstrap over attributes."""
    return Estimate(*interval(values))


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
