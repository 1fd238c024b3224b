import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fusiform.errors import DataError
from fusiform.faces._images import MAX_BYTES, UnreadableImageError
from fusiform.faces._stores import FolderStore

_MOST_GROUPS = 4


@dataclass(frozen=True)
class Shard:
    """An Arrow or parquet file with rows of one split."""

    path: Path
    split: str | None

    @property
    def is_parquet(self) -> bool:
        """Whether it is a parquet file; an Arrow file otherwise."""
        return self.path.suffix.lower() == ".parquet"


def unreadable(path: Path, error: Exception) -> DataError:
    """What to say of a file that pyarrow cannot read."""
    return DataError(
        f"'{path}' cannot be read: {str(error).strip()}. Was its download or its writing cut short?"
    )


def arrow_table(path: Path) -> pa.Table:
    """An Arrow file (a stream, as the `datasets` library writes them, or a file) mapped, not read."""
    try:
        source = pa.memory_map(str(path))
        try:
            return pa.ipc.open_stream(source).read_all()
        except pa.ArrowInvalid:
            return pa.ipc.open_file(source).read_all()
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def schema_of(shard: Shard) -> pa.Schema:
    """The columns of a shard and their metadata."""
    if not shard.is_parquet:
        return arrow_table(shard.path).schema
    try:
        return pq.read_schema(shard.path)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(shard.path, error) from error


def columns_of(shard: Shard, columns: Sequence[str]) -> pa.Table:
    """Some columns of a shard, without its images."""
    if not shard.is_parquet:
        return arrow_table(shard.path).select(list(columns))
    try:
        # Read by the file's own path: its folders are no columns.
        return pq.ParquetFile(shard.path).read(columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise unreadable(shard.path, error) from error


def n_rows(shard: Shard) -> int:
    """How many rows a shard has."""
    if not shard.is_parquet:
        return int(arrow_table(shard.path).num_rows)
    try:
        return int(pq.read_metadata(shard.path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(shard.path, error) from error


class ArrowStore:
    """Image files kept as bytes in a column of Arrow and parquet files; an image store.

    Parameters
    ----------
    root : Path
        Where the set lies, for messages.
    shards : sequence of Shard
        The files.
    column : str
        The column of images: structs of bytes and path, or bytes.
    names : sequence of str
        A name for every row of all shards, in order.
    counts : sequence of int
        Rows in each shard.
    """

    def __init__(
        self, root: Path, shards: Sequence[Shard], column: str, names: Sequence[str], counts: Sequence[int]
    ) -> None:
        self.root = root
        self._column = column
        self._shards = list(shards)
        self._places = dict(
            zip(names, ((k, row) for k, n in enumerate(counts) for row in range(n)), strict=True)
        )
        self._sizes = [os.stat(shard.path).st_size for shard in self._shards]  # noqa: PTH116
        self._fresh()

    def _fresh(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[int, int], pa.ChunkedArray] = OrderedDict()
        self._starts: dict[int, list[int]] = {}

    def __repr__(self) -> str:
        return f"column {self._column} in {self.root}"

    def __getstate__(self) -> dict[str, Any]:
        own = ("_lock", "_held", "_starts")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._fresh()

    def names(self) -> list[str]:
        """Names of all rows."""
        return list(self._places)

    def has(self, name: str) -> bool:
        """Whether there is such a row."""
        return name in self._places

    def _group(self, k: int, row: int) -> tuple[int, int]:
        """The row group of a parquet file that holds a row, and the row in it; an Arrow file is one group."""
        if not self._shards[k].is_parquet:
            return 0, row
        if k not in self._starts:
            metadata = pq.read_metadata(self._shards[k].path)
            starts = [0]
            for g in range(metadata.num_row_groups):
                starts.append(starts[-1] + metadata.row_group(g).num_rows)
            self._starts[k] = starts
        group = next(g for g, end in enumerate(self._starts[k][1:]) if row < end)
        return group, row - self._starts[k][group]

    def _cell(self, name: str) -> Any:
        k, row = self._places[name]
        shard = self._shards[k]
        # A row group is decoded once for all threads, and few are held: each holds hundreds of images.
        with self._lock:
            group, inner = self._group(k, row)
            if (k, group) not in self._held:
                if shard.is_parquet:
                    table = pq.ParquetFile(shard.path).read_row_group(group, columns=[self._column])
                else:
                    table = arrow_table(shard.path)
                self._held[k, group] = table[self._column]
                while len(self._held) > _MOST_GROUPS:
                    self._held.popitem(last=False)
            self._held.move_to_end((k, group))
            column = self._held[k, group]
        return column[inner].as_py()

    def read(self, name: str) -> bytes:
        """The image's bytes; from the file that the row names where it holds none itself."""
        if name not in self._places:
            raise UnreadableImageError(f"no such row in {self.root}")
        try:
            cell = self._cell(name)
        except (pa.ArrowException, DataError, OSError) as error:
            raise UnreadableImageError(str(error).strip()) from error
        data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
        if data is not None:
            if len(data) > MAX_BYTES:
                raise UnreadableImageError(f"it has {len(data):,} bytes, more than {MAX_BYTES:,}")
            return bytes(data)
        if not path:
            raise UnreadableImageError("its row holds no image")
        if "://" in path:
            raise UnreadableImageError(f"its row names '{path}', which is elsewhere; nothing is downloaded")
        file = Path(path) if Path(path).is_absolute() else self.root / path
        folder = file.parent if Path(path).is_absolute() else self.root
        return FolderStore(folder).read(str(file.relative_to(folder)))

    def fingerprint(self, name: str) -> str:
        """The size of the row's file, and the row."""
        if name not in self._places:
            return "missing"
        k, row = self._places[name]
        return f"{self._sizes[k]}:{row}"
