import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray
from PIL import Image, UnidentifiedImageError

from fusiform.plotting._attribution_study_rows import WHAT, standing
from fusiform.report._shared import read_table
from fusiform.runs import Run

_ESTIMATE = ("value", "lower", "upper")
_COLUMNS = {
    "measures": (*WHAT, "metric", "better", *_ESTIMATE, "chance", "beats", "n", "n_identities", "note"),
    "ranks": (*WHAT, "metric", "rank", "of", "in_mean"),
    "curves": (*WHAT, "kind", "fraction", "score", "lower", "upper"),
    "parts": (*WHAT, "part", "metric", *_ESTIMATE, "chance", "n"),
    "ground_truth": (
        *(*WHAT, "part", "energy", "lower", "upper", "area", "hit_rate", "hit_lower", "hit_upper", "accuracy", "n"),
    ),
    "conflict": (*WHAT, "part", *_ESTIMATE, "chance", "accuracy", "n"),
    "sanity": (*WHAT, "kind", "layer", "depth", "metric", *_ESTIMATE, "n", "passes", "criterion"),
    "inpainting": (*WHAT, "part", "played", "dropped", "false_alarm_rate", "probability", "lower", "upper"),
    "descriptors": (*WHAT, "metric", *_ESTIMATE, "n"),
    "cost": (*WHAT, "seconds_per_image", "forward_passes", "peak_mb", "batch"),
    "canonical": (*WHAT, "group", "part", "share", "lower", "upper", "area", "n"),
    "canonical_maps": (*WHAT, "group", "file", "n"),
    "pictures": (*WHAT, "image_id", "file", "image"),
    "settings": ("method", "baseline_map", "family", "use", "options", "explains"),
    "not_applicable": ("network", "target", "method", "why"),
    "skipped": ("network", "target", "method", "image_id", "reason"),
    "networks": (
        *("network", "kind", "targets", "input_size", "n_parameters", "n_images", "n_identities", "score"),
        *("accuracy", "note"),
    ),
    "findings": ("finding", "source", "network", "measured", "verdict"),
}  # fmt: skip


@dataclass(frozen=True)
class Material:
    """All that a page is made of: the tables that are there and not empty, and what run.json says beside them."""

    run: Run
    tables: dict[str, pd.DataFrame]
    cards: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    _standings: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict, repr=False)

    @cached_property
    def names(self) -> list[str]:
        """Networks that were given, in order; not those trained for a known answer."""
        return self.networks_of("measures") or self.networks_of("cost")

    @cached_property
    def families(self) -> dict[str, str]:
        """Family by method."""
        rows = self.rows("settings")
        return dict(zip(rows["method"], rows["family"], strict=True)) if len(rows) else {}

    @cached_property
    def methods(self) -> list[str]:
        """Methods that were asked for, without baseline maps, whether or not they apply."""
        listed: list[str] = []
        for name in ("settings", "measures", "ground_truth"):
            rows = self.rows(name)
            listed += [str(m) for m in rows.loc[~rows["baseline_map"], "method"]] if len(rows) else []
        listed += [str(m) for m in self.rows("not_applicable").get("method", [])]
        return list(dict.fromkeys(m for m in listed if m))

    def networks_of(self, name: str) -> list[str]:
        """Give the networks of a table; none where the table is missing."""
        return [str(n) for n in dict.fromkeys(self.tables[name]["network"])] if name in self.tables else []

    def rows(self, name: str, network: str | None = None, target: str | None = None) -> pd.DataFrame:
        """Give the rows of a network and target in a table; none where there are none."""
        if name not in self.tables:
            return pd.DataFrame()
        rows = self.tables[name]
        if network is not None:
            rows = rows[rows["network"] == network]
        return rows if target is None else rows[rows["target"] == target]

    def targets(self, name: str, network: str) -> list[str]:
        """Give the targets of a network in a table, in order."""
        rows = self.rows(name, network)
        return [str(t) for t in dict.fromkeys(rows["target"])] if len(rows) else []

    def standing(self, network: str, target: str | None = None) -> pd.DataFrame:
        """Give methods by their mean rank, see `fusiform.plotting`; of the first target where none is named."""
        there = self.targets("ranks", network)
        if not there or "measures" not in self.tables:
            return pd.DataFrame(columns=["method", "baseline_map", "mean_rank", "behind", "wins"])
        key = (network, there[0] if target is None else target)
        if key not in self._standings:
            self._standings[key] = standing(self.rows("ranks", *key), self.rows("measures", *key))
        return self._standings[key]

    def order(self, network: str) -> list[str]:
        """Give the order in which a network's methods are drawn: by mean rank."""
        return [str(m) for m in self.standing(network)["method"]]

    def map(self, file: Any) -> ndarray | None:
        """Read a map that the run keeps; None where there is none."""
        path = self._inside("maps", file)
        try:
            values = None if path is None else np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if values is None or values.ndim != 2 or not np.issubdtype(values.dtype, np.floating):
            return None
        return values

    def face(self, file: Any, size: int) -> ndarray | None:
        """Read a picture that the run keeps, in a square of some pixels; None where there is none."""
        path = self._inside("images", file)
        try:
            if path is None:
                return None
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS))
        except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
            return None

    def _inside(self, folder: str, file: Any) -> Path | None:
        # Only what lies in the folder itself, whatever the table says.
        root = (self.run.path / folder).resolve()
        path = (root / str(file).replace("\\", "/")).resolve()
        return path if path.is_relative_to(root) and path.is_file() else None


def read_material(run: Run) -> Material:
    """Read a run folder."""
    tables = {
        name: table for name in _COLUMNS if (table := read_table(run, name, _COLUMNS[name])) is not None
    }
    for name, table in tables.items():
        if "baseline_map" in table:
            tables[name] = table.assign(baseline_map=table["baseline_map"].fillna(False).astype(bool))
    # What only this study keeps has no property of `Run`.
    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    cards = record.get("networks") or ([run.network] if run.network else [])
    return Material(
        run=run,
        tables=tables,
        cards=[card for card in cards if isinstance(card, dict)],
        problems=[p for p in record.get("problems") or [] if isinstance(p, dict)],
        reasons=dict(record.get("not_measured") or {}),
    )


def missing_said(material: Material, what: Sequence[str], otherwise: str) -> str:
    """Say why something is not there for some network, as the run recorded it."""
    told = [
        f"{name}: {why}" for name, why in material.reasons.items() if any(name.startswith(w) for w in what)
    ]
    return " ".join(told) or otherwise
