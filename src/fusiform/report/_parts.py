"""What pages are made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from fusiform.report._format import missing


@dataclass(frozen=True)
class Page:
    """A study's page: its head, its template, what the template shows, and the figures.

    ``kicker`` names the study above the title, ``summary`` says in sentences what was found, ``key_figures`` are
    numbers with label and note. ``contents`` lists the sections as pairs of id and title. ``single`` names the
    figures whose lines have one point only.
    """

    template: str
    title: str
    kicker: str
    summary: list[str]
    key_figures: list[dict[str, str]]
    contents: list[tuple[str, str]]
    values: dict[str, Any]
    figures: dict[str, go.Figure] = field(default_factory=dict)
    single: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is shown, and the number to sort by where it is one."""

    text: str | Markup
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows; `numeric` says which columns are numbers."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = frozenset()
    folded: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, what it shows for those who do not see it, and what stands below."""

    source: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Card:
    """One of many things that the reader searches, such as a unit of a network; `text` is what is searched."""

    title: str
    text: str
    detail: str = ""
    pictures: Sequence[Picture] = ()
    where: Picture | None = None
    facts: Sequence[tuple[str, str]] = ()
    table: Table | None = None


@dataclass(frozen=True)
class Block:
    """A part of a section: a figure, small panels, pictures, cards or a table, under a heading of its own.

    ``setup`` names the network that it is about, so that the reader can choose one; ``pick`` names the attributes, and
    ``layers`` the layers, of which the figure shows one at a time. A ``wide`` figure scrolls on a narrow screen.
    """

    title: str = ""
    detail: str = ""
    setup: str | None = None
    plot: str | None = None
    label: str = ""
    pick: Sequence[str] = ()
    layers: Sequence[str] = ()
    wide: bool = False
    pictures: Sequence[Picture] = ()
    cards: Sequence[Card] = ()
    suggestions: Sequence[str] = ()
    panels: Sequence[dict[str, Any]] = ()
    key: Sequence[tuple[str, str]] = ()
    table: Table | None = None
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A section: how it is to be read, its blocks, and what to say where there are none."""

    id: str
    title: str
    text: Sequence[str]
    absent: str
    blocks: Sequence[Block] = ()

    @property
    def setups(self) -> list[str]:
        """Names to choose among, in order."""
        return list(dict.fromkeys(block.setup for block in self.blocks if block.setup is not None))


def table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    folded: str = "",
) -> Table:
    """Make a table of rows whose cells are text, pairs of a number and how it is written, or `Cell`.

    Examples
    --------
    >>> table("Values", ["Layer", "Value"], [["fc", (0.91, "0.91")]]).rows[0][1]
    Cell(text='0.91', value=0.91)
    """
    made: list[list[Cell]] = []
    numeric: set[int] = set()
    for row in rows:
        cells = []
        for index, cell in enumerate(row):
            if isinstance(cell, tuple):
                numeric.add(index)
                cell = Cell(cell[1], None if missing(cell[0]) else float(cell[0]))
            cells.append(cell if isinstance(cell, Cell) else Cell(cell))
        made.append(cells)
    return Table(caption, columns, made, frozenset(numeric), folded)
