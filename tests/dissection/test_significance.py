"""P-values against permutations one by one, and that chance is not taken for a find."""

from itertools import permutations

import numpy as np
from tests.dissection.test_overlap import on_grid, worked
from tests.reference.dissection import slow_global, slow_threshold, slow_upsampled

from fusiform.dissection._probabilities import weighted_ranks
from fusiform.dissection._significance import (
    false_discovery_rates,
    group_p_values,
    least_p_value,
    overlap_p_values,
)


def test_group_p_values_are_those_of_permutations_one_by_one():
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], [8, 10, 6])
    maxima = rng.normal(size=(24, 3))
    maxima[groups == 1, 1] += 0.8
    found = group_p_values(weighted_ranks(maxima), groups, permutations=4000, seed=0)
    observed = slow_global(maxima, groups)
    reached = np.zeros((3, 3))
    for _ in range(1000):
        reached += slow_global(maxima, rng.permutation(groups)) >= observed - 1e-9
    expected = (1 + reached) / 1001
    np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(0.25 / 1000))
    assert found[1, 1] < 0.05


def test_units_that_never_vary_have_no_p_value_and_seeds_repeat():
    maxima = np.random.default_rng(0).normal(size=(30, 3))
    maxima[:, 1] = 2
    groups = np.arange(30) % 2
    first, again, other = (
        group_p_values(weighted_ranks(maxima), groups, permutations=99, seed=seed) for seed in (1, 1, 2)
    )
    assert np.isnan(first[1]).all()
    assert np.isfinite(first[[0, 2]]).all()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], other[0])


def test_units_far_from_rare_take_part_in_fewer_permutations():
    """An eighth of 8,000 tells enough of the first unit; the second is rare and meets them all."""
    rng = np.random.default_rng(1)
    groups = np.arange(40) % 2
    maxima = rng.normal(size=(40, 2))
    maxima[:, 1] += np.where(groups == 1, 1.05, 0)
    found = group_p_values(weighted_ranks(maxima), groups, permutations=8000, seed=0)
    in_steps = found * np.array([[1001], [8001]])
    np.testing.assert_allclose(in_steps, in_steps.round(), atol=1e-6)
    assert found[0].min() > 0.1
    assert 10 / 8001 < found[1, 1] < 0.005


def test_under_no_relation_group_p_values_are_uniform():
    maxima = np.random.default_rng(3).normal(size=(60, 400))
    p = group_p_values(weighted_ranks(maxima), np.arange(60) % 2, permutations=400, seed=0)[:, 0]
    for level in (0.05, 0.2, 0.5):
        # Four standard deviations of a binomial of 400, and the step of the permutations.
        assert abs((p <= level).mean() - level) < 4 * np.sqrt(level * (1 - level) / 400) + 1 / 400


def test_few_true_units_among_many_are_significant():
    """Five of 256 units are shifted in one of four groups: more than permutations alone could show."""
    rng = np.random.default_rng(0)
    groups = np.arange(120) % 4
    maxima = rng.normal(size=(120, 256))
    maxima[:, :5] += 5 * (groups == 2)[:, None]
    p = group_p_values(weighted_ranks(maxima), groups, permutations=200, seed=0)
    q = false_discovery_rates([p])[0]
    assert (q[:5, 2] < 0.05).all()
    assert p[:5, 2].max() < 1e-6
    # Four standard deviations of the share of units; and no unit that has nothing to do with the groups.
    assert abs((p[5:] < 0.05).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 251)
    assert (q[5:] >= 0.05).all()


def test_tails_from_moments_are_those_of_all_orders():
    """Seven images in every order: the sum's skewness too, and the rarest event bounds p from below."""
    rng = np.random.default_rng(1)
    groups = np.array([0, 0, 1, 1, 1, 2, 2])
    weights = rng.random((7, 12)) ** 2
    weights[:, 0] = [1, 1, 0, 0, 0, 0, 0]
    found = group_p_values(weights, groups, permutations=9, seed=0)  # fewer than ten: the tail throughout
    share = np.eye(3)[groups] / np.bincount(groups)
    orders = np.array(list(permutations(range(7))))
    scores = np.einsum("oiu,ig->oug", weights[orders], share)
    probability = scores / scores.sum(axis=2, keepdims=True)
    exact = (probability >= probability[0] - 1e-9).mean(axis=0)
    assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.97
    assert np.abs(found - exact)[exact < 0.3].max() < 0.06
    np.testing.assert_allclose([found[0, 0], exact[0, 0]], 1 / 21)


def test_tails_of_chance_keep_their_level_where_activations_are_sparse():
    rng = np.random.default_rng(2)
    maxima = np.maximum(0, rng.normal(size=(60, 4000)) - 1)
    p = group_p_values(weighted_ranks(maxima), np.arange(60) % 2, permutations=9, seed=0)[:, 0]
    for level in (0.05, 0.01, 0.001):
        assert (p <= level).mean() < level + 4 * np.sqrt(level / 4000)


