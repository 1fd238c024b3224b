"""Training: what it must keep to whoever is trained on whatever."""

import errno
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from fusiform.errors import DataError, NetworkError, RunError, SpecError, WeightsError
from fusiform.faces import Attribute
from fusiform.networks import load_network
from fusiform.networks.training import Recipe, load_training, train
from fusiform.networks.training import _loop as loop
from fusiform.statistics import verification_auc

SIDE = 16


@dataclass
class Faces:
    """As much of a FaceSet as training needs: coloured squares with noise, one colour a person."""

    table: pd.DataFrame
    pixels: torch.Tensor
    schema: dict[str, Attribute] = field(default_factory=lambda: {"identity": Attribute("identity")})
    name: str = "squares"
    spec: str = ""
    size: tuple[int, int] | None = (SIDE, SIDE)
    reads: int = 0

    def __len__(self) -> int:
        return len(self.table)

    def images(self, indices):
        self.reads += len(indices)
        return self.pixels[list(indices)]

    def image(self, index):
        self.reads += 1
        return self.pixels[index]

    def digest(self) -> str:
        return str(int(self.pixels.long().sum()))


def squares(
    people: int = 6, each: int = 8, *, seed: int = 0, prefix: str = "p", shades: float = 0.0
) -> Faces:
    rng = np.random.default_rng(seed)
    colours = rng.integers(40, 215, (people, 3))
    who = np.repeat(np.arange(people), each)
    noise = rng.normal(0, 12, (len(who), 3, SIDE, SIDE))
    shade = rng.normal(0, shades, (len(who), 1, 1, 1))
    pixels = (colours[who][:, :, None, None] + shade + noise).clip(0, 255).astype(np.uint8)
    table = pd.DataFrame(
        {
            "image_id": [f"{prefix}{i}" for i in range(len(who))],
            "identity": pd.array([f"{prefix}{w}" for w in who], dtype="string"),
        }
    )
    return Faces(table, torch.from_numpy(pixels))


class Tiny(nn.Module):
    """A convolution, batch norm and drop-out, so that state and chance matter."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        )
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(8, 6)

    def forward(self, x):
        return self.fc(self.drop(self.body(x).flatten(1)))


RECIPE = Recipe(
    "tiny",
    epochs=4,
    batch_size=8,
    input_size=(SIDE, SIDE),
    shortest_side=SIDE,
    padding=1,
    flip=0.5,
    brightness=0.1,
    head="cosine",
    learning_rate=0.1,
    schedule="plateau",
    plateau_patience=0,
    seeds=(0,),
    checkpoints=5,
)
LEARN = replace(RECIPE, epochs=16, schedule="cosine", checkpoints=2)


class StoppedError(Exception):
    pass


class StopAt:
    """A progress that ends the training after a number of steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def task(self, description: str):
        def progress(done: int, total: int) -> None:
            if description.startswith("Training") and done == self.step:
                raise StoppedError

        return progress


def run(out: Path, recipe: Recipe = RECIPE, **options):
    options.setdefault("validation", squares(8, 4, seed=9, prefix="v", shades=40.0))
    return train(Tiny, options.pop("faces", squares()), recipe, out, **options)


def same(a: Path, b: Path) -> bool:
    one, other = load_file(a), load_file(b)
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole") / "t")


def test_checkpoints_are_log_spaced_from_step_0(whole):
    steps = whole.checkpoints["step"].tolist()
    assert steps == [0, 1, 3, 8, 24]
    untrained, last = (load_file(whole.path(step=s)) for s in (0, 24))
    assert not torch.equal(untrained["fc.weight"], last["fc.weight"])
    assert set(last) == set(Tiny().state_dict())  # the classifier is dropped


def test_step_0_holds_the_weights_of_the_seed(whole):
    torch.manual_seed(0)
    fresh = Tiny().state_dict()
    kept = load_file(whole.path(step=0))
    assert all(torch.equal(fresh[k], kept[k]) for k in fresh)


