import numpy as np
import pytest
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.linear_model import Ridge

from fusiform.errors import DataError, SpecError
from fusiform.probing.information import _gaussian, encode_attribute
from fusiform.probing.information._references import gaussian_information, ksg_information, leading


def correlated(n, d, nats, seed=0):
    """Standard normal features, and a number that says so many nats about the first of them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    rho = np.sqrt(1 - np.exp(-2 * nats))
    return X, rho * X[:, 0] + np.sqrt(1 - rho**2) * rng.normal(size=n)


def held_out(X, attribute, folds=5):
    (found,) = gaussian_information(X, [attribute], np.arange(len(X)) % folds)
    return found


# --- the Gaussian reference ---------------------------------------------------------------------------


@pytest.mark.parametrize("nats", [0.2, 1.0, 2.0])
@pytest.mark.parametrize("d", [1, 8, 60])
def test_gaussian_finds_the_truth_of_gaussian_variables(nats, d):
    X, a = correlated(1200, d, nats)
    # Neither scale nor any increasing function of the attribute matters.
    X = 5 + X * np.linspace(0.1, 30, d)
    for values in (a, np.exp(3 * a)):
        found = held_out(X, encode_attribute(values))
        assert found.value == pytest.approx(nats, abs=0.05 + 0.08 * nats)
        assert found.train_value >= found.value - 0.01
        assert found.contributions.mean() == pytest.approx(found.value)


def test_gaussian_of_several_numbers_is_that_of_canonical_correlations():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1500, 6))
    noisy = [0.9, 0.5] * X[:, :2] + np.sqrt(1 - np.square([0.9, 0.5])) * rng.normal(size=(1500, 2))
    truth = -0.5 * np.log(1 - np.square([0.9, 0.5])).sum()
    turned = noisy @ np.array([[1.0, 0.4], [-2.0, 1.0]])
    for values in (noisy, turned, np.column_stack([turned, np.ones(1500)])):
        assert held_out(X, encode_attribute(values)).value == pytest.approx(truth, abs=0.09)


@pytest.mark.parametrize("encode", ["binary", "ten", "number", "numbers"])
@pytest.mark.parametrize("d", [2, 400])
def test_gaussian_finds_nothing_where_there_is_nothing(encode, d):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(500, d))
    values = {
        "binary": rng.random(500) < 0.1,
        "ten": rng.integers(10, size=500),
        "number": rng.normal(size=500),
        "numbers": rng.normal(size=(500, 3)),
    }[encode]
    found = held_out(X, encode_attribute(values))
    assert found.value == pytest.approx(0, abs=0.03)


def test_gaussian_of_classes_is_near_the_truth_and_below():
    rng = np.random.default_rng(3)
    n = 1500
    X = np.concatenate([rng.normal(size=(n, 30)), np.ones((n, 1))], axis=1)
    logits = X[:, :2] @ rng.normal(size=(2, 6)) * 3
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    labels = (logits + rng.gumbel(size=p.shape)).argmax(axis=1)
    shares = p.mean(axis=0)
    truth = -(shares * np.log(shares)).sum() + (p * np.log(p)).sum() / n
    value = held_out(X, encode_attribute(labels)).value
    assert 0.8 * truth < value < 1.02 * truth


def test_gaussian_of_two_classes_of_equal_covariance_is_discriminant_analysis():
    rng = np.random.default_rng(4)
    n = 1500
    labels = rng.random(n) < 0.2
    X = rng.normal(size=(n, 5)) + 2.0 * labels[:, None] * np.array([1.0, 0, 0, 0, 0])
    odds = np.log(0.2 / 0.8) + 2 * X[:, 0] - 2
    own = -np.log1p(np.exp(np.where(labels, -odds, odds)))
    truth = own.mean() - np.log(np.where(labels, 0.2, 0.8)).mean()
    assert held_out(X, encode_attribute(labels)).value == pytest.approx(truth, abs=0.03)


def test_gaussian_never_gives_more_than_the_entropy():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(600, 3))
    for values, encoding in (
        (X[:, 0] > 0, "categorical"),
        (X[:, 0] > 0, "numeric"),
        (np.round(X[:, 0]), "ranks"),
        ((X[:, 0] > 1.0) * 1.0, "probability"),
        (X[:, 0] * 1e-3 + 7, "raw"),
    ):
        attribute = encode_attribute(values, encoding=encoding)
        _, counts = np.unique(attribute.values[:, 0], return_counts=True)
        shares = counts / 600
        entropy = -(shares * np.log(shares)).sum()
        found = held_out(np.column_stack([X, values * 1.0]), attribute)
        assert 0.3 * entropy < found.value <= entropy
        assert found.train_value <= entropy


def test_gaussian_of_many_classes_that_noise_cannot_tell_apart():
    rng = np.random.default_rng(6)
    attribute = encode_attribute(rng.integers(60, size=600))
    found = held_out(rng.normal(size=(600, 100)), attribute)
    assert found.train_value > 0.5
    assert abs(found.value) < 0.03


def test_one_image_far_out_does_not_rule_the_mean():
    X, a = correlated(400, 3, 3.0)
    a[7] = -a[7] - 5 * np.sign(a[7])
    found = held_out(X, encode_attribute(a))
    assert found.contributions.min() == pytest.approx(np.log(1e-3), abs=0.01)
    assert found.value > 1.6


@pytest.mark.parametrize("d", [4, 90])
def test_residuals_left_out_are_those_of_a_fit_to_the_others(d):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(60, d))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    targets = [
        _gaussian.Target(encode_attribute(X[:, 0] + rng.normal(size=60))),
        _gaussian.Target(encode_attribute(rng.integers(3, size=60))),
    ]
    members = [np.arange(60)[np.arange(60) % 3 == k] for k in range(3)]
    squares = np.linalg.svd(X, compute_uv=False) ** 2
    squares = squares[squares > 1e-9 * squares[0]]
    everything = _gaussian.residuals(X, targets, members)
    for target, inside, outside in zip(targets, *everything, strict=True):

        def residual(rows, penalty, target=target):
            fit = Ridge(penalty, solver="svd").fit(X[rows], target.scores[rows])
            return target.scores - fit.predict(X).reshape(target.scores.shape)

        every = np.arange(60)
        penalties = _gaussian._PENALTIES * squares.mean()
        (penalty,) = [p for p in penalties if np.allclose(inside, residual(every, p), atol=1e-6)]
        errors = [
            sum(np.square(residual(np.setdiff1d(every, fold), p)[fold]).sum() for fold in members)
            for p in penalties
        ]
        assert penalty == penalties[np.argmin(errors)]
        for first, fold in enumerate(members):
            alone = residual(np.setdiff1d(every, fold), penalty)[fold]
            np.testing.assert_allclose(outside[first][fold], alone, atol=1e-6)
            for second, other in enumerate(members):
                if second != first:
                    both = residual(np.setdiff1d(every, np.concatenate([fold, other])), penalty)[other]
                    np.testing.assert_allclose(outside[first][other], both, atol=1e-6)


def test_labels_of_a_fold_do_not_touch_what_it_is_read_with(monkeypatch):
    monkeypatch.setattr(_gaussian, "_PENALTIES", np.ones(1))
    rng = np.random.default_rng(8)
    X, folds = rng.normal(size=(90, 5)), np.arange(90) % 3
    labels = np.arange(90) // 3 % 3
    other = labels.copy()
    swapped = np.flatnonzero(folds == 0)[[0, 1]]
    assert labels[swapped[0]] != labels[swapped[1]]
    other[swapped] = other[swapped[::-1]]  # as many of each class in the fold
    before, after = (held_out(X, encode_attribute(y), folds=3).contributions for y in (labels, other))
    untouched = (folds == 0) & (labels == other)
    np.testing.assert_allclose(before[untouched], after[untouched], atol=1e-9)
    assert not np.allclose(before[folds == 1], after[folds == 1], atol=1e-4)


def test_constant_attributes_and_features():
    X = np.random.default_rng(9).normal(size=(30, 4))
    folds = np.arange(30) % 3
    constant, varying = encode_attribute(np.ones(30)), encode_attribute(np.arange(30.0))
    for found in (
        gaussian_information(X, [constant], folds)[0],
        ksg_information(X, [constant])[0],
    ):
        assert found.value == 0
        assert "constant" in found.note
    still = np.ones((30, 4))
    assert gaussian_information(still, [varying], folds)[0].value == pytest.approx(0, abs=0.1)
    assert ksg_information(still, [varying])[0].value == 0


def test_attributes_together_are_attributes_alone():
    X, a = correlated(300, 20, 1.0)
    attributes = [encode_attribute(a), encode_attribute(np.ones(300)), encode_attribute(a > 0)]
    folds = np.arange(300) % 4
    for together, attribute in zip(gaussian_information(X, attributes, folds), attributes, strict=True):
        (alone,) = gaussian_information(X, [attribute], folds)
        np.testing.assert_allclose(together.contributions, alone.contributions, atol=1e-6)


# --- nearest neighbours ---------------------------------------------------------------------------------


def slow_ksg(x, y, k):
    """Algorithm 1 of Kraskov and others: all distances at once."""
    dx, dy = (np.abs(v[:, None] - v[None]).max(axis=2) for v in (x, y))
    joint = np.maximum(dx, dy) + np.diag(np.full(len(x), np.inf))
    total = 0.0
    for i in range(len(x)):
        epsilon = np.sort(joint[i])[k - 1]
        nx, ny = (dx[i] < epsilon).sum() - 1, (dy[i] < epsilon).sum() - 1
        total += digamma(nx + 1) + digamma(ny + 1)
    return digamma(k) + digamma(len(x)) - total / len(x)


@pytest.mark.parametrize(("d", "k"), [(1, 1), (3, 2)])
@pytest.mark.parametrize("neighbours", [1, 3])
def test_ksg_is_algorithm_1(d, k, neighbours):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, d))
    y = X[:, :1] + rng.normal(size=(200, k))
    (found,) = ksg_information(X, [encode_attribute(y, encoding="raw")], neighbours=neighbours)
    scaled = [(v - v.mean(axis=0)) / v.std(axis=0) for v in (X, y)]
    assert found.value == pytest.approx(slow_ksg(*scaled, neighbours), abs=1e-5)
    assert np.isnan(found.train_value)
    assert found.contributions.mean() == pytest.approx(found.value)


def test_ksg_is_that_of_scikit_learn():
    X, a = correlated(400, 1, 0.8)
    (found,) = ksg_information(X, [encode_attribute(a, encoding="raw")])
    assert found.value == pytest.approx(
        mutual_info_regression(X, a, n_neighbors=3, random_state=0)[0], abs=1e-3
    )
    labels = np.digitize(a, [-1.0, 0.2])
    for encoding in ("categorical", "numeric"):
        (found,) = ksg_information(X, [encode_attribute(labels, encoding=encoding)])
        peer = mutual_info_classif(X, labels, n_neighbors=3, random_state=0)[0]
        assert found.value == pytest.approx(peer, abs=1e-3)


@pytest.mark.parametrize("nats", [0.0, 0.5, 1.5])
def test_ksg_finds_the_truth_in_few_dimensions(nats):
    X, a = correlated(3000, 2, nats)
    assert ksg_information(X, [encode_attribute(a)])[0].value == pytest.approx(nats, abs=0.06)


def test_ksg_of_wide_features_reads_leading_components_and_says_so():
    rng = np.random.default_rng(1)
    X, a = correlated(1500, 1, 1.0)
    wide = np.concatenate([X + 0.01 * rng.normal(size=(1500, 15)), rng.normal(size=(1500, 3))], axis=1)
    (found,) = ksg_information(wide, [encode_attribute(a)])
    assert found.note == (
        "nearest neighbours are not meant for 18 dimensions: of the 8 leading principal components only"
    )
    assert 0.1 < found.value < 1.0
    (few,) = ksg_information(wide[:, :16], [encode_attribute(a)])
    assert few.note == ""


def test_ksg_of_a_class_with_a_single_image():
    X, a = correlated(300, 1, 1.0)
    labels = (a > 0) * 1
    labels[5] = 2
    (found,) = ksg_information(X, [encode_attribute(labels)])
    assert found.contributions[5] == 0
    assert np.isfinite(found.contributions).all()


def test_ties_are_told_apart_alike_every_time():
    X = np.round(np.random.default_rng(2).normal(size=(300, 2)), 1)
    attribute = encode_attribute(np.round(X[:, 0]))
    first, second = (ksg_information(X, [attribute], seed=3)[0] for _ in range(2))
    assert np.isfinite(first.value)
    np.testing.assert_array_equal(first.contributions, second.contributions)


def test_leading_components_have_variance_one():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 40)) * 100 + 7
    found = leading(X, 8)
    assert found.shape == (200, 3)
    np.testing.assert_allclose(np.cov(found.T), np.eye(3), atol=1e-8)


# --- bad input --------------------------------------------------------------------------------------------


def test_errors_say_what_is_wrong():
    X, attribute = np.zeros((6, 2)), encode_attribute(np.arange(6.0))
    with pytest.raises(DataError, match="Attribute 1 has 6 values for 5 images"):
        ksg_information(X[:5], [encode_attribute(np.arange(5.0)), attribute])
    with pytest.raises(DataError, match=r"finite numbers of shape \(images, features\); got shape \(6,\)"):
        ksg_information(X[:, 0], [attribute])
    with pytest.raises(DataError, match="must be finite"):
        gaussian_information(X + np.nan, [attribute], np.arange(6) % 3)
    with pytest.raises(SpecError, match="at least three folds; got 2"):
        gaussian_information(X, [attribute], np.arange(6) % 2)
    with pytest.raises(DataError, match=r"one number for each of 6 images; got \(5,\)"):
        gaussian_information(X, [attribute], np.arange(5))
    with pytest.raises(SpecError, match="fewer than the 6 images; got 6"):
        ksg_information(X, [attribute], neighbours=6)
