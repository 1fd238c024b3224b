"""Small networks beside the same networks as graphs of dense layers."""

import numpy as np
import torch
from tests.reference.backward import dense
from tests.reference.propagation import Graph
from torch import nn

from fusiform.networks import FaceNetwork, NetworkCard


def wrapped(module, size=(6, 5), **card):
    """A FaceNetwork in double precision, evaluating."""
    given = {"name": "small", "input_size": size, "head": "embedding"} | card
    return FaceNetwork(module.double().eval(), NetworkCard(**given))


def drawn(module, seed=0, *, constants=True):
    """Random weights and statistics of batch norms; without constants no function adds anything of its own."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        for name, tensor in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
            if not tensor.is_floating_point():
                continue
            draw = torch.randn(tensor.shape, generator=generator)
            if name == "running_var":
                tensor.data = draw.abs() + 0.5
            elif isinstance(part, nn.PReLU):
                tensor.data = draw * 0.5
            elif name in ("bias", "running_mean", "in_proj_bias"):
                tensor.data = draw * 0.3 if constants else torch.zeros_like(tensor)
            elif tensor.dim() > 1:
                tensor.data = draw / tensor[0].numel() ** 0.5 * 1.5
            else:
                tensor.data = draw
    return module


class Branches(nn.Module):
    """A stem whose PReLU output is used twice, a sum written in forward, a maximum of halves, a mean."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4))
        self.act = nn.PReLU(4)
        self.side = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.wide = nn.Conv2d(4, 6, 1, bias=False)
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        x = self.act(self.stem(x))
        out = self.side(x)
        out += x
        a, b = self.wide(out).chunk(2, dim=1)
        return self.fc(torch.max(a, b).mean((2, 3)))

    def graph(self, x):
        """The same for one image like `x`."""
        stem = dense(self.stem, x)
        with torch.no_grad():
            y = self.stem(x[None])[0]
            places = y[0].numel()
            wide, wide_offset = dense(self.wide, y)
        half = 3 * places
        slopes = self.act.weight.detach().view(-1, 1).expand(-1, places).flatten().numpy()
        fc = (self.fc.weight.detach().numpy(), self.fc.bias.detach().numpy())
        return Graph(
            [
                ("input", (), None),
                ("affine", (0,), stem),
                ("prelu", (1,), slopes),
                ("affine", (2,), dense(self.side, y)),
                ("add", (3, 2), None),
                ("affine", (4,), (wide[:half], wide_offset[:half])),
                ("affine", (4,), (wide[half:], wide_offset[half:])),
                ("maximum", (5, 6), None),
                ("mean", (7,), [list(range(c * places, (c + 1) * places)) for c in range(3)]),
                ("affine", (8,), fc),
            ]
        )


def summed(relevance, x):
    """Channels of a flat relevance summed."""
    return np.asarray(relevance).reshape(x.shape).sum(0)
