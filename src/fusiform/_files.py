import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fusiform.errors import RunError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def explain_full_disk(path: Path) -> Iterator[None]:
    """Turn "no space left on device" into a `RunError` that says what is kept.

    Parameters
    ----------
    path : Path
        What is being written.

    Raises
    ------
    RunError
        When the disk is full, the quota is reached, or the folder may not be written.
    """
    try:
        yield
    except OSError as error:
        # pyarrow wraps the operating system's error without its number.
        if error.errno in _NO_SPACE or "No space left" in str(error):
            raise RunError(
                f"The disk is full: '{path}' could not be written. Nothing that was finished is lost; make "
                "room and give the same command again to continue."
            ) from error
        if isinstance(error, PermissionError):
            raise RunError(
                f"'{path}' may not be written: {error.strerror}. Choose another folder."
            ) from error
        raise


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file whole or not at all.

    Parameters
    ----------
    path : Path
        The file to make or replace; its folder is made when missing.

    Yields
    ------
    Path
        A file beside it to write to; it takes the name `path` when the block ends without an error, and
        goes otherwise.

    Raises
    ------
    RunError
        When the disk is full.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with atomic_write(Path(folder) / "a.txt") as part:
    ...         _ = part.write_text("whole")
    ...     (Path(folder) / "a.txt").read_text()
    'whole'
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with explain_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
