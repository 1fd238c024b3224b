"""A made-up run of the study of expressivity: every table, with numbers that a test can foretell."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

LAYERS = ("image", "stage1", "stage2", "pool", "fc")
STEPS = (1, 3, 10, 40, 200)
RANDOM = " (random weights)"
NETWORK = "demo"
# Encoding, first and last value over the layers, in nats; entropy; unit.
ATTRIBUTES: dict[str, tuple[tuple[str, ...], float, float, float, str]] = {
    "identity": (("categorical", "numeric"), 0.3, 2.6, 3.7, ""),
    "age": (("ranks",), 1.3, 1.2, 2.9, "years"),
    "sex": (("categorical",), 0.5, 0.45, 0.69, ""),
    "yaw": (("ranks",), 1.5, 0.6, 2.8, "deg"),
}
SERIES = [(name, encoding) for name, (encodings, *_) in ATTRIBUTES.items() for encoding in encodings]
# What an estimator finds of the truth.
ESTIMATORS = {"mine": 1.0, "infonce": 0.9, "gaussian": 0.5}
GAP = 0.15


def truth(attribute: str, encoding: str, along: float) -> float:
    """The value at a share of the way from the image to the last layer."""
    _, first, last, _, _ = ATTRIBUTES[attribute]
    return (first + (last - first) * along) * (0.4 if encoding == "numeric" else 1.0)


def course_truth(attribute: str, encoding: str, step: int) -> float:
    """The value of the last layer after so many steps: identity rises, the others peak at step 3 and fall."""
    last = truth(attribute, encoding, 1.0)
    along = STEPS.index(step) / (len(STEPS) - 1)
    return (
        last * (0.3 + 0.7 * along)
        if attribute == "identity"
        else last * (1.6 - 0.6 * along - 0.2 * (step == 1))
    )


def _rows(
    place: dict[str, Any], attribute: str, encoding: str, value: float, estimator: str
) -> list[dict[str, Any]]:
    common = place | {
        "unit_kind": "layer",
        "unit": "",
        "attribute": attribute,
        "encoding": encoding,
        "estimator": estimator,
        "metric": "mutual information",
        "chance": 0.0,
        "std": 0.02,
        "restarts": 16,
        "retried": int(attribute == "sex"),
        "converged": 16 - int(attribute == "age"),
        "epochs": 40.0,
        "entropy": ATTRIBUTES[attribute][3],
        "channels": 12,
        "features": 2048,
        "note": "",
    }
    splits = (("held out", value, 1000), ("train", value + GAP, 4000))
    return [
        common | {"split": split, "value": v, "lower": v - 0.05, "upper": v + 0.05, "n": n}
        for split, v, n in splits
    ]


def expressivity(networks: Sequence[str] = (NETWORK,)) -> pd.DataFrame:
    rows = []
    for estimator, share in ESTIMATORS.items():
        for network in networks:
            for index, layer in enumerate(LAYERS):
                place = {"network": network, "layer": layer, "depth": index - 1}
                along = index / (len(LAYERS) - 1)
                for attribute, encoding in SERIES:
                    value = share * truth(attribute, encoding, along)
                    rows += _rows(place, attribute, encoding, value, estimator)
                    if layer != "image" and estimator == "mine":
                        twin = place | {"network": network + RANDOM}
                        rows += _rows(twin, attribute, encoding, 0.5 * value, estimator)
    return pd.DataFrame(rows)


def course() -> pd.DataFrame:
    rows = []
    for layer, share in (("stage2", 0.8), ("fc", 1.0)):
        for attribute, encoding in SERIES:
            for step in STEPS:
                place = {"network": NETWORK, "layer": layer, "depth": LAYERS.index(layer) - 1}
                place |= {"step": step, "start": "training"}
                rows += _rows(
                    place, attribute, encoding, share * course_truth(attribute, encoding, step), "mine"
                )
            start = {"network": NETWORK, "layer": layer, "depth": 3, "step": 0, "start": "random"}
            rows += _rows(start, attribute, encoding, share * 0.2, "mine")
    for attribute, encoding in SERIES:
        other = {"network": "objects", "layer": "global_pool", "depth": 80, "step": 0, "start": "pretrained"}
        rows += _rows(other, attribute, encoding, 0.35, "mine")
    return pd.DataFrame(rows)


def linear() -> pd.DataFrame:
    rows = []
    for attribute, (_, _, _, _, unit) in ATTRIBUTES.items():
        encoding = ATTRIBUTES[attribute][0][0]
        places = [
            (layer, index - 1, None, truth(attribute, encoding, index / (len(LAYERS) - 1)))
            for index, layer in enumerate(LAYERS)
        ]
        places += [("fc", 3, step, course_truth(attribute, encoding, step)) for step in STEPS[1::2]]
        for layer, depth, step, value in places:
            metric = "mean absolute error" if unit else "error rate"
            error = (10.0 if unit else 0.5) / (1 + value)
            rows.append(
                {
                    "network": NETWORK,
                    "step": step,
                    "layer": layer,
                    "depth": depth,
                    "attribute": attribute,
                    "metric": metric,
                    "value": error,
                    "lower": error * 0.95,
                    "upper": error * 1.05,
                    "chance": 12.0 if unit else 0.5,
                    "n_train": 3000,
                    "n_test": 2000,
                    "unit": unit,
                }
            )
    return pd.DataFrame(rows).astype({"step": "Int64"})


def correlation() -> pd.DataFrame:
    rows = [
        {
            "network": NETWORK,
            "over": over,
            "attribute": name,
            "estimator": "mine",
            "encoding": encoding,
            "pearson": r,
            "spearman": r - 0.05,
            "lower": -1.0,
            "upper": r + 0.3,
            "n": n,
            "p_value": 0.01,
        }
        for over, r, n in (("layers", -0.93, 5), ("training", -0.81, 3))
        for name, encoding in SERIES
    ]
    return pd.DataFrame(rows)


def order(estimators: Sequence[str] = tuple(ESTIMATORS)) -> pd.DataFrame:
    rows = []
    for estimator in estimators:
        for over, layer in (*((layer, layer) for layer in LAYERS), ("last layer", "fc")):
            along = LAYERS.index(layer) / (len(LAYERS) - 1)
            found = [(n, e, ESTIMATORS[estimator] * truth(n, e, along)) for n, e in SERIES]
            found.sort(key=lambda entry: -entry[2])
            for rank, (name, encoding, value) in enumerate(found, start=1):
                rows.append(
                    {
                        "network": NETWORK,
                        "over": over,
                        "layer": layer,
                        "attribute": name,
                        "encoding": encoding,
                        "estimator": estimator,
                        "rank": rank,
                        "value": value,
                        "lower": value - 0.05,
                        "upper": value + 0.05,
                        "p_first": float(rank == 1),
                        "above_next": 0.97 if rank < len(found) else np.nan,
                    }
                )
    return pd.DataFrame(rows)


def decay() -> pd.DataFrame:
    rows = []
    for layer, share in (("stage2", 0.8), ("fc", 1.0)):
        for rank, (name, encoding) in enumerate(SERIES, start=1):
            values = {step: share * course_truth(name, encoding, step) for step in STEPS}
            peak_step = max(values, key=lambda step: values[step])
            peak, first, last = values[peak_step], values[STEPS[0]], values[STEPS[-1]]
            fall = peak - last
            rate = fall / np.log10(STEPS[-1] / peak_step) if fall else np.nan
            rows.append(
                {
                    "network": NETWORK,
                    "layer": layer,
                    "attribute": name,
                    "encoding": encoding,
                    "peak_step": peak_step,
                    "peak": peak,
                    "peak_lower": peak - 0.05,
                    "peak_upper": peak + 0.05,
                    "first": first,
                    "last": last,
                    "fall": fall,
                    "fall_lower": fall - 0.06,
                    "fall_upper": fall + 0.06,
                    "share": fall / peak,
                    "rate": rate,
                    "rate_lower": rate - 0.04,
                    "rate_upper": rate + 0.04,
                    "rank": rank,
                }
            )
    return pd.DataFrame(rows)


def compression() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "network": NETWORK,
                "layer": "fc",
                "attribute": name,
                "task_attribute": "identity",
                "correlation": -0.9,
                "share_concurrent": 0.75,
                "reading": "compressed while fitting",
            }
            for name in ATTRIBUTES
            if name != "identity"
        ]
    )


def described() -> pd.DataFrame:
    rows = []
    for name, (encodings, _, _, entropy, unit) in ATTRIBUTES.items():
        classes = {"identity": 40, "sex": 2}.get(name)
        for encoding in encodings:
            rows.append(
                {
                    "attribute": name,
                    "kind": "continuous" if unit else "categorical",
                    "encoding": encoding,
                    "unit": unit,
                    "n": 5000,
                    "n_missing": 12 if name == "age" else 0,
                    "classes": classes,
                    "entropy": entropy,
                    "entropy_kind": "histogram of 20 bins" if unit else "classes",
                    "association": None if name == "identity" else 0.4,
                    "association_measure": "" if name == "identity" else "share of variance between people",
                    "predicted": name == "yaw",
                    "predicted_by": "pose3d" if name == "yaw" else None,
                    "note": "",
                }
            )
    return pd.DataFrame(rows).astype({"classes": "Int64"})


def histograms() -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for name, (_, _, _, _, unit) in ATTRIBUTES.items():
        bins = 20 if unit else {"identity": 40, "sex": 2}[name]
        for index in range(bins):
            ends = (5.0 * index, 5.0 * index + 5) if unit else (None, None)
            label = "" if unit else ("female", "male")[index] if name == "sex" else f"p{index}"
            counts = 100 + 10 * index
            rows.append(
                {
                    "attribute": name,
                    "bin": index,
                    "left": ends[0],
                    "right": ends[1],
                    "label": label,
                    "count": counts,
                }
            )
    return pd.DataFrame(rows)


def relative() -> pd.DataFrame:
    rows = expressivity().query("split == 'held out' and network == @NETWORK")
    share = rows["value"] / rows["entropy"]
    kept = ["network", "layer", "attribute", "encoding", "estimator"]
    return rows[kept].assign(share=share, lower=share - 0.02, upper=share + 0.02)


def calibration() -> pd.DataFrame:
    rows = []
    for source, kind, truths in (
        ("planted", "continuous", (0.0, 0.5, 1.0, 2.0)),
        ("planted", "binary", (0.0, 0.3, 0.6)),
        ("gaussian", "continuous", (0.0, 0.5, 1.0, 2.0)),
    ):
        for true in truths:
            for estimator, share in ESTIMATORS.items():
                for split, more in (("held out", 0.0), ("train", 0.1)):
                    value = share * true + more
                    rows.append(
                        {
                            "source": source,
                            "kind": kind,
                            "truth": true,
                            "estimator": estimator,
                            "split": split,
                            "value": value,
                            "lower": value - 0.03,
                            "upper": value + 0.03,
                            "n": 5000,
                            "dimension": 512,
                            "error": value - true,
                        }
                    )
    return pd.DataFrame(rows)


def curves() -> pd.DataFrame:
    rows = []
    for layer in ("image", "fc"):
        for attribute, encoding in SERIES:
            end = truth(attribute, encoding, float(layer == "fc"))
            for restart in range(3):
                for epoch in range(12):
                    grown = end * (1 - np.exp(-epoch / 3)) * (1 + 0.02 * restart)
                    rows.append(
                        {
                            "network": NETWORK,
                            "step": None,
                            "layer": layer,
                            "attribute": attribute,
                            "encoding": encoding,
                            "estimator": "mine",
                            "restart": restart,
                            "epoch": epoch,
                            "train": grown + 0.01 * epoch,
                            "valid": grown,
                        }
                    )
    return pd.DataFrame(rows).astype({"step": "Int64"})


def findings() -> pd.DataFrame:
    said = (
        ("In the last layer, age is told best, then sex, then yaw.", "holds", "contribution 3"),
        ("Identity rises from the last pooling layer to the last layer.", "holds", "contribution 5"),
        ("Yaw falls fastest over training, then sex, then age.", "unclear", "contribution 4"),
        ("Identity is lowest in shallow layers.", "does not hold", "section V.A"),
        ("Features trained on objects tell identity best.", "not testable here", "section V.B"),
    )
    return pd.DataFrame(
        [
            {
                "finding": finding,
                "source": source,
                "network": NETWORK,
                "verdict": verdict,
                "measured": "1.20 and 0.60 nats.",
                "criterion": "The interval of the difference leaves out 0.",
            }
            for finding, verdict, source in said
        ]
    )


def layers() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "network": NETWORK,
                "layer": layer,
                "depth": index - 1,
                "kind": "Conv2d",
                "role": "conv",
                "block": None,
                "shape": "64x14x14",
                "features": 12544,
                "z": 10,
                "used": 1960,
            }
            for index, layer in enumerate(LAYERS)
        ]
    )


def planted_tables() -> dict[str, pd.DataFrame]:
    """Every table of a run."""
    tables = {
        "expressivity": expressivity(),
        "course": course(),
        "linear": linear(),
        "correlation": correlation(),
        "order": order(),
        "decay": decay(),
        "compression": compression(),
        "described": described(),
        "histograms": histograms(),
        "relative": relative(),
        "calibration": calibration(),
        "curves": curves(),
        "findings": findings(),
        "layers": layers(),
    }
    tables["skipped"] = pd.DataFrame([{"image_id": "broken.jpg", "reason": "truncated"}])
    return tables


def features_only(names: Sequence[str] = ("age", "sex", "yaw")) -> dict[str, pd.DataFrame]:
    """Tables of a run on embeddings alone: no network, no layers, no training."""
    rows = []
    for index, name in enumerate(names):
        place = {"network": "", "layer": "features", "depth": 0}
        known = ATTRIBUTES.get(name)
        value = truth(name, known[0][0], 1.0) if known else 0.05 * index
        made = _rows(place, name if known else "yaw", known[0][0] if known else "categorical", value, "mine")
        rows += [row | {"attribute": name} for row in made]
    return {"expressivity": pd.DataFrame(rows), "calibration": calibration()}
