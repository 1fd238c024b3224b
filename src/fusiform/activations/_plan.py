import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

from fusiform.errors import RunError
from fusiform.networks import Layer

_BYTES = 4  # activations are kept as float32
_BLOCK_BYTES = 96 * 2**20
_DISK_SHARE = 0.5  # of what is free, so that a run never fills a disk


@dataclass(frozen=True)
class Plan:
    """How layers are grouped into passes over the images, and where their activations lie meanwhile.

    Attributes
    ----------
    groups : tuple of tuples of str
        Layers of each pass.
    n_images : int
        Images a pass.
    on_disk : bool
        Whether activations are spilled to scratch files rather than kept in memory.
    n_bytes : int
        Activations of all layers together.
    block_columns : int
        Features a column block.
    """

    groups: tuple[tuple[str, ...], ...]
    n_images: int
    on_disk: bool
    n_bytes: int
    block_columns: int

    def __str__(self) -> str:
        passes = f"{len(self.groups)} pass" + ("es" if len(self.groups) > 1 else "")
        where = "on scratch disk" if self.on_disk else "in memory"
        layers = sum(map(len, self.groups))
        return (
            f"{passes} over {self.n_images} faces, {layers} layers, {self.n_bytes / 1e9:.2f} GB kept {where}"
        )


def plan(
    layers: Sequence[Layer], n_images: int, *, memory_gb: float, reserved_bytes: int = 0, scratch: Path
) -> Plan:
    """Choose between memory, scratch disk and further passes.

    What fits in memory stays there and costs one pass. What does not is spilled: writing and reading
    float32 at disk speed is cheaper than a second forward pass. Where the disk is too small as well, the
    layers are dealt out over several passes.

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

    Returns
    -------
    Plan
        A value that can be printed.

    Raises
    ------
    RunError
        If neither memory nor disk can hold the largest layer.

    Examples
    --------
    >>> layers = [Layer("conv", 0, "Conv2d", (8, 10, 10), None, "conv")]
    >>> print(plan(layers, 1000, memory_gb=1, scratch=Path(".")))
    1 pass over 1000 faces, 1 layers, 0.00 GB kept in memory
    """
    sizes = {layer.name: prod(layer.shape) * n_images * _BYTES for layer in layers}
    # A block is copied a few times while it is standardised and multiplied.
    budget = memory_gb * 1e9 - reserved_bytes - 4 * _BLOCK_BYTES
    block_columns = max(64, _BLOCK_BYTES // (_BYTES * max(1, n_images)))
    total = sum(sizes.values())
    if total <= budget:
        return Plan((tuple(sizes),), n_images, False, total, block_columns)
    free = shutil.disk_usage(_existing(scratch)).free * _DISK_SHARE
    capacity = max(free, budget)
    largest = max(sizes, key=lambda name: sizes[name])
    if sizes[largest] > capacity:
        raise RunError(
            f"Layer '{largest}' needs {sizes[largest] / 1e9:.1f} GB for {n_images} faces; memory_gb={memory_gb:g} "
            f"leaves {max(0.0, budget) / 1e9:.1f} GB and half the free disk is {free / 1e9:.1f} GB. Use fewer "
            "faces, leave the layer out, raise memory_gb or free some disk."
        )
    groups: list[list[str]] = [[]]
    held = 0
    for name, size in sizes.items():
        if held + size > capacity and groups[-1]:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += size
    on_disk = free >= budget or ceil(total / max(1.0, budget)) > len(groups)
    return Plan(tuple(map(tuple, groups)), n_images, on_disk, total, block_columns)


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
