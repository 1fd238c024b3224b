from dataclasses import dataclass

import pandas as pd

from fusiform.plotting.tables import KINDS, PRIMARY, layer_order, primary
from fusiform.report import _cards
from fusiform.report._shared import read_table
from fusiform.runs import Run

_COLUMNS = {
    "best": (
        *("attribute", "kind", "metric", "layer", "depth", "value", "lower", "upper", "chance"),
        "control_value",
    ),
    "attributes": ("attribute", "unit", "rarer_test", "status"),
    "layers": ("layer", "depth", "kind", "role", "block", "shape", "features"),
    "verification": ("network", "control", "n_genuine", "n_impostor", "auc", "lower", "upper"),
}


@dataclass(frozen=True)
class Material:
    """All that a page is made of, read from a run folder; a table that is missing or empty is None."""

    run: Run
    probes: pd.DataFrame | None
    rows: pd.DataFrame | None
    best: pd.DataFrame | None
    attributes: pd.DataFrame | None
    layers: pd.DataFrame | None
    verification: pd.DataFrame | None

    @property
    def kinds(self) -> list[str]:
        """Kinds of attributes that were probed."""
        return [] if self.rows is None else [k for k in KINDS if (self.rows["kind"] == k).any()]

    @property
    def probed_layers(self) -> list[str]:
        """Layers that were probed, in order of depth."""
        return [] if self.rows is None else layer_order(self.rows)

    @property
    def has_control(self) -> bool:
        """Whether the same network with random weights was probed too."""
        return self.rows is not None and bool(self.rows["control"].any())

    @property
    def people_known(self) -> bool:
        """Whether it is known who is shown."""
        return _cards.people_known(self.run)

    def of_best(self, kind: str) -> pd.DataFrame:
        """Rows of `best` of a kind; no rows where there are none."""
        if self.best is None:
            return pd.DataFrame()
        return self.best[self.best["kind"] == kind]


def read_material(run: Run) -> Material:
    """Read a run folder."""
    probes = _table(run, "probes")
    rows = None
    if probes is not None:
        rows = primary(probes)
        rows = rows if len(rows) else None
    best = _table(run, "best")
    if best is not None:
        # One measure an attribute, as in the plots.
        best = best[best["metric"] == best["kind"].map(PRIMARY)].reset_index(drop=True)
        for column in ("value", "lower", "upper", "chance", "control_value"):
            best[column] = pd.to_numeric(best[column]).astype(float)
    return Material(
        run=run,
        probes=probes,
        rows=rows,
        best=best if best is not None and len(best) else None,
        attributes=_table(run, "attributes"),
        layers=_table(run, "layers"),
        verification=_table(run, "verification"),
    )


def _table(run: Run, name: str) -> pd.DataFrame | None:
    return read_table(run, name, _COLUMNS.get(name, ()))
