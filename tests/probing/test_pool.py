"""Which training images are kept of a set that has too many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.probing.made_up import binary, categorical, made_up

from fusiform.probing import _parts, sample


@pytest.fixture(scope="module")
def planted():
    """60,000 faces with classes from 0.1% to 50%, alike and unlike, and values known of few."""
    rng = np.random.default_rng(0)
    n = 60_000
    bald, hat = rng.random(n) < 0.01, rng.random(n) < 0.02
    male = bald | (rng.random(n) < 0.5)
    race = rng.choice(["brown", "pink"], n, p=[0.975, 0.025])
    race[rng.choice(n, 80, replace=False)] = "green"
    return made_up(
        n,
        3000,
        bald=binary(bald),
        hat=binary(hat),
        goatee=binary(male & (rng.random(n) < np.where(bald, 0.3, 0.06))),
        no_beard=binary(~(male & (rng.random(n) < 0.1))),
        wavy=binary(rng.random(n) < 0.3),
        male=binary(male),
        race=categorical(race),
        age=("continuous", rng.normal(size=n) + 3 * (bald | hat)),
        glare=("continuous", np.where(rng.random(n) < 0.02, rng.normal(size=n), np.nan)),
    )


def test_a_cut_pool_serves_every_attribute_as_the_whole_would(planted, monkeypatch):
    cut = sample(planted)
    assert len(cut.pool) <= 8192
    monkeypatch.setattr(_parts, "_MAX_POOL", 60_000)
    whole = sample(planted)
    assert "training images are used, rare classes first" in cut.table.note[0]
    assert "training" not in whole.table.note[0]
    for ours, all_of_it in zip(cut.draws, whole.draws, strict=True):
        assert len(ours.train) == len(all_of_it.train)
        assert len(ours.valid) == len(all_of_it.valid)
        assert (ours.test == all_of_it.test).all()
    size = dict(zip(cut.table.attribute, cut.table.n_train, strict=True))
    assert size["hat"] == pytest.approx(2 * 0.6 * 1200, rel=0.06)
    assert {size[name] for name in ("goatee", "no_beard", "wavy", "male", "age")} == {2048}
    # Too few of one class to test takes nothing from the others.
    assert next(d for d in cut.draws if d.attribute == "race").classes == ("brown", "pink")
    assert size["race"] == pytest.approx(2 * 0.6 * 1500, rel=0.06)


def test_nobody_is_in_two_parts_of_a_cut_pool_and_the_seed_decides(planted):
    first, again, other = (sample(planted, ["bald", "male", "age"], seed=s) for s in (0, 0, 1))
    for draw, same, another in zip(first.draws, again.draws, other.draws, strict=True):
        people = [set(first.groups[rows]) for rows in (draw.train, draw.valid, draw.test)]
        assert not people[0] & (people[1] | people[2])
        assert not people[1] & people[2]
        assert (draw.train == same.train).all()
        assert not np.array_equal(draw.train, another.train)


def test_draws_of_a_cut_pool_take_images_as_they_come_first(planted):
    sampling = sample(planted)
    draws = {d.attribute: d for d in sampling.draws}
    age, bald = draws["age"].values, draws["bald"].values
    # The pool is richer in a rare class, a continuous attribute that belongs to it is not.
    assert bald[sampling.pool].mean() > 3 * bald.mean()
    assert age[sampling.pool].mean() > age.mean() + 0.2
    standard_error = age.std() / np.sqrt(2048)
    assert abs(age[draws["age"].train].mean() - age.mean()) < 4 * standard_error
    others = draws["hat"].train[draws["hat"].values[draws["hat"].train] == 0]
    assert bald[others].mean() < 2 * bald.mean()


def test_where_a_pool_cannot_serve_all_every_class_has_the_same_share(monkeypatch):
    rng = np.random.default_rng(1)
    n = 40_000
    which = rng.integers(0, 40, n)
    faces = made_up(n, 2000, **{f"a{k}": binary(which == k) for k in range(16)})
    cut = sample(faces).table.n_train
    monkeypatch.setattr(_parts, "_MAX_POOL", n)
    shares = cut / sample(faces).table.n_train
    # Classes are served 32 images at a time.
    assert shares.max() - shares.min() <= 2 * 32 / 560
    # Disjoint classes of 600 each would need 9,600 images; three quarters of the pool are dealt out.
    assert cut.sum() / 2 == pytest.approx(6144 + 2048 * 16 / 40, rel=0.03)


def chosen(inside, wanted, keep, seed=0):
    inside, wanted = np.asarray(inside, dtype=bool), np.asarray(wanted)
    taken, random = _parts._choose_pool(inside, wanted, keep, seed)
    assert taken.sum() == keep
    assert random.sum() == keep // 4
    assert taken[random].all()
    return taken


@settings(max_examples=40, deadline=None)
@given(
    shares=st.lists(st.floats(0.005, 1.0), max_size=6),
    keep=st.integers(1, 900),
    seed=st.integers(0, 5),
)
def test_what_fits_one_by_one_is_served(shares, keep, seed):
    inside = np.random.default_rng(seed).random((1000, len(shares))) < np.array(shares)
    inside = inside[:, inside.any(axis=0)]
    room = (keep - keep // 4) // max(1, inside.shape[1])
    if room == 0:
        inside = inside[:, :0]
    wanted = np.minimum(room, inside.sum(axis=0))
    taken = chosen(inside, wanted, keep, seed)
    assert (inside[taken].sum(axis=0) >= wanted).all()


def test_images_that_serve_several_classes_are_preferred_only_where_it_is_needed():
    # Each of six classes has 100 images that are in all of them and 500 of its own.
    inside = np.zeros((8000, 6), dtype=bool)
    inside[:100] = True
    for k in range(6):
        inside[100 + 500 * k : 600 + 500 * k, k] = True
    inside = inside[np.random.default_rng(0).permutation(8000)]
    in_all = inside.all(axis=1)
    tight = chosen(inside, [100] * 6, 400)
    assert (inside[tight].sum(axis=0) >= 100).all()
    assert tight[in_all].mean() > 0.6
    # With room for each class by itself, images in all classes come no more often than others of a class.
    loose = chosen(inside, [100] * 6, 2000)
    assert (inside[loose].sum(axis=0) >= 100).all()
    assert loose[in_all].mean() < 0.5
