import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fusiform import errors
from fusiform._threads import each_on_one_thread
from fusiform.errors import DataError, SpecError
from fusiform.faces.synthetic import _buffer as gb
from fusiform.faces.synthetic._backdrop import backdrop
from fusiform.faces.synthetic._body import body_shells, paint_neck
from fusiform.faces.synthetic._colour import Paint
from fusiform.faces.synthetic._factors import check
from fusiform.faces.synthetic._glasses import glasses_shells, lens_shells, paint_glasses, paint_lens
from fusiform.faces.synthetic._grid import PER_PIXEL, any_of, average, nearest, samples_along, spread
from fusiform.faces.synthetic._hair import hair_shells, paint_hair, paint_locks
from fusiform.faces.synthetic._hats import hat_shells, paint_brim, paint_hat
from fusiform.faces.synthetic._landmarks import project_landmarks
from fusiform.faces.synthetic._light import Light, light_of, shade
from fusiform.faces.synthetic._measures import Measures, measure
from fusiform.faces.synthetic._neckwear import paint_collar, paint_necklace, paint_necktie
from fusiform.faces.synthetic._parts import BITS, CONCEPTS, PARTS
from fusiform.faces.synthetic._picture import develop
from fusiform.faces.synthetic._skin import paint_head
from fusiform.faces.synthetic._surface import head_grid
from fusiform.faces.synthetic._truth import attributes
from fusiform.faces.synthetic._worn import ear_shells, paint_earrings, paint_left_ear, paint_right_ear

__all__ = ["Rendering", "landmarks", "render"]

_SIZES = (32, 512)
_THIN = ("glasses",)  # a shadow map of this grain would make a broad shade of its thin one
_SMALL = 128  # up to this size a coarser grid of the head shows no difference
_CPU_SAMPLES, _GPU_SAMPLES = 640_000, 2**24  # most sample pixels of the faces drawn together


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
        int64 ``(n, size, size)``: bit i is set where any of the pixel's samples shows part i of `PARTS`, or lies in
        one of the regions that come after them.
    depth : Tensor
        float32 ``(n, size, size)``: distance from the camera in dm, infinite in the background.
    coordinates : Tensor
        float32 ``(n, 2, size, size)``: where on the head a pixel lies: azimuth in radians (0 in front) and chart
        height in dm (0 between the eyes, -1.2 the chin, 1.1 the crown); NaN off the head's own surface.
    present : dict of str to ndarray
        For every concept that an attribute decides whether it is there, bool ``(n,)``.
    """

    images: Tensor
    landmarks: np.ndarray
    visible: np.ndarray
    labels: Tensor
    planes: Tensor
    depth: Tensor
    coordinates: Tensor
    present: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.images)

    def mask(self, part: str) -> Tensor:
        """Pixels in which a part or concept is seen, before blur.

        Masks of parts may share pixels: nose, cheeks and chin lie on the skin, and a pixel on the border between
        two parts belongs to both, so that recolouring a part changes no pixel outside its mask. A concept such as
        ``"Goatee"`` or ``"AU_12"`` has pixels in the images alone in which it is present.

        Parameters
        ----------
        part : str
            One of `PARTS` or of `CONCEPTS`.

        Returns
        -------
        Tensor
            bool ``(n, size, size)``.

        Raises
        ------
        DataError
            For a part that the renderer does not know.
        """
        if part in CONCEPTS:
            planes, attribute = CONCEPTS[part]
            mask = (self.planes & sum(BITS[p] for p in planes)) != 0
            if attribute is not None:
                mask &= torch.from_numpy(self.present[attribute])[:, None, None]
            return mask
        if part not in BITS:
            raise DataError(
                f"Synthetic faces have no part '{part}': {errors.nearest(str(part), [*PARTS, *CONCEPTS])}"
            )
        return (self.planes & BITS[part]) != 0


def _build(m: Measures, size: int) -> list[gb.Shell]:
    everyone = torch.arange(len(m), device=m.yaw.device)
    head = gb.Shell("head", *head_grid(m, 2 if size <= _SMALL else 3), everyone, closed=True)
    return [head, *body_shells(m), *ear_shells(m), *hair_shells(m), *hat_shells(m), *glasses_shells(m)]


PAINTERS: dict[str, Callable[[Tensor, Tensor, Measures], Paint]] = {
    "neck": paint_neck, "collar": paint_collar, "necktie": paint_necktie, "necklace": paint_necklace,
    "left_ear": paint_left_ear, "right_ear": paint_right_ear, "earrings": paint_earrings, "glasses": paint_glasses, "lens": paint_lens,
    "hair": paint_hair, "locks": paint_locks, "hat": paint_hat, "brim": paint_brim,
}  # fmt: skip


def _placed(shells: list[gb.Shell], camera: gb.Camera) -> list[Tensor]:
    out = []
    for s in shells:
        flat = camera.of(s.faces).place(s.position.flatten(2), s.torso)
        out.append(flat.view(s.position.shape))
    return out


def _alive(shell: gb.Shell, placed: Tensor, n: Tensor) -> Tensor | None:
    """Positive where a surface exists and can be seen: turned to the camera, a margin for its curvature included."""
    if not shell.closed:
        return shell.keep
    turned = n[0] * -placed[0] + n[1] * -placed[1] + n[2] * (gb.DISTANCE - placed[2])
    turned = turned * (1 / gb.DISTANCE) + 0.1
    return turned if shell.keep is None else torch.minimum(turned, shell.keep)


def _caster(shell: gb.Shell, placed: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Points of a shell that cast its shadow: every other row and column of a fine grid."""
    step = 2 if shell.name == "head" else 1
    keep = None if shell.keep is None else shell.keep[:, ::step, ::step].flatten(1)
    return placed[:, :, ::step, ::step].flatten(2), shell.faces, keep


