"""Standardised Gram matrices and projections, column block by column block."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

_ROW_CHUNKS = 6
_ONE_IMAGE = 0.5  # of a feature's variance

Blocks = Callable[[], Iterator[Float[Tensor, "n b"]]]


def pooled_gram(blocks: Blocks, n_pool: int) -> Float[Tensor, "p p"]:
    """K = ZZ' of the pool's features, each scaled to unit variance over the pool.

    Features that do not vary, and those that owe more than half of their variance to one image, count zero.

    Only the lower triangle is multiplied, in row chunks, so the cost is 7/12 of the full product.

    Parameters
    ----------
    blocks : callable
        Gives the column blocks, each of shape (n, b); the first `n_pool` rows are the pool.
    n_pool : int
        Rows of the pool.

    Returns
    -------
    tensor, shape (n_pool, n_pool)
        Float64; products are accumulated in float32.
    """
    gram = torch.zeros(n_pool, n_pool)
    edges = torch.linspace(0, n_pool, _ROW_CHUNKS + 1).long().tolist()
    chunks = [(a, b) for a, b in pairwise(edges) if b > a]
    for block in blocks():
        z = _standardised(block, n_pool)[:n_pool]
        for a, b in chunks:
            gram[a:b, :b].addmm_(z[a:b], z[:b].T)
    result = gram.double().tril()
    return result.add_(result.tril(-1).T)


def project(blocks: Blocks, n_pool: int, coefficients: Float[Tensor, "p c"]) -> Float[Tensor, "n c"]:
    """ZZ_pool' times coefficients, for the pool and all other rows.

    Parameters
    ----------
    blocks : callable
        Gives the column blocks, as for `pooled_gram`.
    n_pool : int
        Rows of the pool.
    coefficients : tensor, shape (n_pool, c)
        Dual weights, float32.

    Returns
    -------
    tensor, shape (n, c)
        Products, float32.
    """
    total: Tensor | None = None
    for block in blocks():
        z = _standardised(block, n_pool)
        part = z @ (z[:n_pool].T @ coefficients)
        total = part if total is None else total.add_(part)
    if total is None:
        raise ValueError("A layer without features cannot be projected.")
    return total


def _standardised(block: Tensor, n_pool: int) -> Tensor:
    pool = block[:n_pool]
    mean = pool.mean(dim=0)
    # The spread of what is centred already: E[x²] - E[x]² would cancel.
    z = block - mean
    squares = z[:n_pool].square()
    total = squares.sum(dim=0)
    deviation = total.div(max(1, n_pool - 1)).sqrt_()
    # A feature that does not vary carries nothing; rounding must not blow it up. Nor must a unit that is all
    # but dead, whose variance is one image's: scaled to one, it would drown all else wherever it wakes up.
    dead = deviation <= 1e-6 * mean.abs().clamp(min=torch.finfo(deviation.dtype).tiny)
    dead |= squares.amax(dim=0) > _ONE_IMAGE * total
    return z.mul_(torch.where(dead, 0.0, 1.0 / deviation))
