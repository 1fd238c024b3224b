"""Run folders: what was asked, with which versions, and every table that came of it; progress; resuming."""

from fusiform._files import atomic_write, explain_full_disk
from fusiform.runs._environment import environment
from fusiform.runs._progress import Progress
from fusiform.runs._run import Run

__all__ = ["Progress", "Run", "atomic_write", "environment", "explain_full_disk"]
