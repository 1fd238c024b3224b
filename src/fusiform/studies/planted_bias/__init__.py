"""Whether dissection finds a bias that was planted in the training (Teotia and others 2022, section 4)."""

from fusiform.studies.planted_bias._request import PlantedBiasRequest
from fusiform.studies.planted_bias._study import study_planted_bias

__all__ = ["PlantedBiasRequest", "study_planted_bias"]
