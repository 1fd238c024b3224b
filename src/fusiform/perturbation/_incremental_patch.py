from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Patches:
    """Activations of one image under k perturbations: what they all share, and the patch that each of them changes.

    Patches are all of one size, and lie inside the map. Patches as large as the map need no base.
    """

    values: Float[Tensor, "k c h w"]
    top: Int[Tensor, " k"]
    left: Int[Tensor, " k"]
    base: Float[Tensor, "1 c height width"] | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a patch."""
        return (self.values.shape[2], self.values.shape[3])

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of the map."""
        return self.size if self.base is None else (self.base.shape[2], self.base.shape[3])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the activations were they held whole."""
        return (*self.values.shape[:2], *self.map_size)

    def with_values(self, values: Tensor, base: Tensor | None) -> "Patches":
        """Return other values at the same places."""
        return replace(self, values=values, base=base)

    def whole(self) -> Tensor:
        """Return the activations of all perturbations, whole."""
        if self.base is None:
            return self.values
        zero = torch.zeros_like(self.top)
        return region(self, self.base, zero, zero, self.map_size)


def whole(values: Tensor) -> Patches:
    """Return whole activations as patches as large as the map."""
    zero = torch.zeros(len(values), dtype=torch.long, device=values.device)
    return Patches(values, zero, zero, None)


def cut(
    image: Float[Tensor, "1 c height width"],
    top: Int[Tensor, " k"],
    left: Int[Tensor, " k"],
    size: tuple[int, int],
) -> Float[Tensor, "k c h w"]:
    """Cut k regions of one size, which lie inside of it, from an image."""
    rows, columns = _span(top, size[0]), _span(left, size[1])
    at = (rows * image.shape[3])[:, :, None] + columns[:, None, :]
    return _as_maps(_pixels(image).index_select(0, at.flatten()), (len(top), *size))


def region(
    patches: Patches,
    source: Float[Tensor, "1 c height width"],
    top: Int[Tensor, " k"],
    left: Int[Tensor, " k"],
    size: tuple[int, int],
    origin: tuple[int, int] = (0, 0),
) -> Float[Tensor, "k c h w"]:
    """Cut k regions of one size from the activations of k perturbations.

    Parameters
    ----------
    patches : Patches
        What differs from the source.
    source : tensor, shape (1, c, height, width)
        The base, perhaps with padding around it.
    top, left : int tensor, shape (k,)
        Where the regions begin in the source.
    size : (int, int)
        Height and width of the regions.
    origin : (int, int), default (0, 0)
        Where the base begins in the source.
    """
    out = _pixels(cut(source, top, left, size))
    (h, w), k = patches.size, len(top)
    rows = _span(top, size[0]) - origin[0] - patches.top[:, None]
    columns = _span(left, size[1]) - origin[1] - patches.left[:, None]
    inside = ((rows >= 0) & (rows < h))[:, :, None] & ((columns >= 0) & (columns < w))[:, None, :]
    to = inside.flatten().nonzero()[:, 0]
    pixels = _pixels(patches.values)
    if len(to) < len(pixels):  # patches reach out of their regions
        number = torch.arange(k, device=top.device)[:, None, None] * (h * w)
        taken = (number + (rows * w)[:, :, None] + columns[:, None, :]).flatten()[to]
        pixels = pixels.index_select(0, taken)
    return _as_maps(out.index_copy_(0, to, pixels), (k, *size))


def _span(start: Tensor, length: int) -> Tensor:
    return start[:, None] + torch.arange(length, device=start.device)


# A row of memory is a pixel with all its channels: long runs are copied, and convolutions like it so.


def _pixels(values: Tensor) -> Tensor:
    return values.permute(0, 2, 3, 1).reshape(-1, values.shape[1])


def _as_maps(pixels: Tensor, shape: tuple[int, int, int]) -> Tensor:
    return pixels.view(*shape, -1).permute(0, 3, 1, 2)


def aligned(many: Sequence[Patches]) -> list[Patches]:
    """Bring patches of maps of one size to the places that hold all of them."""
    if all(_lies(p, many[0].top, many[0].left, many[0].size) for p in many[1:]):
        return list(many)
    if any(p.base is None for p in many):
        return [whole(p.whole()) for p in many]
    starts, sizes = [], []
    for axis, extent in enumerate(many[0].map_size):
        begins = torch.stack([p.left if axis else p.top for p in many])
        lengths = torch.tensor([p.size[axis] for p in many], device=begins.device)
        start = begins.amin(dim=0)
        size = int(((begins + lengths[:, None]).amax(dim=0) - start).max())
        starts.append(start.clamp(max=extent - size))
        sizes.append(size)
    return [_brought(p, starts[0], starts[1], (sizes[0], sizes[1])) for p in many]


def _lies(patches: Patches, top: Tensor, left: Tensor, size: tuple[int, int]) -> bool:
    return patches.size == size and torch.equal(patches.top, top) and torch.equal(patches.left, left)


def _brought(patches: Patches, top: Tensor, left: Tensor, size: tuple[int, int]) -> Patches:
    if patches.base is None or _lies(patches, top, left, size):
        return patches
    return replace(patches, values=region(patches, patches.base, top, left, size), top=top, left=left)


@dataclass(frozen=True)
class Sliding:
    """Geometry of a convolution or a pool, (down, across) each."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)

    def reach(self, axis: int) -> int:
        """Pixels from the first to the last that an output sees."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def changed(
        self, patches: Patches, out: tuple[int, int]
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        """Return where outputs change, and on how large a region of a map of size `out`."""
        starts, sizes = [], []
        for axis, place in enumerate((patches.top, patches.left)):
            stride, padding = self.stride[axis], self.padding[axis]
            first = -((self.reach(axis) - 1 - padding - place) // stride)  # ceil
            last = (place + patches.size[axis] - 1 + padding) // stride
            first, last = first.clamp(min=0, max=out[axis] - 1), last.clamp(max=out[axis] - 1)
            size = max(1, int((last - first).max()) + 1)
            starts.append(first.clamp(max=out[axis] - size))
            sizes.append(size)
        return (starts[0], starts[1]), (sizes[0], sizes[1])

    def seen(
        self,
        patches: Patches,
        place: tuple[Tensor, Tensor],
        size: tuple[int, int],
        padded: Tensor,
    ) -> Tensor:
        """Return the padded inputs from which a region of the output is computed without padding."""
        top, left = (p * s for p, s in zip(place, self.stride, strict=True))
        height, width = ((size[a] - 1) * self.stride[a] + self.reach(a) for a in (0, 1))
        return region(patches, padded, top, left, (height, width), self.padding)

    def padded(self, base: Tensor, out: tuple[int, int], value: float) -> Tensor:
        """Pad a base so that every output has all that it sees."""
        after = [
            max(0, (out[a] - 1) * self.stride[a] + self.reach(a) - self.padding[a] - base.shape[2 + a])
            for a in (0, 1)
        ]
        return F.pad(base, (self.padding[1], after[1], self.padding[0], after[0]), value=value)
