"""Recipes, the order of images, schedules, augmentation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fusiform.errors import SpecError
from fusiform.networks.training import RECIPES, Recipe, epoch_order, find_recipe, log_spaced_steps
from fusiform.networks.training._pixels import plain_batch, resize_shortest, training_batch
from fusiform.networks.training._plan import Plateau, learning_rate

SMALL = Recipe("small", input_size=(8, 8), shortest_side=8, grey=0.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_diniz2021_is_what_the_paper_says():
    r = RECIPES["diniz2021"]
    assert (r.sampling, r.grey, r.shortest_side, r.input_size) == ("uniform_classes", 0.2, 256, (224, 224))
    assert (r.optimizer, r.learning_rate, r.schedule, r.plateau_factor) == ("sgd", 0.005, "plateau", 0.1)
    assert (r.batch_size, r.epochs, r.head, r.select, len(r.seeds)) == (64, 50, "linear", "valid_auc", 3)
    assert r.networks == ("timm:resnet50", "timm:mobilenetv2_100", "timm:vgg16")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"grey": 1.2}, r"'grey' of the recipe 'demo' must be a number in \[0, 1\]; got 1.2"),
        ({"epochs": 0}, "'epochs' .* a whole number of at least 1; got 0"),
        ({"batch_size": 2.5}, "'batch_size' .* got 2.5"),
        ({"learning_rate": -1.0}, "'learning_rate' .* above 0"),
        ({"learning_rate": float("nan")}, "'learning_rate' .* above 0"),
        ({"momentum": 1.0}, r"'momentum' .* in \[0, 1\)"),
        ({"sampling": "random"}, "one of 'uniform_classes', 'uniform_images', 'uniform_pairs'; got 'random'"),
        ({"checkpoints": 1}, "'checkpoints' .* at least 2"),
        ({"shortest_side": 64}, "do not fit"),
        ({"seeds": ()}, "'seeds' .* at least one number"),
        ({"learning_rat": 1.0}, "no field 'learning_rat'; did you mean 'learning_rate'"),
    ],
)
def test_recipes_are_checked(change, text):
    with pytest.raises(SpecError, match=text):
        find_recipe("demo", **change)


def test_unknown_recipe():
    with pytest.raises(SpecError, match="There is no recipe 'Demoo'; did you mean 'demo'"):
        find_recipe("Demoo")


def test_classes_are_drawn_equally_often_however_many_images_they_have():
    labels = np.repeat(np.arange(5), [100, 50, 10, 3, 1])
    order = epoch_order(labels, 163, seed=3, epoch=2)
    drawn = np.bincount(labels[order], minlength=5)
    assert drawn.max() - drawn.min() <= 1
    # Images of a class take turns: none is seen again before all are.
    for c in range(5):
        seen = np.bincount(order, minlength=164)[:164][labels == c]
        assert seen.max() - seen.min() <= 1


def test_images_are_drawn_equally_often_where_asked():
    labels = np.repeat(np.arange(3), [7, 2, 1])
    order = epoch_order(labels, 20, sampling="uniform_images")
    assert np.bincount(order).tolist() == [2] * 10


def test_orders_are_shuffled_and_repeatable():
    labels = np.repeat(np.arange(10), 10)
    order = epoch_order(labels, 100, seed=1, epoch=4)
    assert np.array_equal(order, epoch_order(labels, 100, seed=1, epoch=4))
    assert sorted(order) == list(range(100))
    for other in ({"seed": 2, "epoch": 4}, {"seed": 1, "epoch": 5}):
        assert not np.array_equal(order, epoch_order(labels, 100, **other))
    # Labels do not come in blocks, and which image of a person comes is no fixed turn.
    assert len(set(labels[order[:10]])) == 10
    assert len(set((order % 10)[:10])) > 3


def test_log_spaced_steps():
    assert log_spaced_steps(10_000, 5) == (0, 1, 22, 464, 10_000)
    assert log_spaced_steps(4000, 4, first=40) == (0, 40, 400, 4000)
    assert log_spaced_steps(3, 12) == (0, 1, 2, 3)
    assert log_spaced_steps(7, 2) == (0, 7)
    assert log_spaced_steps(5, 6, first=100) == (0, 5)


def test_plateau_divides_the_rate_by_ten():
    recipe = RECIPES["diniz2021"]
    plateau = Plateau(patience=2, threshold=0.01)
    rates = []
    for loss in [5.0, 4.0, 3.999, 3.998, 3.997, 3.0, 3.1, 3.2, 2.999, 1.0]:
        plateau.update(loss)
        rates.append(learning_rate(recipe, 0, 100, plateau.drops))
    assert np.allclose(rates, [5e-3] * 4 + [5e-4] * 4 + [5e-5] * 2)


def test_cosine_schedule_warms_up_and_ends_at_nothing():
    recipe = replace(RECIPES["demo"], learning_rate=0.2, warmup=0.1)
    rates = np.array([learning_rate(recipe, step, 100) for step in range(100)])
    assert rates[0] == pytest.approx(0.02)
    assert rates.argmax() in (9, 10)
    assert rates.max() == pytest.approx(0.2)
    assert (np.diff(rates[10:]) < 0).all()
    assert rates[-1] < 0.001


def test_grey_share():
    recipe = replace(SMALL, grey=0.2)
    images = list(torch.randint(0, 256, (4000, 3, 8, 8), dtype=torch.uint8))
    x = training_batch(images, recipe, rng())
    grey = (x[:, 0] - x[:, 1]).abs().amax((1, 2)) < 1e-6
    assert abs(grey.float().mean() - 0.2) < 0.02
    untouched = plain_batch(images, recipe)
    assert torch.equal(x[~grey], untouched[~grey])
    r, g, b = untouched[grey].unbind(1)
    assert torch.allclose(x[grey][:, 0], 0.299 * r + 0.587 * g + 0.114 * b, atol=1e-5)


def test_crops_reach_every_offset_equally():
    recipe = replace(SMALL, shortest_side=10)
    image = torch.zeros(3, 10, 10, dtype=torch.uint8)
    image[0] = torch.arange(100, dtype=torch.uint8).reshape(10, 10)
    corner = ((training_batch([image] * 3600, recipe, rng())[:, 0, 0, 0] * 0.5 + 0.5) * 255).round().int()
    count = np.unique(corner.numpy(), return_counts=True)
    assert count[0].tolist() == [0, 1, 2, 10, 11, 12, 20, 21, 22]
    assert (abs(count[1] - 400) < 80).all()
    middle = ((plain_batch([image], recipe)[0, 0, 0, 0] * 0.5 + 0.5) * 255).round()
    assert middle == 11


def test_padding_repeats_the_edge():
    recipe = replace(SMALL, padding=3)
    image = torch.arange(64, dtype=torch.uint8).reshape(1, 8, 8).expand(3, 8, 8)
    padded = torch.nn.functional.pad(image.float(), (3, 3, 3, 3), mode="replicate")
    found = set()
    for crop in training_batch([image] * 60, recipe, rng()):
        pixels = ((crop * 0.5 + 0.5) * 255).round()
        hits = [
            (r, c) for r in range(7) for c in range(7) if torch.equal(padded[:, r : r + 8, c : c + 8], pixels)
        ]
        assert len(hits) == 1
        found |= set(hits)
    assert len(found) > 25


def test_flip_and_light():
    image = torch.randint(60, 190, (3, 8, 8), dtype=torch.uint8)
    flipped = training_batch([image], replace(SMALL, flip=1.0), rng())
    assert torch.equal(flipped, plain_batch([image.flip(2)], SMALL))
    plain = plain_batch([image], SMALL) * 0.5 + 0.5
    bright = training_batch([image] * 400, replace(SMALL, brightness=0.2), rng()) * 0.5 + 0.5
    factor = (bright / plain).mean((1, 2, 3))
    assert factor.min() > 0.799
    assert factor.max() < 1.201
    assert factor.std() == pytest.approx(0.4 / 12**0.5, rel=0.1)
    flat = training_batch([image] * 400, replace(SMALL, contrast=0.3), rng()) * 0.5 + 0.5
    spread = flat.std((1, 2, 3)) / plain.std()
    assert 0.69 < spread.min() < 0.75
    assert torch.allclose(flat.mean((1, 2, 3)), plain.mean(), atol=1e-4)


def test_shortest_side():
    image = torch.randint(0, 256, (1, 3, 40, 30), dtype=torch.uint8)
    assert resize_shortest(image, 15).shape == (1, 3, 20, 15)
    assert resize_shortest(image, 30) is image
    flat = torch.full((2, 3, 12, 9), 77, dtype=torch.uint8)
    assert (resize_shortest(flat, 18) == 77).all()
