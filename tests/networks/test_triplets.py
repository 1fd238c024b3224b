"""Triplets: the loss against a slow reference, the batches, and a training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fusiform.errors import DataError, SpecError
from fusiform.faces import Attribute, FaceSet
from fusiform.networks import FaceNetwork
from fusiform.networks.training import Recipe, find_recipe, train, triplet_loss
from fusiform.networks.training._measure import concordance, verification_accuracy
from fusiform.networks.training._triplets import TripletHead, class_batches, triplet_steps

RECIPE = Recipe(
    "tiny",
    head="triplet",
    margin=0.2,
    epochs=6,
    batch_size=12,
    images_each=3,
    triplets=240,
    input_size=(16, 16),
    shortest_side=16,
    grey=0.0,
    learning_rate=0.05,
    schedule="cosine",
    seeds=(0,),
    checkpoints=2,
    select="last",
)


def slow_loss(embeddings, codes, margin):
    unit = [e / math.sqrt(float((e * e).sum())) for e in embeddings.double()]
    distance = [[float(((a - b) ** 2).sum()) for b in unit] for a in unit]
    losses = []
    for a in range(len(codes)):
        for p in range(len(codes)):
            if p == a or codes[a] != codes[p]:
                continue
            others = [distance[a][n] for n in range(len(codes)) if codes[n] != codes[a]]
            farther = [d for d in others if d > distance[a][p]]
            negative = min(farther) if farther else max(others)
            losses.append(max(0.0, distance[a][p] - negative + margin))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("margin", [0.05, 0.2, 0.9])
def test_loss_is_the_slow_reference(spread, margin):
    generator = torch.Generator().manual_seed(int(spread * 10))
    codes = torch.tensor([0, 1, 2, 0, 1, 2, 2, 0, 3, 3])
    centres = torch.randn(4, 5, generator=generator)
    embeddings = centres[codes] + spread * torch.randn(10, 5, generator=generator)
    expected = slow_loss(embeddings, codes.tolist(), margin)
    assert float(triplet_loss(embeddings, codes, margin=margin)) == pytest.approx(expected, abs=1e-5)
    # The length of an embedding says nothing.
    assert float(triplet_loss(7 * embeddings, codes, margin=margin)) == pytest.approx(expected, abs=1e-5)


def test_semi_hard_negatives_and_not_the_hardest_are_taken():
    angle = torch.deg2rad(torch.tensor([0.0, 60.0, 30.0, 90.0]))
    embeddings = torch.stack([angle.cos(), angle.sin()], dim=1)
    codes = torch.tensor([0, 0, 1, 2])
    between = 2 - 2 * math.cos(math.radians(60))
    # From 0 degrees the negative at 30 is nearer than the positive; that at 90 is the semi-hard one. From 60 both lie
    # nearer than the positive and equally far, so the farthest is taken.
    from_0, from_60 = 2.0, 2 - 2 * math.cos(math.radians(30))
    expected = (max(0, between - from_0 + 0.5) + between - from_60 + 0.5) / 2
    assert float(triplet_loss(embeddings, codes, margin=0.5)) == pytest.approx(expected, abs=1e-5)


def test_without_negatives_or_pairs_there_is_no_loss_but_a_gradient():
    for codes in ([1, 1, 1], [0, 1, 2]):
        embeddings = torch.randn(3, 4, requires_grad=True)
        loss = triplet_loss(embeddings, torch.tensor(codes))
        loss.backward()
        assert float(loss.detach()) == 0
        assert torch.equal(embeddings.grad, torch.zeros(3, 4))


def test_hits_count_nearest_neighbours_of_the_same_class():
    e = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.2]])
    head = TripletHead(margin=0.2)
    assert head.hits(head(e), torch.tensor([0, 0, 1, 1])) == 3  # the last lies nearer to the second
    assert list(head.parameters()) == []


def test_an_epoch_holds_the_triplets_of_the_paper():
    recipe = find_recipe("triplets")
    assert recipe.triplets == 80_000
    # Every image of a batch is an anchor with each other image of its class.
    assert triplet_steps(recipe) * recipe.batch_size * (recipe.images_each - 1) >= 80_000
    assert (triplet_steps(recipe) - 1) * recipe.batch_size * (recipe.images_each - 1) < 80_000


def test_batches_hold_each_class_once_and_each_image_once():
    codes = np.repeat(np.arange(6), [3, 4, 5, 9, 3, 20])
    batches = class_batches(codes, 50, RECIPE, np.random.default_rng(0))
    assert batches.shape == (50, 12)
    for batch in batches:
        assert len(set(batch)) == 12
        assert np.unique(codes[batch], return_counts=True)[1].tolist() == [3] * 4
    assert set(np.unique(batches)) == set(range(len(codes)))
    drawn = np.bincount(codes[batches.ravel()])
    assert drawn.min() > 0.6 * drawn.mean()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"batch_size": 13},
            "'batch_size' .* a multiple of 3 .*images_each.*, of at least 6, for triplets; got 13",
        ),
        ({"batch_size": 3}, "at least 6, for triplets; got 3"),
        ({"images_each": 1}, "'images_each' .* at least 2; got 1"),
        ({"triplets": 0}, "'triplets' .* at least 1; got 0"),
    ],
)
def test_recipes_of_triplets_are_checked(change, text):
    with pytest.raises(SpecError, match=text):
        replace(RECIPE, **change)


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 4, 4)
        self.norm = nn.BatchNorm2d(12)
        self.fc = nn.Linear(12, 4)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().mean((2, 3)))


def coloured(n_colours=8, each=9, seed=0):
    """Squares in one colour a group, which two attributes name together, and one group with a single image."""
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(99).integers(40, 215, (n_colours, 3))
    group = np.repeat(np.arange(n_colours), each)
    pixels = colours[group][:, :, None, None] + rng.normal(0, 12, (len(group), 3, 16, 16))
    images = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))
    faces = FaceSet.from_arrays(images, name="coloured")
    faces = faces.with_attribute("race", [f"r{g // 2}" for g in group], Attribute("categorical"))
    return faces.with_attribute("Male", [bool(g % 2) for g in group], Attribute("binary"))


def test_what_a_triplet_shares_is_learnt_and_told(tmp_path):
    faces, unseen = coloured(), coloured(seed=1)
    faces = faces.subset([*range(64), 65])  # two images of the last group: too few for a batch
    result = train(Tiny, faces, RECIPE, tmp_path / "t", attribute="race+Male", validation=unseen)
    asked = result.record["request"]
    assert (asked["attribute"], asked["kind"], asked["n_images"]) == ("race+Male", "identity", 63)
    assert (asked["recipe"]["triplets"], asked["recipe"]["images_each"]) == (240, 3)
    assert result.table["step"].iloc[-1] == 6 * 10
    assert result.table["valid_auc"].iloc[-1] > max(0.9, result.table["valid_auc"].iloc[0])
    assert result.table["accuracy"].iloc[-1] > 0.9
    assert result.table["loss"].iloc[-1] < 0.5 * result.table["loss"].iloc[1]
    net = result.load(network=Tiny)
    assert isinstance(net, FaceNetwork)
    assert net.card.head == "embedding"
    again = train(Tiny, faces, RECIPE, tmp_path / "t", attribute="race+Male", validation=unseen)
    assert again.best.stat().st_mtime_ns == result.best.stat().st_mtime_ns


def test_too_few_classes_or_none(tmp_path):
    faces = coloured(3)
    with pytest.raises(
        DataError, match=r"takes 4 classes of race\+Male with that many images; there are 3\. Make"
    ):
        train(Tiny, faces, RECIPE, tmp_path / "t", attribute="race+Male")
    faces = faces.with_attribute("yaw", range(27), Attribute("continuous"))
    with pytest.raises(DataError, match="'yaw' is continuous; the images of a triplet share a class"):
        train(Tiny, faces, RECIPE, tmp_path / "t", attribute="yaw")
    assert not (tmp_path / "t").exists()


def test_concordance_counts_pairs():
    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 6, 40).astype(float), rng.integers(0, 6, 40).astype(float)
    pairs = [(i, j) for i in range(40) for j in range(40) if truth[i] < truth[j]]
    right = [1.0 if said[i] < said[j] else 0.5 if said[i] == said[j] else 0.0 for i, j in pairs]
    assert concordance(truth, said) == pytest.approx(np.mean(right))
    assert concordance(truth, np.ones(40)) == 0.5
    assert math.isnan(concordance(np.ones(40), said))


def test_verification_accuracy():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(30), 5)
    assert verification_accuracy(rng.normal(size=(30, 64))[codes], codes)[0] == 1.0
    chance, n = verification_accuracy(rng.normal(size=(150, 64)), codes)
    assert n == 2 * 30 * 10
    assert abs(chance - 0.5) < 4 * 0.5 / np.sqrt(n)
    with pytest.raises(
        DataError, match="at least 10 pairs of images of one class and as many of two; got 3 and"
    ):
        verification_accuracy(np.eye(6), np.array([0, 0, 1, 1, 2, 2]))
