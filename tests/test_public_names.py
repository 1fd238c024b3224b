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
        "canonical_face",
        "canonical_landmarks",
        "canonical_parts",
        "export_faces",
        "join_faces",
        "open_dictionary",
        "open_faces",
        "part_masks",
        "synthetic_faces",
        "to_canonical",
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
    "targets": {
        "Activation",
        "Contrast",
        "Logit",
        "MatchProbability",
        "Probability",
        "Similarity",
        "Start",
        "Target",
    },
    "attribution": {
        "attribute",
        "canonical_difference",
        "canonical_image_saliency",
        "canonical_model_saliency",
        "CanonicalDifference",
        "CanonicalModelSaliency",
        "effective_receptive_field",
        "FRONTAL_PARTS",
        "frontal_parts",
        "learn_pair_threshold",
        "look_alikes",
        "LookAlikes",
        "lrp_plan",
        "measure_receptive_field",
        "METHODS",
        "options_of",
        "PairThreshold",
        "ReceptiveField",
        "shapley_values",
        "ShapleyValues",
    },
    "evaluation": {
        "BASELINE_MAPS",
        "baseline_maps",
        "compare_maps",
        "Completeness",
        "completeness",
        "Curve",
        "data_randomization",
        "deletion",
        "describe_maps",
        "energy_pointing_game",
        "Fixations",
        "implementation_invariance",
        "inpainting_game",
        "InpaintingResult",
        "insertion",
        "mask_and_evaluate",
        "Masked",
        "parameter_randomization",
        "passes_randomization",
        "pointing_game",
        "read_fixations",
        "sensitivity",
        "Stability",
        "stability",
        "summarise",
        "Summary",
        "symmetry",
    },
    "perturbation": {
        "baseline",
        "BASELINES",
        "best_batch_size",
        "blend",
        "CoalitionMasks",
        "incremental_outputs",
        "incremental_scores",
        "masked_outputs",
        "masked_scores",
        "Masks",
        "Windows",
    },
    "verification": {
        "calibrate",
        "Calibration",
        "embeddings",
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
        "ExplainRequest",
        "explain",
        "study_attribution",
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
