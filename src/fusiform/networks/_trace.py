"""One pass of one image through a network, recorded: which module and which function made which tensor."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fusiform.networks._roles import PRIORITY, SAME_NUMBERS, op_name, op_role

_HEAVY = frozenset({"conv", "fc", "attention", "residual_sum", "concat"})
_VALUES_FIRST = frozenset({"max", "multi_head_attention_forward"})


@dataclass(frozen=True)
class Site:
    """Where a tensor can be caught again: the n-th call of a module, or of a function directly in a module."""

    kind: Literal["module", "function", "output"]
    path: str
    op: str = ""
    call: int = 1


@dataclass(frozen=True)
class Node:
    """One tensor value; `same` when it holds the very numbers of its first parent."""

    parents: tuple[int, ...]
    same: bool = False


@dataclass
class Row:
    """A layer in the making."""

    site: Site
    base: str
    kind: str
    shape: tuple[int, ...]
    role: str
    node: int
    owner: str
    module: nn.Module | None = None
    composite: bool = False
    sum_node: int | None = None


@dataclass
class _Call:
    op: str
    number: int
    role: str
    node: int
    tensor: Tensor


@dataclass
class _Frame:
    path: str
    module: nn.Module
    call: int
    composite: bool
    inputs: tuple[int, ...]
    first_node: int
    calls: list[_Call] = field(default_factory=list)
    worked: bool = False


@dataclass
class Trace:
    """Everything one pass showed."""

    rows: list[Row]
    nodes: list[Node]
    modules: dict[str, nn.Module]
    composites: set[str]
    direct_roles: dict[str, Counter[str]]
    output_node: int | None
    output_shape: tuple[int, ...] | None

    def canonical(self, node: int) -> int:
        """Walk back over nodes that changed no number."""
        return canonical(self.nodes, node)


def canonical(nodes: list[Node], node: int) -> int:
    """Walk back over nodes that changed no number."""
    while nodes[node].same:
        node = nodes[node].parents[0]
    return node


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)


def main_tensor(op: str, out: Any) -> Tensor | None:
    """The activation among a function's results: the tensor, or the values of ``max(dim=...)``."""
    if isinstance(out, Tensor):
        return out
    return out[0] if op in _VALUES_FIRST and isinstance(out, tuple) else None


def module_output(module: nn.Module, output: Any) -> Any:
    """What a module gave; of attention with its weights, (values, weights), the values."""
    return output[0] if isinstance(module, nn.MultiheadAttention) and isinstance(output, tuple) else output


def is_activation(tensor: Tensor) -> bool:
    """Whether a tensor of the traced pass is floating and keeps the batch (of one) first."""
    return tensor.is_floating_point() and tensor.dim() >= 1 and tensor.shape[0] == 1


def is_composite(module: nn.Module) -> bool:
    """Whether a module is made of others (a parametrisation does not make it so)."""
    if isinstance(module, nn.MultiheadAttention):
        return False
    return any(name != "parametrizations" for name, _ in module.named_children())


def trace(module: nn.Module, x: Tensor) -> Trace:
    """Run `module` on one image and record it; the module is in eval mode already and is left as it was."""
    recorder = _Recorder(module, x)
    try:
        with recorder, torch.no_grad():
            output = module(x)
    finally:
        recorder.remove()
    return recorder.result(output)


