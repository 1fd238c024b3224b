"""Projection and the z-buffer: shells on grids in, the visible surface point of every sample pixel out.

Every quad of a shell's coarse grid is cut into samples that fall less than a pixel of the buffer apart, and these are
scattered into the buffers of all faces together. A sample's key holds its depth in the high 32 bits, then 4 bits for its
shell and 28 for its number within it, so one integer minimum per pixel keeps the nearest and says which it was,
whatever the order.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fusiform.faces.synthetic._math import take, true_places
from fusiform.faces.synthetic._measures import Measures

__all__ = [
    "DISTANCE",
    "NO_SHELL",
    "SPAN",
    "Camera",
    "GBuffer",
    "Picked",
    "Samples",
    "Shell",
    "length",
    "normals",
    "pick",
    "rasterize",
]

_EMPTY = torch.iinfo(torch.int64).max
_NUMBER_BITS, NO_SHELL = 28, 15  # of a key's low half; an empty place has all of its shell's bits set
SPAN = 3.05  # dm that the image is high at the head's middle
DISTANCE = 11.0  # dm from the camera to the head's middle
_PIVOT = (0.0, -0.75, -0.12)  # about which the head turns
_LOOK_Y = -0.13
_DENSITY = 0.88  # samples per sample pixel along each side; the single gaps that this leaves are filled
_NEAR = 0.015  # dm; steeper than that within one sample is a gap, not a slope


@dataclass(frozen=True)
class Shell:
    """A surface on a coarse grid, for some of the faces.

    Parameters
    ----------
    name : str
        What it is: "head", "hair", ...
    position : Tensor
        Points in the head's frame, ``(3, b, rows, columns)``, dm; rows run so that rows x columns points outward.
    uv : Tensor
        Surface coordinates and whatever else colours need, ``(k, b, rows, columns)``.
    faces : Tensor
        Which faces have it, ``(b,)``, ascending.
    keep : Tensor, optional
        The surface exists where this is positive, ``(b, rows, columns)``.
    torso : bool, default False
        Whether it turns with the body rather than with the head.
    closed : bool, default False
        Whether its inner side is never seen.
    """

    name: str
    position: Tensor
    uv: Tensor
    faces: Tensor
    keep: Tensor | None = None
    torso: bool = False
    closed: bool = False


Axes = tuple[tuple[Tensor, Tensor, Tensor], ...]


class Camera:
    """Poses and projections of n faces onto square buffers.

    Parameters
    ----------
    m : Measures
        Of n faces: yaw, pitch, roll, shift_x, shift_y, zoom.
    side : int
        Height and width of the buffer in samples.
    extent : float
        Height and width of the picture in samples, at most ``side``.
    """

    def __init__(self, m: Measures, side: int, extent: float) -> None:
        self.side, self.middle = side, extent / 2
        self.zoom, self.shift_x, self.shift_y = m.zoom, m.shift_x * extent, m.shift_y * extent
        self.head = _rotation(m.yaw, m.pitch, m.roll)
        self.torso = _rotation(0.4 * m.yaw, 0.0 * m.pitch, 0.25 * m.roll)
        self.focal = m.zoom * (extent / SPAN * DISTANCE)  # samples per unit of x / depth

    def of(self, faces: Tensor) -> "Camera":
        """Return the cameras of some of the faces."""
        out = object.__new__(Camera)
        out.side, out.middle = self.side, self.middle
        for name in ("zoom", "shift_x", "shift_y", "focal"):
            setattr(out, name, getattr(self, name)[faces])
        for name in ("head", "torso"):
            setattr(out, name, tuple(tuple(c[faces] for c in row) for row in getattr(self, name)))
        return out

    def place(self, position: Tensor, torso: bool = False) -> Tensor:
        """Points of the head's frame (3, n, k) turned into the camera's."""
        x, y, z = (position[i] - _PIVOT[i] for i in range(3))
        # Written out: a matrix product may sum in another order in another batch.
        axes = self.torso if torso else self.head
        return torch.stack([a * x + b * y + c * z + p for (a, b, c), p in zip(axes, _PIVOT, strict=True)])

    def turn(self, direction: Tensor) -> Tensor:
        """Directions of the head's frame (3, n, k) turned into the camera's."""
        x, y, z = direction
        return torch.stack([a * x + b * y + c * z for a, b, c in self.head])

    def project(self, placed: Tensor) -> Tensor:
        """Camera frame (3, n, k) to buffer coordinates: x, y in samples (pixel centres at .5), depth in dm."""
        depth = DISTANCE - placed[2]
        scale = self.focal / depth
        x = placed[0] * scale + (self.shift_x + self.middle)
        y = (_LOOK_Y - placed[1]) * scale + (self.shift_y + self.middle)
        return torch.stack((x, y, depth))

    def unproject(self, pixel: Tensor, depth: Tensor) -> Tensor:
        """Camera frame (3, n, k) of flat pixels at depths, each (n, k)."""
        row = torch.div(pixel, self.side, rounding_mode="floor")
        x = ((pixel - row * self.side).float() + (0.5 - self.middle) - self.shift_x) / self.focal * depth
        y = _LOOK_Y - (row.float() + (0.5 - self.middle) - self.shift_y) / self.focal * depth
        return torch.stack((x, y, DISTANCE - depth))


def _rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Axes:
    """Rows of the rotation, each entry a column (n, 1)."""
    y, x, z = (a.double().deg2rad() * b for a, b in ((yaw, 1), (pitch, -1), (roll, -1)))
    cy, sy, cx, sx, cz, sz = y.cos(), y.sin(), x.cos(), x.sin(), z.cos(), z.sin()
    # tilt @ nod @ turn
    rows = (
        (cz * cy - sz * sx * sy, -sz * cx, cz * sy + sz * sx * cy),
        (sz * cy + cz * sx * sy, cz * cx, sz * sy - cz * sx * cy),
        (-cx * sy, sx, cx * cy),
    )
    return tuple(tuple(c.float() for c in row) for row in rows)  # type: ignore[misc]


def normals(placed: Tensor) -> Tensor:
    """Unit normals of grids of points (3, n, rows, columns) by central differences."""
    ax, ay, az = _difference(placed, 3)
    bx, by, bz = _difference(placed, 2)
    n = torch.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx))
    return n / length(n).clamp_min(1e-9)


def length(v: Tensor) -> Tensor:
    """Euclidean length of vectors (3, ...)."""
    return (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt()


def _difference(grid: Tensor, dim: int) -> Tensor:
    """Central differences (twice the one-sided ones at the ends) over an axis."""
    k = grid.shape[dim]
    inner = grid.narrow(dim, 2, k - 2) - grid.narrow(dim, 0, k - 2)
    first = 2 * (grid.narrow(dim, 1, 1) - grid.narrow(dim, 0, 1))
    last = 2 * (grid.narrow(dim, k - 1, 1) - grid.narrow(dim, k - 2, 1))
    return torch.cat((first, inner, last), dim)


@dataclass(frozen=True)
class Samples:
    """Samples of one shell of all its faces, each a place within a quad of the coarse grid.

    Attributes
    ----------
    corner : Tensor
        ``(m,)`` int32, flat index of the quad's first corner in a grid ``(b, rows, columns)``.
    right, down : Tensor
        ``(m,)`` float32, shares of the way to its next column and row.
    columns : int
        Of the grid.
    """

    corner: Tensor
    right: Tensor
    down: Tensor
    columns: int

    @staticmethod
    def of(screen: Tensor, alive: Tensor | None, side: int) -> "Samples":
        """Cut every quad of projected grids (3, b, rows, columns) into parts of at most about a sample pixel.

        Quads off the buffer, and those of which no corner is alive, get no samples.
        """
        x, y = screen[:2]
        columns = x.shape[2]
        wide, high = _parts(x, y, 2), _parts(x, y, 1)
        wide, high = torch.maximum(wide[:, 1:], wide[:, :-1]), torch.maximum(high[:, :, 1:], high[:, :, :-1])
        count = wide * high
        for axis in (x, y):
            count *= (_extreme(axis, torch.maximum) > 0) & (_extreme(axis, torch.minimum) < side)
        if alive is not None:
            count *= _extreme(alive, torch.maximum) > 0
        quad = true_places(count > 0)
        count, wide, high = (take(v.reshape(-1), quad) for v in (count, wide, high))
        last = count.cumsum(0)
        each = torch.repeat_interleave(count)
        within = torch.arange(len(each), device=x.device) - take(last - count, each)
        wide, high = take(wide, each), take(high, each)
        row = torch.div(within, wide, rounding_mode="floor")
        right = ((within - row * wide).float() + 0.5) / wide
        down = (row.float() + 0.5) / high
        # A grid has one column and one row more than quads.
        quads = columns - 1
        rows = x.shape[1] - 1
        line = torch.div(quad, quads, rounding_mode="floor")
        corner = quad + line + torch.div(line, rows, rounding_mode="floor") * columns
        return Samples(take(corner, each).int(), right, down, columns)

    def at(self, number: Tensor) -> "Samples":
        """Return the samples of some numbers, of any shape."""
        return Samples(
            take(self.corner, number), take(self.right, number), take(self.down, number), self.columns
        )

    def read(self, grid: Tensor) -> Tensor:
        """Bilinear values of a grid (b, rows, columns) at the samples."""
        flat = grid.reshape(-1)
        low = self.corner + self.columns
        top, bottom = take(flat, self.corner), take(flat, low)
        top += (take(flat, self.corner + 1) - top).mul_(self.right)
        bottom += (take(flat, low + 1) - bottom).mul_(self.right)
        return bottom.sub_(top).mul_(self.down).add_(top)


def _parts(x: Tensor, y: Tensor, dim: int) -> Tensor:
    """Into how many parts the way to the next point of grids (b, rows, columns) has to be cut."""
    k = x.shape[dim] - 1
    steps = [(g.narrow(dim, 1, k) - g.narrow(dim, 0, k)).abs() for g in (x, y)]
    return (torch.maximum(*steps) * _DENSITY).ceil().clamp(1, 256).long()


def _extreme(grid: Tensor, which: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Largest or smallest value at the corners of each quad."""
    rows = which(grid[:, 1:], grid[:, :-1])
    return which(rows[:, :, 1:], rows[:, :, :-1])


