import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fusiform.faces import Attribute, FaceSet
from fusiform.networks import FaceNetwork, NetworkCard


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder with real faces and networks; tests that need it skip, saying so, where it is absent."""
    given = os.environ.get("FUSIFORM_REALDATA")
    beside = Path(__file__).resolve().parents[2] / "shared" / "realdata"
    folder = Path(given) if given else beside
    if not (folder / "images").is_dir():
        pytest.skip(f"real faces and networks are not there: no '{folder}/images' (set FUSIFORM_REALDATA)")
    return folder


@pytest.fixture(scope="session")
def planted_faces() -> FaceSet:
    """600 images, 60 people, in which what is to be found is drawn: a dark bar, a bright bar, a slope of light."""
    rng = np.random.default_rng(0)
    n, people, size = 600, 60, 48
    who = rng.permutation(np.arange(n) % people)
    colours = rng.uniform(110, 145, (people, 3, 4, 4))
    images = np.kron(colours[who], np.ones((12, 12))) + rng.normal(0, 12, (n, 3, size, size))
    glasses, smiling = rng.random(n) < 0.3, rng.random(n) < 0.5
    yaw = rng.uniform(-30, 30, n)
    images[glasses, :, 16:20, 6:42] = 20
    images[smiling, :, 36:40, 14:34] = 235
    images += 2.0 * yaw[:, None, None, None] * np.linspace(-1, 1, size)
    table = pd.DataFrame(
        {
            "identity": pd.Series([f"p{k:02d}" for k in who], dtype="string"),
            "Eyeglasses": pd.array(glasses, dtype="boolean"),
            "Smiling": pd.array(smiling, dtype="boolean"),
            "shuffled": pd.array(rng.permutation(glasses), dtype="boolean"),
            "yaw": yaw,
            "noise": rng.normal(size=n),
        }
    )
    schema = {
        "identity": Attribute(kind="identity"),
        "Eyeglasses": Attribute(kind="binary"),
        "Smiling": Attribute(kind="binary"),
        "shuffled": Attribute(kind="binary"),
        "yaw": Attribute(kind="continuous", unit="deg"),
        "noise": Attribute(kind="continuous"),
    }
    return FaceSet.from_arrays(
        torch.from_numpy(images.clip(0, 255).astype(np.uint8)), table, schema, name="planted"
    )


class _Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stage1 = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3, 2, 1), torch.nn.ReLU())
        self.stage2 = torch.nn.Sequential(torch.nn.Conv2d(6, 8, 3, 2, 1), torch.nn.ReLU(inplace=True))
        self.pool = torch.nn.AdaptiveAvgPool2d(3)
        self.fc = torch.nn.Linear(72, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.stage2(self.stage1(x))).flatten(1))


@pytest.fixture(scope="session")
def small_net() -> FaceNetwork:
    """A plain network with random weights, which still see bars and slopes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FaceNetwork(_Small(), NetworkCard(name="small", input_size=(48, 48)))
