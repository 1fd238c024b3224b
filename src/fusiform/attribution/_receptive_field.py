"""Where in the image a unit looks from: the effective receptive field."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from torch import Tensor

from fusiform.attribution._attribute import _left_as_it_was
from fusiform.attribution._gradients import gradients, images_at_once
from fusiform.attribution._grids import find_grid
from fusiform.attribution._registry import Call, checked_scores
from fusiform.errors import AttributionError, NotApplicableError
from fusiform.networks import FaceNetwork
from fusiform.targets import Activation, Target

TWO_SIGMA = 1 - 0.9545
"""Share of the largest impact above which a pixel belongs to the effective receptive field."""


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """The effective receptive field of a unit beside its theoretical one.

    Parameters
    ----------
    map : tensor, shape (height, width)
        Mean absolute input gradient, channels summed.
    box : (int, int, int, int)
        The theoretical field, clipped to the image: top, left, bottom, right, the last two exclusive.
    size : float
        Side in pixels of a square of as many pixels as have an impact above 4.55% of the largest.
    relative_size : float
        `size` over that of the theoretical field.
    centre : (float, float)
        Row and column of the fitted Gaussian's centre.
    sigmas : (float, float)
        Its standard deviations in pixels, down and across.
    r2 : float
        Share of the map's variance over pixels that the Gaussian explains.

    References
    ----------
    Luo, Li, Urtasun and Zemel (2016), Understanding the effective receptive field in deep convolutional neural
    networks, section 3.
    """

    map: Float[Tensor, "h w"]
    box: tuple[int, int, int, int]
    size: float
    relative_size: float
    centre: tuple[float, float]
    sigmas: tuple[float, float]
    r2: float


def effective_receptive_field(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target,
    *,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
) -> Float[Tensor, "h w"]:
    """Measure how strongly a unit responds to each pixel, on average over images.

    Parameters
    ----------
    net : FaceNetwork
        The network; it leaves the call as it entered it.
    x : tensor, shape (n, channels, height, width)
        Inputs from ``net.prepare``: the more images, the smoother.
    target : Target
        A unit: an `Activation`, without a position the one at the layer's centre. Any other target serves too.
    batch_size : int, optional
        Images at once; by default as many as fit, at most 32.
    memory_gb : float, default 4
        Budget.

    Returns
    -------
    tensor, shape (height, width)
        Mean over images of the absolute gradient, channels summed.

    Raises
    ------
    AttributionError
        If there are no images, or inputs or gradients are not finite.

    References
    ----------
    Luo, Li, Urtasun and Zemel (2016), section 2.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))
    >>> net = FaceNetwork(module, NetworkCard(name="tiny", input_size=(9, 9)))
    >>> field = effective_receptive_field(net, torch.rand(2, 3, 9, 9), Activation("0", channel=0))
    >>> field.nonzero().amin(0).tolist(), field.nonzero().amax(0).tolist()
    ([3, 3], [5, 5])
    """
    call = _call(net, x, target, batch_size, memory_gb)
    total = call.x.new_zeros(call.size)
    with _left_as_it_was(net):
        for _, part in call.batches(images_at_once(call)):
            total += gradients(part).abs().sum(dim=(0, 1))
    return checked_scores(total[None].flatten(1), "behind the receptive field").view_as(total) / len(call.x)


def measure_receptive_field(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target,
    *,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
) -> ReceptiveField:
    """Measure a unit's effective receptive field, its size beside the theoretical one, and its shape.

    Parameters
    ----------
    net, x, target, batch_size, memory_gb
        As of `effective_receptive_field`.

    Returns
    -------
    ReceptiveField
        Map, theoretical field, sizes and the fitted Gaussian.

    Raises
    ------
    AttributionError
        As of `effective_receptive_field`, or if the unit responds to no pixel of these images.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1))
    >>> net = FaceNetwork(module, NetworkCard(name="tiny", input_size=(9, 9)))
    >>> measure_receptive_field(net, torch.rand(2, 3, 9, 9), Activation("1", channel=0)).box
    (2, 2, 7, 7)
    """
    field = effective_receptive_field(net, x, target, batch_size=batch_size, memory_gb=memory_gb)
    if not field.any():
        raise AttributionError(
            f"{target!r} of '{net.card.name}' responds to no pixel of these {len(x)} images: the unit is off. Give "
            "images on which it is active, or another unit."
        )
    call = _call(net, x, target, batch_size, memory_gb)
    box = _theoretical_box(call)
    area = (box[2] - box[0]) * (box[3] - box[1])
    size = float((field > TWO_SIGMA * field.max()).sum()) ** 0.5
    centre, sigmas, r2 = _fitted_gaussian(field.double().cpu().numpy())
    return ReceptiveField(field, box, size, size / area**0.5, centre, sigmas, r2)


def _call(net: FaceNetwork, x: Tensor, target: Target, batch_size: int | None, memory_gb: float) -> Call:
    net.check(x)
    if not len(x):
        raise AttributionError("A receptive field is a mean over images; got none.")
    x = x.detach().to(net.device, net.dtype)
    if not x.isfinite().all():
        raise AttributionError("Inputs hold values that are not finite.")
    target.check(len(x))
    return Call(net, x, _at_centre(net, target), batch_size=batch_size, memory_gb=memory_gb)


def _at_centre(net: FaceNetwork, target: Target) -> Target:
    if not isinstance(target, Activation) or target.position is not None:
        return target
    grid = find_grid(net, net.layer(target.layer))
    if grid is None:
        return target
    if grid.channels_last:
        raise NotApplicableError(
            f"'{target.layer}' of '{net.card.name}' keeps its channels last; name the unit's position."
        )
    return Activation(target.layer, target.channel, grid.centre, target.direction)


def _theoretical_box(call: Call) -> tuple[int, int, int, int]:
    """Rows and columns that can reach the unit: those where not-a-number comes through to it."""
    height, width = call.size
    spans = []
    for axis, length in ((2, height), (3, width)):
        reached = [
            _reached(replace(call, x=_spoiled(call.x[:1], lines, axis)), len(lines))
            for lines in torch.arange(length).split(images_at_once(call))
        ]
        lines = torch.cat(reached).nonzero()[:, 0].tolist()
        # Something without an order on not-a-number hides it: then the whole image counts.
        spans.append((lines[0], lines[-1] + 1) if lines else (0, length))
    (top, bottom), (left, right) = spans
    return top, left, bottom, right


def _spoiled(x: Tensor, lines: Tensor, axis: int) -> Tensor:
    spoiled = torch.zeros_like(x).repeat(len(lines), 1, 1, 1)
    # A view with the axis in second place.
    spoiled.movedim(axis, 1)[torch.arange(len(lines)), lines] = float("nan")
    return spoiled


def _reached(call: Call, count: int) -> Bool[Tensor, " n"]:
    target = call.target
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):  # fast convolutions smear over tiles
        if not isinstance(target, Activation):
            return target.rows(torch.zeros(count, dtype=torch.long))(call.net, call.x).isnan().cpu()
        found = call.net.activations(call.x, [target.layer])[target.layer]
    # Read off here: the target's weights of 0 elsewhere times not-a-number would be not-a-number.
    weights = target._weights(tuple(found.shape[1:]), found)
    return (found.isnan() & (weights != 0)).flatten(1).any(dim=1).cpu()


def _fitted_gaussian(
    field: NDArray[np.float64],
) -> tuple[tuple[float, float], tuple[float, float], float]:
    rows, columns = np.indices(field.shape)

    def gaussian(
        at: NDArray[np.float64], peak: float, row: float, column: float, down: float, across: float
    ) -> NDArray[np.float64]:
        return peak * np.exp(-0.5 * (((at[0] - row) / down) ** 2 + ((at[1] - column) / across) ** 2))

    total = field.sum()
    row, column = (rows * field).sum() / total, (columns * field).sum() / total
    down = max(0.5, float(((rows - row) ** 2 * field).sum() / total) ** 0.5)
    across = max(0.5, float(((columns - column) ** 2 * field).sum() / total) ** 0.5)
    at, values = np.stack([rows.ravel(), columns.ravel()]).astype(float), (field / field.max()).ravel()
    bounds = ([0, -np.inf, -np.inf, 0.05, 0.05], [np.inf] * 5)
    try:
        fit = curve_fit(gaussian, at, values, p0=(1.0, row, column, down, across), bounds=bounds)[0]
    except RuntimeError:  # no convergence: the moments
        fit = np.array([1.0, row, column, down, across])
    left = values - gaussian(at, *fit)
    spread = ((values - values.mean()) ** 2).sum()
    r2 = float(1 - (left**2).sum() / spread) if spread > 0 else float("nan")
    return (float(fit[1]), float(fit[2])), (float(fit[3]), float(fit[4])), r2
