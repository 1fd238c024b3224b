import numpy as np
import pytest

from fusiform.errors import DataError
from fusiform.plotting import contact_sheet

RED, GREEN = (250, 10, 10), (10, 250, 10)


def flat(colour, height=20, width=20):
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy()


def where(page, colour):
    """Rows and columns that a colour spans on the page."""
    found = (np.abs(np.asarray(page).astype(int) - colour) < 40).all(axis=2)
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def test_images_keep_their_proportions_and_stand_in_their_places():
    page = contact_sheet([flat(RED, 10, 40), flat(GREEN, 40, 10)], columns=2, cell_px=80)
    top, bottom, left, right = where(page, RED)
    assert (bottom - top, right - left) == (20, 80)
    other = where(page, GREEN)
    assert (other[1] - other[0], other[3] - other[2]) == (80, 20)
    # They stand on one line, one cell and a gap apart.
    assert bottom == other[1]
    assert other[2] - left == 92


def test_small_images_are_enlarged_and_large_ones_shrunk():
    for side in (4, 80, 500):
        top, bottom, left, right = where(contact_sheet([flat(RED, side, side)], cell_px=80), RED)
        assert (bottom - top, right - left) == (80, 80)


def test_a_group_begins_a_row_under_its_heading():
    images = [flat(RED)] * 3 + [flat(GREEN)]
    page = contact_sheet(images, groups=[("red", 3), ("green", 1)], columns=3, cell_px=40)
    red, green = where(page, RED), where(page, GREEN)
    assert green[0] > red[1] + 20
    assert green[2] == red[2]
    plain = contact_sheet(images, columns=3, cell_px=40)
    assert page.height == plain.height + 2 * 30


@pytest.mark.parametrize(
    "name", ["short", "a" * 300, "folder/with many words " * 20, "line\nbreak", "Ünï 名前", ""]
)
def test_captions_of_any_length_stay_in_their_cell(name):
    one = contact_sheet([flat(RED), flat(RED)], [["x", "y"], ["", ""]], columns=2, cell_px=60)
    page = contact_sheet([flat(RED), flat(RED)], [[name, name], ["", ""]], columns=2, cell_px=60, title=name)
    assert page.width == one.width
    written = np.asarray(page)[:, 20 + 60 + 2 : 20 + 60 + 10]
    below = where(page, RED)[1]
    assert (written[below:] == 255).all()


def test_an_image_that_cannot_be_read_has_its_cell():
    page = contact_sheet([flat(RED), None], [["a"], ["b"]], columns=2, cell_px=90)
    cell = np.asarray(page)[25:100, 20 + 102 + 5 : 20 + 102 + 85]
    assert not (cell == 255).all(axis=2).all()
    assert contact_sheet([None]).size == contact_sheet([flat(RED)]).size


def test_accents_are_left_out_rather_than_the_letter():
    with_accents, without = (
        contact_sheet([flat(RED)], [[name]]) for name in ("Jos\u00e9 \u00dcn\u2212", "Jose Un-")
    )
    assert with_accents.tobytes() == without.tobytes()
    assert with_accents.tobytes() != contact_sheet([flat(RED)], [["Jos n-"]]).tobytes()


def test_a_note_is_wrapped_and_a_lone_image_is_a_page():
    page = contact_sheet([flat(RED)], title="t", note="many words " * 30)
    assert page.height > contact_sheet([flat(RED)], title="t", note="few").height + 60
    assert contact_sheet([flat(RED)[..., 0]]).mode == "RGB"
    assert contact_sheet([flat(RED)] * 2, columns=50).width == 2 * 20 + 2 * 132 + 12


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([],), "There are no images to draw"),
        (([np.zeros((4, 4, 3))],), r"must be a uint8 array .*got float64 \(4, 4, 3\)"),
        (([flat(RED)], []), "captions for each image: 1 images, got 0"),
    ],
)
def test_what_cannot_be_drawn(arguments, says):
    with pytest.raises(DataError, match=says):
        contact_sheet(*arguments)


def test_layouts_that_cannot_be():
    with pytest.raises(DataError, match="at least 1 column and cells of 16 pixels; got 0 and 132"):
        contact_sheet([flat(RED)], columns=0)
    with pytest.raises(DataError, match="groups must count 1 images together; got 2"):
        contact_sheet([flat(RED)], groups=[("a", 2)])
