"""Small sets of made-up pictures: coloured squares, men with a bright bar below, eyeglasses a dark bar above."""

import numpy as np
import pandas as pd
import torch

from fusiform.faces import Attribute, FaceSet
from fusiform.studies.planted_bias._request import PlantedBiasRequest

TINY = {
    "network": "resnet10?width=4&variant=small",
    "train_images": 40,
    "test_images": 24,
    "epochs": 2,
    "repeats": 1,
    "percents": ("50", "100"),
}


def request(**options):
    return PlantedBiasRequest.from_mapping(TINY | options)


def coloured(n=120, seed=0, people=None, bar=90, size=64):
    rng = np.random.default_rng(seed)
    male, worn = rng.permutation(np.arange(n) % 2 == 0), rng.permutation(np.arange(n) % 2 == 0)
    hues = rng.choice([[200, 60, 60], [60, 200, 60], [60, 60, 200]], n)
    images = hues[:, :, None, None] + rng.normal(0, 12, (n, 3, size, size))
    images[male, :, 48:56, 8:56] += bar
    images[worn, :, 14:20, 6:58] = 10
    table = pd.DataFrame(
        {
            "Male": pd.array(male, dtype="boolean"),
            "Eyeglasses": pd.array(worn, dtype="boolean"),
            "age": rng.uniform(20, 60, n),
        }
    )
    schema = {"Male": Attribute("binary"), "Eyeglasses": Attribute("binary"), "age": Attribute("continuous")}
    if people is not None:
        table["identity"] = pd.Series([f"p{k % people}" for k in range(n)], dtype="string")
        schema["identity"] = Attribute("identity")
    pixels = torch.from_numpy(images.clip(0, 255).astype(np.uint8))
    return FaceSet.from_arrays(pixels, table, schema, name="coloured")
