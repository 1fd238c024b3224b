"""How much the features of face networks say about attributes, over layers and over training (Dhar and others 2020)."""

from fusiform.studies.expressivity._request import ExpressivityRequest
from fusiform.studies.expressivity._study import study_expressivity

__all__ = ["ExpressivityRequest", "study_expressivity"]
