"""The sketch of upper quantiles against sorting everything."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusiform.activations import TailSketch
from fusiform.errors import DataError


def exact(values, fraction):
    """The K-th largest of each row, K = floor(fraction N) + 1."""
    rank = math.floor(round(fraction * values.shape[1], 9)) + 1
    return torch.from_numpy(np.sort(values.numpy(), axis=1)[:, -rank])


def rank_error(values, threshold, fraction):
    """How far the share of values above lies from the fraction; a tie may stand on either side."""
    above = (values > threshold[:, None]).double().mean(1)
    at_least = (values >= threshold[:, None]).double().mean(1)
    return torch.maximum(above - fraction, fraction - at_least).clamp(min=0)


def fed(values, fraction, sizes, **options):
    sketch = TailSketch(len(values), fraction, values.shape[1], **options)
    for part in values.split(sizes, dim=1):
        sketch.update(part)
    return sketch


@settings(max_examples=40, deadline=None)
@given(
    units=st.integers(1, 5),
    total=st.integers(1, 3000),
    batch=st.integers(1, 900),
    fraction=st.sampled_from([0.005, 0.01, 0.3, 0.999]),
    levels=st.sampled_from([0, 1, 3, 1000]),
    seed=st.integers(0, 10**6),
)
def test_exact_while_everything_fits(units, total, batch, fraction, levels, seed):
    """Ties and constants included, whatever the batches, and merged from two halves."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, levels + 1, (units, total), generator=generator).float() - levels / 2
    assert torch.equal(fed(values, fraction, batch).compute(), exact(values, fraction))
    halves = values.tensor_split(2, dim=1)
    sketches = [TailSketch(units, fraction, total) for _ in halves]
    for sketch, half in zip(sketches, halves, strict=True):
        sketch.update(half)
    assert torch.equal(sketches[0].merge(sketches[1]).compute(), exact(values, fraction))


@pytest.mark.parametrize("order", ["random", "ascending", "descending", "in clumps"])
def test_rank_error_stays_below_one_in_ten_thousand(order):
    """500,000 values a unit, of which 2,500 are above the threshold and 1,000 are kept."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(8, 500_000, generator=generator) ** 3
    if order != "random":
        values = values.sort(dim=1, descending=order == "descending").values
    if order == "in clumps":
        values = values.reshape(8, 500, 1000)[:, torch.randperm(500, generator=generator)].reshape(8, -1)
    sketch = fed(values, 0.005, 7_001, capacity=1000)
    assert sketch._weight == 3
    assert rank_error(values, sketch.compute(), 0.005).max() < 1e-4
    quarters = [TailSketch(8, 0.005, 500_000, capacity=1000, seed=k) for k in range(4)]
    for part, quarter in zip(values.tensor_split(4, dim=1), quarters, strict=True):
        quarter.update(part)
    merged = quarters[0].merge(quarters[1]).merge(quarters[2].merge(quarters[3]))
    assert merged.seen == 500_000
    assert rank_error(values, merged.compute(), 0.005).max() < 1e-4


def test_thinning_has_no_bias():
    """Over many seeds the mean rank of the estimate is the one asked for, within its standard error."""
    values = torch.randn(1, 20_000, generator=torch.Generator().manual_seed(3)).expand(400, -1)
    estimates = fed(values, 0.05, 500, capacity=50).compute()
    assert len(set(estimates.tolist())) > 20
    above = (values > estimates[:, None]).double().mean(1)
    assert abs(above.mean() - 0.05) < 3 * above.std() / math.sqrt(400) + 1 / 20_000


def test_units_that_seldom_fire_and_ties_under_thinning():
    values = torch.zeros(3, 50_000)
    values[1, ::1000] = 5
    values[2, ::10] = 5
    sketch = fed(values, 0.01, 999, capacity=20)
    assert sketch.compute().tolist() == [0, 0, 5]


def test_memory_does_not_grow_with_the_number_of_values():
    sizes = {total: TailSketch(2048, 0.005, total).n_bytes for total in (10**5, 10**6, 10**7, 10**9)}
    assert sizes[10**5] < 20e6
    assert max(sizes.values()) < 80e6


def test_part_of_the_values_gives_the_quantile_of_that_part():
    values = torch.arange(1000.0)[None]
    sketch = TailSketch(1, 0.01, 4000)
    sketch.update(values)
    assert sketch.compute().item() == 989


def test_errors():
    with pytest.raises(DataError, match=r"'fraction' of a tail must lie between 0 and 1; got 1.5"):
        TailSketch(1, 1.5, 10)
    with pytest.raises(DataError, match="n_units=0"):
        TailSketch(0, 0.5, 10)
    sketch = TailSketch(2, 0.5, 10)
    with pytest.raises(DataError, match="no values has no quantile"):
        sketch.compute()
    with pytest.raises(DataError, match=r"shape \(2, m\); got \(3, 4\)"):
        sketch.update(torch.zeros(3, 4))
    sketch.update(torch.zeros(2, 10))
    with pytest.raises(DataError, match="10 values a unit was given 11"):
        sketch.update(torch.zeros(2, 1))
    with pytest.raises(DataError, match="merged when set up alike"):
        sketch.merge(TailSketch(2, 0.4, 10))
