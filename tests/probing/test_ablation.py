import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, r2_score
from tests.probing.fake_probes import FakeProbes, fit_fakes
from torch import nn

from fusiform.errors import DataError, LayerError, SpecError
from fusiform.faces import Attribute, FaceSet
from fusiform.networks import FaceNetwork, NetworkCard, load_network
from fusiform.probing import fit_probes, probe_layers, sample
from fusiform.probing._ablation import ablate, ablation_summary
from fusiform.runs import Progress

NAMES = ["stage1", "stage2", "pool", "fc"]


def copying(channels):
    layer = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
    nn.init.ones_(layer.weight)
    return layer


class Copies(nn.Module):
    """Every layer holds the image; `beside` does not hang on `second`."""

    def __init__(self):
        super().__init__()
        self.first, self.relu = copying(3), nn.ReLU(inplace=True)
        self.second, self.beside = copying(3), copying(3)

    def forward(self, x):
        x = self.relu(self.first(x))
        return (self.second(x) + self.beside(x)).flatten(1)


@pytest.fixture(scope="module")
def pixels():
    """Images of 10 x 10 pixels in which `planted` is bright in the first pixel and all else is one grey."""
    n = 400
    rng = np.random.default_rng(0)
    planted = rng.random(n) < 0.5
    images = torch.full((n, 3, 10, 10), 100, dtype=torch.uint8)
    images[torch.from_numpy(planted), 0, 0, 0] = 200
    table = pd.DataFrame({"planted": pd.array(planted, dtype="boolean")})
    return FaceSet.from_arrays(images, table, {"planted": Attribute(kind="binary")})


@pytest.fixture(scope="module")
def copies(pixels):
    net = FaceNetwork(Copies(), NetworkCard(name="copies", input_size=(10, 10), mean=(0,), std=(1,)))
    layers = tuple(net.layer(name) for name in ("first", "relu", "second", "beside", "add"))
    direction = torch.zeros(300)
    direction[0] = 100.0
    draws = sample(pixels, ["planted"]).draws
    keys = [(layer.name, "planted") for layer in layers]
    offsets = {key: (120 if key[0] == "add" else 60) for key in keys}
    # Falling VIP, so that the neurons of the planted pixel come first; those at the end never vary.
    vip = np.linspace(2, 0.01, 300)
    vip[-100:] = 0
    probes = FakeProbes(
        "copies", layers, draws, dict.fromkeys(keys, direction), offsets, dict.fromkeys(keys, vip)
    )
    return net, probes


def test_the_planted_neuron_is_the_only_one_that_matters(copies, pixels):
    net, probes = copies
    table = ablate(net, pixels, probes, masked=["first"], shares=[0.01, 0.1], controls=["lowest"])
    assert set(table.layer) == {"relu", "second", "beside", "add"}
    assert (table.intact == 1).all()
    top, lowest = (table[table.selection == s] for s in ("top", "lowest"))
    assert (top["masked"] == 0.5).all()
    assert (top["drop"] == 0.5).all()
    assert (lowest["drop"] == 0).all()
    assert not table.refitted.any()
    assert list(table.columns) == [
        "network", "masked_layer", "masked_depth", "selection", "share", "layer", "depth", "attribute", "kind",
        "unit_kind", "metric", "intact", "masked", "drop", "n", "refitted",
    ]  # fmt: skip


def test_a_later_layer_that_does_not_hang_on_the_masked_one_keeps_its_answers(copies, pixels):
    net, probes = copies
    table = ablate(net, pixels, probes, masked=["second"], controls=[]).set_index("layer")
    assert (table.loc["beside", "drop"] == 0).all()
    # Half of the sum is left, and is below the boundary.
    assert (table.loc["add", "drop"] == 0.5).all()


def test_how_many_neurons_are_zeroed(copies, pixels):
    net, probes = copies
    probes.zeros.clear()
    ablate(
        net, pixels, probes, masked=["first"], later=["relu"], shares=[0.001, 0.0301, 0.1, 1.0], n_images=2
    )
    (seen,) = {tuple(counts) for _, counts in probes.zeros}
    # One intact image, then top, random and lowest: 8 at the least, else rounded up; then the other image.
    assert seen[:13] == (0, *(8, 10, 30, 300) * 3)


def test_controls_spare_neurons_that_never_vary(copies, pixels):
    net, probes = copies
    watched = {}
    direction = torch.zeros(300)
    direction[-100:] = 1.0
    dead = replace(
        probes,
        directions=dict.fromkeys(probes.directions, direction),
        offsets=dict.fromkeys(probes.offsets, 0),
    )
    inner = dead.answers

    def answers(name, activations, attributes=None):
        watched.setdefault(name, []).append((activations.flatten(1)[:, -100:] == 0).sum(dim=1))
        return inner(name, activations)

    dead.answers = answers
    ablate(net, pixels, dead, masked=["first"], later=["relu"], shares=[0.6, 0.7], n_images=2)
    zeroed = torch.cat(watched["relu"])[:7].tolist()
    # 180 and 210 of 300 neurons, 200 of which vary.
    assert zeroed == [0, 0, 10, 0, 10, 0, 10]


