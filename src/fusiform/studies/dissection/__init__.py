"""What each unit of a face network detects (Teotia, Lapedriza, Ostadabbas 2022)."""

from fusiform.studies.dissection._request import DissectionRequest
from fusiform.studies.dissection._study import study_dissection

__all__ = ["DissectionRequest", "study_dissection"]
