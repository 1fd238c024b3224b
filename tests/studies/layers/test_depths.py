import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.studies.layers.tables import (
    ATTRIBUTES,
    BRANCHES,
    NETWORKS,
    NON_BIOMETRIC,
    layer_table,
    measured_tables,
)

from fusiform.errors import DataError
from fusiform.plotting.tables import attribute_order, primary
from fusiform.studies.layers._depths import branching, gained


@pytest.fixture(scope="module")
def probes():
    return measured_tables()["probes"]


def made_up(curves: dict[str, list[float]], half: float = 0.02, chance: float = 0.5) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "network": "n",
                "control": False,
                "layer": f"l{depth}",
                "depth": depth,
                "attribute": attribute,
                "kind": "binary",
                "split": "valid",
                "metric": "balanced_accuracy",
                "value": value,
                "lower": value - half,
                "upper": value + half,
                "chance": chance,
                "n": 400,
            }
            for attribute, values in curves.items()
            for depth, value in enumerate(values)
        ]
    )


curves = st.dictionaries(
    st.sampled_from("ABCDE"), st.lists(st.floats(0.3, 1.0), min_size=4, max_size=4), min_size=1, max_size=5
)


@settings(max_examples=40, deadline=None)
@given(curves)
def test_gained_ranks_as_the_plots_do(curves):
    table = gained(made_up(curves))
    rows = primary(made_up(curves), split="valid")
    best = rows.groupby("attribute")["skill"].max()
    known = table[table["layer"].notna()]
    order = [name for name in attribute_order(rows, "gained") if best[name] > 0]
    # Attributes gained together and known alike may come in either order.
    key = {row.attribute: (row.depth, round(-best[row.attribute], 9)) for row in known.itertuples()}
    assert [key[name] for name in order] == [key[name] for name in known["attribute"]]
    assert table["rank"].tolist() == list(range(1, len(curves) + 1))
    assert table.loc[table["layer"].isna(), "best"].le(0.5).all()
    assert table["layer"].notna().is_monotonic_decreasing


@settings(max_examples=40, deadline=None)
@given(curves, st.floats(0, 0.2))
def test_branching_equals_a_plain_search(curves, half):
    table = branching(made_up(curves, half)).set_index("attribute")
    for attribute, values in curves.items():
        row = table.loc[attribute]
        width = (max(values) + half - (max(values) - half)) / 2
        if max(values) - width <= 0.5:
            assert row[["layer", "depth", "relative_depth", "value"]].isna().all()
            continue
        first = next(d for d, v in enumerate(values) if v >= max(values) - width)
        slack = next(d for d, v in enumerate(values) if v >= max(values) - width - 1e-9)
        assert row["depth"] in (first, slack)
        assert row["value"] == values[int(row["depth"])]
        assert (row["best"], row["last"]) == (max(values), values[-1])
        assert row["gain"] == pytest.approx(max(values) - values[-1])


def test_planted_depths(probes):
    table = gained(probes)
    assert set(table["network"]) == set(NETWORKS)
    mine = table[table["network"] == "faces-seed0"].set_index("attribute")
    for attribute in NON_BIOMETRIC:
        assert mine.loc[attribute, ["layer", "best_layer"]].tolist() == ["stem.relu", "stem.relu"]
        assert mine.loc[attribute, "relative_depth"] == pytest.approx(1 / 32)
    # Male starts nine tenths of the way; Oval_Face, that ends at 0.66, needs longer.
    assert mine.loc["Oval_Face", "depth"] > mine.loc["Male", "depth"]
    assert mine["rank"].tolist() == sorted(mine["rank"])
    assert len(mine) == len(ATTRIBUTES)


