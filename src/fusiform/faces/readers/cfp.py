"""Celebrities in Frontal-Profile, and the pairs of its verification protocols."""

import re
from pathlib import Path
from typing import Literal

import pandas as pd

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._lists import contents, find_file, numbered_lines
from fusiform.faces._named import IMAGE_SUFFIX, named_images
from fusiform.faces._pairs import Missing, index_pairs
from fusiform.faces._sources import StoredImages
from fusiform.faces._tables import points_beside
from fusiform.faces.readers import reader

_NAME = re.compile(r"(?:^|/)(\d{3})/(frontal|profile)/(\d{2,3})" + IMAGE_SUFFIX, re.IGNORECASE)
_ROOTS = ("", "cfp-dataset", "CFP")


def _image_id(match: re.Match[str]) -> str:
    return f"{match[1]}/{match[2].lower()}/{match[3]}"


def _people(root: Path, numbers: list[str]) -> list[str | None] | None:
    """Names of people by their number, from the list where it is."""
    file = find_file(root, "list_name", ("Data", ""), (".txt",)) or find_file(
        root, "list_names", ("Data", ""), (".txt",)
    )
    if file is None:
        return None
    names = [line for _, line in numbered_lines(file)]
    last = max(map(int, numbers))
    if last > len(names):
        raise DataError(
            f"'{file}' has {len(names)} names, and there are images of person {last:03d}; it may have been cut short."
        )
    return [names[int(number) - 1] if int(number) else None for number in numbers]


@reader("cfp", example="PATH")
def open_cfp(path: Path) -> FaceSet:
    """Open CFP: ``Data/Images/001/frontal/01.jpg`` and ``.../profile/01.jpg`` under `path` or under ``cfp-dataset``.

    Image ids are ``001/frontal/01``. ``identity`` is the person's number, ``view`` categorical (frontal, profile), and
    ``name`` the person's name where ``Data/list_name.txt`` is there (one line a person). The thirty points an image in
    ``Data/Fiducials`` are not read, for what each is of is not published; points are taken from a ``labels.csv``
    beside the images.

    Parameters
    ----------
    path : Path
        The folder that holds ``Data`` and ``Protocol``, or a folder or zip of images in the same order.

    Returns
    -------
    FaceSet
        The set.

    Raises
    ------
    DataError
        If no file lies in such folders, or the list of names is too short.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "Data/Images/001/profile").mkdir(parents=True)
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/Data/Images/001/profile/01.jpg")
    ...     open_cfp(Path(folder)).table.values.tolist()
    [['001/profile/01', '001', 'profile']]
    """
    root = next((path / place for place in _ROOTS if (path / place / "Data").is_dir()), path)
    # Copies of the faces, cut out and aligned, often lie in Data too.
    images = root / "Data" / "Images" if (root / "Data" / "Images").is_dir() else root
    named = named_images(images, _NAME, whose="CFP's", form="001/frontal/01.jpg", image_id=_image_id)
    numbers = [match[1] for match in named.matches]
    columns = {
        "identity": pd.array(numbers, dtype="string"),
        "view": pd.array([match[2].lower() for match in named.matches], dtype="string"),
    }
    schema = {
        "identity": Attribute("identity", description="the person's number"),
        "view": Attribute("categorical", description="frontal or profile, to either side"),
    }
    people = _people(root, numbers)
    if people is not None:
        columns["name"] = pd.array(people, dtype="string")
        schema["name"] = Attribute("identity", description="the person's name")
    points = points_beside(images if images.is_dir() else images.parent, named.stored)
    return FaceSet(
        name="cfp",
        table=pd.DataFrame({"image_id": named.ids, **columns}),
        schema=schema,
        source=StoredImages(named.store, named.stored, named.ids, points),
        skipped=named.skipped,
        provenance={
            "reader": "cfp",
            "source": str(path),
            "images": str(named.store.root),
            "paper": "Sengupta et al. 2016, Frontal to Profile Face Verification in the Wild, WACV",
            "licence": "none stated; pictures of celebrities from the web, for research",
        },
    )


