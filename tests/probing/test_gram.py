import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusiform.probing._gram import pooled_gram, project


def in_blocks(X, width):
    return lambda: (X[:, a : a + width] for a in range(0, X.shape[1], width))


def standardised(X, n_pool):
    X = X.double().numpy()
    squares = (X[:n_pool] - X[:n_pool].mean(axis=0)) ** 2
    alive = squares.max(axis=0) <= 0.5 * squares.sum(axis=0)
    spread = X[:n_pool].std(axis=0, ddof=1)
    return (X - X[:n_pool].mean(axis=0)) / np.where(alive & (spread > 0), spread, np.inf)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(9, 40), n_pool=st.integers(5, 9), m=st.integers(1, 60), width=st.integers(1, 64))
def test_equal_to_dense_algebra(n, n_pool, m, width):
    generator = torch.Generator().manual_seed(n * 1000 + m)
    X = torch.randn(n, m, generator=generator) * 3 + 100
    X[:, 0] = 7.0  # a feature that does not vary
    Z = standardised(X, n_pool)
    np.testing.assert_allclose(pooled_gram(in_blocks(X, width), n_pool), Z[:n_pool] @ Z[:n_pool].T, atol=2e-3)
    V = torch.randn(n_pool, 4, generator=generator)
    expected = Z @ (Z[:n_pool].T @ V.double().numpy())
    np.testing.assert_allclose(project(in_blocks(X, width), n_pool, V), expected, atol=2e-2, rtol=1e-4)


def test_large_means_do_not_cancel():
    X = torch.randn(200, 50, generator=torch.Generator().manual_seed(0)) + 1000.0
    Z = standardised(X, 200)
    np.testing.assert_allclose(pooled_gram(in_blocks(X, 16), 200), Z @ Z.T, atol=1e-2)


def test_a_dead_feature_with_rounding_noise_stays_dead():
    X = torch.full((20, 3), 0.1)
    X[::2] += 1e-9
    assert pooled_gram(in_blocks(X, 3), 20).abs().max() == 0


def test_a_unit_that_wakes_up_for_one_training_image_only_does_not_drown_the_rest():
    X = torch.zeros(50, 2)
    X[:, 0] = torch.randn(50, generator=torch.Generator().manual_seed(1))
    X[7, 1], X[45, 1] = 1e-6, 1.0
    scores = project(in_blocks(X, 2), 40, torch.randn(40, 1, generator=torch.Generator().manual_seed(2)))
    assert scores.abs().max() < 100
