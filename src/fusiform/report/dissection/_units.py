"""Sections of pictures: units, those on which the methods disagree, and the best images of every concept."""

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from PIL import Image

from fusiform.report._build import absent, value_cell
from fusiform.report._format import breakable, listing, missing, number, scalar
from fusiform.report._parts import Block, Card, Cell, Picture, Section, table
from fusiform.report._pictures import embedded, png
from fusiform.report.dissection._material import Material

_STRIP_PX = 900
_WHERE_COLOUR = (15, 122, 192)


def browser(material: Material) -> Section:
    """Cards of units: what excites them, what they are paired with, where on the face they fire."""
    blocks = []
    for name in material.networks_of("units"):
        cards = _cards(material, name)
        if cards:
            pairs = material.rows("pairs", name)
            names = {str(concept) for concept in pairs["concept"]} if len(pairs) else set()
            suggested = sorted(names, key=str.lower)
            blocks.append(Block(setup=name, title=name, cards=cards, suggestions=suggested))
    return Section(
        "units",
        "Unit browser",
        [
            "Units that are paired with a concept, each with the images that excite it most, where the line encloses the area "
            "in which it exceeds its threshold; with what it is paired; and in which share of all images it fires where, in the "
            "frame of the network's input. Not all units are here: the strongest of every concept come first.",
        ],
        absent(material, "units", "the run keeps no pictures of units."),
        blocks,
    )


def _cards(material: Material, name: str) -> list[Card]:
    pictures = _rows_of(material, "pictures", name, kind="top")
    where = _rows_of(material, "where", name)
    units = {(row["layer"], row["unit"]): row for row in material.rows("units", name).to_dict("records")}
    pairs = material.rows("pairs", name)
    strips = _by_unit(pictures)
    maps = {(row["layer"], row["unit"]): row for row in where.to_dict("records")}
    paired = _by_unit(pairs)
    shown = list(dict.fromkeys([*strips, *maps]))
    return [
        _card(material, str(key[0]), key[1], units[key], strips.get(key), maps.get(key), paired.get(key))
        for key in shown
        if key in units
    ]  # fmt: skip


