from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fusiform.perturbation._incremental_patch import Patches, Sliding, aligned, whole
from fusiform.perturbation._incremental_tensor import RULES, PatchedTensor, Rule, refuse_aliased

_UNARY = (
    "abs clamp clamp_max clamp_min elu erf exp gelu hardsigmoid hardswish hardtanh leaky_relu log mish neg "
    "reciprocal relu rsqrt sigmoid silu softplus sqrt tanh threshold"
)
_BINARY = "add div maximum minimum mul pow rsub sub"
_NORMS = "_batch_norm_no_update _native_batch_norm_legit_no_training cudnn_batch_norm miopen_batch_norm native_batch_norm"


def rule(names: str) -> Any:
    """Register the rule of functions, by their names in ATen."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names.split(), function))
        return function

    return register


def _functional(func: Any) -> Any:
    packet = getattr(torch.ops.aten, func.overloadpacket.__name__.rstrip("_"))
    return getattr(packet, func._overloadname)


@rule(_UNARY)
def _unary(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, rest = args[0], args[1:]
    if not _alone(args, kwargs):
        return NotImplemented
    return _everywhere(func, x, lambda t: func(t, *rest, **kwargs))


def _alone(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the first is the only tensor."""
    others = (*args[1:], *kwargs.values())
    return isinstance(args[0], PatchedTensor) and not any(isinstance(a, Tensor) for a in others)


