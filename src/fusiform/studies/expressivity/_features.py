"""The features of layers: vectors as they are, random channels of maps, the grey image as layer 0."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.activations import stream
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, Layer

IMAGE = "image"
IMAGE_DEPTH = -1
_BYTES = 4
_READ_TOGETHER = 64


@dataclass(frozen=True)
class Chosen:
    """What of a layer becomes a feature vector.

    Attributes
    ----------
    layer, depth
        Its name and place; the grey image is ``"image"`` at depth -1.
    shape : tuple of int
        Of the layer; of the averaged image.
    channels : int array or None
        Protocol 2: the channels drawn, ascending; None: everything, flattened (protocol 1).
    """

    layer: str
    depth: int
    shape: tuple[int, ...]
    channels: Int[ndarray, " z"] | None = None

    @property
    def features(self) -> int:
        """Features an image."""
        whole = prod(self.shape)
        if self.channels is None:
            return whole
        return whole // self.shape[_channel_axis(self.shape)] * len(self.channels)

    @property
    def protocol(self) -> int:
        """1 or 2, as in Dhar and others (2020); 0 for the image."""
        return 0 if self.layer == IMAGE else 1 if self.channels is None else 2

    def take(self, activations: Float[Tensor, "k ..."]) -> Float[Tensor, "k m"]:
        """Take the features out of a layer's activations."""
        if self.channels is not None:
            index = torch.from_numpy(self.channels).to(activations.device)
            activations = activations.index_select(1 + _channel_axis(self.shape), index)
        return activations.detach().reshape(len(activations), -1).to("cpu", torch.float32)


def choose(layer: Layer, *, dimension: int, seed: int) -> Chosen:
    """Choose the features of a layer: a vector whole, of a map so many channels that it has nearest to D features.

    The draw depends on the seed, the layer's name and its number of channels, so that an architecture's other weights
    (checkpoints, the random control) are seen by the same channels.

    Examples
    --------
    >>> found = choose(Layer("conv", 3, "Conv2d", (64, 14, 14), None, "conv"), dimension=2048, seed=0)
    >>> len(found.channels), found.features, found.protocol
    (10, 1960, 2)
    """
    axis = _channel_axis(layer.shape)
    n_channels = layer.shape[axis]
    positions = prod(layer.shape) // n_channels
    if positions == 1:
        return Chosen(layer.name, layer.depth, layer.shape)
    z = min(max(1, round(dimension / positions)), n_channels)
    rng = np.random.default_rng([seed, zlib.crc32(layer.name.encode())])
    return Chosen(
        layer.name, layer.depth, layer.shape, np.sort(rng.choice(n_channels, size=z, replace=False))
    )


def choose_image(net: FaceNetwork, *, dimension: int, height: int | None = None) -> Chosen:
    """Choose the size of the grey image: `height` pixels high, or nearest to D pixels; never more than the network sees.

    Examples
    --------
    >>> from fusiform.networks import load_network
    >>> choose_image(load_network("demo"), dimension=2048).shape
    (45, 45)
    """
    full_height, full_width = net.card.input_size
    if height is None:
        height = round((dimension * full_height / full_width) ** 0.5)
    height = min(max(1, height), full_height)
    return Chosen(
        IMAGE, IMAGE_DEPTH, (height, min(max(1, round(height * full_width / full_height)), full_width))
    )


def grey_images(
    images: Tensor, size: tuple[int, int], *, input_size: tuple[int, int]
) -> Float[ndarray, "n m"]:
    """Average R, G and B without weights, as the network frames the image, area-averaged to a size and flattened.

    Examples
    --------
    >>> image = torch.tensor([10, 20, 60], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 4, 4)
    >>> grey_images(image, (1, 2), input_size=(4, 4))
    array([[30., 30.]], dtype=float32)
    """
    grey = images.to(torch.float32).mean(dim=1, keepdim=True)
    if tuple(grey.shape[2:]) != input_size:
        grey = F.interpolate(grey, size=input_size, mode="bilinear", align_corners=False, antialias=True)
    return F.adaptive_avg_pool2d(grey, size).flatten(1).numpy()


