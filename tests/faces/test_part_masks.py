import numpy as np
import pandas as pd
import pytest
import torch

from fusiform.errors import DataError, ImageError, SpecError
from fusiform.faces import (
    FASSEG_CLASSES,
    PARTS8,
    FaceSet,
    open_faces,
    part_masks,
    part_sources,
    with_masks,
    with_points,
)


@pytest.fixture(scope="module")
def synthetic():
    return open_faces("synthetic?n=5&seed=3&size=64&fixed=glasses:none")


@pytest.fixture
def blank():
    return FaceSet.from_arrays(np.zeros((3, 3, 20, 20), dtype=np.uint8), name="blank")


def _square(rows, columns, n=3):
    mask = np.zeros((n, 20, 20), dtype=bool)
    mask[:, rows, columns] = True
    return mask


def test_exact_masks_are_those_of_the_set(synthetic):
    masks = part_masks(synthetic, [3, 1], 64)
    assert masks.shape == (2, 8, 64, 64)
    assert masks.dtype == torch.bool
    for p, name in enumerate(PARTS8):
        assert (masks[:, p] == synthetic.mask(name, [3, 1])).all(), name


def test_masks_go_to_the_inputs_size_as_the_images_do(synthetic):
    masks = part_masks(synthetic, None, (40, 32), ("nose",))
    assert masks.shape == (5, 1, 40, 32)
    assert (masks[:, 0] == synthetic.resized((40, 32)).mask("nose")).all()


def test_repeated_rows_and_both_sides(synthetic):
    masks = part_masks(synthetic, [2, 2, 0], 64, ("eyes", "left_eye", "right_eye"))
    assert (masks[0] == masks[1]).all()
    assert (masks[:, 0] == masks[:, 1] | masks[:, 2]).all()
    assert masks[:, 1].any(dim=(1, 2)).all()


def test_ellipses_lie_on_the_exact_parts(synthetic):
    exact, drawn = (part_masks(synthetic, None, 64, masks=how) for how in ("exact", "ellipses"))
    inside = (exact & drawn).sum(dim=(2, 3)) / drawn.sum(dim=(2, 3))
    chance = exact.float().mean(dim=(2, 3))
    assert (inside.mean(dim=0) > 5 * chance.mean(dim=0)).all()
    assert drawn.any(dim=(2, 3)).all()


def test_ellipses_one_by_one_equal_the_batch(synthetic):
    batch = part_masks(synthetic, None, 48, masks="ellipses")
    for i in range(5):
        assert (part_masks(synthetic, [i], 48, masks="ellipses")[0] == batch[i]).all()


def test_a_set_with_masks_of_some_parts_draws_the_others(synthetic):
    points = with_points(
        FaceSet.from_arrays(
            np.zeros((5, 3, 64, 64), dtype=np.uint8), masks={"nose": np.ones((5, 64, 64), bool)}
        ),
        synthetic.landmarks,
    )
    sources = part_sources(points)
    assert sources.how["nose"] == "nose"
    assert sources.how["mouth"] == "ellipses"
    assert sources.names == PARTS8
    assert part_masks(points, [0], 64, ("nose",)).all()


def test_fasseg_cannot_show_one_eye_or_a_brow(blank, tmp_path):
    from PIL import Image

    labels = np.zeros((20, 20), np.uint8)
    labels[4:6, 4:8] = labels[4:6, 12:16] = 3
    labels[2, 3:17] = 2
    labels[8:12, 9:12] = 4
    Image.fromarray(labels).save(tmp_path / "a.png")
    faces = with_masks(blank, [tmp_path / "a.png", None, None], FASSEG_CLASSES)
    sources = part_sources(faces, (*PARTS8, "eyes"), masks="exact")
    assert sources.how == {"nose": "nose", "mouth": "mouth", "eyes": "eyes"}
    assert sources.left_out["left_eye"] == "the set has no mask 'left_eye'"
    assert set(sources.left_out) == set(PARTS8) - {"nose", "mouth"}
    eyes = part_masks(faces, [0], 20, ("eyes",), masks="exact")[0, 0]
    assert int(eyes.sum()) == 16
    with pytest.raises(DataError, match=r"'blank' cannot show these parts: 'left_eye': the set has no mask"):
        part_masks(faces, [0], 20, ("nose", "left_eye"), masks="exact")
    with pytest.raises(ImageError, match="Image '1' cannot be read: its mask: none was given"):
        part_masks(faces, None, 20, ("nose",))


