"""The paper's findings on tables that show what it shows, the opposite, and nothing."""

import numpy as np
import pandas as pd
import pytest
from tests.studies.expressivity.planted import PAPER_LAYERS, PAPER_TRAINING, tables

from fusiform.studies.expressivity._analyses import correlation
from fusiform.studies.expressivity._decay import compression, decay
from fusiform.studies.expressivity._findings import findings
from fusiform.studies.expressivity._traces import Traces


def derived(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    traces = Traces(found)
    found = found | {"correlation": correlation(found)}
    if "course" in found:
        found["decay"] = decay(traces)
        found["compression"] = compression(traces, found["decay"], "identity")
    return findings(found)


def verdicts(table: pd.DataFrame) -> list[str]:
    return table.verdict.tolist()


@pytest.fixture(scope="module")
def paper():
    training = {name: dict(own) for name, own in PAPER_TRAINING.items()}
    layers = {name: dict(own) for name, own in PAPER_LAYERS.items()}
    errors = {
        name: {place: 10 - 3 * value for own in (layers, training) for place, value in own[name].items()}
        for name in ("yaw", "age")
    }
    objects = {"identity": 1.0, "age": 0.4, "Male": 0.3, "yaw": 0.2}
    return tables(layers, training, objects=objects, linear=errors)


def test_what_the_paper_reports_is_found(paper):
    table = derived(paper)
    assert list(table.columns) == [
        "finding",
        "source",
        "network",
        "setup",
        "measured",
        "verdict",
        "criterion",
    ]
    assert set(table.network) == {"net"}  # not the random control, nor the network of objects
    odd = table[table.verdict != "holds"]
    assert odd.finding.tolist() == []
    assert table.measured.str.len().min() > 20
    assert len(table) == 16


def test_the_opposite_is_not_found():
    layers = {
        "identity": {"image": 3.0, "conv4": 2.5, "conv5": 2.2, "pool": 2.0, "fc": 0.3},
        "age": {"image": 0.9, "conv4": 0.8, "conv5": 0.7, "pool": 0.6, "fc": 0.5},
        "Male": {"image": 1.3, "conv4": 1.2, "conv5": 1.1, "pool": 1.0, "fc": 0.9},
        "yaw": {"image": 1.4, "conv4": 1.3, "conv5": 1.29, "pool": 1.2, "fc": 1.19},
    }
    training = {
        "identity": {0: 2.0, 50: 1.0, 200: 0.3},
        "age": {0: 0.1, 50: 1.5, 200: 0.2},
        "Male": {0: 0.1, 50: 1.1, 200: 0.9},
        "yaw": {0: 0.1, 50: 1.2, 200: 1.19},
    }
    objects = {"identity": 0.1, "age": 0.4, "Male": 0.3, "yaw": 0.2}
    errors = {
        name: {place: 5 + 3 * value for own in (layers, training) for place, value in own[name].items()}
        for name in ("yaw", "age")
    }
    found = tables(layers, training, objects=objects, linear=errors)
    found["described"]["entropy"] = [0.7, 0.1, 0.7, 0.7]
    table = derived(found)
    # Yaw stays about as it is, which settles nothing where all three must fall; three points have no interval.
    unclear = table.index[table.verdict == "unclear"].tolist()
    assert unclear == [3, 5, 9, 14]
    assert (table.verdict.drop(unclear) == "does not hold").all()
    assert "r = 1.00 (no interval) for yaw" in table.measured[14]


def test_one_layer_and_one_step_allow_no_verdict_about_layers_and_steps():
    one = tables(
        {"identity": {"features": 1.0}, "yaw": {"features": 1.2}}, {"identity": {5: 1.0}, "yaw": {5: 1.2}}
    )
    table = derived(one)
    assert set(table.verdict) == {"not measured"}
    assert "nan" not in " ".join(table.measured)
    assert table.measured.str.contains("one layer only was measured").sum() == 4
    assert table.measured.str.contains("fewer than two checkpoints").sum() >= 2


def test_what_was_never_expressed_cannot_be_compressed():
    training = {"identity": {1: 1.0, 9: 2.0, 90: 3.0}, "yaw": {1: 0.0, 9: -0.2, 90: -0.4}}
    layers = {name: PAPER_LAYERS[name] for name in training}
    table = derived(tables(layers, training)).set_index("source")
    compressed = table.loc["section V.D, after Saxe and others (2018)"]
    assert compressed.measured == "Not measured: none of age, sex and yaw was ever expressed."
    decreases = table.loc["introduction, 4; section V.B"].measured.tolist()
    assert decreases[0] == compressed.measured


RATES = "The rate of decrease is age < sex < yaw."


def test_rates_are_compared_draw_by_draw(paper):
    """Chance that all attributes share leaves the differences of their rates certain, if not the rates."""
    common = np.random.default_rng(7).normal(scale=0.2, size=(1000, 200))
    draws = paper["draws"].copy()
    step = draws["step"].fillna(-1).astype(int)
    draws["value"] += common[step.to_numpy(), draws["draw"].to_numpy()]
    shared = paper | {"draws": draws}
    rows = decay(Traces(shared)).set_index("attribute")
    assert rows.rate_upper["age"] > rows.rate_lower["Male"]
    assert derived(shared).set_index("finding").verdict[RATES] == "holds"


def test_what_peaks_at_the_last_step_has_no_rate():
    training = PAPER_TRAINING | {"age": {0: 0.1, 25: 0.5, 50: 0.9, 100: 1.0, 200: 1.4}}
    row = derived(tables(PAPER_LAYERS, training)).set_index("finding").loc[RATES]
    assert row.verdict == "holds"  # of sex and yaw
    assert row.measured.endswith("; age peaked too late to have a rate.")
    assert "age 0" not in row.measured
    training["Male"] = training["age"]
    row = derived(tables(PAPER_LAYERS, training)).set_index("finding").loc[RATES]
    assert row.measured == "Not measured: age and sex peaked too late to have a rate."


def test_what_could_not_be_estimated_is_not_measured(paper):
    rows = paper["expressivity"].copy()
    rows.loc[rows.attribute == "identity", ["value", "lower", "upper"]] = np.nan
    table = derived(paper | {"expressivity": rows})
    assert "nan" not in " ".join(table.measured)
    assert "'identity' was not measured in the layer 'image'" in " ".join(table.measured)


def test_another_verdict_of_another_estimator_is_said(paper):
    rows, draws = paper["expressivity"].copy(), paper["draws"].copy()
    for table in (rows, draws):  # the Gaussian estimator has yaw above all in the last layer
        odd = (table.estimator == "gaussian") & (table.attribute == "yaw") & (table.layer == "fc")
        table.loc[odd, "value"] += 5.0
    found = derived(paper | {"expressivity": rows, "draws": draws}).set_index("finding")
    row = found.loc["In the last layer the order of expressivity is age > sex > yaw."]
    assert row.verdict == "holds"
    assert row.measured.endswith(" Another verdict: does not hold by gaussian.")
    row = found.loc[
        "From the last pool to the final fully connected layer the expressivity of identity rises."
    ]
    assert "Another verdict" not in row.measured
    assert not derived(paper).measured.str.contains("Another verdict").any()


def test_a_course_alone_is_judged(paper):
    table = derived({name: own for name, own in paper.items() if name != "expressivity"})
    assert {"holds", "not measured"} == set(table.verdict)
    assert table.verdict[table.finding == RATES].tolist() == ["holds"]


def test_wide_intervals_settle_nothing():
    found = tables(PAPER_LAYERS, PAPER_TRAINING, spread=5.0)
    table = derived(found).set_index("finding")
    assert table.verdict["In the last layer the order of expressivity is age > sex > yaw."] == "unclear"
    assert table.verdict["The expressivity of identity generally increases during training."] == "unclear"


def test_what_is_missing_is_said(paper):
    assert set(verdicts(findings({}))) == {"not measured"}
    few = tables({"Smiling": {"pool": 0.5, "fc": 0.6}})
    table = derived(few).set_index("finding").measured
    assert (
        "no attribute for age was studied"
        in table["In the last layer the order of expressivity is age > sex > yaw."]
    )
    assert "no checkpoints were given" in table["Yaw, age and sex reach their peak early in training."]
    rises = "Expressivity does not fall monotonically with depth, though true information cannot rise."
    assert derived(few).set_index("finding").verdict[rises] == "holds"
    layers_only = {name: paper[name] for name in ("expressivity", "draws", "described")}
    late = derived(layers_only).iloc[9:]
    assert set(late.verdict) == {"not measured"}


def test_names_of_data_sets_stand_for_the_papers_attributes():
    found = tables({"Young": {"fc": 1.0}, "PR_MALE": {"fc": 0.5}, "pose_yaw": {"fc": 0.1}})
    table = derived(found)
    assert table.verdict.iloc[0] == "holds"
    assert "age (Young), sex (PR_MALE), yaw (pose_yaw)" in table.measured.iloc[0]


def test_setups_are_those_of_the_layers(paper):
    layers = pd.DataFrame({"network": ["net", "net"], "setup": ["mine", "mine"]})
    assert set(findings(paper | {"layers": layers}).setup) == {"mine"}
