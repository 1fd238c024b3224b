import numpy as np
import pandas as pd
import pytest
from tests.faces.layouts import ramp, text

from fusiform.errors import DataError
from fusiform.faces import open_faces
from fusiform.faces.readers.ijbc import ijbc_pairs

SHORT = "TEMPLATE_ID,SUBJECT_ID,FILENAME,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT"
LONG = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT,FRAME_NUM,FACIAL_HAIR,AGE"
LONG += ",INDOOR_OUTDOOR,SKINTONE,GENDER,YAW,ROLL,OCC1,OCC2"


def made_up_ijbc(path, short: str = "ijbc", sets: str = "G"):
    for name in ("img/1.png", "img/2.png", "img/3.png", "frames/7_1.png"):
        ramp(path / "images" / name, (40, 30))
    protocols = path / "protocols"
    text(protocols / f"{short}_1N_gallery_{sets}1.csv", SHORT, "1,99,img/1.png,10,5,16,20")
    text(protocols / f"{short}_1N_gallery_{sets}2.csv", SHORT, "2,98,img/2.png,0,0,8,8")
    text(
        protocols / f"{short}_1N_probe_mixed.csv",
        SHORT,
        "3,99,img/3.png,10,5,16,20",
        "3,99,frames/7_1.png,20,15,16,20",
        "4,99,img/1.png,10,5,16,20",
    )
    text(protocols / f"{short}_11_{sets}1_{sets}2_matches.csv", "1,3", "2,3", "1,4")
    return path


@pytest.mark.parametrize(("short", "sets"), [("ijbc", "G"), ("ijbb", "S")])
def test_ijb_in_its_layouts(tmp_path, short, sets):
    faces = open_faces(f"ijbc:{made_up_ijbc(tmp_path, short, sets)}")
    assert faces.table.to_numpy().tolist() == [
        ["1/img/1.png", "99", "1", f"{short}_1N_gallery_{sets}1"],
        ["2/img/2.png", "98", "2", f"{short}_1N_gallery_{sets}2"],
        ["3/img/3.png", "99", "3", f"{short}_1N_probe_mixed"],
        ["3/frames/7_1.png", "99", "3", f"{short}_1N_probe_mixed"],
        ["4/img/1.png", "99", "4", f"{short}_1N_probe_mixed"],
    ]
    assert faces.identity == "identity"
    assert faces.image(0).shape == (3, 20, 16)
    assert faces.image(0)[:2, 0, 0].tolist() == [10, 5]
    assert faces.image(3).shape == (3, 15, 16)  # the box goes on below the picture
    assert faces.image(3)[:2, 0, 0].tolist() == [20, 15]
    assert "Maze" in faces.provenance["paper"]
    assert len(faces.readable(strict=True)) == 5


def test_ijbc_margin_and_lists_by_name(tmp_path):
    made_up_ijbc(tmp_path)
    faces = open_faces(f"ijbc:{tmp_path}?lists=ijbc_1N_gallery_G1,ijbc_1N_gallery_G2.csv&margin=50")
    assert faces.table["template"].tolist() == ["1", "2"]
    assert faces.image(0).shape == (3, 30, 32)
    assert faces.provenance["margin_percent"] == 50
    with pytest.raises(
        DataError, match=r"has no list 'ijbc_1N_galery_G1'; did you mean 'ijbc_1N_gallery_G1'"
    ):
        open_faces(f"ijbc:{tmp_path}?lists=ijbc_1N_galery_G1")


def test_ijbc_covariates(tmp_path):
    ramp(tmp_path / "images" / "img" / "1.png", (40, 30))
    ramp(tmp_path / "images" / "img" / "2.png", (40, 30))
    text(
        tmp_path / "protocols" / "ijbc_11_covariate_probe_reference.csv",
        LONG,
        "1,99,img/1.png,500,10,5,16,20,,0,3,1,4,1,-32.5,1,0,1",
        "2,98,img/2.png,501,10,5,16,20,,2,,0,2,0,,,1,0",
    )
    faces = open_faces(f"ijbc:{tmp_path}")
    assert list(faces.schema) == [
        "identity", "template", "list", "facial_hair", "age", "indoor_outdoor", "skin_tone", "gender", "yaw", "roll",
        "occluded_1", "occluded_2",
    ]  # fmt: skip
    first = faces.table.iloc[0]
    assert first[["gender", "skin_tone", "age", "yaw", "occluded_1", "occluded_2"]].tolist() == [
        "1", "4", "3", -32.5, False, True,
    ]  # fmt: skip
    assert faces.table[["age", "yaw"]].iloc[1].isna().all()
    assert faces.schema["gender"].kind == "categorical"
    assert "as published" in faces.schema["yaw"].description


