"""The study as a whole: on the demo network, interrupted, failing, and asked nonsense."""

import json
import re
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from tests.studies.dissection import made_up

from fusiform.errors import DataError, LayerError, SpecError
from fusiform.faces import FaceSet, build_dictionary, open_faces
from fusiform.networks import load_network
from fusiform.runs import Progress, Run
from fusiform.studies.dissection import DissectionRequest, _layers, _study, _work, study_dissection
from fusiform.studies.dissection._layers import dissected_layers, in_groups

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "dissection.md"
ASKED = {"layers": ["stage3.1", "stage4.0.conv1"], "unit_pages": 3, "top": 3, "permutations": 20}


@pytest.fixture(scope="module")
def faces():
    return open_faces("synthetic?n=30&seed=3&size=32")


@pytest.fixture(scope="module")
def dictionary(faces):
    return build_dictionary(faces)


def counting(calls):
    """A stand-in for the dissection, which is tested where it lives; its calls are counted."""

    def counted(net, dictionary, layers, **options):
        calls.append((net.card.name, tuple(layers), options))
        return made_up.dissect(net, dictionary, layers, **options)

    return counted


@pytest.fixture
def stand_in(monkeypatch):
    calls = []
    monkeypatch.setattr(_work, "dissect", counting(calls))
    return calls


@pytest.fixture(scope="module")
def told(dictionary, tmp_path_factory):
    """A run, what it said, and its calls of the dissection."""
    calls, said = [], StringIO()
    with pytest.MonkeyPatch.context() as patch, Progress(stream=said) as progress:
        patch.setattr(_work, "dissect", counting(calls))
        out = tmp_path_factory.mktemp("runs") / "run"
        run = study_dissection("demo", dictionary, out, progress=progress, **ASKED)
    return run, said.getvalue(), calls


def record(run: Run) -> dict:
    return json.loads((Path(run.path) / "run.json").read_text())


def test_all_tables_are_written(told, dictionary):
    run, said, calls = told
    assert run.status == "complete"
    assert "demo: 2 layers" in said
    assert [call[0] for call in calls] == ["demo", "demo (random weights)"]
    assert calls[0][2]["align"] == "none"
    names = {
        "pairs",
        "units",
        "coverage",
        "counts",
        "overlay",
        "regions",
        "kinds",
        "unique",
        "dictionary",
        "problems",
    }
    names |= {"bias", "pictures", "where", "layers", "skipped", "findings"}
    assert set(run.tables) == names
    pairs = run.table("pairs")
    assert list(pairs.columns[:4]) == ["network", "control", "layer", "depth"]
    assert set(pairs["network"]) == {"demo"}
    assert not pairs["control"].any()  # the stand-in finds nothing with random weights
    assert run.table("units").groupby("control").size().nunique() == 1
    assert run.table("counts").groupby("control")["units"].sum()[True] == 0
    layers = run.table("layers")
    assert layers.loc[layers["main"], "layer"].tolist() == ["stage4.0.conv1"]
    assert layers.loc[layers["probed"], "layer"].tolist() == ["stage3.1", "stage4.0.conv1"]
    pictures = run.table("pictures")
    assert set(pictures["kind"]) == {"top", "disagreement", "concept"}
    for file, rows in pictures.groupby("file"):
        with Image.open(run.path / "images" / file) as strip:
            assert strip.size == (len(rows) * 96 + (len(rows) - 1) * 3, 96)
    where = run.table("where")
    assert set(map(tuple, where[["layer", "unit"]].to_numpy())) == set(
        map(tuple, pictures[["layer", "unit"]].to_numpy())
    )
    assert (where["rows"] * where["columns"] == where["values"].map(len)).all()
    kept = record(run)
    assert kept["request"]["dictionary"] == dictionary.name
    assert kept["networks"][0]["main_layer"] == "stage4.0.conv1"
    assert set(kept["not_measured"]) == {"overlap", "association with the task"}


