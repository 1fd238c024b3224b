"""Networks that tell men from women, trained on biased sets."""

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from torch import nn

from fusiform.errors import SpecError
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, Layer, find_role, load_network
from fusiform.networks.training import train_multitask
from fusiform.networks.training._folder import write_tensors
from fusiform.networks.zoo.resnet import ResNet
from fusiform.runs import Progress
from fusiform.studies.planted_bias._request import PlantedBiasRequest

# The logit of being a man.
OUTPUT = "fc"


def untrained(request: PlantedBiasRequest) -> FaceNetwork:
    """The network before training, without a classifier."""
    if "weights=" in request.network or "classes=" in request.network:
        raise SpecError(
            "The network of this study is trained from fresh weights to tell two classes apart; leave weights= and "
            f"classes= out of '{request.network}'."
        )
    net = load_network(request.network)
    if not isinstance(net.module, ResNet):
        raise SpecError(
            "The network of this study must be a ResNet of the zoo, whose four stages are looked at, such as "
            f"'resnet10?width=24&variant=small'; got '{request.network}'."
        )
    return net


def stage_convolutions(net: FaceNetwork) -> dict[int, Layer]:
    """The second-to-last convolution of each of the four stages."""
    return {stage: find_role(net, f"second_to_last_conv:stage{stage}") for stage in (1, 2, 3, 4)}


def random_network(request: PlantedBiasRequest, seed: int) -> FaceNetwork:
    """The same architecture with random weights and a classifier, as a control."""
    return load_network(_with(request.network, "classes=1")).randomized(seed)


def open_trained(request: PlantedBiasRequest, path: Path) -> FaceNetwork:
    """A network that `train_network` wrote."""
    return load_network(_with(request.network, f"weights={quote(str(path))}"))


def train_network(
    net: FaceNetwork,
    faces: FaceSet,
    path: Path,
    scratch: Path,
    request: PlantedBiasRequest,
    seed: int,
    progress: Progress,
) -> None:
    """Train the network from fresh weights to tell the column Male, and write its weights to `path`.

    An interrupted training is continued from `scratch`, which is removed in the end.
    """
    labels = {"Male": ("binary", faces.table["Male"].to_numpy(dtype=np.float64))}
    result = train_multitask(
        net,
        faces,
        labels,
        np.arange(len(faces)),
        np.zeros(0, dtype=np.int64),
        scratch,
        start="scratch",
        epochs=request.epochs,
        seed=seed,
        memory_gb=request.memory_gb,
        progress=progress,
    )
    model: Any = result.model
    state = model.trunk.state_dict() | _classifier(model.head.norm, model.head.linear)
    write_tensors(path, state)
    shutil.rmtree(scratch)


def _classifier(norm: nn.BatchNorm1d, linear: nn.Linear) -> dict[str, torch.Tensor]:
    """The standardisation of features and the linear layer after it, as one linear layer."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight = linear.weight.detach() * (norm.running_var + norm.eps).rsqrt()
    return {f"{OUTPUT}.weight": weight, f"{OUTPUT}.bias": linear.bias.detach() - weight @ norm.running_mean}


def _with(spec: str, option: str) -> str:
    return f"{spec}{'&' if '?' in spec else '?'}{option}"
