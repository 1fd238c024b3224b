"""People and pictures as they come, and as they are planned."""

import hashlib
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from fusiform.errors import SpecError
from fusiform.faces.synthetic._factors import FACTORS
from fusiform.faces.synthetic._quotas import feasible_patterns, joint_table, whole_counts
from fusiform.faces.synthetic._ranks import rank_order
from fusiform.faces.synthetic._sampling import sample_parameters
from fusiform.faces.synthetic._truth import RULES, attributes


def phi(table: pd.DataFrame, a: str, b: str) -> float:
    return float(np.corrcoef(table[a].astype(float), table[b].astype(float))[0, 1])


def shares(table: pd.DataFrame) -> pd.Series:
    return attributes(table)[list(RULES)].astype(float).mean()


@pytest.fixture(scope="module")
def population() -> pd.DataFrame:
    return sample_parameters(2000, seed=0, per_identity=1)


def test_a_set_begins_with_the_smaller_set() -> None:
    table = sample_parameters(100, seed=4)
    assert sample_parameters(50, seed=4).equals(table[:50])
    assert sample_parameters(24, seed=4, identities=3).identity[:4].tolist() == [
        "s4_00000", "s4_00001", "s4_00002", "s4_00000",
    ]  # fmt: skip
    assert list(table.columns) == ["identity", *FACTORS]
    held = sample_parameters(50, seed=4, fixed={"yaw": 5.0})
    assert held.drop(columns="yaw").equals(table[:50].drop(columns="yaw"))
    assert not set(sample_parameters(9, seed=5).identity) & set(table.identity)


def test_people_stay_themselves_while_their_images_vary() -> None:
    table = sample_parameters(400, seed=2)
    groups = table.groupby("identity")
    for name, factor in FACTORS.items():
        if factor.stable and name != "age":
            assert (groups[name].nunique() == 1).all(), name
    assert groups.age.agg(np.ptp).max() <= 6
    truth = attributes(table)
    assert (truth.groupby("identity").Young.nunique() == 1).all()
    varied = ("pitch", "roll", "gaze_x", "clothes_hue", "background_hue", "noise_seed")
    assert all((groups[name].nunique() == 8).all() for name in varied)
    # Most keep their glasses and beards; nobody keeps them always.
    for name in ("Eyeglasses", "Mustache", "Heavy_Makeup"):
        mean = truth[name].astype(float).groupby(truth.identity).mean()
        assert ((mean > 0.7) | (mean < 0.3)).mean() > 0.75, name
    easy = (table.yaw.abs() < 15) & (table.light.abs() < 30) & (table.blur < 0.1)
    assert (easy.groupby(table.identity).sum() >= 1).mean() > 0.9


def test_every_attribute_is_neither_rare_nor_usual(population: pd.DataFrame) -> None:
    found = shares(population)
    assert found.between(0.04, 0.96).all(), found[~found.between(0.04, 0.96)]


def test_small_sets_have_the_shares_of_large_ones(population: pd.DataFrame) -> None:
    large = shares(population)
    for seed in range(3):
        small = shares(sample_parameters(64, seed=seed, per_identity=1))
        for name in (
            "Male",
            "Young",
            "Pale_Skin",
            "Chubby",
            "Bushy_Eyebrows",
            "Arched_Eyebrows",
            "High_Cheekbones",
        ):
            assert abs(small[name] - large[name]) < 0.05, name


def test_people_are_plausible(population: pd.DataFrame) -> None:
    truth, age = attributes(population), population.age
    children, grown = age < 13, age > 20
    assert 0.03 < children.mean() < 0.12
    assert (age > 70).mean() > 0.05
    bearded = ~truth.No_Beard.astype(bool)
    assert not bearded[children | ~truth.Male.astype(bool)].any()
    assert not truth.Bald[children].any()
    assert not truth.Gray_Hair[age < 35].any()
    assert truth.Gray_Hair[age > 65].astype(float).mean() > 0.4
    assert truth.Heavy_Makeup[truth.Male].astype(float).mean() < 0.06
    assert population.hair_length[truth.Male].median() < 0.35 < population.hair_length[~truth.Male].median()
    assert np.corrcoef(population.skin_tone, population.eye_colour)[0, 1] < -0.3
    assert not (population.necktie & (population.necklace != "none")).any()
    assert np.std(population.yaw[grown]) > 15


