"""Order, correlation with linear probes, decay, compression and shares of entropy on planted values."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from tests.studies.expressivity.planted import PAPER_LAYERS, PAPER_TRAINING, tables

from fusiform.studies.expressivity._analyses import correlation, order, relative
from fusiform.studies.expressivity._decay import COMPRESSION, DECAY, compression, decay
from fusiform.studies.expressivity._traces import Traces

LAYERS = ["image", "conv4", "conv5", "pool", "fc"]


@pytest.fixture(scope="module")
def paper():
    return tables(PAPER_LAYERS, PAPER_TRAINING)


def test_attributes_are_ranked_in_every_layer_by_every_estimator(paper):
    table = order(Traces(paper))
    assert set(table.network) == {"net"}
    assert set(table.estimator) == {"mine", "gaussian"}
    assert set(table.over) == {*LAYERS, "last layer"}
    last = table[(table.over == "last layer") & (table.estimator == "mine")].set_index("rank")
    assert last.layer.eq("fc").all()
    assert last.attribute.tolist() == ["identity", "age", "Male", "yaw"]
    assert last.above_next.iloc[:3].eq(1).all()
    assert np.isnan(last.above_next.iloc[3])
    assert last.p_first.tolist() == [1, 0, 0, 0]
    assert last.rank_lower.tolist() == last.rank_upper.tolist() == [1, 2, 3, 4]


def test_what_is_not_apart_has_an_uncertain_order():
    found = tables({"age": {"fc": 1.0}, "yaw": {"fc": 1.0}, "Male": {"fc": 0.2}}, spread=0.1)
    first, second, third = order(Traces(found)).query("over == 'fc' and estimator == 'mine'").itertuples()
    assert 0.3 < first.above_next < 0.7
    assert first.p_first + second.p_first == pytest.approx(1)
    assert (first.rank_lower, first.rank_upper) == (second.rank_lower, second.rank_upper) == (1, 2)
    assert (third.rank_lower, third.rank_upper, third.p_first) == (3, 3, 0)


def test_tables_iii_and_iv_of_the_paper():
    """Their own numbers: yaw over four layers, yaw and age over three steps."""
    layers = {"yaw": {"Res4a2b": 1.36, "Res5a2c": 1.48, "Pool5": 1.23, "FC-L2S": 0.59}}
    training = {"yaw": {25: 1.13, 100: 0.68, 200: 0.59}, "age": {50: 1.22, 100: 1.39, 200: 1.19}}
    errors = {
        "yaw": {
            "Res4a2b": 11.42,
            "Res5a2c": 8.64,
            "Pool5": 11.57,
            "FC-L2S": 11.65,
            25: 9.40,
            100: 11.27,
            200: 11.65,
        },
        "age": {50: 8.06, 100: 7.70, 200: 8.11},
    }
    found = tables(layers, training, linear=errors)
    table = correlation(found)
    rows = table[table.estimator == "mine"].set_index(["over", "attribute"])
    x, y = [1.36, 1.48, 1.23, 0.59], [11.42, 8.64, 11.57, 11.65]
    row = rows.loc[("layers", "yaw")]
    assert row.pearson == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert row.spearman == pytest.approx(-1)
    assert row.lower < row.pearson < row.upper
    assert row.n == 4
    three = rows.loc[("training", "yaw")]
    assert three.pearson == pytest.approx(np.corrcoef([1.13, 0.68, 0.59], [9.40, 11.27, 11.65])[0, 1])
    assert three.pearson < -0.99
    assert (three.n, np.isnan(three.lower)) == (3, True)
    assert rows.loc[("training", "age")].pearson < -0.95
    assert not table.network.str.contains("random").any()


def test_two_points_and_constants_have_no_correlation():
    found = tables({"yaw": {"a": 1.0, "b": 0.5}}, linear={"yaw": {"a": 1.0, "b": 2.0}})
    assert correlation(found).empty
    found = tables({"yaw": {"a": 1.0, "b": 1.0, "c": 1.0}}, linear={"yaw": {"a": 1.0, "b": 2.0, "c": 1.0}})
    assert correlation(found).empty
    assert correlation(tables({"yaw": {"a": 1.0}})).empty


def test_peak_and_decay_are_those_planted(paper):
    table = decay(Traces(paper)).set_index("attribute")
    assert list(table.columns) == [name for name in DECAY if name != "attribute"]
    assert table.peak_step.to_dict() == {"identity": 200, "age": 25, "Male": 25, "yaw": 25}
    yaw = table.loc["yaw"]
    assert (yaw.peak, yaw["first"], yaw["last"]) == pytest.approx((1.4, 0.5, 0.59))
    assert (yaw.fall, yaw.share) == pytest.approx((0.81, 0.81 / 1.4))
    # The peak is one of four steps before the last, or the last: five.
    wide = 0.01 * np.sqrt(2) * norm.isf(0.025 / 4)
    assert (yaw.fall_lower, yaw.fall_upper) == pytest.approx((0.81 - wide, 0.81 + wide), abs=0.007)
    high = 0.01 * norm.isf(0.025 / 5)
    assert (yaw.peak_lower, yaw.peak_upper) == pytest.approx((1.4 - high, 1.4 + high), abs=0.007)
    slope = np.polyfit(np.log10([25, 50, 100, 200]), [1.4, 1.1, 0.8, 0.59], 1)[0]
    assert yaw.rate == pytest.approx(-slope)
    assert yaw.rate_lower < yaw.rate < yaw.rate_upper
    assert table.rate["identity"] == 0
    assert np.isnan(table.rate_lower["identity"])
    assert table["rank"].to_dict() == {"identity": 1, "age": 2, "Male": 3, "yaw": 4}
    assert table.fall["identity"] == 0


def test_a_peak_at_step_0_has_a_rate_over_the_steps_that_have_a_logarithm():
    found = tables({"yaw": {"fc": 0.5}}, {"yaw": {0: 2.0, 1: 1.5, 10: 1.0, 100: 0.5}})
    (row,) = decay(Traces(found)).itertuples()
    assert (row.peak_step, row.fall, row.rate) == pytest.approx((0, 1.5, 0.5))
    found = tables({"yaw": {"fc": 0.5}}, {"yaw": {0: 2.0, 7: 1.5}})
    (row,) = decay(Traces(found)).itertuples()
    assert np.isnan(row.rate)
    assert row.fall == pytest.approx(0.5)
    assert pd.isna(row.rank)


def test_what_was_never_there_has_no_share_to_lose():
    found = tables({"yaw": {"fc": 0.0}}, {"yaw": {1: 0.005, 10: -0.1, 100: -0.3}})
    (row,) = decay(Traces(found)).itertuples()
    assert row.fall == pytest.approx(0.305)
    assert np.isnan(row.share)


def test_one_checkpoint_has_no_decay():
    assert decay(Traces(tables({"yaw": {"fc": 1.0}}, {"yaw": {5: 1.0}}))).empty


@pytest.mark.parametrize(
    ("identity", "yaw", "reading", "concurrent"),
    [
        (
            {0: 0.1, 10: 1.0, 20: 2.0, 30: 3.0},
            {0: 0.1, 10: 2.0, 20: 1.0, 30: 0.5},
            "compressed while fitting",
            1.0,
        ),
        (
            {0: 0.1, 10: 3.0, 20: 3.0, 30: 2.9},
            {0: 0.1, 10: 2.0, 20: 1.0, 30: 0.5},
            "compressed after fitting",
            0.0,
        ),
        ({0: 0.1, 10: 1.0, 20: 2.0, 30: 3.0}, {0: 0.1, 10: 2.0, 20: 1.99, 30: 2.0}, "kept", 0.5),
        ({0: 0.1, 10: 1.0, 20: 2.0, 30: 3.0}, {0: 0.1, 10: 0.5, 20: 1.0, 30: 2.0}, "not compressed", np.nan),
        ({0: 0.1, 10: 1.0, 20: 2.0, 30: 3.0}, {0: -0.1, 10: 0.0, 20: -0.3, 30: -0.4}, "not expressed", 1.0),
    ],
)
def test_readings_of_compression(identity, yaw, reading, concurrent):
    traces = Traces(_course(identity, yaw))
    (row,) = compression(traces, decay(traces), "identity").itertuples()
    assert (row.attribute, row.task_attribute, row.reading) == ("yaw", "identity", reading)
    assert row.share_concurrent == pytest.approx(concurrent, nan_ok=True)
    changes = np.diff([list(identity.values()), list(yaw.values())], axis=1)
    assert row.correlation == pytest.approx(np.corrcoef(changes)[0, 1])


def _course(identity, yaw):
    return tables({"identity": {"fc": 1.0}, "yaw": {"fc": 1.0}}, {"identity": identity, "yaw": yaw})


def flat_courses(level: float, spread: float = 0.05) -> Traces:
    """A hundred courses of 27 checkpoints at which nothing changes, one that falls, and the task that is learnt."""
    steps = np.geomspace(1, 5000, 27).astype(int) + np.arange(27)
    rng = np.random.default_rng(5)
    names = [*(f"flat{k}" for k in range(100)), "falling", "identity"]
    values = rng.normal(level, spread, (102, 27))
    values[100:] = np.linspace(1.5, 0.9, 27), np.linspace(0, 2, 27)
    place = {"network": "net", "layer": "fc", "encoding": "ranks", "estimator": "mine", "start": "training"}
    course = pd.DataFrame(
        {"attribute": np.repeat(names, 27), "step": np.tile(steps, 102), "value": values.ravel(), **place}
    ).assign(depth=9, split="held out")
    draws = course.loc[course.index.repeat(200), ["attribute", "step", *place]].reset_index(drop=True)
    draws["value"] = (values.ravel()[:, None] + rng.normal(scale=spread, size=(102 * 27, 200))).ravel()
    return Traces({"course": course, "draws": draws})


def test_chance_in_flat_courses_is_not_read_as_a_fall():
    traces = flat_courses(1.0)
    readings = compression(traces, decay(traces), "identity").set_index("attribute").reading
    assert readings["falling"] == "compressed while fitting"
    assert readings.drop("falling").isin(["kept", "not compressed"]).sum() >= 95


def test_chance_is_not_read_as_a_peak():
    table = decay(flat_courses(0.0)).set_index("attribute")
    assert (table.peak_lower <= 0).sum() >= 95
    assert table.peak_lower["falling"] > 0


def test_what_could_not_be_estimated_is_left_out():
    found = tables(PAPER_LAYERS, PAPER_TRAINING)
    for name in ("expressivity", "course"):
        rows = found[name]
        gone = (rows.attribute == "identity") & (rows.estimator == "mine")
        rows.loc[gone, ["value", "lower", "upper"]] = np.nan
    draws = found["draws"]
    draws.loc[(draws.attribute == "identity") & (draws.estimator == "mine"), "value"] = np.nan
    ranked = order(Traces(found)).query("over == 'last layer'")
    assert ranked.attribute[ranked.estimator == "mine"].tolist() == ["age", "Male", "yaw"]
    assert ranked.above_next[ranked.estimator == "mine"].tolist()[:2] == [1, 1]
    assert ranked.attribute[ranked.estimator == "gaussian"].tolist()[0] == "identity"
    shares = relative(found["expressivity"], found["described"])
    assert shares.value.notna().all()
    assert set(shares.estimator[shares.attribute == "identity"]) == {"gaussian"}
    assert set(decay(Traces(found)).attribute) == {"age", "Male", "yaw"}


def test_compression_needs_the_task():
    traces = Traces(_course({0: 1.0, 1: 2.0}, {0: 2.0, 1: 1.0}))
    table = compression(traces, decay(traces), "emotion")
    assert table.empty
    assert list(table.columns) == COMPRESSION


def test_shares_of_entropy():
    found = tables({"age": {"fc": 1.0}, "identity": {"fc": 0.7}})
    table = found["expressivity"]
    table.loc[table.attribute == "identity", "entropy"] = 1.4
    rows = relative(table, found["described"])
    shares = rows[(rows.estimator == "mine") & (rows.network == "net")].set_index("attribute")
    # Classes have the entropy of the very images, a continuous attribute that of its histogram.
    assert shares.share.to_dict() == pytest.approx({"identity": 0.5, "age": 0.5})
    assert shares.entropy.to_dict() == {"age": 2.0, "identity": 1.4}
    assert shares.lower["age"] == pytest.approx(0.45)
    found["described"]["entropy"] = 0.0
    assert relative(tables({"age": {"fc": 0.0}})["expressivity"], found["described"]).share.isna().all()
