import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.report.page import Page, assert_nothing_is_fetched

from fusiform.errors import DataError, RunError
from fusiform.report import write_report
from fusiform.report.audit._material import read_material
from fusiform.report.audit._summary import findings, sentences
from fusiform.runs import Run

SECTIONS = ["summary", "cautions", "reading", "faces", "depth", "heatmap", "best", "verification", "attributes", "skipped", "network", "layers", "data", "asked"]  # fmt: skip


@pytest.fixture
def page(folder, tables):
    return Page(write_report(folder(tables, images=4)).read_text(encoding="utf-8"))


def test_every_section_is_there_and_named_in_the_list_of_sections(page):
    assert [i for i in page.ids() if i in SECTIONS] == SECTIONS
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert {f"#{name}" for name in SECTIONS} <= set(links)


def test_the_page_is_made_from_the_folder_alone_and_again(folder, tables):
    path = folder(tables, images=2)
    first = write_report(path)
    assert first == path / "report.html"
    content = first.read_bytes()
    first.unlink()
    assert write_report(Run.open(path)).read_bytes() == content
    assert sorted(p.name for p in path.iterdir()) == ["images", "report.html", "run.json", "tables"]


def test_nothing_is_fetched(page):
    assert_nothing_is_fetched(page)


def test_plotly_is_there_once_and_its_cloud_button_is_not(whole_plotly, page):
    assert sum("* plotly.js v" in script for script in page.scripts) == 1
    assert sum(len(script) > 1_000_000 for script in page.scripts) == 1
    assert not any(attrs.get("src") for tag, attrs in page.tags if tag == "script")
    own = page.scripts[-1]
    assert "showSendToCloud: false" in own
    assert "modeBarButtons: [[" in own


def test_a_page_without_plots_does_not_carry_plotly(folder):
    written = write_report(folder())
    assert written.stat().st_size < 100_000


def test_text_is_escaped_everywhere(folder, tables):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>&\"'</title>"
    for name in ("probes", "best", "attributes"):
        tables[name] = tables[name].replace({"attribute": {"Eyeglasses": evil}})
    for name in ("probes", "best", "layers"):
        tables[name] = tables[name].replace({"layer": {"stage1": evil + "l"}})
    tables["skipped"] = pd.DataFrame([{"image_id": evil, "reason": evil}])
    path = folder(
        tables,
        images=1,
        network={"name": evil, "paper": evil},
        faces={"name": evil, "n": 10, "attributes": [{"name": evil, "predicted_by": evil}]},
        request={evil: evil},
    )
    source = write_report(path).read_text(encoding="utf-8")
    page = Page(source)
    scripts = [tag for tag, _ in page.tags if tag == "script"]
    # Four attributes of three kinds: a plot over depth and a heat map each, looks, plotly, and our own.
    assert len(scripts) == 3 * 2 + 3
    assert not any("onerror" in attrs for _, attrs in page.tags)
    assert all(str(attrs["src"]).startswith("data:") for tag, attrs in page.tags if tag == "img")
    assert "<script>alert" not in source
    assert evil in page.text


def test_a_closing_script_in_plotly_or_data_cannot_end_a_script(page):
    assert all("</script" not in script.lower() for script in page.scripts)


def test_numbers_are_those_of_the_tables(page):
    assert page.row("Eyeglasses", 9)[2:9] == [
        "stage1",
        "0.97",
        "0.95 to 0.99",
        "",
        "0.71",
        "+0.26",
        "0.50",
    ]
    assert page.row("Big_Lips", 9)[2:8] == ["stage1", "0.60", "0.58 to 0.62", "", "0.61", "−0.01 *"]
    yaw = page.row("yaw", 10, "stage1")
    assert yaw[2:5] == ["stage1", "0.90", "0.88 to 0.92"]
    assert yaw[-1] == "1.00 deg"
    assert page.row("race", 9)[3:9] == ["0.70", "0.68 to 0.72", "", "0.40", "+0.30", "0.25"]
    assert page.row("random weights", 6)[2:] == ["0.621", "0.611 to 0.626", "1,200", "54,000"]
    assert page.row("yaw", 4) == ["yaw", "0.50", "0.90", "0.80"]
    assert page.row("Left_Out", 4) == ["Left_Out", "binary", "3,990", "one class only"]
    assert page.row("Eyeglasses", 10, "binary")[1:9] == [
        "binary",
        "25%",
        "3,990",
        "10",
        "2,400",
        "800",
        "800",
        "200",
    ]


