"""The tables of a run as they grow, and which layers are finished in it."""

from typing import Any

import pandas as pd

from fusiform.runs import Run
from fusiform.studies.expressivity._measure import Tables

CALIBRATION = "calibration"
# Tables with rows over layers and over training; over layers there is no step.
_STEPPED = {"draws": ["step", "start"], "curves": ["step"], "linear": ["step"]}


class Ledger:
    """Keeps what is measured of each place (network, layer, step) as parts of the run, and in its tables.

    Parameters
    ----------
    run : Run
        The run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.tables: Tables = {}
        self._entered: set[str] = set()

    def finished(self, into: str, place: dict[str, Any]) -> bool:
        """Whether a place is measured; its rows are then in the tables.

        `into` is ``"expressivity"``, ``"course"`` or ``"calibration"``.
        """
        key = _key(into, place)
        if key in self._entered:
            return True
        first = self.run.part(f"{key}@values")
        if first is None:
            return False
        others = {name: self.run.part(f"{key}@{name}") for name in (*_STEPPED,)}
        self._enter(into, key, {"values": first} | {n: t for n, t in others.items() if t is not None})
        return True

    def keep(self, into: str, place: dict[str, Any], found: Tables) -> None:
        """Keep what was measured of a place: ``values``, and the tables beside them."""
        key = _key(into, place)
        # The values come last: what is there with them is whole.
        for name in sorted(found, key=lambda each: each == "values"):
            self.run.write_part(f"{key}@{name}", found[name])
        self._enter(into, key, found)

    def _enter(self, into: str, key: str, found: Tables) -> None:
        self._entered.add(key)
        for name, table in found.items():
            for number, column in enumerate(_STEPPED.get(name, ()), start=1):
                kind: Any = "Int64" if column == "step" else "string"
                values = (
                    table[column] if column in table else pd.Series([None] * len(table), index=table.index)
                )
                table = table.drop(columns=column, errors="ignore")
                table.insert(number, column, values.astype(kind))
            self._grow(into if name == "values" else name, table)

    def _grow(self, name: str, table: pd.DataFrame) -> None:
        known = [self.tables[name]] if name in self.tables else []
        self.tables[name] = pd.concat([*known, table], ignore_index=True)
        self.run.write_table(name, self.tables[name])


def _key(into: str, place: dict[str, Any]) -> str:
    return "@".join([into, *(str(place[k]) for k in ("network", "layer", "step", "start") if k in place)])
