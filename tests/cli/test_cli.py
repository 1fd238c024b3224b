import subprocess
import sys

import pytest


def test_help_lists_every_command_and_does_not_import_torch():
    code = "import sys, fusiform.cli._app; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_audit_from_a_toml_file_with_the_command_line_winning(run_cli, tmp_path):
    config = tmp_path / "audit.toml"
    config.write_text(
        'network = "demo"\nfaces = "synthetic?n=600&seed=1&size=48"\nattributes = ["Eyeglasses"]\n'
        'layers = ["stage3"]\nn_train = 100\nn_valid = 40\ncontrol = false\n'
        f'out = "{tmp_path}/ignored"\n'
    )
    code, out, err = run_cli("audit", "--config", config, "--layers", "pool", "--out", tmp_path / "run")
    assert code == 0
    assert out.strip() == f"Report: {tmp_path}/run/report.html"
    assert "faces through the network" in err
    from fusiform.runs import Run

    assert set(Run.open(tmp_path / "run").table("probes").layer) == {"pool"}
    assert not (tmp_path / "ignored").exists()
    code, _, err = run_cli("audit", "--config", config, "--layers", "pool", "--out", tmp_path / "run")
    assert code == 2
    assert "complete run" in err
    (tmp_path / "run" / "report.html").unlink()
    code, out, _ = run_cli("report", tmp_path / "run")
    assert code == 0
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["audit", "--network", "demo"], "Give|give --out FOLDER"),
        (["audit", "--network", "demo", "--out", "x"], "names no faces"),
        (["audit", "--network", "dmeo", "--faces", "synthetic?n=9", "--out", "x"], "did you mean 'demo'"),
        (
            ["audit", "--network", "demo", "--faces", "sinthetic?n=9", "--out", "x"],
            "did you mean 'synthetic'",
        ),
        (["audit", "--config", "no.toml", "--out", "x"], "There is no file 'no.toml'"),
        (["report", "nowhere"], "not a run folder"),
        (["layers", "--network", "timm:resnet5000"], "resnet50"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(run_cli, arguments, says, tmp_path, monkeypatch):
    import re

    monkeypatch.chdir(tmp_path)
    code, _, err = run_cli(*arguments)
    assert code == 2
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert re.search(says, err)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_toml_file_is_said(run_cli, tmp_path):
    (tmp_path / "a.toml").write_text("network = ")
    code, _, err = run_cli("audit", "--config", tmp_path / "a.toml", "--out", tmp_path / "run")
    assert code == 2
    assert "cannot be read as TOML" in err


def test_layers_are_listed(run_cli):
    code, out, _ = run_cli("layers", "--network", "demo")
    assert code == 0
    assert "residual_sum" in out
    assert "*" in out


def test_doctor_says_that_the_demo_runs(run_cli):
    code, out, _ = run_cli("doctor")
    assert code == 0
    assert "demo network runs" in out


def test_version(run_cli):
    import fusiform

    assert run_cli("--version")[1].strip() == f"fusiform {fusiform.__version__}"
