"""The whole dissection: against the papers' loops, on planted units, on bad input."""

import numpy as np
import pandas as pd
import pytest
import torch
from tests.dissection.made_up import colour_network, coloured_faces, made_up
from tests.reference.dissection import slow_global, slow_iou, slow_pairs

from fusiform.activations import TailSketch
from fusiform.dissection import _probabilities, dissect
from fusiform.dissection._dissect import _top
from fusiform.dissection._passes import memory_of
from fusiform.errors import LayerError, NetworkError, SpecError
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, NetworkCard

COLUMNS = [
    "network", "layer", "depth", "unit_kind", "unit", "method", "scope", "concept", "concept_kind", "region", "iou",
    "probability", "threshold", "p_value", "q_value", "n",
]  # fmt: skip


@pytest.fixture(scope="module")
def net():
    return colour_network()


@pytest.fixture(scope="module")
def dictionary():
    faces, masks, light = coloured_faces()
    light_group = ("Light", ("dark", "light"), 0.55, light.astype(int))
    odd = ("Odd", ("even", "odd", "never"), 0.4, np.arange(80) % 2)
    return made_up(faces, masks, ["Warm", "Warm", "Cold"], categories=[light_group, odd])


@pytest.fixture(scope="module")
def found(net, dictionary):
    return dissect(
        net, dictionary, ["pool", "relu"], ["hierarchical", "network"], permutations=999, quantile=0.02
    )


def test_planted_units_are_found_and_named(found):
    """Red, green and blue detectors know their colour; none knows another; the unit of brightness knows the light."""
    for layer in ("pool", "relu"):
        units = found.units[found.units.layer == layer].set_index("unit")
        assert units.best_concept[:3].tolist() == ["c0", "c1", "c2"]
        assert units.region[:3].tolist() == ["Warm", "Warm", "Cold"]
        pairs = found.table[(found.table.layer == layer) & (found.table.method == "hierarchical")]
        local = pairs[pairs.scope == "local"]
        # Cold has one concept, whose probability of 1 cannot exceed 1.5 / 1.
        assert {(u, c) for u, c in zip(local.unit, local.concept, strict=True) if u < 5} == {
            (0, "c0"),
            (1, "c1"),
        }
        assert (local[local.unit < 2].q_value < 0.01).all()
        assert (local[local.unit < 2].iou > 0.04).all()
        light = pairs[(pairs.unit == 4) & (pairs.region == "Light")].iloc[0]
        assert (light.concept, light.scope, light.concept_kind, light.n) == (
            "light",
            "global",
            "global",
            int(found.dictionary.groups.Light.sum()),
        )
        assert light.probability > 0.55
        assert light.q_value < 0.05
        network = found.table[(found.table.layer == layer) & (found.table.method == "network")]
        assert network[network.unit < 3].concept.tolist() == ["c0", "c1", "c2"]


@pytest.mark.parametrize("union", ["all", "labelled"])
def test_every_stage_equals_the_loops(net, dictionary, union):
    few = np.arange(24)
    small = made_up(
        dictionary.faces.subset(few),
        dictionary.all_masks[few],
        ["Warm", "Warm", "Cold"],
        categories=[("Light", ("dark", "light"), 0.55, dictionary.groups.Light.to_numpy()[few])],
    )
    found = dissect(
        net, small, "pool", ["hierarchical", "network"], union=union, quantile=0.02, significance=False
    )
    layer = found.layers["pool"]
    activations = net.activations(net.prepare(small.faces.images()), ["pool"])["pool"].detach().numpy()
    masks, present = small.all_masks.numpy(), small.present.to_numpy()
    iou, each = slow_iou(activations, masks, np.ones_like(present), present, 0.02, union)
    np.testing.assert_allclose(layer.iou, iou, atol=1e-9)  # NaN where a union is empty
    maxima = activations.max(axis=(2, 3))
    np.testing.assert_allclose(layer.maxima, maxima, atol=1e-6)
    np.testing.assert_allclose(
        layer.probabilities_global["Light"], slow_global(maxima, small.groups.Light.to_numpy()), atol=1e-6
    )
    pairs = found.table[(found.table.method == "hierarchical") & (found.table.scope == "local")]
    got = {(u, int(c[1:])) for u, c in zip(pairs.unit, pairs.concept, strict=True)}
    assert got == slow_pairs(iou, maxima, present, ["Warm", "Warm", "Cold"], 0.04)
    network = found.table[found.table.method == "network"].set_index("unit")
    assert set(network.index) == set(np.flatnonzero(np.nan_to_num(iou).max(axis=1) >= 0.04))
    for unit, row in network.iterrows():
        assert row.concept == f"c{np.nan_to_num(iou[unit]).argmax()}"
    best = each[:3, :3].argmax(axis=2)
    np.testing.assert_array_equal(layer.best_by_iou[:3, :, 0][each[:3].max(2) > 0], best[each[:3].max(2) > 0])


