import json
import pickle

import pyarrow as pa
import pytest
from tests.faces.layouts import picture
from tests.faces.layouts_tables import FEATURES, arrow, png, saved, write_arrow, write_parquet

from fusiform.errors import DataError, ImageError
from fusiform.faces import open_faces


def test_a_saved_set(tmp_path):
    faces = open_faces(f"huggingface:{saved(tmp_path / 'mine', [arrow(4), arrow(2, start=4)])}")
    assert faces.name == "mine"
    assert {name: a.kind for name, a in faces.schema.items()} == {
        "emotion": "categorical",
        "smiling": "binary",
        "age": "continuous",
        "celeb_id": "identity",
    }
    assert faces.table["image_id"].tolist() == ["0", "1", "2", "3", "4", "5"]
    assert faces.table["emotion"].tolist() == ["angry", "happy"] * 3
    assert faces.table["smiling"].tolist() == [False, False, True, True, False, False]
    assert faces.images()[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40, 50]
    assert faces.images([5, 0])[:, 0, 0, 0].tolist() == [50, 0]
    assert faces.provenance["ignored"] == {"box": "it holds lists or records"}
    assert faces.provenance["licence"] == "cc0"
    assert (pickle.loads(pickle.dumps(faces)).images() == faces.images()).all()
    assert faces.digest() != faces.subset([0]).digest()


def test_a_saved_dictionary_of_splits(tmp_path):
    for split, n in (("train", 4), ("test", 2)):
        saved(tmp_path / split, [arrow(n)])
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    faces = open_faces(f"huggingface:{tmp_path}")
    assert faces.table["image_id"].tolist() == [
        "train/0",
        "train/1",
        "train/2",
        "train/3",
        "test/0",
        "test/1",
    ]
    assert faces.table["split"].tolist() == ["train"] * 4 + ["test"] * 2
    assert len(open_faces(f"huggingface:{tmp_path}?split=test")) == 2
    with pytest.raises(DataError, match="has no split 'valid'; there are train, test"):
        open_faces(f"huggingface:{tmp_path}?split=valid")


def cache(home):
    """The caches of the library and of the hub, with the leavings of map, filter and older revisions."""
    folder = home / "datasets" / "ann___faces" / "default" / "0.0.0" / "abc"
    write_arrow(arrow(2), folder / "faces-train-00000-of-00002.arrow")
    write_arrow(arrow(2, start=2), folder / "faces-train-00001-of-00002.arrow")
    write_arrow(arrow(1, start=9), folder / "faces-validation.arrow")
    write_arrow(pa.table({"indices": [1]}), folder / "cache-0123.arrow")
    (folder / "dataset_info.json").write_text(json.dumps({"dataset_name": "faces", "license": "mit"}))
    hub = home / "hub" / "datasets--bo--people"
    for revision in ("new", "old"):
        write_parquet(arrow(5), hub / "snapshots" / revision / "data" / "train-00000-of-00001.parquet")
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("new\n")
    return home


def test_the_caches(tmp_path):
    home = cache(tmp_path)
    faces = open_faces(f"huggingface:{home}?name=ann/faces")
    assert faces.name == "faces"
    assert faces.table["image_id"].tolist() == ["train/0", "train/1", "train/2", "train/3", "validation/0"]
    assert faces.images()[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 90]
    assert open_faces(f"huggingface:{home / 'datasets'}").provenance["licence"] == "mit"
    people = open_faces(f"huggingface:{home}?name=bo/people")
    assert people.provenance["images"].endswith("snapshots/new/data")
    assert people.table["split"].unique().tolist() == ["train"]
    assert open_faces(f"huggingface:{home / 'hub'}").name == "people"
    with pytest.raises(DataError, match=r"holds 2 sets; there are datasets/ann___faces/.*give name=USER/SET"):
        open_faces(f"huggingface:{home}")
    with pytest.raises(DataError, match="holds no set for name=cy/none; there are"):
        open_faces(f"huggingface:{home}?name=cy/none")


def test_configurations_and_folders_of_splits(tmp_path):
    for config, n in (("small", 2), ("large", 3)):
        for split in ("train", "test"):
            write_parquet(arrow(n), tmp_path / config / split / "0000.parquet")
    faces = open_faces(f"huggingface:{tmp_path}?config=large")
    assert faces.table["split"].tolist() == ["test"] * 3 + ["train"] * 3
    with pytest.raises(DataError, match="holds 2 sets; there are large, small"):
        open_faces(f"huggingface:{tmp_path}")


@pytest.mark.parametrize("write", [write_arrow, write_parquet])
def test_a_single_file_without_features(tmp_path, write):
    path = tmp_path / ("some.arrow" if write is write_arrow else "some.parquet")
    write(arrow(5, features=None), path)
    faces = open_faces(f"huggingface:{path}")
    assert faces.name == "some"
    assert "split" not in faces.schema
    assert faces.schema["emotion"].kind == "binary"
    assert faces.images([4, 1, 3])[:, 0, 0, 0].tolist() == [40, 10, 30]


def test_images_as_bytes_and_other_columns_of_images(tmp_path):
    table = pa.table({"img": [png(1), png(2)], "raw": [b"x", b"y"], "identity": [1, 2]})
    faces = open_faces(f"huggingface:{write_parquet(table, tmp_path / 'a.parquet')}")
    assert faces.images()[:, 0, 0, 0].tolist() == [1, 2]
    assert faces.provenance["ignored"] == {"raw": "it holds bytes"}
    two = arrow(2).append_column("mask", pa.array([{"bytes": png(7), "path": None}] * 2))
    path = write_arrow(two, tmp_path / "two.arrow")
    assert open_faces(f"huggingface:{path}").image(0)[0, 0, 0] == 0
    assert open_faces(f"huggingface:{path}?image_column=mask").image(0)[0, 0, 0] == 7
    with pytest.raises(DataError, match=r"no column of images 'age'; it has image, mask"):
        open_faces(f"huggingface:{path}?image_column=age")