def test_ijbc_lines_that_are_left_out(tmp_path):
    made_up_ijbc(tmp_path)
    text(
        tmp_path / "protocols" / "ijbc_1N_probe_mixed.csv",
        SHORT,
        "3,99,img/3.png,10,5,16,20",
        "3,99,img/3.png,10,5,16,20",
        "3,99,img/1.png,10,5,0,20",
        "3,99,img/2.png,,,,",
        "3,99,img/77.png,10,5,16,20",
    )
    faces = open_faces(f"ijbc:{tmp_path}")
    assert faces.table["image_id"].tolist() == ["1/img/1.png", "2/img/2.png", "3/img/3.png"]
    assert dict(faces.skipped.to_numpy().tolist()) == {
        "ijbc_1N_probe_mixed.csv, line 3": "'3/img/3.png' was listed before",
        "3/img/1.png": "no face box of positive size in line 4 of ijbc_1N_probe_mixed.csv",
        "3/img/2.png": "no face box of positive size in line 5 of ijbc_1N_probe_mixed.csv",
        "3/img/77.png": f"listed, but not among the images in {tmp_path / 'images'}",
    }


def test_a_box_outside_its_picture_names_the_image(tmp_path):
    made_up_ijbc(tmp_path)
    text(tmp_path / "protocols" / "ijbc_1N_gallery_G1.csv", SHORT, "1,99,img/1.png,100,5,16,20")
    faces = open_faces(f"ijbc:{tmp_path}")
    with pytest.raises(
        DataError, match=r"'1/img/1\.png' cannot be read: its face box \(x 100 to 116, .* 40 x 30 picture"
    ):
        faces.image(0)
    readable = faces.readable()
    assert len(readable) == 4
    assert "lies outside" in readable.skipped["reason"].iloc[-1]


def test_ijbc_that_cannot_be_read(tmp_path):
    made_up_ijbc(tmp_path)
    gallery = tmp_path / "protocols" / "ijbc_1N_gallery_G1.csv"
    text(gallery, SHORT, "1,99,img/1.png,10,5,wide,20")
    with pytest.raises(
        DataError, match=r"Line 2 of '.*gallery_G1\.csv': FACE_WIDTH must be a number; got 'wide'"
    ):
        open_faces(f"ijbc:{tmp_path}")
    text(gallery, SHORT, "1,,img/1.png,10,5,1,20")
    with pytest.raises(DataError, match=r"Line 2 of .* has no SUBJECT_ID or no FILENAME"):
        open_faces(f"ijbc:{tmp_path}")
    text(gallery, "TEMPLATE_ID,SUBJECT_ID", "1,99")
    with pytest.raises(
        DataError, match=r"must have the columns TEMPLATE_ID, SUBJECT_ID, .*; FILENAME, FACE_X, "
    ):
        open_faces(f"ijbc:{tmp_path}")
    text(gallery, SHORT, "1,99,img/1.png,10,5,16,20")
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    for file in (tmp_path / "elsewhere").rglob("*.png"):
        file.rename(file.with_suffix(".txt"))
    with pytest.raises(DataError, match=r"None of the images .* Put the folder images beside protocols"):
        open_faces(f"ijbc:{tmp_path}")
    with pytest.raises(
        DataError, match=r"not laid out like IJB-B or IJB-C: looked for lists .*; found frames, img"
    ):
        open_faces(f"ijbc:{tmp_path / 'elsewhere'}")
    with pytest.raises(DataError, match=r"IJB-C is a folder with protocols and images; '.*' is a file"):
        open_faces(f"ijbc:{gallery}")


def made_up_crops(path, galleries: bool = True):
    for i in (1, 2, 3):
        ramp(path / "loose_crop" / f"{i}.jpg", (40, 30))
    text(path / "meta" / "ijbc_face_tid_mid.txt", "1.jpg 1 500", "2.jpg 1 501", "3.jpg 2 502")
    five = "10.5 10 20 11 15 16 11 20 19 21"
    text(path / "meta" / "ijbc_name_5pts_score.txt", *(f"{i}.jpg {five} 0.99" for i in (1, 2, 3)))
    text(path / "meta" / "ijbc_template_pair_label.txt", "1 2 0", "1 1 1")
    if galleries:
        text(
            path / "meta" / "ijbc_1N_gallery_G1.csv",
            "TEMPLATE_ID,SUBJECT_ID,FILENAME",
            "1,99,img/1.png",
            "1,99,img/2.png",
        )
        text(path / "meta" / "ijbc_1N_probe_mixed.csv", "TEMPLATE_ID,SUBJECT_ID,FILENAME", "2,98,img/3.png")
    return path


