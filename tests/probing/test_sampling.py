import numpy as np
import pandas as pd
import pytest
from tests.probing.made_up import binary, categorical, made_up

from fusiform.errors import DataError, SpecError
from fusiform.faces import Attribute
from fusiform.probing import Draw, Sampling, sample
from fusiform.probing._qda import fit_qda


def test_splits_are_identity_disjoint_balanced_and_stratified():
    rng = np.random.default_rng(1)
    faces = made_up(4000, 400, rare=binary(rng.random(4000) < 0.06), even=binary(rng.random(4000) < 0.5))
    sampling = sample(faces, n_train=500, n_valid=200)
    for draw in sampling.draws:
        people = [set(sampling.groups[rows]) for rows in (draw.train, draw.valid, draw.test)]
        assert not people[0] & people[1]
        assert not people[0] & people[2]
        assert not people[1] & people[2]
        assert draw.values[draw.train].mean() == 0.5
        assert draw.values[draw.valid].mean() == 0.5
    rare, even = sampling.draws
    positives = np.nansum(rare.values)
    assert len(rare.train) == pytest.approx(2 * 0.6 * positives, rel=0.05)
    assert rare.values[rare.test].sum() == pytest.approx(0.2 * positives, rel=0.1)
    assert len(even.train) == 500
    # The test split is as it comes.
    assert rare.values[rare.test].mean() == pytest.approx(0.06, abs=0.015)
    assert set(sampling.pool) == set(rare.train) | set(even.train)


def test_the_same_seed_draws_the_same_and_another_draws_another():
    faces = made_up(even=binary(np.arange(1000) % 2 == 0))
    a, b, c = (sample(faces, n_train=100, seed=s).draws[0] for s in (3, 3, 4))
    assert (a.train == b.train).all()
    assert (a.test == b.test).all()
    assert len(a.test) != len(c.test) or (a.test != c.test).any()


def test_an_attribute_too_rare_is_reported_not_dropped_silently():
    rare = np.zeros(1000, bool)
    rare[:90] = True
    rng = np.random.default_rng(0)
    faces = made_up(rare=binary(rng.permutation(rare)), even=binary(rng.random(1000) < 0.5))
    sampling = sample(faces)
    assert [d.attribute for d in sampling.draws] == ["even"]
    row = sampling.table.set_index("attribute").loc["rare"]
    assert row.status == "left out"
    assert row.note.startswith("too few of class True: 5")
    assert row.n_known == 1000


def test_a_rare_class_takes_people_from_validation_to_be_tested():
    rare = np.zeros(2000, bool)
    rare[:150] = True
    faces = made_up(2000, 500, rare=binary(np.random.default_rng(5).permutation(rare)))
    (draw,) = sample(faces).draws
    assert 40 <= draw.values[draw.test].sum() <= 45
    assert draw.values[draw.valid].sum() >= 10
    assert not set(faces_of(faces, draw.test)) & set(faces_of(faces, draw.valid))


def faces_of(faces, rows):
    return faces.table.identity.iloc[rows]


def test_missing_labels_are_in_no_draw():
    values = pd.array(np.arange(1000) % 2 == 0, dtype="boolean")
    values[:200] = pd.NA
    (draw,) = sample(made_up(a=("binary", values))).draws
    assert min(draw.train.min(), draw.valid.min(), draw.test.min()) >= 200


def test_categorical_attributes_lose_only_their_rare_classes():
    rng = np.random.default_rng(2)
    values = rng.choice(["asian", "black", "white"], 1000)
    values[:10] = "other"
    faces = made_up(race=categorical(values))
    sampling = sample(faces)
    (draw,) = sampling.draws
    assert draw.classes == ("asian", "black", "white")
    assert draw.targets().shape == (len(draw.train), 3)
    assert (draw.targets().sum(axis=0) == len(draw.train) / 3).all()
    assert "other" in sampling.table.note[0]
    assert np.isnan(draw.values[:10]).all()


