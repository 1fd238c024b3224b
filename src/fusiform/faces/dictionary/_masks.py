"""Where the concepts of a dictionary are: drawn once for an image, kept as bits of their bounding box."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from fusiform.errors import DataError, ImageError
from fusiform.faces._attach import WrappedSource
from fusiform.faces._sources import Source, chunks
from fusiform.faces.dictionary._concepts import Concept
from fusiform.faces.dictionary._ellipses import draw_ellipses
from fusiform.faces.dictionary._points import Group, landmark_groups

KEPT_BYTES = 256 * 2**20
"""How much memory each of a dictionary's two stores of masks takes at the most: as drawn, and as seen in its view."""

# What is on a face only when it is worn, so that a mask says of itself whether the concept is there.
_WORN = {"glasses", "hat", "earrings", "necklace", "necktie"}
_OVERHEAD = 250

NEEDS_68 = "where an ellipse needs 68"


@dataclass(frozen=True)
class Packed:
    """A mask as the bits of its bounding box."""

    size: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
    bits: bytes

    @property
    def pixels(self) -> int:
        """How many pixels are in it; the bits beyond the box are 0."""
        return int.from_bytes(self.bits, "big").bit_count()

    @classmethod
    def of(cls, mask: Bool[ndarray, "h w"]) -> "Packed":
        """Pack a mask."""
        size = (mask.shape[0], mask.shape[1])
        lines = np.flatnonzero(mask.any(axis=1))
        if not len(lines):
            return cls(size, 0, 0, 0, 0, b"")
        columns = np.flatnonzero(mask.any(axis=0))
        top, left = int(lines[0]), int(columns[0])
        box = mask[top : lines[-1] + 1, left : columns[-1] + 1]
        return cls(size, top, left, box.shape[0], box.shape[1], np.packbits(box).tobytes())

    def into(self, canvas: Bool[ndarray, "h w"]) -> None:
        """Draw the mask on an empty canvas of its size."""
        if self.height:
            bits = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=self.height * self.width)
            box = canvas[self.top : self.top + self.height, self.left : self.left + self.width]
            box[...] = bits.reshape(self.height, self.width)

    def mask(self) -> Bool[ndarray, "h w"]:
        """The mask."""
        canvas = np.zeros(self.size, dtype=bool)
        self.into(canvas)
        return canvas


