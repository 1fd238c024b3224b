from pathlib import Path

from fusiform.errors import DataError, SpecError
from fusiform.faces._open import open_faces
from fusiform.faces._sources import Progress
from fusiform.faces.dictionary._build import MaskChoice, build_dictionary
from fusiform.faces.dictionary._concepts import ConceptTable
from fusiform.faces.dictionary._dictionary import FaceDictionary
from fusiform.faces.dictionary._layout import open_published
from fusiform.faces.dictionary._saved import is_saved, open_saved

_PUBLISHED = "published:"


def open_dictionary(
    spec: str | Path,
    *,
    concepts: ConceptTable | None = None,
    masks: MaskChoice = "auto",
    balance: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> FaceDictionary:
    """Open a Face Dictionary, or build one from a set of faces.

    Parameters
    ----------
    spec : str or Path
        A folder that `FaceDictionary.save` wrote; ``"published:PATH"`` for the layout of the published one
        (``visual_dictionary/{AU,attributes,parts}/ID/CONCEPT.png``, lists ``image,labels``, ``non_localizable/CATEGORY/GROUP``);
        or what `open_faces` takes, through `build_dictionary`.
    concepts, masks, balance, seed
        As for `build_dictionary`; a saved dictionary keeps its own.
    progress : callable, optional
        Called with ``(done, total)`` images.

    Returns
    -------
    FaceDictionary
        The dictionary; every mask was read and checked.

    Raises
    ------
    SpecError
        If the specification cannot be read.
    DataError
        If the folder does not hold a dictionary, or nothing of it can be used.

    Examples
    --------
    >>> len(open_dictionary("synthetic?n=6&size=48&seed=1"))
    6
    """
    text = str(spec)
    if text.startswith(_PUBLISHED):
        path = Path(text.removeprefix(_PUBLISHED)).expanduser()
        if not path.is_dir():
            raise DataError(f"There is no folder '{path}' with a published Face Dictionary.")
        return open_published(path, concepts or ConceptTable.published(), balance, seed, progress)
    folder = Path(text).expanduser()
    if folder.is_dir():
        if is_saved(folder):
            return open_saved(folder, progress)
        raise SpecError(
            f"'{text}' is a folder without a saved Face Dictionary (no dictionary.json). Write 'published:{text}' for the "
            f"published layout, or a set of faces such as 'folder:{text}'."
        )
    return build_dictionary(
        open_faces(text), concepts=concepts, masks=masks, balance=balance, seed=seed, progress=progress
    )
