import numpy as np
import pytest
import torch
from tests.attribution.small import inputs, make, shared
from tests.reference.perturbation import slow_rise
from torch import Tensor, nn

from fusiform.attribution import attribute, frontal_parts
from fusiform.errors import SpecError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.perturbation import baseline, masked_scores
from fusiform.perturbation._random_masks import Occluders, RandomGrids
from fusiform.targets import Logit


def _corner_net(constant: float = 0.0) -> FaceNetwork:
    """The score is the brightness of one corner, less that of another."""
    fc = nn.Linear(3 * 16 * 16, 1)
    weights = torch.zeros(3, 16, 16)
    weights[:, :4, :4], weights[:, -4:, -4:] = 1 / 48, -1 / 48
    fc.weight.data.copy_(weights.flatten()[None])
    fc.bias.data.fill_(constant)
    return FaceNetwork(nn.Sequential(nn.Flatten(), fc), NetworkCard(name="corner", input_size=(16, 16)))


@pytest.mark.parametrize("centred", [True, False])
def test_rise_is_the_mean_of_masks_weighted_by_their_scores(centred: bool) -> None:
    net, x = make("prelu", torch.float64), inputs(2, torch.float64)
    options = {"n_masks": 50, "cells": 4, "probability": 0.4}
    maps = attribute(net, x, Logit(1), "rise", seed=3, centred=centred, batch_size=7, **options)
    masks = RandomGrids((32, 32), 50, 4, 0.4, torch.Generator().manual_seed(3)).part(0, 50).double()
    for i in range(2):
        mean = x[i].mean(dim=(1, 2), keepdim=True)
        scores = [float(net(m * x[i : i + 1] + (1 - m) * mean).detach()[0, 1]) for m in masks]
        np.testing.assert_allclose(maps[i].numpy(), slow_rise(scores, masks.numpy(), 0.4, centred), atol=1e-9)


def test_rise_is_signed_and_near_0_where_nothing_counts() -> None:
    net, x = _corner_net(constant=5.0), torch.ones(1, 3, 16, 16)
    found = attribute(net, x, Logit(0), "rise", n_masks=3000, cells=4, baseline="black", progress=None)[0]
    # Kept for certain instead of with probability one half, the corner gains half of what it says: pixels of it 0.4
    # or so, as neighbouring cells are drawn apart.
    assert float(found[:4, :4].min()) > 0.15
    assert float(found[-4:, -4:].max()) < -0.15
    assert float(found[8:, :8].abs().max()) < 0.05
    published = attribute(net, x, Logit(0), "rise", n_masks=300, cells=4, centred=False)[0]
    assert float(published.min()) > 0, "the constant is in every pixel"


def test_large_scores_lose_no_precision() -> None:
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    small, large = (
        attribute(_corner_net(c), x, Logit(0), "rise", n_masks=64, cells=4, baseline=0.0)
        for c in (0.0, 1000.0)
    )
    # A score near 1000 itself is known to 6e-5.
    torch.testing.assert_close(small, large, atol=2e-4, rtol=0)


def test_rise_refuses_what_draws_nothing() -> None:
    net, x = shared("plain"), inputs()
    with pytest.raises(SpecError, match="'n_masks' must be an int of at least 2; got 1"):
        attribute(net, x, 1, "rise", n_masks=1)
    with pytest.raises(SpecError, match="'cells' must be an int of at least 1; got 0"):
        attribute(net, x, 1, "rise", cells=0)
    with pytest.raises(SpecError, match="'probability' must lie between 0 and 1; got 1"):
        attribute(net, x, 1, "rise", probability=1)


# density-based ----------------------------------------------------------------------------------------------


def _slow_dise(net: FaceNetwork, image: Tensor, hidden: Tensor) -> Tensor:
    mean = image.mean(dim=(1, 2), keepdim=True)
    whole = float(net(image[None]).detach()[0, 1])
    drops = [whole - float(net(((1 - m) * image + m * mean)[None]).detach()[0, 1]) for m in hidden]
    total, covered = torch.zeros(hidden.shape[1:]).to(hidden), 1.0
    for m, drop in zip(hidden, drops, strict=True):
        total, covered = total + m * (drop - sum(drops) / len(drops)), covered + m
    return total / covered