class PackedMasks:
    """Masks by key, as many as fit; the first ones stay, for a set is walked through in order, again and again."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Packed] = {}
        self._bytes = 0

    def get(self, key: Hashable) -> Packed | None:
        """A mask, None when it is not kept."""
        return self._kept.get(key)

    def renamed(self, new: Callable[[Any], Hashable | None]) -> "PackedMasks":
        """The same under other keys, without those that have none."""
        other = PackedMasks()
        for key, mask in self._kept.items():
            named = new(key)
            if named is not None:
                other.put(named, mask)
        return other

    def put(self, key: Hashable, mask: Packed) -> None:
        """Keep a mask if there is room."""
        if key not in self._kept and self._bytes < KEPT_BYTES:
            self._kept[key] = mask
            self._bytes += len(mask.bits) + _OVERHEAD


@dataclass(frozen=True)
class Drawing:
    """How a concept's mask comes about: the union of a set's masks, or ellipses about groups of landmarks.

    `tells` says whether the mask itself tells if the concept is there; otherwise a label must.
    """

    parts: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    tells: bool = False

    @property
    def how(self) -> str:
        """In a word, for tables."""
        return " + ".join(self.parts) if self.parts else "ellipses"


def drawing_of(concept: Concept, parts: Sequence[str], n_points: int | None, masks: str) -> Drawing | str:
    """How a set can show a concept, or why it cannot; `masks` is "auto", "exact" or "ellipses"."""
    part = concept.kind == "part"
    lacking = "it has no landmarks named" if not concept.landmarks else ""
    if masks != "ellipses":
        if concept.name in parts:
            return Drawing((concept.name,), tells=True)
        if concept.parts and set(concept.parts) <= set(parts):
            return Drawing(concept.parts, tells=part or set(concept.parts) <= _WORN)
        if masks == "exact":
            wanted = " or ".join(filter(None, (f"'{concept.name}'", " + ".join(concept.parts))))
            return f"the set has no mask {wanted}"
    if n_points == 68 and concept.landmarks:
        return Drawing(groups=landmark_groups(concept.landmarks, concept.name), tells=part)
    return f"no mask, and {lacking or f'{n_points or 0} landmarks an image {NEEDS_68}'}"


class ConceptImages(WrappedSource):
    """A source's images with masks of concepts, empty where a concept is not present.

    Parameters
    ----------
    source : Source
        Images, points and parts.
    drawings : mapping of str to Drawing
        How each concept's mask comes about.
    present : mapping of str to set of int
        Rows of the source in which each concept is.
    kept : PackedMasks, optional
        Masks that were drawn before.
    """

    def __init__(
        self,
        source: Source,
        drawings: Mapping[str, Drawing],
        present: Mapping[str, set[int]],
        kept: PackedMasks | None = None,
    ) -> None:
        super().__init__(source)
        self.parts = tuple(dict.fromkeys((*drawings, *source.parts)))
        self.drawings = dict(drawings)
        self.source = source
        self._present = present
        self._kept = kept if kept is not None else PackedMasks()
        self._last: tuple[tuple[int, ...], dict[tuple[str, int], Packed | str]] = ((), {})

    def narrowed(self, present: Mapping[str, set[int]]) -> "ConceptImages":
        """The same for other rows or fewer concepts; what was drawn stays known."""
        return ConceptImages(self.source, {k: self.drawings[k] for k in present}, present, self._kept)

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a concept or part is; empty where it cannot be read, which a dictionary counts when it is built."""
        if part not in self.drawings:
            return self.source.masks(part, rows)
        out = []
        for chunk in chunks(rows):
            found = self.drawn(chunk)
            for row in chunk:
                mask = found.get((part, row))
                if isinstance(mask, Packed):
                    out.append(mask.mask())
                else:
                    out.append(np.zeros(self.source.size(row) or (0, 0), dtype=bool))
        return out

    def drawn(self, rows: Sequence[int]) -> dict[tuple[str, int], Packed | str]:
        """Masks of all concepts present in some rows, by concept and row; why, where one cannot be read.

        All concepts at once, for a source renders or decodes its rows anew when others were asked for in between.
        """
        key = tuple(rows)
        if self._last[0] == key:
            return self._last[1]
        found: dict[tuple[str, int], Packed | str] = {}
        todo: dict[str, list[int]] = {}
        for name in self.drawings:
            for row in rows:
                if row in self._present[name]:
                    packed = self._kept.get((name, row))
                    if packed is None:
                        todo.setdefault(name, []).append(row)
                    else:
                        found[name, row] = packed
        # The same rows for each concept.
        needed = [row for row in rows if any(row in wanted for wanted in todo.values())]
        for name, wanted in todo.items():
            drawn = self._draw(self.drawings[name], needed, set(wanted))
            for row in wanted:
                mask = drawn[row]
                found[name, row] = mask if isinstance(mask, str) else Packed.of(mask)
                if not isinstance(mask, str):
                    self._kept.put((name, row), found[name, row])  # type: ignore[arg-type]
        self._last = key, found
        return found

    def _draw(
        self, drawing: Drawing, rows: Sequence[int], wanted: set[int]
    ) -> dict[int, Bool[ndarray, "h w"] | str]:
        """Masks by row; a row that fails alone does not hold up the others."""
        try:
            return dict(zip(rows, self._joined(drawing, rows, wanted), strict=True))
        except ImageError:
            pass
        out: dict[int, Bool[ndarray, "h w"] | str] = {}
        for row in wanted:
            try:
                out[row] = self._joined(drawing, [row], wanted)[0]
            except ImageError as error:
                out[row] = error.reason
        return out

    def _joined(self, drawing: Drawing, rows: Sequence[int], wanted: set[int]) -> list[Bool[ndarray, "h w"]]:
        if drawing.parts:
            first, *others = (self.source.masks(part, rows) for part in drawing.parts)
            joined = list(first)
            for other in others:
                joined = [a | b for a, b in zip(joined, other, strict=True)]
            return joined
        # Ellipses cost what they are asked for; the masks of a source come for all rows alike.
        sizes = [(self.source.size(row) or (0, 0)) if row in wanted else (0, 0) for row in rows]
        return draw_ellipses(self.source.points(rows), drawing.groups, sizes)


def redrawn(mine: ConceptImages, other: Source, name: str) -> dict[str, Drawing]:
    """How another source shows the dictionary's concepts."""
    if isinstance(other, ConceptImages):
        return {k: other.drawings.get(k, drawing) for k, drawing in mine.drawings.items()}
    out: dict[str, Drawing] = {}
    for concept, drawing in mine.drawings.items():
        if (drawing.parts and set(drawing.parts) <= set(other.parts)) or (
            drawing.groups and other.n_points == 68
        ):
            out[concept] = drawing
        elif concept in other.parts:
            out[concept] = Drawing((concept,), tells=drawing.tells)
        else:
            raise DataError(
                f"These faces cannot show where '{concept}' is: the dictionary '{name}' draws it from {drawing.how}, and they "
                "have neither these masks nor 68 landmarks. Take them from the dictionary's own 'faces'."
            )
    return out
