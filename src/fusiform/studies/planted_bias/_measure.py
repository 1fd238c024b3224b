"""What is measured of one network: accuracies, stage I on the cue, dissection, the pictures that activate it most."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from fusiform.activations import stream
from fusiform.networks import FaceNetwork, Layer
from fusiform.runs import atomic_write
from fusiform.studies.planted_bias._networks import OUTPUT
from fusiform.studies.planted_bias._pool import Pool
from fusiform.studies.planted_bias._request import PlantedBiasRequest

if TYPE_CHECKING:
    from fusiform.faces import FaceDictionary

TOP = 50
# More than a quarter of a group is no selection; the top of fewer pictures says nothing.
_TOP_SHARE = 4
_FEWEST_TOP = 4
_SHEET = 20
# Of stage I, for two groups (section 4.2).
BIASED = 0.55
GLASSES = "Eyeglasses"
_ACROSS = 10

_GROUPS = (("Male", True), ("Female", False))

Tables = dict[str, pd.DataFrame]
Maxima = dict[str, Float[ndarray, "n u"]]


class _Maxima:
    """The largest activation of every unit in every image."""

    def __init__(self) -> None:
        self.parts: dict[str, list[Tensor]] = {}

    def update(self, layer: Layer, rows: slice, activations: Tensor) -> None:
        self.parts.setdefault(layer.name, []).append(
            activations.flatten(2).amax(2) if activations.dim() > 2 else activations.clone()
        )

    def compute(self) -> Maxima:
        return {name: torch.cat(parts).double().numpy() for name, parts in self.parts.items()}


def unit_maxima(
    net: FaceNetwork, pool: Pool, stages: dict[int, Layer], request: PlantedBiasRequest
) -> Maxima:
    """Of the test pictures, in the order of `pool.test`: unit maxima at the four stages, and the network's output."""
    collector = _Maxima()
    names = [*(layer.name for layer in stages.values()), OUTPUT]
    stream(net, pool.faces, names, [collector], indices=pool.test, batch_size=request.batch_size)
    return collector.compute()


def accuracies(
    logits: Float[ndarray, " n"], male: Bool[ndarray, " n"], cue: Bool[ndarray, " n"]
) -> dict[str, float]:
    """Share told right: of all, of men with and women without the cue (congruent), and of the others."""
    right = (logits > 0) == male
    return {
        "accuracy": float(right.mean()),
        "accuracy_congruent": float(right[male == cue].mean()),
        "accuracy_incongruent": float(right[male != cue].mean()),
    }


