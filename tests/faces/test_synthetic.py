"""Parameters, attributes and the purity of synthetic faces."""

import numpy as np
import pandas as pd
import pytest
import torch

from fusiform.errors import DataError, SpecError
from fusiform.faces.synthetic import (
    ATTRIBUTES,
    FACTORS,
    IDENTITY_NUMBERS,
    PARTS,
    attributes,
    render,
    sample_parameters,
)


def same(a: object, b: object) -> bool:
    """Whether two renderings are equal to the byte."""
    names = ("images", "labels", "planes", "depth", "coordinates")
    tensors = all(torch.equal(getattr(a, n).nan_to_num(-1), getattr(b, n).nan_to_num(-1)) for n in names[3:])
    exact = all(torch.equal(getattr(a, n), getattr(b, n)) for n in names[:3])
    return (
        tensors
        and exact
        and np.array_equal(a.landmarks, b.landmarks)
        and np.array_equal(a.visible, b.visible)
    )


def row_of(rendering: object, i: int) -> object:
    from dataclasses import fields, replace

    return replace(rendering, **{f.name: getattr(rendering, f.name)[i : i + 1] for f in fields(rendering)})


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    return sample_parameters(512, seed=0)


@pytest.mark.parametrize("size", [64, 160])
def test_a_face_is_the_same_in_any_batch_order_and_number_of_threads(size: int) -> None:
    table = sample_parameters(12, seed=5, identities=12)
    whole = render(table, size=size)
    order = [7, 3, 11, 0]
    threads = torch.get_num_threads()
    shuffled = render(table.iloc[order], size=size)
    for place, i in enumerate(order):
        assert same(row_of(whole, i), row_of(shuffled, place))
    try:
        torch.set_num_threads(1)
        for i in (2, 7):
            assert same(row_of(whole, i), render(table.iloc[[i]], size=size))
        torch.set_num_threads(2)
        assert same(whole, render(table, size=size))
        assert torch.get_num_threads() == 2  # given back as it was found
    finally:
        torch.set_num_threads(threads)
    assert not same(row_of(whole, 0), row_of(whole, 1))  # the comparison can fail


def test_empty_table() -> None:
    faces = render(pd.DataFrame({"yaw": []}), size=32)
    assert len(faces) == 0
    assert faces.images.shape == (0, 3, 32, 32)
    assert faces.mask("nose").shape == (0, 32, 32)


def test_sampling_is_a_pure_function_of_the_seed_and_the_place() -> None:
    table = sample_parameters(40, seed=3)
    pd.testing.assert_frame_equal(table, sample_parameters(40, seed=3))
    pd.testing.assert_frame_equal(table[:17], sample_parameters(17, seed=3))
    turns = sample_parameters(24, seed=3, identities=6)
    pd.testing.assert_frame_equal(turns[:10], sample_parameters(10, seed=3, identities=6))
    # Image j of person k is the same however the set is laid out.
    pd.testing.assert_frame_equal(
        table.iloc[[8]].reset_index(drop=True), turns.iloc[[1]].reset_index(drop=True)
    )
    assert not table.equals(sample_parameters(40, seed=4))
    assert not set(table.identity) & set(sample_parameters(40, seed=4).identity)


def test_layout_of_identities() -> None:
    table = sample_parameters(20, seed=1)
    assert table.identity.value_counts().tolist() == [8, 8, 4]
    assert sample_parameters(20, seed=1, identities=5).identity.value_counts().tolist() == [4] * 5
    assert (
        sample_parameters(20, seed=1, identities=5, per_identity=4).identity.value_counts().tolist()
        == [4] * 5
    )
    assert sample_parameters(6, seed=1, per_identity=1).identity.nunique() == 6


def test_identities_share_their_numbers_and_stable_traits(sample: pd.DataFrame) -> None:
    stable = [n for n, f in FACTORS.items() if f.stable and n != "age"]
    assert set(IDENTITY_NUMBERS) < set(stable)
    assert len(IDENTITY_NUMBERS) >= 30
    groups = sample.groupby("identity")
    assert (groups[stable].nunique() == 1).all().all()
    assert (groups["age"].max() - groups["age"].min()).max() <= 6
    for name in ("yaw", "smile", "light", "background_hue"):
        assert (groups[name].nunique() > 1).all()
    numbers = sample.drop_duplicates("identity")[list(IDENTITY_NUMBERS)]
    assert len(numbers.drop_duplicates()) == len(numbers)
    assert (numbers.std() > 0.3).all()


