"""Faults of what a Face Dictionary is made of: told apart, named, and never mixed up."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fusiform.errors import DataError, SpecError
from fusiform.faces import (
    Category,
    Concept,
    ConceptTable,
    FaceSet,
    build_dictionary,
    open_dictionary,
)
from fusiform.faces.dictionary import group_numbers

TABLE = ConceptTable(
    (
        Concept("nose", "part", "Nose"),
        Concept("Eyeglasses", "attribute", "Eye", ("glasses",)),
        Concept("Smiling", "attribute", "Mouth", ("mouth",)),
    ),
    (Category("Gender", ("Male", "Female"), columns=("Male",)),),
)
GENDER = next(c for c in ConceptTable.published().categories if c.name == "Gender")


def made(table=None, *, n=8, size=12, points=None, **masks):
    """Faces with a nose of another shape each, a mouth in all and glasses in the first two, unless said otherwise."""
    drawn = np.zeros((3, n, size, size), dtype=bool)
    for i in range(n):
        drawn[0, i, 4:6, 4 : 6 + i % 4] = True
        drawn[1, i, 8:10, 3:9] = True
    drawn[2, :2, 2:4, 2:10] = True
    named = dict(zip(("nose", "mouth", "glasses"), drawn, strict=True)) | masks
    images = np.random.default_rng(0).integers(0, 255, (n, 3, size, size), dtype=np.uint8)
    return FaceSet.from_arrays(images, table, masks=named, points=points, name="made")


def columns(n=8, **more):
    return pd.DataFrame(
        {"Smiling": [i % 2 == 0 for i in range(n)], "Male": [i < 5 for i in range(n)], **more}
    )


def reasons(dictionary):
    return dictionary.problems.fillna("").values.tolist()


# ------------------------------------------------------------------------------------------------ labels and masks


def test_a_label_goes_before_what_an_empty_mask_tells():
    worn = [True, False, True, False, False, False, None, False]
    labelled = columns(Eyeglasses=pd.array(worn, dtype="boolean"))
    built = build_dictionary(made(labelled), concepts=TABLE)
    # The third is said to wear glasses and has none drawn, the second has some drawn and is said to wear none.
    assert built.present["Eyeglasses"].tolist() == [True] + [False] * 7
    assert built.known["Eyeglasses"].tolist() == [True, True, False, True, True, True, False, True]
    assert ["Eyeglasses", "2", "its mask is empty"] in reasons(built)
    # Where no column says anything, the mask tells of every face.
    told = build_dictionary(made(columns()), concepts=TABLE)
    assert told.present["Eyeglasses"].tolist() == [True, True] + [False] * 6
    assert told.known["Eyeglasses"].all()
    assert not [row for row in reasons(told) if row[0] == "Eyeglasses"]


def test_a_label_goes_before_a_concepts_own_mask_too():
    mouths = made().mask("mouth").numpy()
    mouths[4] = False
    built = build_dictionary(made(columns(), Smiling=mouths), concepts=TABLE)
    assert built.known["Smiling"].tolist() == [i != 4 for i in range(8)]
    assert ["Smiling", "4", "its mask is empty"] in reasons(built)


def test_faces_that_nothing_is_known_of_are_named():
    points = np.full((6, 68, 2), 30.0) + np.random.default_rng(0).uniform(-6, 6, (6, 68, 2))
    points[[1, 4], 5] = np.nan
    table = pd.DataFrame({"Male": pd.array([1, 1, 0, 0, None, 1], dtype="boolean")})
    faces = FaceSet.from_arrays(np.zeros((6, 3, 60, 60), np.uint8), table, points=points)
    concepts = ConceptTable((Concept("mouth", "part", "Mouth", landmarks="48-59"),), TABLE.categories)
    built = build_dictionary(faces, concepts=concepts, balance=False)
    assert built.faces.table["image_id"].tolist() == ["0", "1", "2", "3", "5"]
    assert reasons(built) == [
        ["", "1", "it has not all 68 landmarks, so no ellipse is drawn"],
        ["", "4", "it has not all 68 landmarks, so no ellipse is drawn"],
        ["", "4", "left out: no local concept is known of it, and no group (or balancing left it out)"],
    ]


# ------------------------------------------------------------------------------------------------ another view


def test_another_view_names_the_faces_it_lacks_and_is_balanced_again():
    points = np.random.default_rng(0).uniform(3, 9, (12, 5, 2))
    male = np.arange(12) < 5
    faces = made(pd.DataFrame({"Male": male}), n=12, points=points)
    built = build_dictionary(faces, concepts=TABLE, seed=3)
    assert built.groups["Gender"].value_counts().to_dict() == {0: 5, 1: 5, -1: 2}
    # On the same faces nothing changes.
    assert built.on(built.faces).groups.equals(built.groups)
    points[[0, 2]] = np.nan
    more = made(pd.DataFrame({"Male": male}), n=12, points=points)
    view = more.aligned(missing="drop")
    moved = built.on(view)
    assert moved.groups["Gender"].value_counts().to_dict() == {0: 3, 1: 3, -1: 4}
    assert moved.groups.equals(built.on(view).groups)
    lost = [row for row in reasons(moved) if "cannot be used" in row[2]]
    assert lost == [["", i, "the image cannot be used: no landmarks to align by"] for i in ("0", "2")]
    loose = build_dictionary(faces, concepts=TABLE, balance=False).on(view)
    assert loose.groups["Gender"].value_counts().to_dict() == {1: 7, 0: 3}
    # Faces that it never held.
    some = built.on(built.faces.subset([0, 1, 6, 7])).on(faces)
    assert len(some) == 4
    assert ["", "11", "the dictionary does not hold it"] in reasons(some)


# ------------------------------------------------------------------------------------------------ thresholds, groups


@pytest.mark.parametrize(
    ("stated", "threshold", "says"),
    [
        (0.0, 0.4, "3 of its 4 groups have images; its threshold is then 0.4"),
        (0.3, 0.4, "3 of its 4 groups have images; its threshold is then 0.4"),
        (0.45, 0.45, "3 of its 4 groups have images; its threshold stays 0.45 as stated"),
        (0.4, 0.4, "3 of its 4 groups have images; its threshold stays 0.4 as stated"),
    ],
)
def test_a_stated_threshold_stays_when_a_group_is_empty(stated, threshold, says):
    hair = pd.DataFrame({"hair": list("abcabcab")})
    table = ConceptTable(TABLE.local[:1], (Category("Hair", tuple("abcd"), stated, ("hair",)),))
    built = build_dictionary(made(hair), concepts=table)
    assert built.concepts.categories[0].threshold == pytest.approx(threshold)
    assert ["Hair", "", says] in reasons(built)
    # With fewer groups still, as it was asked for at first.
    fewer = built.on(built.faces.subset(hair.index[hair["hair"] != "c"]))
    left = 0.55 if stated in (0.0, 0.3) else stated
    assert fewer.concepts.categories[0].threshold == pytest.approx(left)


@pytest.mark.parametrize(
    ("column", "expected", "why"),
    [
        ("Male", [0, 1, 0, -1], ""),
        ("Female", [1, 0, 1, -1], ""),
        ("sex", [-1] * 4, "column 'sex' is binary and does not say whether true is Male or Female"),
        ("gender", [-1] * 4, "column 'gender' is binary and does not say whether true is Male or Female"),
    ],
)
def test_a_bare_binary_column_gives_groups_only_where_its_name_does(column, expected, why):
    table = pd.DataFrame({column: pd.array([1, 0, 1, None], dtype="boolean")})
    faces = FaceSet.from_arrays(np.zeros((4, 3, 8, 8), np.uint8), table)
    numbers, said = group_numbers(faces, GENDER)
    assert numbers.tolist() == expected
    assert said.startswith(why)
    assert bool(said) == bool(why)


def test_a_category_that_is_not_made_says_why_in_the_problems():
    built = build_dictionary(made(columns().rename(columns={"Male": "sex"})))
    assert "Gender" not in built.groups
    assert [row for row in reasons(built) if row[0] == "Gender"] == [
        [
            "Gender",
            "",
            "column 'sex' is binary and does not say whether true is Male or Female; name it after one of them, or give it "
            "words",
        ]
    ]


# ------------------------------------------------------------------------------------------------ tables of concepts


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ('[[local]]\nname = 3\nkind = "part"\nregion = "Eye"', r"entry 3: .*its name must be text; got 3"),
        (
            '[[local]]\nname = "a"\nkind = "part"\nregion = ["Eye"]',
            r"entry 'a': .*region must be text; got \['Eye'\]",
        ),
        (
            '[[local]]\nname = "a"\nkind = "part"\nregion = "Eye"\nlandmarks = [1, 2, 3]',
            r"entry 'a': .*landmarks must be text; got \[1, 2, 3\]",
        ),
        (
            '[[local]]\nname = "a"\nkind = "part"\nregion = "Eye"\nparts = [1]',
            r"entry 'a': .*parts must be a list of texts; got \[1\]",
        ),
        (
            '[[category]]\nname = "c"\ngroups = ["x", "y"]\nthreshold = "0.5"',
            "entry 'c': .*threshold must be a number; got '0.5'",
        ),
        (
            '[[category]]\nname = "c"\ngroups = ["x", "y"]\nbounds = ["1"]',
            r"entry 'c': .*bounds must be a list of numbers",
        ),
        (
            '[[category]]\nname = "c"\ngroups = ["x", "y"]\nbounds = [nan]',
            r"entry 'c': .*ascending; got \[nan\]",
        ),
        ('[[category]]\nname = "c"\ngroups = "xy"', r"entry 'c': .*at least two groups .*with \['xy'\]"),
        (
            '[[category]]\nname = "c"\ngroups = [["x"], "y"]',
            r"entry 'c': .*groups must be a list of texts; got \[\['x'\], 'y'\]",
        ),
    ],
)
def test_a_toml_field_of_another_type_is_named_with_its_entry(tmp_path, entry, says):
    (tmp_path / "t.toml").write_text(entry + "\n")
    with pytest.raises(SpecError, match=says):
        ConceptTable.read(tmp_path / "t.toml")


def test_one_text_or_number_is_a_list_of_one(tmp_path):
    (tmp_path / "t.toml").write_text(
        '[[local]]\nname = "a"\nkind = "part"\nregion = "Eye"\nparts = "left_eye"\n'
        '[[category]]\nname = "c"\ngroups = ["x", "y"]\ncolumns = "score"\nbounds = 2\n'
    )
    table = ConceptTable.read(tmp_path / "t.toml")
    assert table.local[0].parts == ("left_eye",)
    assert (table.categories[0].columns, table.categories[0].bounds) == (("score",), (2.0,))


def test_bounds_are_written_exactly(tmp_path):
    bounds = (0.1 + 0.2, 1e7 / 3)
    table = ConceptTable((), (Category("c", ("x", "y", "z"), bounds=bounds),))
    table.table.to_csv(tmp_path / "t.csv", index=False)
    assert ConceptTable.read(tmp_path / "t.csv").categories[0].bounds == bounds


def test_lines_of_one_category_must_agree(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("concept,kind,category,threshold\nx,global,c,0.6\ny,global,c,0.7\n")
    with pytest.raises(
        SpecError, match=r"category 'c': its lines must agree on threshold.*'0\.6' and '0\.7'"
    ):
        ConceptTable.read(file)
    file.write_text("concept,kind,category,threshold\nx,global,c,0.6\ny,global,c,\n")
    assert ConceptTable.read(file).categories[0].threshold == 0.6


# ------------------------------------------------------------------------------------------------ on disk


@pytest.fixture
def saved(tmp_path):
    """A saved dictionary whose concepts differ in every column."""
    return build_dictionary(made(columns()), concepts=TABLE).save(tmp_path / "d")


def relabelled(folder, change):
    """Labels changed as somebody's script would, and no sums that would tell."""
    labels = change(pd.read_parquet(folder / "labels.parquet"))
    labels.to_parquet(folder / "labels.parquet", index=False)
    said = json.loads((folder / "dictionary.json").read_text())
    del said["sha256"]
    (folder / "dictionary.json").write_text(json.dumps(said))


