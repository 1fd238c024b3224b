"""Build a Face Dictionary from a set of faces."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool
from numpy import ndarray

from fusiform.errors import DataError, SpecError
from fusiform.faces._face_set import FaceSet
from fusiform.faces._sources import Progress
from fusiform.faces.dictionary._concepts import Concept, ConceptTable
from fusiform.faces.dictionary._dictionary import FaceDictionary, assemble
from fusiform.faces.dictionary._ellipses import CONFIDENCE
from fusiform.faces.dictionary._groups import group_numbers
from fusiform.faces.dictionary._masks import NEEDS_68, Drawing, drawing_of
from fusiform.faces.dictionary._survey import Problem

MaskChoice = Literal["auto", "exact", "ellipses"]


def build_dictionary(
    faces: FaceSet,
    *,
    concepts: ConceptTable | None = None,
    masks: MaskChoice = "auto",
    balance: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> FaceDictionary:
    """Build a Face Dictionary from a set of faces: their masks or 68 landmarks, and their columns.

    A concept is where the set's mask of that name is, or the union of the masks of its parts, or, without masks, within
    Gaussian confidence ellipses (80%) about groups of the 68 landmarks (section 3.1 of the paper). A part is present where
    its mask is; attributes and action units where their column says so, or, of sets without the column, where an own mask
    or that of something worn (eyeglasses) is not empty. Where a column says that a concept is there and its mask is empty,
    nothing is known of it. Groups of faces come from columns as `Category` says. What cannot
    be used is left out, named and counted in `FaceDictionary.problems`.

    Parameters
    ----------
    faces : FaceSet
        The faces, of any size or view.
    concepts : ConceptTable, optional
        What to look for; the published 50 when not given.
    masks : {"auto", "exact", "ellipses"}, default "auto"
        Masks of the set, else ellipses; only masks; or only ellipses.
    balance : bool, default True
        Draw as many images a group of a category as its smallest group with images has.
    seed : int, default 0
        Of that draw.
    progress : callable, optional
        Called with ``(done, total)`` images.

    Returns
    -------
    FaceDictionary
        The dictionary.

    Raises
    ------
    SpecError
        If `masks` is none of these.
    DataError
        If nothing is left: no concept and no group with images.

    References
    ----------
    Teotia, Lapedriza and Ostadabbas (2022), Interpreting face inference models using hierarchical network dissection,
    International Journal of Computer Vision 130, section 3.1.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> dictionary = build_dictionary(open_faces("synthetic?n=12&size=48&seed=1&identities=12"))
    >>> sorted(dictionary.concepts.regions), int(dictionary.present["nose"].sum())
    (['Cheek', 'Chin', 'Eye', 'Mouth', 'Nose'], 12)
    """
    if masks not in ("auto", "exact", "ellipses"):
        raise SpecError(f"'masks' must be 'auto', 'exact' or 'ellipses'; got '{masks}'.")
    table = ConceptTable.published() if concepts is None else concepts
    name, before = faces.name, len(faces.skipped)
    if not len(faces):
        raise DataError(f"The faces '{name}' hold no images, so no Face Dictionary can be built of them.")
    faces = faces.readable(progress=progress)
    problems: list[Problem] = [
        (None, str(image), f"the image cannot be used: {why}")
        for image, why in faces.skipped.itertuples(index=False, name=None)
    ]
    drawings: dict[str, Drawing] = {}
    columns: list[tuple[Bool[ndarray, " n"], Bool[ndarray, " n"]]] = []
    ids = faces.table["image_id"].astype(str).tolist()
    pointed = np.zeros(len(faces), dtype=bool)
    if faces.n_landmarks == 68:
        pointed = faces._view.source.points_known(faces._view.rows)
    for concept in table.local:
        drawing = drawing_of(concept, faces.parts, faces.n_landmarks, masks)
        if isinstance(drawing, str):
            problems.append((concept.name, None, drawing))
            continue
        labels = _column(faces, concept)
        if labels is None and not drawing.tells:
            problems.append((concept.name, None, _no_column(faces, concept)))
            continue
        able = pointed if drawing.groups else np.ones(len(faces), dtype=bool)
        if not able.any():
            problems.append((concept.name, None, "no image has all 68 landmarks"))
            continue
        # What a column says goes before what the mask tells.
        drawings[concept.name] = drawing if labels is None else replace(drawing, tells=False)
        columns.append((able, able) if labels is None else (labels[0] & able, labels[1] & able))
    if any(drawing.groups for drawing in drawings.values()):
        problems += [
            (None, ids[i], "it has not all 68 landmarks, so no ellipse is drawn")
            for i in np.flatnonzero(~pointed)
        ]
    groups: dict[str, ndarray] = {}
    for category in table.categories:
        numbers, why = group_numbers(faces, category)
        if why:
            problems.append((category.name, None, why))
        else:
            groups[category.name] = numbers
    nothing = np.zeros((len(faces), 0), dtype=bool)
    settings = {
        "made_of": faces.spec or name,
        "masks": masks,
        "confidence": CONFIDENCE if any(d.groups for d in drawings.values()) else None,
        "balance": balance,
        "seed": seed,
        "images_left_out": len(faces.skipped) - before,
        "landmarks": _advice(faces, problems),
    }
    return assemble(
        name=name,
        faces=faces,
        asked=table,
        drawings=drawings,
        labelled=np.stack([labelled for labelled, _ in columns], axis=1) if columns else nothing,
        known=np.stack([known for _, known in columns], axis=1) if columns else nothing,
        groups=pd.DataFrame(groups, index=range(len(faces))),
        numbered=table,
        problems=problems,
        settings=settings,
        progress=progress,
    )


def _column(faces: FaceSet, concept: Concept) -> tuple[Bool[ndarray, " n"], Bool[ndarray, " n"]] | None:
    """Which images a binary column of the concept's name says to show it, and of which it says anything."""
    attribute = faces.schema.get(concept.name)
    if attribute is None or attribute.kind != "binary":
        return None
    column = faces.table[concept.name]
    return column.fillna(False).to_numpy(dtype=bool), column.notna().to_numpy()


def _no_column(faces: FaceSet, concept: Concept) -> str:
    attribute = faces.schema.get(concept.name)
    if attribute is None:
        return "no column of its name says which images show it"
    return f"column '{concept.name}' is {attribute.kind}, where a binary one must say which images show it"


def _advice(faces: FaceSet, problems: list[Problem]) -> str:
    if not any(why.endswith(NEEDS_68) for _, _, why in problems):
        return f"{faces.n_landmarks or 0} an image"
    return (
        f"{faces.n_landmarks or 0} an image; ellipses need 68, which a table may hold (columns x_0, y_0 ... x_67, y_67) or "
        "fusiform.networks.predict_landmarks finds"
    )
