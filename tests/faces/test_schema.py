import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusiform.errors import DataError
from fusiform.faces import Attribute
from fusiform.faces._landmark_columns import landmark_columns, read_points
from fusiform.faces._schema import as_kind, infer_kind, read_attributes

WORDS = st.sampled_from(
    [("no", "yes"), ("False", "True"), ("NO", "Yes"), ("-1", "1"), ("0", "1"), ("0.0", "1.0")]
)


@settings(max_examples=60, deadline=None)
@given(words=WORDS, values=st.lists(st.sampled_from([False, True, None]), min_size=1, max_size=30))
def test_two_valued_text_is_binary_and_keeps_its_meaning(words, values):
    column = pd.Series([None if v is None else words[v] for v in values], dtype=object)
    kind = infer_kind(column, "smiling")
    if all(v is None for v in values):
        assert kind == "-no values"
        return
    assert kind == "binary"
    got = as_kind(column, "binary", "smiling")
    assert got.dtype == "boolean"
    assert [None if v is pd.NA else bool(v) for v in got] == values


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(-1e6, 1e6).filter(lambda v: v != round(v)), min_size=1, max_size=40))
def test_fractions_are_continuous_whatever_their_number(values):
    assert infer_kind(pd.Series(values), "x") == "continuous"
    assert infer_kind(pd.Series([repr(v) for v in values]), "x") == "continuous"
    assert as_kind(pd.Series([repr(v) for v in values]), "continuous", "x").tolist() == values


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.integers(-1000, 1000), min_size=1, max_size=60))
def test_conversion_of_whole_numbers_loses_nothing(values):
    kind = infer_kind(pd.Series(values), "x")
    got = as_kind(pd.Series(values), kind, "x")
    if kind == "categorical":
        assert [int(v) for v in got] == values
        assert len(set(values)) <= 10
    elif kind == "continuous":
        assert got.tolist() == values
    else:
        assert set(values) <= {0, 1} or set(values) <= {-1, 1}
        assert [v > 0 for v in values] == got.tolist()


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("identity", [1, 2, 3], "identity"),
        ("person_id", ["a", "b", "a"], "identity"),
        ("Subject", ["s01", "s01"], "identity"),
        ("name", ["Ann", "Bea"], "identity"),
        ("race", ["white", "asian", "white", "white"], "categorical"),
        ("race", [0, 1, 2, 3, 4] * 3, "categorical"),
        ("age", [20, 30, 20, 30, 40, 40] * 3, "continuous"),
        ("yaw_degrees", [-15, 0, 15] * 10, "continuous"),
        ("au12", [0, 1, 2, 3, 4, 5] * 4, "continuous"),
        ("year_of_photo", [1999, 2001, 2004], "continuous"),
        ("count", list(range(40)), "continuous"),
        ("Male", [True, False], "binary"),
        ("Male", [-1, -1, -1], "binary"),
        ("sex", ["male", "female", "male"], "categorical"),
    ],
)
def test_kinds_by_name_and_value(name, values, kind):
    assert infer_kind(pd.Series(values), name) == kind
    assert infer_kind(pd.Series([str(v) for v in values]), name) == kind


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("box_x1", [1.5, 2.5], "describes the file or the detection"),
        ("bbox", ["1 2 3 4", "2 3 4 5"], "describes the file"),
        ("face_box_w", [1.5, 2.5], "describes the file"),
        ("det_score", [0.9, 0.8], "describes the file"),
        ("confidence", [0.9, 0.8], "describes the file"),
        ("mask", ["mask/a.png", None], "describes the file"),
        ("Unnamed: 0", [0, 1], "describes the file"),
        ("segmentation", ["a.png", "b.png"], "file names"),
        ("note", [f"free text {i}" for i in range(100)], "100 different values; open with identity=note"),
        ("empty", [None, None], "no values"),
    ],
)
def test_what_is_left_aside_and_why(name, values, why):
    read = read_attributes(pd.DataFrame({name: values}))
    assert read.schema == {}
    assert why in read.ignored[name]


def test_kinds_given_win_and_units_are_told_by_names():
    table = pd.DataFrame(
        {"age": [1, 2, 1, 2], "mask": [1.0, 0.0, 1.0, np.nan], "yaw": [0.5, 1, 2, 3], "x": [1, 2, 3, 4]}
    )
    read = read_attributes(table, {"age": "categorical", "mask": "binary", "x": "ignore"})
    assert read.schema == {
        "age": Attribute("categorical"),
        "mask": Attribute("binary"),
        "yaw": Attribute("continuous", unit="deg"),
    }
    assert read.table["age"].tolist() == ["1", "2", "1", "2"]
    assert read.table["mask"].isna().tolist() == [False, False, False, True]
    assert read.ignored == {"x": "as asked"}


