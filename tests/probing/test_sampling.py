import numpy as np
import pandas as pd
import pytest

from fusiform.errors import DataError
from fusiform.faces import Attribute
from fusiform.probing import sample


class Faces:
    """The part of a FaceSet that sampling reads."""

    name = "made up"

    def __init__(self, table, schema):
        self.table, self.schema = table, schema

    def __len__(self):
        return len(self.table)

    @property
    def identity(self):
        return "identity" if "identity" in self.schema else None


def made_up(n=1000, people=100, seed=0, **columns):
    rng = np.random.default_rng(seed)
    who = pd.Series(rng.integers(0, people, n)).astype("string")
    table = {"image_id": [f"{i}" for i in range(n)], "identity": who}
    schema = {"identity": Attribute(kind="identity")}
    for name, (kind, values) in columns.items():
        table[name] = values
        schema[name] = Attribute(kind=kind)
    return Faces(pd.DataFrame(table), schema)


def binary(values):
    return "binary", pd.array(values, dtype="boolean")


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
    faces = made_up(race=("categorical", pd.array(values, dtype="string")))
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
