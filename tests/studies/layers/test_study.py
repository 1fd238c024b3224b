"""The study as a whole: small networks on planted faces, interrupted, failing, and asked nonsense."""

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fusiform.errors import DataError, LayerError, RunError, SpecError
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, Layer, NetworkCard, load_network
from fusiform.probing import sample
from fusiform.runs import Progress, Run
from fusiform.studies import LayersRequest, study_layers
from fusiform.studies._shared import framed
from fusiform.studies.layers._experiments import Bench
from fusiform.studies.layers._subjects import (
    _stem,
    asked_networks,
    chosen_layers,
    load_subjects,
    subject_layers,
)

OFF = dict.fromkeys(("control", "selectivity", "confounds", "ablation", "consistency", "geometry"), False)
GUIDE = Path(__file__).resolve().parents[3] / "docs" / "layers.md"
LAYERS = ["stage1", "fc"]
ASKED = {
    "attributes": ["Eyeglasses", "Like_Eyeglasses", "shuffled", "yaw"],
    "layers": LAYERS,
    "n_train": 120,
    "n_valid": 40,
    "top": 2,
    "quick": True,
    "baseline": "finetune",
}
# Columns that only some rows of a study have, or that stand for themselves.
COLUMNS = {
    "probes": "network setup control layer depth relative_depth role block features unit_kind unit vip attribute kind split "
    "metric value lower upper chance n n_identities",
    "selectivity": "network setup layer depth relative_depth attribute kind metric value shuffled shuffled_lower "
    "shuffled_upper chance selectivity n",
    "vip_histogram": "network setup layer depth attribute low high count",
    "vip_neurons": "network setup layer depth attribute unit vip mean_activation value n",
    "vip_correlation": "network setup layer depth attribute r_vip r_mean_activation n_neurons",
    "best": "network setup control attribute kind unit_kind layer depth unit metric value lower upper balanced chance n "
    "baseline relative majority",
    "averages": "method setup unit_kind value sd n_networks n_attributes source comparable note",
    "baseline": "attribute kind metric value lower upper chance n network",
    "families": "family attribute",
    "ablation": "network setup masked_layer masked_depth selection share layer depth attribute unit_kind intact masked drop n "
    "refitted",
    "confounded": "network setup layer depth attribute kind confounder association treatment metric raw value lower upper "
    "chance n note",
    "gained": "network setup attribute kind layer depth relative_depth best best_layer best_depth rank",
    "branching": "network setup attribute kind layer depth relative_depth value best last gain parameters_share",
    "consistency": "network setup attack layer depth auc lower upper n_genuine n_manipulated success",
    "identification": "network setup control metric value lower upper n n_identities",
    "geometry": "network setup layer depth relative_depth attribute kind metric aligned transformed drop n",
    "findings": "finding source network setup measured verdict",
    "layers": "network setup layer depth kind role block shape features probed parameters_share",
}


@pytest.fixture(scope="module")
def faces(planted_faces) -> FaceSet:
    """Planted faces with an attribute that goes together with another."""
    rng = np.random.default_rng(3)
    glasses = planted_faces.table.Eyeglasses.to_numpy(dtype=bool)
    like = np.where(rng.random(len(glasses)) < 0.25, rng.random(len(glasses)) < 0.5, glasses)
    return planted_faces.with_attribute(
        "Like_Eyeglasses", pd.array(like, dtype="boolean"), planted_faces.schema["Eyeglasses"]
    )


@pytest.fixture(scope="module")
def other_net(small_net) -> FaceNetwork:
    """The small network with other weights, under the same name."""
    module = copy.deepcopy(small_net.module)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * parameter.std() * torch.randn(parameter.shape, generator=generator))
    return FaceNetwork(module, small_net.card)


@pytest.fixture(scope="module")
def networks(small_net, other_net):
    return {"seeds": [small_net, other_net]}


@pytest.fixture(scope="module")
def run(networks, faces, tmp_path_factory) -> Run:
    return study_layers(networks, faces, tmp_path_factory.mktemp("runs") / "run", **ASKED)


def record(run: Run) -> dict:
    return json.loads((Path(run.path) / "run.json").read_text())


def test_every_table_is_there_with_its_columns(run):
    assert record(run)["problems"] == []
    assert run.status == "complete"
    # The network has no residual blocks.
    assert set(run.tables) == {*COLUMNS, "attributes", "skipped"}
    for name, columns in COLUMNS.items():
        table = run.table(name)
        assert set(columns.split()) <= set(table.columns), name
        assert len(table), name
    assert not (run.path / "parts").exists()


