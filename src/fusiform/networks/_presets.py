"""Layers by the part they play: the second-to-last convolution, all convolutions of the last two stages ..."""

import re
from dataclasses import dataclass

from fusiform.errors import LayerError, SpecError, nearest
from fusiform.networks._listing import Layer
from fusiform.networks._network import FaceNetwork

ROLES = (
    "second_to_last_conv",
    "second_to_last_conv:stageN",
    "convs:last_two_stages",
    "blocks:last_two_stages",
)
"""The roles that `find_role` and `find_roles` know; N counts stages from 1."""

# Convolutions beside the main path of a residual block are known by name alone.
_SHORTCUTS = frozenset(("downsample", "shortcut", "skip", "identity", "residual", "res"))
_RESNET = re.compile(r"(?:^|.*\.)layer(?P<stage>\d+)\.(?P<block>\d+)\.(?P<rest>.+)")
_INCEPTION_BLOCK8 = re.compile(r"(?:^|.*\.)block8\.branch1\.2(?:\.conv)?")
_INCEPTION_LAST = re.compile(r"(?:^|.*\.)(?:repeat_3|block8)\.")


@dataclass(frozen=True)
class _Stage:
    label: str
    convs: tuple[Layer, ...]
    blocks: tuple[Layer, ...]


def find_role(net: FaceNetwork, role: str) -> Layer:
    """Find the layer that plays a part.

    Parameters
    ----------
    net : FaceNetwork
        Any network with convolutions.
    role : str
        ``"second_to_last_conv"``: of the last stage (of the network, where the last stage has one alone);
        ``"second_to_last_conv:stage2"``: of the second stage. What counts as a stage and as a convolution is told at
        `find_roles`.

    Returns
    -------
    Layer
        In a ResNet (``layer4.2.conv1``) the first convolution of the stage's last block, which is what the paper
        dissects under this name: of blocks with two convolutions the second-to-last, of bottlenecks the one before. In
        Inception-ResNet-v1 the third convolution of ``block8.branch1``.

    Raises
    ------
    SpecError
        If there is no such role, or it is one of several layers.
    LayerError
        If the network has no such layer.

    References
    ----------
    Teotia, Lapedriza and Ostadabbas (2022), Interpreting Face Inference Models using Hierarchical Network Dissection,
    table 1 and section 4.

    Examples
    --------
    >>> from fusiform.networks import load_network
    >>> find_role(load_network("demo"), "second_to_last_conv").name
    'stage4.0.conv1'
    """
    if role in ROLES[2:]:
        raise SpecError(f"The role '{role}' is played by several layers; find_roles lists them.")
    return find_roles(net, role)[0]


def find_roles(net: FaceNetwork, role: str) -> list[Layer]:
    """Find all layers that play a part, in forward order.

    A stage is a run of convolutions whose blocks end in maps of one size; in ResNets it is ``layer1``,
    ``layer2`` ... What comes before the first block is the stem and no stage. Convolutions of the shortcut of a
    residual block do not count, nor do those outside blocks that see the whole map at once (1 x 1 positions).

    Parameters
    ----------
    net : FaceNetwork
        Any network with convolutions.
    role : str
        One of `find_role`, which gives one layer; ``"convs:last_two_stages"``, all convolutions there (of
        Inception-ResNet-v1 those of ``repeat_3`` and ``block8``, as in the paper); ``"blocks:last_two_stages"``, the
        outputs of all blocks there.

    Returns
    -------
    list of Layer
        At least one.

    Raises
    ------
    SpecError
        If there is no such role.
    LayerError
        If the network has no such layer; the message lists its stages.

    References
    ----------
    Teotia, Lapedriza and Ostadabbas (2022), table 1, section 5.3.

    Examples
    --------
    >>> from fusiform.networks import load_network
    >>> [layer.name for layer in find_roles(load_network("demo"), "blocks:last_two_stages")]
    ['stage3.0', 'stage3.1', 'stage4.0']
    """
    what, _, where = role.partition(":")
    number = re.fullmatch(r"stage([1-9]\d*)", where)
    if role not in (ROLES[0], *ROLES[2:]) and not (what == ROLES[0] and number):
        raise SpecError(f"There is no role '{role}' of a layer; {nearest(role, ROLES, count=2)}")
    stages = _stages(net)
    if what == "second_to_last_conv":
        return [_second_to_last(net, stages, int(number[1]) if number else None)]
    listed = [layer for layer in net.layers if layer.role == "conv" and _INCEPTION_LAST.match(layer.name)]
    if what == "convs":
        found = listed or [layer for stage in stages[-2:] for layer in stage.convs]
    else:
        found = [layer for stage in stages[-2:] for layer in stage.blocks]
    if not found:
        raise LayerError(f"'{net.card.name}' has no {what} for the role '{role}'; {_described(stages)}.")
    return found


