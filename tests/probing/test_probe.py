import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.cross_decomposition import PLSRegression
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score, r2_score

from fusiform.errors import DataError, LayerError, NetworkError, SpecError
from fusiform.faces import Attribute
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.probing import best_layers, probe_layers, sample
from fusiform.runs import Run

LAYERS = ["stage2", "pool"]
ATTRIBUTES = ["Eyeglasses", "Smiling", "yaw"]
ENTIRE = {"units": ("layer",), "scale": "pooled"}


@pytest.fixture(scope="module")
def faces(planted_faces):
    return planted_faces


@pytest.fixture(scope="module")
def net(small_net):
    return small_net


@pytest.fixture(scope="module")
def table(net, faces):
    return probe_layers(net, faces, ATTRIBUTES, LAYERS, n_train=200, n_valid=80, **ENTIRE)


def value(table, layer, attribute, split, metric):
    rows = table[
        (table.layer == layer)
        & (table.attribute == attribute)
        & (table.split == split)
        & (table.metric == metric)
    ]
    (row,) = rows.itertuples()
    return row.value


@pytest.mark.parametrize("layer", LAYERS)
def test_equal_to_scikit_learn_on_whole_activations(net, faces, table, layer):
    """The reference holds everything in memory and fits one PLSRegression an attribute."""
    X = net.activations(net.prepare(faces.images()), [layer])[layer].detach().flatten(1).double().numpy()
    sampling = sample(faces, ATTRIBUTES, n_train=200, n_valid=80)
    pool = X[sampling.pool]
    squares = (pool - pool.mean(axis=0)) ** 2
    alive = (squares.sum(axis=0) > 0) & (squares.max(axis=0) <= 0.5 * squares.sum(axis=0))
    X = (X - pool.mean(axis=0)) / np.where(alive, pool.std(axis=0, ddof=1), np.inf)
    for draw in sampling.draws:
        y = draw.values[draw.train]
        fit = PLSRegression(n_components=8, scale=False, tol=1e-15).fit(X[draw.train], y)
        for split, rows in (("valid", draw.valid), ("test", draw.test)):
            truth = draw.values[rows]
            T = fit.transform(X[draw.train])
            # No score counts for more than that of any training image.
            own = fit.transform(X[rows]).clip(T.min(axis=0), T.max(axis=0))
            if draw.kind == "continuous":
                expected = r2_score(truth, y.mean() + own @ fit.y_loadings_[0])
                assert value(table, layer, draw.attribute, split, "r2") == pytest.approx(expected, abs=2e-3)
                continue
            # Classes that are all but separable need the same regularisation, of scores of the same scale.
            qda = QuadraticDiscriminantAnalysis(priors=[0.5, 0.5], reg_param=1e-6, tol=0).fit(T / T.std(0), y)
            answer = qda.predict(own / T.std(0))
            expected = balanced_accuracy_score(truth, answer)
            got = value(table, layer, draw.attribute, split, "balanced_accuracy")
            # Float32 may turn one image that lies on the boundary.
            assert got == pytest.approx(expected, abs=1.01 / (2 * min(np.bincount(truth.astype(int)))))


def test_columns_and_intervals(table):
    lead = [
        "network",
        "layer",
        "depth",
        "role",
        "block",
        "features",
        "unit_kind",
        "unit",
        "vip",
        "regularisation",
        "attribute",
        "kind",
    ]
    assert list(table.columns) == [
        *lead, "split", "metric", "value", "lower", "upper", "chance", "n", "n_identities",
    ]  # fmt: skip
    assert (table.lower <= table.value).all()
    assert (table.value <= table.upper).all()
    assert (table.chance[table.metric == "balanced_accuracy"] == 0.5).all()
    assert set(table.metric[table.kind == "continuous"]) == {"r2", "mae"}
    assert set(table.split) == {"valid", "test"}


