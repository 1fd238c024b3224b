from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fusiform.errors import SpecError


class Masks(Protocol):
    """Keep-masks made when they are asked for: 1 where a pixel stays, 0 where it is replaced."""

    def __len__(self) -> int:
        """Return the number of masks."""
        ...

    def part(self, start: int, stop: int) -> Float[Tensor, "*n k h w"]:
        """Return masks `start` to `stop`, (k, h, w) for all images or (n, k, h, w) for each its own."""
        ...


def blend(
    x: Float[Tensor, "n c h w"], base: Float[Tensor, "n c h w"], keep: Float[Tensor, "*n k h w"]
) -> Float[Tensor, "n k c h w"]:
    """Replace by the baseline what masks do not keep: ``keep * x + (1 - keep) * base``.

    Parameters
    ----------
    x, base : tensor, shape (n, channels, height, width)
        Inputs, and what they are replaced by.
    keep : tensor, shape (k, height, width) or (n, k, height, width)
        Masks from 0 to 1, for all images or for each its own.

    Returns
    -------
    tensor, shape (n, k, channels, height, width)
        Where `keep` is 1 or 0, exactly `x` or exactly `base`.

    Examples
    --------
    >>> blend(torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), torch.full((5, 4, 4), 0.25)).mean().item()
    0.25
    """
    return torch.lerp(base[:, None], x[:, None], keep.to(x).unsqueeze(-3))


class TensorMasks:
    """Masks that are held: (k, h, w) or (n, k, h, w)."""

    def __init__(self, masks: Tensor) -> None:
        self._masks = masks

    def __len__(self) -> int:
        return self._masks.shape[-3]

    def part(self, start: int, stop: int) -> Tensor:
        """Return masks `start` to `stop`."""
        return self._masks[..., start:stop, :, :]


class Windows:
    """Rectangles that hide what is under them, on a grid that covers every pixel.

    Parameters
    ----------
    size : (int, int)
        Height and width of the images.
    window : (int, int)
        Height and width of the window, at most the image's.
    stride : (int, int)
        Steps down and across, at most the window's; the last step is shortened so that the last window ends at the
        border.

    Attributes
    ----------
    boxes : int tensor, shape (k, 4)
        Top, left, bottom, right; the last two exclusive.

    Examples
    --------
    >>> windows = Windows((4, 4), (2, 2), (2, 2))
    >>> len(windows), windows.boxes[-1].tolist()
    (4, [2, 2, 4, 4])
    >>> windows.part(0, 1)[0].int().tolist()[0]
    [0, 0, 1, 1]
    """

    def __init__(self, size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> None:
        self.size = size
        tops, lefts = (
            torch.tensor([*range(0, s - w, step), s - w])
            for s, w, step in zip(size, window, stride, strict=True)
        )
        corners = torch.cartesian_prod(tops, lefts)
        self.boxes: Int[Tensor, "k 4"] = torch.cat([corners, corners + torch.tensor(window)], dim=1)

    def __len__(self) -> int:
        return len(self.boxes)

    def part(self, start: int, stop: int) -> Bool[Tensor, "k h w"]:
        """Return masks `start` to `stop`."""
        top, left, bottom, right = self.boxes[start:stop, :, None].unbind(dim=1)
        rows, columns = (torch.arange(s) for s in self.size)
        down, across = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
        return ~(down[:, :, None] & across[:, None, :])

    def spread(self, values: Float[Tensor, "n k"]) -> Float[Tensor, "n h w"]:
        """Return for every pixel the mean of the values of the windows that cover it."""
        height, width = self.size
        # Second differences: four corners a window, then two cumulative sums. float64, as these cancel.
        corners = values.new_zeros(len(values) + 1, (height + 1) * (width + 1), dtype=torch.float64)
        weights = torch.cat([values.double(), corners.new_ones(1, len(self))])
        top, left, bottom, right = self.boxes.to(values.device).unbind(dim=1)
        for row, column, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
            corners.index_add_(1, row * (width + 1) + column, sign * weights)
        sums = corners.view(-1, height + 1, width + 1).cumsum(1).cumsum(2)[:, :height, :width]
        return (sums[:-1] / sums[-1]).to(values.dtype)


class CoalitionMasks:
    """Masks that keep the features of a coalition and hide all others.

    Parameters
    ----------
    features : tensor, shape (p, h, w) or (n, p, h, w)
        What belongs to each feature, bool or from 0 to 1. What belongs to none is always kept; where features
        overlap, a pixel is kept as far as the absent ones leave it.
    coalitions : tensor, shape (k, p)
        1 where a feature is present.

    Examples
    --------
    >>> features = torch.eye(2, dtype=torch.bool).view(2, 1, 2)
    >>> CoalitionMasks(features, torch.tensor([[1, 0]])).part(0, 1).tolist()
    [[[1.0, 0.0]]]
    """

    def __init__(self, features: Tensor, coalitions: Tensor) -> None:
        self._features = features.float() if not features.is_floating_point() else features
        self._absent = 1 - coalitions.to(self._features)

    def __len__(self) -> int:
        return len(self._absent)

    def part(self, start: int, stop: int) -> Tensor:
        """Return masks `start` to `stop`."""
        with torch.autocast(self._features.device.type, enabled=False):
            hidden = self._absent[start:stop] @ self._features.flatten(-2)
        return (1 - hidden).clamp_(min=0).unflatten(-1, self._features.shape[-2:])


def as_masks(masks: Masks | Tensor, n: int, size: Sequence[int]) -> Masks:
    """Return masks of this size for this many images, held ones behind the protocol."""
    if not isinstance(masks, Tensor):
        return masks
    if (
        masks.dim() not in (3, 4)
        or tuple(masks.shape[-2:]) != tuple(size)
        or masks.shape[:-3] not in ((), (n,))
    ):
        raise SpecError(
            f"Masks have shape (k, {size[0]}, {size[1]}) or ({n}, k, {size[0]}, {size[1]}); got {tuple(masks.shape)}."
        )
    return TensorMasks(masks)
