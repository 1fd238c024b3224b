"""The columns of the study's tables; a table without rows has them too."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

_TEXT, _FLOAT, _INT, _BOOL = "string", "float64", "int64", "boolean"
_WHAT = {"network": _TEXT, "target": _TEXT, "method": _TEXT, "baseline_map": _BOOL}
_ESTIMATE = {"value": _FLOAT, "lower": _FLOAT, "upper": _FLOAT}

SCHEMA: dict[str, dict[str, str]] = {
    "measures": _WHAT
    | {"metric": _TEXT, "better": _TEXT}
    | _ESTIMATE
    | {"chance": _FLOAT, "beats": _TEXT, "n": _INT, "n_identities": _INT, "note": _TEXT},
    "ranks": _WHAT | {"metric": _TEXT, "rank": _FLOAT, "of": _INT, "in_mean": _BOOL},
    "curves": _WHAT
    | {"kind": _TEXT, "fraction": _FLOAT, "score": _FLOAT, "lower": _FLOAT, "upper": _FLOAT, "n": _INT},
    "parts": _WHAT | {"part": _TEXT, "metric": _TEXT} | _ESTIMATE | {"chance": _FLOAT, "n": _INT},
    "ground_truth": _WHAT
    | {"part": _TEXT, "energy": _FLOAT, "lower": _FLOAT, "upper": _FLOAT, "area": _FLOAT}
    | {"hit_rate": _FLOAT, "hit_lower": _FLOAT, "hit_upper": _FLOAT, "accuracy": _FLOAT, "n": _INT},
    "conflict": _WHAT | {"part": _TEXT} | _ESTIMATE | {"chance": _FLOAT, "accuracy": _FLOAT, "n": _INT},
    "sanity": _WHAT
    | {"kind": _TEXT, "layer": _TEXT, "depth": _INT, "metric": _TEXT}
    | _ESTIMATE
    | {"n": _INT, "passes": _BOOL, "criterion": _TEXT},
    "inpainting": _WHAT
    | {"part": _TEXT, "played": _INT, "dropped": _INT, "false_alarm_rate": _FLOAT, "probability": _FLOAT}
    | {"lower": _FLOAT, "upper": _FLOAT},
    "descriptors": _WHAT | {"metric": _TEXT} | _ESTIMATE | {"n": _INT},
    "cost": _WHAT | {"seconds_per_image": _FLOAT, "forward_passes": _FLOAT, "peak_mb": _FLOAT, "batch": _INT},
    "canonical": _WHAT
    | {"group": _TEXT, "part": _TEXT, "share": _FLOAT, "lower": _FLOAT, "upper": _FLOAT, "area": _FLOAT}
    | {"n": _INT},
    "canonical_maps": _WHAT | {"group": _TEXT, "file": _TEXT, "n": _INT},
    "pictures": _WHAT | {"image_id": _TEXT, "file": _TEXT, "image": _TEXT},
    "values": _WHAT | {"metric": _TEXT, "image_id": _TEXT, "identity": _TEXT, "value": _FLOAT},
    "settings": {
        "method": _TEXT,
        "baseline_map": _BOOL,
        "family": _TEXT,
        "use": _TEXT,
        "options": _TEXT,
        "explains": _TEXT,
    },
    "not_applicable": {"network": _TEXT, "target": _TEXT, "method": _TEXT, "why": _TEXT},
    "skipped": {"network": _TEXT, "target": _TEXT, "method": _TEXT, "image_id": _TEXT, "reason": _TEXT},
    "networks": {
        "network": _TEXT,
        "kind": _TEXT,
        "targets": _TEXT,
        "input_size": _TEXT,
        "n_parameters": _INT,
        "n_images": _INT,
        "n_identities": _INT,
        "score": _TEXT,
        "slope": _FLOAT,
        "intercept": _FLOAT,
        "accuracy": _FLOAT,
        "note": _TEXT,
    },
}
"""Types of columns by table. `beats`: which baseline maps a method is better than, the whole interval of the difference of
the same images being on the better side. `values`: what intervals were made of, image by image."""


def typed(name: str, rows: Iterable[Mapping[str, Any]] | pd.DataFrame) -> pd.DataFrame:
    """A table of these rows, with the columns and types of its name; what a row does not say is missing."""
    types = SCHEMA[name]
    given = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    return given.reindex(columns=list(types)).astype(types)


def joined(name: str, tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Tables of one name, one below the other."""
    some = [table for table in tables if len(table)]
    return typed(name, pd.concat(some, ignore_index=True) if some else [])
