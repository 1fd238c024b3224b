import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from fusiform.errors import DataError, FusiformError, ImageError
from fusiform.faces import TEMPLATES, Attribute, FaceSet, open_faces

RNG = np.random.default_rng(0)


def made_up(n: int = 6, side: int = 40) -> FaceSet:
    table = pd.DataFrame(
        {
            "Male": [1, -1] * (n // 2),
            "age": [float(20 + i) for i in range(n - 1)] + [None],
            "race": ["a", "b", "a"] * (n // 3),
            "identity": [f"p{i // 2}" for i in range(n)],
        }
    )
    points = TEMPLATES["arcface_112"].array()[None] * side / 112 + RNG.normal(0, 0.5, (n, 5, 2))
    images = RNG.integers(0, 256, (n, 3, side, side), dtype=np.uint8)
    masks = {"nose": RNG.random((n, side, side)) > 0.5}
    return FaceSet.from_arrays(
        images, table, points=points, masks=masks, name="made up", provenance={"licence": "none"}
    )


@pytest.fixture
def folder(tmp_path):
    """Ten readable files, of which one more is cut short and one is text."""
    for i in range(10):
        Image.fromarray(RNG.integers(0, 256, (30, 20, 3), dtype=np.uint8)).save(tmp_path / f"{i}.jpg")
    (tmp_path / "3.jpg").write_bytes((tmp_path / "3.jpg").read_bytes()[:-200])
    (tmp_path / "7.jpg").write_text("not an image")
    return tmp_path


@pytest.mark.parametrize("change", [None, "aligned", "resized", "both"])
def test_a_batch_of_one_equals_its_row_in_a_batch_of_many(change):
    faces = made_up()
    if change in ("aligned", "both"):
        faces = faces.aligned("arcface_112")
    if change in ("resized", "both"):
        faces = faces.resized((30, 50))
    everything = faces.images()
    assert everything.dtype == torch.uint8
    assert everything.shape[2:] == faces.size
    for i in range(len(faces)):
        assert torch.equal(faces.images([i])[0], everything[i])
        assert torch.equal(faces.image(i), everything[i])
        assert torch.equal(faces.mask("nose", [i])[0], faces.mask("nose")[i])
    assert torch.equal(faces.images([4, 1]), everything[[4, 1]])
    assert torch.equal(faces.subset([4, 1]).images(), everything[[4, 1]])
    assert np.array_equal(faces.subset([4, 1]).keypoints, faces.keypoints[[4, 1]])


@pytest.mark.parametrize(
    ("indices", "wanted"),
    [
        ([5, 0], [5, 0]),
        (np.array([True, False, False, True, False, False]), [0, 3]),
        (torch.tensor([1, 2]), [1, 2]),
        (slice(1, 6, 2), [1, 3, 5]),
        ([-1], [5]),
        ([], []),
        (None, list(range(6))),
    ],
)
def test_whatever_indexes(indices, wanted):
    faces = made_up()
    assert torch.equal(faces.images(indices), faces.images()[wanted])


@pytest.mark.parametrize(
    ("indices", "says"),
    [
        ([6], "Index 6 is outside a set of 6 images"),
        ([-7], "Index -7 is outside"),
        ([0.5], "must be whole numbers"),
        ([True, False], "must have 6 entries"),
        ([[0, 1]], "in one dimension"),
    ],
)
def test_indices_that_do_not_exist(indices, says):
    with pytest.raises(DataError, match=says):
        made_up().images(indices)
    with pytest.raises(DataError, match=says):
        made_up().subset(indices)


def test_nothing_given_out_changes_the_set():
    faces = made_up()
    before = faces.digest()
    table, skipped = faces.table, faces.skipped
    table.loc[0, "Male"] = pd.NA
    skipped.loc[0] = ["a", "b"]
    faces.keypoints[:] = 0
    faces.image(0)[:] = 0
    faces.images()[:] = 0
    faces.provenance["licence"] = "mine"
    faces.resized(8).subset([1]).aligned()
    faces.with_attribute("x", range(6), Attribute("continuous"))
    assert faces.digest() == before
    assert faces.provenance == {"licence": "none", "geometry": []}
    assert not len(faces.skipped)
    assert faces.size == (40, 40)


def test_mixed_sizes_say_what_to_do():
    faces = FaceSet.from_arrays([np.zeros((3, 8, s), np.uint8) for s in (5, 6, 5)])
    assert faces.size is None
    with pytest.raises(
        DataError,
        match=r"2 different sizes .*8 x 5, 8 x 6.*\.aligned\(template\).*\.resized\(size\).*\.image",
    ):
        faces.images([0, 2])
    assert faces.image(1).shape == (3, 8, 6)
    assert faces.resized(4).images().shape == (3, 3, 4, 4)
    assert faces.subset([0, 2]).images().shape == (2, 3, 8, 5)


@pytest.mark.parametrize("size", [0, (4, -1), (4, 2.5), "big", (1, 2, 3), None])
def test_sizes_that_are_none(size):
    with pytest.raises(DataError, match="size must be a positive whole number, or height and width; got"):
        made_up().resized(size)


def test_masks_that_are_not_there():
    with pytest.raises(DataError, match="no mask of 'nosse'; did you mean 'nose'"):
        made_up().mask("nosse")
    with pytest.raises(DataError, match="this set has no masks"):
        FaceSet.from_arrays(np.zeros((1, 3, 8, 8), np.uint8)).mask("nose")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (pd.DataFrame({"image_id": ["a", "a", "b"]}), "1 occur more than once, among them 'a'"),
        (pd.DataFrame({"image_id": ["a", None, "b"]}), "1 images have no 'image_id'"),
        (pd.DataFrame({"x": [1.5, 2]}), "2 rows for 3 images"),
    ],
)
def test_tables_that_do_not_fit(table, says):
    with pytest.raises(DataError, match=says):
        FaceSet.from_arrays(np.zeros((3, 3, 8, 8), np.uint8), table)


