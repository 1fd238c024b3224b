"""The batched critics against one plain network, and what holds of every estimate."""

import numpy as np
import pandas as pd
import pytest
import torch
from tests.reference.mine import PlainMine

from fusiform.probing import ESTIMATORS, encode_attribute, expressivities, expressivity
from fusiform.probing.information import _jobs, _train
from fusiform.probing.information._critic import Critics
from fusiform.probing.information._folds import folds_of
from fusiform.probing.information._objectives import OBJECTIVES, Terms, estimates, running_mean, terms
from fusiform.statistics import cluster_weights

NEURAL = tuple(OBJECTIVES)


def _plain_from(critics: Critics, number: int, place: int, width: int) -> PlainMine:
    """One plain network with the weights of one of the batched ones."""
    single = critics.of(number)
    d = single.shared["features"].shape[2]
    plain = PlainMine(d, width)
    one, two, three = (plain.critic.layers[at] for at in (0, 2, 4))
    with torch.no_grad():
        one.weight[:, :d] = single.shared["features"][place]
        one.weight[:, d:] = single.own[0][place]
        one.bias[:] = single.shared["bias_1"][place, :, 0]
        two.weight[:] = single.shared["hidden"][place]
        two.bias[:] = single.shared["bias_2"][place, :, 0]
        three.weight[:] = single.shared["output"][place]
        three.bias.zero_()
    return plain


@pytest.fixture
def batch():
    rng = torch.Generator().manual_seed(3)
    features = torch.randn(20, 6, generator=rng)
    classes = torch.randint(3, (20,), generator=rng)
    numbers = torch.randn(20, 2, generator=rng)
    critics = Critics([classes, numbers], [3, 2], 6, [5, 9], torch.device("cpu"))
    shown = [torch.nn.functional.one_hot(classes, 3).float(), numbers]
    return features, shown, critics


def test_batched_scores_are_those_of_plain_networks(batch):
    features, shown, critics = batch
    rows = torch.stack([torch.arange(20), torch.arange(20).roll(7)])
    scores, _ = critics.scores(critics.first(critics.of_features(features), rows))
    for number, attribute in enumerate(shown):
        for place in range(2):
            plain = _plain_from(critics, number, place, attribute.shape[1]).critic
            for sample in range(2):
                expected = plain(features, attribute[rows[sample]])
                torch.testing.assert_close(scores[2 * number + place, sample], expected, rtol=1e-5, atol=1e-6)


