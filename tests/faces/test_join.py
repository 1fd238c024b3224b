import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from fusiform.errors import DataError, ImageError, SpecError
from fusiform.faces import Attribute, FaceSet, join_faces, open_faces, split_identities

RNG = np.random.default_rng(0)


def made_up(name, n=4, side=20, *, table=None, schema=None, points=None, parts=("nose",)):
    table = pd.DataFrame({"identity": [f"p{i // 2}" for i in range(n)]}) if table is None else table
    images = RNG.integers(0, 256, (n, 3, side, side), dtype=np.uint8)
    masks = {part: RNG.random((n, side, side)) > 0.5 for part in parts}
    located = None if points is None else RNG.uniform(2, side - 2, (n, points, 2))
    return FaceSet.from_arrays(images, table, schema, points=located, masks=masks, name=name)


def test_pixels_points_and_masks_are_those_of_the_sets():
    a, b = made_up("a", points=5), made_up("b", 6, points=68, parts=("mouth", "nose"))
    joined = join_faces([a, b])
    assert torch.equal(joined.images(), torch.cat([a.images(), b.images()]))
    assert np.array_equal(joined.keypoints, np.concatenate([a.keypoints, b.keypoints]))
    assert joined.landmarks is None
    assert joined.parts == ("nose",)
    assert torch.equal(joined.mask("nose"), torch.cat([a.mask("nose"), b.mask("nose")]))
    mixed = [9, 0, 4, 3, 5]
    assert torch.equal(joined.subset(mixed).images(), joined.images()[mixed])
    assert torch.equal(joined.mask("nose", mixed), joined.mask("nose")[mixed])
    assert np.array_equal(joined.subset(mixed).keypoints, joined.keypoints[mixed])
    assert torch.equal(joined.image(7), b.image(3))
    assert joined.name == "a+b"
    assert joined.table["set"].tolist() == ["a"] * 4 + ["b"] * 6
    assert joined.schema["set"].kind == "categorical"
    assert join_faces([b, b.subset([0])]).landmarks.shape == (7, 68, 2)


def test_a_set_without_landmarks_has_unknown_ones():
    a, b = made_up("a", points=5), made_up("b")
    joined = join_faces([a, b])
    assert joined.n_landmarks == 5
    assert np.isnan(joined.keypoints[4:]).all()
    with pytest.raises(DataError, match="4 of 8 images of 'a\\+b' have no usable landmarks"):
        joined.aligned()
    assert joined.aligned(missing="drop").table["set"].tolist() == ["a"] * 4
    assert join_faces([b, b]).n_landmarks is None
    assert join_faces([b, made_up("c", parts=())]).parts == ()


def test_sets_of_different_sizes_say_what_to_do():
    joined = join_faces([made_up("a", side=20), made_up("b", side=24)])
    with pytest.raises(
        DataError, match=r"2 different sizes .*20 x 20, 24 x 24.*\.aligned\(template\).*\.resized"
    ):
        joined.images()
    assert joined.resized(16).images().shape == (8, 3, 16, 16)
    assert joined.subset([1, 2]).size == (20, 20)


def test_steps_taken_alike_are_kept_as_steps():
    a, b = made_up("a", points=5), made_up("b", side=30, points=5)
    before, after = join_faces([a, b]).aligned(), join_faces([a.aligned(), b.aligned()])
    assert torch.equal(before.images(), after.images())
    assert before.digest() == after.digest()
    # A further step starts from the originals, not from aligned pixels.
    assert torch.equal(before.resized(40).images(), after.resized(40).images())


def test_steps_taken_differently_are_kept_in_each_set():
    a, b = made_up("a", points=5), made_up("b", side=30, points=5)
    moved, small = a.aligned(), b.resized(112)
    joined = join_faces([moved, small])
    assert joined.size == (112, 112)
    assert torch.equal(joined.images([5, 1]), torch.stack([small.image(1), moved.image(1)]))
    assert torch.equal(
        joined.mask("nose", [0, 4]), torch.stack([moved.mask("nose", [0])[0], small.mask("nose", [0])[0]])
    )
    assert np.allclose(joined.keypoints, np.concatenate([moved.keypoints, small.keypoints]))
    assert (
        len({joined.digest(), join_faces([moved, b.resized(96)]).digest(), join_faces([a, small]).digest()})
        == 3
    )
    assert len(joined.readable()) == 8


