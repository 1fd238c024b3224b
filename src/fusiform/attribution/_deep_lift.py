"""DeepLIFT with the rescale rule, for every function of a forward pass."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fusiform.attribution._composed import COMPOSED
from fusiform.attribution._gradients import images_at_once, input_gradients
from fusiform.attribution._integrated import unit_rule
from fusiform.attribution._local import Backward, LocalCall, rebuilt, tensors_of
from fusiform.attribution._registry import Call, checked_scores, method
from fusiform.errors import NotApplicableError
from fusiform.networks._roles import BOOKKEEPING
from fusiform.perturbation import Baseline, baseline

_SUMS = (
    "add sub isub neg sum mean cumsum cat stack hstack vstack dstack avg_pool1d avg_pool2d avg_pool3d "
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d interpolate upsample upsample_nearest "
    "upsample_bilinear pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle fold tril triu diagonal "
    "masked_fill where index_add index_fill zero fill"
)
_LINEAR = BOOKKEEPING | frozenset(_SUMS.split())
# Linear in each argument: exactly their mean slope at the midpoint if several derive from the image.
_PRODUCTS = (
    "mul imul matmul imatmul mm bmm addmm baddbmm addbmm dot inner outer einsum linear bilinear conv1d conv2d conv3d "
    "conv_transpose1d conv_transpose2d conv_transpose3d convolution addcmul"
)
_BILINEAR = frozenset(_PRODUCTS.split())
_CURVES = (
    "relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh sigmoid expit tanh "
    "softplus softsign logsigmoid threshold clamp hardshrink softshrink tanhshrink exp exp2 expm1 log log2 log10 log1p "
    "sqrt rsqrt square reciprocal abs absolute pow sin cos tan atan erf div idiv itruediv maximum max fmax minimum min "
    "fmin"
)
_ELEMENTWISE = frozenset(_CURVES.split())
_MAXIMA = frozenset(("max", "amax", "maximum", "fmax"))
_MINIMA = frozenset(("min", "amin", "minimum", "fmin"))
# Known to give one tensor that derives from the image.
_AT_ONCE = (_ELEMENTWISE | _BILINEAR) - _MAXIMA - _MINIMA - {"div"}
_NODES = (
    16  # of the integral over functions that have no closed form: batch statistics, p-norms, masked attention
)
_MISSED = 0.05  # share of the difference of scores that a map may miss, plus
_ROUNDING = 0.01  # that of its absolute values


@method("deep_lift", "gradient")
def deep_lift(call: Call, baseline: Baseline = "black") -> Tensor:
    """Contributions that sum to the score's difference from a baseline (Shrikumar and others, 2017; rescale rule).

    Every function passes back its mean slope on the straight line from what the baseline gives it to what the image gives
    it: for elementwise functions difference out over difference in (the rescale rule), for products the slope at
    the midpoint. Normalisations, softmax and attention are made of these; anything else is integrated by
    Gauss-Legendre's rule. A maximum passes
    the difference to the winner: the image's, if it gave the larger maximum, else the baseline's. So contributions
    add up through sums, gates, PReLU and max-feature-maps, and for similarities through the normalisation.
    """
    base = _base(call, baseline)
    maps = []
    for rows, part in call.batches(images_at_once(call)):
        maps.append(_of_batch(part, base[rows]).sum(dim=1))
    return torch.cat(maps)


def _base(call: Call, kind: Baseline) -> Tensor:
    return baseline(call.net, call.x, kind, seed=call.seed)


def _of_batch(call: Call, base: Tensor) -> Tensor:
    name, seen = call.net.card.name, {}

    def scores(x: Tensor) -> Tensor:
        at_base = _AtBaseline()
        with at_base:
            seen["base"] = call.target(call.net, base.detach().clone().requires_grad_().clone()).detach()
        checked_scores(seen["base"], f"of the baseline by '{name}'")
        at_image = _AtImage(at_base.inputs, name)
        with at_image:
            found = call.target(call.net, x)
        at_image.finish()
        seen["image"] = checked_scores(found.detach(), f"of '{name}'")
        return found

    contributions = (call.x - base) * input_gradients(call, scores, call.x)
    difference = seen["image"] - seen["base"]
    flat = contributions.flatten(1)
    missed = (flat.sum(dim=1) - difference).abs()
    rounding = 100 * torch.finfo(flat.dtype).eps * (seen["image"].abs() + seen["base"].abs())
    allowed = _MISSED * difference.abs() + _ROUNDING * flat.abs().sum(dim=1) + rounding
    worst = int((missed - allowed).argmax())
    if missed[worst] > allowed[worst]:
        raise NotApplicableError(
            f"Contributions of DeepLIFT sum to {float(flat[worst].sum()):.4g} for image {worst} of a batch, the scores "
            f"of image and baseline differ by {float(difference[worst]):.4g}: '{name}' calls something that cannot be "
            "seen into (an autograd function or scripted module of its own, values taken out of the graph). "
            "Use method='integrated_gradients'."
        )
    return contributions


class _Nonlinear(TorchFunctionMode):
    """Takes hold of every function that is not linear in what derives from the image."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not torch.is_grad_enabled():
            return func(*args, **kwargs)
        called = LocalCall(func, args, kwargs)
        if not called.inputs or _is_linear(called):
            return func(*args, **kwargs)
        if called.in_place or called.op in _AT_ONCE:
            return self._held(called)[0]
        if called.op in COMPOSED and not called.name.startswith("__r"):
            with self:
                found = COMPOSED[called.op](*args, **kwargs)
            if found is not NotImplemented:
                return found
        out = func(*args, **kwargs)
        if not any(tensor.requires_grad for tensor in tensors_of(out)):
            return out  # comparisons, sizes, indices
        return rebuilt(out, self._held(called))

    def _held(self, called: LocalCall) -> tuple[Tensor, ...]:
        raise NotImplementedError


