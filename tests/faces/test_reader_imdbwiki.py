import datetime

import numpy as np
import pytest
from scipy.io import savemat
from tests.faces.layouts_tables import cells, imdbwiki

from fusiform.errors import DataError, SpecError
from fusiform.faces import open_faces
from fusiform.faces.readers.imdbwiki import ages


def slow_age(born, year):
    """The year of the difference read as a date, as MATLAB's datevec does: day 1 is 1 January of the year 0."""
    lived = datetime.date(year, 7, 1).toordinal() + 366 - int(born)
    return float(datetime.date.fromordinal(lived - 366).year) if lived > 366 else 0.0


def test_ages_are_those_of_the_authors():
    born = np.random.default_rng(0).integers(693962, 735000, 500)  # 1900 to 2012
    year = 1 + np.array([datetime.date.fromordinal(int(day) - 366).year for day in born])
    year += np.random.default_rng(1).integers(0, 90, 500)
    assert ages(born.astype(float), year.astype(float)).tolist() == [
        slow_age(b, int(y)) for b, y in zip(born, year, strict=True)
    ]
    # Born on 5 May 1981, in the summer of 2009 and in that of the year of birth.
    assert ages(np.array([723671.0] * 2), np.array([2009.0, 1981.0])).tolist() == [28, 0]
    assert ages(np.array([723671.0]), np.array([1970.0]))[0] < 0
    assert np.isnan(ages(np.array([np.nan, 723671.0, 1e300]), np.array([2009.0, np.nan, 2009.0]))).all()


@pytest.mark.parametrize("inner", ["", "wiki_crop"])
def test_wiki(tmp_path, inner):
    folder = imdbwiki(tmp_path / inner)
    faces = open_faces(f"imdbwiki:{tmp_path}")
    assert faces.name == "wiki"
    assert faces.table["image_id"].tolist() == ["00/0.jpg", "01/1.jpg", "02/2.jpg", "05/5.jpg"]
    assert faces.table["age"].tolist() == [28, 9, 13, 39]
    assert faces.table["Male"].tolist()[:2] == [True, True]
    assert faces.table["Male"].isna().tolist() == [False, False, True, False]
    assert faces.table["identity"].tolist()[:3] == ["Ann Lee", "Ann Lee", "Bo"]
    assert faces.table["identity"].isna().tolist() == [False, False, False, True]
    assert faces.images()[:, 0, 0, 0].tolist() == [0, 10, 20, 50]
    assert faces.skipped.to_numpy().tolist() == [
        ["03/3.jpg", "no face was found in it when the set was made"],
        ["04/4.jpg", "an age of 369 years, outside 0 to 100"],
    ]
    assert faces.provenance["licence"] == "academic research only"
    assert len(open_faces(f"imdbwiki:{folder / 'wiki.mat'}")) == 4


def test_scores_and_second_faces(tmp_path):
    imdbwiki(tmp_path)
    faces = open_faces(f"imdbwiki:{tmp_path}?min_score=1.5&single_face=yes")
    assert faces.table["image_id"].tolist() == ["00/0.jpg", "01/1.jpg"]
    assert faces.skipped.set_index("image_id")["reason"][["02/2.jpg", "05/5.jpg"]].tolist() == [
        "a face score below 1.5",
        "a second face was found in it",
    ]
    assert len(open_faces(f"imdbwiki:{tmp_path}", min_score=1.5, single_face=True)) == 2
    with pytest.raises(SpecError, match="'min_score' of 'imdbwiki' must be a number; got 'high'"):
        open_faces(f"imdbwiki:{tmp_path}?min_score=high")
    with pytest.raises(SpecError, match="'single_face' of 'imdbwiki' must be yes or no; got 'maybe'"):
        open_faces(f"imdbwiki:{tmp_path}?single_face=maybe")
    with pytest.raises(DataError, match=r"All 6 images .*the first, '00/0\.jpg': a face score below 9"):
        open_faces(f"imdbwiki:{tmp_path}?min_score=9")
    imdbwiki(tmp_path, second_face_score=None)
    with pytest.raises(DataError, match="has no scores of second faces; open it without single_face"):
        open_faces(f"imdbwiki:{tmp_path}?single_face=yes")


