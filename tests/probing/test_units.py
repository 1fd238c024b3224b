import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.cross_decomposition import PLSRegression
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score

from fusiform.errors import SpecError
from fusiform.faces import Attribute, FaceSet
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.probing import fit_probes, probe_network, sample
from fusiform.probing._units import best_channels, neuron_name, spread_neurons

ATTRIBUTES = ["Eyeglasses", "Smiling", "yaw"]
LAYERS = ["stage2", "fc"]
DRAW = {"n_train": 200, "n_valid": 80}


@pytest.fixture(scope="module")
def sampling(planted_faces):
    return sample(planted_faces, ATTRIBUTES, **DRAW)


@pytest.fixture(scope="module")
def probes(small_net, planted_faces, sampling):
    return probe_network(small_net, planted_faces, layers=LAYERS, sampling=sampling, vip_neurons=20)


@pytest.fixture(scope="module")
def activations(small_net, planted_faces):
    x = small_net.prepare(planted_faces.images())
    found = small_net.activations(x, LAYERS)
    return {name: tensor.detach().flatten(1).double().numpy() for name, tensor in found.items()}


def of(table, layer, attribute, unit_kind, split="valid", metric="balanced_accuracy"):
    return table[
        (table.layer == layer)
        & (table.attribute == attribute)
        & (table.unit_kind == unit_kind)
        & (table.split == split)
        & (table.metric == metric)
    ]


def importance(X, y):
    fit = PLSRegression(8, tol=1e-15, max_iter=20000).fit(X, y)
    explained = (fit.x_scores_**2).sum(axis=0) * (fit.y_loadings_**2).sum(axis=0)
    return np.sqrt(X.shape[1] * (fit.x_weights_**2 @ (explained / explained.sum())))


def test_channels_and_neurons_are_those_of_highest_importance(probes, activations, sampling):
    draw = sampling.draws[0]
    X = activations["stage2"][draw.train]
    vip = importance(X[:, X.std(axis=0) > 0], draw.values[draw.train])
    whole = np.zeros(X.shape[1])
    whole[X.std(axis=0) > 0] = vip * np.sqrt(X.shape[1] / len(vip))
    neurons = of(probes.table, "stage2", draw.attribute, "neuron")
    best = np.argsort(-whole, kind="stable")[:8]
    np.testing.assert_allclose(neurons.vip, whole[best], rtol=1e-3)
    assert neurons.unit.iloc[0] == neuron_name(best[0], (8, 12, 12))
    channels = of(probes.table, "stage2", draw.attribute, "channel")
    means = whole.reshape(8, -1).mean(axis=1)
    np.testing.assert_allclose(channels.vip, np.sort(means)[::-1], rtol=1e-3)
    assert channels.unit.tolist() == [str(c) for c in np.argsort(-means)]


def test_a_channel_alone_equals_scikit_learn(probes, activations, sampling):
    draw = sampling.draws[1]
    row = of(probes.table, "stage2", draw.attribute, "channel").iloc[0]
    X = activations["stage2"].reshape(600, 8, -1)[:, int(row.unit)]
    X = X[:, X[draw.train].std(axis=0) > 0]
    y = draw.values[draw.train]
    fit = PLSRegression(8, tol=1e-15, max_iter=20000).fit(X[draw.train], y)
    T = fit.transform(X[draw.train])
    qda = QuadraticDiscriminantAnalysis(priors=[0.5, 0.5], reg_param=1e-6, tol=0).fit(T / T.std(0), y)
    truth = draw.values[draw.valid]
    expected = balanced_accuracy_score(truth, qda.predict(fit.transform(X[draw.valid]) / T.std(0)))
    assert row.value == pytest.approx(expected, abs=1.01 / (2 * min(np.bincount(truth.astype(int)))))


def test_neurons_alone_and_together_are_qda_without_pls(probes, activations, sampling):
    draw = sampling.draws[0]
    rows = of(probes.table, "fc", draw.attribute, "neuron")
    y, truth = draw.values[draw.train], draw.values[draw.valid]
    X = activations["fc"][:, rows.unit.astype(int)]
    Z = (X - X[draw.train].mean(axis=0)) / X[draw.train].std(axis=0)

    def accuracy(columns):
        qda = QuadraticDiscriminantAnalysis(priors=[0.5, 0.5], reg_param=1e-6, tol=0)
        answer = qda.fit(Z[draw.train][:, columns], y).predict(Z[draw.valid][:, columns])
        return balanced_accuracy_score(truth, answer)

    for place, row in enumerate(rows.itertuples()):
        assert row.value == pytest.approx(accuracy([place]), abs=1.01 / len(truth))
    (together,) = of(probes.table, "fc", draw.attribute, "neurons").itertuples()
    assert together.unit == "top8"
    assert together.value == pytest.approx(accuracy(list(range(8))), abs=1.01 / len(truth))


