"""Which images and attributes are studied, in which encodings, and what is trained together."""

import numpy as np
import pandas as pd
import pytest

from fusiform.errors import DataError
from fusiform.faces import Attribute
from fusiform.probing import expressivities
from fusiform.studies.expressivity._asked import Known, ask, draw_images, few
from fusiform.studies.expressivity._request import ExpressivityRequest

SCHEMA = {
    "identity": Attribute("identity"),
    "Male": Attribute("binary"),
    "race": Attribute("categorical"),
    "yaw": Attribute("continuous", "deg"),
    "PR_MALE": Attribute("continuous", None, "probability of 'man'", predicted_by="a network"),
    "partition": Attribute("categorical"),
}


def request(**options) -> ExpressivityRequest:
    return ExpressivityRequest.from_mapping({"network": "demo", "faces": "x", **options})


def known(images_a_person: list[int], seed: int = 0) -> Known:
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(len(images_a_person)), images_a_person)
    who = rng.permutation(who)
    n = len(who)
    table = pd.DataFrame(
        {
            "identity": pd.Series([f"p{k}" for k in who], dtype="string"),
            "Male": pd.array(who % 2 == 0, dtype="boolean"),
            "race": pd.Series(rng.choice(["a", "b", "c"], n), dtype="string"),
            "yaw": rng.normal(size=n),
            "PR_MALE": rng.random(n),
            "partition": pd.Series(["train"] * n, dtype="string"),
        }
    )
    return Known(table, SCHEMA, "identity", "made up")


def test_every_kind_has_its_encoding():
    found = ask(known([12] * 10), None, request())
    assert {e.key for piece in found.pieces for e in piece.entries} == {
        "identity [categorical]",
        "identity [numeric]",
        "Male [categorical]",
        "race [categorical]",
        "yaw [ranks]",
        "PR_MALE [probability]",
    }
    assert found.attributes == ("identity", "Male", "race", "yaw", "PR_MALE")  # no published split
    raw = {e.key for piece in ask(known([12] * 10), None, request(raw=True)).pieces for e in piece.entries}
    assert {"identity [raw]", "yaw [raw]", "PR_MALE [raw]", "yaw [ranks]"} <= raw


def test_people_are_groups_and_every_encoding_of_identity_names_them():
    found = ask(known([12] * 10), None, request(raw=True))
    (piece,) = found.pieces
    who = found.known.table.identity.iloc[piece.rows]
    assert len(np.unique(piece.groups)) == 10
    assert pd.Series(piece.groups).groupby(who.to_numpy()).nunique().eq(1).all()
    encoded = {entry.key: entry.encoded for entry in piece.entries}
    for encoding in ("categorical", "numeric", "raw"):
        classes = encoded[f"identity [{encoding}]"].classes
        assert pd.Series(classes).groupby(who.to_numpy()).nunique().eq(1).all()
    # The estimators split identity by image, as they raise where nobody is both trained on and held out.
    features = np.random.default_rng(0).normal(size=(120, 2))
    by_image = expressivities(features, encoded, estimator="gaussian", groups=piece.groups)
    assert by_image["identity [raw]"].n == 120


@pytest.mark.parametrize(("people", "apart"), [(2, False), (3, True)])
def test_people_are_not_kept_apart_where_they_are_fewer_than_three(people, apart):
    (piece,) = ask(known([60] * people), ["yaw"], request()).pieces
    assert (piece.groups is not None) == apart
    assert piece.entries[0].note == ("" if apart else "too few people to keep them apart: split by image")


@pytest.mark.parametrize(
    "names",
    [
        [76561198000000000 + k for k in range(9)],
        [10**13 + k for k in range(9)],
        ["1", "01", "001", "2", "02", "3", "03", "4", "04"],
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 1e9],
        ["1", "2", "3", "4", "5", "6", "7", "8", "inf"],
        [f"p{k}" for k in range(9)],
    ],
)
def test_people_whose_numbers_are_large_or_alike_stay_apart(names):
    some = known([12] * 9)
    who = some.table.identity.str[1:].astype(int)
    some.table["identity"] = pd.Series([names[k] for k in who])
    (piece,) = ask(some, ["identity"], request(raw=True)).pieces
    assert [e.encoded.encoding for e in piece.entries] == ["categorical", "numeric", "raw"]
    for entry in piece.entries:
        assert len(np.unique(entry.encoded.values, axis=0)) == 9
        assert pd.Series(entry.encoded.classes).groupby(who.to_numpy()).nunique().eq(1).all()
        assert (entry.encoded.note, entry.encoded.entropy) == ("", pytest.approx(np.log(9)))