def test_summary_of_known_tables(folder, tables):
    said = sentences(read_material(Run.open(folder(tables))))
    assert said[0] == (
        "demo (271,000 parameters) was shown 4,000 faces of “people”. 3 of its layers were asked for 4 attributes "
        "of the face: can a simple read-out tell the attribute from the layer's activations, for people it was not "
        "fitted on?"
    )
    assert said[1] == (
        "The network knows Eyeglasses best: balanced accuracy 0.97 at stage1 (95% interval 0.95 to 0.99; chance "
        "0.50, with random weights 0.71)."
    )
    assert "It knows Big_Lips least (0.60, chance 0.50)." in said
    assert (
        "Of the measured quantities, yaw is read out best: R² 0.90 at stage1 (95% interval 0.88 to 0.92, on average "
        "1.00 deg off)."
    ) in said
    assert (
        "1 of 4 attributes is never read out above the same network with random weights: Big_Lips."
    ) in said
    assert "3 of 4 attributes are read out best in the middle third of the probed layers." in said
    assert said[-1] == (
        "As a verifier it tells the same person from another with an area under the ROC curve of 0.984 at its fc "
        "(chance 0.5, with random weights 0.621)."
    )


def test_findings_count_by_interval_and_not_by_value():
    row = {"attribute": "a", "layer": "x", "lower": 0.6, "chance": 0.5, "control_value": 0.61}
    best = pd.DataFrame(
        [
            row,
            row | {"attribute": "b", "control_value": 0.59},
            row | {"attribute": "c", "control_value": np.nan, "lower": 0.5},
        ]
    )
    found = findings(best, ["x", "y", "z"])
    assert found.below_control == ["a"]
    assert found.without_control == ["c"]
    assert found.below_chance == ["c"]
    assert found.thirds == (3, 0, 0)


def test_missing_tables_are_said_to_be_not_measured(folder):
    page = Page(
        write_report(folder(network={}, faces={}, request={}, environment={}, timings={})).read_text()
    )
    assert [i for i in page.ids() if i in SECTIONS] == SECTIONS
    # All but summary, cautions and how to read; what was asked has three parts.
    assert page.text.count("Not measured:") == len(SECTIONS) - 3 + 2


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: {k: v for k, v in t.items() if k != "best"}, id="no best"),
        pytest.param(
            lambda t: {"probes": t["probes"][~t["probes"]["control"]]}, id="no control, probes only"
        ),
        pytest.param(lambda t: {"probes": t["probes"][t["probes"]["layer"] == "fc"]}, id="one layer"),
        pytest.param(
            lambda t: {"probes": t["probes"][t["probes"]["attribute"] == "yaw"]}, id="one attribute"
        ),
        pytest.param(lambda t: {k: v.iloc[:0] for k, v in t.items()}, id="empty tables"),
        pytest.param(
            lambda t: t | {"probes": t["probes"].assign(lower=np.nan, upper=np.nan)}, id="no intervals"
        ),
    ],
)
def test_other_shapes_of_runs(folder, tables, change):
    page = Page(write_report(folder(change(tables))).read_text(encoding="utf-8"))
    assert [i for i in page.ids() if i in SECTIONS] == SECTIONS
    assert not re.search(r"\bnan\b|\bNone\b(?!: every image)", page.text)


def test_without_control_says_so_and_compares_with_chance(folder, tables):
    tables["probes"] = tables["probes"][~tables["probes"]["control"]]
    tables["best"] = tables["best"].assign(control_value=np.nan, control_layer=None)
    page = Page(write_report(folder(tables)).read_text(encoding="utf-8"))
    assert (
        "All are read out above chance; no random-weights control was measured to compare with." in page.text
    )
    assert "No random-weights control was measured." in page.text
    assert page.row("Eyeglasses", 7)[3:5] == ["0.97", "0.95 to 0.99"]


