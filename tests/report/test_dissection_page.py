"""The page of a study of dissection."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from tests.report import dissection_tables as planted
from tests.report.page import Page, assert_nothing_is_fetched

from fusiform.errors import DataError
from fusiform.report import write_report
from fusiform.report._pictures import embedded
from fusiform.report.dissection._material import read_material
from fusiform.report.dissection._summary import key_figures, sentences
from fusiform.runs import Run

MEASURED = [
    *("findings", "coverage", "regions", "concepts", "units", "disagreement", "best", "bias"),
    *("dictionary", "rules"),
]
SECTIONS = ["summary", *MEASURED, "faces", "skipped", "networks", "cautions", "data", "asked"]
TABLES = planted.planted_tables()
ASKED = {"study": "dissection", "network": ["demo"], "quantile": 0.005, "iou": 0.04, "union": "all"}
RECORD = {
    "networks": [{"name": "demo", "n_parameters": 271_000, "digest": "ab" * 32}],
    "dictionary": {"name": "people", "n": 2000, "settings": {"masks": "auto", "confidence": 0.8}},
    "problems": [],
}
# Enough for the shape of a page.
LITTLE = {
    name: table[table["layer"] == planted.MAIN] if "layer" in table and name != "layers" else table
    for name, table in TABLES.items()
}
FEW = 6
LITTLE |= {name: LITTLE[name][LITTLE[name]["unit"] < FEW] for name in ("pictures", "where")}


@pytest.fixture
def study(folder):
    """A function that writes the folder of a study of dissection."""

    def write(tables=None, **record):
        return folder(LITTLE if tables is None else tables, **({"request": ASKED} | RECORD | record))

    return write


def page_of(path) -> str:
    return write_report(path).read_text(encoding="utf-8")


def section(source: str, name: str) -> str:
    return source.partition(f'<section id="{name}">')[2].partition("</section>")[0]


def figures(source: str) -> dict:
    found = re.findall(r'<script type="application/json" id="data-([^"]+)">(.*?)</script>', source, re.DOTALL)
    return {name: json.loads(text) for name, text in found}


def said(path) -> str:
    return "\n".join(sentences(read_material(Run.open(path))))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The page of all planted tables and their pictures, written once."""
    run = Run.start(tmp_path_factory.mktemp("dissection") / "run", ASKED)
    for name, table in TABLES.items():
        run.write_table(name, table)
    run.record(faces={"name": "people", "n": 4000, "n_identities": 300}, **RECORD)
    run.finish()
    planted.write_strips(run.path, TABLES["pictures"])
    patch = pytest.MonkeyPatch()
    patch.setattr("fusiform.report._page.get_plotlyjs", lambda: "/* plotly.js v0 */")
    source = page_of(run.path)
    patch.undo()
    return source


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
    assert "http" not in re.sub(r"<style>.*?</style>", "", whole, flags=re.DOTALL).replace("http-equiv", "")


def test_it_is_readable_without_seeing(whole):
    page = Page(whole)
    for tag, attrs in page.tags:
        if tag == "div" and "plot" in str(attrs.get("class")).split():
            assert attrs["aria-label"]
        if tag == "img":
            assert attrs["alt"]
    assert sum(tag == "table" for tag, _ in page.tags) == sum(tag == "caption" for tag, _ in page.tags) > 10


def test_figures_and_what_can_be_picked(whole):
    found = figures(whole)
    assert set(found) == {"coverage", "regions", "concepts", "bias", "dictionary"}
    layers = [planted.MAIN, "stage4.0", "stage3.1"]
    pickers = re.findall(r'<select data-pick="([^"]+)"( data-by="layer")?>(.*?)</select>', whole, re.DOTALL)
    options = [(name, bool(by), re.findall(r"<option>(.*?)</option>", text)) for name, by, text in pickers]
    assert options == [
        ("regions", False, layers),
        ("concepts", False, list(planted.CATEGORIES)),
        ("concepts", True, layers),
    ]
    # The main layer comes first, and of it the first category and what belongs to none.
    shown = [t["meta"] for t in found["concepts"]["data"] if t.get("visible", True) is True]
    assert {meta["layer"] for meta in shown} == {planted.MAIN}
    assert {meta.get("pick") for meta in shown} == {"Gender", None}
    assert {t["meta"]["layer"] for t in found["concepts"]["data"]} == set(layers)