def test_the_guide_tells_every_table_and_column(run):
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]* \| (.*) \|$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    told = {name: set(re.findall(r"\w+", text)) for name, text in rows}
    for name in run.tables:
        assert set(run.table(name).columns) <= told[name], name


def test_run_json_says_what_was_studied(run):
    told = record(run)
    assert told["request"]["study"] == "layers"
    assert told["request"]["network"] == ["seeds=small", "seeds=small"]
    assert [(net["name"], net["setup"]) for net in told["networks"]] == [
        ("small #1", "seeds"),
        ("small #2", "seeds"),
    ]
    assert told["network"] == told["networks"][0]
    assert told["networks"][0]["digest"] != told["networks"][1]["digest"]
    assert told["not_measured"] == {}
    assert told["faces"]["n"] == 600
    assert {"probing small #1", "ablation small #1", "baseline small #1"} <= set(told["timings"])
    assert len(json.loads((run.path / "images" / "examples.json").read_text())) == 24


def test_experiments_are_done_of_the_networks_they_are_meant_for(run):
    trained, twin = ["small #1", "small #2"], "small #1 (random weights)"
    probes = run.table("probes")
    assert probes.groupby("network").control.first().to_dict() == {
        "small #1": False,
        "small #2": False,
        twin: True,
    }
    assert set(probes.setup) == {"seeds", "seeds (random weights)"}
    assert set(run.table("identification").network) == {*trained, twin}
    for name in ("vip_neurons", "vip_histogram", "gained", "branching"):
        assert set(run.table(name).network) == set(trained), name
    for name in ("selectivity", "confounded", "geometry", "ablation", "consistency"):
        assert set(run.table(name).network) == {"small #1"}, name
        assert set(run.table(name).setup) == {"seeds"}, name
    assert set(run.table("baseline").network) == {"small #1 (multitask, finetune)"}


def entire(run: Run) -> pd.DataFrame:
    probes = run.table("probes")
    rows = (probes.unit_kind == "layer") & (probes.split == "test") & ~probes.control
    return probes[rows & probes.metric.isin(["balanced_accuracy", "r2"])]


def test_what_is_planted_is_found_and_what_is_shuffled_is_not(run):
    values = entire(run).set_index(["network", "attribute", "layer"])
    for network in ("small #1", "small #2"):
        assert values.lower[network, "Eyeglasses", "stage1"] > 0.8
        assert values.value[network, "yaw", "stage1"] > 0.7
    shuffled = values.xs("shuffled", level="attribute")
    assert shuffled.lower.lt(0.5).all()
    assert shuffled.value.between(0.35, 0.65).all()
    selectivity = run.table("selectivity").set_index(["attribute", "layer"])
    assert selectivity.selectivity["Eyeglasses", "stage1"] > 0.3
    assert abs(selectivity.selectivity["shuffled", "stage1"]) < 0.2
    assert np.allclose(selectivity.value - selectivity.shuffled, selectivity.selectivity)


def test_tables_measured_beside_the_probes_agree_with_them(run):
    values = entire(run)
    own = values[values.network == "small #1"].set_index(["layer", "attribute"]).value
    geometry = run.table("geometry").set_index(["layer", "attribute"])
    assert np.allclose(geometry.aligned, own[geometry.index])
    assert np.allclose(geometry.aligned - geometry.transformed, geometry["drop"])
    # A bar that is turned and shifted is harder to see for fixed weights.
    assert geometry["drop"]["stage1", "Eyeglasses"] > 0
    confounded = run.table("confounded")
    assert {"Eyeglasses", "Like_Eyeglasses"} <= set(confounded.attribute)
    balanced = confounded[confounded.treatment == "balanced"].set_index(["layer", "attribute"])
    if len(balanced):
        assert np.allclose(balanced.raw, own[balanced.index])


def test_an_attribute_known_by_its_associate_alone_is_not_known_without_it(run):
    confounded = run.table("confounded").set_index(["attribute", "layer"])
    like = confounded.loc["Like_Eyeglasses"]
    assert set(like.confounder) == {"Eyeglasses"}
    assert (like.value < like.raw).all()
    lost = (like.raw - like.value) / (like.raw - like.chance)
    assert lost["stage1"] > 0.5


def test_a_study_is_not_overwritten_unasked(run, networks, faces):
    with pytest.raises(RunError, match="complete run"):
        study_layers(networks, faces, run.path, **ASKED)


