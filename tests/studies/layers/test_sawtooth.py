import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from tests.studies.layers.tables import (
    BLOCKS,
    DEEP_DIP,
    DIP,
    NON_BIOMETRIC,
    PROBED,
    RANDOM,
    layer_table,
    measured_tables,
    truth,
)

from fusiform.errors import DataError
from fusiform.networks import load_network
from fusiform.studies.layers._families import families
from fusiform.studies.layers._sawtooth import (
    residual_ends,
    sawtooth,
    sawtooth_by_family,
    sawtooth_summary,
    within_branches,
)


@pytest.fixture(scope="module")
def tables():
    return measured_tables()


def listing(*rows: tuple[str, str, str | None, int]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["layer", "role", "block", "features"])
    return table.assign(network="n", depth=range(len(table)))


def test_ends_of_the_blocks():
    ends = residual_ends(layer_table("n"), PROBED)
    assert ends["block"].tolist() == list(BLOCKS)
    assert ends["branch_layer"].tolist() == ["b1.norm2", "b2.norm2", "b3.norm2", "b4.norm2"]
    # Where the sum itself was not probed, the block's output stands for it.
    assert ends["sum_layer"].tolist() == ["b1.add", "b2.add", "b3", "b4"]
    assert ends["previous_layer"].tolist() == ["stem.relu", "b1.add", "b2.add", "b3"]
    assert (ends["branch_depth"] < ends["sum_depth"]).all()


def test_without_a_list_all_layers_count():
    ends = residual_ends(layer_table("n"))
    assert ends["sum_layer"].tolist() == [f"{block}.add" for block in BLOCKS]
    assert ends["previous_layer"].tolist() == ["stem.relu", "b1", "b2", "b3"]


def test_what_comes_before_is_never_inside_a_branch():
    probed = ["b1.norm2", "b1", "b2.norm2", "b3.norm2", "b3"]
    ends = residual_ends(layer_table("n"), probed).set_index("block")
    assert ends.index.tolist() == ["b1", "b3"]
    assert pd.isna(ends.loc["b1", "previous_layer"])
    assert ends.loc["b3", "previous_layer"] == "b1"


def test_a_shortcut_and_layers_of_other_size_are_no_branch_end():
    table = listing(
        ("stem", "conv", None, 8),
        ("b.conv1", "conv", "b", 4),
        ("b.conv2", "conv", "b", 8),
        ("b.se.pool", "pool", "b", 2),
        ("b.downsample.0", "conv", "b", 8),
        ("b.downsample", "stage", "b", 8),
        ("b.add", "residual_sum", "b", 8),
        ("b.se2", "pool", "b", 2),
        ("b", "block", "b", 8),
    )
    assert residual_ends(table)["branch_layer"].tolist() == ["b.conv2"]
    # With nothing of the sum's size, the deepest of the branch is taken.
    assert residual_ends(table, ["stem", "b.conv1", "b"])["branch_layer"].tolist() == ["b.conv1"]
    assert residual_ends(table, ["stem", "b.downsample", "b"]).empty
    assert residual_ends(table, ["stem", "b.conv2", "b.se2"]).empty


def test_a_block_with_two_sums():
    table = listing(
        ("embed", "conv", None, 8),
        ("b.norm1", "norm", "b", 8),
        ("b.attn", "attention", "b", 8),
        ("b.add", "residual_sum", "b", 8),
        ("b.norm2", "norm", "b", 8),
        ("b.mlp", "fc", "b", 8),
        ("b.add@2", "residual_sum", "b", 8),
        ("b", "block", "b", 8),
    )
    ends = residual_ends(table).set_index("block")
    assert ends[["branch_layer", "sum_layer", "previous_layer"]].values.tolist() == [
        ["b.attn", "b.add", "embed"],
        ["b.mlp", "b.add@2", "b.add"],
    ]
    assert ends.index.tolist() == ["b", "b@2"]
    assert within_branches(table)["layer"].tolist() == ["b.norm1", "b.attn", "b.norm2", "b.mlp"]
    # The norm after the first sum already belongs to the second branch.
    assert residual_ends(table, ["b.attn", "b.norm2", "b.mlp", "b"])["block"].tolist() == ["b", "b@2"]


def test_a_network_without_residual_sums_has_no_sawtooth():
    table = listing(("conv", "conv", None, 8), ("fc", "fc", None, 2))
    assert residual_ends(table).empty
    assert within_branches(table).empty
    probes = measured_tables()["probes"]
    assert sawtooth(probes[probes["network"] == "objects"], table).empty
    assert sawtooth_summary(sawtooth(probes, table)).empty


