"""Deletion, insertion, mask-and-evaluate: against loops, closed forms and planted truth."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluation.nets import assert_untouched, gradient, images, linear_net, residual_net, state_of
from tests.reference.evaluation import slow_auc, slow_curve, slow_mask, slow_order

from fusiform.errors import EvaluationError, FusiformError
from fusiform.evaluation import baseline_maps, deletion, insertion, mask_and_evaluate
from fusiform.evaluation._flipping import _normalised
from fusiform.perturbation import baseline
from fusiform.targets import Activation, Contrast, Logit, Probability, Similarity


def shuffle_of(seed, pixels):
    return torch.randperm(pixels, generator=torch.Generator().manual_seed(seed)).tolist()


@pytest.mark.parametrize("measure", [deletion, insertion])
@pytest.mark.parametrize("kind", ["black", "mean", "blur", "noise", 0.25, "face"])
def test_curves_equal_a_loop_over_pixels(measure, kind):
    net, x = residual_net(), images(2)
    maps = torch.randn(2, 12, 12).round(decimals=1)  # with equal values
    kind = images(1, seed=9)[0] if kind == "face" else kind
    curve = measure(net, x, Logit(1), maps, steps=7, baseline=kind, seed=3)
    base = baseline(net, x, kind, seed=3)
    assert curve.fractions.tolist() == pytest.approx([k / 7 for k in range(8)])
    for i in range(2):

        def score(image):
            with torch.no_grad():
                return net(torch.from_numpy(image)[None])[0, 1].item()

        order = slow_order(maps[i].numpy(), shuffle_of(3, 144))
        slow = slow_curve(score, x[i].numpy(), base[i].numpy(), order, 7, measure is insertion)
        assert curve.scores[i].tolist() == pytest.approx(slow, abs=1e-5)
        assert curve.auc[i].item() == pytest.approx(slow_auc(slow), abs=1e-5)


def test_a_perfect_map_of_a_linear_network_has_the_area_of_its_sorted_effects():
    net, weights = linear_net()
    x = images(3)
    effects = (weights * x).sum(dim=1)
    curve = deletion(net, x, Logit(0), effects, steps=144, baseline=0.0)
    falling = effects.flatten(1).sort(dim=1, descending=True).values
    left = falling.sum(dim=1, keepdim=True) - falling.cumsum(dim=1) + 0.3
    closed = torch.cat([effects.sum(dim=(1, 2))[:, None] + 0.3, left], dim=1)
    torch.testing.assert_close(curve.scores, closed, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(curve.auc, torch.trapezoid(closed, dx=1 / 144, dim=1), atol=1e-4, rtol=1e-4)
    # Nothing beats the truth: not noise, edges, a Gaussian, nor the truth upside down.
    for kind in ("random", "edges", "gaussian"):
        rival = baseline_maps(x, kind)
        assert (deletion(net, x, Logit(0), rival, baseline=0.0).auc > curve.auc).all()
        best = insertion(net, x, Logit(0), effects, baseline=0.0).auc
        assert (insertion(net, x, Logit(0), rival, baseline=0.0).auc < best).all()
    assert (deletion(net, x, Logit(0), -effects, baseline=0.0).auc > curve.auc).all()


def test_deletion_and_insertion_with_one_baseline_mirror_each_other():
    net, x, maps = residual_net(), images(2), torch.randn(2, 12, 12)
    down = deletion(net, x, Logit(0), maps, steps=9, baseline="black")
    up = insertion(net, x, Logit(0), -maps, steps=9, baseline="black")
    torch.testing.assert_close(up.scores, down.scores.flip(1), atol=1e-5, rtol=1e-5)


def test_a_constant_map_favours_no_corner():
    """All the evidence is in the first row: were ties in reading order, a constant map would look perfect."""
    net, _ = linear_net()
    with torch.no_grad():
        net.module[1].weight.copy_(torch.zeros(3, 12, 12).index_fill(1, torch.tensor([0]), 1.0).flatten())
    x, flat = torch.ones(1, 3, 12, 12), torch.zeros(1, 12, 12)
    areas = [deletion(net, x, Logit(0), flat, baseline=0.0, seed=s).auc.item() for s in range(40)]
    assert np.mean(areas) == pytest.approx(0.3 + 36 / 2, rel=0.05)


@pytest.mark.parametrize(
    "target",
    [
        Logit(1),
        Probability(1),
        Similarity(torch.ones(4)),
        Contrast(torch.eye(4)[:3], torch.eye(4)[1:]),
        Activation("second", channel=2),
        2,
    ],
)
def test_every_target_and_each_image_alone(target):
    net, x = residual_net(), images(3)
    net.module.train()
    before = state_of(net)
    maps = torch.randn(3, 12, 12)
    one = torch.tensor([1])
    lone = target if isinstance(target, int) else target.rows(one)
    for measure in (deletion, insertion):
        many = measure(net, x, target, maps, steps=5)
        alone = measure(net, x[one], lone, maps[one], steps=5, batch_size=1)
        torch.testing.assert_close(many.scores[one], alone.scores, atol=1e-5, rtol=1e-5)
    drops = mask_and_evaluate(net, x, target, maps).drop
    torch.testing.assert_close(
        drops[one], mask_and_evaluate(net, x[one], lone, maps[one]).drop, atol=1e-5, rtol=1e-5
    )
    assert_untouched(net, before)


def test_the_number_of_a_class_stands_for_its_probability_and_maps_may_be_made_on_the_way():
    net, x = residual_net(), images(2)
    numbered = deletion(net, x, 1, gradient, steps=4)
    named = deletion(net, x, Probability(1), gradient(net, x, Probability(1)), steps=4)
    assert torch.equal(numbered.scores, named.scores)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), area=st.floats(0.01, 0.95), zeros=st.floats(0, 1))
def test_masks_hold_one_sum(seed, area, zeros):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(2, 6, 7, generator=generator).exp()
    maps[torch.rand(maps.shape, generator=generator) < zeros] = -1.0
    hidden = _normalised(maps, area)
    for i in range(2):
        np.testing.assert_allclose(hidden[i].numpy(), slow_mask(maps[i].numpy(), area), atol=1e-6)


def test_the_drop_of_masking_is_in_proportion_to_what_a_map_finds():
    net, weights = linear_net()
    x = weights.sign()[None].repeat(4, 1, 1, 1)
    effects = (weights * x).sum(dim=1)
    maps = effects.clone()
    maps[1], maps[2], maps[3] = 1.0, 0.0, -effects[3]
    found = mask_and_evaluate(net, x, Logit(0), maps, area=0.2, baseline=0.0)
    hidden = torch.from_numpy(slow_mask(effects[0].numpy(), 0.2))
    assert found.drop[0].item() == pytest.approx((hidden * effects[0]).sum().item(), rel=1e-4)
    # A map that covers all gains nothing by it.
    assert found.drop[1].item() == pytest.approx(0.2 * effects[1].sum().item(), rel=1e-4)
    assert found.drop[0] > found.drop[1]
    assert found.mass[:2].tolist() == pytest.approx([28.8, 28.8], rel=1e-5)
    assert found.drop[2:].isnan().all()
    assert found.relative_drop[0].item() == pytest.approx((found.drop[0] / found.score[0]).item())


def test_types_stay():
    net, _ = linear_net()
    net.module.double()
    curve = deletion(net, images(2).double(), Logit(0), torch.rand(2, 12, 12), steps=3)
    assert curve.scores.dtype == curve.auc.dtype == torch.float64
    assert deletion(net, images(0).double(), Logit(0), torch.rand(0, 12, 12), steps=3).scores.shape == (0, 4)


def test_bad_input_is_refused():
    net, x, good = residual_net(), images(2), torch.rand(2, 12, 12)
    holed = good.clone()
    holed[1, 0, 0] = torch.nan
    for maps, text in [
        (torch.rand(2, 6, 6), r"shape \(2, 12, 12\); got \(2, 6, 6\)"),
        (torch.rand(1, 12, 12), r"got \(1, 12, 12\)"),
        (holed, "not finite: image 1 of the batch"),
        ("occlusion", "got str"),
        (lambda net, x, target: None, "got NoneType"),
        (good.to(torch.complex64), "complex"),
    ]:
        with pytest.raises(EvaluationError, match=text):
            deletion(net, x, Logit(0), maps)
    for steps in (0, 145, 2.5, True):
        with pytest.raises(EvaluationError, match="from 1 to the number of pixels, 144"):
            insertion(net, x, Logit(0), good, steps=steps)
    for area in (0, 1, -1.0):
        with pytest.raises(EvaluationError, match="above 0 and below 1"):
            mask_and_evaluate(net, x, Logit(0), good, area=area)
    with pytest.raises(EvaluationError, match="Inputs hold values that are not finite: image 0"):
        deletion(net, x.log(), Logit(0), good)
    with pytest.raises(EvaluationError, match="takes a target; got str"):
        deletion(net, x, "logit", good)
    with pytest.raises(EvaluationError, match="takes a FaceNetwork; got Residual"):
        deletion(net.module, x, Logit(0), good)
    with pytest.raises(FusiformError, match="no baseline 'blakc'"):
        deletion(net, x, Logit(0), good, baseline="blakc")
    with torch.no_grad():
        net.module.fc.weight.zero_()
        net.module.fc.bias.zero_()
    with pytest.raises(EvaluationError, match=r"scores are not finite.*image 0, 1 of the batch"):
        deletion(net, x, Similarity(torch.ones(4)), good)
