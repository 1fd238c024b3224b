"""Watch every function of a forward pass, and give each a backward pass that carries relevance.

Functions are intercepted where they are called, whoever calls them: sums written in ``forward``, a module's second
call and functional activations need no special treatment. Autograd sums relevance where a tensor is used twice, and
carries it through views, reshapes and concatenations, whose outputs are copies of inputs.
"""

import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fusiform.attribution._local import LocalCall
from fusiform.attribution.propagation._flow import Flow
from fusiform.attribution.propagation._weighted import Weighted
from fusiform.errors import NotApplicableError

# Nodes of autograd whose outputs are copies of inputs: their gradient is where relevance came from.
ROUTING = frozenset(
    [
        "AccumulateGrad",
        "Alias",
        "Amax",
        "Amin",
        "AsStrided",
        "AsStridedScatter",
        "Become",
        "Cat",
        "ConstantPadNd",
        "Clone",
        "CopyBackwards",
        "CopySlices",
        "Copy",
        "Diagonal",
        "Expand",
        "Flip",
        "Gather",
        "Index",
        "IndexCopy",
        "IndexPut",
        "IndexSelect",
        "Im2Col",
        "MaskedFill",
        "MaskedSelect",
        "Max",
        "Maximum",
        "MaxPool1D",
        "MaxPool2DWithIndices",
        "MaxPool3DWithIndices",
        "AdaptiveMaxPool2D",
        "AdaptiveMaxPool3D",
        "Min",
        "Minimum",
        "Permute",
        "PixelShuffle",
        "PixelUnshuffle",
        "Same",
        "ReflectionPad1D",
        "ReflectionPad2D",
        "ReflectionPad3D",
        "Repeat",
        "ReplicationPad1D",
        "ReplicationPad2D",
        "ReplicationPad3D",
        "ReshapeAlias",
        "Roll",
        "Rot90",
        "Select",
        "SelectScatter",
        "Slice",
        "SliceScatter",
        "Sort",
        "Split",
        "SplitWithSizes",
        "Squeeze",
        "Stack",
        "T",
        "Tile",
        "ToCopy",
        "Topk",
        "Transpose",
        "Unbind",
        "Unfold",
        "UnsafeSplit",
        "UnsafeView",
        "Unsqueeze",
        "View",
        "ViewAsReal",
        "Where",
    ]
)


@dataclass
class Note:
    """What a function was, kept with its node of the graph."""

    op: str
    kind: str
    beyond_weights: bool
    weighted: Weighted | None
    source: Tensor | None


class Carry(torch.autograd.Function):
    """Compute as the network does, and carry relevance backward by a rule."""

    @staticmethod
    def forward(
        ctx: Any, compute: Callable[[], Tensor], back: Callable[[Tensor], Any], note: Note, *inputs: Tensor
    ) -> Tensor:
        ctx.back, ctx.note = back, note
        return compute()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, None, *ctx.back(relevance))


class Become(torch.autograd.Function):
    """Give a tensor the past of another one, whose numbers it was just given."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, other: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[None, Tensor]:
        return None, relevance


class Same(torch.autograd.Function):
    """Another tensor of the same numbers, which in-place functions of the network cannot reach."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.detach()

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> Tensor:
        return relevance


