"""README's Python runs, its TOML is a request, and its commands and files exist."""

import re
import tomllib
from pathlib import Path

import pytest

from fusiform.studies import AuditRequest, LayersRequest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_examples_run(tmp_path, monkeypatch, capsys):
    audit, explain = blocks("python")
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(compile(explain, "README.md", "exec"), found)
    assert found["maps"].shape == (1, *found["net"].card.input_size)
    exec(compile(audit, "README.md", "exec"), {})
    assert "stage" in capsys.readouterr().out
    assert (tmp_path / "runs" / "notebook" / "report.html").exists()


def test_the_toml_example_is_a_request():
    (text,) = blocks("toml")
    assert AuditRequest.from_mapping(tomllib.loads(text)).network == "demo"


def test_the_demo_is_a_request():
    text = (ROOT / "examples" / "demo.toml").read_text(encoding="utf-8")
    assert AuditRequest.from_mapping(tomllib.loads(text)).network == "demo"


def test_the_study_of_layers_is_a_request():
    text = (ROOT / "examples" / "layers.toml").read_text(encoding="utf-8")
    assert LayersRequest.from_mapping(tomllib.loads(text)).network == ("demo",)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_linked_files_exist(target):
    assert (ROOT / target).exists()


def commands():
    """Every command by its full name, such as "study layers"."""
    from typer.main import get_command

    from fusiform.cli._app import app

    found = {}
    for name, command in get_command(app).commands.items():
        found[name] = command
        for inner, own in getattr(command, "commands", {}).items():
            found[f"{name} {inner}"] = own
    return found


def test_commands_and_options_exist():
    known = commands()
    used = re.findall(r"fusiform ([a-z]+(?: [a-z-]+)?)((?:[^\n`\\]|\\\n)*)", "\n".join(blocks("sh")))
    assert used
    for words, rest in used:
        name = words if words in known else words.split()[0]
        options = {opt for parameter in known[name].params for opt in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options, name


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_every_command_and_option_is_documented():
    """`docs/cli.md` names every command and every option."""
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for name, command in commands().items():
        section = text.partition(f"## fusiform {name}\n")[2].partition("\n## ")[0]
        assert section, name
        for parameter in command.params:
            for option in [o for o in parameter.opts if o.startswith("--")]:
                assert f"`{option}" in section, f"{name} {option}"
