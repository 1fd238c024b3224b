import pickle

import pytest
from tests.faces.layouts import picture, zip_of
from tests.faces.layouts_tables import fer2013, pixels_of

from fusiform.errors import DataError
from fusiform.faces import open_faces


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("fer2013.csv", "emotion,pixels,Usage"),
        ("icml_face_data.csv", "emotion, Usage, pixels"),
        ("fer2013/fer2013.csv", "emotion,pixels,Usage"),
    ],
)
def test_the_table(tmp_path, name, header):
    file = fer2013(tmp_path / name, header)
    faces = open_faces(f"fer2013:{tmp_path}")
    assert faces.table.to_numpy().tolist() == [
        ["fer0000000", "angry", "train"],
        ["fer0000001", "happy", "train"],
        ["fer0000002", "sad", "valid"],
        ["fer0000003", "neutral", "test"],
    ]
    assert {a.kind for a in faces.schema.values()} == {"categorical"}
    assert faces.size == (48, 48)
    assert faces.images()[:, :, 0, 0].tolist() == [[10] * 3, [20] * 3, [30] * 3, [40] * 3]
    assert faces.digest() == open_faces(f"fer2013:{file}").digest()
    assert (pickle.loads(pickle.dumps(faces)).images() == faces.images()).all()


def test_rows_of_pixels_run_from_left_to_right(tmp_path):
    values = " ".join(str((row * 48 + column) % 251) for row in range(48) for column in range(48))
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n0,{values},Training\n")
    image = open_faces(f"fer2013:{tmp_path}").image(0)[0]
    assert image[0, :3].tolist() == [0, 1, 2]
    assert image[1, 0] == 48


@pytest.mark.parametrize("zipped", [False, True])
def test_folders(tmp_path, zipped):
    for i, name in enumerate(("train/angry/a", "train/happy/b", "test/surprise/c", "test/odd/d", "cover")):
        picture(tmp_path / "fer" / f"{name}.jpg", (48, 48), value=10 * i)
    place = zip_of(tmp_path / "fer", tmp_path / "fer.zip", "archive/") if zipped else tmp_path / "fer"
    faces = open_faces(f"fer2013:{place}")
    assert sorted(faces.table[["emotion", "split"]].to_numpy().tolist()) == [
        ["angry", "train"],
        ["happy", "train"],
        ["surprise", "test"],
    ]
    assert len(faces.skipped) == 2
    assert set(faces.skipped["reason"]) == {"it is not in a folder such as train/angry or test/happy"}


VOTES = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"


def test_fer_plus(tmp_path):
    fer2013(tmp_path / "fer2013.csv")
    (tmp_path / "fer2013new.csv").write_text(
        VOTES
        + "Training,fer0000000.png,0,0,0,1,2,0,0,7,0,0\n"
        + "Training,fer0000001.png,5,5,0,0,0,0,0,0,0,0\n"
        + "PublicTest,,0,0,0,0,0,0,0,0,0,10\n"
        + "PrivateTest,fer0000003.png,1,9,0,0,0,0,0,0,0,0\n"
    )
    faces = open_faces(f"fer2013:{tmp_path}?ferplus=fer2013new.csv")
    assert faces.table["image_id"].tolist() == ["fer0000000", "fer0000001", "fer0000003"]
    assert faces.table["emotion_ferplus"].fillna("?").tolist() == ["contempt", "?", "happy"]
    assert faces.table["emotion"].tolist() == ["angry", "happy", "neutral"]
    assert faces.skipped.to_numpy().tolist() == [["fer0000002", "it shows no face, by the votes of FER+"]]
    assert faces.images()[:, 0, 0, 0].tolist() == [10, 20, 40]
    with pytest.raises(
        DataError, match=r"ferplus='new\.csv' is neither in .*; found fer2013\.csv, fer2013new\.csv"
    ):
        open_faces(f"fer2013:{tmp_path}?ferplus=new.csv")
    (tmp_path / "fer2013new.csv").write_text(VOTES + "Training,a.png,0,0,0,1,2,0,0,7,0,0\n")
    with pytest.raises(DataError, match="has 1 rows for the 4 images of FER2013"):
        open_faces(f"fer2013:{tmp_path}?ferplus=fer2013new.csv")
    (tmp_path / "fer2013new.csv").write_text(VOTES + "Training,a.png,0,0,0,1,2,0,0,7,0,\n" * 4)
    with pytest.raises(DataError, match=r"Line 2 of .* must hold numbers of votes from 0"):
        open_faces(f"fer2013:{tmp_path}?ferplus=fer2013new.csv")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (f"7,{pixels_of(1)},Training", "Line 3 of .*'emotion' must be one of 0, 1, .*; got '7'"),
        (
            f"0,{pixels_of(1)},Test",
            "Line 3 of .*'Usage' must be one of Training, PublicTest, PrivateTest; got 'Test'",
        ),
        ("0,1 2 3,Training", "Line 3 of .*'pixels' must hold 2304 numbers from 0 to 255; got 3 numbers"),
        (f"0,{pixels_of(256)},Training", "Line 3 of .*got values from 256 to 256"),
        (f"0,{pixels_of(-1)},Training", "Line 3 of .*got values from -1 to -1"),
        (f"0,{pixels_of('x')},Training", "Line 3 of .*got something else"),
        ("0,,Training", "Line 3 of .*got something else"),
    ],
)
def test_lines_that_cannot_be(tmp_path, row, says):
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n0,{pixels_of(1)},Training\n{row}\n")
    with pytest.raises(DataError, match=says):
        open_faces(f"fer2013:{tmp_path}")


def test_something_else(tmp_path):
    (tmp_path / "fer2013.csv").write_text("emotion,pixels\n0,1\n")
    with pytest.raises(
        DataError, match=r"not FER2013's table: .*lacks Usage; its columns are emotion, pixels"
    ):
        open_faces(f"fer2013:{tmp_path}")
    (tmp_path / "fer2013.csv").unlink()
    with pytest.raises(DataError, match=r"no images in .*Looked for fer2013\.csv or icml_face_data\.csv, or"):
        open_faces(f"fer2013:{tmp_path}")
    picture(tmp_path / "me.jpg")
    with pytest.raises(DataError, match=r"not laid out like FER2013.*first of 1 images is 'me\.jpg'"):
        open_faces(f"fer2013:{tmp_path}")
    with pytest.raises(DataError, match=r"'ferplus' follows the rows of fer2013\.csv .*found me\.jpg"):
        open_faces(f"fer2013:{tmp_path}?ferplus=a.csv")
