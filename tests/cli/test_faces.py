import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fusiform.cli import main
from fusiform.faces import open_faces

SYNTHETIC = "synthetic?n=60&seed=1&size=48"


@pytest.fixture
def run_cli(monkeypatch, capsys, tmp_path):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fusiform", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return run


@pytest.fixture
def folder(tmp_path):
    """Two people, images of different sizes, one unreadable, two the same but for who is shown."""
    rng = np.random.default_rng(0)
    for person in ("ann [bold]", "bob"):
        (tmp_path / "faces" / person).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 256, (30 + i, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "faces" / person / f"{i}.png")
    (tmp_path / "faces" / "bob" / "1.png").write_bytes(b"no image")
    (tmp_path / "faces" / "bob" / "2.png").write_bytes(
        (tmp_path / "faces" / "ann [bold]" / "2.png").read_bytes()
    )
    return tmp_path / "faces"


def flat(text):
    return re.sub(r"\s+", " ", text)


def test_the_card_is_printed_and_a_contact_sheet_lies_here(run_cli, tmp_path):
    code, out, err = run_cli("faces", SYNTHETIC, "--n", 12)
    assert code == 0
    said = flat(out)
    assert "images 60" in said
    assert "size 48 x 48 (height x width)" in said
    assert "landmarks 68 points" in said
    assert re.search(r"Male binary \d+% yes 60 0", said)
    assert re.search(r"yaw continuous −\d.* to \d.* deg, median", said)
    assert re.search(r"phi −?0\.\d\d −?0\.\d\d to", said)
    assert "* marks an absolute value of at least 0.3" in said
    assert [p.name for p in (tmp_path / "here").iterdir()] == ["faces.png"]
    assert out.strip().endswith(f"Written: {tmp_path}/here/faces.png")
    assert "Reading faces" in err
    with Image.open(tmp_path / "here" / "faces.png") as page:
        assert page.width > 8 * 132


def test_nothing_is_replaced_unasked(run_cli, tmp_path):
    assert run_cli("faces", SYNTHETIC)[0] == 0
    before = (tmp_path / "here" / "faces.png").read_bytes()
    code, out, err = run_cli("faces", SYNTHETIC, "--seed", 1)
    assert (code, out) == (2, "")
    assert "'faces.png' is there already; give --overwrite to replace it" in err
    assert (tmp_path / "here" / "faces.png").read_bytes() == before
    assert run_cli("faces", SYNTHETIC, "--no-sheet")[0] == 0
    assert run_cli("faces", SYNTHETIC, "--seed", 1, "--overwrite")[0] == 0
    assert (tmp_path / "here" / "faces.png").read_bytes() != before


def test_card_and_correlations_into_a_folder(run_cli, tmp_path):
    code, out, _ = run_cli(
        "faces", SYNTHETIC, "--out", tmp_path / "card", "--by", "Male", "--columns", 4, "-q"
    )
    assert code == 0
    assert sorted(p.name for p in (tmp_path / "card").iterdir()) == [
        "card.json",
        "correlations.csv",
        "faces.png",
    ]
    assert list((tmp_path / "here").iterdir()) == []
    card = json.loads((tmp_path / "card" / "card.json").read_text(encoding="utf-8"))
    assert (card["n"], card["spec"]) == (60, SYNTHETIC)
    pairs = pd.read_csv(tmp_path / "card" / "correlations.csv")
    assert pairs["value"].abs().is_monotonic_decreasing
    assert f"the strongest 20 of {len(pairs):,} pairs" in out
    code, _, err = run_cli("faces", SYNTHETIC, "--out", tmp_path / "card")
    assert code == 2
    assert "faces.png' (and 2 more) is there already" in err