class FunctionCall(LocalCall):
    """A call that does not overwrite its arguments, to be repeated at other values of them."""

    def __init__(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__(function, args, kwargs)
        self.function = function

    def repeated(self) -> Callable[..., Tensor]:
        """Return the call as a function of its inputs, without holding them.

        A rule that held a tensor of the network would hold it in a circle once an in-place function gave that
        tensor a past of which the rule is part, and the pass would stay in memory.
        """
        other = copy(self)
        other.args, other.kwargs = (), {}
        other._leaves = [None if i in self._places else leaf for i, leaf in enumerate(self._leaves)]
        return other


Handler = Callable[["Interceptor", FunctionCall], Tensor | None]


class Interceptor(TorchFunctionMode):
    """The function mode: calls go to the handler of their name, or through as they are.

    Parameters
    ----------
    module : nn.Module
        The network.
    name : str
        Its name, for messages.
    flow : Flow
        The rules.
    handlers : dict
        From names of functions to what makes them carry relevance; None from a handler lets the call through.
    """

    def __init__(self, module: nn.Module, name: str, flow: Flow, handlers: dict[str, Handler]) -> None:
        super().__init__()
        self.flow = flow
        self.rows: list[dict[str, str]] = []
        self._name = name
        self._module = module
        self._handlers = handlers
        self._stack = [""]
        self._callers: dict[Any, tuple[str, str]] = {}

    @property
    def path(self) -> str:
        """The module whose function is being called."""
        return self._stack[-1]

    @contextmanager
    def watching(self) -> Iterator["Interceptor"]:
        """Intercept the forward passes inside the context."""
        self._stack, self._callers = [""], {}
        hooks = []
        try:
            for path, module in self._module.named_modules():
                hooks.append(module.register_forward_pre_hook(self._enter(path)))
                hooks.append(module.register_forward_hook(self._leave(path), always_call=True))
            with self:
                yield self
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, path: str) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            self._stack.append(path)

        return hook

    def _leave(self, path: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if self._stack[-1] == path and len(self._stack) > 1:
                self._stack.pop()

        return hook

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not torch.is_grad_enabled():
            return func(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            with self:
                return _opened(func)(*args, **kwargs)
        plain, plain_args, plain_kwargs = _out_of_place(func, args, kwargs)
        call = FunctionCall(plain, plain_args, plain_kwargs)
        if not call.inputs:
            return func(*args, **kwargs)
        handler = self._handlers.get(call.op)
        out = None if handler is None else handler(self, call)
        writes = plain is not func or plain_args is not args or plain_kwargs is not kwargs
        if out is None:
            if writes or call.op == "setitem":
                _give_storage(args[0])
            out = func(*args, **kwargs)
        elif writes:
            out = self._written(args[0], out)
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor) and tensor.grad_fn is not None:
                self._callers[tensor.grad_fn] = (call.name, self.path)
        return out

    def carry(
        self,
        call: FunctionCall,
        compute: Callable[[], Tensor],
        back: Callable[[Tensor], Sequence[Tensor]],
        inputs: Sequence[Tensor],
        *,
        kind: str,
        rule: str,
        weighted: Weighted | None = None,
    ) -> Tensor:
        """Make one function of the graph, and write down its rule."""
        beyond = weighted is not None or any(self.beyond_weights(x) for x in inputs)
        note = Note(call.op, kind, beyond, weighted, None if weighted is None else inputs[0])
        self.rows.append({"layer": self.path, "function": call.op, "kind": kind, "rule": rule})
        out: Tensor = Carry.apply(compute, back, note, *inputs)
        return out

    def beyond_weights(self, x: Tensor) -> bool:
        """Whether a function with weights lies between the input and a tensor."""
        seen, stack = set(), [x.grad_fn]
        while stack:
            node = stack.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            note = getattr(node, "note", None)
            if isinstance(note, Note):
                if note.beyond_weights:
                    return True
            else:
                stack += [before for before, _ in node.next_functions]
        return False

    def audit(self, tensor: Tensor) -> None:
        """Refuse a graph in which a function on the way has no rule.

        Raises
        ------
        NotApplicableError
            Naming function and module.
        """
        if tensor.grad_fn is None:
            raise NotApplicableError(
                f"No relevance can reach the input of '{self._name}': what is explained does not depend on it by "
                "functions that are followed (it was detached, or computed without gradients)."
            )
        seen: set[Any] = set()
        stack: list[tuple[Any, tuple[str, str]]] = [(tensor.grad_fn, ("an unknown function", ""))]
        while stack:
            node, caller = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            caller = self._callers.get(node, caller)
            kind = type(node).__name__
            if (
                not hasattr(node, "note")
                and kind.rstrip("0123456789").removesuffix("Backward") not in ROUTING
            ):
                function, path = caller
                where = f"in '{path}' of '{self._name}'" if path else f"of '{self._name}'"
                raise NotApplicableError(
                    f"The function '{function}' {where} has no rule of propagation ({kind}), and its gradient is no "
                    "relevance; take a perturbation or gradient method."
                )
            stack += [(before, caller) for before, _ in node.next_functions if before is not None]
        # Nodes hold rules, and rules this object; a circle would keep the whole pass in memory.
        self._callers = {}

    def _written(self, target: Tensor, value: Tensor) -> Tensor:
        """Do what an in-place function does, without overwriting numbers that rules still need."""
        if target._base is None:
            target.data = value.detach()
            became: Tensor = Become.apply(target, value)
            return became
        _give_storage(target)
        try:
            return target.copy_(value)
        except RuntimeError as error:
            raise NotApplicableError(
                f"'{self.path}' of '{self._name}' changes in place a part of a tensor that autograd cannot follow "
                f"({str(error).splitlines()[0]})."
            ) from error


def _give_storage(x: Tensor) -> None:
    """Move a tensor that is about to be changed in place to fresh memory; a view together with its base."""
    base = x._base
    if base is None:
        x.data = x.detach().clone()
        return
    fresh = torch.empty_strided(base.shape, base.stride(), dtype=base.dtype, device=base.device)
    fresh.copy_(base.detach())
    start = x.storage_offset() - base.storage_offset()
    base.data = fresh
    x.data = fresh.as_strided(x.shape, x.stride(), start)


@lru_cache(maxsize=1024)
def _place_of_inplace(func: Any) -> int | None:
    try:
        return list(inspect.signature(func).parameters).index("inplace")
    except (TypeError, ValueError):
        return None


def _out_of_place(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The same call without overwriting its first argument; what is returned is not new where nothing is overwritten."""
    name = getattr(func, "__name__", "")
    if name.startswith("__i") and hasattr(Tensor, "__" + name[3:]) and name[3:-2] in _OVERWRITING:
        return getattr(Tensor, "__" + name[3:]), args, kwargs
    if name.endswith("_") and not name.endswith("__"):
        plain = getattr(Tensor, name[:-1], None) or getattr(F, name[:-1], None)
        return (plain or func), args, kwargs
    if kwargs.get("inplace"):
        return func, args, {**kwargs, "inplace": False}
    if any(a is True for a in args):
        place = _place_of_inplace(func)
        if place is not None and place < len(args) and args[place]:
            return func, (*args[:place], False, *args[place + 1 :]), kwargs
    return func, args, kwargs


_OVERWRITING = frozenset(["add", "sub", "mul", "div", "truediv", "matmul", "pow", "and", "or", "xor"])


@lru_cache(maxsize=8)
def _opened(func: Any) -> Any:
    """A function written in Python that does not hand itself over, so that the functions it calls are seen."""
    never = {
        name: (lambda *_: False)
        for name in ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
    }
    opened = types.FunctionType(
        func.__code__, {**func.__globals__, **never}, func.__name__, func.__defaults__
    )
    opened.__kwdefaults__ = func.__kwdefaults__
    return opened