def test_tables_have_their_columns_and_add_up(found):
    assert list(found.table.columns) == COLUMNS
    assert not found.table[["concept", "region", "n"]].isna().any().any()
    hierarchical = found.table[found.table.method == "hierarchical"]
    assert (hierarchical.probability > hierarchical.threshold).all()
    for (layer, method), rows in found.coverage.groupby(["layer", "method"]):
        pairs = found.table[(found.table.layer == layer) & (found.table.method == method)]
        rows = rows.set_index("scope").interpretable
        assert rows["either"] == pairs.unit.nunique()
        assert rows["local"] == pairs[pairs.scope == "local"].unit.nunique()
        assert list(rows.index) == (
            ["local", "either"] if method == "network" else ["local", "global", "either"]
        )
    units = found.units
    assert len(units) == 16
    assert units.local.sum() == (hierarchical.scope == "local").sum()
    assert units.global_.sum() == (hierarchical.scope == "global").sum()
    some = units[units.local + units.global_ > 1].iloc[0]
    mine = hierarchical[(hierarchical.layer == some.layer) & (hierarchical.unit == some.unit)]
    assert some.concepts == "; ".join(mine.concept)
    assert found.images == 80
    assert set(found.seconds) == {"first pass", "second pass", "of it overlaps", "stages and significance"}


def test_a_group_without_images_leaves_the_dictionary_s_threshold(found):
    assert found.settings["left_out"] == ["Odd: no images of never"]
    odd = found.layers["pool"].probabilities_global["Odd"]
    assert np.isnan(odd[:, 2]).all()
    np.testing.assert_allclose(odd[:, :2].sum(axis=1), 1)
    rows = found.table[found.table.region == "Odd"]
    assert len(rows)
    assert (rows.threshold == 0.4).all()


def test_a_unit_that_never_fires_is_paired_with_nothing(found):
    dead = found.units[found.units.unit == 3]
    assert not dead.fires.any()
    assert (dead.best_concept == "").all()
    assert (dead.region == "").all()
    assert 3 not in set(found.table.unit)
    assert (found.layers["pool"].iou[3] == 0).all()
    assert found.units[found.units.unit < 3].fires.all()


def test_top_images_come_with_their_maps(net, dictionary, found):
    layer = found.layers["pool"]
    for unit in (0, 4):
        rows = layer.top_images[unit]
        np.testing.assert_array_equal(rows, np.argsort(-layer.maxima[:, unit], kind="stable")[:5])
        maps = net.activations(net.prepare(dictionary.faces.images(rows)), ["pool"])["pool"][:, unit]
        np.testing.assert_allclose(layer.top_maps[unit], maps.detach().numpy(), atol=2e-3)


def test_batches_and_groups_of_layers_change_nothing(net, dictionary, found):
    again = dissect(
        net,
        dictionary,
        ["relu", "pool"],
        ["hierarchical", "network"],
        permutations=999,
        quantile=0.02,
        batch_size=19,
        memory_gb=1e-4,
    )
    assert again.settings["passes"] == 4
    for name in ("pool", "relu"):
        a, b = found.layers[name], again.layers[name]
        np.testing.assert_allclose(a.iou, b.iou, atol=1e-9)
        np.testing.assert_allclose(a.probabilities_local, b.probabilities_local, atol=1e-6)
        np.testing.assert_array_equal(a.best_by_iou, b.best_by_iou)
        np.testing.assert_allclose(a.where, b.where)
    same = [column for column in COLUMNS if column not in ("p_value", "q_value")]
    pd.testing.assert_frame_equal(found.table[same], again.table[same], rtol=1e-5)


