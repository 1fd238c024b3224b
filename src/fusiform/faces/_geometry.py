from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image

from fusiform.errors import DataError
from fusiform.faces._templates import Template

# iBUG's 68 points: six around each eye, the nose tip, the mouth corners; sides as seen in the image.
_LEFT_EYE, _RIGHT_EYE, _NOSE_TIP, _MOUTH_LEFT, _MOUTH_RIGHT = slice(36, 42), slice(42, 48), 30, 48, 54

# The picture is first reduced, with a filter as wide as the pixels it merges, to this many pixels per pixel of the
# canvas; the bilinear step after it then neither skips pixels nor blurs (least error against 8 x 8 supersampling).
_DENSITY = 1.6


@dataclass(frozen=True)
class Align:
    """Similarity transform from the five points to a template."""

    template: Template

    def as_dict(self) -> dict[str, Any]:
        """The step as plain JSON values."""
        return {
            "step": "aligned",
            "template": self.template.name,
            "size": list(self.template.size),
            "points": [list(point) for point in self.template.points],
            "outside": self.template.outside,
        }


@dataclass(frozen=True)
class Resize:
    """Scaling of the whole canvas to a size (height, width)."""

    size: tuple[int, int]

    def as_dict(self) -> dict[str, Any]:
        """The step as plain JSON values."""
        return {"step": "resized", "size": list(self.size)}


Step = Align | Resize


def five_points(points: Float[ndarray, "... p 2"]) -> Float[ndarray, "... 5 2"]:
    """Five points of 68: eye centres (means of six points), nose tip, mouth corners; five stay as they are."""
    if points.shape[-2] == 5:
        return points
    return np.stack(
        [
            points[..., _LEFT_EYE, :].mean(axis=-2),
            points[..., _RIGHT_EYE, :].mean(axis=-2),
            points[..., _NOSE_TIP, :],
            points[..., _MOUTH_LEFT, :],
            points[..., _MOUTH_RIGHT, :],
        ],
        axis=-2,
    )


