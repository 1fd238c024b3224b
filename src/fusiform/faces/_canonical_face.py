"""The canonical face: a neutral frontal face, onto which maps of all images are brought."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fusiform.errors import SpecError
from fusiform.faces.dictionary._concepts import ConceptTable
from fusiform.faces.dictionary._ellipses import draw_ellipses
from fusiform.faces.dictionary._points import landmark_groups

# The mean head of 1,771 synthetic people from 18 years on, without expression, made symmetric: iBUG's 68 points, then
# places between them: eight along the hairline, four of the forehead, thirteen of cheeks, chin and temples. In eye
# distances from the middle between the eyes: to the right, down, towards the viewer.
_HEAD = (
    (-1.118, 0.010, -1.146), (-1.101, 0.326, -1.086), (-1.040, 0.674, -0.983), (-0.940, 1.005, -0.797),
    (-0.796, 1.289, -0.584), (-0.637, 1.510, -0.357), (-0.444, 1.683, -0.178), (-0.202, 1.808, -0.095),
    (0.000, 1.874, -0.142), (0.202, 1.808, -0.095), (0.444, 1.683, -0.178), (0.637, 1.510, -0.357),
    (0.796, 1.289, -0.584), (0.940, 1.005, -0.797), (1.040, 0.674, -0.983), (1.101, 0.326, -1.086),
    (1.118, 0.010, -1.146), (-0.778, -0.321, -0.095), (-0.657, -0.340, 0.042), (-0.508, -0.342, 0.148),
    (-0.357, -0.316, 0.206), (-0.231, -0.271, 0.234), (0.231, -0.271, 0.234), (0.357, -0.316, 0.206),
    (0.508, -0.342, 0.148), (0.657, -0.340, 0.042), (0.778, -0.321, -0.095), (0.000, -0.021, 0.296),
    (0.000, 0.184, 0.400), (0.000, 0.389, 0.524), (0.000, 0.594, 0.668), (-0.203, 0.730, 0.389),
    (-0.108, 0.769, 0.344), (0.000, 0.801, 0.285), (0.108, 0.769, 0.344), (0.203, 0.730, 0.389),
    (-0.743, 0.002, -0.104), (-0.593, -0.079, 0.015), (-0.408, -0.081, 0.088), (-0.256, 0.018, 0.140),
    (-0.408, 0.068, 0.111), (-0.593, 0.072, 0.034), (0.256, 0.018, 0.140), (0.408, -0.081, 0.088),
    (0.593, -0.079, 0.015), (0.743, 0.002, -0.104), (0.593, 0.072, 0.034), (0.408, 0.068, 0.111),
    (-0.395, 1.129, 0.169), (-0.245, 1.059, 0.271), (-0.099, 1.030, 0.302), (0.000, 1.038, 0.313),
    (0.099, 1.030, 0.302), (0.245, 1.059, 0.271), (0.395, 1.129, 0.169), (0.245, 1.209, 0.240),
    (0.118, 1.243, 0.264), (0.000, 1.239, 0.275), (-0.118, 1.243, 0.264), (-0.245, 1.209, 0.240),
    (-0.340, 1.127, 0.216), (-0.142, 1.129, 0.294), (0.000, 1.117, 0.314), (0.142, 1.129, 0.294),
    (0.340, 1.127, 0.216), (0.142, 1.129, 0.294), (0.000, 1.117, 0.314), (-0.142, 1.129, 0.294),
    (-1.076, -0.511, -0.867), (-0.968, -0.875, -0.623), (-0.652, -1.127, -0.261), (-0.234, -1.254, -0.116),
    (0.234, -1.254, -0.116), (0.652, -1.127, -0.261), (0.968, -0.875, -0.623), (1.076, -0.511, -0.867),
    (-0.774, -0.717, -0.141), (-0.283, -0.748, 0.177), (0.283, -0.748, 0.177), (0.774, -0.717, -0.141),
    (-0.643, 0.389, 0.072), (0.643, 0.389, 0.072), (-0.934, 0.326, -0.340), (0.934, 0.326, -0.340),
    (-0.643, 0.832, -0.025), (0.643, 0.832, -0.025), (-0.871, 0.879, -0.361), (0.871, 0.879, -0.361),
    (-0.353, 1.368, 0.110), (0.353, 1.368, 0.110), (0.000, 1.573, 0.213), (-1.037, -0.148, -0.666),
    (1.037, -0.148, -0.666),
)  # fmt: skip
_SIDE, _MIDDLE = 3.3, 0.31  # of the square about the face, in eye distances
# A closed mouth has no inside: upper and lower inner lip are one point of the mesh, halfway between them.
_INNER_LIPS = ((61, 67), (62, 66), (63, 65))
_LEAST_SIZE = 32
KNOWN = 65  # points of the mesh that come from landmarks


@dataclass(frozen=True)
class CanonicalFace:
    """The canonical face at one size: a mesh of triangles in a square about a neutral frontal face.

    Attributes
    ----------
    size : int
        Side in pixels.
    points : float64 tensor, shape (90, 2)
        The mesh's points, x and y in pixels; the centre of the top left pixel is (0, 0).
    triangles : int tensor, shape (t, 3)
        Which points each triangle joins.
    triangle : int tensor, shape (size, size)
        The triangle in which a pixel lies, -1 beside the face.
    weights : float64 tensor, shape (size, size, 3)
        The pixel's barycentric coordinates in it.
    """

    size: int
    points: Float[Tensor, "p 2"]
    triangles: Int[Tensor, "t 3"]
    triangle: Int[Tensor, "s s"]
    weights: Float[Tensor, "s s 3"]

    @property
    def face(self) -> Bool[Tensor, "s s"]:
        """Pixels of the face."""
        return self.triangle >= 0

    def read(self, values: Float[Tensor, "*n p"]) -> Float[Tensor, "*n s s"]:
        """Interpolate values of the mesh's points at every pixel.

        Parameters
        ----------
        values : tensor, shape (..., 90)
            One value a point.

        Returns
        -------
        tensor, shape (..., size, size)
            Linear in each triangle; without meaning beside the face.

        Examples
        --------
        >>> face = canonical_face(64)
        >>> round(face.read(face.points[:, 0])[40, 30].item(), 6)
        30.0
        """
        corners = self.triangles[self.triangle.clamp_min(0)].to(values.device)
        return (values[..., corners] * self.weights.to(values)).sum(dim=-1)


@lru_cache(maxsize=8)
def canonical_face(size: int = 128) -> CanonicalFace:
    """Return the canonical face at a size.

    Parameters
    ----------
    size : int, default 128
        Side of the square in pixels, at least 32.

    Returns
    -------
    CanonicalFace
        Its mesh, and where each pixel lies in it.

    Raises
    ------
    SpecError
        If the size is no whole number from 32.

    Examples
    --------
    >>> face = canonical_face(64)
    >>> bool(0.5 < face.face.float().mean() < 0.6)
    True
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < _LEAST_SIZE:
        raise SpecError(
            f"The side of the canonical face is a whole number of pixels from {_LEAST_SIZE}; got {size!r}."
        )
    points, triangles = _in_pixels(head_mesh().points, int(size)), head_mesh().triangles
    at = torch.arange(size, dtype=torch.float64)
    x, y = at.expand(size, size), at[:, None].expand(size, size)
    places = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    weights = torch.einsum("tij,yxj->tyxi", barycentric(points[triangles]), places)
    inside, triangle = weights.amin(dim=-1).max(dim=0)
    weights = weights.gather(0, triangle[None, ..., None].expand(1, size, size, 3))[0]
    return CanonicalFace(int(size), points, triangles, torch.where(inside >= -1e-9, triangle, -1), weights)


