import shutil

import pandas as pd
import pytest
from PIL import Image
from tests.faces.layouts import picture, zip_of

from fusiform.errors import DataError
from fusiform.faces import open_faces

# celeba ------------------------------------------------------------------------------------------------------------

ATTRIBUTES = ["5_o_Clock_Shadow", "Male", "Young"]
POINTS = ["lefteye_x", "lefteye_y", "righteye_x", "righteye_y", "nose_x", "nose_y"]
POINTS += ["leftmouth_x", "leftmouth_y", "rightmouth_x", "rightmouth_y"]


def made_up_celeba(path, layout: str, n: int = 4):
    names = [f"{i + 1:06d}.jpg" for i in range(n)]
    lists = {"official": path / "Anno", "flat": path, "kaggle": path}[layout]
    eval_folder = {"official": path / "Eval", "flat": path, "kaggle": path}[layout]
    images = {
        "official": path / "Img" / "img_align_celeba",
        "flat": path / "img_align_celeba",
        "kaggle": path / "img_align_celeba" / "img_align_celeba",
    }[layout]
    for folder in (lists, eval_folder):
        folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        picture(images / name, (178, 218), value=10 * i)
    if layout == "official":
        zip_of(images, path / "Img" / "img_align_celeba.zip", "img_align_celeba/")
    attributes = [[1 if (i + k) % 2 else -1 for k in range(3)] for i in range(n)]
    points = [[69, 111, 108, 111, 88, 136, 72, 152, 106, 152]] * n
    if layout == "kaggle":
        pd.DataFrame(attributes, columns=ATTRIBUTES, index=names).to_csv(
            lists / "list_attr_celeba.csv", index_label="image_id"
        )
        pd.DataFrame(points, columns=POINTS, index=names).to_csv(
            lists / "list_landmarks_align_celeba.csv", index_label="image_id"
        )
        pd.DataFrame({"image_id": names, "partition": [0, 0, 1, 2]}).to_csv(
            lists / "list_eval_partition.csv", index=False
        )
        return path

    def write(folder, name, columns, rows):
        body = "\n".join(
            f"{n}  " + " ".join(f"{v:2d}" for v in row) for n, row in zip(names, rows, strict=True)
        )
        (folder / name).write_text(f"{n}\n{' '.join(columns)} \n{body}\n")

    write(lists, "list_attr_celeba.txt", ATTRIBUTES, attributes)
    write(lists, "list_landmarks_align_celeba.txt", POINTS, points)
    (lists / "identity_CelebA.txt").write_text("".join(f"{n} {2880 + i // 2}\n" for i, n in enumerate(names)))
    (eval_folder / "list_eval_partition.txt").write_text(
        "".join(f"{n} {p}\n" for n, p in zip(names, [0, 0, 1, 2], strict=True))
    )
    return path


@pytest.mark.parametrize("layout", ["official", "flat", "kaggle"])
def test_celeba_in_its_layouts(tmp_path, layout):
    faces = open_faces(f"celeba:{made_up_celeba(tmp_path / 'x', layout)}")
    assert faces.name == "celeba"
    assert faces.table["image_id"].tolist() == [f"{i:06d}.jpg" for i in (1, 2, 3, 4)]
    assert faces.table["Male"].tolist() == [True, False, True, False]
    assert faces.table["Male"].dtype == "boolean"
    assert faces.table["partition"].tolist() == ["train", "train", "valid", "test"]
    assert (faces.identity == "identity") == (layout != "kaggle")
    if faces.identity:
        assert faces.table["identity"].tolist() == ["2880", "2880", "2881", "2881"]
    assert faces.keypoints[0, 0].tolist() == [69, 111]
    assert faces.size == (218, 178)
    assert faces.images()[:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    assert faces.aligned("celeba_224").images([2])[0, 0, 112, 112] == 20
    assert "list_attr_celeba" in faces.provenance["lists"][0]


def test_a_part_of_celeba(tmp_path):
    path = made_up_celeba(tmp_path, "flat")
    (path / "img_align_celeba" / "000002.jpg").unlink()
    faces = open_faces(f"celeba:{path}")
    assert faces.table["image_id"].tolist() == ["000001.jpg", "000003.jpg", "000004.jpg"]
    assert faces.skipped["image_id"].tolist() == ["000002.jpg"]
    assert faces.keypoints.shape == (3, 5, 2)
    assert faces.images([1])[0, 0, 0, 0] == 20
    assert len(faces.readable()) == 3


@pytest.mark.parametrize("change", ["windows", "png", "upper case", "inside CelebA", "saved with its index"])
def test_celeba_as_it_is_found_in_the_wild(tmp_path, change):
    kaggle = change == "saved with its index"
    layout = "kaggle" if kaggle else "official" if change == "inside CelebA" else "flat"
    path = made_up_celeba(tmp_path / "x", layout)
    if change == "inside CelebA":
        path.rename(tmp_path / "CelebA")
        path = tmp_path
    elif change == "windows":
        for file in path.glob("*.txt"):
            file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b" \r\n"))
    elif kaggle:
        file = path / "list_attr_celeba.csv"
        pd.read_csv(file).to_csv(file)
    else:
        for file in (path / "img_align_celeba").iterdir():
            pixels = Image.open(file).convert("RGB")
            file.unlink()
            pixels.save(file.with_suffix(".png" if change == "png" else ".JPG"))
    faces = open_faces(f"celeba:{path}")
    assert faces.table["image_id"].tolist() == [f"{i:06d}.jpg" for i in (1, 2, 3, 4)]
    assert faces.table["Male"].tolist() == [True, False, True, False]
    assert list(faces.schema) == [*ATTRIBUTES, *([] if kaggle else ["identity"]), "partition"]
    assert faces.images()[:, 0, 0, 0].tolist() == [0, 10, 20, 30]


