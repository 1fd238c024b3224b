"""Look at every mask of a dictionary once: which are empty, of another size, outside the face, or cannot be read."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from fusiform.faces._face_set import FaceSet
from fusiform.faces._geometry import warp
from fusiform.faces._sources import Progress, chunks
from fusiform.faces._view import View
from fusiform.faces.dictionary._masks import ConceptImages, Packed, PackedMasks

Problem = tuple[str | None, str | None, str]

_EMPTY, _CUT_OFF = "its mask is empty", "its mask lies outside the aligned picture"

# A mask is outside the face when the middle of its box lies further from the landmarks' box than these shares of that
# box's sides: 68 points span the face from brows to chin, five from eyes to mouth.
_BEYOND = {68: 0.75, 5: 2.0}


@dataclass
class Survey:
    """What was found: which concept each image shows, in how many pixels, the masks as seen, and what is wrong."""

    present: Bool[ndarray, "n k"]
    known: Bool[ndarray, "n k"]
    pixels: Int[ndarray, " k"]
    kept: PackedMasks = field(default_factory=PackedMasks)
    problems: list[Problem] = field(default_factory=list)


def view_masks(
    view: View, source: ConceptImages, positions: list[int]
) -> dict[tuple[str, int], Packed | str]:
    """Masks of all concepts present in some images as the view shows them, by concept and position."""
    rows = [view.rows[i] for i in positions]
    drawn = source.drawn(rows)
    found: dict[tuple[str, int], Packed | str] = {}
    for name in source.drawings:
        for i, row in zip(positions, rows, strict=True):
            mask = drawn.get((name, row))
            if mask is None:
                continue
            size = source.size(row)
            if isinstance(mask, Packed) and size is not None and mask.size != size:
                mask = f"its mask is {mask.size[0]} x {mask.size[1]} pixels, the image {size[0]} x {size[1]}"
            if isinstance(mask, Packed) and view.steps and mask.height:
                moved = warp(mask.mask().astype(np.uint8) * 255, *view._plan(row)) >= 128
                packed = Packed.of(moved)
                mask = packed if packed.height else _CUT_OFF
            found[name, i] = mask
    return found


def survey(
    faces: FaceSet,
    source: ConceptImages,
    labelled: Bool[ndarray, "n k"],
    known: Bool[ndarray, "n k"],
    progress: Progress | None = None,
    surveyed: bool = False,
) -> Survey:
    """Draw the masks of all labelled images; an image counts for a concept where its mask is right.

    Labels that were `surveyed` before are of masks that were not empty.
    """
    names, view = list(source.drawings), faces._view
    ids = faces.table["image_id"].astype(str).tolist()
    out = Survey(labelled.copy(), known.copy(), np.zeros(len(names), dtype=np.int64))
    near = _face_boxes(faces)
    place = {name: k for k, name in enumerate(names)}
    for chunk in chunks(range(len(faces))):
        for (name, i), mask in view_masks(view, source, list(chunk)).items():
            k, drawing = place[name], source.drawings[name]
            why = mask if isinstance(mask, str) else None
            if isinstance(mask, Packed) and not mask.height:
                why = _EMPTY
            elif isinstance(mask, Packed) and drawing.parts and near is not None and _outside(mask, near[i]):
                why = "its mask lies outside the face"
            if why is None and isinstance(mask, Packed):
                out.pixels[k] += mask.pixels
                out.kept.put((i, k), mask)
                continue
            out.present[i, k] = False
            # Where only the mask says what is there, an empty one, or one that the crop cut off, says that it is not.
            if drawing.tells and (why == _CUT_OFF or (why == _EMPTY and not surveyed)):
                continue
            out.known[i, k] = False
            out.problems.append((name, ids[i], str(why)))
        if progress is not None:
            progress(int(chunk[-1]) + 1, len(faces))
    return out


def _face_boxes(faces: FaceSet) -> Float[ndarray, "n 4"] | None:
    """Left, top, right, bottom of where masks may be; NaN where landmarks are not known."""
    count = faces.n_landmarks
    points = faces._view.points(count) if count is not None else None
    if points is None:
        return None
    low, high = points.min(axis=1), points.max(axis=1)
    # A face in profile is narrow between its points.
    side = (high - low).max(axis=1, keepdims=True) * _BEYOND[points.shape[1]]
    return np.concatenate([low - side, high + side], axis=1)


def _outside(mask: Packed, box: Float[ndarray, " 4"]) -> bool:
    x, y = mask.left + mask.width / 2, mask.top + mask.height / 2
    return bool(x < box[0] or y < box[1] or x > box[2] or y > box[3])
