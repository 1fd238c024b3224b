"""Images of faces and all that is known about them: data sets, alignment, splits, synthetic faces.

Examples
--------
>>> faces = open_faces("synthetic?n=4&seed=0&size=64")
>>> faces.size, faces.schema["yaw"].unit
((64, 64), 'deg')
"""

from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._open import open_faces
from fusiform.faces._splits import identity_codes, split_identities
from fusiform.faces._templates import TEMPLATES, Template
from fusiform.faces.readers.lfw import lfw_pairs

__all__ = [
    "TEMPLATES",
    "Attribute",
    "FaceSet",
    "Template",
    "identity_codes",
    "lfw_pairs",
    "open_faces",
    "split_identities",
]
