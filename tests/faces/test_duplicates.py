import numpy as np
import pandas as pd
import pytest
from tests.faces.layouts import picture, zip_of

from fusiform.faces import FaceSet, open_faces
from fusiform.faces._duplicates import duplicates
from fusiform.faces._stores import FolderStore


@pytest.fixture
def folder(tmp_path):
    for name, value in (
        ("train/a/1", 1),
        ("train/a/2", 2),
        ("test/b/1", 1),
        ("test/b/2", 3),
        ("test/b/3", 2),
    ):
        picture(tmp_path / "set" / f"{name}.png", value=value)
    return tmp_path / "set"


@pytest.mark.parametrize("zipped", [False, True])
def test_identical_files_across_people_and_splits(folder, tmp_path, zipped):
    place = zip_of(folder, tmp_path / "set.zip") if zipped else folder
    found = duplicates(open_faces(f"folder:{place}"))
    assert found.to_numpy().tolist() == [
        [0, "test/b/1.png", "identity, split"],
        [0, "train/a/1.png", "identity, split"],
        [1, "test/b/3.png", "identity, split"],
        [1, "train/a/2.png", "identity, split"],
    ]
    assert list(found.columns) == ["group", "image_id", "differs"]


def test_a_set_without_any_has_the_same_columns(folder):
    faces = open_faces(f"folder:{folder}").subset([0, 1])
    found = duplicates(faces)
    assert len(found) == 0
    assert list(found.columns) == ["group", "image_id", "differs"]
    assert found.dtypes.astype(str).tolist() == ["int64", "string", "string"]


def test_only_files_of_equal_size_are_read(tmp_path, monkeypatch):
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(b"x" * (10 + i))
    (tmp_path / "5.png").write_bytes(b"y" * 10)
    read = []
    monkeypatch.setattr(
        FolderStore, "read", lambda self, name: read.append(name) or (self.root / name).read_bytes()
    )
    seen = []
    assert (
        len(duplicates(open_faces(f"folder:{tmp_path}"), lambda done, all_: seen.append((done, all_)))) == 0
    )
    assert sorted(read) == ["0.png", "5.png"]
    assert seen == [(2, 2)]


def test_unreadable_files_are_no_twins(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(b"")
    faces = open_faces(f"folder:{tmp_path}")
    assert len(duplicates(faces)) == 2
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").unlink()
    assert len(duplicates(faces)) == 0


def test_arrays_are_compared_by_pixels_and_shapes():
    images = [np.full((3, *size), 7, dtype=np.uint8) for size in ((8, 8), (4, 16), (8, 8))]
    table = pd.DataFrame({"age": [31.0, 32.0, np.nan], "Male": [True, None, True]})
    faces = FaceSet.from_arrays(images, table)
    assert duplicates(faces).to_numpy().tolist() == [[0, "0", ""], [0, "2", ""]]
    assert duplicates(faces.subset([2, 1, 0]).resized(4))["image_id"].tolist() == ["2", "0"]
    assert len(duplicates(open_faces("synthetic?n=4&size=32"))) == 0


def test_real_sets_hold_some(realdata):
    faces = open_faces(f"utkface:{realdata / 'images' / 'restricted' / 'utkface4000'}")
    found = duplicates(faces)
    twins = dict(list(found.groupby("group")["image_id"])[0:1])[0].tolist()
    indices = faces.table.index[faces.table["image_id"].isin(twins)].to_numpy()
    first, second = faces.images(indices)
    assert (first == second).all()
    assert "age" in set(found["differs"])