def test_without_covariation_traits_are_as_common_and_independent(population: pd.DataFrame) -> None:
    table = sample_parameters(2000, seed=0, per_identity=1, covariation=False)
    truth = attributes(table)
    assert (shares(table) - shares(population)).abs().max() < 0.06
    for root in ("Male", "Young", "Pale_Skin"):
        for name in RULES:
            if name != root:
                assert abs(phi(truth, root, name)) < 0.085, (root, name)


def test_two_attributes_have_their_shares_and_their_correlation_exactly() -> None:
    table = sample_parameters(
        600,
        per_identity=1,
        marginals={"Male": 0.3, "Eyeglasses": 0.2},
        correlations={("Male", "Eyeglasses"): 0.6},
    )
    truth = attributes(table)
    assert truth.Male.sum() == 180
    assert truth.Eyeglasses.sum() == 120
    both = 600 * (0.06 + 0.6 * np.sqrt(0.21 * 0.16))
    assert abs((truth.Male & truth.Eyeglasses).sum() - both) <= 0.5


def test_correlations_of_images_with_people() -> None:
    table = sample_parameters(
        512, correlations={("Male", "Eyeglasses"): 0.6, ("Smiling", "Wearing_Hat"): -0.35}
    )
    truth = attributes(table)
    assert truth[["Male", "Eyeglasses", "Smiling", "Wearing_Hat"]].astype(float).mean().tolist() == [0.5] * 4
    assert phi(truth, "Male", "Eyeglasses") == pytest.approx(0.6, abs=0.005)
    assert phi(truth, "Smiling", "Wearing_Hat") == pytest.approx(-0.35, abs=0.005)
    stable = [name for name, factor in FACTORS.items() if factor.stable and name != "age"]
    assert (table.groupby("identity")[stable].nunique() == 1).all(axis=None)


@given(
    st.lists(st.floats(0.1, 0.9), min_size=3, max_size=3),
    st.lists(st.floats(-0.7, 0.7), min_size=3, max_size=3),
    st.integers(0, 9),
)
@settings(deadline=None, max_examples=15)
def test_three_correlations_are_met_or_refused(p: list[float], r: list[float], seed: int) -> None:
    names = ("Male", "Smiling", "Wearing_Hat")
    pairs = dict(
        zip((("Male", "Smiling"), ("Male", "Wearing_Hat"), ("Smiling", "Wearing_Hat")), r, strict=True)
    )
    asked = dict(zip(names, p, strict=True))
    try:
        table = sample_parameters(600, seed=seed, per_identity=1, marginals=asked, correlations=pairs)
    except SpecError:
        with pytest.raises(SpecError, match="The nearest possible: "):
            joint_table(asked, pairs, {})
        return
    truth = attributes(table)
    for name in names:
        assert abs(truth[name].sum() - 600 * asked[name]) <= 0.5 + 1e-6
    for (a, b), value in pairs.items():
        assert phi(truth, a, b) == pytest.approx(value, abs=0.02)


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.sampled_from([1, -1]))
@settings(deadline=None, max_examples=40)
def test_the_nearest_possible_is_the_frechet_bound_and_can_be_asked(p: float, q: float, sign: int) -> None:
    ends = min(p, q) if sign > 0 else max(0.0, p + q - 1)
    bound = (ends - p * q) / np.sqrt(p * (1 - p) * q * (1 - q))
    if abs(bound) > 0.998:
        return
    marginals = {"Smiling": p, "Eyeglasses": q}
    with pytest.raises(SpecError, match="The nearest possible: ") as caught:
        sample_parameters(8, marginals=marginals, correlations={("Smiling", "Eyeglasses"): sign})
    nearest = float(re.search(r"possible: Eyeglasses and Smiling (-?[\d.e-]+)\. Ask", str(caught.value))[1])
    assert nearest == pytest.approx(bound, abs=0.0015)
    sample_parameters(8, marginals=marginals, correlations={("Smiling", "Eyeglasses"): nearest})


