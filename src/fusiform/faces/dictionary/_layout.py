"""The published Face Dictionary as it lies on disk."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from jaxtyping import Bool
from numpy import ndarray

from fusiform.errors import DataError, ImageError, nearest
from fusiform.faces._face_set import FaceSet
from fusiform.faces._images import SUFFIXES, UnreadableImageError, decode
from fusiform.faces._lists import contents
from fusiform.faces._sources import Progress, StoredImages, in_threads
from fusiform.faces._stores import FolderStore
from fusiform.faces._tables import read_table
from fusiform.faces.dictionary._concepts import ConceptTable
from fusiform.faces.dictionary._dictionary import FaceDictionary, assemble
from fusiform.faces.dictionary._groups import _of_value
from fusiform.faces.dictionary._masks import Drawing
from fusiform.faces.dictionary._survey import Problem

_FOLDERS = {"AU": "action unit", "attributes": "attribute", "parts": "part"}
_LOCAL, _GLOBAL = "visual_dictionary", "non_localizable"
_ORIGINAL, _NO_CONCEPT = "original.png", {"original", "lm"}


class _Published(StoredImages):
    """Images with a file a mask beside them."""

    def __init__(
        self, store: FolderStore, names: Sequence[str], ids: Sequence[str], parts: Sequence[str]
    ) -> None:
        super().__init__(store, names, ids)
        self.parts = tuple(parts)

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a concept is."""

        def read(row: int) -> Bool[ndarray, "h w"]:
            file = f"{self._names[row].rpartition('/')[0]}/{part}.png"
            try:
                mask: Bool[ndarray, "h w"] = decode(self._store.read(file))[..., 0] >= 128
            except UnreadableImageError as error:
                raise ImageError(self._ids[row], f"its mask '{part}.png': {error}") from error
            return mask

        return in_threads(read, list(rows))


def open_published(
    path: Path, concepts: ConceptTable, balance: bool, seed: int, progress: Progress | None
) -> FaceDictionary:
    """Open ``visual_dictionary/{AU,attributes,parts}/ID/{original,CONCEPT}.png`` and ``non_localizable/CATEGORY/GROUP``."""
    root = path / _LOCAL if (path / _LOCAL).is_dir() else path
    folders = [folder for folder in _FOLDERS if (root / folder).is_dir()]
    wholes = next((base / _GLOBAL for base in (path, root) if (base / _GLOBAL).is_dir()), None)
    if not folders and wholes is None:
        raise DataError(
            f"'{path}' is not laid out like the published Face Dictionary: looked for {', '.join(_FOLDERS)} in "
            f"'{_LOCAL}' or in it, and for '{_GLOBAL}'; found {contents(path)}."
        )
    problems: list[Problem] = []
    shown = _local(root, folders, concepts, problems)
    _listed(root, shown, concepts, problems)
    grouped = {} if wholes is None else _groups(wholes, concepts, problems)
    base = path if wholes is not None and path in (wholes.parent, wholes.parent.parent) else root
    prefix = f"{root.relative_to(base).as_posix()}/" if root != base else ""
    ids = [*shown, *grouped]
    if not ids:
        raise DataError(
            f"The Face Dictionary in '{path}' holds no image that can be used. {_first(problems)}"
        )
    files = [f"{prefix}{image}/{_ORIGINAL}" for image in shown] + list(grouped)
    if wholes is not None:
        inside = wholes.relative_to(base).as_posix()
        files = files[: len(shown)] + [f"{inside}/{name}" for name in grouped]
    names = list(concepts.names)
    source = _Published(FolderStore(base), files, ids, names)
    faces = FaceSet(
        name="face dictionary",
        table=pd.DataFrame({"image_id": ids}),
        schema={},
        source=source,
        spec=f"published:{path}",
        provenance={
            "reader": "published face dictionary",
            "source": str(path),
            "paper": "Teotia, Lapedriza and Ostadabbas 2022, Interpreting Face Inference Models using Hierarchical Network "
            "Dissection, IJCV",
            "licence": "images of EmotioNet, UTKFace and CelebA: non-commercial research; copies must not be passed on",
        },
    ).readable(progress=progress)
    problems += [
        (None, str(image), f"the image cannot be used: {why}")
        for image, why in faces.skipped.itertuples(index=False, name=None)
    ]
    kinds = {concept.name: concept.kind for concept in concepts.local}
    left = faces.table["image_id"].astype(str).tolist()
    labelled = np.array([[name in shown.get(i, ()) for name in names] for i in left]).reshape(
        len(left), len(names)
    )
    known = np.array(
        [[i in shown and _FOLDERS.get(i.partition("/")[0]) == kinds[name] for name in names] for i in left]
    ).reshape(len(left), len(names))
    codes = {
        category.name: [
            grouped[i][1] if i in grouped and grouped[i][0] == category.name else -1 for i in left
        ]
        for category in concepts.categories
        if any(name == category.name for name, _ in grouped.values())
    }
    problems += [
        (c.name, None, f"no folder in '{_GLOBAL}'") for c in concepts.categories if c.name not in codes
    ]
    return assemble(
        name="face dictionary",
        faces=faces,
        asked=concepts,
        drawings={name: Drawing((name,)) for name in names},
        labelled=labelled,
        known=known,
        groups=pd.DataFrame(codes, index=range(len(left)), dtype="int64"),
        numbered=concepts,
        problems=problems,
        settings={"made_of": f"published:{path}", "masks": "as published", "balance": balance, "seed": seed},
        progress=progress,
    )


