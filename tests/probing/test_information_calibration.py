import numpy as np
import pytest
import torch
from scipy.special import softmax
from tests.reference import mine

from fusiform.errors import DataError, SpecError
from fusiform.probing.information._calibration import (
    _attributes,
    _mixture_information,
    calibrate,
    gaussian_pair,
    planted,
)
from fusiform.probing.information._references import leading


def features(n=800, d=20, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)) @ rng.normal(size=(4, d)) + 0.3 * rng.normal(size=(n, d))


# --- planted attributes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("deviation", [0.01, 0.3, 2.0])
def test_information_of_a_mixture_by_monte_carlo(deviation):
    rng = np.random.default_rng(0)
    scores = np.array([-1.0, -0.2, 0.1, 0.5, 2.0])
    which = rng.integers(5, size=200_000)
    drawn = scores[which] + deviation * rng.normal(size=len(which))
    logs = -np.square((drawn[:, None] - scores) / deviation) / 2
    own = logs[np.arange(len(which)), which]
    estimate = (own - np.log(np.exp(logs).mean(axis=1))).mean()
    assert _mixture_information(scores, deviation) == pytest.approx(estimate, abs=0.01)


def test_information_of_many_gaussian_scores_is_in_closed_form():
    quantiles = np.random.default_rng(1).normal(size=20_000)
    for deviation in (0.2, 1.0, 5.0):
        closed = 0.5 * np.log1p(1 / deviation**2)
        assert _mixture_information(quantiles, deviation) == pytest.approx(closed, abs=0.02)


@pytest.mark.parametrize("truth", [0.0, 0.3, 1.5, 4.0])
def test_a_continuous_attribute_holds_the_truth_asked_for(truth):
    attribute, exact = planted(features(), "continuous", truth)
    assert exact == pytest.approx(truth, abs=1e-5)
    assert attribute.shape == (800,)
    assert attribute.dtype.kind == "f"


def test_a_continuous_attribute_depends_on_the_features_as_it_says():
    X = features(n=4000)
    attribute, exact = planted(X, "continuous", 1.0, seed=3)
    # One score plus noise: the linear regression on all components leaves the noise.
    components = leading(X, 8, seed=3)
    fitted = components @ np.linalg.lstsq(components, attribute, rcond=None)[0]
    deviation = (attribute - fitted).std()
    assert _mixture_information(fitted, deviation) == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize(("kind", "classes", "truth"), [("binary", 2, 0.3), ("categorical", 6, 1.1)])
def test_classes_hold_the_truth_asked_for(kind, classes, truth):
    X = features(n=6000)
    attribute, exact = planted(X, kind, truth, classes=classes, seed=1)
    assert exact == pytest.approx(truth, abs=1e-6)
    # From the labels alone: multinomial logistic regression, which is the right model.
    from sklearn.linear_model import LogisticRegression

    components = leading(X, 8, seed=1)
    p = LogisticRegression(C=100).fit(components, attribute).predict_proba(components)
    shares = np.bincount(attribute) / len(attribute)
    found = np.log(p[np.arange(len(p)), attribute]).mean() - (shares * np.log(shares)).sum()
    assert found == pytest.approx(truth, abs=0.05)


def test_draws_follow_their_probabilities():
    from fusiform.probing.information import _calibration

    scores = np.repeat([[0.0, 1.0, -1.0], [2.0, 0.0, 0.5]], 20_000, axis=0)
    drawn, exact = _calibration._classes(scores, 0.1, np.random.default_rng(0))
    counts = np.stack([np.bincount(drawn[:20_000], minlength=3), np.bincount(drawn[20_000:], minlength=3)])
    p = counts / 20_000
    entropy = [-(q * np.log(q)).sum() for q in (p.mean(axis=0), *p)]
    assert entropy[0] - np.mean(entropy[1:]) == pytest.approx(0.1, abs=0.01)
    assert exact == pytest.approx(0.1)
    # One sharpness for all: logits lie in proportion to scores.
    ratio = np.log(p[0, 1] / p[0, 0]) / np.log(p[1, 0] / p[1, 1])
    assert ratio == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(p[0], softmax(np.log(p[0, 1] / p[0, 0]) * scores[0]), atol=0.01)


