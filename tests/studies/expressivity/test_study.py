"""The study as a whole: small networks on planted faces, its course, interrupted, failing, and asked nonsense."""

import json
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from tests.studies.expressivity import fake_information as fake

from fusiform.errors import DataError, LayerError, RunError, SpecError
from fusiform.faces import open_faces
from fusiform.networks import FaceNetwork
from fusiform.networks._weights import file_digest
from fusiform.runs import Progress, Run
from fusiform.studies import ExpressivityRequest, study_expressivity
from fusiform.studies.expressivity import _bench, _measure, _work
from fusiform.studies.expressivity._features import in_memory

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "expressivity.md"
FAST = {"restarts": 2, "dimension": 64, "estimators": ["mine", "gaussian"]}
ASKED = FAST | {"attributes": ["identity", "Eyeglasses", "yaw", "noise"], "layers": ["image", "stage2", "fc"]}


CALLS = []


def counted(features, attributes, **options):
    CALLS.append((features.shape, tuple(attributes), options))
    return fake.expressivities(features, attributes, **options)


@pytest.fixture(autouse=True, scope="module")
def stand_ins():
    """Stand-ins for the estimators, which are tested where they live; the calls are counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_measure, "expressivities", counted)
        patch.setattr(_bench, "expressivities", fake.expressivities)
        patch.setattr(_work, "calibrate", fake.calibrate)
        yield


@pytest.fixture
def estimators():
    CALLS.clear()
    return CALLS


def record(run: Run) -> dict:
    return json.loads((Path(run.path) / "run.json").read_text())


@pytest.fixture(scope="module")
def told(small_net, planted_faces, tmp_path_factory):
    """A run, what it said, and what it asked of the estimators."""
    CALLS.clear()
    said = StringIO()
    with Progress(stream=said) as progress:
        out = tmp_path_factory.mktemp("runs") / "run"
        run = study_expressivity(small_net, planted_faces, out, progress=progress, **ASKED)
    return run, said.getvalue(), list(CALLS)


@pytest.fixture(scope="module")
def run(told):
    return told[0]


@pytest.fixture(scope="module")
def few_faces(planted_faces):
    """Those of twelve people."""
    return planted_faces.subset(np.flatnonzero(planted_faces.table["identity"] < "p12"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """With a course, another start, predicted attributes and raw scales: every table."""
    asked = FAST | {
        "attributes": ["identity", "Male", "yaw"],
        "layers": ["image", "pool", "embedding"],
        "course_layers": ["pool", "embedding"],
        "checkpoints": "demo",
        "pretrained": "mini_xception?classes=2",
        "predict": ["PR_MALE:man=mini_xception?classes=2"],
        "raw": True,
        "quick": True,
        "estimators": ["mine"],
        "control": False,
    }
    faces = open_faces("synthetic?identities=6&per_identity=10&size=32&seed=3")
    return study_expressivity("demo", faces, tmp_path_factory.mktemp("runs") / "whole", **asked)


def test_every_table_is_there_and_the_guide_tells_its_columns(whole):
    assert record(whole)["problems"] == []
    assert whole.status == "complete"
    told = dict(
        re.findall(r"^\| `(\w+)` \| [^|]* \| (.*) \|$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    assert set(told) == set(whole.tables)
    for name in whole.tables:
        assert set(whole.table(name).columns) <= set(re.findall(r"\w+", told[name])), name
        assert len(whole.table(name)) or name == "skipped", name
    assert not (whole.path / "parts").exists()


def test_over_layers_from_the_image_to_the_last(run):
    table = run.table("expressivity")
    assert list(dict.fromkeys(table.layer[table.network == "small"])) == ["image", "stage2", "fc"]
    assert table.groupby("layer").depth.first().to_dict()["image"] == -1
    assert set(table.network) == {"small", "small (random weights)"}
    assert "image" not in set(table.layer[table.network == "small (random weights)"])
    assert set(table.split) == {"held out", "train"}
    assert table.chance.eq(0).all()
    assert set(table.encoding[table.attribute == "identity"]) == {"categorical", "numeric"}
    assert set(table.encoding[table.attribute == "yaw"]) == {"ranks"}
    first = table.iloc[0]
    assert (first.restarts, first.converged, first.n, first.features) == (2, 2, 600, 64)
    assert table.groupby("layer").features.first().to_dict() == {"image": 64, "stage2": 144, "fc": 16}
    assert pd.isna(table.channels[table.layer == "fc"]).all()
    assert table.channels[table.layer == "stage2"].eq(1).all()
    held = table[(table.split == "held out") & (table.estimator == "mine") & (table.network == "small")]
    value = held.set_index(["layer", "attribute", "encoding"]).value
    # The slope of light is in every layer; noise is in none.
    assert value["image", "yaw", "ranks"] > 0.2
    assert value["fc", "yaw", "ranks"] > 0.1
    assert value["fc", "noise", "ranks"] < 0.05


def test_all_attributes_see_the_same_channels_and_images(told):
    run, _, calls = told
    layers = run.table("layers").query("probed").set_index("layer")
    assert layers.protocol.to_dict() == {"image": 0, "stage2": 2, "fc": 1}
    assert layers.used.to_dict() == {"image": 64, "stage2": 144, "fc": 16}
    assert re.fullmatch(r"\d+", layers.drawn["stage2"])
    # Per layer and estimator one call for all attributes together.
    identity = ("identity [categorical]", "identity [numeric]")
    others = ("Eyeglasses [categorical]", "yaw [ranks]", "noise [ranks]")
    assert {names for _, names, _ in calls} == {(*identity, *others)}
    assert len(calls) == 2 * (3 + 2)
    for _, _, options in calls:
        assert len(np.unique(options["groups"])) == 60
        assert (options["seed"], options["restarts"]) == (0, 2)


def test_linear_probes_stand_beside(run):
    table = run.table("linear")
    assert table.step.isna().all()
    assert len(table) == 4 * 5
    assert set(table.metric) == {"error rate", "mean absolute error"}
    yaw = table[(table.attribute == "yaw") & (table.layer == "image")].iloc[0]
    assert yaw.value < 0.5 * yaw.chance
    assert yaw.unit == "deg"


def test_run_json_says_what_was_studied(run):
    told = record(run)
    assert told["request"]["study"] == "expressivity"
    assert told["request"]["network"] == ["small"]
    assert told["request"]["digests"]["networks"].keys() == {"small"}
    assert told["faces"]["n"] == 600
    assert told["seed"] == 0
    assert told["not_measured"] == {"the course of training": "no checkpoints were named"}
    assert {"expressivity", "features", "reading"} <= set(told["timings"])
    assert len(json.loads((run.path / "images" / "examples.json").read_text())) == 24


def test_over_training_with_both_starts(whole):
    table = whole.table("course")
    order = table.drop_duplicates(["network", "step", "start"])[["network", "step", "start"]]
    assert order.iloc[0].tolist() == ["mini_xception_sex (random weights)", 0, "pretrained"]
    assert order.iloc[1].tolist() == ["demo", 0, "random"]
    assert order.start.tolist()[2:] == ["training"] * 3
    assert order.step.iloc[-1] == 5236
    assert set(table.layer[table.network == "demo"]) == {"pool", "embedding"}
    assert set(table.layer[table.start == "pretrained"]) == {"blocks.3"}
    told = record(whole)
    assert told["step_unit"] == "step"
    assert told["initial"] == "the first checkpoint, the untouched start of the training"
    assert [each["step"] for each in told["checkpoints"]] == [0, *order.step[1:]]
    # The last checkpoint is the network itself, seen through the same channels.
    both = [
        rows[(rows.layer == "embedding") & (rows.network == "demo")]
        .set_index(["attribute", "encoding", "estimator", "split"])
        .value
        for rows in (table[table.step == 5236], whole.table("expressivity"))
    ]
    pd.testing.assert_series_equal(both[0].sort_index(), both[1].sort_index(), check_exact=False, rtol=1e-6)
    assert whole.table("linear").step.notna().any()
    assert set(whole.table("correlation").over) == {"layers", "training", "training of pool"}


def test_predicted_attributes_are_marked(whole):
    rows = whole.table("described").set_index(["attribute", "encoding"])
    predicted = rows.loc[("PR_MALE", "probability")]
    assert predicted.predicted
    assert predicted.predicted_by == "mini_xception_sex (random weights)"
    assert "probability of 'man'" in predicted.note
    assert not rows.loc[("Male", "categorical")].predicted
    assert ("PR_MALE", "raw") in rows.index
    assert rows.loc[("Male", "categorical")].association_measure == "Cramér's V"
    assert rows.loc[("Male", "categorical")].association > 0.9  # of sex and who it is
    assert rows.loc[("yaw", "ranks")].association < 0.5
    assert rows.loc[("yaw", "ranks")].entropy_kind == "histogram of 20 bins"
    bars = whole.table("histograms").groupby("attribute")
    assert bars["count"].sum().to_dict() == {"identity": 60, "Male": 60, "yaw": 60, "PR_MALE": 60}
    assert bars.size()["yaw"] == 20


def test_epochs_0_that_are_trained_already_are_counted_one_higher(few_faces, tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / "made_here.py").write_text(
        "from torch import nn\ndef build():\n    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    for epoch in (0, 2):
        save_file(net.state_dict(), kept / f"run7_epoch{epoch:03d}.safetensors")
    monkeypatch.chdir(tmp_path)
    options = FAST | {"attributes": ["yaw"], "checkpoints": str(kept), "calibration": False, "linear": False}
    options["task"] = "yow"
    run = study_expressivity("python:made_here:build", few_faces, tmp_path / "run", **options)
    assert run.problems == []
    assert sorted(set(run.table("course").step)) == [0, 1, 3]
    told = record(run)
    assert told["step_unit"] == "epoch"
    assert "counted one epoch higher" in told["initial"]
    assert told["not_measured"]["compression"] == (
        "what the network is trained to tell ('yow') is not among the attributes studied; did you mean 'yaw'?"
    )
    held = [text.partition(": ")[::2] for text in told["request"]["digests"]["checkpoints"]]
    # Both files hold the same weights; the start is no file.
    assert [step for step, _ in held] == ["0", "1", "3"]
    assert held[0][1] == "random weights, seed 0"
    assert held[1][1] == held[2][1] == file_digest(kept / "run7_epoch000.safetensors")


def test_digests_tell_every_network(whole):
    digests = record(whole)["request"]["digests"]
    assert len(digests["pretrained"]) == len(digests["predict"]["PR_MALE"]) == 64
    assert len(set(digests["checkpoints"])) == 4


def test_images_are_held_where_they_fit(few_faces):
    faces = few_faces.subset(range(70))
    held = in_memory(faces, n_bytes=70 * 3 * 48 * 48)
    assert torch.equal(held.images(range(70)), faces.images(range(70)))
    assert held.table.equals(faces.table)
    assert in_memory(faces, n_bytes=70 * 3 * 48 * 48 - 1) is faces


def test_an_interrupted_study_goes_on_where_it_stopped(
    small_net, few_faces, tmp_path, estimators, monkeypatch
):
    whole = study_expressivity(small_net, few_faces, tmp_path / "whole", **ASKED)
    n_whole = len(estimators)
    estimators.clear()
    measured = _measure.expressivities

    def stops(features, attributes, **options):
        if len(estimators) == 3:
            raise KeyboardInterrupt
        return measured(features, attributes, **options)

    monkeypatch.setattr(_measure, "expressivities", stops)
    with pytest.raises(KeyboardInterrupt):
        study_expressivity(small_net, few_faces, tmp_path / "run", **ASKED)
    assert Run.open(tmp_path / "run").status == "running"
    monkeypatch.setattr(_measure, "expressivities", measured)
    done = study_expressivity(small_net, few_faces, tmp_path / "run", **ASKED, memory_gb=1e-6)
    # One layer was whole; what it cost is not spent again.
    assert len(estimators) == 3 + n_whole - 2
    assert done.status == "complete"
    for name in whole.tables:
        a, b = whole.table(name), done.table(name)
        keys = [
            c
            for c in (
                "network",
                "layer",
                "attribute",
                "encoding",
                "estimator",
                "split",
                "over",
                "draw",
                "restart",
                "epoch",
                "bin",
                "rank",
            )
            if c in a
        ]
        if name in ("findings", "skipped", "calibration"):
            assert len(a) == len(b)
            continue
        a, b = (t.sort_values(keys, kind="stable").reset_index(drop=True) for t in (a, b))
        pd.testing.assert_frame_equal(a, b, obj=name)


def test_a_layer_that_fails_is_told_and_done_again(
    small_net, few_faces, tmp_path, estimators, monkeypatch, capsys
):
    measured = _measure.expressivities

    def fails(features, attributes, **options):
        if features.shape[1] == 144:
            raise RuntimeError("out of luck")
        return measured(features, attributes, **options)

    monkeypatch.setattr(_measure, "expressivities", fails)
    options = ASKED | {"control": False, "calibration": False, "linear": False}
    with Progress() as progress:
        run = study_expressivity(small_net, few_faces, tmp_path / "run", progress=progress, **options)
    assert run.status == "running"
    assert [(p["experiment"], p["network"], p["error"]) for p in run.problems] == [
        ("expressivity", "small stage2", "RuntimeError: out of luck")
    ]
    assert set(run.table("expressivity").layer) == {"image", "fc"}
    assert {"findings", "order", "relative"} <= set(run.tables)
    assert "the same command does that again and nothing else" in capsys.readouterr().err
    estimators.clear()
    monkeypatch.setattr(_measure, "expressivities", measured)
    run = study_expressivity(small_net, few_faces, tmp_path / "run", **options)
    assert {shape[1] for shape, _, _ in estimators} == {144}
    assert run.status == "complete"
    assert run.problems == []
    assert set(run.table("expressivity").layer) == {"image", "stage2", "fc"}


def test_what_the_faces_do_not_hold_is_final(small_net, few_faces, tmp_path, monkeypatch):
    def fails(*arguments, **options):
        raise DataError("too few images")

    monkeypatch.setattr(_work, "calibrate", fails)
    run = study_expressivity(
        small_net, few_faces, tmp_path / "run", **ASKED | {"control": False, "linear": False}
    )
    assert run.status == "complete"
    assert {p["experiment"] for p in run.problems} == {"calibration"}
    monkeypatch.setattr(_measure, "expressivities", fails)
    with pytest.raises(DataError, match="No layer could be measured: too few images Mend this"):
        study_expressivity(small_net, few_faces, tmp_path / "other", **ASKED)


def test_identity_is_left_out_where_nobody_has_enough_images(small_net, few_faces, tmp_path, capsys):
    with Progress() as progress:
        run = study_expressivity(
            small_net,
            few_faces,
            tmp_path / "run",
            progress=progress,
            **ASKED | {"min_images": 30, "control": False},
        )
    assert "identity" not in set(run.table("expressivity").attribute)
    row = run.table("described").set_index("attribute").loc["identity"]
    assert row.note.startswith("left out: nobody has 30 images")
    assert "Attribute 'identity' is left out: nobody has 30 images" in capsys.readouterr().err


def test_the_plan_is_told_before(told):
    _, said, _ = told
    assert (
        "Images: 600, attributes: 4 (5 with their encodings), estimators: mine, gaussian, restarts: 2" in said
    )
    assert "small: 3 layers: image (averaged to 8 x 8), stage2 (z = 1, 144), fc (16)" in said
    # Of each layer, five attributes with their encodings by one trained estimator.
    assert re.search(r"50 critics; roughly \d+\.\d to \d+\.\d minutes", said)
    assert said.index("roughly") < said.index("faces through the network")


def test_the_draw_of_channels_and_images_has_a_seed(small_net, few_faces, tmp_path):
    def drawn(seed):
        out = tmp_path / f"run{seed}"
        options = {"layers": ["stage2"], "attributes": ["yaw"], "images": 80, "seed": seed, "dimension": 300}
        options |= FAST | dict.fromkeys(("control", "linear", "calibration"), False)
        run = study_expressivity(small_net, few_faces, out, **options)
        return run.table("layers").query("layer == 'stage2'").drawn.iloc[0], record(run)["faces"]["n"]

    assert drawn(0)[0] != drawn(1)[0]
    assert drawn(2)[1] == 80


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"layers": ["stage23"]}, LayerError, r"'small' has no layer 'stage23'; did you mean 'stage2'"),
        ({"attributes": ["yow"]}, DataError, "no attribute 'yow'; did you mean 'yaw'"),
        ({"estimators": ["mime"]}, SpecError, "'estimators'.*cannot be 'mime'; did you mean 'mine'"),
        ({"estimators": []}, SpecError, "names no estimator"),
        ({"estimators": ["mine", "ksg", "mine"]}, SpecError, "names the estimator 'mine' twice"),
        ({"restarts": 0}, SpecError, "'restarts'.*at least 1"),
        ({"min_images": 1}, SpecError, "'min_images' in the request must be at least 2"),
        ({"initial": "first"}, SpecError, "'initial'.*cannot be 'first'"),
        ({"checkpoints": "nowhere"}, SpecError, "no weights at 'nowhere'"),
        ({"checkpoints": "demo", "course_layers": ["fcc"]}, LayerError, "did you mean 'fc'"),
        ({"course_layers": ["fc"]}, SpecError, "'course_layers'.*name checkpoints with it"),
        ({"pretrained": "demo"}, SpecError, "'pretrained'.*name checkpoints with it"),
        ({"predict": ["yaw"]}, SpecError, "NAME=SPEC or NAME:OUTPUT=SPEC, .*; got 'yaw'"),
        ({"predict": ["a=demo", "a=demo"]}, SpecError, "'a' is predicted twice"),
        ({"predict": ["a=dmeo"]}, SpecError, "did you mean 'demo'"),
        ({"only": ["yaw"]}, SpecError, "'only'.*with networks name attributes by 'attributes'"),
        ({"features": "f.npy"}, SpecError, "names features and faces and network; .*Give one of the two"),
        ({"align": "arcface_112x97"}, SpecError, "arcface_112x96"),
        ({"restrats": 3}, SpecError, "unknown option 'restrats'; did you mean 'restarts'"),
    ],
)
def test_bad_requests_leave_no_folder(small_net, few_faces, tmp_path, options, error, says):
    with pytest.raises(error, match=says):
        study_expressivity(small_net, few_faces, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_run_that_was_asked_something_else_is_not_touched(run, small_net, few_faces):
    with pytest.raises(RunError, match="holds a complete run"):
        study_expressivity(small_net, few_faces, run.path, **ASKED)


def test_quick_asks_for_little_and_gives_way():
    given = {"network": "demo", "faces": "x"}
    request = ExpressivityRequest.from_mapping(given | {"quick": True, "images": 99})
    assert (request.images, request.restarts, request.dimension) == (99, 4, 256)
    assert (request.most_layers, request.most_checkpoints, request.most_attributes) == (3, 4, 4)
    assert request.estimators == ("mine", "gaussian")
    plain = ExpressivityRequest.from_mapping(given)
    assert (plain.images, plain.restarts, plain.dimension, plain.min_images) == (5000, 16, 2048, 10)
    assert (plain.most_layers, plain.most_checkpoints) == (None, None)
    assert plain.estimators == ("mine", "infonce", "gaussian")


def test_networks_of_one_name_are_told_apart(small_net, few_faces, tmp_path):
    other = small_net.randomized(seed=5)
    other = FaceNetwork(other.module, small_net.card)
    run = study_expressivity([small_net, other], few_faces, tmp_path / "run", **ASKED | {"control": False})
    assert set(run.table("expressivity").network) == {"small #1", "small #2"}
    assert set(run.table("findings").network) == {"small #1", "small #2"}
    assert set(run.table("calibration").network) == {"small #1"}
