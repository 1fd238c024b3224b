"""The columns of the tables; a table without rows has them too."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

_TEXT, _FLOAT, _INT = "string", "float64", "Int64"
_WHAT = {"network": _TEXT, "image": _TEXT, "other": _TEXT, "target": _TEXT}
_SHARE = {"share": _FLOAT, "value": _FLOAT, "lower": _FLOAT, "upper": _FLOAT}
_SHARES = _SHARE | {"share_lower": _FLOAT, "share_upper": _FLOAT}

SCHEMA: dict[str, dict[str, str]] = {
    "scores": _WHAT
    | {"score": _FLOAT, "threshold": _FLOAT, "lower": _FLOAT, "upper": _FLOAT, "decision": _TEXT}
    | {"match_probability": _FLOAT},
    "images": {"network": _TEXT, "image": _TEXT, "role": _TEXT, "file": _TEXT, "parts_from": _TEXT},
    "maps": _WHAT
    | {"method": _TEXT, "family": _TEXT, "file": _TEXT, "options": _TEXT, "total": _FLOAT, "seconds": _FLOAT},
    "parts": _WHAT | {"method": _TEXT, "part": _TEXT} | _SHARES,
    "part_groups": _WHAT | {"part": _TEXT} | _SHARES | {"images": _INT},
    "variants": _WHAT
    | {"part": _TEXT, "fill": _TEXT, "down": _INT, "right": _INT}
    | {"value": _FLOAT, "whole": _FLOAT, "empty": _FLOAT},
    "look_alikes": {"network": _TEXT, "first": _TEXT, "second": _TEXT, "rank": _INT, "part": _TEXT}
    | {"value": _FLOAT, "lower": _FLOAT, "upper": _FLOAT, "share": _FLOAT, "area": _FLOAT, "n": _INT},
    "canonical_maps": {
        "network": _TEXT,
        "group": _TEXT,
        "what": _TEXT,
        "file": _TEXT,
        "face": _TEXT,
        "n": _INT,
    },
    "pair_threshold": {"network": _TEXT, "value": _FLOAT, "hits": _FLOAT, "false_alarms": _FLOAT}
    | {"n_matches": _INT, "n_nonmatches": _INT, "lit": _FLOAT, "n": _INT},
    "not_applicable": {"network": _TEXT, "method": _TEXT, "why": _TEXT},
    "skipped": {"network": _TEXT, "image_id": _TEXT, "method": _TEXT, "reason": _TEXT},
    "findings": {"network": _TEXT, "image": _TEXT, "finding": _TEXT},
}


def typed(name: str, rows: Iterable[Mapping[str, Any]] | pd.DataFrame) -> pd.DataFrame:
    """A table of these rows, with the columns and types of its name; what a row does not say is missing."""
    types = SCHEMA[name]
    given = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    return given.reindex(columns=list(types)).astype(types)
