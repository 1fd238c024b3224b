import os
import tempfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import Tensor

from fusiform.errors import RunError
from fusiform.networks import Layer
from fusiform.runs import explain_full_disk


class ActivationStore:
    """A collector that keeps whole layers, in memory or in scratch files, and gives them back in column blocks.

    A scratch file holds one column block after another, each with all its rows, so a block is one read.

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

    Examples
    --------
    >>> layer = Layer("fc", 0, "Linear", (5,), None, "fc")
    >>> with ActivationStore([layer], 4, block_columns=3, scratch=None) as store:
    ...     store.update(layer, slice(0, 4), torch.arange(20.0).reshape(4, 5))
    ...     [tuple(block.shape) for block in store.blocks("fc")]
    [(4, 3), (4, 2)]
    """

    def __init__(
        self, layers: list[Layer], n_images: int, *, block_columns: int, scratch: Path | None
    ) -> None:
        self._features = {layer.name: prod(layer.shape) for layer in layers}
        self._n = n_images
        self._block = block_columns
        self._memory: dict[str, Tensor] = {}
        self._files: dict[str, int] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if scratch is None:
            self._memory = {name: torch.empty(n_images, m) for name, m in self._features.items()}
        else:
            with explain_full_disk(scratch):
                scratch.mkdir(parents=True, exist_ok=True)
                self._folder = tempfile.TemporaryDirectory(prefix="activations-", dir=scratch)
                for number, name in enumerate(self._features):
                    path = Path(self._folder.name) / f"{number}.bin"
                    self._files[name] = os.open(path, os.O_RDWR | os.O_CREAT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            os.close(file)
        self._files.clear()
        self._memory.clear()
        if self._folder is not None:
            self._folder.cleanup()

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
        flat = activations.detach().flatten(1).to("cpu", torch.float32)
        if self._folder is None:
            self._memory[layer.name][rows] = flat
            return
        values = flat.numpy()
        with explain_full_disk(Path(self._folder.name)):
            for start in range(0, values.shape[1], self._block):
                block = np.ascontiguousarray(values[:, start : start + self._block])
                offset = 4 * (start * self._n + rows.start * block.shape[1])
                _write_all(self._files[layer.name], block, offset)

    def drop(self, name: str) -> None:
        """Forget a layer that is finished, to make room.

        Parameters
        ----------
        name : str
            The layer.
        """
        self._memory.pop(name, None)
        if name in self._files:
            os.ftruncate(self._files[name], 0)

    def blocks(self, name: str) -> Iterator[Tensor]:
        """Walk through a layer's column blocks.

        Parameters
        ----------
        name : str
            The layer.

        Yields
        ------
        tensor, shape (n_images, at most block_columns)
            Float32 features of all images; do not write to it.

        Raises
        ------
        RunError
            If the scratch file was shortened or deleted meanwhile.
        """
        features = self._features[name]
        for start in range(0, features, self._block):
            columns = min(self._block, features - start)
            if self._folder is None:
                yield self._memory[name][:, start : start + columns]
            else:
                yield self._read(name, 4 * start * self._n, columns)

    def _read(self, name: str, offset: int, columns: int) -> Tensor:
        block = torch.empty(self._n, columns)
        view = block.numpy().view(np.uint8).data.cast("B")
        while view:
            count = os.preadv(self._files[name], [view], offset)
            if count == 0:
                raise RunError(
                    f"The scratch file of layer '{name}' has been cut short. Finished layers are kept; give the "
                    "same command again to continue."
                )
            view, offset = view[count:], offset + count
        return block


def _write_all(file: int, block: np.ndarray, offset: int) -> None:
    view = block.view(np.uint8).data.cast("B")
    while view:
        count = os.pwrite(file, view, offset)
        view, offset = view[count:], offset + count
