"""A network supervised for all attributes together, on images in which they are drawn."""

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fusiform.errors import DataError, NetworkError, RunError, SpecError
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.networks.training import feature_layer, train_multitask
from fusiform.networks.training._tasks import Task, answers, mean_loss, read_tasks
from fusiform.statistics import roc_auc

TRAIN, VALID, TEST = np.arange(360), np.arange(360, 440), np.arange(440, 600)


class Tiny(nn.Module):
    """Batch norm and drop-out, so that state and chance matter."""

    def __init__(self, outputs: int = 12) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 5, 4, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(6)
        )
        self.drop = nn.Dropout(0.1)
        self.fc = nn.Linear(288, outputs)

    def forward(self, x):
        return self.fc(self.drop(self.body(x).flatten(1)))


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return FaceNetwork(Tiny(), NetworkCard(name="tiny", input_size=(48, 48)))


@pytest.fixture(scope="module")
def labels(planted_faces):
    table = planted_faces.table
    glasses = table.Eyeglasses.to_numpy(dtype=float)
    glasses[::7] = np.nan
    return {
        "Eyeglasses": ("binary", glasses),
        "both": (
            "categorical",
            table.Eyeglasses.to_numpy(dtype=float) + 2 * table.Smiling.to_numpy(dtype=float),
            4,
        ),
        "yaw": ("continuous", 100.0 + table.yaw.to_numpy()),
        "shuffled": ("binary", table.shuffled.to_numpy(dtype=float)),
    }


@pytest.fixture(scope="module")
def train(net, planted_faces, labels):
    def run(out, **options):
        given = {"epochs": 8, "learning_rate": 0.01, "batch_size": 32, "seed": 3} | options
        return train_multitask(given.pop("network", net), planted_faces, labels, TRAIN, VALID, out, **given)

    return run


@pytest.fixture(scope="module")
def whole(train, tmp_path_factory):
    return train(tmp_path_factory.mktemp("multitask") / "whole")


def weights(result):
    return load_file(result.folder / "seed_3" / "best.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


class StoppedError(Exception):
    pass


class StopAt:
    """A progress that ends the training after a number of steps."""

    def __init__(self, step):
        self.step = step

    def task(self, description):
        def progress(done, total):
            if "reading" not in description and done == self.step:
                raise StoppedError

        return progress


def test_what_is_in_the_pixels_is_learnt_and_what_is_shuffled_is_not(whole, planted_faces, labels):
    found = whole.predict(planted_faces, TEST)
    truth = {name: given[1][TEST] for name, given in labels.items()}
    glasses = planted_faces.table.Eyeglasses.to_numpy(dtype=float)[TEST]
    assert (found["Eyeglasses"].argmax(axis=1) == glasses).mean() > 0.95
    assert (found["both"].argmax(axis=1) == truth["both"]).mean() > 0.9
    assert np.corrcoef(found["yaw"], truth["yaw"])[0, 1] > 0.9
    assert abs(found["yaw"].mean() - 100) < 5
    positive = truth["shuffled"] == 1
    score = found["shuffled"][:, 1]
    assert 0.35 < roc_auc(score[positive], score[~positive]) < 0.65


def test_the_epoch_of_the_highest_validation_score_is_kept(whole, planted_faces, labels):
    assert whole.table.epoch.tolist() == list(range(1, 9))
    assert whole.best_epoch == whole.table.epoch[whole.table.score.idxmax()]
    found = whole.predict(planted_faces, VALID)
    scores = []
    for name, (kind, values, *_) in labels.items():
        known = VALID[np.isfinite(values[VALID])]
        answer, truth = found[name][known - VALID[0]], values[known]
        if kind == "continuous":
            scores.append(1 - ((truth - answer) ** 2).mean() / truth.var())
        else:
            scores.append((answer.argmax(axis=1) == truth).mean())
    assert np.mean(scores) == pytest.approx(whole.table.score.max(), abs=1e-5)


def test_an_interrupted_training_ends_in_the_same_weights(train, whole, tmp_path, planted_faces):
    for step in (5, 30, 31):  # in the first epoch, in the third, and in what was begun again
        with pytest.raises(StoppedError):
            train(tmp_path / "t", progress=StopAt(step))
    result = train(tmp_path / "t")
    assert same(weights(result), weights(whole))
    np.testing.assert_array_equal(result.table, whole.table)
    assert not (tmp_path / "t" / "seed_3" / "state.safetensors").exists()


def test_a_finished_training_is_read(train, whole, planted_faces):
    again = train(whole.folder, progress=StopAt(1))  # would stop if it trained
    assert same(weights(again), weights(whole))
    assert (again.name, again.best_epoch) == ("tiny (multitask, finetune)", whole.best_epoch)
    one, other = again.predict(planted_faces, TEST), whole.predict(planted_faces, TEST)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_another_seed_is_another_training_and_another_request_another_folder(train, whole, tmp_path):
    one = train(tmp_path / "one", epochs=1, seed=4)
    other = train(tmp_path / "other", epochs=1, seed=4)
    assert same(*(load_file(r.folder / "seed_4" / "best.safetensors") for r in (one, other)))
    third = train(tmp_path / "third", epochs=1)
    assert third.table.loss[0] != one.table.loss[0]
    with pytest.raises(RunError, match=r"asked something else \(recipe.epochs: 8 there, 9 asked\)"):
        train(whole.folder, epochs=9)


def test_the_network_it_began_from_stays_as_it_was(train, net, tmp_path):
    module = copy.deepcopy(net.module).train()
    module.body[0].weight.requires_grad_(False)
    frozen = FaceNetwork(module, net.card)
    before = frozen.digest()
    result = train(tmp_path / "t", network=frozen, epochs=1)
    assert frozen.digest() == before
    assert all(m.training for m in module.modules())
    assert [n for n, p in module.named_parameters() if not p.requires_grad] == ["body.0.weight"]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    assert all(p.grad is None for p in module.parameters())
    # All weights of the copy were trained, the frozen ones too.
    changed = weights(result)
    assert not torch.equal(changed["trunk.body.0.weight"], module.body[0].weight)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in result.model.modules())


