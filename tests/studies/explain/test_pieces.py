"""Pieces of an explanation: methods by name, shares, sentences."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from tests.studies.explain import planted

from fusiform.errors import DataError, ImageError, SpecError
from fusiform.studies import ExplainRequest
from fusiform.studies.explain._material import TEMPLATE, faces_of_files, framed, parts_of_faces
from fusiform.studies.explain._methods import DEFAULTS, parsed
from fusiform.studies.explain._schema import typed
from fusiform.studies.explain._sentences import SAME, findings
from fusiform.studies.explain._shares import (
    both_sides,
    group_shares,
    mass_in_parts,
    moved,
    part_shares,
    variants,
)


def test_every_default_method_exists():
    assert [parsed(name, "x").label for name in DEFAULTS] == list(DEFAULTS)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("lrp?rule=gamma&gamma=0.5", {"rule": "gamma", "gamma": 0.5}),
        ("grad_cam?relu=true", {"relu": True}),
        ("occlusion?window=[4,6]", {"window": [4, 6]}),
        ("gradient", {}),
    ],
)
def test_options_of_a_method_are_read(text, options):
    assert parsed(text, "x").options == options


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("oclusion", "method 'oclusion' that there is not; did you mean 'occlusion'"),
        ("occlusion?windw=4", "'occlusion' has no 'windw=4' in x, did you mean 'window'"),
        ("occlusion?window", "written 'name=value'"),
        ("paired_occlusion?pair=3", "has no 'pair=3'"),
    ],
)
def test_methods_that_cannot_be_read(text, says):
    with pytest.raises(SpecError, match=re.escape(says)):
        parsed(text, "x")


def test_moving_an_image_repeats_its_border_and_keeps_the_rest():
    x = torch.arange(30.0).view(1, 1, 5, 6)
    there = moved(x, 1, -2)
    for i in range(5):
        for j in range(6):
            assert there[0, 0, i, j] == x[0, 0, max(i - 1, 0), min(j + 2, 5)]


def test_variants_are_every_fill_in_place_and_four_shifts():
    found = variants((100, 200))
    assert [fill for fill, *_ in found] == ["mean", "blur", "noise", "grey", *["mean"] * 4]
    assert {(down, right) for _, down, right in found} == {(0, 0), (3, 0), (-3, 0), (0, 3), (0, -3)}


def drawn_variants(images=("a", "b"), seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {"network": "n", "image": image, "other": "", "target": "t", "part": part, "fill": fill}
        | {"down": down, "right": right, "value": rng.normal(), "whole": 1.0, "empty": 0.0}
        for image in images
        for fill, down, right in variants((112, 112))
        for part in ("left_eye", "right_eye", "nose")
    ]
    return typed("variants", rows)


def test_shares_of_parts_against_loops():
    table = drawn_variants()
    found = part_shares(table).set_index(["image", "part"])
    for (image, part), row in found.iterrows():
        shares, values = [], []
        for fill, down, right in variants((112, 112)):
            own = table[
                (table.image == image) & (table.fill == fill) & (table.down == down) & (table.right == right)
            ]
            value = float(own[own.part == part].value.iloc[0])
            values.append(value)
            shares.append(value / sum(abs(v) for v in own.value))
        assert row["value"] == pytest.approx(values[0])
        assert row["share"] == pytest.approx(shares[0])
        assert (row["lower"], row["upper"]) == pytest.approx((min(values), max(values)))
        assert (row["share_lower"], row["share_upper"]) == pytest.approx((min(shares), max(shares)))


def test_groups_join_both_sides_and_both_images():
    table = drawn_variants()
    found = group_shares(table, together=True).set_index("part")
    base = table[(table.fill == "mean") & (table.down == 0) & (table.right == 0)]
    eyes = base[base.part.str.endswith("eye")].value.sum() / 2
    nose = base[base.part == "nose"].value.sum() / 2
    assert found.loc["eyes", "value"] == pytest.approx(eyes)
    assert found.loc["nose", "share"] == pytest.approx(nose / (abs(eyes) + abs(nose)))
    assert found["images"].tolist() == [2, 2]
    alone = group_shares(table, together=False)
    assert alone["image"].tolist() == ["a", "a", "b", "b"]


def test_shares_of_a_score_that_nothing_moves_are_zero():
    table = drawn_variants().assign(value=0.0)
    assert (part_shares(table)["share"] == 0).all()


def test_names_of_both_sides():
    assert [both_sides(p) for p in ("left_brow", "right_cheek", "mouth")] == ["brows", "cheeks", "mouth"]


def test_mass_of_a_map_within_parts():
    parts = torch.zeros(3, 2, 2)
    parts[0, 0, 0] = parts[1, 0, 1] = 1
    rows = mass_in_parts(torch.tensor([[3.0, -1.0], [0.0, 4.0]]), parts, ("nose", "mouth", "hidden"))
    assert rows == [
        {"part": "nose", "value": 3.0, "share": 0.375},
        {"part": "mouth", "value": -1.0, "share": -0.125},
        {"part": "rest", "value": 4.0, "share": 0.5},
    ]
    assert [row["share"] for row in mass_in_parts(torch.zeros(2, 2), parts, ("a", "b", "c"))] == [0, 0, 0]


# sentences ----------------------------------------------------------------------------------------------


def said(score, *, threshold=0.35, lower=0.31, upper=0.38, same=False, groups=()):
    request = ExplainRequest.from_mapping({"network": "demo", "pair": ["a.png", "b.png"]})
    decision = None if threshold is None else "match" if score >= threshold else "no match"
    row = {"image": "a.png", "other": "b.png", "target": "similarity", "score": score, "decision": decision}
    scores = typed("scores", [row | {"threshold": threshold, "lower": lower, "upper": upper}])
    parts = [dict(zip(("part", "share", "lower", "upper"), each, strict=True)) for each in groups]
    (found,) = findings(request, scores, typed("part_groups", parts), same=same)
    return found["finding"]


def test_the_sentence_says_score_threshold_and_parts():
    groups = [
        ("nose", 0.2, 0.1, 0.3),
        ("mouth", -0.3, -0.4, -0.1),
        ("eyes", 0.5, 0.3, 0.6),
        ("brows", 0.3, -0.1, 0.4),
    ]
    assert said(0.62, groups=groups) == (
        "The similarity of a.png and b.png, 0.62, lies above the threshold 0.35 (0.31 to 0.38): they match. Eyes and nose "
        "speak for a match, mouth speaks against it."
    )


@pytest.mark.parametrize(
    ("score", "options", "says"),
    [
        (-0.2, {}, "−0.20, lies below the threshold 0.35 (0.31 to 0.38): they do not match."),
        (0.36, {}, "they match, but within the threshold's interval, so that a calibration on other people"),
        (0.36, {"lower": None, "upper": None}, "lies above the threshold 0.35: they match."),
        (0.36, {"threshold": None}, "is held against no threshold: none is known of this network."),
        (1.0, {"same": True}, f"{SAME} The similarity of a.png and b.png, 1.00"),
        (
            0.6,
            {"groups": [("nose", 0.9, -0.1, 0.9)]},
            "Of no part is it sure whether it speaks for or against",
        ),
        (0.6, {"groups": [("nose", 0.04, 0.01, 0.1)]}, "Of no part is it sure"),
    ],
)
def test_the_sentence_in_other_cases(score, options, says):
    assert says in said(score, **options)


# images -------------------------------------------------------------------------------------------------


def test_files_that_are_not_there_or_no_images(tmp_path):
    (tmp_path / "face.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"There is no image file '.*fce\.png'; did you mean 'face\.png'\?"):
        faces_of_files([str(tmp_path / "fce.png")])
    with pytest.raises(ImageError, match="not an image in a known format"):
        faces_of_files([str(tmp_path / "face.png")])


def test_parts_come_from_masks_else_from_fixed_places():
    net, faces = planted.network(), planted.faces()
    found = parts_of_faces(net, framed(net, faces, "auto").faces, [0, 3])
    assert found.names == tuple(planted.PLACES)
    assert set(found.source) == {"masks of the set"}
    assert found.masks[1, 7].nonzero()[0].tolist() == [16, 24]
    bare = type(faces).from_arrays(faces.images(), pd.DataFrame({"image_id": list("abcdef")}))
    found = parts_of_faces(net, bare, [0])
    assert found.source == (TEMPLATE,)
    assert found.masks.shape == (1, 8, 32, 32)
    assert found.masks.flatten(2).any(dim=2).all()


# requests -----------------------------------------------------------------------------------------------

PAIR = {"network": "demo", "pair": ["a", "b"]}
ONE = {"network": "demo", "images": ["a"]}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"network": "demo"}, "asks no question; give --pair A B"),
        ({"pair": ["a", "b"]}, "names no network"),
        (PAIR | {"images": ["c"]}, "asks about pair and images; ask one question at a time"),
        (PAIR | {"pair": ["a"]}, "The option 'pair' in the request names two; got 1"),
        ({"network": "demo", "identities": ["a", "b"]}, "names two people and no faces"),
        ({"network": "demo", "identities": ["a", "a"], "faces": "f"}, "names 'a' twice; name two people"),
        (ONE | {"nonmate": "c"}, "names a nonmate and no pair"),
        (ONE | {"threshold": 0.3}, "'threshold' in the request is of two images"),
        (ONE | {"calibrate": "f"}, "'calibrate' in the request is of two images"),
        (ONE | {"target": "layer4"}, "The target 'layer4' in the request cannot be read"),
        (ONE | {"target": "activation:"}, "cannot be read"),
        (ONE | {"target": "activation:a:1", "class_name": "x"}, "names a target and a class"),
        (PAIR | {"class_name": "x"}, "'class_name' in the request is of images one by one"),
        (PAIR | {"target": "activation:a:1"}, "cannot be explained there"),
        (PAIR | {"target": "match_probability"}, "is calibrated on faces; name them: --calibrate SPEC"),
        (PAIR | {"threshold": 0.3, "calibrate": "f"}, "gives a threshold and faces to find it on"),
        (PAIR | {"threshold": 1.2}, "cosine similarity from -1 to 1; got 1.2"),
        (PAIR | {"threshold": "high"}, "cosine similarity from -1 to 1; got 'high'"),
        (PAIR | {"false_match_rate": 1.0}, "must be below 1; got 1"),
        (PAIR | {"methods": []}, "names no method"),
        (PAIR | {"methods": ["lrp", "lrp"]}, "names the method 'lrp' twice"),
        (PAIR | {"methods": ["lpr"]}, "did you mean 'lrp'"),
        (PAIR | {"layers": ["a"]}, "names layers; maps are of images as a whole"),
        (PAIR | {"baseline": "blak"}, "cannot be 'blak'; did you mean 'black'"),
        (PAIR | {"most": 0}, "a whole number of at least 1"),
    ],
)
def test_requests_that_are_refused(options, says):
    with pytest.raises(SpecError, match=re.escape(says)):
        ExplainRequest.from_mapping(options)


def test_units_are_read_with_and_without_a_channel():
    unit = lambda text: ExplainRequest.from_mapping(ONE | {"target": text}).unit  # noqa: E731
    assert unit("activation:stage4.0.conv1:7") == ("stage4.0.conv1", 7)
    assert unit("activation:stage4") == ("stage4", None)
    assert ExplainRequest.from_mapping(PAIR | {"threshold": -0.1}).threshold == -0.1
