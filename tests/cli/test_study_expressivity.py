import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fusiform.runs import Run
from fusiform.studies import ExpressivityRequest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "expressivity.toml"


def test_the_example_is_a_request():
    options = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    options.pop("out")
    assert ExpressivityRequest.from_mapping(options).network == ("demo",)


def test_help_names_the_study(run_cli):
    assert "expressivity" in run_cli("study", "--help")[1]
    code, out, _ = run_cli("study", "expressivity", "--help")
    assert code == 0
    assert "--checkpoints" in out


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5)).astype(np.float32)
    np.save(tmp_path / "f.npy", X)
    table = {
        "person": [f"p{k % 10}" for k in range(200)],
        "age": X[:, 0] + 0.5 * rng.normal(size=200),
        "mood": rng.choice(["good", "bad"], 200),
    }
    pd.DataFrame(table).to_csv(tmp_path / "a.csv", index=False)
    return tmp_path


def test_features_that_one_has(run_cli, files):
    arguments = ["study", "expressivity", "--features", files / "f.npy", "--attributes", files / "a.csv"]
    arguments += [
        "--estimators",
        "gaussian",
        "--no-calibration",
        "--only",
        "age,mood",
        "--out",
        files / "run",
    ]
    code, out, err = run_cli(*arguments)
    assert code == 0
    assert out.strip() == f"Report: {files}/run/report.html"
    assert "Images: 200, attributes: 2" in err
    table = Run.open(files / "run").table("expressivity").query("split == 'held out'").set_index("attribute")
    assert table.value["age"] > 0.4
    assert table.value["mood"] < 0.1
    code, _, err = run_cli(*arguments)
    assert code == 2
    assert "complete run" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--network", "demo", "--out", "x"], "names no faces"),
        (["--faces", "synthetic?n=9", "--out", "x"], "names no network"),
        (["--features", "f.npy", "--out", "x"], "need one file of attributes"),
        (["--features", "f.npy", "--attributes", "b.csv", "--out", "x"], "no file of attributes 'b.csv'"),
        (["-n", "demo", "-f", "synthetic?n=9", "-o", "x", "--estimators", "mime"], "did you mean 'mine'"),
        (["-n", "demo", "-f", "synthetic?n=9", "-o", "x", "--checkpoints", "no/*"], "no weights at 'no/"),
        (["-n", "demo", "-f", "synthetic?n=9", "--checkpoints", "demo"], "give --out FOLDER"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(run_cli, files, monkeypatch, arguments, says):
    monkeypatch.chdir(files)
    code, _, err = run_cli("study", "expressivity", *arguments)
    assert code == 2
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert re.search(says, err)
    assert not (files / "x").exists()
