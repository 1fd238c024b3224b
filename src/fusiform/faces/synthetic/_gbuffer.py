"""Projection and the z-buffer: shells on coarse grids in, the visible surface point of every sample pixel out.

A shell's coarse grid is projected, then resampled row by row and column by column so finely that neighbours fall
at most about a pixel apart, and scattered into the buffer. A sample's key holds its depth in the high and its number in
the low 32 bits, so one integer minimum per pixel keeps the nearest and says which it was, whatever the order.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

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

_EMPTY = torch.iinfo(torch.int64).max
_SPAN = 3.05  # dm that the image is high at the head's middle
DISTANCE = 11.0  # dm from the camera to the head's middle
_PIVOT = (0.0, -0.75, -0.12)  # about which the head turns
_LOOK_Y = -0.13
_DENSITY = 0.85  # parts per sample pixel; the single gaps that this leaves are filled


@dataclass(frozen=True)
class Shell:
    """A surface on a coarse grid.

    Parameters
    ----------
    name : str
        What it is: "head", "hair", ...
    position : Tensor
        Points in the head's frame, ``(3, rows, columns)``, dm; rows run so that rows x columns points outward.
    uv : Tensor
        Surface coordinates and whatever else colours need, ``(k, rows, columns)``.
    keep : Tensor, optional
        The surface exists where this is positive, ``(rows, columns)``.
    torso : bool, default False
        Whether it turns with the body rather than with the head.
    closed : bool, default False
        Whether its inner side is never seen.
    """

    name: str
    position: Tensor
    uv: Tensor
    keep: Tensor | None = None
    torso: bool = False
    closed: bool = False


@dataclass(frozen=True)
class Camera:
    """Pose and projection of one face onto a buffer of ``side`` x ``side`` samples."""

    side: int
    head: Tensor
    torso: Tensor
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

    def away(self, n: Tensor, pixel: Tensor) -> Tensor:
        """Whether normals (3, m) seen at flat pixels (m,) point away from the camera."""
        x = (pixel % self.side + 0.5 - self.side / 2 - self.shift[0]) / self.focal
        y = -((pixel // self.side) + 0.5 - self.side / 2 - self.shift[1]) / self.focal
        return n[2] < n[0] * x + n[1] * y


def _rotation(yaw: float, pitch: float, roll: float) -> Tensor:
    y, x, z = math.radians(yaw), -math.radians(pitch), -math.radians(roll)
    turn = torch.tensor([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    nod = torch.tensor([[1, 0, 0], [0, math.cos(x), -math.sin(x)], [0, math.sin(x), math.cos(x)]])
    tilt = torch.tensor([[math.cos(z), -math.sin(z), 0], [math.sin(z), math.cos(z), 0], [0, 0, 1]])
    return tilt @ nod @ turn


def place(position: Tensor, camera: Camera, torso: bool = False) -> Tensor:
    """Points of the head's frame turned into the camera's: (3, ...) -> (3, ...)."""
    r = (camera.torso if torso else camera.head).tolist()
    x, y, z = (position[i] - _PIVOT[i] for i in range(3))
    # Written out: a matrix product may sum in another order in another batch.
    return torch.stack([r[i][0] * x + r[i][1] * y + r[i][2] * z + _PIVOT[i] for i in range(3)])


def project(placed: Tensor, camera: Camera) -> Tensor:
    """Camera frame to buffer coordinates (x, y in samples, pixel centres at .5; depth in dm): (3, ...) -> (3, ...)."""
    depth = DISTANCE - placed[2]
    focal = camera.focal
    x = camera.side / 2 + camera.shift[0] + focal * placed[0] / depth
    y = camera.side / 2 + camera.shift[1] - focal * (placed[1] - _LOOK_Y) / depth
    return torch.stack((x, y, depth))


def normals(placed: Tensor) -> Tensor:
    """Unit normals of a grid of points by central differences: (3, rows, columns)."""
    ax, ay, az = _difference(placed, 2)
    bx, by, bz = _difference(placed, 1)
    n = torch.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx))
    return n / length(n).clamp(min=1e-9)


def length(v: Tensor) -> Tensor:
    """Euclidean length of vectors (3, ...); three products are faster than torch's norm over the first axis."""
    return (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt()


def _difference(grid: Tensor, dim: int) -> Tensor:
    n = grid.shape[dim]
    middle = grid.narrow(dim, 2, n - 2) - grid.narrow(dim, 0, n - 2)
    first = 2 * (grid.narrow(dim, 1, 1) - grid.narrow(dim, 0, 1))
    last = 2 * (grid.narrow(dim, n - 1, 1) - grid.narrow(dim, n - 2, 1))
    return torch.cat((first, middle, last), dim)


def _positions(steps: Tensor) -> Tensor:
    """Fractional grid positions so that every interval is cut into as many parts as its step (samples) asks for."""
    parts = torch.ceil(steps * _DENSITY).clamp(0, 256).long()
    starts = torch.repeat_interleave(torch.arange(len(parts)), parts)
    within = torch.arange(len(starts)) - torch.repeat_interleave(torch.cumsum(parts, 0) - parts, parts)
    fine = starts + (within + 0.5) / torch.repeat_interleave(parts, parts).clamp(min=1)
    return fine.float()


def _lerp(grid: Tensor, at: Tensor, dim: int) -> Tensor:
    i = at.floor().long().clamp(max=grid.shape[dim] - 2)
    f = at - i
    f = f[:, None] if dim == 1 else f
    low, high = grid.index_select(dim, i), grid.index_select(dim, i + 1)
    return low + (high - low) * f


def samples(
    screen: Tensor, keep: Tensor | None, facing: Tensor | None, side: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Samples of one projected shell.

    Parameters
    ----------
    screen : Tensor
        ``(3, rows, columns)`` from `project`.
    keep : Tensor, optional
        ``(rows, columns)``, positive where the surface exists.
    facing : Tensor, optional
        ``(rows, columns)`` bool, False where the back of a closed surface is turned to the camera; rows and columns
        of which nothing faces it are left out.
    side : int
        Buffer size.

    Returns
    -------
    tuple of Tensor
        Fractional rows ``(a,)``, fractional columns ``(b,)``; flat pixel ``(a, b)`` (-1 off the buffer or where the
        surface does not exist) and depth ``(a, b)``.
    """
    x, y = (
        screen[0].clamp(-2, side + 2),
        screen[1].clamp(-2, side + 2),
    )  # nothing off the picture needs to be dense
    down = (x[1:] - x[:-1]).square() + (y[1:] - y[:-1]).square()
    right = (x[:, 1:] - x[:, :-1]).square() + (y[:, 1:] - y[:, :-1]).square()
    needed = None if facing is None else facing
    if keep is not None:
        needed = (keep > 0) if needed is None else needed & (keep > 0)
    if needed is not None:
        down = down * (needed[1:] | needed[:-1])
        right = right * (needed[:, 1:] | needed[:, :-1])
    rows, columns = _positions(down.amax(1).sqrt()), _positions(right.amax(0).sqrt())
    channels = screen if keep is None else torch.cat((screen, keep[None]))
    fine = _lerp(_lerp(channels, columns, 2), rows, 1)  # whole rows are cheaper to pick than columns
    x, y = fine[0].floor(), fine[1].floor()
    inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
    if keep is not None:
        inside &= fine[3] > 0
    pixel = torch.where(inside, y * side + x, -1).int()
    return rows, columns, pixel, fine[2]


@dataclass(frozen=True)
class GBuffer:
    """What the z-buffer kept: for every shell the sample pixels where it is seen, and where on its grid.

    Attributes
    ----------
    key : Tensor
        ``(side * side,)`` int64, depth and sample number; `_EMPTY` where nothing is.
    shell : Tensor
        ``(side * side,)`` int64, index of the shell seen, -1 for none.
    pixels : list of Tensor
        Per shell the flat pixels ``(m,)``.
    at : list of Tensor
        Per shell fractional row and column ``(2, m)``.
    """

    key: Tensor
    shell: Tensor
    pixels: list[Tensor]
    at: list[Tensor]


def key_depth(key: Tensor) -> Tensor:
    """Depth in dm of the z-buffer's keys; infinite where nothing is."""
    depth = (key >> 32).int().view(torch.float32)
    return torch.where(key == _EMPTY, torch.inf, depth)


def fill_holes(key: Tensor, side: int) -> Tensor:
    """Close one-pixel gaps: a sample that both neighbours across lie well in front of takes the farther of theirs."""
    near = 0.015  # dm; steeper than that within one sample is a gap, not a slope
    grid = key.view(side, side)
    for dim in (1, 0):
        before, here, after = (
            grid.narrow(dim, 0, side - 2),
            grid.narrow(dim, 1, side - 2),
            grid.narrow(dim, 2, side - 2),
        )
        cover = torch.maximum(before, after)
        gap = key_depth(cover) < key_depth(here) - near
        filled = torch.where(gap, cover, here)
        first, last = grid.narrow(dim, 0, 1), grid.narrow(dim, side - 1, 1)
        grid = torch.cat((first, filled, last), dim)
    return grid.reshape(-1)


def rasterize(
    screens: list[Tensor], keeps: list[Tensor | None], facings: list[Tensor | None], side: int
) -> GBuffer:
    """Scatter all shells into one z-buffer.

    Parameters
    ----------
    screens : list of Tensor
        Projected grids ``(3, rows, columns)``.
    keeps : list of Tensor or None
        Where each surface exists.
    facings : list of Tensor or None
        Where the front of each closed surface is turned to the camera.
    side : int
        Buffer size.

    Returns
    -------
    GBuffer
    """
    key = torch.full(
        (side * side + 1,), _EMPTY, dtype=torch.int64
    )  # the last place takes what is off the buffer
    offset, starts, grids = 0, [], []
    for screen, keep, facing in zip(screens, keeps, facings, strict=True):
        rows, columns, pixel, depth = samples(screen, keep, facing, side)
        pixel = pixel.flatten()
        number = torch.arange(offset, offset + pixel.numel())
        keys = (depth.flatten().view(torch.int32).long() << 32) | number
        flat = torch.where(pixel < 0, side * side, pixel).long()
        key.scatter_reduce_(0, flat, keys, "amin")
        starts.append(offset)
        grids.append((rows, columns))
        offset += pixel.numel()
    key = fill_holes(key[:-1], side)
    number = key & 0xFFFFFFFF
    seen = key != _EMPTY
    shell = torch.bucketize(number, torch.tensor(starts), right=True) - 1
    shell = torch.where(seen, shell, -1)
    pixels, at = [], []
    for i, (rows, columns) in enumerate(grids):
        where = (shell == i).nonzero()[:, 0]
        local = number[where] - starts[i]
        width = max(len(columns), 1)
        pixels.append(where)
        at.append(torch.stack((rows[local // width], columns[local % width])))
    return GBuffer(key, shell, pixels, at)


def fetch(grid: Tensor, at: Tensor) -> Tensor:
    """Bilinear reading of a coarse grid (k, rows, columns) at fractional (row, column) (2, m) -> (k, m)."""
    k, height, width = grid.shape
    r, c = at[0].floor().clamp(max=height - 2), at[1].floor().clamp(max=width - 2)
    fr, fc = at[0] - r, at[1] - c
    first = (r * width + c).long()
    flat = grid.reshape(k, -1).T.contiguous()  # a point's values side by side: one reach into memory for all
    fr, fc = fr[:, None], fc[:, None]
    a, b = flat.index_select(0, first), flat.index_select(0, first + 1)
    top = a + (b - a) * fc
    first = first + width
    a, b = flat.index_select(0, first), flat.index_select(0, first + 1)
    bottom = a + (b - a) * fc
    return (top + (bottom - top) * fr).T.contiguous()
