import re

import numpy as np
import pandas as pd
import pytest
from tests.studies.layers.tables import N_VALID, RANDOM, planted_tables

from fusiform.errors import DataError
from fusiform.studies._findings import ABSENT, FAILS, HOLDS, UNCLEAR, every
from fusiform.studies.layers._evidence import over
from fusiform.studies.layers._findings import findings

# What is planted, by words of the finding: of the setup "faces", then of "objects".
PLANTED = {
    "more than 90%": (UNCLEAR, FAILS),
    "channels know nearly": (HOLDS, HOLDS),
    "neurons know nearly": (HOLDS, HOLDS),
    "hardly know more": (HOLDS, HOLDS),
    "Male is among": (UNCLEAR, UNCLEAR),
    "no more than those of random": (HOLDS, HOLDS),
    "trained network knows more": (UNCLEAR, FAILS),
    "trained differently": (None, HOLDS),
    "Brown hair": (HOLDS, HOLDS),
    "Soft biometrics": (HOLDS, HOLDS),
    "lost with depth": (HOLDS, HOLDS),
    "branches know less": (HOLDS, HOLDS),
    "branches lose": (HOLDS, HOLDS),
    "One neuron": (FAILS, FAILS),
    "best layer is above": (HOLDS, HOLDS),
    "less than 4 points": (UNCLEAR, FAILS),
    "VIP tells": (HOLDS, HOLDS),
    "scarce": (HOLDS, HOLDS),
    "Zeroing": (HOLDS, HOLDS),
}


@pytest.fixture
def tables():
    """Of the table of probes only what the findings look at, for speed."""
    tables = planted_tables()
    tables["probes"] = tables["probes"].query(
        "split == 'valid' and unit_kind in ['layer', 'channels', 'neurons']"
    )
    return tables


@pytest.fixture
def faces(tables):
    """One setup of one network and its control."""
    mine = ("faces-seed0", "faces-seed0" + RANDOM)
    whole = ("averages", "families", "baseline")
    return {n: t[t["network"].isin(mine)].copy() if n not in whole else t for n, t in tables.items()}


def about(table: pd.DataFrame, words: str, setup: str = "faces") -> pd.Series:
    rows = table[table["finding"].str.contains(words, regex=False) & (table["setup"] == setup)]
    assert len(rows) == 1, words
    return rows.iloc[0]


def judged(tables: dict[str, pd.DataFrame], words: str, setup: str = "faces") -> str:
    return str(about(findings(tables), words, setup)["verdict"])


@pytest.mark.parametrize("words", PLANTED)
def test_planted_verdicts(tables, words):
    for setup, verdict in zip(("faces", "objects"), PLANTED[words], strict=True):
        if verdict is None:
            assert not tables["findings"].query("setup == @setup")["finding"].str.contains(words).any()
        else:
            assert about(tables["findings"], words, setup)["verdict"] == verdict


def test_one_row_a_setup_and_finding(tables):
    table = tables["findings"]
    assert list(table.columns[:6]) == ["finding", "source", "network", "setup", "measured", "verdict"]
    assert not table.duplicated(["finding", "setup"]).any()
    assert table.groupby("setup").size().to_dict() == {"faces": len(PLANTED) - 1, "objects": len(PLANTED)}
    assert set(table["network"]) == {"faces-seed0, faces-seed1, faces-seed2", "objects"}
    assert table["measured"].str.endswith(".").all()
    assert table["measured"].str.contains(r"\d").all()
    assert not table["measured"].str.contains("nan").any()
    assert table["source"].str.match(r"(figures? [\d.-]+|table [\d.]+|section [\d.]+)$").all()


def test_measured_numbers_are_those_planted(tables):
    table = tables["findings"]
    numbers = [float(x) for x in re.findall(r"-?\d+\.\d+", about(table, "channels know nearly")["measured"])]
    assert numbers[::3] == pytest.approx([2.0, 2.0, 2.0], abs=0.15)
    assert "6 of 10 attributes exceed 90%" in about(table, "more than 90%")["measured"]
    assert "number 2 of 10" in about(table, "Male is among")["measured"]
    assert "r = 0.93" in about(table, "VIP tells")["measured"]
    zeroing = about(table, "Zeroing")["measured"]
    assert re.search(
        r"With 10% zeroed, entire layers lose 3\.5 points .*, 6\.0 channels, 8\.0 neurons", zeroing
    )
    assert "with as many random neurons" in zeroing
    assert zeroing.endswith("Frozen probes.")