def in_memory(
    faces: FaceSet, *, n_bytes: float, progress: Callable[[int, int], None] | None = None
) -> FaceSet:
    """Hold the images of a set in memory where they fit: every checkpoint is shown them again.

    Parameters
    ----------
    faces : FaceSet
        The framed faces, of one size.
    n_bytes : float
        Room for them; where they need more, the set is given back as it is.
    progress : callable, optional
        Called with ``(done, total)``.

    Returns
    -------
    FaceSet
        The same images and attributes.
    """
    if faces.size is None or 3 * len(faces) * prod(faces.size) > n_bytes:
        return faces
    images = torch.empty(len(faces), 3, *faces.size, dtype=torch.uint8)
    for start in range(0, len(faces), _READ_TOGETHER):
        rows = np.arange(start, min(start + _READ_TOGETHER, len(faces)))
        images[rows[0] : rows[-1] + 1] = faces.images(rows)
        if progress is not None:
            progress(int(rows[-1]) + 1, len(faces))
    return FaceSet.from_arrays(images, faces.table, faces.schema, name=faces.name)


def in_groups(chosen: Sequence[Chosen], n: int, memory_gb: float) -> list[list[Chosen]]:
    """Group layers so that the features of each group, of n images, fit into half of the memory."""
    groups: list[list[Chosen]] = [[]]
    room = memory_gb * 1e9 / 2
    held = 0.0
    for each in chosen:
        size = _BYTES * n * each.features
        if groups[-1] and held + size > room:
            groups.append([])
            held = 0.0
        groups[-1].append(each)
        held += size
    return groups


def collect(
    net: FaceNetwork,
    faces: FaceSet,
    chosen: Sequence[Chosen],
    *,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Float[ndarray, "n m"]]:
    """Collect the features of layers, and of the image where it is among them, in one pass over the faces.

    Returns
    -------
    dict of str to array, shape (n, features)
        By layer; float32.
    """
    of = {each.layer: each for each in chosen}
    values = {name: np.empty((len(faces), each.features), dtype=np.float32) for name, each in of.items()}
    layers = [name for name in of if name != IMAGE]
    image = of.get(IMAGE)
    if image is None:
        seen = faces
    else:
        seen = cast(FaceSet, _GreyBeside(faces, image, net.card.input_size, values[IMAGE]))
    stream(net, seen, layers, [_Features(of, values)], batch_size=batch_size, progress=progress)
    return values


class _Features:
    """A collector that keeps the chosen channels."""

    def __init__(self, of: Mapping[str, Chosen], values: Mapping[str, ndarray]) -> None:
        self._of, self._values = of, values

    def update(self, layer: Layer, rows: slice, activations: Tensor) -> None:
        self._values[layer.name][rows] = self._of[layer.name].take(activations).numpy()


class _GreyBeside:
    """Faces whose grey images are kept as the stream asks for them, so that no image is read or rendered twice."""

    def __init__(self, faces: FaceSet, image: Chosen, input_size: tuple[int, int], kept: ndarray) -> None:
        self._faces, self._image, self._input_size, self._kept = faces, image, input_size, kept

    def __len__(self) -> int:
        return len(self._faces)

    @property
    def table(self) -> object:
        return self._faces.table

    def images(self, indices: ndarray) -> Tensor:
        images = self._faces.images(indices)
        size = (self._image.shape[0], self._image.shape[1])
        self._kept[indices] = grey_images(images, size, input_size=self._input_size)
        return images


def _channel_axis(shape: tuple[int, ...]) -> int:
    """Channels come first; tokens of a transformer, (tokens, width), have them last."""
    return 1 if len(shape) == 2 else 0