def test_celeba_does_not_take_the_images_of_a_set_beside_it(tmp_path):
    made_up_celeba(tmp_path / "one", "flat")
    path = made_up_celeba(tmp_path / "two", "flat")
    (path / "img_align_celeba" / "000003.jpg").unlink()
    for i in range(4):
        picture(tmp_path / "one" / f"{i + 1:06d}.jpg", value=200)
    faces = open_faces(f"celeba:{path}")
    assert faces.images()[:, 0, 0, 0].tolist() == [0, 10, 30]
    assert faces.skipped["image_id"].tolist() == ["000003.jpg"]


def test_celeba_lists_that_cannot_be_read(tmp_path):
    path = made_up_celeba(tmp_path, "flat")
    whole = (path / "identity_CelebA.txt").read_text()
    (path / "identity_CelebA.txt").write_text("")
    with pytest.raises(DataError, match=r"identity_CelebA\.txt' lists no images"):
        open_faces(f"celeba:{path}")
    (path / "identity_CelebA.txt").write_text(whole)
    (path / "list_attr_celeba.txt").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match=r"list_attr_celeba\.txt' cannot be read: 'utf-8' codec"):
        open_faces(f"celeba:{path}")


def test_celeba_lists_that_do_not_fit(tmp_path):
    path = made_up_celeba(tmp_path, "flat")
    whole = (path / "list_attr_celeba.txt").read_text()
    (path / "list_attr_celeba.txt").write_text(whole.replace("4\n", "5\n", 1))
    with pytest.raises(DataError, match="announces 5 images and lists 4; it may have been cut short"):
        open_faces(f"celeba:{path}")
    (path / "list_attr_celeba.txt").write_text("\n".join([*whole.splitlines()[:-1], "000004.jpg 1 1"]) + "\n")
    with pytest.raises(DataError, match=r"line of '000004\.jpg' has 2 values, expected 3"):
        open_faces(f"celeba:{path}")
    (path / "list_attr_celeba.txt").write_text(whole.replace("000004", "000001"))
    with pytest.raises(DataError, match=r"lists 1 images more than once, the first '000001\.jpg'"):
        open_faces(f"celeba:{path}")
    partition = path / "list_eval_partition.txt"
    parts = partition.read_text()
    partition.write_text(parts.replace("000003.jpg 1", "000003.jpg 7"))
    (path / "list_attr_celeba.txt").write_text(whole)
    with pytest.raises(
        DataError, match=r"line of '000003\.jpg' holds '7', expected 0, 1 or 2 for train, valid"
    ):
        open_faces(f"celeba:{path}")
    partition.write_text(parts)
    (path / "list_attr_celeba.txt").write_text(whole.replace("-1", "-3"))
    with pytest.raises(DataError, match=r"binary attribute '5_o_Clock_Shadow' must hold .* got -3\.0"):
        open_faces(f"celeba:{path}")
    (path / "list_attr_celeba.txt").unlink()
    (path / "identity_CelebA.txt").unlink()
    with pytest.raises(
        DataError,
        match=r"not laid out like CelebA: looked for list_attr_celeba and identity_CelebA.*found img",
    ):
        open_faces(f"celeba:{path}")


def test_celeba_without_images(tmp_path):
    path = made_up_celeba(tmp_path, "flat")
    shutil.rmtree(path / "img_align_celeba")
    with pytest.raises(
        DataError, match=r"None of the images .* lists 4, the first as '000001\.jpg'.*Put img_align_celeba"
    ):
        open_faces(f"celeba:{path}")
