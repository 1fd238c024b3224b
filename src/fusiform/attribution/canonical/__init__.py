"""Saliency on the canonical face: of images, of a network over many images, and what tells two people apart."""

from fusiform.attribution.canonical._difference import CanonicalDifference, canonical_difference
from fusiform.attribution.canonical._look_alikes import LookAlikes, look_alikes
from fusiform.attribution.canonical._model import CanonicalModelSaliency, canonical_model_saliency
from fusiform.attribution.canonical._occlusion import canonical_image_saliency

__all__ = [
    "CanonicalDifference",
    "CanonicalModelSaliency",
    "LookAlikes",
    "canonical_difference",
    "canonical_image_saliency",
    "canonical_model_saliency",
    "look_alikes",
]
