import json
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from fusiform.report._shared import read_table
from fusiform.runs import Run

EYEGLASSES, GREY = "eyeglasses", "grey"
_PLACE = ("cue", "percent", "seed")
_COLUMNS = {
    "trained": (
        *(*_PLACE, "epochs", "steps", "seconds", "accuracy", "accuracy_congruent", "accuracy_incongruent"),
        *("n_train", "n_test"),
    ),
    "units_regions": (*_PLACE, "layer", "region", "units"),
    "units_concepts": (*_PLACE, "layer", "concept", "units"),
    "summary": ("cue", "percent", "quantity", "layer", "value", "lower", "upper", "std", "n_seeds"),
    "ratios": (
        *("cue", "layer", "quantity", "percent_high", "percent_low", "ratio", "difference", "lower", "upper"),
        *("spread", "exceeds", "paper"),
    ),
    "control": ("cue", "seed", "quantity", "layer", "value"),
    "probabilities": (*_PLACE, "stage", "layer", "unit", "p_grey", "p_colour", "rank"),
    "biased": (*_PLACE, "stage", "layer", "towards", "units", "of", "share"),
    "training": ("cue", "percent", "group", "rank", "image_id", "cue_present", "file"),
    "overlap": ("image_id", "other_id", "kind"),
    "top": (*_PLACE, "group", "rank", "image_id", "cue_present", "activation", "file"),
    "findings": ("finding", "source", "network", "measured", "verdict"),
}


@dataclass(frozen=True)
class Material:
    """All that a page is made of: the tables that are there and not empty, and what run.json says beside them."""

    run: Run
    tables: dict[str, pd.DataFrame]
    problems: list[dict[str, Any]] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    dictionary: dict[str, Any] = field(default_factory=dict)
    cautions: list[str] = field(default_factory=list)

    @property
    def cues(self) -> list[str]:
        """Cues whose networks were trained, in order."""
        for name in ("trained", "summary"):
            if name in self.tables:
                return [str(cue) for cue in dict.fromkeys(self.tables[name]["cue"])]
        return []

    def rows(self, name: str, cue: str | None = None) -> pd.DataFrame:
        """Give the rows of a cue in a table; none where there are none."""
        if name not in self.tables:
            return pd.DataFrame()
        rows = self.tables[name]
        return rows if cue is None else rows[rows["cue"] == cue]

    def quantities(self, cue: str) -> list[str]:
        """Give the quantities that were summed up of a cue, in order."""
        rows = self.rows("summary", cue)
        return [str(q) for q in dict.fromkeys(rows["quantity"])] if len(rows) else []


def read_material(run: Run) -> Material:
    """Read a run folder."""
    tables = {
        name: table for name in _COLUMNS if (table := read_table(run, name, _COLUMNS[name])) is not None
    }
    # What only this study keeps has no property of `Run`.
    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    return Material(
        run=run,
        tables=tables,
        problems=[p for p in record.get("problems") or [] if isinstance(p, dict)],
        reasons=dict(record.get("not_measured") or {}),
        stages=dict(record.get("stages") or {}),
        dictionary=dict(record.get("dictionary") or {}),
        cautions=[str(text) for text in record.get("cautions") or []],
    )
