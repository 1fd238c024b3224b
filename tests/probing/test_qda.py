from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import PLSRegression
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.linear_model import LinearRegression

from fusiform.errors import DataError, SpecError
from fusiform.probing import Draw, _qda
from fusiform.probing._linear import LinearFit, fit_linear
from fusiform.probing._qda import QDA, fit_qda
from fusiform.probing._readout import fit_readout


def planted(p, n, c, n_classes, seed=0):
    """Classes of other means and covariances, features of other scales and offsets."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % n_classes)
    mixing = rng.normal(size=(p, n_classes, c, c))
    noise = rng.normal(size=(p, n, c))
    features = np.einsum("pnc,pncd->pnd", noise, mixing[:, labels])
    features += rng.normal(size=(p, n_classes, c))[:, labels]
    return features * rng.lognormal(0, 3, (p, 1, c)) + 10 * rng.normal(size=(p, 1, c)), labels


def by_hand(Z, labels, X, n_classes, r):
    """Inverses and determinants of one probe, class by class; Z and X are scaled already."""
    logs = []
    for k in range(n_classes):
        own = Z[labels == k]
        S = np.cov(own.T, ddof=0).reshape(Z.shape[1], -1)
        S = (1 - r) * S + r * np.eye(len(S))
        apart = X - own.mean(axis=0)
        logs.append(
            -0.5 * (np.linalg.slogdet(S)[1] + np.einsum("ni,ij,nj->n", apart, np.linalg.inv(S), apart))
        )
    odds = np.exp(np.array(logs) - np.max(logs, axis=0))
    return (odds / odds.sum(axis=0)).T


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("c", [1, 3, 8])
def test_equal_to_scikit_learn(c, n_classes):
    features, labels = planted(5, 240, c, n_classes)
    seen, new = features[:, :160], features[:, 160:]
    qda = fit_qda(seen, labels[:160], n_classes)
    got = qda.probabilities(new)
    spread = seen.std(axis=1, keepdims=True)
    for probe in range(5):
        reference = QuadraticDiscriminantAnalysis(
            priors=np.full(n_classes, 1 / n_classes), reg_param=1e-6, tol=0
        )
        reference.fit(seen[probe] / spread[probe], labels[:160])
        np.testing.assert_allclose(got[probe], reference.predict_proba(new[probe] / spread[probe]), atol=1e-8)
    assert (qda.regularisation == 1e-6).all()


DEGENERATE = {
    "zero": lambda X, y: X * 0,
    "one constant": lambda X, y: np.where(np.arange(3) == 1, 0.1, X),
    "constant but for rounding": lambda X, y: np.where(np.arange(3) == 1, 0.1 + 1e-17 * X, X),
    "duplicated": lambda X, y: X[:, :, [0, 1, 0]],
    "a sum of others": lambda X, y: X[:, :, [0, 1, 0]] + X[:, :, [0, 0, 1]],
    "constant in a class": lambda X, y: np.where(y[:, None] == 0, 0.0, X),
    "constant in every class": lambda X, y: y[:, None] + 0 * X,
    "tiny": lambda X, y: X * 1e-30,
    "huge": lambda X, y: X * 1e30,
    "tiny beside huge": lambda X, y: X * np.array([1e-30, 1, 1e30]),
    "below normal numbers": lambda X, y: X * 1e-310,
    "one image awake": lambda X, y: np.where(np.arange(len(y))[:, None] == 3, X, 0.0),
    "float32": lambda X, y: X.astype(np.float32)[:, :, [0, 1, 1]],
}


@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_features_give_probabilities_and_no_warning(kind):
    X, labels = planted(4, 120, 3, 2)
    X = DEGENERATE[kind]((X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True), labels)
    qda = fit_qda(X, labels, 2)
    far = np.concatenate([X, X * 1e6 - 5, np.full((4, 1, 3), 1e30)], axis=1)
    got = qda.probabilities(far)
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got.sum(axis=2), 1)
    # What was recorded is what was used.
    for probe in range(4):
        alive = qda.factor[probe] > 0
        Z = ((X[probe].astype(float) - qda.shift[probe]) * qda.factor[probe])[:, alive]
        if alive.any():
            expected = by_hand(Z, labels, Z, 2, qda.regularisation[probe])
            np.testing.assert_allclose(got[probe, :120], expected, atol=1e-6)
        else:
            assert (got[probe] == 0.5).all()


@pytest.mark.parametrize(
    ("kind", "least"), [("duplicated", 1e-5), ("a sum of others", 1e-5), ("constant in a class", 1e-5)]
)
def test_regularisation_grows_until_singular_covariances_are_well_conditioned(kind, least):
    X, labels = planted(6, 120, 3, 2)
    X = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
    healthy, singular = fit_qda(X, labels, 2), fit_qda(DEGENERATE[kind](X, labels), labels, 2)
    assert (healthy.regularisation == 1e-6).all()
    assert (singular.regularisation >= least).all()
    # Whitening undoes the covariance, so its singular values tell the condition.
    spread = np.linalg.svd(singular.whitening, compute_uv=False) ** -2.0
    condition = spread.max(axis=(1, 2)) / spread.min(axis=(1, 2))
    assert (condition <= 1.0001e4).all()
    # One step less would not have done.
    assert (condition > 1e4 / 11).all()


def test_few_images_are_no_obstacle():
    X, _ = planted(3, 9, 8, 2)
    labels = np.array([0, 1, 1, 1, 1, 1, 1, 1, 1])
    qda = fit_qda(X, labels, 2)
    got = qda.probabilities(X)
    assert np.isfinite(got).all()
    assert (got.argmax(axis=2) == labels).all()
    assert (qda.regularisation > 1e-6).all()


def test_a_feature_that_never_varies_counts_for_nothing():
    X, labels = planted(3, 100, 2, 2)
    wider = np.concatenate([X, np.full((3, 100, 1), 7.0)], axis=2)
    stirred = wider.copy()
    stirred[:, :, 2] = np.random.default_rng(0).normal(size=(3, 100))
    qda = fit_qda(wider, labels, 2)
    assert (qda.regularisation == 1e-6).all()
    np.testing.assert_allclose(qda.probabilities(stirred), fit_qda(X, labels, 2).probabilities(X), atol=1e-12)


def test_without_features_every_class_is_as_likely():
    qda = fit_qda(np.zeros((2, 6, 0)), np.array([0, 1, 2, 0, 1, 2]), 3)
    np.testing.assert_allclose(qda.probabilities(np.zeros((2, 4, 0))), 1 / 3)
    assert (
        fit_qda(np.zeros((0, 4, 2)), np.array([0, 1, 0, 1]), 2).probabilities(np.zeros((0, 3, 2))).size == 0
    )


@settings(max_examples=40, deadline=None)
@given(
    p=st.integers(1, 4),
    n=st.integers(4, 30),
    c=st.integers(0, 8),
    n_classes=st.integers(2, 4),
    power=st.integers(-30, 30),
    step=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_each_probe_is_as_if_alone_at_any_scale(p, n, c, n_classes, power, step, seed):
    X, labels = planted(p, n, c, n_classes, seed)
    X = np.round((X - X.mean(axis=1, keepdims=True)) / np.maximum(X.std(axis=1, keepdims=True), 1e-9), 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_qda, "_CHUNK", step * n * max(1, c))
        together = fit_qda(X, labels, n_classes)
        got = together.probabilities(X)
    assert np.isfinite(got).all()
    for probe in range(p):
        alone = fit_qda(X[probe, None], labels, n_classes)
        np.testing.assert_allclose(got[probe], alone.probabilities(X[probe, None])[0], atol=1e-12)
    scaled = fit_qda(X * 10.0**power, labels, n_classes)
    np.testing.assert_allclose(scaled.probabilities(X * 10.0**power), got, atol=1e-4)


def test_a_fit_is_its_arrays():
    X, labels = planted(2, 50, 3, 2)
    qda, linear = fit_qda(X, labels, 2), fit_linear(X, labels)
    assert all(isinstance(value, np.ndarray) for value in [*asdict(qda).values(), *asdict(linear).values()])
    assert (QDA(**asdict(qda)).probabilities(X) == qda.probabilities(X)).all()
    assert (LinearFit(**asdict(linear)).predictions(X) == linear.predictions(X)).all()


def test_linear_fits_equal_least_squares():
    X, _ = planted(5, 150, 4, 2)
    y = X[0, :, 1] + np.random.default_rng(1).normal(size=150) + 40
    fit = fit_linear(X[:, :100], y[:100])
    for probe in range(5):
        reference = LinearRegression().fit(X[probe, :100], y[:100])
        np.testing.assert_allclose(
            fit.predictions(X[:, 100:])[probe], reference.predict(X[probe, 100:]), rtol=1e-8
        )
    assert (fit.regularisation == 0).all()


def test_linear_fits_on_scores_equal_pls_regression():
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(80, 300)), rng.normal(size=80)
    pls = PLSRegression(n_components=4, scale=False, tol=1e-15).fit(X[:60], y[:60])
    fit = fit_linear(pls.transform(X[:60])[None], y[:60])
    np.testing.assert_allclose(
        fit.predictions(pls.transform(X[60:])[None])[0], pls.predict(X[60:]).ravel(), atol=1e-10
    )


@pytest.mark.parametrize("kind", DEGENERATE)
def test_linear_fits_survive_degenerate_features(kind):
    X, labels = planted(4, 120, 3, 2)
    X = DEGENERATE[kind]((X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True), labels)
    y = labels + np.random.default_rng(3).normal(size=120)
    fit = fit_linear(X, y)
    got = fit.predictions(X)
    assert np.isfinite(got).all()
    for probe in range(4):
        # What the regularisation takes is little: the residuals are all but those of least squares.
        A = np.column_stack([np.ones(120), (X[probe] - X[probe].mean(axis=0)) * fit.factor[probe]])
        best = y - A @ np.linalg.lstsq(A, y, rcond=1e-10)[0]
        assert np.square(y - got[probe]).sum() <= np.square(best).sum() * 1.001
    assert (fit.regularisation > 0).all() == (
        kind in ("duplicated", "a sum of others", "constant in every class", "float32", "one image awake")
    )


def test_linear_fits_without_features_or_with_more_than_images():
    assert (
        fit_linear(np.zeros((2, 3, 0)), np.array([1.0, 2, 6])).predictions(np.zeros((2, 2, 0))) == 3
    ).all()
    X, _ = planted(2, 4, 8, 2)
    assert np.isfinite(fit_linear(X, np.arange(4.0)).predictions(X * 3)).all()


def test_readouts_follow_the_kind_of_attribute():
    X, labels = planted(2, 60, 3, 2)
    train, rest = np.arange(40), np.arange(40, 60)
    classes = Draw("a", "binary", ("False", "True"), labels.astype(float), train, rest, rest)
    values = Draw("b", "continuous", (), X[0, :, 1], train, rest, rest)
    told = fit_readout(classes, X[:, train])
    assert (
        told.answers(X[:, rest]) == fit_qda(X[:, train], labels[train], 2).probabilities(X[:, rest])
    ).all()
    assert (told.regularisation == 1e-6).all()
    np.testing.assert_allclose(fit_readout(values, X[:, train]).answers(X[:, rest])[0], X[0, rest, 1])


def test_whole_numbers_and_float32_are_read():
    labels = np.array([0, 0, 0, 1, 1, 1])
    X = np.array([[[1], [2], [3], [7], [8], [9]]])
    expected = fit_qda(X.astype(float), labels, 2).probabilities(X)
    assert (fit_qda(X, labels, 2).probabilities(X) == expected).all()
    np.testing.assert_allclose(fit_qda(torch.tensor(X).float().numpy(), labels, 2).probabilities(X), expected)


def test_errors_say_what_is_wrong():
    X, labels = planted(2, 10, 3, 2)
    X[1, 4, 2] = np.nan
    with pytest.raises(DataError, match="finite; got nan in probe 1, image 4, feature 2"):
        fit_qda(X, labels, 2)
    with pytest.raises(DataError, match="finite; got nan in probe 1"):
        fit_linear(X, labels)
    X[1, 4, 2] = 0
    with pytest.raises(DataError, match=r"10 whole numbers, one an image; got int64 of shape \(9,\)"):
        fit_qda(X, labels[:9], 2)
    with pytest.raises(DataError, match=r"number 3 classes from 0, each with an image; got 0, 1\. Leave"):
        fit_qda(X, labels, 3)
    with pytest.raises(DataError, match="number 2 classes from 0"):
        fit_qda(X, labels + 1, 2)
    with pytest.raises(DataError, match="whole numbers"):
        fit_qda(X, labels.astype(float), 2)
    with pytest.raises(SpecError, match=r"in \[0, 1\]; got 2"):
        fit_qda(X, labels, 2, regularisation=2)
    with pytest.raises(DataError, match=r"shape \(probes, images, features\); got \(10, 3\)"):
        fit_qda(X[0], labels, 2)
    with pytest.raises(DataError, match=r"shape \(2, images, 3\); got \(1, 10, 3\)"):
        fit_qda(X, labels, 2).probabilities(X[:1])
    with pytest.raises(DataError, match=r"10 finite numbers.*shape \(10,\) with 1"):
        fit_linear(X, np.where(np.arange(10) == 2, np.inf, 0.0))
