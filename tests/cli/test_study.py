import re
import subprocess
import sys

import pytest
from PIL import Image

from fusiform.errors import DataError
from fusiform.runs import Run

OFF = "".join(
    f"{name} = false\n"
    for name in ("control", "selectivity", "confounds", "ablation", "consistency", "geometry")
)


@pytest.fixture
def config(tmp_path):
    """A study of one layer and one attribute, on 240 grey images of 60 people."""
    folder = tmp_path / "faces"
    folder.mkdir()
    rows = ["image,identity,brightness"]
    for number in range(240):
        brightness = 16 + (37 * number) % 223
        Image.new("RGB", (32, 32), (brightness, brightness, 255 - brightness)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,person{number % 60:02d},{brightness + 0.5}")
    (folder / "labels.csv").write_text("\n".join(rows))
    file = tmp_path / "layers.toml"
    file.write_text(
        f'network = ["early=demo"]\nfaces = "table:{folder}/labels.csv"\n'
        'attributes = ["brightness"]\nlayers = ["stage3"]\nunits = ["layer"]\nn_train = 100\nn_valid = 40\n'
        f'quick = true\nout = "{tmp_path}/ignored"\n{OFF}'
    )
    return file


def test_help_is_there_without_torch():
    code = "import sys, fusiform.cli._study; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_names_the_studies(run_cli):
    code, out, _ = run_cli("study", "--help")
    assert code == 0
    assert "layers" in out
    code, out, _ = run_cli("study", "layers", "--help")
    assert code == 0
    assert "--no-ablation" in out


def test_a_study_from_a_toml_file_with_the_command_line_winning(run_cli, config, tmp_path):
    out_folder = tmp_path / "run"
    code, out, err = run_cli(
        "study",
        "layers",
        "--config",
        config,
        "--network",
        "late=demo",
        "--layers",
        "stage2",
        "--out",
        out_folder,
    )
    assert code == 0
    assert out.strip() == f"Report: {out_folder}/report.html"
    assert "Networks: 1, attributes: 1, faces: 240, by layer; experiments: probing, identification" in err
    probes = Run.open(out_folder).table("probes")
    assert set(probes.layer) == {"stage2"}
    assert set(probes.setup) == {"late"}
    assert not (tmp_path / "ignored").exists()
    code, _, err = run_cli(
        "study", "layers", "--config", config, "-n", "late=demo", "--layers", "stage2", "--out", out_folder
    )
    assert code == 2
    assert "complete run" in err


@pytest.mark.parametrize(
    ("error", "exit_code", "says"),
    [
        (RuntimeError("out of luck"), 1, "Failed: identification of 'demo'; .*same command again"),
        (
            DataError("too few"),
            0,
            "Not possible with these faces and networks: identification of 'demo'; run.json says why",
        ),
    ],
)
def test_a_failed_experiment_is_told_and_exit_code_1_if_it_may_be_done_again(
    run_cli, config, tmp_path, monkeypatch, error, exit_code, says
):
    from dataclasses import replace

    from fusiform.studies.layers import _study

    def failing(bench, subject, probes):
        raise error

    monkeypatch.setattr(_study, "EXPERIMENTS", [replace(e, measure=failing) for e in _study.EXPERIMENTS])
    code, out, err = run_cli("study", "layers", "--config", config, "--out", tmp_path / "run", "--quiet")
    assert code == exit_code
    assert "Report: " in out
    assert re.search(says, err)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--network", "demo"], "give --out FOLDER"),
        (["--network", "demo", "--out", "x"], "names no faces"),
        (["--faces", "synthetic?n=9", "--out", "x"], "names no network"),
        (["--network", "a=dmeo", "--faces", "synthetic?n=9", "--out", "x"], "did you mean 'demo'"),
        (["--config", "no.toml", "--out", "x"], "There is no file 'no.toml'"),
        (
            ["--config", "odd.toml", "--out", "x"],
            "'odd.toml' has an unknown option 'selectvity'; did you mean",
        ),
        (["--config", "wrong.toml", "--out", "x"], "'ablation' in 'wrong.toml' must be true or false"),
        (["-n", "demo", "-f", "synthetic?n=9", "-o", "x", "--baseline", "full"], "cannot be 'full'"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(run_cli, arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.toml").write_text('network = "demo"\nfaces = "synthetic?n=9"\nselectvity = true\n')
    (tmp_path / "wrong.toml").write_text('network = "demo"\nfaces = "synthetic?n=9"\nablation = "no"\n')
    code, _, err = run_cli("study", "layers", *arguments)
    assert code == 2
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert re.search(says, err)
    assert not (tmp_path / "x").exists()
