"""Which modules are drawn anew, from the top."""

from torch import nn

from fusiform.networks import FaceNetwork

_MOST = 8


def steps_of(net: FaceNetwork) -> list[str] | None:
    """Names of the modules next to the top of the tree that together hold all weights, from the output down.

    None where there are too many, or some weight is in none of them: then every module with weights is a step.
    """
    path, module = "", net.module
    while True:
        children = [(name, child) for name, child in module.named_children() if _holds(child)]
        if _own(module) or not children:
            return [path] if path else None
        if len(children) > 1:
            break
        path, module = f"{path}{'.' if path else ''}{children[0][0]}", children[0][1]
    if len(children) > _MOST:
        return None
    names = [f"{path}{'.' if path else ''}{name}" for name, _ in children]
    first = {name: _depth(net, name, k) for k, name in enumerate(names)}
    return sorted(names, key=first.__getitem__, reverse=True)


def _depth(net: FaceNetwork, name: str, place: int) -> tuple[int, int]:
    """Where in the forward pass the module's first layer is."""
    depths = [layer.depth for layer in net.layers if layer.name == name or layer.name.startswith(f"{name}.")]
    return (min(depths, default=-1), place)


def _holds(module: nn.Module) -> bool:
    return any(True for _ in module.parameters()) or any(b.is_floating_point() for b in module.buffers())


def _own(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))
