"""Which channels become features, what the collector keeps of them, and the grey image."""

import numpy as np
import pytest
import torch

from fusiform.faces import FaceSet
from fusiform.networks import Layer
from fusiform.studies.expressivity import _bench, _features
from fusiform.studies.expressivity._features import (
    IMAGE,
    choose,
    choose_image,
    collect,
    grey_images,
    in_groups,
)
from fusiform.studies.expressivity._request import ExpressivityRequest


def layer(*shape: int, name: str = "layer") -> Layer:
    return Layer(name, 0, "Conv2d", shape, None, "conv")


@pytest.mark.parametrize(
    ("shape", "z", "features"),
    [
        # The maps of table II, at D = 2,048; the paper's own z (11, 42, 3, 13, 59) have no common D.
        ((1024, 14, 14), 10, 1960),
        ((2048, 7, 7), 42, 2058),
        ((128, 35, 35), 2, 2450),
        ((384, 17, 17), 7, 2023),
        ((128, 8, 8), 32, 2048),
        # At least one channel, and no more than there are.
        ((16, 112, 112), 1, 12544),
        ((3, 5, 5), 3, 75),
    ],
)
def test_so_many_channels_that_the_features_are_nearest_to_d(shape, z, features):
    found = choose(layer(*shape), dimension=2048, seed=0)
    assert (len(found.channels), found.features, found.protocol) == (z, features, 2)
    positions = shape[1] * shape[2]
    others = [k for k in (z - 1, z + 1) if 1 <= k <= shape[0]]
    assert all(abs(features - 2048) <= abs(k * positions - 2048) for k in others)


@pytest.mark.parametrize("shape", [(4096,), (512, 1, 1)])
def test_vectors_are_taken_whole(shape):
    found = choose(layer(*shape), dimension=256, seed=0)
    assert found.channels is None
    assert (found.features, found.protocol) == (shape[0], 1)


def test_the_draw_depends_on_seed_and_layer_alone():
    draws = {
        (seed, name): tuple(choose(layer(256, 8, 8, name=name), dimension=640, seed=seed).channels)
        for seed in (0, 1)
        for name in ("a", "b")
    }
    assert len(set(draws.values())) == 4
    again = choose(layer(256, 8, 8, name="a"), dimension=640, seed=0).channels
    assert tuple(again) == draws[0, "a"]
    assert (np.diff(again) > 0).all()


def test_tokens_of_a_transformer_have_their_channels_last():
    found = choose(layer(5, 64), dimension=20, seed=0)
    tokens = torch.arange(2 * 5 * 64, dtype=torch.float32).reshape(2, 5, 64)
    assert (len(found.channels), found.features) == (4, 20)
    assert torch.equal(found.take(tokens), tokens[:, :, torch.from_numpy(found.channels)].reshape(2, 20))


def test_the_collector_keeps_what_the_network_gives(small_net, planted_faces):
    faces = planted_faces.subset(range(10))
    chosen = [choose(small_net.layer(name), dimension=300, seed=3) for name in ("stage1", "stage2", "fc")]
    found = collect(small_net, faces, chosen, batch_size=4)
    with torch.no_grad():
        whole = small_net.activations(small_net.prepare(faces.images(range(10))), ["stage1", "stage2", "fc"])
    for each in chosen:
        own = whole[each.layer] if each.channels is None else whole[each.layer][:, each.channels]
        np.testing.assert_allclose(found[each.layer], own.reshape(10, -1), rtol=1e-5, atol=1e-6)
        assert found[each.layer].shape == (10, each.features)
        assert found[each.layer].dtype == np.float32


def test_layer_0_is_the_unweighted_mean_of_the_framed_image(small_net, planted_faces):
    faces = planted_faces.subset(range(5))
    image = choose_image(small_net, dimension=10**6)
    assert image.shape == small_net.card.input_size  # never more than the network sees
    found = collect(small_net, faces, [image], batch_size=2)[IMAGE]
    expected = faces.images(range(5)).double().mean(dim=1).reshape(5, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_grey_image_is_averaged_over_areas():
    image = torch.arange(3 * 6 * 6, dtype=torch.uint8).reshape(1, 3, 6, 6)
    blocks = image.double().mean(dim=1).reshape(3, 2, 3, 2).mean(dim=(1, 3)).reshape(1, 9)
    np.testing.assert_allclose(grey_images(image, (3, 3), input_size=(6, 6)), blocks, rtol=1e-6)


def test_the_image_has_nearest_to_d_pixels_in_its_own_proportions(small_net):
    assert choose_image(small_net, dimension=256).shape == (16, 16)
    assert choose_image(small_net, dimension=256, height=24).shape == (24, 24)
    wide = _bench.FaceNetwork(small_net.module, small_net.card.replace(input_size=(48, 40)))
    assert choose_image(wide, dimension=480).shape == (24, 20)


def test_every_image_is_read_once_for_the_image_and_all_layers(small_net, planted_faces, monkeypatch):
    read = []
    images = FaceSet.images

    def counted(self, indices):
        read.extend(np.asarray(indices).tolist())
        return images(self, indices)

    monkeypatch.setattr(FaceSet, "images", counted)
    chosen = [
        choose_image(small_net, dimension=100),
        choose(small_net.layer("stage1"), dimension=100, seed=0),
        choose(small_net.layer("fc"), dimension=100, seed=0),
    ]
    collect(small_net, planted_faces.subset(range(9)), chosen, batch_size=4)
    assert sorted(read) == list(range(9))


def test_layers_are_grouped_by_memory(small_net):
    chosen = [choose(layer(8, 1, 1, name=str(k)), dimension=8, seed=0) for k in range(5)]
    sizes = [[each.layer for each in group] for group in in_groups(chosen, 1000, 2 * 2 * 32000 / 1e9)]
    assert sizes == [["0", "1"], ["2", "3"], ["4"]]
    assert in_groups(chosen, 1000, 1e-9) == [[each] for each in chosen]
    assert in_groups(chosen, 1000, 1.0) == [chosen]


def test_default_layers_begin_with_the_image_and_hold_the_pool():
    from fusiform.networks import load_network

    request = ExpressivityRequest.from_mapping({"network": "demo", "faces": "x"})
    names = [each.layer for each in _bench.chosen_features(load_network("demo"), request)]
    assert (names[0], names[-2:]) == (IMAGE, ["pool", "embedding"])
    # Here no default layer stands between the last map and the embedding, and the global depthwise convolution does.
    found = _bench.chosen_features(load_network("mobilefacenet_relu6"), request)
    assert [(each.layer, each.features) for each in found[-2:]] == [("gdconv", 512), ("bn", 128)]
    assert [each.depth for each in found] == sorted(each.depth for each in found)
    quick = ExpressivityRequest.from_mapping({"network": "demo", "faces": "x", "quick": True})
    few = _bench.chosen_features(load_network("demo"), quick)
    assert len(few) == 3
    assert (few[0].layer, few[-1].layer) == (IMAGE, "embedding")


def test_named_layers_may_leave_the_image_out(small_net):
    def chosen(*names):
        request = ExpressivityRequest.from_mapping({"network": "demo", "faces": "x", "layers": list(names)})
        return [each.layer for each in _bench.chosen_features(small_net, request)]

    assert chosen("fc", "stage1") == ["stage1", "fc"]
    assert chosen("fc", IMAGE) == [IMAGE, "fc"]
    assert chosen(IMAGE) == [IMAGE]
    assert chosen("all")[0] == IMAGE
    assert _features.IMAGE_DEPTH == -1
