"""Figures of a study of layers hold what the tables hold."""

import numpy as np
import pandas as pd
import pytest
from tests.studies.layers import tables as planted

from fusiform import plotting
from fusiform.errors import DataError
from fusiform.plotting.tables import curves, of_setup, setups

TABLES = planted.planted_tables()
PROBES = TABLES["probes"]
LAYERS = list(planted.PROBED)


@pytest.fixture
def tables():
    return {name: table.copy() for name, table in TABLES.items()}


def of(figure, **wanted):
    found = [t for t in figure.data if all((t.meta or {}).get(k) == v for k, v in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


def values(setup, attribute, unit_kind="layer", split="valid"):
    """Mean over networks by hand, in order of depth."""
    rows = PROBES[
        (PROBES["setup"] == setup)
        & (PROBES["attribute"] == attribute)
        & (PROBES["unit_kind"] == unit_kind)
        & (PROBES["split"] == split)
        & PROBES["metric"].isin(["balanced_accuracy", "r2"])
    ]
    by_layer = {
        layer: rows.loc[rows["layer"] == layer, "value"].tolist()
        for layer in LAYERS
        if (rows["layer"] == layer).any()
    }
    return list(by_layer), list(by_layer.values())


# What is drawn --------------------------------------------------------------------------------------


def test_curves_average_initialisations_and_keep_intervals_of_one():
    rows = curves(PROBES)
    one = rows[(rows["setup"] == "faces") & (rows["attribute"] == "Smiling")]
    layers, by_layer = values("faces", "Smiling")
    assert one["layer"].tolist() == layers == LAYERS
    assert np.allclose(one["value"], [np.mean(v) for v in by_layer])
    assert np.allclose(one["lower"], [min(v) for v in by_layer])
    assert np.allclose(one["upper"], [max(v) for v in by_layer])
    assert set(one["n_networks"]) == {3}
    single = rows[(rows["setup"] == "objects") & (rows["attribute"] == "Smiling")]
    assert set(single["n_networks"]) == {1}
    assert np.allclose(single["value"] - single["lower"], 0.015)
    assert rows.loc[rows["control"], "setup"].str.endswith(planted.RANDOM).all()
    assert set(curves(PROBES, setup="faces")["setup"]) == {"faces", "faces" + planted.RANDOM}


def test_curves_need_no_setup_and_no_relative_depth():
    rows = PROBES[PROBES["network"] == "objects"].drop(columns=["setup", "relative_depth", "role", "block"])
    found = curves(rows)
    assert set(found["setup"]) == {"objects"}
    assert found["relative_depth"].max() == 1.0
    assert found["role"].isna().all()


def test_setups_and_their_errors():
    assert setups(PROBES) == ["faces", "objects"]
    assert setups(PROBES.drop(columns="setup")) == list(planted.NETWORKS)
    with pytest.raises(DataError, match=r"'best' holds several setups, \['faces', 'objects'\]; say which"):
        of_setup(TABLES["best"], None, what="best")
    with pytest.raises(DataError, match="no setup 'face': did you mean 'faces'"):
        of_setup(TABLES["best"], "face", what="best")
    with pytest.raises(DataError, match="no setup 'face': did you mean 'faces'"):
        curves(PROBES, setup="face")
    with pytest.raises(DataError, match="no rows of layer for the split 'train'"):
        curves(PROBES, split="train")


# Over depth -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("setup", ["faces", "objects"])
def test_units_over_depth(setup):
    figure = plotting.units_over_depth(PROBES, setup=setup)
    for unit in ("layer", "channels", "neurons"):
        layers, by_layer = values(setup, "Male", unit)
        line = of(figure, attribute="Male", role="line", unit_kind=unit)
        assert list(line.x) == layers
        assert np.allclose(line.y, [np.mean(v) for v in by_layer])
        assert line.line.color == plotting.style.UNIT_COLOURS[unit]
    assert "fc" not in of(figure, attribute="Male", role="line", unit_kind="channels").x
    control = of(figure, attribute="Male", role="control")
    assert np.allclose(control.y, [v[0] for v in values(setup + planted.RANDOM, "Male")[1]])
    assert {t.meta["attribute"] for t in figure.data if t.visible} == {
        figure.layout.updatemenus[0].buttons[0].label
    }
    # R² has an axis of its own.
    assert "yaw" not in {t.meta["attribute"] for t in figure.data}
    r2 = plotting.units_over_depth(PROBES, setup=setup, kind="continuous")
    assert {t.meta["attribute"] for t in r2.data} == {"yaw"}
    assert r2.layout.yaxis.title.text == "R²"


def test_the_menu_shows_one_attribute():
    figure = plotting.units_over_depth(PROBES, setup="objects", attributes=["Male", "Smiling"])
    button = figure.layout.updatemenus[0].buttons[1]
    shown = [t.meta["attribute"] for t, v in zip(figure.data, button.args[0]["visible"], strict=True) if v]
    assert button.label == "Smiling"
    assert set(shown) == {"Smiling"}
    assert not plotting.units_over_depth(PROBES, setup="faces", selector=False).layout.updatemenus


def test_unit_panels_have_a_panel_an_attribute():
    figure = plotting.unit_panels(
        PROBES, setup="faces", attributes=["Male", "Smiling", "Bangs"][:2], columns=1
    )
    axes = {t.meta["attribute"]: t.yaxis for t in figure.data}
    assert axes == {"Male": "y", "Smiling": "y2"}
    assert sum(bool(t.showlegend) for t in figure.data) == 5
    with pytest.raises(DataError, match="no binary attribute 'Smile': did you mean 'Smiling'"):
        plotting.unit_panels(PROBES, setup="faces", attributes=["Smile"])
    with pytest.raises(DataError, match="columns must be at least 1; got 0"):
        plotting.unit_panels(PROBES, setup="faces", columns=0)
    with pytest.raises(DataError, match="kind must be one of"):
        plotting.unit_panels(PROBES, setup="faces", kind="binray")


def test_setups_over_depth_averages_attributes():
    figure = plotting.setups_over_depth(PROBES)
    names = [name for name in planted.ATTRIBUTES if name != "yaw"]
    for setup, role in (("faces", "line"), ("objects", "line"), ("objects" + planted.RANDOM, "control")):
        expected = np.mean([[np.mean(v) for v in values(setup, name)[1]] for name in names], axis=0)
        trace = of(figure, setup=setup, metric="balanced_accuracy", role=role)
        assert np.allclose(trace.y, expected)
        assert trace.meta["attributes"] == len(names)
    assert of(figure, setup="faces", metric="r2", role="line").yaxis == "y2"
    faces, twin = (
        of(figure, setup=s, metric="r2", role=r)
        for s, r in (("faces", "line"), ("faces" + planted.RANDOM, "control"))
    )
    assert faces.line.color == twin.line.color
    assert twin.line.dash == "dot"


def test_setups_average_only_what_all_of_them_measured():
    less = PROBES[~((PROBES["setup"] == "objects") & (PROBES["attribute"] == "Male"))]
    figure = plotting.setups_over_depth(less)
    assert of(figure, setup="faces", metric="balanced_accuracy", role="line").meta["attributes"] == 9


def test_families():
    families = TABLES["families"]
    figure = plotting.families_over_depth(PROBES, families, setup="faces")
    members = ["Smiling", "Narrow_Eyes"]
    mean = of(figure, family="non-biometric", role="mean")
    expected = np.mean([[np.mean(v) for v in values("faces", name)[1]] for name in members], axis=0)
    assert np.allclose(mean.y, expected)
    one = of(figure, family="non-biometric", role="line", attribute="Smiling")
    assert one.line.color == mean.line.color
    # yaw is judged by R², which has no place on this axis.
    assert "yaw" not in {t.meta["attribute"] for t in figure.data}
    hair = plotting.families_over_depth(PROBES, families, setup="faces", family="hair colour")
    assert {t.meta["attribute"] for t in hair.data} == {"Black_Hair", "Blond_Hair", "Brown_Hair"}
    assert len({t.line.color for t in hair.data}) == 3
    with pytest.raises(DataError, match="no family 'hair color': did you mean 'hair colour'"):
        plotting.families_over_depth(PROBES, families, setup="faces", family="hair color")
    with pytest.raises(DataError, match="None of the families' attributes"):
        plotting.families_over_depth(PROBES, families.assign(attribute="x"), setup="faces")


def test_sawtooth(tables):
    sawtooth = tables["sawtooth"].assign(setup=tables["sawtooth"]["network"].map(planted.NETWORKS))
    figure = plotting.sawtooth_over_depth(PROBES, sawtooth, setup="faces")
    line = of(figure, attribute="Narrow_Eyes", role="line")
    parts = dict(zip(line.x, line.meta["parts"], strict=True))
    assert {layer for layer, part in parts.items() if part == "branch"} == set(planted.BRANCHES)
    assert {layer for layer, part in parts.items() if part == "sum"} == {"b1.add", "b2.add", "b3", "b4"}
    assert np.allclose(line.y, [np.mean(v) for v in values("faces", "Narrow_Eyes")[1]])
    assert len(figure.layout.shapes) == 4
    dips = plotting.sawtooth_dips(sawtooth, setup="faces", families=tables["families"])
    drawn = {y: x for t in dips.data if t.meta["role"] == "mean" for x, y in zip(t.x, t.y, strict=True)}
    own = sawtooth[sawtooth["setup"] == "faces"].groupby("attribute")["dip"].mean()
    assert drawn == pytest.approx(own.to_dict())
    assert list(dips.layout.yaxis.categoryarray)[:3] == own.sort_values(ascending=False).index[:3].tolist()
    with pytest.raises(DataError, match="No dip was measured for 'Male_': did you mean 'Male'"):
        plotting.sawtooth_over_depth(PROBES, sawtooth, setup="faces", attributes=["Male_"])


# Units ----------------------------------------------------------------------------------------------


def test_vip_examples_hold_counts_and_neurons():
    histogram, neurons = TABLES["vip_histogram"], TABLES["vip_neurons"]
    figure = plotting.vip_examples(histogram, neurons, network="objects", pairs=[("b3", "Male")])
    where = {"network": "objects", "layer": "b3", "attribute": "Male"}
    counts = histogram[(histogram[list(where)] == pd.Series(where)).all(axis=1)]
    dots = neurons[(neurons[list(where)] == pd.Series(where)).all(axis=1)]
    assert list(of(figure, role="histogram").y) == counts["count"].tolist()
    assert list(of(figure, role="neurons").x) == dots["vip"].tolist()
    assert list(of(figure, role="neurons").y) == dots["value"].tolist()
    r = np.corrcoef(dots["vip"], dots["value"])[0, 1]
    assert f"r = {r:.2f}" in [a.text for a in figure.layout.annotations]
    three = plotting.vip_examples(histogram, neurons)
    assert len({tuple(t.meta["pair"]) for t in three.data}) == 3
    with pytest.raises(DataError, match="no network 'object': did you mean 'objects'"):
        plotting.vip_examples(histogram, neurons, network="object")
    with pytest.raises(DataError, match="no rows of the layer 'b3' and the attribute 'Mole'"):
        plotting.vip_examples(histogram, neurons, pairs=[("b3", "Mole")])


def test_vip_correlations():
    table = TABLES["vip_correlation"]
    figure = plotting.vip_correlations(table, setup="objects")
    own = table[table["setup"] == "objects"]
    for column in ("r_vip", "r_mean_activation"):
        trace = of(figure, column=column)
        assert np.allclose(trace.x, own[column].dropna())
        assert trace.meta["mean"] == pytest.approx(own[column].mean())
    with pytest.raises(DataError, match="no correlations to draw"):
        plotting.vip_correlations(own.assign(r_vip=np.nan, r_mean_activation=np.nan))


def test_best_units_in_order_of_how_near_they_are_to_the_baseline():
    best = TABLES["best"]
    figure = plotting.best_units(best, setup="faces")
    own = best[best["setup"] == "faces"]
    for kind in ("layer", "channel", "neuron"):
        trace = of(figure, unit_kind=kind)
        expected = own[own["unit_kind"] == kind].groupby("attribute")["value"].mean()
        assert dict(zip(trace.y, trace.x, strict=True)) == pytest.approx(expected.to_dict())
    layer = own[own["unit_kind"] == "layer"].groupby("attribute")[["value", "baseline"]].mean()
    nearest = (layer["value"] / layer["baseline"]).sort_values(ascending=False).index.tolist()
    assert list(figure.layout.yaxis.categoryarray) == nearest
    majority = of(figure, unit_kind="majority")
    assert dict(zip(majority.y, majority.x, strict=True))["Wearing_Hat"] == pytest.approx(0.96)
    half_known = best.assign(lower=np.nan, upper=1.0)
    bars = of(plotting.best_units(half_known, setup="objects"), unit_kind="neuron").error_x
    assert np.isnan(np.array(bars.array, float)).all()
    without = plotting.best_units(best.assign(baseline=np.nan), setup="objects")
    assert {t.meta["unit_kind"] for t in without.data} == {"majority", "layer", "channel", "neuron"}


def test_average_accuracies():
    table = pd.DataFrame(
        {"method": ["a", "b", "c"], "value": [0.8, 0.9, 0.7], "source": ["measured", "published", "measured"]}
    )
    figure = plotting.average_accuracies(table)
    assert {t.name: dict(zip(t.y, t.x, strict=True)) for t in figure.data} == {
        "measured": {"a": 0.8, "c": 0.7},
        "published": {"b": 0.9},
    }
    with pytest.raises(DataError, match="no rows to draw"):
        plotting.average_accuracies(table.iloc[:0])


# Controls and experiments ---------------------------------------------------------------------------


def test_ablation_means_over_attributes_of_means_over_layers():
    table = TABLES["ablation"]
    figure = plotting.ablation_drops(table, setup="faces")
    rows = table[
        (table["setup"] == "faces")
        & (table["selection"] == "top")
        & (table["masked_layer"] == "b3")
        & (table["unit_kind"] == "neurons")
    ]
    trace = of(figure, unit_kind="neurons", selection="top", masked_layer="b3")
    expected = rows.groupby(["share", "attribute"])["drop"].mean().groupby("share").agg(["mean", "std"])
    assert np.allclose(trace.y, expected["mean"])
    assert np.allclose(trace.error_y.array, expected["std"])
    assert [text for text, _ in trace.customdata] == ["1%", "5%", "10%"]
    assert len(figure.data) == 3 * 3 * 3


@pytest.mark.parametrize(
    ("draw", "name", "conditions"),
    [
        (plotting.selectivity_over_depth, "selectivity", ("value", "shuffled")),
        (plotting.geometry_over_depth, "geometry", ("aligned", "transformed")),
    ],
)
def test_two_conditions(draw, name, conditions):
    table = TABLES[name]
    figure = draw(table, setup="faces")
    own = table[(table["setup"] == "faces") & (table["metric"] == "balanced_accuracy")]
    for condition in conditions:
        mean = of(figure, condition=condition, metric="balanced_accuracy", attribute="")
        expected = own.groupby(["depth", "layer"])[condition].mean()
        assert list(mean.x) == [layer for _, layer in expected.index]
        assert np.allclose(mean.y, expected)
        one = of(figure, condition=condition, metric="balanced_accuracy", attribute="Male")
        assert np.allclose(one.y, own[own["attribute"] == "Male"].groupby("depth")[condition].mean())


def test_an_r2_without_end_does_not_take_the_axis():
    table = TABLES["geometry"].copy()
    worst = (table["attribute"] == "yaw") & (table["layer"] == "b3")
    table.loc[worst, "transformed"] = -5000.0
    figure = plotting.geometry_over_depth(table, setup="faces")
    assert of(figure, condition="transformed", metric="r2", attribute="yaw").y[LAYERS.index("b3")] == -5000
    assert figure.layout.yaxis2.autorangeoptions.clipmin == -1
    assert figure.layout.yaxis.autorangeoptions.clipmin is None


def test_confounded_at_the_best_layer_of_the_first_network():
    table = TABLES["confounded"]
    figure = plotting.confounded_values(table, setup="faces")
    own = table[(table["network"] == "faces-seed0") & (table["attribute"] == "Wearing_Hat")]
    top = own.loc[own["raw"].idxmax()]
    raw = of(figure, treatment="balanced", role="raw")
    value = of(figure, treatment="balanced", role="value")
    assert (list(raw.x), list(value.x)) == ([top["raw"]], [top["value"]])
    assert list(value.y) == ["Wearing_Hat (without Male)"]
    assert np.allclose(value.error_x.arrayminus, [top["value"] - top["lower"]])
    assert of(figure, treatment="residualised", role="value").xaxis == "x2"


def test_depths_are_means_over_initialisations_with_their_range():
    gained = TABLES["gained"]
    trace = plotting.gained_depths(gained, setup="faces").data[0]
    own = (
        gained[gained["setup"] == "faces"].groupby("attribute")["relative_depth"].agg(["mean", "min", "max"])
    )
    assert dict(zip(trace.y, trace.x, strict=True)) == pytest.approx(own["mean"].to_dict())
    assert list(trace.x) == sorted(trace.x)
    assert np.allclose(trace.error_x.array, own.loc[list(trace.y), "max"] - own.loc[list(trace.y), "mean"])
    branching = plotting.branching_depths(TABLES["branching"], setup="objects").data[0]
    gain = TABLES["branching"].query("setup == 'objects'").set_index("attribute")["gain"]
    sizes = dict(zip(branching.y, branching.marker.size, strict=True))
    assert max(sizes, key=sizes.get) == gain.idxmax()
    with pytest.raises(DataError, match="'gained' holds no depths to draw"):
        plotting.gained_depths(gained.assign(relative_depth=np.nan), setup="faces")


def test_consistency():
    table = TABLES["consistency"]
    figure = plotting.consistency_over_depth(table)
    own = table[(table["attack"] == "pgd") & (table["layer"] != "all")]
    line = of(figure, attack="pgd", role="line")
    assert (list(line.x), list(line.y)) == (own["layer"].tolist(), own["auc"].tolist())
    combined = of(figure, attack="pgd", role="all")
    assert list(combined.x) == ["all layers"]
    assert list(combined.y) == table.query("attack == 'pgd' and layer == 'all'")["auc"].tolist()


# Every figure ---------------------------------------------------------------------------------------

EVERY = {
    "units_over_depth": ("probes",),
    "unit_panels": ("probes",),
    "setups_over_depth": ("probes",),
    "families_over_depth": ("probes", "families"),
    "sawtooth_over_depth": ("probes", "sawtooth"),
    "sawtooth_dips": ("sawtooth",),
    "vip_examples": ("vip_histogram", "vip_neurons"),
    "vip_correlations": ("vip_correlation",),
    "best_units": ("best",),
    "ablation_drops": ("ablation",),
    "selectivity_over_depth": ("selectivity",),
    "confounded_values": ("confounded",),
    "gained_depths": ("gained",),
    "branching_depths": ("branching",),
    "consistency_over_depth": ("consistency",),
    "geometry_over_depth": ("geometry",),
}


def texts(value, inside=""):
    """All strings of a figure but those in ``meta``, which plotly does not show."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "meta":
                yield from texts(inner, key)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner, inside)
    elif isinstance(value, str):
        yield inside, value


@pytest.fixture
def of_one_network(tables):
    sawtooth = tables["sawtooth"]
    tables["sawtooth"] = sawtooth.assign(setup=sawtooth["network"])
    tables["consistency"] = tables["consistency"].assign(network="objects", setup="objects")
    return {
        name: table[table["network"] == "objects"] if {"setup", "network"} <= set(table.columns) else table
        for name, table in tables.items()
    }


@pytest.mark.parametrize("name", EVERY)
def test_hostile_names_are_shown_as_they_are(name, of_one_network):
    evil = "<b onload=x>&%{y}"
    rename = {
        "attribute": {"Smiling": evil, "Wearing_Hat": evil + "2"},
        "layer": {"b1.add": evil},
        "setup": {"objects": evil},
    }
    rename |= {"family": {"hair colour": evil}, "attack": {"pgd": evil}, "masked_layer": {"b3": evil}}
    given = [of_one_network[key].replace(rename) for key in EVERY[name]]
    figure = getattr(plotting, name)(*given)
    drawn = list(texts(figure.to_dict()))
    assert any("&lt;b onload=x&gt;&amp;%" in text for _, text in drawn) or name == "vip_correlations"
    assert not [text for _, text in drawn if "<b onload" in text]
    assert not [text for key, text in drawn if key == "hovertemplate" and "&amp;%{y}" in text]


@pytest.mark.parametrize("name", EVERY)
def test_missing_columns_are_named(name, of_one_network):
    first, *rest = (of_one_network[key] for key in EVERY[name])
    bare = first.drop(columns=["attribute", "layer"], errors="ignore")
    with pytest.raises(DataError, match=rf"The table '{EVERY[name][0]}' lacks the columns \["):
        getattr(plotting, name)(bare, *rest)


@pytest.mark.parametrize("name", EVERY)
def test_one_layer_and_one_attribute_are_enough(name, of_one_network):
    given = []
    for key in EVERY[name]:
        table = of_one_network[key]
        if name != "ablation_drops" and key != "sawtooth" and "layer" in table.columns:
            table = table[table["layer"].isin(["b3", "all"])] if (table["layer"] == "b3").any() else table
        if "attribute" in table.columns and key != "families":
            table = table[table["attribute"] == table["attribute"].iloc[0]]
        given.append(table)
    given = [t if len(t) else of_one_network[k] for t, k in zip(given, EVERY[name], strict=True)]
    if name == "families_over_depth":
        given[1] = pd.DataFrame({"family": "one", "attribute": [given[0]["attribute"].iloc[0]]})
    figure = getattr(plotting, name)(*given)
    assert len(figure.data)
    assert figure.layout.height > 0
