import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.perturbation import slow_bilinear, slow_windows

from fusiform.perturbation import CoalitionMasks, Windows, blend
from fusiform.perturbation._random_masks import Occluders, RandomGrids


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_windows_cover_every_pixel_and_spread_their_mean(data: st.DataObject) -> None:
    size = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    window = tuple(data.draw(st.integers(1, s)) for s in size)
    stride = tuple(data.draw(st.integers(1, w)) for w in window)
    windows = Windows(size, window, stride)
    assert windows.boxes[:, :2].tolist() == [list(corner) for corner in slow_windows(size, window, stride)]
    hidden = ~windows.part(0, len(windows))
    assert bool((hidden.sum(dim=(1, 2)) == window[0] * window[1]).all())
    assert bool(hidden.any(dim=0).all())
    values = torch.randn(2, len(windows), dtype=torch.float64, generator=_seeded())
    expected = torch.einsum("nk,khw->nhw", values, hidden.double()) / hidden.sum(dim=0)
    torch.testing.assert_close(windows.spread(values), expected)


def test_spread_of_float32_does_not_lose_small_values_beside_large_ones() -> None:
    windows = Windows((64, 64), (4, 4), (1, 1))
    values = torch.zeros(1, len(windows))
    values[0, 0], values[0, -1] = 1e6, 1e-3
    assert float(windows.spread(values)[0, -1, -1]) == pytest.approx(1e-3, rel=1e-5)


def test_blend_is_exact_where_all_or_nothing_is_kept() -> None:
    x, base = torch.randn(2, 3, 4, 4, generator=_seeded()), torch.randn(2, 3, 4, 4, generator=_seeded(1))
    keep = torch.rand(2, 5, 4, 4, generator=_seeded(2))
    keep[:, 0], keep[:, 1] = 1, 0
    mixed = blend(x, base, keep)
    assert torch.equal(mixed[:, 0], x)
    assert torch.equal(mixed[:, 1], base)
    torch.testing.assert_close(mixed[1, 3, 2], keep[1, 3] * x[1, 2] + (1 - keep[1, 3]) * base[1, 2])
    torch.testing.assert_close(blend(x, base, keep[0])[1, 4], blend(x[1:], base[1:], keep[0, 4:5])[0, 0])
    assert torch.equal(blend(x, base, keep[0] > 0.5), blend(x, base, (keep[0] > 0.5).float()))


def test_coalitions_hide_what_is_absent() -> None:
    features = torch.zeros(3, 2, 3, dtype=torch.bool)
    features[0, 0, :2], features[1, 0, 1:], features[2, 1, 0] = True, True, True
    keep = CoalitionMasks(features, torch.tensor([[1, 1, 1], [0, 1, 1], [0, 0, 0], [1, 1, 0]])).part(0, 4)
    assert keep[0].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert keep[1].tolist() == [[0, 0, 1], [1, 1, 1]]
    assert keep[2].tolist() == [[0, 0, 0], [0, 1, 1]]  # the overlap stays at 0, what belongs to none is kept
    assert keep[3].tolist() == [[1, 1, 1], [0, 1, 1]]
    own = CoalitionMasks(torch.stack([features, features.flip(0)]), torch.tensor([[0, 1, 1]])).part(0, 1)
    assert own.shape == (2, 1, 2, 3)
    assert own[1, 0].tolist() == [[1, 1, 1], [0, 1, 1]]


def test_random_grids_are_the_grid_between_its_points() -> None:
    masks = RandomGrids((9, 7), 6, 3, 0.5, _seeded())
    made = masks.part(0, 6)
    for k, y, x in ((0, 0, 0), (2, 8, 6), (5, 4, 3)):
        at = np.array([y, x]) / masks._cell + masks._shifts[k].numpy()
        assert float(made[k, y, x]) == pytest.approx(slow_bilinear(masks._grids[k].numpy(), *at), abs=1e-6)


def test_random_grids_in_parts_are_the_same_masks() -> None:
    masks = RandomGrids((16, 16), 10, 4, 0.5, _seeded())
    whole = masks.part(0, 10)
    assert torch.equal(torch.cat([masks.part(s, s + 3) for s in (0, 3, 6)] + [masks.part(9, 10)]), whole)
    assert torch.equal(RandomGrids((16, 16), 10, 4, 0.5, _seeded()).part(0, 10), whole)
    assert not torch.equal(RandomGrids((16, 16), 10, 4, 0.5, _seeded(1)).part(0, 10), whole)


@pytest.mark.parametrize("probability", [0.3, 0.5])
def test_random_grids_keep_every_pixel_equally_often(probability: float) -> None:
    mean = RandomGrids((20, 14), 6000, 5, probability, _seeded()).part(0, 6000).mean(dim=0)
    # Standard error at most sqrt(p (1 - p) / 6000) = 0.0065; 280 pixels, so 4.5 of them.
    assert float((mean - probability).abs().max()) < 0.03


def test_occluders_lie_where_the_prior_is_and_as_often() -> None:
    prior = torch.zeros(10, 12)
    prior[2, 3], prior[7, 8] = 1, 3
    masks = Occluders(prior, 4000, 1, 0.5, _seeded())
    hidden = 1 - masks.part(0, 4000)
    assert bool((hidden.flatten(1).amax(dim=1) == 1).all())
    centres = (hidden == 1).float().mean(dim=0)
    assert set(map(tuple, centres.nonzero().tolist())) == {(2, 3), (7, 8)}
    assert float(centres[7, 8]) == pytest.approx(0.75, abs=0.03)  # 0.007 standard error
    assert float(hidden[hidden[:, 2, 3] == 1][0, 2, 4]) == pytest.approx(np.exp(-2), rel=1e-5)


def test_occluders_of_images_share_draws() -> None:
    priors = torch.rand(3, 6, 6, generator=_seeded(2))
    together = Occluders(priors, 8, 2, 1.0, _seeded()).part(2, 7)
    assert together.shape == (3, 5, 6, 6)
    assert torch.equal(together[1], Occluders(priors[1], 8, 2, 1.0, _seeded()).part(2, 7))
    assert float(together.min()) == 0
    assert float(together.max()) <= 1