def _by_unit(rows: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    return dict(iter(rows.groupby(["layer", "unit"], sort=False))) if len(rows) else {}


def _card(
    material: Material,
    layer: str,
    unit: Any,
    row: dict[Any, Any],
    strip: pd.DataFrame | None,
    place: dict[Any, Any] | None,
    pairs: pd.DataFrame | None,
) -> Card:
    own = pairs if pairs is not None else pd.DataFrame(columns=["method", "concept"])
    own = own[own["method"] == "hierarchical"]
    if len(own):
        own = own.sort_values("probability", ascending=False, kind="stable", na_position="last")
        own = own.sort_values("scope", key=lambda s: s == "global", kind="stable")
    lines = [
        [
            _named(str(r["concept"]), str(r["region"]) if r["scope"] == "global" else ""),
            value_cell(r["iou"], 3),
            value_cell(r["probability"], 3),
            value_cell(r["threshold"], 3),
            _small(r["q_value"]),
        ]
        for r in own.to_dict("records")
    ]
    columns = ["Concept", "IoU", "Probability", "Needed", "q"]
    title = f"{layer} · unit {scalar(unit)}"
    dissected = "" if missing(row["network_dissection"]) else str(row["network_dissection"])
    facts = []
    if not row["fires"]:
        facts.append(("", _silent(row["threshold"], material.run.request.get("quantile"))))
    best = "" if missing(row["best_concept"]) else str(row["best_concept"])
    said = f"{dissected or 'no concept'}" + (
        f" (highest IoU {number(row['best_iou'], 3)}" + (f", {best})" if not dissected and best else ")")
        if not missing(row["best_iou"])
        else ""
    )
    facts.append(("Network Dissection:", said))
    concepts = list(dict.fromkeys([*(str(r["concept"]) for r in own.to_dict("records")), dissected]))
    region = "" if missing(row["region"]) else str(row["region"])
    return Card(
        title=title,
        text=" ".join(filter(None, [title, region, *concepts])),
        detail=f"region {region}" if region else "",
        pictures=[] if strip is None else _pictures(material, strip, title, captioned=False),
        where=None if place is None else _where(place, title),
        facts=facts,
        table=table(f"Concepts of {title}", columns, lines) if lines else None,
    )


def _silent(threshold: Any, quantile: Any) -> str:
    share = f"more than {100 * quantile:g}% of" if isinstance(quantile, float) else "too many"
    return (
        f"No activation exceeds its threshold, {number(threshold, 3)}: it is silent nearly everywhere, or at its highest value at "
        f"{share} all positions, as a unit after ReLU6 may be."
    )


def _named(concept: str, category: str) -> Cell:
    small = Markup("<small>{}</small>").format(category) if category else ""
    return Cell(breakable(concept) + small)


def _small(value: Any) -> tuple[Any, str]:
    return (value, "<0.001" if not missing(value) and value < 0.001 else number(value, 3))


def _pictures(material: Material, rows: pd.DataFrame, what: str, *, captioned: bool = True) -> list[Picture]:
    """Pictures of rows in their order; several rows may share a file, a strip of images."""
    made = []
    ordered = rows.sort_values("rank", kind="stable")
    for file, group in ordered.groupby("file", sort=False):
        source = embedded(material.run, file, most_px=_STRIP_PX)
        if source is None:
            continue
        ids = listing([str(i) for i in group["image_id"] if not missing(i)], most=5)
        captions = [str(c) for c in dict.fromkeys(group["caption"]) if not missing(c) and str(c)]
        made.append(Picture(source, f"{what}: {ids}", "; ".join(captions) if captioned else ""))
    return made


def _where(row: dict[Any, Any], title: str) -> Picture | None:
    values = np.asarray(row["values"], dtype=float)
    shape = int(row["rows"]), int(row["columns"])
    if values.size != shape[0] * shape[1] or not values.size or not np.isfinite(values).any():
        return None
    highest = float(np.nanmax(values))
    alpha = np.nan_to_num(values).clip(min=0) / (highest or 1.0)
    pixels = np.empty((*shape, 4), np.uint8)
    pixels[..., :3] = _WHERE_COLOUR
    pixels[..., 3] = np.rint(255 * alpha.reshape(shape))
    # The darkest cell is the highest, whatever it is; the caption says what.
    caption = f"fires in up to {100 * highest:.2g}% of images"
    return Picture(png(Image.fromarray(pixels, "RGBA")), f"Where {title} fires", caption)


def disagreements(material: Material) -> Section:
    """Figure 11: units whose most probable concept is not the one with the highest IoU."""
    blocks = []
    for name in _networks(material, "disagreement"):
        rows = _rows_of(material, "pictures", name, kind="disagreement")
        for (layer, unit), group in rows.groupby(["layer", "unit"], sort=False):
            pictures = []
            for concept, own in group.groupby("concept", sort=False):
                pictures += _pictures(material, own, f"{layer} unit {unit}, {concept}")
            if pictures:
                blocks.append(Block(setup=name, title=f"{layer} · unit {scalar(unit)}", pictures=pictures))
    return Section(
        "disagreement",
        "Where the most probable concept has not the highest IoU",
        [
            "Network Dissection names the concept with the highest IoU; within its region hierarchical dissection may find "
            "another more probable (figure 11). First the concept with the highest IoU, then the most probable one, each with "
            "images that carry it, the highest IoU first."
        ],
        absent(material, "disagreement", "the run keeps no pictures of such units."),
        blocks,
    )


def best_images(material: Material) -> Section:
    """The best images of every concept."""
    blocks = []
    for name in _networks(material, "concept"):
        rows = _rows_of(material, "pictures", name, kind="concept")
        pictures = []
        for concept, own in rows.groupby("concept", sort=False):
            pictures += _pictures(material, own, str(concept))
        if pictures:
            blocks.append(Block(setup=name, title=name, pictures=pictures))
    return Section(
        "best",
        "Best images of every concept",
        [
            "For every concept the unit that is most strongly paired with it. Of a local concept, the images in which the activated "
            "area and the concept's mask agree best; of a global group, which has no mask, the images of the group that activate "
            "the unit most."
        ],
        absent(material, "best", "the run keeps no pictures of concepts."),
        blocks,
    )


def _networks(material: Material, kind: str) -> list[str]:
    rows = material.rows("pictures")
    return [str(n) for n in dict.fromkeys(rows.loc[rows["kind"] == kind, "network"])] if len(rows) else []


def _rows_of(material: Material, name: str, network: str, *, kind: str | None = None) -> pd.DataFrame:
    rows = material.rows(name, network)
    return rows if kind is None or not len(rows) else rows[rows["kind"] == kind]
