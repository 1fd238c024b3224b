"""Which images two sets share, to the pixel or nearly."""

import hashlib

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from fusiform.errors import DataError, ImageError
from fusiform.faces._face_set import FaceSet
from fusiform.faces._sources import Progress, chunks
from fusiform.faces.dictionary._dictionary import FaceDictionary

_SIDE = 16
NEAR = 0.99
"""From which correlation of two pictures, reduced to 16 x 16 grey values, they count as one."""


def overlap(
    dictionary: FaceDictionary | FaceSet,
    faces: FaceSet,
    *,
    near: float = NEAR,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Find images of a dictionary that are in another set too, such as the one a network was trained on.

    Original images are compared, whatever was aligned or resized: identical pixels, and pictures that are nearly the same
    after both are reduced to 16 x 16 grey values, as copies at another size or compression are.

    Parameters
    ----------
    dictionary : FaceDictionary or FaceSet
        The images asked about.
    faces : FaceSet
        The other set.
    near : float, default 0.99
        From which correlation of the reduced pictures two are one; 1 finds identical pixels alone.
    progress : callable, optional
        Called with ``(done, total)`` images of both sets.

    Returns
    -------
    DataFrame
        ``image_id`` of the dictionary, ``other_id``, ``kind`` ("same pixels" or "near") and ``correlation``, for each image
        its nearest; empty without overlap. Images that cannot be read are passed over.

    Raises
    ------
    DataError
        If `near` is not in (0, 1].

    Examples
    --------
    >>> faces = FaceSet.from_arrays(np.random.default_rng(0).integers(0, 255, (3, 3, 20, 20), dtype=np.uint8))
    >>> overlap(faces.subset([0, 2]), faces)[["image_id", "other_id", "kind"]].values.tolist()
    [['0', '0', 'same pixels'], ['2', '2', 'same pixels']]
    """
    if not 0 < near <= 1:
        raise DataError(f"'near' is a correlation in (0, 1]; got {near}.")
    mine = dictionary.faces if isinstance(dictionary, FaceDictionary) else dictionary
    total = len(mine) + len(faces)
    keys, small = _pictures(mine, progress, 0, total)
    other_keys, other_small = _pictures(faces, progress, len(mine), total)
    at: dict[str, int] = {}
    for j, key in enumerate(other_keys):
        if key:
            at.setdefault(key, j)
    ids, other_ids = (each.table["image_id"].astype(str).tolist() for each in (mine, faces))
    rows: list[tuple[str, str, str, float]] = []
    for chunk in chunks(range(len(mine)), 512):
        index = list(chunk)
        alike = small[index] @ other_small.T if len(faces) else np.zeros((len(index), 1), dtype=np.float32)
        best, value = alike.argmax(axis=1), alike.max(axis=1)
        for i, j, r in zip(index, best.tolist(), value.tolist(), strict=True):
            if keys[i] and keys[i] in at:
                rows.append((ids[i], other_ids[at[keys[i]]], "same pixels", 1.0))
            elif near < 1 and r >= near:
                rows.append((ids[i], other_ids[j], "near", min(1.0, r)))
    types = {"image_id": "string", "other_id": "string", "kind": "string", "correlation": "float64"}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _pictures(
    faces: FaceSet, progress: Progress | None, before: int, total: int
) -> tuple[list[str], Float[ndarray, "n d"]]:
    """Digest and reduced picture, centred and of length 1, of each original; "" and zeros where it cannot be read."""
    view = faces._view
    keys: list[str] = []
    small = np.zeros((len(view.rows), _SIDE * _SIDE), dtype=np.float32)
    for chunk in chunks(range(len(view.rows))):
        rows = [view.rows[i] for i in chunk]
        try:
            images: list[ndarray | None] = list(view.source.read(rows))
        except ImageError:
            images = [_one(faces, row) for row in rows]
        for i, image in zip(chunk, images, strict=True):
            if image is None:
                keys.append("")
                continue
            keys.append(f"{image.shape}{hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()}")
            grey = Image.fromarray(image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
            values = np.asarray(grey, dtype=np.float32).ravel()
            values = values - values.mean()
            length = float(np.linalg.norm(values))
            # A picture of one grey level is like any other.
            small[i] = values / length if length > _SIDE else 0.0
        if progress is not None:
            progress(before + int(chunk[-1]) + 1, total)
    return keys, small


def _one(faces: FaceSet, row: int) -> ndarray | None:
    try:
        return faces._view.source.read([row])[0]
    except ImageError:
        return None
