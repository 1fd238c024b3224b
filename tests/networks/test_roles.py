"""Layers by the part they play, in networks of every kind."""

from importlib.util import find_spec

import pytest
import torch
from torch import nn

from fusiform.errors import LayerError, SpecError
from fusiform.networks import FaceNetwork, NetworkCard, find_role, find_roles, load_network

SECOND = "second_to_last_conv"
CONVS, BLOCKS = "convs:last_two_stages", "blocks:last_two_stages"


def names(net, role):
    return [layer.name for layer in find_roles(net, role)]


def face_net(module, side=32):
    return FaceNetwork(module, NetworkCard(name="made", input_size=(side, side)))


@pytest.mark.parametrize(
    ("spec", "stages", "last"),
    [
        ("demo", ["stage1.0.conv1", "stage2.1.conv1", "stage3.1.conv1", "stage4.0.conv1"], "stage4.0.conv1"),
        ("mobilefacenet_relu6", ["features.4.conv.1.0", "features.11.conv.1.0"], "features.14.conv.2"),
        ("mobilefacenet_prelu", ["blocks.4.conv.3", "blocks.11.conv.3"], "blocks.14.conv.6"),
        ("mini_xception", ["blocks.0.s2.dw", "blocks.1.s2.dw"], "blocks.3.s2.pw"),
        ("mobilenetv1", ["stage1.1.0", "stage1.3.0"], "stage3.1.0"),
        # The paper's presets: the first convolution of a stage's last block, in bottlenecks too.
        (
            "resnet50?width=4",
            [f"layer{k}.{n}.conv1" for k, n in enumerate((2, 3, 5, 2), 1)],
            "layer4.2.conv1",
        ),
        ("resnet18?width=4", [f"layer{k}.1.conv1" for k in (1, 2, 3, 4)], "layer4.1.conv1"),
        # No stride in the last stage, so the size alone would not part it from the one before.
        ("resnet18?width=4&variant=small", [f"layer{k}.1.conv1" for k in (1, 2, 3, 4)], "layer4.1.conv1"),
    ],
)
def test_second_to_last_convolutions(spec, stages, last):
    net = load_network(spec)
    assert find_role(net, SECOND).name == last
    assert [find_role(net, f"{SECOND}:stage{k}").name for k in range(1, len(stages) + 1)] == stages


def test_all_convolutions_and_blocks_of_the_last_two_stages_of_a_resnet50():
    net = load_network("resnet50?width=4")
    convs = [f"layer{k}.{b}.conv{c}" for k, n in ((3, 6), (4, 3)) for b in range(n) for c in (1, 2, 3)]
    assert names(net, CONVS) == convs  # no downsample
    assert names(net, BLOCKS) == [f"layer{k}.{b}" for k, n in ((3, 6), (4, 3)) for b in range(n)]


def test_what_a_training_wraps_is_recognised():
    trunk = load_network("resnet18?width=4&variant=small").module
    module = nn.Sequential()
    module.add_module("trunk", trunk)
    module.add_module("classifier", nn.Linear(32, 2))
    net = face_net(module)
    assert find_role(net, SECOND).name == "trunk.layer4.1.conv1"
    assert names(net, BLOCKS) == [f"trunk.layer{k}.{b}" for k in (3, 4) for b in (0, 1)]


class Conv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class InceptionBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch0 = Conv(8, 4)
        self.branch1 = nn.Sequential(Conv(8, 4), Conv(4, 4), Conv(4, 4))
        self.conv2d = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        return self.conv2d(torch.cat([self.branch0(x), self.branch1(x)], 1)) + x


class InceptionResNet(nn.Module):
    """The end of Inception-ResNet-v1, with the names of its usual port."""

    def __init__(self):
        super().__init__()
        self.stem = Conv(3, 8)
        self.repeat_2 = nn.Sequential(InceptionBlock(), InceptionBlock())
        self.pool = nn.MaxPool2d(2)
        self.repeat_3 = nn.Sequential(InceptionBlock(), InceptionBlock())
        self.block8 = InceptionBlock()

    def forward(self, x):
        x = self.block8(self.repeat_3(self.pool(self.repeat_2(self.stem(x)))))
        return x.mean((2, 3))


def test_inception_resnet():
    net = face_net(InceptionResNet(), 8)
    assert find_role(net, SECOND).name == "block8.branch1.2.conv"
    found = names(net, CONVS)
    # As in the paper: the five last blocks, without the stage before.
    assert {name.split(".")[0] for name in found} == {"repeat_3", "block8"}
    assert len(found) == 3 * 5


def test_timm_networks():
    if find_spec("timm") is None:
        pytest.skip("timm is not installed")
    assert find_role(load_network("timm:resnet18"), SECOND).name == "layer4.1.conv1"


def test_a_network_of_two_convolutions_of_different_size_has_a_second_to_last():
    net = face_net(
        nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3, 2), nn.AdaptiveAvgPool2d(1))
    )
    assert find_role(net, SECOND).name == "0"
    assert names(net, CONVS) == ["0", "2"]
    with pytest.raises(
        LayerError,
        match=r"no second-to-last convolution in stage 1: there is 1; its stages are 1\. 15x15 \(1 conv",
    ):
        find_role(net, f"{SECOND}:stage1")


def test_what_is_not_there():
    net = face_net(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4)), 8)
    with pytest.raises(
        LayerError, match=r"'made' has no second-to-last convolution: .* no convolution with maps was found"
    ):
        find_role(net, SECOND)
    with pytest.raises(LayerError, match=f"'made' has no convs for the role '{CONVS}'"):
        find_roles(net, CONVS)
    demo = load_network("demo")
    with pytest.raises(LayerError, match=r"in stage 9: there are 0; its stages are 1\. 56x56 .* 4\. 7x7"):
        find_role(demo, f"{SECOND}:stage9")
    with pytest.raises(
        SpecError, match="no role 'second_to_last_con' of a layer; did you mean 'second_to_last_conv'"
    ):
        find_role(demo, "second_to_last_con")
    with pytest.raises(SpecError, match="no role"):
        find_role(demo, "convs:stage2")
    with pytest.raises(SpecError, match="played by several layers; find_roles lists them"):
        find_role(demo, BLOCKS)
