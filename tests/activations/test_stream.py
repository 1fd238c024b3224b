import numpy as np
import pytest
import torch

from fusiform.activations import stream
from fusiform.errors import DataError, LayerError
from fusiform.faces import open_faces
from fusiform.networks import load_network

LAYERS = ["stage2", "pool"]


class Keep:
    def __init__(self):
        self.kept = {}

    def update(self, layer, rows, activations):
        self.kept.setdefault(layer.name, []).append((rows, activations.clone()))

    def whole(self, name):
        rows = [r for r, _ in self.kept[name]]
        assert [r.start for r in rows[1:]] == [r.stop for r in rows[:-1]]
        return torch.cat([a for _, a in self.kept[name]])


@pytest.fixture(scope="module")
def net():
    return load_network("demo")


@pytest.fixture(scope="module")
def faces():
    return open_faces("synthetic?n=20&seed=5&size=40")


@pytest.mark.parametrize("batch_size", [1, 7, 20, 64])
def test_every_collector_sees_every_layer_in_order(net, faces, batch_size):
    indices = np.array([3, 1, 19, 4, 4, 0, 7, 8])
    first, second = Keep(), Keep()
    steps = []
    stream(
        net, faces, LAYERS, [first, second], indices=indices, batch_size=batch_size,
        progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    expected = net.activations(net.prepare(faces.images(indices)), LAYERS)
    for keep in (first, second):
        for name in LAYERS:
            torch.testing.assert_close(keep.whole(name), expected[name].detach(), atol=1e-5, rtol=1e-4)
    assert steps[-1] == (8, 8)


def test_nothing_is_left_behind(net, faces):
    class Fails:
        def update(self, layer, rows, activations):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        stream(net, faces, LAYERS, [Fails()])
    for module in net.module.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert torch.is_grad_enabled()


def test_errors(net, faces):
    with pytest.raises(LayerError, match="did you mean 'stage2'"):
        stream(net, faces, ["stage22"], [Keep()])
    with pytest.raises(DataError, match="batch_size"):
        stream(net, faces, LAYERS, [Keep()], batch_size=0)
