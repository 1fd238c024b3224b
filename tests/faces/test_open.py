import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fusiform.errors import DataError, SpecError
from fusiform.faces import FaceSet, open_faces
from fusiform.faces.readers import READERS, reader


@pytest.fixture
def table(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    path = tmp_path / "people.csv"
    path.write_text("file,age,code,who\na.png,31,1,x\nb.png,40,2,y\n")
    return path


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("foldr:x", "no scheme 'foldr' for faces; did you mean 'folder'"),
        ("folder", r"need a path, as in 'folder:PATH'"),
        ("folder:", r"need a path, as in 'folder:PATH'"),
        ("synthetic:x", r"take no path; got 'x'.*synthetic\?n=512"),
        ("synthetic?n=x", "option 'n' of 'synthetic' must be a whole number; got 'x'"),
        ("synthetic?n=2.5", "must be a whole number; got '2.5'"),
        ("synthetic?n=0", "The 'n' of synthetic faces must be an int of at least 1; got 0"),
        ("synthetic?size=8", r"must be an int in \[32, 512\] pixels; got 8"),
        ("synthetic?sed=1", "no option 'sed'; did you mean 'seed'"),
        ("synthetic?n", "Options are written 'name=value' and separated by '&'; got 'n'"),
        ("synthetic?n=1&n=2", "option 'n' is given twice"),
        ("/data/faces.csv", r"Did you mean 'table:/data/faces\.csv'"),
        ("data/faces", r"Did you mean 'folder:data/faces'"),
        ("", "given as 'scheme:path'"),
        (3, "given as a text such as 'folder:PATH'.*; got 3"),
    ],
)
def test_specs_that_cannot_be_read(spec, says):
    with pytest.raises(SpecError, match=says):
        open_faces(spec)


def test_a_path_that_is_not_there_offers_what_is(table):
    with pytest.raises(DataError, match=r"has no 'peple\.csv'; did you mean 'people\.csv'"):
        open_faces(f"table:{table.parent}/peple.csv")
    with pytest.raises(DataError, match=r"has no 'nowhere'"):
        open_faces(f"table:{table.parent}/nowhere/at/all.csv")


def test_a_path_that_cannot_be(tmp_path):
    with pytest.raises(DataError, match=r"The path 'xxx.*' cannot be read: File name too long"):
        open_faces("folder:" + "x" * 5000)
    with pytest.raises(DataError, match="The path '~nobody-of-this-name/x' cannot be read"):
        open_faces("folder:~nobody-of-this-name/x")


def test_options_in_the_spec_and_as_keywords_say_the_same(table):
    in_spec = open_faces(f"table:{table}?categorical=age&identity=who&ignore=code")
    keywords = open_faces(f"table:{table}", categorical=["age"], identity=("who",), ignore="code")
    kinds = open_faces(f"table:{table}", kinds={"age": "categorical", "who": "identity", "code": "ignore"})
    for faces in (in_spec, keywords, kinds):
        assert {k: a.kind for k, a in faces.schema.items()} == {"age": "categorical", "who": "identity"}
        again = open_faces(faces.spec)
        assert again.schema == faces.schema
        assert again.digest() == faces.digest()
    with pytest.raises(SpecError, match=r"kind of 'age' must be one of binary, .*; got 'real'"):
        open_faces(f"table:{table}", kinds={"age": "real"})
    with pytest.raises(SpecError, match="no option 'kind'; did you mean"):
        open_faces(f"table:{table}", kind={"age": "binary"})
    with pytest.raises(DataError, match="no column 'aeg'; did you mean 'age'"):
        open_faces(f"table:{table}?ignore=aeg")


def test_paths_with_odd_characters_home_and_relative(tmp_path, monkeypatch):
    odd = tmp_path / "50% & more? yes"
    odd.mkdir()
    Image.new("RGB", (8, 8)).save(odd / "a.png")
    quoted = str(odd).replace("%", "%25").replace("?", "%3F")
    faces = open_faces(f"folder:{quoted}")
    assert len(faces) == 1
    assert open_faces(faces.spec).digest() == faces.digest()
    plain = tmp_path / "100%25"
    plain.mkdir()
    Image.new("RGB", (8, 8)).save(plain / "a.png")
    assert len(open_faces(f"folder:{plain}")) == 1
    monkeypatch.chdir(tmp_path)
    assert open_faces("folder:100%25").name == "100%25"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_faces("folder:~/100%25").name == "100%25"


def test_a_new_reader_is_one_function():
    @reader("made_up_here", example="PATH")
    def open_made_up(*, n: int = 2) -> FaceSet:
        return FaceSet.from_arrays(np.zeros((n, 3, 8, 8), np.uint8), pd.DataFrame({"age": [1.5] * n}))

    try:
        faces = open_faces("made_up_here?n=3")
        assert len(faces) == 3
        assert faces.spec == "made_up_here?n=3"
        with pytest.raises(SpecError, match="scheme 'made_up_here' of faces is taken by"):
            reader("made_up_here")(open_made_up)
    finally:
        del READERS["made_up_here"]


def test_every_layout_of_the_documentation_is_registered():
    assert {"synthetic", "folder", "table", "celeba", "lfw", "utkface"} <= set(READERS)


def test_synthetic_sets_are_a_function_of_their_options():
    faces = open_faces("synthetic?n=6&seed=3&size=48")
    again = open_faces("synthetic?seed=3&size=48", n=6)
    assert faces.digest() == again.digest()
    assert open_faces("synthetic?n=6&seed=4&size=48").digest() != faces.digest()
    assert (faces.images([5]) == again.images()[5:]).all()
    assert faces.keypoints.shape == (6, 5, 2)
    assert ((faces.landmarks > -48) & (faces.landmarks < 96)).all()
    assert faces.card()["note"] == ""
    assert faces.mask("nose", [2, 0]).shape == (2, 48, 48)
    aligned = faces.aligned("arcface_112")
    assert (aligned.images([4])[0] == aligned.images()[4]).all()
    people = open_faces("synthetic?identities=3&per_identity=2&size=48")
    assert people.table[people.identity].value_counts().tolist() == [2, 2, 2]


def test_rendered_images_are_kept_within_bounds_and_cannot_be_written_into(monkeypatch):
    from fusiform.faces import _rendered as module

    monkeypatch.setattr(module, "_KEPT_BYTES", 2 * 3 * 40 * 40)
    drawn = []
    render = module.synthetic.render
    monkeypatch.setattr(module.synthetic, "render", lambda p, **how: drawn.append(len(p)) or render(p, **how))
    faces = open_faces("synthetic?n=3&seed=0&size=40")
    first = faces.images()
    kept = first.clone()
    first.zero_()
    again = faces.images([2, 1, 0, 1])
    assert (again == kept[[2, 1, 0, 1]]).all()
    assert drawn == [3, 1]
