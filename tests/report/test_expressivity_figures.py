"""Figures of a study of expressivity hold what the tables hold."""

import numpy as np
import pandas as pd
import pytest
from tests.report import expressivity_tables as planted

from fusiform import plotting
from fusiform.errors import DataError
from fusiform.plotting import style

TABLES = planted.planted_tables()
VALUES = TABLES["expressivity"]


def of(figure, **wanted):
    found = [t for t in figure.data if all((t.meta or {}).get(k) == v for k, v in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


def many(n):
    own = VALUES.query("attribute == 'yaw' and network == 'demo' and estimator == 'mine'")
    return pd.concat([own.assign(attribute=f"a{i}", value=own["value"] + i) for i in range(n)])


# Over the layers ------------------------------------------------------------------------------------


def test_lines_are_the_held_out_values_in_order_of_depth():
    shuffled = VALUES.sample(frac=1, random_state=0)
    # Whatever the order of the rows, the estimator asked for is drawn.
    figure = plotting.expressivity_over_layers(shuffled, estimator="infonce")
    for attribute, encoding in planted.SERIES:
        series = f"identity ({encoding})" if attribute == "identity" else attribute
        line = of(figure, series=series, role="line")
        expected = [0.9 * planted.truth(attribute, encoding, k / 4) for k in range(5)]
        assert list(line.x) == list(planted.LAYERS)
        assert np.allclose(line.y, expected)
        assert np.allclose(of(figure, series=series, role="train").y, np.add(expected, planted.GAP))
        edge = of(figure, series=series, role="band").y
        assert np.allclose(edge[:5], np.add(expected, 0.05))
        assert np.allclose(edge[5:], np.subtract(expected, 0.05)[::-1])


def test_the_first_estimator_is_the_main_one_and_random_weights_are_grey():
    figure = plotting.expressivity_over_layers(VALUES)
    line, control = (of(figure, series="yaw", role=role) for role in ("line", "control"))
    assert np.allclose(line.y[1:], np.multiply(control.y, 2))
    assert "image" not in control.x
    assert control.line.color == style.CONTROL
    assert line.line.color not in (style.CONTROL, of(figure, series="age", role="line").line.color)
    assert [t.name for t in figure.data if t.meta["role"] == "key"] == [
        "on the training images",
        "random weights",
    ]


def test_one_attribute_keeps_its_colour_and_all_its_encodings():
    every = plotting.expressivity_over_layers(VALUES)
    one = plotting.expressivity_over_layers(VALUES, attributes=["identity"])
    assert {t.meta["series"] for t in one.data} - {""} == {"identity (categorical)", "identity (numeric)"}
    yaw = plotting.expressivity_over_layers(VALUES, attributes=["yaw"])
    assert of(yaw, series="yaw", role="line").line.color == of(every, series="yaw", role="line").line.color


def test_more_lines_than_colours_are_lines_alone():
    assert {t.meta["role"] for t in plotting.expressivity_over_layers(many(8)).data} == {
        "line",
        "band",
        "train",
        "key",
    }
    figure = plotting.expressivity_over_layers(many(9))
    assert {t.meta["role"] for t in figure.data} == {"line"}
    assert not any(t.showlegend for t in figure.data)


def test_missing_ends_leave_no_band():
    nothing = VALUES.assign(lower=np.nan, upper=np.nan)
    assert "band" not in {t.meta["role"] for t in plotting.expressivity_over_layers(nothing).data}


def test_dots_by_attribute_at_the_deepest_layer():
    figure = plotting.expressivity_by_attribute(VALUES)
    value, train, control = (of(figure, role=role) for role in ("value", "train", "control"))
    assert value.y == ("identity (categorical)", "age", "identity (numeric)", "yaw", "sex")
    assert np.allclose(value.x, [2.6, 1.2, 1.04, 0.6, 0.45])
    assert dict(zip(train.y, train.x, strict=True))["yaw"] == pytest.approx(0.75)
    assert dict(zip(control.y, control.x, strict=True))["yaw"] == pytest.approx(0.3)
    first = plotting.expressivity_by_attribute(VALUES, layer="image")
    assert of(first, role="value").y[0] == "yaw"
    alone = plotting.expressivity_by_attribute(planted.features_only()["expressivity"])
    assert {t.meta["role"] for t in alone.data} == {"value", "train"}


# Over training --------------------------------------------------------------------------------------


def test_the_course_is_on_a_logarithmic_axis_with_the_starts_left_of_it():
    figure = plotting.expressivity_over_training(TABLES["course"], TABLES["decay"], layer="fc")
    line = of(figure, series="yaw", role="line")
    assert np.allclose(line.x, np.log10(planted.STEPS))
    assert np.allclose(line.y, [planted.course_truth("yaw", "ranks", step) for step in planted.STEPS])
    random, other = (of(figure, series="yaw", role=role) for role in ("random", "pretrained"))
    assert other.x[0] < random.x[0] < line.x[0]
    assert (random.y, other.y) == ((0.2,), (0.35,))
    leap = of(figure, series="yaw", role="leap")
    assert leap.x == (random.x[0], line.x[0])
    border = figure.layout.shapes[0].x0
    assert random.x[0] < border < line.x[0]
    ticks = dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True))
    assert ticks["random<br>start"] == random.x[0]
    assert ticks["100"] == pytest.approx(2)


