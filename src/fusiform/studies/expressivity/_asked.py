"""What is studied: the images, and each attribute in each encoding, with the rows in which it is known."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from fusiform.errors import DataError, nearest
from fusiform.faces import Attribute, FaceSet, identity_codes
from fusiform.probing import Encoded, encode_attribute
from fusiform.probing.information._folds import folds_of
from fusiform.studies.expressivity._request import ExpressivityRequest

_PARTITION = "partition"
# Names by which data sets call the paper's attributes; the first that is there counts.
_ROLES = {
    "age": (r"(^|_)(age|years?)(_|$)", r"^young$"),
    "sex": (r"^(pr_)?(male|sex|gender|man)$",),
    "yaw": (r"(^|_)yaw",),
}
IRRELEVANT = tuple(_ROLES)
_FEWEST = 20  # images below which nothing is estimated


@dataclass(frozen=True)
class Known:
    """What is known of images, with pixels or without: a row an image, a column an attribute."""

    table: pd.DataFrame
    schema: dict[str, Attribute]
    identity: str | None
    name: str = "features"

    @classmethod
    def of(cls, faces: FaceSet) -> "Known":
        return cls(faces.table.drop(columns="image_id"), dict(faces.schema), faces.identity, faces.name)

    def subset(self, rows: Int[ndarray, " k"]) -> "Known":
        return Known(self.table.iloc[rows].reset_index(drop=True), self.schema, self.identity, self.name)

    def __len__(self) -> int:
        return len(self.table)


@dataclass(frozen=True)
class Entry:
    """One attribute in one encoding, in the rows where it is known."""

    attribute: str
    encoded: Encoded
    note: str = ""

    @property
    def key(self) -> str:
        return f"{self.attribute} [{self.encoded.encoding}]"


@dataclass(frozen=True)
class Piece:
    """Attributes that are known of the same images: they are trained together.

    Attributes
    ----------
    rows : int array
        The images.
    groups : int array or None
        The person of each, who is never both trained on and held out but for identity itself; None where every image is
        on its own.
    entries : tuple of Entry
        The attributes in their encodings.
    """

    rows: Int[ndarray, " k"]
    groups: Int[ndarray, " k"] | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Asked:
    """The attributes of a study on its images.

    Attributes
    ----------
    known : Known
        What is known of the images.
    attributes : tuple of str
        Those studied.
    left_out : dict of str to str
        Those asked for and not studied, with the reason.
    pieces : tuple of Piece
        What is trained together.
    """

    known: Known
    attributes: tuple[str, ...]
    left_out: dict[str, str]
    pieces: tuple[Piece, ...]

    @property
    def groups(self) -> Int[ndarray, " n"] | None:
        """The person of each image as a number; None where nobody is known."""
        return _groups(self.known)

    @property
    def n_encoded(self) -> int:
        """Attributes counted in each of their encodings."""
        return sum(len(piece.entries) for piece in self.pieces)


def draw_images(
    known: Known, names: Sequence[str] | None, request: ExpressivityRequest
) -> Int[ndarray, " n"]:
    """Draw at most so many images: whole people with enough images first where identity is studied, then any others."""
    if len(known) <= request.images:
        return np.arange(len(known))
    rng = np.random.default_rng([request.seed, 11])
    taken = np.zeros(len(known), dtype=bool)
    if known.identity is not None and (names is None or known.identity in names):
        people, _ = _people(known, request)
        codes = identity_codes(known.table[known.identity])
        for person in rng.permutation(np.unique(codes[people])):
            own = np.flatnonzero(codes == person)
            room = request.images - int(taken.sum())
            if room >= min(len(own), request.min_images):
                taken[rng.permutation(own)[:room]] = True
    others = rng.permutation(np.flatnonzero(~taken))
    taken[others[: request.images - int(taken.sum())]] = True
    return np.flatnonzero(taken)


def ask(known: Known, names: Sequence[str] | None, request: ExpressivityRequest) -> Asked:
    """Encode the attributes that are studied, and say which of them are not, and why.

    Raises
    ------
    DataError
        If an attribute is not there, or nothing is left to study.
    """
    left_out: dict[str, str] = {}
    pieces: dict[bytes, list[Entry]] = {}
    studied = []
    groups = _groups(known)
    for name in named(known, names):
        inside, note = known.table[name].notna().to_numpy(dtype=bool), ""
        if name == known.identity:
            people, note = _people(known, request)
            inside = inside & people
            if not inside.any():
                left_out[name] = note
                continue
        here = np.flatnonzero(inside)
        if len(here) < _FEWEST:
            left_out[name] = f"known of {len(here)} images; {_FEWEST} are the fewest"
            continue
        entries = _entries(name, known, here, raw=request.raw, note=note)
        pieces.setdefault(here.tobytes(), []).extend(entries)
        studied.append(name)
    if not studied:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise DataError(f"No attribute of '{known.name}' can be studied ({reasons}).")
    together = tuple(_piece(packed, entries, groups) for packed, entries in pieces.items())
    return Asked(known, tuple(studied), left_out, together)


def _piece(packed: bytes, entries: list[Entry], groups: ndarray | None) -> Piece:
    here = np.frombuffer(packed, dtype=np.int64)
    own = None if groups is None else identity_codes(groups[here])
    try:
        for entry in entries:
            folds_of(entry.encoded, own, 0, entry.attribute)
    except DataError:
        pass
    else:
        return Piece(here, own, tuple(entries))
    said = "too few people to keep them apart: split by image"
    return Piece(
        here, None, tuple(replace(each, note="; ".join(filter(None, (each.note, said)))) for each in entries)
    )


def _groups(known: Known) -> Int[ndarray, " n"] | None:
    return None if known.identity is None else identity_codes(known.table[known.identity])


def named(known: Known, names: Sequence[str] | None) -> list[str]:
    """The attributes asked for; all but a published split when None."""
    if names is None:
        every = [name for name in known.schema if name != _PARTITION]
        if not every:
            raise DataError(f"'{known.name}' has no attributes to study.")
        return every
    for name in names:
        if name not in known.schema:
            raise DataError(f"'{known.name}' has no attribute '{name}'; {nearest(name, known.schema)}")
    if not names:
        raise DataError("No attribute was asked for; name one, or none at all for every one.")
    return list(dict.fromkeys(names))


def role_of(names: Sequence[str], role: str) -> str | None:
    """The attribute that stands for age, sex or yaw.

    Examples
    --------
    >>> role_of(["Young", "pose_yaw", "PR_MALE"], "age"), role_of(["Smiling"], "age")
    ('Young', None)
    """
    found = (n for pattern in _ROLES[role] for n in names if re.search(pattern, n, flags=re.IGNORECASE))
    return next(found, None)


def few(known: Known, names: Sequence[str] | None, most: int | None) -> list[str] | None:
    """At most so many attributes where none are named: the paper's first, then as they come."""
    if names is not None or most is None:
        return None if names is None else list(names)
    every = named(known, None)
    first = [known.identity, *(role_of(every, role) for role in IRRELEVANT)]
    listed = dict.fromkeys([*(name for name in first if name in every), *every])
    return [str(name) for name in listed][:most]