def test_what_is_planted_is_found_in_few_units(probes):
    for unit_kind, least in (("layer", 0.95), ("channels", 0.95), ("neurons", 0.9), ("neuron", 0.8)):
        rows = of(probes.table, "stage2", "Eyeglasses", unit_kind, "test")
        assert rows.value.max() > least, unit_kind


def test_fully_connected_layers_have_no_channels(probes):
    kinds = probes.table[probes.table.layer == "fc"].unit_kind.unique()
    assert set(kinds) == {"layer", "neurons", "neuron"}


def test_neurons_spread_over_importance(probes):
    for layer, features in (("stage2", 8 * 144), ("fc", 16)):
        for attribute in ATTRIBUTES:
            own = probes.neurons[(probes.neurons.layer == layer) & (probes.neurons.attribute == attribute)]
            assert len(own) == min(20, features)
            assert own.unit.is_unique
            counts = probes.histogram[
                (probes.histogram.layer == layer) & (probes.histogram.attribute == attribute)
            ]
            assert counts["count"].sum() == features
            assert own.vip.between(counts.low.min() - 1e-6, counts.high.max() + 1e-6).all()
    assert probes.neurons[probes.neurons.kind == "binary"].mean_activation.notna().all()
    assert probes.neurons[probes.neurons.kind == "continuous"].mean_activation.isna().all()


def test_mean_activation_is_that_of_positive_training_images(probes, activations, sampling):
    draw = sampling.draws[0]
    own = probes.neurons[(probes.neurons.layer == "fc") & (probes.neurons.attribute == draw.attribute)]
    positive = draw.train[draw.values[draw.train] == 1]
    expected = activations["fc"][positive][:, own.unit.astype(int)].mean(axis=0)
    np.testing.assert_allclose(own.mean_activation, expected, atol=1e-4)


def test_spread_is_even_and_never_twice():
    vip = torch.from_numpy(np.random.default_rng(0).exponential(size=5000)).float()
    chosen = spread_neurons(vip, 50, np.random.default_rng(1))
    assert len(set(chosen.tolist())) == 50
    values = np.sort(vip.numpy()[chosen])
    assert np.abs(np.histogram(values, bins=5, range=(0, float(vip.max())))[0] - 10).max() <= 8
    assert sorted(spread_neurons(vip[:7], 50, np.random.default_rng(1))) == list(range(7))
    best, means = best_channels(torch.tensor([1.0, 1.0, 5.0, 0.0]), (2, 1, 2), 8)
    assert best.tolist() == [1, 0]
    assert means.tolist() == [2.5, 1.0]


def test_names_of_neurons():
    assert neuron_name(17, (512,)) == "17"
    assert neuron_name(17, (512, 1, 1)) == "17"
    assert neuron_name(2 * 12 + 7, (3, 4, 3)) == "2[2,1]"


def test_further_draws_share_the_passes(small_net, planted_faces, sampling):
    shuffled = sampling.shuffled(seed=0)
    probes = probe_network(
        small_net,
        planted_faces,
        layers=["stage2"],
        sampling=sampling,
        units=("layer",),
        also={"shuffled": shuffled.draws},
    )
    truth = of(probes.table, "stage2", "Eyeglasses", "layer", "test").iloc[0]
    chance = of(probes.also["shuffled"], "stage2", "Eyeglasses", "layer", "test").iloc[0]
    assert truth.value > 0.95
    assert chance.lower - 0.05 <= 0.5 <= chance.upper + 0.05


@pytest.mark.parametrize("scale", ["subset", "pooled"])
def test_little_memory_gives_the_same(small_net, planted_faces, sampling, tmp_path, scale, monkeypatch):
    from fusiform.probing import _layer

    options = {"layers": ["stage2"], "sampling": sampling, "scale": scale, "vip_neurons": 5}
    roomy = probe_network(small_net, planted_faces, **options)
    monkeypatch.setattr(_layer, "_KEPT_SHARE", 1e-9)  # one attribute at a time
    tight = probe_network(small_net, planted_faces, **options, memory_gb=0.15, scratch=tmp_path)
    key = ["attribute", "unit"]
    pd.testing.assert_frame_equal(tight.neurons[key], roomy.neurons[key])
    key = ["attribute", "unit_kind", "unit", "split", "metric"]
    a, b = (p.table.sort_values(key).reset_index(drop=True) for p in (roomy, tight))
    assert a[key].equals(b[key])
    np.testing.assert_allclose(a.value, b.value, atol=1e-2)
    assert list(tmp_path.iterdir()) == []