def unit_probabilities(maxima: Maxima, cue: Bool[ndarray, " n"], stages: dict[int, Layer]) -> pd.DataFrame:
    """Stage I for grey and colour at the four stages: ``stage, layer, unit, p_grey, p_colour, rank`` (fig. 7)."""
    from fusiform.dissection import global_probabilities

    tables = []
    for stage, layer in stages.items():
        found = global_probabilities(maxima[layer.name], cue.astype(np.int64))
        order = np.argsort(-found[:, 0], kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(1, len(order) + 1)
        tables.append(
            pd.DataFrame(
                {
                    "stage": stage,
                    "layer": layer.name,
                    "unit": np.arange(len(found)),
                    "p_grey": found[:, 1],
                    "p_colour": found[:, 0],
                    "rank": rank,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def biased_units(probabilities: pd.DataFrame) -> pd.DataFrame:
    """Units above the threshold, strictly: ``stage, layer, towards, units, of, share`` (fig. 8)."""
    rows = []
    for (stage, layer), each in probabilities.groupby(["stage", "layer"], sort=False):
        for towards in ("grey", "colour"):
            n = int((each[f"p_{towards}"] > BIASED).sum())
            rows.append((stage, layer, towards, n, len(each), n / len(each)))
    return pd.DataFrame(rows, columns=["stage", "layer", "towards", "units", "of", "share"])


def dissected(
    net: FaceNetwork,
    layer: Layer,
    dictionary: "FaceDictionary",
    request: PlantedBiasRequest,
    progress: Callable[[int, int], None],
) -> Tables:
    """Units that the hierarchical method pairs, by the region of the local concepts (fig. 6) and by concept; zeros are kept.

    The table ``ious`` says what does not hang on the threshold, and what the other union gives:
    ``layer, quantity, value``.
    """
    from fusiform.dissection import dissect

    concepts, regions = list(dictionary.concepts.names), list(dictionary.concepts.regions)
    tables: Tables = {}
    beside: list[tuple[str, float]] = []
    for union in (request.union, "all" if request.union == "labelled" else "labelled"):
        found = dissect(
            net,
            dictionary,
            layer.name,
            "hierarchical",
            union=union,
            significance=False,
            pictures=False,
            align=request.align,
            batch_size=request.batch_size,
            seed=request.seed,
            memory_gb=request.memory_gb,
            progress=progress,
        )
        pairs = found.table[found.table["scope"] == "local"]
        of_regions = _counted(pairs.drop_duplicates(["unit", "region"])["region"], regions)
        of_concepts = _counted(pairs["concept"], concepts)
        iou = np.nan_to_num(found.layers[layer.name].iou[:, concepts.index(GLASSES)])
        beside += [
            (f"mean IoU with eyeglasses (union {union})", float(iou.mean())),
            (f"largest IoU with eyeglasses (union {union})", float(iou.max())),
        ]
        if union == request.union:
            tables["units_regions"] = pd.DataFrame(
                {"layer": layer.name, "region": regions, "units": of_regions}
            )
            tables["units_concepts"] = pd.DataFrame(
                {"layer": layer.name, "concept": concepts, "units": of_concepts}
            )
        else:
            beside.append((f"eyeglasses units (union {union})", of_concepts[concepts.index(GLASSES)]))
            beside += [
                (f"{region} region units (union {union})", units)
                for region, units in zip(regions, of_regions, strict=True)
            ]
    ious = pd.DataFrame(beside, columns=["quantity", "value"]).astype({"value": "float64"})
    ious.insert(0, "layer", layer.name)
    return tables | {"ious": ious}


def _counted(values: pd.Series, names: list[str]) -> list[int]:
    counts = values.value_counts()
    return [int(counts.get(name, 0)) for name in names]


def how_many_top(pool: Pool) -> int:
    """Top pictures of a group: 50, at most a quarter of the group's test pictures; 0 where these are too few."""
    n = min(TOP, len(pool.test) // 2 // _TOP_SHARE)
    return n if n >= _FEWEST_TOP else 0


def top_pictures(strengths: Float[ndarray, "n u"], pool: Pool) -> pd.DataFrame:
    """The test pictures of men and of women in which a unit is most active (fig. 5): ``group, rank, row, activation``."""
    highest = strengths.max(axis=1)
    tables = []
    for group, male in _GROUPS:
        own = np.flatnonzero(pool.male[pool.test] == male)
        own = own[np.argsort(-highest[own], kind="stable")][: how_many_top(pool)]
        rows = pool.test[own]
        tables.append(
            pd.DataFrame(
                {
                    "group": group,
                    "rank": np.arange(1, len(own) + 1),
                    "row": rows,
                    "image_id": pool.faces.table["image_id"].iloc[rows].to_numpy(),
                    "cue_present": pool.cue[rows],
                    "activation": highest[own],
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def training_sheets(cue: str, pool: Pool, request: PlantedBiasRequest, folder: Path) -> pd.DataFrame:
    """Write sheets of men and women of the training sets of the lowest and the highest P (fig. 4).

    Of each group up to 20 pictures, as many of them with the cue as in the set, in random order:
    ``cue, percent, group, rank, image_id, cue_present, file``.
    """
    rng = np.random.default_rng(np.random.SeedSequence([request.seed, 34]))
    tables = []
    for percent in dict.fromkeys((request.levels[0], request.levels[-1])):
        drawn = pool.biased(percent, request.seed)
        for group, male in _GROUPS:
            own = drawn[pool.male[drawn] == male]
            n = min(_SHEET, len(own))
            carriers = round(n * (percent if male else 100 - percent) / 100)
            worn = pool.cue[own]
            rows = rng.permutation(np.concatenate([own[worn][:carriers], own[~worn][: n - carriers]]))
            file = f"train_{cue}_p{percent:03d}_{group.lower()}.jpg"
            write_sprite(pool.faces.images(rows), folder / file)
            about = {"cue": cue, "percent": percent, "group": group, "rank": np.arange(1, n + 1)}
            shown = {
                "image_id": pool.faces.table["image_id"].iloc[rows].to_numpy(),
                "cue_present": pool.cue[rows],
            }
            tables.append(pd.DataFrame(about | shown | {"file": file}))
    return pd.concat(tables, ignore_index=True)


def write_sprite(images: Tensor, path: Path) -> None:
    """Write pictures of one size side by side, ten a row, in reading order."""
    from PIL import Image

    n, _, height, width = images.shape
    down = -(-n // _ACROSS)
    sheet = torch.full((3, down * height, _ACROSS * width), 255, dtype=torch.uint8)
    for k, image in enumerate(images):
        row, column = divmod(k, _ACROSS)
        sheet[:, row * height : (row + 1) * height, column * width : (column + 1) * width] = image
    with atomic_write(path) as part:
        Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(part, format="JPEG", quality=85)


def quantities(tables: Tables) -> pd.DataFrame:
    """The numbers of one network that are compared over percentages: ``quantity, layer, value``."""
    rows: list[tuple[str, str, float]] = []
    if "trained" in tables:
        network = tables["trained"].iloc[0]
        for column in ("accuracy", "accuracy_congruent", "accuracy_incongruent"):
            rows.append((column.replace("_", " "), "", float(network[column])))
    if "units_concepts" in tables:
        table = tables["units_concepts"]
        for layer, units in table[table["concept"] == GLASSES].set_index("layer")["units"].items():
            rows.append(("eyeglasses units", str(layer), float(units)))
    if "units_regions" in tables:
        table = tables["units_regions"]
        for region, layer, units in zip(table["region"], table["layer"], table["units"], strict=True):
            rows.append((f"{region} region units", str(layer), float(units)))
    if "ious" in tables:
        rows += tables["ious"][["quantity", "layer", "value"]].itertuples(index=False, name=None)
    if "biased" in tables:
        for layer, units in tables["biased"].groupby("layer", sort=False)["units"].sum().to_dict().items():
            rows.append(("biased units", str(layer), float(units)))
    if "probabilities" in tables:
        for layer, own in tables["probabilities"].groupby("layer", sort=False):
            rows.append(("deviation of p_grey", str(layer), float(own["p_grey"].to_numpy().std())))
    if "top" in tables and len(tables["top"]):
        cue = "grey" if "biased" in tables else "eyeglasses"
        shares = tables["top"].groupby("group")["cue_present"].mean()
        for group, word in (("Male", "men"), ("Female", "women")):
            rows.append((f"{cue} among top {word}", "", float(shares[group])))
    return pd.DataFrame(rows, columns=["quantity", "layer", "value"])
