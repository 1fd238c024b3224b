import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
)

from fusiform.errors import DataError
from fusiform.probing import Draw, _measures
from fusiform.probing._measures import measure_answers
from fusiform.statistics import cluster_weights

KINDS = {"binary": 2, "categorical": 3, "continuous": 0}


def planted(kind, p=4, n=300, people=40, seed=0):
    """A draw and answers of probes that know more and more."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, people, n)
    k = KINDS[kind]
    values = rng.integers(0, k, n).astype(float) if k else rng.normal(50, 9, n)
    train, valid, test = np.split(rng.permutation(n), [100, 180])
    draw = Draw("a", kind, tuple("xyz"[:k]), values, train, np.sort(valid), np.sort(test))
    answers = {}
    for split, rows in (("valid", draw.valid), ("test", draw.test)):
        knows = np.linspace(0.2, 2, p)[:, None]
        if k:
            logits = (
                rng.normal(size=(p, len(rows), k))
                + (values[rows][:, None] == np.arange(k)) * knows[..., None]
            )
            odds = np.exp(np.round(logits, 1))
            answers[split] = odds / odds.sum(axis=2, keepdims=True)
        else:
            answers[split] = 50 + knows / 2 * (values[rows] - 50) + rng.normal(size=(p, len(rows)))
    return draw, answers, groups


def slow(kind, truth, answer):
    """Every metric of one probe by scikit-learn."""
    if kind == "continuous":
        return {"r2": r2_score(truth, answer), "mae": mean_absolute_error(truth, answer)}
    told = answer.argmax(axis=1)
    found = {
        "balanced_accuracy": balanced_accuracy_score(truth, told),
        "accuracy": accuracy_score(truth, told),
    }
    return found | ({"auc": roc_auc_score(truth, answer[:, 1])} if kind == "binary" else {})


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_intervals_equal_scikit_learn_resampled_by_hand(kind, monkeypatch):
    monkeypatch.setattr(_measures, "_DRAWS", 80)
    draw, answers, groups = planted(kind)
    measured = measure_answers(draw, answers, groups, seed=7)
    assert len(measured) == 4
    truth = draw.values[draw.test]
    people, cluster = np.unique(groups[draw.test], return_inverse=True)
    copies = [
        np.repeat(np.arange(len(truth)), counts[cluster].astype(int))
        for counts in cluster_weights(len(people), draws=80, seed=7)
    ]
    for number, probe in enumerate(measured):
        expected = slow(kind, truth, answers["test"][number])
        found = {m.metric: m for m in probe if m.split == "test"}
        assert list(found) == list(expected)
        for metric, m in found.items():
            assert m.value == pytest.approx(expected[metric], abs=1e-12)
            assert (m.n, m.n_identities) == (len(truth), len(people))
        (first,) = [m for m in probe if m.split == "valid"]
        answer = answers["valid"][number]
        assert first.value == pytest.approx(slow(kind, draw.values[draw.valid], answer)[first.metric])
        if number != 2:
            continue
        by_hand = [slow(kind, truth[rows], answers["test"][number][rows]) for rows in copies]
        for metric, m in found.items():
            bounds = np.quantile([values[metric] for values in by_hand], [0.025, 0.975])
            np.testing.assert_allclose([m.lower, m.upper], bounds, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("intervals", [True, False])
def test_many_probes_are_measured_as_one(kind, intervals, monkeypatch):
    draw, answers, groups = planted(kind)
    together = measure_answers(draw, answers, groups, seed=1, intervals=intervals)
    for number, probe in enumerate(together):
        alone = {split: a[number, None] for split, a in answers.items()}
        assert_same(measure_answers(draw, alone, groups, seed=1, intervals=intervals)[0], probe)
    monkeypatch.setattr(_measures, "_CHUNK", 1)
    for few, probe in zip(
        measure_answers(draw, answers, groups, seed=1, intervals=intervals), together, strict=True
    ):
        assert_same(few, probe)


def assert_same(one, other):
    names = ["split", "metric", "n", "n_identities"]
    assert [[getattr(m, n) for n in names] for m in one] == [[getattr(m, n) for n in names] for m in other]
    numbers = [[(m.value, m.lower, m.upper, m.chance) for m in probe] for probe in (one, other)]
    np.testing.assert_allclose(*numbers, atol=1e-9)


def test_without_intervals_values_are_the_same_and_bounds_are_not_there():
    draw, answers, groups = planted("binary")
    cheap, full = (measure_answers(draw, answers, groups, intervals=i) for i in (False, True))
    for a, b in zip(cheap, full, strict=True):
        assert [m.value for m in a] == [m.value for m in b]
        assert np.isnan([(m.lower, m.upper) for m in a]).all()
        assert all(m.lower < m.value < m.upper for m in b)


def test_chance_is_what_guessing_reaches():
    draw, answers, groups = planted("categorical")
    test = {m.metric: m for m in measure_answers(draw, answers, groups)[0] if m.split == "test"}
    assert test["balanced_accuracy"].chance == 1 / 3
    truth = draw.values[draw.test]
    assert test["accuracy"].chance == max(np.mean(truth == k) for k in range(3))
    draw, answers, groups = planted("continuous")
    test = {m.metric: m for m in measure_answers(draw, answers, groups)[0] if m.split == "test"}
    guess = np.full(len(draw.test), np.median(draw.values[draw.train]))
    assert test["mae"].chance == pytest.approx(mean_absolute_error(draw.values[draw.test], guess))


def test_one_split_or_no_probe():
    draw, answers, groups = planted("binary")
    assert {m.split for m in measure_answers(draw, {"valid": answers["valid"]}, groups)[0]} == {"valid"}
    assert measure_answers(draw, {s: a[:0] for s, a in answers.items()}, groups) == []


def test_answers_of_another_shape_are_refused():
    draw, answers, groups = planted("binary")
    with pytest.raises(
        DataError, match=r"'a' on test must have the shape \(probes, 120, 2\); got \(4, 119, 2\)"
    ):
        measure_answers(draw, {"test": answers["test"][:, 1:]}, groups)
    with pytest.raises(DataError, match=r"\(probes, 80, 2\); got \(4, 80\)"):
        measure_answers(draw, {"valid": answers["valid"][:, :, 0]}, groups)


def test_r2_of_values_that_do_not_vary_is_unknown():
    rows = np.arange(6)
    values = np.array([0.3, 0.3, 0.3, 1.0, 2.0, 3.0])
    draw = Draw("flat", "continuous", (), values, rows[3:], rows[:3], rows[:3])
    (measures,) = measure_answers(draw, {"valid": np.array([[0.3, 0.31, 0.29]])}, rows)
    assert np.isnan(measures[0].value)
