"""Is a map to be trusted? Measures of attribution maps, whoever made them.

Every measure takes a network, inputs, a target, and maps or ``explain(net, x, target)`` that makes them; this package knows
no method of attribution.
"""

from fusiform.evaluation._axioms import Completeness, completeness, sensitivity
from fusiform.evaluation._baselines import BASELINE_MAPS, baseline_maps
from fusiform.evaluation._describe import describe_maps
from fusiform.evaluation._fixations import Fixations, read_fixations
from fusiform.evaluation._flipping import Curve, Masked, deletion, insertion, mask_and_evaluate
from fusiform.evaluation._inpainting import InpaintingResult, inpainting_game
from fusiform.evaluation._invariance import implementation_invariance, symmetry
from fusiform.evaluation._pointing import energy_pointing_game, pointing_game
from fusiform.evaluation._randomization import (
    data_randomization,
    parameter_randomization,
    passes_randomization,
)
from fusiform.evaluation._similarity import compare_maps
from fusiform.evaluation._stability import Stability, stability
from fusiform.evaluation._summary import Summary, summarise

__all__ = [
    "BASELINE_MAPS",
    "Completeness",
    "Curve",
    "Fixations",
    "InpaintingResult",
    "Masked",
    "Stability",
    "Summary",
    "baseline_maps",
    "compare_maps",
    "completeness",
    "data_randomization",
    "deletion",
    "describe_maps",
    "energy_pointing_game",
    "implementation_invariance",
    "inpainting_game",
    "insertion",
    "mask_and_evaluate",
    "parameter_randomization",
    "passes_randomization",
    "pointing_game",
    "read_fixations",
    "sensitivity",
    "stability",
    "summarise",
    "symmetry",
]
