"""MobileFaceNet with PReLU: a face verifier for 112x96 faces, and the same body for 68 landmarks."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from fusiform.errors import SpecError
from fusiform.networks._card import NetworkCard
from fusiform.networks._spec import size_from
from fusiform.networks.zoo.mobilefacenet_relu6 import PAPER, PLAN

if TYPE_CHECKING:
    from fusiform.networks._spec import Spec

_LANDMARKS = 136


class ConvUnit(nn.Module):
    """Convolution, batch norm and, unless linear, PReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int = 0,
        depthwise: bool = False,
        linear: bool = False,
    ) -> None:
        super().__init__()
        groups = inputs if depthwise else 1
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.linear = linear
        if not linear:
            self.prelu = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Run the unit."""
        out: Tensor = self.bn(self.conv(x))
        return out if self.linear else self.prelu(out)


class Bottleneck(nn.Module):
    """Wide in the middle, no activation at the end, added to its input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.connect = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        out: Tensor = self.conv(x)
        return x + out if self.connect else out


class MobileFaceNetPReLU(nn.Module):
    """From a face, (n, 3, height, width), to an embedding or to landmarks, (n, outputs).

    Parameters
    ----------
    outputs : int, default 128
        Length of the output.
    input_size : (int, int), default (112, 96)
        Height and width, multiples of 16.
    """

    def __init__(self, outputs: int = 128, input_size: tuple[int, int] = (112, 96)) -> None:
        super().__init__()
        self.conv1 = ConvUnit(3, 64, 3, stride=2, padding=1)
        self.dw_conv1 = ConvUnit(64, 64, 3, padding=1, depthwise=True)
        blocks: list[nn.Module] = []
        channels = 64
        for expansion, width, repeats, stride in PLAN:
            for i in range(repeats):
                blocks.append(Bottleneck(channels, width, stride if i == 0 else 1, expansion))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = ConvUnit(channels, 512, 1)
        size = (input_size[0] // 16, input_size[1] // 16)
        self.linear7 = ConvUnit(512, 512, size, depthwise=True, linear=True)
        self.linear1 = ConvUnit(512, outputs, 1, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        """Embed faces, or find their landmarks."""
        x = self.blocks(self.dw_conv1(self.conv1(x)))
        out: Tensor = self.linear1(self.linear7(self.conv2(x)))
        return out.flatten(1)


def build(
    spec: "Spec", state: dict[str, Tensor] | None
) -> tuple[nn.Module, NetworkCard, dict[str, Tensor] | None]:
    """Build the network and its card; options ``outputs`` and ``input`` choose the variant."""
    outputs = spec.take_int("outputs")
    outputs = 128 if outputs is None else outputs
    size = size_from(spec.options["input"], spec.text) if "input" in spec.options else (112, 96)
    if outputs < 1 or size[0] % 16 or size[1] % 16:
        raise SpecError(
            f"Network '{spec.text}' needs outputs of at least 1 and an input of multiples of 16; "
            f"got {outputs} and {size[0]}x{size[1]}."
        )
    module = MobileFaceNetPReLU(outputs, size)
    if outputs == _LANDMARKS:
        card = NetworkCard(
            name="mobilefacenet_landmark68",
            input_size=size,
            mean=(0.0,),
            std=(1.0,),
            channels="bgr",
            head="landmarks",
            licence="published weights (cunjian/pytorch_face_landmark): none stated",
            paper=PAPER,
            description="Published weights: 300W and further landmark sets. Outputs x1, y1, x2, y2 ... of the 68 iBUG "
            "points as fractions of the crop's side; the crop is square, 1.2 times the shorter side of the face box.",
        )
        return module, card, state
    card = NetworkCard(
        name="mobilefacenet_prelu",
        input_size=size,
        mean=(127.5,),
        std=(128.0,),
        value_range=(0.0, 255.0),
        alignment={(112, 96): "arcface_112x96", (112, 112): "arcface_112"}.get(size),
        licence="published weights (Xiaoccer/MobileFaceNet_Pytorch): none stated; "
        "the terms of the training faces apply besides",
        paper=PAPER,
        description="Published weights: CASIA-WebFace, people of public life, who include some of CelebA and LFW.",
    )
    return module, card, state
