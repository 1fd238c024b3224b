from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fusiform.errors import SpecError
from fusiform.networks import FaceNetwork
from fusiform.perturbation._batch import best_batch_size
from fusiform.perturbation._masks import Masks, as_masks, blend
from fusiform.runs import Progress
from fusiform.targets import Target

_MASKS_SHARE = 0.125  # of the memory for the masks of one part

Each = Callable[[int, int, Tensor, Tensor], None]


class _Part(NamedTuple):
    """Masks `start` to `stop`, and the images `rows` under all of them, (rows, masks) flattened."""

    start: int
    stop: int
    keep: Tensor
    batches: Iterator[tuple[Tensor, Tensor]]


def masked_scores(
    net: FaceNetwork,
    target: Target,
    x: Float[Tensor, "n c h w"],
    masks: Masks | Float[Tensor, "*n k h w"],
    base: Float[Tensor, "n c h w"],
    *,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    progress: Progress | None = None,
    each: Each | None = None,
) -> Float[Tensor, "n k"]:
    """Score all images under all masks.

    Masks are made in parts, when they are needed, and images and masks fill each forward pass together.

    Parameters
    ----------
    net : FaceNetwork
        The network.
    target : Target
        What is scored; of one that holds a reference for each image, every image keeps its own.
    x : tensor, shape (n, channels, height, width)
        Inputs.
    masks : Masks, or tensor, shape (k, height, width) or (n, k, height, width)
        1 where a pixel stays, 0 where it is replaced.
    base : tensor, shape (n, channels, height, width)
        What pixels are replaced by, see `baseline`.
    batch_size : int, optional
        Perturbed images a forward pass; by default found by `best_batch_size`.
    memory_gb : float, default 4
        Budget in GB (1e9 bytes).
    progress : Progress, optional
        Told how much is done.
    each : callable, optional
        Called for each part as ``each(start, stop, keep, scores)`` with its masks, on the device of `x`, and their
        scores, (n, stop - start); for what is to be summed up while the masks are there.

    Returns
    -------
    tensor, shape (n, k)
        Without gradient. Not checked to be finite.

    Raises
    ------
    SpecError
        If masks do not fit the images, or an option is out of range.
    TargetError
        If the network's output does not hold the target.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> from fusiform.targets import Logit
    >>> net = FaceNetwork(nn.Flatten(), NetworkCard(name="tiny", input_size=(2, 2)))
    >>> x = torch.ones(3, 3, 2, 2)
    >>> masked_scores(net, Logit(0), x, torch.eye(4).view(4, 2, 2), torch.zeros_like(x))[0].tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    masks = as_masks(masks, len(x), x.shape[2:])
    scores = x.new_empty(len(x), len(masks))
    with torch.no_grad():
        for start, stop, keep, batches in _parts(net, x, masks, base, batch_size, memory_gb, progress):
            for rows, images in batches:
                of = target.rows(rows.repeat_interleave(stop - start))
                scores[rows, start:stop] = of(net, images).view(len(rows), -1).to(scores)
            if each is not None:
                each(start, stop, keep, scores[:, start:stop])
    return scores


def masked_outputs(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    masks: Masks | Float[Tensor, "*n k h w"],
    base: Float[Tensor, "n c h w"],
    *,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    progress: Progress | None = None,
) -> Float[Tensor, "n k d"]:
    """Return the network's outputs, such as embeddings, for all images under all masks.

    Parameters
    ----------
    net, x, masks, base, batch_size, memory_gb, progress
        As of `masked_scores`.

    Returns
    -------
    tensor, shape (n, k, d)
        Flattened outputs, without gradient; all of them are held.

    Raises
    ------
    SpecError
        As of `masked_scores`.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> net = FaceNetwork(nn.Flatten(), NetworkCard(name="tiny", input_size=(2, 2)))
    >>> x = torch.ones(3, 3, 2, 2)
    >>> masked_outputs(net, x, torch.ones(5, 2, 2), torch.zeros_like(x)).shape
    torch.Size([3, 5, 12])
    """
    parts = []
    with torch.no_grad():
        for start, stop, _, batches in _parts(net, x, masks, base, batch_size, memory_gb, progress):
            found = [
                net(images).flatten(1).to(x.dtype).unflatten(0, (-1, stop - start)) for _, images in batches
            ]
            parts.append(torch.cat(found))
    return torch.cat(parts, dim=1)


def _parts(
    net: FaceNetwork,
    x: Tensor,
    masks: Masks | Tensor,
    base: Tensor,
    batch_size: int | None,
    memory_gb: float,
    progress: Progress | None,
) -> Iterator[_Part]:
    n, size = len(x), (x.shape[2], x.shape[3])
    masks = as_masks(masks, n, size)
    if batch_size is not None and batch_size < 1:
        raise SpecError(f"batch_size must be at least 1; got {batch_size}.")
    if base.shape != x.shape:
        raise SpecError(f"A baseline has the shape of the inputs, {tuple(x.shape)}; got {tuple(base.shape)}.")
    total = n * len(masks)
    if not total:
        return
    at_once = batch_size or best_batch_size(net, x, evaluations=total, memory_gb=memory_gb)
    # As if every image had masks of its own: whether they do is only seen in a part.
    held = int(_MASKS_SHARE * memory_gb * 1e9 / (n * size[0] * size[1] * x.element_size()))
    step = None if progress is None else progress.task(f"{net.card.name}: perturbed images")
    part = max(1, min(at_once, held))
    for start in range(0, len(masks), part):
        stop = min(start + part, len(masks))
        keep = masks.part(start, stop).to(x)
        yield _Part(start, stop, keep, _batches(x, base, keep, max(1, at_once // (stop - start))))
        if step is not None:
            step(n * stop, total)


def _batches(x: Tensor, base: Tensor, keep: Tensor, together: int) -> Iterator[tuple[Tensor, Tensor]]:
    for rows in torch.arange(len(x), device=x.device).split(together):
        own = keep if keep.dim() == 3 else keep[rows]
        yield rows, blend(x[rows], base[rows], own).flatten(0, 1)
