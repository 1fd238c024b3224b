import shutil

import pytest
from tests.faces.layouts import picture, text

from fusiform.errors import DataError
from fusiform.faces import open_faces
from fusiform.faces.readers.cfp import cfp_pairs


def made_up_cfp(path, people: int = 3):
    frontal, profile = [], []
    for person in range(1, people + 1):
        for view, count, names in (("frontal", 3, frontal), ("profile", 2, profile)):
            for number in range(1, count + 1):
                name = f"{person:03d}/{view}/{number:02d}"
                picture(path / "Data" / "Images" / f"{name}.jpg", value=50 * person + number)
                text(path / "Data" / "Fiducials" / f"{name}.txt", "1.0,2.0")
                names.append(f"{len(names) + 1} ../Data/Images/{name}.jpg")
    text(path / "Data" / "list_name.txt", "Ann Lee", "Bo", "Cy de Wit")
    text(path / "Protocol" / "Pair_list_F.txt", *frontal)
    text(path / "Protocol" / "Pair_list_P.txt", *profile)
    for fold in (1, 2):
        for protocol, same, different in (("FF", "1,2", "3,4"), ("FP", f"{fold},1", "1,3")):
            folder = path / "Protocol" / "Split" / protocol / f"{fold:02d}"
            text(folder / "same.txt", same)
            text(folder / "diff.txt", different)
    return path


@pytest.mark.parametrize("inner", ["", "cfp-dataset"])
def test_cfp_in_its_layout(tmp_path, inner):
    made_up_cfp(tmp_path / inner)
    faces = open_faces(f"cfp:{tmp_path}")
    assert len(faces) == 15
    assert faces.table.iloc[3].tolist() == ["001/profile/01", "001", "profile", "Ann Lee"]
    assert faces.table["view"].value_counts().to_dict() == {"frontal": 9, "profile": 6}
    assert faces.identity == "identity"
    assert faces.schema["view"].kind == "categorical"
    assert abs(int(faces.images([14])[0, 0, 5, 5]) - 152) <= 1
    assert faces.keypoints is None
    assert "Sengupta" in faces.provenance["paper"]


def test_cfp_takes_the_images_and_not_aligned_copies_of_them(tmp_path):
    made_up_cfp(tmp_path)
    picture(tmp_path / "Data" / "112x112" / "001" / "frontal" / "01.jpg", (112, 112))
    assert open_faces(f"cfp:{tmp_path}").size == (50, 40)


def test_cfp_without_the_names_and_with_strangers(tmp_path):
    made_up_cfp(tmp_path)
    (tmp_path / "Data" / "list_name.txt").unlink()
    picture(tmp_path / "Data" / "Images" / "cover.jpg")
    faces = open_faces(f"cfp:{tmp_path}")
    assert list(faces.schema) == ["identity", "view"]
    assert faces.skipped.to_numpy().tolist() == [["cover.jpg", "its name is not 001/frontal/01.jpg"]]


def test_cfp_that_does_not_fit(tmp_path):
    made_up_cfp(tmp_path)
    text(tmp_path / "Data" / "list_name.txt", "Ann Lee")
    with pytest.raises(DataError, match=r"list_name\.txt' has 1 names, and there are images of person 003"):
        open_faces(f"cfp:{tmp_path}")
    picture(tmp_path / "other" / "me.jpg")
    with pytest.raises(DataError, match=r"named like CFP's, 001/frontal/01\.jpg; .* is 'me\.jpg'"):
        open_faces(f"cfp:{tmp_path / 'other'}")


def test_cfp_pairs(tmp_path):
    faces = open_faces(f"cfp:{made_up_cfp(tmp_path)}")
    ids = faces.table["image_id"].tolist()
    pairs = cfp_pairs(faces, tmp_path)
    assert [(ids[a], ids[b]) for a, b in zip(pairs["first"], pairs["second"], strict=True)] == [
        ("001/frontal/01", "001/profile/01"),
        ("001/frontal/01", "002/profile/01"),
        ("001/frontal/02", "001/profile/01"),
        ("001/frontal/01", "002/profile/01"),
    ]
    assert pairs["same"].tolist() == [True, False] * 2
    assert pairs["fold"].tolist() == [0, 0, 1, 1]
    frontal = cfp_pairs(faces, tmp_path / "Protocol", protocol="FF")
    assert ids[frontal["second"][1]] == "002/frontal/01"


def test_cfp_pairs_of_images_that_are_missing(tmp_path):
    faces = open_faces(f"cfp:{made_up_cfp(tmp_path)}")
    fewer = faces.subset(faces.table["image_id"] != "002/profile/01")
    with pytest.raises(
        DataError,
        match=r"1 images of 'FP' are not among the 14 faces, the first '002/profile/01'; missing='drop'",
    ):
        cfp_pairs(fewer, tmp_path)
    assert cfp_pairs(fewer, tmp_path, missing="drop")["same"].tolist() == [True, True]
    with pytest.raises(DataError, match="'missing' parameter must be 'raise' or 'drop'; got 'ignore'"):
        cfp_pairs(faces, tmp_path, missing="ignore")


def test_cfp_protocols_that_cannot_be_read(tmp_path):
    faces = open_faces(f"cfp:{made_up_cfp(tmp_path)}")
    with pytest.raises(DataError, match="protocol of CFP must be 'FF' or 'FP'; got 'PP'"):
        cfp_pairs(faces, tmp_path, protocol="PP")
    with pytest.raises(DataError, match=r"holds no protocols of CFP: looked for the folder Split .*found "):
        cfp_pairs(faces, tmp_path.parent)
    same = tmp_path / "Protocol" / "Split" / "FP" / "01" / "same.txt"
    text(same, "1,1", "", "1;2")
    with pytest.raises(DataError, match=r"Line 3 of '.*same\.txt' is not two numbers 'i,j': '1;2'"):
        cfp_pairs(faces, tmp_path)
    text(same, "1,77")
    with pytest.raises(
        DataError,
        match=r"Line 1 of .* names image 77, which 'Pair_list_P\.txt' does not list; it has 6 images",
    ):
        cfp_pairs(faces, tmp_path)
    same.unlink()
    with pytest.raises(DataError, match=r"There is no list of pairs '.*same\.txt'"):
        cfp_pairs(faces, tmp_path)
    images = tmp_path / "Protocol" / "Pair_list_F.txt"
    text(images, "1 ../Data/Images/001/frontal/01.jpg", "1 ../Data/Images/001/frontal/02.jpg")
    with pytest.raises(DataError, match=r"Line 2 of .* gives the number 1 a second image"):
        cfp_pairs(faces, tmp_path)
    text(images, "one")
    with pytest.raises(DataError, match=r"Line 1 of .* is not '1 \.\./Data/Images"):
        cfp_pairs(faces, tmp_path)
    text(images, "1 ../Data/Images/001/frontal/01.jpg")
    shutil.rmtree(tmp_path / "Protocol" / "Split" / "FP")
    with pytest.raises(DataError, match="has no folds 01 to 10; found FF"):
        cfp_pairs(faces, tmp_path)
