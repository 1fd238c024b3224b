from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError, NetworkError
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, Layer


class Collector(Protocol):
    """What takes in activations, a batch of images at a time."""

    def update(self, layer: Layer, rows: slice, activations: Tensor) -> None:
        """Take in the activations of some images.

        Parameters
        ----------
        layer : Layer
            Where they were tapped.
        rows : slice
            Which images, counted in the order streamed.
        activations : tensor, shape (k, ...)
            The live tensor inside the forward pass: copy or reduce it before returning, for the network
            may overwrite it afterwards.
        """
        ...


def stream(
    net: FaceNetwork,
    faces: FaceSet,
    layers: Sequence[str],
    collectors: Sequence[Collector],
    *,
    indices: Int[ndarray, " n"] | None = None,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Pass faces through a network once, and hand every layer's activations to every collector.

    The only loop over images and layers. Images are decoded one batch ahead, beside the forward pass.

    Parameters
    ----------
    net : FaceNetwork
        The network.
    faces : FaceSet
        The faces.
    layers : sequence of str
        Names of the layers to tap.
    collectors : sequence of Collector
        What takes the activations in.
    indices : int array, shape (n,), optional
        Which faces, in this order; all when not given.
    batch_size : int, default 32
        Faces a forward pass.
    progress : callable, optional
        Called with ``(done, total)`` after each batch.

    Raises
    ------
    LayerError
        If the network has no layer of a name; offers the nearest.
    NetworkError
        If an activation is NaN or infinite; names layer and image.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> class Shapes:
    ...     def update(self, layer, rows, activations):
    ...         print(layer.name, rows, tuple(activations.shape))
    >>> stream(load_network("demo"), open_faces("synthetic?n=3"), ["pool"], [Shapes()], batch_size=2)
    pool slice(0, 2, None) (2, 96, 1, 1)
    pool slice(2, 3, None) (1, 96, 1, 1)
    """
    if batch_size < 1:
        raise DataError(f"The 'batch_size' of a stream must be at least 1; got {batch_size}.")
    order = np.arange(len(faces)) if indices is None else np.asarray(indices)
    tapped = {name: net.layer(name) for name in layers}
    rows = slice(0, 0)

    def receive(name: str, activations: Tensor) -> None:
        # A sum is finite exactly when all its terms are, but for overflow, which the slow look settles.
        if not torch.isfinite(activations.sum()) and not torch.isfinite(activations).all():
            bad = ~torch.isfinite(activations.reshape(len(activations), -1)).all(dim=1)
            image = order[rows.start + int(bad.nonzero()[0, 0])]
            raise NetworkError(
                f"Layer '{name}' of '{net.card.name}' gives NaN or infinite activations for image "
                f"'{faces.table.image_id.iloc[image]}'. Check the weights and the card's mean, std and value range."
            )
        for collector in collectors:
            collector.update(tapped[name], rows, activations)

    with torch.no_grad(), net.tapped(list(tapped), receive):
        for start, images in _batches(faces, order, batch_size):
            rows = slice(start, start + len(images))
            net(net.prepare(images))
            if progress is not None:
                progress(rows.stop, len(order))


def _batches(faces: FaceSet, order: ndarray, batch_size: int) -> Iterator[tuple[int, Tensor]]:
    starts = range(0, len(order), batch_size)
    with ThreadPoolExecutor(max_workers=1) as ahead:
        pending = None
        for start in starts:
            ready = (
                pending
                if pending is not None
                else ahead.submit(faces.images, order[start : start + batch_size])
            )
            following = start + batch_size
            pending = (
                ahead.submit(faces.images, order[following : following + batch_size])
                if following < len(order)
                else None
            )
            yield start, ready.result()
