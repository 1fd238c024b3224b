import os
import re
import threading
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from fusiform.errors import DataError
from fusiform.faces._images import MAX_BYTES, SUFFIXES, UnreadableImageError


class ImageStore(Protocol):
    """Where image files lie: a folder or a zip. Names are relative, with forward slashes."""

    root: Path

    def names(self) -> list[str]:
        """Names of all image files, in natural order."""

    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    def read(self, name: str) -> bytes:
        """The file's bytes; raises UnreadableImageError."""

    def fingerprint(self, name: str) -> str:
        """Size, and checksum where it is known for nothing, as text."""


def natural_key(name: str) -> tuple[Any, ...]:
    """A key that sorts s1/2 before s1/10."""
    parts = re.split(r"(\d+)", name.lower())
    return tuple((1, int(part), part) if part.isdigit() else (0, 0, part) for part in parts), name


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and path.suffix.lower() in SUFFIXES


class FolderStore:
    """Image files under a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._top = os.path.normpath(root.absolute())

    def __repr__(self) -> str:
        return f"folder {self.root}"

    def names(self) -> list[str]:
        """Names of all image files, in natural order; links to folders are followed once."""
        found: list[str] = []
        visited: set[str] = set()
        for folder, folders, files in os.walk(self.root, followlinks=True):
            # A link back up would never end.
            real = os.path.realpath(folder)
            if real in visited:
                folders.clear()
                continue
            visited.add(real)
            inside = PurePosixPath(Path(folder).relative_to(self.root).as_posix())
            found.extend(name for name in (str(inside / file) for file in files) if _is_image(name))
        return sorted(found, key=natural_key)

    def _path(self, name: str) -> str:
        path = os.path.normpath(os.path.join(self._top, name))  # noqa: PTH118 - pathlib does not fold ".."
        top = self._top.rstrip(os.sep) + os.sep
        if not path.startswith(top):
            raise UnreadableImageError(f"its path leads out of {self.root}; give images=FOLDER that holds it")
        return path

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        try:
            return os.path.isfile(self._path(name))  # noqa: PTH113 - called for every row of a table
        except UnreadableImageError:
            return False

    def read(self, name: str) -> bytes:
        """The file's bytes."""
        path = self._path(name)
        try:
            size = os.stat(path).st_size  # noqa: PTH116
            if size > MAX_BYTES:
                raise UnreadableImageError(f"the file has {size:,} bytes, more than {MAX_BYTES:,}")
            return Path(path).read_bytes()
        except FileNotFoundError as error:
            raise UnreadableImageError(f"no such file in {self.root}") from error
        except OSError as error:
            raise UnreadableImageError(error.strerror or str(error)) from error
        except ValueError as error:  # a zero byte in the name
            raise UnreadableImageError(f"no such file in {self.root}: {error}") from error

    def fingerprint(self, name: str) -> str:
        """The file's size; "missing" where there is none."""
        try:
            return str(os.stat(self._path(name)).st_size)  # noqa: PTH116
        except (OSError, ValueError, UnreadableImageError):
            return "missing"


class ZipStore:
    """Image files in a zip, read without unpacking."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._open_file: tuple[int, zipfile.ZipFile] | None = None
        try:
            members = self._zip().infolist()
        except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
            raise DataError(f"The zip {root} cannot be read: {error}. Was its download cut short?") from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            name = member.filename.replace("\\", "/")
            if name.startswith("/") or ".." in PurePosixPath(name).parts:
                raise DataError(
                    f"The zip {root} holds '{member.filename}', a path that leads outside. Honest archives of images "
                    "hold none; do not unpack it, and make a new one from the images themselves."
                )
            if not member.is_dir():
                self._members[name] = member

    def __repr__(self) -> str:
        return f"zip {self.root}"

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "_members": self._members}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _open_file=None)

    def _zip(self) -> zipfile.ZipFile:
        # A forked process would share the parent's position in the file, so each process opens its own.
        with self._lock:
            if self._open_file is None or self._open_file[0] != os.getpid():
                self._open_file = os.getpid(), zipfile.ZipFile(self.root)
            return self._open_file[1]

    def names(self) -> list[str]:
        """Names of all image files, in natural order."""
        return sorted(filter(_is_image, self._members), key=natural_key)

    def has(self, name: str) -> bool:
        """Whether there is such a member."""
        return name in self._members

    def read(self, name: str) -> bytes:
        """The member's bytes."""
        member = self._members.get(name)
        if member is None:
            raise UnreadableImageError(f"no such file in {self.root}")
        if member.file_size > MAX_BYTES:
            raise UnreadableImageError(f"it unpacks to {member.file_size:,} bytes, more than {MAX_BYTES:,}")
        try:
            return self._zip().read(member)
        except Exception as error:  # zlib.error and its like in other compressions share no base class
            raise UnreadableImageError(f"broken in the zip: {error}") from error

    def fingerprint(self, name: str) -> str:
        """The member's size and checksum."""
        member = self._members.get(name)
        return "missing" if member is None else f"{member.file_size}:{member.CRC:08x}"