@rule("clone _to_copy")
def _copied(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    kwargs = {k: v for k, v in kwargs.items() if k != "memory_format"}
    return _everywhere(func, args[0], lambda t: func(t, **kwargs))


@rule(_NORMS)
def _batch_norm(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    names = [a.name for a in func._schema.arguments]
    if dict(zip(names, args, strict=False)).get("training", False) or not isinstance(args[0], PatchedTensor):
        return NotImplemented
    out = _everywhere(func, args[0], lambda t: func(t, *args[1:], **kwargs)[0])
    return (out, *(args[0].held.values.new_empty(0) for _ in func._schema.returns[1:]))


def _everywhere(func: Any, x: PatchedTensor, apply: Any) -> PatchedTensor:
    held = x.held
    base = None if held.base is None else x.bases.after(func, (held.base,), lambda: apply(held.base))
    return PatchedTensor(held.with_values(apply(held.values), base), x.bases)


@rule(" ".join(f"{name}_" for name in _UNARY.split()))
def _unary_in_place(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, rest = args[0], args[1:]
    if not _alone(args, kwargs):
        return NotImplemented
    base = x.held.base
    if base is not None:
        refuse_aliased(x)
        apart = _functional(func)
        base = x.bases.after(apart, (base,), lambda: apart(x.held.base, *rest, **kwargs))
    func(x.held.values, *rest, **kwargs)
    x.held = x.held.with_values(x.held.values, base)
    return x


@rule(_BINARY + " _prelu_kernel")
def _binary(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    held = _combined(func, args, kwargs)
    x = next(a for a in args if isinstance(a, PatchedTensor))
    return held if held is NotImplemented else PatchedTensor(held, x.bases)


@rule(" ".join(f"{name}_" for name in _BINARY.split() if name not in ("maximum", "minimum", "rsub")))
def _binary_in_place(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, other = args[0], args[1]
    if not isinstance(x, PatchedTensor):
        return NotImplemented
    if x.held.base is None:
        func(x.held.values, _whole(other), *args[2:], **kwargs)
        return x
    refuse_aliased(x)
    held = _combined(_functional(func), args, kwargs)
    if held is NotImplemented:
        return NotImplemented
    x.held = held
    return x


def _whole(value: Any) -> Any:
    return value.held.whole() if isinstance(value, PatchedTensor) else value


def _combined(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    a, b, rest = args[0], args[1], args[2:]
    x = a if isinstance(a, PatchedTensor) else b
    if isinstance(a, PatchedTensor) and isinstance(b, PatchedTensor):
        if a.held.map_size != b.held.map_size:
            return NotImplemented
        one, two = aligned([a.held, b.held])
        values = func(one.values, two.values, *rest, **kwargs)
        if one.base is None or two.base is None:
            return whole(values)
        bases = (one.base, two.base)
        return one.with_values(values, x.bases.after(func, bases, lambda: func(*bases, *rest, **kwargs)))
    other = b if x is a else a
    k, held = len(x), x.held

    def apply(t: Tensor) -> Tensor:
        out: Tensor = func(t, other, *rest, **kwargs) if x is a else func(other, t, *rest, **kwargs)
        return out

    if not isinstance(other, Tensor) or _constant(other):
        return _everywhere(func, x, apply).held
    if other.dim() == 4 and other.shape[0] == k and tuple(other.shape[2:]) in ((1, 1), held.map_size):
        # Each perturbation has its own: a gate of the whole map, or whole activations.
        return whole(apply(held.whole()))
    return NotImplemented


def _constant(other: Tensor) -> bool:
    shape = other.shape
    return all(s == 1 for s in (*shape[:-3], *shape[-2:])) and len(shape) <= 4


@rule("cat")
def _cat(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensors, dim = args[0], args[1] if len(args) > 1 else kwargs.get("dim", 0)
    if dim not in (1, -3) or not all(isinstance(t, PatchedTensor) for t in tensors):
        return NotImplemented
    many = aligned([t.held for t in tensors])
    values = torch.cat([p.values for p in many], dim=1)
    bases = tuple(p.base for p in many if p.base is not None)
    if len(bases) < len(many):
        held = whole(torch.cat([p.whole() for p in many], dim=1))
    else:
        held = many[0].with_values(
            values, tensors[0].bases.after(func, bases, lambda: torch.cat(bases, dim=1))
        )
    return PatchedTensor(held, tensors[0].bases)


@rule("alias detach slice split split_with_sizes")
def _view(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x = args[0]
    name = func.overloadpacket.__name__
    given = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | kwargs
    if name not in ("alias", "detach") and given.get("dim", 0) not in (1, -3):
        return NotImplemented
    x.aliased = True
    values, held = func(*((x.held.values, *args[1:])), **kwargs), x.held
    many = isinstance(values, list | tuple)
    parts = values if many else [values]
    bases: list[Tensor | None] = [None] * len(parts)
    if held.base is not None:
        made = x.bases.after(func, (held.base,), lambda: func(held.base, *args[1:], **kwargs))
        bases = list(made) if many else [made]
    out = [
        PatchedTensor(held.with_values(v, b), x.bases, aliased=True)
        for v, b in zip(parts, bases, strict=True)
    ]
    return out if many else out[0]


@rule("constant_pad_nd")
def _pad(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, pad = args[0], list(args[1])
    if len(pad) > 4 or min(pad) < 0:
        return NotImplemented
    held = x.held
    if held.base is None:
        return PatchedTensor(whole(func(held.values, *args[1:], **kwargs)), x.bases)
    left, _, top, _ = [*pad, 0, 0][:4]
    base = x.bases.after(func, (held.base,), lambda: func(held.base, *args[1:], **kwargs))
    return PatchedTensor(Patches(held.values.clone(), held.top + top, held.left + left, base), x.bases)


@rule("new_empty new_full new_ones new_zeros")
def _new(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return func(args[0].held.values, *args[1:], **kwargs)


# what slides over the map ----------------------------------------------------------------------------


def _pair(value: Any) -> tuple[int, int]:
    first, second = value if len(value) == 2 else (value[0], value[0])
    return (int(first), int(second))


@rule("convolution")
def _convolution(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, weight, bias, stride, padding, dilation, transposed, _, groups = args
    if transposed or not isinstance(x, PatchedTensor) or isinstance(weight, PatchedTensor):
        return NotImplemented
    sliding = Sliding(_pair(weight.shape[2:]), _pair(stride), _pair(padding), _pair(dilation))
    if isinstance(weight, nn.Parameter):  # else it may be made anew for each pass
        arrange = partial(weight.contiguous, memory_format=torch.channels_last)
        weight = x.bases.once(("weight", id(weight)), arrange)

    def apply(t: Tensor, padding: Any) -> Tensor:
        out: Tensor = func(t, weight, bias, stride, padding, dilation, False, [0, 0], groups)
        return out

    return _slid(func, x, sliding, 0.0, lambda t: apply(t, padding), lambda t: apply(t, [0, 0]))


@rule("max_pool2d_with_indices")
def _max_pool(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, kernel, stride, padding, dilation, _ = _given(func, args, kwargs)
    sliding = Sliding(_pair(kernel), _pair(stride or kernel), _pair(padding), _pair(dilation))
    out = _slid(
        func,
        x,
        sliding,
        float("-inf"),
        lambda t: func(t, *args[1:], **kwargs)[0],
        lambda t: func(t, kernel, stride, [0, 0], dilation, False)[0],
    )
    # Positions of maxima are not known in the map; who asks for them fails, and all is computed whole.
    return out, x.held.top.new_empty(0)


@rule("avg_pool2d")
def _average_pool(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, kernel, stride, padding, ceil, counted, divisor = _given(func, args, kwargs)
    if ceil or (max(padding) > 0 and not counted):
        return NotImplemented
    sliding = Sliding(_pair(kernel), _pair(stride or kernel), _pair(padding))
    return _slid(
        func,
        x,
        sliding,
        0.0,
        lambda t: func(t, *args[1:], **kwargs),
        lambda t: func(t, kernel, stride, [0, 0], False, True, divisor),
    )


def _given(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    left = func._schema.arguments[len(args) :]
    return [*args, *(kwargs.get(a.name, a.default_value) for a in left)]


def _slid(
    func: Any, x: PatchedTensor, sliding: Sliding, outside: float, padded: Any, bare: Any
) -> PatchedTensor:
    """Apply a function that pads by itself to the base, and one that does not to what patches see."""
    held, bases, before = x.held, x.bases, x.held.base
    if before is None:
        return PatchedTensor(whole(padded(held.values)), bases)
    base = bases.after(func, (before,), lambda: padded(before))
    map_size = (base.shape[2], base.shape[3])
    place, size = sliding.changed(held, map_size)
    if size == map_size:  # nothing of the base is left
        return PatchedTensor(whole(padded(held.whole())), bases)
    key = (sliding, outside, id(before))
    surround = bases.once(key, lambda: sliding.padded(before, map_size, outside))
    values = bare(sliding.seen(held, place, size, surround))
    return PatchedTensor(Patches(values, *place, base), bases)
