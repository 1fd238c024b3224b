"""Pairs, twins, series and tasks of synthetic faces, and tables of parameters as face sets."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fusiform.errors import DataError, SpecError
from fusiform.faces import open_faces
from fusiform.faces.readers.synthetic import open_synthetic, synthetic_faces
from fusiform.faces.synthetic._factors import FACTORS, LABEL_COLUMNS, check
from fusiform.faces.synthetic._render import render
from fusiform.faces.synthetic._sampling import sample_parameters
from fusiform.faces.synthetic._sets import (
    PART_FACTORS,
    confined,
    counterfactual_pairs,
    pairs,
    series,
    triplets,
)
from fusiform.faces.synthetic._truth import RULES, attributes


@pytest.fixture(scope="module")
def faces() -> pd.DataFrame:
    return sample_parameters(24, seed=6, per_identity=2)


def differing(table: pd.DataFrame) -> list[set[str]]:
    """The factors in which each original and its twin differ."""
    before, after = check(table[::2]), check(table[1::2])
    return [{name for name in FACTORS if before[name][i] != after[name][i]} for i in range(len(table) // 2)]


def test_pairs_are_genuine_or_not_and_share_no_people() -> None:
    table = pairs(40, seed=2, same=0.3)
    assert len(table) == 80
    assert list(table.columns[:4]) == ["identity", "pair", "role", "class"]
    assert list(table.columns[4:]) == list(FACTORS)
    groups = table.groupby("pair")
    people = groups.identity.nunique()
    kind = groups["class"].first()
    assert ((people == 1) == (kind == "genuine")).all()
    assert (kind == "genuine").sum() == 12
    assert table.groupby("identity").pair.nunique().max() == 1
    assert table.role.tolist() == ["first", "second"] * 40
    assert pairs(10, seed=2, same=0.3).equals(table[:20])
    assert (pairs(3, same=1.0, fixed={"yaw": 0.0}).yaw == 0).all()
    genuine = table[table["class"] == "genuine"]
    assert (genuine.groupby("pair").yaw.nunique() == 2).all()


def test_genuine_and_impostor_pairs_differ_in_nothing_but_the_people() -> None:
    table = pairs(600, seed=1)
    columns = ["yaw", "light", "blur", "noise", "age", "AU_12", "skin_tone", "hair_length"]
    genuine = table[table["class"] == "genuine"]
    impostor = table[table["class"] == "impostor"]
    deviation = table[columns].std()
    assert ((genuine[columns].mean() - impostor[columns].mean()).abs() / deviation).max() < 0.2


def test_triplets() -> None:
    table = triplets(5, seed=3)
    assert table.role.tolist() == ["probe", "mate", "nonmate"] * 5
    for _, rows in table.groupby("pair"):
        probe, mate, nonmate = rows.identity
        assert probe == mate != nonmate
    assert table.identity.nunique() == 10
    assert triplets(2, seed=3).equals(table[:6])


@pytest.mark.parametrize("what", [*PART_FACTORS, "yaw", "glasses", "greyscale", "AU_12", "skin_tone", "age"])
def test_twins_differ_in_what_was_asked_and_in_nothing_else(faces: pd.DataFrame, what: str) -> None:
    table = counterfactual_pairs(faces, what, seed=4)
    assert len(table) == 48
    assert table.role.tolist() == ["original", "twin"] * 24
    assert (table.groupby("pair").size() == 2).all()
    assert table[::2][list(FACTORS)].reset_index(drop=True).equals(faces[list(FACTORS)])
    for changed in differing(table):
        assert changed
        assert changed <= (set(PART_FACTORS[what]) if what in PART_FACTORS else {what})
    check(table)
    assert counterfactual_pairs(faces, what, seed=4).equals(table)
    assert not counterfactual_pairs(faces, what, seed=5).equals(table) or what == "greyscale"
    same_person = table[::2].identity.to_numpy() == table[1::2].identity.to_numpy()
    stable = [any(FACTORS[n].stable and n != "age" for n in changed) for changed in differing(table)]
    assert (same_person == ~np.array(stable)).all()


def test_new_values_of_numbers_are_far_from_the_old_ones(faces: pd.DataFrame) -> None:
    table = counterfactual_pairs(faces, "yaw")
    assert (table.yaw[1::2].to_numpy() - table.yaw[::2].to_numpy()).min() < -37.5
    assert np.abs(table.yaw[1::2].to_numpy() - table.yaw[::2].to_numpy()).min() >= 37.5


@pytest.mark.parametrize("name", [name for name in RULES if name not in FACTORS])
def test_twins_in_an_attribute(faces: pd.DataFrame, name: str) -> None:
    table = counterfactual_pairs(faces, name, seed=1)
    truth = attributes(table)[name].to_numpy(dtype=bool)
    assert (truth[::2] != truth[1::2]).all()


def test_given_values_of_twins(faces: pd.DataFrame) -> None:
    assert (counterfactual_pairs(faces, "light_warmth", 0.9).light_warmth[1::2] == 0.9).all()
    nose = counterfactual_pairs(faces, "nose", {"nose_width": 0.8, "nose_tip": -1.0})
    assert (nose.nose_width[1::2] == 0.8).all()
    assert nose.nose_bridge[1::2].tolist() == nose.nose_bridge[::2].tolist()
    bare = counterfactual_pairs(pd.DataFrame({"yaw": [3.0]}), "Eyeglasses", True)
    assert bare.glasses[0] == "none" != bare.glasses[1]
    assert "identity" not in bare


def test_twins_that_cannot_be_made(faces: pd.DataFrame) -> None:
    with pytest.raises(
        SpecError, match="'noes' is no factor, part or attribute of synthetic faces; did you mean 'nose'"
    ):
        counterfactual_pairs(faces, "noes")
    with pytest.raises(
        DataError, match=r"Row 1 and its twin would be equal: it has hat='cap' already. .*\(1 of 2\)"
    ):
        counterfactual_pairs(pd.DataFrame({"hat": ["none", "cap"]}), "hat", "cap")
    with pytest.raises(DataError, match="Row 0 and its twin would be equal: it has Bald=False already"):
        counterfactual_pairs(pd.DataFrame({"yaw": [0.0]}), "Bald", False)
    with pytest.raises(DataError, match="'hat' must be one of none, beanie"):
        counterfactual_pairs(faces, "hat", "hood")
    with pytest.raises(
        SpecError, match=r"The value of the part 'nose' must map some of its factors .*; got 0\.5"
    ):
        counterfactual_pairs(faces, "nose", 0.5)
    with pytest.raises(SpecError, match=re.escape("got {'yaw': 3}")):
        counterfactual_pairs(faces, "nose", {"yaw": 3})
    with pytest.raises(SpecError, match="The factor 'yaw' takes one value"):
        counterfactual_pairs(faces, "yaw", {"yaw": 3.0})
    with pytest.raises(SpecError, match="The attribute 'Bald' is True or False; got 'yes'"):
        counterfactual_pairs(faces, "Bald", "yes")
    with pytest.raises(DataError, match="'nose' is not a factor"):
        counterfactual_pairs(pd.DataFrame({"nose": [1.0]}), "yaw")


def test_a_series_shows_every_face_at_every_level(faces: pd.DataFrame) -> None:
    table = series(faces[:3], "yaw", [-30, 0.0, 30])
    assert table.yaw.tolist() == [-30, 0, 30] * 3
    assert table.level.tolist() == table.yaw.tolist()
    assert len(table.drop(columns=["yaw", "level"]).drop_duplicates()) == 3
    hats = series(pd.DataFrame({"yaw": [1.0]}, index=[7]), "hat", ["none", "cap"])
    assert hats.level.tolist() == ["none", "cap"]
    with pytest.raises(SpecError, match="'yaws' is not a factor of synthetic faces; did you mean 'yaw'"):
        series(faces, "yaws", [0])
    with pytest.raises(
        SpecError, match=r"The levels of 'yaw' must be a sequence of one value at least; got \[\]"
    ):
        series(faces, "yaw", [])
    with pytest.raises(DataError, match="'yaw' must be within"):
        series(faces, "yaw", [0, 99])


@pytest.mark.parametrize("part", PART_FACTORS)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_confined_class_decides_its_part_and_nothing_else(part: str, classes: int) -> None:
    table = confined(300, part, classes=classes, seed=5)
    assert table["class"].value_counts().tolist() == [300 // classes] * classes
    assert table.identity.nunique() == 300
    groups = table.groupby("class")
    for name in PART_FACTORS[part]:
        assert (groups[name].nunique() == 1).all()
        if not FACTORS[name].levels:
            assert groups[name].first().nunique() == classes
    # A class that leaks into another factor shifts its mean by far more than sampling does.
    for name, factor in FACTORS.items():
        if name in PART_FACTORS[part] or factor.kind != "continuous" or table[name].std() == 0:
            continue
        means = groups[name].mean()
        assert np.ptp(means) / table[name].std() < 4.6 * np.sqrt(2 * classes / 300), name
    check(table)


def test_confined_tasks_are_a_function_of_the_seed() -> None:
    assert confined(6, "nose", seed=1).equals(confined(6, "nose", seed=1))
    assert not confined(6, "nose", seed=1).equals(confined(6, "nose", seed=2))
    with pytest.raises(
        SpecError, match="Synthetic faces have no part 'noes' to confine a class to; did you mean 'nose'"
    ):
        confined(6, "noes")
    with pytest.raises(
        SpecError, match="The 'classes' of synthetic faces must be an int of at least 2; got 1"
    ):
        confined(6, "nose", classes=1)
    with pytest.raises(SpecError, match="must be 2 to 20; got 21"):
        confined(6, "nose", classes=21)


def test_parts_name_factors_and_share_none() -> None:
    named = [name for names in PART_FACTORS.values() for name in names]
    assert set(named) <= set(FACTORS)
    assert len(named) == len(set(named))
    assert not set(PART_FACTORS) & (set(FACTORS) | set(RULES))  # so that a name says which is meant
    assert {"pair", "role", "level", "class"} <= set(LABEL_COLUMNS)


def test_twins_look_different_in_the_part_and_alike_far_from_it() -> None:
    faces = sample_parameters(
        4, seed=9, per_identity=1, fixed={"yaw": 0.0, "blur": 0.0, "hat": "none", "glasses": "none"}
    )
    rendering = render(counterfactual_pairs(faces, "mouth", seed=1), size=64)
    pixels = rendering.images.float().numpy()
    moved = np.abs(pixels[::2] - pixels[1::2]).sum(axis=(0, 1))
    assert moved[36:60, 16:48].sum() > 0.95 * moved.sum() > 0
    clothes = render(counterfactual_pairs(faces, "clothes", seed=1), size=64)
    outside = ~(clothes.mask("clothes")[::2] | clothes.mask("clothes")[1::2]).numpy()
    moved = (clothes.images[::2] != clothes.images[1::2]).any(dim=1).numpy()
    assert moved.any()
    assert (moved & outside).mean() < 0.005


def test_a_table_of_parameters_is_a_face_set() -> None:
    table = series(sample_parameters(2, seed=1), "yaw", [-20, 20])
    table["role"] = "probe"
    faces = synthetic_faces(table, size=48, name="turned", provenance={"why": "a test"})
    assert faces.name == "turned"
    assert len(faces) == 4
    assert faces.schema["level"].kind == "continuous"
    assert faces.schema["pair"].kind == faces.schema["role"].kind == "categorical"
    assert faces.table["level"].tolist() == faces.table["yaw"].tolist() == [-20, 20] * 2
    assert faces.table["image_id"].tolist()[:2] == ["000000", "000001"]
    named = synthetic_faces(pd.DataFrame({"image_id": ["a", "b"], "level": ["x", "y"]}))
    assert named.table["image_id"].tolist() == ["a", "b"]
    assert named.schema["level"].kind == "categorical"
    assert "identity" not in named.schema
    with pytest.raises(SpecError, match=r"an int in \[32, 512\] pixels; got 8"):
        synthetic_faces(table, size=8)
    with pytest.raises(DataError, match="without rows is no set of faces"):
        synthetic_faces(table[:0])
    with pytest.raises(DataError, match="'nose' is not a factor"):
        synthetic_faces(pd.DataFrame({"nose": [1.0]}))


DESCRIPTION = """
n = 64
seed = 3
size = 48
per_identity = 4

