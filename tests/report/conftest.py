"""Run folders written by hand, so that the report is tested against the format and not against the audit."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

Folder = Callable[..., Path]

CELEBA = [
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
]


def probe_rows(
    attribute: str,
    kind: str,
    layers: Sequence[str],
    values: Sequence[float],
    *,
    control: bool = False,
    chance: float = 0.5,
    half_width: float = 0.02,
    network: str = "demo",
    depth_step: int = 3,
) -> list[dict[str, Any]]:
    """Rows of the table of probes of one attribute, on both splits."""
    metric = "r2" if kind == "continuous" else "balanced_accuracy"
    rows = []
    for index, (layer, value) in enumerate(zip(layers, values, strict=True)):
        row = {
            "network": network,
            "control": control,
            "layer": layer,
            "depth": depth_step * index,
            "role": "conv",
            "block": None,
            "unit_kind": "layer",
            "unit": "all",
            "attribute": attribute,
            "kind": kind,
            "metric": metric,
            "value": value,
            "lower": value - half_width,
            "upper": min(1.0, value + half_width),
            "chance": chance,
            "n": 800,
            "n_identities": 40,
        }
        rows += [row | {"split": "valid"}, row | {"split": "test"}]
        other = {"metric": "mae", "value": 10 * (1 - value), "chance": 10.0} if kind == "continuous" else None
        if other is None and kind == "binary":
            other = {"metric": "auc", "value": min(1.0, value + 0.01), "chance": 0.5}
        if other is not None:
            rows.append(row | other | {"split": "test", "lower": np.nan, "upper": np.nan})
    return rows


def best_of(probes: pd.DataFrame) -> pd.DataFrame:
    """The table of best layers that belongs to a table of probes."""
    rows = []
    primary = probes[(probes["split"] == "test") & probes["metric"].isin(["balanced_accuracy", "r2"])]
    for attribute, group in primary.groupby("attribute", sort=False):
        trained, control = group[~group["control"]], group[group["control"]]
        top = trained.loc[trained["value"].idxmax()]
        there = control.loc[control["value"].idxmax()] if len(control) else None
        rows.append(
            top[
                ["network", "kind", "metric", "layer", "depth", "value", "lower", "upper", "chance"]
            ].to_dict()
            | {
                "attribute": attribute,
                "control_value": np.nan if there is None else there["value"],
                "control_layer": None if there is None else there["layer"],
            }
        )
    return pd.DataFrame(rows)


def attributes_of(probes: pd.DataFrame) -> pd.DataFrame:
    """The table of attributes that belongs to a table of probes, with one left out."""
    rows = [
        {
            "attribute": name,
            "kind": kind,
            "unit": "deg" if kind == "continuous" else None,
            "n_known": 3990,
            "share": 0.25 if kind == "binary" else np.nan,
            "classes": "a, b, c" if kind == "categorical" else None,
            "n_train": 2400,
            "n_valid": 800,
            "n_test": 800,
            "rarer_test": 200,
            "status": "probed",
            "note": None,
        }
        for name, kind in probes[["attribute", "kind"]].drop_duplicates().itertuples(index=False)
    ]
    return pd.DataFrame(
        [*rows, rows[0] | {"attribute": "Left_Out", "status": "left out", "note": "one class only"}]
    )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A function that writes a run folder: tables as given, run.json, and example images."""

    def write(
        tables: dict[str, pd.DataFrame] | None = None, *, images: int = 0, name: str = "run", **record: Any
    ) -> Path:
        path = tmp_path / name
        (path / "tables").mkdir(parents=True)
        for key, table in (tables or {}).items():
            table.to_parquet(path / "tables" / f"{key}.parquet", index=False)
        standard = {
            "format": 1,
            "status": "complete",
            "started": "2026-11-03T09:00:00+00:00",
            "request": {"study": "audit", "network": "demo", "faces": "folder:people", "seed": 0},
            "environment": {"fusiform": "0.1.0", "packages": {"torch": "2.13.0"}},
            "network": {
                "name": "demo",
                "n_parameters": 271_000,
                "input_size": [112, 112],
                "digest": "ab" * 32,
            },
            "faces": {"name": "people", "spec": "folder:people", "n": 4000, "n_identities": 300},
            "timings": {"forward": 12.3, "probes": 61.0},
        }
        (path / "run.json").write_text(json.dumps(standard | record), encoding="utf-8")
        if images:
            _write_images(path / "images", images)
        return path

    return write


def _write_images(path: Path, n: int) -> None:
    path.mkdir()
    listed = []
    for index in range(n):
        pixels = np.full((32, 32, 3), 40 + 5 * index, np.uint8)
        Image.fromarray(pixels).save(path / f"example_{index:02d}.png")
        listed.append(
            {
                "file": f"example_{index:02d}.png",
                "image_id": f"person/{index}.jpg",
                "attributes": {"Male": index % 2 == 0, "yaw": 12.5, "race": "blue", "Young": None},
            }
        )
    (path / "examples.json").write_text(json.dumps(listed), encoding="utf-8")


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    """A small audit with known numbers: three layers; two binary, one categorical, one continuous attribute."""
    layers = ["stem", "stage1", "fc"]
    rows = probe_rows("Eyeglasses", "binary", layers, [0.8, 0.97, 0.9])
    rows += probe_rows("Eyeglasses", "binary", layers, [0.7, 0.71, 0.6], control=True)
    rows += probe_rows("Big_Lips", "binary", layers, [0.55, 0.6, 0.58])
    rows += probe_rows("Big_Lips", "binary", layers, [0.5, 0.61, 0.59], control=True)
    rows += probe_rows("race", "categorical", layers, [0.4, 0.6, 0.7], chance=0.25)
    rows += probe_rows("race", "categorical", layers, [0.4, 0.3, 0.3], control=True, chance=0.25)
    rows += probe_rows("yaw", "continuous", layers, [0.5, 0.9, 0.8], chance=0.0)
    rows += probe_rows("yaw", "continuous", layers, [0.3, 0.2, -4.0], control=True, chance=0.0)
    probes = pd.DataFrame(rows)
    verification = pd.DataFrame(
        [
            {
                "network": "demo",
                "control": control,
                "layer": "fc",
                "n_genuine": 1200,
                "n_impostor": 54000,
                "auc": auc,
                "lower": auc - 0.01,
                "upper": auc + 0.005,
            }
            for control, auc in ((False, 0.984), (True, 0.621))
        ]
    )
    listed = pd.DataFrame(
        [
            {
                "network": "demo",
                "layer": layer,
                "depth": 3 * index,
                "kind": "Conv2d",
                "role": "conv",
                "block": None,
                "shape": "16x28x28",
                "features": 12544,
            }
            for index, layer in enumerate([*layers, "embedding"])
        ]
    )
    skipped = pd.DataFrame([{"image_id": "broken.jpg", "reason": "truncated"}])
    return {
        "probes": probes,
        "best": best_of(probes),
        "attributes": attributes_of(probes),
        "layers": listed,
        "skipped": skipped,
        "verification": verification,
    }


@pytest.fixture(autouse=True)
def _small_plotly(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    # Plotly's five megabytes are written and parsed by the tests that look at them only.
    if "whole_plotly" not in request.fixturenames:
        monkeypatch.setattr("fusiform.report._page.get_plotlyjs", lambda: "/* plotly.js v0 </script> */")


@pytest.fixture
def whole_plotly() -> None:
    """Asks for plotly itself."""
