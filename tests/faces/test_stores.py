import os
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from fusiform.errors import DataError
from fusiform.faces import _images as images
from fusiform.faces import open_faces
from fusiform.faces._images import UnreadableImageError
from fusiform.faces._locate import locate
from fusiform.faces._stores import FolderStore, ZipStore, natural_key


def png(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)
    return path


@pytest.fixture
def zipped(tmp_path):
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in (2, 10, 1):
            archive.write(png(tmp_path / "raw" / f"{i}.png", i), f"inner/a/{i}.png")
        archive.writestr("__MACOSX/inner/._1.png", b"x")
        archive.writestr("readme.txt", b"x")
    return path


def test_names_are_in_natural_order_without_hidden_files(zipped, tmp_path):
    assert ZipStore(zipped).names() == ["inner/a/1.png", "inner/a/2.png", "inner/a/10.png"]
    png(tmp_path / "raw" / ".hidden.png")
    assert FolderStore(tmp_path / "raw").names() == ["1.png", "2.png", "10.png"]
    assert sorted(["s10/1", "s2/1", "S1/1"], key=natural_key) == ["S1/1", "s2/1", "s10/1"]


def test_a_zip_reads_like_its_folder(zipped, tmp_path):
    in_zip, in_folder = open_faces(f"folder:{zipped}"), open_faces(f"folder:{tmp_path / 'raw'}")
    assert (in_zip.images() == in_folder.images()).all()
    assert in_zip.images()[:, 0, 0, 0].tolist() == [1, 2, 10]


def test_a_zip_with_paths_outside_is_refused(tmp_path):
    for name in ("../evil.png", "/etc/evil.png", "a/../../evil.png", "..\\evil.png"):
        path = tmp_path / "bad.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"x")
        with pytest.raises(DataError, match="a path that leads outside"):
            ZipStore(path)


def test_a_zip_cut_short_is_told(zipped):
    zipped.write_bytes(zipped.read_bytes()[:200])
    with pytest.raises(DataError, match=r"cannot be read.*cut short"):
        open_faces(f"folder:{zipped}")


def test_a_broken_member_is_one_bad_image(zipped):
    data = bytearray(zipped.read_bytes())
    where = data.find(b"inner/a/2.png") + len("inner/a/2.png") + 20
    data[where] ^= 0xFF
    zipped.write_bytes(bytes(data))
    faces = open_faces(f"folder:{zipped}").readable()
    assert faces.skipped["image_id"].tolist() == ["inner/a/2.png"]
    assert "broken in the zip" in faces.skipped["reason"][0]


def test_members_and_files_too_large_to_unpack(zipped, tmp_path, monkeypatch):
    monkeypatch.setattr("fusiform.faces._stores.MAX_BYTES", 10)
    with pytest.raises(UnreadableImageError, match=r"unpacks to .* bytes, more than 10"):
        ZipStore(zipped).read("inner/a/1.png")
    with pytest.raises(UnreadableImageError, match="bytes, more than 10"):
        FolderStore(tmp_path / "raw").read("1.png")
    assert images.MAX_BYTES > 10_000_000


def test_a_table_cannot_reach_out_of_its_folder(tmp_path):
    png(tmp_path / "secret.png")
    store = FolderStore(tmp_path / "in")
    for name in ("../secret.png", str(tmp_path / "secret.png"), "a/../../secret.png"):
        assert not store.has(name)
        with pytest.raises(UnreadableImageError, match=r"leads out of .*give images=FOLDER"):
            store.read(name)
    assert FolderStore(tmp_path).has(str(tmp_path / "secret.png"))


def test_links_in_a_circle_end(tmp_path):
    png(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert FolderStore(tmp_path).names() == ["a/1.png"]


@pytest.mark.parametrize(
    ("there", "listed"),
    [
        ("x.png", "x.png"),
        ("x.png", "./x.png"),
        ("images/x.png", "x.png"),
        ("images/deep/x.png", "x.png"),
        ("images/x.png", "images/x.png"),
        ("images/x.png", "images\\x.png"),
        ("x.png", "x"),
        ("images/x.png", "/somebody/elses/disk/x.png"),
        ("../beside/x.png", "x.png"),
    ],
)
def test_images_are_found_near_their_table(tmp_path, there, listed):
    folder = tmp_path / "tables"
    folder.mkdir()
    png(folder / there, 9)
    store, names = locate([listed], folder)
    assert images.decode(store.read(names[0]))[0, 0, 0] == 9


def test_images_are_found_in_a_zip_under_any_folder(zipped, tmp_path):
    for listed in ("10.png", "a/10.png", "inner/a/10.png", "10"):
        store, names = locate([listed], tmp_path, zipped)
        assert images.decode(store.read(names[0]))[0, 0, 0] == 10


def test_the_place_with_most_of_them_wins(tmp_path):
    for i in range(4):
        png(tmp_path / "all" / f"{i}.png", 1)
    png(tmp_path / "0.png", 2)
    store, names = locate([f"{i}.png" for i in range(4)], tmp_path)
    assert images.decode(store.read(names[0]))[0, 0, 0] == 1


def test_folders_beside_are_only_looked_through_from_a_folder_of_lists(tmp_path):
    png(tmp_path / "images" / "0.png")
    for name in ("labels", "another_set"):
        (tmp_path / name).mkdir()
    assert locate(["0.png"], tmp_path / "labels")[0].root == tmp_path / "images"
    with pytest.raises(DataError, match=r"None of the images .*another_set\. Give images=FOLDER_OR_ZIP"):
        locate(["0.png"], tmp_path / "another_set")


def test_suffixes_in_another_case_are_found_and_other_formats_only_when_asked(tmp_path):
    png(tmp_path / "0.PNG")
    assert locate(["0.png"], tmp_path)[1] == ["0.PNG"]
    assert locate(["0"], tmp_path)[1] == ["0.PNG"]
    with pytest.raises(DataError, match="None of the images"):
        locate(["0.jpg"], tmp_path)
    assert locate(["0.jpg"], tmp_path, any_suffix=True)[1] == ["0.PNG"]


def test_a_zip_in_a_folder_near_the_table(zipped, tmp_path):
    (tmp_path / "images").mkdir()
    zipped.rename(tmp_path / "images" / "faces.zip")
    shutil.rmtree(tmp_path / "raw")
    for given in (None, tmp_path / "images"):
        store, names = locate(["1.png", "10.png"], tmp_path, given)
        assert [store.has(name) for name in names] == [True, True]


def test_images_nowhere_say_where_it_was_looked(tmp_path):
    png(tmp_path / "images" / "x.png")
    with pytest.raises(
        DataError, match=r"table lists 1, the first as 'y\.png'; looked in folder .*images.*Give images="
    ):
        locate(["y.png"], tmp_path)


def test_a_forked_process_opens_its_own_zip(zipped):
    store = ZipStore(zipped)
    wanted = store.read("inner/a/1.png")
    first = store._zip()
    store._open_file = (os.getpid() + 1, first)
    assert store.read("inner/a/1.png") == wanted
    assert store._zip() is not first
    first.close()