def test_images_in_which_a_concept_is_not_known_do_not_count(net, dictionary):
    half = np.arange(80) < 40
    known = np.ones((80, 3), dtype=bool)
    known[~half, 0] = False
    partly = made_up(
        dictionary.faces,
        dictionary.all_masks,
        ["Warm"] * 3,
        known=known,
        present=dictionary.present.to_numpy(),
    )
    found = dissect(net, partly, "pool", significance=False)
    activations = net.activations(net.prepare(dictionary.faces.images()), ["pool"])["pool"].detach().numpy()
    expected, _ = slow_iou(
        activations[:, :1], dictionary.all_masks.numpy(), known, dictionary.present.to_numpy(), 0.005
    )
    np.testing.assert_allclose(found.layers["pool"].iou[:1], expected, atol=1e-9)


def test_random_units_are_not_significant_more_often_than_the_level():
    """Pixels of noise and masks that have nothing to do with them."""
    rng = np.random.default_rng(5)
    images = torch.from_numpy(rng.integers(0, 256, (60, 3, 32, 32), dtype=np.uint8))
    masks = np.zeros((60, 3, 32, 32), dtype=bool)
    for i, c in np.argwhere(rng.random((60, 3)) < 0.6):
        y, x = rng.integers(0, 18, 2)
        masks[i, c, y : y + 14, x : x + 14] = True
    groups = ("Side", ("left", "right"), 0.55, np.arange(60) % 2)
    noise = made_up(FaceSet.from_arrays(images), masks, ["Here"] * 3, categories=[groups])
    found = dissect(colour_network(32, random=60), noise, "pool", permutations=200, quantile=0.02)
    layer = found.layers["pool"]
    assert np.nanmean(layer.p_local < 0.05) < 0.12
    assert not (layer.q_local < 0.01).any()
    assert not (layer.q_global["Side"] < 0.01).any()


def test_concepts_without_images_and_empty_masks(net, dictionary):
    masks = dictionary.all_masks.clone()
    masks[:, 1] = False
    present = dictionary.present.to_numpy().copy()
    present[:, 1] = False
    present[0, 2] = True  # labelled, but its mask is empty
    masks[0, 2] = False
    found = dissect(
        net, made_up(dictionary.faces, masks, ["Warm"] * 3, present=present), "pool", permutations=20
    )
    layer = found.layers["pool"]
    assert np.isnan(layer.iou[:, 1]).all()
    assert np.isnan(layer.p_local[:, 1]).all()
    assert "c1" not in set(found.table.concept)
    assert found.units.best_concept[0] == "c0"


def test_dictionaries_of_local_or_global_concepts_alone(net, dictionary):
    only_global = made_up(
        dictionary.faces,
        dictionary.all_masks[:, :0],
        [],
        categories=[("Light", ("dark", "light"), 0.55, dictionary.groups.Light.to_numpy())],
    )
    found = dissect(net, only_global, "pool", permutations=50)
    assert set(found.table.scope) == {"global"}
    assert found.units.best_concept.eq("").all()
    only_local = made_up(dictionary.faces, dictionary.all_masks, ["Warm"] * 3)
    found = dissect(net, only_local, "pool", "network", quantile=0.02, significance=False, pictures=False)
    assert set(found.table.method) == {"network"}
    assert found.layers["pool"].best_by_iou.shape == (8, 3, 0)
    assert found.units.local.sum() == len(found.table)


def test_a_layer_without_positions_is_a_map_of_one(net, dictionary):
    found = dissect(net, dictionary, "vector", ["hierarchical", "network"], quantile=0.2, permutations=20)
    assert found.settings["without_positions"] == ["vector"]
    activations = net.activations(net.prepare(dictionary.faces.images()), ["vector"])["vector"]
    expected, _ = slow_iou(
        activations.detach().numpy()[:, :, None, None],
        dictionary.all_masks.numpy(),
        np.ones((80, 3), dtype=bool),
        dictionary.present.to_numpy(),
        0.2,
    )
    np.testing.assert_allclose(found.layers["vector"].iou, expected, atol=1e-9)
    assert found.layers["vector"].top_maps.shape == (3, 5, 1, 1)


