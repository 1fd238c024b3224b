import re
import tomllib
from pathlib import Path

import pytest

from fusiform.attribution import METHODS
from fusiform.runs import Run
from fusiform.studies import AttributionRequest
from fusiform.studies.attribution import _work
from fusiform.studies.attribution._schema import SCHEMA

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_is_a_request():
    options = tomllib.loads((ROOT / "examples" / "attribution.toml").read_text(encoding="utf-8"))
    options.pop("out")
    assert AttributionRequest.from_mapping(options).network == ("demo",)


def test_the_guide_tells_every_method_and_table():
    text = (ROOT / "docs" / "attribution.md").read_text(encoding="utf-8")
    assert [name for name in (*METHODS, *SCHEMA) if f"`{name}`" not in text] == []


def test_help_names_the_study(run_cli):
    assert "attribution" in run_cli("study", "--help")[1]
    code, out, _ = run_cli("study", "attribution", "--help")
    assert code == 0
    assert "--masked-faces" in out


def test_maps_and_their_report(run_cli, tmp_path, monkeypatch):
    # Trainings are tested where they live.
    monkeypatch.setattr(_work, "truths", lambda *arguments: iter(()))
    arguments = ["study", "attribution", "-n", "resnet10?width=4&variant=small&classes=2&input=32", "--quick"]
    arguments += [
        "-f",
        "synthetic?identities=4&per_identity=1&seed=3&size=32",
        "--methods",
        "gradient",
        "--few",
        1,
        "--images",
        2,
    ]
    code, out, err = run_cli(*arguments, "--out", tmp_path / "run")
    assert code == 0, err
    assert out.strip() == f"Report: {tmp_path}/run/report.html"
    assert "images 2, people 2, targets class" in err
    assert "gradient" in set(Run.open(tmp_path / "run").table("measures")["method"])
    code, _, err = run_cli(*arguments, "--out", tmp_path / "run")
    assert code == 2
    assert "complete run" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-f", "synthetic?n=9", "-o", "x"], "names no network"),
        (["-n", "demo", "-o", "x"], "names no faces"),
        (
            ["-n", "demo", "-f", "synthetic?n=9", "-o", "x", "--methods", "oclusion"],
            "did you mean 'occlusion'",
        ),
        (["-n", "demo", "-f", "synthetic?n=9", "-o", "x", "--groups", "Shoe"], "no attribute 'Shoe'"),
        (["-n", "demo", "-f", "synthetic?n=9", "-o", "x", "--images", "0"], "at least 1"),
        (["-n", "demo", "-f", "synthetic?n=9", "-o", "x", "--inpainting", "published:nowhere"], "nowhere"),
        (["-n", "demo", "-f", "synthetic?n=9"], "give --out FOLDER"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(run_cli, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    code, _, err = run_cli("study", "attribution", *arguments)
    assert code == 2
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert re.search(says, err)
    assert not (tmp_path / "x").exists()
