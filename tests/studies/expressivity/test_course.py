"""Checkpoints in their order, and what stands at step 0."""

import json

import pytest
import torch
from safetensors.torch import save_file

from fusiform.errors import SpecError, WeightsError
from fusiform.networks import load_network
from fusiform.studies.expressivity._course import course

SPEC = "mini_xception?classes=2"


@pytest.fixture(scope="module")
def net():
    return load_network(SPEC)


@pytest.fixture
def folder(net, tmp_path):
    def write(*names: str):
        for number, name in enumerate(names):
            state = {
                k: v + 0.001 * number if v.is_floating_point() else v
                for k, v in net.module.state_dict().items()
            }
            save_file(state, tmp_path / name)
        return tmp_path

    return write


def steps(found):
    return [(each.step, each.start) for each in found.checkpoints]


def test_the_demo_recorded_its_start():
    found = course(load_network("demo"), "demo", "demo", initial="auto", seed=0)
    assert steps(found)[0] == (0, "random")
    assert {start for _, start in steps(found)[1:]} == {"training"}
    assert len(found.checkpoints) == 10
    assert found.initial == "the first checkpoint, the untouched start of the training"
    assert found.checkpoints[0].load().card.name == "demo@0"
    assert found.checkpoints[-1].load().digest() == load_network("demo").digest()


def test_a_checkpoint_0_that_is_not_recorded_has_been_trained(net, folder):
    """As in a run whose epoch 0 is the network after the first epoch."""
    path = folder("run2_epoch000.safetensors", "run2_epoch002.safetensors", "run2_epoch010.safetensors")
    found = course(net, SPEC, str(path), initial="auto", seed=0)
    assert steps(found) == [(0, "random"), (1, "training"), (3, "training"), (11, "training")]
    assert found.step_unit == "epoch"
    assert "a random initialisation" in found.initial
    assert (
        "the checkpoint labelled 0 has been trained already, so every label is counted one epoch higher"
        in found.initial
    )
    start, first, *_ = [each.load() for each in found.checkpoints]
    assert start.card.name.endswith("(random weights)")
    assert first.digest() == net.digest()
    assert (
        start.digest() == course(net, SPEC, str(path), initial="auto", seed=0).checkpoints[0].load().digest()
    )
    assert (
        start.digest() != course(net, SPEC, str(path), initial="auto", seed=1).checkpoints[0].load().digest()
    )


def test_labels_above_0_are_kept(net, folder):
    path = folder("step_10.safetensors", "step_9.safetensors", "notes.txt")
    found = course(net, SPEC, str(path), initial="auto", seed=0)
    assert steps(found) == [(0, "random"), (9, "training"), (10, "training")]
    assert found.step_unit == "step"
    assert "higher" not in found.initial


def test_who_knows_better_decides(net, folder):
    path = folder("step_0.safetensors", "step_5.safetensors")
    found = course(net, SPEC, str(path / "*.safetensors"), initial="checkpoint", seed=0)
    assert steps(found) == [(0, "random"), (5, "training")]
    assert found.initial == "the first checkpoint, taken for the start, as asked"
    demo = course(load_network("demo"), "demo", "demo", initial="random", seed=0)
    assert steps(demo)[:3] == [(0, "random"), (1, "training"), (17, "training")]
    assert "as asked" in demo.initial


def test_a_quick_look_takes_few_the_first_and_the_last_among_them(net, folder):
    path = folder(*(f"step_{k}.safetensors" for k in range(1, 10)))
    found = course(net, SPEC, str(path), initial="auto", seed=0, most=4)
    assert [step for step, _ in steps(found)] == [0, 1, 4, 6, 9]


def test_the_folder_of_a_training_recorded_its_start(tmp_path):
    net = load_network("demo")
    record = {
        "format": 1,
        "request": {
            "network": "demo",
            "classes": None,
            "recipe": {},
            "faces": "x",
            "attribute": "identity",
            "n_images": 1,
        },
        "environment": {},
        "seeds": {"0": {"complete": True, "best_step": 8, "valid_auc": 0.9}},
    }
    (tmp_path / "training.json").write_text(json.dumps(record))
    kept = tmp_path / "seed_0" / "checkpoints"
    kept.mkdir(parents=True)
    for step in (0, 8):
        save_file(net.module.state_dict(), kept / f"step_{step:07d}.safetensors", metadata={"values": "{}"})
    found = course(net, "demo", str(tmp_path), initial="auto", seed=0)
    assert steps(found) == [(0, "random"), (8, "training")]
    assert found.initial == "the first checkpoint, the untouched start of the training"


def test_bad_checkpoints(net, folder, tmp_path):
    with pytest.raises(SpecError, match="There are no weights at 'nowhere'; give a folder or a pattern"):
        course(net, SPEC, "nowhere", initial="auto", seed=0)
    path = folder("a_1.safetensors", "b_1.safetensors")
    with pytest.raises(SpecError, match=r"'.*a_1.safetensors' and '.*b_1.safetensors' are both of step 1"):
        course(net, SPEC, str(path), initial="auto", seed=0)
    with pytest.raises(SpecError, match="need the first network as a specification"):
        course(net, None, str(path), initial="auto", seed=0)
    (path / "b_1.safetensors").rename(path / "final.safetensors")
    with pytest.raises(SpecError, match=r"'.*final.safetensors' holds no step; number it"):
        course(net, SPEC, str(path), initial="auto", seed=0)


def test_weights_are_never_unpickled(net, tmp_path):
    torch.save({"model": net.module}, tmp_path / "step_3.pt")
    found = course(net, SPEC, str(tmp_path), initial="auto", seed=0)
    with pytest.raises(WeightsError, match="pickled Python objects"):
        found.checkpoints[1].load()
