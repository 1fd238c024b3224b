import numpy as np
import pandas as pd
import pytest
from tests.probing.made_up import binary, categorical, made_up

from fusiform.errors import SpecError
from fusiform.faces import Attribute
from fusiform.probing import sample
from fusiform.probing._confounds import confounded_draws
from fusiform.probing._measures import measure_answers
from fusiform.probing._readout import fit_readout

N = 6000


def entangled(strength, *, kind="binary", seed=0, n=N):
    """A confounder, and an attribute that goes with it."""
    rng = np.random.default_rng(seed)
    if kind == "continuous":
        confounder = rng.normal(40, 12, n)
        chance = 1 / (1 + np.exp(-strength * (confounder - 40) / 12))
    else:
        levels = 2 if kind == "binary" else 3
        confounder = rng.integers(0, levels, n)
        chance = 0.5 + strength * (confounder / (levels - 1) - 0.5)
    return confounder, rng.random(n) < chance


def faces_of(confounder, attribute, kind="binary", **more):
    columns = {
        "binary": lambda: binary(confounder == 1),
        "categorical": lambda: categorical(np.array(["a", "b", "c"])[confounder]),
        "continuous": lambda: ("continuous", confounder),
    }
    return made_up(len(attribute), len(attribute) // 3, c=columns[kind](), a=binary(attribute), **more)


def primary(draw, groups, features):
    """What one probe on these features reaches on test."""
    readout = fit_readout(draw, features[None, draw.train])
    answers = {"test": readout.answers(features[None, draw.test])}
    return measure_answers(draw, answers, groups)[0][0]


def sees(what, seed=1):
    """Features in which something can be read, and noise."""
    rng = np.random.default_rng(seed)
    what = np.asarray(what, dtype=float)
    what = (what - what.mean()) / what.std()
    return np.column_stack([what + 0.3 * rng.normal(size=len(what)), rng.normal(size=(len(what), 3))])


@pytest.mark.parametrize("kind", ["binary", "categorical", "continuous"])
def test_what_is_read_only_through_the_confounder_falls_to_chance_when_balanced(kind):
    confounder, attribute = entangled(0.8 if kind != "continuous" else 1.0, kind=kind)
    faces = faces_of(confounder, attribute, kind)
    sampling = sample(faces, ["a"])
    (found,) = confounded_draws(faces, sampling)
    assert (found.draw.attribute, found.confounder, found.treatment) == ("a", "c", "balanced")
    through = sees(confounder)
    raw = primary(sampling.draws[0], sampling.groups, through)
    rest = primary(found.draw, sampling.groups, through)
    assert raw.lower > 0.6
    assert rest.lower - 0.02 < 0.5 < rest.upper + 0.02
    # What is in the features of itself is still there.
    assert primary(found.draw, sampling.groups, sees(attribute)).lower > 0.9


@pytest.mark.parametrize("kind", ["binary", "categorical", "continuous"])
def test_what_is_read_only_through_the_confounder_is_no_residual(kind):
    confounder, attribute = entangled(0.97 if kind != "continuous" else 6.0, kind=kind)
    faces = faces_of(confounder, attribute, kind)
    sampling = sample(faces, ["a"], n_train=600)
    (found,) = confounded_draws(faces, sampling)
    assert found.treatment == "residualised"
    assert (found.draw.kind, found.draw.classes) == ("continuous", ())
    raw = primary(sampling.draws[0], sampling.groups, sees(confounder))
    rest = primary(found.draw, sampling.groups, sees(confounder))
    assert raw.lower > 0.75
    assert -0.1 < rest.value < 0.03
    values = found.draw.values
    itself = np.where(np.isfinite(values), values, 0)
    assert primary(found.draw, sampling.groups, sees(itself)).lower > 0.8
    # Left over is what regression on the confounder leaves, in training exactly and elsewhere on average.
    assert values[found.draw.train].mean() == pytest.approx(0, abs=1e-9)
    for rows in (found.draw.valid, found.draw.test):
        assert np.corrcoef(values[rows], confounder[rows])[0, 1] == pytest.approx(0, abs=0.1)
        assert attribute[rows].mean() == 0.5
    assert np.isnan(values).sum() == len(values) - sum(
        map(len, (found.draw.train, found.draw.valid, found.draw.test))
    )


def test_every_split_of_a_balanced_draw_holds_equally_many_of_each_cell():
    confounder, attribute = entangled(0.6, kind="categorical")
    faces = faces_of(confounder, attribute, "categorical")
    sampling = sample(faces, ["a"], n_train=1000, n_valid=600)
    (found,) = confounded_draws(faces, sampling)
    whole = sampling.draws[0]
    assert found.note == ""
    assert (found.draw.values == whole.values).all()
    for split in ("train", "valid", "test"):
        rows, own = getattr(found.draw, split), getattr(whole, split)
        assert set(rows) <= set(own)
        assert (np.diff(rows) > 0).all()
        counts = pd.crosstab(attribute[rows], confounder[rows]).to_numpy()
        available = pd.crosstab(attribute[own], confounder[own]).to_numpy()
        assert (counts == available.min()).all()
        assert counts.shape == (2, 3)


def test_a_continuous_confounder_is_cut_as_finely_as_cells_allow():
    confounder, attribute = entangled(1.0, kind="continuous")
    faces = faces_of(confounder, attribute, "continuous")
    (fine,) = confounded_draws(faces, sample(faces, ["a"]))
    assert fine.note == "confounder cut into 8 equal parts"
    rows = fine.draw.train
    assert abs(np.corrcoef(confounder[rows], attribute[rows])[0, 1]) < 0.1
    (coarse,) = confounded_draws(faces, sample(faces, ["a"], n_train=400))
    assert coarse.note == "confounder cut into 4 equal parts"


def test_small_cells_are_residualised():
    confounder, attribute = entangled(0.9)
    faces = faces_of(confounder, attribute)
    for n_train, treatment in ((1000, "balanced"), (300, "residualised")):
        sampling = sample(faces, ["a"], n_train=n_train)
        (found,) = confounded_draws(faces, sampling)
        train = sampling.draws[0].train
        smallest = pd.crosstab(attribute[train], confounder[train]).to_numpy().min()
        assert (smallest >= 20) == (treatment == "balanced")
        assert found.treatment == treatment


def test_association_is_that_of_the_set_and_weak_ones_do_not_count():
    confounder, attribute = entangled(0.5)
    faces = faces_of(1 - confounder, attribute)
    sampling = sample(faces)
    found = confounded_draws(faces, sampling, least=0.4)
    assert [(c.draw.attribute, c.confounder) for c in found] == [("c", "a"), ("a", "c")]
    assert found[0].association == pytest.approx(np.corrcoef(1 - confounder, attribute)[0, 1])
    assert confounded_draws(faces, sampling, least=0.6) == []


def test_the_strongest_come_first_and_as_many_as_asked():
    confounder, attribute = entangled(0.5)
    rng = np.random.default_rng(8)
    weaker = np.where(rng.random(N) < 0.72, attribute, rng.random(N) < 0.5)
    faces = faces_of(confounder, attribute, w=binary(weaker))
    sampling = sample(faces, ["a"])
    assert [c.confounder for c in confounded_draws(faces, sampling)] == ["w"]
    assert [c.confounder for c in confounded_draws(faces, sampling, strongest=5)] == ["w", "c"]


def test_one_thing_under_two_names_is_passed_over():
    confounder, attribute = entangled(0.6)
    rng = np.random.default_rng(9)
    intensity = attribute * rng.uniform(1, 5, N)
    faces = faces_of(
        confounder,
        attribute,
        same=binary(attribute),
        opposite=binary(~attribute),
        a_intensity=("continuous", intensity),
    )
    (found,) = confounded_draws(faces, sample(faces, ["a"]))
    assert found.confounder == "c"


def test_a_published_split_is_no_confounder():
    confounder, attribute = entangled(0.5)
    partition = np.where(attribute, "train", np.where(np.arange(N) % 2, "valid", "test"))
    faces = faces_of(confounder, attribute, partition=categorical(partition))
    (found,) = confounded_draws(faces, sample(faces, ["a"], split="identities"))
    assert found.confounder == "c"


def test_a_continuous_attribute_is_residualised():
    confounder, attribute = entangled(0.0, kind="continuous")
    value = confounder + np.random.default_rng(3).normal(0, 8, N)
    faces = faces_of(confounder, attribute, "continuous", age=("continuous", value))
    sampling = sample(faces, ["age"])
    (found,) = confounded_draws(faces, sampling)
    assert (found.draw.attribute, found.treatment, found.note) == ("age", "residualised", "")
    assert (found.draw.test == sampling.draws[0].test).all()
    assert primary(sampling.draws[0], sampling.groups, sees(confounder)).lower > 0.4
    assert primary(found.draw, sampling.groups, sees(confounder)).value < 0.02


def test_of_three_classes_the_one_told_best_is_set_against_the_rest():
    rng = np.random.default_rng(4)
    race = rng.integers(0, 3, N)
    confounder = np.where(race == 2, rng.random(N) < 0.985, rng.random(N) < 0.01).astype(int)
    faces = made_up(N, N // 3, race=categorical(np.array(["x", "y", "z"])[race]), c=binary(confounder == 1))
    (found,) = confounded_draws(faces, sample(faces, ["race"]))
    assert (found.treatment, found.note) == ("residualised", "z against the rest")
    rows = found.draw.train
    assert np.corrcoef(found.draw.values[rows], race[rows] == 2)[0, 1] > 0
    assert (np.bincount(race[found.draw.test]) == len(found.draw.test) / 3).all()


def test_missing_confounders_take_their_images_along():
    confounder, attribute = entangled(0.6)
    column = pd.array(confounder == 1, dtype="boolean")
    column[::3] = pd.NA
    faces = faces_of(confounder, attribute)
    faces.table["c"] = column
    (found,) = confounded_draws(faces, sample(faces, ["a"]))
    rows = np.concatenate([found.draw.train, found.draw.valid, found.draw.test])
    assert (rows % 3 > 0).all()
    column[30:] = pd.NA
    faces.table["c"] = column
    assert confounded_draws(faces, sample(faces, ["a"]), least=0.01) == []


def test_the_seed_chooses_the_images():
    confounder, attribute = entangled(0.6)
    faces = faces_of(confounder, attribute)
    sampling = sample(faces, ["a"])
    one, same, other = (confounded_draws(faces, sampling, seed=s)[0].draw.train for s in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()


def test_options_are_checked():
    faces = made_up(a=binary(np.arange(1000) % 2 == 0))
    faces.schema["a"] = Attribute("binary")
    with pytest.raises(SpecError, match=r"strongest >= 1 and 0 < least <= 1; got 0 and 0\.3"):
        confounded_draws(faces, sample(faces), strongest=0)
    with pytest.raises(SpecError, match="got 1 and 0"):
        confounded_draws(faces, sample(faces), least=0)
