"""Why two images match or do not, why an image is what a network says, and what tells two people apart."""

from fusiform.studies.explain._request import ExplainRequest
from fusiform.studies.explain._study import explain

__all__ = ["ExplainRequest", "explain"]
