"""Whether maps of attribution are to be trusted: all methods on the same images, measures and known answers."""

from fusiform.studies.attribution._request import AttributionRequest
from fusiform.studies.attribution._study import study_attribution

__all__ = ["AttributionRequest", "study_attribution"]
