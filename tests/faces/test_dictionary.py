"""The Face Dictionary: planted labels and masks, an ellipse drawn pixel by pixel, what is wrong named and counted."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from fusiform.errors import DataError, RunError, SpecError
from fusiform.faces import (
    Category,
    Concept,
    ConceptTable,
    FaceSet,
    build_dictionary,
    open_dictionary,
    open_faces,
    transformed,
    with_points,
)
from fusiform.faces.dictionary import _masks
from fusiform.faces.dictionary._ellipses import CONFIDENCE, confidence_ellipses, draw_ellipses
from fusiform.faces.dictionary._points import landmark_groups

TABLE = ConceptTable(
    (
        Concept("nose", "part", "Nose"),
        Concept("Smiling", "attribute", "Mouth", ("mouth",)),
        Concept("Eyeglasses", "attribute", "Eye", ("glasses",)),
    ),
    (Category("Gender", ("Male", "Female"), columns=("Male",)),),
)


def boxes(n, size, *corners):
    """Masks (n, size, size), each one box: top, left, bottom, right, or empty where None."""
    out = np.zeros((n, size, size), dtype=bool)
    for i, corner in enumerate(corners):
        if corner is not None:
            top, left, bottom, right = corner
            out[i, top:bottom, left:right] = True
    return out


@pytest.fixture
def planted():
    """Six faces of 20 px: whose nose, mouth and glasses lie where is known, one smile without a mouth."""
    table = pd.DataFrame(
        {
            "image_id": list("abcdef"),
            "Smiling": pd.array([True, True, False, None, True, False], dtype="boolean"),
            "Male": [1, 1, 1, 1, -1, -1],
        }
    )
    masks = {
        "nose": boxes(6, 20, *[(8, 9, 12, 11)] * 6),
        "mouth": boxes(6, 20, (14, 6, 17, 14), None, *[(14, 6, 17, 14)] * 4),
        "glasses": boxes(6, 20, (5, 3, 8, 17)),
    }
    images = np.random.default_rng(0).integers(0, 255, (6, 3, 20, 20), dtype=np.uint8)
    return FaceSet.from_arrays(images, table, masks=masks, name="planted")


@pytest.fixture(scope="module")
def synthetic():
    return build_dictionary(open_faces("synthetic?n=24&size=48&seed=3&identities=24"))


# ------------------------------------------------------------------------------------------------ the table


def test_the_published_table_counts_as_the_paper_does():
    table = ConceptTable.published()
    kinds = pd.Series([c.kind for c in table.local]).value_counts().to_dict()
    assert kinds == {"action unit": 12, "part": 8, "attribute": 18}
    assert {region: len(names) for region, names in table.regions.items()} == {
        "Eye": 12, "Cheek": 8, "Nose": 4, "Mouth": 10, "Chin": 4,
    }  # fmt: skip
    assert table.regions["Nose"] == ("AU_9", "nose", "Big_Nose", "Pointy_Nose")
    assert {c.name: (len(c.groups), c.threshold) for c in table.categories} == {
        "Age": (4, 0.3), "Gender": (2, 0.55), "Ethnicity": (4, 0.3), "Skin_tone": (2, 0.55),
    }  # fmt: skip
    # Every concept can be drawn from landmarks.
    assert all(c.landmarks for c in table.local)


def test_a_table_is_written_and_read_back(tmp_path):
    published = ConceptTable.published()
    published.table.to_csv(tmp_path / "all.csv", index=False)
    assert ConceptTable.read(tmp_path / "all.csv") == published


def test_a_toml_table_extends_the_published_one(tmp_path):
    (tmp_path / "mine.toml").write_text(
        '[[local]]\nname = "Glabella"\nkind = "part"\nregion = "Eye"\nlandmarks = "21 22 27 28"\n'
        '[[category]]\nname = "Colour"\ngroups = ["grey", "coloured", "tinted"]\n',
        encoding="utf-8",
    )
    table = ConceptTable.published().extended(ConceptTable.read(tmp_path / "mine.toml"))
    assert table.regions["Eye"][-1] == "Glabella"
    assert table.categories[-1] == Category("Colour", ("grey", "coloured", "tinted"), 0.4)
    assert table.categories[-1].columns == ("Colour",)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: Concept("a", "colour", "Eye"),
            "its kind must be one of action unit, part, attribute; got 'colour'",
        ),
        (lambda: Concept("a/b", "part", "Eye"), "a folder's name too, and a region; got name 'a/b'"),
        (
            lambda: Concept("a", "part", "Eye", landmarks="1 2 68"),
            r"numbers 0 to 67.*got '1 2 68' \(landmark 68\)",
        ),
        (lambda: Concept("a", "part", "Eye", landmarks="1 2 x"), r"'x' is no landmark"),
        (lambda: Concept("a", "part", "Eye", landmarks="1 2"), r"2 points, an ellipse needs 3"),
        (lambda: Category("a", ("one",)), r"at least two groups .* got 'a' with \['one'\]"),
        (lambda: Category("a", ("x", "y"), 1.5), "its threshold must lie between 0 and 1; got 1.5"),
        (lambda: Category("a", ("x", "y"), bounds=(1, 2)), r"2 groups have 1 bounds between them"),
        (
            lambda: ConceptTable((Concept("a", "part", "E"), Concept("a", "part", "F"))),
            "'a' is there more than once",
        ),
    ],
)
def test_what_cannot_be_in_a_table_is_refused(make, says):
    with pytest.raises(SpecError, match=says):
        make()


def test_a_table_with_a_wrong_line_names_it(tmp_path):
    (tmp_path / "t.csv").write_text("concept,kind,region\nnose,part,Nose\nsmile,feeling,Mouth\n")
    with pytest.raises(SpecError, match=r"Line 3 of .*t\.csv': Concept 'smile': its kind must be"):
        ConceptTable.read(tmp_path / "t.csv")
    (tmp_path / "t.toml").write_text('[[local]]\nname = "a"\nplace = "Eye"\n')
    with pytest.raises(SpecError, match=r"entry 'a': .*Fields are name, kind, region, parts, landmarks"):
        ConceptTable.read(tmp_path / "t.toml")


# ------------------------------------------------------------------------------------------------ ellipses


def test_the_ellipse_holds_its_share_of_the_gaussian():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(200_000, 2)) @ np.array([[8.0, 3.0], [0.0, 5.0]]) + [40, 60]
    (centre,), (matrix,) = confidence_ellipses(points[None], confidence=0.8)
    away = points - centre
    inside = np.einsum("ni,ij,nj->n", away, matrix, away) <= 1
    assert inside.mean() == pytest.approx(0.8, abs=0.005)
    assert np.allclose(np.linalg.inv(matrix) / chi2(2).ppf(0.8), np.cov(points.T), rtol=1e-3)


def test_an_ellipse_is_drawn_as_pixel_by_pixel():
    points = np.random.default_rng(2).uniform(5, 45, (68, 2))
    groups = landmark_groups("3-9 12/14 | 36 40-44", "x")
    (mask,) = draw_ellipses(points[None], groups, [(50, 40)])
    apart = np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0))
    slow = np.zeros((50, 40), dtype=bool)
    for chosen in (
        np.vstack([points[3:10], (points[12] + points[14])[None] / 2]),
        np.vstack([points[36:37], points[40:45]]),
    ):
        (centre,), (matrix,) = confidence_ellipses(chosen[None], apart, CONFIDENCE)
        for y in range(50):
            for x in range(40):
                away = np.array([x, y]) - centre
                slow[y, x] |= away @ matrix @ away <= 1
    assert slow.any()
    assert (mask == slow).all()


def test_points_on_a_line_still_make_an_area():
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = (10, 20), (30, 20)
    points[17:22] = np.stack([np.linspace(5, 15, 5), np.full(5, 12.0)], axis=1)
    (mask,) = draw_ellipses(points[None], landmark_groups("17-21", "x"), [(40, 40)])
    assert mask[12, 5:16].all()
    assert mask.sum() > 25
    points[0] = np.nan
    assert not draw_ellipses(points[None], landmark_groups("17-21", "x"), [(40, 40)])[0].any()


def test_ellipses_move_with_the_face():
    faces = open_faces("synthetic?n=3&size=96&seed=5")
    built = build_dictionary(faces, masks="ellipses")
    moved = built.on(built.faces.aligned("arcface_112"))
    points = moved.faces.landmarks.astype(float)
    k = moved.concepts.names.index("mouth")
    for i in range(3):
        y, x = np.nonzero(moved.masks([i])[0, k].numpy())
        assert np.abs([x.mean(), y.mean()] - points[i, 48:60].mean(0)).max() < 1.0
    # The same set aligned by itself, which never saw the dictionary.
    again = built.on(faces.aligned("arcface_112"))
    assert (again.masks() == moved.masks()).all()


# ------------------------------------------------------------------------------------------------ building


def test_labels_masks_and_groups_are_the_planted_ones(planted):
    built = build_dictionary(planted, concepts=TABLE, balance=False)
    assert built.concepts.names == ("nose", "Smiling", "Eyeglasses")
    assert built.present["nose"].all()
    # b smiles without a mouth, d is not labelled.
    assert built.present["Smiling"].tolist() == [True, False, False, False, True, False]
    assert built.known["Smiling"].tolist() == [True, False, True, False, True, True]
    # Eyeglasses have no column; their own mask tells, and an empty one says that there are none.
    assert built.present["Eyeglasses"].tolist() == [True] + [False] * 5
    assert built.known["Eyeglasses"].all()
    assert built.groups["Gender"].tolist() == [0, 0, 0, 0, 1, 1]
    assert built.problems.values.tolist() == [["Smiling", "b", "its mask is empty"]]
    masks = built.masks([0, 4])
    assert masks.shape == (2, 3, 20, 20)
    assert (masks[0, 1].numpy() == boxes(1, 20, (14, 6, 17, 14))[0]).all()
    assert not masks[1, 2].any()
    histogram = built.histogram.set_index("concept")
    assert histogram.loc["nose", ["images", "pixels"]].tolist() == [6, 6 * 8]
    assert histogram.loc["Smiling", ["images", "pixels", "drawn"]].tolist() == [2, 48, "mouth"]
    assert histogram.loc["Male", ["images", "region"]].tolist() == [4, "Gender"]


def test_balancing_draws_as_many_of_each_group_with_a_seed(planted):
    first, again, other = (
        build_dictionary(planted, concepts=TABLE, seed=seed).groups["Gender"] for seed in (0, 0, 2)
    )
    assert first.value_counts().to_dict() == {0: 2, 1: 2, -1: 2}
    assert first.equals(again)
    assert not first.equals(other)
    assert build_dictionary(planted, concepts=TABLE, seed=2).card["settings"]["seed"] == 2


def test_synthetic_faces_have_all_concepts_as_they_are_rendered(synthetic):
    rows = list(range(8))
    rendering = open_faces("synthetic?n=24&size=48&seed=3&identities=24")._view.source._render(rows)
    # Small faces hide some concepts; what is there is exact.
    assert len(synthetic.concepts.local) >= 36
    for k, concept in enumerate(synthetic.concepts.names):
        present = synthetic.present[concept].to_numpy()[rows]
        expected = rendering.mask(concept).numpy() & present[:, None, None]
        assert (synthetic.masks(rows)[:, k].numpy() == expected).all(), concept
        assert (synthetic.faces.mask(concept, rows).numpy() == expected).all(), concept
    said = synthetic.histogram.set_index("concept")["note"]
    assert said["white"] == "no column 'ethnicity' or 'race'"


def test_a_store_without_room_changes_nothing(synthetic, monkeypatch):
    monkeypatch.setattr(_masks, "KEPT_BYTES", 0)
    bare = build_dictionary(open_faces("synthetic?n=24&size=48&seed=3&identities=24"))
    assert bare._found.kept.get((0, 0)) is None
    assert (bare.masks([1, 9, 2]) == synthetic.masks([1, 9, 2])).all()


def test_another_view_moves_the_masks_and_drops_what_it_cuts_off(synthetic):
    view = transformed(synthetic.faces.subset([5, 2, 7]), shift=0.3, seed=4)
    moved = synthetic.on(view)
    assert moved.faces.table["image_id"].tolist() == view.table["image_id"].tolist()
    for k, concept in enumerate(moved.concepts.names):
        expected = view.mask(concept).numpy()
        assert (moved.masks()[:, k].numpy() == expected).all()
        assert (moved.present[concept].to_numpy() == expected.any(axis=(1, 2))).all()
    with pytest.raises(DataError, match=r"None of the 2 images of 'arrays' is in the dictionary"):
        synthetic.on(FaceSet.from_arrays(np.zeros((2, 3, 48, 48), np.uint8)))
    bare = FaceSet.from_arrays(
        np.zeros((1, 3, 48, 48), np.uint8), pd.DataFrame({"image_id": [synthetic.faces.table["image_id"][0]]})
    )
    with pytest.raises(
        DataError, match=r"cannot show where 'AU_1' is: .*neither these masks nor 68 landmarks"
    ):
        synthetic.on(bare)


def test_masks_outside_the_face_and_images_without_landmarks_are_named():
    points = np.full((4, 68, 2), 30.0) + np.random.default_rng(0).uniform(-6, 6, (4, 68, 2))
    points[2] = np.nan
    masks = {"nose": boxes(4, 100, (28, 28, 33, 33), (90, 90, 97, 97), (28, 28, 33, 33), (28, 28, 33, 33))}
    faces = FaceSet.from_arrays(np.zeros((4, 3, 100, 100), np.uint8), points=points, masks=masks)
    table = ConceptTable(
        (Concept("nose", "part", "Nose"), Concept("mouth", "part", "Mouth", landmarks="48-59"))
    )
    built = build_dictionary(faces, concepts=table)
    assert built.problems.fillna("").values.tolist() == [
        ["", "2", "it has not all 68 landmarks, so no ellipse is drawn"],
        ["nose", "1", "its mask lies outside the face"],
    ]
    assert built.present["nose"].tolist() == [True, False, True, True]
    assert built.known["mouth"].tolist() == built.present["mouth"].tolist() == [True, True, False, True]


def test_five_landmarks_are_told_to_be_too_few(planted):
    faces = with_points(planted, np.random.default_rng(0).uniform(5, 15, (6, 5, 2)))
    built = build_dictionary(faces)
    assert "5 an image; ellipses need 68" in built.card["settings"]["landmarks"]
    assert "predict_landmarks" in built.card["settings"]["landmarks"]
    assert (
        built.histogram.set_index("concept").loc["left_cheek", "note"].startswith("no mask, and 5 landmarks")
    )
    with pytest.raises(
        DataError, match=r"Nothing is left for a Face Dictionary of 'planted'.*the set has no mask"
    ):
        build_dictionary(faces, masks="exact", concepts=ConceptTable((Concept("iris", "part", "Eye"),)))
    with pytest.raises(SpecError, match="'masks' must be 'auto', 'exact' or 'ellipses'; got 'drawn'"):
        build_dictionary(faces, masks="drawn")


def test_ages_races_and_a_category_of_ones_own(planted):
    faces = planted
    faces = FaceSet.from_arrays(
        faces.images(),
        pd.DataFrame(
            {
                "age": [5.0, 20.0, 39.9, 60.0, np.nan, 45.0],
                "race": ["White", "East Asian", "Indian", "Latino_Hispanic", "Black", "White"],
                "grey": [True, False, True, False, True, False],
                "sex": ["male", "female", "male", "female", "male", "female"],
            }
        ),
    )
    table = ConceptTable.published().with_category(
        Category("Colour", ("grey_scale", "colour"), columns=("grey",))
    )
    groups = build_dictionary(faces, concepts=table, balance=False).groups
    assert groups["Age"].tolist() == [0, 1, 1, 3, -1, 2]
    assert groups["Ethnicity"].tolist() == [0, 2, 3, -1, 1, 0]
    assert groups["Gender"].tolist() == [0, 1, 0, 1, 0, 1]
    assert groups["Colour"].tolist() == [0, 1, 0, 1, 0, 1]


def test_a_group_without_images_leaves_the_category_with_another_threshold():
    ages = pd.DataFrame({"age": [5.0, 25.0, 30.0, 50.0, 55.0, 7.0]})
    built = build_dictionary(FaceSet.from_arrays(np.zeros((6, 3, 8, 8), np.uint8), ages), balance=False)
    (age,) = built.concepts.categories
    assert age.groups == ("zero_to_twenty", "twenty_to_forty", "forty_to_sixty")
    assert age.threshold == pytest.approx(0.4)
    assert built.groups["Age"].tolist() == [0, 1, 1, 2, 2, 0]
    noted = built.problems.set_index("concept")["reason"]
    assert noted["sixty_plus"] == "no image is in this group of Age"


@pytest.mark.parametrize(
    ("value", "group"), [("0-2", 0), ("10-19", 0), ("20-29", 1), ("15-24", -1), ("more than 70", 3)]
)
def test_age_bands_of_published_tables(value, group):
    from fusiform.faces.dictionary._groups import _of_value

    assert _of_value(value, ConceptTable.published().categories[0]) == group


# ------------------------------------------------------------------------------------------------ on disk


def test_a_saved_dictionary_is_read_back_as_it_was(synthetic, tmp_path):
    folder = synthetic.save(tmp_path / "d")
    again = open_dictionary(folder)
    assert (again.masks() == synthetic.masks()).all()
    assert (again.faces.images() == synthetic.faces.images()).all()
    for name in ("present", "known", "groups", "problems"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(synthetic, name))
    assert again.concepts == synthetic.concepts
    beside = ["concept", "kind", "region", "images", "pixels", "note"]
    pd.testing.assert_frame_equal(again.histogram[beside], synthetic.histogram[beside])
    # A second save of the same does nothing; one of another is refused.
    assert synthetic.save(tmp_path / "d") == folder
    other = synthetic.on(synthetic.faces.subset([0, 1]))
    with pytest.raises(RunError, match=r"holds the Face Dictionary .* not the one to be saved"):
        other.save(folder)
    other.save(folder, overwrite=True)
    assert len(open_dictionary(folder)) == 2


def test_files_that_were_damaged_are_named_and_left_out(synthetic, tmp_path):
    from PIL import Image

    folder = synthetic.save(tmp_path / "d")
    noses = sorted((folder / "masks" / "nose").iterdir())
    ids = synthetic.faces.table["image_id"].tolist()
    noses[0].unlink()
    noses[1].write_bytes(b"no picture")
    Image.new("1", (20, 20), 1).save(noses[2])
    Image.new("1", (48, 48), 0).save(noses[3])
    (folder / "images" / noses[5].name).unlink()
    again = open_dictionary(folder)
    found = again.problems[again.problems["concept"] == "nose"].set_index("image_id")["reason"]
    assert "no such file" in found[ids[0]]
    assert "not an image in a known format" in found[ids[1]]
    assert "another size" in found[ids[2]]
    assert found[ids[3]] == "its mask is empty"
    assert len(again) == 23
    assert (
        again.problems.set_index("image_id")
        .loc[ids[5], "reason"]
        .startswith("the image cannot be used: no such file")
    )
    assert int(again.present["nose"].sum()) == int(synthetic.present["nose"].sum()) - 5
    assert again.masks().shape[0] == 23


def test_a_folder_that_is_no_dictionary_says_what_it_may_be(tmp_path, synthetic):
    with pytest.raises(SpecError, match=r"without a saved Face Dictionary .*Write 'published:"):
        open_dictionary(tmp_path)
    with pytest.raises(DataError, match="There is no folder"):
        open_dictionary(f"published:{tmp_path}/none")
    folder = synthetic.save(tmp_path / "d")
    text = (folder / "dictionary.json").read_text()
    (folder / "dictionary.json").write_text(text.replace('"complete"', '"started"'))
    with pytest.raises(DataError, match="is not complete, or was made by another version"):
        open_dictionary(folder)
    (folder / "dictionary.json").write_text(text)
    (folder / "labels.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot be read .*Save it again"):
        open_dictionary(folder)
