import numpy as np
import pandas as pd
import pytest
from tests.studies.layers.tables import ATTRIBUTES, measured_tables, truth

from fusiform.errors import SpecError
from fusiform.faces.synthetic import ATTRIBUTES as SYNTHETIC
from fusiform.studies.layers._best import CELEBA
from fusiform.studies.layers._families import FAMILIES, families, family_curves, unknown_attributes


def test_built_in_families_name_known_attributes_once_each():
    assert set(FAMILIES["attribute"]) <= CELEBA | set(SYNTHETIC)
    assert not FAMILIES.duplicated(["family", "attribute"]).any()
    biometric = FAMILIES[FAMILIES["family"] != "hair colour"]
    assert not biometric["attribute"].duplicated().any()
    assert set(FAMILIES["basis"]) == {"thesis", "reading", "synthetic"}


def test_a_mapping_adds_replaces_and_removes():
    table = families(
        {"eyes": ["Narrow_Eyes", "Narrow_Eyes"], "soft biometrics": ["Bangs"], "hair colour": []}
    )
    members = table.groupby("family")["attribute"].apply(list).to_dict()
    assert members["eyes"] == ["Narrow_Eyes"]
    assert members["soft biometrics"] == ["Bangs"]
    assert "hair colour" not in members
    assert members["primary biometrics"] == ["Big_Lips", "Big_Nose", "Oval_Face", "Pointy_Nose"]
    assert table[table["basis"] == "given"]["attribute"].tolist() == ["Narrow_Eyes", "Bangs"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.toml", '"eyes" = ["Narrow_Eyes", "Eyeglasses"]\n"soft biometrics" = []\n'),
        ("f.csv", "family,attribute\neyes,Narrow_Eyes\neyes, Eyeglasses\nsoft biometrics,\n"),
    ],
)
def test_files_say_the_same_as_a_mapping(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    expected = families({"eyes": ["Narrow_Eyes", "Eyeglasses"], "soft biometrics": []})
    pd.testing.assert_frame_equal(families(tmp_path / name), expected)
    pd.testing.assert_frame_equal(families(str(tmp_path / name)), expected)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("f.json", "{}", r"read from \.toml and \.csv files; got"),
        ("f.toml", "eyes = ", "cannot be read"),
        (
            "f.toml",
            'eyes = "Smiling"',
            r"Family 'eyes' in .*must be a list of attribute names; got 'Smiling'",
        ),
        ("f.toml", "[eyes]\na = 1", "Family 'eyes' in"),
        ("f.toml", "eyes = [1]", r"got \[1\]"),
        ("f.csv", "a,b\n1,2\n", r"columns 'family' and 'attribute'; it has \['a', 'b'\]"),
        ("f.csv", "", "cannot be read"),
    ],
)
def test_bad_files_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=message):
        families(tmp_path / name)


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path):
    with pytest.raises(SpecError, match="cannot be read"):
        families(tmp_path / "none.toml")
    (tmp_path / "f.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="cannot be read"):
        families(tmp_path / "f.csv")
    with pytest.raises(SpecError, match="Family 'eyes' in families must be a list"):
        families({"eyes": "Smiling"})


def test_only_given_attributes_count_as_unknown():
    table = families({"eyes": ["Narow_Eyes", "Eyeglasses"]})
    assert unknown_attributes(table, ["Eyeglasses"]) == ["Narow_Eyes"]
    assert unknown_attributes(families(), []) == []


def test_curves_average_the_family_at_every_layer():
    probes = measured_tables()["probes"]
    curves = family_curves(probes, families({"pair": ["Smiling", "Narrow_Eyes", "yaw"]}))
    rows = curves[(curves["family"] == "pair") & (curves["network"] == "objects") & (curves["layer"] == "b3")]
    rows = rows[rows["unit_kind"] == "layer"].set_index("metric")
    expected = np.mean([truth(a, "b3", "objects") for a in ("Smiling", "Narrow_Eyes")])
    assert rows.loc["balanced_accuracy", "value"] == pytest.approx(expected, abs=0.006)
    assert rows.loc["balanced_accuracy", "n_attributes"] == 2
    # R² is not averaged with accuracies, and one attribute has no interval.
    assert rows.loc["r2", "value"] == pytest.approx(truth("yaw", "b3", "objects"), abs=0.01)
    assert rows.loc["r2", ["sd", "lower", "upper"]].isna().all()
    spread = rows.loc["balanced_accuracy"]
    assert spread["lower"] < spread["value"] < spread["upper"]
    assert set(curves["unit_kind"]) == {"layer", "channels", "neurons"}
    assert set(curves["control"]) == {True, False}


def test_curves_of_unknown_attributes_are_empty():
    probes = measured_tables()["probes"]
    assert set(ATTRIBUTES).isdisjoint({"Bald"})
    curves = family_curves(probes, families({"only": ["Bald"]}).query("family == 'only'"))
    assert curves.empty
    assert "value" in curves
