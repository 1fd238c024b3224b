"""Sections of pictures: maps on the faces, and canonical model saliency maps."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray
from PIL import Image

from fusiform.plotting import attribution_grid, draw_canonical
from fusiform.plotting._attribution_maps import draw_map, map_scale
from fusiform.plotting._attribution_study_maps import joined_pictures
from fusiform.plotting._attribution_study_rows import method_name, ordered
from fusiform.report._build import Figures, absent, interval_cell, one_of, plotted
from fusiform.report._format import count, interval, listing, percent, signed
from fusiform.report._parts import Block, Picture, Section, table
from fusiform.report._pictures import encoded
from fusiform.report.attribution._material import Material, missing_said
from fusiform.report.attribution._wide import wide_table

_FACE_PX, _STRIP_PX, _MOST_SIDE_PX = 96, 440, 132
# Over all networks together, so that a page stays below about 8 MB.
_MOST_IMAGES, _MOST_MAPS = 6, 14
_MOST_RATIO = 3.0
_MOST_DIFFERENCES = 60
_ALL = "all"


def sheet(material: Material) -> Section:
    """Maps of the first images by every method."""
    blocks = []
    names = material.networks_of("pictures")
    for name in names:
        rows = material.rows("pictures", name)
        rows = rows[rows["target"] == rows["target"].iloc[0]]
        images = list(dict.fromkeys(rows["image"]))[: max(2, min(_MOST_IMAGES, _MOST_MAPS // len(names)))]
        pictures = [_faces(material, rows, images)] if images else []
        for method in ordered(rows, material.order(name)):
            pictures.append(_overlays(material, rows[rows["method"] == method], images, method))
        shown = [picture for picture in pictures if picture is not None]
        if shown:
            target = str(rows["target"].iloc[0])
            blocks.append(Block(setup=name, title=name, detail=f"target: {target}", pictures=shown))
    return Section(
        "maps",
        "Maps",
        [
            "Maps of the same faces by every method, best mean rank first. Red speaks for, blue against, where the colour is clear the map is 0. Each "
            "method has one scale, symmetric about 0, for all its images; it ends at the 99.5% quantile of absolute values. Maps of different "
            "methods have different units and are not to be compared by strength."
        ],
        absent(material, "pictures", "the run keeps no maps."),
        blocks,
    )


def _faces(material: Material, rows: pd.DataFrame, images: Sequence[str]) -> Picture | None:
    faces = [face for file in images if (face := material.face(file, _FACE_PX)) is not None]
    if not faces:
        return None
    ids = [str(i) for i in rows.drop_duplicates("image").set_index("image").loc[list(images), "image_id"]]
    return Picture(_webp(joined_pictures(faces)), f"The faces: {listing(ids)}", f"the faces: {listing(ids)}")


def _overlays(material: Material, rows: pd.DataFrame, images: Sequence[str], method: str) -> Picture | None:
    files = dict(zip(rows["image"], rows["file"], strict=True))
    maps = {image: values for image in images if (values := material.map(files.get(image))) is not None}
    if not maps:
        return None
    scale = map_scale(list(maps.values()))
    cells = []
    for image in images:
        face = material.face(image, _FACE_PX)
        face = np.full((_FACE_PX, _FACE_PX, 3), 128, np.uint8) if face is None else face
        # A blank cell keeps the columns where they are.
        values = maps.get(image)
        cells.append(face if values is None else draw_map(values, face, scale))
    return Picture(_webp(joined_pictures(cells)), f"Maps of {method_name(method)}", method_name(method))


def _webp(pixels: ndarray) -> str:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="WEBP", quality=82, method=5)
    return encoded("WEBP", buffer.getvalue())


def canonical(material: Material, figures: Figures) -> Section:
    """Canonical model saliency maps of networks and groups beside each other, and the shares of the parts."""
    blocks = []
    drawn = material.networks_of("canonical_maps")
    names = drawn + [name for name in material.networks_of("canonical") if name not in drawn]
    if len(drawn) > 1:
        pictures = _beside(material, drawn)
        if pictures:
            title = "All networks beside each other"
            blocks.append(Block(title=title, detail=", ".join(drawn), pictures=pictures))
    for name in names:
        rows = material.rows("canonical_maps", name)
        if name not in drawn:
            blocks += _shares(material, figures, name)
            continue
        groups = [str(g) for g in dict.fromkeys(rows["group"])]
        counts = rows.drop_duplicates("group").set_index("group")["n"]
        shown = [
            _of_method(material, rows[rows["method"] == m], groups, m)
            for m in ordered(rows, material.order(name))
        ]
        pictures = [picture for picture in shown if picture is not None]
        if pictures:
            words = [f"{g} ({count(counts[g])} images)" for g in groups] + _difference_words(groups)
            blocks.append(
                Block(
                    setup=name,
                    title=name,
                    detail=("from left to right: " if len(words) > 1 else "") + ", ".join(words),
                    pictures=pictures,
                )
            )
        blocks += _shares(material, figures, name)
    return Section(
        "canonical",
        "Canonical model saliency maps",
        [
            "Maps of all images carried to a neutral frontal face and averaged: where a network looks on the whole. Red for, blue against, "
            "one scale a method and network. The table of colours below them says how much of the saliency each part of the face holds, "
            "against its share of the face's area: the stronger the colour, the more it holds for its size."
        ],
        missing_said(material, ["canonical maps"], "the run has no canonical maps."),
        blocks,
    )


def _difference_words(groups: Sequence[str]) -> list[str]:
    named = [g for g in groups if g != _ALL]
    return [f"{named[0]} less {named[1]}"] if len(named) == 2 else []


def _of_method(material: Material, rows: pd.DataFrame, groups: Sequence[str], method: str) -> Picture | None:
    files = dict(zip(rows["group"].astype(str), rows["file"], strict=True))
    maps = {g: values for g in groups if (values := material.map(files.get(g))) is not None}
    square = {g: values for g, values in maps.items() if values.shape[0] == values.shape[1]}
    if not square:
        return None
    scale = map_scale(list(square.values()))
    side = _side(len(groups) + len(_difference_words(groups)))
    cells = [draw_canonical(square.get(g), scale, side) for g in groups]
    named = [g for g in groups if g != _ALL]
    if _difference_words(groups) and all(g in square for g in named):
        cells.append(draw_canonical(square[named[0]] - square[named[1]], scale, side))
    told = f"Canonical model saliency maps of {method_name(method)}: {', '.join(groups)}"
    return Picture(_webp(joined_pictures(cells)), told, method_name(method))


def _beside(material: Material, names: Sequence[str]) -> list[Picture]:
    pictures = []
    rows = material.rows("canonical_maps")
    rows = rows[rows["group"] == _ALL]
    for method in ordered(rows, material.order(names[0])):
        cells = []
        for name in names:
            own = rows[(rows["method"] == method) & (rows["network"] == name)]
            values = material.map(own["file"].iloc[0]) if len(own) else None
            if values is not None and values.shape[0] != values.shape[1]:
                values = None
            # Maps of networks have units of their own.
            cells.append(draw_canonical(values, None, _side(len(names))))
        told = f"Canonical model saliency maps of {method_name(method)}: {', '.join(names)}"
        pictures.append(Picture(_webp(joined_pictures(cells)), told, method_name(method)))
    return pictures


def _side(n: int) -> int:
    """Side of one of so many pictures in a strip as wide as the page shows it."""
    return max(56, min(_MOST_SIDE_PX, (_STRIP_PX - 3 * (n - 1)) // n))


def _shares(material: Material, figures: Figures, name: str) -> list[Block]:
    rows = material.rows("canonical", name)
    rows = rows[rows["share"].notna()] if len(rows) else rows
    if not len(rows):
        return []
    order = material.order(name)
    views = {str(g): _share_figure(own, order) for g, own in rows.groupby("group", sort=False)}
    label = (
        f"Share of the saliency by part of the canonical face, {name}. The numbers are in the table below."
    )
    shares = plotted(
        figures, "canonical", one_of(views), label, setup=name, title=f"Share of each part, {name}", pick=list(views), wide=True,
        note="Written: share of the saliency. Coloured: that share over the part's share of the face's area.",
    )  # fmt: skip
    said = rows.assign(value=rows["share"])
    tables = [
        Block(
            setup=name,
            table=wide_table(
                own, "part", f"Shares of the parts of {name}, {group}, with 95% intervals (%)", order=order, share=True,
                folded=f"The numbers of {group} ({count(own['n'].max())} images)",
            ),
        )
        for group, own in said.groupby("group", sort=False)
    ]  # fmt: skip
    return [shares, *tables, *_differences(rows, name)]


def _share_figure(rows: pd.DataFrame, order: Sequence[str]) -> Any:
    ratio = (rows["share"] / rows["area"].where(rows["area"] > 0)).clip(upper=_MOST_RATIO)
    told = [
        f"{percent(r['share'])} ({interval(100 * r['lower'], 100 * r['upper'], 1)}%) of the saliency on {percent(r['area'])} of the face"
        for r in rows.to_dict("records")
    ]
    heads = {
        str(r["part"]): f"{str(r['part']).replace('_', ' ')} ({percent(r['area'])})"
        for r in rows.drop_duplicates("part").to_dict("records")
    }
    return attribution_grid(
        rows.assign(value=rows["share"], colour=ratio, told=told), "part", order=order, heads=heads, written=percent,
        most=_MOST_RATIO, ticks={0.0: "0", 1.0: "area", 2.0: "2×", 3.0: "3×"},
    )  # fmt: skip


def _differences(rows: pd.DataFrame, name: str) -> list[Block]:
    groups = [str(g) for g in dict.fromkeys(rows["group"]) if g != _ALL]
    if len(groups) < 2:
        return []
    known = {(str(r["method"]), str(r["part"]), str(r["group"])): r for r in rows.to_dict("records")}
    lines = []
    for method, part in dict.fromkeys(zip(rows["method"], rows["part"], strict=True)):
        for k, first in enumerate(groups):
            for second in groups[k + 1 :]:
                a, b = known.get((method, part, first)), known.get((method, part, second))
                if a is None or b is None:
                    continue
                gap = float(a["share"] - b["share"])
                apart = a["lower"] > b["upper"] or a["upper"] < b["lower"]
                lines.append(
                    [
                        method_name(method),
                        part.replace("_", " "),
                        f"{first} less {second}",
                        (gap, f"{signed(100 * gap, 1)}"),
                        interval_cell(100 * a["lower"], 100 * a["upper"], 1),
                        interval_cell(100 * b["lower"], 100 * b["upper"], 1),
                        "yes" if apart else "",
                    ]
                )
    lines.sort(key=lambda line: (line[-1] != "yes", -abs(line[3][0])))
    apart = sum(line[-1] == "yes" for line in lines)
    more = max(0, len(lines) - _MOST_DIFFERENCES)
    n = len(lines)
    columns = [
        "Method",
        "Part",
        "Groups",
        "Difference (points)",
        "First, 95% interval (%)",
        "Second, 95% interval (%)",
        "Intervals apart",
    ]
    made = table(
        f"Differences between groups, {name}", columns, lines[:_MOST_DIFFERENCES],
        folded=f"Differences between groups: {apart} of {n} with intervals that do not overlap",
    )  # fmt: skip
    note = f"{count(more)} smaller ones follow from the tables of numbers." if more else ""
    return [Block(setup=name, table=made, note=note)]
