"""Receptive fields: planted kernels, arithmetic of the theoretical field, the Gaussian that many layers make."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.attribution.small import inputs, make
from torch import nn

from fusiform.attribution import attribute, effective_receptive_field, measure_receptive_field
from fusiform.errors import AttributionError, NotApplicableError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.targets import Activation, Logit


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def wrapped(module, size=(33, 41)):
    return FaceNetwork(module.double(), NetworkCard(name="tiny", input_size=size))


def ones(count, kernel=3):
    layers = [nn.Conv2d(3 if i == 0 else 2, 2, kernel, padding=kernel // 2, bias=False) for i in range(count)]
    for layer in layers:
        nn.init.constant_(layer.weight, 1 / 9)
    return nn.Sequential(*layers)


def test_a_planted_kernel_is_the_field():
    net = wrapped(nn.Sequential(nn.Conv2d(3, 2, (3, 5), padding=(1, 2))))
    weight = net.module[0].weight.detach()
    field = effective_receptive_field(net, torch.rand(4, 3, 33, 41), Activation("0", channel=1))
    expected = torch.zeros(33, 41, dtype=torch.float64)
    expected[15:18, 18:23] = weight[1].abs().sum(0)
    assert torch.allclose(field, expected)
    elsewhere = effective_receptive_field(net, torch.rand(1, 3, 33, 41), Activation("0", 1, position=(0, 3)))
    assert elsewhere[:2, 1:6].all()
    assert not elsewhere[2:].any()


def test_it_is_the_mean_over_images():
    net, x = make("prelu", torch.float64), inputs(3, torch.float64)
    target = Activation("norm1", channel=2)
    each = [effective_receptive_field(net, x[i : i + 1], target) for i in range(3)]
    whole = effective_receptive_field(net, x, target, batch_size=2)
    assert torch.allclose(whole, sum(each) / 3)
    assert not torch.allclose(each[0], each[1])
    assert not whole.requires_grad
    # Of one channel alone the absolute gradient sums over input channels after the absolute value.
    single = attribute(net, x[:1], Activation("norm1", 2, position=(8, 8)), "gradient")[0]
    assert (each[0] >= single.abs() - 1e-12).all()


def test_many_layers_make_a_gaussian():
    for count in (2, 10):
        found = measure_receptive_field(
            wrapped(ones(count)), torch.rand(1, 3, 33, 41), Activation(str(count - 1), 0)
        )
        assert found.box == (16 - count, 20 - count, 17 + count, 21 + count)
        assert found.centre == pytest.approx((16, 20), abs=1e-3)
        assert found.size <= 2 * count + 1
        assert found.relative_size == pytest.approx(found.size / (2 * count + 1))
    # A sum of 10 uniform steps of three: variance 10 * 2 / 3.
    assert found.sigmas == pytest.approx((math.sqrt(20 / 3),) * 2, rel=0.02)
    assert found.r2 > 0.999
    # Above 4.55% of the peak: a disc of radius sigma * sqrt(2 log(1 / 0.0455)).
    assert found.size == pytest.approx(math.sqrt(math.pi * 20 / 3 * 2 * math.log(1 / 0.0455)), rel=0.05)
    assert found.relative_size < 0.6


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([1, 3, 5]), st.integers(1, 2), st.integers(1, 2)), min_size=1, max_size=3
    ),
    st.sampled_from(["conv", "max", "average"]),
)
def test_the_theoretical_field_is_that_of_arithmetic(plan, last):
    layers, reach, step = [], 1, 1
    for kernel, stride, dilation in plan:
        layers += [nn.Conv2d(3, 3, kernel, stride, dilation * (kernel // 2), dilation), nn.PReLU()]
        reach, step = reach + (kernel - 1) * dilation * step, step * stride
    if last != "conv":
        layers.append(nn.MaxPool2d(3, 1, 1) if last == "max" else nn.AvgPool2d(3, 1, 1))
        reach += 2 * step
    net = wrapped(nn.Sequential(*layers), (65, 65))
    x = torch.randn(2, 3, 65, 65)
    name = str(len(layers) - 1)
    top, left, bottom, right = measure_receptive_field(
        net, x, Activation(name, direction=torch.ones(3).double())
    ).box
    row = net.layer(name).shape[1] // 2 * step
    assert (top, bottom) == (max(0, row - reach // 2), min(65, row + reach // 2 + 1))
    assert (left, right) == (top, bottom)


def test_whole_images_and_other_targets():
    net, x = make("residual"), inputs(2)
    assert measure_receptive_field(net, x, Logit(0)).box == (0, 0, 32, 32)
    tokens = make("transformer")
    patch = measure_receptive_field(tokens, x, Activation("patch_embed.proj", channel=0))
    assert patch.box == (16, 16, 24, 24)
    assert measure_receptive_field(tokens, x, Activation("blocks.0", channel=0)).box == (0, 0, 32, 32)
    # The central of 16 tokens behind one of class.
    first = next(layer.name for layer in tokens.layers if layer.shape == (17, 32))
    assert measure_receptive_field(tokens, x, Activation(first, channel=0)).box == (16, 16, 24, 24)


def test_the_network_is_left_as_it_was():
    net, x = make("residual"), inputs(1)
    net.module.train()
    before = net.digest()
    measure_receptive_field(net, x, Activation("norm1", channel=0))
    assert net.module.training
    assert net.digest() == before
    assert all(p.requires_grad and p.grad is None for p in net.module.parameters())


def test_refusals():
    net, x = make("plain"), inputs(1)
    with pytest.raises(AttributionError, match="mean over images; got none"):
        effective_receptive_field(net, x[:0], Activation("0"))
    with pytest.raises(AttributionError, match="Inputs hold values that are not finite"):
        effective_receptive_field(net, x * float("nan"), Activation("0"))
    dead = wrapped(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()))
    with torch.no_grad():
        dead.module[0].bias.fill_(-1e6)
    with pytest.raises(AttributionError, match="responds to no pixel of these 1 images: the unit is off"):
        measure_receptive_field(dead, torch.rand(1, 3, 33, 41), Activation("1", channel=0))

    class Last(nn.Module):
        def forward(self, x):
            return x.permute(0, 2, 3, 1) * 2

    with pytest.raises(NotApplicableError, match="keeps its channels last; name the unit's position"):
        effective_receptive_field(wrapped(Last()), torch.rand(1, 3, 33, 41), Activation("mul"))
