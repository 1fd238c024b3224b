"""Rules of layer-wise relevance propagation, and composites of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fusiform.attribution.propagation._flow import STABILISER, Flow, Function, Linear, stabilised
from fusiform.attribution.propagation._weighted import Contributions, Map, Weighted
from fusiform.errors import NotApplicableError, SpecError, nearest


@dataclass(frozen=True)
class Settings:
    """Numbers in the rules; the box is the range of inputs, (channels, 1, 1) each, with the inputs themselves."""

    epsilon: float = 1e-6
    gamma: float = 0.25
    alpha: float = 2.0
    beta: float = 1.0
    low: Tensor | None = None
    high: Tensor | None = None
    inputs: Tensor | None = None


def _epsilon(layer: Weighted, relevance: Tensor, settings: Settings) -> Tensor:
    share = relevance / stabilised(layer.value, settings.epsilon)
    return layer.x * layer.transpose(share, layer.weight)


def _positive(part: Tensor | float) -> Tensor | float:
    return part.clamp(min=0) if isinstance(part, Tensor) else max(part, 0.0)


def _gamma(layer: Weighted, relevance: Tensor, settings: Settings) -> Tensor:
    """A unit is shared out among products to which those of its own sign are added `gamma` times."""
    gamma, parts = settings.gamma, Contributions(layer)
    plus = _positive(layer.offset)
    # Where a unit has the other sign, its denominator may be anything, even 0.
    up = relevance * (layer.value > 0)
    up /= (layer.value + gamma * plus + STABILISER).add_(parts.positive, alpha=gamma).clamp_(min=STABILISER)
    found = parts.back_all(up, gamma)
    down = relevance * (layer.value < 0)
    if bool(down.any()):
        below = (layer.value + gamma * (layer.offset - plus) - STABILISER).sub_(parts.negative, alpha=gamma)
        down /= below.clamp_(max=-STABILISER)
        found += parts.back_all(down, 0)
        found += gamma * parts.back(None, down)
    return found


def _z_plus(layer: Weighted, relevance: Tensor, settings: Settings) -> Tensor:
    parts = Contributions(layer)
    return parts.back(relevance / parts.positive.add_(_positive(layer.offset) + STABILISER))


def _alpha_beta(layer: Weighted, relevance: Tensor, settings: Settings) -> Tensor:
    alpha, beta, parts = settings.alpha, settings.beta, Contributions(layer)
    extra = _positive(layer.offset) + STABILISER
    share = relevance / (parts.positive + extra).mul_(1 / alpha)
    if not beta:
        return parts.back(share)
    # What is negative, products and bias together, is what is positive less the output.
    against = (parts.positive - layer.value).add_(extra).clamp_(min=STABILISER)
    return parts.back(share, relevance / against.mul_(1 / beta))


def _alpha2_beta1(layer: Weighted, relevance: Tensor, settings: Settings) -> Tensor:
    return _alpha_beta(layer, relevance, Settings())


def _by_weights_alone(layer: Weighted, relevance: Tensor, weight: Tensor) -> Tensor:
    total = layer.forward(torch.ones_like(layer.x[:1]), weight)
    return layer.transpose(relevance / (total + STABILISER), weight)


def _flat(layer: Weighted, relevance: Tensor, settings: Settings) -> Tensor:
    return _by_weights_alone(layer, relevance, torch.ones_like(layer.weight))


def _w_square(layer: Weighted, relevance: Tensor, settings: Settings) -> Tensor:
    return _by_weights_alone(layer, relevance, layer.weight.square())


def _z_box(layer: Weighted, relevance: Tensor, settings: Settings) -> Tensor:
    inputs, low, high = settings.inputs, settings.low, settings.high
    if inputs is None or low is None or high is None or not _same(layer.x, inputs):
        raise NotApplicableError(
            f"The z-box rule needs the range of what a layer reads, and '{layer.path}' does not read the pixels "
            "themselves; take 'w_square' or 'flat' there."
        )
    plus = layer.weight.clamp(min=0)
    low, high = low.expand_as(layer.x[:1]), high.expand_as(layer.x[:1])
    value = layer.value - layer.offset
    value = value - layer.forward(low, plus) - layer.forward(high, layer.weight - plus)
    share = relevance / stabilised(value, STABILISER)
    # x w - low w+ - high w-, with w- = w - w+.
    return (layer.x - high) * layer.transpose(share, layer.weight) + (high - low) * layer.transpose(
        share, plus
    )


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b.to(a))


Rule = Callable[[Weighted, Tensor, Settings], Tensor]

RULES: dict[str, Rule] = {
    "epsilon": _epsilon,
    "gamma": _gamma,
    "alpha_beta": _alpha_beta,
    "alpha2_beta1": _alpha2_beta1,
    "z_plus": _z_plus,
    "flat": _flat,
    "w_square": _w_square,
    "z_box": _z_box,
}

# Rules of convolutions and of the first layer; all others take epsilon (Kohlbrenner and others, 2020).
COMPOSITES: dict[str, tuple[str, str]] = {
    "epsilon_plus": ("z_plus", "z_plus"),
    "epsilon_plus_flat": ("z_plus", "flat"),
    "epsilon_gamma_box": ("gamma", "z_box"),
    "epsilon_alpha2_beta1": ("alpha2_beta1", "alpha2_beta1"),
    "epsilon_alpha2_beta1_flat": ("alpha2_beta1", "flat"),
}

_OTHER_NAMES = {"w2": "w_square", "wsquared": "w_square", "box": "z_box"}


def find_rule(name: object) -> str:
    """Return the rule or composite of this name, however it is joined: ``"z+"`` is ``"z_plus"``.

    Raises
    ------
    SpecError
        If there is none; the message offers the nearest names.
    """
    known = [*RULES, *COMPOSITES]
    if isinstance(name, str):
        plain = name.lower().replace("²", "2").replace("+", "plus")
        plain = "".join(c for c in plain if c.isalnum())
        joined = {k.replace("_", ""): k for k in known} | _OTHER_NAMES
        if plain in joined:
            return joined[plain]
        raise SpecError(f"There is no rule or composite '{name}'; {nearest(name, known)}")
    raise SpecError(f"A rule is a name, or a mapping from layers to names; got {type(name).__name__}.")


@dataclass
class Relevance(Flow):
    """Layer-wise relevance propagation (Bach and others, 2015)."""

    rule: str | Mapping[str, str] = "epsilon"
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.used: set[str] = set()
        if isinstance(self.rule, Mapping):
            self.rule = {path: find_rule(name) for path, name in self.rule.items()}
        else:
            self.rule = find_rule(self.rule)

    def rule_of(self, map: Map, path: str, first: bool) -> str:
        """Name the rule of a function with weights: that of the nearest module named in a mapping."""
        name = "epsilon"
        if isinstance(self.rule, Mapping):
            around = [p for p in self.rule if p == "" or path == p or path.startswith(p + ".")]
            if around:
                nearest_one = max(around, key=len)
                self.used.update(around)
                name = self.rule[nearest_one]
        else:
            name = self.rule
        if name in COMPOSITES:
            of_convolutions, of_first = COMPOSITES[name]
            if first and of_first != of_convolutions:
                return of_first
            return of_convolutions if map.kind == "conv" else "epsilon"
        # A box is known of pixels only.
        return "epsilon" if name == "z_box" and not first and self.rule == "z_box" else name

    def weighted(self, layer: Weighted, relevance: Tensor) -> Tensor:
        """Apply the layer's rule."""
        return RULES[layer.rule](layer, relevance, self.settings)

    def shared(
        self, function: Function, inputs: Sequence[Tensor], value: Tensor, relevance: Tensor
    ) -> Sequence[Tensor]:
        """Share by what each input adds."""
        share = relevance / stabilised(value, STABILISER)
        return [x * found for x, found in zip(inputs, Linear(function, inputs).back(share), strict=True)]

    def affine(
        self, function: Function, x: Tensor, value: Tensor, relevance: Tensor, sign: Function
    ) -> Tensor:
        """Leave to the constant what it adds."""
        return self.shared(function, [x], value, relevance)[0]

    def passed(self, relevance: Tensor, sign: Function) -> Tensor:
        """Pass relevance on as it is."""
        return relevance
