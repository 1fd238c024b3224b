"""Images with something replaced, and what a network makes of them.

Masks say what is kept, a baseline what the rest is replaced by; `masked_scores` passes all images under all masks
through the network, as many at a time as it is fastest with, and never holds more masks than one pass needs.
"""

from fusiform.perturbation._baseline import KINDS as BASELINES
from fusiform.perturbation._baseline import Baseline as Baseline  # a type, for annotations
from fusiform.perturbation._baseline import baseline
from fusiform.perturbation._batch import best_batch_size
from fusiform.perturbation._incremental import incremental_outputs, incremental_scores
from fusiform.perturbation._masks import CoalitionMasks, Masks, Windows, blend
from fusiform.perturbation._scores import masked_outputs, masked_scores

__all__ = [
    "BASELINES",
    "CoalitionMasks",
    "Masks",
    "Windows",
    "baseline",
    "best_batch_size",
    "blend",
    "incremental_outputs",
    "incremental_scores",
    "masked_outputs",
    "masked_scores",
]
