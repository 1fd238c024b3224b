import numpy as np
import pytest
from tests.studies.layers.tables import (
    ATTRIBUTES,
    CHANNEL_BELOW,
    NETWORKS,
    NEURON_BELOW,
    measured_tables,
    neurons_below,
    truth,
)

from fusiform.errors import DataError
from fusiform.studies.layers._best import CELEBA, UNIT_KINDS, averages, best_units


@pytest.fixture(scope="module")
def tables():
    return measured_tables()


@pytest.fixture(scope="module")
def best(tables):
    return best_units(tables["probes"], tables["baseline"])


def test_equals_a_plain_search(tables, best):
    probes = tables["probes"]
    for row in best[best["network"] == "faces-seed1"].itertuples():
        mine = probes[(probes["network"] == row.network) & (probes["attribute"] == row.attribute)]
        mine = mine[mine["unit_kind"] == row.unit_kind]
        found, chosen = -np.inf, None
        for candidate in mine[mine["split"] == "valid"].itertuples():
            if candidate.value > found:
                found, chosen = candidate.value, (candidate.layer, candidate.unit)
        assert (row.layer, row.unit) == chosen
        tested = mine[(mine["split"] == "test") & (mine["layer"] == row.layer) & (mine["unit"] == row.unit)]
        tested = tested.set_index("metric")["value"]
        if row.kind == "continuous":
            assert row.metric == "r2"
            assert row.value == tested["r2"]
            assert np.isnan(row.balanced)
            assert np.isnan(row.majority)
        else:
            assert row.metric == "accuracy"
            assert (row.value, row.balanced) == (tested["accuracy"], tested["balanced_accuracy"])
            share = ATTRIBUTES[row.attribute][2]
            assert row.majority == row.chance == max(share, 1 - share)


def test_every_network_attribute_and_unit_once(best):
    assert len(best) == 6 * 11 * 3
    assert not best.duplicated(["network", "attribute", "unit_kind"]).any()
    assert best.loc[best["unit_kind"] == "layer", "unit"].eq("all").all()
    assert not best.loc[best["unit_kind"] != "layer", "unit"].str.contains("top8").any()


def test_planted_gaps_are_found(best):
    mine = best[(best["network"] == "faces-seed0") & (best["attribute"] == "Male")].set_index("unit_kind")
    layer, channel, neuron = mine.loc[list(UNIT_KINDS), "value"]
    assert layer - channel == pytest.approx(CHANNEL_BELOW, abs=0.015)
    # Deep layers hold the best neuron of an attribute that is not lost with depth.
    assert layer - neuron == pytest.approx(NEURON_BELOW + neurons_below("embedding") - 0.02, abs=0.015)
    assert layer == pytest.approx(truth("Male", "embedding", "faces") - 0.01, abs=0.01)


def test_sorted_by_the_share_of_the_baseline(tables, best):
    for _, group in best.groupby(["network", "unit_kind"], sort=False):
        assert group["relative"].is_monotonic_decreasing
        assert group["relative"].to_numpy() == pytest.approx((group["value"] / group["baseline"]).to_numpy())
    assert (
        best["network"].drop_duplicates().tolist() == tables["probes"]["network"].drop_duplicates().tolist()
    )
    alone = best_units(tables["probes"])
    assert alone[["baseline", "relative"]].isna().all(axis=None)
    for _, group in alone.groupby(["network", "unit_kind"], sort=False):
        assert group["value"].is_monotonic_decreasing


def test_an_attribute_without_baseline_comes_last(tables):
    baseline = tables["baseline"]
    best = best_units(tables["probes"], baseline[baseline["attribute"] != "Male"])
    last = best[(best["network"] == "objects") & (best["unit_kind"] == "layer")].iloc[-1]
    assert last["attribute"] == "Male"
    assert np.isnan(last["relative"])


def test_the_shallower_of_two_equals_wins(tables):
    probes = tables["probes"]
    probes = probes[(probes["network"] == "objects") & (probes["attribute"] == "Male")].copy()
    probes.loc[probes["split"] == "valid", "value"] = 0.8
    shuffled = probes.sample(frac=1.0, random_state=0)
    assert best_units(shuffled).query("unit_kind == 'layer'")["layer"].tolist() == ["stem.relu"]


def test_a_table_of_entire_layers_alone(tables):
    probes = tables["probes"]
    layers = probes[(probes["unit_kind"] == "layer") & (probes["network"] == "objects")]
    plain = layers.drop(
        columns=["unit_kind", "unit", "setup", "control", "lower", "upper", "relative_depth", "vip"]
    )
    best, full = best_units(plain), best_units(layers)
    assert best[["attribute", "layer", "value"]].equals(full[["attribute", "layer", "value"]])
    assert best["setup"].eq("objects").all()
    assert best[["lower", "upper"]].isna().all(axis=None)
    assert best_units(plain[:0]).empty


def test_missing_columns_are_named(tables):
    with pytest.raises(DataError, match=r"'probes' lacks the columns \['split'\]"):
        best_units(tables["probes"].drop(columns="split"))
    with pytest.raises(DataError, match=r"'baseline' lacks the columns \['metric'\]"):
        best_units(tables["probes"], tables["baseline"].drop(columns="metric"))


def test_averages_are_means_over_attributes_then_networks(tables, best):
    table = averages(best, tables["baseline"]).set_index("method")
    row = table.loc["faces, channel"]
    mine = best[best["network"].isin([n for n, s in NETWORKS.items() if s == "faces"])]
    mine = mine[(mine["unit_kind"] == "channel") & (mine["metric"] == "accuracy")]
    means = [mine.loc[mine["network"] == n, "value"].mean() for n in mine["network"].unique()]
    assert row["value"] == pytest.approx(np.mean(means))
    assert row["sd"] == pytest.approx(np.std(means, ddof=1))
    assert (row["n_networks"], row["n_attributes"], row["setup"]) == (3, 10, "faces")
    trained = tables["baseline"].query("metric == 'accuracy'")["value"].mean()
    assert table.loc["Multitask baseline", "value"] == pytest.approx(trained)
    assert np.isnan(table.loc["objects, layer", "sd"])


def test_published_averages_are_comparable_with_all_forty_attributes_only(best):
    assert len(CELEBA) == 40
    table = averages(best)
    published = table[table["source"] == "published"].set_index("method")
    assert published.loc["LNets+ANets (Liu et al. 2015)", "value"] == 0.870
    assert published.loc["MOON (Rudd et al. 2016)", "value"] == 0.909
    assert published.loc["AttCNN (Hand et al. 2018)", "value"] == 0.910
    assert published.loc["VGG16, neuron (Diniz 2020)", "unit_kind"] == "neuron"
    assert not published["comparable"].any()
    assert published["note"].eq("not comparable: 10 of CelebA's 40 attributes were measured").all()
    one = best[(best["attribute"] == "Male") & (best["network"] == "objects")]
    forty = one.merge(
        one[[]].assign(celeba=[sorted(CELEBA)] * len(one)).explode("celeba"),
        left_index=True,
        right_index=True,
    )
    forty["attribute"] = forty["celeba"]
    assert averages(forty).query("source == 'published'")["comparable"].all()
    other = best[best["attribute"] == "Male"].assign(attribute="hat size")
    assert "0 of CelebA's 40 attributes and 1 others" in averages(other)["note"].iloc[-1]
