"""What is intercepted: in whatever way a network is written, the same maps; what has no rule is refused by name."""

import gc

import pytest
import torch
import torch.nn.functional as F
from tests.attribution.propagation.nets import Branches, drawn, wrapped
from torch import nn

from fusiform.attribution import attribute
from fusiform.errors import AttributionError, NotApplicableError
from fusiform.optional import require

METHODS = ("lrp", "excitation_backprop")


def images(n=2, size=(8, 8), seed=1):
    return torch.randn(n, 3, *size, generator=torch.Generator().manual_seed(seed)).double()


class Written(nn.Module):
    """One residual network in several hands."""

    def __init__(self, hand):
        super().__init__()
        self.hand = hand
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)
        self.relu = nn.ReLU(inplace=hand == "in place")

    def forward(self, x):
        if self.hand == "plain":
            x = self.relu(self.bn1(self.conv1(x)))
            x = self.relu(x + self.bn2(self.conv2(x)))
            return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        if self.hand == "in place":
            x = self.relu(self.bn1(self.conv1(x)))
            identity = x
            out = self.bn2(self.conv2(x))
            out += identity
            self.relu(out)
            return self.fc(F.adaptive_avg_pool2d(out, 1).flatten(1))
        if self.hand == "input overwritten":
            x *= 1.0
            x = self.bn1(self.conv1(x)).relu_()
            out = self.bn2(self.conv2(x))
            x.add_(out)
            x.clamp_(min=0)
            return self.fc(x.mean((-1, -2)))
        if self.hand == "views":
            x = self.bn1(self.conv1(x))
            x.flatten(1).relu_()
            out = torch.empty_like(x)
            out[:] = self.bn2(self.conv2(x))
            both = torch.stack([out, x])
            x = torch.relu(both.sum(0))
            return torch.addmm(self.fc.bias, x.sum((2, 3)) / x[0, 0].numel(), self.fc.weight.t())
        # Functions, products and views.
        x = F.relu(self.bn1(F.conv2d(x, self.conv1.weight, self.conv1.bias, padding=1)))
        out = self.bn2(F.conv2d(F.pad(x, (1, 1, 1, 1)), self.conv2.weight, self.conv2.bias))
        x = torch.where(out + x > 0, torch.add(out, x), torch.zeros_like(x))
        return torch.matmul(x.permute(0, 2, 3, 1).mean(dim=(1, 2)), self.fc.weight.t()) + self.fc.bias


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("hand", ["in place", "input overwritten", "views", "functions"])
def test_one_network_in_several_hands(hand, method):
    x = images()
    one, other = (wrapped(drawn(Written(h)), (8, 8)) for h in ("plain", hand))
    other.module.load_state_dict(one.module.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(one(x), other(x.clone()))
    kept = x.clone()
    expected = attribute(one, x, 1, method)
    found = attribute(other, x, 1, method)
    # The bias of a product is a constant of its own there, which shares what the linear function's does.
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    assert torch.equal(x, kept)


@pytest.mark.parametrize("method", METHODS)
def test_a_module_used_twice_is_two_layers(method):
    class Twice(nn.Module):
        def __init__(self, first, second):
            super().__init__()
            self.first, self.second, self.act = first, second, nn.PReLU(3)

        def forward(self, x):
            return self.second(self.act(self.first(x))).mean((2, 3))

    conv = drawn(nn.Conv2d(3, 3, 3))
    copy = nn.Conv2d(3, 3, 3)
    copy.load_state_dict(conv.state_dict())
    x = images()
    torch.testing.assert_close(
        attribute(wrapped(Twice(conv, conv), (8, 8)), x, 1, method),
        attribute(wrapped(Twice(conv, copy), (8, 8)), x, 1, method),
    )


@pytest.mark.parametrize("method", METHODS)
def test_batch_norm_before_a_convolution(method):
    # Alone it passes on what its input adds, and the convolution's rule sees its output.
    module = drawn(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 8, bias=False), nn.Flatten()))
    norm, conv = module[0], module[1]
    x = images()
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().view(3, 1, 1)
    with torch.no_grad():
        y = norm.double().eval()(x)
        at_conv = y * conv.weight[1].double()
    found = attribute(wrapped(module, (8, 8)), x, 1, method)
    if method == "lrp":
        expected = (at_conv * (scale * x / y)).sum(1)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    else:
        score = at_conv.sum((1, 2, 3), keepdim=True)
        # A score below 0 is asked what would raise it.
        assert (score != 0).all()
        winning = at_conv.clamp(min=0).sum(1)
        torch.testing.assert_close(found, winning / winning.sum((1, 2), keepdim=True))