def _first(problems: list[Problem]) -> str:
    return (
        ""
        if not problems
        else f"The first thing wrong: {problems[0][1] or problems[0][0]}: {problems[0][2]}."
    )


def _local(
    root: Path, folders: Sequence[str], concepts: ConceptTable, problems: list[Problem]
) -> dict[str, set[str]]:
    """Images, as FOLDER/ID, and the concepts of which each has a mask; names are matched whole."""
    by_kind = {kind: {c.name for c in concepts.local if c.kind == kind} for kind in _FOLDERS.values()}
    shown: dict[str, set[str]] = {}
    for folder in folders:
        wanted = by_kind[_FOLDERS[folder]]
        for entry in sorted(p for p in (root / folder).iterdir() if p.is_dir()):
            image = f"{folder}/{entry.name}"
            if not (entry / _ORIGINAL).is_file():
                problems.append((None, image, f"there is no '{_ORIGINAL}'"))
                continue
            masks = {file.stem for file in entry.glob("*.png")} - _NO_CONCEPT
            problems += [
                (odd, image, f"the table has no {_FOLDERS[folder]} of this name; {nearest(odd, wanted)}")
                for odd in sorted(masks - wanted)
            ]
            shown[image] = masks & wanted
    return shown


def _listed(root: Path, shown: dict[str, set[str]], concepts: ConceptTable, problems: list[Problem]) -> None:
    """Labels of the lists ``image,labels``: what they name and is not there, and what is there and they do not name."""
    folder_of = {
        c.name: folder for c in concepts.local for folder, kind in _FOLDERS.items() if kind == c.kind
    }
    listed: dict[str, set[str]] = {}
    # Beside the folders of images; a folder of another name may lie among anything.
    beside = root.parent.glob("*.csv") if root.name == _LOCAL else ()
    for file in sorted({*root.glob("*.csv"), *beside, *root.glob("*/*.csv")}):
        try:
            table = read_table(file)
        except DataError as error:
            problems.append((None, None, f"the list '{file.name}' is not used: {error}"))
            continue
        if not {"image", "labels"} <= set(table.columns):
            continue
        for name, labels in (
            table[["image", "labels"]].astype("string").fillna("").itertuples(index=False, name=None)
        ):
            stem = _listed_image(str(name))
            for label in filter(None, (part.strip() for part in str(labels).split(";"))):
                if label not in folder_of:
                    problems.append(
                        (label, str(name), f"'{file.name}' names a concept that the table does not have")
                    )
                    continue
                image = f"{folder_of[label]}/{stem}"
                if image not in shown:
                    problems.append((label, image, f"'{file.name}' names an image that is not there"))
                else:
                    listed.setdefault(image, set()).add(label)
    for image, labels in listed.items():
        problems += [
            (extra, image, "its mask is there, and no list names it; left out")
            for extra in sorted(shown[image] - labels)
        ]
        # A concept that is listed and has no mask is found when the masks are read.
        shown[image] = labels


def _listed_image(name: str) -> str:
    """The ID that a line of a list names: ``ID``, ``ID.jpg``, ``FOLDER/ID/original.png``."""
    path = PurePosixPath(name.strip().replace("\\", "/"))
    if path.name.lower() == _ORIGINAL:
        path = path.parent
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _groups(folder: Path, concepts: ConceptTable, problems: list[Problem]) -> dict[str, tuple[str, int]]:
    """Images, as CATEGORY/GROUP/FILE, with category and group number."""
    store = FolderStore(folder)
    categories = {category.name.lower(): category for category in concepts.categories}
    found: dict[str, tuple[str, int]] = {}
    refused: dict[str, int] = {}
    for name in store.names():
        parts = name.split("/")
        category = categories.get(parts[0].lower())
        number = -1 if category is None or len(parts) < 3 else _of_value(parts[1], category)
        if category is None or number < 0:
            place = "/".join(parts[:2]) if len(parts) > 2 else parts[0]
            refused[place] = refused.get(place, 0) + 1
        else:
            found[name] = (category.name, number)
    problems += [
        (place, None, f"{count} images lie in a folder that is no group of the table")
        for place, count in refused.items()
    ]
    return found
