"""The page of a study of planted bias."""

import re

import numpy as np
import pandas as pd
import pytest
from tests.report import planted_bias_tables as planted
from tests.report.page import Page, assert_nothing_is_fetched
from tests.report.test_dissection_page import figures, page_of, section

from fusiform.errors import DataError
from fusiform.report import write_report
from fusiform.report.planted_bias._material import read_material
from fusiform.report.planted_bias._summary import key_figures, sentences
from fusiform.runs import Run

MEASURED = ["findings", "design", "accuracy", "regions", "grey", "top"]
SECTIONS = ["summary", *MEASURED, "faces", "skipped", "networks", "cautions", "data", "asked"]
TABLES = planted.planted_tables()
ASKED = {"study": "planted-bias", "cues": ["eyeglasses", "grey"]}
RECORD = {"stages": {str(k): v for k, v in planted.STAGES.items()}, "problems": []}


@pytest.fixture
def study(folder):
    """A function that writes the folder of a study of planted bias."""

    def write(tables=None, **record):
        return folder(TABLES if tables is None else tables, **({"request": ASKED} | RECORD | record))

    return write


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The page of all planted tables and their pictures, written once."""
    run = Run.start(tmp_path_factory.mktemp("planted") / "run", ASKED)
    for name, table in TABLES.items():
        run.write_table(name, table)
    run.record(network={"name": "resnet10"}, faces={"name": "people", "n": 4000}, **RECORD)
    run.finish()
    planted.write_sprites(run.path, pd.concat([TABLES["top"], TABLES["training"]]))
    patch = pytest.MonkeyPatch()
    patch.setattr("fusiform.report._page.get_plotlyjs", lambda: "/* plotly.js v0 */")
    source = page_of(run.path)
    patch.undo()
    return source


def only(cue):
    return {name: t[t["cue"] == cue] if "cue" in t else t[t["setup"] == cue] for name, t in TABLES.items()}


def test_every_section_is_there_in_order_and_in_the_list_of_sections(whole):
    page = Page(whole)
    assert [i for i in page.ids() if i in SECTIONS] == SECTIONS
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert [f"#{name}" for name in SECTIONS] == links[1:]
    for name in MEASURED:
        assert "Not measured:" not in section(whole, name), name
    assert not re.search(r"\bnan\b|\bNone\b|<NA>", page.text)


def test_nothing_is_fetched(whole):
    assert_nothing_is_fetched(Page(whole))


def test_figures(whole):
    assert set(figures(whole)) == {
        *("accuracy", "accuracy-2", "regions", "eyeglasses", "probabilities", "biased", "top", "top-2"),
    }


def test_numbers_are_those_of_the_tables(whole):
    page = Page(whole)
    row = page.row("Eye region units", 8)
    assert row[1:] == [planted.LAYER, "2.43", "+10.00", "9.00 to 11.00", "2.00", "yes", "more"]
    own = TABLES["biased"].query("stage == 2 and percent == 100 and seed == 0").set_index("towards")["units"]
    found = [[c.strip() for c in r] for r in page.cells if len(r) == 8 and [r[0], r[2]] == ["2", "100"]]
    total = own.sum()
    assert found[0][3:] == [
        f"{own['grey']:.1f}",
        f"{own['colour']:.1f}",
        f"{total:.1f}",
        f"{total} to {total}",
        "16",
    ]
    trained = [[c.strip() for c in r] for r in page.cells if len(r) == 9 and [r[0], r[1]] == ["100", "2"]]
    assert trained[0][2:5] == ["70%", "97%", "42%"]


def test_sprites_of_one_seed_with_their_shares(whole):
    top = section(whole, "top")
    assert top.count("<img") == 2 * 2 * len(planted.PERCENTS)
    sheets = section(whole, "design")
    assert sheets.count("<img") == 2 * 2 * 2
    assert "Female: 0% of these 20 carry the cue" in sheets
    assert "Male: 80% of the top 50 carry the cue (seed 0)" in top
    assert "Female: 20% of the top 50 carry the cue (seed 0)" in top


def test_findings_of_each_cue_are_apart(whole):
    found = section(whole, "findings")
    assert re.findall(r"<h3>(Cue: \w+)", found) == ["Cue: eyeglasses", "Cue: grey"]
    assert "data-choose" not in found


def test_summary(study):
    material = read_material(Run.open(study()))
    text = "\n".join(sentences(material))
    assert text.startswith(
        "Does dissection show a bias that was planted? 36 networks that tell men from women were"
    )
    assert "91% at P = 50 and 41% at P = 100 on faces that contradict it" in text
    assert (
        "Eyeglasses units: +10.0 from P = 50 to P = 100, 6.00 times as many (more than the range over seeds)."
        in text
    )
    stages = [f"Biased units at {layer}" for layer in planted.STAGES.values()]
    assert [text.index(each) for each in stages] == sorted(text.index(each) for each in stages)
    top = {f["label"]: (f["value"], f["note"]) for f in key_figures(material)}
    assert top["Eyeglasses units"] == ("× 6.00", "P = 100 against 50; paper: over 3")
    assert top["Networks"] == ("36", "3 seeds")


@pytest.mark.parametrize(("cue", "other"), [("eyeglasses", "grey"), ("grey", "regions")])
def test_one_cue(study, cue, other):
    source = page_of(study({name: t for name, t in only(cue).items() if len(t)}))
    assert "Not measured: no network was trained with" in section(source, other)
    assert [i for i in Page(source).ids() if i in SECTIONS] == SECTIONS


def test_one_seed_has_no_intervals_and_is_warned_of(study):
    tables = {name: t[t["seed"] == 0] if "seed" in t else t for name, t in TABLES.items()}
    tables["summary"] = tables["summary"].assign(lower=np.nan, upper=np.nan, std=np.nan, n_seeds=1)
    tables["ratios"] = tables["ratios"].assign(lower=np.nan, upper=np.nan, spread=np.nan, exceeds=None)
    source = page_of(study(tables))
    assert "fewer than three seeds" in section(source, "cautions")
    assert "one seed, so it cannot be said whether that is chance" in Page(source).text
    assert not re.search(r"\bnan\b|\bNone\b|<NA>", Page(source).text)


def test_ways_of_measuring_iou_can_be_chosen(study):
    summary = TABLES["summary"]
    other = summary[summary["quantity"].str.endswith(" units") & (summary["cue"] == "eyeglasses")]
    iou = other[other["quantity"] == "eyeglasses units"].assign(
        quantity="mean IoU with eyeglasses (union all)"
    )
    other = other.assign(quantity=other["quantity"] + " (union labelled)", value=other["value"] + 1)
    source = page_of(study(TABLES | {"summary": pd.concat([summary, other, iou])}))
    assert re.findall(
        r'<select data-pick="regions"><option>(.*?)</option><option>(.*?)</option></select>', source
    ) == [("union all", "union labelled")]
    found = figures(source)
    assert {"eyeglasses", "eyeglasses-2"} < set(found)
    assert [t["meta"]["quantity"] for t in found["eyeglasses"]["data"] if t["meta"]["role"] == "line"] == [
        "eyeglasses units", "eyeglasses units (union labelled)"
    ]  # fmt: skip
    shown = {t["meta"]["pick"] for t in found["regions"]["data"] if t.get("visible", True) is True}
    assert shown == {"union all"}


def test_an_empty_run_has_a_page(study):
    source = page_of(study({}, network={}, faces={}, stages={}, environment={}, timings={}))
    assert [i for i in Page(source).ids() if i in SECTIONS] == SECTIONS
    assert "No network was trained" in source
    assert all("Not measured:" in section(source, name) for name in MEASURED)


def test_text_is_escaped_everywhere(study):
    evil = "<script>alert(1)</script>&\"'"
    rename = {"layer": {planted.LAYER: evil}, "group": {"Male": evil}, "quantity": {"eyeglasses units": evil}}
    source = page_of(study({name: table.replace(rename) for name, table in TABLES.items()}))
    assert "<script>alert" not in source
    assert evil in Page(source).text


def test_errors(study):
    with pytest.raises(DataError, match=r"The table 'summary' lacks the columns \['n_seeds'\]"):
        write_report(study({"summary": TABLES["summary"].drop(columns="n_seeds")}))


def test_a_change_the_other_way_is_told(study):
    ratios = TABLES["ratios"].assign(agrees=TABLES["ratios"]["quantity"] != "Eye region units")
    source = page_of(study(TABLES | {"ratios": ratios.astype({"agrees": "boolean"})}))
    assert Page(source).row("Eye region units", 8)[6] == "yes, the other way"
    assert Page(source).row("Cheek region units", 8)[6] == "yes"
    assert "(more than the range over seeds, but the other way than in the paper)" in Page(source).text


def test_cautions_of_the_run_overlap_and_regions(study):
    shared = pd.DataFrame({"image_id": ["a"], "other_id": ["b"], "kind": ["near"], "correlation": [0.995]})
    source = page_of(study(TABLES | {"overlap": shared}, cautions=["Nobody knows <who> they are."]))
    assert "Nobody knows &lt;who&gt; they are." in section(source, "cautions")
    assert ["a", "b", "near"] in [[c.strip() for c in r] for r in Page(source).cells]
    assert "0.04 or more, names the region (stage II)" in section(source, "regions")
