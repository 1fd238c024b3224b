"""Deconvolution and guided backpropagation: gradients that rectifiers pass back in their own way."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fusiform.attribution._cam import grad_cam
from fusiform.attribution._gradients import images_at_once, input_gradients
from fusiform.attribution._local import Backward, LocalCall, rebuilt
from fusiform.attribution._registry import Call, method
from fusiform.errors import NotApplicableError
from fusiform.networks._roles import op_name, op_role

_RECTIFYING = "relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish hardswish threshold softplus"
_RECTIFIERS = frozenset(_RECTIFYING.split())
_MAXIMA = frozenset(("max", "maximum", "fmax", "amax"))
_CANDIDATES = _RECTIFIERS | _MAXIMA | {"hardtanh", "clamp"}


@method("deconvolution", "gradient")
def deconvolution(call: Call) -> Tensor:
    """Backward pass that rectifies the signal, whatever the unit's input was (Zeiler and Fergus, 2014).

    Every rectifier (ReLU, PReLU, GELU ...) passes positive signals back unchanged and no others. Maxima, of pooling
    and of max-feature-maps, pass them to the winner; those of max-feature-maps, being rectifiers, the positive only.
    """
    return _rectified(call, guided=False).sum(dim=1)


@method("guided_backpropagation", "gradient")
def guided_backpropagation(call: Call) -> Tensor:
    """Gradient that passes a rectifier where both it and the slope are positive (Springenberg and others, 2015).

    A rectifier passes back the positive part of the signal times the positive part of its slope at its own input:
    of ReLU 1 or 0, of a PReLU on its negative side what it learned, of GELU and SiLU their derivative, of a
    max-feature-map 1 for the winner.
    """
    return _rectified(call, guided=True).sum(dim=1)


@method("guided_grad_cam", "gradient")
def guided_grad_cam(call: Call, layer: str | None = None, relu: bool = False) -> Tensor:
    """Guided backpropagation times Grad-CAM at each pixel (Selvaraju and others, 2017).

    Grad-CAM comes with its sign, so that detail in regions that speak against the score is turned over; ``relu=True``
    leaves these out, as published, and a map may then be empty.
    """
    return grad_cam(call, layer, relu) * guided_backpropagation(call)


def _rectified(call: Call, *, guided: bool) -> Tensor:
    return torch.cat([_of_batch(part, guided) for _, part in call.batches(images_at_once(call))])


def _of_batch(call: Call, guided: bool) -> Tensor:
    mode = _Rectifiers(guided)

    def scores(x: Tensor) -> Tensor:
        with mode:
            return call.target(call.net, x)

    found = input_gradients(call, scores, call.x)
    if not mode.met:
        raise NotApplicableError(
            f"{'Guided backpropagation' if guided else 'Deconvolution'} is a rule for rectifiers (ReLU, PReLU, GELU, "
            f"max-feature-map ...), and {call.target!r} has none on its way through '{call.net.card.name}': it would be "
            "the plain gradient. Use method='gradient'."
        )
    return found


class _Rectifiers(TorchFunctionMode):
    """Gives the rectifiers called inside the context their way back, and counts those met on it."""

    def __init__(self, guided: bool) -> None:
        super().__init__()
        self.guided = guided
        self.met = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if op_name(func) in _CANDIDATES and torch.is_grad_enabled():
            called = LocalCall(func, args, kwargs)
            if called.inputs and _rectifies(called):
                found = called.replaced(lambda inputs: self._passed_back(called, inputs))
                return found[0] if len(found) == 1 else rebuilt(func(*args, **kwargs), found)
        return func(*args, **kwargs)

    def _passed_back(self, called: LocalCall, inputs: list[Tensor]) -> tuple[tuple[Tensor, ...], Backward]:
        outputs, plain = called.at(inputs)
        of_one = len(inputs) == 1 and outputs[0].shape == inputs[0].shape

        def backward(grads: Sequence[Tensor]) -> Sequence[Tensor]:
            self.met += 1
            positive = grads[0].clamp(min=0)
            if of_one and not self.guided:
                return [positive]
            # The signal is not negative, so the positive part of signal times slope is signal times positive slope.
            return [g.clamp(min=0) for g in plain([positive, *grads[1:]])]

        return outputs, backward


def _rectifies(called: LocalCall) -> bool:
    if called.op in _RECTIFIERS:
        return True
    args, kwargs = called.args, called.kwargs
    if called.op == "hardtanh":
        return (args[1] if len(args) > 1 else kwargs.get("min_val", -1.0)) == 0
    if called.op == "clamp":
        if called.name.startswith("clamp_max"):
            return False
        low = args[1] if len(args) > 1 else kwargs.get("min")
        return not isinstance(low, Tensor) and low == 0
    if called.op in _MAXIMA:
        numbers = {id(t): i for i, t in enumerate(called.inputs)}
        return op_role(called.op, args, kwargs, numbers) in ("max_feature_map", "activation")
    return False