def test_finetuning_begins_from_the_weights_and_scratch_does_not(train, net, tmp_path):
    own = net.module.state_dict()
    for start, alike in (("finetune", True), ("scratch", False)):
        result = train(tmp_path / start, start=start, epochs=1, learning_rate=1e-9)
        assert torch.allclose(weights(result)["trunk.fc.weight"], own["fc.weight"], atol=1e-5) == alike
        assert result.name == f"tiny (multitask, {start})"
    # Batch norm runs in training mode: its statistics follow the faces.
    assert not torch.equal(weights(result)["trunk.body.1.running_mean"], own["body.1.running_mean"])


def test_before_anything_is_learnt_the_answer_is_the_frequency(train, planted_faces, labels, tmp_path):
    found = train(tmp_path / "t", epochs=1, learning_rate=1e-9).predict(planted_faces, TEST)
    glasses, both, yaw = (labels[name][1][TRAIN] for name in ("Eyeglasses", "both", "yaw"))
    known = glasses[np.isfinite(glasses)]
    np.testing.assert_allclose(found["Eyeglasses"][:, 1], (known.sum() + 1) / (len(known) + 2), atol=1e-4)
    frequencies = [((both == k).sum() + 1) / (len(both) + 4) for k in range(4)]
    np.testing.assert_allclose(found["both"], np.tile(frequencies, (len(TEST), 1)), atol=1e-4)
    np.testing.assert_allclose(found["yaw"], yaw.mean(), rtol=1e-4)


def test_of_a_classifier_the_layer_before_its_logits_is_read(train, tmp_path):
    module = Tiny(outputs=2)
    net = FaceNetwork(module, NetworkCard(name="sex", input_size=(48, 48), head="logits"))
    assert feature_layer(net).name == "body.3"
    result = train(tmp_path / "t", network=net, epochs=1)
    assert weights(result)["head.linear.weight"].shape == (1 + 4 + 1 + 1, 288)
    assert torch.equal(weights(result)["trunk.fc.weight"], module.fc.weight)


def test_predictions_do_not_depend_on_the_batch(whole, planted_faces):
    one = whole.predict(planted_faces, TEST[:9], batch_size=9)
    other = whole.predict(planted_faces.subset(TEST[:9]), batch_size=2)
    for name, kind in (("Eyeglasses", 2), ("both", 4), ("yaw", None)):
        assert one[name].shape == ((9, kind) if kind else (9,))
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5, atol=1e-6)
        if kind:
            np.testing.assert_allclose(one[name].sum(axis=1), 1)
    assert whole.predict(planted_faces, np.zeros(0, dtype=int))["both"].shape == (0, 4)


