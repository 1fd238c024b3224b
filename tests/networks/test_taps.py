"""Taps: right values, safe copies, and nothing left behind."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

from fusiform.errors import LayerError, NetworkError
from fusiform.networks import FaceNetwork, NetworkCard

ALL = ("plain", "residual", "flat", "inception", "mfm", "attention", "separable", "functions")


def state_of(module):
    return {
        "training": [m.training for m in module.modules()],
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._forward_hooks_always_called))
            for m in module.modules()
        ],
        "requires_grad": [p.requires_grad for p in module.parameters()],
        "grad": [p.grad for p in module.parameters()],
        "modes": len(_get_current_function_mode_stack()),
        "numbers": [t.clone() for t in module.state_dict().values()],
    }


def assert_same_state(before, after):
    for key in ("training", "hooks", "requires_grad", "modes"):
        assert before[key] == after[key], key
    assert all(g is None for g in after["grad"])
    assert all(torch.equal(a, b) for a, b in zip(before["numbers"], after["numbers"], strict=True))


def block_by_hand(block, x):
    first = F.relu(block.bn1(block.conv1(x)))
    total = block.conv2(first) + block.downsample(x)
    return {"relu": first, "add": total, "relu@2": F.relu(total)}


def test_residual_blocks_hold_what_a_rerun_by_hand_gives(make_net, images):
    net = make_net("residual")
    x = net.prepare(images)
    names = [
        f"{b}.{n}"
        for b in ("layer1.0", "layer1.1", "layer2.0", "layer2.1")
        for n in ("relu", "add", "relu@2")
    ]
    with torch.no_grad():
        found = net.activations(x, [*names, "layer1.0", "layer2", "fc"])
        net.module.eval()
        y = net.module.stem(x)
        for path in ("layer1.0", "layer1.1", "layer2.0", "layer2.1"):
            expected = block_by_hand(net.module.get_submodule(path), y)
            for name, tensor in expected.items():
                torch.testing.assert_close(found[f"{path}.{name}"], tensor)
            y = expected["relu@2"]
        torch.testing.assert_close(found["layer2"], y)
        torch.testing.assert_close(found["fc"], net(x))
    # In-place ReLUs and sums follow: what was kept is from before them.
    assert (found["layer1.0.add"] < 0).any()
    assert not (found["layer1.0.relu@2"] < 0).any()
    assert list(found) == [*names, "layer1.0", "layer2", "fc"]


def test_functional_layers_hold_what_a_rerun_by_hand_gives(make_net, images):
    net = make_net("flat")
    x, module = net.prepare(images), net.module
    with torch.no_grad():
        found = net.activations(x, [layer.name for layer in net.layers])
        first = F.relu(module.conv1(x))
        total = first + module.conv2(first)
        second = module.prelu(module.conv3(F.relu(total)))
        end = second + F.relu(total)
    expected = {"relu": first, "add": total, "relu@2": F.relu(total), "prelu": second, "add@2": end}
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor)
    torch.testing.assert_close(found["mean"], end.mean((2, 3)))


@pytest.mark.parametrize("style", ALL)
def test_contract_of_every_style(make_net, images, style):
    net = make_net(style)
    net.module.train()
    x = net.prepare(images)
    before = state_of(net.module)
    names = [layer.name for layer in net.layers]
    with torch.no_grad():
        plain = net(x)
        found = net.activations(x, names)
        single = net.activations(x[1:2], names)
        again = net.activations(x, names)
    assert_same_state(before, state_of(net.module))
    assert list(found) == names
    for layer in net.layers:
        tensor = found[layer.name]
        assert tuple(tensor.shape) == (len(x), *layer.shape)
        assert torch.isfinite(tensor).all()
        torch.testing.assert_close(single[layer.name][0], tensor[1], rtol=1e-4, atol=1e-5)
        assert torch.equal(tensor, again[layer.name])
        # Each layer alone gives what all together give.
        alone = net.activations(x, [layer.name])[layer.name].detach()
        assert torch.equal(alone, tensor)
    assert torch.equal(net(x).detach(), plain)


@pytest.mark.parametrize("style", ALL)
def test_nothing_is_left_when_receive_raises_half_way(make_net, images, style):
    net = make_net(style)
    x = net.prepare(images)
    names = [layer.name for layer in net.layers]
    before = state_of(net.module)
    seen = []

    def receive(name, tensor):
        seen.append(name)
        if len(seen) == 3:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"), net.tapped(names, receive):
        net(x)
    assert len(seen) == 3
    assert_same_state(before, state_of(net.module))


def test_nothing_is_left_when_the_forward_raises(make_net, images):
    net = make_net("residual")
    _ = net.layers
    x = net.prepare(images)
    conv = net.module.layer2[0].conv2
    handle = conv.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(ValueError("broken")))
    before = state_of(net.module)
    with pytest.raises(ValueError, match="broken"):
        net.activations(x, ["layer1.0.add", "fc"])
    assert_same_state(before, state_of(net.module))
    handle.remove()
    assert set(net.activations(x, ["layer1.0.add", "fc"])) == {"layer1.0.add", "fc"}


def test_a_forward_that_catches_an_error_keeps_its_functions_apart():
    class Catching(nn.Module):
        class Failing(nn.Module):
            def forward(self, x):
                raise ValueError

        def __init__(self):
            super().__init__()
            self.failing = self.Failing()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            y = self.conv(x)
            try:
                y = self.failing(y)
            except ValueError:
                y = F.relu(y)
            return y + x

    net = FaceNetwork(Catching(), NetworkCard(name="c", input_size=(4, 4)))
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    names = [layer.name for layer in net.layers]
    assert "relu" in names
    torch.testing.assert_close(net.activations(x, ["relu"])["relu"], F.relu(net.module.conv(x)))


def test_activations_follow_the_grad_mode(make_net, images):
    net = make_net("flat")
    x = net.prepare(images).requires_grad_()
    kept = net.activations(x, ["add", "conv3"])
    assert kept["add"].requires_grad
    (gradient,) = torch.autograd.grad(kept["add"].sum(), x)
    assert gradient.abs().sum() > 0
    with torch.no_grad():
        assert not net.activations(x, ["add"])["add"].requires_grad
    assert all(p.grad is None for p in net.module.parameters())


def test_receive_gets_the_live_tensor_and_may_compute(make_net, images):
    net = make_net("flat")
    x = net.prepare(images)
    live, means = {}, {}

    def receive(name, tensor):
        live[name] = tensor
        # Functions of the same names as the network's own, which must not be counted among them.
        means[name] = (F.relu(tensor) + tensor).mean((2, 3))

    with torch.no_grad(), net.tapped(["relu@2", "add", "add@2", "conv3"], receive):
        net(x)
        first = dict(means)
        net(x)
    copies = net.activations(x, ["relu@2", "add", "add@2", "conv3"])
    for name, copy in copies.items():
        torch.testing.assert_close(means[name], (F.relu(copy) + copy).mean((2, 3)).detach())
        assert torch.equal(first[name], means[name])


def test_taps_nest_without_disturbing_each_other(make_net, images):
    net = make_net("flat")
    x = net.prepare(images)
    outer, inner = {}, {}
    with (
        torch.no_grad(),
        net.tapped(["relu@2", "prelu"], lambda n, t: outer.__setitem__(n, F.relu(t) + t)),
        net.tapped(["relu@2", "add@2"], lambda n, t: inner.__setitem__(n, F.relu(t) + t)),
    ):
        net(x)
    with torch.no_grad():
        alone = net.activations(x, ["relu@2", "prelu", "add@2"])
    torch.testing.assert_close(outer["relu@2"], 2 * alone["relu@2"])
    torch.testing.assert_close(inner["relu@2"], outer["relu@2"])
    torch.testing.assert_close(inner["add@2"], F.relu(alone["add@2"]) + alone["add@2"])


def test_a_function_mode_of_the_callers_own_still_works(make_net, images):
    class Counting(TorchFunctionMode):
        calls = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            Counting.calls += 1
            return func(*args, **(kwargs or {}))

    net = make_net("flat")
    x = net.prepare(images)
    with Counting():
        found = net.activations(x, ["add"])
    assert Counting.calls > 5
    assert torch.equal(found["add"], net.activations(x, ["add"])["add"])


def test_no_function_mode_runs_where_only_modules_are_asked_for(make_net, images):
    net = make_net("residual")
    depths = []
    with net.tapped(["layer1.0", "fc"], lambda *_: depths.append(len(_get_current_function_mode_stack()))):
        net(net.prepare(images))
    assert depths == [0, 0]


def test_a_layer_that_a_forward_does_not_reach_is_named(images):
    class Dynamic(nn.Module):
        def __init__(self):
            super().__init__()
            self.dark = nn.Conv2d(3, 2, 1)
            self.light = nn.Conv2d(3, 2, 1)

        def forward(self, x):
            return self.dark(x) if x.mean() <= 0 else self.light(x)

    net = FaceNetwork(Dynamic(), NetworkCard(name="dynamic", input_size=(16, 16), mean=(0.0,), std=(1.0,)))
    assert [layer.name for layer in net.layers] == ["dark"]
    with pytest.raises(NetworkError, match="did not reach 1 of the layers asked for: 'dark'"):
        net.activations(net.prepare(images), ["dark"])
    assert not net.module.dark._forward_hooks
    assert not net.module._forward_hooks


def test_unknown_names_are_refused_before_anything_runs(make_net, images):
    net = make_net("plain")
    with pytest.raises(LayerError, match="has no layer 'nine'"):
        net.activations(net.prepare(images), ["0", "nine"])
    with pytest.raises(LayerError):
        net.tapped("nine", lambda *_: None)
    assert list(net.activations(net.prepare(images), "0")) == ["0"]