def test_columns_of_the_labels_are_found_by_name(saved):
    before = open_dictionary(saved)
    relabelled(saved, lambda labels: labels[labels.columns[::-1]].iloc[::-1])
    after = open_dictionary(saved)
    assert after.concepts.names == tuple(after.present) == tuple(after.known) == TABLE.names
    for name in ("present", "known", "groups", "problems"):
        pd.testing.assert_frame_equal(getattr(after, name), getattr(before, name))
    assert (after.masks() == before.masks()).all()
    assert before.present.sum().nunique() == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop(columns="known:nose"), "'nose' needs both a column present: and a column known:"),
        (
            lambda t: t.rename(columns={"known:nose": "known:snout", "present:nose": "present:snout"}),
            "it has the concept 'snout', which concepts.csv lacks",
        ),
        (
            lambda t: pd.concat([t, t.iloc[[2]]]),
            "it names the image '2' more than once",
        ),
        (lambda t: t.iloc[1:], "it lacks 1 of the images, the first '0'"),
        (lambda t: t.drop(columns="image_id"), "it needs a column image_id without gaps"),
        (
            lambda t: t.drop(columns="group:Gender"),
            r"groups of \[\], where dictionary.json names \['Gender'\]",
        ),
        (
            lambda t: t.assign(**{"group:Gender": 2}),
            "column 'group:Gender' must hold numbers from -1 to 1",
        ),
        (
            lambda t: t.assign(**{"present:nose": 0.5}),
            "column 'present:nose' must be true or false; got float64",
        ),
    ],
)
def test_damaged_labels_are_refused_with_the_fault(saved, change, says):
    relabelled(saved, change)
    with pytest.raises(
        DataError, match=rf"labels\.parquet' is damaged: .*{says}.*Save the Face Dictionary again"
    ):
        open_dictionary(saved)


