import pytest
from tests.faces.layouts_tables import scut

from fusiform.errors import DataError
from fusiform.faces import open_faces


@pytest.mark.parametrize("where", ["", "SCUT-FBP5500_v2"])
@pytest.mark.parametrize("images", ["Images", "."])
def test_ratings_names_and_the_split(tmp_path, where, images):
    scut(tmp_path / where, images)
    faces = open_faces(f"scut:{tmp_path}")
    assert faces.name == "scut_fbp5500"
    assert faces.table.to_numpy().tolist() == [
        ["AF1.jpg", 2.66, False, "asian", "train"],
        ["AM2.jpg", 3.5, True, "asian", "train"],
        ["CF3.jpg", 4.25, False, "caucasian", "train"],
        ["CM4.jpg", 1.0, True, "caucasian", "test"],
    ]
    assert faces.schema["beauty"].kind == "continuous"
    assert faces.images()[:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    assert faces.provenance["licence"] == "non-commercial research only"


def test_a_fold(tmp_path):
    faces = open_faces(f"scut:{scut(tmp_path)}?fold=2")
    assert faces.table["split"].tolist() == ["test", "train", "train", "train"]
    assert faces.provenance["fold"] == 2
    with pytest.raises(DataError, match=r"There is no .*train_3\.txt', which lists a part"):
        open_faces(f"scut:{tmp_path}?fold=3")
    with pytest.raises(DataError, match="'fold' of SCUT-FBP5500 must be 1 to 5; got 6"):
        open_faces(f"scut:{tmp_path}?fold=6")


def test_without_a_split_and_with_a_missing_image(tmp_path):
    scut(tmp_path)
    for file in (tmp_path / "train_test_files" / "split_of_60%training and 40%testing").iterdir():
        file.unlink()
    (tmp_path / "Images" / "CF3.jpg").unlink()
    faces = open_faces(f"scut:{tmp_path}")
    assert "split" not in faces.schema
    assert faces.table["image_id"].tolist() == ["AF1.jpg", "AM2.jpg", "CM4.jpg"]
    assert faces.skipped["image_id"].tolist() == ["CF3.jpg"]
    assert faces.images()[:, 0, 0, 0].tolist() == [0, 10, 30]


def test_names_of_the_first_release(tmp_path):
    scut(tmp_path)
    lists = tmp_path / "train_test_files"
    (lists / "All_labels.txt").write_text("ftw1.jpg 2\nmty2.jpg\t3\n")
    for old, new in (("AF1", "ftw1"), ("AM2", "mty2")):
        (tmp_path / "Images" / f"{old}.jpg").rename(tmp_path / "Images" / f"{new}.jpg")
    table = open_faces(f"scut:{tmp_path}").table
    assert table[["Male", "race"]].to_numpy().tolist() == [[False, "caucasian"], [True, "asian"]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "AF1.jpg 2.66\nAM2.jpg 5.5\n",
            r"Line 2 of .* rating from 1 to 5, as 'AF1\.jpg 2\.66'; got 'AM2\.jpg 5\.5'",
        ),
        ("AF1.jpg\n", r"Line 1 of .*got 'AF1\.jpg'"),
        ("AF1.jpg nan\n", r"Line 1 of .*got 'AF1\.jpg nan'"),
        ("AF1.jpg 2\n\nAF1.jpg 3\n", r"Line 3 of .* lists 'AF1\.jpg' a second time"),
        ("XF1.jpg 2\n", r"lists 'XF1\.jpg'; SCUT-FBP5500's files are named AF1\.jpg"),
        ("\n", "lists no images"),
        ("AF1.jpg 2\xff\n", "cannot be read"),
        ("AF9.jpg 2\n", "None of the images is where"),
    ],
)
def test_lists_that_cannot_be(tmp_path, text, says):
    scut(tmp_path)
    (tmp_path / "train_test_files" / "All_labels.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=says):
        open_faces(f"scut:{tmp_path}")


def test_an_image_in_both_parts(tmp_path):
    scut(tmp_path)
    file = tmp_path / "train_test_files" / "split_of_60%training and 40%testing" / "test.txt"
    file.write_text("CM4.jpg 1\nAF1.jpg 2.66\n")
    with pytest.raises(DataError, match=r"'AF1\.jpg' is in both parts of the split"):
        open_faces(f"scut:{tmp_path}")


def test_something_else(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"not laid out like SCUT-FBP5500: .*All_labels\.txt.*; found a\.txt"):
        open_faces(f"scut:{tmp_path}")
    with pytest.raises(DataError, match="SCUT-FBP5500 is a folder"):
        open_faces(f"scut:{tmp_path / 'a.txt'}")
