"""The format of a dictionary on disk: exported faces, a parquet of labels, PNG masks."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from fusiform._files import atomic_write, explain_full_disk
from fusiform.errors import DataError, RunError
from fusiform.faces._export import ExportedImages, export_faces, open_export
from fusiform.faces._sources import Progress, chunks
from fusiform.faces._view import View
from fusiform.faces.dictionary._concepts import ConceptTable, only
from fusiform.faces.dictionary._dictionary import FaceDictionary, assemble
from fusiform.faces.dictionary._masks import Drawing, Packed
from fusiform.faces.dictionary._survey import Problem, view_masks

DESCRIPTION = "dictionary.json"
_FORMAT, _VERSION = "fusiform face dictionary", 1
_LABELS, _CONCEPTS, _PROBLEMS = "labels.parquet", "concepts.csv", "problems.csv"


def save_dictionary(
    dictionary: FaceDictionary, folder: Path, overwrite: bool, progress: Progress | None
) -> Path:
    """Write a dictionary into a folder; the description comes last."""
    digest = dictionary.digest()
    there = _read(folder / DESCRIPTION)
    if there is not None and there.get("digest") == digest and there.get("status") == "complete":
        return folder
    if there is not None and there.get("digest") != digest and not overwrite:
        raise RunError(
            f"'{folder}' holds the Face Dictionary '{there.get('name', 'another')}', which is not the one to be saved. Choose "
            "another folder, or overwrite it."
        )
    if there is not None and there.get("digest") != digest:
        (folder / DESCRIPTION).unlink()
        if (folder / "masks").is_dir() and not (folder / "masks").is_symlink():
            shutil.rmtree(folder / "masks")
    table = export_faces(dictionary.faces, folder, overwrite=overwrite)
    what: dict[str, Any] = {"format": _FORMAT, "version": _VERSION, "name": dictionary.name, "digest": digest}
    _write_json(folder / DESCRIPTION, what | {"status": "started"})
    files = pd.read_csv(table, usecols=[0], dtype=str).iloc[:, 0].str.removeprefix("images/").tolist()
    for concept in dictionary.concepts.names:
        (folder / "masks" / concept).mkdir(parents=True, exist_ok=True)
    for chunk in chunks(range(len(dictionary))):
        # Tens of thousands of small files: written at once, for without the description, the last, none is trusted.
        with explain_full_disk(folder):
            for (concept, i), mask in view_masks(
                dictionary.faces._view, dictionary._source, list(chunk)
            ).items():
                if isinstance(mask, Packed):
                    Image.fromarray(mask.mask()).save(folder / "masks" / concept / files[i], format="PNG")
        if progress is not None:
            progress(int(chunk[-1]) + 1, len(dictionary))
    labels = pd.concat(
        [
            dictionary.faces.table[["image_id"]],
            dictionary.present.add_prefix("present:"),
            dictionary.known.add_prefix("known:"),
            dictionary.groups.add_prefix("group:"),
        ],
        axis=1,
    )
    with atomic_write(folder / _LABELS) as part:
        labels.to_parquet(part, index=False)
    for name, rows in ((_CONCEPTS, dictionary._asked.table), (_PROBLEMS, dictionary.problems)):
        with atomic_write(folder / name) as part:
            rows.to_csv(part, index=False)
    groups = {category.name: list(category.groups) for category in dictionary.concepts.categories}
    more = {
        "groups": groups,
        "settings": dictionary.settings,
        "told_by_mask": [name for name, drawing in dictionary._source.drawings.items() if drawing.tells],
        "n": len(dictionary),
        "sha256": {name: _sha256(folder / name) for name in (_LABELS, _CONCEPTS, _PROBLEMS)},
        "status": "complete",
    }
    _write_json(folder / DESCRIPTION, what | more)
    return folder


def is_saved(folder: Path) -> bool:
    """Whether a folder holds a saved dictionary, complete or not."""
    return (folder / DESCRIPTION).is_file()


def open_saved(folder: Path, progress: Progress | None) -> FaceDictionary:
    """Read a dictionary back, every mask of it."""
    said = _read(folder / DESCRIPTION)
    if said is None or said.get("status") != "complete" or said.get("version") != _VERSION:
        raise DataError(
            f"'{folder}' holds a Face Dictionary that is not complete, or was made by another version of fusiform. Save it "
            "again into the same folder."
        )
    stored = _stored(folder, said)
    faces = open_export(folder / "table.csv")
    if faces is None:
        raise DataError(
            f"The Face Dictionary in '{folder}' lacks its images' table.csv and schema.json. Save it again."
        )
    source = faces._view.source
    if not isinstance(source, ExportedImages):
        raise DataError(
            f"The images of the Face Dictionary in '{folder}' are no export of fusiform. Save it again."
        )
    names, ids = stored.names, set(stored.labels.index)
    gone = ids - {*faces.table["image_id"].astype(str), *faces.skipped["image_id"].astype(str)}
    if gone:
        raise _damaged(folder / "table.csv", f"it lacks {len(gone)} images, the first '{min(gone)}'")
    source = ExportedImages(source._store, source._names, source._ids, source._points, names)  # type: ignore[arg-type]
    faces = faces._derived(_view=View(source, faces._view.rows)).readable()
    problems = list(stored.problems)
    problems += [
        (None, str(i), f"the image cannot be used: {why}")
        for i, why in faces.skipped.itertuples(index=False, name=None)
        if i in ids
    ]
    rows = stored.labels.reindex(faces.table["image_id"].astype(str))
    lost = rows.index.difference(stored.labels.index)
    if len(lost):
        raise _damaged(folder / _LABELS, f"it lacks {len(lost)} of the images, the first '{lost[0]}'")

    def columns(prefix: str, of: Sequence[str], dtype: type) -> np.ndarray:
        return rows[[f"{prefix}:{name}" for name in of]].to_numpy(dtype=dtype).reshape(len(rows), len(of))

    groups = columns("group", list(stored.groups), np.int64)
    return assemble(
        name=str(said["name"]),
        faces=faces,
        asked=stored.asked,
        drawings={name: Drawing((name,), tells=name in stored.told_by_mask) for name in names},
        labelled=columns("present", names, bool),
        known=columns("known", names, bool),
        groups=pd.DataFrame(groups, columns=list(stored.groups), index=range(len(rows))),
        numbered=only(stored.asked, names, stored.groups),
        problems=problems,
        settings=stored.settings | {"opened_from": folder.name},
        surveyed=True,
        progress=progress,
    )


@dataclass(frozen=True)
class _Stored:
    """The tables of a saved dictionary, found to be of one piece."""

    labels: pd.DataFrame
    asked: ConceptTable
    names: list[str]
    groups: dict[str, tuple[str, ...]]
    problems: list[Problem]
    settings: dict[str, Any]
    told_by_mask: set[str]


def _stored(folder: Path, said: dict[str, Any]) -> _Stored:
    try:
        labels = pd.read_parquet(folder / _LABELS)
        asked = ConceptTable.read(folder / _CONCEPTS)
        noted = pd.read_csv(folder / _PROBLEMS, dtype="string", keep_default_na=False, na_values=[""])
        groups = {str(name): tuple(map(str, names)) for name, names in said["groups"].items()}
        settings, sums = dict(said["settings"]), dict(said.get("sha256", {}))
        settings["seed"] = int(settings.get("seed", 0))
        told_by_mask = set(map(str, said.get("told_by_mask", ())))
        str(said["name"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"The Face Dictionary in '{folder}' cannot be read ({type(error).__name__}: {error}). Save it again."
        ) from error
    names = _checked_labels(folder / _LABELS, labels, asked, groups)
    if not {"concept", "image_id", "reason"} <= set(noted.columns):
        raise _damaged(folder / _PROBLEMS, "its columns must be concept, image_id, reason")
    for name in (_LABELS, _CONCEPTS, _PROBLEMS):
        if name in sums and sums[name] != _sha256(folder / name):
            raise _damaged(folder / name, "it is not the file that was saved with the others")
    problems: list[Problem] = [
        (None if pd.isna(c) else str(c), None if pd.isna(i) else str(i), "" if pd.isna(why) else str(why))
        for c, i, why in noted[["concept", "image_id", "reason"]].itertuples(index=False, name=None)
    ]
    labels = labels.set_index(labels["image_id"].astype(str))
    return _Stored(labels, asked, names, groups, problems, settings, told_by_mask)


def _checked_labels(
    path: Path, labels: pd.DataFrame, asked: ConceptTable, groups: Mapping[str, tuple[str, ...]]
) -> list[str]:
    """The concepts that the labels are of, in the order of the table of concepts."""
    if "image_id" not in labels or labels["image_id"].isna().any():
        raise _damaged(path, "it needs a column image_id without gaps")
    twice = labels["image_id"][labels["image_id"].duplicated()]
    if len(twice):
        raise _damaged(path, f"it names the image '{twice.iloc[0]}' more than once")
    present, known, numbered = (
        {str(c).removeprefix(prefix) for c in labels if str(c).startswith(prefix)}
        for prefix in ("present:", "known:", "group:")
    )
    if present != known:
        raise _damaged(path, f"'{min(present ^ known)}' needs both a column present: and a column known:")
    if present - set(asked.names):
        raise _damaged(
            path, f"it has the concept '{min(present - set(asked.names))}', which {_CONCEPTS} lacks"
        )
    for column in (f"{prefix}:{name}" for prefix in ("present", "known") for name in sorted(present)):
        if labels[column].dtype != bool:
            raise _damaged(path, f"column '{column}' must be true or false; got {labels[column].dtype}")
    if numbered != set(groups):
        raise _damaged(
            path, f"it has groups of {sorted(numbered)}, where {DESCRIPTION} names {sorted(groups)}"
        )
    categories = {category.name: category.groups for category in asked.categories}
    for name, left in groups.items():
        odd = sorted(set(left) - set(categories.get(name, ())))
        if odd or len(left) < 2:
            raise _damaged(
                path.with_name(DESCRIPTION),
                f"the groups {list(left)} of '{name}' are not those of {_CONCEPTS}",
            )
        numbers = labels[f"group:{name}"]
        if numbers.dtype.kind != "i" or not numbers.between(-1, len(left) - 1).all():
            raise _damaged(path, f"column 'group:{name}' must hold numbers from -1 to {len(left) - 1}")
    return [name for name in asked.names if name in present]


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"'{path}' is damaged: {what}. Save the Face Dictionary again.")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_json(path: Path, values: dict[str, Any]) -> None:
    with atomic_write(path) as part:
        part.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and values.get("format") == _FORMAT else None