def test_images_that_lie_beside(tmp_path):
    picture(tmp_path / "elsewhere" / "0.png", value=5)
    picture(tmp_path / "set" / "1.png", value=6)
    cells = [
        str(tmp_path / "elsewhere" / "0.png"),
        "1.png",
        "../elsewhere/0.png",
        "hf://ann/faces/2.png",
        None,
    ]
    table = arrow(5, image=[{"bytes": None, "path": path} for path in cells])
    write_arrow(table, tmp_path / "set" / "x-train.arrow")
    faces = open_faces(f"huggingface:{tmp_path / 'set'}")
    assert faces.images([0, 1])[:, 0, 0, 0].tolist() == [5, 6]
    reasons = faces.readable().skipped.set_index("image_id")["reason"]
    assert reasons.index.tolist() == ["train/2", "train/3", "train/4"]
    assert "leads out of" in reasons["train/2"]
    assert "which is elsewhere; nothing is downloaded" in reasons["train/3"]
    assert reasons["train/4"] == "its row holds no image"
    with pytest.raises(ImageError, match="Image 'train/4' cannot be read"):
        faces.image(4)


def test_unknown_and_impossible_classes_and_given_kinds(tmp_path):
    path = write_arrow(arrow(3, emotion=[0, -1, None]), tmp_path / "a.arrow")
    assert open_faces(f"huggingface:{path}").table["emotion"].isna().tolist() == [False, True, True]
    faces = open_faces(f"huggingface:{path}?ignore=emotion,smiling&categorical=celeb_id")
    assert {name: a.kind for name, a in faces.schema.items()} == {
        "age": "continuous",
        "celeb_id": "categorical",
    }
    path = write_arrow(arrow(3, emotion=[0, 1, 2]), tmp_path / "b.arrow")
    with pytest.raises(DataError, match="the label 'emotion' must be 0 to 1; row 3 holds 2"):
        open_faces(f"huggingface:{path}")


def test_ids_of_the_sets_own(tmp_path):
    names = ["a", "b", "c"]
    path = write_arrow(arrow(3, image_id=names), tmp_path / "a.arrow")
    assert open_faces(f"huggingface:{path}").table["image_id"].tolist() == names


def test_sets_that_are_not_whole(tmp_path):
    folder = saved(tmp_path / "s", [arrow(2), arrow(2)])
    (folder / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(DataError, match=r"is not whole: 1 of 2 files are missing, the first .*data-00001"):
        open_faces(f"huggingface:{folder}")
    saved(folder, [arrow(2), arrow(2).drop_columns(["age"])])
    with pytest.raises(DataError, match="have different columns, so they are not one set"):
        open_faces(f"huggingface:{folder}")
    saved(folder, [arrow(2)], _indices_data_files=[{"filename": "indices.arrow"}])
    with pytest.raises(DataError, match=r"a choice of rows of a larger set\. Save it once more"):
        open_faces(f"huggingface:{folder}")
    saved(folder, [arrow(2)], _data_files=[{"filename": "../../x.arrow"}])
    with pytest.raises(DataError, match="names no files of the set, or files elsewhere"):
        open_faces(f"huggingface:{folder}")
    (folder / "state.json").write_text("{")
    with pytest.raises(DataError, match=r"state\.json' cannot be read"):
        open_faces(f"huggingface:{folder}")


@pytest.mark.parametrize("name", ["a.arrow", "a.parquet"])
def test_files_that_cannot_be_read(tmp_path, name):
    write = write_arrow if name == "a.arrow" else write_parquet
    path = write(arrow(4), tmp_path / name)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"cannot be read: .*cut short"):
        open_faces(f"huggingface:{path}")
    path.write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        open_faces(f"huggingface:{path}")


def test_something_else(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(
        DataError, match=r"holds no data set of Hugging Face.*found a\.txt\. Nothing is downloaded"
    ):
        open_faces(f"huggingface:{tmp_path}")
    with pytest.raises(DataError, match=r"a folder, an \.arrow or a \.parquet file; got"):
        open_faces(f"huggingface:{tmp_path / 'a.txt'}")
    path = write_arrow(pa.table({"age": [1], "name": ["x"]}), tmp_path / "b.arrow")
    with pytest.raises(DataError, match="has no column of images; its columns are age, name"):
        open_faces(f"huggingface:{path}")
    path = write_arrow(arrow(1).slice(0, 0), tmp_path / "c.arrow")
    with pytest.raises(DataError, match="has no rows"):
        open_faces(f"huggingface:{path}")


def test_what_the_datasets_library_writes(tmp_path):
    datasets = pytest.importorskip("datasets")
    image, kinds = datasets.Image(), {"emotion": datasets.ClassLabel(names=FEATURES["emotion"]["names"])}
    features = datasets.Features({"image": image, **kinds, "age": datasets.Value("float32")})
    rows = {
        "image": [{"bytes": png(10 * i), "path": None} for i in range(3)],
        "emotion": [0, 1, 0],
        "age": [1, 2, 3],
    }
    theirs = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": theirs}).save_to_disk(tmp_path / "saved")
    faces = open_faces(f"huggingface:{tmp_path / 'saved'}")
    assert faces.table["emotion"].tolist() == ["angry", "happy", "angry"]
    assert faces.images()[:, 0, 0, 0].tolist() == [0, 10, 20]
