"""How much features say about an attribute: estimators of mutual information (Dhar and others 2020)."""

from fusiform.probing.information._attributes import ENCODINGS, Encoded, encode_attribute
from fusiform.probing.information._calibration import calibrate
from fusiform.probing.information._estimate import ESTIMATORS, expressivities, expressivity
from fusiform.probing.information._result import Expressivity

__all__ = [
    "ENCODINGS",
    "ESTIMATORS",
    "Encoded",
    "Expressivity",
    "calibrate",
    "encode_attribute",
    "expressivities",
    "expressivity",
]
