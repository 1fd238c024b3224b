"""The format of a dictionary on disk: exported faces, a parquet of labels, PNG masks."""

import json
import shutil
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
from fusiform.faces.dictionary._survey import view_masks

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
    more = {"groups": groups, "settings": dictionary.settings, "n": len(dictionary), "status": "complete"}
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
    try:
        labels = pd.read_parquet(folder / _LABELS)
        asked = ConceptTable.read(folder / _CONCEPTS)
        noted = pd.read_csv(folder / _PROBLEMS, dtype="string", keep_default_na=False, na_values=[""])
        groups_of = {str(name): tuple(map(str, names)) for name, names in said["groups"].items()}
        settings, name = dict(said["settings"]), str(said["name"])
        ids = labels["image_id"].astype(str)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"The Face Dictionary in '{folder}' cannot be read ({type(error).__name__}: {error}). Save it again."
        ) from error
    faces = open_export(folder / "table.csv")
    if faces is None:
        raise DataError(
            f"The Face Dictionary in '{folder}' lacks its images' table.csv and schema.json. Save it again."
        )
    names = [c.removeprefix("present:") for c in labels.columns if c.startswith("present:")]
    stored = faces._view.source
    if not isinstance(stored, ExportedImages):
        raise DataError(
            f"The images of the Face Dictionary in '{folder}' are no export of fusiform. Save it again."
        )
    source = ExportedImages(stored._store, stored._names, stored._ids, stored._points, names)  # type: ignore[arg-type]
    faces = faces._derived(_view=View(source, faces._view.rows)).readable()
    problems: list[tuple[str | None, str | None, str]] = [
        (None if pd.isna(c) else str(c), None if pd.isna(i) else str(i), str(why))
        for c, i, why in noted[["concept", "image_id", "reason"]].itertuples(index=False, name=None)
    ]
    problems += [
        (None, str(i), f"the image cannot be used: {why}")
        for i, why in faces.skipped.itertuples(index=False, name=None)
        if i in set(ids)
    ]
    rows = labels.set_index(ids).reindex(faces.table["image_id"].astype(str))
    lost = rows["image_id"].isna()
    if lost.any():
        raise DataError(
            f"The labels of the Face Dictionary in '{folder}' lack {int(lost.sum())} of its images, the first "
            f"'{rows.index[int(lost.to_numpy().argmax())]}'. Save it again."
        )
    numbered = only(asked, names, groups_of)

    def flags(prefix: str) -> np.ndarray:
        return (
            rows[[f"{prefix}:{concept}" for concept in names]]
            .to_numpy(dtype=bool)
            .reshape(len(rows), len(names))
        )

    return assemble(
        name=name,
        faces=faces,
        asked=asked,
        drawings={concept: Drawing((concept,)) for concept in names},
        labelled=flags("present"),
        known=flags("known"),
        groups=pd.DataFrame(
            {c: rows[f"group:{c}"].to_numpy(dtype=np.int64) for c in groups_of}, index=range(len(rows))
        ),
        numbered=numbered,
        problems=problems,
        settings=settings | {"opened_from": folder.name},
        progress=progress,
    )


def _write_json(path: Path, values: dict[str, Any]) -> None:
    with atomic_write(path) as part:
        part.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and values.get("format") == _FORMAT else None
