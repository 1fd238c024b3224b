"""What every study's page shows of its run: attributes, skipped images, data card, what was asked."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from fusiform.plotting.tables import check_columns
from fusiform.report._cards import (
    asked_card,
    attribute_cards,
    data_card,
    frequency,
    is_synthetic,
    people_known,
)
from fusiform.report._examples import examples
from fusiform.report._format import missing
from fusiform.runs import Run

_NAMES_OF_SKIPPED = 1000
_MOST_CONFOUNDS = 20
_COLUMNS = {
    "attributes": (
        *("attribute", "kind", "unit", "n_known", "share", "classes", "n_train", "n_valid", "n_test"),
        *("rarer_test", "status", "note"),
    ),
    "skipped": ("image_id", "reason"),
    "confounds": ("attribute", "other", "measure", "value", "lower", "upper", "n", "strong"),
}


def read_table(run: Run, name: str, columns: Iterable[str]) -> pd.DataFrame | None:
    """Read a table of a run and check its columns; None where it is missing or empty."""
    if name not in run.tables:
        return None
    found = run.table(name)
    if not len(found):
        return None
    check_columns(found, columns, what=name)
    return found


def records(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Give the rows of a table as dicts; none where there is no table."""
    if table is None:
        return []
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def context(run: Run) -> dict[str, Any]:
    """Gather what the templates that studies share show."""
    return {
        "run": run,
        "examples": examples(run),
        "attributes": _attributes(run),
        "skipped": _skipped(run),
        "data": data_card(run),
        "frequencies": [frequency(entry) for entry in attribute_cards(run)],
        "confounds": _confounds(run),
        "asked": asked_card(run),
        "synthetic": is_synthetic(run),
        "people_known": people_known(run),
    }


def _attributes(run: Run) -> dict[str, Any] | None:
    table = read_table(run, "attributes", _COLUMNS["attributes"])
    if table is None:
        return None
    total = run.faces.get("n")
    probed: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []
    for row in records(table):
        row["missing"] = (
            None if total is None or missing(row["n_known"]) else int(total) - int(row["n_known"])
        )
        for key in ("unit", "note", "status"):
            row[key] = "" if missing(row.get(key)) else str(row[key])
        (probed if row["status"] == "probed" else left_out).append(row)
    return {"probed": probed, "left_out": left_out}


def _skipped(run: Run) -> dict[str, Any] | None:
    if "skipped" not in run.tables:
        return None
    table = read_table(run, "skipped", _COLUMNS["skipped"])
    if table is None:
        return {"n": 0, "reasons": [], "rows": [], "more": 0}
    reasons = table["reason"].astype(str).value_counts()
    return {
        "n": len(table),
        "reasons": list(reasons.head(8).items()),
        "rows": table.head(_NAMES_OF_SKIPPED).to_dict("records"),
        "more": max(0, len(table) - _NAMES_OF_SKIPPED),
    }


def _confounds(run: Run) -> list[dict[str, Any]]:
    """Pairs of attributes that go together, the strongest first."""
    table = read_table(run, "confounds", _COLUMNS["confounds"])
    rows = run.faces.get("confounds") if table is None else records(table)
    if not isinstance(rows, list):
        return []
    known = [row for row in rows if isinstance(row, dict) and not missing(row.get("value"))]
    return [{str(key): value for key, value in row.items()} for row in known[:_MOST_CONFOUNDS]]
