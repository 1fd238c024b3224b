import pytest
from tests.faces.layouts import picture, zip_of

from fusiform.errors import DataError
from fusiform.faces import open_faces

NAMES = ["0_MariaCallas_35_f.jpg", "1_MariaCallas_36_f.jpg", "12_Ann_de_Wit_101_M.JPG"]


@pytest.mark.parametrize("zipped", [False, True])
def test_agedb_names(tmp_path, zipped):
    folder = tmp_path / "AgeDB"
    for i, name in enumerate(NAMES):
        picture(folder / name, value=50 * i)
    faces = open_faces(f"agedb:{zip_of(folder, tmp_path / 'a.zip') if zipped else folder}")
    assert faces.table.to_numpy().tolist() == [
        ["0_MariaCallas_35_f", "MariaCallas", 35.0, False],
        ["1_MariaCallas_36_f", "MariaCallas", 36.0, False],
        ["12_Ann_de_Wit_101_M", "Ann_de_Wit", 101.0, True],
    ]
    assert {name: a.kind for name, a in faces.schema.items()} == {
        "identity": "identity",
        "age": "continuous",
        "Male": "binary",
    }
    assert faces.schema["age"].unit == "years"
    assert faces.images()[:, 0, 0, 0].tolist() == [0, 50, 100]
    assert len(faces.skipped) == 0
    assert "Moschoglou" in faces.provenance["paper"]
    assert "non-commercial" in faces.provenance["licence"]


def test_agedb_with_copies_and_strangers(tmp_path):
    for name in (
        "a/0_Ann_35_f.jpg",
        "b/0_Ann_35_f.jpg",
        "b/1_Ann_350_f.jpg",
        "b/2_Ann_35_x.jpg",
        "b/cover.jpg",
    ):
        picture(tmp_path / name)
    faces = open_faces(f"agedb:{tmp_path}")
    assert faces.table["image_id"].tolist() == ["0_Ann_35_f"]
    assert dict(faces.skipped.to_numpy().tolist()) == {
        "b/0_Ann_35_f.jpg": "the same image as 'a/0_Ann_35_f.jpg' by its name",
        "b/1_Ann_350_f.jpg": "the age 350 in its name is above 120 years",
        "b/2_Ann_35_x.jpg": "its name is not index_Name_age_sex.jpg",
        "b/cover.jpg": "its name is not index_Name_age_sex.jpg",
    }


def test_agedb_of_other_files(tmp_path):
    picture(tmp_path / "me.jpg")
    with pytest.raises(
        DataError,
        match=r"named like AgeDB's, index_Name_age_sex\.jpg; the first of 1 images is 'me\.jpg'.*use folder:",
    ):
        open_faces(f"agedb:{tmp_path}")
    (tmp_path / "me.jpg").unlink()
    with pytest.raises(DataError, match=r"no images in .*Looked for AgeDB's files index_Name_age_sex\.jpg"):
        open_faces(f"agedb:{tmp_path}")
