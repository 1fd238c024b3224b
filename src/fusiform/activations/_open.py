from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.activations._plan import Group, Plan
from fusiform.activations._store import Activations, ActivationStore
from fusiform.activations._stream import stream
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork

Opened = Callable[[str], Activations]


@contextmanager
def open_group(
    net: FaceNetwork,
    faces: FaceSet,
    group: Group,
    plan: Plan,
    order: Int[ndarray, " n"],
    *,
    batch_size: int = 32,
    scratch: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Opened, Callable[[str], None]]]:
    """Have the activations of a group of layers at hand, wherever the plan lets them lie.

    Parameters
    ----------
    net : FaceNetwork
        The network.
    faces : FaceSet
        The faces.
    group : Group
        Layers of one pass.
    plan : Plan
        The plan it belongs to.
    order : int array, shape (n,)
        Which faces, in this order.
    batch_size : int, default 32
        Faces a forward pass.
    scratch : Path
        Folder for scratch files.
    progress : callable, optional
        Called with ``(done, total)`` after each batch of the pass.

    Yields
    ------
    tuple of two callables
        The first gives the activations of a layer by its name; the second forgets a layer that is finished.

    Examples
    --------
    >>> from fusiform.activations import plan
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> import numpy as np
    >>> net, faces, order = load_network("demo"), open_faces("synthetic?n=3"), np.arange(3)
    >>> work = plan([net.layer("pool")], 3, memory_gb=1, scratch=Path("."))
    >>> with open_group(net, faces, work.groups[0], work, order, scratch=Path(".")) as (of, drop):
    ...     [(columns, tuple(block.shape)) for columns, block in of("pool").blocks()]
    [(slice(0, 96, None), (3, 96))]
    """
    if group.where == "recompute":
        yield (
            lambda name: _Recomputed(net, faces, name, group.window, plan.block_columns, order, batch_size),
            lambda name: None,
        )
        return
    layers = [net.layer(name) for name in group.layers]
    on_disk = group.where == "disk"
    with ActivationStore(
        layers, len(order), block_columns=plan.block_columns, scratch=scratch if on_disk else None
    ) as store:
        stream(net, faces, group.layers, [store], indices=order, batch_size=batch_size, progress=progress)
        yield store.of, store.drop


class _Recomputed:
    """A layer of which a window of features is held at a time; each window of each walk is a pass over the images."""

    def __init__(
        self,
        net: FaceNetwork,
        faces: FaceSet,
        name: str,
        window: int,
        block_columns: int,
        order: ndarray,
        batch_size: int,
    ) -> None:
        self._net, self._faces, self._layer = net, faces, net.layer(name)
        self._window, self._block, self._order, self._batch = window, block_columns, order, batch_size
        self._m = torch.Size(self._layer.shape).numel()
        self.level: Float[Tensor, " m"] = torch.zeros(self._m)
        self._levelled: set[int] = set()

    def blocks(
        self, rows: int | None = None, among: Int[ndarray, " k"] | None = None
    ) -> Iterator[tuple[slice, Float[Tensor, "n b"]]]:
        order = self._order[:rows]
        for start in range(0, self._m, self._window):
            window = slice(start, min(start + self._window, self._m))
            inside = None if among is None else among[(among >= window.start) & (among < window.stop)] - start
            if inside is not None and not len(inside):
                continue
            with ActivationStore(
                [self._layer],
                len(order),
                block_columns=self._block,
                scratch=None,
                columns=window,
                level=self.level[window] if start in self._levelled else None,
            ) as store:
                stream(
                    self._net,
                    self._faces,
                    [self._layer.name],
                    [store],
                    indices=order,
                    batch_size=self._batch,
                )
                held = store.of(self._layer.name)
                self.level[window] = held.level
                self._levelled.add(start)
                for columns, block in held.blocks(among=inside):
                    yield slice(start + columns.start, start + columns.stop), block
