"""Studies: each composes measures into tables in a run folder."""

from fusiform.studies._audit import audit
from fusiform.studies._request import AuditRequest
from fusiform.studies.attribution import AttributionRequest, study_attribution
from fusiform.studies.dissection import DissectionRequest, study_dissection
from fusiform.studies.explain import ExplainRequest, explain
from fusiform.studies.expressivity import ExpressivityRequest, study_expressivity
from fusiform.studies.layers import LayersRequest, study_layers
from fusiform.studies.planted_bias import PlantedBiasRequest, study_planted_bias

__all__ = [
    "AttributionRequest",
    "AuditRequest",
    "DissectionRequest",
    "ExplainRequest",
    "ExpressivityRequest",
    "LayersRequest",
    "PlantedBiasRequest",
    "audit",
    "explain",
    "study_attribution",
    "study_dissection",
    "study_expressivity",
    "study_layers",
    "study_planted_bias",
]
