"""Systematic occlusion with reference to the canonical face."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from fusiform.attribution._attribute import _left_as_it_was, checked_call
from fusiform.attribution._occlusion import windows_of
from fusiform.attribution._perturbed import perturbed_scores
from fusiform.faces import canonical_coordinates, canonical_face, to_canonical
from fusiform.networks import FaceNetwork
from fusiform.perturbation import Baseline, Windows
from fusiform.perturbation import baseline as base_of
from fusiform.runs import Progress
from fusiform.targets import Target


class CanonicalWindows:
    """Windows on the canonical face, as masks of images.

    Parameters
    ----------
    windows : Windows
        On the canonical face.
    coordinates : tensor, shape (n, h, w, 2)
        Where on the canonical face each pixel lies, see `fusiform.faces.canonical_coordinates`.
    """

    def __init__(self, windows: Windows, coordinates: Float[Tensor, "n h w 2"]) -> None:
        self._windows, self._at = windows, coordinates

    def __len__(self) -> int:
        return len(self._windows)

    def part(self, start: int, stop: int) -> Bool[Tensor, "n k h w"]:
        """Return masks `start` to `stop`."""
        x, y = self._at[:, None].unbind(dim=-1)
        boxes = self._windows.boxes[start:stop, :, None, None].to(x) - 0.5
        top, left, bottom, right = boxes.unbind(dim=1)
        return ~((x >= left) & (x < right) & (y >= top) & (y < bottom))


def canonical_image_saliency(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target | int,
    landmarks: Float[Tensor | ndarray, "n 68 2"],
    *,
    window: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    baseline: Baseline = "mean",
    size: int = 128,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    seed: int = 0,
    autocast: torch.dtype | None = None,
    progress: Progress | None = None,
) -> Float[Tensor, "n s s"]:
    """Occlude faces place by place and say on the canonical face what each place is worth.

    A window slides over the canonical face and not over the image: in every image it covers the same place of the
    face, whatever the pose. The drop of the score (survey, eq. 1) is mapped back to the canonical face; a pixel has the
    mean over the windows that cover it.

    Parameters
    ----------
    net : FaceNetwork
        The network; it leaves the call as it entered it.
    x : tensor, shape (n, channels, height, width)
        Inputs from ``net.prepare``.
    target : Target or int
        What is explained; the number of a class stands for its probability.
    landmarks : tensor or array, shape (n, 68, 2)
        In pixels of the inputs: ``faces.resized(net.card.input_size).landmarks``.
    window, stride : int or (int, int), optional
        In pixels of the canonical face; by default a seventh of its side, in steps of half a window.
    baseline : str, float or tensor, default "mean"
        What is put in place of the pixels, see `fusiform.perturbation.baseline`.
    size : int, default 128
        Side of the canonical face in pixels.
    batch_size, memory_gb, seed, autocast, progress
        As of `attribute`.

    Returns
    -------
    tensor, shape (n, size, size)
        Signed, never rescaled; NaN beside the face and where the image does not show it.

    Raises
    ------
    DataError
        If landmarks are not known, or do not fit the inputs.
    SpecError
        If a size, window or stride is out of range.
    TargetError, AttributionError
        As of `attribute`.

    References
    ----------
    John et al., canonical image saliency maps, in sections 2.1 and 2.4 of the survey of visualization for face networks.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.faces import canonical_landmarks
    >>> from fusiform.networks import NetworkCard
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    >>> net = FaceNetwork(module, NetworkCard(name="tiny", input_size=(32, 32), head="logits"))
    >>> points = canonical_landmarks(32)[None]
    >>> canonical_image_saliency(net, torch.rand(1, 3, 32, 32), 1, points, size=32, window=16).shape
    torch.Size([1, 32, 32])
    """
    call = checked_call(
        net,
        x,
        target,
        "perturbation",
        seed=seed,
        batch_size=batch_size,
        memory_gb=memory_gb,
        progress=progress,
    )
    face = canonical_face(size)
    windows = _on_face(windows_of((size, size), window, stride), face.face)
    points = torch.as_tensor(landmarks, dtype=torch.float64).to(call.x.device)
    visible = to_canonical(call.x[:, 0], points, size)[1]
    base = base_of(net, call.x, baseline, seed=seed)
    maps = call.x.new_empty(0, size, size)
    precision = nullcontext() if autocast is None else torch.autocast(net.device.type, dtype=autocast)
    with _left_as_it_was(net), precision:
        for rows, few in call.batches():
            hidden = CanonicalWindows(windows, canonical_coordinates(points[rows], call.size, size))
            drops = few.scores[:, None] - perturbed_scores(few, hidden, base[rows])
            maps = torch.cat([maps, windows.spread(drops).to(maps)])
    return torch.where(visible, maps, torch.nan)


def _on_face(windows: Windows, face: Bool[Tensor, "s s"]) -> Windows:
    """The windows that cover something of the face."""
    covers = [bool(face[top:bottom, left:right].any()) for top, left, bottom, right in windows.boxes.tolist()]
    windows.boxes = windows.boxes[torch.tensor(covers)]
    return windows
