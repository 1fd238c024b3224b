import pandas as pd
import pytest
from tests.faces.layouts import picture

from fusiform.errors import DataError
from fusiform.faces import open_faces


def write(path, text, n=3):
    for i in range(n):
        picture(path / "img" / f"{i}.jpg", value=10 * i)
    (path / "aus.csv").write_text(text)
    return f"aus:{path / 'aus.csv'}"


def test_emotionet(tmp_path):
    rows = "URL,URL orig,AU 1,AU 12,AU 43\n"
    rows += "".join(
        f"http://x.org/a/{i}.jpg,http://x.org/{i}.jpg,{a},{b},999\n" for i, a, b in ((0, 1, 999), (1, 0, 1))
    )
    rows += "http://dead.org/9.jpg,http://dead.org/9.jpg,1,1,1\n"
    faces = open_faces(write(tmp_path, rows))
    assert [name for name in faces.schema if name.startswith("AU")] == ["AU_1", "AU_12", "AU_43"]
    assert all(faces.schema[name].kind == "binary" for name in ("AU_1", "AU_12", "AU_43"))
    assert faces.table["AU_1"].tolist() == [True, False]
    assert faces.table["AU_12"].isna().tolist() == [True, False]
    assert faces.table["AU_43"].isna().all()
    assert faces.skipped["image_id"].tolist() == ["http://dead.org/9.jpg"]
    assert faces.images()[:, 0, 0, 0].tolist() == [0, 10]
    assert faces.provenance["reader"] == "aus"
    assert faces.provenance["units"] == ["AU_1", "AU_12", "AU_43"]


@pytest.mark.parametrize("spelling", ["AU{}", "AU {}", "AU_{}", "AU0{}", "au{}", " AU-{}"])
def test_spellings(tmp_path, spelling):
    columns = ",".join(spelling.format(k) for k in (1, 2))
    faces = open_faces(write(tmp_path, f"file,{columns}\n0.jpg,1,0\n1.jpg,0,1\n"))
    assert list(faces.schema) == ["AU_1", "AU_2"]
    assert faces.table["AU_2"].tolist() == [False, True]


def test_intensities_as_of_disfa(tmp_path):
    spec = write(tmp_path, "file,subject,AU1,AU2\n0.jpg,SN001,0,0\n1.jpg,SN001,3,1\n2.jpg,SN002,9,0\n")
    faces = open_faces(spec)
    assert {name: a.kind for name, a in faces.schema.items()} == {
        "subject": "identity",
        "AU_1": "continuous",
        "AU_2": "continuous",
    }
    assert faces.table["AU_2"].tolist() == [0, 1, 0]
    assert faces.table["AU_1"].isna().tolist() == [False, False, True]
    with pytest.raises(
        DataError, match=r"Line 3 of .*presence 'AU1' must be 0 or 1; got '3'.*units=intensity"
    ):
        open_faces(spec + "?units=presence")
    only = write(tmp_path, "file,AU1\n0.jpg,0\n1.jpg,1\n")
    assert open_faces(only).schema["AU_1"].kind == "binary"
    assert open_faces(only + "?units=intensity").schema["AU_1"].kind == "continuous"


OPENFACE = "frame, face_id, timestamp, confidence, success, gaze_0_x, x_0, AU01_r, AU01_c, AU45_c\n"


def test_openface(tmp_path):
    for i in (1, 2):
        picture(tmp_path / "clip_aligned" / f"frame_det_00_{i:06d}.bmp", value=10 * i)
    rows = "1, 0, 0.0, 0.98, 1, 0.1, 5, 0.42, 1.00, 0.00\n2, 0, 0.03, 0.95, 1, 0.1, 5, 2.10, 0.00, 1.00\n"
    rows += "3, 0, 0.06, 0.01, 0, 0.0, 0, 0.00, 0.00, 0.00\n"
    (tmp_path / "clip.csv").write_text(OPENFACE + rows)
    faces = open_faces(f"aus:{tmp_path / 'clip.csv'}")
    assert faces.table.to_numpy().tolist() == [
        ["frame_det_00_000001.bmp", True, 0.42, False],
        ["frame_det_00_000002.bmp", False, 2.10, True],
    ]
    assert list(faces.schema) == ["AU_1", "AU_1_intensity", "AU_45"]
    assert {a.predicted_by for a in faces.schema.values()} == {"OpenFace"}
    assert faces.skipped.to_numpy().tolist() == [["frame_det_00_000003.bmp", "OpenFace found no face in it"]]
    assert faces.images()[:, 0, 0, 0].tolist() == [10, 20]
    (tmp_path / "clip.csv").write_text(OPENFACE + "3, 0, 0.06, 0.01, 0, 0.0, 0, 0.00, 0.00, 0.00\n")
    with pytest.raises(DataError, match="OpenFace found no face in any of 1 images"):
        open_faces(f"aus:{tmp_path / 'clip.csv'}")
    (tmp_path / "clip.csv").write_text(OPENFACE + "x, 0, 0.06, 0.01, 1, 0.0, 0, 0.00, 0.00, 0.00\n")
    with pytest.raises(DataError, match="'frame' and 'face_id' must be whole numbers"):
        open_faces(f"aus:{tmp_path / 'clip.csv'}")


def test_parquet_with_options(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    frame = pd.DataFrame(
        {"pic": ["a.png", "b.png"], "who": ["x", "y"], "note": ["p", "q"], "AU6": [1.0, None]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    faces = open_faces(f"aus:{tmp_path / 't.parquet'}?image_column=pic&identity=who&ignore=note")
    assert faces.identity == "who"
    assert faces.table["AU_6"].isna().tolist() == [False, True]
    assert "note" not in faces.schema


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "file,AU1\n0.jpg,1\n1.jpg,7\n",
            r"Line 3 of .*'AU1' must be 0 or 1, an intensity from 0 to 5, .*got '7'",
        ),
        ("file,AU1\n0.jpg,yes\n", r"Line 2 of .*'AU1' must be .*got 'yes'"),
        ("file,AU1,AU01\n0.jpg,1,1\n", "more than one column for AU_1, the second is 'AU1'"),
        ("file,AU1_c\n0.jpg,2\n", "presence 'AU1_c' must be 0 or 1; got '2'"),
        (
            "file,smile\n0.jpg,1\n",
            r"no columns of action units\. Looked for AU1.*; its columns are file, smile",
        ),
        ("AU1\n1\n", "No column of .* names image files"),
        ("file,AU1\nzzz.jpg,1\n", "None of the images is where"),
        ("file,AU1\n0.jpg,1\n0.jpg,0\n", "Image ids must be unique"),
    ],
)
def test_tables_that_cannot_be(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        open_faces(write(tmp_path, text))


def test_options_and_paths_that_cannot_be(tmp_path):
    spec = write(tmp_path, "file,AU1\n0.jpg,1\n")
    with pytest.raises(DataError, match="'units' of action units must be presence or intensity; got 'both'"):
        open_faces(spec + "?units=both")
    with pytest.raises(DataError, match="is a folder; action units are read from a table"):
        open_faces(f"aus:{tmp_path}")
