"""Thresholds against loops over pairs, and what is refused."""

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tests.reference.verification import slow_calibration
from torch import nn

from fusiform.errors import DataError, NetworkError
from fusiform.faces import Attribute, FaceSet
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.statistics import cluster_weights
from fusiform.verification import Calibration, calibrate, embeddings
from fusiform.verification import _calibrate as module

SIDE = 4


@pytest.fixture(scope="module")
def net() -> FaceNetwork:
    """The pixels, less what all faces share, are the embedding."""
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 12, bias=False))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        flat[1].weight.copy_(torch.randn(12, 3 * SIDE * SIDE))
    return FaceNetwork(flat, NetworkCard(name="flat", input_size=(SIDE, SIDE)))


def people(counts, *, noise: float = 45.0, seed: int = 0, names=None) -> FaceSet:
    """As many images of each person as `counts` says: a pattern of their own, and noise."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(len(counts)), counts)
    who = who[rng.permutation(len(who))]
    patterns = rng.normal(127, 50, (len(counts), 3, SIDE, SIDE))
    images = (patterns[who] + rng.normal(0, noise, (len(who), 3, SIDE, SIDE))).clip(0, 255).astype(np.uint8)
    labels = [f"p{k}" for k in who] if names is None else [names[k] for k in who]
    table = pd.DataFrame({"identity": pd.array(labels, dtype="string")})
    return FaceSet.from_arrays(
        torch.from_numpy(images), table, {"identity": Attribute(kind="identity")}, name="planted"
    )


COUNTS = (1, 2, 3, 4, 5, 4, 1, 6, 3, 2)


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return people(COUNTS)


@pytest.fixture(scope="module")
def found(net, faces) -> Calibration:
    return calibrate(net, faces, false_match_rate=0.02, resamples=20, seed=3)


def test_threshold_rates_and_intervals_equal_loops_over_pairs(net, faces, found):
    embedded = embeddings(net, faces).double().numpy()
    who = faces.table["identity"].tolist()
    samples = cluster_weights(len(set(who)), draws=20, seed=3)
    values = slow_calibration(embedded, who, 0.02, samples)
    assert found.threshold == pytest.approx(values[0, 0], abs=1e-12)
    assert found.false_non_match_rate == pytest.approx(values[0, 1])
    lower, upper = np.nanquantile(values[1:, 0], [0.025, 0.975])
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=1e-9)
    lower, upper = np.nanquantile(values[1:, 1], [0.025, 0.975])
    assert (found.fnmr_lower, found.fnmr_upper) == pytest.approx((lower, upper), abs=1e-9)
    assert 0 < found.false_non_match_rate < 1


def test_counts_and_rate(found):
    images, own = sum(COUNTS), sum(k * (k - 1) // 2 for k in COUNTS)
    assert (found.n_images, found.n_identities, found.n_mate_pairs) == (images, len(COUNTS), own)
    assert found.n_nonmate_pairs == images * (images - 1) // 2 - own
    # The next lower score would let through more than was asked.
    assert found.reached_false_match_rate <= 0.02 < found.reached_false_match_rate + 1 / found.n_nonmate_pairs


def test_a_short_tail_is_lengthened(net, faces, found, monkeypatch):
    monkeypatch.setattr(module, "_TAIL", 0.1)
    assert calibrate(net, faces, false_match_rate=0.02, resamples=20, seed=3) == found


def test_order_of_images_does_not_matter(net, faces, found):
    turned = faces.subset(np.arange(len(faces))[::-1])
    again = calibrate(net, turned, false_match_rate=0.02, resamples=20, seed=3, batch_size=5)
    assert again.threshold == pytest.approx(found.threshold, abs=1e-6)
    assert again.false_non_match_rate == found.false_non_match_rate


def test_equal_scores_match_together(net):
    # Every image twice under another name: each score of two people is there four times.
    once = people((2, 2, 2, 2), seed=1)
    table = pd.concat([once.table, once.table.assign(identity=once.table["identity"] + "b")])
    twice = FaceSet.from_arrays(
        torch.cat([once.images(), once.images()]),
        table[["identity"]],
        {"identity": Attribute(kind="identity")},
    )
    at = calibrate(net, twice, false_match_rate=0.06, resamples=5)
    scores = embeddings(net, twice).double().numpy()
    who = twice.table["identity"].to_numpy()
    pairs = [scores[i] @ scores[j] for i, j in combinations(range(16), 2) if who[i] != who[j]]
    assert np.mean(np.array(pairs) >= at.threshold) <= 0.06


def test_a_protocol_of_all_pairs_is_all_pairs(net, faces, found):
    who = faces.table["identity"].to_numpy()
    pairs = pd.DataFrame(list(combinations(range(len(faces)), 2)), columns=["first", "second"])
    pairs["same"] = who[pairs["first"]] == who[pairs["second"]]
    listed = calibrate(net, faces, false_match_rate=0.02, resamples=20, seed=3, pairs=pairs)
    assert listed.pairs == "table"
    for name in (
        "threshold",
        "lower",
        "upper",
        "false_non_match_rate",
        "fnmr_upper",
        "slope",
        "n_nonmate_pairs",
    ):
        assert getattr(listed, name) == pytest.approx(getattr(found, name), abs=1e-6), name


def test_a_protocol_leaves_other_images_out(net, faces):
    who = faces.table["identity"].to_numpy()
    pairs = [(i, j) for i, j in combinations(range(len(faces)), 2) if i > 3]
    table = pd.DataFrame(pairs, columns=["first", "second"])
    listed = calibrate(net, faces, false_match_rate=0.05, resamples=5, pairs=table)
    assert listed.n_images == len(faces) - 4
    assert listed.n_mate_pairs == sum(who[i] == who[j] for i, j in pairs)


def test_logistic_equals_a_regression_on_every_pair(net, faces, found):
    embedded = embeddings(net, faces).double().numpy()
    who = faces.table["identity"].to_numpy()
    first, second = np.triu_indices(len(who), 1)
    score, same = (embedded[first] * embedded[second]).sum(axis=1), who[first] == who[second]
    m, n = same.sum(), (~same).sum()
    truth = np.where(same, (m + 1) / (m + 2), 1 / (n + 2))
    half = np.where(same, 0.5 / m, 0.5 / n)
    fit = LogisticRegression(C=1e9, tol=1e-10, max_iter=1000).fit(
        np.tile(score, 2)[:, None],
        np.repeat([1, 0], len(score)),
        sample_weight=np.concatenate([half * truth, half * (1 - truth)]),
    )
    assert found.slope == pytest.approx(fit.coef_[0, 0], rel=2e-3)
    assert found.intercept == pytest.approx(fit.intercept_[0], rel=5e-3)
    assert found.probability(1.0) > 0.5 > found.probability(-1.0)


def test_pairs_that_a_threshold_parts_have_a_finite_slope(net):
    apart = calibrate(net, people((4, 4, 4), noise=1.0), false_match_rate=0.1, resamples=5)
    assert apart.false_non_match_rate == 0
    assert 0 < apart.slope < 1000


def test_target_and_card(net, faces, found):
    x = net.prepare(faces.images([0, 1]))
    reference_embedding = net.embed(x)[1]
    similarity = net.embed(x) @ reference_embedding
    target = found.target(reference_embedding)
    assert target(net, x).tolist() == pytest.approx(found.probability(similarity.detach().numpy()), abs=1e-6)
    assert found.matches(similarity).tolist()[1] is True
    assert found.card(net).threshold == found.threshold
    assert net.card.threshold is None
    with pytest.raises(NetworkError, match="with other weights than 'flat"):
        found.card(net.randomized())


def test_table(found):
    table = found.table
    assert list(table) == ["network", "metric", "value", "lower", "upper", "n"]
    assert table["metric"].tolist() == ["threshold", "false match rate", "false non-match rate"]
    assert table["value"].tolist() == [
        found.threshold,
        found.reached_false_match_rate,
        found.false_non_match_rate,
    ]


def test_round_trip(found, tmp_path):
    found.save(tmp_path / "deep" / "calibration.json")
    assert Calibration.load(tmp_path / "deep" / "calibration.json") == found


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda held: held.pop("slope"), r"in one only: \['slope'\]"),
        (lambda held: held.update(threshold="high"), "'threshold' of a calibration is no 'high'"),
        (lambda held: held.update(n_images=True), "'n_images' of a calibration is no True"),
    ],
)
def test_other_files_are_no_calibration(found, tmp_path, change, text):
    found.save(tmp_path / "c.json")
    held = json.loads((tmp_path / "c.json").read_text())
    change(held)
    (tmp_path / "c.json").write_text(json.dumps(held))
    with pytest.raises(DataError, match=text):
        Calibration.load(tmp_path / "c.json")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_unreadable_files(tmp_path, text):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match=r"c\.json' (is no readable|holds no) calibration"):
        Calibration.load(tmp_path / "c.json")
    with pytest.raises(DataError, match="is no readable calibration"):
        Calibration.load(tmp_path / "none.json")


def test_a_rate_finer_than_the_pairs_support(net):
    faces = people((2, 2, 2, 2))  # 24 pairs of two people
    with pytest.raises(DataError) as error:
        calibrate(net, faces, false_match_rate=1e-3)
    assert (
        "0.001 cannot be seen in 24 pairs of two people: 0.024 false matches are expected, and 3 are"
        in str(error.value)
    )
    assert "support rates from 0.13;" in str(error.value)
    assert calibrate(net, faces, false_match_rate=0.13, resamples=5).reached_false_match_rate <= 0.13
    assert calibrate(net, faces, false_match_rate=3 / 24, resamples=5).reached_false_match_rate == 3 / 24


def test_people_nobody_knows_are_left_out(net):
    faces = people((3, 3, 3, 4), names=["a", "b", "c", None])
    found = calibrate(net, faces, false_match_rate=0.2, resamples=5)
    assert (found.n_images, found.n_identities, found.n_mate_pairs, found.n_nonmate_pairs) == (9, 3, 9, 27)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ((1, 1, 1), "pairs of one person and of two; 'planted' gives 0 and 3"),
        ((4,), "gives 6 and 0"),
    ],
)
def test_sets_without_either_kind_of_pair(net, counts, text):
    with pytest.raises(DataError, match=text):
        calibrate(net, people(counts), false_match_rate=0.5)


def test_sets_without_identities(net):
    bare = FaceSet.from_arrays(np.zeros((4, 3, SIDE, SIDE), np.uint8), name="bare")
    with pytest.raises(DataError, match="'bare' have no identities, so nobody knows which pairs match"):
        calibrate(net, bare)
    with pytest.raises(DataError, match="gives 0 and 0"):
        calibrate(net, people((3,), names=[None]), false_match_rate=0.5)


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan"), "low", True, None])
def test_rates_that_are_none(net, faces, rate):
    with pytest.raises(DataError, match=r"A false match rate is a number in \(0, 1\)"):
        calibrate(net, faces, false_match_rate=rate)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"resamples": 1}, "'resamples' of a calibration must be an int of at least 2; got 1"),
        ({"pairs": "some"}, "'pairs' must be 'all' or a table with columns first and second; got 'some'"),
        ({"pairs": pd.DataFrame({"a": [1]})}, r"the columns 'first' and 'second' .*got \['a'\]"),
        ({"pairs": pd.DataFrame({"first": [0], "second": [99]})}, "row 99 of a set of 31 images"),
        ({"pairs": pd.DataFrame({"first": [-1], "second": [2]})}, "row -1 of a set"),
        ({"pairs": pd.DataFrame({"first": [0.5], "second": [2.0]})}, "whole numbers"),
        ({"pairs": pd.DataFrame({"first": [], "second": []}, dtype=int)}, "one pair at least"),
        ({"pairs": pd.DataFrame({"first": [3], "second": [3]})}, "'3' is paired with itself"),
    ],
)
def test_options_that_cannot_be(net, faces, options, text):
    with pytest.raises(DataError, match=text):
        calibrate(net, faces, false_match_rate=0.05, **options)


def test_pairs_that_contradict_the_identities(net, faces):
    who = faces.table["identity"].to_numpy()
    second = int(np.flatnonzero(who != who[0])[0])
    pairs = pd.DataFrame({"first": [0], "second": [second], "same": [True]})
    with pytest.raises(
        DataError, match=f"is said to show one person, but the set says '{who[0]}' and '{who[second]}'"
    ):
        calibrate(net, faces, pairs=pairs)


def test_pairs_of_nobody_known(net):
    faces = people((3, 3), names=["a", None])
    nobody = int(np.flatnonzero(faces.table["identity"].isna())[0])
    pairs = pd.DataFrame({"first": [nobody], "second": [nobody - 1 if nobody else 1]})
    with pytest.raises(DataError, match="1 pairs hold an image of nobody known"):
        calibrate(net, faces, pairs=pairs)


def test_embeddings(net, faces):
    seen = []
    some = np.array([7, 0, 3])
    embedded = embeddings(
        net, faces, indices=some, batch_size=2, progress=lambda done, total: seen.append((done, total))
    )
    with torch.no_grad():
        assert torch.allclose(embedded, net.embed(net.prepare(faces.images(some))), atol=1e-6)
    assert seen == [(2, 3), (3, 3)]
    assert not embedded.requires_grad
    assert embeddings(net, faces, indices=np.array([], dtype=int)).shape[0] == 0


def test_networks_without_embeddings(net, faces):
    logits = FaceNetwork(net.module, net.card.replace(head="logits"))
    with pytest.raises(NetworkError, match="'flat' gives logits, not embeddings"):
        embeddings(logits, faces)
    with pytest.raises(NetworkError, match="not embeddings"):
        calibrate(logits, faces, false_match_rate=0.1)


def test_an_embedding_of_length_0_names_its_image(net):
    images = torch.full((3, 3, SIDE, SIDE), 200, dtype=torch.uint8)
    images[1] = 0  # becomes 0 with this mean
    zero = FaceNetwork(net.module, net.card.replace(mean=(0.0,) * 3))
    with pytest.raises(NetworkError, match="an embedding of length 0, which has no direction, for image '1'"):
        embeddings(zero, FaceSet.from_arrays(images))


def test_the_network_is_left_as_it_was(faces):
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(48), nn.Linear(48, 8))
    module.train()
    net = FaceNetwork(module, NetworkCard(name="n", input_size=(SIDE, SIDE)))
    before = net.digest()
    calibrate(net, faces, false_match_rate=0.05, resamples=3)
    assert net.digest() == before
    assert all(m.training for m in module.modules())
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert not any(m._forward_hooks for m in module.modules())
