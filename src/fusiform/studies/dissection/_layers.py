"""Which layers of a network are dissected, and which of them comes first."""

from collections.abc import Sequence
from contextlib import suppress

from fusiform.errors import LayerError, nearest
from fusiform.networks import FaceNetwork, Layer, find_role, find_roles

MAIN_ROLE = "second_to_last_conv"
_BLOCKS, _CONVS = "blocks:last_two_stages", "convs:last_two_stages"
_WORDS = {"last-stages": _CONVS, "blocks": _BLOCKS}
# Units dissected together: a group is what a study that was stopped may have to do again.
_UNITS_A_GROUP = 8192


def dissected_layers(
    net: FaceNetwork, names: tuple[str, ...] | None, most: int | None = None
) -> tuple[list[Layer], str]:
    """Give the layers to dissect, in forward order, and the name of the one that the paper's figures are of.

    Parameters
    ----------
    net : FaceNetwork
        The network.
    names : tuple of str or None
        As in `DissectionRequest`. Of named layers those that this network has.
    most : int, optional
        Of the layers that are taken where none are named, the main one and the deepest others, so many in all.

    Raises
    ------
    LayerError
        If there is no such layer, or the network has none with maps.
    """
    main = None
    with suppress(LayerError):
        main = find_role(net, MAIN_ROLE)
    if names is None:
        convs: list[Layer] = []
        with suppress(LayerError):
            convs = [layer for layer in find_roles(net, _CONVS) if len(layer.shape) == 3]
        chosen = convs if main is None else [main, *(c for c in convs if c.name != main.name)]
        chosen = chosen or _with_maps(net)[-2:]
        if most is not None:
            first = [main] if main is not None else []
            rest = [layer for layer in chosen if layer not in first]
            chosen = first + rest[len(rest) - max(0, most - len(first)) :]
    elif names == ("all",):
        chosen = [layer for layer in _with_maps(net) if layer.role == "conv"]
    else:
        known = {layer.name for layer in net.layers}
        chosen = [net.layer(name) for name in names if name in known]
        for name in names:
            if is_role(name):
                chosen += find_roles(net, _WORDS.get(name, name))
    if not chosen:
        own = [layer.name for layer in net.layers]
        lacks = (
            "no convolution with maps" if names in (None, ("all",)) else "none of the layers that were named"
        )
        raise LayerError(
            f"'{net.card.name}' has {lacks}; name some of its own: {nearest((names or ('',))[0], own)}"
        )
    ordered = sorted({layer.name: layer for layer in chosen}.values(), key=lambda layer: layer.depth)
    is_there = main is not None and main.name in [layer.name for layer in ordered]
    return ordered, main.name if main is not None and is_there else ordered[-1].name


def is_role(name: str) -> bool:
    """Whether a word stands for layers by the part they play."""
    return name in _WORDS or name.partition(":")[0] in (MAIN_ROLE, "convs", "blocks")


def check_names(nets: Sequence[FaceNetwork], names: tuple[str, ...] | None) -> None:
    """Raise where a named layer is in no network."""
    every = dict.fromkeys(layer.name for net in nets for layer in net.layers)
    for name in names or ():
        if name != "all" and not is_role(name) and name not in every:
            who = " and ".join(f"'{net.card.name}'" for net in nets)
            raise LayerError(f"{who} has no layer '{name}'; {nearest(name, [*every, *_WORDS])}")


def in_groups(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Group layers that are dissected in the same passes."""
    groups: list[list[Layer]] = [[]]
    units = 0
    for layer in layers:
        if groups[-1] and units + layer.shape[0] > _UNITS_A_GROUP:
            groups.append([])
            units = 0
        groups[-1].append(layer)
        units += layer.shape[0]
    return groups


def _with_maps(net: FaceNetwork) -> list[Layer]:
    return [layer for layer in net.layers if layer.role == "conv" and len(layer.shape) == 3]
