"""The study as a whole, on networks that read one part of the face alone."""

import json
from io import StringIO

import numpy as np
import pytest
import torch
from PIL import Image
from tests.studies.explain import planted

from fusiform.errors import DataError, LayerError, NetworkError, RunError, SpecError, TargetError
from fusiform.faces import FaceSet, open_faces
from fusiform.runs import Progress
from fusiform.studies import explain
from fusiform.studies.explain import _methods, _of_images
from fusiform.studies.explain._schema import SCHEMA

METHODS = ["occlusion?window=8", "paired_occlusion?window=8", "gradient"]
MATES = {"pair": ["p0_0", "p0_1"], "methods": METHODS}


def asked(out, options, *, net=None, faces=None, **more):
    return explain(
        options,
        out,
        network=net or planted.network(),
        faces=planted.faces() if faces is None else faces,
        **more,
    )


@pytest.fixture(scope="module")
def mates(tmp_path_factory):
    return asked(tmp_path_factory.mktemp("runs") / "run", MATES)


def test_all_tables_are_written_with_their_columns(mates):
    assert mates.status == "complete"
    assert set(mates.tables) == set(SCHEMA)
    for name, types in SCHEMA.items():
        assert list(mates.table(name).columns) == list(types), name
    assert not len(mates.table("skipped"))


def test_the_part_that_is_read_has_the_whole_share(mates):
    shapley = mates.table("parts").query("method == 'shapley'").set_index(["image", "part"])
    for image in ("p0_0", "p0_1"):
        shares = shapley.loc[image, "share"]
        assert shares["mouth"] == pytest.approx(1.0)
        assert shares.drop("mouth").abs().max() < 1e-5
    assert (shapley["lower"] <= shapley["value"]).all()
    assert (shapley["upper"] >= shapley["value"]).all()
    groups = mates.table("part_groups").set_index("part")
    assert groups.loc["mouth", "share"] == pytest.approx(1.0)


def test_shapley_values_share_the_score_less_that_of_no_part(mates):
    found = mates.table("variants").groupby(["image", "fill", "down", "right"])
    gap = found["whole"].first() - found["empty"].first()
    assert np.allclose(found["value"].sum(), gap, atol=1e-5)
    assert len(gap) == 2 * 8


def test_maps_are_signed_files_of_each_method_and_lie_on_what_is_read(mates):
    maps = mates.table("maps")
    assert maps.groupby("method")["image"].apply(list).to_dict() == {key: ["p0_0", "p0_1"] for key in METHODS}
    for row in maps.itertuples():
        values = np.load(mates.path / "maps" / row.file)
        assert values.shape == (planted.SIZE, planted.SIZE)
        assert values.sum() == pytest.approx(row.total, abs=1e-5)
        if row.method == "gradient":
            inside = np.abs(values[planted.PLACES["mouth"]]).sum()
            assert inside == pytest.approx(np.abs(values).sum())
    held = (
        mates.table("parts")
        .query("method == 'gradient'")
        .groupby("image")["share"]
        .apply(lambda s: s.abs().sum())
    )
    assert (held <= 1 + 1e-6).all()


def test_the_score_is_the_cosine_and_is_held_against_the_card(mates):
    net, faces = planted.network(), planted.faces()
    embedded = net.embed(net.prepare(faces.images([0, 1]))).detach()
    (row,) = mates.table("scores").to_dict("records")
    assert row["score"] == pytest.approx(float(embedded[0] @ embedded[1]), abs=1e-6)
    assert (row["threshold"], row["decision"]) == (0.5, "match")
    (said,) = mates.table("findings")["finding"]
    assert "lies above the threshold 0.50: they match." in said


def test_a_run_that_broke_off_does_again_only_what_failed(tmp_path, monkeypatch):
    done = []
    real = _methods.attribute

    def failing(net, x, target, method, **options):
        done.append(method)
        if method == "gradient" and len(done) < 4:
            raise RuntimeError("a cable came loose")
        return real(net, x, target, method, **options)

    monkeypatch.setattr(_methods, "attribute", failing)
    run = asked(tmp_path / "run", MATES)
    assert run.status == "running"
    assert "a cable came loose" in run.table("skipped")["reason"].tolist()[0]
    assert set(run.table("maps")["method"]) == set(METHODS[:2])
    monkeypatch.setattr(_of_images, "shared", lambda *a, **k: 1 / 0)
    said = StringIO()
    run = asked(tmp_path / "run", MATES, progress=Progress(stream=said))
    assert done == ["occlusion", "paired_occlusion", "gradient", "gradient"]
    assert run.status == "complete"
    assert set(run.table("maps")["method"]) == set(METHODS)
    assert "they match" in said.getvalue()
    with pytest.raises(RunError, match="complete run"):
        asked(tmp_path / "run", MATES)