def test_small_numbers_of_people_are_shown_as_they_are():
    some = known([12] * 9)
    who = 7 * some.table.identity.str[1:].astype(int)
    some.table["identity"] = who
    (piece,) = ask(some, ["identity"], request(raw=True)).pieces
    np.testing.assert_array_equal(piece.entries[2].encoded.values[:, 0], who.iloc[piece.rows])
    numeric = piece.entries[1].encoded.values[:, 0]
    assert abs(np.corrcoef(numeric, who.iloc[piece.rows])[0, 1]) == pytest.approx(1)


def test_a_sparse_attribute_of_people_who_cannot_be_kept_apart_is_split_by_image():
    some = known([40, 1, 1])
    found = ask(some, ["yaw", "Male"], request())
    assert all(piece.groups is None for piece in found.pieces)
    for piece in found.pieces:
        values = np.zeros((len(piece.rows), 2), dtype=np.float32)
        values[:, 0] = np.arange(len(piece.rows))
        encoded = {entry.key: entry.encoded for entry in piece.entries}
        expressivities(values, encoded, estimator="gaussian", groups=piece.groups)
        assert "too few people" in piece.entries[0].note


def test_attributes_with_the_same_gaps_are_trained_together():
    some = known([12] * 10)
    some.table.loc[:19, ["yaw", "PR_MALE"]] = np.nan
    some.table.loc[30:49, "race"] = pd.NA
    pieces = {
        tuple(sorted({e.attribute for e in piece.entries})): len(piece.rows)
        for piece in ask(some, None, request()).pieces
    }
    assert pieces == {("Male", "identity"): 120, ("PR_MALE", "yaw"): 100, ("race",): 100}


def test_identity_is_studied_on_people_with_enough_images():
    found = ask(known([15, 12, 10, 9, 3]), ["identity", "yaw"], request())
    identity = next(p for p in found.pieces if p.entries[0].attribute == "identity")
    people = found.known.table.identity.iloc[identity.rows]
    assert sorted(people.unique()) == ["p0", "p1", "p2"]
    assert identity.entries[0].note == "2 people with fewer than 10 images are left out"
    assert np.exp(identity.entries[0].encoded.entropy) <= 3


@pytest.mark.parametrize(
    ("images_a_person", "says"),
    [([9] * 5, "nobody has 10 images"), ([20, 9, 9], "one person only has 10 images")],
)
def test_identity_is_left_out_where_fewer_than_two_people_have_enough_images(images_a_person, says):
    found = ask(known(images_a_person), None, request())
    assert "identity" not in found.attributes
    assert says in found.left_out["identity"]
    assert "--identity-anyway" in found.left_out["identity"]


def test_identity_anyway_says_that_the_number_has_no_meaning():
    found = ask(known([9, 9, 4, 2, 1]), ["identity"], request(identity_anyway=True))
    (piece,) = found.pieces
    assert len(piece.rows) == 24
    assert "as few as 2 images" in piece.entries[0].note
    assert "has no meaning" in piece.entries[0].note


def test_at_most_so_many_images_with_whole_people_first():
    some = known([20] * 10 + [1] * 300)
    rows = draw_images(some, None, request(images=100))
    assert len(rows) == 100
    counts = some.table.identity.iloc[rows].value_counts()
    assert (counts >= 10).sum() == 5  # people are whole where there is room
    assert (rows == draw_images(some, None, request(images=100))).all()
    assert (rows != draw_images(some, None, request(images=100, seed=1))).any()
    plain = draw_images(some, ["yaw"], request(images=100))
    assert some.table.identity.iloc[plain].value_counts().max() < 20
    assert len(draw_images(some, None, request(images=9999))) == len(some)


def test_the_last_person_drawn_keeps_enough_images():
    some = known([15] * 10)
    rows = draw_images(some, None, request(images=100, min_images=10))
    counts = some.table.identity.iloc[rows].value_counts()
    assert sorted(counts[counts >= 10]) == [10, 15, 15, 15, 15, 15, 15]


def test_a_quick_look_takes_the_papers_attributes_first():
    some = known([12] * 10)
    assert few(some, None, 3) == ["identity", "Male", "yaw"]
    assert few(some, None, 99) == ["identity", "Male", "yaw", "race", "PR_MALE"]
    assert few(some, ["race"], 1) == ["race"]
    assert few(some, None, None) is None


def test_a_constant_attribute_is_studied_and_said_to_be_constant():
    some = known([12] * 10)
    some.table["Male"] = pd.array([True] * 120, dtype="boolean")
    (piece,) = ask(some, ["Male"], request()).pieces
    assert "constant" in piece.entries[0].encoded.note


def test_bad_attributes():
    some = known([12] * 10)
    with pytest.raises(DataError, match="'made up' has no attribute 'yow'; did you mean 'yaw'"):
        ask(some, ["yow"], request())
    with pytest.raises(DataError, match="No attribute was asked for"):
        ask(some, [], request())
    some.table.loc[10:, "yaw"] = np.nan
    with pytest.raises(
        DataError, match=r"No attribute of 'made up' can be studied .yaw: known of 10 images; 20"
    ):
        ask(some, ["yaw"], request())