def test_more_than_classes_hold_becomes_the_most():
    attribute, exact = planted(features(), "binary", 5.0)
    assert 0.6 < exact <= np.log(2)
    assert set(attribute) == {0, 1}
    _, exact = planted(features(n=50), "continuous", 30.0)
    assert exact == pytest.approx(np.log(50), abs=0.2)


def test_a_planted_attribute_is_a_function_of_its_seed():
    X = features()
    for kind in ("continuous", "binary", "categorical"):
        one, two, other = (planted(X, kind, 0.4, classes=4, seed=s)[0] for s in (5, 5, 6))
        np.testing.assert_array_equal(one, two)
        assert (one != other).any()


# --- Gaussian pairs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "k", "truth"), [(1, 1, 0.7), (6, 1, 2.0), (5, 3, 1.2), (4, 4, 0.0)])
def test_gaussian_pairs_have_the_truth_in_their_covariance(d, k, truth):
    x, y = gaussian_pair(40_000, d, truth, target_dimension=k)
    joint = np.cov(np.concatenate([x, y], axis=1).T)
    parts = [np.linalg.slogdet(c)[1] for c in (joint[:d, :d], joint[d:, d:], joint)]
    assert (parts[0] + parts[1] - parts[2]) / 2 == pytest.approx(truth, abs=0.02)
    np.testing.assert_allclose(joint[:d, :d], np.eye(d), atol=0.03)
    np.testing.assert_allclose(joint[d:, d:], np.eye(k), atol=0.03)
    if d > k and truth:
        # What is told is spread over all features.
        assert (np.abs(joint[:d, d:]).max(axis=1) > 0.005).all()


def test_features_of_a_gaussian_pair_are_the_same_for_all_truths():
    np.testing.assert_array_equal(gaussian_pair(9, 4, 0.1)[0], gaussian_pair(9, 4, 3.0)[0])


# --- calibration ------------------------------------------------------------------------------------------


def test_calibration_compares_with_the_truth():
    X = features(n=600, d=6).astype(np.float32)
    told = []
    found = calibrate(
        X,
        progress=lambda done, total: told.append(done / total),
        kinds=("continuous", "binary"),
        truths=(0.0, 0.3, 1.0),
        estimators=("gaussian", "ksg"),
        groups=np.arange(600) // 2,
    )
    assert list(found.columns) == [
        "source",
        "kind",
        "truth",
        "estimator",
        "split",
        "value",
        "lower",
        "upper",
        "n",
        "dimension",
        "error",
    ]
    held = found[found["split"] == "held out"]
    assert len(held) == 2 * 2 * 3 * 2
    assert set(found.loc[found["split"] == "train", "estimator"]) == {"gaussian"}
    assert (found["n"] == 600).all()
    assert (found["dimension"] == 6).all()
    np.testing.assert_allclose(found["error"], found["value"] - found["truth"])
    # Gaussian features with a Gaussian attribute are what the Gaussian reference is exact for.
    exact = held.query("source == 'gaussian' and kind == 'continuous' and estimator == 'gaussian'")
    assert exact["error"].abs().max() < 0.12
    assert held.query("truth < 1e-9")["error"].abs().max() < 0.1
    binary = sorted(held.loc[held["kind"] == "binary", "truth"].round(6).unique())
    assert binary == pytest.approx([0, 0.27 * np.log(2), 0.9 * np.log(2)], abs=1e-5)
    assert (held["lower"] <= held["value"]).all()
    assert (held["value"] <= held["upper"]).all()
    assert told == sorted(told)
    assert all(0 <= share <= 1 for share in told)


