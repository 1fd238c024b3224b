"""Where the parts of faces are, at the size of a network's inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from fusiform.errors import DataError, ImageError, SpecError
from fusiform.faces._face_set import FaceSet
from fusiform.faces._sources import chunks
from fusiform.faces._view import Indices
from fusiform.faces.dictionary._concepts import Concept, ConceptTable
from fusiform.faces.dictionary._ellipses import draw_ellipses
from fusiform.faces.dictionary._masks import Drawing, drawing_of

PARTS8 = ("left_brow", "right_brow", "left_eye", "right_eye", "left_cheek", "right_cheek", "nose", "mouth")
"""The parts of a face; left and right as seen in the image."""

FASSEG_CLASSES: dict[str, tuple[int, ...]] = {
    "skin_with_neck_and_ears": (1,),
    "hair_and_brows": (2,),
    "eyes": (3,),
    "nose": (4,),
    "mouth": (5,),
}
"""Class numbers of the FASSEG masks, for `with_masks`: brows go with the hair, both eyes are one class."""

_OF_PARTS = {c.name: c for c in ConceptTable.published().local if c.kind == "part"}


def _pair(name: str, region: str) -> Concept:
    sides = (_OF_PARTS[f"left_{name}"], _OF_PARTS[f"right_{name}"])
    return Concept(
        f"{name}s", "part", region, tuple(c.name for c in sides), " | ".join(c.landmarks for c in sides)
    )


_KNOWN = _OF_PARTS | {
    "mouth": Concept("mouth", "part", "Mouth", ("upper_lip", "lower_lip"), _OF_PARTS["mouth"].landmarks),
    "eyes": _pair("eye", "Eye"),
    "brows": _pair("brow", "Eye"),
    "cheeks": _pair("cheek", "Cheek"),
}

Masks = Literal["auto", "exact", "ellipses"]


@dataclass(frozen=True)
class PartSources:
    """How a set can show where parts are.

    Attributes
    ----------
    how : dict of str to str
        For each part that can be shown, the masks of the set that it is made of, or "ellipses".
    left_out : dict of str to str
        For each part that cannot, why.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> part_sources(open_faces("synthetic?n=1"), ("eyes", "hand")).how  # it draws no hands
    {'eyes': 'eyes'}
    """

    how: dict[str, str]
    left_out: dict[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Parts that can be shown."""
        return tuple(self.how)


def part_sources(
    faces: FaceSet,
    names: Sequence[str] = PARTS8,
    *,
    masks: Masks = "auto",
    classes: Mapping[str, Sequence[str]] | None = None,
) -> PartSources:
    """Say which parts a set can show, and what each is made of.

    A mask set's classes need not be parts: FASSEG has one class for both eyes, and one for hair and brows. A part
    that its classes do not make up is left out here, and not scored.

    Parameters
    ----------
    faces, names, masks, classes
        As for `part_masks`.

    Returns
    -------
    PartSources
        What can be shown and what cannot.

    Raises
    ------
    SpecError
        If names repeat or `masks` is not one of its values.
    DataError
        If `classes` names a mask that the set does not have.

    Examples
    --------
    >>> import numpy as np
    >>> from fusiform.faces import FaceSet
    >>> drawn = np.ones((1, 8, 8), dtype=bool)
    >>> faces = FaceSet.from_arrays(np.zeros((1, 3, 8, 8), dtype=np.uint8), masks={"eyes": drawn})
    >>> part_sources(faces, ("eyes", "left_eye")).left_out
    {'left_eye': 'no mask, and 0 landmarks an image where an ellipse needs 68'}
    """
    found = _drawings(faces, names, masks, classes)
    return PartSources(
        {name: drawing.how for name, drawing in found.items() if isinstance(drawing, Drawing)},
        {name: why for name, why in found.items() if isinstance(why, str)},
    )