def test_frozen_probes_answer_as_those_that_were_scored(small_net, planted_faces, sampling, probes):
    frozen = fit_probes(small_net, planted_faces, LAYERS, sampling=sampling)
    assert [layer.name for layer in frozen.layers] == LAYERS
    assert frozen.unit_kinds("stage2") == ("layer", "channels", "neurons")
    assert frozen.unit_kinds("fc") == ("layer", "neurons")
    for draw in sampling.draws:
        x = small_net.prepare(planted_faces.images(draw.test))
        for layer, tensor in small_net.activations(x, LAYERS).items():
            answers = frozen.answers(layer, tensor)
            for kind in frozen.unit_kinds(layer):
                answer = answers[kind, draw.attribute]
                truth = draw.values[draw.test]
                if draw.kind == "binary":
                    got = balanced_accuracy_score(truth, answer.argmax(axis=1))
                    expected = of(probes.table, layer, draw.attribute, kind, "test").value.item()
                else:
                    got = 1 - np.square(truth - answer).sum() / np.square(truth - truth.mean()).sum()
                    expected = of(probes.table, layer, draw.attribute, kind, "test", "r2").value.item()
                assert got == pytest.approx(expected, abs=0.02), (layer, kind, draw.attribute)
    vip = frozen.vip("fc", "Eyeglasses")
    assert np.square(vip).mean() == pytest.approx(1, abs=1e-4)


def test_a_unit_that_wakes_up_after_training_does_not_throw_the_probe_off():
    """Of a unit that fires in two training images next to not at all, other images see a million times as much."""
    rng = np.random.default_rng(3)
    n = 400
    images = np.full((n, 3, 8, 8), 100, dtype=np.uint8)
    yaw = rng.uniform(-30, 30, n)
    images[:, :, :4] += yaw.astype(np.int8).view(np.uint8)[:, None, None, None]
    images[:, 0, 7, 6], images[:, 0, 7, 7] = np.arange(n) // 256, np.arange(n) % 256  # who is who
    faces = FaceSet.from_arrays(
        torch.from_numpy(images), pd.DataFrame({"yaw": yaw}), {"yaw": Attribute(kind="continuous")}
    )
    sampling = sample(faces)
    (draw,) = sampling.draws
    spike = torch.zeros(n)
    spike[torch.from_numpy(draw.train[:2])] = 1e-6
    spike[torch.from_numpy(draw.test[:3])] = 1.0

    class Spiky(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = torch.nn.AdaptiveAvgPool2d((2, 1))
            self.fc = torch.nn.Identity()
            self.last = torch.nn.ReLU()

        def forward(self, x):
            means = self.pool(x).flatten(1)
            who = (x[:, 0, 7, 6:] * 255).round().long()
            extra = spike[who[:, 0] * 256 + who[:, 1]]
            return self.last(torch.cat([means, extra[:, None]], dim=1))

    net = FaceNetwork(Spiky(), NetworkCard(name="spiky", input_size=(8, 8), mean=(0, 0, 0), std=(1, 1, 1)))
    table = probe_network(net, faces, layers=["last"], sampling=sampling, vip_neurons=0).table
    row = of(table, "last", "yaw", "layer", "test", "r2").iloc[0]
    assert row.value > 0.8


def test_errors(small_net, planted_faces, sampling):
    with pytest.raises(SpecError, match=r"no units 'neuron' to probe.*did you mean 'neurons'"):
        probe_network(small_net, planted_faces, sampling=sampling, units=("neuron",))
    with pytest.raises(SpecError, match="'scale' of probes must be 'subset' or 'pooled'; got 'all'"):
        probe_network(small_net, planted_faces, sampling=sampling, scale="all")
    with pytest.raises(SpecError, match="'subset' or 'pooled'; got 'pooledd'"):
        fit_probes(small_net, planted_faces, ["fc"], sampling=sampling, scale="pooledd")
    with pytest.raises(SpecError, match="n_components >= 1"):
        fit_probes(small_net, planted_faces, ["fc"], sampling=sampling, n_components=0)
    with pytest.raises(SpecError, match="top >= 1"):
        probe_network(small_net, planted_faces, sampling=sampling, top=0)
