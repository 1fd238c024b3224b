from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from fusiform.errors import NetworkError, SpecError, WeightsError, nearest
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
        The specification without weights, or the factory's qualified name.
    """
    if isinstance(network, str):
        return begun_from(network)[0]
    return f"{getattr(network, '__module__', '')}:{getattr(network, '__qualname__', type(network).__name__)}"


def begun_from(network: TrunkSource) -> tuple[str, dict[str, str] | None]:
    """Part a network's architecture from the weights it begins with.

    Parameters
    ----------
    network : str or callable
        A specification, or a factory of modules.

    Returns
    -------
    architecture : str
        The specification without weights, or the factory's name.
    start : dict or None
        File and sha256 of the weights; None where they are fresh, or the factory's business.

    Examples
    --------
    >>> begun_from("timm:resnet18?head=embedding")
    ('timm:resnet18?head=embedding', None)
    """
    if not isinstance(network, str):
        return source_name(network), None
    from fusiform.networks._spec import parse_spec
    from fusiform.networks._weights import file_digest

    path = parse_spec(network).options.get("weights")
    if path is None:
        return network, None
    body, _, query = network.strip().partition("?")
    rest = "&".join(pair for pair in query.split("&") if not pair.startswith("weights="))
    file = Path(path).expanduser()
    if not file.is_file():
        raise WeightsError(f"There are no weights '{path}', which '{network}' names.")
    return (f"{body}?{rest}" if rest else body), {"weights": path, "digest": file_digest(file)}


def build_trunk(network: TrunkSource, seed: int) -> nn.Module:
    """Build a network that ends in its embedding, with fresh weights or those that its specification names.

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
        If the specification names no network, or a checkpoint of the demo network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if callable(network):
            return network()
        if "checkpoint=" in network:
            raise SpecError(
                f"'{network}' names a checkpoint, but the demo network is trained from fresh weights. Leave it out."
            )
        from fusiform.networks import load_network
        from fusiform.networks._spec import parse_spec

        architecture, start = begun_from(network)
        if start is not None:
            return _begun(build_trunk(architecture, seed), load_network(network).module, network)
        if network == "demo":
            from fusiform.networks.zoo import demo

            return demo.build()
        if network.startswith("timm:"):
            return _timm(parse_spec(network).target)
        loaded: FaceNetwork = load_network(network)
        return loaded.randomized(seed).module


def _begun(fresh: nn.Module, loaded: nn.Module, network: str) -> nn.Module:
    """Put loaded weights into a trunk, which may lack the loaded network's classifier."""
    state = loaded.state_dict()
    wanted = fresh.state_dict()
    lacking = [name for name, own in wanted.items() if name not in state or state[name].shape != own.shape]
    if lacking:
        raise WeightsError(
            f"The weights that '{network}' names do not begin a training of the same network without weights: "
            f"'{lacking[0]}' is missing or of another shape. Name the architecture in full (classes=, width=, variant=)."
        )
    fresh.load_state_dict({name: state[name] for name in wanted})
    return fresh


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
