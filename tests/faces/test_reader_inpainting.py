"""The inpainting game's published layout, on a made-up copy."""

import numpy as np
import pytest
import torch
from PIL import Image

from fusiform.errors import DataError, ImageError, SpecError
from fusiform.faces import InpaintingGame, open_faces

SIDE = 12
HOLE = (slice(3, 6), slice(4, 9))
COLUMNS = "SUBJECT_ID,ORIGINAL_FILE,TRIPLET_SET,TEMPLATE_ID,SIGHTING_ID,DET_FACE_X"


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def write(root, subject, number, regions, *, inverted=False, mask_side=SIDE):
    folder = root / "aligned" / subject / "img" / number / "inpainted"
    folder.mkdir(parents=True)
    truth = picture(int(number))
    for region in regions:
        out = truth.copy()
        out[HOLE] = 255 - out[HOLE]
        mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
        mask[HOLE] = 255
        mask = 255 - mask if inverted else mask
        Image.fromarray(truth).save(folder / f"{region:05d}_truth.png")
        Image.fromarray(out).save(folder / f"{region:05d}_out_0.png")
        scale = mask_side // SIDE
        Image.fromarray(np.kron(mask, np.ones((scale, scale), np.uint8))).save(
            folder / f"{region:05d}_mask.png"
        )
    Image.fromarray(truth).save(folder.parents[1] / f"{number}.jpg")


@pytest.fixture
def published(tmp_path):
    root = tmp_path / "inpainting-game" / "IJBC"
    root.mkdir(parents=True)
    (root / "subj-7.csv").write_text(
        f"{COLUMNS}\n7,img/10.jpg,REF,1,1,5\n7,img/11.jpg,PROBE,1,2,5\n7,img/12.jpg,PROBE,1,3,5\n7,img/12.jpg,PROBE,1,4,5\n"
    )
    (root / "subj-025.csv").write_text(f"{COLUMNS}\n025,img/20.jpg,REF,1,1,5\n025,img/21.jpg,PROBE,1,2,5\n")
    write(root, "7", "10", [1, 2, 3])
    write(root, "7", "11", [1, 2, 3])
    write(root, "7", "12", [2])
    write(root, "025", "20", [2], inverted=True)
    write(root, "025", "21", [2], inverted=True, mask_side=2 * SIDE)
    (root / "filtered_masks_threshold-net.csv").write_text(
        "SUBJECT_ID,MASK_ID,ORIGINAL_BASENAME,OriginalFile,InpaintingFile,TRIPLET_SET\n"
        "7,2,img/11,a,b,PROBE\n7,2,img/10,a,b,REF\n"
    )
    return root


def test_images_and_columns(published):
    faces = open_faces(f"inpainting:{published}")
    ids = faces.table["image_id"].tolist()
    assert ids == [
        "025/20", "025/20_nose", "025/21", "025/21_nose", "7/10", "7/10_mouth", "7/10_nose", "7/11", "7/11_mouth",
        "7/11_nose", "7/12", "7/12_nose",
    ]  # fmt: skip
    row = faces.table.set_index("image_id").loc["7/11_nose"]
    assert row.tolist() == ["7_nose", "7", "nose", "probe", "7/11"]
    assert faces.table["role"].tolist() == ["mate", "mate", "probe", "probe", *["mate"] * 3, *["probe"] * 5]
    assert torch.equal(faces.images([7])[0], torch.from_numpy(picture(11)).permute(2, 0, 1))
    assert faces.identity == "identity"
    # Regions of a picture that is there only for others.
    assert "7/12_mouth" in faces.skipped["image_id"].tolist()


@pytest.mark.parametrize("above", [0, 1, 2])
def test_folders_above_will_do(published, above):
    path = [published, published.parent, published.parents[1]][above]
    assert len(open_faces(f"inpainting:{path}")) == 12


def test_masks_whatever_their_sense_and_size(published):
    faces = open_faces(f"inpainting:{published}")
    wanted = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    wanted[HOLE] = True
    replaced = torch.tensor(faces.table["part"].notna().tolist())
    masks = faces.mask("inpainted")
    assert (masks[replaced] == wanted).all()
    assert not masks[~replaced].any()