def moved(points: Float[ndarray, "p 2"], matrix: Float[ndarray, "3 3"]) -> Float[ndarray, "p 2"]:
    """Points after an affine map."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def similarity(points: Float[ndarray, "5 2"], template: Template) -> Float[ndarray, "3 3"]:
    """The least-squares similarity transform (Umeyama 1991, IEEE TPAMI 13(4)) from points to a template."""
    from skimage.transform import SimilarityTransform

    estimate = SimilarityTransform.from_estimate(points, template.array())
    if not estimate or not np.isfinite(estimate.params).all():
        raise DataError("Five different points are needed for an alignment; these coincide.")
    return np.asarray(estimate.params, dtype=np.float64)


def resizing(source: tuple[int, int], target: tuple[int, int]) -> Float[ndarray, "3 3"]:
    """The map of pixel coordinates when a canvas (height, width) is scaled to another."""
    sy, sx = target[0] / source[0], target[1] / source[1]
    # The corner of the canvas, at (-1/2, -1/2), is what stays where it is.
    return np.array([[sx, 0.0, (sx - 1) / 2], [0.0, sy, (sy - 1) / 2], [0.0, 0.0, 1.0]])


def plan(
    steps: tuple[Step, ...], size: tuple[int, int], points: Float[ndarray, "5 2"] | None
) -> tuple[Float[ndarray, "3 3"], tuple[int, int]]:
    """All steps as one map from an image's pixels to the final canvas, and that canvas' height and width."""
    matrix = np.eye(3)
    for step in steps:
        if isinstance(step, Align):
            if points is None:
                raise DataError("An alignment needs five points.")
            matrix = similarity(moved(points, matrix), step.template) @ matrix
            size = step.template.size
        else:
            matrix = resizing(size, step.size) @ matrix
            size = step.size
    return matrix, size


def outside(steps: tuple[Step, ...]) -> Literal["black", "edge"]:
    """What lies beyond the original, as the last template says."""
    return next((step.template.outside for step in reversed(steps) if isinstance(step, Align)), "black")


def warp(
    image: UInt8[ndarray, "h w *c"],
    matrix: Float[ndarray, "3 3"],
    size: tuple[int, int],
    outside: Literal["black", "edge"] = "black",
) -> UInt8[ndarray, "h2 w2 *c"]:
    """Draw an image on a canvas through an affine map from its pixels to the canvas' pixels.

    Where the map shrinks, the picture is first reduced with an antialiasing filter; then bilinear
    interpolation. Beyond the picture is black, or its border continued.
    """
    height, width = image.shape[:2]
    if np.abs(matrix - resizing((height, width), size)).max() < 1e-9:
        if size == (height, width):
            return image
        return np.array(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))

    # In corner coordinates, as PIL counts, the centre of the first pixel is at (1/2, 1/2).
    half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    forward = half @ matrix @ np.linalg.inv(half)
    back = np.linalg.inv(forward)

    corners = np.array([[0, 0], [size[1], 0], [0, size[0]], [size[1], size[0]]], dtype=np.float64)
    seen = moved(corners, back)
    scale_x, scale_y = float(np.linalg.norm(forward[:2, 0])), float(np.linalg.norm(forward[:2, 1]))
    margin_x, margin_y = 2 + 4 / min(1.0, scale_x), 2 + 4 / min(1.0, scale_y)
    reduce_x, reduce_y = min(1.0, _DENSITY * scale_x), min(1.0, _DENSITY * scale_y)
    left = int(np.clip(np.floor(seen[:, 0].min() - margin_x), 0, width))
    right = int(np.clip(np.ceil(seen[:, 0].max() + margin_x), 0, width))
    top = int(np.clip(np.floor(seen[:, 1].min() - margin_y), 0, height))
    bottom = int(np.clip(np.ceil(seen[:, 1].max() + margin_y), 0, height))
    if right <= left or bottom <= top:
        return np.zeros((*size, *image.shape[2:]), dtype=np.uint8)

    picture = Image.fromarray(image)
    if (left, top, right, bottom) != (0, 0, width, height):
        picture = picture.crop((left, top, right, bottom))
    shrunk_w, shrunk_h = max(1, round((right - left) * reduce_x)), max(1, round((bottom - top) * reduce_y))
    if (shrunk_w, shrunk_h) != picture.size:
        picture = picture.resize((shrunk_w, shrunk_h), Image.Resampling.BILINEAR)
    shrink_x, shrink_y = shrunk_w / (right - left), shrunk_h / (bottom - top)
    to_picture = (
        np.array([[shrink_x, 0, -left * shrink_x], [0, shrink_y, -top * shrink_y], [0, 0, 1.0]]) @ back
    )
    if outside == "edge":
        picture, to_picture = _continued(picture, to_picture, moved(corners, to_picture))
    return np.array(
        picture.transform(
            (size[1], size[0]),
            Image.Transform.AFFINE,
            tuple(to_picture[:2].ravel()),
            Image.Resampling.BILINEAR,
            fillcolor=0,
        )
    )


def _continued(
    picture: Image.Image, to_picture: Float[ndarray, "3 3"], seen: Float[ndarray, "4 2"]
) -> tuple[Image.Image, Float[ndarray, "3 3"]]:
    """The picture with its border continued as far as the canvas sees, and the map to it."""
    first = np.maximum(0, np.ceil(-seen.min(axis=0))).astype(int)
    last = np.maximum(0, np.ceil(seen.max(axis=0) - np.array(picture.size))).astype(int)
    if not first.any() and not last.any():
        return picture, to_picture
    pixels = np.asarray(picture)
    pads = [(first[1], last[1]), (first[0], last[0])] + [(0, 0)] * (pixels.ndim - 2)
    shift = np.array([[1.0, 0, first[0]], [0, 1.0, first[1]], [0, 0, 1.0]])
    return Image.fromarray(np.pad(pixels, pads, mode="edge")), shift @ to_picture