def test_definitions_bound_shares_and_correlations() -> None:
    with pytest.raises(
        SpecError, match=r"shares: Black_Hair 0.7, Blond_Hair 0.6; .* nearest possible: .* Ask for these"
    ):
        sample_parameters(8, marginals={"Blond_Hair": 0.6, "Black_Hair": 0.7})
    with pytest.raises(
        SpecError, match=r"Black_Hair and Blond_Hair 0.2, .* nearest possible: Black_Hair and Blond_Hair -1\."
    ):
        sample_parameters(8, correlations={("Black_Hair", "Blond_Hair"): 0.2})
    with pytest.raises(SpecError, match=r"Eyeglasses 0.5 beside what is fixed or ranged \(glasses\)"):
        sample_parameters(8, fixed={"glasses": "none"}, marginals={"Eyeglasses": 0.5})
    # No two of three can be strongly opposed to each other.
    opposed = {("Male", "Smiling"): -0.9, ("Male", "Young"): -0.9, ("Smiling", "Young"): -0.9}
    with pytest.raises(SpecError, match=r"and the other correlations\. The nearest possible: "):
        sample_parameters(8, correlations=opposed)


def test_many_attributes_of_one_head_at_once() -> None:
    asked = {
        "Black_Hair": 0.3, "Blond_Hair": 0.3, "Bald": 0.2, "Bangs": 0.3, "Gray_Hair": 0.1, "Wavy_Hair": 0.4,
        "No_Beard": 0.6, "Mustache": 0.2, "Male": 0.5,
    }  # fmt: skip
    pairs = {("Male", "Bald"): 0.4, ("Male", "Mustache"): 0.4}
    table = sample_parameters(500, per_identity=1, marginals=asked, correlations=pairs)
    truth = attributes(table)
    for name, share in asked.items():
        assert truth[name].sum() == 500 * share, name
    for pair, value in pairs.items():
        assert phi(truth, *pair) == pytest.approx(value, abs=0.01)
    # What was planned and not asked to go together does not.
    assert abs(phi(truth, "Male", "Wavy_Hair")) < 0.25
    assert abs(phi(truth, "Male", "Bangs")) < 0.25


def test_attributes_planned_alone_are_independent_of_the_others() -> None:
    table = sample_parameters(2000, per_identity=1, marginals={"Wearing_Lipstick": 0.5, "Smiling": 0.5})
    truth = attributes(table)
    assert abs(phi(truth, "Wearing_Lipstick", "Male")) < 0.08
    assert abs(phi(truth, "Wearing_Lipstick", "Smiling")) < 0.08


def test_ranges_levels_and_fixed_factors() -> None:
    table = sample_parameters(
        400,
        marginals={
            "yaw": (-45, 45), "age": (20, 60), "Young": 0.3, "hair_colour": {"blond": 0.25, "black": 0.75},
            "greyscale": 0.1, "background=outdoors": 0.5, "AU_26": (0, 0.1),
        },
        fixed={"hat": "none", "male": 0.9},
    )  # fmt: skip
    truth = attributes(table)
    assert table.yaw.between(-45, 45).all()
    assert np.abs(np.sort(table.yaw) - np.linspace(-45, 45, 400)).max() < 0.5
    assert table.age.between(20, 60).all()
    assert truth.Young.sum() == 0.3 * 400
    assert table.groupby("identity").hair_colour.first().value_counts().to_dict() == {
        "black": 38,
        "blond": 12,
    }
    assert table.greyscale.sum() == 40
    assert (table.background == "outdoors").sum() == 200
    assert table.AU_26.max() <= 0.1
    assert (table.hat == "none").all()
    assert truth.Male.all()
    assert not truth.No_Beard.all()  # the rest of a person follows what is fixed


def test_rank_correlations_with_continuous_factors() -> None:
    asked = {
        ("yaw", "light"): 0.5, ("Male", "yaw"): 0.3, ("age", "skin_tone"): -0.4, ("age", "Eyeglasses"): 0.5,
        ("AU_12_intensity", "Male"): 0.4, ("weight", "noise"): 0.2,
    }  # fmt: skip
    table = sample_parameters(1600, correlations=asked)
    plain = sample_parameters(1600)
    truth = attributes(table)
    columns = {**table, **{name: truth[name].astype(float) for name in ("Male", "Eyeglasses")}}
    columns["AU_12_intensity"] = table.AU_12
    for (a, b), value in asked.items():
        assert spearmanr(columns[a], columns[b])[0] == pytest.approx(value, abs=0.02), (a, b)
    assert np.sort(table.light).tolist() == np.sort(plain.light).tolist()  # values only change places
    assert truth.Eyeglasses.sum() == 800
    assert not truth.Gray_Hair[table.age < 30].any()  # people were drawn after their ages


