"""Maps of images carried to the canonical face and back.

The face in an image is a mesh of triangles between its 68 landmarks and places that follow from them; the canonical
face is the same mesh seen from the front. A map goes from one to the other triangle by triangle (piecewise affine).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError
from fusiform.faces._canonical_face import (
    KNOWN,
    CanonicalFace,
    barycentric,
    canonical_face,
    head_mesh,
    joined,
)

_LEAST_SEEN = 0.25  # of a place's frontal area, below which it counts as turned away
_BEHIND = 0.15  # eye distances by which a place lies behind another that hides it; landmarks are not exact
_REACH = 0.25  # eye distances over which a place follows the landmarks about it
_TOGETHER = 2**22  # pixels of images whose triangles are drawn at once


def to_canonical(
    maps: Float[Tensor, "n h w"], landmarks: Float[Tensor | ndarray, "n 68 2"], size: int = 128
) -> tuple[Float[Tensor, "n s s"], Bool[Tensor, "n s s"]]:
    """Carry maps of images to the canonical face, each triangle of the face by its own affine map.

    Values are carried, not mass: a place keeps its value however large it is seen. What the head hides of itself by
    turning away is not visible: places of which less than a quarter of the frontal area is seen, or that lie behind
    other places.

    Parameters
    ----------
    maps : tensor, shape (n, height, width)
        Attribution maps.
    landmarks : tensor or array, shape (n, 68, 2)
        iBUG's points, x and y in pixels of the maps; the centre of the top left pixel is (0, 0).
    size : int, default 128
        Side of the canonical face in pixels.

    Returns
    -------
    maps : tensor, shape (n, size, size)
        NaN where not visible. Of the type and on the device of the maps.
    visible : bool tensor, shape (n, size, size)
        Where the canonical face is seen in the image.

    Raises
    ------
    DataError
        If landmarks are not known, or do not fit the maps.
    SpecError
        If the size is no whole number from 32.

    References
    ----------
    John et al., canonical saliency maps, in section 2.4 of the survey of visualization for face networks.

    Examples
    --------
    >>> import pandas as pd
    >>> from fusiform.faces import synthetic
    >>> points = synthetic.landmarks(pd.DataFrame({"yaw": [0.0, 45.0]}), size=64)
    >>> maps, visible = to_canonical(torch.ones(2, 64, 64), points)
    >>> maps[visible].mean().item(), bool(visible[0].sum() > visible[1].sum())
    (1.0, True)
    """
    face = canonical_face(size)
    if maps.dim() != 3 or not maps.is_floating_point():
        raise DataError(
            f"Maps are a floating tensor (n, height, width); got {tuple(maps.shape)} of {maps.dtype}."
        )
    shape = (maps.shape[1], maps.shape[2])
    mesh = _image_mesh(landmarks, len(maps), maps.device)
    at = face.read(mesh.points.transpose(1, 2)).movedim(1, -1)
    limits = at.new_tensor([shape[1], shape[0]]) - 0.5
    share = face.read(mesh.facing) / face.read(head_mesh().normals[:, 2]).to(at)
    visible = (
        face.face.to(at.device)
        & (share >= _LEAST_SEEN)
        & (at >= -0.5).all(dim=-1)
        & (at <= limits).all(dim=-1)
    )
    # Only a face of which something is turned away can hide anything of itself.
    turned = (face.face.to(at.device) & (share <= 0)).any(dim=(1, 2)).nonzero()[:, 0]
    for rows in turned.split(max(1, _TOGETHER // (shape[0] * shape[1]))):
        visible[rows] &= ~_hidden(mesh.rows(rows), face, at[rows], shape)
    return torch.where(visible, _sample(maps.detach()[:, None], at)[:, 0], torch.nan), visible


def canonical_coordinates(
    landmarks: Float[Tensor | ndarray, "n 68 2"], shape: tuple[int, int], size: int = 128
) -> Float[Tensor, "n h w 2"]:
    """Say where on the canonical face each pixel of images lies.

    Parameters
    ----------
    landmarks : tensor or array, shape (n, 68, 2)
        x and y in pixels of the images.
    shape : (int, int)
        Height and width of the images.
    size : int, default 128
        Side of the canonical face in pixels.

    Returns
    -------
    float64 tensor, shape (n, height, width, 2)
        x and y in pixels of the canonical face; NaN beside the face.

    Raises
    ------
    DataError, SpecError
        As `to_canonical`.

    Examples
    --------
    >>> from fusiform.faces import canonical_landmarks
    >>> at = canonical_coordinates(canonical_landmarks(64)[None], (64, 64), 64)
    >>> [round(v, 3) for v in at[0, 40, 30].tolist()]
    [30.0, 40.0]
    """
    face = canonical_face(size)
    mesh = _image_mesh(landmarks)
    height, width = shape
    x = torch.arange(width, dtype=torch.float64, device=mesh.points.device)
    y = torch.arange(height, dtype=torch.float64, device=mesh.points.device)[:, None]
    frontal = head_mesh().normals[face.triangles, 2].sum(dim=-1).to(x)
    out = []
    for rows in torch.arange(len(mesh)).split(max(1, _TOGETHER // (height * width))):
        some = mesh.rows(rows)
        triangle, _ = _nearest(some, face.triangles, (height, width))
        share = some.facing[:, face.triangles].sum(dim=-1) / frontal
        triangle = torch.where(_of(share, triangle) >= _LEAST_SEEN, triangle, -1)
        back = face.points.to(x.device)[face.triangles].transpose(1, 2) @ barycentric(
            some.points[:, face.triangles]
        )
        coordinates = [
            _of(back[:, :, axis, 0], triangle) * x
            + _of(back[:, :, axis, 1], triangle) * y
            + _of(back[:, :, axis, 2], triangle)
            for axis in (0, 1)
        ]
        out.append(torch.where((triangle >= 0)[..., None], torch.stack(coordinates, dim=-1), torch.nan))
    return torch.cat(out) if out else x.new_empty(0, height, width, 2)


def from_canonical(
    masks: Float[Tensor, "k s s"], landmarks: Float[Tensor | ndarray, "n 68 2"], shape: tuple[int, int]
) -> Float[Tensor, "n k h w"]:
    """Carry masks on the canonical face into images.

    Parameters
    ----------
    masks : tensor, shape (k, size, size)
        Masks or maps on the canonical face.
    landmarks : tensor or array, shape (n, 68, 2)
        x and y in pixels of the images.
    shape : (int, int)
        Height and width of the images.

    Returns
    -------
    tensor, shape (n, k, height, width)
        Bilinear; 0 beside the face. Of the type of floating masks, else float32.

    Raises
    ------
    DataError, SpecError
        As `to_canonical`.

    Examples
    --------
    >>> from fusiform.faces import canonical_landmarks, canonical_parts
    >>> points = canonical_landmarks(64)[None]
    >>> mouth = canonical_parts(64)["mouth"][None]
    >>> bool(((from_canonical(mouth, points, (64, 64))[0] > 0.5) == mouth).all())
    True
    """
    if masks.dim() != 3 or masks.shape[1] != masks.shape[2]:
        raise DataError(f"Masks on the canonical face have shape (k, size, size); got {tuple(masks.shape)}.")
    at = canonical_coordinates(landmarks, shape, masks.shape[1]).to(masks.device)
    masks = masks.detach() if masks.is_floating_point() else masks.float()
    carried = _sample(masks.expand(len(at), -1, -1, -1), at.nan_to_num(0))
    return torch.where(at[..., 0].isfinite()[:, None], carried, 0)


@dataclass(frozen=True)
class _ImageMesh:
    """The mesh in each image; how much the surface at each point faces the viewer, and how near each point is."""

    points: Float[Tensor, "n p 2"]
    facing: Float[Tensor, "n p"]
    nearness: Float[Tensor, "n p"]

    def rows(self, rows: Tensor) -> "_ImageMesh":
        return _ImageMesh(self.points[rows], self.facing[rows], self.nearness[rows])

    def __len__(self) -> int:
        return len(self.points)


def _image_mesh(
    landmarks: Tensor | ndarray, n: int | None = None, device: torch.device | None = None
) -> _ImageMesh:
    points = torch.as_tensor(landmarks).detach().to(device=device, dtype=torch.float64)
    if points.dim() != 3 or points.shape[1:] != (68, 2) or (n is not None and len(points) != n):
        raise DataError(
            f"Landmarks have shape ({'n' if n is None else n}, 68, 2); got {tuple(points.shape)}."
        )
    lost = (~points.isfinite().all(dim=2).all(dim=1)).nonzero()[:, 0].tolist()
    if lost:
        raise DataError(
            f"The landmarks of image {', '.join(map(str, lost[:5]))}{' and more' if len(lost) > 5 else ''} of the batch are "
            "not known; leave it out, or find them with fusiform.networks.predict_landmarks."
        )
    head, normals = head_mesh().points.to(points), head_mesh().normals.to(points)
    known = joined(points)
    homogeneous = torch.cat([head, torch.ones_like(head[:, :1])], dim=1)
    # The affine camera under which the head comes nearest to the landmarks: it says what is turned away, and where the
    # forehead is.
    camera = torch.linalg.pinv(homogeneous[:KNOWN]) @ known
    towards = torch.linalg.cross(camera[:, :3, 0], camera[:, :3, 1])
    span = towards.norm(dim=1)
    spread = (known - known.mean(dim=1, keepdim=True)).square().sum(dim=(1, 2))
    flat = (~(span > 1e-6 * spread)).nonzero()[:, 0].tolist()
    if flat:
        raise DataError(
            f"The landmarks of image {flat[0]} of the batch lie on one line or point: there is no face to carry."
        )
    towards = towards / span[:, None]
    # Where a person differs from the mean head, so do the places between the landmarks: as the landmarks about them.
    apart = torch.cdist(head[KNOWN:], head[:KNOWN])
    near = torch.softmax(-apart.square() / (2 * _REACH**2), dim=1)
    between = homogeneous[KNOWN:] @ camera + near @ (known - homogeneous[:KNOWN] @ camera)
    return _ImageMesh(torch.cat([known, between], dim=1), towards @ normals.T, towards @ head.T)


def _of(values: Float[Tensor, "n t"], triangle: Int[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """The value of each pixel's triangle."""
    return values.gather(1, triangle.clamp_min(0).flatten(1)).view(triangle.shape)


