"""Material of the games: what is replaced is replaced alone, and masks say where."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from fusiform.errors import DataError, SpecError
from fusiform.faces import (
    CONFINED_PARTS,
    FaceSet,
    InpaintingGame,
    confined_faces,
    conflict_faces,
    expression_faces,
    synthetic,
    synthetic_faces,
    synthetic_inpainting,
)
from fusiform.faces._changed import with_changes
from fusiform.faces._rendered import RenderedFaces
from fusiform.faces.synthetic import FACTORS, PART_FACTORS

SIZE = 48


@pytest.fixture(scope="module")
def game():
    return InpaintingGame.of(synthetic_inpainting(4, ["nose", "mouth"], mates=2, donors=2, size=SIZE, seed=2))


def test_only_the_part_differs():
    table = synthetic.inpainting_triplets(3, ["nose", "eyes", "chin"], mates=1, donors=2, seed=5)
    assert table["role"].tolist() == ["probe", "mate", "inpainted_probe", "inpainted_nonmate"] * 3
    for k, part in enumerate(["nose", "eyes", "chin"]):
        own, new = table.iloc[4 * k : 4 * k + 2], table.iloc[4 * k + 2 : 4 * k + 4]
        differ = {name for name in FACTORS if (own[name].to_numpy() != new[name].to_numpy()).any()}
        assert differ
        assert differ <= set(PART_FACTORS[part])
        # One other person's part in both pictures.
        assert (new[list(PART_FACTORS[part])].nunique() == 1).all()
        assert new["identity"].unique().tolist() == [f"{own['identity'].iloc[0]}_{part}"]
        assert own["identity"].nunique() == 1
    assert table["identity"].nunique() == 6


def test_the_first_triplets_are_the_same_for_every_n():
    options = {"parts": ["nose", "brows"], "mates": 1, "donors": 2, "seed": 1}
    many, few = (synthetic.inpainting_triplets(n, **options) for n in (4, 2))
    pd.testing.assert_frame_equal(many.iloc[: len(few)], few)


def test_triplets(game):
    table = game.faces.table
    assert len(game) == 4
    assert game.triplets["part"].tolist() == ["nose", "mouth", "nose", "mouth"]
    for row in game.triplets.itertuples():
        group = [row.probe, *row.mates]
        new = [row.inpainted_probe, *row.inpainted_nonmates]
        assert table["original"].iloc[new].tolist() == table["image_id"].iloc[group].tolist()
        assert table["part"].iloc[group].isna().all()
        assert (table["part"].iloc[new] == row.part).all()
        assert set(table["identity"].iloc[group]) == {row.subject}
        assert set(table["identity"].iloc[new]) == {f"{row.subject}_{row.part}"}
        assert table["role"].iloc[group].tolist() == ["probe", "mate", "mate"]


def test_masks_are_the_pixels_that_changed(game):
    probes, inpainted, masks = game.images("probe"), game.images("inpainted_probe"), game.masks()
    apart = (probes.int() - inpainted.int()).abs().amax(dim=1)
    assert torch.equal(masks, apart > 2)
    assert masks.flatten(1).any(dim=1).all()
    assert not game.faces.mask("inpainted", game.triplets["probe"].to_numpy()).any()
    every = synthetic_inpainting(1, ["nose"], mates=1, donors=2, size=SIZE, seed=2, faint=0)
    images = every.images([0, 2]).int()
    assert torch.equal(every.mask("inpainted", [2])[0], (images[0] != images[1]).any(dim=0))


def test_masks_move_with_the_images(game):
    half = InpaintingGame.of(game.faces.resized(SIZE // 2))
    assert half.masks().shape == (4, SIZE // 2, SIZE // 2)
    away = half.masks().float().flatten(1).mean(1) - game.masks().float().flatten(1).mean(1)
    assert away.abs().max() < 0.02


def test_references_are_means_of_directions(game):
    embedded = torch.randn(
        len(game.faces), 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    mates, nonmates = game.references(embedded)
    row = game.triplets.iloc[1]
    for found, rows in ((mates[1], row["mates"]), (nonmates[1], row["inpainted_nonmates"])):
        mean = sum(embedded[r] / embedded[r].norm() for r in rows)
        assert torch.allclose(found, mean / mean.norm())
    with pytest.raises(DataError, match="The game has 24 faces; got embeddings of 3"):
        game.references(embedded[:3])


def test_games_of_some_triplets(game):
    assert game.subset([2, 0]).triplets["triplet"].tolist() == ["t00002", "t00000"]
    assert len(game.subset(np.array([True, False, False, True]))) == 2
    assert game.subset([]).masks().shape[0] == 0
    with pytest.raises(DataError, match=r"has 4 triplets, 0 to 3; got \[4\]"):
        game.subset([4])
    with pytest.raises(DataError, match="one probe and one inpainted_probe; got 'mates'"):
        game.images("mates")


def test_images_lost_on_the_way(game):
    keep = np.ones(len(game.faces), dtype=bool)
    keep[0] = False  # the first probe
    keep[[7, 8]] = False  # the mates of the second
    keep[13] = False  # one mate of the third
    left = InpaintingGame.of(game.faces.subset(keep))
    assert left.triplets["subject"].tolist() == game.triplets["subject"].tolist()[2:]
    assert left.triplets["mates"].map(len).tolist() == [1, 2]


def test_sets_that_are_no_material(game):
    with pytest.raises(
        DataError, match="no material of the inpainting game: they lack the column 'identity'"
    ):
        InpaintingGame.of(FaceSet.from_arrays(np.zeros((1, 3, 8, 8), np.uint8)))
    with pytest.raises(DataError, match="hold no whole triplet"):
        InpaintingGame.of(game.faces.subset([0, 1]))
    bare = FaceSet.from_arrays(game.faces.images(), game.faces.table, game.faces.schema)
    with pytest.raises(DataError, match="lack the mask 'inpainted'"):
        InpaintingGame.of(bare)


@pytest.mark.parametrize("part", ["eyeglasses", "nose", "mouth"])
def test_evidence_is_where_classes_differ(part):
    faces = confined_faces(4, part, size=SIZE, seed=3)
    masks = faces.mask("evidence")
    assert masks.flatten(1).any(dim=1).all()
    assert masks.float().mean() < 0.15
    assert sorted(faces.table["class"]) == [f"{part}_0"] * 2 + [f"{part}_1"] * 2
    if part == "eyeglasses":
        worn = faces.mask("glasses")
        assert torch.equal(
            worn.flatten(1).any(dim=1), torch.tensor((faces.table["class"] == "eyeglasses_1").tolist())
        )
        # Where glasses are, they are seen, but for lenses that hide nothing.
        assert (masks & worn).sum() > 0.9 * worn.sum()


def test_evidence_is_empty_where_the_part_cannot_be_told():
    """Pictures that do not show the class have no evidence, whatever else they show."""
    table = synthetic.confined(2, "nose", seed=1)
    same = with_changes(synthetic_faces(table, size=SIZE), {"evidence": [RenderedFaces(table, SIZE).read]})
    assert not same.mask("evidence").any()


def test_evidence_among_three_classes():
    faces = confined_faces(3, "mouth", classes=3, size=SIZE, seed=3)
    one = confined_faces(3, "mouth", classes=3, size=SIZE, seed=3, faint=0).mask("evidence")
    assert sorted(faces.table["class"]) == ["mouth_0", "mouth_1", "mouth_2"]
    assert (one | ~faces.mask("evidence")).all()


def test_twins_differ_in_the_class_alone():
    faces = confined_faces(3, "nose", twins=True, size=SIZE, seed=4)
    table = faces.table
    assert len(table) == 6
    assert table["identity"].iloc[::2].tolist() == table["identity"].iloc[1::2].tolist()
    assert (table["class"].iloc[::2].to_numpy() != table["class"].iloc[1::2].to_numpy()).all()
    images = faces.images().int()
    apart = (images[::2] - images[1::2]).abs().amax(dim=1) > 2
    assert torch.equal(apart, faces.mask("evidence")[::2])
    assert torch.equal(faces.mask("evidence")[::2], faces.mask("evidence")[1::2])
    moods = expression_faces(2, twins=True, shown="eyes", size=SIZE).table
    assert sorted(moods["class"].iloc[:2]) == ["anger", "surprise"]
    assert moods["identity"].iloc[0] == moods["identity"].iloc[1]
    assert (moods["mouth_expression"] == "neutral").all()


def test_heads_are_turned_little():
    assert confined_faces(12, "nose", size=SIZE).table["yaw"].abs().max() <= synthetic.MAX_YAW_DEG


def test_conflicts():
    faces = conflict_faces(6, ("surprise", "sadness", "fear"), size=SIZE, seed=1)
    table = faces.table
    assert (table["eyes_expression"] != table["mouth_expression"]).all()
    assert len(set(zip(table["eyes_expression"], table["mouth_expression"], strict=True))) == 6
    eyes, mouth = faces.mask("eyes_expression"), faces.mask("mouth_expression")
    assert eyes.flatten(1).any(dim=1).all()
    assert mouth.flatten(1).any(dim=1).all()
    # What eyes tell lies above what the mouth tells.
    height = torch.arange(SIZE, dtype=torch.float32)[None, :, None]
    above, below = ((m * height).sum((1, 2)) / m.sum((1, 2)) for m in (eyes.float(), mouth.float()))
    assert (above + SIZE / 8 < below).all()
    assert {"eyes", "brows", "mouth"} <= set(faces.parts)


def test_expressions_show_where_they_should():
    faces = expression_faces(12, size=SIZE, seed=1)
    table = faces.table
    kinds = pd.Series(
        np.select(
            [table["mouth_expression"] == "neutral", table["eyes_expression"] == "neutral"],
            ["eyes", "mouth"],
            "both",
        )
    )
    assert pd.crosstab(table["class"], kinds).to_numpy().tolist() == [[2, 2, 2], [2, 2, 2]]
    for place in ("eyes", "mouth"):
        shown = table[f"{place}_expression"]
        assert shown[shown != "neutral"].eq(table["class"][shown != "neutral"]).all()
        seen = faces.mask(f"{place}_expression").flatten(1).any(dim=1).numpy()
        assert (seen == (shown != "neutral").to_numpy()).all()


def test_sets_can_be_pickled():
    faces = confined_faces(2, "nose", size=SIZE)
    again = pickle.loads(pickle.dumps(faces))
    assert torch.equal(again.mask("evidence"), faces.mask("evidence"))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: synthetic_inpainting(1, ["noze"]), "no part 'noze' to replace; did you mean 'nose'"),
        (lambda: synthetic_inpainting(1, []), "needs at least one part"),
        (lambda: synthetic_inpainting(1, mates=0), "'mates' of synthetic faces must be an int of at least 1"),
        (lambda: confined_faces(2, "eyeglases"), "confined to 'eyeglases'; did you mean 'eyeglasses'"),
        (lambda: confined_faces(2, "eyeglasses", classes=3), "worn or not, two classes; got classes=3"),
        (lambda: conflict_faces(2, ["surprise"]), r"two or more, all different; got \['surprise'\]"),
        (
            lambda: conflict_faces(2, ["surprise", "suprise"]),
            "no expression 'suprise'; did you mean 'surprise'",
        ),
        (lambda: conflict_faces(2, ["surprise", "speech"]), "'speech' does not show at both eyes and mouth"),
        (lambda: expression_faces(2, shown="nose"), "An expression shows at both, eyes, mouth; got 'nose'"),
        (lambda: expression_faces(2, shown=[]), "must show somewhere"),
        (lambda: conflict_faces(2, size=8), r"in \[32, 512\] pixels; got 8"),
    ],
)
def test_what_cannot_be_made(make, text):
    with pytest.raises(SpecError, match=text):
        make()


def test_parts_are_named_once():
    assert len(set(CONFINED_PARTS)) == len(CONFINED_PARTS)
    assert "eyeglasses" in CONFINED_PARTS