def test_rank_order_keeps_the_values_and_refuses_what_ties_forbid() -> None:
    rng = np.random.default_rng(0)
    values, flags = rng.normal(size=501), (np.arange(501) < 100).astype(float)
    placed = rank_order(values, "yaw", [("Male", flags, -0.5)], rng)
    assert np.sort(placed).tolist() == np.sort(values).tolist()
    assert spearmanr(placed, flags)[0] == pytest.approx(-0.5, abs=0.005)
    with pytest.raises(
        SpecError, match=r"'yaw' and 'Male' cannot have a rank correlation of 0.9: .* possible: 0.69"
    ):
        rank_order(values, "yaw", [("Male", flags, 0.9)], rng)
    with pytest.raises(SpecError, match="'light' is constant"):
        rank_order(values, "yaw", [("light", np.zeros(501), 0.1)], rng)
    both = [("a", values, 0.9), ("b", -values, 0.9)]
    with pytest.raises(
        SpecError, match=r"cannot have these rank correlations at once with 501 values: a 0\.9, b 0\.9"
    ):
        rank_order(rng.normal(size=501), "yaw", both, rng)


def test_feasible_patterns_are_those_of_a_large_random_sample() -> None:
    names = ("Black_Hair", "Bald", "Bangs", "Receding_Hairline")
    rng = np.random.default_rng(0)
    n = 20000
    faces = pd.DataFrame({
        "hair_length": rng.random(n), "hair_recession": rng.random(n), "bangs": rng.random(n),
        "hair_colour": rng.choice(["black", "blond"], n),
    })  # fmt: skip
    seen = np.unique(attributes(faces)[list(names)].to_numpy(dtype=bool), axis=0)
    assert feasible_patterns(names, {}).tolist() == seen.tolist()


def test_of_all_tables_the_one_of_largest_entropy() -> None:
    joint = joint_table({"Smiling": 0.3, "Male": 0.5, "Blurry": 0.2}, {("Smiling", "Male"): 0.4}, {})
    table = {tuple(p): s for p, s in zip(joint.patterns.tolist(), joint.shares, strict=True)}
    both = 0.15 + 0.4 * np.sqrt(0.21 * 0.25)
    assert table[True, True, True] == pytest.approx(0.2 * both, abs=1e-9)
    assert table[True, False, False] == pytest.approx(0.8 * (0.3 - both), abs=1e-9)


@given(st.integers(4, 90), st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.floats(-0.2, 0.2))
@settings(deadline=None, max_examples=40)
def test_whole_counts_of_two_attributes_are_the_best_there_are(n: int, p: float, q: float, r: float) -> None:
    try:
        joint = joint_table({"Smiling": p, "Male": q}, {("Smiling", "Male"): r}, {})
    except SpecError:
        return
    counts = whole_counts(joint, {(): n})
    assert counts.sum() == n
    assert counts.min() >= 0
    a, b = counts @ joint.patterns
    assert abs(a - n * p) <= 0.5 + 1e-6
    assert abs(b - n * q) <= 0.5 + 1e-6
    spread = np.sqrt(a * (n - a) * b * (n - b))
    if spread == 0:
        return
    both = int(counts[joint.patterns.all(axis=1)].sum())
    possible = range(max(0, int(a + b - n)), int(min(a, b)) + 1)
    off = {k: abs((n * k - a * b) / spread - r) for k in possible}
    assert off[both] == pytest.approx(min(off.values()), abs=1e-9)


def test_the_order_of_a_request_does_not_matter() -> None:
    a = sample_parameters(
        64,
        marginals={"Male": 0.25, "yaw": (-9, 9)},
        correlations={("Male", "Smiling"): 0.3, ("Young", "Male"): 0.2},
    )
    b = sample_parameters(
        64,
        marginals={"yaw": (-9, 9), "Male": 0.25},
        correlations={("Male", "Young"): 0.2, ("Smiling", "Male"): 0.3},
    )
    assert a.equals(b)


PRINT_DIGEST = """
import hashlib
from fusiform.faces.synthetic._sampling import sample_parameters
table = sample_parameters(64, seed=3, marginals={"Bald": 0.25}, correlations={("Male", "Eyeglasses"): 0.5, ("yaw", "light"): 0.3})
print(hashlib.sha256(table.round(9).to_csv().encode()).hexdigest())
"""


