import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from fusiform.plotting._dissection_rows import layers_of
from fusiform.report._shared import read_table
from fusiform.runs import Run

_PLACE = ("network", "control", "layer", "depth")
_COLUMNS = {
    "pairs": (
        *(*_PLACE, "unit", "method", "scope", "concept", "concept_kind", "region", "iou", "probability"),
        *("threshold", "p_value", "q_value", "n"),
    ),
    "units": (
        *(*_PLACE, "unit", "threshold", "fires", "region", "best_concept", "best_iou", "local", "global_"),
        *("concepts", "network_dissection"),
    ),
    "coverage": (*_PLACE, "method", "scope", "interpretable", "units", "share", "lower", "upper"),
    "counts": (*_PLACE, "method", "concept", "concept_kind", "region", "units"),
    "overlay": (*_PLACE, "concept", "category", "group", "units", "units_of_concept"),
    "regions": (*_PLACE, "region", "units"),
    "kinds": (*_PLACE, "concept_kind", "units", "pairs"),
    "unique": (*_PLACE, "method", "concepts", "per_unit"),
    "dictionary": ("concept", "kind", "region", "images", "pixels", "note"),
    "problems": ("concept", "image_id", "reason"),
    "bias": (
        *(*_PLACE, "concept", "category", "group", "units", "expected", "ratio", "association"),
        *("task_association", "p_value"),
    ),
    "pictures": (
        *("network", "layer", "depth", "unit", "kind", "concept", "rank", "image_id", "file", "iou"),
        *("probability", "caption"),
    ),
    "where": ("network", "layer", "unit", "rows", "columns", "values"),
    "overlap": ("kind",),
    "findings": ("finding", "source", "network", "measured", "verdict"),
    "layers": ("network", "layer", "depth", "kind", "role", "shape"),
}
_CONTROLLED = ("pairs", "units", "coverage", "counts", "overlay", "regions", "kinds", "unique", "bias")


@dataclass(frozen=True)
class Material:
    """All that a page is made of: the tables that are there and not empty, and what run.json says beside them."""

    run: Run
    tables: dict[str, pd.DataFrame]
    networks: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    dictionary: dict[str, Any] = field(default_factory=dict)
    main_layers: dict[str, str] = field(default_factory=dict)

    @cached_property
    def names(self) -> list[str]:
        """Networks that were dissected, in order, without random-weights twins."""
        found = [name for table in ("coverage", "counts", "units") for name in self.networks_of(table)]
        return list(dict.fromkeys(found))

    def networks_of(self, name: str) -> list[str]:
        """Give the trained networks of a table; none where the table is missing."""
        if name not in self.tables:
            return []
        return [str(n) for n in dict.fromkeys(self.rows(name)["network"])]

    def rows(self, name: str, network: str | None = None, *, control: bool = False) -> pd.DataFrame:
        """Give the rows of a network in a table, of the trained one or of its twin; none where there are none."""
        if name not in self.tables:
            return pd.DataFrame()
        rows = self.tables[name]
        if "control" in rows.columns:
            rows = rows[rows["control"] == control]
        return rows if network is None else rows[rows["network"] == network]

    def layers(self, name: str, network: str) -> list[str]:
        """Give a network's layers in a table, the main one first and the others from the deepest."""
        rows = self.tables[name]
        found = layers_of(rows[rows["network"] == network])[::-1]
        main = self.main(network)
        return ([main] if main in found else []) + [layer for layer in found if layer != main]

    def main(self, network: str) -> str:
        """Give the layer that single figures show: the one that the run names, or the deepest."""
        if network in self.main_layers:
            return str(self.main_layers[network])
        for name in ("counts", "coverage", "units"):
            rows = self.rows(name, network)
            if len(rows):
                return layers_of(rows)[-1]
        return ""

    @property
    def has_control(self) -> bool:
        """Whether a network with random weights was dissected too."""
        return any(bool(self.tables[n]["control"].any()) for n in _CONTROLLED if n in self.tables)


def read_material(run: Run) -> Material:
    """Read a run folder."""
    tables = {
        name: table for name in _COLUMNS if (table := read_table(run, name, _COLUMNS[name])) is not None
    }
    for name in _CONTROLLED:
        if name in tables:
            tables[name] = tables[name].assign(control=tables[name]["control"].astype(bool))
    # What only this study keeps has no property of `Run`.
    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    cards = record.get("networks") or ([run.network] if run.network else [])
    return Material(
        run=run,
        tables=tables,
        networks=[card for card in cards if isinstance(card, dict)],
        problems=[p for p in record.get("problems") or [] if isinstance(p, dict)],
        reasons=dict(record.get("not_measured") or {}),
        dictionary=dict(record.get("dictionary") or {}),
        main_layers=_main_layers(tables.get("layers")),
    )


def _main_layers(layers: pd.DataFrame | None) -> dict[str, str]:
    if layers is None or "main" not in layers.columns:
        return {}
    main = layers[layers["main"].astype(bool)]
    return dict(zip(main["network"].astype(str), main["layer"].astype(str), strict=True))