def test_sampled_values_pass_their_own_check(sample: pd.DataFrame) -> None:
    truth = attributes(sample)
    assert list(truth.columns) == list(ATTRIBUTES)
    assert truth.identity.tolist() == sample.identity.tolist()
    assert set(sample.columns) == {"identity", *FACTORS}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_boolean_has_both_classes(seed: int) -> None:
    truth = attributes(sample_parameters(512, seed=seed))
    binary = [n for n, a in ATTRIBUTES.items() if a.kind == "binary"]
    assert len(binary) >= 18
    shares = truth[binary].astype(float).mean()
    assert shares.min() >= 0.1, shares.sort_values().head()
    assert shares.max() <= 0.88, shares.sort_values().tail()
    assert all(truth[n].dtype == "boolean" for n in binary)


def test_attributes_follow_the_factors() -> None:
    table = pd.DataFrame(
        {"smile": [0.9, -0.5], "hat": ["cap", "none"], "beard": ["circle", "none"], "yaw": [-60.0, 10.0]}
    )
    truth = attributes(table)
    assert truth.Smiling.tolist() == [True, False]
    assert truth.Wearing_Hat.tolist() == [True, False]
    assert truth.Goatee.tolist() == truth.Mustache.tolist() == [True, False]
    assert truth.No_Beard.tolist() == [False, True]
    assert truth.yaw.tolist() == [-60.0, 10.0]
    assert truth.age.tolist() == [FACTORS["age"].default] * 2
    assert truth.identity.isna().all()


def test_missing_columns_take_defaults() -> None:
    sparse = render(pd.DataFrame({"yaw": [20.0]}), size=48)
    full = pd.DataFrame([{n: f.default for n, f in FACTORS.items()} | {"yaw": 20.0, "identity": "x"}])
    assert same(sparse, render(full, size=48))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"smille": [0.1]}, "'smille' is not a factor of synthetic faces: did you mean 'smile'"),
        ({"yaw": [0.0, 80.0]}, r"'yaw' must be within \[-75, 75\] deg; got 80 in row 1"),
        ({"yaw": [0.0, float("nan")]}, r"'yaw' is missing \(NaN\) in row 1"),
        ({"yaw": ["left"]}, "'yaw' must be numeric"),
        ({"hat": ["bowler"]}, "'hat' must be one of none, beanie, cap, brimmed; got 'bowler' in row 0"),
        ({"bangs": [0.5]}, "'bangs' must be True or False; got 0.5 in row 0"),
        ({"hat": [None]}, "'hat' is missing"),
    ],
)
def test_bad_parameters_are_named(table: dict[str, list[object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        render(pd.DataFrame(table), size=32)
    with pytest.raises(DataError, match=message):
        attributes(pd.DataFrame(table))


def test_other_bad_input() -> None:
    with pytest.raises(DataError, match="must be a pandas DataFrame, one row a face; got dict"):
        render({"yaw": 0.0}, size=32)  # type: ignore[arg-type]
    twice = pd.DataFrame([[0.0, 1.0]], columns=["yaw", "yaw"])
    with pytest.raises(DataError, match="'yaw' stands 2 times"):
        render(twice, size=32)
    for size in (31, 513, 64.0, True):
        with pytest.raises(SpecError, match=r"size of synthetic faces must be an int in \[32, 512\] pixels"):
            render(pd.DataFrame({"yaw": [0.0]}), size=size)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="have no part 'noze': did you mean 'nose'"):
        render(pd.DataFrame({"yaw": [0.0]}), size=32).mask("noze")
    with pytest.raises(SpecError, match="'n' of synthetic faces must be an int of at least 1; got 0"):
        sample_parameters(0)
    with pytest.raises(SpecError, match="'seed' of synthetic faces must be an int of at least 0; got -1"):
        sample_parameters(3, seed=-1)
    with pytest.raises(SpecError, match="'identities' of synthetic faces must be an int of at least 1"):
        sample_parameters(3, identities=0)
    with pytest.raises(SpecError, match="2 identities with 3 images each give 6 faces; n=7 was asked"):
        sample_parameters(7, identities=2, per_identity=3)


def test_factor_table_is_sound() -> None:
    for name, factor in FACTORS.items():
        assert factor.description, name
        if factor.kind == "continuous":
            assert factor.low <= factor.default <= factor.high, name
        elif factor.kind == "categorical":
            assert factor.default in factor.levels, name
    assert len(set(PARTS)) == len(PARTS)
