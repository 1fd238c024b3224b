"""What a set does not bring along itself: landmarks that were predicted, masks that somebody drew."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.faces._face_set import FaceSet
from fusiform.faces._geometry import Align, moved
from fusiform.faces._images import UnreadableImageError, decode_labels
from fusiform.faces._label_maps import LabelledImages
from fusiform.faces._sources import Progress, Source
from fusiform.faces._view import View


class WrappedSource:
    """A source that shows another's images, points and masks; what differs is overridden.

    Parameters
    ----------
    source : Source
        The other.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.n_points: int | None = source.n_points
        self.parts: tuple[str, ...] = source.parts

    def read(self, rows: Sequence[int]) -> list[UInt8[ndarray, "h w 3"]]:
        """RGB pixels."""
        return self._source.read(rows)

    def size(self, row: int) -> tuple[int, int] | None:
        """Height and width."""
        return self._source.size(row)

    def points(self, rows: Sequence[int]) -> Float[ndarray, "k p 2"]:
        """Points in pixels."""
        return self._source.points(rows)

    def points_known(self, rows: Sequence[int]) -> Bool[ndarray, " k"]:
        """Whether all points of each image are known."""
        return self._source.points_known(rows)

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a part is."""
        return self._source.masks(part, rows)

    def unreadable(self, rows: Sequence[int], progress: Progress | None) -> dict[int, str]:
        """Images that cannot be decoded."""
        return self._source.unreadable(rows, progress)

    def fingerprints(self, rows: Sequence[int]) -> Iterator[str]:
        """What tells these pixels from others."""
        return self._source.fingerprints(rows)


class _PointedImages(WrappedSource):
    """A source with points of its own, by row."""

    def __init__(self, source: Source, points: Float[ndarray, "n p 2"], rows: Sequence[int]) -> None:
        super().__init__(source)
        self.n_points = points.shape[1]
        self._points = points
        self._place = {row: i for i, row in enumerate(rows)}

    def points(self, rows: Sequence[int]) -> Float[ndarray, "k p 2"]:
        """Points in pixels."""
        return self._points[[self._place[row] for row in rows]]

    def points_known(self, rows: Sequence[int]) -> Bool[ndarray, " k"]:
        """Whether all points are known."""
        return np.isfinite(self.points(rows)).all(axis=(1, 2))

    def fingerprints(self, rows: Sequence[int]) -> Iterator[str]:
        """The images' fingerprints and the points."""
        yield from self._source.fingerprints(rows)
        yield self.points(rows).tobytes().hex()


def with_points(faces: FaceSet, points: Float[ndarray, "n p 2"]) -> FaceSet:
    """Give a set landmarks, or replace those that it has.

    Parameters
    ----------
    faces : FaceSet
        The set, not yet aligned: an alignment follows from the landmarks.
    points : array, shape (n, 68, 2) or (n, 5, 2)
        x and y in pixels of the images as the set shows them, in the order of iBUG or of `FaceSet.keypoints`; left and
        right as seen in the image. NaN where unknown.

    Returns
    -------
    FaceSet
        The set with these points; its digest differs.

    Raises
    ------
    DataError
        If the points are not as many as the images, or the set is aligned.

    Examples
    --------
    >>> faces = FaceSet.from_arrays(np.zeros((1, 3, 8, 8), dtype=np.uint8))
    >>> with_points(faces, np.ones((1, 68, 2))).n_landmarks
    68
    """
    points = np.array(points, dtype=np.float64)
    if points.shape not in ((len(faces), 68, 2), (len(faces), 5, 2)):
        raise DataError(f"Points must have shape ({len(faces)}, 68 or 5, 2); got {points.shape}.")
    view = faces._view
    if any(isinstance(step, Align) for step in view.steps):
        raise DataError(
            f"The faces '{faces.name}' are aligned by the landmarks that they have; give other landmarks to the set before "
            "it is aligned."
        )
    if view.steps:
        for i, row in enumerate(view.rows):
            points[i] = moved(points[i], np.linalg.inv(view._plan(row)[0]))
    return faces._derived(_view=View(_PointedImages(view.source, points, view.rows), view.rows, view.steps))


def with_masks(
    faces: FaceSet, files: Sequence[str | Path | None], classes: Mapping[str, Sequence[int]]
) -> FaceSet:
    """Give a set masks that lie in pictures of class numbers.

    Parameters
    ----------
    faces : FaceSet
        The set.
    files : sequence of path or None, length n
        One picture an image, grey or with a palette, whose pixels are class numbers; brought to the image's size by
        nearest neighbours. None where nobody drew one: asking for the masks of such an image raises `ImageError`.
    classes : mapping of str to sequence of int
        Class numbers of each part, ``{"nose": [4], "mouth": [5], "skin": [1, 4, 5]}``.

    Returns
    -------
    FaceSet
        The set; its `parts` are those of `classes`.

    Raises
    ------
    DataError
        If the files are not as many as the images, or no class is named.

    Examples
    --------
    >>> faces = FaceSet.from_arrays(np.zeros((1, 3, 8, 8), dtype=np.uint8))
    >>> with_masks(faces, [None], {"nose": [4]}).parts
    ('nose',)
    """
    if len(files) != len(faces):
        raise DataError(
            f"Each image needs its mask's file, or None; got {len(files)} for {len(faces)} images."
        )
    if not classes or not all(len(numbers) for numbers in classes.values()):
        raise DataError(f"Each part needs class numbers, as in {{'nose': [4]}}; got {dict(classes)}.")
    view = faces._view
    at = {row: None if file is None else Path(file) for row, file in zip(view.rows, files, strict=True)}
    names = dict(zip(view.rows, faces.table["image_id"].astype(str), strict=True))

    def read(row: int) -> UInt8[ndarray, "h w"]:
        file = at.get(row)
        if file is None:
            raise UnreadableImageError("none was given")
        try:
            return decode_labels(file.read_bytes())
        except OSError as error:
            raise UnreadableImageError(f"'{file}': {error.strerror}") from error

    ids = [names.get(row, str(row)) for row in range(max(view.rows, default=-1) + 1)]
    return faces._derived(_view=View(LabelledImages(view.source, classes, read, ids), view.rows, view.steps))
