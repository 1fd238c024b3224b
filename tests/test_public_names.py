"""The public names are a list that changes on purpose only."""

import importlib
import subprocess
import sys

import pytest

import fusiform

NAMES = {
    "faces": {
        "Attribute",
        "Category",
        "Concept",
        "ConceptTable",
        "FaceDictionary",
        "FaceSet",
        "TEMPLATES",
        "build_dictionary",
        "export_faces",
        "join_faces",
        "open_dictionary",
        "open_faces",
        "synthetic_faces",
        "with_points",
    },
    "networks": {
        "FaceNetwork",
        "Layer",
        "NetworkCard",
        "find_role",
        "find_roles",
        "load_network",
        "predict_attribute",
        "predict_landmarks",
    },
    "dissection": {"Dissection", "dissect", "global_probabilities", "local_probabilities"},
    "activations": {"stream", "Collector", "ActivationStore", "plan", "open_group"},
    "probing": {
        "ENCODINGS",
        "ESTIMATORS",
        "Encoded",
        "Expressivity",
        "PLS",
        "ablate",
        "best_layers",
        "calibrate",
        "confounded_draws",
        "detect_manipulation",
        "encode_attribute",
        "expressivities",
        "expressivity",
        "fit_probes",
        "identify",
        "probe_layers",
        "probe_network",
        "sample",
    },
    "runs": {"Run", "Progress"},
    "studies": {
        "AuditRequest",
        "DissectionRequest",
        "ExpressivityRequest",
        "LayersRequest",
        "PlantedBiasRequest",
        "audit",
        "study_dissection",
        "study_expressivity",
        "study_layers",
        "study_planted_bias",
    },
    "report": {"write_report"},
}


@pytest.mark.parametrize("package", NAMES)
def test_public_names_are_there_and_exported(package):
    module = importlib.import_module(f"fusiform.{package}")
    assert set(module.__all__) >= NAMES[package]
    for name in module.__all__:
        assert getattr(module, name).__doc__ or not callable(getattr(module, name))
    assert getattr(fusiform, package) is module


def test_the_root_loads_nothing_heavy():
    code = (
        "import sys, fusiform; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'pandas', 'rich')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'prob'"):
        _ = fusiform.prob
