from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError

# Values in a block of columns, which stays in the processor's cache.
_BLOCK = 1 << 19
# Variation of at most so many units in the last place is rounding.
_ULPS = 8
# Beyond these, squares of squares leave float64.
_LEAST, _MOST = 1e-70, 1e70


class StandardisedFeatures:
    """X, read in blocks of columns that are centred and scaled on the way; as a matrix product, its K."""

    dtype = torch.float64

    def __init__(self, X: ndarray, names: ndarray | None) -> None:
        self.X = X
        self.factor = np.ones(X.shape[1])
        self.mean, self.deviation = np.empty(X.shape[1]), np.empty(X.shape[1])
        for columns in _slices(X):
            block = X[:, columns]
            self.mean[columns], self.deviation[columns] = moments(block)
            if not np.isfinite(self.deviation[columns]).all():
                refuse_not_finite(block, names, first_column=columns.start)

    def scale_by(self, divisor: ndarray) -> None:
        """Divide by these; 0 leaves a feature out."""
        # Rounding that differs from row to row is no signal, and scaling would blow it up.
        alive = (self.deviation > rounding(self.mean, self.X.dtype)) & (divisor > 0)
        if not alive.any():
            raise DataError("No feature varies: every column of X is constant or left out by 'scale'.")
        self.factor = np.divide(1.0, divisor, out=np.zeros_like(divisor), where=alive)
        refuse_extremes("X", (self.deviation * self.factor)[alive])

    def gram(self) -> Float[Tensor, "n n"]:
        """K whole."""
        K = np.zeros((len(self), len(self)))
        for columns, block in centred_blocks(self.X, self.mean):
            block *= self.factor[columns]
            K += block @ block.T  # NumPy multiplies half of it
        return torch.from_numpy(K)

    def transposed_times(self, vectors: Float[ndarray, "n k"]) -> Float[ndarray, "m k"]:
        result = np.empty((self.X.shape[1], vectors.shape[1]))
        for columns, block in centred_blocks(self.X, self.mean):
            result[columns] = self.factor[columns, None] * (block.T @ vectors)
        return result

    def __len__(self) -> int:
        return len(self.X)

    def products(self, vectors: Float[Tensor, "n k"], owners: Int[ndarray, " k"]) -> Float[Tensor, "n k"]:
        """K times vectors without K: X (X' vectors), block by block; K is the same for all."""
        V = vectors.numpy()
        total = np.zeros(V.shape)
        for columns, block in centred_blocks(self.X, self.mean):
            total += block @ (np.square(self.factor[columns, None]) * (block.T @ V))
        return torch.from_numpy(total)


def centred_blocks(X: ndarray, mean: ndarray) -> Iterator[tuple[slice, ndarray]]:
    """Columns, and those columns of X less their means, in float64."""
    for columns in _slices(X):
        yield columns, np.subtract(X[:, columns], mean[columns], dtype=np.float64)


def _slices(X: ndarray) -> Iterator[slice]:
    width = max(16, _BLOCK // len(X))
    return (slice(start, min(start + width, X.shape[1])) for start in range(0, X.shape[1], width))


def moments(block: ndarray) -> tuple[ndarray, ndarray]:
    """Means and standard deviations (ddof 1) of columns."""
    with np.errstate(over="ignore", invalid="ignore"):
        # Beside the first row, a constant column is exactly zero.
        z = np.subtract(block, block[0], dtype=np.float64)
        shift = z.mean(axis=0)
        z -= shift
        deviation = np.sqrt(np.einsum("ij,ij->j", z, z) / (len(z) - 1))
        return block[0] + shift, deviation


def rounding(mean: ndarray, dtype: np.dtype) -> ndarray:
    """Standard deviation that rounding alone may give columns with these means."""
    return np.asarray(_ULPS * np.finfo(dtype).eps * np.abs(mean))


def refuse_not_finite(part: ndarray, names: ndarray | None, *, first_column: int = 0) -> None:
    """Say where a part of X is not finite, or that it is too large."""
    where = np.argwhere(~np.isfinite(part))
    if len(where):
        row, column = where[0] + (0, first_column)
        name = f" ('{names[column]}')" if names is not None else ""
        kind = "NaN" if np.isnan(part[tuple(where[0])]) else "infinity"
        raise DataError(
            f"X must be finite; got {kind} in row {row}, feature {column}{name}. "
            "Drop or impute what is missing, and look for overflow where the features come from."
        )
    raise DataError(
        f"X holds values so large (up to {np.abs(part).max():.3g}) that products overflow; rescale it."
    )


def refuse_extremes(name: str, deviation: ndarray) -> None:
    """Refuse what float64 cannot square twice; standard deviations are those after scaling."""
    most = float(deviation.max())
    if not _LEAST <= most <= _MOST:
        raise DataError(
            f"The largest standard deviation of {name}'s columns is {most:.3g}, and its powers leave float64; "
            "change the unit, or give scale=True."
        )
