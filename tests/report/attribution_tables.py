"""A made-up run of the study of attribution: every table, with numbers that a test can foretell."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

# Best first: a method's place is its rank in every measure that counts; "edges" is the best of the baseline maps.
FAMILIES = {
    "lrp": "propagation",
    "occlusion": "perturbation",
    "contrastive_excitation_backprop": "propagation",
    "truncated_contrastive_excitation_backprop": "propagation",
    "integrated_gradients": "gradient",
    "rise": "perturbation",
    "shapley_sampling": "perturbation",
    "kernel_shap": "perturbation",
    "lime": "perturbation",
    "score_cam": "perturbation",
    "grad_cam": "gradient",
    "grad_cam_plus_plus": "gradient",
    "deep_lift": "propagation",
    "smoothgrad": "gradient",
    "part_occlusion": "perturbation",
    "paired_occlusion": "perturbation",
    "dise": "perturbation",
    "edges": "baseline map",
    "gradient": "gradient",
    "input_x_gradient": "gradient",
    "guided_grad_cam": "gradient",
    "gaussian": "baseline map",
    "deconvolution": "gradient",
    "guided_backpropagation": "gradient",
    "excitation_backprop": "propagation",
    "random": "baseline map",
}
METHODS = list(FAMILIES)
BASELINES = ("random", "edges", "gaussian")
FAIL = ("deconvolution", "guided_backpropagation")
NOT_JUDGED = "part_occlusion"
VERIFIER, CLASSIFIER = "demo", "sex"
TARGETS = {VERIFIER: ("similarity", "contrast"), CLASSIFIER: ("class",)}
COUNTED = {
    "deletion": "lower",
    "insertion": "higher",
    "mask_and_evaluate": "higher",
    "sensitivity_n": "higher",
    "inpainting_far_1e-2": "higher",
    "inpainting_far_5e-2": "higher",
    "parameter_randomization": "lower",
}
BESIDE = {
    "completeness_error": "lower",
    "max_sensitivity": "lower",
    "implementation_invariance": "lower",
    "symmetry": "lower",
    "pointing_game": "higher",
    "energy_pointing_game": "higher",
}
PARTS = ("eyeglasses", "nose", "mouth")
CANONICAL_PARTS = (
    *("forehead", "left_brow", "right_brow", "left_eye", "right_eye", "left_cheek", "right_cheek", "nose"),
    *("mouth", "chin"),
)
GROUPS = ("all", "Male", "not Male")
LAYERS = ("embedding", "stage4", "stage3", "stage2", "stage1", "stem")
N = len(METHODS)


def planted_tables() -> dict[str, pd.DataFrame]:
    """The better a method's place in `METHODS`, the better all that counts; what fails a sanity check is in `FAIL`."""
    places = [(network, target) for network, targets in TARGETS.items() for target in targets]
    measures = pd.DataFrame([row for place in places for row in _measures(*place)])
    first = [(VERIFIER, "similarity"), (CLASSIFIER, "class")]
    return {
        "measures": measures,
        "ranks": _ranks(measures),
        "curves": pd.DataFrame([row for place in places for row in _curves(*place)]),
        "parts": pd.DataFrame([row for place in first for row in _parts(*place)]),
        "ground_truth": pd.DataFrame([row for part in PARTS for row in _truth(part)]),
        "conflict": pd.DataFrame(_conflict()),
        "sanity": pd.DataFrame([row for place in first for row in _sanity(*place)] + _shuffled()),
        "inpainting": pd.DataFrame(_inpainting()),
        "descriptors": pd.DataFrame([row for place in first for row in _descriptors(*place)]),
        "cost": pd.DataFrame(
            [
                what(*place, m)
                | {"seconds_per_image": 0.001 * 1.4**i, "forward_passes": float(i), "peak_mb": 10.0 * i, "batch": 24}
                for place in first
                for i, m in enumerate(METHODS)
            ]
        ),
        "canonical": pd.DataFrame([row for place in first for row in _canonical(*place)]),
        "canonical_maps": pd.DataFrame(
            [
                what(*place, m) | {"group": g, "file": f"canonical_{m}_{g.replace(' ', '-')}.npy", "n": 24 if g == "all" else 12}
                for place in first
                for m in METHODS
                for g in GROUPS
            ]
        ),
        "pictures": pd.DataFrame(
            [
                what(*place, m) | {"image_id": f"face {k}", "file": f"map_{m}_{k}.npy", "image": f"face_{k}.png"}
                for place in first
                for m in METHODS
                for k in range(6)
            ]
        ),
        "settings": pd.DataFrame(
            [
                {"method": m, "baseline_map": m in BASELINES, "family": FAMILIES[m], "use": use,
                 "options": "n_masks=192" if m == "rise" else "defaults", "explains": "score"}
                for m in METHODS
                for use in ("full", "light")
            ]
        ),
        "not_applicable": pd.DataFrame(
            [
                {"network": n, "target": t, "method": "cam", "why": "CAM needs a network that averages its last maps and then has one linear layer."}
                for n, t in places
            ]
        ),
        "skipped": pd.DataFrame(
            [
                {"network": VERIFIER, "target": "contrast", "method": "lime", "image_id": None, "reason": "no room"},
                {"network": "", "target": "", "method": "", "image_id": "broken.png", "reason": "cannot be read"},
            ]
        ),
        "networks": pd.DataFrame(
            [
                _network(VERIFIER, "verifier", "similarity, contrast", None),
                _network(CLASSIFIER, "classifier", "class", None),
                *(_network(f"confined:{part}", "known answer", "class", 0.97) for part in PARTS),
                _network("conflict", "known answer", "class", 0.62),
            ]
        ),
        "findings": pd.DataFrame(
            [
                (f"Sentence {i}.", "section 2.5", name, name, "measured", verdict, "a criterion")
                for name in (VERIFIER, CLASSIFIER)
                for i, verdict in enumerate(["holds", "does not hold", "unclear", "not measured"])
            ],
            columns=["finding", "source", "network", "setup", "measured", "verdict", "criterion"],
        ),
    }  # fmt: skip


