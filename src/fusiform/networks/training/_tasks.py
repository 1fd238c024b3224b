from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn import functional as F

from fusiform.errors import DataError

_KINDS = ("binary", "categorical", "continuous")


class TaskLabels(NamedTuple):
    """What one attribute is for every face; a plain tuple of the same does as well.

    Attributes
    ----------
    kind : str
        ``"binary"``, ``"categorical"`` or ``"continuous"``.
    values : array, shape (n_faces,)
        Class numbers (0 and 1 when binary) or values; NaN where unknown.
    n_classes : int, default 2
        How many classes a categorical attribute has.
    """

    kind: str
    values: Float[ndarray, " n"]
    n_classes: int = 2


@dataclass(frozen=True)
class Task:
    """One attribute to learn: its loss, its answer and its score, given its own outputs of the head.

    Parameters
    ----------
    name, kind : str
        Of the attribute.
    bias : tuple of float
        What the outputs begin with: the logarithm of the classes' odds or frequencies over the training
        images, so that rare classes need not be unlearnt first; 0 when continuous.
    mean, deviation : float
        Of a continuous attribute over the training images; the head predicts the standardised value.
    """

    name: str
    kind: str
    bias: tuple[float, ...]
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def n_outputs(self) -> int:
        """Columns of the head: one logit (binary), one a class (categorical), one number (continuous)."""
        return len(self.bias)

    def losses(self, outputs: Float[Tensor, "n o"], values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Cross-entropy, or the squared error of the standardised value, of each image.

        Parameters
        ----------
        outputs : float tensor, shape (n, n_outputs)
            What the head gave.
        values : float tensor, shape (n,)
            Class numbers or values, all known.

        Returns
        -------
        float tensor, shape (n,)
            Not negative.
        """
        if self.kind == "binary":
            return F.binary_cross_entropy_with_logits(outputs[:, 0], values, reduction="none")
        if self.kind == "categorical":
            return F.cross_entropy(outputs, values.long(), reduction="none")
        return (outputs[:, 0] - (values - self.mean) / self.deviation) ** 2

    def answer(self, outputs: Float[Tensor, "n o"]) -> Float[ndarray, "n ..."]:
        """Turn the head's outputs into what a person asked for.

        Parameters
        ----------
        outputs : float tensor, shape (n, n_outputs)
            What the head gave.

        Returns
        -------
        array, shape (n, n_classes) or (n,)
            Probabilities of the classes (two when binary), or values in the attribute's unit.
        """
        outputs = outputs.double().cpu()
        if self.kind == "continuous":
            return (outputs[:, 0] * self.deviation + self.mean).numpy()
        if self.kind == "binary":
            # Each from its own side, so that neither rounds to 0 before its time.
            return torch.cat([(-outputs).sigmoid(), outputs.sigmoid()], dim=1).numpy()
        return outputs.softmax(dim=1).numpy()

    def score(self, answer: Float[ndarray, "n ..."], values: Float[ndarray, " n"]) -> float:
        """Accuracy, or R² of a continuous attribute, over images whose value is known.

        Parameters
        ----------
        answer : array, shape (n, n_classes) or (n,)
            From `answer`.
        values : array, shape (n,)
            Class numbers or values; NaN where unknown.

        Returns
        -------
        float
            NaN where there is nothing to compare.
        """
        known = np.isfinite(values)
        answer, values = answer[known], values[known]
        if not len(values):
            return float("nan")
        if self.kind != "continuous":
            return float((answer.argmax(axis=1) == values).mean())
        spread = float(((values - values.mean()) ** 2).sum())
        return 1 - float(((values - answer) ** 2).sum()) / spread if spread > 0 else float("nan")


def mean_loss(
    tasks: Sequence[Task], outputs: Float[Tensor, "n o"], targets: Float[Tensor, "n t"]
) -> Float[Tensor, ""]:
    """Average the losses of all labels that are known.

    Parameters
    ----------
    tasks : sequence of Task
        The tasks, in the order of the head's columns.
    outputs : float tensor, shape (n, outputs)
        What the head gave.
    targets : float tensor, shape (n, tasks)
        Class numbers or values; NaN where unknown.

    Returns
    -------
    float tensor, shape ()
        0 where no label is known.
    """
    known = targets.isfinite()
    total = outputs.sum() * 0.0
    for k, (task, own) in enumerate(zip(tasks, _split(tasks, outputs), strict=True)):
        total = total + task.losses(own[known[:, k]], targets[known[:, k], k]).sum()
    return total / known.sum().clamp(min=1)


def answers(tasks: Sequence[Task], outputs: Float[Tensor, "n o"]) -> dict[str, Float[ndarray, "n ..."]]:
    """Turn the head's outputs into every task's answer.

    Parameters
    ----------
    tasks : sequence of Task
        The tasks, in the order of the head's columns.
    outputs : float tensor, shape (n, outputs)
        What the head gave.

    Returns
    -------
    dict of str to array
        As `Task.answer` gives them, by attribute.
    """
    return {task.name: task.answer(own) for task, own in zip(tasks, _split(tasks, outputs), strict=True)}


def _split(tasks: Sequence[Task], outputs: Float[Tensor, "n o"]) -> tuple[Tensor, ...]:
    return outputs.split([task.n_outputs for task in tasks], dim=1)


def read_tasks(
    labels: Mapping[str, TaskLabels | tuple], n_faces: int, train_rows: Int[ndarray, " n"]
) -> tuple[list[Task], Float[ndarray, "n t"]]:
    """Check labels and make tasks of them.

    Parameters
    ----------
    labels : mapping of str to TaskLabels
        By attribute.
    n_faces : int
        How many values each must have.
    train_rows : int array, shape (n,)
        Faces to learn from.

    Returns
    -------
    tasks : list of Task
        In the order of `labels`.
    values : array, shape (n_faces, tasks)
        NaN where unknown.

    Raises
    ------
    DataError
        If there is nothing to learn, or values do not fit their kind.
    """
    if not labels:
        raise DataError("No attribute was given to learn; name at least one in 'labels'.")
    tasks, columns = [], []
    for name, given in labels.items():
        kind, values, n_classes = TaskLabels(*given)
        column = np.asarray(values, dtype=np.float64)
        if kind not in _KINDS:
            raise DataError(f"The attribute '{name}' can be {', '.join(_KINDS)}; got '{kind}'.")
        if column.shape != (n_faces,):
            raise DataError(f"The attribute '{name}' has values of shape {column.shape} for {n_faces} faces.")
        column = np.where(np.isfinite(column), column, np.nan)
        learnt = column[train_rows]
        learnt = learnt[np.isfinite(learnt)]
        if not len(learnt):
            raise DataError(
                f"The attribute '{name}' is known of none of the {len(train_rows)} training faces; leave it out."
            )
        columns.append(column)
        if kind == "continuous":
            tasks.append(Task(name, kind, (0.0,), float(learnt.mean()), float(learnt.std()) or 1.0))
            continue
        n_classes = 2 if kind == "binary" else int(n_classes)
        known = column[np.isfinite(column)]
        odd = known[~np.isin(known, np.arange(n_classes))]
        if n_classes < 2 or len(odd):
            got = f"the value {odd[0]:g}" if len(odd) else f"{n_classes} classes"
            raise DataError(
                f"The values of '{name}' must be class numbers from 0 to {max(n_classes, 2) - 1}, NaN where unknown; "
                f"got {got}."
            )
        # One image more of each class, so that none is impossible.
        logs = np.log(np.bincount(learnt.astype(np.int64), minlength=n_classes) + 1) - np.log(
            len(learnt) + n_classes
        )
        tasks.append(
            Task(name, kind, (float(logs[1] - logs[0]),) if kind == "binary" else tuple(logs.tolist()))
        )
    return tasks, np.stack(columns, axis=1)
