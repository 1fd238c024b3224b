"""Studies: each composes measures into tables in a run folder."""

from fusiform.studies._audit import audit
from fusiform.studies._request import AuditRequest

__all__ = ["AuditRequest", "audit"]
