"""Real collections, where they are at hand (see the fixture `realdata`)."""

import numpy as np
import pytest

from fusiform.faces import TEMPLATES, open_faces, split_identities

CELEBA_NAMES = {"5_o_Clock_Shadow", "Bald", "Eyeglasses", "Male", "Smiling", "Young"}


@pytest.fixture(scope="module")
def celeba(realdata):
    return open_faces(f"table:{realdata}/images/restricted/celeba_half/labels.csv")


def test_celeba_half_opens_without_options(celeba):
    kinds = [a.kind for a in celeba.schema.values()]
    assert (len(celeba), kinds.count("binary"), kinds.count("identity"), len(kinds)) == (10_000, 40, 1, 41)
    assert set(celeba.schema) > CELEBA_NAMES
    assert celeba.name == "celeba_half"
    assert celeba.size == (109, 89)
    assert int(celeba.table["Bald"].sum()) == 246
    assert celeba.table["identity"].nunique() == 5429
    assert celeba.n_landmarks == 5
    assert set(celeba.provenance["ignored"]) == {"det_score", "box_x1", "box_y1", "box_x2", "box_y2"}


def test_celeba_splits_by_identity(celeba):
    parts = split_identities(celeba.table["identity"])
    people = [set(celeba.table["identity"].iloc[part]) for part in parts]
    assert len(set.union(*people)) == sum(map(len, people))
    assert [len(part) / 10_000 for part in parts] == pytest.approx([0.6, 0.2, 0.2], abs=0.005)


def test_aligned_faces_have_their_eyes_where_the_template_says(celeba):
    faces = celeba.subset(np.arange(0, 10_000, 100)).aligned("arcface_112")
    grey = faces.images().float().mean(dim=(0, 1)).numpy()
    points = TEMPLATES["arcface_112"].array().round().astype(int)
    patch = {
        name: grey[y - 3 : y + 4, x - 3 : x + 4].mean()
        for name, (x, y) in zip(["l", "r", "n", "ml", "mr"], points, strict=True)
    }
    cheek = grey[71:76, 35:40].mean()
    assert patch["l"] < cheek - 25
    assert patch["r"] < cheek - 25
    assert patch["n"] > patch["l"]
    # The mean face is nearly symmetric about the template's axis.
    assert abs(patch["l"] - patch["r"]) < 10
    away = np.abs(faces.keypoints.mean(axis=0) - TEMPLATES["arcface_112"].array())
    assert away[:2].max() < 1.5
    assert away.max() < 4


def test_celeba_keypoints_give_the_celeba_template(celeba):
    full = celeba.resized((218, 178)).keypoints.mean(axis=0)
    square = (full - [0, 20] + 0.5) * 224 / 178 - 0.5
    assert np.abs(square - TEMPLATES["celeba_224"].array()).max() < 2


def test_a_batch_of_real_images_equals_single_ones(celeba):
    faces = celeba.aligned("arcface_112x96")
    batch = faces.images([5, 99, 1234, 9999, 7])
    for i, index in enumerate([5, 99, 1234, 9999, 7]):
        assert (faces.image(index) == batch[i]).all()


def test_utkface_table_and_reader_agree(realdata):
    folder = realdata / "images" / "restricted" / "utkface4000"
    table, read = open_faces(f"table:{folder}/labels.csv"), open_faces(f"utkface:{folder}")
    assert (len(table), len(read)) == (4000, 4000)
    assert table.schema["age"].kind == read.schema["age"].kind == "continuous"
    assert table.schema["age"].unit == read.schema["age"].unit == "years"
    assert table.schema["race"].kind == table.schema["sex"].kind == "categorical"
    one, two = (
        table.table.set_index("image_id"),
        read.table.set_index("image_id").loc[table.table["image_id"]],
    )
    assert (one["age"] == two["age"]).all()
    assert ((one["sex"] == "male") == two["Male"]).all()
    assert (one["race"].str.lower().str[:5] == two["race"].str.lower().str[:5]).all()
    order = read.table["image_id"].searchsorted(table.table["image_id"].iloc[:1])
    assert np.isfinite(read.subset(order).keypoints).all()
    assert read.aligned("wide_64").images([0]).shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("name", "n", "people", "each"), [("orl", 400, 40, 10), ("lfw10", 100, 10, 10), ("johns", 55, 5, 11)]
)
def test_small_identity_sets(realdata, name, n, people, each):
    faces = open_faces(f"table:{realdata}/images/{name}/labels.csv").readable(strict=True)
    card = faces.card()
    assert (card["n"], card["n_identities"]) == (n, people)
    assert card["images_per_identity"]["minimum"] == card["images_per_identity"]["maximum"] == each
    assert faces.aligned().images().shape == (n, 3, 112, 112)
    assert "training set" in card["note"]


def test_fasseg_poses_are_continuous_and_masks_are_no_attribute(realdata):
    faces = open_faces(f"table:{realdata}/images/fasseg_multipose/labels.csv")
    assert faces.schema["yaw_degrees"].kind == "continuous"
    assert faces.schema["yaw_degrees"].unit == "deg"
    assert faces.schema["series"].kind == "categorical"
    assert "mask" in faces.provenance["ignored"]
    assert faces.size is None
    assert faces.aligned().images([0, 200]).shape == (2, 3, 112, 112)


def test_labels_known_for_some_images_only(realdata):
    faces = open_faces(f"table:{realdata}/images/restricted/celeba_full/labels.csv")
    assert int(faces.table["Male"].isna().sum()) == 65
    assert faces.schema["Male"].kind == "binary"
