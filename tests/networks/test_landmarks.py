import numpy as np
import pytest
import torch

from fusiform.errors import DataError, NetworkError
from fusiform.faces import TEMPLATES, open_faces
from fusiform.networks import FaceNetwork, NetworkCard, load_network, predict_landmarks
from fusiform.networks._landmarks import _template


class _Fixed(torch.nn.Module):
    """Gives the same points in every crop."""

    def __init__(self, points):
        super().__init__()
        self.register_buffer("points", torch.as_tensor(points, dtype=torch.float32))
        self.conv = torch.nn.Conv2d(3, 1, 1)

    def forward(self, x):
        return self.points.flatten().expand(len(x), -1) + 0 * self.conv(x).sum()


def fixed(points):
    return FaceNetwork(_Fixed(points), NetworkCard(name="fixed", input_size=(112, 112), head="landmarks"))


def test_points_of_the_crop_come_back_where_the_face_is():
    faces = open_faces("synthetic?n=4&size=96&seed=2")
    template = _template((112, 112))
    # All points on the crop's left eye: they must land on the image's left eye, up to what a similarity leaves.
    crop = np.tile((template.array()[0] + 0.5) / 112, (68, 1))
    found = predict_landmarks(fixed(crop), faces, batch_size=3)
    framed = faces.aligned(template)
    own = framed.keypoints
    assert found.landmarks.shape == (4, 68, 2)
    scale = np.linalg.norm(faces.keypoints[:, 1] - faces.keypoints[:, 0], axis=1) / np.linalg.norm(
        own[:, 1] - own[:, 0], axis=1
    )
    assert np.allclose(
        np.linalg.norm(found.landmarks[:, 0] - faces.keypoints[:, 0], axis=1),
        scale * np.linalg.norm(own[:, 0] - template.array()[0], axis=1),
        atol=1e-2,
    )
    # A resized set gets its points in its own pixels.
    half = predict_landmarks(fixed(crop), faces.resized(48))
    assert np.allclose(half.landmarks, (found.landmarks + 0.5) / 2 - 0.5, atol=0.2)


def test_networks_of_something_else_and_aligned_faces_are_refused():
    faces = open_faces("synthetic?n=2&size=64&seed=2")
    with pytest.raises(NetworkError, match=r"gives \(2, 128\); 68 landmarks are 136 numbers"):
        predict_landmarks(load_network("mobilefacenet_prelu?input=112x112"), faces)
    with pytest.raises(DataError, match="are aligned by the landmarks that they have"):
        predict_landmarks(fixed(np.zeros((68, 2))), faces.aligned(TEMPLATES["arcface_112"]))
    with pytest.raises(NetworkError, match="NaN or infinite landmarks"):
        predict_landmarks(fixed(np.full((68, 2), np.nan)), faces)