def test_a_description_gives_the_same_table_in_any_process() -> None:
    digests = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", PRINT_DIGEST], env=environment, capture_output=True, text=True, check=True
        )
        digests.add(run.stdout)
    table = sample_parameters(
        64,
        seed=3,
        marginals={"Bald": 0.25},
        correlations={("Male", "Eyeglasses"): 0.5, ("yaw", "light"): 0.3},
    )
    digests.add(hashlib.sha256(table.round(9).to_csv().encode()).hexdigest() + "\n")
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"n": 0}, "The 'n' of synthetic faces must be an int of at least 1; got 0."),
        ({"seed": -1}, "The 'seed' of synthetic faces must be an int of at least 0; got -1."),
        ({"identities": 0}, "'identities' of synthetic faces must be an int of at least 1, or None; got 0."),
        ({"identities": 2, "per_identity": 3}, "2 identities with 3 images each give 6 faces; n=8 was asked."),
        ({"fixed": {"Male": True}}, "'Male' is none; it is an attribute: give marginals={'Male': 1.0}, or 0.0"),
        ({"fixed": {"yaws": 0.0}}, "'yaws' is none; did you mean 'yaw'?"),
        ({"fixed": {"yaw": 99.0}}, "In 'fixed': Factor 'yaw' must be within [-75, 75] deg; got 99."),
        ({"fixed": ["yaw"]}, "'fixed' must be a mapping such as {'yaw': 0.0}; got ['yaw']."),
        ({"fixed": {"yaw": 0.0}, "marginals": {"yaw": (0, 1)}}, "'yaw' is both fixed and given a marginal; leave one out."),
        ({"marginals": {"Eyeglass": 0.5}}, "'Eyeglass' is no binary attribute of synthetic faces"),
        ({"marginals": {"Male": 1.5}}, "The share of 'Male' must be a number in [0, 1]; got 1.5."),
        ({"marginals": {"Male": True}}, "The share of 'Male' must be a number in [0, 1]; got True."),
        ({"marginals": {"yaw": 5.0}}, "The marginal of the continuous factor 'yaw' must be a range (low, high); got 5.0."),
        ({"marginals": {"yaw": (5, 5)}}, "The range of 'yaw' must go from low to high; got (5, 5)."),
        ({"marginals": {"yaw": (-99, 5)}}, "Either end of the range of 'yaw' must be a number in [-75, 75]; got -99."),
        ({"marginals": {"hat": 0.5}}, "The marginal of the categorical factor 'hat' must map levels to shares"),
        ({"marginals": {"hat": {"cap": 0.5}}}, "The shares of the levels of 'hat' must sum to 1; got 0.5."),
        ({"marginals": {"hat": {"hood": 1.0}}}, "The factor 'hat' has no level 'hood'"),
        (
            {"marginals": {"hat": {"cap": 1.0}, "Wearing_Hat": 0.5}},
            "The shares of 'hat' and of 'Wearing_Hat' both decide on 'hat'",
        ),
        ({"correlations": {"Male": 1.0}}, "A correlation is asked of two names"),
        ({"correlations": {("Male", "Male"): 1.0}}, "A correlation needs two different names; got 'Male' twice."),
        ({"correlations": {("Male", "hat"): 0.5}}, "'hat' is categorical. Name one level, as in 'hat=brimmed'."),
        ({"correlations": {("Male", "Young"): 2}}, "must be a number in [-1, 1]; got 2."),
        (
            {"correlations": {("Male", "Young"): 0.2, ("Young", "Male"): 0.3}},
            "The correlation of 'Male' and 'Young' is given twice.",
        ),
        ({"correlations": {("male", "Male"): 0.9}}, "'male' defines 'Male' (male above 0.5), so their correlation is not free."),
        (
            {"correlations": {("Male", "Young"): 0.3}, "marginals": {"Male": 1.0}},
            "needs some faces with and some without Male; its share is 1.",
        ),
        (
            {"correlations": {("age", "light"): 0.3}, "marginals": {"Young": 0.5}},
            "'Young' has a share of its own and reads 'age', which is correlated with something else",
        ),
        ({"correlations": {("yaw", "light"): 0.3}, "fixed": {"yaw": 0.0}}, "'yaw' is fixed, so it has no correlation."),
        (
            {"correlations": {("age", "Eyeglasses"): 0.3, ("Male", "Eyeglasses"): 0.3}},
            "'Eyeglasses' is to go with 'age', which images of an identity share, and is tied to 'Male' too",
        ),
    ],
)  # fmt: skip
def test_requests_that_are_refused(asked: dict[str, object], text: str) -> None:
    with pytest.raises(SpecError, match=re.escape(text)):
        sample_parameters(**{"n": 8, **asked})