def test_peaks_are_those_of_the_table_of_decay():
    figure = plotting.expressivity_over_training(TABLES["course"], TABLES["decay"], layer="fc")
    ring = of(figure, series="yaw", role="peak")
    assert ring.x[0] == pytest.approx(np.log10(3))
    assert ring.y[0] == pytest.approx(planted.course_truth("yaw", "ranks", 3))
    assert "peak" not in {
        t.meta["role"] for t in plotting.expressivity_over_training(TABLES["course"], layer="fc").data
    }
    at_start = TABLES["decay"].assign(peak_step=0)
    figure = plotting.expressivity_over_training(TABLES["course"], at_start, layer="fc")
    assert of(figure, series="yaw", role="peak").x == of(figure, series="yaw", role="random").x


@pytest.mark.parametrize(
    ("steps", "ticks"),
    [
        ((1, 200_000), ["1", "10", "100", "1,000", "10,000", "100,000"]),
        ((25_000, 50_000, 200_000), ["50,000", "100,000", "200,000"]),
        ((7, 8, 9), ["7", "9"]),
        ((50,), ["50"]),
    ],
)
def test_ticks_of_steps(steps, ticks):
    row = TABLES["course"].query("layer == 'fc' and start == 'training' and attribute == 'yaw'").iloc[[0]]
    table = pd.concat([row.assign(step=step) for step in (steps if len(steps) != 2 else (1, 50, 200_000))])
    figure = plotting.expressivity_over_training(table)
    assert list(figure.layout.xaxis.ticktext) == ticks


def test_starts_alone_can_be_drawn():
    starts = TABLES["course"].query("start != 'training' and layer != 'stage2'")
    figure = plotting.expressivity_over_training(starts)
    assert {"random", "pretrained"} <= {t.meta["role"] for t in figure.data}
    figure = plotting.expressivity_over_training(starts[starts["start"] == "pretrained"])
    assert "pretrained" in {t.meta["role"] for t in figure.data}


def test_decay():
    figure = plotting.expressivity_decay(TABLES["decay"], layer="fc")
    fall, rate = of(figure, column="fall"), of(figure, column="rate")
    assert fall.y == rate.y == ("identity (categorical)", "identity (numeric)", "age", "sex", "yaw")
    rows = TABLES["decay"].query("layer == 'fc'").set_index("attribute")
    assert fall.x[4] == pytest.approx(rows.loc["yaw", "fall"])
    assert rate.x[4] == pytest.approx(rows.loc["yaw", "rate"])
    assert fall.error_x.array[4] == pytest.approx(0.06)
    # By several estimators, the first is drawn.
    twice = pd.concat(
        [TABLES["decay"].assign(estimator=e, fall=v) for e, v in (("mine", 0.5), ("infonce", 0.1))]
    )
    assert set(of(plotting.expressivity_decay(twice, layer="fc"), column="fall").x) == {0.5}
    chosen = plotting.expressivity_decay(twice, layer="fc", estimator="infonce")
    assert set(of(chosen, column="fall").x) == {0.1}


