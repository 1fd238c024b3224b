"""What each unit detects: Network Dissection and Hierarchical Network Dissection."""

from fusiform.dissection._dissect import METHODS, UNIONS, dissect
from fusiform.dissection._probabilities import global_probabilities, local_probabilities
from fusiform.dissection._result import Dissection, LayerDissection

__all__ = [
    "METHODS",
    "UNIONS",
    "Dissection",
    "LayerDissection",
    "dissect",
    "global_probabilities",
    "local_probabilities",
]
