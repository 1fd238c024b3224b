import numpy as np
import pytest
from PIL import Image
from tests.faces.layouts import picture, text

from fusiform.errors import DataError, ImageError
from fusiform.faces import open_faces
from fusiform.faces.readers.celebamask import PARTS

SIZE = 64


def part(path, number: int, name: str, rows: slice, columns: slice):
    mask = np.zeros((SIZE // 2, SIZE // 2), np.uint8)
    mask[rows, columns] = 255
    folder = path / "CelebAMask-HQ-mask-anno" / str(number // 2000)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).convert("RGB").save(folder / f"{number:05d}_{name}.png")


def made_up_celebamask(path, numbers=(0, 1, 2000)):
    for k, number in enumerate(numbers):
        picture(path / "CelebA-HQ-img" / f"{number}.jpg", (SIZE, SIZE), value=40 * k)
        part(path, number, "skin", slice(4, 28), slice(4, 28))
        part(path, number, "l_eye", slice(8, 10), slice(20, 24))
        part(path, number, "r_eye", slice(8, 10), slice(8, 12))
        part(path, number, "u_lip", slice(20, 22), slice(12, 20))
        part(path, number, "hair", slice(0, 6), slice(0, 32))
    rows = [f"{number}.jpg  1 -1" if k % 2 else f"{number}.jpg -1  1" for k, number in enumerate(numbers)]
    text(path / "CelebAMask-HQ-attribute-anno.txt", str(len(numbers)), "Male Young ", *rows)
    poses = [f"{number}.jpg {-10.5 + k} 2.0 3.25" for k, number in enumerate(numbers)]
    text(path / "CelebAMask-HQ-pose-anno.txt", str(len(numbers)), "Yaw Pitch Raw", *poses)
    originals = ["119614.jpg", "170000.jpg", "190000.jpg"]
    rows = [f"{n:<12}{int(o[:6]) - 1:<12}{o}" for n, o in zip(numbers, originals, strict=False)]
    text(path / "CelebA-HQ-to-CelebA-mapping.txt", "idx         orig_idx    orig_file", "", *rows)
    return path


@pytest.mark.parametrize("inner", ["", "CelebAMask-HQ"])
def test_celebamask_in_its_layout(tmp_path, inner):
    made_up_celebamask(tmp_path / inner)
    faces = open_faces(f"celebamaskhq:{tmp_path}")
    assert faces.table["image_id"].tolist() == ["0.jpg", "1.jpg", "2000.jpg"]
    assert faces.table["Male"].tolist() == [False, True, False]
    assert faces.table["yaw"].tolist() == [-10.5, -9.5, -8.5]
    assert faces.table["roll"].tolist() == [3.25] * 3
    assert faces.table["partition"].tolist() == ["train", "valid", "test"]
    assert faces.table["celeba_file"].tolist() == ["119614.jpg", "170000.jpg", "190000.jpg"]
    assert faces.schema["pitch"].unit == "deg"
    assert "as published" in faces.schema["yaw"].description
    assert faces.images()[:, 0, 0, 0].tolist() == [0, 40, 80]
    assert faces.parts == tuple(PARTS)
    assert faces.provenance["n_without_masks"] == 0
    assert "Lee" in faces.provenance["paper"]
    assert "non-commercial" in faces.provenance["licence"]


def test_parts_lie_where_they_are_drawn_and_cover_each_other(tmp_path):
    faces = open_faces(f"celebamaskhq:{made_up_celebamask(tmp_path)}")
    drawn = {name: faces.mask(name).numpy()[2] for name in PARTS}
    assert drawn["hair"].shape == (SIZE, SIZE)
    wanted = np.zeros((SIZE, SIZE), bool)
    wanted[:12] = True
    assert (drawn["hair"] == wanted).all()
    # Left is what is seen on the left: the shown person's right eye.
    assert (
        np.argwhere(drawn["left_eye"])[:, 1].mean() < SIZE / 2 < np.argwhere(drawn["right_eye"])[:, 1].mean()
    )
    assert drawn["mouth"].sum() == drawn["upper_lip"].sum() == 2 * 8 * 4
    assert not drawn["lower_lip"].any()
    # Of the skin remains what neither hair nor eyes nor lips cover.
    assert drawn["skin"].sum() == 4 * (24 * 24 - 2 * 24 - 2 * 8 - 16)
    apart = [name for name in PARTS if name not in ("upper_lip", "lower_lip")]
    assert (sum(drawn[name].astype(int) for name in apart) == 1).all()


def test_masks_move_with_the_images(tmp_path):
    faces = open_faces(f"celebamaskhq:{made_up_celebamask(tmp_path)}").resized((32, 32))
    mask = faces.mask("hair", [1, 0]).numpy()
    assert mask.shape == (2, 32, 32)
    assert mask[:, :6].all()
    assert not mask[:, 7:].any()


@pytest.mark.parametrize("folder", ["", "CelebAMask-HQ-mask"])
@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_one_picture_of_class_numbers_an_image(tmp_path, folder, mode):
    inner = "CelebA-HQ-img" if folder else ""
    for number in (0, 10):
        picture(tmp_path / inner / f"{number}.jpg", (SIZE, SIZE))
        labels = np.full((SIZE, SIZE), 13, np.uint8)
        labels[:, : SIZE // 2] = 5
        image = Image.fromarray(labels)
        if mode == "P":
            image = Image.fromarray(labels, "L")
            image.putpalette([k * 7 % 256 for k in range(768)])
        (tmp_path / folder).mkdir(exist_ok=True)
        (image.convert("RGB") if mode == "RGB" else image).save(tmp_path / folder / f"{number}.png")
    faces = open_faces(f"celebamaskhq:{tmp_path}")
    assert faces.table["image_id"].tolist() == ["0.jpg", "10.jpg"]
    assert len(faces.skipped) == 0
    assert faces.mask("left_eye")[:, :, : SIZE // 2].all()
    assert not faces.mask("left_eye")[:, :, SIZE // 2 :].any()
    assert faces.mask("hair")[:, :, SIZE // 2 :].all()


def test_masks_that_cannot_be_read(tmp_path):
    for number in range(4):
        picture(tmp_path / f"{number}.jpg", (SIZE, SIZE))
    Image.fromarray(np.full((8, 8), 37, np.uint8)).save(tmp_path / "0.png")
    picture(tmp_path / "1.png").write_bytes(b"\x89PNG")
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[..., 1] = 9
    Image.fromarray(colours).save(tmp_path / "2.png")
    faces = open_faces(f"celebamaskhq:{tmp_path}")
    assert faces.provenance["n_without_masks"] == 1
    for i, reason in enumerate(
        [
            "its mask holds the class 37, expected 0 to 18",
            "its mask: ",
            "its mask: it holds colours, expected class",
        ]
    ):
        with pytest.raises(ImageError, match=rf"'{i}\.jpg' cannot be read: {reason}"):
            faces.mask("hair", [i])
    with pytest.raises(ImageError, match=r"'3\.jpg' cannot be read: its mask: no such file"):
        faces.mask("hair", [3])
    assert faces.images().shape[0] == 4


def test_an_image_without_parts_is_named(tmp_path):
    made_up_celebamask(tmp_path)
    for file in (tmp_path / "CelebAMask-HQ-mask-anno" / "1").iterdir():
        file.unlink()
    faces = open_faces(f"celebamaskhq:{tmp_path}")
    assert faces.provenance["n_without_masks"] == 1
    with pytest.raises(ImageError, match=r"'2000\.jpg' cannot be read: its mask: none of its parts is in"):
        faces.mask("hair")
    part(tmp_path, 0, "nose", slice(0, 2), slice(0, 2))
    nose = tmp_path / "CelebAMask-HQ-mask-anno" / "0" / "00000_nose.png"
    Image.open(nose).resize((8, 8)).save(nose)
    with pytest.raises(ImageError, match=r"'0/00000_nose\.png' is 8 x 8, the parts before it 32 x 32"):
        faces.mask("hair", [0])


def test_celebamask_without_masks_and_lists(tmp_path):
    picture(tmp_path / "CelebA-HQ-img" / "7.jpg")
    picture(tmp_path / "CelebA-HQ-img" / "cover.jpg")
    picture(tmp_path / "CelebA-HQ-img" / "00007.jpg")
    faces = open_faces(f"celebamaskhq:{tmp_path}")
    assert faces.parts == ()
    assert faces.schema == {}
    assert len(faces) == 1
    assert faces.skipped["reason"].tolist() == ["the same number as '00007.jpg'", "its name is not a number"]


def test_images_that_are_listed_and_not_there(tmp_path):
    made_up_celebamask(tmp_path)
    (tmp_path / "CelebA-HQ-img" / "1.jpg").unlink()
    faces = open_faces(f"celebamaskhq:{tmp_path}")
    assert faces.table["Male"].tolist() == [False, False]
    assert faces.table["partition"].tolist() == ["train", "test"]
    assert faces.skipped["image_id"].tolist() == ["1.jpg"]
    assert "listed in CelebAMask-HQ-" in faces.skipped["reason"].iloc[0]


def test_identities_come_from_celeba(tmp_path):
    made_up_celebamask(tmp_path)
    text(tmp_path / "identity_CelebA.txt", "119614.jpg 5", "170000.jpg 7", "000001.jpg 9")
    faces = open_faces(f"celebamaskhq:{tmp_path}")
    assert faces.identity == "identity"
    assert faces.table["identity"].tolist()[:2] == ["5", "7"]
    assert faces.table["identity"].isna().tolist() == [False, False, True]


def test_celebamask_lists_that_cannot_be_read(tmp_path):
    made_up_celebamask(tmp_path)
    mapping = tmp_path / "CelebA-HQ-to-CelebA-mapping.txt"
    whole = mapping.read_text()
    mapping.write_text(whole.replace("170000.jpg", "17.jpg"))
    with pytest.raises(DataError, match=r"image 1: its original must be .* 000001\.jpg; got '17\.jpg'"):
        open_faces(f"celebamaskhq:{tmp_path}")
    mapping.write_text(whole.replace("orig_file", "file"))
    with pytest.raises(DataError, match="must have the columns idx and orig_file; got idx, orig_idx, file"):
        open_faces(f"celebamaskhq:{tmp_path}")
    mapping.write_text(whole)
    pose = tmp_path / "CelebAMask-HQ-pose-anno.txt"
    whole = pose.read_text()
    pose.write_text(whole.replace("Raw", "Nod"))
    with pytest.raises(DataError, match="must have the columns Yaw, Pitch and Roll; got Yaw, Pitch, Nod"):
        open_faces(f"celebamaskhq:{tmp_path}")
    pose.write_text(whole.replace("-9.5", "left"))
    with pytest.raises(DataError, match="continuous attribute 'yaw' holds 'left'"):
        open_faces(f"celebamaskhq:{tmp_path}")
    pose.write_text(whole.replace("1.jpg", "one.jpg", 1))
    with pytest.raises(DataError, match=r"names 'one\.jpg', expected images 0\.jpg, 1\.jpg"):
        open_faces(f"celebamaskhq:{tmp_path}")


def test_celebamask_that_is_something_else(tmp_path):
    picture(tmp_path / "ann" / "face.jpg")
    with pytest.raises(
        DataError, match=r"not laid out like CelebAMask-HQ: looked for images 0\.jpg.*; found ann"
    ):
        open_faces(f"celebamaskhq:{tmp_path}")
    with pytest.raises(DataError, match=r"is a folder with CelebA-HQ-img and .*; '.*face\.jpg' is a file"):
        open_faces(f"celebamaskhq:{tmp_path / 'ann' / 'face.jpg'}")


def test_real_masks(realdata):
    faces = open_faces(f"celebamaskhq:{realdata}/images/restricted/celebamaskhq4")
    assert faces.table["image_id"].tolist() == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert faces.size == (1024, 1024)
    masks = {name: faces.mask(name).numpy() for name in faces.parts}
    assert masks["mouth"].shape == (4, 1024, 1024)
    where = {
        name: np.array([np.argwhere(m).mean(axis=0) for m in masks[name]])
        for name in PARTS
        if masks[name].any((1, 2)).all()
    }
    for side in ("eye", "brow"):
        assert (where[f"left_{side}"][:, 1] + 150 < where[f"right_{side}"][:, 1]).all()
    assert (where["left_brow"][:, 0] < where["left_eye"][:, 0]).all()
    assert (where["left_eye"][:, 0] < where["nose"][:, 0]).all()
    assert (where["nose"][:, 0] < where["mouth"][:, 0]).all()
    assert (where["mouth"][:, 0] < where["neck"][:, 0]).all()
    # One ear of the third face is hidden: the right one in the picture.
    assert masks["left_ear"][2].any()
    assert not masks["right_ear"][2].any()
    pixels = faces.images().float().mean(dim=1).numpy()
    for k in range(4):
        assert pixels[k][masks["left_brow"][k]].mean() < pixels[k][masks["skin"][k]].mean()