def test_numbers_are_those_of_the_tables(whole):
    page = Page(whole)
    row = page.row(planted.MAIN, 8, "global")
    assert row[3:] == ["12", "24", "50%", "35 to 60", "25%"]
    counts = TABLES["counts"].query(f"layer == '{planted.MAIN}' and concept == 'nose'")
    hierarchical, other = (counts[counts["method"] == m] for m in planted.METHODS)
    expected = [
        str(rows[rows["control"] == c]["units"].iloc[0])
        for rows in (hierarchical, other)
        for c in (False, True)
    ]
    assert page.row("nose", 7, "Nose")[3:] == expected
    bias = (
        TABLES["bias"]
        .query(f"layer == '{planted.MAIN}' and concept == 'mouth' and group == 'sixty_plus'")
        .iloc[0]
    )
    found = [
        r for r in page.cells if len(r) == 9 and r[0].strip() == "mouth" and r[1].strip() == "sixty_plus"
    ]
    assert [c.strip() for c in found[0]][2:5] == [
        str(bias["units"]),
        f"{bias['expected']:.1f}",
        f"{bias['ratio']:.2f}",
    ]
    assert page.row("empty mask", 4)[1:] == ["Goatee", "2", "a/1.png, a/2.png"]


def test_cards_of_units(whole):
    browser = section(whole, "units")
    cards = re.findall(r'<article class="unit" data-text="([^"]*)">(.*?)</article>', browser, re.DOTALL)
    # Every unit of three layers but the one that never fires.
    assert len(cards) == 3 * (planted.UNITS - 1)
    text, card = next((t, c) for t, c in cards if t.startswith(f"{planted.MAIN} · unit 4 "))
    assert (
        text.split()[3:] == ["Cheek", "left_cheek", "AU_6", "zero_to_twenty", "AU_6"] or "left_cheek" in text
    )
    assert card.count("<img") == 2
    page = Page(card)
    rows = {r[0].strip(): [c.strip() for c in r[1:]] for r in page.cells[1:]}
    assert rows["left_cheek"] == ["0.190", "0.800", "0.500", "0.010"]
    assert rows["zero_to_twentyAge"] == ["–", "0.600", "0.300", "0.300"]
    assert "Network Dissection: AU_6 (highest IoU 0.200)" in " ".join(page.text.split())
    assert "fires in up to 40% of images" in page.text
    suggested = re.findall(r'<option value="([^"]+)">', browser)
    assert set(suggested) == {c for c, _, _ in planted.LOCAL} | {g for g, _ in planted.GROUPS}


def test_strips_are_shown_once_with_their_captions(whole):
    odd = section(whole, "disagreement")
    assert odd.count("<img") == 4
    assert f"Unit 1 of {planted.MAIN}: right_eye, the most probable" in odd
    best = section(whole, "best")
    assert best.count("<img") == len(planted.LOCAL)
    assert "of a global group, which has no mask, the images of the group that activate the unit most" in best


def test_summary(study):
    text = said(study())
    assert text.startswith(
        "Which units of 1 layer of demo detect which facial concepts? Each unit's response to 2,000 faces"
    )
    assert (
        f"Interpretable units at {planted.MAIN} of demo: 100% by hierarchical dissection (random weights 25%), 100% by Network"
        in text
    )
    assert f"Concepts with the most units at {planted.MAIN} of demo: local AU_1 4, " in text
    assert "Of 60 pairs of a unit and a concept in demo, 48 (80%) are beyond chance" in text
    assert "Of 3 findings that could be judged, 2 hold and 1 does not; 1 could not be judged here." in text
    top = {f["label"]: (f["value"], f["note"]) for f in key_figures(read_material(Run.open(study(name="b"))))}
    assert top["Interpretable, hierarchical"] == ("100%", "random weights 25%")
    assert top["Different concepts"] == ("21", planted.MAIN)
    assert top["Findings that hold"] == ("2 of 3", "of the paper")