def test_an_interrupted_study_continues_and_ends_in_the_same_tables(
    run, networks, faces, tmp_path, monkeypatch
):
    inner, written = Run.write_part, []

    def stopping(self, name, table):
        inner(self, name, table)
        # Of a layer several tables are kept, the last of which says that they are.
        if self.path == tmp_path / "run" or name.endswith("@done"):
            written.append((self.path.name, name))
            if len(written) in (2, 9):
                raise KeyboardInterrupt

    monkeypatch.setattr(Run, "write_part", stopping)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            study_layers(networks, faces, tmp_path / "run", **ASKED)
        assert Run.open(tmp_path / "run").status == "running"
    done = study_layers(networks, faces, tmp_path / "run", **ASKED)
    assert done.status == "complete"
    assert len(written) == len(set(written))
    assert done.tables == run.tables
    for name in ("probes", "ablation", "geometry", "identification"):
        whole, continued = run.table(name), done.table(name)
        assert len(whole) == len(continued), name
    mean = [table.table("probes").value.mean() for table in (run, done)]
    assert mean[0] == pytest.approx(mean[1], abs=5e-3)


def test_faces_without_people_and_one_layer(small_net, faces, tmp_path):
    anonymous = FaceSet.from_arrays(
        faces.images(range(len(faces))),
        faces.table[["Eyeglasses"]],
        {"Eyeglasses": faces.schema["Eyeglasses"]},
        name="anonymous",
    )
    asked = {"layers": ["fc"], "quick": True, "control": False, "units": "layer"}
    run = study_layers(small_net, anonymous, tmp_path / "run", **asked)
    assert run.status == "complete"
    told = record(run)["not_measured"]
    assert set(told) == {"identification", "consistency", "ablation", "confounds", "baseline"}
    assert "two people" in told["identification"]
    assert set(run.table("probes").unit_kind) == {"layer"}
    assert "vip_correlation" in run.tables or "vip_neurons" not in run.tables


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"layers": ["stage23"]}, LayerError, r"'small' has no layer 'stage23'; did you mean 'stage2'"),
        ({"attributes": ["Eyeglases"]}, DataError, "did you mean 'Eyeglasses'"),
        ({"attributes": ["constant"]}, DataError, "'constant' has only one class"),
        ({"ablatoin": True}, SpecError, "unknown option 'ablatoin'; did you mean 'ablation'"),
        ({"units": ["layer", "channel"]}, SpecError, "'units'.*cannot be 'channel'; did you mean 'channels'"),
        ({"scale": "none"}, SpecError, "'scale'.*cannot be 'none'; there are: 'subset', 'pooled'"),
        ({"baseline": True}, SpecError, "'baseline'.*must be a text"),
        ({"split": "official"}, SpecError, "'split'.*cannot be 'official'"),
        ({"top": 0}, SpecError, "'top'.*at least 1"),
        ({"n_components": 0}, SpecError, "'n_components'.*at least 1"),
        (
            {"n_train": 3},
            SpecError,
            r"n_train >= 4.*; the request has n_components=8, n_train=3, n_valid=6144",
        ),
        ({"n_valid": 1}, SpecError, "n_valid >= 2.* n_valid=1 and top=8"),
        (
            {"n_components": 256, "quick": True},
            SpecError,
            "fewer components than training images; .*=256, n_train=256",
        ),
        ({"epochs": 2.5}, SpecError, "'epochs'.*whole number"),
        ({"families": "nowhere.toml"}, SpecError, "nowhere.toml"),
        ({"families": "broken.toml"}, SpecError, "broken.toml"),
        ({"align": "arcface_112x97"}, SpecError, "arcface_112x96"),
    ],
)
def test_bad_requests_leave_no_folder(small_net, faces, tmp_path, monkeypatch, options, error, says):
    monkeypatch.chdir(tmp_path)
    Path("broken.toml").write_text("hair = [")
    constant = pd.array([True] * len(faces), dtype="boolean")
    faces = faces.with_attribute("constant", constant, faces.schema["Eyeglasses"])
    with pytest.raises(error, match=says):
        study_layers(small_net, faces, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("networks", "error", "says"),
    [
        (["demo", "again=demo"], SpecError, "'demo' is given twice, with the same weights"),
        ([], SpecError, "No network was given"),
        ({"empty": []}, SpecError, "No network was given"),
        ([3], SpecError, "specification or as a FaceNetwork; got int"),
        (["a=dmeo"], SpecError, "did you mean 'demo'"),
    ],
)
def test_bad_networks(faces, tmp_path, networks, error, says):
    with pytest.raises(error, match=says):
        study_layers(networks, faces, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_layer_must_be_in_some_network_and_each_network_must_have_one(
    small_net, other_net, faces, tmp_path
):
    renamed = FaceNetwork(
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)), replace(small_net.card, name="plain")
    )
    with pytest.raises(LayerError, match="'plain' has none of the layers that were named"):
        study_layers([small_net, renamed], faces, tmp_path / "run", layers=["stage2"])


