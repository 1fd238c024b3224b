"""Synthetic faces: a parametric head, drawn with exact truth about every pixel.

A table of parameters (`sample_parameters`, or one's own: any of `FACTORS` as columns) goes into `render`, which draws
images with landmarks, masks, depth and surface coordinates, and into `attributes`, which says what is true of them.
"""

from fusiform.faces.synthetic._factors import FACTORS, IDENTITY_NUMBERS, Factor
from fusiform.faces.synthetic._render import PARTS, Rendering, render
from fusiform.faces.synthetic._sampling import sample_parameters
from fusiform.faces.synthetic._truth import ATTRIBUTES, attributes

__all__ = [
    "ATTRIBUTES",
    "FACTORS",
    "IDENTITY_NUMBERS",
    "PARTS",
    "Factor",
    "Rendering",
    "attributes",
    "render",
    "sample_parameters",
]
