"""Rules of LRP: against dense loops, against zennit and captum where these are right, and what is kept."""

import numpy as np
import pytest
import torch
from captum.attr import LRP
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.attribution.propagation.nets import Branches, drawn, summed, wrapped
from tests.reference.backward import dense
from tests.reference.propagation import lrp_layer
from torch import nn

from fusiform.attribution import attribute, lrp_plan
from fusiform.attribution.propagation import COMPOSITES, RULES
from fusiform.errors import LayerError, NotApplicableError, SpecError
from fusiform.networks import load_network
from fusiform.optional import require
from fusiform.targets import Logit, Similarity

# Names of ours, of the loops', and numbers.
SINGLE = {
    "epsilon": ("epsilon", {}),
    "gamma": ("gamma", {}),
    "z_plus": ("z_plus", {}),
    "alpha2_beta1": ("alpha_beta", {}),
    "flat": ("flat", {}),
    "w_square": ("w_square", {}),
}


def images(n=2, size=(6, 5), seed=1):
    return torch.randn(n, 3, *size, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("rule", SINGLE)
def test_rules_on_a_network_with_prelu_sums_and_maxima(rule):
    module = drawn(Branches()).double().eval()
    x = images()
    maps = attribute(wrapped(module), x, 1, "lrp", rule=rule)
    name, numbers = SINGLE[rule]
    for one, found in zip(x, maps, strict=True):
        graph = module.graph(one)
        scores = graph.forward(one.flatten().numpy())[-1]
        start = np.array([0, scores[1], 0])
        expected = graph.lrp(one.flatten().numpy(), start, [name] * 5, **numbers)
        np.testing.assert_allclose(found, summed(expected, one), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"rule": "epsilon", "epsilon": 0.3}, "epsilon"),
        ({"rule": "gamma", "gamma": 2.0}, "gamma"),
        ({"rule": "alpha_beta", "alpha": 1.5, "beta": 0.5}, "alpha_beta"),
        ({"rule": "alpha_beta", "alpha": 1, "beta": 0}, "z_plus"),
        ({"rule": "z-box"}, "z_box"),
    ],
)
def test_numbers_of_rules(options, name):
    module = drawn(nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Flatten()))
    net = wrapped(module, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.5))
    x = (torch.rand(1, 3, 6, 5).double() - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / torch.tensor(
        [0.2, 0.25, 0.5]
    ).view(3, 1, 1)
    w, b = dense(module, x[0])
    start = torch.randn(36, generator=torch.Generator().manual_seed(3)).double()
    value = w @ x[0].flatten().numpy() + b
    relevance = value / np.linalg.norm(value) * (start / start.norm()).numpy()
    low = ((0 - torch.tensor([0.4, 0.5, 0.6])) / torch.tensor([0.2, 0.25, 0.5])).repeat_interleave(30).numpy()
    high = (
        ((1 - torch.tensor([0.4, 0.5, 0.6])) / torch.tensor([0.2, 0.25, 0.5])).repeat_interleave(30).numpy()
    )
    numbers = {k: v for k, v in options.items() if k != "rule"}
    expected = lrp_layer(name, w, b, x[0].flatten().numpy(), relevance, **numbers, low=low, high=high)
    found = attribute(net, x, Similarity(start), "lrp", **options)[0]
    np.testing.assert_allclose(found, summed(expected, x[0]), rtol=1e-5, atol=1e-7)


def _plain():
    return drawn(
        nn.Sequential(
            *(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 8, 3, groups=2), nn.ReLU(), nn.AvgPool2d(2)),
            *(nn.Conv2d(8, 8, 2, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(72, 7), nn.ReLU(), nn.Linear(7, 4)),
        )
    )


def _resnet():
    models = require("torchvision.models", extra="zoo")
    return drawn(models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=4))


@pytest.fixture(scope="module")
def zennit():
    return require("zennit", extra="bench")


