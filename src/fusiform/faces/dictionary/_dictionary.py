"""The Face Dictionary: images, which concept each shows and where, and to which groups each belongs."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError
from fusiform.faces._face_set import FaceSet
from fusiform.faces._sources import Progress, chunks
from fusiform.faces._view import Indices, View
from fusiform.faces.dictionary._concepts import ConceptTable, only
from fusiform.faces.dictionary._groups import fewer_groups, settle
from fusiform.faces.dictionary._masks import ConceptImages, Drawing, Packed, redrawn
from fusiform.faces.dictionary._survey import Problem, Survey, survey, view_masks

_PROBLEM = {"concept": "string", "image_id": "string", "reason": "string"}
_USELESS = "left out: no local concept is known of it, and no group (or balancing left it out)"


class FaceDictionary:
    """Images of faces with the places of local concepts and the groups of whole faces.

    Made by `build_dictionary` and `open_dictionary`, which check every mask: an image shows a concept only where its mask
    has pixels, fits the image and lies on the face.

    Parameters
    ----------
    name : str
        Short name for tables.
    faces : FaceSet
        The images; `FaceSet.mask` works for every local concept.
    asked : ConceptTable
        What was looked for.
    found : Survey
        What the masks are.
    groups : DataFrame of int
        Group number, a column a category, -1 where unknown or left out.
    concepts : ConceptTable
        What the dictionary can say.
    problems : list of (concept, image_id, reason)
        What is wrong or not there.
    settings : mapping
        Plain JSON values: how it was made.

    Examples
    --------
    >>> from fusiform.faces.dictionary import build_dictionary
    >>> from fusiform.faces import open_faces
    >>> dictionary = build_dictionary(open_faces("synthetic?n=8&size=48&seed=1"))
    >>> dictionary.masks([0, 3]).shape[2:], bool(dictionary.present["nose"].all())
    (torch.Size([48, 48]), True)
    """

    def __init__(
        self,
        *,
        name: str,
        faces: FaceSet,
        asked: ConceptTable,
        found: Survey,
        groups: pd.DataFrame,
        concepts: ConceptTable,
        problems: list[Problem],
        settings: Mapping[str, Any],
    ) -> None:
        self.name = name
        self.faces = faces
        self.concepts = concepts
        self._asked = asked
        self._found = found
        self._groups = groups.reset_index(drop=True)
        self._problems = problems
        self.settings = dict(settings)

    def __len__(self) -> int:
        return len(self.faces)

    def __repr__(self) -> str:
        groups = sum(len(c.groups) for c in self.concepts.categories)
        return f"<FaceDictionary {self.name}: {len(self):,} images, {len(self.concepts.local)} local concepts, {groups} groups>"

    @property
    def _source(self) -> ConceptImages:
        source = self.faces._view.source
        assert isinstance(source, ConceptImages)
        return source

    @property
    def present(self) -> pd.DataFrame:
        """Whether each image shows each local concept, bool (n, local); a copy."""
        return pd.DataFrame(self._found.present.copy(), columns=list(self.concepts.names))

    @property
    def known(self) -> pd.DataFrame:
        """Whether each image was labelled for each local concept at all, bool (n, local); a copy."""
        return pd.DataFrame(self._found.known.copy(), columns=list(self.concepts.names))

    @property
    def groups(self) -> pd.DataFrame:
        """Group number of each image, a column a category, -1 where unknown or left out; a copy."""
        return self._groups.copy()

    @property
    def problems(self) -> pd.DataFrame:
        """What is wrong or lacking: concept (or group), image_id, either may be missing, and reason."""
        return pd.DataFrame(self._problems, columns=list(_PROBLEM)).astype(_PROBLEM)

    @property
    def histogram(self) -> pd.DataFrame:
        """Images a concept (fig. 3): concept, kind, region (or category), images, pixels, drawn, note.

        Concepts that were looked for and are not there have 0 images, and `note` says why. `pixels` are those of all masks
        together; `drawn` says from which masks, or that they are ellipses.
        """
        why = {c: reason for c, image, reason in reversed(self._problems) if c is not None and image is None}
        place = {name: k for k, name in enumerate(self.concepts.names)}
        rows: list[tuple[str, str, str, int, int, str, str]] = []
        for concept in self._asked.local:
            k = place.get(concept.name)
            images, pixels = (
                (0, 0) if k is None else (int(self._found.present[:, k].sum()), int(self._found.pixels[k]))
            )
            drawn = "" if k is None else self._source.drawings[concept.name].how
            note = why.get(concept.name, "") if k is None else ""
            rows.append((concept.name, concept.kind, concept.region, images, pixels, drawn, note))
        said = {category.name: category for category in self.concepts.categories}
        for category in self._asked.categories:
            left = said.get(category.name)
            for group in category.groups:
                number = left.groups.index(group) if left is not None and group in left.groups else -1
                images = int((self._groups[category.name] == number).sum()) if number >= 0 else 0
                note = why.get(group, why.get(category.name, "")) if not images else ""
                rows.append((group, "global", category.name, images, 0, "", note))
        columns = {
            "concept": "string",
            "kind": "string",
            "region": "string",
            "images": "int64",
            "pixels": "int64",
        }
        return pd.DataFrame(rows, columns=[*columns, "drawn", "note"]).astype(
            columns | {"drawn": "string", "note": "string"}
        )

    def masks(self, rows: Indices | None = None) -> Bool[Tensor, "k c h w"]:
        """Where all local concepts are.

        Parameters
        ----------
        rows : int or bool array, slice, or None
            Which images; all when None.

        Returns
        -------
        bool tensor, shape (k, local, height, width)
            In the order of ``concepts.local``; empty where a concept is not present.

        Raises
        ------
        DataError
            If the images' sizes differ; use `on` with resized or aligned faces.

        Examples
        --------
        >>> from fusiform.faces.dictionary import build_dictionary
        >>> from fusiform.faces import open_faces
        >>> dictionary = build_dictionary(open_faces("synthetic?n=8&size=48&seed=1"))
        >>> int(dictionary.masks([2]).sum(dim=(2, 3)).count_nonzero()) == int(dictionary.present.iloc[2].sum())
        True
        """
        view = self.faces._view
        index = [int(i) for i in view.index(rows)]
        names = self.concepts.names
        out = np.zeros((len(index), len(names), *view._common_size()), dtype=bool)
        present, kept = self._found.present, self._found.kept
        for chunk in chunks(range(len(index))):
            lacking = []
            for at in chunk:
                for k in np.flatnonzero(present[index[at]]).tolist():
                    packed = kept.get((index[at], k))
                    if packed is None:
                        lacking.append((at, k))
                    else:
                        packed.into(out[at, k])
            if lacking:
                drawn = view_masks(
                    view, self._source, [index[at] for at in dict.fromkeys(at for at, _ in lacking)]
                )
                for at, k in lacking:
                    mask = drawn[names[k], index[at]]
                    if isinstance(mask, Packed):
                        mask.into(out[at, k])
        return torch.from_numpy(out)

    def on(self, faces: FaceSet, progress: Progress | None = None) -> "FaceDictionary":
        """The same dictionary on another view of its images: aligned, resized, moved, or some of them.

        Masks move with the images; those that the new view cuts off are no longer present. A balanced dictionary is balanced
        again where images are gone, and `problems` names those that could not be used.

        Parameters
        ----------
        faces : FaceSet
            Made from `faces` or from the set that the dictionary was built of; images are found by ``image_id``, and those
            that the dictionary does not hold are left out.
        progress : callable, optional
            Called with ``(done, total)`` images.

        Returns
        -------
        FaceDictionary
            The dictionary on these images.

        Raises
        ------
        DataError
            If no image is the dictionary's, or the faces have no masks or landmarks for a concept.

        Examples
        --------
        >>> from fusiform.faces.dictionary import build_dictionary
        >>> from fusiform.faces import open_faces
        >>> dictionary = build_dictionary(open_faces("synthetic?n=8&size=64&seed=1"))
        >>> dictionary.on(dictionary.faces.aligned("arcface_112")).masks([0]).shape[2:]
        torch.Size([112, 112])
        """
        place = {name: i for i, name in enumerate(self.faces.table["image_id"])}
        ids = faces.table["image_id"].tolist()
        mine = [i for i, name in enumerate(ids) if name in place]
        if not mine:
            raise DataError(
                f"None of the {len(faces)} images of '{faces.name}' is in the dictionary '{self.name}'; images are found by "
                f"their ids, of which the first are '{ids[0] if ids else ''}' and '{next(iter(place))}'."
            )
        named = {image for _, image, _ in self._problems}
        problems: list[Problem] = [
            (None, str(image), f"the image cannot be used: {why}")
            for image, why in faces.skipped.itertuples(index=False, name=None)
            if image in place
        ]
        problems += [
            (None, i, "the dictionary does not hold it")
            for i in map(str, ids)
            if i not in place and i not in named
        ]
        if len(mine) < len(faces):
            faces = faces.subset(mine)
        old = [place[ids[i]] for i in mine]
        settings = self.settings | {"on": [step.as_dict() for step in faces._view.steps]}
        return assemble(
            name=self.name,
            faces=faces,
            asked=self._asked,
            drawings=redrawn(self._source, faces._view.source, self.name),
            labelled=self._found.present[old],
            known=self._found.known[old],
            groups=self._groups.iloc[old].reset_index(drop=True),
            numbered=self.concepts,
            problems=[*self._problems, *problems],
            settings=settings,
            surveyed=True,
            kept=self._source,
            progress=progress,
        )

    @property
    def card(self) -> dict[str, Any]:
        """What the dictionary is, as plain JSON values: sizes, concepts, groups, how it was made, problems by reason."""
        groups = {
            c.name: {
                "threshold": c.threshold,
                "images": {g: int((self._groups[c.name] == i).sum()) for i, g in enumerate(c.groups)},
            }
            for c in self.concepts.categories
        }
        return {
            "name": self.name,
            "n": len(self),
            "local": {region: list(names) for region, names in self.concepts.regions.items()},
            "categories": groups,
            "problems": {str(k): int(v) for k, v in self.problems["reason"].value_counts().items()},
            "settings": self.settings,
            "faces": self.faces.provenance,
            "digest": self.digest(),
        }

    def digest(self) -> str:
        """What the dictionary is, as one number: images, view, concepts, labels, groups.

        Returns
        -------
        str
            sha256 in hexadecimal.

        Examples
        --------
        >>> from fusiform.faces.dictionary import build_dictionary
        >>> from fusiform.faces import open_faces
        >>> len(build_dictionary(open_faces("synthetic?n=8&size=48&seed=1")).digest())
        64
        """
        sha = hashlib.sha256(self.faces.digest().encode())
        sha.update(self.concepts.table.to_csv(index=False).encode())
        sha.update(json.dumps({k: d.how for k, d in self._source.drawings.items()}).encode())
        for values in (self._found.present, self._found.known, self._groups.to_numpy()):
            sha.update(np.ascontiguousarray(values).tobytes())
        return sha.hexdigest()

    def save(self, folder: str | Path, *, overwrite: bool = False, progress: Progress | None = None) -> Path:
        """Write the dictionary into a folder, which `open_dictionary` reads back as it is.

        The images and their table as `fusiform.faces.export_faces` writes them, ``masks/CONCEPT/*.png`` where a concept is
        present, ``labels.parquet``, ``concepts.csv``, ``problems.csv`` and ``dictionary.json``.

        Parameters
        ----------
        folder : str or Path
            Made when missing; a save of the same dictionary that was broken off is continued.
        overwrite : bool, default False
            Replace another dictionary.
        progress : callable, optional
            Called with ``(done, total)`` images.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        RunError
            If the folder holds something else, may not be written, or the disk is full.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> from fusiform.faces import open_faces
        >>> from fusiform.faces.dictionary import build_dictionary, open_dictionary
        >>> dictionary = build_dictionary(open_faces("synthetic?n=4&size=48&seed=1"))
        >>> with TemporaryDirectory() as folder:
        ...     again = open_dictionary(dictionary.save(folder))
        ...     bool((again.masks() == dictionary.masks()).all()), again.groups.equals(dictionary.groups)
        (True, True)
        """
        from fusiform.faces.dictionary._saved import save_dictionary

        return save_dictionary(self, Path(folder), overwrite, progress)


def assemble(
    *,
    name: str,
    faces: FaceSet,
    asked: ConceptTable,
    drawings: Mapping[str, Drawing],
    labelled: Bool[ndarray, "n k"],
    known: Bool[ndarray, "n k"],
    groups: pd.DataFrame,
    numbered: ConceptTable,
    problems: list[Problem],
    settings: Mapping[str, Any],
    surveyed: bool = False,
    kept: ConceptImages | None = None,
    progress: Progress | None = None,
) -> FaceDictionary:
    """Look at all masks and put a dictionary together from what is right; `groups` count as in `numbered`.

    Whether groups are balanced, and with which seed, stands in the settings. Those that are balanced stay as they are.
    """
    underlying = (
        faces._view.source.source if isinstance(faces._view.source, ConceptImages) else faces._view.source
    )
    rows, names = faces._view.rows, list(drawings)

    def rows_of(which: Bool[ndarray, "n k"]) -> dict[str, set[int]]:
        return {n: {rows[i] for i in np.flatnonzero(which[:, k])} for k, n in enumerate(names)}

    shared = kept is not None and kept.source is underlying and kept.drawings == dict(drawings)
    source = ConceptImages(underlying, drawings, rows_of(labelled), kept._kept if shared and kept else None)
    found = survey(faces, source, labelled, known, progress, surveyed)
    problems = [*problems, *found.problems]
    shown = [name for k, name in enumerate(names) if found.present[:, k].any()]
    problems += [(name, None, "no image shows it") for name in names if name not in shown]
    balance, seed = bool(settings.get("balance")), int(settings.get("seed", 0))
    settled, left, said = settle(groups, numbered, balance, seed)
    concepts = only(asked, shown, left)
    problems += [(group, None, why) for group, why in [*said, *fewer_groups(asked, concepts)]]
    there = [names.index(name) for name in concepts.names]
    useful = found.known[:, there].any(axis=1) | (settled.to_numpy() >= 0).any(axis=1)
    if not useful.any():
        reasons = pd.Series([why for _, _, why in problems]).value_counts().head(3)
        told = "; ".join(f"{why} ({count} times)" for why, count in reasons.items())
        raise DataError(
            f"Nothing is left for a Face Dictionary of '{name}': no concept and no group has images. {told}."
        )
    ids = faces.table["image_id"].astype(str).tolist()
    problems += [(None, ids[i], _USELESS) for i in np.flatnonzero(~useful)]
    shown_in = rows_of(found.present)
    view = View(source.narrowed({names[k]: shown_in[names[k]] for k in there}), rows, faces._view.steps)
    view._plans = faces._view._plans
    moved = faces._derived(_view=view)
    index = np.flatnonzero(useful)
    new_row, new_column = ({old: new for new, old in enumerate(which)} for which in (index.tolist(), there))
    kept_masks = found.kept
    if len(index) < len(faces) or there != list(range(len(names))):
        moved = moved.subset(index)
        kept_masks = found.kept.renamed(
            lambda key: (
                (new_row[key[0]], new_column[key[1]]) if key[0] in new_row and key[1] in new_column else None
            )
        )
    present, labels_known = (
        values[np.ix_(index, np.array(there, dtype=np.int64))] for values in (found.present, found.known)
    )
    return FaceDictionary(
        name=name,
        faces=moved,
        asked=asked,
        found=Survey(present, labels_known, found.pixels[there], kept_masks),
        groups=settled.iloc[index],
        concepts=concepts,
        problems=list(dict.fromkeys(problems)),
        settings=settings,
    )
