import numpy as np
import pytest
from tests.faces.layouts import picture, ramp, text, zip_of

from fusiform.errors import DataError
from fusiform.faces import open_faces


def box(folder, name, *numbers):
    text(folder / f"{name}.txt", f"{name}.jpg", "Face", *map(str, numbers))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("person", ["person", "personne"])
def test_pointing04_names_and_signs(tmp_path, person, zipped):
    folder = tmp_path / "HeadPose"
    for name in ("01146+0+0", "01201-60-90", "15292+90+0", "08123-30+45"):
        picture(folder / f"Person{name[:2]}" / f"{person}{name}.jpg")
    faces = open_faces(f"pointing04:{zip_of(folder, tmp_path / 'h.zip') if zipped else folder}")
    rows = faces.table.set_index("image_id")
    assert rows.loc[f"{person}01146+0+0"].tolist() == ["person01", "1", 0.0, 0.0]
    assert rows.loc[f"{person}01201-60-90"].tolist() == ["person01", "2", 90.0, -60.0]
    assert rows.loc[f"{person}15292+90+0"].tolist() == ["person15", "2", 0.0, 90.0]
    assert rows.loc[f"{person}08123-30+45"].tolist() == ["person08", "1", -45.0, -30.0]
    assert not np.signbit(rows.loc[f"{person}01146+0+0", ["yaw", "pitch"]].astype(float)).any()
    assert faces.schema["yaw"].unit == faces.schema["pitch"].unit == "deg"
    assert "right of the image" in faces.schema["yaw"].description
    assert "times -1" in faces.provenance["signs"]


def test_pointing04_yaw_is_positive_to_the_right_of_the_image(realdata):
    # FASSEG's pictures are Pointing'04's, and their labels keep its pan: the sign that the reader turns.
    faces = open_faces(f"table:{realdata}/images/fasseg_multipose/labels.csv")
    five, pan = faces.keypoints, faces.table["yaw_degrees"].to_numpy()
    nose_right_of_eyes = five[:, 2, 0] - five[:, :2, 0].mean(axis=1)
    assert (nose_right_of_eyes[pan >= 30] < 0).mean() > 0.95
    assert (nose_right_of_eyes[pan <= -30] > 0).mean() > 0.95


def test_pointing04_with_copies_and_strangers(tmp_path):
    for name in ("Front/person01146+0+0", "Person01/person01146+0+0", "Person01/person01147+0+99", "sample"):
        picture(tmp_path / f"{name}.jpg")
    faces = open_faces(f"pointing04:{tmp_path}")
    assert len(faces) == 1
    assert dict(faces.skipped.to_numpy().tolist()) == {
        "Person01/person01146+0+0.jpg": "the same image as 'Front/person01146+0+0.jpg' by its name",
        "Person01/person01147+0+99.jpg": "the angles +0 and +99 in its name are not within 90 degrees",
        "sample.jpg": "its name is not person01146-60-90.jpg",
    }


def test_pointing04_faces_cut_out_by_their_boxes(tmp_path):
    names = [f"person0110{i}+0+{15 * i}" for i in range(5)]
    for name in names:
        ramp(tmp_path / f"{name}.jpg".replace(".jpg", ".png"), (40, 30))
    box(tmp_path, names[0], 20, 15, 8, 10)
    box(tmp_path, names[1], 4, 15, 12, 10)
    box(tmp_path, names[2], 20, 15, 0, 10)
    text(tmp_path / f"{names[3]}.txt", "nothing")
    faces = open_faces(f"pointing04:{tmp_path}?margin=0")
    assert faces.table["image_id"].tolist() == names[:2]
    first, second = faces.image(0), faces.image(1)
    assert first.shape == (3, 10, 8)
    assert first[:2, 0, 0].tolist() == [16, 10]
    assert second.shape == (3, 10, 10)  # the box begins left of the picture
    assert second[0, 0, 0] == 0
    assert faces.skipped["reason"].tolist() == [
        f"its face box '{names[2]}.txt' has the size 0 x 10",
        f"its face box '{names[3]}.txt' is not 'Face' and four numbers",
        f"it has no face box '{names[4]}.txt'",
    ]
    wider = open_faces(f"pointing04:{tmp_path}?margin=50")
    assert wider.image(0).shape == (3, 20, 16)
    assert wider.provenance["margin_percent"] == 50
    assert open_faces(f"pointing04:{tmp_path}").image(0).shape == (3, 30, 40)


def test_pointing04_that_does_not_fit(tmp_path):
    picture(tmp_path / "me.jpg")
    with pytest.raises(DataError, match=r"named like Pointing'04's, person01146-60-90\.jpg; .* is 'me\.jpg'"):
        open_faces(f"pointing04:{tmp_path}")
    picture(tmp_path / "person01146+0+0.jpg")
    with pytest.raises(DataError, match=r"No face of .* has a box: it has no face box .*Leave out margin"):
        open_faces(f"pointing04:{tmp_path}?margin=10")
    box(tmp_path, "person01146+0+0", 5, 5, 4, 4)
    with pytest.raises(DataError, match=r"must lie in \[0, 200\] per cent; got 300"):
        open_faces(f"pointing04:{tmp_path}?margin=300")