@pytest.mark.parametrize("own", [False, True])
def test_dise_is_the_mean_drop_where_a_pixel_is_hidden(own: bool) -> None:
    net, x = make("prelu", torch.float64), inputs(2, torch.float64)
    prior = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(0)) ** 4
    given = prior if own else prior[0]
    maps = attribute(
        net, x, Logit(1), "dise", prior=given, n_masks=40, occluders=2, sigma=3.0, seed=4, batch_size=9
    )
    for i in range(2):
        masks = Occluders(given[i] if own else given, 40, 2, 3.0, torch.Generator().manual_seed(4))
        hidden = 1 - masks.part(0, 40).double()
        torch.testing.assert_close(maps[i], _slow_dise(net, x[i], hidden), atol=1e-9, rtol=1e-6)


def test_dise_looks_where_its_prior_is_and_nowhere_else() -> None:
    net, x = _corner_net(), torch.ones(1, 3, 16, 16)
    prior = torch.zeros(16, 16)
    prior[:8, :8], prior[:8, 8:] = 1, 1
    found = attribute(
        net, x, Logit(0), "dise", prior=prior, n_masks=2000, occluders=1, sigma=1.0, baseline="black"
    )[0]
    assert divmod(int(found.argmax()), 16) in {(r, c) for r in range(4) for c in range(4)}
    assert float(found[:4, :4].min()) > 2 * float(found[:, 8:].abs().max())
    assert float(found[14:].abs().max()) < 1e-6, "never hidden, though the score depends on it"


def test_dise_hits_all_parts_of_the_face_equally_often_by_default() -> None:
    net, x = shared("plain"), inputs()
    parts = frontal_parts(net)
    prior = (parts / parts.sum(dim=(1, 2), keepdim=True)).sum(dim=0)
    options = {"n_masks": 24, "seed": 2}
    default = attribute(net, x, 1, "dise", **options)
    assert torch.equal(default, attribute(net, x, 1, "dise", prior=prior, **options))
    assert torch.equal(default, attribute(net, x, 1, "dise", parts="face", **options))
    empty = torch.cat([parts, torch.zeros(1, 32, 32, dtype=torch.bool)])
    assert torch.equal(default, attribute(net, x, 1, "dise", parts=empty, **options))


def test_dise_refuses_priors_that_are_none() -> None:
    net, x = shared("plain"), inputs()
    ones = torch.ones(32, 32)
    with pytest.raises(SpecError, match="draws from 'prior' or from 'parts'; both are given"):
        attribute(net, x, 1, "dise", prior=ones, parts="face")
    with pytest.raises(
        SpecError, match=r"'prior' has shape \(32, 32\), or one for each image; got \(3, 32, 32\)"
    ):
        attribute(net, x, 1, "dise", prior=ones.expand(3, 32, 32))
    for bad in (-ones, 0 * ones, ones / 0, torch.stack([ones, 0 * ones])):
        with pytest.raises(SpecError, match="must be finite, not negative, and above 0 somewhere"):
            attribute(net, x, 1, "dise", prior=bad)
    with pytest.raises(SpecError, match="'sigma' must be above 0 pixels; got 0"):
        attribute(net, x, 1, "dise", sigma=0)
    with pytest.raises(SpecError, match="must be finite, not negative, and above 0 somewhere"):
        attribute(net, x, 1, "dise", parts=torch.zeros(2, 32, 32))


def test_masks_of_many_are_never_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    part = RandomGrids.part
    monkeypatch.setattr(
        RandomGrids, "part", lambda self, start, stop: asked.append(stop - start) or part(self, start, stop)
    )
    net, x = _corner_net(), torch.ones(2, 3, 16, 16)
    attribute(net, x, Logit(0), "rise", n_masks=500, batch_size=20)
    assert sum(asked) == 500
    assert max(asked) == 20
    masks = RandomGrids((16, 16), 4, 7, 0.5, torch.Generator())
    assert masked_scores(net, Logit(0), x, masks, baseline(net, x)).shape == (2, 4)
