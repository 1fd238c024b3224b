"""Projection and the z-buffer: shells on coarse grids in, the visible surface point of every sample pixel out.

A shell's coarse grid is projected, then resampled row by row and column by column so finely that neighbours fall
at most about a pixel apart, and scattered into the buffer. A sample's key holds its depth in the high 32 bits, then
4 bits for its shell and 28 for its number within it, so one integer minimum per pixel keeps the nearest and says
which it was, whatever the order.

Arrays are NumPy's: half of the work is operations so small that the call is the cost, and NumPy's calls are several
times cheaper than torch's.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

__all__ = [
    "Camera",
    "GBuffer",
    "Shell",
    "fetch",
    "fill_holes",
    "key_depth",
    "length",
    "normals",
    "place",
    "project",
    "rasterize",
    "samples",
]

_EMPTY = np.iinfo(np.int64).max
_NUMBER_BITS, _NO_SHELL = 28, 15  # of a key's low half; an empty place has all of its shell's bits set
_SPAN = 3.05  # dm that the image is high at the head's middle
DISTANCE = 11.0  # dm from the camera to the head's middle
_PIVOT = (0.0, -0.75, -0.12)  # about which the head turns
_LOOK_Y = -0.13
_DENSITY = 0.85  # parts per sample pixel; the single gaps that this leaves are filled
_NEAR = 0.015  # dm; steeper than that within one sample is a gap, not a slope

Matrix = list[list[float]]


@dataclass(frozen=True)
class Shell:
    """A surface on a coarse grid.

    Parameters
    ----------
    name : str
        What it is: "head", "hair", ...
    position : ndarray
        Points in the head's frame, ``(3, rows, columns)``, dm; rows run so that rows x columns points outward.
    uv : ndarray
        Surface coordinates and whatever else colours need, ``(k, rows, columns)``.
    keep : ndarray, optional
        The surface exists where this is positive, ``(rows, columns)``.
    torso : bool, default False
        Whether it turns with the body rather than with the head.
    closed : bool, default False
        Whether its inner side is never seen.
    """

    name: str
    position: np.ndarray
    uv: np.ndarray
    keep: np.ndarray | None = None
    torso: bool = False
    closed: bool = False


@dataclass(frozen=True)
class Camera:
    """Pose and projection of one face onto a buffer of ``side`` x ``side`` samples."""

    side: int
    head: Matrix
    torso: Matrix
    shift: tuple[float, float]
    zoom: float

    @staticmethod
    def of(p: object, side: int) -> "Camera":
        """Camera from the factors yaw, pitch, roll, shift and zoom."""
        yaw, pitch, roll, zoom = (float(getattr(p, k)) for k in ("yaw", "pitch", "roll", "zoom"))
        shift = (float(getattr(p, "shift_x")) * side, float(getattr(p, "shift_y")) * side)  # noqa: B009
        return Camera(side, _rotation(yaw, pitch, roll), _rotation(0.4 * yaw, 0.0, 0.25 * roll), shift, zoom)

    @property
    def focal(self) -> float:
        """Samples per unit of x / depth."""
        return self.side / _SPAN * DISTANCE * self.zoom

    def away(self, n: np.ndarray, pixel: np.ndarray) -> np.ndarray:
        """Whether normals (3, m) seen at flat pixels (m,) point away from the camera."""
        row, column = np.divmod(pixel.astype(np.int32), np.int32(self.side))
        x = (column.astype(np.float32) + (0.5 - self.side / 2 - self.shift[0])) / self.focal
        y = -(row.astype(np.float32) + (0.5 - self.side / 2 - self.shift[1])) / self.focal
        return n[2] < n[0] * x + n[1] * y


def _rotation(yaw: float, pitch: float, roll: float) -> Matrix:
    y, x, z = math.radians(yaw), -math.radians(pitch), -math.radians(roll)
    turn = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    nod = np.array([[1, 0, 0], [0, math.cos(x), -math.sin(x)], [0, math.sin(x), math.cos(x)]])
    tilt = np.array([[math.cos(z), -math.sin(z), 0], [math.sin(z), math.cos(z), 0], [0, 0, 1]])
    matrix: Matrix = (tilt @ nod @ turn).tolist()
    return matrix


def place(position: np.ndarray, camera: Camera, torso: bool = False) -> np.ndarray:
    """Points of the head's frame turned into the camera's: (3, ...) -> (3, ...)."""
    x, y, z = (position[i] - _PIVOT[i] for i in range(3))
    out = np.empty_like(position)
    # Written out: a matrix product may sum in another order in another batch.
    for row, (a, b, c), pivot in zip(out, camera.torso if torso else camera.head, _PIVOT, strict=True):
        np.multiply(x, a, row)
        row += y * b
        row += z * c
        row += pivot
    return out


def project(placed: np.ndarray, camera: Camera) -> np.ndarray:
    """Camera frame to buffer coordinates (x, y in samples, pixel centres at .5; depth in dm): (3, ...) -> (3, ...)."""
    out = np.empty_like(placed)
    depth = np.subtract(DISTANCE, placed[2], out[2])
    scale = camera.focal / depth
    np.multiply(placed[0], scale, out[0])
    np.multiply(_LOOK_Y - placed[1], scale, out[1])
    out[0] += camera.side / 2 + camera.shift[0]
    out[1] += camera.side / 2 + camera.shift[1]
    return out


def normals(placed: np.ndarray) -> np.ndarray:
    """Unit normals of a grid of points by central differences: (3, rows, columns)."""
    ax, ay, az = _difference(placed.swapaxes(1, 2)).swapaxes(1, 2)
    bx, by, bz = _difference(placed)
    n = np.empty_like(placed)
    n[0] = ay * bz - az * by
    n[1] = az * bx - ax * bz
    n[2] = ax * by - ay * bx
    n /= np.maximum(length(n), 1e-9)
    return n


def length(v: np.ndarray) -> np.ndarray:
    """Euclidean length of vectors (3, ...)."""
    return np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])


def _difference(grid: np.ndarray) -> np.ndarray:
    """Central differences (twice the one-sided ones at the ends) over the middle axis."""
    out = np.empty_like(grid)
    np.subtract(grid[:, 2:], grid[:, :-2], out[:, 1:-1])
    out[:, 0] = 2 * (grid[:, 1] - grid[:, 0])
    out[:, -1] = 2 * (grid[:, -1] - grid[:, -2])
    return out


def _positions(steps: np.ndarray) -> np.ndarray:
    """Fractional grid positions so that every interval is cut into as many parts as its step (samples) asks for."""
    parts = np.ceil(steps * _DENSITY).clip(0, 256).astype(np.intp)
    starts = np.repeat(np.arange(len(parts)), parts)
    within = np.arange(len(starts)) - np.repeat(np.cumsum(parts) - parts, parts)
    fine: np.ndarray = (starts + (within + 0.5) / np.repeat(parts, parts)).astype(np.float32)
    return fine


def _split(at: np.ndarray, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Fractional positions as the index of the interval (at most ``last``) and the share of it."""
    i = np.minimum(at.astype(np.intp), last)
    return i, at - i.astype(np.float32)