def test_the_loss_is_the_mean_over_labels_that_are_known():
    rng = np.random.default_rng(0)
    values = np.stack([rng.integers(2, size=20), rng.integers(3, size=20), rng.normal(5, 2, 20)], axis=1)
    values[rng.random((20, 3)) < 0.4] = np.nan
    given = {
        "a": ("binary", values[:, 0]),
        "b": ("categorical", values[:, 1], 3),
        "c": ("continuous", values[:, 2]),
    }
    tasks, read = read_tasks(given, 20, np.arange(20))
    np.testing.assert_array_equal(read, values)
    outputs = rng.normal(size=(20, 5))
    mean, deviation = np.nanmean(values[:, 2]), np.nanstd(values[:, 2])
    terms = []
    for out, (a, b, c) in zip(outputs, values, strict=True):
        if np.isfinite(a):
            p = 1 / (1 + np.exp(-out[0]))
            terms.append(-np.log(p if a else 1 - p))
        if np.isfinite(b):
            terms.append(-np.log(np.exp(out[1:4])[int(b)] / np.exp(out[1:4]).sum()))
        if np.isfinite(c):
            terms.append((out[4] - (c - mean) / deviation) ** 2)
    loss = mean_loss(tasks, torch.from_numpy(outputs), torch.from_numpy(values))
    assert float(loss) == pytest.approx(np.mean(terms))
    assert float(mean_loss(tasks, torch.from_numpy(outputs), torch.full((20, 3), np.nan))) == 0
    found = answers(tasks, torch.from_numpy(outputs))
    np.testing.assert_allclose(found["a"][:, 1], 1 / (1 + np.exp(-outputs[:, 0])))
    np.testing.assert_allclose(found["c"], outputs[:, 4] * deviation + mean)


def test_scores_leave_out_what_is_unknown_or_cannot_be_scored():
    task = Task("a", "binary", (0.0,))
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    assert task.score(probabilities, np.array([0, 0, np.nan])) == 0.5
    assert np.isnan(task.score(probabilities, np.full(3, np.nan)))
    assert np.isnan(Task("c", "continuous", (0.0,)).score(np.zeros(3), np.ones(3)))


def test_images_are_mirrored_only_where_no_attribute_can_have_a_side(net, planted_faces, labels, tmp_path):
    def asked(given, **options):
        out = tmp_path / f"{len(given)}{options}"
        result = train_multitask(
            net, planted_faces, given, TRAIN[:4], [], out, epochs=1, batch_size=4, **options
        )
        assert np.isnan(result.table.score).all()
        assert result.best_epoch == 1
        return json.loads((out / "training.json").read_text())["request"]["recipe"]["flip"]

    binary = {"Eyeglasses": labels["Eyeglasses"], "shuffled": labels["shuffled"]}
    assert asked(binary) == 0.5
    assert asked(labels) == 0.0
    assert asked(labels, flip=True) == 0.5


N = 600


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"start": "warm"}, SpecError, r"'start' must be 'finetune' or 'scratch'; got 'warm'\."),
        (
            {"epochs": 0},
            SpecError,
            r"'epochs' of the recipe 'multitask' must be a whole number of at least 1; got 0",
        ),
        ({"batch_size": 1}, SpecError, r"'batch_size' must be at least 2, for batch norm"),
        ({"train_rows": []}, DataError, r"no training faces; 'train_rows' is empty"),
        ({"valid_rows": [3, 700]}, DataError, r"'valid_rows' names face 700 of a set of 600"),
        (
            {"valid_rows": [359, 360]},
            DataError,
            r"1 faces are in both .* among them face 359\. Validation must",
        ),
        ({"labels": {}}, DataError, r"No attribute was given to learn"),
        (
            {"labels": {"a": ("ordinal", np.zeros(N))}},
            DataError,
            r"'a' can be binary, categorical, .*; got 'ordinal'",
        ),
        (
            {"labels": {"a": ("binary", np.zeros(5))}},
            DataError,
            r"'a' has values of shape \(5,\) for 600 faces",
        ),
        (
            {"labels": {"a": ("binary", np.full(N, -1.0))}},
            DataError,
            r"numbers from 0 to 1, .* got the value -1",
        ),
        ({"labels": {"a": ("categorical", np.zeros(N), 1)}}, DataError, r"from 0 to 1, NaN .* got 1 classes"),
        (
            {"labels": {"a": ("binary", np.full(N, np.nan))}},
            DataError,
            r"'a' is known of none of the 360 training",
        ),
    ],
)
def test_bad_input_is_said(net, planted_faces, labels, tmp_path, changed, error, text):
    given = {"labels": labels, "train_rows": TRAIN, "valid_rows": VALID} | changed
    with pytest.raises(error, match=text):
        train_multitask(net, planted_faces, out=tmp_path / "t", **given)
    assert not (tmp_path / "t").exists()


def test_faces_of_several_sizes_are_refused(net, tmp_path):
    faces = FaceSet.from_arrays([torch.zeros(3, k, 48, dtype=torch.uint8) for k in (48, 50)])
    with pytest.raises(DataError, match=r"'arrays' differ in size\. Frame them for the network first"):
        train_multitask(net, faces, {"a": ("binary", np.array([0.0, 1.0]))}, [0, 1], [], tmp_path / "t")


def test_a_loss_that_is_no_number_ends_the_training(train, tmp_path):
    with pytest.raises(
        NetworkError,
        match=r"no longer a number after step \d+ .* smaller learning_rate or another 'start'.*another folder",
    ):
        train(tmp_path / "t", learning_rate=1e30)
