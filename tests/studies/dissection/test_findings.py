"""Verdicts on tables with planted units: what holds holds, what is turned round does not."""

import numpy as np
import pandas as pd
import pytest
from tests.studies.dissection.made_up import coverage_of, pairs_of, table_of_concepts, units_of

from fusiform.studies.dissection import _tables as tables_of
from fusiform.studies.dissection._findings import FINDINGS, findings

CONCEPTS = table_of_concepts()
N = 200


def tables(planted, random=None, *, q=0.001, layers=("conv",), methods=("hierarchical", "network")):
    """Tables of a run with these units in each layer; `random`: those of the twin."""
    pairs, units, coverage = [], [], []
    for depth, layer in enumerate(layers):
        for control, some in ((False, planted), (True, random)):
            if some is None:
                continue
            place = {"layer": layer, "depth": depth, "control": control}
            own = some.get(layer, some)
            pairs.append(pairs_of(own, CONCEPTS, **place).assign(q_value=q if not control else 0.5))
            units.append(units_of(pairs[-1], N, **place))
            coverage.append(coverage_of(pairs[-1], units[-1]))
    found = {name: pd.concat(t, ignore_index=True) for name, t in (("pairs", pairs), ("units", units))}
    found["coverage"] = pd.concat(coverage, ignore_index=True)
    if "network" not in methods:
        found = {k: t[t["method"] != "network"] if "method" in t else t for k, t in found.items()}
    found["units"] = tables_of.with_network_dissection(found["units"], 0.04)
    found["counts"] = tables_of.counts(found["pairs"], found["units"], CONCEPTS, methods)
    found["regions"] = tables_of.regions(found["units"], [*CONCEPTS.regions, "Cheek"])
    return found


def verdicts(given):
    table = findings(given)
    assert len(table) == len(FINDINGS)
    return {f.judge.__name__: v for f, v in zip(FINDINGS, table["verdict"], strict=True)}, table


# 150 of 200 units have two local concepts of the eye and a group.
RICH = {u: {"left_eye": 0.2, "Eyeglasses": 0.1, "Male": 0.7} for u in range(150)}


def test_without_tables_nothing_is_measured():
    assert set(findings({})["verdict"]) == {"not measured"}


def test_planted_units_give_their_verdicts():
    found, table = verdicts(tables(RICH, {}))
    assert found["_more_units"] == "unclear"  # over four concepts one more is no certainty
    assert found["_global_pairs"] == "holds"
    assert found["_covered"] == "unclear"  # 75% of 200 units, give or take 6
    assert found["_covered_by_network"] == "does not hold"
    assert found["_covers_more"] == "unclear"
    assert found["_above_random"] == found["_network_above_random"] == found["_significant"] == "holds"
    # The made-up probability is highest where the IoU is lowest.
    assert found["_disagreement"] == "holds"
    assert found["_cheek"] == "does not hold"
    assert found["_attributes"] == "unclear"
    said = table.set_index("finding")["measured"]
    assert "75% (68% to 80%)" in said["Hierarchical dissection covers 70 to 80% of the units."]
    assert "with random weights 0%" in said.filter(like="Network Dissection.").iloc[-1]
    assert (table["network"] == "net").all()


def test_the_other_way_round_does_not_hold():
    few = {u: {"nose": 0.2} for u in range(10)}
    found, _ = verdicts(tables(few, RICH, q=0.9))
    assert found["_above_random"] == found["_network_above_random"] == "does not hold"
    assert found["_global_pairs"] == found["_covered"] == found["_disagreement"] == "does not hold"
    assert found["_nose"] == "does not hold"


def test_concepts_that_only_one_method_names():
    # Of each region's two concepts every unit has both, and Network Dissection names the same one.
    both = {u: {"left_eye": 0.2, "Eyeglasses": 0.1} for u in range(90)}
    both |= {u: {"AU_9": 0.2, "nose": 0.1} for u in range(90, 150)}
    _, table = verdicts(tables(both))
    said = table.set_index("source")["measured"]["section 5.2, figure 10"].iloc[1]
    assert "4 and 2 are found, 2 by hierarchical dissection alone, 0 by Network Dissection alone" in said


def test_attributes_and_kinds_are_compared_within_units():
    glasses = {u: {"Eyeglasses": 0.1} for u in range(100)}
    assert verdicts(tables(glasses))[0]["_attributes"] == "holds"
    parts = {u: {"left_eye": 0.1} for u in range(100)}
    assert verdicts(tables(parts))[0]["_attributes"] == "does not hold"


@pytest.mark.parametrize(("last", "verdict"), [(150, "holds"), (20, "does not hold"), (140, "unclear")])
def test_coverage_over_layers(last, verdict):
    planted = {"a": RICH, "b": dict.fromkeys(range(last), RICH[0])}
    assert verdicts(tables(planted, layers=("a", "b")))[0]["_over_layers"] == verdict
    if last == 150:
        assert verdicts(tables(RICH))[0]["_over_layers"] == "not measured"


def test_units_of_skewed_concepts():
    given = tables(RICH)
    rng = np.random.default_rng(0)
    excess = rng.normal(size=40)
    rows = pd.DataFrame(
        {"network": "net", "control": False, "layer": "conv", "depth": 0, "expected": 10.0}, range(40)
    )
    rows["concept"] = [f"c{k // 4}" for k in range(40)]
    rows["association"], rows["units"] = excess / 5, 10 + excess * 3 + rng.normal(0, 0.5, 40)
    assert verdicts(given | {"bias": rows})[0]["_skewed"] == "holds"
    assert verdicts(given | {"bias": rows.assign(association=-excess)})[0]["_skewed"] == "does not hold"
    assert verdicts(given)[0]["_skewed"] == "not measured"


def test_what_was_not_asked_for_is_not_measured():
    found, table = verdicts(tables(RICH, methods=("hierarchical",)))
    assert found["_more_units"] == found["_more_concepts"] == found["_above_random"] == "not measured"
    said = table.set_index("finding")["measured"]
    assert said.filter(like="pairs more units").iloc[0] == "Not measured: not both methods were asked for."
    assert "no control with random weights" in said.filter(like="random weights, by").iloc[0]


def test_figures_are_of_the_main_layer():
    planted = {
        "a": {u: {"Eyeglasses": 0.1} for u in range(100)},
        "b": {u: {"left_eye": 0.1} for u in range(100)},
    }
    given = tables(planted, layers=("a", "b"))
    assert verdicts(given)[0]["_attributes"] == "does not hold"  # the deepest
    layers = pd.DataFrame({"network": "net", "layer": ["a", "b"], "main": [True, False]})
    assert verdicts(given | {"layers": layers})[0]["_attributes"] == "holds"