@pytest.mark.parametrize(
    ("text", "setup", "spec"),
    [
        ("demo", None, "demo"),
        ("demo?checkpoint=0", None, "demo?checkpoint=0"),
        ("onnx:a=b.onnx", None, "onnx:a=b.onnx"),
        ("early=demo?checkpoint=0", "early", "demo?checkpoint=0"),
        ("seed 0 = timm:resnet18?weights=a=b.pt", "seed 0", "timm:resnet18?weights=a=b.pt"),
    ],
)
def test_a_setup_stands_before_the_specification(text, setup, spec):
    assert asked_networks(text) == [(setup, spec)]
    if setup:
        assert asked_networks({setup: spec}) == [(setup, spec)]


def test_subjects_of_one_name_are_numbered(small_net, other_net):
    subjects = load_subjects([(None, small_net), ("b", other_net)])
    assert [s.name for s in subjects] == ["small #1", "small #2"]
    assert [s.setup for s in subjects] == ["small #1", "b"]
    assert [(s.first, s.leads) for s in subjects] == [(True, True), (False, True)]
    assert small_net.card.name == "small"


def test_default_layers_show_both_ends_of_every_residual_block():
    net = load_network("demo")
    chosen = chosen_layers(net, None)
    assert chosen[0] == "stem.2"
    for block in ("stage1.0", "stage2.0", "stage2.1", "stage3.1", "stage4.0"):
        assert {block, f"{block}.norm2"} <= set(chosen)
    assert not any("shortcut" in name for name in chosen)
    assert [net.layer(name).depth for name in chosen] == sorted(net.layer(name).depth for name in chosen)
    assert {layer.name for layer in net.default_layers()} <= set(chosen)
    few = chosen_layers(net, ("default",), most=5)
    assert len(few) == 5
    assert set(few) <= set(chosen)
    assert (few[0], few[-1]) == (chosen[0], chosen[-1])
    assert chosen_layers(net, ("pool", "nowhere")) == ["pool"]


def test_the_stem_ends_in_the_first_activation_or_where_a_block_begins():
    def stem(*rows):
        layers = [Layer(name, depth, "", (1,), block, role) for depth, (name, role, block) in enumerate(rows)]
        return [layer.name for layer in _stem(layers)]

    conv, act = ("conv", "conv", None), ("act", "activation", None)
    assert stem(("pool", "pool", None), conv, ("norm", "norm", None), act, conv) == ["act"]
    assert stem(conv, ("mfm", "max_feature_map", None), act) == ["mfm"]
    assert stem(conv, ("b.fc", "fc", "b"), ("b.act", "activation", "b"), act) == ["conv"]
    assert stem(("b.conv", "conv", "b"), ("b.act", "activation", "b")) == ["b.act"]
    assert stem(("fc", "fc", None), act) == []


def test_few_default_layers_hold_the_stem(small_net):
    assert chosen_layers(small_net, None) == [layer.name for layer in small_net.default_layers()]
    few = chosen_layers(load_network("demo"), None, most=4)
    assert (few[0], few[-1], len(few)) == ("stem.2", "embedding", 4)


def test_frozen_probes_take_the_layers_that_fit(small_net, faces):
    (subject,) = load_subjects([(None, small_net)])
    probed = ["stage1.0", "stage1.1", "stage2.0", "stage2.1", "pool", "fc"]
    draws = sample(faces, ["Eyeglasses", "yaw"], n_train=50, n_valid=20)

    def fitting(memory_gb):
        request = LayersRequest(network=("small",), faces="faces", memory_gb=memory_gb)
        bench = Bench(request, Run(Path(), {}), draws, Progress(quiet=True), {"small": probed}, {}, (), ())
        return bench._layers_to_freeze(subject)

    assert fitting(1.0) == probed
    # 9,304 features of two attributes and eight components, in four bytes each, are 0.6 MB.
    assert fitting(2 * 9304 * 64 / 1e9) == probed
    assert fitting(2 * 9300 * 64 / 1e9) == ["stage1.0", "stage1.1", "stage2.0", "pool", "fc"]
    assert fitting(1e-9) == ["stage1.0", "stage2.0", "fc"]


