"""Linear functions with weights, and what each input contributes to each output through them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class Map:
    """A function of inputs and weights, linear in both.

    Parameters
    ----------
    function : callable
        From inputs and weights to outputs.
    kind : {"conv", "linear", "product"}
        What composites of rules go by.
    outputs : int, optional
        Which dimension of the weights counts the outputs' channels; without it nothing is folded into them.
    """

    def __init__(
        self, function: Callable[[Tensor, Tensor], Tensor], kind: str, outputs: int | None = None
    ) -> None:
        self.forward = function
        self.kind = kind
        self._outputs = outputs

    def transpose(self, relevance: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """Carry numbers of the outputs back to the inputs, which look like `x`."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            out = self.forward(leaf, weight)
        return torch.autograd.grad(out, leaf, relevance.to(out.dtype))[0]

    def foldable(self, value: Tensor) -> bool:
        """Whether a scale of dimension 1 of the outputs is one of the weights."""
        return self._outputs is not None and (self.kind == "conv" or value.dim() == 2)

    def folded(self, weight: Tensor, scale: Tensor) -> Tensor:
        """Multiply each output channel's weights by its scale."""
        shape = [1] * weight.dim()
        shape[self._outputs or 0] = -1
        return weight * scale.view(shape)


class LinearMap(Map):
    """``F.linear`` without its bias."""

    def __init__(self) -> None:
        super().__init__(F.linear, "linear", outputs=0)

    def transpose(self, relevance: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """Multiply by the weights from the other side."""
        return relevance @ weight


class ConvMap(Map):
    """A convolution, or a transposed one, without its bias."""

    def __init__(
        self,
        function: Callable[..., Tensor],
        dims: int,
        *,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int,
        output_padding: Sequence[int] | None = None,
    ) -> None:
        transposed = output_padding is not None
        options: dict[str, Any] = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
        }
        if transposed:
            options["output_padding"] = output_padding
        # Output channels of a transposed convolution in groups are no dimension of its weights.
        outputs = 0 if not transposed else (1 if groups == 1 else None)
        super().__init__(lambda x, w: function(x, w, None, **options), "conv", outputs)
        self._args = (stride, padding, dilation, transposed, output_padding or [0] * dims, groups)

    def transpose(self, relevance: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """Convolve backward, which needs no forward pass first."""
        mask = [True, False, False]
        return torch.ops.aten.convolution_backward(relevance, x, weight, None, *self._args, mask)[0]


@dataclass(frozen=True)
class Weighted:
    """One call of a linear function with weights, whose relevance a rule shares out.

    `value` is its output with `bias`, after a batch norm that was folded into it. `first` says that no other such
    function lies between it and the pixels.
    """

    map: Map
    x: Tensor
    weight: Tensor
    bias: Tensor | None
    value: Tensor
    path: str
    first: bool
    rule: str

    def folded(self, scale: Tensor, shift: Tensor, value: Tensor) -> "Weighted":
        """Return the function and a batch norm after it, as one."""
        bias = shift if self.bias is None else self.bias * scale + shift
        return replace(self, weight=self.map.folded(self.weight, scale), bias=bias, value=value)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """Outputs for other inputs and weights, without bias."""
        return self.map.forward(x, weight)

    def transpose(self, relevance: Tensor, weight: Tensor) -> Tensor:
        """Carry numbers of the outputs back to the inputs."""
        return self.map.transpose(relevance.to(weight.dtype), weight, self.x)

    @cached_property
    def offset(self) -> Tensor | float:
        """The bias in the shape of the outputs, 0 without."""
        if self.bias is None:
            return 0.0
        if self.map.kind == "conv":
            return self.bias.view(-1, *[1] * (self.value.dim() - 2))
        return self.bias


class Contributions:
    """Products of inputs and weights, the positive apart from the negative ones.

    Where no input is negative, as behind a rectifier, the positive products are those of positive weights: one
    pass forward gives their sum, and what is left of the output is the sum of the negative ones.
    """

    def __init__(self, layer: Weighted) -> None:
        self.layer = layer
        self.signed = bool(layer.x.amin() < 0)
        self._plus = layer.weight.clamp(min=0)
        self._x_plus = layer.x.clamp(min=0) if self.signed else layer.x
        self._x_minus = layer.x.clamp(max=0) if self.signed else None

    @cached_property
    def _minus(self) -> Tensor:
        return self.layer.weight.clamp(max=0)

    @cached_property
    def positive(self) -> Tensor:
        """Sum of positive products, for every output."""
        out = self.layer.forward(self._x_plus, self._plus)
        if self._x_minus is not None:
            out += self.layer.forward(self._x_minus, self._minus)
        return out

    @property
    def negative(self) -> Tensor:
        """Sum of negative products, for every output, its sign turned."""
        return (self.positive - self.layer.value).add_(self.layer.offset).clamp_(min=0)

    def back(self, positive: Tensor | None, negative: Tensor | None = None) -> Tensor:
        """For every input, its positive and its negative products, each weighted by numbers of the outputs, summed."""
        found = self._x_plus * self._through(positive, self._plus, negative)
        if self._x_minus is not None:
            found += self._x_minus * self._through(negative, self._plus, positive)
        return found

    def _through(self, plus: Tensor | None, weight: Tensor, minus: Tensor | None) -> Tensor:
        parts = [] if plus is None else [self.layer.transpose(plus, weight)]
        parts += [] if minus is None else [self.layer.transpose(minus, self._minus)]
        return parts[0] if len(parts) == 1 else parts[0].add_(parts[1])

    def back_all(self, relevance: Tensor, more_positive: float) -> Tensor:
        """For every input, all its products, the positive ones `more_positive` times more, weighted and summed."""
        weight = self.layer.weight
        if not self.signed:
            return self.layer.x * self.layer.transpose(relevance, weight + more_positive * self._plus)
        found = self.layer.x * self.layer.transpose(relevance, weight)
        return found.add_(self.back(relevance), alpha=more_positive)
