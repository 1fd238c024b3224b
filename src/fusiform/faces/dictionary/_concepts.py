"""Concepts and groupings of a Face Dictionary: a table that can be extended."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from fusiform.errors import SpecError
from fusiform.faces._tables import read_table
from fusiform.faces.dictionary._points import landmark_groups
from fusiform.faces.dictionary._published import CATEGORIES, LOCAL

KINDS = ("action unit", "part", "attribute")


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
        If the kind is not known, a name is empty, or landmarks cannot be read.

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
        and 1.2 divided by the number of more.
    columns : tuple of str
        Columns looked for, in this order; the category's name when not given. A binary column gives its two groups, true
        first; a categorical one those that its values name; a number is cut at `bounds`.
    bounds : tuple of float
        Inner bounds of the groups of a number, one fewer than groups; a bound belongs to the group above it.

    Raises
    ------
    SpecError
        If groups, threshold or bounds cannot be.

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
        groups = tuple(map(str, self.groups))
        if not self.name or len(groups) < 2 or len(set(groups)) != len(groups) or not all(groups):
            raise SpecError(
                f"A category needs a name and at least two groups with names of their own; got '{self.name}' with "
                f"{list(groups)}."
            )
        threshold = float(self.threshold) or default_threshold(len(groups))
        if not 0 < threshold < 1:
            raise SpecError(
                f"Category '{self.name}': its threshold must lie between 0 and 1; got {self.threshold}."
            )
        bounds = tuple(map(float, self.bounds))
        if bounds and (len(bounds) != len(groups) - 1 or list(bounds) != sorted(set(bounds))):
            raise SpecError(
                f"Category '{self.name}': {len(groups)} groups have {len(groups) - 1} bounds between them, ascending; got "
                f"{list(bounds)}."
            )
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "threshold", threshold)
        object.__setattr__(self, "columns", tuple(self.columns) or (self.name,))
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
            Concept(n, kind, region, _names(parts), points) for n, kind, region, parts, points in LOCAL
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
        path = Path(path).expanduser()
        if path.suffix.lower() == ".toml":
            return _from_toml(path)
        return _from_table(read_table(path), path)

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
                "bounds": ";".join(f"{b:g}" for b in category.bounds),
            }
            rows += [
                {"concept": g, "kind": "global", "category": category.name, "threshold": category.threshold}
                | said
                for g in category.groups
            ]
        return pd.DataFrame(rows, columns=list(_TABLE)).astype(_TABLE)


_TABLE = {
    "concept": "string", "kind": "string", "region": "string", "category": "string", "threshold": "float64",
    "parts": "string", "landmarks": "string", "columns": "string", "bounds": "string",
}  # fmt: skip


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(";") if name.strip())


def _from_table(table: pd.DataFrame, path: Path) -> ConceptTable:
    if not {"concept", "kind"} <= set(table.columns):
        raise SpecError(
            f"'{path}' is no table of concepts: it needs the columns concept, kind and region, or category; got "
            f"{', '.join(table.columns)}."
        )
    text = table.reindex(columns=list(_TABLE)).astype("string").fillna("")
    local = []
    groups: dict[str, list[dict[str, str]]] = {}
    for line, row in enumerate(text.to_dict("records"), 2):
        cells = {str(name): str(value).strip() for name, value in row.items()}
        if cells["kind"] == "global":
            groups.setdefault(cells["category"], []).append(cells)
            continue
        try:
            parts = _names(cells["parts"])
            local.append(Concept(cells["concept"], cells["kind"], cells["region"], parts, cells["landmarks"]))
        except SpecError as error:
            raise SpecError(f"Line {line} of '{path}': {error}") from error
    categories = []
    for name, rows in groups.items():
        first, members = rows[0], tuple(row["concept"] for row in rows)
        try:
            threshold, bounds = float(first["threshold"] or 0), tuple(map(float, _names(first["bounds"])))
            categories.append(Category(name, members, threshold, _names(first["columns"]), bounds))
        except ValueError as error:
            raise SpecError(f"'{path}', category '{name}': {error}") from error
    return ConceptTable(tuple(local), tuple(categories))


def _from_toml(path: Path) -> ConceptTable:
    import tomllib

    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"'{path}' cannot be read as TOML: {error}.") from error
    local = tuple(_entry(Concept, entry, path) for entry in _entries(said, "local", path))
    return ConceptTable(
        local, tuple(_entry(Category, entry, path) for entry in _entries(said, "category", path))
    )


def _entries(said: dict[str, Any], key: str, path: Path) -> Sequence[dict[str, Any]]:
    odd = [name for name in said if name not in ("local", "category")]
    entries = said.get(key, [])
    if odd or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SpecError(
            f"'{path}' must hold [[local]] and [[category]] entries; got {', '.join(odd or [key])}."
        )
    return entries


def _entry(kind: type, entry: dict[str, Any], path: Path) -> Any:
    known = [field.name for field in fields(kind)]
    try:
        return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in entry.items()})
    except (TypeError, ValueError) as error:
        raise SpecError(
            f"'{path}', entry {entry.get('name', entry)!r}: {error} Fields are {', '.join(known)}."
        ) from error


def only(table: ConceptTable, local: Iterable[str], groups: Mapping[str, Sequence[str]]) -> ConceptTable:
    """The table with some local concepts, and of categories with some groups only.

    A category of fewer groups than it had gets the threshold that its number of groups has by default.
    """
    kept = set(local)
    categories = []
    for category in table.categories:
        left = tuple(groups.get(category.name, ()))
        if left == category.groups:
            categories.append(category)
        elif len(left) > 1:
            categories.append(replace(category, groups=left, threshold=0.0, bounds=()))
    return ConceptTable(tuple(c for c in table.local if c.name in kept), tuple(categories))
