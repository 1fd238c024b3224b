"""Maps as pictures, scores and parts as figures."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusiform.errors import DataError
from fusiform.plotting import (
    draw_map,
    draw_map_scale,
    explained_parts,
    explained_scores,
    map_scale,
    map_sheet,
)

GREY = np.full((12, 10, 3), 120, dtype=np.uint8)


def test_red_is_for_blue_against_and_zero_leaves_the_grey_face():
    values = np.zeros((12, 10))
    values[2, 3], values[5, 6] = 2.0, -2.0
    drawn = draw_map(values, GREY, 2.0).astype(int)
    base = drawn[0, 0]
    assert len(set(base)) == 1
    assert (drawn[values == 0] == base).all()
    red, blue = drawn[2, 3], drawn[5, 6]
    assert red[0] > base[0] > red[2]
    assert blue[2] > base[2] > blue[0]


def test_one_scale_makes_colours_comparable_and_magnitudes_beyond_it_are_full():
    weak, strong = (draw_map(np.full((2, 2), v), GREY, 4.0).astype(int) for v in (1.0, 4.0))
    base = draw_map(np.zeros((2, 2)), GREY, 4.0).astype(int)
    assert np.allclose(weak - base, (strong - base) / 4, atol=1)
    assert (draw_map(np.full((2, 2), 9.0), GREY, 4.0) == strong).all()


def test_a_map_of_zeros_shows_the_face_alone():
    assert (draw_map(np.zeros((3, 3)), GREY) == draw_map(np.zeros((3, 3)), GREY, 5.0)).all()


def test_what_is_not_known_is_not_drawn_and_does_not_darken_its_neighbours():
    values = np.ones((6, 5))
    values[:, 2:] = np.nan
    drawn, plain = draw_map(values, GREY, 1.0), draw_map(np.zeros((6, 5)), GREY, 1.0)
    assert (drawn[:, 6:] == plain[:, 6:]).all()
    assert (drawn[:, :3] == draw_map(np.ones((6, 5)), GREY, 1.0)[:, :3]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20), st.integers(1, 20))
def test_a_picture_has_the_size_of_its_image(h, w, a, b):
    rng = np.random.default_rng(h * 10 + w)
    image = rng.integers(0, 256, (a, b, 3), dtype=np.uint8)
    assert draw_map(rng.normal(size=(h, w)), image).shape == (a, b, 3)
    assert draw_map(rng.normal(size=(h, w))).shape == (h, w, 3)


def test_the_scale_leaves_single_pixels_out_and_is_never_made_of_nothing():
    values = np.ones((40, 40))
    values[0, 0] = 1000
    assert map_scale([values]) == 1.0
    alone = np.zeros((40, 40))
    alone[3, 3] = -7
    assert map_scale([alone]) == 7.0
    assert map_scale([np.zeros((2, 2)), np.full((2, 2), np.nan)]) == 0.0
    assert map_scale([np.full((2, 2), np.nan)]) == 0.0


def test_the_bar_runs_from_against_to_for():
    bar = draw_map_scale(101, 3).astype(int)
    assert bar[0, 0, 2] > bar[0, 0, 0]
    assert bar[0, -1, 0] > bar[0, -1, 2]
    assert (bar[0, 50] == bar[0, 50, 0]).all()


@pytest.mark.parametrize(
    ("values", "image", "scale", "says"),
    [
        (np.zeros(3), None, None, r"shape \(height, width\); got \(3,\)"),
        (np.zeros((2, 2)), np.zeros((2, 2, 3)), None, "must be a uint8 array"),
        (np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), None, "must be a uint8 array"),
        (np.zeros((2, 2)), None, -1.0, "at least 0 and finite; got -1.0"),
        (np.zeros((2, 2)), None, np.nan, "finite; got nan"),
    ],
)
def test_what_cannot_be_drawn(values, image, scale, says):
    with pytest.raises(DataError, match=says):
        draw_map(values, image, scale)


def test_a_sheet_has_a_row_a_method_and_a_column_an_image():
    rows = [("occlusion", "below", [GREY, None]), ("a very long name of a method indeed", "", [GREY, GREY])]
    small, large = map_sheet(rows[:1], ["a", "b"]), map_sheet(rows, ["a", "b"], title="T", note="n " * 200)
    assert large.height > small.height + 168
    assert large.width == small.width
    pixels = np.asarray(small)
    assert (pixels[-40:, -60:] == 255).all()  # the empty place
    with pytest.raises(DataError, match="no maps"):
        map_sheet([], ["a"])
    with pytest.raises(DataError, match="'x' has 1 pictures for 2 columns"):
        map_sheet([("x", "", [GREY])], ["a", "b"])


SCORE = {"image": "a", "other": "b", "score": 0.6, "threshold": 0.35, "lower": 0.31, "upper": 0.38}


def test_a_score_is_drawn_beside_its_threshold_and_its_interval():
    figure = explained_scores(pd.DataFrame([SCORE]))
    assert figure.data[0].x == (0.6,)
    assert [shape.type for shape in figure.layout.shapes] == ["rect", "line"]
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[1].x0) == (0.31, 0.35)
    bare = explained_scores(
        pd.DataFrame([SCORE | {"threshold": None, "lower": None, "upper": None, "score": -0.5}])
    )
    assert not bare.layout.shapes
    assert bare.layout.xaxis.range[0] < -0.5
    with pytest.raises(DataError, match="lacks the columns"):
        explained_scores(pd.DataFrame([{"image": "a"}]))


def test_parts_are_in_order_of_their_values_with_their_range():
    rows = [
        {"image": image, "part": part, "value": value, "lower": value - 0.1, "upper": value + 0.2}
        for image in "ab"
        for part, value in (("left_eye", -0.2), ("nose", 0.5))
    ]
    figure = explained_parts(pd.DataFrame(rows))
    assert [trace.name for trace in figure.data] == ["a", "b"]
    assert figure.data[0].y == ("nose", "left eye")
    assert figure.data[0].error_x.array == pytest.approx((0.2, 0.2))
    assert len(set(figure.data[0].marker.color)) == 2
    with pytest.raises(DataError, match="no rows"):
        explained_parts(pd.DataFrame(rows[:0], columns=list(rows[0])))
