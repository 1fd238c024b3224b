from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor


class GramProduct(Protocol):
    """What `dual_pls` needs of K = XX' where K is never formed, or differs from one target block to the next."""

    @property
    def dtype(self) -> Any: ...

    def __len__(self) -> int: ...

    def products(self, vectors: Float[Tensor, "n k"], owners: Int[ndarray, " k"]) -> Float[Tensor, "n k"]:
        """K times each vector, K being that of the target block (`owners`, its number) the vector belongs to.

        Of a product only the block's own rows are read. Called once a component.
        """
        ...


@dataclass(frozen=True)
class DualPLS:
    """Partial least squares of one target block, in terms of training images.

    With features X (centred on `rows`) the scores are ``T = X X' coefficients``; the primal rotations are
    ``X' coefficients``, so scores of any image follow from its products with the training images.

    Attributes
    ----------
    rows : int array, shape (n,)
        Training images, as rows of the Gram matrix.
    directions : array, shape (n, c)
        ``X' directions`` are the weights of NIPALS, of length one.
    coefficients : array, shape (n, c)
        Columns sum to zero. Scores on the training images are orthonormal.
    scores : array, shape (n, c)
        T, centred, T'T = I.
    mixing : array, shape (q, c)
        ``directions`` are the residual targets that each component met, times its column of this.
    inverse : array, shape (c, c)
        ``coefficients = directions @ inverse``; upper triangular.
    norms : array, shape (c,)
        Lengths of the scores that weights of length one give; ``scores * norms`` are those of NIPALS.
    offset : array, shape (c,)
        What to subtract from products of uncentred features with ``X' coefficients``.
    y_mean : array, shape (q,)
        Mean of the targets.
    y_loadings : array, shape (c, q)
        T'Y; predictions are ``y_mean + scores @ y_loadings``.
    """

    rows: Int[ndarray, " n"]
    directions: Float[ndarray, "n c"]
    coefficients: Float[ndarray, "n c"]
    scores: Float[ndarray, "n c"]
    mixing: Float[ndarray, "q c"]
    inverse: Float[ndarray, "c c"]
    norms: Float[ndarray, " c"]
    offset: Float[ndarray, " c"]
    y_mean: Float[ndarray, " q"]
    y_loadings: Float[ndarray, "c q"]

    @property
    def n_components(self) -> int:
        """Components found; fewer than asked where the data have no more."""
        return self.scores.shape[1]

    @property
    def explained(self) -> Float[ndarray, " c"]:
        """Sum of squares of the targets that each component explains, over all targets."""
        return np.asarray(np.square(self.y_loadings).sum(axis=1))


class _Block:
    """The state of one target block while components are taken from the Gram matrix."""

    def __init__(
        self,
        rows: ndarray,
        targets: ndarray,
        n_components: int,
        rank_tolerance: float,
        target_tolerance: float,
    ) -> None:
        self.rows = rows
        self.n_components = n_components
        self.y = np.asarray(targets, dtype=np.float64).reshape(len(rows), -1)
        self.y_mean = self.y.mean(axis=0)
        self.residual = self.y - self.y_mean
        self.rank_tolerance = rank_tolerance
        self.least_residual = target_tolerance * np.abs(self.residual).max()
        self.directions: list[ndarray] = []
        self.mixing: list[ndarray] = []
        self.images: list[ndarray] = []
        self.offsets: list[float] = []
        self.scores: list[ndarray] = []
        self.norms: list[float] = []
        self.first_gain = 0.0
        # A target that does not vary leaves rounding only.
        rounding = 8 * np.finfo(np.float64).eps * np.abs(self.y).max(initial=0.0)
        self.done = n_components < 1 or not (np.abs(self.residual) > rounding).any()

    def take(self, product: ndarray) -> None:
        """One component, given K times the residual targets (rows of this block only, not centred)."""
        means = product.mean(axis=0)
        product = product - means
        cross = self.residual.T @ product
        # The weights of NIPALS converge to the leading left singular vector of X'Y (Höskuldsson 1988).
        direction = np.linalg.eigh((cross + cross.T) / 2)[1][:, -1]
        u, image = self.residual @ direction, product @ direction
        sq_weight = float(u @ image)
        t = self._orthogonal(image)
        norm = np.linalg.norm(t)
        gain = float(norm / np.linalg.norm(u)) if norm else 0.0
        self.first_gain = self.first_gain or gain
        if gain <= self.rank_tolerance * self.first_gain or sq_weight <= 0.0:
            self.done = True
            return
        t /= norm
        self.directions.append(u / np.sqrt(sq_weight))
        self.mixing.append(direction / np.sqrt(sq_weight))
        self.images.append(image / np.sqrt(sq_weight))
        self.offsets.append(float(means @ direction) / np.sqrt(sq_weight))
        self.scores.append(t)
        self.norms.append(float(norm / np.sqrt(sq_weight)))
        residual = self._orthogonal(self.residual)
        self.residual = residual - residual.mean(axis=0)
        self.done = len(self.scores) == self.n_components or bool(
            np.abs(self.residual).max() <= self.least_residual
        )

    def _orthogonal(self, columns: ndarray) -> ndarray:
        """What is left of columns beside the scores taken so far."""
        rest = columns.copy()
        for _ in range(2):  # twice is enough (Parlett 1980)
            for t in self.scores:
                rest -= np.multiply.outer(t, t @ rest)
        return rest

    def finish(self) -> DualPLS:
        n = len(self.rows)
        if not self.scores:
            empty, none = np.zeros((n, 0)), np.zeros(0)
            loadings, square = np.zeros((0, self.y.shape[1])), np.zeros((0, 0))
            return DualPLS(
                self.rows, empty, empty, empty, loadings.T, square, none, none, self.y_mean, loadings
            )
        T, U = np.stack(self.scores, axis=1), np.stack(self.directions, axis=1)
        inverse = np.linalg.inv(np.triu(T.T @ np.stack(self.images, axis=1)))
        return DualPLS(
            rows=self.rows,
            directions=U,
            coefficients=U @ inverse,
            scores=T,
            mixing=np.stack(self.mixing, axis=1),
            inverse=inverse,
            norms=np.array(self.norms),
            offset=np.array(self.offsets) @ inverse,
            y_mean=self.y_mean,
            y_loadings=T.T @ (self.y - self.y_mean),
        )


