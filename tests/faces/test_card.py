"""What a data card says, which attributes go together, and which faces are chosen to be looked at."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fusiform.errors import DataError
from fusiform.faces import Attribute, FaceSet, associations, group_faces, pick_faces
from fusiform.faces._card import reasons


def faces_of(table, schema=None, **options):
    return FaceSet.from_arrays(np.zeros((len(table), 3, 4, 4), np.uint8), table, schema, **options)


def planted(n=600, seed=0):
    """Attributes whose associations are made: b copies a but for a tenth, c follows the class, u is free."""
    rng = np.random.default_rng(seed)
    a = rng.random(n) < 0.4
    b = np.where(rng.random(n) < 0.1, ~a, a)
    classes = rng.choice(["x", "y", "z"], n, p=[0.5, 0.3, 0.2])
    value = 3.0 * (classes == "x") + rng.normal(size=n)
    return pd.DataFrame(
        {
            "identity": [f"p{k}" for k in rng.integers(0, n // 3, n)],
            "a": a,
            "b": b,
            "letter": classes,
            "is_z": classes == "z",
            "value": value,
            "twice": 2 * value + rng.normal(size=n),
            "free": rng.normal(size=n),
        }
    )


def row(table, one, other):
    found = table[table["attribute"].isin([one, other]) & table["other"].isin([one, other])]
    assert len(found) == 1
    return found.iloc[0]


def test_associations_are_those_of_slow_references():
    table = planted()
    found = associations(faces_of(table))
    assert len(found) == 7 * 6 // 2
    phi = np.corrcoef(table["a"], table["b"])[0, 1]
    assert row(found, "a", "b")[["measure", "value"]].tolist() == ["phi", pytest.approx(phi)]
    r = stats.pearsonr(table["value"], table["twice"]).statistic
    assert row(found, "value", "twice")[["measure", "value"]].tolist() == ["Pearson r", pytest.approx(r)]
    point_biserial = stats.pointbiserialr(table["a"], table["value"]).statistic
    assert row(found, "a", "value")["value"] == pytest.approx(point_biserial)
    # Bergsma's corrected V from scipy's plain one.
    counts = pd.crosstab(table["letter"], table["is_z"])
    n, (rows, columns) = len(table), counts.shape
    phi2 = stats.contingency.association(counts, method="cramer") ** 2 * (min(rows, columns) - 1)
    corrected = max(0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    v = row(found, "letter", "is_z")
    assert v["measure"] == "Cramér's V"
    assert v["value"] == pytest.approx(min(1, np.sqrt(corrected / least)))
    # Kelley's epsilon from the analysis of variance.
    groups = [table["value"][table["letter"] == letter] for letter in "xyz"]
    f = stats.f_oneway(*groups).statistic
    epsilon2 = 2 * (f - 1) / (2 * f + n - 3)
    eta = row(found, "letter", "value")
    assert eta["measure"] == "eta"
    assert eta["value"] == pytest.approx(np.sqrt(epsilon2))


def test_the_strongest_come_first_and_are_marked():
    found = associations(faces_of(planted()))
    assert found["value"].abs().is_monotonic_decreasing
    assert found["strong"].tolist() == (found["value"].abs() >= 0.3).tolist()
    assert found["strong"].any()
    assert not found["strong"].all()
    assert len(associations(faces_of(planted()), most=3)) == 3
    assert row(found, "a", "free")["value"] == pytest.approx(0, abs=0.15)
    with pytest.raises(DataError, match="'most' must be at least 1 pair; got 0"):
        associations(faces_of(planted()), most=0)


def test_nothing_is_found_where_nothing_is():
    """Uncorrected, 20 classes of 200 images would give V = 0.3 and eta = 0.3 from noise."""
    rng = np.random.default_rng(0)
    n = 200
    table = pd.DataFrame(
        {
            "a": rng.integers(0, 20, n).astype(str),
            "b": rng.integers(0, 20, n).astype(str),
            "y": rng.normal(size=n),
        }
    )
    schema = {"a": Attribute("categorical"), "b": Attribute("categorical"), "y": Attribute("continuous")}
    found = associations(faces_of(table, schema))
    assert found["value"].abs().max() < 0.2
    assert not found["strong"].any()


def test_missing_values_are_left_out_pair_by_pair():
    table = planted()
    table["a"] = table["a"].astype("boolean").mask(np.arange(len(table)) < 100)
    table.loc[50:300, "value"] = np.nan
    table["letter"] = table["letter"].where(np.arange(len(table)) < 500)
    found = associations(faces_of(table))
    both = table[["a", "value"]].dropna().astype(float)
    assert row(found, "a", "value")["n"] == len(both)
    assert row(found, "a", "value")["value"] == pytest.approx(np.corrcoef(both["a"], both["value"])[0, 1])
    assert row(found, "letter", "value")["n"] == 249


def test_large_offsets_cost_no_digits():
    table = planted()
    table["value"] += 1e9
    found = row(associations(faces_of(table)), "value", "twice")
    assert found["value"] == pytest.approx(np.corrcoef(table["value"] - 1e9, table["twice"])[0, 1], abs=1e-6)


def test_intervals_resample_people():
    """Of ten copies of everybody the interval is as wide as of one; by images it would be a third of it."""
    once = planted(200).drop(columns="identity").assign(identity=[f"p{i}" for i in range(200)])
    often = pd.concat([once] * 10, ignore_index=True)
    one, many = (row(associations(faces_of(t)), "a", "free") for t in (once, often))
    assert many["value"] == pytest.approx(one["value"])
    width = one["upper"] - one["lower"]
    assert width == pytest.approx(2 * 1.96 / np.sqrt(200), rel=0.2)
    assert many["upper"] - many["lower"] == pytest.approx(width, rel=0.2)
    unknown = row(associations(faces_of(often.drop(columns="identity"))), "a", "free")
    assert unknown["upper"] - unknown["lower"] < width / 2
    few = associations(faces_of(once), intervals=2)
    of_sums = few["measure"].isin(["phi", "Pearson r"])
    assert few["lower"][of_sums].notna().tolist() == [True] * 2 + [False] * (of_sums.sum() - 2)
    assert few["lower"][~of_sums].isna().all()


def test_what_cannot_be_compared_is_not_there():
    table = pd.DataFrame(
        {"a": [True] * 40, "b": [True, False] * 20, "c": [None] * 31 + [1.0, 2.0] * 4 + [3.0]}
    )
    schema = {"a": Attribute("binary"), "b": Attribute("binary"), "c": Attribute("continuous")}
    assert not len(associations(faces_of(table, schema)))
    assert not len(associations(faces_of(pd.DataFrame({"identity": ["a", "b"]}))))
    assert list(associations(faces_of(pd.DataFrame(index=range(3)))).columns)[:3] == [
        "attribute",
        "other",
        "measure",
    ]


# the card ---------------------------------------------------------------------------------------------


def test_the_card_tells_what_may_confound_and_is_plain_json():
    card = json.loads(json.dumps(faces_of(planted()).card(), allow_nan=False))
    first, second = card["confounds"][:2]
    assert ({first["attribute"], first["other"]}, first["value"]) == (
        {"letter", "is_z"},
        pytest.approx(1, abs=0.01),
    )
    assert {second["attribute"], second["other"]} == {"value", "twice"}
    assert second["strong"] is True
    assert any(pair["lower"] is None for pair in card["confounds"])
    assert len(card["confounds"]) == 20


def test_splits_tell_whether_people_are_in_two():
    table = pd.DataFrame(
        {
            "split": ["train", "train", "test", "test"],
            "identity": ["a", "b", "b", "c"],
            "other": ["x", "x", "y", "y"],
        }
    )
    (split,) = faces_of(table).card()["splits"]
    assert split == {"column": "split", "images": {"train": 2, "test": 2}, "n_people_in_several": 1}
    assert "n_people_in_several" not in faces_of(table.drop(columns="identity")).card()["splits"][0]
    assert faces_of(table[["other"]]).card()["splits"] == []


def test_sizes_that_differ():
    faces = FaceSet.from_arrays([np.zeros((3, h, w), np.uint8) for h, w in ((8, 5), (6, 9), (8, 5))])
    card = faces.card()
    assert card["size"] is None
    assert card["sizes"] == {"n_different": 2, "height": [6, 8], "width": [5, 9]}
    assert faces.resized(4).card()["sizes"] is None


def test_reasons_are_counted_whatever_they_quote():
    skipped = pd.DataFrame(
        {"image_id": list("abcd"), "reason": ["the same as 'x'", "truncated", "the same as 'y'", "truncated"]}
    )
    assert reasons(skipped) == {"the same as '…'": 2, "truncated": 2}
    many = pd.DataFrame({"image_id": range(30), "reason": [f"reason {i}" for i in range(30)]})
    assert reasons(many)["other reasons"] == 10
    assert sum(reasons(many).values()) == 30
    assert reasons(skipped.iloc[:0]) == {}


# faces to look at -------------------------------------------------------------------------------------


def test_faces_are_chosen_of_as_many_people_as_can_be():
    faces = faces_of(pd.DataFrame({"identity": ["a"] * 10 + ["b"] * 3 + [None, None]}))
    people = faces.table["identity"].fillna("unknown")
    chosen = pick_faces(faces, 4)
    assert sorted(people[chosen]) == ["a", "b", "unknown", "unknown"]
    assert len(set(pick_faces(faces, 99))) == 15
    assert sorted(people[pick_faces(faces, 8)]) == ["a", "a", "a", "b", "b", "b", "unknown", "unknown"]
    assert set(pick_faces(faces, 5, among=np.arange(9))) <= set(range(9))
    assert not np.array_equal(pick_faces(faces, 9, seed=0), pick_faces(faces, 9, seed=1))
    assert np.array_equal(pick_faces(faces, 9, seed=3), pick_faces(faces, 9, seed=3))
    assert len(pick_faces(faces_of(pd.DataFrame(index=range(5))), 3)) == 3
    with pytest.raises(DataError, match="must be at least 1; got 0"):
        pick_faces(faces, 0)


def test_groups_by_value():
    table = pd.DataFrame(
        {
            "Male": [1, 0, None, 1, 0, 0, 1, 1],
            "yaw": [0.0, 1, 2, 3, 4, 5, 6, None],
            "flat": [2.0] * 8,
            "race": ["a", "b", "b", None, "b", "c", "c", "c"],
        }
    )
    schema = {
        "Male": Attribute("binary"),
        "yaw": Attribute("continuous", "deg"),
        "flat": Attribute("continuous"),
        "race": Attribute("categorical"),
    }
    faces = faces_of(table, schema)
    assert {k: v.tolist() for k, v in group_faces(faces, "Male").items()} == {
        "Male: yes": [0, 3, 6, 7],
        "Male: no": [1, 4, 5],
        "Male: not known": [2],
    }
    assert {k: v.tolist() for k, v in group_faces(faces, "yaw").items()} == {
        "yaw: 0 to 1.5 deg": [0, 1],
        "yaw: 1.5 to 3 deg": [2],
        "yaw: 3 to 4.5 deg": [3, 4],
        "yaw: 4.5 to 6 deg": [5, 6],
        "yaw: not known": [7],
    }
    assert list(group_faces(faces, "flat")) == ["flat: 2"]
    assert list(group_faces(faces, "race"))[-1] == "race: not known"
    with pytest.raises(DataError, match="no attribute 'rase' to group by; did you mean 'race'"):
        group_faces(faces, "rase")
    many = faces_of(pd.DataFrame({"identity": [f"p{i // 2}" for i in range(60)]}))
    assert len(group_faces(many, "identity")) == 12


def test_presence_and_intensity_of_one_thing_are_not_compared():
    rng = np.random.default_rng(0)
    strength = rng.random(40)
    table = pd.DataFrame(
        {"AU_1": strength > 0.5, "AU_1_intensity": strength, "AU_2_intensity": rng.random(40)}
    )
    faces = FaceSet.from_arrays(np.zeros((40, 3, 8, 8), np.uint8), table)
    pairs = {frozenset(p) for p in associations(faces)[["attribute", "other"]].values.tolist()}
    assert pairs == {frozenset({"AU_1", "AU_2_intensity"}), frozenset({"AU_1_intensity", "AU_2_intensity"})}
