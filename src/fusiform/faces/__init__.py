"""Images of faces and all that is known about them: data sets, alignment, splits, synthetic faces.

Examples
--------
>>> faces = open_faces("synthetic?n=4&seed=0&size=64")
>>> faces.size, faces.schema["yaw"].unit
((64, 64), 'deg')
"""

from fusiform.faces._associations import associations
from fusiform.faces._attach import with_masks, with_points
from fusiform.faces._attribute import Attribute
from fusiform.faces._canonical import canonical_coordinates, from_canonical, to_canonical
from fusiform.faces._canonical_face import (
    CanonicalFace,
    canonical_face,
    canonical_landmarks,
    canonical_parts,
)
from fusiform.faces._export import export_faces
from fusiform.faces._face_set import FaceSet
from fusiform.faces._games import (
    CONFINED_PARTS,
    confined_faces,
    conflict_faces,
    expression_faces,
    synthetic_inpainting,
)
from fusiform.faces._inpainting import InpaintingGame
from fusiform.faces._join import join_faces
from fusiform.faces._open import open_faces
from fusiform.faces._part_masks import FASSEG_CLASSES, PARTS8, PartSources, part_masks, part_sources
from fusiform.faces._pick import group_faces, pick_faces
from fusiform.faces._splits import identity_codes, split_identities
from fusiform.faces._templates import TEMPLATES, Template
from fusiform.faces._transformed import transformed
from fusiform.faces.dictionary import (
    Category,
    Concept,
    ConceptTable,
    FaceDictionary,
    build_dictionary,
    open_dictionary,
    overlap,
)
from fusiform.faces.readers.cfp import cfp_pairs
from fusiform.faces.readers.ijbc import ijbc_pairs
from fusiform.faces.readers.lfw import lfw_pairs
from fusiform.faces.readers.synthetic import synthetic_faces

__all__ = [
    "CONFINED_PARTS",
    "FASSEG_CLASSES",
    "PARTS8",
    "TEMPLATES",
    "Attribute",
    "CanonicalFace",
    "Category",
    "Concept",
    "ConceptTable",
    "FaceDictionary",
    "FaceSet",
    "InpaintingGame",
    "PartSources",
    "Template",
    "associations",
    "build_dictionary",
    "canonical_coordinates",
    "canonical_face",
    "canonical_landmarks",
    "canonical_parts",
    "cfp_pairs",
    "confined_faces",
    "conflict_faces",
    "export_faces",
    "expression_faces",
    "from_canonical",
    "group_faces",
    "identity_codes",
    "ijbc_pairs",
    "join_faces",
    "lfw_pairs",
    "open_dictionary",
    "open_faces",
    "overlap",
    "part_masks",
    "part_sources",
    "pick_faces",
    "split_identities",
    "synthetic_faces",
    "synthetic_inpainting",
    "to_canonical",
    "transformed",
    "with_masks",
    "with_points",
]
