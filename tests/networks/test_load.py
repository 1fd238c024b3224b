"""Specifications: what each opens, and what each misspelling says."""

import sys
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fusiform.errors import NetworkError, SpecError, WeightsError
from fusiform.networks import FaceNetwork, NetworkCard, load_network
from fusiform.networks.zoo import NAMES


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("", SpecError, "named by a text such as 'demo'"),
        (None, SpecError, "got None"),
        (
            "mobilefacenet_relu",
            SpecError,
            "no network 'mobilefacenet_relu'; did you mean 'mobilefacenet_relu6'",
        ),
        ("tim:resnet18", SpecError, "no network 'tim:'; did you mean 'timm:'"),
        ("timm:resnet81", SpecError, "timm has no model 'resnet81'; did you mean 'resnet18'"),
        ("timm:", SpecError, "timm has no model ''"),
        ("mobilenetv1?weights", SpecError, "Option 'weights' .* is not of the form key=value"),
        ("mobilenetv1?head=a&head=b", SpecError, "has the option 'head' twice"),
        ("mobilenetv1?wieghts=a.pt", SpecError, "has no option 'wieghts'; did you mean 'weights'"),
        ("mobilenetv1?trunk=tail", SpecError, "can only be 'body'; got 'tail'"),
        ("mobilenetv1?input=big", SpecError, "heightxwidth, such as 112x96; got 'big'"),
        ("mobilenetv1?mean=0.5,x", SpecError, "numbers with commas between; got '0.5,x'"),
        ("mobilenetv1?mean=0.5,0.4", SpecError, "2 numbers as mean; expected 1 or 3"),
        ("mobilenetv1?channels=hsv", SpecError, "expected 'rgb', 'bgr' or 'grey'"),
        ("mobilenetv1?weights=/nowhere/a.pt", WeightsError, "'/nowhere/a.pt' cannot be read"),
        ("mobilefacenet_prelu?outputs=many", SpecError, "'outputs' .* must be a whole number; got 'many'"),
        ("mobilefacenet_prelu?input=100x96", SpecError, "multiples of 16; got 128 and 100x96"),
        ("mini_xception?classes=0", SpecError, "at least 1"),
        ("onnx:/nowhere/a.onnx", WeightsError, "no ONNX file '/nowhere/a.onnx'"),
        ("onnx:a.onnx?weights=b.pt", SpecError, "an ONNX file holds its own"),
        ("demo?weights=a.pt", SpecError, "has no option 'weights'; there are: 'checkpoint', 'name'"),
        ("demo?chekpoint=0", SpecError, "did you mean 'checkpoint'"),
        ("python:nothing", SpecError, "not of the form python:module:factory"),
        ("python:no_such_module:make", SpecError, "no Python module 'no_such_module' in the current folder"),
    ],
)
def test_wrong_specifications_say_what_is_wrong(spec, error, message):
    with pytest.raises(error, match=message):
        load_network(spec)


