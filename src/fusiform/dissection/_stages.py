"""From counts to pairs: the three stages of a layer, their significance, and its rows in the tables."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from fusiform.dissection._probabilities import (
    group_probabilities,
    local_probabilities,
    unit_blocks,
    weighted_ranks,
)
from fusiform.dissection._result import LayerDissection
from fusiform.dissection._significance import group_p_values
from fusiform.faces import FaceDictionary
from fusiform.networks import Layer

LOCAL_FACTOR = 1.5  # of uniform probability, that a local concept must exceed


@dataclass(frozen=True)
class Category:
    """A global category of the dictionary, those groups that have images, and the dictionary's threshold."""

    name: str
    groups: tuple[str, ...]
    held: Int[ndarray, " h"]
    members: Int[ndarray, " n"]
    threshold: float


def categories_of(dictionary: FaceDictionary) -> tuple[list[Category], list[str]]:
    """Categories with at least two groups that have images; and what was left out, in words."""
    found, left_out = [], []
    for category in dictionary.concepts.categories:
        numbers = dictionary.groups[category.name].to_numpy(dtype=int)
        held = np.unique(numbers[numbers >= 0])
        empty = [name for g, name in enumerate(category.groups) if g not in held]
        if empty:
            left_out.append(f"{category.name}: no images of {', '.join(empty)}")
        if len(held) < 2:
            continue
        members = np.full(len(numbers), -1)
        members[numbers >= 0] = np.searchsorted(held, numbers[numbers >= 0])
        found.append(Category(category.name, tuple(category.groups), held, members, category.threshold))
    return found, left_out


def stage_one(
    maxima: Float[ndarray, "n u"], categories: list[Category], *, permutations: int, seed: int
) -> tuple[dict[str, ndarray], dict[str, ndarray]]:
    """Probabilities of every category's groups, and their p-values (NaN without permutations)."""
    shapes = {category.name: (maxima.shape[1], len(category.groups)) for category in categories}
    probabilities = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
    p_values = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
    for block in unit_blocks(*maxima.shape):
        latest, weights = b"", np.empty(0)
        for category in categories:
            kept = category.members >= 0
            if latest != kept.tobytes():  # ranking takes longest, and categories often share their images
                latest, weights = kept.tobytes(), weighted_ranks(maxima[kept, block])
            groups, held = category.members[kept], category.held
            probabilities[category.name][block, held] = group_probabilities(weights, groups)
            if permutations:
                p = group_p_values(weights, groups, permutations=permutations, seed=seed)
                p_values[category.name][block, held] = p
    return probabilities, p_values


def regions_of(
    iou: Float[ndarray, "u c"], regions: list[str], iou_threshold: float
) -> tuple[Int[ndarray, " u"], list[str]]:
    """Best concept of every unit, and the region it names: "" where its IoU is 0 or below the threshold."""
    if not iou.shape[1]:
        return np.zeros(len(iou), dtype=int), [""] * len(iou)
    best = np.nan_to_num(iou).argmax(axis=1)
    highest = np.nan_to_num(iou)[np.arange(len(iou)), best]
    reached = (highest > 0) & (highest >= iou_threshold)
    return best, [regions[c] if ok else "" for c, ok in zip(best, reached, strict=True)]


def stage_three(
    maxima: Float[ndarray, "n u"],
    iou: Float[ndarray, "u c"],
    present: Bool[ndarray, "n c"],
    regions: list[str],
    of_unit: list[str],
) -> Float[ndarray, "u c"]:
    """Probabilities of the concepts of each unit's region; NaN outside it."""
    probabilities = np.full(iou.shape, np.nan)
    for region in dict.fromkeys(regions):
        units = np.flatnonzero([name == region for name in of_unit])
        if len(units):
            concepts = np.flatnonzero([name == region for name in regions])
            for block in unit_blocks(len(maxima), len(units)):
                some = units[block]
                probabilities[np.ix_(some, concepts)] = local_probabilities(
                    maxima[:, some], present[:, concepts], iou[np.ix_(some, concepts)]
                )
    return probabilities


