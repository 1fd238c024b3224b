from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fusiform.networks.training._recipe import Recipe

if TYPE_CHECKING:
    from fusiform.faces import FaceSet

_CHUNK = 64
_LUMINANCE = (0.299, 0.587, 0.114)


class Pixels:
    """The images of a set at the size of a recipe, read or rendered once and kept within a budget.

    Parameters
    ----------
    faces : FaceSet
        The images; their sizes may differ.
    shortest_side : int
        What their shortest side is brought to, in pixels.
    budget : int
        Bytes that may be kept. What does not fit is read anew each time.
    """

    def __init__(self, faces: "FaceSet", shortest_side: int, budget: int) -> None:
        self._faces = faces
        self._shortest_side = shortest_side
        self._budget = budget
        self._kept: dict[int, Tensor] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._faces)

    def fill(self, step: Callable[[int, int], None]) -> None:
        """Read ahead as far as the budget goes.

        Parameters
        ----------
        step : callable
            Called with (images done, images in all).
        """
        for start in range(0, len(self), _CHUNK):
            if self.bytes >= self._budget:
                break
            self.take(range(start, min(start + _CHUNK, len(self))))
            step(min(start + _CHUNK, len(self)), len(self))

    def take(self, indices: Sequence[int] | np.ndarray) -> list[UInt8[Tensor, "3 h w"]]:
        """Give some images.

        Parameters
        ----------
        indices : sequence of int
            Which.

        Returns
        -------
        list of uint8 tensor, shapes (3, h, w)
            Their shortest side is `shortest_side`.
        """
        wanted = [int(i) for i in indices]
        missing = list(dict.fromkeys(i for i in wanted if i not in self._kept))
        read = dict(zip(missing, self._read(missing), strict=True)) if missing else {}
        for index, image in read.items():
            if self.bytes + image.numel() <= self._budget:
                self._kept[index] = image
                self.bytes += image.numel()
        return [self._kept[i] if i in self._kept else read[i] for i in wanted]

    def _read(self, indices: list[int]) -> list[Tensor]:
        if self._faces.size is None:
            return [resize_shortest(self._faces.image(i)[None], self._shortest_side)[0] for i in indices]
        images = resize_shortest(self._faces.images(indices), self._shortest_side)
        # Views of a batch would keep the whole batch alive.
        return [image.clone() for image in images]


def resize_shortest(images: UInt8[Tensor, "n 3 h w"], side: int) -> UInt8[Tensor, "n 3 h2 w2"]:
    """Bring the shortest side of images to a length, keeping their proportions.

    Parameters
    ----------
    images : uint8 tensor, shape (n, 3, h, w)
        The images.
    side : int
        The length, in pixels.

    Returns
    -------
    uint8 tensor, shape (n, 3, h2, w2)
        Bilinear, antialiased.

    Examples
    --------
    >>> resize_shortest(torch.zeros(1, 3, 20, 10, dtype=torch.uint8), 5).shape
    torch.Size([1, 3, 10, 5])
    """
    height, width = images.shape[-2:]
    shortest = min(height, width)
    if shortest == side:
        return images
    size = (round(height * side / shortest), round(width * side / shortest))
    resized = torch.nn.functional.interpolate(
        images.float(), size=size, mode="bilinear", antialias=True, align_corners=False
    )
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def training_batch(
    images: list[UInt8[Tensor, "3 h w"]], recipe: Recipe, rng: np.random.Generator
) -> Float[Tensor, "n 3 h w"]:
    """Crop, mirror, grey and light images by chance, and scale them for the network.

    Parameters
    ----------
    images : list of uint8 tensor, shapes (3, h, w)
        Images of the recipe's shortest side.
    recipe : Recipe
        Says the chances and sizes.
    rng : numpy.random.Generator
        The chance.

    Returns
    -------
    float tensor, shape (n, 3, height, width)
        Network inputs of the recipe's input size.
    """
    # All numbers are drawn for all images first, so what one image gets does not hang on another's size.
    chance = rng.random((len(images), 6))
    cut = [
        _cut(image, recipe, up, left, mirrored=mirror < recipe.flip)
        for image, (up, left, mirror) in zip(images, chance[:, :3], strict=True)
    ]
    pixels = torch.stack(cut).float().div_(255.0)
    grey = torch.from_numpy(chance[:, 3] < recipe.grey)
    if grey.any():
        weights = torch.tensor(_LUMINANCE)[:, None, None]
        pixels[grey] = (pixels[grey] * weights).sum(dim=1, keepdim=True)
    if recipe.brightness or recipe.contrast:
        factors = torch.from_numpy((chance[:, 4:] * 2 - 1) * [recipe.brightness, recipe.contrast] + 1).float()
        brightness, contrast = factors[:, 0, None, None, None], factors[:, 1, None, None, None]
        mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
        pixels = ((pixels - mean) * contrast + mean).mul_(brightness).clamp_(0.0, 1.0)
    return _scaled(pixels, recipe)


def plain_batch(images: list[UInt8[Tensor, "3 h w"]], recipe: Recipe) -> Float[Tensor, "n 3 h w"]:
    """Cut the middle out of images and scale it for the network.

    Parameters
    ----------
    images : list of uint8 tensor, shapes (3, h, w)
        Images of the recipe's shortest side.
    recipe : Recipe
        Says the sizes.

    Returns
    -------
    float tensor, shape (n, 3, height, width)
        Network inputs of the recipe's input size.
    """
    cut = [_cut(image, recipe, 0.5, 0.5, mirrored=False) for image in images]
    return _scaled(torch.stack(cut).float().div_(255.0), recipe)


def _cut(image: Tensor, recipe: Recipe, up: float, left: float, *, mirrored: bool) -> Tensor:
    rows = _window(image.shape[1], recipe.input_size[0], recipe.padding, up)
    columns = _window(image.shape[2], recipe.input_size[1], recipe.padding, left)
    return image[:, rows[:, None], (columns.flip(0) if mirrored else columns)[None, :]]


def _window(length: int, wanted: int, padding: int, where: float) -> Tensor:
    room = length + 2 * padding - wanted
    # `where` lies in [0, 1): every one of the room + 1 offsets is equally likely, and 0.5 is the middle one.
    start = min(int(where * (room + 1)), room) - padding
    # Repeating the edge is reading it again: an index outside is brought back to the edge.
    return torch.arange(start, start + wanted).clamp_(0, length - 1)


def _scaled(pixels: Tensor, recipe: Recipe) -> Tensor:
    mean, std = torch.tensor(recipe.mean)[:, None, None], torch.tensor(recipe.std)[:, None, None]
    return (pixels - mean).div_(std)
