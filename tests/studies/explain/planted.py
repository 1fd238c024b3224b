"""Faces whose parts lie in fixed places, and networks that read one of them."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from fusiform.faces import PARTS8, Attribute, FaceSet
from fusiform.networks import FaceNetwork, NetworkCard

SIZE = 32
# Four by two squares of 8 pixels, one a part.
PLACES = {
    name: (slice(8 * (k // 4) + 8, 8 * (k // 4) + 16), slice(8 * (k % 4), 8 * (k % 4) + 8))
    for k, name in enumerate(PARTS8)
}


class Reads(nn.Module):
    """Reads the mean of rows and columns of one part alone."""

    def __init__(self, part: str = "mouth", outputs: int = 8) -> None:
        super().__init__()
        self.place = PLACES[part]
        self.head = nn.Linear(48, outputs)
        with torch.no_grad():
            self.head.weight.copy_(torch.randn(outputs, 48, generator=torch.Generator().manual_seed(0)))
            self.head.bias.copy_(
                torch.linspace(-1, 1, outputs)
            )  # or a grey face has an embedding of length 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        own = x[:, :, self.place[0], self.place[1]]
        return self.head(torch.cat([own.mean(dim=2), own.mean(dim=3)], dim=1).flatten(1))


def network(head: str = "embedding", **card) -> FaceNetwork:
    outputs = 3 if head == "logits" else 8
    known = {"name": "reads", "input_size": (SIZE, SIZE), "head": head, "threshold": 0.5} | card
    return FaceNetwork(Reads(outputs=outputs), NetworkCard(**known))


def faces(people: int = 3, each: int = 2, seed: int = 0) -> FaceSet:
    """Smooth colours; images of a person differ a little, and people much."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), each)
    base = rng.uniform(0, 255, (people, 3, 4, 4))[who] + rng.normal(0, 12, (len(who), 3, 4, 4))
    coarse = torch.from_numpy(base).clamp(0, 255)
    images = nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear").round().to(torch.uint8)
    masks = {}
    for name, place in PLACES.items():
        masks[name] = torch.zeros(len(who), SIZE, SIZE, dtype=torch.bool)
        masks[name][:, *place] = True
    table = pd.DataFrame({"image_id": [f"p{k}_{i % each}" for i, k in enumerate(who)]})
    table["identity"] = [f"p{k}" for k in who]
    schema = {"identity": Attribute("identity")}
    return FaceSet.from_arrays(images, table, schema, masks=masks, name="squares")