@pytest.mark.parametrize("name", NAMES)
def test_zoo_networks_run_and_are_seeded(name):
    state = torch.get_rng_state()
    net, again = load_network(name), load_network(name)
    assert torch.equal(state, torch.get_rng_state())
    assert net.digest() == again.digest()
    assert net.card.name.endswith(" (random weights)")
    assert net.card.weights_digest == ""
    assert net.card.licence
    assert net.card.paper
    images = torch.randint(
        0, 256, (2, 3, 120, 100), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        out = net(net.prepare(images))
    assert out.shape[0] == 2
    assert torch.isfinite(out).all()
    assert net.default_layers()


def test_zoo_layers_are_found():
    net = load_network("mobilefacenet_relu6")
    defaults = [layer.name for layer in net.default_layers()]
    assert defaults == [*(f"features.{i}" for i in range(15)), "bn"]
    assert net.layer("bn").role == "embedding"
    residual = [layer.block for layer in net.layers if layer.role == "residual_sum"]
    # Stride 2 (0, 5 and 12) adds nothing.
    assert residual == [f"features.{i}" for i in range(15) if i not in (0, 5, 12)]
    assert net.layer("features.5").role == "block"
    assert net.layer("features.5").block is None
    mini = load_network("mini_xception")
    assert [layer.name for layer in mini.default_layers()] == [*(f"blocks.{i}" for i in range(4)), "avg"]
    # TensorFlow's "same": 60, 30, 15, 8, 4.
    assert [mini.layer(f"blocks.{i}").shape[1:] for i in range(4)] == [(30, 30), (15, 15), (8, 8), (4, 4)]


def test_tensorflow_same_padding_against_arithmetic():
    from fusiform.networks.zoo.mini_xception import _same_padding

    x = torch.randn(1, 2, 7, 10, generator=torch.Generator().manual_seed(0))
    pooled = F.max_pool2d(_same_padding(x), 3, 2)
    assert pooled.shape == (1, 2, 4, 5)
    # Odd side: windows start one before the first row. Even side: at the first column.
    assert torch.equal(pooled[..., 0, 0], x[..., 0:2, 0:3].amax((2, 3)))
    assert torch.equal(pooled[..., 3, 4], x[..., 5:7, 8:10].amax((2, 3)))
    assert torch.equal(pooled[..., 1, 1], x[..., 1:4, 2:5].amax((2, 3)))


def test_options_overwrite_the_card():
    net = load_network(
        "mobilenetv1?input=96x80&mean=0.1,0.2,0.3&std=2&channels=bgr&range=0,255&head=features"
        "&alignment=celeba_224&name=mine&threshold=0.4"
    )
    card = net.card
    assert (card.name, card.input_size, card.channels, card.value_range) == (
        "mine",
        (96, 80),
        "bgr",
        (0.0, 255.0),
    )
    assert (card.mean, card.std, card.head) == ((0.1, 0.2, 0.3), (2.0, 2.0, 2.0), "features")
    assert (card.alignment, card.threshold) == ("celeba_224", 0.4)


def test_weights_of_the_zoo_round_trip_and_choose_the_head(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        from fusiform.networks.zoo.mini_xception import MiniXception

        module = MiniXception(2)
    torch.save(
        {"state_dict": {f"module.{n}": t for n, t in module.state_dict().items()}}, tmp_path / "sex.pt"
    )
    net = load_network(f"mini_xception?weights={tmp_path / 'sex.pt'}")
    assert net.card.classes == ("woman", "man")
    assert net.card.name == "mini_xception_sex"
    assert len(net.card.weights_digest) == 64
    assert all(torch.equal(a, b) for a, b in zip(net.module.parameters(), module.parameters(), strict=True))
    with pytest.raises(WeightsError, match=r"do not fit 'mobilenetv1_025': .* missing .* unexpected"):
        load_network(f"mobilenetv1?weights={tmp_path / 'sex.pt'}")
    with pytest.raises(WeightsError, match=r"head\.weight is 2x128x3x3, expected 7x128x3x3"):
        load_network(f"mini_xception?classes=7&weights={tmp_path / 'sex.pt'}")


def test_the_landmark_variant_and_the_detector_trunk(tmp_path):
    net = load_network("mobilefacenet_prelu?outputs=136&input=112x112")
    assert (net.card.head, net.card.input_size, net.card.channels) == ("landmarks", (112, 112), "bgr")
    assert net.layers[-1].shape == (136, 1, 1)
    trunk = load_network("mobilenetv1?trunk=body")
    assert trunk.card.head == "features"
    detector = {f"body.{n}": t for n, t in trunk.module.state_dict().items()} | {"fpn.w": torch.zeros(3)}
    torch.save(detector, tmp_path / "detector.pth")
    loaded = load_network(f"mobilenetv1?trunk=body&weights={tmp_path / 'detector.pth'}")
    assert loaded.digest() == trunk.digest()
    torch.save({"fpn.w": torch.zeros(3)}, tmp_path / "detector.pth")
    with pytest.raises(WeightsError, match=r"hold nothing under 'body\.'"):
        load_network(f"mobilenetv1?trunk=body&weights={tmp_path / 'detector.pth'}")


def test_timm_models_have_their_own_card_and_layers():
    pytest.importorskip("timm")
    net = load_network("timm:resnet18?num_classes=3&input=64x64")
    assert net.card.name == "resnet18 (random weights)"
    assert net.card.mean == (0.485, 0.456, 0.406)
    assert net.card.head == "logits"
    defaults = [layer.name for layer in net.default_layers()]
    blocks = [f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1)]
    assert defaults == ["maxpool", *blocks, "global_pool.pool", "fc"]
    assert net.layer("layer2.0.downsample.0").block == "layer2.0"
    assert load_network("timm:resnet18?num_classes=3&input=64x64").digest() == net.digest()


def test_vision_transformer():
    pytest.importorskip("timm")
    net = load_network("timm:vit_tiny_patch16_224?num_classes=0")
    assert net.card.head == "embedding"
    roles = {layer.name: layer.role for layer in net.layers}
    assert roles["patch_embed.proj"] == "conv"
    assert roles["add"] == "other"  # positions
    assert roles["blocks.3.attn.scaled_dot_product_attention"] == "attention"
    assert roles["blocks.3.attn"] == "attention"
    assert roles["blocks.3.add"] == roles["blocks.3.add@2"] == "residual_sum"
    assert net.layer("blocks.3.mlp.fc1").block == "blocks.3"
    assert [layer.name for layer in net.default_layers()] == [*(f"blocks.{i}" for i in range(12)), "output"]
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = net.activations(x, ["blocks.3.add", "blocks.3.mlp", "blocks.3", "output"])
        # The second sum of a block adds its MLP to the first sum.
        torch.testing.assert_close(found["blocks.3"], found["blocks.3.add"] + found["blocks.3.mlp"])
        torch.testing.assert_close(torch.nn.functional.normalize(found["output"]), net.embed(x))


class OnnxStyle(nn.Module):
    """A residual network with PReLU, a maximum, a concatenation and a matrix that is no layer."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.prelu1 = nn.PReLU(8)
        self.bn = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.prelu2 = nn.PReLU(8)
        self.conv3 = nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(16, 5)
        self.matrix = nn.Parameter(torch.randn(5, 4))

    def forward(self, x):
        x = self.prelu1(self.bn(self.conv1(x)))
        x = x + self.prelu2(self.conv2(x))
        x = torch.cat([torch.max(self.conv3(x), x), x], 1)
        return F.relu6(self.fc(x.mean((2, 3)))) @ self.matrix


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    pytest.importorskip("onnx2torch")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = OnnxStyle().eval()
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    for name, axes in ((path, {0: "n"}), (path.with_name("any.onnx"), {0: "n", 2: "h", 3: "w"})):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                torch.zeros(1, 3, 12, 10),
                name,
                dynamo=False,
                opset_version=17,
                input_names=["x"],
                dynamic_axes={"x": axes},
            )
    return module, path


def test_onnx_round_trip(exported):
    module, path = exported
    net = load_network(f"onnx:{path}?mean=0.2&std=0.3&channels=bgr")
    assert (net.card.name, net.card.input_size, net.card.channels) == ("net", (12, 10), "bgr")
    assert net.card.mean == (0.2, 0.2, 0.2)
    x = torch.randn(3, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(net(x), module(x))
        roles = [(layer.role, layer.block) for layer in net.layers]
        assert roles == [
            ("conv", None),  # the batch norm is folded into it
            ("activation", None),
            ("conv", "block1"),
            ("activation", "block1"),
            ("residual_sum", "block1"),
            ("conv", None),
            ("max_feature_map", None),
            ("concat", None),
            ("pool", None),
            ("fc", None),
            ("activation", None),
            ("embedding", None),
        ]
        names = [layer.name for layer in net.layers]
        found = net.activations(x, names)
        first = module.prelu1(module.bn(module.conv1(x)))
        total = first + module.prelu2(module.conv2(first))
        torch.testing.assert_close(found[names[1]], first)
        torch.testing.assert_close(found[names[4]], total)
        torch.testing.assert_close(
            found[names[7]], torch.cat([torch.max(module.conv3(total), total), total], 1)
        )
    assert names[4] in [layer.name for layer in net.default_layers()]


def test_the_random_control_of_an_onnx_graph_forgets_its_buffers_too(exported):
    net = load_network(f"onnx:{exported[1]}")
    control = net.randomized()
    weights = {n: b for n, b in net.module.named_buffers() if b.is_floating_point() and b.numel() > 1}
    assert any(b.shape == (5, 4) for b in weights.values())
    redrawn = dict(control.module.named_buffers())
    slopes = [n for n, b in weights.items() if b.std() == 0]
    assert all(torch.equal(redrawn[n], b) == (n in slopes) for n, b in weights.items())


def test_onnx_graphs_of_any_size_need_one(exported, tmp_path):
    any_size = exported[1].with_name("any.onnx")
    with pytest.raises(SpecError, match=r"images of any size; say which, as in 'onnx:.*\?input=112x112'"):
        load_network(f"onnx:{any_size}")
    assert load_network(f"onnx:{any_size}?input=16x20").card.input_size == (16, 20)
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(any_size.read_bytes()[:100])
    with pytest.raises((WeightsError, NetworkError), match=r"cut\.onnx"):
        load_network(f"onnx:{cut}")


def test_onnx_graphs_with_channels_last_are_told(tmp_path):
    pytest.importorskip("onnx2torch")

    class Last(nn.Module):
        def forward(self, x):
            return x.permute(0, 3, 1, 2).mean((2, 3))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Last(), torch.zeros(1, 12, 10, 3), tmp_path / "n.onnx", dynamo=False, opset_version=17
        )
    with pytest.raises(NetworkError, match=r"shape \(1, 12, 10, 3\), so 12 channels; .* channels first"):
        load_network(f"onnx:{tmp_path / 'n.onnx'}")


FACTORIES = """
from torch import nn
from fusiform.networks import FaceNetwork, NetworkCard

def plain():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def carded():
    module = plain()
    module.card = {"input_size": (20, 10), "head": "logits"}
    return module

def whole():
    return FaceNetwork(plain(), NetworkCard(name="whole", input_size=(9, 9)))

def number():
    return 3

def failing():
    raise OSError("no disk")

def miscarded():
    module = plain()
    module.card = {"inputsize": (20, 10)}
    return module
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "my_networks_for_tests.py").write_text(FACTORIES)
    (tmp_path / "broken_for_tests.py").write_text("import no_such_package_at_all\n")
    monkeypatch.chdir(tmp_path)
    yield "my_networks_for_tests"
    sys.modules.pop("my_networks_for_tests", None)