def test_continuous_attributes_take_what_is_known():
    age = np.random.default_rng(3).normal(40, 10, 1000)
    age[::10] = np.nan
    (draw,) = sample(made_up(age=("continuous", age)), n_train=300).draws
    assert len(draw.train) == 300
    assert np.isfinite(draw.values[np.concatenate([draw.train, draw.valid, draw.test])]).all()


def test_faces_without_identity_are_each_their_own():
    faces = made_up(a=binary(np.arange(1000) % 2 == 0))
    del faces.table["identity"], faces.schema["identity"]
    assert (sample(faces).groups == np.arange(1000)).all()


def test_a_pool_holds_at_most_8192_images():
    rng = np.random.default_rng(4)
    faces = made_up(30000, 3000, a=binary(rng.random(30000) < 0.5))
    sampling = sample(faces, n_train=20000, n_valid=1000)
    assert len(sampling.pool) <= 8192
    assert len(sampling.draws[0].test) <= 8192


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        (["Smilling"], "no attribute 'Smilling'; did you mean 'Smiling'"),
        (["identity"], "'identity' is an identity"),
        (["same"], r"'same' has only one class \(True\)"),
        ([], "No attribute was asked for"),
        (["rare"], "None of 1 attributes.*too few of class"),
        (["unknown"], "no known value"),
    ],
)
def test_errors_say_what_to_do(attributes, says):
    faces = made_up(
        Smiling=binary(np.arange(1000) % 2 == 0),
        same=binary(np.ones(1000, bool)),
        rare=binary(np.arange(1000) < 5),
        unknown=binary([None] * 1000),
    )
    with pytest.raises(DataError, match=says):
        sample(faces, attributes)


def test_the_table_counts_each_class_and_the_sampling_keeps_its_seed():
    rng = np.random.default_rng(6)
    faces = made_up(2000, even=binary(rng.random(2000) < 0.3), age=("continuous", rng.normal(size=2000)))
    sampling = sample(faces, n_train=300, n_valid=100, seed=11)
    draw = sampling.draws[0]
    positives = int(draw.values[draw.test].sum())
    row = sampling.table.iloc[0]
    assert row.class_counts == f"False: 150, 50, {len(draw.test) - positives}; True: 150, 50, {positives}"
    assert row.rarer_test == positives
    assert pd.isna(sampling.table.class_counts[1])
    assert (sampling.seed, sampling.split) == (11, "identities")


def published(n=3000, shares=(0.6, 0.2, 0.2), people=600, seed=0):
    """A set with a published split by people, and an attribute."""
    rng = np.random.default_rng(seed)
    faces = made_up(n, people, a=binary(rng.random(n) < 0.4))
    part_of = rng.choice(["train", "valid", "test"], people, p=shares)
    with_split = made_up(
        n,
        people,
        a=("binary", faces.table.a),
        partition=categorical(part_of[faces.table.identity.astype(int)]),
    )
    assert with_split.table.identity.equals(faces.table.identity)
    return with_split


@pytest.mark.parametrize("split", ["auto", "published"])
def test_a_published_test_split_is_left_as_it_is(split):
    faces = published()
    sampling = sample(faces, split=split, n_train=400)
    (draw,) = sampling.draws
    parts = faces.table.partition.to_numpy()
    assert sampling.split == "published"
    assert (draw.test == np.flatnonzero(parts == "test")).all()
    # Training and validation images come from both of the other partitions.
    assert set(parts[draw.train]) == set(parts[draw.valid]) == {"train", "valid"}
    assert not set(sampling.groups[draw.train]) & set(sampling.groups[draw.valid])
    assert draw.values[draw.train].mean() == draw.values[draw.valid].mean() == 0.5
    assert len(draw.train) == 400
    pooled = draw.values[parts != "test"].sum()
    assert len(draw.valid) == pytest.approx(2 * 0.25 * pooled, rel=0.1)


def test_a_class_too_rare_in_the_published_test_split_takes_nobody_from_validation():
    faces = published()
    parts = faces.table.partition.to_numpy()
    rare = np.zeros(len(faces), bool)
    rare[np.flatnonzero(parts == "test")[:30]] = True
    rare[np.flatnonzero(parts != "test")[::20]] = True
    faces.table["a"] = pd.array(rare, dtype="boolean")
    with pytest.raises(DataError, match=r"too few of class True: .* to train, 30 to test"):
        sample(faces)
    (draw,) = sample(faces, split="identities").draws
    assert draw.values[draw.test].sum() >= 40


