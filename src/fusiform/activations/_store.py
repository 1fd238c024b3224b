import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.errors import RunError
from fusiform.networks import Layer
from fusiform.runs import explain_full_disk


class Activations(Protocol):
    """One layer's activations of many images, walked through in blocks of features.

    Features are counted as in the flattened layer: channel by channel, row by row. Each is held less a level of its
    own (`level`), so that single precision does not lose what varies beside what is constant.
    """

    @property
    def level(self) -> Float[Tensor, " m"]:
        """What was taken off each feature."""
        ...

    def blocks(
        self, rows: int | None = None, among: Int[ndarray, " k"] | None = None
    ) -> Iterator[tuple[slice, Float[Tensor, "n b"]]]:
        """Walk through the features.

        Parameters
        ----------
        rows : int, optional
            Only the first images; all when not given.
        among : int array, optional
            Only blocks that hold one of these features, ascending; all when not given.

        Yields
        ------
        slice, tensor of shape (rows, b)
            Which features, and their values less `level`, float32; do not write to it.
        """
        ...


class ActivationStore:
    """A collector that keeps whole layers, in memory or in scratch files, and gives them back in column blocks.

    A scratch file holds one column block after another, each with all its rows, so a block is one read. Scratch files
    have no name, so nobody can delete them and nothing is left of them when the process ends.

    Parameters
    ----------
    layers : sequence of Layer
        Layers to keep.
    n_images : int
        Images that will be streamed.
    block_columns : int
        Features a block.
    scratch : Path or None
        Folder in which scratch files are made; None keeps everything in memory.
    columns : slice, optional
        Only these features of each layer; all when not given.
    level : tensor, shape (m,), optional
        What is taken off each feature; the median of the first batch when not given.

    Examples
    --------
    >>> layer = Layer("fc", 0, "Linear", (5,), None, "fc")
    >>> with ActivationStore([layer], 4, block_columns=3, scratch=None) as store:
    ...     store.update(layer, slice(0, 4), torch.arange(20.0).reshape(4, 5))
    ...     [(columns, tuple(block.shape)) for columns, block in store.of("fc").blocks()]
    [(slice(0, 3, None), (4, 3)), (slice(3, 5, None), (4, 2))]
    """

    def __init__(
        self,
        layers: list[Layer],
        n_images: int,
        *,
        block_columns: int,
        scratch: Path | None,
        columns: slice | None = None,
        level: Tensor | None = None,
    ) -> None:
        self._columns = columns or slice(None)
        self._features = {
            layer.name: len(range(*self._columns.indices(prod(layer.shape)))) for layer in layers
        }
        self._n = n_images
        self._block = block_columns
        self._levels = {} if level is None else {layer.name: level for layer in layers}
        self._memory: dict[str, Tensor] = {}
        # Without a name from the start: whatever ends the process, the disk is free again.
        self._files: dict[str, IO[bytes]] = {}
        self._scratch = scratch
        if scratch is None:
            self._memory = {name: torch.empty(n_images, m) for name, m in self._features.items()}
        else:
            with explain_full_disk(scratch):
                scratch.mkdir(parents=True, exist_ok=True)
                for name in self._features:
                    self._files[name] = tempfile.TemporaryFile(dir=scratch, buffering=0)  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._memory.clear()

    def update(self, layer: Layer, rows: slice, activations: Tensor) -> None:
        """Keep the activations of some images.

        Parameters
        ----------
        layer : Layer
            Where they were tapped.
        rows : slice
            Which images.
        activations : tensor, shape (k, ...)
            Their activations.
        """
        flat = activations.detach().reshape(len(activations), -1)
        flat = flat[:, self._columns].to("cpu", torch.float32)
        if layer.name not in self._levels:
            # The median: exact where a feature is constant, and zero for a unit that seldom fires.
            self._levels[layer.name] = flat.median(dim=0).values
        level = self._levels[layer.name]
        if self._scratch is None:
            torch.sub(flat, level, out=self._memory[layer.name][rows])
            return
        values = (flat - level).numpy()
        with explain_full_disk(self._scratch):
            for start in range(0, values.shape[1], self._block):
                block = np.ascontiguousarray(values[:, start : start + self._block])
                offset = 4 * (start * self._n + rows.start * block.shape[1])
                _write_all(self._files[layer.name].fileno(), block, offset)

    def drop(self, name: str) -> None:
        """Forget a layer that is finished, to make room.

        Parameters
        ----------
        name : str
            The layer.
        """
        self._memory.pop(name, None)
        if name in self._files:
            self._files[name].truncate(0)

    def of(self, name: str) -> Activations:
        """Activations of one layer.

        Parameters
        ----------
        name : str
            The layer.

        Returns
        -------
        Activations
            They can be walked through as often as needed; a walk raises RunError if the scratch file was shortened
            or deleted meanwhile.
        """
        return _Stored(self, name)

    def _blocks(self, name: str, rows: int | None, among: ndarray | None) -> Iterator[tuple[slice, Tensor]]:
        features = self._features[name]
        n = self._n if rows is None else rows
        starts = range(0, features, self._block)
        wanted = [slice(start, min(start + self._block, features)) for start in starts]
        if among is not None:
            wanted = [columns for columns in wanted if _any_inside(among, columns)]
        if self._scratch is None:
            for columns in wanted:
                yield columns, self._memory[name][:n, columns]
            return
        # One block is read while the last is worked on.
        with ThreadPoolExecutor(max_workers=1) as ahead:
            pending = [ahead.submit(self._read, name, columns, n) for columns in wanted[:1]]
            for number, columns in enumerate(wanted):
                block = pending.pop().result()
                if number + 1 < len(wanted):
                    pending.append(ahead.submit(self._read, name, wanted[number + 1], n))
                yield columns, block

    def _read(self, name: str, columns: slice, rows: int) -> Tensor:
        offset = 4 * columns.start * self._n
        block = torch.empty(rows, columns.stop - columns.start)
        view = block.numpy().view(np.uint8).data.cast("B")
        while view:
            count = os.preadv(self._files[name].fileno(), [view], offset)
            if count == 0:
                raise RunError(
                    f"The scratch file of layer '{name}' has been cut short. Finished layers are kept; give the "
                    "same command again to continue."
                )
            view, offset = view[count:], offset + count
        return block


class _Stored:
    def __init__(self, store: ActivationStore, name: str) -> None:
        self._store, self._name = store, name

    @property
    def level(self) -> Float[Tensor, " m"]:
        return self._store._levels[self._name]

    def blocks(
        self, rows: int | None = None, among: Int[ndarray, " k"] | None = None
    ) -> Iterator[tuple[slice, Float[Tensor, "n b"]]]:
        return self._store._blocks(self._name, rows, among)


def _any_inside(ascending: ndarray, columns: slice) -> bool:
    position = np.searchsorted(ascending, columns.start)
    return bool(position < len(ascending) and ascending[position] < columns.stop)


def _write_all(file: int, block: np.ndarray, offset: int) -> None:
    view = block.view(np.uint8).data.cast("B")
    while view:
        count = os.pwrite(file, view, offset)
        view, offset = view[count:], offset + count