def test_what_is_wrong_with_a_folder_is_told(run_cli, folder):
    code, out, err = run_cli("faces", f"folder:{folder}", "-q")
    assert (code, err) == (0, "")
    said = flat(out)
    assert "images 5" in said
    assert "left out 1: not an image in a known format" in said
    assert "people 2, with 2 to 3 images (median 2.5); 0 with one image" in said
    assert "size 3 different: height 30 to 32, width 24 to 24" in said
    assert "duplicates 2 images in 1 groups are the same; groups that differ: identity in 1" in said
    assert "No two attributes can be compared." in said
    assert "The people shown may be in the training set" in said
    code, out, _ = run_cli("faces", f"folder:{folder}", "-q", "--no-check", "--overwrite")
    assert code == 0
    assert "images 6" in flat(out)
    assert "duplicates" not in out


def test_words_of_a_set_are_no_markup(run_cli, tmp_path):
    table = tmp_path / "t.csv"
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    table.write_text('file,mood\na.png,"[red]good[/red]"\n', encoding="utf-8")
    code, out, _ = run_cli("faces", f"table:{table}?categorical=mood", "-q")
    assert code == 0
    assert "[red]good[/red] 100%" in out


def test_predicted_attributes_are_marked(run_cli, tmp_path):
    from fusiform.faces import export_faces
    from fusiform.networks import load_network, predict_attribute

    net = load_network("mini_xception?classes=2")
    faces = predict_attribute(net, open_faces(SYNTHETIC), "PR_MALE", output="man", error="random")
    table = export_faces(faces, tmp_path / "predicted")
    code, out, _ = run_cli("faces", f"table:{table}", "-q", "--no-sheet")
    assert code == 0
    assert "PR_MALE (predicted) continuous" in flat(out)
    assert "PR_MALE was predicted by mini_xception_sex (random weights): probability of 'man'" in flat(out)


def test_an_export_is_read_back(run_cli, tmp_path):
    out_folder = tmp_path / "out"
    arguments = ["faces", SYNTHETIC, "--no-sheet", "--export", out_folder, "--masks", "mouth,hair"]
    code, out, err = run_cli(*arguments)
    assert code == 0
    assert f"Written: {out_folder}/table.csv" in out
    assert "Writing images: 60/60" in err
    faces, again = open_faces(SYNTHETIC), open_faces(f"table:{out_folder}/table.csv")
    assert again.table.equals(faces.table)
    assert again.parts == ("mouth", "hair")
    assert (again.mask("hair") == faces.mask("hair")).all()
    assert run_cli(*arguments)[0] == 0  # the same again: nothing to do
    code, _, err = run_cli("faces", "synthetic?n=3&size=48", "--no-sheet", "--export", out_folder)
    assert code == 2
    assert "holds an export of 'synthetic' that is not the one asked for" in err


def test_joined_sets(run_cli, folder, tmp_path):
    code, out, _ = run_cli(
        "faces", f"join:{SYNTHETIC}|folder:{folder}", "--by", "set", "-q", "-o", tmp_path / "o"
    )
    assert code == 0
    said = flat(out)
    assert "set 'synthetic' 60 images" in said
    assert "set categorical synthetic 92%, faces 7.7%" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sinthetic?n=9"], "did you mean 'synthetic'"),
        ([SYNTHETIC, "--by", "Mael"], "no attribute 'Mael' to group by; did you mean 'Male'"),
        ([SYNTHETIC, "--masks", "mouth"], "give --export FOLDER with it"),
        ([SYNTHETIC, "--export", "e", "--masks", "muoth"], "no mask of 'muoth'; did you mean 'mouth'"),
        ([SYNTHETIC, "--n", "0"], "--n and --columns must be at least 1; got 0 and 8"),
        ([SYNTHETIC, "--columns", "-1"], "--n and --columns must be at least 1; got 48 and -1"),
    ],
)
def test_an_error_is_one_line_and_nothing_is_written(run_cli, tmp_path, arguments, says):
    code, out, err = run_cli("faces", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert says in err
    assert list((tmp_path / "here").iterdir()) == []
