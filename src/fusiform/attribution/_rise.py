"""What is lost on average when a pixel is hidden together with random others."""

import torch
from torch import Tensor

from fusiform.attribution._parts import Parts, parts_of
from fusiform.attribution._perturbed import checked_count, checked_share, perturbed_scores
from fusiform.attribution._registry import Call, method
from fusiform.errors import SpecError
from fusiform.perturbation import Baseline, Masks, baseline
from fusiform.perturbation._random_masks import Occluders, RandomGrids


@method("rise", "perturbation")
def rise(
    call: Call,
    n_masks: int = 4000,
    cells: int = 7,
    probability: float = 0.5,
    baseline: Baseline = "mean",
    centred: bool = True,
) -> Tensor:
    """Mean score where a pixel is kept, less the mean score (Petsiuk and others, 2018).

    Published without the subtraction (``centred=False``): every pixel then has at least a positive score's mean.
    """
    checked_count("n_masks", n_masks, 2)
    checked_count("cells", cells, 1)
    checked_share("probability", probability)
    masks = RandomGrids(call.size, n_masks, cells, probability, call.generator())
    kept, total, mean = _sums(call, masks, baseline)
    return (kept if centred else kept + mean[:, None, None] * total) / (n_masks * probability)


@method("dise", "perturbation")
def dise(
    call: Call,
    n_masks: int = 1000,
    prior: Tensor | None = None,
    parts: Parts | None = None,
    occluders: int = 3,
    sigma: float | None = None,
    baseline: Baseline = "mean",
) -> Tensor:
    """Mean drop of the score where a pixel is hidden, less the mean drop (DISE; Williford and others, 2020).

    A few small occluders are drawn from a prior, by default from the parts of an aligned frontal face, all of which are
    hit equally often; what is never hidden is 0.
    """
    checked_count("n_masks", n_masks, 2)
    checked_count("occluders", occluders, 1)
    sigma = min(call.size) / 16 if sigma is None else sigma
    if not sigma > 0:
        raise SpecError(f"The option 'sigma' must be above 0 pixels; got {sigma!r}.")
    masks = Occluders(_prior(call, prior, parts), n_masks, occluders, sigma, call.generator())
    lost, covered, _ = _sums(call, masks, baseline, hidden=True)
    # One mask of the mean drop that hides everything keeps pixels near 0 that are hardly ever hidden.
    return -lost / (1 + covered)


def _sums(call: Call, masks: Masks, kind: Baseline, hidden: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over masks of the scores less their mean times what is kept, or hidden, and of that; and mean scores."""
    products = call.x.new_zeros(len(call.x), *call.size, dtype=torch.float64)
    total = torch.zeros_like(products)
    whole = call.scores[:, None]

    def add(start: int, stop: int, keep: Tensor, scores: Tensor) -> None:
        weights = 1 - keep if hidden else keep
        # Less the score of the whole image, so that sums stay small and single precision serves within a part.
        together = "nk,nkhw->nhw" if keep.dim() == 4 else "nk,khw->nhw"
        with torch.autocast(keep.device.type, enabled=False):
            products.add_(torch.einsum(together, scores - whole, weights))
        total.add_(weights.sum(dim=-3))

    base = baseline(call.net, call.x, kind, seed=call.seed)
    scores = perturbed_scores(call, masks, base, add).double()
    mean = scores.mean(dim=1)
    products -= (mean - whole[:, 0])[:, None, None] * total
    return products, total, mean


def _prior(call: Call, prior: Tensor | None, parts: Parts | None) -> Tensor:
    if prior is None:
        regions = parts_of(call, "face" if parts is None else parts, n_parts=32)
        # Each part as often as any other, however large.
        area = regions.sum(dim=(-2, -1), keepdim=True)
        prior = torch.where(area > 0, regions / area.clamp(min=1e-12), 0).sum(dim=-3)
    elif parts is not None:
        raise SpecError("Density-based RISE draws from 'prior' or from 'parts'; both are given.")
    if not isinstance(prior, Tensor) or tuple(prior.shape) not in (call.size, (len(call.x), *call.size)):
        got = tuple(prior.shape) if isinstance(prior, Tensor) else type(prior).__name__
        raise SpecError(f"The option 'prior' has shape {call.size}, or one for each image; got {got}.")
    if not prior.isfinite().all() or prior.min() < 0 or not (prior.sum(dim=(-2, -1)) > 0).all():
        raise SpecError(
            "The option 'prior' (or 'parts') must be finite, not negative, and above 0 somewhere."
        )
    return prior