def dual_pls(
    gram: Float[Tensor, "n n"] | GramProduct,
    rows: Sequence[Int[ndarray, " k"]],
    targets: Sequence[Float[ndarray, "k q"]],
    n_components: int | Sequence[int] = 8,
    *,
    rank_tolerance: float = 1e-7,
    target_tolerance: float = 1e-7,
) -> list[DualPLS]:
    """Partial least squares for many target blocks from one Gram matrix.

    All that PLS needs of the features X (n images, m features, n << m) is K = XX'. The weights of a
    component are X'u for u in the span of the residual targets, its scores K u orthogonal to the earlier
    scores, so all blocks together cost one product of K with their residual targets a component.
    Each block has its own training images; features are centred on them, and keep the scale they came with.

    Parameters
    ----------
    gram : tensor, shape (n, n), or GramProduct
        K = XX', float64 recommended; need not be centred. A `GramProduct` multiplies by K and never forms it, and
        its K may differ from block to block (features scaled for each, or a part of them).
    rows : sequence of int arrays
        For each block, its training images.
    targets : sequence of arrays, shapes (k,) or (k, q)
        For each block, its targets on those images: one column is PLS1, several are PLS2.
    n_components : int or sequence of int, default 8
        Components, of all blocks or of each; a block stops earlier where its features or its targets are exhausted.
    rank_tolerance : float, default 1e-7
        A component whose gain (length of K u beside the earlier scores, for u of length one) is at most this
        part of the first one's is rounding, not signal: the features are exhausted. The default suits products
        in float32.
    target_tolerance : float, default 1e-7
        Targets of which at most this part is left, entry by entry, are exhausted.

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
    counts = [n_components] * len(rows) if isinstance(n_components, int) else list(n_components)
    blocks = [
        _Block(np.asarray(r), t, c, rank_tolerance, target_tolerance)
        for r, t, c in zip(rows, targets, counts, strict=True)
    ]
    for _ in range(max(counts, default=0)):
        active = [(number, b) for number, b in enumerate(blocks) if not b.done]
        if not active:
            break
        widths = [b.residual.shape[1] for _, b in active]
        residual = torch.zeros(len(gram), sum(widths), dtype=gram.dtype)
        ends = np.cumsum(widths)
        for (_, block), end, width in zip(active, ends, widths, strict=True):
            residual[block.rows, end - width : end] = torch.from_numpy(block.residual).to(gram.dtype)
        if isinstance(gram, Tensor):
            product = gram @ residual
        else:
            product = gram.products(residual, np.repeat([number for number, _ in active], widths))
        for (_, block), end, width in zip(active, ends, widths, strict=True):
            block.take(product[block.rows, end - width : end].double().numpy())
    return [block.finish() for block in blocks]
