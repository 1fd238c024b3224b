"""Which units and images are shown, and what is drawn of them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.studies.dissection.made_up import arrays_of, pairs_of, table_of_concepts, units_of

from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.runs import Run
from fusiform.studies.dissection._choose import Candidates, chosen_units, final_choice, firing_places
from fusiform.studies.dissection._pictures import draw_strips, outlined

CONCEPTS = table_of_concepts()
PLANTED = {
    0: {"left_eye": 0.3},
    1: {"left_eye": 0.2, "Eyeglasses": 0.1, "Male": 0.7},
    2: {"nose": 0.12, "Male": 0.6},
    3: {"left_eye": 0.05},
}


def dictionary_of(n):
    images = torch.randint(
        0, 255, (n, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    faces = FaceSet.from_arrays(images, pd.DataFrame({"image_id": [f"i{k:02d}" for k in range(n)]}))
    groups = pd.DataFrame({"Gender": np.arange(n) % 3 - 1, "Age": np.zeros(n, dtype=int)})
    return SimpleNamespace(faces=faces, concepts=CONCEPTS, groups=groups)


@pytest.fixture(scope="module")
def layer():
    """Candidates of a layer with the planted units, and what they were taken from."""
    pairs, dictionary = pairs_of(PLANTED, CONCEPTS), dictionary_of(12)
    units = units_of(pairs, 5)
    arrays = arrays_of(dictionary, pairs, 5)
    table = Candidates(arrays, pairs, units, dictionary).table(4)
    return SimpleNamespace(pairs=pairs, units=units, arrays=arrays, dictionary=dictionary, table=table)


def test_the_strongest_of_each_concept_come_first_then_units_of_many_concepts(layer):
    own = layer.pairs[layer.pairs["method"] == "hierarchical"]
    # left_eye: 0, Eyeglasses: 1, nose: 2, Male: 1 again; then 3, which has one concept.
    assert chosen_units(own, 10)["unit"].tolist() == [0, 2, 1, 3]
    assert chosen_units(own, 2)["unit"].tolist() == [0, 2]


def test_top_strips_hold_the_most_activating_images(layer):
    top = layer.table[layer.table["kind"] == "top"]
    for unit, rows in top.groupby("unit"):
        best = np.argsort(-layer.arrays.maxima[:, unit])[:3]
        assert rows["image_id"].tolist() == [f"i{k:02d}" for k in best]
    assert top["concept"].iloc[0] == "left_eye"


def test_a_disagreement_is_a_most_probable_concept_without_the_highest_iou(layer):
    odd = layer.table[layer.table["kind"] == "disagreement"]
    # The made-up probability is 0.9 less the IoU.
    assert set(odd["unit"]) == {1}
    assert list(dict.fromkeys(odd["concept"])) == ["left_eye", "Eyeglasses"]
    assert odd.groupby("concept")["image_iou"].agg(lambda v: v.is_monotonic_decreasing).all()
    assert (
        odd["caption"].iloc[-1]
        == "Unit 1 of conv: Eyeglasses, the most probable (IoU 0.100, probability 0.80)"
    )


def test_images_of_a_global_concept_are_of_its_group(layer):
    rows = layer.table[(layer.table["kind"] == "concept") & (layer.table["concept"] == "Male")]
    male = np.flatnonzero(layer.dictionary.groups["Gender"] == 0)
    assert set(rows["unit"]) == {1}
    best = male[np.argsort(-layer.arrays.maxima[male, 1])][:3]
    assert rows["image_id"].tolist() == [f"i{k:02d}" for k in best]


def test_images_that_are_not_there_are_left_out(layer):
    arrays = arrays_of(layer.dictionary, layer.pairs, 5)
    arrays.best_by_iou[:, :, 1:] = -1
    table = Candidates(arrays, layer.pairs, layer.units, layer.dictionary).table(4)
    assert (table[table["kind"] == "disagreement"].groupby("concept").size() == 1).all()


def test_among_layers_the_best_unit_of_a_concept_is_kept(layer):
    stronger = pairs_of({0: {"nose": 0.2}}, CONCEPTS, layer="later", depth=5)
    units = units_of(stronger, 2, layer="later", depth=5)
    arrays = arrays_of(layer.dictionary, stronger, 2, seed=1)
    other = Candidates(arrays, stronger, units, layer.dictionary).table(4)
    both = pd.concat([layer.table, other], ignore_index=True)
    chosen = final_choice(both, pd.concat([layer.pairs, stronger]), 3)
    best = chosen[chosen["kind"] == "concept"].drop_duplicates("concept").set_index("concept")
    assert best["layer"].to_dict() == {
        "left_eye": "conv",
        "nose": "later",
        "Eyeglasses": "conv",
        "Male": "conv",
    }
    tops = chosen[chosen["kind"] == "top"][["layer", "unit"]].drop_duplicates()
    assert tops.to_numpy().tolist() == [["conv", 0], ["later", 0], ["conv", 1]]


def test_a_layer_without_pairs_has_no_candidates(layer):
    none = pairs_of({}, CONCEPTS)
    arrays = arrays_of(layer.dictionary, none, 3)
    table = Candidates(arrays, none, units_of(none, 3), layer.dictionary).table(4)
    assert not len(table)
    assert not len(final_choice(table, none, 4))


def test_where_a_unit_fires_is_kept_row_by_row(layer):
    found = firing_places(layer.arrays, "conv", pd.Series([1, 0, 1]))
    assert found["unit"].tolist() == [1, 0]
    row = found.iloc[0]
    assert np.array_equal(np.reshape(row["values"], (row["rows"], row["columns"])), layer.arrays.where[1])


def test_the_area_above_the_threshold_is_bright_and_has_an_outline():
    image = torch.full((3, 20, 40), 200, dtype=torch.uint8)
    activation = torch.zeros(4, 8)
    activation[:, :4] = 1.0
    tile = outlined(image, activation, 0.5)
    assert tile.shape == (96, 192, 3)
    assert tile[48, 40].tolist() == [200] * 3
    assert tile[48, 150].tolist() == [140] * 3
    edge = np.flatnonzero((tile[48] == (255, 214, 0)).all(axis=1))
    assert edge.tolist() == [94, 95]
    assert (outlined(image, activation, 2.0) == 140).all()


class _Red(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 1, bias=False)
        self.conv.weight.data = torch.eye(3)[:, :, None, None]

    def forward(self, x):
        return self.conv(x).mean((2, 3))


def test_strips_show_where_the_network_fires(tmp_path):
    """A network of which unit 0 sees red: the red quarter of each image is what is outlined."""
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    images[:, 1] = 200
    for k, (y, x) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
        images[k, :, y : y + 4, x : x + 4] = torch.tensor([250, 0, 0], dtype=torch.uint8)[:, None, None]
    faces = FaceSet.from_arrays(images, pd.DataFrame({"image_id": list("abcd")}))
    net = FaceNetwork(_Red(), NetworkCard(name="red", input_size=(8, 8), mean=(0,) * 3, std=(1,) * 3))
    rows = [("conv", 0, "top", "", "", rank, image_id, 0.5) for rank, image_id in enumerate("dab")]
    rows += [("conv", 1, "top", "", "", 0, "c", 0.5)]
    names = ["layer", "unit", "kind", "concept", "region", "rank", "image_id", "threshold"]
    chosen = pd.DataFrame(rows, columns=names)
    run = Run.start(tmp_path / "run", {"study": "x"})
    drawn = draw_strips(run, net, faces, chosen, "strip", batch_size=2)
    assert drawn["file"].tolist() == ["strip_0000.jpg"] * 3 + ["strip_0001.jpg"]
    strip = np.asarray(Image.open(run.path / "images" / "strip_0000.jpg")).astype(int)
    assert strip.shape == (96, 3 * 96 + 2 * 3, 3)
    for place, (y, x) in enumerate([(1, 1), (0, 0), (0, 1)]):
        tile = strip[:, place * 99 : place * 99 + 96]
        quarter = tile[48 * y + 10 : 48 * y + 38, 48 * x + 10 : 48 * x + 38].reshape(-1, 3).mean(axis=0)
        far = tile[48 * (1 - y) + 10 : 48 * (1 - y) + 38, 48 * (1 - x) + 10 : 48 * (1 - x) + 38]
        assert quarter == pytest.approx([250, 0, 0], abs=12)
        assert far.reshape(-1, 3).mean(axis=0) == pytest.approx([0, 140, 0], abs=12)
    assert not len(draw_strips(run, net, faces, chosen.head(0), "none", batch_size=2))