def test_what_is_planted_is_found_and_what_is_shuffled_is_not(net, faces):
    probes = probe_layers(net, faces, ["Eyeglasses", "shuffled", "yaw", "noise"], ["stage2"], **ENTIRE)
    test = probes[probes.split == "test"].set_index(["attribute", "metric"])
    assert test.loc[("Eyeglasses", "balanced_accuracy"), "value"] > 0.95
    assert test.loc[("Eyeglasses", "balanced_accuracy"), "lower"] > 0.85
    assert test.loc[("yaw", "r2"), "lower"] > 0.4
    row = test.loc[("shuffled", "balanced_accuracy")]
    assert row.lower - 0.05 < 0.5 < row.upper + 0.05
    assert test.loc[("noise", "r2"), "value"] < 0.1


def test_memory_and_scratch_disk_give_the_same_numbers(net, faces, table, tmp_path):
    spilled = probe_layers(
        net, faces, ATTRIBUTES, LAYERS, n_train=200, n_valid=80, memory_gb=0.14, scratch=tmp_path, **ENTIRE
    )
    np.testing.assert_allclose(spilled.value, table.value, atol=5e-3)
    assert list(tmp_path.iterdir()) == []


def test_finished_layers_are_not_computed_again(net, faces, table, tmp_path, monkeypatch):
    run = Run.start(tmp_path / "run", {"study": "test"})
    first = probe_layers(net, faces, ATTRIBUTES, LAYERS[:1], n_train=200, n_valid=80, run=run, **ENTIRE)
    streamed = []
    from fusiform.activations import _open

    inner = _open.stream
    monkeypatch.setattr(_open, "stream", lambda *a, **k: streamed.append(a[2]) or inner(*a, **k))
    both = probe_layers(net, faces, ATTRIBUTES, LAYERS, n_train=200, n_valid=80, run=run, **ENTIRE)
    assert streamed == [("pool",)]
    pd.testing.assert_frame_equal(both[both.layer == LAYERS[0]].reset_index(drop=True), first)
    np.testing.assert_allclose(both.value, table.value, atol=1e-6)


def test_a_run_folder_never_answers_another_question(net, faces, tmp_path):
    run = Run.start(tmp_path / "run", {"study": "test"})
    options = {"n_train": 200, "n_valid": 80, **ENTIRE}
    first = probe_layers(net, faces, ["Eyeglasses"], ["fc"], run=run, **options)
    other = probe_layers(net, faces, ["Smiling"], ["fc"], run=run, **options)
    assert set(first.attribute) == {"Eyeglasses"}
    assert set(other.attribute) == {"Smiling"}
    fewer = probe_layers(net, faces, ["Eyeglasses"], ["fc"], run=run, n_components=1, **options)
    assert not np.allclose(fewer.value, first.value)
    twin = net.randomized(1)
    twin.card = net.card
    assert not np.allclose(
        probe_layers(twin, faces, ["Eyeglasses"], ["fc"], run=run, **options).value, first.value
    )
    again = probe_layers(net, faces, ["Eyeglasses"], ["fc"], run=run, **options)
    pd.testing.assert_frame_equal(again, first)


def test_a_part_that_is_lost_is_computed_again(net, faces, tmp_path):
    run = Run.start(tmp_path / "run", {"study": "test"})
    options = {"n_train": 200, "n_valid": 80, "run": run, **ENTIRE}
    first = probe_layers(net, faces, ["Eyeglasses"], ["fc"], **options)
    (lost,) = (tmp_path / "run" / "parts").glob("*@probes*")
    lost.unlink()
    pd.testing.assert_frame_equal(probe_layers(net, faces, ["Eyeglasses"], ["fc"], **options), first)