def test_values_are_averaged_over_initialisations(tables):
    """A thing that one of three initialisations has does not make a finding of the three."""
    probes = tables["probes"]
    channels = (probes["unit_kind"] == "channels") & (probes["network"] == "faces-seed0")
    tables["probes"].loc[channels, "value"] -= 0.06
    shown = about(findings(tables), "channels know nearly")
    assert shown["measured"].count("4.0 points") == 3
    assert shown["verdict"] == HOLDS
    tables["probes"].loc[channels, "value"] -= 0.06
    assert judged(tables, "channels know nearly") == FAILS


def change(
    tables: dict[str, pd.DataFrame], where: str, by: float, table: str = "probes", column: str = "value"
) -> None:
    columns = [
        c for c in ((column, "lower", "upper") if column == "value" else (column,)) if c in tables[table]
    ]
    tables[table].loc[tables[table].eval(where), columns] += by


@pytest.mark.parametrize(
    ("words", "where", "by", "verdict"),
    [
        ("more than 90%", "unit_kind == 'layer'", 0.2, HOLDS),
        ("neurons know nearly", "unit_kind == 'neurons' and relative_depth > 0.6", -0.1, FAILS),
        ("hardly know more", "unit_kind == 'layer' and relative_depth > 0.9", 0.2, FAILS),
        ("Male is among", "attribute == 'Male' and depth == 1", -0.1, FAILS),
        ("Male is among", "attribute == 'Male' and depth == 1", 0.01, HOLDS),
        ("Male is among", "attribute == 'Male' and depth == 1", -0.015, UNCLEAR),
        ("Male is among", "attribute == 'Male' and depth > 1", -0.2, HOLDS),
        ("no more than those of random", "not control and depth == 1", 0.1, FAILS),
        ("trained network knows more", "setup == 'faces' and relative_depth > 0.6", 0.1, HOLDS),
        ("Brown hair", "attribute == 'Brown_Hair'", 0.1, FAILS),
        ("Brown hair", "attribute == 'Brown_Hair'", 0.05, UNCLEAR),
        ("Soft biometrics", "attribute == 'Big_Nose' or attribute == 'Oval_Face'", 0.4, FAILS),
        ("lost with depth", "relative_depth > 0.6", 0.2, FAILS),
    ],
)
def test_verdicts_follow_what_was_measured(faces, words, where, by, verdict):
    change(faces, where, by)
    assert judged(faces, words) == verdict


@pytest.mark.parametrize(
    ("words", "table", "where", "column", "by", "verdict"),
    [
        ("branches know less", "sawtooth", "dip > -1", "dip", -0.08, FAILS),
        ("branches lose", "sawtooth", "attribute in ['Smiling', 'Narrow_Eyes']", "dip", -0.2, FAILS),
        ("One neuron", "best", "unit_kind == 'neuron'", "value", 0.05, HOLDS),
        ("One neuron", "best", "unit_kind == 'neuron'", "value", 0.03, UNCLEAR),
        ("One neuron", "best", "unit_kind == 'neuron' and attribute != 'Male'", "value", 0.1, FAILS),
        ("best layer is above", "best", "unit_kind == 'neuron'", "value", 0.08, FAILS),
        ("less than 4 points", "best", "unit_kind == 'channel'", "value", -0.1, FAILS),
        ("VIP tells", "vip_correlation", "r_vip > -2", "r_vip", -0.3, FAILS),
        ("VIP tells", "vip_correlation", "r_vip > -2", "r_mean_activation", 0.6, FAILS),
        ("Zeroing", "ablation", "unit_kind == 'layer'", "drop", 0.1, FAILS),
    ],
)
def test_verdicts_follow_the_other_tables(faces, words, table, where, column, by, verdict):
    change(faces, where, by, table, column)
    assert judged(faces, words) == verdict


