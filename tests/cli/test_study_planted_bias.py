import re
import tomllib
from pathlib import Path

import pytest

from fusiform.studies import PlantedBiasRequest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "planted_bias.toml"


def test_the_example_is_a_request():
    options = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    options.pop("out")
    assert PlantedBiasRequest.from_mapping(options).levels == [50, 100]


def test_help_names_the_study(run_cli):
    assert "planted-bias" in run_cli("study", "--help")[1]
    code, out, _ = run_cli("study", "planted-bias", "--help")
    assert code == 0
    assert "--percents" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--cues", "grey"], "No run folder was named"),
        (["--cues", "gray", "--out", "x"], "cannot be 'gray'; did you mean 'grey'"),
        (["--percents", "50,101", "--out", "x"], "whole numbers of 50 to 100, one at least; got '101'"),
        (["--network", "demo", "--out", "x"], "must be a ResNet of the zoo"),
        (["--faces", "synthetics?n=9", "--out", "x"], "synthetic"),
        (["--faces", "folder:no_such", "--out", "x"], "no_such"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(run_cli, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    code, _, err = run_cli("study", "planted-bias", *arguments)
    assert code == 2
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert re.search(says, err)
    assert not (tmp_path / "x").exists()