def _numbered_images(file: Path) -> dict[int, str]:
    """Image id by number, from a list of lines '1 ../Data/Images/001/frontal/01.jpg'."""
    found: dict[int, str] = {}
    for number, line in numbered_lines(file, "list of images"):
        words = line.split()
        match = _NAME.search(words[-1].replace("\\", "/"))
        if len(words) != 2 or not words[0].isdigit() or match is None:
            raise DataError(
                f"Line {number} of '{file}' is not '1 ../Data/Images/001/frontal/01.jpg': '{line}'."
            )
        if int(words[0]) in found:
            raise DataError(f"Line {number} of '{file}' gives the number {words[0]} a second image.")
        found[int(words[0])] = _image_id(match)
    return found


def cfp_pairs(
    faces: FaceSet,
    path: str | Path,
    *,
    protocol: Literal["FF", "FP"] = "FP",
    missing: Missing = "raise",
) -> pd.DataFrame:
    r"""Read the pairs of a verification protocol of CFP: ten folds of 350 same and 350 different pairs.

    Parameters
    ----------
    faces : FaceSet
        Opened by ``cfp:``.
    path : str or Path
        The folder ``Protocol`` (with ``Pair_list_F.txt``, ``Pair_list_P.txt`` and ``Split``), or the one that holds it.
    protocol : {"FP", "FF"}, default "FP"
        Frontal with profile images, or frontal with frontal.
    missing : {"raise", "drop"}, default "raise"
        What to do with pairs of which an image is not in the set.

    Returns
    -------
    DataFrame
        Columns ``first`` and ``second`` (indices into the set), ``same`` (bool) and ``fold`` (0-based).

    Raises
    ------
    DataError
        If a list is missing or a line cannot be read, or images are missing under ``missing="raise"``.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> table = pd.DataFrame({"image_id": ["001/frontal/01", "001/profile/01"]})
    >>> faces = FaceSet.from_arrays(np.zeros((2, 3, 8, 8), dtype=np.uint8), table)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     split = Path(folder, "Split/FP/01")
    ...     split.mkdir(parents=True)
    ...     _ = Path(folder, "Pair_list_F.txt").write_text("1 ../Data/Images/001/frontal/01.jpg\n")
    ...     _ = Path(folder, "Pair_list_P.txt").write_text("1 ../Data/Images/001/profile/01.jpg\n")
    ...     _ = (split / "same.txt").write_text("1,1\n")
    ...     _ = (split / "diff.txt").write_text("")
    ...     cfp_pairs(faces, folder).values.tolist()
    [[0, 1, True, 0]]
    """
    if protocol not in ("FF", "FP"):
        raise DataError(f"The protocol of CFP must be 'FF' or 'FP'; got '{protocol}'.")
    path = Path(path).expanduser()
    root = next((path / place for place in ("", "Protocol") if (path / place / "Split").is_dir()), None)
    if root is None:
        raise DataError(
            f"'{path}' holds no protocols of CFP: looked for the folder Split in it and in Protocol; found {contents(path)}."
        )
    lists = [root / "Pair_list_F.txt", root / f"Pair_list_{protocol[1]}.txt"]
    firsts, seconds = (_numbered_images(file) for file in lists)
    folds = sorted(folder for folder in (root / "Split" / protocol).glob("*") if folder.is_dir())
    if not folds:
        raise DataError(
            f"'{root / 'Split' / protocol}' has no folds 01 to 10; found {contents(root / 'Split')}."
        )
    named: list[tuple[str, str, bool, int]] = []
    for fold, folder in enumerate(folds):
        for stem, same in (("same", True), ("diff", False)):
            file = folder / f"{stem}.txt"
            for number, line in numbered_lines(file, "list of pairs"):
                words = [word.strip() for word in line.split(",")]
                if len(words) != 2 or not all(word.isdigit() for word in words):
                    raise DataError(f"Line {number} of '{file}' is not two numbers 'i,j': '{line}'.")
                first, second = int(words[0]), int(words[1])
                for value, known, source in zip((first, second), (firsts, seconds), lists, strict=True):
                    if value not in known:
                        raise DataError(
                            f"Line {number} of '{file}' names image {value}, which '{source.name}' does not list; it has "
                            f"{len(known)} images."
                        )
                named.append((firsts[first], seconds[second], same, fold))
    return index_pairs(faces, named, root / "Split" / protocol, missing)
