"""CAM, Grad-CAM, Grad-CAM++, Score-CAM: against loops, captum, and planted heads; layers and grids found."""

import pytest
import torch
import torch.nn.functional as F
from captum.attr import LayerAttribution, LayerGradCam
from tests.attribution.small import inputs, make
from tests.reference.backward import slow_grad_cam
from torch import nn

from fusiform.attribution import attribute
from fusiform.attribution._cam import _chosen
from fusiform.attribution._grids import Grid, find_grid, map_layers
from fusiform.attribution._registry import Call
from fusiform.errors import LayerError, NotApplicableError, SpecError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.targets import Activation, Contrast, Logit, Probability, Similarity

CAMS = ("grad_cam", "grad_cam_plus_plus", "score_cam")
FIRST, SECOND = torch.randn(2, 2, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def wrapped(module, size=(16, 16)):
    return FaceNetwork(module.double(), NetworkCard(name="tiny", input_size=size))


def enlarged(small, size=(32, 32)):
    return F.interpolate(torch.as_tensor(small)[None, None], size=size, mode="bilinear")[0, 0]


def maps_and_slopes(net, x, target, layer):
    """By hooks on a module, one image at a time."""
    held = {}

    def keep(module, args, out):
        held["o"] = out
        return out.clone()  # what follows may overwrite it

    handle = net.module.get_submodule(layer).register_forward_hook(keep)
    try:
        score = target(net, x[None].clone().requires_grad_())
    finally:
        handle.remove()
    slopes = torch.autograd.grad(score.sum(), held["o"])[0]
    return held["o"][0].detach(), slopes[0]


@pytest.mark.parametrize(
    ("kind", "layer"), [("residual", "norm2"), ("prelu", "act"), ("plain", "3"), ("plain", "1")]
)
def test_loops_give_the_same(kind, layer):
    net, x = make(kind, torch.float64), inputs(2, torch.float64)
    for target in (Logit(1), Probability(2), Similarity(FIRST), Contrast(FIRST, SECOND)):
        for method in ("grad_cam", "grad_cam_plus_plus"):
            ours = attribute(net, x, target, method, layer=layer)
            for i in range(2):
                of = target.rows(torch.tensor([i]))
                maps, slopes = maps_and_slopes(net, x[i], of, layer)
                slow = slow_grad_cam(maps.numpy(), slopes.numpy(), method == "grad_cam_plus_plus")
                assert torch.allclose(ours[i], enlarged(slow), atol=1e-12)
            positive = attribute(net, x, target, method, layer=layer, relu=True)
            assert (positive >= 0).all()
    assert any((attribute(net, x, c, "grad_cam", layer=layer) < 0).any() for c in range(6))


def test_captum_gives_the_same_grad_cam():
    net, x = make("plain", torch.float64), inputs(2, torch.float64).requires_grad_()
    for relu in (False, True):
        small = LayerGradCam(net.module, net.module[3]).attribute(x, target=1, relu_attributions=relu)
        peer = LayerAttribution.interpolate(small, (32, 32), "bilinear")[:, 0].detach()
        assert torch.allclose(attribute(net, x, 1, "grad_cam", relu=relu), peer, atol=1e-12)


class Pooled(nn.Module):
    """A global mean straight before one linear layer, whose bias and norm keep it affine."""

    def __init__(self, classes=6):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 7, 3), nn.ReLU(inplace=True)
        )
        self.drop, self.fc, self.norm = nn.Dropout(), nn.Linear(7, classes), nn.BatchNorm1d(classes)

    def forward(self, x):
        return self.norm(self.fc(self.drop(self.features(x).mean((2, 3)))))


def test_cam_is_the_head_at_every_position():
    net = wrapped(Pooled())
    x = torch.randn(3, 3, 16, 16).double()
    maps = net.activations(x, ["features"])["features"].detach()
    weights = net.module.fc.weight.detach() / (1 + net.module.norm.eps) ** 0.5
    small = torch.einsum("nchw,c->nhw", maps, weights[1])
    ours = attribute(net, x, 1, "cam")
    assert torch.allclose(ours, F.interpolate(small[:, None], size=16, mode="bilinear")[:, 0])
    # Completeness: the mean over positions is the logit less the bias.
    bias = net.module.fc.bias.detach()[1] / (1 + net.module.norm.eps) ** 0.5
    assert torch.allclose(small.mean((1, 2)), net(x)[:, 1].detach() - bias)
    assert torch.allclose(ours, attribute(net, x, Probability(1), "cam"))
    assert torch.allclose(ours, 14 * 14 * attribute(net, x, 1, "grad_cam"))