def test_a_function_of_ones_own(own_module, tmp_path):
    path = list(sys.path)
    net = load_network(f"python:{own_module}:plain?input=16x16&head=embedding")
    assert sys.path == path
    assert isinstance(net, FaceNetwork)
    assert net.card == NetworkCard(name="plain", input_size=(16, 16))
    assert net.digest() == load_network(f"python:{own_module}:plain").digest()
    assert load_network(f"python:{own_module}:carded").card.input_size == (20, 10)
    assert load_network(f"python:{own_module}:whole").card.name == "whole"
    torch.save(net.randomized(7).module.state_dict(), tmp_path / "w.pt")
    loaded = load_network(f"python:{own_module}:plain?weights=w.pt")
    assert loaded.digest() == net.randomized(7).digest()
    assert loaded.card.weights_digest


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        ("plan", SpecError, "has no function 'plan'; did you mean 'plain'"),
        ("number", NetworkError, r"number\(\) returned a int; expected a torch.nn.Module"),
        ("miscarded", NetworkError, r"'card' of what .* has no field 'inputsize'; did you mean 'input_size'"),
        ("failing", NetworkError, r"failing\(\) failed \(OSError: no disk\); it is called without arguments"),
    ],
)
def test_functions_that_give_no_network(own_module, factory, error, message):
    with pytest.raises(error, match=message):
        load_network(f"python:{own_module}:{factory}")
    with pytest.raises(NetworkError, match=r"'broken_for_tests' cannot be imported .*no_such_package_at_all"):
        load_network("python:broken_for_tests:make")


def test_devices_that_are_not_there():
    with pytest.raises(NetworkError, match="cannot be put on the device 'nonsense'"):
        load_network("mini_xception", device="nonsense")