def test_log_is_tidy_and_says_what_happened(whole):
    table = whole.table
    assert table.columns.tolist() == ["seed", "step", "epoch", "lr", "loss", "accuracy", "valid_auc"]
    assert table["step"].tolist() == [0, 1, 3, 6, 8, 12, 18, 24]
    assert table["epoch"].tolist() == [0, 0, 0, 1, 1, 2, 3, 4]
    assert np.isnan(table["loss"][0])
    assert table["loss"][1:].notna().all()
    assert table["valid_auc"].between(0, 1).all()
    pd.testing.assert_frame_equal(table, pd.read_parquet(whole.folder / "log.parquet"))


def test_an_easy_task_is_learnt(tmp_path):
    table = run(tmp_path / "t", LEARN).table
    assert table["loss"].iloc[-1] < 0.3 * table["loss"].iloc[1]
    assert table["accuracy"].iloc[-1] > 0.5  # of six people, with drop-out


def test_best_weights_have_the_highest_validation_auc(whole):
    row = whole.seeds.iloc[0]
    assert row["valid_auc"] == whole.table["valid_auc"].max()
    first = whole.table.loc[whole.table["valid_auc"].idxmax(), "step"]
    assert row["best_step"] == first


def test_last_weights_are_chosen_where_the_recipe_says_so(tmp_path):
    result = run(tmp_path / "t", replace(RECIPE, epochs=1, select="last"))
    assert result.seeds["best_step"].tolist() == [6]
    assert same(result.best, result.path(step=6))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(("stop", "minutes"), [(3, 9.0), (11, 0.0), (11, 9.0), (24, 9.0)])
def test_a_resumed_training_ends_in_the_same_weights(whole, tmp_path, stop, minutes, optimizer):
    recipe = replace(RECIPE, optimizer=optimizer, learning_rate=0.1 if optimizer == "sgd" else 0.01)
    reference = whole if optimizer == "sgd" else run(tmp_path / "reference", recipe)
    with pytest.raises(StoppedError):
        run(tmp_path / "t", recipe, progress=StopAt(stop), save_minutes=minutes)
    assert not load_training(tmp_path / "t").seeds["complete"].any()
    torch.manual_seed(12345)  # what the caller draws in between does not matter
    result = run(tmp_path / "t", recipe)
    assert same(result.best, reference.best)
    assert result.checkpoints["step"].tolist() == reference.checkpoints["step"].tolist()
    for a, b in zip(result.checkpoints["path"], reference.checkpoints["path"], strict=True):
        assert same(a, b)
    pd.testing.assert_frame_equal(result.table, reference.table)


def test_resuming_takes_up_the_saved_step(tmp_path, monkeypatch):
    with pytest.raises(StoppedError):
        run(tmp_path / "t", progress=StopAt(11), save_minutes=0.0)
    taken = []
    original = loop.Trainer._take_step
    monkeypatch.setattr(
        loop.Trainer, "_take_step", lambda self, d: (taken.append(self.step), original(self, d))
    )
    run(tmp_path / "t")
    # The progress stopped it after the state of step 11 was on the disk.
    assert taken == list(range(11, 24))


def test_a_finished_training_is_given_back_and_seeds_can_be_added(tmp_path):
    recipe = replace(RECIPE, epochs=1)
    first = run(tmp_path / "t", recipe)
    before = first.best.stat().st_mtime_ns
    more = run(tmp_path / "t", recipe, seeds=(0, 1))
    assert first.best.stat().st_mtime_ns == before
    assert more.seeds["seed"].tolist() == [0, 1]
    assert more.table["seed"].tolist() == [0] * 5 + [1] * 5
    assert not same(more.path(seed=0, step=0), more.path(seed=1, step=0))
    assert more.seeds["valid_auc"].max() == more.seeds.set_index("seed")["valid_auc"][more.best_seed]


