"""The page of a study of attribution."""

import json
import re

import numpy as np
import pytest
from tests.report import attribution_tables as planted
from tests.report.page import Page, assert_nothing_is_fetched

from fusiform.errors import DataError
from fusiform.plotting._attribution_study_rows import method_name
from fusiform.report import write_report
from fusiform.report.attribution import page
from fusiform.report.attribution._material import read_material
from fusiform.report.attribution._summary import cautions, key_figures, sentences, truth_found
from fusiform.runs import Run

MEASURED = [
    *("answer", "truth", "curves", "inpainting", "sanity", "pointing", "maps", "canonical", "detail", "findings"),
    *("cost", "left-out", "settings"),
]  # fmt: skip
SECTIONS = ["summary", "cautions", "subjects", *MEASURED, "faces", "skipped", "data", "asked"]
TABLES = planted.planted_tables()
ASKED = {"study": "attribution", "network": ["demo", "sex"], "images": 24, "quick": False}
RECORD = {
    "networks": [{"name": "demo", "n_parameters": 284_864}, {"name": "sex", "n_parameters": 1000}],
    "problems": [],
    "not_measured": {"inpainting game of sex": "The inpainting game is for verifiers."},
}
# Enough for the shape of a page.
FEW = ("lrp", "rise", "deconvolution", "edges", "cam", "")
LITTLE = {
    name: table[table["method"].isin(FEW)] if "method" in table and name != "skipped" else table
    for name, table in TABLES.items()
}
LITTLE = {
    name: table[table["network"] != planted.CLASSIFIER] if "network" in table else table
    for name, table in LITTLE.items()
}


@pytest.fixture
def study(folder):
    """A function that writes the folder of a study of attribution."""

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


