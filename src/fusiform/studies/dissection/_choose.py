"""Which units are shown, and with which images."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from fusiform.dissection import LayerDissection
from fusiform.faces import FaceDictionary
from fusiform.studies.dissection._tables import GLOBAL, hierarchical

TOP, DISAGREEMENT, CONCEPT = "top", "disagreement", "concept"
MOST_DISAGREEMENTS = 8
_COLUMNS = [
    "layer",
    "depth",
    "unit",
    "kind",
    "concept",
    "region",
    "scope",
    "rank",
    "image_id",
    "image_iou",
    "iou",
]
_COLUMNS += ["probability", "threshold", "strength", "caption"]


def chosen_units(pairs: pd.DataFrame, most: int) -> pd.DataFrame:
    """Choose units to show: the strongest of every concept first, then those of the most concepts.

    Parameters
    ----------
    pairs : DataFrame
        Pairs of units and concepts of one network and method.
    most : int
        How many units at the most.

    Returns
    -------
    DataFrame
        ``layer, unit``.
    """
    ranked = strongest_first(pairs)
    firsts = ranked.drop_duplicates(["concept", "region"])[["layer", "unit"]]
    sizes = pairs.groupby(["layer", "unit"], sort=False).size().sort_values(ascending=False, kind="stable")
    rest = sizes.reset_index()[["layer", "unit"]]
    return pd.concat([firsts, rest]).drop_duplicates(ignore_index=True).head(most)


def strongest_first(pairs: pd.DataFrame) -> pd.DataFrame:
    """Local concepts by IoU, then global ones by probability."""
    by = pairs.assign(_second=pairs["scope"].eq(GLOBAL), strength=strength(pairs))
    return by.sort_values(["_second", "strength"], ascending=[True, False], kind="stable").drop(
        columns="_second"
    )


def strength(pairs: pd.DataFrame) -> pd.Series:
    """What pairs of one concept are ranked by: IoU, of global groups the probability."""
    return pairs["probability"].where(pairs["scope"].eq(GLOBAL), pairs["iou"]).astype(float)


@dataclass(frozen=True)
class Candidates:
    """The strips of images that a layer may be shown by, a row an image.

    Parameters
    ----------
    found : LayerDissection
        What was found in the layer.
    pairs, units : DataFrame
        Its pairs and units.
    dictionary : FaceDictionary
        The dictionary as the network saw it.
    """

    found: LayerDissection
    pairs: pd.DataFrame
    units: pd.DataFrame
    dictionary: FaceDictionary

    def table(self, most: int) -> pd.DataFrame:
        """The rows, of so many units at the most.

        Returns
        -------
        DataFrame
            ``layer, depth, unit, kind, concept, region, scope, rank, image_id, image_iou, iou, probability, threshold,
            strength, caption``.
        """
        own = hierarchical(self.pairs)
        own = own if len(own) else self.pairs
        rows = [*self._tops(own, most), *self._concepts(own), *self._disagreements(own)] if len(own) else []
        return pd.DataFrame(rows, columns=_COLUMNS)

    @cached_property
    def _image_ids(self) -> ndarray:
        return self.dictionary.faces.table["image_id"].to_numpy()

    @cached_property
    def _units(self) -> dict[int, dict[str, Any]]:
        return {
            int(row["unit"]): {str(k): v for k, v in row.items()} for row in self.units.to_dict("records")
        }

    @cached_property
    def _local(self) -> dict[str, int]:
        return {concept.name: k for k, concept in enumerate(self.dictionary.concepts.local)}

    def _strip(
        self, unit: int, kind: str, images: Int[ndarray, " k"], ious: ndarray | None, **about: Any
    ) -> Iterator[dict[str, Any]]:
        """The rows of a strip; images below 0 are not there."""
        place = {name: self._units[unit][name] for name in ("layer", "depth", "unit", "threshold")}
        common = dict.fromkeys(("concept", "region", "scope"), "") | place | about | {"kind": kind}
        for rank, k in enumerate(np.flatnonzero(images >= 0)):
            one = {
                "image_id": self._image_ids[images[k]],
                "image_iou": np.nan if ious is None else float(ious[k]),
            }
            yield common | one | {"rank": rank}

    def _tops(self, pairs: pd.DataFrame, most: int) -> Iterator[dict[str, Any]]:
        """Units and the images that activate them most."""
        for unit in chosen_units(pairs, most)["unit"].tolist():
            own = self._units[unit]
            about = {"concept": own["best_concept"] or "", "iou": own["best_iou"]}
            caption = f"Unit {unit} of {own['layer']}: the images that activate it most"
            yield from self._strip(unit, TOP, self.found.top_images[unit], None, caption=caption, **about)

    def _concepts(self, pairs: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """For each concept the strongest unit, and the best images."""
        kept = ["concept", "region", "scope", "iou", "probability", "strength"]
        for row in strongest_first(pairs).drop_duplicates(["concept", "region"]).to_dict("records"):
            unit = int(row["unit"])
            said = _said(row["iou"], row["probability"])
            caption = f"{row['concept']}: unit {unit} of {row['layer']}, {said}"
            if row["scope"] == GLOBAL:
                images, ious = self._of_group(unit, row["region"], row["concept"]), None
            else:
                images, ious = self._by_iou(unit, row["concept"])
            yield from self._strip(
                unit, CONCEPT, images, ious, caption=caption, **{name: row[name] for name in kept}
            )

    def _by_iou(self, unit: int, concept: str) -> tuple[ndarray, ndarray]:
        k = self._local[concept]
        return self.found.best_by_iou[unit, k], self.found.best_iou_of_image[unit, k]

    def _of_group(self, unit: int, category: str, group: str) -> Int[ndarray, " k"]:
        """The images of a group that activate a unit most."""
        groups = next(c.groups for c in self.dictionary.concepts.categories if c.name == category)
        member = self.dictionary.groups[category].to_numpy() == groups.index(group)
        values = np.where(member, self.found.maxima[:, unit], -np.inf)
        rows = np.argsort(-values, kind="stable")[: self.found.top_images.shape[1]]
        return np.where(member[rows], rows, -1)

    def _disagreements(self, pairs: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """Units whose most probable concept is not that of the highest IoU (figure 11), the clearest first."""
        local = pairs[(pairs["scope"] != GLOBAL) & pairs["probability"].notna()]
        most = local.sort_values("probability", ascending=False, kind="stable").drop_duplicates("unit")
        most = most.merge(self.units[["unit", "best_concept", "best_iou"]], on="unit")
        most = most[most["concept"] != most["best_concept"]]
        if not len(most):
            return
        winners = most["best_concept"].map(self._local).to_numpy()
        of_winner = self.found.probabilities_local[most["unit"].to_numpy(), winners]
        most = most.assign(of_winner=of_winner, strength=most["probability"] - of_winner)
        for row in most.nlargest(MOST_DISAGREEMENTS, "strength").to_dict("records"):
            unit = int(row["unit"])
            for concept, what, iou, probability in (
                (row["best_concept"], "the highest IoU", row["best_iou"], row["of_winner"]),
                (row["concept"], "the most probable", row["iou"], row["probability"]),
            ):
                images, ious = self._by_iou(unit, concept)
                caption = f"Unit {unit} of {row['layer']}: {concept}, {what} ({_said(iou, probability)})"
                about = {name: row[name] for name in ("region", "scope", "strength")}
                about |= {"concept": concept, "iou": iou, "probability": probability, "caption": caption}
                yield from self._strip(unit, DISAGREEMENT, images, ious, **about)


def final_choice(candidates: pd.DataFrame, pairs: pd.DataFrame, most: int) -> pd.DataFrame:
    """Choose among the candidates of all layers of a network: units, disagreements, and the best unit a concept."""
    if not len(candidates):
        return candidates
    own = hierarchical(pairs)
    own = own if len(own) else pairs
    tops = candidates[candidates["kind"] == TOP]
    shown = chosen_units(own.merge(tops[["layer", "unit"]].drop_duplicates(), on=["layer", "unit"]), most)
    tops = shown.merge(tops, on=["layer", "unit"])
    odd = candidates[candidates["kind"] == DISAGREEMENT]
    odd_units = odd.sort_values("strength", ascending=False, kind="stable")[
        ["layer", "unit"]
    ].drop_duplicates()
    odd = odd_units.head(MOST_DISAGREEMENTS).merge(odd, on=["layer", "unit"])
    best = candidates[candidates["kind"] == CONCEPT]
    named = strongest_first(best).drop_duplicates(["concept", "region"])[
        ["concept", "region", "layer", "unit"]
    ]
    best = named.merge(best, on=["concept", "region", "layer", "unit"])
    return pd.concat([tops, odd, best], ignore_index=True)[candidates.columns]


def firing_places(found: LayerDissection, layer: str, units: pd.Series) -> pd.DataFrame:
    """Where on the image units exceed their thresholds, as a share of images: ``layer, unit, rows, columns, values``."""
    grid = np.asarray(found.where, dtype=np.float64)
    chosen = list(dict.fromkeys(int(u) for u in units))
    return pd.DataFrame(
        {
            "layer": layer,
            "unit": chosen,
            "rows": grid.shape[1],
            "columns": grid.shape[2],
            "values": [grid[unit].reshape(-1).tolist() for unit in chosen],
        }
    )


def _said(iou: float, probability: float) -> str:
    parts = [f"IoU {iou:.3f}"] if np.isfinite(iou) else []
    return ", ".join([*parts, *([f"probability {probability:.2f}"] if np.isfinite(probability) else [])])