[fixed]
hat = "none"

[marginals]
Young = 0.75
yaw = [-45, 45]
hair_colour = {black = 0.5, blond = 0.5}

[[correlations]]
between = ["Male", "Eyeglasses"]
value = 0.5
"""


def test_a_description_file_holds_all_options_and_keywords_win(tmp_path: Path) -> None:
    path = tmp_path / "faces.toml"
    path.write_text(DESCRIPTION, encoding="utf-8")
    faces = open_synthetic(description=str(path))
    expected = sample_parameters(
        64,
        seed=3,
        per_identity=4,
        fixed={"hat": "none"},
        marginals={"Young": 0.75, "yaw": (-45, 45), "hair_colour": {"black": 0.5, "blond": 0.5}},
        correlations={("Male", "Eyeglasses"): 0.5},
    )
    truth = attributes(expected)
    assert faces.table.drop(columns="image_id").equals(truth[faces.table.columns[1:]])
    described = json.loads(json.dumps(faces.provenance))
    assert described["correlations"] == [{"between": ["Male", "Eyeglasses"], "value": 0.5}]
    assert described["marginals"]["yaw"] == [-45, 45]
    assert (described["n"], described["seed"], described["size"]) == (64, 3, 48)
    other = open_synthetic(description=str(path), n=8, seed=4, fixed=("yaw:0",), marginals=("Male:0.5",))
    assert len(other) == 8
    assert (other.table["yaw"] == 0).all()
    assert other.provenance["fixed"] == {"yaw": 0.0}


def test_options_in_words() -> None:
    faces = open_synthetic(
        n=200,
        covariation=False,
        fixed=("light:0", "hat:none", "greyscale:true"),
        marginals=("Eyeglasses:0.25", "yaw:-45..45", "background=outdoors:0.5"),
        correlations=("Male*Eyeglasses:0.3", "AU_12_intensity*pitch:-0.5"),
    )
    assert faces.table["Eyeglasses"].sum() == 50
    assert faces.table["yaw"].between(-45, 45).all()
    assert (faces.table["light"] == 0).all()
    assert not faces.table["Wearing_Hat"].any()
    assert faces.provenance["covariation"] is False
    assert faces.provenance["fixed"] == {"light": 0.0, "hat": "none", "greyscale": True}
    assert len(open_synthetic(identities=3, per_identity=2)) == 6
    assert len(open_synthetic()) == 512


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"fixed": ("yaw",)}, "'fixed' is written as in 'fixed=yaw:0,hat:none'; got 'yaw'."),
        ({"fixed": ("yaw:x",)}, "'x' in 'fixed=yaw:x' is no number."),
        ({"fixed": ("greyscale:1",)}, "'greyscale' is fixed to true or false; got '1'."),
        ({"fixed": ("yaw:1", "yaw:2")}, "'yaw' stands twice in 'fixed'."),
        ({"marginals": ("yaw:1..x",)}, "'x' in 'marginals=yaw:1..x' is no number."),
        ({"correlations": ("Male:0.5",)}, "'correlations' is written as in 'correlations=Male*Eyeglasses:0.6'; got 'Male:0.5'."),
        ({"correlations": ("Male*Young:0.5", "Young*Male:0.1")}, "The correlation of 'Young' and 'Male' is given twice."),
        ({"device": "abacus"}, "Synthetic faces cannot be drawn on the device 'abacus': "),
        ({"size": 20}, "The size of synthetic faces must be an int in [32, 512] pixels; got 20."),
        ({"n": 0}, "The 'n' of synthetic faces must be an int of at least 1; got 0."),
        ({"description": "/nowhere/faces.toml"}, "The description '/nowhere/faces.toml' of synthetic faces cannot be read"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_read(options: dict[str, object], text: str) -> None:
    with pytest.raises(SpecError, match=re.escape(text)):
        open_synthetic(**options)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("n = ", "cannot be read as TOML: "),
        ("seeds = 1", "has 'seeds', which is no option; did you mean 'seed'?"),
        ("n = true", "'n' must be a whole number; got True."),
        ("n = '8'", "'n' must be a whole number; got '8'."),
        ("fixed = 3", "'fixed' must be a table, [fixed]; got 3."),
        ("[correlations]\nvalue = 1", "'correlations' must be an array of tables, [[correlations]]"),
        (
            "[[correlations]]\nbetween = ['Male']\nvalue = 1",
            "must have between = [NAME, NAME] and value = NUMBER",
        ),
        ("correlations = [3]", "must have between = [NAME, NAME] and value = NUMBER; got 3."),
    ],
)
def test_descriptions_that_cannot_be_read(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "faces.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SpecError, match=re.escape(text)):
        open_synthetic(description=str(path))


def test_options_in_a_specification() -> None:
    faces = open_faces("synthetic?n=40&covariation=no&device=cpu&fixed=yaw:0&marginals=Male:0.5")
    assert faces.provenance["covariation"] is False
    with pytest.raises(SpecError, match="'covariation' of 'synthetic' must be yes or no; got 'off'"):
        open_faces("synthetic?n=40&covariation=off")