def test_a_study_that_was_stopped_goes_on(monkeypatch, stand_in, told, dictionary, tmp_path):
    monkeypatch.setattr(_layers, "_UNITS_A_GROUP", 1)
    counted = _work.dissect

    def stops(net, dictionary, layers, **options):
        if "random" in net.card.name:
            raise KeyboardInterrupt
        return counted(net, dictionary, layers, **options)

    monkeypatch.setattr(_work, "dissect", stops)
    with pytest.raises(KeyboardInterrupt):
        study_dissection("demo", dictionary, tmp_path / "run", **ASKED)
    assert [call[1] for call in stand_in] == [("stage3.1",), ("stage4.0.conv1",)]
    monkeypatch.setattr(_work, "dissect", counted)
    run = study_dissection("demo", dictionary, tmp_path / "run", **ASKED, batch_size=7)
    assert [call[0] for call in stand_in[2:]] == ["demo (random weights)"] * 2
    for name in run.tables:
        pd.testing.assert_frame_equal(run.table(name), told[0].table(name))


def test_a_layer_that_fails_leaves_the_others(monkeypatch, stand_in, dictionary, tmp_path):
    monkeypatch.setattr(_layers, "_UNITS_A_GROUP", 1)
    counted = _work.dissect

    def fails(net, dictionary, layers, **options):
        if layers == ["stage3.1"]:
            raise DataError("Layer 'stage3.1' is out of order.")
        return counted(net, dictionary, layers, **options)

    monkeypatch.setattr(_work, "dissect", fails)
    run = study_dissection("demo", dictionary, tmp_path / "run", control=False, **ASKED)
    assert run.status == "complete"
    assert set(run.table("pairs")["layer"]) == {"stage4.0.conv1"}
    assert [p["error"] for p in run.problems] == ["Layer 'stage3.1' is out of order."]
    with pytest.raises(
        DataError, match=r"No layer could be dissected: Layer 'stage3.1' is out of order. Mend this"
    ):
        study_dissection(
            "demo", dictionary, tmp_path / "none", control=False, **(ASKED | {"layers": ["stage3.1"]})
        )


def test_networks_of_which_nothing_is_paired(monkeypatch, dictionary, tmp_path):
    def finds_nothing(net, *rest, **options):
        net = net.randomized(0) if net.card.name == "demo" else net
        return made_up.dissect(net, *rest, **options)

    monkeypatch.setattr(_work, "dissect", finds_nothing)
    run = study_dissection("demo", dictionary, tmp_path / "run", control=False, **ASKED)
    assert (run.status, run.problems) == ("complete", [])
    assert len(run.table("pictures")) == len(run.table("where")) == len(run.table("pairs")) == 0
    assert run.table("pictures")["unit"].dtype == "int64"
    assert not run.table("counts")["units"].any()


def test_a_task_that_goes_with_nothing_that_is_known(stand_in, faces, dictionary, tmp_path):
    rng = range(12)
    table = pd.DataFrame({"task": [k % 2 == 0 for k in rng], "other": [k % 3 == 0 for k in rng]})
    training = FaceSet.from_arrays(faces.images(rng), table, name="training")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_study, "open_faces", {"training": training}.__getitem__)
        run = study_dissection(
            "demo", dictionary, tmp_path / "run", control=False, task="task", task_faces="training", **ASKED
        )
    assert (
        "could be compared with 'task' in 'training'"
        in record(run)["not_measured"]["association with the task"]
    )
    assert run.table("bias")["task_association"].isna().all()


def test_two_networks_and_one_method(stand_in, dictionary, tmp_path):
    other = load_network("demo").randomized(5)
    asked = ASKED | {"methods": ["network"]}
    run = study_dissection({"trained": "demo", "fresh": other}, dictionary, tmp_path / "run", **asked)
    coverage = run.table("coverage")
    assert set(coverage["network"]) == {"trained", "fresh"}
    assert set(run.table("counts")["method"]) == {"network"}
    assert "overlay" not in run.tables
    # What is random already needs no twin.
    assert coverage.loc[coverage["control"], "network"].unique().tolist() == ["trained"]


