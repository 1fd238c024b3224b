"""MobileFaceNet with ReLU6: a face verifier of 1 M parameters for 112x112 faces."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from fusiform.networks._card import NetworkCard

if TYPE_CHECKING:
    from fusiform.networks._spec import Spec

# Expansion, channels, repeats, stride of the first.
PLAN = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))

PAPER = (
    "Chen, Liu, Gao, Han (2018): MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile "
    "Devices. CCBR."
)


def conv_bn_relu6(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution that keeps the size (but for its stride), batch norm, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class DepthwiseSeparable(nn.Module):
    """Depthwise, then pointwise convolution, each with batch norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        x = self.relu(self.bn1(self.depthwise(x)))
        out: Tensor = self.relu(self.bn2(self.pointwise(x)))
        return out


class GlobalDepthwise(nn.Module):
    """One weight a position and channel instead of an average over positions."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, size, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer."""
        out: Tensor = self.bn(self.depthwise(x))
        return out


class InvertedResidual(nn.Module):
    """Wide in the middle, no activation at the end, added to its input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.connect = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            conv_bn_relu6(inputs, wide, 1),
            conv_bn_relu6(wide, wide, 3, stride, groups=wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        out: Tensor = self.conv(x)
        return x + out if self.connect else out


class MobileFaceNetReLU6(nn.Module):
    """From a face, (n, 3, 112, 112), to an embedding, (n, outputs).

    Parameters
    ----------
    outputs : int, default 128
        Length of the embedding.
    """

    def __init__(self, outputs: int = 128) -> None:
        super().__init__()
        self.conv1 = conv_bn_relu6(3, 64, 3, stride=2)
        self.dw_conv = DepthwiseSeparable(64)
        blocks: list[nn.Module] = []
        channels = 64
        for expansion, width, repeats, stride in PLAN:
            for i in range(repeats):
                blocks.append(InvertedResidual(channels, width, stride if i == 0 else 1, expansion))
                channels = width
        self.features = nn.Sequential(*blocks)
        self.conv2 = conv_bn_relu6(channels, 512, 1)
        self.gdconv = GlobalDepthwise(512, (7, 7))
        self.conv3 = nn.Conv2d(512, outputs, 1)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Embed faces."""
        x = self.features(self.dw_conv(self.conv1(x)))
        out: Tensor = self.bn(self.conv3(self.gdconv(self.conv2(x))))
        return out.flatten(1)


def build(
    spec: "Spec", state: dict[str, Tensor] | None
) -> tuple[nn.Module, NetworkCard, dict[str, Tensor] | None]:
    """Build the network and its card."""
    card = NetworkCard(
        name="mobilefacenet_relu6",
        input_size=(112, 112),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        alignment="arcface_112",
        licence="published weights (foamliu/MobileFaceNet): Apache-2.0; the terms of the training faces apply besides",
        paper=PAPER,
        description="Published weights: ArcFace on refined MS-Celeb-1M, 85,164 people, who include many of CelebA "
        "and LFW; MS-Celeb-1M was withdrawn by its publisher.",
    )
    return MobileFaceNetReLU6(), card, state
