"""Networks from elsewhere: timm's models, ONNX graphs, a function of one's own."""

import dataclasses
import importlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from fusiform.errors import NetworkError, SpecError, WeightsError, nearest
from fusiform.networks._card import NetworkCard
from fusiform.networks._network import FaceNetwork
from fusiform.networks._spec import Spec, size_from
from fusiform.networks._weights import file_digest
from fusiform.optional import require


def from_timm(spec: Spec) -> tuple[nn.Module, NetworkCard]:
    """Build a timm model with random weights; the card is read from timm's configuration."""
    with _quiet():
        timm = require("timm", extra="zoo")
        if not spec.target or not timm.is_model(spec.target.partition(".")[0]):
            known = timm.list_models()
            raise SpecError(f"timm has no model '{spec.target}'; {nearest(spec.target, known)}")
        options: dict[str, Any] = {}
        num_classes = spec.take_int("num_classes")
        if num_classes is not None:
            options["num_classes"] = num_classes
        try:
            module = timm.create_model(spec.target, pretrained=False, **options)
        except Exception as error:
            raise NetworkError(f"timm cannot build '{spec.target}': {error}") from error
    config = module.pretrained_cfg
    card = NetworkCard(
        name=spec.target,
        input_size=tuple(config.get("input_size", (3, 224, 224))[1:]),
        mean=tuple(config.get("mean", (0.5, 0.5, 0.5))),
        std=tuple(config.get("std", (0.5, 0.5, 0.5))),
        head="embedding" if num_classes == 0 else "logits",
        description=f"Architecture from timm {timm.__version__}.",
    )
    return module, card


def from_onnx(spec: Spec) -> tuple[nn.Module, NetworkCard]:
    """Convert an ONNX graph; the input size is read from the graph where it is fixed there."""
    if "weights" in spec.options:
        raise SpecError(f"Network '{spec.text}' takes no 'weights': an ONNX file holds its own.")
    path = Path(spec.target).expanduser()
    if not path.is_file():
        raise WeightsError(f"There is no ONNX file '{path}'.")
    with _quiet():
        onnx = require("onnx", extra="onnx")
        onnx2torch = require("onnx2torch", extra="onnx")
        try:
            graph = onnx.load(str(path))
        except Exception as error:  # protobuf's own exceptions, or an external data file that is not there
            raise WeightsError(
                f"'{path}' ({path.stat().st_size} bytes) is no readable ONNX file ({type(error).__name__}: "
                f"{str(error)[:160]}); is it complete?"
            ) from error
        try:
            module = onnx2torch.convert(graph)
        except Exception as error:
            raise NetworkError(
                f"'{path}' cannot be converted to PyTorch ({type(error).__name__}: {str(error)[:200]}). Graphs up to "
                "opset 17 can: export with torch.onnx.export(..., dynamo=False, opset_version=17)."
            ) from error
    size, n_channels = _onnx_input(graph, spec)
    card = NetworkCard(
        name=path.stem,
        input_size=size,
        channels="grey" if n_channels == 1 else "rgb",
        weights_digest=file_digest(path),
        description="Converted from ONNX.",
    )
    return module, card


def _onnx_input(graph: Any, spec: Spec) -> tuple[tuple[int, int], int]:
    weights = {tensor.name for tensor in graph.graph.initializer}
    inputs = [i for i in graph.graph.input if i.name not in weights]
    if len(inputs) != 1:
        raise NetworkError(
            f"The ONNX graph '{spec.target}' has {len(inputs)} inputs; expected one, of images."
        )
    dims = [d.dim_value for d in inputs[0].type.tensor_type.shape.dim]
    if len(dims) != 4:
        raise NetworkError(
            f"The input of the ONNX graph '{spec.target}' has {len(dims)} axes; expected (n, channels, height, width)."
        )
    if dims[1] not in (0, 1, 3):  # 0 where the graph leaves it open
        raise NetworkError(
            f"The input of the ONNX graph '{spec.target}' has shape {tuple(dims)}, so {dims[1]} channels; expected "
            "(n, channels, height, width) with 1 or 3. Export it with channels first."
        )
    if "input" in spec.options:
        size = size_from(spec.options["input"], spec.text)
    elif dims[2] > 0 and dims[3] > 0:
        size = (dims[2], dims[3])
    else:
        raise SpecError(
            f"The ONNX graph '{spec.target}' takes images of any size; say which, as in 'onnx:{spec.target}"
            "?input=112x112'."
        )
    return size, dims[1]


def from_python(spec: Spec) -> tuple[nn.Module, NetworkCard]:
    """Call ``module:factory`` without arguments; a module may bring a `card`."""
    module_name, _, factory_name = spec.target.partition(":")
    if not module_name or not factory_name:
        raise SpecError(f"Network '{spec.text}' is not of the form python:module:factory.")
    with _current_folder():
        try:
            holder = importlib.import_module(module_name)
        except Exception as error:
            absent = error.name if isinstance(error, ModuleNotFoundError) else None
            if absent and f"{module_name}.".startswith(f"{absent}."):
                raise SpecError(
                    f"There is no Python module '{module_name}' in the current folder or on the path."
                ) from error
            raise NetworkError(
                f"The Python module '{module_name}' cannot be imported ({type(error).__name__}: {error})."
            ) from error
        factory = getattr(holder, factory_name, None)
        if not callable(factory):
            known = [n for n, v in vars(holder).items() if callable(v) and not n.startswith("_")]
            raise SpecError(
                f"Module '{module_name}' has no function '{factory_name}'; {nearest(factory_name, known)}"
            )
        try:
            made = factory()
        except Exception as error:
            raise NetworkError(
                f"{module_name}.{factory_name}() failed ({type(error).__name__}: {error}); it is called without "
                "arguments and must return a torch.nn.Module or a FaceNetwork."
            ) from error
    if isinstance(made, FaceNetwork):
        return made.module, made.card
    if not isinstance(made, nn.Module):
        raise NetworkError(
            f"{module_name}.{factory_name}() returned a {type(made).__name__}; "
            "expected a torch.nn.Module or a FaceNetwork."
        )
    card = getattr(made, "card", None)
    if isinstance(card, Mapping):
        fields = [field.name for field in dataclasses.fields(NetworkCard)]
        for key in card:
            if key not in fields:
                raise NetworkError(
                    f"The 'card' of what {module_name}.{factory_name}() returned has no field '{key}'; "
                    f"{nearest(str(key), fields)}"
                )
        card = NetworkCard(**{"name": factory_name, **card})
    return made, card if isinstance(card, NetworkCard) else NetworkCard(name=factory_name)


@contextmanager
def _current_folder() -> Iterator[None]:
    """Let imports look into the current folder for a while."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep other packages' deprecations from the person who only named a network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
