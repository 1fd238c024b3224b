"""People photographed from many views, in the manner of VPNL-faces: one folder a person, the view in the name."""

import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fusiform.errors import DataError, SpecError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._lists import contents
from fusiform.faces._locate import images_under
from fusiform.faces._sources import StoredImages
from fusiform.faces._tables import points_beside, read_table
from fusiform.faces.readers import reader

_FORM = "PERSON/..._yaw+045.jpg"
_WIDEST = 180
_VIEW_WORD = r"(?:yaw|view|angle|az(?:imuth)?|rot(?:ation)?)"
_DEG = r"(?:deg)?$"
_WORD = re.compile(rf"(?:^|[^a-z]){_VIEW_WORD}[_=\s]*([+-]?\d{{1,3}})(?:deg)?(?![\d.])", re.IGNORECASE)
# A minus after a digit is a hyphen as often as a sign, so it does not count.
_SIGNED = re.compile(rf"(?:(?:^|[_\s])-|\+)\d{{1,3}}{_DEG}", re.IGNORECASE)
_SIDE_FIRST = re.compile(rf"(?:^|[_\s-])([LR])[_-]?(\d{{1,3}}){_DEG}", re.IGNORECASE)
_SIDE_LAST = re.compile(r"(?:^|[_\s-])(\d{1,3})(?:deg)?[_-]?([LR])$", re.IGNORECASE)
_FRONT = re.compile(r"(?:^|[_\s-])front(?:al)?$", re.IGNORECASE)
_PLAIN = re.compile(rf"(?:^|[_\s])(\d{{1,3}}){_DEG}", re.IGNORECASE)
_SEXES = {
    **dict.fromkeys(("f", "female", "females", "woman", "women"), False),
    **dict.fromkeys(("m", "male", "males", "man", "men"), True),
}
_LETTER = re.compile(r"^([fm])[_-]?\d+", re.IGNORECASE)
_PERSON_COLUMNS = ("identity", "person", "subject", "id")
_SEX_COLUMNS = ("gender", "sex")


class _View(NamedTuple):
    """The angle that a name carries, whether L or R says the side, and what stands before it."""

    angle: float
    by_side: bool
    rest: str


def _view(stem: str, plain: bool) -> _View | None:
    """The view in a name; `plain` says whether a number without sign counts."""
    words = list(_WORD.finditer(stem))
    if words:
        return _View(float(words[-1][1]), False, stem[: words[-1].start()])
    signed = _SIGNED.search(stem)
    if signed:
        return _View(float(re.sub(r"[^\d+-]", "", signed[0])), False, stem[: signed.start()])
    for pattern, side, number in ((_SIDE_FIRST, 1, 2), (_SIDE_LAST, 2, 1)):
        match = pattern.search(stem)
        if match:
            sign = -1.0 if match[side].lower() == "l" else 1.0
            return _View(sign * float(match[number]), True, stem[: match.start()])
    front, bare = _FRONT.search(stem), _PLAIN.search(stem)
    if front:
        return _View(0.0, False, stem[: front.start()])
    return _View(float(bare[1]), False, stem[: bare.start()]) if bare and plain else None


def _person(folders: tuple[str, ...], rest: str) -> str | None:
    """The folder above an image, unless it only says the sex; then what stands first in the name."""
    if folders and folders[-1].lower() not in _SEXES:
        return folders[-1]
    first = re.split(r"[_\s-]", rest.strip("_ -"))[0]
    return first or None


def _male(folders: tuple[str, ...], person: str | None) -> bool | None:
    for folder in reversed(folders):
        if folder.lower() in _SEXES:
            return _SEXES[folder.lower()]
    letter = _LETTER.match(person or "")
    return _SEXES[letter[1].lower()] if letter else None


def _sexes_beside(folder: Path) -> dict[str, bool]:
    """Sex by person from a people.csv or genders.csv."""
    file = next((folder / n for n in ("people.csv", "genders.csv") if (folder / n).is_file()), None)
    if file is None:
        return {}
    table = read_table(file)
    lowered = {column.lower(): column for column in table.columns}
    person = next((lowered[c] for c in _PERSON_COLUMNS if c in lowered), None)
    sex = next((lowered[c] for c in _SEX_COLUMNS if c in lowered), None)
    if person is None or sex is None:
        raise DataError(
            f"'{file}' must have a column identity (or person, subject, id) and a column gender (or sex); got "
            f"{', '.join(table.columns)}."
        )
    sexes: dict[str, bool] = {}
    for line, (who, what) in enumerate(zip(table[person], table[sex], strict=True), 2):
        if pd.isna(what) or not str(what).strip():
            continue
        if str(what).strip().lower() not in _SEXES:
            raise DataError(f"Line {line} of '{file}': a gender must be f or m; got '{what}'.")
        sexes[str(who).strip()] = _SEXES[str(what).strip().lower()]
    return sexes


