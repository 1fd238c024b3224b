"""Concepts and groupings of a Face Dictionary: a table that can be extended."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from fusiform.errors import SpecError
from fusiform.faces.dictionary._points import landmark_groups
from fusiform.faces.dictionary._published import CATEGORIES, LOCAL

KINDS = ("action unit", "part", "attribute")

T = TypeVar("T", str, float)


@dataclass(frozen=True)
class Concept:
    """A concept that has a place in the face.

    Parameters
    ----------
    name : str
        Its name; a column of this name says which images carry it.
    kind : {"action unit", "part", "attribute"}
        A part is in every face that shows it; the others need a column.
    region : str
        Region of the face: Eye, Cheek, Nose, Mouth, Chin, or one's own.
    parts : tuple of str
        Parts of a set with masks whose union shows where it is; a mask of the concept's own name goes before.
    landmarks : str
        Groups of the 68 landmarks about which ellipses are drawn where nobody drew masks: ``"36-41 | 42-47"``, and
        ``"40/31"`` for a point halfway.

    Raises
    ------
    SpecError
        If the kind is not known, a name is empty, landmarks cannot be read, or a field is of another type.

    Examples
    --------
    >>> Concept("Crow_Feet", "attribute", "Eye", landmarks="36 0 17 | 45 16 26").kind
    'attribute'
    """

    name: str
    kind: str
    region: str
    parts: tuple[str, ...] = ()
    landmarks: str = ""

    def __post_init__(self) -> None:
        for field in ("name", "kind", "region", "landmarks"):
            _text(f"Concept {self.name!r}", field, getattr(self, field))
        object.__setattr__(self, "parts", _listed(f"Concept '{self.name}'", "parts", self.parts, str))
        if not self.name or not self.region or "/" in self.name or "\\" in self.name or self.name[0] == ".":
            raise SpecError(
                f"A concept needs a name, which is a folder's name too, and a region; got name '{self.name}' and region "
                f"'{self.region}'."
            )
        if self.kind not in KINDS:
            raise SpecError(
                f"Concept '{self.name}': its kind must be one of {', '.join(KINDS)}; got '{self.kind}'."
            )
        landmark_groups(self.landmarks, self.name)


def default_threshold(groups: int) -> float:
    """From which probability a unit is paired with one of some groups: 0.55 of two, 1.2 times chance of more.

    Parameters
    ----------
    groups : int
        How many groups.

    Returns
    -------
    float
        The threshold; 0.3 for four groups, as published.

    Examples
    --------
    >>> [round(default_threshold(n), 3) for n in (2, 3, 4)]
    [0.55, 0.4, 0.3]
    """
    return 0.55 if groups == 2 else round(1.2 / groups, 6)


@dataclass(frozen=True)
class Category:
    """A grouping of whole faces into groups that exclude each other.

    Parameters
    ----------
    name : str
        Its name.
    groups : tuple of str
        At least two.
    threshold : float
        A unit is paired with a group where its probability is above it; 0, the default, stands for 0.55 of two groups
        and 1.2 divided by the number of more. It follows the number of groups that have images; another threshold stays.
    columns : tuple of str
        Columns looked for, in this order; the category's name when not given. A binary column gives its two groups: true is
        the one that the column is named after, else the first, but a column named after the category itself, or 'sex',
        does not tell and is not used. A categorical column gives the groups that its values name; a number is cut at
        `bounds`.
    bounds : tuple of float
        Inner bounds of the groups of a number, one fewer than groups; a bound belongs to the group above it.

    Raises
    ------
    SpecError
        If groups, threshold or bounds cannot be, or a field is of another type.

    Examples
    --------
    >>> Category("Colour", ("grey", "coloured"), columns=("grey",)).threshold
    0.55
    """

    name: str
    groups: tuple[str, ...]
    threshold: float = 0.0
    columns: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _text(f"Category {self.name!r}", "name", self.name)
        what = f"Category '{self.name}'"
        groups = _listed(what, "groups", self.groups, str)
        if not self.name or len(groups) < 2 or len(set(groups)) != len(groups) or not all(groups):
            raise SpecError(
                f"A category needs a name and at least two groups with names of their own; got '{self.name}' with "
                f"{list(groups)}."
            )
        if isinstance(self.threshold, bool) or not isinstance(self.threshold, Real):
            raise SpecError(f"{what}: its threshold must be a number; got {self.threshold!r}.")
        threshold = float(self.threshold) or default_threshold(len(groups))
        if not 0 < threshold < 1:
            raise SpecError(f"{what}: its threshold must lie between 0 and 1; got {self.threshold}.")
        bounds = _listed(what, "bounds", self.bounds, float)
        ascending = all(a < b for a, b in pairwise((-math.inf, *bounds, math.inf)))
        if bounds and (len(bounds) != len(groups) - 1 or not ascending):
            raise SpecError(
                f"{what}: {len(groups)} groups have {len(groups) - 1} bounds between them, ascending; got "
                f"{list(bounds)}."
            )
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "threshold", threshold)
        columns = _listed(what, "columns", self.columns, str)
        object.__setattr__(self, "columns", columns or (self.name,))
        object.__setattr__(self, "bounds", bounds)


@dataclass(frozen=True)
class ConceptTable:
    """What a Face Dictionary can say: local concepts with a region, and groupings of whole faces.

    Parameters
    ----------
    local : tuple of Concept
        Concepts that have a place.
    categories : tuple of Category
        Groupings.

    Raises
    ------
    SpecError
        If two concepts or groups have one name.

    References
    ----------
    Teotia, Lapedriza and Ostadabbas (2022), Interpreting face inference models using hierarchical network dissection,
    International Journal of Computer Vision 130, section 3.1.

    Examples
    --------
    >>> table = ConceptTable.published()
    >>> len(table.local), sum(len(category.groups) for category in table.categories)
    (38, 12)
    >>> {region: len(names) for region, names in table.regions.items()}
    {'Eye': 12, 'Cheek': 8, 'Nose': 4, 'Mouth': 10, 'Chin': 4}
    """

    local: tuple[Concept, ...] = ()
    categories: tuple[Category, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "local", tuple(self.local))
        object.__setattr__(self, "categories", tuple(self.categories))
        names = [c.name for c in self.local] + [group for c in self.categories for group in c.groups]
        for found, what in ((names, "concept"), ([c.name for c in self.categories], "category")):
            twice = [name for name, count in Counter(found).items() if count > 1]
            if twice:
                raise SpecError(
                    f"A table of concepts names each {what} once; '{twice[0]}' is there more than once."
                )

    @classmethod
    def published(cls) -> "ConceptTable":
        """The published table: 38 local concepts in five regions, 12 groups in four categories.

        Returns
        -------
        ConceptTable
            The table.

        Examples
        --------
        >>> ConceptTable.published().categories[1].groups
        ('Male', 'Female')
        """
        local = tuple(
            Concept(n, kind, region, names_in(parts), points) for n, kind, region, parts, points in LOCAL
        )
        return cls(local, tuple(Category(*entry) for entry in CATEGORIES))

    @classmethod
    def read(cls, path: str | Path) -> "ConceptTable":
        r"""Read a table from a file; `extended` adds it to another.

        A CSV has the columns of `table`: concept, kind, region; for a group of faces its kind is "global" and `category`
        names the grouping; threshold, parts, landmarks, columns and bounds may be left out, lists are separated by ``;``.
        A TOML file has ``[[local]]`` and ``[[category]]`` entries with the fields of `Concept` and `Category`.

        Parameters
        ----------
        path : str or Path
            .csv, .tsv, .parquet or .toml.

        Returns
        -------
        ConceptTable
            What the file says.

        Raises
        ------
        SpecError
            If an entry cannot be read; it is named.
        DataError
            If there is no such table.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder, "mine.csv")
        ...     _ = file.write_text("concept,kind,region,landmarks\nGlabella,part,Eye,21 22 27 28")
        ...     ConceptTable.read(file).regions
        {'Eye': ('Glabella',)}
        """
        from fusiform.faces.dictionary._concept_files import read_concepts

        return read_concepts(Path(path).expanduser())

    def with_local(self, *concepts: Concept) -> "ConceptTable":
        """The table with more local concepts, or with others of the same name.

        Parameters
        ----------
        *concepts : Concept
            The concepts.

        Returns
        -------
        ConceptTable
            The longer table.

        Examples
        --------
        >>> mine = Concept("Glabella", "part", "Eye", landmarks="21 22 27 28")
        >>> len(ConceptTable.published().with_local(mine).regions["Eye"])
        13
        """
        return self.extended(ConceptTable(concepts))

    def with_category(self, *categories: Category) -> "ConceptTable":
        """The table with more groupings of faces, or with others of the same name.

        Parameters
        ----------
        *categories : Category
            The groupings.

        Returns
        -------
        ConceptTable
            The longer table.

        Examples
        --------
        >>> grey = Category("Colour", ("grey", "coloured"), columns=("grey",))
        >>> [c.name for c in ConceptTable.published().with_category(grey).categories][-1]
        'Colour'
        """
        return self.extended(ConceptTable((), categories))

    def extended(self, other: "ConceptTable") -> "ConceptTable":
        """Both tables together; where both have an entry of one name, the other's.

        Parameters
        ----------
        other : ConceptTable
            What is added.

        Returns
        -------
        ConceptTable
            The longer table.

        Examples
        --------
        >>> table = ConceptTable.published()
        >>> table.extended(table) == table
        True
        """
        local = {c.name: c for c in (*self.local, *other.local)}
        categories = {c.name: c for c in (*self.categories, *other.categories)}
        return ConceptTable(tuple(local.values()), tuple(categories.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the local concepts, in order."""
        return tuple(c.name for c in self.local)

    @property
    def regions(self) -> dict[str, tuple[str, ...]]:
        """Local concepts of each region."""
        regions = dict.fromkeys(c.region for c in self.local)
        return {region: tuple(c.name for c in self.local if c.region == region) for region in regions}

    @property
    def table(self) -> pd.DataFrame:
        """One row a concept or group: concept, kind, region, category, threshold, parts, landmarks, columns, bounds."""
        rows: list[dict[str, Any]] = [
            {
                "concept": c.name,
                "kind": c.kind,
                "region": c.region,
                "parts": ";".join(c.parts),
                "landmarks": c.landmarks,
            }
            for c in self.local
        ]
        for category in self.categories:
            said = {
                "columns": ";".join(category.columns),
                "bounds": ";".join(map(repr, category.bounds)),
            }
            rows += [
                {"concept": g, "kind": "global", "category": category.name, "threshold": category.threshold}
                | said
                for g in category.groups
            ]
        return pd.DataFrame(rows, columns=list(TABLE)).astype(TABLE)


