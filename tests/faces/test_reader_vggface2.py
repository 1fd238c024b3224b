import numpy as np
import pytest
from tests.faces.layouts import picture, ramp, text, zip_of

from fusiform.errors import DataError, SpecError
from fusiform.faces import open_faces

IMAGES = {
    "train": ["n000002/0001_01", "n000002/0002_01", "n000003/0001_02"],
    "test": ["n000001/0001_01"],
}
FIVE = [10, 10, 20, 11, 15, 16, 11, 20, 19, 21]


def made_up_vggface2(path, meta: str = "meta", data: str = "data"):
    for split, names in IMAGES.items():
        for name in names:
            ramp(path / data / split / f"{name}.jpg", (40, 30))
        text(path / meta / f"{split}_list.txt", *(f"{name}.jpg" for name in names))
        rows = [f'"{name}",{",".join(map(str, FIVE))}' for name in names]
        header = "NAME_ID," + ",".join(f"P{i}{axis}" for i in range(1, 6) for axis in "XY")
        text(path / "bb_landmark" / f"loose_landmark_{split}.csv", header, *rows)
        boxes = [f'"{name}",8,6,16,20' for name in names]
        text(path / "bb_landmark" / f"loose_bb_{split}.csv", "NAME_ID,X,Y,W,H", *boxes)
    text(
        path / meta / "identity_meta.csv",
        "Class_ID, Name, Sample_Num, Flag, Gender",
        'n000001, "14th_Dalai_Lama", 424, 0, m,',
        'n000002, "A_Fine_Frenzy",315,1, f',
        'n000003, "Lee,_Ann",12,1, f,',
    )
    return path


@pytest.mark.parametrize(("meta", "data"), [("meta", "data"), ("", ""), ("data", "data")])
def test_vggface2_in_its_layouts(tmp_path, meta, data):
    faces = open_faces(f"vggface2:{made_up_vggface2(tmp_path, meta, data)}")
    rows = faces.table.set_index("image_id")
    assert rows.loc["n000001/0001_01"].tolist() == ["n000001", "test", "14th_Dalai_Lama", True]
    assert rows.loc["n000002/0001_01"].tolist() == ["n000002", "train", "A_Fine_Frenzy", False]
    assert rows.loc["n000003/0001_02"].tolist() == ["n000003", "train", "Lee,_Ann", False]
    assert len(rows) == 4
    assert faces.identity == "identity"
    assert faces.keypoints[0].tolist() == np.reshape(FIVE, (5, 2)).tolist()
    assert faces.size == (30, 40)
    assert len(faces.skipped) == 0
    assert "identity_meta.csv" in faces.provenance["lists"]
    assert "Cao" in faces.provenance["paper"]


def test_one_split_of_vggface2(tmp_path):
    made_up_vggface2(tmp_path)
    for spec in (f"{tmp_path}?split=test", f"{tmp_path}/data/test"):
        faces = open_faces(f"vggface2:{spec}")
        assert faces.table["image_id"].tolist() == ["n000001/0001_01"]
        assert faces.table["split"].tolist() == ["test"]
    with pytest.raises(SpecError, match=r"no split 'val' in .*; there are: train, test"):
        open_faces(f"vggface2:{tmp_path}?split=val")
    with pytest.raises(SpecError, match=r"no split '\.\./\.\.'"):
        open_faces(f"vggface2:{tmp_path}", split="../..")


def test_vggface2_without_lists_and_in_a_zip(tmp_path):
    for name in IMAGES["train"]:
        picture(tmp_path / "v" / "train" / f"{name}.jpg")
    picture(tmp_path / "v" / "train" / "cover.jpg")
    path = zip_of(tmp_path / "v", tmp_path / "v.zip")
    faces = open_faces(f"vggface2:{path}")
    assert list(faces.schema) == ["identity", "split"]
    assert faces.keypoints is None
    assert faces.skipped.to_numpy().tolist() == [["train/cover.jpg", "its name is not n000001/0001_01.jpg"]]


