import numpy as np
import pandas as pd
import pytest
from tests.faces.layouts import picture

from fusiform.errors import DataError
from fusiform.faces import open_faces
from fusiform.faces._schema import as_kind, given_kinds
from fusiform.faces._stores import FolderStore
from fusiform.faces._tables import coded, left_out, need_columns, present


def test_codes_are_translated_and_unknown_ones_name_their_line(tmp_path):
    codes = {"0": "angry", "1": "happy"}
    assert coded(pd.Series(["0", " 1 ", "", None]), codes, tmp_path) == ["angry", "happy", None, None]
    assert coded(pd.Series([0, 1]), codes, tmp_path) == ["angry", "happy"]
    with pytest.raises(DataError, match=r"Line 3 of .*: 'emotion' must be one of 0, 1; got '2'\."):
        coded(pd.Series(["0", "2"], name="emotion"), codes, tmp_path)
    with pytest.raises(DataError, match="Line 9 of"):
        coded(pd.Series(["2"], name="emotion"), codes, tmp_path, first_line=9)


def test_columns_that_a_published_table_lacks(tmp_path):
    table = pd.DataFrame({"file": [], "age": []})
    need_columns(table, ("age", "file"), tmp_path, "a list")
    with pytest.raises(
        DataError, match="is not a list: it must have the columns age, sex, and lacks sex; its columns"
    ):
        need_columns(table, ("age", "sex"), tmp_path, "a list")


def test_listed_images_that_are_not_there_are_named_with_the_reason(tmp_path):
    picture(tmp_path / "a.png")
    names = ["a.png", "b.png", "../c.png"]
    there, skipped = present(["A", "B", "C"], FolderStore(tmp_path), names)
    assert there.tolist() == [True, False, False]
    assert skipped["image_id"].tolist() == ["B", "C"]
    assert "no such file in" in skipped["reason"][0]
    assert "leads out of" in skipped["reason"][1]
    assert len(left_out({})) == 0


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        (["1", "x", "y"], "continuous", "'a' holds 'x' in row 2, which is no number"),
        ([1, -1, 3], "binary", r"must hold -1 and 1, .*; got 3\.0 in row 3"),
        (["yes", None, "perhaps"], "binary", "got 'perhaps' in row 3"),
        ([-1, 0, 1], "binary", "got '-1, 0 and 1'"),
    ],
)
def test_values_that_do_not_fit_their_kind_name_their_row(values, kind, says):
    with pytest.raises(DataError, match=says):
        as_kind(pd.Series(values), kind, "a")


def test_kinds_by_column():
    assert given_kinds(identity=("who",), ignore=("a", "b")) == {
        "who": "identity",
        "a": "ignore",
        "b": "ignore",
    }


def test_a_table_leaves_missing_images_out_when_it_is_opened(tmp_path):
    for name in ("0.png", "2.png"):
        picture(tmp_path / name, value=int(name[0]))
    points = ",".join(
        f"lm_{p}_{a}" for p in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for a in "xy"
    )
    rows = "".join(f"{i}.png,{30 + i},{','.join(str(10 * i + k) for k in range(10))}\n" for i in range(3))
    (tmp_path / "t.csv").write_text(f"file,age,{points}\n{rows}")
    faces = open_faces(f"table:{tmp_path / 't.csv'}")
    assert faces.table["age"].tolist() == [30, 32]
    assert faces.keypoints[:, 0, 0].tolist() == [0, 20]
    assert faces.images()[:, 0, 0, 0].tolist() == [0, 2]
    assert faces.skipped["image_id"].tolist() == ["1.png"]
    assert np.isfinite(faces.keypoints).all()
