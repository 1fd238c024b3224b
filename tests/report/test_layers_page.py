"""The page of a study of layers."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from tests.report.page import Page, assert_nothing_is_fetched
from tests.studies.layers.tables import planted_tables

from fusiform.errors import DataError, RunError
from fusiform.report import write_report
from fusiform.report.layers._material import read_material
from fusiform.report.layers._summary import key_figures, sentences
from fusiform.runs import Run

MEASURED = [
    *("findings", "depth", "setups", "families", "sawtooth", "best", "vip", "ablation", "selectivity"),
    *("confounded", "depths", "consistency", "geometry", "identification"),
]
SECTIONS = ["summary", *MEASURED, "faces", "attributes", "skipped", "networks", "cautions", "data", "asked"]
# Without which a section is missing.
NEEDS = {
    "findings": ["findings"],
    "depth": ["probes"],
    "setups": ["probes"],
    "families": ["families"],
    "sawtooth": ["sawtooth"],
    "best": ["best"],
    "vip": ["vip_histogram", "vip_correlation"],
    "ablation": ["ablation"],
    "selectivity": ["selectivity"],
    "confounded": ["confounded"],
    "depths": ["gained", "branching"],
    "consistency": ["consistency"],
    "geometry": ["geometry"],
    "identification": ["identification"],
}
TABLES = planted_tables()
# Enough for the shape of a page.
_PROBES = TABLES["probes"]
SMALL = _PROBES[
    _PROBES["attribute"].isin(["Male", "yaw"])
    & _PROBES["layer"].isin(["b1.norm2", "b1.add", "b3"])
    & _PROBES["network"].isin(["faces-seed0", "objects", "objects (random weights)"])
]
_DIPS = TABLES["sawtooth"]
SMALL_DIPS = _DIPS[_DIPS["network"].isin(SMALL["network"]) & _DIPS["attribute"].isin(SMALL["attribute"])]
NETWORKS = [
    {"name": name, "setup": name.split("-")[0], "n_parameters": 998_000, "digest": "ab" * 32}
    for name in ("faces-seed0", "faces-seed1", "faces-seed2", "objects")
]


@pytest.fixture
def layers(folder):
    """A function that writes the folder of a study of layers."""

    def write(tables=None, **record):
        asked = {"study": "layers", "network": ["demo"], "faces": "folder:people", "seed": 0}
        return folder(
            TABLES if tables is None else tables, **({"request": asked, "networks": NETWORKS} | record)
        )

    return write


def section(source: str, name: str) -> str:
    return source.partition(f'<section id="{name}">')[2].partition("</section>")[0]


def figures(source: str) -> dict:
    found = re.findall(r'<script type="application/json" id="data-([^"]+)">(.*?)</script>', source, re.DOTALL)
    return {name: json.loads(text) for name, text in found}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The page of all planted tables, written once."""
    path = tmp_path_factory.mktemp("layers") / "run"
    run = Run.start(path, {"study": "layers", "faces": "folder:people"})
    for name, table in TABLES.items():
        run.write_table(name, table)
    faces = {"name": "people", "n": 4000, "n_identities": 300}
    run.record(networks=NETWORKS, faces=faces, problems=[], not_measured={})
    run.finish()
    patch = pytest.MonkeyPatch()
    patch.setattr("fusiform.report._page.get_plotlyjs", lambda: "/* plotly.js v0 */")
    source = write_report(run).read_text(encoding="utf-8")
    patch.undo()
    return source


def test_every_section_is_there_in_order_and_in_the_list_of_sections(whole):
    page = Page(whole)
    assert [i for i in page.ids() if i in SECTIONS] == SECTIONS
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert [f"#{name}" for name in SECTIONS] == [link for link in links[1:] if link]
    for name in MEASURED:
        assert "Not measured:" not in section(whole, name), name


