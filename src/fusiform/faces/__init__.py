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
from fusiform.faces._export import export_faces
from fusiform.faces._face_set import FaceSet
from fusiform.faces._join import join_faces
from fusiform.faces._open import open_faces
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
    "TEMPLATES",
    "Attribute",
    "Category",
    "Concept",
    "ConceptTable",
    "FaceDictionary",
    "FaceSet",
    "Template",
    "associations",
    "build_dictionary",
    "cfp_pairs",
    "export_faces",
    "group_faces",
    "identity_codes",
    "ijbc_pairs",
    "join_faces",
    "lfw_pairs",
    "open_dictionary",
    "open_faces",
    "overlap",
    "pick_faces",
    "split_identities",
    "synthetic_faces",
    "transformed",
    "with_masks",
    "with_points",
]
