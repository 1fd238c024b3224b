from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from fusiform.errors import NetworkError
from fusiform.faces import FaceSet, Template
from fusiform.faces._attach import with_points
from fusiform.faces._geometry import moved
from fusiform.networks._network import FaceNetwork

# Where the five points lie in the crop, as fractions of its side: their mean in the square about a face box that landmark
# networks are trained on (side 1.2 times the box's shorter side; LFW, CelebA), the crop then 18% tighter, which brought
# the most of the predicted points onto hand-drawn eyes, noses and mouths (FASSEG, yaw up to 45 degrees).
_FIVE = ((0.285, 0.374), (0.715, 0.374), (0.5, 0.631), (0.316, 0.819), (0.684, 0.819))
_POINTS = 68


def predict_landmarks(
    net: FaceNetwork,
    faces: FaceSet,
    *,
    batch_size: int = 64,
    progress: Callable[[int, int], Any] | None = None,
) -> FaceSet:
    """Find 68 landmarks with a network and attach them to the set.

    Each face is framed by its five points, upright and as large as landmark networks expect; a set without points is
    taken whole, as crops that fill the image.

    Parameters
    ----------
    net : FaceNetwork
        A network of 68 landmarks: 136 outputs, x1, y1, x2, y2, ... in iBUG's order as fractions of the crop's side,
        such as ``mobilefacenet_prelu?outputs=136&input=112x112&weights=FILE``.
    faces : FaceSet
        The faces, not aligned.
    batch_size : int, default 64
        Faces a forward pass.
    progress : callable, optional
        Called with ``(done, total)`` after each batch.

    Returns
    -------
    FaceSet
        The set with 68 points; NaN for faces whose five points are not known.

    Raises
    ------
    NetworkError
        If the network does not give 136 finite numbers an image.
    DataError
        If the faces are aligned.
    ImageError
        If an image cannot be read; `FaceSet.readable` leaves such images out.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> net = load_network("mobilefacenet_prelu?outputs=136&input=112x112")
    >>> predict_landmarks(net, open_faces("synthetic?n=2")).landmarks.shape
    (2, 68, 2)
    """
    found = np.full((len(faces), _POINTS, 2), np.nan)
    with_points(faces, found)  # an aligned set is refused before the work
    known = np.arange(len(faces))
    if faces.n_landmarks is None:
        framed = faces.resized(net.card.input_size)
    else:
        framed = faces.aligned(_template(net.card.input_size), missing="drop")
        known = np.flatnonzero(faces.table["image_id"].isin(framed.table["image_id"]))
    height, width = net.card.input_size
    for start in range(0, len(framed), max(1, batch_size)):
        here = np.arange(start, min(start + max(1, batch_size), len(framed)))
        with torch.no_grad():
            out = net(net.prepare(framed.images(here)))
        shape = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        if not isinstance(out, torch.Tensor) or shape != (len(here), 2 * _POINTS):
            raise NetworkError(
                f"'{net.card.name}' gives {shape}; 68 landmarks are 136 numbers an image, (n, 136). Load the weights of a "
                "landmark network, as in mobilefacenet_prelu?outputs=136&input=112x112&weights=FILE."
            )
        crops = out.double().cpu().numpy().reshape(-1, _POINTS, 2) * (width, height) - 0.5
        if not np.isfinite(crops).all():
            raise NetworkError(
                f"'{net.card.name}' gives NaN or infinite landmarks. Check its weights and card."
            )
        for i, points in zip(here, crops, strict=True):
            back = np.linalg.inv(framed._view._plan(framed._view.rows[i])[0])
            own = np.eye(3) if not faces._view.steps else faces._view._plan(framed._view.rows[i])[0]
            found[known[i]] = moved(points, own @ back)
        if progress is not None:
            progress(int(here[-1]) + 1, len(framed))
    return with_points(faces, found)


def _template(size: tuple[int, int]) -> Template:
    height, width = size
    points = tuple((x * width - 0.5, y * height - 0.5) for x, y in _FIVE)
    return Template("landmarks", size, points)