def test_gradient_of_mine_is_that_of_the_paper_over_several_steps(batch):
    features, shown, critics = batch
    plains = [_plain_from(critics, t, r, shown[t].shape[1]) for t in range(2) for r in range(2)]
    log_mean = None
    for shift in (3, 5, 11):
        rows = torch.stack([torch.arange(20), torch.arange(20).roll(shift)])
        scores, kept = critics.scores(critics.first(critics.of_features(features), rows))
        joint, marginal = scores[:, 0], scores[:, 1:]
        log_mean = running_mean(log_mean, marginal)
        down, up = OBJECTIVES["mine"].slopes(joint, marginal, log_mean)
        found = critics.gradients(torch.cat([down[:, None], up], dim=1), kept, features, rows)
        weights, bias_1, hidden, bias_2, output, *own = found
        for g, plain in enumerate(plains):
            attribute = shown[g // 2]
            # The running mean of eq. 5 goes on over the steps; the weights stay, so that only it differs.
            plain.gradient(features, attribute, attribute[rows[1]])
            one, two, three = (plain.critic.layers[at] for at in (0, 2, 4))
            for mine, theirs in (
                (weights[g], one.weight.grad[:, :6]),
                (own[g // 2][g % 2], one.weight.grad[:, 6:]),
                (bias_1[g, :, 0], one.bias.grad),
                (hidden[g], two.weight.grad),
                (bias_2[g, :, 0], two.bias.grad),
                (output[g], three.weight.grad),
            ):
                torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("estimator", ["nwj", "smile", "infonce"])
def test_slopes_are_the_derivatives_of_the_objective(estimator):
    rng = torch.Generator().manual_seed(0)
    joint = torch.randn(2, 7, generator=rng, dtype=torch.float64, requires_grad=True)
    marginal = torch.randn(2, 4, 7, generator=rng, dtype=torch.float64, requires_grad=True)
    if estimator == "nwj":
        value = joint.mean(1) - (marginal - 1).exp().mean((1, 2))
    elif estimator == "smile":
        softplus = torch.nn.functional.softplus
        value = -softplus(-joint).mean(1) - softplus(marginal).mean((1, 2))
    else:
        every = torch.cat([joint[:, None], marginal], dim=1)
        value = (joint - every.logsumexp(dim=1)).mean(1)
    expected = torch.autograd.grad(-value.sum(), [joint, marginal])
    found = OBJECTIVES[estimator].slopes(joint.detach(), marginal.detach(), torch.zeros(2))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("estimator", NEURAL)
def test_estimates_are_the_bounds_as_written(estimator):
    rng = torch.Generator().manual_seed(1)
    joint = 8 * torch.randn(1, 6, generator=rng, dtype=torch.float64)
    marginal = 8 * torch.randn(1, 5, 6, generator=rng, dtype=torch.float64)
    found = float(estimates(estimator, terms(estimator, joint, marginal, None))[0, 0])
    j, m = joint[0].numpy(), marginal[0].numpy()
    expected = {
        "mine": j.mean() - np.log(np.exp(m).mean()),
        "nwj": j.mean() - np.exp(m - 1).mean(),
        "smile": j.mean() - np.log(np.exp(m.clip(-5, 5)).mean()),
        "infonce": (j - np.log((np.exp(j) + np.exp(m).sum(0)) / 6)).mean(),
    }[estimator]
    assert found == pytest.approx(expected, rel=1e-10)


def test_weighted_estimates_are_those_of_repeated_images():
    rng = torch.Generator().manual_seed(2)
    joint, log_marginal = (torch.randn(2, 5, generator=rng, dtype=torch.float64) for _ in range(2))
    times = torch.tensor([2, 0, 1, 1, 3])
    repeated = Terms(joint.repeat_interleave(times, 1), log_marginal.repeat_interleave(times, 1))
    for estimator in NEURAL:
        found = estimates(estimator, Terms(joint, log_marginal), times[None].double())
        torch.testing.assert_close(found, estimates(estimator, repeated))


def _planted(n=400, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 5)).astype(np.float32)
    told = features[:, 0] + 0.3 * rng.normal(size=n)
    return features, told, rng.integers(3, size=n)


def test_an_estimate_does_not_depend_on_its_company():
    features, told, other = _planted()
    keywords = {"restarts": 3, "steps": 150, "seed": 4}
    together = expressivities(features, {"other": other, "told": told}, **keywords)
    alone = expressivity(features, told, **keywords)
    # One by one or together, sums are rounded otherwise.
    np.testing.assert_allclose(together["told"].values, alone.values, atol=0.02)
    np.testing.assert_allclose(together["told"].train_values, alone.train_values, atol=0.02)
    assert together["told"].n == 400
    assert together["told"].dimension == 5


def test_an_attribute_is_done_before_another():
    features, told, other = _planted()
    found = expressivities(features, {"other": other, "told": told, "more": other}, restarts=2, steps=900)
    assert found["other"].curve.step.max() < found["told"].curve.step.max()
    assert found["told"].mean > 0.8


def test_the_same_seed_gives_the_same_estimate_and_another_does_not():
    features, told, _ = _planted()
    first, second, third = (
        expressivity(features, told, restarts=2, steps=100, seed=seed).values for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_what_is_told_is_found_and_what_is_not_is_not(estimator):
    features, told, other = _planted(500)
    found = expressivities(
        features[:, :3], {"told": told, "other": other}, restarts=3, steps=200, estimator=estimator
    )
    truth = 0.5 * np.log(1 + 1 / 0.09)
    assert 0.7 * truth < found["told"].mean < 1.1 * truth
    assert abs(found["other"].mean) < 0.05
    assert found["told"].lower < found["told"].mean < found["told"].upper
    assert found["other"].entropy == pytest.approx(np.log(3), abs=0.01)


def test_invertible_transformations_of_features_change_nothing():
    features, told, _ = _planted()
    keywords = {"restarts": 2, "steps": 100}
    plain = expressivity(features, told, **keywords)
    bent = expressivity(np.exp(3 * features.astype(np.float64)), told**3, **keywords)
    np.testing.assert_allclose(bent.values, plain.values, atol=1e-6)


def test_classes_are_never_told_more_than_their_entropy():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(22), 10)
    features = rng.normal(size=(22, 8))[people] * 4 + rng.normal(size=(220, 8))
    for estimator in ("mine", "infonce"):
        found = expressivity(features, people, restarts=2, steps=250, estimator=estimator)
        assert 2 < found.mean <= found.entropy + 1e-6
        assert found.train_mean <= found.entropy + 1e-6


def test_people_are_not_on_both_sides_of_a_split_but_for_who_they_are():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(40), 5)
    features = rng.normal(size=(40, 6))[people] + 0.01 * rng.normal(size=(200, 6))
    quirk = rng.permutation(40)[people] < 20
    split_by_image = expressivity(features, quirk, restarts=3, steps=400)
    split_by_person = expressivity(features, quirk, restarts=3, steps=150, groups=people)
    # A quirk of single people is known of those seen in training, and of nobody else.
    assert split_by_image.mean > 0.4
    assert split_by_person.mean < 0.2
    folds = folds_of(encode_attribute(quirk), people, 0, "quirk")
    assert all(len(set(folds[people == person])) == 1 for person in range(40))
    folds = folds_of(encode_attribute(people), people, 0, "identity")
    assert all(len(set(folds[people == person])) == 5 for person in range(40))


def test_convergence_and_curve_are_told():
    features, told, _ = _planted()
    found = expressivity(features, told, restarts=2, steps=800)
    assert found.converged.all()
    assert set(found.curve.restart) == {0, 1}
    assert (found.curve.groupby("restart").step.max() <= 800).all()
    last = found.curve.groupby("restart").epoch.max().to_numpy()
    np.testing.assert_allclose(found.epochs, last)


def test_critics_that_have_not_converged_go_through_further_courses():
    features, told, _ = _planted()
    long = expressivity(features, told, restarts=2, steps=800)
    short = expressivity(features, told, restarts=2, steps=40)
    steps = short.curve.groupby("restart").step.max()
    assert (steps > 40).all()
    assert (steps <= 6 * 40).all()
    # Who was let go of before the last course had hardly become better in the one before.
    assert short.converged[steps < 6 * 40].all()
    assert short.mean < long.mean


def test_a_diverged_restart_is_done_again_with_a_smaller_step(monkeypatch):
    features, told, _ = _planted()
    sizes = []
    real = _train.train_critics

    def fragile(features, tasks, seeds, train, valid, schooling, seed):
        sizes.append(schooling.step_size)
        result = real(features, tasks, seeds, train, valid, schooling, seed)
        if schooling.step_size > 0.005:
            result.diverged[:, 0] = True
        return result

    monkeypatch.setattr(_jobs, "train_critics", fragile)
    found = expressivity(features, told, restarts=2, steps=50)
    assert found.retried == 2
    assert sizes == [0.01, 0.01, 0.0025, 0.0025]
    assert found.note == ""


def test_a_step_that_is_far_too_large_is_found_out_and_made_smaller():
    features, told, _ = _planted()
    found = expressivity(features, told, restarts=2, steps=300, step_size=1e30)
    assert found.retried > 0
    assert np.isfinite(found.values).all()
    assert np.isfinite(found.train_values).all()
    assert (np.abs(found.values) < 5).all()
    assert "diverged even with a smaller step" in found.note


def test_few_images_and_single_classes_are_measured_and_noted():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 3))
    classes = np.array([0] * 20 + [1] * 19 + [2])
    found = expressivity(features, classes, restarts=2, steps=60)
    assert np.isfinite(found.values).all()
    assert "1 of 3 classes has a single image" in found.note