def test_triplets(published):
    game = InpaintingGame.of(open_faces(f"inpainting:{published}"))
    table = game.faces.table["image_id"]
    named = [
        (table[r.probe], r.part, [table[m] for m in r.mates], [table[m] for m in r.inpainted_nonmates])
        for r in game.triplets.itertuples()
    ]
    assert sorted(named) == [
        ("025/21", "nose", ["025/20"], ["025/20_nose"]),
        ("7/11", "mouth", ["7/10"], ["7/10_mouth"]),
        ("7/11", "nose", ["7/10"], ["7/10_nose"]),
        ("7/12", "nose", ["7/10"], ["7/10_nose"]),
    ]


def test_a_published_list_and_regions(published):
    faces = open_faces(f"inpainting:{published}?listed=filtered_masks_threshold-net.csv")
    assert faces.table["image_id"].tolist() == ["7/10", "7/10_nose", "7/11", "7/11_nose"]
    ears = open_faces(f"inpainting:{published}?regions=ears,1")
    assert set(ears.table["part"].dropna()) == {"ears", "mouth"}


def test_a_picture_without_files_is_skipped(published):
    (published / "subj-9.csv").write_text(f"{COLUMNS}\n9,img/30.jpg,PROBE,1,1,5\n")
    skipped = open_faces(f"inpainting:{published}").skipped.set_index("image_id")["reason"]
    assert skipped["9/30"] == "no original or no inpainted image in 'aligned/9/img/30/inpainted'"


def test_a_broken_mask_names_its_image(published):
    (published / "aligned/7/img/11/inpainted/00002_mask.png").write_bytes(b"not a picture")
    faces = open_faces(f"inpainting:{published}")
    with pytest.raises(ImageError, match="Image '7/11_nose' cannot be read: its mask"):
        faces.mask("inpainted")


def rewrite(name, text):
    def change(root):
        (root / name).write_text(text)

    return change


@pytest.mark.parametrize(
    ("change", "options", "error", "text"),
    [
        (lambda root: None, "?regions=chin", SpecError, "no region 'chin'"),
        (lambda root: None, "?listed=none.csv", DataError, "no list 'none.csv'"),
        (
            rewrite("subj-7.csv", "SUBJECT_ID,ORIGINAL_FILE\n7,img/1.jpg\n"),
            "",
            DataError,
            "'TRIPLET_SET' is not there",
        ),
        (
            rewrite("subj-7.csv", f"{COLUMNS}\n7,img/1.jpg,GALLERY,1,1,1\n"),
            "",
            DataError,
            "Line 2 of .*must be PROBE or REF; got 'GALLERY'",
        ),
        (
            rewrite("l.csv", "SUBJECT_ID,MASK_ID\n7,2\n"),
            "?listed=l.csv",
            DataError,
            "'ORIGINAL_BASENAME' is not there",
        ),
        (
            rewrite("l.csv", "SUBJECT_ID,MASK_ID,ORIGINAL_BASENAME\n7,two,img/1\n"),
            "?listed=l.csv",
            DataError,
            "MASK_ID must be a whole number",
        ),
        (
            rewrite("l.csv", "SUBJECT_ID,MASK_ID,ORIGINAL_BASENAME\n7,2,img/99\n"),
            "?listed=l.csv",
            DataError,
            "holds no inpainted images: 0 are named",
        ),
    ],
)
def test_other_layouts(published, change, options, error, text):
    change(published)
    with pytest.raises(error, match=text):
        open_faces(f"inpainting:{published}{options}")


def test_folders_of_something_else(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"holds no table 'subj-NUMBER.csv', here or in IJBC; it holds a.txt"):
        open_faces(f"inpainting:{tmp_path}")
    (tmp_path / "subj-1.csv").write_text(f"{COLUMNS}\n1,img/1.jpg,PROBE,1,1,1\n")
    with pytest.raises(DataError, match=r"no folder 'aligned'\. Unpack the archives"):
        open_faces(f"inpainting:{tmp_path}")