def test_nothing_is_fetched(whole):
    assert_nothing_is_fetched(Page(whole))
    assert "http" not in re.sub(r"<style>.*?</style>", "", whole, flags=re.DOTALL).replace("http-equiv", "")


def test_figures_are_those_of_the_setups_and_names_are_written_once(whole):
    found = figures(whole)
    kinds = {re.sub(r"-\d+$", "", name) for name in found}
    assert kinds == {
        *(
            "depth-binary",
            "depth-continuous",
            "setups",
            "families",
            "sawtooth",
            "dips",
            "best",
            "averages",
            "vip",
        ),
        *("vip_correlation", "ablation", "selectivity", "confounded", "gained", "branching", "consistency"),
        "geometry",
    }
    assert {f"plot-{name}" for name in found} <= set(Page(whole).ids())
    for name, figure in found.items():
        for trace in figure["data"]:
            for value in trace.values():
                if isinstance(value, dict) and "list" in value:
                    assert len(figure["lists"][value["list"]]), name
    depth = found["depth-binary"]
    line = next(t for t in depth["data"] if t["meta"]["role"] == "line" and t["meta"]["attribute"] == "Male")
    x = line["x"] if isinstance(line["x"], list) else depth["lists"][line["x"]["list"]]
    rows = TABLES["probes"].query(
        "setup == 'faces' and attribute == 'Male' and unit_kind == @line['meta']['unit_kind'] and split == 'valid'"
    )
    means = rows.groupby("layer")["value"].mean()
    assert np.allclose(line["y"], means.loc[x], atol=1e-5)


def test_each_picker_names_what_the_figure_holds(whole):
    found = figures(whole)
    pickers = re.findall(r'<select data-pick="([^"]+)">(.*?)</select>', whole, re.DOTALL)
    assert {re.sub(r"-\d+$", "", name) for name, _ in pickers} == {"depth-binary", "families", "sawtooth"}
    for name, options in pickers:
        names = re.findall(r"<option>(.*?)</option>", options)
        traces = found[name]["data"]
        held = {t["meta"].get("pick", t["meta"]["attribute"]) for t in traces}
        assert set(names) <= held
        first = {
            t["meta"].get("pick", t["meta"]["attribute"]) for t in traces if t.get("visible", True) is True
        }
        assert first - {""} == {names[0]}


def test_one_network_at_a_time_can_be_chosen(whole):
    for name in ("depth", "families", "sawtooth", "best", "vip", "ablation", "selectivity", "depths"):
        part = section(whole, name)
        assert re.findall(r'data-choose="([^"]+)"', part) == ["faces", "objects"], name
        assert set(re.findall(r'data-setup="([^"]+)"', part)) == {"faces", "objects"}
    # One network only: nothing to choose.
    assert "data-choose" not in section(whole, "consistency")


def test_numbers_are_those_of_the_tables(whole):
    page = Page(whole)
    best = TABLES["best"].query("setup == 'faces' and attribute == 'Male'")
    means = best.groupby("unit_kind")["value"].mean()
    row = page.row("Male", 9, "0.958 to 0.960")
    for column, kind in ((1, "layer"), (3, "channel"), (4, "neuron")):
        assert row[column].startswith(f"{means[kind]:.3f}")
    assert row[5] == "0.965"
    assert row[7] == "0.610"
    found = TABLES["identification"].query("setup == 'faces'")["value"]
    assert page.row("faces", 8, "rank 1")[2:4] == [f"{found.mean():.3f}", f"{found.std(ddof=1):.3f}"]
    assert page.row("objects", 8, "rank 1")[2:5] == ["0.410", "–", "0.390 to 0.430"]
    top = TABLES["confounded"].query("network == 'faces-seed0' and attribute == 'Wearing_Hat'")
    top = top.loc[top["raw"].idxmax()]
    row = page.row("Wearing_Hat", 10, top["layer"])
    assert row[1:7] == ["Male", "0.31", "balanced", top["layer"], f"{top['raw']:.2f}", f"{top['value']:.2f}"]
    drops = TABLES["ablation"].query(
        "setup == 'faces' and masked_layer == 'b3' and selection == 'top' and share == 0.1"
    )
    drop = drops.query("unit_kind == 'layer'").groupby("attribute")["drop"].mean().mean()
    rows = [
        r for r in page.cells if len(r) == 8 and r[0] == "b3" and r[3] == "10%" and r[4] == "entire layer"
    ]
    assert f"+{drop:.3f}" in [r[5] for r in rows if r[2] == "highest VIP"]


