import copy
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f_oneway
from tests.probing.fake_probes import fit_fakes
from torch import nn

from fusiform.errors import DataError, LayerError, NetworkError, SpecError
from fusiform.faces import Attribute, FaceSet
from fusiform.networks import FaceNetwork, NetworkCard, load_network
from fusiform.networks._attack import pgd
from fusiform.probing import Draw, _consistency, sample
from fusiform.probing._consistency import _claims, _people, detect_manipulation, stability
from fusiform.runs import Progress

LAYERS = ["stage1", "stage2", "fc"]
STABLE = ["reddish", "greenish", "bluish"]


@pytest.fixture(scope="module")
def faces():
    """80 people with ten images each: three colours say who it is, a bar comes and goes."""
    rng = np.random.default_rng(3)
    people, n, size = 80, 800, 48
    who = rng.permutation(np.arange(n) % people)
    colour = rng.random((people, 3)) < 0.5
    texture = np.kron(rng.normal(0, 6, (people, 3, 12, 12)), np.ones((4, 4)))
    images = (
        128
        + 24 * (colour[who][:, :, None, None] - 0.5)
        + texture[who]
        + rng.normal(0, 10, (n, 3, size, size))
    )
    smiling = rng.random(n) < 0.5
    images[smiling, :, 36:40, 14:34] += 60
    columns = {name: pd.array(colour[who, c], dtype="boolean") for c, name in enumerate(STABLE)}
    table = pd.DataFrame(
        {
            "identity": pd.Series([f"p{k:02d}" for k in who], dtype="string"),
            **columns,
            "Smiling": pd.array(smiling, dtype="boolean"),
            "redness": colour[who, 0] * 10.0 + rng.normal(size=n),
        }
    )
    schema = {name: Attribute(kind="binary") for name in (*STABLE, "Smiling")}
    schema |= {"identity": Attribute(kind="identity"), "redness": Attribute(kind="continuous")}
    images = torch.from_numpy(images.clip(0, 255).astype(np.uint8))
    return FaceSet.from_arrays(images, table, schema, name="coloured")


@pytest.fixture(scope="module")
def draws(faces):
    return sample(faces, [*STABLE, "Smiling", "redness"], n_train=200).draws


@pytest.fixture(scope="module")
def net(small_net, faces):
    """Embeddings with random weights lie close together; less their mean they tell colours apart."""
    module = copy.deepcopy(small_net.module)
    with torch.no_grad():
        module.fc.bias -= module(small_net.prepare(faces.images(range(200)))).mean(dim=0)
    return FaceNetwork(module, small_net.card.replace(threshold=0.9))


@pytest.fixture(scope="module")
def probes(net, faces, draws):
    return fit_fakes(net, faces, LAYERS, draws)


@pytest.fixture(scope="module")
def table(net, faces, probes):
    return detect_manipulation(net, faces, probes, epsilon=0.06, n_pairs=60)


def by_attack(table, attack):
    return table[table.attack == attack].set_index("layer")


# the attack ------------------------------------------------------------------------------------------


def cosine(net, x, wanted):
    return (net.embed(x) * wanted).sum(dim=1)


@settings(max_examples=15, deadline=None)
@given(
    epsilon=st.floats(1 / 255, 0.2),
    steps=st.integers(1, 4),
    value_range=st.sampled_from([(0.0, 1.0), (0.0, 255.0), (1.0, -1.0)]),
    std=st.sampled_from([(1.0,), (0.2, 0.3, 0.5), (-2.0, 1.0, 1.0)]),
)
def test_no_value_leaves_its_bound_or_the_range(net, faces, epsilon, steps, value_range, std):
    card = net.card.replace(value_range=value_range, mean=(0.1, 0.2, 0.3), std=std)
    net = FaceNetwork(net.module, card)
    x = net.prepare(faces.images([0, 1]))
    with torch.no_grad():
        wanted = net.embed(net.prepare(faces.images([2, 3])))
    changed = pgd(net, x, lambda x: cosine(net, x, wanted), epsilon=epsilon, steps=steps)
    low, high = sorted(value_range)
    mean, std = (torch.tensor(v)[:, None, None] for v in (card.mean, card.std))
    raw, before = changed * std + mean, x * std + mean
    slack = 2e-6 * (high - low)
    assert (raw - before).abs().max() <= epsilon * (high - low) + slack
    assert raw.min() >= low - slack
    assert raw.max() <= high + slack
    assert not changed.requires_grad


