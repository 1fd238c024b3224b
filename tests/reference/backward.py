"""Ways back through a network as the papers write them: one image, one unit at a time, dense matrices, double precision."""

import numpy as np
import torch
from torch import nn


def dense(module, x):
    """Matrix and offset of an affine module for inputs like `x` (one image)."""
    with torch.no_grad():
        zero = torch.zeros_like(x)[None]
        offset = module(zero).flatten()
        columns = []
        for i in range(x.numel()):
            unit = zero.clone().view(-1)
            unit[i] = 1
            columns.append(module(unit.view_as(zero)).flatten() - offset)
    return torch.stack(columns, 1).numpy(), offset.numpy()


def steps_of(layers, x):
    """A chain of modules as a list of steps over flat vectors: affine, prelu (of slopes), or the greater of two halves."""
    steps = []
    for layer in layers:
        if isinstance(layer, nn.PReLU):
            per_unit = (
                layer.weight.detach().view(-1, 1).expand(-1, x[0].numel()) if x.dim() == 3 else layer.weight
            )
            steps.append(("prelu", per_unit.detach().flatten().numpy()))
        elif isinstance(layer, nn.ReLU):
            steps.append(("prelu", np.zeros(x.numel())))
        elif layer == "mfm":
            steps.append(("mfm", None))
            x = torch.maximum(*x.chunk(2))
            continue
        else:
            steps.append(("affine", dense(layer, x)))
        with torch.no_grad():
            x = layer(x[None])[0]
    return steps


def forward(steps, x):
    """All vectors on the way, the input first."""
    found = [x.flatten().numpy()]
    for kind, what in steps:
        z = found[-1]
        if kind == "affine":
            found.append(what[0] @ z + what[1])
        elif kind == "prelu":
            found.append(np.array([v if v > 0 else a * v for v, a in zip(z, what, strict=True)]))
        else:
            half = len(z) // 2
            found.append(np.array([max(z[i], z[half + i]) for i in range(half)]))
    return found


def backward(steps, x, grad, rule, base=None):
    """Carry a vector at the output back to the input by "gradient", "guided", "deconvolution" or "deep_lift"."""
    seen = forward(steps, x)
    seen_base = None if base is None else forward(steps, base)
    for number in reversed(range(len(steps))):
        (kind, what), z = steps[number], seen[number]
        if kind == "affine":
            grad = what[0].T @ grad
            continue
        back = np.zeros_like(z)
        for i, g in enumerate(grad):
            if kind == "prelu":
                slope = 1.0 if z[i] > 0 else what[i]
                if rule == "guided":
                    back[i] = g * slope if g > 0 and slope > 0 else 0
                elif rule == "deconvolution":
                    back[i] = max(g, 0)
                elif rule == "deep_lift":
                    old = seen_base[number][i]
                    change = seen[number + 1][i] - seen_base[number + 1][i]
                    back[i] = g * (slope if z[i] == old else change / (z[i] - old))
                else:
                    back[i] = g * slope
            else:
                other = i + len(z) // 2
                winner = i if z[i] > z[other] else other
                if rule == "deep_lift":
                    old = seen_base[number]
                    high, low = seen[number + 1][i], seen_base[number + 1][i]
                    if high < low:
                        winner = i if old[i] > old[other] else other
                    back[winner] = g * (high - low) / (z[winner] - old[winner])
                else:
                    back[winner] = max(g, 0) if rule in ("guided", "deconvolution") else g
        grad = back
    return grad.reshape(tuple(x.shape))


def numeric_gradient(score, x, step=1e-6):
    """Central differences of a score of one image."""
    found = torch.zeros_like(x).view(-1)
    for i in range(x.numel()):
        ends = []
        for sign in (1, -1):
            moved = x.clone().view(-1)
            moved[i] += sign * step
            ends.append(float(score(moved.view_as(x)[None])))
        found[i] = (ends[0] - ends[1]) / (2 * step)
    return found.view_as(x)


def slow_grad_cam(maps, slopes, plus_plus=False):
    """Grad-CAM (eqs. 5 and 6 without ReLU) or Grad-CAM++ of one image, before it is enlarged.

    Grad-CAM++ sums what is positive in a map, which of rectified ones, as published, is all.
    """
    total = np.zeros(maps.shape[1:])
    for a, g in zip(maps, slopes, strict=True):
        weight = 0.0
        for i in range(a.shape[0]):
            for j in range(a.shape[1]):
                if plus_plus:
                    below = 2 * g[i, j] ** 2 + a.clip(0).sum() * g[i, j] ** 3
                    weight += (g[i, j] ** 2 / below if below else 0) * max(g[i, j], 0)
                else:
                    weight += g[i, j] / a.size
        total += weight * a
    return total