def test_a_network_with_one_number_an_image(faces):
    class Score(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = torch.nn.AdaptiveAvgPool2d(4)
            self.fc = torch.nn.Linear(48, 1)

        def forward(self, x):
            return torch.sigmoid(self.fc(self.pool(x).flatten(1)).squeeze(1))

    score = FaceNetwork(Score(), NetworkCard(name="score", input_size=(48, 48), head="logits"))
    probes = probe_layers(score, faces, ["Eyeglasses"], n_train=200)
    assert {"fc", "sigmoid"} <= set(probes.layer)
    assert np.isfinite(probes[probes.metric == "balanced_accuracy"].value).all()


def test_a_layer_asked_for_twice_is_probed_once(net, faces):
    options = {"n_train": 200, **ENTIRE}
    once = probe_layers(net, faces, ["Eyeglasses"], ["fc"], **options)
    pd.testing.assert_frame_equal(probe_layers(net, faces, ["Eyeglasses"], ["fc", "fc"], **options), once)
    with pytest.raises(SpecError, match="No layer was asked for"):
        probe_layers(net, faces, ["Eyeglasses"], [])


def test_more_than_two_classes(net, faces):
    third = pd.cut(faces.table.yaw.astype(float), 3, labels=["left", "front", "right"]).astype("string")
    turned = faces.with_attribute("pose", third.to_numpy(), Attribute(kind="categorical"))
    probes = probe_layers(net, turned, ["pose"], ["stage2"], n_train=300, **ENTIRE)
    row = probes[(probes.split == "test") & (probes.metric == "balanced_accuracy")].iloc[0]
    assert row.chance == pytest.approx(1 / 3)
    assert row.value > 0.8


def test_best_layer_is_chosen_on_validation_and_scored_on_test(table):
    control = table.copy()
    control["value"] -= 0.1
    probes = pd.concat([table.assign(control=False), control.assign(control=True)])
    best = best_layers(probes).set_index("attribute")
    for attribute in ATTRIBUTES:
        metric = best.metric[attribute]
        valid = {layer: value(table, layer, attribute, "valid", metric) for layer in LAYERS}
        chosen = max(valid, key=valid.get)
        assert best.layer[attribute] == chosen
        assert best.value[attribute] == value(table, chosen, attribute, "test", metric)
        assert best.control_value[attribute] == pytest.approx(best.value[attribute] - 0.1)


def test_a_layer_that_never_varies_is_at_chance(faces):
    class Deaf(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = torch.nn.AdaptiveAvgPool2d(1)
            self.fc = torch.nn.Linear(3, 4)
            torch.nn.init.zeros_(self.fc.weight)

        def forward(self, x):
            return self.fc(self.pool(x).flatten(1))

    deaf = FaceNetwork(Deaf(), NetworkCard(name="deaf", input_size=(48, 48)))
    probes = probe_layers(deaf, faces, ["Eyeglasses", "yaw"], ["fc"], n_train=200, **ENTIRE)
    test = probes[probes.split == "test"].set_index("metric")
    assert test.value["balanced_accuracy"] == 0.5
    assert test.value["auc"] == 0.5
    assert test.value["r2"] == pytest.approx(0, abs=0.05)


def test_errors(net, faces):
    with pytest.raises(LayerError, match="stage2"):
        probe_layers(net, faces, ["Smiling"], ["stag2"])
    with pytest.raises(DataError, match="did you mean 'Smiling'"):
        probe_layers(net, faces, ["Smilin"], ["pool"])
    with pytest.raises(SpecError, match="n_components >= 1"):
        probe_layers(net, faces, ["Smiling"], ["pool"], n_components=0)


def test_activations_that_are_not_finite_name_layer_and_image(faces):
    class Bad(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = torch.nn.AdaptiveAvgPool2d(1)
            self.log = torch.nn.LogSigmoid()

        def forward(self, x):
            return self.log(self.pool(x).flatten(1) * torch.nan)

    bad = FaceNetwork(Bad(), NetworkCard(name="bad", input_size=(48, 48)))
    with pytest.raises(NetworkError, match=r"Layer 'log' of 'bad' gives NaN.*image '.+'"):
        probe_layers(bad, faces, ["Smiling"], ["log"], n_train=200)
