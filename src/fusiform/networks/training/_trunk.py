from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from fusiform.errors import NetworkError, SpecError, nearest
from fusiform.optional import require

if TYPE_CHECKING:
    from fusiform.networks import FaceNetwork

TrunkSource = str | Callable[[], nn.Module]


def source_name(network: TrunkSource) -> str:
    """Name what is trained, for the record.

    Parameters
    ----------
    network : str or callable
        A specification, or a factory of modules.

    Returns
    -------
    str
        The specification, or the factory's qualified name.
    """
    if isinstance(network, str):
        return network
    return f"{getattr(network, '__module__', '')}:{getattr(network, '__qualname__', type(network).__name__)}"


def build_trunk(network: TrunkSource, seed: int) -> nn.Module:
    """Build a network with fresh weights that ends in its embedding.

    Parameters
    ----------
    network : str or callable
        ``"demo"``, ``"timm:NAME"`` (without its classifier), any other specification that
        `fusiform.networks.load_network` takes, or a function without arguments that returns a module.
    seed : int
        Of the weights.

    Returns
    -------
    nn.Module
        Takes (n, 3, h, w), returns (n, d).

    Raises
    ------
    SpecError
        If the specification names weights or no network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if callable(network):
            return network()
        if "weights=" in network or "checkpoint=" in network:
            raise SpecError(
                f"'{network}' names weights, but training begins with fresh ones. Leave them out; to train "
                "weights on, pass a function that returns the module."
            )
        if network == "demo":
            from fusiform.networks.zoo import demo

            return demo.build()
        if network.startswith("timm:"):
            return _timm(network.removeprefix("timm:"))
        from fusiform.networks import load_network

        loaded: FaceNetwork = load_network(network)
        return loaded.randomized(seed).module


def _timm(name: str) -> nn.Module:
    timm = require("timm", extra="zoo")
    if not timm.is_model(name):
        raise SpecError(f"timm has no network '{name}'; {nearest(name, timm.list_models())}")
    return timm.create_model(name, pretrained=False, num_classes=0)


def embedding_size(trunk: nn.Module, input_size: tuple[int, int], name: str) -> int:
    """Find how long the embedding is.

    Parameters
    ----------
    trunk : nn.Module
        The network.
    input_size : (int, int)
        Height and width it is shown.
    name : str
        What to call it in an error.

    Returns
    -------
    int
        Its output's second axis.

    Raises
    ------
    NetworkError
        If it cannot be run at that size, or returns something else than (n, d).
    """
    mode = trunk.training
    trunk.eval()
    try:
        with torch.no_grad():
            output = trunk(torch.zeros(2, 3, *input_size))
    except RuntimeError as error:
        raise NetworkError(
            f"The network '{name}' does not run on images of {input_size[0]} x {input_size[1]} pixels: "
            f"{error}"
        ) from error
    finally:
        trunk.train(mode)
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != 2:
        got = f"shape {tuple(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise NetworkError(
            f"The network '{name}' must return one embedding an image, shape (n, d), to be trained; got {got} "
            "for n = 2. Flatten or pool its output."
        )
    return output.shape[1]
