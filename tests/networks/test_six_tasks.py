"""The six models of the dissection paper: protocols, smoke trainings, figures beside the paper's."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tests.faces.layouts_tables import scut

from fusiform.cli import main
from fusiform.errors import DataError, RunError, SpecError
from fusiform.faces import Attribute, FaceSet, open_faces
from fusiform.networks import find_role
from fusiform.networks.training import FACE_TASKS, RECIPES, find_recipe, fit_recipe, train_task
from fusiform.networks.training._protocols import deal, learnt_attribute

NETWORK = "resnet10?width=4&variant=small&input=32x32"
SPEC = "synthetic?n=48&identities=12&size=32&seed=3"


def small(name, **changes):
    given = {"epochs": 1, "batch_size": 8, "input_size": (32, 32), "shortest_side": 32, "padding": 2}
    return find_recipe(name, **given | {"checkpoints": 2} | changes)


@pytest.fixture(scope="module")
def faces():
    return open_faces(SPEC)


def test_the_six_are_those_of_table_1():
    assert list(FACE_TASKS) == ["age", "gender", "beauty", "identity", "triplets", "smile"]
    assert {task.model: (task.metric, task.paper) for task in FACE_TASKS.values()} == {
        "AGE": ("mae", 6.64),
        "GENDER": ("accuracy", 0.908),
        "BEAUTY": ("mse", 0.137),
        "FACENET": ("accuracy", 0.996),
        "FAIRFACE": ("accuracy", 0.868),
        "SMILE": ("accuracy", 0.912),
    }
    layers = {task.name: task.layer for task in FACE_TASKS.values()}
    assert layers["beauty"] == "layer4.1.conv1"
    assert layers["identity"] == "block8.branch1.2.conv"
    assert {layers[name] for name in ("age", "gender", "triplets", "smile")} == {"layer4.2.conv1"}
    assert [RECIPES[name].epochs for name in ("age", "gender", "smile")] == [2, 2, 4]
    assert RECIPES["triplets"].triplets == 80_000
    assert all(RECIPES[name].select == "last" for name in FACE_TASKS)


@pytest.mark.parametrize(
    ("name", "options", "metric", "kind"),
    [
        ("age", {}, "mae", "continuous"),
        ("gender", {}, "accuracy", "binary"),
        ("beauty", {"attribute": "skin_tone", "folds": 2}, "mse", "continuous"),
        ("identity", {}, "accuracy", "identity"),
        ("triplets", {"recipe": small("triplets", triplets=48, images_each=2)}, "accuracy", "identity"),
        ("smile", {}, "accuracy", "binary"),
    ],
)
def test_each_trains_on_synthetic_faces_and_stands_beside_the_paper(
    faces, tmp_path, name, options, metric, kind
):
    made = train_task(name, faces, tmp_path / "t", network=NETWORK, **{"recipe": small(name)} | options)
    folds = options.get("folds", 5 if name == "beauty" else 1)
    assert len(made.results) == folds
    assert len(made.table) == (folds + 1 if folds > 1 else 1)
    row = made.table.iloc[-1]
    assert (row["model"], row["metric"], row["paper"]) == (
        FACE_TASKS[name].model,
        metric,
        FACE_TASKS[name].paper,
    )
    assert np.isfinite(row["value"])
    assert row["chance"] > 0
    result = made.results[0]
    assert result.record["request"]["kind"] == kind
    net = result.load()
    assert find_role(net, "second_to_last_conv").name == row["layer"]
    assert row["layer"].endswith("layer4.0.conv1")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t" / "performance.parquet"), made.table)
    kept = json.loads((result.folder / "training.json").read_text())["performance"]
    assert kept[0]["value"] == made.table["value"].iloc[0]
    if folds > 1:
        assert row["value"] == pytest.approx(made.table["value"].iloc[:-1].mean())
        assert made.table["fold"].tolist() == [1, 2, pd.NA]
        assert row["spread"] == pytest.approx(made.table["value"].iloc[:-1].std())
        assert made.table["spread"].iloc[:-1].isna().all()
        assert row["split"] == (
            "mean of 2 folds (repeated holdout 1, 60% and 40% drawn with seed 0, 0, of people, and so on)"
        )


def test_figures_are_those_of_the_test_images(faces, tmp_path):
    made = train_task("age", faces, tmp_path / "t", network=NETWORK, recipe=small("age"))
    task = FACE_TASKS["age"]
    parts = deal(task, faces, None, "age")
    net = made.results[0].load()
    with torch.no_grad():
        said = net(net.prepare(parts.test.images()))[:, 0].double().numpy()
    truth = parts.test.table["age"].to_numpy(dtype=float)
    row = made.table.iloc[0]
    assert row["value"] == pytest.approx(np.abs(said - truth).mean(), abs=1e-4)
    constant = parts.train.table["age"].to_numpy(dtype=float).mean()
    assert row["chance"] == pytest.approx(np.abs(constant - truth).mean())
    assert (row["n_train"], row["n_test"]) == (len(parts.train), len(parts.test))
    assert not set(parts.train.table["identity"]) & set(parts.test.table["identity"])


def test_several_initialisations_are_measured_each_and_none_is_chosen_by_the_test(faces, tmp_path):
    recipe = small("gender", seeds=(0, 1), select="valid_auc")
    made = train_task("gender", faces, tmp_path / "t", network=NETWORK, recipe=recipe)
    assert made.table["seed"].tolist() == [0, 1, pd.NA]
    assert made.table["value"].iloc[2] == pytest.approx(made.table["value"].iloc[:2].mean())
    assert made.table["spread"].iloc[2] == pytest.approx(made.table["value"].iloc[:2].std())
    assert made.table["split"].iloc[2].startswith("mean of 2 initialisations (80% and 20% drawn")
    assert set(made.results[0].seeds["best_step"]) == {made.results[0].table["step"].max()}


def test_a_finished_task_is_read_and_another_is_refused(faces, tmp_path):
    made = train_task("gender", faces, tmp_path / "t", network=NETWORK, recipe=small("gender"))
    before = made.results[0].best.stat().st_mtime_ns
    again = train_task("gender", faces, tmp_path / "t", network=NETWORK, recipe=small("gender"))
    assert again.results[0].best.stat().st_mtime_ns == before
    pd.testing.assert_frame_equal(again.table, made.table)
    with pytest.raises(RunError, match="asked something else"):
        train_task("gender", faces, tmp_path / "t", network=NETWORK, recipe=small("gender"), seed=1)


# Protocols ------------------------------------------------------------------------------------------------


def made_up(n=100, **columns):
    faces = FaceSet.from_arrays(np.zeros((n, 3, 4, 4), dtype=np.uint8), name="made up")
    for name, (kind, values) in columns.items():
        faces = faces.with_attribute(name, values, Attribute(kind))
    return faces


def ids(part):
    return set(part.table["image_id"])


def test_invalid_and_unknown_ages_are_removed():
    ages = np.arange(100.0)
    ages[:4] = [-1, 101, np.nan, 300]
    parts = deal(FACE_TASKS["age"], made_up(age=("continuous", ages)), None, "age")
    assert not ids(parts.train) & ids(parts.test)
    assert ids(parts.train) | ids(parts.test) == {str(i) for i in range(4, 100)}
    assert len(parts.test) == round(0.2 * 96)
    assert parts.split == "80% and 20% drawn with seed 0, of images"


def test_beauty_draws_60_to_40_five_times_where_no_folds_are_published():
    split = np.array(["train"] * 70 + ["test"] * 30)
    faces = made_up(beauty=("continuous", np.linspace(1, 5, 100)), split=("categorical", split))
    task = FACE_TASKS["beauty"]
    parts = [deal(task, faces, None, "beauty", fold=fold, folds=5, seed=3) for fold in range(5)]
    assert [(len(p.train), len(p.test)) for p in parts] == [(60, 40)] * 5
    assert len({frozenset(ids(p.test)) for p in parts}) == 5
    assert parts[1].split == "repeated holdout 2, 60% and 40% drawn with seed 3, 1, of images"
    expected = np.random.default_rng([3, 1]).permutation(100)[60:]
    assert ids(parts[1].test) == set(map(str, expected))
    one = deal(task, faces, None, "beauty")
    assert ids(one.test) == {str(i) for i in range(70, 100)}
    assert one.split == "the set's own 'split': train and test"


def test_beauty_takes_the_published_folds_where_they_are_there(tmp_path):
    lists = scut(tmp_path) / "train_test_files"
    names = ["AF1.jpg", "AM2.jpg", "CF3.jpg", "CM4.jpg"]
    tested = [{"AF1.jpg"}, {"AM2.jpg", "CF3.jpg"}, {"CM4.jpg"}, {"CF3.jpg"}, {"AM2.jpg"}]
    for number, own in enumerate(tested, start=1):
        folder = lists / "5_folders_cross_validations_files" / f"cross_validation_{number}"
        folder.mkdir(parents=True, exist_ok=True)
        for part, inside in (("train", set(names) - own), ("test", own)):
            (folder / f"{part}_{number}.txt").write_text("".join(f"{name} 3\n" for name in sorted(inside)))
    faces = open_faces(f"scut:{tmp_path}")
    task = FACE_TASKS["beauty"]
    for fold, own in enumerate(tested):
        parts = deal(task, faces, None, "beauty", fold=fold, folds=5)
        assert ids(parts.test) == own
        assert ids(parts.train) == set(names) - own
        assert parts.split == f"published fold {fold + 1} of 5"
    fewer = deal(task, faces.subset([0, 1, 3]), None, "beauty", fold=1, folds=5)
    assert (ids(fewer.train), ids(fewer.test)) == ({"AF1.jpg", "CM4.jpg"}, {"AM2.jpg"})
    assert deal(task, faces, None, "beauty").split == "the set's own 'split': train and test"
    assert deal(task, faces, None, "beauty", fold=1, folds=6).split.startswith("repeated holdout 2")
    with pytest.raises(DataError, match=r"left to test on: 2 of 2 .* the split is: published fold 3 of 5"):
        deal(task, faces.subset([0, 1]), None, "beauty", fold=2, folds=5)


def test_smile_draws_in_balance_and_keeps_the_dictionary_out():
    smiling = np.arange(9000) % 5 < 2
    faces = made_up(9000, Smiling=("binary", smiling))
    dictionary = frozenset(str(i) for i in range(500))
    parts = deal(FACE_TASKS["smile"], faces, None, "Smiling", without=dictionary)
    assert parts.left_out == 500
    assert not dictionary & (ids(parts.train) | ids(parts.test))
    assert not ids(parts.train) & ids(parts.test)
    for part, size in ((parts.train, 5600), (parts.test, 1200)):
        assert abs(len(part) - size) < 150  # 3,400 smile, 5/6 of them in training
        assert part.table["Smiling"].mean() == 0.5
    full = deal(
        FACE_TASKS["smile"], made_up(9000, Smiling=("binary", np.arange(9000) % 2 < 1)), None, "Smiling"
    )
    assert (len(full.train), len(full.test)) == (6000, 1200)
    assert "6000 and 1200 drawn, as many of each class" in full.split


def coloured(colours, ids=None):
    images = np.random.default_rng(0).integers(0, 255, (50, 3, 4, 4)).astype(np.uint8)[list(colours)]
    table = None if ids is None else pd.DataFrame({"image_id": ids})
    faces = FaceSet.from_arrays(images, table, name=f"{len(images)} colours")
    return faces.with_attribute("Male", np.arange(len(images)) % 2 < 1, Attribute("binary"))


def test_a_test_set_of_its_own_is_not_split():
    faces, test = coloured(range(30)), coloured(range(30, 50))  # numbered alike, but other pictures
    parts = deal(FACE_TASKS["gender"], faces, test, "Male", without=frozenset({"0"}))
    assert (len(parts.train), len(parts.test), parts.left_out) == (29, 19, 2)
    assert parts.split == "test set given"


def test_a_test_set_may_not_hold_what_is_trained_on():
    faces = coloured(range(30))
    with pytest.raises(
        DataError,
        match=r"The test set '30 colours' holds images that are trained on, of '30 colours': 0, 1, 10 and 27 more "
        r"\(of 30 compared\). Give other faces to test on, or none",
    ):
        deal(FACE_TASKS["gender"], faces, faces, "Male")
    partly = coloured([29, 31, 32], ["29", "a", "b"])
    with pytest.raises(DataError, match=r"of '30 colours': 29 \(of 1 compared\)"):
        deal(FACE_TASKS["gender"], faces, partly, "Male")
    assert len(deal(FACE_TASKS["gender"], faces, partly, "Male", without=frozenset({"29"})).test) == 2


def test_what_a_triplet_shares_where_a_set_has_no_identities():
    task, n = FACE_TASKS["triplets"], 8
    groups = {"race": ("categorical", ["a", "b"] * 4), "Male": ("binary", [True, False] * 4)}
    bands = {"age_group": ("categorical", ["young"] * 4 + ["old"] * 4)}
    assert learnt_attribute(task, made_up(n, **groups, **bands), None) == "race+Male+age_group"
    assert learnt_attribute(task, made_up(n, **groups), None) == "race+Male"
    people = {"identity": ("identity", list("aabbccdd"))}
    assert learnt_attribute(task, made_up(n, **groups, **people), None) == "identity"
    with pytest.raises(DataError, match="'made up' has neither identities nor race, sex or age groups"):
        learnt_attribute(task, made_up(n, age=("continuous", np.arange(8.0))), None)


def test_a_set_without_the_attribute_says_what_would_do(faces):
    with pytest.raises(
        DataError,
        match=r"'synthetic' has no 'beauty'; the recipe 'beauty' learns a continuous .*scut:PATH.* one of yaw",
    ):
        learnt_attribute(FACE_TASKS["beauty"], faces, None)
    with pytest.raises(
        DataError, match="has binary values of 'Male'; the recipe 'beauty' learns a continuous"
    ):
        learnt_attribute(FACE_TASKS["beauty"], faces, "Male")
    with pytest.raises(DataError, match="there is none here"):
        learnt_attribute(FACE_TASKS["age"], made_up(4, Male=("binary", [True] * 4)), None)


@pytest.mark.parametrize("task", ["gender", "smile"])
@pytest.mark.parametrize("people", [False, True])
def test_nothing_left_to_train_or_test_on(task, people):
    columns = {"identity": ("identity", list("aabb"))} if people else {}
    name = FACE_TASKS[task].attribute
    faces = made_up(4, **{name: ("binary", [True, False, True, False])}, **columns)
    none = frozenset("0123")
    with pytest.raises(DataError, match="No images of 'made up' are left to train on: 0 of 4"):
        deal(FACE_TASKS[task], faces, None, name, without=none)
    test = coloured([1, 2], ["x", "y"]).with_attribute(name, [True, False], Attribute("binary"))
    with pytest.raises(DataError, match="No images of 'made up' are left to train on: 0 of 4"):
        deal(FACE_TASKS[task], faces, test, name, without=none)
    with pytest.raises(
        DataError, match=r"No images of '2 colours' are left to test on: 0 of 2 .* test set given"
    ):
        deal(FACE_TASKS[task], faces, test, name, without=frozenset("xy"))


@pytest.mark.parametrize(
    ("task", "options", "text"),
    [
        ("smil", {}, "There is no face task 'smil'; did you mean 'smile'"),
        ("smile", {"folds": 0}, "'folds' must be a whole number of at least 1; got 0"),
        ("smile", {"network": "mini_xception"}, "takes grey images, but training shows RGB"),
    ],
)
def test_bad_requests(faces, tmp_path, task, options, text):
    with pytest.raises(SpecError, match=text):
        train_task(task, faces, tmp_path / "t", **options)
    assert not (tmp_path / "t").exists()


def test_images_are_shown_as_the_card_says():
    recipe = fit_recipe(RECIPES["age"], "resnet18?mean=127.5&std=128&range=0,255")
    assert recipe.input_size == (224, 224)
    assert recipe.shortest_side == 256
    assert recipe.mean == pytest.approx((0.5,) * 3)
    assert recipe.std == pytest.approx((128 / 255,) * 3)
    assert replace(recipe, mean=RECIPES["age"].mean, std=RECIPES["age"].std) == RECIPES["age"]


def test_the_command_prints_the_figure_beside_the_paper_s(tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["fusiform", "train", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    options = ["--network", NETWORK, "--epochs", 1, "--batch-size", 8, "--out", tmp_path / "t", "--quiet"]
    code, out, _ = run(
        "--recipe", "smile", "--faces", SPEC, "--without", "synthetic?n=8&size=32&seed=3", *options
    )
    assert code == 0
    assert "SMILE" in out
    assert "0.912" in out
    assert "Layer to dissect: trunk.layer4.0.conv1" in out
    assert pd.read_parquet(tmp_path / "t" / "performance.parquet")["left_out"].iloc[0] > 0
    for arguments, text in (
        (["--recipe", "age"], "The recipe 'age' is made for IMDB-WIKI; give --faces imdbwiki:PATH"),
        (["--recipe", "demo", "--folds", "2"], "--folds is for the recipes age, gender, beauty"),
    ):
        code, _, err = run(*arguments, "--out", tmp_path / "x")
        assert code == 2
        assert text in " ".join(err.split())
