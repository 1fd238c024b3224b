import errno
import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from fusiform.errors import DataError, ImageError, RunError
from fusiform.faces import Attribute, FaceSet, export_faces, join_faces, open_faces
from fusiform.faces._export import open_export

RNG = np.random.default_rng(0)


def made_up(n=5, sides=(20,), points=5, masks=("nose", "left eye")):
    table = pd.DataFrame(
        {
            "image_id": ["a/1.jpg", "../b.jpg", 'c "quoted", with comma', "007", "e"][:n],
            "Male": [1, -1, None, 1, -1][:n],
            "Bald": [True, False, True, True, False][:n],
            "age": [0.1 + 0.2, 1 / 3, None, 1e-17, 123456789.123456789][:n],
            "count": [1, 2, 3, 4, 5][:n],
            "race": ["NA", "None", None, "1.5", "über\nzwei"][:n],
            "file": ["x", "y", "x", "y", "x"][:n],
            "identity": ["007", "NA", None, "x y", "null"][:n],
        }
    )
    schema = {
        "Male": Attribute("binary", description="as labelled"),
        "Bald": Attribute("binary"),
        "age": Attribute("continuous", "years", "guessed", predicted_by="some net"),
        "count": Attribute("categorical"),
        "race": Attribute("categorical"),
        "file": Attribute("categorical"),
        "identity": Attribute("identity"),
    }
    images = [RNG.integers(0, 256, (3, sides[i % len(sides)], 18), dtype=np.uint8) for i in range(n)]
    located = None if points is None else RNG.uniform(2, 16, (n, points, 2)).astype(np.float32)
    if located is not None:
        located[1] = np.nan
    return FaceSet.from_arrays(
        images,
        table,
        schema,
        points=located,
        masks={part: [RNG.random(image.shape[1:]) > 0.5 for image in images] for part in masks},
        name="made up",
        provenance={"licence": "none", "paper": "A (2020)", "synthetic": True},
    )


def same(faces, again, parts=()):
    pd.testing.assert_frame_equal(faces.table, again.table, check_exact=True)
    assert again.schema == faces.schema
    assert again.name == faces.name
    pd.testing.assert_frame_equal(faces.skipped, again.skipped)
    for i in range(len(faces)):
        assert torch.equal(faces.image(i), again.image(i))
    for points in ("landmarks", "keypoints"):
        one, two = getattr(faces, points), getattr(again, points)
        assert (one is None) == (two is None)
        if one is not None:
            # Of 68 points, the five are means, which are taken of what was written: six digits.
            assert np.allclose(one, two, rtol=1e-6, atol=0, equal_nan=True)
            assert np.array_equal(one, two, equal_nan=True) or one.shape[1] < faces.n_landmarks
    assert again.parts == tuple(parts)
    for part in parts:
        for i in range(len(faces)):
            assert torch.equal(faces.subset([i]).mask(part), again.subset([i]).mask(part))


@pytest.mark.parametrize("points", [None, 5, 68])
@pytest.mark.parametrize("sides", [(20,), (20, 24)])
def test_an_export_reads_back_as_it_was(tmp_path, points, sides):
    faces = made_up(points=points, sides=sides)
    table = export_faces(faces, tmp_path / "out", masks=["left eye", "nose"])
    assert table == tmp_path / "out" / "table.csv"
    again = open_faces(f"table:{table}")
    same(faces, again, ["left eye", "nose"])
    assert again.provenance["licence"] == "none"
    assert again.card()["note"] == ""
    # And once more: nothing is lost on the way.
    same(
        faces,
        open_faces(f"table:{export_faces(again, tmp_path / 'again', masks=['left eye', 'nose'])}"),
        again.parts,
    )
    assert not list(tmp_path.rglob("*.part"))


