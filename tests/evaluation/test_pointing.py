"""Pointing games, against loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.evaluation import slow_energy, slow_pointing

from fusiform.errors import EvaluationError
from fusiform.evaluation import energy_pointing_game, pointing_game


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    tolerance=st.sampled_from([0, 0.9, 1, 1.5, 2, 3.7, 20]),
    levels=st.integers(1, 30),
)
def test_both_games_equal_loops(seed, size, tolerance, levels):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(-levels, levels, (4, *size), generator=generator).float()  # with equal values
    masks = torch.rand(4, *size, generator=generator) < 0.15
    hits, energy = pointing_game(maps, masks, tolerance=tolerance), energy_pointing_game(maps, masks)
    for i in range(4):
        expected = slow_pointing(maps[i].numpy(), masks[i].numpy(), tolerance)
        assert hits[i].item() == pytest.approx(expected, nan_ok=True)
        expected = slow_energy(maps[i].numpy(), masks[i].numpy())
        assert energy[i].item() == pytest.approx(expected, nan_ok=True, rel=1e-5)


def test_an_empty_mask_is_undefined_and_a_constant_map_is_chance():
    mask = torch.zeros(10, 10, dtype=torch.bool)
    maps = torch.stack([torch.zeros(10, 10), torch.ones(10, 10), torch.rand(10, 10)])
    assert pointing_game(maps, mask, tolerance=3).isnan().all()
    assert energy_pointing_game(maps, mask).isnan().all()
    mask[:2] = True
    assert pointing_game(maps[:2], mask).tolist() == pytest.approx([0.2, 0.2])
    assert energy_pointing_game(maps[1:2], mask).item() == pytest.approx(0.2)
    assert math.isnan(energy_pointing_game(maps[:1], mask).item())
    assert math.isnan(energy_pointing_game(-maps[1:2], mask).item())
    assert pointing_game(maps[:0], mask).shape == energy_pointing_game(maps[:0], mask).shape == (0,)


def test_values_beyond_the_range_of_a_sum():
    maps = torch.full((1, 4, 4), 3e38)
    mask = torch.arange(16).view(4, 4) < 4
    assert energy_pointing_game(maps, mask).item() == pytest.approx(0.25)


def test_bad_input_is_refused():
    maps, masks = torch.rand(2, 4, 4), torch.ones(2, 4, 4, dtype=torch.bool)
    for game in (pointing_game, energy_pointing_game):
        with pytest.raises(
            EvaluationError, match=r"shape of the maps, \(2, 4, 4\) or \(4, 4\); got \(2, 8, 8\)"
        ):
            game(maps, torch.ones(2, 8, 8, dtype=torch.bool))
        with pytest.raises(EvaluationError, match="hold 0 and 1 only"):
            game(maps, masks * 0.5)
        with pytest.raises(EvaluationError, match="not finite: image 0, 1"):
            game(maps.log() * torch.inf, masks)
        with pytest.raises(EvaluationError, match=r"got \(4, 4\)"):
            game(maps[0], masks)
    for tolerance in (-1, math.inf, math.nan):
        with pytest.raises(EvaluationError, match="at least 0"):
            pointing_game(maps, masks, tolerance=tolerance)
