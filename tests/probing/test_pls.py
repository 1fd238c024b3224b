import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from tests.reference.pls import slow_pls, slow_vip

from fusiform.errors import DataError, SpecError
from fusiform.probing import PLS
from fusiform.probing import _pls as module

ARRAYS = ("x_weights_", "x_rotations_", "x_loadings_", "y_loadings_", "y_weights_", "coef_")


@parametrize_with_checks([PLS(), PLS(n_components=2), PLS(n_components=1, scale=False)])
def test_scikit_learn_takes_it_for_one_of_its_own(estimator, check):
    with warnings.catch_warnings():
        # Most checks have fewer features than components.
        warnings.filterwarnings("ignore", "PLS found", UserWarning)
        check(estimator)


@pytest.fixture(params=["gram", "products"])
def path(request, monkeypatch):
    """Both ways to the same answer."""
    monkeypatch.setattr(module, "_gram_is_cheaper", lambda *_: request.param == "gram")
    return request.param


def data(n, m, q, seed, dtype=np.float64, offset=3.0):
    """Features of unequal scale and mean, the leading ones seen by the targets; q = 0: one target without axis."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, m)) * rng.uniform(0.5, 2.0, m) + offset * rng.normal(size=m)
    Y = rng.normal(size=(n, max(q, 1)))
    Y += X[:, np.arange(max(q, 1)) % m] * rng.uniform(0.5, 3.0, max(q, 1))
    return X.astype(dtype), Y if q else Y[:, 0]


def close(a, b, rtol=1e-6):
    """Relative to the largest entry of each column."""
    scale = np.abs(b).max(axis=0)
    np.testing.assert_allclose(a / scale, b / scale, rtol=0, atol=rtol)


def close_up_to_sign(a, b, rtol=1e-6):
    close(a * np.sign((a * b).sum(axis=0)), b, rtol)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(["wide", "tall", "square"]),
    small=st.integers(9, 30),
    factor=st.integers(2, 6),
    q=st.integers(0, 3),
    c=st.integers(1, 4),
    scale=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    gram=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_equals_scikit_learn(shape, small, factor, q, c, scale, dtype, gram, seed):
    big = small * factor if shape != "square" else small
    n, m = (big, small) if shape == "tall" else (small, big)
    X, y = data(n, m, q, seed, dtype)
    slow = slow_pls(X, y, c, scale=scale)
    assume(slow.gap > 1e-3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_gram_is_cheaper", lambda *_: gram)
        ours = PLS(c, scale).fit(X, y)
    close_up_to_sign(ours.x_weights_, slow.weights, 1e-8)
    close_up_to_sign(ours.x_scores_, slow.scores, 1e-8)
    # scikit-learn's iteration stops short of the answer where two directions are nearly as good.
    assume(slow.gap > 0.2)
    peer = PLSRegression(n_components=c, scale=scale, tol=1e-15, max_iter=20000).fit(X, y)
    # Where two weights are nearly the largest, rounding decides which of them is positive; the rest follows.
    signs = np.sign((ours.x_weights_ * peer.x_weights_).sum(axis=0))
    for name in ("x_weights_", "x_rotations_", "x_loadings_", "y_loadings_", "y_weights_"):
        close(getattr(ours, name) * signs, getattr(peer, name))
    scores = peer.transform(X.astype(np.float64))
    close(ours.x_scores_ * signs, scores)
    np.testing.assert_allclose(ours.transform(X), ours.x_scores_, atol=1e-9 * np.abs(scores).max())
    np.testing.assert_allclose(ours.coef_, peer.coef_, atol=1e-6 * np.abs(peer.coef_).max())
    np.testing.assert_allclose(
        ours.predict(X), peer.predict(X.astype(np.float64)), atol=1e-6 * np.abs(y).max()
    )
    assert ours.predict(X).shape == y.shape


def test_the_comparison_sees_a_difference_of_a_hundred_thousandth():
    b = np.random.default_rng(0).normal(size=(10, 3))
    a = b.copy()
    a[4, 1] += 1e-5 * np.abs(b[:, 1]).max()
    close_up_to_sign(-b, b)
    with pytest.raises(AssertionError):
        close_up_to_sign(a, b)


@pytest.mark.parametrize("q", [0, 1, 4])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize(("n", "m"), [(40, 170), (170, 40), (60, 60)])
def test_equals_the_slow_reference(path, n, m, q, scale):
    X, y = data(n, m, q, seed=5)
    slow = slow_pls(X, y, 5, scale=scale)
    ours = PLS(5, scale).fit(X, y)
    close_up_to_sign(ours.x_weights_, slow.weights, 1e-9)
    close_up_to_sign(ours.x_scores_, slow.scores, 1e-9)
    close_up_to_sign(ours.x_loadings_, slow.x_loadings, 1e-9)
    close_up_to_sign(ours.y_loadings_, slow.y_loadings, 1e-9)
    np.testing.assert_allclose(ours.vip_, slow_vip(slow.weights, slow.scores, slow.y_loadings), rtol=1e-8)


@pytest.mark.parametrize("q", [0, 3])
def test_identities(path, q):
    X, y = data(50, 300, q, seed=6)
    pls = PLS(7).fit(X, y)
    T, W, R, P = pls.x_scores_, pls.x_weights_, pls.x_rotations_, pls.x_loadings_
    lengths = np.linalg.norm(T, axis=0)
    np.testing.assert_allclose((T / lengths).T @ (T / lengths), np.eye(7), atol=1e-12)
    np.testing.assert_allclose(W.T @ W, np.eye(7), atol=1e-11)
    np.testing.assert_allclose(P.T @ R, np.eye(7), atol=1e-11)
    assert (pls.vip_**2).sum() == pytest.approx(300, rel=1e-12)
    np.testing.assert_array_equal(W[np.abs(W).argmax(axis=0), np.arange(7)] > 0, True)
    np.testing.assert_allclose(
        X @ pls.coef_.T + pls.intercept_, pls.predict(X).reshape(50, -1), atol=1e-10 * np.abs(y).max()
    )


def test_two_dimensional_targets_of_one_column_are_the_same_fit_with_another_shape():
    X, y = data(30, 90, 0, seed=7)
    flat, column = PLS(3).fit(X, y), PLS(3).fit(X, y[:, None])
    for name in (*ARRAYS, "vip_", "x_scores_", "intercept_"):
        np.testing.assert_array_equal(getattr(flat, name), getattr(column, name))
    assert flat.predict(X).shape == (30,)
    assert column.predict(X).shape == (30, 1)


@pytest.mark.parametrize("order", ["C", "F"])
def test_many_blocks_of_columns_are_as_good_as_one(path, order, monkeypatch):
    X, y = data(40, 500, 2, seed=8)
    whole = PLS(5).fit(X, y)
    monkeypatch.setattr("fusiform.probing._standardised._BLOCK", 40 * 23)
    blocks = PLS(5).fit(np.asarray(X, order=order), y)
    for name in (*ARRAYS, "vip_", "x_scores_"):
        close(getattr(blocks, name), getattr(whole, name), 1e-11)
    close(blocks.transform(X[:9]), whole.x_scores_[:9], 1e-11)


def test_what_the_gram_matrix_cannot_resolve_is_asked_of_the_features():
    rng = np.random.default_rng(9)
    left, right = np.linalg.qr(rng.normal(size=(60, 6)))[0], np.linalg.qr(rng.normal(size=(200, 6)))[0]
    X = left * 10.0 ** (-1.5 * np.arange(6)) @ right.T
    y = left @ np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    slow = slow_pls(X, y, 5, scale=False)
    ours = PLS(5, scale=False).fit(X, y)
    assert module._gram_is_cheaper(60, 200, 1, 5)
    assert ours.n_components_ == 5
    close_up_to_sign(ours.x_weights_, slow.weights)
    close_up_to_sign(ours.x_scores_, slow.scores)


def test_means_that_dwarf_what_varies_cost_no_digits(path):
    X, y = data(40, 120, 0, seed=10, offset=0.0)
    shifted = X + 2.0**20
    close(PLS(4).fit(shifted, y).x_scores_, PLS(4).fit(shifted - 2.0**20, y).x_scores_, 1e-9)


@pytest.mark.parametrize("n_targets", [1, 40])
def test_the_cheaper_way_depends_on_images_and_targets(n_targets):
    assert module._gram_is_cheaper(200, 10_000, n_targets, 8)
    assert not module._gram_is_cheaper(5000, 10_000, n_targets, 8)
    assert not module._gram_is_cheaper(200, 50, n_targets, 8)
    assert module._gram_is_cheaper(1024, 10_000, n_targets, 8) == (n_targets == 40)


# scaling -------------------------------------------------------------------------------------------


def test_standard_deviations_of_the_rows_themselves_are_the_default():
    X, y = data(30, 80, 2, seed=11)
    own, given = PLS(4).fit(X, y), PLS(4, scale=X.std(axis=0, ddof=1)).fit(X, y)
    for name in (*ARRAYS, "vip_", "x_scores_"):
        close(getattr(given, name), getattr(own, name), 1e-10)


def test_pooled_standard_deviations_are_those_given():
    pool, y = data(200, 80, 0, seed=12)
    rows = np.arange(0, 200, 4)
    deviation = pool.std(axis=0, ddof=1)
    pooled = PLS(3, scale=deviation).fit(pool[rows], y[rows])
    by_hand = PLS(3, scale=False).fit(pool[rows] / deviation, y[rows])
    close(pooled.x_weights_, by_hand.x_weights_, 1e-10)
    close(pooled.x_scores_, by_hand.x_scores_, 1e-10)
    close(pooled.transform(pool), by_hand.transform(pool / deviation), 1e-10)
    close(pooled.predict(pool), by_hand.predict(pool / deviation), 1e-10)
    assert not np.allclose(pooled.x_weights_, PLS(3).fit(pool[rows], y[rows]).x_weights_, atol=1e-3)
    np.testing.assert_array_equal(clone(pooled).scale, deviation)


@pytest.mark.parametrize(
    ("scale", "text"),
    [
        ("pooled", r"must be True, False or an array .* got 'pooled'. For pooled scaling, give X_pool.std"),
        (None, "got None"),
        (1, "got 1"),
        (np.ones(3), "holds 3 standard deviations, but X has 5 features; give one a feature"),
        ([1.0, 1.0, -2.0, 1.0, 1.0], "at least 0; got -2 for feature 2"),
        ([1.0, np.nan, 1.0, 1.0, 1.0], "finite standard deviations .* got nan for feature 1"),
    ],
)
def test_a_scale_that_cannot_be_used_says_why(scale, text):
    X, y = data(10, 5, 0, seed=13)
    with pytest.raises(SpecError, match=text):
        PLS(2, scale).fit(X, y)


# features and targets without content -------------------------------------------------------------


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_that_do_not_vary_weigh_nothing(path, scale, dtype):
    X, y = data(30, 70, 2, seed=14, dtype=dtype)
    dead = [0, 31, 69]
    X[:, dead] = np.array([0.1, 0.0, 1e8], dtype=dtype)
    X[::2, 0] = np.nextafter(X[0, 0], dtype(1))  # rounding, which scaling would blow up
    alive = np.setdiff1d(np.arange(70), dead)
    pls, without = PLS(3, scale).fit(X, y), PLS(3, scale).fit(X[:, alive], y)
    for name in ("x_weights_", "x_rotations_", "vip_"):
        np.testing.assert_array_equal(getattr(pls, name)[dead], 0.0)
        assert np.isfinite(getattr(pls, name)).all()
    close(pls.x_weights_[alive], without.x_weights_, 1e-9)
    close(pls.x_scores_, without.x_scores_, 1e-9)
    assert (pls.vip_**2).sum() == pytest.approx(70)


def test_a_feature_whose_given_deviation_is_zero_is_left_out():
    X, y = data(30, 20, 0, seed=15)
    deviation = X.std(axis=0, ddof=1)
    deviation[4] = 0.0
    pls = PLS(3, deviation).fit(X, y)
    assert pls.x_weights_[4].tolist() == [0.0] * 3
    assert pls.vip_[4] == 0.0
    moved = X.copy()
    moved[:, 4] += 1000.0
    np.testing.assert_array_equal(pls.transform(moved), pls.transform(X))


@pytest.mark.parametrize("value", [0.0, 0.1, 3.0])
def test_a_constant_target_is_an_error_that_says_so(value):
    X, _ = data(12, 30, 0, seed=16)
    with pytest.raises(
        DataError, match=f"y is constant \\({value:g} in all 12 rows\\), .* give rows in which"
    ):
        PLS(2).fit(X, np.full(12, value))
    with pytest.raises(DataError, match="All 2 columns of y are constant"):
        PLS(2).fit(X, np.full((12, 2), value))


@pytest.mark.parametrize("scale", [True, False])
def test_one_constant_target_among_others_changes_nothing(path, scale):
    X, y = data(25, 60, 2, seed=17)
    more, less = PLS(3, scale).fit(X, np.column_stack([y, np.full(25, 0.1)])), PLS(3, scale).fit(X, y)
    close(more.x_scores_, less.x_scores_, 1e-9)
    np.testing.assert_array_equal(more.y_loadings_[2], 0.0)
    np.testing.assert_allclose(more.predict(X)[:, 2], 0.1, rtol=1e-15)


def test_features_of_which_none_varies_are_an_error():
    with pytest.raises(DataError, match="every column of X is constant or left out by 'scale'"):
        PLS(1).fit(np.full((5, 3), 0.1), np.arange(5.0))


def test_features_orthogonal_to_the_target_are_an_error():
    X = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    with pytest.raises(DataError, match="orthogonal to every target, so PLS has no component"):
        PLS(1).fit(X, [1.0, 1.0, -1.0, -1.0])


@pytest.mark.parametrize("scale", [True, False])
def test_collinear_features_end_at_their_rank_with_a_warning(path, scale):
    rng = np.random.default_rng(18)
    X = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 100)) + 5.0
    y = rng.normal(size=40)
    with pytest.warns(
        UserWarning, match="found 3 of the 8 components asked for: the 100 features of 40 rows hold no more"
    ):
        pls = PLS(8, scale).fit(X, y)
    assert pls.n_components_ == 3
    assert pls.n_components == 8
    assert pls.transform(X).shape == (40, 3)
    assert list(pls.get_feature_names_out()) == ["pls0", "pls1", "pls2"]
    exact = np.linalg.lstsq(np.column_stack([np.ones(40), X]), y, rcond=1e-10)[0]
    np.testing.assert_allclose(pls.predict(X), np.column_stack([np.ones(40), X]) @ exact, atol=1e-9)


def test_duplicated_features_share_their_weight():
    X, y = data(40, 60, 0, seed=19)
    once, twice = PLS(4).fit(X, y), PLS(4).fit(np.repeat(X, 2, axis=1), y)
    close(twice.x_weights_[::2], once.x_weights_ / np.sqrt(2), 1e-9)
    np.testing.assert_allclose(twice.vip_[::2], twice.vip_[1::2], rtol=1e-12)


@pytest.mark.parametrize(("n", "m", "most"), [(5, 40, 4), (40, 3, 3), (2, 10, 1)])
def test_more_components_than_there_can_be_are_cut_with_a_warning(n, m, most):
    X, y = data(n, m, 0, seed=20)
    with pytest.warns(UserWarning, match=f"found {most} of the 50 components"):
        pls = PLS(50).fit(X, y)
    assert pls.n_components_ == most
    assert all(np.isfinite(getattr(pls, name)).all() for name in (*ARRAYS, "vip_", "intercept_"))


def test_targets_that_are_explained_end_the_components():
    X, _ = data(60, 10, 0, seed=21)
    X = np.linalg.qr(X - X.mean(axis=0))[0]
    y = X[:, 0] + X[:, 1]
    with pytest.warns(UserWarning, match="found 1 of the 4 components asked for: they explain y to rounding"):
        pls = PLS(4, scale=False).fit(X, y)
    np.testing.assert_allclose(pls.predict(X), y, atol=1e-12)


# broken input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_that_are_not_finite_are_named(value, word, dtype, monkeypatch):
    monkeypatch.setattr("fusiform.probing._standardised._BLOCK", 20 * 16)
    X, y = data(20, 50, 0, seed=22, dtype=dtype)
    pls = PLS(2).fit(X, y)
    X[7, 33] = value
    text = f"X must be finite; got {word} in row 7, feature 33. Drop or impute"
    with pytest.raises(DataError, match=text):
        PLS(2).fit(X, y)
    with pytest.raises(DataError, match=text):
        pls.transform(X)
    with pytest.raises(DataError, match=text):
        pls.predict(X)
    named = pd.DataFrame(X, columns=[f"unit_{j}" for j in range(50)])
    with pytest.raises(DataError, match=r"feature 33 \('unit_33'\)"):
        PLS(2).fit(named, y)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_targets_that_are_not_finite_are_counted(value):
    X, y = data(20, 50, 2, seed=23)
    y[[4, 11], 1] = value
    with pytest.raises(
        DataError, match=r"y must be finite; 2 of 40 values are NaN or infinity, the first in row 4"
    ):
        PLS(2).fit(X, y)


@pytest.mark.parametrize("size", [1e200, 1e100])
def test_values_beyond_float64s_squares_are_refused_not_crashed_on(size):
    X, y = data(20, 30, 0, seed=24)
    with pytest.raises(DataError, match=r"so large|leave float64"):
        PLS(2, scale=False).fit(X * size, y)
    with pytest.raises(DataError, match="leave float64"):
        PLS(2, scale=False).fit(X, y * min(size, 1e150))


def test_targets_of_another_length_missing_or_of_words_are_data_errors():
    X, y = data(20, 30, 0, seed=25)
    with pytest.raises(DataError, match="inconsistent numbers of samples"):
        PLS(2).fit(X, y[:-1])
    with pytest.raises(DataError, match="requires y to be passed"):
        PLS(2).fit(X, None)
    with pytest.raises(DataError, match="could not convert string to float"):
        PLS(2).fit(X, ["yes", "no"] * 10)
    with pytest.raises(DataError, match="30 features"):
        PLS(2).fit(X, y).transform(X[:, 1:])


@pytest.mark.parametrize("count", [0, -1, 2.0, "8", None, True])
def test_a_count_of_components_that_is_none_says_so(count):
    X, y = data(10, 5, 0, seed=26)
    with pytest.raises(SpecError, match="'n_components' parameter of PLS must be an int of at least 1; got"):
        PLS(count).fit(X, y)


# in company ----------------------------------------------------------------------------------------


def test_works_in_a_pipeline_with_tables_and_booleans():
    X, y = data(120, 40, 0, seed=27)
    table = pd.DataFrame(X, columns=[f"unit_{j}" for j in range(40)])
    present = y > np.median(y)
    probe = make_pipeline(PLS(3).set_output(transform="pandas"), QuadraticDiscriminantAnalysis())
    assert probe.fit(table, present).score(table, present) > 0.8
    assert list(probe[0].feature_names_in_) == list(table.columns)
    assert probe[0].n_features_in_ == 40
    scores = probe[0].fit_transform(table, present)
    assert list(scores.columns) == ["pls0", "pls1", "pls2"]
    np.testing.assert_allclose(scores, probe[0].transform(table), atol=1e-10)
    nullable = pd.Series(present, dtype="boolean")
    np.testing.assert_allclose(PLS(3).fit(X, nullable).vip_, probe[0].vip_, rtol=1e-10)


def test_neither_features_nor_targets_are_written_to():
    X, y = data(20, 60, 2, seed=28)
    X.flags.writeable = y.flags.writeable = False
    before = X.copy(), y.copy()
    PLS(3).fit(X, y).predict(X)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