def test_ties_go_to_the_cheapest_layer_and_its_share_of_parameters():
    probes = made_up({"A": [0.7, 0.89, 0.9, 0.9], "B": [0.9, 0.8, 0.8, 0.6]})
    layers = pd.DataFrame(
        {"network": "n", "layer": ["l0", "l1"], "depth": [0, 1], "role": "conv", "block": None, "features": 8}
    ).assign(parameters_share=[0.1, 0.25])
    table = branching(probes, layers).set_index("attribute")
    assert table["layer"].to_dict() == {"B": "l0", "A": "l1"}
    assert table["parameters_share"].to_dict() == {"B": 0.1, "A": 0.25}
    assert table["gain"].to_dict() == pytest.approx({"B": 0.3, "A": 0.0})
    assert branching(probes)["parameters_share"].isna().all()


def test_no_branch_within_a_residual_branch(probes):
    layers = layer_table("faces-seed0")
    mine = probes[(probes["network"] == "faces-seed0") & (probes["unit_kind"] == "layer")]
    assert not branching(mine, layers)["layer"].isin(BRANCHES).any()
    # Where the branch's end is the best of all, it is the best of the others that counts.
    at = (mine["layer"] == "b1.norm2") & (mine["attribute"] == "Male") & (mine["split"] == "valid")
    better = mine.assign(**{c: mine[c].where(~at, 1.0) for c in ("value", "lower", "upper")})
    table = branching(better, layers).set_index("attribute")
    free = mine[~mine["layer"].isin(BRANCHES) & (mine["attribute"] == "Male") & (mine["split"] == "valid")]
    assert table.loc["Male", "best"] == free["value"].max()
    assert branching(better).set_index("attribute").loc["Male", "layer"] == "b1.norm2"
    assert branching(mine[mine["layer"].isin(BRANCHES)], layers).empty


def test_who_is_nowhere_above_chance_has_no_layer_and_comes_last():
    table = branching(made_up({"A": [0.5, 0.515, 0.51], "B": [0.5, 0.5, 0.53], "C": [0.5, 0.9, 0.6]}))
    assert table["attribute"].tolist() == ["C", "B", "A"]
    assert table["layer"].tolist()[:2] == ["l1", "l2"]
    last = table.iloc[-1]
    assert last[["layer", "depth", "relative_depth", "value"]].isna().all()
    assert last[["best", "last", "gain"]].tolist() == pytest.approx([0.515, 0.51, 0.005])
    assert branching(made_up({"A": [0.26, 0.3]}, chance=0.25))["layer"].tolist() == ["l1"]


def test_where_intervals_are_missing_the_binomial_error_serves():
    bare = made_up({"A": [0.84, 0.88, 0.9]}).drop(columns=["lower", "upper"])
    # 1.96 sqrt(0.9 * 0.1 / 400) = 0.029
    assert branching(bare)["layer"].tolist() == ["l1"]
    assert branching(bare.drop(columns="n"))["layer"].tolist() == ["l2"]
    continuous = bare.assign(kind="continuous", metric="r2", chance=0.0)
    assert branching(continuous)["layer"].tolist() == ["l2"]


def test_controls_and_empty_tables(probes):
    controls = probes[probes["control"]]
    assert gained(controls).empty
    assert branching(controls).empty
    one = probes[(probes["network"] == "faces-seed0") & (probes["layer"] == "fc")]
    assert gained(one)["layer"].eq("fc").all()
    table = branching(one)
    assert table["gain"].eq(0).all()
    assert table["relative_depth"].eq(31 / 32).all()


def test_a_table_without_relative_depth_or_chance():
    table = made_up({"A": [0.7, 0.9]}).drop(columns=["chance", "kind", "control"])
    assert gained(table)[["layer", "relative_depth"]].values.tolist() == [["l1", 1.0]]


def test_missing_columns_are_named(probes):
    with pytest.raises(DataError, match=r"'probes' lacks the columns \['depth'\]"):
        gained(probes.drop(columns="depth"))
    with pytest.raises(DataError, match=r"'layers' lacks the columns \['parameters_share'\]"):
        branching(probes, pd.DataFrame({"network": [], "layer": []}))