def test_rules_and_cautions(study):
    source = page_of(study())
    rules = Page(section(source, "rules"))
    assert [
        "Hierarchical, stage I",
        "Gender: probability among the concepts of the category above 0.550",
    ] in [[c.strip() for c in r] for r in rules.cells]
    assert "Nose: probability among the concepts of the region above 0.750" in rules.text
    assert "that reaches 0.04" in rules.text
    cautions = section(source, "cautions")
    assert "Gaussian confidence ellipses" in cautions
    assert "may be in the network&#39;s training set" in cautions
    assert "was not checked" in cautions
    exact = page_of(study(name="exact", dictionary={"settings": {"masks": "auto", "confidence": None}}))
    assert "Masks are exact outlines" in section(exact, "cautions")


def test_overlap_is_reported(study):
    overlap = pd.DataFrame({"image_id": ["a", "b"], "other_id": ["c", None], "kind": ["same pixels", "near"]})
    source = page_of(study(LITTLE | {"overlap": overlap}))
    assert "2 images of the dictionary are in the training set too." in Page(source).text
    assert ["a", "c", "same pixels"] in [[c.strip() for c in r] for r in Page(source).cells]
    assert "was not checked" not in section(source, "cautions")
    source = page_of(study(LITTLE | {"overlap": overlap.head(0)}, name="none"))
    assert "No image of the dictionary was found among the training faces." in Page(source).text


def test_missing_tables_are_said_to_be_not_measured(study):
    source = page_of(study({"coverage": TABLES["coverage"]}))
    assert {n for n in MEASURED if "Not measured:" in section(source, n)} == {*MEASURED} - {"coverage"}
    assert [i for i in Page(source).ids() if i in SECTIONS] == SECTIONS


def test_an_empty_run_has_a_page(study):
    source = page_of(study({}, networks=[], network={}, faces={}, dictionary={}, environment={}, timings={}))
    assert [i for i in Page(source).ids() if i in SECTIONS] == SECTIONS
    assert "No unit was dissected" in source


def test_one_method_without_twin_and_without_main_layer(study):
    tables = {
        name: table[~table["control"]] if "control" in table else table
        for name, table in TABLES.items()
        if name not in ("overlay", "kinds", "pictures", "where", "bias")
    }
    for name in ("pairs", "coverage", "counts", "unique"):
        tables[name] = tables[name][tables[name]["method"] == "network"]
    tables["layers"] = tables["layers"].drop(columns="main")
    source = page_of(study(tables))
    assert "Interpretable units at stage4.0 of demo: 100% by Network Dissection." in Page(source).text
    assert "No network with random weights was dissected" in section(source, "cautions")
    assert not re.search(r"\bnan\b|\bNone\b|<NA>", Page(source).text)


def test_units_without_pictures_still_have_cards(study):
    source = page_of(study())
    browser = section(source, "units")
    # The maps are there, the files of the strips are not.
    assert browser.count("<article") == browser.count("<img") == FEW
    for name in ("disagreement", "best"):
        assert "Not measured: the run keeps no pictures" in section(source, name)


def test_maps_that_are_odd_are_left_out(study):
    odd = [[], [np.nan] * 49, [0.0] * 49, [0.1] * 12]
    where = LITTLE["where"].head(4).assign(values=odd)
    browser = section(page_of(study(LITTLE | {"where": where})), "units")
    assert browser.count("<img") == 1
    assert "fires in up to 0% of images" in browser


def test_rows_without_numbers(study):
    tables = LITTLE | {
        "pairs": LITTLE["pairs"].assign(iou=np.nan, probability=np.nan, p_value=np.nan, q_value=np.nan),
        "units": LITTLE["units"].assign(
            region=None, best_concept=None, best_iou=np.nan, network_dissection=""
        ),
        "bias": LITTLE["bias"].assign(
            ratio=np.nan, association=np.nan, task_association=pd.NA, p_value=np.nan
        ),
        "dictionary": LITTLE["dictionary"].assign(pixels=np.nan, note=None),
        "coverage": LITTLE["coverage"].assign(lower=np.nan, upper=np.nan),
    }
    source = page_of(study(tables))
    assert not re.search(r"\bnan\b|\bNone\b|<NA>", Page(source).text)