class _Drawing:
    """The sample pixels of n faces, filled shell by shell."""

    def __init__(self, m: Measures, size: int) -> None:
        self.m, self.size = m, size
        self.n, self.device = len(m), m.yaw.device
        self.side = samples_along(size)
        self.camera = gb.Camera(m, self.side, size * PER_PIXEL)
        space = self.side**2
        back = spread(backdrop(m, size).view(3, self.n, size, size))
        self.light = torch.zeros((3, self.n, space + 1), device=self.device)  # the last place takes padding
        self.light[..., :-1] = back.flatten(2)
        self.planes = torch.full(
            (self.n, space + 1), BITS["background"], dtype=torch.int64, device=self.device
        )
        self.coordinates = torch.full((2, self.n, space + 1), torch.nan, device=self.device)

    def draw(self) -> tuple[Tensor, ...]:
        shells = _build(self.m, self.size)
        placed = _placed(shells, self.camera)
        turned = [gb.normals(p) for p in placed]
        alive = [_alive(s, p, n) for s, p, n in zip(shells, placed, turned, strict=True)]
        buffer = self._rasterize(shells, placed, alive)
        casters = [(s, p) for s, p in zip(shells, placed, strict=True) if s.name not in _THIN]
        light = light_of(self.m, [_caster(s, p) for s, p in casters])
        for i, (shell, n) in enumerate(zip(shells, turned, strict=True)):
            self._paint(i, shell, n, buffer, light)
        self._lenses(buffer, light)
        return self._truth(buffer)

    def _rasterize(
        self, shells: list[gb.Shell], placed: list[Tensor], alive: list[Tensor | None]
    ) -> gb.GBuffer:
        screens = [
            self.camera.of(s.faces).project(p.flatten(2)).view(p.shape)
            for s, p in zip(shells, placed, strict=True)
        ]
        return gb.rasterize(screens, alive, [s.faces for s in shells], self.side, self.n)

    def _surface(
        self, i: int, shell: gb.Shell, n: Tensor, buffer: gb.GBuffer
    ) -> tuple[gb.Picked, Tensor, Tensor, Tensor] | None:
        """Where a shell is seen: places, normals, surface coordinates and points in the camera's frame."""
        picked = gb.pick(buffer.shell[shell.faces] == i)
        if picked is None:
            return None
        inside = picked.index.clamp_max(self.side**2 - 1)
        number = buffer.number[shell.faces].gather(1, inside) * picked.real
        at = buffer.samples[i].at(number)
        read = torch.stack([at.read(grid) for grid in (*n, *shell.uv)])
        depth = buffer.depth[shell.faces].gather(1, inside).clamp_max(2 * gb.DISTANCE)
        points = self.camera.of(shell.faces).unproject(inside, depth)
        n, uv = read[:3], read[3:]
        n = n / gb.length(n).clamp_min(1e-6)
        if not shell.closed or shell.keep is not None:  # the inner side of an open surface
            away = n[0] * -points[0] + n[1] * -points[1] + n[2] * (gb.DISTANCE - points[2]) < 0
            n = torch.where(away, -n, n)
        return picked, n, uv, points

    def _paint(self, i: int, shell: gb.Shell, n: Tensor, buffer: gb.GBuffer, light: Light) -> None:
        seen = self._surface(i, shell, n, buffer)
        if seen is None:
            return
        picked, n, uv, points = seen
        m = self.m.of(shell.faces)
        if shell.name == "head":
            camera = self.camera.of(shell.faces)
            axes = (
                torch.stack([row[0] for row in camera.head]),
                torch.stack([row[1] for row in camera.head]),
            )
            paint = paint_head(uv, n, m, axes)
        else:
            paint = PAINTERS[shell.name](uv, n, m)
        colour = shade(n, points, paint, m, light.of(shell.faces))
        self._put(self.light, shell.faces, picked.index, colour)
        self._put(self.planes[None], shell.faces, picked.index, paint.parts[None])
        if shell.name == "head":
            self._put(self.coordinates, shell.faces, picked.index, torch.stack((uv[0], uv[2])))

    def _put(self, field: Tensor, faces: Tensor, index: Tensor, values: Tensor) -> None:
        flat = (faces[:, None] * field.shape[2] + index).view(-1)
        for channel, value in zip(field, values, strict=True):
            channel.view(-1).scatter_(0, flat, value.reshape(-1))

    def _lenses(self, buffer: gb.GBuffer, light: Light) -> None:
        """Lay what one sees through over what is behind it."""
        shells = lens_shells(self.m)
        if not shells:
            return
        placed = _placed(shells, self.camera)
        front = self._rasterize(shells, placed, [s.keep for s in shells])
        hidden = front.depth >= buffer.depth
        front.shell.masked_fill_(hidden, gb.NO_SHELL)
        for i, (shell, p) in enumerate(zip(shells, placed, strict=True)):
            seen = self._surface(i, shell, gb.normals(p), front)
            if seen is None:
                continue
            picked, n, uv, points = seen
            m = self.m.of(shell.faces)
            paint = PAINTERS[shell.name](uv, n, m)
            colour = shade(n, points, paint, m, light.of(shell.faces))
            flat = (shell.faces[:, None] * self.light.shape[2] + picked.index).view(-1)
            alpha = paint.alpha.expand_as(paint.gloss).reshape(-1)  # type: ignore[union-attr]
            for channel, values in zip(self.light, colour, strict=True):
                old = channel.view(-1).gather(0, flat)
                channel.view(-1).scatter_(0, flat, old + (values.reshape(-1) - old) * alpha)
            parts = self.planes.view(-1)
            parts.scatter_(0, flat, parts.gather(0, flat) | paint.parts.reshape(-1))

    def _truth(self, buffer: gb.GBuffer) -> tuple[Tensor, ...]:
        landmarks, visible = self._landmarks(buffer.depth)
        square = (self.n, self.side, self.side)
        nearest_of = nearest(buffer.depth.view(square), self.size).view(self.n, -1)
        planes = self.planes.gather(1, nearest_of) & ((1 << len(PARTS)) - 1)
        labels = ((planes & -planes).float().log2() + 0.5).to(torch.uint8)
        shape = (self.n, self.size, self.size)
        coordinates = torch.stack([c.gather(1, nearest_of).view(shape) for c in self.coordinates], 1)
        images = develop(average(self.light[..., :-1].reshape(3, *square), self.size), self.m)
        return (images, landmarks, visible, labels.view(shape), any_of(self.planes[:, :-1].view(square), self.size),
                buffer.depth.gather(1, nearest_of).view(shape), coordinates)  # fmt: skip

    def _landmarks(self, depth: Tensor) -> tuple[Tensor, Tensor]:
        points = project_landmarks(self.m, self.camera)
        side = self.side
        column, row = points[0].floor().long(), points[1].floor().long()
        inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
        column, row = column.clamp(1, side - 2), row.clamp(1, side - 2)
        # A point on a slope lies behind a neighbouring sample: the farthest of nine and a little more decide.
        near = torch.stack(
            [depth.gather(1, (row + i) * side + column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        )
        visible = inside & (points[2] < near.amax(0) + 0.04)
        return points[:2].permute(1, 2, 0) / PER_PIXEL, visible


def _even(n: int, most: int, threads: int) -> int:
    """Size of equal chunks of n faces, at most so large, whose number busies all threads to the end."""
    chunks = max(1, math.ceil(n / most))
    if chunks > 1:
        chunks = math.ceil(chunks / threads) * threads
    return max(1, math.ceil(n / chunks))


def _check_size(size: int) -> None:
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or not _SIZES[0] <= size <= _SIZES[1]:
        raise SpecError(
            f"The size of synthetic faces must be an int in [{_SIZES[0]}, {_SIZES[1]}] pixels; got {size!r}."
        )


def landmarks(parameters: pd.DataFrame, *, size: int = 112) -> np.ndarray:
    """Where the 68 landmarks of faces lie, without drawing them: hundreds of times as fast, and the same numbers.

    Parameters
    ----------
    parameters, size
        As `render` takes them.

    Returns
    -------
    ndarray
        float32 ``(n, 68, 2)``, as `Rendering.landmarks`.

    Raises
    ------
    DataError, SpecError
        As `render` does.

    Examples
    --------
    >>> table = pd.DataFrame({"yaw": [0.0, 30.0]})
    >>> bool((landmarks(table, size=48) == render(table, size=48).landmarks).all())
    True
    """
    _check_size(size)
    values = check(parameters)
    out = np.empty((len(parameters), 68, 2), np.float32)

    def some(start: int) -> None:
        rows = slice(start, start + 1024)
        with torch.inference_mode():
            m = measure({name: column[rows] for name, column in values.items()}, torch.device("cpu"))
            points = project_landmarks(m, gb.Camera(m, samples_along(int(size)), int(size) * PER_PIXEL))
        out[rows] = points[:2].permute(1, 2, 0).numpy() / PER_PIXEL

    each_on_one_thread(some, range(0, len(parameters), 1024))
    return out


def render(parameters: pd.DataFrame, *, size: int = 112, device: str | torch.device = "cpu") -> Rendering:
    """Draw faces.

    How a face is drawn depends on its parameters and the size alone, so a row gives the same bytes in any batch and
    any order. On another kind of machine a grey level can differ by one.

    Parameters
    ----------
    parameters : DataFrame
        One row a face; columns are any of `FACTORS` (missing ones take their default), and may include labels
        such as ``identity`` and ``image_id``.
    size : int, default 112
        Height and width of the images in pixels, 32 to 512.
    device : str or torch.device, default "cpu"
        Where to draw; the result is on the CPU.

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
    >>> faces = render(pd.DataFrame({"yaw": [0.0, 30.0], "AU_12": [0.9, 0.0]}), size=48)
    >>> faces.images.shape, faces.landmarks.shape, bool(faces.mask("nose").any())
    (torch.Size([2, 3, 48, 48]), (2, 68, 2), True)
    """
    _check_size(size)
    size, device = int(size), torch.device(device)
    values = check(parameters)
    n = len(parameters)
    most = _CPU_SAMPLES if device.type == "cpu" else _GPU_SAMPLES
    # Small pictures have the same coarse grids as large ones, so they are counted like 112 px.
    batch = _even(n, max(1, most // samples_along(max(size, 112)) ** 2), torch.get_num_threads())
    out = (
        torch.empty((n, 3, size, size), dtype=torch.uint8),
        torch.empty((n, 68, 2)),
        torch.empty((n, 68), dtype=torch.bool),
        torch.empty((n, size, size), dtype=torch.uint8),
        torch.empty((n, size, size), dtype=torch.int64),
        torch.empty((n, size, size)),
        torch.empty((n, 2, size, size)),
    )

    def some(start: int) -> None:
        rows = slice(start, start + batch)
        with torch.inference_mode():
            m = measure({name: column[rows] for name, column in values.items()}, device)
            for store, value in zip(out, _Drawing(m, size).draw(), strict=True):
                store[rows] = value.to("cpu")

    each_on_one_thread(some, range(0, n, batch))
    images, landmarks, visible, labels, planes, depth, coordinates = out
    truth = attributes(parameters)
    deciding = {c.attribute for c in CONCEPTS.values() if c.attribute is not None}
    present = {name: truth[name].to_numpy(dtype=bool) for name in sorted(deciding)}
    return Rendering(
        images, landmarks.numpy(), visible.numpy(), labels, planes, depth, coordinates, present=present
    )