def test_names_that_lead_elsewhere_write_nothing_elsewhere(tmp_path):
    export_faces(made_up(), tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["images", "schema.json", "table.csv"]
    assert len(list((tmp_path / "out" / "images").iterdir())) == 5


def test_what_was_done_to_the_faces_is_in_the_pixels(tmp_path):
    faces = open_faces("synthetic?n=6&size=64").aligned("arcface_112")
    again = open_faces(f"table:{export_faces(faces, tmp_path, masks=['mouth'])}")
    same(faces, again, ["mouth"])
    exported = again.provenance["exported"]
    assert exported["spec"] == "synthetic?n=6&size=64"
    assert exported["geometry"][0]["template"] == "arcface_112"
    assert again.provenance["geometry"] == []
    assert again.landmarks.shape == (6, 68, 2)
    half = again.resized(56)
    assert (
        torch.equal(half.images(), faces.resized(56).images()) is False
    )  # from aligned pixels, not the originals
    assert half.size == (56, 56)


def test_joined_and_thinned_sets(tmp_path):
    faces = join_faces([made_up(points=None), open_faces("synthetic?n=4&size=48")]).subset([8, 1, 3, 6])
    again = open_faces(f"table:{export_faces(faces, tmp_path)}")
    same(faces, again)
    assert again.table["set"].tolist() == ["synthetic", "made up", "made up", "synthetic"]


def test_what_was_left_out_is_told(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(4):
        Image.fromarray(RNG.integers(0, 256, (9, 8, 3), dtype=np.uint8)).save(tmp_path / "in" / f"{i}.png")
    (tmp_path / "in" / "2.png").write_bytes(b"no image")
    faces = open_faces(f"folder:{tmp_path}/in")
    with pytest.raises(ImageError, match=r"Image '2\.png' cannot be read"):
        export_faces(faces, tmp_path / "out")
    assert not (tmp_path / "out" / "table.csv").exists()
    good = faces.readable()
    with pytest.raises(
        RunError, match="not the one asked for: the set 'in', its geometry or its masks differ"
    ):
        export_faces(good, tmp_path / "out")
    again = open_faces(f"table:{export_faces(good, tmp_path / 'out', overwrite=True)}")
    same(good, again)
    assert again.skipped["reason"].tolist() == ["not an image in a known format"]


def test_a_broken_off_export_is_continued(tmp_path, monkeypatch):
    faces = open_faces("synthetic?n=150&size=32")

    class StopError(Exception):
        pass

    def stop(done, total):
        if done >= 64:
            raise StopError

    with pytest.raises(StopError):
        export_faces(faces, tmp_path, progress=stop)
    kept = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "images").iterdir()}
    assert len(kept) == 64
    assert not (tmp_path / "table.csv").exists()
    seen = []
    export_faces(faces, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(64, 150), (128, 150), (150, 150)]
    now = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "images").iterdir()}
    assert len(now) == 150
    assert {name: now[name] for name in kept} == kept
    same(faces, open_faces(f"table:{tmp_path}/table.csv"))
    # Masks belong to what was asked: with others it is another export.
    with pytest.raises(RunError, match="its masks differ"):
        export_faces(faces, tmp_path, masks=["mouth"])


def test_a_folder_is_never_emptied_of_what_is_not_an_export(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.png").write_text("mine")
    with pytest.raises(RunError, match="holds files that are no export of faces; choose an empty folder"):
        export_faces(made_up(), tmp_path, overwrite=True)
    assert (tmp_path / "images" / "mine.png").read_text() == "mine"
    with pytest.raises(RunError, match="is a file; faces are exported into a folder"):
        export_faces(made_up(), tmp_path / "images" / "mine.png")


def test_overwriting_leaves_what_is_not_its_own(tmp_path):
    export_faces(made_up(), tmp_path, masks=["nose"])
    (tmp_path / "notes.txt").write_text("mine")
    other = open_faces("synthetic?n=2&size=32")
    with pytest.raises(RunError, match="holds an export of 'made up' that is not the one asked for"):
        export_faces(other, tmp_path)
    same(other, open_faces(f"table:{export_faces(other, tmp_path, overwrite=True)}"))
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "masks").exists()


def test_a_full_disk_is_explained(tmp_path, monkeypatch):
    def full(self, *args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(RunError, match=r"The disk is full: .*give the same command again to continue"):
        export_faces(made_up(), tmp_path)


def test_masks_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="no mask of 'nosse' to export; did you mean 'nose'"):
        export_faces(made_up(), tmp_path, masks=["nosse"])
    with pytest.raises(DataError, match="this set has no masks"):
        export_faces(made_up(masks=()), tmp_path, masks=["nose"])
    assert list(tmp_path.iterdir()) == []


# reading ---------------------------------------------------------------------------------------------


