"""The kinds of functions that propagation knows, as nodes of the graph."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fusiform.attribution.propagation._intercept import FunctionCall, Handler, Interceptor, Note

HANDLERS: dict[str, Handler] = {}


def handles(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def named(call: FunctionCall, *names: str) -> dict[str, Any]:
    return dict(zip(names, call.args, strict=False)) | call.kwargs


def one(*_: Any) -> float:
    return 1.0


_GATES = {"sigmoid": 2, "hardsigmoid": 2, "softmax": 2, "erf": 1, "tanh": 1}


def shared(
    mode: Interceptor, call: FunctionCall, function: Any, inputs: Sequence[Tensor], *, rule: str = "share"
) -> Tensor:
    fixed = [x.detach() for x in inputs]
    with torch.no_grad():
        value = function(*fixed)
    kept = value.detach()

    def back(relevance: Tensor) -> Sequence[Tensor]:
        return mode.flow.shared(function, fixed, kept, relevance)

    return mode.carry(call, lambda: value, back, inputs, kind="sum", rule=rule)


def affine(
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


def weigher(a: Tensor, b: Tensor, *, by_size: bool) -> Tensor | None:
    """Which of two factors only weighs the other one: a gate, attention's weights, or the one that is repeated."""
    ranks = [_rank(t) for t in (a, b)]
    if ranks[0] == ranks[1] and by_size:
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


def scaled(
    mode: Interceptor, call: FunctionCall, x: Tensor, factor: Any, *, rule: str = "identity"
) -> Tensor:
    value = x.detach() * factor
    x = x.expand(value.shape)

    def back(relevance: Tensor) -> tuple[Tensor]:
        def sign() -> Any:
            return factor.sign() if isinstance(factor, Tensor) else (1.0 if factor >= 0 else -1.0)

        return (mode.flow.passed(relevance, sign),)

    return mode.carry(call, lambda: value, back, [x], kind="scale", rule=rule)


def passed(mode: Interceptor, call: FunctionCall, x: Tensor, *, rule: str) -> Tensor:
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
