"""MobileNetV1 of width 0.25 with leaky ReLU: an ImageNet classifier, and the trunk of RetinaFace detectors."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from fusiform.errors import SpecError, WeightsError
from fusiform.networks._card import NetworkCard

if TYPE_CHECKING:
    from fusiform.networks._spec import Spec

_SLOPE = 0.1
_PAPER = (
    "Howard et al. (2017): MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications. "
    "arXiv:1704.04861."
)


def conv_bn(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return a 3x3 convolution, batch norm, leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(_SLOPE, inplace=True),
    )


def conv_dw(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return a depthwise 3x3, then a pointwise convolution, each with batch norm and leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.LeakyReLU(_SLOPE, inplace=True),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(_SLOPE, inplace=True),
    )


class MobileNetV1(nn.Module):
    """From an image, (n, 3, 224, 224), to class scores, (n, classes), or to features of three stages.

    Parameters
    ----------
    classes : int, default 1000
        Number of classes; 0 leaves pooling and classifier out, and the output is stage 3.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            conv_bn(3, 8, 2),
            conv_dw(8, 16, 1),
            conv_dw(16, 32, 2),
            conv_dw(32, 32, 1),
            conv_dw(32, 64, 2),
            conv_dw(64, 64, 1),
        )
        self.stage2 = nn.Sequential(conv_dw(64, 128, 2), *(conv_dw(128, 128, 1) for _ in range(5)))
        self.stage3 = nn.Sequential(conv_dw(128, 256, 2), conv_dw(256, 256, 1))
        self.classes = classes
        if classes:
            self.avg = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images."""
        x = self.stage3(self.stage2(self.stage1(x)))
        if not self.classes:
            return x
        out: Tensor = self.fc(self.avg(x).flatten(1))
        return out


def build(
    spec: "Spec", state: dict[str, Tensor] | None
) -> tuple[nn.Module, NetworkCard, dict[str, Tensor] | None]:
    """Build the network and its card; ``trunk=body`` takes the trunk out of a detector's weights."""
    trunk = spec.take("trunk")
    if trunk is None:
        card = NetworkCard(
            name="mobilenetv1_025",
            input_size=(224, 224),
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            head="logits",
            licence="published weights (bubbliiiing/retinaface-pytorch): MIT",
            paper=_PAPER,
            description="Width 0.25. Published weights: ImageNet, 1,000 classes, top-1 46.6%.",
        )
        return MobileNetV1(), card, state
    if trunk != "body":
        raise SpecError(f"Option 'trunk' of network '{spec.text}' can only be 'body'; got '{trunk}'.")
    if state is not None:
        state = {n.removeprefix("body."): t for n, t in state.items() if n.startswith("body.")}
        if not state:
            raise WeightsError(
                f"The weights of '{spec.text}' hold nothing under 'body.'; trunk=body is for RetinaFace detectors."
            )
    card = NetworkCard(
        name="retinaface_mobilenetv1_025",
        input_size=(224, 224),
        mean=(104.0, 117.0, 123.0),
        std=(1.0,),
        value_range=(0.0, 255.0),
        head="features",
        licence="published weights (bubbliiiing/retinaface-pytorch, foamliu/MobileFaceNet): MIT, Apache-2.0",
        paper=f"{_PAPER} Deng et al. (2020): RetinaFace: Single-shot Multi-level Face Localisation in the Wild. CVPR.",
        description="Trunk of a face detector, fine-tuned from ImageNet on WIDER FACE; any input size. The weights of "
        "foamliu/MobileFaceNet want channels=bgr.",
    )
    return MobileNetV1(classes=0), card, state