def test_missing_labels_stay_missing_in_every_kind():
    table = pd.DataFrame(
        {
            "Male": ["1", "", "-1"],
            "age": ["3", None, "4.5"],
            "race": ["a", None, "a"],
            "identity": ["7", None, "7"],
        }
    ).replace("", None)
    read = read_attributes(table)
    assert read.table.isna().sum().tolist() == [1, 1, 1, 1]
    assert {name: a.kind for name, a in read.schema.items()} == {
        "Male": "binary",
        "age": "continuous",
        "race": "categorical",
        "identity": "identity",
    }
    # Beside a missing value pandas makes floats of whole numbers; 7 stays "7".
    assert as_kind(pd.Series([7.0, np.nan]), "identity", "identity").tolist()[0] == "7"


@pytest.mark.parametrize(
    "values", [["3.0", None, "12.0", " 3.0 "], [3.0, None, 12.0, 3.0], pd.array([3, None, 12, 3], "Int64")]
)
@pytest.mark.parametrize("kind", ["categorical", "identity"])
def test_whole_numbers_beside_missing_ones_are_whole(values, kind):
    got = as_kind(pd.Series(values), kind, "x")
    assert got.dtype == "string"
    assert [None if v is pd.NA else v for v in got] == ["3", None, "12", "3"]
    assert as_kind(pd.Series(["3.0", "2.5"]), kind, "x").tolist() == ["3.0", "2.5"]


def test_dates_are_left_aside():
    assert infer_kind(pd.Series(pd.to_datetime(["2020-01-01"] * 4)), "taken") == "-dates and times"


def test_leading_zeros_of_an_identity_stay():
    assert as_kind(pd.Series(["007", "7"]), "identity", "identity").tolist() == ["007", "7"]


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        ("binary", [0, 1, 2], r"'a' must hold -1 and 1, 0 and 1.* got 2\.0.*categorical=a"),
        ("binary", [-1, 0, 1], r"got '-1, 0 and 1'"),
        ("binary", ["yes", "maybe"], r"got 'maybe'"),
        ("continuous", ["1", "old"], r"continuous attribute 'a' holds 'old'.*categorical=a or ignore=a"),
    ],
)
def test_values_that_do_not_fit_their_kind(kind, values, says):
    with pytest.raises(DataError, match=says):
        as_kind(pd.Series(values), kind, "a")


def test_kinds_of_unknown_columns_and_unknown_kinds():
    table = pd.DataFrame({"Smiling": [0, 1]})
    with pytest.raises(DataError, match="no column 'Smilling'; did you mean 'Smiling'"):
        read_attributes(table, {"Smilling": "binary"})
    with pytest.raises(
        DataError, match="must be one of binary, categorical, continuous, identity or ignore; got 'real'"
    ):
        read_attributes(table, {"Smiling": "real"})
    with pytest.raises(DataError, match="kind of an attribute must be one of"):
        Attribute("real")


FIVE = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


@pytest.mark.parametrize(
    "names",
    [
        [f"lm_{p}_{a}" for p in FIVE for a in "xy"],
        [f"{p}_{a}" for p in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for a in "xy"],
        [
            f"Landmark_{p}_{a}"
            for p in ("eye_left", "eye_right", "nose_tip", "left_mouth", "right_mouth")
            for a in "XY"
        ],
    ],
)
def test_five_points_under_their_usual_names(names):
    values = np.array([[30.0, 50, 70, 51, 50, 70, 35, 90, 66, 91]])
    shuffled = list(reversed(names))
    table = pd.DataFrame(values, columns=names)[shuffled].assign(age=3)
    found = landmark_columns(list(table.columns))
    assert found == (5, names)
    points, exchanged = read_points(table, found[1])
    assert not exchanged
    assert points.reshape(-1).tolist() == values[0].tolist()


@pytest.mark.parametrize("spelling", ["{a}_{i}", "lm_{i}_{a}", "{a}{i}", "landmark_{a}_{i}"])
@pytest.mark.parametrize("first", [0, 1])
def test_sixty_eight_numbered_points(spelling, first):
    names = [spelling.format(a=a, i=i + first) for i in range(68) for a in "xy"]
    assert landmark_columns(["age", *names]) == (68, names)
    assert landmark_columns(names[:-2]) is None


def test_the_persons_own_left_is_told_by_the_eyes_order():
    names = [f"lm_{p}_{a}" for p in FIVE for a in "xy"]
    mirrored = np.array([[70.0, 51, 30, 50, 50, 70, 66, 91, 35, 90]] * 3)
    mirrored[2, 0] = np.nan
    points, exchanged = read_points(pd.DataFrame(mirrored, columns=names), names)
    assert exchanged
    assert points[0].tolist() == [[30, 50], [70, 51], [50, 70], [35, 90], [66, 91]]
    assert np.isnan(points[2]).all()


def test_landmarks_that_are_no_numbers():
    names = [f"lm_{p}_{a}" for p in FIVE for a in "xy"]
    table = pd.DataFrame([["1"] * 9 + ["high"]], columns=names)
    with pytest.raises(DataError, match=r"landmark column .* something else than numbers"):
        read_points(table, names)
