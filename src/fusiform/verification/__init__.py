"""Verification: whether two images show one person, by cosine and a threshold at a stated false match rate."""

from fusiform.verification._calibrate import calibrate
from fusiform.verification._calibration import Calibration
from fusiform.verification._embeddings import embeddings

__all__ = ["Calibration", "calibrate", "embeddings"]
