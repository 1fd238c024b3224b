"""What findings about dissection are judged on: the units of one network and of its twin with random weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from fusiform.studies._findings import NotMeasured
from fusiform.studies.dissection._tables import GLOBAL, hierarchical

LEVEL = 0.05
_WHERE = ["layer", "unit"]


@dataclass(frozen=True)
class Evidence:
    """The tables of a run as seen from one network; what is not there raises `NotMeasured`."""

    network: str
    tables: Mapping[str, pd.DataFrame]

    def rows(self, name: str, *, control: bool = False) -> pd.DataFrame:
        table = self.tables.get(name)
        if table is None or not len(table):
            raise NotMeasured(f"there is no table '{name}'")
        return table[(table["network"] == self.network) & (table["control"].astype(bool) == control)]

    @cached_property
    def main(self) -> str:
        """The layer that the paper's figures are of."""
        units = self.rows("units")
        layers = self.tables.get("layers")
        if layers is not None and "main" in layers:
            named = layers.loc[(layers["network"] == self.network) & layers["main"].astype(bool), "layer"]
            found = [name for name in named if (units["layer"] == name).any()]
            if found:
                return str(found[0])
        return str(units["layer"].iloc[int(units["depth"].argmax())])

    @cached_property
    def units(self) -> pd.DataFrame:
        """A row a unit of all layers, with what it is paired with; see `_paired`."""
        return self._paired(control=False)

    @cached_property
    def random_units(self) -> pd.DataFrame:
        """The same with random weights."""
        if not len(self.rows("units", control=True)):
            raise NotMeasured("there is no control with random weights")
        return self._paired(control=True)

    def of_main(self, units: pd.DataFrame) -> pd.DataFrame:
        found = units[units["layer"] == self.main]
        if not len(found):
            raise NotMeasured(f"the layer '{self.main}' was not dissected")
        return found

    @cached_property
    def over(self) -> str:
        """Over how many layers of which kind coverage is."""
        names = list(dict.fromkeys(self.rows("units")["layer"]))
        layers = self.tables.get("layers")
        if layers is None or "role" not in layers:
            return _many(len(names), "layer")
        own = layers[(layers["network"] == self.network) & layers["layer"].isin(names)]
        convs = int((own["role"] == "conv").sum())
        rest = len(names) - convs
        parts = [_many(convs, "convolution")] if convs else []
        return " and ".join([*parts, *([_many(rest, "layer") + " of other kinds"] if rest else [])])

    def _paired(self, *, control: bool) -> pd.DataFrame:
        """Units with ``local``, ``global``, ``either``: whether hierarchical dissection pairs them; ``network``."""
        units = self.rows("units", control=control).reset_index(drop=True)
        pairs = self.rows("pairs", control=control) if len(self.tables.get("pairs", ())) else None
        index = pd.MultiIndex.from_frame(units[_WHERE])

        def among(rows: pd.DataFrame) -> np.ndarray:
            return index.isin(pd.MultiIndex.from_frame(rows[_WHERE]))

        if pairs is None:
            return units.assign(**dict.fromkeys(("local", "global", "either"), False), network_pair=False)
        own = hierarchical(pairs)
        is_global = own["scope"] == GLOBAL
        return units.assign(
            **{"local": among(own[~is_global]), "global": among(own[is_global]), "either": among(own)},
            network_pair=units["network_dissection"].fillna("") != "",
        )

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Hierarchical pairs of the main layer."""
        rows = hierarchical(self.rows("pairs"))
        return rows[rows["layer"] == self.main]

    @cached_property
    def local_counts(self) -> pd.DataFrame:
        """Units a local concept in the main layer: columns ``hierarchical`` and ``network``."""
        rows = self.rows("counts")
        rows = rows[(rows["layer"] == self.main) & (rows["concept_kind"] != GLOBAL)]
        found = rows.pivot_table(index="concept", columns="method", values="units", aggfunc="sum", sort=False)
        if not {"hierarchical", "network"} <= set(found.columns):
            raise NotMeasured("not both methods were asked for")
        return found

    def needs(self, method: str) -> None:
        """Raise where a method was not asked for."""
        coverage = self.rows("coverage")
        if not (coverage["method"] == method).any():
            raise NotMeasured(f"the method '{method}' was not asked for")


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
