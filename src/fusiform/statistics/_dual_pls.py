from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

# A component that the features answer this much more weakly than the first is rounding, not signal.
_RANK_TOLERANCE = 1e-7


@dataclass(frozen=True)
class DualPLS:
    """Partial least squares of one target block, in terms of training images.

    With features X (centred on `rows`) the scores are ``T = X X' coefficients``; the primal rotations are
    ``X' coefficients``, so scores of any image follow from its products with the training images.

    Attributes
    ----------
    rows : int array, shape (n,)
        Training images, as rows of the Gram matrix.
    coefficients : array, shape (n, c)
        Columns sum to zero. Scores on the training images are orthonormal.
    scores : array, shape (n, c)
        T, centred, T'T = I.
    offset : array, shape (c,)
        What to subtract from products of uncentred features with ``X' coefficients``.
    y_mean : array, shape (q,)
        Mean of the targets.
    y_loadings : array, shape (c, q)
        T'Y; predictions are ``y_mean + scores @ y_loadings``.
    """

    rows: Int[ndarray, " n"]
    coefficients: Float[ndarray, "n c"]
    scores: Float[ndarray, "n c"]
    offset: Float[ndarray, " c"]
    y_mean: Float[ndarray, " q"]
    y_loadings: Float[ndarray, "c q"]

    @property
    def n_components(self) -> int:
        """Components found; fewer than asked where the data have no more."""
        return self.scores.shape[1]


class _Block:
    """The state of one target block while components are taken from the Gram matrix."""

    def __init__(self, rows: ndarray, targets: ndarray) -> None:
        self.rows = rows
        self.y = np.asarray(targets, dtype=np.float64).reshape(len(rows), -1)
        self.y_mean = self.y.mean(axis=0)
        self.residual = self.y - self.y_mean
        self.directions: list[ndarray] = []
        self.images: list[ndarray] = []
        self.scores: list[ndarray] = []
        self.first_gain = 0.0
        self.done = not self.residual.any()

    def take(self, product: ndarray) -> None:
        """One component, given K times the residual targets (rows of this block only, not centred)."""
        product = product - product.mean(axis=0)
        cross = self.residual.T @ product
        # The weights of NIPALS converge to the leading left singular vector of X'Y (Höskuldsson 1988).
        direction = np.linalg.eigh((cross + cross.T) / 2)[1][:, -1]
        u, image = self.residual @ direction, product @ direction
        t = image.copy()
        for _ in range(2):  # twice is enough (Parlett 1980)
            for earlier in self.scores:
                t -= earlier * (earlier @ t)
        norm = np.linalg.norm(t)
        gain = float(norm / np.linalg.norm(u))
        self.first_gain = self.first_gain or gain
        if gain <= _RANK_TOLERANCE * self.first_gain:
            self.done = True
            return
        t /= norm
        self.directions.append(u)
        self.images.append(image)
        self.scores.append(t)
        self.residual = self.residual - np.outer(t, t @ self.residual)
        scale = np.abs(self.y - self.y_mean).max()
        self.done = bool(np.abs(self.residual).max() <= _RANK_TOLERANCE * scale)

    def finish(self, column_means: ndarray) -> DualPLS:
        n = len(self.rows)
        if not self.scores:
            empty = np.zeros((n, 0))
            return DualPLS(self.rows, empty, empty, np.zeros(0), self.y_mean, np.zeros((0, self.y.shape[1])))
        T, U = np.stack(self.scores, axis=1), np.stack(self.directions, axis=1)
        R = np.triu(T.T @ np.stack(self.images, axis=1))
        coefficients = U @ np.linalg.inv(R)
        coefficients -= coefficients.mean(axis=0)
        return DualPLS(
            self.rows, coefficients, T, column_means @ coefficients, self.y_mean, T.T @ (self.y - self.y_mean)
        )


def dual_pls(
    gram: Float[Tensor, "n n"],
    rows: Sequence[Int[ndarray, " k"]],
    targets: Sequence[Float[ndarray, "k q"]],
    n_components: int = 8,
) -> list[DualPLS]:
    """Partial least squares for many target blocks from one Gram matrix.

    All that PLS needs of the features X (n images, m features, n << m) is K = XX'. The weights of a
    component are X'u for u in the span of the residual targets, its scores K u orthogonal to the earlier
    scores, so all blocks together cost one product of K with their residual targets a component.
    Each block has its own training images; features are centred on them, and keep the scale they came with.

    Parameters
    ----------
    gram : tensor, shape (n, n)
        K = XX', float64 recommended; need not be centred.
    rows : sequence of int arrays
        For each block, its training images.
    targets : sequence of arrays, shapes (k,) or (k, q)
        For each block, its targets on those images: one column is PLS1, several are PLS2.
    n_components : int, default 8
        Components; a block stops earlier where its features or its targets are exhausted.

    Returns
    -------
    list of DualPLS
        One for each block.

    References
    ----------
    Rännar et al. (1994), J. Chemometrics 8; Rosipal and Trejo (2001), JMLR 2; Diniz (2020), section 2.2.

    Examples
    --------
    >>> X = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [3.0, 5.0]], dtype=torch.float64)
    >>> (fit,) = dual_pls(X @ X.T, [np.arange(4)], [np.array([0.0, 0.0, 1.0, 1.0])], n_components=2)
    >>> np.allclose(fit.scores.T @ fit.scores, np.eye(2))
    True
    """
    blocks = [_Block(np.asarray(r), t) for r, t in zip(rows, targets, strict=True)]
    for _ in range(n_components):
        active = [b for b in blocks if not b.done]
        if not active:
            break
        widths = [b.residual.shape[1] for b in active]
        residual = torch.zeros(len(gram), sum(widths), dtype=gram.dtype)
        ends = np.cumsum(widths)
        for block, end, width in zip(active, ends, widths, strict=True):
            residual[block.rows, end - width : end] = torch.from_numpy(block.residual).to(gram.dtype)
        product = gram @ residual
        for block, end, width in zip(active, ends, widths, strict=True):
            block.take(product[block.rows, end - width : end].double().numpy())
    # The mean of a block's products with its coefficients needs the column means of its part of K only.
    members = torch.zeros(len(gram), len(blocks), dtype=gram.dtype)
    for number, block in enumerate(blocks):
        members[block.rows, number] = 1.0 / len(block.rows)
    means = (gram @ members).double().numpy()
    return [block.finish(means[block.rows, number]) for number, block in enumerate(blocks)]
