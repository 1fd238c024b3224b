import numpy as np
import pytest

from fusiform.activations import Group
from fusiform.probing import _cost
from fusiform.probing._cost import cheapest, speeds
from fusiform.probing._products import System


def cost(n_pool, scale, where="memory", *, attributes=40, weights=True, n_train=None, window=0, chunks=1):
    rows = np.arange(n_train or n_pool)
    systems = [System(rows, np.zeros((len(rows), 1)), k, 8) for k in range(attributes)]
    return cheapest(
        systems,
        scale,
        Group(("layer",), where, 0, window),
        n_pool=n_pool,
        n_images=n_pool + 100,
        first=n_pool,
        features=50_000,
        pass_seconds=60.0,
        weights=weights,
        chunks={"krylov": chunks, "gram": 1},
    )


@pytest.fixture(autouse=True)
def known_speeds(monkeypatch):
    monkeypatch.setattr(_cost, "speeds", lambda device: (1e11, 2e11))


def test_gram_matrices_for_few_images_and_krylov_steps_for_many():
    assert cost(300, "pooled").method == "gram"
    assert cost(6000, "pooled").method == "krylov"
    assert cost(6000, "subset").method == "krylov"
    assert cost(6000, "subset", n_train=100).method == "gram"


def test_where_walks_are_dear_there_are_few():
    dear = cost(3000, "pooled", "recompute", window=10_000)
    assert dear.method == "gram"
    assert dear.walks == 2
    assert dear.seconds > 2 * 5 * 60
    assert cost(3000, "pooled").method == "krylov"
    assert cost(3000, "pooled").walks == 9


def test_little_memory_means_more_walks():
    assert cost(6000, "subset", chunks=3).walks == 27


def test_one_walk_suffices_without_weights():
    assert cost(300, "pooled", weights=False).walks == 1
    assert cost(300, "subset", weights=False, n_train=50).walks == 2


def test_operations_are_counted_as_published():
    """1,280 n m for 40 attributes and 8 components, in lanes of 16; Gram matrices by their lower triangle."""
    n, m = 6000, 50_000
    found = cost(n, "pooled")
    steps = 1280 * n * m * 48 / 40
    assert found.operations == pytest.approx(steps + 4 * n * m + 640 * 100 * m)


def test_speeds_are_measured():
    thin, wide = speeds()
    assert 1e8 < thin < 1e14
    assert 1e8 < wide < 1e14


def test_layers_of_few_features_are_never_solved_by_a_gram_matrix():
    rows = np.arange(300)
    found = cheapest(
        [System(rows, np.zeros((300, 1)), 0, 8)],
        "pooled",
        Group(("layer",), "disk", 0),
        n_pool=300,
        n_images=400,
        first=300,
        features=500,
        pass_seconds=60.0,
        weights=True,
        chunks={"krylov": 1, "gram": 1},
    )
    assert found.method == "krylov"