def test_vggface2_images_that_are_listed_and_not_there(tmp_path):
    made_up_vggface2(tmp_path)
    (tmp_path / "data" / "train" / "n000002" / "0002_01.jpg").unlink()
    faces = open_faces(f"vggface2:{tmp_path}")
    assert faces.skipped.to_numpy().tolist() == [
        ["n000002/0002_01", "listed in train_list.txt, but not among the images"]
    ]
    assert len(faces) == len(faces.keypoints) == 3


def test_vggface2_faces_cut_out_by_their_boxes(tmp_path):
    made_up_vggface2(tmp_path)
    text(tmp_path / "bb_landmark" / "loose_bb_train.csv", "NAME_ID,X,Y,W,H", "n000002/0001_01,8,6,16,20")
    faces = open_faces(f"vggface2:{tmp_path}?margin=0")
    assert faces.table["image_id"].tolist() == ["n000001/0001_01", "n000002/0001_01"]
    assert faces.size == (20, 16)
    assert (faces.keypoints[0] == np.reshape(FIVE, (5, 2)) - [8, 6]).all()
    assert faces.skipped["reason"].tolist() == ["it has no face box"] * 2
    wide = open_faces(f"vggface2:{tmp_path}?margin=25")
    assert wide.size == (29, 24)  # no further than the picture
    (tmp_path / "bb_landmark" / "loose_bb_train.csv").unlink()
    (tmp_path / "bb_landmark" / "loose_bb_test.csv").unlink()
    with pytest.raises(
        DataError, match=r"margin needs the face boxes in loose_bb_train\.csv.*Leave out margin"
    ):
        open_faces(f"vggface2:{tmp_path}?margin=0")


def test_vggface2_lists_that_cannot_be_read(tmp_path):
    made_up_vggface2(tmp_path)
    meta = tmp_path / "meta" / "identity_meta.csv"
    whole = meta.read_text()
    meta.write_text(whole.replace("1, f\n", "1, x\n"))
    with pytest.raises(
        DataError, match=r"Line 3 of '.*identity_meta\.csv': a gender must be m or f; got 'x'"
    ):
        open_faces(f"vggface2:{tmp_path}")
    meta.write_text(whole.replace("n000003", "n000001"))
    with pytest.raises(DataError, match=r"Line 4 of .* lists n000001 a second time"):
        open_faces(f"vggface2:{tmp_path}")
    meta.write_text("one\n")
    with pytest.raises(
        DataError, match=r"Line 1 of .* is not 'Class_ID, Name, Sample_Num, Flag, Gender': 'one'"
    ):
        open_faces(f"vggface2:{tmp_path}")
    meta.write_text(whole)
    points = tmp_path / "bb_landmark" / "loose_landmark_train.csv"
    whole = points.read_text()
    points.write_text(whole.replace('0002_01",10,', '0002_01",ten,'))
    with pytest.raises(
        DataError, match=r"Line 3 of .*, image 'n000002/0002_01': P1X must be a number; got 'ten'"
    ):
        open_faces(f"vggface2:{tmp_path}")
    points.write_text(whole.replace("P5Y", "P6Y"))
    with pytest.raises(DataError, match=r"must have the columns NAME_ID,P1X,.*; P5Y not among NAME_ID, P1X"):
        open_faces(f"vggface2:{tmp_path}")
    points.write_text(whole.replace("0002_01", "0001_01"))
    with pytest.raises(DataError, match="lists 1 images more than once, the first 'n000002/0001_01'"):
        open_faces(f"vggface2:{tmp_path}")
    points.write_text("")
    with pytest.raises(DataError, match=r"loose_landmark_train\.csv' cannot be read"):
        open_faces(f"vggface2:{tmp_path}")


def test_vggface2_of_other_files(tmp_path):
    picture(tmp_path / "ann" / "1.jpg")
    with pytest.raises(
        DataError, match=r"named like VGGFace2's, n000001/0001_01\.jpg; .* is 'ann/1\.jpg'.*folder:"
    ):
        open_faces(f"vggface2:{tmp_path}")