def test_ids_clash_and_do_not():
    a, b = made_up("a"), made_up("b")
    assert join_faces([a, b]).table["image_id"][[0, 4]].tolist() == ["a/0", "b/0"]
    c = made_up("c", table=pd.DataFrame({"image_id": ["u", "v", "w", "x"]}))
    assert join_faces([a, c]).table["image_id"].tolist() == ["0", "1", "2", "3", "u", "v", "w", "x"]
    same = join_faces([a, a, a])
    assert same.table["set"].unique().tolist() == ["a", "a-2", "a-3"]
    assert same.table["image_id"][4] == "a-2/0"


def test_people_of_different_sets_are_different_and_splits_keep_them_whole():
    a = made_up("a", 12)
    b = made_up("b", 12, table=pd.DataFrame({"person": [f"p{i // 2}" for i in range(12)]}))
    joined = join_faces([a, b])
    assert joined.identity == "identity"
    assert joined.table["identity"].nunique() == 12
    assert "person" not in joined.schema
    parts = split_identities(joined.table["identity"])
    people = [set(joined.table["identity"].iloc[part]) for part in parts]
    assert len(set.union(*people)) == sum(map(len, people)) == 12
    assert len(joined.subset(parts[0]).images()) == len(parts[0])
    assert join_faces([a, b], same_people=True).table["identity"].nunique() == 6


def test_attributes_are_united_and_missing_ones_unknown():
    a = made_up("a", 2, table=pd.DataFrame({"Male": [1, -1], "age": [20.0, None], "race": ["x", "y"]}))
    b = made_up("b", 2, table=pd.DataFrame({"Male": [1, 1], "yaw": [5.0, -5.0], "identity": ["007", None]}))
    table = join_faces([a, b]).table
    assert table["Male"].tolist() == [True, False, True, True]
    assert table["age"].isna().tolist() == [False, True, True, True]
    assert table["race"].isna().sum() == table["yaw"].isna().sum() == 2
    assert table["identity"].isna().tolist() == [True, True, False, True]
    assert table["identity"][2] == "b/007"
    schema = join_faces([a, b]).schema
    assert [(k, v.kind) for k, v in schema.items()][:3] == [
        ("set", "categorical"),
        ("identity", "identity"),
        ("Male", "binary"),
    ]
    assert schema["age"].unit == "years"
    assert set(join_faces([a, b], attributes=["yaw"]).schema) == {"set", "identity", "yaw"}
    # One that is missing everywhere in a set still has the type of its kind.
    assert str(join_faces([b, a]).table["Male"].dtype) == "boolean"
    assert str(join_faces([a.subset([0]), b]).table["race"].dtype) == "string"


def test_kinds_that_differ_are_refused_with_what_to_do():
    a = made_up("a", 4, table=pd.DataFrame({"age": [20.0, 31, 42, 53]}))
    b = made_up("b", 4, table=pd.DataFrame({"age": ["young", "old", "young", "old"]}))
    with pytest.raises(
        DataError, match=r"'age' is continuous in years in 'a' and categorical in 'b'.*attributes=\[\.\.\.\]"
    ):
        join_faces([a, b])
    months = a.with_attribute("age", [240.0, 1, 2, 3], Attribute("continuous", "months"))
    with pytest.raises(DataError, match="in years in 'a' and continuous in months in 'a-2'"):
        join_faces([a, months])
    assert "age" not in join_faces([a, b], attributes=[]).schema
    with pytest.raises(
        DataError, match="None of the sets to join has an attribute 'agee'; did you mean 'age'"
    ):
        join_faces([a, b], attributes=["agee"])


def test_who_predicted_what_is_not_lost():
    a = made_up("a", 2).with_attribute("Male", [True, False], Attribute("binary", description="labelled"))
    b = made_up("b", 2).with_attribute("Male", [True, True], Attribute("binary", predicted_by="net"))
    assert join_faces([a, b]).schema["Male"].predicted_by == "net (in b)"
    assert join_faces([a, b]).schema["Male"].description == "labelled (in a)"
    assert join_faces([b, b]).schema["Male"].predicted_by == "net"
    assert join_faces([a, a]).schema["Male"].predicted_by is None


def test_joined_sets_are_joined_again():
    a, b, c = made_up("a", 2), made_up("b", 2), made_up("c", 2)
    twice = join_faces([join_faces([a, b]), c])
    assert twice.table["set"].tolist() == ["a", "a", "b", "b", "c", "c"]
    assert twice.table["identity"].nunique() == 3
    assert torch.equal(twice.image(3), b.image(1))
    again = join_faces([join_faces([a, b]), join_faces([a, c])])
    assert again.table["set"].unique().tolist() == ["a", "b", "a-2", "c"]
    assert again.table["identity"].nunique() == 4


