"""Hidden windows, computed where they change something, against whole images one at a time."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fusiform.errors import SpecError, TargetError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.optional import require
from fusiform.perturbation import Windows, _incremental, _incremental_rules
from fusiform.perturbation._incremental import incremental_outputs, incremental_scores
from fusiform.targets import Activation, Contrast, Logit, Probability, Similarity

SIDE, OUTPUTS = 32, 5


class Residual(nn.Module):
    """Sums inside ``forward``, one of them in place, and one rectifier, in place."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm, self.relu = nn.Conv2d(3, 4, 5, 2, 2), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.a, self.b, self.down = nn.Conv2d(4, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, 1, 1), nn.Conv2d(4, 6, 1, 2)
        self.fc = nn.Linear(6, OUTPUTS)

    def forward(self, x):
        x = self.pool(self.relu(self.norm(self.stem(x))))
        out = self.b(self.relu(self.a(x)))
        out += self.down(x)
        out = self.relu(out)
        return self.fc((out + 2 * out.sigmoid()).mean(dim=(2, 3)))


class Depthwise(nn.Module):
    """PReLU, depthwise convolutions, an identity shortcut, and a convolution of the whole map at the end."""

    def __init__(self):
        super().__init__()
        self.a, self.act = nn.Conv2d(3, 6, 3, 2, 1), nn.PReLU(6)
        self.depthwise, self.point = nn.Conv2d(6, 6, 3, 1, 1, groups=6), nn.Conv2d(6, 6, 1)
        nn.init.uniform_(self.act.weight, 0.1, 0.5)
        self.whole, self.norm = nn.Conv2d(6, 6, 16, groups=6), nn.BatchNorm1d(6)

    def forward(self, x):
        x = self.act(self.a(x))
        x = x + self.point(self.depthwise(x))
        return self.norm(self.whole(x).flatten(1))