def test_nothing_is_pickled_and_no_state_is_left(whole):
    names = {p.name for p in whole.folder.rglob("*") if p.is_file()}
    assert {p.rsplit(".", 1)[-1] for p in names} == {"json", "parquet", "safetensors"}
    assert "state.safetensors" not in names
    for path in whole.folder.rglob("*.safetensors"):
        load_file(path)


def test_the_caller_s_random_numbers_are_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(tmp_path / "t", replace(RECIPE, epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_another_recipe_in_the_folder_is_refused(tmp_path):
    recipe = replace(RECIPE, epochs=1)
    result = run(tmp_path / "t", recipe)
    before = {p: p.read_bytes() for p in result.folder.rglob("*") if p.is_file()}
    with pytest.raises(RunError, match=r"recipe\.learning_rate: 0\.1 there, 0\.2 asked"):
        run(tmp_path / "t", replace(recipe, learning_rate=0.2))
    with pytest.raises(RunError, match="faces_digest"):
        run(tmp_path / "t", recipe, faces=squares(seed=3))
    with pytest.raises(RunError, match="resume=True"):
        run(tmp_path / "t", recipe, resume=False)
    assert {p: p.read_bytes() for p in result.folder.rglob("*") if p.is_file()} == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_text("x")
    with pytest.raises(RunError, match=r"holds no readable training\.json"):
        run(tmp_path)
    with pytest.raises(RunError, match="is a file"):
        run(tmp_path / "holiday.jpg")


def test_a_broken_log_is_named(tmp_path):
    result = run(tmp_path / "t")
    log = tmp_path / "t" / "log.parquet"
    log.write_bytes(b"PAR1")
    with pytest.raises(RunError, match=r"log\.parquet' cannot be read: .* Remove it"):
        load_training(tmp_path / "t")
    log.unlink()
    assert load_training(tmp_path / "t").checkpoints.equals(result.checkpoints)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_leaves_no_folder(tmp_path, device):
    with pytest.raises(NetworkError, match=f"Nothing can be trained on the device '{device}'"):
        run(tmp_path / "t", device=device)
    assert not (tmp_path / "t").exists()


def test_a_full_disk_loses_nothing(whole, tmp_path, monkeypatch):
    original = Path.write_bytes

    def full(self, data):
        if "step_0000008" in self.name:
            original(self, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match=r"The disk is full: .*step_0000008"):
        run(tmp_path / "t")
    left = load_training(tmp_path / "t")
    assert left.checkpoints["step"].tolist() == [0, 1, 3]
    assert all(same(left.path(seed=0, step=s), whole.path(step=s)) for s in (0, 1, 3))
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.undo()
    result = run(tmp_path / "t")
    assert same(result.path(step=24), whole.path(step=24))


def test_images_are_read_once_within_the_budget(tmp_path):
    faces = squares()
    run(tmp_path / "all", replace(RECIPE, epochs=2), faces=faces)
    assert faces.reads == len(faces)
    poor = squares()
    few = run(tmp_path / "none", replace(RECIPE, epochs=2), faces=poor, memory_gb=3 * SIDE * SIDE * 5 / 1e9)
    assert poor.reads > len(poor)
    assert same(few.best, load_training(tmp_path / "all").best)


def test_sets_of_mixed_size_are_cropped(tmp_path):
    faces = squares()
    faces.size = None
    original = faces.pixels
    faces.image = lambda i: original[i][:, : SIDE - i % 3]
    result = run(tmp_path / "t", replace(RECIPE, epochs=1), faces=faces)
    assert result.seeds["complete"].all()


def test_trained_weights_become_a_network(whole):
    net = whole.load(network=Tiny)
    assert (net.card.input_size, net.card.head, net.card.classes) == ((SIDE, SIDE), "embedding", None)
    faces = squares(8, 4, seed=9, prefix="v", shades=40.0)
    with torch.no_grad():
        embeddings = net.embed(net.prepare(faces.images(range(32))))
    codes = np.repeat(range(8), 4)
    assert verification_auc(embeddings.numpy(), codes).auc == pytest.approx(whole.seeds["valid_auc"][0])
    fresh, last = (whole.load(network=Tiny, step=s).module for s in (0, 24))
    assert not torch.equal(fresh.fc.weight, last.fc.weight)
    with pytest.raises(RunError, match=r"no weights of step 4 of seed 0; did you mean '24'"):
        whole.load(network=Tiny, step=4)
    with pytest.raises(RunError, match=r"no weights of seed 7; its seeds are \[0\]"):
        whole.load(network=Tiny, seed=7)
    with pytest.raises(WeightsError, match="do not fit"):
        whole.load(network="demo")


def test_an_attribute_keeps_its_classifier(tmp_path):
    faces = squares()
    faces.schema["Red"] = Attribute("binary")
    red = faces.pixels[:, 0].float().mean((1, 2)) > 127
    faces.table["Red"] = pd.array(red.tolist(), dtype="boolean")
    faces.table.loc[0, "Red"] = pd.NA
    result = train(
        Tiny, faces, replace(LEARN, head="linear"), tmp_path / "t", attribute="Red", validation=None
    )
    assert result.record["request"]["classes"] == ["False", "True"]
    assert result.record["request"]["n_images"] == len(faces) - 1
    assert load_file(result.best)["classifier.weight"].shape == (2, 6)
    assert result.table["accuracy"].iloc[-1] > 0.9
    assert result.table["valid_auc"].isna().all()
    net = result.load(network=Tiny)
    assert (net.card.head, net.card.classes) == ("logits", ("False", "True"))
    with torch.no_grad():
        said = net(net.prepare(faces.images(range(48)))).argmax(dim=1).bool()
    assert (said == red).float().mean() > 0.9


def test_valid_auc_of_an_attribute_is_one_class_against_the_rest(tmp_path):
    def make(seed, prefix):
        faces = squares(40, 2, seed=seed, prefix=prefix)
        faces.schema["Red"] = Attribute("binary")
        red = faces.pixels[:, 0].float().mean((1, 2)) > 127
        faces.table["Red"] = pd.array(red.tolist(), dtype="boolean")
        return faces

    result = train(
        Tiny,
        make(0, "p"),
        replace(LEARN, head="linear"),
        tmp_path / "t",
        attribute="Red",
        validation=make(1, "v"),
    )
    assert result.table["valid_auc"].max() > 0.9


@pytest.mark.parametrize(
    ("spoil", "error", "text"),
    [
        (lambda f: {"attribute": "identty"}, DataError, "did you mean 'identity'"),
        (lambda f: {"validation": f}, DataError, "shows people of the training set: 'p0' and 5 more"),
        (lambda f: {"faces": squares(1)}, DataError, "has 1 class over 8 labelled images"),
        (lambda f: {"validation": squares(8, 1, prefix="v")}, DataError, "one image of each person"),
        (lambda f: {"seeds": (0, 0)}, SpecError, "'seeds' must be different"),
        (lambda f: {"seeds": ()}, SpecError, "'seeds' must be different"),
    ],
)
def test_bad_input(tmp_path, spoil, error, text):
    with pytest.raises(error, match=text):
        run(tmp_path / "t", **spoil(squares()))
    assert not (tmp_path / "t").exists()


def reddish(seed=0, prefix="p"):
    """Squares with a continuous attribute that their colour says, some of it missing."""
    faces = squares(24, 3, seed=seed, prefix=prefix)
    faces.schema["redness"] = Attribute("continuous", unit="%")
    faces.table["redness"] = 1000 + faces.pixels[:, 0].double().mean((1, 2)).numpy()
    faces.table.loc[0, "redness"] = np.nan
    return faces


def test_a_continuous_attribute_is_regressed_in_its_own_unit(tmp_path):
    faces, unseen = reddish(), reddish(1, "v")
    recipe = replace(LEARN, learning_rate=0.05, brightness=0.0, epochs=12)
    given = {"attribute": "redness", "validation": unseen}
    with pytest.raises(StoppedError):
        train(Tiny, faces, recipe, tmp_path / "t", progress=StopAt(40), **given)
    result = train(Tiny, faces, recipe, tmp_path / "t", **given)
    assert same(result.best, train(Tiny, faces, recipe, tmp_path / "whole", **given).best)
    asked = result.record["request"]
    assert (asked["kind"], asked["classes"], asked["n_images"]) == ("continuous", [], 71)
    assert result.table["accuracy"].isna().all()
    assert result.table["valid_auc"].max() > 0.9
    net = result.load(network=Tiny)
    assert (net.card.head, net.card.classes) == ("values", ("redness",))
    truth = unseen.table["redness"].to_numpy()[1:]
    with torch.no_grad():
        said = net(net.prepare(unseen.images(range(1, 72))))[:, 0].double().numpy()
    assert ((said - truth) ** 2).mean() < 0.5 * truth.var()


def test_one_value_is_nothing_to_learn(tmp_path):
    faces = reddish()
    with pytest.raises(DataError, match=r"'redness' is continuous, so 'identity\+redness' names no classes"):
        run(tmp_path / "t", faces=faces, attribute="identity+redness")
    faces.table["redness"] = 1.0
    with pytest.raises(
        DataError, match="'redness' of 'squares' has 1 value over 72 labelled images; at least 2"
    ):
        run(tmp_path / "t", faces=faces, attribute="redness")


def test_training_begins_from_the_weights_that_are_named(tmp_path):
    net = load_network("resnet10?width=4&variant=small")
    save_file(net.randomized(7).module.state_dict(), tmp_path / "w.safetensors")
    spec = f"resnet10?width=4&variant=small&weights={tmp_path}/w.safetensors"
    recipe = replace(RECIPE, epochs=1, batch_size=24, learning_rate=1e-9)
    result = train(spec, squares(), recipe, tmp_path / "t")
    assert same(result.path(step=0), tmp_path / "w.safetensors")
    asked = result.record["request"]
    assert asked["network"] == "resnet10?width=4&variant=small"
    assert len(asked["start"]["digest"]) == 64
    (tmp_path / "w.safetensors").unlink()
    assert result.load(step=0).n_parameters == net.n_parameters
    with pytest.raises(WeightsError, match="There are no weights"):
        train(spec, squares(), recipe, tmp_path / "other")


@pytest.mark.parametrize(
    ("network", "error", "text"),
    [
        (lambda: nn.Conv2d(3, 4, 3), NetworkError, r"shape \(n, d\).*got shape \(2, 4, 14, 14\)"),
        (lambda: nn.Linear(5, 4), NetworkError, "does not run on images of 16 x 16"),
        ("demo?checkpoint=0", SpecError, "trained from fresh weights"),
        ("demo?weights=a.safetensors", WeightsError, r"no weights 'a\.safetensors'"),
        ("timm:resnet5O", SpecError, "did you mean 'resnet5"),
    ],
)
def test_bad_networks(tmp_path, network, error, text):
    with pytest.raises(error, match=text):
        train(network, squares(), RECIPE, tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_a_loss_that_explodes_is_an_error(tmp_path):
    with pytest.raises(RunError, match="no longer a number after step"):
        run(tmp_path / "t", replace(RECIPE, head="linear", learning_rate=1e30, epochs=8), validation=None)


def test_recipes_without_faces_say_so(tmp_path):
    with pytest.raises(SpecError, match="'tiny' brings no faces of its own"):
        train(Tiny, None, RECIPE, tmp_path / "t")