def test_the_attack_raises_the_objective_more_with_more_room(net, faces):
    x = net.prepare(faces.images(range(6)))
    with torch.no_grad():
        wanted = net.embed(net.prepare(faces.images(range(6, 12))))
        before = cosine(net, x, wanted)
    found = []
    for epsilon in (2 / 255, 8 / 255):
        with torch.no_grad():  # the caller's grad mode is no obstacle
            changed = pgd(net, x, lambda x: cosine(net, x, wanted), epsilon=epsilon)
            found.append(cosine(net, changed, wanted))
    assert (before < found[0]).all()
    assert (found[0] < found[1]).all()


def test_a_linear_objective_is_driven_to_its_known_maximum():
    net = FaceNetwork(nn.Flatten(), NetworkCard(name="flat", input_size=(2, 2), mean=(0,), std=(1,)))
    x = torch.tensor([[0.0, 0.5, 0.9, 1.0] * 3]).reshape(1, 3, 2, 2)
    weights = torch.tensor([1.0, -2.0, 3.0, -1.0] * 3)
    changed = pgd(net, x, lambda x: net(x) @ weights, epsilon=0.25, steps=8)
    torch.testing.assert_close(changed.flatten(), torch.tensor([0.25, 0.25, 1.0, 0.75] * 3))


def test_the_network_is_left_as_it_was(faces):
    net = load_network("demo")
    net.module.train()
    net.module.stage1.eval()
    frozen = next(net.module.parameters())
    frozen.requires_grad_(False)
    before = net.digest(), [(m.training, len(m._forward_hooks)) for m in net.module.modules()]
    x = net.prepare(faces.images([0]))
    pgd(net, x, lambda x: net.embed(x)[:, 0], steps=2)
    assert (net.digest(), [(m.training, len(m._forward_hooks)) for m in net.module.modules()]) == before
    assert [p.requires_grad for p in net.module.parameters()].count(False) == 1
    assert all(p.grad is None for p in net.module.parameters())
    assert not x.requires_grad


def test_a_network_without_gradient_is_refused(faces):
    class Detached(nn.Module):
        def __init__(self, weight):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3), requires_grad=weight)

        def forward(self, x):
            return x.detach().mean((2, 3)) * self.weight

    for weight in (False, True):
        net = FaceNetwork(Detached(weight), NetworkCard(name="detached", input_size=(48, 48)))
        with pytest.raises(NetworkError, match="'detached' gives no gradient"):
            pgd(net, net.prepare(faces.images([0])), net.embed)
    with pytest.raises(SpecError, match="got epsilon 0 and 3 steps"):
        pgd(net, net.prepare(faces.images([0])), net.embed, epsilon=0, steps=3)


# what is stable --------------------------------------------------------------------------------------


def draw_of(values, classes=()):
    rows = np.arange(len(values))
    kind = {0: "continuous", 2: "binary"}.get(len(classes), "categorical")
    return Draw("a", kind, classes, np.asarray(values, dtype=float), rows, rows, rows)