def _people(known: Known, request: ExpressivityRequest) -> tuple[ndarray, str]:
    """Which images show people with enough images, and what is to be said about identity."""
    column = known.table[known.identity]
    images = column.map(column.value_counts()).fillna(0).to_numpy(dtype=np.int64)
    enough = images >= request.min_images
    n_people = column[enough].nunique()
    if request.identity_anyway:
        some = images >= 2
        n_people = column[some].nunique()
        if n_people < 2:
            return np.zeros(len(column), dtype=bool), "fewer than two people have two images"
        fewest = int(images[some].min())
        if fewest >= request.min_images:
            return some, ""
        return some, (
            f"people with as few as {fewest} images are studied, as asked; below {request.min_images} images a person "
            "the number has no meaning"
        )
    if n_people < 2:
        who = "nobody has" if n_people == 0 else "one person only has"
        return np.zeros(len(column), dtype=bool), (
            f"{who} {request.min_images} images, and two people are needed; --identity-anyway studies it with fewer"
        )
    left = column.nunique() - n_people
    return enough, f"{left} people with fewer than {request.min_images} images are left out" if left else ""


def _entries(name: str, known: Known, here: ndarray, *, raw: bool, note: str) -> list[Entry]:
    attribute = known.schema[name]
    column = known.table[name].iloc[here].reset_index(drop=True)
    encodings = ["raw"] if raw else []
    if attribute.kind == "identity":
        return [Entry(name, each, note) for each in _identities(column, ["numeric", *encodings], name)]
    if attribute.kind in ("binary", "categorical"):
        values: ndarray = pd.factorize(column, sort=True)[0]
        encodings = ["categorical"]
    else:
        values = column.to_numpy(dtype=np.float64)
        encodings = ["probability" if is_probability(attribute) else "ranks", *encodings]
    return [Entry(name, encode_attribute(values, encoding=each, name=name), note) for each in encodings]


def _identities(column: pd.Series, encodings: list[str], name: str) -> list[Encoded]:
    """Who is shown, as classes and as numbers: their own where these tell everybody apart, else as they come."""
    codes = identity_codes(column)
    people = encode_attribute(codes, encoding="categorical", name=name)
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    made = [people]
    for encoding in encodings:
        encoded = None
        if np.isfinite(numbers).all():
            # Numbers that are too large to be shown as they are raise; numbers that lie too close merge.
            with suppress(DataError):
                encoded = encode_attribute(numbers, encoding=encoding, name=name)
        if encoded is None or len(np.unique(encoded.values)) != codes.max() + 1:
            encoded = encode_attribute(codes, encoding=encoding, name=name)
        # Numbers as they are still name people, by which identity is known to be split by image.
        made.append(replace(encoded, classes=people.classes, entropy=people.entropy, note=people.note))
    return made


def is_probability(attribute: Attribute) -> bool:
    """Whether a network gave the values as probabilities."""
    return attribute.predicted_by is not None and attribute.description.startswith("probability")
