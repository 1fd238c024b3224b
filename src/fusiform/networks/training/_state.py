from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusiform.networks.training._folder import read_tensors, write_tensors


def save_state(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, values: dict[str, Any]
) -> None:
    """Write what a training needs to go on: weights, the optimizer's slots and plain values.

    Parameters
    ----------
    path : Path
        A safetensors file, written whole or not at all.
    model : nn.Module
        The network.
    optimizer : torch.optim.Optimizer
        Its optimizer.
    values : dict
        Plain JSON values.

    Raises
    ------
    RunError
        If the disk is full.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": slot for key, slot in slots.items() if slot is not None}
    write_tensors(path, tensors, values)


def restore_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Read what `save_state` wrote into a model and its optimizer.

    Parameters
    ----------
    path : Path
        The file.
    model : nn.Module
        The network; its weights are replaced.
    optimizer : torch.optim.Optimizer
        Its optimizer; its slots are replaced.

    Returns
    -------
    dict
        The plain values.

    Raises
    ------
    WeightsError
        If the file cannot be read.
    """
    tensors, values = read_tensors(path)
    model.load_state_dict(
        {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    )
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            slots.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": slots, "param_groups": groups})
    return values