@pytest.mark.parametrize("classes", [(), ("False", "True")])
def test_stability_is_the_intraclass_correlation(classes):
    """With as many images of each, it follows from the F of an analysis of variance."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=(30, 1)) + rng.normal(size=(30, 4))
    values = (own > 0).astype(float) if classes else own
    f = f_oneway(*values).statistic
    got = stability([draw_of(values.ravel(), classes)], np.repeat(np.arange(30), 4), np.arange(120))
    assert got["a"] == pytest.approx((f - 1) / (f - 1 + 4), rel=1e-9)


def test_stability_of_classes_and_at_its_ends():
    who = np.repeat(np.arange(10), 3)
    everyone = np.arange(30)
    assert stability([draw_of(who % 3, ("x", "y", "z"))], who, everyone)["a"] == 1.0
    binary = who % 2
    two = stability([draw_of(binary, ("x", "y"))], who, everyone)
    assert two == {"a": 1.0}
    values = np.where(everyone % 3 == 0, np.nan, who).astype(float)
    assert stability([draw_of(values)], who, everyone)["a"] == 1.0  # unknown values are left out
    with pytest.raises(DataError, match="None of 1 attributes is stable within people"):
        stability([draw_of(everyone % 3)], who, everyone)
    with pytest.raises(DataError, match="nobody is seen twice"):
        stability([draw_of(who)], everyone, everyone)


# the detector ----------------------------------------------------------------------------------------


def test_what_the_planted_faces_must_give(table):
    none, pgd_rows = by_attack(table, "none"), by_attack(table, "pgd")
    # A stranger shares all three colours in one case of eight.
    assert (none.lower > 0.6).all()
    assert (none.success < 0.3).all()
    # The network is deceived, and so are its later layers; the first keeps most of what it sees.
    assert (pgd_rows.success > 0.9).all()
    assert pgd_rows.auc["stage1"] > max(pgd_rows.auc["stage2"], pgd_rows.auc["fc"]) + 0.1
    assert pgd_rows.lower["stage1"] > 0.7
    assert abs(pgd_rows.auc["stage1"] - none.auc["stage1"]) < 0.1


def test_columns(table, net):
    assert list(table.columns) == [
        "network", "attack", "layer", "depth", "auc", "lower", "upper", "n_genuine", "n_manipulated", "success",
    ]  # fmt: skip
    assert table.layer.tolist() == [*LAYERS, "all"] * 2
    assert table.depth.tolist()[:3] == [net.layer(name).depth for name in LAYERS]
    assert table.depth.isna().tolist() == [False, False, False, True] * 2
    assert (table.n_genuine == 60).all()
    assert (table.lower <= table.auc).all()
    assert (table.auc <= table.upper).all()


def test_equal_to_a_slow_reference(net, faces, probes, table):
    """Strangers as they are: every claim, attribute and class, one after the other."""
    people, trained = _people(faces, probes)
    claims = _claims(people, trained, 60, 0)
    weights = stability(probes.draws, people, trained)
    assert weights["Smiling"] < 0.1 < 0.9 < weights["reddish"]
    assert np.average([weights[name] for name in STABLE]) == 1.0

    def read(row):
        with torch.no_grad():
            activations = net.activations(net.prepare(faces.images([row])), ["stage2"])["stage2"]
        return {
            attribute: answer[0] for (_, attribute), answer in probes.answers("stage2", activations).items()
        }

    def score(profile, answer):
        total = 0.0
        for draw in probes.draws:
            p, q = answer[draw.attribute], profile[draw.attribute]
            if draw.classes:
                term = sum(q[c] * np.log(max(p[c], 0.01)) for c in range(2))
            else:
                term = max(-((p - q) ** 2) / 2 / np.var(draw.values[draw.train]), np.log(0.01))
            total += weights[draw.attribute] * term
        return total

    genuine, strangers = [], []
    for rows, mate, other in zip(claims.gallery, claims.genuine, claims.impostor, strict=True):
        answers = [read(row) for row in rows]
        profile = {d.attribute: np.mean([a[d.attribute] for a in answers], axis=0) for d in probes.draws}
        genuine.append(score(profile, read(mate)))
        strangers.append(score(profile, read(other)))
    wins = np.mean([(g > s) + 0.5 * (g == s) for g in genuine for s in strangers])
    assert by_attack(table, "none").auc["stage2"] == pytest.approx(wins, abs=1e-3)


def test_no_probe_counts_for_more_than_one_in_a_hundred(net):
    layer = net.layer("fc")
    line, classes = draw_of([-1.0, 1.0]), replace(draw_of([0, 1], ("x", "y")), attribute="b")
    weights = {"a": 1.0, "b": 3.0}
    profile = {("fc", "a"): np.zeros(3), ("fc", "b"): np.tile([0.0, 1.0], (3, 1))}
    answers = {("fc", "a"): np.array([0.0, 2.0, 50.0]), ("fc", "b"): np.array([[0, 1], [0.5, 0.5], [1, 0]])}
    found = _consistency._consistencies([layer], [line, classes], weights, profile, answers)
    expected = [0, (-(2.0**2) / 2 + 3 * np.log(0.5)) / 4, np.log(0.01)]
    np.testing.assert_allclose(found["fc"], expected)
    np.testing.assert_allclose(found["all"], expected)


def test_claims_are_of_people_nobody_was_trained_on(faces, probes):
    people, trained = _people(faces, probes)
    claims = _claims(people, trained, 60, 0)
    known = set(people[np.concatenate([draw.train for draw in probes.draws])])
    assert not known & set(people[claims.rows])
    assert (people[claims.genuine] == claims.person).all()
    assert (people[claims.impostor] != claims.person).all()
    for person, gallery, genuine in zip(claims.person, claims.gallery, claims.genuine, strict=True):
        assert (people[gallery] == person).all()
        assert genuine not in gallery
        assert 1 <= len(gallery) <= 5
    # Everybody is claimed before anybody is claimed twice, and never with the same image.
    assert (
        np.bincount(np.unique(claims.person, return_inverse=True)[1]).max()
        <= 60 // len(set(claims.person)) + 1
    )
    assert len(set(claims.genuine)) == 60


def test_batches_do_not_matter_without_an_attack_and_threshold_of_the_card_counts(net, faces, probes, table):
    plain = detect_manipulation(net, faces, probes, attack="none", n_pairs=60, batch_size=7)
    pd.testing.assert_frame_equal(plain, table[table.attack == "none"], atol=1e-3)
    for threshold, success in ((-1.0, 1.0), (1.1, 0.0)):
        net = FaceNetwork(net.module, net.card.replace(threshold=threshold))
        found = detect_manipulation(net, faces, probes, attack="none", layers=["stage1"], n_pairs=5)
        assert (found.success == success).all()


def test_without_a_threshold_of_the_card_one_in_a_hundred_strangers_is_let_in(
    net, faces, probes, monkeypatch
):
    given = []
    inner = _consistency._threshold
    monkeypatch.setattr(_consistency, "_threshold", lambda *a: given.append((a, inner(*a))) or given[-1][1])
    own = FaceNetwork(net.module, net.card.replace(threshold=None))
    found = detect_manipulation(own, faces, probes, attack="none", layers=["stage1"], n_pairs=60)
    (((references, embeddings, person, shown), threshold),) = given
    cosines = [
        float(reference @ embedding)
        for reference, claimed in zip(references, person, strict=True)
        for embedding, who in zip(embeddings, shown, strict=True)
        if claimed != who
    ]
    assert np.mean(np.array(cosines) >= threshold) == pytest.approx(0.01, abs=1e-3)
    assert found.success.max() < 0.1


def test_it_says_what_it_costs(net, faces, probes):
    out = io.StringIO()
    progress = Progress(stream=out)
    detect_manipulation(net, faces, probes, layers=["fc"], n_pairs=2, steps=3, progress=progress)
    # Two people with five gallery images, one genuine image and a stranger each, and 8 passes of 2 faces.
    assert "2 claims: about 30 faces through the network" in out.getvalue()
    assert "small: manipulated faces: 2/2" in out.getvalue()


def test_errors(net, faces, probes):
    def run(net=net, faces=faces, probes=probes, **options):
        return detect_manipulation(net, faces, probes, **options)

    with pytest.raises(NetworkError, match="needs a network that embeds faces; 'small' gives logits"):
        run(FaceNetwork(net.module, net.card.replace(head="logits")))
    with pytest.raises(DataError, match="fitted on 'small' and cannot read 'other'"):
        run(FaceNetwork(net.module, net.card.replace(name="other")))
    with pytest.raises(SpecError, match="no attack 'pdg'; did you mean 'pgd'"):
        run(attack="pdg")
    with pytest.raises(SpecError, match="got epsilon -1 and 10 steps"):
        run(epsilon=-1)
    with pytest.raises(SpecError, match="n_pairs >= 1 and batch_size >= 1; got 0 and 16"):
        run(n_pairs=0)
    with pytest.raises(LayerError, match="'stage9' of 'small' was not probed"):
        run(layers=["stage9"])
    with pytest.raises(SpecError, match="entire layers, which were not probed at 'stage1'"):
        run(probes=replace(probes, kinds=("neurons",)))
    nobody = FaceSet.from_arrays(
        faces.images(), faces.table.drop(columns="identity"),
        {name: a for name, a in faces.schema.items() if name != "identity"}, name="nameless",
    )  # fmt: skip
    with pytest.raises(DataError, match="'nameless' has no identities"):
        run(faces=nobody)
    people, trained = _people(faces, probes)
    alone = faces.table.identity.where(np.isin(np.arange(len(faces)), trained) | (people == people.max()))
    scarce = FaceSet.from_arrays(faces.images(), faces.table.assign(identity=alone), faces.schema)
    with pytest.raises(DataError, match=r"two people with two images or more .* got [01] among"):
        run(faces=scarce)
