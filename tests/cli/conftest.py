import sys

import pytest

from fusiform.cli import main


@pytest.fixture
def run_cli(monkeypatch, capsys):
    """Run the command line: exit code, standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fusiform", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run