def test_constant_attribute_is_known_by_nothing():
    found = expressivity(np.random.default_rng(0).normal(size=(50, 3)), np.full(50, 7.0), restarts=3)
    assert found.mean == found.train_mean == 0
    assert found.values.shape == (3,)
    assert found.note == "constant: one value only"


def test_intervals_over_people_are_those_of_drawing_people():
    rng = np.random.default_rng(1)
    people = np.repeat(np.arange(8), 40)
    smiles = rng.random(320) < 0.5
    # Of some people the features tell it, of others not.
    strength = np.linspace(0, 4, 8)[people]
    features = rng.normal(size=(320, 3))
    features[:, 0] += strength * smiles
    found = expressivity(features, smiles, restarts=8, steps=100, groups=people)
    drawn = cluster_weights(8, draws=500, seed=0)
    folds = folds_of(encode_attribute(smiles), people, 0, "smiles")
    of_person = np.array([found.values[folds[people == person][0]] for person in range(8)])
    expected = drawn @ of_person / 8
    expected += found.mean - of_person.mean()
    np.testing.assert_allclose(found.draws, expected, atol=1e-9)
    assert found.upper - found.lower > 0.5 * found.values.std()


def test_the_order_of_the_file_does_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 2))
    told = features[:, 0] + rng.normal(size=600)
    order = np.argsort(told)
    # As in a fold of many thousand images, where the marginal is taken of the first.
    monkeypatch.setattr(_train, "_IMAGES", 20)
    as_given = expressivity(features, told, restarts=8, steps=200)
    as_sorted = expressivity(features[order], told[order], restarts=8, steps=200)
    assert as_sorted.mean == pytest.approx(as_given.mean, abs=0.12)


