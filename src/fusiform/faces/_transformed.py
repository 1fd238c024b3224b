import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.faces._face_set import FaceSet
from fusiform.faces._geometry import moved, outside, warp
from fusiform.faces._sources import Progress, chunks, in_threads
from fusiform.faces._view import View

_SIDES = {"left": "right", "right": "left"}
# What each of iBUG's 68 points becomes in a mirror: jaw, brows, nose, eyes, outer and inner lips.
_MIRROR_68 = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *range(54, 47, -1),
    *range(59, 54, -1),
    *range(64, 59, -1),
    *range(67, 64, -1),
)
_MIRROR = {68: _MIRROR_68, 5: (1, 0, 2, 4, 3)}


@dataclass(frozen=True)
class _Moves:
    """How far images are moved at the most, and how far each one is."""

    rotation: float
    scale: tuple[float, float]
    shift: float
    flip: bool
    seed: int

    def matrix(self, image_id: str, size: tuple[int, int]) -> tuple[Float[ndarray, "3 3"], bool]:
        """The map of an image on its own canvas, and whether it mirrors.

        Chance hangs on the image's id alone, not on its place in a set or batch.
        """
        digest = hashlib.sha512(f"{self.seed}:{image_id}".encode()).digest()
        turn, grow, right, down, mirror = (np.frombuffer(digest, "<u8")[:5] >> 11) * 2.0**-53
        radians = math.radians(self.rotation) * (2 * turn - 1)
        low, high = self.scale
        factor = low + (high - low) * grow
        mirrored = self.flip and mirror < 0.5
        linear = factor * np.array(
            [[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]]
        )
        if mirrored:
            linear = linear @ np.diag([-1.0, 1.0])
        height, width = size
        middle = np.array([width - 1, height - 1]) / 2
        matrix = np.eye(3)
        matrix[:2, :2] = linear
        matrix[:2, 2] = (
            middle
            - linear @ middle
            + self.shift * np.array([width * (2 * right - 1), height * (2 * down - 1)])
        )
        return matrix, bool(mirrored)

    def as_dict(self) -> dict[str, Any]:
        return {"step": "transformed", **asdict(self), "scale": list(self.scale)}