class Rows:
    """A layer's rows in the tables."""

    def __init__(
        self,
        network: str,
        layer: Layer,
        found: LayerDissection,
        dictionary: FaceDictionary,
        categories: list[Category],
        iou_threshold: float,
    ) -> None:
        self._first: dict[str, Any] = {"network": network, "layer": layer.name, "depth": layer.depth}
        self._found, self._categories, self._iou_threshold = found, categories, iou_threshold
        self._local = list(dictionary.concepts.local)
        self._regions = [concept.region for concept in self._local]
        self._carried = dictionary.present[[c.name for c in self._local]].to_numpy(dtype=bool).sum(axis=0)
        self._best, self._region = regions_of(found.iou, self._regions, iou_threshold)

    def pairs(self, method: str) -> pd.DataFrame:
        """A row per paired unit and concept."""
        parts = [self._network()] if method == "network" else [self._hierarchical(), *self._global()]
        whole = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
        whole = whole.assign(**self._first, unit_kind="unit", method=method)
        return whole.sort_values("unit", kind="stable", ignore_index=True)[list(PAIR_TYPES)].astype(
            PAIR_TYPES
        )

    def _rows(self, unit: ndarray, concept: ndarray, **values: object) -> pd.DataFrame:
        local = [self._local[c] for c in concept]
        return pd.DataFrame(
            {
                "unit": unit,
                "scope": "local",
                "concept": [c.name for c in local],
                "concept_kind": [c.kind for c in local],
                "region": [c.region for c in local],
                "iou": self._found.iou[unit, concept],
                "p_value": self._found.p_local[unit, concept],
                "q_value": self._found.q_local[unit, concept],
                "n": self._carried[concept],
                **values,
            }
        )

    def _network(self) -> pd.DataFrame:
        unit = np.flatnonzero([bool(region) for region in self._region])
        return self._rows(unit, self._best[unit], probability=np.nan, threshold=self._iou_threshold)

    def _hierarchical(self) -> pd.DataFrame:
        size = np.array([self._regions.count(region) for region in self._regions])
        threshold = LOCAL_FACTOR / np.maximum(size, 1)
        probabilities = self._found.probabilities_local
        unit, concept = np.nonzero(np.nan_to_num(probabilities) > threshold)
        return self._rows(
            unit, concept, probability=probabilities[unit, concept], threshold=threshold[concept]
        )

    def _global(self) -> list[pd.DataFrame]:
        parts = []
        for category in self._categories:
            probabilities = self._found.probabilities_global[category.name]
            # A unit that never varies prefers no group, however low the threshold.
            prefers = probabilities[:, category.held].max(axis=1, keepdims=True) > 1 / len(category.held)
            unit, group = np.nonzero(prefers & (np.nan_to_num(probabilities) > category.threshold))
            sizes = np.zeros(len(category.groups), dtype=int)
            sizes[category.held] = np.bincount(category.members[category.members >= 0])
            parts.append(
                pd.DataFrame(
                    {
                        "unit": unit,
                        "scope": "global",
                        "concept": np.array(category.groups, dtype=object)[group],
                        "concept_kind": "global",
                        "region": category.name,
                        "iou": np.nan,
                        "probability": probabilities[unit, group],
                        "threshold": category.threshold,
                        "p_value": self._found.p_global[category.name][unit, group],
                        "q_value": self._found.q_global[category.name][unit, group],
                        "n": sizes[group],
                    }
                )
            )
        return parts

    def coverage(self, pairs: pd.DataFrame, method: str) -> pd.DataFrame:
        """Interpretable units, by scope."""
        units = len(self._found.iou)
        scopes = ("local", "either") if method == "network" else ("local", "global", "either")
        found = [
            (pairs if scope == "either" else pairs[pairs.scope == scope]).unit.nunique() for scope in scopes
        ]
        table = pd.DataFrame({"scope": scopes, "interpretable": found}).assign(
            **self._first, method=method, units=units
        )
        table["share"] = table.interpretable / units
        return table[[*self._first, "method", "scope", "interpretable", "units", "share"]]

    def units(self, pairs: pd.DataFrame) -> pd.DataFrame:
        """A row per unit."""
        found, count = self._found, len(self._found.iou)
        by_unit = pairs.groupby(["unit", "scope"]).size().unstack(fill_value=0)
        numbers = by_unit.reindex(index=range(count), columns=["local", "global"], fill_value=0)
        # Pairs are sorted by unit.
        each = np.split(
            pairs.concept.to_numpy(dtype=object), np.searchsorted(pairs.unit, np.arange(1, count))
        )
        iou = np.nan_to_num(found.iou)
        best_iou = iou[np.arange(count), self._best] if iou.shape[1] else np.zeros(count)
        names = [
            self._local[c].name if value > 0 else "" for c, value in zip(self._best, best_iou, strict=True)
        ]
        return pd.DataFrame(
            {
                **self._first,
                "unit": np.arange(count),
                "threshold": found.thresholds,
                "fires": found.fires,
                "region": self._region,
                "best_concept": names,
                "best_iou": best_iou,
                "local": numbers["local"].to_numpy(),
                "global_": numbers["global"].to_numpy(),
                "concepts": ["; ".join(concepts) for concepts in each],
            }
        )


PAIR_TYPES = {
    "network": "string",
    "layer": "string",
    "depth": "int64",
    "unit_kind": "string",
    "unit": "int64",
    "method": "string",
    "scope": "string",
    "concept": "string",
    "concept_kind": "string",
    "region": "string",
    "iou": "float64",
    "probability": "float64",
    "threshold": "float64",
    "p_value": "float64",
    "q_value": "float64",
    "n": "int64",
}
