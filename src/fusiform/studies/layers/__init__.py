"""The study of layers, channels and neurons (Diniz 2020): experiments, analyses of their tables, and the run."""

from fusiform.studies.layers._request import LayersRequest
from fusiform.studies.layers._study import study_layers

__all__ = ["LayersRequest", "study_layers"]
