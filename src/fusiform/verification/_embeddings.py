from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn import functional as F

from fusiform.activations import stream
from fusiform.errors import NetworkError
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, Layer


class _Kept:
    """A collector that keeps what it is given."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []

    def update(self, layer: Layer, rows: slice, activations: Tensor) -> None:
        # Always a copy: what follows in the network may write into the live tensor.
        self.parts.append(activations.detach().flatten(1).to("cpu", torch.float32, copy=True))


def embeddings(
    net: FaceNetwork,
    faces: FaceSet,
    *,
    indices: Int[ndarray, " k"] | None = None,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "k d"]:
    """Embed faces.

    Parameters
    ----------
    net : FaceNetwork
        A network whose head is ``"embedding"``.
    faces : FaceSet
        Faces, framed as the network wants them (`fusiform.networks.frame_faces`).
    indices : int array, shape (k,), optional
        Which faces, in this order; all when not given.
    batch_size : int, default 32
        Faces a forward pass.
    progress : callable, optional
        Called with ``(done, total)`` after each batch.

    Returns
    -------
    float32 tensor, shape (k, d)
        Embeddings of length 1, on the CPU; the inner product of two is their cosine similarity.

    Raises
    ------
    NetworkError
        If the network gives no embeddings, or one that is not finite or has length 0; names the image.
    DataError
        If the images' sizes differ.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> embeddings(load_network("demo"), open_faces("synthetic?n=2&size=64")).norm(dim=1).round(decimals=4)
    tensor([1., 1.])
    """
    if net.card.head != "embedding":
        raise NetworkError(
            f"'{net.card.name}' gives {net.card.head}, not embeddings, so its outputs cannot be compared by cosine. "
            "Use a verifier, or a network whose card has head='embedding'."
        )
    output = next(layer.name for layer in net.layers if layer.role == "embedding")
    kept = _Kept()
    stream(net, faces, [output], [kept], indices=indices, batch_size=batch_size, progress=progress)
    raw = torch.cat(kept.parts) if kept.parts else torch.zeros(0, 0)
    empty = (raw.norm(dim=1) == 0).nonzero()[:, 0]
    if len(empty):
        order = np.arange(len(faces)) if indices is None else np.asarray(indices)
        raise NetworkError(
            f"'{net.card.name}' gives an embedding of length 0, which has no direction, for image "
            f"'{faces.table['image_id'].iloc[order[int(empty[0])]]}'. Check the weights and the card."
        )
    return F.normalize(raw, dim=1)
