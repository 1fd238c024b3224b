"""Studies: each composes measures into tables in a run folder."""

from fusiform.studies._audit import audit
from fusiform.studies._request import AuditRequest
from fusiform.studies.expressivity import ExpressivityRequest, study_expressivity
from fusiform.studies.layers import LayersRequest, study_layers

__all__ = [
    "AuditRequest",
    "ExpressivityRequest",
    "LayersRequest",
    "audit",
    "study_expressivity",
    "study_layers",
]
