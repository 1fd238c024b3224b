"""What each layer, channel and neuron knows: exact probes for all attributes together."""

from fusiform.probing._ablation import ablate, ablation_summary
from fusiform.probing._confounds import ConfoundedDraw, confounded_draws
from fusiform.probing._consistency import detect_manipulation
from fusiform.probing._frozen import ProbeSet, fit_probes
from fusiform.probing._identification import identify
from fusiform.probing._measures import Measure, measure_answers
from fusiform.probing._pls import PLS
from fusiform.probing._probe import Probes, best_layers, probe_layers, probe_network
from fusiform.probing._sampling import Draw, Sampling, sample
from fusiform.probing._verification import verify_layers
from fusiform.probing.information import (
    ENCODINGS,
    ESTIMATORS,
    Encoded,
    Expressivity,
    calibrate,
    encode_attribute,
    expressivities,
    expressivity,
)

__all__ = [
    "ENCODINGS",
    "ESTIMATORS",
    "PLS",
    "ConfoundedDraw",
    "Draw",
    "Encoded",
    "Expressivity",
    "Measure",
    "ProbeSet",
    "Probes",
    "Sampling",
    "ablate",
    "ablation_summary",
    "best_layers",
    "calibrate",
    "confounded_draws",
    "detect_manipulation",
    "encode_attribute",
    "expressivities",
    "expressivity",
    "fit_probes",
    "identify",
    "measure_answers",
    "probe_layers",
    "probe_network",
    "sample",
    "verify_layers",
]
