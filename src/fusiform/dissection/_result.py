"""What a dissection gives: tables of pairs, units and coverage, and the arrays behind them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from fusiform.faces import FaceDictionary


@dataclass(frozen=True, eq=False)
class LayerDissection:
    """What was measured of every unit of a layer, paired or not.

    Rows of images count in ``Dissection.dictionary.faces``; concepts stand in the order of its ``concepts.local``. U units, C
    local concepts, G groups of a category, n images.

    Parameters
    ----------
    thresholds : float array, shape (U,)
        Activation that the quantile lies above.
    iou : float array, shape (U, C)
        Stage II; NaN for concepts that no image carries, and where a union is empty.
    maxima : float32 array, shape (n, U)
        Maximum of every activation map.
    probabilities_local : float array, shape (U, C)
        Stage III; NaN outside the unit's region. Empty (no concepts) where only Network Dissection was asked for.
    probabilities_global : dict of str to float array, shape (U, G)
        Stage I; NaN for groups without images.
    p_local, q_local : float array, shape (U, C)
        Does the unit follow the concept of each image: masks dealt out anew among the images; and adjusted for false
        discoveries over the layer. NaN where nothing can be said.
    p_global, q_global : dict of str to float array, shape (U, G)
        Permutations of the group labels, and adjusted.
    top_images : int array, shape (U, T)
        Rows of the images with the highest maxima, highest first.
    top_maps : float16 array, shape (U, T, h, w)
        Their activation maps.
    where : float array, shape (U, gh, gw)
        Share of the images in which the unit exceeds its threshold at each place, on at most 14 x 14 cells.
    best_by_iou : int array, shape (U, C, T)
        Rows of the images with the highest IoU of their own, -1 where there are fewer. T is 0 without ``pictures``.
    best_iou_of_image : float array, shape (U, C, T)
        These IoU.
    """

    thresholds: Float[ndarray, " u"]
    iou: Float[ndarray, "u c"]
    maxima: Float[ndarray, "n u"]
    probabilities_local: Float[ndarray, "u c"]
    probabilities_global: dict[str, Float[ndarray, "u g"]]
    p_local: Float[ndarray, "u c"]
    q_local: Float[ndarray, "u c"]
    p_global: dict[str, Float[ndarray, "u g"]]
    q_global: dict[str, Float[ndarray, "u g"]]
    top_images: Int[ndarray, "u t"]
    top_maps: Float[ndarray, "u t h w"]
    where: Float[ndarray, "u gh gw"]
    best_by_iou: Int[ndarray, "u c t"]
    best_iou_of_image: Float[ndarray, "u c t"]

    @property
    def fires(self) -> ndarray:
        """Whether each unit exceeds its threshold anywhere; one that is constant never does."""
        return np.asarray(self.maxima.max(axis=0) > self.thresholds)


@dataclass(frozen=True, eq=False)
class Dissection:
    """Which concepts the units of some layers detect.

    Parameters
    ----------
    table : DataFrame
        A row per paired unit and concept: ``network, layer, depth, unit_kind, unit, method`` ("hierarchical" or "network"),
        ``scope`` ("local" or "global"), ``concept, concept_kind, region`` (of a global concept its category), ``iou,
        probability, threshold`` (that was exceeded), ``p_value, q_value, n`` (images that carry the concept).
    coverage : DataFrame
        ``network, layer, depth, method, scope`` ("local", "global", "either"; Network Dissection has no global
        concepts, so its "local" and "either" are the same), ``interpretable, units, share``.
    units : DataFrame
        A row per unit: ``network, layer, depth, unit, threshold, fires, region`` ("" when no concept reaches the IoU),
        ``best_concept, best_iou, local, global_`` (numbers of its pairs), ``concepts`` ("a; b"). Pairs are those of
        hierarchical dissection, or of Network Dissection where it alone was asked for.
    layers : dict of str to LayerDissection
        The arrays behind it.
    dictionary : FaceDictionary
        The dictionary as framed for the network.
    images : int
        Images in it.
    quantile : float
        Share of activations above a unit's threshold.
    seconds : dict of str to float
        Time by part.
    settings : dict
        What was asked, and what was left out.
    """

    table: pd.DataFrame
    coverage: pd.DataFrame
    units: pd.DataFrame
    layers: dict[str, LayerDissection]
    dictionary: FaceDictionary
    images: int
    quantile: float
    seconds: dict[str, float]
    settings: dict[str, Any]

    def __repr__(self) -> str:
        units, several = len(self.units), "s" if len(self.layers) > 1 else ""
        return (
            f"<Dissection of {len(self.layers)} layer{several}, {units:,} units, {len(self.table):,} pairs>"
        )
