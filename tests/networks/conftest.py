"""Small networks in every style that layers have to be found in."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fusiform.networks import FaceNetwork, NetworkCard


class Block(nn.Module):
    """A residual block whose ReLU is used twice and whose sum is made in forward, in the style asked for."""

    def __init__(self, inputs, outputs, style="+"):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.downsample = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.style = style

    def forward(self, x):
        out = self.conv2(self.relu(self.bn1(self.conv1(x))))
        identity = self.downsample(x)
        if self.style == "+":
            out = out + identity
        elif self.style == "+=":
            out += identity
        elif self.style == "torch.add":
            out = torch.add(out, identity)
        else:
            out.add_(identity)
        return self.relu(out)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.layer1 = nn.Sequential(Block(8, 8, "+"), Block(8, 8, "+="))
        self.layer2 = nn.Sequential(Block(8, 12, "torch.add"), Block(12, 12, "add_"))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        x = self.layer2(self.layer1(self.stem(x)))
        return self.fc(self.drop(torch.flatten(self.pool(x), 1)))


class Flat(nn.Module):
    """Two residual blocks written in one forward, with functional activations and PReLU."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.conv3 = nn.Conv2d(8, 8, 3, padding=1)
        self.prelu = nn.PReLU(8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(x + self.conv2(x))
        x = self.prelu(self.conv3(x)) + x
        return self.fc(x.mean((2, 3)))


class Inception(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.a = nn.Conv2d(inputs, 4, 1)
        self.b = nn.Sequential(nn.Conv2d(inputs, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))

    def forward(self, x):
        return torch.cat([self.a(x), self.b(x), F.max_pool2d(x, 3, 1, 1)], 1)


class Inceptions(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.mixed1 = Inception(4)
        self.mixed2 = Inception(12)
        self.fc = nn.Linear(20, 6)

    def forward(self, x):
        x = self.mixed2(self.mixed1(self.stem(x)))
        return F.normalize(self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1)))


class MaxFeatureMap(nn.Module):
    """Light CNN: a maximum of the two halves of a convolution's channels, as a module and as functions."""

    class Mfm(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.filter = nn.Conv2d(inputs, 2 * outputs, 3, padding=1)

        def forward(self, x):
            a, b = torch.split(self.filter(x), self.filter.out_channels // 2, 1)
            return torch.max(a, b)

    class Halves(nn.Module):
        def forward(self, x):
            a, b = x.chunk(2, 1)
            return torch.maximum(a, b)

    def __init__(self):
        super().__init__()
        self.mfm1 = self.Mfm(3, 4)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(4, 8, 3, padding=1)
        self.halves = self.Halves()
        self.fc = nn.Linear(4 * 64, 8)

    def forward(self, x):
        x = self.halves(self.conv2(self.pool(self.mfm1(x))))
        a, b = self.fc(x.flatten(1)).chunk(2, 1)
        return torch.max(a, b)


class Attention(nn.Module):
    """Attention written out, with a class token and positions that are parameters."""

    class Layer(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.norm = nn.LayerNorm(d)
            self.qkv = nn.Linear(d, 3 * d)
            self.mlp = nn.Sequential(nn.Linear(d, d), nn.GELU())

        def forward(self, x):
            q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
            x = x + (q @ k.transpose(1, 2)).softmax(-1) @ v
            return x + self.mlp(x)

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.position = nn.Parameter(torch.randn(1, 17, 8))
        self.blocks = nn.ModuleList(self.Layer(8) for _ in range(3))

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        for block in self.blocks:
            x = block(x)
        return x[:, 0]


class Separable(nn.Module):
    def __init__(self):
        super().__init__()

        def unit(i, o):
            return nn.Sequential(
                nn.Conv2d(i, i, 3, padding=1, groups=i), nn.ReLU(), nn.Conv2d(i, o, 1), nn.ReLU()
            )

        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.stage = nn.Sequential(unit(4, 6), unit(6, 6), unit(6, 8))
        self.fc = nn.Linear(8, 2)

    def forward(self, x):
        return self.fc(self.stage(self.stem(x)).mean(dim=[-2, -1]))


class Functions(nn.Module):
    """One module without children that is a block made of functions, inside another."""

    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.w1 = nn.Parameter(torch.randn(3, 3, 3, 3))
            self.w2 = nn.Parameter(torch.randn(3, 3, 3, 3))

        def forward(self, x):
            y = F.relu(F.conv2d(x, self.w1, padding=1))
            return x + F.conv2d(y, self.w2, padding=1)

    def __init__(self):
        super().__init__()
        self.inner = self.Inner()

    def forward(self, x):
        return (self.inner(x) * 2).amax((2, 3))


def plain():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.PReLU(6),
        nn.Flatten(),
        nn.Linear(6 * 25, 3),
        nn.Softmax(1),
    )


STYLES = {
    "plain": plain,
    "residual": Residual,
    "flat": Flat,
    "inception": Inceptions,
    "mfm": MaxFeatureMap,
    "attention": Attention,
    "separable": Separable,
    "functions": Functions,
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_net():
    """From a style's name to a FaceNetwork for 16x16 RGB images, with fixed random weights."""

    def make(style, *, head="logits", seed=0):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = STYLES[style]()
            for part in module.modules():
                if isinstance(part, nn.BatchNorm2d):
                    nn.init.normal_(part.running_mean, std=0.1)
                    nn.init.uniform_(part.running_var, 0.5, 2)
        return FaceNetwork(module, NetworkCard(name=style, input_size=(16, 16), head=head))

    make.styles = tuple(STYLES)
    return make


@pytest.fixture
def images():
    return torch.randint(
        0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
