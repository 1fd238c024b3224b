import re
import tomllib
from pathlib import Path

import pytest

from fusiform.runs import Run
from fusiform.studies import DissectionRequest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "dissection.toml"


def test_the_example_is_a_request():
    options = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    options.pop("out")
    assert DissectionRequest.from_mapping(options).network == ("demo",)


def test_help_names_the_study(run_cli):
    assert "dissection" in run_cli("study", "--help")[1]
    code, out, _ = run_cli("study", "dissection", "--help")
    assert code == 0
    assert "--training-faces" in out


def test_a_dissection_and_its_report(run_cli, tmp_path):
    arguments = ["study", "dissection", "-n", "demo", "-f", "synthetic?n=24&seed=3&size=32", "--no-control"]
    arguments += ["--layers", "stage4.0.conv1", "--permutations", 20, "--unit-pages", 2, "--top", 2]
    code, out, err = run_cli(*arguments, "--out", tmp_path / "run")
    assert code == 0
    assert out.strip() == f"Report: {tmp_path}/run/report.html"
    assert "demo: 1 layer, 96 units, 24 faces" in err
    run = Run.open(tmp_path / "run")
    assert set(run.table("coverage")["layer"]) == {"stage4.0.conv1"}
    code, _, err = run_cli(*arguments, "--out", tmp_path / "run")
    assert code == 2
    assert "complete run" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-f", "synthetic?n=9", "-o", "x"], "names no network"),
        (["-n", "demo", "-o", "x"], "names neither faces nor a dictionary"),
        (["-n", "demo", "-f", "synthetic?n=9", "-d", "d", "-o", "x"], "names faces and a dictionary"),
        (["-n", "demo", "-d", "nowhere", "-o", "x"], "nowhere"),
        (["-n", "demo", "-f", "synthetic?n=9", "--concepts", "no.toml", "-o", "x"], "no.toml"),
        (
            ["-n", "demo", "-f", "synthetic?n=9", "-o", "x", "--union", "al"],
            "cannot be 'al'; did you mean 'all'",
        ),
        (["-n", "demo", "-f", "synthetic?n=9"], "give --out FOLDER"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(run_cli, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    code, _, err = run_cli("study", "dissection", *arguments)
    assert code == 2
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert re.search(says, err)
    assert not (tmp_path / "x").exists()
