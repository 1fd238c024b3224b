import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusiform.errors import DataError
from fusiform.studies.layers._spread import over_initialisations

rows = st.lists(
    st.tuples(
        st.sampled_from(["a0", "a1", "a2", "b"]),
        st.sampled_from(["x", "y"]),
        st.one_of(st.floats(-10, 10), st.just(np.nan)),
    ),
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(rows)
def test_equals_a_plain_loop(rows):
    table = pd.DataFrame(rows, columns=["network", "layer", "value"]).astype({"network": str, "layer": str})
    table["setup"] = table["network"].str[0]
    spread = over_initialisations(table, ["layer"]).set_index(["setup", "layer"])
    expected = {}
    for network, layer, value in rows:
        if value == value:
            expected.setdefault((network[0], layer), {}).setdefault(network, []).append(value)
    assert set(spread.index) == set(expected)
    for key, networks in expected.items():
        means = [np.mean(values) for values in networks.values()]
        found = spread.loc[key]
        assert found["mean"] == pytest.approx(np.mean(means), abs=1e-9)
        assert (found["minimum"], found["maximum"]) == pytest.approx((min(means), max(means)), abs=1e-9)
        assert found["n_networks"] == len(means)
        assert found["sd"] == pytest.approx(
            np.std(means, ddof=1) if len(means) > 1 else np.nan, abs=1e-7, nan_ok=True
        )


def test_without_setup_each_network_is_its_own_and_missing_keys_stay():
    table = pd.DataFrame({"network": ["n", "m"], "block": [None, "b"], "value": [1.0, 2.0]})
    spread = over_initialisations(table, ["setup", "block"])
    assert spread["setup"].tolist() == ["n", "m"]
    assert spread["block"].isna().tolist() == [True, False]


def test_missing_columns_are_named():
    with pytest.raises(DataError, match=r"lacks the columns \['value', 'layer'\]; it has \['network'\]"):
        over_initialisations(pd.DataFrame({"network": ["n"]}), ["layer"])
