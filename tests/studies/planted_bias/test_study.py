"""The study as a whole on made-up pictures: tables, resuming network by network, failures, and a cue that is learnt."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.studies.planted_bias.small import TINY, coloured

from fusiform.errors import DataError, NetworkError, RunError
from fusiform.networks import load_network
from fusiform.studies import study_planted_bias
from fusiform.studies.planted_bias import _study
from fusiform.studies.planted_bias._pool import grey_of

COLUMNS = {
    "trained": "cue percent seed epochs steps seconds accuracy accuracy_congruent accuracy_incongruent n_train n_test weights",
    "probabilities": "cue percent seed stage layer unit p_grey p_colour rank",
    "biased": "cue percent seed stage layer towards units of share",
    "top": "cue percent seed group rank image_id cue_present activation file",
    "summary": "cue percent quantity layer value lower upper std n_seeds",
    "ratios": "cue layer quantity percent_high percent_low ratio difference lower upper spread exceeds agrees paper",
    "training": "cue percent group rank image_id cue_present file",
    "findings": "finding source network setup measured verdict criterion",
    "skipped": "image_id reason",
    "control": "cue seed quantity layer value",
}


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """Colour tells the sex at P = 100; the bar, which does too, can hardly be seen."""
    out = tmp_path_factory.mktemp("grey") / "run"
    options = TINY | {"train_images": 96, "test_images": 32, "epochs": 10}
    return study_planted_bias(coloured(200, bar=6), out, cues=["grey"], **options)


def test_tables_are_as_told(grey):
    assert grey.status == "complete"
    assert grey.tables == sorted(COLUMNS)
    for name, columns in COLUMNS.items():
        assert list(grey.table(name).columns) == columns.split(), name
    biased, probabilities = grey.table("biased"), grey.table("probabilities")
    assert biased.groupby("stage")["of"].first().tolist() == [4, 8, 16, 32]
    assert np.allclose(probabilities.p_grey + probabilities.p_colour, 1)
    first = probabilities.query("percent == 100 and stage == 4").sort_values("rank")
    assert first.p_colour.is_monotonic_decreasing
    counted = (first.p_grey > 0.55).sum(), (first.p_colour > 0.55).sum()
    told = biased.query("percent == 100 and stage == 4").set_index("towards").units
    assert counted == (told["grey"], told["colour"])


def test_a_planted_cue_is_learnt_and_found(grey):
    trained = grey.table("trained").set_index("percent")
    gap = trained.accuracy_congruent - trained.accuracy_incongruent
    assert gap[100] > 0.8
    assert abs(gap[50]) < 0.5
    found = grey.table("findings").set_index("finding")
    assert (
        found.loc["A network that is trained on a biased set relies on the cue", "verdict"] == "unclear"
    )  # one seed
    ratio = grey.table("ratios").set_index(["quantity", "layer"])
    assert ratio["difference"].notna().all()
    assert ratio["exceeds"].isna().all()


def test_top_pictures_are_those_of_the_sprite(grey):
    top = grey.table("top")
    # Of 16 test pictures a group, a quarter.
    assert (top.groupby(["percent", "group"])["rank"].max() == 4).all()
    assert all((grey.path / "images" / file).exists() for file in top.file.unique())
    assert (top.sort_values("rank").groupby(["percent", "group"])["activation"].diff().dropna() <= 0).all()


def test_training_pictures_are_shown_with_the_share_of_their_set(grey):
    sheets = grey.table("training")
    shares = sheets.groupby(["percent", "group"])["cue_present"].agg(["mean", "size"])
    assert shares["mean"].to_dict() == {
        (50, "Male"): 0.5, (50, "Female"): 0.5, (100, "Male"): 1.0, (100, "Female"): 0.0,
    }  # fmt: skip
    assert (shares["size"] == 20).all()
    with Image.open(grey.path / "images" / "train_grey_p100_male.jpg") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    assert pixels.shape == (2 * 64, 10 * 64, 3)
    assert np.ptp(pixels, axis=2).max() < 30  # all grey


def test_findings_name_the_network_without_its_first_weights(grey):
    assert set(grey.table("findings")["network"]) == {"resnet10_w4"}


def test_unknown_people_are_told(grey):
    said = json.loads((grey.path / "run.json").read_text())["cautions"]
    assert len(said) == 1
    assert said[0].startswith("Of 200 of the 200 images of 'coloured' it is not known whom they show")


def test_weights_are_those_that_were_measured(grey):
    row = grey.table("trained").set_index("percent").loc[100]
    net = load_network(f"resnet10?variant=small&weights={grey.path / row.weights}")
    assert net.card.head == "logits"
    images = coloured(40, seed=5, bar=6).images(range(40))
    with torch.no_grad():
        colour = net(net.prepare(images))
        pale = net(net.prepare(grey_of(images)))
    # At P = 100 men are grey and women are in colour.
    assert ((pale > 0).float().mean() - (colour > 0).float().mean()) > 0.8


def test_continued_network_by_network(tmp_path, monkeypatch):
    faces, options = coloured(120), TINY | {"cues": ["grey"], "epochs": 1, "control": False}
    whole = study_planted_bias(faces, tmp_path / "whole", **options)
    done, train = [], _study.train_network

    def interrupted(net, pictures, path, *rest):
        if done:
            raise KeyboardInterrupt
        train(net, pictures, path, *rest)
        done.append(path)

    pool_of = _study.pool_of

    def leaves_out(*args):
        pool, _ = pool_of(*args)
        return pool, pd.DataFrame({"image_id": ["lost"], "reason": ["unreadable"]})

    monkeypatch.setattr(_study, "pool_of", leaves_out)
    monkeypatch.setattr(_study, "train_network", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study_planted_bias(faces, tmp_path / "run", **options)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "running"

    def not_again(net, pictures, path, *rest):
        assert path not in done
        train(net, pictures, path, *rest)

    monkeypatch.setattr(_study, "train_network", not_again)
    run = study_planted_bias(faces, tmp_path / "run", **options)
    for name in ("probabilities", "biased", "summary"):
        pd.testing.assert_frame_equal(run.table(name), whole.table(name))
    assert run.table("skipped")["image_id"].tolist() == ["lost"]
    assert not (run.path / "parts").exists()
    with pytest.raises(RunError, match="complete run"):
        study_planted_bias(faces, tmp_path / "run", **options)


def test_what_was_left_out_is_kept_when_only_the_tables_are_missing(tmp_path, monkeypatch):
    """Stopped after the last network, the pictures are not read again."""
    faces = coloured(120)
    options = TINY | {"cues": ["grey"], "epochs": 1, "control": False, "percents": ["100"]}

    def stops(*args):
        raise KeyboardInterrupt

    pool_of = _study.pool_of
    monkeypatch.setattr(
        _study,
        "pool_of",
        lambda *a: (pool_of(*a)[0], pd.DataFrame({"image_id": ["lost"], "reason": ["unreadable"]})),
    )
    with monkeypatch.context() as patch:
        patch.setattr(_study, "summary", stops)
        with pytest.raises(KeyboardInterrupt):
            study_planted_bias(faces, tmp_path / "run", **options)
    monkeypatch.setattr(_study, "pool_of", stops)
    run = study_planted_bias(faces, tmp_path / "run", **options)
    assert run.table("skipped").values.tolist() == [["lost", "unreadable"]]
    assert len(run.table("training")) == 2 * 20


def test_a_network_that_fails_is_named_and_the_others_are_done(tmp_path, monkeypatch):
    train = _study.train_network

    def failing(net, pictures, path, *rest):
        if "p050" in path.name:
            raise NetworkError("The loss is no longer a number.")
        train(net, pictures, path, *rest)

    monkeypatch.setattr(_study, "train_network", failing)
    run = study_planted_bias(
        coloured(120), tmp_path / "run", cues=["grey"], control=False, **TINY | {"epochs": 1}
    )
    assert [p["experiment"] for p in run.problems] == ["grey, P = 50, seed 0"]
    assert run.table("trained").percent.tolist() == [100]
    assert set(run.table("findings").verdict) <= {"not measured", "unclear"}


def test_what_is_wrong_is_said_before_a_folder_is_made(tmp_path):
    faces = coloured(24)
    lacking = type(faces).from_arrays(faces.images(range(24)), faces.table[["image_id", "Male"]])
    with pytest.raises(DataError, match="no attribute 'Eyeglasses', which this study needs"):
        study_planted_bias(lacking, tmp_path / "run", **TINY)
    assert not (tmp_path / "run").exists()


def test_the_eyeglasses_experiment_on_synthetic_faces(tmp_path):
    options = TINY | {
        "percents": ["100"],
        "train_images": 16,
        "test_images": 8,
        "epochs": 1,
        "dictionary_images": 16,
    }
    run = study_planted_bias(None, tmp_path / "run", cues=["eyeglasses"], **options)
    assert run.problems == []
    regions, concepts = run.table("units_regions"), run.table("units_concepts")
    assert list(regions.columns) == ["cue", "percent", "seed", "layer", "region", "units"]
    assert list(concepts.columns) == ["cue", "percent", "seed", "layer", "concept", "units"]
    assert regions.region.tolist() == ["Eye", "Cheek", "Nose", "Mouth", "Chin"]
    assert (regions.layer == "layer4.0.conv1").all()
    assert "Eyeglasses" in set(concepts.concept)
    assert regions.units.sum() <= 32
    assert set(run.table("control").quantity) >= {"eyeglasses units", "Eye region units"}
    # Of four test pictures a group there is no top quarter to speak of.
    assert not len(run.table("top"))
    record = json.loads((run.path / "run.json").read_text())
    assert record["not_measured"] == {"top": "there are too few test pictures, 4 of each group"}
    assert "cautions" not in record
    assert not (run.path / "parts").exists()
