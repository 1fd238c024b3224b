"""The layer listing: exact names, roles and blocks of networks in many styles."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fusiform.errors import LayerError, NetworkError
from fusiform.networks import FaceNetwork, Layer, NetworkCard


def rows(net):
    return [(layer.name, layer.role, layer.block) for layer in net.layers]


def default_names(net):
    return [layer.name for layer in net.default_layers()]


def block_rows(path, *, downsample=False):
    inside = [("conv1", "conv"), ("bn1", "norm"), ("relu", "activation"), ("conv2", "conv")]
    inside += [("downsample", "conv")] if downsample else []
    inside += [("add", "residual_sum"), ("relu@2", "activation")]
    return [(f"{path}.{name}", role, path) for name, role in inside] + [(path, "block", path)]


def test_a_plain_network_lists_its_modules(make_net):
    net = make_net("plain")
    assert rows(net) == [
        ("0", "conv", None),
        ("1", "norm", None),
        ("2", "activation", None),
        ("3", "pool", None),
        ("4", "conv", None),
        ("5", "activation", None),
        ("7", "fc", None),
        ("8", "softmax", None),
    ]
    assert [layer.depth for layer in net.layers] == list(range(8))
    assert net.layer("0") == Layer("0", 0, "Conv2d", (4, 14, 14), None, "conv")
    assert net.layer("7").shape == (3,)
    # Without blocks, convolutions (at their activations) are looked at first too; nothing twice.
    assert default_names(net) == ["2", "3", "5", "7", "8"]


def test_sums_made_in_forward_in_four_styles_are_residual_sums(make_net):
    net = make_net("residual")
    assert rows(net) == [
        ("stem", "conv", None),
        *block_rows("layer1.0"),
        *block_rows("layer1.1"),
        ("layer1", "stage", None),
        *block_rows("layer2.0", downsample=True),
        *block_rows("layer2.1"),
        ("layer2", "stage", None),
        ("pool", "pool", None),
        ("fc", "fc", None),
    ]
    assert net.layer("layer2.0.add").kind == "add"
    assert net.layer("layer2.0").kind == "Block"
    assert default_names(net) == ["layer1.0", "layer1.1", "layer2.0", "layer2.1", "pool", "fc"]


def test_blocks_written_in_one_forward_are_found_by_data_flow(make_net):
    net = make_net("flat")
    assert rows(net) == [
        ("conv1", "conv", None),
        ("relu", "activation", None),
        ("conv2", "conv", "block1"),
        ("add", "residual_sum", "block1"),
        ("relu@2", "activation", "block1"),
        ("conv3", "conv", "block2"),
        ("prelu", "activation", "block2"),
        ("add@2", "residual_sum", "block2"),
        ("mean", "pool", None),
        ("fc", "fc", None),
    ]
    # The first block ends in the ReLU after its sum, the second in its sum.
    assert default_names(net) == ["relu", "relu@2", "add@2", "mean", "fc"]


def test_concatenations_make_blocks_that_are_not_residual(make_net):
    net = make_net("inception", head="embedding")
    assert rows(net)[1:9] == [
        ("mixed1.a", "conv", None),
        ("mixed1.b.0", "conv", None),
        ("mixed1.b.1", "activation", None),
        ("mixed1.b.2", "conv", None),
        ("mixed1.b", "stage", None),
        ("mixed1.max_pool2d", "pool", None),
        ("mixed1.cat", "concat", None),
        ("mixed1", "block", None),
    ]
    assert rows(net)[-3:] == [
        ("adaptive_avg_pool2d", "pool", None),
        ("fc", "fc", None),
        ("normalize", "embedding", None),
    ]
    # Pools and convolutions inside blocks stay inside.
    assert default_names(net) == ["stem", "mixed1", "mixed2", "adaptive_avg_pool2d", "fc", "normalize"]


def test_max_feature_maps_as_functions_and_as_a_module(make_net):
    net = make_net("mfm", head="embedding")
    assert rows(net) == [
        ("mfm1.filter", "conv", None),
        ("mfm1.max", "max_feature_map", None),
        ("mfm1", "stage", None),
        ("pool", "pool", None),
        ("conv2", "conv", None),
        ("halves", "max_feature_map", None),
        ("fc", "fc", None),
        ("max", "embedding", None),
    ]
    assert default_names(net) == ["mfm1.max", "pool", "halves", "fc", "max"]


def test_token_and_position_are_no_residual_sum(make_net):
    net = make_net("attention", head="embedding")
    names = {name: role for name, role, _ in rows(net)}
    assert names["cat"] == "other"
    assert names["add"] == "other"
    assert names["blocks.0.softmax"] == "softmax"
    assert names["blocks.0.add"] == names["blocks.0.add@2"] == "residual_sum"
    assert names["blocks.2"] == "block"
    # The token is taken out by indexing, which is no layer: the output is made one.
    assert rows(net)[-1] == ("output", "embedding", None)
    assert net.layer("output").shape == (8,)
    assert default_names(net) == ["blocks.0", "blocks.1", "blocks.2", "output"]


def test_repeated_separable_convolutions_are_blocks(make_net):
    net = make_net("separable")
    assert [name for name, role, _ in rows(net) if role == "block"] == ["stage.0", "stage.1", "stage.2"]
    assert net.layer("stem").role == "stage"
    assert default_names(net) == ["stage.0", "stage.1", "stage.2", "mean", "fc"]


def test_a_block_of_functions_alone_is_opened(make_net):
    net = make_net("functions")
    assert rows(net) == [
        ("inner.conv2d", "conv", "inner"),
        ("inner.relu", "activation", "inner"),
        ("inner.conv2d@2", "conv", "inner"),
        ("inner.add", "residual_sum", "inner"),
        ("inner", "block", "inner"),
        ("mul", "other", None),
        ("amax", "pool", None),
    ]


def test_a_shared_module_counts_its_calls_and_a_name_is_given_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh())
            self.sigmoid = nn.Sigmoid()

        def forward(self, x):
            return F.sigmoid(self.sigmoid(self.body(self.body(x))))

    net = FaceNetwork(Twice(), NetworkCard(name="twice", input_size=(6, 6)))
    assert [layer.name for layer in net.layers] == [
        "body.0",
        "body.1",
        "body",
        "body.0@2",
        "body.1@2",
        "body@2",
        "sigmoid",
        "sigmoid@2",
    ]
    x = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    found = net.activations(x, ["body", "body@2", "sigmoid", "sigmoid@2"])
    once = net.module.body(x)
    torch.testing.assert_close(found["body"], once)
    torch.testing.assert_close(found["body@2"], net.module.body(once))
    torch.testing.assert_close(found["sigmoid@2"], found["sigmoid"].sigmoid())


def test_sums_that_are_not_residual():
    class Sums(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.bias = nn.Parameter(torch.ones(1, 3, 4, 4))

        def forward(self, x):
            y = self.conv(x) + self.bias  # with a parameter
            y = y + 1  # with a number
            y = y + y.mean((2, 3), keepdim=True)  # of another shape
            return y + y  # with itself

    net = FaceNetwork(Sums(), NetworkCard(name="sums", input_size=(4, 4)))
    assert [layer.role for layer in net.layers if layer.kind == "add"] == ["other"] * 3 + ["embedding"]
    assert {layer.block for layer in net.layers} == {None}


def test_outputs_that_are_no_activations_are_no_layers():
    class Odd(nn.Module):
        class Pair(nn.Module):
            def forward(self, x):
                return x * 2, {"half": x / 2}

        def __init__(self):
            super().__init__()
            self.pair = self.Pair()
            self.gru = nn.GRU(4, 4)

        def forward(self, x):
            a, b = self.pair(x)
            sequence, _ = self.gru(
                (a + b["half"]).flatten(1, 2).transpose(0, 1)
            )  # positions first, then the batch
            return {"scores": sequence.argmax(-1)}

    net = FaceNetwork(Odd(), NetworkCard(name="odd", input_size=(4, 4), head="features"))
    assert rows(net) == [("add", "residual_sum", "block1")]


def test_attention_module_of_torch_gives_its_wrapper_the_role():
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(3, 1, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x)[0]

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.wrapper = Wrapper()

        def forward(self, x):
            return self.wrapper(x.flatten(2).transpose(1, 2)).mean(1)

    net = FaceNetwork(Model(), NetworkCard(name="mha", input_size=(4, 4)))
    assert rows(net) == [
        ("wrapper.attention", "attention", None),
        ("wrapper", "attention", None),
        ("mean", "embedding", None),
    ]
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = net.activations(x, ["wrapper.attention", "wrapper"])
    assert found["wrapper.attention"].shape == (2, 16, 3)
    assert torch.equal(found["wrapper.attention"], found["wrapper"])


def test_the_transformer_encoder_of_torch():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, 4)
            self.encoder = nn.TransformerEncoder(
                nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False
            )

        def forward(self, x):
            return self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(1)

    net = FaceNetwork(Model(), NetworkCard(name="encoder", input_size=(8, 8)))
    inside = [f"encoder.layers.{i}" for i in (0, 1)]
    assert [layer.block for layer in net.layers if layer.role == "attention"] == inside
    assert [net.layer(name).role for name in inside] == ["block", "block"]
    x = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    # Without gradients torch would run a fused kernel that calls none of these.
    with torch.no_grad():
        found = net.activations(x, [f"{inside[0]}.self_attn", f"{inside[0]}.linear1"])
    assert [tuple(t.shape) for t in found.values()] == [(3, 4, 8), (3, 4, 16)]


def test_a_custom_autograd_function_does_not_cut_the_flow():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    class Doubling(nn.Module):
        def forward(self, x):
            return Double.apply(x)

    net = FaceNetwork(
        nn.Sequential(nn.Conv2d(3, 2, 1), Doubling(), nn.ReLU()), NetworkCard(name="d", input_size=(4, 4))
    )
    assert [layer.name for layer in net.layers] == ["0", "1", "2"]


def test_a_parametrised_convolution_is_one_layer():
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 2, 1)), nn.ReLU())
    net = FaceNetwork(module, NetworkCard(name="wn", input_size=(4, 4)))
    assert [(layer.name, layer.role) for layer in net.layers] == [("0", "conv"), ("1", "embedding")]


def test_misspelt_layer_offers_the_nearest(make_net):
    with pytest.raises(
        LayerError, match=r"'residual' has no layer 'layer1.0.con1'; did you mean 'layer1.0.conv1'"
    ):
        make_net("residual").layer("layer1.0.con1")


def test_a_module_that_gives_a_tuple_is_no_layer_and_says_so():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(x), x

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.two = Two()

        def forward(self, x):
            first, second = self.two(x)
            return first + second

    net = FaceNetwork(Outer(), NetworkCard(name="outer", input_size=(4, 4)))
    with pytest.raises(
        LayerError,
        match=r"'two' is a module of 'outer' but no layer: it gives a tuple.*there are: 'two.relu', 'add'",
    ):
        net.layer("two")


def test_a_card_that_does_not_fit_the_module_says_so():
    module = nn.Sequential(nn.Flatten(), nn.Linear(10, 2))
    net = FaceNetwork(module, NetworkCard(name="bad", input_size=(8, 8)))
    with pytest.raises(
        NetworkError, match=r"'bad' cannot run on one image of shape \(1, 3, 8, 8\).*check input_size"
    ):
        _ = net.layers
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in module.modules())


def test_listing_does_not_run_hooks_into_the_random_state(make_net):
    net = make_net("residual")
    net.module.train()
    state = torch.get_rng_state()
    _ = net.layers
    assert torch.equal(state, torch.get_rng_state())
    assert all(m.training for m in net.module.modules())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.module.modules())
