import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Literal

from fusiform.errors import RunError
from fusiform.networks import Layer

_BYTES = 4  # activations are kept as float32
_BLOCK_BYTES = 32 * 2**20
_DISK_SHARE = 0.5  # of what is free, so that a run never fills a disk
_WRITTEN_A_SECOND, _READ_A_SECOND = 0.5e9, 1.5e9  # bytes; an ordinary disk with some of it cached

Where = Literal["memory", "disk", "recompute"]
_TITLES = {"memory": "kept in memory", "disk": "spilled to scratch disk", "recompute": "computed anew"}


@dataclass(frozen=True)
class Group:
    """Layers whose activations are taken in one pass over the images.

    Attributes
    ----------
    layers : tuple of str
        Their names.
    where : {"memory", "disk", "recompute"}
        Where their activations lie meanwhile. ``"recompute"``: a single layer of which no more than
        `window` features are ever held; every walk through it passes the images through the network again.
    n_bytes : int
        Of their activations.
    window : int
        Features held at once, for ``"recompute"``.
    """

    layers: tuple[str, ...]
    where: Where
    n_bytes: int
    window: int = 0

    def passes(self, walks: int, features: int = 0) -> int:
        """Passes over the images, for a number of walks through a recomputed layer's features."""
        return walks * ceil(features / self.window) if self.where == "recompute" else 1


@dataclass(frozen=True)
class Plan:
    """How layers are grouped into passes over the images, and where their activations lie meanwhile.

    Attributes
    ----------
    groups : tuple of Group
        In the order in which they are worked through.
    n_images : int
        Images a pass.
    walks : int
        How often each layer's activations are walked through.
    block_columns : int
        Features a column block.
    features : dict of str to int
        Features of each layer.
    """

    groups: tuple[Group, ...]
    n_images: int
    walks: int
    block_columns: int
    features: dict[str, int]

    @property
    def n_bytes(self) -> int:
        """Activations of all layers together."""
        return sum(group.n_bytes for group in self.groups)

    @property
    def n_passes(self) -> int:
        """Passes over the images."""
        return sum(group.passes(self.walks, self.features[group.layers[0]]) for group in self.groups)

    def __str__(self) -> str:
        n, layers = self.n_passes, sum(len(group.layers) for group in self.groups)
        parts = []
        for where, title in _TITLES.items():
            size = sum(group.n_bytes for group in self.groups if group.where == where)
            if size:
                parts.append(f"{size / 1e9:.2f} GB {title}")
        return (
            f"{n} pass{'es' if n > 1 else ''} over {self.n_images} faces, "
            f"{layers} layer{'s' if layers > 1 else ''}, {', '.join(parts)}"
        )


def plan(
    layers: Sequence[Layer],
    n_images: int,
    *,
    memory_gb: float,
    reserved_bytes: int = 0,
    scratch: Path,
    walks: int = 1,
    pass_seconds: float | None = None,
) -> Plan:
    """Choose between memory, scratch disk and further passes.

    What fits in memory stays there and costs one pass. What does not is spilled, or, where passes are so cheap
    that writing and reading costs more, dealt out over several passes. A layer that fits neither in memory
    nor on half the free disk is computed anew at every walk, as many of its features at once as memory holds.

    Parameters
    ----------
    layers : sequence of Layer
        Layers to keep.
    n_images : int
        Images to keep of each.
    memory_gb : float
        Budget in GB (1e9 bytes) for all that is held at once.
    reserved_bytes : int, default 0
        What else must fit in the budget.
    scratch : Path
        Folder of the scratch files; only its free space is read.
    walks : int, default 1
        How often each layer's activations will be walked through.
    pass_seconds : float, optional
        What a pass of the images through the network takes; one pass is taken for dearer than the disk where it is
        not known.

    Returns
    -------
    Plan
        A value that can be printed.

    Raises
    ------
    RunError
        If the budget does not even hold a thousandth of the largest layer.

    Examples
    --------
    >>> layers = [Layer("conv", 0, "Conv2d", (8, 10, 10), None, "conv")]
    >>> print(plan(layers, 1000, memory_gb=1, scratch=Path(".")))
    1 pass over 1000 faces, 1 layer, 0.00 GB kept in memory
    """
    features = {layer.name: prod(layer.shape) for layer in layers}
    sizes = {name: m * n_images * _BYTES for name, m in features.items()}
    # A block is copied a few times while it is standardised and multiplied.
    budget = memory_gb * 1e9 - reserved_bytes - 4 * _BLOCK_BYTES
    disk = shutil.disk_usage(_existing(scratch)).free * _DISK_SHARE
    block_columns = max(64, _BLOCK_BYTES // (_BYTES * max(1, n_images)))
    groups: list[Group] = []
    if sum(sizes.values()) <= budget:
        groups = _packed(sizes, budget, "memory")
    else:
        kept = {name: size for name, size in sizes.items() if size <= budget}
        spilled = {name: size for name, size in sizes.items() if budget < size <= disk}
        in_memory = _packed(kept, budget, "memory")
        saved = (len(in_memory) - (not spilled)) * (pass_seconds if pass_seconds is not None else 1e9)
        spilling = sum(kept.values()) * (1 / _WRITTEN_A_SECOND + walks / _READ_A_SECOND)
        if spilling < saved and max(kept.values(), default=0) <= disk:
            groups = _packed({n: s for n, s in sizes.items() if n in kept or n in spilled}, disk, "disk")
        else:
            groups = in_memory + _packed(spilled, disk, "disk")
        for name in sizes.keys() - kept.keys() - spilled.keys():
            groups.append(_recomputed(name, features[name], n_images, sizes[name], budget, memory_gb))
    return Plan(tuple(groups), n_images, walks, block_columns, features)


def _packed(sizes: dict[str, int], capacity: float, where: Where) -> list[Group]:
    groups: list[dict[str, int]] = []
    for name, size in sizes.items():
        if not groups or sum(groups[-1].values()) + size > capacity:
            groups.append({})
        groups[-1][name] = size
    return [Group(tuple(group), where, sum(group.values())) for group in groups]


def _recomputed(name: str, features: int, n_images: int, size: int, budget: float, memory_gb: float) -> Group:
    # The next window is filled while the last is still held.
    window = int(max(0.0, budget) // (2 * _BYTES * n_images))
    if window < max(1, features // 1000):
        raise RunError(
            f"Layer '{name}' needs {size / 1e9:.1f} GB for {n_images} faces; memory_gb={memory_gb:g} leaves "
            f"{max(0.0, budget) / 1e9:.1f} GB for activations, and half the free disk is less. Use fewer "
            "faces, leave the layer out, raise memory_gb or free some disk."
        )
    return Group((name,), "recompute", size, window)


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