def test_the_first_layer_is_named_and_must_be_shallow(tables):
    for words in ("Male is among", "no more than those of random", "trained differently"):
        said = about(findings(tables), words, "objects")["measured"]
        assert "t the first probed layer (stem.relu, 3% of the depth)" in said
    probes = tables["probes"]
    tables["probes"] = probes[~probes["setup"].eq("faces") | (probes["depth"] > 1)]
    said = about(findings(tables), "trained differently", "objects")["measured"]
    assert "at the first probed layers (b1.norm2, 16% of the depth; stem.relu, 3% of the depth)" in said
    tables["probes"] = probes[probes["depth"] > 6]
    table = findings(tables)
    for words in ("Male is among", "no more than those of random", "trained differently"):
        row = about(table, words, "objects")
        assert row["verdict"] == ABSENT
        assert row["measured"] == (
            "Not measured: the first probed layer (b2.norm2, 38% of the depth) lies beyond the first fifth."
        )


@pytest.mark.parametrize("third", ["first", "middle", "last"])
def test_at_every_depth_needs_all_thirds(faces, third):
    probes = faces["probes"]
    number = (probes["relative_depth"] * 3).astype(int).clip(upper=2)
    faces["probes"] = probes[number != ["first", "middle", "last"].index(third)]
    row = about(findings(faces), "channels know nearly")
    assert row["measured"] == f"Not measured: no layer was probed in the {third} third of the depth."


def test_networks_part_in_either_direction(tables):
    words, setup = "trained differently", "objects"
    change(tables, "setup == 'objects' and relative_depth > 0.6", 0.25)
    assert judged(tables, words, setup) == HOLDS
    change(tables, "setup == 'objects' and depth == 1", 0.1)
    assert judged(tables, words, setup) == FAILS
    probes = tables["probes"]
    mine = probes[(probes["setup"] == "faces") & (probes["network"] == "faces-seed0")]
    twin = mine.assign(network="twin", setup="twin")
    assert judged({"probes": pd.concat([mine, twin])}, words, "twin") == FAILS


def test_a_deep_dip_of_few_pairs_is_no_sawtooth(faces):
    dips = faces["sawtooth"]
    first = dips["block"] == "b1"
    dips["dip"] = np.where(first, 0.4, -0.01)
    row = about(findings(faces), "branches know less")
    assert "25% (25% to 25%) of all pairs" in row["measured"]
    assert row["verdict"] == FAILS
    dips["dip"] = np.where(first | (dips["block"] == "b2"), 0.4, -0.01)
    assert judged(faces, "branches know less") == FAILS


def test_single_neurons_need_all_three(faces):
    best = faces["best"]
    best.loc[(best["attribute"] == "Wearing_Hat") & (best["unit_kind"] == "neuron"), "baseline"] = np.nan
    measured = about(findings(faces), "One neuron")["measured"]
    assert measured == "Not measured: a best neuron and a baseline are not both there for Wearing_Hat."


def test_a_flat_histogram_is_not_exponential(faces):
    histogram = faces["vip_histogram"]
    width = histogram["high"] - histogram["low"]
    faces["vip_histogram"]["count"] = (1000 * width * (1 + (histogram["low"] - 3).abs())).round()
    assert judged(faces, "scarce") == FAILS


NEEDS = {
    "best": ("One neuron", "best layer is above", "less than 4 points"),
    "families": ("Soft biometrics", "lost with depth", "branches lose"),
    "sawtooth": ("branches know less", "branches lose"),
    "vip_correlation": ("VIP tells",),
    "vip_histogram": ("scarce",),
    "ablation": ("Zeroing",),
}


@pytest.mark.parametrize(
    ("missing", "how"),
    [*(([name], "absent") for name in NEEDS), *((list(NEEDS), how) for how in ("absent", "empty", "bare"))],
)
def test_missing_tables_leave_their_findings_not_measured(faces, missing, how):
    full = findings(faces)
    for name in missing:
        table = faces.pop(name)
        if how != "absent":
            faces[name] = table[:0] if how == "empty" else table[[]]
    found = findings(faces)
    words = {w for name in missing for w in NEEDS[name]}
    for w in words:
        row = about(found, w)
        assert row["verdict"] == ABSENT
        assert row["measured"].startswith("Not measured: ")
    others = ~found["finding"].apply(lambda f: any(w in f for w in words))
    pd.testing.assert_frame_equal(found[others], full[others])


