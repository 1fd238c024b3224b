"""The same function in other weights, and interchangeable pixels."""

import copy

import pytest
import torch
import torch.nn.functional as F
from tests.evaluation.nets import (
    assert_untouched,
    card,
    gradient,
    images,
    input_x_gradient,
    linear_net,
    residual_net,
    state_of,
)
from torch import nn

from fusiform.errors import EvaluationError, NotApplicableError
from fusiform.evaluation import implementation_invariance, symmetry
from fusiform.evaluation._reparameterised import VARIANTS, mirrored, reparameterised
from fusiform.networks import FaceNetwork
from fusiform.targets import Activation, Logit, Similarity


@pytest.mark.parametrize("variant", VARIANTS)
def test_copies_compute_the_same_with_other_weights_and_names_stay(variant):
    net, x = residual_net(), images(3)
    before = state_of(net)
    other = reparameterised(net, variant, seed=0)
    with torch.no_grad():
        torch.testing.assert_close(other(x), net(x), atol=1e-4, rtol=1e-4)
    names = {layer.name for layer in net.layers}
    assert names <= {layer.name for layer in other.layers}
    both = [n.activations(x, ["second"])["second"] for n in (net, other)]
    torch.testing.assert_close(*both, atol=1e-4, rtol=1e-4)
    if variant == "split":
        assert not torch.equal(other.module.first.weight, net.module.first.weight)
        copy.deepcopy(other.module)
    assert_untouched(net, before)


@pytest.mark.parametrize("target", [Logit(1), Similarity(torch.randn(3, 4)), Activation("second", channel=1)])
def test_gradients_are_the_functions_alone(target):
    net, x = residual_net(), images(3)
    before = state_of(net)
    for explain in (gradient, input_x_gradient):
        table = implementation_invariance(net, x, target, explain)
        assert table["equal"].all()
        assert (table["note"] == "").all()
        assert (table["score_error"] < 1e-4).all()
        assert len(table) == 2 * len(VARIANTS)
        assert (table.query("metric == 'pearson'")["value"] > 0.999).all()
    assert_untouched(net, before)


def weights_of_the_first_layer(net, x, target):
    return net.module.first.weight.detach().sum(dim=(0, 1)).repeat(4, 4).expand(len(x), -1, -1)


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g.clamp(min=0) * (x > 0)


def guided(net, x, target):
    """Guided backpropagation of functional ReLUs: not a function of the function."""
    original = F.relu
    F.relu = _Guided.apply
    try:
        return gradient(net, x, target)
    finally:
        F.relu = original


def test_maps_made_of_weights_or_of_the_graph_are_caught():
    net, x = residual_net(), images(2)
    table = implementation_invariance(net, x, Logit(0), weights_of_the_first_layer).set_index("variant")
    assert not table.loc["split", "equal"].any()
    assert table.loc["scaled", "equal"].all()

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(432, 4)

        def forward(self, x):
            return F.relu(self.fc(x.flatten(1))).sum(dim=1, keepdim=True)

    net = FaceNetwork(Functional(), card())
    table = implementation_invariance(net, x, Logit(0), guided).set_index("variant")
    assert not table.loc["rectified", "equal"].any()
    assert table.loc["identity", "equal"].all()
    assert table.loc["scaled", "equal"].isna().all()
    assert table.loc["scaled", "note"].str.contains("no module that this variant changes").all()
    assert table.loc["scaled", "n"].eq(0).all()


def test_what_a_method_cannot_do_is_noted():
    net, x = residual_net(), images(1)

    def explain(other, x, target):
        if other is not net:
            raise NotApplicableError("no rule for conv2d")
        return gradient(other, x, target)

    table = implementation_invariance(net, x, Logit(0), explain, variants=["identity"])
    assert table["note"].tolist() == ["no rule for conv2d"] * 2
    assert table["equal"].isna().all()


def test_a_gradient_is_symmetric_and_what_prefers_a_side_is_not():
    x = images(3)
    for net in (residual_net(), linear_net()[0]):
        before = state_of(net)
        assert (symmetry(net, x, Logit(0), gradient) < 1e-3).all()
        assert_untouched(net, before)
    aside = torch.zeros(12, 12)
    aside[:, :3] = 1
    found = symmetry(residual_net(), x, Logit(0), lambda net, x, target: aside.expand(3, -1, -1))
    assert found.tolist() == pytest.approx([2**0.5] * 3)
    assert symmetry(residual_net(), x, Logit(0), lambda net, x, target: torch.zeros(3, 12, 12)).isnan().all()


def test_the_mirrored_copy_is_the_mean_of_both_sides():
    net, x = residual_net(), images(2)
    with torch.no_grad():
        torch.testing.assert_close(mirrored(net)(x), (net(x) + net(x.flip(3))) / 2)


def test_bad_input_is_refused():
    net, x = residual_net(), images(1)
    with pytest.raises(EvaluationError, match="no re-parameterisation 'spilt'; did you mean 'split'"):
        implementation_invariance(net, x, Logit(0), gradient, variants=["spilt"])
    with pytest.raises(EvaluationError, match="on a network's output"):
        symmetry(net, x, Activation("second", channel=0), gradient)
    with pytest.raises(EvaluationError, match=r"got \(1, 3, 12, 12\)"):
        implementation_invariance(net, x, Logit(0), lambda net, x, target: x)