def test_one_image_twice_is_explained_and_said_to_be_one(tmp_path):
    run = asked(tmp_path / "run", MATES | {"pair": ["p0_0", "p0_0"]})
    assert run.table("scores")["score"].tolist() == pytest.approx([1.0])
    assert len(run.table("images")) == 1
    (said,) = run.table("findings")["finding"]
    assert said.startswith("Both images of the pair hold the same pixels")
    assert len(run.table("maps")) == len(METHODS)


def test_a_triplet_explains_the_probe_by_contrast(tmp_path):
    run = asked(tmp_path / "run", MATES | {"nonmate": "p1_0"})
    scores = run.table("scores")
    assert scores["target"].tolist() == ["similarity", "similarity", "contrast"]
    assert scores["score"].iloc[2] == pytest.approx(scores["score"].iloc[0] - scores["score"].iloc[1])
    assert run.table("images")["role"].tolist() == ["probe", "mate", "nonmate"]
    assert set(run.table("maps")["image"]) == {"p0_0"}
    assert "p0_0 is more like the mate" in run.table("findings")["finding"].iloc[2]
    (refused,) = run.table("not_applicable").to_dict("records")
    assert refused["method"] == "paired_occlusion?window=8"
    assert "explains the similarity of two images" in refused["why"]


def test_the_threshold_is_calibrated_kept_and_read_again(tmp_path, monkeypatch):
    others = "synthetic?identities=8&per_identity=2&seed=4&size=32"
    options = MATES | {"calibrate": others, "false_match_rate": 0.05, "methods": ["gradient"]}
    run = asked(tmp_path / "run", options | {"target": "match_probability"})
    record = json.loads((run.path / "run.json").read_text())
    (row,) = run.table("scores").to_dict("records")
    assert row["lower"] <= row["threshold"] <= row["upper"]
    assert record["network"]["threshold"] == row["threshold"] == record["calibration"]["threshold"]
    assert 0 < row["match_probability"] < 1
    assert run.table("maps")["target"].unique().tolist() == ["match probability"]


def test_a_calibration_is_not_made_twice(tmp_path, monkeypatch):
    from fusiform.studies.explain import _work

    options = MATES | {
        "calibrate": "synthetic?identities=8&per_identity=2&seed=4&size=32",
        "false_match_rate": 0.05,
    }
    real = _methods.attribute
    monkeypatch.setattr(_methods, "attribute", lambda *a, **k: 1 / 0)
    assert asked(tmp_path / "run", options).status == "running"
    monkeypatch.setattr(_methods, "attribute", real)
    monkeypatch.setattr(_work, "calibrate", None)
    assert asked(tmp_path / "run", options).status == "complete"


# images one by one --------------------------------------------------------------------------------------


def classifier():
    return planted.network("logits", threshold=None, classes=("angry", "happy", "sad"))


def test_images_are_explained_by_the_class_predicted_of_each(tmp_path):
    net, faces = classifier(), planted.faces()
    run = asked(
        tmp_path / "run", {"methods": ["gradient", "occlusion?window=8"], "most": 5}, net=net, faces=faces
    )
    scores = run.table("scores")
    assert len(scores) == 5
    rows = [faces.table["image_id"].tolist().index(name) for name in scores["image"]]
    with torch.no_grad():
        likely = net(net.prepare(faces.images(rows))).softmax(dim=1).max(dim=1)
    assert scores["score"].tolist() == pytest.approx(likely.values.tolist(), abs=1e-6)
    assert scores["decision"].tolist() == [net.card.classes[k] for k in likely.indices]
    assert len(run.table("findings")) == 5


def test_one_class_is_explained_by_name_or_number(tmp_path):
    by = {
        name: asked(
            tmp_path / name,
            {"images": ["p0_0"], "class_name": name, "methods": ["gradient"]},
            net=classifier(),
        )
        for name in ("sad", "2")
    }
    assert by["sad"].table("scores").equals(by["2"].table("scores"))
    assert by["sad"].table("scores")["target"].tolist() == ["sad"]


def test_a_unit_of_any_network_is_explained(tmp_path):
    net, faces = planted.network(), planted.faces()
    run = asked(
        tmp_path / "run", {"images": ["p1_0"], "target": "activation:head:3", "methods": ["gradient"]}
    )
    with torch.no_grad():
        value = float(net(net.prepare(faces.images([2])))[0, 3])
    assert run.table("scores")["score"].tolist() == pytest.approx([value], abs=1e-6)
    assert "head 3 is" in run.table("findings")["finding"].iloc[0]


