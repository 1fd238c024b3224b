"""Thresholds of real verifiers on real faces; skipped where they are not there."""

import numpy as np
import pytest

from fusiform.errors import DataError
from fusiform.faces import open_faces
from fusiform.networks import frame_faces, load_network
from fusiform.verification import calibrate

WEIGHTS = {
    "mobilefacenet_relu6": "mobilefacenet_ms1m_112x112.pt",
    "mobilefacenet_prelu": "mobilefacenet_casia_112x96.ckpt",
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_orl(realdata, name):
    net = load_network(f"{name}?weights={realdata}/weights/{WEIGHTS[name]}")
    faces = open_faces(f"table:{realdata}/images/orl/labels.csv").subset(np.arange(0, 400, 4))
    framed, _ = frame_faces(net, faces)
    found = calibrate(net, framed, false_match_rate=1e-2, resamples=100)
    assert 0.2 < found.lower <= found.threshold <= found.upper < 0.6
    assert found.false_non_match_rate < 0.1
    assert found.probability(found.threshold) > 0.02
    with pytest.raises(DataError, match="give more images, or ask for that"):
        calibrate(net, framed, false_match_rate=1e-5)
