import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusiform.errors import DataError
from fusiform.faces import split_identities


@settings(max_examples=50, deadline=None)
@given(
    people=st.lists(st.one_of(st.none(), st.integers(0, 30)), min_size=60, max_size=200),
    seed=st.integers(0, 5),
)
def test_everybody_is_in_one_part_and_every_image_is_used(people, seed):
    if len({p for p in people if p is not None}) + people.count(None) < 3:
        return
    parts = split_identities(people, seed=seed)
    assert sorted(np.concatenate(parts)) == list(range(len(people)))
    who = [{people[i] for i in part} - {None} for part in parts]
    assert len(set.union(*who)) == sum(map(len, who))


def test_parts_have_the_sizes_asked_and_depend_on_the_seed():
    people = np.random.default_rng(0).integers(0, 500, 5000)
    parts = split_identities(people, fractions=(0.6, 0.2, 0.2), seed=1)
    assert [len(p) / 5000 for p in parts] == pytest.approx([0.6, 0.2, 0.2], abs=0.01)
    again = split_identities(people, fractions=(0.6, 0.2, 0.2), seed=1)
    other = split_identities(people, fractions=(0.6, 0.2, 0.2), seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    assert not np.array_equal(parts[0], other[0])


def test_the_parts_people_have_as_many_images_each():
    """Taking large identities first would fill training with them."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(800), rng.integers(1, 30, 800))
    mean_size = [
        np.bincount(people[p])[np.unique(people[p])].mean() for p in split_identities(people, seed=3)
    ]
    assert max(mean_size) / min(mean_size) < 1.25


def test_a_nullable_column_is_read():
    parts = split_identities(pd.Series(["a", None, "b", "a"], dtype="string"), fractions=(0.5, 0.5))
    assert sorted(np.concatenate(parts)) == [0, 1, 2, 3]


def test_what_cannot_be_split():
    with pytest.raises(DataError, match="3 parts needs at least as many identities; got 2"):
        split_identities(["a", "b", "a"])
    with pytest.raises(DataError, match=r"positive and sum to 1; got \(0.6, 0.6\)"):
        split_identities(["a", "b"], fractions=(0.6, 0.6))
