"""mini-XCEPTION: 57 thousand parameters for emotion or sex from a small grey face."""

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from fusiform.errors import SpecError
from fusiform.networks._card import NetworkCard

if TYPE_CHECKING:
    from fusiform.networks._spec import Spec

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SEXES = ("woman", "man")
_EPS = 1e-3  # as in the Keras network from which published weights come


class Separable(nn.Module):
    """Depthwise 3x3, then pointwise convolution, nothing between."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.dw = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pw = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer."""
        out: Tensor = self.pw(self.dw(x))
        return out


class Block(nn.Module):
    """Two separable convolutions and max pooling, added to a strided 1x1 convolution of the input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.res = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)
        self.rbn = nn.BatchNorm2d(outputs, eps=_EPS)
        self.s1 = Separable(inputs, outputs)
        self.b1 = nn.BatchNorm2d(outputs, eps=_EPS)
        self.relu = nn.ReLU()
        self.s2 = Separable(outputs, outputs)
        self.b2 = nn.BatchNorm2d(outputs, eps=_EPS)
        self.pool = nn.MaxPool2d(3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        y = self.b2(self.s2(self.relu(self.b1(self.s1(x)))))
        y = self.pool(_same_padding(y))
        out: Tensor = y + self.rbn(self.res(x))
        return out


def _same_padding(x: Tensor) -> Tensor:
    """Pad for a 3x3 window of stride 2 as TensorFlow's "same": even sides at the end only, odd ones at both."""
    height, width = x.shape[2:]
    top, left = height % 2, width % 2
    return F.pad(x, (left, 1, top, 1), value=float("-inf"))


class MiniXception(nn.Module):
    """From a grey face, (n, 1, 64, 64), to class scores before softmax, (n, classes).

    Parameters
    ----------
    classes : int, default 7
        Number of classes.
    """

    def __init__(self, classes: int = 7) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 8, 3, bias=False)
        self.n1 = nn.BatchNorm2d(8, eps=_EPS)
        self.c2 = nn.Conv2d(8, 8, 3, bias=False)
        self.n2 = nn.BatchNorm2d(8, eps=_EPS)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential(Block(8, 16), Block(16, 32), Block(32, 64), Block(64, 128))
        self.head = nn.Conv2d(128, classes, 3, padding=1)
        self.avg = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """Classify faces."""
        x = self.relu(self.n1(self.c1(x)))
        x = self.relu(self.n2(self.c2(x)))
        out: Tensor = self.avg(self.head(self.blocks(x)))
        return out.flatten(1)


def build(
    spec: "Spec", state: dict[str, Tensor] | None
) -> tuple[nn.Module, NetworkCard, dict[str, Tensor] | None]:
    """Build the network and its card; the head's weights, or ``classes=2``, choose between emotion and sex."""
    asked = spec.take_int("classes")
    head = (state or {}).get("head.weight")
    classes = asked if asked is not None else len(head) if head is not None else len(EMOTIONS)
    if classes < 1:
        raise SpecError(f"Option 'classes' of network '{spec.text}' must be at least 1.")
    sex = classes == len(SEXES)
    known = {len(SEXES): SEXES, len(EMOTIONS): EMOTIONS}
    card = NetworkCard(
        name="mini_xception_sex" if sex else "mini_xception",
        input_size=(64, 64),
        channels="grey",
        mean=(0.5,),
        std=(0.5,),
        alignment="wide_64" if sex else "fer_64",
        head="logits",
        classes=known.get(classes),
        licence="published weights (oarriaga/face_classification): MIT; the terms of the training faces apply besides",
        paper="Arriaga, Valdenegro-Toro, Plöger (2019): Real-time Convolutional Neural Networks for Emotion and "
        "Gender Classification. ESANN.",
        description="Published weights: "
        + (
            "IMDB faces, labels woman and man; wants a wide crop with hair."
            if sex
            else "FER2013, seven emotions."
        ),
    )
    return MiniXception(classes), card, state