@pytest.fixture(scope="module")
def probes(small_net, planted_faces):
    draws = sample(planted_faces, ["Eyeglasses", "yaw"], n_train=200).draws
    return fit_fakes(small_net, planted_faces, NAMES, draws)


def test_equal_to_masking_by_hand(small_net, planted_faces, probes):
    """The reference zeroes one set of neurons after the other by slicing the network open."""
    module = small_net.module
    table = ablate(
        small_net, planted_faces, probes, masked=["stage1", "stage2"], shares=[0.05, 0.3], controls=["lowest"],
        n_images=10_000, batch_size=37,
    )  # fmt: skip
    for draw in probes.draws:
        with torch.no_grad():
            x = small_net.prepare(planted_faces.images(draw.valid))
            stage1 = module.stage1(x)
        truth = draw.values[draw.valid]
        for masked, selection, share in [
            ("stage1", "top", 0.3),
            ("stage2", "lowest", 0.05),
            ("stage2", "top", 0.3),
        ]:
            with torch.no_grad():
                a = stage1 if masked == "stage1" else module.stage2(stage1)
                a = a.clone()
                vip = probes.vip(masked, draw.attribute)
                alive = np.flatnonzero(vip > 0)
                ranked = alive[np.argsort(vip[alive])]
                count = int(np.ceil(share * len(vip)))
                chosen = ranked[-count:] if selection == "top" else ranked[:count]
                flat = a.reshape(len(a), -1)
                flat[:, chosen] = 0
                later = {}
                if masked == "stage1":
                    a = later["stage2"] = module.stage2(a)
                later["pool"] = module.pool(a)
                later["fc"] = module.fc(later["pool"].flatten(1))
            rows = table[
                (table.attribute == draw.attribute)
                & (table.masked_layer == masked)
                & (table.selection == selection)
                & (table.share == share)
            ].set_index("layer")
            assert set(rows.index) == set(later)
            for name, activations in later.items():
                answer = probes.answers(name, activations)["layer", draw.attribute]
                expected = (
                    balanced_accuracy_score(truth, answer.argmax(axis=1))
                    if draw.classes
                    else r2_score(truth, answer)
                )
                assert rows["masked"][name] == pytest.approx(expected, abs=1e-6)
                assert rows.n[name] == len(truth)
    assert set(table[table.attribute == "yaw"].metric) == {"r2"}
    # What is zeroed matters: the table is not all zeros.
    assert table[table.selection == "top"]["drop"].max() > 0.05


def test_batches_do_not_matter_and_the_random_control_is_seeded(small_net, planted_faces, probes):
    options = {"shares": [0.1], "controls": ["random"], "n_images": 30}
    one = ablate(small_net, planted_faces, probes, **options, batch_size=1)
    many = ablate(small_net, planted_faces, probes, **options, batch_size=64)
    pd.testing.assert_frame_equal(one, many, atol=1e-6)
    other = ablate(small_net, planted_faces, probes, **options, seed=1)
    assert not np.allclose(one["masked"], other["masked"])


def test_images_are_balanced_and_masked_layers_spread(small_net, planted_faces, probes):
    seen = []
    inner = planted_faces.images

    class Watched:
        def __getattr__(self, name):
            return getattr(planted_faces, name)

        def images(self, rows):
            seen.extend(rows)
            return inner(rows)

    table = ablate(
        small_net, Watched(), probes, attributes=["Eyeglasses"], shares=[0.1], controls=[], n_images=20
    )
    draw = probes.draws[0]
    drawn = np.unique(seen)
    assert set(drawn) <= set(draw.valid)
    assert np.bincount(draw.values[drawn].astype(int)).tolist() == [10, 10]
    assert (table.n == 20).all()
    # At 2/7, 5/7 and 6/7 of the network's depth; the last layer has none after it.
    assert list(dict.fromkeys(table.masked_layer)) == ["stage1", "pool"]


def test_it_says_what_it_costs(small_net, planted_faces, probes):
    out = io.StringIO()
    ablate(small_net, planted_faces, probes, masked=["pool"], n_images=10, progress=Progress(stream=out))
    # 2 attributes, 10 images each, intact and under 3 shares of 3 selections.
    assert (
        "ablation of 2 attributes, 1 masked layers with 9 masks each and once intact: 200 faces"
        in out.getvalue()
    )
    assert "small: ablation: 200/200" in out.getvalue()


def test_the_network_is_left_as_it_was(small_net, planted_faces, probes):
    before = small_net.digest()
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in small_net.module.modules()]
    ablate(small_net, planted_faces, probes, shares=[0.1], controls=[], n_images=4)
    assert small_net.digest() == before
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in small_net.module.modules()] == hooks


