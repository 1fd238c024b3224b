"""DeepLIFT: complete on every network, equal to dense loops and, where it is right, to captum."""

import pytest
import torch
import torch.nn.functional as F
from captum.attr import DeepLift
from tests.attribution.small import KINDS, inputs, make
from tests.attribution.test_guided import chain, wrapped
from tests.reference.backward import backward, steps_of
from torch import nn

from fusiform.attribution import attribute
from fusiform.errors import AttributionError, NotApplicableError
from fusiform.perturbation import baseline
from fusiform.targets import Activation, Contrast, Logit, MatchProbability, Probability, Similarity

FIRST, SECOND = torch.randn(2, 2, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
TARGETS = [
    Logit(1),
    Probability(2),
    Similarity(FIRST),
    MatchProbability(FIRST, 6, -1),
    Contrast(FIRST, SECOND[0]),
]


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def missed(net, x, target, maps, kind):
    base = baseline(net, x, kind).clone()
    with torch.no_grad():
        difference = target(net, x.clone()) - target(net, base)
    return float((maps.flatten(1).sum(1) - difference).abs().max())


@pytest.mark.parametrize("kind", ["prelu", "relu", "mfm"])
def test_dense_loops_give_the_same(kind):
    net = chain(kind)
    x, other = torch.randn(2, 2, 3, 6, 5, generator=torch.Generator().manual_seed(4)).double()
    steps = steps_of(net.module.layers, x[0])
    for base in (other, baseline(net, x, "black")):
        ours = attribute(net, x, 1, "deep_lift", baseline=base)
        for i in range(2):
            slow = backward(steps, x[i], [0.0, 1.0, 0.0], "deep_lift", base[i])
            slow = (torch.from_numpy(slow) * (x[i] - base[i])).sum(0)
            assert torch.allclose(ours[i], slow, atol=1e-9)


@pytest.mark.filterwarnings("ignore:Setting")
@pytest.mark.parametrize("curve", [nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Sigmoid, nn.Tanh, nn.Softplus])
def test_captum_gives_the_same_on_plain_networks(curve):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = wrapped(
            nn.Sequential(
                nn.Conv2d(3, 4, 3),
                curve(),
                nn.AvgPool2d(2),  # captum's rule of max pooling does not add up
                nn.Conv2d(4, 5, 2),
                curve(),
                nn.Flatten(),
                nn.Linear(20, 3),
            ),
            (8, 8),
        )
    x, other = torch.randn(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(4)).double()
    peer = DeepLift(net.module).attribute(x.clone().requires_grad_(), other, target=1).sum(1)
    assert torch.allclose(attribute(net, x, 1, "deep_lift", baseline=other), peer, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_contributions_add_up(kind):
    net, x = make(kind, torch.float64), inputs(2, torch.float64)
    layer = net.layers[-3].name
    for target in (*TARGETS, Activation(layer, channel=1)):
        for base in ("black", "blur", 0.2):
            maps = attribute(net, x, target, "deep_lift", baseline=base)
            scale = float(maps.abs().sum()) + 1
            assert missed(net, x, target, maps, base) < 1e-8 * scale, (target, base)


def test_single_precision_adds_up_too():
    for kind in KINDS:
        net, x = make(kind), inputs(2)
        maps = attribute(net, x, Similarity(FIRST.float()), "deep_lift")
        assert missed(net, x, Similarity(FIRST.float()), maps, "black") < 1e-4


class Odd(nn.Module):
    """Everything that is not a layer in a row: in-place sums, gates, groups, attention of three kinds, norms."""

    def __init__(self):
        super().__init__()
        self.patch, self.relu = nn.Conv2d(3, 8, 4, 4), nn.ReLU6(inplace=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
        self.norm, self.group, self.fc = nn.LayerNorm(8), nn.GroupNorm(2, 8), nn.Linear(8, 6)

    def forward(self, x):
        x -= 0.1
        x = self.relu(self.group(self.patch(F.pad(x, (1, 1, 1, 1)))))
        z = F.relu(x)
        z += x
        z = F.max_pool2d(
            F.pad(z, (1, 1, 1, 1), value=float("-inf")), 3, 1
        )  # overlapping windows, a border of -inf
        z = z.view(len(z), 2, 4, *z.shape[2:]).max(1)[0].repeat(1, 2, 1, 1)
        z = z.flatten(2).transpose(1, 2)
        z = self.norm(z + self.attention(z, z, z, need_weights=False)[0])
        weights = (z @ z.transpose(1, 2) / 3).softmax(-1)
        z = self.encoder(z + F.scaled_dot_product_attention(z, z, weights @ z))
        gate = torch.sigmoid(z.mean(1, keepdim=True))
        z *= gate
        z = torch.minimum(z.mean(1), z.amin(1) + 0.5) + z.max(dim=1)[0]
        return F.normalize(self.fc(z)) / (1 + z.abs().mean(1))[:, None]


def test_contributions_add_up_through_everything():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = wrapped(Odd(), (14, 14))
    x = torch.randn(2, 3, 14, 14, generator=torch.Generator().manual_seed(1)).double()
    for target in TARGETS:
        maps = attribute(net, x, target, "deep_lift")
        assert missed(net, x, target, maps, "black") < 1e-6 * float(maps.abs().sum())


def test_steep_softmax_adds_up():
    net = wrapped(nn.Sequential(nn.Conv2d(3, 6, (6, 5)), nn.Flatten()))
    with torch.no_grad():
        net.module[0].weight.mul_(200)
    x = torch.randn(6, 3, 6, 5, generator=torch.Generator().manual_seed(1)).double()
    for i in range(6):
        maps = attribute(net, x, Probability(i), "deep_lift", baseline=x.flip(0))
        assert missed(net, x, Probability(i), maps, x.flip(0)) < 1e-9


def test_a_baseline_that_is_the_image_gives_nothing():
    net, x = make("prelu", torch.float64), inputs(2, torch.float64)
    assert not attribute(net, x, 1, "deep_lift", baseline=x).any()


def test_linear_networks_give_weight_times_difference():
    net = wrapped(nn.Sequential(nn.Flatten(), nn.Linear(90, 4)))
    x = torch.randn(2, 3, 6, 5).double()
    weights = net.module[1].weight[2].detach().view(3, 6, 5)
    assert torch.allclose(attribute(net, x, 2, "deep_lift", baseline=0.5), (weights * (x - 0.5)).sum(1))


def test_what_cannot_be_seen_into_is_refused():
    class Hidden(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad):
            return 3 * ctx.saved_tensors[0] ** 2 * grad

    class Net(nn.Module):
        def forward(self, x):
            return Hidden.apply(x.mean((2, 3)))

    with pytest.raises(
        NotApplicableError, match=r"sum to .* differ by .*: 'tiny' calls something that cannot be seen"
    ):
        attribute(wrapped(Net()), torch.rand(2, 3, 6, 5).double(), 0, "deep_lift", baseline=0.0)


def test_networks_that_choose_their_way_are_refused():
    class Either(nn.Module):
        def forward(self, x):
            return (x.relu() if x.mean() > 0 else x.sigmoid().tanh()).mean((2, 3))

    with pytest.raises(NotApplicableError, match="took another way through its functions for the baseline"):
        attribute(wrapped(Either()), torch.rand(2, 3, 6, 5).double(), 0, "deep_lift", baseline=-1.0)


def test_baselines_without_a_direction_are_refused():
    net = wrapped(nn.Sequential(nn.Conv2d(3, 6, (6, 5), bias=False), nn.Flatten()))
    x = torch.rand(2, 3, 6, 5).double()
    with pytest.raises(AttributionError, match="of the baseline by 'tiny' are not finite"):
        attribute(net, x, Similarity(FIRST), "deep_lift", baseline=0.0)
