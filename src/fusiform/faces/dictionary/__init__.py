"""The Face Dictionary: images with the places of facial concepts, for dissection.

Examples
--------
>>> from fusiform.faces import open_faces
>>> build_dictionary(open_faces("synthetic?n=6&size=48&seed=1")).concepts.regions["Nose"][-1] != ""
True
"""

from fusiform.faces.dictionary._build import build_dictionary
from fusiform.faces.dictionary._concepts import Category, Concept, ConceptTable
from fusiform.faces.dictionary._dictionary import FaceDictionary
from fusiform.faces.dictionary._groups import group_numbers
from fusiform.faces.dictionary._open import open_dictionary
from fusiform.faces.dictionary._overlap import overlap

__all__ = [
    "Category",
    "Concept",
    "ConceptTable",
    "FaceDictionary",
    "build_dictionary",
    "group_numbers",
    "open_dictionary",
    "overlap",
]