def test_arrays_that_do_not_fit():
    with pytest.raises(DataError, match=r"uint8 with shape \(3, height, width\); got float64"):
        FaceSet.from_arrays(np.zeros((1, 3, 8, 8)))
    with pytest.raises(DataError, match=r"Points must have shape \(1, 68 or 5, 2\); got \(1, 6, 2\)"):
        FaceSet.from_arrays(np.zeros((1, 3, 8, 8), np.uint8), points=np.zeros((1, 6, 2)))
    with pytest.raises(DataError, match="masks of 'nose' must be as many and as large"):
        FaceSet.from_arrays(np.zeros((1, 3, 8, 8), np.uint8), masks={"nose": np.zeros((1, 8, 9), bool)})
    with pytest.raises(DataError, match=r"in one only: \['x'\]"):
        FaceSet.from_arrays(np.zeros((1, 3, 8, 8), np.uint8), schema={"x": Attribute("binary")})


def test_unreadable_images_are_left_out_by_name(folder):
    faces = open_faces(f"folder:{folder}")
    seen: list[tuple[int, int]] = []
    good = faces.readable(progress=lambda done, total: seen.append((done, total)))
    assert len(good) == 8
    assert good.skipped["image_id"].tolist() == ["3.jpg", "7.jpg"]
    assert "truncated" in good.skipped["reason"][0]
    assert good.skipped["reason"][1] == "not an image in a known format"
    assert seen[-1] == (10, 10)
    assert good.images().shape == (8, 3, 30, 20)
    assert good.readable().skipped.equals(good.skipped)
    assert good.readable(strict=True) is good


