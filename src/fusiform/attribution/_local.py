"""One function call of a forward pass, with a backward pass of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from fusiform.networks._roles import op_name
from fusiform.networks._trace import tensors_in

Backward = Callable[[Sequence[Tensor]], Sequence[Tensor]]


class LocalCall:
    """A call of a torch function, to be repeated at other values of those arguments that derive from the image."""

    def __init__(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.op = op_name(function)
        self.name = getattr(function, "__name__", self.op)
        self.args, self.kwargs = args, kwargs
        self._function = function
        self._leaves, self._form = tree_flatten((args, kwargs))
        self._places = [
            i for i, leaf in enumerate(self._leaves) if isinstance(leaf, Tensor) and leaf.requires_grad
        ]

    @property
    def inputs(self) -> list[Tensor]:
        """The arguments that derive from the image."""
        return [self._leaves[i] for i in self._places]

    @property
    def in_place(self) -> bool:
        """Whether the call overwrites its first argument."""
        if self.op in _INPLACE_BY_ARGUMENT and not self.name.endswith("_"):
            # A positional True can only be `inplace`.
            return any(value is True for value in (*self.args, self.kwargs.get("inplace")))
        return self.name in _INPLACE_OPERATORS or (self.name.endswith("_") and not self.name.endswith("__"))

    @property
    def dim(self) -> int | None:
        """The dimension that a softmax was asked to work along."""
        given = self.kwargs.get("dim", self.args[1] if len(self.args) > 1 else None)
        return given if isinstance(given, int) else None

    def __call__(self, *values: Tensor) -> Any:
        """Call the function with these in place of `inputs`."""
        leaves = list(self._leaves)
        for place, value in zip(self._places, values, strict=True):
            leaves[place] = value
        if self.in_place:
            leaves[0] = leaves[0].clone()
        args, kwargs = tree_unflatten(leaves, self._form)
        return self._function(*args, **kwargs)

    def at(self, values: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], Backward]:
        """Return the outputs at these values, detached, and the backward pass there."""
        with torch.enable_grad():
            held = [value.detach().requires_grad_() for value in values]
            outputs = tensors_of(self(*held))
        followed = [i for i, out in enumerate(outputs) if out.requires_grad]

        def backward(grads: Sequence[Tensor]) -> Sequence[Tensor]:
            given = [grads[i] for i in followed]
            found = torch.autograd.grad(
                [outputs[i] for i in followed], held, given, retain_graph=True, allow_unused=True
            )
            return [torch.zeros_like(h) if f is None else f for f, h in zip(found, held, strict=True)]

        return tuple(out.detach() for out in outputs), backward

    def replaced(
        self, make: Callable[[list[Tensor]], tuple[tuple[Tensor, ...], Backward]], *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        """Call the function with the backward pass that `make` gives for its (detached) inputs.

        `make` returns outputs and the way back from their gradients to those of the inputs. Where the call overwrites
        its argument, so does this one.
        """
        outputs: tuple[Tensor, ...] = _Own.apply(make, *(inputs or self.inputs))
        if self.in_place:
            return (self.args[0].copy_(outputs[0]),)
        return outputs


_INPLACE_OPERATORS = frozenset(f"__{name}__" for name in ("iadd", "isub", "imul", "idiv", "itruediv", "ipow"))
_ACTIVATIONS = "relu relu6 leaky_relu rrelu elu selu celu hardtanh hardswish hardsigmoid silu mish threshold"
_INPLACE_BY_ARGUMENT = frozenset(_ACTIVATIONS.split())


class _Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, make: Any, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs, ctx.way_back = make([value.detach() for value in inputs])
        return tuple(outputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *ctx.way_back(grads))


def tensors_of(out: Any) -> tuple[Tensor, ...]:
    """The tensors of a function's result."""
    return tuple(tensors_in(out))


def rebuilt(out: Any, tensors: Sequence[Tensor]) -> Any:
    """Return a result like `out` of other tensors."""
    leaves, form = tree_flatten(out)
    new = iter(tensors)
    return tree_unflatten([next(new) if isinstance(leaf, Tensor) else leaf for leaf in leaves], form)
