import json

import pandas as pd
import pytest
import torch
from PIL import Image

from fusiform.errors import DataError, LayerError, RunError, SpecError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.report import write_report
from fusiform.runs import Run
from fusiform.studies import AuditRequest, audit

ASKED = {"attributes": ["Eyeglasses", "yaw"], "layers": ["stage2", "pool"], "n_train": 200, "n_valid": 60}


@pytest.fixture(scope="module")
def run(small_net, planted_faces, tmp_path_factory):
    return audit(small_net, planted_faces, tmp_path_factory.mktemp("runs") / "run", **ASKED)


def test_everything_is_in_the_folder(run):
    read = Run.open(run.path)
    assert read.status == "complete"
    assert read.tables == ["attributes", "best", "layers", "probes", "skipped", "verification"]
    assert read.request["faces"] == "planted"
    assert read.network["name"] == "small"
    assert len(read.network["digest"]) == 64
    assert read.faces["n"] == 600
    assert read.environment["packages"]["torch"]
    assert {"reading", "probing", "probing the control", "verification"} <= set(read.timings)
    examples = json.loads((run.path / "images" / "examples.json").read_text())
    assert len(examples) == 24
    assert all((run.path / "images" / e["file"]).exists() for e in examples)
    assert set(examples[0]["attributes"]) == {"Eyeglasses", "yaw"}


def test_what_is_drawn_is_found_and_the_control_stands_beside_it(run):
    probes = run.table("probes")
    assert set(probes.control) == {True, False}
    best = run.table("best").set_index("attribute")
    assert best.value["Eyeglasses"] > 0.85
    assert best.lower["Eyeglasses"] > best.chance["Eyeglasses"]
    verification = run.table("verification")
    assert verification.layer.tolist() == ["stage2", "pool"] * 2
    assert (verification.auc[~verification.control] > 0.7).all()
    assert verification.auc.between(verification.lower, verification.upper).all()


def test_the_report_is_made_from_the_folder_alone(run):
    page = write_report(run.path).read_text()
    assert "Eyeglasses" in page
    assert "stage2" in page


def test_a_run_is_not_overwritten_and_may_be_repeated(run, small_net, planted_faces):
    with pytest.raises(RunError, match="complete run"):
        audit(small_net, planted_faces, run.path, **ASKED)
    before = run.table("probes")
    again = audit(small_net, planted_faces, run.path, overwrite=True, **ASKED)
    pd.testing.assert_frame_equal(again.table("probes"), before)


def test_an_interrupted_audit_continues_and_ends_in_the_same_tables(
    run, small_net, planted_faces, tmp_path, monkeypatch
):
    written = []
    inner = Run.write_part

    def stop_after_one(self, name, table):
        inner(self, name, table)
        # Of a layer several tables are kept, the last of which says that they are.
        if name.endswith("@done"):
            written.append(name)
            if len(written) == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(Run, "write_part", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        audit(small_net, planted_faces, tmp_path / "run", **ASKED)
    assert Run.open(tmp_path / "run").status == "running"
    # What the error message advises where memory is short.
    done = audit(small_net, planted_faces, tmp_path / "run", memory_gb=2, batch_size=16, **ASKED)
    assert (done.request["memory_gb"], done.request["batch_size"]) == (2, 16)
    assert len(written) == len(set(written)) == 4  # two layers, network and control, each once
    whole, continued = run.table("probes"), done.table("probes")
    pd.testing.assert_frame_equal(continued.drop(columns="value"), whole.drop(columns="value"), atol=1e-3)


@pytest.fixture
def folder(tmp_path):
    """A folder set of 30 people with ten 40 x 40 images; one of them is broken."""
    rng = torch.Generator().manual_seed(0)
    for person in range(30):
        place = tmp_path / "faces" / f"person{person:02d}"
        place.mkdir(parents=True)
        for number in range(10):
            pixels = torch.randint(0, 255, (40, 40, 3), generator=rng, dtype=torch.uint8)
            if number % 2:
                pixels[:20] = 0
            Image.fromarray(pixels.numpy()).save(place / f"{number}.png")
    rows = [
        {"image": f"person{p:02d}/{k}.png", "identity": f"person{p:02d}", "dark": k % 2}
        for p in range(30)
        for k in range(10)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "faces" / "labels.csv", index=False)
    broken = tmp_path / "faces" / "person00" / "3.png"
    broken.write_bytes(broken.read_bytes()[:100])
    return tmp_path / "faces"


def test_an_unreadable_image_is_named_and_left_out(small_net, folder, tmp_path):
    made = audit(small_net, f"table:{folder}/labels.csv", tmp_path / "run", layers=["pool"], control=False)
    skipped = made.table("skipped")
    assert len(skipped) == 1
    assert "person00" in skipped.image_id[0]
    assert made.faces["n"] == 299
    assert "person00" in write_report(made.path).read_text()


def test_strict_makes_it_an_error_and_names_it(small_net, folder, tmp_path):
    with pytest.raises(DataError, match="person00"):
        audit(small_net, f"table:{folder}/labels.csv", tmp_path / "run", layers=["pool"], strict=True)


def test_a_folder_of_people_without_attributes_is_verified(small_net, folder, tmp_path):
    made = audit(small_net, f"folder:{folder}", tmp_path / "run", layers=["stage2", "fc"], control=False)
    assert "probes" not in made.tables
    assert made.table("verification").layer.tolist() == ["stage2", "fc"]
    page = write_report(made.path).read_text()
    assert "area under the ROC curve" in page
    assert "Not measured" in page


def test_a_folder_of_one_image_a_person_says_that_nothing_can_be_measured(small_net, folder, tmp_path):
    for image in folder.glob("*/[1-9].png"):
        image.unlink()
    with pytest.raises(DataError, match="fewer than two people have two images"):
        audit(small_net, f"folder:{folder}", tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"layers": ["stage23"]}, LayerError, "stage2"),
        ({"attributes": ["Eyeglases"]}, DataError, "did you mean 'Eyeglasses'"),
        ({"n_trian": 3}, SpecError, "did you mean 'n_train'"),
        ({"memory_gb": -1}, SpecError, "'memory_gb'.*number above 0"),
        ({"n_train": 0}, SpecError, "at least 1"),
        ({"attributes": "Eyeglasses"}, SpecError, "list of names"),
        ({"align": "arcface_112x97"}, SpecError, "arcface_112x96"),
    ],
)
def test_bad_requests_leave_no_folder(small_net, planted_faces, tmp_path, options, error, says):
    with pytest.raises(error, match=says):
        audit(small_net, planted_faces, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_too_few_images_for_the_split(tmp_path):
    with pytest.raises(
        DataError, match=r"None of .* attributes .*20 training and 40 test images.*more faces"
    ):
        audit("demo", "synthetic?n=40&size=32", tmp_path / "run")


def test_a_network_without_an_embedding(planted_faces, tmp_path):
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 2),
    )
    net = FaceNetwork(module, NetworkCard(name="two", input_size=(48, 48), head="logits"))
    made = audit(net, planted_faces, tmp_path / "run", attributes=["Smiling"], control=False)
    assert made.table("verification").layer.iloc[-1] == "4"
    assert set(made.table("probes").network) == {"two"}
    assert "<html" in write_report(made.path).read_text()


def test_a_request_from_a_mapping_says_what_is_missing():
    with pytest.raises(SpecError, match="names no faces"):
        AuditRequest.from_mapping({"network": "demo"})