def test_strict_raises_at_the_first_in_order(folder):
    faces = open_faces(f"folder:{folder}")
    with pytest.raises(ImageError, match=r"Image '3\.jpg' cannot be read: broken or truncated") as caught:
        faces.readable(strict=True)
    assert caught.value.image_id == "3.jpg"
    with pytest.raises(ImageError, match=r"Image '7\.jpg' cannot be read"):
        faces.images([7, 8])
    with pytest.raises(DataError, match=r"None of the 2 images .* can be read; the first, '3\.jpg'"):
        faces.subset([3, 7]).readable()


def test_a_file_that_vanishes_is_told(folder):
    faces = open_faces(f"folder:{folder}")
    (folder / "5.jpg").unlink()
    assert "no such file" in faces.readable().skipped.set_index("image_id")["reason"]["5.jpg"]


def test_digest_depends_on_what_the_set_is_and_not_on_where(folder, tmp_path_factory):
    faces = open_faces(f"folder:{folder}")
    other = tmp_path_factory.mktemp("elsewhere") / "copy"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    copy = open_faces(f"folder:{other}")
    assert copy.digest() == faces.digest()
    different = {
        faces.digest(),
        faces.subset(slice(1, None)).digest(),
        faces.resized(8).digest(),
        faces.resized(9).digest(),
        faces.with_attribute("x", range(10), Attribute("continuous")).digest(),
        faces.with_attribute("x", range(10), Attribute("continuous", unit="deg")).digest(),
    }
    assert len(different) == 6
    (other / "0.jpg").write_bytes(b"longer or shorter")
    assert open_faces(f"folder:{other}").digest() != faces.digest()
    assert made_up().aligned().digest() != made_up().digest()


def test_an_attribute_predicted_by_a_network_says_so():
    faces = made_up().with_attribute(
        "yaw", [1, None, 3, 4, 5, 6], Attribute("continuous", "deg", predicted_by="pose")
    )
    assert faces.table["yaw"].isna().tolist() == [False, True, False, False, False, False]
    card = {a["name"]: a for a in faces.card()["attributes"]}
    assert card["yaw"]["predicted_by"] == "pose"
    with pytest.raises(DataError, match="has 2 values for 6 images"):
        faces.with_attribute("x", [1, 2], Attribute("binary"))
    with pytest.raises(DataError, match="names the images"):
        faces.with_attribute("image_id", range(6), Attribute("categorical"))
    with pytest.raises(DataError, match="binary attribute 'x' must hold"):
        faces.with_attribute("x", range(6), Attribute("binary"))


def test_the_card_is_plain_json_and_counts_right():
    faces = made_up()
    card = json.loads(json.dumps(faces.card()))
    assert (card["n"], card["n_identities"], card["size"], card["n_landmarks"]) == (6, 3, [40, 40], 5)
    assert card["images_per_identity"] == {
        "minimum": 2,
        "median": 2.0,
        "maximum": 2,
        "n_identities": 3,
        "n_with_one_image": 0,
    }
    attributes = {a["name"]: a for a in card["attributes"]}
    assert attributes["Male"]["share"] == 0.5
    assert attributes["age"]["n_missing"] == 1
    assert (attributes["age"]["minimum"], attributes["age"]["maximum"]) == (20, 24)
    assert attributes["race"]["classes"] == {"a": 4, "b": 2}
    assert "training set" in card["note"]
    assert card["provenance"]["licence"] == "none"


def test_a_set_can_travel_to_another_process(folder):
    faces = open_faces(f"folder:{folder}").resized(16)
    again = pickle.loads(pickle.dumps(faces))
    assert torch.equal(again.images([0]), faces.images([0]))
    assert again.digest() == faces.digest()


def test_every_error_is_one_of_ours():
    assert issubclass(ImageError, DataError)
    assert issubclass(DataError, FusiformError)


def test_no_template_is_refused_in_words():
    faces = FaceSet.from_arrays(np.zeros((1, 3, 8, 8), dtype=np.uint8))
    with pytest.raises(DataError, match=r"a template or its name .* got None"):
        faces.aligned(None)