def test_reasons_are_said(faces):
    tables = faces
    del tables["ablation"]
    tables["best"] = tables["best"].drop(columns="baseline")
    tables["vip_correlation"] = tables["vip_correlation"].assign(network="another")
    probes = tables["probes"]
    tables["probes"] = probes[(~probes["control"]) & (probes["unit_kind"] != "channels")]
    table = findings(tables)
    assert about(table, "Zeroing")["measured"] == "Not measured: there is no table 'ablation'."
    assert about(table, "One neuron")["measured"] == "Not measured: the table 'best' lacks baseline."
    assert (
        about(table, "VIP tells")["measured"]
        == "Not measured: the table 'vip_correlation' has no rows of it."
    )
    no_control = "Not measured: there is no control with random weights."
    assert about(table, "no more than those of random")["measured"] == no_control
    assert "no values of unit kind 'channels'" in about(table, "channels know nearly")["measured"]


def test_other_attributes_one_network_one_layer(tables):
    probes = tables["probes"]
    mine = probes[(probes["network"] == "objects") & probes["layer"].eq("fc")].copy()
    mine["attribute"] = "my " + mine["attribute"]
    table = findings({"probes": mine.drop(columns=["control", "setup", "relative_depth", "lower", "upper"])})
    assert set(table["setup"]) == {"objects"}
    differently = about(table, "trained differently", "objects")
    assert differently["measured"] == "Not measured: there is one setup only."
    measured = table[table["verdict"] != ABSENT]["finding"].str.cat(sep=" ")
    assert "more than 90%" in measured
    assert len(table[table["verdict"] != ABSENT]) == 1


def test_continuous_attributes_alone_give_no_verdict(tables):
    probes = tables["probes"]
    tables["probes"] = probes[probes["kind"] == "continuous"]
    table = findings(tables)
    assert table["verdict"].eq(ABSENT).all()
    assert table["measured"].eq("Not measured: no attribute with classes was probed.").all()
    assert findings({})["measured"].str.startswith("Not measured").all()


def test_single_attributes_stay_unclear(tables):
    probes = tables["probes"]
    tables["probes"] = probes[probes["attribute"] == "Male"]
    table = findings(tables)
    assert about(table, "channels know nearly")["verdict"] == UNCLEAR
    assert not set(table["verdict"]) & {HOLDS, FAILS} or set(
        table.loc[table["verdict"].isin([HOLDS, FAILS]), "source"]
    ) == {"table 5.2"}


def test_broken_probes_are_named(tables):
    with pytest.raises(DataError, match=r"'probes' lacks the columns \['metric'\]"):
        findings({"probes": tables["probes"].drop(columns="metric")})


def test_estimates():
    estimate = over([0.1, 0.2, np.nan, 0.3])
    assert estimate.value == pytest.approx(0.2)
    assert estimate.above(0.05) == estimate.below(0.35) == estimate.within(0.35) == HOLDS
    assert estimate.above(0.35) == estimate.within(0.05) == FAILS
    assert estimate.above(0.2) == UNCLEAR
    assert over([0.5]).above(0.0) == UNCLEAR
    assert np.isnan(over([]).value)
    assert every([HOLDS, UNCLEAR, FAILS]) == FAILS
    assert every([HOLDS, UNCLEAR]) == UNCLEAR
    assert every([HOLDS, HOLDS]) == HOLDS


def test_planted_tables_are_whole(tables):
    contract = [
        "probes",
        "selectivity",
        "vip_histogram",
        "vip_neurons",
        "vip_correlation",
        "best",
        "averages",
        "baseline",
        "families",
        "sawtooth",
        "ablation",
        "confounded",
        "gained",
        "branching",
        "consistency",
        "identification",
        "geometry",
        "findings",
        "layers",
    ]
    assert set(tables) == set(contract)
    assert all(len(table) for table in tables.values())
    assert (tables["probes"].query("split == 'valid'")["n"] == N_VALID).all()
    assert set(tables["probes"].query("control")["setup"]) == {"faces" + RANDOM, "objects" + RANDOM}
    for table in tables.values():
        assert all(
            pd.api.types.infer_dtype(table[c], skipna=True) not in ("mixed", "mixed-integer") for c in table
        )
