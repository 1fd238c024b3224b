"""Stages I and III against loops over maps, and what they must be."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.dissection import slow_global, slow_local

from fusiform.dissection import _probabilities, global_probabilities, local_probabilities
from fusiform.dissection._stages import Category, stage_one, stage_three
from fusiform.errors import DataError


def some_maxima(rng, n, units, levels):
    maxima = rng.normal(size=(n, units)) if levels is None else rng.integers(0, levels, (n, units)) * 1.0
    maxima[:, 0] = 3.0
    return maxima


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(4, 40),
    units=st.integers(1, 5),
    count=st.integers(2, 4),
    levels=st.sampled_from([None, 2, 4]),
)
def test_stage_one_equals_the_loop(seed, n, units, count, levels):
    rng = np.random.default_rng(seed)
    maxima = some_maxima(rng, n, units, levels)
    groups = rng.permutation(np.r_[np.arange(count), rng.integers(-1, count, n - count)])
    found = global_probabilities(maxima, groups)
    np.testing.assert_allclose(found, slow_global(maxima, groups), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found[0] == 1 / count).all()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(4, 40),
    units=st.integers(1, 5),
    count=st.integers(1, 5),
    levels=st.sampled_from([None, 2, 4]),
)
def test_stage_three_equals_the_loop(seed, n, units, count, levels):
    rng = np.random.default_rng(seed)
    maxima = some_maxima(rng, n, units, levels)
    present = rng.random((n, count)) < 0.4
    present[0, 0] = True
    iou = rng.random((units, count)) * (rng.random((units, count)) < 0.7)
    np.testing.assert_allclose(
        local_probabilities(maxima, present, iou), slow_local(maxima, present, iou), atol=1e-12
    )


def test_the_scale_of_activations_does_not_matter_and_groups_carry_their_numbers():
    rng = np.random.default_rng(0)
    maxima, groups = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    found = global_probabilities(maxima, groups)
    np.testing.assert_allclose(global_probabilities(5 * maxima - 7, groups), found)
    np.testing.assert_allclose(global_probabilities(maxima, 2 - groups), found[:, ::-1])
    with_others = np.vstack([maxima, 100 + rng.normal(size=(9, 4))])
    np.testing.assert_allclose(global_probabilities(with_others, np.r_[groups, [-1] * 9]), found)


def test_images_with_none_of_the_concepts_change_nothing():
    rng = np.random.default_rng(1)
    maxima, iou = rng.normal(size=(30, 2)), rng.random((2, 3))
    present = rng.random((30, 3)) < 0.5
    present[:5] = False
    np.testing.assert_allclose(
        local_probabilities(maxima, present, iou), local_probabilities(maxima[5:], present[5:], iou)
    )


def test_where_nothing_can_be_said_probabilities_are_uniform():
    maxima = np.arange(6.0)[:, None]
    nothing, some = np.zeros((6, 2), dtype=bool), np.ones((6, 2), dtype=bool)
    assert (local_probabilities(maxima, nothing, np.ones((1, 2))) == 0.5).all()
    assert (local_probabilities(maxima, some, np.zeros((1, 2))) == 0.5).all()
    assert (local_probabilities(maxima, some, np.array([[np.nan, 0.3]])) == [0, 1]).all()


def test_units_in_blocks_give_what_all_units_together_do(monkeypatch):
    rng = np.random.default_rng(4)
    maxima = rng.normal(size=(40, 23)).astype(np.float32)
    groups, present = rng.integers(-1, 3, 40), rng.random((40, 4)) < 0.4
    iou = rng.random((23, 4))
    categories = [
        Category("A", ("a", "b", "c"), np.array([0, 2]), np.where(groups > 1, 1, groups), 0.4),
        Category("B", ("d", "e"), np.array([0, 1]), np.arange(40) % 2, 0.55),
    ]
    regions, of_unit = ["x", "x", "y", "x"], ["x", "", "y", "x"] * 5 + ["x"] * 3

    def everything():
        return [
            global_probabilities(maxima, groups),
            local_probabilities(maxima, present, iou),
            stage_three(maxima, iou, present, regions, of_unit),
            *(part[name] for part in stage_one(maxima, categories, permutations=60, seed=0) for name in "AB"),
        ]

    whole = everything()
    assert len(_probabilities.unit_blocks(*maxima.shape)) == 1
    monkeypatch.setattr(_probabilities, "_VALUES", 200)
    assert [block.stop for block in _probabilities.unit_blocks(*maxima.shape)] == [5, 10, 15, 20, 23]
    for one, other in zip(whole, everything(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_tensors_are_taken_too():
    found = global_probabilities(torch.arange(4.0)[:, None], torch.tensor([0, 0, 1, 1]))
    np.testing.assert_allclose(found, slow_global(np.arange(4.0)[:, None], [0, 0, 1, 1]))


def test_errors():
    maxima = np.zeros((4, 2))
    with pytest.raises(DataError, match=r"one for each of the 4 images; got shape \(3,\)"):
        global_probabilities(maxima, np.zeros(3, dtype=int))
    with pytest.raises(DataError, match=r"these have none: \[1\]. Number the groups from 0 without gaps"):
        global_probabilities(maxima, np.array([0, 0, 2, -1]))
    with pytest.raises(DataError, match="these have none: all"):
        global_probabilities(maxima, np.full(4, -1))
    with pytest.raises(DataError, match=r"shape \(images, units\), at least one image; got \(4,\)"):
        global_probabilities(np.zeros(4), np.zeros(4, dtype=int))
    with pytest.raises(DataError, match="unit 1 in image 2 is not finite"):
        global_probabilities(np.array([[0, 0], [0, 0], [0, np.nan]]), np.array([0, 1, 1]))
    with pytest.raises(DataError, match=r"presence \(4, 3\) and IoU \(2, 2\) do not fit"):
        local_probabilities(maxima, np.ones((4, 3)), np.ones((2, 2)))