class Attention(nn.Module):
    def __init__(self, hand):
        super().__init__()
        self.hand = hand
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        x = self.norm(self.patch(x).flatten(2).mT)
        if self.hand == "module":
            x = self.attention(x, x, x, need_weights=False)[0]
        elif self.hand == "weights":
            x = self.attention(x, x, x, need_weights=True)[0]
        else:
            n, t, d = x.shape
            packed = F.linear(x, self.attention.in_proj_weight, self.attention.in_proj_bias)
            q, k, v = packed.view(n, t, 3, 2, d // 2).permute(2, 0, 3, 1, 4)
            weights = (q @ k.transpose(-2, -1) / (d // 2) ** 0.5).softmax(-1)
            x = self.attention.out_proj((weights @ v).transpose(1, 2).reshape(n, t, d))
        return self.fc(x.mean(1))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("hand", ["module", "weights"])
def test_attention_as_module_and_written_out(hand, method):
    one, other = (wrapped(drawn(Attention(h)), (8, 8)) for h in ("written out", hand))
    x = images()
    expected = attribute(one, x, 1, method)
    assert expected.abs().max() > 0
    torch.testing.assert_close(attribute(other, x, 1, method), expected, rtol=1e-6, atol=1e-8)


def test_attention_weights_and_deviations_are_constants():
    # Without biases relevance is kept, and is input x gradient with weights and deviation held fixed.
    module = drawn(Attention("written out"), constants=False).double()
    module.norm.bias.data.zero_()
    net, x = wrapped(module, (8, 8)), images()
    found = attribute(net, x, 1, "lrp", epsilon=1e-12)
    with torch.no_grad():
        scores = net(x)[:, 1]
    torch.testing.assert_close(found.sum((1, 2)), scores, rtol=1e-4, atol=1e-6)

    def frozen(x):
        tokens = module.patch(x).flatten(2).mT
        deviation = (tokens.detach().var(-1, keepdim=True, correction=0) + module.norm.eps).sqrt()
        tokens = (tokens - tokens.mean(-1, keepdim=True)) / deviation * module.norm.weight
        n, t, d = tokens.shape
        packed = F.linear(tokens, module.attention.in_proj_weight)
        q, k, v = packed.view(n, t, 3, 2, d // 2).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / (d // 2) ** 0.5).softmax(-1).detach()
        out = module.attention.out_proj((weights @ v).transpose(1, 2).reshape(n, t, d))
        return module.fc(out.mean(1))

    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(frozen(leaf)[:, 1].sum(), leaf)
    torch.testing.assert_close(found, (x * gradient).sum(1), rtol=2e-3, atol=1e-5)


def test_gates_are_constants():
    class Gated(nn.Module):
        def __init__(self, gate):
            super().__init__()
            self.gate, self.conv, self.squeeze = gate, nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            x = self.conv(x)
            weights = self.squeeze(x.mean((2, 3), keepdim=True))
            x = x * (weights.sigmoid() if self.gate == "sigmoid" else weights.relu() + 0.5)
            return (x * x.sigmoid() if self.gate == "sigmoid" else F.silu(x)).sum((2, 3))

    for gate in ("sigmoid", "broadcast"):
        module = drawn(Gated(gate), constants=False)
        net, x = wrapped(module, (8, 8)), images()
        found = attribute(net, x, 1, "lrp", epsilon=1e-12)
        with torch.no_grad():
            y = module.conv(x)
            weights = module.squeeze(y.mean((2, 3), keepdim=True))
            weights = weights.sigmoid() if gate == "sigmoid" else weights.relu() + 0.5
            factor = (weights * (weights * y).sigmoid())[:, 1:2]
        leaf = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((module.conv(leaf)[:, 1:2] * factor).sum(), leaf)
        torch.testing.assert_close(found, (x * gradient).sum(1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm", ["group", "instance", "rms"])
def test_norms_hold_their_deviation(norm):
    made = {
        "group": lambda: nn.GroupNorm(2, 4),
        "instance": lambda: nn.InstanceNorm2d(4, affine=True),
        "rms": lambda: nn.RMSNorm([4, 6, 6]),
    }[norm]()
    module = drawn(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), made, nn.Flatten()), constants=False)
    x = images()
    found = attribute(wrapped(module, (8, 8)), x, 40, "lrp", epsilon=1e-12)
    y = module[0](x).detach()
    shape = {"group": (2, 2, -1), "instance": (2, 4, -1), "rms": (2, 1, -1)}[norm]
    parts = y.reshape(shape)
    centre, scale = parts.mean(-1, keepdim=True), parts.var(-1, keepdim=True, correction=0).sqrt()
    if norm == "rms":
        centre, scale = 0 * centre, parts.square().mean(-1, keepdim=True).sqrt()
    leaf = x.clone().requires_grad_()
    live = module[0](leaf).reshape(shape)
    live = (live - (live.mean(-1, keepdim=True) if norm != "rms" else 0)) / scale
    weight = made.weight if norm == "rms" else made.weight.view(4, 1, 1)
    (gradient,) = torch.autograd.grad((live.reshape(y.shape) * weight).flatten(1)[:, 40].sum(), leaf)
    torch.testing.assert_close(found, (x * gradient).sum(1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["efficientnet_lite0", "mobilenetv3_small_050", "densenet121", "convnext_atto", "seresnet50"]
)
def test_published_architectures(name):
    module = require("timm", extra="zoo").create_model(name, num_classes=4)
    net = wrapped(drawn(module, constants=False), (32, 32))
    x = images(1, (32, 32))
    winners = attribute(net, x, 1, "excitation_backprop")
    torch.testing.assert_close(winners.sum((1, 2)), torch.ones(1, dtype=x.dtype))
    maps = attribute(net, x, 1, "lrp", epsilon=1e-13)
    with torch.no_grad():
        torch.testing.assert_close(maps.sum((1, 2)), net(x)[:, 1], rtol=1e-2, atol=1e-5)


class Odd(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.conv, self.function = nn.Conv2d(3, 4, 3), function

    def forward(self, x):
        return self.function(self.conv(x)).mean((2, 3))


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("function", "text"),
    [
        (torch.sin, r"The function 'sin' of 'odd' has no rule of propagation \(SinBackward0\)"),
        (lambda x: 1 / x, "The function '__rdiv__' of 'odd'"),
        (_Doubled.apply, r"\(_DoubledBackward\)"),
        (lambda x: F.batch_norm(x, None, None, training=True), "'batch_norm'"),
        (lambda x: x.detach(), "does not depend on it by functions that are followed"),
    ],
)
def test_what_has_no_rule_is_refused(function, text, method):
    with pytest.raises(NotApplicableError, match=text):
        attribute(wrapped(Odd(function), (8, 8), name="odd"), images(), 1, method)


def test_functions_that_no_relevance_reaches_need_no_rule():
    net = wrapped(drawn(Odd(lambda x: x * torch.sin(x.mean((2, 3), keepdim=True)))), (8, 8))
    assert attribute(net, images(), 1, "lrp").isfinite().all()


def test_scores_that_are_not_finite_are_refused():
    net = wrapped(Odd(lambda x: x * float("nan")), (8, 8), name="odd")
    for method in METHODS:
        with pytest.raises(AttributionError, match="scores of 'odd' are not finite for image 0, 1"):
            attribute(net, images(), 1, method)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", METHODS)
def test_nothing_of_a_pass_stays_in_memory(method):
    def tensors():
        return sum(isinstance(o, torch.Tensor) for o in gc.get_objects())

    nets = [wrapped(drawn(Written("input overwritten")), (8, 8)), wrapped(Branches(), (8, 8))]
    for net in nets:
        attribute(net, images(), 1, method)
        gc.collect()
        gc.disable()
        try:
            before = tensors()
            attribute(net, images(), 1, method)
            assert tensors() == before
        finally:
            gc.enable()


def test_autocast_and_single_precision():
    net = wrapped(drawn(Branches(), constants=False))
    x = images(2, (6, 5))
    expected = attribute(net, x, 1, "lrp", rule="epsilon_plus")
    net.module.float()
    torch.testing.assert_close(
        attribute(net, x.float(), 1, "lrp", rule="epsilon_plus"), expected.float(), rtol=1e-3, atol=1e-4
    )
    for method in METHODS:
        low = attribute(net, x.float(), 1, method, autocast=torch.bfloat16)
        assert low.dtype == torch.float32
        high = attribute(net, x.float(), 1, method)
        assert torch.corrcoef(torch.stack([low.flatten(), high.flatten()]))[0, 1] > 0.95
