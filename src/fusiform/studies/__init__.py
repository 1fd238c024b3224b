"""Studies: each composes measures into tables in a run folder."""

from fusiform.studies._audit import AuditRequest, audit

__all__ = ["AuditRequest", "audit"]
