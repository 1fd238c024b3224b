import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fusiform.errors import DataError, SpecError, nearest
from fusiform.faces.synthetic import _colour as colour
from fusiform.faces.synthetic import _gbuffer as gb
from fusiform.faces.synthetic import _shells as shells
from fusiform.faces.synthetic._anatomy import Face, measure
from fusiform.faces.synthetic._factors import check, rows
from fusiform.faces.synthetic._skin import BITS, PARTS, paint_head
from fusiform.faces.synthetic._surface import head_grid, head_points, neck_points
from fusiform.faces.synthetic._truth import landmark_charts

__all__ = ["PARTS", "Rendering", "render"]

_SIZES = (32, 512)
_SAMPLES = 2  # sample pixels along each side of an image pixel
_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # the samples of a pixel: row and column
_HEAD = 0  # its place among the surfaces
_THREADED_PX = 160  # from this size on threads pay


@dataclass(frozen=True)
class Rendering:
    """Images of faces and the truth about every pixel.

    Attributes
    ----------
    images : Tensor
        uint8 RGB ``(n, 3, size, size)``.
    landmarks : ndarray
        float32 ``(n, 68, 2)``: iBUG's points, x and y in pixels (centres of pixels at .5); left and right as seen.
    visible : ndarray
        bool ``(n, 68)``: whether a point is within the image and hidden by nothing.
    labels : Tensor
        uint8 ``(n, size, size)``: index in `PARTS` of the part seen nearest to the viewer in the pixel; where parts
        overlap (nose and skin) the smaller one.
    planes : Tensor
        int32 ``(n, size, size)``: bit i is set where any of the pixel's samples shows part i of `PARTS`.
    depth : Tensor
        float32 ``(n, size, size)``: distance from the camera in dm, infinite in the background.
    coordinates : Tensor
        float32 ``(n, 2, size, size)``: where on the head a pixel lies: azimuth in radians (0 in front) and chart
        height in dm (0 between the eyes, -1.2 the chin, 1.14 the crown); NaN off the head's own surface.
    """

    images: Tensor
    landmarks: np.ndarray
    visible: np.ndarray
    labels: Tensor
    planes: Tensor
    depth: Tensor
    coordinates: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def mask(self, part: str) -> Tensor:
        """Pixels in which a part is seen, before blur.

        Masks of parts may share pixels: nose, cheeks and chin lie on the skin, and a pixel on the border between
        two parts belongs to both, so that recolouring a part changes no pixel outside its mask.

        Parameters
        ----------
        part : str
            One of `PARTS`.

        Returns
        -------
        Tensor
            bool ``(n, size, size)``.

        Raises
        ------
        DataError
            For a part that the renderer does not know.
        """
        if part not in BITS:
            raise DataError(f"Synthetic faces have no part '{part}': {nearest(str(part), PARTS)}")
        return (self.planes & BITS[part]) != 0


def _build(m: Face) -> list[gb.Shell]:
    head, head_uv = head_grid(m)
    out = [gb.Shell("head", head, head_uv, closed=True)]
    neck, neck_uv = neck_points(m)
    out.append(gb.Shell("neck", neck, neck_uv, torso=True, closed=True))
    if m.hair_style not in shells.HANGING:  # which hides the ears
        for name, side in (("left_ear", -1.0), ("right_ear", 1.0)):
            out.append(gb.Shell(name, *shells.ear_grid(m, side)))
    hair = shells.hair_grid(m)
    if hair is not None:
        # The cap of the hair is closed; what hangs below it can be seen from within.
        cap = shells.hanging_rows(m)
        position, uv, keep = hair
        out.append(gb.Shell("hair", position[:, cap:], uv[:, cap:], keep[cap:], closed=True))
        if cap:
            low = slice(0, cap + 1)
            out.append(gb.Shell("hair", position[:, low], uv[:, low], keep[low]))
    hat = shells.hat_grid(m)
    if hat is not None:
        out.append(gb.Shell("hat", *hat, closed=True))
    brim = shells.brim_grid(m)
    if brim is not None:
        out.append(gb.Shell("brim", *brim))
    out.extend(gb.Shell("glasses", *tube) for tube in shells.glasses_grids(m))
    return out