def _second_to_last(net: FaceNetwork, stages: list[_Stage], number: int | None) -> Layer:
    if number is None:
        named = [
            layer for layer in net.layers if layer.role == "conv" and _INCEPTION_BLOCK8.fullmatch(layer.name)
        ]
        if named:
            return named[-1]
    if number is None:
        convs = [layer for stage in stages for layer in stage.convs]
        chosen = list(stages[-1].convs) if stages and len(stages[-1].convs) > 1 else convs
    else:
        chosen = list(stages[number - 1].convs) if number <= len(stages) else []
    heads = [layer for layer in chosen if (m := _RESNET.fullmatch(layer.name)) and m["rest"] == "conv1"]
    if heads:
        return heads[-1]
    if len(chosen) < 2:
        where = "" if number is None else f" in stage {number}"
        raise LayerError(
            f"'{net.card.name}' has no second-to-last convolution{where}: there {'is' if len(chosen) == 1 else 'are'} "
            f"{len(chosen)}; {_described(stages)}. Name a layer instead."
        )
    return chosen[-2]


def _stages(net: FaceNetwork) -> list[_Stage]:
    layers = net.layers
    ends = [layer.name for layer in layers if layer.role == "block"]
    last = {layer.block: layer for layer in layers if layer.block is not None}
    last |= {layer.name: layer for layer in layers if layer.role == "block"}

    def block_of(layer: Layer) -> str | None:
        around = [name for name in ends if layer.name.startswith(f"{name}.")]
        return max(around, key=len) if around else layer.block

    convs = [
        layer
        for layer in layers
        if layer.role == "conv"
        and len(layer.shape) == 3
        and not _SHORTCUTS & set(layer.name.split("."))
        and (block_of(layer) is not None or max(layer.shape[1:]) > 1)
    ]
    resnet = [m["stage"] if (m := _RESNET.fullmatch(layer.name)) else None for layer in convs]
    groups: list[tuple[str, list[Layer]]] = []
    for layer, named in zip(convs, resnet, strict=True):
        block = block_of(layer)
        shape = layer.shape if block is None else last[block].shape
        label = f"layer{named}" if named else "x".join(map(str, shape[1:]))
        if any(resnet) and not named:
            label = "stem"
        if not groups or groups[-1][0] != label:
            groups.append((label, []))
        groups[-1][1].append(layer)
    stages = []
    for label, members in groups:
        names = dict.fromkeys(block for layer in members if (block := block_of(layer)) is not None)
        stages.append(_Stage(label, tuple(members), tuple(last[name] for name in names)))
    if any(stage.blocks for stage in stages):
        while not stages[0].blocks:
            stages.pop(0)
    return [stage for stage in stages if stage.label != "stem"]


def _described(stages: list[_Stage]) -> str:
    if not stages:
        return "no convolution with maps was found in it"
    listed = ", ".join(
        f"{number}. {stage.label} ({len(stage.convs)} convolutions, {len(stage.blocks)} blocks)"
        for number, stage in enumerate(stages, start=1)
    )
    return f"its stages are {listed}"
