"""Verdicts on tables with planted units: what holds holds, what is turned round does not."""

import numpy as np
import pandas as pd
import pytest
from tests.studies.dissection.made_up import coverage_of, pairs_of, table_of_concepts, units_of

from fusiform.studies._findings import Estimate
from fusiform.studies.dissection import _tables as tables_of
from fusiform.studies.dissection._findings import FINDINGS, findings
from fusiform.studies.dissection._shares import apart, paired, wilson

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
    found["regions"] = tables_of.regions(found["pairs"], found["units"], [*CONCEPTS.regions, "Cheek"])
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
    assert found["_attributes"] == "does not hold"  # as many as parts, in every unit
    said = table.set_index("finding")["measured"]
    assert "75% (69% to 80%)" in said["Hierarchical dissection covers 70 to 80% of the units."]
    assert "with random weights 0%" in said.filter(like="Network Dissection.").iloc[-1]
    assert (table["network"] == "net").all()


def test_the_other_way_round_does_not_hold():
    few = {u: {"nose": 0.2} for u in range(10)}
    found, _ = verdicts(tables(few, RICH, q=0.9))
    assert found["_above_random"] == found["_network_above_random"] == "does not hold"
    assert found["_global_pairs"] == found["_covered"] == "does not hold"
    assert found["_disagreement"] == "unclear"  # none of ten
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
    random = rows.assign(control=True, units=10 + rng.normal(size=40))

    def judged(*parts):
        found, table = verdicts(given | {"bias": pd.concat(parts)})
        return found["_skewed"], table.set_index("source")["measured"]["section 5.2, smile classifier"]

    assert judged(rows, random)[0] == "holds"
    assert judged(rows.assign(association=-excess), random)[0] == "does not hold"
    # What random weights have too is no discovery.
    assert judged(rows, rows.assign(control=True))[0] == "does not hold"
    assert judged(rows) == (
        "not measured",
        "Not measured: too few concepts and groups with random weights have units and images of both.",
    )
    assert verdicts(given)[0]["_skewed"] == "not measured"


def test_what_was_not_asked_for_is_not_measured():
    found, table = verdicts(tables(RICH, methods=("hierarchical",)))
    assert found["_more_units"] == found["_more_concepts"] == found["_above_random"] == "not measured"
    by_network = ("_covered_by_network", "_covers_more", "_network_above_random")
    assert {found[name] for name in by_network} == {"not measured"}
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


def test_few_units_settle_nothing():
    """Of 14 units none or all: no share is known to a point."""
    none = {u: {"Eyeglasses": 0.1} for u in range(14)}
    found, table = verdicts(tables(none))
    assert found["_disagreement"] == "unclear"
    assert table["measured"].str.contains("Of 14 units so do 0: 0% (0% to 22%)", regex=False).any()
    assert wilson(0, 80).above(0.05) == "does not hold"
    assert apart([True] * 3, [False] * 3).above(0.0) == "holds"
    assert apart([True] * 2, [True] * 2).above(0.0) == "unclear"


@pytest.mark.parametrize(
    ("a", "n", "b", "m", "lower", "upper"),
    [(56, 70, 48, 80, 0.0524, 0.3339), (9, 10, 3, 10, 0.1705, 0.8090), (10, 10, 0, 20, 0.6791, 1.0)],
)
def test_differences_of_shares_as_newcombe_published_them(a, n, b, m, lower, upper):
    found = apart(np.arange(n) < a, np.arange(m) < b)
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=6e-5)


@pytest.mark.parametrize(
    ("cells", "lower", "upper"),
    [((36, 12, 2, 0), 0.0569, 0.3404), ((0, 0, 0, 20), -0.1611, 0.1611), ((53, 0, 1, 0), None, None)],
)
def test_paired_differences_as_newcombe_published_them(cells, lower, upper):
    both, one, other, none = cells
    first = [True] * (both + one) + [False] * (other + none)
    second = [True] * both + [False] * one + [True] * other + [False] * none
    found = paired(first, second)
    if lower is None:
        assert found.lower < found.value < found.upper
        return
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=6e-5)


def test_over_what_layers_coverage_is_judged():
    given = tables(RICH, layers=("a", "b"))
    rows = {
        "network": "net",
        "layer": ["a", "b", "c"],
        "role": ["conv", "residual_sum", "conv"],
        "main": False,
    }
    said = findings(given | {"layers": pd.DataFrame(rows)})["measured"]
    assert (
        said.str.contains("of 400 units of 1 convolution and 1 layer of other kinds", regex=False).sum() == 2
    )
    assert findings(given)["measured"].str.contains("of 400 units of 2 layers", regex=False).sum() == 2


@pytest.mark.parametrize(
    ("ends", "above", "within", "beyond"),
    [
        ((0, 0), "does not hold", "holds", "does not hold"),
        ((1, 1), "holds", "does not hold", "does not hold"),
        ((1, 2), "holds", "does not hold", "unclear"),
        ((2, 3), "holds", "does not hold", "holds"),
        ((-1, 0), "does not hold", "unclear", "does not hold"),
        ((0, 2), "unclear", "unclear", "unclear"),
        ((np.nan, np.nan), "unclear", "unclear", "unclear"),
    ],
)
def test_criteria_are_strict(ends, above, within, beyond):
    """Above 0, between -1 and 1, outside of these."""
    estimate = Estimate(np.mean(ends), *ends)
    assert estimate.above(0) == above
    assert Estimate(-np.mean(ends), -ends[1], -ends[0]).below(0) == above
    assert (estimate.within(1), estimate.beyond(1)) == (within, beyond)
