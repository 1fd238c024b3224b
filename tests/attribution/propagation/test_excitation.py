"""Excitation Backprop: the paper's probabilities in dense loops, signs, contrasts and truncation."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.attribution.propagation.nets import Branches, drawn, summed, wrapped
from tests.reference.backward import dense
from torch import nn

from fusiform.attribution import attribute
from fusiform.errors import LayerError, NotApplicableError, SpecError
from fusiform.targets import Activation, Contrast, Logit, MatchProbability, Similarity

EBP, CONTRASTIVE, TRUNCATED = (
    "excitation_backprop",
    "contrastive_excitation_backprop",
    "truncated_contrastive_excitation_backprop",
)


def images(n=2, size=(6, 5), seed=1):
    return torch.randn(n, 3, *size, generator=torch.Generator().manual_seed(seed)).double()


def test_probabilities_of_the_paper_on_a_rectifier_network():
    # Zhang and others: activations are not negative, and positive weights excite.
    module = drawn(
        nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(30, 3)
        )
    ).double()
    x = images().abs()
    maps = attribute(wrapped(module), x, 2, EBP)
    for one, found in zip(x, maps, strict=True):
        activations, matrices = [one.flatten().numpy()], []
        live = one[None]
        for layer in module:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                matrices.append(dense(layer, live[0])[0])
                activations.append(None)
            live = layer(live).detach()
            activations[-1] = live[0].flatten().numpy()
        probability = np.eye(3)[2]
        for matrix, below in zip(matrices[::-1], activations[-2::-1], strict=True):
            given = np.zeros(len(below))
            for j, p in enumerate(probability):
                excites = [below[i] * max(matrix[j][i], 0) for i in range(len(below))]
                if sum(excites) > 0:
                    given += [p * e / sum(excites) for e in excites]
            probability = given
        np.testing.assert_allclose(found, summed(probability / probability.sum(), one), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("side", [1, -1])
def test_units_of_either_sign_are_excited_by_products_of_their_own(side):
    module = drawn(Branches()).double().eval()
    # Slopes above 0, so that units keep their sign.
    module.act.weight.data.abs_()
    net, x = wrapped(module), images(3)
    reference = side * torch.tensor([0.5, -1.0, 2.0]).double()
    maps = attribute(net, x, Similarity(reference), EBP)
    for one, found in zip(x, maps, strict=True):
        graph = module.graph(one)
        raw = graph.forward(one.flatten().numpy())[-1]
        start, sign = np.maximum(raw * reference.numpy(), 0), np.sign(raw)
        if not start.any():
            # Nothing speaks for a match: what would.
            start, sign = np.abs(raw * reference.numpy()), -sign
        expected = graph.excitation(one.flatten().numpy(), start / start.sum(), sign)
        np.testing.assert_allclose(found, summed(expected / expected.sum(), one), rtol=1e-8, atol=1e-11)


def test_the_dual_of_a_logit_has_its_weights_negated():
    module = drawn(Branches()).double().eval()
    module.act.weight.data.abs_()
    module.fc.weight.data[0] = torch.tensor([1.0, -1.0, 0.5])
    net, x = wrapped(module), images(4)
    found = attribute(net, x, 0, CONTRASTIVE)
    for one, difference in zip(x, found, strict=True):
        graph, maps = module.graph(one), []
        for sign in (1, -1):
            winners = graph.excitation(one.flatten().numpy(), np.eye(3)[0], np.full(3, sign))
            maps.append(summed(winners / (winners.sum() or 1), one))
        np.testing.assert_allclose(difference, maps[0] - maps[1], rtol=1e-8, atol=1e-11)
    assert (found.sum((1, 2)).abs() < 1e-12).any(), "both sides win somewhere"
    # Negating the class's weights turns target and dual round.
    module.fc.weight.data[0].neg_()
    module.fc.bias.data[0].neg_()
    torch.testing.assert_close(attribute(net, x, 0, CONTRASTIVE), -found)


def test_turning_the_sign_of_hidden_units_changes_nothing():
    # The same function: products and what they excite stay, where positive weights alone would give other maps.
    one = drawn(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(48, 3)))
    turned = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(48, 3))
    turned.load_state_dict(one.state_dict())
    turned[0].weight.data[::2].neg_()
    turned[0].bias.data[::2].neg_()
    turned[2].weight.data.view(3, 4, 12)[:, ::2].neg_()
    x = images()
    for method in (EBP, CONTRASTIVE, "lrp"):
        torch.testing.assert_close(
            attribute(wrapped(one), x, 1, method), attribute(wrapped(turned), x, 1, method)
        )


@pytest.mark.parametrize("slope", [0.3, -0.3])
def test_slopes_turn_what_excites(slope):
    module = drawn(nn.Sequential(nn.Conv2d(3, 1, (6, 5)), nn.PReLU(1), nn.Flatten())).double()
    module[0].bias.data.zero_()
    module[1].weight.data.fill_(slope)
    net, x = wrapped(module), images(8)
    products = x * module[0].weight[0].detach()
    raw = products.sum((1, 2, 3))
    assert raw.min() < 0 < raw.max()
    # What raises the output: of a unit below 0, whatever raises it if the slope is positive, else what lowers it.
    towards = torch.where((raw < 0) & (slope < 0), -1.0, 1.0).view(-1, 1, 1, 1)
    winning = (towards * products).clamp(min=0).sum(1)
    torch.testing.assert_close(attribute(net, x, 0, EBP), winning / winning.sum((1, 2), keepdim=True))


def test_triplets_contrast_mate_and_nonmate():
    net, x = wrapped(drawn(Branches())), images(3)
    mate, nonmate = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(4)).double()
    winners = [attribute(net, x, Similarity(e), EBP) for e in (mate, nonmate)]
    torch.testing.assert_close(
        attribute(net, x, Contrast(mate, nonmate), CONTRASTIVE), winners[0] - winners[1]
    )
    torch.testing.assert_close(
        attribute(net, x, Contrast(mate, nonmate[0]), CONTRASTIVE)[:1], (winners[0] - winners[1])[:1]
    )
    difference = attribute(net, x, Contrast(mate, nonmate), EBP)
    between = F.normalize(mate, dim=1) - F.normalize(nonmate, dim=1)
    torch.testing.assert_close(difference, attribute(net, x, Similarity(between), EBP))
    torch.testing.assert_close(
        attribute(net, x, MatchProbability(mate, 3.0, -1.0), CONTRASTIVE),
        attribute(net, x, Similarity(mate), CONTRASTIVE),
    )


@pytest.mark.parametrize("percentile", [0, 20, 80])
def test_truncation_leaves_out_the_pixels_that_hardly_win(percentile):
    net, x = wrapped(drawn(Branches())), images(2)
    winners, contrast = (attribute(net, x, 1, m).flatten(1) for m in (EBP, CONTRASTIVE))
    found = attribute(net, x, 1, TRUNCATED, percentile=percentile).flatten(1)
    for row in range(2):
        held = 0.0
        for pixel in winners[row].argsort().tolist():
            held += float(winners[row, pixel])
            kept = held >= percentile / 100 * float(winners[row].sum()) * (1 - 1e-12)
            assert found[row, pixel] == pytest.approx(float(contrast[row, pixel]) if kept else 0, abs=1e-12)


def test_a_map_at_a_layer_is_brought_to_the_size_of_the_input():
    module = drawn(nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)))
    net, x = wrapped(module, (8, 8)), images(2, (8, 8))
    with torch.no_grad():
        inner = module[1](module[0](x))
    excites = inner * module[3].weight[2].detach().view(4, 3, 3)
    winning = excites.clamp(min=0).sum(1)
    expected = F.interpolate(winning[:, None], size=(8, 8), mode="bilinear")[:, 0]
    expected = expected / expected.sum((1, 2), keepdim=True)
    torch.testing.assert_close(attribute(net, x, 2, EBP, layer="1"), expected)
    # A rectifier passes on what wins; so it is the same map below it.
    torch.testing.assert_close(attribute(net, x, 2, EBP, layer="0"), expected)


def test_winners_lie_where_the_evidence_is():
    class LeftOnly(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
            self.fc = nn.Linear(8, 2)

        def forward(self, x):
            left, right = (
                F.relu(c(h)).mean((2, 3)) for c, h in zip((self.left, self.right), x.chunk(2, 3), strict=True)
            )
            return self.fc(torch.cat([left, right], 1))

    module = drawn(LeftOnly())
    module.fc.weight.data[0] = torch.tensor([1.0] * 4 + [0.0] * 4)
    module.fc.weight.data[1] = torch.tensor([0.0] * 4 + [1.0] * 4)
    net, x = wrapped(module, (8, 8)), images(2, (8, 8))
    for method in (EBP, "lrp"):
        for logit, dark in ((0, slice(4, 8)), (1, slice(0, 4))):
            maps = attribute(net, x, logit, method)
            assert (maps[:, :, dark] == 0).all()
            assert maps.abs().sum() > 0
    winners = [attribute(net, x, i, EBP) for i in (0, 1)]
    torch.testing.assert_close(winners[0].sum((1, 2)), torch.ones(2).double())


def test_negative_scores_and_nothing_that_excites():
    # A class below 0 is asked what would raise it.
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    weight = torch.cat([torch.full((1, 12), -1.0), torch.full((1, 12), -1.0)])
    weight[0, 3] = 0.5
    module[1].weight.data, module[1].bias.data = weight, torch.zeros(2)
    net = wrapped(module, (2, 2))
    x = torch.ones(1, 3, 2, 2).double()
    expected = torch.tensor([[[0, 0], [0, 1.0]]]).double()
    torch.testing.assert_close(attribute(net, x, 0, EBP), expected)
    assert (attribute(net, x, 1, EBP) == 0).all()


@pytest.mark.parametrize(
    ("method", "options", "error", "text"),
    [
        (TRUNCATED, {"percentile": 100}, SpecError, "number from 0 to below 100; got 100"),
        (TRUNCATED, {"percentile": "20"}, SpecError, "number from 0 to below 100; got '20'"),
        (
            EBP,
            {"layer": "fc"},
            NotApplicableError,
            r"one of shape \(channels, height, width\); 'fc' has \(3,\)",
        ),
        (
            EBP,
            {"layer": "stem.0"},
            NotApplicableError,
            "batch norm is folded into it; take the layer behind it",
        ),
        (EBP, {"layer": "stems"}, LayerError, "no layer 'stems'"),
    ],
)
def test_options_that_cannot_be(method, options, error, text):
    net = wrapped(Branches())
    with pytest.raises(error, match=text):
        attribute(net, images(), Logit(1), method, **options)


def test_activations_are_explained_from_their_layer():
    net, x = wrapped(drawn(Branches())), images()
    maps = attribute(net, x, Activation("act", channel=1, position=(1, 1)), EBP)
    # A window of 3 by 3 around row 2, column 2.
    assert (maps[:, 4:] == 0).all()
    assert (maps[:, :, 4:] == 0).all()
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(2).double())
