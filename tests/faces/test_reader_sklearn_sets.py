import pickle
import zlib

import joblib
import numpy as np
import pytest
from sklearn.datasets import fetch_olivetti_faces
from tests.faces.layouts import picture

from fusiform.errors import DataError
from fusiform.faces import open_faces


@pytest.mark.parametrize("inner", ["lfw_home/lfw_funneled", "lfw_home/lfw", "lfw_funneled"])
def test_lfw(tmp_path, inner):
    for who, n in (("Ann_Lee", 2), ("Bo", 1)):
        for i in range(n):
            picture(tmp_path / inner / who / f"{who}_{i + 1:04d}.jpg", (25, 25))
    faces = open_faces(f"sklearn_lfw:{tmp_path}")
    assert faces.table["identity"].tolist() == ["Ann_Lee", "Ann_Lee", "Bo"]
    assert faces.provenance["reader"] == "sklearn_lfw"
    assert faces.provenance["source"] == str(tmp_path)


def test_lfw_that_is_not_there(tmp_path):
    (tmp_path / "lfw_home").mkdir()
    with pytest.raises(
        DataError,
        match=r"looked for lfw_home/lfw_funneled .*found lfw_home\. Nothing is downloaded; .*fetch_lfw",
    ):
        open_faces(f"sklearn_lfw:{tmp_path}")


def dumped(path, array):
    path.mkdir(parents=True, exist_ok=True)
    joblib.dump(array, path / "olivetti_py3.pkz", compress=6)
    return path


def made_up_pixels():
    return np.random.default_rng(0).integers(0, 256, (400, 4096)).astype(np.uint8)


def test_olivetti_are_the_images_of_scikit_learn(tmp_path):
    dumped(tmp_path, made_up_pixels())
    faces = open_faces(f"sklearn_olivetti:{tmp_path}")
    theirs = fetch_olivetti_faces(data_home=tmp_path, download_if_missing=False)
    ours = faces.images().numpy()
    assert (ours[:, 0] == ours[:, 2]).all()
    np.testing.assert_allclose(ours[:, 0] / 255, theirs.images, atol=1e-6)
    assert faces.table["identity"].astype(int).tolist() == theirs.target.tolist()
    assert faces.size == (64, 64)


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: np.asfortranarray(pixels),
        lambda pixels: pixels.astype(np.float64),
        lambda pixels: (pixels / 255).astype(np.float32),
    ],
)
def test_olivetti_written_in_other_ways(tmp_path, change):
    plain = open_faces(f"sklearn_olivetti:{dumped(tmp_path / 'a', made_up_pixels())}")
    other = open_faces(f"sklearn_olivetti:{dumped(tmp_path / 'b', change(made_up_pixels()))}")
    assert (plain.images() == other.images()).all()


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("a file of the user was unpickled",))


@pytest.mark.parametrize(
    "content",
    [
        zlib.compress(pickle.dumps(Evil())),
        zlib.compress(b"u1" * 5_000),
        zlib.compress(bytes(100_000_000)),
        b"no zlib",
        b"",
    ],
)
def test_a_file_of_something_else_is_refused_and_never_unpickled(tmp_path, content):
    (tmp_path / "olivetti_py3.pkz").write_bytes(content)
    with pytest.raises(
        DataError, match=r"olivetti_py3\.pkz' (must hold one array|cannot be read|unpacks to more)"
    ):
        open_faces(f"sklearn_olivetti:{tmp_path}")


def test_a_file_that_looks_right_is_never_unpickled_either(tmp_path):
    header = pickle.dumps([Evil(), "u1", 400, 4096, "order", "C"])
    (tmp_path / "olivetti_py3.pkz").write_bytes(zlib.compress(header + bytes(400 * 4096) + b"."))
    assert open_faces(f"sklearn_olivetti:{tmp_path}").images().sum() == 0


def test_olivetti_of_other_shapes(tmp_path):
    dumped(tmp_path, np.zeros((400, 1024), dtype=np.uint8))
    with pytest.raises(DataError, match=r"must hold one array of 400 x 4096 values.*Fetch it anew"):
        open_faces(f"sklearn_olivetti:{tmp_path}")
    dumped(tmp_path, np.full((400, 4096), 999.0))
    with pytest.raises(DataError, match="must hold values from 0 to 255, or from 0 to 1"):
        open_faces(f"sklearn_olivetti:{tmp_path}")
    (tmp_path / "olivetti_py3.pkz").unlink()
    with pytest.raises(
        DataError, match=r"looked for olivetti_py3\.pkz; found nothing\. Nothing is downloaded"
    ):
        open_faces(f"sklearn_olivetti:{tmp_path}")
