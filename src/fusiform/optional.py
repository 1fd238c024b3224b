"""Optional packages: imported late, with the extra's name when they are absent."""

import importlib
from types import ModuleType

from fusiform.errors import MissingDependencyError

__all__ = ["require"]

# Packages that import torchvision, whose operators may be missing from a CPU build of torch.
_NEED_TORCHVISION = {"torchvision", "timm", "onnx2torch", "zennit", "pytorch_grad_cam"}


def require(name: str, *, extra: str) -> ModuleType:
    """Import an optional package.

    Parameters
    ----------
    name : str
        The module's import name, such as ``"timm"``.
    extra : str
        The extra of fusiform that installs it, such as ``"zoo"``.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingDependencyError
        If the package is not installed; the message says what to type.

    Examples
    --------
    >>> require("json", extra="none").dumps(1)
    '1'
    >>> require("no_such_package", extra="zoo")
    Traceback (most recent call last):
    ...
    fusiform.errors.MissingDependencyError: 'no_such_package' is not installed; it comes with the extra
    'zoo': pip install 'fusiform[zoo]'.
    """
    try:
        if name.partition(".")[0] in _NEED_TORCHVISION:
            _heal_torchvision()
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"'{error.name}' is not installed; it comes with the extra '{extra}': pip install 'fusiform[{extra}]'."
        ) from error


def _heal_torchvision() -> None:
    """Let a torchvision whose compiled operators do not load import all the same.

    Where only a CUDA build of torchvision is at hand and torch is a CPU build, the import stops at the
    missing schema of ``torchvision::nms``. Models and transforms need none of those operators, so the
    schemas alone are defined, on that very error, and the import is tried again.
    """
    import sys

    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        import torch

        for operator in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        for loaded in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            del sys.modules[loaded]
        importlib.import_module("torchvision")