class MaxFeatureMap(nn.Module):
    """The greater of two halves of the channels, once by chunks and once by slices."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = (
            nn.Conv2d(3, 8, 5, 1, 2),
            nn.Conv2d(4, 8, 3, 1, 1),
            nn.Linear(4 * 64, OUTPUTS),
        )

    def forward(self, x):
        first, second = self.a(x).chunk(2, dim=1)
        x = self.b(F.max_pool2d(torch.max(first, second), 2))
        return self.fc(F.avg_pool2d(torch.maximum(x[:, :4], x[:, 4:]), 2).flatten(1))


class Branches(nn.Module):
    """Branches of different reach, put side by side; padding of its own; a gate of the whole map."""

    def __init__(self):
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(3, 4, 3, 2, 2, dilation=2), nn.Conv2d(3, 4, 1, 2)
        self.gate, self.last, self.fc = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 3), nn.Linear(4, OUTPUTS)

    def forward(self, x):
        x = F.hardswish(torch.cat([self.wide(x), self.narrow(x)], dim=1))
        x = F.leaky_relu_(self.last(F.pad(x, (1, 0, 2, 1))), 0.2).clamp(max=0.8).repeat(1, 2, 1, 1)
        return self.fc((x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid())[:, :4].amax((2, 3)))


class Attends(nn.Module):
    """Patches of the image that all look at each other."""

    def __init__(self):
        super().__init__()
        self.embed, self.attention = nn.Conv2d(3, 8, 8, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.fc = nn.Linear(8, OUTPUTS)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.fc(self.attention(x, x, x)[0].mean(dim=1))


class ChangesAView(nn.Module):
    """Half of the channels is changed in place, and all of them are used afterwards."""

    def __init__(self, change):
        super().__init__()
        self.conv, self.change = nn.Conv2d(3, 6, 3, padding=1), change

    def forward(self, x):
        x = self.conv(x)
        self.change(x)
        return F.max_pool2d(x, 2).mean(dim=(2, 3))


PARTLY = {
    "residual": Residual,
    "depthwise": Depthwise,
    "max feature map": MaxFeatureMap,
    "branches": Branches,
}
NETWORKS = PARTLY | {
    "normalises instances": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.InstanceNorm2d(4), nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.Flatten()
    ),
    "transformer": Attends,
    "reflects and enlarges": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ELU(inplace=True), nn.Upsample(scale_factor=2),
        nn.MaxPool2d(3, 4, ceil_mode=True), nn.ConvTranspose2d(4, 2, 2), nn.Flatten(),
    ),
}  # fmt: skip


def network(module, side=SIDE):
    return FaceNetwork(module.double(), NetworkCard(name="small", input_size=(side, side), head="logits"))


def built(kind):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = NETWORKS[kind]()
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.normal_(part.running_mean, std=0.3)
                nn.init.uniform_(part.running_var, 0.5, 2)
    return network(module)


def images(n=1, side=SIDE, seed=0):
    return (
        torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5
    )


def one_at_a_time(net, target, x, windows, base):
    """Every window of every image by itself, hidden by plain loops."""
    rows = []
    for i in range(len(x)):
        of = target.rows(torch.tensor([i]))
        scores = []
        for top, left, bottom, right in windows.boxes.tolist():
            image = x[i : i + 1].clone()
            image[:, :, top:bottom, left:right] = base[i : i + 1, :, top:bottom, left:right]
            with torch.no_grad():
                scores.append(of(net, image))
        rows.append(torch.cat(scores))
    return torch.stack(rows)


@pytest.fixture
def never_whole(monkeypatch):
    """Make it an error that a network cannot be followed."""

    def fail(*args, **options):
        raise AssertionError("computed whole")

    monkeypatch.setattr(_incremental, "masked_scores", fail)
    monkeypatch.setattr(_incremental, "masked_outputs", fail)


@pytest.fixture
def computed(monkeypatch):
    """Sizes that convolutions and pools have computed, and of their whole results."""
    sizes = []
    slid = _incremental_rules._slid

    def spy(*args):
        out = slid(*args)
        sizes.append((out.held.values.numel(), out.numel()))
        return out

    monkeypatch.setattr(_incremental_rules, "_slid", spy)
    return sizes


@pytest.mark.parametrize("kind", NETWORKS)
def test_equals_whole_images(kind, never_whole, computed):
    net, x, base = built(kind), images(2), images(2, seed=1)
    for window, stride in (((7, 5), (4, 5)), ((1, 9), (1, 9)), ((20, 32), (12, 32))):
        windows = Windows((SIDE, SIDE), window, stride)
        found = incremental_scores(net, Logit(2), x, windows, base)
        wanted = one_at_a_time(net, Logit(2), x, windows, base)
        assert wanted.std() > 1e-5
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)
    if kind in PARTLY:
        part, whole = map(sum, zip(*computed, strict=True))
        assert part < 0.7 * whole


@pytest.mark.parametrize("batch_size", [1, 2, 7, 500])
def test_any_number_of_windows_at_once(batch_size, never_whole):
    net, x, base = built("residual"), images(), images(seed=1)
    windows = Windows((SIDE, SIDE), (6, 6), (5, 5))
    wanted = one_at_a_time(net, Logit(0), x, windows, base)
    found = incremental_scores(net, Logit(0), x, windows, base, batch_size=batch_size)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_geometry(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    side = draw(9, 14)
    kernel, dilation = (draw(1, 4), draw(1, 4)), (draw(1, 2), draw(1, 2))
    conv = nn.Conv2d(
        3, 6, kernel, (draw(1, 5), draw(1, 3)), (draw(0, 3), draw(0, 3)), dilation, groups=data.draw(st.sampled_from([1, 3]))
    )  # fmt: skip
    module = nn.Sequential(conv, nn.LeakyReLU(0.5, inplace=True))
    if data.draw(st.booleans()):
        size = draw(1, 3)
        module.append(nn.MaxPool2d(size, draw(1, 4), draw(0, size // 2), ceil_mode=data.draw(st.booleans())))
    elif data.draw(st.booleans()):
        size = draw(1, 3)
        module.append(nn.AvgPool2d(size, draw(1, 3), draw(0, size // 2)))
    module.extend([nn.Conv2d(6, 4, 3, padding=2), nn.Conv2d(4, 2, 2, padding=1), nn.Flatten()])
    x, base = images(1, side, draw(0, 99)), images(1, side, 100)
    net = network(module, side)
    try:
        outputs = net(x)
    except RuntimeError:
        return  # no map is left
    window = (draw(2, side), draw(2, side))
    windows = Windows((side, side), window, (draw(2, window[0]), draw(2, window[1])))
    target = Logit(draw(0, outputs.shape[1] - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_incremental, "masked_scores", None)
        patch.setattr(_incremental, "masked_outputs", None)
        found = incremental_scores(net, target, x, windows, base, batch_size=draw(1, 40))
        every = incremental_outputs(net, x, windows, base)
    torch.testing.assert_close(found, one_at_a_time(net, target, x, windows, base), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(every[..., target.class_index], found, rtol=1e-9, atol=1e-11)


def test_any_target_and_its_rows(never_whole):
    net, x, base = built("depthwise"), images(3), images(3, seed=1)
    windows = Windows((SIDE, SIDE), (8, 8), (8, 8))
    with torch.no_grad():
        references = net(images(6, seed=2)).split(3)
    targets = [
        Probability(1), Similarity(references[0]), Similarity(references[0][0]), Contrast(*references),
        Activation("depthwise", channel=2), Activation("act", position=(3, 4)),
    ]  # fmt: skip
    for target in targets:
        found = incremental_scores(net, target, x, windows, base)
        wanted = one_at_a_time(net, target, x, windows, base)
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)
        row = target.rows(torch.tensor([1]))
        assert incremental_scores(net, row, x[1:2], windows, base[1:2]).equal(found[1:2])


def test_autocast(never_whole):
    net, x = built("residual"), images(2).float()
    net.module.float()
    windows = Windows((SIDE, SIDE), (8, 8), (8, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = incremental_scores(net, Logit(2), x, windows, torch.zeros_like(x))
        wanted = one_at_a_time(net, Logit(2), x, windows, torch.zeros_like(x))
    assert wanted.dtype == torch.bfloat16
    torch.testing.assert_close(found, wanted.float(), rtol=0.02, atol=0.02)
    exact = incremental_scores(net, Logit(2), x, windows, torch.zeros_like(x))
    assert not found.equal(exact)


def test_all_is_left_as_it_was(never_whole):
    net, x, base = built("residual"), images(2), images(2, seed=1)
    net.module.train()
    net.module.norm.eval()
    before, given, hidden = net.digest(), x.clone(), base.clone()
    flags = [m.training for m in net.module.modules()]
    incremental_scores(net, Activation("a"), x, Windows((SIDE, SIDE), (8, 8), (8, 8)), base)
    assert net.digest() == before
    assert [m.training for m in net.module.modules()] == flags
    assert all(p.grad is None and p.requires_grad for p in net.module.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.module.modules())
    assert x.equal(given)
    assert base.equal(hidden)


def _writes_in_a_slice(x):
    x[:, :2] = 0.25


@pytest.mark.parametrize(
    "change",
    [lambda x: x.chunk(2, dim=1)[0].relu_(), lambda x: x.detach().mul_(x.sigmoid()), _writes_in_a_slice,
     lambda x: x.flatten(1)[:, ::2].neg_(), lambda x: x.view(-1).relu_(), lambda x: x.zero_()],
    ids=["chunk", "detached", "written", "flat", "viewed", "zero"],
)  # fmt: skip
def test_views_changed_in_place(change):
    net, x, base = network(ChangesAView(change)), images(), images(seed=1)
    windows = Windows((SIDE, SIDE), (8, 8), (8, 8))
    for target in (Logit(0), Logit(5)):
        found = incremental_scores(net, target, x, windows, base)
        wanted = one_at_a_time(net, target, x, windows, base)
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)


def test_a_network_that_cannot_be_followed_is_computed_whole(monkeypatch):
    class Leaves(nn.Linear):
        def forward(self, x):
            return super().forward(torch.from_numpy(x.detach().numpy().mean(axis=(2, 3))))

    called = []
    whole = _incremental.masked_scores
    monkeypatch.setattr(_incremental, "masked_scores", lambda *a, **k: called.append(1) or whole(*a, **k))
    net, x, base = network(Leaves(3, 2)), images(), images(seed=1)
    windows = Windows((SIDE, SIDE), (8, 8), (8, 8))
    found = incremental_scores(net, Logit(1), x, windows, base)
    torch.testing.assert_close(found, one_at_a_time(net, Logit(1), x, windows, base))
    assert called == [1]


def test_no_more_than_fits_is_held(monkeypatch):
    called = []
    whole = _incremental.masked_scores
    monkeypatch.setattr(_incremental, "masked_scores", lambda *a, **k: called.append(1) or whole(*a, **k))
    net, x, windows = built("residual"), images(), Windows((SIDE, SIDE), (8, 8), (8, 8))
    incremental_scores(net, Logit(1), x, windows, x, memory_gb=1)
    assert not called
    incremental_scores(net, Logit(1), x, windows, x, memory_gb=5e-5)
    assert called == [1]


def test_errors():
    net, x = built("residual"), images(2)
    windows = Windows((SIDE, SIDE), (8, 8), (8, 8))
    with pytest.raises(TargetError, match=r"Logit\(9\) is out of range: 'small' has 5 outputs, 0 to 4"):
        incremental_scores(net, Logit(9), x, windows, x)
    with pytest.raises(SpecError, match="A baseline has the shape of the inputs"):
        incremental_scores(net, Logit(0), x, windows, x[:1])
    with pytest.raises(SpecError, match="Windows are for images of 16 by 16 pixels"):
        incremental_scores(net, Logit(0), x, Windows((16, 16), (8, 8), (8, 8)), x)
    with pytest.raises(SpecError, match="batch_size must be at least 1; got 0"):
        incremental_scores(net, Logit(0), x, windows, x, batch_size=0)
    assert incremental_scores(net, Logit(0), x[:0], windows, x[:0]).shape == (0, 16)


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn"])
def test_networks_of_the_zoo(name, never_whole):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = require("timm", extra="zoo").create_model(name, num_classes=4)
    if "vgg" in name:
        module = nn.Sequential(module.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = FaceNetwork(module, NetworkCard(name=name, input_size=(64, 64), head="logits"))
    x, base = images(1, 64).float(), images(1, 64, 1).float()
    windows = Windows((64, 64), (16, 16), (16, 16))
    found = incremental_scores(net, Logit(1), x, windows, base)
    wanted = one_at_a_time(net, Logit(1), x, windows, base)
    assert (found - wanted).abs().max() <= 1e-4 * (wanted - wanted.mean()).abs().max()