def test_no_tail_is_below_what_a_permutation_can_have():
    np.testing.assert_allclose(
        least_p_value(50, np.array([1, 2, 49]), np.array([50, 9, 3])), [1 / 50, 2 / 50 / 49, 6 / 50 / 49 / 48]
    )
    np.testing.assert_allclose(
        least_p_value(10, np.array([10]), np.array([10])), 1 / 252
    )  # of all: half of them
    far = overlap_p_values(np.array([[90.0]]), np.ones((1, 1)), np.ones((1, 1)))
    assert far[0, 0] < 1e-30
    bound = least_p_value(50, np.array([[1]]), np.array([[20]]))
    assert overlap_p_values(np.array([[90.0]]), np.ones((1, 1)), np.ones((1, 1)), bound)[0, 0] == bound[0, 0]


def test_a_unit_that_fires_in_one_image_is_no_find():
    """Its only image carries the concept, as do two others: one permutation in forty has it so."""
    activations = np.zeros((40, 2, 4, 4), dtype=np.float32)
    activations[7, 0, 1:3, 1:3] = 1
    activations[:, 1] = np.random.default_rng(0).normal(size=(40, 4, 4))
    masks = np.zeros((40, 1, 16, 16), dtype=bool)
    masks[[7, 20, 31], 0, 4:12, 4:12] = True
    p = worked(activations, masks, np.ones((40, 1), dtype=bool), quantile=0.02, top=0).moments.p_values()
    np.testing.assert_allclose(p[0, 0], 1 / 40)


def unrelated(n=80, units=300, seed=0):
    rng = np.random.default_rng(seed)
    activations = rng.normal(size=(n, units, 4, 4)).astype(np.float32)
    activations += np.linspace(0, 2, 16, dtype=np.float32).reshape(4, 4)  # units have a usual place
    activations[:, ::3] *= rng.random((n, 1, 1, 1)) ** 4  # and a third of them fire in few images
    masks = np.zeros((n, 4, 16, 16), dtype=bool)
    for i in range(n):
        masks[i, 0, 2:8, 2:8] = True
        y, x = rng.integers(0, 10, 2)
        masks[i, 1, y : y + 6, x : x + 6] = True
        masks[i, 2, 8:, 8:] = rng.random() < 0.5
        masks[i, 3, 9:15, 9:15] = rng.random() < 0.08
    return activations, masks


def test_chance_overlaps_are_not_significant_more_often_than_the_level():
    activations, masks = unrelated()
    p = worked(activations, masks, np.ones((80, 4), dtype=bool), quantile=0.02, top=0).moments.p_values()
    assert np.isnan(p[:, 0]).all(), "a mask that is always the same cannot be followed"
    tested = p[:, 1:]
    assert np.isfinite(tested).mean() > 0.95
    for level in (0.001, 0.01, 0.05):
        assert np.nanmean(tested <= level) < 1.2 * level + 4 * np.sqrt(level / tested.size)
    assert np.nanmean(tested <= 0.5) > 0.3
    assert np.nanmean(false_discovery_rates([p])[0] < 0.05) < 0.001


def test_overlap_p_values_are_near_those_of_permutations():
    activations, masks = unrelated(units=40, seed=1)
    activations[:, 0, 2:, 2:] += 9 * masks[:, 2, -1, -1][:, None, None]  # follows concept 2
    known = np.ones((80, 4), dtype=bool)
    overlap = worked(activations, masks, known, quantile=0.1, top=0)
    p = overlap.moments.p_values()
    thresholds = [slow_threshold(activations[:, u], 0.1) for u in range(40)]
    lit = np.stack(
        [[slow_upsampled(activations[i, u], (16, 16)) > thresholds[u] for u in range(40)] for i in range(80)]
    )
    areas, shapes = on_grid(overlap.tiles, lit, 1), on_grid(overlap.tiles, masks, 1)
    products = np.einsum("iut,jct->ijuc", areas, shapes)
    rng, images = np.random.default_rng(0), np.arange(80)
    sums = np.stack([products[images, rng.permutation(80)].sum(axis=0) for _ in range(2000)])
    expected = (1 + (sums >= products[images, images].sum(axis=0) - 1e-6).sum(axis=0)) / 2001
    assert p[0, 2] < 1e-5
    assert expected[0, 2] == 1 / 2001
    others = np.isfinite(p) & (np.arange(40)[:, None] > 0)
    assert np.abs(p - expected)[others].max() < 0.15
    assert np.corrcoef(p[others], expected[others])[0, 1] > 0.97


def test_false_discovery_rates_are_those_of_the_textbook():
    p = np.array([[0.01, 0.04, np.nan], [0.03, 0.5, 0.02]])
    ordered = sorted(p[np.isfinite(p)])
    expected = {value: min(ordered[j] * 5 / (j + 1) for j in range(k, 5)) for k, value in enumerate(ordered)}
    found = false_discovery_rates([p[:1], p[1:]])
    assert [part.shape for part in found] == [(1, 3), (1, 3)]
    for value, q in zip(p.ravel(), np.concatenate(found).ravel(), strict=True):
        assert np.isnan(q) if np.isnan(value) else abs(q - expected[value]) < 1e-12
    assert false_discovery_rates([]) == []