class TransformedImages:
    """A view whose images are each moved by a similarity transform of its own.

    Each image is drawn from its original pixels in one step, whatever the view did to it before.

    Parameters
    ----------
    view : View
        The images.
    ids : sequence of str
        Their ids, on which chance hangs.
    moves : _Moves
        How far.
    """

    def __init__(self, view: View, ids: Sequence[str], moves: _Moves) -> None:
        self._view = view
        self._ids = list(ids)
        self._moves = moves
        self.n_points = view.source.n_points
        self.parts = view.source.parts

    def _own(self, rows: Sequence[int]) -> list[int]:
        return [self._view.rows[row] for row in rows]

    def _plan(self, row: int, found: tuple[int, int]) -> tuple[Float[ndarray, "3 3"], tuple[int, int], bool]:
        """The map from an original of this size to the canvas, the canvas' size, and whether it mirrors."""
        before, size = np.eye(3), found
        if self._view.steps:
            before, size = self._view._plan(self._view.rows[row])
        own, mirrored = self._moves.matrix(self._ids[row], size)
        return own @ before, size, mirrored

    def read(self, rows: Sequence[int]) -> list[UInt8[ndarray, "h w 3"]]:
        """RGB pixels."""
        pixels = self._view.source.read(self._own(rows))
        beyond = outside(self._view.steps)

        def draw(k: int) -> UInt8[ndarray, "h w 3"]:
            matrix, size, _ = self._plan(rows[k], pixels[k].shape[:2])
            return warp(pixels[k], matrix, size, beyond)

        return in_threads(draw, range(len(rows)))

    def size(self, row: int) -> tuple[int, int] | None:
        """Height and width, which do not change."""
        if self._view.steps:
            return self._view.size
        return self._view.source.size(self._view.rows[row])

    def points(self, rows: Sequence[int]) -> Float[ndarray, "k p 2"]:
        """Points, moved with the images; of mirrored ones, left and right are as seen."""
        found = self._view.source.points(self._own(rows)).astype(np.float64)
        for k in np.flatnonzero(np.isfinite(found).all(axis=(1, 2))).tolist():
            size = self.size(rows[k])
            if size is None:
                found[k] = np.nan
                continue
            matrix, _, mirrored = self._plan(rows[k], size)
            points = moved(found[k], matrix)
            found[k] = points[list(_MIRROR[len(points)])] if mirrored else points
        return found

    def points_known(self, rows: Sequence[int]) -> Bool[ndarray, " k"]:
        """Whether all points of each image are known."""
        return self._view.source.points_known(self._own(rows))

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a part is; in a mirrored image the left eye is the one seen on the left."""
        other = "_".join(_SIDES.get(word, word) for word in part.split("_"))
        drawn = []
        for chunk in chunks(rows):
            sides = {part: self._view.source.masks(part, self._own(chunk))}
            if self._moves.flip and other != part and other in self.parts:
                sides[other] = self._view.source.masks(other, self._own(chunk))
            for k, row in enumerate(chunk):
                matrix, size, mirrored = self._plan(row, sides[part][k].shape[:2])
                mask = sides.get(other if mirrored else part, sides[part])[k]
                drawn.append(warp(mask.astype(np.uint8) * 255, matrix, size) >= 128)
        return drawn

    def unreadable(self, rows: Sequence[int], progress: Progress | None) -> dict[int, str]:
        """Decode every image once."""
        own = dict(zip(self._own(rows), rows, strict=True))
        return {own[row]: why for row, why in self._view.source.unreadable(list(own), progress).items()}

    def fingerprints(self, rows: Sequence[int]) -> Iterator[str]:
        """What tells the originals from others, what was done before, and the moves."""
        yield from self._view.source.fingerprints(self._own(rows))
        yield str([step.as_dict() for step in self._view.steps])
        yield str(self._moves.as_dict())


def transformed(
    faces: FaceSet,
    *,
    rotation: float = 30.0,
    scale: tuple[float, float] = (0.8, 1.2),
    shift: float = 0.15,
    flip: bool = False,
    seed: int = 0,
) -> FaceSet:
    """Move every image by a random similarity transform of its own about the middle of its canvas.

    Images, landmarks and masks move together, and the canvas keeps its size. An alignment before and the
    transform are applied to the original pixels at once, so what was cut off may come back in; beyond the
    original is what the alignment put there: black, or the border continued. Which transform an image gets hangs on
    `seed` and its ``image_id`` alone, so it is the same in any batch, subset or order. The table is left as
    it is: attributes that describe the picture (a roll angle, the yaw of a mirrored face) hold before the
    transform.

    Frame the faces before (`fusiform.networks.frame_faces`): an alignment afterwards undoes the transform.

    Parameters
    ----------
    faces : FaceSet
        The faces.
    rotation : float, default 30.0
        Largest angle in degrees; uniform in [-rotation, rotation].
    scale : (float, float), default (0.8, 1.2)
        Smallest and largest factor; uniform between them.
    shift : float, default 0.15
        Largest shift along each axis, as a share of that side; uniform in [-shift, shift].
    flip : bool, default False
        Mirror half of the images, drawn at random.
    seed : int, default 0
        Of the draw.

    Returns
    -------
    FaceSet
        The moved set; its provenance, spec and digest say so.

    Raises
    ------
    DataError
        If a range cannot be.

    References
    ----------
    Diniz (2021), chapter 6.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> faces = open_faces("synthetic?n=2&size=48")
    >>> transformed(faces).size, transformed(faces).images([0]).equal(faces.images([0]))
    ((48, 48), False)
    >>> transformed(faces, rotation=0, scale=(1, 1), shift=0).images().equal(faces.images())
    True
    """
    moves = _checked(rotation, scale, shift, flip, seed)
    before = faces.provenance
    text = f"transformed(rotation={moves.rotation:g}, scale={moves.scale[0]:g}..{moves.scale[1]:g}, shift={moves.shift:g}"
    text += f", flip={moves.flip}, seed={moves.seed})"
    steps = [*before.get("transformed", []), *before.pop("geometry"), moves.as_dict()]
    source = TransformedImages(faces._view, faces.table["image_id"].tolist(), moves)
    return faces._derived(
        spec=f"{faces.spec or faces.name} {text}",
        _view=View(source, range(len(faces))),
        _provenance={**before, "transformed": steps},
    )


def _checked(rotation: float, scale: tuple[float, float], shift: float, flip: bool, seed: int) -> _Moves:
    if not 0 <= rotation <= 180:
        raise DataError(f"The largest 'rotation' must lie in [0, 180] degrees; got {rotation}.")
    low, high = scale if isinstance(scale, tuple | list) and len(scale) == 2 else (math.nan, math.nan)
    if not 0 < low <= high < math.inf:
        raise DataError(
            f"The 'scale' must be a smallest and a largest factor above 0, such as (0.8, 1.2); got {scale}."
        )
    if not 0 <= shift <= 1:
        raise DataError(f"The largest 'shift' must lie in [0, 1], as a share of the side; got {shift}.")
    return _Moves(float(rotation), (float(low), float(high)), float(shift), bool(flip), int(seed))