def what(network: str, target: str, method: str) -> dict:
    return {"network": network, "target": target, "method": method, "baseline_map": method in BASELINES}


def _network(name: str, kind: str, targets: str, accuracy: float | None) -> dict:
    return {
        "network": name, "kind": kind, "targets": targets, "input_size": "112 x 112", "n_parameters": 284_864,
        "n_images": 24, "n_identities": 12, "score": "probability", "slope": np.nan, "intercept": np.nan,
        "accuracy": accuracy, "note": "",
    }  # fmt: skip


def _quality(i: int) -> float:
    return 1 - i / (N - 1)


def around(value: float, half: float = 0.03) -> dict:
    return {"value": value, "lower": value - half, "upper": value + half}


def _measures(network: str, target: str):
    for metric, better in (COUNTED | BESIDE).items():
        if metric.startswith("inpainting") and target != "contrast":
            continue
        for i, m in enumerate(METHODS):
            good = _quality(i) if metric in COUNTED else _quality((7 * i + len(metric)) % N)
            value = good if better == "higher" else 1 - good
            if metric == "completeness_error":
                value *= 300
            beaten = [b for b in BASELINES if METHODS.index(b) > i + 2] if metric in COUNTED else []
            yield what(network, target, m) | around(value) | {
                "metric": metric, "better": better, "chance": 0.0 if better == "higher" else 1.0,
                "beats": ", ".join(beaten), "n": 24, "n_identities": 12,
                "note": "a note" if metric == "completeness_error" else "",
            }  # fmt: skip


