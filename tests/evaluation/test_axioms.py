"""Completeness, sensitivity, stability: identities and planted truth."""

import numpy as np
import pytest
import torch
from tests.evaluation.nets import (
    assert_untouched,
    gradient,
    images,
    input_x_gradient,
    linear_net,
    residual_net,
    state_of,
)

from fusiform.errors import EvaluationError
from fusiform.evaluation import baseline_maps, completeness, sensitivity, stability
from fusiform.perturbation import baseline
from fusiform.targets import Logit, Similarity


@pytest.mark.parametrize("kind", ["black", "mean", 0.5])
def test_the_effects_of_a_linear_network_are_complete(kind):
    net, weights = linear_net()
    x = images(3)
    maps = (weights * (x - baseline(net, x, kind))).sum(dim=1)
    found = completeness(net, x, Logit(0), maps, baseline=kind)
    assert found.holds(1e-4).all()
    with torch.no_grad():
        difference = net(x)[:, 0] - net(baseline(net, x, kind).contiguous())[:, 0]
    torch.testing.assert_close(found.difference, difference, atol=1e-4, rtol=1e-4)
    off = completeness(net, x, Logit(0), maps + 0.1, baseline=kind)
    torch.testing.assert_close(off.error, torch.full((3,), 14.4), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(off.relative_error, off.error / difference.abs(), atol=1e-3, rtol=1e-3)
    assert not off.holds().any()


def test_without_a_baseline_the_whole_score_is_shared_out():
    net, weights = linear_net()
    x = images(2)
    found = completeness(net, x, 0, lambda net, x, target: (weights * x).sum(dim=1), baseline=None)
    # The bias is nobody's.
    torch.testing.assert_close(found.error, torch.full((2,), -0.3), atol=1e-4, rtol=0)


def test_no_difference_to_share_out_has_no_relative_error():
    net, _ = linear_net()
    x = torch.zeros(1, 3, 12, 12)
    found = completeness(net, x, Logit(0), torch.zeros(1, 12, 12), baseline=0.0)
    assert found.holds().all()
    assert found.relative_error.isnan().all()


def test_sensitivity_is_one_for_the_effects_of_a_linear_network():
    net, weights = linear_net()
    x = images(3)
    effects = (weights * x).sum(dim=1)
    found = sensitivity(net, x, Logit(0), effects, cells=6, baseline=0.0)
    torch.testing.assert_close(found, torch.ones(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        sensitivity(net, x, Logit(0), -effects, cells=6, baseline=0.0), -torch.ones(3), atol=1e-4, rtol=0
    )
    for kind in ("random", "edges", "gaussian"):
        rival = sensitivity(net, x, Logit(0), baseline_maps(x, kind), cells=6, baseline=0.0)
        assert (rival.abs() < 0.8).all()
    assert sensitivity(net, x, Logit(0), torch.ones(3, 12, 12), cells=6, baseline=0.0).isnan().all()


def test_sensitivity_equals_a_loop_over_sets():
    net, x, maps = residual_net(), images(2), torch.randn(2, 12, 12)
    found = sensitivity(net, x, Logit(1), maps, cells=5, fraction=0.3, subsets=20, baseline="mean", seed=4)
    drawn = torch.rand(20, 25, generator=torch.Generator().manual_seed(4))
    for i in range(2):
        sums, drops = [], []
        for s in range(20):
            hidden = x[i].clone()
            chosen = {int(c) for c in drawn[s].argsort()[:8]}
            total = 0.0
            for r in range(12):
                for c in range(12):
                    if (r * 5 // 12) * 5 + c * 5 // 12 in chosen:
                        hidden[:, r, c] = x[i].mean(dim=(1, 2))
                        total += maps[i, r, c].item()
            sums.append(total)
            with torch.no_grad():
                drops.append((net(x[i : i + 1]) - net(hidden[None]))[0, 1].item())
        assert found[i].item() == pytest.approx(np.corrcoef(sums, drops)[0, 1], abs=1e-4)


def test_a_gradient_of_a_linear_network_does_not_move_and_its_product_with_the_input_does():
    net, weights = linear_net()
    x = images(2)
    assert stability(net, x, Logit(0), gradient, draws=3).maximum.tolist() == [0.0, 0.0]
    found = stability(net, x, Logit(0), input_x_gradient, radius=0.02, draws=4, seed=5)
    # 0.02 of the range from black to white is 0.02 / 0.25 in input units.
    generator = torch.Generator().manual_seed(5)
    noises = [0.08 * (2 * torch.rand(3, 12, 12, generator=generator) - 1) for _ in range(4)]
    maps = (weights * x).sum(dim=1)
    for i in range(2):
        changes = [((weights * n).sum(dim=0).norm() / maps[i].norm()).item() for n in noises]
        assert found.maximum[i].item() == pytest.approx(max(changes), rel=1e-4)
        assert found.mean[i].item() == pytest.approx(np.mean(changes), rel=1e-4)
        moved = max(abs((weights * n).sum().item()) for n in noises)
        assert found.score_change[i].item() == pytest.approx(moved, rel=1e-3)
    zeros = stability(net, x, Logit(0), lambda net, x, target: torch.zeros(2, 12, 12), draws=1)
    assert zeros.maximum.isnan().all()


def test_each_image_alone_and_the_network_untouched():
    net, x = residual_net(head="embedding"), images(3)
    net.module.train()
    before, one = state_of(net), torch.tensor([2])
    target = Similarity(torch.randn(3, 4))
    options = {"cells": 4, "subsets": 10}
    many = sensitivity(net, x, target, gradient, **options)
    torch.testing.assert_close(
        many[one], sensitivity(net, x[one], target.rows(one), gradient, **options), atol=1e-4, rtol=1e-4
    )
    many = stability(net, x, target, gradient, draws=2).maximum
    alone = stability(net, x[one], target.rows(one), gradient, draws=2).maximum
    torch.testing.assert_close(many[one], alone, atol=1e-4, rtol=1e-4)
    completeness(net, x, target, gradient)
    assert_untouched(net, before)


def test_bad_options_are_refused():
    net, x, maps = residual_net(), images(1), torch.rand(1, 12, 12)
    for cells in (1, 13):
        with pytest.raises(EvaluationError, match="from 2 to the image's shorter side, 12"):
            sensitivity(net, x, Logit(0), maps, cells=cells)
    for options in ({"fraction": 0.0}, {"fraction": 1.0}, {"subsets": 2}):
        with pytest.raises(EvaluationError, match="Sets hold a share"):
            sensitivity(net, x, Logit(0), maps, **options)
    for options in ({"radius": 0.0}, {"draws": 0}):
        with pytest.raises(EvaluationError, match="Noise has a radius"):
            stability(net, x, Logit(0), gradient, **options)
    with pytest.raises(EvaluationError, match=r"got \(1, 3, 12, 12\)"):
        stability(net, x, Logit(0), lambda net, x, target: x)
