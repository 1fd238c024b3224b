"""Architectures that face people use, written from their layer plans, each in one small file with its card."""

import importlib
from typing import TYPE_CHECKING

from torch import Tensor, nn

from fusiform.networks._card import NetworkCard

if TYPE_CHECKING:
    from fusiform.networks._spec import Spec

# From a name that a specification may use to the file and function that build it.
_BUILDERS = {
    "mobilefacenet_relu6": ("mobilefacenet_relu6", "build"),
    "mobilefacenet_prelu": ("mobilefacenet_prelu", "build"),
    "mobilenetv1": ("mobilenetv1", "build"),
    "mini_xception": ("mini_xception", "build"),
    "pose3d": ("pose3d", "build"),
    **{f"resnet{depth}": ("resnet", "build") for depth in (10, 18, 34, 50)},
}

NAMES = tuple(_BUILDERS)

__all__ = ["NAMES", "build"]


def build(
    spec: "Spec", state: dict[str, Tensor] | None
) -> tuple[nn.Module, NetworkCard, dict[str, Tensor] | None]:
    """Build an architecture of the zoo with random weights.

    Parameters
    ----------
    spec : Spec
        Its `target` is one of `NAMES`; options that the architecture understands are taken out.
    state : dict of str to Tensor, optional
        The weights that will be loaded; some architectures read their number of outputs from it.

    Returns
    -------
    module, card, state
        With the part of the weights that belongs to the architecture.
    """
    file, function = _BUILDERS[spec.target]
    module: tuple[nn.Module, NetworkCard, dict[str, Tensor] | None]
    module = getattr(importlib.import_module(f"{__name__}.{file}"), function)(spec, state)
    return module
