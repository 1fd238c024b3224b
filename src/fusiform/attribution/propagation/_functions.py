"""Functions without weights: norms, sums, products and activations."""

import torch
from torch import Tensor

from fusiform.attribution.propagation._intercept import FunctionCall, Interceptor
from fusiform.attribution.propagation._steps import (
    affine,
    handles,
    named,
    one,
    passed,
    scaled,
    shared,
    weigher,
)

# normalisation -----------------------------------------------------------------------------------------


@handles("layer_norm", "group_norm", "instance_norm", "rms_norm")
def _norm(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    """Mean and deviation within an image; the deviation is a constant (Ali and others, 2022)."""
    names = {
        "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
        "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
        "instance_norm": (
            "input",
            "running_mean",
            "running_var",
            "weight",
            "bias",
            "use_input_stats",
            "_",
            "eps",
        ),
        "rms_norm": ("input", "normalized_shape", "weight", "eps"),
    }
    given = named(call, *names[call.op])
    if call.op == "instance_norm" and not given.get("use_input_stats", True):
        return None
    x, weight, bias = given["input"], given.get("weight"), given.get("bias")
    with torch.no_grad():
        value = call(*call.inputs)
    by_channel = call.op in ("group_norm", "instance_norm")
    if by_channel:
        weight, bias = (None if w is None else w.view(-1, *[1] * (x.dim() - 2)) for w in (weight, bias))
    scale = 1.0 if weight is None else weight
    groups = given.get("num_groups", x.shape[1]) if by_channel else 0

    def grouped(x: Tensor) -> Tensor:
        return x.reshape(len(x), groups, -1) if by_channel else x

    dims = [-1] if by_channel else list(range(-len(given["normalized_shape"]), 0))
    fixed = grouped(x.detach())
    if call.op == "rms_norm":
        eps = given.get("eps")
        eps = torch.finfo(x.dtype).eps if eps is None else eps
        centre, deviation = False, (fixed.square().mean(dims, keepdim=True) + eps).sqrt()
    else:
        centre = True
        deviation = (fixed.var(dims, keepdim=True, correction=0) + given.get("eps", 1e-5)).sqrt()

    def linear(x: Tensor) -> Tensor:
        parts = grouped(x)
        if centre:
            parts = parts - parts.mean(dims, keepdim=True)
        return (parts / deviation).reshape(x.shape) * scale

    sign = one if weight is None else weight.sign
    return affine(mode, call, linear, x, value, sign=sign, rule="deviation constant")


@handles("normalize", "local_response_norm")
def _length(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    """Divide by a norm, which is a constant."""
    return passed(mode, call, call.inputs[0], rule="norm constant")


# sums and means ----------------------------------------------------------------------------------------


@handles(
    *(f"{kind}pool{d}d" for kind in ("avg_", "adaptive_avg_") for d in (1, 2, 3)),
    *("mean", "sum", "interpolate", "upsample", "upsample_bilinear", "upsample_nearest"),
)
def _pooled(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    if len(call.inputs) != 1:
        return None
    return shared(mode, call, call.repeated(), call.inputs)


@handles("scaled_dot_product_attention")
def _attention(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    given = named(call, "query", "key", "value", "attn_mask", "dropout_p")
    value = given.pop("value")
    if not value.requires_grad:
        return None
    fixed = {k: v.detach() if isinstance(v, Tensor) else v for k, v in given.items()}

    attention = call.function

    def attend(v: Tensor) -> Tensor:
        out: Tensor = attention(value=v, **fixed)
        return out

    return shared(mode, call, attend, [value], rule="weights constant")


@handles("add")
def _add(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    terms = [*call.args[:2], *(call.kwargs[k] for k in ("input", "other") if k in call.kwargs)]
    alpha = call.kwargs.get("alpha", 1)
    if len(call.inputs) == 2:
        a, b = terms
        if alpha != 1:
            b = scaled(mode, call, b, alpha)
        return shared(mode, call, torch.add, [a, b])
    with torch.no_grad():
        value = call(*call.inputs)
    factor = alpha if terms[1] is call.inputs[0] else 1
    return _shift(mode, call, value, factor)


@handles("sub")
def _sub(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    terms = [*call.args[:2], *(call.kwargs[k] for k in ("input", "other") if k in call.kwargs)]
    alpha = call.kwargs.get("alpha", 1)
    reverse = call.name in ("__rsub__", "rsub")
    if reverse:
        terms.reverse()
    a, b = terms
    if len(call.inputs) == 2:
        return shared(mode, call, torch.add, [a, scaled(mode, call, b, -alpha)])
    with torch.no_grad():
        value = call(*call.inputs)
    return _shift(mode, call, value, -alpha if b is call.inputs[0] else 1)


def _shift(mode: Interceptor, call: FunctionCall, value: Tensor, factor: float) -> Tensor:
    (x,) = call.inputs
    shape = value.shape

    def linear(x: Tensor) -> Tensor:
        return (x * factor).expand(shape)

    return affine(mode, call, linear, x, value, sign=lambda: 1.0 if factor > 0 else -1.0)


# products of numbers -----------------------------------------------------------------------------------


@handles("mul")
def _mul(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    terms = [*call.args[:2], *(call.kwargs[k] for k in ("input", "other") if k in call.kwargs)]
    if len(call.inputs) == 1:
        other = terms[0] if terms[1] is call.inputs[0] else terms[1]
        return scaled(mode, call, call.inputs[0], other)
    a, b = terms
    gate = weigher(a, b, by_size=True)
    if gate is not None:
        return scaled(mode, call, b if gate is a else a, gate.detach(), rule="gate constant")
    value = a.detach() * b.detach()
    a, b = a.expand(value.shape), b.expand(value.shape)
    signs = (b.detach(), a.detach())

    def back(relevance: Tensor) -> list[Tensor]:
        return [mode.flow.passed(relevance / 2, other.sign) for other in signs]

    return mode.carry(call, lambda: value, back, [a, b], kind="product", rule="half to each factor")


@handles("div")
def _div(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    a, b = [*call.args[:2], *(call.kwargs[k] for k in ("input", "other") if k in call.kwargs)]
    if call.name in ("__rdiv__", "__rtruediv__"):
        a, b = b, a
    if not (isinstance(a, Tensor) and a.requires_grad) or call.kwargs.get("rounding_mode"):
        return None
    return scaled(mode, call, a, 1 / (b.detach() if isinstance(b, Tensor) else b), rule="divisor constant")


@handles("neg", "negative")
def _neg(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    return scaled(mode, call, call.inputs[0], -1)


# functions of each number ------------------------------------------------------------------------------


@handles(
    *[
        "relu",
        "relu6",
        "leaky_relu",
        "prelu",
        "rrelu",
        "elu",
        "selu",
        "celu",
        "gelu",
        "silu",
        "mish",
        "hardswish",
        "hardsigmoid",
        "hardtanh",
        "sigmoid",
        "tanh",
    ],
    *[
        "softplus",
        "softsign",
        "logsigmoid",
        "threshold",
        "clamp",
        "hardshrink",
        "softshrink",
        "tanhshrink",
        "softmax",
        "log_softmax",
        "abs",
        "erf",
    ],
)
def _activation(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    if len(call.inputs) != 1:
        return None
    return passed(mode, call, call.inputs[0], rule="identity")
