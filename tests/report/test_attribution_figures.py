"""The figures of a study of attribution."""

import numpy as np
import pandas as pd
import pytest
from tests.report import attribution_tables as planted

from fusiform.errors import DataError
from fusiform.faces import canonical_landmarks
from fusiform.plotting import (
    attribution_curves,
    attribution_dots,
    attribution_grid,
    attribution_matrix,
    attribution_sanity,
    draw_canonical,
)
from fusiform.plotting._attribution_study_lines import sanity_verdicts
from fusiform.plotting._attribution_study_maps import joined_pictures
from fusiform.plotting._attribution_study_rows import method_name, short, standing

TABLES = planted.planted_tables()
NAMES = [f"<i>{method_name(m)}</i>" if m in planted.BASELINES else method_name(m) for m in planted.METHODS]


def of(name, network=planted.CLASSIFIER, target="class"):
    rows = TABLES[name]
    return rows[(rows["network"] == network) & (rows["target"] == target)]


def matrix(**options):
    return attribution_matrix(
        TABLES["measures"], TABLES["ranks"], **({"network": planted.CLASSIFIER} | options)
    )


def test_the_matrix_is_sorted_by_mean_rank_and_colours_ranks():
    coloured, grey = matrix().data
    assert (coloured.meta["role"], grey.meta["role"]) == ("rank", "behind")
    assert list(coloured.y) == list(grey.y) == NAMES
    assert coloured.x[0] == "<b>mean rank</b>"
    assert list(coloured.x[1:3]) == ["deletion ↓", "insertion ↑"]
    gap = list(coloured.x).index(" ")
    counted = [m for m in planted.COUNTED if not m.startswith("inpainting")]
    assert gap == 1 + len(counted)
    assert len(coloured.x) == gap + 1 + len(planted.BESIDE)
    # Best on top, by an even step a rank.
    n = len(NAMES)
    z = np.array([[np.nan if v is None else v for v in row] for row in coloured.z])
    first_of_bases = planted.METHODS.index("edges")
    np.testing.assert_allclose(z[:first_of_bases, 1], 1 - np.arange(first_of_bases) / (n - 1))
    assert np.isnan(z[first_of_bases:]).all()
    assert np.isnan(z[:, gap]).all()


def test_what_is_no_better_than_a_baseline_map_is_grey_and_said():
    figure = matrix()
    told = {a.y: a.text for a in figure.layout.annotations}
    behind = planted.METHODS[planted.METHODS.index("edges") :]
    expected = [m for m in behind if m not in planted.BASELINES]
    assert set(told) == {method_name(m) for m in expected}
    assert set(told.values()) == {"not better than edge map"}
    grey = figure.data[1]
    shown = [name for name, row in zip(grey.y, grey.text, strict=True) if any(row)]
    assert shown == NAMES[planted.METHODS.index("edges") :]


def test_a_cell_says_value_interval_rank_and_what_is_beaten():
    coloured = matrix().data[0]
    cell = coloured.hovertext[1][1]
    assert coloured.text[1][1] == "0.04"
    assert "<b>occlusion</b>, deletion<br>0.04 (0.01 to 0.07), lower is better, n = 24" in cell
    assert f"rank 2 of {len(NAMES)}" in cell
    assert "random map: 1" in cell
    assert "surely better than: random map, edge map, centred Gaussian" in cell
    assert coloured.hovertext[0][0] == f"<b>LRP</b><br>mean rank 1.00 of {len(NAMES)}"


def test_what_was_not_measured_is_blank_and_says_so():
    rows = of("measures").copy()
    rows.loc[(rows["method"] == "lrp") & (rows["metric"] == "deletion"), "value"] = np.nan
    coloured = attribution_matrix(rows, of("ranks")).data[0]
    assert coloured.z[0][1] is None
    assert coloured.text[0][1] == ""
    assert coloured.hovertext[0][1].endswith("not measured")


def test_standing_counts_what_is_surely_beaten():
    listed = standing(of("ranks"), of("measures")).set_index("method")
    counted = sum(not m.startswith("inpainting") for m in planted.COUNTED)
    assert listed.loc["lrp", "wins"] == dict.fromkeys(planted.BASELINES, (counted, counted))
    assert listed.loc["dise", "wins"]["edges"] == (0, counted)
    assert listed.loc["gradient", "behind"] == "edges"
    assert listed.loc["lrp", "behind"] == ""
    assert "random" not in listed.loc["random", "wins"]


