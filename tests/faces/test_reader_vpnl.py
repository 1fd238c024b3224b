import pytest
from tests.faces.layouts import picture, text

from fusiform.errors import DataError, SpecError
from fusiform.faces import open_faces


@pytest.mark.parametrize(
    ("stem", "yaw"),
    [
        ("yaw-30", -30),
        ("yaw+105", 105),
        ("F012_view_045", 45),
        ("a_angle=15deg_light2", 15),
        ("az90", 90),
        ("F012_+045", 45),
        ("F012_-105", -105),
        ("12 -15deg", -15),
        ("F012+60", 60),
        ("-45", -45),
        ("x_L45", -45),
        ("x_45R", 45),
        ("x_R_30", 30),
        ("x_90deg_l", -90),
        ("x_front", 0),
        ("frontal", 0),
    ],
)
def test_angles_in_names(tmp_path, stem, yaw):
    picture(tmp_path / "F012" / f"{stem}.png")
    faces = open_faces(f"vpnl:{tmp_path}")
    assert faces.table["yaw"].tolist() == [yaw]
    assert faces.table["identity"].tolist() == ["F012"]


@pytest.mark.parametrize(
    "stem", ["F012", "photo-3", "F012-45", "preview3", "x_3", "x_1234", "left", "v1.5_b", "x_v2", "pose1"]
)
def test_names_without_an_angle(tmp_path, stem):
    picture(tmp_path / "ann" / f"{stem}.png")
    picture(tmp_path / "ann" / "yaw0.png")
    faces = open_faces(f"vpnl:{tmp_path}")
    assert len(faces) == 1
    assert faces.skipped.to_numpy().tolist() == [
        [f"ann/{stem}.png", "its name carries no angle, as PERSON/..._yaw+045.jpg does"]
    ]


def test_numbers_without_sign_count_beside_signed_ones(tmp_path):
    for angle in ("-45", "0", "45", "270"):
        picture(tmp_path / "ann" / f"a_{angle}.png")
    faces = open_faces(f"vpnl:{tmp_path}")
    assert sorted(faces.table["yaw"]) == [-45, 0, 45]
    assert faces.skipped["reason"].tolist() == ["the angle 270 in its name is beyond 180 degrees"]


def test_the_side_that_positive_angles_look_to(tmp_path):
    for stem in ("yaw+30", "L45"):
        picture(tmp_path / "ann" / f"{stem}.png")
    right, left = open_faces(f"vpnl:{tmp_path}"), open_faces(f"vpnl:{tmp_path}?positive=left")
    assert right.table.set_index("image_id")["yaw"].to_dict() == {"ann/yaw+30.png": 30, "ann/L45.png": -45}
    assert left.table.set_index("image_id")["yaw"].to_dict() == {"ann/yaw+30.png": -30, "ann/L45.png": -45}
    assert "positive to the left" in left.provenance["signs"]
    with pytest.raises(SpecError, match="'positive' of 'vpnl' must be right or left; got 'up'"):
        open_faces(f"vpnl:{tmp_path}?positive=up")


def test_sex_from_folders_letters_and_the_table(tmp_path):
    for name in ("female/F001_yaw15", "men/x7_yaw15", "F002/yaw15", "m_3/yaw15", "fred/yaw15", "bo/yaw15"):
        picture(tmp_path / f"{name}.png")
    rows = open_faces(f"vpnl:{tmp_path}").table.set_index("identity")["Male"]
    assert rows[["F001", "x7", "F002", "m_3"]].tolist() == [False, True, False, True]
    assert rows[["fred", "bo"]].isna().all()
    text(tmp_path / "people.csv", "Subject,Gender", "fred,m", "F002,male", "bo,")
    rows = open_faces(f"vpnl:{tmp_path}").table.set_index("identity")["Male"]
    assert rows[["F001", "fred", "F002"]].tolist() == [False, True, True]
    assert rows[["bo"]].isna().all()


def test_people_that_cannot_be_read(tmp_path):
    picture(tmp_path / "ann" / "yaw15.png")
    text(tmp_path / "people.csv", "subject,gender", "bo,m", "ann,x")
    with pytest.raises(DataError, match=r"Line 3 of '.*people\.csv': a gender must be f or m; got 'x'"):
        open_faces(f"vpnl:{tmp_path}")
    text(tmp_path / "people.csv", "who,gender", "ann,f")
    with pytest.raises(
        DataError, match=r"must have a column identity .* and a column gender .*; got who, gender"
    ):
        open_faces(f"vpnl:{tmp_path}")


def test_no_sex_known_and_no_angles(tmp_path):
    picture(tmp_path / "ann" / "yaw15.png")
    assert list(open_faces(f"vpnl:{tmp_path}").schema) == ["identity", "yaw"]
    picture(tmp_path / "none" / "ann" / "1.png")
    with pytest.raises(DataError, match=r"carries the angle of a view.* is 'ann/1\.png'\. Found ann\."):
        open_faces(f"vpnl:{tmp_path / 'none'}")


def test_a_real_flat_folder_of_views(realdata):
    faces = open_faces(f"vpnl:{realdata}/images/fasseg_multipose/rgb?positive=left")
    table = open_faces(f"table:{realdata}/images/fasseg_multipose/labels.csv").table
    table.index = table["image_id"].str.removeprefix("rgb/")
    mine = faces.table.set_index("image_id")
    assert len(faces) == 390
    assert faces.table["identity"].nunique() == 15
    assert (mine["yaw"] == -table["yaw_degrees"].astype(float).reindex(mine.index)).all()
    assert (mine["identity"] == table["identity"].reindex(mine.index)).all()