def test_task_and_overlap(stand_in, faces, tmp_path):
    run = study_dissection(
        "demo", faces.spec, tmp_path / "run", training_faces=faces.spec, task="Male", control=False, **ASKED
    )
    assert set(run.table("bias").dropna(subset=["task_association"])["concept"]) >= {"Eyeglasses"}
    assert "kind" in run.table("overlap")
    assert record(run)["not_measured"] == {"control": "switched off"}


@pytest.mark.parametrize(
    ("names", "most", "found", "main"),
    [
        (("blocks",), None, ["stage3.0", "stage3.1", "stage4.0"], "stage4.0"),
        (
            ("second_to_last_conv", "blocks"),
            None,
            ["stage3.0", "stage3.1", "stage4.0.conv1", "stage4.0"],
            "stage4.0.conv1",
        ),
        (None, 2, ["stage4.0.conv1", "stage4.0.conv2"], "stage4.0.conv1"),
        (None, 1, ["stage4.0.conv1"], "stage4.0.conv1"),
        (("stage4.0", "stage1.0"), None, ["stage1.0", "stage4.0"], "stage4.0"),
        (
            ("blocks:last_two_stages", "stage1.0"),
            1,
            ["stage1.0", "stage3.0", "stage3.1", "stage4.0"],
            "stage4.0",
        ),
    ],
)
def test_which_layers_are_dissected(names, most, found, main):
    layers, first = dissected_layers(load_network("demo"), names, most)
    assert [layer.name for layer in layers] == found
    assert first == main


def test_words_for_all_convolutions():
    net = load_network("demo")
    convs, last = (dissected_layers(net, (word,))[0] for word in ("all", "last-stages"))
    assert {layer.role for layer in convs} == {"conv"}
    assert {layer.name for layer in last} < {layer.name for layer in convs}
    assert last[0].name == "stage3.0.conv1"
    # Without a word the same, first the layer of the paper's figures.
    assert dissected_layers(net, None) == (last, "stage4.0.conv1")


def test_a_network_without_such_roles_is_dissected_at_its_last_convolutions(small_net):
    layers, main = dissected_layers(small_net, None)
    assert ([layer.name for layer in layers][-1], main) == ("stage2.0", "stage1.0")
    assert all(len(layer.shape) == 3 for layer in layers)
    with pytest.raises(
        LayerError, match="'small' has none of the layers that were named; name some of its own"
    ):
        dissected_layers(small_net, ("stage4.0",))


def test_layers_of_many_units_are_dissected_apart(monkeypatch):
    layers, _ = dissected_layers(load_network("demo"), ("second_to_last_conv", "blocks"))
    assert [len(group) for group in in_groups(layers)] == [4]
    monkeypatch.setattr(_layers, "_UNITS_A_GROUP", 130)
    assert [[layer.shape[0] for layer in group] for group in in_groups(layers)] == [[56, 56], [96], [96]]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"layers": ["stage9"]}, LayerError, "'demo' has no layer 'stage9'; did you mean 'stage"),
        ({"layers": ["convs:all"]}, SpecError, "no role 'convs:all'"),
        ({"methods": []}, SpecError, "names no method"),
        ({"methods": ["hierarchy"]}, SpecError, "did you mean 'hierarchical'"),
        ({"methods": ["network", "network"]}, SpecError, "the method 'network' twice"),
        ({"quantile": 1.5}, SpecError, "'quantile' in the request must be below 1; got 1.5"),
        ({"task": "Male"}, SpecError, "name them by --task-faces or --training-faces"),
        ({"task_faces": "synthetic?n=4"}, SpecError, "task_faces and no task"),
        ({"attributes": ["Male"]}, SpecError, "concepts of the dictionary, which --concepts FILE extends"),
        ({"dictionary": "somewhere"}, SpecError, "names faces and a dictionary; give one of the two"),
        (
            {"task": "Mole", "task_faces": "synthetic?n=4"},
            DataError,
            "no attribute 'Mole' as a task; did you mean 'Male'",
        ),
        ({"align": "arcface"}, SpecError, "no template 'arcface'"),
    ],
)
def test_nonsense_is_told_before_a_folder_is_made(faces, tmp_path, options, error, says):
    with pytest.raises(error, match=re.escape(says)):
        study_dissection("demo", faces, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "names neither faces nor a dictionary; give --faces SPEC, or --dictionary FOLDER"),
        (
            {"dictionary": "x", "landmarks": "demo"},
            "'landmarks' in the request is about building a dictionary",
        ),
        ({"dictionary": "x", "balance": False}, "'balance' in the request is about building a dictionary"),
    ],
)
def test_requests_that_do_not_go_together(options, says):
    with pytest.raises(SpecError, match=re.escape(says)):
        DissectionRequest.from_mapping({"network": "demo"} | options)