def part_masks(
    faces: FaceSet,
    rows: Indices | None,
    size: int | tuple[int, int],
    names: Sequence[str] = PARTS8,
    *,
    masks: Masks = "auto",
    classes: Mapping[str, Sequence[str]] | None = None,
) -> Bool[Tensor, "n p h w"]:
    """Bring the parts of faces to the size of a network's inputs.

    Parameters
    ----------
    faces : FaceSet
        The faces, framed as the network sees them.
    rows : int or bool array, slice, or None
        Which of them; all when None.
    size : int or (int, int)
        Side of a square, or height and width, to which `FaceNetwork.prepare` brings the images.
    names : sequence of str, default `PARTS8`
        Parts, in order; also "eyes", "brows" and "cheeks" for both sides, and any mask of the set.
    masks : {"auto", "exact", "ellipses"}, default "auto"
        The set's masks where it has them and else ellipses about groups of its 68 landmarks; masks alone; ellipses
        alone.
    classes : mapping of str to sequence of str, optional
        Masks of the set whose union is a part, for parts whose masks have other names.

    Returns
    -------
    bool tensor, shape (n, parts, height, width)
        Empty where a part lies outside the image or is hidden.

    Raises
    ------
    DataError
        If a part cannot be shown, or an image has neither masks nor landmarks; it is named.
    SpecError
        If names repeat or `masks` is not one of its values.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> part_masks(open_faces("synthetic?n=2&size=48"), [1, 0], 32, ("eyes", "nose")).shape
    torch.Size([2, 2, 32, 32])
    """
    found = _drawings(faces, names, masks, classes)
    refused = {name: why for name, why in found.items() if isinstance(why, str)}
    if refused:
        shown = "; ".join(f"'{name}': {why}" for name, why in refused.items())
        can = ", ".join(f"'{name}'" for name in found if name not in refused) or "none"
        raise DataError(
            f"The faces '{faces.name}' cannot show these parts: {shown}. Ask for those that they can ({can}), map others to "
            "the set's masks by classes=, or find 68 landmarks with fusiform.networks.predict_landmarks."
        )
    drawings = {name: drawing for name, drawing in found.items() if isinstance(drawing, Drawing)}
    view = faces.resized(size)
    assert view.size is not None
    places = view._view.index(rows)
    out = torch.zeros((len(places), len(drawings), *view.size), dtype=torch.bool)
    # All parts of a few images at once: a source renders or decodes rows anew when others were asked for in between.
    for here in chunks(range(len(places))):
        for p, (name, drawing) in enumerate(drawings.items()):
            out[here[0] : here[-1] + 1, p] = _shown(view, places[here].tolist(), name, drawing, masks)
    return out


def _drawings(
    faces: FaceSet, names: Sequence[str], masks: str, classes: Mapping[str, Sequence[str]] | None
) -> dict[str, Drawing | str]:
    if masks not in get_args(Masks):
        raise SpecError(f"'masks' must be one of {', '.join(map(repr, get_args(Masks)))}; got {masks!r}.")
    if isinstance(names, str) or len(set(names)) != len(names):
        raise SpecError(f"Parts are a list of names, each once; got {names!r}.")
    for name, own in (classes or {}).items():
        lacking = [mask for mask in own if mask not in faces.parts]
        if lacking or isinstance(own, str) or not len(own):
            raise DataError(
                f"classes says that '{name}' is made of {own!r}; the masks of '{faces.name}' are "
                f"{', '.join(map(repr, faces.parts)) or 'none'}."
            )
    out: dict[str, Drawing | str] = {}
    for name in names:
        if classes and name in classes and masks != "ellipses":
            out[name] = Drawing(tuple(classes[name]))
        else:
            known = _KNOWN.get(name, Concept(name, "part", "other"))
            out[name] = drawing_of(known, faces.parts, faces.n_landmarks, masks)
    return out


def _shown(
    view: FaceSet, places: Sequence[int], name: str, drawing: Drawing, masks: str
) -> Bool[Tensor, "k h w"]:
    if drawing.groups:
        return _ellipses(view, places, drawing)
    try:
        return torch.stack([view.mask(own, places) for own in drawing.parts]).any(0)
    except ImageError:
        # An image without its drawn mask may still have landmarks.
        if len(places) > 1:
            return torch.cat([_shown(view, [place], name, drawing, masks) for place in places])
        concept = _KNOWN.get(name)
        instead = drawing_of(concept, (), view.n_landmarks, "ellipses") if concept else ""
        if masks == "exact" or isinstance(instead, str):
            raise
        return _ellipses(view, places, instead)


def _ellipses(view: FaceSet, places: Sequence[int], drawing: Drawing) -> Bool[Tensor, "k h w"]:
    there, back = np.unique(places, return_inverse=True)
    points = view.subset(there).landmarks
    assert points is not None
    assert view.size is not None
    lost = ~np.isfinite(points).all(axis=(1, 2))
    if lost.any():
        ids = view.table["image_id"].to_numpy()[there[lost]]
        raise DataError(
            f"{len(ids)} images of '{view.name}' have neither a mask of the part nor 68 landmarks, among them "
            f"{', '.join(map(repr, ids[:3].tolist()))}. Leave them out."
        )
    drawn = draw_ellipses(points.astype(np.float64), drawing.groups, [view.size] * len(there))
    return torch.from_numpy(np.stack(drawn)[back.reshape(-1)])
