"""Maps drawn for the page and for a file of their own."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from fusiform.plotting import draw_map, draw_map_scale, map_scale, map_sheet
from fusiform.plotting._attribution_study_rows import METHOD_NAMES
from fusiform.report._format import missing, number
from fusiform.report._parts import Picture
from fusiform.report._pictures import png
from fusiform.report.explain._material import Material
from fusiform.runs import atomic_write

SHEET = "maps.png"
_MOST_IMAGES = 12
_SIDE_PX = 168
_NOTE = (
    "Red speaks for the score, blue against it; where nothing is drawn, the map is 0. All maps of a row share one scale: "
    "full colour is the value beside the row, beyond which 0.5% of the row's pixels lie."
)


@dataclass(frozen=True)
class MapRow:
    """A method, and its map of every image on one scale."""

    label: str
    below: str
    scale: str
    cells: list[Picture | None]
    pictures: list[UInt8[ndarray, "a b 3"] | None] = field(repr=False)


@dataclass(frozen=True)
class MapGrid:
    """Methods by images."""

    headings: list[str]
    rows: list[MapRow]
    legend: str
    more: int = 0


def map_grid(material: Material) -> MapGrid | None:
    """Draw the maps of all methods for the first images; None where there are none."""
    maps = material.rows("maps")
    if not len(maps):
        return None
    columns = _columns(maps)
    shown = columns[:_MOST_IMAGES]
    faces = {c.image: material.face_of(c.image) for c in shown}
    rows = [_faces_row(faces, shown)]
    for method, own in maps.groupby("method", sort=False):
        found = {
            Column(str(r["image"]), str(r["other"])): material.values(r["file"])
            for r in own.to_dict("records")
        }
        rows.append(_row(str(method), own, found, faces, shown))
    said = {"pair": _of_other, "triplet": _of_other, "identities": _of_other}.get(material.question, _of_none)
    headings = [said(column) for column in shown]
    return MapGrid(headings, rows, png(Image.fromarray(draw_map_scale())), len(columns) - len(shown))


class Column(NamedTuple):
    """An image, and what it is compared with."""

    image: str
    other: str


def _columns(maps: pd.DataFrame) -> list[Column]:
    pairs = maps[["image", "other"]].drop_duplicates().to_dict("records")
    return [Column(str(pair["image"]), str(pair["other"])) for pair in pairs]


def _of_other(column: Column) -> str:
    return f"{column.image}, beside {column.other}"


def _of_none(column: Column) -> str:
    return str(column.image)


def compared_faces(material: Material) -> list[Picture]:
    """The three images of a triplet; none of other questions, whose images stand above their maps."""
    if material.question != "triplet":
        return []
    rows = material.rows("images").to_dict("records")
    shown = [(row, face) for row in rows if (face := material.face(row["file"])) is not None]
    made = [(row, _picture(face, f"{row['role']}: {row['image']}")) for row, face in shown]
    return [Picture(each.source, each.alt, f"{row['role']}: {row['image']}") for row, each in made]


def _faces_row(faces: dict[str, Any], columns: list[Column]) -> MapRow:
    cells = [None if faces[c.image] is None else _picture(faces[c.image], f"Face {c.image}") for c in columns]
    return MapRow("Image", "as the network sees it", "", cells, [faces[c.image] for c in columns])


def _row(
    method: str, own: pd.DataFrame, found: dict[Any, Any], faces: dict[str, Any], columns: list[Column]
) -> MapRow:
    known = [values for values in found.values() if values is not None]
    scale = map_scale(known) if known else 0.0
    drawn: list[UInt8[ndarray, "a b 3"] | None] = []
    cells: list[Picture | None] = []
    for column in columns:
        values = found.get(column)
        if values is None:
            drawn.append(None)
            cells.append(None)
            continue
        drawing = draw_map(values, faces[column.image], scale)
        drawn.append(drawing)
        cells.append(_picture(drawing, _alt(method, column.image, values)))
    said = own["options"].iloc[0]
    below = "" if missing(said) or said == "defaults" else str(said)
    query = method.partition("?")[2]
    return MapRow(
        method_name(method),
        below or query.replace("&", ", "),
        f"\N{PLUS-MINUS SIGN}{_short(scale)}",
        cells,
        drawn,
    )


def method_name(label: str) -> str:
    """Write a method's name as people do, without its options.

    Examples
    --------
    >>> method_name("grad_cam?relu=true")
    'Grad-CAM'
    """
    name = label.partition("?")[0]
    return METHOD_NAMES.get(name, name.replace("_", " "))


def _alt(method: str, image: str, values: ndarray) -> str:
    """Where a map is highest and lowest, in words."""
    known = np.nan_to_num(values)
    said = [
        f"most {what} {_place(np.unravel_index(at, values.shape), values.shape)}"
        for what, at, there in (
            ("for", known.argmax(), known.max() > 0),
            ("against", known.argmin(), known.min() < 0),
        )
        if there
    ]
    return f"Map of {method_name(method)} for {image}: {', '.join(said) or 'zero everywhere'}"


def _place(at: tuple[Any, ...], shape: tuple[int, ...]) -> str:
    thirds = [min(2, int(3 * a / s)) for a, s in zip(at, shape, strict=True)]
    rows, columns = ("upper", "middle", "lower"), ("left", "centre", "right")
    return f"in the {rows[thirds[0]]} {columns[thirds[1]]}"


def _picture(pixels: UInt8[ndarray, "a b 3"], alt: str) -> Picture:
    side = max(pixels.shape[:2])
    # Small pictures are enlarged here, as browsers do it each in their own way.
    scale = max(1, round(2 * _SIDE_PX / side)) if side < _SIDE_PX else 1
    image = Image.fromarray(pixels)
    size = (image.width * scale, image.height * scale)
    if side > 2 * _SIDE_PX:
        image.thumbnail((2 * _SIDE_PX, 2 * _SIDE_PX))
        size = image.size
    return Picture(png(image.resize(size, Image.Resampling.BICUBIC)), alt)


def _short(value: float) -> str:
    return number(value, 3) if value >= 0.01 or value == 0 else f"{value:.1e}".replace("-", "\N{MINUS SIGN}")


def write_sheet(material: Material, grid: MapGrid, title: str) -> None:
    """Write the grid as a picture, ``images/maps.png``."""
    rows = [(row.label, f"{row.below} {row.scale}".strip(), row.pictures) for row in grid.rows]
    with atomic_write(material.run.path / "images" / SHEET) as part:
        map_sheet(rows, grid.headings, title=title, note=_NOTE).save(part, format="PNG")