def test_files_of_another_save_are_refused(saved):
    labels = pd.read_parquet(saved / "labels.parquet")
    labels.assign(**{"present:nose": False}).to_parquet(saved / "labels.parquet", index=False)
    with pytest.raises(DataError, match=r"labels\.parquet' is damaged: it is not the file that was saved"):
        open_dictionary(saved)


def test_other_damaged_files_are_named(saved, tmp_path):
    table = pd.read_csv(saved / "table.csv", dtype=str)
    table.iloc[2:].to_csv(saved / "table.csv", index=False)
    with pytest.raises(DataError, match=r"table\.csv' is damaged: it lacks 2 images, the first '0'"):
        open_dictionary(saved)
    table.to_csv(saved / "table.csv", index=False)
    said = json.loads((saved / "dictionary.json").read_text())
    said["groups"] = {"Gender": ["Male", "Other"]}
    (saved / "dictionary.json").write_text(json.dumps(said))
    with pytest.raises(
        DataError, match=r"dictionary\.json' is damaged: the groups \['Male', 'Other'\] of 'Gender'"
    ):
        open_dictionary(saved)
    (saved / "problems.csv").write_text("what\n")
    said["groups"] = {"Gender": ["Male", "Female"]}
    (saved / "dictionary.json").write_text(json.dumps(said))
    with pytest.raises(
        DataError, match=r"problems\.csv' is damaged: its columns must be concept, image_id, reason"
    ):
        open_dictionary(saved)