def test_attributes_keep_what_was_asked_for_where_it_fits():
    _, exact = _attributes("planted", features(), ("categorical",), (0.0, 0.5), 0)
    assert [round(truth, 6) for _, truth in exact.values()] == [0, 0.5]
    _, exact = _attributes("gaussian", features(), ("categorical",), (1.0, 2.0), 0)
    assert [truth / np.log(5) for _, truth in exact.values()] == pytest.approx([0.45, 0.9], abs=1e-5)


# --- the slow reference --------------------------------------------------------------------------------------


def test_plain_mine_has_the_papers_network_and_gradient():
    plain = mine.PlainMine(3, 2, decay=None, dtype=torch.float64)
    assert [tuple(p.shape) for p in plain.critic.parameters()] == [
        (256, 5), (256,), (128, 256), (128,), (1, 128), (1,),
    ]  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    f, a, b = (torch.randn(12, k, generator=generator, dtype=torch.float64) for k in (3, 2, 2))
    value = plain.gradient(f, a, b)
    got = [p.grad.clone() for p in plain.critic.parameters()]
    # Without the running mean the gradient is that of the printed objective (eq. 3 and 4).
    plain.optimiser.zero_grad()
    joint, marginal = plain.critic(f, a), plain.critic(f, b)
    objective = joint.mean() - marginal.exp().mean().log()
    (-objective).backward()
    assert value == pytest.approx(objective.item())
    for one, p in zip(got, plain.critic.parameters(), strict=True):
        torch.testing.assert_close(one, p.grad)


def test_plain_mine_divides_by_a_running_mean():
    plain = mine.PlainMine(1, 1, decay=0.9, dtype=torch.float64)
    f, a = torch.randn(2, 8, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain.gradient(f, a, a)
    first = plain.running
    plain.gradient(f, a, 3 * a)
    with torch.no_grad():
        mean = float(plain.critic(f, 3 * a).exp().mean())
    assert plain.running == pytest.approx(0.9 * first + 0.1 * mean)
    doubled = plain.critic.layers[4].bias.grad.item()
    assert doubled == pytest.approx(-1 + mean / plain.running)


def test_plain_mine_learns_what_is_known():
    x, y = (torch.from_numpy(v).float() for v in gaussian_pair(1200, 2, 0.6))
    plain = mine.PlainMine(2, 1)
    values = mine.train(plain, x[:1000], y[:1000], steps=300, batch=256)
    assert len(values) == 300
    assert plain.value(x[1000:], y[1000:]) == pytest.approx(0.6, abs=0.25)
    with torch.no_grad():
        pairs = torch.stack([plain.critic(x[:9], y[[k]].expand(9, 1)) for k in range(9)], dim=1)
    by_hand = pairs.diagonal().mean() - pairs.exp().mean().log()
    assert plain.value(x[:9], y[:9]) == pytest.approx(float(by_hand), abs=1e-5)


# --- bad input -----------------------------------------------------------------------------------------------


def test_errors_say_what_is_wrong():
    X = features(n=20)
    with pytest.raises(
        SpecError, match=r"No attribute of kind 'binry' can be planted; did you mean 'binary'"
    ):
        planted(X, "binry", 0.1)
    with pytest.raises(SpecError, match=r"is 0 or more nats; got -1"):
        planted(X, "binary", -1.0)
    with pytest.raises(SpecError, match=r"at least 2 classes; got 1"):
        planted(X, "categorical", 0.1, classes=1)
    with pytest.raises(DataError, match="every one of them is constant"):
        planted(np.ones((9, 2)), "binary", 0.1)
    with pytest.raises(SpecError, match=r"1 to 'dimension' attributes; got 3 for dimension 2"):
        gaussian_pair(5, 2, 0.1, target_dimension=3)
    with pytest.raises(SpecError, match=r"0 or more nats; got n 5 and nan nats"):
        gaussian_pair(5, 2, np.nan)
    with pytest.raises(SpecError, match="at least one kind, one truth and one estimator"):
        calibrate(X, truths=())
    with pytest.raises(DataError, match=r"shape \(images, features\); got shape \(20,\)"):
        calibrate(X[:, 0])