def test_paths_go_through_the_same_steps_of_task_and_attribute():
    figure = plotting.expressivity_compression(TABLES["course"], layer="fc")
    path = of(figure, series="yaw")
    steps = planted.STEPS
    assert np.allclose(path.x, [0.2, *(planted.course_truth("identity", "categorical", s) for s in steps)])
    assert np.allclose(path.y, [0.2, *(planted.course_truth("yaw", "ranks", s) for s in steps)])
    assert path.marker.size[-1] > max(path.marker.size[:-1])
    assert {t.meta["attribute"] for t in figure.data} == {"age", "sex", "yaw"}


# Attributes -----------------------------------------------------------------------------------------


def test_order_share_and_histograms():
    figure = plotting.expressivity_order(TABLES["order"])
    assert figure.data[0].y == ("identity (categorical)", "age", "identity (numeric)", "yaw", "sex")
    assert [a.text for a in figure.layout.annotations] == ["97%"] * 4 + ["above the next"]
    image = plotting.expressivity_order(TABLES["order"], over="image", estimator="infonce").data[0]
    assert image.y[0] == "yaw"
    assert image.x[0] == pytest.approx(0.9 * 1.5)
    share = plotting.expressivity_share(TABLES["relative"], layer="fc").data[0]
    assert share.y[:2] == ("identity (categorical)", "sex")
    assert share.x[1] == pytest.approx(0.45 / 0.69)
    bars = plotting.attribute_histograms(TABLES["histograms"])
    age, sex, people = (of(bars, attribute=name) for name in ("age", "sex", "identity"))
    assert (age.x[0], age.width[0], age.y[0]) == (2.5, 5.0, 100)
    assert sex.y == (100, 110)
    ticks = {axis.ticktext for axis in bars.select_xaxes() if axis.ticktext}
    assert ticks == {("female", "male")}
    assert len(people.y) == 40


def test_errors_of_linear_probes_beside_expressivity():
    linear, found = TABLES["linear"], TABLES["correlation"]
    figure = plotting.expressivity_and_error(linear, VALUES, found)
    yaw = of(figure, series="yaw")
    values = np.array([planted.truth("yaw", "ranks", k / 4) for k in range(5)])
    assert np.allclose(yaw.y, values)
    assert np.allclose(yaw.x, 10 / (1 + values))
    assert yaw.text == planted.LAYERS
    titles = " ".join(a.text for a in figure.layout.annotations)
    assert "yaw: r = −0.93" in titles
    figure = plotting.expressivity_and_error(linear, TABLES["course"], found, over="training", layer="fc")
    assert of(figure, series="yaw").text == ("fc, 3", "fc, 40")
    assert "yaw: r = −0.81" in " ".join(a.text for a in figure.layout.annotations)


# Trust ----------------------------------------------------------------------------------------------


def test_estimators_stand_beside_each_other_in_the_order_of_the_first():
    figure = plotting.expressivity_by_estimator(VALUES)
    mine, gaussian = of(figure, estimator="mine"), of(figure, estimator="gaussian")
    assert figure.layout.yaxis.ticktext[0] == "identity (categorical)"
    by = dict(zip(gaussian.text, gaussian.x, strict=True))
    assert by["yaw"] == pytest.approx(0.5 * dict(zip(mine.text, mine.x, strict=True))["yaw"])
    assert not set(mine.y) & set(gaussian.y)


def test_calibration_is_beside_the_diagonal():
    figure = plotting.expressivity_calibration(TABLES["calibration"])
    panel = "planted in the features\nbinary"
    assert of(figure, panel=panel, role="truth").y == (0.0, 0.6)
    assert np.allclose(of(figure, panel=panel, estimator="gaussian", role="value").y, [0, 0.15, 0.3])
    assert np.allclose(of(figure, panel=panel, estimator="mine", role="train").y, [0.1, 0.4, 0.7])
    constant = TABLES["calibration"].query("truth == 0 and kind == 'binary'")
    assert plotting.expressivity_calibration(constant).data[0].y == (0.0, 0.1)


