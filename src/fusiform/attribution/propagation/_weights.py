"""Functions with weights, and batch norms, which are folded into them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fusiform.attribution.propagation._intercept import FunctionCall, Interceptor, Note, Same
from fusiform.attribution.propagation._steps import affine, handles, named, shared, weigher
from fusiform.attribution.propagation._weighted import ConvMap, LinearMap, Map, Weighted


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


@handles("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _convolution(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    transposed, dims = "transpose" in call.op, int(call.op[-2])
    last = ("output_padding", "groups", "dilation") if transposed else ("dilation", "groups")
    given = named(call, "input", "weight", "bias", "stride", "padding", *last)
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


@handles("linear")
def _linear(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    given = named(call, "input", "weight", "bias")
    if given["weight"].requires_grad:
        return None
    return _with_weights(mode, call, LinearMap(), given["input"], given["weight"], given.get("bias"))


@handles("addmm")
def _addmm(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    given = named(call, "input", "mat1", "mat2")
    bias, x, weight = given["input"], given["mat1"], given["mat2"]
    plain = given.get("beta", 1) == given.get("alpha", 1) == 1
    if bias.requires_grad or weight.requires_grad or bias.dim() != 1 or not plain:
        return None
    return _with_weights(mode, call, LinearMap(), x, weight.detach().t(), bias)


@handles("matmul", "mm", "bmm", "mv", "einsum")
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
    gate = weigher(a, b, by_size=False)
    if gate is not None:
        # Weights of attention are constants (Ali and others, 2022).
        weights = gate.detach()
        if gate is a:
            return shared(mode, call, lambda v: function(weights, v), [b], rule="weights constant")
        return shared(mode, call, lambda v: function(v, weights), [a], rule="weights constant")
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


@handles("batch_norm")
def _batch_norm(mode: Interceptor, call: FunctionCall) -> Tensor | None:
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    if call.function is torch.batch_norm:
        names = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps")
    given = named(call, *names)
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
    return affine(mode, call, lambda x: x * scale, x, value, sign=scale.sign)
