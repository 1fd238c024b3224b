"""What is said to be true of synthetic faces, and the least change that makes it true."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusiform.errors import DataError, SpecError
from fusiform.faces.synthetic._factors import ACTION_UNITS, FACTORS
from fusiform.faces.synthetic._rules import above, one_of, up_to
from fusiform.faces.synthetic._sampling import sample_parameters
from fusiform.faces.synthetic._truth import ATTRIBUTES, RULES, attributes, rule_of, settle

CELEBA = """
5_o_Clock_Shadow Arched_Eyebrows Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair Blurry
Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male
Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks
Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace
Wearing_Necktie Young
""".split()  # noqa: SIM905
SUMS = {"Big_Lips", "Big_Nose", "Oval_Face", "Pointy_Nose"}  # their factors move together


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    return sample_parameters(160, seed=3, per_identity=2)


def values(table: pd.DataFrame, name: str) -> np.ndarray:
    return attributes(table)[name].to_numpy(dtype=bool)


def test_celebas_attributes_but_attractive_and_twelve_action_units() -> None:
    assert list(RULES) == CELEBA + list(ACTION_UNITS)
    binary = [name for name, a in ATTRIBUTES.items() if a.kind == "binary"]
    assert binary == list(RULES)
    assert ATTRIBUTES["yaw"].unit == "deg"
    assert ATTRIBUTES["AU_12_intensity"].kind == "continuous"


def test_the_table_has_the_schemas_columns_and_types(sample: pd.DataFrame) -> None:
    table = attributes(sample)
    assert list(table.columns) == list(ATTRIBUTES)
    for name, attribute in ATTRIBUTES.items():
        dtype = {"binary": "boolean", "continuous": "float64", "identity": "string"}[attribute.kind]
        assert table[name].dtype == dtype, name
    assert attributes(sample.drop(columns="identity")).identity.isna().all()


@pytest.mark.parametrize(
    ("face", "true", "false"),
    [
        (
            {"hair_length": 0.0, "hair_colour": "black", "bangs": 1.0},
            "Bald",
            "Black_Hair Bangs Straight_Hair",
        ),
        ({"hair_recession": 0.95, "hair_colour": "gray"}, "Bald", "Gray_Hair Receding_Hairline"),
        ({"hair_recession": 0.6, "hair_colour": "gray"}, "Gray_Hair Receding_Hairline", "Bald"),
        ({"hat": "cap", "hair_colour": "blond"}, "Wearing_Hat Blond_Hair Straight_Hair", "Bald Brown_Hair"),
        ({"hair_length": 0.1, "hair_wave": 0.9}, "Brown_Hair", "Wavy_Hair Straight_Hair Bald"),
        ({"hair_colour": "red"}, "No_Beard", "Black_Hair Blond_Hair Brown_Hair Gray_Hair"),
        ({"stubble": 0.5}, "5_o_Clock_Shadow", "No_Beard Goatee Mustache"),
        ({"beard": 1.0, "stubble": 0.5}, "", "No_Beard 5_o_Clock_Shadow Goatee"),
        ({"goatee": 0.8, "mustache": 0.8}, "Goatee Mustache", "No_Beard"),
        ({"sideburns": 0.8}, "Sideburns No_Beard", ""),
        ({"AU_12": 0.3}, "AU_12", "Smiling High_Cheekbones"),
        ({"AU_12": 0.8, "AU_26": 0.2}, "Smiling Mouth_Slightly_Open", "AU_26"),
        ({"glasses": "sunglasses", "necktie": True}, "Eyeglasses Wearing_Necktie", "Wearing_Necklace"),
        ({"face_length": 0.5, "jaw_width": -0.5}, "Oval_Face", "Chubby"),
        ({"face_length": 0.5, "jaw_width": 0.5}, "", "Oval_Face"),
        ({"nose_tip": -0.8, "nose_protrusion": 0.2}, "Pointy_Nose", "Big_Nose"),
        ({"upper_lip": 1.0, "lower_lip": -0.8}, "", "Big_Lips"),
        ({"age": 42.0, "skin_tone": 0.2}, "Young Pale_Skin", ""),
        ({"age": 42.5, "male": 0.5}, "", "Young Male"),
    ],
)
def test_faces_whose_truth_is_plain(face: dict[str, object], true: str, false: str) -> None:
    table = attributes(pd.DataFrame([face]))
    for name in true.split():
        assert table[name][0], name
    for name in false.split():
        assert not table[name][0], name


def test_a_description_states_the_whole_rule() -> None:
    assert ATTRIBUTES["Eyeglasses"].description == "glasses wire or horn or half_rim or sunglasses"
    assert ATTRIBUTES["Big_Lips"].description == "0.5 upper_lip + 0.5 lower_lip above 0.3"
    assert ATTRIBUTES["Oval_Face"].description == "face_length + cheekbone_width - jaw_width above 0.5"
    assert ATTRIBUTES["Receding_Hairline"].description.startswith("hair_recession above 0.3 and up to 0.8")
    assert ATTRIBUTES["Bald"].description == "hair_length up to 0.05, or hair_recession above 0.8"


def test_a_factor_stands_alone_or_in_one_sum() -> None:
    # The solver treats the parts of a rule as free of each other.
    seen: dict[str, set[tuple[tuple[str, float], ...]]] = {}
    for rule in RULES.values():
        for box in rule.boxes:
            for terms in box:
                for factor, _ in terms:
                    seen.setdefault(factor, set()).add(terms)
    assert {name for name, terms in seen.items() if len(terms) > 1} == set()


@pytest.mark.parametrize("name", RULES)
def test_either_value_can_be_reached_from_every_face(sample: pd.DataFrame, name: str) -> None:
    before = values(sample, name)
    for value in (True, False):
        after = settle(sample, {name: value}, np.random.default_rng(0))
        assert (values(after, name) == value).all()
        kept = (before == value) & (after[sample.columns] == sample).all(axis=1).to_numpy()
        assert (kept == (before == value)).all()  # what is so already is left alone
        changed = {f: (after[f] != sample[f]).to_numpy() for f in FACTORS}
        assert {f for f, rows in changed.items() if rows.any()} <= rule_of(name).factors
        if name in SUMS:
            continue
        # Every change was needed: with any one taken back, the attribute does not have the value.
        for factor, rows in changed.items():
            if not rows.any():
                continue
            back = after.assign(**{factor: np.where(rows, sample[factor], after[factor])})
            if FACTORS[factor].kind == "binary":
                back[factor] = back[factor].astype(bool)
            assert (values(back, name)[rows] != value).all(), factor


def test_sums_move_their_factors_together_and_no_further_than_needed() -> None:
    faces = pd.DataFrame({"upper_lip": [-1.0, 0.0, 0.9], "lower_lip": [-0.8, 0.2, 0.9]})
    out = settle(faces, {"Big_Lips": True}, np.random.default_rng(1))
    assert out.loc[2].tolist() == [0.9, 0.9]
    step = out - faces
    assert (step.loc[:1] > 0).all(axis=None)
    assert step.upper_lip[1] == pytest.approx(step.lower_lip[1])
    assert (out.mean(axis=1)[:2] < 0.8).all()


def test_new_values_keep_clear_of_the_threshold_and_amounts_go_to_none() -> None:
    faces = pd.DataFrame({"stubble": [0.9] * 50, "age": [30.0] * 50, "hat": ["cap"] * 50})
    out = settle(faces, {"No_Beard": True, "Young": False, "Wearing_Hat": False}, np.random.default_rng(0))
    assert (out.stubble == 0).all()
    assert (out.hat == "none").all()
    assert out.age.min() > 45
    assert out.age.nunique() == 50
    assert list(out.columns) == ["stubble", "age", "hat"]  # nothing else had to change


def test_settling_several_at_once_and_row_by_row() -> None:
    faces = pd.DataFrame({"hair_length": [0.0, 0.5, 0.5]})
    wanted = {"Bald": np.array([False, True, False]), "Blond_Hair": np.array([True, False, False])}
    out = attributes(settle(faces, wanted, np.random.default_rng(0)))
    assert out.Bald.tolist() == [False, True, False]
    assert out.Blond_Hair.tolist() == [True, False, False]


def test_what_cannot_be_together_is_refused() -> None:
    face = pd.DataFrame({"yaw": [0.0]})
    rng = np.random.default_rng(0)
    with pytest.raises(
        SpecError, match=re.escape("No face can be Bald True, Bangs True at once (row 0). Ask for fewer")
    ):
        settle(face, {"Bald": True, "Bangs": True}, rng)
    with pytest.raises(SpecError, match=r"while hair_length, hair_recession must not change \(row 0\)"):
        settle(face, {"Bald": True}, rng, frozen=["hair_length", "hair_recession"])
    with pytest.raises(SpecError, match=r"'Glasses' is no binary attribute .* did you mean 'Eyeglasses'"):
        settle(face, {"Glasses": True}, rng)
    with pytest.raises(SpecError, match="'hair_colour' has no level 'blonde'; did you mean 'blond'"):
        settle(face, {"hair_colour=blonde": True}, rng)
    with pytest.raises(DataError, match="'nose' is not a factor"):
        attributes(pd.DataFrame({"nose": [1.0]}))


def test_levels_and_binary_factors_can_be_settled_within_a_domain() -> None:
    faces = pd.DataFrame({"background": ["plain"] * 9, "glasses": ["none"] * 9})
    wanted = {"background=outdoors": True, "greyscale": True, "Eyeglasses": True}
    out = settle(
        faces, wanted, np.random.default_rng(0), domains={"glasses": frozenset({"none", "wire", "horn"})}
    )
    assert (out.background == "outdoors").all()
    assert out.greyscale.all()
    assert set(out.glasses) == {"wire", "horn"}


@given(
    st.lists(st.tuples(st.sampled_from(list(RULES)), st.booleans()), min_size=2, max_size=4),
    st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_several_at_once_hold_or_are_seen_in_no_face(wanted: list[tuple[str, bool]], seed: int) -> None:
    asked = dict(wanted)
    people = sample_parameters(40, seed=1, per_identity=1)
    truth = attributes(people)
    try:
        out = attributes(settle(people, asked, np.random.default_rng(seed)))
    except SpecError:
        assert not np.all([truth[name] == value for name, value in asked.items()], axis=0).any()
        return
    for name, value in asked.items():
        assert (out[name] == value).all(), name


rules = st.recursive(
    st.one_of(
        st.builds(above, st.sampled_from(["age", "weight", "AU_1"]), st.sampled_from([0.2, 0.5, 30.0])),
        st.builds(up_to, st.sampled_from(["age", "weight", "AU_1"]), st.sampled_from([0.2, 0.6, 50.0])),
        st.builds(one_of, st.just("hat"), st.lists(st.sampled_from(FACTORS["hat"].levels), max_size=3)),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda ab: ab[0] & ab[1]),
        st.tuples(inner, inner).map(lambda ab: ab[0] | ab[1]),
        inner.map(lambda a: ~a),
    ),
    max_leaves=6,
)


@given(rules, rules)
@settings(deadline=None)
def test_rules_are_closed_under_and_or_and_not(a: object, b: object) -> None:
    rng = np.random.default_rng(0)
    faces = {
        "age": rng.uniform(5, 90, 200),
        "weight": rng.uniform(-1, 1, 200),
        "AU_1": rng.random(200),
        "hat": rng.choice(FACTORS["hat"].levels, 200).astype(object),
    }
    assert ((a & b).holds(faces) == (a.holds(faces) & b.holds(faces))).all()
    assert ((a | b).holds(faces) == (a.holds(faces) | b.holds(faces))).all()
    assert ((~a).holds(faces) == ~a.holds(faces)).all()
