"""Read weights without ever running what a file contains, and say clearly why they do not fit."""

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fusiform.errors import WeightsError

_WRAPPERS = ("state_dict", "net_state_dict", "model_state_dict", "model")
_SHOWN = 4
# How files of torch.save begin, today's and those before 1.6 (which any other pickle does too).
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors file, or by ``torch.load(weights_only=True)``.

    Wrappers (``state_dict``, ``net_state_dict``, ``model_state_dict``, ``model``) are opened and a
    ``module.`` in front of all names is dropped. Which format a file has is read from its first bytes.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    WeightsError
        If the file is absent, damaged, holds something else, or would have to be unpickled.
    """
    path = Path(path).expanduser()
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise WeightsError(f"The weights '{path}' cannot be read: {error.strerror or error}.") from error
    if start[8:9] == b"{":
        try:
            return _stripped(dict(load_file(path)))
        except (SafetensorError, OSError) as error:
            raise WeightsError(_damaged(path, error)) from error
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle protocol of files that are refused below
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own text advises to load the file without this protection, so none of it is passed on.
        refused = any(word in str(error).lower() for word in ("unpickler", "protocol", "unsupported"))
        if start[:4] == _ZIP or (start[:1] == _PICKLE and refused):
            raise WeightsError(_pickled(path)) from error
        raise WeightsError(_damaged(path, "neither safetensors nor a file of torch.save")) from error
    except Exception as error:  # a damaged file breaks torch's reader in many ways
        if "TorchScript" in str(error):
            raise WeightsError(_pickled(path)) from error
        raise WeightsError(_damaged(path, error)) from error
    return _stripped(_unwrapped(loaded, path))


def _pickled(path: Path) -> str:
    return (
        f"The weights '{path}' hold pickled Python objects, and loading them would run code from the file. "
        "Where you trust it, save the bare state dict once with "
        "safetensors.torch.save_file(module.state_dict(), 'weights.safetensors') and give that file."
    )


def _damaged(path: Path, error: Exception | str) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
    return (
        f"The weights '{path}' ({path.stat().st_size} bytes) are no readable weights file: {reason}. Expected a state "
        "dict as safetensors or from torch.save; is the file complete?"
    )


def _unwrapped(loaded: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(loaded, Mapping):
        inner = next((loaded[w] for w in _WRAPPERS if isinstance(loaded.get(w), Mapping)), None)
        if inner is None:
            break
        loaded = inner
    if isinstance(loaded, Mapping):
        state = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
        if state and len(state) == len(loaded):
            return state
        names = ", ".join(f"'{n}'" for n, v in loaded.items() if not isinstance(v, Tensor)) or "nothing"
        raise WeightsError(
            f"The weights '{path}' hold no state dict: expected names and tensors (at the top, or under "
            f"{', '.join(_WRAPPERS)}); besides {len(state)} tensors got {names[:200]}."
        )
    raise WeightsError(f"The weights '{path}' hold a {type(loaded).__name__}; expected a state dict.")


def _stripped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    while state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def fit_weights(module: nn.Module, state: Mapping[str, Tensor], *, what: str, path: str | Path) -> None:
    """Copy a state dict into a module.

    Parameters
    ----------
    module : nn.Module
        The architecture.
    state : mapping of str to Tensor
        From `read_weights`.
    what, path : str
        Name of the architecture and of the file, for the message.

    Raises
    ------
    WeightsError
        If names or shapes differ; some of each are listed, with counts.
    """
    own = module.state_dict()
    missing = [n for n in own if n not in state and not n.endswith("num_batches_tracked")]
    unexpected = [n for n in state if n not in own]
    misshapen = [
        f"{n} is {_shape(state[n])}, expected {_shape(own[n])}"
        for n in own
        if n in state and state[n].shape != own[n].shape
    ]
    if missing or unexpected or misshapen:
        parts = [
            f"{len(names)} {label} ({'; '.join(names[:_SHOWN])}{'; ...' if len(names) > _SHOWN else ''})"
            for label, names in (
                ("missing", missing),
                ("unexpected", unexpected),
                ("of another shape", misshapen),
            )
            if names
        ]
        fitting = len(own) - len(missing) - len(misshapen)
        raise WeightsError(
            f"The weights '{path}' do not fit {what}: {', '.join(parts)}; {min(fitting, len(state))} of {len(own)} "
            "tensors fit. Give the architecture that these weights were trained with."
        )
    module.load_state_dict(dict(state), strict=False)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
