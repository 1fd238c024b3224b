import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import PLSRegression

from fusiform.statistics import dual_pls


def reference(X, Y, c):
    fit = PLSRegression(n_components=c, scale=False, tol=1e-15, max_iter=20000).fit(X, Y)
    T = fit.transform(X)
    return fit, T / np.linalg.norm(T, axis=0)


def same_up_to_sign(a, b, atol):
    signs = np.sign((a * b).sum(axis=0))
    np.testing.assert_allclose(a * signs, b, atol=atol)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(12, 40), m=st.integers(45, 200), q=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_scores_and_predictions_equal_scikit_learn(n, m, q, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, m)) + 3.0
    Y = rng.normal(size=(n, q)) + X[:, :q]
    fit, T = reference(X, Y, 5)
    (dual,) = dual_pls(torch.from_numpy(X @ X.T), [np.arange(n)], [Y], n_components=5)
    same_up_to_sign(dual.scores, T, atol=1e-6)
    predicted = dual.y_mean + dual.scores @ dual.y_loadings
    np.testing.assert_allclose(predicted, fit.predict(X).reshape(n, q), atol=1e-6)


def test_scores_of_new_images_follow_from_products_with_the_training_images():
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(30, 100)) + 1, rng.normal(size=(7, 100)) + 1
    y = rng.normal(size=30)
    fit = PLSRegression(n_components=4, scale=False).fit(X, y)
    (dual,) = dual_pls(torch.from_numpy(X @ X.T), [np.arange(30)], [y], n_components=4)
    scores = new @ X.T @ dual.coefficients - dual.offset
    np.testing.assert_allclose(
        dual.y_mean + scores @ dual.y_loadings, fit.predict(new).reshape(-1, 1), atol=1e-8
    )


def test_blocks_on_their_own_rows_do_not_disturb_each_other():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(50, 80))
    rows = [rng.permutation(50)[:20], rng.permutation(50)[:35]]
    targets = [rng.normal(size=(20, 1)), rng.normal(size=(35, 2))]
    gram = torch.from_numpy(X @ X.T)
    together = dual_pls(gram, rows, targets, n_components=6)
    for both, r, y in zip(together, rows, targets, strict=True):
        (alone,) = dual_pls(gram, [r], [y], n_components=6)
        np.testing.assert_allclose(both.coefficients, alone.coefficients, atol=1e-9)
        same_up_to_sign(both.scores, reference(X[r], y, 6)[1], atol=1e-6)


def test_stops_at_the_rank_of_the_features():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(20, 2)) @ rng.normal(size=(2, 60))
    (dual,) = dual_pls(torch.from_numpy(X @ X.T), [np.arange(20)], [rng.normal(size=20)], n_components=8)
    assert dual.n_components == 2


@pytest.mark.parametrize("target", [np.ones(10), np.zeros(10)])
def test_a_constant_target_has_no_component(target):
    X = np.random.default_rng(3).normal(size=(10, 30))
    (dual,) = dual_pls(torch.from_numpy(X @ X.T), [np.arange(10)], [target], n_components=3)
    assert dual.n_components == 0
    assert dual.y_mean == pytest.approx(target[0])


def test_weights_and_scores_of_nipals_follow_from_directions_and_norms():
    rng = np.random.default_rng(4)
    X, Y = rng.normal(size=(30, 90)) + 2.0, rng.normal(size=(30, 2))
    fit = PLSRegression(n_components=4, scale=False, tol=1e-15, max_iter=20000).fit(X, Y)
    (dual,) = dual_pls(torch.from_numpy(X @ X.T), [np.arange(30)], [Y], n_components=4)
    same_up_to_sign(X.T @ dual.directions, fit.x_weights_, atol=1e-6)
    same_up_to_sign(dual.scores * dual.norms, fit.transform(X), atol=1e-5)
    explained = np.square(fit.y_loadings_).sum(axis=0) * np.square(fit.transform(X)).sum(axis=0)
    np.testing.assert_allclose(dual.explained, explained, rtol=1e-6)


def test_whatever_multiplies_by_the_gram_matrix_stands_for_it():
    class Product:
        dtype = torch.float64

        def __len__(self):
            return len(X)

        def products(self, vectors, owners):
            assert (owners == 0).all()
            return X @ (X.T @ vectors)

    X = torch.from_numpy(np.random.default_rng(5).normal(size=(25, 70)))
    y = X[:, 0].numpy()
    for a, b in zip(
        dual_pls(Product(), [np.arange(25)], [y]), dual_pls(X @ X.T, [np.arange(25)], [y]), strict=True
    ):
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-10)
        np.testing.assert_allclose(a.offset, b.offset, atol=1e-10)


def test_tolerances_decide_when_components_end():
    rng = np.random.default_rng(6)
    X = rng.normal(size=(20, 3)) * np.array([1.0, 1.0, 1e-5])
    gram, y = torch.from_numpy(X @ X.T), rng.normal(size=20)
    (coarse,) = dual_pls(gram, [np.arange(20)], [y])
    (fine,) = dual_pls(gram, [np.arange(20)], [y], rank_tolerance=1e-12)
    (soon,) = dual_pls(gram, [np.arange(20)], [y], target_tolerance=2.0)
    assert (coarse.n_components, fine.n_components, soon.n_components) == (2, 3, 1)


def test_every_block_may_have_a_gram_matrix_and_a_number_of_components_of_its_own():
    rng = np.random.default_rng(8)
    features = [torch.from_numpy(rng.normal(size=(30, 60))) for _ in range(2)]
    rows = [np.arange(20), np.arange(10, 30)]
    targets = [rng.normal(size=20), rng.normal(size=(20, 2))]

    class Products:
        dtype = torch.float64

        def __len__(self):
            return 30

        def products(self, vectors, owners):
            return torch.stack(
                [features[o] @ (features[o].T @ v) for o, v in zip(owners, vectors.T, strict=True)], dim=1
            )

    together = dual_pls(Products(), rows, targets, [3, 5])
    for X, own_rows, y, fit, count in zip(features, rows, targets, together, (3, 5), strict=True):
        (alone,) = dual_pls(X @ X.T, [own_rows], [y], count)
        assert fit.n_components == count
        np.testing.assert_allclose(np.abs(fit.scores), np.abs(alone.scores), atol=1e-10)
        np.testing.assert_allclose(fit.directions @ fit.inverse, fit.coefficients, atol=1e-12)


def test_directions_are_mixed_residual_targets():
    rng = np.random.default_rng(9)
    X, y = torch.from_numpy(rng.normal(size=(25, 70))), rng.normal(size=(25, 3))
    (fit,) = dual_pls(X @ X.T, [np.arange(25)], [y], 4)
    residual = y - y.mean(axis=0)
    for component in range(4):
        np.testing.assert_allclose(
            residual @ fit.mixing[:, component], fit.directions[:, component], atol=1e-10
        )
        t = fit.scores[:, : component + 1]
        residual = (y - y.mean(axis=0)) - t @ (t.T @ (y - y.mean(axis=0)))
