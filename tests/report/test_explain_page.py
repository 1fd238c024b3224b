"""The page of an explanation, of runs that were written by hand."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.report.page import Page, assert_nothing_is_fetched

from fusiform.report import write_report
from fusiform.runs import Run
from fusiform.studies.explain._schema import typed

PARTS = ("left_eye", "right_eye", "nose", "mouth")


def written(folder, request, tables, **record):
    run = Run.start(folder, {"study": "explain", "network": "n"} | request)
    run.record(
        network={"name": "net", "threshold": 0.35, "alignment": "arcface_112"},
        faces={
            "name": "set",
            "alignment": "resized only: the set has no landmarks, and the network expects 'arcface_112'",
        },
        **record,
    )
    for name, rows in tables.items():
        run.write_table(name, typed(name, [{"network": "net"} | row for row in rows]))
    (folder / "maps").mkdir()
    (folder / "images").mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for row in tables.get("maps", []) + tables.get("canonical_maps", []):
        np.save(folder / "maps" / row["file"], rng.normal(size=(16, 16)).astype(np.float32))
    for row in tables.get("images", []):
        Image.new("RGB", (16, 16), (150, 120, 90)).save(folder / "images" / row["file"])
    run.finish()
    return folder


def pair_tables():
    both = (("a<b>.png", "b.png"), ("b.png", "a<b>.png"))
    where = [{"image": image, "other": other, "target": "similarity"} for image, other in both]
    share = {"share": 0.4, "value": 0.2, "lower": 0.1, "upper": 0.3, "share_lower": 0.2, "share_upper": 0.6}
    return {
        "scores": [
            where[0]
            | {"score": 0.62, "threshold": 0.35, "lower": 0.31, "upper": 0.38, "decision": "match"}
            | {"match_probability": 0.9876}
        ],
        "images": [
            {
                "image": image,
                "role": role,
                "file": f"face_{k}.png",
                "parts_from": "fixed places of an aligned frontal face",
            }
            for k, (image, role) in enumerate((("a<b>.png", "first"), ("b.png", "second")))
        ],
        "maps": [
            who
            | {"method": method, "family": "gradient", "file": f"map_{k}_{j}.npy", "options": "relu=True"}
            | {"total": 1.0, "seconds": 0.5}
            for k, who in enumerate(where)
            for j, method in enumerate(("grad_cam?relu=true", "lrp"))
        ],
        "parts": [
            who | {"method": method, "part": part} | share
            for who in where
            for method in ("shapley", "lrp")
            for part in (*PARTS, *(["rest"] if method == "lrp" else []))
        ],
        "part_groups": [
            {"image": "", "other": "", "target": "similarity", "part": part, "images": 2} | share
            for part in ("eyes", "nose", "mouth")
        ],
        "findings": [{"image": "", "finding": "The similarity lies above the threshold."}],
        "not_applicable": [{"method": "cam", "why": "The head of 'net' is no global mean."}],
        "skipped": [{"image_id": "c.png", "method": "", "reason": "no landmarks to align by"}],
    }


PAIR = {"pair": ["a<b>.png", "b.png"], "calibrate": "folder:x"}
CALIBRATION = {
    "faces": "folder:x",
    "n_nonmate_pairs": 4000,
    "n_mate_pairs": 90,
    "n_identities": 30,
    "false_match_rate": 0.01,
    "false_non_match_rate": 0.05,
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain") / "run"
    written(folder, PAIR, pair_tables(), calibration=CALIBRATION)
    return folder, Page(write_report(folder).read_text(encoding="utf-8"))


def test_the_page_holds_all_it_shows(pair):
    assert_nothing_is_fetched(pair[1])


def test_the_head_says_what_was_found(pair):
    text = pair[1].text
    assert "Why a<b>.png and b.png match" in text
    assert "The similarity lies above the threshold." in text
    for figure in ("0.62", "0.35", "0.31 to 0.38", "0.988"):
        assert figure in text


def test_every_map_is_there_with_words_for_those_who_do_not_see_it(pair):
    alts = [attrs["alt"] or "" for tag, attrs in pair[1].tags if tag == "img"]
    for method in ("Grad-CAM", "LRP"):
        for image in ("a<b>.png", "b.png"):
            (alt,) = [alt for alt in alts if alt.startswith(f"Map of {method} for {image}: most for in the ")]
            assert "most against in the " in alt
    assert sum(alt.startswith("Face ") for alt in alts) == 2
    assert all(alts)


def test_both_maps_of_a_method_share_the_scale_that_is_told(pair):
    folder, page = pair
    maps = [np.load(folder / "maps" / f"map_{k}_1.npy") for k in range(2)]
    scale = np.quantile(np.abs(np.concatenate(maps)), 0.995)
    assert f"±{scale:.3f}" in page.text


def test_the_maps_are_a_picture_too(pair):
    with Image.open(pair[0] / "images" / "maps.png") as sheet:
        assert sheet.width > 400
        assert sheet.height > 500


def test_tables_and_sections_of_the_page(pair):
    page = pair[1]
    assert {"decision", "maps", "parts", "methods", "left-out", "networks", "cautions"} <= set(page.ids())
    assert page.row("nose", 3, "b.png")[2] == "0.40"
    assert page.row("left eye", 6, "b.png")[2:4] == ["0.40", "0.20 to 0.60"]
    assert page.row("c.png", 3)[2] == "no landmarks to align by"
    assert page.row("cam", 2)[1] == "The head of 'net' is no global mean."
    assert "4,000 pairs of two people" in page.text
    assert "outside the parts" in page.text


def test_cautions_name_what_the_maps_rest_on(pair):
    text = pair[1].text
    assert "The faces were not aligned, as the set has no landmarks" in text
    assert "Of a<b>.png and b.png neither masks nor 68 landmarks are known" in text
    assert "may be in the network's training set" in text
    assert "It does not say that two images show one person." in text


def test_two_people(tmp_path):
    ranked = {"first": "x", "second": "y", "lower": 1.1, "upper": 2.0, "share": 0.3, "area": 0.1, "n": 6}
    tables = {
        "look_alikes": [
            ranked | {"rank": 1, "part": "chin", "value": 1.5},
            ranked | {"rank": 2, "part": "eyes", "value": 1.2},
        ],
        "canonical_maps": [
            {"group": g, "what": "contrast", "file": f"c{k}.npy", "face": "none.png", "n": 3}
            for k, g in enumerate("xy")
        ],
        "pair_threshold": [
            {
                "value": 0.0785,
                "hits": 0.9,
                "false_alarms": 0.1,
                "n_matches": 6,
                "n_nonmatches": 7,
                "lit": 0.5,
                "n": 8,
            }
        ],
        "findings": [{"image": "", "finding": "To tell x and y apart, look at chin."}],
    }
    folder = written(tmp_path / "run", {"identities": ["x", "y"]}, tables)
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert "What tells x and y apart" in page.text
    assert "look at chin" in page.text
    assert page.row("chin", 6)[1:3] == ["1", "1.50"]
    assert "learned from 6 pairs of one person and 7 of two" in page.text
    assert (
        sum(str(a.get("alt")).startswith("Canonical saliency map of") for t, a in page.tags if t == "img")
        == 2
    )


@pytest.mark.parametrize("name", list(pair_tables()))
def test_a_page_without_one_of_its_tables(pair, tmp_path, name):
    shutil.copytree(pair[0], tmp_path / "run")
    (tmp_path / "run" / "tables" / f"{name}.parquet").unlink()
    page = Page(write_report(tmp_path / "run").read_text(encoding="utf-8"))
    assert "Explanation" in page.text


def test_missing_maps_and_files_outside_the_folder_are_left_out(pair, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(pair[0], folder)
    (folder / "maps" / "map_0_0.npy").unlink()
    maps = pd.read_parquet(folder / "tables" / "maps.parquet")
    np.save(tmp_path / "secret.npy", np.ones((4, 4)))
    maps.loc[1, "file"] = "../../secret.npy"
    maps.to_parquet(folder / "tables" / "maps.parquet")
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    alts = [str(attrs["alt"]) for tag, attrs in page.tags if tag == "img"]
    assert sum(alt.startswith("Map of") for alt in alts) == 2
    assert "none" in page.text


def test_an_empty_run_has_a_page(tmp_path):
    Run.start(tmp_path / "run", {"study": "explain", "network": "n", "images": ["a"]})
    page = Page(write_report(tmp_path / "run").read_text(encoding="utf-8"))
    assert "Nothing was found yet." in page.text
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "running"
