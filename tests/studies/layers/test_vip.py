import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.studies.layers.tables import R_MEAN_ACTIVATION, R_VIP, measured_tables

from fusiform.errors import DataError
from fusiform.studies.layers._rows import correlations
from fusiform.studies.layers._vip import vip_correlation, vip_summary


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(0, 40), st.integers(0, 2**31), st.booleans())
def test_correlations_equal_numpy_group_by_group(n_groups, n, seed, weighted):
    rng = np.random.default_rng(seed)
    x, y, group = rng.normal(1e3, 1, n), rng.normal(0, 1e-3, n), rng.integers(0, n_groups, n)
    x[rng.random(n) < 0.1] = np.nan
    weight = rng.integers(1, 4, n)
    found = correlations(x, y, group, weight.astype(float) if weighted else None)
    assert len(found) == (group.max() + 1 if n else 0)
    for g, r in enumerate(found):
        mine = (group == g) & np.isfinite(x)
        times = weight[mine] if weighted else 1
        if mine.sum() < 3:
            assert np.isnan(r)
        else:
            expected = np.corrcoef(np.repeat(x[mine], times), np.repeat(y[mine], times))[0, 1]
            assert r == pytest.approx(expected, abs=1e-6)


def test_what_does_not_vary_has_no_correlation():
    group = np.zeros(4, dtype=int)
    up = np.arange(4.0)
    assert np.isnan(correlations(np.full(4, 0.1), up, group)).all()
    assert np.isnan(correlations(up, np.zeros(4), group)).all()
    assert correlations(up, -up, group) == pytest.approx([-1])


def test_planted_correlations_are_found():
    neurons = measured_tables()["vip_neurons"]
    table = vip_correlation(neurons)
    assert len(table) == 4 * 12 * 11
    assert (table["n_neurons"] == 50).all()
    assert table["r_mean_activation"].isna().equals(table["attribute"] == "yaw")
    summary = vip_summary(table).set_index(["setup", "measure"])
    for setup in ("faces", "objects"):
        vip, activation = summary.loc[(setup, "vip")], summary.loc[(setup, "mean_activation")]
        assert vip["value"] == pytest.approx(R_VIP, abs=0.01)
        assert activation["value"] == pytest.approx(R_MEAN_ACTIVATION, abs=0.03)
        assert vip["lower"] < vip["value"] < vip["upper"]
        assert (vip["n_attributes"], activation["n_attributes"]) == (11, 10)
        assert summary.loc[(setup, "difference"), "lower"] > 0.4
    assert summary.loc[("faces", "vip"), "n_networks"] == 3


def test_without_mean_activations_only_vip_is_known():
    neurons = measured_tables()["vip_neurons"].drop(columns=["mean_activation", "setup"])
    table = vip_correlation(neurons[neurons["network"] == "objects"])
    assert table["r_mean_activation"].isna().all()
    summary = vip_summary(table).set_index("measure")
    assert summary.loc["mean_activation", ["value", "lower", "upper"]].isna().all()
    assert summary.loc["vip", "value"] > 0.9


def test_empty_and_broken_tables():
    neurons = measured_tables()["vip_neurons"]
    assert vip_correlation(neurons[:0]).empty
    assert vip_summary(vip_correlation(neurons[:0])).empty
    with pytest.raises(DataError, match=r"'vip_neurons' lacks the columns \['vip'\]"):
        vip_correlation(neurons.drop(columns="vip"))
    with pytest.raises(DataError, match="'vip_correlation' lacks"):
        vip_summary(pd.DataFrame({"network": []}))
