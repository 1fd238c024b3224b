"""Chance, what a method beats, ranks, findings: on made-up tables."""

import pytest

from fusiform.studies._findings import ABSENT, FAILS, HOLDS, UNCLEAR
from fusiform.studies.attribution._derived import FAITHFUL, compared, ranks
from fusiform.studies.attribution._findings import findings
from fusiform.studies.attribution._schema import typed


def measure(method, metric, value, *, better="lower", spread=0.0, base=False, target="similarity", **more):
    return {
        "network": "net", "target": target, "method": method, "baseline_map": base, "metric": metric, "better": better,
        "value": value, "lower": value - spread, "upper": value + spread, "n": 4, "n_identities": 4,
    } | more  # fmt: skip


def values(method, metric, found):
    return [
        {"network": "net", "target": "similarity", "method": method, "metric": metric, "image_id": str(k), "identity": str(k), "value": v}
        for k, v in enumerate(found)
    ]  # fmt: skip


def test_a_method_beats_a_map_by_the_paired_difference():
    # The intervals of the two overlap by far; image by image the method is always lower.
    rows = [
        measure("random", "deletion", 0.5, spread=0.4, base=True),
        measure("gaussian", "deletion", 0.4, spread=0.4, base=True),
        measure("lrp", "deletion", 0.4, spread=0.4),
    ]
    each = values("random", "deletion", [0.1, 0.4, 0.6, 0.9])
    each += values("gaussian", "deletion", [0.1, 0.2, 0.5, 0.8]) + values(
        "lrp", "deletion", [0.0, 0.3, 0.5, 0.8]
    )
    found = compared(typed("measures", rows), typed("values", each)).set_index("method")
    assert found["chance"].tolist() == [0.5, 0.5, 0.5]
    assert found.loc["lrp", "beats"] == "random"
    assert found.loc["random", "beats"] == ""


@pytest.mark.parametrize(("better", "beats"), [("lower", "random"), ("higher", "")])
def test_without_values_intervals_must_lie_apart(better, beats):
    rows = [
        measure("random", "x", 0.5, spread=0.1, base=True, better=better),
        measure("edges", "x", 0.35, spread=0.1, base=True, better=better),
        measure("lrp", "x", 0.2, spread=0.1, better=better),
    ]
    found = compared(typed("measures", rows), typed("values", [])).set_index("method")
    assert found.loc["lrp", "beats"] == beats


def test_ranks_follow_the_direction_and_the_mean_counts_faithful_measures_only():
    rows = [
        measure("random", "deletion", 0.9, base=True),
        measure("lrp", "deletion", 0.1),
        measure("rise", "deletion", 0.3),
        measure("random", "insertion", 0.1, base=True, better="higher"),
        measure("lrp", "insertion", 0.8, better="higher"),
        measure("rise", "insertion", 0.9, better="higher"),
        # What a map that ignores the network wins.
        measure("random", "max_sensitivity", 0.0, base=True),
        measure("lrp", "max_sensitivity", 0.5),
        measure("rise", "max_sensitivity", float("nan")),
    ]
    found = ranks(typed("measures", rows))
    of = {(r.method, r.metric): r.rank for r in found.itertuples()}
    assert [of[m, "deletion"] for m in ("lrp", "rise", "random")] == [1, 2, 3]
    assert [of[m, "insertion"] for m in ("rise", "lrp", "random")] == [1, 2, 3]
    assert [of[m, "mean"] for m in ("lrp", "rise", "random")] == [1.5, 1.5, 3]
    assert ("rise", "max_sensitivity") not in of
    assert found.loc[found["metric"] == "max_sensitivity", "of"].tolist() == [2, 2]
    assert set(found.loc[found["in_mean"], "metric"]) <= set(FAITHFUL)
    assert not len(ranks(typed("measures", [])))


def judged(tables):
    return findings({name: typed(name, rows) for name, rows in tables.items()}).set_index("finding")[
        "verdict"
    ]


def test_nothing_measured_gives_no_verdict():
    assert set(findings({})["verdict"]) == {ABSENT}
    one = judged({"measures": [measure("lrp", "insertion", 0.5)]})
    assert set(one) == {ABSENT}