class _Recorder(TorchFunctionMode):
    """Hooks on every module and the function mode that fill one `Trace`."""

    def __init__(self, root: nn.Module, x: Tensor) -> None:
        super().__init__()
        self.modules = dict(root.named_modules())
        self.nodes: list[Node] = []
        self.rows: list[Row] = []
        self.composites: set[str] = {""}
        self.direct_roles: dict[str, Counter[str]] = {}
        self._node_of: dict[int, int] = {}
        self._keep: list[Tensor] = []  # a tensor that is let go could give its id to another
        self._module_calls: Counter[str] = Counter()
        self._function_calls: Counter[tuple[str, str]] = Counter()
        self._stack: list[_Frame] = []
        self._new_node(x, ())
        self._handles = []
        for path, module in self.modules.items():
            self._handles.append(module.register_forward_pre_hook(self._enter(path), with_kwargs=True))
            # Always called: a forward may catch the error of a module that it tried.
            self._handles.append(module.register_forward_hook(self._leave, always_call=True))

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _new_node(self, tensor: Tensor, parents: tuple[int, ...], *, same: bool = False) -> int:
        self.nodes.append(Node(parents, same))
        self._node_of[id(tensor)] = len(self.nodes) - 1
        self._keep.append(tensor)
        return len(self.nodes) - 1

    def _known(self, value: Any) -> tuple[int, ...]:
        found = (self._node_of.get(id(t)) for t in tensors_in(value))
        return tuple(dict.fromkeys(n for n in found if n is not None))

    def _enter(self, path: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._module_calls[path] += 1
            composite = path == "" or is_composite(module)
            inputs = self._known((args, kwargs))
            frame = _Frame(path, module, self._module_calls[path], composite, inputs, len(self.nodes))
            self._stack.append(frame)

        return hook

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not self._stack:
            return func(*args, **kwargs)
        frame, op = self._stack[-1], op_name(func)
        self._function_calls[frame.path, op] += 1
        parents = self._known((args, kwargs))
        # The role is read before the call: an in-place function changes what its operands are.
        role = op_role(op, args, kwargs, self._node_of) if parents else None
        out = func(*args, **kwargs)
        if not parents:
            return out
        changed = args[0] if op == "setitem" else out
        for tensor in tensors_in(changed):
            self._new_node(tensor, parents, same=op in SAME_NUMBERS)
        made = main_tensor(op, out)
        if role is not None and made is not None:
            number = self._function_calls[frame.path, op]
            call = _Call(op, number, role, self._node_of[id(made)], made)
            frame.worked = True
            if frame.composite:
                self._add_function_row(frame, call)
            else:
                frame.calls.append(call)
        return out

    def _add_function_row(self, frame: _Frame, call: _Call) -> None:
        if call.role != "residual_sum" or is_activation(call.tensor):
            self.direct_roles.setdefault(frame.path, Counter())[call.role] += 1
        if is_activation(call.tensor):
            self.rows.append(
                Row(
                    site=Site("function", frame.path, call.op, call.number),
                    base=f"{frame.path}.{call.op}" if frame.path else call.op,
                    kind=call.op,
                    shape=tuple(call.tensor.shape[1:]),
                    role=call.role,
                    node=call.node,
                    owner=frame.path,
                    sum_node=call.node if call.role == "residual_sum" else None,
                )
            )

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not self._stack or self._stack[-1].module is not module:
            return
        frame = self._stack.pop()
        made_elsewhere = False
        for tensor in tensors_in(output):
            # Made where no function mode sees it (a custom autograd function, a scripted module).
            if id(tensor) not in self._node_of and frame.inputs:
                self._new_node(tensor, frame.inputs)
                made_elsewhere = True
        worked = frame.worked or made_elsewhere
        owner = self._stack[-1] if self._stack else None
        if owner is None or not worked:
            return
        owner.worked = True
        own = not type(module).__module__.startswith("torch.nn")
        if not frame.composite and own and sum(c.role in _HEAVY for c in frame.calls) > 1:
            # A block written with functions alone: its functions are layers like those of any other.
            frame.composite = True
            for call in frame.calls:
                self._add_function_row(frame, call)
        output = module_output(module, output)
        role = "stage"
        if frame.composite:
            self.composites.add(frame.path)
        else:
            role = min((c.role for c in frame.calls), key=PRIORITY.index, default="other")
            self.direct_roles.setdefault(owner.path, Counter())[role] += 1
        if not isinstance(output, Tensor) or id(output) not in self._node_of or not is_activation(output):
            return
        node = self._node_of[id(output)]
        if canonical(self.nodes, node) < frame.first_node and not made_elsewhere:
            return
        sums = [c.node for c in frame.calls if c.role == "residual_sum"]
        self.rows.append(
            Row(
                site=Site("module", frame.path, call=frame.call),
                base=frame.path,
                kind=type(module).__name__,
                shape=tuple(output.shape[1:]),
                role=role,
                node=node,
                owner=owner.path,
                module=module,
                composite=frame.composite,
                sum_node=sums[-1] if sums and role == "residual_sum" else None,
            )
        )

    def result(self, output: Any) -> Trace:
        known = isinstance(output, Tensor) and id(output) in self._node_of and is_activation(output)
        return Trace(
            rows=self.rows,
            nodes=self.nodes,
            modules=self.modules,
            composites=self.composites,
            direct_roles=self.direct_roles,
            output_node=self._node_of[id(output)] if known else None,
            output_shape=tuple(output.shape[1:]) if known else None,
        )