def test_top_images_are_those_of_a_stable_sort(monkeypatch):
    maxima = np.random.default_rng(0).integers(0, 6, (50, 17)).astype(np.float32)
    maxima[:, 3] = 0
    for values in (2**22, 150):
        monkeypatch.setattr(_probabilities, "_VALUES", values)
        for top in (1, 7, 50, 60):
            expected = np.argsort(-maxima, axis=0, kind="stable")[:top].T
            np.testing.assert_array_equal(_top(maxima, top), expected)


def test_an_overlap_of_nothing_is_no_pair_at_any_threshold(net, dictionary):
    found = dissect(
        net,
        dictionary,
        "pool",
        ["network", "hierarchical"],
        iou_threshold=0,
        significance=False,
        quantile=0.02,
    )
    local = found.table[found.table.scope == "local"]
    assert (local.iou > 0).all()
    assert 3 not in set(local.unit)
    assert found.units.region[3] == ""


def test_memory_counts_the_sketch(net):
    layer = net.layer("pool")
    less, more = (memory_of(layer, 80, 3, quantile, 5) for quantile in (0.005, 0.2))
    values = 80 * layer.shape[1] * layer.shape[2]
    sketch = [TailSketch(layer.shape[0], quantile, values).n_bytes for quantile in (0.005, 0.2)]
    assert more - less == sketch[1] - sketch[0] > 0
    assert less - sketch[0] >= 80 * layer.shape[0] * 4


def test_the_seed_reaches_a_dictionary_that_is_opened(net, monkeypatch, dictionary):
    seeds = []
    monkeypatch.setattr(
        "fusiform.dissection._dissect.open_dictionary",
        lambda spec, seed: seeds.append((spec, seed)) or dictionary,
    )
    dissect(net, "somewhere", "pool", seed=7, significance=False)
    assert seeds == [("somewhere", 7)]


def test_nothing_is_left_behind_and_progress_ends_at_all(net, dictionary):
    steps = []
    weights = net.digest()
    dissect(
        net,
        dictionary,
        ["pool"],
        significance=False,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert steps[-1] == (160, 160)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert net.digest() == weights
    assert not any(module._forward_hooks for module in net.module.modules())


def test_errors(net, dictionary):
    with pytest.raises(LayerError, match="did you mean 'pool'"):
        dissect(net, dictionary, "poool")
    with pytest.raises(SpecError, match=r"no method 'netwrok'; did you mean 'network'"):
        dissect(net, dictionary, "pool", "netwrok")
    with pytest.raises(SpecError, match="Dissection needs a method"):
        dissect(net, dictionary, "pool", [])
    with pytest.raises(SpecError, match="no union 'label'; did you mean 'labelled'"):
        dissect(net, dictionary, "pool", union="label")
    with pytest.raises(SpecError, match="between 0 and 1; got 5"):
        dissect(net, dictionary, "pool", quantile=5)
    with pytest.raises(SpecError, match="'iou_threshold' must lie between 0 and 1; got -1"):
        dissect(net, dictionary, "pool", iou_threshold=-1)
    for name, value in (
        ("top", 0),
        ("top", 2.5),
        ("permutations", True),
        ("batch_size", 0),
        ("batch_size", 8.0),
    ):
        text = f"'{name}' must be a whole number of at least 1; got {value}"
        with pytest.raises(SpecError, match=text):
            dissect(net, dictionary, "pool", **{name: value})
    for gb in (0, -1, float("inf"), float("nan")):
        with pytest.raises(SpecError, match=f"'memory_gb' must be a finite number above 0; got {gb}"):
            dissect(net, dictionary, "pool", memory_gb=gb)
    with pytest.raises(SpecError, match="Name at least one layer"):
        dissect(net, dictionary, [])


class _Tokens(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lift = torch.nn.Linear(3, 4)

    def forward(self, x):
        return self.lift(x.flatten(2).transpose(1, 2)).mean(dim=1)


def test_layers_that_are_neither_maps_nor_features(dictionary):
    net = FaceNetwork(_Tokens(), NetworkCard(name="tokens", input_size=(48, 48)))
    with pytest.raises(LayerError, match=r"'lift' has shape \(2304, 4\) an image, neither maps"):
        dissect(net, dictionary, "lift")


def test_activations_that_are_not_numbers_are_named(dictionary):
    broken = colour_network()
    with torch.no_grad():
        broken.module.units.weight[1] = float("nan")
    with pytest.raises(NetworkError, match="'units' of 'colours' gives NaN or infinite activations"):
        dissect(broken, dictionary, "units")
