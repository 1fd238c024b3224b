"""Strips of images with the activated area outlined."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from scipy.ndimage import binary_erosion
from torch import Tensor

from fusiform.activations import stream
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, Layer
from fusiform.runs import Run, atomic_write

_HEIGHT_PX = 96
_GAP_PX = 3
_OUTLINE_PX = 2
_OUTLINE = (255, 214, 0)
_OUTSIDE = 0.7
_QUALITY = 82
_STRIP = ["layer", "unit", "kind", "concept", "region"]


def outlined(
    image: UInt8[Tensor, "3 h w"], activation: Float[Tensor, "a b"], threshold: float
) -> UInt8[ndarray, "y x 3"]:
    """An image 96 pixels high: bright and with an outline where the upsampled activation exceeds the threshold.

    Parameters
    ----------
    image : uint8 tensor, shape (3, h, w)
        RGB.
    activation : tensor, shape (a, b)
        A unit's map, upsampled bilinearly.
    threshold : float
        The unit's.

    Returns
    -------
    uint8 array, shape (96, x, 3)
        RGB; x keeps the proportions.

    Examples
    --------
    >>> import torch
    >>> tile = outlined(torch.full((3, 8, 8), 100, dtype=torch.uint8), torch.tensor([[0.0, 1.0]]), 0.5)
    >>> tile.shape, tile[48, 10].tolist(), tile[48, 80].tolist()
    ((96, 96, 3), [70, 70, 70], [100, 100, 100])
    """
    from PIL import Image

    size = (_HEIGHT_PX, max(1, round(_HEIGHT_PX * image.shape[2] / image.shape[1])))
    picture = Image.fromarray(image.permute(1, 2, 0).numpy()).resize(size[::-1], Image.Resampling.BILINEAR)
    tile = np.asarray(picture).copy()
    up = F.interpolate(activation[None, None].float(), size=size, mode="bilinear", align_corners=False)
    inside = (up[0, 0] > threshold).numpy()
    tile[~inside] = (tile[~inside] * _OUTSIDE).astype(np.uint8)
    tile[inside & ~binary_erosion(inside, iterations=_OUTLINE_PX, border_value=1)] = _OUTLINE
    return tile


def draw_strips(
    run: Run,
    net: FaceNetwork,
    faces: FaceSet,
    chosen: pd.DataFrame,
    prefix: str,
    *,
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Draw the chosen images as strips, JPEG files in ``images/``.

    Parameters
    ----------
    run : Run
        Where they go.
    net : FaceNetwork
        The network, whose activations are computed anew for these images.
    faces : FaceSet
        The images as the network sees them.
    chosen : DataFrame
        From `final_choice`: a row an image.
    prefix : str
        Of the names of the files.
    batch_size : int
        Images a forward pass.
    progress : callable, optional
        Called with ``(done, total)`` images.

    Returns
    -------
    DataFrame
        The rows with the column ``file``; images of one strip, in the order of `rank`, share one file.
    """
    if not len(chosen):
        return chosen.assign(file=pd.Series(dtype="object"))
    rows = pd.Index(faces.table["image_id"]).get_indexer(chosen["image_id"])
    wanted = np.unique(rows)
    maps = _Maps(chosen, np.searchsorted(wanted, rows))
    layers = list(dict.fromkeys(chosen["layer"]))
    stream(net, faces, layers, [maps], indices=wanted, batch_size=batch_size, progress=progress)
    tiles: dict[int, ndarray] = {}
    for start in range(0, len(wanted), batch_size):
        images = dict(
            zip(range(start, len(wanted)), faces.images(wanted[start : start + batch_size]), strict=False)
        )
        for k in np.flatnonzero(np.isin(maps.places, list(images))):
            threshold = float(chosen["threshold"].iloc[k])
            tiles[int(k)] = outlined(images[int(maps.places[k])], maps.found[int(k)], threshold)
    files = np.empty(len(chosen), dtype=object)
    strips: Any = chosen.groupby(_STRIP, sort=False).indices
    for number, places in enumerate(strips.values()):
        ordered = places[np.argsort(chosen["rank"].to_numpy()[places], kind="stable")]
        file = f"{prefix}_{number:04d}.jpg"
        _write_strip(run, file, [tiles[int(k)] for k in ordered])
        files[places] = file
    return chosen.assign(file=files)


class _Maps:
    """Keeps the maps of the chosen units and images alone; `places` counts images in the order streamed."""

    def __init__(self, chosen: pd.DataFrame, places: Int[ndarray, " k"]) -> None:
        self.places = places
        self.found: dict[int, Tensor] = {}
        self._layers, self._units = chosen["layer"].to_numpy(), chosen["unit"].to_numpy()

    def update(self, layer: Layer, rows: slice, activations: Tensor) -> None:
        here = (self._layers == layer.name) & (self.places >= rows.start) & (self.places < rows.stop)
        for k in np.flatnonzero(here):
            one = activations[int(self.places[k]) - rows.start, int(self._units[k])].float().cpu().clone()
            # A vector's unit has one position.
            self.found[int(k)] = one if one.dim() == 2 else one.reshape(1, -1)


def _write_strip(run: Run, file: str, tiles: list[ndarray]) -> None:
    from PIL import Image

    gap = np.full((_HEIGHT_PX, _GAP_PX, 3), 255, dtype=np.uint8)
    parts = [part for tile in tiles for part in (gap, tile)][1:]
    with atomic_write(run.path / "images" / file) as part:
        Image.fromarray(np.concatenate(parts, axis=1)).save(part, format="JPEG", quality=_QUALITY)
