"""Small networks of the kinds that face people use, at 32 px, with random weights that let signals through."""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.optional import require

OUTPUTS = 6


class Residual(nn.Module):
    """Sums made inside ``forward``, in place, and one rectifier used throughout."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv1, self.norm1 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16)
        self.conv2, self.norm2 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.down, self.norm3 = nn.Conv2d(8, 16, 1, stride=2, bias=False), nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.norm(self.stem(x))))
        out = self.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        out += self.norm3(self.down(x))
        return self.fc(self.relu(out).mean(dim=(2, 3)))


class WithPReLU(nn.Module):
    """Depthwise convolutions, PReLU, an identity shortcut, a normalised embedding, as MobileFaceNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = (
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.PReLU(8),
        )
        self.depthwise, self.norm1 = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8)
        self.act1, self.pointwise = nn.PReLU(8), nn.Conv2d(8, 8, 1)
        self.whole = nn.Conv2d(8, 8, 16, groups=8)
        self.fc, self.norm2 = nn.Linear(8, OUTPUTS), nn.BatchNorm1d(OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.conv(x)))
        x = x + self.pointwise(self.act1(self.norm1(self.depthwise(x))))
        return self.norm2(self.fc(self.whole(x).flatten(1)))


class MaxFeatureMap(nn.Module):
    """The greater of two halves of the channels, as LightCNN."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 16, 5, padding=2), nn.Conv2d(8, 16, 3, padding=1)
        self.fc, self.last = nn.Linear(8 * 8 * 8, 2 * OUTPUTS), nn.Linear(OUTPUTS, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.conv1, self.conv2):
            first, second = conv(x).chunk(2, dim=1)
            x = F.max_pool2d(torch.max(first, second), 2)
        first, second = self.fc(x.flatten(1)).split(OUTPUTS, dim=1)
        return self.last(torch.maximum(first, second))


def _plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, OUTPUTS),
    )


def _transformer() -> nn.Module:
    return require("timm", extra="zoo").create_model(
        "vit_tiny_patch16_224",
        img_size=32,
        patch_size=8,
        depth=2,
        embed_dim=32,
        num_heads=2,
        num_classes=OUTPUTS,
    )


KINDS: dict[str, Callable[[], nn.Module]] = {
    "plain": _plain,
    "residual": Residual,
    "prelu": WithPReLU,
    "max_feature_map": MaxFeatureMap,
    "transformer": _transformer,
}


def make(kind: str, dtype: torch.dtype = torch.float32) -> FaceNetwork:
    """A network of this kind; the global random state is left alone."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        module = KINDS[kind]()
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, std=0.2)
                nn.init.normal_(part.running_mean, std=0.2)
                nn.init.uniform_(part.running_var, 0.5, 1.5)
            elif isinstance(part, nn.PReLU):
                nn.init.uniform_(part.weight, 0.1, 0.4)
    return FaceNetwork(module.to(dtype), NetworkCard(name=kind, input_size=(32, 32), head="embedding"))


@cache
def shared(kind: str) -> FaceNetwork:
    """One network of this kind for all tests that leave it as it is."""
    return make(kind)


def inputs(n: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Smooth inputs within the card's range."""
    random = torch.Generator().manual_seed(seed)
    small = torch.rand(n, 3, 8, 8, generator=random, dtype=dtype) * 2 - 1
    return F.interpolate(small, size=32, mode="bilinear")
