"""Standard deviations of a layer's features, measured in the walk that needs them first."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

Scale = Literal["subset", "pooled"]

# Variation of at most so many units in the last place is rounding.
_ULPS = 8 * torch.finfo(torch.float32).eps
# Where the mean is so much larger than the deviation, sums of squares in single precision cancel.
_CANCELS = 1e-3
_ONE_IMAGE = 0.5  # of a feature's variance


class Scales:
    """Standard deviations (ddof 1) of features, over the pool or over each of several subsets of it.

    A feature that does not vary has deviation 0 and carries nothing. With ``"pooled"``, so has one that owes more
    than half of its variance to a single image: scaled to one, a unit that is all but dead would drown all else
    wherever it wakes up. With ``"subset"`` that is left as scikit-learn does it.

    Parameters
    ----------
    kind : {"subset", "pooled"}
        Whether features are scaled over each subset or over the whole pool.
    subsets : sequence of int arrays
        Rows of each subset, as positions in the pool.
    n_pool : int
        Rows of the pool.
    n_features : int
        Features of the layer.
    device : torch.device
        Where activations are multiplied.
    """

    def __init__(
        self,
        kind: Scale,
        subsets: Sequence[Int[ndarray, " k"]],
        n_pool: int,
        n_features: int,
        device: torch.device,
    ) -> None:
        self.kind = kind
        self.n_pool = n_pool
        self.subsets = [np.arange(n_pool)] if kind == "pooled" else [np.asarray(s) for s in subsets]
        self._members = torch.zeros(n_pool, len(self.subsets), device=device)
        for number, rows in enumerate(self.subsets):
            self._members[torch.from_numpy(rows), number] = 1.0
        self._counts = self._members.sum(dim=0)
        self.mean = torch.zeros(n_features, len(self.subsets), device=device)
        self.deviation = torch.zeros(n_features, len(self.subsets), device=device)
        self._known = torch.zeros(n_features, dtype=torch.bool)

    def of(self, numbers: Sequence[int]) -> Int[ndarray, " k"]:
        """Which column of `mean` and `deviation` belongs to each subset, given by its number."""
        return np.array([0 if self.kind == "pooled" else number for number in numbers], dtype=np.int64)

    def factor(self, columns: slice) -> Float[Tensor, "b s"]:
        """What features are multiplied by: 1 / deviation, 0 for those that carry nothing."""
        deviation = self.deviation[columns]
        return torch.where(deviation > 0, 1.0 / deviation, 0.0)

    def measure(self, columns: slice, X: Float[Tensor, "p b"], level: Float[Tensor, " b"]) -> None:
        """Measure a block of features, unless that was done before.

        Parameters
        ----------
        columns : slice
            Which features.
        X : tensor, shape (n_pool, b)
            Their values less `level`.
        level : tensor, shape (b,)
            What was taken off.
        """
        if self._known[columns].all():
            return
        self._known[columns] = True
        squares = X.square()
        mean = (X.T @ self._members).div_(self._counts)
        raw = (squares.T @ self._members).div_(self._counts)
        variance = raw - mean.square()
        doubtful = ((variance <= _CANCELS * raw) & (raw > 0)).any(dim=1)
        if doubtful.any():
            self._measure_again(X[:, doubtful], mean, variance, doubtful)
        deviation = variance.mul_(self._counts / (self._counts - 1).clamp(min=1)).clamp_(min=0).sqrt_()
        dead = deviation <= _ULPS * (mean + level[:, None]).abs()
        if self.kind == "pooled":
            largest = (X - mean.T).square_().amax(dim=0)[:, None]
            dead |= largest > _ONE_IMAGE * (self._counts - 1) * deviation.square()
        self.mean[columns] = mean
        self.deviation[columns] = deviation.masked_fill_(dead, 0.0)

    def _measure_again(self, X: Tensor, mean: Tensor, variance: Tensor, doubtful: Tensor) -> None:
        exact = X.double()
        for number, rows in enumerate(self.subsets):
            own = exact[torch.from_numpy(rows).to(X.device)]
            mean[doubtful, number] = own.mean(dim=0).float()
            variance[doubtful, number] = own.var(dim=0, correction=0).float()