def test_shares_of_parameters_add_up():
    (subject,) = load_subjects([(None, "demo")])
    table = subject_layers(subject, ["pool"])
    own = dict(subject.net.module.named_parameters())
    at_stage1 = sum(p.numel() for name, p in own.items() if name.startswith(("stem", "stage1")))
    share = table.set_index("layer").parameters_share
    assert share["stage1"] == pytest.approx(at_stage1 / subject.net.n_parameters)
    assert share.is_monotonic_increasing
    assert share.iloc[-1] == pytest.approx(1)
    assert table[table.probed].layer.tolist() == ["pool"]


def test_networks_framed_apart_see_the_same_images():
    rng = np.random.default_rng(0)
    points = np.tile([[18, 20], [30, 20], [24, 26], [19, 33], [29, 33]], (6, 1, 1)).astype(np.float32)
    points[2] = np.nan
    faces = FaceSet.from_arrays(
        torch.from_numpy(rng.integers(0, 255, (6, 3, 48, 48), dtype=np.uint8)), points=points
    )
    nets = [
        FaceNetwork(torch.nn.Conv2d(3, 2, 3), NetworkCard(name=str(a), input_size=(112, 112), alignment=a))
        for a in (None, "arcface_112")
    ]
    request = LayersRequest(network=("a", "b"), faces="faces")
    sets, done, skipped = framed(nets, faces, request, Progress(quiet=True))
    assert done == ["resized only", "aligned to 'arcface_112' from five landmarks"]
    assert [each.table.image_id.tolist() for each in sets] == [["0", "1", "3", "4", "5"]] * 2
    assert skipped.image_id.tolist() == ["2"]
    assert sets[0].size == (48, 48)
    assert sets[1].size == (112, 112)


def test_quick_asks_for_little_and_gives_way():
    request = LayersRequest.from_mapping({"network": "demo", "faces": "x", "quick": True, "n_train": 99})
    assert (request.n_train, request.n_valid, request.epochs) == (99, 256, 1)
    assert (request.extent.layers, request.extent.ablation_images) == (16, 32)
    whole = LayersRequest.from_mapping({"network": ["demo"], "faces": "x"})
    assert (whole.n_train, whole.extent.layers, whole.network) == (2048, None, ("demo",))
    assert whole.extent.ablation_images == 64


def test_a_quick_look_takes_the_attributes_with_most_images(small_net, faces, tmp_path, monkeypatch):
    monkeypatch.setattr(LayersRequest, "extent", property(lambda self: _study_extent()))
    asked = {"layers": ["fc"], "quick": True} | OFF
    run = study_layers(small_net, faces, tmp_path / "run", **asked)
    table = run.table("attributes").set_index("attribute")
    assert (table.status == "probed").sum() == 2
    assert set(run.table("probes").attribute) == set(table.index[table.status == "probed"])
    assert "2 attributes with the most images" in table.note[table.status != "probed"].iloc[0]


def test_an_attribute_with_few_images_for_its_components_is_noted(small_net, faces, tmp_path, capsys):
    numbers = {"n_train": 41, "n_valid": 20, "n_components": 40}
    asked = {"attributes": ["Eyeglasses", "yaw"], "layers": ["fc"], "quick": True} | numbers | OFF
    with Progress() as progress:
        run = study_layers(small_net, faces, tmp_path / "run", progress=progress, **asked)
    table = run.table("attributes").set_index("attribute")
    few = "no more training images (40) than components (40)"
    assert table.note["Eyeglasses"] == few
    assert pd.isna(table.note["yaw"])
    assert f"Attribute 'Eyeglasses': {few}" in capsys.readouterr().err


def test_entire_layers_are_probed_whatever_the_units(small_net, faces, tmp_path):
    asked = {"attributes": ["Eyeglasses"], "layers": ["stage1", "fc"], "quick": True, "units": ["channels"]}
    run = study_layers(small_net, faces, tmp_path / "run", **asked | OFF | {"selectivity": True})
    assert set(run.table("probes").unit_kind) == {"layer", "channels", "channel"}
    assert set(run.table("selectivity").layer) == {"stage1", "fc"}
    assert {"gained", "branching"} <= set(run.tables)
    assert "selectivity" not in record(run)["not_measured"]


def _study_extent():
    from fusiform.studies.layers._request import Extent

    return Extent(attributes=2, vip_neurons=0)