def _paint(shell: gb.Shell, uv: np.ndarray, n: np.ndarray, m: Face) -> colour.Paint:
    if shell.name == "head":
        return paint_head(uv, m)
    if shell.name == "neck":
        return colour.paint_neck(uv, m, BITS["neck"], BITS["clothes"])
    if shell.name == "hair":
        return colour.paint_hair(uv, n, m, BITS["hair"])
    if shell.name in ("hat", "brim"):
        return colour.paint_hat(uv, m, BITS["hat"], brim=shell.name == "brim")
    if shell.name == "glasses":
        return colour.paint_frame(uv, m, BITS["glasses"])
    return colour.paint_ear(uv, m, BITS[shell.name])


def _facing(placed: np.ndarray, n: np.ndarray, shell: gb.Shell) -> np.ndarray:
    """Where a surface can be seen: turned to the camera, a margin for its curvature included."""
    x, y, z = placed
    turned = n[0] * -x + n[1] * -y + n[2] * (gb.DISTANCE - z) > -0.1 * gb.DISTANCE
    # Beside the face hair stands off the temple, and under its edge its inner side shows.
    return turned | (abs(shell.uv[0]) < 2.1) if shell.name == "hair" else turned


def _single(planes: np.ndarray) -> np.ndarray:
    """Bit planes to the one label of each pixel: the first in `PARTS`, which is the lowest bit set."""
    exponent: np.ndarray = np.frexp((planes & -planes).astype(np.float32))[1] - 1
    return exponent.astype(np.uint8)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    reach = max(1, int(3 * sigma + 0.5))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel: list[float] = (bell / bell.sum()).tolist()
    size = image.shape[-1]
    for dim in (1, 2):
        pad = [(0, 0), (0, 0), (0, 0)]
        pad[dim] = (reach, reach)
        wide = np.pad(image, pad, "edge")
        image = np.zeros_like(image)
        for i, weight in enumerate(kernel):
            image += weight * (wide[:, i : i + size] if dim == 1 else wide[:, :, i : i + size])
    return image


def _finish(light: np.ndarray, p: SimpleNamespace, size: int) -> np.ndarray:
    """Linear light of the samples to the image's bytes."""
    samples = light.reshape(3, size, _SAMPLES, size, _SAMPLES)
    image = (samples[:, :, 0, :, 0] + samples[:, :, 0, :, 1]) + (
        samples[:, :, 1, :, 0] + samples[:, :, 1, :, 1]
    )
    image /= _SAMPLES**2
    if p.blur > 0:
        image = _blur(image, 0.025 * size * p.blur)
    if p.greyscale:
        image = (0.2126 * image[0] + 0.7152 * image[1] + 0.0722 * image[2])[None]
    bytes_: np.ndarray = (np.sqrt(image.clip(0, 1)) * 255 + 0.5).astype(np.uint8)
    return bytes_


