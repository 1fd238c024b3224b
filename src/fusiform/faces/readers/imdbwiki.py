"""IMDB-WIKI: ages from dates of birth and years of photographs, in MATLAB files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.io import loadmat

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._lists import contents
from fusiform.faces._locate import given_images, locate
from fusiform.faces._sources import StoredImages
from fusiform.faces._tables import left_out, present
from fusiform.faces.readers import reader

_SETS = ("imdb", "wiki")
_NEEDED = ("dob", "photo_taken", "full_path", "gender", "face_score")
_OLDEST = 100
# Serial day numbers of MATLAB, which count from the year 0, at numpy's first day.
_DAYS_TO_1970 = 719529


def _find(path: Path) -> tuple[Path, str]:
    if path.is_file():
        places = [path]
    else:
        folders = [path, *(path / f"{name}{end}" for name in _SETS for end in ("_crop", ""))]
        places = [folder / f"{name}.mat" for folder in folders for name in _SETS]
    found = [place for place in places if place.is_file() and place.stem in _SETS]
    if not found:
        seen = contents(path) if path.is_dir() else path.name
        raise DataError(
            f"'{path}' is not laid out like IMDB-WIKI: looked for imdb.mat or wiki.mat in it and in imdb_crop, wiki_crop, imdb "
            f"and wiki; found {seen}."
        )
    if len(found) > 1:
        raise DataError(
            f"'{path}' holds more than one list of IMDB-WIKI: {', '.join(str(f.relative_to(path)) for f in found)}. Open "
            f"one of them, as in 'imdbwiki:{found[0]}'."
        )
    return found[0], found[0].stem


def _load(file: Path, name: str) -> dict[str, ndarray]:
    """The fields of the struct in the file, each flat."""
    try:
        struct = loadmat(str(file), variable_names=[name]).get(name)
    except Exception as error:  # scipy's reader lets struct, zlib and index errors through
        raise DataError(
            f"'{file}' cannot be read as a MATLAB file (version 5): {str(error).strip()}. Was its download cut short?"
        ) from error
    if struct is None or struct.dtype.names is None or struct.size != 1:
        raise DataError(f"'{file}' must hold one struct called '{name}', as IMDB-WIKI's lists do.")
    lacking = [field for field in _NEEDED if field not in struct.dtype.names]
    if lacking:
        raise DataError(
            f"The struct '{name}' of '{file}' has no {', '.join(lacking)}; it has {struct.dtype.names}."
        )
    record = struct.flat[0]
    fields = {field: np.asarray(record[field]).reshape(-1) for field in struct.dtype.names}
    n = len(fields["full_path"])
    for field in _NEEDED:
        if len(fields[field]) != n:
            raise DataError(f"'{file}': '{field}' has {len(fields[field])} entries for {n} images.")
    if n == 0:
        raise DataError(f"'{file}' lists no images.")
    return fields


def _texts(cells: ndarray) -> list[str | None]:
    return [str(np.asarray(cell).flat[0]).strip() if np.size(cell) else None for cell in cells]


def _numbers(values: ndarray, file: Path, field: str) -> Float[ndarray, " n"]:
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"'{file}': '{field}' must hold numbers: {error}.") from error


def ages(born: Float[ndarray, " n"], photographed: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Age in whole years on the first of July of the year of the photograph, as the set's authors compute it.

    Parameters
    ----------
    born : float array, shape (n,)
        Serial day numbers of MATLAB (1 is the first day of the year 0).
    photographed : float array, shape (n,)
        Years.

    Returns
    -------
    float array, shape (n,)
        Years, NaN where a date is not known; wrong dates give ages that cannot be.

    Examples
    --------
    >>> ages(np.array([723671.0]), np.array([2009.0]))  # born on 5 May 1981
    array([28.])
    """
    known = (
        np.isfinite(born) & np.isfinite(photographed) & (np.abs(born) < 1e7) & (np.abs(photographed) < 1e4)
    )
    years = np.where(known, photographed, 1970).astype(np.int64) - 1970
    july = years.astype("datetime64[Y]").astype("datetime64[M]") + np.timedelta64(6, "M")
    days = july.astype("datetime64[D]").astype(np.int64) + _DAYS_TO_1970
    lived = days - np.floor(np.where(known, born, 0)).astype(np.int64)
    # The difference is read as a date of its own, from the year 0 on.
    age = (lived - _DAYS_TO_1970).astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    return np.where(known, age.astype(np.float64), np.nan)


def _identities(fields: dict[str, ndarray], n: int) -> list[str | None] | None:
    """Names; where different people have one name, with their number."""
    numbers: list[Any] = [None] * n
    names: list[str | None] = [None] * n
    if "name" in fields and len(fields["name"]) == n:
        names = _texts(fields["name"])
    if "celeb_id" in fields and len(fields["celeb_id"]) == n:
        numbers = fields["celeb_id"].tolist()
    if all(name is None for name in names):
        return None
    people = pd.DataFrame({"name": names, "number": numbers}).dropna()
    shared = people.groupby("name")["number"].nunique()
    twice = set(shared[shared > 1].index)
    return [
        f"{name} ({int(number)})" if name in twice else name
        for name, number in zip(names, numbers, strict=True)
    ]


