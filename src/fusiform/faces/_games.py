"""Synthetic faces for the games of explanations, with masks of where the evidence is."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fusiform.errors import SpecError, nearest
from fusiform.faces import synthetic
from fusiform.faces._changed import FAINT, Elsewhere, with_changes
from fusiform.faces._face_set import FaceSet
from fusiform.faces._inpainting import INPAINTED, SCHEMA
from fusiform.faces._rendered import RenderedFaces
from fusiform.faces.readers.synthetic import synthetic_faces
from fusiform.faces.synthetic._games import CLOSE, clear, without
from fusiform.faces.synthetic._games import twins as with_twins

EVIDENCE = "evidence"
CONFINED_PARTS = ("eyeglasses", *synthetic.PART_FACTORS)
"""Parts to which `confined_faces` confines a class."""


def synthetic_inpainting(
    n: int,
    parts: Sequence[str] = ("eyes", "brows", "nose", "mouth", "chin", "cheeks"),
    *,
    mates: int = 2,
    donors: int = 8,
    size: int = 112,
    seed: int = 0,
    faint: int = FAINT,
) -> FaceSet:
    """Material of the inpainting game in which one part, and nothing else, is another person's.

    Parameters
    ----------
    n, parts, mates, donors, seed
        As in `fusiform.faces.synthetic.inpainting_triplets`.
    size : int, default 112
        Side of the images in pixels.
    faint : int, default 2
        Grey levels of 255 up to which pixels count as equal in the mask "inpainted"; 0 for every change.

    Returns
    -------
    FaceSet
        Probes and mates, as they are and inpainted; with the mask "inpainted", the pixels that changed. For
        `InpaintingGame`.

    Raises
    ------
    SpecError
        For an unknown part, or a number out of range.

    Examples
    --------
    >>> faces = synthetic_inpainting(1, ["nose"], mates=1, size=64)
    >>> faces.table[["role", "part", "original"]].fillna("").values.tolist()
    [['probe', '', ''], ['mate', '', ''], ['probe', 'nose', '000000'], ['mate', 'nose', '000001']]
    >>> faces.mask("inpainted").flatten(1).any(dim=1).tolist()
    [False, False, True, True]
    """
    table = synthetic.inpainting_triplets(n, parts, mates=mates, donors=donors, seed=seed)
    faces = synthetic_faces(
        table.drop(columns=["class", "role"]),
        size=size,
        name="synthetic inpainting",
        provenance={"seed": seed},
    )
    each = 1 + mates
    place = np.arange(len(table))
    new = place // each % 2 == 1
    original = np.where(new, place - each, place)
    ids, part = faces.table["image_id"], table["class"].astype("string")
    values = {
        "subject": table["identity"].iloc[original].reset_index(drop=True),
        "part": part.where(pd.Series(new)),
        "role": np.where(place % each == 0, "probe", "mate"),
        "original": ids.iloc[original].reset_index(drop=True).where(pd.Series(new)),
    }
    for name, column in values.items():
        faces = faces.with_attribute(name, column, SCHEMA[name])
    return with_changes(faces, {INPAINTED: [Elsewhere(faces._view.source, original.tolist())]}, faint)


def confined_faces(
    n: int,
    part: str,
    *,
    classes: int = 2,
    twins: bool = False,
    size: int = 64,
    seed: int = 0,
    faint: int = FAINT,
) -> FaceSet:
    """Faces whose class shows in one part alone, with a mask of the pixels that show it.

    Parameters
    ----------
    n : int
        How many faces, each of another person.
    part : str
        "eyeglasses" (worn or not; two classes), or one of `fusiform.faces.synthetic.PART_FACTORS`.
    classes : int, default 2
        How many classes.
    twins : bool, default False
        Each face is followed by the same face of the next class: 2n images.
    size : int, default 64
        Side of the images in pixels.
    seed : int, default 0
        What classes and faces are drawn from.
    faint : int, default 2
        Grey levels of 255 up to which pixels count as equal; 0 for every change.

    Returns
    -------
    FaceSet
        With the attribute ``class`` and the mask "evidence": where the face differs from the same face of any other
        class, and so all that can tell. Pictures are sharp and close, heads bare and turned by 20 degrees at the most.

    Raises
    ------
    SpecError
        For an unknown part, or a number out of range.

    Examples
    --------
    >>> faces = confined_faces(4, "mouth", size=48)
    >>> sorted(faces.table["class"]), faces.mask("evidence").shape
    (['mouth_0', 'mouth_0', 'mouth_1', 'mouth_1'], torch.Size([4, 48, 48]))
    """
    if part not in CONFINED_PARTS:
        raise SpecError(
            f"No class of synthetic faces is confined to '{part}'; {nearest(str(part), CONFINED_PARTS)}"
        )
    if part == "eyeglasses" and classes != 2:
        raise SpecError(f"Eyeglasses are worn or not, two classes; got classes={classes!r}.")
    table = (
        synthetic.spectacled(n, seed=seed)
        if part == "eyeglasses"
        else synthetic.confined(n, part, classes=classes, seed=seed)
    )
    table = clear(table, CLOSE)
    table = with_twins(table) if twins else table
    return _with_evidence(table, {EVIDENCE: "class"}, size, f"confined to {part}", seed, faint)


def expression_faces(
    n: int,
    moods: Sequence[str] = ("surprise", "anger"),
    *,
    shown: Sequence[str] = ("both", "eyes", "mouth"),
    twins: bool = False,
    size: int = 64,
    seed: int = 0,
    faint: int = FAINT,
) -> FaceSet:
    """Faces with an expression that shows at the eyes and brows, at the mouth, or at both.

    Parameters
    ----------
    n, moods, shown, twins, seed
        As in `fusiform.faces.synthetic.expressions`.
    size : int, default 64
        Side of the images in pixels.
    faint : int, default 2
        Grey levels of 255 up to which pixels count as equal; 0 for every change.

    Returns
    -------
    FaceSet
        With the attribute ``class``, and masks as of `conflict_faces`.

    Raises
    ------
    SpecError
        For an unknown expression or place, or a number out of range.

    Examples
    --------
    >>> faces = expression_faces(2, shown="mouth", size=48)
    >>> faces.table["eyes_expression"].tolist(), faces.mask("eyes_expression").any().item()
    (['neutral', 'neutral'], False)
    """
    table = synthetic.expressions(n, moods, shown=shown, twins=twins, seed=seed)
    return _with_evidence(table, _SIDES, size, "expressions", seed, faint)


def conflict_faces(
    n: int,
    moods: Sequence[str] = ("surprise", "anger"),
    *,
    size: int = 64,
    seed: int = 0,
    faint: int = FAINT,
) -> FaceSet:
    """Faces with the eyes and brows of one expression and the mouth of another.

    Parameters
    ----------
    n, moods, seed
        As in `fusiform.faces.synthetic.conflicts`.
    size : int, default 64
        Side of the images in pixels.
    faint : int, default 2
        Grey levels of 255 up to which pixels count as equal; 0 for every change.

    Returns
    -------
    FaceSet
        With the attributes ``eyes_expression`` and ``mouth_expression``, and masks of the same names: where the face differs
        from the same face that is neutral there. The parts "eyes", "brows" and "mouth" are masks too.

    Raises
    ------
    SpecError
        For an unknown expression, or a number out of range.

    Examples
    --------
    >>> faces = conflict_faces(2, size=48)
    >>> faces.table[["eyes_expression", "mouth_expression"]].values.tolist()
    [['anger', 'surprise'], ['surprise', 'anger']]
    >>> (faces.mask("eyes_expression") & faces.mask("mouth_expression")).float().mean().item() < 0.01
    True
    """
    table = synthetic.conflicts(n, moods, seed=seed)
    return _with_evidence(table, _SIDES, size, "conflicts", seed, faint)


_SIDES = {"eyes_expression": "eyes_expression", "mouth_expression": "mouth_expression"}


def _with_evidence(
    table: pd.DataFrame, masks: dict[str, str], size: int, name: str, seed: int, faint: int
) -> FaceSet:
    faces = synthetic_faces(table, size=size, name=f"synthetic {name}", provenance={"seed": seed})
    others = {
        mask: [RenderedFaces(other, size).read for other in without(table, what)]
        for mask, what in masks.items()
    }
    return with_changes(faces, others, faint)