def test_networks_of_one_label_are_refused(dictionary, tmp_path):
    net = load_network("demo").randomized(5)
    with pytest.raises(SpecError, match="Several networks are labelled 'a'"):
        study_dissection({"a": ["demo", net]}, dictionary, tmp_path / "run")


def test_the_guide_names_every_table_and_column(told):
    text = GUIDE.read_text(encoding="utf-8")
    run = told[0]
    for name in run.tables:
        (row,) = re.findall(rf"^\| `{name}` \|.*$", text, flags=re.MULTILINE)
        if name not in ("layers", "problems"):
            missing = [c for c in run.table(name).columns if c not in re.findall(r"\w+", row)]
            assert missing == [], name


def test_the_demo_network_from_end_to_end(dictionary, tmp_path):
    """Without a stand-in: every table agrees with the others, and pairs keep the paper's thresholds."""
    asked = ASKED | {"layers": ["stage3.1", "stage4.0"]}
    run = study_dissection("demo", dictionary, tmp_path / "run", **asked)
    assert run.problems == []
    pairs, units, coverage = (run.table(name) for name in ("pairs", "units", "coverage"))
    assert set(units["control"]) == {True, False}
    assert (pairs["probability"] > pairs["threshold"])[pairs["method"] == "hierarchical"].all()
    found = pairs.groupby(["control", "layer", "method", "scope"])["unit"].nunique()
    shares = coverage.set_index(["control", "layer", "method", "scope"])["interpretable"].sort_index()
    assert found.to_dict() == {key: shares[key] for key in found.index}
    assert ((coverage["lower"] <= coverage["share"]) & (coverage["share"] <= coverage["upper"])).all()
    counts = run.table("counts").groupby(["control", "method", "concept"])["units"].sum()
    assert counts[counts > 0].to_dict() == pairs.groupby(["control", "method", "concept"]).size().to_dict()
    named = units[units["network_dissection"] != ""]
    by_network = pairs[pairs["method"] == "network"]
    key = ["control", "layer", "unit"]
    assert set(map(tuple, named[[*key, "network_dissection"]].to_numpy())) == set(
        map(tuple, by_network[[*key, "concept"]].to_numpy())
    )
    # Of each unit that is shown, the first image is the one that activates it most.
    pictures = run.table("pictures")
    first = pictures[(pictures["kind"] == "top") & (pictures["rank"] == 0)]
    assert len(first) == 3
    net = load_network("demo")
    images = dictionary.faces.aligned(net.card.alignment) if net.card.alignment else dictionary.faces
    inputs = net.prepare(images.images())
    for row in first.itertuples():
        best = net.activations(inputs, [row.layer])[row.layer][:, row.unit].amax((1, 2)).argmax()
        assert images.table["image_id"].iloc[int(best)] == row.image_id
