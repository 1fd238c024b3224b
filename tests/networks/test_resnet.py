"""ResNets of the zoo: torchvision's plan and names, the variant for small faces, and what weights say."""

import pytest
import torch

from fusiform.errors import SpecError, WeightsError
from fusiform.networks import find_role, load_network
from fusiform.networks.zoo.resnet import ResNet

# Published numbers of parameters of torchvision's networks with 1000 classes.
PARAMETERS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032}


@pytest.mark.parametrize("depth", PARAMETERS)
def test_as_many_parameters_as_published(depth):
    with torch.device("meta"):
        net = ResNet(depth, classes=1000)
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS[depth]
    names = list(net.state_dict())
    assert names[0] == "conv1.weight"
    assert names[-2:] == ["fc.weight", "fc.bias"]
    assert {"layer1.0.conv1.weight", "layer4.1.bn2.running_var", "layer2.0.downsample.0.weight"} <= set(names)


def test_small_keeps_positions_where_plain_loses_them():
    shapes = {
        variant: [
            find_role(
                load_network(f"resnet10?width=4&variant={variant}&input=64"), f"second_to_last_conv:stage{k}"
            ).shape
            for k in (1, 2, 3, 4)
        ]
        for variant in ("plain", "small")
    }
    assert shapes["plain"] == [(4, 16, 16), (8, 8, 8), (16, 4, 4), (32, 2, 2)]
    assert shapes["small"] == [(4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 8, 8)]


def test_layers_of_a_bottleneck():
    net = load_network("resnet50?width=4&variant=small")
    assert net.layer("layer4.2").shape == (4 * 8 * 4, 8, 8)
    assert net.layer("layer4.2").role == "block"
    assert sum(layer.role == "residual_sum" for layer in net.layers) == 16
    assert net.card.head == "embedding"


def test_weights_say_what_is_not_asked(tmp_path):
    net = load_network("resnet10?width=3&variant=small&classes=2")
    torch.save(net.module.state_dict(), tmp_path / "w.pt")
    again = load_network(f"resnet10?weights={tmp_path / 'w.pt'}")
    assert again.digest() == net.digest()
    assert (again.card.head, again.card.input_size, again.card.name) == ("logits", (64, 64), "resnet10_w3")
    bare = load_network(f"resnet10?classes=0&weights={tmp_path / 'w.pt'}")
    assert bare.card.head == "embedding"
    x = bare.prepare(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    with torch.no_grad():
        assert torch.allclose(net.module.fc(bare(x)), again(x), atol=1e-6)
    with pytest.raises(WeightsError, match=r"do not fit 'resnet18_w3': .* missing"):
        load_network(f"resnet18?weights={tmp_path / 'w.pt'}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "resnet18?variant=tiny",
            "'variant' of network 'resnet18.variant=tiny' must be plain or small; got 'tiny'",
        ),
        ("resnet18?width=0", "'width' of network 'resnet18.width=0' must be at least 1; got 0"),
        ("resnet18?witdh=3", "no option 'witdh'"),
        ("resnet19", "no network 'resnet19'; did you mean"),
    ],
)
def test_errors_name_the_option(spec, message):
    with pytest.raises(SpecError, match=message):
        load_network(spec)