def test_findings_carry_verdict_measure_criterion_and_source(whole):
    part = section(whole, "findings")
    found = TABLES["findings"]
    for row in found.to_dict("records"):
        assert row["measured"].replace("'", "&#39;") in part
    assert len(re.findall(r'class="verdict ', part)) == 2 * len(found)
    for verdict, n in found["verdict"].value_counts().items():
        assert len(re.findall(f'class="verdict {verdict.replace(" ", "-")}">{verdict}<', part)) >= n


def test_summary(layers):
    said = sentences(read_material(Run.open(layers())))
    assert said[0].startswith(
        "The networks faces and objects were shown 4,000 faces of “people”. 24 layers of 2 networks were asked for 11 "
        "attributes of the face, by entire layers, channels and neurons:"
    )
    assert said[1].startswith(f"Of {TABLES['findings']['finding'].nunique()} findings of the thesis")
    table = TABLES["vip_correlation"]
    expected = f"r = {table['r_vip'].mean():.2f} on average, with their mean activation {table['r_mean_activation'].mean():.2f}"
    assert any(expected in sentence for sentence in said)
    assert any(s.startswith("Mean balanced accuracy, first to last layer: faces 0.8") for s in said)
    assert any("(random weights 0.80 to 0.60)" in s for s in said)


def test_findings_are_counted_once_however_many_networks(layers):
    """Of each pair of verdicts, what is said of the finding."""
    pairs = [
        ("holds", "holds"),
        ("holds", "not measured"),
        ("holds", "does not hold"),
        ("holds", "unclear"),
        ("does not hold", "does not hold"),
        ("does not hold", "unclear"),
        ("unclear", "unclear"),
        ("not measured", "not measured"),
    ]
    found = pd.DataFrame(
        [
            {
                "finding": str(i),
                "source": "figure 1",
                "network": n,
                "setup": n,
                "measured": "1.",
                "verdict": v,
            }
            for i, pair in enumerate(pairs)
            for n, v in zip(("faces", "objects"), pair, strict=True)
        ]
    )
    material = read_material(Run.open(layers({"probes": SMALL, "findings": found})))
    assert sentences(material)[1] == (
        "Of 7 findings of the thesis that could be judged, 2 hold in every network that they were judged in, 2 in some "
        "of them only, 1 in none, 2 are unclear; 1 could not be measured."
    )
    figure = key_figures(material)[-1]
    assert (figure["value"], figure["note"]) == ("2 of 7", "of the thesis, in every network")
    one = found[found["setup"] == "objects"]
    material = read_material(Run.open(layers({"probes": SMALL, "findings": one}, name="one")))
    assert sentences(material)[1] == (
        "Of 6 findings of the thesis that could be judged, 1 hold here, 2 do not, 3 are unclear; 2 could not be measured."
    )
    assert key_figures(material)[-1]["note"] == "of the thesis"


def test_summary_of_manipulated_inputs_names_every_network(layers):
    mine = TABLES["consistency"]
    theirs = mine.assign(network="objects", setup="objects", auc=mine["auc"] - 0.2)
    tables = {"probes": SMALL, "consistency": pd.concat([mine, theirs])}
    said = sentences(read_material(Run.open(layers(tables))))
    auc = mine.query("attack == 'pgd' and layer == 'all'")["auc"].item()
    assert any(f"of {auc:.2f} for faces (pgd) and {auc - 0.2:.2f} for objects (pgd);" in s for s in said)


