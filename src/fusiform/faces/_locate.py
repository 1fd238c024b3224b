"""Find the images that a table lists: beside it, in a folder near it, or in a zip."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from fusiform.errors import DataError, nearest
from fusiform.faces._images import SUFFIXES, UnreadableImageError
from fusiform.faces._stores import FolderStore, ImageStore, ZipStore

_PROBES = 40
_MOST_FOLDERS = 300
_LISTS = re.compile(
    r"^(anno(tation)?|attribute|csv|eval|label|list|meta(data)?|protocol|split|table)s?$", re.IGNORECASE
)


class Inside:
    """A store seen from one of its folders."""

    def __init__(self, store: ImageStore, folder: str) -> None:
        self.root = store.root / folder
        self._store = store
        self._prefix = folder.rstrip("/") + "/"

    def __repr__(self) -> str:
        return f"{self._store!r}, folder {self._prefix}"

    def _name(self, name: str) -> str:
        if ".." in PurePosixPath(name).parts:
            raise UnreadableImageError(f"its path leads out of {self.root}")
        return self._prefix + name

    def names(self) -> list[str]:
        """Names of all image files, in natural order."""
        return [n.removeprefix(self._prefix) for n in self._store.names() if n.startswith(self._prefix)]

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return ".." not in PurePosixPath(name).parts and self._store.has(self._prefix + name)

    def read(self, name: str) -> bytes:
        """The file's bytes."""
        return self._store.read(self._name(name))

    def fingerprint(self, name: str) -> str:
        """The file's size and checksum."""
        return self._store.fingerprint(self._prefix + name)


def _subfolders(folder: Path) -> list[Path]:
    try:
        found = [entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []
    return sorted(found)[:_MOST_FOLDERS]


def _zips(folder: Path) -> list[Path]:
    try:
        found = [entry for entry in folder.iterdir() if entry.suffix.lower() == ".zip"]
    except OSError:
        return []
    return sorted(found)[:_MOST_FOLDERS]


def _zip_stores(path: Path) -> Iterator[ImageStore]:
    store = ZipStore(path)
    yield store
    folders = {str(parent) for name in store.names() for parent in PurePosixPath(name).parents}
    for folder in sorted(folders - {"."}, key=lambda f: (f.count("/"), f))[:_MOST_FOLDERS]:
        yield Inside(store, folder)


def _folder_stores(folder: Path) -> Iterator[ImageStore]:
    yield FolderStore(folder)
    first = _subfolders(folder)
    yield from map(FolderStore, first)
    for sub in first:
        yield from map(FolderStore, _subfolders(sub))


def _stores_in(folder: Path) -> Iterator[ImageStore]:
    yield from _folder_stores(folder)
    for place in (folder, *_subfolders(folder)):
        for path in _zips(place):
            yield from _zip_stores(path)


def _stores_near(folder: Path) -> Iterator[ImageStore]:
    yield from _stores_in(folder)
    # Folders beside belong to the same set only where this one holds nothing but its lists.
    if _LISTS.match(folder.absolute().name):
        yield from (FolderStore(sub) for sub in _subfolders(folder.parent) if sub != folder)


def _suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix
    return suffix if suffix.lower() in SUFFIXES else ""


def _spell(name: str, only_file: bool, ending: str | None) -> str:
    name = PurePosixPath(name).name if only_file else name
    return name if ending is None else name.removesuffix(_suffix(name)) + ending


def _spellings(names: Sequence[str], any_suffix: bool, only_file: bool) -> Iterator[Callable[[str], str]]:
    """Ways to read a name of the table: as it is, or with a suffix."""
    own = {_suffix(name).lower() for name in names} - {""}
    endings = sorted(own) if own and not any_suffix else SUFFIXES
    for ending in (None, *endings, *map(str.upper, endings)):
        yield partial(_spell, only_file=only_file, ending=ending)


_Found = tuple[int, ImageStore, Callable[[str], str]]


def _best_store(
    stores: Iterable[ImageStore], probes: Sequence[str], any_suffix: bool
) -> tuple[_Found | None, list[ImageStore]]:
    """The store and spelling under which most names are found, and where was looked.

    The folders of somebody else's disk are left out of the names only when no store knows a name with them: the same
    file name in another folder is another image.
    """
    best: _Found | None = None
    looked: list[ImageStore] = []
    for only_file in (False, True):
        for store in list(looked) if only_file else stores:
            looked += [] if only_file else [store]
            for spell in _spellings(probes, any_suffix, only_file):
                hits = sum(store.has(spell(name)) for name in probes)
                if hits > (best[0] if best else 0):
                    best = hits, store, spell
            if best is not None and best[0] == len(probes):
                return best, looked
        if best is not None:
            break
    return best, looked


def locate(
    names: Sequence[str],
    folder: Path,
    given: Path | None = None,
    *,
    any_suffix: bool = False,
    advice: str = "Give images=FOLDER_OR_ZIP.",
) -> tuple[ImageStore, list[str]]:
    """The store that holds most of some images, and their names in it.

    Parameters
    ----------
    names : sequence of str
        As a table lists them.
    folder : Path
        The table's folder; its subfolders (two deep) and its zips are looked through, and its sibling folders where
        it is named like a folder of lists.
    given : Path, optional
        The folder or zip that a person named; then only this is looked through.
    any_suffix : bool, default False
        Whether an image may be of another format than its name says.
    advice : str
        What to do when nothing is found; for the error.
    """
    names = [name.replace("\\", "/").removeprefix("./") for name in names]
    step = max(1, len(names) // _PROBES)
    probes = names[::step]
    if given is None:
        stores = _stores_near(folder)
    else:
        stores = _stores_in(given) if given.is_dir() else _zip_stores(given)
    best, looked = _best_store(stores, probes, any_suffix)
    if best is None:
        shown = ", ".join(map(repr, looked[:6])) + (f" and {len(looked) - 6} more" if len(looked) > 6 else "")
        raise DataError(
            f"None of the images is where it was looked for. The table lists {len(names)}, the first as '{names[0]}'; "
            f"looked in {shown}. {advice}"
        )
    spelt = [best[2](name) for name in names]
    if len(set(spelt)) < len(set(names)):
        raise DataError(
            f"Images with the same file name in different folders cannot be told apart in {best[1]!r}. Give images=FOLDER "
            f"under which the paths of the table (the first: '{names[0]}') are found."
        )
    return best[1], spelt


def given_images(text: str, folder: Path) -> Path:
    """The folder or zip that a person named, relative to the table or to where he is."""
    for path in (folder / Path(text).expanduser(), Path(text).expanduser()):
        if path.exists():
            return path
    there = sorted(entry.name for entry in folder.iterdir())
    raise DataError(f"images='{text}' is neither in '{folder}' nor here; {nearest(text, there)}")


def images_under(path: Path, what: str) -> tuple[ImageStore, list[str]]:
    """All images under a folder or in a zip; in the one zip of a folder that holds no image itself."""
    if path.is_file():
        if path.suffix.lower() != ".zip":
            raise DataError(
                f"'{path}' is neither a folder nor a .zip of images; a table is opened by 'table:{path}'."
            )
        store: ImageStore = ZipStore(path)
        names = store.names()
    else:
        store = FolderStore(path)
        names = store.names()
        zips = _zips(path)
        if not names and len(zips) == 1:
            store = ZipStore(zips[0])
            names = store.names()
    if not names:
        raise DataError(
            f"There are no images in '{path}'. Looked for {what}: files ending in {', '.join(SUFFIXES)} in it and its "
            "subfolders, or in one zip in it."
        )
    return store, names