@pytest.mark.parametrize("galleries", [True, False])
def test_the_crops_of_insightface(tmp_path, galleries):
    faces = open_faces(f"ijbc:{made_up_crops(tmp_path, galleries)}")
    assert faces.table["image_id"].tolist() == ["1.jpg", "2.jpg", "3.jpg"]
    assert faces.table["template"].tolist() == ["1", "1", "2"]
    assert faces.table["media"].tolist() == ["500", "501", "502"]
    assert faces.identity == ("identity" if galleries else None)
    if galleries:
        assert faces.table["identity"].tolist() == ["99", "99", "98"]
    assert faces.keypoints[0].tolist() == [[10.5, 10], [20, 11], [15, 16], [11, 20], [19, 21]]
    assert faces.size == (30, 40)
    pairs = ijbc_pairs(faces, tmp_path / "meta" / "ijbc_template_pair_label.txt")
    assert pairs.to_numpy().tolist() == [["1", "2", False], ["1", "1", True]]


def test_crops_that_do_not_fit(tmp_path):
    made_up_crops(tmp_path)
    (tmp_path / "loose_crop" / "2.jpg").unlink()
    faces = open_faces(f"ijbc:{tmp_path}")
    assert faces.table["image_id"].tolist() == ["1.jpg", "3.jpg"]
    assert faces.keypoints.shape == (2, 5, 2)
    assert faces.skipped["reason"].str.startswith("listed, but not among the images in").tolist() == [True]
    meta = tmp_path / "meta"
    text(meta / "ijbc_face_tid_mid.txt", "1.jpg 1 500", "1.jpg 1 501")
    with pytest.raises(DataError, match=r"Line 2 of .*face_tid_mid\.txt' lists '1\.jpg' a second time"):
        open_faces(f"ijbc:{tmp_path}")
    text(meta / "ijbc_face_tid_mid.txt", "1.jpg 1 500", "2.jpg 1")
    with pytest.raises(DataError, match=r"Line 2 of .* is not 3 words, name template media"):
        open_faces(f"ijbc:{tmp_path}")
    text(meta / "ijbc_face_tid_mid.txt", "1.jpg 1", "2.jpg 1")
    with pytest.raises(DataError, match=r"lines of .* must be 3 words, name template media; got 2"):
        open_faces(f"ijbc:{tmp_path}")


def test_ijbc_pairs(tmp_path):
    faces = open_faces(f"ijbc:{made_up_ijbc(tmp_path)}")
    matches = tmp_path / "protocols" / "ijbc_11_G1_G2_matches.csv"
    pairs = ijbc_pairs(faces, matches)
    assert pairs.to_numpy().tolist() == [["1", "3", True], ["2", "3", False], ["1", "4", True]]
    assert pairs["first"].dtype == "category"
    fewer = faces.subset(faces.table["template"] != "3")
    with pytest.raises(
        DataError,
        match=r"1 templates of 'ijbc_11_G1_G2_matches\.csv' are not among the 3 faces, the first '3'; missing=",
    ):
        ijbc_pairs(fewer, matches)
    assert ijbc_pairs(fewer, matches, missing="drop").to_numpy().tolist() == [["1", "4", True]]


def test_ijbc_pairs_without_subjects_are_not_known(tmp_path):
    faces = open_faces(f"ijbc:{made_up_crops(tmp_path, galleries=False)}")
    pairs = ijbc_pairs(faces, text(tmp_path / "m.csv", "1,2"))
    assert pairs["same"].isna().tolist() == [True]


def test_ijbc_pairs_that_cannot_be_read(tmp_path):
    faces = open_faces(f"ijbc:{made_up_ijbc(tmp_path)}")
    file = tmp_path / "m.csv"
    with pytest.raises(DataError, match="no file of pairs"):
        ijbc_pairs(faces, file)
    with pytest.raises(DataError, match="must be two templates, or two and a label; got 1 words"):
        ijbc_pairs(faces, text(file, "1"))
    with pytest.raises(DataError, match=r"Line 2 of .* has less than 2 words"):
        ijbc_pairs(faces, text(file, "1,3", "1,"))
    with pytest.raises(DataError, match=r"Line 1 of .*: a label must be 0 or 1; got '7'"):
        ijbc_pairs(faces, text(file, "1,3,7"))
    with pytest.raises(DataError, match="'missing' parameter"):
        ijbc_pairs(faces, file, missing="no")
    none = type(faces).from_arrays(np.zeros((1, 3, 8, 8), np.uint8), pd.DataFrame({"image_id": ["a"]}))
    with pytest.raises(DataError, match="no column 'template'; open them by 'ijbc:'"):
        ijbc_pairs(none, file)