def test_a_column_called_set():
    table = pd.DataFrame({"set": ["train", "test", "train", "test"]})
    joined = join_faces([made_up("a", table=table), made_up("b")])
    assert joined.table["set"].unique().tolist() == ["a/train", "a/test", "b"]
    table = pd.DataFrame({"set": ["train", None, "train", "test"]})
    with pytest.raises(DataError, match=r"column 'set' that does not name a set for every image.*ignore=set"):
        join_faces([made_up("a", table=table), made_up("b")])
    table = pd.DataFrame({"person": ["p", "q"], "identity": ["1", "2"]})
    with pytest.raises(DataError, match="in 'person' and has a further column 'identity'"):
        join_faces([made_up("a", 2, table=table)])


def test_a_joined_set_travels_to_other_processes():
    joined = join_faces([made_up("a", points=5), made_up("b").resized(20)])
    assert torch.equal(pickle.loads(pickle.dumps(joined)).images(), joined.images())


def test_nothing_to_join():
    with pytest.raises(DataError, match="no sets to join"):
        join_faces([])
    with pytest.raises(DataError, match="Only sets of faces can be joined; got str"):
        join_faces(["folder:x"])


@pytest.fixture
def folders(tmp_path):
    for name in ("one", "two|2"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(RNG.integers(0, 256, (9, 8, 3), dtype=np.uint8)).save(
                tmp_path / name / f"{i}.png"
            )
    (tmp_path / "one" / "1.png").write_bytes(b"no image")
    return tmp_path


def test_a_joined_specification_and_images_that_cannot_be_read(folders):
    spec = f"join:folder:{folders}/one|folder:{folders}/two%7C2|synthetic?n=2&size=48|name=all"
    faces = open_faces(spec)
    assert (len(faces), faces.name) == (8, "all")
    assert open_faces(faces.spec).digest() == faces.digest()
    assert faces.spec.endswith("|name=all")
    assert not faces.provenance["synthetic"]
    assert [each["reader"] for each in faces.provenance["sets"]] == ["folder", "folder", "synthetic"]
    seen = []
    good = faces.readable(progress=lambda done, total: seen.append((done, total)))
    assert good.skipped["image_id"].tolist() == ["one/1.png"]
    assert seen[-1] == (8, 8)
    with pytest.raises(ImageError, match=r"Image 'one/1\.png' cannot be read"):
        faces.image(1)
    # What was left out before joining is still told, under an id that is not another set's image.
    late = join_faces(
        [open_faces(f"folder:{folders}/one").readable(), open_faces(f"folder:{folders}/two%7C2")]
    )
    assert late.skipped["image_id"].tolist() == ["one/1.png"]


def test_options_of_a_joined_specification():
    spec = "join:synthetic?n=6&identities=3&size=48|synthetic?n=6&identities=3&size=64"
    assert open_faces(spec).table["identity"].nunique() == 6
    same = open_faces(f"{spec}|same_people=yes|attributes=Male,yaw")
    assert same.table["identity"].nunique() == 3
    assert list(same.schema) == ["set", "identity", "Male", "yaw"]
    assert open_faces(same.spec).digest() == same.digest()
    assert open_faces(spec, same_people=True, name="x").spec.endswith("|name=x|same_people=yes")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("join:", "need two or more specifications with '|' between"),
        ("join:synthetic?n=2|same_person=yes", "no option 'same_person'; did you mean 'same_people'"),
        ("join:synthetic?n=2|same_people=maybe", "must be yes or no; got 'maybe'"),
        ("join:synthetic?n=2|join:synthetic?n=2", "cannot stand within another"),
        ("join:synthetic?n=2|foldr:x", "no scheme 'foldr' for faces; did you mean 'folder'"),
    ],
)
def test_joined_specifications_that_are_none(spec, says):
    with pytest.raises(SpecError) as caught:
        open_faces(spec)
    assert says in str(caught.value)


def test_joining_reads_no_image():
    class Lazy:
        n_points, parts = None, ()

        def __getattr__(self, name):
            raise AssertionError(f"{name} was asked")

    table = pd.DataFrame({"image_id": ["a", "b"]})
    faces = FaceSet(name="lazy", table=table, schema={}, source=Lazy())
    assert len(join_faces([faces, faces])) == 4