@pytest.fixture
def exported(tmp_path):
    return export_faces(made_up(), tmp_path / "out", masks=["nose"])


def test_a_table_that_was_edited_keeps_what_is_known(exported):
    table = pd.read_csv(exported, dtype=str, keep_default_na=False)
    table["mood"] = ["good", "bad", "good", "bad", "good"]
    table.drop(columns="Bald").iloc[[3, 0]].to_csv(exported, index=False)
    faces = open_faces(f"table:{exported}")
    assert faces.table["image_id"].tolist() == ["007", "a/1.jpg"]
    assert faces.schema["mood"].kind == "categorical"
    assert "Bald" not in faces.schema
    assert faces.schema["age"].predicted_by == "some net"
    assert torch.equal(faces.image(0), made_up_image(exported, 3))
    assert faces.mask("nose", [0]).shape == (1, 20, 18)


def made_up_image(table, number):
    with Image.open(table.parent / "images" / f"{number:06d}.png") as image:
        return torch.from_numpy(np.array(image).transpose(2, 0, 1).copy())


def test_given_kinds_win_over_the_description(exported):
    faces = open_faces(f"table:{exported}?categorical=Bald")
    assert faces.schema["Bald"].kind == "categorical"


def test_files_that_vanished_are_told(exported):
    (exported.parent / "images" / "000002.png").unlink()
    (exported.parent / "masks" / "nose" / "000000.png").unlink()
    Image.new("L", (3, 3)).save(exported.parent / "masks" / "nose" / "000001.png")
    faces = open_faces(f"table:{exported}")
    assert len(faces) == 4
    assert faces.skipped["image_id"].tolist() == ['c "quoted", with comma']
    assert "no such file" in faces.skipped["reason"][0]
    with pytest.raises(
        ImageError, match=r"Image 'a/1\.jpg' cannot be read: its mask of 'nose', 'masks/nose/000000"
    ):
        faces.mask("nose", [0])
    with pytest.raises(ImageError, match="its mask of 'nose' has another size than the image"):
        faces.mask("nose", [1])


def test_points_that_are_no_numbers(exported):
    table = pd.read_csv(exported, dtype=str, keep_default_na=False)
    table.loc[2, "lm_nose_x"] = "left"
    table.to_csv(exported, index=False)
    with pytest.raises(DataError, match=r"landmark column of .* holds something else than numbers: .*left"):
        open_export(exported)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.pop("status"), "is not complete, or was made by another version"),
        (lambda d: d.update(version=99), "is not complete, or was made by another version"),
        (lambda d: d.pop("attributes"), "does not describe an export of faces"),
        (lambda d: d["attributes"].update(Male={"kind": "odd"}), "does not describe an export of faces"),
        (lambda d: d["attributes"].update(Male=3), "does not describe an export of faces"),
        (lambda d: d.update(file="files"), "lacks the columns files, which its export had"),
    ],
)
def test_descriptions_that_are_broken(exported, change, says):
    path = exported.parent / "schema.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    change(described)
    path.write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        open_export(exported)
    assert says in str(caught.value)


def test_paths_that_lead_out_are_not_read(exported):
    secret = exported.parent.parent / "secret.png"
    Image.new("RGB", (18, 20)).save(secret)
    table = pd.read_csv(exported, dtype=str, keep_default_na=False)
    table.loc[0, "file_"] = "../secret.png"
    table.to_csv(exported, index=False)
    faces = open_faces(f"table:{exported}")
    assert "a/1.jpg" in faces.skipped["image_id"].tolist()
    assert "leads out" in faces.skipped["reason"][0]


def test_other_tables_are_no_exports(exported):
    (exported.parent / "schema.json").write_text("{}")
    assert open_export(exported) is None
    (exported.parent / "schema.json").write_text("not json")
    assert open_export(exported) is None
    (exported.parent / "schema.json").unlink()
    assert open_export(exported) is None
    assert len(open_faces(f"table:{exported}?image_column=file_")) == 5


def test_real_faces_come_back(realdata, tmp_path):
    folder = realdata / "images" / "restricted" / "celeba_half"
    faces = open_faces(f"table:{folder}/labels.csv").subset(np.arange(0, 10_000, 400))
    same(faces, open_faces(f"table:{export_faces(faces, tmp_path)}"))
