import pytest
from tests.faces.layouts import zip_of
from tests.faces.layouts_tables import fairface

from fusiform.errors import DataError
from fusiform.faces import open_faces


@pytest.mark.parametrize("images", ["fairface-img-margin025-trainval", "."])
@pytest.mark.parametrize("inner", ["", "labels"])
def test_both_lists_and_images_where_they_usually_are(tmp_path, images, inner):
    fairface(tmp_path / inner, images)
    faces = open_faces(f"fairface:{tmp_path}")
    assert faces.table.drop(columns="image_id").to_numpy().tolist()[:3] == [
        ["0-2", True, "East Asian", "train", True],
        ["more than 70", False, "Latino_Hispanic", "train", False],
        ["3-9", False, "Middle Eastern", "train", False],
    ]
    assert faces.table["image_id"].tolist()[3:] == ["val/1.jpg", "val/2.jpg", "val/3.jpg"]
    assert {name: a.kind for name, a in faces.schema.items()} == {
        "age_group": "categorical",
        "Male": "binary",
        "race": "categorical",
        "split": "categorical",
        "service_test": "binary",
    }
    assert faces.images()[:, 0, 0, 0].tolist() == [10, 20, 30, 110, 120, 130]
    assert faces.provenance["lists"] == ["fairface_label_train.csv", "fairface_label_val.csv"]
    assert "WACV" in faces.provenance["paper"]
    assert faces.provenance["licence"] == "CC BY 4.0"


def test_one_split_and_images_in_a_zip(tmp_path):
    fairface(tmp_path, "img")
    zip_of(tmp_path / "img", tmp_path / "img.zip", "fairface/")
    faces = open_faces(f"fairface:{tmp_path}?split=val")
    assert faces.images()[:, 0, 0, 0].tolist() == [110, 120, 130]
    (tmp_path / "fairface_label_train.csv").unlink()
    assert len(open_faces(f"fairface:{tmp_path}")) == 3
    with pytest.raises(DataError, match=r"has no fairface_label_train\.csv; found fairface_label_val\.csv"):
        open_faces(f"fairface:{tmp_path}?split=train")
    with pytest.raises(DataError, match="'split' of FairFace must be one of train, val; got 'test'"):
        open_faces(f"fairface:{tmp_path}?split=test")


def test_which_of_two_croppings(tmp_path):
    fairface(tmp_path, "margin025")
    for file in (tmp_path / "margin025").rglob("*.jpg"):
        other = tmp_path / "margin125" / file.relative_to(tmp_path / "margin025")
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_bytes((tmp_path / "margin025" / "val" / "3.jpg").read_bytes())
    assert open_faces(f"fairface:{tmp_path}").image(0)[0, 0, 0] == 10
    assert open_faces(f"fairface:{tmp_path}?images=margin125").image(0)[0, 0, 0] == 130


def test_listed_but_missing(tmp_path):
    fairface(tmp_path, "img")
    (tmp_path / "img" / "val" / "2.jpg").unlink()
    faces = open_faces(f"fairface:{tmp_path}")
    assert len(faces) == 5
    assert faces.skipped["image_id"].tolist() == ["val/2.jpg"]
    assert "no such file in" in faces.skipped["reason"][0]
    for file in (tmp_path / "img").rglob("*.jpg"):
        file.unlink()
    with pytest.raises(DataError, match=r"no images in .*Looked for FairFace's images train/1\.jpg"):
        open_faces(f"fairface:{tmp_path}")


def test_images_of_one_part_are_never_taken_for_the_others(tmp_path):
    fairface(tmp_path, "img")
    for i in (1, 2, 3):
        (tmp_path / "img" / "val" / f"{i}.jpg").unlink()
    faces = open_faces(f"fairface:{tmp_path}")
    assert faces.table["split"].unique().tolist() == ["train"]
    assert faces.skipped["image_id"].tolist() == ["val/1.jpg", "val/2.jpg", "val/3.jpg"]
    with pytest.raises(
        DataError, match=r"None of FairFace's images .*first 'val/1\.jpg'; .*'img/train/1\.jpg'"
    ):
        open_faces(f"fairface:{tmp_path}?split=val")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (",0-2,", ",0-3,", r"Line 2 of .*_val\.csv': 'age' must be one of 0-2, 3-9, .*; got '0-3'"),
        (",3-9,", ",3-Sep,", r"Line 4 .*got '3-Sep'\. Spreadsheet programs turn 3-9 and 10-19 into dates"),
        (",Female,Lat", ",female,Lat", "Line 3 of .*'gender' must be one of Male, Female; got 'female'"),
        ("East Asian", "Eastern", "Line 2 of .*'race' must be one of White, .*; got 'Eastern'"),
        ("val/2.jpg", "", r"Line 3 of .* names no image"),
        ("gender", "sex", r"not FairFace's list of labels: .*lacks gender; its columns are file, age, sex"),
        ("val/2.jpg", "val/1.jpg", "Image ids must be unique"),
    ],
)
def test_lists_that_cannot_be(tmp_path, old, new, says):
    fairface(tmp_path, splits=("val",))
    file = tmp_path / "fairface_label_val.csv"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(DataError, match=says):
        open_faces(f"fairface:{tmp_path}")


def test_an_unknown_label_stays_unknown(tmp_path):
    fairface(tmp_path, splits=("val",))
    file = tmp_path / "fairface_label_val.csv"
    file.write_text(file.read_text().replace(",0-2,Male", ",,"))
    table = open_faces(f"fairface:{tmp_path}").table
    assert table["age_group"].isna().tolist() == [True, False, False]
    assert table["Male"].isna().tolist() == [True, False, False]


def test_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"not laid out like FairFace: looked for .*; found notes\.txt\."):
        open_faces(f"fairface:{tmp_path}")
    with pytest.raises(DataError, match="FairFace is a folder with"):
        open_faces(f"fairface:{tmp_path / 'notes.txt'}")