def test_zeroed_layers_of_the_demo_network_reach_its_output_and_no_other_image():
    net = load_network("demo")
    x = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        intact = net(x)
        for layer in net.layers:
            with net.tapped([layer.name], lambda name, tensor: tensor[0].zero_()):
                masked = net(x)
            assert not torch.equal(masked[0], intact[0]), layer.name
            assert torch.equal(masked[1], intact[1]), layer.name


def test_summary_averages_layers_before_attributes(small_net, planted_faces, probes):
    table = ablate(small_net, planted_faces, probes, masked=["stage1", "pool"], shares=[0.1], n_images=20)
    summary = ablation_summary(table)
    assert len(summary) == 2 * 3 * 2  # masked layers, selections, metrics
    both = ablation_summary(table.assign(metric="any", setup="s", attribute=table.attribute))
    row = both[(both.masked_layer == "stage1") & (both.selection == "top")].iloc[0]
    drops = (
        table[(table.masked_layer == "stage1") & (table.selection == "top")]
        .groupby("attribute")["drop"]
        .mean()
    )
    assert row["drop"] == pytest.approx(drops.mean())
    assert row.deviation == pytest.approx(np.std(drops, ddof=1))
    assert (row.n_attributes, row.n_layers, row.setup) == (2, 3, "s")


def test_errors(small_net, planted_faces, probes):
    def run(**options):
        return ablate(small_net, planted_faces, options.pop("probes", probes), **options)

    with pytest.raises(DataError, match="fitted on 'other' and cannot read 'small'"):
        run(probes=replace(probes, network="other"))
    with pytest.raises(DataError, match="No probe knows the attribute 'yav'; did you mean 'yaw'"):
        run(attributes=["yav"])
    with pytest.raises(DataError, match="No attribute was asked for"):
        run(attributes=[])
    with pytest.raises(LayerError, match="'stag1' of 'small' was not probed; did you mean 'stage1'"):
        run(masked=["stag1"])
    with pytest.raises(LayerError, match="No layer of 'small' was asked for"):
        run(later=[])
    with pytest.raises(
        DataError, match=r"after the masked layer 'fc' \(depth \d+\) of 'small'; mask an earlier"
    ):
        run(masked=["stage1", "fc"])
    with pytest.raises(DataError, match="two probed layers or more, one to mask and one to read; got 1"):
        run(probes=replace(probes, layers=probes.layers[:1]))
    with pytest.raises(SpecError, match=r"above 0 and up to 1; got \[0.0\]"):
        run(shares=[0.0])
    with pytest.raises(SpecError, match="no control 'lowst'; did you mean 'lowest'"):
        run(controls=["lowst"])
    with pytest.raises(SpecError, match="n_images >= 2 and batch_size >= 1; got 1 and 32"):
        run(n_images=1)


def test_fitted_probes_answer_intact_as_they_did_when_they_were_probed(small_net, planted_faces):
    names, attributes = ["stage2", "pool"], ["Eyeglasses", "yaw"]
    fitted = fit_probes(
        small_net, planted_faces, names, sampling=sample(planted_faces, attributes, n_train=200)
    )
    table = ablate(small_net, planted_faces, fitted, shares=[0.1], n_images=10_000)
    probed = probe_layers(small_net, planted_faces, attributes, names, n_train=200)
    keys = ["layer", "attribute", "unit_kind"]
    valid = probed[(probed.split == "valid") & (probed.unit.isin(["all", "top8"]))].set_index(keys).value
    intact = table.groupby(keys).intact.agg(["min", "max"])
    assert len(intact) == 6
    np.testing.assert_allclose(intact["min"], valid[intact.index], atol=1e-3)
    np.testing.assert_allclose(intact["max"], valid[intact.index], atol=1e-3)
    harm = table[(table.unit_kind == "layer") & (table.attribute == "Eyeglasses")].set_index("selection")[
        "drop"
    ]
    assert harm["top"] > 0.3
    assert abs(harm["lowest"]) < 0.05


def test_what_is_inside_a_residual_block_is_not_masked_by_default(planted_faces):
    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, padding=1), torch.nn.BatchNorm2d(4))

        def forward(self, x):
            return x + self.conv(x)

    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2), Block(), Block(), torch.nn.AdaptiveAvgPool2d(2))
    net = FaceNetwork(module, NetworkCard(name="blocks", input_size=(48, 48)))
    sampling = sample(planted_faces, ["Eyeglasses"], n_train=100, n_valid=40)
    probes = fit_probes(net, planted_faces, ["1.conv", "1", "2.conv", "2", "3"], sampling=sampling)
    table = ablate(net, planted_faces, probes, shares=[0.1], controls=[], n_images=10)
    assert set(table.masked_layer) == {"1", "2"}