def test_matrix_refuses_what_it_cannot_draw():
    with pytest.raises(DataError, match="holds several networks"):
        attribution_matrix(TABLES["measures"], TABLES["ranks"])
    with pytest.raises(DataError, match="has no target 'clas'"):
        matrix(target="clas")
    with pytest.raises(DataError, match="The table 'measures' lacks the columns"):
        attribution_matrix(TABLES["measures"].drop(columns="value"), TABLES["ranks"], network="sex")
    with pytest.raises(DataError, match="holds no values to draw"):
        attribution_matrix(of("measures").assign(value=np.nan), of("ranks"))


def test_dots_are_open_where_the_interval_is_not_beyond_chance():
    row = {"method": "lrp", "baseline_map": False, "panel": "nose", "chance": 0.3}
    rows = pd.DataFrame(
        [
            row | {"value": 0.5, "lower": 0.4, "upper": 0.6},
            row | {"method": "rise", "value": 0.35, "lower": 0.2, "upper": 0.5},
        ]
    )
    families = {"lrp": "propagation", "rise": "propagation"}
    chance, dots, _ = attribution_dots(rows, families=families).data
    assert chance.x == (0.3, 0.3)
    assert list(dots.marker.symbol) == ["triangle-up", "triangle-up-open"]
    assert list(dots.error_x.array) == pytest.approx([0.1, 0.15])
    below = attribution_dots(rows, families=families, better="lower").data[1]
    assert list(below.marker.symbol) == ["triangle-up-open", "triangle-up-open"]


def test_dots_have_a_panel_a_part_and_a_colour_a_family():
    rows = TABLES["ground_truth"].assign(panel=lambda r: r["part"], value=lambda r: r["energy"])
    figure = attribution_dots(rows, families=planted.FAMILIES, order=planted.METHODS[::-1])
    dots = [t for t in figure.data if "role" not in t.meta]
    assert {t.meta["panel"] for t in dots} == set(planted.PARTS)
    legend = [t for t in figure.data if t.meta.get("role") == "legend"]
    assert [t.name for t in legend] == ["perturbation", "gradient", "propagation", "baseline map"]
    assert {t.meta["family"]: t.marker.color for t in dots} == {t.name: t.marker.color for t in legend}
    assert list(figure.layout.yaxis.categoryarray) == NAMES[::-1]
    assert len({t.marker.color for t in dots}) == 4


def test_a_logarithmic_axis_leaves_out_what_has_no_logarithm():
    rows = pd.DataFrame({"method": ["lrp", "rise"], "baseline_map": False, "panel": "x", "value": [0.0, 2.0],
                         "lower": np.nan, "upper": np.nan})  # fmt: skip
    figure = attribution_dots(rows, log=True)
    assert figure.data[0].x == (2.0,)
    assert figure.layout.xaxis.type == "log"
    with pytest.raises(DataError, match="no values to draw"):
        attribution_dots(rows.assign(value=np.nan))


def test_grid_has_methods_by_parts():
    rows = of("canonical")
    rows = rows[rows["group"] == "all"].assign(value=lambda r: r["share"])
    grid = attribution_grid(
        rows, "part", order=["rise"], heads={"nose": "nose\nbig"}, written="{:.1f}".format
    )
    (heat,) = grid.data
    assert heat.y[0] == "RISE"
    assert heat.x[planted.CANONICAL_PARTS.index("nose")] == "nose<br>big"
    np.testing.assert_allclose(np.sum(heat.z, axis=1), 1)
    assert heat.text[0][0] == f"{heat.z[0][0]:.1f}"
    with pytest.raises(DataError, match="no rows to draw"):
        attribution_grid(rows.iloc[:0], "part")


