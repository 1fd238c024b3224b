"""Gradient, input x gradient, SmoothGrad, Integrated Gradients: against differences, loops and captum."""

import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from tests.attribution.small import inputs, make
from tests.reference.backward import numeric_gradient
from torch import nn

from fusiform.attribution import attribute
from fusiform.attribution._gradients import images_at_once
from fusiform.attribution._registry import Call
from fusiform.errors import NotApplicableError, SpecError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.perturbation import baseline
from fusiform.targets import Activation, Contrast, Logit, MatchProbability, Probability, Similarity

KINDS = ("plain", "residual", "prelu", "max_feature_map")


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def targets():
    first, second = torch.randn(2, 2, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return [
        Logit(1),
        Probability(2),
        Similarity(first),
        MatchProbability(first, 5, -1),
        Contrast(first, second),
    ]


def tiny(module, size=(5, 6)):
    with torch.random.fork_rng():
        torch.manual_seed(2)
        module = module() if callable(module) and not isinstance(module, nn.Module) else module
    return FaceNetwork(module.double(), NetworkCard(name="tiny", input_size=size))


def small_prelu():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.PReLU(4), nn.Conv2d(4, 4, 3), nn.PReLU(4), nn.Flatten(), nn.Linear(8, 6)
    )


@pytest.mark.parametrize("target", targets(), ids=lambda t: t.name)
def test_gradient_equals_differences(target):
    net = tiny(small_prelu)
    x = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0)).double()
    for i, row in enumerate(x):
        of = target.rows(torch.tensor([i]))
        slow = numeric_gradient(lambda z, of=of: of(net, z).detach(), row)
        assert torch.allclose(attribute(net, x, target, "gradient")[i], slow.sum(0), atol=1e-6)
        assert torch.allclose(
            attribute(net, x, target, "input_x_gradient")[i], (slow * row).sum(0), atol=1e-6
        )


@pytest.mark.parametrize("kind", KINDS)
def test_captum_gives_the_same(kind):
    net, x = make(kind, torch.float64), inputs(2, torch.float64)
    x.requires_grad_()

    def score(z):
        return net(z)[:, 1]

    assert torch.allclose(attribute(net, x, 1, "gradient"), Saliency(score).attribute(x, abs=False).sum(1))
    peer = InputXGradient(score).attribute(x).sum(1)
    assert torch.allclose(attribute(net, x, 1, "input_x_gradient"), peer)
    base = baseline(net, x, "blur")
    # The weights of captum's trapezoid sum to 19/20.
    for rule, theirs, share in (
        ("gauss_legendre", "gausslegendre", 1),
        ("trapezoid", "riemann_trapezoid", 0.95),
    ):
        peer = IntegratedGradients(score).attribute(x, base, n_steps=20, method=theirs).sum(1).detach()
        ours = attribute(net, x, 1, "integrated_gradients", steps=20, baseline=base, rule=rule)
        assert torch.allclose(share * ours, peer, atol=1e-6 * float(peer.abs().max())), rule


@pytest.mark.parametrize("target", targets(), ids=lambda t: t.name)
def test_integrated_gradients_are_complete(target):
    net = tiny(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(48, 6)))
    x = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0)).double()
    for kind in ("black", "mean", 0.3, torch.rand(3, 5, 6)):
        maps = attribute(net, x, target, "integrated_gradients", baseline=kind)
        difference = target(net, x) - target(net, baseline(net, x, kind))
        assert torch.allclose(maps.flatten(1).sum(1), difference.detach(), atol=1e-8)


def test_few_steps_miss_more_than_many():
    net, x = make("prelu", torch.float64), inputs(2, torch.float64)
    base = baseline(net, x, "black")
    difference = (Logit(1)(net, x) - Logit(1)(net, base)).detach()
    missed = [
        float(
            (attribute(net, x, 1, "integrated_gradients", steps=k).flatten(1).sum(1) - difference).abs().max()
        )
        for k in (2, 128)
    ]
    assert missed[1] < 0.1 * missed[0]


