"""The study as a whole: on networks that look at one place, interrupted, failing, and asked nonsense."""

import json
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.studies.attribution import planted

from fusiform.errors import AttributionError, FusiformError, NetworkError, SpecError
from fusiform.runs import Progress
from fusiform.studies import study_attribution
from fusiform.studies.attribution import _bench, _measure, _truth
from fusiform.studies.attribution._schema import SCHEMA

ASKED = {
    "methods": ["input_x_gradient", "occlusion", "cam"],
    "images": 4,
    "triplets": 4,
    "few": 2,
    "steps": 6,
    "truth_parts": ["eyeglasses"],
    "truth_images": 4,
    "quick": True,
    "groups": "Male",
}
VERIFIER, CLASSIFIER = "looks (embedding)", "looks (logits)"


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    monkeypatch.setattr(_truth, "ground_truth_network", planted.ground_truth_network)
    monkeypatch.setattr(_bench, "_game", planted.game)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A run of a verifier and a classifier, and what it said."""
    said = StringIO()
    with pytest.MonkeyPatch.context() as patch, Progress(stream=said) as progress:
        patch.setattr(_truth, "ground_truth_network", planted.ground_truth_network)
        patch.setattr(_bench, "_game", planted.game)
        nets = [planted.network("embedding"), planted.network("logits")]
        run = study_attribution(
            nets, planted.FACES, tmp_path_factory.mktemp("runs") / "run", progress=progress, **ASKED
        )
    return run, said.getvalue()


def test_all_tables_are_written_with_their_columns(told):
    run, said = told
    assert run.status == "complete"
    assert set(run.tables) == {*SCHEMA, "findings"}
    for name, types in SCHEMA.items():
        table = run.table(name)
        assert list(table.columns) == list(types), name
        if "method" in types and name not in ("not_applicable", "skipped", "conflict"):
            assert {"random", "edges", "gaussian"} <= set(table["method"]), name
    assert f"{VERIFIER}: images 4, people 4, targets similarity, contrast" in said
    assert set(run.table("measures")["target"]) == {"similarity", "contrast", "class"}
    assert run.problems == []
    assert not (run.path / "parts").exists()


def test_the_place_that_counts_is_found(told):
    measures = told[0].table("measures")
    rows = measures[measures["network"] == CLASSIFIER].set_index(["metric", "method"])
    deletion = rows.loc["deletion"]["value"]
    assert deletion["input_x_gradient"] < deletion["random"]
    completeness = rows.loc["completeness_error"]["value"]
    # The network has no bias: gradient times input is the score itself.
    assert completeness["input_x_gradient"] < 1e-4
    # A map is right where it lies on the pixels that the network reads.
    pictures = told[0].table("pictures")
    for file in pictures.loc[pictures["method"] == "input_x_gradient", "file"]:
        drawn = np.load(told[0].path / "maps" / file)
        assert drawn.shape == (32, 32)
        outside = np.ones((32, 32), dtype=bool)
        outside[planted.PLACE] = False
        assert not drawn[outside].any()


def test_maps_that_ignore_the_network_fail_the_sanity_checks(told):
    sanity = told[0].table("sanity")
    verdicts = sanity[sanity["passes"].notna()]
    assert set(verdicts["kind"]) == {"cascading", "data"}
    cascading = verdicts[(verdicts["kind"] == "cascading") & (verdicts["network"] == VERIFIER)].set_index(
        "method"
    )
    assert not cascading.loc[["edges", "random", "gaussian"], "passes"].any()
    assert cascading.loc["edges", "value"] == pytest.approx(1)
    assert cascading["criterion"].str.contains("0.5").all()
    steps = sanity[
        (sanity["method"] == "occlusion") & (sanity["kind"] == "cascading") & (sanity["network"] == VERIFIER)
    ]
    assert steps["layer"].drop_duplicates().tolist() == ["head", "conv"]


def test_maps_that_lie_where_the_parts_are_are_not_judged_by_that(monkeypatch, tmp_path):
    asked = ASKED | {"methods": ["part_occlusion"], "groups": None}
    run = study_attribution(planted.network("logits"), planted.FACES, tmp_path / "run", **asked)
    rows = run.table("sanity").query("method == 'part_occlusion'")
    assert rows["passes"].isna().all()
    assert rows["criterion"].str.startswith("not judged").any()
    measures = run.table("measures").query("method == 'part_occlusion'").set_index("metric")
    assert "parameter_randomization" not in measures.index
    assert "not claimed by the method" in measures.loc["completeness_error", "note"]


def test_what_does_not_apply_is_said_and_the_rest_goes_on(told):
    run = told[0]
    why = run.table("not_applicable")
    assert set(why["method"]) == {"cam"}
    assert (why["why"].str.len() > 20).all()
    assert "cam" not in set(run.table("measures")["method"])
    assert (
        run.table("ranks").query("metric == 'mean'").groupby(["network", "target"])["of"].nunique() == 1
    ).all()


def test_known_answers_stand_beside(told):
    run = told[0]
    truth = run.table("ground_truth")
    assert set(truth["network"]) == {"confined:eyeglasses"}
    assert truth["accuracy"].eq(0.75).all()
    assert truth["area"].nunique() == 1
    constant = truth.set_index("method").loc["gaussian"]
    assert 0 < constant["area"] < constant["energy"]  # glasses are near the centre
    networks = run.table("networks").set_index("network")
    assert networks.loc["confined:eyeglasses", "accuracy"] == 0.75
    assert networks.loc[VERIFIER, "score"] == "match probability"
    assert not len(run.table("conflict"))


def test_the_inpainting_game_is_played_and_what_was_not_played_is_counted(told):
    table = told[0].table("inpainting").set_index(["method", "part", "false_alarm_rate"]).sort_index()
    assert table.loc[("occlusion", "all"), ["played", "dropped"]].drop_duplicates().values.tolist() == [
        [4, 1]
    ]
    assert table.loc[("occlusion", "eyes"), ["played", "dropped"]].drop_duplicates().values.tolist() == [
        [2, 1]
    ]
    assert table["probability"].between(0, 1).all()
    measures = told[0].table("measures").set_index(["method", "metric"]).sort_index()
    own = measures.loc[("occlusion", "inpainting_far_5e-2")]
    assert own["value"] == table.loc[("occlusion", "all", 0.05), "probability"]
    assert own["better"] == "higher"


def test_pictures_and_canonical_maps_are_there(told):
    run = told[0]
    pictures = run.table("pictures")
    for file in pictures["image"].unique():
        with Image.open(run.path / "images" / file) as image:
            assert image.size == (32, 32)
    maps = run.table("canonical_maps")
    assert {"all"} < set(maps["group"])
    assert {np.load(run.path / "maps" / file).shape for file in maps["file"]} == {(64, 64)}
    shares = run.table("canonical").groupby(["network", "method", "group"])["share"].sum()
    np.testing.assert_allclose(shares[shares > 0], 1, atol=1e-6)


def test_intervals_hold_their_values_and_are_of_the_values_listed(told):
    measures, values = told[0].table("measures"), told[0].table("values")
    known = measures.dropna(subset=["value", "lower", "upper"])
    assert (known["lower"] <= known["value"] + 1e-9).all()
    assert (known["upper"] >= known["value"] - 1e-9).all()
    key = ["network", "target", "method", "metric"]
    means = values.groupby(key)["value"].mean()
    both = measures.set_index(key)["value"].rename("measured").to_frame().join(means, how="inner").dropna()
    assert len(both) > 40
    np.testing.assert_allclose(both["measured"], both["value"])


def test_a_study_that_was_stopped_goes_on(monkeypatch, tmp_path):
    net, asked = planted.network("logits"), ASKED | {"methods": ["gradient", "input_x_gradient"]}
    at_once = study_attribution(net, planted.FACES, tmp_path / "whole", **asked)
    whole, done = _measure.Measured.go, []

    def stops(self):
        if self.method.name == "input_x_gradient":
            raise KeyboardInterrupt
        done.append(self.method.name)
        return whole(self)

    monkeypatch.setattr(_measure.Measured, "go", stops)
    with pytest.raises(KeyboardInterrupt):
        study_attribution(net, planted.FACES, tmp_path / "run", **asked)
    assert done == ["random", "edges", "gaussian", "gradient"]

    def goes(self):
        done.append(self.method.name)
        return whole(self)

    monkeypatch.setattr(_measure.Measured, "go", goes)
    run = study_attribution(net, planted.FACES, tmp_path / "run", **asked, memory_gb=2.0)
    assert done[4:] == ["input_x_gradient"]
    for name in run.tables:
        if name != "cost":
            pd.testing.assert_frame_equal(run.table(name), at_once.table(name))


def test_a_method_that_breaks_leaves_the_others(monkeypatch, tmp_path):
    whole = _measure.Measured.go

    def breaks(self):
        if self.method.name == "occlusion":
            raise MemoryError("no room")
        return whole(self)

    monkeypatch.setattr(_measure.Measured, "go", breaks)
    asked = ASKED | {"methods": ["occlusion", "gradient"]}
    run = study_attribution(planted.network("logits"), planted.FACES, tmp_path / "run", **asked)
    assert run.status == "running"  # the same command does it again
    assert "gradient" in set(run.table("measures")["method"])
    skipped = run.table("skipped").set_index("method")
    assert skipped.loc["occlusion", "reason"] == "MemoryError: no room"
    monkeypatch.setattr(_measure.Measured, "go", whole)
    run = study_attribution(planted.network("logits"), planted.FACES, tmp_path / "run", **asked)
    assert run.status == "complete"
    assert {"occlusion", "gradient"} <= set(run.table("measures")["method"])


def test_a_measure_that_fails_leaves_the_others(monkeypatch, tmp_path):
    def fails(*arguments, **options):
        raise AttributionError("Not today.")

    monkeypatch.setattr(_measure.evaluation, "stability", fails)
    run = study_attribution(
        planted.network("logits"), planted.FACES, tmp_path / "run", **(ASKED | {"methods": ["gradient"]})
    )
    assert run.status == "complete"
    skipped = run.table("skipped")
    assert set(skipped["reason"]) == {"max_sensitivity: Not today."}
    assert set(skipped["method"]) == {"random", "edges", "gaussian", "gradient"}
    assert "max_sensitivity" not in set(run.table("measures")["metric"])
    assert "symmetry" in set(run.table("measures")["metric"])


def test_faces_without_pairs_end_it_with_a_word(tmp_path):
    with pytest.raises(FusiformError, match=r"No map could be measured: ") as stop:
        study_attribution(
            planted.network("embedding"),
            "synthetic?identities=4&per_identity=1&seed=3&size=32",
            tmp_path / "run",
            **(ASKED | {"truth_parts": [], "methods": ["gradient"]}),
        )
    assert "show no two people of whom one has two images" in str(stop.value)


@pytest.mark.parametrize(
    ("networks", "options", "error", "says"),
    [
        ("looks", {}, SpecError, "names no network|There is no|did you mean|unknown"),
        (planted.network("landmarks"), {}, NetworkError, "gives landmarks; this study is of verifiers"),
        (
            planted.network("logits"),
            {"groups": "Mal"},
            SpecError,
            "no attribute 'Mal' to group canonical maps by",
        ),
        ([planted.network("logits")] * 2, {}, SpecError, "given twice"),
        (
            {"a": [planted.network("logits"), planted.network("logits").randomized(1)]},
            {},
            SpecError,
            "Several networks are labelled 'a'",
        ),
    ],
)
def test_nonsense_is_refused_before_a_folder_is_made(tmp_path, networks, options, error, says):
    with pytest.raises(error, match=says):
        study_attribution(networks, planted.FACES, tmp_path / "run", **(ASKED | options))
    assert not (tmp_path / "run").exists()


def test_the_record_says_what_was_asked_and_what_was_not_measured(told):
    run = told[0]
    record = json.loads((run.path / "run.json").read_text())
    assert record["request"]["study"] == "attribution"
    assert [each["setup"] for each in record["networks"]] == [VERIFIER, CLASSIFIER]
    assert "inpainting game of looks (logits)" in record["not_measured"]