def test_cam_of_similarities_goes_through_the_linear_map():
    net = wrapped(Pooled())
    x = torch.randn(2, 3, 16, 16).double()
    maps = net.activations(x, ["features"])["features"].detach()
    out = net(x).detach()
    matrix = net.module.fc.weight.detach() / (1 + net.module.norm.eps) ** 0.5
    unit, other = F.normalize(FIRST, dim=1), F.normalize(SECOND, dim=1)
    for target, direction in ((Similarity(FIRST), unit), (Contrast(FIRST, SECOND), unit - other)):
        weights = (direction @ matrix) / out.norm(dim=1, keepdim=True)
        small = torch.einsum("nchw,nc->nhw", maps, weights)
        slow = F.interpolate(small[:, None], size=16, mode="bilinear")[:, 0]
        assert torch.allclose(attribute(net, x, target, "cam"), slow)


class Head(Pooled):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, x):
        return self.head(self.features(x))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Linear(7 * 14 * 14, 6)),
            "global average over positions straight behind 'features'",
        ),
        (nn.Sequential(nn.Conv2d(7, 7, 14, groups=7), nn.Flatten()), "weighs its positions differently"),
        (
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 8), nn.Tanh(), nn.Linear(8, 6)),
            "single linear layer behind the average of 'features'.*changes from image to image",
        ),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(7)), "single linear layer behind"),
    ],
)
def test_cam_says_which_condition_fails(head, message):
    torch.manual_seed(0)
    with pytest.raises(NotApplicableError, match=message):
        attribute(wrapped(Head(head)), torch.randn(2, 3, 16, 16).double(), 0, "cam")


def test_score_cam_equals_its_loop():
    net, x = make("residual", torch.float64), inputs(2, torch.float64)
    base = torch.zeros_like(x[0])
    for target in (Logit(1), Similarity(FIRST)):
        ours = attribute(net, x, target, "score_cam", layer="norm1", baseline=0.0)
        for i in range(2):
            of = target.rows(torch.tensor([i]))
            maps = net.activations(x[i][None], ["norm1"])["norm1"][0].detach()
            gains = []
            for one in maps:
                mask = enlarged(one)
                mask = (mask - mask.min()) / (mask.max() - mask.min())
                seen = base + mask * (x[i] - base)
                gains.append(float((of(net, seen[None]) - of(net, base[None])).detach()))
            weights = torch.tensor(gains, dtype=torch.float64).softmax(0)
            assert torch.allclose(ours[i], enlarged(torch.einsum("c,chw->hw", weights, maps)), atol=1e-10)
    assert (attribute(net, x, 1, "score_cam", layer="norm1", relu=True) >= 0).all()


def test_score_cam_of_few_channels_takes_those_of_the_largest_range():
    net, x = make("plain", torch.float64), inputs(2, torch.float64)
    maps = net.activations(x, ["3"])["3"].detach()
    spread = maps.amax((2, 3)) - maps.amin((2, 3))
    ours = attribute(net, x, 1, "score_cam", channels=1)
    for i in range(2):
        assert torch.allclose(ours[i], enlarged(maps[i, spread[i].argmax()]))
    whole = attribute(net, x, 1, "score_cam")
    assert torch.allclose(attribute(net, x, 1, "score_cam", channels=16), whole)
    assert torch.allclose(attribute(net, x, 1, "score_cam", channels=99), whole)


def test_constant_maps_have_no_weight():
    module = nn.Sequential(
        nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    ).double()
    with torch.no_grad():
        module[0].weight[1] = 0
        module[0].bias[1] = 3
    net, x = wrapped(module), torch.rand(1, 3, 16, 16).double()
    maps = net.activations(x, ["1"])["1"].detach()
    assert torch.allclose(attribute(net, x, 0, "score_cam")[0], enlarged(maps[0, 0], (16, 16)))
    assert not attribute(net, torch.zeros(1, 3, 16, 16).double(), 0, "score_cam").any()


@pytest.mark.parametrize(
    ("kind", "name", "size"),
    [
        ("plain", "3", (8, 8)),
        ("residual", "relu@3", (4, 4)),
        ("prelu", "add", (16, 16)),
        ("transformer", "blocks.1.norm1", (4, 4)),
    ],
)
def test_the_default_layer(kind, name, size):
    net = make(kind)
    chosen, grid = _chosen(Call(net, inputs(1), Logit(0)), None, "Grad-CAM")
    assert (chosen, grid.size) == (name, size)


def test_a_target_at_or_before_the_default_layer_is_refused():
    net, x = make("residual"), inputs(1)
    for method in CAMS:
        with pytest.raises(NotApplicableError, match=r"at layer 'relu@3' .* looks at 'norm1', .* layer=\."):
            attribute(net, x, Activation("norm1", channel=0), method)
        assert attribute(net, x, Activation("norm1", channel=0), method, layer="norm").any()
        assert attribute(net, x, Activation("fc", channel=0), method).any()