def _nearest(
    mesh: _ImageMesh, triangles: Int[Tensor, "t 3"], shape: tuple[int, int]
) -> tuple[Int[Tensor, "n h w"], Float[Tensor, "n h w"]]:
    """The triangle seen at each pixel, -1 beside the face, and its nearness there."""
    triangle = torch.full((len(mesh), *shape), -1, device=mesh.points.device)
    nearest = torch.full(triangle.shape, -torch.inf, dtype=torch.float64, device=mesh.points.device)
    to_weights = barycentric(mesh.points[:, triangles])
    for t, corners in enumerate(triangles if len(mesh) else ()):
        drawn = mesh.points[:, corners]
        low, high = (
            drawn.amin(dim=(0, 1)).ceil().long().tolist(),
            drawn.amax(dim=(0, 1)).floor().long().tolist(),
        )
        left, right, top, bottom = (
            max(low[0], 0),
            min(high[0] + 1, shape[1]),
            max(low[1], 0),
            min(high[1] + 1, shape[0]),
        )
        if right <= left or bottom <= top:
            continue
        x = torch.arange(left, right, dtype=torch.float64, device=triangle.device)
        y = torch.arange(top, bottom, dtype=torch.float64, device=triangle.device)[:, None]
        across, down, rest = to_weights[:, t, :, :, None, None].unbind(dim=2)
        weights = across * x + down * y + rest
        near = (weights * mesh.nearness[:, corners, None, None]).sum(dim=1)
        box = (slice(None), slice(top, bottom), slice(left, right))
        wins = (weights.amin(dim=1) >= -1e-9) & (near > nearest[box])
        triangle[box] = torch.where(wins, t, triangle[box])
        nearest[box] = torch.where(wins, near, nearest[box])
    return triangle, nearest


def _hidden(
    mesh: _ImageMesh, face: CanonicalFace, at: Float[Tensor, "n s s 2"], shape: tuple[int, int]
) -> Bool[Tensor, "n s s"]:
    """Places of the canonical face behind other places; `at` is where they lie in the images."""
    column, row = at.round().long().unbind(dim=-1)
    place = row.clamp(0, shape[0] - 1) * shape[1] + column.clamp(0, shape[1] - 1)
    nearest = (
        _nearest(mesh, face.triangles, shape)[1].flatten(1).gather(1, place.flatten(1)).view(place.shape)
    )
    return nearest > face.read(mesh.nearness) + _BEHIND


def _sample(maps: Float[Tensor, "n k h w"], at: Float[Tensor, "n a b 2"]) -> Float[Tensor, "n k a b"]:
    """Maps at places in their pixels, bilinear; beyond the border as at the border."""
    size = at.new_tensor([maps.shape[3], maps.shape[2]])
    work = maps if maps.dtype in (torch.float32, torch.float64) else maps.float()
    grid = ((2 * at + 1) / size - 1).to(work)
    return F.grid_sample(work, grid, padding_mode="border", align_corners=False).to(maps.dtype)
