"""Open a network by its specification."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from fusiform.errors import NetworkError, SpecError, nearest
from fusiform.networks._card import NetworkCard
from fusiform.networks._network import FaceNetwork
from fusiform.networks._sources import from_onnx, from_python, from_timm
from fusiform.networks._spec import Spec, card_with_options, parse_spec
from fusiform.networks._weights import file_digest, fit_weights, read_weights
from fusiform.networks.zoo import NAMES, build

_SCHEMES: dict[str, Callable[[Spec], tuple[nn.Module, NetworkCard]]] = {
    "timm": from_timm,
    "onnx": from_onnx,
    "python": from_python,
}


def load_network(spec: str, *, device: str | torch.device = "cpu") -> FaceNetwork:
    """Open a network.

    Parameters
    ----------
    spec : str
        - ``"demo"``: the small network that comes with fusiform; ``demo?checkpoint=STEP`` during its training;
        - ``"mobilefacenet_relu6"``, ``"mobilefacenet_prelu"`` (``outputs=136&input=112x112`` for the landmark
          network), ``"mobilenetv1"`` (``trunk=body`` for the trunk of a RetinaFace detector),
          ``"mini_xception"``, ``"pose3d"`` (``stats=PATH`` beside the weights: yaw, pitch, roll), ``"resnet10"``,
          ``"resnet18"``, ``"resnet34"``, ``"resnet50"`` (``width=``, ``classes=``, ``variant=small``): architectures of the zoo;
        - ``"timm:resnet50"``: any timm model, with ``num_classes``; nothing is ever downloaded;
        - ``"onnx:PATH"``: an ONNX graph of opset 17 or less;
        - ``"python:module:factory"``: what a function of yours returns, a module or a FaceNetwork; the current
          folder counts among the places to import from.

        Behind a ``?`` come options with ``&`` between: ``weights=PATH`` (safetensors, or a state dict from
        ``torch.save``; without it weights are random, from seed 0), and fields of the card:
        ``input=112x96`` (height x width), ``mean=0.5,0.5,0.5``, ``std``, ``channels=bgr``, ``range=0,255``,
        ``alignment``, ``head``, ``threshold``, ``name``. In paths ``?``, ``&`` and ``%`` are written ``%3F``,
        ``%26`` and ``%25``.
    device : str or torch.device, default "cpu"
        Where to put it.

    Returns
    -------
    FaceNetwork

    Raises
    ------
    SpecError
        If there is no such network or option, or an option cannot be read.
    WeightsError
        If the weights are absent, damaged, pickled, or do not fit.
    NetworkError
        If the network cannot be built.

    Examples
    --------
    >>> net = load_network("mini_xception")
    >>> net.card.name, net.card.input_size, net.n_parameters
    ('mini_xception (random weights)', (64, 64), 56951)
    """
    parts = parse_spec(spec)
    if not parts.scheme and parts.target == "demo":
        from fusiform.networks.zoo import demo

        net = demo.load(parts.take_int("checkpoint"))
        card = card_with_options(net.card, parts)
        parts.finish("checkpoint")
        return _placed(net.module, card, device)

    path = parts.options.get("weights")
    state = read_weights(path) if path is not None and parts.scheme != "onnx" else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, card, state = _built(parts, state)
    if state is not None and path is not None:
        parts.take("weights")
        fit_weights(module, state, what=f"'{card.name}'", path=path)
        card = card.replace(weights_digest=file_digest(Path(path).expanduser()))
    elif parts.scheme in ("", "timm"):
        card = card.replace(name=f"{card.name} (random weights)")
    card = card_with_options(card, parts)
    parts.finish(*(() if parts.scheme == "onnx" else ("weights",)))
    return _placed(module, card, device)


def _built(
    spec: Spec, state: dict[str, Tensor] | None
) -> tuple[nn.Module, NetworkCard, dict[str, Tensor] | None]:
    """Build the architecture, and choose of the weights what it wants."""
    if spec.scheme in _SCHEMES:
        return *_SCHEMES[spec.scheme](spec), state
    if not spec.scheme and spec.target in NAMES:
        return build(spec, state)
    known = [*NAMES, "demo", *(f"{scheme}:" for scheme in _SCHEMES)]
    asked = f"{spec.scheme}:" if spec.scheme else spec.target
    raise SpecError(f"There is no network '{asked}'; {nearest(asked, known)}")


def _placed(module: nn.Module, card: NetworkCard, device: str | torch.device) -> FaceNetwork:
    try:
        return FaceNetwork(module.to(device).eval(), card)
    except (RuntimeError, AssertionError) as error:
        raise NetworkError(f"'{card.name}' cannot be put on the device '{device}': {error}") from error
