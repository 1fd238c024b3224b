"""Cards, inputs, outputs, embeddings, random controls."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fusiform.errors import NetworkError
from fusiform.networks import FaceNetwork, NetworkCard


def tiny(outputs=5, **card):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        inputs = 1 if card.get("channels") == "grey" else 3
        module = nn.Sequential(
            nn.Conv2d(inputs, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, outputs)
        )
    return FaceNetwork(module, NetworkCard(**{"name": "tiny", "input_size": (8, 6), **card}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": "hsv"}, "channels 'hsv'; expected 'rgb', 'bgr' or 'grey'"),
        ({"input_size": (0, 8)}, r"input_size \(0, 8\); expected \(height, width\)"),
        ({"input_size": (8.0, 8)}, "two positive whole numbers"),
        ({"mean": (0.1, 0.2)}, "2 numbers as mean; expected 1 or 3"),
        ({"channels": "grey", "mean": (0.1, 0.2, 0.3)}, "3 numbers as mean; expected 1 or 1"),
        ({"std": (1.0, 0.0, 1.0)}, "a std of 0"),
        ({"value_range": (1.0, 1.0)}, "expected two different numbers"),
        ({"value_range": 1.0}, "expected two different numbers"),
        ({"input_size": 112}, r"input_size 112; expected \(height, width\)"),
        ({"std": float("nan")}, "has std nan; expected finite numbers"),
        ({"mean": "grey"}, "has mean 'grey'; expected finite numbers"),
    ],
)
def test_cards_that_cannot_be_are_refused(fields, message):
    with pytest.raises(NetworkError, match=message):
        NetworkCard(name="x", **fields)


def test_one_number_stands_for_all_channels():
    assert NetworkCard(name="x", mean=(0.2,)).mean == (0.2, 0.2, 0.2)
    assert NetworkCard(name="x", channels="grey").mean == (0.5,)
    assert NetworkCard(name="x", mean=0.2).mean == (0.2, 0.2, 0.2)


def test_a_card_is_a_frozen_value_whatever_it_was_made_from():
    card = NetworkCard("x", np.array([8, 6]), classes=["a", "b"], value_range=[0, 255])
    assert card == NetworkCard("x", (8, 6), classes=("a", "b"), value_range=(0.0, 255.0))
    assert hash(card) == hash(card.replace())
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.name = "y"


def test_prepare_is_the_arithmetic_of_the_card():
    image = torch.zeros(1, 3, 8, 6, dtype=torch.uint8)
    image[0, 0], image[0, 1], image[0, 2] = 255, 51, 0
    mean, std = (0.4, 0.5, 0.6), (0.1, 0.2, 0.4)
    rgb = tiny(mean=mean, std=std).prepare(image)
    assert rgb[0, :, 3, 3].tolist() == pytest.approx(
        [(1 - 0.4) / 0.1, (0.2 - 0.5) / 0.2, (0 - 0.6) / 0.4], rel=1e-5
    )
    bgr = tiny(mean=mean, std=std, channels="bgr").prepare(image)
    assert bgr[0, :, 3, 3].tolist() == pytest.approx(
        [(0 - 0.4) / 0.1, (0.2 - 0.5) / 0.2, (1 - 0.6) / 0.4], rel=1e-5
    )
    raw = tiny(mean=(127.5,), std=(128.0,), value_range=(0.0, 255.0)).prepare(image)
    assert raw[0, :, 0, 0].tolist() == pytest.approx(
        [127.5 / 128, (51 - 127.5) / 128, -127.5 / 128], rel=1e-5
    )
    grey = tiny(channels="grey", mean=(0.5,), std=(0.5,)).prepare(image)
    assert grey.shape == (1, 1, 8, 6)
    assert grey[0, 0, 0, 0].item() == pytest.approx((0.299 + 0.587 * 0.2) * 2 - 1, rel=1e-5)


def test_prepare_resizes_as_pillow_does_and_row_by_row():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 3, 21, 33), dtype=torch.uint8, generator=generator)
    net = tiny(mean=(0.0,), std=(1.0,), value_range=(0.0, 255.0), input_size=(9, 11))
    x = net.prepare(images)
    assert torch.equal(x[1:2], net.prepare(images[1:2]))
    for i in range(3):
        pillow = Image.fromarray(images[i].permute(1, 2, 0).numpy()).resize(
            (11, 9), Image.Resampling.BILINEAR
        )
        assert np.abs(x[i].permute(1, 2, 0).numpy() - np.asarray(pillow)).max() <= 1.01


def test_one_grey_channel_feeds_any_network():
    images = torch.full((2, 1, 8, 6), 100, dtype=torch.uint8)
    assert tiny().prepare(images).shape == (2, 3, 8, 6)
    assert tiny(channels="grey", mean=(0.5,), std=(0.5,)).prepare(images).shape == (2, 1, 8, 6)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 8, 6), "uint8 tensor .* got torch.float32"),
        (np.zeros((1, 3, 8, 6), np.uint8), "got ndarray"),
        (torch.zeros(3, 8, 6, dtype=torch.uint8), r"got \(3, 8, 6\)"),
        (torch.zeros(1, 4, 8, 6, dtype=torch.uint8), r"got \(1, 4, 8, 6\)"),
    ],
)
def test_prepare_refuses_what_are_no_images(images, message):
    with pytest.raises(NetworkError, match=message):
        tiny().prepare(images)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.zeros(2, 3, 6, 8),
            r"expected inputs of shape \(n, 3, 8, 6\); got \(2, 3, 6, 8\). Use net.prepare",
        ),
        (torch.zeros(2, 1, 8, 6), r"got \(2, 1, 8, 6\)"),
        (torch.zeros(3, 8, 6), r"got \(3, 8, 6\)"),
        (
            torch.zeros(2, 3, 8, 6, dtype=torch.uint8),
            r"a floating tensor \(n, 3, 8, 6\); got torch.uint8. Use net.prep",
        ),
        (None, "got NoneType"),
    ],
)
def test_wrong_inputs_say_what_was_expected(x, message):
    with pytest.raises(NetworkError, match=message):
        tiny()(x)


def test_double_precision_is_kept():
    net = tiny()
    net.module.double()
    x = net.prepare(torch.zeros(2, 3, 8, 6, dtype=torch.uint8))
    assert x.dtype == torch.float64
    assert net(x.float()).dtype == torch.float64
    assert {t.dtype for t in net.activations(x, ["0", "3"]).values()} == {torch.float64}


def test_eval_mode_for_the_pass_only():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten())
    module.train()
    module[1].eval()
    net = FaceNetwork(module, NetworkCard(name="d", input_size=(8, 6)))
    x = torch.randn(3, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(net(x), net(x))
    assert [m.training for m in module] == [True, False, True, True]
    assert module[1].num_batches_tracked == 0


def test_embeddings_are_normalised_and_only_embeddings():
    net = tiny()
    x = torch.randn(3, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    embedded = net.embed(x)
    assert embedded.shape == (3, 5)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(embedded * net(x).norm(dim=1, keepdim=True), net(x))
    with pytest.raises(NetworkError, match="gives logits, not an embedding"):
        tiny(head="logits").embed(x)
    spatial = FaceNetwork(nn.Conv2d(3, 4, 3), NetworkCard(name="maps", input_size=(8, 6)))
    with pytest.raises(NetworkError, match=r"should give embeddings \(n, features\); got \(3, 4, 6, 4\)"):
        spatial.embed(x)


def test_a_face_network_needs_a_module_and_a_card():
    with pytest.raises(NetworkError, match=r"needs a torch.nn.Module; got function"):
        FaceNetwork(lambda x: x, NetworkCard(name="x"))
    with pytest.raises(NetworkError, match="needs a NetworkCard; got dict"):
        FaceNetwork(nn.Flatten(), {})


def test_counts_and_digest():
    net = tiny()
    assert net.n_parameters == 4 * 27 + 4 + 20 + 5
    assert net.digest() == tiny().digest()
    assert len(net.digest()) == 64
    with torch.no_grad():
        net.module[0].bias[0] += 1e-3
    assert net.digest() != tiny().digest()
    assert repr(net) == "FaceNetwork('tiny', 8x6 rgb, 137 parameters)"


def test_random_control_is_seeded_and_leaves_all_else_alone(make_net):
    net = make_net("residual")
    before, state = net.digest(), torch.get_rng_state()
    control = net.randomized(3)
    assert torch.equal(state, torch.get_rng_state())
    assert net.digest() == before
    assert control.digest() == net.randomized(3).digest() != net.randomized(4).digest()
    assert control.card.name == "residual (random weights)"
    assert control.randomized().card.name == "residual (random weights)"
    assert [layer.name for layer in control.layers] == [layer.name for layer in net.layers]
    for part in control.module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor, value in (
                (part.running_mean, 0),
                (part.running_var, 1),
                (part.weight, 1),
                (part.bias, 0),
            ):
                assert (tensor == value).all()
    for (name, old), new in zip(net.module.named_parameters(), control.module.parameters(), strict=True):
        if old.dim() > 1:
            assert not torch.equal(old, new), name
            assert old is not new


def test_random_control_draws_what_no_module_draws(make_net):
    net = make_net("attention")
    control = net.randomized()
    for name in ("token", "position"):
        old, new = getattr(net.module, name).detach(), getattr(control.module, name).detach()
        assert not torch.isclose(old, new).any()
        assert 0.4 < float(new.std() / old.std()) < 2.5
    normalised = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 2, 3)))
    wn = FaceNetwork(normalised, NetworkCard(name="wn", input_size=(8, 8)))
    old, new = normalised[0].weight, wn.randomized().module[0].weight
    assert not torch.isclose(old, new).any()


def test_random_control_keeps_the_signal_through_many_layers():
    layers = [m for _ in range(30) for m in (nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())]
    module = nn.Sequential(nn.Conv2d(3, 8, 1), *layers)
    control = FaceNetwork(module, NetworkCard(name="deep", input_size=(16, 16))).randomized()
    x = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = control(x)
    # PyTorch's own draw leaves a deviation of 1e-12 here, under a bias of 0.05.
    assert float(out.std(0).mean() / out.abs().mean()) > 1e-3
    assert 1e-3 < float(out.abs().mean()) < 1e3
