"""Counts over units that the figures of the paper show, from the pairs of units and concepts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool
from numpy import ndarray

from fusiform.faces import ConceptTable
from fusiform.studies.dissection._shares import wilson

PLACE = ["network", "control", "layer", "depth"]
UNIT = [*PLACE, "unit"]
NONE = "none"
GLOBAL = "global"
KINDS = ("action unit", "part", "attribute", GLOBAL)


def hierarchical(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs that hierarchical dissection found."""
    return pairs[pairs["method"] == "hierarchical"]


def with_intervals(coverage: pd.DataFrame) -> pd.DataFrame:
    """Add Wilson's 95% interval of each share."""
    found = [
        wilson(int(k), int(n)) for k, n in zip(coverage["interpretable"], coverage["units"], strict=True)
    ]
    return coverage.assign(lower=[each.lower for each in found], upper=[each.upper for each in found])


def with_network_dissection(units: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Add Network Dissection's answer: the concept of the highest IoU from the threshold on, "" below."""
    found = units["best_iou"].ge(threshold) & units["fires"].astype(bool)
    return units.assign(network_dissection=units["best_concept"].fillna("").where(found, ""))


def named_concepts(concepts: ConceptTable) -> pd.DataFrame:
    """All concepts as pairs name them: ``concept, concept_kind, region``; the region of a group is its category."""
    local = [(each.name, each.kind, each.region) for each in concepts.local]
    groups = [(name, GLOBAL, each.name) for each in concepts.categories for name in each.groups]
    return pd.DataFrame([*local, *groups], columns=["concept", "concept_kind", "region"])


def counts(
    pairs: pd.DataFrame, units: pd.DataFrame, concepts: ConceptTable, methods: Sequence[str]
) -> pd.DataFrame:
    """Units of each concept in each layer (figure 10), with rows of zero."""
    named = named_concepts(concepts)
    every = _places(units).merge(pd.DataFrame({"method": list(methods)}), how="cross")
    every = every.merge(named, how="cross")
    # Network Dissection knows no global concepts.
    every = every[(every["concept_kind"] != GLOBAL) | (every["method"] != "network")]
    return _counted(every, pairs, [*PLACE, "method", "concept", "concept_kind", "region"])


def local_units(pairs: pd.DataFrame) -> pd.DataFrame:
    """Units and regions: a row for each unit that is paired with a local concept of the region.

    By hierarchical dissection; by Network Dissection where that alone was asked for.
    """
    own = pairs if (pairs["method"] == "network").all() else hierarchical(pairs)
    return own[own["scope"] != GLOBAL].drop_duplicates([*UNIT, "region"])


def regions(pairs: pd.DataFrame, units: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Units paired with a local concept of each region in each layer (figure 9a), with rows of zero."""
    every = _places(units).merge(pd.DataFrame({"region": list(names)}), how="cross")
    return _counted(every, local_units(pairs), [*PLACE, "region"])


def kinds(pairs: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """Units and pairs of each kind of concept in each layer (figure 9b), by hierarchical dissection."""
    own = hierarchical(pairs)
    every = _places(units).merge(pd.DataFrame({"concept_kind": list(KINDS)}), how="cross")
    keys = [*PLACE, "concept_kind"]
    found = _counted(every, own.drop_duplicates([*UNIT, "concept_kind"]), keys)
    return found.assign(pairs=_counted(every, own, keys)["units"])


def unique(counted: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """How many different concepts each layer's units detect, and that number a unit."""
    found = counted.assign(concepts=counted["units"] > 0)
    found = found.groupby([*PLACE, "method"], sort=False)["concepts"].sum().reset_index()
    sizes = units.groupby(PLACE, sort=False).size().rename("size").reset_index()
    found = found.merge(sizes, on=PLACE)
    return found.assign(per_unit=found["concepts"] / found["size"]).drop(columns="size")


@dataclass(frozen=True)
class Detectors:
    """Which units of a layer hierarchical dissection pairs with which local concepts and global groups."""

    place: dict[str, Any]
    local: Bool[ndarray, "u k"]
    groups: Bool[ndarray, "u g"]


def detectors(pairs: pd.DataFrame, units: pd.DataFrame, concepts: ConceptTable) -> Iterator[Detectors]:
    """The detectors of each layer; concepts and groups in the order of the table of concepts."""
    named = named_concepts(concepts)
    columns = pd.MultiIndex.from_frame(named[["concept", "region"]])
    is_global = (named["concept_kind"] == GLOBAL).to_numpy()
    of_layer = dict(list(hierarchical(pairs).groupby(PLACE, sort=False)))
    for key, own in units.groupby(PLACE, sort=False):
        found = np.zeros((len(own), len(named)), dtype=bool)
        paired = of_layer.get(key)
        if paired is not None:
            rows = pd.Index(own["unit"]).get_indexer(paired["unit"])
            places = columns.get_indexer(pd.MultiIndex.from_frame(paired[["concept", "region"]]))
            found[rows, places] = True
        yield Detectors(dict(zip(PLACE, key, strict=True)), found[:, ~is_global], found[:, is_global])


def overlay(found: Iterable[Detectors], concepts: ConceptTable) -> pd.DataFrame:
    """Units of each local concept by the global groups that they are paired with too (figure 10).

    A unit may be paired with several groups of a category; the group "none" counts those that have none of it.
    """
    tables = []
    for each in found:
        start = 0
        of_concept = each.local.sum(axis=0)
        for category in concepts.categories:
            groups = each.groups[:, start : start + len(category.groups)]
            start += len(category.groups)
            groups = np.column_stack([groups, ~groups.any(axis=1)])
            both = each.local.T.astype(np.int64) @ groups
            table = pd.DataFrame(both, columns=[*category.groups, NONE])
            table.insert(0, "concept", [c.name for c in concepts.local])
            table["units_of_concept"] = of_concept
            table = table.melt(["concept", "units_of_concept"], var_name="group", value_name="units")
            tables.append(table.assign(**each.place, category=category.name))
    columns = [*PLACE, "concept", "category", "group", "units", "units_of_concept"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _places(units: pd.DataFrame) -> pd.DataFrame:
    return units[PLACE].drop_duplicates()


def _counted(every: pd.DataFrame, rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """How many rows each combination of keys has."""
    found = rows.groupby(keys, sort=False).size().rename("units").reset_index()
    found = every.merge(found, on=keys, how="left")
    return found.fillna({"units": 0}).astype({"units": "int64"}).reset_index(drop=True)
