import numpy as np
import pytest
import torch
from torch import nn

from fusiform.errors import DataError, NetworkError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.probing._identification import _hits, identify

COLUMNS = ["network", "layer", "metric", "value", "lower", "upper", "chance", "n", "n_identities"]


class Patches(nn.Module):
    """The mean colours of 4 x 4 patches: what tells people apart in the planted faces."""

    def __init__(self, outputs=None):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.flatten = nn.Flatten()
        self.fc = nn.Identity() if outputs is None else nn.Linear(48, outputs)

    def forward(self, x):
        return self.fc(self.flatten(self.pool(x)))


def network(module, head="embedding"):
    return FaceNetwork(module, NetworkCard(name="patches", input_size=(48, 48), head=head))


def by_hand(net, faces, gallery):
    """Every probe against every person, one after the other."""
    with torch.no_grad():
        unit = net.embed(net.prepare(faces.images())).double().numpy()
    who = faces.table.identity.to_numpy()
    known = {person: unit[[i for i in gallery if who[i] == person]].mean(axis=0) for person in set(who)}
    ranks = []
    for i in set(range(len(who))) - set(gallery):
        scores = {person: unit[i] @ mean / np.linalg.norm(mean) for person, mean in known.items()}
        ranks.append(sum(score >= scores[who[i]] for score in scores.values()))
    return [np.mean([rank <= k for rank in ranks]) for k in (1, 5)], len(ranks)


@pytest.mark.parametrize("n_gallery", [1, 3])
def test_equal_to_the_ranks_of_all_people(small_net, planted_faces, n_gallery, monkeypatch):
    from fusiform.probing import _identification as module

    drawn = []
    draw = module._draw
    monkeypatch.setattr(module, "_draw", lambda *given: drawn.append(draw(*given)) or drawn[-1])
    table = identify(small_net, planted_faces, n_gallery=n_gallery, seed=2)
    assert table.columns.tolist() == COLUMNS
    rows, people, in_gallery = drawn[0]
    assert (np.bincount(people[in_gallery]) == n_gallery).all()
    values, n = by_hand(small_net, planted_faces, rows[in_gallery])
    np.testing.assert_allclose(table.value, values, atol=2 / n)
    assert table.n.tolist() == [n, n] == [600 - 60 * n_gallery] * 2
    assert table.n_identities.tolist() == [60, 60]
    np.testing.assert_allclose(table.chance, [1 / 60, 5 / 60])
    assert (table.lower <= table.value).all()
    assert (table.value <= table.upper).all()
    assert table.layer.tolist() == ["fc", "fc"]


def test_people_who_can_be_told_apart_are_and_others_are_not(planted_faces):
    told = identify(network(Patches()), planted_faces, n_gallery=3)
    assert (told.lower > [10 / 60, 5 * 5 / 60]).all()
    shuffled = planted_faces.with_attribute(
        "identity",
        np.random.default_rng(0).permutation(planted_faces.table.identity),
        planted_faces.schema["identity"],
    )
    found = identify(network(Patches()), shuffled)
    assert (found.lower <= found.chance).all()
    assert (found.chance <= found.upper).all()


def test_one_embedding_for_all_scores_chance():
    own = np.array([0, 1, 2, 3, 4, 5, 6, 7])
    alike = np.ones((8, 4), dtype=np.float32)
    np.testing.assert_allclose(_hits(alike, alike, own), np.tile([1 / 8, 5 / 8], (8, 1)))
    apart = np.eye(8, dtype=np.float32)
    np.testing.assert_array_equal(_hits(apart, apart, own), 1)
    # Every other person is nearer.
    np.testing.assert_array_equal(_hits(apart, 1 - apart, own), 0)
    # An embedding of length 0 is as near to all.
    np.testing.assert_allclose(_hits(0 * apart, apart, own)[:, 0], 1 / 8)


def test_of_a_classifier_the_layer_before_it_is_read(planted_faces):
    found = identify(network(Patches(outputs=2), head="logits"), planted_faces, seed=1)
    assert found.layer.tolist() == ["pool", "pool"]
    plain = identify(network(Patches()), planted_faces, seed=1)
    np.testing.assert_allclose(found.value, plain.value)


def test_the_seed_draws_the_gallery(small_net, planted_faces):
    one, again, other = (identify(small_net, planted_faces, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.value, again.value)
    assert one.value.tolist() != other.value.tolist()


def test_people_with_too_few_images_and_unknown_people_are_left_out(small_net, planted_faces):
    who = planted_faces.table.identity.copy()
    who[planted_faces.table.identity == "p00"] = None
    single = np.flatnonzero(planted_faces.table.identity == "p01")[1:]
    who.iloc[single] = None
    faces = planted_faces.with_attribute("identity", who, planted_faces.schema["identity"])
    table = identify(small_net, faces)
    assert table.n_identities.tolist() == [58, 58]
    assert table.n.tolist() == [58 * 9] * 2


def test_without_two_people_seen_twice_there_is_no_row(small_net, planted_faces):
    first = ~planted_faces.table.identity.duplicated().to_numpy()
    empty = identify(small_net, planted_faces.subset(first))
    assert empty.empty
    assert empty.columns.tolist() == COLUMNS
    one_person = planted_faces.subset((planted_faces.table.identity == "p00").to_numpy())
    assert identify(small_net, one_person).empty
    assert identify(small_net, planted_faces, n_gallery=10).empty
    faces = type(planted_faces).from_arrays(planted_faces.images([0, 1]))
    assert identify(small_net, faces).empty


def test_bad_input_is_said(small_net, planted_faces):
    with pytest.raises(DataError, match=r"at least one image a person; got n_gallery=0"):
        identify(small_net, planted_faces, n_gallery=0)
    module = Patches(outputs=3)
    with torch.no_grad():
        module.fc.weight[0, 0] = torch.nan
    with pytest.raises(NetworkError, match=r"Layer 'fc' of 'patches' gives NaN or infinite .* image '0'"):
        identify(network(module), planted_faces)
