"""Made-up copies of published data sets whose labels come in tables and arrays."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.io import savemat
from tests.faces.layouts import picture

FAIRFACE = [
    "file,age,gender,race,service_test",
    "{split}/1.jpg,0-2,Male,East Asian,True",
    "{split}/2.jpg,more than 70,Female,Latino_Hispanic,False",
    "{split}/3.jpg,3-9,Female,Middle Eastern,False",
]


def fairface(path, images="fairface-img-margin025-trainval", splits=("train", "val")):
    path.mkdir(parents=True, exist_ok=True)
    for k, split in enumerate(splits):
        for i in (1, 2, 3):
            picture(path / images / split / f"{i}.jpg", value=10 * i + 100 * k)
        lines = [line.format(split=split) for line in FAIRFACE]
        (path / f"fairface_label_{split}.csv").write_text("\n".join(lines) + "\n")
    return path


def cells(texts):
    """A cell array of texts, as MATLAB keeps it."""
    array = np.empty((1, len(texts)), dtype=object)
    for i, text in enumerate(texts):
        array[0, i] = np.array([text]) if text is not None else np.array([])
    return array


def imdbwiki(path, name="wiki", pictures=True, **changed):
    """Six entries: two good ones of a person, one without a sex, one faceless, one too old, one with two faces."""
    files = [f"0{i}/{i}.jpg" for i in range(6)]
    fields = {
        "dob": np.array([[723671, 723671, 730000, 730000, 600000, 720000]], dtype=np.int32),
        "photo_taken": np.array([[2009, 1990, 2012, 2012, 2012, 2010]], dtype=np.uint16),
        "full_path": cells(files),
        "gender": np.array([[1.0, 1.0, np.nan, 0.0, 0.0, 0.0]]),
        "name": cells(["Ann Lee", "Ann Lee", "Bo", "Cy", "Di", None]),
        "face_score": np.array([[3.2, 1.5, 0.7, -np.inf, 4.0, 5.0]]),
        "second_face_score": np.array([[np.nan, np.nan, np.nan, np.nan, np.nan, 2.5]]),
        **changed,
    }
    path.mkdir(parents=True, exist_ok=True)
    savemat(path / f"{name}.mat", {name: {k: v for k, v in fields.items() if v is not None}})
    for i, file in enumerate(files if pictures else []):
        picture(path / file, value=10 * i)
    return path


SCUT = {"AF1.jpg": 2.66, "AM2.jpg": 3.5, "CF3.jpg": 4.25, "CM4.jpg": 1.0}


def scut(path, images="Images"):
    lists = path / "train_test_files"
    halves = lists / "split_of_60%training and 40%testing"
    fold = lists / "5_folders_cross_validations_files" / "cross_validation_2"
    for folder in (halves, fold):
        folder.mkdir(parents=True)
    lines = [f"{name} {rating}\n" for name, rating in SCUT.items()]
    (lists / "All_labels.txt").write_text("".join(lines))
    (halves / "train.txt").write_text("".join(lines[:3]))
    (halves / "test.txt").write_text(lines[3])
    (fold / "train_2.txt").write_text("".join(lines[1:]))
    (fold / "test_2.txt").write_text(lines[0])
    for i, name in enumerate(SCUT):
        picture(path / images / name, value=10 * i)
    return path


def pixels_of(value):
    return " ".join([str(value)] * (48 * 48))


def fer2013(path, header="emotion,pixels,Usage"):
    """Four rows: angry and happy for training, sad and neutral for the two tests."""
    rows = [(0, 10, "Training"), (3, 20, "Training"), (4, 30, "PublicTest"), (6, 40, "PrivateTest")]
    names = [name.strip() for name in header.split(",")]
    lines = [header]
    for emotion, value, usage in rows:
        row = {"emotion": str(emotion), "pixels": pixels_of(value), "Usage": usage}
        lines.append(",".join(row[name] for name in names))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def png(value, size=8):
    out = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(out, "png")
    return out.getvalue()


FEATURES = {
    "image": {"_type": "Image"},
    "emotion": {"_type": "ClassLabel", "names": ["angry", "happy"]},
    "smiling": {"_type": "ClassLabel", "names": ["no", "yes"]},
    "age": {"_type": "Value", "dtype": "float32"},
    "celeb_id": {"_type": "Value", "dtype": "int64"},
    "box": {"_type": "List", "feature": {"_type": "Value", "dtype": "float32"}},
}


def arrow(n=6, start=0, features=FEATURES, **changed):
    """A table as the datasets library keeps it: images as structs, classes as numbers, features in the metadata."""
    columns = {
        "image": [{"bytes": png(10 * (start + i)), "path": None} for i in range(n)],
        "emotion": [i % 2 for i in range(n)],
        "smiling": [(i // 2) % 2 for i in range(n)],
        "age": [20.0 + start + i for i in range(n)],
        "celeb_id": [i // 2 for i in range(n)],
        "box": [[0.0, 1.0]] * n,
        **changed,
    }
    table = pa.table(columns)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if features else None
    return table.replace_schema_metadata(metadata)


def write_arrow(table, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


def write_parquet(table, path, rows=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows)
    return path


def saved(path, tables, split=None, **state):
    """A folder as `Dataset.save_to_disk` writes it, a file a table."""
    names = [f"data-{k:05d}-of-{len(tables):05d}.arrow" for k in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        write_arrow(table, path / name)
    held = {"_data_files": [{"filename": name} for name in names], "_split": split, **state}
    (path / "state.json").write_text(json.dumps(held))
    (path / "dataset_info.json").write_text(json.dumps({"license": "cc0", "features": FEATURES}))
    return path