def test_controls_alone_leave_no_sentence_without_numbers(layers):
    controls = TABLES["probes"][TABLES["probes"]["control"]]
    said = sentences(read_material(Run.open(layers({"probes": controls}))))
    assert not any("first to last layer" in sentence for sentence in said)


def test_how_many_neurons_are_shown_by_vip_is_counted(layers, whole):
    assert "how well 50 neurons spread evenly" in section(whole, "vip")
    neurons = TABLES["vip_neurons"]
    fewer = neurons[neurons.groupby(["network", "layer", "attribute"]).cumcount() < 20]
    tables = {"probes": SMALL, "vip_histogram": TABLES["vip_histogram"], "vip_neurons": fewer}
    source = write_report(layers(tables)).read_text(encoding="utf-8")
    assert "how well 20 neurons spread evenly" in section(source, "vip")
    tables["vip_neurons"] = fewer.drop(fewer.index[0])
    source = write_report(layers(tables, name="uneven")).read_text(encoding="utf-8")
    assert "how well up to 20 neurons spread evenly" in section(source, "vip")


def test_attributes_without_a_depth(layers):
    columns = ["layer", "depth", "relative_depth", "value", "parameters_share"]
    gained, branching = TABLES["gained"], TABLES["branching"]
    unknown = branching.assign(**dict.fromkeys(columns, np.nan))
    some = branching.where(branching["attribute"] != "Male", unknown)
    source = write_report(layers({"probes": SMALL, "gained": gained, "branching": some})).read_text(
        encoding="utf-8"
    )
    assert {"branching", "branching-2"} <= set(figures(source))
    assert Page(source).row("Male", 9, "objects")[2:5] == ["nowhere known", "–", "–"]
    nowhere = {
        "gained": gained.assign(layer=None, depth=np.nan, relative_depth=np.nan),
        "branching": unknown,
    }
    source = write_report(layers({"probes": SMALL, **nowhere}, name="nowhere")).read_text(encoding="utf-8")
    assert not {"gained", "branching"} & set(figures(source))
    assert "nowhere known" in section(source, "depths")
    assert not re.search(r"\bnan\b|\bNone\b", Page(source).text)


@pytest.mark.parametrize("name", NEEDS)
def test_missing_tables_are_said_to_be_not_measured(layers, name):
    tables = {} if "probes" in NEEDS[name] else {"probes": SMALL}
    source = write_report(layers(tables)).read_text(encoding="utf-8")
    assert "Not measured:" in section(source, name)
    assert [i for i in Page(source).ids() if i in SECTIONS] == SECTIONS


def test_an_empty_run_has_a_page(layers):
    path = layers(
        {}, networks=[], network={}, faces={}, request={"study": "layers"}, environment={}, timings={}
    )
    page = Page(write_report(path).read_text(encoding="utf-8"))
    assert [i for i in page.ids() if i in SECTIONS] == SECTIONS
    assert "Nothing was probed" in page.text
    assert path.joinpath("report.html").stat().st_size < 100_000


