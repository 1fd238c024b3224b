"""Counts, cross-tables and associations against small examples counted by hand, and against slow loops."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact
from tests.studies.dissection.made_up import coverage_of, pairs_of, table_of_concepts, units_of

from fusiform.errors import DataError
from fusiform.faces import Attribute, Category, FaceSet
from fusiform.studies.dissection import _tables as tables_of
from fusiform.studies.dissection._bias import WithTask, associated_groups, bias, check_task, with_task

CONCEPTS = table_of_concepts()
PLANTED = {
    0: {"left_eye": 0.3, "Eyeglasses": 0.2, "Male": 0.6},
    1: {"Eyeglasses": 0.2, "Male": 0.7, "old": 0.6},
    2: {"nose": 0.1},
    3: {"Female": 0.8},
}


@pytest.fixture(scope="module")
def tables():
    pairs = pairs_of(PLANTED, CONCEPTS)
    return SimpleNamespace(pairs=pairs, units=units_of(pairs, 6))


def test_counts_keep_concepts_without_units(tables):
    found = tables_of.counts(tables.pairs, tables.units, CONCEPTS, ("hierarchical", "network"))
    of = found.set_index(["method", "concept"])["units"]
    assert len(found) == 8 + 4
    assert of["hierarchical"].to_dict() == {
        "left_eye": 1, "Eyeglasses": 2, "nose": 1, "AU_9": 0, "Male": 2, "Female": 1, "young": 0, "old": 1,
    }  # fmt: skip
    assert of["network"].to_dict() == {"left_eye": 1, "Eyeglasses": 1, "nose": 1, "AU_9": 0}
    unique = tables_of.unique(found, tables.units).set_index("method")
    assert unique["concepts"].to_dict() == {"hierarchical": 6, "network": 3}
    assert unique["per_unit"]["network"] == 0.5


def test_regions_and_kinds(tables):
    # Unit 3 has a region by its IoU, and no pair with a local concept.
    units = tables.units.assign(region=tables.units["region"].mask(tables.units["unit"] == 3, "Chin"))
    regions = tables_of.regions(tables.pairs, units, [*CONCEPTS.regions, "Chin"])
    assert regions.set_index("region")["units"].to_dict() == {"Eye": 2, "Nose": 1, "Chin": 0}
    network = tables.pairs[tables.pairs["method"] == "network"]
    assert tables_of.regions(network, units, ["Eye", "Chin"])["units"].tolist() == [2, 0]
    kinds = tables_of.kinds(tables.pairs, tables.units).set_index("concept_kind")
    assert kinds["units"].to_dict() == {"action unit": 0, "part": 2, "attribute": 2, "global": 3}
    assert kinds["pairs"].to_dict() == {"action unit": 0, "part": 2, "attribute": 2, "global": 4}


def test_overlay_counts_units_with_and_without_groups(tables):
    found = tables_of.overlay(tables_of.detectors(tables.pairs, tables.units, CONCEPTS), CONCEPTS)
    assert len(found) == 4 * (3 + 3)
    of = found.set_index(["concept", "category", "group"]).sort_index()
    assert of["units"]["Eyeglasses", "Gender"].to_dict() == {"Male": 2, "Female": 0, "none": 0}
    assert of["units"]["Eyeglasses", "Age"].to_dict() == {"young": 0, "old": 1, "none": 1}
    assert of["units"]["nose", "Gender"].to_dict() == {"Male": 0, "Female": 0, "none": 1}
    assert set(of["units_of_concept"]["Eyeglasses"]) == {2}


def test_layers_of_one_run_are_kept_apart():
    places = [{"layer": "a", "depth": 1}, {"layer": "b", "depth": 2}]
    pairs = pd.concat([pairs_of(PLANTED, CONCEPTS, **places[0]), pairs_of({}, CONCEPTS, **places[1])])
    units = pd.concat([units_of(pairs, 6, **place) for place in places])
    found = tables_of.counts(pairs, units, CONCEPTS, ("hierarchical",))
    assert found.groupby("layer")["units"].sum().to_dict() == {"a": 8, "b": 0}
    sizes = [each.local.sum() for each in tables_of.detectors(pairs, units, CONCEPTS)]
    assert sizes == [4, 0]


def test_shares_have_wilsons_interval(tables):
    found = tables_of.with_intervals(coverage_of(tables.pairs, tables.units))
    row = found[(found["method"] == "hierarchical") & (found["scope"] == "either")].iloc[0]
    p, n, z = 4 / 6, 6, 1.959964
    centre, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert [row["lower"], row["upper"]] == pytest.approx(
        [(centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)], abs=1e-5
    )


def test_network_dissection_names_one_concept_from_the_threshold_on(tables):
    units = tables.units.assign(fires=tables.units["unit"] != 1)
    found = tables_of.with_network_dissection(units, 0.1)["network_dissection"].tolist()
    assert found == ["left_eye", "", "nose", "", "", ""]


def test_the_cross_table_of_units_equals_a_slow_one():
    rng = np.random.default_rng(0)
    local, groups = rng.random((60, 4)) < [0.5, 0.3, 0.0, 0.2], rng.random((60, 4)) < 0.4
    each = tables_of.Detectors({"network": "n", "control": False, "layer": "l", "depth": 1}, local, groups)
    named = [(c.name, k.name, g) for c in CONCEPTS.local for k in CONCEPTS.categories for g in k.groups]
    associated = pd.DataFrame(named, columns=["concept", "category", "group"]).assign(association=0.1)
    found = bias([each], associated, WithTask({"nose": 0.25}, {("Age", "old"): -0.5}))
    assert list(found.columns[:7]) == ["network", "control", "layer", "depth", "concept", "category", "group"]
    for number, row in enumerate(found.itertuples()):
        a, b = local[:, number // 4], groups[:, number % 4]
        both = int((a & b).sum())
        assert row.units == both
        assert row.expected == pytest.approx(a.sum() * b.sum() / 60)
        if not a.any():
            assert np.isnan(row.p_value)
            assert np.isnan(row.ratio)
            continue
        assert row.ratio == pytest.approx(both / row.expected)
        square = [[both, (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
        tails = [fisher_exact(square, alternative=way)[1] for way in ("less", "greater")]
        assert row.p_value == pytest.approx(min(1.0, 2 * min(tails)))
    assert found.groupby("concept")["task_association"].first().dropna().to_dict() == {"nose": 0.25}
    of_group = found.groupby("group")["group_task_association"].first()
    assert of_group.dropna().to_dict() == {"old": -0.5}


def test_associations_in_the_dictionary_are_phi_where_both_are_known():
    rng = np.random.default_rng(1)
    n = 200
    present = pd.DataFrame(rng.random((n, 4)) < 0.4, columns=[c.name for c in CONCEPTS.local])
    known = pd.DataFrame(rng.random((n, 4)) < 0.8, columns=present.columns)
    known["AU_9"] = False
    groups = pd.DataFrame({"Gender": rng.integers(-1, 2, n), "Age": np.repeat([0, -1], n // 2)})
    dictionary = SimpleNamespace(concepts=CONCEPTS, present=present, known=known, groups=groups)
    found = associated_groups(dictionary)
    assert found["concept"].tolist() == [c.name for c in CONCEPTS.local for _ in range(4)]
    of = found.set_index(["concept", "group"])["association"]
    both = known["nose"] & (groups["Gender"] >= 0)
    truth = np.corrcoef(present["nose"][both], groups["Gender"][both] == 1)[0, 1]
    assert of["nose", "Female"] == pytest.approx(truth)
    assert of["nose", "Male"] == pytest.approx(-truth)
    # One group alone, or nothing known, says nothing.
    assert of[:, "young"].isna().all()
    assert of["AU_9"].isna().all()


def test_the_association_with_the_task_is_that_of_the_training_faces():
    rng = np.random.default_rng(2)
    nose = rng.random(100) < 0.5
    table = pd.DataFrame(
        {"nose": nose, "Smiling": nose ^ (rng.random(100) < 0.1), "Male": rng.random(100) < 0.5}
    )
    schema = {name: Attribute(kind="binary") for name in table}
    faces = FaceSet.from_arrays(np.zeros((100, 3, 4, 4), np.uint8), table, schema, name="training")
    gender = Category("Gender", ("Male", "Female"), 0.55, ("Male",))
    found = with_task(faces, "Smiling", SimpleNamespace(local=CONCEPTS.local, categories=(gender,)))
    assert found.concepts == {"nose": pytest.approx(np.corrcoef(nose, table["Smiling"])[0, 1])}
    phi = np.corrcoef(table["Male"], table["Smiling"])[0, 1]
    assert found.groups == {("Gender", "Male"): pytest.approx(phi), ("Gender", "Female"): pytest.approx(-phi)}
    with pytest.raises(
        DataError, match="'training' have no attribute 'Smilling' as a task; did you mean 'Smiling'"
    ):
        check_task(faces, "Smilling")
    who = faces.with_attribute("name", pd.array(["a"] * 100, dtype="string"), Attribute(kind="identity"))
    with pytest.raises(
        DataError, match=r"'name' of 'training' is of the kind identity, .* categorical: nose, Smiling, Male"
    ):
        check_task(who, "name")
