import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fusiform.errors import DataError
from fusiform.statistics import (
    cluster_intervals,
    cluster_weights,
    roc_auc,
    verification_auc,
    weighted_auc_interval,
)


def test_roc_auc_equals_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    p, q = rng.integers(0, 10, 300), rng.integers(2, 9, 200)
    expected = roc_auc_score(np.r_[np.ones(300), np.zeros(200)], np.r_[p, q])
    assert roc_auc(p, q) == pytest.approx(expected, abs=1e-12)


def test_roc_auc_says_what_is_missing():
    with pytest.raises(DataError, match="3 positives and 0 negatives"):
        roc_auc(np.ones(3), np.ones(0))
    with pytest.raises(DataError, match="finite"):
        roc_auc(np.array([np.nan]), np.ones(1))


def test_verification_auc_equals_all_pairs_by_hand():
    rng = np.random.default_rng(1)
    e, who = rng.normal(size=(40, 5)), rng.integers(0, 8, 40)
    e += 1.5 * rng.normal(size=(8, 5))[who]
    unit = e / np.linalg.norm(e, axis=1, keepdims=True)
    pairs = [(unit[i] @ unit[j], who[i] == who[j]) for i in range(40) for j in range(i)]
    expected = roc_auc_score([s for _, s in pairs], [v for v, _ in pairs])
    result = verification_auc(e, who)
    assert result.auc == pytest.approx(expected, abs=1e-12)
    assert result.lower < result.auc < result.upper
    assert result.n_genuine + result.n_impostor == 780
    sampled = verification_auc(e, who, max_impostors=300)
    assert sampled.n_impostor < result.n_impostor
    assert sampled.n_genuine == result.n_genuine
    assert sampled.auc == pytest.approx(result.auc, abs=0.05)


def test_verification_needs_genuine_pairs():
    with pytest.raises(DataError, match="0 genuine and 6 impostor"):
        verification_auc(np.eye(4), np.arange(4))


def test_cluster_weights_are_bootstrap_counts():
    weights = cluster_weights(50, draws=2000, seed=3)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.var() == pytest.approx(1 - 1 / 50, rel=0.05)
    assert (weights == cluster_weights(50, draws=2000, seed=3)).all()


def test_interval_over_clusters_is_wider_than_over_images_when_images_repeat():
    rng = np.random.default_rng(4)
    correct = np.repeat((rng.random(40) < 0.7).astype(float), 25)
    terms = np.stack([correct, np.ones(1000)], axis=1)
    share = lambda s: s[:, 0] / s[:, 1]  # noqa: E731
    value, lower, upper = cluster_intervals(terms, np.repeat(np.arange(40), 25), share, draws=2000)
    _, lower_images, upper_images = cluster_intervals(terms, np.arange(1000), share, draws=2000)
    assert lower < value < upper
    assert (upper - lower) > 4 * (upper_images - lower_images)
    # The spread of a share over 40 people, by theory.
    sd = np.sqrt(value * (1 - value) / 40)
    assert upper - lower == pytest.approx(2 * 1.96 * sd, rel=0.15)


def test_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(5)
    hits = 0
    for seed in range(200):
        x = rng.normal(1.0, 1.0, 80)
        _, lower, upper = cluster_intervals(
            np.stack([x, np.ones(80)], 1), np.arange(80), lambda s: s[:, 0] / s[:, 1], seed=seed
        )
        hits += lower <= 1.0 <= upper
    assert 0.88 <= hits / 200 <= 0.99


def test_auc_interval_equals_resampling_by_hand_with_ties():
    rng = np.random.default_rng(6)
    cluster = rng.integers(0, 20, 90)
    cluster[:20] = np.arange(20)
    positive = rng.random(90) < 0.4
    scores = rng.integers(0, 6, 90) + 2.0 * positive
    by_hand = []
    for counts in cluster_weights(20, draws=300, seed=2):
        copies = np.repeat(np.arange(90), counts[cluster].astype(int))
        by_hand.append(roc_auc_score(positive[copies], scores[copies]))
    lower, upper = weighted_auc_interval(scores, positive, cluster, draws=300, seed=2)
    np.testing.assert_allclose([lower, upper], np.quantile(by_hand, [0.025, 0.975]), atol=1e-12)
