import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pillow",
    "scikit-image",
    "timm",
    "onnx2torch",
)


def environment() -> dict[str, Any]:
    """Versions and machine, for the record.

    Returns
    -------
    dict
        Plain JSON values: fusiform's and Python's version, the packages that matter for a result, the
        machine, its cores, and torch's thread count.

    Examples
    --------
    >>> environment()["python"].startswith("3.")
    True
    """
    import torch

    import fusiform

    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "fusiform": fusiform.__version__,
        "python": platform.python_version(),
        "packages": packages,
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }
