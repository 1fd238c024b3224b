import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import PLSRegression

from fusiform.activations import ActivationStore
from fusiform.networks import Layer
from fusiform.probing import Draw
from fusiform.probing._layer import Probing
from fusiform.probing._products import Part, Parts, System
from fusiform.probing._scales import Scales
from fusiform.probing._solve import solve

N, POOL, CHANNELS, SIZE = 300, 200, 40, 5
M = CHANNELS * SIZE * SIZE
CPU = torch.device("cpu")


def stored(X, width=130, batch=32, store=None):
    layer = Layer("conv", 0, "Conv2d", (X.shape[1],), None, "conv")
    store = store or ActivationStore([layer], len(X), block_columns=width, scratch=None)
    for start in range(0, len(X), batch):
        rows = slice(start, min(len(X), start + batch))
        store.update(layer, rows, torch.from_numpy(X[rows]))
    return store.of("conv")


@pytest.fixture(scope="module")
def data():
    """Rectified features of very different scales and means, one constant; three targets on draws of their own."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, M)) * rng.uniform(0.1, 5, M) + rng.normal(size=M) * 10
    X[:, 5] = 7
    X = np.maximum(X, 0).astype(np.float32)
    rows = [np.sort(rng.choice(POOL, 120, replace=False)) for _ in range(3)]
    targets = [(X[r, 30] > np.median(X[r, 30])).astype(float)[:, None] for r in rows[:2]]
    return X, rows, [*targets, np.eye(3)[rng.integers(0, 3, 120)]]


def reference(X, rows, y, deviation):
    """scikit-learn on the whole matrix in float64: scores of unit length, and importance by its definition."""
    Z = (X - X[rows].mean(axis=0)) / deviation
    fit = PLSRegression(8, scale=False, tol=1e-15, max_iter=20000).fit(
        Z[rows], y if y.shape[1] > 1 else y[:, 0]
    )
    lengths = np.linalg.norm(fit.x_scores_, axis=0)
    explained = lengths**2 * np.square(fit.y_loadings_).sum(axis=0)
    vip = np.sqrt(X.shape[1] * (fit.x_weights_**2 @ (explained / explained.sum())))
    return fit.x_scores_ / lengths, fit.transform(Z) / lengths, vip


def deviations(X, rows, scale):
    own = (X[:POOL] if scale == "pooled" else X[rows]).astype(np.float64)
    squares = (own - own.mean(axis=0)) ** 2
    deviation = own.std(axis=0, ddof=1)
    alone = squares.max(axis=0) > 0.5 * squares.sum(axis=0)
    return np.where((deviation > 1e-5) & ~(alone & (scale == "pooled")), deviation, np.inf)


@pytest.mark.parametrize("scale", ["subset", "pooled"])
@pytest.mark.parametrize("method", ["krylov", "gram"])
def test_equal_to_scikit_learn_whatever_the_way(data, scale, method):
    X, rows, targets = data
    scales = Scales(scale, rows, POOL, M, CPU)
    systems = [System(r, t, number, 8) for number, (r, t) in enumerate(zip(rows, targets, strict=True))]
    solved = solve(stored(X), systems, scales, N, first=POOL, method=method, rotations=True)
    (rotations,) = solved.rotations
    level = np.sort(X[:32], axis=0)[15]  # the lower of the two in the middle
    for number, (r, y) in enumerate(zip(rows, targets, strict=True)):
        train, everything, vip = reference(X.astype(np.float64), r, y, deviations(X, r, scale))
        np.testing.assert_allclose(np.abs(solved.fits[number].scores), np.abs(train), atol=1e-5)
        got = solved.scores(number, np.arange(POOL, N))
        np.testing.assert_allclose(np.abs(got), np.abs(everything[POOL:]), atol=1e-5)
        np.testing.assert_allclose(solved.vip[:, number], vip, atol=1e-4)
        assert solved.vip[:, number].square().mean() == pytest.approx(1, abs=1e-5)
        assert solved.vip[5, number] == 0
        by_hand = (X[POOL:] - level) @ rotations[:, number].numpy() - solved.offset(number)
        np.testing.assert_allclose(by_hand, got, atol=1e-4)


def test_products_with_the_pool_are_all_that_scores_need(data):
    X, rows, targets = data
    systems = [System(r, t, number, 8) for number, (r, t) in enumerate(zip(rows, targets, strict=True))]
    both = []
    for important in (0, None):
        scales = Scales("pooled", rows, POOL, M, CPU)
        both.append(solve(stored(X), systems, scales, N, first=POOL, method="gram", important=important))
    direct, walked = both
    assert direct.vip.shape == (M, 0)
    for number in range(3):
        others = np.arange(POOL, N)
        np.testing.assert_allclose(direct.scores(number, others), walked.scores(number, others), atol=1e-5)


def test_memory_and_scratch_files_give_the_same(data, tmp_path):
    X, rows, targets = data
    systems = [System(r, t, number, 8) for number, (r, t) in enumerate(zip(rows, targets, strict=True))]
    layer = Layer("conv", 0, "Conv2d", (M,), None, "conv")
    both = []
    for scratch in (None, tmp_path):
        scales = Scales("subset", rows, POOL, M, CPU)
        with ActivationStore([layer], N, block_columns=77, scratch=scratch) as store:
            both.append(solve(stored(X, store=store), systems, scales, N, first=POOL))
    assert torch.allclose(both[0].products, both[1].products, atol=1e-5)
    assert torch.equal(both[0].vip, both[1].vip)


def test_systems_that_see_parts_equal_scikit_learn_on_those_columns(data):
    X, rows, targets = data
    scales = Scales("subset", rows, POOL, M, CPU)
    activations = stored(X, 64)
    whole = [System(r, t, number, 8) for number, (r, t) in enumerate(zip(rows, targets, strict=True))]
    solve(activations, whole, scales, N, first=POOL)
    size = SIZE * SIZE
    seen = [[1, 4], [4, 5], [5]]
    owners = [0, 0, 1]
    systems = [System(rows[o], targets[o], o, 8) for o in owners]
    parts = Parts(
        Part(slice(c * size, (c + 1) * size), np.flatnonzero([c in channels for channels in seen]))
        for c in (1, 4, 5)
    )
    solved = solve(activations, systems, scales, N, first=POOL, parts=parts)
    assert solved.vip.shape == (M, 0)
    for number, (channels, o) in enumerate(zip(seen, owners, strict=True)):
        columns = np.concatenate([np.arange(c * size, (c + 1) * size) for c in channels])
        own = X[:, columns].astype(np.float64)
        deviation = deviations(X, rows[o], "subset")[columns]
        _, everything, _ = reference(own, rows[o], targets[o], deviation)
        # Of 25 features of 120 images, components soon follow one another closely.
        got = solved.scores(number, np.arange(POOL, N))
        np.testing.assert_allclose(np.abs(got), np.abs(everything[POOL:]), atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(6, 40), m=st.integers(1, 60), width=st.integers(1, 64), components=st.integers(1, 8))
def test_any_shape(n, m, width, components):
    rng = np.random.default_rng(n * 100 + m)
    X = rng.normal(size=(n, m)).astype(np.float32)
    pool = n - 2
    y = np.arange(pool) % 2.0
    solved = solve(
        stored(X, width, batch=7),
        [System(np.arange(pool), y[:, None], 0, components)],
        Scales("subset", [np.arange(pool)], pool, m, CPU),
        n,
        first=pool,
    )
    fit = solved.fits[0]
    assert 1 <= fit.n_components <= components
    assert np.isfinite(solved.scores(0, np.array([n - 1]))).all()
    np.testing.assert_allclose(fit.scores.T @ fit.scores, np.eye(fit.n_components), atol=1e-6)


def test_deviations_survive_large_means_and_bursts():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 4)).astype(np.float32)
    X[:, 1] += 3000  # a mean that swamps single-precision squares
    X[:, 2] = 0
    X[3, 2] = 1e4  # one image alone
    X[:, 3] = 0.1
    subsets = [np.arange(100), np.arange(4, 200)]
    scales = Scales("subset", subsets, 200, 4, CPU)
    activations = stored(X)
    for columns, block in activations.blocks():
        scales.measure(columns, block, activations.level[columns])
    for number, rows in enumerate(subsets):
        expected = X[rows].astype(np.float64).std(axis=0, ddof=1)
        np.testing.assert_allclose(scales.deviation[:2, number], expected[:2], rtol=1e-4)
    assert scales.deviation[2, 0] == pytest.approx(1000, rel=1e-3)
    assert scales.deviation[2, 1] == 0
    assert (scales.deviation[3] == 0).all()


def test_pooled_scaling_leaves_out_units_that_one_image_owns():
    X = np.random.default_rng(2).normal(size=(60, 2)).astype(np.float32)
    X[:, 1] = 0
    X[7, 1] = 1e-3
    activations = stored(X)
    scales = Scales("pooled", [], 60, 2, CPU)
    for columns, block in activations.blocks():
        scales.measure(columns, block, activations.level[columns])
    assert scales.deviation[0, 0] > 0
    assert scales.deviation[1, 0] == 0


def test_no_more_components_than_there_are():
    """Five features hold five components, however weak the label; of more, rounding would be taken for one."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(400, 5)).astype(np.float32)
    y = (rng.random(300) < 0.5).astype(float)
    faces = np.arange(400)
    draw = Draw(
        "weak",
        "binary",
        ("False", "True"),
        np.append(y, np.zeros(100)),
        faces[:300],
        faces[300:],
        faces[300:],
    )
    asked = Probing("net", (draw,), {}, faces, faces, 300, ("layer",), 8, 8, 0, "pooled", 0, 1e9, CPU)
    systems, subsets = asked.systems([draw], 5)
    solved = solve(stored(X), systems, Scales("pooled", subsets, 300, 5, CPU), 400, first=300)
    assert solved.fits[0].n_components <= 5
    by_hand = (X[:300] - X[:300].mean(axis=0)) / X[:300].std(axis=0, ddof=1)
    assert np.linalg.matrix_rank(by_hand) == 5
