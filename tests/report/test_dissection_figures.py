"""Figures of the studies of dissection and of planted bias hold what the tables hold."""

import numpy as np
import pandas as pd
import pytest
from tests.report import dissection_tables as planted
from tests.report import planted_bias_tables as biased

from fusiform import plotting
from fusiform.errors import DataError
from fusiform.plotting import style

TABLES = planted.planted_tables()
BIAS = biased.planted_tables()


def of(figure, **wanted):
    found = [t for t in figure.data if all((t.meta or {}).get(k) == v for k, v in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


# Coverage, regions, concepts ------------------------------------------------------------------------


def test_coverage_is_that_of_the_table_in_order_of_depth():
    figure = plotting.dissection_coverage(TABLES["coverage"].sample(frac=1, random_state=0))
    line = of(figure, method="hierarchical", scope="global", role="line")
    assert list(line.x) == list(planted.LAYERS)
    assert np.allclose(line.y, 0.5)
    assert np.allclose(of(figure, method="hierarchical", scope="either", role="control").y, 0.25)
    band = of(figure, method="network", scope="local", role="band")
    assert np.allclose(band.y, [1.0] * 3 + [0.85] * 3)
    # Network Dissection knows no global concepts.
    assert {t.meta["scope"] for t in figure.data if t.meta["method"] == "network"} == {"local"}
    names = [t.name for t in figure.data if t.showlegend]
    assert len(names) == len(set(names)) == 6


def test_one_layer_has_error_bars_instead_of_a_band():
    rows = TABLES["coverage"].query("layer == 'stage4.0'")
    figure = plotting.dissection_coverage(rows)
    assert not [t for t in figure.data if t.meta["role"] == "band"]
    assert np.allclose(of(figure, method="network", scope="local", role="line").error_y.arrayminus, 0.15)


def test_regions_and_kinds():
    figure = plotting.dissection_regions(TABLES["regions"], TABLES["kinds"], layer="stage3.1")
    trained = of(figure, panel="region", control=False)
    rows = TABLES["regions"].query("layer == 'stage3.1' and not control").set_index("region")["units"]
    assert dict(zip(trained.y, trained.x, strict=True)) == rows.to_dict()
    kinds = of(figure, panel="kind", control=True)
    rows = TABLES["kinds"].query("layer == 'stage3.1' and control").set_index("concept_kind")["pairs"]
    assert dict(zip(kinds.y, kinds.x, strict=True))["facial parts"] == rows["part"]
    assert list(of(figure, panel="kind", control=False).y) == [
        "action units",
        "facial parts",
        "attributes",
        "global concepts",
    ]


def test_concepts_are_parted_by_the_groups_of_a_category():
    figure = plotting.dissection_concepts(TABLES["counts"], TABLES["overlay"], layer=planted.MAIN)
    parts = [t for t in figure.data if t.meta["role"] == "part"]
    assert [(t.meta["pick"], t.meta["group"]) for t in parts] == [
        *(("Gender", g) for g in ("Male", "Female", "none")),
        *(("Age", g) for g in (*planted.CATEGORIES["Age"][0], "none")),
    ]
    assert [t.visible for t in parts] == [True] * 3 + [False] * 5
    # Gender is one group at the most here, so that its parts add up to the whole.
    whole = TABLES["counts"].query(f"layer == '{planted.MAIN}' and method == 'hierarchical' and not control")
    whole = whole.set_index("concept")["units"]
    sums = np.sum([t.x for t in parts[:3]], axis=0)
    assert dict(zip(parts[0].y, sums, strict=True)) == whole[[c for c, _, _ in planted.LOCAL]].to_dict()
    groups = of(figure, method="hierarchical", role="bar")
    assert dict(zip(groups.y, groups.x, strict=True)) == whole[[g for g, _ in planted.GROUPS]].to_dict()
    other = of(figure, method="network", role="bar")
    assert sum(other.x) == planted.UNITS
    twin = TABLES["counts"].query(
        f"layer == '{planted.MAIN}' and method == 'network' and control and units > 0"
    )
    assert list(of(figure, method="network", role="control").x) == twin["units"].tolist()


def test_regions_are_named_beside_the_concepts_whatever_the_order_of_the_rows():
    rows = TABLES["counts"].query(f"layer == '{planted.MAIN}'").sort_values("concept")
    figure = plotting.dissection_concepts(rows)
    listed = [*figure.layout.yaxis.categoryarray, *figure.layout.yaxis3.categoryarray]
    region = {c: r for c, _, r in planted.LOCAL} | dict(planted.GROUPS)
    runs = [region[c] for i, c in enumerate(listed) if not i or region[c] != region[listed[i - 1]]]
    assert sorted(runs) == sorted({*planted.REGIONS, *planted.CATEGORIES})
    assert set(runs[-2:]) == set(planted.CATEGORIES)
    # No line where one panel ends and the next begins.
    assert len(figure.layout.shapes) == len(runs) - 2
    assert [a.text for a in figure.layout.annotations[2:]] == runs


def test_dictionary_histogram():
    figure = plotting.dictionary_histogram(TABLES["dictionary"])
    parts = of(figure, kind="part")
    images = TABLES["dictionary"].set_index("concept")["images"]
    assert dict(zip(parts.y, parts.x, strict=True))["nose"] == images["nose"]
    assert parts.customdata[0] == ["300 pixels a mask"] or parts.customdata[0] == [", 300 pixels a mask"]
    assert of(figure, kind="action unit").customdata[0] == [""]


# Bias -----------------------------------------------------------------------------------------------


def test_bias_is_the_power_of_two_of_the_ratio_cut_at_four():
    figure = plotting.dissection_bias(TABLES["bias"], layer=planted.MAIN)
    heat = of(figure, role="ratio")
    rows = TABLES["bias"].query(f"layer == '{planted.MAIN}' and not control")
    rows = rows.set_index(["concept", "group"])
    for i, concept in enumerate(heat.y):
        for j, name in enumerate(heat.x):
            row = rows.loc[(concept, name.replace(" ", "_"))]
            if row["units"] == 0 and row["expected"] < 1:
                assert heat.z[i][j] is None
            else:
                assert np.isclose(heat.z[i][j], np.clip(np.log2(row["ratio"]), -2, 2))
    strip = of(figure, role="group task")
    told = rows["group_task_association"].groupby("group").first()
    assert np.allclose(strip.z[0], [told[name.replace(" ", "_")] for name in strip.x])
    above, below = (figure.layout[t.yaxis.replace("y", "yaxis")].domain for t in (strip, heat))
    assert above[0] > below[1]
    association = of(figure, role="association")
    assert np.isclose(association.z[0][1], rows.loc[(heat.y[0], heat.x[1]), "association"])
    assert len(of(figure, role="significant").x) == (rows["p_value"] < 0.05).sum()
    assert [z[0] for z in of(figure, role="task").z] == pytest.approx(
        rows.xs("Male", level="group")["task_association"].tolist()
    )


def test_bias_without_a_task_or_associations_and_with_groups_of_one_name():
    rows = TABLES["bias"].query(f"layer == '{planted.MAIN}'").assign(task_association=pd.NA)
    figure = plotting.dissection_bias(rows)
    assert {t.meta["role"] for t in figure.data} == {"ratio", "significant", "association", "group task"}
    rows = rows.drop(columns="group_task_association")
    figure = plotting.dissection_bias(rows)
    assert {t.meta["role"] for t in figure.data} == {"ratio", "significant", "association"}
    figure = plotting.dissection_bias(rows.assign(association=np.nan))
    assert {t.meta["role"] for t in figure.data} == {"ratio", "significant"}
    twice = rows.replace({"group": {"sixty_plus": "Male"}})
    assert {"Gender: Male", "Age: Male"} < set(of(plotting.dissection_bias(twice), role="ratio").x)


def test_nothing_shared_cannot_be_drawn():
    with pytest.raises(DataError, match="holds no local concept that shares a unit with a global group"):
        plotting.dissection_bias(TABLES["bias"].assign(units=0))


# Planted bias ---------------------------------------------------------------------------------------


def test_quantities_over_the_strength_of_a_bias():
    wanted = ["Eye region units", "Cheek region units", "no such thing"]
    figure = plotting.planted_counts(BIAS["summary"], wanted, control=BIAS["control"], cue="eyeglasses")
    eye = of(figure, quantity="Eye region units", role="line")
    means = [np.mean([biased.units_of("Eye", p, s) for s in biased.SEEDS]) for p in biased.PERCENTS]
    assert np.allclose(eye.y, means)
    assert np.allclose(eye.error_y.array, 2.0)
    assert [each[3] for each in eye.customdata] == list(biased.PERCENTS)
    # Lines stand side by side.
    cheek = of(figure, quantity="Cheek region units", role="line")
    assert np.allclose(np.add(eye.x, cheek.x) / 2, biased.PERCENTS)
    assert of(figure, quantity="Eye region units", role="control").y == (means[0] / 2, means[0] / 2)
    assert len(figure.data) == 4


def test_probabilities_are_sorted_means_over_seeds():
    rows = BIAS["probabilities"].sample(frac=1, random_state=0)
    figure = plotting.planted_probabilities(rows)
    for stage, width in biased.WIDTHS.items():
        line = of(figure, stage=str(stage), percent=100)
        assert np.allclose(line.y, 0.5 + 0.42 * np.linspace(1, -1, width))
        assert (line.x[0], line.x[-1]) == (0, 1)
    assert of(figure, stage="1", percent=50).line.color == plotting._planted_bias_units.ramp(50, (50, 100))
    assert len({t.line.color for t in figure.data}) == len(biased.PERCENTS)


def test_biased_units_are_stacked_with_the_interval_of_their_sum():
    figure = plotting.planted_biased(BIAS["biased"], BIAS["summary"], cue="grey")
    rows = BIAS["biased"].query("stage == 3 and seed == 0")
    for towards in ("grey", "colour"):
        bar = of(figure, stage="3", towards=towards)
        assert list(bar.y) == rows[rows["towards"] == towards]["units"].tolist()
    total = rows.groupby("percent")["units"].sum()
    assert list(of(figure, stage="3", towards="either").y) == total.tolist()
    assert not [t for t in plotting.planted_biased(BIAS["biased"]).data if t.meta["towards"] == "either"]


# What cannot be drawn -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "table", "message"),
    [
        (plotting.dissection_coverage, "coverage", r"The table 'coverage' lacks the columns \['share'\]"),
        (plotting.dissection_regions, "regions", r"The table 'regions' lacks the columns \['units'\]"),
        (plotting.dissection_concepts, "counts", r"The table 'counts' lacks the columns \['units'\]"),
        (plotting.dissection_bias, "bias", r"The table 'bias' lacks the columns \['ratio'\]"),
        (
            plotting.dictionary_histogram,
            "dictionary",
            r"The table 'dictionary' lacks the columns \['images'\]",
        ),
    ],
)
def test_missing_columns_are_named(draw, table, message):
    column = message.partition(r"\['")[2].partition("'")[0]
    with pytest.raises(DataError, match=message):
        draw(TABLES[table].drop(columns=column))


def test_unknown_names():
    with pytest.raises(DataError, match=r"The table 'counts' has no layer 'stage4\.1'.*stage4\.0"):
        plotting.dissection_concepts(TABLES["counts"], layer="stage4.1")
    two = pd.concat([TABLES["coverage"], TABLES["coverage"].assign(network="other")])
    with pytest.raises(DataError, match=r"holds several networks.*say which by network="):
        plotting.dissection_coverage(two)
    with pytest.raises(DataError, match=r"holds several cues.*say which by cue="):
        plotting.planted_counts(BIAS["summary"], ["accuracy"])
    with pytest.raises(DataError, match=r"none of the quantities \['hats'\]; it has \['accuracy'"):
        plotting.planted_counts(BIAS["summary"], ["hats"], cue="grey")
    with pytest.raises(DataError, match="no rows of the methods"):
        plotting.dissection_coverage(TABLES["coverage"].assign(method="guess"))


def test_names_are_shown_as_they_are():
    evil = "<i>&"
    rows = TABLES["counts"].replace({"concept": {"nose": evil}, "layer": {planted.MAIN: evil}})
    figure = plotting.dissection_concepts(rows, layer=evil)
    assert style.plain(evil) in figure.layout.yaxis.categoryarray
    rows = TABLES["bias"].replace({"concept": {"nose": evil}, "group": {"Male": evil}})
    figure = plotting.dissection_bias(rows, layer=planted.MAIN)
    assert style.plain(evil) in of(figure, role="ratio").x
    assert evil not in str(of(figure, role="ratio").hovertext)
