"""Synthetic faces: a parametric head, drawn with exact truth about every pixel.

A table of parameters (`sample_parameters`, or one's own: any of `FACTORS` as columns) goes into `render`, which draws
images with landmarks, masks, depth and surface coordinates, and into `attributes`, which says what is true of them.
`pairs`, `triplets`, `counterfactual_pairs`, `series`, `confined`, `inpainting_triplets`, `expressions` and `conflicts` make
tables for particular questions, and
`fusiform.faces.synthetic_faces` makes a face set of any table.
"""

from fusiform.faces.synthetic._factors import ACTION_UNITS, EXPRESSIONS, FACTORS, IDENTITY_NUMBERS, Factor
from fusiform.faces.synthetic._games import (
    MAX_YAW_DEG,
    conflicts,
    expressions,
    inpainting_triplets,
    spectacled,
)
from fusiform.faces.synthetic._parts import CONCEPTS, MASKS, PARTS, REGIONS
from fusiform.faces.synthetic._render import Rendering, landmarks, render
from fusiform.faces.synthetic._sampling import sample_parameters
from fusiform.faces.synthetic._sets import (
    PART_FACTORS,
    confined,
    counterfactual_pairs,
    pairs,
    series,
    triplets,
)
from fusiform.faces.synthetic._truth import ATTRIBUTES, attributes, settle

__all__ = [
    "ACTION_UNITS",
    "ATTRIBUTES",
    "CONCEPTS",
    "EXPRESSIONS",
    "FACTORS",
    "IDENTITY_NUMBERS",
    "MASKS",
    "MAX_YAW_DEG",
    "PARTS",
    "PART_FACTORS",
    "REGIONS",
    "Factor",
    "Rendering",
    "attributes",
    "confined",
    "conflicts",
    "counterfactual_pairs",
    "expressions",
    "inpainting_triplets",
    "landmarks",
    "pairs",
    "render",
    "sample_parameters",
    "series",
    "settle",
    "spectacled",
    "triplets",
]