class _AtBaseline(_Nonlinear):
    """Keeps what the functions are given for the baseline, and no graph."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: deque[tuple[str, list[Tensor]]] = deque()
        self._leaf = torch.zeros((), requires_grad=True)

    def _held(self, called: LocalCall) -> tuple[Tensor, ...]:
        given = [value.detach().clone() for value in called.inputs]
        self.inputs.append((called.op, given))

        def make(_: list[Tensor]) -> tuple[tuple[Tensor, ...], Backward]:
            return tensors_of(called(*given)), lambda grads: [self._leaf.detach()]

        # Derived from something, so that what follows is held too, but from no earlier function.
        return called.replaced(make, self._leaf)


class _AtImage(_Nonlinear):
    """Gives the functions their mean slopes between baseline and image as the way back."""

    def __init__(self, inputs: deque[tuple[str, list[Tensor]]], name: str) -> None:
        super().__init__()
        self._inputs, self._name = inputs, name

    def finish(self) -> None:
        if self._inputs:
            self._differs()

    def _differs(self) -> None:
        raise NotApplicableError(
            f"'{self._name}' took another way through its functions for the baseline than for the images, so that "
            "DeepLIFT cannot compare them. Use method='integrated_gradients'."
        )

    def _held(self, called: LocalCall) -> tuple[Tensor, ...]:
        op, before = self._inputs.popleft() if self._inputs else ("", [])
        shapes = [value.shape for value in called.inputs]
        if op != called.op or [value.shape for value in before] != shapes:
            self._differs()
        return called.replaced(lambda inputs: _mean_slope(called, inputs, before))


def _mean_slope(
    called: LocalCall, inputs: list[Tensor], before: list[Tensor]
) -> tuple[tuple[Tensor, ...], Backward]:
    if called.op in _ELEMENTWISE and len(inputs) == 1:
        outputs, plain = called.at(inputs)
        if outputs[0].shape == inputs[0].shape and len(outputs) == 1:
            return outputs, _rescale(called, inputs[0], before[0], outputs[0], plain)
    if called.op in _MAXIMA or called.op in _MINIMA or "max_pool" in called.op:
        return _of_maximum(called, inputs, before)
    if called.op in ("softmax", "log_softmax") and called.dim is not None:
        return _of_softmax(called, inputs[0], before[0], called.dim)
    return _integrated(called, inputs, before)


def _rescale(called: LocalCall, x: Tensor, before: Tensor, out: Tensor, plain: Backward) -> Backward:
    slope = _quotient(out - called(before), x, before, plain([torch.ones_like(out)])[0])
    return lambda grads: [grads[0] * slope]


def _of_maximum(
    called: LocalCall, inputs: list[Tensor], before: list[Tensor]
) -> tuple[tuple[Tensor, ...], Backward]:
    inputs = [value.clone() for value in inputs]
    outputs, at_image = called.at(inputs)
    outputs_before, at_base = called.at(before)
    out, out_before = outputs[0], outputs_before[0]
    # Either way the winner's own change is at least as large as the maximum's, so that slopes lie between 0 and 1.
    from_image = out <= out_before if called.op in _MINIMA else out >= out_before

    def backward(grads: Sequence[Tensor]) -> Sequence[Tensor]:
        grad, rest = grads[0], list(grads[1:])
        part = grad * (out - out_before)
        shares = zip(
            at_image([part * from_image, *rest]),
            at_base([part * ~from_image, *rest]),
            at_image([grad, *rest]),
            inputs,
            before,
            strict=True,
        )
        found = []
        for first, second, slope, x, old in shares:
            found.append(_quotient(first + second, x, old, slope))
        return found

    return outputs, backward


def _of_softmax(
    called: LocalCall, x: Tensor, before: Tensor, dim: int
) -> tuple[tuple[Tensor, ...], Backward]:
    # softmax = exp(log_softmax) and log_softmax = x - log(sum(exp(x))), each with its own mean slope.
    logs, old_logs = x.log_softmax(dim), before.log_softmax(dim)
    shift = torch.maximum(x.amax(dim, keepdim=True), before.amax(dim, keepdim=True))
    terms, old_terms = (x - shift).exp(), (before - shift).exp()
    sums, old_sums = terms.sum(dim, keepdim=True), old_terms.sum(dim, keepdim=True)
    of_log = _quotient(x.logsumexp(dim, True) - before.logsumexp(dim, True), sums, old_sums, 1 / sums)
    shares = _quotient(terms - old_terms, x, before, terms) * of_log
    slope = torch.ones_like(x)
    if called.op == "softmax":
        slope = _quotient(logs.exp() - old_logs.exp(), logs, old_logs, logs.exp())

    def backward(grads: Sequence[Tensor]) -> Sequence[Tensor]:
        grad = grads[0] * slope
        return [grad - shares * grad.sum(dim, keepdim=True)]

    with torch.no_grad():
        return (called(x),), backward


def _integrated(
    called: LocalCall, inputs: list[Tensor], before: list[Tensor]
) -> tuple[tuple[Tensor, ...], Backward]:
    inputs = [value.clone() for value in inputs]
    with torch.no_grad():
        out = tensors_of(called(*inputs))
    nodes, weights = unit_rule(1 if called.op in _BILINEAR else _NODES)

    def backward(grads: Sequence[Tensor]) -> Sequence[Tensor]:
        total = [torch.zeros_like(value) for value in inputs]
        for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
            there = [torch.lerp(old, new, node) for old, new in zip(before, inputs, strict=True)]
            for sum_, found in zip(total, called.at(there)[1](grads), strict=True):
                sum_.add_(found, alpha=weight)
        return total

    return out, backward


def _quotient(change: Tensor, x: Tensor, before: Tensor, slope: Tensor) -> Tensor:
    """Change over the change of `x`; the slope where that is nothing but rounding, or no number (at borders of -inf)."""
    moved = x - before
    seen = moved.abs() > 8 * torch.finfo(x.dtype).eps * (x.abs() + before.abs())
    return torch.where(seen, change / torch.where(seen, moved, 1), slope)


def _is_linear(called: LocalCall) -> bool:
    if called.op in _LINEAR or "dropout" in called.op:
        return True
    if called.op in _BILINEAR:
        return len(called.inputs) == 1
    if called.op == "batch_norm":
        training = called.kwargs.get("training", called.args[5] if len(called.args) > 5 else False)
        return len(called.inputs) == 1 and not training
    if called.op in ("div", "idiv", "itruediv"):
        backwards = called.name.startswith("__r")
        divided = called.args[0] if called.args else called.kwargs.get("input")
        return not backwards and len(called.inputs) == 1 and divided is called.inputs[0]
    return False
