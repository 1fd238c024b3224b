"""Hidden windows without computing anew what they cannot change.

The unperturbed image passes through the network once. Of each window only the patch is followed that it can change:
`PatchedTensor` looks like a batch of whole activations to the network, and holds what all windows share and a patch
for each. Convolutions, pools and what works on each position follow the patch, which grows from layer to layer by
what they see; at anything else, as at a pool of the whole map, activations are put together and computed whole. So
what comes out is what whole images give, but for the order of sums.
"""

import math
from collections.abc import Callable, Iterator
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fusiform.errors import SpecError
from fusiform.networks import FaceNetwork
from fusiform.perturbation import _incremental_rules  # noqa: F401  registers the rules
from fusiform.perturbation._batch import best_batch_size
from fusiform.perturbation._incremental_patch import Patches, cut
from fusiform.perturbation._incremental_tensor import Bases, PatchedTensor
from fusiform.perturbation._masks import Windows
from fusiform.perturbation._scores import masked_outputs, masked_scores
from fusiform.runs import Progress
from fusiform.targets import Target

_BASES_SHARE = 0.5  # of the memory for the activations of the unperturbed image

_Score = Callable[[Tensor, Tensor], Tensor]


def incremental_scores(
    net: FaceNetwork,
    target: Target,
    x: Float[Tensor, "n c h w"],
    windows: Windows,
    base: Float[Tensor, "n c h w"],
    *,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    progress: Progress | None = None,
) -> Float[Tensor, "n k"]:
    """Score all images with each window hidden, computing only what a window changes.

    Equal to `masked_scores` but for rounding, and faster the smaller a window's receptive field is in the network: behind
    a layer that sees the whole image nothing is saved. Where the network cannot be followed at all, and on devices
    other than the CPU, which whole images keep busier than patches, this is `masked_scores`.

    Parameters
    ----------
    net : FaceNetwork
        The network.
    target : Target
        What is scored; of one that holds a reference for each image, every image keeps its own.
    x : tensor, shape (n, channels, height, width)
        Inputs.
    windows : Windows
        What is hidden.
    base : tensor, shape (n, channels, height, width)
        What hidden pixels are replaced by, see `baseline`.
    batch_size : int, optional
        Windows a forward pass; by default 32, or what fits.
    memory_gb : float, default 4
        Budget in GB (1e9 bytes).
    progress : Progress, optional
        Told how much is done.

    Returns
    -------
    tensor, shape (n, k)
        Without gradient. Not checked to be finite.

    Raises
    ------
    SpecError
        If baseline and images differ in shape, the windows are for images of another size, or an option is out of
        range.
    TargetError
        If the network's output does not hold the target.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> from fusiform.targets import Logit
    >>> module = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> net = FaceNetwork(module, NetworkCard(name="tiny", input_size=(16, 16)))
    >>> x, windows = torch.rand(2, 3, 16, 16), Windows((16, 16), (4, 4), (4, 4))
    >>> found = incremental_scores(net, Logit(1), x, windows, torch.zeros_like(x))
    >>> torch.allclose(found, masked_scores(net, Logit(1), x, windows, torch.zeros_like(x)), atol=1e-6)
    True
    """

    def score(row: Tensor, images: Tensor) -> Tensor:
        return target.rows(row)(net, images)

    found = _windowed(net, x, windows, base, score, batch_size, memory_gb, progress)
    if found is not None:
        return found
    return masked_scores(
        net, target, x, windows, base, batch_size=batch_size, memory_gb=memory_gb, progress=progress
    )


def incremental_outputs(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    windows: Windows,
    base: Float[Tensor, "n c h w"],
    *,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    progress: Progress | None = None,
) -> Float[Tensor, "n k d"]:
    """Return the network's outputs with each window hidden, computing only what a window changes.

    Parameters
    ----------
    net, x, windows, base, batch_size, memory_gb, progress
        As of `incremental_scores`.

    Returns
    -------
    tensor, shape (n, k, d)
        Flattened outputs, without gradient, as of `masked_outputs`.

    Raises
    ------
    SpecError
        As of `incremental_scores`.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> net = FaceNetwork(nn.Flatten(), NetworkCard(name="tiny", input_size=(2, 2)))
    >>> x = torch.ones(3, 3, 2, 2)
    >>> incremental_outputs(net, x, Windows((2, 2), (1, 1), (1, 1)), torch.zeros_like(x)).shape
    torch.Size([3, 4, 12])
    """

    def score(row: Tensor, images: Tensor) -> Tensor:
        return net(images).flatten(1)

    found = _windowed(net, x, windows, base, score, batch_size, memory_gb, progress)
    if found is not None:
        return found
    return masked_outputs(
        net, x, windows, base, batch_size=batch_size, memory_gb=memory_gb, progress=progress
    )