def _peer(zennit, rule, canonizers):
    from zennit import composites, rules, types

    box = {"low": torch.full((1, 3, 1, 1), -1.0), "high": torch.full((1, 3, 1, 1), 1.0)}
    if rule in COMPOSITES:
        name = "".join(part.capitalize() for part in rule.split("_"))
        return getattr(composites, name)(**(box if "Box" in name else {}), canonizers=canonizers)
    of = {
        "epsilon": rules.Epsilon(),
        "gamma": rules.Gamma(),
        "z_plus": rules.ZPlus(),
        "alpha2_beta1": rules.AlphaBeta(),
        "flat": rules.Flat(),
        # Ours leaves the bias out, so that relevance is kept.
        "w_square": rules.WSquare(zero_params=["bias"]),
    }
    layers = [*composites.layer_map_base(), (types.Linear, of[rule])]
    return composites.LayerMapComposite(layer_map=layers, canonizers=canonizers)


@pytest.mark.parametrize("rule", [*SINGLE, *COMPOSITES])
@pytest.mark.parametrize("kind", ["plain", "resnet"])
def test_zennit_agrees_where_it_is_right(zennit, kind, rule):
    from zennit.attribution import Gradient
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.torchvision import ResNetCanonizer

    module, size = (_plain(), (16, 16)) if kind == "plain" else (_resnet(), (32, 32))
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 0.0  # zennit's merged batch norms keep theirs, and so apply it twice
    net = wrapped(module, size)
    x = images(2, size).clamp(-1, 1)
    canonizers = [SequentialMergeBatchNorm() if kind == "plain" else ResNetCanonizer()]
    found = attribute(net, x, Logit(1), "lrp", rule=rule)
    with Gradient(module, _peer(zennit, rule, canonizers)) as attributor:
        column = torch.eye(4, dtype=x.dtype)[1]
        _, peer = attributor(x.clone(), lambda out: out * column)
    peer = peer.sum(1)
    assert (found - peer).abs().max() < 1e-9 * peer.abs().max()


@pytest.mark.filterwarnings("ignore")
def test_captum_agrees_on_a_plain_network():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.relu, self.pool = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2)
            self.fc = nn.Linear(16, 3)

        def forward(self, x):
            return self.fc(self.pool(self.relu(self.conv(x))).flatten(1))

    module = drawn(Plain())
    x = images(2, (6, 6))
    found = attribute(wrapped(module, (6, 6)), x, 1, "lrp", epsilon=1e-9)
    peer = LRP(module).attribute(x.clone().requires_grad_(), target=1).sum(1)
    torch.testing.assert_close(found, peer.detach(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "rule", ["epsilon", "gamma", "z_plus", "epsilon_plus_flat", "epsilon_gamma_box", "w2"]
)
def test_what_reaches_the_pixels_is_the_score(rule):
    # No biases, so that nothing is absorbed but by epsilon.
    net = wrapped(drawn(Branches(), constants=False))
    x = images(3)
    with torch.no_grad():
        scores = net(x)[:, 2]
    maps = attribute(net, x, 2, "lrp", rule=rule)
    torch.testing.assert_close(maps.sum((1, 2)), scores, rtol=2e-4, atol=1e-6)
    if rule == "epsilon":
        maps = attribute(net, x, 2, "lrp", epsilon=1e-10)
        torch.testing.assert_close(maps.sum((1, 2)), scores, rtol=2e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@given(
    groups=st.sampled_from([1, 2]),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.sampled_from([0, 1, 2, "same", "valid"]),
    dilation=st.integers(1, 2),
    transposed=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_convolutions_of_all_shapes_keep_relevance(groups, kernel, stride, padding, dilation, transposed):
    if padding in ("same", "valid"):
        stride, transposed = 1, False
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": False}
    if transposed:
        options["output_padding"] = min(stride, dilation) - 1 if stride > 1 or dilation > 1 else 0
    conv = (nn.ConvTranspose2d if transposed else nn.Conv2d)(2, 4, kernel, **options)
    module = drawn(nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), conv, nn.BatchNorm2d(4), nn.Flatten()))
    module[2].running_mean.zero_(), module[2].bias.data.zero_()
    net, x = wrapped(module, (9, 8)), images(2, (9, 8))
    with torch.no_grad():
        out = net(x)
    target = Similarity(torch.ones(out.shape[1]))
    for rule in ("epsilon", "gamma"):
        maps = attribute(net, x, target, "lrp", rule=rule, epsilon=1e-9)
        torch.testing.assert_close(maps.sum((1, 2)), target(net, x).detach(), rtol=1e-3, atol=1e-4)


ZOO = {
    "mobilefacenet_prelu": "mobilefacenet_prelu?weights={}/weights/mobilefacenet_casia_112x96.ckpt",
    "mini_xception": "mini_xception?weights={}/weights/minixception/minixception_gender.pt",
}


@pytest.mark.parametrize("name", ZOO)
def test_with_real_weights_epsilon_is_input_times_gradient(realdata, name):
    # So it is of every network that is linear piece by piece, but for what epsilon absorbs.
    net = load_network(ZOO[name].format(realdata))
    net.module.double()
    x = torch.randn(
        1, net.card.n_channels, *net.card.input_size, generator=torch.Generator().manual_seed(0)
    ).double()
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(leaf)[:, 1].sum(), leaf)
    expected = (x * gradient).sum(1)
    found = attribute(net, x, 1, "lrp", epsilon=1e-12)
    assert (found - expected).abs().max() < 1e-2 * expected.abs().max()
    winners = attribute(net, x, 1, "excitation_backprop")
    torch.testing.assert_close(winners.sum(), torch.ones((), dtype=x.dtype))


