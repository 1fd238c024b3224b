"""What the figures of a study of dissection select from its tables."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from fusiform.plotting import style
from fusiform.plotting._expressivity_rows import chosen
from fusiform.plotting.tables import check_columns

HIERARCHICAL, NETWORK_DISSECTION = "hierarchical", "network"
METHOD_NAMES = {HIERARCHICAL: "hierarchical dissection", NETWORK_DISSECTION: "Network Dissection"}
KIND_COLOURS = {
    "action unit": style.COLOURS[1],
    "part": style.COLOURS[2],
    "attribute": style.COLOURS[0],
    "global": style.COLOURS[5],
}
KIND_NAMES = {
    "action unit": "action units",
    "part": "facial parts",
    "attribute": "attributes",
    "global": "global concepts",
}
UNPAIRED = "none"


def of_network(
    table: pd.DataFrame,
    columns: Iterable[str],
    *,
    what: str,
    network: str | None = None,
    layer: str | None = None,
    one_layer: bool = False,
) -> pd.DataFrame:
    """Select the rows of one network and its random-weights twin, with `one_layer` of one layer, by default the deepest."""
    check_columns(table, ["network", "control", "layer", "depth", *columns], what=what)
    names = [str(name) for name in dict.fromkeys(table["network"])]
    rows = table[table["network"] == chosen(names, network, "network", what)]
    rows = rows.assign(control=rows["control"].astype(bool))
    if one_layer:
        there = layers_of(rows)
        rows = rows[rows["layer"] == chosen(there, layer or there[-1], "layer", what)]
    return rows.reset_index(drop=True)


def layers_of(rows: pd.DataFrame) -> list[str]:
    """List the layers of the trained network in order of depth; those of the twin where there are no others."""
    trained = rows[~rows["control"].astype(bool)]
    rows = trained if len(trained) else rows
    return [str(layer) for layer in dict.fromkeys(rows.sort_values("depth", kind="stable")["layer"])]


def by_region(rows: pd.DataFrame) -> pd.DataFrame:
    """List concepts, those of a region together, regions and global categories in the order of the rows."""
    listed = rows.drop_duplicates(["region", "concept"])
    is_global = listed["concept_kind"] == "global"
    place = {region: i for i, region in enumerate(dict.fromkeys(listed["region"]))}
    listed = listed.assign(_global=is_global, _place=listed["region"].map(place))
    made = listed.sort_values(["_global", "_place"], kind="stable").drop(columns=["_global", "_place"])
    return made.reset_index(drop=True)


def region_said(iou: Any) -> str:
    """Say which units are those of a region."""
    least = f"{iou:g} or more" if isinstance(iou, int | float) else "at the threshold or above"
    return (
        "A unit belongs to a region of the face where it is paired with a local concept of it: the concept with the unit's highest "
        f"IoU, which must be {least}, names the region (stage II), and of the K concepts there one or more have a probability "
        "above 1.5/K (stage III)."
    )


def pixels_a_mask(pixels: Any, images: Any, kind: Any) -> float | None:
    """Give the mean area of a mask from the sum over all images; None of global concepts, which have none."""
    known = kind != "global" and pd.notna(pixels) and pd.notna(images) and images > 0
    return float(pixels) / float(images) if known else None


def region_marks(regions: list[str], *, axis: str = "y") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Give lines between the regions of an upright axis of concepts, and their names on its right."""
    shapes: list[dict[str, Any]] = []
    names: list[dict[str, Any]] = []
    start = 0
    for index in range(1, len(regions) + 1):
        if index < len(regions) and regions[index] == regions[start]:
            continue
        if index < len(regions):
            ends: dict[str, Any] = {"x0": 0, "x1": 1, "y0": index - 0.5, "y1": index - 0.5}
            line = {"color": style.CHANCE, "width": 0.7}
            shapes.append(
                {"type": "line", "xref": "paper", "yref": axis, "layer": "below", "line": line} | ends
            )
        text = style.plain(regions[start].replace("_", " "))
        place: dict[str, Any] = {
            "x": 1.0,
            "y": (start + index - 1) / 2,
            "xref": "paper",
            "yref": axis,
            "xanchor": "left",
        }
        look: dict[str, Any] = {"showarrow": False, "xshift": 6, "font": {"size": 11, "color": style.MUTED}}
        names.append({"text": text} | place | look)
        start = index
    return shapes, names
