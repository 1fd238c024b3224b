"""The demo network: a small residual network that tells synthetic faces apart, with its past."""

import hashlib
import json
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from fusiform.errors import WeightsError, nearest

if TYPE_CHECKING:
    from fusiform.networks import FaceNetwork

__all__ = ["CHECKPOINTS", "DemoNet", "ResidualBlock", "build", "load", "metrics"]

_WIDTHS = (16, 32, 56, 96)
_BLOCKS = (1, 2, 2, 1)
_EMBEDDING = 64


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a way past them.

    Parameters
    ----------
    channels_in, channels_out : int
        Widths.
    stride : int, default 1
        Of the first convolution; with it, or with a change of width, the way past is a 1 x 1 convolution.

    References
    ----------
    He et al. (2016), Deep residual learning, section 3.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Add what the convolutions give to what comes past them.

        Parameters
        ----------
        x : float tensor, shape (n, channels_in, h, w)
            The input.

        Returns
        -------
        float tensor, shape (n, channels_out, h / stride, w / stride)
            Not negative.
        """
        y = self.relu1(self.norm1(self.conv1(x)))
        return self.relu2(self.norm2(self.conv2(y)) + self.shortcut(x))


class DemoNet(nn.Module):
    """A residual network of under 0.3 million parameters for RGB faces of 112 x 112 pixels.

    ``stem`` halves the image, ``stage1`` to ``stage4`` (16, 32, 56 and 96 channels at 56, 28, 14 and 7
    pixels) hold 1, 2, 2 and 1 residual blocks, ``pool`` averages, ``embedding`` is linear.

    Examples
    --------
    >>> import torch
    >>> net = DemoNet()
    >>> net(torch.zeros(2, 3, 112, 112)).shape
    torch.Size([2, 64])
    >>> sum(p.numel() for p in net.parameters()) < 300_000
    True
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, _WIDTHS[0], 3, 2, 1, bias=False), nn.BatchNorm2d(_WIDTHS[0]), nn.ReLU()
        )
        self.stage1 = _stage(_WIDTHS[0], _WIDTHS[0], _BLOCKS[0], stride=1)
        self.stage2 = _stage(_WIDTHS[0], _WIDTHS[1], _BLOCKS[1], stride=2)
        self.stage3 = _stage(_WIDTHS[1], _WIDTHS[2], _BLOCKS[2], stride=2)
        self.stage4 = _stage(_WIDTHS[2], _WIDTHS[3], _BLOCKS[3], stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.embedding = nn.Linear(_WIDTHS[3], _EMBEDDING)

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 64"]:
        """Give the embeddings.

        Parameters
        ----------
        x : float tensor, shape (n, 3, h, w)
            Faces in [-1, 1].

        Returns
        -------
        float tensor, shape (n, 64)
            Compared by cosine.
        """
        x = self.stem(x)
        x = self.stage4(self.stage3(self.stage2(self.stage1(x))))
        return self.embedding(self.flatten(self.pool(x)))


def _stage(channels_in: int, channels_out: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = ResidualBlock(channels_in, channels_out, stride)
    return nn.Sequential(first, *(ResidualBlock(channels_out, channels_out) for _ in range(blocks - 1)))


def build() -> nn.Module:
    """Build the demo network with fresh random weights.

    Returns
    -------
    DemoNet
        In training mode, as every fresh module.

    Examples
    --------
    >>> type(build()).__name__
    'DemoNet'
    """
    return DemoNet()


def _folder() -> Traversable:
    return files("fusiform.networks") / "data" / "demo"


def _shipped() -> tuple[int, ...]:
    folder = _folder()
    if not folder.is_dir():
        return ()
    names = (f.name for f in folder.iterdir() if f.name.endswith(".safetensors"))
    return tuple(sorted(int(name.removeprefix("step_").removesuffix(".safetensors")) for name in names))


CHECKPOINTS: tuple[int, ...] = _shipped()
"""Training steps whose weights are shipped, rising: the first is 0, the last is the demo network itself."""


def metrics() -> dict[str, Any]:
    """Say how the shipped weights were made and how well they do.

    Returns
    -------
    dict
        Verification AUC on unseen identities, checkpoints with theirs, faces, recipe, versions.

    Raises
    ------
    WeightsError
        If no weights are shipped with this copy.
    """
    _require_shipped()
    return json.loads((_folder() / "demo.json").read_text(encoding="utf-8"))


def load(checkpoint: int | None = None) -> "FaceNetwork":
    """Load the demo network, or one of its earlier selves.

    Parameters
    ----------
    checkpoint : int, optional
        One of `CHECKPOINTS`, the training step; by default the last.

    Returns
    -------
    FaceNetwork
        In evaluation mode.

    Raises
    ------
    WeightsError
        If there is no such checkpoint, or no weights are shipped with this copy.

    Examples
    --------
    >>> load(checkpoint=0).card.name
    'demo@0'
    """
    from fusiform.networks import FaceNetwork, NetworkCard

    _require_shipped()
    step = CHECKPOINTS[-1] if checkpoint is None else checkpoint
    if step not in CHECKPOINTS:
        raise WeightsError(
            f"The demo network has no checkpoint of step {step}; {nearest(str(step), map(str, CHECKPOINTS))}"
        )
    with as_file(_folder() / f"step_{step:07d}.safetensors") as path:
        weights = load_file(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    module = build()
    # Shipped in half precision, computed in single.
    module.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    made = metrics()
    card = NetworkCard(
        name="demo" if step == CHECKPOINTS[-1] else f"demo@{step}",
        input_size=(112, 112),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        channels="rgb",
        alignment=None,
        head="embedding",
        threshold=made["threshold"] if step == CHECKPOINTS[-1] else None,
        licence="Apache-2.0",
        weights_digest=digest,
        description=(
            f"A small residual network after {step} training steps on synthetic faces alone "
            f"({made['training']['identities']} made-up people, {made['training']['images']} images; no "
            "photograph of anyone). Synthetic faces come framed and need no alignment."
        ),
    )
    return FaceNetwork(module.eval(), card)


def _require_shipped() -> None:
    if not CHECKPOINTS:
        raise WeightsError(
            "This copy of fusiform holds no weights of the demo network. Make them: fusiform train --network "
            "demo --recipe demo --out DIR, and copy DIR/data/* to fusiform/networks/data/demo/."
        )