@reader("vpnl", example="PATH")
def open_vpnl(path: Path, *, positive: str = "right") -> FaceSet:
    """Open faces of people photographed from several views: a folder a person, the view's angle in each file name.

    The VPNL-faces set itself (101 people from 15 views, -105 to 105 degrees in steps of 15) has no published layout, so
    this is a convention, meant for any such set. The angle is read from the name without suffix, the first of these that
    fits:

    - a word and a number: ``yaw-30``, ``view_045``, ``angle=15``, ``az90``, ``rot10``;
    - a signed number at the end, after a blank or underscore: ``F012_+045``, ``12_-105deg``;
    - a number with L or R at the end: ``L45``, ``45R``: left (negative) and right of the image;
    - ``front`` or ``frontal`` at the end: 0;
    - a number after a blank or underscore at the end, ``F012_45``, where other names of the set carry a sign.

    ``identity`` is the folder above the image; in a flat folder, or under folders named female and male, it is what stands
    before the first ``_``, ``-`` or blank of the name. ``yaw`` is continuous in degrees. ``Male`` is there where any sex is
    known: from a folder named female, male, women, men, f or m, from a first letter F or M before the person's number
    (``F012``), or from a ``people.csv`` in `path` with columns identity and gender (f or m), which wins.
    Images whose name carries no angle, or one beyond 180 degrees, are left out and listed in `skipped`.

    Parameters
    ----------
    path : Path
        Folder or zip.
    positive : {"right", "left"}, default "right"
        Where in the image a face with a positive angle looks; L and R are not affected.

    Returns
    -------
    FaceSet
        The set; points are taken from a ``labels.csv`` in the folder where there is one.

    Raises
    ------
    SpecError
        If `positive` is neither.
    DataError
        If no name carries an angle.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "F012").mkdir()
    ...     Image.new("L", (8, 8)).save(f"{folder}/F012/yaw-30.png")
    ...     open_vpnl(Path(folder)).table.values.tolist()
    [['F012/yaw-30.png', 'F012', -30.0, False]]
    """
    if positive not in ("right", "left"):
        raise SpecError(f"The option 'positive' of 'vpnl' must be right or left; got '{positive}'.")
    store, names = images_under(path, f"one folder a person with files {_FORM}")
    beside = path if path.is_dir() else path.parent
    told = _sexes_beside(beside)
    stems = [name.rpartition("/")[2].rpartition(".")[0] for name in names]
    plain = any(_SIGNED.search(stem) for stem in stems)
    rows: list[tuple[str, str | None, float, bool | None]] = []
    reasons: dict[str, str] = {}
    for name, stem in zip(names, stems, strict=True):
        folders, view = tuple(name.split("/")[:-1]), _view(stem, plain)
        if view is None:
            reasons[name] = f"its name carries no angle, as {_FORM} does"
            continue
        if abs(view.angle) > _WIDEST:
            reasons[name] = f"the angle {view.angle:g} in its name is beyond {_WIDEST} degrees"
            continue
        flipped = positive == "left" and not view.by_side
        person = _person(folders, view.rest)
        male = told.get(person) if person in told else _male(folders, person)
        # Adding zero makes -0.0 plain zero.
        rows.append((name, person, (-view.angle if flipped else view.angle) + 0.0, male))
    if not rows:
        raise DataError(
            f"No name in '{path}' carries the angle of a view, as {_FORM} does; the first of {len(names)} images is "
            f"'{names[0]}'. Found {contents(path) if path.is_dir() else path.name}. For other collections use folder: "
            "or table:."
        )
    table = pd.DataFrame(rows, columns=["image_id", "identity", "yaw", "Male"])
    table["identity"] = table["identity"].astype("string")
    schema = {
        "identity": Attribute("identity"),
        "yaw": Attribute("continuous", unit="deg", description="positive to the right of the image"),
    }
    if any(row[3] is not None for row in rows):
        table["Male"] = pd.array([row[3] for row in rows], dtype="boolean")
        schema["Male"] = Attribute("binary")
    else:
        table = table.drop(columns="Male")
    ids = table["image_id"].tolist()
    return FaceSet(
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        table=table,
        schema=schema,
        source=StoredImages(store, ids, ids, points_beside(beside, ids)),
        skipped=pd.DataFrame({"image_id": list(reasons), "reason": list(reasons.values())}),
        provenance={
            "reader": "vpnl",
            "source": str(path),
            "images": str(store.root),
            "signs": f"angles in names are positive to the {positive} of the image",
            "paper": "VPNL-faces: Vision and Perception Neuroscience Laboratory, Stanford University",
            "licence": "as agreed with whoever gave the images",
        },
    )
