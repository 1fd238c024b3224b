"""The zoo on real weights and real faces; every test skips where they are not there."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from fusiform.faces import open_faces
from fusiform.networks import load_network

WEIGHTS = {
    "mobilefacenet_relu6": "mobilefacenet_relu6?weights={}/weights/mobilefacenet_ms1m_112x112.pt",
    "mobilefacenet_prelu": "mobilefacenet_prelu?weights={}/weights/mobilefacenet_casia_112x96.ckpt",
    "landmarks": "mobilefacenet_prelu?outputs=136&input=112x112&weights={}/weights/mobilefacenet_landmark68_112x112.pt",
    "mobilenetv1": "mobilenetv1?weights={}/weights/mobilenetv1_025_imagenet.tar",
    "detector a": "mobilenetv1?trunk=body&weights={}/weights/retinaface_mobilenet025_a.pth",
    "detector b": "mobilenetv1?trunk=body&channels=bgr&weights={}/weights/retinaface_mobilenet025_b.pth",
    "emotion": "mini_xception?weights={}/weights/minixception/minixception_emotion_runA_epoch110.pt",
    "sex": "mini_xception?weights={}/weights/minixception/minixception_gender.pt",
}


def outputs(net, faces, batch=100):
    with torch.no_grad():
        return torch.cat(
            [
                net(net.prepare(faces.images(part)))
                for part in np.array_split(np.arange(len(faces)), -(-len(faces) // batch))
            ]
        )


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_load_and_random_ones_differ(realdata, name):
    net = load_network(WEIGHTS[name].format(realdata))
    assert len(net.card.weights_digest) == 64
    assert "random" not in net.card.name
    x = torch.randn(2, net.card.n_channels, *net.card.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out, control = net(x), net.randomized()(x)
    assert torch.isfinite(out).all()
    assert torch.isfinite(control).all()
    assert not torch.allclose(out, control)


@pytest.mark.parametrize("name", ["mobilefacenet_relu6", "mobilefacenet_prelu"])
def test_verification_on_orl(realdata, name):
    net = load_network(WEIGHTS[name].format(realdata))
    every_other = np.arange(0, 400, 2)  # five of each person's ten, for speed
    faces = (
        open_faces(f"table:{realdata}/images/orl/labels.csv").subset(every_other).aligned(net.card.alignment)
    )
    assert faces.size == net.card.input_size
    embedded = torch.nn.functional.normalize(outputs(net, faces)).numpy()
    people = faces.table["identity"].to_numpy()
    first, second = np.triu_indices(len(people), 1)
    similarity = (embedded @ embedded.T)[first, second]
    # On all 400: 0.9991 and 0.9992.
    assert roc_auc_score(people[first] == people[second], similarity) > 0.998


def test_sex_on_celeba(realdata):
    net = load_network(WEIGHTS["sex"].format(realdata))
    faces = open_faces(
        f"table:{realdata}/images/restricted/celeba_half/labels.csv",
        images=f"{realdata}/images/restricted/celeba_half/celeba_000001_010000_89x109.zip",
    ).subset(np.arange(800))
    scores = (
        outputs(net, faces.aligned(net.card.alignment)).softmax(1)[:, net.card.classes.index("man")].numpy()
    )
    male = faces.table["Male"].to_numpy(dtype=bool)
    # Over the first 4,000: 0.963 on the picture's middle square, 0.989 on this aligned crop.
    assert roc_auc_score(male, scores) > 0.96


def test_landmarks_fall_on_the_points_that_aligned_the_face(realdata):
    net = load_network(WEIGHTS["landmarks"].format(realdata))
    faces = open_faces(f"table:{realdata}/images/lfw10/labels.csv").aligned("celeba_112")
    points = outputs(net, faces).reshape(len(faces), 68, 2).numpy() * 112
    five = np.stack(
        [points[:, 36:42].mean(1), points[:, 42:48].mean(1), points[:, 30], points[:, 48], points[:, 54]], 1
    )
    eyes = np.linalg.norm(faces.keypoints[:, 1] - faces.keypoints[:, 0], axis=1)
    error = np.linalg.norm(five - faces.keypoints, axis=2) / eyes[:, None]
    # The crop is wider than the network was trained for; half the eye distance would be chance.
    assert np.median(error) < 0.15
