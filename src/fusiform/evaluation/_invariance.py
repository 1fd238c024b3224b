"""Axioms about functions: equal functions, equal maps; equal features, equal shares."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from fusiform.errors import EvaluationError, NotApplicableError, nearest
from fusiform.evaluation._given import Explain, checked_inputs, made_maps, plain_scores
from fusiform.evaluation._reparameterised import VARIANTS, mirrored, reparameterised
from fusiform.evaluation._similarity import as_array, pearson
from fusiform.evaluation._summary import summarise
from fusiform.networks import FaceNetwork
from fusiform.targets import Activation, Target

_SAME = 1e-2  # of the spread of scores: beyond it the copy is another function


def implementation_invariance(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target | int,
    explain: Explain,
    *,
    variants: Sequence[str] = tuple(VARIANTS),
    groups: Sequence[Any] | np.ndarray | Tensor | None = None,
    tolerance: float = 0.01,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare maps of a network with those of copies that compute the same function in another way.

    Parameters
    ----------
    net : FaceNetwork
        The network.
    x : tensor, shape (n, channels, height, width)
        Inputs from ``net.prepare``.
    target : Target or int
        What is explained; the number of a class stands for its logit.
    explain : callable
        ``explain(net, x, target)`` makes maps (n, height, width). It must make them for the network that it is given.
    variants : sequence of str
        Which copies; all by default. ``"identity"``: a 1 x 1 convolution after the input that changes nothing;
        ``"rectified"``: the input as the difference of its rectified halves, relu(x) - relu(-x); ``"scaled"``: channels
        scaled up before each ReLU or PReLU module and down after it; ``"split"``: each convolution and fully connected layer
        as the sum of two.
    groups : sequence of n, optional
        Identity of each image, for the intervals.
    tolerance : float, default 0.01
        Relative difference up to which maps count as equal.
    seed : int, default 0
        Of scales and splits.

    Returns
    -------
    DataFrame
        One row a variant and metric (``relative_difference``: length of the difference over the length of the map;
        ``pearson``), with ``value, lower, upper, n``; ``score_error``, the largest difference of scores over the length of
        the scores (rounding); ``equal``, whether the relative difference of the least equal image is within
        the tolerance; and ``note``, why a variant could not be tried (then values are NaN and ``equal`` is missing).

    Raises
    ------
    EvaluationError
        If there is no such variant, or `explain` makes no finite maps of the inputs' size.

    References
    ----------
    Sundararajan, Taly and Yan (2017), axiom of implementation invariance.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    >>> net = FaceNetwork(module, NetworkCard(name="t", input_size=(2, 2), channels="grey", head="logits"))
    >>> def explain(net, x, target):
    ...     x = x.clone().requires_grad_()
    ...     return torch.autograd.grad(target(net, x).sum(), x)[0].sum(dim=1)
    >>> table = implementation_invariance(net, torch.rand(3, 1, 2, 2), 0, explain, variants=["split"])
    >>> table[["variant", "metric", "equal"]].values.tolist()
    [['split', 'relative_difference', True], ['split', 'pearson', True]]
    """
    for name in variants:
        if name not in VARIANTS:
            raise EvaluationError(f"There is no re-parameterisation '{name}'; {nearest(str(name), VARIANTS)}")
    x, target = checked_inputs(net, x, target)
    maps, scores = made_maps(explain, net, x, target), plain_scores(net, target, x)
    rows = []
    for name in variants:
        copy = reparameterised(net, name, seed)
        measured = {m: np.full(len(x), np.nan) for m in ("relative_difference", "pearson")}
        error, note = np.nan, "the network has no module that this variant changes"
        if copy is not None:
            length = float(scores.double().norm()) or 1.0
            error = float((plain_scores(copy, target, x) - scores).double().norm()) / length
            note = ""
            if error > _SAME:
                note = "the copy does not compute the same function: this network's numbers do not allow it"
            else:
                try:
                    others = made_maps(explain, copy, x, target)
                    measured["relative_difference"] = _relative(maps, others)
                    measured["pearson"] = pearson(as_array(maps), as_array(others))
                except NotApplicableError as reason:
                    note = str(reason)
        worst = measured["relative_difference"]
        equal = None if note or np.isnan(worst).all() else bool(np.nanmax(worst) <= tolerance)
        rows += [
            {"variant": name, "metric": m, **summarise(v, groups, seed=seed)._asdict()}
            | {"score_error": error, "equal": equal, "note": note}
            for m, v in measured.items()
        ]
    table = pd.DataFrame(rows)
    table["equal"] = table["equal"].astype("boolean") if len(table) else table.get("equal")
    table.insert(0, "network", net.card.name)
    return table


def symmetry(
    net: FaceNetwork, x: Float[Tensor, "n c h w"], target: Target | int, explain: Explain
) -> Float[Tensor, " n"]:
    """Say how far features that play the same part are from getting the same share.

    A copy of the network averages its output over an image and its mirror image, and images are averaged with their own: then
    each pixel and its mirror image are interchangeable, and a map must be its own mirror image.

    Parameters
    ----------
    net, x, target, explain
        As in `implementation_invariance`; a target on the output.

    Returns
    -------
    tensor, shape (n,)
        Length of the difference between the map and its mirror image over the length of the map; 0 at best, up to 2; NaN
        for a map of zeros.

    Raises
    ------
    EvaluationError
        If the target is a layer's activation, or `explain` makes no finite maps of the inputs' size.

    References
    ----------
    Shapley (1953); Sundararajan, Taly and Yan (2017), symmetry.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    >>> net = FaceNetwork(module, NetworkCard(name="t", input_size=(2, 2), channels="grey", head="logits"))
    >>> left_only = lambda net, x, target: torch.tensor([[[1.0, 0.0], [1.0, 0.0]]]).expand(len(x), -1, -1)
    >>> symmetry(net, torch.rand(1, 1, 2, 2), 0, left_only)
    tensor([1.4142])
    """
    x, target = checked_inputs(net, x, target)
    if isinstance(target, Activation):
        raise EvaluationError(
            "Symmetry is tested on a network's output; a target on a layer sees one of two mirror images."
        )
    even = (x + x.flip(3)) / 2
    maps = made_maps(explain, mirrored(net), even, target)
    return torch.from_numpy(_relative(maps, maps.flip(2))).to(x)


def _relative(maps: Tensor, others: Tensor) -> np.ndarray:
    lengths = maps.double().flatten(1).norm(dim=1)
    changes = (others.to(maps.device).double() - maps.double()).flatten(1).norm(dim=1)
    return np.asarray((changes / lengths.masked_fill(lengths == 0, torch.nan)).cpu().numpy())