def test_curves_of_critics():
    figure = plotting.critic_curves(TABLES["curves"], layer="fc")
    valid = of(figure, series="yaw", role="valid")
    assert valid.y.count(None) == 3
    runs = TABLES["curves"].query("layer == 'fc' and attribute == 'yaw'")
    assert np.allclose([y for y in valid.y if y is not None], runs["valid"])
    several = pd.concat(
        [TABLES["curves"].assign(attribute=f"a{k}", valid=TABLES["curves"]["valid"] * k) for k in range(14)]
    )
    panels = {t.meta["series"] for t in plotting.critic_curves(several, layer="fc").data}
    assert len(panels) == 12
    assert any(name.startswith("a13") for name in panels)
    assert not any(name.startswith("a0") for name in panels)


# Errors ---------------------------------------------------------------------------------------------


def test_errors():
    with pytest.raises(DataError, match=r"The table 'expressivity' lacks the columns \['split'\]"):
        plotting.expressivity_over_layers(VALUES.drop(columns="split"))
    with pytest.raises(DataError, match=r"holds several networks, \['a', 'b'\]; say which by network="):
        plotting.expressivity_over_layers(pd.concat([VALUES.assign(network=n) for n in "ab"]))
    with pytest.raises(DataError, match="'expressivity' has no network 'dmo': did you mean 'demo'"):
        plotting.expressivity_over_layers(VALUES, network="dmo")
    with pytest.raises(DataError, match="'expressivity' has no estimator 'min': did you mean 'mine'"):
        plotting.expressivity_over_layers(VALUES, estimator="min")
    with pytest.raises(DataError, match="'expressivity' has no attribute 'yew': did you mean 'yaw'"):
        plotting.expressivity_over_layers(VALUES, attributes=["yew"])
    with pytest.raises(DataError, match="'expressivity' has no layer 'stage3': did you mean 'stage2'"):
        plotting.expressivity_by_attribute(VALUES, layer="stage3")
    with pytest.raises(
        DataError, match=r"'course' holds several layers, \['stage2', 'fc'\]; say which by layer="
    ):
        plotting.expressivity_over_training(TABLES["course"])
    with pytest.raises(DataError, match="'course' does not have the task 'emotion'; its attributes are"):
        plotting.expressivity_compression(TABLES["course"], layer="fc", task="emotion")
    alone = TABLES["course"].query("attribute == 'identity'")
    with pytest.raises(DataError, match="'course' holds no attribute beside the task 'identity'"):
        plotting.expressivity_compression(alone, layer="fc")
    with pytest.raises(DataError, match="holds no decay of the layer 'fc'"):
        plotting.expressivity_decay(TABLES["decay"].assign(fall=np.nan, rate=np.nan), layer="fc")
    with pytest.raises(
        DataError, match="No features over layers have both a linear probe and an expressivity"
    ):
        plotting.expressivity_and_error(TABLES["linear"].assign(layer="other"), VALUES)
    with pytest.raises(DataError, match="'relative' holds no shares of the layer 'fc'"):
        plotting.expressivity_share(TABLES["relative"].assign(share=np.nan), layer="fc")
    with pytest.raises(DataError, match="'calibration' holds no rows to draw"):
        plotting.expressivity_calibration(TABLES["calibration"].iloc[:0])
    with pytest.raises(DataError, match="'histograms' holds no rows to draw"):
        plotting.attribute_histograms(TABLES["histograms"].iloc[:0])
    curves = pd.concat([TABLES["curves"], TABLES["curves"].assign(step=3)])
    with pytest.raises(DataError, match="'curves' holds several steps of training"):
        plotting.critic_curves(curves, layer="fc")
    with pytest.raises(DataError, match="holds no held-out values of the layer 'fc'"):
        plotting.expressivity_by_estimator(VALUES[VALUES["split"] == "train"])
