"""A made-up run of the study of planted bias: every table, with numbers that a test can foretell."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

PERCENTS = (50, 60, 70, 80, 90, 100)
SEEDS = (0, 1, 2)
STAGES = {1: "stage1.0.conv1", 2: "stage2.0.conv1", 3: "stage3.0.conv1", 4: "stage4.0.conv1"}
WIDTHS = {1: 8, 2: 16, 3: 24, 4: 32}
LAYER = STAGES[4]
REGIONS = {"Eye": (6, 0.2), "Cheek": (10, -0.1), "Nose": (2, 0.0), "Mouth": (5, 0.0), "Chin": (1, 0.0)}


def units_of(region: str, percent: int, seed: int) -> int:
    """Eye units rise from 6 to 16, cheek units fall from 10 to 5; each seed has one more."""
    first, slope = REGIONS[region]
    return round(first + slope * (percent - 50)) + seed


def accuracy(percent: int, seed: int, congruent: bool) -> float:
    """Both are 0.9 at P = 50; at P = 100 faces that contradict the bias are at 0.4."""
    return (0.9 + 0.001 * (percent - 50) if congruent else 0.9 - 0.01 * (percent - 50)) + 0.01 * seed


def planted_tables() -> dict[str, pd.DataFrame]:
    """All tables; quantities of a seed differ by one from the next."""
    trained, regions, concepts, probabilities, biased, top = [], [], [], [], [], []
    for cue in ("eyeglasses", "grey"):
        for percent in PERCENTS:
            for seed in SEEDS:
                place = {"cue": cue, "percent": percent, "seed": seed}
                right, wrong = accuracy(percent, seed, True), accuracy(percent, seed, False)
                trained.append(
                    place
                    | {
                        "epochs": 10,
                        "steps": 310,
                        "seconds": 72.5,
                        "accuracy": (right + wrong) / 2,
                        "n_train": 2000,
                    }
                    | {
                        "accuracy_congruent": right,
                        "accuracy_incongruent": wrong,
                        "n_test": 800,
                        "weights": "w",
                    }
                )
                top += _top(place)
                if cue == "grey":
                    for stage in STAGES:
                        probabilities += _probabilities(place, stage)
                else:
                    for region in REGIONS:
                        row = place | {"layer": LAYER, "region": region}
                        regions.append(row | {"units": units_of(region, percent, seed)})
                    row = place | {"layer": LAYER, "concept": "Eyeglasses"}
                    concepts.append(row | {"units": 1 + seed + (percent - 50) // 5})
    found = pd.DataFrame(probabilities)
    for key, own in found.groupby(["cue", "percent", "seed", "stage", "layer"], sort=False):
        for towards in ("grey", "colour"):
            n = int((own[f"p_{towards}"] > 0.55).sum())
            place = dict(zip(("cue", "percent", "seed", "stage", "layer"), key, strict=True))
            biased.append(place | {"towards": towards, "units": n, "of": len(own), "share": n / len(own)})
    tables = {
        "trained": pd.DataFrame(trained),
        "units_regions": pd.DataFrame(regions),
        "units_concepts": pd.DataFrame(concepts),
        "probabilities": found,
        "biased": pd.DataFrame(biased),
        "top": pd.DataFrame(top),
        "training": _training(),
    }
    values = _values(tables)
    tables["summary"] = _summary(values)
    tables["ratios"] = _ratios(values)
    control = values[values["percent"] == 50].drop(columns="percent").assign(value=lambda t: t["value"] / 2)
    tables["control"] = control[~control["quantity"].str.startswith("accuracy")]
    tables["findings"] = pd.DataFrame(
        [
            (f"Sentence of {cue} {verdict}", "section 4", "resnet", cue, "measured", verdict, "a criterion")
            for cue in ("eyeglasses", "grey")
            for verdict in ("holds", "unclear")
        ],
        columns=["finding", "source", "network", "setup", "measured", "verdict", "criterion"],
    )
    return tables


def _top(place: dict) -> list[dict]:
    rows = []
    for group in ("Male", "Female"):
        with_cue = place["percent"] // 2 if group == "Male" else 50 - place["percent"] // 2
        file = f"top_{place['cue']}_{place['percent']}_{group}.jpg" if place["seed"] == 0 else ""
        for rank in range(1, 51):
            rows.append(
                place
                | {
                    "group": group,
                    "rank": rank,
                    "image_id": f"face_{rank}",
                    "cue_present": rank <= with_cue,
                }
                | {"activation": 9.0 - rank / 10, "file": file}
            )
    return rows


def _training() -> pd.DataFrame:
    rows = []
    for cue in ("eyeglasses", "grey"):
        for percent in (PERCENTS[0], PERCENTS[-1]):
            for group, share in (("Male", percent), ("Female", 100 - percent)):
                place = {
                    "cue": cue,
                    "percent": percent,
                    "group": group,
                    "file": f"train_{cue}_{percent}_{group}.jpg",
                }
                rows += [
                    place
                    | {"rank": rank, "image_id": f"face_{rank}", "cue_present": rank <= 20 * share / 100}
                    for rank in range(1, 21)
                ]
    return pd.DataFrame(rows)


def _probabilities(place: dict, stage: int) -> list[dict]:
    n = WIDTHS[stage]
    spread = 0.02 + 0.4 * (place["percent"] - 50) / 50
    colour = 0.5 + spread * np.linspace(1, -1, n)
    return [
        place
        | {
            "stage": stage,
            "layer": STAGES[stage],
            "unit": unit,
            "p_grey": 1 - p,
            "p_colour": p,
            "rank": unit + 1,
        }
        for unit, p in enumerate(colour.tolist())
    ]


def _values(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    keys = ["cue", "percent", "seed"]
    parts = [
        tables["trained"][keys].assign(
            quantity=name.replace("_", " "), layer="", value=tables["trained"][name]
        )
        for name in ("accuracy", "accuracy_congruent", "accuracy_incongruent")
    ]
    regions, concepts, biased, top = (tables[n] for n in ("units_regions", "units_concepts", "biased", "top"))
    parts.append(
        regions.assign(quantity=regions["region"] + " region units", value=regions["units"].astype(float))
    )
    parts.append(concepts.assign(quantity="eyeglasses units", value=concepts["units"].astype(float)))
    total = biased.groupby([*keys, "layer"], sort=False)["units"].sum().rename("value").reset_index()
    parts.append(total.assign(quantity="biased units"))
    shares = top.groupby([*keys, "group"], sort=False)["cue_present"].mean().rename("value").reset_index()
    words = shares["group"].map({"Male": "men", "Female": "women"})
    parts.append(shares.assign(quantity=shares["cue"] + " among top " + words, layer=""))
    columns = [*keys, "quantity", "layer", "value"]
    return pd.concat([part[columns] for part in parts], ignore_index=True)


def _summary(values: pd.DataFrame) -> pd.DataFrame:
    found = values.groupby(["cue", "percent", "quantity", "layer"], sort=False)["value"].agg(
        ["mean", "std", "size"]
    )
    found = found.rename(columns={"mean": "value", "size": "n_seeds"}).reset_index()
    return found.assign(lower=found["value"] - 2 * found["std"], upper=found["value"] + 2 * found["std"])


def _ratios(values: pd.DataFrame) -> pd.DataFrame:
    mean = (
        values.groupby(["cue", "layer", "quantity", "percent"], sort=False)["value"].mean().unstack("percent")
    )
    rows = []
    for (cue, layer, quantity), row in mean.iterrows():
        change = row[100] - row[50]
        rows.append(
            {"cue": cue, "layer": layer, "quantity": quantity, "percent_high": 100, "percent_low": 50}
            | {"ratio": row[100] / row[50] if row[50] else np.nan, "difference": change, "lower": change - 1}
            | {"upper": change + 1, "spread": 2.0, "exceeds": abs(change) > 2, "paper": "more"}
        )
    return pd.DataFrame(rows).astype({"exceeds": "boolean"})


def write_sprites(folder: Path, top: pd.DataFrame) -> None:
    """Write the sprites that the table names: fifty small images, ten a row."""
    (folder / "images").mkdir(exist_ok=True)
    for file in set(top["file"]) - {""}:
        pixels = np.zeros((5 * 64, 10 * 64, 3), np.uint8)
        for k in range(50):
            row, column = divmod(k, 10)
            tile = pixels[64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
            tile[:] = (90, 110, 140)
            tile[12:52, 18:46] = (214, 170 - k, 140)
        Image.fromarray(pixels).save(folder / "images" / file, quality=80)
