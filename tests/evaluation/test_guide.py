"""The guide's Python runs, and its table names every measure."""

import re
from pathlib import Path

import fusiform.evaluation as evaluation

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def test_the_examples_run(capsys):
    for code in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL):
        exec(compile(code, "evaluation.md", "exec"), {})
    assert "Summary(value=" in capsys.readouterr().out


def test_every_function_is_told():
    functions = {n for n in evaluation.__all__ if n[0].islower()}
    assert {n for n in functions if f"`{n}`" not in GUIDE and f".{n}(" not in GUIDE} == set()
