import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from fusiform.plotting._expressivity_order import last_layer, networks
from fusiform.plotting._expressivity_rows import HELD_OUT, selected, with_series
from fusiform.plotting.tables import CONTROL_ENDING
from fusiform.report._shared import read_table
from fusiform.runs import Run

_PLACE = ("network", "layer", "attribute", "encoding")
_VALUES = (
    *(*_PLACE, "depth", "estimator", "split", "value", "lower", "upper", "n", "std", "restarts", "retried"),
    *("converged", "epochs", "entropy", "features", "note"),
)
_COLUMNS = {
    "expressivity": _VALUES,
    "course": (*_VALUES, "step", "start"),
    "curves": (*_PLACE, "estimator", "restart", "epoch", "train", "valid"),
    "linear": (
        "network",
        "step",
        "layer",
        "attribute",
        "metric",
        "value",
        "lower",
        "upper",
        "chance",
        "unit",
    ),
    "correlation": (
        *("network", "over", "attribute", "encoding", "estimator", "pearson", "spearman", "lower", "upper"),
        *("n", "p_value"),
    ),
    "order": (*_PLACE, "over", "estimator", "rank", "value", "lower", "upper", "above_next"),
    "decay": (
        *(*_PLACE, "peak_step", "peak", "first", "last", "fall", "fall_lower", "fall_upper", "share", "rate"),
        *("rate_lower", "rate_upper", "rank"),
    ),
    "compression": (
        *("network", "layer", "attribute", "task_attribute", "correlation", "share_concurrent", "reading"),
    ),
    "described": (
        *("attribute", "kind", "encoding", "unit", "n", "n_missing", "classes", "entropy", "entropy_kind"),
        *("association", "association_measure", "predicted", "predicted_by", "note"),
    ),
    "histograms": ("attribute", "bin", "left", "right", "label", "count"),
    "relative": (*_PLACE, "estimator", "share", "lower", "upper"),
    "calibration": (
        *("source", "kind", "truth", "estimator", "split", "value", "lower", "upper", "n", "dimension"),
    ),
    "findings": ("finding", "source", "network", "measured", "verdict"),
    "layers": ("network", "layer", "depth", "kind", "shape"),
}


@dataclass(frozen=True)
class Material:
    """All that a page is made of: the tables that are there and not empty, and what run.json says beside them."""

    run: Run
    tables: dict[str, pd.DataFrame]
    networks: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    step_unit: str = "step"
    initial: str = ""
    features: dict[str, Any] = field(default_factory=dict)

    @property
    def features_only(self) -> bool:
        """Whether embeddings were given instead of networks and faces."""
        return bool(self.run.request.get("features")) or self.names == [""]

    @cached_property
    def names(self) -> list[str]:
        """Networks whose layers were measured, in order, without random-weights controls."""
        return self.networks_of("expressivity")

    @property
    def has_control(self) -> bool:
        """Whether networks with random weights were measured too."""
        table = self.tables.get("expressivity")
        return table is not None and bool(table["network"].astype(str).str.endswith(CONTROL_ENDING).any())

    def networks_of(self, name: str) -> list[str]:
        """Give the networks of a table; none where the table is missing."""
        if name not in self.tables:
            return []
        table = self.tables[name]
        # A pretrained start has the name of another network, whose course was not measured.
        return networks(table[table["start"] != "pretrained"] if name == "course" else table)

    def layers_of(self, name: str, network: str) -> list[str]:
        """Give a network's layers in a table, those of the course by depth."""
        table = self.tables[name]
        rows = table[table["network"] == network]
        if "depth" in rows.columns:
            rows = rows.sort_values("depth", kind="stable")
        return [str(layer) for layer in dict.fromkeys(rows["layer"])]

    @cached_property
    def estimator(self) -> str:
        """The main estimator: the first that was asked for and measured."""
        there = list(dict.fromkeys(self.tables["expressivity"]["estimator"]))
        asked = self.run.request.get("estimators") or []
        return str(next((name for name in asked if name in there), there[0]))

    @cached_property
    def estimators(self) -> list[str]:
        """All estimators, the main one first."""
        if "expressivity" not in self.tables:
            return []
        others = dict.fromkeys(self.tables["expressivity"]["estimator"])
        return [self.estimator, *(str(name) for name in others if name != self.estimator)]

    def last(self, network: str) -> str:
        """Give a network's deepest layer."""
        return str(last_layer(self.tables["expressivity"], network))

    def values(
        self,
        network: str,
        *,
        layer: str | None = None,
        split: str = HELD_OUT,
        estimator: str | None = None,
        control: bool = False,
    ) -> pd.DataFrame:
        """Give what was found for a network, with the column ``series``; empty where there is nothing."""
        table = self.tables["expressivity"]
        which = network + CONTROL_ENDING if control else network
        rows = table[(table["split"] == split) & (table["estimator"] == (estimator or self.estimator))]
        # Series are named over the whole table, so that names do not depend on what is selected.
        rows = with_series(rows)
        rows = rows[rows["network"] == which]
        return rows if layer is None else rows[rows["layer"] == layer]

    def attributes(self, name: str, network: str) -> list[str]:
        """Give the attributes of a network in a table, in order."""
        table = self.tables[name]
        rows = selected(table[table["network"] == network], ("network",), what=name)
        return [str(a) for a in dict.fromkeys(rows["attribute"])]


def read_material(run: Run) -> Material:
    """Read a run folder."""
    tables = {
        name: table for name in _COLUMNS if (table := read_table(run, name, _COLUMNS[name])) is not None
    }
    _in_one_order(tables)
    # What only this study keeps has no property of `Run`.
    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    cards = record.get("networks") or ([run.network] if run.network else [])
    return Material(
        run=run,
        tables=tables,
        networks=[card for card in cards if isinstance(card, dict)],
        problems=[p for p in record.get("problems") or [] if isinstance(p, dict)],
        reasons=dict(record.get("not_measured") or {}),
        step_unit=str(record.get("step_unit") or "step"),
        initial=str(record.get("initial") or ""),
        features=dict(record.get("features") or {}),
    )


def _in_one_order(tables: dict[str, pd.DataFrame]) -> None:
    # Names and colours go by the order of the rows, which parts of a run may have mixed.
    first = tables.get("expressivity", tables.get("course"))
    if first is None:
        return
    order = {
        key: place
        for place, key in enumerate(dict.fromkeys(zip(first["attribute"], first["encoding"], strict=True)))
    }
    for name in ("expressivity", "course", "curves", "relative", "decay"):
        table = tables.get(name)
        if table is not None:
            keys = [
                order.get(key, len(order)) for key in zip(table["attribute"], table["encoding"], strict=True)
            ]
            made = table.assign(_order=keys).sort_values("_order", kind="stable")
            tables[name] = made.drop(columns="_order").reset_index(drop=True)