def test_a_plan_says_what_gets_which_rule():
    module = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 2), nn.Flatten()),
        nn.Linear(36, 2),
    )
    net = wrapped(module, (6, 6))
    plan = lrp_plan(net, "epsilon_plus_flat")
    assert list(plan.columns) == ["layer", "function", "kind", "rule"]
    assert plan[["layer", "function", "rule"]].values.tolist() == [
        ["0", "conv2d", "flat"],
        ["1", "batch_norm", "flat, folded into '0'"],
        ["2", "relu", "identity"],
        ["3", "conv2d", "z_plus"],
        ["5", "linear", "epsilon"],
    ]
    plan = lrp_plan(net, {"": "z+", "3": "gamma"})
    assert plan[plan.kind.isin(["conv", "linear"])].rule.tolist() == ["z_plus", "gamma", "z_plus"]
    assert all(p.requires_grad for p in module.parameters())


def test_a_mapping_is_the_rules_it_names():
    net, x = wrapped(_plain(), (16, 16)), images(2, (16, 16))
    by_hand = {"0": "flat", "4": "z_plus", "7": "z_plus"}
    torch.testing.assert_close(
        attribute(net, x, 1, "lrp", rule=by_hand), attribute(net, x, 1, "lrp", rule="EpsilonPlusFlat")
    )


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"rule": "epsilon_minus"}, SpecError, "no rule or composite 'epsilon_minus'; did you mean 'epsilon"),
        ({"rule": 3}, SpecError, "A rule is a name, or a mapping from layers to names; got int"),
        ({"epsilon": -1}, SpecError, "Option 'epsilon' of 'lrp' is a finite number from 0; got -1"),
        ({"gamma": float("nan")}, SpecError, "Option 'gamma' of 'lrp' is a finite number from 0; got nan"),
        (
            {"rule": "alpha_beta", "alpha": 3},
            SpecError,
            "differ by 1, or relevance is not kept; got 3 and 1.0",
        ),
        ({"rule": {"stems": "flat"}}, LayerError, "given for 'stems', .* did you mean 'stem'"),
        ({"rule": {"fc": "z_box"}}, NotApplicableError, "'fc' does not read the pixels themselves"),
    ],
)
def test_rules_that_cannot_be(options, error, text):
    with pytest.raises(error, match=text):
        attribute(wrapped(Branches()), images(), 1, "lrp", **options)
    assert len(RULES) == 8