def test_raw_numbers_that_are_too_large_are_refused_and_large_ones_do_no_harm():
    features, told, _ = _planted()
    found = expressivity(features, 200 * told, restarts=2, steps=150, encoding="raw")
    assert (np.abs(found.values) < 5).all()
    with pytest.raises(ValueError, match="too large for a critic to see as it is"):
        expressivity(features, told * 1e6, restarts=2, encoding="raw")


def test_gaussian_reference_of_very_many_classes_is_left_out_with_a_note():
    features = np.random.default_rng(0).normal(size=(1040, 2))
    found = expressivity(features, np.arange(1040) // 2, estimator="gaussian")
    assert np.isnan(found.mean)
    assert found.note == "not measured: more than 512 classes"


def test_constant_features_tell_nothing():
    found = expressivity(np.ones((40, 3)), np.arange(40.0), restarts=2)
    assert found.mean == found.lower == found.upper == 0
    assert found.note == "all features are constant"


@pytest.mark.parametrize(
    "given",
    [
        lambda x: torch.tensor(x, dtype=torch.float32, requires_grad=True),
        lambda x: pd.DataFrame(x).convert_dtypes(),
        lambda x: x.astype(np.float32),
    ],
)
def test_features_may_be_given_in_many_ways(given):
    features, told, _ = _planted(60)
    expected = expressivity(features.astype(np.float32), told, restarts=1, steps=50)
    found = expressivity(given(features.astype(np.float32).astype(np.float64)), told, restarts=1, steps=50)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-5)


@pytest.mark.parametrize(
    "given",
    [
        lambda x: x.astype(object),
        lambda x: x[:, None],
        lambda x: pd.Series(x, index=range(5, 65)).convert_dtypes(),
        lambda x: torch.tensor(x),
    ],
)
@pytest.mark.parametrize("kind", [float, int])
def test_attributes_may_be_given_in_many_ways(given, kind):
    values = np.random.default_rng(0).normal(size=60) * 2
    values = values.astype(kind)
    expected, found = encode_attribute(values), encode_attribute(given(values))
    assert found.encoding == expected.encoding == ("ranks" if kind is float else "categorical")
    np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"features": np.full((30, 2), np.nan)},
            "Features are NaN or infinite for 30 of 30 images, the first",
        ),
        ({"features": np.zeros(30)}, r"Features must have shape \(images, features\); got \(30,\)"),
        ({"features": np.zeros((8, 2)), "attribute": np.arange(8.0)}, "at least 16 images .* got 8"),
        ({"attribute": np.arange(29.0)}, "30 feature vectors, but 29 values of 'attribute'"),
        (
            {"attribute": [None, *range(29)]},
            "'attribute' has no value for 1 of 30 images, the first of them number 0",
        ),
        ({"estimator": "mime"}, "There is no estimator 'mime'; did you mean 'mine'"),
        ({"encoding": "rank"}, "encoding of 'attribute' cannot be 'rank'; did you mean 'ranks'"),
        ({"restarts": 0}, "'restarts' of an expressivity must be a whole number of at least 1; got 0"),
        ({"step_size": 0.0}, "'step_size' of an expressivity must be above 0"),
        ({"groups": [0, 1] * 15}, "there are 2 groups of 30 images, and at least 3 with two"),
        ({"groups": [0] * 28 + [1, 2]}, "there are 3 groups of 30 images, and at least 3 with two"),
        ({"groups": [None, *range(29)]}, "1 of 30 images have no group, the first of them number 0"),
        ({"groups": np.zeros((30, 2))}, r"one value an image; their shape is \(30, 2\)"),
        ({"features": [[1, 2], [3]]}, "Features cannot be read as an array of numbers"),
        ({"features": np.zeros((30, 2), dtype=complex)}, "Features must be real numbers; got complex128"),
        ({"attribute": np.zeros(30, dtype=complex)}, "'attribute' holds complex128"),
        ({"attribute": pd.Series([], dtype=float)}, r"its shape is \(0,\)"),
        ({"seed": -1}, "'seed' of an expressivity must be a whole number of at least 0; got -1"),
        ({"restarts": 2.5}, "'restarts' of an expressivity must be a whole number of at least 1; got 2.5"),
        ({"device": "foo"}, "There is no device 'foo' here"),
        ({"groups": [0, 1]}, "30 feature vectors, but 2 groups"),
        (
            {"attribute": np.full(30, 1.5), "encoding": "probability"},
            "holds no probabilities: its values go from 1.5",
        ),
    ],
)
def test_bad_input_is_named(change, text):
    rng = np.random.default_rng(0)
    given = {"features": rng.normal(size=(30, 2)), "attribute": rng.normal(size=30), "restarts": 2} | change
    with pytest.raises(ValueError, match=text):
        expressivity(given.pop("features"), given.pop("attribute"), **given)