def test_a_saved_dictionary_moves_as_the_one_that_was_saved(tmp_path):
    points = np.full((8, 5, 2), [[8, 8], [10, 8], [9, 9], [8.3, 10], [9.7, 10]])
    built = build_dictionary(made(columns(), points=points), concepts=TABLE)
    again = open_dictionary(built.save(tmp_path / "d"))
    mine, other = (d.on(d.faces.aligned("arcface_112")) for d in (built, again))
    # The crop cuts some noses off, and of them no column says that they are there.
    assert mine.present["nose"].sum() == 6
    assert mine.known["nose"].all()
    for name in ("present", "known", "groups"):
        pd.testing.assert_frame_equal(getattr(mine, name), getattr(other, name))


# ------------------------------------------------------------------------------------------------ the published layout


@pytest.fixture
def layout(tmp_path):
    """Three images of parts, in a folder of any name."""
    for image in ("1", "2", "3.jpg.chip"):
        folder = tmp_path / "mine" / "parts" / image
        folder.mkdir(parents=True)
        for name in ("original", "nose", "mouth"):
            Image.new("RGB", (16, 16), (255, 255, 255)).save(folder / f"{name}.png")
    return tmp_path / "mine"


def test_lists_beside_a_folder_of_another_name_are_not_its_own(layout):
    (layout.parent / "other.csv").write_text("image,labels\n1,mouth\n")
    built = open_dictionary(f"published:{layout}")
    assert built.present["nose"].tolist() == [True] * 3
    layout.rename(layout.parent / "visual_dictionary")
    listed = open_dictionary(f"published:{layout.parent}/visual_dictionary")
    assert listed.present["nose"].tolist() == [False, True, True]


def test_a_list_that_cannot_be_read_is_named_and_the_others_are_used(layout):
    (layout / "a.csv").write_bytes(b"image,labels\n\xff\xfe\xfa,nose\n")
    (layout / "b.csv").write_text("")
    (layout / "c.csv").write_text("image,labels\n1,mouth\n")
    built = open_dictionary(f"published:{layout}")
    assert built.present["nose"].tolist() == [False, True, True]
    unused = [why for concept, image, why in reasons(built) if not concept and not image]
    assert [why[:28] for why in unused] == ["the list 'a.csv' is not used", "the list 'b.csv' is not used"]


def test_names_in_lists_may_end_in_any_image_suffix(layout):
    (layout / "list.csv").write_text(
        "image,labels\n1.JPEG,mouth\nparts\\2\\Original.PNG,mouth\nparts/3.jpg.chip.WebP,mouth\n"
    )
    built = open_dictionary(f"published:{layout}")
    assert built.present["mouth"].all()
    assert [row for row in reasons(built) if "not there" in row[2]] == []
    assert "nose" not in built.concepts.names