def test_files_are_images_too(tmp_path):
    names = []
    for row, image in zip(("a", "b"), planted.faces().images([0, 1]), strict=True):
        names.append(str(tmp_path / f"{row}.png"))
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(names[-1])
    run = explain(
        {"network": "reads", "pair": names, "methods": ["gradient"]},
        tmp_path / "run",
        network=planted.network(),
    )
    again = asked(tmp_path / "again", MATES | {"methods": ["gradient"]})
    assert run.table("scores")["score"].tolist() == again.table("scores")["score"].tolist()
    assert set(run.table("images")["parts_from"]) == {"fixed places of an aligned frontal face"}


# two people ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    faces = open_faces("synthetic?identities=5&per_identity=2&seed=3&size=32")
    options = {"identities": ["s3_00000", "s3_00001"]}
    return asked(tmp_path_factory.mktemp("runs") / "run", options, faces=faces)


def test_two_people_are_told_apart_on_the_canonical_face(apart):
    assert apart.status == "complete"
    ranked = apart.table("look_alikes")
    assert ranked["rank"].tolist() == list(range(1, len(ranked) + 1))
    assert ranked["value"].is_monotonic_decreasing
    maps = apart.table("canonical_maps")
    assert maps["group"].tolist() == ["s3_00000", "s3_00001", "s3_00000 and s3_00001"]
    assert np.load(apart.path / "maps" / maps["file"].iloc[0]).shape == (128, 128)
    assert apart.table("findings")["finding"].str.contains("s3_00000 and s3_00001").any()


def test_pairs_of_both_people_are_held_against_what_was_learned_from_others(apart):
    found = apart.table("maps")
    pairs = set(zip(found["image"], found["other"], strict=True))
    assert pairs == {(a, b) for a in ("000000", "000001") for b in ("000002", "000003")}
    learned = apart.table("pair_threshold")
    if len(learned):
        assert learned["n_matches"].tolist() == [3]
    else:
        record = json.loads((apart.path / "run.json").read_text())
        assert "do not tell them apart" in record["not_measured"]["pair_threshold"]


def test_without_other_people_no_threshold_is_learned(tmp_path):
    faces = open_faces("synthetic?identities=2&per_identity=1&seed=3&size=32")
    run = asked(tmp_path / "run", {"identities": ["s3_00000", "s3_00001"]}, faces=faces)
    record = json.loads((run.path / "run.json").read_text())
    assert "show nobody else" in record["not_measured"]["pair_threshold"]
    assert run.table("maps")["options"].tolist() == ["threshold not learned"]


# what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "net", "error", "says"),
    [
        (MATES, classifier, NetworkError, "gives logits, not embeddings, so it cannot compare two images"),
        ({"images": ["p0_0"]}, planted.network, NetworkError, "no classes, so there is nothing to explain"),
        ({"images": ["p0_0"], "class_name": "hapy"}, classifier, SpecError, "did you mean 'happy'"),
        ({"images": ["p0_0"], "class_name": "7"}, classifier, TargetError, "3 outputs, 0 to 2"),
        (
            {"images": ["p0_0"], "target": "activation:hed:1"},
            planted.network,
            LayerError,
            "did you mean 'head'",
        ),
        (
            MATES | {"pair": ["p0_0", "p0_9"]},
            planted.network,
            DataError,
            "have no image 'p0_9'; did you mean",
        ),
        (
            {"identities": ["p0", "p9"]},
            planted.network,
            DataError,
            "show nobody called 'p9'; there are: 'p0', 'p1', 'p2'",
        ),
        ({"identities": ["p0", "p1"]}, planted.network, DataError, "no 68 landmarks, which carry maps"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_a_folder_is_made(tmp_path, options, net, error, says):
    with pytest.raises(error, match=says):
        asked(tmp_path / "run", options, net=net())
    assert not (tmp_path / "run").exists()


def test_an_image_of_a_pair_without_landmarks_is_named(tmp_path):
    points = np.tile(
        np.array([[10, 12], [22, 12], [16, 18], [11, 24], [21, 24]], dtype=np.float64), (6, 1, 1)
    )
    points[1] = np.nan
    plain = planted.faces()
    faces = FaceSet.from_arrays(plain.images(), plain.table, plain.schema, points=points)
    net = planted.network(alignment="arcface_112")
    with pytest.raises(
        DataError, match=r"Image 'p0_1' was left out: no landmarks to align by\. .*--align none"
    ):
        asked(tmp_path / "run", MATES, net=net, faces=faces)
    assert not (tmp_path / "run").exists()
    assert asked(tmp_path / "run", MATES | {"align": "none"}, net=net, faces=faces).status == "complete"


def test_the_network_is_left_as_it_was(tmp_path):
    net = planted.network()
    net.module.train()
    before = net.digest()
    asked(tmp_path / "run", MATES, net=net)
    assert net.module.training
    assert net.digest() == before
    assert all(p.grad is None and p.requires_grad for p in net.module.parameters())
