import sys

import pytest

from fusiform.cli import main
from fusiform.faces import open_dictionary


@pytest.fixture
def run_cli(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fusiform", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run


SPEC = "synthetic?n=12&size=48&seed=3&identities=12"


def test_a_dictionary_is_built_told_and_saved(run_cli, tmp_path):
    (tmp_path / "mine.toml").write_text(
        '[[local]]\nname = "Glabella"\nkind = "part"\nregion = "Eye"\nlandmarks = "21 22 27 28"\n'
    )
    code, out, _ = run_cli(
        "dictionary",
        SPEC,
        "--concepts",
        tmp_path / "mine.toml",
        "--out",
        tmp_path / "d",
        "--no-balance",
        "-q",
    )
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "nose 12" in lines
    assert "Glabella 12 ellipses" in lines
    assert "Gender (groups of faces)" in lines
    assert "Not there, no column 'ethnicity' or 'race':" in lines
    saved = open_dictionary(tmp_path / "d")
    assert "Glabella" in saved.concepts.names
    assert saved.settings["balance"] is False


def test_an_option_that_cannot_be_is_one_line(run_cli):
    code, _, err = run_cli("dictionary", SPEC, "--masks", "drawn")
    assert code == 2
    assert err.startswith("Error: --masks must be auto, exact or ellipses; got 'drawn'.")
