"""Sanity checks: what depends on weights changes, what does not is caught, and nobody's weights are touched."""

import pandas as pd
import pytest
import torch
from tests.evaluation.nets import (
    assert_untouched,
    card,
    gradient,
    images,
    linear_net,
    residual_net,
    state_of,
)
from torch import nn

from fusiform.errors import EvaluationError
from fusiform.evaluation import (
    baseline_maps,
    data_randomization,
    parameter_randomization,
    passes_randomization,
)
from fusiform.networks import FaceNetwork
from fusiform.targets import Logit


def edges(net, x, target):
    return baseline_maps(x, "edges")


def test_the_gradient_of_a_linear_network_passes_and_an_edge_map_fails():
    net, x = linear_net()[0], images(4)
    before = state_of(net)
    table = parameter_randomization(net, x, Logit(0), gradient)
    assert passes_randomization(table)
    assert table.query("metric == 'spearman'")["value"].abs().item() < 0.3
    table = parameter_randomization(net, x, Logit(0), edges)
    assert not passes_randomization(table)
    assert (table["value"] > 1 - 1e-9).all()
    assert_untouched(net, before)


def test_layers_go_from_the_top_with_what_follows_them():
    net, x = residual_net(), images(2)
    net.module.train()
    before = state_of(net)
    seen = []

    def explain(other, x, target):
        seen.append({k: v.clone() for k, v in other.module.state_dict().items()})
        return gradient(other, x, target)

    table = parameter_randomization(net, x, Logit(0), explain, seed=3)
    assert table["layer"].unique().tolist() == ["fc", "second", "first"]
    assert table.query("layer == 'fc'")["depth"].unique().tolist() == [0]
    own = net.module.state_dict()
    fresh = net.randomized(3).module.state_dict()
    follows = {"fc": ["fc"], "second": ["second", "prelu"], "first": ["first", "norm"]}
    assert all(torch.equal(seen[0][k], own[k]) for k in own)
    drawn = []
    for state, layer in zip(seen[1:], follows, strict=True):
        drawn += follows[layer]
        for k in own:
            expected = fresh[k] if k.split(".")[0] in drawn and "num_batches" not in k else own[k]
            assert torch.equal(state[k], expected), (layer, k)
    seen.clear()
    table = parameter_randomization(net, x, Logit(0), explain, cascading=False, seed=3)
    assert (table["randomized"] == "independent").all()
    for state, layer in zip(seen[1:], follows, strict=True):
        for k in own:
            expected = fresh[k] if k.split(".")[0] in follows[layer] and "num_batches" not in k else own[k]
            assert torch.equal(state[k], expected), (layer, k)
    assert_untouched(net, before)


def test_independent_randomization_of_a_layer_without_influence_changes_nothing():
    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.dead = nn.Linear(432, 1), nn.Linear(432, 1)

        def forward(self, x):
            return self.used(x.flatten(1)) + 0 * self.dead(x.flatten(1))

    net = FaceNetwork(Dead(), card())
    table = parameter_randomization(net, images(3), Logit(0), gradient, cascading=False)
    found = table.query("metric == 'spearman'").set_index("layer")["value"]
    assert found["dead"] == pytest.approx(1)
    assert abs(found["used"]) < 0.5
    with pytest.raises(EvaluationError, match="cascading"):
        passes_randomization(table)


def test_weights_that_no_call_shows_are_drawn_anew():
    """The projection within attention is used by the module around it."""

    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.randn(1, 1, 36))
            self.attention = nn.MultiheadAttention(36, 2, batch_first=True)
            self.fc = nn.Linear(36, 2)

        def forward(self, x):
            tokens = torch.cat(
                [self.token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2).reshape(len(x), -1, 36)], 1
            )
            return self.fc(self.attention(tokens, tokens, tokens, need_weights=False)[0][:, 0])

    net = FaceNetwork(Attends(), card())
    states = []

    def explain(other, x, target):
        states.append(other.module.state_dict())
        return gradient(other, x, target)

    table = parameter_randomization(net, images(2), Logit(0), explain)
    assert table["layer"].unique().tolist() == ["fc", "attention.out_proj", "attention", "(network)"]
    last, fresh = states[-1], net.randomized(0).module.state_dict()
    assert all(torch.equal(last[k], fresh[k]) for k in last)


def test_named_layers_and_the_interval_over_people():
    net, x = residual_net(), images(6)
    groups = ["a", "a", "b", "b", "c", "c"]
    table = parameter_randomization(net, x, Logit(0), gradient, layers=["fc", "first"], groups=groups)
    assert table["layer"].unique().tolist() == ["fc", "first"]
    assert table["metric"].unique().tolist() == ["spearman", "spearman_absolute", "ssim", "hog_pearson"]
    assert (table["lower"] <= table["value"]).all()
    assert (table["value"] <= table["upper"]).all()
    assert (table["n"] == 6).all()
    assert table["passed"].isna().equals(~table["metric"].str.startswith("spearman"))


def test_maps_of_zeros_are_no_pass():
    net, x = linear_net()[0], images(2)
    table = parameter_randomization(net, x, Logit(0), lambda net, x, target: torch.zeros(2, 12, 12))
    row = table.query("metric == 'spearman_absolute'").iloc[0]
    assert pd.isna(row["value"])
    assert row["n"] == 0
    assert not passes_randomization(table)


def test_labels_at_random():
    (net, _), (other, _) = linear_net(0), linear_net(1)
    x = images(4)
    assert passes_randomization(data_randomization(net, x, Logit(0), gradient, other))
    assert not passes_randomization(data_randomization(net, x, Logit(0), edges, other))
    same = data_randomization(net, x, Logit(0), gradient, net)
    assert same["value"].tolist() == pytest.approx([1] * 4)
    assert set(same["randomized"]) == {"labels"}


def test_bad_input_is_refused():
    net, x = residual_net(), images(1)
    with pytest.raises(EvaluationError, match="no module 'secnd'; did you mean 'second'"):
        parameter_randomization(net, x, Logit(0), gradient, layers=["secnd"])
    with pytest.raises(EvaluationError, match="'relu' of 'small' holds no weights"):
        parameter_randomization(net, x, Logit(0), gradient, layers=["relu"])
    with pytest.raises(EvaluationError, match="No layers"):
        parameter_randomization(net, x, Logit(0), gradient, layers=[])
    with pytest.raises(EvaluationError, match="holds no weights that could be drawn"):
        parameter_randomization(FaceNetwork(nn.Flatten(), card()), x, Logit(0), gradient)
    with pytest.raises(EvaluationError, match="got Residual"):
        data_randomization(net, x, Logit(0), gradient, net.module)
    with pytest.raises(EvaluationError, match=r"\(8, 8\) pixels.*both must see the same"):
        data_randomization(net, x, Logit(0), gradient, linear_net(side=8)[0])