def test_curves_show_a_few_methods_and_all_baseline_maps():
    figure = attribution_curves(of("curves"), order=planted.METHODS, visible=["rise", "lrp"])
    lines = [t for t in figure.data if t.meta["role"] == "line"]
    drawn = {t.meta["method"] for t in lines if t.visible is True}
    assert drawn == {"rise", "lrp", *planted.BASELINES}
    assert len({t.meta["method"] for t in lines}) == len(planted.METHODS)
    assert [t.meta["method"] for t in lines if t.showlegend][:2] == planted.METHODS[:2]
    looks = [(t.line.color, t.marker.symbol, t.line.dash) for t in lines if t.showlegend]
    assert len(set(looks)) == len(looks)
    with pytest.raises(DataError, match="holds no rows to draw"):
        attribution_curves(of("curves").assign(score=np.nan))


def test_sanity_names_what_stays_as_it_was():
    figure = attribution_sanity(of("sanity"))
    verdict = {t.meta["method"]: t.meta["verdict"] for t in figure.data}
    assert {m for m, v in verdict.items() if v == "fails"} == {*planted.FAIL, *planted.BASELINES}
    assert {t.name for t in figure.data if t.showlegend and "(" in t.name} == {
        f"{method_name(m)} (fails)" for m in planted.FAIL
    }
    assert list(figure.layout.xaxis.categoryarray) == list(planted.LAYERS)
    others = attribution_sanity(of("sanity"), metric="ssim")
    assert {t.meta["method"]: t.meta["verdict"] for t in others.data} == verdict
    alone = attribution_sanity(of("sanity"), kind="independent")
    assert {t.meta["verdict"] for t in alone.data} == {""}
    with pytest.raises(DataError, match="no rows of kind 'data' and metric 'ssim'"):
        attribution_sanity(of("sanity"), kind="data", metric="ssim")


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"), [(0.1, 0.49, "passes"), (0.3, 0.6, "unclear"), (0.5, 0.9, "fails")]
)
def test_the_whole_interval_of_the_last_step_decides(lower, upper, verdict):
    rows = pd.DataFrame(
        {"method": "lrp", "metric": "spearman_absolute", "depth": [0, 1], "value": [0.99, 0.5], "lower": [0.9, lower],
         "upper": [1.0, upper]}
    )  # fmt: skip
    assert sanity_verdicts(rows.iloc[::-1]) == {"lrp": verdict}
    assert sanity_verdicts(rows.assign(value=np.nan)) == {}
    # A criterion without a verdict: the table says that the method is not judged, and why.
    assert sanity_verdicts(rows.assign(passes=None, criterion="not judged: why")) == {"lrp": "not judged"}
    assert sanity_verdicts(rows.assign(passes=None, criterion="")) == {"lrp": verdict}


def test_the_canonical_face_is_drawn_red_for_and_blue_against():
    values = np.zeros((64, 64))
    nose, eye = (canonical_landmarks(64)[i].round().int().tolist() for i in (30, 40))
    values[nose[1] - 3 : nose[1] + 4, nose[0] - 6 : nose[0] - 1] = 2.0
    values[eye[1] + 4 : eye[1] + 10, eye[0] - 2 : eye[0] + 3] = -2.0
    picture = draw_canonical(values, 2.0, 64).astype(int)
    red = picture[nose[1], nose[0] - 4]
    blue = picture[eye[1] + 7, eye[0]]
    assert red[0] > red[2] + 80
    assert blue[2] > blue[0] + 80
    bare = draw_canonical(None, size=64)
    assert bare.shape == (64, 64, 3)
    # The outline is there, and nothing else has a colour.
    assert (bare != bare[0, 0]).any(axis=2).sum() > 64
    np.testing.assert_array_equal(draw_canonical(np.full((64, 64), np.nan), 1.0, 64), bare)


def test_canonical_pictures_refuse_other_shapes():
    with pytest.raises(DataError, match=r"is square, \(s, s\); got an array \(4, 5\)"):
        draw_canonical(np.zeros((4, 5)), 1.0)
    with pytest.raises(DataError, match="a side of at least 32 pixels; got 8"):
        draw_canonical(np.zeros((4, 4)), 1.0, 8)
    with pytest.raises(DataError, match="need one shape"):
        joined_pictures([np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)])
    with pytest.raises(DataError, match="no picture"):
        joined_pictures([])


def test_numbers_fit_their_cells():
    assert [short(v) for v in (0.123, -1.5, 42.4, 6123.0, float("nan"))] == ["0.12", "−1.50", "42", "6e3", ""]
    assert method_name("a_new_method") == "a new method"