def test_cautions(folder, tables):
    tables["attributes"].loc[0, "rarer_test"] = 41
    path = folder(
        tables,
        faces={"name": "people", "n": 9, "attributes": [{"name": "Male", "predicted_by": "guesser"}]},
        status="running",
    )
    text = Page(write_report(path).read_text(encoding="utf-8")).text
    assert "The people shown may be in the network's training set." in text
    assert "predicted by guesser: Male." in text
    assert "Thin: Eyeglasses has fewer than 100 test images in the rarer class." in text
    assert "This run is not complete" in text
    assert "The set does not say who is shown" in text


def test_synthetic_faces_are_called_so(folder, tables):
    faces = {"name": "synthetic", "n": 9, "n_identities": 3, "provenance": {"synthetic": True}}
    text = Page(write_report(folder(tables, faces=faces)).read_text(encoding="utf-8")).text
    assert "The faces are synthetic" in text
    assert "training set" not in text
    assert "The set does not say who is shown" not in text


def test_example_faces_stay_within_their_folder_and_broken_ones_are_left_out(folder):
    path = folder(images=3)
    (path / "images" / "example_01.png").write_bytes(b"not an image")
    listed = (path / "images" / "examples.json").read_text()
    (path / "images" / "examples.json").write_text(listed.replace("example_02.png", "../run.json"))
    page = Page(write_report(path).read_text(encoding="utf-8"))
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert [image["alt"] for image in images] == ["Face person/0.jpg: Male, yaw 12.5, race blue"]


def test_large_images_are_made_small(folder, tmp_path):
    from PIL import Image

    path = folder(images=1)
    pixels = np.random.default_rng(0).integers(0, 255, (600, 500, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path / "images" / "example_00.png")
    page = Page(write_report(path).read_text(encoding="utf-8"))
    source = next(str(attrs["src"]) for tag, attrs in page.tags if tag == "img")
    assert source.startswith("data:image/jpeg;base64,")
    assert len(source) < 80_000


def test_skipped_images_are_counted_and_their_names_bounded(folder):
    skipped = pd.DataFrame({"image_id": [f"{i}.jpg" for i in range(1203)], "reason": "truncated"})
    page = Page(write_report(folder({"skipped": skipped})).read_text(encoding="utf-8"))
    assert "1,203 images could not be read and were left out: truncated (1,203)." in page.text
    assert "203 more are in tables/skipped.parquet." in page.text


def test_size_is_stated(whole_plotly, folder, tables):
    path = write_report(folder(tables))
    stated = re.search(r"This page is ([\d.]+) MB", Page(path.read_text(encoding="utf-8")).text)
    assert stated is not None
    assert float(stated[1]) == pytest.approx(path.stat().st_size / 1e6, abs=0.06)


def test_it_is_readable_without_seeing(page):
    for tag, attrs in page.tags:
        if tag == "img":
            assert attrs["alt"]
        if tag == "svg":
            assert attrs.get("aria-label") or attrs.get("aria-hidden")
    n_tables = sum(tag == "table" for tag, _ in page.tags)
    assert n_tables == sum(tag == "caption" for tag, _ in page.tags) > 5
    assert sum(tag == "h1" for tag, _ in page.tags) == 1


def test_errors(folder, tables, tmp_path):
    with pytest.raises(RunError, match="is not a run folder"):
        write_report(tmp_path / "nowhere")
    tables["best"] = tables["best"].drop(columns=["lower"])
    with pytest.raises(DataError, match=r"The table 'best' lacks the columns \['lower'\]"):
        write_report(folder(tables))


def test_open_shows_the_page(folder, monkeypatch: pytest.MonkeyPatch):
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    path: Path = write_report(folder(), open=True)
    assert shown == [path.resolve().as_uri()]