def _flat_steps(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a grid (rows, columns) flat, and how far it is from each of its values to the next."""
    flat = np.ascontiguousarray(grid).reshape(-1)
    step = np.zeros_like(flat)
    np.subtract(flat[1:], flat[:-1], step[:-1])
    return flat, step


def samples(
    screen: np.ndarray, keep: np.ndarray | None, facing: np.ndarray | None, side: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Samples of one projected shell that fall on the buffer.

    Parameters
    ----------
    screen : ndarray
        ``(3, rows, columns)`` from `project`.
    keep : ndarray, optional
        ``(rows, columns)``, positive where the surface exists.
    facing : ndarray, optional
        ``(rows, columns)`` bool, False where the back of a closed surface is turned to the camera; rows and columns
        of which nothing faces it are left out.
    side : int
        Buffer size.

    Returns
    -------
    tuple of ndarray
        Fractional rows ``(a,)`` and columns ``(b,)`` of the fine grid; then for its points on the buffer at which the
        surface exists their number (row by row) in it, flat pixel and depth, each ``(m,)``.
    """
    x, y = screen[:2].clip(-2, side + 2)  # nothing off the picture needs to be dense
    down = np.square(x[1:] - x[:-1]) + np.square(y[1:] - y[:-1])
    right = np.square(x[:, 1:] - x[:, :-1]) + np.square(y[:, 1:] - y[:, :-1])
    needed = facing
    if keep is not None:
        needed = keep > 0 if needed is None else needed & (keep > 0)
    if needed is not None:
        down *= needed[1:] | needed[:-1]
        right *= needed[:, 1:] | needed[:, :-1]
    rows, columns = _positions(np.sqrt(down.max(1))), _positions(np.sqrt(right.max(0)))
    height, width = screen.shape[1:]
    i, down_share = _split(rows, height - 2)
    j, right_share = _split(columns, width - 2)
    at = (np.arange(height) * width)[:, None] + j  # one axis of places: takes along a second axis are slow

    def fine(grid: np.ndarray) -> np.ndarray:
        flat, step = _flat_steps(grid)
        wide = step.take(at)
        wide *= right_share
        wide += flat.take(at)
        out = (wide[1:] - wide[:-1]).take(i, 0)
        out *= down_share[:, None]
        out += wide.take(i, 0)
        return out.reshape(-1)

    x, y = fine(screen[0]), fine(screen[1])
    inside = x >= 0
    for within in (x < side, y >= 0, y < side):
        inside &= within
    if keep is not None:
        inside &= fine(keep) > 0
    number = inside.nonzero()[0]
    # Positive, so that cutting off the fraction rounds down.
    pixel = y.take(number).astype(np.intp) * side + x.take(number).astype(np.intp)
    return rows, columns, number, pixel, fine(screen[2]).take(number)


@dataclass(frozen=True)
class GBuffer:
    """What the z-buffer kept: for every shell the sample pixels where it is seen, and where on its grid.

    Attributes
    ----------
    key : ndarray
        ``(side * side,)`` int64: depth, shell and number of the sample; `_EMPTY` where nothing is.
    depth : ndarray
        ``(side * side,)`` float32, dm; infinite where nothing is.
    shell : ndarray
        ``(side * side,)`` int8, index of the shell seen, 15 for none.
    pixels : list of ndarray
        Per shell the flat pixels ``(m,)``.
    at : list of tuple of ndarray
        Per shell fractional row and column, each ``(m,)``.
    """

    key: np.ndarray
    depth: np.ndarray
    shell: np.ndarray
    pixels: list[np.ndarray]
    at: list[tuple[np.ndarray, np.ndarray]]


def key_depth(key: np.ndarray) -> np.ndarray:
    """Depth in dm of the z-buffer's keys; infinite where nothing is."""
    depth = (key >> 32).astype(np.int32).view(np.float32)
    depth[key == _EMPTY] = np.inf
    return depth


def fill_holes(key: np.ndarray, depth: np.ndarray, side: int) -> None:
    """Close one-pixel gaps: a sample that both neighbours across lie well in front of takes the farther of theirs.

    Changes the keys and depths, each ``(side * side,)``, in place.
    """
    grid = depth.reshape(side, side)
    for step, (before, here, after) in (
        (1, (grid[:, :-2], grid[:, 1:-1], grid[:, 2:])),
        (side, (grid[:-2], grid[1:-1], grid[2:])),
    ):
        row, column = (np.maximum(before, after) < here - _NEAR).nonzero()
        gap = row * side + column + step
        key[gap] = np.maximum(key[gap - step], key[gap + step])
        depth[gap] = np.maximum(depth[gap - step], depth[gap + step])


def rasterize(
    screens: list[np.ndarray], keeps: list[np.ndarray | None], facings: list[np.ndarray | None], side: int
) -> GBuffer:
    """Scatter all shells into one z-buffer.

    Parameters
    ----------
    screens : list of ndarray
        Projected grids ``(3, rows, columns)``, fewer than 15.
    keeps : list of ndarray or None
        Where each surface exists.
    facings : list of ndarray or None
        Where the front of each closed surface is turned to the camera.
    side : int
        Buffer size.

    Returns
    -------
    GBuffer
    """
    key = np.full(side * side, _EMPTY, np.int64)
    scattered = torch.from_numpy(key)  # NumPy has no minimum over repeated places that is as fast
    grids = []
    for i, (screen, keep, facing) in enumerate(zip(screens, keeps, facings, strict=True)):
        rows, columns, number, pixel, depth = samples(screen, keep, facing, side)
        keys = depth.view(np.int32).astype(np.int64)
        keys <<= 32
        keys |= number
        keys |= i << _NUMBER_BITS
        scattered.scatter_reduce_(0, torch.from_numpy(pixel), torch.from_numpy(keys), "amin")
        grids.append((rows, columns))
    depth = key_depth(key)
    fill_holes(key, depth, side)
    shell = ((key >> _NUMBER_BITS) & _NO_SHELL).astype(np.int8)
    pixels, at = [], []
    for i, (rows, columns) in enumerate(grids):
        where = (shell == i).nonzero()[0]
        local = (key.take(where) & ((1 << _NUMBER_BITS) - 1)).astype(np.int32)
        row, column = np.divmod(local, np.int32(max(len(columns), 1)))
        pixels.append(where)
        at.append((rows.take(row), columns.take(column)))
    return GBuffer(key, depth, shell, pixels, at)


def fetch(at: tuple[np.ndarray, np.ndarray], *grids: np.ndarray) -> list[np.ndarray]:
    """Bilinear reading of coarse grids (k, rows, columns) at fractional rows and columns (m,) -> (k, m) each."""
    height, width = grids[0].shape[1:]
    r, down = _split(at[0], height - 2)
    c, right = _split(at[1], width - 2)
    first = r * width + c
    below = first + width

    def read(grid: np.ndarray, out: np.ndarray) -> None:
        flat, step = _flat_steps(grid)
        top = step.take(first)
        top *= right
        top += flat.take(first)
        bottom = step.take(below)
        bottom *= right
        bottom += flat.take(below)
        bottom -= top
        bottom *= down
        np.add(top, bottom, out)

    fields = [np.empty((len(grid), len(first)), np.float32) for grid in grids]
    for grid, out in zip(grids, fields, strict=True):
        for channel, values in zip(grid, out, strict=True):
            read(channel, values)
    return fields