def test_why_something_was_not_measured_and_what_failed(layers):
    problem = {"experiment": "geometry", "network": "demo", "error": "disk <full>"}
    path = layers({}, not_measured={"consistency": "fewer than two people"}, problems=[problem])
    source = write_report(path).read_text(encoding="utf-8")
    assert "Not measured: fewer than two people." in section(source, "consistency")
    assert "Not measured: it failed: disk &lt;full&gt;" in section(source, "geometry")
    assert "geometry of demo" in section(source, "networks")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: t[t["network"] == "objects"], id="one network, no control"),
        pytest.param(lambda t: t[t["layer"] == "b3"], id="one layer"),
        pytest.param(lambda t: t[t["attribute"] == "yaw"], id="a measured quantity only"),
        pytest.param(lambda t: t[t["unit_kind"] == "neurons"], id="neurons only"),
        pytest.param(lambda t: t[t["split"] == "test"], id="test only"),
        pytest.param(lambda t: t.assign(lower=np.nan, upper=np.nan), id="no intervals"),
        pytest.param(lambda t: t.drop(columns=["setup", "relative_depth"]), id="no setups"),
    ],
)
def test_other_shapes_of_runs(layers, change):
    tables = {
        "probes": change(TABLES["probes"]),
        "families": TABLES["families"],
        "sawtooth": TABLES["sawtooth"],
    }
    page = Page(write_report(layers(tables)).read_text(encoding="utf-8"))
    assert [i for i in page.ids() if i in SECTIONS] == SECTIONS
    assert not re.search(r"\bnan\b|\bNone\b", page.text)


def test_text_is_escaped_everywhere(layers):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>&\"'</title>"
    rename = {
        "attribute": {"Male": evil},
        "layer": {"b3": evil},
        "setup": {"faces": evil},
        "network": {"objects": evil},
        "family": {"hair colour": evil},
        "finding": {TABLES["findings"]["finding"].iloc[0]: evil},
        "verdict": {"holds": evil},
    }
    tables = {
        name: TABLES[name].replace(rename)
        for name in (
            "probes",
            "findings",
            "best",
            "families",
            "confounded",
            "consistency",
            "layers",
            "ablation",
        )
    }
    network = {"name": evil, "paper": evil}
    path = layers(
        tables,
        networks=[network, network],
        problems=[dict.fromkeys(("experiment", "network", "error"), evil)],
    )
    source = write_report(path).read_text(encoding="utf-8")
    page = Page(source)
    assert not any("onerror" in attrs for _, attrs in page.tags)
    assert not any(tag == "img" for tag, _ in page.tags)
    assert "<script>alert" not in source
    assert all("</script" not in script.lower() for script in page.scripts)
    assert evil in page.text


def test_it_is_readable_without_seeing(whole):
    page = Page(whole)
    for tag, attrs in page.tags:
        if tag == "svg":
            assert attrs.get("aria-label") or attrs.get("aria-hidden")
        if tag == "div" and "plot" in str(attrs.get("class")).split():
            assert attrs["aria-label"]
    assert sum(tag == "table" for tag, _ in page.tags) == sum(tag == "caption" for tag, _ in page.tags) > 10
    assert sum(tag == "h1" for tag, _ in page.tags) == 1


def test_drops_of_measured_quantities_are_not_averaged_with_those_of_accuracies(layers):
    ablation = TABLES["ablation"].copy()
    ablation.loc[ablation["attribute"] == "yaw", "drop"] = 1e6
    material = read_material(Run.open(layers({"probes": SMALL, "ablation": ablation})))
    assert set(material.tables["ablation"]["attribute"]) == set(ablation["attribute"]) - {"yaw"}
    alone = ablation[ablation["attribute"] == "yaw"]
    material = read_material(Run.open(layers({"probes": SMALL, "ablation": alone}, name="alone")))
    assert len(material.tables["ablation"]) == len(alone)


def test_cautions(layers):
    text = Page(write_report(layers({}, status="running")).read_text(encoding="utf-8")).text
    assert "This run is not complete" in text
    assert "may be in the network's training set" in text
    assert "Probes are not causes" in text
    assert "Attributes are entangled." in text
    assert "where chance is 0.5 for two classes" in text


def test_errors(layers, folder):
    with pytest.raises(DataError, match=r"The table 'best' lacks the columns \['upper'\]"):
        write_report(layers({"best": TABLES["best"].drop(columns="upper")}))
    path = folder(name="other", request={"study": "layer"})
    with pytest.raises(RunError, match=r"no page for the study 'layer' of the run .*did you mean 'layers'"):
        write_report(path)
