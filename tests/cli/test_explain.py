import re
import tomllib
from pathlib import Path

import pytest

from fusiform.runs import Run
from fusiform.studies import ExplainRequest
from fusiform.studies.explain import _shares

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "explain.toml"
FACES = "synthetic?identities=3&per_identity=2&seed=3&size=32"


@pytest.fixture(autouse=True)
def one_variant(monkeypatch):
    """One way to hide parts, as eight take the demo network long."""
    monkeypatch.setattr(_shares, "variants", lambda size: [("mean", 0, 0)])


def test_the_example_is_a_request():
    options = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    options.pop("out")
    assert ExplainRequest.from_mapping(options).kind == "pair"


def test_help_names_the_questions(run_cli):
    assert "explain" in run_cli("--help")[1]
    code, out, _ = run_cli("explain", "--help")
    assert code == 0
    for option in ("--pair", "--nonmate", "--images", "--identities", "--class", "--calibrate"):
        assert option in out


def test_a_pair_and_its_report(run_cli, tmp_path):
    arguments = ["explain", "-n", "demo", "-f", FACES, "--pair", "000000", "000001"]
    arguments += [
        "--methods",
        "gradient,grad_cam?relu=true",
        "--threshold",
        "-0.2",
        "--out",
        tmp_path / "run",
    ]
    code, out, err = run_cli(*arguments)
    assert code == 0, err
    assert out.strip() == f"Report: {tmp_path}/run/report.html"
    assert "The similarity of 000000 and 000001" in err
    assert "the threshold −0.20" in err
    assert (tmp_path / "run" / "images" / "maps.png").exists()
    assert set(Run.open(tmp_path / "run").table("maps")["method"]) == {"gradient", "grad_cam?relu=true"}


def test_images_follow_one_option(run_cli, tmp_path):
    arguments = [
        "explain",
        "-n",
        "demo",
        "-f",
        FACES,
        "--images",
        "000003",
        "000001",
        "--methods",
        "gradient",
    ]
    code, _, err = run_cli(*arguments, "--target", "activation:stage2:1", "-o", tmp_path / "run", "-q")
    assert code == 0, err
    assert Run.open(tmp_path / "run").table("scores")["image"].tolist() == ["000003", "000001"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-n", "demo", "-o", "x"], "asks no question"),
        (["-n", "demo", "--pair", "a.png", "b.png"], "give --out FOLDER"),
        (["--pair", "a.png", "b.png", "-o", "x"], "names no network"),
        (["-n", "demo", "--pair", "a.png", "b.png", "-o", "x"], "There is no image file 'a.png'"),
        (["-n", "demo", "a.png", "-o", "x"], "no classes, so there is nothing to explain"),
        (["-n", "demo", "-f", FACES, "--pair", "0", "000001", "-o", "x"], "have no image '0'"),
        (
            ["-n", "demo", "-f", FACES, "--pair", "000000", "000001", "--methods", "lpr", "-o", "x"],
            "did you mean 'lrp'",
        ),
        (
            ["-n", "demo", "-f", FACES, "--identities", "s3_00000", "nobody", "-o", "x"],
            "show nobody called 'nobody'",
        ),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(run_cli, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    code, _, err = run_cli("explain", *arguments)
    assert code == 2
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert re.search(says, err)
    assert not (tmp_path / "x").exists()
