"""Read a table of concepts from CSV, parquet or TOML."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from fusiform.errors import SpecError
from fusiform.faces._tables import read_table
from fusiform.faces.dictionary._concepts import TABLE, Category, Concept, ConceptTable, names_in


def read_concepts(path: Path) -> ConceptTable:
    """The table that a file holds."""
    if path.suffix.lower() == ".toml":
        return _from_toml(path)
    return _from_table(read_table(path), path)


def _from_table(table: pd.DataFrame, path: Path) -> ConceptTable:
    if not {"concept", "kind"} <= set(table.columns):
        raise SpecError(
            f"'{path}' is no table of concepts: it needs the columns concept, kind and region, or category; got "
            f"{', '.join(table.columns)}."
        )
    text = table.reindex(columns=list(TABLE)).astype("string").fillna("")
    local = []
    groups: dict[str, list[dict[str, str]]] = {}
    for line, row in enumerate(text.to_dict("records"), 2):
        cells = {str(name): str(value).strip() for name, value in row.items()}
        if cells["kind"] == "global":
            groups.setdefault(cells["category"], []).append(cells)
            continue
        try:
            parts = names_in(cells["parts"])
            local.append(Concept(cells["concept"], cells["kind"], cells["region"], parts, cells["landmarks"]))
        except SpecError as error:
            raise SpecError(f"Line {line} of '{path}': {error}") from error
    categories = []
    for name, rows in groups.items():
        members = tuple(row["concept"] for row in rows)
        try:
            threshold = float(_agreed(rows, "threshold") or 0)
            bounds = tuple(map(float, names_in(_agreed(rows, "bounds"))))
            columns = names_in(_agreed(rows, "columns"))
            categories.append(Category(name, members, threshold, columns, bounds))
        except ValueError as error:
            raise SpecError(f"'{path}', category '{name}': {error}") from error
    return ConceptTable(tuple(local), tuple(categories))


def _agreed(rows: Sequence[dict[str, str]], field: str) -> str:
    """What the lines of one category say; a line may leave it out."""
    said = list(dict.fromkeys(row[field] for row in rows if row[field]))
    if len(said) > 1:
        raise SpecError(
            f"its lines must agree on {field}, or leave it out; got {' and '.join(map(repr, said))}."
        )
    return said[0] if said else ""


def _from_toml(path: Path) -> ConceptTable:
    import tomllib

    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"'{path}' cannot be read as TOML: {error}.") from error
    local = tuple(_entry(Concept, entry, path) for entry in _entries(said, "local", path))
    return ConceptTable(
        local, tuple(_entry(Category, entry, path) for entry in _entries(said, "category", path))
    )


def _entries(said: dict[str, Any], key: str, path: Path) -> Sequence[dict[str, Any]]:
    odd = [name for name in said if name not in ("local", "category")]
    entries = said.get(key, [])
    if odd or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SpecError(
            f"'{path}' must hold [[local]] and [[category]] entries; got {', '.join(odd or [key])}."
        )
    return entries


def _entry(kind: type, entry: dict[str, Any], path: Path) -> Any:
    known = [field.name for field in fields(kind)]
    try:
        return kind(**entry)
    except (TypeError, ValueError) as error:
        raise SpecError(
            f"'{path}', entry {entry.get('name', entry)!r}: {error} Fields are {', '.join(known)}."
        ) from error
