"""How relevance goes backward through the functions of a network: what a family of rules has to say."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from fusiform.attribution.propagation._weighted import Map, Weighted

STABILISER = 1e-6

Function = Callable[..., Tensor]


class Flow(ABC):
    """Rules for the four kinds of functions.

    Routing (views, concatenation, maxima) is no matter of rules: there each output is a copy of one input, and
    relevance goes where it came from.
    """

    @abstractmethod
    def rule_of(self, map: Map, path: str, first: bool) -> str:
        """Name the rule of a function with weights."""

    @abstractmethod
    def weighted(self, layer: Weighted, relevance: Tensor) -> Tensor:
        """Through a linear function with weights of either sign."""

    @abstractmethod
    def shared(
        self, function: Function, inputs: Sequence[Tensor], value: Tensor, relevance: Tensor
    ) -> Sequence[Tensor]:
        """Through a sum or mean: a linear function of its inputs whose coefficients are not negative."""

    @abstractmethod
    def affine(
        self, function: Function, x: Tensor, value: Tensor, relevance: Tensor, sign: Function
    ) -> Tensor:
        """Through a linear function that pairs each output with an input, whose constant `value` includes."""

    @abstractmethod
    def passed(self, relevance: Tensor, sign: Function) -> Tensor:
        """Through a function of each number by itself that keeps 0 in its place."""


def stabilised(value: Tensor, epsilon: float) -> Tensor:
    """Move numbers away from 0 by `epsilon`."""
    return torch.copysign(value.new_tensor(epsilon), value).add_(value)


class Linear:
    """A linear function at some inputs: its outputs, and the way back through it."""

    def __init__(self, function: Function, inputs: Sequence[Tensor]) -> None:
        self._function, self._inputs = function, inputs

    @cached_property
    def _graph(self) -> tuple[Tensor, list[Tensor]]:
        with torch.enable_grad():
            leaves = [x.detach().requires_grad_() for x in self._inputs]
            return self._function(*leaves), leaves

    @property
    def total(self) -> Tensor:
        """The outputs."""
        return self._graph[0].detach()

    def back(self, relevance: Tensor) -> list[Tensor]:
        """Carry numbers of the outputs back to each input."""
        if self._function is torch.add and all(x.shape == relevance.shape for x in self._inputs):
            return [relevance] * len(self._inputs)
        out, leaves = self._graph
        return list(torch.autograd.grad(out, leaves, relevance.to(out.dtype), retain_graph=True))