def test_several_networks_can_be_chosen(study):
    tables = {
        name: pd.concat([table, table.assign(network="other")]) if "network" in table else table
        for name, table in LITTLE.items()
    }
    source = page_of(study(tables))
    for name in ("coverage", "regions", "concepts", "units", "bias"):
        assert re.findall(r'data-choose="([^"]+)"', section(source, name)) == ["demo", "other"], name
    assert "What the units of 2 networks detect" in source
    # Lists of suggestions have names of their own.
    lists = re.findall(r'<datalist id="([^"]+)"', source)
    assert len(lists) == len(set(lists)) == 2


def test_why_something_was_not_measured_and_what_failed(study):
    problems = [{"experiment": "the table", "network": "bias", "error": "disk <full>"}]
    source = page_of(study({}, not_measured={"coverage": "too few images"}, problems=problems))
    assert "Not measured: too few images." in section(source, "coverage")
    assert "Not measured: it failed: disk &lt;full&gt;" in section(source, "bias")


def test_text_is_escaped_everywhere(study):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>&\"'</title>"
    rename = {"concept": {"AU_1": evil}, "layer": {planted.MAIN: evil}, "region": {"Eye": evil}}
    rename |= {"group": {"Male": evil}, "reason": {"empty mask": evil}, "network": {"demo": evil}}
    tables = {name: table.replace(rename) for name, table in LITTLE.items()}
    source = page_of(study(tables, dictionary={"name": evil}))
    page = Page(source)
    assert not any("onerror" in attrs for _, attrs in page.tags)
    assert "<script>alert" not in source
    assert all("</script" not in script.lower() for script in page.scripts)
    assert evil in page.text


def test_pictures_come_from_the_folder_of_images_alone(study):
    run = Run.open(study())
    planted.write_strips(run.path, TABLES["pictures"].head(5))
    name = str(TABLES["pictures"]["file"].iloc[0])
    assert str(embedded(run, name)).startswith("data:image/jpeg;base64,")
    assert embedded(run, f"images/{name}") == embedded(run, name)
    (run.path / "secret.jpg").write_bytes((run.path / "images" / name).read_bytes())
    (run.path / "images" / "text.jpg").write_text("no picture")
    for odd in ("../secret.jpg", str(run.path / "secret.jpg"), "none.jpg", "text.jpg", "", None, "a\0b"):
        assert embedded(run, odd) is None, odd


def test_errors(study):
    with pytest.raises(DataError, match=r"The table 'pairs' lacks the columns \['threshold'\]"):
        write_report(study({"pairs": TABLES["pairs"].drop(columns="threshold")}))


def test_the_area_of_a_mask_is_a_mean_and_global_groups_have_none(study):
    listed = pd.concat(
        [LITTLE["dictionary"], pd.DataFrame({"concept": ["Male"], "kind": ["global"], "region": ["Gender"],
         "images": [500], "pixels": [0], "note": [""]})]
    )  # fmt: skip
    page = Page(section(page_of(study(LITTLE | {"dictionary": listed})), "dictionary"))
    rows = {r[0]: r for r in ([c.strip() for c in cells] for cells in page.cells) if len(r) == 6}
    assert rows["left_eye"][3:5] == ["40", "300"]
    assert rows["mouth"][4] == "300"
    assert rows["Male"][3:5] == ["500", "–"]


def test_a_silent_unit_is_told_with_its_threshold(study):
    units = LITTLE["units"].assign(fires=False, threshold=6.0)
    text = Page(section(page_of(study(LITTLE | {"units": units})), "units")).text
    assert "No activation exceeds its threshold, 6.000: it is silent nearly everywhere, or at its" in text
    assert "more than 0.5% of all positions, as a unit after ReLU6 may be" in text


def test_units_of_a_region_and_images_of_groups_are_defined(study):
    source = page_of(study())
    assert "0.04 or more, names the region (stage II)" in section(source, "regions")
    found = Page(section(source, "bias"))
    assert "Group with the task" in found.text