def test_a_published_split_is_used_only_where_it_is_whole_and_large():
    assert sample(published(), split="identities").split == "identities"
    small = published(shares=(0.8, 0.1, 0.1))
    assert small.table.partition.value_counts().min() < 400
    assert sample(small).split == "identities"
    assert sample(small, split="published").split == "published"
    halves = published(shares=(0.6, 0.4, 0.0))
    sampling = sample(halves)
    assert sampling.split == "identities"
    # How a set was split is no attribute of faces, unless somebody asks for it.
    assert list(sampling.table.attribute) == ["a"]
    assert list(sample(halves, ["partition"]).table.attribute) == ["partition"]
    other = made_up(a=binary(np.arange(1000) % 2 == 0), partition=categorical(["left", "right"] * 500))
    assert list(sample(other).table.attribute) == ["a", "partition"]


def test_people_of_the_published_test_split_are_not_trained_on():
    faces = published()
    stray = np.flatnonzero(faces.table.partition == "test")[:30]
    faces.table.loc[stray, "partition"] = "train"
    faces.table.loc[stray[:3], "partition"] = pd.NA
    sampling = sample(faces)
    (draw,) = sampling.draws
    assert not set(sampling.groups[draw.test]) & set(sampling.groups[np.r_[draw.train, draw.valid]])
    shared = np.isin(sampling.groups[stray[3:]], sampling.groups[draw.test]).sum()
    assert shared > 0
    assert (
        sampling.table.note[0]
        == f"not used: {shared} images outside the test partition of people who are in it"
    )
    assert not np.isin(stray[:3], np.r_[draw.train, draw.valid, draw.test]).any()


def test_what_is_cut_is_noted():
    faces = made_up(60000, 30000, a=binary(np.arange(60000) % 2 == 0))
    note = sample(faces, n_train=100).table.note[0]
    assert note.startswith("8,192 of 36,00")
    assert "training images are used, rare classes first; 8,192 of 12,00" in note
    assert note.endswith("test images are used")


def of_people(n, people, seed, *, kind, slips=0.0):
    """Labels that belong to people, or to images, in a sampling."""
    rng = np.random.default_rng(seed)
    who = np.sort(rng.integers(0, people, n))
    if kind == "people":
        values = (rng.random(people) < 0.5)[who].astype(float)
        values = np.where(rng.random(n) < slips, 1 - values, values)
    else:
        values = (rng.random(n) < 0.5).astype(float)
    part = rng.integers(0, 3, people)[who]
    draw = Draw("a", "binary", ("no", "yes"), values, *(np.flatnonzero(part == k) for k in range(3)))
    return Sampling((draw,), who, pd.DataFrame(), seed)


def splits(draw):
    return draw.train, draw.valid, draw.test


@pytest.mark.parametrize("kind", ["people", "images"])
def test_shuffled_labels_keep_their_numbers_and_say_nothing(kind):
    sampling = of_people(600, 60, 0, kind=kind)
    real = sampling.draws[0]
    agreement = []
    for seed in range(200):
        control = sampling.shuffled(seed).draws[0]
        for rows in splits(real):
            assert control.values[rows].sum() == real.values[rows].sum()
        agreement.append(np.mean(control.values[real.test] == real.values[real.test]))
        assert all((a == b).all() for a, b in zip(splits(control), splits(real), strict=True))
    share = real.values[real.test].mean()
    assert np.mean(agreement) == pytest.approx(share**2 + (1 - share) ** 2, abs=0.03)
    again = sampling.shuffled(3).draws[0].values
    np.testing.assert_array_equal(again, sampling.shuffled(3).draws[0].values)
    assert (again[real.test] != sampling.shuffled(4).draws[0].values[real.test]).any()


