"""The page of a study of expressivity."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from tests.report import expressivity_tables as planted
from tests.report.page import Page, assert_nothing_is_fetched

from fusiform.errors import DataError
from fusiform.report import write_report
from fusiform.report.expressivity._material import read_material
from fusiform.report.expressivity._summary import key_figures, sentences
from fusiform.runs import Run

MEASURED = [
    *("findings", "layers", "training", "compression", "order", "described", "linear", "calibration"),
    *("estimators", "convergence"),
]
SECTIONS = ["summary", *MEASURED, "faces", "skipped", "networks", "cautions", "data", "asked"]
ALONE = [
    *("summary", "findings", "features", "order", "described", "linear", "calibration", "estimators"),
    *("convergence", "cautions", "data", "asked"),
]
TABLES = planted.planted_tables()
VALUES = TABLES["expressivity"]
# Enough for the shape of a page.
SMALL = VALUES[VALUES["layer"].isin(["image", "fc"]) & VALUES["attribute"].isin(["identity", "yaw"])]
_COURSE = TABLES["course"]
LITTLE = TABLES | {
    "expressivity": SMALL[SMALL["estimator"] != "gaussian"],
    "course": _COURSE[(_COURSE["layer"] != "stage2") & _COURSE["attribute"].isin(["identity", "yaw"])],
    **{
        name: TABLES[name].query("attribute == 'yaw'")
        for name in ("curves", "linear", "histograms", "described")
    },
}
NETWORKS = [{"name": "demo", "n_parameters": 271_000, "digest": "ab" * 32}]
ASKED = {
    "study": "expressivity",
    "network": ["demo"],
    "faces": "folder:people",
    "estimators": ["mine", "infonce"],
}


@pytest.fixture
def study(folder):
    """A function that writes the folder of a study of expressivity."""

    def write(tables=None, **record):
        standard = {"request": ASKED, "networks": NETWORKS, "step_unit": "epoch", "initial": "a random start"}
        return folder(TABLES if tables is None else tables, **(standard | record))

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
    """The page of all planted tables, written once."""
    run = Run.start(tmp_path_factory.mktemp("expressivity") / "run", ASKED)
    for name, table in TABLES.items():
        run.write_table(name, table)
    faces = {"name": "people", "n": 4000, "n_identities": 300}
    run.record(networks=NETWORKS, faces=faces, step_unit="epoch", initial="a random start", problems=[])
    run.finish()
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
    assert sum(tag == "table" for tag, _ in page.tags) == sum(tag == "caption" for tag, _ in page.tags) > 10


def test_figures_and_what_can_be_picked(whole):
    found = figures(whole)
    assert set(found) == {
        *(
            "layers",
            "training",
            "training-2",
            "decay",
            "decay-2",
            "compression",
            "order",
            "share",
            "histograms",
        ),
        *("linear-layers", "linear-training", "calibration", "estimators", "curves"),
    }
    pickers = re.findall(r'<select data-pick="([^"]+)">(.*?)</select>', whole, re.DOTALL)
    assert [name for name, _ in pickers] == ["layers", "training", "training-2"]
    for name, options in pickers:
        names = re.findall(r"<option>(.*?)</option>", options)
        assert names == ["all attributes", *planted.ATTRIBUTES]
        assert {t["meta"]["pick"] for t in found[name]["data"]} == set(names)
        first = {t["meta"]["pick"] for t in found[name]["data"] if t.get("visible", True) is True}
        assert first == {"all attributes"}


def test_numbers_are_those_of_the_tables(whole):
    page = Page(whole)
    first, last = (planted.truth("yaw", "ranks", along) for along in (0.0, 1.0))
    row = page.row("yaw", 9, "image")
    assert row[1:] == [
        f"{first:.2f}", f"{first:.2f}", "image", f"{last:.2f}", "0.55 to 0.65", "−0.90", "0.75", "0.30",
    ]  # fmt: skip
    decay = TABLES["decay"].query("layer == 'fc' and attribute == 'yaw'").iloc[0]
    row = page.row("yaw", 9, f"{decay['peak']:.2f}")
    assert row[1] == "3"
    assert row[4] == f"{decay['fall']:.2f}"
    assert row[6] == f"{100 * decay['share']:.0f}%"
    assert ["2", "age", "ranks", "1.20", "1.15 to 1.25", "0%", "97%"] in [
        [c.strip() for c in r] for r in page.cells
    ]
    ranks = page.row("sex", 6, "5")
    assert ranks[1:] == ["3", "4", "5", "5", "5"]
    described = page.row("yaw", 10, "by pose3d")
    assert described[5] == "2.80"
    linear = [r for r in page.cells if len(r) == 8 and r[0].strip() == "fc" and r[1].strip() == "age"]
    assert [c.strip() for c in linear[0]][2:7] == [
        "mean absolute error, years", f"{10 / 2.2:.2f}", f"{9.5 / 2.2:.2f} to {10.5 / 2.2:.2f}", "12.00", "1.20",
    ]  # fmt: skip
    assert page.row("yaw", 7, "0.54")[1:] == ["0.60", "4", "0.54", "4", "0.30", "4"]


def test_what_a_rise_with_depth_means_is_said(whole):
    for name in ("layers", "cautions"):
        assert "in what" in section(whole, name)
        assert "not in information" in section(whole, name)
    assert "What stands at the start: a random start." in section(whole, "training")


def test_summary(study):
    found = sentences(read_material(Run.open(study())))
    assert found[0].startswith(
        "The network demo was shown 4,000 faces of “people”. How much do 5 layers, the image itself among them, say about 4 "
        "attributes?"
    )
    assert found[1] == (
        "Order in the last layer of demo (fc): identity (categorical) 2.60 > age 1.20 > identity (numeric) 1.04 > yaw 0.60 > "
        "sex 0.45 nats."
    )
    text = "\n".join(found)
    assert (
        "From image to fc of demo, identity (categorical) rises most (+2.30 nats) and yaw falls most (−0.90)."
        in text
    )
    assert (
        "age loses most at fc of demo: 0.54 nats (31%) after its peak at epoch 3; sex loses least, 0.20 (31%)"
        in text
    )
    assert "Highest at the end: identity (categorical) and identity (numeric)." in text
    assert "by what becomes of them in training: compressed while fitting 3." in text
    assert "a median r of −0.93 over the layers and −0.81 over training." in text
    assert (
        "is on average 0.15 nats above that on other images; the order in the last layer is the same." in text
    )
    assert "infonce 1.00, gaussian 1.00." in text
    assert "mine is off by 0.00 nats on average" in text
    mine = VALUES.query("split == 'held out'")
    assert (
        f"{mine['converged'].sum():,} of {mine['restarts'].sum():,} restarts converged; {mine['retried'].sum()} "
        in text
    )
    assert (
        "Of 4 findings that could be judged, 2 hold, 1 does not and 1 is unclear; 1 could not be judged here."
        in text
    )
    figures_on_top = {
        f["label"]: (f["value"], f["note"]) for f in key_figures(read_material(Run.open(study(name="b"))))
    }
    assert figures_on_top["Highest"] == ("2.60 nats", "identity (categorical), fc")
    assert figures_on_top["Training minus held out"] == ("+0.15", "nats on average")
    assert figures_on_top["Findings that hold"] == ("2 of 4", "of the paper")


def test_an_order_that_is_not_settled_is_said_to_be_so(study):
    order = TABLES["order"].assign(above_next=lambda t: t["above_next"].where(t["attribute"] != "yaw", 0.6))
    assert "Not settled at 95%: yaw above sex." in said(study({"expressivity": VALUES, "order": order}))


def test_an_order_that_training_images_change_is_said_to_be_so(study):
    change = (VALUES["split"] == "train") & (VALUES["attribute"] == "sex")
    values = VALUES.assign(value=VALUES["value"].mask(change, 2.0))
    assert "the order in the last layer is another (demo)." in said(study({"expressivity": values}))


def test_other_estimators_that_disagree_are_said_to(study):
    upside = VALUES["estimator"] == "infonce"
    values = VALUES.assign(value=VALUES["value"].mask(upside, -VALUES["value"]))
    assert "(Spearman's rho): infonce −1.00, gaussian 1.00." in said(study({"expressivity": values}))


def test_the_estimator_asked_for_first_is_the_main_one(study):
    asked = ASKED | {"estimators": ["gaussian", "mine"]}
    path = study({"expressivity": VALUES}, request=asked)
    assert "identity (categorical) 1.30 > age 0.60" in said(path)
    assert "estimated by gaussian" in section(page_of(path), "layers")


def test_features_alone_have_no_layers_and_no_networks(study):
    request = {
        "study": "expressivity",
        "features": "a.npy",
        "attributes": ["a.csv"],
        "faces": None,
        "network": [],
    }
    record = {
        "request": request,
        "networks": [],
        "network": {},
        "faces": {},
        "features": {"name": "a", "n": 4000},
    }
    path = study(planted.features_only(), **record)
    source = page_of(path)
    assert [i for i in Page(source).ids() if i in {*SECTIONS, *ALONE}] == ALONE
    links = [attrs["href"] for tag, attrs in Page(source).tags if tag == "a"]
    assert [f"#{name}" for name in ALONE] == links[1:]
    assert set(figures(source)) == {"attributes", "calibration"}
    assert Page(source).row("age", 7)[1:5] == ["1.20", "1.15 to 1.25", "0.020", "1.35"]
    text = said(path)
    assert text.startswith(
        "How much do feature vectors of 2,048 dimensions say about 3 attributes of 4,000 images?"
    )
    assert "Order in the features: age 1.20 > yaw 0.60 > sex 0.45 nats." in text
    assert "training set" not in section(source, "cautions")
    assert "Not measured" not in section(source, "data")


def test_a_constant_attribute_is_shown_with_its_note(study):
    tables = planted.features_only(["yaw", "shape"])
    values = tables["expressivity"]
    constant = values["attribute"] == "shape"
    values = values.assign(
        value=values["value"].mask(constant, 0.0),
        entropy=values["entropy"].astype("Float64").mask(constant),
        note=values["note"].mask(constant, "constant"),
        **{c: values[c].mask(constant, np.nan) for c in ("lower", "upper", "epochs")},
    )
    source = page_of(study({"expressivity": values}, request=ASKED | {"features": "a.npy"}))
    assert Page(source).row("shape", 8)[-1] == "constant"
    assert not re.search(r"\bnan\b|\bNone\b|<NA>", Page(source).text)


def test_one_attribute(study):
    one = {
        name: table[table["attribute"] == "yaw"] if "attribute" in table else table
        for name, table in LITTLE.items()
    }
    source = page_of(study(one))
    assert [i for i in Page(source).ids() if i in SECTIONS] == SECTIONS
    assert not re.search(r"<select data-pick", source)
    assert "What the last layer of demo (fc) says about yaw: 0.60 nats (0.55 to 0.65)." in Page(source).text
    # The task is not among the attributes, so that there is no path.
    assert "compression" not in figures(source)


def test_forty_attributes(study):
    from tests.report.conftest import CELEBA

    own = SMALL.query("attribute == 'yaw' and estimator != 'gaussian'")
    values = pd.concat([own.assign(attribute=n, value=own["value"] + k / 100) for k, n in enumerate(CELEBA)])
    curves = TABLES["curves"].query("attribute == 'yaw' and layer == 'fc'")
    tables = {"expressivity": values, "curves": pd.concat([curves.assign(attribute=n) for n in CELEBA])}
    source = page_of(study(tables))
    assert "Of 40 lines, intervals and training images are shown for one attribute at a time." in source
    assert "the 12 of 40 whose restarts end farthest apart" in section(source, "convergence")
    assert "(and 34 lower ones)" in Page(source).text


def test_several_networks_can_be_chosen(study):
    values = pd.concat([LITTLE["expressivity"], LITTLE["expressivity"].replace("demo", "other")])
    source = page_of(study({"expressivity": values, "course": LITTLE["course"]}))
    for name in ("layers", "estimators"):
        assert re.findall(r'data-choose="([^"]+)"', section(source, name)) == ["demo", "other"]
    # A pretrained start is no network whose training was followed.
    assert 'data-setup="objects"' not in source
    assert "What the layers of 2 networks say about attributes" in source


def test_missing_tables_are_said_to_be_not_measured(study):
    source = page_of(study({"expressivity": SMALL[SMALL["estimator"] == "mine"]}))
    absent = set(MEASURED) - {"layers", "convergence"}
    assert {name for name in MEASURED if "Not measured:" in section(source, name)} == absent
    assert [i for i in Page(source).ids() if i in SECTIONS] == SECTIONS


def test_the_course_alone_has_a_page(study):
    source = page_of(
        study({name: TABLES[name] for name in ("decay", "compression")} | {"course": LITTLE["course"]})
    )
    assert "Over training, age loses most at fc of demo" in Page(source).text
    assert "training" in figures(source)
    assert "Not measured:" in section(source, "layers")


def test_an_empty_run_has_a_page(study):
    request = {"study": "expressivity"}
    source = page_of(
        study({}, networks=[], network={}, faces={}, request=request, environment={}, timings={})
    )
    assert [i for i in Page(source).ids() if i in SECTIONS] == SECTIONS
    assert "No expressivity was measured" in source


def test_why_something_was_not_measured_and_what_failed(study):
    problems = [{"experiment": "the table", "network": "order", "error": "disk <full>"}]
    source = page_of(study({}, not_measured={"calibration": "too few images"}, problems=problems))
    assert "Not measured: too few images." in section(source, "calibration")
    assert "Not measured: it failed: disk &lt;full&gt;" in section(source, "order")
    assert "the table of order" in section(source, "networks")


def test_rows_without_numbers(study):
    nullable = {
        "expressivity": SMALL.assign(
            entropy=pd.array([None] * len(SMALL), dtype="Float64"), std=np.nan, epochs=np.nan
        ),
        "order": TABLES["order"].assign(above_next=np.nan),
        "decay": TABLES["decay"].assign(fall=np.nan, rate=np.nan, share=np.nan, estimator="mine"),
        "course": LITTLE["course"],
        "relative": TABLES["relative"].assign(share=np.nan),
        "described": TABLES["described"].assign(encoding=None, entropy=np.nan, unit=None, predicted=False),
        "correlation": TABLES["correlation"].assign(pearson=np.nan, spearman=np.nan),
        "linear": LITTLE["linear"],
    }
    source = page_of(study(nullable))
    assert not re.search(r"\bnan\b|\bNone\b|<NA>", Page(source).text)
    assert not {"decay", "share"} & set(figures(source))


def test_text_is_escaped_everywhere(study):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>&\"'</title>"
    rename = {
        "attribute": {"yaw": evil},
        "layer": {"fc": evil},
        "estimator": {"mine": evil},
        "note": {"": evil},
    }
    rename |= {"finding": {TABLES["findings"]["finding"].iloc[0]: evil}, "verdict": {"holds": evil}}
    tables = {name: table.replace(rename) for name, table in LITTLE.items()}
    source = page_of(study(tables, networks=[{"name": evil}] * 2, initial=evil))
    page = Page(source)
    assert not any("onerror" in attrs for _, attrs in page.tags)
    assert "<script>alert" not in source
    assert all("</script" not in script.lower() for script in page.scripts)
    assert evil in page.text


def test_errors(study):
    with pytest.raises(DataError, match=r"The table 'order' lacks the columns \['rank'\]"):
        write_report(study({"order": TABLES["order"].drop(columns="rank")}))