def canonical_landmarks(size: int = 128) -> Float[Tensor, "68 2"]:
    """Return the 68 landmarks of the canonical face.

    Parameters
    ----------
    size : int, default 128
        Side of the canonical face in pixels.

    Returns
    -------
    float64 tensor, shape (68, 2)
        x and y in pixels.

    Raises
    ------
    SpecError
        As `canonical_face`.

    Examples
    --------
    >>> bool(canonical_landmarks()[36, 0] < canonical_landmarks()[45, 0])
    True
    """
    return _in_pixels(torch.tensor(_HEAD, dtype=torch.float64)[:68], canonical_face(size).size)


def canonical_parts(size: int = 128) -> dict[str, Bool[Tensor, "s s"]]:
    """Share out the canonical face among its parts: each pixel of the face belongs to one.

    Brows, eyes, nose and mouth are the ellipses of the Face Dictionary; the rest is forehead above the brows, nose
    between the eyes, mouth from the nose to the lower lip, chin below it, and cheeks.

    Parameters
    ----------
    size : int, default 128
        Side of the canonical face in pixels.

    Returns
    -------
    dict of str to bool tensor, shape (size, size)
        ``forehead``, ``left_brow``, ``right_brow``, ``left_eye``, ``right_eye``, ``left_cheek``, ``right_cheek``, ``nose``,
        ``mouth``, ``chin``; left and right as seen in the image.

    Raises
    ------
    SpecError
        As `canonical_face`.

    Examples
    --------
    >>> parts = canonical_parts(64)
    >>> bool((sum(mask.int() for mask in parts.values()) == canonical_face(64).face.int()).all())
    True
    """
    size = canonical_face(size).size
    points = canonical_landmarks(size).numpy()
    x, y = np.arange(size), np.arange(size)[:, None]
    centre, lip = points[8, 0], points[57, 1]
    below_nose = y > points[33, 1]
    rest = {
        "forehead": y < np.interp(x, points[17:27, 0], points[17:27, 1]),
        "nose": ~below_nose & (np.abs(x - centre) <= (points[35, 0] - points[31, 0]) / 2),
        "mouth": below_nose & (y <= lip) & (np.abs(x - centre) <= (points[54, 0] - points[48, 0]) / 2),
        "chin": (y > lip) & (np.abs(x - centre) <= (points[11, 0] - points[5, 0]) / 2),
        "left_cheek": (x < centre) & (y >= 0),
        "right_cheek": (x >= centre) & (y >= 0),
    }
    drawn = {c.name: c for c in ConceptTable.published().local if c.kind == "part" and "cheek" not in c.name}
    left = canonical_face(size).face.numpy().copy()
    found = {}
    for name, concept in drawn.items():
        groups = landmark_groups(concept.landmarks, name)
        found[name] = draw_ellipses(points[None], groups, [(size, size)])[0] & left
        left &= ~found[name]
    for name, region in rest.items():
        found[name] = found.get(name, False) | (region & left)
        left = left & ~region
    return {name: torch.from_numpy(found[name]) for name in PARTS}


