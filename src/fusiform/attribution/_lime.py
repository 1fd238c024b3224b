"""A linear model of the score near an image."""

import torch
from torch import Tensor

from fusiform.attribution._parts import Parts, in_groups, spread_over
from fusiform.attribution._perturbed import checked_count, perturbed_scores
from fusiform.attribution._registry import Call, method
from fusiform.errors import SpecError
from fusiform.perturbation import Baseline, CoalitionMasks


@method("lime", "perturbation")
def lime(
    call: Call,
    samples: int = 1000,
    parts: Parts = "superpixels",
    n_parts: int = 32,
    kernel_width: float = 0.25,
    ridge: float = 1.0,
    baseline: Baseline = "mean",
) -> Tensor:
    """Coefficients of a linear model on random coalitions of superpixels or parts, shared by their pixels (LIME).

    Each part is kept with probability one half; a coalition weighs ``exp(-d^2 / (2 kernel_width^2))``, where d is its cosine
    distance from the whole; ridge regression with an intercept (Ribeiro and others, 2016, as published for images).
    """
    from sklearn.linear_model import Ridge

    for name, value, least in (("kernel_width", kernel_width, "above"), ("ridge", ridge, "at least")):
        if not isinstance(value, int | float) or not (value > 0 or (value == 0 and least == "at least")):
            raise SpecError(f"The option '{name}' must be {least} 0; got {value!r}.")
    checked_count("n_parts", n_parts, 2)
    maps = call.x.new_zeros(len(call.x), *call.size)
    for rows, few, regions, base, present in in_groups(call, parts, n_parts, baseline):
        p = regions.shape[-3]
        if not p:
            continue
        checked_count("samples", samples, len(present))
        coalitions = (torch.rand(samples, p, generator=call.generator()) < 0.5).float()
        coalitions[0] = 1  # the image itself
        scores = perturbed_scores(few, CoalitionMasks(regions, coalitions), base).double().cpu()
        distance = 1 - (coalitions.double().sum(dim=1) / p).sqrt()
        weights = torch.exp(-(distance**2) / (2 * kernel_width**2))
        model = Ridge(alpha=ridge).fit(
            coalitions.double().numpy(), scores.T.numpy(), sample_weight=weights.numpy()
        )
        values = torch.from_numpy(model.coef_).reshape(len(scores), p)
        maps[rows] = spread_over(values.to(call.x), regions)
    return maps