@reader("imdbwiki", example="PATH")
def open_imdbwiki(
    path: Path,
    *,
    min_score: float | None = None,
    single_face: bool = False,
    images: str | None = None,
) -> FaceSet:
    """Open one half of IMDB-WIKI: ``imdb.mat`` or ``wiki.mat`` with the images ``00/...jpg`` beside it.

    ``age`` is continuous, in whole years: the first of July of the year of the photograph less the date of birth, as the
    authors compute it. ``Male`` is binary and unknown where the list says so; ``identity`` is the name (with the number of
    the celebrity where two share one). The images should be the cropped ones (``imdb_crop``, ``wiki_crop``). The labels come
    from web pages and many are wrong.

    Left out, and listed in `skipped` with the reason: images in which no face was found, unknown ages and ages outside 0
    to 100, images that are listed twice or are not there, and what the options exclude.

    Parameters
    ----------
    path : Path
        The folder with the list, one with ``imdb_crop`` or ``wiki_crop`` in it, or the .mat file itself.
    min_score : float, optional
        Least score of the face detection; 1 is usual for clean sets.
    single_face : bool, default False
        Leave out images in which a second face was found.
    images : str, optional
        Folder or zip of the images, relative to the list; otherwise looked for beside it.

    Returns
    -------
    FaceSet
        The set.

    Raises
    ------
    DataError
        If the list or all images are missing, or the list cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from scipy.io import savemat
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/1.jpg")
    ...     fields = {"dob": [723671], "photo_taken": [2009], "full_path": np.array(["1.jpg"], dtype=object)}
    ...     savemat(f"{folder}/wiki.mat", {"wiki": {**fields, "gender": [1.0], "face_score": [3.2]}})
    ...     open_imdbwiki(Path(folder)).table.values.tolist()
    [['1.jpg', 28.0, True]]
    """
    least = -np.inf if min_score is None else min_score
    file, name = _find(path)
    fields = _load(file, name)
    ids = _texts(fields["full_path"])
    nameless = [i for i, image in enumerate(ids) if not image]
    if nameless:
        raise DataError(f"'{file}': entry {nameless[0] + 1} of {len(ids)} names no image.")
    listed = [str(image) for image in ids]
    age = ages(_numbers(fields["dob"], file, "dob"), _numbers(fields["photo_taken"], file, "photo_taken"))
    score = _numbers(fields["face_score"], file, "face_score")
    gender = _numbers(fields["gender"], file, "gender")
    odd = np.flatnonzero(np.isfinite(gender) & ~np.isin(gender, (0, 1)))
    if len(odd):
        raise DataError(
            f"'{file}': 'gender' must be 0, 1 or NaN; entry {odd[0] + 1} ('{listed[odd[0]]}') has {gender[odd[0]]:g}."
        )
    reasons: dict[str, str] = {}
    keep = np.ones(len(listed), dtype=bool)

    def leave(which: Bool[ndarray, " n"], reason: str | list[str]) -> None:
        for i in np.flatnonzero(which & keep):
            reasons[listed[i]] = reason if isinstance(reason, str) else reason[int(i)]
        keep[which] = False

    leave(~np.isfinite(score), "no face was found in it when the set was made")
    leave(np.isnan(age), "the date of birth or of the photograph is not known")
    leave(
        (age < 0) | (age > _OLDEST), [f"an age of {years:g} years, outside 0 to {_OLDEST}" for years in age]
    )
    leave(score < least, f"a face score below {least:g}")
    if single_face:
        if "second_face_score" not in fields or len(fields["second_face_score"]) != len(listed):
            raise DataError(f"'{file}' has no scores of second faces; open it without single_face.")
        second = _numbers(fields["second_face_score"], file, "second_face_score")
        leave(np.isfinite(second), "a second face was found in it")
    leave(pd.Series(listed).where(keep).duplicated().to_numpy() & keep, "listed more than once")
    if not keep.any():
        raise DataError(
            f"All {len(listed)} images of '{file}' are left out; the first, '{listed[0]}': {reasons[listed[0]]}."
        )
    rows = np.flatnonzero(keep)
    chosen = [listed[i] for i in rows]
    store, stored = locate(chosen, file.parent, None if images is None else given_images(images, file.parent))
    there, missing = present(chosen, store, stored)
    rows = rows[there]
    table = pd.DataFrame({"image_id": [listed[i] for i in rows], "age": age[rows]})
    male = pd.array(gender[rows] == 1, dtype="boolean")
    male[np.isnan(gender[rows])] = pd.NA
    table["Male"] = male
    schema = {"age": Attribute("continuous", unit="years"), "Male": Attribute("binary")}
    people = _identities(fields, len(listed))
    if people is not None:
        table["identity"] = pd.array([people[i] for i in rows], dtype="string")
        schema["identity"] = Attribute("identity", description="name of the celebrity")
    return FaceSet(
        name=name,
        table=table,
        schema=schema,
        source=StoredImages(store, [stored[i] for i in np.flatnonzero(there)], table["image_id"].tolist()),
        skipped=pd.concat([left_out(reasons), missing], ignore_index=True),
        provenance={
            "reader": "imdbwiki",
            "source": str(path),
            "images": str(store.root),
            "lists": [file.name],
            "min_score": None if min_score is None else least,
            "single_face": single_face,
            "paper": "Rothe, Timofte and Van Gool 2018, Deep expectation of real and apparent age from a single image without "
            "facial landmarks, IJCV",
            "licence": "academic research only",
        },
    )
