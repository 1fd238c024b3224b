import numpy as np
import pytest
import torch
from tests.attribution.small import inputs, make, shared
from tests.reference.perturbation import slow_ridge
from torch import nn

from fusiform.attribution import attribute
from fusiform.attribution._parts import parts_of
from fusiform.attribution._registry import Call
from fusiform.errors import SpecError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.perturbation import baseline
from fusiform.targets import Logit


def test_lime_is_weighted_ridge_regression() -> None:
    net, x = make("prelu", torch.float64), inputs(2, torch.float64)
    maps = attribute(net, x, Logit(1), "lime", parts="grid", n_parts=6, samples=40, ridge=0.3, seed=2)
    parts = parts_of(Call(net, x, Logit(1)), "grid", 6)
    z = (torch.rand(40, 6, generator=torch.Generator().manual_seed(2)) < 0.5).double()
    z[0] = 1
    cosines = z.sum(dim=1) / (z.norm(dim=1) * 6**0.5)
    weights = torch.exp(-((1 - cosines.nan_to_num()) ** 2) / (2 * 0.25**2))
    base = baseline(net, x)
    for i in range(2):
        keep = torch.einsum("kp,phw->khw", z, parts)[:, None]
        scores = net(keep * x[i] + (1 - keep) * base[i]).detach()[:, 1]
        expected = slow_ridge(z.numpy(), weights.numpy(), scores.numpy(), 0.3)
        found = torch.einsum("hw,phw->p", maps[i], parts)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


def test_lime_finds_the_coefficients_of_a_linear_score() -> None:
    fc = nn.Linear(3 * 64, 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        nn.init.normal_(fc.weight)
    net = FaceNetwork(nn.Sequential(nn.Flatten(), fc), NetworkCard(name="linear", input_size=(8, 8)))
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    maps = attribute(net, x, Logit(1), "lime", parts="grid", n_parts=4, ridge=0.0, samples=60, baseline=0.0)
    parts = parts_of(Call(net, x, Logit(1)), "grid", 4)
    expected = ((fc.weight[1].view(3, 8, 8) * x).sum(dim=1)[:, None] * parts).sum(dim=(2, 3)).detach()
    torch.testing.assert_close(torch.einsum("nhw,phw->np", maps, parts), expected, atol=1e-3, rtol=1e-4)


def test_captum_agrees_on_one_image() -> None:
    captum = pytest.importorskip("captum.attr")
    from captum._utils.models.linear_model import SkLearnRidge

    net, x = make("prelu", torch.float64), inputs(1, torch.float64)
    cells = parts_of(Call(net, x, Logit(1)), "grid", 4)
    mask = cells.argmax(dim=0)[None, None]
    ours = attribute(
        net, x, Logit(1), "lime", parts=cells, baseline=0.2, samples=4000, kernel_width=0.25, ridge=0.0
    )

    def near(original: object, perturbed: object, sample: torch.Tensor, **options: object) -> float:
        return float(torch.exp(-((1 - (sample.double().mean()) ** 0.5) ** 2) / (2 * 0.25**2)))

    torch.manual_seed(0)
    peer = captum.Lime(
        lambda images: net(images)[:, 1],
        interpretable_model=SkLearnRidge(alpha=0.0),
        similarity_func=near,
    )
    theirs = peer.attribute(x, baselines=0.2, feature_mask=mask, n_samples=600, perturbations_per_eval=200)
    areas = cells.sum(dim=(1, 2))[mask[:, 0]]
    close = float((ours * areas - theirs[:, 0]).abs().max())
    assert close < 0.1 * float(theirs.abs().max())


def test_lime_refuses_what_is_no_kernel() -> None:
    net, x = shared("plain"), inputs()
    with pytest.raises(SpecError, match="'kernel_width' must be above 0; got 0"):
        attribute(net, x, 1, "lime", kernel_width=0)
    with pytest.raises(SpecError, match="'ridge' must be at least 0; got -1"):
        attribute(net, x, 1, "lime", ridge=-1)
    with pytest.raises(SpecError, match="'samples' must be an int of at least 32; got 20"):
        attribute(net, x, 1, "lime", samples=20)
