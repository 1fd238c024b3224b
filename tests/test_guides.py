"""The guides' Python runs, their TOML is a description, and their tables are whole."""

import re
from pathlib import Path

from fusiform.faces import open_faces, synthetic
from fusiform.faces.readers import READERS

DOCS = Path(__file__).resolve().parents[1] / "docs"


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_examples_on_synthetic_faces_run() -> None:
    scope: dict[str, object] = {}
    for code in blocks("synthetic.md", "python"):
        exec(compile(code, "synthetic.md", "exec"), scope)
    assert len(scope["faces"]) == 2  # type: ignore[arg-type]


def test_the_description_is_one(tmp_path: Path) -> None:
    (text,) = blocks("synthetic.md", "toml")
    file = tmp_path / "set.toml"
    file.write_text(text, encoding="utf-8")
    faces = open_faces(f"synthetic?description={file}&n=400")
    table = faces.table
    assert abs(table["Eyeglasses"].mean() - 0.5) < 0.01
    assert table["yaw"].abs().max() <= 45
    assert not table["Wearing_Hat"].any()
    assert abs(table["Male"].astype(float).corr(table["Eyeglasses"].astype(float)) - 0.6) < 0.03


def test_the_specification_in_the_text_opens() -> None:
    (spec,) = re.findall(
        r"`(synthetic\?n=2000&marginals[^`]*)`", (DOCS / "synthetic.md").read_text(encoding="utf-8")
    )
    assert len(open_faces(spec)) == 2000


def test_every_factor_and_scheme_is_told() -> None:
    text = (DOCS / "synthetic.md").read_text(encoding="utf-8")
    untold = [
        n
        for n, f in synthetic.FACTORS.items()
        if f"`{n}`" not in text and n not in synthetic.IDENTITY_NUMBERS
    ]
    # Colours, places in the background and the seed of the noise are told as a group.
    assert [n for n in untold if not re.search(r"hue|saturation|lightness|light|seed", n)] == []
    listed = set(
        re.findall(
            r"`(\w+)`",
            "\n".join(
                re.findall(
                    r"^\| (`.*?) \|", (DOCS / "faces.md").read_text(encoding="utf-8"), flags=re.MULTILINE
                )
            ),
        )
    )
    assert listed - {"join"} == set(READERS)
