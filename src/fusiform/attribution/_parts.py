"""Which pixels count together: parts of the face, superpixels, cells of a grid."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fusiform.attribution._registry import Call
from fusiform.errors import SpecError, nearest
from fusiform.faces import TEMPLATES
from fusiform.networks import FaceNetwork
from fusiform.perturbation import Baseline, baseline

Parts = Tensor | Literal["face", "superpixels", "grid"]
NAMES = ("face", "superpixels", "grid")

# Centre and half axes, x and y, in pixels of an image aligned to arcface_112.
_LAYOUT = {
    "left_brow": (36.5, 40.0, 14.0, 5.0),
    "right_brow": (75.5, 40.0, 14.0, 5.0),
    "left_eye": (38.3, 51.6, 11.0, 6.0),
    "right_eye": (73.5, 51.6, 11.0, 6.0),
    "left_cheek": (32.5, 73.0, 12.0, 12.0),
    "right_cheek": (79.5, 73.0, 12.0, 12.0),
    "nose": (56.0, 65.0, 10.0, 15.0),
    "mouth": (56.0, 92.3, 20.0, 9.0),
}
FRONTAL_PARTS = tuple(_LAYOUT)


def frontal_parts(net: FaceNetwork) -> Bool[Tensor, "p h w"]:
    """Return where eight parts lie in an aligned frontal face of a network's input size.

    Ellipses in fixed places, which do not overlap; right only for frontal faces aligned as the network's card says.
    For other faces take the parts from masks or landmarks, see `fusiform.faces.part_masks`.

    Parameters
    ----------
    net : FaceNetwork
        Its card names the template that its inputs are aligned to; without one, the proportions are those of
        ``arcface_112``.

    Returns
    -------
    bool tensor, shape (8, height, width)
        In the order of `FRONTAL_PARTS`; left and right as seen in the image.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> net = FaceNetwork(nn.Flatten(), NetworkCard(name="tiny", input_size=(56, 56)))
    >>> frontal_parts(net).shape, FRONTAL_PARTS[6]
    (torch.Size([8, 56, 56]), 'nose')
    """
    own = TEMPLATES["arcface_112"]
    template = TEMPLATES.get(net.card.alignment or "", own)
    there, here = torch.from_numpy(template.array()), torch.from_numpy(own.array())
    spread = [(points - points.mean(dim=0)).square().sum() for points in (there, here)]
    scale = (spread[1] / spread[0]).sqrt()
    y, x = (
        ((torch.arange(s, dtype=torch.float64) + 0.5) * t / s - 0.5 - there[:, axis].mean()) * scale
        + here[:, axis].mean()
        for s, t, axis in zip(net.card.input_size, template.size, (1, 0), strict=True)
    )
    return torch.stack(
        [((x - cx) / ax) ** 2 + ((y[:, None] - cy) / ay) ** 2 <= 1 for cx, cy, ax, ay in _LAYOUT.values()]
    )


def parts_of(call: Call, parts: Parts, n_parts: int) -> Float[Tensor, "*n p h w"]:
    """The parts that an option names or holds, on the device and of the type of the inputs."""
    if isinstance(parts, Tensor):
        return _given(call, parts)
    if parts not in NAMES:
        raise SpecError(
            f"The option 'parts' takes a tensor (p, h, w) or (n, p, h, w), or a name; there is no '{parts}', "
            f"{nearest(str(parts), NAMES)}"
        )
    if parts == "face":
        return frontal_parts(call.net).to(call.x)
    labels = _grid(call, n_parts) if parts == "grid" else _superpixels(call, n_parts)
    return (labels[..., None, :, :] == torch.arange(n_parts)[:, None, None]).to(call.x)


class Group(NamedTuple):
    """A few images that have as many parts, none of which is empty: an absent part is no player of any game."""

    rows: Tensor
    call: Call
    regions: Tensor
    base: Tensor
    present: Tensor  # which of the parts that were asked for these are, bool (p,)


def in_groups(call: Call, parts: Parts, n_parts: int, kind: Baseline) -> Iterator[Group]:
    """The images, a few at a time, with their parts and what these are replaced by."""
    base = baseline(call.net, call.x, kind, seed=call.seed)
    given = _given(call, parts) if isinstance(parts, Tensor) else None
    for rows, few in call.batches():
        if given is None:
            regions = parts_of(few, parts, n_parts)
        else:
            regions = given if given.dim() == 3 else given[rows]
        present = (regions > 0).flatten(-2).any(dim=-1)
        if regions.dim() == 3:
            yield Group(rows, few, regions[present], base[rows], present)
            continue
        for alike in present.unique(dim=0):
            own = (present == alike).all(dim=1).nonzero()[:, 0].cpu()
            some = replace(few, x=few.x[own], target=few.target.rows(own))
            yield Group(rows[own], some, regions[own][:, alike], base[rows[own]], alike)


def spread_over(values: Float[Tensor, "n p"], parts: Float[Tensor, "*n p h w"]) -> Float[Tensor, "n h w"]:
    """Maps in which each part's pixels sum to its value; overlapping parts add up."""
    shares = parts / parts.sum(dim=(-2, -1), keepdim=True).clamp(min=torch.finfo(parts.dtype).tiny)
    with torch.autocast(parts.device.type, enabled=False):
        return torch.einsum("np,phw->nhw" if parts.dim() == 3 else "np,nphw->nhw", values.to(parts), shares)


def _given(call: Call, parts: Tensor) -> Tensor:
    n, (height, width) = len(call.x), call.size
    if parts.dim() not in (3, 4) or parts.shape[-2:] != call.size or parts.shape[:-3] not in ((), (n,)):
        raise SpecError(
            f"Parts have shape (p, {height}, {width}) or ({n}, p, {height}, {width}), in pixels of the network's "
            f"input; got {tuple(parts.shape)}."
        )
    if not parts.shape[-3]:
        raise SpecError("Parts must be at least one; got none.")
    parts = parts.detach().to(call.x)
    if not ((parts >= 0) & (parts <= 1)).all():
        raise SpecError("Parts hold bools, or numbers from 0 to 1.")
    return parts


def _grid(call: Call, n_parts: int) -> Tensor:
    """Numbers of the cells of a grid of at most this many cells, (h, w)."""
    height, width = call.size
    down = max(1, min(n_parts, round((n_parts * height / width) ** 0.5)))
    across = n_parts // down
    rows, columns = torch.arange(height) * down // height, torch.arange(width) * across // width
    return rows[:, None] * across + columns


def _superpixels(call: Call, n_parts: int) -> Tensor:
    """Numbers of superpixels below `n_parts`, (n, h, w)."""
    import numpy as np
    from skimage.segmentation import slic

    black, white = (baseline(call.net, call.x[:1], kind) for kind in ("black", "white"))
    images = ((call.x - black) / (white - black)).clamp(0, 1)
    if call.net.card.channels == "bgr":
        images = images.flip(1)
    labels = []
    for image in images.permute(0, 2, 3, 1).double().cpu().numpy():
        lab = image.shape[-1] == 3
        # It gives about as many as it is asked for. Its variant without parameters: the plain one merges smooth images
        # into a few large ones.
        for asked in range(n_parts, 0, -1):
            found = slic(image, asked, slic_zero=True, start_label=0, channel_axis=-1, convert2lab=lab)
            if found.max() < n_parts:
                break
        labels.append(torch.from_numpy(found.astype(np.int64)))
    return torch.stack(labels)
