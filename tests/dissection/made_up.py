"""Dictionaries and networks made by hand, for which what is to be found is known."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, NetworkCard


@dataclass
class MadeUp:
    """What dissection asks of a Face Dictionary."""

    faces: FaceSet
    concepts: SimpleNamespace
    present: pd.DataFrame
    known: pd.DataFrame
    groups: pd.DataFrame
    all_masks: torch.Tensor
    name: str = "made up"

    def masks(self, rows):
        return self.all_masks[torch.as_tensor(np.asarray(rows))]

    def on(self, faces):
        return replace(self, faces=faces)


def made_up(faces, masks, regions, *, known=None, present=None, categories=()):
    """Concepts c0, c1 ... with masks (n, c, h, w); categories are (name, groups, threshold, numbers)."""
    names = [f"c{k}" for k in range(masks.shape[1])]
    local = tuple(
        SimpleNamespace(name=name, kind="part", region=region)
        for name, region in zip(names, regions, strict=True)
    )
    masks = torch.as_tensor(np.asarray(masks))
    present = masks.flatten(2).any(dim=2).numpy() if present is None else present
    known = np.ones_like(present) if known is None else known
    return MadeUp(
        faces=faces,
        concepts=SimpleNamespace(
            local=local,
            categories=tuple(
                SimpleNamespace(name=c[0], groups=tuple(c[1]), threshold=c[2]) for c in categories
            ),
        ),
        present=pd.DataFrame(present, columns=names),
        known=pd.DataFrame(known, columns=names),
        groups=pd.DataFrame({c[0]: c[3] for c in categories}),
        all_masks=masks,
    )


class Colours(torch.nn.Module):
    """Units that know: red, green, blue, one that never varies, and one of brightness; then random ones."""

    def __init__(self, random, pool):
        super().__init__()
        weights = torch.tensor(
            [[1.0, -0.5, -0.5], [-0.5, 1, -0.5], [-0.5, -0.5, 1], [0, 0, 0], [0.33, 0.33, 0.33]]
        )
        generator = torch.Generator().manual_seed(0)
        self.units = torch.nn.Conv2d(3, 5 + random, 1, bias=False)
        with torch.no_grad():
            self.units.weight.copy_(
                torch.cat([weights, torch.randn(random, 3, generator=generator)])[..., None, None]
            )
        self.relu = torch.nn.ReLU()
        self.pool = torch.nn.AvgPool2d(pool)
        self.vector = torch.nn.Linear(5 + random, 3)

    def forward(self, x):
        x = self.pool(self.relu(self.units(x)))
        return self.vector(x.mean(dim=(2, 3)))


def colour_network(size=48, random=3, pool=4):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return FaceNetwork(Colours(random, pool), NetworkCard(name="colours", input_size=(size, size)))


def coloured_faces(n=80, size=48, seed=0):
    """Grey noise on which patches of pure colour lie, here or there, in some images; and their masks."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 190, (n, 1, size, size)).repeat(3, axis=1) + rng.integers(
        -20, 20, (n, 3, size, size)
    )
    light = rng.random(n) < 0.5
    images[light] = images[light] + 50
    masks = np.zeros((n, 3, size, size), dtype=bool)
    for i in range(n):
        for colour in range(3):
            if rng.random() < 0.5:
                y, x = rng.integers(0, size - 14, 2)
                masks[i, colour, y : y + 14, x : x + 12] = True
        for colour in range(3):
            # Of many shades, so that the brightest half percent of a unit is a part of its patches.
            images[i][:, masks[i, colour]] = np.eye(3)[colour][:, None] * rng.integers(
                150, 255, masks[i, colour].sum()
            )
        # What lies below another patch is not seen.
        masks[i, 0] &= ~(masks[i, 1] | masks[i, 2])
        masks[i, 1] &= ~masks[i, 2]
    return FaceSet.from_arrays(torch.from_numpy(images.clip(0, 255).astype(np.uint8))), masks, light
