import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from fusiform.plotting.tables import CONTROL_ENDING, KINDS, PRIMARY, setups
from fusiform.report._shared import read_table
from fusiform.runs import Run

_PLACE = ("network", "layer", "depth", "attribute")
_COLUMNS = {
    "probes": (*_PLACE, "control", "kind", "unit_kind", "unit", "split", "metric", "value", "lower", "upper"),
    "selectivity": (*_PLACE, "metric", "value", "shuffled", "selectivity"),
    "vip_histogram": (*_PLACE, "low", "high", "count"),
    "vip_neurons": (*_PLACE, "unit", "vip", "value"),
    "vip_correlation": (*_PLACE, "r_vip", "r_mean_activation"),
    "best": (
        *(
            "network",
            "control",
            "attribute",
            "kind",
            "unit_kind",
            "layer",
            "unit",
            "metric",
            "value",
            "lower",
        ),
        *("upper", "baseline"),
    ),
    "averages": (
        "method",
        "setup",
        "unit_kind",
        "value",
        "sd",
        "n_networks",
        "n_attributes",
        "source",
        "note",
    ),
    "baseline": ("attribute", "kind", "metric", "value", "lower", "upper", "network"),
    "families": ("family", "attribute"),
    "sawtooth": ("network", "block", "attribute", "branch_layer", "sum_layer", "dip"),
    "ablation": (
        "network",
        "masked_layer",
        "masked_depth",
        "selection",
        "share",
        "attribute",
        "unit_kind",
        "drop",
    ),
    "confounded": (
        *(*_PLACE, "confounder", "association", "treatment", "metric", "raw", "value", "lower", "upper"),
        *("chance", "n"),
    ),
    "gained": ("network", "attribute", "layer", "relative_depth", "best_layer"),
    "branching": ("network", "attribute", "layer", "relative_depth", "value", "best", "last", "gain"),
    "consistency": (
        *("network", "attack", "layer", "depth", "auc", "lower", "upper", "n_genuine", "n_manipulated"),
        "success",
    ),
    "identification": ("network", "metric", "value", "lower", "upper", "n", "n_identities"),
    "geometry": (*_PLACE, "metric", "aligned", "transformed", "drop"),
    "findings": ("finding", "source", "network", "measured", "verdict"),
    "layers": ("network", "layer", "depth", "kind", "role", "block", "shape", "features"),
}


@dataclass(frozen=True)
class Material:
    """All that a page is made of: the tables that are there and not empty, and what run.json says beside them."""

    run: Run
    tables: dict[str, pd.DataFrame]
    networks: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    @cached_property
    def setups(self) -> list[str]:
        """Setups that were probed, in order, without random-weights controls."""
        return setups(self.tables["probes"]) if "probes" in self.tables else []

    @property
    def kinds(self) -> list[str]:
        """Kinds of attributes that were probed."""
        if "probes" not in self.tables:
            return []
        there = set(self.tables["probes"]["kind"].unique())
        return [kind for kind in KINDS if kind in there]

    @property
    def has_control(self) -> bool:
        """Whether a network with random weights was probed too."""
        return "probes" in self.tables and bool(self.tables["probes"]["control"].astype(bool).any())

    @property
    def split(self) -> str:
        """The images that curves are drawn from: those of validation, as in the thesis, or of test without them."""
        return "valid" if (self.tables["probes"]["split"] == "valid").any() else "test"

    @cached_property
    def curve_rows(self) -> pd.DataFrame:
        """The probes that curves are drawn from, out of many more of single channels and neurons."""
        probes = self.tables["probes"]
        return probes[
            (probes["split"] == self.split)
            & probes["unit_kind"].isin(["layer", "channels", "neurons"])
            & (probes["metric"] == probes["kind"].map(PRIMARY))
        ]

    @cached_property
    def layer_setups(self) -> list[str]:
        """Setups whose entire layers were probed."""
        if not self.with_units("layer"):
            return []
        rows = self.curve_rows
        return setups(rows[rows["unit_kind"] == "layer"])

    def setups_of(self, name: str) -> list[str]:
        """Give the setups of a table, in the order of the probes; none where the table is missing."""
        if name not in self.tables:
            return []
        own = setups(self.tables[name])
        return [s for s in self.setups if s in own] + [s for s in own if s not in self.setups]

    def with_units(self, *kinds: str) -> bool:
        """Whether units of one of these kinds were probed."""
        return "probes" in self.tables and bool(self.curve_rows["unit_kind"].isin(kinds).any())


def read_material(run: Run) -> Material:
    """Read a run folder."""
    tables = {
        name: table for name in _COLUMNS if (table := read_table(run, name, _COLUMNS[name])) is not None
    }
    if "ablation" in tables and "probes" in tables:
        tables["ablation"] = _with_classes(tables["ablation"], tables["probes"])
    label = _labels(tables.get("probes"))
    for name, table in tables.items():
        if name not in ("averages", "families", "layers", "baseline"):
            tables[name] = _with_setup(table, label)
    record = _record(run)
    networks = record.get("networks") or ([run.network] if run.network else [])
    return Material(
        run=run,
        tables=tables,
        networks=[card for card in networks if isinstance(card, dict)],
        problems=[p for p in record.get("problems") or [] if isinstance(p, dict)],
        reasons=dict(record.get("not_measured") or {}),
    )


def _with_classes(ablation: pd.DataFrame, probes: pd.DataFrame) -> pd.DataFrame:
    # A drop of R² has no end, so that one measured quantity would be all of a mean. Where there is nothing else, all.
    quantities = set(probes.loc[probes["kind"] == "continuous", "attribute"].unique())
    rows = ablation[~ablation["attribute"].isin(quantities)]
    return rows if len(rows) else ablation


def _labels(probes: pd.DataFrame | None) -> dict[str, str]:
    if probes is None or "setup" not in probes.columns:
        return {}
    pairs = probes.drop_duplicates("network")
    return dict(zip(pairs["network"], pairs["setup"], strict=True))


def _with_setup(table: pd.DataFrame, label: dict[str, str]) -> pd.DataFrame:
    # Controls keep the ending of their network's name, by which they are known.
    made = table
    if "setup" not in table.columns:
        made = made.assign(setup=made["network"].map(lambda name: label.get(name, name)))
    if "control" in table.columns:
        control = made["control"].astype(bool)
        plain = control & ~made["setup"].astype(str).str.endswith(CONTROL_ENDING)
        made = made.assign(setup=made["setup"].where(~plain, made["setup"].astype(str) + CONTROL_ENDING))
    return made


def _record(run: Run) -> dict[str, Any]:
    # What only this study keeps has no property of `Run`.
    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    return record if isinstance(record, dict) else {}