@dataclass(frozen=True)
class Picked:
    """Places picked from rows: ``index`` (n, k), padded with the row's length, where ``real`` (n, k) is False."""

    index: Tensor
    real: Tensor


def pick(mask: Tensor) -> Picked | None:
    """Where each row of a mask (n, k) is True, padded to the fullest row; None where nothing is."""
    count = mask.sum(1)
    most = int(count.max()) if len(count) else 0
    if most == 0:
        return None
    place = true_places(mask)
    face = torch.div(place, mask.shape[1], rounding_mode="floor")
    place -= face * mask.shape[1]
    start = count.cumsum(0) - count
    within = torch.arange(len(face), device=mask.device) - take(start, face)
    index = torch.full((len(mask), most), mask.shape[1], dtype=torch.int64, device=mask.device)
    index[face, within] = place
    return Picked(index, index < mask.shape[1])


@dataclass(frozen=True)
class GBuffer:
    """What the z-buffer kept.

    Attributes
    ----------
    depth : Tensor
        ``(n, side * side)`` float32, dm; infinite where nothing is.
    shell : Tensor
        ``(n, side * side)`` int64, index of the shell seen, 15 for none.
    number : Tensor
        ``(n, side * side)`` int64, number of the sample within its shell.
    samples : list of Samples
        Of each shell.
    """

    depth: Tensor
    shell: Tensor
    number: Tensor
    samples: list[Samples]


