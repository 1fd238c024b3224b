"""What each function of a network is to propagation."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fusiform.attribution.propagation._intercept import FunctionCall, Handler, Interceptor, Note, Same
from fusiform.attribution.propagation._weighted import ConvMap, LinearMap, Map, Weighted

HANDLERS: dict[str, Handler] = {}


def _handles(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def _named(call: FunctionCall, *names: str) -> dict[str, Any]:
    return dict(zip(names, call.args, strict=False)) | call.kwargs


def _one(*_: Any) -> float:
    return 1.0


# functions with weights --------------------------------------------------------------------------------


def _with_weights(
    mode: Interceptor, call: FunctionCall, map: Map, x: Tensor, weight: Tensor, bias: Tensor | None
) -> Tensor:
    first = not mode.beyond_weights(x)
    with torch.no_grad():
        value = call(*call.inputs)
    rule = mode.flow.rule_of(map, mode.path, first)
    layer = Weighted(map, x.detach(), weight.detach(), bias, value.detach(), mode.path, first, rule)
    x = Same.apply(x)
    return _carried(mode, call, layer, x, value, kind=map.kind, rule=rule)


def _carried(
    mode: Interceptor, call: FunctionCall, layer: Weighted, x: Tensor, value: Tensor, *, kind: str, rule: str
) -> Tensor:
    def back(relevance: Tensor) -> tuple[Tensor]:
        return (mode.flow.weighted(layer, relevance.to(layer.x.dtype)),)

    return mode.carry(call, lambda: value, back, [x], kind=kind, rule=rule, weighted=layer)


def _numbers(value: int | Sequence[int], dims: int) -> list[int]:
    return [value] * dims if isinstance(value, int) else list(value) * (dims if len(value) == 1 else 1)


@_handles("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _convolution(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    transposed, dims = "transpose" in call.op, int(call.op[-2])
    last = ("output_padding", "groups", "dilation") if transposed else ("dilation", "groups")
    given = _named(call, "input", "weight", "bias", "stride", "padding", *last)
    x, weight = given["input"], given["weight"]
    if weight.requires_grad or x.dim() != dims + 2:
        return None
    dilation, padding = _numbers(given.get("dilation", 1), dims), given.get("padding", 0)
    if padding == "same":
        around = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if any(a % 2 for a in around):
            x = F.pad(x, [side for a in reversed(around) for side in (a // 2, a - a // 2)])
            around = [0] * dims
        padding = [a // 2 for a in around]
    map = ConvMap(
        getattr(F, call.op),
        dims,
        stride=_numbers(given.get("stride", 1), dims),
        padding=_numbers(0 if padding == "valid" else padding, dims),
        dilation=dilation,
        groups=given.get("groups", 1),
        output_padding=_numbers(given.get("output_padding", 0), dims) if transposed else None,
    )
    return _with_weights(mode, call, map, x, weight, given.get("bias"))


@_handles("linear")
def _linear(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    given = _named(call, "input", "weight", "bias")
    if given["weight"].requires_grad:
        return None
    return _with_weights(mode, call, LinearMap(), given["input"], given["weight"], given.get("bias"))


@_handles("addmm")
def _addmm(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    given = _named(call, "input", "mat1", "mat2")
    bias, x, weight = given["input"], given["mat1"], given["mat2"]
    plain = given.get("beta", 1) == given.get("alpha", 1) == 1
    if bias.requires_grad or weight.requires_grad or bias.dim() != 1 or not plain:
        return None
    return _with_weights(mode, call, LinearMap(), x, weight.detach().t(), bias)


@_handles("matmul", "mm", "bmm", "mv", "einsum")
def _product(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    factors = [a for a in call.args if isinstance(a, Tensor)]
    if len(factors) != 2:
        return None
    places = [i for i, a in enumerate(call.args) if isinstance(a, Tensor)]
    function = _of_two(call, places)
    a, b = factors
    if not (a.requires_grad and b.requires_grad):
        if a.requires_grad:
            map, x, weight = Map(function, "product"), a, b
        else:
            map, x, weight = Map(lambda x, w: function(w, x), "product"), b, a
        if call.op in ("matmul", "mm") and a.requires_grad and b.dim() == 2 and a.dim() > 1:
            map, weight = LinearMap(), weight.detach().t()
        return _with_weights(mode, call, map, x, weight, None)
    gate = _gate(a, b)
    if gate is not None:
        # Weights of attention are constants (Ali and others, 2022).
        weights = gate.detach()
        if gate is a:
            return _shared(mode, call, lambda v: function(weights, v), [b], rule="weights constant")
        return _shared(mode, call, lambda v: function(v, weights), [a], rule="weights constant")
    return _halves(mode, call, function, a, b)


def _of_two(call: FunctionCall, places: list[int]) -> Callable[[Tensor, Tensor], Tensor]:
    repeated, kwargs = call.function, call.kwargs
    others = [None if i in places else a for i, a in enumerate(call.args)]

    def function(a: Tensor, b: Tensor) -> Tensor:
        args = others.copy()
        args[places[0]], args[places[1]] = a, b
        out: Tensor = repeated(*args, **kwargs)
        return out

    return function


def _halves(mode: Interceptor, call: FunctionCall, function: Any, a: Tensor, b: Tensor) -> Tensor:
    """Give each factor of a product half of the relevance (Achtibat and others, 2024)."""
    with torch.no_grad():
        value = function(a, b)

    def half(map: Map, x: Tensor, weight: Tensor) -> Weighted:
        return Weighted(map, x.detach(), weight.detach(), None, value.detach(), mode.path, False, "epsilon")

    to_a = half(Map(function, "product"), a, b)
    to_b = half(Map(lambda x, w: function(w, x), "product"), b, a)

    def back(relevance: Tensor) -> tuple[Tensor, Tensor]:
        return mode.flow.weighted(to_a, relevance / 2), mode.flow.weighted(to_b, relevance / 2)

    return mode.carry(call, lambda: value, back, [a, b], kind="product", rule="half to each factor")


# normalisation -----------------------------------------------------------------------------------------


@_handles("batch_norm")
def _batch_norm(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    if call.function is torch.batch_norm:
        names = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps")
    given = _named(call, *names)
    if given.get("training") or given["running_var"] is None:
        return None
    x = given["input"]
    scale = (given["running_var"] + given.get("eps", 1e-5)).rsqrt()
    if given.get("weight") is not None:
        scale = scale * given["weight"]
    shift = -given["running_mean"] * scale
    if given.get("bias") is not None:
        shift = shift + given["bias"]
    with torch.no_grad():
        value = call(*call.inputs)
    note = getattr(x.grad_fn, "note", None)
    if (
        isinstance(note, Note)
        and note.weighted
        and note.source is not None
        and note.weighted.map.foldable(value)
    ):
        layer = note.weighted.folded(scale, shift, value.detach())
        rule = f"{layer.rule}, folded into '{layer.path}'"
        return _carried(mode, call, layer, note.source, value, kind="batch_norm", rule=rule)
    scale = scale.view(-1, *[1] * (x.dim() - 2)) if x.dim() > 1 else scale
    return _affine(mode, call, lambda x: x * scale, x, value, sign=scale.sign)


@_handles("layer_norm", "group_norm", "instance_norm", "rms_norm")
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
    given = _named(call, *names[call.op])
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

    sign = _one if weight is None else weight.sign
    return _affine(mode, call, linear, x, value, sign=sign, rule="deviation constant")


@_handles("normalize", "local_response_norm")
def _length(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    """Divide by a norm, which is a constant."""
    return _passed(mode, call, call.inputs[0], rule="norm constant")


# sums and means ----------------------------------------------------------------------------------------


@_handles(
    *(f"{kind}pool{d}d" for kind in ("avg_", "adaptive_avg_") for d in (1, 2, 3)),
    *("mean", "sum", "interpolate", "upsample", "upsample_bilinear", "upsample_nearest"),
)
def _pooled(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    if len(call.inputs) != 1:
        return None
    return _shared(mode, call, call.repeated(), call.inputs)


@_handles("scaled_dot_product_attention")
def _attention(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    given = _named(call, "query", "key", "value", "attn_mask", "dropout_p")
    value = given.pop("value")
    if not value.requires_grad:
        return None
    fixed = {k: v.detach() if isinstance(v, Tensor) else v for k, v in given.items()}

    attention = call.function

    def attend(v: Tensor) -> Tensor:
        out: Tensor = attention(value=v, **fixed)
        return out

    return _shared(mode, call, attend, [value], rule="weights constant")


@_handles("add")
def _add(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    terms = [*call.args[:2], *(call.kwargs[k] for k in ("input", "other") if k in call.kwargs)]
    alpha = call.kwargs.get("alpha", 1)
    if len(call.inputs) == 2:
        a, b = terms
        if alpha != 1:
            b = _scaled(mode, call, b, alpha)
        return _shared(mode, call, torch.add, [a, b])
    with torch.no_grad():
        value = call(*call.inputs)
    factor = alpha if terms[1] is call.inputs[0] else 1
    return _shift(mode, call, value, factor)


@_handles("sub")
def _sub(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    terms = [*call.args[:2], *(call.kwargs[k] for k in ("input", "other") if k in call.kwargs)]
    alpha = call.kwargs.get("alpha", 1)
    reverse = call.name in ("__rsub__", "rsub")
    if reverse:
        terms.reverse()
    a, b = terms
    if len(call.inputs) == 2:
        return _shared(mode, call, torch.add, [a, _scaled(mode, call, b, -alpha)])
    with torch.no_grad():
        value = call(*call.inputs)
    return _shift(mode, call, value, -alpha if b is call.inputs[0] else 1)


def _shift(mode: Interceptor, call: FunctionCall, value: Tensor, factor: float) -> Tensor:
    (x,) = call.inputs
    shape = value.shape

    def linear(x: Tensor) -> Tensor:
        return (x * factor).expand(shape)

    return _affine(mode, call, linear, x, value, sign=lambda: 1.0 if factor > 0 else -1.0)


# products of numbers -----------------------------------------------------------------------------------


@_handles("mul")
def _mul(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    terms = [*call.args[:2], *(call.kwargs[k] for k in ("input", "other") if k in call.kwargs)]
    if len(call.inputs) == 1:
        other = terms[0] if terms[1] is call.inputs[0] else terms[1]
        return _scaled(mode, call, call.inputs[0], other)
    a, b = terms
    gate = _gate(a, b)
    if gate is not None:
        return _scaled(mode, call, b if gate is a else a, gate.detach(), rule="gate constant")
    value = a.detach() * b.detach()
    a, b = a.expand(value.shape), b.expand(value.shape)
    signs = (b.detach(), a.detach())

    def back(relevance: Tensor) -> list[Tensor]:
        return [mode.flow.passed(relevance / 2, other.sign) for other in signs]

    return mode.carry(call, lambda: value, back, [a, b], kind="product", rule="half to each factor")


@_handles("div")
def _div(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    a, b = [*call.args[:2], *(call.kwargs[k] for k in ("input", "other") if k in call.kwargs)]
    if call.name in ("__rdiv__", "__rtruediv__"):
        a, b = b, a
    if not (isinstance(a, Tensor) and a.requires_grad) or call.kwargs.get("rounding_mode"):
        return None
    return _scaled(mode, call, a, 1 / (b.detach() if isinstance(b, Tensor) else b), rule="divisor constant")


@_handles("neg", "negative")
def _neg(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    return _scaled(mode, call, call.inputs[0], -1)


def _scaled(
    mode: Interceptor, call: FunctionCall, x: Tensor, factor: Any, *, rule: str = "identity"
) -> Tensor:
    value = x.detach() * factor
    x = x.expand(value.shape)

    def back(relevance: Tensor) -> tuple[Tensor]:
        def sign() -> Any:
            return factor.sign() if isinstance(factor, Tensor) else (1.0 if factor >= 0 else -1.0)

        return (mode.flow.passed(relevance, sign),)

    return mode.carry(call, lambda: value, back, [x], kind="scale", rule=rule)


# functions of each number ------------------------------------------------------------------------------

_GATES = {"sigmoid": 2, "hardsigmoid": 2, "softmax": 2, "erf": 1, "tanh": 1}


@_handles(
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
    return _passed(mode, call, call.inputs[0], rule="identity")


def _passed(mode: Interceptor, call: FunctionCall, x: Tensor, *, rule: str) -> Tensor:
    with torch.no_grad():
        value = call(x)
    before, after = x.detach(), value.detach()
    turns = call.op in ("prelu", "leaky_relu", "abs")

    def sign() -> Any:
        # A negative slope turns what excites into what inhibits.
        return torch.where(before * after < 0, -1.0, 1.0).to(before) if turns else 1.0

    return mode.carry(
        call,
        lambda: value,
        lambda relevance: (mode.flow.passed(relevance, sign),),
        [x],
        kind="activation",
        rule=rule,
    )


# shared pieces -----------------------------------------------------------------------------------------


def _shared(
    mode: Interceptor, call: FunctionCall, function: Any, inputs: Sequence[Tensor], *, rule: str = "share"
) -> Tensor:
    fixed = [x.detach() for x in inputs]
    with torch.no_grad():
        value = function(*fixed)
    kept = value.detach()

    def back(relevance: Tensor) -> Sequence[Tensor]:
        return mode.flow.shared(function, fixed, kept, relevance)

    return mode.carry(call, lambda: value, back, inputs, kind="sum", rule=rule)


def _affine(
    mode: Interceptor,
    call: FunctionCall,
    linear: Any,
    x: Tensor,
    value: Tensor,
    *,
    sign: Any,
    rule: str = "share",
) -> Tensor:
    fixed, kept = x.detach(), value.detach()

    def back(relevance: Tensor) -> tuple[Tensor]:
        return (mode.flow.affine(linear, fixed, kept, relevance, sign),)

    return mode.carry(call, lambda: value, back, [x], kind="affine", rule=rule)


def _gate(a: Tensor, b: Tensor) -> Tensor | None:
    """Which of two factors only weighs the other one."""
    ranks = [_rank(t) for t in (a, b)]
    if ranks[0] == ranks[1]:
        ranks = [-t.numel() for t in (a, b)]
    if ranks[0] == ranks[1]:
        return None
    return a if ranks[0] > ranks[1] else b


def _rank(x: Tensor) -> int:
    """How much a tensor looks like weights: what made it, before shifts, scales and views."""
    node = x.grad_fn
    while node is not None:
        note = getattr(node, "note", None)
        if isinstance(note, Note):
            if note.op in _GATES:
                return _GATES[note.op]
            if note.kind not in ("scale", "affine"):
                return 0
        before = [n for n, _ in node.next_functions if n is not None]
        if len(before) != 1:
            return 0
        node = before[0]
    return 0
