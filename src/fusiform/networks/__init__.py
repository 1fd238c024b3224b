"""Face networks: their cards, weights and layers, and what layers hold for an image."""

from fusiform.networks._card import NetworkCard
from fusiform.networks._framing import frame_faces, framing_template
from fusiform.networks._landmarks import predict_landmarks
from fusiform.networks._listing import Layer
from fusiform.networks._load import load_network
from fusiform.networks._network import FaceNetwork
from fusiform.networks._predict import predict_attribute
from fusiform.networks._presets import ROLES, find_role, find_roles

__all__ = [
    "ROLES",
    "FaceNetwork",
    "Layer",
    "NetworkCard",
    "find_role",
    "find_roles",
    "frame_faces",
    "framing_template",
    "load_network",
    "predict_attribute",
    "predict_landmarks",
]