def material(path):
    return read_material(Run.open(path))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The page of all planted tables and their pictures, written once."""
    run = Run.start(tmp_path_factory.mktemp("attribution") / "run", ASKED)
    for name, table in TABLES.items():
        run.write_table(name, table)
    run.record(faces={"name": "people", "n": 4000, "n_identities": 300}, **RECORD)
    run.finish()
    planted.write_maps(run.path, TABLES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fusiform.report._page.get_plotlyjs", lambda: "/* plotly.js v0 */")
        return page_of(run.path)


def test_every_section_is_there_in_order_and_in_the_list_of_sections(whole):
    page = Page(whole)
    assert [i for i in page.ids() if i in SECTIONS] == SECTIONS
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert [f"#{name}" for name in SECTIONS] == links[1:]
    for name in MEASURED:
        assert "Not measured:" not in section(whole, name).replace(
            "Not measured: inpainting game of sex", ""
        ), name
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
    assert sum(tag == "table" for tag, _ in page.tags) == sum(tag == "caption" for tag, _ in page.tags) > 20


def test_a_page_of_two_networks_and_all_methods_leaves_room_for_plotly(whole):
    # The drawing library is 4.8 MB of the 8.
    assert len(whole.encode("utf-8")) < 3.2e6


def test_figures_and_what_can_be_picked(whole):
    found = set(figures(whole))
    assert found == {
        *("matrix", "matrix-2", "matrix-3", "truth", "conflict", "curves", "curves-2", "curves-3", "inpainting"),
        *("inpainting-parts", "sanity-cascading", "sanity-cascading-2", "sanity-independent", "sanity-independent-2"),
        *("sanity-data", "pointing", "pointing-2", "pointing-3", "pointing-4", "canonical", "canonical-2", "detail", "detail-2", "cost", "cost-2"),
    }  # fmt: skip
    pickers = re.findall(r'<select data-pick="([^"]+)">(.*?)</select>', whole, re.DOTALL)
    options = {name: re.findall(r"<option>(.*?)</option>", text) for name, text in pickers}
    assert options["canonical"] == list(planted.GROUPS)
    assert options["inpainting-parts"] == ["false alarm rate 1%", "false alarm rate 5%"]
    assert options["sanity-cascading"][0] == "rank correlation of absolute values"
    shown = [t for t in figures(whole)["canonical"]["data"] if t.get("visible", True) is True]
    assert [t["meta"]["pick"] for t in shown] == ["all"]


def test_the_answer_comes_in_words_first(study):
    said = sentences(material(study(TABLES)))
    assert said[0].startswith(
        "Which maps say truly where demo and sex look? 24 methods of attribution and three maps"
    )
    assert "13 measures on 24 images" in said[0]
    told = "\n".join(said)
    assert (
        "demo: the best mean ranks have LRP (1.0), occlusion (2.0) and contrastive EBP (3.0); 6 of 23 methods do no better than "
        "the best map that knows nothing of the network, the edge map (18.0)."
    ) in told
    assert (
        "sex: once all weights are drawn anew, 2 of 22 methods keep their maps and fail the sanity check: deconvolution and guided "
        "backpropagation."
    ) in told
    assert (
        "21 of 23 methods put surely more of their map there than its area in all 3 tasks, and 17 also more"
        in told
    )
    assert "not above the area guided backpropagation and Excitation Backprop." in told
    assert "Not applicable to some network or target, for a reason given below: CAM." in told
    assert "Of 6 findings that could be judged" in told


def test_truth_is_held_against_area_and_baseline_maps(study):
    found = truth_found(material(study(TABLES)))
    better = planted.METHODS[: planted.METHODS.index("edges")]
    assert found.index[found["best"]].tolist() == better
    assert not found.loc[["guided_backpropagation", "excitation_backprop"], "above_area"].any()


def test_key_figures(study):
    numbers = {figure["label"]: figure["value"] for figure in key_figures(material(study(TABLES)))}
    assert numbers["Methods"] == "24"
    assert numbers["Best mean rank"] == "LRP"
    assert numbers["Better than every baseline map"] == "17 of 23"
    assert numbers["Find the known answer"] == "17 of 23"


def test_tables_hold_values_with_intervals_and_words(whole):
    page = Page(whole)
    rows = [row for row in page.cells if row and row[0] == "gradient"]
    standing = [row for row in rows if row[-1] == "not better than the edge map"]
    assert len(standing) == 3
    assert standing[0][1] == f"{planted.METHODS.index('gradient') + 1}.0"
    played = section(whole, "inpainting")
    assert "nose, 5% (8 played, 4 dropped)" in played
    assert "27 triplets played, 13 dropped" in played
    assert (
        "Stay as they were, and fail: deconvolution and guided backpropagation. Not judged: part occlusion. 20 of 23 methods pass"
        in whole
    )
    assert "part occlusion: not judged: for a reason." in section(whole, "sanity")
    assert "CAM needs a network that averages its last maps" in section(whole, "left-out")
    assert "Not measured: inpainting game of sex. The inpainting game is for verifiers." in section(
        whole, "left-out"
    )
    assert "n_masks=192" in Page(section(whole, "settings")).text
    assert "broken.png" in Page(section(whole, "skipped")).text
    assert "no room" not in section(whole, "skipped")


def test_differences_between_groups_that_do_not_overlap_come_first(whole):
    text = section(whole, "canonical")
    apart, of = map(
        int, re.search(r"Differences between groups: (\d+) of (\d+) with intervals", text).groups()
    )
    assert 0 < apart < of == len(planted.METHODS) * len(planted.CANONICAL_PARTS)
    assert "Male less not Male" in text


def test_pictures_are_of_every_method_and_hold_what_the_folder_has(whole, study):
    text = section(whole, "maps")
    for method in planted.METHODS:
        assert f"Maps of {method_name(method)}" in text
    assert text.count("data:image/webp") == 2 * (len(planted.METHODS) + 1)
    assert "the faces: face 0, face 1" in text
    # Without the files there is nothing to show, and it is said.
    without = page_of(study())
    assert "Not measured: the run keeps no maps." in section(without, "maps")
    assert "data:image/webp" not in without


def test_maps_outside_of_the_folder_or_broken_are_not_read(study):
    path = study()
    planted.write_maps(path, LITTLE)
    found = material(path)
    assert found.map("map_lrp_0.npy").shape == (64, 64)
    np.save(path / "outside.npy", np.zeros((4, 4)))
    assert found.map("../outside.npy") is None
    assert found.map("/etc/passwd") is None
    (path / "maps" / "map_rise_0.npy").write_bytes(b"no map")
    np.save(path / "maps" / "map_rise_1.npy", np.zeros((2, 4, 4)))
    np.save(path / "maps" / "map_rise_2.npy", np.array([["a"]], dtype=object))
    assert [found.map(f"map_rise_{k}.npy") for k in range(3)] == [None] * 3
    (path / "images" / "face_0.png").write_bytes(b"no picture")
    assert found.face("face_0.png", 32) is None
    assert found.face("../outside.npy", 32) is None
    assert "Maps of RISE" in page_of(path)


@pytest.mark.parametrize(
    ("without", "sections"),
    [
        (["measures", "curves", "parts", "sanity"], {"answer", "curves", "pointing", "sanity"}),
        (["ranks", "inpainting", "descriptors", "cost"], {"answer", "inpainting", "detail", "cost"}),
        (["ground_truth", "canonical", "settings"], {"canonical", "settings"}),
        (
            ["conflict", "findings", "not_applicable", "networks", "skipped"],
            {"findings", "subjects", "skipped"},
        ),
        (["ground_truth", "conflict", "canonical_maps"], {"truth"}),
    ],
)
def test_missing_tables_empty_their_sections_and_no_others(study, without, sections):
    values = page(
        Run.open(study({name: table for name, table in LITTLE.items() if name not in without}))
    ).values
    made = [*values["sections"], values["subjects"], values["left_images"]]
    # No maps were written here.
    assert {s.id for s in made if not s.blocks} == sections | {"maps"}
    assert all(s.absent for s in made if not s.blocks)


def test_a_run_with_nothing_yet_is_a_page_of_words(study):
    source = page_of(study({}))
    for name in MEASURED:
        if name not in ("left-out", "inpainting"):
            assert "Not measured:" in section(source, name), name
    assert "No map was measured, so there is little to say yet." in source
    assert "Not measured: inpainting game of sex: The inpainting game is for verifiers." in section(
        source, "inpainting"
    )


def test_tables_without_values_are_drawn_as_absent(study):
    empty = {
        name: table.assign(**{c: np.nan for c in ("value", "lower", "upper", "score", "energy", "probability", "share",
                                                  "seconds_per_image", "rank") if c in table})
        for name, table in LITTLE.items()
    }  # fmt: skip
    source = page_of(study(empty))
    assert "matrix" not in figures(source)
    assert "Not measured:" in section(source, "answer")
    assert not re.search(r"\bnan\b|<NA>", Page(source).text)


def test_one_network_needs_no_choice(study):
    source = page_of(study())
    assert "Which maps of demo are to be trusted?" in source
    assert "All networks beside each other" not in source
    assert 'data-choose="demo"' not in section(source, "answer")


def test_cautions_tell_what_the_run_was(study):
    told = "\n".join(cautions(material(study(request=ASKED | {"quick": True}))))
    assert "quick look" in told
    assert "training set" in told
    assert "A pointing game presumes that the network looks where people would." in told
    assert "learned their task poorly: conflict (62%)" in told


def test_cautions_tell_of_few_images_and_uncalibrated_scores(study):
    few = LITTLE | {"networks": LITTLE["networks"].assign(n_images=4, score="cosine")}
    told = "\n".join(cautions(material(study(few))))
    assert "Only 4 images were measured" in told
    assert "No match probability could be calibrated" in told


def test_names_from_outside_stay_text(study):
    odd = "<b>net</b>"
    tables = {
        name: table.replace({"network": {"demo": odd}}) if "network" in table else table
        for name, table in LITTLE.items()
    }
    source = page_of(study(tables))
    assert odd not in source
    assert "&lt;b&gt;" in source


def test_a_table_without_a_column_is_refused(study):
    path = study(LITTLE | {"measures": LITTLE["measures"].drop(columns="better")})
    with pytest.raises(DataError, match=r"The table 'measures' lacks the columns \['better'\]"):
        write_report(path)
