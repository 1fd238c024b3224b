"""The dictionary: of held-out people where a set allows it, of drawn faces with a caution else, and never of training pictures."""

import numpy as np
import pytest
from tests.studies.planted_bias.small import TINY, coloured, request

from fusiform.errors import DataError
from fusiform.faces import open_faces
from fusiform.networks import load_network
from fusiform.runs import Progress
from fusiform.studies.planted_bias._book import open_book, training_overlap
from fusiform.studies.planted_bias._pool import split_people, unknown_people

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def net():
    return load_network(TINY["network"])


@pytest.fixture(scope="module")
def faces():
    return open_faces("synthetic?n=80&seed=5&size=32")


def test_a_dictionary_is_of_held_out_people(net, faces):
    asked = request(dictionary_images=15)
    book = open_book(None, asked, net, faces, QUIET)
    assert (book.drawn, book.caution, len(book.dictionary.faces)) == (False, "", 15)
    rows, in_train = split_people("eyeglasses", faces, asked)
    trained = faces.subset(rows[in_train])
    people = set(trained.table[faces.identity])
    assert not people & set(book.dictionary.faces.table[faces.identity])
    assert len(people) > 2
    assert not len(training_overlap(book, faces, trained.table["image_id"], lambda done, total: None))


def test_drawn_faces_stand_in_with_a_caution(net):
    book = open_book(None, request(dictionary_images=12), net, coloured(40), QUIET)
    assert book.drawn
    assert "is of drawn faces, because none could be built of held-out people of 'coloured'" in book.caution
    assert open_book(None, request(dictionary_images=12), net, None, QUIET).caution == ""


def test_training_pictures_are_left_out_of_the_dictionary(net, faces):
    book = open_book(faces.subset(range(30)), request(), net, faces, QUIET)
    ids = faces.table["image_id"]
    found = training_overlap(book, faces, ids.iloc[20:50], lambda done, total: None)
    same = found[found["kind"] == "same pixels"]
    assert same["image_id"].tolist() == ids.iloc[20:30].tolist()
    less = book.without(same["image_id"])
    assert less.dictionary.faces.table["image_id"].tolist() == ids.iloc[:20].tolist()
    assert less.without(same["image_id"]) is less
    with pytest.raises(
        DataError, match=r"All images of the Face Dictionary .* are among the training pictures"
    ):
        book.without(ids)
    worn = book.dictionary.present["Eyeglasses"].to_numpy()
    with pytest.raises(DataError, match=rf"Without the {worn.sum()} images .* shows no eyeglasses"):
        book.without(book.dictionary.faces.table["image_id"][worn])


def test_people_that_nobody_knows_are_counted(faces):
    assert unknown_people(faces) == ""
    assert "Of 12 of the 12 images of 'coloured' it is not known whom they show" in unknown_people(
        coloured(12)
    )
    known = coloured(12, people=3)
    table = known.table.copy()
    table.loc[:1, "identity"] = None
    some = type(known).from_arrays(known.images(np.arange(12)), table, known.schema, name="some")
    assert "Of 2 of the 12 images of 'some'" in unknown_people(some)
