"""Which layers hold maps, and where in the image each of their positions lies."""

from dataclasses import dataclass
from math import isqrt, log, prod

from jaxtyping import Float
from torch import Tensor

from fusiform.errors import NotApplicableError
from fusiform.networks import FaceNetwork, Layer

_MOST_PREFIXES = 16  # class and register tokens
_MAP_ROLES = frozenset(
    ("conv", "norm", "activation", "max_feature_map", "residual_sum", "concat", "block", "stage")
)


@dataclass(frozen=True)
class Grid:
    """How a layer's output lies over the image.

    Parameters
    ----------
    size : (int, int)
        Rows and columns of positions.
    prefix : int or None
        Of tokens, (tokens, channels), how many stand before those of the grid; else None.
    channels_last : bool
        Whether maps are (rows, columns, channels).
    """

    size: tuple[int, int]
    prefix: int | None = None
    channels_last: bool = False

    def maps(self, values: Tensor) -> Float[Tensor, "n c h w"]:
        """Return a layer's output, or its gradient, as maps."""
        if self.prefix is not None:
            return values[:, self.prefix :].transpose(1, 2).unflatten(2, self.size)
        return values.permute(0, 3, 1, 2) if self.channels_last else values

    @property
    def centre(self) -> tuple[int, ...]:
        """The central position, as an `Activation` names it."""
        row, column = (s // 2 for s in self.size)
        if self.prefix is not None:
            return (self.prefix + row * self.size[1] + column,)
        return (row, column)


def find_grid(net: FaceNetwork, layer: Layer) -> Grid | None:
    """Return the grid of a layer; None if its output has no positions in the image."""
    shape, input_size = layer.shape, net.card.input_size
    if len(shape) == 3:
        # Of the two orders of axes, the one whose maps have the image's proportions.
        last = _stretch(shape[:2], input_size) < _stretch(shape[1:], input_size)
        size = shape[:2] if last else shape[1:]
        return Grid((size[0], size[1]), channels_last=last) if prod(size) > 1 else None
    if len(shape) == 2:
        return _token_grid(net, shape[0])
    return None


def require_grid(net: FaceNetwork, layer: Layer, method: str) -> Grid:
    """Return the grid of a layer.

    Raises
    ------
    NotApplicableError
        If its output has no positions in the image.
    """
    grid = find_grid(net, layer)
    if grid is None:
        named = [name.name for name, _ in map_layers(net)]
        raise NotApplicableError(
            f"{method} needs a layer with positions; '{layer.name}' of '{net.card.name}' gives {layer.shape}. "
            + (
                f"Such layers are {', '.join(repr(n) for n in named[-5:])}."
                if named
                else "It has no such layer."
            )
        )
    return grid


def map_layers(net: FaceNetwork) -> list[tuple[Layer, Grid]]:
    """Return the layers with positions, in forward order, that are neither pools nor parts of attention."""
    found = [(layer, grid) for layer in net.layers if (grid := find_grid(net, layer)) is not None]
    tokens = any(grid.prefix is not None for _, grid in found)
    # Without tokens there is no attention, whose weights (heads, tokens, tokens) would pass for maps.
    allowed = _MAP_ROLES if tokens else _MAP_ROLES | {"other"}
    return [(layer, grid) for layer, grid in found if layer.role in allowed]


def _stretch(size: tuple[int, ...], input_size: tuple[int, int]) -> float:
    return abs(log(size[0] / size[1]) - log(input_size[0] / input_size[1]))


def _token_grid(net: FaceNetwork, tokens: int) -> Grid | None:
    height, width = net.card.input_size
    patches = [
        layer.shape[1:]
        for layer in net.layers
        if layer.role == "conv"
        and len(layer.shape) == 3
        and prod(layer.shape[1:]) > 1
        and 0 <= tokens - prod(layer.shape[1:]) <= _MOST_PREFIXES
    ]
    if patches:
        size = max(patches, key=prod)
        return Grid((size[0], size[1]), prefix=tokens - prod(size))
    for prefix in range(min(_MOST_PREFIXES, tokens - 4) + 1):
        # Patches that were cut without a convolution are square.
        side = isqrt((tokens - prefix) * height // width)
        across = (tokens - prefix) // side if side else 0
        if (
            across
            and side * across == tokens - prefix
            and height % side == 0
            and height * across == width * side
        ):
            return Grid((side, across), prefix=prefix)
    return None