def test_targets_at_or_before_the_layer_are_refused():
    net, x = make("residual"), inputs(1)
    for method in (*CAMS, "cam", "guided_grad_cam"):
        for aim, layer in (("norm1", "norm1"), ("stem", "norm2")):
            with pytest.raises(NotApplicableError, match=f"at layer '{layer}' .* looks at '{aim}'"):
                attribute(net, x, Activation(aim, channel=0), method, layer=layer)
    # On another branch, though later.
    with pytest.raises(NotApplicableError, match="to which no gradient passes through 'norm1'"):
        attribute(net, x, Activation("norm3", channel=0), "grad_cam", layer="norm1")
    # Another name for the same tensor.
    module = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    with pytest.raises(NotApplicableError, match="needs a target behind that layer"):
        attribute(
            wrapped(module), torch.rand(1, 3, 16, 16), Activation("0", channel=0), "grad_cam", layer="0.1"
        )


def test_layers_without_positions_are_refused():
    net, x = make("plain"), inputs(1)
    for method in (*CAMS, "cam", "guided_grad_cam"):
        with pytest.raises(
            NotApplicableError, match=r"needs a layer with positions; '6' of 'plain' gives \(6,\)"
        ):
            attribute(net, x, 0, method, layer="6")
        with pytest.raises(LayerError, match="no layer 'nope'"):
            attribute(net, x, 0, method, layer="nope")
    flat = wrapped(nn.Sequential(nn.Flatten(), nn.Linear(768, 3)))
    with pytest.raises(NotApplicableError, match=r"on the way to the output; 'tiny' has none"):
        attribute(flat, torch.rand(1, 3, 16, 16), 0, "grad_cam")
    with pytest.raises(SpecError, match="'channels' must be an int of at least 1; got 0"):
        attribute(net, x, 0, "score_cam", channels=0)


class Tokens(nn.Module):
    """Patches cut without a convolution, class and register tokens before them; the mean of patches decides."""

    def __init__(self, prefix=1, patch=4, last=False):
        super().__init__()
        self.prefix, self.patch, self.last = prefix, patch, last
        self.embed, self.norm, self.fc = nn.Linear(3 * patch**2, 5), nn.LayerNorm(5), nn.Linear(5, 2)

    def forward(self, x):
        patches = F.unfold(x, self.patch, stride=self.patch).transpose(1, 2)
        tokens = self.norm(self.embed(patches))
        if self.last:
            side = x.shape[2] // self.patch, x.shape[3] // self.patch
            return self.fc((tokens.unflatten(1, side) * 1.0).mean((1, 2)))
        tokens = torch.cat([tokens.new_zeros(len(x), self.prefix, 5), tokens], 1)
        tokens = F.relu(tokens)
        return self.fc(tokens[:, self.prefix :].mean(1))


def test_tokens_lie_on_their_grid():
    for prefix in (0, 1, 3):
        net = wrapped(Tokens(prefix), (24, 32))
        x = torch.randn(2, 3, 24, 32).double()
        assert find_grid(net, net.layer("relu")) == Grid((6, 8), prefix=prefix)
        tokens = net.activations(x, ["relu"])["relu"].detach()[:, prefix:]
        weights = net.module.fc.weight.detach()[1]
        small = (tokens @ weights).view(2, 1, 6, 8)
        slow = F.interpolate(small, size=(24, 32), mode="bilinear")[:, 0]
        assert torch.allclose(attribute(net, x, 1, "cam", layer="relu"), slow)
        assert torch.allclose(attribute(net, x, 1, "grad_cam", layer="relu"), slow / 48)
    # 13 tokens behind one of class: 12 are no grid of square patches of this image.
    assert find_grid(wrapped(Tokens(1), (24, 32)), net.layers[-1]) is None


def test_maps_with_channels_last():
    net = wrapped(Tokens(last=True), (24, 32))
    x = torch.randn(2, 3, 24, 32).double()
    layer = next(entry for entry in net.layers if entry.shape == (6, 8, 5))
    assert find_grid(net, layer) == Grid((6, 8), channels_last=True)
    values = net.activations(x, [layer.name])[layer.name].detach()
    small = (values @ net.module.fc.weight.detach()[0])[:, None]
    slow = F.interpolate(small, size=(24, 32), mode="bilinear")[:, 0]
    assert torch.allclose(attribute(net, x, 0, "cam", layer=layer.name), slow)


def test_attention_weights_are_no_maps():
    roles = {layer.role for layer, _ in map_layers(make("transformer"))}
    assert roles
    assert not roles & {"softmax", "attention", "fc", "pool", "other"}
