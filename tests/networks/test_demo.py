"""The demo network: its shape, its shipped weights, and the one command that remakes it."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from fusiform.errors import WeightsError
from fusiform.faces import open_faces
from fusiform.networks.training import RECIPES, train_demo
from fusiform.networks.zoo import demo

SMALL = replace(
    RECIPES["demo"],
    faces="synthetic?seed=1&identities=4&per_identity=3&size=32",
    validation="synthetic?seed=2&identities=3&per_identity=2&size=32",
    test="synthetic?seed=3&identities=3&per_identity=3&size=32",
    input_size=(32, 32),
    shortest_side=32,
    epochs=3,
    batch_size=4,
    checkpoints=3,
    first_checkpoint=1,
)


@pytest.fixture(scope="module")
def remade(tmp_path_factory):
    return train_demo(tmp_path_factory.mktemp("demo"), recipe=SMALL)


def test_shape_and_size():
    net = demo.build()
    assert sum(p.numel() for p in net.parameters()) <= 300_000
    x = torch.randn(2, 3, 112, 112)
    sizes = []
    for name in ("stem", "stage1", "stage2", "stage3", "stage4", "pool"):
        x = getattr(net, name)(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(16, 56, 56), (16, 56, 56), (32, 28, 28), (56, 14, 14), (96, 7, 7), (96, 1, 1)]


def test_a_residual_block_is_a_sum():
    block = demo.ResidualBlock(4, 4).eval()
    x = torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        block.norm2.weight.zero_()
        assert torch.equal(block(x), x.relu())
        block.norm2.weight.fill_(1.0)
        branch = block.norm2(block.conv2(torch.relu(block.norm1(block.conv1(x)))))
        assert torch.allclose(block(x), torch.relu(x + branch))


def test_remaking_exports_what_is_shipped(remade):
    files = sorted(p.name for p in remade.data.iterdir())
    steps = [c["step"] for c in remade.metrics["checkpoints"]]
    assert steps == [0, 1, 6]
    assert files == ["demo.json", *(f"step_{s:07d}.safetensors" for s in steps)]
    assert json.loads((remade.data / "demo.json").read_text()) == remade.metrics
    training = remade.metrics["training"]
    # One image of each of the four people was kept to see whether it is recognised.
    assert (training["identities"], training["images"], training["steps"]) == (4, 8, 6)
    assert remade.metrics["identification"]["images"] == 4
    assert remade.metrics["verification"]["n_genuine"] == 9
    assert 0 <= remade.metrics["verification"]["auc_yaw_45"] <= 1
    assert remade.metrics["environment"]["packages"]["torch"]


def test_export_is_the_training_in_half_precision(remade):
    shipped = load_file(remade.data / "step_0000006.safetensors")
    trained = load_file(remade.result.path(step=6))
    assert shipped.keys() == trained.keys() == demo.build().state_dict().keys()
    for name, tensor in shipped.items():
        assert tensor.dtype == (
            torch.float16 if "running" not in name and tensor.ndim else trained[name].dtype
        )
        assert torch.allclose(tensor.double(), trained[name].double(), rtol=1e-3, atol=1e-4)


def test_remaking_again_costs_no_training(remade):
    again = train_demo(remade.data.parent, recipe=SMALL)
    assert again.metrics["verification"] == remade.metrics["verification"]


def test_exported_weights_are_loaded(remade, monkeypatch):
    monkeypatch.setattr(demo, "_folder", lambda: remade.data)
    monkeypatch.setattr(demo, "CHECKPOINTS", demo._shipped())
    assert demo.CHECKPOINTS == (0, 1, 6)
    net = demo.load()
    assert (net.card.name, net.card.head, net.card.alignment) == ("demo", "embedding", None)
    assert net.card.threshold == remade.metrics["threshold"]
    assert "4 made-up people, 8 images" in net.card.description
    assert not net.module.training
    faces = open_faces(SMALL.test)
    with torch.no_grad():
        assert net.embed(net.prepare(faces.images([0, 1]))).shape == (2, 64)
    first = demo.load(checkpoint=0)
    assert first.card.name == "demo@0"
    assert not torch.equal(first.module.embedding.weight, net.module.embedding.weight)
    with pytest.raises(WeightsError, match="no checkpoint of step 2; there are: '0', '1', '6'"):
        demo.load(checkpoint=2)


def test_absent_weights_say_how_to_make_them(monkeypatch):
    monkeypatch.setattr(demo, "CHECKPOINTS", ())
    with pytest.raises(WeightsError, match="fusiform train --network demo --recipe demo"):
        demo.load()


def test_the_shipped_network_keeps_its_promises():
    steps = demo.CHECKPOINTS
    assert steps[0] == 0
    assert len(steps) >= 9
    folder = demo._folder()
    assert sum(len(f.read_bytes()) for f in folder.iterdir()) < 12_000_000
    made = demo.metrics()
    assert [c["step"] for c in made["checkpoints"]] == list(steps)
    assert made["verification"]["lower"] > 0.95
    assert made["verification"]["identities"] >= 200
    assert made["checkpoints"][-1]["auc"] > made["checkpoints"][0]["auc"]


def test_the_shipped_network_verifies_people_it_never_saw():
    from fusiform.networks.training._classes import read_labels
    from fusiform.statistics import verification_auc

    faces = open_faces("synthetic?seed=77&identities=24&per_identity=4")
    net = demo.load()
    with torch.no_grad():
        embeddings = net.embed(net.prepare(faces.images())).numpy()
    measured = verification_auc(embeddings, read_labels(faces, "identity").codes, draws=0).auc
    assert measured > 0.95
