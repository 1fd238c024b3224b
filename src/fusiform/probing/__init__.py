"""What each layer knows: probes on whole layers, exact and for all attributes together."""

from fusiform.probing._pls import PLS
from fusiform.probing._probe import best_layers, probe_layers
from fusiform.probing._sampling import Draw, Sampling, sample
from fusiform.probing._verification import verify_layers

__all__ = ["PLS", "Draw", "Sampling", "best_layers", "probe_layers", "sample", "verify_layers"]