@pytest.mark.parametrize("slips", [0.0, 0.01])
def test_labels_that_belong_to_people_are_shuffled_person_by_person(slips):
    sampling = of_people(600, 60, 1, kind="people", slips=slips)
    control = sampling.shuffled(0).draws[0]
    for rows in splits(control):
        of_person = [
            set(control.values[rows[sampling.groups[rows] == p]]) for p in set(sampling.groups[rows])
        ]
        # Only people at the borders of the two classes have both labels.
        assert sum(len(labels) > 1 for labels in of_person) <= 2
        assert {frozenset(labels) for labels in of_person} >= {frozenset({0.0}), frozenset({1.0})}
    by_image = of_people(600, 60, 1, kind="images").shuffled(0).draws[0]
    mixed = [set(by_image.values[by_image.test][sampling.groups[by_image.test] == p]) for p in range(60)]
    assert sum(len(labels) > 1 for labels in mixed) > 10


def test_each_image_has_each_label_as_often_as_the_label_is_there():
    # One person has half of the images: whatever is guessed for them must not pay.
    who = np.r_[np.zeros(50, int), np.arange(1, 51)]
    values = np.r_[np.zeros(50), np.ones(50)]
    rows = np.arange(100)
    values[50:70] = 0
    sampling = Sampling(
        (Draw("a", "binary", ("no", "yes"), values, rows, rows, rows),), who, pd.DataFrame(), 0
    )
    share = np.mean([sampling.shuffled(seed).draws[0].values for seed in range(1500)], axis=0)
    np.testing.assert_allclose(share, 0.3, atol=0.06)


def test_continuous_labels_are_shuffled_too():
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(60), 10)
    part = rng.integers(0, 3, 60)[who]
    rows = [np.flatnonzero(part == k) for k in range(3)]
    of_person = rng.normal(size=60)[who] + 0.01 * rng.normal(size=600)
    for values, most in ((of_person, 0.2), (rng.normal(size=600), 2.0)):
        draw = Draw("a", "continuous", (), values, *rows)
        (control,) = Sampling((draw,), who, pd.DataFrame(), 0).shuffled().draws
        assert all(sorted(control.values[r]) == sorted(values[r]) for r in rows)
        spread = np.mean([control.values[who == p].var() for p in range(60)])
        assert (spread < 0.2) == (most < 1)


def test_a_probe_on_shuffled_labels_is_at_chance_also_when_people_repeat():
    """Features that tell people apart all but perfectly: memory of people must not help on test."""
    accuracy = []
    for seed in range(60):
        sampling = of_people(900, 45, seed, kind="people")
        face = np.random.default_rng([seed, 9]).normal(size=(45, 8))[sampling.groups]
        face += 0.1 * np.random.default_rng(seed).normal(size=face.shape)
        draw = sampling.shuffled(seed).draws[0]
        qda = fit_qda(face[None, draw.train], draw.values[draw.train].astype(int), 2)
        told, truth = qda.probabilities(face[None, draw.test])[0].argmax(axis=1), draw.values[draw.test]
        accuracy.append(np.mean([np.mean(told[truth == k] == k) for k in (0, 1)]))
    standard_error = np.std(accuracy) / np.sqrt(60)
    assert abs(np.mean(accuracy) - 0.5) < 3 * standard_error
    # People are right or wrong as a whole: far more spread than as many independent images would have.
    assert np.std(accuracy) > 2 * np.sqrt(0.25 / 300)


def test_how_to_split_is_checked():
    faces = made_up(a=binary(np.arange(1000) % 2 == 0))
    with pytest.raises(SpecError, match="'auto', 'identities' or 'published'; got 'random'"):
        sample(faces, split="random")
    with pytest.raises(
        DataError, match=r"'made up' has no published split.*'partition' with the classes train, valid and"
    ):
        sample(faces, split="published")


def test_fewer_images_than_classes_are_refused(planted_faces):
    names = np.array(["a", "b", "c", "d", "e"])[np.arange(len(planted_faces)) % 5]
    faces = planted_faces.with_attribute("five", names, Attribute(kind="categorical"))
    with pytest.raises(
        SpecError, match=r"'five' has 5 classes, so it needs n_train >= 10 and n_valid >= 5; got 200 and 4"
    ):
        sample(faces, ["five"], n_train=200, n_valid=4)
