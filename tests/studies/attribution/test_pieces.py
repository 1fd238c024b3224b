"""The study's pieces: targets, tasks, layers, cost, options."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from tests.studies.attribution import planted
from torch import nn

from fusiform.attribution import METHODS, attribute
from fusiform.attribution._registry import _REGISTERED
from fusiform.errors import DataError, SpecError, TargetError
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.runs import Progress
from fusiform.studies.attribution import AttributionRequest
from fusiform.studies.attribution._cost import Meter
from fusiform.studies.attribution._layers import steps_of
from fusiform.studies.attribution._methods import _FULL, _LIGHT, Competitor, competitors
from fusiform.studies.attribution._schema import SCHEMA, joined, typed
from fusiform.studies.attribution._targets import Classes, predicted
from fusiform.studies.attribution._tasks import tasks_of, triplets_of
from fusiform.targets import Logit, MatchProbability, Probability

SILENT = Progress(quiet=True)


# the class of each image ------------------------------------------------------------------------------


def test_each_image_has_its_own_class():
    net, x = planted.network("logits", 3), torch.rand(4, 3, 32, 32)
    classes = torch.tensor([2, 0, 1, 2])
    for kind in (Logit, Probability):
        scores = Classes(classes, kind)(net, x)
        expected = torch.stack([kind(int(c))(net, x[k : k + 1])[0] for k, c in enumerate(classes)])
        torch.testing.assert_close(scores, expected)
        torch.testing.assert_close(
            Classes(classes, kind).rows(torch.tensor([3, 3, 1]))(net, x[[3, 3, 1]]), expected[[3, 3, 1]]
        )
    start = Classes(classes).start(net, x)
    torch.testing.assert_close(start.relevance.sum(dim=1), Classes(classes)(net, x).detach())
    assert (start.relevance != 0).sum(dim=1).max() == 1


def test_a_single_output_is_a_probability_by_its_sigmoid():
    net, x = planted.network("logits", 1), torch.rand(2, 3, 32, 32)
    assert predicted(net, x).tolist() == [0, 0]
    torch.testing.assert_close(Classes(torch.zeros(2).long(), Probability)(net, x), Probability(0)(net, x))


def test_maps_of_classes_are_those_of_each_class():
    net, x = planted.network("logits", 3), torch.rand(2, 3, 32, 32)
    maps = attribute(net, x, Classes(torch.tensor([2, 1])), method="gradient")
    torch.testing.assert_close(maps[1:], attribute(net, x[1:], Logit(1), method="gradient"))


def test_wrong_classes_are_refused():
    net, x = planted.network("logits", 3), torch.rand(2, 3, 32, 32)
    with pytest.raises(TargetError, match="There are 3 classes for 2 images; give one for each"):
        Classes(torch.tensor([0, 1, 2]))(net, x)
    with pytest.raises(TargetError, match="Class 7 is out of range: the network has 3 outputs"):
        Classes(torch.tensor([0, 7])).start(net, x)


# tasks ------------------------------------------------------------------------------------------------


def test_mates_are_of_the_same_person_and_others_are_not():
    faces = planted.faces()
    who = faces.table["identity"].to_numpy()
    probes, mates, others = triplets_of(faces, 5, seed=1)
    assert len(set(who[probes])) == 5
    assert (who[probes] == who[mates]).all()
    assert (probes != mates).all()
    assert (who[probes] != who[others]).all()
    again = triplets_of(faces, 5, seed=1)
    assert all((a == b).all() for a, b in zip((probes, mates, others), again, strict=True))


def test_faces_without_pairs_are_refused_for_verifiers():
    images = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    bare = FaceSet.from_arrays(images, name="bare")
    with pytest.raises(
        DataError, match=r"'bare' show no two people of whom one has two images. Give a set with identities"
    ):
        triplets_of(bare, 2, seed=0)


def test_a_verifier_has_pairs_and_triplets_and_a_classifier_its_class():
    faces = planted.faces()
    (similarity, contrast), calibration = tasks_of(
        planted.network("embedding"), faces, 4, seed=0, progress=SILENT
    )
    assert (similarity.name, contrast.name, len(similarity)) == ("similarity", "contrast", 4)
    assert calibration is not None
    assert isinstance(similarity.confidence, MatchProbability)
    assert similarity.parts.shape == (4, 8, 32, 32)
    assert contrast.pair is None
    few = similarity.take(torch.tensor([2, 0]))
    assert few.ids == (similarity.ids[2], similarity.ids[0])
    torch.testing.assert_close(few.target.reference, similarity.target.reference[[2, 0]])
    ((task,), none) = tasks_of(planted.network("logits"), faces, 4, seed=0, progress=SILENT)
    assert none is None
    assert task.confidence.kind is Probability
    landmarks = planted.network("landmarks")
    with pytest.raises(DataError, match="gives landmarks; this study is of verifiers"):
        tasks_of(landmarks, faces, 4, seed=0, progress=SILENT)


def test_triplets_that_the_network_does_not_tell_apart_are_counted():
    options = {"network": "a", "faces": "b", "triplets": 3}
    game = planted.real_game(planted.network("embedding"), AttributionRequest.from_mapping(options), None)
    assert len(game.task) + sum(game.dropped.values()) == 3
    assert set(game.dropped) == {"eyes", "brows", "nose"}
    with pytest.raises(DataError, match="The inpainting game is for verifiers"):
        planted.real_game(planted.network("logits"), AttributionRequest.from_mapping(options), None)


# methods ----------------------------------------------------------------------------------------------


def test_every_option_is_one_of_its_method():
    for name in METHODS:
        if name not in _REGISTERED:
            continue
        for use in ("full", "light"):
            asked = Competitor(name).options(use, (112, 112))
            assert set(asked) <= set(_REGISTERED[name].options), name
            assert Competitor(name, quick=True).options(use, (64, 64)) == Competitor(name).options(
                "light", (64, 64)
            )
    assert set(_FULL) == set(_LIGHT) <= set(METHODS)


def test_baseline_maps_come_first_and_need_no_network():
    first = competitors(("gradient",))
    assert [(c.name, c.baseline_map) for c in first] == [
        ("random", True), ("edges", True), ("gaussian", True), ("gradient", False)
    ]  # fmt: skip
    task = tasks_of(planted.network("logits"), planted.faces(), 2, seed=0, progress=SILENT)[0][0]
    one, other = (first[1].maps(planted.network("logits", n), task) for n in (2, 5))
    assert torch.equal(one, other)


def test_paired_occlusion_asks_the_network_at_hand_about_the_second_image():
    net, other = planted.network("embedding"), planted.network("embedding").randomized(3)
    task = tasks_of(net, planted.faces(), 2, seed=0, progress=SILENT)[0][0]
    paired = Competitor("paired_occlusion")
    for each in (net, other):
        assert paired.maps(each, task, use="light").shape == (2, 32, 32)


# layers and cost --------------------------------------------------------------------------------------


def test_the_steps_hold_all_weights_from_the_top():
    assert steps_of(planted.network("logits")) == ["head", "conv"]
    wrapped = nn.Sequential()
    wrapped.add_module("inner", planted.Looks(2))
    net = FaceNetwork(wrapped, NetworkCard(name="w", input_size=(32, 32), head="logits"))
    assert steps_of(net) == ["inner.head", "inner.conv"]
    linear = FaceNetwork(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), NetworkCard(name="l", input_size=(2, 2))
    )
    assert steps_of(linear) == ["1"]


def test_weights_beside_the_children_leave_it_to_every_module():
    class Odd(planted.Looks):
        def __init__(self):
            super().__init__(2)
            self.scale = nn.Parameter(torch.ones(1))

    net = FaceNetwork(Odd(), NetworkCard(name="odd", input_size=(32, 32), head="logits"))
    assert steps_of(net) is None


def test_the_meter_counts_images_and_leaves_no_hook():
    net, x = planted.network("logits"), torch.rand(5, 3, 32, 32)
    with Meter(net) as meter:
        net(x)
        net(x[:2])
    assert meter.images == 7
    assert meter.seconds > 0
    with pytest.raises(ZeroDivisionError), Meter(net):
        1 / 0  # noqa: B018
    assert not net.module._forward_pre_hooks


# options and tables -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"methods": ["oclusion"]}, "method 'oclusion' that there is not; did you mean 'occlusion'"),
        ({"methods": ["lrp", "lrp"]}, "names the method 'lrp' twice"),
        ({"methods": []}, "names no method"),
        ({"parts": ["nose", "nose"]}, "names the part 'nose' twice"),
        ({"truth_parts": ["elbow"]}, "confines a task to 'elbow', which cannot be"),
        ({"images": 0}, "'images' in the request must be a whole number of at least 1"),
        ({"layers": ["fc"]}, "names layers; maps are of images as a whole"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_is_refused(options, says):
    with pytest.raises(SpecError, match=re.escape(says)):
        AttributionRequest.from_mapping({"network": "demo", "faces": "synthetic?n=8"} | options)


def test_quick_gives_way_to_what_is_asked():
    asked = {"network": "demo", "faces": "synthetic?n=8", "quick": True}
    assert AttributionRequest.from_mapping(asked).images == 4
    assert AttributionRequest.from_mapping(asked | {"images": 9}).images == 9


def test_tables_without_rows_have_their_columns():
    for name, types in SCHEMA.items():
        assert typed(name, []).dtypes.astype(str).to_dict() == types
    one = typed("not_applicable", [{"network": "a", "why": "so"}])
    both = joined("not_applicable", [one, typed("not_applicable", []), one])
    assert both["why"].tolist() == ["so", "so"]
    assert both["method"].isna().all()
    assert isinstance(typed("cost", [{"batch": np.int64(3)}]), pd.DataFrame)
