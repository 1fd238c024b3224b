"""fusiform opens face networks up.

The root shows sub-packages only and loads each on first use, so that ``import fusiform`` and
``fusiform --help`` do not wait for torch.

Examples
--------
>>> import fusiform as ff
>>> faces = ff.faces.open_faces("synthetic?n=4&seed=0")
>>> len(faces)
4
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_SUBPACKAGES = (
    "activations",
    "attribution",
    "dissection",
    "errors",
    "evaluation",
    "faces",
    "networks",
    "perturbation",
    "plotting",
    "probing",
    "report",
    "runs",
    "statistics",
    "studies",
    "targets",
    "verification",
)

__all__ = ["__version__", *_SUBPACKAGES]


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"fusiform.{name}")
    raise AttributeError(f"module 'fusiform' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