def _landmarks(m: Face, camera: gb.Camera, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    theta, y = landmark_charts(m)
    points = gb.project(gb.place(head_points(theta, y, m)[0], camera), camera)
    side = camera.side
    column, row = np.floor(points[:2]).astype(np.intp)
    inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
    column, row = column.clip(1, side - 2), row.clip(1, side - 2)
    # A point on a slope lies behind a neighbouring sample: the farthest of nine and a little more decide.
    around = np.add.outer((-side, 0, side), (-1, 0, 1)).ravel()
    near = depth.take(row * side + column + around[:, None]).max(0)
    visible = inside & (points[2] < near + 0.04)
    return points[:2].T / _SAMPLES, visible


def _nearest(depth: np.ndarray, size: int) -> np.ndarray:
    """Flat index of the sample nearest to the viewer in every pixel: ``(size, size)``."""
    side = size * _SAMPLES
    grid = depth.reshape(size, _SAMPLES, size, _SAMPLES)
    row, column = np.ogrid[0:side:_SAMPLES, 0:side:_SAMPLES]
    best: np.ndarray = row * side + column
    first, least = best, grid[:, 0, :, 0]
    for r, c in _CORNERS[1:]:
        here = grid[:, r, :, c]
        best = np.where(here < least, first + (r * side + c), best)
        least = np.minimum(least, here)
    return best


def _face(p: SimpleNamespace, size: int) -> tuple[np.ndarray, ...]:
    """Render one face; the unit of work, so that a face cannot depend on its batch."""
    side = size * _SAMPLES
    m = measure(p)
    camera = gb.Camera.of(p, side)
    surfaces = _build(m)
    placed = [gb.place(s.position, camera, s.torso) for s in surfaces]
    screens = [gb.project(q, camera) for q in placed]
    turned = [gb.normals(q) for q in placed]
    facings = [
        _facing(q, n, s) if s.closed else None for s, q, n in zip(surfaces, placed, turned, strict=True)
    ]
    buffer = gb.rasterize(screens, [s.keep for s in surfaces], facings, side)
    light = np.empty((3, side * side), np.float32)
    backdrop = colour.background(size, m)
    for r, c in _CORNERS:
        light.reshape(3, size, _SAMPLES, size, _SAMPLES)[:, :, r, :, c] = backdrop
    planes = np.full(side * side, BITS["background"], np.int32)
    coordinates = np.full((2, side * side), np.nan, np.float32)
    for i, (surface, pixel, at) in enumerate(zip(surfaces, buffer.pixels, buffer.at, strict=True)):
        if not len(pixel):
            continue
        n, uv = gb.fetch(at, turned[i], surface.uv)
        n /= np.maximum(gb.length(n), 1e-6)
        if surface.keep is not None or not surface.closed:
            behind = camera.away(n, pixel)  # the inner side of an open surface
            n *= np.where(behind, np.float32(-1), np.float32(1))
        paint = _paint(surface, uv, n, m)
        if surface.name == "hair":
            paint.dim[behind] *= 0.45
        for channel, values in zip(light, colour.shade(n, paint, m), strict=True):
            channel[pixel] = values
        planes[pixel] = paint.parts
        if i == _HEAD:
            coordinates[0, pixel], coordinates[1, pixel] = uv[0], uv[2]
    landmarks, visible = _landmarks(m, camera, buffer.depth)
    blocks = planes.reshape(size, _SAMPLES, size, _SAMPLES)
    any_of = blocks[:, 0, :, 0] | blocks[:, 0, :, 1] | blocks[:, 1, :, 0] | blocks[:, 1, :, 1]
    nearest_of = _nearest(buffer.depth, size)
    return (
        _finish(light, p, size), landmarks, visible, _single(planes.take(nearest_of)), any_of,
        buffer.depth.take(nearest_of), np.stack([c.take(nearest_of) for c in coordinates]),
    )  # fmt: skip


def render(parameters: pd.DataFrame, *, size: int = 112) -> Rendering:
    """Draw faces.

    Each face is drawn on its own, in operations that do not depend on the number of threads, so a row gives the same
    bytes in any batch and any order. From 160 px on, as many faces at a time as torch has threads.

    Parameters
    ----------
    parameters : DataFrame
        One row a face; columns are any of `FACTORS` (missing ones take their default), and may include
        ``identity`` and ``image_id``.
    size : int, default 112
        Height and width of the images in pixels, 32 to 512.

    Returns
    -------
    Rendering
        Images, landmarks, masks, depth and surface coordinates.

    Raises
    ------
    DataError
        For a column that is no factor, a missing value or one out of range.
    SpecError
        For a size out of range.

    Examples
    --------
    >>> faces = render(pd.DataFrame({"yaw": [0.0, 30.0], "smile": [0.9, 0.0]}), size=48)
    >>> faces.images.shape, faces.landmarks.shape, bool(faces.mask("nose").any())
    (torch.Size([2, 3, 48, 48]), (2, 68, 2), True)
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or not _SIZES[0] <= size <= _SIZES[1]:
        raise SpecError(
            f"The size of synthetic faces must be an int in [{_SIZES[0]}, {_SIZES[1]}] pixels; got {size!r}."
        )
    size = int(size)
    faces = rows(check(parameters))
    n = len(faces)
    out: tuple[np.ndarray, ...] = (
        np.empty((n, 3, size, size), np.uint8),
        np.empty((n, 68, 2), np.float32),
        np.empty((n, 68), bool),
        np.empty((n, size, size), np.uint8),
        np.empty((n, size, size), np.int32),
        np.empty((n, size, size), np.float32),
        np.empty((n, 2, size, size), np.float32),
    )

    def one(i: int) -> None:
        for store, value in zip(out, _face(faces[i], size), strict=True):
            store[i] = value

    # Of a small picture so much is spent in the interpreter that threads only wait for each other.
    threads = torch.get_num_threads() if size >= _THREADED_PX else 1
    count = max(1, min(threads, os.cpu_count() or 1, n))
    if count == 1:
        for i in range(n):
            one(i)
    else:
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(one, range(n)))
    images, landmarks, visible, *rest = out
    return Rendering(torch.from_numpy(images), landmarks, visible, *(torch.from_numpy(r) for r in rest))
