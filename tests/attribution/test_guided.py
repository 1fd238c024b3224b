"""Deconvolution, guided backpropagation, guided Grad-CAM: against captum on ReLU, dense loops on PReLU and maxima."""

import pytest
import torch
import torch.nn.functional as F
from captum.attr import Deconvolution, GuidedBackprop, GuidedGradCam
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.attribution.small import inputs, make
from tests.reference.backward import backward, forward, steps_of
from torch import nn

from fusiform.attribution import attribute
from fusiform.errors import NotApplicableError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.targets import Activation, Contrast, Logit, Similarity

METHODS = {"guided_backpropagation": "guided", "deconvolution": "deconvolution"}


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def wrapped(module, size=(6, 5)):
    return FaceNetwork(module.double(), NetworkCard(name="tiny", input_size=size))


class Chain(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = layers
        self.held = nn.ModuleList(layer for layer in layers if layer != "mfm")

    def forward(self, x):
        for layer in self.layers:
            x = torch.max(*x.chunk(2, 1)) if layer == "mfm" else layer(x)
        return x


def chain(kind, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        prelus = [nn.PReLU(4), nn.PReLU(4)]
        for prelu in prelus:
            nn.init.uniform_(prelu.weight, -0.3, 0.6)  # slopes that were learned may be negative
        between = {"prelu": prelus, "relu": [nn.ReLU(), nn.ReLU()], "mfm": ["mfm", "mfm"]}[kind]
        width = 8 if kind == "mfm" else 4
        layers = [
            nn.Conv2d(3, width, 3),
            between[0],
            nn.Conv2d(4, width, 3, padding=1),
            between[1],
            nn.Flatten(),
        ]
        return wrapped(Chain(*layers, nn.Linear(48, 3)).double())


@pytest.mark.parametrize("kind", ["prelu", "relu", "mfm"])
@pytest.mark.parametrize("method", METHODS)
def test_dense_loops_give_the_same(kind, method):
    net = chain(kind)
    x = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(4)).double()
    steps = steps_of(net.module.layers, x[0])
    reference = torch.randn(3, generator=torch.Generator().manual_seed(5)).double()
    ours = attribute(net, x, 1, method)
    pairs = attribute(net, x, Similarity(reference), method)
    plain = attribute(net, x, 1, "gradient")
    for i in range(2):
        out = torch.from_numpy(forward(steps, x[i])[-1])
        assert torch.allclose(out, net(x[i][None])[0].detach())
        slow = backward(steps, x[i], [0.0, 1.0, 0.0], METHODS[method])
        assert torch.allclose(ours[i], torch.from_numpy(slow).sum(0), atol=1e-10)
        unit = F.normalize(reference, dim=0)
        cosine = out @ unit / out.norm()
        slow = backward(
            steps, x[i], ((unit - cosine * out / out.norm()) / out.norm()).numpy(), METHODS[method]
        )
        assert torch.allclose(pairs[i], torch.from_numpy(slow).sum(0), atol=1e-10)
        slow = backward(steps, x[i], [0.0, 1.0, 0.0], "gradient")
        assert torch.allclose(plain[i], torch.from_numpy(slow).sum(0), atol=1e-10)
    assert not torch.allclose(ours, plain, atol=1e-3)


@pytest.mark.parametrize(
    ("method", "peer"), [("guided_backpropagation", GuidedBackprop), ("deconvolution", Deconvolution)]
)
@pytest.mark.filterwarnings("ignore:Setting")
def test_captum_gives_the_same_on_relu_modules(method, peer):
    class Separate(nn.Module):
        """No rectifier used twice or in place: captum's hooks need that."""

        def __init__(self):
            super().__init__()
            self.conv, self.conv1, self.fc = (
                nn.Conv2d(3, 6, 3),
                nn.Conv2d(6, 6, 3, padding=1),
                nn.Linear(6, 4),
            )
            self.relus, self.pool = nn.ModuleList([nn.ReLU(), nn.ReLU()]), nn.MaxPool2d(2)

        def forward(self, x):
            x = self.pool(self.relus[0](self.conv(x)))
            return self.fc(self.relus[1](x + self.conv1(x)).mean((2, 3)))

    net = wrapped(Separate(), (12, 12))
    x = torch.randn(2, 3, 12, 12).double().requires_grad_()
    assert torch.allclose(
        attribute(net, x, 2, method), peer(net.module).attribute(x, target=2).sum(1), atol=1e-12
    )


@pytest.mark.filterwarnings("ignore:Setting")
def test_captum_gives_the_same_guided_grad_cam():
    net, x = make("plain", torch.float64), inputs(2, torch.float64).requires_grad_()
    peer = GuidedGradCam(net.module, net.module[3]).attribute(x, target=1, interpolate_mode="bilinear").sum(1)
    ours = attribute(net, x, 1, "guided_grad_cam", layer="3", relu=True)
    assert torch.allclose(ours, peer, atol=1e-12)
    signed = attribute(net, x, 1, "guided_grad_cam", layer="3")
    product = attribute(net, x, 1, "grad_cam", layer="3") * attribute(net, x, 1, "guided_backpropagation")
    assert torch.allclose(signed, product)


STYLES = {
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "function": F.relu,
    "function in place": lambda x: F.relu(x, True),
    "torch": torch.relu,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "clamp": lambda x: x.clamp(min=0),
    "clamp in place": lambda x: x.clamp_(min=0),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "hardtanh": lambda x: F.hardtanh(x, 0.0, 1e6),
    "hardtanh in place": nn.Hardtanh(0.0, 1e6, inplace=True),
    "maximum": lambda x: torch.maximum(x, x.new_zeros(())),
    "threshold": lambda x: F.threshold(x, 0.0, 0.0),
    "leaky": lambda x: F.leaky_relu(x, 0.0),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("style", STYLES)
def test_a_rectifier_in_every_style(style, method):
    class Net(nn.Module):
        def __init__(self, relu):
            super().__init__()
            self.conv, self.conv1, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(8, 2)
            self.relu = relu

        def forward(self, x):
            return self.fc(self.relu(self.conv1(self.relu(self.conv(x)))).flatten(1))

    nets = []
    for relu in (STYLES[style], torch.relu):
        torch.manual_seed(0)
        nets.append(wrapped(Net(relu)))
    x = torch.randn(3, 3, 6, 5).double()
    ours, plain = (attribute(net, x, 0, method) for net in nets)
    assert torch.allclose(ours, plain, atol=1e-12)
    assert plain.abs().sum() > 0


def test_gelu_passes_back_its_own_positive_slope():
    net = wrapped(nn.Sequential(nn.GELU(), nn.Flatten(), nn.Linear(90, 2)))
    x = torch.randn(1, 3, 6, 5).double()
    z = x.clone().requires_grad_()
    slope = torch.autograd.grad(F.gelu(z).sum(), z)[0].clamp(min=0)
    positive = net.module[2].weight[1].detach().view(1, 3, 6, 5).clamp(min=0)
    assert torch.allclose(attribute(net, x, 1, "guided_backpropagation"), (positive * slope).sum(1))
    assert torch.allclose(attribute(net, x, 1, "deconvolution"), positive.sum(1))


def test_maxima_over_groups_of_channels():
    class Groups(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(48, 3)

        def forward(self, x):
            x = self.conv(x)
            return self.fc(x.view(len(x), 2, 4, *x.shape[2:]).max(dim=1).values.flatten(1))

    net = wrapped(Groups())
    same = Chain(net.module.conv, "mfm", nn.Flatten(), net.module.fc)
    x = torch.randn(2, 3, 6, 5).double()
    for method in METHODS:
        assert torch.allclose(attribute(net, x, 1, method), attribute(wrapped(same), x, 1, method))


def test_on_positive_networks_all_is_the_gradient():
    net = chain("relu")
    with torch.no_grad():
        for parameter in net.module.parameters():
            parameter.abs_()
    x = torch.rand(2, 3, 6, 5).double()
    for method in METHODS:
        assert torch.allclose(attribute(net, x, 1, method), attribute(net, x, 1, "gradient"))


@pytest.mark.parametrize("method", METHODS)
def test_networks_without_rectifiers_are_refused(method):
    net = wrapped(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 2)))
    x = torch.randn(1, 3, 6, 5).double()
    with pytest.raises(
        NotApplicableError, match=r"Logit\(0\) has none on its way through 'tiny': it would be the plain"
    ):
        attribute(net, x, 0, method)
    # Before the first rectifier there is none either.
    with pytest.raises(NotApplicableError, match="has none on its way"):
        attribute(chain("prelu"), x, Activation("held.0", channel=0), method)


def test_a_clamp_that_guards_a_division_is_no_rectifier():
    class Guarded(nn.Module):
        def forward(self, x):
            x = x.flatten(1)
            return x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)

    with pytest.raises(NotApplicableError):
        attribute(wrapped(Guarded()), torch.randn(1, 3, 6, 5).double(), 0, "guided_backpropagation")


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(5, 9), st.integers(5, 9), st.sampled_from(["relu", "prelu", "mfm"]))
def test_shapes(n, height, width, kind):
    layers = list(chain(kind).module.layers[:4])
    net = wrapped(Chain(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), (height, width))
    x = torch.randn(n, 3, height, width).double()
    for method in METHODS:
        maps = attribute(net, x, Contrast(torch.eye(4)[0].double(), torch.eye(4)[1].double()), method)
        assert maps.shape == (n, height, width)
        alone = attribute(net, x[:1], Contrast(torch.eye(4)[0], torch.eye(4)[1]), method)
        assert torch.allclose(alone[0], maps[0])
        assert attribute(net, x, Logit(0), method).dtype == torch.float64