def test_people_who_share_a_name_in_imdb(tmp_path):
    imdbwiki(tmp_path, "imdb", celeb_id=np.array([[7, 8, 9, 1, 2, 3]], dtype=np.uint16))
    faces = open_faces(f"imdbwiki:{tmp_path}")
    assert faces.name == "imdb"
    assert faces.table["identity"].tolist()[:3] == ["Ann Lee (7)", "Ann Lee (8)", "Bo"]


def test_two_lists_in_one_folder(tmp_path):
    imdbwiki(tmp_path / "imdb_crop", "imdb")
    imdbwiki(tmp_path / "wiki_crop", "wiki")
    with pytest.raises(DataError, match=r"more than one list .*imdb_crop/imdb\.mat.*wiki_crop/wiki\.mat"):
        open_faces(f"imdbwiki:{tmp_path}")
    assert open_faces(f"imdbwiki:{tmp_path / 'imdb_crop'}").name == "imdb"


def test_missing_and_repeated_images(tmp_path):
    imdbwiki(
        tmp_path, full_path=cells(["00/0.jpg", "00/0.jpg", "02/gone.jpg", "03/3.jpg", "04/4.jpg", "05/5.jpg"])
    )
    faces = open_faces(f"imdbwiki:{tmp_path}")
    assert faces.table["image_id"].tolist() == ["00/0.jpg", "05/5.jpg"]
    reasons = faces.skipped.set_index("image_id")["reason"]
    assert reasons["00/0.jpg"] == "listed more than once"
    assert "no such file in" in reasons["02/gone.jpg"]
    imdbwiki(tmp_path / "empty", pictures=False)
    with pytest.raises(DataError, match=r"None of the images is where .*first as '00/0\.jpg'"):
        open_faces(f"imdbwiki:{tmp_path / 'empty'}")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"dob": None}, r"struct 'wiki' of .* has no dob; it has"),
        ({"photo_taken": np.array([[2009, 2010]])}, "'photo_taken' has 2 entries for 6 images"),
        ({"gender": np.array([[1.0, 2.0, 0, 0, 0, 0]])}, r"entry 2 \('01/1\.jpg'\) has 2"),
        ({"full_path": cells(["a.jpg", None, "c", "d", "e", "f"])}, "entry 2 of 6 names no image"),
        ({"face_score": cells(["a"] * 6)}, "'face_score' must hold numbers"),
    ],
)
def test_lists_that_cannot_be(tmp_path, changed, says):
    imdbwiki(tmp_path, **changed)
    with pytest.raises(DataError, match=says):
        open_faces(f"imdbwiki:{tmp_path}")


def test_something_else(tmp_path):
    with pytest.raises(
        DataError, match=r"not laid out like IMDB-WIKI: looked for imdb\.mat or .*; found nothing"
    ):
        open_faces(f"imdbwiki:{tmp_path}")
    savemat(tmp_path / "wiki.mat", {"other": 1})
    with pytest.raises(DataError, match="must hold one struct called 'wiki'"):
        open_faces(f"imdbwiki:{tmp_path}")
    good = imdbwiki(tmp_path / "x") / "wiki.mat"
    good.write_bytes(good.read_bytes()[:500])
    with pytest.raises(DataError, match=r"cannot be read as a MATLAB file .*cut short"):
        open_faces(f"imdbwiki:{tmp_path / 'x'}")
    good.write_bytes(b"no MATLAB at all" * 40)
    with pytest.raises(DataError, match=r"cannot be read as a MATLAB file"):
        open_faces(f"imdbwiki:{good}")
