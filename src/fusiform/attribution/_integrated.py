"""Integrated Gradients."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fusiform.attribution._gradients import summed_gradients
from fusiform.attribution._perturbed import checked_count
from fusiform.attribution._registry import Call, method
from fusiform.errors import SpecError
from fusiform.perturbation import Baseline, baseline

_RULES = ("gauss_legendre", "trapezoid")


@method("integrated_gradients", "gradient")
def integrated_gradients(
    call: Call,
    steps: int = 64,
    baseline: Baseline = "black",
    rule: Literal["gauss_legendre", "trapezoid"] = "gauss_legendre",
) -> Tensor:
    """Gradient integrated from a baseline to the image (Sundararajan and others, 2017; eq. 4 of the survey).

    `steps` gradients are taken on the straight line. What a map sums to misses the difference of the scores of image
    and baseline by the error of the integration rule alone.
    """
    if rule not in _RULES:
        raise SpecError(f"'rule' of integrated_gradients is 'gauss_legendre' or 'trapezoid'; got {rule!r}.")
    checked_count("steps", steps, 2 if rule == "trapezoid" else 1)
    base = _base(call, baseline)
    nodes, weights = unit_rule(steps) if rule == "gauss_legendre" else _trapezoid(steps)
    at = nodes.to(call.x)[:, None, None, None]

    def between(rows: Tensor, steps: Tensor) -> Tensor:
        return torch.lerp(base[rows], call.x[rows], at[steps])

    return ((call.x - base) * summed_gradients(call, weights, between)).sum(dim=1)


def unit_rule(count: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights on [0, 1], float64; exact for polynomials of degree ``2 count - 1``."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)


def _trapezoid(count: int) -> tuple[Tensor, Tensor]:
    weights = torch.full((count,), 1 / (count - 1), dtype=torch.float64)
    weights[[0, -1]] /= 2
    return torch.linspace(0, 1, count, dtype=torch.float64), weights


def _base(call: Call, kind: Baseline) -> Tensor:
    # Apart, as the option of the method has the function's name.
    return baseline(call.net, call.x, kind, seed=call.seed)