def test_findings_follow_the_tables():
    rows = [measure("random", "deletion", 0.5, base=True, beats="")]
    rows += [measure(m, "deletion", 0.2, beats="random, edges") for m in ("lrp", "rise", "occlusion")]
    rows += [measure("edges", "parameter_randomization", 1.0, base=True)]
    rows += [
        measure("lrp", "parameter_randomization", 0.1),
        measure("guided_backpropagation", "parameter_randomization", 0.9),
    ]
    rows += [
        measure("rise", "implementation_invariance", 0.001),
        measure("occlusion", "implementation_invariance", 0.2),
    ]
    rows += [measure("integrated_gradients", "completeness_error", 0.01, spread=0.005)]
    verdict = judged({"measures": rows})
    assert (
        verdict["Methods find what the score depends on better than random flipping of pixels does."] == HOLDS
    )
    assert verdict["Maps that know nothing of the network do not do as well as methods."] == FAILS
    assert verdict["Many saliency maps do not depend on what the network learned."] == HOLDS
    assert verdict["Perturbation methods do not depend on how a function is implemented."] == FAILS
    assert (
        verdict["Shapley values and Integrated Gradients share out the whole difference of scores."] == HOLDS
    )


def test_edges_alone_do_not_make_a_method_fail_the_sanity_check():
    rows = [
        measure("edges", "parameter_randomization", 1.0, base=True),
        measure("lrp", "parameter_randomization", 0.1),
    ]
    sentence = "Many saliency maps do not depend on what the network learned."
    assert judged({"measures": rows})[sentence] == FAILS
    rows.append(measure("deep_lift", "parameter_randomization", 0.5, spread=0.2))
    assert judged({"measures": rows})[sentence] == UNCLEAR


def described(method, metric, value, spread=0.01):
    return {"network": "net", "target": "similarity", "method": method, "baseline_map": False, "metric": metric,
            "value": value, "lower": value - spread, "upper": value + spread, "n": 4}  # fmt: skip


def test_findings_on_level_of_detail():
    rows = [
        described("guided_backpropagation", "centroid_frequency", 20.0),
        described("grad_cam", "centroid_frequency", 2.0),
    ]
    rows += [
        described("excitation_backprop", "covered_area", 0.3),
        described("contrastive_excitation_backprop", "covered_area", 0.1),
    ]
    rows += [
        described("guided_backpropagation", "edge_correlation", 0.5),
        described("grad_cam", "edge_correlation", 0.1),
    ]
    tables = {"measures": [measure("lrp", "insertion", 0.5)], "descriptors": rows}
    verdict = judged(tables)
    assert (
        verdict[
            "Class activation maps are coarser than Integrated Gradients, guided backpropagation and DeepLIFT."
        ]
        == HOLDS
    )
    assert verdict.filter(like="Excitation Backprop as it is").tolist() == [HOLDS]
    assert verdict.filter(like="resemble edge detectors").tolist() == [HOLDS]
    swapped = [
        {**row, "value": -row["value"], "lower": -row["upper"], "upper": -row["lower"]} for row in rows
    ]
    verdict = judged(tables | {"descriptors": swapped})
    assert verdict.filter(like="Excitation Backprop as it is").tolist() == [FAILS]
    assert verdict.filter(like="resemble edge detectors").tolist() == [FAILS]


def test_findings_on_known_answers():
    def known(method, energy, spread=0.01):
        return {"network": "confined:nose", "target": "class", "method": method, "baseline_map": False, "part": "nose",
                "energy": energy, "lower": energy - spread, "upper": energy + spread, "area": 0.05, "n": 4}  # fmt: skip

    def conflict(method, value):
        return {
            "network": "conflict",
            "method": method,
            "part": "both",
            "value": value,
            "lower": value,
            "upper": value,
            "n": 4,
        }

    measures = [measure("lrp", "insertion", 0.5)]
    tables = {
        "measures": measures,
        "ground_truth": [known("lrp", 0.4), known("rise", 0.3), known("lime", 0.3)],
    }
    tables["conflict"] = [conflict("occlusion", 0.9), conflict("grad_cam", 0.5)]
    verdict = judged(tables)
    assert verdict.filter(like="Where only one part").tolist() == [HOLDS]
    assert verdict.filter(like="Grad-CAM does not").tolist() == [HOLDS]
    tables["ground_truth"] = [known("lrp", 0.04), known("rise", 0.02), known("lime", 0.05)]
    assert judged(tables).filter(like="Where only one part").tolist() == [FAILS]


def test_recognition_looks_at_eyes_and_nose():
    def part(method, name, share, area):
        return {"network": "net", "target": "similarity", "method": method, "baseline_map": False, "group": "all",
                "part": name, "share": share, "area": area, "n": 4}  # fmt: skip

    rows = [
        part(m, name, share, 0.05)
        for m in ("lrp", "rise")
        for name, share in (("left_eye", 0.1), ("right_eye", 0.1), ("nose", 0.02))
    ]
    tables = {"measures": [measure("lrp", "insertion", 0.5)], "canonical": rows}
    assert judged(tables).filter(like="triangle").tolist() == [HOLDS]
    assert judged(tables | {"canonical": [{**row, "target": "class"} for row in rows]}).filter(
        like="triangle"
    ).tolist() == [ABSENT]
