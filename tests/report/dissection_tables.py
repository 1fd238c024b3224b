"""A made-up run of the study of dissection: every table, with numbers that a test can foretell."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

NETWORK = "demo"
LAYERS = {"stage3.1": 8, "stage4.0.conv1": 10, "stage4.0": 12}
MAIN = "stage4.0.conv1"
UNITS = 24
REGIONS = {
    "Eye": {"AU_1": "action unit", "left_eye": "part", "right_eye": "part", "Eyeglasses": "attribute"},
    "Cheek": {"AU_6": "action unit", "left_cheek": "part", "No_Beard": "attribute"},
    "Nose": {"nose": "part", "Big_Nose": "attribute"},
    "Mouth": {"AU_12": "action unit", "mouth": "part", "Smiling": "attribute", "Wearing_Lipstick": "attribute"},
    "Chin": {"AU_17": "action unit", "Goatee": "attribute"},
}  # fmt: skip
CATEGORIES = {
    "Gender": (["Male", "Female"], 0.55),
    "Age": (["zero_to_twenty", "twenty_to_forty", "forty_to_sixty", "sixty_plus"], 0.3),
}
LOCAL = [(concept, kind, region) for region, of in REGIONS.items() for concept, kind in of.items()]
GROUPS = [(group, category) for category, (groups, _) in CATEGORIES.items() for group in groups]
METHODS = ("hierarchical", "network")


def planted_tables() -> dict[str, pd.DataFrame]:
    """Unit u of a trained layer has concept u modulo the number of concepts, and the one after it in its region."""
    places = [
        {"network": NETWORK, "control": control, "layer": layer, "depth": depth}
        for control in (False, True)
        for layer, depth in LAYERS.items()
    ]
    pairs = pd.concat([_pairs(place) for place in places], ignore_index=True)
    units = pd.concat([_units(place, pairs) for place in places], ignore_index=True)
    pictures, where = _pictures(units, pairs)
    keys = ["network", "control", "layer", "depth"]
    hierarchical = pairs[pairs["method"] == "hierarchical"]
    kinds = hierarchical.groupby([*keys, "concept_kind"], sort=False)["unit"]
    return {
        "pairs": pairs,
        "units": units,
        "coverage": _coverage(pairs, places),
        "counts": _counts(pairs, places),
        "overlay": _overlay(pairs, places),
        "regions": units.groupby([*keys, "region"], sort=False).size().rename("units").reset_index(),
        "kinds": kinds.agg(units="nunique", pairs="size").reset_index(),
        "unique": _unique(pairs),
        "dictionary": _dictionary(),
        "problems": pd.DataFrame(
            {
                "concept": ["Goatee", "Goatee", "nose"],
                "image_id": ["a/1.png", "a/2.png", None],
                "reason": ["empty mask", "empty mask", "no image of that name"],
            }
        ),
        "bias": _bias(pairs, places),
        "pictures": pictures,
        "where": where,
        "findings": pd.DataFrame(
            [
                (f"Sentence {i}.", "section 5.2", NETWORK, NETWORK, "measured", verdict, "a criterion")
                for i, verdict in enumerate(["holds", "holds", "does not hold", "not measured"])
            ],
            columns=["finding", "source", "network", "setup", "measured", "verdict", "criterion"],
        ),
        "layers": pd.DataFrame(
            [
                {"network": NETWORK, "layer": layer, "depth": depth, "kind": "Conv2d", "role": "conv", "block": None,
                 "shape": "24x7x7", "features": 1176, "main": layer == MAIN}
                for layer, depth in [("stem", 0), *LAYERS.items()]
            ]
        ),
    }  # fmt: skip


def _pairs(place: dict) -> pd.DataFrame:
    # A random network pairs every fourth unit only.
    step = 4 if place["control"] else 1
    rows = []
    for unit in range(0, UNITS, step):
        first = LOCAL[unit % len(LOCAL)]
        mates = [each for each in LOCAL if each[2] == first[2]]
        second = mates[(mates.index(first) + 1) % len(mates)]
        for rank, (concept, kind, region) in enumerate([first, second]):
            common = {"concept": concept, "concept_kind": kind, "region": region, "scope": "local"}
            numbers = {
                "iou": 0.2 - 0.01 * rank,
                "probability": 0.7 + 0.1 * rank,
                "p_value": 0.001,
                "q_value": 0.01,
            }
            row = place | {"unit_kind": "unit", "unit": unit} | common | numbers | {"n": 400}
            rows.append(row | {"method": "hierarchical", "threshold": 1.5 / len(mates)})
            if rank == 0:
                rows.append(row | {"method": "network", "threshold": 0.04, "probability": np.nan})
        if unit % 2 == 0:
            group, category = GROUPS[unit // 2 % len(GROUPS)]
            rows.append(
                place
                | {
                    "unit_kind": "unit",
                    "unit": unit,
                    "method": "hierarchical",
                    "scope": "global",
                    "concept": group,
                }
                | {"concept_kind": "global", "region": category, "iou": np.nan, "probability": 0.6, "n": 500}
                | {"threshold": CATEGORIES[category][1], "p_value": 0.2, "q_value": 0.3}
            )
    return pd.DataFrame(rows)


def _units(place: dict, pairs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    own = pairs[(pairs["layer"] == place["layer"]) & (pairs["control"] == place["control"])]
    for unit in range(UNITS):
        concept, _, region = LOCAL[unit % len(LOCAL)]
        found = own[(own["unit"] == unit) & (own["method"] == "hierarchical")]
        fires = unit != UNITS - 1
        rows.append(
            place
            | {"unit": unit, "threshold": 1.5 if fires else 0.0, "fires": fires, "region": region}
            | {"best_concept": concept, "best_iou": 0.2, "local": 2, "global_": 1 - unit % 2}
            | {"concepts": "; ".join(found["concept"]), "network_dissection": concept if len(found) else ""}
        )
    return pd.DataFrame(rows)


def _coverage(pairs: pd.DataFrame, places: list[dict]) -> pd.DataFrame:
    rows = []
    for place in places:
        own = pairs[(pairs["layer"] == place["layer"]) & (pairs["control"] == place["control"])]
        for method in METHODS:
            of = own[own["method"] == method]
            for scope in ("local", "global", "either"):
                n = (
                    of["unit"].nunique()
                    if scope == "either"
                    else of.loc[of["scope"] == scope, "unit"].nunique()
                )
                share = n / UNITS
                rows.append(
                    place
                    | {"method": method, "scope": scope, "interpretable": n, "units": UNITS, "share": share}
                    | {"lower": max(0.0, share - 0.15), "upper": min(1.0, share + 0.1)}
                )
    return pd.DataFrame(rows)


def _counts(pairs: pd.DataFrame, places: list[dict]) -> pd.DataFrame:
    rows = []
    for place in places:
        own = pairs[(pairs["layer"] == place["layer"]) & (pairs["control"] == place["control"])]
        named = [*LOCAL, *((group, "global", category) for group, category in GROUPS)]
        for method in METHODS:
            for concept, kind, region in named:
                if kind == "global" and method == "network":
                    continue
                n = int(((own["method"] == method) & (own["concept"] == concept)).sum())
                rows.append(
                    place
                    | {
                        "method": method,
                        "concept": concept,
                        "concept_kind": kind,
                        "region": region,
                        "units": n,
                    }
                )
    return pd.DataFrame(rows)


def _of_units(own: pd.DataFrame, concept: str) -> set[int]:
    return set(own.loc[(own["method"] == "hierarchical") & (own["concept"] == concept), "unit"])


def _overlay(pairs: pd.DataFrame, places: list[dict]) -> pd.DataFrame:
    rows = []
    for place in places:
        own = pairs[(pairs["layer"] == place["layer"]) & (pairs["control"] == place["control"])]
        for concept, _, _ in LOCAL:
            units = _of_units(own, concept)
            for category, (groups, _) in CATEGORIES.items():
                rest = set(units)
                for group in groups:
                    both = units & _of_units(own, group)
                    rest -= both
                    rows.append(
                        place
                        | {"concept": concept, "category": category, "group": group, "units": len(both)}
                        | {"units_of_concept": len(units)}
                    )
                rows.append(
                    place
                    | {"concept": concept, "category": category, "group": "none", "units": len(rest)}
                    | {"units_of_concept": len(units)}
                )
    return pd.DataFrame(rows)


def _unique(pairs: pd.DataFrame) -> pd.DataFrame:
    found = pairs.groupby(["network", "control", "layer", "depth", "method"], sort=False)["concept"].nunique()
    made = found.rename("concepts").reset_index()
    return made.assign(per_unit=made["concepts"] / UNITS)


def _dictionary() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"concept": concept, "kind": kind, "region": region, "images": 40 * i, "pixels": 300.0 * 40 * i if i else np.nan,
             "note": "" if i else "no images"}
            for i, (concept, kind, region) in enumerate(LOCAL)
        ]
    )  # fmt: skip


def _bias(pairs: pd.DataFrame, places: list[dict]) -> pd.DataFrame:
    rows = []
    for place in places:
        own = pairs[(pairs["layer"] == place["layer"]) & (pairs["control"] == place["control"])]
        for i, (concept, _, _) in enumerate(LOCAL):
            for j, (group, category) in enumerate(GROUPS):
                a, b = _of_units(own, concept), _of_units(own, group)
                expected = len(a) * len(b) / UNITS
                ratio = len(a & b) / expected if expected else np.nan
                rows.append(
                    place
                    | {"concept": concept, "category": category, "group": group, "units": len(a & b)}
                    | {"expected": expected, "ratio": ratio, "association": np.sin(i + 3 * j) / 2}
                    | {
                        "task_association": np.cos(i),
                        "group_task_association": np.cos(j) / 2,
                        "p_value": 0.01 if ratio > 3 else 0.5,
                    }
                )
    return pd.DataFrame(rows)


def _pictures(units: pd.DataFrame, pairs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, where = [], []
    own = units[~units["control"] & units["fires"]]
    for row in own.to_dict("records"):
        place = {key: row[key] for key in ("network", "layer", "depth", "unit")}
        numbers = {"iou": row["best_iou"], "probability": 0.7}
        name = f"{row['layer']}_{row['unit']}.jpg"
        kinds = [("top", row["best_concept"], "the images that activate it most")]
        if row["layer"] == MAIN and row["unit"] < 2:
            second = row["concepts"].split("; ")[1]
            kinds += [
                ("disagreement", row["best_concept"], "the highest IoU"),
                ("disagreement", second, "the most probable"),
            ]
        if row["layer"] == MAIN and row["unit"] < len(LOCAL):
            kinds.append(("concept", row["best_concept"], "best images"))
        for kind, concept, said in kinds:
            for rank in range(5):
                rows.append(
                    place
                    | {
                        "kind": kind,
                        "concept": concept,
                        "rank": rank,
                        "image_id": f"face_{rank}",
                        "file": f"{kind}_{name}",
                    }
                    | numbers
                    | {"caption": f"Unit {row['unit']} of {row['layer']}: {concept}, {said}"}
                )
        values = np.zeros((7, 7))
        values[row["unit"] % 7, 2:5] = [0.1, 0.4, 0.1]
        where.append(
            {"network": NETWORK, "layer": row["layer"], "unit": row["unit"], "rows": 7, "columns": 7}
            | {"values": values.ravel().tolist()}
        )  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(where)


def write_strips(folder: Path, pictures: pd.DataFrame) -> None:
    """Write the strips that the table names: five drawn faces each, with an outline."""
    (folder / "images").mkdir(exist_ok=True)
    for file, group in pictures.groupby("file"):
        strip = Image.new("RGB", (5 * 96 + 4 * 3, 96), "white")
        draw = ImageDraw.Draw(strip)
        unit = int(group["unit"].iloc[0])
        for i in range(5):
            x = 99 * i
            draw.rectangle((x, 0, x + 95, 95), fill=(60 + 20 * i, 70, 110))
            draw.ellipse((x + 22, 10, x + 74, 86), fill=(214, 170, 140))
            draw.ellipse(
                (x + 30, 12 + 8 * (unit % 7), x + 60, 30 + 8 * (unit % 7)), outline=(255, 214, 0), width=2
            )
        strip.save(folder / "images" / str(file), quality=80)
