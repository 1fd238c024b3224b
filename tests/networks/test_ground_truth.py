"""Networks of which it is known where the evidence is; the trainings here are too short to learn, but for one."""

import numpy as np
import pytest
import torch

from fusiform.errors import RunError, SpecError
from fusiform.faces import confined_faces
from fusiform.networks.training import epoch_order, expression_network, ground_truth_network

FAST = {"n": 16, "epochs": 1, "size": 32}


@pytest.fixture(autouse=True, scope="module")
def few_test_faces():
    from fusiform.networks.training import _ground_truth

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ground_truth, "_N_TEST", 12)
        yield


def test_pairs_stay_together():
    order = epoch_order(np.zeros(10, dtype=int), 8, sampling="uniform_pairs", seed=3)
    assert (order[::2] % 2 == 0).all()
    assert (order[1::2] == order[::2] + 1).all()
    assert len(set(order.tolist())) == 8
    other = epoch_order(np.zeros(10, dtype=int), 8, sampling="uniform_pairs", seed=3, epoch=1)
    assert order.tolist() != other.tolist()


def test_the_faces_to_explain_are_other_people():
    found = ground_truth_network("nose", **FAST)
    learnt = confined_faces(8 + 12, "nose", twins=True, size=32).subset(slice(16))
    assert len(found.faces) == len(found.labels) == 12
    assert not set(found.faces.table["identity"]) & set(learnt.table["identity"])
    assert found.faces.table["identity"].nunique() == 12
    assert found.masks == ("evidence",)
    assert found.faces.mask("evidence").flatten(1).any(dim=1).sum() >= 11
    names = [found.network.card.classes[k] for k in found.labels.tolist()]
    assert names == found.faces.table["class"].tolist()
    said = found.network(found.network.prepare(found.faces.images())).argmax(dim=1)
    assert found.accuracy == pytest.approx((said == found.labels).float().mean().item())


def test_seeded_and_shuffled():
    one, two = (ground_truth_network("mouth", **FAST) for _ in range(2))
    shuffled = ground_truth_network("mouth", shuffled=True, **FAST)
    assert one.network.digest() == two.network.digest() != shuffled.network.digest()
    assert torch.equal(one.faces.images(), shuffled.faces.images())
    assert torch.equal(one.labels, shuffled.labels)


def test_a_folder_keeps_the_training(tmp_path):
    one = ground_truth_network("nose", out=tmp_path / "t", **FAST)
    assert (tmp_path / "t" / "training.json").is_file()
    assert ground_truth_network("nose", out=tmp_path / "t", **FAST).network.digest() == one.network.digest()
    with pytest.raises(RunError):
        ground_truth_network("nose", out=tmp_path / "t", shuffled=True, **FAST)


def test_expressions():
    found = expression_network(**FAST)
    assert found.network.card.classes == ("anger", "surprise")
    assert found.masks == ("eyes_expression", "mouth_expression")
    assert set(found.masks) <= set(found.faces.parts)


@pytest.mark.parametrize("n", [15, 0, True, 40.0, "many"])
def test_too_few_faces(n):
    with pytest.raises(SpecError, match="needs an int of at least 16 training faces; got"):
        ground_truth_network("nose", n=n)
    with pytest.raises(SpecError, match="needs an int of at least 16 training faces; got"):
        expression_network(n=n)


def test_unknown_parts():
    with pytest.raises(SpecError, match="confined to 'nostril'"):
        ground_truth_network("nostril")


@pytest.mark.slow
def test_the_network_learns_the_nose():
    assert ground_truth_network("nose").accuracy > 0.92