PARTS = ("forehead", "left_brow", "right_brow", "left_eye", "right_eye", "left_cheek", "right_cheek", "nose", "mouth", "chin")  # fmt: skip


@dataclass(frozen=True)
class Head:
    """The head in three dimensions: points, the surface's directions there, triangles as seen from the front."""

    points: Float[Tensor, "p 3"]
    normals: Float[Tensor, "p 3"]
    triangles: Int[Tensor, "t 3"]


@lru_cache(maxsize=1)
def head_mesh() -> Head:
    """The mean head."""
    from scipy.spatial import Delaunay

    points = joined(torch.tensor(_HEAD, dtype=torch.float64))
    triangles = torch.from_numpy(Delaunay(points[:, :2].numpy()).simplices).long()
    a, b, c = points[triangles].unbind(dim=1)
    across = torch.linalg.cross(b - a, c - a)
    across = across * across[:, 2:].sign()
    normals = torch.zeros_like(points).index_add_(0, triangles.flatten(), across.repeat_interleave(3, dim=0))
    return Head(points, normals / normals.norm(dim=1, keepdim=True), triangles)


def joined(landmarks: Float[Tensor, "*n q d"]) -> Float[Tensor, "*n p d"]:
    """Points of the mesh from 68 points, those of the inner lips joined; what comes after the 68 stays."""
    inner = [(landmarks[..., a, :] + landmarks[..., b, :]) / 2 for a, b in _INNER_LIPS]
    parts = [
        landmarks[..., :61, :],
        landmarks[..., 64:65, :],
        torch.stack(inner, dim=-2),
        landmarks[..., 68:, :],
    ]
    return torch.cat(parts, dim=-2)


def barycentric(corners: Float[Tensor, "*b 3 2"]) -> Float[Tensor, "*b 3 3"]:
    """Matrices from (x, y, 1) to the weights of a triangle's corners; not finite for one without area."""
    x, y = corners.unbind(dim=-1)
    x1, x2, y1, y2 = x.roll(-1, -1), x.roll(-2, -1), y.roll(-1, -1), y.roll(-2, -1)
    rows = torch.stack([y1 - y2, x2 - x1, x1 * y2 - x2 * y1], dim=-1)
    return rows / rows[..., 2].sum(dim=-1)[..., None, None]


def _in_pixels(head: Tensor, size: int) -> Tensor:
    return ((head[:, :2] - head.new_tensor([0, _MIDDLE])) / _SIDE + 0.5) * size - 0.5
