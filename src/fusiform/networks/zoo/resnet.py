"""ResNets of any width, with torchvision's names of weights, and a variant for small faces that keeps positions."""

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from fusiform.errors import SpecError
from fusiform.networks._card import NetworkCard

if TYPE_CHECKING:
    from fusiform.networks._spec import Spec

PAPER = "He, Zhang, Ren, Sun (2016): Deep Residual Learning for Image Recognition. CVPR."
_VARIANTS = ("plain", "small")


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class Basic(nn.Module):
    """Two 3x3 convolutions, added to their input."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        out: Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return out


class Bottleneck(nn.Module):
    """1x1, 3x3 (which has the stride) and 1x1 convolution to four times the width, added to their input."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        out: Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return out


# Block and blocks a stage, by depth; 10 is the smallest that has four stages.
PLANS: dict[int, tuple[type[Basic] | type[Bottleneck], tuple[int, int, int, int]]] = {
    10: (Basic, (1, 1, 1, 1)),
    18: (Basic, (2, 2, 2, 2)),
    34: (Basic, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


class ResNet(nn.Module):
    """From a face, (n, 3, height, width), to its pooled features, or to class scores before softmax.

    Parameters
    ----------
    depth : int, default 50
        Number of layers with weights, one of `PLANS`.
    width : int, default 64
        Channels of the first stage; every further stage has twice as many.
    variant : {"plain", "small"}, default "plain"
        ``"plain"``: as published, a 7x7 convolution of stride 2 and max pooling first; 7 x 7 positions are left of 224
        pixels. ``"small"``: a 3x3 convolution of stride 2 alone first, and no stride in the last stage; 8 x 8 positions
        are left of 64 pixels.
    classes : int, default 0
        Number of classes; 0 leaves the classifier out.
    """

    def __init__(self, depth: int = 50, width: int = 64, variant: str = "plain", classes: int = 0) -> None:
        super().__init__()
        block, repeats = PLANS[depth]
        plain = variant == "plain"
        kernel = 7 if plain else 3
        self.conv1 = nn.Conv2d(3, width, kernel, 2, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if plain else nn.Identity()
        channels = width
        for stage, (n_blocks, stride) in enumerate(zip(repeats, (1, 2, 2, 2 if plain else 1), strict=True)):
            blocks: list[nn.Module] = []
            for i in range(n_blocks):
                blocks.append(block(channels, width << stage, 1 if i else stride))
                channels = (width << stage) * block.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes) if classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Embed or classify faces."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        out: Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return out


def build(
    spec: "Spec", state: dict[str, Tensor] | None
) -> tuple[nn.Module, NetworkCard, dict[str, Tensor] | None]:
    """Build ``resnet18?width=32&variant=small&classes=2`` and its card; shapes of weights say what is not given."""
    depth = int(spec.target.removeprefix("resnet"))
    width, classes, variant = spec.take_int("width"), spec.take_int("classes"), spec.take("variant")
    if variant not in (None, *_VARIANTS):
        raise SpecError(
            f"Option 'variant' of network '{spec.text}' must be {' or '.join(_VARIANTS)}; got '{variant}'."
        )
    if width == 0:
        raise SpecError(f"Option 'width' of network '{spec.text}' must be at least 1; got 0.")
    first, last = ((state or {}).get(name) for name in ("conv1.weight", "fc.weight"))
    if first is not None and first.ndim == 4:
        width = width or len(first)
        variant = variant or ("plain" if first.shape[-1] == 7 else "small")
    width, variant = width or 64, variant or "plain"
    if classes is None:
        classes = 0 if last is None else len(last)
    if state is not None and not classes:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    card = NetworkCard(
        name=f"resnet{depth}" if width == 64 else f"resnet{depth}_w{width}",
        input_size=(224, 224) if variant == "plain" else (64, 64),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        head="logits" if classes else "embedding",
        licence="published weights (torchvision): BSD-3-Clause; the terms of the training images apply besides",
        paper=PAPER,
        description="Weights have torchvision's names."
        + (
            " Variant for small faces: a 3x3 stem without pooling, no stride in the last stage."
            if variant == "small"
            else ""
        ),
    )
    return ResNet(depth, width, variant, classes), card, state