def rasterize(
    screens: list[Tensor], alive: list[Tensor | None], faces: list[Tensor], side: int, n: int
) -> GBuffer:
    """Scatter all shells of n faces into their z-buffers.

    Parameters
    ----------
    screens : list of Tensor
        Projected grids ``(3, b, rows, columns)``, fewer than 15.
    alive : list of Tensor or None
        Positive where a surface exists and its front is turned to the camera, ``(b, rows, columns)``.
    faces : list of Tensor
        Which faces each shell belongs to, ``(b,)``.
    side : int
        Height and width of a buffer.
    n : int
        Number of faces.

    Returns
    -------
    GBuffer
    """
    device = screens[0].device
    size = side * side
    key = torch.full((n * size + 1,), _EMPTY, dtype=torch.int64, device=device)
    kept = []
    for i, (screen, live, who) in enumerate(zip(screens, alive, faces, strict=True)):
        samples = Samples.of(screen, live, side)
        x, y = samples.read(screen[0]), samples.read(screen[1])
        inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
        if live is not None:
            inside &= samples.read(live) > 0
        start = take(who * size, torch.div(samples.corner, screen[0, 0].numel(), rounding_mode="floor"))
        place = y.int() * side + x.int() + start
        place = place.mul_(inside).add_(~inside * (n * size))
        keys = samples.read(screen[2]).view(torch.int32).long() << 32
        keys += torch.arange(i << _NUMBER_BITS, (i << _NUMBER_BITS) + len(keys), device=device)
        key.scatter_reduce_(0, place.long(), keys, "amin")
        kept.append(samples)
    key = key[:-1].view(n, size)
    depth = _depth(key)
    _fill(key, depth, side)
    return GBuffer(depth, (key >> _NUMBER_BITS) & NO_SHELL, key & ((1 << _NUMBER_BITS) - 1), kept)


def _depth(key: Tensor) -> Tensor:
    depth = (key >> 32).int().view(torch.float32)
    return depth.masked_fill_(key == _EMPTY, math.inf)


def _fill(key: Tensor, depth: Tensor, side: int) -> None:
    """Close gaps of one and two pixels, in place.

    A sample that both neighbours across lie well in front of takes the farther of theirs.
    """
    n = len(key)
    flat_key, flat, grid = key.view(-1), depth.view(-1), depth.view(n, side, side)
    for dim, step in ((2, 1), (1, side)):
        for before, after in ((1, 1), (1, 2), (2, 1)):
            k = side - before - after
            one, here, two = (grid.narrow(dim, start, k) for start in (0, before, before + after))
            found = true_places(torch.maximum(one, two) < here - _NEAR)
            # From places among those that have both neighbours to places of the whole.
            columns = here.shape[2]
            line = torch.div(found, columns, rounding_mode="floor")
            face = torch.div(line, here.shape[1], rounding_mode="floor")
            place = found + line * (side - columns) + face * (side - here.shape[1]) * side + before * step
            left, right = place - before * step, place + after * step
            farther = torch.maximum(take(flat_key, left), take(flat_key, right))
            cover = torch.maximum(take(flat, left), take(flat, right))
            flat_key[place], flat[place] = farther, cover
