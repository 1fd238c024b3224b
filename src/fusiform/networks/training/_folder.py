import json
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fusiform.errors import RunError, WeightsError
from fusiform.runs import atomic_write

RECORD = "training.json"
LOG = "log.parquet"
LOG_COLUMNS = {
    "seed": "int64",
    "step": "int64",
    "epoch": "int64",
    "lr": "float64",
    "loss": "float64",
    "accuracy": "float64",
    "valid_auc": "float64",
}
_FORMAT = 1


class State(NamedTuple):
    """What is needed to go on: tensors by name, and plain values."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def write_tensors(path: Path, tensors: dict[str, Tensor], values: dict[str, Any] | None = None) -> None:
    """Write tensors and plain values to one safetensors file, whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    tensors : dict of str to tensor
        They are copied to the CPU.
    values : dict, optional
        Plain JSON values, kept in the file's header.

    Raises
    ------
    RunError
        If the disk is full.
    """
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    # Python writes the bytes, so that a full disk is an OSError with its number.
    data = save(plain, metadata={"values": json.dumps(values or {})})
    with atomic_write(path) as part:
        part.write_bytes(data)


def read_tensors(path: Path) -> State:
    """Read what `write_tensors` wrote.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    State
        Tensors and values.

    Raises
    ------
    WeightsError
        If the file is missing, or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads((file.metadata() or {}).get("values", "{}"))
            return State({name: file.get_tensor(name) for name in file.keys()}, values)  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"'{path}' cannot be read as safetensors: {error}.") from error


class TrainingFolder:
    """The folder of a training: ``training.json``, ``log.parquet`` and one folder a seed.

    Parameters
    ----------
    path : Path
        The folder.
    record : dict
        What ``training.json`` holds.
    """

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self.record = record

    @classmethod
    def start(
        cls, path: str | Path, request: dict[str, Any], environment: dict[str, Any], *, resume: bool
    ) -> "TrainingFolder":
        """Make the folder, or go on with one that was asked the same.

        Parameters
        ----------
        path : str or Path
            The folder.
        request : dict
            What is asked, as plain JSON values.
        environment : dict
            Versions and machine.
        resume : bool
            Whether an existing training may be continued.

        Returns
        -------
        TrainingFolder
            The folder.

        Raises
        ------
        RunError
            If the folder holds another training, something else, or may not be continued.
        """
        path = Path(path).expanduser()
        request = json.loads(json.dumps(request))
        if path.exists() and not path.is_dir():
            raise RunError(f"The training folder '{path}' is a file. Give the name of a folder to make.")
        if path.is_dir() and any(path.iterdir()):
            folder = cls.open(path)
            if difference := _difference(folder.record["request"], request):
                raise RunError(
                    f"The folder '{path}' holds a training that was asked something else ({difference}). "
                    "Choose another folder; nothing was changed."
                )
            if not resume:
                raise RunError(
                    f"The folder '{path}' holds this training already. Choose another folder, or let it be "
                    "continued (resume=True)."
                )
            return folder
        folder = cls(path, {"format": _FORMAT, "request": request, "environment": environment, "seeds": {}})
        folder.save()
        return folder

    @classmethod
    def open(cls, path: str | Path) -> "TrainingFolder":
        """Open a training's folder.

        Parameters
        ----------
        path : str or Path
            The folder.

        Returns
        -------
        TrainingFolder
            The folder.

        Raises
        ------
        RunError
            If it holds no training.
        """
        path = Path(path).expanduser()
        try:
            record = json.loads((path / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"The folder '{path}' holds no readable {RECORD}, so it is not a training's. Choose another "
                "folder; nothing was changed."
            ) from error
        if not isinstance(record, dict) or record.get("format") != _FORMAT:
            raise RunError(
                f"'{path / RECORD}' was written by another version of fusiform. Choose another folder."
            )
        return cls(path, record)

    def save(self) -> None:
        """Write ``training.json``."""
        with atomic_write(self.path / RECORD) as part:
            part.write_text(json.dumps(self.record, indent=1) + "\n", encoding="utf-8")

    def seed_path(self, seed: int) -> Path:
        """Give the folder of one initialisation."""
        return self.path / f"seed_{seed}"

    def state_path(self, seed: int) -> Path:
        """Give the file from which one initialisation goes on."""
        return self.seed_path(seed) / "state.safetensors"

    def checkpoint_path(self, seed: int, step: int) -> Path:
        """Give the file of the weights after a step."""
        return self.seed_path(seed) / "checkpoints" / f"step_{step:07d}.safetensors"

    def best_path(self, seed: int) -> Path:
        """Give the file of one initialisation's best weights."""
        return self.seed_path(seed) / "best.safetensors"

    def classifier_path(self, seed: int) -> Path:
        """Give the file of the classifier that sat on the best weights of an identity network."""
        return self.seed_path(seed) / "classifier.safetensors"

    def log(self) -> pd.DataFrame:
        """Read the log of all seeds; empty where nothing was logged."""
        path = self.path / LOG
        if not path.exists():
            return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in LOG_COLUMNS.items()})
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:  # pyarrow's errors too
            raise RunError(
                f"The log '{path}' cannot be read: {error}. Remove it to go on without what it held; weights "
                "and checkpoints do not depend on it."
            ) from error

    def write_log(self, seed: int, rows: list[dict[str, Any]]) -> None:
        """Put one seed's rows in place of those that the log holds of it.

        Parameters
        ----------
        seed : int
            Which.
        rows : list of dict
            All its rows so far.
        """
        log = self.log()
        table = pd.DataFrame(rows, columns=list(LOG_COLUMNS)).astype(LOG_COLUMNS)
        others = log[log["seed"] != seed]
        table = pd.concat([others, table]) if len(others) else table
        with atomic_write(self.path / LOG) as part:
            table.sort_values(["seed", "step"]).to_parquet(part, index=False)


def _difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> str:
    found = []
    for key in {**old, **new}:
        there, asked = old.get(key), new.get(key)
        if isinstance(there, dict) and isinstance(asked, dict):
            found.append(_difference(there, asked, f"{prefix}{key}."))
        elif there != asked:
            found.append(f"{prefix}{key}: {there!r} there, {asked!r} asked")
    return "; ".join([f for f in found if f][:3])
