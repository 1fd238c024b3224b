"""On Face Dictionaries of synthetic faces, from one end to the other."""

import numpy as np
import torch
from tests.dissection.made_up import colour_network

from fusiform.dissection import dissect
from fusiform.faces import FaceSet, build_dictionary, open_faces
from fusiform.networks import load_network


def test_detectors_of_masks_are_found_among_all_concepts():
    """Masks of three concepts are painted into three colours of noise, and units of these colours are dissected."""
    planted = ["Eyeglasses", "mouth", "Goatee"]
    original = build_dictionary(open_faces("synthetic?n=80&size=48&seed=3"))
    names = [concept.name for concept in original.concepts.local]
    masks = original.masks()
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 60, (80, 3, 48, 48)))
    shades = torch.from_numpy(rng.integers(100, 190, (80, 3, 48, 48)))
    images += masks[:, [names.index(name) for name in planted]] * shades
    faces = FaceSet.from_arrays(
        images.to(torch.uint8),
        original.faces.table,
        original.faces.schema,
        masks={name: masks[:, k].numpy() for k, name in enumerate(names)},
    )
    dictionary = build_dictionary(faces, masks="exact")
    found = dissect(colour_network(pool=3), dictionary, "pool", quantile=0.01, align="none", permutations=100)
    assert [concept.name for concept in dictionary.concepts.local] == names
    assert found.units.best_concept[:3].tolist() == planted
    assert found.units.region[:3].tolist() == ["Eye", "Mouth", "Chin"]
    local = found.table[found.table.scope == "local"]
    for unit, name in enumerate(planted):
        pair = local[(local.unit == unit) & (local.concept == name)].iloc[0]
        assert pair.iou >= 0.04
        assert pair.n == dictionary.present[name].sum()
        assert pair.q_value < 0.01


def test_the_demo_network_on_faces_that_become_a_dictionary():
    net, faces = load_network("demo"), open_faces("synthetic?n=24&seed=2&size=64")
    found = dissect(net, faces, ["stage2", "pool"], permutations=20, align="arcface_112")
    assert list(found.layers) == ["stage2", "pool"]
    assert found.dictionary.masks([0]).shape[2:] == (112, 112)
    assert found.settings["framing"].startswith("aligned to 'arcface_112'")
    assert set(found.table.scope) == {"local", "global"}
    assert (found.units.fires | (found.units.local == 0)).all()
    plain = dissect(net, build_dictionary(faces), "stage2", permutations=20, align="none")
    assert plain.settings["framing"] == "resized only"
    assert not np.array_equal(plain.layers["stage2"].iou, found.layers["stage2"].iou)


def test_the_second_to_last_convolution_is_dissected_when_no_layer_is_named():
    found = dissect(load_network("demo"), "synthetic?n=12&seed=2&size=48", significance=False, pictures=False)
    assert list(found.layers) == ["stage4.0.conv1"]
    assert found.table.p_value.isna().all()
