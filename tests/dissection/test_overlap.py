"""Tiles, overlaps, best images and the moments of permutations, against full-size loops."""

from itertools import permutations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.dissection import slow_iou, slow_threshold

from fusiform.dissection._best import BestImages
from fusiform.dissection._overlap import MaskBatch, Moments, Overlap, sums_of
from fusiform.dissection._tiles import Tiles

sides = st.integers(1, 20)


@settings(max_examples=60, deadline=None)
@given(grid=st.tuples(sides, sides), size=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_tiles_are_bilinear_upsampling(grid, size):
    """Every pixel lies in exactly one tile and has the value of torch's interpolation, larger or smaller."""
    tiles = Tiles(grid, size)
    maps = torch.randn(3, *grid, generator=torch.Generator().manual_seed(0))
    flat = torch.full((3, size[0] * size[1] + 1), torch.nan)
    padded = tiles.padded(maps).flatten(1)
    for t in range(tiles.count):
        flat[:, tiles.pixels[t]] = padded[:, tiles.cells[t]] @ tiles.basis[t]
    whole = F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(flat[:, :-1].view(3, *size), whole, atol=1e-5, rtol=1e-5)
    inside = tiles.pixels[tiles.pixels < size[0] * size[1]]
    assert sorted(inside.tolist()) == list(range(size[0] * size[1]))
    assert max(tiles.shape) <= 8
    assert tiles.n_pixels.sum() == size[0] * size[1]


def test_tiles_without_a_corner_above_zero_hold_no_pixel_above_it():
    tiles = Tiles((9, 5), (30, 31))
    maps = torch.randn(200, 9, 5, generator=torch.Generator().manual_seed(0)) - 1.5
    padded = tiles.padded(maps)
    values = padded.flatten(1)[:, tiles.cells]
    lit = torch.einsum("ntk,tkp->ntp", values, tiles.basis)
    pixels = ((lit > 0) & (tiles.pixels < 30 * 31)).any(dim=2)
    dark = ~tiles.lit(padded)
    assert torch.equal(~dark, (values > 0).any(dim=2))
    assert dark.float().mean() > 0.3
    assert not (pixels & dark).any()


def worked(activations, masks, known, *, quantile=0.05, union="all", top=3, factor=1, batch=7):
    """Overlap fed in batches."""
    n, units = activations.shape[:2]
    thresholds = torch.tensor([slow_threshold(activations[:, u], quantile) for u in range(units)]).float()
    maps = torch.from_numpy(activations)
    overlap = Overlap(
        Tiles(activations.shape[2:], masks.shape[2:]), units, known, union=union, top=top, factor=factor
    )
    for start in range(0, n, batch):
        rows = slice(start, min(start + batch, n))
        held = MaskBatch(
            torch.from_numpy(masks[rows]) & torch.from_numpy(known[rows])[..., None, None],
            torch.from_numpy(known[rows]).double(),
            start,
        )
        for part in (slice(0, units // 2), slice(units // 2, units)):
            values = maps[rows, part] - thresholds[part, None, None]
            image, unit = (values.flatten(2).amax(2) > 0).nonzero(as_tuple=True)
            overlap.update(values[image, unit], image, unit + part.start, held)
        overlap.finish_batch(held)
    return overlap


def random_case(seed, n=20, units=4, concepts=3, grid=(5, 4), size=(19, 17)):
    rng = np.random.default_rng(seed)
    activations = rng.normal(size=(n, units, *grid)).astype(np.float32)
    masks = np.zeros((n, concepts, *size), dtype=bool)
    present = rng.random((n, concepts)) < 0.6
    for i, c in np.argwhere(present):
        y, x = rng.integers(0, size[0] - 6), rng.integers(0, size[1] - 6)
        masks[i, c, y : y + 6, x : x + 5] = True
    return activations, masks, present


@pytest.mark.parametrize("union", ["all", "labelled"])
@pytest.mark.parametrize("grid", [(5, 4), (1, 1), (12, 11), (30, 30)])
@pytest.mark.parametrize("all_known", [True, False])
def test_overlap_equals_the_loop(union, grid, all_known):
    activations, masks, present = random_case(1, grid=grid, n=12 if grid[0] > 12 else 20)
    known = np.ones_like(present)
    if not all_known:
        known = np.random.default_rng(2).random(present.shape) < 0.7
    overlap = worked(activations, masks, known, union=union, batch=7)
    expected, each = slow_iou(activations, masks, known, present, 0.05, union)
    np.testing.assert_allclose(overlap.iou(), expected, atol=1e-12)
    assert (expected > 0).mean() > 0.2
    rows, values = (array.view(4, 3, 3) for array in (overlap.best.rows, overlap.best.values))
    for u in range(4):
        for c in range(3):
            order = [i for i in np.argsort(-each[u, c], kind="stable") if each[u, c, i] > 0][:3]
            np.testing.assert_allclose(values[u, c, : len(order)], each[u, c, order], atol=1e-6)
            assert (rows[u, c, len(order) :] == -1).all()
            np.testing.assert_allclose(each[u, c, rows[u, c, : len(order)]], each[u, c, order], atol=1e-6)


def test_where_units_fire_is_counted_at_their_own_positions():
    activations, masks, present = random_case(3)
    overlap = worked(activations, masks, np.ones_like(present))
    thresholds = [slow_threshold(activations[:, u], 0.05) for u in range(4)]
    expected = np.stack([(activations[:, u] > thresholds[u]).mean(axis=0) for u in range(4)])
    np.testing.assert_allclose(overlap.where(), expected, atol=1e-6)


def test_units_that_do_not_vary_overlap_with_nothing():
    activations, masks, present = random_case(4)
    activations[:, 1] = 0.1
    overlap = worked(activations, masks, np.ones_like(present))
    assert (overlap.iou()[1] == 0).all()
    assert (overlap.best.rows.view(4, 3, 3)[1] == -1).all()
    assert np.isnan(overlap.moments.p_values()[1]).all()


def test_without_concepts_only_places_are_counted():
    activations, masks, _ = random_case(5)
    overlap = worked(activations, masks[:, :0], np.ones((20, 0), dtype=bool), factor=None)
    assert overlap.iou().shape == (4, 0)
    assert overlap.where().max() > 0


def on_grid(tiles, lit, factor):
    """Pixels in every cell, over the square root of what the cell holds."""
    counts = np.stack(
        [lit.reshape(*lit.shape[:-2], -1)[..., p[p < lit[0, 0].size]].sum(-1) for p in tiles.pixels.numpy()],
        -1,
    )
    into = tiles.coarse(factor).numpy()
    return counts @ into / np.sqrt(np.maximum(1, tiles.n_pixels.numpy() @ into))


@pytest.mark.parametrize("factor", [1, 2, 8])
@pytest.mark.parametrize("unknown", [(), ((1, 0), (4, 0), (3, 1)), ((0, 0), (1, 0), (2, 0), (3, 0), (0, 2))])
def test_moments_are_those_of_all_permutations(factor, unknown):
    """Every order of six images (or of those that are known) is gone through."""
    activations, masks, present = random_case(6, n=6)
    known = np.ones_like(present)
    for place in unknown:
        known[place] = False
    overlap = worked(activations, masks, known, quantile=0.2, factor=factor, batch=4)
    mean, variance = overlap.moments.of_permutations()
    thresholds = np.array([slow_threshold(activations[:, u], 0.2) for u in range(4)])
    size = masks.shape[2:]
    upsampled = F.interpolate(torch.from_numpy(activations), size=size, mode="bilinear").numpy()
    areas = on_grid(overlap.tiles, upsampled > thresholds[:, None, None], factor)
    shapes = on_grid(overlap.tiles, masks & known[..., None, None], factor)
    for c in range(3):
        rows = np.flatnonzero(known[:, c])
        a, m = areas[rows], shapes[rows, c]
        sums = np.array(
            [np.einsum("iut,it->u", a, m[list(order)]) for order in permutations(range(len(rows)))]
        )
        np.testing.assert_allclose(overlap.moments.overlap[:, c], sums[0], rtol=1e-5)
        np.testing.assert_allclose(mean[:, c], sums.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(variance[:, c], sums.var(axis=0), rtol=1e-4, atol=1e-4)


def test_sums_over_fewer_images_make_up_all_patterns():
    """A bad mask of each of forty concepts costs forty images more, not forty times all images."""
    known = np.ones((300, 45), dtype=bool)
    known[np.arange(40), np.arange(40)] = False
    known[20:, 42] = False
    known[:20, 43] = False
    known[:, 44] = False
    sets, signs, pattern = sums_of(known)
    np.testing.assert_array_equal((signs @ sets)[pattern].T, known)
    assert sets.sum() == 300 + 40 + 20
    assert [part.shape for part in sums_of(np.ones((9, 3), dtype=bool))] == [(1, 9), (1, 1), (3,)]
    assert sums_of(np.ones((9, 0), dtype=bool))[0].shape == (0, 9)


def test_moments_do_not_depend_on_other_concepts():
    """Sums less those over unknown images are the sums over known ones alone, and units lit only there are not tested."""
    activations, masks, _ = random_case(8, n=30, concepts=4)
    activations[3:, 2] = -9
    known = np.ones((30, 4), dtype=bool)
    known[:3, 1] = known[2, 2] = False
    known[:20, 3] = False
    together = worked(activations, masks, known).moments
    p = together.p_values()
    for c in range(4):
        alone = worked(activations, masks[:, [c]], known[:, [c]]).moments
        for one, other in zip(together.of_permutations(), alone.of_permutations(), strict=True):
            np.testing.assert_allclose(one[:, c], other[:, 0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(p[:, c], alone.p_values()[:, 0], rtol=1e-4)
    assert np.isnan(p[2, [1, 3]]).all()
    assert np.isfinite(p[[0, 1, 3]]).all()


def test_memory_is_counted_as_it_is():
    tiles, known = Tiles((6, 5), (20, 18)), np.ones((8, 3), dtype=bool)
    known[1, 1] = False
    assert Moments.n_bytes(tiles, 4, 2, 2) == Moments(tiles, 4, known, 2)._square.nbytes
    masks = torch.ones(8, 3, 20, 18, dtype=torch.bool)
    batch = MaskBatch(masks, torch.from_numpy(known).double(), 0)
    held = masks.nbytes + sum(t.nbytes for t in [*batch._rows, *batch.by_tile(tiles)])
    assert MaskBatch.n_bytes(tiles, 8, 3) == held


def test_best_images_are_those_of_a_full_sort():
    rng = np.random.default_rng(0)
    keys, values = rng.integers(0, 6, 500), rng.integers(0, 30, 500) / 30
    best = BestImages(7, top=4)
    for start in range(0, 500, 60):
        part = slice(start, start + 60)
        best.update(
            torch.from_numpy(keys[part]),
            torch.from_numpy(values[part]).float(),
            torch.arange(500)[part],
        )
    for key in range(6):
        mine = np.flatnonzero(keys == key)
        expected = mine[np.argsort(-values[mine], kind="stable")][:4]
        assert best.rows[key].tolist() == expected.tolist()
    assert best.rows[6].tolist() == [-1] * 4
