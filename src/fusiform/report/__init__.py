"""From a run folder to one HTML page that needs nothing else.

`write_report` reads ``run.json``, ``tables/*.parquet`` and ``images/`` and writes ``report.html`` beside them.
The page holds its styles, scripts, plots and pictures, fetches nothing, and prints.
"""

from fusiform.report._page import write_report

__all__ = ["write_report"]
