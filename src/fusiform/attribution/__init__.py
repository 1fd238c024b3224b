"""Where a decision looks: what every pixel contributes to a score.

Examples
--------
>>> from fusiform.attribution import METHODS
>>> "grad_cam" in METHODS
True
"""

from fusiform.attribution import (  # noqa: F401, each registers its methods
    _cam,
    _deep_lift,
    _gradients,
    _guided,
    _integrated,
    _lime,
    _rise,
)
from fusiform.attribution._attribute import attribute, options_of
from fusiform.attribution._occlusion import PairThreshold, learn_pair_threshold
from fusiform.attribution._parts import FRONTAL_PARTS, frontal_parts
from fusiform.attribution._receptive_field import (
    ReceptiveField,
    effective_receptive_field,
    measure_receptive_field,
)
from fusiform.attribution._shapley import ShapleyValues, shapley_values
from fusiform.attribution.canonical import (
    CanonicalDifference,
    CanonicalModelSaliency,
    LookAlikes,
    canonical_difference,
    canonical_image_saliency,
    canonical_model_saliency,
    look_alikes,
)
from fusiform.attribution.propagation import lrp_plan

METHODS = (
    "occlusion",
    "part_occlusion",
    "paired_occlusion",
    "rise",
    "dise",
    "shapley_sampling",
    "kernel_shap",
    "lime",
    "score_cam",
    "gradient",
    "input_x_gradient",
    "smoothgrad",
    "integrated_gradients",
    "cam",
    "grad_cam",
    "grad_cam_plus_plus",
    "deconvolution",
    "guided_backpropagation",
    "guided_grad_cam",
    "lrp",
    "deep_lift",
    "excitation_backprop",
    "contrastive_excitation_backprop",
    "truncated_contrastive_excitation_backprop",
)

__all__ = [
    "FRONTAL_PARTS",
    "METHODS",
    "CanonicalDifference",
    "CanonicalModelSaliency",
    "LookAlikes",
    "PairThreshold",
    "ReceptiveField",
    "ShapleyValues",
    "attribute",
    "canonical_difference",
    "canonical_image_saliency",
    "canonical_model_saliency",
    "effective_receptive_field",
    "frontal_parts",
    "learn_pair_threshold",
    "look_alikes",
    "lrp_plan",
    "measure_receptive_field",
    "options_of",
    "shapley_values",
]
