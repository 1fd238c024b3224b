"""Biased sets: exact shares, no face twice, different people in training and test, and pictures that differ in the cue."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.studies.planted_bias.small import TINY, coloured, request

from fusiform.errors import DataError
from fusiform.networks import load_network
from fusiform.runs import Progress
from fusiform.studies.planted_bias._pool import check_columns, grey_of, pool_of, synthetic_pool

QUIET = Progress(quiet=True)
PERCENTS = (50, 60, 70, 80, 90, 100)
ALL = {"percents": tuple(map(str, PERCENTS))}


@pytest.fixture(scope="module")
def net():
    return load_network(TINY["network"])


@pytest.fixture(scope="module")
def pools(net):
    faces = coloured(people=60)
    made = {cue: pool_of(cue, faces, net, request(**ALL), QUIET)[0] for cue in ("grey", "eyeglasses")}
    made["synthetic"] = synthetic_pool(
        "eyeglasses", request(train_images=20, test_images=8, **ALL), 48, QUIET
    )[0]
    return made


@pytest.mark.parametrize("name", ["grey", "eyeglasses", "synthetic"])
@pytest.mark.parametrize("percent", PERCENTS)
def test_shares_are_met_to_a_picture_and_no_face_comes_twice(pools, name, percent):
    pool = pools[name]
    rows = pool.biased(percent, seed=3)
    male, cue = pool.male[rows], pool.cue[rows]
    carriers = round(pool.group * percent / 100), round(pool.group * (100 - percent) / 100)
    assert (male.sum(), (~male).sum()) == (pool.group, pool.group)
    assert (cue[male].sum(), cue[~male].sum()) == carriers
    assert len(np.unique(pool.face[rows])) == len(rows)
    assert set(rows) <= set(pool.train)


@pytest.mark.parametrize("name", ["grey", "eyeglasses", "synthetic"])
def test_the_test_set_is_balanced_and_of_other_people(pools, name):
    pool = pools[name]
    cells = np.bincount(2 * pool.male[pool.test] + pool.cue[pool.test], minlength=4)
    assert cells.min() == cells.max() > 0
    assert not set(pool.face[pool.test]) & set(pool.face[pool.train])


def test_people_are_in_one_part_only(net):
    faces = coloured(people=30)
    pool, _ = pool_of("eyeglasses", faces, net, request(), QUIET)
    who = faces.table.set_index("image_id")["identity"]
    ids = pool.faces.table["image_id"]
    train, test = (set(who.loc[ids.iloc[rows]]) for rows in (pool.train, pool.test))
    assert train
    assert test
    assert not train & test


def test_sets_of_one_seed_are_nested_and_seeds_differ(pools):
    pool = pools["grey"]
    carriers = [
        {int(f) for f in pool.face[rows[pool.male[rows] & pool.cue[rows]]]}
        for rows in (pool.biased(p, 0) for p in PERCENTS)
    ]
    assert all(less <= more for less, more in pairwise(carriers))
    faces = [set(pool.face[pool.biased(50, seed)].tolist()) for seed in (0, 0)]
    assert faces[0] == faces[1]
    first, second = (pool.biased(50, seed) for seed in (0, 1))
    assert set(first.tolist()) != set(second.tolist())


def test_twins_differ_in_the_cue_alone(pools):
    for name in ("grey", "synthetic"):
        pool = pools[name]
        n = len(pool.face) // 2
        assert np.array_equal(pool.face[:n], pool.face[n:])
        assert np.array_equal(pool.male[:n], pool.male[n:])
        assert not pool.cue[:n].any()
        assert pool.cue[n:].all()
    plain, grey = (
        pools["grey"].faces.images([0])[0],
        pools["grey"].faces.images([len(pools["grey"].face) // 2])[0],
    )
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[None], grey_of(plain[None]))
    plain, worn = (pools["synthetic"].faces.images([k]).int() for k in (0, len(pools["synthetic"].face) // 2))
    changed = (plain - worn).abs().amax((0, 1)) > 8
    # The lower third of a face has no part of a pair of glasses.
    assert changed.any()
    assert not changed[36:].any()


def test_grey_against_arithmetic():
    image = torch.tensor([10, 200, 60], dtype=torch.uint8).reshape(1, 3, 1, 1)
    assert grey_of(image).flatten().tolist() == [round(0.299 * 10 + 0.587 * 200 + 0.114 * 60)] * 3
    assert grey_of(image, "mean").flatten().tolist() == [90] * 3


def test_a_large_set_is_not_read_whole(net):
    faces = coloured(120)
    pool, _ = pool_of("grey", faces, net, request(train_images=8, test_images=4), QUIET)
    # Four men and four women to train on, one of each to test, twice.
    assert len(pool.faces) == 2 * (8 + 2)


def test_columns_are_checked():
    faces = coloured(12)
    check_columns(faces, "grey")
    lacking = type(faces).from_arrays(faces.images(range(12)), faces.table[["image_id", "Eyeglasses"]])
    with pytest.raises(DataError, match=r"'arrays' have no attribute 'Male', which this study needs"):
        check_columns(lacking, "grey")
    table = faces.table.rename(columns={"Male": "sex", "age": "Male"})
    wrong = type(faces).from_arrays(faces.images(range(12)), table)
    with pytest.raises(DataError, match=r"'Male' of 'arrays' must be binary; it is continuous"):
        check_columns(wrong, "eyeglasses")


def test_too_few_pictures_are_counted(net):
    faces = coloured(40)
    keep = faces.table["Male"] | ~faces.table["Eyeglasses"]
    few = faces.subset(np.flatnonzero(keep.to_numpy(dtype=bool)))
    with pytest.raises(
        DataError, match=r"too few pictures .*women with 0 \+ 0, women without \d+ \+ \d+\. Give more"
    ):
        pool_of("eyeglasses", few, net, request(), QUIET)