def test_the_demo_network():
    net = load_network("demo")
    table = pd.DataFrame(
        [(layer.name, layer.role, layer.block, int(np.prod(layer.shape))) for layer in net.layers],
        columns=["layer", "role", "block", "features"],
    ).assign(network="demo", depth=[layer.depth for layer in net.layers])
    ends = residual_ends(table).set_index("block")
    assert len(ends) == 6
    assert ends["branch_layer"].str.endswith("norm2").all()
    assert ends["sum_layer"].str.endswith("add").all()
    assert ends.loc["stage2.1", "previous_layer"] == "stage2.0"


def test_layers_within_branches_of_several_networks():
    layers = pd.concat([layer_table("n").assign(network="m")[::-1], layer_table("n"), layer_table("n")[:5]])
    layers.iloc[-5:, layers.columns.get_loc("network")] = "cut before its first sum"
    found = within_branches(layers)
    inside = {f"{block}.{part}" for block in BLOCKS for part in ("conv1", "norm1", "conv2", "norm2")}
    assert found.groupby("network")["layer"].agg(set).to_dict() == {"m": inside, "n": inside}
    with pytest.raises(DataError, match=r"'layers' lacks the columns \['block'\]"):
        within_branches(layers.drop(columns="block"))


def test_planted_dips_are_found(tables):
    table = sawtooth(tables["probes"], tables["layers"])
    assert len(table) == 6 * 4 * 11
    for row in table[table["network"] == "faces-seed2"].itertuples():
        values = [
            truth(row.attribute, name, "faces")
            for name in (row.branch_layer, row.sum_layer, row.previous_layer)
        ]
        assert (row.branch, row.sum, row.previous) == pytest.approx(values, abs=0.01)
        assert row.dip == pytest.approx((row.sum + row.previous) / 2 - row.branch)
    # A control is found by the layers of its network, though the table of layers does not list it.
    control = table[table["network"] == "objects" + RANDOM]
    assert len(control) == 44
    assert control["dip"].abs().max() < 0.02


def test_a_missing_neighbour_leaves_the_other(tables):
    probes = tables["probes"]
    probes = probes[(probes["network"] == "objects") & (probes["layer"] != "stem.relu")]
    first = sawtooth(probes, tables["layers"]).query("block == 'b1'")
    assert first["previous"].isna().all()
    assert first["previous_layer"].isna().all()
    assert first["dip"].to_numpy() == pytest.approx((first["sum"] - first["branch"]).to_numpy())


def test_summary_and_families(tables):
    probes = tables["probes"]
    table = sawtooth(probes[~probes["control"]], tables["layers"])
    summary = sawtooth_summary(table)
    mine = summary[summary["network"] == "objects"].set_index("attribute")
    assert (mine["n_blocks"] == 4).all()
    for attribute, row in mine.iterrows():
        dip = DEEP_DIP if attribute in NON_BIOMETRIC else DIP
        assert row["dip"] == pytest.approx(dip, abs=0.006)
        assert row["lower"] <= row["dip"] <= row["upper"]
        dips = table[(table["network"] == "objects") & (table["attribute"] == attribute)]["dip"]
        assert row["share"] == (dips > 0).mean()
        assert row["p_value"] == binomtest(int((dips > 0).sum()), 4).pvalue
    found = sawtooth_by_family(summary, families()).set_index("network")
    assert len(found) == 4
    assert found["difference"].between(0.03, 0.07).all()
    assert (found["lower"] > 0).all()
    assert (found["r"] > 0.9).all()
    assert found["n_non_biometric"].eq(3).all()
    assert found["n_others"].eq(8).all()


def test_families_that_are_not_both_there_give_nothing(tables):
    summary = pd.DataFrame({"network": "n", "attribute": ["Male", "Bald"], "dip": [0.1, 0.2]})
    assert sawtooth_by_family(summary, families()).empty
    flat = pd.DataFrame({"network": "n", "attribute": ["Male", "Smiling"], "dip": [0.1, 0.1]})
    assert np.isnan(sawtooth_by_family(flat, families())["r"].iloc[0])


def test_no_change_is_no_evidence():
    table = pd.DataFrame({"network": "n", "attribute": "Male", "dip": [0.0, 0.0]})
    assert sawtooth_summary(table)[["share", "p_value"]].values.tolist() == [[0.0, 1.0]]


def test_missing_columns_are_named(tables):
    with pytest.raises(DataError, match=r"'layers' lacks the columns \['role'\]"):
        sawtooth(tables["probes"], tables["layers"].drop(columns="role"))
    with pytest.raises(DataError, match=r"'layers' lacks the columns \['network'\]"):
        sawtooth(tables["probes"], tables["layers"].drop(columns="network"))
    with pytest.raises(DataError, match=r"'sawtooth' lacks the columns \['dip'\]"):
        sawtooth_summary(pd.DataFrame({"network": [], "attribute": []}))