def _ranks(measures: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (network, target, metric), own in measures.groupby(["network", "target", "metric"], sort=False):
        place = own["value"].rank(ascending=own["better"].iloc[0] == "lower")
        for row, rank in zip(own.to_dict("records"), place, strict=True):
            rows.append(
                what(network, target, row["method"])
                | {"metric": metric, "rank": rank, "of": N, "in_mean": metric in COUNTED}
            )
    for network, targets in TARGETS.items():
        for target in targets:
            for i, m in enumerate(METHODS):
                rows.append(
                    what(network, target, m) | {"metric": "mean", "rank": i + 1.0, "of": N, "in_mean": False}
                )
    return pd.DataFrame(rows)


def _curves(network: str, target: str):
    for kind in ("deletion", "insertion"):
        for i, m in enumerate(METHODS):
            for fraction in np.linspace(0, 1, 9):
                score = np.exp(-(1 + 5 * _quality(i)) * fraction)
                score = score if kind == "deletion" else 1 - score
                yield what(network, target, m) | {
                    "kind": kind, "fraction": fraction, "score": score, "lower": score - 0.04, "upper": score + 0.04, "n": 24,
                }  # fmt: skip


def _parts(network: str, target: str):
    for metric in ("pointing_game", "energy_pointing_game"):
        for k, part in enumerate(("eyes", "nose", "mouth")):
            for i, m in enumerate(METHODS):
                value = 0.02 + 0.4 * _quality(i) / (k + 1)
                yield (
                    what(network, target, m)
                    | around(value)
                    | {"part": part, "metric": metric, "chance": 0.03, "n": 24}
                )


def _truth(part: str):
    area = {"eyeglasses": 0.065, "nose": 0.03, "mouth": 0.02}[part]
    for i, m in enumerate(METHODS):
        energy = area * (0.6 + 8 * _quality(i))
        yield what(f"confined:{part}", "class", m) | {
            "part": part, "energy": energy, "lower": 0.8 * energy, "upper": 1.2 * energy, "area": area,
            "hit_rate": _quality(i), "hit_lower": max(0.0, _quality(i) - 0.1), "hit_upper": min(1.0, _quality(i) + 0.1),
            "accuracy": 0.97, "n": 24,
        }  # fmt: skip


def _conflict() -> list[dict]:
    return [
        what("conflict", "class", m) | around(0.3 + 0.6 * _quality(i), 0.08)
        | {"part": part, "chance": 0.5 if part == "both" else np.nan, "accuracy": 0.62, "n": 24}
        for part in ("eyes", "mouth", "both")
        for i, m in enumerate(METHODS)
    ]  # fmt: skip


def _sanity(network: str, target: str):
    for kind in ("cascading", "independent"):
        for metric in ("spearman_absolute", "ssim"):
            for i, m in enumerate(METHODS):
                for depth, layer in enumerate(LAYERS):
                    kept = m in BASELINES or m in FAIL
                    value = (
                        1.0 if m in BASELINES else 0.97 if kept else 0.9 * np.exp(-(depth + 1) * (1 + i / N))
                    )
                    if kind == "independent":
                        value = min(1.0, value + 0.3)
                    judged = (
                        kind == "cascading" and metric == "spearman_absolute" and depth == len(LAYERS) - 1
                    )
                    yield what(network, target, m) | around(value, 0.02) | {
                        "kind": kind, "layer": layer, "depth": depth, "metric": metric, "n": 6,
                        "passes": (not kept) if judged and m != NOT_JUDGED else None,
                        "criterion": "" if not judged else "not judged: for a reason" if m == NOT_JUDGED else "0.5 > upper end of the interval",
                    }  # fmt: skip


def _shuffled() -> list[dict]:
    return [
        what("confined:eyeglasses", "class", m) | around(1.0 if m in BASELINES else 0.8 if m in FAIL else 0.1 + i / N / 2)
        | {"kind": "data", "layer": "all", "depth": 0, "metric": "spearman_absolute", "n": 6,
           "passes": m not in FAIL, "criterion": "0.5 > upper end of the interval"}
        for i, m in enumerate(METHODS)
    ]  # fmt: skip


def _inpainting() -> list[dict]:
    counts = {"all": (27, 13), "eyes": (9, 3), "nose": (8, 4), "mouth": (6, 2), "left_cheek": (4, 4)}
    return [
        what(VERIFIER, "contrast", m) | {
            "part": part, "played": played, "dropped": dropped, "false_alarm_rate": rate,
            "probability": value, "lower": max(0.0, value - 0.1), "upper": min(1.0, value + 0.1),
        }
        for part, (played, dropped) in counts.items()
        for rate in (0.01, 0.05)
        for i, m in enumerate(METHODS)
        for value in [_quality(i) * (0.4 if rate < 0.02 else 0.9)]
    ]  # fmt: skip


def _descriptors(network: str, target: str):
    scales = {
        "chunks": 80.0,
        "chunk_size": 300.0,
        "covered_area": 0.4,
        "centroid_frequency": 30.0,
        "edge_correlation": 0.7,
    }
    for metric, scale in scales.items():
        for i, m in enumerate(METHODS):
            yield (
                what(network, target, m)
                | around(scale * (0.1 + _quality(i)), 0.05 * scale)
                | {"metric": metric, "n": 24}
            )


def _canonical(network: str, target: str):
    for g, group in enumerate(GROUPS):
        for i, m in enumerate(METHODS):
            weights = np.ones(len(CANONICAL_PARTS)) + 0.2 * g
            weights[3 + (i + g) % 6] += 2 * _quality(i)
            shares = weights / weights.sum()
            for part, share in zip(CANONICAL_PARTS, shares, strict=True):
                yield what(network, target, m) | {
                    "group": group, "part": part, "share": share, "lower": share - 0.02, "upper": share + 0.02,
                    "area": 1 / len(CANONICAL_PARTS), "n": 24,
                }  # fmt: skip


def write_maps(folder: Path, tables: dict[str, pd.DataFrame]) -> None:
    """Write the maps and faces that the tables name: drawn faces, and maps whose centre moves with the method."""
    for name in ("maps", "images"):
        (folder / name).mkdir(exist_ok=True)
    y, x = np.mgrid[:64, :64] / 63 - 0.5
    for i, m in enumerate(METHODS):
        place = np.sin(i), np.cos(i)
        bump = np.exp(-((x - 0.2 * place[0]) ** 2 + (y - 0.2 * place[1]) ** 2) / 0.01)
        values = (bump - 0.6 * np.exp(-((x + 0.2 * place[0]) ** 2 + (y + 0.1) ** 2) / 0.01)).astype(
            np.float32
        )
        for k in range(6):
            np.save(folder / "maps" / f"map_{m}_{k}.npy", values * (k + 1))
        for g, group in enumerate(GROUPS):
            np.save(folder / "maps" / f"canonical_{m}_{group.replace(' ', '-')}.npy", values * (1 + g / 4))
    for file in set(tables["pictures"]["image"]) if "pictures" in tables else ():
        face = Image.new("RGB", (64, 64), (70, 90, 120))
        draw = ImageDraw.Draw(face)
        draw.ellipse((12, 6, 52, 60), fill=(214, 170, 140))
        for left in (22, 36):
            draw.ellipse((left, 26, left + 8, 31), fill=(40, 30, 30))
        draw.ellipse((26, 46, 38, 51), fill=(150, 60, 60))
        face.save(folder / "images" / file)
