"""Where a decision looks: what every pixel contributes to a score.

Examples
--------
>>> from fusiform.attribution import METHODS
>>> "grad_cam" in METHODS
True
"""

from fusiform.attribution import _gradients  # noqa: F401
from fusiform.attribution._attribute import attribute, options_of

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

__all__ = ["METHODS", "attribute", "options_of"]