TABLE = {
    "concept": "string", "kind": "string", "region": "string", "category": "string", "threshold": "float64",
    "parts": "string", "landmarks": "string", "columns": "string", "bounds": "string",
}  # fmt: skip


def names_in(text: str) -> tuple[str, ...]:
    """Names separated by semicolons."""
    return tuple(name.strip() for name in text.split(";") if name.strip())


def _text(what: str, field: str, value: object) -> None:
    if not isinstance(value, str):
        raise SpecError(f"{what}: its {field} must be text; got {value!r}.")


def _listed(what: str, field: str, value: object, kind: type[T]) -> tuple[T, ...]:
    """A list of texts or numbers, each as itself; one alone is a list of one."""
    items = value if isinstance(value, list | tuple) else (value,) if value != "" else ()
    right = str if kind is str else Real
    if any(isinstance(item, bool) or not isinstance(item, right) for item in items):
        raise SpecError(
            f"{what}: its {field} must be a list of {'texts' if kind is str else 'numbers'}; got {value!r}."
        )
    return tuple(map(kind, items))


def only(table: ConceptTable, local: Iterable[str], groups: Mapping[str, Sequence[str]]) -> ConceptTable:
    """The table with some local concepts, and of categories with some groups only.

    A threshold that is the default of a category's number of groups becomes that of the groups left; another one, which
    somebody stated, stays.
    """
    kept = set(local)
    categories = []
    for category in table.categories:
        left = tuple(groups.get(category.name, ()))
        if left == category.groups:
            categories.append(category)
        elif len(left) > 1:
            stated = category.threshold != default_threshold(len(category.groups))
            threshold = category.threshold if stated else 0.0
            categories.append(replace(category, groups=left, threshold=threshold, bounds=()))
    return ConceptTable(tuple(c for c in table.local if c.name in kept), tuple(categories))