def test_smoothgrad_is_the_mean_over_the_shared_draws():
    net, x = make("plain", torch.float64), inputs(3, torch.float64)
    x[1] *= 0.1
    drawn = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(7)).double()
    slow = torch.zeros(3, 32, 32, dtype=torch.float64)
    for i in range(3):
        for noise in drawn:
            z = (x[i] + 0.2 * (x[i].max() - x[i].min()) * noise)[None]
            slow[i] += attribute(net, z, 1, "gradient")[0] / 5
    ours = attribute(net, x, 1, "smoothgrad", samples=5, noise=0.2, seed=7)
    assert torch.allclose(ours, slow, atol=1e-12)
    assert not torch.allclose(
        ours, attribute(net, x, 1, "smoothgrad", samples=5, noise=0.2, seed=8), atol=1e-6
    )
    plain = attribute(net, x, 1, "gradient")
    assert torch.allclose(attribute(net, x, 1, "smoothgrad", samples=2, noise=0), plain, atol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_batches_change_nothing(batch_size):
    net, x = make("prelu", torch.float64), inputs(3, torch.float64)
    target = Similarity(torch.randn(3, 6, generator=torch.Generator().manual_seed(1)).double())
    for method, options in (("smoothgrad", {"samples": 4}), ("integrated_gradients", {"steps": 5})):
        whole = attribute(net, x, target, method, **options)
        assert torch.allclose(attribute(net, x, target, method, batch_size=batch_size, **options), whole)


def test_images_at_once_fit_the_memory():
    net, x = make("plain"), inputs(2)
    assert images_at_once(Call(net, x, Logit(0))) == 32
    assert images_at_once(Call(net, x, Logit(0), batch_size=5)) == 5
    few = images_at_once(Call(net, x, Logit(0), memory_gb=1e-3))
    assert 1 <= few < 32
    assert images_at_once(Call(net, x, Logit(0), memory_gb=1e-9)) == 1


def test_progress_is_told():
    told = []

    class Spy:
        def task(self, name):
            told.append(name)
            return lambda done, total: told.append((done, total))

    attribute(make("plain"), inputs(2), 0, "smoothgrad", samples=3, batch_size=4, progress=Spy())
    assert told == ["plain: gradients", (4, 6), (6, 6)]


class Overwrites(nn.Module):
    """Overwrites its input, and what the backward pass needs."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        x -= 0.5
        y = self.conv(x).sigmoid()
        y *= 2
        return self.fc(y.mean((2, 3)))


class Clean(Overwrites):
    def forward(self, x):
        return self.fc((self.conv(x - 0.5).sigmoid() * 2).mean((2, 3)))


@pytest.mark.parametrize(
    "method",
    ["gradient", "input_x_gradient", "smoothgrad", "integrated_gradients", "grad_cam", "deep_lift"],
)
def test_networks_that_overwrite(method):
    net = tiny(Overwrites)
    clean = Clean()
    clean.load_state_dict(net.module.state_dict())
    x = torch.randn(2, 3, 5, 6).double()
    kept = x.clone()
    options = {"layer": "conv"} if method == "grad_cam" else {}
    ours = attribute(net, x, 1, method, **options)
    assert torch.equal(x, kept)
    assert torch.allclose(ours, attribute(tiny(clean), x, 1, method, **options))


def test_a_score_that_no_gradient_reaches_is_refused():
    class Cut(nn.Module):
        def forward(self, x):
            return x.detach().mean((2, 3))

    x = torch.rand(1, 3, 5, 6).double()
    for method in ("gradient", "integrated_gradients", "grad_cam", "deep_lift", "guided_backpropagation"):
        with pytest.raises(NotApplicableError):
            attribute(tiny(Cut()), x, 0, method)
    with pytest.raises(
        NotApplicableError, match=r"Logit\(0\) gives 'tiny' a score that no gradient leads from"
    ):
        attribute(tiny(Cut()), x, 0, "gradient")


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("smoothgrad", {"samples": 0}, "'samples' must be an int of at least 1; got 0"),
        ("smoothgrad", {"noise": -0.1}, "'noise' of smoothgrad is a share of the image's range"),
        ("integrated_gradients", {"steps": 0}, "'steps' must be an int of at least 1; got 0"),
        ("integrated_gradients", {"steps": 1, "rule": "trapezoid"}, "at least 2; got 1"),
        ("integrated_gradients", {"rule": "simpson"}, "is 'gauss_legendre' or 'trapezoid'; got 'simpson'"),
        ("integrated_gradients", {"baseline": "blak"}, "did you mean 'black'"),
    ],
)
def test_bad_options(method, options, message):
    with pytest.raises(SpecError, match=message):
        attribute(make("plain"), inputs(1), 0, method, **options)


def test_activations_of_every_kind():
    net, x = make("residual", torch.float64), inputs(2, torch.float64)
    whole = attribute(net, x, Activation("norm2"), "gradient")
    each = [attribute(net, x, Activation("norm2", channel=c), "gradient") for c in range(16)]
    assert torch.allclose(whole, sum(each) / 16)
    weights = torch.arange(16.0, dtype=torch.float64)
    along = attribute(net, x, Activation("norm2", direction=weights), "gradient")
    assert torch.allclose(along, sum(w * m for w, m in zip(weights, each, strict=True)))
