import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image

from fusiform.report._shared import read_table
from fusiform.runs import Run

_WHAT = ("network", "image", "other", "target")
_SHARE = ("share", "value", "lower", "upper", "share_lower", "share_upper")
_COLUMNS = {
    "scores": (*_WHAT, "score", "threshold", "lower", "upper", "decision", "match_probability"),
    "images": ("network", "image", "role", "file", "parts_from"),
    "maps": (*_WHAT, "method", "family", "file", "options", "total", "seconds"),
    "parts": (*_WHAT, "method", "part", *_SHARE),
    "part_groups": (*_WHAT, "part", *_SHARE, "images"),
    "look_alikes": ("first", "second", "rank", "part", "value", "lower", "upper", "share", "area", "n"),
    "canonical_maps": ("group", "what", "file", "face", "n"),
    "pair_threshold": ("value", "hits", "false_alarms", "n_matches", "n_nonmatches", "lit", "n"),
    "not_applicable": ("method", "why"),
    "findings": ("image", "finding"),
    "skipped": ("image_id", "method", "reason"),
}


@dataclass(frozen=True)
class Material:
    """All that a page is made of: the tables that are there and not empty, and what run.json says beside them."""

    run: Run
    tables: dict[str, pd.DataFrame]
    problems: list[dict[str, Any]] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)

    @property
    def question(self) -> str:
        """Which question was asked: "pair", "triplet", "images" or "identities"."""
        asked = self.run.request
        if asked.get("identities"):
            return "identities"
        if asked.get("pair"):
            return "triplet" if asked.get("nonmate") else "pair"
        return "images"

    @property
    def network(self) -> str:
        """The network's name."""
        return str(self.run.network.get("name", "the network"))

    def rows(self, name: str) -> pd.DataFrame:
        """Give a table; one without rows where it is not there."""
        return self.tables.get(name, pd.DataFrame(columns=list(_COLUMNS[name])))

    def values(self, file: Any) -> Float[ndarray, "h w"] | None:
        """Read a map; None where it is not there."""
        folder = (self.run.path / "maps").resolve()
        try:
            path = (folder / str(file)).resolve()
            found = np.load(path) if path.is_relative_to(folder) else None
        except (OSError, ValueError):
            return None
        return found if found is not None and found.ndim == 2 and found.size else None

    def face(self, file: Any) -> UInt8[ndarray, "h w 3"] | None:
        """Read a picture of a face; None where it is not there."""
        folder = (self.run.path / "images").resolve()
        try:
            path = (folder / str(file)).resolve()
            return np.asarray(Image.open(path).convert("RGB")) if path.is_relative_to(folder) else None
        except (OSError, ValueError, Image.DecompressionBombError):
            return None

    def face_of(self, image: str) -> UInt8[ndarray, "h w 3"] | None:
        """Read the picture of an image."""
        own = self.rows("images")
        files = own.loc[own["image"] == image, "file"]
        return self.face(files.iloc[0]) if len(files) else None


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
        calibration=dict(record.get("calibration") or {}),
    )