def _windowed(
    net: FaceNetwork,
    x: Tensor,
    windows: Windows,
    base: Tensor,
    score: _Score,
    batch_size: int | None,
    memory_gb: float,
    progress: Progress | None,
) -> Tensor | None:
    """Return what `score` makes of all images with each window hidden, or nothing if that must be computed whole."""
    net.check(x)
    if windows.size != tuple(x.shape[2:]):
        raise SpecError(
            f"Windows are for images of {windows.size[0]} by {windows.size[1]} pixels; got {tuple(x.shape)}."
        )
    if batch_size is not None and batch_size < 1:
        raise SpecError(f"batch_size must be at least 1; got {batch_size}.")
    if base.shape != x.shape:
        raise SpecError(f"A baseline has the shape of the inputs, {tuple(x.shape)}; got {tuple(base.shape)}.")
    held = sum(prod(layer.shape) for layer in net.layers) * x.element_size()
    if not len(x) or net.device.type != "cpu" or held > _BASES_SHARE * memory_gb * 1e9:
        return None
    # Few windows a pass, all neighbours: patches of a pass have one size, which can be smaller at the border.
    at_once = batch_size or best_batch_size(net, x, evaluations=1, memory_gb=memory_gb)
    tiles = list(neighbours(windows.boxes, at_once))
    step = None if progress is None else progress.task(f"{net.card.name}: hidden windows")
    images, done = [], 0
    order = torch.cat(tiles).argsort()
    with torch.no_grad():
        for row, (image, hidden) in enumerate(zip(x.split(1), base.split(1), strict=True)):
            bases, parts = Bases(), []
            for tile in tiles:
                try:
                    parts.append(_scored(net, image, windows.boxes[tile], hidden, bases, row, score))
                except Exception:
                    # Whatever it is, whole images tell whether the fault is the network's or the target's own.
                    return None
                done += len(tile)
                if step is not None:
                    step(done, len(x) * len(windows))
            images.append(torch.cat(parts)[order.to(x.device)])
    return torch.stack(images)


def neighbours(boxes: Int[Tensor, "k 4"], at_once: int) -> Iterator[Tensor]:
    """Yield the numbers of windows that are neighbours, at most so many at a time."""
    corners = boxes[:, :2].double()
    span = corners.amax(dim=0) - corners.amin(dim=0) + 1
    a_side = math.ceil(math.sqrt(len(boxes) / at_once))
    cells = ((corners - corners.amin(dim=0)) / span * a_side).long()
    cell = cells[:, 0] * a_side + cells[:, 1]
    for number in cell.unique():
        members = (cell == number).nonzero()[:, 0]
        yield from members.tensor_split(math.ceil(len(members) / at_once))


def _scored(
    net: FaceNetwork, x: Tensor, boxes: Tensor, hidden: Tensor, bases: Bases, row: int, score: _Score
) -> Tensor:
    k = len(boxes)
    if k == 1:  # one window could not be told from what all windows share
        boxes = boxes.expand(2, -1)
    top, left, bottom, right = boxes.to(net.device).unbind(dim=1)
    size = (int(bottom[0] - top[0]), int(right[0] - left[0]))
    x, hidden = x.to(net.device, net.dtype), hidden.to(net.device, net.dtype)
    bases.begin()
    image = bases.once(("image",), lambda: x.contiguous(memory_format=torch.channels_last))
    patches = Patches(cut(hidden, top, left, size), top, left, image)
    rows = torch.full((len(boxes),), row, device=net.device)
    scores = score(rows, PatchedTensor(patches, bases))[:k]
    return scores.to(x.device, x.dtype)
