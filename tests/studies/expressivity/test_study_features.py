"""The study of features that somebody has, without networks and faces."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.studies.expressivity import fake_information as fake

from fusiform.errors import DataError, SpecError
from fusiform.runs import Progress
from fusiform.studies import study_expressivity
from fusiform.studies.expressivity import _bench, _measure, _work

FAST = {"restarts": 2, "estimators": ["mine", "gaussian"]}


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    """Stand-ins for the estimators, which are tested where they live."""
    monkeypatch.setattr(_measure, "expressivities", fake.expressivities)
    monkeypatch.setattr(_bench, "expressivities", fake.expressivities)
    monkeypatch.setattr(_work, "calibrate", fake.calibrate)


def test_features_alone_need_no_network(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6)).astype(np.float32)
    np.save(tmp_path / "f.npy", X)
    table = pd.DataFrame(
        {
            "image_id": range(400),
            "person": [f"p{k % 20}" for k in range(400)],
            "age": 40 + 10 * X[:, 0] + rng.normal(size=400),
            "glasses": np.where(rng.random(400) < 0.5, 1, -1),
        }
    )
    table.loc[:49, "age"] = np.nan
    table.to_csv(tmp_path / "a.csv", index=False)
    options = FAST | {"features": str(tmp_path / "f.npy"), "attributes": [str(tmp_path / "a.csv")]}
    run = study_expressivity(None, None, tmp_path / "run", **options)
    assert run.status == "complete"
    assert run.problems == []
    values = run.table("expressivity").query("split == 'held out' and estimator == 'mine'")
    assert values[["network", "layer", "depth"]].drop_duplicates().values.tolist() == [["", "features", 0]]
    by = values.drop_duplicates("attribute").set_index("attribute")
    assert by.n.to_dict() == {"person": 400, "age": 350, "glasses": 400}
    assert by.value["age"] > 1
    assert by.value["glasses"] < 0.05
    assert {"linear", "order", "relative", "calibration", "described", "histograms", "findings"} <= set(
        run.tables
    )
    assert "course" not in run.tables
    told = json.loads((Path(run.path) / "run.json").read_text())
    assert told["features"]["images"] == 400
    assert "age (continuous)" in told["features"]["attributes"]
    assert set(told["request"]["digests"]) == {"features", "attributes"}
    some = study_expressivity(None, None, tmp_path / "some", **options, only=["age"], images=200)
    assert set(some.table("expressivity").attribute) == {"age"}
    with pytest.raises(DataError, match="no attribute 'agee'; did you mean 'age'"):
        study_expressivity(None, None, tmp_path / "none", **options, only=["agee"])
    assert not (tmp_path / "none").exists()


def test_an_attribute_that_cannot_be_measured_leaves_the_others(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4)).astype(np.float32)
    np.save(tmp_path / "f.npy", X)
    table = pd.DataFrame({"person": [f"p{k % 10}" for k in range(200)], "age": X[:, 0], "yaw": X[:, 1]})
    table.loc[30:, "yaw"] = np.nan
    table.to_csv(tmp_path / "a.csv", index=False)

    def refuses(features, attributes, **options):
        if len(features) == 30:
            raise DataError("too few images")
        return fake.expressivities(features, attributes, **options)

    monkeypatch.setattr(_measure, "expressivities", refuses)
    options = FAST | {"features": str(tmp_path / "f.npy"), "attributes": [str(tmp_path / "a.csv")]}
    with Progress() as progress:
        run = study_expressivity(None, None, tmp_path / "run", progress=progress, **options)
    assert (run.status, run.problems) == ("complete", [])
    values = run.table("expressivity")
    unknown = values[values.value.isna()]
    assert set(unknown.attribute) == {"yaw"}
    assert len(unknown) == 4
    assert unknown.note.eq("too few images").all()
    assert values.value[values.attribute != "yaw"].notna().all()
    for name in ("order", "relative"):
        assert set(run.table(name).attribute) == {"person", "age"}
    assert "nan" not in " ".join(run.table("findings").measured)
    assert "Not measured: 'yaw' by mine in features. too few images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "names no faces; .*or features that you have: --features FILE"),
        ({"features": "f.npy"}, "Features need one file of attributes.* names none"),
        ({"features": "f.npy", "attributes": ["a", "b"]}, "names a, b. Columns of it are chosen by --only"),
        ({"features": "f.npy", "attributes": ["a.csv"], "layers": ["fc"]}, "names features and layers"),
        ({"features": "f.npy", "attributes": ["a.csv"]}, "There is no file of features 'f.npy'"),
    ],
)
def test_bad_requests_without_a_network(tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((SpecError, DataError), match=says):
        study_expressivity(None, None, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