def test_an_image_without_its_mask_is_drawn_from_its_landmarks(blank, synthetic, tmp_path):
    from PIL import Image

    Image.fromarray(np.full((20, 20), 4, np.uint8)).save(tmp_path / "a.png")
    points = np.full((3, 68, 2), np.nan)
    points[1] = synthetic.resized(20).landmarks[1]
    faces = with_points(with_masks(blank, [tmp_path / "a.png", None, None], FASSEG_CLASSES), points)
    masks = part_masks(faces, [0, 1], 20, ("nose",))
    assert masks[0].all()
    assert 0 < int(masks[1].sum()) < 100
    with pytest.raises(
        DataError, match=r"1 images of 'blank' have neither a mask of the part nor 68 landmarks.*'2'"
    ):
        part_masks(faces, None, 20, ("nose",))
    with pytest.raises(ImageError, match="Image '1'"):
        part_masks(faces, None, 20, ("nose",), masks="exact")


def test_a_part_outside_the_image_is_empty():
    points = np.random.default_rng(0).uniform(-90, -60, (1, 68, 2))
    faces = FaceSet.from_arrays(np.zeros((1, 3, 20, 20), dtype=np.uint8), points=points)
    assert not part_masks(faces, None, 20).any()


def test_classes_map_names_to_a_sets_own(blank):
    masks = {"pupils": _square(slice(3, 5), slice(2, 4)), "lids": _square(slice(5, 6), slice(2, 4))}
    faces = FaceSet.from_arrays(np.zeros((3, 3, 20, 20), dtype=np.uint8), masks=masks, name="own")
    drawn = part_masks(faces, None, 20, ("eyes", "lids"), classes={"eyes": ("pupils", "lids")})
    assert drawn.sum(dim=(2, 3)).tolist() == [[6, 2]] * 3
    assert part_sources(faces, ("eyes",), classes={"eyes": ("pupils", "lids")}).how == {
        "eyes": "pupils + lids"
    }
    with pytest.raises(
        DataError, match=r"classes says that 'eyes' is made of \('iris',\); the masks of 'own' are"
    ):
        part_masks(faces, None, 20, ("eyes",), classes={"eyes": ("iris",)})


def test_lips_make_up_a_mouth(blank):
    masks = {"upper_lip": _square(slice(3, 5), slice(2, 4)), "lower_lip": _square(slice(5, 6), slice(2, 4))}
    faces = FaceSet.from_arrays(np.zeros((3, 3, 20, 20), dtype=np.uint8), masks=masks)
    assert part_sources(faces, ("mouth",)).how == {"mouth": "upper_lip + lower_lip"}


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, DataError, "no mask, and 0 landmarks an image where an ellipse needs 68"),
        ({"names": ("nose", "nose")}, SpecError, "Parts are a list of names, each once"),
        ({"names": "nose"}, SpecError, "Parts are a list of names"),
        ({"masks": "some"}, SpecError, "'masks' must be one of 'auto', 'exact', 'ellipses'; got 'some'"),
    ],
)
def test_what_cannot_be_shown_is_said(blank, options, error, text):
    with pytest.raises(error, match=text):
        part_masks(blank, None, 20, **options)


def test_hand_drawn_fasseg_parts(realdata):
    folder = realdata / "images" / "fasseg_multipose"
    table = pd.read_csv(folder / "labels.csv")
    files = [None if pd.isna(name) else folder / name for name in table["mask"]]
    faces = with_masks(open_faces(f"table:{folder}/labels.csv"), files, FASSEG_CLASSES)
    some = np.flatnonzero(table["mask"].notna() & (table["yaw_degrees"] == 0))[:4]
    masks = part_masks(faces, some, (120, 92), ("eyes", "nose", "mouth"), masks="exact")
    rows = torch.arange(120.0)[:, None].expand(120, 92)
    heights = [[float(rows[mask].mean()) for mask in image] for image in masks]
    assert all(eyes < nose < mouth for eyes, nose, mouth in heights)
