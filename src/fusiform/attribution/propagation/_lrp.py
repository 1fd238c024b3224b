"""Layer-wise relevance propagation as a method, and its plan."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from fusiform.attribution._attribute import _left_as_it_was
from fusiform.attribution._registry import Call, checked_scores, method
from fusiform.attribution.propagation._flow import Flow
from fusiform.attribution.propagation._intercept import Interceptor
from fusiform.attribution.propagation._rules import Relevance, Settings
from fusiform.attribution.propagation._steps import HANDLERS
from fusiform.errors import LayerError, SpecError, nearest
from fusiform.networks import FaceNetwork
from fusiform.targets import Start


def interceptor(net: FaceNetwork, flow: Flow) -> Interceptor:
    """Return what makes a network's functions follow the rules."""
    return Interceptor(net.module, net.card.name, flow, HANDLERS)


def few(call: Call) -> int:
    """How many images at once: all that a pass keeps of them has to fit into memory, better into the cache."""
    kept = 3 * 4 * sum(math.prod(layer.shape) for layer in call.net.layers)
    return max(1, min(8, int(call.memory_gb * 1e9 / max(kept, 1))))


@method("lrp", "propagation")
def lrp(
    call: Call,
    rule: str | Mapping[str, str] = "epsilon",
    epsilon: float = 1e-6,
    gamma: float = 0.25,
    alpha: float = 2.0,
    beta: float = 1.0,
) -> Tensor:
    """Layer-wise relevance propagation (Bach and others, 2015).

    Relevance starts as the score. Views, concatenations and maxima (pools, max-feature-maps) route it; sums and means
    share it by what each term adds; activations, PReLU too, pass it on; gates, attention weights and deviations of
    norms are constants (Ali and others, 2022). A batch norm is folded into the convolution or linear function before
    it. A function that has no rule is refused, by name.

    Kept is the score less what biases and other constants (shifts of batch norms, positions of tokens) add, and
    less what `epsilon` and the stabiliser of 1e-6 absorb: of a network without constants the map sums to the score.
    With alpha2-beta1 a unit without negative products gives on twice what it got.

    Parameters
    ----------
    rule : str or mapping from str to str, default "epsilon"
        Of functions with weights: ``"epsilon"``, ``"gamma"`` (generalised to negative inputs), ``"alpha2_beta1"``,
        ``"alpha_beta"``, ``"z_plus"``, ``"flat"``, ``"w_square"``, ``"z_box"`` (where pixels are read; epsilon
        elsewhere); or a composite (Kohlbrenner and others, 2020; Montavon and others, 2019), whose last rule is that of
        the first layer: ``"epsilon_plus"``, ``"epsilon_plus_flat"``, ``"epsilon_gamma_box"``,
        ``"epsilon_alpha2_beta1"``, ``"epsilon_alpha2_beta1_flat"``; or from modules' names to these, where the
        innermost module named decides, ``""`` is the whole network, and what is not named takes epsilon.
    epsilon : float, default 1e-6
        Of the epsilon rule.
    gamma : float, default 0.25
        Of the gamma rule.
    alpha, beta : float, default 2 and 1
        Of ``"alpha_beta"``; they differ by 1.
    """
    flow = _flow(call.net, rule, epsilon, gamma, alpha, beta)
    mode = interceptor(call.net, flow)
    maps = []
    for _, part in call.batches(call.batch_size or few(call)):
        x = part.x.detach().requires_grad_()
        flow.settings = replace(flow.settings, inputs=part.x)
        with mode.watching():
            start = started(mode, part, x)
        _all_used(call.net, flow)
        maps.append(torch.autograd.grad(start.tensor, x, start.relevance)[0].sum(dim=1))
    return torch.cat(maps)


def started(mode: Interceptor, part: Call, x: Tensor) -> Start:
    """Run the network under interception, and say where relevance starts.

    Raises
    ------
    NotApplicableError
        If a function on the way has no rule.
    AttributionError
        If the score is not finite.
    """
    # A copy, for networks that change their input in place.
    start = part.target.start(part.net, x.clone())
    checked_scores(start.relevance.flatten(1), f"of '{part.net.card.name}'")
    mode.audit(start.tensor)
    return start


def lrp_plan(
    net: FaceNetwork,
    rule: str | Mapping[str, str] = "epsilon",
    epsilon: float = 1e-6,
    gamma: float = 0.25,
    alpha: float = 2.0,
    beta: float = 1.0,
) -> pd.DataFrame:
    """Say which rule each function of a network gets, found by one forward pass of a zero image.

    Parameters
    ----------
    net : FaceNetwork
        The network; it is left as it was.
    rule, epsilon, gamma, alpha, beta
        As of the method ``"lrp"``.

    Returns
    -------
    DataFrame
        One row a function call, in forward order: `layer` (the module that calls it), `function`, `kind`, `rule`.
        Functions that only route numbers, such as views and maxima, have no rule and no row.

    Raises
    ------
    SpecError
        If there is no such rule.
    LayerError
        If a mapping names a module that holds no function with weights.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    >>> net = FaceNetwork(module, NetworkCard(name="tiny", input_size=(8, 8), head="logits"))
    >>> lrp_plan(net, "epsilon_plus")[["layer", "function", "rule"]].values.tolist()
    [['0', 'conv2d', 'z_plus'], ['1', 'relu', 'identity'], ['3', 'linear', 'epsilon']]
    """
    flow = _flow(net, rule, epsilon, gamma, alpha, beta)
    mode = interceptor(net, flow)
    x = torch.zeros(1, net.card.n_channels, *net.card.input_size, dtype=net.dtype, device=net.device)
    with _left_as_it_was(net), mode.watching():
        net(x.requires_grad_().clone())
    _all_used(net, flow)
    return pd.DataFrame(mode.rows, columns=["layer", "function", "kind", "rule"])


def _flow(
    net: FaceNetwork, rule: str | Mapping[str, str], epsilon: float, gamma: float, alpha: float, beta: float
) -> Relevance:
    for name, number in (("epsilon", epsilon), ("gamma", gamma), ("alpha", alpha), ("beta", beta)):
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < math.inf:
            raise SpecError(f"Option '{name}' of 'lrp' is a finite number from 0; got {number!r}.")
    if abs(alpha - beta - 1) > 1e-9:
        raise SpecError(
            f"Options 'alpha' and 'beta' of 'lrp' differ by 1, or relevance is not kept; got {alpha} and {beta}."
        )
    card = net.card
    ends = [[(end - m) / s for m, s in zip(card.mean, card.std, strict=True)] for end in card.value_range]
    low, high = (
        torch.tensor([pick(pair) for pair in zip(*ends, strict=True)], dtype=net.dtype, device=net.device)
        for pick in (min, max)
    )
    settings = Settings(epsilon, gamma, alpha, beta, low.view(-1, 1, 1), high.view(-1, 1, 1))
    return Relevance(rule, settings)


def _all_used(net: FaceNetwork, flow: Relevance) -> None:
    unused = [path for path in flow.rule if path not in flow.used] if isinstance(flow.rule, Mapping) else []
    if unused:
        modules = [path for path, _ in net.module.named_modules() if path]
        raise LayerError(
            f"A rule was given for '{unused[0]}', where '{net.card.name}' calls no function with weights; "
            f"{nearest(unused[0], modules)}"
        )
